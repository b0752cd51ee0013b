/*
 * inner - reads back what an inner connection answers: HTTP that the gateway
 * itself wrote, so it is well-formed. JSON and text come whole, events as they
 * come.
 */
#include "internal.h"

#define IN_MAX (FLOW_OUT_MAX + FLOW_OUT_HIGH)

void
inner_init(struct flow *f, struct inner_answer *a, size_t text_max)
{
	memset(a, 0, sizeof(*a));
	a->head = spare_head(f);
	buf_init(&a->in, IN_MAX);
	buf_init(&a->text, text_max);
	sse_init(&a->sse, NULL);
}

void
inner_free(struct flow *f, struct inner_answer *a)
{
	spare_head_back(f, a->head);
	a->head = NULL;
	buf_wipe_free(&a->in);
	buf_wipe_free(&a->text);
	sse_free(&a->sse);
}

static bool
read_head(struct inner_answer *a)
{
	struct media type;
	size_t used;

	if (http1_parse_response(a->head, buf_slice(&a->in), NULL,
	    HTTP1_M_POST, &used) != HTTP1_DONE)
		return false;
	if (!a->head->interim) {
		media_parse(http1_field_known(a->head,
		    HTTP1_F_CONTENT_TYPE), &type);
		a->events = type.kind == MEDIA_SSE;
		a->status = a->head->status;
		a->head_done = true;
		http1_body_init(&a->body, a->head->framing, a->head->length);
	}
	buf_consume(&a->in, used);
	http1_head_init(a->head);
	return true;
}

static void
on_body(struct inner_answer *a, struct slice data, inner_message_fn *fn,
    void *ctx)
{
	struct sse_event ev;

	if (!a->events) {
		if (buf_add_slice(&a->text, data) != 0)
			buf_reset(&a->text);
		return;
	}
	for (;;) {
		enum sse_result r = sse_next(&a->sse, &data, &ev);

		if (r == SSE_EVENT && ev.has_data && ev.data.n > 0)
			fn(ctx, ev.data);
		else if (r == SSE_COMMENT)
			fn(ctx, slice_make("", 0));
		else if (r != SSE_EVENT)
			return;
	}
}

void
inner_feed(struct inner_answer *a, struct slice data, bool end,
    inner_message_fn *fn, void *ctx)
{
	struct slice in, part;

	if (buf_add_slice(&a->in, data) != 0)
		buf_reset(&a->in);
	while (!a->head_done && read_head(a))
		;
	while (a->head_done && a->in.len > 0) {
		in = buf_slice(&a->in);
		size_t before = in.n;
		enum http1_result r = http1_body_next(&a->body, &in, &part);

		if (r == HTTP1_DATA)
			on_body(a, part, fn, ctx);
		buf_consume(&a->in, before - in.n);
		if (r != HTTP1_DATA)
			break;
	}
	if (end && a->text.len > 0)
		fn(ctx, buf_slice(&a->text));
}
