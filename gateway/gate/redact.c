/*
 * redact - see redact.h.
 *
 *   leaves (leaf.c)  ->  one scan  ->  copies of contextual values
 *     ->  spans of each leaf, joined, mapped to the parent's bytes, deepest
 *         leaf first  ->  edits of the body  ->  out
 *
 * A clean body ends after the scan: nothing is copied.
 */
#include "redact.h"

#include <stdio.h>
#include <stdlib.h>

#include "leaf.h"
#include "rulepack.h"

#define LITERAL_RULE UINT32_MAX		/* "credential" */
#define MIRROR_MIN 8			/* bytes of a value worth looking for */
#define NONE UINT32_MAX
#define KEY_TRIES 3

#define KIND_SECRET 0

static const char *const kinds[] = { "secret", "personal" };

_Static_assert(REDACT_RULES_MAX == RULEPACK_RULES_MAX, "a bit a rule");

const struct redact_limits redact_limits_default = {
	.bytes = 64u << 20,
	.leaves = 1000000,
	.hits = 200000,
};

/* A stretch of a leaf's text (later of its parent's bytes) to be replaced. */
struct span {
	uint32_t off, len;
	uint32_t rule;
	uint32_t next;		/* in the list of a leaf; NONE ends it */
	uint8_t quote;		/* number: 1 + strings of JSON around it */
	bool key;		/* in an object's key: must stay unique */
};

struct hit {
	uint32_t start, end, rule;
};

struct redact {
	struct rulepack *pack;
	struct leaves leaves;
	struct literals *mirrors;
	const struct redact_off *off;	/* of the call that runs, or NULL */
	struct json_doc check;
	struct hit *hits;
	uint32_t nhits, hits_cap, hits_max;
	struct span *spans;
	uint32_t nspans, spans_cap;
	uint32_t *heads;	/* of the leaves' lists */
	uint32_t heads_cap;
	struct span *row;	/* the spans of one leaf, in order */
	uint32_t row_cap;
	uint32_t *skip;
	size_t skip_cap;
	uint32_t key_number;
};

int
redact_compile(const char *dir, struct buf *section, struct err *err)
{
	return rulepack_compile(dir, kinds, ARRAY_LEN(kinds), section, err);
}

struct redact *
redact_load(struct slice section, struct err *err)
{
	struct rulepack *pack = rulepack_load(section, err);
	struct redact *r;

	if (pack == NULL)
		return NULL;
	r = base_calloc(1, sizeof(*r));
	r->pack = pack;
	r->mirrors = literals_new();
	leaves_init(&r->leaves);
	json_init(&r->check);
	return r;
}

void
redact_free(struct redact *r)
{
	if (r == NULL)
		return;
	rulepack_free(r->pack);
	leaves_free(&r->leaves);
	literals_free(r->mirrors);
	json_free(&r->check);
	free(r->hits);
	free(r->spans);
	free(r->heads);
	free(r->row);
	free(r->skip);
	free(r);
}

size_t
redact_rules(const struct redact *r)
{
	return rulepack_count(r->pack);
}

/* Rules that are switched off ----------------------------------------------- */

static bool
off_has(const struct redact_off *off, uint32_t rule)
{
	return (off->bits[rule / 64] >> rule % 64 & 1) != 0;
}

static int
unknown_rule(const struct redact *r, struct slice name, struct err *err)
{
	size_t n = rulepack_count(r->pack);
	const char **names = base_calloc(n + 1, sizeof(*names));
	const char *near;

	for (size_t i = 0; i < n; i++)
		names[i] = rulepack_rule(r->pack, (uint32_t)i)->id;
	names[n] = "personal";
	near = err_nearest(name, names, n + 1);
	err_set(err, "there is no redaction rule \"%.*s\"%s%s",
	    SLICE_FMT(name), near == NULL ? "" : ", did you mean ",
	    near == NULL ? "" : near);
	free(names);
	return -1;
}

int
redact_off_add(const struct redact *r, struct slice name,
    struct redact_off *off, struct err *err)
{
	bool found = false;

	if (slice_is(name, kinds[KIND_SECRET])) {
		err_set(err, "rules for secrets are switched off one by one: "
		    "name the rule, not \"%s\"", kinds[KIND_SECRET]);
		return -1;
	}
	for (uint32_t i = 0; i < rulepack_count(r->pack); i++) {
		const struct rulepack_rule *rule = rulepack_rule(r->pack, i);

		if (!slice_is(name, rule->id) &&
		    !slice_is(name, kinds[rule->kind]))
			continue;
		off->bits[i / 64] |= UINT64_C(1) << i % 64;
		found = true;
	}
	return found ? 0 : unknown_rule(r, name, err);
}

