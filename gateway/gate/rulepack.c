/* rulepack - see rulepack.h. Reading of YAML and the run of the examples is
 * in rulepack_yaml.c; only the compiler role gets there. */
#include "rulepack_internal.h"

#include <stdlib.h>

#include "pack.h"

#define MAGIC 0x314b5052u	/* "RPK1" */
#define KEYWORD_BEFORE 64
#define KEYWORD_BEHIND 32

void
rulepack_entry_free(struct rulepack_entry *e)
{
	free(e->pub.id);
	free(e->pub.title);
	free(e->pub.replace);
	free(e->check_name);
	for (size_t i = 0; i < e->nkeywords; i++)
		free(e->keywords[i]);
	free(e->keywords);
	memset(e, 0, sizeof(*e));
}

void
rulepack_free(struct rulepack *rp)
{
	if (rp == NULL)
		return;
	for (size_t i = 0; i < rp->n; i++)
		rulepack_entry_free(&rp->entries[i]);
	free(rp->entries);
	pm_free(rp->pm);
	free(rp);
}

size_t
rulepack_count(const struct rulepack *rp)
{
	return rp->n;
}

const struct rulepack_rule *
rulepack_rule(const struct rulepack *rp, uint32_t rule)
{
	ASSERT(rule < rp->n);
	return &rp->entries[rule].pub;
}

bool
rulepack_mirrored(const struct rulepack *rp, uint32_t rule)
{
	ASSERT(rule < rp->n);
	return rp->entries[rule].mirror && (pm_has_value(rp->pm, rule) ||
	    rp->entries[rule].nkeywords != 0);
}

void
rulepack_pack(struct buf *b, const struct rulepack *rp)
{
	struct buf pm;

	pack_u32(b, MAGIC);
	pack_u32(b, (uint32_t)rp->n);
	for (size_t i = 0; i < rp->n; i++) {
		const struct rulepack_entry *e = &rp->entries[i];

		pack_str(b, e->pub.id);
		pack_str(b, e->pub.title);
		pack_str(b, e->pub.replace);
		pack_u32(b, e->pub.kind);
		pack_str(b, e->check_name);
		pack_u8(b, (uint8_t)e->grow);
		pack_u8(b, e->mirror);
		pack_u32(b, e->entropy_milli);
		pack_u32(b, e->max_width);
		pack_u32(b, (uint32_t)e->nkeywords);
		for (size_t k = 0; k < e->nkeywords; k++)
			pack_str(b, e->keywords[k]);
	}
	buf_init(&pm, b->max);
	pm_pack(&pm, rp->pm);
	if (pm.full)
		b->full = true;
	else
		pack_slice(b, buf_slice(&pm));
	buf_free(&pm);
}

static bool
entry_unpack(struct unpack *u, struct rulepack_entry *e)
{
	e->pub.id = unpack_strdup(u);
	e->pub.title = unpack_strdup(u);
	e->pub.replace = unpack_strdup(u);
	e->pub.kind = unpack_u32(u);
	e->check_name = unpack_strdup(u);
	e->grow = unpack_u8(u);
	e->mirror = unpack_u8(u) != 0;
	e->entropy_milli = unpack_u32(u);
	e->max_width = unpack_u32(u);
	e->nkeywords = unpack_count(u, 4);
	e->keywords = base_calloc(e->nkeywords + 1, sizeof(*e->keywords));
	for (size_t k = 0; k < e->nkeywords; k++)
		e->keywords[k] = unpack_strdup(u);
	if (u->bad || e->grow >= CHECK_GROWS ||
	    e->max_width > RULEPACK_GROW_MAX ||
	    !rulepack_replace_ok(slice_str(e->pub.replace)))
		return false;
	if (e->check_name[0] != '\0') {
		e->check = check_find(e->check_name);
		return e->check != NULL;
	}
	return true;
}

/* Goes into JSON strings at any depth and base64 runs as it is. */
bool
rulepack_replace_ok(struct slice s)
{
	if (s.n == 0 || s.n > 64)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x20 || s.p[i] > 0x7e || s.p[i] == '"' ||
		    s.p[i] == '\\' || s.p[i] == '%')
			return false;
	return true;
}

