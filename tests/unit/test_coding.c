/* coding: what zlib made comes back in any pieces; what is cut, followed,
 * damaged or grown too much is refused, each by its own name. */
#include "buf.h"
#include "coding.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <zlib.h>

#define MAX (8u << 20)

/* bits: 15 zlib, 31 gzip, -15 raw deflate (zlib.h). */
static void
encode(struct buf *out, struct slice text, int bits)
{
	z_stream z = { 0 };

	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, bits, 8,
	    Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (unsigned char *)(uintptr_t)text.p;
	z.avail_in = (unsigned)text.n;
	do {
		char *p = buf_reserve(out, 4096);

		assert_non_null(p);
		z.next_out = (unsigned char *)p;
		z.avail_out = 4096;
		assert_int_not_equal(deflate(&z, Z_FINISH), Z_STREAM_ERROR);
		buf_commit(out, 4096 - z.avail_out);
	} while (z.avail_out == 0);
	deflateEnd(&z);
}

/* Decodes in, given in runs of `run` bytes that vanish when taken. */
static enum coding_error
decode(enum media_coding kind, struct slice in, size_t run,
    const struct coding_limits *lim, struct buf *out)
{
	struct coding *c = coding_new(kind, lim);
	enum coding_result r = CODING_MORE;
	enum coding_error e;

	buf_reset(out);
	while (in.n > 0 && r != CODING_ERROR) {
		size_t k = run < in.n ? run : in.n;
		char *copy = slice_dup(slice_sub(in, 0, k));
		struct slice part = slice_make(copy, k), data;

		while ((r = coding_next(c, &part, &data)) == CODING_DATA) {
			assert_true(data.n > 0 && data.n <= 16384);
			assert_int_equal(buf_add_slice(out, data), 0);
		}
		if (r == CODING_MORE)
			assert_int_equal(part.n, 0);
		free(copy);
		in = slice_sub(in, k, SIZE_MAX);
	}
	if (r != CODING_ERROR)
		assert_true(coding_end(c) == (coding_error(c) == CODING_OK));
	e = coding_error(c);
	coding_free(c);
	return e;
}

static void
fill(struct buf *b, size_t n, unsigned period)
{
	uint32_t x = 1;

	for (size_t i = 0; i < n; i++) {
		x = x * 1664525u + 1013904223u;
		buf_add_char(b, period > 0 ? (char)('a' + i % period) :
		    (char)(x >> 24));
	}
}

static void
test_comes_back(void **state)
{
	static const size_t sizes[] = { 0, 1, 100, 16383, 16384, 16385, 200000 };
	static const size_t runs[] = { 1, 7, 4096, SIZE_MAX };
	struct buf text, coded, out;

	(void)state;
	buf_init(&text, MAX);
	buf_init(&coded, MAX);
	buf_init(&out, MAX);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		for (size_t k = 0; k < 4 * ARRAY_LEN(runs); k++) {
			bool gzip = k & 1;

			buf_reset(&text);
			buf_reset(&coded);
			fill(&text, sizes[i], k & 2 ? 26 : 0);
			encode(&coded, buf_slice(&text), gzip ? 31 : 15);
			assert_int_equal(decode(gzip ? MEDIA_CODING_GZIP :
			    MEDIA_CODING_DEFLATE, buf_slice(&coded),
			    runs[k / 4], &coding_limits_default, &out),
			    CODING_OK);
			assert_true(slice_eq(buf_slice(&text),
			    buf_slice(&out)));
		}
	buf_free(&text);
	buf_free(&coded);
	buf_free(&out);
}

static void
test_every_cut_is_seen(void **state)
{
	struct buf text, coded, out;

	(void)state;
	buf_init(&text, MAX);
	buf_init(&coded, MAX);
	buf_init(&out, MAX);
	fill(&text, 500, 26);
	encode(&coded, buf_slice(&text), 31);
	for (size_t n = 1; n < coded.len; n++)
		assert_int_equal(decode(MEDIA_CODING_GZIP, slice_sub(
		    buf_slice(&coded), 0, n), 3, &coding_limits_default, &out),
		    CODING_E_CUT);
	/* No bytes are no stream, and an empty body. */
	assert_int_equal(decode(MEDIA_CODING_GZIP, slice_make("", 0), 1,
	    &coding_limits_default, &out), CODING_OK);
	assert_int_equal(out.len, 0);
	buf_free(&text);
	buf_free(&coded);
	buf_free(&out);
}

static void
test_what_follows_is_refused(void **state)
{
	struct buf coded, out;

	(void)state;
	buf_init(&coded, MAX);
	buf_init(&out, MAX);
	encode(&coded, SLICE("one"), 31);
	size_t one = coded.len;

	encode(&coded, SLICE("two"), 31);	/* a second member */
	for (size_t run = 1; run < coded.len; run++) {
		assert_int_equal(decode(MEDIA_CODING_GZIP, buf_slice(&coded),
		    run, &coding_limits_default, &out), CODING_E_TRAILING);
		assert_int_equal(decode(MEDIA_CODING_GZIP, slice_sub(
		    buf_slice(&coded), 0, one + 1), run,
		    &coding_limits_default, &out), CODING_E_TRAILING);
	}
	buf_free(&coded);
	buf_free(&out);
}

