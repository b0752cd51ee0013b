/* test_detect - rules with a memory: windows, first-seen, sessions, hours,
 * reload, replay; and every shipped rule's own tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "clock.h"
#include "detect.h"
#include "detect_hours.h"
#include "detect_lru.h"
#include "map.h"
#include "rule.h"

#define RULES "rules/detection"
#define DENIED "title: D\nname: denied\nid: 11111111-1111-4111-8111-1111111" \
	"11111\nlogsource: { product: portreeve, category: call }\n" \
	"detection: { a: { verdict: deny }, condition: a }\n"
#define COUNT(kind, extra, cond) "---\ntitle: C\nid: 22222222-2222-4222-" \
	"8222-222222222222\nlevel: high\ntags: [owasp.asi02]\n" extra \
	"correlation:\n  type: " kind "\n  rules: [denied]\n" \
	"  group-by: [user]\n  timespan: 1m\n  condition: " cond "\n"
#define T0 1767780000000LL	/* 2026-01-07T10:00:00Z */
#define DAY 86400000LL

struct seen {
	struct detect *d;
	int n;
	uint64_t count;
	size_t nevents;
	char json[4096];
	unsigned id;
};

static void
on_finding(void *ctx, const struct detect_finding *f)
{
	struct seen *s = ctx;
	struct jsonw w;
	struct buf b;

	s->n++;
	s->count = f->count;
	s->nevents = f->nevents;
	buf_init(&b, sizeof(s->json) - 1);
	jsonw_init(&w, &b);
	jsonw_object(&w, NULL);
	detect_finding_write(f, &w);
	jsonw_object_end(&w);
	assert_false(b.full);
	memcpy(s->json, buf_data(&b), b.len);
	s->json[b.len] = '\0';
	buf_free(&b);
}

static struct rule_set *
rules(const char *yaml)
{
	struct err err = { 0 };
	struct rule_set *set = rule_build_text("t.yml", slice_str(yaml), 0,
	    NULL, NULL, &err), *again;
	struct buf b;

	if (set == NULL)
		fail_msg("%s\n%s", err.text, yaml);
	buf_init(&b, 1 << 20);
	rule_pack(&b, set);
	rule_set_free(set);
	again = rule_load(buf_slice(&b));
	assert_non_null(again);
	buf_free(&b);
	return again;
}

static void
start(struct seen *s, const char *yaml)
{
	memset(s, 0, sizeof(*s));
	s->d = detect_new(on_finding, s);
	detect_load(s->d, rules(yaml), 0);
	detect_set_learning(s->d, 7 * DAY, T0);
}

/* id 0: the next one. */
static const char *
event(struct seen *s, unsigned id, int64_t at, const char *type,
    const char *fields)
{
	static char json[4096];
	char time[CLOCK_RFC3339_LEN];

	clock_format(T0 + at, time);
	snprintf(json, sizeof(json), "{\"id\":\"00000000-0000-7000-8000-%012u"
	    "\",\"time\":\"%s\",\"type\":\"%s\",%s}", id != 0 ? id :
	    1000 + ++s->id, time, type, fields);
	return json;
}

static void
feed(struct seen *s, unsigned id, int64_t at, const char *type,
    const char *fields)
{
	assert_int_equal(detect_feed(s->d, slice_str(event(s, id, at, type,
	    fields))), 0);
}

static enum rule_advice
ask(struct seen *s, unsigned id, int64_t at, const char *fields)
{
	struct detect_advice a;

	assert_int_equal(detect_advise(s->d, slice_str(event(s, id, at,
	    "call.decision", fields)), &a), 0);
	return a.action;
}

#define DENY "\"user\":\"ada\",\"verdict\":\"deny\""

static void
deny(struct seen *s, int64_t at)
{
	feed(s, 0, at, "call.decision", DENY);
}

/* --- windows ------------------------------------------------------------ */

