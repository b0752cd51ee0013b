/* rule_text - strings, numbers, addresses and times as rules compare them. */
#include <arpa/inet.h>
#include <math.h>
#include <stdlib.h>

#include "rule_ir.h"

void
rule_grow(void **arr, size_t n, size_t size)
{
	/* Powers of two from 4: grow when n is one of them (or 0). */
	if (n == 0 || (n >= 4 && (n & (n - 1)) == 0))
		*arr = base_realloc(*arr, (n == 0 ? 4 : n * 2) * size);
	memset((char *)*arr + n * size, 0, size);
}

void
rule_fold(char *dst, const char *src, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)src[i];

		dst[i] = (char)(c + ((unsigned)(c - 'A') < 26 ? 32 : 0));
	}
}

uint32_t
rule_gram(const char *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	v *= 0x9e3779b1u;
	return v ^ v >> 15;
}

/* Length of the UTF-8 character at p, from its first byte. */
static size_t
char_len(const char *p, size_t left)
{
	unsigned char c = (unsigned char)*p;
	size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

	return n < left ? n : left;
}

/* Back to the last run only: linear memory, no recursion. */
bool
rule_wild(struct slice pattern, struct slice text)
{
	size_t p = 0, t = 0, mark_p = SIZE_MAX, mark_t = 0;

	while (t < text.n) {
		if (p < pattern.n && pattern.p[p] == RULE_RUN) {
			mark_p = ++p;
			mark_t = t;
		} else if (p < pattern.n && pattern.p[p] == RULE_ONE) {
			p++;
			t += char_len(text.p + t, text.n - t);
		} else if (p < pattern.n && pattern.p[p] == text.p[t]) {
			p++;
			t++;
		} else if (mark_p != SIZE_MAX) {
			p = mark_p;
			mark_t += char_len(text.p + mark_t, text.n - mark_t);
			t = mark_t;
		} else {
			return false;
		}
	}
	while (p < pattern.n && pattern.p[p] == RULE_RUN)
		p++;
	return p == pattern.n;
}

bool
rule_glob(struct slice pattern, struct slice text)
{
	char tmp[256];

	if (pattern.n > sizeof(tmp))
		return false;
	for (size_t i = 0; i < pattern.n; i++)
		tmp[i] = pattern.p[i] == '*' ? RULE_RUN : pattern.p[i];
	return rule_wild(slice_make(tmp, pattern.n), text);
}

bool
rule_parse_addr(struct slice s, uint8_t addr_r[16])
{
	char tmp[INET6_ADDRSTRLEN + 1];
	uint8_t a[16] = { [10] = 0xff, [11] = 0xff };
	ssize_t colon = slice_chr(s, ':');

	if (s.n > 2 && s.p[0] == '[') {
		ssize_t end = slice_chr(s, ']');

		if (end < 0)
			return false;
		s = slice_sub(s, 1, (size_t)end - 1);
	} else if (colon >= 0 && slice_chr(slice_sub(s, (size_t)colon + 1,
	    s.n), ':') < 0) {
		s = slice_sub(s, 0, (size_t)colon);	/* v4:port */
	}
	if (s.n == 0 || s.n >= sizeof(tmp))
		return false;
	memcpy(tmp, s.p, s.n);
	tmp[s.n] = '\0';
	if (memchr(tmp, '\0', s.n) != NULL)
		return false;
	if (inet_pton(AF_INET, tmp, a + 12) != 1 &&
	    inet_pton(AF_INET6, tmp, a) != 1)
		return false;
	memcpy(addr_r, a, 16);
	return true;
}

bool
rule_parse_cidr(const char *s, uint8_t addr_r[16], uint8_t *bits_r)
{
	struct slice rest = slice_str(s), host = slice_cut(&rest, '/');
	bool v4 = slice_chr(host, ':') < 0;
	uint64_t bits = v4 ? 32 : 128;

	if (rest.p != NULL && (!slice_to_u64(rest, &bits) ||
	    bits > (v4 ? 32u : 128u)))
		return false;
	if (slice_chr(host, '[') >= 0 || !rule_parse_addr(host, addr_r))
		return false;
	*bits_r = (uint8_t)(v4 ? bits + 96 : bits);
	return true;
}

