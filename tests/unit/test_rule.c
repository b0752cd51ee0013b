/* test_rule - compiling errors with places, modifiers, conditions, packing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "clock.h"
#include "rule.h"

#define ID1 "11111111-1111-4111-8111-111111111111"
#define ID2 "22222222-2222-4222-8222-222222222222"
#define HEAD "title: T\nid: " ID1 "\nlogsource:\n  product: portreeve\n" \
	"  category: call\n"
#define EV_HEAD "{\"id\":\"01900000-0000-7000-8000-000000000001\"," \
	"\"time\":\"2026-01-07T10:00:00.000Z\",\"type\":\"call.decision\","

static struct rule_set *
build(const char *text, struct err *err)
{
	memset(err, 0, sizeof(*err));
	return rule_build_text("t.yml", slice_str(text), 0, NULL, NULL, err);
}

/* Through the packed form, as the detector has it. */
static struct rule_set *
load(const char *text)
{
	struct err err;
	struct rule_set *set = build(text, &err), *again;
	struct buf b;

	if (set == NULL)
		fail_msg("%s\n%s", err.text, text);
	buf_init(&b, 1 << 20);
	rule_pack(&b, set);
	again = rule_load(buf_slice(&b));
	assert_non_null(again);
	buf_free(&b);
	rule_set_free(set);
	return again;
}

static bool
matches(const char *yaml, const char *fields)
{
	struct rule_set *set = load(yaml);
	struct rule_event *ev = rule_event_new();
	char *json;
	bool m;

	assert_true(asprintf(&json, EV_HEAD "%s}", fields) > 0);
	assert_int_equal(rule_event_set(ev, set, slice_str(json)), 0);
	m = rule_match(ev, set->rules[0]);
	rule_event_free(ev);
	rule_set_free(set);
	free(json);
	return m;
}

/* --- errors ------------------------------------------------------------- */

