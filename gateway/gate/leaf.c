/*
 * leaf - see leaf.h.  Linear in the body: each byte is copied once, opened at
 * most LEAF_JSON_DEPTH times as JSON and twice as another encoding, and what
 * decoding adds is bounded by `work`.
 */
#include "leaf.h"

#include <endian.h>
#include <stdlib.h>

#include "utf8.h"

#define SCRATCH_FIRST 4096
#define SCRATCH_KEEP (1u << 20)
#define ARENA_MAX (256u << 20)
#define WORK_BASE (64u << 10)
#define WORK_FACTOR 2
#define STRETCH_MIN 12		/* printable bytes out of a run worth a look */
#define PAIR_MEMBERS 6		/* of an object that names a value */
#define PAIR_NAME 80
#define LINE_MIN 60		/* a run this long may go on in the next line */

/* Base64 of both alphabets: the value, or 255. */
static uint8_t b64_value[256];
static uint8_t hex_value[256];

static void
tables_init(void)
{
	static const char std[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789+/";

	if (b64_value[0] == 255)
		return;
	memset(b64_value, 255, sizeof(b64_value));
	memset(hex_value, 255, sizeof(hex_value));
	for (uint8_t i = 0; i < 64; i++)
		b64_value[(unsigned char)std[i]] = i;
	b64_value['-'] = 62;
	b64_value['_'] = 63;
	for (uint8_t i = 0; i < 10; i++)
		hex_value['0' + i] = i;
	for (uint8_t i = 0; i < 6; i++)
		hex_value['a' + i] = hex_value['A' + i] = 10 + i;
}

static inline bool
is_b64(char c)
{
	return b64_value[(unsigned char)c] != 255;
}

static inline unsigned
hex_of(char c)
{
	return hex_value[(unsigned char)c];
}

void
leaves_init(struct leaves *lv)
{
	memset(lv, 0, sizeof(*lv));
	lv->arena = arena_new(ARENA_MAX);
	for (size_t i = 0; i < LEAF_JSON_DEPTH; i++)
		json_init(&lv->docs[i]);
	tables_init();
}

void
leaves_free(struct leaves *lv)
{
	for (size_t i = 0; i < LEAF_JSON_DEPTH; i++)
		json_free(&lv->docs[i]);
	arena_free(lv->arena);
	free(lv->v);
	free(lv->segs);
	free(lv->scratch);
	memset(lv, 0, sizeof(*lv));
}

static void
leaves_reset(struct leaves *lv, const struct leaf_limits *lim)
{
	lv->n = lv->nsegs = lv->len = 0;
	lv->limit = false;
	lv->lim = *lim;
	if (lv->scratch_cap > SCRATCH_KEEP) {
		free(lv->scratch);
		free(lv->v);
		free(lv->segs);
		lv->scratch = NULL;
		lv->v = NULL;
		lv->segs = NULL;
		lv->scratch_cap = lv->cap = lv->segs_cap = 0;
	}
	arena_reset(lv->arena);
}

/* Building ---------------------------------------------------------------- */

/* Room for n more bytes of scratch, NULL past the limit. */
static inline char *
scratch_room(struct leaves *lv, size_t n)
{
	if (n > lv->lim.bytes || lv->len > lv->lim.bytes - n) {
		lv->limit = true;
		return NULL;
	}
	if (lv->scratch == NULL || lv->scratch_cap - lv->len < n) {
		size_t cap = lv->scratch_cap == 0 ? SCRATCH_FIRST :
		    lv->scratch_cap;

		while (cap < lv->len + n)
			cap *= 2;
		lv->scratch = base_realloc(lv->scratch, cap);
		lv->scratch_cap = (uint32_t)cap;
	}
	return lv->scratch + lv->len;
}

static inline void
scratch_add(struct leaves *lv, const char *p, size_t n)
{
	char *to = scratch_room(lv, n);

	if (to != NULL) {
		memcpy(to, p, n);
		lv->len += (uint32_t)n;
	}
}

static inline struct leaf *
leaf_add(struct leaves *lv, enum leaf_kind kind, uint32_t parent,
    uint32_t poff, uint32_t plen)
{
	if (lv->n == lv->cap) {
		lv->cap = lv->cap == 0 ? 128 : lv->cap * 2;
		lv->v = base_realloc(lv->v, lv->cap * sizeof(*lv->v));
	}
	struct leaf *l = &lv->v[lv->n++];

	if (lv->n > lv->lim.leaves)
		lv->limit = true;
	*l = (struct leaf){ .parent = parent, .poff = poff, .plen = plen,
		.off = lv->len, .kind = (uint8_t)kind };
	return l;
}

/* Closes the segment that began at scratch offset from. */
static inline void
seg_end(struct leaves *lv, uint32_t from)
{
	if (lv->len == from)
		return;
	if (lv->nsegs == lv->segs_cap) {
		lv->segs_cap = lv->segs_cap == 0 ? 128 : lv->segs_cap * 2;
		lv->segs = base_realloc(lv->segs,
		    lv->segs_cap * sizeof(*lv->segs));
	}
	lv->segs[lv->nsegs++] = (struct pm_seg){ from, lv->len - from };
	scratch_add(lv, "\n", 1);
}

/* JSON -------------------------------------------------------------------- */

static unsigned
hex4(const char *p)
{
	return hex_of(p[0]) << 12 | hex_of(p[1]) << 8 | hex_of(p[2]) << 4 |
	    hex_of(p[3]);
}

/* The \u escape at p, which the index found well-formed, as UTF-8 at *to.
 * Returns its length. */
static unsigned
unicode_decode(const char *p, char **to)
{
	uint32_t cp = hex4(p + 2);
	unsigned n = 6;

	if (cp >= 0xd800 && cp < 0xdc00) {
		cp = 0x10000 + ((cp - 0xd800) << 10) + (hex4(p + 8) - 0xdc00);
		n = 12;
	}
	*to += utf8_encode(cp, *to);
	return n;
}

/*
 * The unescaped text of a checked string, never longer than the escaped.
 * The index holds for these bytes, so only what it lets through can come.
 * Copies eight bytes at a time: the room has as many to spare.
 */
static void
string_decode(struct leaves *lv, struct slice in)
{
	static const char means[256] = { ['"'] = '"', ['\\'] = '\\',
		['/'] = '/', ['b'] = '\b', ['f'] = '\f', ['n'] = '\n',
		['r'] = '\r', ['t'] = '\t' };
	const uint64_t ones = 0x0101010101010101;
	const char *p = in.p, *end = p + in.n;
	char *start = scratch_room(lv, in.n + 8), *to = start;

	while (start != NULL && p < end) {
		uint64_t v, hit = 0;

		if (end - p >= 8) {
			memcpy(&v, p, 8);
			memcpy(to, &v, 8);
			v = le64toh(v) ^ ones * '\\';
			hit = (v - ones) & ~v & (ones << 7);
			unsigned k = hit == 0 ? 8 :
			    (unsigned)__builtin_ctzll(hit) / 8;

			p += k;
			to += k;
			if (hit == 0)
				continue;
		}
		if (*p != '\\') {
			*to++ = *p++;
		} else if (p[1] == 'u') {
			p += unicode_decode(p, &to);
		} else {
			*to++ = means[(unsigned char)p[1]];
			p += 2;
		}
	}
	lv->len += (uint32_t)(to - start);
}

static struct leaf *
string_add(struct leaves *lv, const struct json_doc *d, uint32_t parent,
    uint32_t node, enum leaf_kind kind)
{
	const struct json_node *jn = &d->nodes[node];
	struct leaf *l = leaf_add(lv, kind, parent, jn->off + 1, jn->len - 2);

	l->escaped = (jn->flags & JSON_ESCAPED) != 0;
	if (l->escaped)
		string_decode(lv, json_inner(d, node));
	else
		scratch_add(lv, d->text.p + jn->off + 1, jn->len - 2);
	l->len = lv->len - l->off;
	return l;
}

static bool
looks_like_json(struct slice s)
{
	while (s.n > 0 && (*s.p == ' ' || *s.p == '\n' || *s.p == '\t' ||
	    *s.p == '\r'))
		s = slice_sub(s, 1, s.n);
	return s.n > 1 && (*s.p == '{' || *s.p == '[');
}

static void walk(struct leaves *lv, const struct json_doc *d, uint32_t self,
    uint32_t node, unsigned depth, const uint32_t *skip, size_t nskip);

/*
 * The leaf just added, when its text is JSON itself: taken out of the scratch
 * again and opened. False: it stays as it is.
 */
static bool
open_json(struct leaves *lv, uint32_t leaf, unsigned depth)
{
	struct leaf *l = &lv->v[leaf];
	struct slice text = slice_make(lv->scratch + l->off, l->len);
	struct json_doc *d;
	struct json_limits lim = json_limits_default;

	if (depth >= LEAF_JSON_DEPTH || lv->limit || !looks_like_json(text))
		return false;
	/* The index borrows the text; the scratch may move later. */
	d = &lv->docs[depth];
	lim.nodes = lv->lim.leaves;
	enum json_error e = json_index(d, text, &lim);

	if (e == JSON_E_NODES)
		lv->limit = true;
	if (e != JSON_OK)
		return false;
	struct slice copy = arena_copy(lv->arena, text);

	if (copy.p == NULL) {
		lv->limit = true;
		return false;
	}
	d->text = copy;
	l->bytes = copy.p;
	lv->len = l->off;
	l->len = 0;
	walk(lv, d, leaf, 0, depth + 1, NULL, 0);
	return true;
}

/* A string or number as a segment of its own. */
static void
scalar_add(struct leaves *lv, const struct json_doc *d, uint32_t self,
    uint32_t node, unsigned depth)
{
	uint32_t from = lv->len;

	if (d->nodes[node].type == JSON_STRING) {
		string_add(lv, d, self, node, LEAF_STRING);
		if (open_json(lv, lv->n - 1, depth))
			return;
	} else {
		const struct json_node *jn = &d->nodes[node];
		struct leaf *l = leaf_add(lv, LEAF_NUMBER, self, jn->off,
		    jn->len);

		scratch_add(lv, d->text.p + jn->off, jn->len);
		l->len = lv->len - l->off;
	}
	seg_end(lv, from);
}

static inline bool
is_scalar(const struct json_node *n)
{
	return n->type == JSON_STRING || n->type == JSON_NUMBER;
}

/* Key and scalar value in one segment; a value that opens as JSON leaves the
 * key alone. */
static void
member_add(struct leaves *lv, const struct json_doc *d, uint32_t self,
    uint32_t key, bool with_value, unsigned depth)
{
	uint32_t from = lv->len, mark;

	string_add(lv, d, self, key, LEAF_KEY);
	if (!with_value) {
		seg_end(lv, from);
		return;
	}
	mark = lv->len;
	scratch_add(lv, ": ", 2);
	const struct json_node *jn = &d->nodes[key + 1];

	if (jn->type == JSON_STRING) {
		struct slice in = json_inner(d, key + 1);
		char c = in.n == 0 ? '\0' : in.p[0];

		/* Only what may be JSON is set apart first. */
		if (c == '{' || c == '[' || c == ' ' || c == '\\') {
			lv->len = mark;
			seg_end(lv, from);
			uint32_t alone = lv->len;

			string_add(lv, d, self, key + 1, LEAF_STRING);
			if (!open_json(lv, lv->n - 1, depth))
				seg_end(lv, alone);
			return;
		}
		string_add(lv, d, self, key + 1, LEAF_STRING);
	} else {
		struct leaf *l = leaf_add(lv, LEAF_NUMBER, self, jn->off,
		    jn->len);

		scratch_add(lv, d->text.p + jn->off, jn->len);
		l->len = lv->len - l->off;
	}
	seg_end(lv, from);
}

/*
 * {"name": "DB_PASSWORD", "value": "x"}, as tools list variables: once more
 * as "DB_PASSWORD: x".  Both are leaves of their own elsewhere too.
 */
static void
pair_add(struct leaves *lv, const struct json_doc *d, uint32_t self,
    uint32_t obj)
{
	uint32_t name = JSON_NONE, value = JSON_NONE, from = lv->len;

	if (d->nodes[obj].count < 2 || d->nodes[obj].count > PAIR_MEMBERS)
		return;
	for (uint32_t i = obj + 1; i < d->nodes[obj].end;
	    i = d->nodes[i + 1].end) {
		struct slice key = json_inner(d, i);

		if (d->nodes[i + 1].type != JSON_STRING || key.n > 5)
			continue;
		if (slice_is(key, "value") || slice_is(key, "Value"))
			value = i + 1;
		else if (slice_is(key, "name") || slice_is(key, "Name") ||
		    slice_is(key, "key") || slice_is(key, "Key"))
			name = i + 1;
	}
	if (name == JSON_NONE || value == JSON_NONE ||
	    d->nodes[name].len > PAIR_NAME)
		return;
	string_add(lv, d, self, name, LEAF_STRING);
	scratch_add(lv, ": ", 2);
	string_add(lv, d, self, value, LEAF_STRING);
	seg_end(lv, from);
}

/* Nodes lie in text order, so one pass over the indexes is a walk. Recursion
 * only into strings that hold JSON, LEAF_JSON_DEPTH deep. */
static void
walk(struct leaves *lv, const struct json_doc *d, uint32_t self, uint32_t node,
    unsigned depth, const uint32_t *skip, size_t nskip)
{
	uint32_t i = node, end = d->nodes[node].end;

	while (i < end && !lv->limit) {
		const struct json_node *jn = &d->nodes[i];

		while (nskip > 0 && *skip < i) {
			skip++;
			nskip--;
		}
		if (nskip > 0 && *skip == i) {
			i = jn->end;
		} else if (jn->type == JSON_STRING && jn->flags & JSON_KEY) {
			bool both = is_scalar(&d->nodes[i + 1]) &&
			    !(nskip > 0 && *skip == i + 1);

			member_add(lv, d, self, i, both, depth);
			i += both ? 2 : 1;
		} else {
			if (is_scalar(jn))
				scalar_add(lv, d, self, i, depth);
			else if (jn->type == JSON_OBJECT)
				pair_add(lv, d, self, i);
			i++;
		}
	}
}

/* Other encodings --------------------------------------------------------- */

static inline bool
printable(uint8_t c)
{
	return (c >= 0x20 && c < 0x7f) || c == '\t' || c == '\n' || c == '\r';
}

/* Keeps the printable stretches of decoded bytes as leaves. */
struct stretch {
	struct leaves *lv;
	uint32_t parent, poff, plen;
	uint32_t from;			/* scratch offset where it began */
	uint32_t kept;			/* bytes kept so far */
};

static void
stretch_close(struct stretch *s)
{
	struct leaves *lv = s->lv;
	uint32_t n = lv->len - s->from;

	if (n < STRETCH_MIN) {
		lv->len = s->from;
		return;
	}
	struct leaf *l = leaf_add(lv, LEAF_RUN, s->parent, s->poff, s->plen);

	l->off = s->from;
	l->len = n;
	s->kept += n;
	seg_end(lv, s->from);
	s->from = lv->len;
	if (n > lv->work)
		lv->limit = true;
	else
		lv->work -= n;
}

static inline void
stretch_byte(struct stretch *s, uint8_t c)
{
	if (printable(c))
		s->lv->scratch[s->lv->len++] = (char)c;
	else
		stretch_close(s);
}

/*
 * A stretch worth keeping covers three whole groups, so one of every third
 * group must be printable.  False: this way of reading it holds none.
 */
static bool
b64_promises(const char *p, size_t n)
{
	if (n >= LINE_MIN && memchr(p, '\n', n) != NULL)
		return true;
	for (size_t i = 0; i + 4 <= n; i += 12) {
		uint32_t v = (uint32_t)b64_value[(unsigned char)p[i]] << 18 |
		    (uint32_t)b64_value[(unsigned char)p[i + 1]] << 12 |
		    (uint32_t)b64_value[(unsigned char)p[i + 2]] << 6 |
		    b64_value[(unsigned char)p[i + 3]];

		if (printable((uint8_t)(v >> 16)) &&
		    printable((uint8_t)(v >> 8)) && printable((uint8_t)v))
			return true;
	}
	return false;
}

/* One of the four ways a base64 text may lie in a run that something else
 * stands before. The room was made by the caller. */
static void
decode_b64(struct stretch *s, uint32_t from, uint32_t end)
{
	uint32_t v = 0;
	unsigned k = 0;

	for (uint32_t i = from; i < end && !s->lv->limit; i++) {
		uint8_t x = b64_value[(unsigned char)s->lv->scratch[i]];

		if (x == 255)		/* a line end inside the run */
			continue;
		v = v << 6 | x;
		if (++k % 4 == 0) {
			stretch_byte(s, (uint8_t)(v >> 16));
			stretch_byte(s, (uint8_t)(v >> 8));
			stretch_byte(s, (uint8_t)v);
		}
	}
	if (k % 4 == 2)
		stretch_byte(s, (uint8_t)(v >> 4));
	if (k % 4 == 3) {
		stretch_byte(s, (uint8_t)(v >> 10));
		stretch_byte(s, (uint8_t)(v >> 2));
	}
	stretch_close(s);
}

static void
decode_hex(struct stretch *s, uint32_t from, uint32_t end)
{
	for (uint32_t i = from; i + 1 < end && !s->lv->limit; i += 2)
		stretch_byte(s, (uint8_t)(hex_of(s->lv->scratch[i]) << 4 |
		    hex_of(s->lv->scratch[i + 1])));
	stretch_close(s);
}

static bool
all_hex(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (hex_of(p[i]) == 255)
			return false;
	return true;
}

/* Closes whatever is printable in the run [from, end) of leaf. */
static void
run_open(struct leaves *lv, uint32_t leaf, uint32_t from, uint32_t end,
    uint32_t plen)
{
	struct stretch s = { .lv = lv, .parent = leaf, .plen = plen,
		.poff = from - lv->v[leaf].off };
	/* All stretches of one decoding and their '\n' fit. */
	size_t room = end - from + 8;
	bool hex = all_hex(lv->scratch + from, end - from);

	for (uint32_t a = 0; a < 4 && !lv->limit; a++) {
		if (scratch_room(lv, room) == NULL)
			return;
		s.from = lv->len;
		if (hex && a < 2)
			decode_hex(&s, from + a, end);
		else if (!hex && b64_promises(lv->scratch + from + a,
		    end - from - a))
			decode_b64(&s, from + a, end);
		/* Nearly all of it is text: this is how it was meant. */
		if (s.kept >= (end - from) * 5 / 8)
			return;
	}
}

/* Where the run that begins at from ends; line ends inside wrapped base64 are
 * part of it. */
static uint32_t
run_end(const struct leaves *lv, uint32_t from, uint32_t end, uint32_t stop)
{
	const char *s = lv->scratch;
	uint32_t line = from;

	for (;;) {
		while (end < stop && is_b64(s[end]))
			end++;
		uint32_t next = end;

		if (next < stop && s[next] == '\r')
			next++;
		if (end - line < LINE_MIN || next + 1 >= stop ||
		    s[next] != '\n' || !is_b64(s[next + 1]))
			return end;
		line = end = next + 1;
	}
}

/*
 * All runs of LEAF_RUN_MIN base64 characters in [from, to). Looks at every
 * LEAF_RUN_MIN-th byte and backwards from there, as a run that long must
 * cover one.
 */
static void
runs_find(struct leaves *lv, uint32_t from, uint32_t to)
{
	uint32_t i = from;

	while (i + LEAF_RUN_MIN <= to && !lv->limit) {
		uint32_t j = i + LEAF_RUN_MIN;

		while (j > i && is_b64(lv->scratch[j - 1]))
			j--;
		if (j > i) {
			i = j;
			continue;
		}
		uint32_t leaf = leaves_at(lv, i);
		const struct leaf *l = &lv->v[leaf];
		uint32_t end = run_end(lv, i, i + LEAF_RUN_MIN,
		    l->off + l->len), tail = end;

		while (tail < l->off + l->len && tail < end + 2 &&
		    lv->scratch[tail] == '=')
			tail++;
		if (l->kind != LEAF_NUMBER)
			run_open(lv, leaf, i, end, tail - i);
		i = end + 1;
	}
}

static inline bool
word_break(char c)
{
	return (unsigned char)c <= ' ' || c == '"' || c == '\'' || c == '<' ||
	    c == '>' || c == '`';
}

static void
percent_open(struct leaves *lv, uint32_t leaf, uint32_t from, uint32_t end)
{
	struct leaf *l;
	uint32_t start = lv->len;

	if (scratch_room(lv, end - from + 1) == NULL)
		return;
	l = leaf_add(lv, LEAF_PERCENT, leaf, from - lv->v[leaf].off,
	    end - from);
	l->escaped = true;
	const char *s = lv->scratch;

	for (uint32_t i = from; i < end; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c == '%' && i + 2 < end && hex_of(s[i + 1]) < 16 &&
		    hex_of(s[i + 2]) < 16) {
			c = (unsigned char)(hex_of(s[i + 1]) << 4 |
			    hex_of(s[i + 2]));
			i += 2;
		}
		lv->scratch[lv->len++] = (char)c;
	}
	l->len = lv->len - start;
	if (l->len > lv->work)
		lv->limit = true;
	else
		lv->work -= l->len;
	seg_end(lv, start);
}

