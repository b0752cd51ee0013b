/* ca: names, the chain as OpenSSL judges it, what must not pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "ca.h"
#include "certs.h"
#include "clock.h"
#include "codec.h"
#include "rng.h"
#include "tls.h"

struct authority {
	struct secret *root_key, *key;
	struct buf root, inter;
	struct ca_names *names;
	struct ca_leaf_key *leaf_key;
	struct ca *ca;
};

static struct ca_names *
names_of(const char *const *hosts, size_t n, struct err *err)
{
	struct slice v[64];

	for (size_t i = 0; i < n; i++)
		v[i] = slice_str(hosts[i]);
	return ca_names_new(v, n, err);
}

static void
authority_new(struct authority *a, const char *const *hosts, size_t n)
{
	struct err err = { 0 };

	buf_init(&a->root, CA_CERT_MAX);
	buf_init(&a->inter, CA_CERT_MAX);
	ca_root_new("test", &a->root_key, &a->root);
	a->names = names_of(hosts, n, &err);
	assert_non_null(a->names);
	assert_int_equal(ca_intermediate_new(secret_bytes(a->root_key),
	    buf_slice(&a->root), a->names, &a->key, &a->inter, &err), 0);
	a->leaf_key = ca_leaf_key_new();
	a->ca = ca_open(secret_bytes(a->key), buf_slice(&a->inter), a->names,
	    a->leaf_key, &err);
	assert_non_null(a->ca);
}

static void
authority_free(struct authority *a)
{
	ca_free(a->ca);
	ca_leaf_key_free(a->leaf_key);
	ca_names_free(a->names);
	secret_free(a->key);
	secret_free(a->root_key);
	buf_free(&a->root);
	buf_free(&a->inter);
}

static X509 *
x509(struct slice der)
{
	const unsigned char *p = (const unsigned char *)der.p;
	X509 *x = d2i_X509(NULL, &p, (long)der.n);

	assert_non_null(x);
	assert_ptr_equal(p, der.p + der.n);
	return x;
}

/* X509_V_OK or why not; host NULL: the name is not asked for. */
static int
verify(const struct authority *a, X509 *leaf, const char *host)
{
	X509 *root = x509(buf_slice(&a->root)), *inter =
	    x509(buf_slice(&a->inter));
	STACK_OF(X509) *chain = sk_X509_new_null();
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *c = X509_STORE_CTX_new();
	X509_VERIFY_PARAM *p;
	int r;

	X509_STORE_add_cert(store, root);
	sk_X509_push(chain, inter);
	assert_int_equal(X509_STORE_CTX_init(c, store, leaf, chain), 1);
	X509_STORE_CTX_set_default(c, "ssl_server");
	p = X509_STORE_CTX_get0_param(c);
	X509_VERIFY_PARAM_set_flags(p, X509_V_FLAG_X509_STRICT);
	if (host != NULL && X509_VERIFY_PARAM_set1_ip_asc(p, host) != 1)
		X509_VERIFY_PARAM_set1_host(p, host, 0);
	X509_verify_cert(c);
	r = X509_STORE_CTX_get_error(c);
	X509_STORE_CTX_free(c);
	X509_STORE_free(store);
	sk_X509_free(chain);
	X509_free(inter);
	X509_free(root);
	return r;
}

static X509 *
mint(struct authority *a, const char *host)
{
	struct err err = { 0 };
	int64_t expires;
	struct buf der;
	X509 *x;

	buf_init(&der, CA_CERT_MAX);
	if (ca_mint(a->ca, slice_str(host), &der, &expires, &err) != 0) {
		assert_int_equal(der.len, 0);
		assert_true(err.set);
		return NULL;
	}
	x = x509(buf_slice(&der));
	assert_true(expires > clock_wall_ms() + 23 * 3600000LL);
	buf_free(&der);
	return x;
}

