/*
 * detect - see detect.h. One event goes through the rules of its type:
 *
 *   rule_match()        what the event itself says (stateless)
 *   handled             this rule already took this event: same answer. Only
 *                       of rules that a question asks; a row that comes again
 *                       is known by its id (fed) before any rule sees it
 *   conditions()        off-hours, flagged session, first seen (in this order:
 *                       only the last one leaves a trace)
 *   correlations        each counts the event, once
 *   detect_raise()      unless the group is quiet
 */
#include "detect_state.h"

#include <stdlib.h>

#include "log.h"

#define KEY_MAX 65536
#define FED_SETS (DETECT_FED / DETECT_FED_WAYS)

struct detect *
detect_new(detect_finding_fn *fn, void *ctx)
{
	struct detect *d = base_calloc(1, sizeof(*d));

	d->ev = rule_event_new();
	d->fn = fn;
	d->ctx = ctx;
	detect_windows_init(&d->windows);
	detect_lru_init(&d->first_seen, DETECT_FIRST_SEEN, NULL, NULL);
	detect_lru_init(&d->handled, DETECT_HANDLED, NULL, NULL);
	detect_lru_init(&d->quiet, DETECT_WINDOWS, NULL, NULL);
	detect_sessions_init(&d->sessions);
	d->fed = base_calloc(FED_SETS, sizeof(*d->fed));
	buf_init(&d->key, KEY_MAX);
	return d;
}

void
detect_free(struct detect *d)
{
	if (d == NULL)
		return;
	for (size_t i = 0; i < d->npending; i++)
		detect_finding_free(d->pending[i]);
	free(d->pending);
	free(d->learn_from);
	free(d->counted);
	free(d->fed);
	detect_windows_free(&d->windows);
	detect_lru_free(&d->first_seen);
	detect_lru_free(&d->handled);
	detect_lru_free(&d->quiet);
	detect_lru_free(&d->sessions);
	detect_hours_free(&d->hours);
	buf_free(&d->key);
	rule_event_free(d->ev);
	rule_set_free(d->set);
	free(d);
}

/* Since when the rule of this identity learns in the old set; -1: it is new. */
static int64_t
learns_since(const struct detect *d, uint64_t identity)
{
	for (size_t i = 0; d->set != NULL && i < d->set->n; i++) {
		if (d->set->rules[i]->identity == identity)
			return d->learn_from[i];
	}
	return -1;
}

void
detect_load(struct detect *d, struct rule_set *set, int64_t now_ms)
{
	int64_t *from = base_calloc(set->n + 1, sizeof(*from));

	for (size_t i = 0; i < set->n; i++) {
		const struct rule *r = set->rules[i];
		int64_t t = r->first_seen.n == 0 ? 0 :
		    learns_since(d, r->identity);

		from[i] = t < 0 ? now_ms : t;
	}
	rule_set_free(d->set);
	free(d->learn_from);
	free(d->counted);
	d->set = set;
	d->learn_from = from;
	d->counted = base_calloc(set->n + 1, sizeof(*d->counted));
}

int
detect_set_hours(struct detect *d, const struct conf_hours *c,
    struct slice tz, struct err *err)
{
	return detect_hours_set(&d->hours, c, tz, err);
}

void
detect_set_learning(struct detect *d, int64_t learning_ms, int64_t since_ms)
{
	d->learning_ms = learning_ms;
	if (since_ms != 0)
		d->since_ms = since_ms;
}

struct detect_stats
detect_get_stats(const struct detect *d)
{
	struct detect_stats s = d->stats;

	s.undecided = rule_undecided(d->ev);
	s.evicted = d->windows.lru.evicted + d->first_seen.evicted +
	    d->sessions.evicted;
	return s;
}

/* --- keys --------------------------------------------------------------- */

uint64_t
detect_hash(const struct rule *r, char what, const void *p, size_t n)
{
	uint64_t h[2] = { map_hash(p, n), r->identity + (uint64_t)what };

	return map_hash(h, sizeof(h));
}

uint64_t
detect_group_key(struct detect *d, const struct rule *r)
{
	buf_reset(&d->key);
	rule_event_key(d->ev, &r->group, &d->key, NULL);
	return detect_hash(r, 'g', buf_data(&d->key), d->key.len);
}

static uint64_t
event_key(const struct rule *r, struct uuid id)
{
	return detect_hash(r, 'e', id.b, sizeof(id.b));
}

/* --- one rule ----------------------------------------------------------- */

