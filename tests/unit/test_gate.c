/* The gate's small parts: policy's whole table, the action's digest, MCP. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "action.h"
#include "json.h"
#include "mcp.h"
#include "policy.h"

/* ---- policy ------------------------------------------------------------- */

static const enum conf_effect matrix[CONF_TRUSTS][CONF_CLASSES] = {
	{ CONF_DENY, CONF_DENY, CONF_HOLD, CONF_ALLOW },
	{ CONF_HOLD, CONF_HOLD, CONF_ALLOW, CONF_ALLOW },
	{ CONF_DENY, CONF_ALLOW, CONF_HOLD, CONF_HOLD },
};

/* What docs say, written once more and in another order: the strictest of all
 * that speak, `auto` only ever lifting a hold. */
static enum conf_effect
expected(const struct policy_input *in, bool observed)
{
	enum conf_class k = in->action->klass;
	enum conf_effect e = in->matrix[in->action->who->trust][k];
	bool lifecycle = in->action->operation == ACTION_PROTOCOL ||
	    in->action->operation == ACTION_LIST;

	if (in->state == POLICY_DISABLED || !in->on_access_list ||
	    !in->tool_enabled)
		return CONF_DENY;
	if (lifecycle)
		e = CONF_ALLOW;
	else if (e == CONF_HOLD && in->approval == POLICY_AUTO &&
	    in->state != POLICY_ASK_ALL && k >= CONF_MODERATE)
		e = CONF_ALLOW;
	else if (e == CONF_ALLOW && (in->approval == POLICY_ASK ||
	    in->state == POLICY_ASK_ALL))
		e = CONF_HOLD;
	if (in->advice == POLICY_ADVICE_DENY)
		e = CONF_DENY;
	if (in->advice == POLICY_ADVICE_HOLD && e == CONF_ALLOW)
		e = CONF_HOLD;
	return observed && in->state == POLICY_OBSERVE ? CONF_ALLOW : e;
}

static void
check_policy(const struct policy_input *in)
{
	struct policy_verdict v = policy_decide(in);
	bool explicit_no = in->state == POLICY_DISABLED ||
	    !in->on_access_list || !in->tool_enabled;

	assert_int_equal(v.effect, expected(in, true));
	assert_int_equal(v.would, expected(in, false));
	assert_int_equal(v.observed, v.effect != v.would);
	assert_non_null(v.by);
	/* Whatever is not simply allowed has a reason to show. */
	assert_int_equal(v.would == CONF_ALLOW, v.reason == REASON_NONE);
	if (explicit_no)
		assert_true(v.reason == REASON_DISABLED ||
		    v.reason == REASON_NOT_YOURS);
	if (!explicit_no && in->advice == POLICY_ADVICE_DENY)
		assert_int_equal(v.reason, REASON_ADVICE);
}

static void
test_policy_table(void **st)
{
	static const enum action_operation ops[] = { ACTION_PROTOCOL,
		ACTION_LIST, ACTION_READ, ACTION_CALL, ACTION_HTTP };
	struct principal who = { 0 };
	struct action a = { .who = &who };
	struct policy_input in = { .action = &a, .matrix = matrix };
	unsigned n = 0;

	(void)st;
	for (unsigned i = 0; i < 3 * 4 * 3 * 4 * 3 * 5 * 4; i++) {
		unsigned k = i;

		who.trust = (enum conf_trust)(k % 3), k /= 3;
		a.klass = (enum conf_class)(k % 4), k /= 4;
		in.approval = (enum policy_approval)(k % 3), k /= 3;
		in.state = (enum policy_state)(k % 4), k /= 4;
		in.advice = (enum policy_advice)(k % 3), k /= 3;
		a.operation = ops[k % 5], k /= 5;
		in.on_access_list = (k & 1) != 0;
		in.tool_enabled = (k & 2) != 0;
		check_policy(&in);
		n++;
	}
	assert_int_equal(n, 8640);
	/* All zero is the strictest of all. */
	memset(&in, 0, sizeof(in));
	in.action = &a;
	in.matrix = matrix;
	assert_int_equal(policy_decide(&in).effect, CONF_DENY);
}

/* ---- action ------------------------------------------------------------- */

