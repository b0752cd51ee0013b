/*
 * broker_int - what the broker's files share.
 *
 *   broker.c           the role, channels of proxies, events, names
 *   broker_op.c        operators: connections, requests, replies
 *   broker_session.c   sessions and their tokens
 *   broker_registry.c  tools, connectors, status
 *   broker_floor.c     floors of classes
 *   broker_upstream.c  which upstreams are away
 *   broker_tools.c     tool lists that proxies remember
 *   broker_hold.c      held calls, on the side of the proxies
 *   broker_approval.c  and on the side of the people
 *   broker_kill.c      the kill switch
 *
 * Order of effects. Loosening (a token, a yes, a revive): the event is
 * committed by the recorder, then state.db, then the effect; without a
 * recorder it is refused. Tightening (a no, a kill, a revocation): the effect
 * first, and nothing can stop it.
 */
#ifndef BROKER_INT_H
#define BROKER_INT_H

#include "gateway/broker.h"

#include "chan.h"
#include "emit.h"
#include "event.h"
#include "hold.h"
#include "jsonw.h"
#include "killpage.h"
#include "list.h"
#include "loop.h"
#include "map.h"
#include "opreq.h"
#include "pack.h"
#include "reason.h"
#include "role.h"
#include "state.h"
#include "target.h"

#define BROKER_PROXIES 64
#define BROKER_OPERATORS 64
#define BROKER_HELD_MAX 1000		/* calls waiting, in all */
#define BROKER_HELD_SESSION_MAX 50	/* of one session */
#define BROKER_ORPHAN_MS 10000		/* after a restart, for proxies to come */
#ifndef BROKER_TICK_MS			/* tests do not wait so long */
#define BROKER_TICK_MS 1000
#define BROKER_KILL_WAIT_MS 2000
#endif

struct broker;

struct broker_proxy {
	struct broker *b;
	unsigned index;
	struct chan *chan;		/* NULL: not connected */
	bool synced;
	bool stuck;			/* it did not read: about to be dropped */
	uint64_t acked;			/* epoch of the kill page */
	struct list away;		/* struct broker_away, see broker_upstream.c */
	size_t naway;
	struct list cached;		/* struct broker_cached, broker_tools.c */
	size_t ncached;
};

/* A held call that is not over, as in state.db, plus who waits for it. */
struct broker_held {
	struct list link;
	struct hold *h;
	int owner;			/* proxy index, -1: nobody (yet) */
	bool unsaved;			/* not committed yet */
	bool deciding;			/* its decision is being recorded */
};

struct broker_conn {			/* an operator's connection */
	struct list link;
	struct broker *b;
	struct chan *chan;
	struct broker_op *op;		/* the request being answered */
	char *peer;			/* the OS user */
};

/* A request and its reply. Lives until op_end(), also when the connection
 * is gone. */
struct broker_op {
	struct broker *b;
	struct broker_conn *conn;	/* NULL: gone */
	struct opreq req;
	char *peer;			/* the OS user of the connection */
	char *by;			/* peer, or "NAME via PEER" */
	struct buf out;
	struct jsonw w;
	char event[UUID_TEXT_LEN];	/* of what was recorded, or "" */
	void (*go)(struct broker_op *op);	/* after the record */
	struct uuid call;		/* approvals */
	bool committed;
};

struct broker_killop {			/* waits for acknowledgements */
	struct list link;
	struct broker *b;
	struct broker_op *op;
	uint64_t epoch, began_ns, acked_ns, durable_ns;
	uint64_t waiting;		/* bit per proxy */
	unsigned proxies;
	uint64_t cut;
	unsigned cancelled;
	bool durable, unverified;
	int64_t until;
	struct loop_timer *timer;
};