/* True the first time; afterwards it is known. Learning is silent. */
static bool
first_seen(struct detect *d, uint32_t k)
{
	const struct rule *r = d->set->rules[k];
	int64_t now = rule_event_time(d->ev), from = d->learn_from[k];
	union detect_val *v;
	bool all, fresh;

	buf_reset(&d->key);
	rule_event_key(d->ev, &r->first_seen, &d->key, &all);
	if (!all)
		return false;
	v = detect_lru_put(&d->first_seen, detect_hash(r, 'f',
	    buf_data(&d->key), d->key.len), &fresh);
	v->i = now;
	if (from == 0)
		from = d->since_ms;
	return fresh && !(r->learning && now < from + d->learning_ms);
}

static bool
conditions(struct detect *d, uint32_t k, struct detect_hit *h)
{
	const struct rule *r = d->set->rules[k];
	int64_t now = rule_event_time(d->ev);

	if (r->off_hours && !detect_hours_off(&d->hours, now))
		return false;
	if (r->after_flag_ms != 0) {
		h->label = detect_session_flagged(&d->sessions,
		    rule_event_doc(d->ev), now, r->after_flag_ms, r->flags,
		    r->nflags);
		if (h->label == NULL)
			return false;
	}
	return r->first_seen.n == 0 || first_seen(d, k);
}

/* A rule without windows, that wants no silence or whose silence is over. */
static void
raise_single(struct detect *d, struct detect_hit *h)
{
	const struct rule *r = h->rule;
	int64_t now = rule_event_time(d->ev);
	union detect_val *v;
	bool fresh;

	h->key = event_key(r, rule_event_id(d->ev));
	h->span_ms = 0;
	if (r->suppress_ms != 0) {
		h->key = detect_group_key(d, r);
		h->span_ms = r->suppress_ms;
		v = detect_lru_put(&d->quiet, h->key, &fresh);
		if (!fresh && now < v->i) {
			d->stats.suppressed++;
			return;
		}
		v->i = now + r->suppress_ms;
	}
	detect_raise(d, h);
}

/* Counts the event for correlation k; true while its condition holds. */
static bool
count(struct detect *d, uint32_t k)
{
	const struct rule *r = d->set->rules[k];
	int64_t now = rule_event_time(d->ev);
	struct uuid id = rule_event_id(d->ev);
	struct detect_hit h = { .rule = r, .span_ms = r->span_ms };
	bool all = true, distinct = r->kind == RULE_VALUE_COUNT;
	uint64_t value = 0;
	struct detect_window *w;

	if (distinct) {
		buf_reset(&d->key);
		rule_event_key(d->ev, &r->value, &d->key, &all);
		value = map_hash(buf_data(&d->key), d->key.len);
	}
	if (!all)
		return false;
	h.key = detect_group_key(d, r);
	w = detect_window_get(&d->windows, h.key, r->span_ms);
	detect_window_add(w, r->at_least + r->exactly, distinct, now, value,
	    id);
	h.window = w;
	if (w->n < r->at_least || (r->exactly && w->n != r->at_least))
		return false;
	if (now < w->quiet_until) {
		d->stats.suppressed++;
		return true;
	}
	w->quiet_until = now + r->span_ms;
	detect_raise(d, &h);
	return true;
}

static void
advise(struct detect_advice *a, const struct rule *r)
{
	if (r->advice >= a->action)
		return;
	a->action = r->advice;
	a->rule = r->id;
	a->title = r->title;
}

/* Remembers that the rule took this event; false: it had already. */
static bool
handle(struct detect *d, const struct rule *r, bool holds)
{
	bool fresh;
	union detect_val *v = detect_lru_put(&d->handled, event_key(r,
	    rule_event_id(d->ev)), &fresh);

	if (fresh)
		v->i = holds;
	return fresh;
}

/* 1: took it and held, 0: took it and did not, -1: not yet. */
static int
handled(struct detect *d, const struct rule *r)
{
	const union detect_val *v = detect_lru_get(&d->handled, event_key(r,
	    rule_event_id(d->ev)));

	return v == NULL ? -1 : (int)v->i;
}

/* Correlation k takes the event once, also when two of its rules match. */
static bool
count_once(struct detect *d, uint32_t k)
{
	const struct rule *c = d->set->rules[k];
	int was;

	if (!c->is_inline) {
		if (d->counted[k] == d->nth)
			return false;
		d->counted[k] = d->nth;
		return count(d, k);
	}
	was = handled(d, c);
	if (was < 0) {
		was = count(d, k);
		handle(d, c, was);
	}
	return was;
}

/* The correlations that count rule r; inside a call only those with advice. */
static void
correlate(struct detect *d, const struct rule *r, struct detect_advice *a)
{
	for (size_t i = 0; i < r->nfeeds; i++) {
		const struct rule *c = d->set->rules[r->feeds[i]];

		if (a != NULL && c->advice == RULE_NONE)
			continue;
		if (count_once(d, r->feeds[i]) && a != NULL)
			advise(a, c);
	}
}

