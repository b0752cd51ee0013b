/*
 * stream - one connection, plain or TLS, so that the proxy treats both alike.
 *
 * Results are those of tls.h: > 0 done (bytes), TLS_WANT_READ/WRITE, TLS_EOF
 * (plain: the peer's FIN), TLS_TRUNCATED, TLS_ERROR, TLS_BAD_CERT.
 */
#ifndef STREAM_H
#define STREAM_H

#include "base.h"
#include "tls.h"

struct stream;

/* A stream that is no descriptor of its own, as one of an HTTP/2 connection
 * is. What each does and answers is what the function of that name does; end
 * is stream_free()'s way of closing, abort that of stream_abort(): both give
 * ctx up. */
struct stream_ops {
	ssize_t (*read)(void *ctx, void *p, size_t n);
	ssize_t (*write)(void *ctx, const void *p, size_t n);
	void (*shutdown)(void *ctx);
	void (*sever)(void *ctx);
	size_t (*pending)(const void *ctx);
	void (*end)(void *ctx);
	void (*abort)(void *ctx);
};

/* under: the descriptor of the connection that carries it, borrowed, for
 * stream_fd() only. */
struct stream *stream_virtual(const struct stream_ops *ops, void *ctx,
    int under) MUST_USE;

/* *take* fd, which is made non-blocking; preface as in tls.h. */
struct stream *stream_plain(int fd, struct slice preface) MUST_USE;
struct stream *stream_tls_server(struct tls_ctx *c, int fd,
    struct slice preface, struct tls_leaf *leaf) MUST_USE;
struct stream *stream_tls_client(struct tls_ctx *c, int fd, const char *host,
    struct slice session_key) MUST_USE;
/* Says goodbye if it can without waiting, closes the descriptor. NULL-safe. */
void stream_free(struct stream *s);
/* Closes so that the peer sees a reset instead of an end (a cut call must not
 * look complete). */
void stream_abort(struct stream *s);

/* A plain stream only: gives the descriptor back, open, and frees the rest
 * (a preface not read yet is lost). */
int stream_release(struct stream *s) MUST_USE;

/* Plain streams answer 1. */
int stream_handshake(struct stream *s);
ssize_t stream_read(struct stream *s, void *p, size_t n);
ssize_t stream_write(struct stream *s, const void *p, size_t n);
/* Ends our direction: close_notify, then FIN. 1 when done. */
int stream_shutdown(struct stream *s);
/* Both directions end at once; the peer sees a cut, not an end. The stream is
 * still to be freed. */
void stream_sever(struct stream *s);
size_t stream_pending(const struct stream *s);
/* Gives back memory that a quiet connection does not need. */
void stream_trim(struct stream *s);
/* For its addresses; a virtual stream's is not its own. */
int stream_fd(const struct stream *s);
struct tls_conn *stream_tls(const struct stream *s);	/* NULL when plain */
const char *stream_error(const struct stream *s);

#endif
