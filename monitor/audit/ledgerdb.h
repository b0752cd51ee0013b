/*
 * ledgerdb - the file ledger.db: its schema, and opening it safely.
 *
 * One connection in one process writes and checkpoints (ledger.h); all others
 * are opened here, read only. SQLite 3.40 may corrupt a WAL database when two
 * connections checkpoint and write at once; with one writer it cannot happen.
 */
#ifndef LEDGERDB_H
#define LEDGERDB_H

#include "base.h"
#include "err.h"

struct sqlite3;
struct sqlite3_stmt;

#define LEDGERDB_FILE "ledger.db"
#define LEDGERDB_KEY_FILE "ledger.pub"	/* vkey of the checkpoints' signer */
#define LEDGERDB_APPLICATION_ID 0x50524c31	/* "PRL1" */

extern const char ledgerdb_schema[];	/* statements that make it */

/* Defensive, no extensions, no trusted schema, memory for temporaries. */
int ledgerdb_harden(struct sqlite3 *db, struct err *err) MUST_USE;

/*
 * Opens dir/ledger.db for reading while a recorder may be writing, or with
 * none alive. Never checkpoints, never writes; the shared-memory file is
 * mapped read-only, so that a reader cannot harm the writer. NULL and err;
 * *absent_r (may be NULL) tells that there is no ledger yet.
 */
struct sqlite3 *ledgerdb_open_read(const char *dir, bool *absent_r,
    struct err *err) MUST_USE;
void ledgerdb_close(struct sqlite3 *db);	/* NULL-safe */

/* NULL and err on failure. The caller finalizes. */
struct sqlite3_stmt *ledgerdb_prepare(struct sqlite3 *db, const char *sql,
    struct err *err) MUST_USE;
int ledgerdb_exec(struct sqlite3 *db, const char *sql, struct err *err)
    MUST_USE;
/* First column of the first row; 0 when there is none or it is NULL. */
int ledgerdb_int(struct sqlite3 *db, const char *sql, int64_t *v_r,
    struct err *err) MUST_USE;
/* The ledger's origin, malloc'd; *owns* by caller. NULL and err. */
char *ledgerdb_origin(struct sqlite3 *db, struct err *err) MUST_USE;
/* -1 and err when tables, indexes or triggers differ from the schema. */
int ledgerdb_check_schema(struct sqlite3 *db, struct err *err) MUST_USE;

#endif
