/* cli: JSON as a person sees it, and the diff of an edit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "console/cli.c"

static void
pretty(const char *json, const char *want, size_t hidden)
{
	struct json_doc d;
	struct buf out;

	json_init(&d);
	buf_init(&out, 1u << 24);
	assert_int_equal(json_index(&d, slice_str(json), NULL), JSON_OK);
	assert_int_equal(cli_pretty(&out, &d, 0, 0), hidden);
	if (!slice_is(buf_slice(&out), want))
		print_error("%.*s\n", SLICE_FMT(buf_slice(&out)));
	assert_true(slice_is(buf_slice(&out), want));
	buf_free(&out);
	json_free(&d);
}

static void
test_pretty(void **ctx)
{
	(void)ctx;
	pretty("{}", "{}", 0);
	pretty(" [ ] ", "[]", 0);
	pretty("{\"a\":[1,{\"b\":null},[]],\"c\":{}}",
	    "{\n  \"a\": [\n    1,\n    {\n      \"b\": null\n    },\n    []\n"
	    "  ],\n  \"c\": {}\n}", 0);
	/* Decoded: an escape cannot hide a word. */
	pretty("[\"\\u0044ROP \\\"t\\\" \\\\ \\n\"]",
	    "[\n  \"DROP \\\"t\\\" \\\\ \\n\"\n]", 0);
	pretty("[\"a\\u202eb\",\"\xe2\x80\x8b\",\"\\u001b[2J\"]",
	    "[\n  \"a\\u{202E}b\",\n  \"\\u{200B}\",\n  \"\\u{001B}[2J\"\n]",
	    3);
	pretty("{\"k\\u200b\":1}", "{\n  \"k\\u{200B}\": 1\n}", 1);
	pretty("-1.5e3", "-1.5e3", 0);
}

static void
test_pretty_deep(void **ctx)
{
	struct json_limits lim = { 100, 1000 };
	struct json_doc d;
	struct buf text, out;

	(void)ctx;
	json_init(&d);
	buf_init(&text, 4096);
	buf_init(&out, 1u << 20);
	for (int i = 0; i < 100; i++)
		buf_add_char(&text, '[');
	for (int i = 0; i < 100; i++)
		buf_add_char(&text, ']');
	assert_int_equal(json_index(&d, buf_slice(&text), &lim), JSON_OK);
	assert_int_equal(cli_pretty(&out, &d, 0, 0), 0);
	/* Same brackets, other blanks. */
	size_t n = 0;

	for (size_t i = 0; i < out.len; i++)
		n += strchr("[]", buf_data(&out)[i]) != NULL;
	assert_int_equal(n, 200);
	buf_free(&text);
	buf_free(&out);
	json_free(&d);
}

static void
diff_is(const char *a, const char *b, const char *want)
{
	char got[4096];
	FILE *f = tmpfile();
	size_t n;

	assert_non_null(f);
	cli_diff(f, a, b);
	rewind(f);
	n = fread(got, 1, sizeof(got) - 1, f);
	got[n] = '\0';
	fclose(f);
	assert_string_equal(got, want);
}

static void
test_diff(void **ctx)
{
	(void)ctx;
	diff_is("{\n  \"a\": 1\n}", "{\n  \"a\": 2\n}",
	    "  {\n-   \"a\": 1\n+   \"a\": 2\n  }\n");
	diff_is("a\nb\nc\nd", "a\nc\nx\nd", "  a\n- b\n  c\n+ x\n  d\n");
	diff_is("", "x", "- \n+ x\n");
	diff_is("1\n2\n3\n4\n5", "1\n2\n3\n4\n6",
	    "  2\n  3\n  4\n- 5\n+ 6\n");
}

static void
test_words(void **ctx)
{
	static const char *const verbs[] = { "ls", "show" };

	(void)ctx;
	assert_int_equal(cli_verb("x", "show", verbs, 2), 1);
	assert_int_equal(cli_duration("--for", "4h"), 4 * 3600 * 1000);
	assert_string_equal(cli_clean("a\x1b]0;b"), "a\\u{001B}]0;b");
	assert_string_equal(cli_clean(NULL), "-");
	assert_string_equal(cli_when("not a time"), "-");
	assert_string_equal(cli_when(NULL), "-");
	assert_non_null(strstr(cli_when("2020-01-02T03:04:05.678Z"),
	    "2020-01-02 03:04:05 UTC ("));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pretty),
		cmocka_unit_test(test_pretty_deep),
		cmocka_unit_test(test_diff), cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
