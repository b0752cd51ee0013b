/*
 * exchange - one HTTP message pair: runs the table of steps, says no in the
 * agent's own protocol, and ends.
 *
 *   running --WAIT--> waiting --resume--> running --last step--> over
 *      |                 |
 *      +--REFUSE--> answered --> over        (reachable from all)
 *      agent gone: over; kill: over, put away by cut.c
 */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "log.h"

static const struct {
	const char *name;
	enum step_result (*fn)(struct exchange *ex);
} steps[] = {
#define STEP(sym, fn, doc) { #sym, fn },
#include "steps.def"
#undef STEP
};

struct exchange *
exchange_new(struct conn *c, size_t used)
{
	struct exchange *ex = base_calloc(1, sizeof(*ex));
	const struct conf_limits *cl = &c->f->view->conf->limits;
	struct slice head;

	ex->f = c->f;
	ex->c = c;
	ex->view = view_ref(c->f->view);
	ex->a = spare_arena(c->f);
	ex->start_ns = clock_mono_ns();
	head = arena_copy(ex->a, slice_make(buf_data(&c->in), used));
	ASSERT(head.p != NULL);
	ex->req = c->head;
	c->head = NULL;
	http1_head_moved(ex->req, buf_data(&c->in), used, head.p);
	buf_consume(&c->in, used);
	ex->keep_alive = ex->req->keep_alive;
	ex->head_only = ex->req->method_id == HTTP1_M_HEAD;
	http1_body_init(&ex->req_body, ex->req->framing, ex->req->length);
	buf_init(&ex->body, (size_t)cl->body + 1);
	buf_init(&ex->new_body, (size_t)cl->body * 2 + 65536);
	buf_init(&ex->rbody, (size_t)cl->body * 4);
	buf_init(&ex->uout, FLOW_OUT_MAX);
	buf_init(&ex->uin, FLOW_IN_MAX);
	buf_init(&ex->encoded, FLOW_IN_MAX);
	buf_init(&ex->result, 1u << 20);
	buf_init(&ex->held_out, (size_t)cl->body * 16 + 65536);
	buf_init(&ex->sse_rest, FLOW_IN_MAX);
	spare_doc(c->f, &ex->doc);
	list_append(&c->f->exchanges, &ex->link);
	return ex;
}

void
exchange_free(struct exchange *ex)
{
	struct flow *f = ex->f;

	list_remove(&ex->link);
	ex->over = true;
	if (ex->deadline_q != 0)
		svc_forget(f, ex->deadline_q);
	emit_forget(f->emit, ex);
	svc_hold_end(ex);
	asked_end(ex);
	batch_free(ex);
	websocket_free(ex);
	gateapi_end(ex);
	aggregate_leave(ex);
	oldsse_end(ex);
	upstream_cancel(ex->ureq);
	upstream_close(ex->u, true);
	loop_timer_del(ex->timer);
	loop_timer_del(ex->keepalive);
	loop_soon_cancel(f->loop, ex);
	loop_at_end_cancel(f->loop, ex);
	spare_doc_back(f, &ex->doc);
	buf_wipe_free(&ex->body);
	buf_wipe_free(&ex->new_body);
	buf_wipe_free(&ex->rbody);
	buf_wipe_free(&ex->uout);
	buf_wipe_free(&ex->uin);
	buf_wipe_free(&ex->encoded);
	coding_free(ex->decoder);
	buf_wipe_free(&ex->result);
	buf_wipe_free(&ex->held_out);
	buf_wipe_free(&ex->sse_rest);
	if (ex->sse != NULL) {
		sse_free(ex->sse);
		free(ex->sse);
	}
	free(ex->redact_out.items);
	free(ex->redact_back.items);
	spare_head_back(f, ex->req);
	spare_head_back(f, ex->resp);
	if (ex->cred_value.n > 0)
		explicit_bzero((char *)(uintptr_t)ex->cred_value.p,
		    ex->cred_value.n);
	literals_free(ex->literals);
	if (ex->session != NULL)
		session_unref(ex->session);
	view_unref(ex->view);
	spare_arena_back(f, ex->a);
	if (ex->c != NULL && ex->c->ex == ex)
		ex->c->ex = NULL;
	loop_defer_free(f->loop, ex);
}

