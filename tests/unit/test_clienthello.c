/* clienthello: hellos of a real TLS client, whole and in pieces; malformed
 * ones made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>

#include "buf.h"
#include "clienthello.h"
#include "clock.h"

static struct clienthello ch;
static const char *why;

/* What OpenSSL's client sends first. */
static size_t
real_hello(const char *sni, const char *alpn, int max, char *out, size_t size)
{
	SSL_CTX *c = SSL_CTX_new(TLS_client_method());
	SSL *s;
	BIO *in = BIO_new(BIO_s_mem()), *w = BIO_new(BIO_s_mem());
	int n;

	SSL_CTX_set_max_proto_version(c, max);
	if (alpn != NULL)
		SSL_CTX_set_alpn_protos(c, (const unsigned char *)alpn,
		    (unsigned)strlen(alpn));
	s = SSL_new(c);
	if (sni != NULL)
		SSL_set_tlsext_host_name(s, sni);
	SSL_set_bio(s, in, w);
	SSL_connect(s);
	n = BIO_read(w, out, (int)size);
	assert_true(n > 50);
	SSL_free(s);
	SSL_CTX_free(c);
	return (size_t)n;
}

static void
test_real(void **st)
{
	char b[4096];
	size_t n = real_hello("API.Example.com", "\x02h2\x08http/1.1",
	    TLS1_3_VERSION, b, sizeof(b));

	(void)st;
	assert_int_equal(clienthello_read(slice_make(b, n), &ch, &why),
	    CLIENTHELLO_DONE);
	assert_string_equal(ch.sni, "api.example.com");
	assert_true(ch.has_alpn && ch.offers_h1 && ch.offers_h2);
	assert_int_equal(ch.versions[0], 0x0304);
	assert_false(ch.has_early_data);
	/* Every prefix wants more; bytes behind it do not disturb. */
	for (size_t i = 0; i < n; i++)
		assert_int_equal(clienthello_read(slice_make(b, i), &ch,
		    &why), CLIENTHELLO_MORE);
	memcpy(b + n, "behind", 6);
	assert_int_equal(clienthello_read(slice_make(b, n + 6), &ch, &why),
	    CLIENTHELLO_DONE);
	n = real_hello(NULL, NULL, TLS1_2_VERSION, b, sizeof(b));
	assert_int_equal(clienthello_read(slice_make(b, n), &ch, &why),
	    CLIENTHELLO_DONE);
	assert_string_equal(ch.sni, "");
	assert_false(ch.has_alpn);
	assert_int_equal(ch.nversions, 1);
	assert_int_equal(ch.versions[0], 0x0303);
}

/* The same message in records of at most `part` bytes. */
static size_t
fragment(const char *in, size_t n, size_t part, char *out)
{
	size_t o = 0;

	for (size_t at = 5; at < n; at += part) {
		size_t k = n - at < part ? n - at : part;

		memcpy(out + o, in, 3);
		out[o + 3] = (char)(k >> 8);
		out[o + 4] = (char)k;
		memcpy(out + o + 5, in + at, k);
		o += 5 + k;
	}
	return o;
}

static void
test_fragments(void **st)
{
	char b[4096], f[65536];
	size_t n = real_hello("a.example", NULL, TLS1_3_VERSION, b,
	    sizeof(b)), m;

	(void)st;
	for (size_t part = (n - 5) / CLIENTHELLO_RECORDS + 1; part < n;
	    part += 7) {
		m = fragment(b, n, part, f);
		assert_int_equal(clienthello_read(slice_make(f, m), &ch,
		    &why), CLIENTHELLO_DONE);
		assert_string_equal(ch.sni, "a.example");
		assert_int_equal(clienthello_read(slice_make(f, m - 1), &ch,
		    &why), CLIENTHELLO_MORE);
	}
	m = fragment(b, n, 2, f);
	assert_int_equal(clienthello_read(slice_make(f, m), &ch, &why),
	    CLIENTHELLO_ERROR);
	assert_string_equal(why, "cut into too many records");
}

