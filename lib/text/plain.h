/*
 * plain - which bytes stand in a JSON string as they are: ASCII from the space
 * on but the quote and the backslash (RFC 8259, 7). Many at a time: strings
 * are most of what is read and written.
 */
#ifndef PLAIN_H
#define PLAIN_H

#include <endian.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base.h"

static inline bool
plain_byte(char c)
{
	return (unsigned char)c >= 0x20 && (unsigned char)c < 0x80 &&
	    c != '"' && c != '\\';
}

/* The high bit of each byte that is not plain; the lowest one set is exact. */
static inline uint64_t
plain_not8(uint64_t v)
{
	const uint64_t ones = 0x0101010101010101, highs = ones << 7;
	uint64_t q = v ^ ones * '"', b = v ^ ones * '\\';

	return (v | ((q - ones) & ~q) | ((b - ones) & ~b) |
	    ((v - ones * 0x20) & ~v)) & highs;
}

#ifdef __SSE2__
/* A bit for each of 16 bytes that is not plain. */
static inline unsigned
plain_not16(const char *p)
{
	__m128i v = _mm_loadu_si128((const __m128i *)p);
	/* Signed: all that is not ASCII is below a space, too. */
	__m128i hit = _mm_or_si128(_mm_cmplt_epi8(v, _mm_set1_epi8(0x20)),
	    _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')),
	    _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))));

	return (unsigned)_mm_movemask_epi8(hit);
}
#endif

/* The first byte that is not plain, or end. */
static inline const char *
plain_skip(const char *p, const char *end)
{
#ifdef __SSE2__
	while (end - p >= 16) {
		unsigned at = plain_not16(p);

		if (at != 0)
			return p + __builtin_ctz(at);
		p += 16;
	}
#endif
	while (end - p >= 8) {
		uint64_t v, hit;

		memcpy(&v, p, 8);
		hit = plain_not8(le64toh(v));
		if (hit != 0)
			return p + __builtin_ctzll(hit) / 8;
		p += 8;
	}
	while (p < end && plain_byte(*p))
		p++;
	return p;
}

/* All of them? The last bytes are looked at with some before them. */
static inline bool
plain_all(struct slice s)
{
	const char *p = s.p, *end = s.p + s.n;
	uint64_t v, w;

#ifdef __SSE2__
	if (s.n >= 16) {
		unsigned hit = plain_not16(end - 16);

		for (; end - p > 16; p += 16)
			hit |= plain_not16(p);
		return hit == 0;
	}
#endif
	if (s.n < 4)
		return plain_skip(p, end) == end;
	if (s.n < 8) {
		uint32_t first, last;

		memcpy(&first, p, 4);
		memcpy(&last, end - 4, 4);
		return plain_not8((uint64_t)first << 32 | last) == 0;
	}
	memcpy(&w, end - 8, 8);
	for (w = plain_not8(w); end - p > 8; p += 8) {
		memcpy(&v, p, 8);
		w |= plain_not8(v);
	}
	return w == 0;
}

#endif
