/*
 * chain - how a row binds its content, its place and all rows before it.
 *
 * hash = RFC 6962 leaf hash, SHA-256(0x00 || encoding), of
 *
 *	"portreeve ledger row 1\n"
 *	u64 seq, 16 bytes id, 16 bytes call (zero: none), 32 bytes prev,
 *	u64 length, body as received		(integers big-endian)
 *
 * so that the chain and the tree need one hash a row. prev is the hash of the
 * row before; the first row's prev is chain_genesis() of the ledger's origin,
 * which makes rows of another ledger fit nowhere.
 */
#ifndef CHAIN_H
#define CHAIN_H

#include "base.h"
#include "entry.h"
#include "err.h"
#include "merkle.h"

struct sqlite3_stmt;

struct chain_row {
	uint64_t seq;
	struct uuid id, call;
	int64_t time;
	struct slice type, body;
	uint8_t prev[MERKLE_HASH], hash[MERKLE_HASH];
};

/* What chain_read() expects a statement to select, in this order. */
#define CHAIN_COLUMNS "seq, id, call, time, type, prev, hash, body"

void chain_genesis(struct slice origin, uint8_t out[MERKLE_HASH]);
/* Of seq, id, call, prev and body; r->hash is not read. */
void chain_hash(const struct chain_row *r, uint8_t out[MERKLE_HASH]);
/* From a statement on a row; slices are borrowed until it steps. -1 and err
 * when a column has another type or length than the ledger writes. */
int chain_read(struct sqlite3_stmt *s, struct chain_row *r_r,
    struct err *err) MUST_USE;
/* The columns against the body they were taken from; doc is scratch and
 * keeps the body's index. */
int chain_check_columns(const struct chain_row *r, struct json_doc *doc,
    struct err *err) MUST_USE;

#endif
