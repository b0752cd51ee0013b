/* ca - see ca.h. The cold half: names, root, intermediate. */
#include "ca.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "addr.h"
#include "map.h"
#include "rng.h"
#include "tls.h"

#define DAY 86400L

struct ca_names {
	struct map set;		/* normalised host or "*.name" */
	char **v;		/* sorted */
	size_t n;
	bool wildcards;
};

static bool
normalise(struct slice host, char out[ADDR_HOST_MAX + 2])
{
	if (!slice_starts(host, "*."))
		return addr_host_normalise(host, out);
	host = slice_sub(host, 2, host.n);
	struct addr a;

	if (addr_parse_ip(host, &a) || !addr_host_normalise(host, out + 2))
		return false;
	memcpy(out, "*.", 2);
	return true;
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct ca_names *
ca_names_new(const struct slice *hosts, size_t n, struct err *err)
{
	struct ca_names *names = base_calloc(1, sizeof(*names));
	char text[ADDR_HOST_MAX + 2];

	map_init(&names->set);
	names->v = base_calloc(n + 1, sizeof(*names->v));
	for (size_t i = 0; i < n; i++) {
		if (!normalise(hosts[i], text)) {
			err_set(err, "host \"%.*s\": a DNS name, \"*.name\" or "
			    "an IP address is wanted", SLICE_FMT(hosts[i]));
			goto bad;
		}
		if (map_get(&names->set, slice_str(text)) != NULL)
			continue;
		if (names->n == CA_HOSTS_MAX) {
			err_set(err, "more than %d hosts to intercept",
			    CA_HOSTS_MAX);
			goto bad;
		}
		names->v[names->n] = base_strdup(text);
		map_put(&names->set, slice_str(text), names->v[names->n++]);
		names->wildcards |= text[0] == '*';
	}
	qsort(names->v, names->n, sizeof(*names->v), by_text);
	return names;
bad:
	ca_names_free(names);
	return NULL;
}

void
ca_names_free(struct ca_names *names)
{
	if (names == NULL)
		return;
	for (size_t i = 0; i < names->n; i++)
		free(names->v[i]);
	free(names->v);
	map_free(&names->set);
	free(names);
}

size_t
ca_names_count(const struct ca_names *names)
{
	return names->n;
}

/* Is there a "*.suffix" for a proper suffix of host? */
static bool
below_wildcard(const struct ca_names *names, const char *host)
{
	char key[ADDR_HOST_MAX + 2] = "*";

	for (const char *dot = strchr(host, '.'); dot != NULL;
	    dot = strchr(dot + 1, '.')) {
		snprintf(key + 1, sizeof(key) - 1, "%s", dot);
		if (map_get(&names->set, slice_str(key)) != NULL)
			return true;
	}
	return false;
}

bool
ca_name_allowed(const struct ca_names *names, struct slice host)
{
	char text[ADDR_HOST_MAX];
	struct addr a;

	if (!addr_host_normalise(host, text))
		return false;
	if (map_get(&names->set, slice_str(text)) != NULL)
		return true;
	return names->wildcards && !addr_parse_ip(slice_str(text), &a) &&
	    below_wildcard(names, text);
}

void
ca_names_digest(const struct ca_names *names, uint8_t out[32])
{
	crypto_hash_sha256_state h;

	crypto_hash_sha256_init(&h);
	for (size_t i = 0; i < names->n; i++)
		crypto_hash_sha256_update(&h, (unsigned char *)names->v[i],
		    strlen(names->v[i]) + 1);
	crypto_hash_sha256_final(&h, out);
}

/* ---- certificates of the authority itself ---- */

static struct slice
key_to_secret(EVP_PKEY *key, struct secret **r)
{
	unsigned char *p = NULL;
	PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(key);
	int n;

	ASSERT(p8 != NULL);
	n = i2d_PKCS8_PRIV_KEY_INFO(p8, &p);
	PKCS8_PRIV_KEY_INFO_free(p8);
	ASSERT(n > 0);
	*r = secret_new(p, (size_t)n);
	OPENSSL_clear_free(p, (size_t)n);
	return secret_bytes(*r);
}

static void
add_ext(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX v;
	X509_EXTENSION *e;

	X509V3_set_ctx(&v, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &v, nid, value);
	ASSERT(e != NULL && X509_add_ext(x, e, -1) == 1);
	X509_EXTENSION_free(e);
}

static void
set_serial(X509 *x)
{
	unsigned char b[16];
	BIGNUM *n;

	rng_bytes(b, sizeof(b));
	b[0] = (unsigned char)((b[0] & 0x7f) | 0x40);
	n = BN_bin2bn(b, sizeof(b), NULL);
	ASSERT(n != NULL && BN_to_ASN1_INTEGER(n,
	    X509_get_serialNumber(x)) != NULL);
	BN_free(n);
}

/* Version, serial, times, key and subject of a new certificate. */
static X509 *
cert_begin(EVP_PKEY *key, const char *cn, long days)
{
	X509 *x = X509_new();
	X509_NAME *n;

	ASSERT(x != NULL && X509_set_version(x, X509_VERSION_3) == 1);
	set_serial(x);
	ASSERT(X509_gmtime_adj(X509_getm_notBefore(x), -3600) != NULL);
	ASSERT(X509_gmtime_adj(X509_getm_notAfter(x), days * DAY) != NULL);
	ASSERT(X509_set_pubkey(x, key) == 1);
	n = X509_get_subject_name(x);
	ASSERT(X509_NAME_add_entry_by_txt(n, "O", MBSTRING_UTF8,
	    (const unsigned char *)"Portreeve", -1, -1, 0) == 1);
	ASSERT(X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_UTF8,
	    (const unsigned char *)cn, -1, -1, 0) == 1);
	return x;
}

