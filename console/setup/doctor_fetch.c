/* doctor_fetch - one request and its whole answer, straight or by the proxy. */
#include "console/setup/doctor.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "addr.h"
#include "codec.h"
#include "file.h"
#include "tls.h"

#define LIMIT_S 10
#define HEAD_MAX 65536

/* A blocking connection that gives up after LIMIT_S; -1 and errno. */
static int
open_to(const char *hostport)
{
	struct timeval limit = { LIMIT_S, 0 };
	struct sockaddr_storage ss;
	struct slice host;
	struct addr a;
	uint16_t port;
	socklen_t n;
	int fd;

	if (!addr_split_hostport(slice_str(hostport), 0, &host, &port) ||
	    !addr_parse_ip(host, &a)) {
		errno = EINVAL;
		return -1;
	}
	a.port = port;
	n = addr_to_sockaddr(&a, &ss);
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit,
	    sizeof(limit)) != 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO,
	    &limit, sizeof(limit)) != 0 ||
	    connect(fd, (struct sockaddr *)&ss, n) != 0))
		base_close(&fd);
	return fd;
}

static int
send_all(int fd, struct slice s)
{
	return send(fd, s.p, s.n, MSG_NOSIGNAL) == (ssize_t)s.n ? 0 : -1;
}

/* Until the other side closes. */
static int
receive_all(int fd, struct buf *answer)
{
	for (;;) {
		char *p = buf_reserve(answer, 4096);
		ssize_t k = p == NULL ? 0 : recv(fd, p, 4096, 0);

		if (k <= 0)
			return k < 0 || p == NULL ? -1 : 0;
		buf_commit(answer, (size_t)k);
	}
}

int
doctor_fetch(const char *hostport, struct slice request, struct buf *answer)
{
	int fd = open_to(hostport), e;

	if (fd >= 0 && send_all(fd, request) == 0 &&
	    receive_all(fd, answer) == 0) {
		close(fd);
		return 0;
	}
	e = errno;
	base_close(&fd);
	errno = e == EAGAIN ? ETIMEDOUT : e;
	return -1;
}

/* --- by the proxy ------------------------------------------------------------- */

static void
add_authorization(struct buf *b, const char *token)
{
	char pair[320];

	snprintf(pair, sizeof(pair), "doctor:%s", token);
	buf_add_str(b, "Proxy-Authorization: Basic ");
	b64_encode(b, pair, strlen(pair));
	buf_add_str(b, "\r\n");
	explicit_bzero(pair, sizeof(pair));
}

/* Brackets stand around the colons of an IPv6 address. */
static void
add_host(struct buf *b, const struct connector_host *h)
{
	bool v6 = strchr(h->host, ':') != NULL;

	buf_addf(b, "%s%s%s:%u", v6 ? "[" : "", h->host, v6 ? "]" : "",
	    h->port);
}

/* 1: the tunnel stands, 0: the answer says why not, -1: errno. */
static int
open_tunnel(int fd, const struct connector_host *h, const char *token,
    struct buf *answer)
{
	struct buf b;
	int r;

	buf_init(&b, HEAD_MAX);
	buf_add_str(&b, "CONNECT ");
	add_host(&b, h);
	buf_add_str(&b, " HTTP/1.1\r\nHost: ");
	add_host(&b, h);
	buf_add_str(&b, "\r\nUser-Agent: portreeve-doctor\r\n");
	add_authorization(&b, token);
	buf_add_str(&b, "\r\n");
	r = send_all(fd, buf_slice(&b));
	buf_wipe_free(&b);
	/* A byte at a time: TLS begins right behind it. */
	while (r == 0 && slice_find(buf_slice(answer),
	    SLICE("\r\n\r\n")) < 0) {
		char *p = answer->len < HEAD_MAX ? buf_reserve(answer, 1) :
		    NULL;
		ssize_t k = p == NULL ? -1 : recv(fd, p, 1, 0);

		if (k <= 0)
			return -1;
		buf_commit(answer, 1);
	}
	if (r != 0)
		return -1;
	if (!slice_starts(buf_slice(answer), "HTTP/1.1 200"))
		return receive_all(fd, answer);
	buf_reset(answer);
	return 1;
}

/* The gateway's CA is the only one trusted: is it the one that signs? */
static int
talk_tls(const struct doctor *d, int fd, const char *host,
    struct slice request, struct buf *answer, struct err *err)
{
	struct tls_store *store = NULL;
	struct tls_ctx *ctx = NULL;
	struct tls_conn *t = NULL;
	char path[4200];
	struct buf pem;
	ssize_t k = -1;

	snprintf(path, sizeof(path), "%s/keeper/ca.pem",
	    d->ramp.conf->state_dir);
	buf_init(&pem, 1u << 20);
	if (file_read(path, &pem, err) == 0 &&
	    (store = tls_store_new(buf_slice(&pem), err)) != NULL) {
		ctx = tls_client_new(store);
		t = tls_client_conn(ctx, fd, host, slice_make("", 0));
		if ((k = tls_handshake(t)) == 1)
			k = tls_write(t, request.p, request.n);
	}
	while (k > 0) {
		char *p = buf_reserve(answer, 16384);

		k = p == NULL ? TLS_ERROR : tls_read(t, p, 16384);
		if (k > 0)
			buf_commit(answer, (size_t)k);
	}
	/* Who closes after an answer without a goodbye has answered. */
	if (k == TLS_EOF || (k == TLS_TRUNCATED && answer->len > 0))
		k = 0;
	else if (!err->set)
		err_set(err, "%s", k == TLS_WANT_READ || k == TLS_WANT_WRITE ?
		    "no answer in time" : tls_conn_error(t));
	tls_conn_free(t);
	tls_ctx_free(ctx);
	tls_store_free(store);
	buf_free(&pem);
	return k == 0 ? 0 : -1;
}

static void
write_head(struct buf *b, const struct connector *c, const char *token,
    const char *method, const char *path)
{
	buf_addf(b, "%s ", method);
	if (!c->tls) {
		buf_add_str(b, "http://");
		add_host(b, &c->hosts[0]);
	}
	buf_addf(b, "%s HTTP/1.1\r\nHost: ", path);
	add_host(b, &c->hosts[0]);
	buf_add_str(b, "\r\n");
	if (!c->tls)
		add_authorization(b, token);
}

int
doctor_fetch_by_proxy(const struct doctor *d, const struct connector *c,
    const char *token, const char *method, const char *path,
    struct slice rest, struct buf *answer, struct err *err)
{
	const struct connector_host *h = &c->hosts[0];
	struct buf request;
	int fd, r;

	buf_init(&request, HEAD_MAX);
	write_head(&request, c, token, method, path);
	buf_add_slice(&request, rest);
	fd = open_to(d->ramp.proxy);
	r = fd < 0 ? -1 : c->tls ? open_tunnel(fd, h, token, answer) :
	    send_all(fd, buf_slice(&request));
	if (r == 0 && !c->tls)
		r = receive_all(fd, answer);
	if (r < 0)
		err_set(err, "%s", strerror(errno == EAGAIN ? ETIMEDOUT :
		    errno));
	else if (r == 1)
		r = talk_tls(d, fd, h->host, buf_slice(&request), answer,
		    err);
	base_close(&fd);
	buf_wipe_free(&request);
	return r;
}
