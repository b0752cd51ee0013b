/*
 * test_walvfs - our layer over SQLite's files, with one below it that records
 * every write, truncate and sync in order, so that a loss of power can be
 * played at every place of a ledger's life.
 *
 * What was written and not synced is lost, there, or there in part: any
 * subset of the writes, each torn into sectors of 512 bytes. SQLite alone,
 * without our layer, then opens what is left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ledgertest.h"
#include "log.h"
#include "walvfs.h"

#define SECTOR 512
#define ROWS_MAX 1000
#define IMAGE_MAX (8u << 20)

enum which { DB, WAL, FILES };
enum kind { WRITE, TRUNCATE, SYNC };

struct op {
	enum which file;
	enum kind kind;
	size_t at, n;		/* TRUNCATE: at is the new size */
	char *data;
	uint64_t acked;		/* rows acknowledged before it */
};

struct rec_file {
	sqlite3_file base;
	sqlite3_file *real;
	int which;		/* FILES: not recorded */
};

static struct {
	bool on;
	struct op *ops;
	size_t n, cap;
	uint64_t acked;
	int fail_in;		/* the n-th write to the WAL fails; 0: none */
	unsigned wal_reads;
} rec;

static sqlite3_vfs *unix_vfs;
static sqlite3_vfs rec_vfs;

/* --- the layer that records ------------------------------------------------ */

static void
note(struct rec_file *f, enum kind kind, size_t at, const void *p, size_t n)
{
	struct op *o;

	if (!rec.on || f->which == FILES)
		return;
	if (rec.n == rec.cap) {
		rec.cap = rec.cap == 0 ? 1024 : rec.cap * 2;
		rec.ops = base_realloc(rec.ops, rec.cap * sizeof(*rec.ops));
	}
	o = &rec.ops[rec.n++];
	*o = (struct op){ (enum which)f->which, kind, at, n, NULL, rec.acked };
	if (n > 0)
		o->data = memcpy(base_realloc(NULL, n), p, n);
}

static void
forget_ops(void)
{
	for (size_t i = 0; i < rec.n; i++)
		free(rec.ops[i].data);
	free(rec.ops);
	memset(&rec, 0, sizeof(rec));
}

#define REC(file) struct rec_file *f = (struct rec_file *)(file); \
	const sqlite3_io_methods *m = f->real->pMethods

static int
rec_close(sqlite3_file *file)
{
	REC(file);
	return m->xClose(f->real);
}

static int
rec_read(sqlite3_file *file, void *p, int n, sqlite3_int64 at)
{
	REC(file);
	rec.wal_reads += f->which == WAL;
	return m->xRead(f->real, p, n, at);
}

static int
rec_write(sqlite3_file *file, const void *p, int n, sqlite3_int64 at)
{
	REC(file);
	if (f->which == WAL && rec.fail_in > 0 && --rec.fail_in == 0)
		return SQLITE_FULL;
	note(f, WRITE, (size_t)at, p, (size_t)n);
	return m->xWrite(f->real, p, n, at);
}

static int
rec_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	REC(file);
	note(f, TRUNCATE, (size_t)size, NULL, 0);
	return m->xTruncate(f->real, size);
}

static int
rec_sync(sqlite3_file *file, int flags)
{
	REC(file);
	note(f, SYNC, 0, NULL, 0);
	return m->xSync(f->real, flags);
}

static int
rec_size(sqlite3_file *file, sqlite3_int64 *size_r)
{
	REC(file);
	return m->xFileSize(f->real, size_r);
}

static int
rec_lock(sqlite3_file *file, int level)
{
	REC(file);
	return m->xLock(f->real, level);
}

static int
rec_unlock(sqlite3_file *file, int level)
{
	REC(file);
	return m->xUnlock(f->real, level);
}

static int
rec_check_lock(sqlite3_file *file, int *r)
{
	REC(file);
	return m->xCheckReservedLock(f->real, r);
}

static int
rec_control(sqlite3_file *file, int op, void *arg)
{
	REC(file);
	return m->xFileControl(f->real, op, arg);
}

static int
rec_sector(sqlite3_file *file)
{
	REC(file);
	return m->xSectorSize(f->real);
}

static int
rec_traits(sqlite3_file *file)
{
	REC(file);
	return m->xDeviceCharacteristics(f->real);
}

