/* rank: the tool that is meant comes first, always the same one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "rank.h"

static const char *const tools[][3] = {
	{ "create_issue", "title body labels", "Open a new issue in a tracker" },
	{ "close_issue", "number", "Close an issue" },
	{ "sendMessage", "to subject text", "Send an email to somebody" },
	{ "list_files", "folder", "Names of the files in a directory" },
	{ "delete_file", "path", "Removes a file for good" },
	{ "getWeather", "city", "The forecast for tomorrow" },
	{ "resize_image", "width height", "Scale a picture" },
	{ "query_database", "sql", "Runs a statement, read-only" },
};

static struct rank *r;

static int
setup(void **state)
{
	(void)state;
	r = rank_new();
	for (size_t i = 0; i < ARRAY_LEN(tools); i++)
		assert_true(rank_add(r, slice_str(tools[i][0]),
		    slice_str(tools[i][1]), slice_str(tools[i][2])));
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	rank_free(r);
	return 0;
}

static void
first_is(const char *query, const char *want)
{
	uint32_t out[3], again[3];
	size_t n = rank_search(r, slice_str(query), out, 3);

	if (n == 0 || strcmp(tools[out[0]][0], want) != 0)
		fail_msg("%s: got %s, want %s", query, n == 0 ? "none" :
		    tools[out[0]][0], want);
	assert_int_equal(rank_search(r, slice_str(query), again, 3), n);
	assert_memory_equal(out, again, n * sizeof(out[0]));
}

static void
meant(void **state)
{
	(void)state;
	first_is("create issue", "create_issue");
	first_is("issues that I want to close", "close_issue");
	first_is("send message", "sendMessage");	/* camel case */
	first_is("width of a picture", "resize_image");	/* parameters */
	first_is("files in a folder", "list_files");
	first_is("SQL", "query_database");
}

static void
synonyms(void **state)
{
	(void)state;
	first_is("erase a document", "delete_file");
	first_is("temperature", "getWeather");
	first_is("add a ticket", "create_issue");
	first_is("write an e-mail", "sendMessage");
}

static void
spelling(void **state)
{
	(void)state;
	first_is("databse", "query_database");
	first_is("forcast wether", "getWeather");
}

static void
nothing(void **state)
{
	uint32_t out[8];
	struct rank *empty = rank_new();

	(void)state;
	assert_int_equal(rank_search(r, SLICE(""), out, 8), 0);
	assert_int_equal(rank_search(r, SLICE("?!, --"), out, 8), 0);
	assert_int_equal(rank_search(r, SLICE("xyzzy quux"), out, 8), 0);
	assert_int_equal(rank_search(r, SLICE("issue"), out, 0), 0);
	assert_int_equal(rank_search(r, SLICE("issue"), out, 8), 2);
	assert_int_equal(rank_search(r, SLICE("issue"), out, 1), 1);
	assert_int_equal(rank_search(empty, SLICE("issue"), out, 8), 0);
	rank_free(empty);
}

static void
bounds(void **state)
{
	struct rank *many = rank_new();
	static char words[200000];
	uint32_t out[20];

	(void)state;
	for (size_t i = 0; i + 8 < sizeof(words); i += 8)
		snprintf(words + i, 9, "w%06zu ", i / 8);
	assert_true(rank_add(many, slice_str(words), slice_str(words),
	    slice_str(words)));
	assert_int_equal(rank_search(many, slice_str(words), out, 20), 1);
	for (unsigned i = 1; i < RANK_DOCS; i++)
		assert_true(rank_add(many, SLICE("a"), SLICE(""), SLICE("b")));
	assert_false(rank_add(many, SLICE("a"), SLICE(""), SLICE("")));
	assert_int_equal(rank_search(many, SLICE("a"), out, 20), 20);
	assert_int_equal(out[0], 1);	/* equal ones in their order */
	assert_int_equal(out[19], 20);
	rank_free(many);
}

int
main(void)
{
	const struct CMUnitTest tests_[] = {
		cmocka_unit_test_setup_teardown(meant, setup, teardown),
		cmocka_unit_test_setup_teardown(synonyms, setup, teardown),
		cmocka_unit_test_setup_teardown(spelling, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing, setup, teardown),
		cmocka_unit_test(bounds),
	};

	return cmocka_run_group_tests(tests_, NULL, NULL);
}
