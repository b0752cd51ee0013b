/* gateway/connector: compiling, its errors, matching, the packed form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "connector.h"
#include "connector_builtin.h"
#include "pack.h"

#define DIGEST "sha256:" "0123456789abcdef0123456789abcdef" \
    "0123456789abcdef0123456789abcdef"
#define STDIO "name: x\nkind: stdio\nagents: [a]\ncommand: [node, a.js]\n"
#define BUILTIN "name: x\nkind: builtin\nagents: [a]\n"
#define BASE "name: x\nurl: https://a.example/mcp\nagents: [a]\n"

static struct conf conf = { .matrix = {
	{ CONF_DENY, CONF_HOLD, CONF_HOLD, CONF_ALLOW },
	{ CONF_HOLD, CONF_HOLD, CONF_ALLOW, CONF_ALLOW },
	{ CONF_DENY, CONF_DENY, CONF_HOLD, CONF_ALLOW } } };
static char warnings[2048];
static struct redact *rules;

static int
load_rules(void **st)
{
	struct err err = { 0 };
	struct buf b;

	(void)st;
	buf_init(&b, 64u << 20);
	if (redact_compile("rules/redaction", &b, &err) == 0)
		rules = redact_load(buf_slice(&b), &err);
	if (rules == NULL)
		fprintf(stderr, "%s\n", err.text);
	buf_free(&b);
	return rules == NULL;
}

static int
free_rules(void **st)
{
	(void)st;
	redact_free(rules);
	return 0;
}

static void
on_warn(void *ctx, const char *text)
{
	size_t n = strlen(warnings);

	(void)ctx;
	snprintf(warnings + n, sizeof(warnings) - n, "%s\n", text);
}

static struct connector_set *
load(struct snap_writer *w)
{
	struct err err = { 0 };
	int fd = snap_seal(w, &err);

	if (fd < 0)
		fail_msg("%s", err.text);
	struct snap *s = snap_open(fd, &err);

	assert_non_null(s);
	struct connector_set *set = connector_load(s);

	snap_close(s);
	snap_writer_free(w);
	return set;
}

static struct connector_set *
compile(const char *text)
{
	struct err err = { 0 };
	struct snap_writer w;

	snap_writer_init(&w);
	if (connector_parse(&conf, rules, "c.yaml", slice_str(text), &w, &err) != 0)
		fail_msg("%s", err.text);
	struct connector_set *set = load(&w);

	assert_non_null(set);
	assert_int_equal(set->n, 1);
	return set;
}

static void
test_errors(void **st)
{
	static const char *const cases[][2] = {
		{ "nmae: x\n", "c.yaml:1:1: .*name" },
		{ BASE "agnets: [b]\n", "c.yaml:4:1: .*agents" },
		{ BASE "api_key: q\n", "c.yaml:4:1: .*credential set" },
		{ "url: https://a.example/\nagents: [a]\n", "name: is requ" },
		{ "name: Big\nurl: https://a.example/\n", "name: is requ" },
		{ "name: x\nagents: [a]\n", "c.yaml:1:1: .*url: is requ" },
		{ "name: x\nurl: ftp://a.example/\n", "c.yaml:2:6: url: " },
		{ "name: x\nurl: https://a.example/?q=1\n", "no query" },
		{ "name: x\nurl: https://u@a.example/\n", "c.yaml:2:6: " },
		{ "name: x\nurl: https://a.example/\n", "agents: must name" },
		{ "name: x\nurl: https://a.example/\nagents: []\n",
		    "c.yaml:3:9: agents: must name" },
		{ "name: x\nurl: https://a.example/\nagents: a\n",
		    "c.yaml:3:9: agents: must be a list" },
		{ "name: x\nurl: https://a.example/\nagents: [[a]]\n",
		    "c.yaml:3:10: agents: " },
		{ BASE "pin: [300.1.1.1]\n", "c.yaml:4:7: pin: 300.1.1.1" },
		{ BASE "pin: [10.0.0.1/8]\n", "c.yaml:4:7: pin: " },
		{ BASE "hosts: [\"a b\"]\n", "c.yaml:4:9: a b is no host" },
		{ BASE "state: ask-all\n", "c.yaml:4:8: " },
		{ BASE "kind: mpc\n", "c.yaml:4:7: .*mcp" },
		{ BASE "command: [x]\n", "c.yaml:4:10: command: is for" },
		{ BASE "network: off\n", "c.yaml:4:10: network: is for" },
		{ BASE "websocket: yes\n", "c.yaml:4:12: .*inspect" },
		{ BASE "websocket: { mesages: inspect }\n", "messages" },
		{ BASE "websocket: { messages: inspect, binary: allow }\n",
		    "c.yaml:4:41: binary: MCP messages are text" },
		{ BASE "kind: rest\nwebsocket: { binary: allow }\n",
		    "needs messages: inspect" },
		{ STDIO "digest: " DIGEST "\nwebsocket: inspect\n",
		    "websocket: a connector of kind stdio" },
		{ BASE "http2: of\n", "c.yaml:4:8: .*off" },
		{ BASE "http2: { agent: off }\n", "c.yaml:4:10: .*agents" },
		{ BASE "http2: { agents: no }\n", "c.yaml:4:18: .*on" },
		{ BASE "http2: [off]\n", "c.yaml:4:8: " },
		{ STDIO "digest: " DIGEST "\nhttp2: off\n",
		    "http2: a connector of kind stdio" },
		{ STDIO, "--pin" },
		{ BUILTIN "url: https://a.example/\n",
		    "c.yaml:4:6: url: a connector of kind builtin" },
		{ BUILTIN "websocket: inspect\n",
		    "websocket: a connector of kind builtin" },
		{ BUILTIN "command: [x]\n", "is for connectors of kind stdio" },
		{ BASE "raise: []\n", "is for connectors of kind builtin" },
		{ BUILTIN "tools: { \"a b\": { class: moderate } }\n",
		    "a built-in tool's name" },
		{ BUILTIN "context: { users: [a] }\n", "users" },
		{ BUILTIN "context: { environment: [Prod] }\n",
		    "must be words" },
		{ BUILTIN "context: { environment: prod }\n",
		    "must be a list" },
		{ BUILTIN "context: { environment: [prod] }\nraise: [{ "
		    "environment: prod }]\n", "to: moderate" },
		{ BUILTIN "context: { environment: [prod] }\nraise: [{ "
		    "environment: prod, to: read-only }]\n", "to: moderate" },
		{ BUILTIN "context: { environment: [prod] }\nraise: [{ "
		    "to: dangerous }]\n", "device_class or environment" },
		{ BUILTIN "context: { environment: [prod] }\nraise: [{ "
		    "environment: test, to: dangerous }]\n",
		    "test is not in context.environment" },
		{ BUILTIN "context: { device_class: [own] }\nraise: [{ "
		    "device_class: prod, to: dangerous }]\n",
		    "prod is not in context.device_class" },
		{ BUILTIN "context: { device_class: [own] }\nraise: [{ "
		    "device_class: own, tool: sh, to: dangerous }]\n",
		    "sh is not in tools" },
		{ STDIO "digest: sha256:00\n", "--pin" },
		{ STDIO "digest: md5:00\n", "--pin" },
		{ "name: x\nkind: stdio\nagents: [a]\ndigest: " DIGEST "\n",
		    "--pin" },
		{ STDIO "digest: " DIGEST "\nurl: https://a.example/\n",
		    "c.yaml:6:6: url: a connector of kind stdio" },
		{ STDIO "digest: " DIGEST "\ncredential: { name: g }\n",
		    "credential: a connector of kind stdio" },
		{ STDIO "digest: " DIGEST "\nread: [srv]\n",
		    "c.yaml:6:8: read: must be absolute" },
		{ STDIO "digest: " DIGEST "\nallow: /srv\n",
		    "c.yaml:6:8: allow: must be a list" },
		{ STDIO "digest: " DIGEST "\ndirectory: data\n",
		    "c.yaml:6:12: directory: must be" },
		{ STDIO "digest: " DIGEST "\nnetwork: on\n", "off" },
		{ STDIO "digest: " DIGEST "\nenv: [LD_PRELOAD]\n",
		    "c.yaml:6:7: env: LD_PRELOAD is not" },
		{ STDIO "digest: " DIGEST "\nenv: [A, AWS_PROFILE]\n",
		    "c.yaml:6:10: env: AWS_PROFILE is not" },
		{ BASE "approved: yess\n", "c.yaml:4:11: " },
		{ BASE "log_result: -1\n", "c.yaml:4:13: " },
		{ BASE "credential: { name: g, type: bearr }\n", "bearer" },
		{ BASE "credential: { type: bearer }\n", "credential.name" },
		{ BASE "credential: { name: g, type: header }\n",
		    "credential.header: is required" },
		{ BASE "tools_cache: never\n", "c.yaml:4:14: " },
		{ BASE "tools_cache: 2d\n", "c.yaml:4:14: .*1s to 24h" },
		{ BASE "kind: rest\ntools_cache: 10m\n",
		    "c.yaml:5:14: .*kind mcp" },
		{ BASE "deferred: maybe\n", "c.yaml:4:11: " },
		{ BASE "kind: rest\ndeferred: true\n",
		    "c.yaml:5:11: deferred: .*kind mcp" },
		{ BASE "kind: rest\ntools: { t: { deferred: false } }\n",
		    "c.yaml:5:25: deferred: .*kind mcp" },
		{ "name: aggregate\nurl: https://a.example/\nagents: [a]\n",
		    "c.yaml:1:7: .*the mount of all connectors" },
		{ BASE "redaction: [email]\n", "c.yaml:4:12: " },
		{ BASE "server_requests: { smapling: deny }\n",
		    "c.yaml:4:20: .*did you mean `sampling`" },
		{ BASE "server_requests: { roots: hold }\n",
		    "c.yaml:4:27: " },
		{ BASE "redaction: { argument: {} }\n",
		    "c.yaml:4:14: .*arguments" },
		{ BASE "redaction: { results: { of: [] } }\n",
		    "c.yaml:4:25: .*off" },
		{ BASE "redaction: { results: { off: email } }\n",
		    "c.yaml:4:30: off: must be a list" },
		{ BASE "redaction: { results: { off: [email, fone] } }\n",
		    "c.yaml:4:38: redaction.results.off: .*did you mean phone" },
		{ BASE "redaction: { arguments: { off: [secret] } }\n",
		    "c.yaml:4:33: redaction.arguments.off: .*one by one" },
		{ BASE "matrix: { supervized: { moderate: allow } }\n",
		    "c.yaml:4:11: .*supervised" },
		{ BASE "matrix: { manual: { moderate: alow } }\n", "allow" },
		{ BASE "tools: [echo]\n", "c.yaml:4:8: tools: must be a map" },
		{ BASE "tools: { echo: { class: read_only } }\n",
		    "read-only" },
		{ BASE "tools: { echo: { clas: moderate } }\n", "class" },
		{ BASE "operations: {}\n", "operations: must be a list" },
		{ BASE "operations: [ { name: o, method: GET } ]\n",
		    "needs name, method" },
		{ BASE "operations: [ { name: o, method: GET, path: v } ]\n",
		    "begins with /" },
		{ BASE "operations: [ { name: o, method: get, path: /v } ]\n",
		    "c.yaml:4:34: method: get" },
		{ BASE "operations: [ { name: o, method: GET, "
		    "path: \"/v{a}\" } ]\n", "c.yaml:4:45: path: " },
		{ BASE "operations: [ { name: o, method: GET, "
		    "path: \"/v?a=1\" } ]\n", "it has no query" },
		{ BASE "operations: [ { name: o, method: GET, path: /a },"
		    " { name: o, method: DELETE, path: /a } ]\n",
		    "c.yaml:4:51: operation o is defined twice" },
		{ BASE "operations: [ { name: o, method: DELETE, path: /v, "
		    "class: moderate } ]\n", "DELETE is at least dangerous" },
		{ BASE "operations: [ { name: o, method: PATCH, path: /v, "
		    "class: read-only } ]\n", "PATCH is at least moderate" },
		{ BASE "ca: 1\n---\n", "c.yaml:" },
	};

	(void)st;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = { 0 };
		struct snap_writer w;
		char want[128];
		char *part = want;

		snap_writer_init(&w);
		assert_int_equal(connector_parse(&conf, rules, "c.yaml",
		    slice_str(cases[i][0]), &w, &err), -1);
		assert_true(err.set);
		assert_int_equal(w.count, 0);
		snprintf(want, sizeof(want), "%s", cases[i][1]);
		/* "a.*b": both stand in the text, in this order. */
		char *gap = strstr(want, ".*");

		if (gap != NULL)
			*gap = '\0';
		const char *at = strstr(err.text, part);

		if (at == NULL || (gap != NULL &&
		    strstr(at + strlen(part), gap + 2) == NULL))
			fail_msg("%zu: \"%s\" does not say %s", i, err.text,
			    cases[i][1]);
		snap_writer_free(&w);
	}
}