/* All words with a %XX in [from, to). */
static void
percents_find(struct leaves *lv, uint32_t from, uint32_t to)
{
	uint32_t i = from;

	while (i < to && !lv->limit) {
		const char *s = lv->scratch;
		const char *at = memchr(s + i, '%', to - i);

		if (at == NULL)
			return;
		i = (uint32_t)(at - s);
		if (i + 2 >= to || hex_of(s[i + 1]) > 15 ||
		    hex_of(s[i + 2]) > 15) {
			i++;
			continue;
		}
		uint32_t leaf = leaves_at(lv, i);
		const struct leaf *l = &lv->v[leaf];
		uint32_t a = i, b = i;

		while (a > l->off && !word_break(s[a - 1]))
			a--;
		while (b < l->off + l->len && !word_break(s[b]))
			b++;
		percent_open(lv, leaf, a, b);
		i = b;
	}
}

/* Twice: what the first round found may be encoded again. */
static void
encodings_open(struct leaves *lv)
{
	uint32_t from = 0;

	lv->work = WORK_BASE + (lv->len < UINT32_MAX / (2 * WORK_FACTOR) ?
	    WORK_FACTOR * lv->len : UINT32_MAX / 2);
	for (int round = 0; round < 2 && !lv->limit; round++) {
		uint32_t to = lv->len;

		runs_find(lv, from, to);
		percents_find(lv, from, to);
		from = to;
	}
}

