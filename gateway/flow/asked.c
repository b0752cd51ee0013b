/*
 * asked - what a server asks of the agent: a model's answer (sampling), a
 * person's (elicitation), its folders (roots). Calls in the other direction:
 * recorded before the agent sees them, redacted and inspected like all that a
 * server says, and allowed by the connector's `server_requests`.
 *
 * Up to 2025-11-25 they are requests on an event stream; a denied one is taken
 * out and answered in the agent's stead. From 2026-07-28 on they stand in a
 * result; then the result is refused.
 */
#include "internal.h"

#include "log.h"

struct asked {
	struct asked *next;
	struct uuid call;
	struct slice common;	/* members of the decision's event */
};

/* --- events -------------------------------------------------------------------- */

static struct slice
write_common(struct exchange *ex, const struct json_doc *d, uint32_t method)
{
	const struct principal *p = &ex->session->who;
	char call[UUID_TEXT_LEN];
	struct slice s;
	struct jsonw w;
	struct buf b;

	uuid_format(ex->call, call);
	buf_init(&b, 65536);
	jsonw_init(&w, &b);
	jsonw_object(&w, NULL);
	jsonw_str(&w, "session", p->session);
	jsonw_str(&w, "user", p->user);
	jsonw_str(&w, "agent", p->agent);
	if (p->task[0] != '\0')
		jsonw_str(&w, "task", p->task);
	if (p->department[0] != '\0')
		jsonw_str(&w, "department", p->department);
	jsonw_str(&w, "trust", conf_trust_names[p->trust]);
	jsonw_str(&w, "source", ex->c != NULL ? ex->c->source : "");
	jsonw_str(&w, "transport", ex->mount ? "mount" : "explicit");
	jsonw_str(&w, "connector", ex->con->name);
	jsonw_slice(&w, "method", json_inner(d, method));
	jsonw_str(&w, "operation", "protocol");
	jsonw_str(&w, "target", ex->action.target);
	jsonw_str(&w, "direction", "from-server");
	jsonw_str(&w, "in_call", call);
	/* Without the bracket at its begin: members of another object. */
	s = b.full ? slice_make(NULL, 0) : arena_copy(ex->a,
	    slice_sub(buf_slice(&b), 1, SIZE_MAX));
	buf_free(&b);
	return s;
}

static void
begin(struct jsonw *w, struct buf *b, const struct asked *q, struct uuid id,
    enum event_type type)
{
	char call[UUID_TEXT_LEN];

	uuid_format(q->call, call);
	event_begin(w, b, id, type, ROLE_PROXY);
	jsonw_str(w, "call", call);
	if (q->common.n > 0) {
		buf_add_char(b, ',');
		buf_add_slice(b, q->common);
	}
}

static void
outcome(struct exchange *ex, const struct asked *q, const char *status)
{
	struct buf *b = spare_event(ex->f, 1u << 20);
	struct uuid id = uuid_v7();
	struct jsonw w;

	begin(&w, b, q, id, EVENT_CALL_OUTCOME);
	jsonw_str(&w, "status", status);
	event_end(&w);
	if (b->full || emit_later(ex->f->emit, id, q->call,
	    buf_slice(b)) != 0)
		log_error("event queue full: an outcome is lost; the recorder "
		    "will say unknown");
}

static void
on_recorded(void *ctx, bool ok)
{
	struct exchange *ex = ctx;
	struct asked *q = ex->asked;

	if (q == NULL)
		return;
	ex->asked = q->next;
	if (ex->over || (!ok && !exchange_exception(ex,
	    REASON_AUDIT_UNAVAILABLE, "the recorder did not commit"))) {
		outcome(ex, q, "denied");
		if (ex->over)
			return;
		ex->asked = NULL;
		ex->context_wait = false;
		buf_reset(&ex->held_out);
		exchange_refuse(ex, REASON_AUDIT_UNAVAILABLE, "%s", "");
		exchange_answer_refusal(ex);
		return;
	}
	outcome(ex, q, "ok");
	if (ex->asked == NULL && ex->deadline_q == 0)
		relay_context_acked(ex);
}

void
asked_end(struct exchange *ex)
{
	for (; ex->asked != NULL; ex->asked = ex->asked->next)
		outcome(ex, ex->asked, "cut");
}

/* -1: it cannot be recorded. */
static int
decision(struct exchange *ex, struct asked *q, struct slice params,
    const char *why)
{
	struct buf *b = spare_event(ex->f, 16u << 20);
	struct uuid id = uuid_v7();
	struct jsonw w;

	begin(&w, b, q, id, EVENT_CALL_DECISION);
	if (params.n > 0)
		jsonw_raw(&w, "arguments", params);
	jsonw_str(&w, "verdict", why == NULL ? "allow" : "deny");
	if (why != NULL) {
		jsonw_str(&w, "reason", reason_word(REASON_ASKED));
		jsonw_str(&w, "detail", why);
	}
	jsonw_str(&w, "policy", "connector");
	jsonw_str(&w, "snapshot", ex->view->name);
	event_end(&w);
	return b->full ? -1 : emit_event(ex->f->emit, id, q->call,
	    buf_slice(b), why == NULL ? on_recorded : NULL,
	    why == NULL ? ex : NULL);
}

/* --- what may be asked ------------------------------------------------------------- */

