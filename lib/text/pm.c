/* pm - see pm.h.  No pattern or text makes it slower than linear: each rule's
 * search position only moves forward and all work is counted. */
#include "pm.h"

#include <stdio.h>
#include <stdlib.h>

#include <hs/hs.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "pack.h"

#define PM_MAGIC 0x314d5052u	/* "RPM1" */
#define MATCH_LIMIT 200000
#define HEAP_LIMIT_KIB 1024
/* Work units: a confirm costs CONFIRM_COST and the bytes it looked at. */
#define CONFIRM_COST 64
#define WORK_BASE (4u << 20)
#define WORK_PER_BYTE 64

struct pm_compiled {
	char *id, *pattern;
	uint32_t flags, width;
	uint32_t back;		/* from a match's start to Hyperscan's end */
	bool has_value;
	pcre2_code *code;
};

struct pm {
	struct pm_compiled *rules;
	uint32_t *from;		/* a rule's next match starts here or later */
	size_t n;
	hs_database_t *db;
	hs_scratch_t *scratch;
	pcre2_match_data *md;
	pcre2_match_context *mctx;
};

struct scan {
	struct pm *pm;
	struct slice text;
	const struct pm_seg *segs;
	size_t nsegs;
	pm_hit_fn *fn;
	void *ctx;
	uint64_t work, work_max;
	enum pm_result result;
};

static unsigned
hs_flags(unsigned flags)
{
	return (flags & PM_NOCASE ? HS_FLAG_CASELESS : 0) |
	    (flags & PM_DOTALL ? HS_FLAG_DOTALL : 0) |
	    (flags & PM_MULTILINE ? HS_FLAG_MULTILINE : 0);
}

static uint32_t
pcre_flags(unsigned flags)
{
	return (flags & PM_NOCASE ? PCRE2_CASELESS : 0) |
	    (flags & PM_DOTALL ? PCRE2_DOTALL : 0) |
	    (flags & PM_MULTILINE ? PCRE2_MULTILINE : 0);
}

/* NULL when PCRE2 refuses; text_r then says why. */
static pcre2_code *
pcre_compile(const char *pattern, unsigned flags, char *text_r, size_t n)
{
	int code;
	PCRE2_SIZE off;
	pcre2_code *c = pcre2_compile((PCRE2_SPTR)pattern,
	    PCRE2_ZERO_TERMINATED, pcre_flags(flags) | PCRE2_NEVER_UTF |
	    PCRE2_NEVER_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &off, NULL);

	if (c == NULL) {
		PCRE2_UCHAR msg[160];

		pcre2_get_error_message(code, msg, sizeof(msg));
		snprintf(text_r, n, "%s at offset %zu", (char *)msg, off);
	}
	return c;
}

/* Selftest ---------------------------------------------------------------- */

static const struct {
	const char *pattern;
	unsigned flags;
} probes[] = {
	{ "curl.*\\|\\s*python", PM_DOTALL },	/* Vectorscan issue 382 */
	{ "a.{2,9}b", 0 },
	{ "\\bkey[ =:]{1,3}[a-f0-9]{4,8}\\b", PM_NOCASE },
	{ "^x[0-9]{2}$", PM_MULTILINE },
	{ "[A-Z]{2}[0-9]{2}( ?[A-Z0-9]{3}){2}", 0 },
	{ "(abc|ab)(c|cd)", 0 },
};

static const char *const probe_texts[] = {
	"curl x\n | \n python |python",
	"aab xxab\nb aaabbbb abb",
	"KEY = deadbeef key:abcd1 key=abcdef012",
	"x12\nx123\nx45\n x67\nx89",
	"DE12 ABC 123 XX99ABCDEF",
	"abcd abccd ab cd \xff\xfe" "abc",
};

struct ends {
	uint64_t bits;
};

