/*
 * merkle - the tree over the ledger's rows (RFC 6962, section 2.1): leaves
 * are SHA-256(0x00 || data), nodes SHA-256(0x01 || left || right), the empty
 * tree is SHA-256 of nothing.
 *
 * Kept as the stack of the roots of its full subtrees, largest first: one for
 * each bit set in size, so that adding a row and the root cost log(size).
 */
#ifndef MERKLE_H
#define MERKLE_H

#include "base.h"
#include "buf.h"

#define MERKLE_HASH 32
#define MERKLE_DEPTH 64

/* Zeroed is the empty tree. */
struct merkle {
	uint64_t size;
	unsigned depth;			/* bits set in size */
	uint8_t node[MERKLE_DEPTH][MERKLE_HASH];
};

/* SHA-256 over parts one after the other. */
void merkle_sha256(const struct slice *parts, size_t n,
    uint8_t out[MERKLE_HASH]);
void merkle_leaf(struct slice data, uint8_t out[MERKLE_HASH]);
/* leaf: an already hashed leaf. */
void merkle_add(struct merkle *m, const uint8_t leaf[MERKLE_HASH]);
void merkle_root(const struct merkle *m, uint8_t out[MERKLE_HASH]);

/* The stack's bytes (32 a node), what a checkpoint stores. */
struct slice merkle_stack(const struct merkle *m);
/* false when the length does not fit the size. */
bool merkle_restore(struct merkle *m, uint64_t size, struct slice stack)
    MUST_USE;

#endif
