/* note - see note.h. */
#include "note.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec.h"
#include "secret.h"

#define ALG_ED25519 1
#define ROOT 32

struct note_signer {
	char name[NOTE_NAME_MAX];
	struct secret *key;
	uint8_t public[33];	/* the algorithm's byte, then the key */
	uint8_t id[4];
	bool signed_one;
	uint64_t size;
	uint8_t root[ROOT];
	char *origin;
};

struct note_signer *
note_signer_new(const char *name, const uint8_t seed[NOTE_SEED])
{
	struct note_signer *s = base_calloc(1, sizeof(*s));
	uint8_t sk[crypto_sign_SECRETKEYBYTES], sum[32];
	crypto_hash_sha256_state h;

	ASSERT(sodium_init() >= 0);
	ASSERT(name[0] != '\0' && strlen(name) < sizeof(s->name) &&
	    strpbrk(name, "+ \t\n") == NULL);
	memcpy(s->name, name, strlen(name) + 1);
	crypto_sign_seed_keypair(s->public + 1, sk, seed);
	s->key = secret_new(sk, sizeof(sk));
	explicit_bzero(sk, sizeof(sk));
	s->public[0] = ALG_ED25519;
	crypto_hash_sha256_init(&h);
	crypto_hash_sha256_update(&h, (const unsigned char *)name,
	    strlen(name));
	crypto_hash_sha256_update(&h, (const unsigned char *)"\n", 1);
	crypto_hash_sha256_update(&h, s->public, sizeof(s->public));
	crypto_hash_sha256_final(&h, sum);
	memcpy(s->id, sum, sizeof(s->id));
	return s;
}

void
note_signer_free(struct note_signer *s)
{
	if (s == NULL)
		return;
	secret_free(s->key);
	free(s->origin);
	free(s);
}

void
note_vkey(const struct note_signer *s, struct buf *out)
{
	char hex[9];

	hex_encode(s->id, sizeof(s->id), hex);
	buf_add_str(out, s->name);
	buf_add_char(out, '+');
	buf_add_str(out, hex);
	buf_add_char(out, '+');
	b64_encode(out, s->public, sizeof(s->public));
}

struct checkpoint {
	struct slice origin;
	uint64_t size;
	uint8_t root[ROOT];
};

/* Nothing but printable text in lines; each line ends. */
static bool
text_ok(struct slice t)
{
	if (t.n == 0 || t.n > NOTE_TEXT_MAX || t.p[t.n - 1] != '\n')
		return false;
	for (size_t i = 0; i < t.n; i++) {
		unsigned char c = (unsigned char)t.p[i];

		if ((c < 0x20 && c != '\n') || c == 0x7f)
			return false;
		if (c == '\n' && i > 0 && t.p[i - 1] == '\n')
			return false;	/* an empty line ends the text */
	}
	return t.p[0] != '\n';
}

static int
parse(struct slice text, struct checkpoint *c, struct err *err)
{
	struct slice rest = text, size, root;
	struct buf raw;
	int r;

	if (!text_ok(text)) {
		err_set(err, "checkpoint: not text of complete lines");
		return -1;
	}
	c->origin = slice_cut(&rest, '\n');
	size = slice_cut(&rest, '\n');
	root = slice_cut(&rest, '\n');
	if (!slice_to_u64(size, &c->size) || (size.n > 1 && size.p[0] == '0')) {
		err_set(err, "checkpoint: line 2 is no tree size");
		return -1;
	}
	buf_init(&raw, 64);
	r = root.n == 44 && slice_chr(root, '-') < 0 && slice_chr(root, '_') <
	    0 && b64_decode(&raw, root) == 0 && raw.len == ROOT ? 0 : -1;
	if (r == 0)
		memcpy(c->root, buf_data(&raw), ROOT);
	else
		err_set(err, "checkpoint: line 3 is no base64 of 32 bytes");
	buf_free(&raw);
	return r;
}

/* One history only. */
static int
check_history(const struct note_signer *s, const struct checkpoint *c,
    struct err *err)
{
	if (!s->signed_one || !slice_is(c->origin, s->origin))
		return 0;
	if (c->size < s->size) {
		err_set(err, "checkpoint: the tree shrank from %llu to %llu "
		    "rows", (unsigned long long)s->size,
		    (unsigned long long)c->size);
		return -1;
	}
	if (c->size == s->size && memcmp(c->root, s->root, ROOT) != 0) {
		err_set(err, "checkpoint: another root was signed for %llu "
		    "rows", (unsigned long long)c->size);
		return -1;
	}
	return 0;
}

int
note_sign(struct note_signer *s, struct slice text, struct buf *out,
    struct err *err)
{
	uint8_t sig[4 + crypto_sign_BYTES];
	struct checkpoint c;

	if (parse(text, &c, err) != 0 || check_history(s, &c, err) != 0)
		return -1;
	memcpy(sig, s->id, 4);
	crypto_sign_detached(sig + 4, NULL, (const unsigned char *)text.p,
	    text.n, (const unsigned char *)secret_bytes(s->key).p);
	buf_add_slice(out, text);
	buf_add_str(out, "\n\xe2\x80\x94 ");	/* U+2014 */
	buf_add_str(out, s->name);
	buf_add_char(out, ' ');
	b64_encode(out, sig, sizeof(sig));
	buf_add_char(out, '\n');
	if (!s->signed_one || !slice_is(c.origin, s->origin)) {
		free(s->origin);
		s->origin = slice_dup(c.origin);
	}
	s->signed_one = true;
	s->size = c.size;
	memcpy(s->root, c.root, ROOT);
	return 0;
}
