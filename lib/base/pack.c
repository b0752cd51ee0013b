/* pack - see pack.h. */
#include "pack.h"

#include <endian.h>

void
pack_bytes(struct buf *b, const void *p, size_t n)
{
	buf_add(b, p, n);
}

void
pack_u8(struct buf *b, uint8_t v)
{
	buf_add(b, &v, 1);
}

void
pack_u16(struct buf *b, uint16_t v)
{
	v = htole16(v);
	buf_add(b, &v, 2);
}

void
pack_u32(struct buf *b, uint32_t v)
{
	v = htole32(v);
	buf_add(b, &v, 4);
}

void
pack_u64(struct buf *b, uint64_t v)
{
	v = htole64(v);
	buf_add(b, &v, 8);
}

void
pack_i64(struct buf *b, int64_t v)
{
	pack_u64(b, (uint64_t)v);
}

void
pack_slice(struct buf *b, struct slice s)
{
	if (s.n > UINT32_MAX) {
		b->full = true;
		return;
	}
	pack_u32(b, (uint32_t)s.n);
	buf_add_slice(b, s);
}

void
pack_str(struct buf *b, const char *s)
{
	pack_slice(b, slice_str(s));
}

void
unpack_init(struct unpack *u, struct slice s)
{
	u->p = s.p;
	u->n = s.n;
	u->bad = false;
}

void
unpack_bytes(struct unpack *u, void *dst, size_t n)
{
	if (u->bad || u->n < n) {
		u->bad = true;
		memset(dst, 0, n);
		return;
	}
	memcpy(dst, u->p, n);
	u->p += n;
	u->n -= n;
}

uint8_t
unpack_u8(struct unpack *u)
{
	uint8_t v;

	unpack_bytes(u, &v, 1);
	return v;
}

uint16_t
unpack_u16(struct unpack *u)
{
	uint16_t v;

	unpack_bytes(u, &v, 2);
	return le16toh(v);
}

uint32_t
unpack_u32(struct unpack *u)
{
	uint32_t v;

	unpack_bytes(u, &v, 4);
	return le32toh(v);
}

uint64_t
unpack_u64(struct unpack *u)
{
	uint64_t v;

	unpack_bytes(u, &v, 8);
	return le64toh(v);
}

int64_t
unpack_i64(struct unpack *u)
{
	return (int64_t)unpack_u64(u);
}

struct slice
unpack_slice(struct unpack *u)
{
	uint32_t n = unpack_u32(u);

	if (u->bad || u->n < n) {
		u->bad = true;
		return slice_make("", 0);
	}
	struct slice s = slice_make(u->p, n);

	u->p += n;
	u->n -= n;
	return s;
}

char *
unpack_strdup(struct unpack *u)
{
	struct slice s = unpack_slice(u);

	if (slice_chr(s, '\0') >= 0) {
		u->bad = true;
		s.n = 0;
	}
	return slice_dup(s);
}

uint32_t
unpack_count(struct unpack *u, size_t min_size)
{
	uint32_t n = unpack_u32(u);

	ASSERT(min_size > 0);
	if (u->bad || n > u->n / min_size) {
		u->bad = true;
		return 0;
	}
	return n;
}

bool
unpack_done(const struct unpack *u)
{
	return !u->bad && u->n == 0;
}
