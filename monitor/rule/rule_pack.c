/*
 * rule_pack - a set of rules as bytes and back, and linking: fields are
 * interned over all rules, expressions compiled, correlations wired.
 *
 * The section comes from our own compiler in a sealed snapshot; it is read as
 * if it did not: every count, index and jump is checked.
 */
#include <stdio.h>
#include <stdlib.h>

#include "pack.h"
#include "rule_ir.h"

#define FORMAT 1

static void
pack_names(struct buf *b, char *const *names, size_t n)
{
	pack_u32(b, (uint32_t)n);
	for (size_t i = 0; i < n; i++)
		pack_str(b, names[i]);
}

static void
pack_pat(struct buf *b, const struct rule_pat *p)
{
	uint64_t num;

	memcpy(&num, &p->num, sizeof(num));
	pack_u8(b, p->op);
	pack_u8(b, p->cased);
	pack_slice(b, slice_make(p->text, p->len));
	pack_u64(b, num);
	pack_u32(b, p->re_options);
	pack_bytes(b, p->addr, sizeof(p->addr));
	pack_u8(b, p->bits);
}

static void
pack_item(struct buf *b, const struct rule_item *it)
{
	pack_u8(b, (uint8_t)(it->all | it->neq << 1 |
	    (it->name == NULL) << 2));
	pack_str(b, it->name);
}

static void
pack_body(struct buf *b, const struct rule_body *d)
{
	pack_u32(b, d->npats);
	for (uint32_t i = 0; i < d->npats; i++)
		pack_pat(b, &d->pats[i]);
	pack_u32(b, d->nitems);
	for (uint32_t i = 0; i < d->nitems; i++) {
		pack_item(b, &d->items[i]);
		pack_u32(b, d->items[i].pat);
		pack_u32(b, d->items[i].npats);
	}
	pack_u32(b, d->ngroups);
	for (uint32_t i = 0; i < d->ngroups; i++) {
		pack_u32(b, d->groups[i].item);
		pack_u32(b, d->groups[i].nitems);
	}
	pack_u32(b, d->nsels);
	for (uint32_t i = 0; i < d->nsels; i++) {
		pack_u32(b, d->sels[i].group);
		pack_u32(b, d->sels[i].ngroups);
	}
	pack_u32(b, d->nconds);
	for (uint32_t i = 0; i < d->nconds; i++) {
		pack_u8(b, d->conds[i].op);
		pack_u32(b, d->conds[i].arg);
	}
}

static void
pack_rule(struct buf *b, const struct rule *r)
{
	pack_str(b, r->id);
	pack_str(b, r->name);
	pack_str(b, r->title);
	pack_u8(b, (uint8_t)r->kind);
	pack_u8(b, (uint8_t)r->level);
	pack_u8(b, (uint8_t)r->advice);
	pack_u8(b, (uint8_t)r->stage);
	pack_u8(b, (uint8_t)(r->quiet | r->off_hours << 1 | r->learning << 2));
	pack_names(b, r->tags, r->ntags);
	pack_u64(b, r->types);
	pack_i64(b, r->after_flag_ms);
	pack_names(b, r->flags, r->nflags);
	pack_names(b, r->first_seen.names, r->first_seen.n);
	pack_i64(b, r->suppress_ms);
	pack_names(b, r->group.names, r->group.n);
	pack_names(b, r->refs, r->nrefs);
	pack_i64(b, r->span_ms);
	pack_u32(b, r->at_least);
	pack_u32(b, r->exactly);
	pack_names(b, r->value.names, r->value.n);
	pack_body(b, r->body);
}

void
rule_pack(struct buf *section, const struct rule_set *set)
{
	pack_u32(section, FORMAT);
	pack_u32(section, (uint32_t)set->n);
	for (size_t i = 0; i < set->n; i++) {
		pack_str(section, set->rules[i]->file);
		pack_u32(section, (uint32_t)set->rules[i]->line);
		pack_rule(section, set->rules[i]);
	}
}

static size_t
unpack_names(struct unpack *u, char ***v_r)
{
	uint32_t n = unpack_count(u, 4);

	*v_r = base_calloc(n + 1, sizeof(**v_r));
	for (uint32_t i = 0; i < n; i++)
		(*v_r)[i] = unpack_strdup(u);
	return n;
}

static void
unpack_key(struct unpack *u, struct rule_key *k)
{
	uint32_t n = unpack_count(u, 4);

	if (n > RULE_KEY_FIELDS)
		u->bad = true;
	for (; k->n < n && !u->bad; k->n++)
		k->names[k->n] = unpack_strdup(u);
}