static void
test_window(void **state)
{
	struct seen s;

	(void)state;
	start(&s, DENIED COUNT("event_count", "", "{ gte: 3 }"));
	deny(&s, 0);
	deny(&s, 30000);
	deny(&s, 60000);		/* the first is a minute old: out */
	assert_int_equal(s.n, 0);
	deny(&s, 60001);
	assert_int_equal(s.n, 1);
	assert_int_equal(s.count, 3);
	assert_int_equal(s.nevents, 3);
	assert_non_null(strstr(s.json, "\"group\":{\"user\":\"ada\"}"));
	assert_non_null(strstr(s.json, "\"severity\":\"high\",\"finding\":{"
	    "\"rule\":\"22222222-2222-4222-8222-222222222222\",\"title\":\"C\""));
	assert_non_null(strstr(s.json, "\"tags\":[\"owasp.asi02\"]"));
	assert_non_null(strstr(s.json, "000000001004\"]"));
	for (int i = 0; i < 50; i++)
		deny(&s, 60002 + i);
	assert_int_equal(s.n, 1);
	deny(&s, 60051 + 60000);	/* quiet is over, but one event only */
	assert_int_equal(s.n, 1);
	deny(&s, 60051 + 60001);
	deny(&s, 60051 + 60002);
	assert_int_equal(s.n, 2);
	detect_free(s.d);
}

static void
test_window_out_of_order(void **state)
{
	struct seen s;

	(void)state;
	start(&s, DENIED COUNT("event_count", "", "{ gte: 3 }"));
	deny(&s, 100000);
	deny(&s, 10000);		/* too late to count with it */
	deny(&s, 90000);
	assert_int_equal(s.n, 0);
	deny(&s, 50000);
	assert_int_equal(s.n, 1);
	detect_free(s.d);
}

static void
test_window_exactly(void **state)
{
	struct seen s;

	(void)state;
	start(&s, DENIED COUNT("event_count", "", "{ eq: 2 }"));
	deny(&s, 0);
	assert_int_equal(s.n, 0);
	deny(&s, 1);
	assert_int_equal(s.n, 1);
	for (int i = 0; i < 20; i++)
		deny(&s, 4000 * i);	/* never exactly two again */
	assert_int_equal(s.n, 1);
	detect_free(s.d);
}

static void
test_value_count(void **state)
{
	struct seen s;
	char f[128];

	(void)state;
	start(&s, DENIED COUNT("value_count", "", "{ gte: 3, field: tool }"));
	for (int i = 0; i < 40; i++) {
		snprintf(f, sizeof(f), DENY ",\"tool\":\"t%d\"", i % 2);
		feed(&s, 0, i, "call.decision", f);
	}
	deny(&s, 41);			/* no tool: no value */
	assert_int_equal(s.n, 0);
	feed(&s, 0, 50, "call.decision", DENY ",\"tool\":\"t2\"");
	assert_int_equal(s.n, 1);
	assert_int_equal(s.count, 3);
	detect_free(s.d);
}

/* A correlation may answer inside the call, for as long as it holds. */
static void
test_window_inline(void **state)
{
	struct seen s;

	(void)state;
	start(&s, DENIED COUNT("event_count", "portreeve: { advice: deny }\n",
	    "{ gte: 3 }"));
	assert_int_equal(ask(&s, 1, 0, DENY), RULE_NONE);
	feed(&s, 1, 0, "call.decision", DENY);	/* the same: counts once */
	assert_int_equal(ask(&s, 2, 1, DENY), RULE_NONE);
	feed(&s, 2, 1, "call.decision", DENY);
	assert_int_equal(s.n, 0);
	assert_int_equal(ask(&s, 3, 2, DENY), RULE_DENY);
	assert_int_equal(ask(&s, 3, 2, DENY), RULE_DENY);
	feed(&s, 3, 2, "call.decision", DENY);
	assert_int_equal(ask(&s, 4, 3, DENY), RULE_DENY);
	assert_int_equal(ask(&s, 5, 4, "\"user\":\"ada\""), RULE_NONE);
	assert_int_equal(s.n, 1);
	assert_int_equal(ask(&s, 6, 70000, DENY), RULE_NONE);
	detect_free(s.d);
}

