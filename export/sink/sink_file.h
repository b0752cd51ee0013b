/*
 * sink_file - events as JSON lines (fmt/jsonl) at the end of a file.
 *
 * - Opened by its name below a directory that was opened before the sandbox
 *   was entered; O_APPEND | O_NOFOLLOW, ordinary files only, locked (two
 *   exporters never share a file), mode 0640 when created.
 * - One write a batch, fdatasync at most every SINK_FILE_SYNC_MS; delivered()
 *   only after it.
 * - Lines stay whole: an unfinished last line left by a crash is cut off when
 *   it is one of ours (its event comes again), and ended when it is not.
 *   A write that stops in the middle goes on at that byte.
 * - Rotated or removed (another inode has the name): the old file is made
 *   durable, the new one begun; at the next batch or on sink_reopen().
 * - What is on disk leaves the page cache but for the last SINK_FILE_CACHED
 *   bytes: for who follows the file.
 * - Any error (ENOSPC, EDQUOT, EFBIG, EIO, ...) is retried with back-off. An
 *   fdatasync that fails may have lost pages for good: everything since the
 *   last successful one is written again.
 */
#ifndef SINK_FILE_H
#define SINK_FILE_H

#include "loop.h"
#include "sink.h"

#define SINK_FILE_SYNC_MS 200u
#define SINK_FILE_CACHED (8 << 20)
#define SINK_FILE_BATCH (1u << 20)	/* bytes buffered, but for one event */

/* dirfd is borrowed until sink_close(); name has no slash. Tries to open the
 * file at once; when that fails it is retried like every error. */
struct sink *sink_file_new(struct loop *l, int dirfd, const char *name,
    const struct sink_hooks *hooks) MUST_USE;

#endif