/* NULL, or why not. */
static const char *
denied(const struct exchange *ex, const struct json_doc *d, uint32_t method,
    uint32_t params)
{
	const bool *asks = ex->con->asks;

	if (ex->agg != NULL)
		return "/mcp passes on nothing that a server asks";
	switch (mcp_ask_of(d, method)) {
	case MCP_ASK_PING:
		return NULL;
	case MCP_ASK_SAMPLING:
		return asks[CONNECTOR_SAMPLING] ? NULL :
		    "server_requests.sampling is deny";
	case MCP_ASK_ROOTS:
		return asks[CONNECTOR_ROOTS] ? NULL :
		    "server_requests.roots is deny";
	case MCP_ASK_ELICITATION:
		if (!asks[CONNECTOR_ELICITATION])
			return "server_requests.elicitation is deny";
		return mcp_url_allowed(d, params) ? NULL :
		    "the address to open is none of http or https";
	case MCP_ASK_OTHER:
	default:
		return "no revision of MCP lets a server ask this";
	}
}

/* Records one question. 0 it may go on, 1 denied, -1 not recorded. */
static int
judge(struct exchange *ex, const struct json_doc *d, uint32_t obj)
{
	uint32_t method = json_member(d, obj, "method");
	uint32_t params = json_member(d, obj, "params");
	const char *why = denied(ex, d, method, params);
	struct asked *q = arena_alloc(ex->a, sizeof(*q)), **at = &ex->asked;

	if (q == NULL)
		return -1;
	q->call = uuid_v7();
	q->common = write_common(ex, d, method);
	if (q->common.n == 0 || decision(ex, q, params == JSON_NONE ?
	    slice_make(NULL, 0) : json_raw(d, params), why) != 0) {
		if (exchange_exception(ex, REASON_AUDIT_UNAVAILABLE,
		    "no recorder") && why == NULL)
			return 0;
		exchange_refuse(ex, REASON_AUDIT_UNAVAILABLE, "%s", "");
		return -1;
	}
	if (why != NULL) {
		outcome(ex, q, "denied");
		exchange_refuse(ex, REASON_ASKED, "(%.*s: %s)", SLICE_FMT(
		    json_inner(d, method)), why);
		return 1;
	}
	while (*at != NULL)
		at = &(*at)->next;
	*at = q;
	ex->context_wait = true;
	return 0;
}

/* --- denied on a stream: the server gets its answer ------------------------------ */

static void
on_told(void *ctx, struct conn *c, struct slice data, bool end)
{
	(void)ctx;	/* what it says to that matters to nobody */
	(void)c;
	(void)data;
	(void)end;
}

static void
tell_server(struct exchange *ex, struct slice id)
{
	struct buf b;

	buf_init(&b, 65536);
	mcp_write_error(&b, id, MCP_CODE_DENIED, reason_text(REASON_ASKED),
	    reason_word(REASON_ASKED), NULL);
	if (b.full || (ex->ws != NULL ? websocket_tell_server(ex, buf_slice(&b)) !=
	    0 : conn_inner(ex->c, ex, buf_slice(&b), on_told, NULL) == NULL))
		log_warn("the server %s asked what it may not and could not be "
		    "told", ex->con->name);
	buf_free(&b);
}

static int
on_request(struct exchange *ex, const struct json_doc *d)
{
	int r = judge(ex, d, 0);

	if (r != 1 || (ex->mode != RESP_SSE && ex->mode != RESP_WS))
		return r == 0 ? 0 : -1;
	tell_server(ex, json_raw(d, json_member(d, 0, "id")));
	ex->reason = REASON_NONE;	/* the call itself goes on */
	ex->detail = NULL;
	return 1;
}

/* --- inside a result, or beside an error ------------------------------------------- */

static int
on_inputs(struct exchange *ex, const struct json_doc *d, uint32_t inputs)
{
	for (uint32_t k = json_first(d, inputs); k != JSON_NONE;
	    k = json_next(d, inputs, k + 1))
		if (judge(ex, d, k + 1) != 0)
			return -1;
	return 0;
}

static int
on_urls(struct exchange *ex, const struct json_doc *d)
{
	uint32_t list = json_path(d, 0, "error", "data", "elicitations", NULL);

	if (json_typeof(d, list) != JSON_ARRAY)
		return 0;
	for (uint32_t i = json_first(d, list); i != JSON_NONE;
	    i = json_next(d, list, i))
		if (!ex->con->asks[CONNECTOR_ELICITATION] ||
		    !mcp_url_allowed(d, i)) {
			exchange_refuse(ex, REASON_ASKED,
			    "(an address that a person should open)");
			return -1;
		}
	return 0;
}

static bool
asks_anything(const struct json_doc *d)
{
	return (json_member(d, 0, "method") != JSON_NONE &&
	    json_member(d, 0, "id") != JSON_NONE) ||
	    json_path(d, 0, "result", "inputRequests", NULL) != JSON_NONE ||
	    json_path(d, 0, "error", "data", "elicitations", NULL) !=
	    JSON_NONE;
}

int
asked_look(struct exchange *ex, const struct json_doc *d, struct slice text)
{
	struct json_doc now;
	uint32_t inputs;
	int r = -1;

	if (!asks_anything(d))
		return 0;
	/* What is judged and recorded is what will be sent. */
	spare_doc(ex->f, &now);
	if (json_index(&now, text, NULL) != JSON_OK) {
		exchange_refuse(ex, REASON_UNPARSEABLE, "(the response)");
	} else if (json_member(&now, 0, "method") != JSON_NONE) {
		r = on_request(ex, &now);
	} else {
		inputs = json_path(&now, 0, "result", "inputRequests", NULL);
		r = on_inputs(ex, &now, inputs);
		if (r == 0)
			r = on_urls(ex, &now);
	}
	spare_doc_back(ex->f, &now);
	return r;
}
