/*
 * deadline - what waits for a stranger for too long. One timer a proxy looks
 * once a second at all exchanges and connections; the path of a call only
 * counts bytes. A limit is therefore kept to within a second, late, never
 * early; while this process itself stands still no time passes.
 */
#include "internal.h"

#include "log.h"

static bool
over(unsigned seconds, int64_t limit_ms)
{
	return (int64_t)seconds * 1000 > limit_ms;
}

/* On an event stream of which all was sent, between two events, the call can
 * still be answered: a client that only saw its stream end would wait. */
static bool
answers_on_stream(const struct exchange *ex)
{
	return ex->con->kind == CONNECTOR_MCP && ex->msg.kind == MCP_REQUEST &&
	    (ex->hold_stream || ex->sse != NULL) && ex->chunked_out &&
	    ex->c->out.len == 0;
}

static void
timed_out(struct exchange *ex, const char *status, const char *why,
    int64_t limit_ms)
{
	upstream_close(ex->u, true);
	ex->u = NULL;
	ex->mode = RESP_END;
	ex->end_status = status;
	if (ex->head_out)
		ex->hold_stream = answers_on_stream(ex);
	exchange_refuse(ex, REASON_UPSTREAM_TIME, "(%s within %lld ms)", why,
	    (long long)limit_ms);
	exchange_answer_refusal(ex);
}

static void
agent_too_slow(struct exchange *ex)
{
	upstream_close(ex->u, true);
	ex->u = NULL;
	ex->mode = RESP_END;
	ex->keep_alive = false;
	ex->refusal_status = 408;
	exchange_refuse(ex, REASON_AMBIGUOUS,
	    "The request body did not arrive in time.");
	exchange_answer_refusal(ex);
}

static void
look_at_exchange(struct exchange *ex)
{
	const struct conf_limits *l = &ex->view->conf->limits;
	bool events = ex->mode == RESP_WS || (ex->mode == RESP_SSE &&
	    (ex->req->method_id == HTTP1_M_GET ||
	    slice_is(ex->msg.method, "subscriptions/listen")));
	int64_t idle = events ? l->stream_idle_ms : l->upstream_idle_ms;

	if (ex->message && !ex->over && ex->step == STEP_RESPONSE &&
	    !ex->context_wait && over(ex->head_s++, l->upstream_head_ms))
		timed_out(ex, "unknown", "it took the message and did not "
		    "answer", l->upstream_head_ms);
	if (ex->over || ex->step != STEP_RESPONSE || ex->u == NULL)
		return;
	/* The agent does not take, or the detector has not seen, what is
	 * there: the upstream is not to blame. */
	ex->quiet_s = ex->moved != ex->moved_seen || ex->u_paused ? 0 :
	    ex->quiet_s + 1;
	ex->moved_seen = ex->moved;
	if (ex->mode == RESP_HEAD && ex->request_sent) {
		/* In all: a head that comes byte by byte is none. */
		if (over(ex->head_s++, l->upstream_head_ms))
			timed_out(ex, "unknown", "it took the call and did "
			    "not answer", l->upstream_head_ms);
	} else if (ex->mode == RESP_HEAD && ex->uout.len == 0 &&
	    !http1_body_done(&ex->req_body)) {
		if (over(ex->quiet_s, l->body_ms))
			agent_too_slow(ex);
	} else if (over(ex->quiet_s, idle)) {
		timed_out(ex, ex->mode == RESP_HEAD ? "unknown" : "error",
		    ex->mode == RESP_HEAD ? "it did not take the whole call" :
		    "it went silent inside its answer: no byte", idle);
	}
}

static void
look_at_conn(struct conn *c)
{
	const struct conf_limits *l = &c->f->view->conf->limits;
	uint64_t all = c->bytes_in + c->bytes_out;

	c->stuck_s = c->out.len == 0 || c->bytes_out != c->out_seen ? 0 :
	    c->stuck_s + 1;
	c->quiet_s = all != c->all_seen ? 0 : c->quiet_s + 1;
	c->out_seen = c->bytes_out;
	c->all_seen = all;
	if (over(c->stuck_s, l->send_ms))
		log_warn("%s took no byte within %lld ms: cut", c->source,
		    (long long)l->send_ms);
	else if (c->state != CONN_SPLICE || !over(c->quiet_s,
	    l->stream_idle_ms))
		return;
	if (c->ex != NULL)
		exchange_client_gone(c->ex);
	if (!c->closed)
		conn_abort(c);
}

static void
on_second(void *ctx)
{
	struct flow *f = ctx;

	svc_second(f);
	spare_second(f);
	lists_second(f);
	list_each_safe(it, tmp, &f->exchanges)
		look_at_exchange(list_entry(it, struct exchange, link));
	list_each_safe(it2, tmp2, &f->conns)
		look_at_conn(list_entry(it2, struct conn, link));
	loop_timer_set(f->second, 1000);
}

void
deadline_start(struct flow *f)
{
	f->second = loop_timer_new(f->loop, on_second, f);
	loop_timer_set(f->second, 1000);
}
