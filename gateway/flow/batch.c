/*
 * batch - JSON-RPC batches, which MCP had in 2025-03-26 only: taken apart,
 * each message through all steps as a call of its own (an inner request), the
 * answers joined again: as events where the agent takes them, as they come,
 * else as one JSON array.
 *
 * Servers of later revisions are known to run batches whatever the request's
 * header says, so nothing that is a batch is ever forwarded as one.
 */
#include "internal.h"

#include <stdlib.h>

#include "log.h"

#define BATCH_MAX 50

struct member {
	struct batch *b;
	struct conn *c;		/* NULL: it has ended */
	struct slice id;	/* raw JSON; empty: no request */
	struct inner in;
	bool answered;
};

struct batch {
	struct exchange *ex;
	bool stream, closing;
	struct buf array;	/* the answers so far, commas between */
	unsigned n, left, requests, worst;
	struct member v[BATCH_MAX];
};

/* --- to the agent --------------------------------------------------------------- */

static void
say(struct batch *b, struct slice json)
{
	struct buf ev;

	if (!b->stream) {
		if (b->array.len > 0)
			buf_add_char(&b->array, ',');
		buf_add_slice(&b->array, json);
		return;
	}
	buf_init(&ev, json.n * 2 + 65536);
	if (sse_write_event(&ev, SLICE("message"), slice_make(NULL, 0),
	    json) != 0 || http1_write_chunk(&b->ex->c->out,
	    buf_slice(&ev)) != 0) {
		log_error("an agent's buffer overflowed: cut");
		b->ex->keep_alive = false;
		b->closing = true;
	}
	b->ex->bytes_out += ev.len;
	buf_free(&ev);
	conn_kick(b->ex->c);
}

static void
keep_alive(struct batch *b)
{
	if (!b->stream)
		return;
	if (http1_write_chunk(&b->ex->c->out, SLICE(":\n\n")) != 0)
		log_warn("a keep-alive did not fit");
	conn_kick(b->ex->c);
}

/* One message of one member; without events only answers have a place. */
static void
deliver(void *ctx, struct slice json)
{
	struct member *m = ctx;
	struct json_doc d;

	if (json.n == 0) {
		keep_alive(m->b);
		return;
	}
	spare_doc(m->b->ex->f, &d);
	if (json_index(&d, json, NULL) == JSON_OK) {
		bool answer = json_member(&d, 0, "method") == JSON_NONE &&
		    json_member(&d, 0, "jsonrpc") != JSON_NONE;

		if (answer && slice_eq(json_raw(&d, json_member(&d, 0,
		    "id")), m->id))
			m->answered = true;
		if (answer || (m->b->stream && json_member(&d, 0,
		    "jsonrpc") != JSON_NONE))
			say(m->b, json);
	}
	spare_doc_back(m->b->ex->f, &d);
}

static void
write_array(struct batch *b)
{
	struct buf *o = &b->ex->c->out;
	bool none = b->requests == 0;

	if (http1_write_response(o, none ? b->worst : 200,
	    slice_make(NULL, 0)) != 0 || (!none && http1_write_field(o,
	    SLICE("Content-Type"), SLICE("application/json")) != 0) ||
	    http1_write_framing(o, HTTP1_BODY_LENGTH, none ? 0 :
	    b->array.len + 2) != 0 || http1_write_end(o) != 0 || (!none &&
	    (buf_add_char(o, '[') != 0 || buf_add_slice(o,
	    buf_slice(&b->array)) != 0 || buf_add_char(o, ']') != 0))) {
		log_error("no room for a batch's answers");
		b->closing = true;
	}
}

static void
finish(void *ctx)
{
	struct exchange *ex = ctx;
	struct batch *b = ex->batch;

	if (ex->over)
		return;
	if (b->array.full)
		b->closing = true;
	if (!b->closing && !b->stream)
		write_array(b);
	else if (!b->closing && http1_write_chunk_end(&ex->c->out) != 0)
		b->closing = true;
	ex->delivered = !b->closing;
	exchange_end(ex, "ok");
}

