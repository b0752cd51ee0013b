/*
 * websocket_message - a text message of the agent: an inner request through
 * all steps, which end in a frame; see websocket.c.
 */
#include "websocket.h"

#include <stdlib.h>

#define TOOL "websocket message"

static void on_inner(void *ctx, struct conn *c, struct slice data, bool end);

struct member *
websocket_member_of(const struct exchange *p)
{
	return p->c != NULL && p->c->inner == on_inner ? p->c->inner_ctx :
	    NULL;
}

void
websocket_forget(struct websocket *w, struct member *m)
{
	struct flow *f = w->ex->f;

	list_remove(&m->link);
	w->n--;
	inner_free(&m->in);
	loop_defer_free(f->loop, m);
}

/* What an inner answer holds for the agent. */
static void
on_message(void *ctx, struct slice text)
{
	struct member *m = ctx;
	struct websocket *w = m->ws;
	struct conn *c = w->ex->c;

	if (!websocket_mcp(w) || w->ex->over || c == NULL)
		return;
	if (text.n == 0) {
		websocket_say(w, WS_OP_PING, text);
		return;
	}
	/* A kill of its tool stands against it until it has left. */
	if (m->answered && m->tool_hash != 0 && c->left.n < WEBSOCKET_LEFT) {
		if (c->left.n == 0 || m->epoch < c->left.epoch)
			c->left.epoch = m->epoch;
		c->left.hash[c->left.n++] = m->tool_hash;
	}
	websocket_say(w, WS_OP_TEXT, text);
}

static void
on_inner(void *ctx, struct conn *c, struct slice data, bool end)
{
	struct member *m = ctx;
	struct websocket *w = m->ws;
	bool half = w->sending == m;

	(void)c;
	inner_take(&m->in, data);
	if (!end)
		return;
	inner_end(&m->in);
	if (w->gating == m)
		w->gating = NULL;
	if (w->sending == m)
		w->sending = NULL;
	if (w->waits == m)
		w->waits = NULL;
	websocket_forget(w, m);
	if (w->ex->over)
		return;
	/* Of what was cut while it was being sent a part may be out. */
	if (half && w->ex->uout.len > 0)
		websocket_refuse(w, REASON_KILLED, "inside a message");
	else
		websocket_kick(w);
}

struct member *
websocket_begin_message(struct websocket *w, struct slice text)
{
	struct exchange *ex = w->ex;
	struct member *m = base_calloc(1, sizeof(*m));

	m->ws = w;
	m->c = conn_inner_of(ex->c, ex, websocket_mcp(w) ? "application/json" :
	    "text/plain; charset=utf-8", text, on_inner, m);
	if (m->c == NULL) {
		free(m);
		return NULL;
	}
	m->c->message = true;
	inner_init(&m->in, ex->f, FLOW_OUT_MAX, on_message, m);
	list_append(&w->members, &m->link);
	w->n++;
	return m;
}

enum step_result
websocket_message_receive(struct exchange *p)
{
	struct member *m = websocket_member_of(p);

	if (m == NULL)
		return exchange_refuse(p, REASON_CANCELLED,
		    "The WebSocket has ended.");
	p->in_call = m->ws->ex->call;
	/* The connector's file may have changed since. */
	if (!p->con->http.websocket ||
	    p->con->kind != m->ws->ex->con->kind)
		return exchange_refuse(p, REASON_WEBSOCKET, "%s", "");
	return STEP_DONE;
}

enum step_result
websocket_classify(struct exchange *p)
{
	struct action *a = &p->action;
	struct jsonw w;
	struct buf b;

	a->method = SLICE("MESSAGE");
	a->operation = ACTION_HTTP;
	a->tool = SLICE(TOOL);
	buf_init(&b, p->body.len * 7 + 65536);
	jsonw_init(&w, &b);
	jsonw_object(&w, NULL);
	jsonw_slice(&w, "message", buf_slice(&p->body));
	jsonw_object_end(&w);
	ASSERT(!b.full);
	a->arguments = arena_copy(p->a, buf_slice(&b));
	buf_free(&b);
	return STEP_DONE;
}

void
websocket_held(struct exchange *p)
{
	struct member *m = websocket_member_of(p);

	if (m == NULL || !websocket_mcp(m->ws) || m->ws->gating != m)
		return;
	m->ws->gating = NULL;
	websocket_kick(m->ws);
}

static bool
id_in_use(const struct websocket *w, const struct exchange *p)
{
	list_each(it, &w->members) {
		const struct exchange *q = list_entry(it, struct member,
		    link)->c->ex;

		if (q != NULL && q != p && q->msg.kind == MCP_REQUEST &&
		    slice_eq(q->msg.id, p->msg.id))
			return true;
	}
	return false;
}

