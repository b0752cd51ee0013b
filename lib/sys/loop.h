/*
 * loop - the epoll loop of a role: descriptors, timers, work at the end of a
 * round. One loop a process, level-triggered.
 *
 * Nothing is freed inside a round's dispatch: loop_fd_del() takes effect at
 * once for callbacks, and owners free their memory through loop_defer_free().
 */
#ifndef LOOP_H
#define LOOP_H

#include "base.h"

struct loop;
struct loop_fd;
struct loop_timer;

enum { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_ERR = 4 };

typedef void loop_fd_fn(void *ctx, unsigned events);
typedef void loop_fn(void *ctx);

struct loop *loop_new(void) MUST_USE;
void loop_free(struct loop *l);
/* Until loop_stop(). */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);

/* Watches fd (borrowed). events may be 0: then only errors wake. */
struct loop_fd *loop_fd_add(struct loop *l, int fd, unsigned events,
    loop_fd_fn *fn, void *ctx) MUST_USE;
void loop_fd_set(struct loop_fd *f, unsigned events);
/* Another owner for a watched descriptor. fn NULL: events 0, nobody is told. */
void loop_fd_rebind(struct loop_fd *f, unsigned events, loop_fd_fn *fn,
    void *ctx);
/* NULL-safe; f is invalid afterwards. Call before closing the fd. */
void loop_fd_del(struct loop_fd *f);

/* One-shot; re-arm inside the callback when wanted. The timer object stays
 * valid until loop_timer_del(). */
struct loop_timer *loop_timer_new(struct loop *l, loop_fn *fn, void *ctx)
    MUST_USE;
void loop_timer_set(struct loop_timer *t, uint64_t after_ms);
void loop_timer_stop(struct loop_timer *t);
void loop_timer_del(struct loop_timer *t);	/* NULL-safe */

/* Runs fn once at the end of this round, before the next wait (the place
 * where channels flush what the round queued). A pair fn/ctx that was among
 * the last few queued is not queued again; fn must bear a second call. */
void loop_at_end(struct loop *l, loop_fn *fn, void *ctx);
/* Forgets what loop_at_end() queued for ctx. */
void loop_at_end_cancel(struct loop *l, void *ctx);
/* free(p) when the round is over. */
void loop_defer_free(struct loop *l, void *p);
/* Runs fn in the next round without waiting (for data already decrypted,
 * which epoll does not see). */
void loop_soon(struct loop *l, loop_fn *fn, void *ctx);
void loop_soon_cancel(struct loop *l, void *ctx);

#endif
