/*
 * sink - where events go: one interface for a file and for a syslog server.
 *
 * A sink takes events in the order of their seq, buffers little, and reports
 * how far they are safe. It never skips and never drops: what it cannot take
 * now it refuses (SINK_FULL) and says ready() later. When a connection is
 * lost it says lost(): all that was not yet reported by delivered() is to be
 * written again, from the first one on. Receivers see duplicates then, with
 * the same event id.
 *
 *   DOWN --connect--> CONNECTING --up--> UP
 *    ^-------back-off------'              |
 *    '-------------lost-------------------'
 *
 * hooks are called from the loop, or from within sink_flush() and
 * sink_finish(); never from within sink_write() or a constructor.
 */
#ifndef SINK_H
#define SINK_H

#include "base.h"
#include "err.h"
#include "loop.h"

enum sink_state { SINK_DOWN, SINK_CONNECTING, SINK_UP };
enum sink_answer { SINK_FULL, SINK_TAKEN };

struct sink_hooks {
	/* All events up to and with seq are as safe as this sink can tell. */
	void (*delivered)(void *ctx, uint64_t seq);
	/* sink_write() takes events (again). */
	void (*ready)(void *ctx);
	/* Write again everything behind the last delivered seq. */
	void (*lost)(void *ctx);
	void *ctx;
};

struct sink_stats {
	uint64_t taken, delivered;	/* events */
	uint64_t bytes;			/* given to the kernel */
	uint64_t truncated, malformed;	/* events that went out cut (fit.h) */
	uint64_t failures;		/* of a write or a connection */
	uint64_t connects;
};

struct sink;

struct sink_ops {
	enum sink_answer (*write)(struct sink *s, uint64_t seq,
	    struct slice event);
	void (*flush)(struct sink *s);
	bool (*finish)(struct sink *s);
	void (*reopen)(struct sink *s);
	void (*close)(struct sink *s);
};

struct sink {
	const struct sink_ops *ops;
	struct sink_hooks hooks;
	struct sink_stats stats;
	enum sink_state state;
};

/* seq must grow by calls (from the last delivered one on after lost()). */
static inline enum sink_answer
sink_write(struct sink *s, uint64_t seq, struct slice event)
{
	return s->ops->write(s, seq, event);
}

/* The end of a batch: starts to make it durable; delivered() comes now or
 * later. */
static inline void
sink_flush(struct sink *s)
{
	s->ops->flush(s);
}

/* Before a stop: makes durable what can be without waiting. True when nothing
 * is left undelivered. */
static inline bool
sink_finish(struct sink *s)
{
	return s->ops->finish(s);
}

/* The operator rotated the file, or wants a new connection. */
static inline void
sink_reopen(struct sink *s)
{
	s->ops->reopen(s);
}

static inline void
sink_close(struct sink *s)	/* NULL-safe; no hook is called */
{
	if (s != NULL)
		s->ops->close(s);
}

static inline enum sink_state
sink_state(const struct sink *s)
{
	return s->state;
}

/* Back-off of retries: between 250 ms and 30 s, doubling, with jitter (a
 * random part of the interval), so that many exporters do not come back in
 * one instant. Reset by success. */
struct sink_backoff {
	unsigned tries;
};

#define SINK_BACKOFF_MIN_MS 250u
#define SINK_BACKOFF_MAX_MS 30000u

uint64_t sink_backoff_next(struct sink_backoff *b);
static inline void
sink_backoff_reset(struct sink_backoff *b)
{
	b->tries = 0;
}

#endif
