/*
 * rule_tests - the block `tests` of a rule: event sequences with times, and
 * how many findings of this rule they must lead to.
 *
 *   tests:
 *     - name: the fifth denial in ten minutes
 *       start: "2026-01-07T10:00:00Z"	# optional
 *       hours: { zone: Europe/Berlin, days: mon-fri, from: "08:00", to: "18:00" }
 *       learning: 7d				# optional, default 7d
 *       events:
 *         - { at: 0s, type: call.decision, user: ada, repeat: 5, every: 1m }
 *       findings: 1
 *       advice: hold		# optional: what the last call was told
 *
 * `at` counts from start (or is a time of its own); all other keys are fields
 * of the event. Ids and times are filled in unless given.
 */
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "jsonw.h"
#include "rule_yaml.h"

#define TEST_EVENTS_MAX 10000
#define TEST_EVENT_BYTES 65536
#define TEST_DEPTH 16
#define TEST_START "2026-01-07T10:00:00Z"	/* a Wednesday */

static int
refuse(struct rule_build *b, const struct yaml_node *n, const char *what)
{
	yaml_err(b->doc, n, b->err, "%s", what);
	return -1;
}

static void
scalar_json(const struct yaml_node *n, struct jsonw *w, const char *key)
{
	struct slice t = slice_make(n->text, n->len);
	double v;

	if (!n->quoted && (t.n == 0 || slice_is(t, "null")))
		jsonw_str(w, key, NULL);
	else if (!n->quoted && (slice_is(t, "true") || slice_is(t, "false")))
		jsonw_bool(w, key, slice_is(t, "true"));
	else if (!n->quoted && rule_parse_number(t, &v) && t.p[0] != '+' &&
	    t.p[0] != '.' && t.p[t.n - 1] != '.' &&
	    !(t.n > 1 && t.p[0] == '0' && t.p[1] != '.'))
		jsonw_raw(w, key, t);
	else
		jsonw_slice(w, key, t);
}

/* Depth is limited, so is this recursion. */
static int
node_json(struct rule_build *b, const struct yaml_node *n, struct jsonw *w,
    const char *key, unsigned depth)
{
	if (depth > TEST_DEPTH)
		return refuse(b, n, "an event of a test nests 16 deep at most");
	if (n->type == YAML_SCALAR) {
		scalar_json(n, w, key);
		return 0;
	}
	if (n->type == YAML_MAP)
		jsonw_object(w, key);
	else
		jsonw_array(w, key);
	for (size_t i = 0; i < n->n; i++) {
		if (node_json(b, n->items[i], w, n->type == YAML_MAP ?
		    n->keys[i]->text : NULL, depth + 1) != 0)
			return -1;
	}
	if (n->type == YAML_MAP)
		jsonw_object_end(w);
	else
		jsonw_array_end(w);
	return 0;
}

static bool
is_control(const char *key)
{
	return strcmp(key, "at") == 0 || strcmp(key, "repeat") == 0 ||
	    strcmp(key, "every") == 0;
}

/* One event as JSON, appended to the test. */
static int
event_add(struct rule_build *b, const struct yaml_node *n, struct rule_test *t,
    int64_t at_ms)
{
	char id[UUID_TEXT_LEN], time[CLOCK_RFC3339_LEN];
	struct rule_test_event *e;
	struct jsonw w;
	struct buf out;
	int r = 0;

	buf_init(&out, TEST_EVENT_BYTES);
	jsonw_init(&w, &out);
	jsonw_object(&w, NULL);
	snprintf(id, sizeof(id), "00000000-0000-7000-8000-%012zx",
	    t->nevents + 1);
	clock_format(at_ms, time);
	if (yaml_get(n, "id") == NULL)
		jsonw_str(&w, "id", id);
	jsonw_str(&w, "time", time);
	for (size_t i = 0; i < n->n && r == 0; i++) {
		if (!is_control(n->keys[i]->text))
			r = node_json(b, n->items[i], &w, n->keys[i]->text, 1);
	}
	jsonw_object_end(&w);
	if (r == 0 && out.full)
		r = refuse(b, n, "an event of a test is 64 KiB at most");
	if (r == 0) {
		e = RULE_PUSH(t->events, t->nevents);
		e->at_ms = at_ms;
		e->json = slice_dup(buf_slice(&out));
	}
	buf_free(&out);
	return r;
}

static int
event_time(struct rule_build *b, const struct yaml_node *n, int64_t start,
    int64_t *at_r)
{
	struct slice s;

	*at_r = start;
	if (n == NULL)
		return 0;
	s = slice_make(n->text, n->type == YAML_SCALAR ? n->len : 0);
	if (rule_parse_time(s, at_r))
		return 0;
	if (!clock_parse_duration(s, at_r))
		return refuse(b, n, "at is a duration since start (90s, 10m) "
		    "or a time like " TEST_START);
	*at_r += start;
	return 0;
}

static int
event_build(struct rule_build *b, const struct yaml_node *n,
    struct rule_test *t)
{
	const struct yaml_node *type;
	int64_t at, repeat = 1, every = 1000;
	enum event_type et;

