/*
 * clienthello_ja4 - see clienthello.h. What it reads was found whole by
 * clienthello_read(): lengths are even, extensions end where they say.
 */
#include "clienthello.h"

#include <sodium/crypto_hash_sha256.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec.h"

#define LIST_MAX (CLIENTHELLO_MAX / 2)
#define HASH_DIGITS 12

enum { EXT_SERVER_NAME = 0, EXT_SIGNATURES = 13, EXT_ALPN = 16 };

struct list16 {
	uint16_t v[LIST_MAX];
	size_t n;
};

static unsigned
two(const char *p)
{
	return (unsigned)(uint8_t)p[0] << 8 | (uint8_t)p[1];
}

/* RFC 8701: 0x0A0A, 0x1A1A, ... */
static void
add(struct list16 *l, unsigned v)
{
	if (((v & 0x0f0f) == 0x0a0a && v >> 8 == (v & 0xff)) ||
	    l->n == LIST_MAX)
		return;
	l->v[l->n++] = (uint16_t)v;
}

static void
add_all(struct list16 *l, struct slice s)
{
	for (; s.n >= 2; s = slice_sub(s, 2, SIZE_MAX))
		add(l, two(s.p));
}

static int
compare(const void *a, const void *b)
{
	return *(const uint16_t *)a - *(const uint16_t *)b;
}

/* Four digits each, with commas. */
static void
hash_list(crypto_hash_sha256_state *st, const struct list16 *l)
{
	char text[8];

	for (size_t i = 0; i < l->n; i++) {
		snprintf(text, sizeof(text), "%s%04x", i == 0 ? "" : ",",
		    l->v[i]);
		crypto_hash_sha256_update(st, (const unsigned char *)text,
		    strlen(text));
	}
}

static void
hash_end(crypto_hash_sha256_state *st, bool empty, char out[HASH_DIGITS + 1])
{
	uint8_t sum[32] = { 0 };

	if (!empty)
		crypto_hash_sha256_final(st, sum);
	hex_encode(sum, HASH_DIGITS / 2, out);
}

static const char *
version(const struct clienthello *ch)
{
	unsigned best = 0;

	for (size_t i = 0; i < ch->nversions; i++)
		if (ch->versions[i] > best)
			best = ch->versions[i];
	switch (best) {
	case 0x0304: return "13";
	case 0x0303: return "12";
	case 0x0302: return "11";
	case 0x0301: return "10";
	case 0x0300: return "s3";
	default: return "00";
	}
}

static bool
alphanumeric(unsigned char c)
{
	return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

/* The first protocol's first and last character, in hex where one is neither
 * letter nor digit. x: the extension, found well-formed. */
static void
alpn_ends(struct slice x, char out[3])
{
	static const char digits[] = "0123456789abcdef";
	size_t n = (uint8_t)x.p[2];
	uint8_t first = (uint8_t)x.p[3], last = (uint8_t)x.p[2 + n];
	bool plain = alphanumeric(first) && alphanumeric(last);

	out[0] = plain ? (char)first : digits[first >> 4];
	out[1] = plain ? (char)last : digits[last & 15];
	out[2] = '\0';
}

void
clienthello_ja4(const struct clienthello *ch, char out[CLIENTHELLO_JA4_MAX])
{
	static struct list16 suites, kinds, signatures;
	struct slice rest = ch->extensions;
	char b[HASH_DIGITS + 1], c[HASH_DIGITS + 1], alpn[3] = "00";
	crypto_hash_sha256_state st;
	bool sni = false;
	unsigned count = 0;

	suites.n = kinds.n = signatures.n = 0;
	add_all(&suites, ch->suites);
	while (rest.n >= 4) {
		unsigned type = two(rest.p);
		struct slice x = slice_sub(rest, 4, two(rest.p + 2));
		size_t before = kinds.n;

		rest = slice_sub(rest, 4 + x.n, SIZE_MAX);
		add(&kinds, type);
		count += kinds.n > before;
		if (type == EXT_SERVER_NAME || type == EXT_ALPN)
			kinds.n = before;
		sni |= type == EXT_SERVER_NAME;
		if (type == EXT_ALPN)
			alpn_ends(x, alpn);
		if (type == EXT_SIGNATURES && x.n >= 2)
			add_all(&signatures, slice_sub(x, 2, SIZE_MAX));
	}
	qsort(suites.v, suites.n, sizeof(suites.v[0]), compare);
	qsort(kinds.v, kinds.n, sizeof(kinds.v[0]), compare);
	crypto_hash_sha256_init(&st);
	hash_list(&st, &suites);
	hash_end(&st, suites.n == 0, b);
	crypto_hash_sha256_init(&st);
	hash_list(&st, &kinds);
	if (signatures.n > 0)
		crypto_hash_sha256_update(&st, (const unsigned char *)"_", 1);
	hash_list(&st, &signatures);
	hash_end(&st, kinds.n == 0, c);
	snprintf(out, CLIENTHELLO_JA4_MAX, "t%s%c%02u%02u%s_%s_%s",
	    version(ch), sni ? 'd' : 'i', suites.n > 99 ? 99 :
	    (unsigned)suites.n, count > 99 ? 99 : count, alpn, b, c);
}
