/* tls and stream: handshakes over a socket pair, in one process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "certs.h"
#include "clock.h"
#include "stream.h"
#include "tls.h"

#define DAY 86400L

static struct cert ca, other_ca, inter, good, ip_cert, cn_only, expired,
    future, wild, partial;
static struct tls_store *store;
static struct tls_ctx *server, *client;
static uint8_t ticket_key[32] = { 1, 2, 3 };

static int
setup(void **st)
{
	struct err err = { 0 };

	(void)st;
	tls_init();
	ca = cert_make(NULL, NULL, "Test Root", NULL, true, -DAY, DAY);
	other_ca = cert_make(NULL, NULL, "Other Root", NULL, true, -DAY, DAY);
	inter = cert_make(&ca, NULL, "Test Middle", NULL, true, -DAY, DAY);
	good = cert_make(&inter, NULL, "x", "DNS:api.example", false, -DAY,
	    DAY);
	ip_cert = cert_make(&inter, good.key, "x", "IP:192.0.2.7", false,
	    -DAY, DAY);
	cn_only = cert_make(&inter, good.key, "api.example", NULL, false,
	    -DAY, DAY);
	expired = cert_make(&inter, good.key, "x", "DNS:api.example", false,
	    -2 * DAY, -DAY);
	future = cert_make(&inter, good.key, "x", "DNS:api.example", false,
	    DAY / 2, DAY);
	wild = cert_make(&inter, good.key, "x", "DNS:*.api.example", false,
	    -DAY, DAY);
	partial = cert_make(&inter, good.key, "x", "DNS:a*.api.example",
	    false, -DAY, DAY);
	store = tls_store_new(slice_make(ca.pem, ca.pem_n), &err);
	assert_non_null(store);
	server = tls_server_new(ticket_key);
	client = tls_client_new(store);
	return 0;
}

static int
teardown(void **st)
{
	struct cert *all[] = { &ca, &other_ca, &inter, &good, &ip_cert,
		&cn_only, &expired, &future, &wild, &partial };

	(void)st;
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		cert_free(all[i]);
	tls_ctx_free(client);
	tls_ctx_free(server);
	tls_store_free(store);
	return 0;
}

static struct tls_leaf *
leaf_of(const struct cert *c)
{
	struct slice chain[2] = { slice_make(c->der, c->der_n),
		slice_make(inter.der, inter.der_n) };
	struct err err = { 0 };
	struct tls_key *k = tls_key_new(slice_make(c->key_der, c->key_der_n),
	    &err);
	struct tls_leaf *l = tls_leaf_new(k, chain, 2, &err);

	assert_non_null(l);
	tls_key_free(k);
	return l;
}

struct pair {
	int fd[2];
	struct stream *s, *c;
	int rs, rc;
};

static void
pair_open(struct pair *p, struct tls_ctx *sc, struct tls_ctx *cc,
    const struct cert *cert, const char *host, const char *key)
{
	struct tls_leaf *l = leaf_of(cert);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, p->fd), 0);
	p->s = stream_tls_server(sc, p->fd[0], SLICE(""), l);
	tls_leaf_unref(l);
	p->c = stream_tls_client(cc, p->fd[1], host, slice_str(key));
}

/* Steps both sides until neither waits for the other. */
static void
pair_shake(struct pair *p)
{
	p->rs = p->rc = TLS_WANT_READ;
	for (int i = 0; i < 12; i++) {
		if (p->rc < 0 && p->rc >= TLS_WANT_WRITE)
			p->rc = stream_handshake(p->c);
		if (p->rs < 0 && p->rs >= TLS_WANT_WRITE)
			p->rs = stream_handshake(p->s);
	}
}

static void
pair_close(struct pair *p)
{
	stream_free(p->c);
	stream_free(p->s);
}

static void
exchange(struct pair *p)
{
	char in[64];

	assert_int_equal(stream_write(p->s, "hello", 5), 5);
	assert_int_equal(stream_read(p->c, in, sizeof(in)), 5);
	assert_memory_equal(in, "hello", 5);
	assert_int_equal(stream_read(p->c, in, sizeof(in)), TLS_WANT_READ);
	assert_int_equal(stream_write(p->c, "abc", 3), 3);
	assert_int_equal(stream_read(p->s, in, 2), 2);
	assert_int_equal(stream_pending(p->s), 1);
	assert_int_equal(stream_read(p->s, in + 2, 2), 1);
	assert_int_equal(stream_pending(p->s), 0);
	assert_memory_equal(in, "abc", 3);
}