/* A leaf signed by the intermediate itself, without asking ca_mint(). */
static int
by_hand(const struct authority *a, const char *san, const char *cn)
{
	struct slice kd = secret_bytes(a->key);
	const unsigned char *p = (const unsigned char *)kd.p;
	struct cert issuer = { 0 }, c;
	int r;

	issuer.key = d2i_AutoPrivateKey(NULL, &p, (long)kd.n);
	issuer.x = x509(buf_slice(&a->inter));
	c = cert_make(&issuer, NULL, cn, san, false, -60, 3600);
	cert_ext(c.x, issuer.x, NID_authority_key_identifier, "keyid");
	X509_sign(c.x, issuer.key, EVP_sha256());
	r = verify(a, c.x, NULL);
	cert_free(&c);
	EVP_PKEY_free(issuer.key);
	X509_free(issuer.x);
	return r;
}

static void
test_names(void **st)
{
	static const char *const hosts[] = { "API.example.com", "*.corp.test",
		"192.0.2.7", "api.example.com." };
	static const char *const bad[] = { "a b", "*", "*.", "*.1.2.3.4",
		"a.*.b", "", "1.2.3", "*.*.a" };
	struct err err = { 0 };
	struct ca_names *n = names_of(hosts, 4, &err), *m;
	uint8_t d1[32], d2[32];

	(void)st;
	assert_int_equal(ca_names_count(n), 3);
	assert_true(ca_name_allowed(n, SLICE("api.EXAMPLE.com")));
	assert_true(ca_name_allowed(n, SLICE("x.corp.test")));
	assert_true(ca_name_allowed(n, SLICE("y.x.corp.test")));
	assert_true(ca_name_allowed(n, SLICE("::ffff:192.0.2.7")));
	assert_false(ca_name_allowed(n, SLICE("corp.test")));
	assert_false(ca_name_allowed(n, SLICE("xcorp.test")));
	assert_false(ca_name_allowed(n, SLICE("www.api.example.com")));
	assert_false(ca_name_allowed(n, SLICE("example.com")));
	assert_false(ca_name_allowed(n, SLICE("192.0.2.8")));
	assert_false(ca_name_allowed(n, SLICE("*.corp.test")));
	assert_false(ca_name_allowed(n, slice_make("api.example.com\0x", 17)));
	assert_false(ca_name_allowed(n, SLICE("")));
	static const char *const other[] = { "192.0.2.7", "api.example.com",
		"*.corp.test" };

	m = names_of(other, 3, &err);
	ca_names_digest(n, d1);
	ca_names_digest(m, d2);
	assert_memory_equal(d1, d2, 32);
	ca_names_free(m);
	m = names_of(other, 2, &err);
	ca_names_digest(m, d2);
	assert_memory_not_equal(d1, d2, 32);
	ca_names_free(m);
	ca_names_free(n);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_null(names_of(bad + i, 1, &err));
	assert_true(err.set);
}

static void
test_chain(void **st)
{
	static const char *const hosts[] = { "api.example.com", "*.corp.test",
		"192.0.2.7", "2001:db8::7" };
	struct authority a;
	X509 *x;

	(void)st;
	authority_new(&a, hosts, 4);
	static const char *const good[] = { "api.example.com", "x.corp.test",
		"192.0.2.7", "2001:db8::7" };

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		x = mint(&a, good[i]);
		assert_non_null(x);
		assert_int_equal(verify(&a, x, good[i]), X509_V_OK);
		assert_int_equal(verify(&a, x, "www.example.com"),
		    X509_V_ERR_HOSTNAME_MISMATCH);
		assert_int_equal(X509_get_ext_count(x), 6);
		assert_int_equal(X509_get_extension_flags(x) &
		    (EXFLAG_CA | EXFLAG_INVALID), 0);
		assert_int_equal(X509_get_key_usage(x), KU_DIGITAL_SIGNATURE);
		assert_int_equal(X509_get_extended_key_usage(x),
		    XKU_SSL_SERVER);
		X509_free(x);
	}
	assert_null(mint(&a, "www.api.example.com"));
	assert_null(mint(&a, "example.com"));
	assert_null(mint(&a, "corp.test"));
	assert_null(mint(&a, "192.0.2.8"));
	assert_null(mint(&a, "*.corp.test"));
	/* Two of the same host differ in serial and nothing is cached here. */
	X509 *y = mint(&a, "api.example.com");

	x = mint(&a, "api.example.com");
	assert_int_not_equal(ASN1_INTEGER_cmp(X509_get0_serialNumber(x),
	    X509_get0_serialNumber(y)), 0);
	X509_free(x);
	X509_free(y);
	authority_free(&a);
}