enum step_result
websocket_forward(struct exchange *p)
{
	struct member *m = websocket_member_of(p);

	if (m == NULL || m->ws->server_closed)
		return exchange_refuse(p, REASON_CANCELLED,
		    "The WebSocket has ended.");
	/* Two answers could not be told apart. */
	if (websocket_mcp(m->ws) && p->msg.kind == MCP_REQUEST &&
	    id_in_use(m->ws, p))
		return exchange_refuse(p, REASON_AMBIGUOUS,
		    "Another request of this id is not answered yet.");
	m->ready = true;
	websocket_kick(m->ws);
	return STEP_WAIT;
}

enum step_result
websocket_respond(struct exchange *p)
{
	if (p->con->kind == CONNECTOR_MCP && p->msg.kind == MCP_REQUEST)
		return STEP_WAIT;
	p->delivered = true;
	return STEP_DONE;
}

/* The next message that may go gets its place in uout. */
void
websocket_send_next(struct websocket *w)
{
	struct exchange *ex = w->ex, *p;
	const char *target;

	list_each_safe(it, tmp, &w->members) {
		struct member *m = list_entry(it, struct member, link);

		p = m->c->ex;
		if (!m->ready || p == NULL || p->over)
			continue;
		m->ready = false;
		if (exchange_killed(p, &target)) {
			exchange_cut(p, target, REASON_KILLED);
			continue;
		}
		if (ws_write(&ex->uout, WS_OP_TEXT, p->new_body.len > 0 ?
		    buf_slice(&p->new_body) : buf_slice(&p->body), true) !=
		    0) {
			exchange_refuse(p, REASON_BODY_TOO_LARGE,
			    "The message does not fit.");
			exchange_answer_refusal(p);
			continue;
		}
		p->request_head_sent = p->request_sent = true;
		m->epoch = p->kill_epoch;
		if (p->msg.tool.n > 0)
			m->tool_hash = svc_tool_hash(p->f, p->con->name,
			    p->msg.tool);
		w->sending = m;
		return;
	}
}

void
websocket_sent(struct websocket *w)
{
	struct member *m = w->sending;

	if (w->ex->u_write_failed && w->agent_closed) {
		websocket_end_well(w);
		return;
	}
	if (w->ex->u_write_failed) {
		websocket_refuse(w, REASON_UPSTREAM, "it takes no more");
		return;
	}
	if (m == NULL || w->ex->uout.len > 0)
		return;
	w->sending = NULL;
	if (w->gating == m)
		w->gating = NULL;
	if (m->c->ex != NULL)
		exchange_resume(m->c->ex);
	websocket_kick(w);
}

bool
websocket_may_send(struct exchange *ex)
{
	struct exchange *p = ex->ws->sending == NULL ? NULL :
	    ex->ws->sending->c->ex;
	const char *target;

	if (ex->ws->sending == NULL)
		return true;
	if (p == NULL || p->over)
		return false;
	if (!exchange_killed(p, &target))
		return true;
	exchange_cut(p, target, REASON_KILLED);
	return false;
}

/* A refused message that has no answer in its protocol ends the connection. */
bool
websocket_message_say_no(struct exchange *p, const char *text,
    struct uuid event)
{
	struct member *m = websocket_member_of(p);
	struct buf b;
	char id[UUID_TEXT_LEN];

	p->delivered = true;
	if (m == NULL)
		return true;
	if (!websocket_mcp(m->ws)) {
		m->ws->deny = p->reason;
		m->ws->deny_event = event;
		free(m->ws->deny_detail);
		m->ws->deny_detail = base_strdup(p->detail);
		websocket_kick(m->ws);
		return true;
	}
	uuid_format(event, id);
	buf_init(&b, 65536);
	mcp_write_error(&b, SLICE("null"), MCP_CODE_DENIED, text,
	    reason_word(p->reason), id);
	p->status = 200;
	relay_send_message(p, buf_slice(&b));
	buf_free(&b);
	return true;
}

int
websocket_tell_server(struct exchange *ex, struct slice json)
{
	return websocket_begin_message(ex->ws, json) != NULL ? 0 : -1;
}

void
websocket_finish_answer(struct member *m, struct slice out)
{
	struct exchange *p = m->c->ex;

	m->answered = true;
	relay_keep_result(p, out);
	p->status = 200;
	p->delivered = true;
	relay_send_message(p, out);
	p->status = 0;			/* it is no HTTP */
	if (!p->over)
		exchange_resume(p);
}
