/* ledger - see ledger.h. */
#include "ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "checkpoint.h"
#include "codec.h"
#include "ledgerdb.h"
#include "log.h"
#include "walvfs.h"

/* Moving pages holds up the next group: few and often keeps that near a
 * millisecond (4,000 pages cost ten, 250 one, and hardly more in total). */
#define WAL_PAGES 250
#define ROOM_SIZE 4096		/* SQLite's lookaside: larger than most rows */
#define ROOM_COUNT 64
#define WAL_LIMIT "67108864"	/* bytes kept of the WAL file after a reset */

enum { S_BEGIN, S_COMMIT, S_ROLLBACK, S_INSERT, S_FIND, S_CHECKPOINT,
	S_FROM, S_COUNT };

static const char *const sql[S_COUNT] = {
	[S_BEGIN] = "BEGIN IMMEDIATE",
	[S_COMMIT] = "COMMIT",
	[S_ROLLBACK] = "ROLLBACK",
	[S_INSERT] = "INSERT INTO rows(" CHAIN_COLUMNS ") VALUES(?,?,?,?,?,"
	    "?,?,?) ON CONFLICT(id) DO NOTHING",
	[S_FIND] = "SELECT seq, body FROM rows WHERE id = ?",
	[S_CHECKPOINT] = "INSERT INTO checkpoints(size, seq, root, stack, "
	    "note) VALUES(?,?,?,?,?)",
	[S_FROM] = "SELECT " CHAIN_COLUMNS " FROM rows WHERE seq >= ? "
	    "ORDER BY seq",
};

struct ledger {
	sqlite3 *db;
	sqlite3_stmt *stmt[S_COUNT];
	int lock_fd;
	int db_fd;		/* of the same file, for advice only */
	char *origin;
	struct merkle tree;
	uint8_t head[MERKLE_HASH];
	uint64_t checkpoint_size;
	unsigned group;
	bool in_group;
	int wal_pages;		/* in the WAL as of the last commit */
	int wal_moved;		/* of them, tried to move */
	int wal_next;		/* pages at which they are moved */
	char *why;
};

uint64_t
ledger_head(const struct ledger *l)
{
	return l->tree.size;
}

const uint8_t *
ledger_head_hash(const struct ledger *l)
{
	return l->head;
}

const struct merkle *
ledger_tree(const struct ledger *l)
{
	return &l->tree;
}

const char *
ledger_origin(const struct ledger *l)
{
	return l->origin;
}

uint64_t
ledger_checkpoint_size(const struct ledger *l)
{
	return l->checkpoint_size;
}

unsigned
ledger_group(const struct ledger *l)
{
	return l->group;
}

bool
ledger_in_group(const struct ledger *l)
{
	return l->in_group;
}

const char *
ledger_why(const struct ledger *l)
{
	return l->why;
}

static void
damage(struct ledger *l, const char *doing)
{
	char text[512];

	if (l->why != NULL)
		return;
	snprintf(text, sizeof(text), "%s: %s", doing,
	    sqlite3_errmsg(l->db));
	l->why = base_strdup(text);
	log_error("the ledger is damaged, nothing is recorded any more: %s; "
	    "free or repair the disk, then restart", l->why);
	if (sqlite3_get_autocommit(l->db) == 0) {
		(void)sqlite3_step(l->stmt[S_ROLLBACK]);
		(void)sqlite3_reset(l->stmt[S_ROLLBACK]);
	}
	l->in_group = false;
	l->group = 0;
}

/* Steps a statement that answers no row. */
static int
run(struct ledger *l, int which, const char *doing)
{
	int r = sqlite3_step(l->stmt[which]);

	if (r != SQLITE_DONE)
		damage(l, doing);
	(void)sqlite3_reset(l->stmt[which]);
	return r == SQLITE_DONE ? 0 : -1;
}

static int
on_wal(void *ctx, sqlite3 *db, const char *name, int pages)
{
	struct ledger *l = ctx;

	(void)db;
	(void)name;
	if (pages < l->wal_pages) {	/* it began anew */
		l->wal_next = WAL_PAGES;
		l->wal_moved = 0;
	}
	l->wal_pages = pages;
	return SQLITE_OK;
}

static int
take_lock(struct ledger *l, const char *dir, struct err *err)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/ledger.lock", dir);
	l->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
	    0600);
	if (l->lock_fd < 0) {
		err_set(err, "%s: %s", path, strerror(errno));
		return -1;
	}
	if (flock(l->lock_fd, LOCK_EX | LOCK_NB) != 0) {
		err_set(err, "%s: another recorder writes this ledger: stop "
		    "it first, or give each its own state directory", path);
		return -1;
	}
	return 0;
}

