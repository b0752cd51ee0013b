/* walvfs - see walvfs.h. */
#include "walvfs.h"

#include <sqlite3.h>
#include <stdlib.h>

#include "base.h"

#define HELD_MAX 0x1ffffu	/* bytes put together; SQLite's file layer takes
				 * no more in one call ("disk full") */
#define COPY_MAX (2u << 20)	/* of the WAL; 250 pages are usual, see ledger.c */

struct file {
	sqlite3_file base;
	sqlite3_file *real;	/* behind this struct */
	char *held;		/* bytes at..at+n are not written yet */
	sqlite3_int64 at;
	int n;
	int error;		/* of a write, for good */
	bool wal;
	char *copy;		/* the WAL's first bytes as we wrote them, */
	sqlite3_int64 have;	/* so many */
};

static sqlite3_vfs *real_vfs;
static sqlite3_vfs own_vfs;

static int
write_held(struct file *f)
{
	int r = SQLITE_OK;

	if (f->n > 0 && f->error == SQLITE_OK)
		r = f->real->pMethods->xWrite(f->real, f->held, f->n, f->at);
	f->n = 0;
	if (r != SQLITE_OK)
		f->error = r;
	return f->error;
}

static int
file_close(sqlite3_file *file)
{
	struct file *f = (struct file *)file;
	int held = write_held(f);
	int r = f->real->pMethods->xClose(f->real);

	free(f->held);
	free(f->copy);
	f->held = f->copy = NULL;
	return held != SQLITE_OK ? held : r;
}

/* What is written at the end of the copy or inside it belongs to it. */
static void
copy_put(struct file *f, const void *p, int n, sqlite3_int64 at)
{
	if (!f->wal || at > f->have || n > (int)COPY_MAX - at)
		return;
	if (f->copy == NULL)
		f->copy = base_realloc(NULL, COPY_MAX);
	memcpy(f->copy + at, p, (size_t)n);
	if (at + n > f->have)
		f->have = at + n;
}

static int
file_read(sqlite3_file *file, void *p, int n, sqlite3_int64 at)
{
	struct file *f = (struct file *)file;
	int r;

	if (at + n <= f->have && f->error == SQLITE_OK) {
		memcpy(p, f->copy + at, (size_t)n);
		return SQLITE_OK;
	}
	r = write_held(f);
	return r != SQLITE_OK ? r : f->real->pMethods->xRead(f->real, p, n,
	    at);
}

static int
file_write(sqlite3_file *file, const void *p, int n, sqlite3_int64 at)
{
	struct file *f = (struct file *)file;

	if (f->error != SQLITE_OK)
		return f->error;
	copy_put(f, p, n, at);
	if (f->n > 0 && (at != f->at + f->n || n > (int)HELD_MAX - f->n) &&
	    write_held(f) != SQLITE_OK)
		return f->error;
	if (n > (int)HELD_MAX)
		return f->real->pMethods->xWrite(f->real, p, n, at);
	if (f->held == NULL)
		f->held = base_realloc(NULL, HELD_MAX);
	if (f->n == 0)
		f->at = at;
	memcpy(f->held + f->n, p, (size_t)n);
	f->n += n;
	return SQLITE_OK;
}

static int
file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	struct file *f = (struct file *)file;
	int r = write_held(f);

	if (size < f->have)
		f->have = size;
	return r != SQLITE_OK ? r : f->real->pMethods->xTruncate(f->real,
	    size);
}

static int
file_sync(sqlite3_file *file, int flags)
{
	struct file *f = (struct file *)file;
	int r = write_held(f);

	return r != SQLITE_OK ? r : f->real->pMethods->xSync(f->real, flags);
}

static int
file_size(sqlite3_file *file, sqlite3_int64 *size_r)
{
	struct file *f = (struct file *)file;
	int r = write_held(f);

	return r != SQLITE_OK ? r : f->real->pMethods->xFileSize(f->real,
	    size_r);
}