void
redact_off_secrets(const struct redact *r, const struct redact_off *off,
    struct buf *out)
{
	for (uint32_t i = 0; i < rulepack_count(r->pack); i++) {
		const struct rulepack_rule *rule = rulepack_rule(r->pack, i);

		if (off_has(off, i) && rule->kind == KIND_SECRET)
			buf_addf(out, "%s%s", out->len > 0 ? ", " : "",
			    rule->id);
	}
}

/* Finding ----------------------------------------------------------------- */

static bool
hit_add(struct redact *r, uint32_t start, uint32_t end, uint32_t rule)
{
	if (r->nhits == r->hits_max)
		return false;
	if (r->nhits == r->hits_cap) {
		r->hits_cap = r->hits_cap == 0 ? 64 : r->hits_cap * 2;
		r->hits = base_realloc(r->hits,
		    r->hits_cap * sizeof(*r->hits));
	}
	r->hits[r->nhits++] = (struct hit){ start, end, rule };
	return true;
}

static enum pm_answer
on_hit(void *ctx, struct pm_hit *h)
{
	const struct redact *r = ctx;

	if (r->off != NULL && off_has(r->off, h->rule))
		return PM_TAKE;
	return hit_add(ctx, h->vstart, h->vend, h->rule) ? PM_TAKE : PM_STOP;
}

static bool
literal_hit_add(struct redact *r, const struct literal_hit *h, uint32_t rule)
{
	uint32_t start = h->start, end = h->end;

	if (h->encoded) {
		uint32_t leaf = leaves_at(&r->leaves, start);

		/* A run does not leave its leaf. */
		if (leaf == r->leaves.n || start < r->leaves.v[leaf].off)
			return true;
		leaves_run_around(&r->leaves, leaf, &start, &end);
	}
	return hit_add(r, start, end, rule);
}

static bool
on_mirror(void *ctx, const struct literal_hit *h)
{
	return literal_hit_add(ctx, h, h->tag);
}

/* The caller's tags are not ours. */
static bool
on_literal(void *ctx, const struct literal_hit *h)
{
	return literal_hit_add(ctx, h, LITERAL_RULE);
}

/* Copies of values that only their context gave away. */
static int
mirrors_find(struct redact *r)
{
	struct slice s = leaves_scratch(&r->leaves);
	int rc = 0;

	for (uint32_t i = 0; i < r->nhits && rc == 0; i++) {
		const struct hit *h = &r->hits[i];
		struct slice v = slice_make(s.p + h->start, h->end - h->start);

		if (h->rule != LITERAL_RULE && v.n >= MIRROR_MIN &&
		    v.n <= LITERAL_MAX && rulepack_mirrored(r->pack, h->rule))
			rc = literals_add(r->mirrors, v, h->rule);
	}
	if (rc == 0 && !literals_empty(r->mirrors))
		rc = literals_scan(r->mirrors, s, on_mirror, r);
	literals_reset(r->mirrors);
	return rc;
}

static int
find(struct redact *r, const struct redact_options *opt)
{
	struct leaves *lv = &r->leaves;

	r->nhits = r->nspans = 0;
	r->off = opt->off;
	if (rulepack_scan(r->pack, leaves_scratch(lv), lv->segs, lv->nsegs,
	    on_hit, r) != PM_DONE)
		return -1;
	if (opt->literals != NULL && literals_scan(opt->literals,
	    leaves_scratch(lv), on_literal, r) != 0)
		return -1;
	return r->nhits == 0 ? 0 : mirrors_find(r);
}

/* Spans ------------------------------------------------------------------- */

/* The call's credentials come first, then secrets before personal data, then
 * the pack's order. */
static bool
rule_before(const struct redact *r, uint32_t a, uint32_t b)
{
	if (a == b || a == LITERAL_RULE || b == LITERAL_RULE)
		return a != b && a == LITERAL_RULE;
	uint32_t ka = rulepack_rule(r->pack, a)->kind;
	uint32_t kb = rulepack_rule(r->pack, b)->kind;

	return ka != kb ? ka < kb : a < b;
}

static void
span_push(struct redact *r, uint32_t leaf, struct span s)
{
	if (r->nspans == r->spans_cap) {
		r->spans_cap = r->spans_cap == 0 ? 64 : r->spans_cap * 2;
		r->spans = base_realloc(r->spans,
		    r->spans_cap * sizeof(*r->spans));
	}
	s.next = r->heads[leaf];
	r->heads[leaf] = r->nspans;
	r->spans[r->nspans++] = s;
}

