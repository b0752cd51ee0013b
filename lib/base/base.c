/* base - see base.h. */
#include "base.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void
base_assert_failed(const char *cond, const char *file, int line,
    const char *func)
{
	fprintf(stderr, "ASSERT %s:%d %s: %s\n", file, line, func, cond);
	abort();
}

void *
base_calloc(size_t n, size_t size)
{
	void *p = calloc(n, size);

	ASSERT(p != NULL || n == 0 || size == 0);
	return p;
}

void *
base_realloc(void *p, size_t size)
{
	p = realloc(p, size);
	ASSERT(p != NULL || size == 0);
	return p;
}

char *
base_strndup(const char *s, size_t n)
{
	char *p = base_calloc(1, n + 1);

	if (n != 0)
		memcpy(p, s, n);
	return p;
}

char *
base_strdup(const char *s)
{
	return base_strndup(s, strlen(s));
}

bool
base_equal_ct(const void *a, const void *b, size_t n)
{
	const volatile unsigned char *x = a, *y = b;
	unsigned char d = 0;

	for (size_t i = 0; i < n; i++)
		d |= (unsigned char)(x[i] ^ y[i]);
	return d == 0;
}

void
base_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

static unsigned char
fold(char c)
{
	unsigned char u = (unsigned char)c;

	return u >= 'A' && u <= 'Z' ? (unsigned char)(u + 32) : u;
}

bool
slice_eq_nocase(struct slice a, struct slice b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (fold(a.p[i]) != fold(b.p[i]))
			return false;
	return true;
}

bool
slice_is_nocase(struct slice a, const char *s)
{
	return slice_eq_nocase(a, slice_str(s));
}

bool
slice_starts(struct slice a, const char *prefix)
{
	size_t n = strlen(prefix);

	return a.n >= n && memcmp(a.p, prefix, n) == 0;
}

bool
slice_ends(struct slice a, const char *suffix)
{
	size_t n = strlen(suffix);

	return a.n >= n && memcmp(a.p + a.n - n, suffix, n) == 0;
}

ssize_t
slice_find(struct slice a, struct slice b)
{
	if (b.n == 0)
		return 0;
	if (a.n < b.n)
		return -1;
	const char *q = memmem(a.p, a.n, b.p, b.n);

	return q == NULL ? -1 : q - a.p;
}

ssize_t
slice_chr(struct slice a, char c)
{
	const char *q = a.n == 0 ? NULL : memchr(a.p, c, a.n);

	return q == NULL ? -1 : q - a.p;
}

struct slice
slice_trim(struct slice a)
{
	while (a.n > 0 && (a.p[0] == ' ' || a.p[0] == '\t'))
		a.p++, a.n--;
	while (a.n > 0 && (a.p[a.n - 1] == ' ' || a.p[a.n - 1] == '\t'))
		a.n--;
	return a;
}

struct slice
slice_sub(struct slice a, size_t off, size_t n)
{
	if (off > a.n)
		off = a.n;
	if (n > a.n - off)
		n = a.n - off;
	return slice_make(a.p == NULL ? NULL : a.p + off, n);
}

struct slice
slice_cut(struct slice *rest, char sep)
{
	ssize_t at = slice_chr(*rest, sep);
	struct slice head = *rest;

	if (at < 0) {
		*rest = slice_make(NULL, 0);
		return head;
	}
	head.n = (size_t)at;
	*rest = slice_sub(*rest, (size_t)at + 1, SIZE_MAX);
	return head;
}

bool
slice_to_u64(struct slice a, uint64_t *v_r)
{
	uint64_t v = 0;

	if (a.n == 0)
		return false;
	for (size_t i = 0; i < a.n; i++) {
		if (a.p[i] < '0' || a.p[i] > '9')
			return false;
		if (__builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(a.p[i] - '0'), &v))
			return false;
	}
	*v_r = v;
	return true;
}

struct slice
slice_of_u64(uint64_t v, char room[U64_DIGITS])
{
	size_t at = U64_DIGITS;

	do
		room[--at] = (char)('0' + v % 10);
	while ((v /= 10) != 0);
	return slice_make(room + at, U64_DIGITS - at);
}

char *
slice_dup(struct slice a)
{
	return base_strndup(a.p, a.n);
}
