/*
 * state - see state.h.
 *
 * Each statement stands once in the table below, is prepared at first use and
 * kept. What the database says never becomes an ASSERT: a full disk is not
 * our bug.
 */
#include "state.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

#define SCHEMA_VERSION 1

const char *const state_connector_names[STATE_CONNECTOR_STATES] = {
	"disabled", "observe", "enabled", "ask-all", "catalogue"
};

static const char schema[] =
    "CREATE TABLE sessions ("
    " hash BLOB NOT NULL PRIMARY KEY CHECK (length(hash) = 32),"
    " id TEXT NOT NULL UNIQUE, user TEXT NOT NULL, agent TEXT NOT NULL,"
    " task TEXT NOT NULL, department TEXT NOT NULL, trust TEXT NOT NULL,"
    " by TEXT NOT NULL, opened INTEGER NOT NULL, expires INTEGER NOT NULL,"
    " revoked INTEGER NOT NULL) STRICT;"
    "CREATE TABLE approvals ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " call BLOB NOT NULL UNIQUE CHECK (length(call) = 16),"
    " digest BLOB NOT NULL CHECK (length(digest) = 32),"
    " state TEXT NOT NULL,"
    " session TEXT NOT NULL, rpc_id TEXT NOT NULL,"
    " connector TEXT NOT NULL, tool TEXT NOT NULL, user TEXT NOT NULL,"
    " agent TEXT NOT NULL, card TEXT NOT NULL, by TEXT, reason TEXT,"
    " edited TEXT, created INTEGER NOT NULL, expires INTEGER NOT NULL,"
    " decided INTEGER NOT NULL, consumed INTEGER NOT NULL,"
    " ended INTEGER NOT NULL) STRICT;"
    "CREATE INDEX approvals_state ON approvals(state);"
    "CREATE TABLE tools ("
    " connector TEXT NOT NULL, tool TEXT NOT NULL,"
    " digest BLOB NOT NULL CHECK (length(digest) = 32),"
    " description TEXT NOT NULL, seen INTEGER NOT NULL,"
    " changed INTEGER NOT NULL, class INTEGER, mode TEXT NOT NULL,"
    " reason TEXT, by TEXT,"
    " PRIMARY KEY (connector, tool)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE connectors ("
    " name TEXT NOT NULL PRIMARY KEY, state INTEGER NOT NULL,"
    " reason TEXT NOT NULL, by TEXT NOT NULL, at INTEGER NOT NULL) STRICT;"
    "CREATE TABLE kills ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL,"
    " reason TEXT NOT NULL, by TEXT NOT NULL, at INTEGER NOT NULL,"
    " until INTEGER NOT NULL, active INTEGER NOT NULL,"
    " ended INTEGER NOT NULL, ended_by TEXT, ended_reason TEXT) STRICT;"
    "CREATE UNIQUE INDEX kills_active ON kills(target) WHERE active = 1;"
    "PRAGMA user_version = 1;";

#define SESSION_COLS "hash, id, user, agent, task, department, trust, by," \
	" opened, expires, revoked"
#define HOLD_COLS "id, call, digest, state, session, rpc_id," \
	" connector, tool, user, agent, card, by, reason, edited, created," \
	" expires, decided, consumed, ended"
#define TOOL_COLS "connector, tool, digest, description, seen, changed," \
	" class, mode, reason, by"
#define KILL_COLS "id, target, reason, by, at, until, active, ended," \
	" ended_by, ended_reason"

enum sql {
	Q_BEGIN, Q_COMMIT, Q_ROLLBACK, Q_PRUNE_SESSIONS, Q_PRUNE_HOLDS,
	Q_SESSION_INSERT, Q_SESSION_GET, Q_SESSION_ALL, Q_SESSION_OPEN,
	Q_SESSION_EXPIRED, Q_SESSION_REVOKE,
	Q_HOLD_INSERT, Q_HOLD_UPDATE, Q_HOLD_GET, Q_HOLD_EACH, Q_HOLD_MOVE,
	Q_TOOL_PUT, Q_TOOL_GET, Q_TOOL_ALL, Q_TOOL_UNCLASSIFIED,
	Q_CONNECTOR_PUT, Q_CONNECTOR_GET, Q_CONNECTOR_ALL,
	Q_KILL_INSERT, Q_KILL_END, Q_KILL_GET, Q_KILL_ACTIVE, Q_KILL_ALL,
	Q_NAMES_AGENT, Q_NAMES_USER, Q_NAMES_SESSION, Q_NAMES_CONNECTOR,
	Q_COUNT
};