/* Reading ----------------------------------------------------------------- */

int
leaves_json(struct leaves *lv, const struct json_doc *doc, uint32_t node,
    const uint32_t *skip, size_t nskip, const struct leaf_limits *lim)
{
	struct leaf *root;

	leaves_reset(lv, lim);
	if (doc->text.n > lim->bytes || node >= doc->n) {
		lv->limit = true;
		return -1;
	}
	root = leaf_add(lv, LEAF_BODY, 0, 0, (uint32_t)doc->text.n);
	root->bytes = doc->text.p;
	walk(lv, doc, 0, node, 0, skip, nskip);
	if (!lv->limit)
		encodings_open(lv);
	return lv->limit ? -1 : 0;
}

int
leaves_text(struct leaves *lv, struct slice text,
    const struct leaf_limits *lim)
{
	struct leaf *l;

	leaves_reset(lv, lim);
	if (text.n == 0)
		text = SLICE("");
	if (text.n > lim->bytes) {
		lv->limit = true;
		return -1;
	}
	l = leaf_add(lv, LEAF_BODY, 0, 0, (uint32_t)text.n);
	l->bytes = text.p;
	l = leaf_add(lv, LEAF_PLAIN, 0, 0, (uint32_t)text.n);
	scratch_add(lv, text.p, text.n);
	l->len = lv->len;
	if (!open_json(lv, 1, 0))
		seg_end(lv, 0);
	if (!lv->limit)
		encodings_open(lv);
	return lv->limit ? -1 : 0;
}