static void
unpack_pats(struct unpack *u, struct rule_body *d)
{
	d->npats = unpack_count(u, 35);
	d->pats = base_calloc(d->npats + 1, sizeof(*d->pats));
	for (uint32_t i = 0; i < d->npats; i++) {
		struct rule_pat *p = &d->pats[i];
		struct slice text;
		uint64_t num;

		p->op = unpack_u8(u);
		p->cased = unpack_u8(u) != 0;
		text = unpack_slice(u);
		p->text = slice_dup(text);
		p->len = (uint32_t)text.n;
		num = unpack_u64(u);
		memcpy(&p->num, &num, sizeof(num));
		p->re_options = unpack_u32(u);
		unpack_bytes(u, p->addr, sizeof(p->addr));
		p->bits = unpack_u8(u);
		if (p->op >= RULE_OPS || p->bits > 128 || (p->re_options &
		    ~(PCRE2_CASELESS | PCRE2_MULTILINE | PCRE2_DOTALL)) != 0)
			u->bad = true;
	}
}

static bool
range_ok(uint32_t first, uint32_t n, uint32_t max)
{
	return first <= max && n <= max - first;
}

static void
unpack_items(struct unpack *u, struct rule_body *d)
{
	d->nitems = unpack_count(u, 13);
	d->items = base_calloc(d->nitems + 1, sizeof(*d->items));
	for (uint32_t i = 0; i < d->nitems; i++) {
		struct rule_item *it = &d->items[i];
		uint8_t flags = unpack_u8(u);

		it->all = flags & 1;
		it->neq = flags & 2;
		it->name = unpack_strdup(u);
		if (flags & 4) {
			free(it->name);
			it->name = NULL;
		} else if (it->name == NULL || it->name[0] == '\0') {
			u->bad = true;
		}
		it->pat = unpack_u32(u);
		it->npats = unpack_u32(u);
		if (!range_ok(it->pat, it->npats, d->npats))
			u->bad = true;
	}
}

/* The program must stay inside, never take from an empty stack, and find the
 * same depth at the target of a jump on both ways. */
static bool
conds_ok(const struct rule_body *d)
{
	uint8_t *need = base_calloc((size_t)d->nconds + 1, 1);
	unsigned depth = 0;
	bool ok = true;

	for (uint32_t i = 0; i < d->nconds && ok; i++) {
		const struct rule_cond *c = &d->conds[i];

		ok = need[i] == 0 || need[i] == depth;
		if (c->op == RULE_C_SEL) {
			ok = ok && c->arg < d->nsels && ++depth <= RULE_STACK;
		} else if (c->op == RULE_C_AND || c->op == RULE_C_OR) {
			ok = ok && depth >= 2;
			depth--;
		} else if (c->op == RULE_C_NOT) {
			ok = ok && depth >= 1;
		} else {
			ok = ok && c->op < RULE_C_OPS && depth >= 1 &&
			    c->arg > i && c->arg <= d->nconds &&
			    (need[c->arg] == 0 || need[c->arg] == depth);
			if (ok)
				need[c->arg] = (uint8_t)depth;
		}
	}
	ok = ok && (d->nconds == 0 || depth == 1) &&
	    (need[d->nconds] == 0 || need[d->nconds] == depth);
	free(need);
	return ok;
}

static void
unpack_body(struct unpack *u, struct rule_body *d)
{
	unpack_pats(u, d);
	unpack_items(u, d);
	d->ngroups = unpack_count(u, 8);
	d->groups = base_calloc(d->ngroups + 1, sizeof(*d->groups));
	for (uint32_t i = 0; i < d->ngroups; i++) {
		d->groups[i].item = unpack_u32(u);
		d->groups[i].nitems = unpack_u32(u);
		if (!range_ok(d->groups[i].item, d->groups[i].nitems,
		    d->nitems))
			u->bad = true;
	}
	d->nsels = unpack_count(u, 8);
	d->sels = base_calloc(d->nsels + 1, sizeof(*d->sels));
	for (uint32_t i = 0; i < d->nsels; i++) {
		d->sels[i].group = unpack_u32(u);
		d->sels[i].ngroups = unpack_u32(u);
		if (!range_ok(d->sels[i].group, d->sels[i].ngroups,
		    d->ngroups))
			u->bad = true;
	}
	d->nconds = unpack_count(u, 5);
	d->conds = base_calloc(d->nconds + 1, sizeof(*d->conds));
	for (uint32_t i = 0; i < d->nconds; i++) {
		d->conds[i].op = unpack_u8(u);
		d->conds[i].arg = unpack_u32(u);
	}
	if (!conds_ok(d))
		u->bad = true;
}

