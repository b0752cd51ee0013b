/*
 * The verifier against an attacker with a writable copy: every byte of every
 * stored row flipped, rows dropped, inserted, swapped, doubled, replaced with
 * the right hash, truncated, rolled back and forked while one exported
 * checkpoint survives. All must be found, and the right row named.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ledgertest.h"
#include "verify.h"

#define ROWS 23		/* of the ledger each test begins with */

static struct lt_signer signer;
static struct checkpoint_keys keys;
static char *dir;
static struct buf notes[2];	/* at 8 rows and at 18 */
static char anchor_path[512];

/* 8 rows, a checkpoint (row 9), 9 rows, a checkpoint (row 19), 4 rows. */
static int
setup(void **state)
{
	struct err err = { 0 };

	(void)state;
	lt_signer_make(&signer, "portreeve/test");
	lt_keys(&signer, &keys);
	dir = lt_dir();
	struct ledger *l = ledger_open(dir, &keys, &err);

	assert_non_null(l);
	buf_init(&notes[0], 4096);
	buf_init(&notes[1], 4096);
	lt_rows(l, 8);
	lt_checkpoint(l, &signer, &notes[0]);
	lt_rows(l, 9);
	lt_checkpoint(l, &signer, &notes[1]);
	lt_rows(l, 4);
	assert_int_equal(ledger_head(l), ROWS);
	ledger_close(l);
	snprintf(anchor_path, sizeof(anchor_path), "%s/anchor", dir);
	lt_write_file(anchor_path, buf_slice(&notes[1]));
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	lt_dir_remove(dir);
	buf_free(&notes[0]);
	buf_free(&notes[1]);
	return 0;
}

static void
run_db(struct sqlite3 *db, const char *anchor, struct verify_report *rep)
{
	struct verify_options o = { .keys = &keys };
	struct anchors a = { 0 };
	struct err err = { 0 };
	bool forged;

	if (anchor != NULL) {
		char *origin = ledgerdb_origin(db, &err);

		assert_non_null(origin);
		if (anchor_load(anchor, &keys, origin, &a, &forged, &err) != 0)
			fail_msg("%s", err.text);
		free(origin);
		o.anchors = &a;
	}
	if (verify_run(db, &o, rep, &err) != 0)
		fail_msg("%s", err.text);
	anchor_free(&a);
}

static void
run_dir(const char *d, const char *anchor, struct verify_report *rep)
{
	struct err err = { 0 };
	struct sqlite3 *db = ledgerdb_open_read(d, NULL, &err);

	if (db == NULL)
		fail_msg("%s", err.text);
	run_db(db, anchor, rep);
	ledgerdb_close(db);
}

static void
expect_bad(const struct verify_report *rep, uint64_t first, uint64_t last,
    const char *what)
{
	if (rep->verdict != VERIFY_BAD || rep->bad_first != first ||
	    rep->bad_last != last || !rep->why.set)
		fail_msg("%s: verdict %d names %llu..%llu, not %llu..%llu: %s",
		    what, rep->verdict, (unsigned long long)rep->bad_first,
		    (unsigned long long)rep->bad_last,
		    (unsigned long long)first, (unsigned long long)last,
		    rep->why.text);
}

static void
test_sound(void **state)
{
	struct verify_report rep;

	(void)state;
	run_dir(dir, NULL, &rep);
	assert_int_equal(rep.verdict, VERIFY_UNANCHORED);
	assert_int_equal(rep.rows, ROWS);
	assert_int_equal(rep.checkpoints, 2);
	assert_int_equal(rep.signed_size, 18);
	run_dir(dir, anchor_path, &rep);
	assert_int_equal(rep.verdict, VERIFY_GOOD);
	assert_int_equal(rep.anchors, 1);
	assert_int_equal(rep.anchored_size, 18);
}

/* A copy in memory: attacks run on it inside a transaction that is undone. */
static sqlite3 *
in_memory(void)
{
	sqlite3 *from = lt_attack(dir), *to;

	assert_int_equal(sqlite3_open(":memory:", &to), SQLITE_OK);
	sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");

	assert_non_null(b);
	assert_int_equal(sqlite3_backup_step(b, -1), SQLITE_DONE);
	sqlite3_backup_finish(b);
	sqlite3_close(from);
	return to;
}

