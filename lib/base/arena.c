/* arena - see arena.h. */
#include "arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define ARENA_CHUNK 4096
#define ARENA_FIRST 2016	/* most calls need no more; a stream keeps it */

struct chunk {
	struct chunk *next;
	size_t cap, used;
	char data[] __attribute__((aligned(16)));
};

struct arena {
	struct chunk *first, *cur;
	size_t max, total, used;
	bool failed;
};

static struct chunk *
chunk_new(size_t cap)
{
	struct chunk *c = base_realloc(NULL, sizeof(*c) + cap);

	c->next = NULL;
	c->cap = cap;
	c->used = 0;
	return c;
}

struct arena *
arena_new(size_t max)
{
	struct arena *a = base_calloc(1, sizeof(*a));

	a->max = max;
	a->first = a->cur = chunk_new(ARENA_FIRST);
	a->total = ARENA_FIRST;
	return a;
}

static void
chunks_free(struct chunk *c)
{
	while (c != NULL) {
		struct chunk *next = c->next;

		free(c);
		c = next;
	}
}

void
arena_free(struct arena *a)
{
	if (a == NULL)
		return;
	chunks_free(a->first);
	free(a);
}

void
arena_reset(struct arena *a)
{
	chunks_free(a->first->next);
	a->first->next = NULL;
	a->first->used = 0;
	a->cur = a->first;
	a->total = a->first->cap;
	a->used = 0;
	a->failed = false;
}

void *
arena_alloc(struct arena *a, size_t n)
{
	struct chunk *c = a->cur;

	if (a->failed || n > a->max) {
		a->failed = true;
		return NULL;
	}
	n = (n + 15) & ~(size_t)15;
	if (c->cap - c->used < n) {
		size_t cap = n > ARENA_CHUNK ? n : ARENA_CHUNK;

		if (a->total + cap > a->max + ARENA_CHUNK) {
			a->failed = true;
			return NULL;
		}
		c->next = chunk_new(cap);
		a->total += cap;
		a->cur = c = c->next;
	}
	void *p = c->data + c->used;

	c->used += n;
	a->used += n;
	memset(p, 0, n);
	return p;
}

char *
arena_strdup(struct arena *a, struct slice s)
{
	char *p = arena_alloc(a, s.n + 1);

	if (p != NULL && s.n != 0)
		memcpy(p, s.p, s.n);
	return p;
}

struct slice
arena_copy(struct arena *a, struct slice s)
{
	char *p = arena_strdup(a, s);

	return p == NULL ? slice_make(NULL, 0) : slice_make(p, s.n);
}

struct slice
arena_join(struct arena *a, const struct slice *parts, size_t n)
{
	size_t len = 0, at = 0;
	char *p;

	for (size_t i = 0; i < n; i++)
		len += parts[i].n;
	if ((p = arena_alloc(a, len + 1)) == NULL)
		return slice_make(NULL, 0);
	for (size_t i = 0; i < n; at += parts[i++].n)
		if (parts[i].n != 0)
			memcpy(p + at, parts[i].p, parts[i].n);
	return slice_make(p, len);
}

char *
arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap, ap2;
	char *p = NULL, small[256];
	int n;

	va_start(ap, fmt);
	va_copy(ap2, ap);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	ASSERT(n >= 0);
	p = arena_alloc(a, (size_t)n + 1);
	if (p != NULL && (size_t)n < sizeof(small))
		memcpy(p, small, (size_t)n + 1);
	else if (p != NULL)
		vsnprintf(p, (size_t)n + 1, fmt, ap2);
	va_end(ap2);
	return p;
}

bool
arena_failed(const struct arena *a)
{
	return a->failed;
}

size_t
arena_used(const struct arena *a)
{
	return a->used;
}
