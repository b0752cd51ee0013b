/* detect_finding - findings: built, held back during a replay, recognised in
 * the feed, written as an event's fields. */
#include <stdlib.h>

#include "detect_state.h"

static const char *const copied_names[DETECT_COPIED] = { "user", "agent",
	"connector", "tool", "session", "call" };

/* Names come from agents: a finding stays small whatever they send. */
static char *
dup_cut(struct slice s)
{
	return slice_dup(slice_sub(s, 0, DETECT_TEXT_MAX));
}

static char *
member_dup(const struct json_doc *doc, const char *key)
{
	char *s = json_strdup(doc, json_member(doc, 0, key)), *cut;

	if (s == NULL || strlen(s) <= DETECT_TEXT_MAX)
		return s;
	cut = dup_cut(slice_str(s));
	free(s);
	return cut;
}

void
detect_finding_free(struct detect_finding *f)
{
	if (f == NULL)
		return;
	free(f->rule);
	free(f->title);
	for (size_t i = 0; i < f->ntags; i++)
		free(f->tags[i]);
	free(f->tags);
	for (size_t i = 0; i < DETECT_COPIED; i++)
		free(f->copied[i]);
	for (size_t i = 0; i < f->ngroup; i++) {
		free(f->group[i].name);
		free(f->group[i].value);
	}
	free(f);
}

static void
fill_rule(struct detect_finding *f, const struct rule *r)
{
	f->rule = base_strdup(r->id);
	f->title = base_strdup(r->title);
	f->stage = r->stage;
	f->level = r->stage == RULE_SHADOW ? RULE_INFORMATIONAL : r->level;
	f->advice = r->advice;
	f->tags = base_calloc(r->ntags + 1, sizeof(*f->tags));
	for (; f->ntags < r->ntags; f->ntags++)
		f->tags[f->ntags] = base_strdup(r->tags[f->ntags]);
}

static void
fill_group(struct detect *d, struct detect_finding *f, const struct rule *r)
{
	const struct rule_key *k = r->group.n > 0 ? &r->group :
	    &r->first_seen;

	for (; f->ngroup < k->n; f->ngroup++) {
		struct slice t = rule_event_group_text(d->ev,
		    k->fields[f->ngroup]);

		f->group[f->ngroup].name = base_strdup(k->names[f->ngroup]);
		f->group[f->ngroup].value = t.p == NULL ? NULL : dup_cut(t);
	}
}

/* The newest of the window; the triggering event last. */
static void
fill_events(struct detect *d, struct detect_finding *f,
    const struct detect_hit *h)
{
	const struct detect_window *w = h->window;
	struct uuid id = rule_event_id(d->ev);
	uint32_t from = 0;

	f->count = w != NULL ? w->n : 1;
	if (h->label != NULL)
		f->events[f->nevents++] = h->label->event;
	if (w != NULL && w->n >= DETECT_EVENTS_MAX)
		from = w->n - (DETECT_EVENTS_MAX - 1);
	for (uint32_t i = from; w != NULL && i < w->n; i++) {
		if (!uuid_eq(w->e[i].id, id) &&
		    f->nevents < DETECT_EVENTS_MAX - 1)
			f->events[f->nevents++] = w->e[i].id;
	}
	f->events[f->nevents++] = id;
}

static void
hold_back(struct detect *d, struct detect_finding *f)
{
	if (d->npending == DETECT_PENDING_MAX) {
		/* The oldest goes: the youngest may still be news. */
		detect_finding_free(d->pending[0]);
		memmove(d->pending, d->pending + 1, (DETECT_PENDING_MAX - 1) *
		    sizeof(struct detect_finding *));
		d->npending--;
		d->stats.pending_lost++;
	}
	if (d->pending == NULL)
		d->pending = base_calloc(DETECT_PENDING_MAX,
		    sizeof(struct detect_finding *));
	d->pending[d->npending++] = f;
}

void
detect_raise(struct detect *d, const struct detect_hit *h)
{
	const struct json_doc *doc = rule_event_doc(d->ev);
	struct detect_finding *f = base_calloc(1, sizeof(*f));

	fill_rule(f, h->rule);
	for (size_t i = 0; i < DETECT_COPIED; i++)
		f->copied[i] = member_dup(doc, copied_names[i]);
	if (f->copied[DETECT_CALL] != NULL &&
	    !uuid_parse(slice_str(f->copied[DETECT_CALL]), &f->call)) {
		free(f->copied[DETECT_CALL]);
		f->copied[DETECT_CALL] = NULL;
	}
	fill_group(d, f, h->rule);
	fill_events(d, f, h);
	f->time = rule_event_time(d->ev);
	f->key = h->key;
	f->span_ms = h->span_ms;
	if (d->replaying) {
		hold_back(d, f);
		return;
	}
	d->stats.findings++;
	d->fn(d->ctx, f);
	detect_finding_free(f);
}

/* --- findings in the feed ----------------------------------------------- */

