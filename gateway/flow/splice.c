/*
 * splice - an uncatalogued host, passed unopened because policy says so: the
 * bytes go through as they are (the host keeps its own certificate), address
 * guarded, recorded before the first byte and with counts at the end.
 */
#include "internal.h"

#include <stdlib.h>

#include "log.h"

struct splice {
	struct conn *c;
	struct session *session;
	struct upstream_request *req;
	struct upstream *u;
	uint64_t via_q;			/* asked of the keeper, 0: nothing */
	struct buf down;		/* from the host, on its way */
	struct uuid id;
	uint64_t bytes_up, bytes_down;
	bool u_eof, recorded;
};

static void on_upstream_event(void *ctx, unsigned events);

void
splice_free(struct splice *s)
{
	struct flow *f = s->c->f;

	emit_forget(f->emit, s);
	loop_soon_cancel(f->loop, s);
	if (s->via_q != 0)
		svc_forget(f, s->via_q);
	upstream_cancel(s->req);
	upstream_close(s->u, false);
	if (s->recorded)
		(void)record_spliced(f, s->c, uuid_v7(), "end", &s->session->who,
		    s->bytes_up, s->bytes_down, NULL, NULL);
	session_unref(s->session);
	s->c->splice = NULL;
	loop_defer_free(f->loop, s);
}

bool
splice_killed(const struct splice *s)
{
	const struct killpage *k = s->c->f->kill;

	return s->session->revoked || killpage_all(k) ||
	    killpage_hit(k, s->session->kill_user) ||
	    killpage_hit(k, s->session->kill_agent) ||
	    killpage_hit(k, s->session->kill_session);
}

static void
pump(struct splice *s)
{
	struct conn *c = s->c;

	if (c->cut) {
		upstream_watch(s->u, 0, NULL, NULL);	/* until it is closed */
		return;
	}
	while (c->in.len > 0) {
		if (splice_killed(s)) {
			conn_cut(c);
			return;
		}
		ssize_t k = stream_write(s->u->s, buf_data(&c->in), c->in.len);

		if (k == TLS_WANT_READ || k == TLS_WANT_WRITE)
			break;
		if (k < 0) {
			conn_finish(c);
			return;
		}
		buf_consume(&c->in, (size_t)k);
		s->bytes_up += (uint64_t)k;
	}
	while (!s->u_eof && c->out.len < FLOW_OUT_HIGH) {
		char *p = buf_reserve(&c->out, FLOW_READ);
		ssize_t k = p == NULL ? TLS_WANT_READ :
		    stream_read(s->u->s, p, FLOW_READ);

		if (k == TLS_WANT_READ || k == TLS_WANT_WRITE)
			break;
		if (k < 0) {
			s->u_eof = true;
			break;
		}
		buf_commit(&c->out, (size_t)k);
		s->bytes_down += (uint64_t)k;
	}
	conn_kick(c);
	if (s->u_eof || (c->eof && c->in.len == 0)) {
		conn_finish(c);
		return;
	}
	upstream_watch(s->u, (c->out.len < FLOW_OUT_HIGH ? LOOP_READ : 0) |
	    (c->in.len > 0 ? LOOP_WRITE : 0), on_upstream_event, s);
}

static void
on_upstream_event(void *ctx, unsigned events)
{
	struct splice *s = ctx;

	(void)events;
	pump(s);
}

void
splice_data(struct conn *c)
{
	if (c->splice != NULL && c->splice->u != NULL)
		pump(c->splice);
	else if (c->eof)
		conn_abort(c);
}

static void
answer(struct conn *c, unsigned status, const char *word, const char *text)
{
	if (http1_write_error(&c->out, status, word, text, NULL, true) != 0)
		log_error("no room for an error answer");
	conn_finish(c);
}

static void
on_connected(void *ctx, struct upstream *u, enum reason reason,
    const char *detail)
{
	struct splice *s = ctx;
	struct conn *c = s->c;

	s->req = NULL;
	if (u == NULL) {
		record_refused(c->f, c, EVENT_CONNECTION_REFUSED, reason,
		    c->authority.host, detail, NULL);
		answer(c, reason == REASON_ADDRESS ? 403 : 502,
		    reason_word(reason), detail);
		return;
	}
	s->u = u;
	loop_timer_stop(c->timer);
	if (http1_write_response(&c->out, 200,
	    SLICE("Connection established")) != 0 ||
	    http1_write_end(&c->out) != 0)
		log_error("no room for the answer to CONNECT");
	pump(s);
}

static void
connect_to(struct splice *s, struct slice authorization)
{
	struct conn *c = s->c;
	const struct connector_via *v = &c->f->view->connectors->via;
	struct via_target via = { .host = v->host, .port = v->port,
		.authorization = authorization };
	/* Never pooled: the key is this splice's own. */
	struct upstream_target t = { .host = c->authority.host,
		.port = c->authority.port,
		.key = slice_make(s->id.b, sizeof(s->id.b)),
		.via = v->host[0] != '\0' ? &via : NULL };

	s->req = upstream_get(c->f->pool, &t, on_connected, s);
}

static void
on_via_credential(void *ctx, enum msg_type type, struct unpack *u)
{
	struct splice *s = ctx;

	s->via_q = 0;
	if (type == MSG_CRED) {
		struct slice name = unpack_slice(u), value = unpack_slice(u);

		(void)name;
		if (unpack_done(u)) {
			connect_to(s, value);
			return;
		}
	}
	answer(s->c, 503, reason_word(REASON_CREDENTIAL),
	    reason_text(REASON_CREDENTIAL));
}

static void
on_recorded(void *ctx, bool ok)
{
	struct splice *s = ctx;
	struct conn *c = s->c;
	const struct connector_via *v = &c->f->view->connectors->via;

	if (!ok) {
		answer(c, 503, reason_word(REASON_AUDIT_UNAVAILABLE),
		    reason_text(REASON_AUDIT_UNAVAILABLE));
		return;
	}
	if (v->credential[0] == '\0') {
		connect_to(s, slice_make("", 0));
		return;
	}
	s->via_q = svc_via_credential(c->f, v, on_via_credential, s);
	if (s->via_q == 0)
		answer(c, 503, reason_word(REASON_CREDENTIAL),
		    reason_text(REASON_CREDENTIAL));
}

void
splice_begin(struct conn *c, const struct session *session)
{
	struct splice *s = base_calloc(1, sizeof(*s));

	s->c = c;
	s->session = (struct session *)(uintptr_t)session;
	s->session->refs++;
	s->id = uuid_v7();
	c->splice = s;
	c->tunnel = true;
	/* What is queued will be recorded, so its end must be as well. */
	s->recorded = record_spliced(c->f, c, s->id, "begin", &session->who, 0,
	    0, on_recorded, s) == 0;
	if (!s->recorded)
		on_recorded(s, false);
}