static const char *const sql_text[Q_COUNT] = {
	[Q_BEGIN] = "BEGIN IMMEDIATE",
	[Q_COMMIT] = "COMMIT",
	[Q_ROLLBACK] = "ROLLBACK",
	[Q_PRUNE_SESSIONS] = "DELETE FROM sessions WHERE expires < ?1",
	[Q_PRUNE_HOLDS] = "DELETE FROM approvals WHERE"
	    " state NOT IN ('pending', 'approved', 'edited')"
	    " AND max(created, decided, consumed, ended) < ?1",
	[Q_SESSION_INSERT] = "INSERT INTO sessions (" SESSION_COLS ")"
	    " VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)"
	    " ON CONFLICT DO NOTHING",
	[Q_SESSION_GET] = "SELECT " SESSION_COLS " FROM sessions"
	    " WHERE id = ?1",
	[Q_SESSION_ALL] = "SELECT " SESSION_COLS " FROM sessions"
	    " ORDER BY opened DESC, id",
	[Q_SESSION_OPEN] = "SELECT " SESSION_COLS " FROM sessions"
	    " WHERE revoked = 0 AND expires > ?1 ORDER BY opened DESC, id",
	[Q_SESSION_EXPIRED] = "SELECT " SESSION_COLS " FROM sessions"
	    " WHERE revoked = 0 AND expires <= ?1",
	[Q_SESSION_REVOKE] = "UPDATE sessions SET revoked = ?2"
	    " WHERE id = ?1 AND revoked = 0",
	[Q_HOLD_INSERT] = "INSERT INTO approvals (call, digest, state,"
	    " session, rpc_id, connector, tool, user, agent, card, by,"
	    " reason, edited, created, expires, decided, consumed, ended)"
	    " VALUES (?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,"
	    " ?16,?17,?18,?19)",
	[Q_HOLD_UPDATE] = "UPDATE approvals SET digest = ?3,"
	    " state = ?4, card = ?11, by = ?12, reason = ?13, edited = ?14,"
	    " expires = ?16, decided = ?17, consumed = ?18, ended = ?19"
	    " WHERE id = ?1 AND state = ?20",
	[Q_HOLD_GET] = "SELECT " HOLD_COLS " FROM approvals WHERE id = ?1",
	[Q_HOLD_EACH] = "SELECT " HOLD_COLS " FROM approvals"
	    " WHERE instr(?1, ',' || state || ',') > 0"
	    " ORDER BY id DESC LIMIT ?2",
	[Q_HOLD_MOVE] = "UPDATE approvals SET state = ?2, ended = ?3"
	    " WHERE state = ?1",
	[Q_TOOL_PUT] = "INSERT INTO tools (" TOOL_COLS ")"
	    " VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)"
	    " ON CONFLICT (connector, tool) DO UPDATE SET digest = ?3,"
	    " description = ?4, seen = ?5, changed = ?6, class = ?7,"
	    " mode = ?8, reason = ?9, by = ?10",
	[Q_TOOL_GET] = "SELECT " TOOL_COLS " FROM tools"
	    " WHERE connector = ?1 AND tool = ?2",
	[Q_TOOL_ALL] = "SELECT " TOOL_COLS " FROM tools"
	    " ORDER BY connector, tool",
	[Q_TOOL_UNCLASSIFIED] = "SELECT " TOOL_COLS " FROM tools"
	    " WHERE class IS NULL ORDER BY connector, tool",
	[Q_CONNECTOR_PUT] = "INSERT INTO connectors (name, state, reason, by,"
	    " at) VALUES (?1,?2,?3,?4,?5) ON CONFLICT (name) DO UPDATE SET"
	    " state = ?2, reason = ?3, by = ?4, at = ?5",
	[Q_CONNECTOR_GET] = "SELECT name, state, reason, by, at"
	    " FROM connectors WHERE name = ?1",
	[Q_CONNECTOR_ALL] = "SELECT name, state, reason, by, at"
	    " FROM connectors ORDER BY name",
	[Q_KILL_INSERT] = "INSERT INTO kills (target, reason, by, at, until,"
	    " active, ended) VALUES (?1,?2,?3,?4,?5,1,0)",
	[Q_KILL_END] = "UPDATE kills SET active = 0, ended = ?4,"
	    " ended_by = ?2, ended_reason = ?3"
	    " WHERE target = ?1 AND active = 1",
	[Q_KILL_GET] = "SELECT " KILL_COLS " FROM kills"
	    " WHERE target = ?1 AND active = 1",
	[Q_KILL_ACTIVE] = "SELECT " KILL_COLS " FROM kills WHERE active = 1"
	    " ORDER BY id DESC LIMIT ?1",
	[Q_KILL_ALL] = "SELECT " KILL_COLS " FROM kills"
	    " ORDER BY active DESC, id DESC LIMIT ?1",
	[Q_NAMES_AGENT] = "SELECT agent FROM sessions GROUP BY agent"
	    " ORDER BY max(opened) DESC LIMIT ?1",
	[Q_NAMES_USER] = "SELECT user FROM sessions GROUP BY user"
	    " ORDER BY max(opened) DESC LIMIT ?1",
	[Q_NAMES_SESSION] = "SELECT id FROM sessions"
	    " ORDER BY opened DESC LIMIT ?1",
	[Q_NAMES_CONNECTOR] = "SELECT DISTINCT connector FROM tools LIMIT ?1",
};

