/*
 * rulepack_yaml - reads the rules, runs their examples, packs the section.
 *
 * Rules that are not enabled are compiled and tried on their examples too, by
 * themselves: an operator who turns one on gets a rule that works.
 */
#include "rulepack_internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "yaml.h"

#define WIDTH_DEFAULT 512

/* A rule as read: its entry, its pattern, where its examples are. */
struct source {
	struct rulepack_entry e;
	char *pattern, *trigger;
	int64_t back;
	unsigned flags;
	bool enabled;
	const struct yaml_doc *doc;
	const struct yaml_node *node, *pattern_node;
	const struct yaml_node *positive, *negative;
};

struct reader {
	const char *const *kinds;
	size_t nkinds;
	struct source *rules;
	size_t n;
	struct yaml_doc **docs;
	size_t ndocs;
	struct err *err;
};

static const char *const keys[] = { "id", "title", "kind", "pattern", "nocase",
	"dotall", "trigger", "back", "keywords", "check", "grow", "entropy", "max_width",
	"replace", "mirror", "enabled", "examples" };

static int
need(struct reader *rd, const struct source *s, const char *key, const char *v)
{
	if (v != NULL && v[0] != '\0')
		return 0;
	yaml_err(s->doc, s->node, rd->err, "a rule needs \"%s\"", key);
	return -1;
}

static int
read_id(struct reader *rd, struct source *s)
{
	const char *id = s->e.pub.id;

	if (need(rd, s, "id", id) != 0)
		return -1;
	for (const char *p = id; *p != '\0'; p++)
		if (strchr("abcdefghijklmnopqrstuvwxyz0123456789-.", *p) ==
		    NULL) {
			yaml_err(s->doc, s->node, rd->err,
			    "id \"%s\": only a-z, 0-9, - and . are allowed",
			    id);
			return -1;
		}
	/* A name stands for a rule or for a kind, never for both. */
	for (size_t i = 0; i < rd->nkinds; i++)
		if (strcmp(rd->kinds[i], id) == 0) {
			yaml_err(s->doc, s->node, rd->err,
			    "id \"%s\" is the name of a kind", id);
			return -1;
		}
	for (size_t i = 0; i < rd->n; i++)
		if (&rd->rules[i] != s &&
		    strcmp(rd->rules[i].e.pub.id, id) == 0) {
			yaml_err(s->doc, s->node, rd->err,
			    "id \"%s\" is taken by %s:%d", id,
			    rd->rules[i].doc->file, rd->rules[i].node->line);
			return -1;
		}
	return 0;
}

static int
read_check(struct reader *rd, struct source *s)
{
	size_t n;
	const char *const *names = check_names(&n);
	struct yaml_node *at = yaml_get(s->node, "check");

	if (yaml_get_str(s->doc, s->node, "check", &s->e.check_name,
	    rd->err) != 0)
		return -1;
	if (s->e.check_name == NULL) {
		s->e.check_name = base_strdup("");
		return 0;
	}
	s->e.check = check_find(s->e.check_name);
	if (s->e.check == NULL) {
		const char *near = err_nearest(slice_str(s->e.check_name),
		    names, n);

		yaml_err(s->doc, at, rd->err, "no check \"%s\"%s%s",
		    s->e.check_name, near == NULL ? "" : ", did you mean ",
		    near == NULL ? "" : near);
		return -1;
	}
	return 0;
}

/* Bits a byte with up to three decimals, 0.1 to 8. */
static int
read_entropy(struct reader *rd, struct source *s)
{
	struct yaml_node *at = yaml_get(s->node, "entropy");
	char *end = NULL;

	if (at == NULL)
		return 0;
	double v = at->type == YAML_SCALAR ? strtod(at->text, &end) : 0;

	if (end == NULL || *end != '\0' || !(v >= 0.1 && v <= 8)) {
		yaml_err(s->doc, at, rd->err,
		    "entropy is a number of bits a byte, 0.1 to 8");
		return -1;
	}
	s->e.entropy_milli = (uint32_t)(v * 1000);
	if (s->e.nkeywords == 0 && s->e.check == NULL &&
	    strchr(s->pattern, '(') == NULL) {
		yaml_err(s->doc, at, rd->err, "entropy never stands alone: "
		    "give keywords, a check or a value group too");
		return -1;
	}
	return 0;
}

