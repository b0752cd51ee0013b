/*
 * rule_eval - one event against rules.
 *
 * The event's JSON is indexed once; one walk over its members finds the first
 * segment of every field any rule names; a field's values are resolved,
 * decoded and folded at most once an event, when the first rule asks.
 *
 * A value with 8 bytes or more gets a bitmap of its 4-grams, so that a
 * pattern that is not contained usually costs two bit tests.
 */
#include <stdlib.h>

#include "rule_ir.h"

#define ARENA_MAX (64u << 20)
#define BITMAP_FROM 8		/* bytes of a value */
#define MATCH_LIMIT 200000	/* PCRE2 steps a value */
#define DEPTH_LIMIT 2000
#define HEAP_LIMIT_KIB 4096

struct value {
	uint32_t node;
	bool have_text, have_fold;
	bool failed;		/* out of memory limit: undecided */
	struct slice text;	/* p == NULL: no text (null, object) */
	struct slice fold;
	uint64_t *bitmap;
	uint32_t mask;
};

struct resolved {
	struct value *v;
	uint32_t n;
	uint64_t epoch;		/* of the event it was resolved for */
};

struct step {
	uint32_t node;
	uint32_t off;		/* in the field's name; its length: arrived */
};

struct rule_event {
	const struct rule_set *set;
	struct json_doc doc;
	struct arena *mem;
	uint64_t epoch, undecided;
	enum event_type type;
	struct uuid id;
	int64_t time;
	const char *only;	/* the one field that is known; NULL: all */
	uint32_t *heads;	/* node of each first segment */
	struct resolved *fields;	/* one a field, and one for keywords */
	uint32_t nheads, nfields, nmemos;
	uint64_t *memo;		/* of shared items: epoch * 4 + truth */
	struct step *queue;
	uint32_t nqueue;
	pcre2_match_data *match;
	pcre2_match_context *limits;
};

struct rule_event *
rule_event_new(void)
{
	struct rule_event *ev = base_calloc(1, sizeof(*ev));

	json_init(&ev->doc);
	ev->mem = arena_new(ARENA_MAX);
	ev->match = pcre2_match_data_create(1, NULL);
	ev->limits = pcre2_match_context_create(NULL);
	ASSERT(ev->match != NULL && ev->limits != NULL);
	pcre2_set_match_limit(ev->limits, MATCH_LIMIT);
	pcre2_set_depth_limit(ev->limits, DEPTH_LIMIT);
	pcre2_set_heap_limit(ev->limits, HEAP_LIMIT_KIB);
	return ev;
}

void
rule_event_free(struct rule_event *ev)
{
	if (ev == NULL)
		return;
	json_free(&ev->doc);
	arena_free(ev->mem);
	pcre2_match_data_free(ev->match);
	pcre2_match_context_free(ev->limits);
	free(ev->heads);
	free(ev->fields);
	free(ev->memo);
	free(ev->queue);
	free(ev);
}

static void
make_room(struct rule_event *ev, const struct rule_set *set)
{
	const struct rule_fields *fs = set->fields;

	if (fs->nheads > ev->nheads)
		ev->heads = base_realloc(ev->heads, fs->nheads *
		    sizeof(*ev->heads));
	if (fs->n + 1 > ev->nfields || ev->set != set) {
		free(ev->fields);
		ev->fields = base_calloc(fs->n + 1, sizeof(*ev->fields));
		ev->nfields = fs->n + 1;
	}
	if (fs->nmemos > ev->nmemos) {
		free(ev->memo);
		ev->memo = base_calloc(fs->nmemos, sizeof(*ev->memo));
		ev->nmemos = fs->nmemos;
	}
	if (fs->nheads > ev->nheads)
		ev->nheads = fs->nheads;
	ev->set = set;
}

/* Decoded text of a string node; p == NULL when memory ran out. */
static struct slice
node_text(struct rule_event *ev, uint32_t node)
{
	struct slice inner = json_inner(&ev->doc, node);
	struct buf out;
	struct slice s;

	if ((ev->doc.nodes[node].flags & JSON_ESCAPED) == 0)
		return slice_make(inner.p == NULL ? "" : inner.p, inner.n);
	buf_init(&out, inner.n + 4);
	if (json_decode(&ev->doc, node, &out) != 0) {
		buf_free(&out);
		return slice_make(NULL, 0);
	}
	s = arena_copy(ev->mem, buf_slice(&out));
	buf_free(&out);
	return s;
}

