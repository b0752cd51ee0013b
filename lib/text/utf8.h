/* utf8 - well-formed UTF-8 (Unicode 15, table 3-7), one sequence at a time. */
#ifndef UTF8_H
#define UTF8_H

#include "base.h"

static inline bool
utf8_cont(unsigned char c)
{
	return (c & 0xC0) == 0x80;
}

/* Length of the well-formed sequence at p (n > 0 bytes there), 0 when it is
 * none: overlong forms, surrogates and what lies above U+10FFFF are none. */
static inline unsigned
utf8_len(const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s;
	unsigned char c = p[0];

	if (c < 0x80)
		return 1;
	if (c < 0xC2 || c > 0xF4 || n < 2 || !utf8_cont(p[1]))
		return 0;
	if (c < 0xE0)
		return 2;
	if ((c == 0xE0 && p[1] < 0xA0) || (c == 0xED && p[1] > 0x9F) ||
	    (c == 0xF0 && p[1] < 0x90) || (c == 0xF4 && p[1] > 0x8F))
		return 0;
	if (n < 3 || !utf8_cont(p[2]))
		return 0;
	if (c < 0xF0)
		return 3;
	return n >= 4 && utf8_cont(p[3]) ? 4 : 0;
}

/* cp is a Unicode scalar value; out has room for 4. Returns the length. */
static inline unsigned
utf8_encode(uint32_t cp, char out[4])
{
	if (cp < 0x80) {
		out[0] = (char)cp;
		return 1;
	}
	if (cp < 0x800) {
		out[0] = (char)(0xC0 | cp >> 6);
		out[1] = (char)(0x80 | (cp & 0x3F));
		return 2;
	}
	if (cp < 0x10000) {
		out[0] = (char)(0xE0 | cp >> 12);
		out[1] = (char)(0x80 | (cp >> 6 & 0x3F));
		out[2] = (char)(0x80 | (cp & 0x3F));
		return 3;
	}
	out[0] = (char)(0xF0 | cp >> 18);
	out[1] = (char)(0x80 | (cp >> 12 & 0x3F));
	out[2] = (char)(0x80 | (cp >> 6 & 0x3F));
	out[3] = (char)(0x80 | (cp & 0x3F));
	return 4;
}

#endif