/* The group's key as detect_group_key() makes it, from finding.group. */
static uint64_t
group_key_of(struct detect *d, const struct rule *r,
    const struct json_doc *doc, uint32_t finding)
{
	uint32_t group = json_member(doc, finding, "group");
	struct buf one;

	buf_init(&one, 16384);
	buf_reset(&d->key);
	for (size_t i = 0; i < r->group.n; i++) {
		uint32_t v = json_member(doc, group, r->group.names[i]), n;

		buf_reset(&one);
		if (json_typeof(doc, v) == JSON_STRING &&
		    json_decode(doc, v, &one) != 0)
			buf_reset(&one);
		n = (uint32_t)one.len;
		buf_add(&d->key, &n, sizeof(n));
		buf_add_slice(&d->key, buf_slice(&one));
	}
	buf_free(&one);
	return detect_hash(r, 'g', buf_data(&d->key), d->key.len);
}

static void
forget_pending(struct detect *d, uint64_t key, int64_t time, int64_t span)
{
	size_t k = 0;

	for (size_t i = 0; i < d->npending; i++) {
		struct detect_finding *f = d->pending[i];
		int64_t apart = f->time > time ? f->time - time :
		    time - f->time;

		if (f->key == key && (span == 0 || apart <= span))
			detect_finding_free(f);
		else
			d->pending[k++] = f;
	}
	d->npending = k;
}

/* The last of finding.events: what triggered it. */
static bool
trigger_of(const struct json_doc *doc, uint32_t finding, struct uuid *id_r)
{
	uint32_t events = json_member(doc, finding, "events"), last = JSON_NONE;

	if (json_typeof(doc, events) != JSON_ARRAY)
		return false;
	for (uint32_t e = json_first(doc, events); e != JSON_NONE;
	    e = json_next(doc, events, e))
		last = e;
	return json_typeof(doc, last) == JSON_STRING &&
	    uuid_parse(json_inner(doc, last), id_r);
}

void
detect_known(struct detect *d, const struct json_doc *doc, int64_t time)
{
	uint32_t finding = json_member(doc, 0, "finding");
	uint32_t id = json_member(doc, finding, "rule");
	const struct rule *r = json_typeof(doc, id) != JSON_STRING ? NULL :
	    rule_by_id(d->set, json_inner(doc, id));
	int64_t until;
	struct uuid trigger;
	union detect_val *v;
	uint64_t key;
	bool fresh;

	if (r == NULL)
		return;
	if (r->kind != RULE_MATCH || r->suppress_ms != 0) {
		int64_t span = r->kind == RULE_MATCH ? r->suppress_ms :
		    r->span_ms;

		key = group_key_of(d, r, doc, finding);
		until = time + span;
		if (r->kind == RULE_MATCH) {
			v = detect_lru_put(&d->quiet, key, &fresh);
			if (fresh || v->i < until)
				v->i = until;
		} else {
			struct detect_window *w = detect_window_get(
			    &d->windows, key, span);

			if (w->quiet_until < until)
				w->quiet_until = until;
		}
		forget_pending(d, key, time, span);
	} else if (trigger_of(doc, finding, &trigger)) {
		key = detect_hash(r, 'e', trigger.b, sizeof(trigger.b));
		v = detect_lru_put(&d->handled, key, &fresh);
		if (fresh)
			v->i = 1;
		forget_pending(d, key, time, 0);
	}
}

void
detect_replay_begin(struct detect *d)
{
	d->replaying = true;
}

void
detect_replay_end(struct detect *d, int64_t now_ms)
{
	d->replaying = false;
	for (size_t i = 0; i < d->npending; i++) {
		struct detect_finding *f = d->pending[i];

		if (f->time >= now_ms - DETECT_RETRO_MS) {
			d->stats.findings++;
			d->fn(d->ctx, f);
		}
		detect_finding_free(f);
	}
	d->npending = 0;
}

/* --- as an event -------------------------------------------------------- */

static void
write_ids(const struct detect_finding *f, struct jsonw *w)
{
	char id[UUID_TEXT_LEN];

	jsonw_array(w, "events");
	for (size_t i = 0; i < f->nevents; i++) {
		uuid_format(f->events[i], id);
		jsonw_str(w, NULL, id);
	}
	jsonw_array_end(w);
}

void
detect_finding_write(const struct detect_finding *f, struct jsonw *w)
{
	for (size_t i = 0; i < DETECT_COPIED; i++) {
		if (f->copied[i] != NULL)
			jsonw_str(w, copied_names[i], f->copied[i]);
	}
	jsonw_str(w, "severity", rule_level_names[f->level]);
	jsonw_object(w, "finding");
	jsonw_str(w, "rule", f->rule);
	jsonw_str(w, "title", f->title);
	jsonw_str(w, "severity", rule_level_names[f->level]);
	jsonw_str(w, "stage", rule_stage_names[f->stage]);
	write_ids(f, w);
	jsonw_u64(w, "count", f->count);
	jsonw_array(w, "tags");
	for (size_t i = 0; i < f->ntags; i++)
		jsonw_str(w, NULL, f->tags[i]);
	jsonw_array_end(w);
	jsonw_str(w, "advice", rule_advice_names[f->advice]);
	if (f->ngroup > 0) {
		jsonw_object(w, "group");
		for (size_t i = 0; i < f->ngroup; i++)
			jsonw_str(w, f->group[i].name, f->group[i].value);
		jsonw_object_end(w);
	}
	jsonw_object_end(w);
}