struct state {
	sqlite3 *db;
	sqlite3_stmt *stmts[Q_COUNT];
	bool dirty;		/* a transaction of ours is open */
};

/* -- statements -- */

static int
complain(struct state *st, const char *what)
{
	log_error("state.db: %s: %s", what, sqlite3_errmsg(st->db));
	return -1;
}

/* Ready to be bound; NULL: it could not be prepared. */
static sqlite3_stmt *
query(struct state *st, enum sql q)
{
	if (st->stmts[q] == NULL &&
	    sqlite3_prepare_v3(st->db, sql_text[q], -1,
	    SQLITE_PREPARE_PERSISTENT, &st->stmts[q], NULL) != SQLITE_OK) {
		complain(st, "prepare");
		return NULL;
	}
	sqlite3_reset(st->stmts[q]);
	sqlite3_clear_bindings(st->stmts[q]);
	return st->stmts[q];
}

static void
text(sqlite3_stmt *s, int at, const char *v)
{
	if (v == NULL)
		sqlite3_bind_null(s, at);
	else
		sqlite3_bind_text(s, at, v, -1, SQLITE_STATIC);
}

static const char *
col_text(sqlite3_stmt *s, int at)
{
	return (const char *)sqlite3_column_text(s, at);
}

static bool
col_bytes(sqlite3_stmt *s, int at, void *dst, int n)
{
	const void *p = sqlite3_column_blob(s, at);

	if (p == NULL || sqlite3_column_bytes(s, at) != n)
		return false;
	memcpy(dst, p, (size_t)n);
	return true;
}

static int
simple(struct state *st, enum sql q)
{
	sqlite3_stmt *s = query(st, q);

	if (s == NULL)
		return -1;
	int r = sqlite3_step(s);

	sqlite3_reset(s);
	return r == SQLITE_DONE ? 0 : complain(st, sql_text[q]);
}

/* Opens the transaction that the next state_commit() makes durable. */
static sqlite3_stmt *
write_query(struct state *st, enum sql q)
{
	if (!st->dirty) {
		if (simple(st, Q_BEGIN) != 0)
			return NULL;
		st->dirty = true;
	}
	return query(st, q);
}

/* Rows changed, or -1. */
static int
run(struct state *st, sqlite3_stmt *s)
{
	int r = sqlite3_step(s);

	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	if (r != SQLITE_DONE)
		return complain(st, "write");
	return sqlite3_changes(st->db);
}

typedef int row_fn(sqlite3_stmt *s, void *fn, void *ctx);

