/*
 * upmux - HTTP/2 connections to upstreams: several exchanges of one principal
 * on one connection, each with a struct upstream of its own that reads and
 * writes HTTP/1.1 (lib/net/http2). For upstream.c only.
 *
 * A connection is found by the pool's key, so it is never shared between
 * principals. It ends when the peer says GOAWAY and its streams are over, or
 * after idle_ms without a stream.
 */
#ifndef UPMUX_H
#define UPMUX_H

#include "upstream.h"

struct upmux_set;

struct upmux_set *upmux_set_new(struct loop *l, uint64_t idle_ms) MUST_USE;
void upmux_set_free(struct upmux_set *set);	/* NULL-safe */

/* A new stream of a connection that has room; NULL: there is none. */
struct upstream *upmux_get(struct upmux_set *set, struct slice key);
/* Takes a connection on which h2 was agreed, and its watch. */
struct upstream *upmux_add(struct upmux_set *set, struct slice key,
    struct stream *s, struct loop_fd *watch, const char *peer) MUST_USE;

/* What the functions of upstream_... do for u->h2. */
bool upmux_refused(const struct upstream *u);
bool upmux_lost(const struct upstream *u);
void upmux_watch(struct upstream *u, unsigned events, loop_fd_fn *fn,
    void *ctx);
void upmux_put(struct upstream *u);
void upmux_close(struct upstream *u, bool do_abort);

/* Closes what was idle for too long. */
void upmux_sweep(struct upmux_set *set);

#endif
