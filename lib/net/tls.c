/*
 * tls - see tls.h.
 *
 * The socket is read through an own BIO: it takes first what was read before
 * TLS began, fetches more than the five header bytes OpenSSL asks for (one
 * system call a record instead of two), and never raises SIGPIPE. When
 * OpenSSL wants more, that buffer is empty: so tls_pending() is exact.
 */
#include "tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "addr.h"
#include "buf.h"
#include "clock.h"
#include "list.h"
#include "map.h"

#define STORE_MAX 4096
#define CHAIN_MAX 4
#define SLOTS_MAX 1024		/* peers a client keeps sessions of */
#define SLOT_SESSIONS 2
#define SMALL_READ 1024
#define READ_AHEAD 20480	/* more than the largest record */

#define CIPHERS12 "ECDHE+AESGCM:ECDHE+CHACHA20"
#define CIPHERS13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:" \
	"TLS_CHACHA20_POLY1305_SHA256"

struct tls_store {
	X509_STORE *x;
	size_t n;
};

/* Sessions of one peer, newest last. */
struct slot {
	struct list lru;
	SSL_SESSION *s[SLOT_SESSIONS];
	size_t n, key_n;
	char key[];
};

struct tls_ctx {
	SSL_CTX *ssl;
	bool server;
	struct map slots;
	struct list lru;	/* least recently stored first */
};

struct tls_key {
	EVP_PKEY *pkey;
	struct {
		X509 *x;
		char *der;
		size_t n;
	} issuer[CHAIN_MAX];
};

struct tls_leaf {
	unsigned refs;
	X509 *cert;
	EVP_PKEY *pkey;
	STACK_OF(X509) *issuers;
};

struct tls_conn {
	SSL *ssl;
	struct tls_ctx *ctx;
	int fd;
	int dead;		/* the result that ended it, or 0 */
	bool eof, bad_cert, no_h2;
	struct buf in;		/* received, not yet asked for by OpenSSL */
	char *host;		/* client: who the peer must be */
	char *key;		/* client: of its slot */
	size_t key_n;
	char error[320];
};

static BIO_METHOD *bio_method;

/* ---- the socket ---- */

static int
bio_receive(struct tls_conn *t, char *p, int n)
{
	static char scratch[READ_AHEAD];
	bool small = n < SMALL_READ;
	ssize_t k;

	do {
		k = recv(t->fd, small ? scratch : p,
		    small ? sizeof(scratch) : (size_t)n, 0);
	} while (k < 0 && errno == EINTR);
	if (k <= 0 || !small)
		return (int)k;
	size_t now = (size_t)k < (size_t)n ? (size_t)k : (size_t)n;

	memcpy(p, scratch, now);
	if (buf_add(&t->in, scratch + now, (size_t)k - now) != 0)
		ASSERT(!"in is empty and holds a whole scratch");
	return (int)now;
}

static int
bio_read(BIO *b, char *p, int n)
{
	struct tls_conn *t = BIO_get_data(b);
	int k;

	BIO_clear_retry_flags(b);
	if (p == NULL || n <= 0)
		return 0;
	if (t->in.len > 0) {
		size_t m = t->in.len < (size_t)n ? t->in.len : (size_t)n;

		memcpy(p, buf_data(&t->in), m);
		buf_consume(&t->in, m);
		return (int)m;
	}
	k = bio_receive(t, p, n);
	if (k == 0)
		t->eof = true;
	if (k < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		BIO_set_retry_read(b);
	return k;
}

static int
bio_write(BIO *b, const char *p, int n)
{
	struct tls_conn *t = BIO_get_data(b);
	ssize_t k;

	BIO_clear_retry_flags(b);
	do {
		k = send(t->fd, p, (size_t)n, MSG_NOSIGNAL);
	} while (k < 0 && errno == EINTR);
	if (k < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		BIO_set_retry_write(b);
	return (int)k;
}

static long
bio_ctrl(BIO *b, int cmd, long num, void *p)
{
	struct tls_conn *t = BIO_get_data(b);

	(void)num;
	(void)p;
	if (cmd == BIO_CTRL_EOF)
		return t->eof;
	return cmd == BIO_CTRL_FLUSH;
}

static BIO *
bio_for(struct tls_conn *t)
{
	BIO *b = BIO_new(bio_method);

	ASSERT(b != NULL);
	BIO_set_data(b, t);
	BIO_set_init(b, 1);
	return b;
}

void
tls_init(void)
{
	unsigned char seed[16];

	if (bio_method != NULL)
		return;
	ASSERT(sodium_init() >= 0);
	ASSERT(OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG |
	    OPENSSL_INIT_LOAD_SSL_STRINGS | OPENSSL_INIT_LOAD_CRYPTO_STRINGS,
	    NULL) == 1);
	ASSERT(RAND_bytes(seed, sizeof(seed)) == 1);
	tzset();	/* else the first gmtime_r() opens /etc/localtime */
	bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK,
	    "portreeve");
	ASSERT(bio_method != NULL);
	BIO_meth_set_read(bio_method, bio_read);
	BIO_meth_set_write(bio_method, bio_write);
	BIO_meth_set_ctrl(bio_method, bio_ctrl);
}