/* Whoever stole the intermediate's key still cannot leave the catalogue. */
static void
test_constraints(void **st)
{
	static const char *const hosts[] = { "api.example.com", "192.0.2.7" };
	static const char *const dns[] = { "a.test" };
	static const char *const ips[] = { "192.0.2.7" };
	static const char *const nothing[] = { "" };
	struct authority a;

	(void)st;
	authority_new(&a, hosts, 2);
	assert_int_equal(by_hand(&a, "DNS:api.example.com", "x y"),
	    X509_V_OK);
	assert_int_equal(by_hand(&a, "DNS:www.example.com", "x y"),
	    X509_V_ERR_PERMITTED_VIOLATION);
	assert_int_equal(by_hand(&a, "DNS:api.example.com,DNS:bank.test",
	    "x y"), X509_V_ERR_PERMITTED_VIOLATION);
	assert_int_equal(by_hand(&a, NULL, "bank.test"),
	    X509_V_ERR_PERMITTED_VIOLATION);
	assert_int_equal(by_hand(&a, "IP:192.0.2.7", "x y"), X509_V_OK);
	assert_int_equal(by_hand(&a, "IP:192.0.2.8", "x y"),
	    X509_V_ERR_PERMITTED_VIOLATION);
	assert_int_not_equal(by_hand(&a, "IP:2001:db8::1", "x y"), X509_V_OK);
	authority_free(&a);
	authority_new(&a, dns, 1);
	assert_int_equal(by_hand(&a, "IP:192.0.2.7", "x y"),
	    X509_V_ERR_EXCLUDED_VIOLATION);
	assert_int_equal(by_hand(&a, "IP:2001:db8::1", "x y"),
	    X509_V_ERR_EXCLUDED_VIOLATION);
	authority_free(&a);
	authority_new(&a, ips, 1);
	assert_int_equal(by_hand(&a, "DNS:a.test", "x y"),
	    X509_V_ERR_EXCLUDED_VIOLATION);
	authority_free(&a);
	authority_new(&a, nothing, 0);	/* an empty catalogue: nothing */
	assert_int_equal(by_hand(&a, "DNS:a.test", "x y"),
	    X509_V_ERR_EXCLUDED_VIOLATION);
	assert_int_equal(by_hand(&a, "IP:192.0.2.7", "x y"),
	    X509_V_ERR_EXCLUDED_VIOLATION);
	assert_null(mint(&a, "a.test"));
	authority_free(&a);
}

static void
test_many_hosts(void **st)
{
	struct slice v[CA_HOSTS_MAX + 1];
	struct err err = { 0 };
	struct secret *rk, *k;
	struct buf root, inter;
	struct ca_names *n;

	(void)st;
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		char *s = base_calloc(1, 32);

		snprintf(s, 32, "h%zu.example%s", i, i == 0 ? "" : ".test");
		v[i] = slice_str(s);
	}
	assert_null(ca_names_new(v, ARRAY_LEN(v), &err));
	n = ca_names_new(v, ARRAY_LEN(v) - 1, &err);
	assert_non_null(n);
	buf_init(&root, CA_CERT_MAX);
	buf_init(&inter, CA_CERT_MAX);
	ca_root_new("many", &rk, &root);
	assert_int_equal(ca_intermediate_new(secret_bytes(rk),
	    buf_slice(&root), n, &k, &inter, &err), 0);
	assert_false(inter.full);
	ca_names_free(n);
	/* A name is not listed when its parent is. */
	free((char *)(uintptr_t)v[0].p);
	v[0] = slice_str(base_strdup("example.test"));
	n = ca_names_new(v, ARRAY_LEN(v) - 1, &err);
	secret_free(k);
	buf_reset(&inter);
	assert_int_equal(ca_intermediate_new(secret_bytes(rk),
	    buf_slice(&root), n, &k, &inter, &err), 0);
	assert_true(inter.len < 1024);
	ca_names_free(n);
	secret_free(k);
	secret_free(rk);
	buf_free(&root);
	buf_free(&inter);
	for (size_t i = 0; i < ARRAY_LEN(v); i++)
		free((char *)(uintptr_t)v[i].p);
}

