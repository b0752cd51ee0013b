/*
 * feed - committed rows to the consumers (detector, exporters).
 *
 * A row is staged while its group is open and pushed when it is committed. A
 * consumer whose queue is full is skipped; when it has drained it is told the
 * head (FEED_HEAD) and reads what it missed from the reader role. The last
 * rows are kept, so that a consumer that is nearly level needs no reader.
 *
 * Nobody waits for a row of the feed: after FEED_HOLD_MS without one it goes
 * out at once, otherwise rows wait to go out together, FEED_HOLD_MS after the
 * last ones at the latest.
 */
#ifndef FEED_H
#define FEED_H

#include "base.h"
#include "chan.h"
#include "rng.h"

struct feed;
struct feed_consumer;

#define FEED_QUEUE_MAX (16u << 20)	/* out_max of a consumer's channel */
#define FEED_HOLD_MS 5
#define FEED_HOLD_BYTES (64u << 10)	/* so many never wait */

/* l is borrowed until feed_free(). */
struct feed *feed_new(struct loop *l) MUST_USE;
void feed_free(struct feed *f);

/* body is copied. */
void feed_stage(struct feed *f, uint64_t seq, struct uuid id,
    struct slice body);
/* What is staged is committed: goes out, now or together with what follows. */
void feed_push(struct feed *f);
/* What was pushed goes out now. */
void feed_flush(struct feed *f);
/* What is staged will never be. */
void feed_drop(struct feed *f);

/* c is borrowed until feed_consumer_free(). Nothing is sent before
 * feed_subscribe(). */
struct feed_consumer *feed_consumer_new(struct feed *f, struct chan *c)
    MUST_USE;
void feed_consumer_free(struct feed_consumer *c);	/* NULL-safe */
/* Sends what is kept from next on; when some of it is no longer kept, the
 * head, as when next is beyond it (then the ledger is not the one the
 * consumer knew); and from then on every row. head: the last committed row. */
void feed_subscribe(struct feed_consumer *c, uint64_t next, uint64_t head);
void feed_done(struct feed_consumer *c, uint64_t seq);
uint64_t feed_done_seq(const struct feed_consumer *c);

#endif