/* Rows seen, or -1. */
static int
walk(struct state *st, sqlite3_stmt *s, row_fn *row, void *fn, void *ctx)
{
	int r, n = 0;

	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		n++;
		if (row(s, fn, ctx) != 0) {
			r = SQLITE_DONE;
			break;
		}
	}
	if (r != SQLITE_DONE)
		complain(st, "read");
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	return r == SQLITE_DONE ? n : -1;
}

static int
one(int rows)
{
	return rows < 0 ? -1 : rows == 0;
}

static int
all(int rows)
{
	return rows < 0 ? -1 : 0;
}

/* -- the file -- */

static int
pragmas(struct state *st, struct err *err)
{
	static const char *const list[] = {
		"PRAGMA locking_mode = EXCLUSIVE",
		"PRAGMA journal_mode = WAL",
		"PRAGMA synchronous = FULL",
		"PRAGMA trusted_schema = OFF",
		"PRAGMA cell_size_check = ON",
		"PRAGMA foreign_keys = ON",
		"PRAGMA temp_store = MEMORY",
	};

	for (size_t i = 0; i < ARRAY_LEN(list); i++) {
		if (sqlite3_exec(st->db, list[i], NULL, NULL, NULL) !=
		    SQLITE_OK) {
			err_set(err, "state.db: %s: %s%s", list[i],
			    sqlite3_errmsg(st->db),
			    sqlite3_errcode(st->db) == SQLITE_BUSY ?
			    " (another broker has it open)" : "");
			return -1;
		}
	}
	return 0;
}

static int
get_text(void *ctx, int n, char **vals, char **names)
{
	(void)names;
	snprintf(ctx, 128, "%s", n > 0 && vals[0] != NULL ? vals[0] : "");
	return 0;
}

/* The database's own words, and the version of the tables. */
static int
check_schema(struct state *st, struct err *err)
{
	char word[128] = "";
	uint64_t version;

	if (sqlite3_exec(st->db, "PRAGMA quick_check(1)", get_text, word,
	    NULL) != SQLITE_OK || strcmp(word, "ok") != 0) {
		err_set(err, "state.db is damaged: %s", word[0] != '\0' ?
		    word : sqlite3_errmsg(st->db));
		return -1;
	}
	sqlite3_exec(st->db, "PRAGMA user_version", get_text, word, NULL);
	if (strcmp(word, "0") == 0) {
		if (sqlite3_exec(st->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) !=
		    SQLITE_OK ||
		    sqlite3_exec(st->db, schema, NULL, NULL, NULL) !=
		    SQLITE_OK ||
		    sqlite3_exec(st->db, "COMMIT", NULL, NULL, NULL) !=
		    SQLITE_OK) {
			err_set(err, "state.db: creating tables: %s",
			    sqlite3_errmsg(st->db));
			return -1;
		}
		return 0;
	}
	if (!slice_to_u64(slice_str(word), &version) ||
	    version != SCHEMA_VERSION) {
		err_set(err, "state.db has version %s, this program knows %d",
		    word, SCHEMA_VERSION);
		return -1;
	}
	return 0;
}

/* The real path: NOFOLLOW refuses the magic link itself. */
static int
path_of(int dirfd, char *out, size_t n, struct err *err)
{
	char link[64];
	ssize_t k;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd);
	k = readlink(link, out, n - sizeof("/state.db"));
	if (k < 0 || (size_t)k >= n - sizeof("/state.db") - 1) {
		err_set(err, "state directory: %s",
		    k < 0 ? strerror(errno) : "path too long");
		return -1;
	}
	memcpy(out + k, "/state.db", sizeof("/state.db"));
	return 0;
}

struct state *
state_open(int dirfd, struct err *err)
{
	struct state *st = base_calloc(1, sizeof(*st));
	char path[4096];

	if (path_of(dirfd, path, sizeof(path), err) != 0)
		goto fail;
	mode_t mask = umask(077);
	int r = sqlite3_open_v2(path, &st->db, SQLITE_OPEN_READWRITE |
	    SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_NOMUTEX |
	    SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE, NULL);

	if (r != SQLITE_OK)
		err_set(err, "%s: %s", path, st->db == NULL ?
		    "no memory" : sqlite3_errmsg(st->db));
	else if (pragmas(st, err) != 0 || check_schema(st, err) != 0)
		r = SQLITE_ERROR;
	/* One empty write: the log exists and is locked before the sandbox. */
	else if (simple(st, Q_BEGIN) != 0 || simple(st, Q_COMMIT) != 0) {
		err_set(err, "%s: %s", path, sqlite3_errmsg(st->db));
		r = SQLITE_ERROR;
	}
	umask(mask);
	if (r == SQLITE_OK)
		return st;
fail:
	state_close(st);
	return NULL;
}