/* A hello built by hand around the given suites and extensions. */
static size_t
build_with(const char *suites, size_t suites_n, const char *ext,
    size_t ext_n, char *out)
{
	struct buf b;
	size_t body = 2 + 32 + 1 + 2 + suites_n + 2 + 2 + ext_n, n;

	buf_init(&b, 65536);
	buf_add(&b, "\x16\x03\x01", 3);
	buf_add_char(&b, (char)((body + 4) >> 8));
	buf_add_char(&b, (char)(body + 4));
	buf_add_char(&b, 1);
	buf_add_char(&b, (char)(body >> 16));
	buf_add_char(&b, (char)(body >> 8));
	buf_add_char(&b, (char)body);
	buf_add(&b, "\x03\x03", 2);
	for (int i = 0; i < 32; i++)
		buf_add_char(&b, (char)i);
	buf_add_char(&b, 0);
	buf_add_char(&b, (char)(suites_n >> 8));
	buf_add_char(&b, (char)suites_n);
	buf_add(&b, suites, suites_n);
	buf_add(&b, "\x01\x00", 2);
	buf_add_char(&b, (char)(ext_n >> 8));
	buf_add_char(&b, (char)ext_n);
	buf_add(&b, ext, ext_n);
	n = b.len;
	memcpy(out, buf_data(&b), n);
	buf_free(&b);
	return n;
}

static size_t
build(const char *ext, size_t ext_n, char *out)
{
	return build_with("\x13\x01", 2, ext, ext_n, out);
}

#define SNI_A "\x00\x00\x00\x06\x00\x04\x00\x00\x01" "a"

static void
test_extensions(void **st)
{
	static const struct {
		const char *ext;
		size_t n;
		const char *want;	/* "" sni or error */
		bool ok;
	} t[] = {
#define E(lit, w, o) { lit, sizeof(lit) - 1, w, o }
		E("", "", true),
		E(SNI_A, "a", true),
		E(SNI_A SNI_A, "an extension comes twice", false),
		E("\x00\x00\x00\x06\x00\x04\x01\x00\x01" "a",
		    "server_name is malformed", false),
		E("\x00\x00\x00\x06\x00\x04\x00\x00\x02" "a",
		    "server_name is malformed", false),
		E("\x00\x00\x00\x05\x00\x03\x00\x00\x00",
		    "server_name is no host name", false),
		E("\x00\x00\x00\x08\x00\x06\x00\x00\x03" "a\0b",
		    "server_name is no host name", false),
		E("\x00\x00\x00\x0e\x00\x0c\x00\x00\x09" "127.0.0.1",
		    "127.0.0.1", true),
		E("\x00\x10\x00\x02\x00\x00", "ALPN is malformed", false),
		E("\x00\x10\x00\x03\x00\x01\x00", "ALPN is malformed", false),
		E("\x00\x10\x00\x05\x00\x03\x02h2", "", true),
		E("\x00\x2b\x00\x03\x02\x03\x04", "", true),
		E("\x00\x2b\x00\x02\x01\x03", "supported_versions is "
		    "malformed", false),
		E("\x00\x2b\x00\x05\x04\x1a\x1a\x03\x04", "", true),
		E("\x00\x63\x00\x05" "abc", "an extension is cut short",
		    false),
		E("\x00", "an extension is cut short", false),
	};
	char b[512];

	(void)st;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		size_t n = build(t[i].ext, t[i].n, b);
		enum clienthello_status s = clienthello_read(slice_make(b, n),
		    &ch, &why);

		assert_int_equal(s, t[i].ok ? CLIENTHELLO_DONE :
		    CLIENTHELLO_ERROR);
		assert_string_equal(t[i].ok ? ch.sni : why, t[i].want);
	}
	/* GREASE is not a version (the last good one above had it). */
	size_t n = build("\x00\x2b\x00\x05\x04\x1a\x1a\x03\x04", 9, b);

	assert_int_equal(clienthello_read(slice_make(b, n), &ch, &why),
	    CLIENTHELLO_DONE);
	assert_int_equal(ch.nversions, 1);
	assert_int_equal(ch.versions[0], 0x0304);
}

