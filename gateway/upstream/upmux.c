/* upmux - see upmux.h. */
#include "upmux.h"

#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "http2.h"
#include "list.h"
#include "log.h"

#define READ_MAX 16384u
#define READS_A_WAKE 16
/* Servers end a connection after a number of requests, often 1,000, and refuse
 * what is sent at that moment: ours ends before. */
#define REQUESTS_MAX 900
#define OUT_MAX (HTTP2_OUT_HIGH * 4)

struct upmux_set {
	struct loop *loop;
	uint64_t idle_ms;
	struct list muxes;
};

/* One connection. */
struct upmux {
	struct list link;
	struct upmux_set *set;
	char *key;
	struct stream *s;
	struct loop_fd *watch;
	struct http2 *h2;
	struct buf out;
	char peer[ADDR_TEXT_MAX];
	uint64_t idle_since_ms;		/* 0: it has streams */
	unsigned requests;
	bool closed;
};

/* One stream of it, as its user watches it. */
struct upmux_stream {
	struct loop *loop;
	struct http2_stream *st;
	loop_fd_fn *fn;
	void *ctx;
	unsigned events;
	bool writable;
};

static void on_event(void *ctx, unsigned events);
static void flush(void *ctx);

/* What epoll would say. */
static void
on_soon(void *ctx)
{
	struct upstream *u = ctx;
	struct upmux_stream *m = u->h2;
	unsigned ev = m->events & LOOP_READ;

	if ((m->events & LOOP_WRITE) && m->writable)
		ev |= LOOP_WRITE;
	m->writable = false;
	if (ev != 0 && m->fn != NULL)
		m->fn(m->ctx, ev);
}

static void
on_stream(void *user, unsigned events)
{
	struct upstream *u = user;
	struct upmux_stream *m = u->h2;

	m->writable |= (events & (HTTP2_WRITABLE | HTTP2_CLOSED)) != 0;
	loop_soon(m->loop, on_soon, u);
}

void
upmux_watch(struct upstream *u, unsigned events, loop_fd_fn *fn, void *ctx)
{
	struct upmux_stream *m = u->h2;

	m->events = events;
	m->fn = fn;
	m->ctx = ctx;
	if (fn != NULL && (((events & LOOP_READ) &&
	    http2_pending(m->st) > 0) || ((events & LOOP_WRITE) &&
	    m->writable)))
		loop_soon(m->loop, on_soon, u);
}

static void
stream_gone(struct upstream *u)
{
	struct loop *l = u->h2->loop;

	loop_soon_cancel(l, u);
	free(u->h2);
	loop_defer_free(l, u);
}

void
upmux_put(struct upstream *u)
{
	http2_whole(u->h2->st);
	upmux_close(u, false);
}

void
upmux_close(struct upstream *u, bool do_abort)
{
	if (do_abort)
		stream_abort(u->s);
	else
		stream_free(u->s);
	stream_gone(u);
}

bool
upmux_refused(const struct upstream *u)
{
	return http2_refused(u->h2->st);
}

bool
upmux_lost(const struct upstream *u)
{
	return http2_lost(u->h2->st);
}

static struct upstream *
open_stream(struct upmux *m)
{
	struct upstream *u = base_calloc(1, sizeof(*u));
	struct upmux_stream *h = base_calloc(1, sizeof(*h));

	h->loop = m->set->loop;
	h->st = http2_open(m->h2, u);
	u->h2 = h;
	u->s = http2_as_stream(h->st, stream_fd(m->s));
	memcpy(u->peer, m->peer, sizeof(u->peer));
	m->idle_since_ms = 0;
	u->uses = m->requests++;
	return u;
}

/* --- the connection ------------------------------------------------------------------ */

static void
mux_close(struct upmux *m)
{
	struct loop *l = m->set->loop;

	if (m->closed)
		return;
	m->closed = true;
	list_remove(&m->link);
	loop_soon_cancel(l, m);
	loop_at_end_cancel(l, m);
	loop_fd_del(m->watch);
	http2_free(m->h2);
	stream_free(m->s);
	buf_wipe_free(&m->out);
	free(m->key);
	loop_defer_free(l, m);
}