/* Of methods whose arguments are all of params. */
static void
test_digest_without_state(void **st)
{
	static const struct {
		const char *method, *one, *other;
		bool same;
	} cases[] = {
		{ "prompts/get", "{\"name\":\"p\",\"requestState\":\"a\"}",
		    "{\"name\": \"p\", \"requestState\": \"b\"}", true },
		{ "prompts/get", "{\"requestState\":\"a\",\"name\":\"p\"}",
		    "{\"name\":\"p\"}", true },
		{ "resources/read", "{\"request\\u0053tate\":1}", "{}", true },
		{ "resources/read", "{\"uri\":\"a\",\"requestState\":1}",
		    "{\"uri\":\"b\",\"requestState\":1}", false },
		/* Only as a member of params itself. */
		{ "prompts/get", "{\"arguments\":{\"requestState\":\"a\"}}",
		    "{\"arguments\":{\"requestState\":\"b\"}}", false },
		/* Here it would be an argument. */
		{ "tools/call", "{\"requestState\":1}", "{}", false },
		{ "POST", "{\"requestState\":1}", "{}", false },
		{ "prompts/get", "{\"requestState\":1", "{", false },
	};
	struct principal who = { .user = (char[]){ "u" },
		.agent = (char[]){ "g" }, .session = (char[]){ "s" } };
	uint8_t one[ACTION_DIGEST], other[ACTION_DIGEST];

	(void)st;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct action a = { .who = &who, .connector = "c",
			.environment = "", .target = "x",
			.method = slice_str(cases[i].method),
			.arguments = slice_str(cases[i].one) };

		action_digest(&a, one);
		a.arguments = slice_str(cases[i].other);
		action_digest(&a, other);
		assert_int_equal(memcmp(one, other, ACTION_DIGEST) == 0,
		    cases[i].same);
	}
}

static void
test_digest(void **st)
{
	struct principal who = { .user = (char[]){ "u" },
		.agent = (char[]){ "g" }, .session = (char[]){ "s" } };
	struct action a = { .who = &who, .connector = "c", .environment = "e",
		.method = SLICE("m"), .tool = SLICE("t"), .target = "x",
		.arguments = SLICE("{}") };
	uint8_t seen[14][ACTION_DIGEST];
	size_t n = 0;

	(void)st;
#define ADD() action_digest(&a, seen[n++])
	ADD();
	who.user[0] = '2'; ADD(); who.user[0] = 'u';
	who.agent[0] = '2'; ADD(); who.agent[0] = 'g';
	who.session[0] = '2'; ADD(); who.session[0] = 's';
	a.connector = "2"; ADD(); a.connector = "c";
	a.environment = "2"; ADD(); a.environment = "e";
	a.method = SLICE("2"); ADD(); a.method = SLICE("m");
	a.tool = SLICE("2"); ADD(); a.tool = SLICE("t");
	a.target = "2"; ADD(); a.target = "x";
	a.arguments = SLICE("[]"); ADD(); a.arguments = SLICE("{}");
	a.responses = SLICE("{}"); ADD();
	a.responses = SLICE("{\"q\":1}"); ADD();
	a.responses = slice_make(NULL, 0);
	/* The same bytes cut elsewhere. */
	a.connector = "ce"; a.environment = ""; ADD();
	a.connector = ""; a.environment = "ce"; ADD();
#undef ADD
	assert_int_equal(n, ARRAY_LEN(seen));
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(seen[i], seen[j],
			    ACTION_DIGEST);
	a.connector = "c";
	a.environment = "e";
	action_digest(&a, seen[1]);
	assert_memory_equal(seen[0], seen[1], ACTION_DIGEST);
	/* None and empty arguments, no target: no crash, one digest. */
	a.arguments = slice_make(NULL, 0);
	a.target = NULL;
	action_digest(&a, seen[0]);
	a.arguments = SLICE("");
	a.target = "";
	action_digest(&a, seen[1]);
	assert_memory_equal(seen[0], seen[1], ACTION_DIGEST);
}

/* ---- mcp ---------------------------------------------------------------- */

struct read_case {
	const char *text;
	enum mcp_kind kind;
	enum action_operation op;
	const char *tool, *id;
};