/* The example that JA4's own description works through. */
static void
test_ja4(void **st)
{
	static const char suites[] = "\x1a\x1a\x13\x01\x13\x02\x13\x03\xc0\x2b"
	    "\xc0\x2f\xc0\x2c\xc0\x30\xcc\xa9\xcc\xa8\xc0\x13\xc0\x14"
	    "\x00\x9c\x00\x9d\x00\x2f\x00\x35";
	static const char ext[] = "\x2a\x2a\x00\x00" SNI_A
	    "\x00\x17\x00\x00\xff\x01\x00\x00\x00\x0a\x00\x00\x00\x0b\x00\x00"
	    "\x00\x23\x00\x00"
	    "\x00\x10\x00\x0e\x00\x0c\x02h2\x08http/1.1"
	    "\x00\x05\x00\x00\x00\x0d\x00\x12\x00\x10\x04\x03\x08\x04\x04\x01"
	    "\x05\x03\x08\x05\x05\x01\x08\x06\x06\x01\x00\x12\x00\x00"
	    "\x00\x33\x00\x00\x00\x2d\x00\x00"
	    "\x00\x2b\x00\x07\x06\x4a\x4a\x03\x04\x03\x03"
	    "\x00\x1b\x00\x00\x44\x69\x00\x00\x9a\x9a\x00\x00\x00\x15\x00\x00";
	char b[1024], ja4[CLIENTHELLO_JA4_MAX];
	size_t n = build_with(suites, sizeof(suites) - 1, ext,
	    sizeof(ext) - 1, b);

	(void)st;
	assert_int_equal(clienthello_read(slice_make(b, n), &ch, &why),
	    CLIENTHELLO_DONE);
	clienthello_ja4(&ch, ja4);
	assert_string_equal(ja4, "t13d1516h2_8daaf6152771_e5627efa2ab1");
	/* No extension, and an ALPN whose ends are no letters. */
	n = build("", 0, b);
	assert_int_equal(clienthello_read(slice_make(b, n), &ch, &why),
	    CLIENTHELLO_DONE);
	clienthello_ja4(&ch, ja4);
	assert_memory_equal(ja4, "t12i010000_", 11);
	assert_string_equal(ja4 + 23, "_000000000000");
	n = build("\x00\x10\x00\x06\x00\x04\x03\xab" "-" "\xcd", 10, b);
	assert_int_equal(clienthello_read(slice_make(b, n), &ch, &why),
	    CLIENTHELLO_DONE);
	clienthello_ja4(&ch, ja4);
	assert_memory_equal(ja4, "t12i0101ad_", 11);
}

static void
check(const char *b, size_t n, enum clienthello_status want)
{
	assert_int_equal(clienthello_read(slice_make(b, n), &ch, &why), want);
}

static void
test_not_tls(void **st)
{
	char b[512];
	size_t n = build("", 0, b);

	(void)st;
	check("", 0, CLIENTHELLO_MORE);
	check("G", 1, CLIENTHELLO_NOT_TLS);
	check("\x80\x2e\x01\x03\x01", 5, CLIENTHELLO_NOT_TLS);	/* SSLv2 */
	check("\x16\x02", 2, CLIENTHELLO_NOT_TLS);
	check("\x16\x03\x01\x00\x00", 5, CLIENTHELLO_ERROR);
	check("\x16\x03\x01\x40\x01", 5, CLIENTHELLO_ERROR);
	check("\x16\x03\x01\x00\x04\x02", 6, CLIENTHELLO_ERROR);
	check("\x16\x03\x01\x40\x00\x01\x01\x00\x00", 9, CLIENTHELLO_ERROR);
	b[4]++;		/* the record is longer than the message */
	check(b, n, CLIENTHELLO_ERROR);
	b[4] = (char)(b[4] - 1);
	check(b, n, CLIENTHELLO_DONE);
	b[9] = 2;	/* legacy_version */
	check(b, n, CLIENTHELLO_ERROR);
	b[9] = 3;
	b[n - 4] = 0;	/* no compression method at all */
	check(b, n, CLIENTHELLO_ERROR);
}

/* The largest hello there may be, and one byte more. */
static void
test_limit(void **st)
{
	size_t max = CLIENTHELLO_MAX + 64, ext = CLIENTHELLO_MAX - 43, n;
	char *e = calloc(1, max), *b = calloc(1, max), *f = calloc(1, 2 * max);

	(void)st;
	e[1] = 0x63;
	e[2] = (char)((ext - 4) >> 8);
	e[3] = (char)(ext - 4);
	n = build(e, ext, b);
	n = fragment(b, n, 8192, f);
	check(f, n, CLIENTHELLO_DONE);
	n = build(e, ext + 1, b);
	n = fragment(b, n, 8192, f);
	check(f, n, CLIENTHELLO_ERROR);
	assert_string_equal(why, "longer than 16384 bytes");
	free(e);
	free(b);
	free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_real), cmocka_unit_test(test_fragments),
		cmocka_unit_test(test_extensions),
		cmocka_unit_test(test_ja4),
		cmocka_unit_test(test_not_tls), cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
