/* buf - see buf.h. */
#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define BUF_FIRST 512

void
buf_init(struct buf *b, size_t max)
{
	memset(b, 0, sizeof(*b));
	b->max = max;
}

void
buf_free(struct buf *b)
{
	free(b->data);
	buf_init(b, b->max);
}

void
buf_wipe_free(struct buf *b)
{
	if (b->data != NULL)
		explicit_bzero(b->data, b->cap);
	buf_free(b);
}

void
buf_reset(struct buf *b)
{
	b->off = b->len = 0;
	b->full = false;
}

char *
buf_reserve(struct buf *b, size_t n)
{
	if (n > b->max - b->len) {
		b->full = true;
		return NULL;
	}
	if (b->len == 0)
		b->off = 0;
	if (b->cap - b->off - b->len >= n && b->data != NULL)
		return b->data + b->off + b->len;
	if (b->off != 0 && (b->cap - b->len >= n) && b->off >= b->len) {
		memcpy(b->data, b->data + b->off, b->len);
		b->off = 0;
		return b->data + b->len;
	}
	size_t cap = b->cap == 0 ? BUF_FIRST : b->cap;

	while (cap < b->len + n)
		cap *= 2;
	char *d = base_realloc(NULL, cap);

	if (b->len != 0)
		memcpy(d, b->data + b->off, b->len);
	/* The bytes may be secret, and nobody could wipe them later. */
	if (b->data != NULL)
		explicit_bzero(b->data, b->cap);
	free(b->data);
	b->data = d;
	b->off = 0;
	b->cap = cap;
	return d + b->len;
}

void
buf_commit(struct buf *b, size_t k)
{
	ASSERT(b->off + b->len + k <= b->cap);
	b->len += k;
}

void
buf_consume(struct buf *b, size_t n)
{
	ASSERT(n <= b->len);
	b->off += n;
	b->len -= n;
	if (b->len == 0)
		b->off = 0;
}

int
buf_add(struct buf *b, const void *p, size_t n)
{
	if (n == 0)
		return b->full ? -1 : 0;
	char *d = buf_reserve(b, n);

	if (d == NULL)
		return -1;
	memcpy(d, p, n);
	b->len += n;
	return 0;
}

int
buf_add_slice(struct buf *b, struct slice s)
{
	return buf_add(b, s.p, s.n);
}

int
buf_add_str(struct buf *b, const char *s)
{
	return buf_add(b, s, strlen(s));
}

int
buf_add_char(struct buf *b, char c)
{
	return buf_add(b, &c, 1);
}

int
buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	char small[256];
	int n;

	va_start(ap, fmt);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	ASSERT(n >= 0);
	if ((size_t)n < sizeof(small))
		return buf_add(b, small, (size_t)n);
	/* vsnprintf writes a NUL, for which the buffer may have no room. */
	char *text = base_realloc(NULL, (size_t)n + 1);

	va_start(ap, fmt);
	vsnprintf(text, (size_t)n + 1, fmt, ap);
	va_end(ap);
	int r = buf_add(b, text, (size_t)n);

	explicit_bzero(text, (size_t)n);
	free(text);
	return r;
}