static void
test_many_groups(void **state)
{
	struct seen s;
	char f[128];

	(void)state;
	start(&s, DENIED COUNT("event_count", "", "{ gte: 2 }"));
	for (int i = 0; i < 30000; i++) {
		snprintf(f, sizeof(f), "\"user\":\"u%d\",\"verdict\":\"deny\"",
		    i);
		feed(&s, 0, i, "call.decision", f);
	}
	assert_int_equal(s.n, 0);
	assert_int_equal(detect_get_stats(s.d).evicted, 10000);
	feed(&s, 0, 30000, "call.decision",
	    "\"user\":\"u29999\",\"verdict\":\"deny\"");
	assert_int_equal(s.n, 1);
	detect_free(s.d);
}

/* --- one event ---------------------------------------------------------- */

#define FIRST "title: F\nid: 33333333-3333-4333-8333-333333333333\n" \
	"logsource: { product: portreeve, category: call }\n" \
	"detection: { a: { agent|exists: true }, condition: a }\n" \
	"portreeve: { first_seen: { key: [agent, connector] }%s }\n"

static void
first_rules(char *out, size_t n, const char *more)
{
	snprintf(out, n, FIRST, more);
}

#define USE(c) "\"agent\":\"bot\",\"connector\":\"" c "\""

static void
test_first_seen(void **state)
{
	char y[1024];
	struct seen s;

	(void)state;
	first_rules(y, sizeof(y), ", advice: hold");
	start(&s, y);
	assert_int_equal(ask(&s, 1, DAY, USE("a")), RULE_NONE);
	feed(&s, 1, DAY, "call.decision", USE("a"));
	assert_int_equal(ask(&s, 2, 7 * DAY - 1, USE("b")), RULE_NONE);
	assert_int_equal(ask(&s, 3, 7 * DAY, USE("b")), RULE_NONE);
	assert_int_equal(s.n, 0);
	assert_int_equal(ask(&s, 4, 7 * DAY, USE("c")), RULE_HOLD);
	feed(&s, 4, 7 * DAY, "call.decision", USE("c"));
	assert_int_equal(ask(&s, 5, 7 * DAY, USE("c")), RULE_NONE);
	assert_int_equal(s.n, 1);
	assert_non_null(strstr(s.json, "\"group\":{\"agent\":\"bot\","
	    "\"connector\":\"c\"}"));
	/* a field of the key is missing: nothing to be first */
	assert_int_equal(ask(&s, 6, 8 * DAY, "\"agent\":\"bot\""), RULE_NONE);
	detect_free(s.d);
}

/* A first-seen rule that comes by reload learns from then on. */
static void
test_first_seen_reload(void **state)
{
	char y[1024], both[2048];
	struct seen s;

	(void)state;
	first_rules(y, sizeof(y), "");
	start(&s, DENIED);
	feed(&s, 0, 8 * DAY, "call.decision", USE("a"));
	snprintf(both, sizeof(both), "%s---\n%s", DENIED, y);
	detect_load(s.d, rules(both), T0 + 8 * DAY);
	feed(&s, 0, 9 * DAY, "call.decision", USE("a"));
	assert_int_equal(s.n, 0);
	detect_load(s.d, rules(both), T0 + 10 * DAY);	/* unchanged */
	feed(&s, 0, 15 * DAY, "call.decision", USE("a"));
	assert_int_equal(s.n, 0);
	feed(&s, 0, 15 * DAY, "call.decision", USE("b"));
	assert_int_equal(s.n, 1);
	detect_free(s.d);
}