/* A new ledger gets an origin nobody else has. */
static int
make_schema(struct ledger *l, struct err *err)
{
	uint8_t raw[8];
	char hex[17], text[256];

	rng_bytes(raw, sizeof(raw));
	hex_encode(raw, sizeof(raw), hex);
	snprintf(text, sizeof(text), "PRAGMA application_id=%d; "
	    "PRAGMA user_version=1; INSERT INTO meta VALUES('origin', "
	    "'portreeve/ledger/%s')", LEDGERDB_APPLICATION_ID, hex);
	if (ledgerdb_exec(l->db, "BEGIN IMMEDIATE", err) != 0 ||
	    ledgerdb_exec(l->db, ledgerdb_schema, err) != 0 ||
	    ledgerdb_exec(l->db, text, err) != 0)
		return -1;
	return ledgerdb_exec(l->db, "COMMIT", err);
}

static int
open_db(struct ledger *l, const char *dir, struct err *err)
{
	char path[PATH_MAX];
	int64_t n;

	snprintf(path, sizeof(path), "%s/" LEDGERDB_FILE, dir);
	/* SQLite would make it readable for all the umask allows. */
	l->db_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
	    0600);
	if (l->db_fd < 0) {
		err_set(err, "%s: %s", path, strerror(errno));
		return -1;
	}
	if (sqlite3_open_v2(path, &l->db, SQLITE_OPEN_READWRITE |
	    SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, walvfs_name()) !=
	    SQLITE_OK) {
		err_set(err, "%s: %s", path, sqlite3_errmsg(l->db));
		return -1;
	}
	sqlite3_busy_timeout(l->db, 1000);
	/* Rows are put together in room that is there. */
	(void)sqlite3_db_config(l->db, SQLITE_DBCONFIG_LOOKASIDE, NULL,
	    ROOM_SIZE, ROOM_COUNT);
	if (ledgerdb_harden(l->db, err) != 0 ||
	    ledgerdb_exec(l->db, "PRAGMA journal_mode=WAL; "
	    "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0; "
	    "PRAGMA journal_size_limit=" WAL_LIMIT, err) != 0 ||
	    ledgerdb_int(l->db, "SELECT count(*) FROM sqlite_schema", &n,
	    err) != 0)
		return -1;
	if (n == 0 && make_schema(l, err) != 0)
		return -1;
	if (ledgerdb_check_schema(l->db, err) != 0)
		return -1;
	sqlite3_wal_hook(l->db, on_wal, l);
	l->origin = ledgerdb_origin(l->db, err);
	return l->origin == NULL ? -1 : 0;
}

/* The signed head the check at start begins from. */
static int
restore_checkpoint(struct ledger *l, sqlite3_stmt *s,
    const struct checkpoint_keys *keys, struct err *err)
{
	uint64_t size = (uint64_t)sqlite3_column_int64(s, 0);
	struct slice stack = slice_make(sqlite3_column_blob(s, 1),
	    (size_t)sqlite3_column_bytes(s, 1));
	struct slice note = slice_make(sqlite3_column_text(s, 2),
	    (size_t)sqlite3_column_bytes(s, 2));
	struct checkpoint c;
	struct err why = { 0 };
	uint8_t root[MERKLE_HASH];

	if (checkpoint_parse(note, &c, &why) != 0 ||
	    (keys != NULL && checkpoint_verify(&c, keys, &why) != 0)) {
		err_set(err, "checkpoint of %" PRIu64 " rows: %s", size,
		    why.text);
		return -1;
	}
	if (!merkle_restore(&l->tree, size, stack)) {
		err_set(err, "checkpoint of %" PRIu64 " rows: its stored tree "
		    "has the wrong length", size);
		return -1;
	}
	merkle_root(&l->tree, root);
	if (c.size != size || !slice_is(c.origin, l->origin) ||
	    memcmp(root, c.root, MERKLE_HASH) != 0) {
		err_set(err, "checkpoint of %" PRIu64 " rows: its note and "
		    "its stored tree disagree", size);
		return -1;
	}
	l->checkpoint_size = size;
	return 0;
}

static int
load_checkpoint(struct ledger *l, const struct checkpoint_keys *keys,
    struct err *err)
{
	sqlite3_stmt *s = ledgerdb_prepare(l->db, "SELECT size, stack, note "
	    "FROM checkpoints ORDER BY size DESC LIMIT 1", err);
	int r, ret = -1;

	if (s == NULL)
		return -1;
	r = sqlite3_step(s);
	if (r == SQLITE_ROW)
		ret = restore_checkpoint(l, s, keys, err);
	else if (r == SQLITE_DONE)
		ret = 0;
	else
		err_set(err, "checkpoints: %s", sqlite3_errmsg(l->db));
	sqlite3_finalize(s);
	return ret;
}

