/*
 * upstream - connections to what agents call: resolved, address-checked,
 * connected to the very address that was checked, verified, pooled.
 *
 * A connection is never shared between principals: the pool's key holds them.
 * It carries one exchange at a time, or several where HTTP/2 was agreed on:
 * then each has a struct upstream of its own that reads and writes HTTP/1.1
 * too. An idle connection that shows any byte of HTTP/1.1, or an end, is
 * thrown away.
 *
 * connect_ms is for name, connection and TLS handshake together.
 */
#ifndef UPSTREAM_H
#define UPSTREAM_H

#include "addr.h"
#include "base.h"
#include "dns.h"
#include "loop.h"
#include "reason.h"
#include "stream.h"
#include "via.h"

struct upstream_pool;
struct upstream_request;

struct upstream_target {
	const char *host;		/* normalised */
	uint16_t port;
	struct tls_ctx *tls;		/* NULL: plain */
	const struct addr_cidr *pins;
	size_t npins;
	struct slice key;		/* connector, principal, policy */
	const struct via_target *via;	/* NULL: straight */
	bool fresh;			/* a new connection, whatever is there */
};

struct upstream {
	struct stream *s;
	struct loop_fd *watch;		/* the user's while in use */
	unsigned uses;			/* exchanges before this one */
	char peer[ADDR_TEXT_MAX];	/* the address connected to */
	struct upstream_pool *pool;	/* pool's own from here on */
	char *key;
	uint64_t idle_since_ms;
	struct upstream *next;
	struct upmux_stream *h2;	/* a stream of HTTP/2; no watch, no key */
};

/* u == NULL: reason and detail (a sentence, borrowed) say why. The watch
 * waits for reading, as most users will, and has no handler: the user sets its
 * own with upstream_watch() before the loop goes round. */
typedef void upstream_done_fn(void *ctx, struct upstream *u,
    enum reason reason, const char *detail);

struct upstream_pool *upstream_pool_new(struct loop *l, struct dns *dns,
    uint64_t connect_ms, uint64_t idle_ms, size_t idle_max) MUST_USE;
void upstream_pool_free(struct upstream_pool *p);
/* For connections that begin from now on. */
void upstream_pool_set_connect_ms(struct upstream_pool *p, uint64_t ms);

/* The callback may come before this returns (then NULL is returned). */
struct upstream_request *upstream_get(struct upstream_pool *p,
    const struct upstream_target *t, upstream_done_fn *fn, void *ctx);
void upstream_cancel(struct upstream_request *r);	/* NULL-safe */

/* A connection that the other side opened, *taken* with its watch: idle in the
 * pool under this key, which begins with no host's. */
void upstream_adopt(struct upstream_pool *p, struct slice key,
    struct stream *s, struct loop_fd *watch);
/* An idle one of this key, with no handler; NULL: there is none. */
struct upstream *upstream_take(struct upstream_pool *p, struct slice key);
/* Closes what is idle under keys that begin so. */
void upstream_drop(struct upstream_pool *p, const char *prefix);

void upstream_watch(struct upstream *u, unsigned events, loop_fd_fn *fn,
    void *ctx);
/* It has ended, and the request on it is certain not to have been processed:
 * the other side said so, or it never left (HTTP/2 only). */
bool upstream_refused(const struct upstream *u);
/* It had served before, and ended without a byte for this request. */
bool upstream_lost(const struct upstream *u);
/* Back to the pool: only after a complete, well-framed response. */
void upstream_put(struct upstream *u);
void upstream_close(struct upstream *u, bool abort);	/* NULL-safe */

#endif