struct broker {
	struct role_env *env;
	struct loop *loop;
	struct state *st;
	struct killpage *page;
	struct emit *emit;
	struct broker_proxy proxies[BROKER_PROXIES];
	struct list held;
	struct map by_call;		/* 16 bytes -> broker_held */
	size_t waiting;			/* held and not consumed */
	struct list conns;
	size_t nconns;
	struct list killops;
	struct list refreshes;		/* struct broker_refresh */
	uint64_t last_refresh;
	bool expiring;			/* a kill's end is being recorded */
	char *expiring_target;
	struct loop_fd *listener;
	int listener_fd;
	struct loop_timer *tick;
	uint64_t started_ms;		/* monotonic */
	int64_t started;
	char *own_name;			/* OS user of this uid */
};

/* -- broker.c -- */
struct broker_event {
	struct buf b;
	struct jsonw w;
	struct uuid id, call;
};

/* NULL done: queued, and logged when even that fails. */
void broker_event_begin(struct broker_event *e, enum event_type t);
int broker_event_send(struct broker *b, struct broker_event *e,
    emit_done_fn *done, void *ctx);
/* A frame to one proxy, NULL when it is not there; one that cannot take it is
 * dropped in the next round. */
struct buf *broker_proxy_begin(struct broker_proxy *p, enum msg_type t);
void broker_proxy_end(struct broker_proxy *p);
void broker_proxy_drop(struct broker_proxy *p);
void broker_flush(struct broker *b);
/* Commits now; a failure is told to whom it concerns. */
int broker_commit(struct broker *b);
/* Commits at the end of the round. */
void broker_commit_soon(struct broker *b);
/* The catalogue's names (snapshot section "connector-names") and, without
 * it, those seen. -1: the section is malformed. */
struct broker_names {
	char **v;
	size_t n, cap;
	bool catalogue;			/* the section is there */
};
void broker_connector_names(struct broker *b, struct broker_names *n);
void broker_names_add(struct broker_names *n, struct slice name);
int broker_names_add_cb(void *ctx, const char *name);
bool broker_names_has(const struct broker_names *n, struct slice name);
void broker_names_free(struct broker_names *n);

/* -- broker_op.c -- */
int op_listen(struct broker *b, struct err *err);
void op_stop(struct broker *b);
/* The verbs: each ends the op, or keeps it and ends it later. */
typedef void op_fn(struct broker_op *op);
/* Starts {"ok":true; the caller adds fields and calls op_end(). */
void op_ok(struct broker_op *op);
void op_end(struct broker_op *op);
/* {"ok":false,"code":..,"error":..} and the end. code: usage, not-found,
 * conflict, refused, unavailable, failed. */