static void
test_good(void **st)
{
	struct pair p;
	char in[8];

	(void)st;
	pair_open(&p, server, client, &good, "api.example", "test_good");
	pair_shake(&p);
	assert_int_equal(p.rs, 1);
	assert_int_equal(p.rc, 1);
	assert_string_equal(tls_conn_version(stream_tls(p.c)), "TLSv1.3");
	assert_false(tls_conn_resumed(stream_tls(p.c)));
	exchange(&p);
	assert_int_equal(stream_shutdown(p.c), 1);
	assert_int_equal(stream_read(p.s, in, sizeof(in)), TLS_EOF);
	assert_int_equal(stream_read(p.s, in, sizeof(in)), TLS_EOF);
	/* The other direction is still open. */
	assert_int_equal(stream_write(p.s, "bye", 3), 3);
	assert_int_equal(stream_read(p.c, in, sizeof(in)), 3);
	pair_close(&p);
	pair_open(&p, server, client, &ip_cert, "192.0.2.7", "");
	pair_shake(&p);
	assert_int_equal(p.rc, 1);
	pair_close(&p);
	pair_open(&p, server, client, &wild, "b.api.example", "");
	pair_shake(&p);
	assert_int_equal(p.rc, 1);
	pair_close(&p);
}

static void
refused(const struct cert *c, const char *host, const char *why)
{
	size_t before = tls_client_sessions(client);
	struct pair p;
	char b[4];

	pair_open(&p, server, client, c, host, "");
	pair_shake(&p);
	assert_int_equal(p.rc, TLS_BAD_CERT);
	if (strstr(stream_error(p.c), why) == NULL)
		fail_msg("%s: %s", why, stream_error(p.c));
	assert_true(p.rs == TLS_BAD_CERT || p.rs == TLS_ERROR);
	assert_true(stream_error(p.s)[0] != '\0');
	assert_int_equal(stream_write(p.c, "x", 1), TLS_BAD_CERT);
	assert_int_equal(stream_read(p.c, b, 1), TLS_BAD_CERT);
	pair_close(&p);
	assert_int_equal(tls_client_sessions(client), before);
}

static void
test_refused(void **st)
{
	struct err err = { 0 };
	struct tls_store *none = tls_store_new(slice_make(other_ca.pem,
	    other_ca.pem_n), &err);
	struct tls_ctx *stranger = tls_client_new(none);
	struct pair p;

	(void)st;
	refused(&good, "other.example", "ostname mismatch");
	refused(&good, "192.0.2.7", "IP address mismatch");
	refused(&ip_cert, "192.0.2.8", "IP address mismatch");
	refused(&cn_only, "api.example", "ostname mismatch");
	refused(&expired, "api.example", "expired");
	refused(&future, "api.example", "not yet valid");
	refused(&wild, "api.example", "ostname mismatch");
	refused(&wild, "a.b.api.example", "ostname mismatch");
	refused(&partial, "ab.api.example", "ostname mismatch");
	pair_open(&p, server, stranger, &good, "api.example", "");
	pair_shake(&p);
	assert_int_equal(p.rc, TLS_BAD_CERT);
	assert_non_null(strstr(stream_error(p.c), "unable to get local "
	    "issuer"));
	assert_int_equal(p.rs, TLS_BAD_CERT);
	assert_non_null(strstr(stream_error(p.s), "ca.pem"));
	pair_close(&p);
	assert_int_equal(tls_client_sessions(stranger), 0);
	tls_ctx_free(stranger);
	tls_store_free(none);
}

static bool
shake_resumed(struct tls_ctx *sc, struct tls_ctx *cc, const char *host,
    const char *key)
{
	struct pair p;
	bool r;

	pair_open(&p, sc, cc, host[0] == 'a' ? &good : &wild, host, key);
	pair_shake(&p);
	assert_int_equal(p.rs, 1);
	assert_int_equal(p.rc, 1);
	exchange(&p);		/* the ticket comes with the first read */
	r = tls_conn_resumed(stream_tls(p.c));
	assert_int_equal(r, tls_conn_resumed(stream_tls(p.s)));
	pair_close(&p);
	return r;
}

