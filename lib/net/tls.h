/*
 * tls - TLS 1.2 and 1.3 connections over a non-blocking descriptor, on
 * OpenSSL; made for the path of a call.
 *
 * One tls_ctx serves many connections (never one a connection). A server
 * connection gets its certificate with tls_conn_set_leaf() before the
 * handshake. A client connection always verifies its peer: chain, name
 * (subjectAltName only, no partial wildcards), time. ALPN: a server takes h2
 * when the client offers it, else http/1.1; a client offers http/1.1, and h2
 * before it where tls_client_offer_h2() said so. No renegotiation, no compression, no early data.
 *
 * All results below zero are enum tls_result; nothing here blocks or writes
 * to a closed socket with a signal.
 * Sources: RFC 8446, RFC 5246, RFC 5077, RFC 7301, RFC 9525 (names),
 * RFC 5746, OpenSSL 3.0 manual pages.
 */
#ifndef TLS_H
#define TLS_H

#include "base.h"
#include "err.h"
#include "secret.h"

struct tls_store;	/* whom a client trusts */
struct tls_ctx;
struct tls_key;		/* the private key all leaves share */
struct tls_leaf;	/* one parsed certificate chain; refcounted */
struct tls_conn;

enum tls_result {
	TLS_WANT_READ = -1,
	TLS_WANT_WRITE = -2,
	TLS_EOF = -3,		/* the peer closed properly (close_notify) */
	TLS_TRUNCATED = -4,	/* the peer vanished without saying so */
	TLS_ERROR = -5,		/* see tls_conn_error() */
	TLS_BAD_CERT = -6	/* handshake: the peer's certificate, or ours at
				 * the peer, was not accepted */
};

/* Loads and prefetches what OpenSSL otherwise finds later, without reading
 * its configuration file. Before the sandbox; may be called again. */
void tls_init(void);

/* All certificates of a PEM bundle. At least one, at most 4096, or NULL and
 * err; text outside of the PEM blocks is passed over. */
struct tls_store *tls_store_new(struct slice pem, struct err *err) MUST_USE;
void tls_store_free(struct tls_store *s);	/* NULL-safe */
size_t tls_store_count(const struct tls_store *s);

/* ticket_key: the same 32 bytes at all proxies, so that a client resumes at
 * any of them. */
struct tls_ctx *tls_server_new(const uint8_t ticket_key[32]) MUST_USE;
/* In place: for a keeper that was started again. */
void tls_server_set_ticket_key(struct tls_ctx *c, const uint8_t key[32]);
/* The store is shared, not taken; it may be freed afterwards. */
struct tls_ctx *tls_client_new(struct tls_store *store) MUST_USE;
/* For connections made from now on. */
void tls_client_offer_h2(struct tls_ctx *c);
/* After all its connections. NULL-safe. */
void tls_ctx_free(struct tls_ctx *c);
/* Sessions a client keeps for resumption. */
size_t tls_client_sessions(const struct tls_ctx *c);

/* PKCS#8 or SEC1 DER. */
struct tls_key *tls_key_new(struct slice der, struct err *err) MUST_USE;
void tls_key_free(struct tls_key *k);		/* NULL-safe */
/* der[0] is the leaf, then its issuers; the key must belong to it. The
 * issuers parsed last are remembered by the key and shared. */
struct tls_leaf *tls_leaf_new(struct tls_key *key, const struct slice *der,
    size_t n, struct err *err) MUST_USE;
struct tls_leaf *tls_leaf_ref(struct tls_leaf *l);
void tls_leaf_unref(struct tls_leaf *l);	/* NULL-safe */

/* fd is borrowed. preface: bytes of the peer that were read already, however
 * many (copied); TLS reads them first. */
struct tls_conn *tls_server_conn(struct tls_ctx *c, int fd,
    struct slice preface) MUST_USE;
/* host: as addr_host_normalise() made it; names get SNI, IP literals none.
 * session_key: with the host, what must be equal for a session to be used
 * again (port, policy, ...). */
struct tls_conn *tls_client_conn(struct tls_ctx *c, int fd, const char *host,
    struct slice session_key) MUST_USE;
void tls_conn_free(struct tls_conn *t);		/* NULL-safe */
/* Before the handshake; keeps a reference. 0 or -1. */
int tls_conn_set_leaf(struct tls_conn *t, struct tls_leaf *l) MUST_USE;

/* A server's, before the handshake: h2 is not taken though the client offers
 * it. */
void tls_conn_refuse_h2(struct tls_conn *t);

/* 1 when done. */
int tls_handshake(struct tls_conn *t);
/* > 0 bytes. tls_read() and tls_write() also do what is left of a handshake.
 * n must not be 0. A write that returned WANT may be called again with other
 * memory, but the same first bytes. */
ssize_t tls_read(struct tls_conn *t, void *p, size_t n);
ssize_t tls_write(struct tls_conn *t, const void *p, size_t n);
/* Sends close_notify. 1 when sent (the peer's is not waited for). */
int tls_shutdown(struct tls_conn *t);
/* Decrypted bytes that epoll cannot see. */
size_t tls_pending(const struct tls_conn *t);
/* Gives back the buffers (16 KiB each) of a connection that is quiet; they
 * come back when it is not. Those that hold bytes stay. */
void tls_trim(struct tls_conn *t);

/* For operators: one sentence of what went wrong last. */
const char *tls_conn_error(const struct tls_conn *t);
/* ALPN chose h2; after the handshake. */
bool tls_conn_h2(const struct tls_conn *t);
bool tls_conn_resumed(const struct tls_conn *t);
const char *tls_conn_version(const struct tls_conn *t);	/* "TLSv1.3" */

#endif
