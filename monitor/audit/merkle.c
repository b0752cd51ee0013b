/* merkle - see merkle.h. */
#include "merkle.h"

#include <openssl/evp.h>

/* Fetched once: fetching by name costs more than hashing a row. */
static EVP_MD *md;
static EVP_MD_CTX *ctx;

void
merkle_sha256(const struct slice *parts, size_t n, uint8_t out[MERKLE_HASH])
{
	unsigned len = MERKLE_HASH;

	if (md == NULL) {
		md = EVP_MD_fetch(NULL, "SHA256", NULL);
		ctx = EVP_MD_CTX_new();
		ASSERT(md != NULL && ctx != NULL);
	}
	ASSERT(EVP_DigestInit_ex(ctx, md, NULL) == 1);
	for (size_t i = 0; i < n; i++)
		ASSERT(EVP_DigestUpdate(ctx, parts[i].p, parts[i].n) == 1);
	ASSERT(EVP_DigestFinal_ex(ctx, out, &len) == 1 && len == MERKLE_HASH);
}

void
merkle_leaf(struct slice data, uint8_t out[MERKLE_HASH])
{
	struct slice parts[2] = { slice_make("\0", 1), data };

	merkle_sha256(parts, 2, out);
}

static void
join(const uint8_t *left, const uint8_t *right, uint8_t *out)
{
	struct slice parts[3] = { slice_make("\1", 1),
		slice_make(left, MERKLE_HASH), slice_make(right, MERKLE_HASH) };

	merkle_sha256(parts, 3, out);
}

void
merkle_add(struct merkle *m, const uint8_t leaf[MERKLE_HASH])
{
	uint8_t h[MERKLE_HASH];

	memcpy(h, leaf, MERKLE_HASH);
	/* As in binary addition: each one bit at the low end carries. */
	for (uint64_t s = m->size; s & 1; s >>= 1)
		join(m->node[--m->depth], h, h);
	memcpy(m->node[m->depth++], h, MERKLE_HASH);
	m->size++;
}

void
merkle_root(const struct merkle *m, uint8_t out[MERKLE_HASH])
{
	if (m->depth == 0) {
		merkle_sha256(NULL, 0, out);
		return;
	}
	memcpy(out, m->node[m->depth - 1], MERKLE_HASH);
	for (unsigned i = m->depth - 1; i-- > 0;)
		join(m->node[i], out, out);
}

struct slice
merkle_stack(const struct merkle *m)
{
	return slice_make(m->node, (size_t)m->depth * MERKLE_HASH);
}

bool
merkle_restore(struct merkle *m, uint64_t size, struct slice stack)
{
	unsigned depth = (unsigned)__builtin_popcountll(size);

	if (stack.n != (size_t)depth * MERKLE_HASH)
		return false;
	memset(m, 0, sizeof(*m));
	m->size = size;
	m->depth = depth;
	if (stack.n != 0)
		memcpy(m->node, stack.p, stack.n);
	return true;
}
