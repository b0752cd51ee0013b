/*
 * ca - the interception authority: a root, an intermediate that cannot leave
 * the catalogue, and leaves minted in microseconds.
 *
 * The root signs intermediates only. The intermediate carries critical name
 * constraints: the catalogue's DNS names are permitted, all IP addresses are
 * excluded but those the catalogue names; and ca_mint() itself refuses every
 * other host. A leaf is put together from a DER template and signed once; all
 * leaves share one key, drawn at each start of the keeper.
 *
 * Times are those of the machine's clock, never of an injected one: clients
 * judge them.
 * Sources: RFC 5280 (certificates, 4.2.1.10 name constraints), RFC 5758
 * (ecdsa-with-SHA256), RFC 6125/9525 (names in subjectAltName only), X.690.
 */
#ifndef CA_H
#define CA_H

#include "base.h"
#include "buf.h"
#include "err.h"
#include "secret.h"

#define CA_ROOT_DAYS (5 * 365)
#define CA_INTERMEDIATE_DAYS 90
#define CA_RENEW_DAYS 30	/* a new intermediate when less is left */
#define CA_LEAF_HOURS 24
#define CA_CERT_MAX 65536
#define CA_HOSTS_MAX 2048

/* The hosts that may be intercepted. */
struct ca_names;

/* hosts: names, "*.name" (every name below it), IP literals. Duplicates are
 * taken once. NULL and err for what is no host. */
struct ca_names *ca_names_new(const struct slice *hosts, size_t n,
    struct err *err) MUST_USE;
void ca_names_free(struct ca_names *names);	/* NULL-safe */
size_t ca_names_count(const struct ca_names *names);
/* host in any spelling addr_host_normalise() takes. */
bool ca_name_allowed(const struct ca_names *names, struct slice host);
/* Equal for equal sets, in whatever order they were given. */
void ca_names_digest(const struct ca_names *names, uint8_t out[32]);

/* Keys are PKCS#8 DER in secrets; certificates are DER. */
void ca_root_new(const char *node, struct secret **key_r,
    struct buf *cert_r);
int ca_intermediate_new(struct slice root_key, struct slice root_cert,
    const struct ca_names *names, struct secret **key_r, struct buf *cert_r,
    struct err *err) MUST_USE;
/* Days until notAfter, negative when past; -1 as well when malformed. */
int ca_days_left(struct slice cert);
/* Appends PEM. */
void ca_pem(struct buf *out, struct slice cert);

struct ca_leaf_key;	/* what all leaves certify */

struct ca_leaf_key *ca_leaf_key_new(void) MUST_USE;
void ca_leaf_key_free(struct ca_leaf_key *k);	/* NULL-safe */
/* Borrowed. PKCS#8, and SubjectPublicKeyInfo. */
struct slice ca_leaf_key_private(const struct ca_leaf_key *k);
struct slice ca_leaf_key_public(const struct ca_leaf_key *k);

struct ca;		/* an opened intermediate */

/* names and leaf_key are borrowed until ca_free(). */
struct ca *ca_open(struct slice key, struct slice cert,
    const struct ca_names *names, const struct ca_leaf_key *leaf_key,
    struct err *err) MUST_USE;
void ca_free(struct ca *c);			/* NULL-safe */
struct slice ca_intermediate(const struct ca *c);	/* DER, borrowed */
/* Appends the leaf's DER. *expires_r: wall ms of notAfter (real clock).
 * -1 and err: the host is not allowed, or the intermediate has expired. */
int ca_mint(struct ca *c, struct slice host, struct buf *der_r,
    int64_t *expires_r, struct err *err) MUST_USE;

#endif
