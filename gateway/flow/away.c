/*
 * away - upstreams that went away: after three failed connections in a row
 * calls are refused at once, with a word and a time; one connection at a time
 * is tried until one stands (TLS included), then calls go on.
 *
 * Only what could not be connected is here: an upstream whose certificate is
 * refused, or that is silent once connected, is not away, nor is one behind an
 * upstream proxy, which answers for it. A connector that is killed or disabled
 * is not tried. Never more entries than the catalogue has
 * hosts.
 */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "log.h"

#define AWAY_FAILS 3
#define PROBE_FIRST_MS 1000
#define PROBE_MOST_MS 30000

struct away {
	struct flow *f;
	char *key;			/* connector|host:port */
	char *connector, *host;
	uint16_t port;
	unsigned fails;			/* connections in a row */
	bool away, probing, gone;
	uint64_t since_ms, next_ms, wait_ms;	/* CLOCK_MONOTONIC */
	struct loop_timer *timer;
	struct upstream_request *probe;
	struct view *view;		/* of the probe's TLS, while it runs */
	char detail[256];
};

static void probe_later(struct away *a);

static struct slice
key_of(char *space, size_t n, const char *connector, const char *host,
    uint16_t port)
{
	int k = snprintf(space, n, "%s|%s:%u", connector, host, port);

	ASSERT(k > 0 && (size_t)k < n);
	return slice_make(space, (size_t)k);
}

static void
target_of(const struct exchange *ex, const char **host, uint16_t *port)
{
	*host = ex->c->tunnel ? ex->c->authority.host : ex->con->hosts[0].host;
	*port = ex->c->tunnel ? ex->c->authority.port : ex->con->hosts[0].port;
}

static struct away *
find(const struct exchange *ex)
{
	char space[512];
	const char *host;
	uint16_t port;

	if (ex->con->nhosts == 0 || map_count(&ex->f->away) == 0)
		return NULL;
	target_of(ex, &host, &port);
	return map_get(&ex->f->away, key_of(space, sizeof(space),
	    ex->con->name, host, port));
}

/* --- telling ------------------------------------------------------------------ */

static void
record(struct away *a, enum event_type type)
{
	struct uuid id = uuid_v7(), none = { { 0 } };
	struct jsonw w;
	struct buf b;

	buf_init(&b, 65536);
	event_begin(&w, &b, id, type, ROLE_PROXY);
	jsonw_str(&w, "connector", a->connector);
	jsonw_str(&w, "host", a->host);
	jsonw_int(&w, "port", a->port);
	if (type == EVENT_UPSTREAM_AWAY) {
		jsonw_str(&w, "reason", reason_word(REASON_UPSTREAM_AWAY));
		jsonw_str(&w, "detail", a->detail);
	} else {
		jsonw_u64(&w, "duration_us", (clock_mono_ms() - a->since_ms) *
		    1000);
	}
	event_end(&w);
	if (emit_event(a->f->emit, id, none, buf_slice(&b), NULL, NULL) != 0)
		log_error("event queue full: an upstream's state is "
		    "unrecorded");
	buf_free(&b);
}

static void
tell_broker(const struct away *a, bool away)
{
	struct buf *b = a->f->broker == NULL ? NULL :
	    chan_begin(a->f->broker, MSG_UPSTREAM_STATE);
	int r;

	if (b == NULL)
		return;
	pack_str(b, a->connector);
	pack_str(b, a->host);
	pack_u16(b, a->port);
	pack_u8(b, away);
	pack_i64(b, clock_wall_ms() - (int64_t)(clock_mono_ms() -
	    a->since_ms));
	pack_str(b, a->detail);
	r = chan_end(a->f->broker);
	if (r != 0)
		log_error("the broker was not told of %s", a->connector);
}

void
away_tell(struct flow *f)
{
	size_t i = 0;
	void *v;

	while (map_next(&f->away, &i, NULL, &v))
		if (((struct away *)v)->away)
			tell_broker(v, true);
}

/* --- coming and going ------------------------------------------------------------ */

static void
forget(struct away *a)
{
	map_del(&a->f->away, slice_str(a->key));
	a->gone = true;
	upstream_cancel(a->probe);
	loop_timer_del(a->timer);
	view_unref(a->view);
	free(a->key);
	free(a->connector);
	free(a->host);
	loop_defer_free(a->f->loop, a);
}

static void
is_back(struct away *a)
{
	if (a->away) {
		log_info("%s: %s:%u answers again", a->connector, a->host,
		    a->port);
		record(a, EVENT_UPSTREAM_BACK);
		tell_broker(a, false);
	}
	forget(a);
}