static void
find_heads(struct rule_event *ev)
{
	const struct rule_fields *fs = ev->set->fields;
	uint32_t key = json_first(&ev->doc, 0);

	for (uint32_t i = 0; i < fs->nheads; i++)
		ev->heads[i] = JSON_NONE;
	while (key != JSON_NONE) {
		uint32_t val = json_next(&ev->doc, 0, key);
		struct slice name = node_text(ev, key);
		uint32_t h = rule_head_hash(name) & fs->mask;

		for (; fs->table[h].key != NULL; h = (h + 1) & fs->mask) {
			if (fs->table[h].len == name.n && memcmp(
			    fs->table[h].key, name.p, name.n) == 0) {
				ev->heads[fs->table[h].number] = val;
				break;
			}
		}
		key = json_next(&ev->doc, 0, val);
	}
}

static struct slice
member_text(struct rule_event *ev, const char *key)
{
	uint32_t n = json_member(&ev->doc, 0, key);

	return json_typeof(&ev->doc, n) == JSON_STRING ? node_text(ev, n) :
	    slice_make("", 0);
}

int
rule_event_set(struct rule_event *ev, const struct rule_set *set,
    struct slice json)
{
	make_room(ev, set);
	ev->epoch++;
	arena_reset(ev->mem);
	if (json_index(&ev->doc, json, NULL) != JSON_OK ||
	    json_typeof(&ev->doc, 0) != JSON_OBJECT)
		return -1;
	if (!event_type_parse(member_text(ev, "type"), &ev->type) ||
	    !uuid_parse(member_text(ev, "id"), &ev->id) ||
	    !rule_parse_time(member_text(ev, "time"), &ev->time))
		return -1;
	find_heads(ev);
	return 0;
}

enum event_type
rule_event_type(const struct rule_event *ev)
{
	return ev->type;
}

struct uuid
rule_event_id(const struct rule_event *ev)
{
	return ev->id;
}

int64_t
rule_event_time(const struct rule_event *ev)
{
	return ev->time;
}

const struct json_doc *
rule_event_doc(const struct rule_event *ev)
{
	return &ev->doc;
}

uint64_t
rule_undecided(const struct rule_event *ev)
{
	return ev->undecided;
}

/* --- resolving fields --------------------------------------------------- */

static void
queue_add(struct rule_event *ev, uint32_t *n, uint32_t node, uint32_t off)
{
	if (node == JSON_NONE)
		return;
	if (*n == ev->nqueue) {
		ev->nqueue = ev->nqueue == 0 ? 64 : ev->nqueue * 2;
		ev->queue = base_realloc(ev->queue, ev->nqueue *
		    sizeof(*ev->queue));
	}
	ev->queue[(*n)++] = (struct step){ node, off };
}

/* A member whose key is the rest of the name, and one whose key is its next
 * segment: both are followed, so that neither can hide the other. */
static void
descend(struct rule_event *ev, struct step s, const char *name, size_t len,
    uint32_t *n)
{
	const char *dot = memchr(name + s.off, '.', len - s.off);
	char seg[256];

	queue_add(ev, n, json_member(&ev->doc, s.node, name + s.off),
	    (uint32_t)len);
	if (dot == NULL)
		return;
	memcpy(seg, name + s.off, (size_t)(dot - name) - s.off);
	seg[(size_t)(dot - name) - s.off] = '\0';
	queue_add(ev, n, json_member(&ev->doc, s.node, seg),
	    (uint32_t)(dot - name) + 1);
}

/* Works the queue off; what arrives stays at its front. */
static uint32_t
walk(struct rule_event *ev, const char *name, size_t len, uint32_t n)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct step s = ev->queue[i];
		enum json_type t = json_typeof(&ev->doc, s.node);

		if (t == JSON_ARRAY) {
			for (uint32_t c = json_first(&ev->doc, s.node);
			    c != JSON_NONE;
			    c = json_next(&ev->doc, s.node, c))
				queue_add(ev, &n, c, s.off);
		} else if (s.off >= len) {
			ev->queue[found++] = s;
		} else if (t == JSON_OBJECT) {
			descend(ev, s, name, len, &n);
		}
	}
	return found;
}