static void
test_round_trip(void **st)
{
	struct connector_set *set = compile(
	    "name: demo\nkind: rest\nurl: HTTPS://API.Example:8443/v1/\n"
	    "hosts: [CDN.example, \"b.example:444\"]\n"
	    "pin: [10.1.2.3, \"fd00::/8\"]\nowner: o\npurpose: p\n"
	    "vendor: v\nsource: s\nreviewer: r\nreview_by: 2027-01-01\n"
	    "data_class: internal\nrisk: low\nenvironment: prod\n"
	    "approved: false\nstate: observe\nagents: [coder, triage]\n"
	    "credential: { name: gh, type: header, header: X-Key, "
	    "template: \"k {}\" }\nmedia: stream\nlog_result: 77\n"
	    "matrix: { autonomous: { unknown: hold } }\n"
	    "tools: { echo: { class: read-only, approval: auto }, "
	    "off: { enabled: false } }\noperations:\n"
	    " - { name: get, method: GET, path: \"/v1/i/{id}\", "
	    "class: read-only }\n - { name: del, method: DELETE, "
	    "path: \"/v1/i/{id}\" }\n");
	struct connector *c = &set->v[0];

	(void)st;
	assert_string_equal(c->name, "demo");
	assert_int_equal(c->kind, CONNECTOR_REST);
	assert_int_equal(c->state, POLICY_OBSERVE);
	assert_true(c->tls && c->media_stream && !c->approved);
	assert_string_equal(c->path, "/v1/");
	assert_int_equal(c->nhosts, 3);
	assert_string_equal(c->hosts[0].host, "api.example");
	assert_int_equal(c->hosts[0].port, 8443);
	assert_string_equal(c->hosts[1].host, "cdn.example");
	assert_int_equal(c->hosts[1].port, 443);
	assert_int_equal(c->hosts[2].port, 444);
	assert_int_equal(c->npins, 2);
	assert_int_equal(c->pins[1].bits, 8);
	assert_string_equal(c->owner, "o");
	assert_string_equal(c->purpose, "p");
	assert_string_equal(c->vendor, "v");
	assert_string_equal(c->source, "s");
	assert_string_equal(c->reviewer, "r");
	assert_string_equal(c->review_by, "2027-01-01");
	assert_string_equal(c->data_class, "internal");
	assert_string_equal(c->risk, "low");
	assert_string_equal(c->environment, "prod");
	assert_string_equal(c->credential, "gh");
	assert_string_equal(c->cred_type, "header");
	assert_string_equal(c->cred_header, "X-Key");
	assert_string_equal(c->cred_template, "k {}");
	assert_int_equal(c->log_result, 77);
	/* The matrix of the main file, changed where this one says. */
	assert_int_equal(c->matrix[CONF_AUTONOMOUS][CONF_UNKNOWN], CONF_HOLD);
	assert_int_equal(c->matrix[CONF_AUTONOMOUS][CONF_DANGEROUS],
	    CONF_DENY);
	assert_int_equal(c->matrix[CONF_MANUAL][CONF_UNKNOWN], CONF_DENY);
	assert_true(connector_allows_agent(c, "triage"));
	assert_false(connector_allows_agent(c, "tria"));
	const struct connector_tool *t = connector_tool(c, SLICE("echo"));

	assert_non_null(t);
	assert_true(t->classified && t->enabled);
	assert_int_equal(t->klass, CONF_READ_ONLY);
	assert_int_equal(t->approval, POLICY_AUTO);
	t = connector_tool(c, SLICE("off"));
	assert_true(!t->classified && !t->enabled);
	assert_int_equal(t->klass, CONF_UNKNOWN);
	assert_null(connector_tool(c, SLICE("ech")));
	assert_non_null(connector_tool(c, SLICE("del")));
	const struct connector_operation *o = connector_operation(c,
	    SLICE("HEAD"), SLICE("/v1/i/7"));

	assert_non_null(o);
	assert_string_equal(o->name, "get");
	o = connector_operation(c, SLICE("DELETE"), SLICE("/v1/i/7"));
	assert_string_equal(o->name, "del");
	assert_null(connector_operation(c, SLICE("PUT"), SLICE("/v1/i/7")));
	assert_null(connector_operation(c, SLICE("GET"), SLICE("/v1/i")));
	assert_null(connector_operation(c, SLICE("GET"), SLICE("/V1/i/7")));
	assert_null(connector_operation(c, SLICE("GET"), SLICE("/v1/i/7/")));
	assert_null(connector_operation(c, SLICE("GET"), SLICE("/v1/i;a/7")));
	assert_ptr_equal(connector_named(set, SLICE("demo")), c);
	assert_null(connector_named(set, SLICE("dem")));
	connector_set_free(set);
}

