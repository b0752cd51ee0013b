/* via - see via.h. */
#include "via.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "http1.h"

struct via {
	struct buf out, in;
	struct http1_head head;
	char error[512], name[ADDR_HOST_MAX + 8];
};

struct via *
via_new(const struct via_target *t, const char *host, uint16_t port)
{
	struct via *v = base_calloc(1, sizeof(*v));
	bool v6 = strchr(host, ':') != NULL;
	char target[ADDR_HOST_MAX + 16];
	int r;

	snprintf(v->name, sizeof(v->name), "%s:%u", t->host, t->port);
	snprintf(target, sizeof(target), "%s%s%s:%u", v6 ? "[" : "", host,
	    v6 ? "]" : "", port);
	buf_init(&v->out, VIA_HEAD_MAX);
	buf_init(&v->in, VIA_HEAD_MAX);
	http1_head_init(&v->head);
	r = http1_write_request(&v->out, SLICE("CONNECT"), slice_str(target),
	    slice_make(NULL, 0));
	r |= http1_write_field(&v->out, SLICE("Host"), slice_str(target));
	if (t->authorization.n > 0)
		r |= http1_write_field(&v->out, SLICE("Proxy-Authorization"),
		    t->authorization);
	r |= http1_write_end(&v->out);
	if (r == 0)
		return v;
	via_free(v);
	return NULL;
}

void
via_free(struct via *v)
{
	if (v == NULL)
		return;
	buf_wipe_free(&v->out);
	buf_free(&v->in);
	free(v);
}

const char *
via_error(const struct via *v)
{
	return v->error;
}

static enum via_result
failed(struct via *v, const char *what)
{
	snprintf(v->error, sizeof(v->error), "the upstream proxy %s %s",
	    v->name, what);
	return VIA_FAILED;
}

static enum via_result
read_answer(struct via *v)
{
	struct http1_limits lim = http1_limits_default;
	enum http1_result r;
	char what[160];
	size_t used = 0;

	lim.head = VIA_HEAD_MAX;
	for (;;) {
		r = http1_parse_response(&v->head, buf_slice(&v->in), &lim,
		    HTTP1_M_CONNECT, &used);
		if (r != HTTP1_DONE || !v->head.interim)
			break;
		buf_consume(&v->in, used);
		http1_head_init(&v->head);
	}
	if (r == HTTP1_MORE)
		return VIA_READ;
	if (r != HTTP1_DONE)
		return failed(v, "answered what is no HTTP");
	if (v->head.status < 200 || v->head.status > 299) {
		snprintf(what, sizeof(what), "refused: %u %s%s",
		    v->head.status, http1_status_text(v->head.status),
		    v->head.status == 407 ? " (upstream_proxy.credential)" :
		    "");
		return failed(v, what);
	}
	if (used != v->in.len)
		return failed(v, "sent bytes before anybody was asked");
	return VIA_DONE;
}

enum via_result
via_step(struct via *v, int fd)
{
	while (v->out.len > 0) {
		ssize_t k = send(fd, buf_data(&v->out), v->out.len,
		    MSG_NOSIGNAL);

		if (k < 0)
			return errno == EAGAIN ? VIA_WRITE :
			    failed(v, strerror(errno));
		buf_consume(&v->out, (size_t)k);
	}
	for (;;) {
		char *p = buf_reserve(&v->in, 1024);
		ssize_t k;

		if (p == NULL)
			return failed(v, "answers with too long a head");
		k = recv(fd, p, 1024, 0);
		if (k < 0)
			return errno == EAGAIN ? VIA_READ :
			    failed(v, strerror(errno));
		if (k == 0)
			return failed(v, "closed the connection");
		buf_commit(&v->in, (size_t)k);
		enum via_result r = read_answer(v);

		if (r != VIA_READ)
			return r;
	}
}
