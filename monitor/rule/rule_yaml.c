/*
 * rule_yaml - a rule document: its head, the custom section `portreeve`, a
 * correlation. Strict: an unknown key is an error that names the nearest.
 */
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "rule_yaml.h"

const char *const rule_advice_names[3] = { "deny", "hold", "none" };
const char *const rule_stage_names[3] = { "shadow", "alert", "block" };
const char *const rule_level_names[5] = { "informational", "low", "medium",
	"high", "critical" };
static const char *const status_names[] = { "stable", "test", "experimental",
	"deprecated", "unsupported" };

static int
refuse(struct rule_build *b, const struct yaml_node *n, const char *what)
{
	yaml_err(b->doc, n, b->err, "%s", what);
	return -1;
}

/* A scalar or a list of scalars; *n_r of them, each without NUL. */
static int
strings(struct rule_build *b, const struct yaml_node *n, size_t max,
    char ***v_r, size_t *n_r)
{
	size_t k = n->type == YAML_SEQ ? n->n : 1;

	if (k == 0 || k > max) {
		yaml_err(b->doc, n, b->err, "expected 1 to %zu names", max);
		return -1;
	}
	*v_r = base_calloc(k, sizeof(**v_r));
	for (size_t i = 0; i < k; i++) {
		const struct yaml_node *s = n->type == YAML_SEQ ? n->items[i] :
		    n;

		if (s->type != YAML_SCALAR || s->len == 0 || s->len > 255 ||
		    memchr(s->text, '\0', s->len) != NULL)
			return refuse(b, s, "expected a name of 1 to 255 "
			    "characters");
		(*v_r)[(*n_r)++] = base_strdup(s->text);
	}
	return 0;
}

static int
key_fields(struct rule_build *b, const struct yaml_node *n,
    struct rule_key *key)
{
	char **v = NULL;
	int r = strings(b, n, RULE_KEY_FIELDS, &v, &key->n);

	for (size_t i = 0; i < key->n; i++)
		key->names[i] = v[i];
	free(v);
	return r;
}

static int
duration(struct rule_build *b, const struct yaml_node *map, const char *key,
    int64_t *ms_r)
{
	const struct yaml_node *n = yaml_get(map, key);

	if (n == NULL) {
		yaml_err(b->doc, map, b->err, "%s is missing", key);
		return -1;
	}
	if (n->type != YAML_SCALAR ||
	    !clock_parse_duration(slice_make(n->text, n->len), ms_r) ||
	    *ms_r <= 0 || *ms_r > RULE_SPAN_MAX_MS)
		return refuse(b, n, "expected a duration of at most 30d "
		    "(30s, 10m, 4h, 7d)");
	return 0;
}

static int
head(struct rule_build *b, const struct yaml_node *n, struct rule *r)
{
	const struct yaml_node *t = yaml_get(n, "title"),
	    *id = yaml_get(n, "id"), *date;
	struct uuid u;
	int level = RULE_MEDIUM, status = 0;

	if (t == NULL || t->type != YAML_SCALAR || t->len == 0 || t->len > 256)
		return refuse(b, t == NULL ? n : t,
		    "title must be a text of 1 to 256 characters");
	if (id == NULL || id->type != YAML_SCALAR ||
	    !uuid_parse(slice_make(id->text, id->len), &u))
		return refuse(b, id == NULL ? n : id,
		    "id must be a UUID (make one with uuidgen)");
	if (yaml_get_str(b->doc, n, "title", &r->title, b->err) != 0 ||
	    yaml_get_str(b->doc, n, "id", &r->id, b->err) != 0 ||
	    yaml_get_str(b->doc, n, "name", &r->name, b->err) != 0 ||
	    yaml_get_enum(b->doc, n, "level", rule_level_names,
	    ARRAY_LEN(rule_level_names), &level, b->err) != 0 ||
	    yaml_get_enum(b->doc, n, "status", status_names,
	    ARRAY_LEN(status_names), &status, b->err) != 0)
		return -1;
	r->level = (enum rule_level)level;
	for (int i = 0; i < 2; i++) {
		int64_t ms;
		char day[32];

		date = yaml_get(n, i == 0 ? "date" : "modified");
		if (date == NULL || (b->flags & RULE_FOREIGN))
			continue;
		snprintf(day, sizeof(day), "%.10sT00:00:00Z",
		    date->type == YAML_SCALAR ? date->text : "");
		if (date->type != YAML_SCALAR || date->len != 10 ||
		    !rule_parse_time(slice_str(day), &ms))
			return refuse(b, date, "expected a date, YYYY-MM-DD");
	}
	return 0;
}