void
exchange_run(struct exchange *ex)
{
	if (ex->running)
		return;
	ex->running = true;
	while (!ex->over && ex->step < STEP_COUNT) {
		enum step_result r = steps[ex->step].fn(ex);

		if (ex->over)
			break;
		if (r == STEP_WAIT) {
			ex->running = false;
			return;
		}
		if (r == STEP_REFUSE) {
			exchange_answer_refusal(ex);
			break;
		}
		ex->step++;
	}
	ex->running = false;
	if (!ex->over && ex->step == STEP_COUNT)
		exchange_end(ex, "ok");
}

void
exchange_resume(struct exchange *ex)
{
	if (ex->over)
		return;
	ex->step++;
	exchange_run(ex);
}

enum step_result
exchange_refuse(struct exchange *ex, enum reason r, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	ex->reason = r;
	ex->detail = arena_strdup(ex->a, slice_str(text));
	if (ex->detail == NULL)
		ex->detail = (char *)(uintptr_t)"";
	return STEP_REFUSE;
}

enum step_result
exchange_unparseable(struct exchange *ex, const char *why)
{
	ex->refusal_status = 400;
	return exchange_refuse(ex, REASON_UNPARSEABLE, "(%s)", why);
}

bool
exchange_exception(struct exchange *ex, enum reason r, const char *detail)
{
	bool allowed = ex->view->conf->exceptions[r] == CONF_ALLOW;

	record_exception(ex, r, allowed, detail);
	return allowed;
}

/* --- saying no -------------------------------------------------------------- */

static unsigned
http_status(const struct exchange *ex)
{
	if (ex->refusal_status != 0)
		return ex->refusal_status;
	switch (ex->reason) {
	case REASON_NO_TOKEN:
	case REASON_BAD_TOKEN:
		return ex->bearer ? 401 : 407;
	case REASON_UPSTREAM:
	case REASON_UPSTREAM_PROXY:
	case REASON_UPSTREAM_TLS:
		return 502;
	case REASON_UPSTREAM_TIME:
		return 504;
	case REASON_AMBIGUOUS:
	case REASON_UNPARSEABLE:
		return ex->resp == NULL ? 400 : 502;
	case REASON_BATCH:
		return 400;
	case REASON_SESSION_BINDING:
		return 404;
	case REASON_BODY_TOO_LARGE:
	case REASON_BOMB:
		return ex->resp == NULL ? 413 : 502;
	case REASON_MEDIA:
		return ex->resp == NULL ? 415 : 502;
	case REASON_REDACTOR_LIMIT:
		return ex->resp == NULL ? 422 : 502;
	case REASON_UPSTREAM_AWAY:
	case REASON_AUDIT_UNAVAILABLE:
	case REASON_DETECTOR_LATE:
	case REASON_CREDENTIAL:
	case REASON_BROKER:
	case REASON_CLOCK:
		return 503;
	default:
		return 403;
	}
}

static bool
may_repeat(enum reason r)
{
	switch (r) {
	case REASON_UPSTREAM:
	case REASON_UPSTREAM_TIME:
	case REASON_UPSTREAM_AWAY:
	case REASON_AUDIT_UNAVAILABLE:
	case REASON_DETECTOR_LATE:
	case REASON_CREDENTIAL:
	case REASON_BROKER:
	case REASON_CLOCK:
	case REASON_APPROVAL_EXPIRED:
		return true;
	default:
		return false;
	}
}

/* One template: what, who decided, whether repeating helps, where to look. */
static char *
sentence(struct exchange *ex, const char *event)
{
	const char *by = ex->reason == REASON_APPROVAL_DENIED &&
	    ex->approval_by != NULL ? ex->approval_by :
	    ex->verdict.by != NULL ? ex->verdict.by : "the gateway";

	return arena_printf(ex->a, "Portreeve: %s%s%s Decided by: %s. "
	    "Repeating the same call %s. Event: %s",
	    reason_text(ex->reason), ex->detail[0] == '\0' ? "" : " ",
	    ex->detail, by, may_repeat(ex->reason) ? "later may help" :
	    "will not help", event);
}