	if (n->type != YAML_MAP)
		return refuse(b, n, "an event is a map");
	type = yaml_get(n, "type");
	if (type == NULL || type->type != YAML_SCALAR ||
	    !event_type_parse(slice_make(type->text, type->len), &et))
		return refuse(b, type == NULL ? n : type,
		    "an event needs a type (call.decision, auth.failed, ...)");
	if (event_time(b, yaml_get(n, "at"), t->start_ms, &at) != 0 ||
	    yaml_get_int(b->doc, n, "repeat", 1, TEST_EVENTS_MAX, &repeat,
	    b->err) != 0 ||
	    yaml_get_duration(b->doc, n, "every", &every, b->err) != 0)
		return -1;
	if (t->nevents + (size_t)repeat > TEST_EVENTS_MAX)
		return refuse(b, n, "a test has 10,000 events at most");
	for (int64_t i = 0; i < repeat; i++) {
		if (event_add(b, n, t, at + i * every) != 0)
			return -1;
	}
	return 0;
}

static bool
parse_day(struct slice s, unsigned *day_r)
{
	static const char *const names[] = { "mon", "tue", "wed", "thu", "fri",
	    "sat", "sun" };

	for (unsigned i = 0; i < 7; i++) {
		if (slice_is(s, names[i])) {
			*day_r = i;
			return true;
		}
	}
	return false;
}

/* "mon-fri" or "mon,wed,sat-sun" */
static bool
parse_days(struct slice s, uint8_t *days_r)
{
	*days_r = 0;
	while (s.p != NULL) {
		struct slice part = slice_cut(&s, ','), to = part, from;
		unsigned a, z;

		from = slice_cut(&to, '-');
		if (!parse_day(from, &a) ||
		    !parse_day(to.p == NULL ? from : to, &z))
			return false;
		for (unsigned d = a;; d = (d + 1) % 7) {
			*days_r |= (uint8_t)(1u << d);
			if (d == z)
				break;
		}
	}
	return true;
}

static bool
parse_minute(struct slice s, int *min_r)
{
	uint64_t h, m;

	if (s.n != 5 || s.p[2] != ':' || !slice_to_u64(slice_sub(s, 0, 2),
	    &h) || !slice_to_u64(slice_sub(s, 3, 2), &m) || h > 24 || m > 59 ||
	    h * 60 + m > 1440)
		return false;
	*min_r = (int)(h * 60 + m);
	return true;
}

static int
hours_build(struct rule_build *b, const struct yaml_node *n,
    struct rule_test *t)
{
	static const char *const keys[] = { "zone", "days", "from", "to" };
	struct slice v[ARRAY_LEN(keys)];

	if (n == NULL)
		return 0;
	if (n->type != YAML_MAP)
		return refuse(b, n, "hours must be a map");
	if (yaml_check_keys(b->doc, n, keys, ARRAY_LEN(keys), b->err) != 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const struct yaml_node *k = yaml_get(n, keys[i]);

		if (k == NULL || k->type != YAML_SCALAR)
			return refuse(b, n, "hours needs zone, days, from "
			    "and to");
		v[i] = slice_make(k->text, k->len);
	}
	if (!parse_days(v[1], &t->days) || !parse_minute(v[2], &t->from_min) ||
	    !parse_minute(v[3], &t->to_min))
		return refuse(b, n, "hours are written { zone: Europe/Berlin, "
		    "days: mon-fri, from: \"08:00\", to: \"18:00\" }");
	t->zone = slice_dup(v[0]);
	return 0;
}

static int
test_build(struct rule_build *b, const struct yaml_node *n,
    const struct rule *r, struct rule_test *t)
{
	static const char *const keys[] = { "name", "start", "hours",
	    "learning", "events", "findings", "advice" };
	const struct yaml_node *events, *start;
	int64_t findings = -1;

	t->rule = base_strdup(r->id);
	t->file = base_strdup(b->doc->file);
	t->line = n->line;
	t->col = n->col;
	t->advice = -1;
	t->learning_ms = 7LL * 86400 * 1000;
	if (n->type != YAML_MAP)
		return refuse(b, n, "a test is a map");
	start = yaml_get(n, "start");
	if (!rule_parse_time(start == NULL || start->type != YAML_SCALAR ?
	    slice_str(start == NULL ? TEST_START : "") :
	    slice_make(start->text, start->len), &t->start_ms))
		return refuse(b, start, "start is a time like " TEST_START);
	if (yaml_check_keys(b->doc, n, keys, ARRAY_LEN(keys), b->err) != 0 ||
	    yaml_get_str(b->doc, n, "name", &t->name, b->err) != 0 ||
	    hours_build(b, yaml_get(n, "hours"), t) != 0 ||
	    yaml_get_duration(b->doc, n, "learning", &t->learning_ms,
	    b->err) != 0 ||
	    yaml_get_int(b->doc, n, "findings", 0, TEST_EVENTS_MAX, &findings,
	    b->err) != 0 ||
	    yaml_get_enum(b->doc, n, "advice", rule_advice_names,
	    ARRAY_LEN(rule_advice_names), &t->advice, b->err) != 0)
		return -1;
	events = yaml_get(n, "events");
	if (t->name == NULL || findings < 0 || events == NULL ||
	    events->type != YAML_SEQ || events->n == 0)
		return refuse(b, n, "a test needs name, events (a list) and "
		    "findings (a number)");
	t->findings = (int)findings;
	for (size_t i = 0; i < events->n; i++) {
		if (event_build(b, events->items[i], t) != 0)
			return -1;
	}
	return 0;
}

int
rule_build_tests(struct rule_build *b, const struct yaml_node *n,
    const struct rule *r)
{
	if (n->type != YAML_SEQ)
		return refuse(b, n, "tests is a list");
	for (size_t i = 0; i < n->n; i++) {
		struct rule_test *t = RULE_PUSH(b->set->tests, b->set->ntests);

		if (test_build(b, n->items[i], r, t) != 0)
			return -1;
	}
	return 0;
}