/* The names of a path choose before its variables, in any order; what only
 * looks like a name is neither. */
static void
test_operations(void **st)
{
	static const struct {
		const char *path, *name;
	} cases[] = {
		{ "/i/7", "one" }, { "/i/all", "all" }, { "/i/ALL", NULL },
		{ "/i/all;x", NULL }, { "/i/all/", NULL }, { "/i/al", "one" },
		{ "/i/all/x", "deep" }, { "/i/7/x", "other" },
		{ "/i/7;a=b", "one" },
	};
	struct connector_operation ops[] = {
		{ .method = (char[]){ "GET" }, .path = (char[]){ "/i/{id}" },
		    .name = (char[]){ "one" } },
		{ .method = (char[]){ "GET" }, .path = (char[]){ "/i/{id}/x" },
		    .name = (char[]){ "other" } },
		{ .method = (char[]){ "GET" }, .path = (char[]){ "/i/all" },
		    .name = (char[]){ "all" } },
		{ .method = (char[]){ "GET" },
		    .path = (char[]){ "/i/all/{y}" },
		    .name = (char[]){ "deep" } },
	};
	struct connector c = { .operations = ops,
		.noperations = ARRAY_LEN(ops) };

	(void)st;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct connector_operation *o = connector_operation(&c,
		    SLICE("GET"), slice_str(cases[i].path));

		if (cases[i].name == NULL ? o != NULL : o == NULL ||
		    strcmp(o->name, cases[i].name) != 0)
			fail_msg("%s: %s", cases[i].path, o == NULL ? "none" :
			    o->name);
	}
}

