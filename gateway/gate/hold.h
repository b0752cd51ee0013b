/*
 * hold - a held call: the life of an approval, used once or never.
 *
 * One table says what may follow what (hold_next()); every function below
 * makes one column of it and nothing else changes an approval's state. A
 * transition is a compare-and-set on the stored row, so that a stale copy in
 * memory can never undo one that is on disk.
 *
 *   PENDING --approve--> APPROVED --consume--> CONSUMED --done--> DONE
 *      |  \---edit-----> EDITED  ---consume--->   |
 *      |                    |                      +--lost--> AMBIGUOUS
 *      +--deny--> DENIED  <-+                                   --done--> DONE
 *      +--expire--> EXPIRED <-+
 *      +--cancel--> CANCELLED <-+
 *
 * Law 4 (what was approved is what is sent): hold_consume() wants the digest
 * of what will be sent equal to the stored one. An edit makes a new call: its
 * digest, over the arguments as the person wrote them, is stored with the
 * edit; it runs through the whole gate again, and when the gate changes it
 * (redaction), its digest is another one and it is not sent.
 *
 * The card is one JSON object, made by the proxy: the fields of the
 * call.decision event (events.def) as far as known; "connector", "tool" or
 * "method", and "arguments" (after redaction) are read here, the rest is
 * shown to the person as it is.
 *
 * A crash between `consumed` and the outcome: the call may or may not have
 * reached the upstream. hold_recover() marks it AMBIGUOUS; nothing retries it.
 *
 * Role: broker. Not durable before state_commit() answered 0.
 */
#ifndef HOLD_H
#define HOLD_H

#include "base.h"
#include "rng.h"

struct state;

/* Zero means deny. Stored by name, not by number. */
enum hold_state {
	HOLD_DENIED,
	HOLD_PENDING,
	HOLD_APPROVED,
	HOLD_EDITED,
	HOLD_EXPIRED,
	HOLD_CANCELLED,
	HOLD_CONSUMED,
	HOLD_AMBIGUOUS,
	HOLD_DONE,
	HOLD_STATES
};

enum hold_event {
	HOLD_E_APPROVE,		/* a person */
	HOLD_E_EDIT,		/* a person; arguments replaced */
	HOLD_E_DENY,		/* a person; also takes an unused yes back */
	HOLD_E_EXPIRE,		/* nobody decided, or nobody used it */
	HOLD_E_CANCEL,		/* agent, proxy gone, session closed, kill */
	HOLD_E_CONSUME,		/* the one use */
	HOLD_E_DONE,		/* the outcome was recorded */
	HOLD_E_LOST,		/* used, and whoever used it is gone */
	HOLD_EVENTS
};

#define HOLD_DIGEST 32
#define HOLD_ID_LEN 24		/* "A-" and a number, with NUL */

struct hold {
	int64_t id;			/* A-<id> */
	struct uuid call;
	uint8_t digest[HOLD_DIGEST];	/* of what may be sent */
	enum hold_state state;
	char *session, *rpc_id;		/* rpc_id "": none */
	char *connector, *tool, *user, *agent;
	char *card;			/* JSON object */
	char *by, *reason;		/* of the decision or the end; or NULL */
	char *edited;			/* JSON object written by a person */
	int64_t created, expires, decided, consumed, ended;	/* wall ms */
};

/* True and *to_r when `event` is allowed in `from`. */
bool hold_next(enum hold_state from, enum hold_event event,
    enum hold_state *to_r) MUST_USE;
const char *hold_state_name(enum hold_state s);
bool hold_state_parse(struct slice name, enum hold_state *s_r) MUST_USE;
/* Nothing follows, or only what does not concern the waiting agent. */
bool hold_is_final(enum hold_state s);
void hold_id_format(int64_t id, char out[HOLD_ID_LEN]);
/* "A-12"; "a-12" and "12" too. */
bool hold_id_parse(struct slice s, int64_t *id_r) MUST_USE;

void hold_free(struct hold *h);		/* NULL-safe */

/*
 * All: 0 = done, HOLD_NO = not allowed in this state (h is refreshed to what
 * is stored), -1 = the database failed. h is updated with what was stored.
 * Texts are copied.
 */
#define HOLD_NO 1
int hold_create(struct state *st, struct hold *h) MUST_USE; /* sets id */
int hold_approve(struct state *st, struct hold *h, const char *by,
    const char *reason) MUST_USE;
int hold_edit(struct state *st, struct hold *h, const char *by,
    const char *reason, const char *arguments,
    const uint8_t digest[HOLD_DIGEST]) MUST_USE;
int hold_deny(struct state *st, struct hold *h, const char *by,
    const char *reason) MUST_USE;
int hold_expire(struct state *st, struct hold *h) MUST_USE;
int hold_cancel(struct state *st, struct hold *h, const char *by,
    const char *reason) MUST_USE;
enum hold_use {
	HOLD_USE_NO,		/* not approved (any more), or used before */
	HOLD_USE_DIGEST,	/* something else would be sent */
	HOLD_USE_EXPIRED,
	HOLD_USE_FAILED,	/* the database: not used, not allowed */
	HOLD_USE_OK		/* durable: used, this once */
};
/* Commits. The only function that may answer HOLD_USE_OK. */
enum hold_use hold_consume(struct state *st, struct hold *h,
    const uint8_t digest[HOLD_DIGEST]) MUST_USE;
int hold_done(struct state *st, struct hold *h) MUST_USE;
int hold_lost(struct state *st, struct hold *h) MUST_USE;
/* At start: every CONSUMED row becomes AMBIGUOUS; how many, or -1. */
int hold_recover(struct state *st) MUST_USE;

#endif