static void
test_flags_pattern(void **state)
{
	struct seen s;
	static const char *const y = "title: A\nid: 44444444-4444-4444-8444-"
	    "444444444444\nlogsource: { product: portreeve, category: call }\n"
	    "detection: { a: { class: dangerous }, condition: a }\n"
	    "portreeve: { advice: deny, after_flag: { within: 10m, flags: "
	    "['injection.*'] } }\n";
#define RISKY(sess) "\"session\":\"" sess "\",\"class\":\"dangerous\"," \
	"\"call\":\"00000000-0000-7000-8000-00000000000a\""
#define RESULT(sess, f) "\"session\":\"" sess "\",\"call\":\"00000000-0000-" \
	"7000-8000-00000000000b\",\"flags\":[\"" f "\"]"

	(void)state;
	start(&s, y);
	assert_int_equal(detect_context(s.d, slice_str(event(&s, 90, 0,
	    "call.result", RESULT("s1", "drift.schema")))), 0);
	assert_int_equal(ask(&s, 1, 1000, RISKY("s1")), RULE_NONE);
	assert_int_equal(detect_context(s.d, slice_str(event(&s, 91, 2000,
	    "call.result", RESULT("s1", "injection.role")))), 0);
	assert_int_equal(ask(&s, 2, 3000, RISKY("s1")), RULE_DENY);
	assert_int_equal(ask(&s, 3, 3000, RISKY("s2")), RULE_NONE);
	/* before the flag, and after its time */
	assert_int_equal(ask(&s, 4, 1000, RISKY("s1")), RULE_NONE);
	assert_int_equal(ask(&s, 5, 602001, RISKY("s1")), RULE_NONE);
	assert_int_equal(s.n, 1);
	/* names the result and the call */
	assert_int_equal(s.nevents, 2);
	assert_non_null(strstr(s.json, "\"events\":[\"00000000-0000-7000-8000-"
	    "000000000091\",\"00000000-0000-7000-8000-000000000002\"]"));
	assert_non_null(strstr(s.json, "\"advice\":\"deny\""));
	detect_free(s.d);
}

#define ASKING(detection) "title: A\nid: 33333333-3333-4333-8333-3333333" \
	"33333\nlogsource: { product: portreeve, category: call }\n" \
	"detection: { " detection " }\nportreeve: { advice: hold }\n"
#define BIT(k) (1u << CONF_##k)
#define ALL (BIT(UNKNOWN) | BIT(DANGEROUS) | BIT(MODERATE) | BIT(READ_ONLY))

static void
test_asked(void **state)
{
	static const struct {
		const char *yaml;
		unsigned asked;
	} t[] = {
		{ DENIED, 0 },		/* no advice: nobody asks */
		{ ASKING("a: { class: [dangerous, Moderate] }, condition: a"),
		    BIT(DANGEROUS) | BIT(MODERATE) },
		{ ASKING("a: { class: read-only }, condition: not a"),
		    ALL & ~BIT(READ_ONLY) },
		{ ASKING("a: { class|startswith: mod, user: x }, condition: a"),
		    BIT(MODERATE) },
		{ ASKING("a: { class: moderate }, b: { tool: x }, condition: "
		    "a or b"), ALL },
		{ ASKING("a: { class: moderate }, b: { tool: x }, condition: "
		    "a and not b"), BIT(MODERATE) },
		{ ASKING("s_a: { class: moderate }, s_b: { class: unknown }, "
		    "condition: 1 of s_*"), BIT(MODERATE) | BIT(UNKNOWN) },
		{ ASKING("s_a: { class: moderate }, s_b: { class: unknown }, "
		    "condition: all of s_*"), 0 },
		/* What is not known may be so. */
		{ ASKING("a: { arguments.path: /etc }, condition: a"), ALL },
		{ ASKING("a: { arguments.path: /etc }, condition: not a"),
		    ALL },
		{ ASKING("a: { task: null }, condition: a"), ALL },
		{ ASKING("a: { task|exists: false }, condition: a"), ALL },
		{ ASKING("a: { class|fieldref: tool }, condition: a"), ALL },
		{ ASKING("a: { id|startswith: 0 }, condition: a"), ALL },
		{ ASKING("a: [secret], condition: a"), ALL },
	};
	struct seen s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		start(&s, t[i].yaml);
		if (detect_asked(s.d) != t[i].asked)
			fail_msg("%s\nasked: %x", t[i].yaml,
			    detect_asked(s.d));
		detect_free(s.d);
	}
}