static size_t
column_bytes(sqlite3 *db, const char *col, int row, unsigned char *out,
    bool *text_r)
{
	sqlite3_stmt *s;
	char sql[256];
	size_t n;

	snprintf(sql, sizeof(sql), "SELECT %s FROM rows WHERE seq = %d", col,
	    row);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	*text_r = sqlite3_column_type(s, 0) == SQLITE_TEXT;
	const void *p = sqlite3_column_blob(s, 0);

	n = (size_t)sqlite3_column_bytes(s, 0);
	assert_true(n <= 4096);
	if (n > 0)
		memcpy(out, p, n);
	sqlite3_finalize(s);
	return n;
}

static void
set_column(sqlite3 *db, const char *col, int row, const void *p, size_t n,
    bool text)
{
	sqlite3_stmt *s;
	char sql[256];

	snprintf(sql, sizeof(sql), "UPDATE rows SET %s = ? WHERE seq = %d",
	    col, row);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
	if (text)
		sqlite3_bind_text(s, 1, p, (int)n, SQLITE_STATIC);
	else
		sqlite3_bind_blob(s, 1, p, (int)n, SQLITE_STATIC);
	assert_int_equal(sqlite3_step(s), SQLITE_DONE);
	sqlite3_finalize(s);
}

static void
test_flips(void **state)
{
	static const char *const cols[] = { "id", "call", "type", "prev",
		"hash", "body" };
	sqlite3 *db = in_memory();
	struct verify_report rep;
	unsigned done = 0;

	(void)state;
	for (int row = 1; row <= ROWS; row++)
		for (size_t c = 0; c < ARRAY_LEN(cols); c++) {
			unsigned char old[4096], now[4096];
			bool text;
			size_t n = column_bytes(db, cols[c], row, old, &text);

			for (size_t i = 0; i < n; i++) {
				memcpy(now, old, n);
				/* Which bit differs from byte to byte. */
				now[i] ^= (unsigned char)(1 << (i + done) % 8);
				set_column(db, cols[c], row, now, n, text);
				run_db(db, NULL, &rep);
				expect_bad(&rep, (uint64_t)row, (uint64_t)row,
				    cols[c]);
				done++;
			}
			if (n > 0)
				set_column(db, cols[c], row, old, n, text);
		}
	for (int row = 1; row <= ROWS; row++) {
		lt_sql(db, "UPDATE rows SET time = time + 1 WHERE seq = %d",
		    row);
		run_db(db, NULL, &rep);
		expect_bad(&rep, (uint64_t)row, (uint64_t)row, "time");
		lt_sql(db, "UPDATE rows SET time = time - 1, call = CASE WHEN "
		    "call IS NULL THEN randomblob(16) ELSE NULL END WHERE "
		    "seq = %d", row);
		run_db(db, NULL, &rep);
		expect_bad(&rep, (uint64_t)row, (uint64_t)row, "call");
		sqlite3_close(db);
		db = in_memory();
	}
	run_db(db, NULL, &rep);
	assert_int_equal(rep.verdict, VERIFY_UNANCHORED);
	print_message("%u flips found, each in its row\n", done);
	sqlite3_close(db);
}

static void
attack(const char *what, uint64_t first, uint64_t last, const char *sql)
{
	sqlite3 *db = in_memory();
	struct verify_report rep;

	lt_sql(db, "%s", sql);
	run_db(db, NULL, &rep);
	expect_bad(&rep, first, last, what);
	sqlite3_close(db);
}

