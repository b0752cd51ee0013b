/* The header fields that repeat parts of an MCP request of 2026-07-28. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "mirror.h"

#define V "MCP-Protocol-Version: 2026-07-28\r\n"
#define M "Mcp-Method: tools/call\r\n"
#define N "Mcp-Name: echo\r\n"
#define META "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":" \
	"\"2026-07-28\"}"
#define CALL(args) "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\"," \
	"\"params\":{\"name\":\"echo\",\"arguments\":" args "," META "}}"
#define OLD(method, params) "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" \
	method "\",\"params\":" params "}"
#define NEW(method, params) OLD(method, "{" params "," META "}")

struct read {
	struct http1_head h;
	struct json_doc d;
	struct mcp_message m;
	struct arena *a;
	struct mirror *params;
	const char *why;
	char head[4096];
};

static struct read r;

static enum mirror_result
read_one(const char *fields, const char *body)
{
	size_t used;

	arena_free(r.a);
	r.a = arena_new(1 << 20);
	snprintf(r.head, sizeof(r.head), "POST / HTTP/1.1\r\nHost: a\r\n%s\r\n",
	    fields);
	http1_head_init(&r.h);
	assert_int_equal(http1_parse_request(&r.h, slice_str(r.head), NULL,
	    &used), HTTP1_DONE);
	assert_int_equal(json_index(&r.d, slice_str(body), NULL), JSON_OK);
	mcp_read(&r.d, 0, &r.m);
	assert_int_not_equal(r.m.kind, MCP_INVALID);
	return mirror_check(&r.h, &r.d, &r.m, r.a, &r.params, &r.why);
}

static const struct {
	const char *fields, *body;
	enum mirror_result want;
} cases[] = {
	{ V M N, CALL("{}"), MIRROR_MODERN },
	{ V M "Mcp-Name: =?base64?ZWNobw==?=\r\n", CALL("{}"), MIRROR_MODERN },
	/* Anything that is missing or says something else. */
	{ M N, CALL("{}"), MIRROR_MISMATCH },
	{ V N, CALL("{}"), MIRROR_MISMATCH },
	{ V M, CALL("{}"), MIRROR_MISMATCH },
	{ V M "Mcp-Name: Echo\r\n", CALL("{}"), MIRROR_MISMATCH },
	{ V M "Mcp-Name: =?base64?RWNobw==?=\r\n", CALL("{}"),
	    MIRROR_MISMATCH },
	{ V M "Mcp-Name: =?base64?ZWNobw?=\r\n", CALL("{}"), MIRROR_MISMATCH },
	{ V M "Mcp-Name: =?base64?/w==?=\r\n", CALL("{}"), MIRROR_MISMATCH },
	{ V "Mcp-Method: tools/list\r\n" N, CALL("{}"), MIRROR_MISMATCH },
	{ V "Mcp-Method: Tools/call\r\n" N, CALL("{}"), MIRROR_MISMATCH },
	{ "MCP-Protocol-Version: 2025-11-25\r\n" M N, CALL("{}"),
	    MIRROR_MISMATCH },
	{ "MCP-Protocol-Version: 2027-01-01\r\n" M N, CALL("{}"),
	    MIRROR_MISMATCH },
	/* Other methods. */
	{ V "Mcp-Method: tools/list\r\n", NEW("tools/list", "\"cursor\":\"c\""),
	    MIRROR_MODERN },
	{ V "Mcp-Method: tools/list\r\nMcp-Name: x\r\n", NEW("tools/list",
	    "\"cursor\":\"c\""), MIRROR_MISMATCH },
	{ V "Mcp-Method: resources/read\r\nMcp-Name: file:///a\r\n",
	    NEW("resources/read", "\"uri\":\"file:///a\""), MIRROR_MODERN },
	{ V "Mcp-Method: resources/read\r\nMcp-Name: file:///b\r\n",
	    NEW("resources/read", "\"uri\":\"file:///a\""), MIRROR_MISMATCH },
	{ V "Mcp-Method: tasks/get\r\nMcp-Name: t1\r\n", NEW("tasks/get",
	    "\"taskId\":\"t1\""), MIRROR_MODERN },
	{ V "Mcp-Method: tasks/update\r\n", NEW("tasks/update",
	    "\"taskId\":\"t1\""), MIRROR_MISMATCH },
	/* Revisions. */
	{ "MCP-Protocol-Version: 2099-01-01\r\n" M N,
	    OLD("tools/call", "{\"name\":\"echo\",\"_meta\":{\"io.modelcontext"
	    "protocol/protocolVersion\":\"2099-01-01\"}}"), MIRROR_UNKNOWN },
	{ "MCP-Protocol-Version: x\r\n" M N, OLD("tools/call", "{\"name\":"
	    "\"echo\",\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":"
	    "\"x\"}}"), MIRROR_UNKNOWN },
	{ V M N, OLD("tools/call", "{\"name\":\"echo\"}"), MIRROR_NO_VERSION },
	{ V, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}", MIRROR_MISMATCH },
	{ "", OLD("tools/call", "{\"name\":\"echo\"}"), MIRROR_LEGACY },
	{ "MCP-Protocol-Version: 2025-11-25\r\n", OLD("tools/call",
	    "{\"name\":\"echo\"}"), MIRROR_LEGACY },
	/* Older requests need no such field; one that stands there is true. */
	{ M N, OLD("tools/call", "{\"name\":\"echo\"}"), MIRROR_LEGACY },
	{ "Mcp-Name: other\r\n", OLD("tools/call", "{\"name\":\"echo\"}"),
	    MIRROR_MISMATCH },
	{ "Mcp-Method: ping\r\n", OLD("tools/call", "{\"name\":\"echo\"}"),
	    MIRROR_MISMATCH },
	/* Arguments. */
	{ V M N "Mcp-Param-Region: us-west1\r\n",
	    CALL("{\"region\":\"us-west1\"}"), MIRROR_MODERN },
	{ V M N "Mcp-Param-Region: us-west2\r\n",
	    CALL("{\"region\":\"us-west1\"}"), MIRROR_MISMATCH },
	{ V M N "mcp-param-n: 42\r\n", CALL("{\"a\":{\"n\":42.0}}"),
	    MIRROR_MODERN },
	{ V M N "mcp-param-n: 42\r\n", CALL("{\"a\":{\"n\":43}}"),
	    MIRROR_MISMATCH },
	{ V M N "Mcp-Param-B: true\r\n", CALL("{\"b\":true}"), MIRROR_MODERN },
	{ V M N "Mcp-Param-B: null\r\n", CALL("{\"b\":null}"),
	    MIRROR_MISMATCH },
	/* Not through lists: no schema may name those. */
	{ V M N "Mcp-Param-B: x\r\n", CALL("{\"b\":[\"x\"]}"),
	    MIRROR_MISMATCH },
	{ V M N "Mcp-Param-B: x\r\nMCP-PARAM-b: y\r\n",
	    CALL("{\"a\":\"x\",\"b\":\"y\"}"), MIRROR_MISMATCH },
	{ V "Mcp-Method: tools/list\r\nMcp-Param-A: c\r\n", NEW("tools/list",
	    "\"cursor\":\"c\""), MIRROR_MISMATCH },
};