static void
test_resume(void **st)
{
	struct tls_ctx *cc = tls_client_new(store);
	struct tls_ctx *twin = tls_server_new(ticket_key);
	uint8_t other_key[32] = { 9 };

	(void)st;
	assert_false(shake_resumed(server, cc, "api.example", "443"));
	assert_int_equal(tls_client_sessions(cc), 1);
	assert_true(shake_resumed(server, cc, "api.example", "443"));
	/* Used once: replaced by the new one, not added to. */
	assert_int_equal(tls_client_sessions(cc), 1);
	/* Another proxy with the same ticket key. */
	assert_true(shake_resumed(twin, cc, "api.example", "443"));
	/* Another port, another host: another session. */
	assert_false(shake_resumed(server, cc, "api.example", "8443"));
	assert_false(shake_resumed(server, cc, "b.api.example", "443"));
	tls_server_set_ticket_key(twin, other_key);
	assert_false(shake_resumed(twin, cc, "api.example", "443"));
	tls_ctx_free(twin);
	tls_ctx_free(cc);
}

static void
test_many_peers(void **st)
{
	struct tls_ctx *cc = tls_client_new(store);
	char key[16];

	(void)st;
	for (int i = 0; i < 40; i++) {
		snprintf(key, sizeof(key), "%d", i);
		shake_resumed(server, cc, "api.example", key);
	}
	assert_int_equal(tls_client_sessions(cc), 40);
	tls_ctx_free(cc);
}

static void
test_truncated(void **st)
{
	struct pair p;
	char in[8];

	(void)st;
	pair_open(&p, server, client, &good, "api.example", "trunc");
	pair_shake(&p);
	exchange(&p);
	shutdown(p.fd[1], SHUT_WR);	/* a FIN without close_notify */
	assert_int_equal(stream_read(p.s, in, sizeof(in)), TLS_TRUNCATED);
	assert_int_equal(stream_read(p.s, in, sizeof(in)), TLS_TRUNCATED);
	assert_int_equal(stream_write(p.s, "x", 1), TLS_TRUNCATED);
	pair_close(&p);
	/* A write to who is gone: a result, no signal. */
	pair_open(&p, server, client, &good, "api.example", "trunc");
	pair_shake(&p);
	stream_abort(p.c);
	while (stream_write(p.s, "xxxxxxxx", 8) > 0)
		;
	assert_int_equal(stream_write(p.s, "x", 1), TLS_TRUNCATED);
	stream_free(p.s);
}

/* More than the socket holds: partial writes, the other side reads, all of
 * it arrives in order. */
static void
test_bulk(void **st)
{
	size_t total = 3 << 20, sent = 0, got = 0;
	char *out = malloc(total), *in = malloc(total);
	bool blocked = false;
	struct pair p;

	(void)st;
	for (size_t i = 0; i < total; i++)
		out[i] = (char)(i * 2654435761u >> 13);
	pair_open(&p, server, client, &good, "api.example", "bulk");
	pair_shake(&p);
	while (got < total) {
		while (sent < total) {
			ssize_t k = stream_write(p.s, out + sent,
			    total - sent);

			if (k == TLS_WANT_WRITE) {
				blocked = true;
				break;
			}
			assert_true(k > 0);
			sent += (size_t)k;
		}
		ssize_t k = stream_read(p.c, in + got, total - got);

		if (k == TLS_WANT_READ) {
			assert_int_equal(stream_pending(p.c), 0);
			continue;
		}
		assert_true(k > 0);
		got += (size_t)k;
	}
	assert_true(blocked);
	assert_memory_equal(in, out, total);
	pair_close(&p);
	free(out);
	free(in);
}

/* The ClientHello was read by somebody else before: it comes as preface. */
static void
test_preface(void **st)
{
	struct tls_leaf *l = leaf_of(&good);
	struct pair p;
	char hello[4096];
	ssize_t n;

	(void)st;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, p.fd), 0);
	p.c = stream_tls_client(client, p.fd[1], "api.example", SLICE("pre"));
	assert_int_equal(stream_handshake(p.c), TLS_WANT_READ);
	n = recv(p.fd[0], hello, sizeof(hello), 0);
	assert_true(n > 100);
	p.s = stream_tls_server(server, p.fd[0], slice_make(hello, (size_t)n),
	    l);
	pair_shake(&p);
	assert_int_equal(p.rs, 1);
	assert_int_equal(p.rc, 1);
	exchange(&p);
	pair_close(&p);
	tls_leaf_unref(l);
}

