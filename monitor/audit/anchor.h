/*
 * anchor - checkpoints kept outside the machine, to hold a ledger against.
 *
 * A file is either one bare signed note (checkpoint.h), or lines as exporters
 * write them: any line that holds an event of type ledger.checkpoint gives
 * one, other lines are skipped; what stands before the first '{' of a line
 * (a syslog header) does not matter.
 */
#ifndef ANCHOR_H
#define ANCHOR_H

#include "base.h"
#include "checkpoint.h"
#include "err.h"

struct anchor {
	uint64_t size;
	uint64_t line;			/* where in the file, from 1 */
	uint8_t root[MERKLE_HASH];
};

struct anchors {
	struct anchor *v;		/* by size, no two alike */
	size_t n, cap;
};

/*
 * Every note must be signed by one of keys and be of this origin. 0, or -1
 * and err: the file cannot be read, has no checkpoint, or one of them is not
 * ours; *forged_r tells the last case from the others.
 */
int anchor_load(const char *file, const struct checkpoint_keys *keys,
    const char *origin, struct anchors *a_r, bool *forged_r,
    struct err *err) MUST_USE;
void anchor_free(struct anchors *a);

#endif