struct rulepack *
rulepack_load(struct slice section, struct err *err)
{
	struct unpack u;
	struct rulepack *rp = base_calloc(1, sizeof(*rp));

	unpack_init(&u, section);
	uint32_t magic = unpack_u32(&u);
	uint32_t n = unpack_count(&u, 34);

	if (u.bad || magic != MAGIC || n == 0 || n > RULEPACK_RULES_MAX)
		goto bad;
	rp->entries = base_calloc(n, sizeof(*rp->entries));
	for (rp->n = 0; rp->n < n;)
		if (!entry_unpack(&u, &rp->entries[rp->n++]))
			goto bad;
	struct slice pm = unpack_slice(&u);

	if (!unpack_done(&u))
		goto bad;
	rp->pm = pm_unpack(pm, err);
	if (rp->pm != NULL && pm_count(rp->pm) == n)
		return rp;
bad:
	err_set(err, "rules: the section is malformed");
	rulepack_free(rp);
	return NULL;
}

/* Scan -------------------------------------------------------------------- */

static inline bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
keyword_at(struct slice s, size_t i, struct slice word)
{
	if (!slice_eq_nocase(slice_sub(s, i, word.n), word))
		return false;
	/* At the start of a word, also of a camelCase part. */
	if (i > 0 && is_letter(s.p[i - 1]) && is_letter(s.p[i]) &&
	    !(s.p[i - 1] >= 'a' && s.p[i] <= 'Z'))
		return false;
	size_t end = i + word.n;

	return end >= s.n || !(s.p[end] >= 'a' && s.p[end] <= 'z') ||
	    !is_letter(s.p[end - 1]);
}

static bool
keyword_near(const struct rulepack_entry *e, struct slice near)
{
	for (size_t k = 0; k < e->nkeywords; k++) {
		struct slice w = slice_str(e->keywords[k]);

		for (size_t i = 0; i + w.n <= near.n; i++)
			if (keyword_at(near, i, w))
				return true;
	}
	return false;
}

struct filter {
	struct rulepack *rp;
	struct slice text;
	const struct pm_seg *segs;
	size_t nsegs;
	pm_hit_fn *fn;
	void *ctx;
};

/* Keywords, check, growth, entropy: cheap and deciding tests first. */
static bool
hit_passes(const struct filter *f, struct pm_hit *h)
{
	const struct rulepack_entry *e = &f->rp->entries[h->rule];
	struct pm_seg sg = f->nsegs == 0 ?
	    (struct pm_seg){ 0, (uint32_t)f->text.n } : f->segs[h->seg];
	struct slice value = slice_make(f->text.p + h->vstart,
	    h->vend - h->vstart);

	if (e->check != NULL) {
		size_t n = e->check(value);

		if (n == 0)
			return false;
		if (n < value.n && h->end == h->vend)
			h->end = h->vstart + (uint32_t)n;
		h->vend = h->vstart + (uint32_t)n;
	}
	if (e->nkeywords != 0) {
		uint32_t lo = h->start - sg.off < KEYWORD_BEFORE ? sg.off :
		    h->start - KEYWORD_BEFORE;
		uint32_t hi = sg.off + sg.len - h->end < KEYWORD_BEHIND ?
		    sg.off + sg.len : h->end + KEYWORD_BEHIND;

		if (!keyword_near(e, slice_make(f->text.p + lo, hi - lo)))
			return false;
	}
	if (e->grow != CHECK_GROW_NONE && h->vend - h->vstart < e->max_width) {
		struct slice seg = slice_make(f->text.p + sg.off, sg.len);

		h->vend = sg.off + (uint32_t)check_grow(e->grow, seg,
		    h->vend - sg.off, e->max_width - (h->vend - h->vstart));
		if (h->end < h->vend)
			h->end = h->vend;
	}
	value = slice_make(f->text.p + h->vstart, h->vend - h->vstart);
	return e->entropy_milli == 0 ||
	    check_entropy(value) * 1000 >= (double)e->entropy_milli;
}

static enum pm_answer
on_hit(void *ctx, struct pm_hit *h)
{
	struct filter *f = ctx;

	return hit_passes(f, h) ? f->fn(f->ctx, h) : PM_SKIP;
}

enum pm_result
rulepack_scan(struct rulepack *rp, struct slice text,
    const struct pm_seg *segs, size_t nsegs, pm_hit_fn *fn, void *ctx)
{
	struct filter f = { .rp = rp, .text = text, .segs = segs,
		.nsegs = nsegs, .fn = fn, .ctx = ctx };

	return pm_scan(rp->pm, text, segs, nsegs, on_hit, &f);
}
