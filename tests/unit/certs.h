/* certs - certificates for tests, made with OpenSSL's X.509 functions. */
#ifndef CERTS_H
#define CERTS_H

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base.h"

struct cert {
	EVP_PKEY *key;
	X509 *x;
	char *der, *pem, *key_der;
	size_t der_n, pem_n, key_der_n;
};

static inline void
cert_ext(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX v;
	X509_EXTENSION *e;

	X509V3_set_ctx(&v, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &v, nid, value);
	ASSERT(e != NULL && X509_add_ext(x, e, -1) == 1);
	X509_EXTENSION_free(e);
}

static inline void
cert_texts(struct cert *c)
{
	BIO *b = BIO_new(BIO_s_mem());
	unsigned char *p = NULL;
	char *s;

	c->der_n = (size_t)i2d_X509(c->x, &p);
	c->der = slice_dup(slice_make(p, c->der_n));
	OPENSSL_free(p);
	p = NULL;
	c->key_der_n = (size_t)i2d_PrivateKey(c->key, &p);
	c->key_der = slice_dup(slice_make(p, c->key_der_n));
	OPENSSL_free(p);
	ASSERT(PEM_write_bio_X509(b, c->x) == 1);
	c->pem_n = (size_t)BIO_get_mem_data(b, &s);
	c->pem = slice_dup(slice_make(s, c->pem_n));
	BIO_free(b);
}

/* issuer NULL: self-signed. san NULL: none. Valid from..to seconds from now;
 * key NULL: a new one. */
static inline struct cert
cert_make(const struct cert *issuer, EVP_PKEY *key, const char *cn,
    const char *san, bool ca, long from, long to)
{
	struct cert c = { 0 };
	X509_NAME *n;
	X509 *by;

	c.key = key != NULL ? key : EVP_EC_gen("P-256");
	if (key != NULL)
		EVP_PKEY_up_ref(key);
	c.x = X509_new();
	ASSERT(c.key != NULL && c.x != NULL);
	by = issuer == NULL ? c.x : issuer->x;
	X509_set_version(c.x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(c.x), (long)(from ^ to) + 77);
	X509_gmtime_adj(X509_getm_notBefore(c.x), from);
	X509_gmtime_adj(X509_getm_notAfter(c.x), to);
	X509_set_pubkey(c.x, c.key);
	n = X509_get_subject_name(c.x);
	X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC,
	    (const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(c.x, X509_get_subject_name(by));
	cert_ext(c.x, by, NID_subject_key_identifier, "hash");
	cert_ext(c.x, by, NID_basic_constraints, ca ? "critical,CA:TRUE" :
	    "critical,CA:FALSE");
	if (san != NULL)
		cert_ext(c.x, by, NID_subject_alt_name, san);
	ASSERT(X509_sign(c.x, issuer == NULL ? c.key : issuer->key,
	    EVP_sha256()) > 0);
	cert_texts(&c);
	return c;
}

static inline void
cert_free(struct cert *c)
{
	X509_free(c->x);
	EVP_PKEY_free(c->key);
	free(c->der);
	free(c->pem);
	free(c->key_der);
}

#endif
