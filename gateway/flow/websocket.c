/*
 * websocket - a WebSocket between an agent and a connector that allows it
 * (`websocket: inspect`), looked at message by message.
 *
 * The handshake is a call like any GET, and its exchange lives as long as the
 * connection. Each text message of the agent is an inner request (conn_inner)
 * that goes through all steps: of MCP a JSON-RPC message as on any road, else
 * the operation "websocket message". FORWARD writes a frame instead of a
 * request; a message of MCP that is a request then waits for the server's
 * answer with its id, which is its result. What the server says else belongs
 * to the handshake's exchange.
 *
 * Never does a message overtake one that is being judged, but for those of MCP
 * that a person holds. Pings are answered here and passed on without their
 * payload; the text of a Close is not passed on.
 */
#include "websocket.h"

#include <stdio.h>
#include <stdlib.h>

#include "log.h"

#define MESSAGE_MAX (4u << 20)
#define CLOSE_MS 5000		/* for the other side's Close */

static void on_soon(void *ctx);

void
websocket_kick(struct websocket *w)
{
	loop_soon(w->ex->f->loop, on_soon, w);
}

/* The agent must take what is there first. A tool whose answer is in its
 * buffer is remembered until it has left. */
bool
websocket_agent_full(const struct websocket *w)
{
	const struct conn *c = w->ex->c;

	return c->out.len > FLOW_OUT_HIGH || c->left.n >= WEBSOCKET_LEFT;
}

/* Nothing more of the server can be looked at. */
bool
websocket_down_blocked(const struct websocket *w)
{
	return w->ex->context_wait || w->waits != NULL ||
	    websocket_agent_full(w) || w->ex->uout.len > FLOW_OUT_HIGH;
}

/* --- the handshake: RFC 6455, 4 ------------------------------------------ */

bool
websocket_field(struct slice name)
{
	return slice_is_nocase(slice_sub(name, 0, 14), "sec-websocket-");
}

static enum step_result
bad_handshake(struct exchange *ex, const char *why)
{
	ex->refusal_status = 400;
	return exchange_refuse(ex, REASON_AMBIGUOUS, "(WebSocket: %s)", why);
}

enum step_result
websocket_receive(struct exchange *ex)
{
	const struct http1_head *h = ex->req;
	struct slice list = http1_field(h, "sec-websocket-protocol");
	struct websocket *w;

	if (!ex->con->http.websocket)
		return exchange_refuse(ex, REASON_WEBSOCKET, "An admin opens "
		    "it with `websocket: inspect` in the connector's file.");
	if (gql_is_here(ex))
		return exchange_refuse(ex, REASON_WEBSOCKET, "GraphQL "
		    "documents are not read from messages.");
	if (h->method_id != HTTP1_M_GET || h->framing != HTTP1_BODY_NONE)
		return bad_handshake(ex, "a GET without a body begins it");
	if (http1_field_count(h, "sec-websocket-version") != 1 ||
	    !slice_is(http1_field(h, "sec-websocket-version"), "13")) {
		ex->refusal_status = 426;
		return exchange_refuse(ex, REASON_AMBIGUOUS,
		    "(WebSocket: only version 13 is spoken)");
	}
	if (http1_field_count(h, "sec-websocket-key") != 1 ||
	    !ws_key_ok(http1_field(h, "sec-websocket-key")))
		return bad_handshake(ex, "Sec-WebSocket-Key");
	if (http1_field_count(h, "sec-websocket-protocol") > 1 ||
	    (list.p != NULL && !ws_protocols_ok(list)))
		return bad_handshake(ex, "Sec-WebSocket-Protocol");
	w = ex->ws = base_calloc(1, sizeof(*w));
	w->ex = ex;
	w->protocols = list;
	list_init(&w->members);
	ws_key_new(w->key);
	return STEP_DONE;
}

int
websocket_write_request(struct exchange *ex, struct buf *out)
{
	const struct websocket *w = ex->ws;
	int r = 0;

	/* Extensions are not offered: compressed frames cannot be read. */
	r |= http1_write_field(out, SLICE("Connection"), SLICE("Upgrade"));
	r |= http1_write_field(out, SLICE("Upgrade"), SLICE("websocket"));
	r |= http1_write_field(out, SLICE("Sec-WebSocket-Version"),
	    SLICE("13"));
	r |= http1_write_field(out, SLICE("Sec-WebSocket-Key"),
	    slice_str(w->key));
	if (w->protocols.p != NULL)
		r |= http1_write_field(out, SLICE("Sec-WebSocket-Protocol"),
		    w->protocols);
	return r;
}

