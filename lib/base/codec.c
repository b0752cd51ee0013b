/* codec - see codec.h. */
#include "codec.h"

void
hex_encode(const void *p, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *b = p;

	for (size_t i = 0; i < n; i++) {
		*out++ = digits[b[i] >> 4];
		*out++ = digits[b[i] & 15];
	}
	*out = '\0';
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool
hex_decode(struct slice s, void *out, size_t n)
{
	unsigned char *b = out;

	if (s.n != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		int hi = hex_digit(s.p[2 * i]), lo = hex_digit(s.p[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return false;
		b[i] = (unsigned char)(hi << 4 | lo);
	}
	return true;
}

static const char std_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void
encode(struct buf *out, const void *p, size_t n, const char *alphabet,
    bool pad)
{
	const unsigned char *b = p;

	for (size_t i = 0; i < n; i += 3) {
		size_t left = n - i;
		uint32_t v = (uint32_t)b[i] << 16;
		char q[4];

		if (left > 1)
			v |= (uint32_t)b[i + 1] << 8;
		if (left > 2)
			v |= b[i + 2];
		q[0] = alphabet[v >> 18];
		q[1] = alphabet[v >> 12 & 63];
		q[2] = left > 1 ? alphabet[v >> 6 & 63] : '=';
		q[3] = left > 2 ? alphabet[v & 63] : '=';
		buf_add(out, q, pad || left > 2 ? 4 : left + 1);
	}
}

void
b64_encode(struct buf *out, const void *p, size_t n)
{
	encode(out, p, n, std_alphabet, true);
}

void
b64url_encode(struct buf *out, const void *p, size_t n)
{
	encode(out, p, n, url_alphabet, false);
}

static int
decode_all(struct buf *out, struct slice s, const char *alphabet)
{
	for (size_t i = 0; i < s.n; i += 4) {
		size_t k = s.n - i < 4 ? s.n - i : 4;
		uint32_t v = 0;
		char o[3];

		if (k == 1)
			return -1;
		for (size_t j = 0; j < 4; j++) {
			const char *at = NULL;

			if (j < k && s.p[i + j] != '\0')
				at = strchr(alphabet, s.p[i + j]);
			if (j < k && at == NULL)
				return -1;
			v = v << 6 | (at == NULL ? 0 : (uint32_t)(at - alphabet));
		}
		/* Bits behind the last byte must be zero: one text, one value. */
		if ((k == 2 && (v & 0xffff) != 0) || (k == 3 && (v & 0xff) != 0))
			return -1;
		o[0] = (char)(v >> 16);
		o[1] = (char)(v >> 8);
		o[2] = (char)v;
		if (buf_add(out, o, k - 1) != 0)
			return -1;
	}
	return 0;
}

static int
decode(struct buf *out, struct slice s, const char *alphabet)
{
	size_t before = out->len;
	int r = decode_all(out, s, alphabet);

	if (r != 0)
		out->len = before;
	return r;
}

int
b64_decode(struct buf *out, struct slice s)
{
	if (s.n % 4 != 0)
		return -1;
	if (s.n > 0 && s.p[s.n - 1] == '=')
		s.n--;
	if (s.n % 4 == 3 && s.p[s.n - 1] == '=')
		s.n--;
	return decode(out, s, std_alphabet);
}

int
b64url_decode(struct buf *out, struct slice s)
{
	return decode(out, s, url_alphabet);
}
