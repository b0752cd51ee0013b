/* flow - see flow.h: the proxy's whole, and what a snapshot gives it. */
#include "flow.h"

#include <stdio.h>
#include <stdlib.h>

#include "internal.h"
#include "log.h"

#define UPSTREAM_IDLE_MS 50000
#define UPSTREAM_IDLE_MAX 4096
#define EMIT_MAX (64u << 20)

/* --- views ------------------------------------------------------------------- */

struct view *
view_ref(struct view *v)
{
	v->refs++;
	return v;
}

static void
free_ctx(const struct view *v, struct tls_ctx *c)
{
	if (c != v->default_ctx[0] && c != v->default_ctx[1])
		tls_ctx_free(c);
}

void
view_unref(struct view *v)
{
	if (v == NULL || --v->refs > 0)
		return;
	for (size_t i = 0; v->connectors != NULL && i < v->connectors->n; i++)
		if (v->kill_hash != NULL) {
			free_ctx(v, v->client_ctx[i]);
			free_ctx(v, v->ws_ctx[i]);
		}
	tls_ctx_free(v->default_ctx[0]);
	tls_ctx_free(v->default_ctx[1]);
	free(v->client_ctx);
	free(v->ws_ctx);
	free(v->kill_hash);
	connector_set_free(v->connectors);
	conf_free(v->conf);
	redact_free(v->redact);
	inspect_free(v->inspect);
	free(v->clean.target);
	free(v);
}

static struct tls_ctx *
client_ctx(struct slice trust, const char *more, bool h2, struct err *err)
{
	struct tls_store *st;
	struct tls_ctx *c;
	struct buf b;

	buf_init(&b, 8u << 20);
	buf_add_slice(&b, trust);
	buf_add_char(&b, '\n');
	buf_add_str(&b, more);
	st = tls_store_new(buf_slice(&b), err);
	buf_free(&b);
	if (st == NULL)
		return NULL;
	c = tls_client_new(st);
	if (h2)
		tls_client_offer_h2(c);
	tls_store_free(st);
	return c;
}

/* Most connectors share one of the two that trust nothing of their own. */
static struct tls_ctx *
connector_ctx(struct view *v, const struct connector *c, struct slice trust,
    bool h2, struct err *err)
{
	if (c->ca_pem[0] != '\0')
		return client_ctx(trust, c->ca_pem, h2, err);
	if (v->default_ctx[h2] == NULL)
		v->default_ctx[h2] = client_ctx(trust, "", h2, err);
	return v->default_ctx[h2];
}

static int
load_trust(const struct flow *f, struct view *v, const struct snap *s,
    struct err *err)
{
	struct slice trust = snap_section(s, "trust");

	v->client_ctx = base_calloc(v->connectors->n + 1,
	    sizeof(*v->client_ctx));
	v->ws_ctx = base_calloc(v->connectors->n + 1, sizeof(*v->ws_ctx));
	v->kill_hash = base_calloc(v->connectors->n + 1,
	    sizeof(*v->kill_hash));
	for (size_t i = 0; i < v->connectors->n; i++) {
		const struct connector *c = &v->connectors->v[i];
		char target[128];

		snprintf(target, sizeof(target), "connector/%s", c->name);
		v->kill_hash[i] = killpage_hash(f->kill, target);
		if (!c->tls)
			continue;
		v->client_ctx[i] = connector_ctx(v, c, trust,
		    c->http.h2_upstream, err);
		if (c->http.websocket && v->client_ctx[i] != NULL)
			v->ws_ctx[i] = connector_ctx(v, c, trust, false, err);
		if (v->client_ctx[i] == NULL || (c->http.websocket &&
		    v->ws_ctx[i] == NULL)) {
			err_set(err, "connector %s: no trusted CA", c->name);
			return -1;
		}
	}
	v->kill_hash[v->connectors->n] = killpage_hash(f->kill,
	    "connector/" CONNECTOR_AGGREGATE);
	return 0;
}

