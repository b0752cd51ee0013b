/*
 * ca_mint - see ca.h. The hot half: leaves from a template.
 *
 * What is the same in all leaves (issuer, subject, key, extensions but the
 * name) is kept as DER; the certificate is written from its end to its start,
 * so that every length is known when its head is written.
 */
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "addr.h"
#include "ca.h"
#include "clock.h"
#include "rng.h"
#include "tls.h"

#define PART_MAX 512
#define TBS_MAX 2560
#define HOUR_MS 3600000LL

struct part {
	uint8_t p[PART_MAX];
	size_t n;
};

struct ca_leaf_key {
	struct secret *private;
	uint8_t public[160];
	size_t public_n;
	uint8_t id[20];		/* RFC 5280, 4.2.1.2 method 1 */
};

struct ca {
	EVP_PKEY *key;
	EVP_PKEY_CTX *sign;	/* initialised once */
	EVP_MD *sha256;
	const struct ca_names *names;
	char *cert;
	size_t cert_n;
	int64_t from_ms, to_ms;	/* the intermediate's */
	struct part issuer, exts, spki;
};

/* ecdsa-with-SHA256, no parameters (RFC 5758, 3.2) */
static const uint8_t sig_alg[] = { 0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48,
	0xce, 0x3d, 0x04, 0x03, 0x02 };
/* CN=Portreeve intercepted: constant, and no host name; the name stands in
 * subjectAltName alone. */
static const uint8_t subject[] = { 0x30, 0x20, 0x31, 0x1e, 0x30, 0x1c, 0x06,
	0x03, 0x55, 0x04, 0x03, 0x0c, 0x15, 'P', 'o', 'r', 't', 'r', 'e', 'e',
	'v', 'e', ' ', 'i', 'n', 't', 'e', 'r', 'c', 'e', 'p', 't', 'e', 'd' };
static const uint8_t version3[] = { 0xa0, 0x03, 0x02, 0x01, 0x02 };
/* basicConstraints critical {}, keyUsage critical digitalSignature,
 * extKeyUsage serverAuth */
static const uint8_t fixed_exts[] = {
	0x30, 0x0c, 0x06, 0x03, 0x55, 0x1d, 0x13, 0x01, 0x01, 0xff, 0x04, 0x02,
	0x30, 0x00,
	0x30, 0x0e, 0x06, 0x03, 0x55, 0x1d, 0x0f, 0x01, 0x01, 0xff, 0x04, 0x04,
	0x03, 0x02, 0x07, 0x80,
	0x30, 0x13, 0x06, 0x03, 0x55, 0x1d, 0x25, 0x04, 0x0c, 0x30, 0x0a, 0x06,
	0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01 };
/* the heads of subjectKeyIdentifier, authorityKeyIdentifier {[0] keyid} */
static const uint8_t ski_head[] = { 0x30, 0x1d, 0x06, 0x03, 0x55, 0x1d, 0x0e,
	0x04, 0x16, 0x04, 0x14 };
static const uint8_t aki_head[] = { 0x30, 0x1f, 0x06, 0x03, 0x55, 0x1d, 0x23,
	0x04, 0x18, 0x30, 0x16, 0x80, 0x14 };
static const uint8_t san_oid[] = { 0x06, 0x03, 0x55, 0x1d, 0x11 };

static void
part_add(struct part *t, const void *p, size_t n)
{
	ASSERT(n <= sizeof(t->p) - t->n);
	memcpy(t->p + t->n, p, n);
	t->n += n;
}

/* ---- the key of all leaves ---- */

struct ca_leaf_key *
ca_leaf_key_new(void)
{
	struct ca_leaf_key *k = base_calloc(1, sizeof(*k));
	unsigned char *p = NULL, point[65];
	EVP_PKEY *key;
	size_t point_n = 0;
	unsigned idn = 0;
	int n;

	tls_init();
	key = EVP_EC_gen("P-256");
	ASSERT(key != NULL);
	PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(key);

	ASSERT(p8 != NULL && (n = i2d_PKCS8_PRIV_KEY_INFO(p8, &p)) > 0);
	PKCS8_PRIV_KEY_INFO_free(p8);
	k->private = secret_new(p, (size_t)n);
	OPENSSL_clear_free(p, (size_t)n);
	p = NULL;
	n = i2d_PUBKEY(key, &p);
	ASSERT(n > 0 && (size_t)n <= sizeof(k->public));
	memcpy(k->public, p, (size_t)n);
	k->public_n = (size_t)n;
	OPENSSL_free(p);
	ASSERT(EVP_PKEY_get_octet_string_param(key, "pub", point,
	    sizeof(point), &point_n) == 1);
	/* An identifier, not a protection: RFC 5280 names SHA-1 here. */
	ASSERT(EVP_Digest(point, point_n, k->id, &idn, EVP_sha1(), NULL) == 1);
	EVP_PKEY_free(key);
	return k;
}

