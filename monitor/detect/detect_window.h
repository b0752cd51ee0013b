/*
 * detect_window - how many matching events (or distinct values) a group had
 * within a timespan; sliding, not bound to clock boundaries (Sigma
 * correlations 2.1).
 *
 * A window keeps the newest entries only, as many as its threshold needs.
 * Late events are put where their time belongs. All windows together hold at
 * most DETECT_WINDOW_ENTRIES entries; the least recently used go first.
 */
#ifndef DETECT_WINDOW_H
#define DETECT_WINDOW_H

#include "detect_lru.h"
#include "rng.h"

#define DETECT_WINDOWS 20000
#define DETECT_WINDOW_ENTRIES 1000000

struct detect_windows {
	struct detect_lru lru;
	size_t entries;
};

struct detect_window {
	struct detect_windows *owner;
	int64_t span_ms;
	int64_t quiet_until;	/* no further finding before this time */
	uint32_t n, cap;
	struct detect_entry {
		int64_t time;
		uint64_t value;	/* value_count: hash of the value */
		struct uuid id;
	} *e;			/* sorted by time */
};

void detect_windows_init(struct detect_windows *w);
void detect_windows_free(struct detect_windows *w);
/* The window of this key, made when there is none. */
struct detect_window *detect_window_get(struct detect_windows *w,
    uint64_t key, int64_t span_ms);
/* Adds an event and forgets what lies before the timespan that ends with the
 * newest. keep: how many entries to hold. distinct: an entry of the same value
 * is moved instead. */
void detect_window_add(struct detect_window *w, uint32_t keep, bool distinct,
    int64_t time, uint64_t value, struct uuid id);

#endif
