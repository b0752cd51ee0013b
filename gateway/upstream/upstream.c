/* upstream - see upstream.h. */
#include "upstream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "list.h"
#include "log.h"
#include "map.h"
#include "upmux.h"

#define TRY_MAX 4

struct upstream_pool {
	struct loop *loop;
	struct dns *dns;
	uint64_t connect_ms, idle_ms;
	size_t idle_max, idle;
	struct map by_key;		/* key -> first struct upstream */
	struct loop_timer *sweep;
	struct upmux_set *muxes;
	struct list pending;		/* requests */
};

struct upstream_request {
	struct list link;		/* in pool.pending */
	struct upstream_pool *pool;
	char *host, *key;
	uint16_t port;
	struct tls_ctx *tls;
	struct addr_cidr *pins;
	size_t npins;
	struct via *via;		/* until its tunnel stands */
	upstream_done_fn *fn;
	void *ctx;
	struct dns_query *query;
	struct addr addrs[TRY_MAX];
	size_t naddrs, at;
	bool guarded;			/* an address was refused */
	bool fresh;			/* shares no connection */
	int fd;
	struct loop_fd *watch;
	struct stream *s;
	struct loop_timer *timer;
	char detail[256];
	bool done;
};

static void try_next(struct upstream_request *r);

static void
upstream_free(struct upstream *u)
{
	struct loop *l = u->pool->loop;

	loop_fd_del(u->watch);
	free(u->key);
	loop_defer_free(l, u);
}

void
upstream_close(struct upstream *u, bool do_abort)
{
	if (u == NULL)
		return;
	if (u->h2 != NULL) {
		upmux_close(u, do_abort);
		return;
	}
	loop_fd_del(u->watch);
	u->watch = NULL;
	if (do_abort)
		stream_abort(u->s);
	else
		stream_free(u->s);
	upstream_free(u);
}

/* --- idle connections ----------------------------------------------------- */

static void
unlink_idle(struct upstream *u)
{
	struct upstream_pool *p = u->pool;
	struct slice key = slice_str(u->key);
	struct upstream *head = map_get(&p->by_key, key);

	if (head == u) {
		if (u->next != NULL)
			map_put(&p->by_key, key, u->next);
		else
			map_del(&p->by_key, key);
	} else {
		while (head != NULL && head->next != u)
			head = head->next;
		ASSERT(head != NULL);
		head->next = u->next;
	}
	u->next = NULL;
	p->idle--;
}

static void
on_idle_event(void *ctx, unsigned events)
{
	struct upstream *u = ctx;
	char c;

	(void)events;
	/* TLS 1.3 tickets arrive on an idle connection: they are no data. */
	if (stream_read(u->s, &c, 1) == TLS_WANT_READ)
		return;
	unlink_idle(u);
	upstream_close(u, false);
}

static void
on_sweep(void *ctx)
{
	struct upstream_pool *p = ctx;
	uint64_t now = clock_mono_ms();
	struct upstream *old[256];
	size_t n = 0, i = 0;
	void *v;

	while (map_next(&p->by_key, &i, NULL, &v))
		for (struct upstream *u = v; u != NULL && n < ARRAY_LEN(old);
		    u = u->next)
			if (now - u->idle_since_ms >= p->idle_ms)
				old[n++] = u;
	for (i = 0; i < n; i++) {
		unlink_idle(old[i]);
		upstream_close(old[i], false);
	}
	upmux_sweep(p->muxes);
	loop_timer_set(p->sweep, 1000);
}

struct upstream_pool *
upstream_pool_new(struct loop *l, struct dns *dns, uint64_t connect_ms,
    uint64_t idle_ms, size_t idle_max)
{
	struct upstream_pool *p = base_calloc(1, sizeof(*p));

	p->loop = l;
	p->dns = dns;
	p->connect_ms = connect_ms;
	p->idle_ms = idle_ms;
	p->idle_max = idle_max;
	map_init(&p->by_key);
	p->muxes = upmux_set_new(l, idle_ms);
	list_init(&p->pending);
	p->sweep = loop_timer_new(l, on_sweep, p);
	loop_timer_set(p->sweep, 1000);
	return p;
}

void
upstream_pool_set_connect_ms(struct upstream_pool *p, uint64_t ms)
{
	p->connect_ms = ms;
}

