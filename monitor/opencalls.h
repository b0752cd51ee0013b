/*
 * opencalls - calls that were decided to go ahead and whose outcome is not
 * recorded yet, each on the list of the channel that decided it.
 */
#ifndef OPENCALLS_H
#define OPENCALLS_H

#include "base.h"
#include "json.h"
#include "list.h"
#include "map.h"
#include "rng.h"

#define OPENCALLS_MAX 1000000

struct opencalls {
	struct map by_id;
	unsigned long long lost;	/* beyond the maximum: not tracked */
};

void opencalls_init(struct opencalls *o);
void opencalls_free(struct opencalls *o);
/* An event of this type was recorded as row seq; doc is its body. owner is
 * the list head of the emitter. */
void opencalls_note(struct opencalls *o, struct slice type,
    const struct json_doc *doc, struct uuid call, uint64_t seq,
    struct list *owner);
/* Takes one of the owner's calls decided up to row max; false: none. */
bool opencalls_take(struct opencalls *o, struct list *owner, uint64_t max,
    struct uuid *call_r, uint64_t *seq_r) MUST_USE;

#endif
