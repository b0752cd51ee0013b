/* sink_tls - see sink_tls.h. */
#include "sink_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#define CA_MAX 4096	/* certificates */

static int
add_certificates(X509_STORE *store, const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *x;
	int n = 0;

	ASSERT(bio != NULL);
	while (n < CA_MAX &&
	    (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		n += X509_STORE_add_cert(store, x) == 1;
		X509_free(x);
	}
	BIO_free(bio);
	ERR_clear_error();
	return n;
}

SSL_CTX *
sink_tls_ctx_new(const char *ca_pem, struct err *err)
{
	SSL_CTX *c;
	X509_STORE *store;

	OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	c = SSL_CTX_new(TLS_client_method());
	store = X509_STORE_new();
	ASSERT(c != NULL && store != NULL);
	SSL_CTX_set_cert_store(c, store);	/* takes it */
	if (ca_pem == NULL || add_certificates(store, ca_pem) == 0) {
		err_set(err, "ca: holds no certificate; give a PEM file with "
		    "the certificate that signed the receiver's");
		SSL_CTX_free(c);
		return NULL;
	}
	SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
	SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
	X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(c),
	    X509_V_FLAG_PARTIAL_CHAIN);
	SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE |
	    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
	return c;
}

/* Counts the peer's answers: KeyUpdate (24) with update_not_requested (0);
 * a request of the peer's own is none. */
static void
on_message(int sent, int version, int content_type, const void *p, size_t n,
    SSL *ssl, void *arg)
{
	const unsigned char *m = p;
	struct sink_tls *t = arg;

	(void)version;
	(void)ssl;
	if (!sent && content_type == SSL3_RT_HANDSHAKE && n == 5 &&
	    m[0] == SSL3_MT_KEY_UPDATE && m[4] == SSL_KEY_UPDATE_NOT_REQUESTED)
		t->answers++;
}

static int
expect_name(SSL *ssl, const char *name)
{
	unsigned char ip[16];
	X509_VERIFY_PARAM *vp = SSL_get0_param(ssl);

	X509_VERIFY_PARAM_set_hostflags(vp, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
	    X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	if (inet_pton(AF_INET, name, ip) == 1 ||
	    inet_pton(AF_INET6, name, ip) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(vp, name);
	return SSL_set1_host(ssl, name) == 1 &&
	    SSL_set_tlsext_host_name(ssl, name) == 1;
}

int
sink_tls_open(struct sink_tls *t, SSL_CTX *ctx, int fd, const char *name,
    struct err *err)
{
	memset(t, 0, sizeof(*t));
	t->ssl = SSL_new(ctx);
	ASSERT(t->ssl != NULL);
	/* An empty name would mean: any. */
	if (name == NULL || name[0] == '\0' || !expect_name(t->ssl, name) ||
	    SSL_set_fd(t->ssl, fd) != 1) {
		err_set(err, "server_name \"%s\" cannot be verified",
		    name == NULL ? "" : name);
		sink_tls_close(t, false);
		return -1;
	}
	SSL_set_msg_callback(t->ssl, on_message);
	SSL_set_msg_callback_arg(t->ssl, t);
	SSL_set_connect_state(t->ssl);
	return 0;
}

void
sink_tls_close(struct sink_tls *t, bool notify)
{
	if (t->ssl != NULL) {
		SSL_set_msg_callback(t->ssl, NULL);
		if (notify)
			SSL_shutdown(t->ssl);
		SSL_free(t->ssl);
		ERR_clear_error();
	}
	memset(t, 0, sizeof(*t));
}

static void
explain(struct sink_tls *t, int e, int saved, struct err *err)
{
	unsigned long code = ERR_peek_error();
	long verify = SSL_get_verify_result(t->ssl);

	if (ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED)
		err_set(err, "certificate: %s",
		    X509_verify_cert_error_string(verify));
	else if (e == SSL_ERROR_ZERO_RETURN)
		err_set(err, "closed by the receiver");
	else if (e == SSL_ERROR_SYSCALL && saved != 0)
		err_set(err, "%s", strerror(saved));
	else if (e == SSL_ERROR_SYSCALL ||
	    ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		err_set(err, "cut off by the receiver");
	else
		err_set(err, "TLS: %s", ERR_reason_error_string(code) == NULL ?
		    "unknown error" : ERR_reason_error_string(code));
	ERR_clear_error();
}

static enum sink_tls_result
result(struct sink_tls *t, int r, int saved, bool *blocked,
    struct err *err)
{
	int e = SSL_get_error(t->ssl, r);

	if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
		*blocked = e == SSL_ERROR_WANT_WRITE;
		return SINK_TLS_AGAIN;
	}
	explain(t, e, saved, err);
	return SINK_TLS_ERROR;
}

enum sink_tls_result
sink_tls_handshake(struct sink_tls *t, struct err *err)
{
	ERR_clear_error();
	errno = 0;
	int r = SSL_do_handshake(t->ssl);

	t->write_blocked = false;
	return r == 1 ? SINK_TLS_OK :
	    result(t, r, errno, &t->write_blocked, err);
}

enum sink_tls_result
sink_tls_write(struct sink_tls *t, struct slice s, size_t *n_r,
    struct err *err)
{
	size_t done = 0;
	enum sink_tls_result res = SINK_TLS_OK;

	ASSERT(t->to_ask == 0);
	t->write_blocked = false;
	while (done < s.n) {
		size_t n = 0;

		ERR_clear_error();
		errno = 0;
		int r = SSL_write_ex(t->ssl, s.p + done, s.n - done, &n);

		if (r != 1) {
			res = result(t, r, errno, &t->write_blocked, err);
			break;
		}
		done += n;
	}
	*n_r = done;
	return res;
}

enum sink_tls_result
sink_tls_drain(struct sink_tls *t, struct err *err)
{
	char waste[4096];
	size_t n;
	int r;

	do {
		ERR_clear_error();
		errno = 0;
		r = SSL_read_ex(t->ssl, waste, sizeof(waste), &n);
	} while (r == 1);
	return result(t, r, errno, &t->read_blocked, err);
}

enum sink_tls_result
sink_tls_ask_more(struct sink_tls *t, struct err *err)
{
	while (t->to_ask > 0) {
		if (!t->asking && SSL_key_update(t->ssl,
		    SSL_KEY_UPDATE_REQUESTED) != 1) {
			explain(t, SSL_ERROR_SSL, 0, err);
			return SINK_TLS_ERROR;
		}
		t->asking = true;
		enum sink_tls_result r = sink_tls_handshake(t, err);

		if (r != SINK_TLS_OK)
			return r;
		t->asking = false;
		t->to_ask--;
	}
	return SINK_TLS_OK;
}

enum sink_tls_result
sink_tls_ask(struct sink_tls *t, struct err *err)
{
	ASSERT(t->to_ask == 0);
	t->to_ask = 2;
	t->asks++;
	return sink_tls_ask_more(t, err);
}

bool
sink_tls_answered(const struct sink_tls *t)
{
	/* The first request of the last ask is number 2 * asks - 1. */
	return t->to_ask == 0 && t->asks > 0 && t->answers >= 2 * t->asks - 1;
}

bool
sink_tls_wants_write(const struct sink_tls *t)
{
	return t->write_blocked || t->read_blocked;
}

bool
sink_tls_can_ask(const struct sink_tls *t)
{
	return SSL_version(t->ssl) >= TLS1_3_VERSION;
}

const char *
sink_tls_version(const struct sink_tls *t)
{
	return SSL_get_version(t->ssl);
}