void
upstream_pool_free(struct upstream_pool *p)
{
	size_t i;
	void *v;

	if (p == NULL)
		return;
	while (i = 0, map_next(&p->by_key, &i, NULL, &v)) {
		struct upstream *u = v;

		unlink_idle(u);
		upstream_close(u, false);
	}
	map_free(&p->by_key);
	upmux_set_free(p->muxes);
	loop_timer_del(p->sweep);
	free(p);
}

void
upstream_put(struct upstream *u)
{
	struct upstream_pool *p = u->pool;

	if (u->h2 != NULL) {
		upmux_put(u);
		return;
	}
	struct slice key = slice_str(u->key);

	if (p->idle >= p->idle_max) {
		upstream_close(u, false);
		return;
	}
	u->uses++;
	u->idle_since_ms = clock_mono_ms();
	u->next = map_get(&p->by_key, key);
	map_put(&p->by_key, key, u);
	p->idle++;
	upstream_watch(u, LOOP_READ, on_idle_event, u);
}

void
upstream_adopt(struct upstream_pool *p, struct slice key, struct stream *s,
    struct loop_fd *watch)
{
	struct upstream *u = base_calloc(1, sizeof(*u));

	u->pool = p;
	u->s = s;
	u->watch = watch;
	u->key = slice_dup(key);
	upstream_put(u);
}

struct upstream *
upstream_take(struct upstream_pool *p, struct slice key)
{
	struct upstream *u = map_get(&p->by_key, key);

	if (u == NULL)
		return NULL;
	unlink_idle(u);
	loop_fd_rebind(u->watch, LOOP_READ, NULL, NULL);
	return u;
}

void
upstream_drop(struct upstream_pool *p, const char *prefix)
{
	size_t i = 0;
	struct slice key;
	void *v;

	while (map_next(&p->by_key, &i, &key, &v)) {
		struct upstream *u = v;

		if (!slice_starts(key, prefix))
			continue;
		unlink_idle(u);
		upstream_close(u, false);
		i = 0;		/* the map has changed */
	}
}

void
upstream_watch(struct upstream *u, unsigned events, loop_fd_fn *fn, void *ctx)
{
	if (u->h2 != NULL)
		upmux_watch(u, events, fn, ctx);
	else
		loop_fd_rebind(u->watch, events, fn, ctx);
}

bool
upstream_refused(const struct upstream *u)
{
	return u->h2 != NULL && upmux_refused(u);
}

bool
upstream_lost(const struct upstream *u)
{
	return u->uses > 0 && (u->h2 == NULL || upmux_lost(u));
}

/* --- a new connection ------------------------------------------------------ */

static void
request_free(struct upstream_request *r)
{
	struct loop *l = r->pool->loop;

	r->done = true;
	list_remove(&r->link);
	dns_cancel(r->query);
	loop_fd_del(r->watch);
	loop_timer_del(r->timer);
	if (r->s != NULL)
		stream_abort(r->s);
	else
		base_close(&r->fd);
	free(r->host);
	free(r->key);
	free(r->pins);
	via_free(r->via);
	loop_defer_free(l, r);
}

static void
fail(struct upstream_request *r, enum reason reason, const char *detail)
{
	upstream_done_fn *fn = r->fn;
	void *ctx = r->ctx;
	char text[256];

	snprintf(text, sizeof(text), "%s", detail);
	request_free(r);
	fn(ctx, NULL, reason, text);
}

void
upstream_cancel(struct upstream_request *r)
{
	if (r != NULL && !r->done)
		request_free(r);
}

/* Others that still connect to the same end need not: they get streams of the
 * connection that is there. */
static bool
share_one(struct upstream_pool *p, const char *key)
{
	list_each(it, &p->pending) {
		struct upstream_request *r = list_entry(it,
		    struct upstream_request, link);
		upstream_done_fn *fn = r->fn;
		void *ctx = r->ctx;
		struct upstream *u;

		if (r->fresh || strcmp(r->key, key) != 0)
			continue;
		u = upmux_get(p->muxes, slice_str(key));
		if (u == NULL)
			return false;
		request_free(r);
		fn(ctx, u, REASON_NONE, "");
		return true;
	}
	return false;
}

/* HTTP/2 was agreed on: the first stream of a new connection. */
static void
connected_h2(struct upstream_request *r)
{
	struct upstream_pool *p = r->pool;
	upstream_done_fn *fn = r->fn;
	void *ctx = r->ctx;
	char *key = base_strdup(r->key);
	char peer[ADDR_TEXT_MAX];

	addr_format(&r->addrs[r->at], peer);
	struct upstream *u = upmux_add(r->pool->muxes, slice_str(r->key), r->s,
	    r->watch, peer);

	r->s = NULL;
	r->fd = -1;
	r->watch = NULL;
	request_free(r);
	fn(ctx, u, REASON_NONE, "");
	while (share_one(p, key))
		;
	free(key);
}

