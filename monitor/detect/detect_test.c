/*
 * detect_test - runs the `tests` blocks of rules: with the detector's own
 * code, each test in a detector of its own that knows only the tested rule
 * and what that rule counts, over the packed form the detector will load.
 */
#include <stdio.h>
#include <stdlib.h>

#include "detect_state.h"

#define SECTION_MAX (16u << 20)

struct runner {
	const struct rule_test *t;
	int found;
	enum rule_advice last;
};

static void
on_finding(void *ctx, const struct detect_finding *f)
{
	struct runner *r = ctx;

	if (strcmp(f->rule, r->t->rule) == 0)
		r->found++;
}

static const struct rule *
by_ref(const struct rule_set *set, const char *ref)
{
	for (size_t i = 0; i < set->n; i++) {
		const struct rule *r = set->rules[i];

		if (strcmp(r->id, ref) == 0 ||
		    (r->name != NULL && strcmp(r->name, ref) == 0))
			return r;
	}
	return NULL;
}

/* The tested rule and the rules it counts, packed and loaded again. */
static struct rule_set *
only(const struct rule_set *built, const char *id)
{
	const struct rule *r = rule_by_id(built, slice_str(id));
	struct rule_set sub = { 0 }, *set;
	struct buf b;

	ASSERT(r != NULL);
	sub.rules = base_calloc(r->nrefs + 1, sizeof(struct rule *));
	for (size_t i = 0; i < r->nrefs; i++) {
		sub.rules[sub.n] = (struct rule *)(uintptr_t)by_ref(built,
		    r->refs[i]);
		ASSERT(sub.rules[sub.n] != NULL);
		sub.n++;
	}
	sub.rules[sub.n++] = (struct rule *)(uintptr_t)r;
	buf_init(&b, SECTION_MAX);
	rule_pack(&b, &sub);
	set = rule_load(buf_slice(&b));
	buf_free(&b);
	free(sub.rules);
	return set;
}

static int
set_hours(struct detect *d, const struct rule_test *t, struct err *err)
{
	struct conf_hours h = { .set = true, .zone = t->zone,
	    .days = t->days, .from_min = t->from_min, .to_min = t->to_min };
	struct buf tz;
	int r;

	if (t->zone == NULL)
		return 0;
	buf_init(&tz, TZ_BYTES_MAX);
	r = tz_load(t->zone, &tz, err);
	if (r == 0)
		r = detect_set_hours(d, &h, buf_slice(&tz), err);
	buf_free(&tz);
	return r;
}

/* As in life: a call asks first and stands in the feed afterwards. */
static int
run_event(struct detect *d, struct runner *run, const char *json)
{
	struct slice s = slice_str(json);
	struct detect_advice a;

	if (slice_find(s, SLICE("\"type\":\"call.decision\"")) >= 0) {
		if (detect_advise(d, s, &a) != 0)
			return -1;
		run->last = a.action;
	}
	return detect_feed(d, s);
}

static int
verdict(const struct rule_test *t, const struct runner *run, struct err *err)
{
	if (run->found != t->findings) {
		err_at(err, t->file, t->line, t->col, "test \"%s\": %d "
		    "finding(s), expected %d", t->name, run->found,
		    t->findings);
		return -1;
	}
	if (t->advice >= 0 && (enum rule_advice)t->advice != run->last) {
		err_at(err, t->file, t->line, t->col, "test \"%s\": the last "
		    "call was told %s, expected %s", t->name,
		    rule_advice_names[run->last],
		    rule_advice_names[t->advice]);
		return -1;
	}
	return 0;
}

static int
run_test(const struct rule_set *built, const struct rule_test *t,
    struct err *err)
{
	struct runner run = { .t = t, .last = RULE_NONE };
	struct detect *d = detect_new(on_finding, &run);
	struct rule_set *set = only(built, t->rule);
	struct err why = { 0 };
	int r = -1;

	if (set == NULL) {
		err_at(err, t->file, t->line, t->col, "test \"%s\": the "
		    "packed rule does not load", t->name);
		goto out;
	}
	detect_load(d, set, 0);
	detect_set_learning(d, t->learning_ms, t->start_ms);
	if (set_hours(d, t, &why) != 0) {
		err_at(err, t->file, t->line, t->col, "test \"%s\": %s",
		    t->name, why.text);
		goto out;
	}
	for (size_t i = 0; i < t->nevents; i++) {
		if (run_event(d, &run, t->events[i].json) != 0) {
			err_at(err, t->file, t->line, t->col, "test \"%s\": "
			    "event %zu is not one: %.200s", t->name, i + 1,
			    t->events[i].json);
			goto out;
		}
	}
	r = verdict(t, &run, err);
out:
	detect_free(d);
	return r;
}

int
detect_run_tests(const struct rule_set *built, size_t *ran_r, struct err *err)
{
	for (size_t i = 0; i < built->ntests; i++) {
		if (run_test(built, &built->tests[i], err) != 0)
			return -1;
	}
	*ran_r = built->ntests;
	return 0;
}

static void
warn_hours(const struct rule_set *set, rule_warn_fn *warn, void *ctx)
{
	char text[512];

	for (size_t i = 0; i < set->n; i++) {
		const struct rule *r = set->rules[i];

		if (!r->off_hours)
			continue;
		snprintf(text, sizeof(text), "%s:%d: rule \"%.200s\" never "
		    "fires: no business_hours are configured (zone, days, "
		    "from, to)", r->file, r->line, r->title);
		warn(ctx, text);
	}
}

int
detect_compile_dir(const char *dir, bool have_hours, struct buf *section,
    rule_warn_fn *warn, void *ctx, struct err *err)
{
	struct rule_set *set = rule_build_dir(dir, NULL, NULL, err);
	size_t ran;
	int r = set == NULL ? -1 : detect_run_tests(set, &ran, err);

	if (r == 0 && !have_hours && warn != NULL)
		warn_hours(set, warn, ctx);
	rule_set_free(set);
	return r != 0 ? r : rule_compile_dir(dir, section, warn, ctx, err);
}
