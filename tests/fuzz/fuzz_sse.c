/*
 * fuzz_sse - the first byte says in what steps the rest is fed.
 *
 * Invariants: the steps change nothing; raw, read again, gives the same; an
 * event written from its parts has the same parts.
 */
#include "sse.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct sse_limits lim = { .line = 512, .event = 2048,
	.lines = 16 };

/* The parts must survive our own writer. */
static void
check_writer(const struct sse_event *e)
{
	struct slice none = { NULL, 0 };
	enum sse_result r;
	struct sse_event w;
	struct buf out;
	struct sse s;

	if (slice_chr(e->name, '\0') >= 0)
		return;
	buf_init(&out, 1u << 16);
	ASSERT(sse_write_event(&out, e->name, e->has_id ? e->id : none,
	    e->has_data ? e->data : none) == 0);
	struct slice in = buf_slice(&out);

	sse_init(&s, NULL);
	r = sse_next(&s, &in, &w);
	ASSERT(r == SSE_EVENT && in.n == 0);
	ASSERT(slice_eq(e->name, w.name) && slice_eq(e->data, w.data));
	ASSERT(e->has_data == w.has_data && e->has_id == w.has_id);
	ASSERT(slice_eq(e->id, w.id));
	sse_free(&s);
	buf_free(&out);
}

static void
log_event(struct buf *log, enum sse_result r, const struct sse_event *e)
{
	buf_addf(log, "%d %d %d %llu:", r, e->has_data, e->has_id,
	    (unsigned long long)(e->has_retry ? e->retry_ms + 1 : 0));
	buf_add_slice(log, e->name);
	buf_add_slice(log, e->data);
	buf_add_slice(log, e->id);
	buf_add_slice(log, e->comment);
}

static enum sse_error
run(struct slice in, size_t step, struct buf *log, struct buf *raw)
{
	enum sse_error error;
	struct sse s;

	sse_init(&s, &lim);
	while (in.n > 0 && s.error == SSE_OK) {
		size_t k = step < in.n ? step : in.n;
		char *copy = slice_dup(slice_sub(in, 0, k));
		struct slice part = slice_make(copy, k);
		struct sse_event e;
		enum sse_result r;

		while ((r = sse_next(&s, &part, &e)) == SSE_EVENT ||
		    r == SSE_COMMENT) {
			log_event(log, r, &e);
			buf_add_slice(raw, e.raw);
			if (r == SSE_EVENT)
				check_writer(&e);
		}
		ASSERT(r == SSE_ERROR || part.n == 0);
		free(copy);
		in = slice_sub(in, k, SIZE_MAX);
	}
	error = s.error;
	if (error == SSE_OK)
		buf_addf(log, "+%zu", sse_pending(&s));
	sse_free(&s);
	return error;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf log, log2, raw, raw2;

	if (n == 0)
		return 0;
	struct slice in = slice_make(data + 1, n - 1);

	buf_init(&log, n * 64 + 64);
	buf_init(&log2, n * 64 + 64);
	buf_init(&raw, n * 2 + 64);
	buf_init(&raw2, n * 2 + 64);
	enum sse_error e = run(in, SIZE_MAX, &log, &raw);

	/* which of two limits is passed first may depend on the steps */
	ASSERT((run(in, data[0] % 16 + 1u, &log2, &raw2) == SSE_OK) ==
	    (e == SSE_OK));
	ASSERT(slice_eq(buf_slice(&log), buf_slice(&log2)));
	ASSERT(slice_eq(buf_slice(&raw), buf_slice(&raw2)));
	buf_reset(&log2);
	buf_reset(&raw2);
	ASSERT(run(buf_slice(&raw), 5, &log2, &raw2) == SSE_OK);
	ASSERT(slice_eq(buf_slice(&raw), buf_slice(&raw2)));
	buf_free(&log);
	buf_free(&log2);
	buf_free(&raw);
	buf_free(&raw2);
	return 0;
}