/* ---- what went wrong ---- */

static const char *
ssl_reason(unsigned long e)
{
	const char *s = ERR_reason_error_string(e);

	return s == NULL ? "unknown reason" : s;
}

static void
err_ssl(struct err *err, const char *what)
{
	err_set(err, "%s: %s", what, ssl_reason(ERR_peek_last_error()));
	ERR_clear_error();
}

/* SSL_get_error(3) wants an empty queue. Nearly always it is: clearing walks
 * all of it. */
static inline void
forget_errors(void)
{
	if (ERR_peek_error() != 0)
		ERR_clear_error();
}

static int
die(struct tls_conn *t, int result, const char *what, const char *why)
{
	t->dead = result;
	if (t->error[0] == '\0')
		snprintf(t->error, sizeof(t->error), "%s%s%s", what,
		    why[0] == '\0' ? "" : ": ", why);
	return result;
}

/* The peer's alert says that it does not like our certificate. */
static bool
alert_on_cert(unsigned long e)
{
	switch (ERR_GET_REASON(e)) {
	case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
	case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
	case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
		return true;
	default:
		return false;
	}
}

static int
die_ssl(struct tls_conn *t)
{
	unsigned long e = ERR_peek_error();
	int reason = ERR_GET_REASON(e);

	if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		return die(t, TLS_TRUNCATED,
		    "connection ended without a TLS close", "");
	if (t->bad_cert)
		return die(t, TLS_BAD_CERT, "certificate not accepted", "");
	if (t->ctx->server && alert_on_cert(e))
		return die(t, TLS_BAD_CERT, "the client does not accept our "
		    "certificate (is ca.pem in its trust store?)",
		    ssl_reason(e));
	return die(t, TLS_ERROR, "TLS", ssl_reason(e));
}