static void
test_broken(void **state)
{
	struct buf coded, out;
	unsigned refused = 0;

	(void)state;
	buf_init(&coded, MAX);
	buf_init(&out, MAX);
	assert_int_equal(decode(MEDIA_CODING_GZIP, SLICE("{\"a\":1}"), 99,
	    &coding_limits_default, &out), CODING_E_BROKEN);
	assert_int_equal(decode(MEDIA_CODING_DEFLATE, SLICE("{\"a\":1}"), 99,
	    &coding_limits_default, &out), CODING_E_BROKEN);
	encode(&coded, SLICE("raw"), -15);
	assert_int_equal(decode(MEDIA_CODING_DEFLATE, buf_slice(&coded), 99,
	    &coding_limits_default, &out), CODING_E_BROKEN);
	buf_reset(&coded);
	encode(&coded, SLICE("gzip, not zlib"), 31);
	assert_int_equal(decode(MEDIA_CODING_DEFLATE, buf_slice(&coded), 99,
	    &coding_limits_default, &out), CODING_E_BROKEN);
	/* Any one byte of data or checksum changed: never another text. */
	for (size_t i = 10; i < coded.len; i++) {
		coded.data[coded.off + i] ^= 0x11;
		if (decode(MEDIA_CODING_GZIP, buf_slice(&coded), 99,
		    &coding_limits_default, &out) != CODING_OK)
			refused++;
		else
			assert_true(slice_is(buf_slice(&out),
			    "gzip, not zlib"));
		coded.data[coded.off + i] ^= 0x11;
	}
	assert_true(refused >= coded.len - 11);
	/* A preset dictionary. */
	assert_int_equal(decode(MEDIA_CODING_DEFLATE, slice_make(
	    "\x78\xbb\0\0\0\1\3\0", 8), 99, &coding_limits_default, &out),
	    CODING_E_BROKEN);
	buf_free(&coded);
	buf_free(&out);
}

static void
test_limits(void **state)
{
	struct coding_limits lim = { .bytes = 1000, .floor = 1000,
		.ratio = 10 };
	struct buf text, coded, out;

	(void)state;
	buf_init(&text, MAX);
	buf_init(&coded, MAX);
	buf_init(&out, MAX);
	fill(&text, 1000, 26);
	encode(&coded, buf_slice(&text), 31);
	assert_int_equal(decode(MEDIA_CODING_GZIP, buf_slice(&coded), 9, &lim,
	    &out), CODING_OK);
	buf_add_char(&text, 'x');
	buf_reset(&coded);
	encode(&coded, buf_slice(&text), 31);
	assert_int_equal(decode(MEDIA_CODING_GZIP, buf_slice(&coded), 9, &lim,
	    &out), CODING_E_LARGE);
	/* The same, one byte beyond the floor, is out of proportion. */
	lim.bytes = 2000;
	assert_true(coded.len * 10 < 1001);
	assert_int_equal(decode(MEDIA_CODING_GZIP, buf_slice(&coded), 9, &lim,
	    &out), CODING_E_BOMB);
	lim.ratio = 1000;
	assert_int_equal(decode(MEDIA_CODING_GZIP, buf_slice(&coded), 9, &lim,
	    &out), CODING_OK);
	/* A head that never ends yields nothing, and ends all the same. */
	buf_reset(&coded);
	buf_add(&coded, "\x1f\x8b\x08\x08\0\0\0\0\0\3", 10);
	fill(&coded, 5000, 26);
	assert_int_equal(decode(MEDIA_CODING_GZIP, buf_slice(&coded), 50,
	    &lim, &out), CODING_E_LARGE);
	buf_free(&text);
	buf_free(&coded);
	buf_free(&out);
}

static void
test_bomb_ends_early(void **state)
{
	struct buf text, coded, out;

	(void)state;
	buf_init(&text, MAX);
	buf_init(&coded, MAX);
	buf_init(&out, MAX);
	fill(&text, 4u << 20, 1);
	encode(&coded, buf_slice(&text), 15);
	assert_true(coded.len < 8192);
	for (size_t run = 1; run < 100000; run *= 10) {
		assert_int_equal(decode(MEDIA_CODING_DEFLATE,
		    buf_slice(&coded), run, &coding_limits_default, &out),
		    CODING_E_BOMB);
		assert_true(out.len <= (256u << 10) + 16384);
	}
	buf_free(&text);
	buf_free(&coded);
	buf_free(&out);
}

static void
test_error_stays(void **state)
{
	struct coding *c = coding_new(MEDIA_CODING_GZIP,
	    &coding_limits_default);
	struct slice bad = SLICE("no gzip"), data;

	(void)state;
	assert_int_equal(coding_next(c, &bad, &data), CODING_ERROR);
	bad = slice_make("", 0);
	assert_int_equal(coding_next(c, &bad, &data), CODING_ERROR);
	assert_false(coding_end(c));
	assert_int_equal(coding_error(c), CODING_E_BROKEN);
	for (int e = CODING_E_BROKEN; e <= CODING_E_BOMB; e++)
		for (int k = 0; k < e; k++)
			assert_string_not_equal(coding_error_text(
			    (enum coding_error)e), coding_error_text(
			    (enum coding_error)k));
	coding_free(c);
	coding_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_comes_back),
		cmocka_unit_test(test_every_cut_is_seen),
		cmocka_unit_test(test_what_follows_is_refused),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_bomb_ends_early),
		cmocka_unit_test(test_error_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