#define R2 "{\"jsonrpc\":\"2.0\","
#define REQ(method, params) R2 "\"id\":1,\"method\":\"" method "\"," \
	"\"params\":" params "}"

static const struct read_case reads[] = {
	{ REQ("tools/call", "{\"name\":\"echo\",\"arguments\":{\"a\":1}}"),
	    MCP_REQUEST, ACTION_CALL, "echo", "1" },
	{ REQ("tools/call", "{\"name\":\"echo\"}"), MCP_REQUEST, ACTION_CALL,
	    "echo", "1" },
	{ REQ("resources/read", "{\"uri\":\"file:///x\"}"), MCP_REQUEST,
	    ACTION_READ, "file:///x", "1" },
	{ REQ("resources/subscribe", "{\"uri\":\"u:\"}"), MCP_REQUEST,
	    ACTION_READ, "u:", "1" },
	{ REQ("prompts/get", "{\"name\":\"p\"}"), MCP_REQUEST, ACTION_READ,
	    "p", "1" },
	{ REQ("tools/list", "{}"), MCP_REQUEST, ACTION_LIST, "", "1" },
	{ REQ("initialize", "{}"), MCP_REQUEST, ACTION_PROTOCOL, "", "1" },
	{ REQ("server/discover", "{}"), MCP_REQUEST, ACTION_PROTOCOL, "",
	    "1" },
	{ REQ("subscriptions/listen", "{}"), MCP_REQUEST, ACTION_PROTOCOL, "",
	    "1" },
	{ REQ("tasks/update", "{\"taskId\":\"t\"}"), MCP_REQUEST,
	    ACTION_PROTOCOL, "", "1" },
	{ R2 "\"id\":\"a-1\",\"method\":\"ping\"}", MCP_REQUEST,
	    ACTION_PROTOCOL, "", "\"a-1\"" },
	/* What is not known is gated as a call. */
	{ REQ("admin/wipe", "{}"), MCP_REQUEST, ACTION_CALL, "", "1" },
	{ REQ("Tools/call", "{\"name\":\"x\"}"), MCP_REQUEST, ACTION_CALL, "",
	    "1" },
	{ REQ("tools/list ", "{}"), MCP_REQUEST, ACTION_CALL, "", "1" },
	{ R2 "\"method\":\"notifications/initialized\"}", MCP_NOTIFICATION,
	    ACTION_PROTOCOL, "", "" },
	/* A call without an id is still a call. */
	{ R2 "\"method\":\"tools/call\",\"params\":{\"name\":\"x\"}}",
	    MCP_NOTIFICATION, ACTION_CALL, "x", "" },
	{ R2 "\"id\":3,\"result\":{}}", MCP_RESPONSE, ACTION_PROTOCOL, "",
	    "3" },
	{ R2 "\"id\":null,\"error\":{\"code\":-32700}}", MCP_RESPONSE,
	    ACTION_PROTOCOL, "", "null" },
	{ "[" R2 "\"id\":3,\"result\":{}}]", MCP_BATCH, ACTION_PROTOCOL, "",
	    "" },
	{ "[]", MCP_BATCH, ACTION_PROTOCOL, "", "" },
	/* Escapes in keys are the keys they spell. */
	{ "{\"jsonrp\\u0063\":\"2.0\",\"id\":1,\"m\\u0065thod\":"
	    "\"tools/call\",\"params\":{\"n\\u0061me\":\"x\"}}", MCP_REQUEST,
	    ACTION_CALL, "x", "1" },
};