static void
unpack_rule(struct unpack *u, struct rule *r)
{
	uint8_t flags;

	r->id = unpack_strdup(u);
	r->name = unpack_strdup(u);
	r->title = unpack_strdup(u);
	r->kind = (enum rule_kind)unpack_u8(u);
	r->level = (enum rule_level)unpack_u8(u);
	r->advice = (enum rule_advice)unpack_u8(u);
	r->stage = (enum rule_stage)unpack_u8(u);
	flags = unpack_u8(u);
	r->quiet = flags & 1;
	r->off_hours = flags & 2;
	r->learning = flags & 4;
	r->ntags = unpack_names(u, &r->tags);
	r->types = unpack_u64(u);
	r->after_flag_ms = unpack_i64(u);
	r->nflags = unpack_names(u, &r->flags);
	unpack_key(u, &r->first_seen);
	r->suppress_ms = unpack_i64(u);
	unpack_key(u, &r->group);
	r->nrefs = unpack_names(u, &r->refs);
	r->span_ms = unpack_i64(u);
	r->at_least = unpack_u32(u);
	r->exactly = unpack_u32(u);
	unpack_key(u, &r->value);
	r->body = base_calloc(1, sizeof(*r->body));
	unpack_body(u, r->body);
	if (u->bad || r->kind > RULE_VALUE_COUNT || r->level > RULE_CRITICAL ||
	    r->advice > RULE_NONE || r->stage > RULE_BLOCK ||
	    r->span_ms < 0 || r->span_ms > RULE_SPAN_MAX_MS ||
	    r->suppress_ms < 0 || r->suppress_ms > RULE_SPAN_MAX_MS ||
	    r->after_flag_ms < 0 || r->after_flag_ms > RULE_SPAN_MAX_MS ||
	    (r->kind == RULE_MATCH) != (r->body->nconds > 0) ||
	    (r->kind != RULE_MATCH && (r->at_least < 1 || r->span_ms < 1)) ||
	    r->at_least > (r->kind == RULE_VALUE_COUNT ? RULE_DISTINCT_MAX :
	    RULE_COUNT_MAX))
		u->bad = true;
}

struct rule_set *
rule_load(struct slice section)
{
	struct rule_set *set = base_calloc(1, sizeof(*set));
	struct unpack u;
	uint32_t n;

	unpack_init(&u, section);
	if (unpack_u32(&u) != FORMAT)
		u.bad = true;
	n = unpack_count(&u, 100);
	for (uint32_t i = 0; i < n && i < RULE_MAX && !u.bad; i++) {
		struct rule *r = base_calloc(1, sizeof(*r));
		const char *from;

		*RULE_PUSH(set->rules, set->n) = r;
		r->file = unpack_strdup(&u);
		r->line = (int)unpack_u32(&u);
		/* Its place is no part of what a rule is. */
		from = u.p;
		unpack_rule(&u, r);
		if (!u.bad)
			r->identity = map_hash(from, (size_t)(u.p - from));
	}
	if (!unpack_done(&u) || rule_link(set, NULL) != 0) {
		rule_set_free(set);
		return NULL;
	}
	return set;
}

/* --- linking ------------------------------------------------------------ */

static uint32_t
number_of(struct map *m, struct slice name, uint32_t *n)
{
	uintptr_t v = (uintptr_t)map_get(m, name);

	if (v == 0) {
		v = ++*n;
		map_put(m, name, (void *)v);
	}
	return (uint32_t)v - 1;
}

static uint32_t
field_of(struct rule_fields *fs, const char *name)
{
	struct slice s = slice_str(name), rest = s, first;
	uint32_t n = fs->n, id = number_of(&fs->names, s, &n);
	struct rule_field *f;

	if (n == fs->n)
		return id;
	f = RULE_PUSH(fs->f, fs->n);
	f->name = base_strdup(name);
	first = slice_cut(&rest, '.');
	f->head = number_of(&fs->heads, first, &fs->nheads);
	f->flat = RULE_ANY_FIELD;
	if (rest.p != NULL) {
		f->rest = (uint32_t)first.n + 1;
		f->flat = number_of(&fs->heads, s, &fs->nheads);
	}
	return id;
}

static void
link_key(struct rule_fields *fs, struct rule_key *k)
{
	for (size_t i = 0; i < k->n; i++)
		k->fields[i] = field_of(fs, k->names[i]);
}

/* Two 4-grams of the longest literal run, for the bitmap in rule_eval. */
static void
link_grams(struct rule_pat *p)
{
	size_t best = 0, len = 0;

	for (size_t i = 0, from = 0; i <= p->len; i++) {
		if (i < p->len && p->text[i] != RULE_RUN &&
		    p->text[i] != RULE_ONE)
			continue;
		if (i - from > len) {
			best = from;
			len = i - from;
		}
		from = i + 1;
	}
	if (len < 4)
		return;
	/* Grams are of folded text, whatever the pattern's case. */
	char *fold = base_realloc(NULL, len);

	rule_fold(fold, p->text + best, len);
	p->gram[0] = rule_gram(fold);
	p->gram[1] = rule_gram(fold + len - 4);
	p->ngrams = len == 4 ? 1 : 2;
	free(fold);
}

