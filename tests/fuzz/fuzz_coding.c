/*
 * fuzz_coding - the first byte says which coding and in what steps the rest is
 * fed; the rest is an encoded body.
 *
 * Invariants: the steps change nothing but when a limit is noticed; no output
 * beyond the limits; and the body taken as plain text, encoded here, comes
 * back.
 */
#include "buf.h"
#include "coding.h"

#include <stdlib.h>
#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define OUT_MAX (1u << 20)

static const struct coding_limits lim = { .bytes = OUT_MAX, .floor = 4096,
	.ratio = 50 };

static enum coding_error
run(enum media_coding kind, struct slice in, size_t step,
    const struct coding_limits *l, struct buf *out)
{
	struct coding *c = coding_new(kind, l);
	enum coding_result r = CODING_MORE;
	enum coding_error e;

	while (in.n > 0 && r != CODING_ERROR) {
		size_t k = step < in.n ? step : in.n;
		char *copy = slice_dup(slice_sub(in, 0, k));
		struct slice part = slice_make(copy, k), d;

		while ((r = coding_next(c, &part, &d)) == CODING_DATA) {
			ASSERT(d.n > 0);
			ASSERT(buf_add_slice(out, d) == 0);
		}
		ASSERT(r == CODING_ERROR || part.n == 0);
		free(copy);
		in = slice_sub(in, k, SIZE_MAX);
	}
	ASSERT(coding_end(c) == (coding_error(c) == CODING_OK));
	e = coding_error(c);
	coding_free(c);
	return e;
}

static void
round_trip(struct slice text)
{
	uLongf n = compressBound((uLong)text.n);
	unsigned char *coded = base_calloc(1, n);
	struct coding_limits wide = { .bytes = OUT_MAX * 2, .floor = OUT_MAX,
		.ratio = 1 };
	struct buf out;

	buf_init(&out, OUT_MAX * 2);
	ASSERT(compress(coded, &n, (const Bytef *)text.p, (uLong)text.n) ==
	    Z_OK);
	ASSERT(run(MEDIA_CODING_DEFLATE, slice_make(coded, n), 11, &wide,
	    &out) == CODING_OK);
	ASSERT(slice_eq(text, buf_slice(&out)));
	buf_free(&out);
	free(coded);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf a, b;

	if (n == 0 || n > OUT_MAX)
		return 0;
	enum media_coding kind = data[0] & 1 ? MEDIA_CODING_GZIP :
	    MEDIA_CODING_DEFLATE;
	struct slice in = slice_make(data + 1, n - 1);

	buf_init(&a, OUT_MAX);
	buf_init(&b, OUT_MAX);
	enum coding_error ea = run(kind, in, SIZE_MAX, &lim, &a);
	enum coding_error eb = run(kind, in, data[0] / 2 % 32 + 1u, &lim, &b);

	/* Which of a limit and a damage is met first may depend on the steps;
	 * so may the ratio, as zlib takes input a few bytes ahead. */
	if (ea < CODING_E_LARGE && eb < CODING_E_LARGE)
		ASSERT(ea == eb);
	if (ea == CODING_OK && eb == CODING_OK)
		ASSERT(slice_eq(buf_slice(&a), buf_slice(&b)));
	round_trip(in);
	buf_free(&a);
	buf_free(&b);
	return 0;
}
