/*
 * walvfs - SQLite's own file layer, but what is written to the database and
 * its WAL is put together: a commit is one write and one fsync instead of two
 * writes a page, and pages that are moved into the database go there by the
 * run. They are moved out of a copy of the WAL's first 2 MiB in memory, not
 * read back.
 *
 * Nothing is held back across a sync, a truncate or the close of the file, nor
 * across a read of what is not in that copy, and SQLite publishes frames to
 * other processes only after the sync of a commit (synchronous=FULL, which
 * this relies on). An error of a write that was put off is the error of the
 * call that makes it, and of every later one. The process that uses it must
 * be the only one that writes the files.
 */
#ifndef WALVFS_H
#define WALVFS_H

/* The name to give to sqlite3_open_v2(); registers it the first time. */
const char *walvfs_name(void);

#endif