void
state_close(struct state *st)
{
	if (st == NULL)
		return;
	state_rollback(st);
	for (size_t i = 0; i < Q_COUNT; i++)
		sqlite3_finalize(st->stmts[i]);
	sqlite3_close(st->db);
	free(st);
}

int
state_commit(struct state *st)
{
	if (!st->dirty)
		return 0;
	/* SQLite may have undone it by itself (disk full): then there is
	 * nothing to commit and everything is lost. */
	if (sqlite3_get_autocommit(st->db) == 0 && simple(st, Q_COMMIT) == 0) {
		st->dirty = false;
		return 0;
	}
	state_rollback(st);
	return -1;
}

void
state_rollback(struct state *st)
{
	if (st->dirty && sqlite3_get_autocommit(st->db) == 0)
		(void)simple(st, Q_ROLLBACK);
	st->dirty = false;
}

bool
state_is_dirty(const struct state *st)
{
	return st->dirty;
}

int
state_prune(struct state *st, int64_t before)
{
	static const enum sql q[] = { Q_PRUNE_SESSIONS, Q_PRUNE_HOLDS };

	for (size_t i = 0; i < ARRAY_LEN(q); i++) {
		sqlite3_stmt *s = write_query(st, q[i]);

		if (s == NULL)
			return -1;
		sqlite3_bind_int64(s, 1, before);
		if (run(st, s) < 0)
			return -1;
	}
	return 0;
}

/* -- sessions -- */

static int
session_row(sqlite3_stmt *s, void *fn, void *ctx)
{
	state_session_fn **f = fn;
	struct state_session v = {
		.id = col_text(s, 1), .user = col_text(s, 2),
		.agent = col_text(s, 3), .task = col_text(s, 4),
		.department = col_text(s, 5), .trust = col_text(s, 6),
		.by = col_text(s, 7), .opened = sqlite3_column_int64(s, 8),
		.expires = sqlite3_column_int64(s, 9),
		.revoked = sqlite3_column_int64(s, 10),
	};

	return col_bytes(s, 0, v.hash, 32) ? (*f)(ctx, &v) : -1;
}

int
state_session_insert(struct state *st, const struct state_session *v)
{
	sqlite3_stmt *s = write_query(st, Q_SESSION_INSERT);

	if (s == NULL)
		return -1;
	sqlite3_bind_blob(s, 1, v->hash, 32, SQLITE_STATIC);
	text(s, 2, v->id);
	text(s, 3, v->user);
	text(s, 4, v->agent);
	text(s, 5, v->task);
	text(s, 6, v->department);
	text(s, 7, v->trust);
	text(s, 8, v->by);
	sqlite3_bind_int64(s, 9, v->opened);
	sqlite3_bind_int64(s, 10, v->expires);
	sqlite3_bind_int64(s, 11, v->revoked);
	return one(run(st, s));
}

int
state_session_get(struct state *st, const char *id, state_session_fn *fn,
    void *ctx)
{
	sqlite3_stmt *s = query(st, Q_SESSION_GET);

	if (s == NULL)
		return -1;
	text(s, 1, id);
	return one(walk(st, s, session_row, &fn, ctx));
}

int
state_session_each(struct state *st, bool only_open, int64_t now,
    state_session_fn *fn, void *ctx)
{
	sqlite3_stmt *s = query(st, only_open ? Q_SESSION_OPEN :
	    Q_SESSION_ALL);

	if (s == NULL)
		return -1;
	if (only_open)
		sqlite3_bind_int64(s, 1, now);
	return all(walk(st, s, session_row, &fn, ctx));
}

