/* map - see map.h. */
#include "map.h"

#include <sodium/crypto_shorthash.h>
#include <stdlib.h>

#include "rng.h"

struct map_slot {
	char *key;	/* NULL: never used */
	size_t n;
	uint64_t hash;
	void *v;	/* NULL with a key: deleted */
};

static unsigned char hash_key[crypto_shorthash_KEYBYTES];
static bool hash_ready;

uint64_t
map_hash(const void *p, size_t n)
{
	uint64_t h;

	if (!hash_ready) {
		rng_bytes(hash_key, sizeof(hash_key));
		hash_ready = true;
	}
	crypto_shorthash((unsigned char *)&h, p, n, hash_key);
	return h;
}

void
map_init(struct map *m)
{
	memset(m, 0, sizeof(*m));
}

void
map_free(struct map *m)
{
	for (size_t i = 0; i < m->cap; i++)
		free(m->slots[i].key);
	free(m->slots);
	map_init(m);
}

static struct map_slot *
find(const struct map *m, struct slice key, uint64_t h)
{
	if (m->cap == 0)
		return NULL;
	for (size_t i = h & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
		struct map_slot *s = &m->slots[i];

		if (s->key == NULL)
			return NULL;
		if (s->v != NULL && s->hash == h &&
		    slice_eq(slice_make(s->key, s->n), key))
			return s;
	}
}

void *
map_get(const struct map *m, struct slice key)
{
	struct map_slot *s;

	if (m->cap == 0)
		return NULL;
	s = find(m, key, map_hash(key.p, key.n));
	return s == NULL ? NULL : s->v;
}

static void
place(struct map *m, struct map_slot slot)
{
	size_t i = slot.hash & (m->cap - 1);

	while (m->slots[i].key != NULL)
		i = (i + 1) & (m->cap - 1);
	m->slots[i] = slot;
}

static void
grow(struct map *m)
{
	struct map_slot *old = m->slots;
	size_t old_cap = m->cap;

	m->cap = old_cap == 0 ? 16 : m->used * 4 > old_cap ? old_cap * 2 :
	    old_cap;
	m->slots = base_calloc(m->cap, sizeof(*m->slots));
	m->dead = 0;
	for (size_t i = 0; i < old_cap; i++) {
		if (old[i].v != NULL)
			place(m, old[i]);
		else
			free(old[i].key);
	}
	free(old);
}

void *
map_put(struct map *m, struct slice key, void *v)
{
	uint64_t h = map_hash(key.p, key.n);
	struct map_slot *s = find(m, key, h);
	void *former;

	ASSERT(v != NULL);
	if (s != NULL) {
		former = s->v;
		s->v = v;
		return former;
	}
	if ((m->used + m->dead + 1) * 4 > m->cap * 3)
		grow(m);
	place(m, (struct map_slot){ slice_dup(key), key.n, h, v });
	m->used++;
	return NULL;
}

void *
map_del(struct map *m, struct slice key)
{
	struct map_slot *s = m->cap == 0 ? NULL :
	    find(m, key, map_hash(key.p, key.n));
	void *v;

	if (s == NULL)
		return NULL;
	v = s->v;
	s->v = NULL;
	m->used--;
	m->dead++;
	return v;
}

bool
map_next(const struct map *m, size_t *i, struct slice *key_r, void **v_r)
{
	while (*i < m->cap) {
		struct map_slot *s = &m->slots[(*i)++];

		if (s->v == NULL)
			continue;
		if (key_r != NULL)
			*key_r = slice_make(s->key, s->n);
		if (v_r != NULL)
			*v_r = s->v;
		return true;
	}
	return false;
}