/* NULL, or what is wrong with the server's 101. */
static const char *
check_answer(const struct websocket *w, const struct http1_head *h)
{
	struct slice one = http1_field(h, "sec-websocket-protocol");
	char want[WS_ACCEPT_LEN];

	ws_accept(slice_str(w->key), want);
	if (h->upgrade != HTTP1_UPGRADE_WEBSOCKET)
		return "it upgrades to something else";
	if (http1_field_count(h, "sec-websocket-accept") != 1 ||
	    !slice_is(http1_field(h, "sec-websocket-accept"), want))
		return "its Sec-WebSocket-Accept is wrong";
	if (http1_field(h, "sec-websocket-extensions").p != NULL)
		return "it uses an extension that was not offered";
	if (one.p != NULL && (http1_field_count(h,
	    "sec-websocket-protocol") != 1 || w->protocols.p == NULL ||
	    !ws_protocols_have(w->protocols, one)))
		return "it chose a subprotocol that was not offered";
	return NULL;
}

static int
write_answer(struct exchange *ex)
{
	const struct http1_head *h = ex->resp;
	struct slice one = http1_field(h, "sec-websocket-protocol");
	struct buf *o = &ex->c->out;
	char accept[WS_ACCEPT_LEN];
	int r = 0;

	ws_accept(http1_field(ex->req, "sec-websocket-key"), accept);
	r |= http1_write_response(o, 101, slice_make(NULL, 0));
	for (unsigned i = 0; i < h->field_n; i++) {
		const struct http1_field *f = &h->fields[i];

		if (http1_field_kept(f) && !websocket_field(f->name) &&
		    f->known != HTTP1_F_CONTENT_TYPE &&
		    f->known != HTTP1_F_MCP_SESSION_ID)
			r |= http1_write_field(o, f->name, f->value);
	}
	r |= http1_write_field(o, SLICE("Connection"), SLICE("Upgrade"));
	r |= http1_write_field(o, SLICE("Upgrade"), SLICE("websocket"));
	r |= http1_write_field(o, SLICE("Sec-WebSocket-Accept"),
	    slice_str(accept));
	if (one.p != NULL)
		r |= http1_write_field(o, SLICE("Sec-WebSocket-Protocol"),
		    one);
	r |= http1_write_end(o);
	return r;
}

static size_t
message_max(const struct exchange *ex, unsigned times)
{
	size_t n = (size_t)ex->view->conf->limits.body * times;

	return n < MESSAGE_MAX ? n : MESSAGE_MAX;
}

const char *
websocket_begin(struct exchange *ex)
{
	struct websocket *w = ex->ws;
	const char *why = check_answer(w, ex->resp);

	if (why != NULL)
		return why;
	if (write_answer(ex) != 0)
		return "its head does not fit";
	ws_reader_init(&w->agent, true, message_max(ex, 1));
	ws_reader_init(&w->server, false, message_max(ex, 4));
	ex->mode = RESP_WS;
	ex->status = 101;
	ex->head_out = w->open = true;
	ex->keep_alive = false;
	conn_kick(ex->c);
	websocket_kick(w);
	return NULL;
}

/* --- the end ------------------------------------------------------------- */

/* REASON_UNPARSEABLE of a message is a word in its own answer; of the
 * connection it is text that is no UTF-8. */
static unsigned
code_of(const struct exchange *ex)
{
	switch (ex->reason) {
	case REASON_AMBIGUOUS:
		return 1002;
	case REASON_MEDIA:
		return 1003;
	case REASON_UNPARSEABLE:
		return 1007;
	case REASON_BODY_TOO_LARGE:
		return 1009;
	case REASON_UPSTREAM:
	case REASON_UPSTREAM_TIME:
		return 1011;
	default:
		return 1008;
	}
}

bool
websocket_is_open(const struct exchange *ex)
{
	return ex->ws != NULL && ex->ws->open;
}

/* The agent is told by a Close that names the event. */
bool
websocket_say_no(struct exchange *ex, const char *event)
{
	struct websocket *w = ex->ws;
	char text[128], id[UUID_TEXT_LEN];

	if (w->deny != REASON_NONE) {
		uuid_format(w->deny_event, id);
		event = id;
	}
	snprintf(text, sizeof(text), "Portreeve: %s. Event: %s",
	    reason_word(ex->reason), event);
	w->open = false;
	if (!w->server_closed && ws_write_close(&ex->c->out,
	    w->deny != REASON_NONE ? 1008 : code_of(ex), text, false) != 0)
		return false;
	ex->delivered = true;
	conn_kick(ex->c);
	return true;
}

