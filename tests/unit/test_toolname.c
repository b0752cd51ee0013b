/* toolname: what the mount of all connectors calls a tool. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "toolname.h"

#define LONG_NAME "a-connector-whose-name-has-more-than-forty-characters"

static char out[TOOLNAME_MAX + 1];

static void
plain(void **state)
{
	(void)state;
	assert_true(toolname_make("notes", SLICE("search_all-2"), false, out));
	assert_string_equal(out, "notes__search_all-2");
	assert_true(toolname_make("n", SLICE("a__b"), false, out));
	assert_string_equal(out, "n__a__b");
	/* 64 characters in all, and one more. */
	assert_true(toolname_make("notes", SLICE("12345678901234567890"
	    "1234567890123456789012345678901234567"), false, out));
	assert_int_equal(strlen(out), 64);
	assert_false(toolname_make("notes", SLICE("12345678901234567890"
	    "12345678901234567890123456789012345678"), false, out));
	assert_int_equal(strlen(out), 64);
}

static void
changed(void **state)
{
	char other[TOOLNAME_MAX + 1];

	(void)state;
	assert_false(toolname_make("notes", SLICE("a.b"), false, out));
	assert_int_equal(strlen(out), strlen("notes__a_b_12345678"));
	assert_memory_equal(out, "notes__a_b_", 11);
	assert_false(toolname_make("notes", SLICE("a/b"), false, other));
	assert_string_not_equal(out, other);
	assert_false(toolname_make("notes", SLICE("a_b"), true, other));
	assert_string_not_equal(out, other);
	assert_false(toolname_make("notes", SLICE("\xc3\xa4"), false, out));
	assert_memory_equal(out, "notes_____", 9);
	assert_false(toolname_make("notes", SLICE(""), false, out));
	assert_memory_equal(out, "notes___", 8);
}

static void
prefixes(void **state)
{
	char p[TOOLNAME_PREFIX_MAX + 1];
	struct slice prefix, rest;

	(void)state;
	toolname_prefix(LONG_NAME, p);
	assert_int_equal(strlen(p), TOOLNAME_PREFIX_MAX);
	assert_memory_equal(p, "a-connector-whose-name-has-more", 31);
	assert_true(toolname_make(LONG_NAME, SLICE("x"), false, out));
	assert_true(toolname_split(slice_str(out), &prefix, &rest));
	assert_true(slice_is(prefix, p) && slice_is(rest, "x"));
	assert_true(toolname_split(SLICE("n__a__b"), &prefix, &rest));
	assert_true(slice_is(prefix, "n") && slice_is(rest, "a__b"));
	assert_false(toolname_split(SLICE("n_a"), &prefix, &rest));
	assert_false(toolname_split(SLICE("n__"), &prefix, &rest));
	assert_false(toolname_split(SLICE("__n"), &prefix, &rest));
	assert_false(toolname_split(SLICE(""), &prefix, &rest));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain), cmocka_unit_test(changed),
		cmocka_unit_test(prefixes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