/* A raw OpenSSL client with another opinion on versions and ALPN. */
static int
raw_client(int max, const char *alpn, size_t alpn_n, char *got, size_t size)
{
	SSL_CTX *cc = SSL_CTX_new(TLS_client_method());
	struct tls_leaf *l = leaf_of(&good);
	struct pair p;
	SSL *ssl;
	int rs = TLS_WANT_READ;

	SSL_CTX_set_security_level(cc, 0);
	SSL_CTX_set_min_proto_version(cc, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(cc, max);
	if (alpn != NULL)
		SSL_CTX_set_alpn_protos(cc, (const unsigned char *)alpn,
		    (unsigned)alpn_n);
	ssl = SSL_new(cc);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, p.fd), 0);
	fcntl(p.fd[1], F_SETFL, O_NONBLOCK);
	p.s = stream_tls_server(server, p.fd[0], SLICE(""), l);
	SSL_set_fd(ssl, p.fd[1]);
	for (int i = 0; i < 10 && (rs == TLS_WANT_READ || i < 4); i++) {
		SSL_connect(ssl);
		if (rs == TLS_WANT_READ)
			rs = stream_handshake(p.s);
	}
	if (got != NULL) {
		const unsigned char *a;
		unsigned n;

		SSL_get0_alpn_selected(ssl, &a, &n);
		snprintf(got, size, "%s %.*s", SSL_get_version(ssl), (int)n,
		    (const char *)a);
	}
	SSL_free(ssl);
	SSL_CTX_free(cc);
	close(p.fd[1]);
	stream_free(p.s);
	tls_leaf_unref(l);
	return rs;
}

static void
test_versions_alpn(void **st)
{
	static const char both[] = "\x08http/1.1\x02h2", h2[] = "\x02h2",
	    h1[] = "\x08http/1.1", h3[] = "\x02h3";
	char got[64];

	(void)st;
	assert_int_equal(raw_client(TLS1_2_VERSION, both, sizeof(both) - 1,
	    got, sizeof(got)), 1);
	assert_string_equal(got, "TLSv1.2 h2");
	assert_int_equal(raw_client(TLS1_3_VERSION, both, sizeof(both) - 1,
	    got, sizeof(got)), 1);
	assert_string_equal(got, "TLSv1.3 h2");
	assert_int_equal(raw_client(TLS1_3_VERSION, NULL, 0, got,
	    sizeof(got)), 1);
	assert_int_equal(raw_client(TLS1_3_VERSION, h2, sizeof(h2) - 1, got,
	    sizeof(got)), 1);
	assert_string_equal(got, "TLSv1.3 h2");
	assert_int_equal(raw_client(TLS1_3_VERSION, h1, sizeof(h1) - 1, got,
	    sizeof(got)), 1);
	assert_string_equal(got, "TLSv1.3 http/1.1");
	assert_int_equal(raw_client(TLS1_3_VERSION, h3, sizeof(h3) - 1, NULL,
	    0), TLS_ERROR);
	assert_int_equal(raw_client(TLS1_1_VERSION, NULL, 0, NULL, 0),
	    TLS_ERROR);
}

static void
test_not_tls(void **st)
{
	struct tls_leaf *l = leaf_of(&good);
	struct pair p;

	(void)st;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, p.fd), 0);
	p.s = stream_tls_server(server, p.fd[0], SLICE("GET / HTTP/1.1\r\n"),
	    l);
	assert_int_equal(stream_handshake(p.s), TLS_ERROR);
	assert_true(stream_error(p.s)[0] != '\0');
	stream_free(p.s);
	p.s = stream_plain(p.fd[1], SLICE("x"));
	assert_int_equal(stream_release(p.s), p.fd[1]);
	close(p.fd[1]);
	/* More in hand than any hello: an error, not an accident. */
	char *junk = calloc(1, 100000);

	junk[0] = 0x16;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, p.fd), 0);
	p.s = stream_tls_server(server, p.fd[0], slice_make(junk, 100000), l);
	assert_int_equal(stream_handshake(p.s), TLS_ERROR);
	stream_free(p.s);
	close(p.fd[1]);
	free(junk);
	tls_leaf_unref(l);
}

static void
test_plain(void **st)
{
	int fd[2];
	char in[8];

	(void)st;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	struct stream *a = stream_plain(fd[0], SLICE("pre"));
	struct stream *b = stream_plain(fd[1], SLICE(""));

	assert_int_equal(stream_handshake(a), 1);
	assert_int_equal(stream_pending(a), 3);
	assert_int_equal(stream_read(a, in, 2), 2);
	assert_int_equal(stream_read(a, in, 2), 1);
	assert_int_equal(stream_read(a, in, 2), TLS_WANT_READ);
	assert_int_equal(stream_write(b, "post", 4), 4);
	assert_int_equal(stream_read(a, in, 8), 4);
	assert_int_equal(stream_shutdown(b), 1);
	assert_int_equal(stream_read(a, in, 8), TLS_EOF);
	stream_free(b);
	assert_int_equal(stream_write(a, "x", 1), TLS_TRUNCATED);
	stream_free(a);
}

