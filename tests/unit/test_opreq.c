/* opreq, target, visible: what an operator may say, and the nearest name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "opreq.h"
#include "target.h"
#include "visible.h"

static void
good(const char *json, enum opreq_verb verb)
{
	struct err err = { 0 };
	struct opreq r;

	if (opreq_parse(&r, slice_str(json), &err) != 0) {
		print_error("%s: %s\n", json, err.text);
		fail();
	}
	assert_int_equal(r.verb, verb);
	opreq_free(&r);
}

static void
bad(const char *json, const char *says)
{
	struct err err = { 0 };
	struct opreq r;

	assert_int_equal(opreq_parse(&r, slice_str(json), &err), -1);
	if (strstr(err.text, says) == NULL)
		print_error("%s: %s, not %s\n", json, err.text, says);
	assert_non_null(strstr(err.text, says));
	opreq_free(&r);
}

static void
test_requests(void **ctx)
{
	(void)ctx;
	good("{\"verb\":\"status\"}", OPREQ_V_STATUS);
	good("{\"verb\":\"kill\",\"target\":\"all\",\"reason\":\"x\","
	    "\"for_ms\":1}", OPREQ_V_KILL);
	good("{\"target\":\"all\",\"reason\":\"x\",\"verb\":\"revive\"}",
	    OPREQ_V_REVIVE);
	bad("{}", "no \"verb\"");
	bad("[]", "must be a JSON object");
	bad("{\"verb\":\"kil\"}", "did you mean \"kill\"");
	bad("{\"verb\":\"kill\",\"target\":\"all\"}", "kill needs \"reason\"");
	bad("{\"verb\":\"kill\",\"target\":\"all\",\"reason\":\"  \"}",
	    "kill needs \"reason\"");
	bad("{\"verb\":\"kill\",\"targt\":\"all\",\"reason\":\"x\"}",
	    "did you mean \"target\"");
	bad("{\"verb\":\"status\",\"target\":\"all\"}", "unknown field");
	bad("{\"verb\":\"kill\",\"target\":\"all\",\"target\":\"x\","
	    "\"reason\":\"x\"}", "no JSON");
	bad("{\"verb\":\"kill\",\"target\":1,\"reason\":\"x\"}",
	    "must be a string");
	bad("{\"verb\":\"kill\",\"target\":\"all\",\"reason\":\"x\","
	    "\"for_ms\":0}", "milliseconds");
	bad("{\"verb\":\"kill\",\"target\":\"all\",\"reason\":\"x\","
	    "\"for_ms\":99999999999999}", "milliseconds");
	bad("{\"verb\":\"kill\",\"target\":\"all\",\"reason\":\"x\","
	    "\"force\":1}", "true or false");
	bad("{\"verb\":\"session.open\",\"user\":\"\",\"agent\":\"a\"}",
	    "1 to 128");
	bad("{\"verb\":\"session.open\",\"user\":\"a\\u202eb\","
	    "\"agent\":\"a\"}", "invisible");
	bad("{\"verb\":\"approval.edit\",\"id\":\"A-1\","
	    "\"arguments\":[1]}", "JSON object");
	bad("{\"verb\":\"status\"} x", "no JSON");
}

static void
test_long_name(void **ctx)
{
	char json[512];

	(void)ctx;
	snprintf(json, sizeof(json), "{\"verb\":\"session.open\",\"agent\":"
	    "\"a\",\"user\":\"%0*d\"}", OPREQ_NAME_MAX, 1);
	good(json, OPREQ_V_SESSION_OPEN);
	snprintf(json, sizeof(json), "{\"verb\":\"session.open\",\"agent\":"
	    "\"a\",\"user\":\"%0*d\"}", OPREQ_NAME_MAX + 1, 1);
	bad(json, "1 to 128");
}

static void
test_arguments_compact(void **ctx)
{
	static const char json[] = "{\"verb\":\"approval.edit\",\"id\":\"A-1\""
	    ",\"arguments\": {\n \"a b\" : [ 1, \"x \\\" y\\\\\" ] , "
	    "\"\\u0041\": 1.0 } }";
	struct err err = { 0 };
	struct opreq r;

	(void)ctx;
	assert_int_equal(opreq_parse(&r, slice_str(json), &err), 0);
	assert_string_equal(r.text[OPREQ_ARGUMENTS],
	    "{\"a b\":[1,\"x \\\" y\\\\\"],\"\\u0041\":1.0}");
	opreq_free(&r);
	assert_null(opreq_compact_object(SLICE("{\n  \"a\": tru}"), &err));
	assert_non_null(strstr(err.text, "line 2, column 8"));
}

static void
target_is(const char *text, enum target_kind kind, const char *name,
    const char *tool)
{
	struct err err = { 0 };
	struct target t;

	assert_int_equal(target_parse(&t, slice_str(text), &err), 0);
	assert_int_equal(t.kind, kind);
	assert_true(slice_is(t.name, name));
	assert_true(slice_is(t.tool, tool));
}

static void
target_bad(const char *text, const char *says)
{
	struct err err = { 0 };
	struct target t;

	assert_int_equal(target_parse(&t, slice_str(text), &err), -1);
	assert_non_null(strstr(err.text, says));
}

static void
test_targets(void **ctx)
{
	(void)ctx;
	target_is("all", TARGET_ALL, "", "");
	target_is("connector/github", TARGET_CONNECTOR, "github", "");
	target_is("tool/github/a/b", TARGET_TOOL, "github", "a/b");
	target_is("agent/x/y", TARGET_AGENT, "x/y", "");
	target_bad("conector/github", "did you mean \"connector\"");
	target_bad("github", "connector/NAME");
	target_bad("connector", "needs a name");
	target_bad("connector/", "needs a name");
	target_bad("tool/github", "tool/CONNECTOR/TOOL");
	target_bad("tool/github/", "tool/CONNECTOR/TOOL");
	target_bad("agent/a\xe2\x80\x8b", "visible");
	target_bad("", "unknown target");
}

static void
test_covers(void **ctx)
{
	static const struct target_call call = { "github", "delete", "ci",
		"s-1", "mara" };
	static const struct {
		const char *target;
		bool covers;
	} cases[] = {
		{ "all", true }, { "connector/github", true },
		{ "connector/git", false }, { "tool/github/delete", true },
		{ "tool/github/del", false }, { "tool/gitlab/delete", false },
		{ "agent/ci", true }, { "agent/mara", false },
		{ "session/s-1", true }, { "session/s-2", false },
		{ "user/mara", true }, { "user/ci", false },
	};

	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = { 0 };
		struct target t;

		assert_int_equal(target_parse(&t, slice_str(cases[i].target),
		    &err), 0);
		assert_int_equal(target_covers(&t, &call), cases[i].covers);
	}
}

static void
shows(const char *in, const char *out, size_t hidden)
{
	struct buf b;

	buf_init(&b, 1024);
	assert_int_equal(visible_add(&b, slice_str(in)), hidden);
	assert_true(slice_is(buf_slice(&b), out));
	assert_int_equal(visible_is_clean(slice_str(in)), hidden == 0);
	buf_free(&b);
}

static void
test_visible(void **ctx)
{
	(void)ctx;
	shows("plain \xc3\xa9 \xe6\xbc\xa2", "plain \xc3\xa9 \xe6\xbc\xa2", 0);
	shows("a\xe2\x80\xae" "b", "a\\u{202E}b", 1);
	shows("\xef\xbb\xbf", "\\u{FEFF}", 1);
	shows("\x1b[31m\r\n", "\\u{001B}[31m\\u{000D}\\u{000A}", 3);
	shows("\xc2\x9b", "\\u{009B}", 1);
	shows("\xf3\xa0\x81\x81", "\\u{E0041}", 1);	/* a tag character */
	shows("\xff\xc0\x80", "\\x{FF}\\x{C0}\\x{80}", 3);
	shows("nb\xc2\xa0sp", "nb\\u{00A0}sp", 1);
	assert_int_equal(visible_width(SLICE("a\xe6\xbc\xa2")), 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_long_name),
		cmocka_unit_test(test_arguments_compact),
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_covers),
		cmocka_unit_test(test_visible),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