static void
test_defaults(void **st)
{
	struct connector_set *set = compile(BASE);
	struct connector *c = &set->v[0];

	(void)st;
	assert_int_equal(c->kind, CONNECTOR_MCP);
	assert_int_equal(c->state, POLICY_ENABLED);
	assert_true(c->approved && c->tls && !c->media_stream);
	assert_true(c->http.h2_agents && c->http.h2_upstream);
	assert_false(c->http.websocket || c->http.ws_binary);
	assert_int_equal(c->log_result, 65536);
	assert_null(c->off_arguments);
	assert_null(c->off_results);
	assert_string_equal(c->credential, "");
	assert_memory_equal(c->matrix, conf.matrix, sizeof(conf.matrix));
	connector_set_free(set);
}

static void
test_http2(void **st)
{
	static const struct {
		const char *text;
		bool agents, upstream;
	} cases[] = { { "on", true, true }, { "off", false, false },
		{ "{ agents: off }", false, true },
		{ "{ upstream: off, agents: on }", true, false } };
	char text[256];

	(void)st;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(text, sizeof(text), BASE "hosts: [b.example]\n"
		    "http2: %s\n", cases[i].text);
		struct connector_set *set = compile(text);

		assert_int_equal(set->v[0].http.h2_agents, cases[i].agents);
		assert_int_equal(set->v[0].http.h2_upstream,
		    cases[i].upstream);
		assert_int_equal(connector_h2_at(set, "b.example", 443),
		    cases[i].agents);
		assert_true(connector_h2_at(set, "b.example", 444));
		connector_set_free(set);
	}
}