/* A hit may cover a key, the ": " of the scratch and a value. */
static void
hit_spread(struct redact *r, const struct hit *h)
{
	const struct leaves *lv = &r->leaves;

	for (uint32_t i = leaves_at(lv, h->start);
	    i < lv->n && lv->v[i].off < h->end; i++) {
		const struct leaf *l = &lv->v[i];
		uint32_t a = h->start > l->off ? h->start : l->off;
		uint32_t b = h->end < l->off + l->len ? h->end :
		    l->off + l->len;

		if (a < b)
			span_push(r, i, (struct span){ .off = a - l->off,
			    .len = b - a, .rule = h->rule });
	}
}

static void
heads_reset(struct redact *r)
{
	if (r->heads_cap < r->leaves.n) {
		r->heads_cap = r->leaves.n;
		free(r->heads);
		r->heads = base_calloc(r->heads_cap, sizeof(*r->heads));
	}
	memset(r->heads, 0xff, r->leaves.n * sizeof(*r->heads));
}

static int
span_order(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	if (x->off != y->off)
		return x->off < y->off ? -1 : 1;
	return x->len > y->len ? -1 : x->len < y->len;
}

/* The spans of a leaf in r->row: in order, those that overlap as one. */
static uint32_t
row_take(struct redact *r, uint32_t leaf)
{
	uint32_t n = 0, out = 0;

	for (uint32_t i = r->heads[leaf]; i != NONE; i = r->spans[i].next) {
		if (n == r->row_cap) {
			r->row_cap = r->row_cap == 0 ? 64 : r->row_cap * 2;
			r->row = base_realloc(r->row,
			    r->row_cap * sizeof(*r->row));
		}
		r->row[n++] = r->spans[i];
	}
	if (n < 2)
		return n;
	qsort(r->row, n, sizeof(*r->row), span_order);
	for (uint32_t i = 1; i < n; i++) {
		struct span *last = &r->row[out], *s = &r->row[i];
		uint32_t end = last->off + last->len;

		if (s->off >= end) {
			r->row[++out] = *s;
			continue;
		}
		if (s->off + s->len > end)
			last->len = s->off + s->len - last->off;
		if (rule_before(r, s->rule, last->rule))
			last->rule = s->rule;
		last->key |= s->key;
	}
	return out + 1;
}

static void
leaf_to_parent(struct redact *r, uint32_t leaf)
{
	const struct leaf *l = &r->leaves.v[leaf];
	uint32_t n = row_take(r, leaf);
	struct leaf_cursor c;

	leaf_cursor_init(&c, &r->leaves, leaf);
	for (uint32_t i = 0; i < n; i++) {
		struct span s = r->row[i];

		leaf_cursor_map(&c, &s.off, &s.len);
		if (l->kind == LEAF_NUMBER)
			s.quote = 1;
		else if (s.quote != 0 && l->kind != LEAF_PLAIN)
			s.quote++;
		if (l->kind == LEAF_KEY)
			s.key = true;
		if (l->kind == LEAF_RUN) {
			s.quote = 0;
			s.key = false;
		}
		span_push(r, l->parent, s);
		if (l->kind == LEAF_NUMBER || l->kind == LEAF_RUN)
			break;		/* all of it is replaced */
	}
}

/* Returns how many edits of the body are in r->row. */
static uint32_t
resolve(struct redact *r)
{
	heads_reset(r);
	for (uint32_t i = 0; i < r->nhits; i++)
		hit_spread(r, &r->hits[i]);
	for (uint32_t i = r->leaves.n; i-- > 1;)
		if (r->heads[i] != NONE)
			leaf_to_parent(r, i);
	return row_take(r, 0);
}

/* Writing ----------------------------------------------------------------- */

static const char *
rule_id(const struct redact *r, uint32_t rule)
{
	return rule == LITERAL_RULE ? "credential" :
	    rulepack_rule(r->pack, rule)->id;
}

static const char *
rule_text(const struct redact *r, uint32_t rule)
{
	return rule == LITERAL_RULE ? "[redacted:credential]" :
	    rulepack_rule(r->pack, rule)->replace;
}

static void
count(const struct redact *r, struct redact_report *rep, uint32_t rule)
{
	const char *id = rule_id(r, rule);
	uint32_t i = 0;

	if (rep == NULL)
		return;
	rep->total++;
	while (i < rep->n && rep->items[i].id != id)
		i++;
	if (i == REDACT_REPORT_MAX)
		return;
	if (i == rep->n)
		rep->items[rep->n++].id = id;
	rep->items[i].count++;
}

/* A quote as it stands inside quote-1 strings of JSON. */
static void
quote_add(struct buf *out, unsigned quote)
{
	if (quote == 0)
		return;
	for (unsigned i = 1; i < 1u << (quote - 1); i++)
		buf_add_char(out, '\\');
	buf_add_char(out, '"');
}