static int
read_keywords(struct reader *rd, struct source *s)
{
	struct yaml_node *at = yaml_get(s->node, "keywords");

	if (at == NULL)
		return 0;
	if (at->type != YAML_SEQ || at->n == 0 || at->n > 64) {
		yaml_err(s->doc, at, rd->err, "keywords is a list of 1 to 64");
		return -1;
	}
	s->e.keywords = base_calloc(at->n, sizeof(*s->e.keywords));
	for (size_t i = 0; i < at->n; i++) {
		struct yaml_node *k = at->items[i];

		if (k->type != YAML_SCALAR || k->len < 2 || k->len > 40) {
			yaml_err(s->doc, k, rd->err,
			    "a keyword is a text of 2 to 40 bytes");
			return -1;
		}
		s->e.keywords[s->e.nkeywords++] = base_strdup(k->text);
	}
	return 0;
}

static int
read_replace(struct reader *rd, struct source *s)
{
	char *given = NULL;

	if (yaml_get_str(s->doc, s->node, "replace", &given, rd->err) != 0)
		return -1;
	if (given == NULL) {
		size_t n = strlen(s->e.pub.id) + sizeof("[redacted:]");

		given = base_calloc(1, n);
		snprintf(given, n, "[redacted:%s]", s->e.pub.id);
	}
	s->e.pub.replace = given;
	if (rulepack_replace_ok(slice_str(given)))
		return 0;
	yaml_err(s->doc, s->node, rd->err, "replace of %s: 1 to 64 printable "
	    "ASCII characters without quote, backslash and %%", s->e.pub.id);
	return -1;
}

static int
read_list(struct reader *rd, struct source *s, const struct yaml_node *ex,
    const char *key, const struct yaml_node **list_r)
{
	struct yaml_node *l = yaml_get(ex, key);

	if (l == NULL || l->type != YAML_SEQ ||
	    l->n < RULEPACK_EXAMPLES_MIN) {
		yaml_err(s->doc, l == NULL ? ex : l, rd->err,
		    "rule %s needs a list of at least %d %s examples",
		    s->e.pub.id, RULEPACK_EXAMPLES_MIN, key);
		return -1;
	}
	for (size_t i = 0; i < l->n; i++)
		if (l->items[i]->type != YAML_SCALAR) {
			yaml_err(s->doc, l->items[i], rd->err,
			    "an example is a text");
			return -1;
		}
	*list_r = l;
	return 0;
}

static int
read_examples(struct reader *rd, struct source *s)
{
	static const char *const parts[] = { "positive", "negative" };
	struct yaml_node *ex = yaml_get(s->node, "examples");

	if (ex == NULL || ex->type != YAML_MAP) {
		yaml_err(s->doc, s->node, rd->err,
		    "rule %s has no examples: {positive, negative}",
		    s->e.pub.id);
		return -1;
	}
	if (yaml_check_keys(s->doc, ex, parts, 2, rd->err) != 0)
		return -1;
	if (read_list(rd, s, ex, "positive", &s->positive) != 0)
		return -1;
	return read_list(rd, s, ex, "negative", &s->negative);
}

static int
read_flags(struct reader *rd, struct source *s)
{
	bool nocase = false, dotall = false;
	int64_t width = WIDTH_DEFAULT;
	int kind = -1, grow = CHECK_GROW_NONE;

	s->e.mirror = true;
	if (yaml_get_bool(s->doc, s->node, "nocase", &nocase, rd->err) != 0 ||
	    yaml_get_bool(s->doc, s->node, "mirror", &s->e.mirror,
	    rd->err) != 0 ||
	    yaml_get_bool(s->doc, s->node, "dotall", &dotall, rd->err) != 0 ||
	    yaml_get_bool(s->doc, s->node, "enabled", &s->enabled,
	    rd->err) != 0 ||
	    yaml_get_int(s->doc, s->node, "max_width", 1, RULEPACK_GROW_MAX,
	    &width, rd->err) != 0 ||
	    yaml_get_str(s->doc, s->node, "trigger", &s->trigger,
	    rd->err) != 0 ||
	    yaml_get_int(s->doc, s->node, "back", 1, PM_WIDTH_MAX, &s->back,
	    rd->err) != 0 ||
	    yaml_get_enum(s->doc, s->node, "grow", check_grow_names,
	    CHECK_GROWS, &grow, rd->err) != 0 ||
	    yaml_get_enum(s->doc, s->node, "kind", rd->kinds, rd->nkinds,
	    &kind, rd->err) != 0)
		return -1;
	if (kind < 0)
		return need(rd, s, "kind", NULL);
	s->flags = PM_MULTILINE | (nocase ? PM_NOCASE : 0) |
	    (dotall ? PM_DOTALL : 0);
	s->e.pub.kind = (uint32_t)kind;
	s->e.grow = (enum check_grow)grow;
	s->e.max_width = (uint32_t)width;
	return 0;
}