static const char *const invalid[] = {
	"1", "\"x\"", "null", "{}", "{\"jsonrpc\":\"1.0\",\"id\":1,"
	    "\"method\":\"ping\"}",
	"{\"jsonrpc\":2.0,\"id\":1,\"method\":\"ping\"}",
	"{\"id\":1,\"method\":\"ping\"}",
	R2 "\"id\":1}", R2 "\"id\":{},\"method\":\"ping\"}",
	R2 "\"id\":null,\"method\":\"ping\"}",
	R2 "\"id\":true,\"result\":{}}", R2 "\"id\":[1],\"method\":\"ping\"}",
	R2 "\"id\":1,\"method\":7}", R2 "\"id\":1,\"method\":\"\"}",
	R2 "\"id\":1,\"method\":\"tools\\/call\"}",
	R2 "\"id\":1,\"method\":\"tools\\u002fcall\",\"params\":"
	    "{\"name\":\"x\"}}",
	R2 "\"id\":1,\"method\":\"ping\",\"result\":{}}",
	R2 "\"id\":1,\"method\":\"tools/call\",\"error\":null,\"params\":"
	    "{\"name\":\"x\"}}",
	REQ("tools/call", "{}"), REQ("tools/call", "[\"echo\"]"),
	REQ("tools/call", "{\"name\":\"\"}"),
	REQ("tools/call", "{\"name\":7}"),
	REQ("tools/call", "{\"name\":\"ec\\u0068o\"}"),
	REQ("tools/call", "{\"name\":\"x\",\"arguments\":[]}"),
	REQ("tools/call", "{\"name\":\"x\",\"arguments\":null}"),
	REQ("resources/read", "{\"name\":\"x\"}"),
	REQ("resources/read", "{\"uri\":\"a\\/b\"}"),
	REQ("admin/wipe", "[1]"),
	/* no call, and still no array where an object is due */
	REQ("tools/list", "[1]"),
	REQ("ping", "\"x\""),
	R2 "\"method\":\"notifications/x\",\"params\":[1]}",
	REQ("tools/call", "{\"name\":\"x\",\"_meta\":[]}"),
	REQ("tools/call", "{\"name\":\"x\",\"_meta\":{"
	    "\"io.modelcontextprotocol/protocolVersion\":1}}"),
	REQ("tools/call", "{\"name\":\"x\",\"_meta\":{"
	    "\"io.modelcontextprotocol/protocolVersion\":"
	    "\"2026\\u002d07-28\"}}"),
	/* what readers that fold letters take for another key */
	R2 "\"id\":1,\"method\":\"ping\",\"Method\":\"tools/call\"}",
	R2 "\"id\":1,\"METHOD\":\"tools/call\",\"result\":{}}",
	R2 "\"id\":1,\"method\":\"ping\",\"param\xc5\xbf\":{}}",
	R2 "\"id\":1,\"method\":\"ping\",\"m\\u0045thod\":\"x\"}",
	R2 "\"id\":1,\"method\":\"ping\",\"method\\u0000\":\"x\"}",
	R2 "\"id\":1,\"method\":\"ping\",\"ID\":2}",
	REQ("tools/call", "{\"name\":\"x\",\"Name\":\"y\"}"),
	REQ("tools/call", "{\"name\":\"x\",\"argument\xc5\xbf\":{}}"),
	REQ("tools/call", "{\"name\":\"x\",\"inputresponses\":{}}"),
	REQ("tasks/get", "{\"tas\xe2\x84\xaaId\":\"x\"}"),
	R2 "\"id\":1,\"method\":\"tools/call\"}",
};

static void
read_text(struct json_doc *d, const char *text, struct mcp_message *m)
{
	assert_int_equal(json_index(d, slice_str(text), NULL), JSON_OK);
	mcp_read(d, 0, m);
}

static void
test_mcp_read(void **st)
{
	struct json_doc d;
	struct mcp_message m;

	(void)st;
	json_init(&d);
	for (size_t i = 0; i < ARRAY_LEN(reads); i++) {
		const struct read_case *c = &reads[i];

		read_text(&d, c->text, &m);
		if (m.kind != c->kind)
			fail_msg("%s: kind %d, %s", c->text, m.kind,
			    m.error == NULL ? "" : m.error);
		assert_int_equal(m.operation, c->op);
		assert_true(slice_is(m.tool, c->tool));
		assert_true(slice_is(m.id, c->id));
		assert_null(m.error);
	}
	for (size_t i = 0; i < ARRAY_LEN(invalid); i++) {
		read_text(&d, invalid[i], &m);
		if (m.kind != MCP_INVALID || m.error == NULL)
			fail_msg("%s is taken", invalid[i]);
	}
	read_text(&d, REQ("tools/call", "{\"name\":\"x\",\"arguments\":"
	    "{\"a\":1},\"_meta\":{\"progressToken\":\"p\\\"1\"}}"), &m);
	assert_true(slice_is(json_raw(&d, m.arguments), "{\"a\":1}"));
	assert_true(slice_is(m.progress_token, "\"p\\\"1\""));
	read_text(&d, REQ("tools/call", "{\"name\":\"x\",\"_meta\":"
	    "{\"progressToken\":{}}}"), &m);
	assert_int_equal(m.arguments, JSON_NONE);
	assert_int_equal(m.progress_token.n, 0);
	/* a tool's own arguments may be called what they like */
	read_text(&d, REQ("tools/call", "{\"name\":\"x\",\"arguments\":"
	    "{\"Name\":1,\"Method\":2},\"names\":1,\"nam\":2}"), &m);
	assert_int_equal(m.kind, MCP_REQUEST);
	read_text(&d, R2 "\"method\":\"notifications/cancelled\",\"params\":"
	    "{\"requestId\":\"r\",\"reason\":\"x\"}}", &m);
	assert_true(slice_is(m.cancel_id, "\"r\""));
	json_free(&d);
}

