/* jsonw: escaping, commas, nesting, overflow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "jsonw.h"
#include "plain.h"

static void
is(struct buf *b, const char *want)
{
	assert_false(b->full);
	assert_int_equal(b->len, strlen(want));
	assert_memory_equal(buf_data(b), want, b->len);
	buf_reset(b);
}

static void
test_nesting(void **st)
{
	struct buf b;
	struct jsonw w;

	(void)st;
	buf_init(&b, 4096);
	jsonw_init(&w, &b);
	jsonw_object(&w, NULL);
	jsonw_str(&w, "a", "x");
	jsonw_str(&w, "n", NULL);
	jsonw_array(&w, "l");
	jsonw_int(&w, NULL, INT64_MIN);
	jsonw_u64(&w, NULL, UINT64_MAX);
	jsonw_u64(&w, NULL, 0);
	jsonw_object(&w, NULL);
	jsonw_object_end(&w);
	jsonw_array(&w, NULL);
	jsonw_array_end(&w);
	jsonw_array_end(&w);
	jsonw_bool(&w, "b", true);
	jsonw_bool(&w, "c\"", false);
	jsonw_raw(&w, "r", SLICE("{\"q\":1}"));
	jsonw_object_end(&w);
	is(&b, "{\"a\":\"x\",\"n\":null,\"l\":[-9223372036854775808,"
	    "18446744073709551615,0,{},[]],\"b\":true,\"c\\\"\":false,"
	    "\"r\":{\"q\":1}}");
	buf_free(&b);
}

static void
test_escape(void **st)
{
	static const struct {
		struct slice in;
		const char *out;
	} t[] = {
		{ { "", 0 }, "" },
		{ { "plain", 5 }, "plain" },
		{ { "\0\x01\x1f\x7f", 4 }, "\\u0000\\u0001\\u001f\x7f" },
		{ { "\b\t\n\f\r\"\\/", 8 }, "\\b\\t\\n\\f\\r\\\"\\\\/" },
		{ { "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 9 },
		    "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80" },
		/* bare continuation, overlong, surrogate, cut short */
		{ { "a\x80z", 3 }, "a\xEF\xBF\xBDz" },
		{ { "\xC0\xAF", 2 }, "\xEF\xBF\xBD\xEF\xBF\xBD" },
		{ { "\xED\xA0\x80", 3 },
		    "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD" },
		{ { "\xE2\x82", 2 }, "\xEF\xBF\xBD\xEF\xBF\xBD" },
		{ { "\xF4\x90\x80\x80", 4 },
		    "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD" },
	};
	struct buf b;

	(void)st;
	buf_init(&b, 4096);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		jsonw_escape(&b, t[i].in);
		is(&b, t[i].out);
	}
	buf_free(&b);
}

static void
test_overflow(void **st)
{
	struct buf b;
	struct jsonw w;

	(void)st;
	buf_init(&b, 8);
	jsonw_init(&w, &b);
	jsonw_object(&w, NULL);
	jsonw_str(&w, "key", "value");
	jsonw_object_end(&w);
	assert_true(b.full);
	assert_true(b.len <= 8);
	buf_free(&b);
}

/* Every length and place up to three blocks of 16, every byte. */
static void
test_plain(void **st)
{
	char room[50];

	(void)st;
	for (size_t n = 0; n <= 48; n++) {
		char *p = room + 1;

		memset(room, '"', sizeof(room));	/* not to be looked at */
		memset(p, 'x', n);
		assert_true(plain_all(slice_make(p, n)));
		assert_ptr_equal(plain_skip(p, p + n), p + n);
		for (size_t at = 0; at < n; at++)
			for (int c = 0; c < 256; c++) {
				bool plain = c >= 0x20 && c < 0x80 &&
				    c != '"' && c != '\\';

				p[at] = (char)c;
				assert_int_equal(plain_byte((char)c), plain);
				assert_int_equal(plain_all(slice_make(p, n)),
				    plain);
				assert_ptr_equal(plain_skip(p, p + n), plain ?
				    p + n : p + at);
				p[at] = 'x';
			}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nesting),
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_overflow),
		cmocka_unit_test(test_plain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
