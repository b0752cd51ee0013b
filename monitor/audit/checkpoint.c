/* checkpoint - see checkpoint.h. */
#include "checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec.h"

#define DASH "\xe2\x80\x94 "		/* U+2014 and a space */
#define ALG_ED25519 1
#define SIG_BYTES 64
#define FILE_MAX 65536

void
checkpoint_format(struct buf *b, struct slice origin, uint64_t size,
    const uint8_t root[MERKLE_HASH])
{
	buf_add_slice(b, origin);
	buf_addf(b, "\n%" PRIu64 "\n", size);
	b64_encode(b, root, MERKLE_HASH);
	buf_add_char(b, '\n');
}

/* Decodes exactly n bytes of standard base64. */
static bool
decode_exact(struct slice s, uint8_t *out, size_t n)
{
	struct buf b;
	bool ok;

	buf_init(&b, n + 3);
	/* The URL alphabet is no part of this format. */
	ok = s.n == (n + 2) / 3 * 4 && slice_chr(s, '-') < 0 &&
	    slice_chr(s, '_') < 0 && b64_decode(&b, s) == 0 && b.len == n;
	if (ok) {
		struct buf again;

		/* Only the canonical spelling: unused bits are zero. */
		buf_init(&again, s.n + 4);
		b64_encode(&again, buf_data(&b), n);
		ok = slice_eq(buf_slice(&again), s);
		buf_free(&again);
		memcpy(out, buf_data(&b), n);
	}
	buf_free(&b);
	return ok;
}

/* Key names and origins: not empty, no space, control character or '+'. */
static bool
name_ok(struct slice s)
{
	if (s.n == 0 || s.n > CHECKPOINT_NAME_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == '+' ||
		    s.p[i] == 0x7f)
			return false;
	return true;
}

static bool
has_control(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (((unsigned char)s.p[i] < ' ' && s.p[i] != '\n') ||
		    s.p[i] == 0x7f)
			return true;
	return false;
}

static int
parse_text(struct slice text, struct checkpoint *c, struct err *err)
{
	struct slice rest = text;
	struct slice size;

	c->origin = slice_cut(&rest, '\n');
	size = slice_cut(&rest, '\n');
	if (c->origin.n == 0) {
		err_set(err, "checkpoint: the first line must name the origin");
		return -1;
	}
	if (!slice_to_u64(size, &c->size) ||
	    (size.n > 1 && size.p[0] == '0') || c->size > INT64_MAX) {
		err_set(err, "checkpoint: the second line must be the number "
		    "of rows, without leading zeros");
		return -1;
	}
	if (!decode_exact(slice_cut(&rest, '\n'), c->root, MERKLE_HASH)) {
		err_set(err, "checkpoint: the third line must be the base64 "
		    "of a 32 byte root");
		return -1;
	}
	while (rest.n > 0)
		if (slice_cut(&rest, '\n').n == 0) {
			err_set(err, "checkpoint: an empty extension line");
			return -1;
		}
	return 0;
}

int
checkpoint_parse(struct slice note, struct checkpoint *c_r, struct err *err)
{
	struct checkpoint c = { 0 };
	ssize_t at = -1;

	if (note.n > CHECKPOINT_NOTE_MAX) {
		err_set(err, "checkpoint: longer than %d bytes",
		    CHECKPOINT_NOTE_MAX);
		return -1;
	}
	if (has_control(note)) {
		err_set(err, "checkpoint: control character in the note");
		return -1;
	}
	for (size_t i = 0; i + 1 < note.n; i++)
		if (note.p[i] == '\n' && note.p[i + 1] == '\n')
			at = (ssize_t)i;
	if (at < 0 || note.p[note.n - 1] != '\n' ||
	    note.n == (size_t)at + 2) {
		err_set(err, "checkpoint: not a signed note (text, an empty "
		    "line, signature lines that end in a newline)");
		return -1;
	}
	c.text = slice_sub(note, 0, (size_t)at + 1);
	c.sigs = slice_sub(note, (size_t)at + 2, note.n);
	if (parse_text(c.text, &c, err) != 0)
		return -1;
	struct slice rest = c.sigs;
	unsigned n = 0;

	while (rest.n > 0) {
		struct slice line = slice_cut(&rest, '\n');

		if (!slice_starts(line, DASH) || ++n > CHECKPOINT_SIGS_MAX) {
			err_set(err, "checkpoint: signature line %u must "
			    "begin with an em dash and a space, at most %d of "
			    "them", n, CHECKPOINT_SIGS_MAX);
			return -1;
		}
	}
	*c_r = c;
	return 0;
}

