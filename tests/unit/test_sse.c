/* sse: events as WHATWG's standard reads them, wherever the stream is cut. */
#include "sse.h"
#include "clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* One line a thing handed out: E[name|data|id|retry] or C[text]; the raw
 * bytes of all go to raw. */
static void
show(struct buf *log, struct buf *raw, enum sse_result r,
    const struct sse_event *e)
{
	buf_add_slice(raw, e->raw);
	if (r == SSE_COMMENT) {
		buf_addf(log, "C[%.*s]", SLICE_FMT(e->comment));
		return;
	}
	buf_add_str(log, "E[");
	buf_add_slice(log, e->name);
	buf_add_str(log, e->has_data ? "|" : "|-");
	buf_add_slice(log, e->data);
	buf_add_str(log, e->has_id ? "|" : "|-");
	buf_add_slice(log, e->id);
	if (e->has_retry)
		buf_addf(log, "|%llu", (unsigned long long)e->retry_ms);
	buf_add_str(log, "]");
}

/* Feeds copies of the parts, so that nothing may keep a pointer into them. */
static void
run(struct slice in, const size_t *cut, size_t cuts, struct buf *log,
    struct buf *raw)
{
	struct sse s;
	size_t from = 0;

	buf_reset(log);
	buf_reset(raw);
	sse_init(&s, NULL);
	for (size_t i = 0; i <= cuts; i++) {
		size_t to = i < cuts ? cut[i] : in.n;
		char *copy = slice_dup(slice_sub(in, from, to - from));
		struct slice part = slice_make(copy, to - from);
		struct sse_event e;
		enum sse_result r;

		while ((r = sse_next(&s, &part, &e)) != SSE_MORE) {
			assert_int_not_equal(r, SSE_ERROR);
			show(log, raw, r, &e);
		}
		assert_int_equal(part.n, 0);
		free(copy);
		sse_trim(&s);	/* never changes what comes */
		from = to;
	}
	if (sse_pending(&s) != 0)
		buf_addf(log, "+%zu", sse_pending(&s));
	sse_free(&s);
}

#define V(in, want) { SLICE(in), want }

static const struct {
	struct slice in;
	const char *want;
} vectors[] = {
	V("", ""),
	V("data: a\n\n", "E[|a|-]"),
	V("data: a\r\rdata:b\r\n\r\n", "E[|a|-]E[|b|-]"),
	V("data: a\r\ndata\ndata:  c\r\n\n", "E[|a\n\n c|-]"),
	V("data\n\ndata\ndata\n\ndata:", "E[||-]E[|\n|-]+5"),
	V("\xef\xbb\xbf" "data: a\n\n", "E[|a|-]"),
	V("\xef\xbb" "data: a\n\n", "E[|-|-]"),
	V("\xef", ""),
	V("data: a\n \xef\xbb\xbf" "data: b\n\n", "E[|a|-]"),
	V("event: x\nid: 7\nretry: 30\ndata: d\n\n", "E[x|d|7|30]"),
	V("event: x\nevent: y\nid: 7\nid\ndata: d\n\n", "E[y|d|]"),
	V("id: 1\ndata:\n\n", "E[||1]"),
	V("id: 1\n\nretry: 9\n\n", "E[|-|1]E[|-|-|9]"),
	V("id: a\0b\ndata: d\n\n", "E[|d|-]"),
	V("retry: 3x\ndata: d\n\nretry:\n\n", "E[|d|-]E[|-|-]"),
	V("retry: 99999999999999999999\n\n", "E[|-|-]"),
	V(": ping\n\n", "C[ ping]C[]"),
	V(":\ndata: a\n:in\ndata: b\n\n", "C[]C[in]E[|a\nb|-]"),
	V("\n\r\n\r", "C[]C[]C[]"),
	V("data: {\"a\": 1}\nDATA: x\n data: y\ndata : z\n\n",
	    "E[|{\"a\": 1}|-]"),
	V("foo: bar\n\n", "E[|-|-]"),
	V("data: a\n\ndata: lost\n", "E[|a|-]+11"),
	V("data: \xe2\x82\xac\n\n", "E[|\xe2\x82\xac|-]"),
	V("data: 0123456789abcdef\rdata: 0123456789abcdef\r\n\n",
	    "E[|0123456789abcdef\n0123456789abcdef|-]"),
};

