/* gateway/action/gateask: what a harness may ask and report, and what not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "gateask.h"

static struct json_doc d;

static int
read_ask(const char *text, struct gateask *a)
{
	const char *why = NULL;
	int r;

	assert_int_equal(json_index(&d, slice_str(text), NULL), JSON_OK);
	r = gateask_read(&d, a, &why);
	assert_true((r == 0) == (why == NULL));
	return r;
}

static int
read_report(const char *text, struct gateask_report *p)
{
	const char *why = NULL;

	assert_int_equal(json_index(&d, slice_str(text), NULL), JSON_OK);
	return gateask_read_report(&d, p, &why);
}

#define BASE "\"connector\":\"laptop\",\"tool\":\"fs.read\",\"arguments\":{}"

static void
test_ask(void **st)
{
	struct gateask a;

	(void)st;
	assert_int_equal(read_ask("{" BASE "}", &a), 0);
	assert_true(slice_is(a.connector, "laptop"));
	assert_true(slice_is(a.tool, "fs.read"));
	assert_int_equal(json_typeof(&d, a.arguments), JSON_OBJECT);
	assert_int_equal(a.device_class.n, 0);
	assert_int_equal(a.environment.n, 0);
	assert_int_equal(a.target, JSON_NONE);
	assert_int_equal(a.wait_s, 0);
	assert_int_equal(read_ask("{" BASE ",\"wait\":60,\"context\":{"
	    "\"device_class\":\"managed\",\"environment\":\"test-1\","
	    "\"target\":\"\\u00e4 host\"}}", &a), 0);
	assert_true(slice_is(a.device_class, "managed"));
	assert_true(slice_is(a.environment, "test-1"));
	assert_int_equal(json_typeof(&d, a.target), JSON_STRING);
	assert_int_equal(a.wait_s, 60);
}

static void
test_ask_refused(void **st)
{
	static const char *const bad[] = { "[]", "{}", "null",
		"{\"connector\":\"laptop\",\"tool\":\"t\"}",
		"{\"connector\":\"laptop\",\"arguments\":{}}",
		"{\"tool\":\"t\",\"arguments\":{}}",
		"{\"connector\":1,\"tool\":\"t\",\"arguments\":{}}",
		"{\"connector\":\"Laptop\",\"tool\":\"t\",\"arguments\":{}}",
		"{\"connector\":\"laptop\",\"tool\":\"\",\"arguments\":{}}",
		"{\"connector\":\"laptop\",\"tool\":\"a b\",\"arguments\":{}}",
		"{\"connector\":\"laptop\",\"tool\":\"\\u0061\",\"arguments\":{}}",
		"{\"connector\":\"laptop\",\"tool\":\"t\",\"arguments\":[]}",
		"{\"connector\":\"laptop\",\"tool\":\"t\",\"arguments\":null}",
		"{" BASE ",\"Wait\":1}", "{" BASE ",\"wait\":61}",
		"{" BASE ",\"wait\":-1}", "{" BASE ",\"wait\":1.5}",
		"{" BASE ",\"wait\":\"1\"}", "{" BASE ",\"wait\":null}",
		"{" BASE ",\"context\":[]}", "{" BASE ",\"context\":null}",
		"{" BASE ",\"context\":{\"user\":\"root\"}}",
		"{" BASE ",\"context\":{\"device_class\":\"\"}}",
		"{" BASE ",\"context\":{\"device_class\":true}}",
		"{" BASE ",\"context\":{\"environment\":\"Prod\"}}",
		"{" BASE ",\"context\":{\"environment\":\"a\\\\b\"}}",
		"{" BASE ",\"context\":{\"target\":7}}",
		"{" BASE ",\"\\u0077ait\":1}" };
	struct gateask a;

	(void)st;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (read_ask(bad[i], &a) != -1)
			fail_msg("taken: %s", bad[i]);
}

static void
test_lengths(void **st)
{
	char name[GATEASK_TOOL_MAX + 2], text[4096], long_[1200];
	struct gateask a;

	(void)st;
	for (int over = 0; over < 2; over++) {
		memset(name, 'x', sizeof(name));
		name[GATEASK_TOOL_MAX + over] = '\0';
		snprintf(text, sizeof(text), "{\"connector\":\"c\",\"tool\":"
		    "\"%s\",\"arguments\":{}}", name);
		assert_int_equal(read_ask(text, &a), -over);
		name[GATEASK_WORD_MAX + over] = '\0';
		snprintf(text, sizeof(text), "{" BASE ",\"context\":{"
		    "\"environment\":\"%s\"}}", name);
		assert_int_equal(read_ask(text, &a), -over);
		memset(long_, 'y', sizeof(long_));
		long_[GATEASK_TARGET_MAX + over] = '\0';
		snprintf(text, sizeof(text), "{" BASE ",\"context\":{"
		    "\"target\":\"%s\"}}", long_);
		assert_int_equal(read_ask(text, &a), -over);
	}
}

static void
test_report(void **st)
{
	static const char *const bad[] = { "[]", "{}", "{\"result\":1}",
		"{\"status\":\"done\"}", "{\"status\":1}",
		"{\"status\":\"failed\",\"exit\":1}",
		"{\"status\":\"f\\u0061iled\"}" };
	struct gateask_report p;

	(void)st;
	assert_int_equal(read_report("{\"status\":\"completed\"}", &p), 0);
	assert_int_equal(p.status, GATEASK_COMPLETED);
	assert_int_equal(p.result, JSON_NONE);
	assert_int_equal(read_report("{\"result\":null,\"status\":"
	    "\"failed\"}", &p), 0);
	assert_int_equal(p.status, GATEASK_FAILED);
	assert_int_equal(json_typeof(&d, p.result), JSON_NULL);
	assert_int_equal(read_report("{\"status\":\"cancelled\"}", &p), 0);
	assert_int_equal(p.status, GATEASK_CANCELLED);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (read_report(bad[i], &p) != -1)
			fail_msg("taken: %s", bad[i]);
}

static void
test_path(void **st)
{
#define CALL "01a1fe14-e78b-715d-9de7-0584953cefa6"
	static const struct {
		const char *path;
		enum gateask_verb verb;
	} cases[] = { { "/v1/gate", GATEASK_ASK },
		{ "/v1/gate/" CALL, GATEASK_POLL },
		{ "/v1/gate/" CALL "/outcome", GATEASK_REPORT },
		{ "/v1/gate/", GATEASK_NONE }, { "/v1/gates", GATEASK_NONE },
		{ "/v1/gate/x", GATEASK_NONE }, { "/v1", GATEASK_NONE },
		{ "/v1/gate/" CALL "/", GATEASK_NONE },
		{ "/v1/gate/" CALL "/outcome/", GATEASK_NONE },
		{ "/v1/gate/" CALL "0", GATEASK_NONE } };
	struct uuid call;
	char text[UUID_TEXT_LEN];

	(void)st;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		memset(&call, 0, sizeof(call));
		assert_int_equal(gateask_path(slice_str(cases[i].path), &call),
		    cases[i].verb);
		uuid_format(call, text);
		if (cases[i].verb >= GATEASK_POLL)
			assert_string_equal(text, CALL);
	}
}

static void
test_wait(void **st)
{
	static const char *const bad[] = { "", "wait=", "wait=61", "wait=-1",
		"wait=1&x", "Wait=1", "wait=1.0", "wait=99999999999999999999" };
	unsigned s = 7;

	(void)st;
	assert_true(gateask_wait(slice_make(NULL, 0), &s));
	assert_int_equal(s, 0);
	assert_true(gateask_wait(SLICE("wait=60"), &s));
	assert_int_equal(s, 60);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(gateask_wait(slice_str(bad[i]), &s));
	assert_int_equal(s, 60);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ask),
		cmocka_unit_test(test_ask_refused),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_report),
		cmocka_unit_test(test_path),
		cmocka_unit_test(test_wait),
	};
	int r;

	json_init(&d);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	json_free(&d);
	return r;
}