static void
test_moves(void **state)
{
	char sql[1024];

	(void)state;
	for (int k = 1; k < ROWS; k++) {
		snprintf(sql, sizeof(sql), "DELETE FROM rows WHERE seq = %d",
		    k);
		attack("delete", (uint64_t)k, (uint64_t)k, sql);
		/* Delete and close the gap. */
		snprintf(sql, sizeof(sql), "DELETE FROM rows WHERE seq = %d; "
		    "UPDATE rows SET seq = -seq WHERE seq > %d; "
		    "UPDATE rows SET seq = -seq - 1 WHERE seq < 0", k, k);
		attack("delete, shift", (uint64_t)k, (uint64_t)k, sql);
		snprintf(sql, sizeof(sql), "UPDATE rows SET seq = -1 WHERE seq "
		    "= %d; UPDATE rows SET seq = %d WHERE seq = %d; "
		    "UPDATE rows SET seq = %d WHERE seq = -1", k, k, k + 1,
		    k + 1);
		attack("swap", (uint64_t)k, (uint64_t)k, sql);
		/* A copy of row k behind it, under a new id. */
		snprintf(sql, sizeof(sql), "UPDATE rows SET seq = -seq - 1 "
		    "WHERE seq > %d; UPDATE rows SET seq = -seq WHERE seq < 0; "
		    "INSERT INTO rows SELECT seq + 1, randomblob(16), call, "
		    "time, type, hash, hash, body FROM rows WHERE seq = %d", k,
		    k);
		attack("double", (uint64_t)k + 1, (uint64_t)k + 1, sql);
		snprintf(sql, sizeof(sql), "UPDATE rows SET body = (SELECT "
		    "body FROM rows WHERE seq = %d) WHERE seq = %d", k + 1, k);
		attack("copy body", (uint64_t)k, (uint64_t)k, sql);
	}
	attack("delete more", 5, 7, "DELETE FROM rows WHERE seq IN (5,6,7)");
	attack("low number", (uint64_t)-3, (uint64_t)-3, "INSERT INTO rows "
	    "SELECT -3, randomblob(16), call, time, type, prev, hash, body "
	    "FROM rows WHERE seq = 4");
	attack("zero", 0, 0, "UPDATE rows SET seq = 0 WHERE seq = 1");
	attack("view", 0, 0, "CREATE VIEW v AS SELECT 1");
	attack("trigger", 0, 0, "CREATE TRIGGER t AFTER INSERT ON rows BEGIN "
	    "SELECT 1; END");
	attack("origin", 1, 1, "UPDATE meta SET value = 'other'");
	attack("no index", 0, 0, "DROP INDEX rows_call");
}

/* Rows from k on are made anew and chained properly: only signatures help. */
static void
rewrite(sqlite3 *db, int k, int until)
{
	for (int i = k; i <= until; i++) {
		struct chain_row r = { 0 };
		unsigned char body[4096], raw[32];
		struct json_doc doc;
		struct entry e;
		struct err err = { 0 };
		bool text;
		size_t n;

		r.seq = (uint64_t)i;
		n = column_bytes(db, "body", i, body, &text);
		if (i == k) {
			/* The row is another's now. */
			char *p = memmem(body, n, "\"role\":\"", 8);

			assert_non_null(p);
			p[8]++;
		}
		r.body = slice_make(body, n);
		(void)column_bytes(db, "id", i, r.id.b, &text);
		json_init(&doc);
		assert_int_equal(entry_parse(&doc, r.body, &e, &err), 0);
		r.call = e.call;
		json_free(&doc);
		if (i > 1) {
			(void)column_bytes(db, "hash", i - 1, r.prev, &text);
		} else {
			(void)column_bytes(db, "prev", 1, r.prev, &text);
		}
		chain_hash(&r, raw);
		set_column(db, "body", i, body, n, true);
		set_column(db, "prev", i, r.prev, 32, false);
		set_column(db, "hash", i, raw, 32, false);
	}
}

static void
test_rewrites(void **state)
{
	struct verify_report rep;

	(void)state;
	for (int k = 1; k <= ROWS; k++) {
		sqlite3 *db = in_memory();

		/* One row with its own hash right: its successor tells. */
		rewrite(db, k, k);
		run_db(db, NULL, &rep);
		if (k == ROWS)
			assert_int_equal(rep.verdict, VERIFY_UNANCHORED);
		else if (k == 8 || k == 18)	/* the checkpoint's last row */
			expect_bad(&rep, k == 8 ? 1 : 9, (uint64_t)k, "one");
		else
			expect_bad(&rep, (uint64_t)k, (uint64_t)k + 1, "one");
		sqlite3_close(db);

		/* All up to the end: the next checkpoint tells. */
		db = in_memory();
		rewrite(db, k, ROWS);
		run_db(db, NULL, &rep);
		if (k <= 8)
			expect_bad(&rep, 1, 8, "tail");
		else if (k <= 18)
			expect_bad(&rep, 9, 18, "tail");
		else
			assert_int_equal(rep.verdict, VERIFY_UNANCHORED);

		/* And without the table and its rows, only an anchor does. */
		run_db(db, anchor_path, &rep);
		if (k <= 18)
			assert_int_equal(rep.verdict, VERIFY_BAD);
		sqlite3_close(db);
	}
}

