/*
 * detect_session - what a session has been shown: results that carried flags
 * (injection found, ...), when, and by which event.
 *
 * Filled by context messages before a result is delivered, and again from the
 * recorded outcomes, so that it survives a restart. Bounded: the newest 16
 * flagged calls of the 20,000 most recently used sessions.
 */
#ifndef DETECT_SESSION_H
#define DETECT_SESSION_H

#include "detect_lru.h"
#include "rng.h"
#include "rule.h"

#define DETECT_SESSIONS 20000
#define DETECT_LABELS 16
#define DETECT_FLAGS_MAX 512	/* bytes of one call's flags */

struct detect_label {
	int64_t time;
	struct uuid event;
	uint64_t call;		/* hash of the call's id */
	char *flags;		/* one a line */
};

void detect_sessions_init(struct detect_lru *t);
/* Notes the flags of a call.result or call.outcome event; others, and those
 * without flags or session, change nothing. True when it changed something. */
bool detect_session_note(struct detect_lru *t, const struct json_doc *doc,
    struct uuid event, int64_t time);
/* The newest earlier flagged result of this event's session, of another call,
 * at most within_ms before time; patterns (n of them; 0: any) must fit one of
 * its flags. NULL: none. Valid until the next note. */
const struct detect_label *detect_session_flagged(struct detect_lru *t,
    const struct json_doc *doc, int64_t time, int64_t within_ms,
    char *const *patterns, size_t n);

#endif