/* Every string and number of the event, for keywords. */
static uint32_t
leaves(struct rule_event *ev)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < ev->doc.n; i++) {
		const struct json_node *d = &ev->doc.nodes[i];

		if ((d->type == JSON_STRING && (d->flags & JSON_KEY) == 0) ||
		    d->type == JSON_NUMBER)
			queue_add(ev, &n, i, 0);
	}
	return n;
}

static void
resolve_now(struct rule_event *ev, uint32_t field, struct resolved *r)
{
	bool any = field == RULE_ANY_FIELD;
	uint32_t n = 0;

	if (any) {
		n = leaves(ev);
	} else {
		const struct rule_field *f = &ev->set->fields->f[field];
		size_t len = strlen(f->name);

		queue_add(ev, &n, ev->heads[f->head], f->rest == 0 ?
		    (uint32_t)len : f->rest);
		if (f->flat != RULE_ANY_FIELD)
			queue_add(ev, &n, ev->heads[f->flat], (uint32_t)len);
		n = walk(ev, f->name, len, n);
	}
	r->epoch = ev->epoch;
	r->v = arena_alloc(ev->mem, n * sizeof(*r->v));
	r->n = r->v == NULL ? 0 : n;
	for (uint32_t i = 0; i < r->n; i++)
		r->v[i].node = ev->queue[i].node;
}

static inline struct resolved *
resolve(struct rule_event *ev, uint32_t field)
{
	struct resolved *r = &ev->fields[field == RULE_ANY_FIELD ?
	    ev->set->fields->n : field];

	if (r->epoch != ev->epoch)
		resolve_now(ev, field, r);
	return r;
}

static void
value_decode(struct rule_event *ev, struct value *v)
{
	enum json_type t = json_typeof(&ev->doc, v->node);

	v->have_text = true;
	if (t == JSON_STRING) {
		v->text = node_text(ev, v->node);
		v->failed = v->text.p == NULL;
	} else if (t == JSON_NUMBER || t == JSON_TRUE || t == JSON_FALSE) {
		v->text = json_raw(&ev->doc, v->node);
	}
}

static inline struct slice
value_text(struct rule_event *ev, struct value *v)
{
	if (!v->have_text)
		value_decode(ev, v);
	return v->text;
}

static void
value_fold(struct rule_event *ev, struct value *v)
{
	struct slice t = value_text(ev, v);
	uint32_t bits = 1024;
	char *p;

	if (v->have_fold || t.p == NULL)
		return;
	v->have_fold = true;
	p = arena_alloc(ev->mem, t.n + 1);
	if (p == NULL) {
		v->failed = true;
		return;
	}
	rule_fold(p, t.p, t.n);
	v->fold = slice_make(p, t.n);
	if (t.n < BITMAP_FROM)
		return;
	while (bits < 16 * t.n && bits < 1u << 20)
		bits *= 2;
	v->bitmap = arena_alloc(ev->mem, bits / 8);
	v->mask = bits - 1;
	for (size_t i = 0; v->bitmap != NULL && i + 4 <= t.n; i++) {
		uint32_t g = rule_gram(p + i) & v->mask;

		v->bitmap[g >> 6] |= 1ULL << (g & 63);
	}
}

static bool
grams_in(const struct value *v, const struct rule_pat *p)
{
	if (v->bitmap == NULL)
		return true;
	for (unsigned i = 0; i < p->ngrams; i++) {
		uint32_t g = p->gram[i] & v->mask;

		if ((v->bitmap[g >> 6] >> (g & 63) & 1) == 0)
			return false;
	}
	return true;
}

/* --- patterns ----------------------------------------------------------- */

static inline bool
text_eq(const struct rule_pat *p, struct slice part)
{
	struct slice t = slice_make(p->text, p->len);

	if (part.n != t.n)
		return false;
	if (p->cased)
		return slice_eq(part, t);
	/* The pattern is folded: a first byte decides most. */
	if (t.n > 0 && ((part.p[0] ^ t.p[0]) & ~0x20) != 0)
		return false;
	return slice_eq_nocase(part, t);
}

