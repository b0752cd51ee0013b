/*
 * cursor - how far a sink is, kept over crashes: the last seq that is safe at
 * the sink, and the id of that event.
 *
 * The file holds two records of one 512-byte sector each, written in turn
 * (pwrite, fdatasync): a crash in the middle of a write spoils at most the
 * record that was being written, the other one holds. A record:
 *
 *   0  magic "PRCURS01"      8  u64 generation     16  u64 seq
 *   24 id16 event            40 h32 SHA-256 of bytes 0..39
 *   72 zeroes to 512
 *
 * The valid record with the larger generation stands. An older cursor only
 * causes duplicates, never a loss; a cursor is never ahead of the sink,
 * because it is stored after the sink's delivered().
 */
#ifndef CURSOR_H
#define CURSOR_H

#include "base.h"
#include "err.h"
#include "rng.h"

#define CURSOR_RECORD 512
#define CURSOR_FILE (2 * CURSOR_RECORD)

struct cursor {
	uint64_t seq;		/* 0: nothing was delivered yet */
	struct uuid id;		/* of the event with that seq */
	uint64_t generation;
	int fd;
};

enum cursor_found { CURSOR_NONE, CURSOR_VALID, CURSOR_DAMAGED };

/* From the file's bytes (any length). NONE: empty. DAMAGED: not empty, but no
 * record is valid; c is untouched unless VALID. */
enum cursor_found cursor_parse(struct slice file, struct cursor *c);

/* Opens (creates, mode 0600) the file `name` below dirfd and locks it: a
 * second exporter on the same cursor is refused. A damaged file is reported
 * in the log and starts at 0: everything is sent again. 0, or -1 and err. */
int cursor_open(struct cursor *c, int dirfd, const char *name,
    struct err *err) MUST_USE;
/* Durable when it returns 0; -1 (errno): the stored cursor is the former. */
int cursor_store(struct cursor *c, uint64_t seq, struct uuid id) MUST_USE;
void cursor_close(struct cursor *c);

#endif
