/*
 * emit - a role's way to the ledger: events are queued, sent to the recorder
 * in order, acknowledged when committed, resent after a reconnect.
 *
 * The queue is bounded (bytes); emit_event() answers -1 when it is full or
 * when there is no recorder, or one that hangs, and done is given: the caller
 * then applies `audit-unavailable`. A recorder hangs from when its oldest
 * unacknowledged event is older than the patience until none is.
 */
#ifndef EMIT_H
#define EMIT_H

#include "base.h"
#include "chan.h"
#include "loop.h"
#include "msg.h"
#include "rng.h"

struct emit;

#define EMIT_PATIENCE_MS 5000

/* ok: committed. !ok: the recorder refused it, vanished for longer than the
 * grace (2 s), or is there and acknowledges nothing for longer than the
 * patience; the caller must not act. The event stays queued and may still be
 * recorded. Called at most once. */
typedef void emit_done_fn(void *ctx, bool ok);

struct emit *emit_new(struct loop *l, enum role role, unsigned index,
    size_t max_bytes) MUST_USE;
void emit_free(struct emit *e);
/* Instead of EMIT_PATIENCE_MS; at least 1. */
void emit_set_patience(struct emit *e, uint64_t ms);
/* A (new) channel to the recorder; fd is *taken*. Unacknowledged events are
 * sent again, in order. */
void emit_attach(struct emit *e, int fd);
/* json is copied. done may be NULL (fire and be recorded later). */
int emit_event(struct emit *e, struct uuid id, struct uuid call,
    struct slice json, emit_done_fn *done, void *ctx) MUST_USE;
/* The same for an event that nobody waits for: it leaves with the next one
 * that somebody does, after EMIT_LATER_MS, or when EMIT_LATER_BYTES wait. */
#define EMIT_LATER_MS 2
#define EMIT_LATER_BYTES 65536
int emit_later(struct emit *e, struct uuid id, struct uuid call,
    struct slice json) MUST_USE;
/* What waits leaves at the end of the round. */
void emit_flush(struct emit *e);
/* Forgets the callbacks for ctx (its owner goes away); events stay queued. */
void emit_forget(struct emit *e, void *ctx);
/* Other messages on the recorder's channel (SIGN for the keeper, FEED_* for a
 * consumer that also emits) go to fn; emit_chan() is there to answer, NULL
 * while there is no recorder. on_attach is called after each (re)connect. */
void emit_on_other(struct emit *e, chan_msg_fn *fn, loop_fn *on_attach,
    void *ctx);
struct chan *emit_chan(struct emit *e);
bool emit_connected(const struct emit *e);
/* Bytes that wait to be acknowledged. */
size_t emit_queued(const struct emit *e);

#endif
