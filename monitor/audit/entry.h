/*
 * entry - what the ledger needs to know of an event's JSON: the head that
 * lib/wire/event.h prescribes, and the call. Used when a row is written and
 * again when it is verified, so that a column can never disagree with the
 * body it was taken from.
 */
#ifndef ENTRY_H
#define ENTRY_H

#include "base.h"
#include "err.h"
#include "json.h"
#include "rng.h"

#define ENTRY_BODY_MAX (4u << 20)	/* bytes of one event */
#define ENTRY_TYPE_MAX 64

struct entry {
	struct uuid id;
	struct uuid call;	/* zero: the event has no field "call" */
	int64_t time;		/* wall ms */
	struct slice type, role;	/* borrow from the body */
};

/*
 * doc is filled with the body's index (the caller goes on reading it).
 * -1 and err: no JSON object, first member is not "id", or id, time, type,
 * role or call have the wrong shape.
 */
int entry_parse(struct json_doc *doc, struct slice body, struct entry *e_r,
    struct err *err) MUST_USE;
/* "2026-01-02T03:04:05.678Z" to wall ms; that form only (RFC 3339). */
bool entry_time_parse(struct slice s, int64_t *ms_r) MUST_USE;

static inline bool
entry_uuid_is_zero(struct uuid u)
{
	static const struct uuid zero;

	return uuid_eq(u, zero);
}

#endif