void
ca_leaf_key_free(struct ca_leaf_key *k)
{
	if (k == NULL)
		return;
	secret_free(k->private);
	free(k);
}

struct slice
ca_leaf_key_private(const struct ca_leaf_key *k)
{
	return secret_bytes(k->private);
}

struct slice
ca_leaf_key_public(const struct ca_leaf_key *k)
{
	return slice_make(k->public, k->public_n);
}

/* ---- the opened intermediate ---- */

static int64_t
to_ms(const ASN1_TIME *t)
{
	struct tm tm;

	ASSERT(ASN1_TIME_to_tm(t, &tm) == 1);
	return (int64_t)timegm(&tm) * 1000;
}

static int
fill_template(struct ca *c, X509 *x, const struct ca_leaf_key *lk)
{
	const ASN1_OCTET_STRING *id = X509_get0_subject_key_id(x);
	const unsigned char *name;
	size_t name_n;

	if (id == NULL || ASN1_STRING_length(id) != 20 ||
	    X509_NAME_get0_der(X509_get_subject_name(x), &name, &name_n) !=
	    1 || name_n > PART_MAX)
		return -1;
	part_add(&c->issuer, name, name_n);
	part_add(&c->spki, lk->public, lk->public_n);
	part_add(&c->exts, fixed_exts, sizeof(fixed_exts));
	part_add(&c->exts, ski_head, sizeof(ski_head));
	part_add(&c->exts, lk->id, 20);
	part_add(&c->exts, aki_head, sizeof(aki_head));
	part_add(&c->exts, ASN1_STRING_get0_data(id), 20);
	c->from_ms = to_ms(X509_get0_notBefore(x));
	c->to_ms = to_ms(X509_get0_notAfter(x));
	return 0;
}

struct ca *
ca_open(struct slice key, struct slice cert, const struct ca_names *names,
    const struct ca_leaf_key *leaf_key, struct err *err)
{
	const unsigned char *kp = (const unsigned char *)key.p;
	const unsigned char *cp = (const unsigned char *)cert.p;
	struct ca *c;
	X509 *x;

	tls_init();
	c = base_calloc(1, sizeof(*c));
	c->names = names;
	c->cert = slice_dup(cert);
	c->cert_n = cert.n;
	c->key = d2i_AutoPrivateKey(NULL, &kp, (long)key.n);
	x = d2i_X509(NULL, &cp, (long)cert.n);
	if (c->key == NULL || x == NULL || !EVP_PKEY_is_a(c->key, "EC") ||
	    X509_check_private_key(x, c->key) != 1 ||
	    fill_template(c, x, leaf_key) != 0) {
		err_set(err, "intermediate key and certificate do not belong "
		    "together or are malformed");
		X509_free(x);
		ca_free(c);
		return NULL;
	}
	X509_free(x);
	c->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	c->sign = EVP_PKEY_CTX_new(c->key, NULL);
	ASSERT(c->sha256 != NULL && c->sign != NULL);
	ASSERT(EVP_PKEY_sign_init(c->sign) == 1);
	ASSERT(EVP_PKEY_CTX_set_signature_md(c->sign, c->sha256) == 1);
	return c;
}

void
ca_free(struct ca *c)
{
	if (c == NULL)
		return;
	EVP_PKEY_CTX_free(c->sign);
	EVP_PKEY_free(c->key);
	EVP_MD_free(c->sha256);
	free(c->cert);
	free(c);
}

struct slice
ca_intermediate(const struct ca *c)
{
	return slice_make(c->cert, c->cert_n);
}

/* ---- writing DER backwards ---- */

struct back {
	uint8_t *start, *p, *end;	/* [p, end) is written */
};

static void
put(struct back *b, const void *p, size_t n)
{
	ASSERT((size_t)(b->p - b->start) >= n);
	b->p -= n;
	memcpy(b->p, p, n);
}

static void
put_head(struct back *b, uint8_t tag, size_t n)
{
	uint8_t h[4] = { tag };
	size_t k = 2;

	if (n < 0x80) {
		h[1] = (uint8_t)n;
	} else if (n < 0x100) {
		h[1] = 0x81;
		h[2] = (uint8_t)n;
		k = 3;
	} else {
		h[1] = 0x82;
		h[2] = (uint8_t)(n >> 8);
		h[3] = (uint8_t)n;
		k = 4;
	}
	put(b, h, k);
}

/* The head of all that was written since `end` was where p is. */
static void
put_head_since(struct back *b, uint8_t tag, const uint8_t *end)
{
	put_head(b, tag, (size_t)(end - b->p));
}