static void
test_splits(void **state)
{
	struct buf log, raw, raw_whole;

	(void)state;
	buf_init(&log, 4096);
	buf_init(&raw, 4096);
	buf_init(&raw_whole, 4096);
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		struct slice in = vectors[i].in;

		run(in, NULL, 0, &log, &raw_whole);
		if (!slice_is(buf_slice(&log), vectors[i].want))
			fail_msg("%zu: \"%.*s\"", i,
			    SLICE_FMT(buf_slice(&log)));
		for (size_t x = 0; x <= in.n; x++)
			for (size_t y = x; y <= in.n; y++) {
				const size_t cut[] = { x, y };

				run(in, cut, 2, &log, &raw);
				if (!slice_is(buf_slice(&log),
				    vectors[i].want) || !slice_eq(
				    buf_slice(&raw), buf_slice(&raw_whole)))
					fail_msg("%zu at %zu, %zu: \"%.*s\"",
					    i, x, y,
					    SLICE_FMT(buf_slice(&log)));
			}
		/* byte by byte */
		size_t each[128];

		assert_true(in.n <= ARRAY_LEN(each));
		for (size_t x = 0; x < in.n; x++)
			each[x] = x;
		run(in, each, in.n, &log, &raw);
		assert_true(slice_is(buf_slice(&log), vectors[i].want));
		/* what is forwarded reads the same again */
		struct slice again = buf_slice(&raw_whole);

		run(again, NULL, 0, &log, &raw);
		assert_true(slice_eq(again, buf_slice(&raw)));
	}
	buf_free(&log);
	buf_free(&raw);
	buf_free(&raw_whole);
}

static void
test_raw(void **state)
{
	struct buf log, raw;

	(void)state;
	buf_init(&log, 4096);
	buf_init(&raw, 4096);
	run(SLICE("\xef\xbb\xbf" "id: 1\r\ndata: a\r\r\n:c\r\n\r\n"), NULL, 0,
	    &log, &raw);
	assert_true(slice_is(buf_slice(&raw),
	    "id: 1\ndata: a\n\n:c\n\n"));
	assert_true(slice_is(buf_slice(&log), "E[|a|1]C[c]C[]"));
	buf_free(&log);
	buf_free(&raw);
}

/* A CR alone ends the line at once: the event is not held until the next
 * byte. */
static void
test_cr_at_end(void **state)
{
	struct slice in = SLICE("data: a\r\r");
	struct sse_event e;
	struct sse s;

	(void)state;
	sse_init(&s, NULL);
	assert_int_equal(sse_next(&s, &in, &e), SSE_EVENT);
	assert_int_equal(sse_next(&s, &in, &e), SSE_MORE);
	in = SLICE("\ndata: b\r");
	assert_int_equal(sse_next(&s, &in, &e), SSE_MORE);
	in = SLICE("\n\r");
	assert_int_equal(sse_next(&s, &in, &e), SSE_EVENT);
	assert_true(slice_is(e.data, "b"));
	assert_int_equal(sse_next(&s, &in, &e), SSE_MORE);
	in = SLICE("\n");
	assert_int_equal(sse_next(&s, &in, &e), SSE_MORE);
	assert_int_equal(sse_pending(&s), 0);
	assert_int_equal(s.events, 2);
	assert_int_equal(s.comments, 0);
	sse_free(&s);
}

static void
test_trim(void **state)
{
	struct slice in = SLICE("data: a\ndata: b\n\n");
	struct sse_event e;
	struct sse s;

	(void)state;
	sse_init(&s, NULL);
	assert_int_equal(sse_next(&s, &in, &e), SSE_EVENT);
	assert_true(s.raw.cap > 0 && s.data.cap > 0);
	sse_trim(&s);
	assert_int_equal(s.raw.cap, 0);
	assert_int_equal(s.data.cap, 0);
	in = SLICE("id: 7\n: c\n");
	assert_int_equal(sse_next(&s, &in, &e), SSE_COMMENT);
	sse_trim(&s);		/* the id waits for its event */
	assert_true(s.raw.cap > 0);
	in = SLICE("data: d\n\n");
	assert_int_equal(sse_next(&s, &in, &e), SSE_EVENT);
	assert_true(e.has_id && slice_is(e.id, "7") && slice_is(e.data, "d"));
	sse_free(&s);
}

static enum sse_error
limit(const char *text, size_t step)
{
	static const struct sse_limits lim = { .line = 10, .event = 30,
		.lines = 5 };
	struct slice in = slice_str(text);
	enum sse_result r = SSE_MORE;
	struct sse_event e;
	struct sse s;

	sse_init(&s, &lim);
	while (in.n > 0 && r != SSE_ERROR) {
		struct slice part = slice_sub(in, 0, step);

		in = slice_sub(in, step, SIZE_MAX);
		do
			r = sse_next(&s, &part, &e);
		while (r == SSE_EVENT || r == SSE_COMMENT);
	}
	assert_int_equal(r == SSE_ERROR, s.error != SSE_OK);
	if (r == SSE_ERROR) {
		struct slice more = SLICE("data: a\n\n");

		assert_int_equal(sse_next(&s, &more, &e), SSE_ERROR);
		assert_true(strlen(sse_error_text(s.error)) > 9);
	}
	enum sse_error error = s.error;

	sse_free(&s);
	return error;
}