static void
test_websocket(void **st)
{
	struct connector_set *set = compile(BASE "websocket: inspect\n");

	(void)st;
	assert_true(set->v[0].http.websocket);
	assert_false(set->v[0].http.ws_binary);
	connector_set_free(set);
	set = compile(BASE "kind: rest\nwebsocket: { messages: inspect, "
	    "binary: allow }\n");
	assert_true(set->v[0].http.websocket && set->v[0].http.ws_binary);
	connector_set_free(set);
	set = compile(BASE "websocket: refuse\n");
	assert_false(set->v[0].http.websocket);
	connector_set_free(set);
}

static void
test_lists(void **st)
{
	struct connector_set *set = compile(BASE);
	struct connector *c = &set->v[0], *all = connector_aggregate(set);

	(void)st;
	assert_int_equal(c->tools_cache_ms, 600000);
	assert_false(connector_defers(c, SLICE("x")));
	assert_false(connector_defers_any(c));
	/* In no search, and read-only for everybody. */
	assert_string_equal(all->name, CONNECTOR_AGGREGATE);
	assert_null(connector_named(set, SLICE(CONNECTOR_AGGREGATE)));
	assert_true(connector_allows_agent(all, "anybody"));
	for (int t = 0; t < CONF_TRUSTS; t++) {
		assert_int_equal(all->matrix[t][CONF_READ_ONLY], CONF_ALLOW);
		assert_int_equal(all->matrix[t][CONF_UNKNOWN], CONF_DENY);
	}
	assert_int_equal(connector_tool(all, SLICE(CONNECTOR_SEARCH))->klass,
	    CONF_READ_ONLY);
	connector_set_free(set);
	set = compile(BASE "tools_cache: off\ndeferred: true\n"
	    "tools: { a: {}, b: { deferred: false } }\n");
	c = &set->v[0];
	assert_int_equal(c->tools_cache_ms, 0);
	assert_true(connector_defers(c, SLICE("a")));
	assert_false(connector_defers(c, SLICE("b")));
	assert_true(connector_defers(c, SLICE("of no file")));
	connector_set_free(set);
	set = compile(BASE "tools_cache: 90s\n"
	    "tools: { a: {}, b: { deferred: true } }\n");
	c = &set->v[0];
	assert_int_equal(c->tools_cache_ms, 90000);
	assert_true(connector_defers_any(c));
	assert_true(connector_defers(c, SLICE("b")));
	assert_false(connector_defers(c, SLICE("a")));
	connector_set_free(set);
}

