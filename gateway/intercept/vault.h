/*
 * vault - all that must outlive the keeper and must not leak, in one sealed
 * file of the state directory.
 *
 * keeper.sealed: "PRVAULT1", 24 bytes of nonce, XChaCha20-Poly1305 of the
 * packed content, under a key derived from the 32 bytes of keeper.key, which may
 * lie elsewhere. The root CA key lies inside once more under a key of its own and is opened only
 * by vault_open_root(). Every change is written to a new file that replaces
 * the old one; a change that cannot be written does not happen.
 *
 * Beside it, for everybody: ca.pem (the root certificate) and ledger.pub (the
 * verifier key of checkpoints).
 */
#ifndef VAULT_H
#define VAULT_H

#include "base.h"
#include "buf.h"
#include "err.h"
#include "secret.h"

#define VAULT_CREDS_MAX 4096
#define VAULT_VALUE_MAX 65536
#define VAULT_NAME_MAX 64	/* [a-z0-9._-], starting with a letter or digit */

struct vault;

struct vault_cred {
	char name[VAULT_NAME_MAX + 1];
	struct secret *value;
	int64_t set_ms;		/* wall clock */
};

/* dirfd is borrowed until vault_free(). The first start makes keeper.key,
 * keeper.sealed and all keys; later ones never do: a missing or unreadable
 * file is an error that says what to do. One vault a directory (locked).
 * keyfd: an open file of 32 bytes to take for keeper.key (borrowed for the
 * call, never written; a keeper.key beside the vault is then an error), or -1. */
struct vault *vault_open(int dirfd, int keyfd, struct err *err) MUST_USE;
void vault_free(struct vault *v);		/* NULL-safe */
/* Writes ca.pem and ledger.pub anew when their content differs. */
int vault_publish(struct vault *v, struct slice vkey, struct err *err)
    MUST_USE;

/* Borrowed until the vault changes. */
const char *vault_node(const struct vault *v);	/* "portreeve-1a2b3c4d" */
struct slice vault_ledger_seed(const struct vault *v);
struct slice vault_mac_key(const struct vault *v);
struct slice vault_root_cert(const struct vault *v);
/* Empty before the first vault_set_intermediate(). */
struct slice vault_intermediate_key(const struct vault *v);
struct slice vault_intermediate_cert(const struct vault *v);
const uint8_t *vault_intermediate_digest(const struct vault *v); /* 32 */

/* The root key, opened; *owns* by caller, who frees it at once. */
struct secret *vault_open_root(const struct vault *v, struct err *err)
    MUST_USE;
/* *takes* key in any case. digest: of the names it was issued for. */
int vault_set_intermediate(struct vault *v, struct secret *key,
    struct slice cert, const uint8_t digest[32], struct err *err) MUST_USE;

bool vault_name_ok(struct slice name);
/* Sorted by name; NULL at the end. */
const struct vault_cred *vault_cred_at(const struct vault *v, size_t i);
const struct vault_cred *vault_cred(const struct vault *v,
    struct slice name);
/* *takes* value in any case. */
int vault_cred_set(struct vault *v, struct slice name, struct secret *value,
    int64_t now_ms, struct err *err) MUST_USE;
/* 0; -1 and err: not there, or not written. */
int vault_cred_remove(struct vault *v, struct slice name, struct err *err)
    MUST_USE;

#endif