static void
replacement_add(struct redact *r, struct buf *out, const struct span *s)
{
	struct slice text = slice_str(rule_text(r, s->rule));

	quote_add(out, s->quote);
	if (s->key) {
		bool bracket = slice_ends(text, "]");

		text.n -= bracket;
		buf_add_slice(out, text);
		buf_addf(out, "#%u%s", ++r->key_number, bracket ? "]" : "");
	} else {
		buf_add_slice(out, text);
	}
	quote_add(out, s->quote);
}

static int
splice(struct redact *r, struct slice text, uint32_t n, struct buf *out)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < n; i++) {
		const struct span *s = &r->row[i];

		buf_add(out, text.p + at, s->off - at);
		replacement_add(r, out, s);
		at = s->off + s->len;
	}
	buf_add(out, text.p + at, text.n - at);
	return out->full ? -1 : 0;
}

/* Drops what was appended behind `before` bytes, and the refusal. */
static void
out_cut(struct buf *out, size_t before)
{
	out->len = before;
	out->full = false;
}

/*
 * A rewritten key could equal another one, so a numbered key is tried again
 * from a higher number.  What is no JSON at the end is never sent.
 */
static enum redact_result
write_json(struct redact *r, struct slice text, uint32_t n, struct buf *out)
{
	size_t before = out->len;

	for (uint32_t i = 0; i < KEY_TRIES; i++) {
		r->key_number = i * 10007;
		if (splice(r, text, n, out) != 0)
			break;
		struct slice made = slice_sub(buf_slice(out), before,
		    out->len - before);
		enum json_error e = json_index(&r->check, made, NULL);

		if (e == JSON_OK)
			return REDACT_CHANGED;
		out_cut(out, before);
		if (e != JSON_E_DUPLICATE_KEY)
			break;
	}
	out_cut(out, before);
	return REDACT_LIMIT;
}

static void
report_counts(struct redact *r, uint32_t n, struct redact_report *rep)
{
	for (uint32_t i = 0; i < n; i++)
		count(r, rep, r->row[i].rule);
}

/* The rule that matched a number, when one did. */
static bool
number_hit(struct redact *r, uint32_t n, struct redact_report *rep)
{
	for (uint32_t i = 0; i < n; i++)
		if (r->row[i].quote != 0) {
			count(r, rep, r->row[i].rule);
			return true;
		}
	return false;
}

static const struct redact_options options_default;

static struct leaf_limits
limits_of(struct redact *r, const struct redact_options *opt)
{
	const struct redact_limits *l = opt->limits != NULL ? opt->limits :
	    &redact_limits_default;

	r->hits_max = l->hits;
	return (struct leaf_limits){ .bytes = l->bytes, .leaves = l->leaves };
}

enum redact_result
redact_json(struct redact *r, const struct json_doc *doc, struct slice text,
    const struct redact_options *opt, struct buf *out,
    struct redact_report *rep)
{
	ASSERT(doc->text.p == text.p && doc->text.n == text.n);
	if (opt == NULL)
		opt = &options_default;
	if (rep != NULL)
		memset(rep, 0, sizeof(*rep));
	struct leaf_limits lim = limits_of(r, opt);
	size_t nskip = shape_skips(doc, opt->node, opt->shape, SHAPE_REDACT,
	    &r->skip, &r->skip_cap);

	if (leaves_json(&r->leaves, doc, opt->node, r->skip, nskip,
	    &lim) != 0 || find(r, opt) != 0)
		return REDACT_LIMIT;
	if (r->nhits == 0)
		return REDACT_CLEAN;
	uint32_t n = resolve(r);

	if (opt->refuse_numbers && number_hit(r, n, rep))
		return REDACT_REFUSED;
	enum redact_result res = write_json(r, text, n, out);

	if (res == REDACT_CHANGED)
		report_counts(r, n, rep);
	return res;
}

enum redact_result
redact_text(struct redact *r, struct slice text,
    const struct redact_options *opt, struct buf *out,
    struct redact_report *rep)
{
	if (opt == NULL)
		opt = &options_default;
	if (rep != NULL)
		memset(rep, 0, sizeof(*rep));
	struct leaf_limits lim = limits_of(r, opt);

	if (leaves_text(&r->leaves, text, &lim) != 0 || find(r, opt) != 0)
		return REDACT_LIMIT;
	if (r->nhits == 0)
		return REDACT_CLEAN;
	uint32_t n = resolve(r);
	size_t before = out->len;

	if (opt->refuse_numbers && number_hit(r, n, rep))
		return REDACT_REFUSED;
	r->key_number = 0;
	if (splice(r, text, n, out) != 0) {
		out_cut(out, before);
		return REDACT_LIMIT;
	}
	report_counts(r, n, rep);
	return REDACT_CHANGED;
}
