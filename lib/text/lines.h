/*
 * lines - a stream cut into lines, as the stdio transport of MCP frames its
 * messages (MCP 2025-11-25, basic/transports: "delimited by newlines, and MUST
 * NOT contain embedded newlines").
 *
 * Nothing depends on where the input is split. A line ends with LF, one CR
 * before it is dropped; empty lines are skipped; what stands behind the last LF
 * is no line yet.
 */
#ifndef LINES_H
#define LINES_H

#include "base.h"
#include "buf.h"

enum lines_result {
	LINES_MORE = 0,	/* all input was taken */
	LINES_LINE,
	LINES_LONG	/* longer than the limit: dropped to its end */
};

struct lines {
	struct buf part;	/* of the line that is not complete */
	size_t max;
	bool skip;		/* the rest of a line that was too long */
	bool clear;		/* part was handed out: forget it */
};

/* max: bytes of a line, without its end. */
void lines_init(struct lines *l, size_t max);
void lines_free(struct lines *l);
/* Takes bytes off *in. LINE: *line_r, never empty, is valid until the next call
 * and as long as the input. LONG is said once a line. */
enum lines_result lines_next(struct lines *l, struct slice *in,
    struct slice *line_r) MUST_USE;

#endif