/* Items that ask the same (class: dangerous, ...) are answered once. */
static void
link_memo(struct rule_fields *fs, struct rule_body *d, struct rule_item *it)
{
	struct rule_item *first;
	struct buf b;

	it->memo = RULE_NO_MEMO;
	buf_init(&b, SIZE_MAX / 2);
	pack_item(&b, it);
	for (uint32_t i = 0; i < it->npats; i++)
		pack_pat(&b, &d->pats[it->pat + i]);
	first = map_get(&fs->items, buf_slice(&b));
	if (first == NULL) {
		map_put(&fs->items, buf_slice(&b), it);
	} else {
		if (first->memo == RULE_NO_MEMO)
			first->memo = fs->nmemos++;
		it->memo = first->memo;
	}
	buf_free(&b);
}

static void
link_heads(struct rule_fields *fs)
{
	struct slice key;
	size_t at = 0, size = 16;
	void *v;

	while (size < 3 * (size_t)fs->nheads)
		size *= 2;
	fs->table = base_calloc(size, sizeof(*fs->table));
	fs->mask = (uint32_t)size - 1;
	while (map_next(&fs->heads, &at, &key, &v)) {
		uint32_t h = rule_head_hash(key) & fs->mask;

		while (fs->table[h].key != NULL)
			h = (h + 1) & fs->mask;
		fs->table[h].key = slice_dup(key);
		fs->table[h].len = (uint32_t)key.n;
		fs->table[h].number = (uint32_t)(uintptr_t)v - 1;
	}
}

static int
link_body(struct rule_fields *fs, struct rule_body *d)
{
	char why[128];
	size_t at;

	for (uint32_t i = 0; i < d->nitems; i++) {
		d->items[i].field = d->items[i].name == NULL ? RULE_ANY_FIELD :
		    field_of(fs, d->items[i].name);
		link_memo(fs, d, &d->items[i]);
	}
	for (uint32_t i = 0; i < d->npats; i++) {
		struct rule_pat *p = &d->pats[i];

		if (p->op == RULE_OP_CONTAINS || p->op == RULE_OP_GLOB)
			link_grams(p);
		if (p->op == RULE_OP_FIELD)
			p->field = field_of(fs, p->text);
		if (p->op == RULE_OP_RE && p->re == NULL &&
		    (p->re = rule_regex(p, why, sizeof(why), &at)) == NULL)
			return -1;
	}
	return 0;
}

/* A correlation's state depends on what it counts. */
static int
link_refs(struct map *names, const struct rule_set *set, uint32_t k)
{
	struct rule *r = set->rules[k];

	for (size_t i = 0; i < r->nrefs; i++) {
		struct rule *ref = map_get(names, slice_str(r->refs[i]));

		if (ref == NULL || ref->kind != RULE_MATCH)
			return -1;
		*RULE_PUSH(ref->feeds, ref->nfeeds) = k;
		r->identity = r->identity * 31 + ref->identity;
		if (r->advice != RULE_NONE)
			ref->is_inline = true;
	}
	return 0;
}

static void
link_types(struct rule_set *set)
{
	for (uint32_t i = 0; i < set->n; i++) {
		const struct rule *r = set->rules[i];

		for (int t = 0; r->kind == RULE_MATCH && t < EVENT_COUNT;
		    t++) {
			if ((r->types >> t & 1) != 0)
				*RULE_PUSH(set->by_type[t],
				    set->nby_type[t]) = i;
		}
	}
}

int
rule_link(struct rule_set *set, struct err *err)
{
	struct map names;
	int bad = 0;

	set->fields = base_calloc(1, sizeof(*set->fields));
	map_init(&names);
	for (size_t i = 0; i < set->n; i++) {
		struct rule *r = set->rules[i];

		if (map_put(&names, slice_str(r->id), r) != NULL)
			bad = -1;
		if (r->name != NULL && r->name[0] != '\0')
			map_put(&names, slice_str(r->name), r);
		link_key(set->fields, &r->first_seen);
		link_key(set->fields, &r->group);
		link_key(set->fields, &r->value);
		bad |= link_body(set->fields, r->body);
		r->is_inline |= r->advice != RULE_NONE;
	}
	for (uint32_t i = 0; i < set->n; i++)
		bad |= link_refs(&names, set, i);
	link_types(set);
	link_heads(set->fields);
	map_free(&set->fields->heads);
	map_free(&set->fields->names);
	map_free(&set->fields->items);
	map_free(&names);
	if (bad != 0)
		err_set(err, "rules do not fit together");
	return bad;
}
