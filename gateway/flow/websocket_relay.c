/*
 * websocket_relay - the frames of both sides: what the server says is redacted
 * and inspected, what the agent says begins messages; see websocket.c.
 */
#include "websocket.h"

#include "clock.h"
#include "log.h"

#define PING_MS 1000		/* between two that are passed on */

/* --- what the server says ------------------------------------------------ */

/* The answer to p, redacted and inspected as its result. */
static void
on_answer(struct websocket *w, struct member *m, struct slice text)
{
	struct exchange *p = m->c->ex;
	struct slice out = text;
	struct buf scratch;
	int r;

	buf_init(&scratch, p->rbody.max * 2 + 65536);
	p->literals = w->ex->literals;
	r = content_result(p, text, &scratch, &out);
	p->literals = NULL;
	if (r != 0) {
		exchange_answer_refusal(p);
	} else if (!p->context_wait) {
		websocket_finish_answer(m, out);
	} else if (buf_add_slice(&p->held_out, out) != 0) {
		exchange_refuse(p, REASON_BODY_TOO_LARGE, "(the response)");
		exchange_answer_refusal(p);
	} else {
		w->waits = m;
	}
	buf_free(&scratch);
}

/* What answers nothing that was asked, or speaks of it. */
static void
pass(struct websocket *w, struct slice text, bool json)
{
	struct exchange *ex = w->ex;
	struct slice out = text;
	struct buf scratch;
	int r;

	buf_init(&scratch, ex->rbody.max * 2 + 65536);
	r = json ? content_result(ex, text, &scratch, &out) :
	    content_text(ex, text, &scratch, &out);
	if (r < 0) {
		exchange_answer_refusal(ex);
	} else if (r == 0) {
		relay_keep_result(ex, out);
		if (!ex->context_wait)
			websocket_say(w, WS_OP_TEXT, out);
		else if (ws_write(&ex->held_out, WS_OP_TEXT, out, false) != 0)
			websocket_refuse(w, REASON_BODY_TOO_LARGE, "the response");
	}
	buf_free(&scratch);
}

enum about { ABOUT_NONE, ABOUT_CALL, ABOUT_UNKNOWN, ABOUT_LIST };

/* Which call does a JSON-RPC message answer, or tell of? */
static enum about
about(struct websocket *w, const struct json_doc *d, struct member **m_r)
{
	uint32_t id = json_member(d, 0, "id"), token;
	bool method = json_member(d, 0, "method") != JSON_NONE;

	if (json_typeof(d, 0) == JSON_ARRAY)
		return ABOUT_LIST;
	token = method && json_str_is(d, json_member(d, 0, "method"),
	    "notifications/progress") ? json_path(d, 0, "params",
	    "progressToken", NULL) : JSON_NONE;
	if ((method || id == JSON_NONE) && token == JSON_NONE)
		return ABOUT_NONE;
	list_each(it, &w->members) {
		struct member *m = list_entry(it, struct member, link);
		struct exchange *p = m->c->ex;

		if (p == NULL || p->over || p->step != STEP_RESPONSE ||
		    p->msg.kind != MCP_REQUEST || m == w->waits)
			continue;
		if (token != JSON_NONE ? slice_eq(json_raw(d, token),
		    p->msg.progress_token) : slice_eq(json_raw(d, id),
		    p->msg.id)) {
			*m_r = m;
			return method ? ABOUT_NONE : ABOUT_CALL;
		}
	}
	return ABOUT_UNKNOWN;
}

static void
on_mcp_text(struct websocket *w, struct slice text)
{
	struct member *m = NULL;
	enum about a = ABOUT_NONE;
	struct json_doc d;

	spare_doc(w->ex->f, &d);
	if (json_index(&d, text, NULL) == JSON_OK)
		a = about(w, &d, &m);
	spare_doc_back(w->ex->f, &d);
	switch (a) {
	case ABOUT_CALL:
		on_answer(w, m, text);
		break;
	case ABOUT_UNKNOWN:	/* of a call that was cut, or of none */
		w->unasked++;
		break;
	case ABOUT_LIST:
		websocket_refuse(w, REASON_BATCH, "the server's");
		break;
	case ABOUT_NONE:
	default:
		pass(w, text, true);
		break;
	}
}

static void
on_server_text(struct websocket *w, struct slice text)
{
	struct json_doc d;
	bool json;

	if (websocket_mcp(w)) {
		on_mcp_text(w, text);
		return;
	}
	spare_doc(w->ex->f, &d);
	json = text.n > 0 && (text.p[0] == '{' || text.p[0] == '[') &&
	    json_index(&d, text, NULL) == JSON_OK;
	spare_doc_back(w->ex->f, &d);
	pass(w, text, json);
}

/* Answered at once; the other side gets one of ours, seldom. */
static void
on_ping(struct websocket *w, bool from_agent, struct slice data)
{
	uint64_t now = clock_mono_ms(), *last = &w->ping_ms[from_agent];
	struct buf *back = from_agent ? &w->ex->c->out : &w->ex->uout;
	struct buf *on = from_agent ? &w->ex->uout : &w->ex->c->out;

	if (ws_write(back, WS_OP_PONG, data, !from_agent) != 0)
		log_warn("no room for a WebSocket's Pong");
	if (now - *last >= PING_MS && ws_write(on, WS_OP_PING, SLICE(""),
	    from_agent) == 0)
		*last = now;
	conn_kick(w->ex->c);
	websocket_kick(w);
}

static void
on_server_close(struct websocket *w)
{
	struct exchange *ex = w->ex;

	if (w->agent_closed) {
		websocket_end_well(w);
		return;
	}
	w->code = w->server.code;
	if (ws_write_close(&ex->c->out, w->code, "", false) != 0 ||
	    ws_write_close(&ex->uout, w->code, "", true) != 0)
		log_warn("no room for a WebSocket's Close");
	w->server_closed = true;
	conn_kick(ex->c);
	websocket_wait_for_close(w);
	websocket_kick(w);
}