static int
tags(struct rule_build *b, const struct yaml_node *n, struct rule *r)
{
	const struct yaml_node *t = yaml_get(n, "tags");

	if (t == NULL)
		return 0;
	if (strings(b, t, 64, &r->tags, &r->ntags) != 0)
		return -1;
	for (size_t i = 0; i < r->ntags; i++) {
		const char *s = r->tags[i];
		size_t k = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_-.");

		if (s[k] != '\0' || strchr(s, '.') == NULL)
			return refuse(b, t->type == YAML_SEQ ? t->items[i] : t,
			    "a tag is namespace.name in small letters, like "
			    "attack.t1078 or owasp.asi02");
	}
	return 0;
}

static int
after_flag(struct rule_build *b, const struct yaml_node *n, struct rule *r)
{
	static const char *const keys[] = { "within", "flags" };
	const struct yaml_node *flags;

	if (n == NULL)
		return 0;
	if (n->type != YAML_MAP)
		return refuse(b, n, "after_flag is a map: { within: 10m }");
	if (yaml_check_keys(b->doc, n, keys, ARRAY_LEN(keys), b->err) != 0 ||
	    duration(b, n, "within", &r->after_flag_ms) != 0)
		return -1;
	flags = yaml_get(n, "flags");
	return flags == NULL ? 0 : strings(b, flags, 64, &r->flags,
	    &r->nflags);
}

static int
first_seen(struct rule_build *b, const struct yaml_node *n, struct rule *r)
{
	static const char *const keys[] = { "key", "learning" };
	const struct yaml_node *key;

	if (n == NULL)
		return 0;
	key = n->type == YAML_MAP ? yaml_get(n, "key") : NULL;
	if (key == NULL)
		return refuse(b, n, "first_seen needs its fields: "
		    "{ key: [agent, connector] }");
	r->learning = true;
	if (yaml_check_keys(b->doc, n, keys, ARRAY_LEN(keys), b->err) != 0 ||
	    yaml_get_bool(b->doc, n, "learning", &r->learning, b->err) != 0)
		return -1;
	return key_fields(b, key, &r->first_seen);
}

static int
suppress(struct rule_build *b, const struct yaml_node *n, struct rule *r)
{
	static const char *const keys[] = { "for", "by" };
	const struct yaml_node *by;

	if (n == NULL)
		return 0;
	if (n->type != YAML_MAP || (by = yaml_get(n, "by")) == NULL)
		return refuse(b, n, "suppress needs a time and fields: "
		    "{ for: 10m, by: [user, agent] }");
	if (r->kind != RULE_MATCH)
		return refuse(b, n, "a correlation is not repeated within its "
		    "timespan anyway");
	if (yaml_check_keys(b->doc, n, keys, ARRAY_LEN(keys), b->err) != 0 ||
	    duration(b, n, "for", &r->suppress_ms) != 0)
		return -1;
	return key_fields(b, by, &r->group);
}

/* The section `portreeve`. */
static int
custom(struct rule_build *b, const struct yaml_node *n, struct rule *r)
{
	static const char *const keys[] = { "advice", "stage", "off_hours",
	    "after_flag", "first_seen", "suppress" };
	int advice = RULE_NONE, stage = -1;
	bool single = r->kind == RULE_MATCH;

	r->advice = RULE_NONE;
	r->stage = RULE_ALERT;
	if (n == NULL)
		return 0;
	if (n->type != YAML_MAP)
		return refuse(b, n, "portreeve must be a map");
	if (yaml_check_keys(b->doc, n, keys, ARRAY_LEN(keys), b->err) != 0 ||
	    yaml_get_enum(b->doc, n, "advice", rule_advice_names,
	    ARRAY_LEN(rule_advice_names), &advice, b->err) != 0 ||
	    yaml_get_enum(b->doc, n, "stage", rule_stage_names,
	    ARRAY_LEN(rule_stage_names), &stage, b->err) != 0 ||
	    yaml_get_bool(b->doc, n, "off_hours", &r->off_hours, b->err) != 0 ||
	    after_flag(b, yaml_get(n, "after_flag"), r) != 0 ||
	    first_seen(b, yaml_get(n, "first_seen"), r) != 0 ||
	    suppress(b, yaml_get(n, "suppress"), r) != 0)
		return -1;
	if (!single && (r->off_hours || r->after_flag_ms != 0 ||
	    r->first_seen.n != 0))
		return refuse(b, n, "off_hours, after_flag and first_seen "
		    "belong to the rule that a correlation counts");
	r->stage = stage >= 0 ? (enum rule_stage)stage :
	    advice != RULE_NONE ? RULE_BLOCK : RULE_ALERT;
	if (r->stage == RULE_BLOCK && advice == RULE_NONE)
		return refuse(b, n, "stage block needs advice: hold or deny");
	if (r->stage == RULE_BLOCK)
		r->advice = (enum rule_advice)advice;
	return 0;
}