static void
test_strongest_advice(void **state)
{
	struct seen s;

	(void)state;
	start(&s, "title: A\nid: 44444444-4444-4444-8444-444444444444\n"
	    "logsource: { product: portreeve, category: call }\n"
	    "detection: { a: { tool: x* }, condition: a }\n"
	    "portreeve: { advice: hold }\n---\n"
	    "title: B\nid: 55555555-5555-4555-8555-555555555555\n"
	    "logsource: { product: portreeve, category: call }\n"
	    "detection: { a: { tool: '*y' }, condition: a }\n"
	    "portreeve: { advice: deny }\n---\n"
	    "title: S\nid: 66666666-6666-4666-8666-666666666666\nlevel: high\n"
	    "logsource: { product: portreeve, category: call }\n"
	    "detection: { a: { tool: z }, condition: a }\n"
	    "portreeve: { advice: deny, stage: shadow }\n");
	assert_int_equal(ask(&s, 1, 0, "\"tool\":\"xa\""), RULE_HOLD);
	assert_int_equal(ask(&s, 2, 0, "\"tool\":\"ay\""), RULE_DENY);
	assert_int_equal(ask(&s, 3, 0, "\"tool\":\"xy\""), RULE_DENY);
	assert_int_equal(ask(&s, 4, 0, "\"tool\":\"z\""), RULE_NONE);
	assert_int_equal(s.n, 4);
	feed(&s, 4, 0, "call.decision", "\"tool\":\"z\"");
	assert_int_equal(s.n, 5);
	assert_non_null(strstr(s.json, "\"severity\":\"informational\""));
	assert_non_null(strstr(s.json, "\"stage\":\"shadow\""));
	detect_free(s.d);
}

/* Rules over findings look at them once, not at one another's. */
static void
test_no_echo(void **state)
{
	struct seen s;

	(void)state;
	start(&s, "title: A\nid: 44444444-4444-4444-8444-444444444444\n"
	    "logsource: { product: portreeve, category: finding }\n"
	    "detection: { a: { severity: high }, condition: a }\n");
	feed(&s, 0, 0, "finding", "\"severity\":\"high\",\"finding\":{\"rule\""
	    ":\"99999999-9999-4999-8999-999999999999\"}");
	assert_int_equal(s.n, 1);
	feed(&s, 0, 0, "finding", "\"severity\":\"high\",\"finding\":{\"rule\""
	    ":\"44444444-4444-4444-8444-444444444444\"}");
	assert_int_equal(s.n, 1);
	detect_free(s.d);
}

/* --- reload and replay -------------------------------------------------- */

static void
test_reload_keeps_windows(void **state)
{
	static const char *const y = DENIED COUNT("event_count", "",
	    "{ gte: 3 }");
	struct seen s;
	char more[4096];

	(void)state;
	start(&s, y);
	deny(&s, 0);
	deny(&s, 1);
	/* The same rules, other places, one rule more. */
	snprintf(more, sizeof(more), "title: X\nid: 77777777-7777-4777-8777-"
	    "777777777777\nlogsource: { product: portreeve, category: auth }\n"
	    "detection: { a: { zone: 1 }, condition: a }\n---\n%s", y);
	detect_load(s.d, rules(more), T0);
	deny(&s, 2);
	assert_int_equal(s.n, 1);
	/* A changed threshold is another rule: it begins anew. */
	detect_load(s.d, rules(DENIED COUNT("event_count", "", "{ gte: 4 }")),
	    T0);
	deny(&s, 3);
	deny(&s, 4);
	deny(&s, 5);
	assert_int_equal(s.n, 1);
	deny(&s, 6);
	assert_int_equal(s.n, 2);
	detect_free(s.d);
}

#define FOUND "\"severity\":\"high\",\"finding\":{\"rule\":\"22222222-2222-" \
	"4222-8222-222222222222\",\"events\":[],\"group\":{\"user\":\"ada\"}}"

