/*
 * follow - the ledger's rows, in the order of their seq, each once: what the
 * roles that follow the feed (detector, exporters) have in common.
 *
 *   recorder --FEED_ROW, FEED_HEAD--> follow --row()--> the role
 *   reader   --FEED_ROW, READ_DONE-->
 *
 * A row is taken from whichever of the two has the next one. A gap (the
 * recorder skipped a slow consumer, a row had no room) is read from the
 * reader, up to the last committed row known of (the head). A reader that is
 * away is waited for, one that has nothing yet is asked again after a while.
 * Rows that neither of two answers had do not exist: hole().
 *
 * A peek reads one row by itself; until it is answered no row is taken.
 */
#ifndef FOLLOW_H
#define FOLLOW_H

#include "emit.h"

struct follow;

/* Called from the loop. Those marked may be NULL. */
struct follow_hooks {
	/* The next row; json is borrowed. False: there is no room, it is read
	 * again once room() says so and follow_go_on() is called. */
	bool (*row)(void *ctx, uint64_t seq, struct uuid id,
	    struct slice json);
	/* Shall missing rows be asked for now? (NULL: always) */
	bool (*room)(void *ctx);
	/* The ledger lacks from..to: passed over. */
	void (*hole)(void *ctx, uint64_t from, uint64_t to);
	/* The first row from the peeked seq on, if there is one; then the
	 * end of the answer, which may follow_seek(). */
	void (*peek_row)(void *ctx, uint64_t seq, struct uuid id,
	    struct slice json);
	void (*peek_done)(void *ctx, uint64_t head);
	/* The reader answered, and nothing is missing. (NULL) */
	void (*level)(void *ctx);
	/* The recorder's ledger ends before rows that were taken: it is
	 * another one. (NULL) */
	void (*shrunk)(void *ctx, uint64_t head);
	/* A (new) recorder is there; the subscription is on its way. (NULL) */
	void (*attached)(void *ctx);
	void *ctx;
};

/* From row 1 on. e (borrowed until follow_free) is the way to the recorder;
 * its emit_on_other() is taken. */
struct follow *follow_new(struct loop *l, struct emit *e, enum role role,
    unsigned index, const struct follow_hooks *hooks) MUST_USE;
void follow_free(struct follow *f);	/* NULL-safe; no hook is called */
/* A (new) channel to the reader; fd is *taken*. */
void follow_reader(struct follow *f, int fd);
/* From now on the recorder, and each new one, is asked for rows. */
void follow_subscribe(struct follow *f);
/* The next row to take is this one; answers under way may lack it. */
void follow_seek(struct follow *f, uint64_t next);
/* Reads the row seq (above 0) before any other. */
void follow_peek(struct follow *f, uint64_t seq);
/* Asks the reader when rows are missing, there is room, and it was not. */
void follow_go_on(struct follow *f);
uint64_t follow_next(const struct follow *f);
/* The last committed row known of. */
uint64_t follow_head(const struct follow *f);

#endif
