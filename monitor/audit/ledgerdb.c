/* ledgerdb - see ledgerdb.h. */
#include "ledgerdb.h"

#include <errno.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"

/* prev and hash stand before body: they are read without its overflow pages. */
#define SQL_META "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT " \
	"NULL) STRICT"
#define SQL_ROWS "CREATE TABLE rows(seq INTEGER PRIMARY KEY, id BLOB NOT " \
	"NULL UNIQUE, call BLOB, time INTEGER NOT NULL, type TEXT NOT NULL, " \
	"prev BLOB NOT NULL, hash BLOB NOT NULL, body TEXT NOT NULL) STRICT"
#define SQL_CALL "CREATE INDEX rows_call ON rows(call) WHERE call IS NOT NULL"
#define SQL_CHECKPOINTS "CREATE TABLE checkpoints(size INTEGER PRIMARY KEY, " \
	"seq INTEGER NOT NULL, root BLOB NOT NULL, stack BLOB NOT NULL, " \
	"note TEXT NOT NULL) STRICT"

const char ledgerdb_schema[] = SQL_META ";" SQL_ROWS ";" SQL_CALL ";"
    SQL_CHECKPOINTS ";";

static const struct {
	const char *name, *sql;
} objects[] = {
	{ "checkpoints", SQL_CHECKPOINTS },
	{ "meta", SQL_META },
	{ "rows", SQL_ROWS },
	{ "rows_call", SQL_CALL },
	{ "sqlite_autoindex_meta_1", NULL },
	{ "sqlite_autoindex_rows_1", NULL },
};

int
ledgerdb_exec(struct sqlite3 *db, const char *sql, struct err *err)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK)
		return 0;
	err_set(err, "%.60s: %s", sql, sqlite3_errmsg(db));
	return -1;
}

struct sqlite3_stmt *
ledgerdb_prepare(struct sqlite3 *db, const char *sql, struct err *err)
{
	sqlite3_stmt *s = NULL;

	if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s,
	    NULL) == SQLITE_OK)
		return s;
	err_set(err, "%s", sqlite3_errmsg(db));
	return NULL;
}

int
ledgerdb_int(struct sqlite3 *db, const char *sql, int64_t *v_r,
    struct err *err)
{
	sqlite3_stmt *s = ledgerdb_prepare(db, sql, err);
	int r;

	if (s == NULL)
		return -1;
	r = sqlite3_step(s);
	if (r == SQLITE_ROW)
		*v_r = sqlite3_column_int64(s, 0);
	else if (r == SQLITE_DONE)
		*v_r = 0;
	else
		err_set(err, "%.60s: %s", sql, sqlite3_errmsg(db));
	sqlite3_finalize(s);
	return r == SQLITE_ROW || r == SQLITE_DONE ? 0 : -1;
}

int
ledgerdb_harden(struct sqlite3 *db, struct err *err)
{
	static const struct {
		int op, on;
	} config[] = {
		{ SQLITE_DBCONFIG_DEFENSIVE, 1 },
		{ SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0 },
		{ SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0 },
		{ SQLITE_DBCONFIG_ENABLE_TRIGGER, 0 },
		{ SQLITE_DBCONFIG_ENABLE_VIEW, 0 },
		{ SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(config); i++) {
		int now = -1;

		if (sqlite3_db_config(db, config[i].op, config[i].on, &now) !=
		    SQLITE_OK || now != config[i].on) {
			err_set(err, "SQLite refuses a safety setting");
			return -1;
		}
	}
	sqlite3_extended_result_codes(db, 1);
	sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
	return ledgerdb_exec(db, "PRAGMA temp_store=MEMORY; "
	    "PRAGMA cell_size_check=ON; PRAGMA mmap_size=0", err);
}

/* An URI: what has a meaning there is percent-encoded. */
static char *
make_uri(const char *path, const char *options)
{
	struct buf b;
	char *uri;

	buf_init(&b, 4 * PATH_MAX);
	buf_add_str(&b, "file:");
	for (const char *p = path; *p != '\0'; p++)
		if (*p == '%' || *p == '?' || *p == '#')
			buf_addf(&b, "%%%02x", (unsigned char)*p);
		else
			buf_add_char(&b, *p);
	buf_add_str(&b, options);
	uri = slice_dup(buf_slice(&b));
	buf_free(&b);
	return uri;
}

/* 0, SQLite's error otherwise; *db_r is set when 0. */
static int
try_open(const char *path, const char *options, struct sqlite3 **db_r,
    struct err *err)
{
	char *uri = make_uri(path, options);
	sqlite3 *db = NULL;
	struct err why = { 0 };
	int64_t n;
	int r = sqlite3_open_v2(uri, &db, SQLITE_OPEN_READONLY |
	    SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, NULL);

	free(uri);
	if (r == SQLITE_OK) {
		sqlite3_busy_timeout(db, 2000);
		sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1,
		    NULL);
		/* The first read opens WAL and shared memory. */
		if (ledgerdb_harden(db, &why) != 0 ||
		    ledgerdb_int(db, "SELECT count(*) FROM sqlite_schema", &n,
		    &why) != 0)
			r = sqlite3_errcode(db);
	}
	if (r == SQLITE_OK) {
		*db_r = db;
		return 0;
	}
	if (err != NULL) {
		*err = (struct err){ 0 };
		err_set(err, "%s: %s", path, why.set ? why.text :
		    sqlite3_errstr(r));
	}
	sqlite3_close(db);
	return r == 0 ? SQLITE_ERROR : r;
}