static void
test_replay(void **state)
{
	static const char *const y = DENIED COUNT("event_count", "",
	    "{ gte: 3 }") "---\ntitle: K\nid: 88888888-8888-4888-8888-88888888"
	    "8888\nlogsource: { product: portreeve, category: kill }\n"
	    "detection: { a: { connector: '*' }, condition: a }\n";
	struct seen s;

	(void)state;
	start(&s, y);
	detect_replay_begin(s.d);
	for (int i = 0; i < 3; i++)
		deny(&s, i);
	feed(&s, 0, 10, "finding", FOUND);	/* was told */
	feed(&s, 20, 11, "connector.killed", "\"connector\":\"crm\"");
	feed(&s, 0, 12, "finding", "\"finding\":{\"rule\":\"88888888-8888-4888"
	    "-8888-888888888888\",\"events\":[\"00000000-0000-7000-8000-"
	    "000000000020\"]}");
	feed(&s, 21, 13, "connector.killed", "\"connector\":\"hr\"");
	assert_int_equal(s.n, 0);
	detect_replay_end(s.d, T0 + 20);
	assert_int_equal(s.n, 1);		/* nobody was told of hr */
	assert_non_null(strstr(s.json, "\"connector\":\"hr\""));
	deny(&s, 14);				/* the group is still quiet */
	feed(&s, 21, 15, "connector.killed", "\"connector\":\"hr\"");
	assert_int_equal(s.n, 1);
	detect_free(s.d);

	/* What is older than an hour stays history. */
	start(&s, y);
	detect_replay_begin(s.d);
	feed(&s, 20, 0, "connector.killed", "\"connector\":\"crm\"");
	detect_replay_end(s.d, T0 + 3600 * 1000 + 1);
	assert_int_equal(s.n, 0);
	detect_free(s.d);

	/* Windows are rebuilt: two before, one after. */
	start(&s, y);
	detect_replay_begin(s.d);
	deny(&s, 0);
	deny(&s, 1);
	detect_replay_end(s.d, T0 + 1);
	deny(&s, 2);
	assert_int_equal(s.n, 1);
	detect_free(s.d);
}

static void
test_malformed(void **state)
{
	static const char *const bad[] = { "", "{", "[]", "{}",
	    "{\"id\":\"x\",\"type\":\"finding\",\"time\":\"now\"}",
	    "{\"id\":\"00000000-0000-7000-8000-000000000001\",\"type\":\"no."
	    "such\",\"time\":\"2026-01-07T10:00:00Z\"}" };
	struct detect_advice a;
	struct seen s;

	(void)state;
	start(&s, DENIED);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(detect_feed(s.d, slice_str(bad[i])), -1);
		assert_int_equal(detect_advise(s.d, slice_str(bad[i]), &a),
		    -1);
	}
	assert_int_equal(detect_get_stats(s.d).refused, 2 * ARRAY_LEN(bad));
	detect_free(s.d);
}

/* --- hours -------------------------------------------------------------- */

static bool
off(const char *time, int from, int to, uint8_t days)
{
	struct conf_hours c = { .set = true, .days = days, .from_min = from,
	    .to_min = to };
	struct detect_hours h = { 0 };
	struct err err = { 0 };
	struct buf tz;
	int64_t ms;
	bool r;

	buf_init(&tz, TZ_BYTES_MAX);
	if (tz_load("Europe/Berlin", &tz, &err) != 0 ||
	    detect_hours_set(&h, &c, buf_slice(&tz), &err) != 0)
		fail_msg("%s", err.text);
	assert_true(rule_parse_time(slice_str(time), &ms));
	r = detect_hours_off(&h, ms);
	detect_hours_free(&h);
	buf_free(&tz);
	return r;
}

