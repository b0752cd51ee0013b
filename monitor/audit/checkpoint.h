/*
 * checkpoint - the signed head of the ledger: C2SP tlog-checkpoint text in a
 * C2SP signed note, Ed25519.
 *
 *	portreeve/ledger/0123456789abcdef      origin: which log
 *	1234                                   size: rows covered
 *	<base64 of the 32 byte root>
 *	                                       (empty line)
 *	— keyname <base64 of 4 byte key id and 64 byte signature>
 *
 * Parsing is strict; nothing is copied. Sources: c2sp.org/tlog-checkpoint,
 * c2sp.org/signed-note.
 */
#ifndef CHECKPOINT_H
#define CHECKPOINT_H

#include "base.h"
#include "buf.h"
#include "err.h"
#include "merkle.h"

#define CHECKPOINT_NOTE_MAX 16384	/* bytes of one signed note */
#define CHECKPOINT_SIGS_MAX 16
#define CHECKPOINT_NAME_MAX 255
#define CHECKPOINT_KEYS_MAX 16

/* Borrows from the note. */
struct checkpoint {
	struct slice origin;
	uint64_t size;
	uint8_t root[MERKLE_HASH];
	struct slice text;	/* what is signed, with its last newline */
	struct slice sigs;	/* the signature lines */
};

struct checkpoint_key {
	char name[CHECKPOINT_NAME_MAX + 1];
	uint8_t id[4];
	uint8_t pub[32];
};

struct checkpoint_keys {
	struct checkpoint_key key[CHECKPOINT_KEYS_MAX];
	size_t n;
};

/* The text to be signed. */
void checkpoint_format(struct buf *b, struct slice origin, uint64_t size,
    const uint8_t root[MERKLE_HASH]);
/* 0, or -1 and err naming what is wrong. */
int checkpoint_parse(struct slice note, struct checkpoint *c_r,
    struct err *err) MUST_USE;
/*
 * 0 when a key of ours signed it; -1 and err otherwise. Signatures of keys we
 * do not know are ignored; a wrong one of a key we know refuses the note.
 */
int checkpoint_verify(const struct checkpoint *c,
    const struct checkpoint_keys *keys, struct err *err) MUST_USE;

/* "name+8 hex digits+base64 of 0x01 and the public key" (C2SP vkey). */
int checkpoint_key_parse(struct slice vkey, struct checkpoint_key *k_r,
    struct err *err) MUST_USE;
/* One vkey a line, empty lines and # comments skipped; at least one. */
int checkpoint_keys_parse(struct slice text, const char *file,
    struct checkpoint_keys *k_r, struct err *err) MUST_USE;
int checkpoint_keys_load(const char *file, struct checkpoint_keys *k_r,
    struct err *err) MUST_USE;

#endif