static void
answer_http(struct exchange *ex, const char *event, const char *text)
{
	unsigned status = http_status(ex);
	char retry[12];
	struct http1_answer a = { .status = status,
		.word = ex->refusal_word != NULL ? ex->refusal_word :
		    reason_word(ex->reason), .text = text, .event = event,
		.head = ex->head_only,
		.close = !ex->keep_alive || !http1_body_done(&ex->req_body) };

	snprintf(retry, sizeof(retry), "%u", ex->retry_s);
	if (status == 407) {
		a.field = "Proxy-Authenticate";
		a.value = "Basic realm=\"portreeve\"";
	} else if (status == 401) {
		a.field = "WWW-Authenticate";
		a.value = "Bearer realm=\"portreeve\"";
	} else if (status == 426) {
		a.field = "Sec-WebSocket-Version";
		a.value = "13";
	} else if (status == 503) {
		a.field = "Retry-After";
		a.value = ex->retry_s == 0 ? "2" : retry;
	}
	if (http1_write_answer(&ex->c->out, &a) != 0)
		log_error("no room for an error answer");
	ex->keep_alive = !a.close;
	ex->status = status;
}

static void
answer_mcp(struct exchange *ex, const char *event, const char *text)
{
	unsigned status = http_status(ex);
	struct buf b;

	buf_init(&b, 1u << 16);
	if (ex->refusal_code == MCP_CODE_REVISION)
		mcp_write_revision(&b, ex->msg.id, text, http1_field_known(
		    ex->req, HTTP1_F_MCP_PROTOCOL_VERSION));
	else if (ex->msg.kind == MCP_REQUEST && ex->refusal_code == 0 &&
	    slice_is(ex->msg.method, "tools/call"))
		mcp_write_denial(&b, ex->msg.id, ex->modern, text,
		    reason_word(ex->reason), event);
	else
		mcp_write_error(&b, ex->msg.id, ex->refusal_code != 0 ?
		    ex->refusal_code : MCP_CODE_DENIED, text,
		    reason_word(ex->reason), event);
	/* An HTTP error would make some clients fall back to an older
	 * transport; the denial belongs into the protocol. 403 says nothing
	 * about revisions. */
	ex->status = ex->refusal_code != 0 ? status :
	    ex->msg.kind == MCP_REQUEST ? 200 :
	    revision_modern_refusal(ex, status) ? 403 : status;
	if (ex->msg.kind != MCP_REQUEST || !oldsse_deny(ex, buf_slice(&b)))
		relay_send_message(ex, buf_slice(&b));
	buf_free(&b);
}

/* A call that ends before it was decided was not allowed. */
void
exchange_record_denial(struct exchange *ex)
{
	if (ex->recorded)
		return;
	ex->verdict.effect = CONF_DENY;
	ex->verdict.observed = false;
	if (record_decision(ex, NULL) != 0)
		log_error("a denial could not be queued for the ledger");
}

bool
exchange_say_no(struct exchange *ex, struct uuid event)
{
	char id[UUID_TEXT_LEN];
	char *text;

	uuid_format(event, id);
	if (websocket_is_open(ex))
		return websocket_say_no(ex, id);
	/* Too late for an answer: the agent must not take what it got for
	 * the whole. */
	if (ex->head_out && !ex->hold_stream)
		return false;
	text = sentence(ex, id);
	if (text == NULL)
		text = (char *)(uintptr_t)reason_text(ex->reason);
	if (ex->message && (ex->con == NULL || ex->con->kind != CONNECTOR_MCP ||
	    (ex->msg.kind != MCP_REQUEST && !ex->hold_stream)))
		return websocket_message_say_no(ex, text, event);
	if (ex->gate != NULL && gateapi_say_no(ex, http_status(ex), id, text)) {
		ex->delivered = true;
		return true;
	}
	if (ex->con != NULL && ex->con->kind == CONNECTOR_MCP &&
	    (ex->msg.kind == MCP_REQUEST || ex->hold_stream ||
	    revision_modern_refusal(ex, http_status(ex))))
		answer_mcp(ex, id, text);
	else
		answer_http(ex, id, text);
	ex->delivered = true;
	return true;
}

void
exchange_answer_refusal(struct exchange *ex)
{
	struct uuid id;

	if (ex->is_call) {
		if (!ex->recorded)
			ex->decision = uuid_v7();
		exchange_record_denial(ex);
		id = ex->decision;
	} else {
		record_refused(ex->f, ex->c, ex->reason == REASON_NO_TOKEN ||
		    ex->reason == REASON_BAD_TOKEN ? EVENT_AUTH_FAILED :
		    EVENT_CONNECTION_REFUSED, ex->reason,
		    ex->req->authority.host, ex->detail, &id);
	}
	exchange_end(ex, exchange_say_no(ex, id) ? "denied" : "error");
}

