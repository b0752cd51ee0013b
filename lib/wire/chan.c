/* chan - see chan.h. */
#include "chan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "log.h"

#define HEAD 8
#define FLAG_FD 1
#define READ_SIZE 65536
#define FDS_MAX 32

/* Descriptors on their way: the frame that carries one starts at an exact
 * place of the byte stream, and SCM_RIGHTS is sent with that frame's first
 * byte, so order is enough to match them up again. */
struct out_fd {
	uint64_t at;		/* stream offset of the frame's first byte */
	int fd;
};

struct chan {
	struct loop *loop;
	struct loop_fd *watch;
	int fd;
	struct buf in, out;
	size_t begun;		/* out.len at chan_begin, SIZE_MAX: none */
	uint64_t sent, queued;	/* stream offsets */
	struct out_fd out_fds[FDS_MAX];
	size_t nout_fds;
	int in_fds[FDS_MAX];
	size_t nin_fds;
	bool paused, hung_up, closed, in_dispatch, freed, was_full;
	chan_msg_fn *on_msg;
	chan_close_fn *on_close;
	void *ctx;
	loop_fn *drain_fn;
	void *drain_ctx;
};

static void on_event(void *ctx, unsigned events);
static void on_flush(void *ctx);

static unsigned
wanted(const struct chan *c)
{
	return (c->paused ? 0 : LOOP_READ) |
	    (c->out.len > 0 ? LOOP_WRITE : 0);
}

struct chan *
chan_new(struct loop *l, int fd, size_t out_max, chan_msg_fn *on_msg,
    chan_close_fn *on_close, void *ctx)
{
	struct chan *c = base_calloc(1, sizeof(*c));
	int fl = fcntl(fd, F_GETFL);

	ASSERT(fl >= 0 && fcntl(fd, F_SETFL, fl | O_NONBLOCK) == 0);
	c->loop = l;
	c->fd = fd;
	c->begun = SIZE_MAX;
	c->on_msg = on_msg;
	c->on_close = on_close;
	c->ctx = ctx;
	buf_init(&c->in, CHAN_BODY_MAX + HEAD + READ_SIZE);
	buf_init(&c->out, out_max);
	c->watch = loop_fd_add(l, fd, LOOP_READ, on_event, c);
	return c;
}

static void
release(struct chan *c)
{
	if (c->watch != NULL)
		loop_fd_del(c->watch);
	c->watch = NULL;
	base_close(&c->fd);
	for (size_t i = 0; i < c->nout_fds; i++)
		base_close(&c->out_fds[i].fd);
	for (size_t i = 0; i < c->nin_fds; i++)
		base_close(&c->in_fds[i]);
	c->nout_fds = c->nin_fds = 0;
}

void
chan_free(struct chan *c)
{
	if (c == NULL || c->freed)
		return;
	release(c);
	loop_at_end_cancel(c->loop, c);
	loop_soon_cancel(c->loop, c);
	c->freed = true;
	if (c->in_dispatch)
		return;		/* dispatch frees it on its way out */
	buf_wipe_free(&c->in);
	buf_wipe_free(&c->out);
	loop_defer_free(c->loop, c);
}

static void
fail(struct chan *c)
{
	if (c->closed || c->freed)
		return;
	c->closed = true;
	release(c);
	c->on_close(c->ctx, c);
}

int
chan_fd(const struct chan *c)
{
	return c->fd;
}

size_t
chan_queued(const struct chan *c)
{
	return c->out.len;
}

struct buf *
chan_begin(struct chan *c, enum msg_type type)
{
	char head[HEAD] = { 0 };

	ASSERT(c->begun == SIZE_MAX);
	if (c->closed || c->freed)
		return NULL;
	head[4] = (char)(type & 0xff);
	head[5] = (char)(type >> 8);
	size_t at = c->out.len;

	c->out.full = false;
	if (buf_add(&c->out, head, HEAD) != 0) {
		c->was_full = true;
		return NULL;
	}
	c->begun = at;
	return &c->out;
}

int
chan_end(struct chan *c)
{
	size_t at = c->begun;
	uint32_t n;

	ASSERT(at != SIZE_MAX);
	c->begun = SIZE_MAX;
	if (c->out.full || c->out.len - at - HEAD > CHAN_BODY_MAX) {
		c->out.len = at;
		c->out.full = false;
		c->was_full = true;
		return -1;
	}
	n = (uint32_t)(c->out.len - at - HEAD);
	memcpy(c->out.data + c->out.off + at, &n, 4);
	c->queued += c->out.len - at;
	loop_at_end(c->loop, on_flush, c);
	return 0;
}

int
chan_send(struct chan *c, enum msg_type type, struct slice body, int fd)
{
	uint64_t start = c->queued;
	struct buf *b;

	if (fd >= 0 && c->nout_fds == FDS_MAX)
		return -1;
	if ((b = chan_begin(c, type)) == NULL)
		return -1;
	if (fd >= 0)
		b->data[b->off + c->begun + 6] = FLAG_FD;
	buf_add_slice(b, body);
	if (chan_end(c) != 0)
		return -1;
	if (fd >= 0)
		c->out_fds[c->nout_fds++] = (struct out_fd){ start, fd };
	return 0;
}