/* One operator; a range is not offered. */
static int
threshold(struct rule_build *b, const struct yaml_node *n, struct rule *r,
    const struct yaml_node *parent)
{
	static const char *const ops[] = { "gte", "gt", "eq" };
	static const char *const keys[] = { "gte", "gt", "eq", "field" };
	int64_t max = r->kind == RULE_EVENT_COUNT ? RULE_COUNT_MAX :
	    RULE_DISTINCT_MAX, v;
	int found = 0;

	if (n == NULL || n->type != YAML_MAP)
		return refuse(b, n == NULL ? parent : n,
		    "condition must be a map like { gte: 5 }");
	if (yaml_get(n, "lt") != NULL || yaml_get(n, "lte") != NULL ||
	    yaml_get(n, "neq") != NULL)
		return refuse(b, n, "lt, lte and neq cannot be decided while "
		    "events still come: use gte, gt or eq");
	if (yaml_check_keys(b->doc, n, keys, r->kind == RULE_EVENT_COUNT ? 3 :
	    4, b->err) != 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		if (yaml_get(n, ops[i]) == NULL)
			continue;
		v = 0;
		if (yaml_get_int(b->doc, n, ops[i], i == 1 ? 0 : 1,
		    i == 1 ? max - 1 : max, &v, b->err) != 0)
			return -1;
		r->at_least = (uint32_t)(i == 1 ? v + 1 : v);
		r->exactly = i == 2;
		found++;
	}
	if (found != 1)
		return refuse(b, n, "condition has one of gte, gt, eq");
	if (r->kind != RULE_VALUE_COUNT)
		return 0;
	if (yaml_get(n, "field") == NULL)
		return refuse(b, n, "value_count needs condition.field");
	return key_fields(b, yaml_get(n, "field"), &r->value);
}

static int
correlation(struct rule_build *b, const struct yaml_node *n, struct rule *r)
{
	static const char *const keys[] = { "type", "rules", "group-by",
	    "timespan", "condition", "generate" };
	static const char *const types[] = { "event_count", "value_count" };
	static const char *const later[] = { "temporal", "temporal_ordered",
	    "value_sum", "value_avg", "value_percentile", "value_median" };
	const struct yaml_node *type, *rules, *group;
	int kind = -1;

	if (n->type != YAML_MAP)
		return refuse(b, n, "correlation must be a map");
	type = yaml_get(n, "type");
	for (size_t i = 0; type != NULL && type->type == YAML_SCALAR &&
	    i < ARRAY_LEN(later); i++) {
		if (strcmp(type->text, later[i]) == 0)
			return refuse(b, type, "this correlation type is not "
			    "supported: event_count and value_count are");
	}
	if (yaml_get(n, "aliases") != NULL)
		return refuse(b, yaml_get(n, "aliases"), "aliases are not "
		    "supported: the same fields have the same names here");
	if (yaml_check_keys(b->doc, n, keys, ARRAY_LEN(keys), b->err) != 0 ||
	    yaml_get_enum(b->doc, n, "type", types, ARRAY_LEN(types), &kind,
	    b->err) != 0)
		return -1;
	if (kind < 0)
		return refuse(b, n, "correlation.type is missing "
		    "(event_count or value_count)");
	r->kind = kind == 0 ? RULE_EVENT_COUNT : RULE_VALUE_COUNT;
	rules = yaml_get(n, "rules");
	group = yaml_get(n, "group-by");
	if (rules == NULL || group == NULL)
		return refuse(b, n, rules == NULL ?
		    "correlation.rules is missing" :
		    "correlation.group-by is missing");
	if (strings(b, rules, 100, &r->refs, &r->nrefs) != 0 ||
	    key_fields(b, group, &r->group) != 0 ||
	    duration(b, n, "timespan", &r->span_ms) != 0)
		return -1;
	return threshold(b, yaml_get(n, "condition"), r, n);
}

/* What a rule that answers inside the call cannot know yet. */
static void
warn_late_fields(struct rule_build *b, const struct rule *r)
{
	static const char *const late[] = { "verdict", "reason", "detail",
	    "policy", "rule", "redactions", "approval", "status" };
	char text[512];

	if (r->advice == RULE_NONE || r->kind != RULE_MATCH || b->warn == NULL)
		return;
	for (uint32_t i = 0; i < r->body->nitems; i++) {
		for (size_t k = 0; k < ARRAY_LEN(late); k++) {
			const char *name = r->body->items[i].name;

			if (name == NULL || strcmp(name, late[k]) != 0)
				continue;
			snprintf(text, sizeof(text), "%s:%d: rule gives advice "
			    "but looks at %s, which is not known yet when the "
			    "advice is asked", r->file, r->line, late[k]);
			b->warn(b->ctx, text);
		}
	}
}