int
state_session_expired(struct state *st, int64_t now, state_session_fn *fn,
    void *ctx)
{
	sqlite3_stmt *s = query(st, Q_SESSION_EXPIRED);

	if (s == NULL)
		return -1;
	sqlite3_bind_int64(s, 1, now);
	return all(walk(st, s, session_row, &fn, ctx));
}

int
state_session_revoke(struct state *st, const char *id, int64_t at)
{
	sqlite3_stmt *s = write_query(st, Q_SESSION_REVOKE);

	if (s == NULL)
		return -1;
	text(s, 1, id);
	sqlite3_bind_int64(s, 2, at);
	return one(run(st, s));
}

/* -- approvals -- */

static void
bind_hold(sqlite3_stmt *s, const struct hold *h)
{
	sqlite3_bind_blob(s, 3, h->digest, HOLD_DIGEST, SQLITE_STATIC);
	text(s, 4, hold_state_name(h->state));
	text(s, 11, h->card);
	text(s, 12, h->by);
	text(s, 13, h->reason);
	text(s, 14, h->edited);
	sqlite3_bind_int64(s, 16, h->expires);
	sqlite3_bind_int64(s, 17, h->decided);
	sqlite3_bind_int64(s, 18, h->consumed);
	sqlite3_bind_int64(s, 19, h->ended);
}

int
state_hold_insert(struct state *st, struct hold *h)
{
	sqlite3_stmt *s = write_query(st, Q_HOLD_INSERT);

	if (s == NULL)
		return -1;
	bind_hold(s, h);
	sqlite3_bind_blob(s, 2, h->call.b, 16, SQLITE_STATIC);
	text(s, 5, h->session);
	text(s, 6, h->rpc_id);
	text(s, 7, h->connector);
	text(s, 8, h->tool);
	text(s, 9, h->user);
	text(s, 10, h->agent);
	sqlite3_bind_int64(s, 15, h->created);
	if (run(st, s) < 0)
		return -1;
	h->id = sqlite3_last_insert_rowid(st->db);
	return 0;
}

int
state_hold_update(struct state *st, const struct hold *h,
    enum hold_state from)
{
	sqlite3_stmt *s = write_query(st, Q_HOLD_UPDATE);

	if (s == NULL)
		return -1;
	bind_hold(s, h);
	sqlite3_bind_int64(s, 1, h->id);
	text(s, 20, hold_state_name(from));
	return one(run(st, s));
}

static char *
col_dup(sqlite3_stmt *s, int at)
{
	const char *p = col_text(s, at);

	return p == NULL ? NULL : base_strdup(p);
}

static struct hold *
hold_of_row(sqlite3_stmt *s)
{
	struct hold *h = base_calloc(1, sizeof(*h));

	h->id = sqlite3_column_int64(s, 0);
	if (!col_bytes(s, 1, h->call.b, 16) ||
	    !col_bytes(s, 2, h->digest, HOLD_DIGEST) ||
	    !hold_state_parse(slice_str(col_text(s, 3)), &h->state)) {
		hold_free(h);
		return NULL;
	}
	h->session = col_dup(s, 4);
	h->rpc_id = col_dup(s, 5);
	h->connector = col_dup(s, 6);
	h->tool = col_dup(s, 7);
	h->user = col_dup(s, 8);
	h->agent = col_dup(s, 9);
	h->card = col_dup(s, 10);
	h->by = col_dup(s, 11);
	h->reason = col_dup(s, 12);
	h->edited = col_dup(s, 13);
	h->created = sqlite3_column_int64(s, 14);
	h->expires = sqlite3_column_int64(s, 15);
	h->decided = sqlite3_column_int64(s, 16);
	h->consumed = sqlite3_column_int64(s, 17);
	h->ended = sqlite3_column_int64(s, 18);
	return h;
}

static int
hold_keep(sqlite3_stmt *s, void *fn, void *ctx)
{
	struct hold **h_r = ctx;

	(void)fn;
	*h_r = hold_of_row(s);
	return 0;
}

static int
hold_row(sqlite3_stmt *s, void *fn, void *ctx)
{
	state_hold_fn **f = fn;
	struct hold *h = hold_of_row(s);
	int r = h == NULL ? -1 : (*f)(ctx, h);

	hold_free(h);
	return r;
}