static void
connected(struct upstream_request *r)
{
	struct upstream *u = base_calloc(1, sizeof(*u));
	upstream_done_fn *fn = r->fn;
	void *ctx = r->ctx;

	u->pool = r->pool;
	u->s = r->s;
	r->s = NULL;
	r->fd = -1;
	u->key = r->key;
	r->key = NULL;
	u->watch = r->watch;
	r->watch = NULL;
	addr_format(&r->addrs[r->at], u->peer);
	loop_fd_rebind(u->watch, LOOP_READ, NULL, NULL);
	request_free(r);
	fn(ctx, u, REASON_NONE, "");
}

static void
on_handshake(void *ctx, unsigned events)
{
	struct upstream_request *r = ctx;
	int k = stream_handshake(r->s);

	(void)events;
	if (k == TLS_WANT_READ || k == TLS_WANT_WRITE) {
		loop_fd_set(r->watch, k == TLS_WANT_READ ? LOOP_READ :
		    LOOP_WRITE);
		return;
	}
	if (k == 1 && r->tls != NULL && tls_conn_h2(stream_tls(r->s))) {
		connected_h2(r);
		return;
	}
	if (k == 1) {
		connected(r);
		return;
	}
	snprintf(r->detail, sizeof(r->detail), "%s: %s", r->host,
	    stream_error(r->s));
	/* Another address of the same name will not have a better one. */
	fail(r, k == TLS_BAD_CERT ? REASON_UPSTREAM_TLS : REASON_UPSTREAM,
	    r->detail);
}

/* The descriptor leads to the proxy on the way, then to the upstream. */
static void
on_via(void *ctx, unsigned events)
{
	struct upstream_request *r = ctx;

	(void)events;
	switch (r->via == NULL ? VIA_DONE : via_step(r->via, r->fd)) {
	case VIA_READ:
		loop_fd_set(r->watch, LOOP_READ);
		return;
	case VIA_WRITE:
		loop_fd_set(r->watch, LOOP_WRITE);
		return;
	case VIA_FAILED:
		fail(r, REASON_UPSTREAM_PROXY, via_error(r->via));
		return;
	case VIA_DONE:
		break;
	}
	via_free(r->via);
	r->via = NULL;
	r->s = r->tls == NULL ? stream_plain(r->fd, slice_make("", 0)) :
	    stream_tls_client(r->tls, r->fd, r->host, slice_str(r->key));
	loop_fd_rebind(r->watch, LOOP_READ, on_handshake, r);
	on_handshake(r, 0);
}

static const char *
via_word(const struct upstream_request *r)
{
	return r->via != NULL ? "the upstream proxy on the way to " : "";
}

static void
on_connect(void *ctx, unsigned events)
{
	struct upstream_request *r = ctx;
	int e = 0;
	socklen_t n = sizeof(e);

	(void)events;
	if (getsockopt(r->fd, SOL_SOCKET, SO_ERROR, &e, &n) != 0)
		e = errno;
	if (e != 0) {
		snprintf(r->detail, sizeof(r->detail), "%s%s: %s",
		    via_word(r), r->host, strerror(e));
		loop_fd_del(r->watch);
		r->watch = NULL;
		base_close(&r->fd);
		r->at++;
		try_next(r);
		return;
	}
	loop_fd_rebind(r->watch, LOOP_READ, on_via, r);
	on_via(r, 0);
}

static void
try_next(struct upstream_request *r)
{
	struct sockaddr_storage ss;
	int one = 1;

	for (; r->at < r->naddrs; r->at++) {
		struct addr *a = &r->addrs[r->at];

		a->port = r->port;
		socklen_t n = addr_to_sockaddr(a, &ss);

		r->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC |
		    SOCK_NONBLOCK, 0);
		if (r->fd < 0)
			break;
		setsockopt(r->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (connect(r->fd, (struct sockaddr *)&ss, n) == 0 ||
		    errno == EINPROGRESS) {
			r->watch = loop_fd_add(r->pool->loop, r->fd,
			    LOOP_WRITE, on_connect, r);
			return;
		}
		snprintf(r->detail, sizeof(r->detail), "%s: %s", r->host,
		    strerror(errno));
		base_close(&r->fd);
	}
	fail(r, r->via != NULL ? REASON_UPSTREAM_PROXY : REASON_UPSTREAM,
	    r->detail[0] != '\0' ? r->detail : "no address to connect to");
}

