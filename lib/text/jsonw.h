/*
 * jsonw - writes compact JSON into a buf; escaping, commas and nesting belong
 * to the builder. Bytes that are no UTF-8 are written as U+FFFD.
 *
 * `key` may be NULL inside arrays and at the top. Overflow shows as b->full.
 */
#ifndef JSONW_H
#define JSONW_H

#include "base.h"
#include "buf.h"

#define JSONW_DEPTH 32

struct jsonw {
	struct buf *b;
	unsigned depth;
	bool comma[JSONW_DEPTH];
};

void jsonw_init(struct jsonw *w, struct buf *b);

/* What the functions below are made of: a key with its length, so that the
 * length of a literal is known when it is compiled. key.p NULL: none. */
void jsonw_open(struct jsonw *w, struct slice key, char bracket);
void jsonw_close(struct jsonw *w, char bracket);
void jsonw_string_at(struct jsonw *w, struct slice key, struct slice s);
void jsonw_raw_at(struct jsonw *w, struct slice key, struct slice json);
void jsonw_u64_at(struct jsonw *w, struct slice key, uint64_t v);
void jsonw_i64_at(struct jsonw *w, struct slice key, int64_t v);

static inline struct slice
jsonw_key(const char *key)
{
	return slice_make(key, key == NULL ? 0 : strlen(key));
}

static inline void
jsonw_object(struct jsonw *w, const char *key)	/* begins one */
{
	jsonw_open(w, jsonw_key(key), '{');
}

static inline void
jsonw_object_end(struct jsonw *w)
{
	jsonw_close(w, '}');
}

static inline void
jsonw_array(struct jsonw *w, const char *key)
{
	jsonw_open(w, jsonw_key(key), '[');
}

static inline void
jsonw_array_end(struct jsonw *w)
{
	jsonw_close(w, ']');
}

/* json is already valid JSON and goes in as it is. */
static inline void
jsonw_raw(struct jsonw *w, const char *key, struct slice json)
{
	jsonw_raw_at(w, jsonw_key(key), json);
}

static inline void
jsonw_slice(struct jsonw *w, const char *key, struct slice s)
{
	jsonw_string_at(w, jsonw_key(key), s);
}

static inline void
jsonw_str(struct jsonw *w, const char *key, const char *s)	/* NULL: null */
{
	if (s == NULL)
		jsonw_raw_at(w, jsonw_key(key), SLICE("null"));
	else
		jsonw_string_at(w, jsonw_key(key), slice_make(s, strlen(s)));
}

static inline void
jsonw_int(struct jsonw *w, const char *key, int64_t v)
{
	jsonw_i64_at(w, jsonw_key(key), v);
}

static inline void
jsonw_u64(struct jsonw *w, const char *key, uint64_t v)
{
	jsonw_u64_at(w, jsonw_key(key), v);
}

static inline void
jsonw_bool(struct jsonw *w, const char *key, bool v)
{
	jsonw_raw_at(w, jsonw_key(key), v ? SLICE("true") : SLICE("false"));
}

/* Members that another writer has written, from the comma before them on;
 * this object has a member already. */
void jsonw_members(struct jsonw *w, struct slice members);
/* Only the escaped inside of a string, without quotes. */
void jsonw_escape(struct buf *b, struct slice s);

#endif
