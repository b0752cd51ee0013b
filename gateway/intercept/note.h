/*
 * note - signs the ledger's checkpoints: C2SP signed notes, Ed25519.
 *
 * The signer remembers what it has signed since it was made: a smaller tree
 * of the same origin, or another root for the same size, is refused. Whoever
 * takes over the recorder still cannot have two histories signed.
 * Sources: c2sp.org/signed-note, c2sp.org/tlog-checkpoint.
 */
#ifndef NOTE_H
#define NOTE_H

#include "base.h"
#include "buf.h"
#include "err.h"

#define NOTE_SEED 32
#define NOTE_TEXT_MAX 4096
#define NOTE_NAME_MAX 128	/* with NUL */

struct note_signer;

/* name: no space, no plus (a key name of signed-note). seed is copied into
 * memory that is locked and wiped. */
struct note_signer *note_signer_new(const char *name,
    const uint8_t seed[NOTE_SEED]) MUST_USE;
void note_signer_free(struct note_signer *s);	/* NULL-safe */
/* Appends the verifier key, without a newline. */
void note_vkey(const struct note_signer *s, struct buf *out);
/* text: a checkpoint (origin, size, root, extension lines). Appends the
 * signed note. -1 and err: malformed, or contradicts an earlier one. */
int note_sign(struct note_signer *s, struct slice text, struct buf *out,
    struct err *err) MUST_USE;

#endif