static const char *const doc_keys[] = { "title", "id", "name", "related",
	"taxonomy", "status", "description", "license", "author", "references",
	"date", "modified", "logsource", "detection", "fields",
	"falsepositives", "level", "tags", "scope", "correlation", "portreeve",
	"tests" };

static int
document(struct rule_build *b, const struct yaml_node *n, struct rule *r)
{
	const struct yaml_node *det, *cor, *src, *tests;

	if (n->type != YAML_MAP)
		return refuse(b, n, "a rule is a map");
	if (!(b->flags & RULE_FOREIGN) && yaml_check_keys(b->doc, n, doc_keys,
	    ARRAY_LEN(doc_keys), b->err) != 0)
		return -1;
	r->file = base_strdup(b->doc->file);
	r->line = n->line;
	if (head(b, n, r) != 0 || (!(b->flags & RULE_FOREIGN) &&
	    tags(b, n, r) != 0))
		return -1;
	det = yaml_get(n, "detection");
	cor = yaml_get(n, "correlation");
	src = yaml_get(n, "logsource");
	if ((det == NULL) == (cor == NULL))
		return refuse(b, n, "a rule has either detection or "
		    "correlation");
	if (cor != NULL) {
		if (src != NULL)
			return refuse(b, src, "a correlation has no logsource: "
			    "its rules have");
		if (correlation(b, cor, r) != 0)
			return -1;
	} else {
		if (src == NULL)
			return refuse(b, n, "logsource is missing");
		if (rule_build_source(b, src, &r->types) != 0 ||
		    rule_build_detection(b, det, r->body) != 0)
			return -1;
	}
	if (custom(b, yaml_get(n, "portreeve"), r) != 0)
		return -1;
	warn_late_fields(b, r);
	tests = yaml_get(n, "tests");
	return tests == NULL || (b->flags & RULE_FOREIGN) ? 0 :
	    rule_build_tests(b, tests, r);
}

/* The rules a correlation counts raise no findings, unless it says so. */
static int
references(struct rule_build *b, const struct yaml_node *n, struct rule *r)
{
	const struct yaml_node *cor = yaml_get(n, "correlation"), *at;
	bool generate = false;

	if (cor == NULL)
		return 0;
	if (yaml_get_bool(b->doc, cor, "generate", &generate, b->err) != 0)
		return -1;
	at = yaml_get(cor, "rules");
	for (size_t i = 0; i < r->nrefs; i++) {
		struct rule *ref = map_get(&b->names,
		    slice_str(r->refs[i]));
		const struct yaml_node *here = at->type == YAML_SEQ ?
		    at->items[i] : at;

		if (ref == NULL || ref->kind != RULE_MATCH) {
			yaml_err(b->doc, here, b->err, ref == NULL ?
			    "no rule has the id or name %s" :
			    "%s is a correlation itself: chains are not "
			    "supported", r->refs[i]);
			return -1;
		}
		if (!generate)
			ref->quiet = true;
	}
	return 0;
}

static int
unique(struct rule_build *b, const struct yaml_node *n, const struct rule *r)
{
	for (int i = 0; i < 2; i++) {
		const char *key = i == 0 ? r->id : r->name;
		const struct rule *other = key == NULL ? NULL :
		    map_get(&b->names, slice_str(key));

		if (key == NULL)
			continue;
		if (other != NULL && other != r) {
			yaml_err(b->doc, yaml_get(n, i == 0 ? "id" : "name"),
			    b->err, "%s is taken by %s:%d", key, other->file,
			    other->line);
			return -1;
		}
		map_put(&b->names, slice_str(key), (void *)(uintptr_t)r);
	}
	return 0;
}

/* Adds the rules of a document stream to the set. */
int
rule_yaml_add(struct rule_build *b)
{
	for (size_t i = 0; i < b->doc->n; i++) {
		struct rule *r = base_calloc(1, sizeof(*r));

		*RULE_PUSH(b->set->rules, b->set->n) = r;
		r->body = base_calloc(1, sizeof(*r->body));
		if (b->set->n > RULE_MAX)
			return refuse(b, b->doc->roots[i],
			    "more than 10,000 rules");
		if (document(b, b->doc->roots[i], r) != 0 ||
		    unique(b, b->doc->roots[i], r) != 0)
			return -1;
	}
	return 0;
}

/* After all documents: who counts whom. first: the set's first rule of this
 * stream. */
int
rule_yaml_resolve(struct rule_build *b, size_t first)
{
	for (size_t i = 0; i < b->doc->n; i++) {
		if (references(b, b->doc->roots[i],
		    b->set->rules[first + i]) != 0)
			return -1;
	}
	return 0;
}