static void
on_probe(void *ctx, struct upstream *u, enum reason reason,
    const char *detail)
{
	struct away *a = ctx;

	a->probing = false;
	a->probe = NULL;
	view_unref(a->view);
	a->view = NULL;
	/* Who shows a certificate that is refused is there; the calls say what
	 * is wrong. */
	if (u == NULL && reason == REASON_UPSTREAM) {
		snprintf(a->detail, sizeof(a->detail), "%s", detail);
		a->wait_ms = a->wait_ms * 2 < PROBE_MOST_MS ? a->wait_ms * 2 :
		    PROBE_MOST_MS;
		probe_later(a);
		return;
	}
	upstream_close(u, false);
	is_back(a);
}

/* The connector as it is now: a reload may have changed or removed it. */
static struct connector *
catalogued(const struct away *a)
{
	struct connector *c = connector_named(a->f->view->connectors,
	    slice_str(a->connector));

	for (size_t i = 0; c != NULL && i < c->nhosts; i++)
		if (c->hosts[i].port == a->port &&
		    strcmp(c->hosts[i].host, a->host) == 0)
			return c;
	return NULL;
}

static void
on_time(void *ctx)
{
	struct away *a = ctx;
	struct flow *f = a->f;
	struct connector *c = catalogued(a);
	struct upstream_request *r;
	char space[600];

	if (c == NULL || c->via.host[0] != '\0') {
		tell_broker(a, false);
		forget(a);
		return;
	}
	size_t at = (size_t)(c - f->view->connectors->v);

	if (killpage_all(f->kill) || killpage_hit(f->kill,
	    f->view->kill_hash[at]) || !c->approved ||
	    svc_state(f, c) == POLICY_DISABLED) {
		probe_later(a);
		return;
	}
	snprintf(space, sizeof(space), "probe|%s", a->key);
	struct upstream_target t = { .host = a->host, .port = a->port,
		.tls = f->view->client_ctx[at], .pins = c->pins,
		.npins = c->npins, .key = slice_str(space) };

	a->view = view_ref(f->view);
	a->probing = true;
	r = upstream_get(f->pool, &t, on_probe, a);
	if (a->probing)		/* else it is answered, and a may be gone */
		a->probe = r;
}

static void
probe_later(struct away *a)
{
	a->next_ms = clock_mono_ms() + a->wait_ms;
	loop_timer_set(a->timer, a->wait_ms);
}

void
away_failed(struct exchange *ex, const char *detail)
{
	struct flow *f = ex->f;
	struct away *a = find(ex);
	char space[512];

	if (ex->con->via.host[0] != '\0')
		return;
	if (a == NULL) {
		a = base_calloc(1, sizeof(*a));
		const char *host;

		target_of(ex, &host, &a->port);
		a->f = f;
		a->connector = base_strdup(ex->con->name);
		a->host = base_strdup(host);
		a->key = slice_dup(key_of(space, sizeof(space), a->connector,
		    host, a->port));
		a->wait_ms = PROBE_FIRST_MS;
		a->timer = loop_timer_new(f->loop, on_time, a);
		map_put(&f->away, slice_str(a->key), a);
	}
	snprintf(a->detail, sizeof(a->detail), "%s", detail);
	if (++a->fails < AWAY_FAILS || a->away)
		return;
	a->away = true;
	a->since_ms = clock_mono_ms();
	log_warn("%s: %s:%u is away: %s", a->connector, a->host, a->port,
	    detail);
	record(a, EVENT_UPSTREAM_AWAY);
	tell_broker(a, true);
	probe_later(a);
}

void
away_connected(struct exchange *ex)
{
	struct away *a = find(ex);

	if (a != NULL)
		is_back(a);
}

enum step_result
away_check(struct exchange *ex)
{
	const struct away *a = find(ex);
	uint64_t now = clock_mono_ms();

	if (a == NULL || !a->away)
		return STEP_DONE;
	ex->retry_s = a->next_ms <= now ? 1 :
	    1 + (unsigned)((a->next_ms - now) / 1000);
	return exchange_refuse(ex, REASON_UPSTREAM_AWAY, "(%s) It is tried "
	    "again in %u s.", a->detail, ex->retry_s);
}

void
away_stop(struct flow *f)
{
	size_t i;
	void *v;

	while (i = 0, map_next(&f->away, &i, NULL, &v))
		forget(v);
	map_free(&f->away);
	map_init(&f->away);
}
