/*
 * state - the broker's durable memory: state.db (SQLite, WAL, synchronous
 * FULL, STRICT tables), with exactly one writer: the file is locked
 * exclusively for as long as it is open.
 *
 * Writes go into the open transaction (the first write opens one) and are
 * durable when state_commit() answered 0: a caller that acts on a write
 * commits first. A failed commit undoes everything since the last one.
 *
 * All texts are UTF-8. Times are wall milliseconds, 0 = none. Functions
 * answer 0, or -1 when the database failed (logged here). Callbacks borrow
 * the row for the call and must not write; -1 from one ends the walk.
 */
#ifndef STATE_H
#define STATE_H

#include "base.h"
#include "err.h"
#include "hold.h"

struct state;

/* dirfd is borrowed; creates state.db (0600). */
struct state *state_open(int dirfd, struct err *err) MUST_USE;
void state_close(struct state *st);	/* NULL-safe; rolls back */
int state_commit(struct state *st) MUST_USE;
void state_rollback(struct state *st);
bool state_is_dirty(const struct state *st);
/* Forgets ended sessions and approvals older than `before`. */
int state_prune(struct state *st, int64_t before) MUST_USE;

/* -- sessions: of a token only its SHA-256 is kept -- */
struct state_session {
	uint8_t hash[32];
	const char *id, *user, *agent, *task, *department, *trust, *by;
	int64_t opened, expires, revoked;
};
typedef int state_session_fn(void *ctx, const struct state_session *s);

/* 1: the id is taken already. */
int state_session_insert(struct state *st, const struct state_session *s)
    MUST_USE;
/* 0 and fn called once, 1: none such. */
int state_session_get(struct state *st, const char *id, state_session_fn *fn,
    void *ctx);
/* only_open: neither revoked nor expired at `now`. Newest first. */
int state_session_each(struct state *st, bool only_open, int64_t now,
    state_session_fn *fn, void *ctx);
/* Not revoked, expired at `now`: what the expiry timer closes. */
int state_session_expired(struct state *st, int64_t now,
    state_session_fn *fn, void *ctx);
/* 1: none such, or revoked before. */
int state_session_revoke(struct state *st, const char *id, int64_t at)
    MUST_USE;

/* -- approvals: written by hold.c alone -- */
int state_hold_insert(struct state *st, struct hold *h) MUST_USE;
/* Stores h when the row still is in state `from`; 1: it is not. */
int state_hold_update(struct state *st, const struct hold *h,
    enum hold_state from) MUST_USE;
/* NULL: none such (or the database failed). *owned* by the caller. */
struct hold *state_hold_get(struct state *st, int64_t id) MUST_USE;
typedef int state_hold_fn(void *ctx, const struct hold *h);
/* Newest first, at most limit; mask: bit per enum hold_state. */
int state_hold_each(struct state *st, unsigned mask, unsigned limit,
    state_hold_fn *fn, void *ctx);
/* Every row in `from` goes to `to`; how many, or -1. */
int state_hold_move_all(struct state *st, enum hold_state from,
    enum hold_state to, int64_t at) MUST_USE;

/* -- the registry's memory of tools -- */
struct state_tool {
	const char *connector, *tool;
	uint8_t digest[32];		/* of the definition last seen */
	const char *description;
	int64_t seen, changed;		/* first seen; definition changed */
	int class;			/* enum conf_class, -1: nobody said */
	const char *mode;		/* "" or "ask" (after a kill ran out) */
	const char *reason, *by;	/* of the class */
};
typedef int state_tool_fn(void *ctx, const struct state_tool *t);
int state_tool_put(struct state *st, const struct state_tool *t) MUST_USE;
int state_tool_get(struct state *st, const char *connector, const char *tool,
    state_tool_fn *fn, void *ctx);	/* 1: none such */
int state_tool_each(struct state *st, bool only_unclassified,
    state_tool_fn *fn, void *ctx);

/* -- operator's overrides of a connector's state -- */
enum state_connector_state {
	STATE_DISABLED, STATE_OBSERVE, STATE_ENABLED, STATE_ASK_ALL,
	STATE_CATALOGUE,	/* no override */
	STATE_CONNECTOR_STATES
};
extern const char *const state_connector_names[STATE_CONNECTOR_STATES];
struct state_connector {
	const char *name;
	int state;
	const char *reason, *by;
	int64_t at;
};
typedef int state_connector_fn(void *ctx, const struct state_connector *c);
int state_connector_put(struct state *st, const struct state_connector *c)
    MUST_USE;
int state_connector_get(struct state *st, const char *name,
    state_connector_fn *fn, void *ctx);	/* 1: none such */
int state_connector_each(struct state *st, state_connector_fn *fn, void *ctx);

/* -- kills -- */
struct state_kill {
	int64_t id;
	const char *target, *reason, *by;
	int64_t at, until;		/* until 0: until revived */
	bool active;
	int64_t ended;
	const char *ended_by, *ended_reason;
};
typedef int state_kill_fn(void *ctx, const struct state_kill *k);
/* Replaces an active kill of the same target. */
int state_kill_put(struct state *st, const struct state_kill *k) MUST_USE;
/* 1: no active kill of this target. */
int state_kill_end(struct state *st, const char *target, const char *by,
    const char *reason, int64_t at) MUST_USE;
int state_kill_get(struct state *st, const char *target, state_kill_fn *fn,
    void *ctx);	/* the active one; 1: none */
int state_kill_each(struct state *st, bool only_active, unsigned limit,
    state_kill_fn *fn, void *ctx);

/* Distinct values ever seen of "agent", "user" or "session", for the nearest
 * name; at most limit, newest first. */
typedef int state_name_fn(void *ctx, const char *name);
enum state_name { STATE_NAME_AGENT, STATE_NAME_USER, STATE_NAME_SESSION,
	STATE_NAME_CONNECTOR };
int state_names(struct state *st, enum state_name what, unsigned limit,
    state_name_fn *fn, void *ctx);

#endif