static void
test_check(void **st)
{
	(void)st;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		enum mirror_result got = read_one(cases[i].fields,
		    cases[i].body);

		if (got != cases[i].want)
			fail_msg("%zu: %s%s: %d (%s)", i, cases[i].fields,
			    cases[i].body, got, r.why == NULL ? "" : r.why);
		assert_int_equal(got == MIRROR_MISMATCH, r.why != NULL);
	}
}

/* The field follows its argument when that is changed. */
static void
test_value(void **st)
{
	static const struct {
		const char *now, *want;
	} changed[] = {
		{ "{\"to\":{\"mail\":\"[redacted:email]\"}}",
		    "[redacted:email]" },
		{ "{\"to\":{\"mail\":\"M\\u00fcller\"}}",
		    "=?base64?TcO8bGxlcg==?=" },
		{ "{\"to\":{\"mail\":\" a\"}}", "=?base64?IGE=?=" },
		{ "{\"to\":{\"mail\":\"a\\r\\nX: y\"}}",
		    "=?base64?YQ0KWDogeQ==?=" },
		{ "{\"to\":{\"mail\":\"=?base64?x?=\"}}",
		    "=?base64?PT9iYXNlNjQ/eD89?=" },
		{ "{\"to\":{\"mail\":7}}", "7" },
		{ "{\"to\":{\"mail\":null}}", NULL },
		{ "{\"to\":{}}", NULL }, { "{\"to\":\"x\"}", NULL },
		{ "{}", NULL },
	};
	struct json_doc d;
	struct buf b;

	(void)st;
	json_init(&d);
	buf_init(&b, 1000);
	assert_int_equal(read_one(V M N "Mcp-Param-Mail: bob@example.com\r\n",
	    CALL("{\"copy\":\"bob@example.com\",\"to\":{\"mail\":"
	    "\"bob@example.com\"}}")), MIRROR_MODERN);
	assert_int_equal(r.params->n, 1);
	for (size_t i = 0; i < ARRAY_LEN(changed); i++) {
		buf_reset(&b);
		assert_int_equal(json_index(&d, slice_str(changed[i].now),
		    NULL), JSON_OK);
		int ok = mirror_value(&r.params->v[0], &d, 0, &b);

		assert_int_equal(ok, changed[i].want == NULL ? -1 : 0);
		if (ok == 0)
			assert_true(slice_is(buf_slice(&b), changed[i].want));
	}
	buf_free(&b);
	json_free(&d);
}

static void
test_many(void **st)
{
	char fields[4000] = V M N;

	(void)st;
	for (int i = 0; i < MIRROR_PARAMS_MAX; i++)
		sprintf(fields + strlen(fields), "Mcp-Param-%d: x\r\n", i);
	assert_int_equal(read_one(fields, CALL("{\"a\":\"x\"}")),
	    MIRROR_MODERN);
	strcat(fields, "Mcp-Param-More: x\r\n");
	assert_int_equal(read_one(fields, CALL("{\"a\":\"x\"}")),
	    MIRROR_MISMATCH);
	/* Deeper than a field can reach. */
	assert_int_equal(read_one(V M N "Mcp-Param-A: x\r\n",
	    CALL("{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":"
	    "\"x\"}}}}}}}}")), MIRROR_MODERN);
	assert_int_equal(read_one(V M N "Mcp-Param-A: x\r\n",
	    CALL("{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":"
	    "{\"a\":\"x\"}}}}}}}}}")), MIRROR_MISMATCH);
	arena_free(r.a);
	json_free(&r.d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_value),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