static ssize_t
send_some(struct chan *c)
{
	size_t n = c->out.len;
	struct iovec iov = { c->out.data + c->out.off, n };
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(sizeof(int))];
	} ctl;
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	bool with_fd = c->nout_fds > 0 && c->out_fds[0].at == c->sent;

	/* A descriptor goes with its own frame's first byte; what is before
	 * the next one goes without. */
	size_t next = with_fd ? 1 : 0;

	if (next < c->nout_fds && c->out_fds[next].at - c->sent < n)
		iov.iov_len = (size_t)(c->out_fds[next].at - c->sent);
	if (with_fd) {
		memset(&ctl, 0, sizeof(ctl));
		m.msg_control = ctl.space;
		m.msg_controllen = sizeof(ctl.space);
		ctl.h.cmsg_level = SOL_SOCKET;
		ctl.h.cmsg_type = SCM_RIGHTS;
		ctl.h.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&ctl.h), &c->out_fds[0].fd, sizeof(int));
	}
	ssize_t k = sendmsg(c->fd, &m, MSG_NOSIGNAL);

	if (k > 0 && with_fd) {
		base_close(&c->out_fds[0].fd);
		memmove(c->out_fds, c->out_fds + 1,
		    --c->nout_fds * sizeof(c->out_fds[0]));
	}
	return k;
}

void
chan_flush(struct chan *c)
{
	if (c->closed || c->freed)
		return;
	while (c->out.len > 0) {
		ssize_t k = send_some(c);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0 && errno == EAGAIN)
			break;
		if (k < 0) {
			fail(c);
			return;
		}
		buf_consume(&c->out, (size_t)k);
		c->sent += (uint64_t)k;
	}
	if (c->watch != NULL)
		loop_fd_set(c->watch, wanted(c));
	if (c->out.len == 0 && c->was_full) {
		c->was_full = false;
		if (c->drain_fn != NULL)
			c->drain_fn(c->drain_ctx);
	}
}

static void
on_flush(void *ctx)
{
	chan_flush(ctx);
}

void
chan_on_drain(struct chan *c, loop_fn *fn, void *ctx)
{
	c->drain_fn = fn;
	c->drain_ctx = ctx;
}

static int
take_fds(struct chan *c, struct msghdr *m)
{
	int r = (m->msg_flags & MSG_CTRUNC) ? -1 : 0;

	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h != NULL;
	    h = CMSG_NXTHDR(m, h)) {
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + i * sizeof(int),
			    sizeof(int));
			if (c->nin_fds == FDS_MAX) {
				close(fd);
				r = -1;
				continue;
			}
			c->in_fds[c->nin_fds++] = fd;
		}
	}
	return r;
}

/* 2: all there is was read; 1: there may be more; 0: nothing there; -1: gone. */
static int
receive(struct chan *c)
{
	char *p = buf_reserve(&c->in, READ_SIZE);
	char ctl[CMSG_SPACE(sizeof(int) * FDS_MAX)];

	if (p == NULL)
		return -1;
	struct iovec iov = { p, READ_SIZE };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = ctl, .msg_controllen = sizeof(ctl) };
	ssize_t k = recvmsg(c->fd, &m, MSG_CMSG_CLOEXEC);

	if (k < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (k == 0)
		return -1;
	buf_commit(&c->in, (size_t)k);
	if (take_fds(c, &m) != 0)
		return -1;
	return k < READ_SIZE ? 2 : 1;
}

/* Delivers whole frames; -1 when the channel must be dropped. */
static int
dispatch(struct chan *c)
{
	while (c->in.len >= HEAD && !c->paused) {
		const unsigned char *h = (const unsigned char *)buf_data(&c->in);
		uint32_t n;
		int fd = -1;

		memcpy(&n, h, 4);
		enum msg_type type = (enum msg_type)(h[4] | h[5] << 8);
		unsigned flags = (unsigned)(h[6] | h[7] << 8);

		if (n > CHAN_BODY_MAX || (flags & ~(unsigned)FLAG_FD) != 0)
			return -1;
		if (c->in.len < HEAD + (size_t)n)
			return 0;
		if (flags & FLAG_FD) {
			if (c->nin_fds == 0)
				return -1;
			fd = c->in_fds[0];
			memmove(c->in_fds, c->in_fds + 1,
			    --c->nin_fds * sizeof(int));
		}
		int r = c->on_msg(c->ctx, c, type,
		    slice_make((const char *)h + HEAD, n), fd);

		if (c->freed || c->closed)
			return 0;
		if (r != 0) {
			log_error("%s: message not allowed here or malformed",
			    msg_name(type));
			return -1;
		}
		buf_consume(&c->in, HEAD + n);
	}
	/* A descriptor that no frame announced would go to the next one. */
	return c->in.len == 0 && c->nin_fds > 0 ? -1 : 0;
}