static void
test_redaction(void **st)
{
	struct redact_off mail = { 0 }, two = { 0 };
	struct err err = { 0 };
	struct connector_set *set = compile(BASE
	    "redaction: { arguments: { off: [email] }, "
	    "results: { off: [personal, github-token] } }\n");

	(void)st;
	assert_int_equal(redact_off_add(rules, SLICE("email"), &mail, &err), 0);
	assert_int_equal(redact_off_add(rules, SLICE("personal"), &two, &err),
	    0);
	assert_int_equal(redact_off_add(rules, SLICE("github-token"), &two,
	    &err), 0);
	assert_memory_equal(set->v[0].off_arguments, &mail, sizeof(mail));
	assert_memory_equal(set->v[0].off_results, &two, sizeof(two));
	connector_set_free(set);
	set = compile(BASE "redaction: { arguments: { off: [] }, results: {} }\n");
	assert_null(set->v[0].off_arguments);
	assert_null(set->v[0].off_results);
	connector_set_free(set);
}

static void
test_asks(void **st)
{
	static const struct {
		const char *text;
		bool want[CONNECTOR_ASKS];
	} cases[] = {
		{ BASE, { false, true, false } },
		{ BASE "server_requests: {}\n", { false, true, false } },
		{ BASE "server_requests: { sampling: allow }\n",
		    { true, true, false } },
		{ BASE "server_requests: { elicitation: deny, roots: allow }\n",
		    { false, false, true } },
	};

	(void)st;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct connector_set *set = compile(cases[i].text);

		assert_memory_equal(set->v[0].asks, cases[i].want,
		    sizeof(cases[i].want));
		connector_set_free(set);
	}
}

static void
test_templates(void **st)
{
	static const struct {
		const char *t, *path;
		bool match;
	} cases[] = { { "/", "/", true }, { "/a", "/a", true },
		{ "/a", "/a/", false }, { "/a/", "/a", false },
		{ "/a/{id}", "/a/7", true }, { "/a/{id}", "/a/", false },
		{ "/a/{id}", "/a", false }, { "/a/{id}", "/a/7/", false },
		{ "/a/{id}", "/a/7/b", false }, { "/a/{id}/b", "/a/7/b", true },
		{ "/{x}/{y}", "/1/2", true }, { "/{x}/{y}", "//2", false },
		{ "/a", "/A", false }, { "/a/{id}", "/a/{id}", true },
		{ "/a", "", false } };

	(void)st;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (connector_path_match(cases[i].t, slice_str(cases[i].path))
		    != cases[i].match)
			fail_msg("%s and %s", cases[i].t, cases[i].path);
}