static void
test_bad_parts(void **st)
{
	static const char *const hosts[] = { "a.test" };
	struct authority a, b;
	struct err err = { 0 };
	struct secret *k = NULL;
	struct buf out;

	(void)st;
	authority_new(&a, hosts, 1);
	authority_new(&b, hosts, 1);
	buf_init(&out, CA_CERT_MAX);
	assert_int_equal(ca_intermediate_new(secret_bytes(b.root_key),
	    buf_slice(&a.root), a.names, &k, &out, &err), -1);
	assert_true(err.set);
	assert_null(k);
	assert_null(ca_open(secret_bytes(b.key), buf_slice(&a.inter), a.names,
	    a.leaf_key, &err));
	assert_null(ca_open(SLICE("junk"), SLICE("junk"), a.names, a.leaf_key,
	    &err));
	assert_int_equal(ca_days_left(SLICE("junk")), -1);
	assert_in_range(ca_days_left(buf_slice(&a.root)), CA_ROOT_DAYS - 1,
	    CA_ROOT_DAYS);
	assert_in_range(ca_days_left(buf_slice(&a.inter)),
	    CA_INTERMEDIATE_DAYS - 1, CA_INTERMEDIATE_DAYS);
	/* PEM is what OpenSSL writes. */
	BIO *m = BIO_new(BIO_s_mem());
	X509 *x = x509(buf_slice(&a.root));
	char *pem;

	PEM_write_bio_X509(m, x);
	size_t n = (size_t)BIO_get_mem_data(m, &pem);

	ca_pem(&out, buf_slice(&a.root));
	assert_true(slice_eq(buf_slice(&out), slice_make(pem, n)));
	BIO_free(m);
	X509_free(x);
	buf_free(&out);
	authority_free(&a);
	authority_free(&b);
}

/* An injected clock must not make leaves that clients find invalid. */
static void
test_injected_clock(void **st)
{
	static const char *const hosts[] = { "a.test" };
	struct authority a;
	X509 *x;

	(void)st;
	authority_new(&a, hosts, 1);
	clock_set_offset_ms(40LL * 24 * 3600000);
	struct err err = { 0 };
	struct buf der;
	int64_t expires;

	buf_init(&der, CA_CERT_MAX);
	assert_int_equal(ca_mint(a.ca, SLICE("a.test"), &der, &expires, &err),
	    0);
	clock_set_offset_ms(0);
	x = x509(buf_slice(&der));
	assert_int_equal(verify(&a, x, "a.test"), X509_V_OK);
	X509_free(x);
	buf_free(&der);
	authority_free(&a);
}

static void
test_speed(void **st)
{
	static const char *const hosts[] = { "*.example.com" };
	struct authority a;
	struct err err = { 0 };
	int64_t expires;
	struct buf der;
	uint64_t t0;
	int n = 2000;

	(void)st;
	authority_new(&a, hosts, 1);
	buf_init(&der, CA_CERT_MAX);
	t0 = clock_mono_ns();
	for (int i = 0; i < n; i++) {
		char h[64];

		snprintf(h, sizeof(h), "host%d.example.com", i);
		buf_reset(&der);
		assert_int_equal(ca_mint(a.ca, slice_str(h), &der, &expires,
		    &err), 0);
	}
	t0 = clock_mono_ns() - t0;
	printf("mint: %.1f us, leaf of %zu bytes, intermediate %zu\n",
	    (double)t0 / 1000 / n, der.len, a.inter.len);
	buf_free(&der);
	authority_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names), cmocka_unit_test(test_chain),
		cmocka_unit_test(test_constraints),
		cmocka_unit_test(test_many_hosts),
		cmocka_unit_test(test_bad_parts),
		cmocka_unit_test(test_injected_clock),
		cmocka_unit_test(test_speed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
