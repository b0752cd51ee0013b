/* toolcache - see toolcache.h. */
#include "toolcache.h"

#include <stdlib.h>

#include "list.h"
#include "map.h"

struct page {
	char *cursor, *next, *result;	/* next NULL: the last page */
	size_t ncursor, nnext, nresult;
};

struct toollist {
	struct list link;		/* least recently used first */
	char *connector;
	uint8_t key[TOOLCACHE_KEY];
	uint64_t since_ms, until_ms;
	size_t bytes;
	struct page *pages;
	unsigned n;
};

struct toolcache {
	const struct toolcache_limits *lim;
	struct map by_key;
	struct list used;
	size_t bytes;
};

const struct toolcache_limits toolcache_limits_default = {
	.lists = 1000, .bytes = 32u << 20, .list_bytes = 4u << 20 };

struct toolcache *
toolcache_new(const struct toolcache_limits *lim)
{
	struct toolcache *c = base_calloc(1, sizeof(*c));

	c->lim = lim == NULL ? &toolcache_limits_default : lim;
	map_init(&c->by_key);
	list_init(&c->used);
	return c;
}

static void
forget(struct toolcache *c, struct toollist *l)
{
	map_del(&c->by_key, slice_make(l->key, sizeof(l->key)));
	list_remove(&l->link);
	c->bytes -= l->bytes;
	for (unsigned i = 0; i < l->n; i++) {
		free(l->pages[i].cursor);
		free(l->pages[i].next);
		explicit_bzero(l->pages[i].result, l->pages[i].nresult);
		free(l->pages[i].result);
	}
	free(l->pages);
	free(l->connector);
	free(l);
}

void
toolcache_free(struct toolcache *c)
{
	if (c == NULL)
		return;
	(void)toolcache_drop(c, NULL);
	map_free(&c->by_key);
	free(c);
}

static struct toollist *
find(struct toolcache *c, const uint8_t key[TOOLCACHE_KEY], uint64_t now_ms)
{
	struct toollist *l = map_get(&c->by_key, slice_make(key,
	    TOOLCACHE_KEY));

	if (l == NULL || now_ms < l->until_ms)
		return l;
	forget(c, l);
	return NULL;
}

static void
use(struct toolcache *c, struct toollist *l)
{
	list_remove(&l->link);
	list_append(&c->used, &l->link);
}

struct slice
toolcache_get(struct toolcache *c, const uint8_t key[TOOLCACHE_KEY],
    struct slice cursor, uint64_t now_ms, uint64_t *age_r)
{
	struct toollist *l = find(c, key, now_ms);

	for (unsigned i = 0; l != NULL && i < l->n; i++) {
		const struct page *p = &l->pages[i];

		if (!slice_eq(cursor, slice_make(p->cursor, p->ncursor)))
			continue;
		use(c, l);
		*age_r = now_ms - l->since_ms;
		return slice_make(p->result, p->nresult);
	}
	return slice_make(NULL, 0);
}

static void
make_room(struct toolcache *c, const struct toollist *keep, size_t more)
{
	while (c->bytes + more > c->lim->bytes ||
	    map_count(&c->by_key) > c->lim->lists) {
		struct toollist *l = list_entry(c->used.next, struct toollist,
		    link);

		if (list_empty(&c->used) || l == keep)
			return;
		forget(c, l);
	}
}

static struct toollist *
begin(struct toolcache *c, const char *connector,
    const uint8_t key[TOOLCACHE_KEY], uint64_t now_ms, uint64_t age_ms)
{
	struct toollist *l = find(c, key, now_ms);

	if (l != NULL)
		forget(c, l);
	l = base_calloc(1, sizeof(*l));
	memcpy(l->key, key, TOOLCACHE_KEY);
	l->connector = base_strdup(connector);
	l->since_ms = now_ms;
	l->until_ms = now_ms + age_ms;
	map_put(&c->by_key, slice_make(l->key, TOOLCACHE_KEY), l);
	list_append(&c->used, &l->link);
	return l;
}

/* Does this cursor lead on from the last page that is there? */
static bool
follows(const struct toollist *l, struct slice cursor)
{
	const struct page *last;

	if (l == NULL || l->n == 0 || l->n == TOOLCACHE_PAGES)
		return false;
	last = &l->pages[l->n - 1];
	return last->next != NULL && slice_eq(cursor, slice_make(last->next,
	    last->nnext));
}

bool
toolcache_put(struct toolcache *c, const char *connector,
    const uint8_t key[TOOLCACHE_KEY], struct slice cursor, struct slice next,
    struct slice result, uint64_t now_ms, uint64_t age_ms)
{
	size_t bytes = result.n + cursor.n + next.n + 256;
	struct toollist *l;
	struct page *p;

	if (age_ms == 0 || bytes > c->lim->list_bytes)
		return false;
	if (cursor.n == 0) {
		l = begin(c, connector, key, now_ms, age_ms);
	} else {
		l = find(c, key, now_ms);
		if (!follows(l, cursor))
			return false;
		if (l->bytes + bytes > c->lim->list_bytes)
			return false;
		use(c, l);
	}
	make_room(c, l, bytes);
	l->pages = base_realloc(l->pages, (l->n + 1) * sizeof(*l->pages));
	p = &l->pages[l->n++];
	*p = (struct page){ .cursor = slice_dup(cursor), .ncursor = cursor.n,
		.next = next.n == 0 ? NULL : slice_dup(next), .nnext = next.n,
		.result = slice_dup(result), .nresult = result.n };
	l->bytes += bytes;
	c->bytes += bytes;
	return true;
}

static void
add(struct toolcache_sum *s, const struct toollist *l)
{
	s->lists++;
	s->bytes += l->bytes;
	if (s->oldest_ms == 0 || l->since_ms < s->oldest_ms)
		s->oldest_ms = l->since_ms;
}

struct toolcache_sum
toolcache_sum(const struct toolcache *c, const char *connector)
{
	struct toolcache_sum s = { 0 };

	list_each(it, &c->used) {
		const struct toollist *l = list_entry(it, struct toollist,
		    link);

		if (strcmp(l->connector, connector) == 0)
			add(&s, l);
	}
	return s;
}

struct toolcache_sum
toolcache_drop(struct toolcache *c, const char *connector)
{
	struct toolcache_sum s = { 0 };

	list_each_safe(it, tmp, &c->used) {
		struct toollist *l = list_entry(it, struct toollist, link);

		if (connector != NULL && strcmp(l->connector, connector) != 0)
			continue;
		add(&s, l);
		forget(c, l);
	}
	return s;
}

bool
toolcache_expire(struct toolcache *c, uint64_t now_ms, char name_r[65])
{
	list_each(it, &c->used) {
		struct toollist *l = list_entry(it, struct toollist, link);
		size_t n = strlen(l->connector);

		if (now_ms < l->until_ms)
			continue;
		n = n > 64 ? 64 : n;
		memcpy(name_r, l->connector, n);
		name_r[n] = '\0';
		forget(c, l);
		return true;
	}
	return false;
}

void
toolcache_each(const struct toolcache *c,
    void (*fn)(void *ctx, const char *connector), void *ctx)
{
	list_each(it, &c->used)
		fn(ctx, list_entry(it, struct toollist, link)->connector);
}