static void
on_resolved(void *ctx, const struct dns_answer *answer)
{
	struct upstream_request *r = ctx;
	const struct addr *addrs = answer->addrs;
	char ip[ADDR_TEXT_MAX] = "";
	enum addr_class cls = ADDR_GLOBAL;

	r->query = NULL;
	for (size_t i = 0; i < answer->n && r->naddrs < TRY_MAX; i++) {
		if (addr_guard_allowed(&addrs[i], r->pins, r->npins)) {
			r->addrs[r->naddrs++] = addrs[i];
			continue;
		}
		r->guarded = true;
		cls = addr_classify(&addrs[i]);
		addr_format_ip(&addrs[i], ip);
	}
	if (r->naddrs == 0 && r->guarded) {
		snprintf(r->detail, sizeof(r->detail), "%s is %s, a %s "
		    "address: the connector must pin it", r->host, ip,
		    addr_class_name(cls));
		fail(r, REASON_ADDRESS, r->detail);
		return;
	}
	if (r->naddrs == 0) {
		snprintf(r->detail, sizeof(r->detail), "%s%s: %s",
		    via_word(r), r->host, dns_status_text(answer->status));
		fail(r, r->via != NULL ? REASON_UPSTREAM_PROXY :
		    REASON_UPSTREAM, r->detail);
		return;
	}
	try_next(r);
}

static void
on_timeout(void *ctx)
{
	struct upstream_request *r = ctx;

	snprintf(r->detail, sizeof(r->detail), "%s: no connection within %llu "
	    "ms", r->host, (unsigned long long)r->pool->connect_ms);
	fail(r, REASON_UPSTREAM, r->detail);
}

/* The operator names the proxy, so every address but none and many will do.
 * What is asked for it resolves; only an IP literal can be guarded here. */
static bool
begin_via(struct upstream_request *r, const struct upstream_target *t)
{
	static const struct addr_cidr all[] = { { .net = { .family = 4 } },
		{ .net = { .family = 6 } } };
	struct addr a;

	if (addr_parse_ip(slice_str(t->host), &a) &&
	    !addr_guard_allowed(&a, t->pins, t->npins)) {
		snprintf(r->detail, sizeof(r->detail), "%s is a %s address: "
		    "the connector must pin it", t->host,
		    addr_class_name(addr_classify(&a)));
		fail(r, REASON_ADDRESS, r->detail);
		return false;
	}
	r->via = via_new(t->via, t->host, t->port);
	if (r->via == NULL) {
		fail(r, REASON_UPSTREAM_PROXY, "the upstream proxy's "
		    "credential cannot stand in a header");
		return false;
	}
	r->pins = base_realloc(r->pins, sizeof(all));
	memcpy(r->pins, all, sizeof(all));
	r->npins = ARRAY_LEN(all);
	r->port = t->via->port;
	return true;
}

struct upstream_request *
upstream_get(struct upstream_pool *p, const struct upstream_target *t,
    upstream_done_fn *fn, void *ctx)
{
	struct upstream *u = t->fresh ? NULL : upstream_take(p, t->key);
	struct upstream_request *r;

	if (u == NULL && !t->fresh)
		u = upmux_get(p->muxes, t->key);
	if (u != NULL) {
		fn(ctx, u, REASON_NONE, "");
		return NULL;
	}
	r = base_calloc(1, sizeof(*r));
	r->pool = p;
	list_append(&p->pending, &r->link);
	r->host = base_strdup(t->host);
	r->port = t->port;
	r->tls = t->tls;
	r->key = slice_dup(t->key);
	r->pins = base_calloc(t->npins + 1, sizeof(*r->pins));
	if (t->npins > 0)
		memcpy(r->pins, t->pins, t->npins * sizeof(*r->pins));
	r->npins = t->npins;
	r->fresh = t->fresh;
	r->fn = fn;
	r->ctx = ctx;
	r->fd = -1;
	r->timer = loop_timer_new(p->loop, on_timeout, r);
	loop_timer_set(r->timer, p->connect_ms);
	if (t->via != NULL && !begin_via(r, t))
		return NULL;
	struct dns_query *q = dns_resolve(p->dns, t->via != NULL ?
	    t->via->host : t->host, on_resolved, r);

	if (r->done)
		return NULL;
	if (q != NULL)
		r->query = q;
	return r;
}
