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
void jsonw_object(struct jsonw *w, const char *key);	/* begins */
void jsonw_object_end(struct jsonw *w);
void jsonw_array(struct jsonw *w, const char *key);
void jsonw_array_end(struct jsonw *w);
void jsonw_str(struct jsonw *w, const char *key, const char *s); /* NULL: null */
void jsonw_slice(struct jsonw *w, const char *key, struct slice s);
void jsonw_int(struct jsonw *w, const char *key, int64_t v);
void jsonw_u64(struct jsonw *w, const char *key, uint64_t v);
void jsonw_bool(struct jsonw *w, const char *key, bool v);
/* json is already valid JSON and goes in as it is. */
void jsonw_raw(struct jsonw *w, const char *key, struct slice json);
/* Only the escaped inside of a string, without quotes. */
void jsonw_escape(struct buf *b, struct slice s);

#endif