static const struct checkpoint_key *
find_key(const struct checkpoint_keys *keys, struct slice name,
    const uint8_t id[4])
{
	for (size_t i = 0; i < keys->n; i++)
		if (slice_is(name, keys->key[i].name) &&
		    memcmp(id, keys->key[i].id, 4) == 0)
			return &keys->key[i];
	return NULL;
}

int
checkpoint_verify(const struct checkpoint *c,
    const struct checkpoint_keys *keys, struct err *err)
{
	struct slice rest = c->sigs;
	unsigned good = 0;

	while (rest.n > 0) {
		struct slice line = slice_cut(&rest, '\n');
		struct slice sig = slice_sub(line, strlen(DASH), line.n);
		struct slice name = slice_cut(&sig, ' ');
		uint8_t raw[4 + SIG_BYTES];
		const struct checkpoint_key *k;

		/* Others may sign in other algorithms, with other lengths. */
		if (!name_ok(name) || !decode_exact(sig, raw, sizeof(raw)))
			continue;
		if ((k = find_key(keys, name, raw)) == NULL)
			continue;
		if (crypto_sign_verify_detached(raw + 4,
		    (const unsigned char *)c->text.p, c->text.n, k->pub) != 0) {
			err_set(err, "the signature of key %s does not verify",
			    k->name);
			return -1;
		}
		good++;
	}
	if (good == 0) {
		err_set(err, "no signature by a key of ours");
		return -1;
	}
	return 0;
}

int
checkpoint_key_parse(struct slice vkey, struct checkpoint_key *k_r,
    struct err *err)
{
	struct checkpoint_key k = { 0 };
	struct slice rest = vkey;
	struct slice name = slice_cut(&rest, '+');
	struct slice hex = slice_cut(&rest, '+');
	uint8_t raw[33], sum[MERKLE_HASH], id[4];

	if (!name_ok(name) || !hex_decode(hex, id, 4) ||
	    !decode_exact(rest, raw, sizeof(raw)) || raw[0] != ALG_ED25519) {
		err_set(err, "not a verifier key: it looks like "
		    "NAME+8 hex digits+base64 of an Ed25519 key");
		return -1;
	}
	struct slice parts[3] = { name, SLICE("\n"),
		slice_make(raw, sizeof(raw)) };

	merkle_sha256(parts, 3, sum);
	if (memcmp(sum, id, 4) != 0) {
		err_set(err, "verifier key: its id %.*s does not belong to "
		    "this name and key", SLICE_FMT(hex));
		return -1;
	}
	memcpy(k.name, name.p, name.n);
	memcpy(k.id, id, 4);
	memcpy(k.pub, raw + 1, 32);
	*k_r = k;
	return 0;
}

int
checkpoint_keys_parse(struct slice text, const char *file,
    struct checkpoint_keys *k_r, struct err *err)
{
	struct checkpoint_keys keys = { 0 };

	for (int line = 1; text.n > 0; line++) {
		struct slice l = slice_trim(slice_cut(&text, '\n'));
		struct err why = { 0 };

		if (l.n == 0 || l.p[0] == '#')
			continue;
		if (keys.n == CHECKPOINT_KEYS_MAX) {
			err_at(err, file, line, 1, "more than %d keys",
			    CHECKPOINT_KEYS_MAX);
			return -1;
		}
		if (checkpoint_key_parse(l, &keys.key[keys.n], &why) != 0) {
			err_at(err, file, line, 1, "%s", why.text);
			return -1;
		}
		keys.n++;
	}
	if (keys.n == 0) {
		err_at(err, file, 0, 0, "no verifier key in it");
		return -1;
	}
	*k_r = keys;
	return 0;
}

int
checkpoint_keys_load(const char *file, struct checkpoint_keys *k_r,
    struct err *err)
{
	FILE *f = fopen(file, "re");
	char *text;
	size_t n;
	int r;

	if (f == NULL) {
		err_at(err, file, 0, 0, "%s", strerror(errno));
		return -1;
	}
	text = base_calloc(1, FILE_MAX);
	n = fread(text, 1, FILE_MAX, f);
	if (n == FILE_MAX || ferror(f)) {
		err_at(err, file, 0, 0, "too long for a key file");
		r = -1;
	} else {
		r = checkpoint_keys_parse(slice_make(text, n), file, k_r, err);
	}
	fclose(f);
	free(text);
	return r;
}
