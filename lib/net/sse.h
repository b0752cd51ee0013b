/*
 * sse - text/event-stream (WHATWG HTML, 9.2): incremental reader, writer.
 *
 * The reader joins lines as the standard says (LF, CR or CR LF, a BOM at the
 * begin) and hands out whole events, so that the gate sees each one before a
 * byte of it is forwarded.  `raw` is the event again, each line ended by LF
 * whatever the sender used: clients that know only one line end then read
 * what was checked.  Nothing depends on where the input is split.
 */
#ifndef SSE_H
#define SSE_H

#include "base.h"
#include "buf.h"

enum sse_result {
	SSE_ERROR = 0,	/* a limit was passed, or a second BOM: end the
			 * stream; stays */
	SSE_MORE,	/* all input was taken */
	SSE_EVENT,
	SSE_COMMENT	/* a comment, or an empty line that ends no event */
};

enum sse_error {
	SSE_OK = 0, SSE_E_LINE, SSE_E_EVENT, SSE_E_LINES, SSE_E_BOM
};

struct sse_limits {
	size_t line;		/* bytes, 4 MiB */
	size_t event;		/* bytes of all its lines, 8 MiB */
	unsigned lines;		/* 65536 */
};

extern const struct sse_limits sse_limits_default;

/* Slices are valid until the next call on the same struct sse. */
struct sse_event {
	struct slice raw;	/* all lines and the empty one behind */
	struct slice name;	/* "event:"; empty means "message" */
	struct slice data;	/* "data:" lines joined by LF */
	struct slice id;	/* of this event, not of an earlier one */
	struct slice comment;	/* SSE_COMMENT only: behind the colon */
	uint64_t retry_ms;
	bool has_id, has_retry;
	bool has_data;		/* false: clients deliver nothing, but keep id
				 * and retry */
};

struct sse {
	const struct sse_limits *lim;
	enum sse_error error;
	struct buf raw;		/* lines of the event so far, LF-ended */
	struct buf data;	/* joined, from the second data line on */
	size_t line;		/* begin of the current line in raw */
	unsigned lines;
	uint64_t events, comments;
	uint8_t bom;		/* bytes of it seen; 3: no longer looked for */
	bool after_cr;		/* an LF now belongs to the CR before */
	bool clear;		/* an event was handed out: forget it */
	bool drop;		/* a comment was handed out: forget its line */
	/* Offsets into raw; it may move while it grows. */
	struct sse_part { size_t off, n; } name, one, id;
	unsigned data_lines;
	uint64_t retry_ms;
	bool has_id, has_retry;
};

/* lim NULL: the defaults; else it must outlive s. */
void sse_init(struct sse *s, const struct sse_limits *lim);
void sse_free(struct sse *s);
/* Between two events: gives back the memory of the last one, whose slices are
 * valid no longer. Nothing when there is a part of the next. */
void sse_trim(struct sse *s);
/* Takes bytes off *in until there is something to hand out. *ev_r is set with
 * SSE_EVENT and SSE_COMMENT. */
enum sse_result sse_next(struct sse *s, struct slice *in,
    struct sse_event *ev_r) MUST_USE;
/* Bytes of an unfinished event or line: at the end of the stream clients
 * discard them, and the caller says how many in its event. */
size_t sse_pending(const struct sse *s);
const char *sse_error_text(enum sse_error e);

/*
 * Writers: 0, or -1 with nothing written when out is full or a name or id has
 * CR, LF or NUL.  A slice with p == NULL leaves its line out; data is split at
 * CR LF, CR and LF into as many lines as needed.
 */
int sse_write_event(struct buf *out, struct slice name, struct slice id,
    struct slice data) MUST_USE;
int sse_write_comment(struct buf *out, struct slice text) MUST_USE;
int sse_write_retry(struct buf *out, uint64_t ms) MUST_USE;

#endif
