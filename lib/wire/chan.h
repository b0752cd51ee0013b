/*
 * chan - a channel between two roles: typed, length-checked, versioned
 * messages over a unix stream socket; batched.
 *
 * Frame: u32 length of the body, u16 type, u16 flags (bit 0: a descriptor
 * travels with the frame), body. Bodies are built with pack and must be
 * consumed whole by the receiver. What a round queues leaves in one write at
 * the end of the round. A malformed frame or a callback answering -1 drops
 * the channel: on_close is called and the owner frees it.
 */
#ifndef CHAN_H
#define CHAN_H

#include "base.h"
#include "buf.h"
#include "loop.h"
#include "msg.h"

struct chan;

/* body is borrowed for the call; fd (or -1) is *taken*. -1 drops the channel:
 * the message was malformed or not allowed. */
typedef int chan_msg_fn(void *ctx, struct chan *c, enum msg_type type,
    struct slice body, int fd);
/* The peer went away or broke the rules. The callback may chan_free(c). */
typedef void chan_close_fn(void *ctx, struct chan *c);

#define CHAN_BODY_MAX (32u << 20)

/* *takes* fd (set non-blocking). out_max bounds what waits to be sent. */
struct chan *chan_new(struct loop *l, int fd, size_t out_max,
    chan_msg_fn *on_msg, chan_close_fn *on_close, void *ctx) MUST_USE;
void chan_free(struct chan *c);		/* NULL-safe; no callback */

/* Starts a frame; pack the body into the buf it gives; then chan_end().
 * NULL when the queue is full. Between begin and end no other call. */
struct buf *chan_begin(struct chan *c, enum msg_type type) MUST_USE;
/* -1 when the body did not fit: nothing is sent. */
int chan_end(struct chan *c);
/* A frame whose body is ready; fd (or -1) is *taken* when 0 is returned. */
int chan_send(struct chan *c, enum msg_type type, struct slice body, int fd)
    MUST_USE;
size_t chan_queued(const struct chan *c);
/* Tries to write now instead of at the end of the round. */
void chan_flush(struct chan *c);
/* Called once when the queue has drained to zero after having been full. */
void chan_on_drain(struct chan *c, loop_fn *fn, void *ctx);
/* While paused nothing is read from the peer. */
void chan_pause(struct chan *c, bool paused);
int chan_fd(const struct chan *c);

/* Blocking use (the CLI, start-up): send one frame, wait for one. 0, or -1
 * with errno. body_r is filled and owned by the caller's buf. */
int chan_call_send(int fd, enum msg_type type, struct slice body);
int chan_call_recv(int fd, enum msg_type *type_r, struct buf *body_r,
    int *passed_fd_r);

#endif