struct hold *
state_hold_get(struct state *st, int64_t id)
{
	sqlite3_stmt *s = query(st, Q_HOLD_GET);
	struct hold *h = NULL;

	if (s == NULL)
		return NULL;
	sqlite3_bind_int64(s, 1, id);
	(void)walk(st, s, hold_keep, NULL, &h);
	return h;
}

int
state_hold_each(struct state *st, unsigned mask, unsigned limit,
    state_hold_fn *fn, void *ctx)
{
	sqlite3_stmt *s = query(st, Q_HOLD_EACH);
	char set[256] = ",";

	if (s == NULL)
		return -1;
	for (unsigned i = 0; i < HOLD_STATES; i++) {
		size_t n = strlen(set);

		if (mask & (1u << i))
			snprintf(set + n, sizeof(set) - n, "%s,",
			    hold_state_name((enum hold_state)i));
	}
	text(s, 1, set);
	sqlite3_bind_int64(s, 2, limit);
	return all(walk(st, s, hold_row, &fn, ctx));
}

int
state_hold_move_all(struct state *st, enum hold_state from,
    enum hold_state to, int64_t at)
{
	sqlite3_stmt *s = write_query(st, Q_HOLD_MOVE);

	if (s == NULL)
		return -1;
	text(s, 1, hold_state_name(from));
	text(s, 2, hold_state_name(to));
	sqlite3_bind_int64(s, 3, at);
	return run(st, s);
}

/* -- tools -- */

static int
tool_row(sqlite3_stmt *s, void *fn, void *ctx)
{
	state_tool_fn **f = fn;
	struct state_tool v = {
		.connector = col_text(s, 0), .tool = col_text(s, 1),
		.description = col_text(s, 3),
		.seen = sqlite3_column_int64(s, 4),
		.changed = sqlite3_column_int64(s, 5),
		.class = sqlite3_column_type(s, 6) == SQLITE_NULL ? -1 :
		    sqlite3_column_int(s, 6),
		.mode = col_text(s, 7), .reason = col_text(s, 8),
		.by = col_text(s, 9),
	};

	return col_bytes(s, 2, v.digest, 32) ? (*f)(ctx, &v) : -1;
}

int
state_tool_put(struct state *st, const struct state_tool *t)
{
	sqlite3_stmt *s = write_query(st, Q_TOOL_PUT);

	if (s == NULL)
		return -1;
	text(s, 1, t->connector);
	text(s, 2, t->tool);
	sqlite3_bind_blob(s, 3, t->digest, 32, SQLITE_STATIC);
	text(s, 4, t->description);
	sqlite3_bind_int64(s, 5, t->seen);
	sqlite3_bind_int64(s, 6, t->changed);
	if (t->class >= 0)
		sqlite3_bind_int(s, 7, t->class);
	text(s, 8, t->mode);
	text(s, 9, t->reason);
	text(s, 10, t->by);
	return all(run(st, s));
}

int
state_tool_get(struct state *st, const char *connector, const char *tool,
    state_tool_fn *fn, void *ctx)
{
	sqlite3_stmt *s = query(st, Q_TOOL_GET);

	if (s == NULL)
		return -1;
	text(s, 1, connector);
	text(s, 2, tool);
	return one(walk(st, s, tool_row, &fn, ctx));
}

int
state_tool_each(struct state *st, bool only_unclassified, state_tool_fn *fn,
    void *ctx)
{
	sqlite3_stmt *s = query(st, only_unclassified ? Q_TOOL_UNCLASSIFIED :
	    Q_TOOL_ALL);

	return s == NULL ? -1 : all(walk(st, s, tool_row, &fn, ctx));
}

/* -- connectors -- */

static int
connector_row(sqlite3_stmt *s, void *fn, void *ctx)
{
	state_connector_fn **f = fn;
	struct state_connector v = {
		col_text(s, 0), sqlite3_column_int(s, 1), col_text(s, 2),
		col_text(s, 3), sqlite3_column_int64(s, 4)
	};

	if (v.state < 0 || v.state >= STATE_CONNECTOR_STATES)
		v.state = STATE_DISABLED;
	return (*f)(ctx, &v);
}