/* Text from outside in every place of every writer: JSON stays JSON. */
static void
test_mcp_write(void **st)
{
	static const char *const nasty[] = { "plain", "\"}],\"x\":{\"",
		"line\nbreak\ttab", "\\", "\x01\x1f", "caf\xc3\xa9 \xe2\x82\xac",
		"</script>", "" };
	struct json_doc d;
	struct buf b;
	int64_t code;

	(void)st;
	json_init(&d);
	buf_init(&b, 10000);
	for (size_t i = 0; i < ARRAY_LEN(nasty); i++) {
		const char *s = nasty[i];

		buf_reset(&b);
		mcp_write_denial(&b, SLICE("\"id\\\"7\""), i % 2 != 0, s, s,
		    s);
		assert_int_equal(json_index(&d, buf_slice(&b), NULL),
		    JSON_OK);
		uint32_t content = json_path(&d, 0, "result", "content", NULL);
		uint32_t item = json_first(&d, content);

		assert_true(json_str_is(&d, json_member(&d, item, "text"), s));
		assert_true(slice_is(json_raw(&d, json_member(&d, 0, "id")),
		    "\"id\\\"7\""));
		assert_int_equal(json_typeof(&d, json_path(&d, 0, "result",
		    "isError", NULL)), JSON_TRUE);
		assert_true(json_str_is(&d, json_path(&d, 0, "result",
		    "_meta", "portreeve/event", NULL), s));
		assert_int_equal(json_str_is(&d, json_path(&d, 0, "result",
		    "resultType", NULL), "complete"), i % 2 != 0);
		buf_reset(&b);
		mcp_write_revision(&b, SLICE("7"), s, slice_str(s));
		assert_int_equal(json_index(&d, buf_slice(&b), NULL),
		    JSON_OK);
		assert_true(json_str_is(&d, json_path(&d, 0, "error", "data",
		    "requested", NULL), s));
		buf_reset(&b);
		mcp_write_error(&b, slice_make(NULL, 0), MCP_CODE_DENIED, s,
		    s, NULL);
		assert_int_equal(json_index(&d, buf_slice(&b), NULL),
		    JSON_OK);
		assert_int_equal(json_typeof(&d, json_member(&d, 0, "id")),
		    JSON_NULL);
		assert_true(json_int(&d, json_path(&d, 0, "error", "code",
		    NULL), &code));
		assert_int_equal(code, MCP_CODE_DENIED);
		assert_true(json_str_is(&d, json_path(&d, 0, "error",
		    "message", NULL), s));
		buf_reset(&b);
		mcp_write_progress(&b, SLICE("17"), 3, s);
		assert_int_equal(json_index(&d, buf_slice(&b), NULL),
		    JSON_OK);
		assert_true(json_str_is(&d, json_path(&d, 0, "params",
		    "message", NULL), s));
		buf_reset(&b);
		mcp_write_cancelled(&b, SLICE("17"), s);
		assert_int_equal(json_index(&d, buf_slice(&b), NULL),
		    JSON_OK);
		assert_true(json_str_is(&d, json_path(&d, 0, "params",
		    "reason", NULL), s));
	}
	buf_free(&b);
	json_free(&d);
}

