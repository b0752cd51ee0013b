/*
 * buf - a byte queue with a maximum: bytes are appended at the end and
 * consumed from the front.
 *
 * A struct buf is valid when zeroed except for max, so make it with
 * buf_init().  An append past max does nothing and sets `full` (sticky until
 * buf_reset), so a builder checks once at its end.
 */
#ifndef BUF_H
#define BUF_H

#include "base.h"

struct buf {
	char *data;
	size_t off;	/* first unread byte */
	size_t len;	/* unread bytes */
	size_t cap;
	size_t max;	/* len never exceeds it */
	bool full;	/* an append was refused */
};

void buf_init(struct buf *b, size_t max);
void buf_free(struct buf *b);		/* b may be used again */
void buf_reset(struct buf *b);		/* keeps the memory */
/* Overwrites all memory before it is freed. */
void buf_wipe_free(struct buf *b);

static inline const char *
buf_data(const struct buf *b)
{
	return b->data + b->off;
}

static inline struct slice
buf_slice(const struct buf *b)
{
	return slice_make(b->data == NULL ? "" : b->data + b->off, b->len);
}

static inline size_t
buf_room(const struct buf *b)
{
	return b->max - b->len;
}

/* 0, or -1 when max would be passed. */
int buf_add(struct buf *b, const void *p, size_t n);
int buf_add_slice(struct buf *b, struct slice s);
int buf_add_str(struct buf *b, const char *s);
int buf_add_char(struct buf *b, char c);
int buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* A writable place of at least n bytes behind the data, NULL when max would
 * be passed; buf_commit() makes k <= n of them part of the data. */
char *buf_reserve(struct buf *b, size_t n) MUST_USE;
void buf_commit(struct buf *b, size_t k);
void buf_consume(struct buf *b, size_t n);

#endif