static int
rec_shm_map(sqlite3_file *file, int page, int size, int extend,
    void volatile **p_r)
{
	REC(file);
	return m->xShmMap(f->real, page, size, extend, p_r);
}

static int
rec_shm_lock(sqlite3_file *file, int at, int n, int flags)
{
	REC(file);
	return m->xShmLock(f->real, at, n, flags);
}

static void
rec_shm_barrier(sqlite3_file *file)
{
	REC(file);
	m->xShmBarrier(f->real);
}

static int
rec_shm_unmap(sqlite3_file *file, int remove)
{
	REC(file);
	return m->xShmUnmap(f->real, remove);
}

static const sqlite3_io_methods rec_methods = {
	.iVersion = 2, .xClose = rec_close, .xRead = rec_read,
	.xWrite = rec_write, .xTruncate = rec_truncate, .xSync = rec_sync,
	.xFileSize = rec_size, .xLock = rec_lock, .xUnlock = rec_unlock,
	.xCheckReservedLock = rec_check_lock, .xFileControl = rec_control,
	.xSectorSize = rec_sector, .xDeviceCharacteristics = rec_traits,
	.xShmMap = rec_shm_map, .xShmLock = rec_shm_lock,
	.xShmBarrier = rec_shm_barrier, .xShmUnmap = rec_shm_unmap,
};

static int
rec_open(sqlite3_vfs *v, sqlite3_filename name, sqlite3_file *file, int flags,
    int *flags_r)
{
	struct rec_file *f = (struct rec_file *)file;
	int r;

	(void)v;
	memset(f, 0, sizeof(*f));
	f->real = (sqlite3_file *)(f + 1);
	f->which = (flags & SQLITE_OPEN_MAIN_DB) != 0 ? DB :
	    (flags & SQLITE_OPEN_WAL) != 0 ? WAL : FILES;
	r = unix_vfs->xOpen(unix_vfs, name, f->real, flags, flags_r);
	if (f->real->pMethods != NULL)
		f->base.pMethods = &rec_methods;
	return r;
}

/* Ours stands on the default one, so this is made it first. */
static void
put_below(void)
{
	unix_vfs = sqlite3_vfs_find("unix");
	assert_non_null(unix_vfs);
	rec_vfs = *unix_vfs;
	rec_vfs.pNext = NULL;
	rec_vfs.zName = "recording";
	rec_vfs.szOsFile = (int)sizeof(struct rec_file) + unix_vfs->szOsFile;
	rec_vfs.xOpen = rec_open;
	assert_int_equal(sqlite3_vfs_register(&rec_vfs, 1), SQLITE_OK);
	assert_string_equal(walvfs_name(), "portreeve-wal");
}

/* --- a ledger's life -------------------------------------------------------- */

static struct life {
	char *dir;
	struct buf base[FILES];		/* the files when recording began */
	struct slice bodies[ROWS_MAX];	/* by seq; owned */
	bool ends_group[ROWS_MAX];
	uint64_t nrows;
} life;

static uint32_t seed;

