/* rule - sets of rules: from a folder, from a text, and their end. */
#include "rule.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "rule_yaml.h"

#define FILES_MAX 5000

static void
names_free(char **v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(v[i]);
}

static void
body_free(struct rule_body *d)
{
	if (d == NULL)
		return;
	for (uint32_t i = 0; i < d->npats; i++) {
		free(d->pats[i].text);
		pcre2_code_free(d->pats[i].re);
	}
	for (uint32_t i = 0; i < d->nitems; i++)
		free(d->items[i].name);
	for (uint32_t i = 0; i < d->nsels; i++)
		free(d->sels[i].name);
	free(d->pats);
	free(d->items);
	free(d->groups);
	free(d->sels);
	free(d->conds);
	free(d);
}

void
rule_free(struct rule *r)
{
	names_free(r->tags, r->ntags);
	names_free(r->flags, r->nflags);
	names_free(r->refs, r->nrefs);
	names_free(r->first_seen.names, r->first_seen.n);
	names_free(r->group.names, r->group.n);
	names_free(r->value.names, r->value.n);
	free(r->tags);
	free(r->flags);
	free(r->refs);
	free(r->feeds);
	free(r->id);
	free(r->name);
	free(r->title);
	free(r->file);
	body_free(r->body);
	free(r);
}

static void
tests_free(struct rule_test *t, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < t[i].nevents; k++)
			free(t[i].events[k].json);
		free(t[i].events);
		free(t[i].name);
		free(t[i].rule);
		free(t[i].file);
		free(t[i].zone);
	}
	free(t);
}

static void
fields_free(struct rule_fields *fs)
{
	if (fs == NULL)
		return;
	for (uint32_t i = 0; i < fs->n; i++)
		free(fs->f[i].name);
	for (uint32_t i = 0; fs->table != NULL && i <= fs->mask; i++)
		free(fs->table[i].key);
	free(fs->table);
	free(fs->f);
	free(fs);
}

void
rule_set_free(struct rule_set *set)
{
	if (set == NULL)
		return;
	for (size_t i = 0; i < set->n; i++)
		rule_free(set->rules[i]);
	free(set->rules);
	tests_free(set->tests, set->ntests);
	for (int t = 0; t < EVENT_COUNT; t++)
		free(set->by_type[t]);
	fields_free(set->fields);
	free(set);
}

bool
rule_uses_hours(const struct rule_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		if (set->rules[i]->off_hours)
			return true;
	}
	return false;
}

const struct rule *
rule_by_id(const struct rule_set *set, struct slice id)
{
	for (size_t i = 0; i < set->n; i++) {
		if (slice_is(id, set->rules[i]->id))
			return set->rules[i];
	}
	return NULL;
}

/* Builds from parsed files; the documents stay the caller's. */
static struct rule_set *
build(struct yaml_doc **docs, size_t n, unsigned flags, rule_warn_fn *warn,
    void *ctx, struct err *err)
{
	struct rule_build b = { .flags = flags, .warn = warn, .ctx = ctx,
	    .err = err };
	size_t *first = base_calloc(n + 1, sizeof(*first));
	int r = 0;

	map_init(&b.names);
	b.set = base_calloc(1, sizeof(*b.set));
	for (size_t i = 0; i < n && r == 0; i++) {
		b.doc = docs[i];
		first[i] = b.set->n;
		r = rule_yaml_add(&b);
	}
	for (size_t i = 0; i < n && r == 0; i++) {
		b.doc = docs[i];
		r = rule_yaml_resolve(&b, first[i]);
	}
	if (r == 0)
		r = rule_link(b.set, err);
	map_free(&b.names);
	free(first);
	if (r == 0)
		return b.set;
	rule_set_free(b.set);
	return NULL;
}

struct rule_set *
rule_build_text(const char *file, struct slice text, unsigned flags,
    rule_warn_fn *warn, void *ctx, struct err *err)
{
	struct yaml_doc *doc = yaml_parse(file, text, true, err);
	struct rule_set *set;

	if (doc == NULL)
		return NULL;
	set = build(&doc, 1, flags, warn, ctx, err);
	yaml_free(doc);
	return set;
}

static int
is_rule_file(const struct dirent *e)
{
	struct slice s = slice_str(e->d_name);

	return s.p[0] != '.' && (slice_ends(s, ".yml") ||
	    slice_ends(s, ".yaml"));
}

struct rule_set *
rule_build_dir(const char *dir, rule_warn_fn *warn, void *ctx, struct err *err)
{
	struct dirent **names = NULL;
	struct yaml_doc **docs;
	struct rule_set *set = NULL;
	char path[4096];
	int n = scandir(dir, &names, is_rule_file, alphasort), k = 0;

	if (n < 0) {
		err_at(err, dir, 0, 0, "cannot read this folder of rules: %s",
		    strerror(errno));
		return NULL;
	}
	docs = base_calloc((size_t)n + 1, sizeof(*docs));
	if (n > FILES_MAX)
		err_at(err, dir, 0, 0, "more than %d files", FILES_MAX);
	for (; k < n && n <= FILES_MAX; k++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[k]->d_name);
		docs[k] = yaml_load(path, true, err);
		if (docs[k] == NULL)
			break;
	}
	if (k == n)
		set = build(docs, (size_t)n, 0, warn, ctx, err);
	for (int i = 0; i < k; i++)
		yaml_free(docs[i]);
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(docs);
	free(names);
	return set;
}

int
rule_compile_dir(const char *dir, struct buf *section, rule_warn_fn *warn,
    void *ctx, struct err *err)
{
	struct rule_set *set = rule_build_dir(dir, warn, ctx, err), *again;
	struct buf b;
	int r = -1;

	if (set == NULL)
		return -1;
	buf_init(&b, 64u << 20);
	rule_pack(&b, set);
	again = b.full ? NULL : rule_load(buf_slice(&b));
	if (b.full || buf_add_slice(section, buf_slice(&b)) != 0)
		err_at(err, dir, 0, 0, "these rules are too large together");
	else if (again == NULL)
		err_at(err, dir, 0, 0, "the packed rules do not load again");
	else
		r = 0;
	rule_set_free(again);
	rule_set_free(set);
	buf_free(&b);
	return r;
}