/* Row size of the checkpoint gives the hash the next one must name. */
static int
check_tail(struct ledger *l, struct err *err)
{
	sqlite3_stmt *s = l->stmt[S_FROM];
	uint64_t first = l->tree.size == 0 ? 1 : l->tree.size;
	uint64_t expect = first;
	struct json_doc doc;
	int r;

	chain_genesis(slice_str(l->origin), l->head);
	json_init(&doc);
	sqlite3_bind_int64(s, 1, (int64_t)first);
	while ((r = sqlite3_step(s)) == SQLITE_ROW && !err->set) {
		struct chain_row row;
		struct err why = { 0 };
		uint8_t h[MERKLE_HASH];

		if (chain_read(s, &row, &why) == 0 && row.seq != expect)
			err_set(&why, "it is missing");
		else if (!why.set && expect > l->checkpoint_size &&
		    memcmp(row.prev, l->head, MERKLE_HASH) != 0)
			err_set(&why, "it does not follow the row before");
		if (!why.set) {
			chain_hash(&row, h);
			if (memcmp(h, row.hash, MERKLE_HASH) != 0)
				err_set(&why, "its content does not have its "
				    "hash");
			else if (chain_check_columns(&row, &doc, &why) != 0)
				ASSERT(why.set);
		}
		if (why.set) {
			err_set(err, "row %" PRIu64 ": %s", expect, why.text);
			break;
		}
		memcpy(l->head, row.hash, MERKLE_HASH);
		if (expect > l->checkpoint_size)
			merkle_add(&l->tree, row.hash);
		expect++;
	}
	if (!err->set && r != SQLITE_DONE)
		err_set(err, "row %" PRIu64 ": %s", expect,
		    sqlite3_errmsg(l->db));
	else if (!err->set && l->checkpoint_size >= expect)
		err_set(err, "row %" PRIu64 ": the ledger ends before it, but "
		    "a checkpoint covers it", expect);
	(void)sqlite3_reset(s);
	json_free(&doc);
	return err->set ? -1 : 0;
}

struct ledger *
ledger_open(const char *dir, const struct checkpoint_keys *keys,
    struct err *err)
{
	struct ledger *l = base_calloc(1, sizeof(*l));
	struct err why = { 0 };
	bool checking = false;

	l->lock_fd = l->db_fd = -1;
	l->wal_next = WAL_PAGES;
	if (take_lock(l, dir, &why) != 0 || open_db(l, dir, &why) != 0)
		goto fail;
	for (int i = 0; i < S_COUNT; i++)
		if ((l->stmt[i] = ledgerdb_prepare(l->db, sql[i],
		    &why)) == NULL)
			goto fail;
	checking = true;
	if (load_checkpoint(l, keys, &why) != 0 || check_tail(l, &why) != 0)
		goto fail;
	return l;
fail:
	if (checking)
		err_set(err, "%s/" LEDGERDB_FILE " is broken: %s. Run "
		    "`portreeve audit verify --state %s`; keep ledger.db* as "
		    "evidence by moving them elsewhere, then start again: a "
		    "new ledger begins", dir, why.text, dir);
	else
		err_set(err, "%s", why.text);
	ledger_close(l);
	return NULL;
}

void
ledger_close(struct ledger *l)
{
	if (l == NULL)
		return;
	if (l->in_group)
		(void)run(l, S_ROLLBACK, "rollback");
	for (int i = 0; i < S_COUNT; i++)
		sqlite3_finalize(l->stmt[i]);
	if (l->db != NULL)
		sqlite3_close(l->db);
	/* Not before SQLite's: a close ends all locks the process has on the
	 * file (fcntl(2)). */
	base_close(&l->db_fd);
	base_close(&l->lock_fd);
	free(l->origin);
	free(l->why);
	free(l);
}

static enum ledger_result
find_twin(struct ledger *l, const struct entry *e, struct slice body,
    uint64_t *seq_r)
{
	sqlite3_stmt *s = l->stmt[S_FIND];
	enum ledger_result res = LEDGER_CONFLICT;

	sqlite3_bind_blob(s, 1, e->id.b, 16, SQLITE_STATIC);
	if (sqlite3_step(s) != SQLITE_ROW) {
		damage(l, "look up a resent event");
		res = LEDGER_DAMAGED;
	} else {
		const void *p = sqlite3_column_text(s, 1);

		*seq_r = (uint64_t)sqlite3_column_int64(s, 0);
		if (slice_eq(body, slice_make(p,
		    (size_t)sqlite3_column_bytes(s, 1))))
			res = LEDGER_DUPLICATE;
	}
	(void)sqlite3_reset(s);
	return res;
}