static uint32_t
dice(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

static void
file_name(char *path, size_t size, const char *dir, enum which w)
{
	snprintf(path, size, "%s/" LEDGERDB_FILE "%s", dir, w == DB ? "" :
	    "-wal");
}

/* One group of rows of all sizes; 0, or -1 when it was not committed. */
static int
commit_group(struct ledger *l, unsigned rows)
{
	static char more[9000];
	struct buf b;

	buf_init(&b, 65536);
	for (unsigned i = 0; i < rows; i++) {
		size_t n = dice(8) == 0 ? 8000 : dice(900);

		memset(more, 'a' + (int)dice(26), sizeof(more));
		memcpy(more, ",\"x\":\"", 6);
		memcpy(more + 6 + n, "\"", 2);
		lt_event(&b, EVENT_FINDING, ROLE_DETECTOR,
		    (struct uuid){ { 0 } }, more);
		uint64_t seq = lt_add(l, buf_slice(&b));

		assert_int_equal(seq, life.nrows + 1);
		assert_true(seq < ROWS_MAX);
		life.bodies[seq] = slice_make(slice_dup(buf_slice(&b)), b.len);
		life.nrows = seq;
	}
	buf_free(&b);
	life.ends_group[life.nrows] = true;
	if (ledger_commit(l) != 0)
		return -1;
	rec.acked = life.nrows;
	return 0;
}

static struct ledger *
life_begin(uint32_t with)
{
	struct err err = { 0 };
	struct ledger *l;
	char path[256];

	memset(&life, 0, sizeof(life));
	seed = with;
	life.dir = lt_dir();
	l = ledger_open(life.dir, NULL, &err);
	if (l == NULL)
		fail_msg("%s", err.text);
	assert_int_equal(commit_group(l, 2), 0);
	for (enum which w = DB; w < FILES; w++) {
		file_name(path, sizeof(path), life.dir, w);
		life.base[w] = lt_read_file(path);
	}
	rec.on = true;
	return l;
}

static void
life_end(struct ledger *l)
{
	ledger_close(l);
	forget_ops();
	lt_dir_remove(life.dir);
	for (uint64_t i = 1; i <= life.nrows; i++)
		free((char *)(uintptr_t)life.bodies[i].p);
	for (enum which w = DB; w < FILES; w++)
		buf_free(&life.base[w]);
}

/* --- a loss of power -------------------------------------------------------- */

struct image {
	char *p;
	size_t n;
};

static void
image_resize(struct image *im, size_t n)
{
	assert_true(n <= IMAGE_MAX);
	if (n > im->n)
		memset(im->p + im->n, 0, n - im->n);
	im->n = n;
}

static void
image_write(struct image *im, size_t at, const char *p, size_t n)
{
	if (at + n > im->n)
		image_resize(im, at + n);
	memcpy(im->p + at, p, n);
}

/* What became of writes that were not synced. */
enum fate { ALL_LOST, ALL_THERE, SOME_THERE, TORN, FATES };

static void
apply(struct image *im, const struct op *o, bool synced, enum fate fate)
{
	if (!synced && (fate == ALL_LOST || (fate == SOME_THERE &&
	    dice(2) == 0)))
		return;
	if (o->kind == TRUNCATE) {
		image_resize(im, o->at);
		return;
	}
	if (o->kind != WRITE)
		return;
	for (size_t done = 0, n; done < o->n; done += n) {
		n = SECTOR - (o->at + done) % SECTOR;
		if (n > o->n - done)
			n = o->n - done;
		if (synced || fate != TORN || dice(2) == 0)
			image_write(im, o->at + done, o->data + done, n);
	}
}

/* The two files as a disk would hold them after the first n operations. */
static void
play(size_t n, enum fate fate, bool syncs_count, const char *dir)
{
	static char room[IMAGE_MAX];
	char path[256];

	for (enum which w = DB; w < FILES; w++) {
		struct image im = { room, 0 };
		size_t synced = 0;

		image_write(&im, 0, buf_data(&life.base[w]),
		    life.base[w].len);
		for (size_t i = 0; syncs_count && i < n; i++)
			if (rec.ops[i].file == w && rec.ops[i].kind == SYNC)
				synced = i;
		for (size_t i = 0; i < n; i++)
			if (rec.ops[i].file == w)
				apply(&im, &rec.ops[i], i < synced, fate);
		file_name(path, sizeof(path), dir, w);
		lt_write_file(path, slice_make(im.p, im.n));
	}
}

/* Opens what is left with SQLite's own layer: sound, and the first rows of
 * the ledger up to the end of a group. How many. */
static uint64_t
what_is_left(const char *dir)
{
	char path[256];
	sqlite3 *db;
	sqlite3_stmt *s;
	uint64_t n = 0;

	file_name(path, sizeof(path), dir, DB);
	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE,
	    "unix"), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA synchronous=OFF", NULL, NULL,
	    NULL), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1,
	    &s, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	assert_string_equal(sqlite3_column_text(s, 0), "ok");
	sqlite3_finalize(s);
	assert_int_equal(sqlite3_prepare_v2(db, "SELECT seq, body FROM rows "
	    "ORDER BY seq", -1, &s, NULL), SQLITE_OK);
	while (sqlite3_step(s) == SQLITE_ROW) {
		assert_int_equal(sqlite3_column_int64(s, 0), ++n);
		assert_true(n <= life.nrows);
		assert_true(slice_eq(life.bodies[n], slice_make(
		    sqlite3_column_text(s, 1),
		    (size_t)sqlite3_column_bytes(s, 1))));
	}
	sqlite3_finalize(s);
	sqlite3_close(db);
	assert_true(n == 0 || life.ends_group[n]);
	snprintf(path, sizeof(path), "%s/" LEDGERDB_FILE "-shm", dir);
	unlink(path);
	return n;
}

