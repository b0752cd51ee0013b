/* gateway/action/params: what a URL's parts are called, and their limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "json.h"
#include "params.h"

static struct buf out;

static const char *
query(struct slice q)
{
	struct jsonw w;

	buf_reset(&out);
	jsonw_init(&w, &out);
	jsonw_object(&w, NULL);
	if (params_write_query(&w, q) != 0)
		return NULL;
	jsonw_object_end(&w);
	buf_add_char(&out, '\0');
	return buf_data(&out);
}

static const char *
path(const char *template, const char *p)
{
	struct jsonw w;

	buf_reset(&out);
	jsonw_init(&w, &out);
	jsonw_object(&w, NULL);
	params_write_path(&w, template, slice_str(p));
	jsonw_object_end(&w);
	buf_add_char(&out, '\0');
	return buf_data(&out);
}

static void
test_path(void **st)
{
	(void)st;
	assert_string_equal(path("/a/{id}/b/{n}", "/a/1%2E5/b/x+y"),
	    "{\"path\":{\"id\":\"1.5\",\"n\":\"x+y\"}}");
	assert_string_equal(path("/a", "/a"), "{\"path\":{}}");
	assert_string_equal(path("/{x}", "/%22%0a"),
	    "{\"path\":{\"x\":\"\\\"\\n\"}}");
}

static void
test_query(void **st)
{
	(void)st;
	assert_string_equal(query(SLICE("a=1&b=x+y%26z")),
	    "{\"query\":{\"a\":\"1\",\"b\":\"x y&z\"}}");
	assert_string_equal(query(SLICE("a=1&b=2&a=3&%61=4")),
	    "{\"query\":{\"a\":[\"1\",\"3\",\"4\"],\"b\":\"2\"}}");
	assert_string_equal(query(SLICE("")), "{\"query\":{}}");
	assert_string_equal(query(SLICE("&&x&=v&")),
	    "{\"query\":{\"x\":\"\",\"\":\"v\"}}");
	assert_string_equal(query(SLICE("a=%zz%4")),
	    "{\"query\":{\"a\":\"%zz%4\"}}");
	assert_string_equal(query(SLICE("a=b=c")),
	    "{\"query\":{\"a\":\"b=c\"}}");
}

/* Names that are no UTF-8 would be one name twice in JSON. */
static void
test_names_are_unique(void **st)
{
	struct json_doc d;

	(void)st;
	assert_string_equal(query(SLICE("%ff=1&%fe=2&%22=3")),
	    "{\"query\":{\"\xEF\xBF\xBD\":[\"1\",\"2\"],\"\\\"\":\"3\"}}");
	json_init(&d);
	assert_int_equal(json_index(&d, slice_str(buf_data(&out)), NULL),
	    JSON_OK);
	json_free(&d);
}

static void
test_limit(void **st)
{
	struct buf q;

	(void)st;
	buf_init(&q, 1 << 16);
	for (int i = 0; i < PARAMS_MAX; i++)
		buf_addf(&q, "%sp%d=1", i == 0 ? "" : "&", i);
	assert_non_null(query(buf_slice(&q)));
	buf_add_char(&q, '&');
	assert_null(query(buf_slice(&q)));
	buf_free(&q);
}

static void
test_has(void **state)
{
	static const char *const yes[] = { "_method=X", "a=b&_method=", "_method",
		"%5Fmethod=1", "+_method=1", ".method=1", "_method[]=1",
		"a&%5f%6Dethod", "_method%00x=1" };
	static const char *const no[] = { "", "a=_method", "method=1",
		"_methods=1", "_Method=1", "x_method=1", "&&=" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(yes); i++)
		if (!params_has(slice_str(yes[i]), "_method"))
			fail_msg("%s: not seen", yes[i]);
	for (size_t i = 0; i < ARRAY_LEN(no); i++)
		if (params_has(slice_str(no[i]), "_method"))
			fail_msg("%s: seen", no[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_path),
		cmocka_unit_test(test_query),
		cmocka_unit_test(test_names_are_unique),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_has),
	};
	int r;

	buf_init(&out, 1 << 20);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	buf_free(&out);
	return r;
}