static void
bind_row(sqlite3_stmt *s, const struct chain_row *r)
{
	sqlite3_bind_int64(s, 1, (int64_t)r->seq);
	sqlite3_bind_blob(s, 2, r->id.b, 16, SQLITE_STATIC);
	if (entry_uuid_is_zero(r->call))
		sqlite3_bind_null(s, 3);
	else
		sqlite3_bind_blob(s, 3, r->call.b, 16, SQLITE_STATIC);
	sqlite3_bind_int64(s, 4, r->time);
	sqlite3_bind_text(s, 5, r->type.p, (int)r->type.n, SQLITE_STATIC);
	sqlite3_bind_blob(s, 6, r->prev, MERKLE_HASH, SQLITE_STATIC);
	sqlite3_bind_blob(s, 7, r->hash, MERKLE_HASH, SQLITE_STATIC);
	sqlite3_bind_text(s, 8, r->body.p, (int)r->body.n, SQLITE_STATIC);
}

enum ledger_result
ledger_add(struct ledger *l, const struct entry *e, struct slice body,
    uint64_t *seq_r)
{
	struct chain_row r = { .seq = l->tree.size + 1, .id = e->id,
		.call = e->call, .time = e->time, .type = e->type,
		.body = body };
	sqlite3_stmt *s = l->stmt[S_INSERT];

	if (l->why != NULL)
		return LEDGER_DAMAGED;
	ASSERT(body.n <= ENTRY_BODY_MAX);
	if (!l->in_group && run(l, S_BEGIN, "begin a group") != 0)
		return LEDGER_DAMAGED;
	l->in_group = true;
	memcpy(r.prev, l->head, MERKLE_HASH);
	chain_hash(&r, r.hash);
	bind_row(s, &r);
	if (run(l, S_INSERT, "write a row") != 0)
		return LEDGER_DAMAGED;
	if (sqlite3_changes(l->db) == 0)
		return find_twin(l, e, body, seq_r);
	memcpy(l->head, r.hash, MERKLE_HASH);
	merkle_add(&l->tree, r.hash);
	l->group++;
	*seq_r = r.seq;
	return LEDGER_ADDED;
}

int
ledger_add_checkpoint(struct ledger *l, const struct merkle *m, uint64_t seq,
    struct slice note)
{
	sqlite3_stmt *s = l->stmt[S_CHECKPOINT];
	struct slice stack = merkle_stack(m);
	uint8_t root[MERKLE_HASH];

	ASSERT(l->in_group);
	merkle_root(m, root);
	sqlite3_bind_int64(s, 1, (int64_t)m->size);
	sqlite3_bind_int64(s, 2, (int64_t)seq);
	sqlite3_bind_blob(s, 3, root, MERKLE_HASH, SQLITE_STATIC);
	sqlite3_bind_blob(s, 4, stack.p, (int)stack.n, SQLITE_STATIC);
	sqlite3_bind_text(s, 5, note.p, (int)note.n, SQLITE_STATIC);
	if (run(l, S_CHECKPOINT, "write a checkpoint") != 0)
		return -1;
	l->checkpoint_size = m->size;
	return 0;
}

int
ledger_commit(struct ledger *l)
{
	if (l->why != NULL)
		return -1;
	if (!l->in_group)
		return 0;
	if (run(l, S_COMMIT, "commit") != 0)
		return -1;
	l->in_group = false;
	l->group = 0;
	return 0;
}

int
ledger_maintain(struct ledger *l, bool idle)
{
	int left = 0, done = 0, r;

	if (l->why != NULL)
		return -1;
	ASSERT(!l->in_group);
	if (l->wal_pages == l->wal_moved ||
	    (!idle && l->wal_pages < l->wal_next))
		return 0;
	r = sqlite3_wal_checkpoint_v2(l->db, NULL,
	    SQLITE_CHECKPOINT_PASSIVE, &left, &done);
	if (r != SQLITE_OK && (r & 0xff) != SQLITE_BUSY) {
		damage(l, "move pages from the WAL");
		return -1;
	}
	/* When all were moved and no reader looks at them, the next group
	 * begins the WAL anew; else it grows and they are tried again later. */
	l->wal_moved = l->wal_pages;
	/* What was moved is synced and seldom read again: the memory goes to
	 * the pages that are written next. */
	(void)posix_fadvise(l->db_fd, 0, 0, POSIX_FADV_DONTNEED);
	l->wal_next = l->wal_pages + WAL_PAGES;
	return 0;
}

int
ledger_each(struct ledger *l, uint64_t seq, ledger_row_fn *fn, void *ctx,
    struct err *err)
{
	sqlite3_stmt *s = l->stmt[S_FROM];
	int r, ret = 0;

	sqlite3_bind_int64(s, 1, (int64_t)seq);
	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		struct chain_row row;

		if ((ret = chain_read(s, &row, err)) != 0 || !fn(ctx, &row))
			break;
	}
	if (r != SQLITE_ROW && r != SQLITE_DONE) {
		err_set(err, "%s", sqlite3_errmsg(l->db));
		ret = -1;
	}
	(void)sqlite3_reset(s);
	return ret;
}
