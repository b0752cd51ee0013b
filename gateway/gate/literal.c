/* literal - see literal.h. A filter over the hash of each four bytes of the
 * text; what passes is compared with the literals that begin so. */
#include "literal.h"

#include <stdlib.h>

#include "buf.h"
#include "codec.h"

#define HASH_BITS 13
#define HEADS (1u << HASH_BITS)
#define ENTRIES_MAX (4096 * 8)
#define ENCODED_MIN 8		/* bytes of a literal sought in base64 */
#define ENCODED_CHARS 8		/* characters of base64 that may stand for it */
#define BLOB_MAX (64u << 20)
#define COMPARES_BASE 100000
#define COMPARES_PER_BYTE 16

struct entry {
	uint32_t off, len, tag;
	uint32_t next;		/* index + 1 */
	bool encoded;
};

struct literals {
	struct buf blob;
	struct entry *v;
	uint32_t n, cap;
	uint32_t heads[HEADS];
	uint64_t filter[HEADS / 64];
};

struct literals *
literals_new(void)
{
	struct literals *l = base_calloc(1, sizeof(*l));

	buf_init(&l->blob, BLOB_MAX);
	return l;
}

void
literals_free(struct literals *l)
{
	if (l == NULL)
		return;
	buf_wipe_free(&l->blob);
	free(l->v);
	free(l);
}

void
literals_reset(struct literals *l)
{
	if (l->n == 0)
		return;
	buf_wipe_free(&l->blob);
	l->n = 0;
	memset(l->heads, 0, sizeof(l->heads));
	memset(l->filter, 0, sizeof(l->filter));
}

bool
literals_empty(const struct literals *l)
{
	return l == NULL || l->n == 0;
}

static inline uint32_t
hash4(const char *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return v * 0x9e3779b1u >> (32 - HASH_BITS);
}

static int
entry_add(struct literals *l, struct slice s, uint32_t tag, bool encoded)
{
	uint32_t h = hash4(s.p);

	for (uint32_t i = l->heads[h]; i != 0; i = l->v[i - 1].next)
		if (slice_eq(s, slice_make(buf_data(&l->blob) +
		    l->v[i - 1].off, l->v[i - 1].len)))
			return 0;
	if (l->n == ENTRIES_MAX || s.n > buf_room(&l->blob))
		return -1;
	if (l->n == l->cap) {
		l->cap = l->cap == 0 ? 32 : l->cap * 2;
		l->v = base_realloc(l->v, l->cap * sizeof(*l->v));
	}
	l->v[l->n] = (struct entry){ .off = (uint32_t)l->blob.len,
		.len = (uint32_t)s.n, .tag = tag, .next = l->heads[h],
		.encoded = encoded };
	l->heads[h] = ++l->n;
	l->filter[h / 64] |= (uint64_t)1 << h % 64;
	return buf_add_slice(&l->blob, s);
}

/* The base64 characters that s alone decides, when `lead` bytes of something
 * else share its first group. */
static int
encoded_add(struct literals *l, struct slice s, unsigned lead, uint32_t tag)
{
	struct slice in = slice_sub(s, lead == 0 ? 0 : 3 - lead, s.n);
	struct buf std, url;
	int r = 0;

	in.n -= in.n % 3;
	if (in.n / 3 * 4 < ENCODED_CHARS)
		return 0;
	buf_init(&std, 2 * LITERAL_MAX);
	buf_init(&url, 2 * LITERAL_MAX);
	b64_encode(&std, in.p, in.n);
	b64url_encode(&url, in.p, in.n);
	r = entry_add(l, buf_slice(&std), tag, true);
	if (r == 0 && !slice_eq(buf_slice(&std), buf_slice(&url)))
		r = entry_add(l, buf_slice(&url), tag, true);
	buf_wipe_free(&std);
	buf_wipe_free(&url);
	return r;
}

int
literals_add(struct literals *l, struct slice text, uint32_t tag)
{
	if (text.n < LITERAL_MIN || text.n > LITERAL_MAX)
		return -1;
	if (entry_add(l, text, tag, false) != 0)
		return -1;
	for (unsigned lead = 0; lead < 3 && text.n >= ENCODED_MIN; lead++)
		if (encoded_add(l, text, lead, tag) != 0)
			return -1;
	return 0;
}

int
literals_scan(struct literals *l, struct slice text, literal_fn *fn, void *ctx)
{
	uint64_t budget = COMPARES_BASE + COMPARES_PER_BYTE * (uint64_t)text.n;
	const char *blob = buf_data(&l->blob);

	if (l->n == 0)
		return 0;
	for (size_t i = 0; i + LITERAL_MIN <= text.n; i++) {
		uint32_t h = hash4(text.p + i);

		if ((l->filter[h / 64] >> h % 64 & 1) == 0)
			continue;
		for (uint32_t k = l->heads[h]; k != 0; k = l->v[k - 1].next) {
			const struct entry *e = &l->v[k - 1];
			struct literal_hit hit = { .start = (uint32_t)i,
				.end = (uint32_t)i + e->len, .tag = e->tag,
				.encoded = e->encoded };

			if (budget-- == 0)
				return -1;
			if (e->len > text.n - i ||
			    memcmp(text.p + i, blob + e->off, e->len) != 0)
				continue;
			budget -= budget < e->len / 8 ? budget : e->len / 8;
			if (!fn(ctx, &hit))
				return -1;
		}
	}
	return 0;
}
