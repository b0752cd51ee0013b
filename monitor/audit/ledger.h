/*
 * ledger - the single writer of ledger.db.
 *
 * Rows are added to a group and become durable together with ledger_commit()
 * (SQLite WAL, synchronous=FULL: fsync before it returns). The first error of
 * a write, fsync or checkpoint damages the ledger for the rest of the
 * process: a failed fsync is never tried again, because the kernel may
 * have dropped the pages and would then report success.
 *
 *	CLEAN --add--> OPEN --commit--> CLEAN
 *	  \______________\___any error___> DAMAGED (until restart)
 */
#ifndef LEDGER_H
#define LEDGER_H

#include "base.h"
#include "chain.h"
#include "err.h"
#include "merkle.h"

struct ledger;

#define LEDGER_GROUP_MAX 100	/* rows the recorder puts in one group */

/* Zero means refused. */
enum ledger_result {
	LEDGER_DAMAGED = 0,	/* ledger_why() says why */
	LEDGER_CONFLICT,	/* the id is there with another body */
	LEDGER_DUPLICATE,	/* the same row is there (or in this group) */
	LEDGER_ADDED
};

/*
 * Opens or makes dir/ledger.db, takes its lock, verifies the chain from the
 * last checkpoint on. keys (may be NULL) check that checkpoint's signature.
 * NULL and err, which names the row and what to do.
 */
struct checkpoint_keys;
struct ledger *ledger_open(const char *dir,
    const struct checkpoint_keys *keys, struct err *err) MUST_USE;
/* An open group is rolled back. NULL-safe. */
void ledger_close(struct ledger *l);

/* e as entry_parse() gave it (for call: what the column shall hold). */
enum ledger_result ledger_add(struct ledger *l, const struct entry *e,
    struct slice body, uint64_t *seq_r) MUST_USE;
/* Stores a signed checkpoint; its event is row seq of the same group. m is
 * the tree that was signed. -1: damaged. */
int ledger_add_checkpoint(struct ledger *l, const struct merkle *m,
    uint64_t seq, struct slice note) MUST_USE;
/* 0, or -1: damaged, nothing of the group is recorded. Without a group: 0. */
int ledger_commit(struct ledger *l) MUST_USE;
unsigned ledger_group(const struct ledger *l);	/* rows not yet committed */
/* A transaction is open, also when only resends were found in it. */
bool ledger_in_group(const struct ledger *l);

uint64_t ledger_head(const struct ledger *l);	/* seq of the last row */
const uint8_t *ledger_head_hash(const struct ledger *l);
const struct merkle *ledger_tree(const struct ledger *l);
const char *ledger_origin(const struct ledger *l);
uint64_t ledger_checkpoint_size(const struct ledger *l);	/* 0: none */
/* NULL while it is sound. */
const char *ledger_why(const struct ledger *l);

/* Moves committed pages from the WAL into the database when enough wait, or
 * whenever idle is set. Between groups only. -1: damaged. */
int ledger_maintain(struct ledger *l, bool idle) MUST_USE;

/* Rows from seq on, in order, until fn answers false. -1 and err. */
typedef bool ledger_row_fn(void *ctx, const struct chain_row *r);
int ledger_each(struct ledger *l, uint64_t seq, ledger_row_fn *fn, void *ctx,
    struct err *err) MUST_USE;

#endif