static void
test_hours(void **state)
{
	static const struct { const char *time; int from, to; uint8_t days;
	    bool off; } t[] = {
		/* mon-fri 08:00-18:00; winter is UTC+1, summer UTC+2 */
		{ "2026-01-07T06:59:59Z", 480, 1080, 0x1f, true },
		{ "2026-01-07T07:00:00Z", 480, 1080, 0x1f, false },
		{ "2026-01-07T16:59:59Z", 480, 1080, 0x1f, false },
		{ "2026-01-07T17:00:00Z", 480, 1080, 0x1f, true },
		{ "2026-03-27T06:30:00Z", 480, 1080, 0x1f, true },
		{ "2026-03-30T06:30:00Z", 480, 1080, 0x1f, false },
		{ "2026-10-23T06:30:00Z", 480, 1080, 0x1f, false },
		{ "2026-10-26T06:30:00Z", 480, 1080, 0x1f, true },
		{ "2026-01-10T10:00:00Z", 480, 1080, 0x1f, true },
		{ "2026-01-11T10:00:00Z", 480, 1080, 0x1f, true },
		{ "2026-01-11T10:00:00Z", 480, 1080, 0x40, false },
		/* the hour that does not exist, and the one that is twice */
		{ "2026-03-29T00:59:59Z", 120, 180, 0x7f, true },
		{ "2026-03-29T01:00:00Z", 120, 180, 0x7f, true },
		{ "2026-03-29T01:00:00Z", 180, 240, 0x7f, false },
		{ "2026-10-25T00:30:00Z", 120, 180, 0x7f, false },
		{ "2026-10-25T01:30:00Z", 120, 180, 0x7f, false },
		{ "2026-10-25T02:00:00Z", 120, 180, 0x7f, true },
		/* a night shift belongs to the day it began: mon-fri */
		{ "2026-01-09T22:30:00Z", 1320, 360, 0x1f, false },
		{ "2026-01-10T04:59:00Z", 1320, 360, 0x1f, false },
		{ "2026-01-10T05:00:00Z", 1320, 360, 0x1f, true },
		{ "2026-01-10T22:30:00Z", 1320, 360, 0x1f, true },
		{ "2026-01-12T04:30:00Z", 1320, 360, 0x1f, true },
		{ "1969-12-31T10:00:00Z", 480, 1080, 0x1f, false },
		{ "2026-01-07T10:00:00Z", 0, 1440, 0x7f, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		if (off(t[i].time, t[i].from, t[i].to, t[i].days) != t[i].off)
			fail_msg("%s, %d to %d: expected %s", t[i].time,
			    t[i].from, t[i].to, t[i].off ? "off" : "on");
	}
}

/* --- the table ---------------------------------------------------------- */

static void
drop(void *ctx, union detect_val v)
{
	(void)v;
	(*(unsigned *)ctx)++;
}

/* Against the plainest model: an array in the order of use. */
static void
test_lru(void **state)
{
	uint64_t model[40], key, x = 88172645463325252ULL;
	struct detect_lru t;
	unsigned n = 0, dropped = 0, made = 0;
	bool fresh;

	(void)state;
	detect_lru_init(&t, 40, drop, &dropped);
	for (int step = 0; step < 20000; step++) {
		union detect_val *v;
		unsigned at;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		key = x % 90;
		for (at = 0; at < n && model[at] != key; at++)
			;
		if (x >> 60 == 0 && n > 0) {
			detect_lru_evict(&t);
			n--;
			continue;
		}
		if (x >> 63) {
			v = detect_lru_get(&t, key);
			assert_int_equal(v != NULL, at < n);
			if (v == NULL)
				continue;
		} else {
			v = detect_lru_put(&t, key, &fresh);
			made += fresh;
			assert_int_equal(fresh, at == n);
			if (fresh)
				v->i = (int64_t)key;
		}
		assert_int_equal(v->i, key);
		if (at == n && n < 40)
			n++;
		else if (at == n)
			at = n - 1;
		memmove(model + 1, model, at * sizeof(*model));
		model[0] = key;
	}
	assert_int_equal(t.n, n);
	assert_int_equal(dropped, t.evicted);
	assert_int_equal(made, dropped + n);
	detect_lru_free(&t);
	assert_int_equal(made, dropped);
}

/* --- what we ship ------------------------------------------------------- */

static void
test_shipped_rules(void **state)
{
	struct err err = { 0 };
	struct rule_set *set = rule_build_dir(RULES, NULL, NULL, &err);
	size_t ran = 0, findings = 0;

	(void)state;
	if (set == NULL || detect_run_tests(set, &ran, &err) != 0)
		fail_msg("%s", err.text);
	assert_true(set->n >= 9);
	assert_true(rule_uses_hours(set));
	for (size_t i = 0; i < set->n; i++) {
		const struct rule *r = set->rules[i];
		unsigned yes = 0, no = 0;

		for (size_t k = 0; k < set->ntests; k++) {
			if (strcmp(set->tests[k].rule, r->id) == 0)
				*(set->tests[k].findings > 0 ? &yes : &no) +=
				    1;
		}
		if (!r->quiet && (yes == 0 || no == 0))
			fail_msg("%s needs a positive and a negative test",
			    r->title);
		if (!r->quiet && r->ntags == 0)
			fail_msg("%s has no tags", r->title);
		findings += !r->quiet;
	}
	printf("%zu rules, %zu with findings, %zu tests\n", set->n, findings,
	    ran);
	assert_true(findings >= 9);
	rule_set_free(set);
}

static void
on_warn(void *ctx, const char *text)
{
	snprintf(ctx, 512, "%s", text);
}

static void
test_compile_dir(void **state)
{
	struct err err = { 0 };
	struct rule_set *set;
	char said[512] = "";
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	assert_int_equal(detect_compile_dir(RULES, true, &b, on_warn, said,
	    &err), 0);
	assert_string_equal(said, "");
	set = rule_load(buf_slice(&b));
	assert_non_null(set);
	rule_set_free(set);
	buf_reset(&b);
	assert_int_equal(detect_compile_dir(RULES, false, &b, on_warn, said,
	    &err), 0);
	assert_non_null(strstr(said, "off-hours-high-risk.yml:1: rule"));
	assert_int_equal(detect_compile_dir("no/such", true, &b, on_warn,
	    said, &err), -1);
	assert_non_null(strstr(err.text, "no/such: "));
	buf_free(&b);
}

/* A test that is wrong is named with its place. */
static void
test_failing_test(void **state)
{
	struct err err = { 0 };
	size_t ran;
	struct rule_set *set = rule_build_text("t.yml", slice_str(DENIED
	    "tests:\n  - name: wrong\n    events:\n"
	    "      - { type: call.decision, verdict: allow }\n"
	    "    findings: 1\n"), 0, NULL, NULL, &err);

	(void)state;
	assert_non_null(set);
	assert_int_equal(detect_run_tests(set, &ran, &err), -1);
	assert_string_equal(err.text, "t.yml:7:5: test \"wrong\": 0 finding(s)"
	    ", expected 1");
	rule_set_free(set);
}

static void
test_bench(void **state)
{
	struct err err = { 0 };
	struct rule_set *set = rule_build_dir(RULES, NULL, NULL, &err);
	struct seen s = { 0 };
	enum { N = 20000 };
	struct detect_advice a;
	uint64_t t0, feed_ns = 0, ask_ns = 0;

	(void)state;
	assert_non_null(set);
	s.d = detect_new(on_finding, &s);
	detect_load(s.d, set, 0);
	detect_set_learning(s.d, 7 * DAY, T0);
	for (unsigned i = 0; i < N; i++) {
		struct slice json = slice_str(event(&s, i + 1, i * 100,
		    "call.decision", "\"role\":\"proxy\",\"session\":\"s\","
		    "\"user\":\"ada\",\"agent\":\"bot\",\"connector\":\"crm\","
		    "\"tool\":\"search\",\"operation\":\"call\",\"class\":"
		    "\"moderate\",\"arguments\":{\"q\":\"some text of a usual "
		    "length\"},\"verdict\":\"allow\""));

		t0 = clock_mono_ns();
		assert_int_equal(detect_advise(s.d, json, &a), 0);
		ask_ns += clock_mono_ns() - t0;
		t0 = clock_mono_ns();
		assert_int_equal(detect_feed(s.d, json), 0);
		feed_ns += clock_mono_ns() - t0;
	}
	printf("bench detect: advice %.2f us, feed %.2f us (shipped rules)\n",
	    (double)ask_ns / N / 1000, (double)feed_ns / N / 1000);
	assert_int_equal(detect_get_stats(s.d).advised, N);
	detect_free(s.d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_window_out_of_order),
		cmocka_unit_test(test_window_exactly),
		cmocka_unit_test(test_value_count),
		cmocka_unit_test(test_window_inline),
		cmocka_unit_test(test_many_groups),
		cmocka_unit_test(test_first_seen),
		cmocka_unit_test(test_first_seen_reload),
		cmocka_unit_test(test_flags_pattern),
		cmocka_unit_test(test_asked),
		cmocka_unit_test(test_strongest_advice),
		cmocka_unit_test(test_no_echo),
		cmocka_unit_test(test_reload_keeps_windows),
		cmocka_unit_test(test_replay),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_hours),
		cmocka_unit_test(test_lru),
		cmocka_unit_test(test_shipped_rules),
		cmocka_unit_test(test_compile_dir),
		cmocka_unit_test(test_failing_test),
		cmocka_unit_test(test_bench),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