static void
test_checkpoints_table(void **state)
{
	(void)state;
	attack("note", 1, 8, "UPDATE checkpoints SET note = replace(note, "
	    "'test', 'tost') WHERE size = 8");
	attack("note of another", 1, 8, "UPDATE checkpoints SET note = (SELECT "
	    "note FROM checkpoints WHERE size = 18) WHERE size = 8");
	attack("root", 9, 18, "UPDATE checkpoints SET root = zeroblob(32) "
	    "WHERE size = 18");
	attack("stack", 8, 8, "UPDATE checkpoints SET stack = zeroblob(32) "
	    "WHERE size = 8");
	attack("carrier", 19, 19, "UPDATE checkpoints SET seq = 20 WHERE size "
	    "= 18");
	attack("carrier before it", 18, 18, "UPDATE checkpoints SET seq = 18 "
	    "WHERE size = 18");
	attack("dropped", 9, 9, "DELETE FROM checkpoints WHERE size = 8");
	attack("all dropped", 9, 9, "DELETE FROM checkpoints");
	attack("future", 19, 99, "UPDATE checkpoints SET size = 99, seq = 100 "
	    "WHERE size = 18; DELETE FROM rows WHERE seq > 18");
}

static void
test_truncation(void **state)
{
	struct verify_report rep;

	(void)state;
	for (int k = 0; k < ROWS; k++) {
		sqlite3 *db = in_memory();

		/* As clever as can be: with the checkpoints behind it. */
		lt_sql(db, "DELETE FROM rows WHERE seq > %d; DELETE FROM "
		    "checkpoints WHERE seq > %d", k, k);
		run_db(db, NULL, &rep);
		assert_int_equal(rep.verdict, VERIFY_UNANCHORED);
		run_db(db, anchor_path, &rep);
		if (k < 18)
			expect_bad(&rep, (uint64_t)k + 1, 18, "truncated");
		else
			assert_int_equal(rep.verdict, VERIFY_GOOD);
		sqlite3_close(db);

		/* And clumsy. */
		db = in_memory();
		lt_sql(db, "DELETE FROM rows WHERE seq > %d", k);
		run_db(db, NULL, &rep);
		if (k < 19)
			assert_int_equal(rep.verdict, VERIFY_BAD);
		else
			assert_int_equal(rep.verdict, VERIFY_UNANCHORED);
		sqlite3_close(db);
	}
}

static void
copy_file(const char *from_dir, const char *to_dir, const char *name)
{
	char from[512], to[512];

	snprintf(from, sizeof(from), "%s/%s", from_dir, name);
	snprintf(to, sizeof(to), "%s/%s", to_dir, name);
	if (access(from, F_OK) != 0)
		return;
	struct buf b = lt_read_file(from);

	lt_write_file(to, buf_slice(&b));
	buf_free(&b);
}

/* The database is rolled back to a past state, and goes on from there with
 * the true key: the same origin, other rows. */
static void
test_rollback_and_fork(void **state)
{
	char *past = lt_dir();
	struct verify_report rep;
	struct err err = { 0 };

	(void)state;
	copy_file(dir, past, "ledger.db");
	copy_file(dir, past, "ledger.db-wal");
	sqlite3 *db = lt_attack(past);

	lt_sql(db, "DELETE FROM rows WHERE seq > 12; DELETE FROM checkpoints "
	    "WHERE seq > 12");
	sqlite3_close(db);
	run_dir(past, anchor_path, &rep);
	expect_bad(&rep, 13, 18, "rolled back");

	struct ledger *l = ledger_open(past, &keys, &err);

	assert_non_null(l);
	lt_rows(l, 6);
	lt_checkpoint(l, &signer, NULL);
	lt_rows(l, 9);
	ledger_close(l);
	run_dir(past, NULL, &rep);
	assert_int_equal(rep.verdict, VERIFY_UNANCHORED);
	run_dir(past, anchor_path, &rep);
	expect_bad(&rep, 1, 18, "forked");

	/* With all exported checkpoints the range narrows. */
	char path[512];
	struct buf lines;
	struct jsonw w;

	buf_init(&lines, 65536);
	for (int i = 0; i < 2; i++) {
		buf_add_str(&lines, i == 0 ? "<134>1 - - portreeve - - - " :
		    "{\"type\":\"finding\",\"x\":\"ledger.checkpoint\"}\n");
		event_begin(&w, &lines, uuid_v7(), EVENT_CHECKPOINT,
		    ROLE_RECORDER);
		jsonw_slice(&w, "checkpoint", buf_slice(&notes[i]));
		event_end(&w);
		buf_add_str(&lines, "\nno json here {\n");
	}
	snprintf(path, sizeof(path), "%s/lines", dir);
	lt_write_file(path, buf_slice(&lines));
	run_dir(past, path, &rep);
	expect_bad(&rep, 9, 18, "forked, two anchors");
	run_dir(dir, path, &rep);
	assert_int_equal(rep.verdict, VERIFY_GOOD);
	assert_int_equal(rep.anchors, 2);
	buf_free(&lines);
	lt_dir_remove(past);
}