static void
test_store(void **st)
{
	struct err err = { 0 };
	char two[16384];
	struct tls_store *s;

	(void)st;
	snprintf(two, sizeof(two), "# a comment\n%snot pem\n%s", ca.pem,
	    other_ca.pem);
	s = tls_store_new(slice_str(two), &err);
	assert_non_null(s);
	assert_int_equal(tls_store_count(s), 2);
	tls_store_free(s);
	assert_null(tls_store_new(SLICE(""), &err));
	assert_true(err.set);
	err = (struct err){ 0 };
	two[strlen(two) - 60] = '!';
	assert_null(tls_store_new(slice_str(two), &err));
	assert_non_null(strstr(err.text, "certificate 2"));
	tls_store_free(NULL);
}

static void
test_leaf_errors(void **st)
{
	struct err err = { 0 };
	struct slice der = slice_make(good.der, good.der_n);
	struct tls_key *k = tls_key_new(slice_make(ca.key_der, ca.key_der_n),
	    &err);

	(void)st;
	assert_non_null(k);
	assert_null(tls_leaf_new(k, &der, 1, &err));	/* not its key */
	assert_true(err.set);
	tls_key_free(k);
	k = tls_key_new(slice_make(good.key_der, good.key_der_n), &err);
	struct tls_leaf *l = tls_leaf_new(k, &der, 1, &err);

	assert_non_null(l);
	tls_leaf_unref(tls_leaf_ref(l));
	tls_leaf_unref(l);
	der.n--;
	assert_null(tls_leaf_new(k, &der, 1, &err));
	assert_null(tls_leaf_new(k, &der, 0, &err));
	assert_null(tls_key_new(SLICE("junk"), &err));
	tls_key_free(k);
}

/* n connections as the proxy makes them: the leaf is parsed already. */
static uint64_t
many(struct tls_ctx *cc, struct tls_leaf *l, int n, bool again)
{
	uint64_t t0 = clock_mono_ns();

	for (int i = 0; i < n; i++) {
		struct pair p;
		char key[16];

		snprintf(key, sizeof(key), "%d", again ? 0 : i);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, p.fd),
		    0);
		p.s = stream_tls_server(server, p.fd[0], SLICE(""), l);
		p.c = stream_tls_client(cc, p.fd[1], "api.example",
		    slice_str(key));
		pair_shake(&p);
		exchange(&p);
		assert_int_equal(tls_conn_resumed(stream_tls(p.c)), again);
		pair_close(&p);
	}
	return (clock_mono_ns() - t0) / 1000 / (uint64_t)n;
}

static void
test_speed(void **st)
{
	struct slice chain[2] = { slice_make(good.der, good.der_n),
		slice_make(inter.der, inter.der_n) };
	struct tls_ctx *cc = tls_client_new(store);
	struct err err = { 0 };
	struct tls_key *k = tls_key_new(slice_make(good.key_der,
	    good.key_der_n), &err);
	struct tls_leaf *l = tls_leaf_new(k, chain, 2, &err);
	uint64_t full, again, parse;

	(void)st;
	full = many(cc, l, 40, false);
	again = many(cc, l, 40, true);
	tls_leaf_unref(l);
	parse = clock_mono_ns();
	for (int i = 0; i < 100; i++)
		tls_leaf_unref(tls_leaf_new(k, chain, 2, &err));
	parse = (clock_mono_ns() - parse) / 100000;
	printf("handshake, both sides: full %llu us, resumed %llu us; "
	    "tls_leaf_new %llu us\n", (unsigned long long)full,
	    (unsigned long long)again, (unsigned long long)parse);
	tls_key_free(k);
	tls_ctx_free(cc);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_resume),
		cmocka_unit_test(test_many_peers),
		cmocka_unit_test(test_truncated), cmocka_unit_test(test_bulk),
		cmocka_unit_test(test_preface),
		cmocka_unit_test(test_versions_alpn),
		cmocka_unit_test(test_not_tls), cmocka_unit_test(test_plain),
		cmocka_unit_test(test_store),
		cmocka_unit_test(test_leaf_errors),
		cmocka_unit_test(test_speed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