/* --- from a member ----------------------------------------------------------------- */

static void
on_end(struct member *m)
{
	struct batch *b = m->b;
	struct buf e;

	m->c = NULL;
	b->left--;
	if (m->in.status / 100 != 2 || b->worst == 0)
		b->worst = m->in.status == 0 ? 502 : m->in.status;
	inner_end(&m->in);
	if (m->id.n > 0 && !m->answered) {
		buf_init(&e, m->id.n + 4096);
		mcp_write_error(&e, m->id, MCP_CODE_UPSTREAM,
		    "Portreeve: this message of the batch was not answered.",
		    reason_word(REASON_UPSTREAM), NULL);
		say(b, buf_slice(&e));
		buf_free(&e);
	}
	if (b->left == 0)
		loop_soon(b->ex->f->loop, finish, b->ex);
}

static void
on_inner(void *ctx, struct conn *c, struct slice data, bool end)
{
	struct member *m = ctx;

	(void)c;
	if (m->b->closing || m->b->ex->over)
		return;
	inner_take(&m->in, data);
	if (end)
		on_end(m);
}

/* --- begin and end ------------------------------------------------------------------ */

static enum step_result
refuse(struct exchange *ex, const char *why)
{
	return exchange_refuse(ex, REASON_BATCH, "%s", why);
}

static const char *
check(const struct exchange *ex)
{
	struct slice said = http1_field_known(ex->req,
	    HTTP1_F_MCP_PROTOCOL_VERSION);
	const struct json_doc *d = &ex->doc;

	if (ex->stdio)
		return "portreeve stdio takes one message a line.";
	if (said.p != NULL && !slice_is(said, "2025-03-26"))
		return "Only MCP 2025-03-26 has batches: send each message in "
		    "its own POST.";
	if (d->nodes[0].count == 0 || d->nodes[0].count > BATCH_MAX)
		return "A batch has 1 to 50 messages.";
	for (uint32_t i = json_first(d, 0); i != JSON_NONE;
	    i = json_next(d, 0, i))
		if (json_typeof(d, i) != JSON_OBJECT || json_str_is(d,
		    json_member(d, i, "method"), "initialize"))
			return "A batch is a list of messages without "
			    "initialize.";
	return NULL;
}

static bool
add(struct batch *b, uint32_t node)
{
	struct exchange *ex = b->ex;
	const struct json_doc *d = &ex->doc;
	struct member *m = &b->v[b->n];
	uint32_t id = json_member(d, node, "id");

	m->b = b;
	if (json_member(d, node, "method") != JSON_NONE && id != JSON_NONE) {
		m->id = json_raw(d, id);
		b->requests++;
	}
	m->c = conn_inner(ex->c, ex, json_raw(d, node), on_inner, m);
	if (m->c == NULL)
		return false;
	b->n++;
	b->left++;
	inner_init(&m->in, ex->f, ex->rbody.max * 2, deliver, m);
	return true;
}

enum step_result
batch_begin(struct exchange *ex)
{
	const char *why = check(ex);
	struct batch *b;

	if (why != NULL)
		return refuse(ex, why);
	b = ex->batch = base_calloc(1, sizeof(*b));
	b->ex = ex;
	buf_init(&b->array, FLOW_OUT_MAX - 65536);
	for (uint32_t i = json_first(&ex->doc, 0); i != JSON_NONE;
	    i = json_next(&ex->doc, 0, i))
		if (!add(b, i)) {
			batch_free(ex);
			return refuse(ex, "It does not fit.");
		}
	b->stream = b->requests > 0 && call_begin_stream(ex);
	return STEP_WAIT;
}

void
batch_free(struct exchange *ex)
{
	struct batch *b = ex->batch;

	if (b == NULL)
		return;
	b->closing = true;
	for (unsigned i = 0; i < b->n; i++) {
		struct member *m = &b->v[i];

		if (m->c != NULL)
			conn_inner_drop(m->c);
		inner_free(&m->in);
	}
	buf_wipe_free(&b->array);
	ex->batch = NULL;
	loop_defer_free(ex->f->loop, b);
}