static int
read_rule(struct reader *rd, struct source *s)
{
	s->enabled = true;
	if (s->node->type != YAML_MAP) {
		yaml_err(s->doc, s->node, rd->err, "a rule is a map");
		return -1;
	}
	s->pattern_node = yaml_get(s->node, "pattern");
	if (yaml_check_keys(s->doc, s->node, keys, ARRAY_LEN(keys),
	    rd->err) != 0 ||
	    yaml_get_str(s->doc, s->node, "id", &s->e.pub.id, rd->err) != 0 ||
	    read_id(rd, s) != 0 ||
	    yaml_get_str(s->doc, s->node, "title", &s->e.pub.title,
	    rd->err) != 0 || need(rd, s, "title", s->e.pub.title) != 0 ||
	    yaml_get_str(s->doc, s->node, "pattern", &s->pattern,
	    rd->err) != 0 || need(rd, s, "pattern", s->pattern) != 0 ||
	    read_flags(rd, s) != 0 || read_keywords(rd, s) != 0 ||
	    read_check(rd, s) != 0 || read_entropy(rd, s) != 0 ||
	    read_replace(rd, s) != 0 || read_examples(rd, s) != 0)
		return -1;
	return 0;
}

static int
read_file(struct reader *rd, const char *path)
{
	static const char *const top[] = { "rules" };
	struct yaml_doc *d = yaml_load(path, false, rd->err);

	if (d == NULL)
		return -1;
	rd->docs = base_realloc(rd->docs, (rd->ndocs + 1) * sizeof(*rd->docs));
	rd->docs[rd->ndocs++] = d;
	struct yaml_node *list = d->roots[0]->type == YAML_MAP ?
	    yaml_get(d->roots[0], "rules") : NULL;

	if (list == NULL || list->type != YAML_SEQ || list->n == 0) {
		yaml_err(d, d->roots[0], rd->err,
		    "expected \"rules:\" and a list of rules");
		return -1;
	}
	if (yaml_check_keys(d, d->roots[0], top, 1, rd->err) != 0)
		return -1;
	for (size_t i = 0; i < list->n; i++) {
		if (rd->n == RULEPACK_RULES_MAX) {
			yaml_err(d, list->items[i], rd->err,
			    "more than %d rules", RULEPACK_RULES_MAX);
			return -1;
		}
		struct source *s = &rd->rules[rd->n++];

		s->doc = d;
		s->node = list->items[i];
		if (read_rule(rd, s) != 0)
			return -1;
	}
	return 0;
}

static int
is_yaml(const struct dirent *e)
{
	struct slice n = slice_str(e->d_name);

	return n.p[0] != '.' && slice_ends(n, ".yaml");
}

static int
read_dir(struct reader *rd, const char *dir)
{
	struct dirent **list = NULL;
	int n = scandir(dir, &list, is_yaml, alphasort), r = 0;

	if (n <= 0)
		err_set(rd->err, "%s: %s", dir, n < 0 ? strerror(errno) :
		    "no *.yaml file with rules");
	for (int i = 0; i < n; i++) {
		char path[4096];

		snprintf(path, sizeof(path), "%s/%s", dir, list[i]->d_name);
		if (r == 0)
			r = read_file(rd, path);
		free(list[i]);
	}
	free(list);
	return n <= 0 ? -1 : r;
}

/* Compile and examples ---------------------------------------------------- */

/* A pack of the rules that are (not) enabled; order_r maps its indexes to
 * rd->rules. *borrows* the entries: free only the pm and the array. */
static int
pack_of(struct reader *rd, bool enabled, struct rulepack *rp_r,
    size_t *order_r)
{
	struct pm_rule *in = base_calloc(rd->n + 1, sizeof(*in));
	size_t n = 0;

	rp_r->entries = base_calloc(rd->n + 1, sizeof(*rp_r->entries));
	for (size_t i = 0; i < rd->n; i++) {
		struct source *s = &rd->rules[i];

		if (s->enabled != enabled)
			continue;
		in[n] = (struct pm_rule){ .id = s->e.pub.id,
			.pattern = s->pattern, .flags = s->flags,
			.trigger = s->trigger, .back = (uint32_t)s->back,
			.max_width = s->e.max_width, .file = s->doc->file,
			.line = s->pattern_node->line };
		rp_r->entries[n] = s->e;
		order_r[n++] = i;
	}
	rp_r->n = n;
	if (n > 0)
		rp_r->pm = pm_compile(in, n, rd->err);
	free(in);
	return n > 0 && rp_r->pm == NULL ? -1 : 0;
}