int
state_connector_put(struct state *st, const struct state_connector *c)
{
	sqlite3_stmt *s = write_query(st, Q_CONNECTOR_PUT);

	if (s == NULL)
		return -1;
	text(s, 1, c->name);
	sqlite3_bind_int(s, 2, c->state);
	text(s, 3, c->reason);
	text(s, 4, c->by);
	sqlite3_bind_int64(s, 5, c->at);
	return all(run(st, s));
}

int
state_connector_get(struct state *st, const char *name,
    state_connector_fn *fn, void *ctx)
{
	sqlite3_stmt *s = query(st, Q_CONNECTOR_GET);

	if (s == NULL)
		return -1;
	text(s, 1, name);
	return one(walk(st, s, connector_row, &fn, ctx));
}

int
state_connector_each(struct state *st, state_connector_fn *fn, void *ctx)
{
	sqlite3_stmt *s = query(st, Q_CONNECTOR_ALL);

	return s == NULL ? -1 : all(walk(st, s, connector_row, &fn, ctx));
}

/* -- kills -- */

static int
kill_row(sqlite3_stmt *s, void *fn, void *ctx)
{
	state_kill_fn **f = fn;
	struct state_kill v = {
		.id = sqlite3_column_int64(s, 0), .target = col_text(s, 1),
		.reason = col_text(s, 2), .by = col_text(s, 3),
		.at = sqlite3_column_int64(s, 4),
		.until = sqlite3_column_int64(s, 5),
		.active = sqlite3_column_int(s, 6) != 0,
		.ended = sqlite3_column_int64(s, 7),
		.ended_by = col_text(s, 8), .ended_reason = col_text(s, 9),
	};

	return (*f)(ctx, &v);
}

int
state_kill_put(struct state *st, const struct state_kill *k)
{
	sqlite3_stmt *s;

	if (state_kill_end(st, k->target, k->by, "replaced by a new kill",
	    k->at) < 0 || (s = write_query(st, Q_KILL_INSERT)) == NULL)
		return -1;
	text(s, 1, k->target);
	text(s, 2, k->reason);
	text(s, 3, k->by);
	sqlite3_bind_int64(s, 4, k->at);
	sqlite3_bind_int64(s, 5, k->until);
	return all(run(st, s));
}

int
state_kill_end(struct state *st, const char *target, const char *by,
    const char *reason, int64_t at)
{
	sqlite3_stmt *s = write_query(st, Q_KILL_END);

	if (s == NULL)
		return -1;
	text(s, 1, target);
	text(s, 2, by);
	text(s, 3, reason);
	sqlite3_bind_int64(s, 4, at);
	return one(run(st, s));
}

int
state_kill_get(struct state *st, const char *target, state_kill_fn *fn,
    void *ctx)
{
	sqlite3_stmt *s = query(st, Q_KILL_GET);

	if (s == NULL)
		return -1;
	text(s, 1, target);
	return one(walk(st, s, kill_row, &fn, ctx));
}

int
state_kill_each(struct state *st, bool only_active, unsigned limit,
    state_kill_fn *fn, void *ctx)
{
	sqlite3_stmt *s = query(st, only_active ? Q_KILL_ACTIVE : Q_KILL_ALL);

	if (s == NULL)
		return -1;
	sqlite3_bind_int64(s, 1, limit);
	return all(walk(st, s, kill_row, &fn, ctx));
}

/* -- names -- */

static int
name_row(sqlite3_stmt *s, void *fn, void *ctx)
{
	state_name_fn **f = fn;

	return (*f)(ctx, col_text(s, 0));
}

int
state_names(struct state *st, enum state_name what, unsigned limit,
    state_name_fn *fn, void *ctx)
{
	static const enum sql q[] = {
		[STATE_NAME_AGENT] = Q_NAMES_AGENT,
		[STATE_NAME_USER] = Q_NAMES_USER,
		[STATE_NAME_SESSION] = Q_NAMES_SESSION,
		[STATE_NAME_CONNECTOR] = Q_NAMES_CONNECTOR,
	};
	sqlite3_stmt *s = query(st, q[what]);

	if (s == NULL)
		return -1;
	sqlite3_bind_int64(s, 1, limit);
	return all(walk(st, s, name_row, &fn, ctx));
}