void
websocket_refuse(struct websocket *w, enum reason r, const char *why)
{
	struct exchange *ex = w->ex;

	if (ex->over)
		return;
	if (r == REASON_UPSTREAM)
		ex->end_status = "error";
	exchange_refuse(ex, r, "(%s)", why);
	exchange_answer_refusal(ex);
}

void
websocket_refuse_frames(struct websocket *w, const struct ws_reader *from)
{
	static const struct {
		unsigned code;
		enum reason reason;
	} map[] = { { 1007, REASON_UNPARSEABLE }, { 1008, REASON_POLICY },
		{ 1009, REASON_BODY_TOO_LARGE } };
	enum reason r = from == &w->server ? REASON_UPSTREAM :
	    REASON_AMBIGUOUS;

	for (size_t i = 0; i < ARRAY_LEN(map); i++)
		if (ws_error_code(from->error) == map[i].code)
			r = map[i].reason;
	websocket_refuse(w, r, ws_error_text(from->error));
}

/* Both have said Close, or nobody will any more. */
void
websocket_end_well(struct websocket *w)
{
	struct exchange *ex = w->ex;

	if (ex->over)
		return;
	if (w->agent_closed && !w->server_closed &&
	    ws_write_close(&ex->c->out, w->code, "", false) != 0)
		log_warn("no room for a WebSocket's Close");
	w->open = false;
	ex->delivered = true;
	upstream_close(ex->u, false);
	ex->u = NULL;
	conn_kick(ex->c);
	exchange_end(ex, "ok");
}

static void
on_close_late(void *ctx)
{
	struct exchange *ex = ctx;

	websocket_end_well(ex->ws);
}

void
websocket_wait_for_close(struct websocket *w)
{
	struct exchange *ex = w->ex;

	ex->end_status = "ok";
	loop_timer_del(ex->timer);
	ex->timer = loop_timer_new(ex->f->loop, on_close_late, ex);
	loop_timer_set(ex->timer, CLOSE_MS);
}

void
websocket_free(struct exchange *ex)
{
	struct websocket *w = ex->ws;

	if (w == NULL)
		return;
	loop_soon_cancel(ex->f->loop, w);
	while (!list_empty(&w->members)) {
		struct member *m = list_entry(w->members.next, struct member,
		    link);

		conn_inner_drop(m->c);
		websocket_forget(w, m);
	}
	ws_reader_free(&w->agent);
	ws_reader_free(&w->server);
	free(w->deny_detail);
	ex->ws = NULL;
	loop_defer_free(ex->f->loop, w);
}

/* --- to the agent -------------------------------------------------------- */

void
websocket_say(struct websocket *w, enum ws_op op, struct slice data)
{
	struct exchange *ex = w->ex;

	if (ex->over || ex->c == NULL || w->server_closed)
		return;
	ex->bytes_out += data.n;
	if (ws_write(&ex->c->out, op, data, false) != 0) {
		w->broken = true;
		websocket_kick(w);
	}
	conn_kick(ex->c);
}

void
websocket_record(const struct exchange *ex, struct jsonw *w)
{
	const struct websocket *ws = ex->ws;

	if (ex->status != 101)
		return;
	jsonw_object(w, "websocket");
	jsonw_u64(w, "from_agent", ws->from_agent);
	jsonw_u64(w, "from_server", ws->from_server);
	if (ws->binary > 0)
		jsonw_u64(w, "binary", ws->binary);
	if (ws->unasked > 0)
		jsonw_u64(w, "unasked", ws->unasked);
	jsonw_object_end(w);
}

/* --- once a round -------------------------------------------------------- */

static void
on_soon(void *ctx)
{
	struct websocket *w = ctx;
	struct exchange *ex = w->ex;

	if (ex->over || ex->c == NULL || !w->open)
		return;
	if (w->broken) {
		log_error("an agent's buffer overflowed: cut");
		ex->delivered = false;
		exchange_end(ex, "cut");
		return;
	}
	if (w->deny != REASON_NONE) {
		exchange_refuse(ex, w->deny, "%s", w->deny_detail);
		exchange_answer_refusal(ex);
		return;
	}
	if (w->sending == NULL && ex->uout.len <= FLOW_OUT_HIGH)
		websocket_send_next(w);
	relay_send_request_body(ex);
	if (!ex->over)
		websocket_sent(w);
	if (!ex->over)
		websocket_agent_data(ex);
	if (!ex->over && ex->u_paused && !websocket_down_blocked(w))
		relay_go_on(ex);
}

void
websocket_drained(struct exchange *ex)
{
	if (websocket_is_open(ex))
		websocket_kick(ex->ws);
}
