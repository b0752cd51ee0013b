/*
 * fit - an event that is too large or no JSON at all still goes out, as
 * valid JSON that says what is missing. Nothing is lost silently.
 *
 * A member that had to go is replaced in its place by
 *   {"truncated":true,"bytes":N}          N: length of its JSON
 * ("arguments" and "result" first, then the largest), and the event ends with
 *   "truncated":true,"original_bytes":N
 * When that is not enough only the members that identify the event stay, and
 * "members_dropped":N is added.
 */
#ifndef FIT_H
#define FIT_H

#include "base.h"
#include "buf.h"
#include "json.h"

/* Every event can be fitted into this many bytes. */
#define FIT_MIN 8192

/* The event (root must be an object) in at most max >= FIT_MIN bytes,
 * appended to out on one line: raw control characters between tokens become
 * spaces, all else stays byte for byte. True when something was left out. */
bool fit_event(struct buf *out, const struct json_doc *d, size_t max);

/* For bytes that are no JSON object:
 *   {"type":"malformed","malformed":REASON,"original_bytes":N,"raw":"..."}
 * raw is cut so that the whole stays within max >= FIT_MIN. */
void fit_malformed(struct buf *out, struct slice bytes, const char *reason,
    size_t max);

/* Appends JSON on one line (see fit_event). */
void fit_one_line(struct buf *out, struct slice json);

#endif