/* Every place, every fate. How often acknowledged rows were gone. */
static unsigned
crash_everywhere(bool syncs_count, uint64_t least_acked)
{
	char *dir = lt_dir();
	unsigned gone = 0;

	for (size_t n = 0; n <= rec.n; n++) {
		uint64_t acked = n < rec.n ? rec.ops[n].acked : rec.acked;

		if (acked < least_acked)
			acked = least_acked;
		for (int fate = 0; fate < FATES; fate++) {
			play(n, (enum fate)fate, syncs_count, dir);
			gone += what_is_left(dir) < acked;
		}
	}
	lt_dir_remove(dir);
	return gone;
}

/* Groups, pages moved into the database, the WAL begun anew. */
static void
live_on(struct ledger *l)
{
	for (int i = 0; i < 24; i++) {
		assert_int_equal(commit_group(l, 1 + dice(6)), 0);
		if (i % 9 == 8)
			assert_int_equal(ledger_maintain(l, true), 0);
	}
}

/* --- tests ------------------------------------------------------------------ */

static void
test_power_loss(void **state)
{
	(void)state;
	for (uint32_t with = 1; with <= 3; with++) {
		struct ledger *l = life_begin(with);
		unsigned moved = 0, again = 0;

		live_on(l);
		for (size_t i = 0; i < rec.n; i++) {
			moved += rec.ops[i].file == DB &&
			    rec.ops[i].kind == WRITE;
			again += rec.ops[i].file == WAL &&
			    rec.ops[i].kind == WRITE && rec.ops[i].at == 0;
		}
		assert_true(moved > 0 && again > 0);
		assert_int_equal(crash_everywhere(true, 2), 0);
		life_end(l);
	}
}

/* The same where syncs do nothing: the play above would see a loss. */
static void
test_lying_disk(void **state)
{
	struct ledger *l = life_begin(7);

	(void)state;
	for (int i = 0; i < 6; i++)
		assert_int_equal(commit_group(l, 2), 0);
	assert_true(crash_everywhere(false, 2) > 0);
	life_end(l);
}

/* A commit is one write to the WAL and one sync behind it. */
static void
test_one_write_a_commit(void **state)
{
	struct ledger *l = life_begin(11);

	(void)state;
	for (int i = 0; i < 20; i++) {
		size_t from = rec.n;

		assert_int_equal(commit_group(l, 1 + dice(4)), 0);
		assert_int_equal(rec.n, from + 2);
		assert_int_equal(rec.ops[from].file, WAL);
		assert_int_equal(rec.ops[from].kind, WRITE);
		assert_int_equal(rec.ops[from + 1].file, WAL);
		assert_int_equal(rec.ops[from + 1].kind, SYNC);
	}
	/* A group that is larger than what is put together. */
	size_t from = rec.n, writes = 0;

	assert_int_equal(commit_group(l, 100), 0);
	for (size_t i = from; i < rec.n; i++)
		writes += rec.ops[i].kind == WRITE;
	assert_true(writes > 1 && writes < 10);
	assert_int_equal(rec.ops[rec.n - 1].kind, SYNC);
	life_end(l);
}

/* Pages are moved by the run, out of memory. */
static void
test_moved_by_the_run(void **state)
{
	struct ledger *l = life_begin(13);
	size_t pages = 0, writes = 0;

	(void)state;
	for (int round = 0; round < 3; round++) {
		size_t from;

		for (int i = 0; i < 10; i++)
			assert_int_equal(commit_group(l, 20), 0);
		from = rec.n;
		rec.wal_reads = 0;
		assert_int_equal(ledger_maintain(l, true), 0);
		for (size_t i = from; i < rec.n; i++)
			if (rec.ops[i].file == DB && rec.ops[i].kind == WRITE) {
				pages += rec.ops[i].n / 4096;
				writes++;
			}
		/* In the first, the WAL still has what is older than us. */
		assert_true(round == 0 || rec.wal_reads == 0);
	}
	assert_true(pages > 60);
	assert_true(writes * 4 < pages);
	life_end(l);
}