static int
probe_event(unsigned id, unsigned long long from, unsigned long long to,
    unsigned flags, void *ctx)
{
	(void)id;
	(void)from;
	(void)flags;
	((struct ends *)ctx)->bits |= (uint64_t)1 << to;
	return 0;
}

/* All ends PCRE2 can reach, by trying each (start, end). */
static uint64_t
probe_pcre(pcre2_code *code, const char *text, size_t n)
{
	pcre2_match_data *md = pcre2_match_data_create(8, NULL);
	uint64_t bits = 0;

	/* ENDANCHORED on the whole text would make "$" and "\b" see an edge
	 * that is not there, so each end is tried by its own alternative:
	 * a match that starts at s, ends at e and is not extended. */
	for (size_t s = 0; s < n; s++)
		for (size_t e = s + 1; e <= n; e++) {
			int rc = pcre2_match(code, (PCRE2_SPTR)text, e, s,
			    PCRE2_ANCHORED | PCRE2_ENDANCHORED |
			    (e < n ? PCRE2_NOTEOL : 0), md, NULL);

			if (rc > 0)
				bits |= (uint64_t)1 << e;
		}
	pcre2_match_data_free(md);
	return bits;
}

/* An end behind which the pattern's closing "\b" or "$" fails in the whole
 * text is no match; PCRE2 saw the text cut there. */