static void
test_errors(void **state)
{
	static const struct { const char *yaml, *want; } t[] = {
		{ HEAD "detectoin: {}\n", "t.yml:6:1: " },
		{ HEAD "detectoin: {}\n", "detection" },
		{ HEAD "detection:\n  a:\n    user|contians: x\n"
		    "  condition: a\n", "t.yml:8:5: no such modifier: contians"
		    " (did you mean contains?)" },
		{ HEAD "detection:\n  a: { user: x }\n  condition: a and b\n",
		    "t.yml:8:20: condition: no such selection" },
		{ HEAD "detection:\n  chosen: { user: x }\n  condition: chosn\n",
		    "did you mean chosen?" },
		{ HEAD "detection:\n  a: { user: x }\n  condition: (a\n",
		    "a parenthesis is not closed" },
		{ HEAD "detection:\n  a: { user: x }\n  condition: a)\n",
		    "no parenthesis is open" },
		{ HEAD "detection:\n  a: { user: x }\n  condition: a or\n",
		    "a selection is missing at its end" },
		{ HEAD "detection:\n  a: { user: x }\n  condition: 2 of a*\n",
		    "only 1, any and all" },
		{ HEAD "detection:\n  a: { user: x }\n  condition: 1 of b*\n",
		    "no selection is named like this" },
		{ HEAD "detection:\n  a: { user: x }\n"
		    "  condition: a | count() > 5\n", "correlation" },
		{ HEAD "detection:\n  a: { user: x }\n  timeframe: 5m\n"
		    "  condition: a\n", "timeframe is gone" },
		{ HEAD "detection:\n  a: { user|re: 'a(b' }\n"
		    "  condition: a\n", "t.yml:7:" },
		{ HEAD "detection:\n  a: { user|re: 'a(b' }\n"
		    "  condition: a\n", "regular expression, character 4" },
		{ HEAD "detection:\n  a: { source|cidr: 10.0.0.0/33 }\n"
		    "  condition: a\n", "no network" },
		{ HEAD "detection:\n  a: { user|gte: many }\n"
		    "  condition: a\n", "need a number" },
		{ HEAD "detection:\n  a: { user|exists: maybe }\n"
		    "  condition: a\n", "exists is true or false" },
		{ HEAD "detection:\n  a: { user|expand: '%x%' }\n"
		    "  condition: a\n", "placeholders" },
		{ HEAD "detection:\n  a: { user|re|contains: x }\n"
		    "  condition: a\n", "take no text modifier" },
		{ HEAD "detection:\n  a: { user|all: x }\n  condition: a\n",
		    "all needs a list" },
		{ HEAD "detection:\n  a: { user|base64: 'a*' }\n"
		    "  condition: a\n", "no wildcards" },
		{ HEAD "detection:\n  a: { user: [x, null] }\n"
		    "  condition: a\n", "null stands alone" },
		{ HEAD "detection:\n  a: { user: { b: c } }\n"
		    "  condition: a\n", "a value must be" },
		{ HEAD "detection:\n  a: {}\n  condition: a\n", "1 to 1,000" },
		{ HEAD "detection:\n  a: { user: x }\n",
		    "condition is missing" },
		{ HEAD "level: hihg\ndetection:\n  a: { user: x }\n"
		    "  condition: a\n", "high" },
		{ HEAD "tags: [Bad Tag]\ndetection:\n  a: { user: x }\n"
		    "  condition: a\n", "namespace.name" },
		{ HEAD "portreeve: { advise: hold }\ndetection:\n"
		    "  a: { user: x }\n  condition: a\n", "advice" },
		{ HEAD "portreeve: { stage: block }\ndetection:\n"
		    "  a: { user: x }\n  condition: a\n", "needs advice" },
		{ HEAD "portreeve: { after_flag: { within: 2y } }\ndetection:\n"
		    "  a: { user: x }\n  condition: a\n", "duration" },
		{ HEAD "date: 2026-13-01\ndetection:\n  a: { user: x }\n"
		    "  condition: a\n", "YYYY-MM-DD" },
		{ "title: T\nid: 5\nlogsource: { product: portreeve, category:"
		    " call }\ndetection: { a: { b: c }, condition: a }\n",
		    "t.yml:2:5: id must be a UUID" },
		{ "title: T\nid: " ID1 "\nlogsource: { product: windows, "
		    "category: call }\ndetection: { a: { b: c }, condition: a"
		    " }\n", "must be portreeve" },
		{ "title: T\nid: " ID1 "\nlogsource: { product: portreeve, "
		    "category: outcom }\ndetection: { a: { b: c }, condition: "
		    "a }\n", "did you mean outcome?" },
		{ "title: T\nid: " ID1 "\n", "either detection or" },
		{ HEAD "detection: { a: { b: c }, condition: a }\n---\n" HEAD
		    "detection: { a: { b: c }, condition: a }\n",
		    "is taken by t.yml:1" },
		{ "title: T\nid: " ID2 "\ncorrelation:\n  type: event_count\n"
		    "  rules: [nobody]\n  group-by: [user]\n  timespan: 5m\n"
		    "  condition: { gte: 2 }\n", "no rule has the id or name" },
		{ "title: T\nid: " ID2 "\ncorrelation:\n  type: temporal\n",
		    "t.yml:4:9: this correlation type" },
		{ "title: T\nid: " ID2 "\ncorrelation:\n  type: event_count\n"
		    "  rules: [x]\n  group-by: [user]\n  timespan: 5m\n"
		    "  condition: { lt: 2 }\n", "cannot be decided" },
		{ "title: T\nid: " ID2 "\ncorrelation:\n  type: event_count\n"
		    "  rules: [x]\n  group-by: [user]\n  timespan: 5m\n"
		    "  condition: { gte: 2, gt: 1 }\n", "one of" },
		{ "title: T\nid: " ID2 "\ncorrelation:\n  type: event_count\n"
		    "  rules: [x]\n  group-by: [user]\n  timespan: 99d\n"
		    "  condition: { gte: 2 }\n", "t.yml:7:13: expected a dur" },
		{ HEAD "detection: { a: { b: c }, condition: a }\n"
		    "tests:\n  - { name: x, findings: 1 }\n",
		    "t.yml:8:5: a test needs" },
		{ HEAD "detection: { a: { b: c }, condition: a }\n"
		    "tests:\n  - { name: x, findings: 1, events: [{ type: cal"
		    " }] }\n", "an event needs a type" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct err err;
		struct rule_set *set = build(t[i].yaml, &err);

		if (set != NULL || strstr(err.text, t[i].want) == NULL)
			fail_msg("wanted \"%s\", got \"%s\" of\n%s", t[i].want,
			    set != NULL ? "(accepted)" : err.text, t[i].yaml);
		rule_set_free(set);
	}
}

/* --- modifiers ---------------------------------------------------------- */

static void
test_items(void **state)
{
	static const struct { const char *item, *fields; bool want; } t[] = {
		{ "user: ada", "\"user\":\"ADA\"", true },
		{ "user: ada", "\"user\":\"adam\"", false },
		{ "user: ada", "\"agent\":\"ada\"", false },
		{ "user|cased: Ada", "\"user\":\"ada\"", false },
		{ "user|cased: Ada", "\"user\":\"Ada\"", true },
		{ "user: [eve, ada]", "\"user\":\"ada\"", true },
		{ "user: 'a*a'", "\"user\":\"abba\"", true },
		{ "user: 'a?a'", "\"user\":\"a\\u00e4a\"", true },
		{ "user: 'a?a'", "\"user\":\"aa\"", false },
		{ "user: 'a\\*a'", "\"user\":\"a*a\"", true },
		{ "user: 'a\\*a'", "\"user\":\"aba\"", false },
		{ "user: 'a\\?'", "\"user\":\"a?\"", true },
		{ "user: 'a\\\\*'", "\"user\":\"a\\\\bc\"", true },
		{ "user: 'a\\b'", "\"user\":\"a\\\\b\"", true },
		{ "user: '*'", "\"user\":\"\"", true },
		{ "user: '*'", "\"agent\":\"x\"", false },
		{ "user: ''", "\"user\":\"\"", true },
		{ "user: ''", "\"user\":\"x\"", false },
		{ "user: null", "\"agent\":\"x\"", true },
		{ "user: null", "\"user\":null", true },
		{ "user: null", "\"user\":\"null\"", false },
		{ "user: 'null'", "\"user\":\"null\"", true },
		{ "user: 42", "\"user\":42", true },
		{ "user: 42", "\"user\":42.0", true },
		{ "user: 42", "\"user\":\"42\"", true },
		{ "user: '42'", "\"user\":42", true },
		{ "user: true", "\"user\":true", true },
		{ "user: true", "\"user\":false", false },
		{ "target|contains: EVIL", "\"target\":\"https://x/an-evil/y\"",
		    true },
		{ "target|contains: evil", "\"target\":\"https://example.org/"
		    "quite/long/path/without/it\"", false },
		{ "target|contains: evil", "\"target\":\"https://example.org/"
		    "quite/long/path/with/eVil/in\"", true },
		{ "target|contains|cased: evil", "\"target\":\"https://exampl"
		    "e.org/quite/long/path/with/eVil/in\"", false },
		{ "target|contains|cased: eVil", "\"target\":\"https://exampl"
		    "e.org/quite/long/path/with/eVil/in\"", true },
		{ "target|contains|all: [a1, b2]", "\"target\":\"xb2a1\"",
		    true },
		{ "target|contains|all: [a1, b2]", "\"target\":\"xa1\"",
		    false },
		{ "target|startswith: http", "\"target\":\"HTTPS:\"", true },
		{ "target|startswith: http", "\"target\":\"xhttp\"", false },
		{ "target|endswith: .exe", "\"target\":\"a.EXE\"", true },
		{ "target|endswith: .exe", "\"target\":\"a.exe1\"", false },
		{ "target|contains: 'a*z'", "\"target\":\"--a12z--\"", true },
		{ "target|re: '^a[0-9]+$'", "\"target\":\"a12\"", true },
		{ "target|re: 'a[0-9]+'", "\"target\":\"xa1x\"", true },
		{ "target|re: '^a[0-9]+$'", "\"target\":\"A12\"", false },
		{ "target|re|i: '^a[0-9]+$'", "\"target\":\"A12\"", true },
		{ "target|re|s: 'a.b'", "\"target\":\"a\\nb\"", true },
		{ "target|re: 'a.b'", "\"target\":\"a\\nb\"", false },
		{ "target|re|m: '^b'", "\"target\":\"a\\nb\"", true },
		{ "user|exists: true", "\"user\":null", true },
		{ "user|exists: false", "\"agent\":1", true },
		{ "user|exists: false", "\"user\":1", false },
		{ "bytes_in|gt: 5", "\"bytes_in\":5", false },
		{ "bytes_in|gte: 5", "\"bytes_in\":5", true },
		{ "bytes_in|lt: 5", "\"bytes_in\":\"4.5\"", true },
		{ "bytes_in|lte: 5", "\"bytes_in\":6", false },
		{ "bytes_in|lte: 5", "\"bytes_in\":\"few\"", false },
		{ "user|neq: ada", "\"user\":\"eve\"", true },
		{ "user|neq: [ada, eve]", "\"user\":\"eve\"", false },
		{ "source|cidr: 10.1.0.0/16", "\"source\":\"10.1.2.3\"", true },
		{ "source|cidr: 10.1.0.0/16", "\"source\":\"10.1.2.3:99\"",
		    true },
		{ "source|cidr: 10.1.0.0/16", "\"source\":\"10.2.2.3\"",
		    false },
		{ "source|cidr: 10.1.2.128/25", "\"source\":\"10.1.2.127\"",
		    false },
		{ "source|cidr: 2001:db8::/33", "\"source\":\"[2001:db8:1::1]"
		    ":80\"", true },
		{ "source|cidr: 2001:db8::/33", "\"source\":\"2001:db8:8000::"
		    "1\"", false },
		{ "source|cidr: 2001:db8::/33", "\"source\":\"1.2.3.4\"",
		    false },
		{ "target|base64: secret", "\"target\":\"c2VjcmV0\"", true },
		{ "target|base64: secret", "\"target\":\"C2VJCMV0\"", false },
		{ "target|base64offset|contains: secret",
		    "\"target\":\"eHNlY3JldHg=\"", true },
		{ "target|base64offset|contains: secret",
		    "\"target\":\"eHhzZWNyZXR4\"", true },
		{ "target|base64offset|contains: secret",
		    "\"target\":\"eHh4c2VjcmV0\"", true },
		{ "target|base64offset|contains: secret",
		    "\"target\":\"c2VrcmV0eHg=\"", false },
		{ "target|wide|base64: ab", "\"target\":\"YQBiAA==\"", true },
		{ "target|contains|windash: ' -enc'", "\"target\":\"x /enc\"",
		    true },
		{ "target|contains|windash: ' -enc'", "\"target\":\"x "
		    "\\u2013enc\"", true },
		{ "target|contains|windash: ' -enc'", "\"target\":\"x enc\"",
		    false },
		{ "target|contains|windash|all: [' -a', ' -b']",
		    "\"target\":\"x /a \\u2014b\"", true },
		{ "target|contains|windash|all: [' -a', ' -b']",
		    "\"target\":\"x /a\"", false },
		{ "user|fieldref: agent", "\"user\":\"x\",\"agent\":\"X\"",
		    true },
		{ "user|fieldref: agent", "\"user\":\"x\",\"agent\":\"y\"",
		    false },
		/* fields */
		{ "arguments.path: /etc", "\"arguments\":{\"path\":\"/etc\"}",
		    true },
		{ "arguments.path: /etc", "\"arguments\":[{\"path\":\"/x\"},"
		    "{\"path\":[\"/etc\"]}]", true },
		{ "arguments.a.b: x", "\"arguments\":{\"a.b\":\"x\"}", true },
		{ "arguments.a.b: x", "\"arguments\":{\"a\":{\"b\":\"y\"},"
		    "\"a.b\":\"x\"}", true },
		{ "arguments.a.b: y", "\"arguments\":{\"a\":{\"b\":\"y\"},"
		    "\"a.b\":\"x\"}", true },
		{ "arguments.path: x", "\"arguments.path\":\"x\"", true },
		{ "flags: injection.override", "\"flags\":[\"a\",\"injection."
		    "override\"]", true },
		{ "us\\u0065r: x", "\"us\\u0065r\":\"x\"", false },
		{ "user: x", "\"us\\u0065r\":\"\\u0078\"", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		char *yaml;

		assert_true(asprintf(&yaml, HEAD "detection:\n  a:\n    %s\n"
		    "  condition: a\n", t[i].item) > 0);
		if (matches(yaml, t[i].fields) != t[i].want)
			fail_msg("%s on {%s}: expected %s", t[i].item,
			    t[i].fields, t[i].want ? "match" : "none");
		free(yaml);
	}
}

static void
test_selections(void **state)
{
	static const struct { const char *sel, *fields; bool want; } t[] = {
		{ "{ user: a, agent: b }", "\"user\":\"a\",\"agent\":\"b\"",
		    true },
		{ "{ user: a, agent: b }", "\"user\":\"a\"", false },
		{ "[{ user: a }, { agent: b }]", "\"agent\":\"b\"", true },
		{ "[{ user: a }, { agent: b }]", "\"agent\":\"c\"", false },
		{ "[needle, pin]", "\"arguments\":{\"x\":[\"a PIN here\"]}",
		    true },
		{ "[needle, pin]", "\"needle\":\"x\"", false },
		{ "needle", "\"result\":\"<needle>\"", true },
		{ "{ '|all': [one, two] }", "\"a\":\"two\",\"b\":\"one\"",
		    true },
		{ "{ '|all': [one, two] }", "\"a\":\"two\"", false },
		{ "{ '|re': 'n[e]+dle' }", "\"a\":\"neeedle\"", true },
		{ "[needle, { user: a }]", "\"user\":\"a\"", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		char *yaml;

		assert_true(asprintf(&yaml, HEAD "detection:\n  a: %s\n"
		    "  condition: a\n", t[i].sel) > 0);
		if (matches(yaml, t[i].fields) != t[i].want)
			fail_msg("%s on {%s}: expected %s", t[i].sel,
			    t[i].fields, t[i].want ? "match" : "none");
		free(yaml);
	}
}

/* Every condition over every assignment of a1, a2, b, _c, against C. */
static bool c_or_and(bool a1, bool a2, bool b, bool c) { return a1 || (a2 && (b || c)) || (!a1 && !b); }

static void
test_conditions(void **state)
{
	static const char *const text[] = {
		"a1 and a2 or b", "a1 or a2 and b", "not a1 and a2",
		"not (a1 and a2)", "1 of a*", "all of a*", "all of them",
		"1 of them", "1 of _*", "not 1 of a* and b",
		"a1 or (a2 and (b or _c)) or (not a1 and not b)",
		"any of a* and not all of a*", "((a1))", "not not a1",
		"[a1, b]", "b and not a1 and not a2 or _c and 1 of a*",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(text); i++) {
		for (unsigned v = 0; v < 16; v++) {
			bool a1 = v & 1, a2 = v & 2, b = v & 4, c = v & 8;
			const bool want[] = {
				(a1 && a2) || b, a1 || (a2 && b), !a1 && a2,
				!(a1 && a2), a1 || a2, a1 && a2,
				a1 && a2 && b, a1 || a2 || b, c,
				!(a1 || a2) && b, c_or_and(a1, a2, b, c),
				(a1 || a2) && !(a1 && a2), a1, a1, a1 || b,
				(b && !a1 && !a2) || (c && (a1 || a2)),
			};
			char *yaml, fields[128];

			assert_true(asprintf(&yaml, HEAD "detection:\n"
			    "  a1: { w: 1 }\n  a2: { x: 1 }\n  b: { y: 1 }\n"
			    "  _c: { z: 1 }\n  condition: %s\n", text[i]) > 0);
			snprintf(fields, sizeof(fields), "\"w\":%d,\"x\":%d,"
			    "\"y\":%d,\"z\":%d", a1, a2, b, c);
			if (matches(yaml, fields) != want[i])
				fail_msg("%s with %s", text[i], fields);
			free(yaml);
		}
	}
}

/* A regular expression that would run for years ends undecided: a match, and
 * its negation matches as well. */
static void
test_undecided(void **state)
{
	static const char *const cond[] = { "a", "not a", "not a and b" };
	char fields[200] = "\"user\":\"", *yaml;

	(void)state;
	for (int i = 0; i < 60; i++)
		strcat(fields, "a");
	strcat(fields, "!\"");
	for (size_t i = 0; i < ARRAY_LEN(cond); i++) {
		assert_true(asprintf(&yaml, HEAD "detection:\n"
		    "  a: { user|re: '^((a+)+)+$' }\n  b: { user: c }\n"
		    "  condition: %s\n", cond[i]) > 0);
		assert_int_equal(matches(yaml, fields), i < 2);
		free(yaml);
	}
}

static void
test_set_shape(void **state)
{
	struct rule_set *set = load(
	    HEAD "name: denied\ntags: [owasp.asi02]\n"
	    "detection: { a: { verdict: deny }, condition: a }\n---\n"
	    "title: C\nid: " ID2 "\nlevel: high\nportreeve: { advice: hold }\n"
	    "correlation:\n  type: event_count\n  rules: denied\n"
	    "  group-by: [user, agent]\n  timespan: 10m\n"
	    "  condition: { gt: 4 }\n");
	const struct rule *r = set->rules[0], *c = set->rules[1];

	(void)state;
	assert_int_equal(set->n, 2);
	assert_true(r->quiet && r->is_inline);
	assert_int_equal(r->nfeeds, 1);
	assert_int_equal(r->feeds[0], 1);
	assert_int_equal(c->at_least, 5);
	assert_int_equal(c->span_ms, 600000);
	assert_int_equal(c->advice, RULE_HOLD);
	assert_int_equal(c->stage, RULE_BLOCK);
	assert_int_equal(c->level, RULE_HIGH);
	assert_string_equal(r->tags[0], "owasp.asi02");
	assert_int_equal(set->nby_type[EVENT_CALL_DECISION], 1);
	assert_int_equal(set->nby_type[EVENT_FINDING], 0);
	assert_false(rule_uses_hours(set));
	rule_set_free(set);
}

static void
on_warn(void *ctx, const char *text)
{
	snprintf(ctx, 512, "%s", text);
}

static void
test_warns_of_late_fields(void **state)
{
	char said[512] = "";
	struct err err = { 0 };
	struct rule_set *set = rule_build_text("t.yml", slice_str(HEAD
	    "portreeve: { advice: deny }\n"
	    "detection: { a: { verdict: deny }, condition: a }\n"), 0, on_warn,
	    said, &err);

	(void)state;
	assert_non_null(set);
	assert_non_null(strstr(said, "t.yml:1: rule gives advice but looks at "
	    "verdict"));
	rule_set_free(set);
}

/* A section cut or changed anywhere is refused or harmless. */
static void
test_damaged_section(void **state)
{
	struct err err;
	struct rule_set *set = build(HEAD "detection:\n  a: { user|contains: "
	    "[x, y] }\n  b: { n|re: z, m: 1 }\n  condition: a and not b or 1 "
	    "of a*\n", &err);
	struct rule_event *ev = rule_event_new();
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	rule_pack(&b, set);
	rule_set_free(set);
	for (size_t i = 0; i < b.len; i++)
		assert_null(rule_load(slice_sub(buf_slice(&b), 0, i)));
	for (size_t i = 0; i < b.len; i++) {
		char keep = b.data[b.off + i];

		for (int k = 0; k < 3; k++) {
			b.data[b.off + i] = (char)(keep ^ (k == 0 ? 1 :
			    k == 1 ? 0x80 : 0x7f));
			set = rule_load(buf_slice(&b));
			if (set != NULL && rule_event_set(ev, set, SLICE(
			    EV_HEAD "\"user\":\"x\"}")) == 0) {
				for (size_t r = 0; r < set->n; r++) {
					if (set->rules[r]->kind == RULE_MATCH)
						rule_match(ev, set->rules[r]);
				}
			}
			rule_set_free(set);
		}
		b.data[b.off + i] = keep;
	}
	buf_free(&b);
	rule_event_free(ev);
}

static void
test_time(void **state)
{
	static const struct { const char *s; int64_t ms; } t[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "2026-01-02T03:04:05.678Z", 1767323045678 },
		{ "2026-01-02T05:04:05.678901+02:00", 1767323045678 },
		{ "2024-02-29T12:00:00.5z", 1709208000500 },
	};
	static const char *const bad[] = { "", "2026-01-02", "2026-01-02T03:04:"
	    "05", "2026-13-02T03:04:05Z", "2026-01-02T24:04:05Z",
	    "2026-01-02T03:04:05.Z", "2026-01-02T03:04:05Zx",
	    "2026-01-02 03:04:05Z" };
	int64_t ms;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		assert_true(rule_parse_time(slice_str(t[i].s), &ms));
		assert_int_equal(ms, t[i].ms);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(rule_parse_time(slice_str(bad[i]), &ms));
}

/* 100 rules of several shapes, all for the same event type, 1 KB event. */
static void
test_bench(void **state)
{
	struct buf y;
	struct rule_set *set;
	struct rule_event *ev = rule_event_new();
	char json[2048];
	uint64_t t0, t1, ns = UINT64_MAX, idx = UINT64_MAX;
	unsigned hits = 0, rounds = 1000;

	(void)state;
	buf_init(&y, 1 << 20);
	for (int i = 0; i < 100; i++) {
		buf_addf(&y, "%stitle: R%d\nid: %08d-1111-4111-8111-1111111111"
		    "11\nlogsource: { product: portreeve, category: call }\n"
		    "detection:\n", i == 0 ? "" : "---\n", i, i);
		buf_addf(&y, i % 4 == 0 ? "  a: { tool: tool%d, verdict: deny }"
		    "\n  condition: a\n" : i % 4 == 1 ? "  a: { arguments.text|"
		    "contains: [needle%d, haystack, pitchfork] }\n"
		    "  condition: a\n" : i % 4 == 2 ? "  a: { class: dangerous,"
		    " connector: 'crm%d*' }\n  b: { user|startswith: svc- }\n"
		    "  condition: a and not b\n" : "  a: { target|endswith: "
		    "[/admin%d, .exe], transport: explicit }\n  b: { arguments."
		    "path|contains: [/etc/, .ssh] }\n  condition: 1 of them\n",
		    i);
	}
	buf_add_char(&y, '\0');
	set = load(buf_data(&y));
	snprintf(json, sizeof(json), EV_HEAD "\"role\":\"proxy\",\"call\":"
	    "\"01900000-0000-7000-8000-000000000002\",\"session\":\"s-1\","
	    "\"user\":\"ada\",\"agent\":\"bot\",\"task\":\"t\",\"department\":"
	    "\"sales\",\"trust\":\"supervised\",\"source\":\"127.0.0.1:4000\","
	    "\"transport\":\"explicit\",\"connector\":\"crm\",\"tool\":"
	    "\"search\",\"method\":\"tools/call\",\"target\":\"https://crm."
	    "example/mcp\",\"operation\":\"call\",\"environment\":\"prod\","
	    "\"class\":\"dangerous\",\"arguments\":{\"path\":\"/home/ada/notes"
	    ".txt\",\"text\":\"%0*d\"},\"verdict\":\"allow\",\"reason\":"
	    "\"none\",\"policy\":\"matrix\",\"snapshot\":\"0123456789ab\"}",
	    400, 7);
	for (int batch = 0; batch < 20; batch++) {
		t0 = clock_mono_ns();
		for (unsigned i = 0; i < rounds; i++)
			assert_int_equal(rule_event_set(ev, set,
			    slice_str(json)), 0);
		t1 = clock_mono_ns();
		for (unsigned i = 0; i < rounds; i++) {
			assert_int_equal(rule_event_set(ev, set,
			    slice_str(json)), 0);
			for (size_t k = 0; k < set->n; k++)
				hits += rule_match(ev, set->rules[k]);
		}
		idx = t1 - t0 < idx ? t1 - t0 : idx;
		ns = clock_mono_ns() - t1 < ns ? clock_mono_ns() - t1 : ns;
	}
	printf("bench rule: %.2f us/event (100 rules, %zu bytes), of which "
	    "%.2f indexing\n", (double)ns / rounds / 1000, strlen(json),
	    (double)idx / rounds / 1000);
	/* R0's needle40 is no match; only "a and not b" could be, and is not. */
	assert_int_equal(hits, 0);
	buf_free(&y);
	rule_set_free(set);
	rule_event_free(ev);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_items),
		cmocka_unit_test(test_selections),
		cmocka_unit_test(test_conditions),
		cmocka_unit_test(test_undecided),
		cmocka_unit_test(test_set_shape),
		cmocka_unit_test(test_warns_of_late_fields),
		cmocka_unit_test(test_damaged_section),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_bench),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
