/*
 * jsonw - see jsonw.h. Must never write anything that json_index() refuses,
 * whatever bytes a peer put into a value.
 */
#include "jsonw.h"

#include "plain.h"
#include "utf8.h"

void
jsonw_init(struct jsonw *w, struct buf *b)
{
	w->b = b;
	w->depth = 0;
	w->comma[0] = false;
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

		if (plain_byte(s.p[i])) {
			i = (size_t)(plain_skip(s.p + i, s.p + s.n) - s.p);
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

/* Room for a comma, the key and n bytes of value; where the value goes, or
 * NULL: full. */
static char *
reserve(struct jsonw *w, struct slice key, size_t n)
{
	bool comma = w->comma[w->depth];
	size_t head = (size_t)comma + (key.p == NULL ? 0 : key.n + 3);
	char *p = buf_reserve(w->b, head + n);

	w->comma[w->depth] = true;
	if (p == NULL)
		return NULL;
	if (comma)
		*p++ = ',';
	if (key.p != NULL) {
		*p++ = '"';
		memcpy(p, key.p, key.n);
		p += key.n;
		*p++ = '"';
		*p++ = ':';
	}
	buf_commit(w->b, head);
	return p;
}

/* What stands before a value whose end is not known yet: comma and key. */
static void
before(struct jsonw *w, struct slice key)
{
	if (key.p == NULL || plain_all(key)) {
		reserve(w, key, 0);
		return;
	}
	if (w->comma[w->depth])
		buf_add_char(w->b, ',');
	w->comma[w->depth] = true;
	buf_add_char(w->b, '"');
	jsonw_escape(w->b, key);
	buf_add(w->b, "\":", 2);
}

void
jsonw_open(struct jsonw *w, struct slice key, char bracket)
{
	before(w, key);
	buf_add_char(w->b, bracket);
	ASSERT(w->depth + 1 < JSONW_DEPTH);
	w->comma[++w->depth] = false;
}

void
jsonw_close(struct jsonw *w, char bracket)
{
	ASSERT(w->depth > 0);
	w->depth--;
	buf_add_char(w->b, bracket);
}

void
jsonw_raw_at(struct jsonw *w, struct slice key, struct slice json)
{
	before(w, key);
	buf_add_slice(w->b, json);
}

void
jsonw_members(struct jsonw *w, struct slice members)
{
	ASSERT(w->comma[w->depth] && members.n > 0 && members.p[0] == ',');
	buf_add_slice(w->b, members);
}

/* Most strings need no escape: then this is one reservation and one copy. */
void
jsonw_string_at(struct jsonw *w, struct slice key, struct slice s)
{
	char *p;

	if (!plain_all(s) || (key.p != NULL && !plain_all(key))) {
		before(w, key);
		buf_add_char(w->b, '"');
		jsonw_escape(w->b, s);
		buf_add_char(w->b, '"');
		return;
	}
	if ((p = reserve(w, key, s.n + 2)) == NULL)
		return;
	*p = '"';
	if (s.n > 0)
		memcpy(p + 1, s.p, s.n);
	p[s.n + 1] = '"';
	buf_commit(w->b, s.n + 2);
}

void
jsonw_u64_at(struct jsonw *w, struct slice key, uint64_t v)
{
	char room[U64_DIGITS];

	jsonw_raw_at(w, key, slice_of_u64(v, room));
}

void
jsonw_i64_at(struct jsonw *w, struct slice key, int64_t v)
{
	if (v >= 0) {
		jsonw_u64_at(w, key, (uint64_t)v);
		return;
	}
	before(w, key);
	buf_addf(w->b, "%lld", (long long)v);
}
