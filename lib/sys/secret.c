/* secret - see secret.h. */
#include "secret.h"

#include <sodium.h>
#include <stdlib.h>

struct secret {
	size_t n;
	unsigned char *p;	/* sodium_malloc: guard pages, locked */
};

static struct secret *
secret_alloc(size_t n)
{
	struct secret *s = base_calloc(1, sizeof(*s));

	ASSERT(sodium_init() >= 0);
	s->n = n;
	s->p = sodium_malloc(n == 0 ? 1 : n);
	ASSERT(s->p != NULL);
	return s;
}

struct secret *
secret_new(const void *p, size_t n)
{
	struct secret *s = secret_alloc(n);

	if (n != 0)
		memcpy(s->p, p, n);
	sodium_mprotect_readonly(s->p);
	return s;
}

struct secret *
secret_random(size_t n)
{
	struct secret *s = secret_alloc(n);

	randombytes_buf(s->p, n);
	sodium_mprotect_readonly(s->p);
	return s;
}

void
secret_free(struct secret *s)
{
	if (s == NULL)
		return;
	sodium_free(s->p);	/* makes it writable, wipes, unlocks */
	free(s);
}

struct slice
secret_bytes(const struct secret *s)
{
	return slice_make(s->p, s->n);
}