static int
file_lock(sqlite3_file *file, int level)
{
	struct file *f = (struct file *)file;

	return f->real->pMethods->xLock(f->real, level);
}

static int
file_unlock(sqlite3_file *file, int level)
{
	struct file *f = (struct file *)file;

	return f->real->pMethods->xUnlock(f->real, level);
}

static int
file_check_lock(sqlite3_file *file, int *held_r)
{
	struct file *f = (struct file *)file;

	return f->real->pMethods->xCheckReservedLock(f->real, held_r);
}

static int
file_control(sqlite3_file *file, int op, void *arg)
{
	struct file *f = (struct file *)file;
	int r = write_held(f);

	return r != SQLITE_OK ? r : f->real->pMethods->xFileControl(f->real,
	    op, arg);
}

static int
file_sector(sqlite3_file *file)
{
	struct file *f = (struct file *)file;

	return f->real->pMethods->xSectorSize(f->real);
}

static int
file_traits(sqlite3_file *file)
{
	struct file *f = (struct file *)file;

	return f->real->pMethods->xDeviceCharacteristics(f->real);
}

static int
shm_map(sqlite3_file *file, int page, int size, int extend,
    void volatile **p_r)
{
	struct file *f = (struct file *)file;

	return f->real->pMethods->xShmMap(f->real, page, size, extend, p_r);
}

static int
shm_lock(sqlite3_file *file, int at, int n, int flags)
{
	struct file *f = (struct file *)file;

	return f->real->pMethods->xShmLock(f->real, at, n, flags);
}

static void
shm_barrier(sqlite3_file *file)
{
	struct file *f = (struct file *)file;

	f->real->pMethods->xShmBarrier(f->real);
}

static int
shm_unmap(sqlite3_file *file, int remove)
{
	struct file *f = (struct file *)file;

	return f->real->pMethods->xShmUnmap(f->real, remove);
}

/* Version 2: no memory mapping of the database. */
static const sqlite3_io_methods methods = {
	.iVersion = 2, .xClose = file_close, .xRead = file_read,
	.xWrite = file_write, .xTruncate = file_truncate, .xSync = file_sync,
	.xFileSize = file_size, .xLock = file_lock, .xUnlock = file_unlock,
	.xCheckReservedLock = file_check_lock, .xFileControl = file_control,
	.xSectorSize = file_sector, .xDeviceCharacteristics = file_traits,
	.xShmMap = shm_map, .xShmLock = shm_lock, .xShmBarrier = shm_barrier,
	.xShmUnmap = shm_unmap,
};

/* All files but the database and its WAL are SQLite's own. */
static int
open_file(sqlite3_vfs *v, sqlite3_filename name, sqlite3_file *file,
    int flags, int *flags_r)
{
	struct file *f = (struct file *)file;
	int r;

	(void)v;
	if ((flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)) == 0)
		return real_vfs->xOpen(real_vfs, name, file, flags, flags_r);
	memset(f, 0, sizeof(*f));
	f->real = (sqlite3_file *)(f + 1);
	f->wal = (flags & SQLITE_OPEN_WAL) != 0;
	r = real_vfs->xOpen(real_vfs, name, f->real, flags, flags_r);
	if (f->real->pMethods != NULL)	/* then it must be closed */
		f->base.pMethods = &methods;
	return r;
}

const char *
walvfs_name(void)
{
	if (real_vfs == NULL) {
		/* No threads here: no locks then. Too late (and slower) when
		 * SQLite is in use already. */
		(void)sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
		(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
		real_vfs = sqlite3_vfs_find(NULL);
		ASSERT(real_vfs != NULL);
		own_vfs = *real_vfs;
		own_vfs.pNext = NULL;
		own_vfs.zName = "portreeve-wal";
		own_vfs.szOsFile = (int)sizeof(struct file) +
		    real_vfs->szOsFile;
		own_vfs.xOpen = open_file;
		ASSERT(sqlite3_vfs_register(&own_vfs, 0) == SQLITE_OK);
	}
	return own_vfs.zName;
}