/* RFC 5280, 4.1.2.5: UTCTime through 2049. */
static void
put_time(struct back *b, int64_t ms)
{
	time_t t = (time_t)(ms / 1000);
	struct tm tm;
	char s[32];
	size_t n;

	ASSERT(gmtime_r(&t, &tm) != NULL);
	bool utc = tm.tm_year < 150;

	n = strftime(s, sizeof(s), "%Y%m%d%H%M%SZ", &tm);
	ASSERT(n == 15);
	put(b, s + (utc ? 2 : 0), n - (utc ? 2 : 0));
	put_head(b, utc ? 0x17 : 0x18, n - (utc ? 2 : 0));
}

static void
put_san(struct back *b, const char *host)
{
	const uint8_t *end = b->p;
	struct addr a;

	if (addr_parse_ip(slice_str(host), &a)) {
		put(b, a.ip, a.family == 4 ? 4 : 16);
		put_head_since(b, 0x87, end);	/* [7] iPAddress */
	} else {
		put(b, host, strlen(host));
		put_head_since(b, 0x82, end);	/* [2] dNSName */
	}
	put_head_since(b, 0x30, end);
	put_head_since(b, 0x04, end);
	put(b, san_oid, sizeof(san_oid));
	put_head_since(b, 0x30, end);
}

static void
put_tbs(struct back *b, const struct ca *c, const char *host, int64_t from,
    int64_t to)
{
	const uint8_t *end = b->p;
	uint8_t serial[16];

	put_san(b, host);
	put(b, c->exts.p, c->exts.n);
	put_head_since(b, 0x30, end);
	put_head_since(b, 0xa3, end);		/* [3] extensions */
	put(b, c->spki.p, c->spki.n);
	put(b, subject, sizeof(subject));
	const uint8_t *times = b->p;

	put_time(b, to);
	put_time(b, from);
	put_head_since(b, 0x30, times);
	put(b, c->issuer.p, c->issuer.n);
	put(b, sig_alg, sizeof(sig_alg));
	rng_bytes(serial, sizeof(serial));
	serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40);
	put(b, serial, sizeof(serial));
	put_head(b, 0x02, sizeof(serial));
	put(b, version3, sizeof(version3));
	put_head_since(b, 0x30, end);
}

/* Certificate ::= SEQUENCE { tbs, algorithm, BIT STRING } */
static int
sign_and_wrap(struct ca *c, const struct back *tbs, struct buf *out)
{
	uint8_t digest[32], sig[80], tail[120], head[4];
	size_t sig_n = sizeof(sig), tbs_n = (size_t)(tbs->end - tbs->p);
	struct back t = { tail, tail + sizeof(tail), tail + sizeof(tail) };
	struct back h = { head, head + sizeof(head), head + sizeof(head) };

	ASSERT(EVP_Digest(tbs->p, tbs_n, digest, NULL, c->sha256, NULL) == 1);
	ASSERT(EVP_PKEY_sign(c->sign, sig, &sig_n, digest, 32) == 1);
	put(&t, sig, sig_n);
	put(&t, "", 1);		/* no unused bits */
	put_head_since(&t, 0x03, t.end);
	put(&t, sig_alg, sizeof(sig_alg));
	put_head(&h, 0x30, tbs_n + (size_t)(t.end - t.p));
	buf_add(out, h.p, (size_t)(h.end - h.p));
	buf_add(out, tbs->p, tbs_n);
	return buf_add(out, t.p, (size_t)(t.end - t.p));
}

int
ca_mint(struct ca *c, struct slice host, struct buf *der_r,
    int64_t *expires_r, struct err *err)
{
	int64_t now = clock_wall_ms() - clock_offset_ms();
	int64_t from = now - HOUR_MS, to = now + CA_LEAF_HOURS * HOUR_MS;
	uint8_t tbs[TBS_MAX];
	struct back b = { tbs, tbs + TBS_MAX, tbs + TBS_MAX };
	char name[ADDR_HOST_MAX];

	if (!ca_name_allowed(c->names, host) ||
	    !addr_host_normalise(host, name)) {
		err_set(err, "host is not in the catalogue");
		return -1;
	}
	if (now >= c->to_ms) {
		err_set(err, "the intermediate certificate has expired");
		return -1;
	}
	from = from < c->from_ms ? c->from_ms : from;
	to = to > c->to_ms ? c->to_ms : to;
	put_tbs(&b, c, name, from, to);
	if (sign_and_wrap(c, &b, der_r) != 0) {
		err_set(err, "certificate does not fit");
		return -1;
	}
	*expires_r = to;
	return 0;
}
