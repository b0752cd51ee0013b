/*
 * fuzz_ws - the first byte says who sent the rest and in what steps it is fed.
 *
 * Invariants: the steps change nothing; limits hold; a message written by our
 * writer is read as it was.
 */
#include "ws.h"

#include <stdlib.h>

#define MESSAGE 600

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check_writer(enum ws_event e, struct slice data)
{
	enum ws_op op = e == WS_TEXT ? WS_OP_TEXT : e == WS_BINARY ?
	    WS_OP_BINARY : e == WS_PING ? WS_OP_PING : WS_OP_PONG;

	for (int mask = 0; mask < 2; mask++) {
		struct ws_reader r;
		struct slice in, got;
		struct buf out;

		buf_init(&out, 4096);
		ASSERT(ws_write(&out, op, data, mask) == 0);
		ws_reader_init(&r, mask, MESSAGE);
		in = buf_slice(&out);
		enum ws_event back = ws_next(&r, &in, &got);

		ASSERT(back == e && in.n == 0 && slice_eq(got, data));
		ws_reader_free(&r);
		buf_free(&out);
	}
}

static enum ws_error
run(struct slice in, bool masked, size_t step, struct buf *log)
{
	struct ws_reader r;
	enum ws_error error;

	ws_reader_init(&r, masked, MESSAGE);
	while (in.n > 0 && r.error == WS_E_NONE) {
		size_t k = step < in.n ? step : in.n;
		char *copy = slice_dup(slice_sub(in, 0, k));
		struct slice part = slice_make(copy, k), got;
		enum ws_event e;

		while ((e = ws_next(&r, &part, &got)) != WS_MORE &&
		    e != WS_ERROR) {
			ASSERT(got.n <= MESSAGE);
			buf_addf(log, "%d %u %zu:", e, e == WS_CLOSE ? r.code :
			    0, got.n);
			buf_add_slice(log, got);
			if (e != WS_CLOSE)
				check_writer(e, got);
		}
		ASSERT(e == WS_ERROR || part.n == 0);
		free(copy);
		in = slice_sub(in, k, SIZE_MAX);
	}
	error = r.error;
	if (error == WS_E_NONE)
		buf_addf(log, "+%zu", ws_pending(&r));
	ASSERT(ws_error_code(error) >= 1000 && ws_error_text(error) != NULL);
	ws_reader_free(&r);
	return error;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf log, log2;

	if (n == 0 || n > 8192)
		return 0;
	struct slice in = slice_make(data + 1, n - 1);
	bool masked = (data[0] & 128) != 0;

	buf_init(&log, 1u << 20);
	buf_init(&log2, 1u << 20);
	enum ws_error a = run(in, masked, SIZE_MAX, &log);
	enum ws_error b = run(in, masked, 1 + (data[0] & 127), &log2);

	ASSERT(a == b && slice_eq(buf_slice(&log), buf_slice(&log2)));
	buf_free(&log);
	buf_free(&log2);
	if (ws_key_ok(slice_sub(in, 0, 24))) {
		char accept[WS_ACCEPT_LEN];

		ws_accept(slice_sub(in, 0, 24), accept);
	}
	if (ws_protocols_ok(in)) {
		struct slice rest = in;

		ASSERT(ws_protocols_have(in, slice_trim(slice_cut(&rest,
		    ','))));
	}
	return 0;
}
