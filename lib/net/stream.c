/* stream - see stream.h. */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buf.h"

struct stream {
	int fd;
	int error;		/* errno of a plain stream */
	struct tls_conn *tls;
	struct buf preface;	/* plain: read before it was a stream */
	const struct stream_ops *ops;	/* virtual: then only these count */
	void *ctx;
};

static struct stream *
stream_new(int fd)
{
	struct stream *s = base_calloc(1, sizeof(*s));
	int fl = fcntl(fd, F_GETFL);

	ASSERT(fl >= 0 && fcntl(fd, F_SETFL, fl | O_NONBLOCK) == 0);
	s->fd = fd;
	return s;
}

struct stream *
stream_plain(int fd, struct slice preface)
{
	struct stream *s = stream_new(fd);

	buf_init(&s->preface, preface.n);
	ASSERT(buf_add_slice(&s->preface, preface) == 0);
	return s;
}

struct stream *
stream_tls_server(struct tls_ctx *c, int fd, struct slice preface,
    struct tls_leaf *leaf)
{
	struct stream *s = stream_new(fd);

	s->tls = tls_server_conn(c, fd, preface);
	/* tls_leaf_new() checked that key and certificate belong together. */
	ASSERT(tls_conn_set_leaf(s->tls, leaf) == 0);
	return s;
}

struct stream *
stream_tls_client(struct tls_ctx *c, int fd, const char *host,
    struct slice session_key)
{
	struct stream *s = stream_new(fd);

	s->tls = tls_client_conn(c, fd, host, session_key);
	return s;
}

struct stream *
stream_virtual(const struct stream_ops *ops, void *ctx, int under)
{
	struct stream *s = base_calloc(1, sizeof(*s));

	s->fd = under;
	s->ops = ops;
	s->ctx = ctx;
	return s;
}

void
stream_free(struct stream *s)
{
	if (s == NULL)
		return;
	if (s->ops != NULL) {
		s->ops->end(s->ctx);
		free(s);
		return;
	}
	if (s->tls != NULL)
		(void)tls_shutdown(s->tls);
	tls_conn_free(s->tls);
	buf_wipe_free(&s->preface);
	base_close(&s->fd);
	free(s);
}

void
stream_abort(struct stream *s)
{
	struct linger hard = { 1, 0 };

	if (s == NULL)
		return;
	if (s->ops != NULL) {
		s->ops->abort(s->ctx);
		free(s);
		return;
	}
	setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	tls_conn_free(s->tls);
	s->tls = NULL;
	stream_free(s);
}

int
stream_release(struct stream *s)
{
	int fd = s->fd;

	ASSERT(s->tls == NULL && s->ops == NULL);
	s->fd = -1;
	stream_free(s);
	return fd;
}

int
stream_handshake(struct stream *s)
{
	return s->tls == NULL ? 1 : tls_handshake(s->tls);
}

static int
plain_result(struct stream *s, int want)
{
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return want;
	s->error = errno;
	return errno == ECONNRESET || errno == EPIPE ? TLS_TRUNCATED :
	    TLS_ERROR;
}

ssize_t
stream_read(struct stream *s, void *p, size_t n)
{
	ssize_t k;

	if (s->ops != NULL)
		return s->ops->read(s->ctx, p, n);
	if (s->tls != NULL)
		return tls_read(s->tls, p, n);
	if (s->preface.len > 0) {
		size_t m = s->preface.len < n ? s->preface.len : n;

		memcpy(p, buf_data(&s->preface), m);
		buf_consume(&s->preface, m);
		if (s->preface.len == 0)
			buf_free(&s->preface);
		return (ssize_t)m;
	}
	do {
		k = recv(s->fd, p, n, 0);
	} while (k < 0 && errno == EINTR);
	if (k > 0)
		return k;
	return k == 0 ? TLS_EOF : plain_result(s, TLS_WANT_READ);
}

ssize_t
stream_write(struct stream *s, const void *p, size_t n)
{
	ssize_t k;

	if (s->ops != NULL)
		return s->ops->write(s->ctx, p, n);
	if (s->tls != NULL)
		return tls_write(s->tls, p, n);
	do {
		k = send(s->fd, p, n, MSG_NOSIGNAL);
	} while (k < 0 && errno == EINTR);
	return k >= 0 ? k : plain_result(s, TLS_WANT_WRITE);
}

int
stream_shutdown(struct stream *s)
{
	int r = 1;

	if (s->ops != NULL) {
		s->ops->shutdown(s->ctx);
		return 1;
	}
	if (s->tls != NULL)
		r = tls_shutdown(s->tls);
	if (r != TLS_WANT_READ && r != TLS_WANT_WRITE)
		shutdown(s->fd, SHUT_WR);
	return r;
}

void
stream_sever(struct stream *s)
{
	if (s->ops != NULL)
		s->ops->sever(s->ctx);
	else
		shutdown(s->fd, SHUT_RDWR);
}

void
stream_trim(struct stream *s)
{
	if (s->tls != NULL)
		tls_trim(s->tls);
}

size_t
stream_pending(const struct stream *s)
{
	if (s->ops != NULL)
		return s->ops->pending(s->ctx);
	return s->tls == NULL ? s->preface.len : tls_pending(s->tls);
}

int
stream_fd(const struct stream *s)
{
	return s->fd;
}

struct tls_conn *
stream_tls(const struct stream *s)
{
	return s->tls;
}

const char *
stream_error(const struct stream *s)
{
	if (s->tls != NULL)
		return tls_conn_error(s->tls);
	return s->error == 0 ? "" : strerror(s->error);
}