static void
on_server_event(struct websocket *w, enum ws_event e, struct slice data)
{
	struct exchange *ex = w->ex;

	switch (e) {
	case WS_TEXT:
		w->from_server++;
		on_server_text(w, data);
		break;
	case WS_BINARY:
		if (!ex->con->http.ws_binary) {
			websocket_refuse(w, REASON_MEDIA, "a binary message of the "
			    "server");
			break;
		}
		w->from_server++;
		w->binary++;
		websocket_say(w, WS_OP_BINARY, data);
		break;
	case WS_PING:
		on_ping(w, false, data);
		break;
	case WS_CLOSE:
		on_server_close(w);
		break;
	case WS_ERROR:
		websocket_refuse_frames(w, &w->server);
		break;
	case WS_PONG:
	case WS_MORE:
	default:
		break;
	}
}

static void
server_gone(struct websocket *w)
{
	if (w->agent_closed)
		websocket_end_well(w);
	else if (!w->server_closed)
		websocket_refuse(w, REASON_UPSTREAM, "it ended without a Close");
}

void
websocket_pump(struct exchange *ex)
{
	struct websocket *w = ex->ws;

	websocket_sent(w);
	while (!ex->over && !w->server_closed && ex->uin.len > 0) {
		struct slice in = buf_slice(&ex->uin), data;
		size_t before = in.n;

		if (websocket_down_blocked(w)) {
			ex->u_paused = true;
			return;
		}
		enum ws_event e = ws_next(&w->server, &in, &data);

		buf_consume(&ex->uin, before - in.n);
		on_server_event(w, e, data);
	}
	if (!ex->over && w->server_closed)
		buf_reset(&ex->uin);	/* nothing comes after a Close */
	if (!ex->over && ex->u_eof)
		server_gone(w);
}

void
websocket_context_acked(struct exchange *ex)
{
	struct member *m = ex->message ? websocket_member_of(ex) : NULL;
	struct websocket *w = ex->message ? (m == NULL ? NULL : m->ws) : ex->ws;

	if (w == NULL)
		return;
	if (m != NULL) {
		w->waits = NULL;
		websocket_finish_answer(m, buf_slice(&ex->held_out));
	} else if (buf_add_slice(&ex->c->out, buf_slice(&ex->held_out)) ==
	    0) {
		buf_reset(&ex->held_out);
		conn_kick(ex->c);
	} else {
		websocket_refuse(w, REASON_BODY_TOO_LARGE, "the response");
	}
	if (!w->ex->over)
		relay_go_on(w->ex);
}

/* --- what the agent says ------------------------------------------------- */

static void
on_agent_close(struct websocket *w)
{
	struct exchange *ex = w->ex;

	w->agent_closed = true;
	if (w->server_closed) {
		websocket_end_well(w);
		return;
	}
	w->code = w->agent.code;
	if (ws_write_close(&ex->uout, w->code, "", true) != 0)
		log_warn("no room for a WebSocket's Close");
	websocket_wait_for_close(w);
	websocket_kick(w);
}

/* What must not overtake a message that is being judged. */
static void
on_agent_message(struct websocket *w, enum ws_event e, struct slice data)
{
	struct exchange *ex = w->ex;

	if (e == WS_CLOSE) {
		on_agent_close(w);
		return;
	}
	ex->bytes_in += data.n;
	w->from_agent++;
	if (e == WS_BINARY && !ex->con->http.ws_binary) {
		websocket_refuse(w, REASON_MEDIA, "a binary message");
	} else if (w->server_closed) {
		return;
	} else if (e == WS_BINARY) {
		w->binary++;
		if (ws_write(&ex->uout, WS_OP_BINARY, data, true) != 0)
			websocket_refuse(w, REASON_BODY_TOO_LARGE, "it does not fit");
		else
			websocket_kick(w);
	} else {
		w->gating = websocket_begin_message(w, data);
		if (w->gating == NULL)
			websocket_refuse(w, REASON_BODY_TOO_LARGE, "it does not fit");
	}
}

/* False: it wants more bytes, or the next must wait. */
static bool
agent_step(struct websocket *w)
{
	struct exchange *ex = w->ex;
	bool full = websocket_agent_full(w) || ex->uout.len > FLOW_OUT_HIGH;
	struct slice in = buf_slice(&ex->c->in), data;
	enum ws_event e = w->stash;

	if (e != WS_MORE) {
		if (w->gating != NULL || w->n >= WEBSOCKET_MEMBERS || full)
			return false;
		w->stash = WS_MORE;
		on_agent_message(w, e, w->stash_data);
		return true;
	}
	if (in.n == 0 || full)
		return false;
	e = ws_next(&w->agent, &in, &data);
	buf_consume(&ex->c->in, ex->c->in.len - in.n);
	switch (e) {
	case WS_TEXT:
	case WS_BINARY:
	case WS_CLOSE:
		w->stash = e;		/* good until the next ws_next() */
		w->stash_data = data;
		return true;
	case WS_PING:
		on_ping(w, true, data);
		return true;
	case WS_PONG:
		return true;
	case WS_ERROR:
		websocket_refuse_frames(w, &w->agent);
		return false;
	case WS_MORE:
	default:
		return false;
	}
}

void
websocket_agent_data(struct exchange *ex)
{
	struct websocket *w = ex->ws;

	while (!ex->over && !w->agent_closed && agent_step(w))
		;
	if (ex->over)
		return;
	if (w->agent_closed)
		buf_reset(&ex->c->in);	/* nothing comes after a Close */
	conn_kick(ex->c);
}