static void
test_anchor_files(void **state)
{
	static const char *const no[] = { "", "hello\n",
		"{\"type\":\"finding\"}\n",
		"{\"type\":\"ledger.checkpoint\"}\n",
		"{\"type\":\"ledger.checkpoint\",\"checkpoint\":\"x\"}\n",
		"{\"type\":\"ledger.checkpoint\",\n" };
	char path[512];
	struct anchors a;
	bool forged;

	(void)state;
	snprintf(path, sizeof(path), "%s/bad", dir);
	for (size_t i = 0; i < ARRAY_LEN(no); i++) {
		struct err err = { 0 };

		lt_write_file(path, slice_str(no[i]));
		assert_int_equal(anchor_load(path, &keys, "o", &a, &forged,
		    &err), -1);
		assert_true(err.set);
		assert_int_equal(forged, i == 3 || i == 4);
	}
	struct err err = { 0 };

	/* Genuine, but of another ledger. */
	assert_int_equal(anchor_load(anchor_path, &keys, "o", &a, &forged,
	    &err), -1);
	assert_true(forged);
	assert_non_null(strstr(err.text, "of the ledger"));
}

static uint8_t *
dump_hash(struct sqlite3 *db, uint8_t *out)
{
	sqlite3_stmt *s;
	struct buf b;

	buf_init(&b, 1 << 20);
	assert_int_equal(sqlite3_prepare_v2(db, "SELECT * FROM rows ORDER BY "
	    "seq", -1, &s, NULL), SQLITE_OK);
	while (sqlite3_step(s) == SQLITE_ROW)
		for (int i = 0; i < sqlite3_column_count(s); i++) {
			buf_addf(&b, "%d,", sqlite3_column_type(s, i));
			buf_add(&b, sqlite3_column_blob(s, i),
			    (size_t)sqlite3_column_bytes(s, i));
		}
	sqlite3_finalize(s);
	struct slice all = buf_slice(&b);

	merkle_sha256(&all, 1, out);
	buf_free(&b);
	return out;
}

/* Bytes of the file itself: whatever the verifier still calls sound must
 * show the very rows that were recorded. */
static void
test_file_flips(void **state)
{
	char *d = lt_dir(), path[512];
	struct err err = { 0 };
	uint8_t want[32], got[32];
	unsigned found = 0, harmless = 0, unreadable = 0;

	(void)state;
	sqlite3 *mem = in_memory();

	dump_hash(mem, want);
	snprintf(path, sizeof(path), "%s/ledger.db", d);
	lt_sql(mem, "VACUUM INTO '%q'", path);
	sqlite3_close(mem);
	struct buf file = lt_read_file(path);

	for (size_t i = 0; i < file.len; i += 61) {
		char *p = file.data + file.off + i;
		struct verify_options o = { .keys = &keys };
		struct verify_report rep;

		*p ^= (char)(1 << i % 8);
		lt_write_file(path, buf_slice(&file));
		*p ^= (char)(1 << i % 8);
		err = (struct err){ 0 };
		struct sqlite3 *db = ledgerdb_open_read(d, NULL, &err);

		if (db == NULL || verify_run(db, &o, &rep, &err) != 0) {
			unreadable++;
		} else if (rep.verdict == VERIFY_BAD) {
			found++;
		} else {
			harmless++;
			assert_memory_equal(want, dump_hash(db, got), 32);
		}
		ledgerdb_close(db);
	}
	assert_true(found > 0);
	print_message("file flips: %u found, %u in unused or index bytes, %u "
	    "not openable\n", found, harmless, unreadable);
	buf_free(&file);
	lt_dir_remove(d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sound),
		cmocka_unit_test(test_flips),
		cmocka_unit_test(test_moves),
		cmocka_unit_test(test_rewrites),
		cmocka_unit_test(test_checkpoints_table),
		cmocka_unit_test(test_truncation),
		cmocka_unit_test(test_rollback_and_fork),
		cmocka_unit_test(test_anchor_files),
		cmocka_unit_test(test_file_flips),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
