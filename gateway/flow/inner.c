/*
 * inner - reads what an inner connection (conn_inner()) answers: the head, then
 * the JSON-RPC messages in it, whether they come as JSON or as events. It is
 * what the gateway itself wrote: well-formed; what is not is left out.
 */
#include "internal.h"

void
inner_init(struct inner *r, struct flow *f, size_t max, inner_message_fn *fn,
    void *ctx)
{
	*r = (struct inner){ .f = f, .fn = fn, .ctx = ctx,
		.head = spare_head(f) };
	buf_init(&r->in, FLOW_OUT_MAX + FLOW_OUT_HIGH);
	buf_init(&r->text, max);
	buf_init(&r->session, 4096);
	sse_init(&r->sse, NULL);
}

void
inner_free(struct inner *r)
{
	spare_head_back(r->f, r->head);
	r->head = NULL;
	buf_wipe_free(&r->in);
	buf_wipe_free(&r->text);
	buf_wipe_free(&r->session);
	sse_free(&r->sse);
}

static void
on_body(struct inner *r, struct slice data)
{
	struct sse_event ev;

	if (!r->events) {
		if (buf_add_slice(&r->text, data) != 0)
			buf_reset(&r->text);
		return;
	}
	for (;;) {
		enum sse_result k = sse_next(&r->sse, &data, &ev);

		if (k == SSE_EVENT && ev.has_data && ev.data.n > 0)
			r->fn(r->ctx, ev.data);
		else if (k == SSE_COMMENT)
			r->fn(r->ctx, slice_make(NULL, 0));
		else if (k != SSE_EVENT)
			return;
	}
}

static bool
read_head(struct inner *r)
{
	struct media type;
	size_t used;

	if (http1_parse_response(r->head, buf_slice(&r->in), NULL,
	    HTTP1_M_POST, &used) != HTTP1_DONE)
		return false;
	if (!r->head->interim) {
		media_parse(http1_field_known(r->head,
		    HTTP1_F_CONTENT_TYPE), &type);
		r->events = type.kind == MEDIA_SSE;
		r->status = r->head->status;
		r->head_done = true;
		buf_add_slice(&r->session, http1_field_known(r->head,
		    HTTP1_F_MCP_SESSION_ID));
		http1_body_init(&r->body, r->head->framing, r->head->length);
	}
	buf_consume(&r->in, used);
	http1_head_init(r->head);
	return true;
}

void
inner_take(struct inner *r, struct slice data)
{
	struct slice in, part;

	if (buf_add_slice(&r->in, data) != 0)
		buf_reset(&r->in);
	while (!r->head_done && read_head(r))
		;
	while (r->head_done && r->in.len > 0) {
		in = buf_slice(&r->in);
		size_t before = in.n;
		enum http1_result k = http1_body_next(&r->body, &in, &part);

		if (k == HTTP1_DATA)
			on_body(r, part);
		buf_consume(&r->in, before - in.n);
		if (k != HTTP1_DATA)
			break;
	}
}

void
inner_end(struct inner *r)
{
	if (r->text.len > 0)
		r->fn(r->ctx, buf_slice(&r->text));
}
