/*
 * feed - committed rows to the consumers (detector, exporters).
 *
 * A row is staged while its group is open and pushed when it is committed. A
 * consumer whose queue is full is skipped; when it has drained it is told the
 * head (FEED_HEAD) and reads what it missed from the reader role. The last
 * rows are kept, so that a consumer that is nearly level needs no reader.
 */
#ifndef FEED_H
#define FEED_H

#include "base.h"
#include "chan.h"
#include "rng.h"

struct feed;
struct feed_consumer;

#define FEED_QUEUE_MAX (16u << 20)	/* out_max of a consumer's channel */

struct feed *feed_new(void) MUST_USE;
void feed_free(struct feed *f);

/* body is copied. */
void feed_stage(struct feed *f, uint64_t seq, struct uuid id,
    struct slice body);
/* What is staged is committed: goes out. */
void feed_push(struct feed *f);
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