bool
rule_parse_number(struct slice s, double *v_r)
{
	char tmp[64], *end;
	double v;

	if (s.n == 0 || s.n >= sizeof(tmp))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (strchr("0123456789+-.eE", s.p[i]) == NULL ||
		    s.p[i] == '\0')
			return false;
	}
	memcpy(tmp, s.p, s.n);
	tmp[s.n] = '\0';
	v = strtod(tmp, &end);
	if (*end != '\0' || end == tmp || !isfinite(v))
		return false;
	*v_r = v;
	return true;
}

/* Days since 1970-01-01 of a date of the proleptic Gregorian calendar. */
static int64_t
days_of(int64_t y, int64_t m, int64_t d)
{
	int64_t era, yoe, doy;

	y -= m <= 2;
	era = (y >= 0 ? y : y - 399) / 400;
	yoe = y - era * 400;
	doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

/* n digits at off; false when they are none or out of [lo, hi]. */
static bool
digits(struct slice s, size_t off, size_t n, int64_t lo, int64_t hi,
    int64_t *v_r)
{
	uint64_t v;

	if (off + n > s.n || !slice_to_u64(slice_sub(s, off, n), &v) ||
	    (int64_t)v < lo || (int64_t)v > hi)
		return false;
	*v_r = (int64_t)v;
	return true;
}

/* RFC 3339, 5.6. */
bool
rule_parse_time(struct slice s, int64_t *ms_r)
{
	int64_t y, mo, d, h, mi, sec, ms = 0, oh = 0, om = 0, sign = 0;
	size_t at = 19, n = 0;

	if (s.n < 20 || s.p[4] != '-' || s.p[7] != '-' || s.p[13] != ':' ||
	    s.p[16] != ':' || (s.p[10] != 'T' && s.p[10] != 't') ||
	    !digits(s, 0, 4, 0, 9999, &y) || !digits(s, 5, 2, 1, 12, &mo) ||
	    !digits(s, 8, 2, 1, 31, &d) || !digits(s, 11, 2, 0, 23, &h) ||
	    !digits(s, 14, 2, 0, 59, &mi) || !digits(s, 17, 2, 0, 60, &sec))
		return false;
	if (s.p[at] == '.') {
		for (at++; at < s.n && s.p[at] >= '0' && s.p[at] <= '9'; at++) {
			if (n++ < 3)
				ms = ms * 10 + (s.p[at] - '0');
		}
		if (n == 0 || n > 9)
			return false;
		for (; n < 3; n++)
			ms *= 10;
	}
	if (at + 1 == s.n && (s.p[at] == 'Z' || s.p[at] == 'z'))
		sign = 0;
	else if (at + 6 == s.n && (s.p[at] == '+' || s.p[at] == '-') &&
	    s.p[at + 3] == ':' && digits(s, at + 1, 2, 0, 23, &oh) &&
	    digits(s, at + 4, 2, 0, 59, &om))
		sign = s.p[at] == '+' ? 1 : -1;
	else
		return false;
	*ms_r = ((days_of(y, mo, d) * 24 + h) * 60 + mi -
	    sign * (oh * 60 + om)) * 60000 + sec * 1000 + ms;
	return true;
}

pcre2_code *
rule_regex(const struct rule_pat *p, char *why, size_t whysize, size_t *at_r)
{
	PCRE2_SIZE at = 0;
	int e = 0;
	pcre2_code *re = pcre2_compile((PCRE2_SPTR)p->text, p->len,
	    p->re_options | PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C |
	    PCRE2_NO_AUTO_CAPTURE, &e, &at, NULL);

	if (re == NULL) {
		pcre2_get_error_message(e, (PCRE2_UCHAR *)why, whysize);
		*at_r = at;
	}
	return re;
}
