/* walvfs - see walvfs.h. */
#include "walvfs.h"

#include <sqlite3.h>
#include <stdlib.h>

#include "base.h"

#define HELD_MAX 0x1ffffu	/* bytes put together; SQLite's file layer takes
				 * no more in one call ("disk full") */

struct wal_file {
	sqlite3_file base;
	sqlite3_file *real;	/* behind this struct */
	char *held;		/* bytes at..at+n are not written yet */
	sqlite3_int64 at;
	int n;
	int error;		/* of a write, for good */
};

static sqlite3_vfs *real_vfs;
static sqlite3_vfs own_vfs;

static int
write_held(struct wal_file *f)
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
wal_close(sqlite3_file *file)
{
	struct wal_file *f = (struct wal_file *)file;
	int held = write_held(f);
	int r = f->real->pMethods->xClose(f->real);

	free(f->held);
	f->held = NULL;
	return held != SQLITE_OK ? held : r;
}

static int
wal_read(sqlite3_file *file, void *p, int n, sqlite3_int64 at)
{
	struct wal_file *f = (struct wal_file *)file;
	int r = write_held(f);

	return r != SQLITE_OK ? r : f->real->pMethods->xRead(f->real, p, n,
	    at);
}

static int
wal_write(sqlite3_file *file, const void *p, int n, sqlite3_int64 at)
{
	struct wal_file *f = (struct wal_file *)file;

	if (f->error != SQLITE_OK)
		return f->error;
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
wal_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	struct wal_file *f = (struct wal_file *)file;
	int r = write_held(f);

	return r != SQLITE_OK ? r : f->real->pMethods->xTruncate(f->real,
	    size);
}

static int
wal_sync(sqlite3_file *file, int flags)
{
	struct wal_file *f = (struct wal_file *)file;
	int r = write_held(f);

	return r != SQLITE_OK ? r : f->real->pMethods->xSync(f->real, flags);
}

static int
wal_size(sqlite3_file *file, sqlite3_int64 *size_r)
{
	struct wal_file *f = (struct wal_file *)file;
	int r = write_held(f);

	return r != SQLITE_OK ? r : f->real->pMethods->xFileSize(f->real,
	    size_r);
}

static int
wal_lock(sqlite3_file *file, int level)
{
	struct wal_file *f = (struct wal_file *)file;

	return f->real->pMethods->xLock(f->real, level);
}

static int
wal_unlock(sqlite3_file *file, int level)
{
	struct wal_file *f = (struct wal_file *)file;

	return f->real->pMethods->xUnlock(f->real, level);
}

static int
wal_check_lock(sqlite3_file *file, int *held_r)
{
	struct wal_file *f = (struct wal_file *)file;

	return f->real->pMethods->xCheckReservedLock(f->real, held_r);
}

static int
wal_control(sqlite3_file *file, int op, void *arg)
{
	struct wal_file *f = (struct wal_file *)file;
	int r = write_held(f);

	return r != SQLITE_OK ? r : f->real->pMethods->xFileControl(f->real,
	    op, arg);
}

static int
wal_sector(sqlite3_file *file)
{
	struct wal_file *f = (struct wal_file *)file;

	return f->real->pMethods->xSectorSize(f->real);
}

static int
wal_traits(sqlite3_file *file)
{
	struct wal_file *f = (struct wal_file *)file;

	return f->real->pMethods->xDeviceCharacteristics(f->real);
}

static const sqlite3_io_methods wal_methods = {
	.iVersion = 1, .xClose = wal_close, .xRead = wal_read,
	.xWrite = wal_write, .xTruncate = wal_truncate, .xSync = wal_sync,
	.xFileSize = wal_size, .xLock = wal_lock, .xUnlock = wal_unlock,
	.xCheckReservedLock = wal_check_lock, .xFileControl = wal_control,
	.xSectorSize = wal_sector, .xDeviceCharacteristics = wal_traits,
};

/* All files but the WAL are SQLite's own. */
static int
open_file(sqlite3_vfs *v, sqlite3_filename name, sqlite3_file *file,
    int flags, int *flags_r)
{
	struct wal_file *f = (struct wal_file *)file;
	int r;

	(void)v;
	if ((flags & SQLITE_OPEN_WAL) == 0)
		return real_vfs->xOpen(real_vfs, name, file, flags, flags_r);
	memset(f, 0, sizeof(*f));
	f->real = (sqlite3_file *)(f + 1);
	r = real_vfs->xOpen(real_vfs, name, f->real, flags, flags_r);
	if (f->real->pMethods != NULL)	/* then it must be closed */
		f->base.pMethods = &wal_methods;
	return r;
}

const char *
walvfs_name(void)
{
	if (real_vfs == NULL) {
		real_vfs = sqlite3_vfs_find(NULL);
		ASSERT(real_vfs != NULL);
		own_vfs = *real_vfs;
		own_vfs.pNext = NULL;
		own_vfs.zName = "portreeve-wal";
		own_vfs.szOsFile = (int)sizeof(struct wal_file) +
		    real_vfs->szOsFile;
		own_vfs.xOpen = open_file;
		ASSERT(sqlite3_vfs_register(&own_vfs, 0) == SQLITE_OK);
	}
	return own_vfs.zName;
}