static void
flush(void *ctx)
{
	struct upmux *m = ctx;
	bool blocked = false;

	while (!m->closed && !blocked) {
		if (http2_fill(m->h2, &m->out) != 0) {
			mux_close(m);
			return;
		}
		if (m->out.len == 0)
			break;
		ssize_t k = stream_write(m->s, buf_data(&m->out), m->out.len);

		if (k == TLS_WANT_READ || k == TLS_WANT_WRITE)
			blocked = true;
		else if (k < 0)
			mux_close(m);
		else
			buf_consume(&m->out, (size_t)k);
	}
	if (m->closed)
		return;
	if (m->out.len == 0 && http2_done(m->h2)) {
		mux_close(m);
		return;
	}
	if (m->out.len == 0)
		buf_free(&m->out);
	loop_fd_set(m->watch, LOOP_READ | (blocked ? LOOP_WRITE : 0));
}

static void
read_more(void *ctx)
{
	on_event(ctx, LOOP_READ);
}

static void
on_event(void *ctx, unsigned events)
{
	static char p[READ_MAX];
	struct upmux *m = ctx;
	int r = 0;

	if (m->closed)
		return;
	(void)events;
	for (int i = 0; i < READS_A_WAKE && r == 0; i++) {
		ssize_t k = stream_read(m->s, p, sizeof(p));

		if (k == TLS_WANT_READ || k == TLS_WANT_WRITE) {
			flush(m);
			return;
		}
		if (k < 0) {
			mux_close(m);
			return;
		}
		r = http2_recv(m->h2, slice_make(p, (size_t)k));
		explicit_bzero(p, (size_t)k);
	}
	flush(m);
	if (r != 0)
		mux_close(m);
	else if (!m->closed)
		loop_soon(m->set->loop, read_more, m);
}

static void
on_output(void *ctx)
{
	struct upmux *m = ctx;

	loop_at_end(m->set->loop, flush, m);
}

static void
on_refused(void *ctx, const char *why)
{
	struct upmux *m = ctx;

	log_warn("HTTP/2 of %s: %s", m->peer, why);
}

static const struct http2_events events_up = { NULL, on_refused, on_output,
	on_stream };

struct upstream *
upmux_get(struct upmux_set *set, struct slice key)
{
	list_each(it, &set->muxes) {
		struct upmux *m = list_entry(it, struct upmux, link);

		if (slice_is(key, m->key) && m->requests < REQUESTS_MAX &&
		    http2_has_room(m->h2))
			return open_stream(m);
	}
	return NULL;
}

struct upstream *
upmux_add(struct upmux_set *set, struct slice key, struct stream *s,
    struct loop_fd *watch, const char *peer)
{
	struct upmux *m = base_calloc(1, sizeof(*m));

	m->set = set;
	m->key = slice_dup(key);
	m->s = s;
	m->watch = watch;
	snprintf(m->peer, sizeof(m->peer), "%s", peer);
	buf_init(&m->out, OUT_MAX);
	m->h2 = http2_client(NULL, &events_up, m);
	list_append(&set->muxes, &m->link);
	loop_fd_rebind(watch, LOOP_READ, on_event, m);
	/* TLS may have read frames together with its own last words. */
	loop_soon(set->loop, read_more, m);
	on_output(m);
	return open_stream(m);
}

void
upmux_sweep(struct upmux_set *set)
{
	uint64_t now = clock_mono_ms();

	list_each_safe(it, tmp, &set->muxes) {
		struct upmux *m = list_entry(it, struct upmux, link);

		if (http2_open_streams(m->h2) > 0)
			m->idle_since_ms = 0;
		else if (m->idle_since_ms == 0)
			m->idle_since_ms = now;
		else if (now - m->idle_since_ms >= set->idle_ms ||
		    m->requests >= REQUESTS_MAX)
			mux_close(m);
	}
}

struct upmux_set *
upmux_set_new(struct loop *l, uint64_t idle_ms)
{
	struct upmux_set *set = base_calloc(1, sizeof(*set));

	set->loop = l;
	set->idle_ms = idle_ms;
	list_init(&set->muxes);
	return set;
}

void
upmux_set_free(struct upmux_set *set)
{
	if (set == NULL)
		return;
	while (!list_empty(&set->muxes))
		mux_close(list_entry(set->muxes.next, struct upmux, link));
	free(set);
}
