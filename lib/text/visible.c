/* visible - see visible.h. */
#include "visible.h"

#include "utf8.h"

struct range {
	uint32_t from, to;
};

/* Sorted. */
static const struct range hidden[] = {
	{ 0x0000, 0x001F }, { 0x007F, 0x00A0 }, { 0x00AD, 0x00AD },
	{ 0x034F, 0x034F }, { 0x061C, 0x061C }, { 0x115F, 0x1160 },
	{ 0x1680, 0x1680 }, { 0x17B4, 0x17B5 }, { 0x180B, 0x180F },
	{ 0x2000, 0x200F }, { 0x2028, 0x202F }, { 0x205F, 0x206F },
	{ 0x2800, 0x2800 }, { 0x3000, 0x3000 }, { 0x3164, 0x3164 },
	{ 0xE000, 0xF8FF }, { 0xFDD0, 0xFDEF }, { 0xFE00, 0xFE0F },
	{ 0xFEFF, 0xFEFF }, { 0xFFA0, 0xFFA0 }, { 0xFFF0, 0xFFFC },
	{ 0xFFFE, 0xFFFF }, { 0x1BCA0, 0x1BCA3 }, { 0x1D173, 0x1D17A },
	{ 0xE0000, 0xE0FFF }, { 0xF0000, 0x10FFFF },
};

static const struct range wide[] = {
	{ 0x1100, 0x115F }, { 0x2E80, 0x303E }, { 0x3041, 0xA4CF },
	{ 0xAC00, 0xD7A3 }, { 0xF900, 0xFAFF }, { 0xFE30, 0xFE6F },
	{ 0xFF00, 0xFF60 }, { 0xFFE0, 0xFFE6 }, { 0x1F300, 0x1F64F },
	{ 0x1F680, 0x1F6FF }, { 0x1F900, 0x1F9FF }, { 0x20000, 0x3FFFD },
};

static bool
in_ranges(uint32_t cp, const struct range *r, size_t n)
{
	size_t lo = 0;

	while (lo < n) {
		size_t mid = lo + (n - lo) / 2;

		if (cp > r[mid].to)
			lo = mid + 1;
		else if (cp < r[mid].from)
			n = mid;
		else
			return true;
	}
	return false;
}

bool
visible_is_hidden(uint32_t cp)
{
	if (cp >= 0x20 && cp < 0x7F)
		return false;
	return in_ranges(cp, hidden, ARRAY_LEN(hidden)) ||
	    (cp & 0xFFFE) == 0xFFFE;
}

uint32_t
visible_next(const char *s, size_t n, size_t *len_r)
{
	const unsigned char *p = (const unsigned char *)s;
	unsigned len = utf8_len(s, n);

	*len_r = len == 0 ? 1 : len;
	switch (len) {
	case 1:
		return p[0];
	case 2:
		return (p[0] & 0x1Fu) << 6 | (p[1] & 0x3Fu);
	case 3:
		return (p[0] & 0x0Fu) << 12 | (p[1] & 0x3Fu) << 6 |
		    (p[2] & 0x3Fu);
	case 4:
		return (p[0] & 0x07u) << 18 | (p[1] & 0x3Fu) << 12 |
		    (p[2] & 0x3Fu) << 6 | (p[3] & 0x3Fu);
	default:
		return UINT32_MAX;
	}
}

size_t
visible_add(struct buf *b, struct slice s)
{
	size_t found = 0, start = 0;

	for (size_t i = 0, len; i < s.n; i += len) {
		uint32_t cp = visible_next(s.p + i, s.n - i, &len);

		if (cp != UINT32_MAX && !visible_is_hidden(cp))
			continue;
		buf_add(b, s.p + start, i - start);
		if (cp == UINT32_MAX)
			buf_addf(b, "\\x{%02X}", (unsigned char)s.p[i]);
		else
			buf_addf(b, "\\u{%04X}", cp);
		start = i + len;
		found++;
	}
	if (s.n > start)
		buf_add(b, s.p + start, s.n - start);
	return found;
}

bool
visible_is_clean(struct slice s)
{
	for (size_t i = 0, len; i < s.n; i += len) {
		uint32_t cp = visible_next(s.p + i, s.n - i, &len);

		if (cp == UINT32_MAX || visible_is_hidden(cp))
			return false;
	}
	return true;
}

size_t
visible_width(struct slice s)
{
	size_t w = 0;

	for (size_t i = 0, len; i < s.n; i += len) {
		uint32_t cp = visible_next(s.p + i, s.n - i, &len);

		/* Combining marks of the common blocks take no column. */
		if ((cp >= 0x300 && cp <= 0x36F) ||
		    (cp >= 0x20D0 && cp <= 0x20FF))
			continue;
		w += in_ranges(cp, wide, ARRAY_LEN(wide)) ? 2 : 1;
	}
	return w;
}
