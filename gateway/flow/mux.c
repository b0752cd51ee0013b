/*
 * mux - HTTP/2 from an agent. The connection carries frames (lib/net/http2);
 * each stream on it is a struct conn of its own, without a descriptor, that
 * brings one request. So a call meets the same steps, limits, deadlines and
 * cuts on both transports, and a kill resets streams: its neighbours on the
 * connection go on.
 */
#include "internal.h"

#include <stdlib.h>

#include "http2.h"
#include "log.h"

struct mux {
	struct conn *c;			/* the connection */
	struct http2 *h2;
	bool idle;			/* the timer waits for a stream */
};

/* --- what the session tells -------------------------------------------------------- */

static void
on_request(void *ctx, struct http2_stream *st)
{
	struct mux *m = ctx;
	struct conn *v = conn_new_stream(m->c, st);

	if (v == NULL)
		return;
	v->s = http2_as_stream(st, stream_fd(m->c->s));
	http2_accept(st, v);
}

static void
on_refused(void *ctx, const char *why)
{
	struct mux *m = ctx;

	record_refused(m->c->f, m->c, EVENT_CONNECTION_REFUSED,
	    REASON_AMBIGUOUS, m->c->authority.host, why, NULL);
}

static void
on_output(void *ctx)
{
	struct mux *m = ctx;

	loop_at_end(m->c->f->loop, conn_flush, m->c);
}

static void
on_stream(void *user, unsigned events)
{
	conn_stream_event(user, (events & HTTP2_CLOSED) != 0);
}

static const struct http2_events events = { on_request, on_refused, on_output,
	on_stream };

/* --- the connection ------------------------------------------------------------------ */

/* A field section must come whole within header_time; a connection without a
 * stream ends after limits.idle. */
static void
set_timer(struct mux *m)
{
	const struct conf_limits *l = &m->c->f->view->conf->limits;
	bool idle = http2_open_streams(m->h2) == 0;

	if (http2_in_headers(m->h2)) {
		if (m->idle)
			loop_timer_set(m->c->timer, (uint64_t)l->header_ms);
		m->idle = false;
	} else if (!idle) {
		m->idle = false;
		loop_timer_stop(m->c->timer);
	} else if (!m->idle) {
		m->idle = true;
		loop_timer_set(m->c->timer, (uint64_t)l->idle_ms);
	}
}

void
mux_begin(struct conn *c)
{
	const struct conf_limits *l = &c->f->view->conf->limits;
	struct http2_limits lim = { .header = (size_t)l->header,
		.fields = (unsigned)l->fields };
	struct mux *m = base_calloc(1, sizeof(*m));

	m->c = c;
	m->h2 = http2_server(&lim, &events, m);
	c->mux = m;
	c->state = CONN_MUX;
	set_timer(m);
	on_output(m);
}

void
mux_free(struct mux *m)
{
	if (m == NULL)
		return;
	http2_free(m->h2);
	free(m);
}

void
mux_data(struct conn *c)
{
	struct mux *m = c->mux;
	int r = http2_recv(m->h2, buf_slice(&c->in));

	buf_reset(&c->in);
	if (c->in.cap > FLOW_READ)
		buf_free(&c->in);
	if (r != 0 || http2_done(m->h2))
		conn_finish(c);		/* GOAWAY leaves first */
	else
		set_timer(m);
}

int
mux_fill(struct conn *c)
{
	struct mux *m = c->mux;

	if (http2_fill(m->h2, &c->out) != 0)
		return -1;
	if (c->state == CONN_MUX)
		set_timer(m);
	return 0;
}

void
mux_timeout(struct conn *c)
{
	http2_goaway(c->mux->h2);
	conn_finish(c);
}

bool
mux_done(const struct conn *c)
{
	return http2_done(c->mux->h2);
}

bool
mux_stream_complete(const struct conn *v)
{
	return http2_stream_complete(v->h2_stream);
}