static bool
has_wal(const char *path)
{
	char wal[PATH_MAX + 8];
	struct stat st;

	snprintf(wal, sizeof(wal), "%s-wal", path);
	return stat(wal, &st) == 0 && st.st_size > 0;
}

struct sqlite3 *
ledgerdb_open_read(const char *dir, bool *absent_r, struct err *err)
{
	char path[PATH_MAX];
	struct stat st;
	struct sqlite3 *db = NULL;
	struct err why = { 0 };

	if (absent_r != NULL)
		*absent_r = false;
	snprintf(path, sizeof(path), "%s/" LEDGERDB_FILE, dir);
	if (stat(path, &st) != 0) {
		if (absent_r != NULL)
			*absent_r = errno == ENOENT;
		err_set(err, "%s: %s: name the state directory of the daemon "
		    "that keeps it", path, strerror(errno));
		return NULL;
	}
	if (try_open(path, "?mode=ro&readonly_shm=1", &db, &why) == 0)
		return db;
	/* No shared memory, so nobody writes: a plain file is enough, unless
	 * rows are still in a WAL, which then has to be indexed anew. */
	if (try_open(path, has_wal(path) ? "?mode=ro" :
	    "?mode=ro&immutable=1", &db, &why) == 0)
		return db;
	if (access(path, R_OK) != 0)
		err_set(err, "%s: %s: run this as the daemon's user", path,
		    strerror(errno));
	else if (has_wal(path))
		err_set(err, "%s; rows still are in its -wal file, which "
		    "cannot be indexed here: copy both into a directory you "
		    "may write to, and name that", why.text);
	else
		err_set(err, "%s", why.text);
	return NULL;
}

void
ledgerdb_close(struct sqlite3 *db)
{
	if (db != NULL)
		ASSERT(sqlite3_close(db) == SQLITE_OK);
}

char *
ledgerdb_origin(struct sqlite3 *db, struct err *err)
{
	sqlite3_stmt *s = ledgerdb_prepare(db, "SELECT value FROM meta WHERE "
	    "key = 'origin'", err);
	char *origin = NULL;

	if (s == NULL)
		return NULL;
	if (sqlite3_step(s) == SQLITE_ROW &&
	    sqlite3_column_type(s, 0) == SQLITE_TEXT)
		origin = base_strdup((const char *)sqlite3_column_text(s, 0));
	else
		err_set(err, "the ledger names no origin: its table meta was "
		    "changed");
	sqlite3_finalize(s);
	return origin;
}

int
ledgerdb_check_schema(struct sqlite3 *db, struct err *err)
{
	sqlite3_stmt *s = ledgerdb_prepare(db, "SELECT name, sql FROM "
	    "sqlite_schema ORDER BY name", err);
	size_t i = 0;
	int r;

	if (s == NULL)
		return -1;
	for (; (r = sqlite3_step(s)) == SQLITE_ROW; i++) {
		const char *name = (const char *)sqlite3_column_text(s, 0);
		const char *sql = (const char *)sqlite3_column_text(s, 1);

		if (i < ARRAY_LEN(objects) && name != NULL &&
		    strcmp(name, objects[i].name) == 0 &&
		    (objects[i].sql == NULL ? sql == NULL :
		    sql != NULL && strcmp(sql, objects[i].sql) == 0))
			continue;
		err_set(err, "the schema was changed: %s is not as the "
		    "recorder made it", name == NULL ? "?" : name);
		break;
	}
	if (r != SQLITE_ROW && r != SQLITE_DONE)
		err_set(err, "schema: %s", sqlite3_errmsg(db));
	else if (r == SQLITE_DONE && i != ARRAY_LEN(objects))
		err_set(err, "the schema was changed: %s is missing",
		    objects[i].name);
	sqlite3_finalize(s);
	return r == SQLITE_DONE && i == ARRAY_LEN(objects) ? 0 : -1;
}