struct wanted {
	uint32_t rule;
	bool found;
};

static enum pm_answer
note_rule(void *ctx, struct pm_hit *h)
{
	struct wanted *w = ctx;

	w->found |= h->rule == w->rule;
	return PM_TAKE;
}

static int
try_examples(struct reader *rd, struct rulepack *rp, uint32_t rule,
    const struct source *s, bool positive)
{
	const struct yaml_node *l = positive ? s->positive : s->negative;

	for (size_t i = 0; i < l->n; i++) {
		struct wanted w = { .rule = rule };
		struct slice text = slice_make(l->items[i]->text,
		    l->items[i]->len);

		if (rulepack_scan(rp, text, NULL, 0, note_rule, &w) !=
		    PM_DONE) {
			yaml_err(s->doc, l->items[i], rd->err, "rule %s: the "
			    "scan of this example reached its limit",
			    s->e.pub.id);
			return -1;
		}
		if (w.found != positive) {
			yaml_err(s->doc, l->items[i], rd->err,
			    "rule %s %s this %s example", s->e.pub.id,
			    positive ? "does not match" : "matches",
			    positive ? "positive" : "negative");
			return -1;
		}
	}
	return 0;
}

/* What replaces a value must be no value itself: a text is redacted once. */
static int
try_replace(struct reader *rd, struct rulepack *rp, const struct source *s)
{
	for (uint32_t r = 0; r < rp->n; r++) {
		struct wanted w = { .rule = r };

		if (rulepack_scan(rp, slice_str(s->e.pub.replace), NULL, 0,
		    note_rule, &w) != PM_DONE || w.found) {
			yaml_err(s->doc, s->node, rd->err, "rule %s matches "
			    "\"%s\", which is put in place of values",
			    rp->entries[r].pub.id, s->e.pub.replace);
			return -1;
		}
	}
	return 0;
}

static int
try_all(struct reader *rd, struct rulepack *rp, const size_t *order)
{
	for (uint32_t r = 0; r < rp->n; r++) {
		const struct source *s = &rd->rules[order[r]];

		if (try_examples(rd, rp, r, s, true) != 0 ||
		    try_examples(rd, rp, r, s, false) != 0 ||
		    try_replace(rd, rp, s) != 0)
			return -1;
	}
	return 0;
}

static int
compile_all(struct reader *rd, struct buf *out)
{
	struct rulepack on = { 0 }, off = { 0 };
	size_t *order = base_calloc(rd->n + 1, sizeof(*order));
	int r = -1;

	if (pack_of(rd, false, &off, order) != 0 ||
	    try_all(rd, &off, order) != 0)
		goto out;
	if (pack_of(rd, true, &on, order) != 0 ||
	    try_all(rd, &on, order) != 0)
		goto out;
	if (on.n == 0) {
		err_set(rd->err, "%s: no rule is enabled",
		    rd->rules[0].doc->file);
		goto out;
	}
	rulepack_pack(out, &on);
	if (out->full) {
		err_set(rd->err, "the rules do not fit into %zu bytes",
		    out->max);
		goto out;
	}
	r = 0;
out:
	free(on.entries);
	free(off.entries);
	pm_free(on.pm);
	pm_free(off.pm);
	free(order);
	return r;
}

int
rulepack_compile(const char *dir, const char *const *kinds, size_t nkinds,
    struct buf *out, struct err *err)
{
	struct reader rd = { .kinds = kinds, .nkinds = nkinds, .err = err };
	int r = -1;

	rd.rules = base_calloc(RULEPACK_RULES_MAX, sizeof(*rd.rules));
	if (read_dir(&rd, dir) == 0)
		r = compile_all(&rd, out);
	for (size_t i = 0; i < rd.n; i++) {
		rulepack_entry_free(&rd.rules[i].e);
		free(rd.rules[i].pattern);
		free(rd.rules[i].trigger);
	}
	for (size_t i = 0; i < rd.ndocs; i++)
		yaml_free(rd.docs[i]);
	free(rd.docs);
	free(rd.rules);
	return r;
}