static int
result(struct tls_conn *t, int ret)
{
	int saved = errno, r;

	switch (SSL_get_error(t->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
		if (t->in.len == 0)
			buf_free(&t->in);	/* idle: give it back */
		return TLS_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return TLS_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_EOF;
	case SSL_ERROR_SYSCALL:
		return die(t, TLS_TRUNCATED, "connection lost",
		    t->eof ? "closed by the peer" : strerror(saved));
	default:
		r = die_ssl(t);
		ERR_clear_error();
		return r;
	}
}

const char *
tls_conn_error(const struct tls_conn *t)
{
	return t->error;
}

/* ---- trust ---- */

struct tls_store *
tls_store_new(struct slice pem, struct err *err)
{
	struct tls_store *s;
	BIO *b;
	X509 *x;

	tls_init();
	ASSERT(pem.n <= INT32_MAX);
	s = base_calloc(1, sizeof(*s));
	s->x = X509_STORE_new();
	b = BIO_new_mem_buf(pem.n == 0 ? "" : pem.p, (int)pem.n);
	ASSERT(s->x != NULL && b != NULL);
	ERR_clear_error();
	while (s->n < STORE_MAX &&
	    (x = PEM_read_bio_X509(b, NULL, NULL, NULL)) != NULL) {
		ASSERT(X509_STORE_add_cert(s->x, x) == 1);
		X509_free(x);
		s->n++;
	}
	BIO_free(b);
	if (s->n == STORE_MAX) {
		err_set(err, "trust store: more than %d certificates",
		    STORE_MAX - 1);
	} else if (ERR_GET_REASON(ERR_peek_last_error()) !=
	    PEM_R_NO_START_LINE) {
		err_set(err, "trust store: certificate %zu is malformed: %s",
		    s->n + 1, ssl_reason(ERR_peek_last_error()));
	} else if (s->n == 0) {
		err_set(err, "trust store: no certificate in it; PEM blocks "
		    "\"BEGIN CERTIFICATE\" are wanted");
	} else {
		ERR_clear_error();
		return s;
	}
	ERR_clear_error();
	tls_store_free(s);
	return NULL;
}

void
tls_store_free(struct tls_store *s)
{
	if (s == NULL)
		return;
	X509_STORE_free(s->x);
	free(s);
}

size_t
tls_store_count(const struct tls_store *s)
{
	return s->n;
}

/* ---- contexts ---- */

static struct tls_ctx *
ctx_new(const SSL_METHOD *method, bool server)
{
	struct tls_ctx *c = base_calloc(1, sizeof(*c));

	c->server = server;
	map_init(&c->slots);
	list_init(&c->lru);
	c->ssl = SSL_CTX_new(method);
	ASSERT(c->ssl != NULL);
	ASSERT(SSL_CTX_set_min_proto_version(c->ssl, TLS1_2_VERSION) == 1);
	ASSERT(SSL_CTX_set_max_proto_version(c->ssl, TLS1_3_VERSION) == 1);
	SSL_CTX_set_security_level(c->ssl, 2);
	ASSERT(SSL_CTX_set_cipher_list(c->ssl, CIPHERS12) == 1);
	ASSERT(SSL_CTX_set_ciphersuites(c->ssl, CIPHERS13) == 1);
	ASSERT(SSL_CTX_set1_groups_list(c->ssl, "X25519:P-256:P-384") == 1);
	SSL_CTX_set_options(c->ssl, SSL_OP_NO_RENEGOTIATION |
	    SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(c->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE |
	    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	return c;
}

/* RFC 7301, 3.2: with nothing in common the server shall send
 * no_application_protocol. */
static int
select_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen,
    const unsigned char *in, unsigned int inlen, void *arg)
{
	static const char *const ours[] = { "\x02h2", "\x08http/1.1" };
	const struct tls_conn *t = SSL_get_app_data(ssl);

	(void)arg;
	for (size_t k = t->no_h2; k < ARRAY_LEN(ours); k++) {
		size_t n = strlen(ours[k]);

		for (unsigned i = 0; i < inlen; i += 1u + in[i]) {
			if (inlen - i < n || memcmp(in + i, ours[k], n) != 0)
				continue;
			*out = in + i + 1;
			*outlen = in[i];
			return SSL_TLSEXT_ERR_OK;
		}
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

void
tls_server_set_ticket_key(struct tls_ctx *c, const uint8_t key[32])
{
	/* OpenSSL's layout: name, MAC key, cipher key. */
	unsigned char k[80];

	_Static_assert(crypto_kdf_KEYBYTES == 32, "kdf key");
	crypto_kdf_derive_from_key(k, 16, 1, "tickets_", key);
	crypto_kdf_derive_from_key(k + 16, 32, 2, "tickets_", key);
	crypto_kdf_derive_from_key(k + 48, 32, 3, "tickets_", key);
	ASSERT(SSL_CTX_set_tlsext_ticket_keys(c->ssl, k, sizeof(k)) == 1);
	explicit_bzero(k, sizeof(k));
}

struct tls_ctx *
tls_server_new(const uint8_t ticket_key[32])
{
	static const unsigned char sid[] = "portreeve";
	struct tls_ctx *c;

	tls_init();
	c = ctx_new(TLS_server_method(), true);
	SSL_CTX_set_options(c->ssl, SSL_OP_CIPHER_SERVER_PREFERENCE |
	    SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_OFF);
	ASSERT(SSL_CTX_set_session_id_context(c->ssl, sid,
	    sizeof(sid) - 1) == 1);
	ASSERT(SSL_CTX_set_num_tickets(c->ssl, 1) == 1);
	SSL_CTX_set_timeout(c->ssl, 3600);
	SSL_CTX_set_alpn_select_cb(c->ssl, select_alpn, NULL);
	tls_server_set_ticket_key(c, ticket_key);
	return c;
}

static void
slot_drop_session(struct slot *s, size_t i)
{
	SSL_SESSION_free(s->s[i]);
	memmove(s->s + i, s->s + i + 1, (--s->n - i) * sizeof(s->s[0]));
}

static void
slot_free(struct tls_ctx *c, struct slot *s)
{
	while (s->n > 0)
		slot_drop_session(s, s->n - 1);
	list_remove(&s->lru);
	map_del(&c->slots, slice_make(s->key, s->key_n));
	free(s);
}

static struct slot *
slot_for(struct tls_ctx *c, struct slice key)
{
	struct slot *s = map_get(&c->slots, key);

	if (s == NULL) {
		if (map_count(&c->slots) >= SLOTS_MAX)
			slot_free(c, list_entry(c->lru.next, struct slot,
			    lru));
		s = base_calloc(1, sizeof(*s) + key.n);
		memcpy(s->key, key.p, key.n);
		s->key_n = key.n;
		map_put(&c->slots, key, s);
	}
	list_remove(&s->lru);
	list_append(&c->lru, &s->lru);
	return s;
}

/* OpenSSL hands over a reference when 1 is answered. Only after a verified
 * handshake: an unverified one does not complete. */
static int
on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls_conn *t = SSL_get_app_data(ssl);
	struct slot *s;

	if (!SSL_SESSION_is_resumable(session))
		return 0;
	s = slot_for(t->ctx, slice_make(t->key, t->key_n));
	if (s->n == SLOT_SESSIONS)
		slot_drop_session(s, 0);
	s->s[s->n++] = session;
	return 1;
}

static bool
session_fresh(const SSL_SESSION *s)
{
	int64_t now = (clock_wall_ms() - clock_offset_ms()) / 1000;

	return SSL_SESSION_get_time(s) + SSL_SESSION_get_timeout(s) > now;
}

/* RFC 8446, C.4: a client should not use a ticket twice. */
static void
offer_session(struct tls_conn *t)
{
	struct slot *s = map_get(&t->ctx->slots, slice_make(t->key, t->key_n));

	while (s != NULL && s->n > 0) {
		SSL_SESSION *x = s->s[s->n - 1];
		bool fresh = session_fresh(x);

		if (fresh)
			ASSERT(SSL_set_session(t->ssl, x) == 1);
		if (!fresh || SSL_SESSION_get_protocol_version(x) >=
		    TLS1_3_VERSION)
			slot_drop_session(s, s->n - 1);
		if (fresh)
			return;
	}
}

static int
on_verify(int ok, X509_STORE_CTX *sc)
{
	int idx = SSL_get_ex_data_X509_STORE_CTX_idx();
	SSL *ssl = X509_STORE_CTX_get_ex_data(sc, idx);
	struct tls_conn *t = SSL_get_app_data(ssl);
	X509 *x = X509_STORE_CTX_get_current_cert(sc);
	char name[128] = "?";

	if (ok)
		return 1;
	if (x != NULL)
		X509_NAME_oneline(X509_get_subject_name(x), name,
		    sizeof(name));
	t->bad_cert = true;
	snprintf(t->error, sizeof(t->error),
	    "the certificate of %.100s is not accepted: %s (depth %d, "
	    "subject %.100s)", t->host,
	    X509_verify_cert_error_string(X509_STORE_CTX_get_error(sc)),
	    X509_STORE_CTX_get_error_depth(sc), name);
	return 0;
}

struct tls_ctx *
tls_client_new(struct tls_store *store)
{
	static const unsigned char h1[] = "\x08http/1.1";
	struct tls_ctx *c;

	tls_init();
	c = ctx_new(TLS_client_method(), false);
	SSL_CTX_set1_cert_store(c->ssl, store->x);
	SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER, on_verify);
	SSL_CTX_set_verify_depth(c->ssl, 8);
	SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_CLIENT |
	    SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(c->ssl, on_new_session);
	ASSERT(SSL_CTX_set_alpn_protos(c->ssl, h1, sizeof(h1) - 1) == 0);
	return c;
}

void
tls_client_offer_h2(struct tls_ctx *c)
{
	static const unsigned char both[] = "\x02h2\x08http/1.1";

	ASSERT(SSL_CTX_set_alpn_protos(c->ssl, both, sizeof(both) - 1) == 0);
}

void
tls_ctx_free(struct tls_ctx *c)
{
	if (c == NULL)
		return;
	while (!list_empty(&c->lru))
		slot_free(c, list_entry(c->lru.next, struct slot, lru));
	map_free(&c->slots);
	SSL_CTX_free(c->ssl);
	free(c);
}

size_t
tls_client_sessions(const struct tls_ctx *c)
{
	size_t n = 0;

	list_each(it, &c->lru)
		n += list_entry(it, struct slot, lru)->n;
	return n;
}

/* ---- our own certificates ---- */

struct tls_key *
tls_key_new(struct slice der, struct err *err)
{
	const unsigned char *p = (const unsigned char *)der.p;
	struct tls_key *k;
	EVP_PKEY *pkey;

	tls_init();
	pkey = d2i_AutoPrivateKey(NULL, &p, (long)der.n);
	if (pkey == NULL) {
		err_ssl(err, "private key");
		return NULL;
	}
	k = base_calloc(1, sizeof(*k));
	k->pkey = pkey;
	return k;
}

void
tls_key_free(struct tls_key *k)
{
	if (k == NULL)
		return;
	for (size_t i = 0; i < CHAIN_MAX; i++) {
		X509_free(k->issuer[i].x);
		free(k->issuer[i].der);
	}
	EVP_PKEY_free(k->pkey);
	free(k);
}

static X509 *
parse_cert(struct slice der)
{
	const unsigned char *p = (const unsigned char *)der.p;
	X509 *x = d2i_X509(NULL, &p, (long)der.n);

	if (x != NULL && p != (const unsigned char *)der.p + der.n) {
		X509_free(x);
		x = NULL;
	}
	return x;
}

/* Borrowed from the key; parsed only when it is not the one of last time. */
static X509 *
issuer_cert(struct tls_key *k, size_t i, struct slice der)
{
	X509 *x;

	if (k->issuer[i].x != NULL && slice_eq(der,
	    slice_make(k->issuer[i].der, k->issuer[i].n)))
		return k->issuer[i].x;
	if ((x = parse_cert(der)) == NULL)
		return NULL;
	X509_free(k->issuer[i].x);
	free(k->issuer[i].der);
	k->issuer[i].x = x;
	k->issuer[i].der = slice_dup(der);
	k->issuer[i].n = der.n;
	return x;
}

struct tls_leaf *
tls_leaf_new(struct tls_key *key, const struct slice *der, size_t n,
    struct err *err)
{
	struct tls_leaf *l;

	if (n == 0 || n > CHAIN_MAX) {
		err_set(err, "certificate chain of %zu: 1 to %d are wanted",
		    n, CHAIN_MAX);
		return NULL;
	}
	l = base_calloc(1, sizeof(*l));
	l->refs = 1;
	l->issuers = sk_X509_new_reserve(NULL, (int)n);
	ASSERT(l->issuers != NULL);
	if ((l->cert = parse_cert(der[0])) == NULL)
		goto bad;
	for (size_t i = 1; i < n; i++) {
		X509 *x = issuer_cert(key, i - 1, der[i]);

		if (x == NULL)
			goto bad;
		X509_up_ref(x);
		ASSERT(sk_X509_push(l->issuers, x) > 0);
	}
	if (X509_check_private_key(l->cert, key->pkey) != 1)
		goto bad;
	EVP_PKEY_up_ref(key->pkey);
	l->pkey = key->pkey;
	return l;
bad:
	err_ssl(err, "certificate chain");
	tls_leaf_unref(l);
	return NULL;
}

struct tls_leaf *
tls_leaf_ref(struct tls_leaf *l)
{
	l->refs++;
	return l;
}

void
tls_leaf_unref(struct tls_leaf *l)
{
	if (l == NULL || --l->refs > 0)
		return;
	X509_free(l->cert);
	EVP_PKEY_free(l->pkey);
	sk_X509_pop_free(l->issuers, X509_free);
	free(l);
}

/* ---- connections ---- */

static struct tls_conn *
conn_new(struct tls_ctx *c, int fd)
{
	struct tls_conn *t = base_calloc(1, sizeof(*t));
	BIO *b;

	t->ctx = c;
	t->fd = fd;
	buf_init(&t->in, READ_AHEAD);
	t->ssl = SSL_new(c->ssl);
	ASSERT(t->ssl != NULL);
	SSL_set_app_data(t->ssl, t);
	b = bio_for(t);
	SSL_set_bio(t->ssl, b, b);
	return t;
}

struct tls_conn *
tls_server_conn(struct tls_ctx *c, int fd, struct slice preface)
{
	struct tls_conn *t;

	ASSERT(c->server);
	t = conn_new(c, fd);
	if (preface.n > t->in.max)
		t->in.max = preface.n;
	ASSERT(buf_add_slice(&t->in, preface) == 0);
	SSL_set_accept_state(t->ssl);
	return t;
}

struct tls_conn *
tls_client_conn(struct tls_ctx *c, int fd, const char *host,
    struct slice session_key)
{
	size_t hn = strlen(host) + 1;
	struct tls_conn *t;
	struct addr a;

	ASSERT(!c->server && hn > 1);
	t = conn_new(c, fd);
	t->host = base_strdup(host);
	t->key_n = hn + session_key.n;
	t->key = base_calloc(1, t->key_n);
	memcpy(t->key, host, hn);
	if (session_key.n != 0)
		memcpy(t->key + hn, session_key.p, session_key.n);
	SSL_set_connect_state(t->ssl);
	SSL_set_hostflags(t->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
	    X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	if (addr_parse_ip(slice_str(host), &a)) {
		ASSERT(X509_VERIFY_PARAM_set1_ip(SSL_get0_param(t->ssl),
		    a.ip, a.family == 4 ? 4 : 16) == 1);
	} else {
		ASSERT(SSL_set1_host(t->ssl, host) == 1);
		ASSERT(SSL_set_tlsext_host_name(t->ssl, host) == 1);
	}
	offer_session(t);
	return t;
}

void
tls_conn_free(struct tls_conn *t)
{
	if (t == NULL)
		return;
	SSL_free(t->ssl);
	buf_wipe_free(&t->in);
	free(t->host);
	free(t->key);
	free(t);
}

int
tls_conn_set_leaf(struct tls_conn *t, struct tls_leaf *l)
{
	ASSERT(t->ctx->server);
	ERR_clear_error();
	if (SSL_use_cert_and_key(t->ssl, l->cert, l->pkey, l->issuers, 1) == 1)
		return 0;
	snprintf(t->error, sizeof(t->error), "certificate: %s",
	    ssl_reason(ERR_peek_last_error()));
	ERR_clear_error();
	return -1;
}

int
tls_handshake(struct tls_conn *t)
{
	int r;

	if (t->dead != 0)
		return t->dead;
	forget_errors();
	errno = 0;
	r = SSL_do_handshake(t->ssl);
	if (r == 1) {
		tls_trim(t);
		return 1;
	}
	r = result(t, r);
	if (r == TLS_EOF)
		return die(t, TLS_TRUNCATED, "closed during the handshake",
		    "");
	return r;
}

ssize_t
tls_read(struct tls_conn *t, void *p, size_t n)
{
	size_t got = 0;
	int r;

	ASSERT(n > 0);
	if (t->dead != 0)
		return t->dead;
	forget_errors();
	errno = 0;
	r = SSL_read_ex(t->ssl, p, n, &got);
	return r == 1 ? (ssize_t)got : result(t, r);
}

ssize_t
tls_write(struct tls_conn *t, const void *p, size_t n)
{
	size_t put = 0;
	int r;

	ASSERT(n > 0);
	if (t->dead != 0)
		return t->dead;
	forget_errors();
	errno = 0;
	r = SSL_write_ex(t->ssl, p, n, &put);
	return r == 1 ? (ssize_t)put : result(t, r);
}

int
tls_shutdown(struct tls_conn *t)
{
	int r;

	if (t->dead != 0)
		return t->dead;
	if (!SSL_is_init_finished(t->ssl))
		return 1;	/* no keys yet to say it with */
	forget_errors();
	errno = 0;
	r = SSL_shutdown(t->ssl);
	return r >= 0 ? 1 : result(t, r);
}

void
tls_trim(struct tls_conn *t)
{
	(void)SSL_free_buffers(t->ssl);
	if (t->in.len == 0)
		buf_wipe_free(&t->in);
}

size_t
tls_pending(const struct tls_conn *t)
{
	return (size_t)SSL_pending(t->ssl) + t->in.len;
}

void
tls_conn_refuse_h2(struct tls_conn *t)
{
	t->no_h2 = true;
}

bool
tls_conn_h2(const struct tls_conn *t)
{
	const unsigned char *p;
	unsigned n;

	SSL_get0_alpn_selected(t->ssl, &p, &n);
	return n == 2 && memcmp(p, "h2", 2) == 0;
}

bool
tls_conn_resumed(const struct tls_conn *t)
{
	return SSL_session_reused(t->ssl) == 1;
}

const char *
tls_conn_version(const struct tls_conn *t)
{
	return SSL_get_version(t->ssl);
}
