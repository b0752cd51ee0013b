/* Heads of events: the form that is kept, and each deviation refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "clock.h"
#include "entry.h"

#define ID "01900000-0000-7000-8000-000000000001"
#define T "2026-02-28T23:59:59.999Z"
#define HEAD "{\"id\":\"" ID "\",\"time\":\"" T "\","

static void
test_good(void **state)
{
	struct json_doc doc;
	struct entry e;
	struct err err = { 0 };
	struct slice s = SLICE(HEAD "\"type\":\"call.outcome\","
	    "\"role\":\"proxy\",\"call\":\"" ID "\"}");
	char text[CLOCK_RFC3339_LEN];

	(void)state;
	json_init(&doc);
	assert_int_equal(entry_parse(&doc, s, &e, &err), 0);
	assert_true(uuid_eq(e.id, e.call));
	assert_true(slice_is(e.type, "call.outcome"));
	assert_true(slice_is(e.role, "proxy"));
	clock_format(e.time, text);
	assert_string_equal(text, T);
	json_free(&doc);
}

static void
test_refused(void **state)
{
	static const char *const no[] = {
		"", "[]", "{}", "{\"id\":1}", "nul",
		"{\"time\":\"" T "\",\"id\":\"" ID "\",\"type\":\"a\",\"role\":\"b\"}",
		HEAD "\"type\":\"a\"}",
		HEAD "\"type\":\"a b\",\"role\":\"b\"}",
		HEAD "\"type\":\"\\u0061\",\"role\":\"b\"}",
		HEAD "\"type\":\"a\",\"role\":\"b\",\"call\":null}",
		HEAD "\"type\":\"a\",\"role\":\"b\",\"call\":\"01900000\"}",
		HEAD "\"type\":\"a\",\"role\":\"b\"} ,",
		HEAD "\"type\":\"a\",\"role\":\"b\",\"role\":\"c\"}",
		"{\"id\":\"01900000-0000-7000-8000-00000000000A\",\"time\":\"" T
		"\",\"type\":\"a\",\"role\":\"b\"}",
		"{\"id\":\"" ID "\",\"time\":\"2026-02-28T23:59:59Z\","
		"\"type\":\"a\",\"role\":\"b\"}",
	};
	struct json_doc doc;
	struct entry e;

	(void)state;
	json_init(&doc);
	for (size_t i = 0; i < ARRAY_LEN(no); i++) {
		struct err err = { 0 };

		assert_int_equal(entry_parse(&doc, slice_str(no[i]), &e, &err),
		    -1);
		assert_true(err.set);
	}
	json_free(&doc);
}

static void
test_time(void **state)
{
	static const char *const no[] = {
		"2026-02-29T00:00:00.000Z", "2026-13-01T00:00:00.000Z",
		"2026-00-01T00:00:00.000Z", "2026-01-00T00:00:00.000Z",
		"2026-01-01T24:00:00.000Z", "2026-01-01T00:60:00.000Z",
		"2026-01-01T00:00:60.000Z", "2026-01-01 00:00:00.000Z",
		"2026-01-01T00:00:00.000z", "2026-01-01T00:00:00.00Z",
		"+026-01-01T00:00:00.000Z",
	};
	char text[CLOCK_RFC3339_LEN];
	int64_t ms;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(no); i++)
		assert_false(entry_time_parse(slice_str(no[i]), &ms));
	assert_true(entry_time_parse(SLICE("2024-02-29T12:00:00.001Z"), &ms));
	assert_int_equal(ms, 1709208000001);
	assert_true(entry_time_parse(SLICE("1970-01-01T00:00:00.000Z"), &ms));
	assert_int_equal(ms, 0);
	/* Every 7 hours over 60 years, there and back. */
	for (int64_t t = 0; t < 60LL * 366 * 86400000; t += 7 * 3600001) {
		clock_format(t, text);
		assert_true(entry_time_parse(slice_str(text), &ms));
		assert_int_equal(ms, t);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
