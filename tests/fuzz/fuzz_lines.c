/*
 * fuzz_lines - the first byte is the limit, the second says in what steps the
 * rest is fed.
 *
 * Invariants: the steps change nothing; a line holds no LF, is not empty and
 * keeps to the limit; lines written again, one a line, are read as the same.
 */
#include "lines.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
run(struct slice in, size_t max, size_t step, struct buf *out, unsigned *longs)
{
	struct lines l;

	lines_init(&l, max);
	*longs = 0;
	while (in.n > 0) {
		struct slice part = slice_sub(in, 0, step), line;
		enum lines_result r;

		in = slice_sub(in, part.n, SIZE_MAX);
		while ((r = lines_next(&l, &part, &line)) != LINES_MORE) {
			if (r == LINES_LONG) {
				(*longs)++;
				continue;
			}
			ASSERT(line.n > 0 && line.n <= max);
			ASSERT(slice_chr(line, '\n') < 0);
			ASSERT(buf_add_slice(out, line) == 0);
			/* A CR at its end would go with the LF. */
			ASSERT(buf_add_str(out, "\r\n") == 0);
		}
		ASSERT(part.n == 0);
	}
	lines_free(&l);
}

/* A tail that is too long is told as soon as it is: by how much of it is in one
 * piece must not matter, so the text ends with a LF. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf text, a, b, c;
	unsigned la, lb, lc;
	size_t max, step;

	if (n < 2 || n > 65536)
		return 0;
	max = (size_t)data[0] + 1;
	step = (size_t)data[1] + 1;
	buf_init(&text, n);
	buf_init(&a, 4 * n);
	buf_init(&b, 4 * n);
	buf_init(&c, 4 * n);
	ASSERT(buf_add(&text, data + 2, n - 2) == 0);
	ASSERT(buf_add_char(&text, '\n') == 0);
	run(buf_slice(&text), max, SIZE_MAX, &a, &la);
	run(buf_slice(&text), max, step, &b, &lb);
	ASSERT(slice_eq(buf_slice(&a), buf_slice(&b)) && la == lb);
	run(buf_slice(&a), max, step, &c, &lc);
	ASSERT(slice_eq(buf_slice(&a), buf_slice(&c)) && lc == 0);
	buf_free(&text);
	buf_free(&a);
	buf_free(&b);
	buf_free(&c);
	return 0;
}