static enum rule_truth
match_contains(struct rule_event *ev, const struct rule_pat *p,
    struct value *v)
{
	struct slice t = value_text(ev, v);

	if (t.n < p->len && p->op == RULE_OP_CONTAINS)
		return RULE_NO;
	value_fold(ev, v);
	if (v->failed)
		return RULE_MAYBE;
	if (!grams_in(v, p))
		return RULE_NO;
	if (!p->cased)
		t = v->fold;
	if (p->op == RULE_OP_GLOB)
		return rule_wild(slice_make(p->text, p->len), t) ? RULE_YES :
		    RULE_NO;
	return memmem(t.p, t.n, p->text, p->len) != NULL ? RULE_YES : RULE_NO;
}

static enum rule_truth
match_regex(struct rule_event *ev, const struct rule_pat *p, struct slice t)
{
	int r = pcre2_match(p->re, (PCRE2_SPTR)t.p, t.n, 0,
	    PCRE2_NO_UTF_CHECK, ev->match, ev->limits);

	return r >= 0 ? RULE_YES : r == PCRE2_ERROR_NOMATCH ? RULE_NO :
	    RULE_MAYBE;
}

static bool
match_cidr(const struct rule_pat *p, struct slice t)
{
	uint8_t a[16];
	unsigned whole = p->bits / 8, rest = p->bits % 8;

	if (!rule_parse_addr(t, a) || memcmp(a, p->addr, whole) != 0)
		return false;
	return rest == 0 || ((a[whole] ^ p->addr[whole]) >> (8 - rest)) == 0;
}

static bool
match_number(const struct rule_pat *p, struct slice t)
{
	double v;

	if (!rule_parse_number(t, &v))
		return false;
	switch (p->op) {
	case RULE_OP_LT: return v < p->num;
	case RULE_OP_LTE: return v <= p->num;
	case RULE_OP_GT: return v > p->num;
	case RULE_OP_GTE: return v >= p->num;
	default: return v == p->num;
	}
}

static enum rule_truth
match_field(struct rule_event *ev, const struct rule_pat *p, struct slice t)
{
	struct resolved *o = resolve(ev, p->field);

	for (uint32_t i = 0; i < o->n; i++) {
		struct slice other = value_text(ev, &o->v[i]);

		if (other.p != NULL && slice_eq_nocase(other, t))
			return RULE_YES;
	}
	return RULE_NO;
}

/* One pattern, one value that has a text. */
static enum rule_truth
match_text(struct rule_event *ev, const struct rule_pat *p, struct value *v,
    struct slice t)
{
	switch (p->op) {
	case RULE_OP_EQ:
		return text_eq(p, t) ? RULE_YES : RULE_NO;
	case RULE_OP_STARTS:
		return t.n >= p->len && text_eq(p, slice_sub(t, 0, p->len)) ?
		    RULE_YES : RULE_NO;
	case RULE_OP_ENDS:
		return t.n >= p->len && text_eq(p, slice_sub(t, t.n - p->len,
		    p->len)) ? RULE_YES : RULE_NO;
	case RULE_OP_PRESENT:
		return RULE_YES;
	case RULE_OP_CIDR:
		return match_cidr(p, t) ? RULE_YES : RULE_NO;
	case RULE_OP_CONTAINS: case RULE_OP_GLOB:
		return match_contains(ev, p, v);
	case RULE_OP_RE:
		return match_regex(ev, p, t);
	case RULE_OP_FIELD:
		return match_field(ev, p, t);
	default:
		return match_number(p, t) ? RULE_YES : RULE_NO;
	}
}

static enum rule_truth
match_pat(struct rule_event *ev, const struct rule_pat *p, struct resolved *r)
{
	enum rule_truth best = RULE_NO;

	if (p->op == RULE_OP_EXISTS)
		return (r->n > 0) == (p->num != 0) ? RULE_YES : RULE_NO;
	if (p->op == RULE_OP_NULL && r->n == 0)
		return RULE_YES;
	for (uint32_t i = 0; i < r->n && best != RULE_YES; i++) {
		struct slice t = value_text(ev, &r->v[i]);
		enum rule_truth m;

		if (p->op == RULE_OP_NULL)
			m = json_typeof(&ev->doc, r->v[i].node) == JSON_NULL ?
			    RULE_YES : RULE_NO;
		else if (t.p == NULL)
			m = r->v[i].failed ? RULE_MAYBE : RULE_NO;
		else
			m = match_text(ev, p, &r->v[i], t);
		if (m != RULE_NO)
			best = m;
	}
	return best;
}

