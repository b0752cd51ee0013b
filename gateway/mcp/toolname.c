/* toolname - see toolname.h. */
#include "toolname.h"

#include <sodium/crypto_hash_sha256.h>
#include <stdio.h>

#include "codec.h"

#define HASH_BYTES 4
#define HASH_TEXT (2 * HASH_BYTES)

static void
hash_text(struct slice s, char out[HASH_TEXT + 1])
{
	uint8_t h[crypto_hash_sha256_BYTES];

	crypto_hash_sha256(h, (const uint8_t *)s.p, s.n);
	hex_encode(h, HASH_BYTES, out);
}

void
toolname_prefix(const char *connector, char out[TOOLNAME_PREFIX_MAX + 1])
{
	size_t n = strlen(connector);
	char hash[HASH_TEXT + 1];

	if (n <= TOOLNAME_PREFIX_MAX) {
		memcpy(out, connector, n + 1);
		return;
	}
	hash_text(slice_str(connector), hash);
	snprintf(out, TOOLNAME_PREFIX_MAX + 1, "%.*s-%s",
	    TOOLNAME_PREFIX_MAX - HASH_TEXT - 1, connector, hash);
}

static bool
plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || c == '_' || c == '-';
}

bool
toolname_make(const char *connector, struct slice tool, bool hashed,
    char out[TOOLNAME_MAX + 1])
{
	char prefix[TOOLNAME_PREFIX_MAX + 1], hash[HASH_TEXT + 1];
	size_t at, room;

	toolname_prefix(connector, prefix);
	at = strlen(prefix) + 2;
	room = TOOLNAME_MAX - at;
	for (size_t i = 0; i < tool.n; i++)
		hashed |= !plain(tool.p[i]);
	hashed |= tool.n > room || tool.n == 0;
	snprintf(out, TOOLNAME_MAX + 1, "%s__", prefix);
	if (!hashed) {
		memcpy(out + at, tool.p, tool.n);
		out[at + tool.n] = '\0';
		return true;
	}
	hash_text(tool, hash);
	room -= HASH_TEXT + 1;
	for (size_t i = 0; i < tool.n && i < room; i++)
		out[at++] = plain(tool.p[i]) ? tool.p[i] : '_';
	snprintf(out + at, HASH_TEXT + 2, "_%s", hash);
	return false;
}

bool
toolname_split(struct slice name, struct slice *prefix_r,
    struct slice *rest_r)
{
	ssize_t at = slice_find(name, SLICE("__"));

	if (at <= 0 || (size_t)at + 2 == name.n)
		return false;
	*prefix_r = slice_sub(name, 0, (size_t)at);
	*rest_r = slice_sub(name, (size_t)at + 2, SIZE_MAX);
	return true;
}
