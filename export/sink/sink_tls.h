/*
 * sink_tls - the TLS side of a sink: a verified client connection on a
 * non-blocking socket, and a way to ask how far the peer has read.
 *
 * Syslog has no acknowledgement. TLS 1.3 has one by accident: a KeyUpdate
 * with update_requested (RFC 8446, 4.6.3) is answered by a KeyUpdate of the
 * peer's own, and records are processed in order, so the answer proves that
 * the receiving program has read all that was sent before the request. That
 * is more than TCP tells: TCP acknowledges what the peer's kernel has queued,
 * also for a program that hangs, and that is gone when the program dies.
 *
 * Details that a caller relies on:
 *  - OpenSSL as the peer sends an answer only when the next request arrives
 *    (seen with 3.0: its state machine ends after reading the message).  So
 *    sink_tls_ask() sends two requests; the answer to the first one counts,
 *    whenever it comes. Answers are counted, never matched by time.
 *  - A peer that answers lazily (RFC 8446 asks for it only before the peer's
 *    next application data) or folds answers together never reaches the
 *    count: it is found out by asking before the first data.
 *  - TLS 1.2 has nothing like it.
 *
 * The socket must also be read (tickets, close_notify, the answers):
 * sink_tls_drain() after each wake-up. Application data of the peer has no
 * meaning in syslog and is thrown away.
 */
#ifndef SINK_TLS_H
#define SINK_TLS_H

#include <openssl/types.h>

#include "base.h"
#include "err.h"

enum sink_tls_result { SINK_TLS_OK, SINK_TLS_AGAIN, SINK_TLS_ERROR };

struct sink_tls {
	SSL *ssl;
	bool write_blocked;	/* a write or a request waits for the socket */
	bool read_blocked;	/* reading wants to write (rare) */
	unsigned to_ask;	/* requests not yet written */
	bool asking;		/* one of them is half written */
	uint64_t asks, answers;	/* asks: calls of sink_tls_ask() */
};

/* ca_pem: the certificates that may sign the peer's, at least one; they may
 * be intermediates or the peer's own. NULL and err when it holds none. To be
 * made before the sandbox is entered: OpenSSL loads what it needs. */
SSL_CTX *sink_tls_ctx_new(const char *ca_pem, struct err *err) MUST_USE;

/* fd is borrowed until sink_tls_close(). name: what the peer's certificate
 * must be for, a DNS name or an IP address. */
int sink_tls_open(struct sink_tls *t, SSL_CTX *ctx, int fd, const char *name,
    struct err *err) MUST_USE;
/* Sends close_notify when asked to; zeroes t; fine on a zeroed one. */
void sink_tls_close(struct sink_tls *t, bool notify);

enum sink_tls_result sink_tls_handshake(struct sink_tls *t, struct err *err);
/* *n_r: bytes taken, also with AGAIN. */
enum sink_tls_result sink_tls_write(struct sink_tls *t, struct slice s,
    size_t *n_r, struct err *err);
/* What AGAIN waits for: readable always, and writable when this is true. */
bool sink_tls_wants_write(const struct sink_tls *t);
/* Reads till nothing is there (AGAIN). ERROR also for an orderly close. */
enum sink_tls_result sink_tls_drain(struct sink_tls *t, struct err *err);
/* Only when the last sink_tls_write() answered OK, and on TLS 1.3. The
 * requests are written by this, or (AGAIN) by sink_tls_ask_more(), before
 * any further write. */
enum sink_tls_result sink_tls_ask(struct sink_tls *t, struct err *err);
enum sink_tls_result sink_tls_ask_more(struct sink_tls *t, struct err *err);
/* The peer has read all that was written before the last sink_tls_ask(). */
bool sink_tls_answered(const struct sink_tls *t);
bool sink_tls_can_ask(const struct sink_tls *t);
const char *sink_tls_version(const struct sink_tls *t);

#endif