/* --- ending ------------------------------------------------------------------- */

/* What the agent still sends of a body nobody reads is read away here only
 * when it is all there; else the connection closes. */
static bool
drained(struct exchange *ex)
{
	struct slice in, data;

	while (!http1_body_done(&ex->req_body)) {
		in = buf_slice(&ex->c->in);
		size_t before = in.n;
		enum http1_result r = http1_body_next(&ex->req_body, &in,
		    &data);

		buf_consume(&ex->c->in, before - in.n);
		if (r == HTTP1_ERROR || r == HTTP1_MORE)
			return false;
	}
	return true;
}

/* The broker forgets a used approval once its call's outcome is recorded;
 * what it does not hear of it shows as ambiguous after a restart. */
static void
tell_hold_done(struct exchange *ex)
{
	struct buf *b;

	if (!ex->consumed || ex->f->broker == NULL ||
	    (b = chan_begin(ex->f->broker, MSG_HOLD_DONE)) == NULL)
		return;
	pack_bytes(b, ex->call.b, 16);
	chan_end(ex->f->broker);
}

void
exchange_record_end(struct exchange *ex, const char *status)
{
	if (!ex->is_call || ex->outcome_done)
		return;
	if (!ex->recorded)
		ex->decision = uuid_v7();
	exchange_record_denial(ex);
	ex->outcome_done = true;
	record_outcome(ex, ex->end_status != NULL ? ex->end_status : status);
	tell_hold_done(ex);
}

void
exchange_end(struct exchange *ex, const char *status)
{
	struct conn *c = ex->c;
	bool keep;

	if (ex->over)
		return;
	ex->over = true;
	exchange_record_end(ex, status);
	keep = ex->delivered && ex->keep_alive && drained(ex);
	if (!ex->delivered) {
		exchange_free(ex);
		conn_abort(c);
		return;
	}
	if (c->state == CONN_EXCHANGE) {
		conn_keep_leftover(c, ex);
		exchange_free(ex);
		conn_kick(c);
		conn_next(c, keep);
	} else {
		exchange_free(ex);	/* a tunnel has begun */
	}
}

void
exchange_client_data(struct exchange *ex)
{
	if (ex->over)
		return;
	if (ex->step == STEP_RECEIVE && ex->waiting_body)
		exchange_run(ex);
	else if (websocket_is_open(ex))
		websocket_agent_data(ex);
	else if (ex->u != NULL && !ex->gated)
		relay_send_request_body(ex);
}

void
exchange_client_gone(struct exchange *ex)
{
	if (ex->over)
		return;
	if (ex->held && !ex->released && ex->f->broker != NULL) {
		struct buf *b = chan_begin(ex->f->broker, MSG_HOLD_CANCEL);

		if (b != NULL) {
			pack_bytes(b, ex->call.b, 16);
			pack_str(b, "the agent has gone");
			chan_end(ex->f->broker);
		}
	}
	ex->delivered = false;
	if (ex->reason == REASON_NONE && !ex->request_head_sent)
		exchange_refuse(ex, REASON_CANCELLED, "It has gone.");
	exchange_end(ex, ex->request_head_sent && ex->status != 0 ? "cut" :
	    ex->request_head_sent ? "unknown" : "cancelled");
}

/* --- the kill switch ------------------------------------------------------------ */

bool
exchange_killed(struct exchange *ex, const char **target_r)
{
	/* Read before the page: a kill that comes meanwhile has a new one. */
	uint64_t epoch = killpage_epoch(ex->f->kill);

	if (ex->step > STEP_CLASSIFY && epoch == ex->kill_epoch)
		return false;
	*target_r = svc_killed(ex->f, ex->view, ex->con_at, ex->con,
	    ex->session, ex->msg.tool.n > 0 ? ex->msg.tool : ex->action.tool);
	for (size_t i = 0; ex->gql != NULL && i < ex->gql->n &&
	    *target_r == NULL; i++)
		*target_r = svc_killed(ex->f, ex->view, ex->con_at, ex->con,
		    ex->session, ex->gql->fields[i]);
	if (*target_r == NULL && ex->step > STEP_CLASSIFY)
		ex->kill_epoch = epoch;
	return *target_r != NULL;
}
