/* detect_lru - see detect_lru.h. */
#include "detect_lru.h"

#include <stdlib.h>

#define NIL UINT32_MAX

struct detect_slot {
	uint64_t key;
	union detect_val v;
	uint32_t newer, older, chain;
};

void
detect_lru_init(struct detect_lru *t, uint32_t max, detect_drop_fn *drop,
    void *ctx)
{
	memset(t, 0, sizeof(*t));
	t->max = max;
	t->first = t->last = NIL;
	t->drop = drop;
	t->ctx = ctx;
}

void
detect_lru_free(struct detect_lru *t)
{
	for (uint32_t i = 0; t->drop != NULL && i < t->n; i++)
		t->drop(t->ctx, t->slots[i].v);
	free(t->slots);
	free(t->buckets);
	detect_lru_init(t, t->max, t->drop, t->ctx);
}

static uint32_t *
bucket(const struct detect_lru *t, uint64_t key)
{
	return &t->buckets[key & (t->cap - 1)];
}

static void
unlink_age(struct detect_lru *t, uint32_t i)
{
	struct detect_slot *s = &t->slots[i];

	if (s->newer == NIL)
		t->first = s->older;
	else
		t->slots[s->newer].older = s->older;
	if (s->older == NIL)
		t->last = s->newer;
	else
		t->slots[s->older].newer = s->newer;
}

static void
link_newest(struct detect_lru *t, uint32_t i)
{
	struct detect_slot *s = &t->slots[i];

	s->newer = NIL;
	s->older = t->first;
	if (t->first != NIL)
		t->slots[t->first].newer = i;
	t->first = i;
	if (t->last == NIL)
		t->last = i;
}

static uint32_t
find(const struct detect_lru *t, uint64_t key)
{
	uint32_t i;

	if (t->cap == 0)
		return NIL;
	for (i = *bucket(t, key); i != NIL; i = t->slots[i].chain) {
		if (t->slots[i].key == key)
			return i;
	}
	return NIL;
}

static void
grow(struct detect_lru *t)
{
	t->cap = t->cap == 0 ? 64 : t->cap * 2;
	t->slots = base_realloc(t->slots, t->cap * sizeof(*t->slots));
	t->buckets = base_realloc(t->buckets, t->cap * sizeof(*t->buckets));
	memset(t->buckets, 0xff, t->cap * sizeof(*t->buckets));
	for (uint32_t i = 0; i < t->n; i++) {
		uint32_t *b = bucket(t, t->slots[i].key);

		t->slots[i].chain = *b;
		*b = i;
	}
}

static void
unchain(struct detect_lru *t, uint32_t i)
{
	uint32_t *at = bucket(t, t->slots[i].key);

	while (*at != i)
		at = &t->slots[*at].chain;
	*at = t->slots[i].chain;
}

/* The last slot moves into the hole: slots 0..n-1 stay used. */
static void
fill_hole(struct detect_lru *t, uint32_t i)
{
	uint32_t from = --t->n;
	struct detect_slot *s = &t->slots[i];

	if (from == i)
		return;
	unchain(t, from);
	*s = t->slots[from];
	s->chain = *bucket(t, s->key);
	*bucket(t, s->key) = i;
	if (s->newer == NIL)
		t->first = i;
	else
		t->slots[s->newer].older = i;
	if (s->older == NIL)
		t->last = i;
	else
		t->slots[s->older].newer = i;
}

void
detect_lru_evict(struct detect_lru *t)
{
	uint32_t i = t->last;
	union detect_val v;

	if (i == NIL)
		return;
	v = t->slots[i].v;
	unlink_age(t, i);
	unchain(t, i);
	fill_hole(t, i);
	t->evicted++;
	if (t->drop != NULL)
		t->drop(t->ctx, v);
}

union detect_val *
detect_lru_get(struct detect_lru *t, uint64_t key)
{
	uint32_t i = find(t, key);

	if (i == NIL)
		return NULL;
	if (t->first != i) {
		unlink_age(t, i);
		link_newest(t, i);
	}
	return &t->slots[i].v;
}

union detect_val *
detect_lru_put(struct detect_lru *t, uint64_t key, bool *new_r)
{
	union detect_val *v = detect_lru_get(t, key);
	struct detect_slot *s;
	uint32_t *b;

	*new_r = v == NULL;
	if (v != NULL)
		return v;
	if (t->n == t->max)
		detect_lru_evict(t);
	if (t->n == t->cap)
		grow(t);
	s = &t->slots[t->n];
	memset(s, 0, sizeof(*s));
	s->key = key;
	b = bucket(t, key);
	s->chain = *b;
	*b = t->n++;
	link_newest(t, t->n - 1);
	return &s->v;
}
