/*
 * walvfs - SQLite's own file layer, but what is written to the WAL is put
 * together: a commit is one write and one fsync instead of two writes a page.
 *
 * Nothing is held back across a sync, a read, a truncate or the close of the
 * file, and SQLite publishes frames to other processes only after the sync of
 * a commit (synchronous=FULL, which this relies on). An error of a write that
 * was put off is the error of the call that makes it, and of every later one.
 */
#ifndef WALVFS_H
#define WALVFS_H

/* The name to give to sqlite3_open_v2(); registers it the first time. */
const char *walvfs_name(void);

#endif
