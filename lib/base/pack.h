/*
 * pack - typed values to bytes and back: the body of every message between
 * processes and of every snapshot section.
 *
 * Little-endian fixed-width integers; a string is a u32 length and its bytes.
 * The reader never reads past its end: after the first short or oversized
 * field it is `bad` and yields zeroes.  unpack_done() is true only when all
 * was consumed and nothing was bad: a message must be consumed whole.
 */
#ifndef PACK_H
#define PACK_H

#include "base.h"
#include "buf.h"

void pack_u8(struct buf *b, uint8_t v);
void pack_u16(struct buf *b, uint16_t v);
void pack_u32(struct buf *b, uint32_t v);
void pack_u64(struct buf *b, uint64_t v);
void pack_i64(struct buf *b, int64_t v);
void pack_slice(struct buf *b, struct slice s);
void pack_str(struct buf *b, const char *s);	/* NULL packs as "" */
void pack_bytes(struct buf *b, const void *p, size_t n); /* no length */

struct unpack {
	const char *p;
	size_t n;
	bool bad;
};

void unpack_init(struct unpack *u, struct slice s);
uint8_t unpack_u8(struct unpack *u);
uint16_t unpack_u16(struct unpack *u);
uint32_t unpack_u32(struct unpack *u);
uint64_t unpack_u64(struct unpack *u);
int64_t unpack_i64(struct unpack *u);
/* Borrows from the input. */
struct slice unpack_slice(struct unpack *u);
/* malloc'd, NUL-terminated copy; *owns* by caller. A NUL inside is bad. */
char *unpack_strdup(struct unpack *u) MUST_USE;
void unpack_bytes(struct unpack *u, void *dst, size_t n);
/* A count that leads a list of entries of at least min_size bytes each:
 * refuses a count the rest cannot hold. */
uint32_t unpack_count(struct unpack *u, size_t min_size);
bool unpack_done(const struct unpack *u);

#endif
