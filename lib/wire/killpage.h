/*
 * killpage - the kill switch's shared page: read before every write to
 * either side of a call, written by the broker alone.
 *
 * One small mapping of 8-byte atomics: epoch (grows with every change), all (non-zero:
 * everything is killed), then KILLPAGE_SLOTS hashed slots. A target's hash
 * (SipHash under a key stored in the page, of "connector/NAME", ...) is
 * looked up by linear probing; a hit means killed. Slot 0 = free. When the
 * table is full the `all` word is set: it fails closed.
 */
#ifndef KILLPAGE_H
#define KILLPAGE_H

#include "base.h"

#define KILLPAGE_SLOTS 2000

struct killpage;	/* the mapping */

/* The parent: a memfd sealed against grow and shrink, zeroed, key drawn. */
int killpage_create(void) MUST_USE;
/* Maps fd (borrowed). NULL on failure. */
struct killpage *killpage_map(int fd, bool writable) MUST_USE;
void killpage_unmap(struct killpage *k);

uint64_t killpage_epoch(const struct killpage *k);
uint64_t killpage_hash(const struct killpage *k, const char *target);
/* The hot-path question: one load when nothing is killed at all. */
bool killpage_hit(const struct killpage *k, uint64_t hash);
bool killpage_all(const struct killpage *k);
/* Writer: both bump the epoch and return it. */
uint64_t killpage_set(struct killpage *k, const char *target);
uint64_t killpage_clear(struct killpage *k, const char *target);
uint64_t killpage_set_all(struct killpage *k, bool all);

#endif