/* a == NULL: the feed. Inside a call a rule of its own advice decides; one
 * that only feeds a correlation is handled by the feed. */
static void
run_rule(struct detect *d, uint32_t k, struct detect_advice *a)
{
	const struct rule *r = d->set->rules[k];
	struct detect_hit h = { .rule = r };
	bool own = a == NULL || r->advice != RULE_NONE ||
	    r->first_seen.n != 0;
	int was;

	if (!rule_match(d->ev, r))
		return;
	was = r->is_inline ? handled(d, r) : -1;
	if (was < 0) {
		if (!conditions(d, k, &h))
			return;
		if (own) {
			if (r->is_inline)
				handle(d, r, true);
			if (!r->quiet)
				raise_single(d, &h);
		}
	}
	if (a != NULL)
		advise(a, r);
	correlate(d, r, a);
}

/* Findings of rules over findings are not looked at again. */
static bool
is_echo(struct detect *d)
{
	const struct json_doc *doc = rule_event_doc(d->ev);
	const struct rule *r;
	uint32_t n;

	if (rule_event_type(d->ev) != EVENT_FINDING)
		return false;
	n = json_path(doc, 0, "finding", "rule", NULL);
	r = json_typeof(doc, n) == JSON_STRING ? rule_by_id(d->set,
	    json_inner(doc, n)) : NULL;
	for (size_t i = 0; r != NULL && i < r->nrefs; i++) {
		const struct rule *ref = rule_by_id(d->set,
		    slice_str(r->refs[i]));

		if (ref != NULL && (ref->types >> EVENT_FINDING & 1) != 0)
			return true;
	}
	return r != NULL && (r->types >> EVENT_FINDING & 1) != 0;
}

static void
run_rules(struct detect *d, struct detect_advice *a)
{
	enum event_type t = rule_event_type(d->ev);

	for (size_t i = 0; i < d->set->nby_type[t]; i++) {
		uint32_t k = d->set->by_type[t][i];

		if (a == NULL || d->set->rules[k]->is_inline)
			run_rule(d, k, a);
	}
}

static int
event_set(struct detect *d, struct slice json)
{
	ASSERT(d->set != NULL);
	d->nth++;
	if (rule_event_set(d->ev, d->set, json) != 0) {
		d->stats.refused++;
		return -1;
	}
	if (d->since_ms == 0)
		d->since_ms = rule_event_time(d->ev);
	return 0;
}

unsigned
detect_asked(struct detect *d)
{
	const enum event_type t = EVENT_CALL_DECISION;
	unsigned asked = 0;

	for (unsigned k = 0; k < CONF_CLASSES; k++)
		for (size_t i = 0; i < d->set->nby_type[t]; i++) {
			const struct rule *r =
			    d->set->rules[d->set->by_type[t][i]];

			if (r->is_inline && rule_could_match(d->ev, d->set, r,
			    t, "class", conf_class_names[k]))
				asked |= 1u << k;
		}
	return asked;
}

int
detect_advise(struct detect *d, struct slice json, struct detect_advice *a_r)
{
	struct detect_advice a = { RULE_NONE, "", "" };

	if (event_set(d, json) != 0)
		return -1;
	d->stats.advised++;
	run_rules(d, &a);
	*a_r = a;
	return 0;
}

int
detect_context(struct detect *d, struct slice json)
{
	return detect_feed(d, json);
}

/* True when the event was among the last ones; now it is. Each set holds its
 * newest first: one line of the cache is all that is touched. */
static bool
fed_before(struct detect *d)
{
	struct uuid id = rule_event_id(d->ev);
	uint64_t h = map_hash(id.b, sizeof(id.b));
	uint64_t *set = d->fed[h % FED_SETS];

	for (size_t i = 0; i < DETECT_FED_WAYS; i++) {
		if (set[i] == h)
			return true;
	}
	memmove(set + 1, set, (DETECT_FED_WAYS - 1) * sizeof(*set));
	set[0] = h;
	return false;
}

int
detect_feed(struct detect *d, struct slice json)
{
	enum event_type t;

	if (event_set(d, json) != 0)
		return -1;
	if (fed_before(d))
		return 0;
	d->stats.events++;
	t = rule_event_type(d->ev);
	if (t == EVENT_CALL_RESULT || t == EVENT_CALL_OUTCOME)
		detect_session_note(&d->sessions, rule_event_doc(d->ev),
		    rule_event_id(d->ev), rule_event_time(d->ev));
	if (t == EVENT_FINDING)
		detect_known(d, rule_event_doc(d->ev),
		    rule_event_time(d->ev));
	if (!is_echo(d))
		run_rules(d, NULL);
	return 0;
}