static enum rule_truth
truth_not(enum rule_truth t)
{
	return t == RULE_MAYBE ? t : t == RULE_NO ? RULE_YES : RULE_NO;
}

static enum rule_truth
truth_and(enum rule_truth a, enum rule_truth b)
{
	if (a == RULE_NO || b == RULE_NO)
		return RULE_NO;
	return a == RULE_YES && b == RULE_YES ? RULE_YES : RULE_MAYBE;
}

static enum rule_truth
truth_or(enum rule_truth a, enum rule_truth b)
{
	return truth_not(truth_and(truth_not(a), truth_not(b)));
}

/* The usual case: one value that has a text, any of the patterns. */
static enum rule_truth
match_any(struct rule_event *ev, const struct rule_pat *p,
    const struct rule_pat *end, struct resolved *r)
{
	struct value *v = &r->v[0];
	struct slice t = value_text(ev, v);
	enum rule_truth best = RULE_NO, m;

	for (; p < end && best != RULE_YES; p++) {
		if (p->op == RULE_OP_EQ) {
			m = text_eq(p, t) ? RULE_YES : RULE_NO;
		} else if (p->op == RULE_OP_CONTAINS) {
			if (t.n < p->len || (v->have_fold && !grams_in(v, p)))
				continue;
			m = match_contains(ev, p, v);
		} else {
			m = match_pat(ev, p, r);
		}
		if (m != RULE_NO)
			best = m;
	}
	return best;
}

/* Is this item decided by the only field that is known? */
static bool
is_known(const struct rule_event *ev, const struct rule_body *d,
    const struct rule_item *it)
{
	if (it->field == RULE_ANY_FIELD ||
	    strcmp(ev->set->fields->f[it->field].name, ev->only) != 0)
		return false;
	for (uint32_t i = 0; i < it->npats; i++)
		if (d->pats[it->pat + i].op == RULE_OP_FIELD)
			return false;
	return true;
}

static enum rule_truth
match_item_now(struct rule_event *ev, const struct rule_body *d,
    const struct rule_item *it)
{
	enum rule_truth stop = it->all ? RULE_NO : RULE_YES, t;
	struct resolved *r = resolve(ev, it->field);

	t = it->all ? RULE_YES : RULE_NO;
	if (ev->only != NULL && !is_known(ev, d, it))
		return RULE_MAYBE;
	if (arena_failed(ev->mem))
		return RULE_MAYBE;
	if (r->n == 1 && !it->all && value_text(ev, &r->v[0]).p != NULL) {
		t = match_any(ev, &d->pats[it->pat], &d->pats[it->pat +
		    it->npats], r);
		return it->neq ? truth_not(t) : t;
	}
	for (uint32_t i = 0; i < it->npats && t != stop; i++) {
		enum rule_truth m = match_pat(ev, &d->pats[it->pat + i], r);

		t = it->all ? truth_and(t, m) : truth_or(t, m);
	}
	return it->neq ? truth_not(t) : t;
}

static inline enum rule_truth
match_item(struct rule_event *ev, const struct rule_body *d,
    const struct rule_item *it)
{
	enum rule_truth t;

	if (it->memo == RULE_NO_MEMO)
		return match_item_now(ev, d, it);
	if (ev->memo[it->memo] >> 2 == ev->epoch)
		return (enum rule_truth)(ev->memo[it->memo] & 3);
	t = match_item_now(ev, d, it);
	ev->memo[it->memo] = ev->epoch << 2 | (uint64_t)t;
	return t;
}

