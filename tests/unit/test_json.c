/* json: what RFC 8259 accepts and refuses, limits, access, duplicates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "json.h"

struct vector {
	struct slice text;
	enum json_error want;
	size_t off;	/* of the error */
};

#define V(lit, want, off) { { lit, sizeof(lit) - 1 }, want, off }

static const struct vector vectors[] = {
	V("0", JSON_OK, 0), V("-0", JSON_OK, 0), V("-0.0e-0", JSON_OK, 0),
	V("123.456E+7", JSON_OK, 0), V("1e400", JSON_OK, 0),
	V("[]", JSON_OK, 0), V("{}", JSON_OK, 0), V("\"\"", JSON_OK, 0),
	V("null", JSON_OK, 0), V("true", JSON_OK, 0), V("false", JSON_OK, 0),
	V(" \t\r\n[ 1 , 2 ] \n", JSON_OK, 0),
	V("{\"a\":{\"b\":[1,{\"c\":null}]},\"d\":\"x\"}", JSON_OK, 0),
	V("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"", JSON_OK, 0),
	V("\"\\u0000\"", JSON_OK, 0), V("\"\x7f\"", JSON_OK, 0),
	V("\"\\ud83d\\ude00\"", JSON_OK, 0),
	V("\"\\uD83D\\uDE00\"", JSON_OK, 0),
	V("\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"", JSON_OK, 0),
	V("\"\xF4\x8F\xBF\xBF\"", JSON_OK, 0),
	V("\"\xEF\xBF\xBF\"", JSON_OK, 0),
	V("{\"\":0}", JSON_OK, 0),
	V("{\"a\":1,\"A\":2}", JSON_OK, 0),
	V("[{\"a\":1},{\"a\":1}]", JSON_OK, 0),
	V("{\"a\":{\"a\":{\"a\":1}}}", JSON_OK, 0),

	V("", JSON_E_EMPTY, 0), V(" \n", JSON_E_EMPTY, 2),
	V("\xEF\xBB\xBF[]", JSON_E_SYNTAX, 0),
	V("[", JSON_E_SYNTAX, 1), V("]", JSON_E_SYNTAX, 0),
	V("[1", JSON_E_SYNTAX, 2), V("[1,", JSON_E_SYNTAX, 3),
	V("[1,]", JSON_E_SYNTAX, 3), V("[,1]", JSON_E_SYNTAX, 1),
	V("[1 2]", JSON_E_SYNTAX, 3), V("[1}", JSON_E_SYNTAX, 2),
	V("[1,,2]", JSON_E_SYNTAX, 3),
	V("{", JSON_E_SYNTAX, 1), V("{]", JSON_E_SYNTAX, 1),
	V("{\"a\"", JSON_E_SYNTAX, 4), V("{\"a\":", JSON_E_SYNTAX, 5),
	V("{\"a\":1", JSON_E_SYNTAX, 6), V("{\"a\":1,", JSON_E_SYNTAX, 7),
	V("{\"a\":1,}", JSON_E_SYNTAX, 7), V("{a:1}", JSON_E_SYNTAX, 1),
	V("{'a':1}", JSON_E_SYNTAX, 1), V("{1:1}", JSON_E_SYNTAX, 1),
	V("{\"a\" 1}", JSON_E_SYNTAX, 5), V("{\"a\":}", JSON_E_SYNTAX, 5),
	V("{\"a\":1 \"b\":2}", JSON_E_SYNTAX, 7),
	V("{\"a\":1]", JSON_E_SYNTAX, 6), V("{,}", JSON_E_SYNTAX, 1),
	V("[\"a\":1]", JSON_E_SYNTAX, 4),
	V("nul", JSON_E_SYNTAX, 0), V("nulL", JSON_E_SYNTAX, 0),
	V("True", JSON_E_SYNTAX, 0), V("NaN", JSON_E_SYNTAX, 0),
	V("Infinity", JSON_E_SYNTAX, 0), V("-Infinity", JSON_E_SYNTAX, 1),
	V("+1", JSON_E_SYNTAX, 0), V(".5", JSON_E_SYNTAX, 0),
	V("-", JSON_E_SYNTAX, 1), V("1.", JSON_E_SYNTAX, 2),
	V("1e", JSON_E_SYNTAX, 2), V("1e+", JSON_E_SYNTAX, 3),
	V("[1.e1]", JSON_E_SYNTAX, 3), V("[-a]", JSON_E_SYNTAX, 2),
	V("01", JSON_E_TRAILING, 1), V("0x1", JSON_E_TRAILING, 1),
	V("[-01]", JSON_E_SYNTAX, 3), V("1 2", JSON_E_TRAILING, 2),
	V("{}x", JSON_E_TRAILING, 2), V("[]]", JSON_E_TRAILING, 2),
	V("nullnull", JSON_E_TRAILING, 4), V("[]\0", JSON_E_TRAILING, 2),
	V("[]//c", JSON_E_TRAILING, 2), V("/*c*/[]", JSON_E_SYNTAX, 0),
	V("[\f1]", JSON_E_SYNTAX, 1), V("[\xC2\xA0" "1]", JSON_E_SYNTAX, 1),
	V("\"", JSON_E_SYNTAX, 1), V("\"a", JSON_E_SYNTAX, 2),
	V("\"a\nb\"", JSON_E_SYNTAX, 2), V("\"\x1f\"", JSON_E_SYNTAX, 1),
	V("\"a\0b\"", JSON_E_SYNTAX, 2),
	V("\"0123456\n\"", JSON_E_SYNTAX, 8),
	V("\"\\x41\"", JSON_E_ESCAPE, 1), V("\"\\'\"", JSON_E_ESCAPE, 1),
	V("\"\\u12\"", JSON_E_ESCAPE, 1), V("\"\\u12G4\"", JSON_E_ESCAPE, 1),
	V("\"\\U0041\"", JSON_E_ESCAPE, 1), V("\"\\", JSON_E_ESCAPE, 1),
	V("\"\\\0\"", JSON_E_ESCAPE, 1),
	V("\"\\ud83d\"", JSON_E_ESCAPE, 1),
	V("\"\\ude00\"", JSON_E_ESCAPE, 1),
	V("\"\\ude00\\ud83d\"", JSON_E_ESCAPE, 1),
	V("\"\\ud83dx\"", JSON_E_ESCAPE, 1),
	V("\"\\ud83d\\u0041\"", JSON_E_ESCAPE, 1),
	V("\"\\ud83d\\ud83d\"", JSON_E_ESCAPE, 1),
	V("\"\x80\"", JSON_E_UTF8, 1), V("\"\xC3\"", JSON_E_UTF8, 1),
	V("\"\xC0\xAF\"", JSON_E_UTF8, 1), V("\"\xFF\"", JSON_E_UTF8, 1),
	V("\"ok\xE0\x9F\xBF\"", JSON_E_UTF8, 3),
	V("\"\xED\xA0\x80\"", JSON_E_UTF8, 1),
	V("\"\xF4\x90\x80\x80\"", JSON_E_UTF8, 1),
	V("\"\xF0\x8F\xBF\xBF\"", JSON_E_UTF8, 1),
	V("{\"\xC3\":1}", JSON_E_UTF8, 2),
	V("{\"a\":1,\"a\":2}", JSON_E_DUPLICATE_KEY, 7),
	V("{\"a\":1,\"\\u0061\":2}", JSON_E_DUPLICATE_KEY, 7),
	V("{\"\\u0061\":1,\"a\":2}", JSON_E_DUPLICATE_KEY, 12),
	V("{\"\\n\":1,\"\\u000A\":2}", JSON_E_DUPLICATE_KEY, 8),
	V("{\"\\/\":1,\"/\":2}", JSON_E_DUPLICATE_KEY, 8),
	V("{\"\\ud83d\\ude00\":1,\"\xF0\x9F\x98\x80\":2}",
	    JSON_E_DUPLICATE_KEY, 18),
	V("{\"\":1,\"\":2}", JSON_E_DUPLICATE_KEY, 6),
	V("[{\"x\":[{\"k\":1,\"j\":[],\"k\":2}]}]", JSON_E_DUPLICATE_KEY,
	    21),
	V("{\"\\u0061\":1,\"b\":2,\"\\u0063\":3}", JSON_OK, 0),
};

static void
test_vectors(void **st)
{
	struct json_doc d;

	(void)st;
	json_init(&d);
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		const struct vector *v = &vectors[i];
		/* A copy of the exact size shows reads past the end. */
		char *p = malloc(v->text.n + 1);
		char *tight = realloc(p, v->text.n == 0 ? 1 : v->text.n);

		memcpy(tight, v->text.p, v->text.n);
		enum json_error e = json_index(&d,
		    slice_make(tight, v->text.n), NULL);

		if (e != v->want || d.error != e ||
		    (e != JSON_OK && d.error_off != v->off))
			fail_msg("%.*s: %s at %zu", SLICE_FMT(v->text),
			    json_error_text(e), d.error_off);
		free(tight);
	}
	json_free(&d);
}

static const char rpc[] = "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":"
    "\"tools/call\",\"params\":{\"name\":\"send\\u005fmail\",\"arguments\":"
    "{\"to\":[\"a@b.example\",\"\\ud83d\\ude00\"],\"n\":-9223372036854775808,"
    "\"big\":9223372036854775808,\"f\":1.0,\"z\":\"a\\u0000b\"}}}";

static void
test_access(void **st)
{
	struct json_doc d;
	struct slice text = SLICE(rpc);
	struct buf b;
	int64_t v = 5;

	(void)st;
	json_init(&d);
	buf_init(&b, 16);
	assert_int_equal(json_index(&d, text, NULL), JSON_OK);
	assert_true(json_str_is(&d, json_member(&d, 0, "method"),
	    "tools/call"));
	uint32_t name = json_path(&d, 0, "params", "name", NULL);

	assert_true(json_str_is(&d, name, "send_mail"));
	assert_false(json_str_is(&d, name, "send_mai"));
	assert_false(json_str_is(&d, name, "send_mailx"));
	assert_true(slice_is(json_inner(&d, name), "send\\u005fmail"));
	assert_true(slice_is(json_raw(&d, name), "\"send\\u005fmail\""));
	assert_int_equal(json_decode(&d, name, &b), 0);
	assert_true(slice_is(buf_slice(&b), "send_mail"));
	assert_int_equal(json_decode(&d, name, &b), -1);
	assert_int_equal(json_decode(&d, 0, &b), -1);
	char *copy = json_strdup(&d, name);

	assert_string_equal(copy, "send_mail");
	free(copy);
	assert_int_equal(json_path(&d, 0, "params", "none", "x", NULL),
	    JSON_NONE);
	uint32_t args = json_path(&d, 0, "params", "arguments", NULL);

	assert_int_equal(d.nodes[args].count, 5);
	assert_null(json_strdup(&d, json_member(&d, args, "z")));
	assert_true(json_int(&d, json_member(&d, args, "n"), &v));
	assert_true(v == INT64_MIN);
	assert_false(json_int(&d, json_member(&d, args, "big"), &v));
	assert_false(json_int(&d, json_member(&d, args, "f"), &v));
	assert_false(json_int(&d, name, &v));
	assert_false(json_int(&d, JSON_NONE, &v));
	assert_true(v == INT64_MIN);
	buf_free(&b);
	json_free(&d);
}

static void
test_walk(void **st)
{
	struct json_doc d;
	static const char *want[] = { "\"a\"", "[1,[2]]", "\"b\"", "{}" };
	size_t n = 0;

	(void)st;
	json_init(&d);
	assert_int_equal(json_index(&d, SLICE("{\"a\":[1,[2]],\"b\":{}}"),
	    NULL), JSON_OK);
	for (uint32_t c = json_first(&d, 0); c != JSON_NONE;
	    c = json_next(&d, 0, c)) {
		assert_true(slice_is(json_raw(&d, c), want[n]));
		assert_int_equal(d.nodes[c].flags & JSON_KEY, n % 2 == 0);
		n++;
	}
	assert_int_equal(n, 4);
	assert_int_equal(json_first(&d, json_member(&d, 0, "b")), JSON_NONE);
	assert_int_equal(json_first(&d, 1), JSON_NONE);
	assert_int_equal(json_first(&d, JSON_NONE), JSON_NONE);
	assert_int_equal(json_next(&d, JSON_NONE, 0), JSON_NONE);
	assert_int_equal(json_member(&d, JSON_NONE, "a"), JSON_NONE);
	assert_int_equal(json_index(&d, SLICE("[1,2,"), NULL), JSON_E_SYNTAX);
	assert_int_equal(json_typeof(&d, 0), 0);
	json_free(&d);
}

/* Each truncation is refused, in memory of exactly its size. */
static void
test_truncations(void **st)
{
	struct json_doc d;

	(void)st;
	json_init(&d);
	for (size_t n = 0; n < sizeof(rpc) - 1; n++) {
		char *cut = malloc(n == 0 ? 1 : n);

		memcpy(cut, rpc, n);
		assert_int_not_equal(json_index(&d, slice_make(cut, n), NULL),
		    JSON_OK);
		free(cut);
	}
	json_free(&d);
}

static char *
nest(size_t depth, char open, char close)
{
	char *p = malloc(depth * 2);

	memset(p, open, depth);
	memset(p + depth, close, depth);
	return p;
}

static void
test_limits(void **st)
{
	struct json_doc d;
	struct json_limits lim = { .depth = 128, .nodes = 3 };
	char *p = nest(129, '[', ']');

	(void)st;
	json_init(&d);
	assert_int_equal(json_index(&d, slice_make(p + 1, 256), NULL),
	    JSON_OK);
	assert_int_equal(d.n, 128);
	assert_int_equal(json_index(&d, slice_make(p, 258), NULL),
	    JSON_E_DEPTH);
	assert_int_equal(d.error_off, 128);
	free(p);
	assert_int_equal(json_index(&d, SLICE("[1,2]"), &lim), JSON_OK);
	assert_int_equal(json_index(&d, SLICE("[1,2,3]"), &lim),
	    JSON_E_NODES);
	assert_int_equal(json_index(&d, SLICE("{\"a\":1}"), &lim), JSON_OK);
	assert_int_equal(json_index(&d, SLICE("{\"a\":1,\"b\":2}"), &lim),
	    JSON_E_NODES);
	/* Very deep costs no stack. */
	p = nest(1 << 20, '[', ']');
	lim.depth = lim.nodes = UINT32_MAX;
	assert_int_equal(json_index(&d, slice_make(p, 2 << 20), &lim),
	    JSON_OK);
	free(p);
	json_free(&d);
}

/* Objects of every size around the change of method; the last key equals
 * each of the others in turn. */
static void
test_duplicates(void **st)
{
	struct json_doc d;
	struct buf b;

	(void)st;
	json_init(&d);
	buf_init(&b, 1 << 16);
	for (unsigned n = 1; n < 40; n++) {
		for (unsigned same = 0; same <= n; same++) {
			buf_reset(&b);
			buf_add_char(&b, '{');
			for (unsigned i = 0; i < n; i++)
				buf_addf(&b, "\"key%u\":[{\"key\":1}],", i);
			buf_addf(&b, "\"key%u\":1}", same);
			assert_int_equal(json_index(&d, buf_slice(&b), NULL),
			    same == n ? JSON_OK : JSON_E_DUPLICATE_KEY);
		}
	}
	buf_free(&b);
	json_free(&d);
}

static void
measure(const char *what, struct json_doc *d, struct slice text, unsigned runs)
{
	uint64_t t0 = clock_mono_ns(), ns;

	for (unsigned i = 0; i < runs; i++)
		assert_int_equal(json_index(d, text, NULL), JSON_OK);
	ns = clock_mono_ns() - t0;
	print_message("%s: %zu bytes, %.0f MB/s\n", what, text.n,
	    (double)text.n * runs * 1e3 / (double)ns);
}

/* Prints speeds; fails only if the cost of many keys were quadratic. */
static void
test_speed(void **st)
{
	struct json_doc d;
	struct buf b;

	(void)st;
	json_init(&d);
	buf_init(&b, 16 << 20);
	buf_add_str(&b, "{\"jsonrpc\":\"2.0\",\"id\":12,\"method\":"
	    "\"tools/call\",\"params\":{\"name\":\"create_issue\","
	    "\"arguments\":{\"title\":\"The build is broken on main\","
	    "\"labels\":[\"bug\",\"ci\",\"urgent\"],\"priority\":3,"
	    "\"assignee\":{\"id\":12345,\"name\":\"Anna\"},\"body\":\"");
	while (b.len < 900)
		buf_add_str(&b, "Since yesterday the nightly job fails.\\n");
	buf_add_str(&b, "\"},\"_meta\":{\"progressToken\":\"abc\"}}}");
	measure("body of 1 KB", &d, buf_slice(&b), 20000);
	buf_reset(&b);
	buf_add_char(&b, '{');
	for (unsigned i = 0; i < 200000; i++)
		buf_addf(&b, "\"key%u\":%u,", i, i);
	buf_add_str(&b, "\"last\":0}");
	uint64_t t0 = clock_mono_ns();

	measure("object of 200,001 keys", &d, buf_slice(&b), 1);
	assert_true(clock_mono_ns() - t0 < 5000000000);
	buf_free(&b);
	json_free(&d);
}

/* What is as deep as a body may be can be read inside an event. */
static void
test_inside(void **st)
{
	size_t n = json_limits_inside.depth;
	struct json_doc d;
	struct buf b;

	(void)st;
	json_init(&d);
	buf_init(&b, 4096);
	for (size_t deep = n; deep <= n + 1; deep++) {
		buf_reset(&b);
		for (size_t i = 0; i < deep; i++)
			assert_int_equal(buf_add_char(&b, '['), 0);
		for (size_t i = 0; i < deep; i++)
			assert_int_equal(buf_add_char(&b, ']'), 0);
		assert_int_equal(json_index(&d, buf_slice(&b),
		    &json_limits_inside), deep == n ? JSON_OK : JSON_E_DEPTH);
	}
	buf_reset(&b);
	for (size_t i = 0; i < n + JSON_DEPTH_AROUND; i++)
		assert_int_equal(buf_add_str(&b, i < JSON_DEPTH_AROUND ?
		    "{\"a\":" : "["), 0);
	for (size_t i = n + JSON_DEPTH_AROUND; i-- > 0;)
		assert_int_equal(buf_add_char(&b, i < JSON_DEPTH_AROUND ?
		    '}' : ']'), 0);
	assert_int_equal(json_index(&d, buf_slice(&b), NULL), JSON_OK);
	buf_free(&b);
	json_free(&d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inside),
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_access),
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_truncations),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_duplicates),
		cmocka_unit_test(test_speed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