static uint64_t
probe_trim(const char *pattern, const char *text, size_t n, uint64_t bits)
{
	size_t k = strlen(pattern);
	bool word = k > 1 && strcmp(pattern + k - 2, "\\b") == 0;
	bool eol = pattern[k - 1] == '$';

	for (size_t e = 1; e < n; e++) {
		unsigned char c = (unsigned char)text[e];
		bool wordc = c == '_' || (c >= '0' && c <= '9') ||
		    (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

		if ((word && wordc) || (eol && c != '\n'))
			bits &= ~((uint64_t)1 << e);
	}
	return bits;
}

static int
probe_one(size_t i, size_t t, struct err *err)
{
	hs_compile_error_t *ce = NULL;
	hs_database_t *db = NULL;
	hs_scratch_t *scratch = NULL;
	pcre2_code *code = NULL;
	struct ends got = { 0 };
	const char *p = probes[i].pattern, *text = probe_texts[t];
	size_t n = strlen(text);
	char why[256] = "";
	unsigned eol = probes[i].flags;
	int r = -1;

	ASSERT(n < 64);
	if (hs_compile(p, hs_flags(eol), HS_MODE_BLOCK, NULL, &db, &ce) !=
	    HS_SUCCESS || hs_alloc_scratch(db, &scratch) != HS_SUCCESS ||
	    hs_scan(db, text, (unsigned)n, 0, scratch, probe_event, &got) !=
	    HS_SUCCESS) {
		err_set(err, "Hyperscan self-test: cannot run pattern %s: %s",
		    p, ce == NULL ? "scan failed" : ce->message);
		goto out;
	}
	/* "$" is looked at by probe_trim: drop it for PCRE2's cut texts. */
	char *cut = base_strdup(p);

	if (cut[strlen(cut) - 1] == '$')
		cut[strlen(cut) - 1] = '\0';
	code = pcre_compile(cut, eol, why, sizeof(why));
	free(cut);
	if (code == NULL) {
		err_set(err, "PCRE2 self-test: %s: %s", p, why);
		goto out;
	}
	uint64_t want = probe_trim(p, text, n, probe_pcre(code, text, n));

	if (want != got.bits) {
		err_set(err, "Hyperscan self-test: pattern %s on probe %zu: "
		    "ends %llx, PCRE2 says %llx; install libhyperscan5 5.4.0",
		    p, t, (unsigned long long)got.bits,
		    (unsigned long long)want);
		goto out;
	}
	r = 0;
out:
	hs_free_compile_error(ce);
	hs_free_scratch(scratch);
	hs_free_database(db);
	pcre2_code_free(code);
	return r;
}

static bool
version_known(const char *v)
{
	return strncmp(v, "5.4.", 4) == 0 && v[4] >= '0' && v[4] <= '2' &&
	    (v[5] == ' ' || v[5] == '\0');
}

int
pm_selftest(struct err *err)
{
	const char *v = hs_version();

	if (!version_known(v)) {
		err_set(err, "Hyperscan %s is not one this program was tested "
		    "with: 5.4.0 to 5.4.2 (package libhyperscan5, not "
		    "libvectorscan5)", v);
		return -1;
	}
	if (hs_valid_platform() != HS_SUCCESS) {
		err_set(err, "Hyperscan %s does not run on this processor: "
		    "it needs SSSE3", v);
		return -1;
	}
	for (size_t i = 0; i < ARRAY_LEN(probes); i++)
		for (size_t t = 0; t < ARRAY_LEN(probe_texts); t++)
			if (probe_one(i, t, err) != 0)
				return -1;
	return 0;
}

static int
selftest_once(struct err *err)
{
	static bool passed;

	if (!passed && pm_selftest(err) != 0)
		return -1;
	passed = true;
	return 0;
}

/* Compile, pack, unpack --------------------------------------------------- */

void
pm_free(struct pm *pm)
{
	if (pm == NULL)
		return;
	for (size_t i = 0; i < pm->n; i++) {
		free(pm->rules[i].id);
		free(pm->rules[i].pattern);
		pcre2_code_free(pm->rules[i].code);
	}
	free(pm->rules);
	free(pm->from);
	hs_free_scratch(pm->scratch);
	hs_free_database(pm->db);
	pcre2_match_data_free(pm->md);
	pcre2_match_context_free(pm->mctx);
	free(pm);
}

static struct pm *
pm_new(size_t n)
{
	struct pm *pm = base_calloc(1, sizeof(*pm));

	pm->n = n;
	pm->rules = base_calloc(n + 1, sizeof(*pm->rules));
	pm->from = base_calloc(n + 1, sizeof(*pm->from));
	pm->md = pcre2_match_data_create(8, NULL);
	pm->mctx = pcre2_match_context_create(NULL);
	ASSERT(pm->md != NULL && pm->mctx != NULL);
	pcre2_set_match_limit(pm->mctx, MATCH_LIMIT);
	pcre2_set_depth_limit(pm->mctx, MATCH_LIMIT);
	pcre2_set_heap_limit(pm->mctx, HEAP_LIMIT_KIB);
	return pm;
}

static int
rule_pcre(struct pm_compiled *c, char *why, size_t n)
{
	uint32_t groups = 0;

	c->code = pcre_compile(c->pattern, c->flags, why, n);
	if (c->code == NULL)
		return -1;
	pcre2_pattern_info(c->code, PCRE2_INFO_CAPTURECOUNT, &groups);
	c->has_value = groups > 0;
	return 0;
}

/* The width Hyperscan computes is the window; unbounded is refused. */
static int
rule_width(struct pm_compiled *c, const struct pm_rule *in, struct err *err)
{
	hs_expr_info_t *info = NULL;
	hs_compile_error_t *ce = NULL;
	uint32_t max = in->max_width == 0 ? PM_WIDTH_MAX : in->max_width;
	int r = -1;

	if (max > PM_WIDTH_MAX)
		max = PM_WIDTH_MAX;
	if (hs_expression_info(c->pattern, hs_flags(c->flags), &info, &ce) !=
	    HS_SUCCESS) {
		err_at(err, in->file, in->line, 0, "pattern of %s: %s", c->id,
		    ce == NULL ? "refused" : ce->message);
	} else if (info->min_width == 0) {
		err_at(err, in->file, in->line, 0,
		    "pattern of %s matches the empty text", c->id);
	} else if (info->max_width > max) {
		err_at(err, in->file, in->line, 0, "pattern of %s may match "
		    "%s%.0u bytes, at most %u are allowed: bound its repeats, "
		    "as in {1,64}", c->id, info->max_width == UINT32_MAX ?
		    "unlimited" : "", info->max_width == UINT32_MAX ? 0 :
		    info->max_width, max);
	} else {
		c->width = info->max_width;
		c->back = in->back == 0 || in->back > c->width ? c->width :
		    in->back;
		r = 0;
	}
	free(info);
	hs_free_compile_error(ce);
	return r;
}

static int
rule_take(struct pm_compiled *c, const struct pm_rule *in, struct err *err)
{
	char why[256];

	c->id = base_strdup(in->id);
	c->pattern = base_strdup(in->pattern);
	c->flags = in->flags;
	if (rule_width(c, in, err) != 0)
		return -1;
	if (rule_pcre(c, why, sizeof(why)) != 0) {
		err_at(err, in->file, in->line, 0, "pattern of %s: %s", c->id,
		    why);
		return -1;
	}
	return 0;
}

static int
pm_database(struct pm *pm, const struct pm_rule *rules, struct err *err)
{
	const char **exprs = base_calloc(pm->n + 1, sizeof(*exprs));
	unsigned *flags = base_calloc(pm->n + 1, sizeof(*flags));
	unsigned *ids = base_calloc(pm->n + 1, sizeof(*ids));
	hs_compile_error_t *ce = NULL;
	int r = -1;

	for (size_t i = 0; i < pm->n; i++) {
		exprs[i] = rules[i].trigger != NULL ? rules[i].trigger :
		    rules[i].pattern;
		flags[i] = hs_flags(pm->rules[i].flags);
		ids[i] = (unsigned)i;
	}
	if (hs_compile_multi(exprs, flags, ids, (unsigned)pm->n, HS_MODE_BLOCK,
	    NULL, &pm->db, &ce) != HS_SUCCESS) {
		int at = ce == NULL ? -1 : ce->expression;
		const struct pm_rule *in = at < 0 ? NULL : &rules[at];

		err_at(err, in == NULL ? "patterns" : in->file,
		    in == NULL ? 0 : in->line, 0, "%s%s%s",
		    in == NULL ? "" : in->id, in == NULL ? "" : ": ",
		    ce == NULL ? "Hyperscan failed" : ce->message);
	} else if (hs_alloc_scratch(pm->db, &pm->scratch) != HS_SUCCESS) {
		err_set(err, "Hyperscan: no scratch memory");
	} else {
		r = 0;
	}
	hs_free_compile_error(ce);
	free(exprs);
	free(flags);
	free(ids);
	return r;
}

struct pm *
pm_compile(const struct pm_rule *rules, size_t n, struct err *err)
{
	if (selftest_once(err) != 0)
		return NULL;
	if (n == 0 || n > PM_RULES_MAX) {
		err_set(err, "%zu patterns: there must be 1 to %d", n,
		    PM_RULES_MAX);
		return NULL;
	}
	struct pm *pm = pm_new(n);

	for (size_t i = 0; i < n; i++)
		if (rule_take(&pm->rules[i], &rules[i], err) != 0)
			goto bad;
	if (pm_database(pm, rules, err) != 0)
		goto bad;
	return pm;
bad:
	pm_free(pm);
	return NULL;
}

void
pm_pack(struct buf *b, const struct pm *pm)
{
	char *bytes = NULL;
	size_t len = 0;

	pack_u32(b, PM_MAGIC);
	pack_u32(b, (uint32_t)pm->n);
	for (size_t i = 0; i < pm->n; i++) {
		const struct pm_compiled *c = &pm->rules[i];

		pack_str(b, c->id);
		pack_str(b, c->pattern);
		pack_u32(b, c->flags);
		pack_u32(b, c->width);
		pack_u32(b, c->back);
	}
	/* Fails only for lack of memory. */
	ASSERT(hs_serialize_database(pm->db, &bytes, &len) == HS_SUCCESS);
	pack_slice(b, slice_make(bytes, len));
	free(bytes);
}

static int
unpack_rule(struct unpack *u, struct pm_compiled *c, struct err *err)
{
	char why[256];

	c->id = unpack_strdup(u);
	c->pattern = unpack_strdup(u);
	c->flags = unpack_u32(u);
	c->width = unpack_u32(u);
	c->back = unpack_u32(u);
	if (u->bad || c->width == 0 || c->width > PM_WIDTH_MAX ||
	    c->back == 0 || c->back > c->width) {
		err_set(err, "patterns: the section is malformed");
		return -1;
	}
	if (rule_pcre(c, why, sizeof(why)) != 0) {
		err_set(err, "patterns: %s: %s", c->id, why);
		return -1;
	}
	return 0;
}

struct pm *
pm_unpack(struct slice s, struct err *err)
{
	struct unpack u;
	struct pm *pm = NULL;

	if (selftest_once(err) != 0)
		return NULL;
	unpack_init(&u, s);
	uint32_t magic = unpack_u32(&u);
	uint32_t n = unpack_count(&u, 20);

	if (u.bad || magic != PM_MAGIC || n == 0 || n > PM_RULES_MAX) {
		err_set(err, "patterns: the section is malformed");
		return NULL;
	}
	pm = pm_new(n);
	for (size_t i = 0; i < n; i++)
		if (unpack_rule(&u, &pm->rules[i], err) != 0)
			goto bad;
	struct slice db = unpack_slice(&u);

	if (!unpack_done(&u)) {
		err_set(err, "patterns: the section is malformed");
		goto bad;
	}
	hs_error_t r = hs_deserialize_database(db.p, db.n, &pm->db);

	if (r == HS_SUCCESS)
		r = hs_alloc_scratch(pm->db, &pm->scratch);
	if (r != HS_SUCCESS) {
		err_set(err, "patterns: Hyperscan refuses the database (%d)",
		    r);
		goto bad;
	}
	return pm;
bad:
	pm_free(pm);
	return NULL;
}

size_t
pm_count(const struct pm *pm)
{
	return pm->n;
}

const char *
pm_id(const struct pm *pm, uint32_t rule)
{
	ASSERT(rule < pm->n);
	return pm->rules[rule].id;
}

uint32_t
pm_width(const struct pm *pm, uint32_t rule)
{
	ASSERT(rule < pm->n);
	return pm->rules[rule].width;
}

bool
pm_has_value(const struct pm *pm, uint32_t rule)
{
	ASSERT(rule < pm->n);
	return pm->rules[rule].has_value;
}

/* Scan -------------------------------------------------------------------- */

/* The segment that holds byte `at`, or false. */
static bool
seg_find(const struct scan *sc, uint32_t at, uint32_t *seg_r)
{
	size_t lo = 0, hi = sc->nsegs;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (sc->segs[mid].off + sc->segs[mid].len <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == sc->nsegs || sc->segs[lo].off > at)
		return false;
	*seg_r = (uint32_t)lo;
	return true;
}

static bool
spend(struct scan *sc, uint64_t units)
{
	sc->work += units;
	if (sc->work <= sc->work_max)
		return true;
	sc->result = PM_LIMIT;
	return false;
}

enum confirm { CONFIRM_NONE, CONFIRM_HIT, CONFIRM_LIMIT };

/* The first match that starts in [lo, ..) of the segment and ends by hi. */
static enum confirm
confirm(struct scan *sc, uint32_t rule, struct pm_seg seg, uint32_t lo,
    uint32_t hi, struct pm_hit *hit)
{
	struct pm *pm = sc->pm;
	const struct pm_compiled *c = &pm->rules[rule];
	int rc = pcre2_match(c->code, (PCRE2_SPTR)sc->text.p + seg.off,
	    hi - seg.off, lo - seg.off, 0, pm->md, pm->mctx);
	const PCRE2_SIZE *ov = pcre2_get_ovector_pointer(pm->md);

	if (rc == PCRE2_ERROR_NOMATCH)
		return spend(sc, CONFIRM_COST + (hi - lo)) ? CONFIRM_NONE :
		    CONFIRM_LIMIT;
	if (rc < 0) {
		sc->result = PM_LIMIT;
		return CONFIRM_LIMIT;
	}
	hit->rule = rule;
	hit->start = hit->vstart = seg.off + (uint32_t)ov[0];
	hit->end = hit->vend = seg.off + (uint32_t)ov[1];
	if (c->has_value && rc > 1 && ov[2] != PCRE2_UNSET && ov[3] > ov[2]) {
		hit->vstart = seg.off + (uint32_t)ov[2];
		hit->vend = seg.off + (uint32_t)ov[3];
	}
	return spend(sc, CONFIRM_COST + (hit->end - lo)) ? CONFIRM_HIT :
	    CONFIRM_LIMIT;
}

/*
 * Hyperscan says a match of the rule (or of its trigger) ends at `to`.  Every
 * match that may cover this end starts in [to - back, to] and, being no wider
 * than the rule's width, ends by to + width: when none is found there, none
 * of those starts will serve a later end either.
 */
static int
on_event(unsigned rule, unsigned long long start, unsigned long long to,
    unsigned flags, void *ctx)
{
	struct scan *sc = ctx;
	struct pm *pm = sc->pm;
	uint32_t end = (uint32_t)to, *from = &pm->from[rule], seg;
	uint32_t width = pm->rules[rule].width, back = pm->rules[rule].back;

	(void)start;
	(void)flags;
	if (!spend(sc, 1))
		return 1;
	if (end <= *from || !seg_find(sc, end - 1, &seg))
		return 0;
	struct pm_seg sg = sc->segs[seg];
	uint32_t hi = sg.off + sg.len;

	if (hi - end > width + 1)
		hi = end + width + 1;
	if (*from < sg.off)
		*from = sg.off;
	if (end > back && *from < end - back)
		*from = end - back;
	while (*from < end) {
		struct pm_hit hit = { .seg = seg };
		enum confirm c = confirm(sc, rule, sg, *from, hi, &hit);

		if (c == CONFIRM_LIMIT)
			return 1;
		if (c == CONFIRM_NONE || hit.start >= end) {
			*from = end;
			break;
		}
		enum pm_answer a = sc->fn(sc->ctx, &hit);

		if (a == PM_STOP) {
			sc->result = PM_STOPPED;
			return 1;
		}
		*from = a == PM_TAKE ? hit.end : hit.start + 1;
	}
	return 0;
}

enum pm_result
pm_scan(struct pm *pm, struct slice text, const struct pm_seg *segs,
    size_t nsegs, pm_hit_fn *fn, void *ctx)
{
	struct pm_seg whole = { 0, (uint32_t)text.n };
	struct scan sc = { .pm = pm, .text = text, .segs = segs,
	    .nsegs = nsegs, .fn = fn, .ctx = ctx, .result = PM_DONE };

	if (text.n > PM_TEXT_MAX)
		return PM_LIMIT;
	if (text.n == 0)
		return PM_DONE;
	if (nsegs == 0) {
		sc.segs = &whole;
		sc.nsegs = 1;
	}
	sc.work_max = WORK_BASE + WORK_PER_BYTE * (uint64_t)text.n;
	memset(pm->from, 0, pm->n * sizeof(*pm->from));
	hs_error_t r = hs_scan(pm->db, text.p, (unsigned)text.n, 0,
	    pm->scratch, on_event, &sc);

	if (r != HS_SUCCESS && r != HS_SCAN_TERMINATED)
		return PM_LIMIT;
	return sc.result;
}