static enum rule_truth
match_sel(struct rule_event *ev, const struct rule_body *d,
    const struct rule_sel *s)
{
	enum rule_truth any = RULE_NO;

	for (uint32_t g = 0; g < s->ngroups && any != RULE_YES; g++) {
		const struct rule_group *gr = &d->groups[s->group + g];
		enum rule_truth all = RULE_YES;

		for (uint32_t i = 0; i < gr->nitems && all != RULE_NO; i++)
			all = truth_and(all, match_item(ev, d,
			    &d->items[gr->item + i]));
		any = truth_or(any, all);
	}
	return any;
}

bool
rule_match(struct rule_event *ev, const struct rule *r)
{
	const struct rule_body *d = r->body;
	uint8_t stack[RULE_STACK];	/* enum rule_truth */
	unsigned n = 0;

	ASSERT(r->kind == RULE_MATCH && d->nconds > 0);
	for (uint32_t i = 0; i < d->nconds; i++) {
		const struct rule_cond *c = &d->conds[i];

		switch ((enum rule_cond_op)c->op) {
		case RULE_C_SEL:
			stack[n++] = (uint8_t)match_sel(ev, d,
			    &d->sels[c->arg]);
			break;
		case RULE_C_NOT:
			stack[n - 1] = (uint8_t)truth_not(stack[n - 1]);
			break;
		case RULE_C_AND:
			n--;
			stack[n - 1] = (uint8_t)truth_and(stack[n - 1],
			    stack[n]);
			break;
		case RULE_C_OR:
			n--;
			stack[n - 1] = (uint8_t)truth_or(stack[n - 1],
			    stack[n]);
			break;
		case RULE_C_JNO:
			if (stack[n - 1] == RULE_NO)
				i = c->arg - 1;
			break;
		case RULE_C_JYES:
			if (stack[n - 1] == RULE_YES)
				i = c->arg - 1;
			break;
		case RULE_C_OPS:
			break;
		}
	}
	ev->undecided += stack[0] == RULE_MAYBE;
	return stack[0] != RULE_NO;
}

bool
rule_could_match(struct rule_event *ev, const struct rule_set *set,
    const struct rule *r, enum event_type type, const char *field,
    const char *text)
{
	struct uuid id = { { 0 } };
	struct jsonw w;
	struct buf b;
	bool could;

	buf_init(&b, 65536);
	event_begin(&w, &b, id, type, ROLE_PROXY);
	jsonw_str(&w, field, text);
	event_end(&w);
	ASSERT(!b.full && rule_event_set(ev, set, buf_slice(&b)) == 0);
	ev->only = field;
	could = rule_match(ev, r);
	ev->only = NULL;
	ev->epoch++;		/* nothing of it may be remembered */
	buf_free(&b);
	return could;
}

/* --- keys --------------------------------------------------------------- */

struct slice
rule_event_text(struct rule_event *ev, uint32_t field)
{
	struct resolved *r = resolve(ev, field);

	for (uint32_t i = 0; i < r->n; i++) {
		struct slice t = value_text(ev, &r->v[i]);

		if (t.p != NULL)
			return t;
	}
	return slice_make(NULL, 0);
}

/* What counts as the same: of `source` the address without its port. */
struct slice
rule_event_group_text(struct rule_event *ev, uint32_t field)
{
	struct slice t = rule_event_text(ev, field);
	uint8_t addr[16];
	ssize_t colon, end;

	if (t.p == NULL || strcmp(ev->set->fields->f[field].name,
	    "source") != 0 || !rule_parse_addr(t, addr))
		return t;
	end = t.p[0] == '[' ? slice_chr(t, ']') : -1;
	if (end > 0)
		return slice_sub(t, 1, (size_t)end - 1);
	colon = slice_chr(t, ':');
	if (colon >= 0 && slice_chr(slice_sub(t, (size_t)colon + 1, t.n),
	    ':') < 0)
		return slice_sub(t, 0, (size_t)colon);
	return t;
}

void
rule_event_key(struct rule_event *ev, const struct rule_key *key,
    struct buf *out, bool *all_r)
{
	bool all = true;

	for (size_t i = 0; i < key->n; i++) {
		struct slice t = rule_event_group_text(ev, key->fields[i]);
		uint32_t n = (uint32_t)t.n;

		all = all && t.p != NULL;
		buf_add(out, &n, sizeof(n));
		if (t.n > 0)
			buf_add(out, t.p, t.n);
	}
	if (all_r != NULL)
		*all_r = all;
}