static void
test_mcp_note(void **st)
{
	static const char *const texts[] = { R2 "\"id\":1,\"result\":"
	    "{\"content\":[],\"isError\":false}}", R2 "\"id\":1,\"result\":{"
	    "\"content\":[ {\"type\":\"text\",\"text\":\"]\"} ] }}" };
	static const char *const none[] = { R2 "\"id\":1,\"error\":{}}",
		R2 "\"id\":1,\"result\":{}}", R2 "\"id\":1,\"result\":"
		"{\"content\":{}}}", R2 "\"id\":1,\"result\":7}" };
	struct json_doc d, after;
	struct buf b;

	(void)st;
	json_init(&d);
	json_init(&after);
	buf_init(&b, 1000);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		buf_reset(&b);
		assert_int_equal(json_index(&d, slice_str(texts[i]), NULL),
		    JSON_OK);
		assert_int_equal(mcp_add_note(&b, &d, "edited \"x\"\n"), 0);
		assert_int_equal(json_index(&after, buf_slice(&b), NULL),
		    JSON_OK);
		uint32_t content = json_path(&after, 0, "result", "content",
		    NULL), it = json_first(&after, content);

		assert_int_equal(after.nodes[content].count, i + 1);
		for (size_t k = 0; k < i; k++)
			it = json_next(&after, content, it);
		assert_true(json_str_is(&after, json_member(&after, it,
		    "text"), "edited \"x\"\n"));
	}
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		buf_reset(&b);
		assert_int_equal(json_index(&d, slice_str(none[i]), NULL),
		    JSON_OK);
		assert_int_equal(mcp_add_note(&b, &d, "x"), -1);
		assert_int_equal(b.len, 0);
	}
	/* No room: an error, not half a message. */
	buf_free(&b);
	buf_init(&b, 60);
	assert_int_equal(json_index(&d, slice_str(texts[0]), NULL), JSON_OK);
	assert_int_equal(mcp_add_note(&b, &d, "x"), -1);
	buf_free(&b);
	json_free(&d);
	json_free(&after);
}

static void
test_asks(void **st)
{
	static const struct {
		const char *params;
		bool want;
	} urls[] = {
		{ "{\"mode\":\"form\"}", true }, { "{}", true },
		{ "{\"mode\":\"url\",\"url\":\"https://a.example/b?c#d\"}",
		    true },
		{ "{\"url\":\"http://a.example\"}", true },
		{ "{\"url\":\"https:\\/\\/a.example\\/\"}", true },
		{ "{\"mode\":\"url\"}", false },
		{ "{\"url\":\"\"}", false }, { "{\"url\":7}", false },
		{ "{\"url\":\"javascript:alert(1)\"}", false },
		{ "{\"url\":\"file:///etc/passwd\"}", false },
		{ "{\"url\":\"data:text/html,x\"}", false },
		{ "{\"url\":\"https://good.example@bad.example/\"}", false },
		{ "{\"url\":\"https://a.example/\\nx\"}", false },
		{ "{\"url\":\" https://a.example/\"}", false },
	};
	struct json_doc d;

	(void)st;
	json_init(&d);
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		assert_int_equal(json_index(&d, slice_str(urls[i].params),
		    NULL), JSON_OK);
		if (mcp_url_allowed(&d, 0) != urls[i].want)
			fail_msg("%s", urls[i].params);
	}
	assert_int_equal(json_index(&d, SLICE("[\"sampling/createMessage\","
	    "\"elicitation/create\",\"roots/list\",\"ping\",\"tools/call\","
	    "7]"), NULL), JSON_OK);
	static const enum mcp_ask want[] = { MCP_ASK_SAMPLING,
		MCP_ASK_ELICITATION, MCP_ASK_ROOTS, MCP_ASK_PING,
		MCP_ASK_OTHER, MCP_ASK_OTHER };

	for (uint32_t i = 0; i < ARRAY_LEN(want); i++)
		assert_int_equal(mcp_ask_of(&d, i + 1), want[i]);
	json_free(&d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_policy_table),
		cmocka_unit_test(test_digest),
		cmocka_unit_test(test_digest_without_state),
		cmocka_unit_test(test_mcp_read),
		cmocka_unit_test(test_mcp_write),
		cmocka_unit_test(test_asks),
		cmocka_unit_test(test_mcp_note),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
