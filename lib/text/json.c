/*
 * json - see json.h. Must never read past the text, recurse on its depth or
 * take more than linear time in its length.
 *
 * While a container is open, its node's `end` holds the index of its parent:
 * the stack of open containers costs no memory of its own.
 */
#include "json.h"

#include <stdarg.h>
#include <stdlib.h>

#include "map.h"
#include "plain.h"
#include "utf8.h"

#define NODES_FIRST 64
#define KEYS_ESCAPED 4	/* flag of an object, ours: a key of it has a backslash */
#define PAIRWISE_MAX 48	/* members compared without hashing */

const struct json_limits json_limits_default = {
	.depth = JSON_DEPTH,
	.nodes = JSON_NODES,
};

const struct json_limits json_limits_inside = {
	.depth = JSON_DEPTH - JSON_DEPTH_AROUND,
	.nodes = JSON_NODES,
};

struct json_seen {
	uint32_t hash;
	uint32_t node;	/* index + 1; 0: free */
};

struct reader {
	struct json_doc *d;
	const char *base, *p, *end;
	uint32_t open;	/* innermost open container, JSON_NONE at the top */
	uint32_t depth;
	uint32_t max_depth, max_nodes;
	uint32_t room;	/* nodes that can be added without a look at limits */
};

void
json_init(struct json_doc *d)
{
	memset(d, 0, sizeof(*d));
}

void
json_free(struct json_doc *d)
{
	free(d->nodes);
	free(d->seen);
	free(d->scratch);
	json_init(d);
}

const char *
json_error_text(enum json_error e)
{
	switch (e) {
	case JSON_OK:
		return "no error";
	case JSON_E_SYNTAX:
		return "not JSON (RFC 8259)";
	case JSON_E_UTF8:
		return "a string is not valid UTF-8";
	case JSON_E_ESCAPE:
		return "invalid escape or lone surrogate in a string";
	case JSON_E_DUPLICATE_KEY:
		return "an object has the same key twice";
	case JSON_E_DEPTH:
		return "nested too deeply";
	case JSON_E_NODES:
		return "too many values";
	case JSON_E_TRAILING:
		return "bytes behind the JSON value";
	case JSON_E_EMPTY:
		return "no JSON value";
	case JSON_E_SIZE:
		return "larger than 4 GiB";
	}
	return "unknown error";
}

static enum json_error
fail(struct reader *r, enum json_error e, const char *at)
{
	r->d->error_off = (size_t)(at - r->base);
	return e;
}

static inline void
skip_space(struct reader *r)
{
	while (r->p < r->end && (unsigned char)*r->p <= ' ' &&
	    (*r->p == ' ' || *r->p == '\n' || *r->p == '\r' ||
	    *r->p == '\t'))
		r->p++;
}

/* Room for one more node, unless that is more than the limit. */
static NOINLINE bool
nodes_grow(struct reader *r)
{
	struct json_doc *d = r->d;

	if (d->n == r->max_nodes)
		return false;
	if (d->n == d->cap) {
		d->cap = d->cap == 0 ? NODES_FIRST : d->cap * 2;
		d->nodes = base_realloc(d->nodes, d->cap *
		    sizeof(*d->nodes));
	}
	r->room = d->cap < r->max_nodes ? d->cap : r->max_nodes;
	return true;
}

static inline struct json_node *
node_add(struct reader *r, enum json_type type, const char *from)
{
	struct json_doc *d = r->d;
	struct json_node *n;

	if (d->n >= r->room && !nodes_grow(r))
		return NULL;
	n = &d->nodes[d->n++];
	n->off = (uint32_t)(from - r->base);
	n->len = (uint32_t)(r->p - from);
	n->end = d->n;
	n->count = 0;
	n->type = (uint8_t)type;
	n->flags = 0;
	return n;
}

/* strings */

