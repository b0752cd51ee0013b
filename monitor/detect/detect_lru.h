/*
 * detect_lru - a bounded table of 64-bit keys with least-recently-used
 * eviction: what all state of the detector is kept in.
 *
 * Keys are SipHash values under this process's random key (map_hash), so two
 * different things meet with odds of 2^-64 and nobody outside can aim for it.
 * Evictions of live entries are counted, never silent.
 */
#ifndef DETECT_LRU_H
#define DETECT_LRU_H

#include "base.h"

union detect_val {
	void *p;
	int64_t i;
};

typedef void detect_drop_fn(void *ctx, union detect_val v);

struct detect_lru {
	struct detect_slot *slots;
	uint32_t *buckets;
	uint32_t n, cap, max;		/* used, allocated, allowed */
	uint32_t first, last;		/* newest, oldest */
	uint64_t evicted;
	detect_drop_fn *drop;		/* may be NULL */
	void *ctx;
};

void detect_lru_init(struct detect_lru *t, uint32_t max, detect_drop_fn *drop,
    void *ctx);
void detect_lru_free(struct detect_lru *t);
/* The value, made newest; NULL when there is none. Valid until the next
 * change of the table. */
union detect_val *detect_lru_get(struct detect_lru *t, uint64_t key);
/* Likewise, made (zero) when there is none: *new_r tells. */
union detect_val *detect_lru_put(struct detect_lru *t, uint64_t key,
    bool *new_r);
void detect_lru_evict(struct detect_lru *t);	/* the oldest, if any */

#endif