void op_fail(struct broker_op *op, const char *code, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* "NAME", did you mean...; code not-found. */
void op_fail_unknown(struct broker_op *op, const char *what, const char *name,
    const struct broker_names *known);
/* Records e; go runs when it is committed, else the op fails. */
void op_record(struct broker_op *op, struct broker_event *e,
    void (*go)(struct broker_op *op));
/* Queues e, remembers its id for the reply. */
void op_note(struct broker_op *op, struct broker_event *e);
const char *op_text(const struct broker_op *op, enum opreq_field f);
void op_time(struct jsonw *w, const char *key, int64_t wall_ms);

/* -- broker_registry.c -- */
void registry_sync(struct broker_proxy *p);
int registry_tool_seen(struct broker *b, struct slice body);
/* only NULL: to all that are synced. */
void registry_each_proxy(struct broker *b, struct broker_proxy *only,
    void (*fn)(struct broker_proxy *p, const void *what), const void *what);
void registry_send_tool(struct broker *b, struct broker_proxy *only,
    const struct state_tool *t);
void registry_send_connector(struct broker *b, struct broker_proxy *only,
    const char *name, int state);
op_fn op_tool_ls, op_tool_classify, op_connector_ls, op_connector_state,
    op_status;

/* -- broker_session.c -- */
int session_sync(struct broker_proxy *p) MUST_USE;
void session_tick(struct broker *b, int64_t now);
op_fn op_session_open, op_session_ls, op_session_close;

/* -- broker_upstream.c: what proxies cannot reach -- */
void upstream_proxy_init(struct broker_proxy *p);
int upstream_on_state(struct broker_proxy *p, struct slice body);
void upstream_proxy_gone(struct broker_proxy *p);
/* Member "away", an array, of an object of `connector ls`. */
void upstream_write(const struct broker *b, const char *connector,
    struct jsonw *w);

/* -- broker_tools.c: tool lists that proxies remember -- */
void tools_proxy_init(struct broker_proxy *p);
int tools_on_cached(struct broker_proxy *p, struct slice body);
int tools_on_refreshed(struct broker_proxy *p, struct slice body);
void tools_proxy_gone(struct broker_proxy *p);
/* Proxies that do not answer are not waited for. */
void tools_tick(struct broker *b);
void tools_free_all(struct broker *b);
/* Since when the oldest list of a connector is remembered, wall ms; 0: none. */
int64_t tools_cached_since(const struct broker *b, const char *connector);
op_fn op_tool_refresh;

/* -- broker_floor.c -- */
struct connector_set;
/* The catalogue in force, *owned* (connector_set_free); NULL: none. */
struct connector_set *broker_catalogue(const struct snap *snap) MUST_USE;
/* The enum conf_class that a file gives to a tool, or -1. It is what counts:
 * an operator's class does not change it. set may be NULL. */
int broker_filed_class(const struct connector_set *set, const char *connector,
    const char *tool);
/* enum conf_class, whose order is from strict to mild. */
int broker_mildest_class(const struct snap *snap, const char *connector,
    const char *tool);

/* -- broker_hold.c -- */
int held_load(struct broker *b, struct err *err);
void held_free_all(struct broker *b);
int held_on_hold(struct broker_proxy *p, struct slice body);
int held_on_cancel(struct broker_proxy *p, struct slice body);
int held_on_consume(struct broker_proxy *p, struct slice body);
int held_on_done(struct broker_proxy *p, struct slice body);
int held_on_cancel_call(struct broker_proxy *p, struct slice body);
void held_proxy_gone(struct broker *b, unsigned index);
void held_batch_lost(struct broker *b);
void held_batch_saved(struct broker *b);
void held_tick(struct broker *b, int64_t now);
/* Ends what waits and is covered; how many. */
unsigned held_cancel_target(struct broker *b, const struct target *t,
    const char *by, const char *reason);
/* For broker_approval.c. NULL: not held (any more). */
struct broker_held *held_by_id(struct broker *b, int64_t id);
struct broker_held *held_find(struct broker *b, struct uuid call);
enum { VERDICT_DENY, VERDICT_APPROVE, VERDICT_EDIT };
void held_send_verdict(struct broker *b, int proxy, const struct uuid *call,
    unsigned verdict, int64_t id, const char *by, const char *reason,
    const char *arguments);
/* The yes that stands in state.db, to whoever waits for it. */
void held_send_standing(struct broker *b, const struct broker_held *v);
/* Begins an event and leaves its "approval" object open. */
void held_event(struct broker_event *e, enum event_type t,
    const struct hold *h, const char *verdict);
/* v is gone afterwards. tell: the owner gets a no. */
void held_end_cancelled(struct broker *b, struct broker_held *v,
    const char *by, const char *reason, enum reason word, bool tell);
/* counted: it still is one of b->waiting. Frees v. */
void held_remove(struct broker *b, struct broker_held *v, bool counted);
/* As hold_edit(). */
int held_edit(struct broker *b, struct hold *h, const char *by,
    const char *reason, const char *arguments) MUST_USE;

/* -- broker_approval.c -- */
op_fn op_approval_ls, op_approval_show, op_approval_approve,
    op_approval_deny, op_approval_edit;

/* -- broker_kill.c -- */
int kill_recover(struct broker *b, struct err *err);
void kill_sync(struct broker_proxy *p);
int kill_on_ack(struct broker_proxy *p, struct slice body);
void kill_proxy_gone(struct broker *b, unsigned index);
void kill_tick(struct broker *b, int64_t now);
void kill_free_all(struct broker *b);
op_fn op_kill, op_revive, op_kills;

#endif