static int
hex4(const char *p, const char *end, uint32_t *v_r)
{
	uint32_t v = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = p[i];

		if (c >= '0' && c <= '9')
			v = v << 4 | (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (uint32_t)(c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			v = v << 4 | (uint32_t)(c - 'A' + 10);
		else
			return -1;
	}
	*v_r = v;
	return 0;
}

/* One escape at p (a backslash): its length, 0 when invalid; *cp_r is the
 * scalar value it stands for. */
static unsigned
escape_read(const char *p, const char *end, uint32_t *cp_r)
{
	static const char letters[] = "\"\\/bfnrt";
	static const char means[] = "\"\\/\b\f\n\r\t";
	const char *at;
	uint32_t hi, lo;

	if (end - p < 2)
		return 0;
	if (p[1] != 'u') {
		at = memchr(letters, p[1], sizeof(letters) - 1);
		if (at == NULL)
			return 0;
		*cp_r = (unsigned char)means[at - letters];
		return 2;
	}
	if (hex4(p + 2, end, &hi) != 0 || (hi >= 0xDC00 && hi <= 0xDFFF))
		return 0;
	if (hi < 0xD800 || hi > 0xDFFF) {
		*cp_r = hi;
		return 6;
	}
	if (end - p < 12 || p[6] != '\\' || p[7] != 'u' ||
	    hex4(p + 8, end, &lo) != 0 || lo < 0xDC00 || lo > 0xDFFF)
		return 0;
	*cp_r = 0x10000 + ((hi - 0xD800) << 10) + (lo - 0xDC00);
	return 12;
}

/* From the opening quote to behind the closing one; *flags_r as the node's. */
static NOINLINE enum json_error
string_scan(struct reader *r, uint8_t *flags_r)
{
	const char *p = r->p + 1;
	uint32_t cp;
	unsigned len;

	for (;;) {
		p = plain_skip(p, r->end);
		if (p == r->end)
			return fail(r, JSON_E_SYNTAX, p);
		if (*p == '"') {
			r->p = p + 1;
			return JSON_OK;
		}
		if (*p == '\\') {
			len = escape_read(p, r->end, &cp);
			if (len == 0)
				return fail(r, JSON_E_ESCAPE, p);
			*flags_r |= JSON_ESCAPED;
			p += len;
			continue;
		}
		if ((unsigned char)*p < 0x20)
			return fail(r, JSON_E_SYNTAX, p);
		while (p < r->end && (unsigned char)*p >= 0x80) {
			len = utf8_len(p, (size_t)(r->end - p));
			if (len == 0)
				return fail(r, JSON_E_UTF8, p);
			p += len;
		}
	}
}

/* A short string of nothing but plain ASCII, which most are: past it and
 * true; else nothing has happened. */
static inline bool
string_short(struct reader *r)
{
#ifdef __SSE2__
	const char *p = r->p + 1;
	unsigned at;

	if (r->end - p < 16)
		return false;
	at = plain_not16(p);
	if (at == 0 || p[__builtin_ctz(at)] != '"')
		return false;
	r->p = p + __builtin_ctz(at) + 1;
	return true;
#else
	(void)r;
	return false;
#endif
}

static inline enum json_error
string_add(struct reader *r, uint8_t flags)
{
	const char *from = r->p;
	enum json_error e = string_short(r) ? JSON_OK : string_scan(r, &flags);
	struct json_node *n;

	if (e != JSON_OK)
		return e;
	n = node_add(r, JSON_STRING, from);
	if (n == NULL)
		return fail(r, JSON_E_NODES, from);
	n->flags = flags;
	return JSON_OK;
}

/* numbers and literals */

static const char *
digits_skip(const char *p, const char *end)
{
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p;
}

/* RFC 8259, 6: the end of the number at p; *bad_r where it went wrong. */
static const char *
number_skip(const char *p, const char *end, const char **bad_r)
{
	const char *from;

	if (*p == '-')
		p++;
	from = p;
	p = p < end && *p == '0' ? p + 1 : digits_skip(p, end);
	if (p == from)
		goto bad;
	if (p < end && *p == '.') {
		from = ++p;
		p = digits_skip(p, end);
		if (p == from)
			goto bad;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		from = p;
		p = digits_skip(p, end);
		if (p == from)
			goto bad;
	}
	return p;
bad:
	*bad_r = p;
	return NULL;
}

static inline enum json_error
number_add(struct reader *r)
{
	const char *from = r->p, *bad = NULL;
	const char *to = number_skip(from, r->end, &bad);

	if (to == NULL)
		return fail(r, JSON_E_SYNTAX, bad);
	r->p = to;
	if (node_add(r, JSON_NUMBER, from) == NULL)
		return fail(r, JSON_E_NODES, from);
	return JSON_OK;
}

static inline enum json_error
literal_add(struct reader *r, enum json_type type, struct slice word)
{
	const char *from = r->p;

	if ((size_t)(r->end - from) < word.n ||
	    memcmp(from, word.p, word.n) != 0)
		return fail(r, JSON_E_SYNTAX, from);
	r->p += word.n;
	if (node_add(r, type, from) == NULL)
		return fail(r, JSON_E_NODES, from);
	return JSON_OK;
}

/* the unescaped text of strings */

/* Next piece of the inside of a checked string: a run of plain bytes as it
 * stands, or the bytes of one escape, which room holds. */
static struct slice
piece_next(struct slice *rest, char room[4])
{
	const char *at;
	uint32_t cp = 0;
	size_t n;

	if (rest->n != 0 && rest->p[0] == '\\') {
		n = escape_read(rest->p, rest->p + rest->n, &cp);
		ASSERT(n != 0);
		*rest = slice_sub(*rest, n, rest->n);
		return slice_make(room, utf8_encode(cp, room));
	}
	at = rest->n == 0 ? NULL : memchr(rest->p, '\\', rest->n);
	n = at == NULL ? rest->n : (size_t)(at - rest->p);
	struct slice run = slice_make(rest->p, n);

	*rest = slice_sub(*rest, n, rest->n);
	return run;
}

struct slice
json_raw(const struct json_doc *d, uint32_t node)
{
	if (node >= d->n)
		return slice_make(NULL, 0);
	return slice_make(d->text.p + d->nodes[node].off, d->nodes[node].len);
}

struct slice
json_inner(const struct json_doc *d, uint32_t node)
{
	if (json_typeof(d, node) != JSON_STRING)
		return slice_make(NULL, 0);
	return slice_make(d->text.p + d->nodes[node].off + 1,
	    d->nodes[node].len - 2);
}

static bool
is_escaped(const struct json_doc *d, uint32_t node)
{
	return (d->nodes[node].flags & JSON_ESCAPED) != 0;
}

static bool
inner_equals(struct slice inner, bool escaped, struct slice want)
{
	char room[4];

	if (!escaped)
		return slice_eq(inner, want);
	while (inner.n != 0) {
		struct slice s = piece_next(&inner, room);

		if (s.n > want.n || memcmp(s.p, want.p, s.n) != 0)
			return false;
		want = slice_sub(want, s.n, want.n);
	}
	return want.n == 0;
}

static bool
string_equals(const struct json_doc *d, uint32_t node, struct slice want)
{
	return inner_equals(json_inner(d, node), is_escaped(d, node), want);
}

/* duplicate keys */

/* The key as text: borrowed from the text, or unescaped into scratch. */
static struct slice
key_text(struct json_doc *d, uint32_t key)
{
	struct slice inner = json_inner(d, key), s;
	char room[4];
	size_t n = 0;

	if (!is_escaped(d, key))
		return inner;
	if (d->scratch_cap < inner.n) {
		d->scratch = base_realloc(d->scratch, inner.n * 2);
		d->scratch_cap = inner.n * 2;
	}
	while (inner.n != 0) {
		s = piece_next(&inner, room);
		memcpy(d->scratch + n, s.p, s.n);
		n += s.n;
	}
	return slice_make(d->scratch, n);
}

/* Equal keys have equal marks; p is at the opening quote. */
static inline uint8_t
key_mark(const char *p, uint32_t n)
{
	return (uint8_t)(n * 31 + (unsigned char)p[1] * 7u +
	    (unsigned char)p[n / 2] * 3u + (unsigned char)p[n - 2] * 13u);
}

/* Is the key at the same as one of the object's before it? */
static bool
known_before(const struct json_doc *d, uint32_t obj, uint32_t at)
{
	const struct json_node *k = &d->nodes[at];

	for (uint32_t i = obj + 1; i != at; i = d->nodes[i + 1].end)
		if (d->nodes[i].len == k->len &&
		    memcmp(d->text.p + d->nodes[i].off, d->text.p + k->off,
		    k->len) == 0)
			return true;
	return false;
}

/* Objects of not too many keys, without escapes: each with those before it,
 * but only where its mark was seen. */
static uint32_t
duplicate_pairwise(const struct json_doc *d, uint32_t obj)
{
	uint32_t at = obj + 1;
	uint64_t seen[4] = { 0 };

	for (uint32_t n = d->nodes[obj].count; n > 0; n--) {
		const struct json_node *k = &d->nodes[at];
		uint8_t mark = key_mark(d->text.p + k->off, k->len);
		uint64_t *word = &seen[mark >> 6], bit = 1ull << (mark & 63);

		if ((*word & bit) != 0 && known_before(d, obj, at))
			return at;
		*word |= bit;
		at = d->nodes[at + 1].end;
	}
	return JSON_NONE;
}

static void
seen_prepare(struct json_doc *d, size_t cap)
{
	if (d->seen_cap < cap) {
		free(d->seen);
		d->seen = base_calloc(cap, sizeof(*d->seen));
		d->seen_cap = cap;
		return;
	}
	memset(d->seen, 0, cap * sizeof(*d->seen));
}

static uint32_t
duplicate_hashed(struct json_doc *d, uint32_t obj)
{
	uint32_t at = obj + 1, n = d->nodes[obj].count;
	size_t cap = 32;

	while (cap < (size_t)n * 2)
		cap *= 2;
	seen_prepare(d, cap);
	for (uint32_t i = 0; i < n; i++) {
		struct slice key = key_text(d, at);
		uint64_t h = map_hash(key.p, key.n);
		size_t slot = h & (cap - 1);

		for (; d->seen[slot].node != 0; slot = (slot + 1) & (cap - 1))
			if (d->seen[slot].hash == (uint32_t)(h >> 32) &&
			    string_equals(d, d->seen[slot].node - 1, key))
				return at;
		d->seen[slot].hash = (uint32_t)(h >> 32);
		d->seen[slot].node = at + 1;
		at = d->nodes[at + 1].end;
	}
	return JSON_NONE;
}

static uint32_t
duplicate_find(struct json_doc *d, uint32_t obj)
{
	if (d->nodes[obj].count < 2)
		return JSON_NONE;
	if (d->nodes[obj].count > PAIRWISE_MAX ||
	    (d->nodes[obj].flags & KEYS_ESCAPED) != 0)
		return duplicate_hashed(d, obj);
	return duplicate_pairwise(d, obj);
}

/* containers and the whole */

static inline enum json_error
container_open(struct reader *r, enum json_type type)
{
	const char *from = r->p;
	struct json_node *n;

	if (r->depth == r->max_depth)
		return fail(r, JSON_E_DEPTH, from);
	r->p++;
	n = node_add(r, type, from);
	if (n == NULL)
		return fail(r, JSON_E_NODES, from);
	n->end = r->open;
	r->open = r->d->n - 1;
	r->depth++;
	return JSON_OK;
}

static inline enum json_error
container_close(struct reader *r)
{
	struct json_doc *d = r->d;
	uint32_t at = r->open, again;
	struct json_node *n = &d->nodes[at];

	r->p++;
	r->open = n->end;
	r->depth--;
	n->end = d->n;
	n->len = (uint32_t)(r->p - r->base) - n->off;
	if (n->type == JSON_ARRAY)
		return JSON_OK;
	again = duplicate_find(d, at);
	if (again == JSON_NONE)
		return JSON_OK;
	return fail(r, JSON_E_DUPLICATE_KEY, r->base + d->nodes[again].off);
}

/* A key, its colon and the space behind it. */
static inline enum json_error
key_read(struct reader *r)
{
	enum json_error e;

	if (r->p == r->end || *r->p != '"')
		return fail(r, JSON_E_SYNTAX, r->p);
	if ((e = string_add(r, JSON_KEY)) != JSON_OK)
		return e;
	if (is_escaped(r->d, r->d->n - 1))
		r->d->nodes[r->open].flags |= KEYS_ESCAPED;
	skip_space(r);
	if (r->p == r->end || *r->p != ':')
		return fail(r, JSON_E_SYNTAX, r->p);
	r->p++;
	skip_space(r);
	return JSON_OK;
}

/* A scalar whole, or the opening of a container. */
static inline enum json_error
value_read(struct reader *r)
{
	if (r->p == r->end)
		return fail(r, JSON_E_SYNTAX, r->p);
	switch (*r->p) {
	case '"':
		return string_add(r, 0);
	case '{':
		return container_open(r, JSON_OBJECT);
	case '[':
		return container_open(r, JSON_ARRAY);
	case 't':
		return literal_add(r, JSON_TRUE, SLICE("true"));
	case 'f':
		return literal_add(r, JSON_FALSE, SLICE("false"));
	case 'n':
		return literal_add(r, JSON_NULL, SLICE("null"));
	case '-': case '0': case '1': case '2': case '3': case '4':
	case '5': case '6': case '7': case '8': case '9':
		return number_add(r);
	default:
		return fail(r, JSON_E_SYNTAX, r->p);
	}
}

/* Up to the next value: its separator or the first of a container, its key.
 * *value_r is false when a container was closed instead. */
static inline enum json_error
member_next(struct reader *r, bool *value_r)
{
	struct json_node *n = &r->d->nodes[r->open];
	bool object = n->type == JSON_OBJECT;

	skip_space(r);
	if (r->p == r->end)
		return fail(r, JSON_E_SYNTAX, r->p);
	*value_r = false;
	if (*r->p == (object ? '}' : ']'))
		return container_close(r);
	if (n->count != 0) {
		if (*r->p != ',')
			return fail(r, JSON_E_SYNTAX, r->p);
		r->p++;
		skip_space(r);
	}
	n->count++;
	*value_r = true;
	return object ? key_read(r) : JSON_OK;
}

static enum json_error
text_read(struct reader *r)
{
	enum json_error e;
	bool value;

	skip_space(r);
	if (r->p == r->end)
		return fail(r, JSON_E_EMPTY, r->p);
	if ((e = value_read(r)) != JSON_OK)
		return e;
	while (r->open != JSON_NONE) {
		if ((e = member_next(r, &value)) != JSON_OK)
			return e;
		if (value && (e = value_read(r)) != JSON_OK)
			return e;
	}
	skip_space(r);
	return r->p == r->end ? JSON_OK : fail(r, JSON_E_TRAILING, r->p);
}

enum json_error
json_index(struct json_doc *d, struct slice text,
    const struct json_limits *lim)
{
	struct reader r = { .d = d, .open = JSON_NONE };

	if (lim == NULL)
		lim = &json_limits_default;
	if (text.p == NULL)
		text = slice_make("", 0);
	d->text = text;
	d->n = 0;
	d->error_off = 0;
	r.base = r.p = text.p;
	r.end = text.p + text.n;
	r.max_depth = lim->depth;
	/* Indices and twice the capacity must fit in 32 bits. */
	r.max_nodes = lim->nodes < UINT32_MAX / 4 ? lim->nodes :
	    UINT32_MAX / 4;
	d->error = text.n >= UINT32_MAX ? JSON_E_SIZE : text_read(&r);
	if (d->error != JSON_OK)
		d->n = 0;	/* no half of a tree is ever looked at */
	return d->error;
}

/* access */

static bool
is_container(const struct json_doc *d, uint32_t node)
{
	enum json_type t = json_typeof(d, node);

	return t == JSON_ARRAY || t == JSON_OBJECT;
}

uint32_t
json_first(const struct json_doc *d, uint32_t container)
{
	if (!is_container(d, container) || d->nodes[container].count == 0)
		return JSON_NONE;
	return container + 1;
}

uint32_t
json_next(const struct json_doc *d, uint32_t container, uint32_t child)
{
	uint32_t next;

	if (!is_container(d, container) || child >= d->n)
		return JSON_NONE;
	next = d->nodes[child].end;
	return next < d->nodes[container].end ? next : JSON_NONE;
}

uint32_t
json_member(const struct json_doc *d, uint32_t obj, const char *key)
{
	struct slice want = slice_str(key);
	uint32_t at = obj + 1;

	if (json_typeof(d, obj) != JSON_OBJECT)
		return JSON_NONE;
	for (uint32_t i = 0; i < d->nodes[obj].count; i++) {
		/* Without escapes the length tells most keys apart. */
		if ((d->nodes[at].len == want.n + 2 || is_escaped(d, at)) &&
		    string_equals(d, at, want))
			return at + 1;
		at = d->nodes[at + 1].end;
	}
	return JSON_NONE;
}

uint32_t
json_path(const struct json_doc *d, uint32_t node, ...)
{
	const char *key;
	va_list ap;

	va_start(ap, node);
	while (node != JSON_NONE && (key = va_arg(ap, const char *)) != NULL)
		node = json_member(d, node, key);
	va_end(ap);
	return node;
}

int
json_decode(const struct json_doc *d, uint32_t node, struct buf *out)
{
	struct slice inner = json_inner(d, node);
	char room[4];

	if (inner.p == NULL)
		return -1;
	if (!is_escaped(d, node))
		return buf_add_slice(out, inner);
	while (inner.n != 0)
		if (buf_add_slice(out, piece_next(&inner, room)) != 0)
			return -1;
	return 0;
}

bool
json_str_is(const struct json_doc *d, uint32_t node, const char *s)
{
	return json_typeof(d, node) == JSON_STRING &&
	    string_equals(d, node, slice_str(s));
}

char *
json_strdup(const struct json_doc *d, uint32_t node)
{
	struct slice inner = json_inner(d, node), s;
	char *copy, room[4];
	size_t n = 0;

	if (inner.p == NULL)
		return NULL;
	copy = base_calloc(inner.n + 1, 1);
	while (inner.n != 0) {
		s = piece_next(&inner, room);
		memcpy(copy + n, s.p, s.n);
		n += s.n;
	}
	if (memchr(copy, '\0', n) == NULL)
		return copy;
	free(copy);
	return NULL;
}

bool
json_int(const struct json_doc *d, uint32_t node, int64_t *v_r)
{
	struct slice s = json_raw(d, node);
	uint64_t v;
	bool minus;

	if (json_typeof(d, node) != JSON_NUMBER)
		return false;
	minus = s.p[0] == '-';
	if (!slice_to_u64(slice_sub(s, minus, s.n), &v) ||
	    v > (uint64_t)INT64_MAX + minus)
		return false;
	*v_r = minus ? (int64_t)(0 - v) : (int64_t)v;
	return true;
}