uint32_t
leaves_at(const struct leaves *lv, uint32_t off)
{
	uint32_t lo = 0, hi = lv->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (lv->v[mid].off + lv->v[mid].len <= off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

void
leaves_run_around(const struct leaves *lv, uint32_t leaf, uint32_t *off,
    uint32_t *end)
{
	const struct leaf *l = &lv->v[leaf];
	uint32_t stop = l->off + l->len;

	while (*off > l->off && is_b64(lv->scratch[*off - 1]))
		--*off;
	while (*end < stop && is_b64(lv->scratch[*end]))
		++*end;
	while (*end < stop && lv->scratch[*end] == '=')
		++*end;
}

/* The way back ------------------------------------------------------------ */

void
leaf_cursor_init(struct leaf_cursor *c, const struct leaves *lv, uint32_t leaf)
{
	*c = (struct leaf_cursor){ .lv = lv, .leaf = leaf };
}

/* Bytes of the leaf as they stand in its parent. */
static const char *
raw_bytes(const struct leaves *lv, const struct leaf *l)
{
	const struct leaf *p = &lv->v[l->parent];

	return (p->bytes != NULL ? p->bytes : lv->scratch + p->off) + l->poff;
}

/* One character: its length in the parent and in the text. */
static void
unit(const struct leaf *l, const char *p, uint32_t left, uint32_t *raw,
    uint32_t *dec)
{
	*raw = *dec = 1;
	if (l->kind == LEAF_PERCENT) {
		if (p[0] == '%' && left > 2 && hex_of(p[1]) < 16 &&
		    hex_of(p[2]) < 16)
			*raw = 3;
	} else if (p[0] == '\\' && left > 1 && p[1] != 'u') {
		*raw = 2;
	} else if (p[0] == '\\' && left > 5) {
		unsigned cp = hex4(p + 2);
		bool pair = cp >= 0xd800 && cp < 0xdc00;

		*raw = pair ? 12 : 6;
		*dec = pair ? 4 : cp < 0x80 ? 1 : cp < 0x800 ? 2 : 3;
	}
}

void
leaf_cursor_map(struct leaf_cursor *c, uint32_t *off, uint32_t *len)
{
	const struct leaf *l = &c->lv->v[c->leaf];
	uint32_t end = *off + *len, raw, dec, start;

	if (l->kind == LEAF_NUMBER || l->kind == LEAF_RUN) {
		*off = l->poff;
		*len = l->plen;
		return;
	}
	if (!l->escaped) {
		*off += l->poff;
		return;
	}
	const char *p = raw_bytes(c->lv, l);

	while (c->raw < l->plen) {
		unit(l, p + c->raw, l->plen - c->raw, &raw, &dec);
		if (c->dec + dec > *off)
			break;
		c->raw += raw;
		c->dec += dec;
	}
	start = c->raw;
	while (c->raw < l->plen && c->dec < end) {
		unit(l, p + c->raw, l->plen - c->raw, &raw, &dec);
		c->raw += raw;
		c->dec += dec;
	}
	*off = l->poff + start;
	*len = c->raw - start;
}
