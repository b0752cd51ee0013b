/*
 * verify - proves a ledger sound, or names the first bad row and why.
 *
 * Reads only, in one snapshot, and recomputes everything: schema, sequence,
 * each row's hash and columns, the chain, the tree at each checkpoint, each
 * checkpoint's signature, each anchor. What it finds without anchors: a
 * flip, delete, insert, reorder and a rewrite behind a checkpoint. Anchors
 * (checkpoints kept elsewhere) add truncation, rollback and fork.
 */
#ifndef VERIFY_H
#define VERIFY_H

#include "anchor.h"
#include "base.h"
#include "checkpoint.h"
#include "err.h"

struct sqlite3;

/* Zero means bad. */
enum verify_verdict {
	VERIFY_BAD = 0,
	VERIFY_UNANCHORED,	/* sound, but held against nothing outside */
	VERIFY_GOOD		/* sound, and every anchor is in it */
};

struct verify_options {
	/* May be NULL while the ledger has no checkpoint. */
	const struct checkpoint_keys *keys;
	const struct anchors *anchors;	/* NULL: none */
	void (*progress)(void *ctx, uint64_t done, uint64_t total);
	void *ctx;
};

struct verify_report {
	enum verify_verdict verdict;
	uint64_t rows;		/* read and sound */
	uint64_t checkpoints;	/* verified */
	uint64_t anchors;	/* matched */
	uint64_t signed_size;	/* rows covered by the last checkpoint */
	uint64_t anchored_size;	/* rows covered by the last anchor */
	uint8_t head[MERKLE_HASH];	/* hash of the last row */
	uint8_t root[MERKLE_HASH];	/* of all rows */
	/* When bad: the first bad row, or the range it is in. 0: no row (the
	 * schema, the origin). */
	uint64_t bad_first, bad_last;
	struct err why;
};

/* -1 and err only when the question could not be answered (no ledger, a
 * missing key); everything wrong with the ledger is in the report. */
int verify_run(struct sqlite3 *db, const struct verify_options *o,
    struct verify_report *rep, struct err *err) MUST_USE;

#endif