struct view *
view_load(const struct flow *f, const struct snap *s, struct err *err)
{
	struct view *v = base_calloc(1, sizeof(*v));

	v->refs = 1;
	snprintf(v->name, sizeof(v->name), "%s", snap_name(s));
	v->conf = conf_unpack(snap_section(s, "conf"));
	v->connectors = connector_load(s);
	if (v->conf == NULL || v->connectors == NULL) {
		err_set(err, "the snapshot's conf or connectors section is "
		    "malformed");
		goto fail;
	}
	v->redact = redact_load(snap_section(s, "redaction"), err);
	v->inspect = inspect_load(snap_section(s, "injection"), err);
	if (v->redact == NULL || v->inspect == NULL ||
	    load_trust(f, v, s, err) != 0)
		goto fail;
	return v;
fail:
	view_unref(v);
	return NULL;
}

/* --- the flow ------------------------------------------------------------------ */

struct flow *
flow_new(const struct flow_setup *setup, const struct snap *snap,
    struct err *err)
{
	struct flow *f = base_calloc(1, sizeof(*f));

	tls_init();
	f->loop = setup->loop;
	f->index = setup->index;
	f->eventfd = setup->eventfd;
	list_init(&f->conns);
	list_init(&f->exchanges);
	list_init(&f->listeners);
	map_init(&f->away);
	svc_init(f);
	f->toolcache = toolcache_new(NULL);
	aggregate_init(f);
	cut_init(f);
	f->kill = killpage_map(setup->killpage_fd, false);
	if (f->kill == NULL || f->eventfd < 0) {
		err_set(err, "no kill page: the parent must give one");
		return NULL;
	}
	f->view = view_load(f, snap, err);
	if (f->view == NULL)
		return NULL;
	f->dns = dns_new(f->loop, snap_section(snap, "resolv"),
	    snap_section(snap, "hosts"), err);
	if (f->dns == NULL)
		return NULL;
	f->pool = upstream_pool_new(f->loop, f->dns,
	    (uint64_t)f->view->conf->limits.connect_ms, UPSTREAM_IDLE_MS,
	    UPSTREAM_IDLE_MAX);
	f->emit = emit_new(f->loop, ROLE_PROXY, f->index, EMIT_MAX);
	emit_set_patience(f->emit,
	    (uint64_t)f->view->conf->limits.record_ms);
	svc_listen_recorder(f);
	deadline_start(f);
	if (loop_fd_add(f->loop, f->eventfd, LOOP_READ, cut_on_kill, f) ==
	    NULL)
		return NULL;
	return f;
}

int
flow_reload(struct flow *f, const struct snap *snap, struct err *err)
{
	struct view *v = view_load(f, snap, err);

	if (v == NULL)
		return -1;
	if (dns_reload(f->dns, snap_section(snap, "resolv"),
	    snap_section(snap, "hosts"), err) != 0) {
		view_unref(v);
		return -1;
	}
	view_unref(f->view);
	f->view = v;
	lists_drop_all(f);
	stdio_reloaded(f);
	upstream_pool_set_connect_ms(f->pool,
	    (uint64_t)v->conf->limits.connect_ms);
	emit_set_patience(f->emit, (uint64_t)v->conf->limits.record_ms);
	return 0;
}

static void
on_listener(void *ctx, unsigned events)
{
	(void)events;
	conn_accept(ctx);
}

void
flow_listen(struct flow *f, enum conf_listener_kind kind,
    const char *address, int fd)
{
	struct listener *l = base_calloc(1, sizeof(*l));

	*l = (struct listener){ .f = f, .kind = kind, .fd = fd };
	balancer_init(l, address);
	list_append(&f->listeners, &l->link);
	l->watch = loop_fd_add(f->loop, fd, LOOP_READ, on_listener, l);
}

void
flow_stop(struct flow *f)
{
	f->stopping = true;
	list_each_safe(it, tmp, &f->listeners) {
		struct listener *l = list_entry(it, struct listener, link);

		list_remove(it);
		loop_fd_del(l->watch);
		free(l->from);
		free(l);
	}
	while (!list_empty(&f->conns))
		conn_abort(list_entry(f->conns.next, struct conn, link));
	while (!list_empty(&f->cuts.conns))
		conn_abort(list_entry(f->cuts.conns.next, struct conn, link));
	away_stop(f);
	aggregate_stop(f);
	(void)toolcache_drop(f->toolcache, NULL);	/* timers still run */
	emit_flush(f->emit);
}
