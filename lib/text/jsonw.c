/*
 * jsonw - see jsonw.h. Must never write anything that json_index() refuses,
 * whatever bytes a peer put into a value.
 */
#include "jsonw.h"

#include "utf8.h"

void
jsonw_init(struct jsonw *w, struct buf *b)
{
	w->b = b;
	w->depth = 0;
	w->comma[0] = false;
}

static bool
is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* An ASCII byte that cannot stand as it is. */
static void
escape_byte(struct buf *b, unsigned char c)
{
	static const char names[] = "\b\t\n\f\r\"\\";
	static const char letters[] = "btnfr\"\\";
	static const char hex[] = "0123456789abcdef";
	const char *at = c == 0 ? NULL : strchr(names, c);

	if (at != NULL) {
		char two[2] = { '\\', letters[at - names] };

		buf_add(b, two, 2);
		return;
	}
	char six[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };

	buf_add(b, six, 6);
}

void
jsonw_escape(struct buf *b, struct slice s)
{
	size_t from = 0, i = 0;

	while (i < s.n) {
		unsigned char c = (unsigned char)s.p[i];
		unsigned len;

		if (is_plain(c)) {
			i++;
			continue;
		}
		len = c < 0x80 ? 0 : utf8_len(s.p + i, s.n - i);
		if (len != 0) {
			i += len;
			continue;
		}
		buf_add(b, s.p + from, i - from);
		if (c < 0x80)
			escape_byte(b, c);
		else
			buf_add(b, "\xEF\xBF\xBD", 3);
		from = ++i;
	}
	buf_add(b, s.p + from, s.n - from);
}

/* How many bytes from the start stand as they are: eight at a time. */
static size_t
plain_run(struct slice s)
{
	const uint64_t ones = 0x0101010101010101u, high = ones << 7;
	size_t i = 0;

	for (; s.n - i >= 8; i += 8) {
		uint64_t v, quote, slash;

		memcpy(&v, s.p + i, 8);
		quote = v ^ ones * '"';
		slash = v ^ ones * '\\';
		if (((v | (v - ones * 0x20) | (quote - ones) |
		    (slash - ones)) & high) != 0)
			break;
	}
	while (i < s.n && is_plain((unsigned char)s.p[i]))
		i++;
	return i;
}

/* Most strings need no escape: then this is one reservation and one copy. */
static void
quoted(struct buf *b, struct slice s)
{
	char *p;

	if (plain_run(s) == s.n && (p = buf_reserve(b, s.n + 2)) != NULL) {
		*p = '"';
		if (s.n > 0)
			memcpy(p + 1, s.p, s.n);
		p[s.n + 1] = '"';
		buf_commit(b, s.n + 2);
		return;
	}
	buf_add_char(b, '"');
	jsonw_escape(b, s);
	buf_add_char(b, '"');
}

/* What stands before a value: comma and key. */
static void
before(struct jsonw *w, const char *key)
{
	if (w->comma[w->depth])
		buf_add_char(w->b, ',');
	w->comma[w->depth] = true;
	if (key == NULL)
		return;
	quoted(w->b, slice_str(key));
	buf_add_char(w->b, ':');
}

static void
down(struct jsonw *w, const char *key, char open)
{
	before(w, key);
	buf_add_char(w->b, open);
	ASSERT(w->depth + 1 < JSONW_DEPTH);
	w->comma[++w->depth] = false;
}

static void
up(struct jsonw *w, char close)
{
	ASSERT(w->depth > 0);
	w->depth--;
	buf_add_char(w->b, close);
}

void
jsonw_object(struct jsonw *w, const char *key)
{
	down(w, key, '{');
}

void
jsonw_object_end(struct jsonw *w)
{
	up(w, '}');
}

void
jsonw_array(struct jsonw *w, const char *key)
{
	down(w, key, '[');
}

void
jsonw_array_end(struct jsonw *w)
{
	up(w, ']');
}

void
jsonw_raw(struct jsonw *w, const char *key, struct slice json)
{
	before(w, key);
	buf_add_slice(w->b, json);
}

void
jsonw_slice(struct jsonw *w, const char *key, struct slice s)
{
	before(w, key);
	quoted(w->b, s);
}

void
jsonw_str(struct jsonw *w, const char *key, const char *s)
{
	if (s == NULL)
		jsonw_raw(w, key, SLICE("null"));
	else
		jsonw_slice(w, key, slice_str(s));
}

void
jsonw_u64(struct jsonw *w, const char *key, uint64_t v)
{
	char digits[20];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + v % 10);
	while ((v /= 10) != 0);
	jsonw_raw(w, key, slice_make(digits + at, sizeof(digits) - at));
}

void
jsonw_int(struct jsonw *w, const char *key, int64_t v)
{
	if (v >= 0) {
		jsonw_u64(w, key, (uint64_t)v);
		return;
	}
	before(w, key);
	buf_addf(w->b, "%lld", (long long)v);
}

void
jsonw_bool(struct jsonw *w, const char *key, bool v)
{
	jsonw_raw(w, key, v ? SLICE("true") : SLICE("false"));
}
