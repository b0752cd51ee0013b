/* test_jsonl - one event, one line; what is not an event is wrapped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "jsonl.h"

static struct jsonl j;
static struct buf out;

static int
setup(void **state)
{
	(void)state;
	jsonl_init(&j);
	buf_init(&out, 1u << 20);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	jsonl_free(&j);
	buf_free(&out);
	return 0;
}

static void
expect(uint64_t seq, const char *event, const char *line)
{
	uint64_t got = 0;

	buf_reset(&out);
	assert_int_equal(jsonl_format(&j, &out, seq, slice_str(event)), 0);
	buf_add_char(&out, '\0');
	assert_string_equal(buf_data(&out), line);
	assert_true(jsonl_seq(buf_slice(&out), &got));
	assert_true(got == seq);
}

static void
test_lines(void **state)
{
	(void)state;
	expect(1, "{\"id\":\"x\",\"n\":[1,2]}",
	    "{\"seq\":1,\"id\":\"x\",\"n\":[1,2]}\n");
	expect(UINT64_MAX, "{\"a\":\"\\n\"}",
	    "{\"seq\":18446744073709551615,\"a\":\"\\n\"}\n");
	/* Line breaks between tokens would end the line. */
	expect(2, "\n{\n\t\"a\":\r\n1}\n", "{\"seq\":2,  \"a\":  1}\n");
	assert_int_equal(j.malformed, 0);
}

static void
test_malformed(void **state)
{
	static const char *const bad[] = { "", "{}", "[1]", "{\"a\":1}\n{}",
		"{\"seq\":3}", "x\ny", "{\"a\":\"\x01\"}" };
	struct json_doc d = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct slice line;

		buf_reset(&out);
		assert_int_equal(jsonl_format(&j, &out, 9,
		    slice_str(bad[i])), 0);
		line = buf_slice(&out);
		assert_int_equal(slice_chr(line, '\n'), line.n - 1);
		assert_int_equal(json_index(&d, line, NULL), JSON_OK);
		assert_true(json_str_is(&d, json_member(&d, 0, "type"),
		    "malformed"));
		assert_int_equal(json_typeof(&d, json_member(&d, 0, "raw")),
		    JSON_STRING);
		assert_int_equal(j.malformed, i + 1);
	}
	json_free(&d);
}

static void
test_no_room(void **state)
{
	struct buf small;

	(void)state;
	buf_init(&small, 40);
	assert_int_equal(jsonl_format(&j, &small, 1, SLICE("{\"a\":1}")), 0);
	assert_int_equal(jsonl_format(&j, &small, 2, SLICE("{\"a\":1}")), -1);
	assert_int_equal(small.len, 16);
	assert_false(small.full);
	buf_free(&small);
}

static void
test_seq(void **state)
{
	uint64_t seq;

	(void)state;
	assert_false(jsonl_seq(SLICE("{\"seq\":12"), &seq));
	assert_false(jsonl_seq(SLICE("{\"seq\":,"), &seq));
	assert_false(jsonl_seq(SLICE("{\"seq\":99999999999999999999,"), &seq));
	assert_false(jsonl_seq(SLICE("{\"id\":12,"), &seq));
	assert_false(jsonl_seq(SLICE(""), &seq));
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_lines), T(test_malformed), T(test_no_room), T(test_seq),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