static void
put_file(const char *dir, const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void
remove_all(const char *dir)
{
	static const char *const names[] = { "a.yaml", "b.yaml", "c.yml",
		"d.yaml", "ca.pem", "note.txt", ".hidden.yaml", "fifo" };
	char path[256];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}

static int
compile_dir(const char *dir, struct snap_writer *w, struct err *err)
{
	conf.connectors_dir = (char *)(uintptr_t)dir;
	warnings[0] = '\0';
	memset(err, 0, sizeof(*err));
	snap_writer_init(w);
	return connector_compile(&conf, rules, w, on_warn, NULL, err);
}

static void
test_folder(void **st)
{
	char dir[] = "/tmp/pr-connectors-XXXXXX", path[64];
	struct snap_writer w;
	struct err err;

	(void)st;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(compile_dir(dir, &w, &err), 0);
	assert_non_null(strstr(warnings, "every host is refused"));
	snap_writer_free(&w);
	put_file(dir, "a.yaml", "name: root\nurl: https://h.example/\n"
	    "agents: [a]\napproved: false\n");
	put_file(dir, "b.yaml", "name: deep\nurl: https://h.example/api/v1\n"
	    "agents: [\"*\"]\nca: ca.pem\n");
	put_file(dir, "c.yml", "name: mid\nurl: https://h.example/api/\n"
	    "agents: [a]\n");
	put_file(dir, "ca.pem", "PEM\n");
	put_file(dir, "note.txt", "no: connector\n");
	put_file(dir, ".hidden.yaml", "no: connector\n");
	assert_int_equal(compile_dir(dir, &w, &err), 0);
	assert_non_null(strstr(warnings, "connector root is not approved"));
	struct connector_set *set = load(&w);

	assert_int_equal(set->n, 3);
	assert_string_equal(connector_named(set, SLICE("deep"))->ca_pem,
	    "PEM\n");
	static const char *const at[][2] = { { "/", "root" },
		{ "/api", "mid" }, { "/api/", "mid" }, { "/apix", "root" },
		{ "/api/v1", "deep" }, { "/api/v1/x", "deep" },
		{ "/api/v10", "mid" } };

	for (size_t i = 0; i < ARRAY_LEN(at); i++)
		assert_string_equal(connector_at(set, "h.example", 443,
		    slice_str(at[i][0]))->name, at[i][1]);
	assert_non_null(connector_at(set, "h.example", 443,
	    slice_make(NULL, 0)));
	assert_null(connector_at(set, "h.example", 80, SLICE("/")));
	assert_null(connector_at(set, "x.h.example", 443, SLICE("/")));
	assert_true(connector_allows_agent(connector_named(set,
	    SLICE("deep")), "anyone"));
	connector_set_free(set);
	assert_null(strstr(warnings, "secrets"));
	put_file(dir, "d.yaml", BASE "redaction: { results: { off: [email, "
	    "github-token, jwt] } }\n");
	assert_int_equal(compile_dir(dir, &w, &err), 0);
	assert_non_null(strstr(warnings, "connector x: secrets may pass in its "
	    "results, these rules are off: github-token, jwt"));
	snap_writer_free(&w);
	put_file(dir, "d.yaml", "name: mid\nurl: https://z.example/\n"
	    "agents: [a]\n");
	assert_int_equal(compile_dir(dir, &w, &err), -1);
	assert_non_null(strstr(err.text, "d.yaml:1:1: connector mid is "
	    "defined twice"));
	snap_writer_free(&w);
	/* One credential in two shapes: both places; in one shape it is shared. */
	static const char *const others[][2] = {
		{ "name: k, type: header, header: X-Key", "" },
		{ "name: k, type: header, header: X-Other", "k" },
		{ "name: k, type: header, header: x-key", "" },
		{ "name: k, type: header, header: X-Key, template: \"T {}\"",
		    "k" },
		{ "name: k, type: bearer", "k" },
		{ "name: k2, type: bearer", "" } };

	put_file(dir, "d.yaml", "name: d\nurl: https://d.example/\n"
	    "agents: [a]\ncredential: { name: k, type: header, "
	    "header: X-Key }\n");
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		char text[256];
		bool bad = others[i][1][0] != '\0';

		snprintf(text, sizeof(text), "name: e\nagents: [a]\n"
		    "url: https://e.example/\nowner: o\n"
		    "credential: { %s }\n", others[i][0]);
		put_file(dir, "e.yaml", text);
		assert_int_equal(compile_dir(dir, &w, &err), bad ? -1 : 0);
		assert_true(!bad || (strstr(err.text, "/e.yaml:5:13: "
		    "credential k has another") != NULL &&
		    strstr(err.text, "/d.yaml:4:13: use one") != NULL));
		snap_writer_free(&w);
	}
	snprintf(path, sizeof(path), "%s/e.yaml", dir);
	unlink(path);
	/* A FIFO for a CA is told, not waited for. */
	snprintf(path, sizeof(path), "%s/fifo", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	put_file(dir, "d.yaml", BASE "ca: fifo\n");
	assert_int_equal(compile_dir(dir, &w, &err), -1);
	assert_non_null(strstr(err.text, "d.yaml:4:5: "));
	snap_writer_free(&w);
	remove_all(dir);
	assert_int_equal(compile_dir(dir, &w, &err), -1);
	assert_non_null(strstr(err.text, "names the folder"));
	snap_writer_free(&w);
}

/* A section cut at every byte, and every byte of it changed, is refused or
 * read within its bounds (ASan sees). */
static void
test_stdio(void **st)
{
	struct connector_set *set = compile(STDIO "digest: " DIGEST "\n"
	    "directory: /srv/d\nread: [/srv/a, /srv/b]\nallow: [/srv/c]\n"
	    "env: [LANG_OF_NOTES]\nnetwork: host\n");
	const struct connector_stdio *s = set->v[0].stdio;

	(void)st;
	assert_int_equal(set->v[0].kind, CONNECTOR_MCP);
	assert_int_equal(set->v[0].nhosts, 0);
	assert_non_null(s);
	assert_string_equal(s->digest, DIGEST);
	assert_string_equal(s->directory, "/srv/d");
	assert_int_equal(s->command.n, 2);
	assert_string_equal(s->command.v[1], "a.js");
	assert_int_equal(s->read.n, 2);
	assert_string_equal(s->allow.v[0], "/srv/c");
	assert_string_equal(s->env.v[0], "LANG_OF_NOTES");
	assert_true(s->network);
	assert_null(connector_at(set, "x", 80, slice_make(NULL, 0)));
	connector_set_free(set);
	set = compile(STDIO "digest: " DIGEST "\n");
	assert_false(set->v[0].stdio->network);
	assert_string_equal(set->v[0].stdio->directory, "");
	connector_set_free(set);
}

static void
test_builtin(void **st)
{
	struct connector_set *set = compile("name: x\nkind: builtin\n"
	    "agents: [a]\ntools: { shell: { class: moderate } }\n"
	    "context: { device_class: [own, strange], environment: [prod] }\n"
	    "raise:\n  - { device_class: strange, to: moderate }\n"
	    "  - { environment: prod, device_class: strange, tool: shell,"
	    " to: dangerous }\n");
	const struct connector_builtin *v = set->v[0].builtin;
	struct slice shell = SLICE("shell"), own = SLICE("own"),
	    strange = SLICE("strange"), prod = SLICE("prod"), none = { 0 };

	(void)st;
	assert_int_equal(set->v[0].kind, CONNECTOR_BUILTIN);
	assert_int_equal(set->v[0].nhosts, 0);
	assert_string_equal(set->v[0].via.host, "");
	assert_null(connector_context_bad(v, own, prod));
	assert_string_equal(connector_context_bad(v, none, prod),
	    "device_class");
	assert_string_equal(connector_context_bad(v, prod, prod),
	    "device_class");
	assert_string_equal(connector_context_bad(v, own, none),
	    "environment");
	assert_int_equal(connector_raised(v, shell, own, prod,
	    CONF_MODERATE), CONF_MODERATE);
	assert_int_equal(connector_raised(v, shell, strange, prod,
	    CONF_READ_ONLY), CONF_DANGEROUS);
	assert_int_equal(connector_raised(v, own, strange, prod,
	    CONF_READ_ONLY), CONF_MODERATE);
	assert_int_equal(connector_raised(v, own, strange, prod,
	    CONF_DANGEROUS), CONF_DANGEROUS);
	assert_int_equal(connector_raised(v, shell, strange, prod,
	    CONF_UNKNOWN), CONF_UNKNOWN);
	connector_set_free(set);
	set = compile("name: x\nkind: builtin\nagents: [a]\n");
	assert_null(connector_context_bad(set->v[0].builtin, none, none));
	assert_string_equal(connector_context_bad(set->v[0].builtin, none,
	    prod), "environment");
	connector_set_free(set);
}

static void
test_malformed_section(void **st)
{
	struct err err = { 0 };
	struct snap_writer w;

	(void)st;
	snap_writer_init(&w);
	assert_int_equal(connector_parse(&conf, rules, "c.yaml", SLICE(BASE
	    "redaction: { results: { off: [email] } }\npin: [10.0.0.1]\ntools: { t: {} }\noperations: [ { name: o, "
	    "method: GET, path: /o } ]\n"), &w, &err), 0);
	int fd = snap_seal(&w, &err);
	struct snap *s = snap_open(fd, &err);
	struct slice good = snap_section(s, "connectors");

	assert_true(good.n > 100);
	for (size_t i = 0; i < 2 * good.n; i++) {
		struct snap_writer bad;
		size_t n = i < good.n ? i : good.n;
		char *bytes = base_strndup(good.p, good.n);

		if (i >= good.n)
			bytes[i - good.n] = (char)0xff;
		snap_writer_init(&bad);
		snap_add(&bad, "connectors", slice_make(bytes, n));
		struct connector_set *set = load(&bad);

		if (i < good.n)
			assert_null(set);
		connector_set_free(set);
		free(bytes);
	}
	snap_close(s);
	snap_writer_free(&w);
	snap_writer_init(&w);
	assert_null(load(&w));		/* no section at all */
	connector_set_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_operations),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_http2),
		cmocka_unit_test(test_websocket),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_redaction),
		cmocka_unit_test(test_asks),
		cmocka_unit_test(test_templates),
		cmocka_unit_test(test_folder),
		cmocka_unit_test(test_stdio),
		cmocka_unit_test(test_builtin),
		cmocka_unit_test(test_malformed_section),
	};

	return cmocka_run_group_tests(tests, load_rules, free_rules);
}