static void
cert_out(X509 *x, EVP_PKEY *by, struct buf *out)
{
	unsigned char *p = NULL;
	int n;

	ASSERT(X509_sign(x, by, EVP_sha256()) > 0);
	n = i2d_X509(x, &p);
	ASSERT(n > 0);
	buf_add(out, p, (size_t)n);
	OPENSSL_free(p);
	X509_free(x);
}

void
ca_root_new(const char *node, struct secret **key_r, struct buf *cert_r)
{
	EVP_PKEY *key;
	char cn[65];		/* ub-common-name */
	X509 *x;

	tls_init();
	key = EVP_EC_gen("P-256");
	ASSERT(key != NULL);
	snprintf(cn, sizeof(cn), "Portreeve root %s", node);
	x = cert_begin(key, cn, CA_ROOT_DAYS);
	ASSERT(X509_set_issuer_name(x, X509_get_subject_name(x)) == 1);
	add_ext(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:1");
	add_ext(x, x, NID_key_usage, "critical,keyCertSign,cRLSign");
	add_ext(x, x, NID_subject_key_identifier, "hash");
	cert_out(x, key, cert_r);
	key_to_secret(key, key_r);
	EVP_PKEY_free(key);
}

static void
subtree_add(STACK_OF(GENERAL_SUBTREE) **list, int type, const void *p,
    size_t n)
{
	GENERAL_SUBTREE *t = GENERAL_SUBTREE_new();
	ASN1_STRING *s = ASN1_STRING_type_new(type == GEN_DNS ?
	    V_ASN1_IA5STRING : V_ASN1_OCTET_STRING);

	if (*list == NULL)
		*list = sk_GENERAL_SUBTREE_new_null();
	ASSERT(t != NULL && s != NULL && *list != NULL);
	ASSERT(ASN1_STRING_set(s, p, (int)n) == 1);
	GENERAL_NAME_set0_value(t->base, type, s);
	ASSERT(sk_GENERAL_SUBTREE_push(*list, t) > 0);
}

/* RFC 5280: the address, then a mask of the same length. */
static void
permit_ip(NAME_CONSTRAINTS *nc, const struct addr *a)
{
	size_t n = a->family == 4 ? 4 : 16;
	uint8_t v[32];

	memcpy(v, a->ip, n);
	memset(v + n, 0xff, n);
	subtree_add(&nc->permittedSubtrees, GEN_IPADD, v, 2 * n);
}

/* A permitted name permits all below it: those need no entry of their own. */
static bool
covered_by_parent(const struct ca_names *names, const char *host)
{
	const char *dot = strchr(host, '.');

	for (; dot != NULL; dot = strchr(dot + 1, '.'))
		if (map_get(&names->set, slice_str(dot + 1)) != NULL)
			return true;
	return below_wildcard(names, host);
}

/* A type without a permitted entry is not restricted at all, so each type
 * gets either its permitted entries or an exclusion of everything. */
static NAME_CONSTRAINTS *
constraints(const struct ca_names *names)
{
	static const uint8_t any[32];
	NAME_CONSTRAINTS *nc = NAME_CONSTRAINTS_new();
	bool dns = false, v4 = false, v6 = false;
	struct addr a;

	ASSERT(nc != NULL);
	for (size_t i = 0; i < names->n; i++) {
		const char *h = names->v[i];

		if (addr_parse_ip(slice_str(h), &a)) {
			permit_ip(nc, &a);
			v4 |= a.family == 4;
			v6 |= a.family == 6;
			continue;
		}
		dns = true;
		h += h[0] == '*' ? 2 : 0;
		if (!covered_by_parent(names, h))
			subtree_add(&nc->permittedSubtrees, GEN_DNS, h,
			    strlen(h));
	}
	if (!dns)
		subtree_add(&nc->excludedSubtrees, GEN_DNS, "", 0);
	if (!v4)
		subtree_add(&nc->excludedSubtrees, GEN_IPADD, any, 8);
	if (!v6)
		subtree_add(&nc->excludedSubtrees, GEN_IPADD, any, 32);
	return nc;
}

static EVP_PKEY *
parse_key(struct slice der)
{
	const unsigned char *p = (const unsigned char *)der.p;

	return d2i_AutoPrivateKey(NULL, &p, (long)der.n);
}

static X509 *
parse_cert(struct slice der)
{
	const unsigned char *p = (const unsigned char *)der.p;

	return d2i_X509(NULL, &p, (long)der.n);
}

int
ca_intermediate_new(struct slice root_key, struct slice root_cert,
    const struct ca_names *names, struct secret **key_r, struct buf *cert_r,
    struct err *err)
{
	EVP_PKEY *rk, *key = NULL;
	NAME_CONSTRAINTS *nc;
	X509 *rx, *x;
	char cn[65];
	int r = -1;

	tls_init();
	rk = parse_key(root_key);
	rx = parse_cert(root_cert);
	if (rk == NULL || rx == NULL || X509_check_private_key(rx, rk) != 1) {
		err_set(err, "root key and certificate do not belong "
		    "together or are malformed");
		goto out;
	}
	if (ca_days_left(root_cert) <= 0) {
		err_set(err, "the root certificate has expired: a new "
		    "authority is needed");
		goto out;
	}
	ASSERT((key = EVP_EC_gen("P-256")) != NULL);
	snprintf(cn, sizeof(cn), "Portreeve interception %08x",
	    (unsigned)rng_u64());
	x = cert_begin(key, cn, CA_INTERMEDIATE_DAYS);
	if (ASN1_TIME_compare(X509_get0_notAfter(x), X509_get0_notAfter(rx)) >
	    0)
		ASSERT(X509_set1_notAfter(x, X509_get0_notAfter(rx)) == 1);
	ASSERT(X509_set_issuer_name(x, X509_get_subject_name(rx)) == 1);
	add_ext(x, rx, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
	add_ext(x, rx, NID_key_usage, "critical,keyCertSign");
	add_ext(x, rx, NID_ext_key_usage, "serverAuth");
	add_ext(x, rx, NID_subject_key_identifier, "hash");
	add_ext(x, rx, NID_authority_key_identifier, "keyid:always");
	nc = constraints(names);
	ASSERT(X509_add1_ext_i2d(x, NID_name_constraints, nc, 1,
	    X509V3_ADD_DEFAULT) == 1);
	NAME_CONSTRAINTS_free(nc);
	cert_out(x, rk, cert_r);
	if (cert_r->full) {
		err_set(err, "the catalogue's %zu hosts make a certificate of "
		    "more than %zu bytes: use fewer or \"*.name\"", names->n,
		    cert_r->max);
		goto out;
	}
	key_to_secret(key, key_r);
	r = 0;
out:
	EVP_PKEY_free(key);
	EVP_PKEY_free(rk);
	X509_free(rx);
	return r;
}

int
ca_days_left(struct slice cert)
{
	X509 *x = parse_cert(cert);
	int days, secs, r = -1;

	if (x != NULL && ASN1_TIME_diff(&days, &secs, NULL,
	    X509_get0_notAfter(x)) == 1)
		r = days == 0 && secs < 0 ? -1 : days;
	X509_free(x);
	return r;
}

void
ca_pem(struct buf *out, struct slice cert)
{
	char b64[72];
	size_t at = 0;

	buf_add_str(out, "-----BEGIN CERTIFICATE-----\n");
	while (at < cert.n) {
		/* 48 bytes are one line of 64 characters. */
		size_t k = cert.n - at < 48 ? cert.n - at : 48;

		EVP_EncodeBlock((unsigned char *)b64,
		    (const unsigned char *)cert.p + at, (int)k);
		buf_add_str(out, b64);
		buf_add_char(out, '\n');
		at += k;
	}
	buf_add_str(out, "-----END CERTIFICATE-----\n");
}