static void
pump(struct chan *c)
{
	int got = 1;

	c->in_dispatch = true;
	for (int i = 0; i < 16 && got == 1 && !c->paused && !c->freed &&
	    !c->closed; i++) {
		got = receive(c);
		if (got == 0)
			break;
		if (dispatch(c) != 0)
			got = -1;
		if (c->in.len == 0 && c->in.cap > 4 * READ_SIZE)
			buf_free(&c->in);
	}
	c->in_dispatch = false;
	if (c->freed) {
		buf_wipe_free(&c->in);
		buf_wipe_free(&c->out);
		loop_defer_free(c->loop, c);
	} else if (got < 0) {
		fail(c);
	}
}

static void
on_event(void *ctx, unsigned events)
{
	struct chan *c = ctx;

	if (events & LOOP_WRITE)
		chan_flush(c);
	if (c->closed || c->freed)
		return;
	if (c->paused && (events & LOOP_ERR)) {
		/* epoll would say so again and again until it is read. */
		c->hung_up = true;
		loop_fd_del(c->watch);
		c->watch = NULL;
		return;
	}
	if (events & (LOOP_READ | LOOP_ERR))
		pump(c);
}

static void
on_resume(void *ctx)
{
	struct chan *c = ctx;

	if (c->closed || c->freed || c->paused)
		return;
	c->in_dispatch = true;
	int r = dispatch(c);

	c->in_dispatch = false;
	if (c->freed) {
		buf_wipe_free(&c->in);
		buf_wipe_free(&c->out);
		loop_defer_free(c->loop, c);
	} else if (r != 0) {
		fail(c);
	} else if (c->hung_up && !c->paused && !c->closed) {
		c->hung_up = false;
		c->watch = loop_fd_add(c->loop, c->fd, wanted(c), on_event, c);
	}
}

void
chan_pause(struct chan *c, bool paused)
{
	if (c->paused == paused || c->closed || c->freed)
		return;
	c->paused = paused;
	if (c->watch != NULL)
		loop_fd_set(c->watch, wanted(c));
	if (!paused)
		loop_soon(c->loop, on_resume, c);
}

static int
write_all(int fd, const void *p, size_t n)
{
	const char *q = p;

	while (n > 0) {
		ssize_t k = send(fd, q, n, MSG_NOSIGNAL);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return -1;
		q += k;
		n -= (size_t)k;
	}
	return 0;
}

int
chan_call_send(int fd, enum msg_type type, struct slice body)
{
	unsigned char h[HEAD] = { 0 };
	uint32_t n = (uint32_t)body.n;

	if (body.n > CHAN_BODY_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	memcpy(h, &n, 4);
	h[4] = (unsigned char)(type & 0xff);
	h[5] = (unsigned char)(type >> 8);
	return write_all(fd, h, HEAD) != 0 ||
	    write_all(fd, body.p, body.n) != 0 ? -1 : 0;
}

static int
read_all(int fd, void *p, size_t n, int *passed)
{
	char *q = p;

	while (n > 0) {
		char ctl[CMSG_SPACE(sizeof(int))];
		struct iovec iov = { q, n };
		struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1,
			.msg_control = ctl, .msg_controllen = sizeof(ctl) };
		ssize_t k = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);

		if (k < 0 && errno == EINTR)
			continue;
		if (k == 0)
			errno = ECONNRESET;
		if (k <= 0)
			return -1;
		struct cmsghdr *h = CMSG_FIRSTHDR(&m);

		/* The last one counts; the space may hold more than one. */
		if (h != NULL && h->cmsg_level == SOL_SOCKET &&
		    h->cmsg_type == SCM_RIGHTS) {
			size_t fds = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);

			for (size_t i = 0; i < fds; i++) {
				base_close(passed);
				memcpy(passed, CMSG_DATA(h) + i * sizeof(int),
				    sizeof(int));
			}
		}
		q += k;
		n -= (size_t)k;
	}
	return 0;
}

int
chan_call_recv(int fd, enum msg_type *type_r, struct buf *body_r,
    int *passed_fd_r)
{
	unsigned char h[HEAD];
	int passed = -1;
	uint32_t n;
	char *p;

	if (read_all(fd, h, HEAD, &passed) != 0)
		goto fail;
	memcpy(&n, h, 4);
	buf_reset(body_r);
	if (n > CHAN_BODY_MAX || (p = buf_reserve(body_r, n + 1)) == NULL) {
		errno = EMSGSIZE;
		goto fail;
	}
	if (read_all(fd, p, n, &passed) != 0)
		goto fail;
	buf_commit(body_r, n);
	*type_r = (enum msg_type)(h[4] | h[5] << 8);
	if (passed_fd_r != NULL)
		*passed_fd_r = passed;
	else
		base_close(&passed);
	return 0;
fail:
	base_close(&passed);
	return -1;
}
