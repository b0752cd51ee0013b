/*
 * map - byte string -> pointer, open addressing, SipHash-2-4 with a key drawn
 * at start (keys come from the network).
 *
 * Keys are copied; values are borrowed. Not to be changed while iterated,
 * except by map_del of the current key.
 */
#ifndef MAP_H
#define MAP_H

#include "base.h"

struct map {
	struct map_slot *slots;
	size_t cap, used, dead;
};

void map_init(struct map *m);
void map_free(struct map *m);
void *map_get(const struct map *m, struct slice key);
/* Replaces and returns the former value, or NULL. v must not be NULL. */
void *map_put(struct map *m, struct slice key, void *v);
void *map_del(struct map *m, struct slice key);
static inline size_t map_count(const struct map *m) { return m->used; }
/* *i starts at 0; false at the end. */
bool map_next(const struct map *m, size_t *i, struct slice *key_r, void **v_r);
/* The hash itself, for tables of other shapes. */
uint64_t map_hash(const void *p, size_t n);

#endif