static void
test_limits(void **state)
{
	(void)state;
	for (size_t step = 1; step < 40; step++) {
		assert_int_equal(limit("data: 6789\n\n", step), SSE_OK);
		assert_int_equal(limit("data: 67890\n\n", step), SSE_E_LINE);
		assert_int_equal(limit(":0123456789\n\n", step), SSE_E_LINE);
		assert_int_equal(limit("data: 6789\ndata: 6789\ndata:\n\n",
		    step), SSE_OK);
		assert_int_equal(limit(
		    "data: 6789\ndata: 6789\ndata: 6789\n\n", step),
		    SSE_E_EVENT);
		assert_int_equal(limit("a\na\na\na\na\n\na\n\n", step),
		    SSE_OK);
		assert_int_equal(limit("a\na\na\na\na\na\n\n", step),
		    SSE_E_LINES);
		assert_int_equal(limit("\xef\xbb\xbf\xef\xbb\xbf" "a\n\n",
		    step), SSE_E_BOM);
		assert_int_equal(limit("a\n\n\xef\xbb\xbf:a\n", step),
		    SSE_E_BOM);
		/* comments inside an event are not kept */
		assert_int_equal(limit("a\n:012345678\n:012345678\n"
		    ":012345678\n:012345678\na\n\n", step), SSE_OK);
	}
}

static void
test_writers(void **state)
{
	struct slice none = { NULL, 0 };
	struct buf out, log, raw;

	(void)state;
	buf_init(&out, 200);
	buf_init(&log, 4096);
	buf_init(&raw, 4096);
	assert_int_equal(sse_write_event(&out, SLICE("message"), SLICE("7"),
	    SLICE("a\nb\r\nc\rd\n")), 0);
	assert_int_equal(sse_write_comment(&out, SLICE("still\nhere")), 0);
	assert_int_equal(sse_write_retry(&out, 1500), 0);
	assert_int_equal(sse_write_event(&out, none, none, SLICE("")), 0);
	assert_int_equal(sse_write_event(&out, none, SLICE(""), none), 0);
	assert_true(slice_is(buf_slice(&out), "event: message\nid: 7\n"
	    "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"
	    ": still\n: here\nretry: 1500\n\ndata: \n\nid: \n\n"));
	run(buf_slice(&out), NULL, 0, &log, &raw);
	assert_true(slice_is(buf_slice(&log),
	    "E[message|a\nb\nc\nd\n|7]C[ still]C[ here]E[|-|-|1500]E[||-]"
	    "E[|-|]"));
	assert_true(slice_eq(buf_slice(&raw), buf_slice(&out)));
	/* a name cannot begin another line */
	size_t before = out.len;

	assert_int_equal(sse_write_event(&out, SLICE("a\ndata: x"), none,
	    SLICE("y")), -1);
	assert_int_equal(sse_write_event(&out, none, SLICE("a\rb"),
	    SLICE("y")), -1);
	assert_int_equal(sse_write_event(&out, none, SLICE("a\0b"),
	    SLICE("y")), -1);
	assert_int_equal(out.len, before);
	/* all or nothing when full */
	out.max = out.len + 20;
	assert_int_equal(sse_write_event(&out, none, none,
	    SLICE("0123\n0123\n0123")), -1);
	assert_int_equal(out.len, before);
	buf_free(&out);
	buf_free(&log);
	buf_free(&raw);
}

static void
test_speed(void **state)
{
	static char in[1000 * 206];
	const unsigned rounds = 20;
	struct sse_event e;
	struct sse s;
	uint64_t t0;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		memset(in + i * 206, 'x', 206);
		memcpy(in + i * 206, "event: m\ndata: ", 15);
		memcpy(in + i * 206 + 204, "\n\n", 2);
	}
	sse_init(&s, NULL);
	t0 = clock_mono_ns();
	for (unsigned i = 0; i < rounds; i++) {
		struct slice part = slice_make(in, sizeof(in));

		while (sse_next(&s, &part, &e) == SSE_EVENT)
			assert_int_equal(e.data.n, 189);
	}
	assert_int_equal(s.events, rounds * 1000);
	print_message("206 byte event: %llu ns\n", (unsigned long long)
	    ((clock_mono_ns() - t0) / rounds / 1000));
	sse_free(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_splits), cmocka_unit_test(test_raw),
		cmocka_unit_test(test_cr_at_end), cmocka_unit_test(test_trim),
		cmocka_unit_test(test_limits), cmocka_unit_test(test_writers),
		cmocka_unit_test(test_speed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