/* A full disk: that commit fails, so does every later one, and what was
 * acknowledged outlives a loss of power at any time. */
static void
test_write_error(void **state)
{
	(void)state;
	for (int at = 1; at <= 4; at++) {
		struct ledger *l = life_begin((uint32_t)at);
		uint64_t acked;

		rec.fail_in = at;
		for (int i = 1; i < at; i++)
			assert_int_equal(commit_group(l, 2), 0);
		acked = rec.acked;
		assert_int_equal(commit_group(l, 2), -1);
		assert_non_null(ledger_why(l));
		assert_int_equal(ledger_commit(l), -1);
		assert_int_equal(rec.acked, acked);
		assert_int_equal(crash_everywhere(true, 2), 0);
		life_end(l);
	}
}

/* Any order of calls on a WAL file, up to what SQLite's own layer takes in one
 * (0x1ffff bytes): what is read is what was written. */
static void
test_file(void **state)
{
	static char model[400000], got[sizeof(model)], more[0x1ffff];
	sqlite3_vfs *v = sqlite3_vfs_find(walvfs_name());
	sqlite3_file *f = base_calloc(1, (size_t)v->szOsFile);
	char *dir = lt_dir(), db[256], wal[256];
	sqlite3_filename name;
	sqlite3_int64 size;
	size_t n = 0;
	int flags;

	(void)state;
	file_name(db, sizeof(db), dir, DB);
	file_name(wal, sizeof(wal), dir, WAL);
	lt_write_file(db, SLICE(""));
	name = sqlite3_create_filename(db, "", wal, 0, NULL);
	assert_int_equal(v->xOpen(v, sqlite3_filename_wal(name), f,
	    SQLITE_OPEN_WAL | SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
	    &flags), SQLITE_OK);
	/* Pages one behind the other, over what is put together. */
	for (; n < 64 * 4096; n += 4096) {
		memset(model + n, (int)(n / 4096), 4096);
		assert_int_equal(f->pMethods->xWrite(f, model + n, 4096,
		    (sqlite3_int64)n), SQLITE_OK);
	}
	seed = 5;
	for (int i = 0; i < 20000; i++) {
		size_t at = dice(4) == 0 ? dice((uint32_t)n + 1) : n;
		size_t k = 1 + dice(dice(50) == 0 ? sizeof(more) : 5000);

		switch (dice(12)) {
		case 0:
			k = at + k > n ? n - at : k;
			assert_int_equal(f->pMethods->xRead(f, got, (int)k,
			    (sqlite3_int64)at), SQLITE_OK);
			assert_memory_equal(got, model + at, k);
			break;
		case 1:
			assert_int_equal(f->pMethods->xFileSize(f, &size),
			    SQLITE_OK);
			assert_int_equal(size, n);
			break;
		case 2:
			assert_int_equal(f->pMethods->xSync(f,
			    SQLITE_SYNC_NORMAL), SQLITE_OK);
			break;
		case 3:
			assert_int_equal(f->pMethods->xTruncate(f,
			    (sqlite3_int64)at), SQLITE_OK);
			n = at;
			break;
		default:
			if (at + k > sizeof(model))
				at = 0;
			memset(more, (int)dice(256), k);
			assert_int_equal(f->pMethods->xWrite(f, more, (int)k,
			    (sqlite3_int64)at), SQLITE_OK);
			memcpy(model + at, more, k);
			n = at + k > n ? at + k : n;
		}
	}
	assert_int_equal(f->pMethods->xClose(f), SQLITE_OK);
	struct buf whole = lt_read_file(wal);

	assert_true(slice_eq(buf_slice(&whole), slice_make(model, n)));
	buf_free(&whole);
	sqlite3_free_filename(name);
	lt_dir_remove(dir);
	free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_one_write_a_commit),
		cmocka_unit_test(test_moved_by_the_run),
		cmocka_unit_test(test_power_loss),
		cmocka_unit_test(test_lying_disk),
		cmocka_unit_test(test_write_error),
	};

	log_init("test_walvfs", LOG_LV_ERROR);
	put_below();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
