/* lib/wire/chan: frames cut anywhere, descriptors, pause, full queues. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "chan.h"
#include "pack.h"

enum act { ACT_NONE, ACT_REFUSE, ACT_FREE, ACT_PAUSE, ACT_FLUSH };

struct peer {
	struct chan *c;
	unsigned got, closed, drained;
	struct buf bodies;	/* of all frames, each ended by '|' */
	int fds[64];
	size_t nfds;
	enum act act;
	bool keep;		/* on_close does not free */
};

static struct loop *l;
static struct peer a, b;
static int raw;			/* the other end, when it is no chan */

static int
on_msg(void *ctx, struct chan *c, enum msg_type type, struct slice body,
    int fd)
{
	struct peer *p = ctx;

	assert_ptr_equal(c, p->c);
	assert_int_equal(p->closed, 0);
	assert_int_equal(type, MSG_FEED_ROW);
	p->got++;
	buf_add_slice(&p->bodies, body);
	buf_add_char(&p->bodies, '|');
	if (fd >= 0)
		p->fds[p->nfds++] = fd;
	if (p->act == ACT_FREE) {
		chan_free(p->c);
		p->c = NULL;
	} else if (p->act == ACT_PAUSE) {
		chan_pause(c, true);
	} else if (p->act == ACT_FLUSH) {
		chan_flush(c);
	}
	return p->act == ACT_REFUSE ? -1 : 0;
}

static void
on_close(void *ctx, struct chan *c)
{
	struct peer *p = ctx;

	assert_ptr_equal(c, p->c);
	p->closed++;
	if (p->keep)
		return;
	chan_free(c);
	p->c = NULL;
}

static void
peer_init(struct peer *p, int fd, size_t max)
{
	*p = (struct peer){ 0 };
	buf_init(&p->bodies, 64 << 20);
	p->c = chan_new(l, fd, max, on_msg, on_close, p);
}

static void
peer_done(struct peer *p)
{
	chan_free(p->c);
	buf_free(&p->bodies);
	for (size_t i = 0; i < p->nfds; i++)
		close(p->fds[i]);
	p->nfds = 0;
}

static void
pair(size_t max)
{
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	l = loop_new();
	peer_init(&a, sv[0], max);
	peer_init(&b, sv[1], max);
}

static void
one(void)
{
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	l = loop_new();
	peer_init(&a, sv[0], 1 << 20);
	raw = sv[1];
}

static void
done(void)
{
	peer_done(&a);
	if (raw > 0)
		close(raw);
	else
		peer_done(&b);
	raw = 0;
	loop_free(l);
}

static void
stop(void *ctx)
{
	(void)ctx;
	loop_stop(l);
}

/* Rounds without waiting, as many as asked for. */
static void
rounds(int n)
{
	while (n-- > 0) {
		loop_soon(l, stop, NULL);
		loop_run(l);
	}
}

static size_t
frame(char *out, uint32_t n, uint16_t type, uint16_t flags, const char *body)
{
	memcpy(out, &n, 4);
	memcpy(out + 4, &type, 2);
	memcpy(out + 6, &flags, 2);
	if (body != NULL)
		memcpy(out + 8, body, n);
	return 8 + (body == NULL ? 0 : n);
}

static void
raw_send(const void *p, size_t n, const int *fds, size_t nfds)
{
	struct iovec iov = { (void *)(uintptr_t)p, n };
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(64 * sizeof(int))];
	} ctl = { 0 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (nfds > 0) {
		m.msg_control = ctl.space;
		m.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		ctl.h.cmsg_level = SOL_SOCKET;
		ctl.h.cmsg_type = SCM_RIGHTS;
		ctl.h.cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(&ctl.h), fds, nfds * sizeof(int));
	}
	assert_int_equal(sendmsg(raw, &m, MSG_NOSIGNAL), n);
}

static void
test_cut_anywhere(void **st)
{
	char bytes[64];
	size_t n;

	(void)st;
	n = frame(bytes, 3, MSG_FEED_ROW, 0, "abc");
	n += frame(bytes + n, 0, MSG_FEED_ROW, 0, "");
	n += frame(bytes + n, 5, MSG_FEED_ROW, 0, "defgh");
	for (size_t cut = 0; cut <= n; cut++) {
		one();
		if (cut > 0)
			raw_send(bytes, cut, NULL, 0);
		rounds(2);
		assert_int_equal(a.got, (cut >= 11) + (cut >= 19) +
		    (cut >= n));
		if (cut < n)
			raw_send(bytes + cut, n - cut, NULL, 0);
		rounds(2);
		assert_true(slice_is(buf_slice(&a.bodies), "abc||defgh|"));
		assert_int_equal(a.closed, 0);
		done();
	}
	one();
	for (size_t i = 0; i < n; i++) {
		raw_send(bytes + i, 1, NULL, 0);
		rounds(1);
	}
	rounds(1);
	assert_true(slice_is(buf_slice(&a.bodies), "abc||defgh|"));
	done();
}

static void
test_batch(void **st)
{
	int unread = 0;

	(void)st;
	pair(1 << 20);
	for (int i = 0; i < 100; i++) {
		struct buf *out = chan_begin(a.c, MSG_FEED_ROW);

		assert_non_null(out);
		buf_addf(out, "%d", i);
		assert_int_equal(chan_end(a.c), 0);
	}
	/* Nothing leaves before the end of the round. */
	assert_int_equal(ioctl(chan_fd(b.c), FIONREAD, &unread), 0);
	assert_int_equal(unread, 0);
	assert_int_equal(chan_queued(a.c), 100 * 8 + 190);
	rounds(2);
	assert_int_equal(b.got, 100);
	assert_int_equal(chan_queued(a.c), 0);
	assert_true(slice_starts(buf_slice(&b.bodies), "0|1|2|3|"));
	assert_true(slice_ends(buf_slice(&b.bodies), "|98|99|"));
	done();
}

static ino_t
inode(int fd)
{
	struct stat s;

	assert_int_equal(fstat(fd, &s), 0);
	return s.st_ino;
}

/* Descriptors between plain frames larger than the socket's buffer: each one
 * arrives with the frame it was sent with. */
static void
test_descriptors(void **st)
{
	ino_t want[20];
	char *big = base_calloc(1, 200000);
	size_t n = 0, at = 0;

	(void)st;
	memset(big, '.', 200000);
	pair(16 << 20);
	for (int i = 0; i < 20; i++) {
		int p[2];
		char body[2] = { (char)('a' + i), 0 };

		assert_int_equal(pipe(p), 0);
		close(p[1]);
		want[n++] = inode(p[0]);
		assert_int_equal(chan_send(a.c, MSG_FEED_ROW,
		    slice_make(body, 1), p[0]), 0);
		if (i % 3 == 0)
			assert_int_equal(chan_send(a.c, MSG_FEED_ROW,
			    slice_make(big, 200000), -1), 0);
	}
	for (int i = 0; i < 500 && b.nfds < n; i++)
		rounds(1);
	assert_int_equal(b.nfds, n);
	for (size_t i = 0; i < n; i++) {
		assert_true(inode(b.fds[i]) == want[i]);
		assert_true(fcntl(b.fds[i], F_GETFD) & FD_CLOEXEC);
	}
	for (size_t i = 0; i < b.bodies.len; i++)
		if (buf_data(&b.bodies)[i] >= 'a' &&
		    buf_data(&b.bodies)[i] <= 't')
			assert_int_equal(buf_data(&b.bodies)[i],
			    'a' + (int)at++);
	assert_int_equal(at, n);
	free(big);
	done();
}

static void
test_descriptors_many(void **st)
{
	int p[2], queued = 0;

	(void)st;
	pair(1 << 20);
	assert_int_equal(pipe(p), 0);
	for (int i = 0; i < 40; i++) {
		int fd = dup(p[0]);

		if (chan_send(a.c, MSG_FEED_ROW, SLICE("x"), fd) == 0)
			queued++;
		else
			close(fd);	/* not taken */
	}
	assert_in_range(queued, 16, 39);
	for (int i = 0; i < 200 && b.nfds < (size_t)queued; i++)
		rounds(1);
	assert_int_equal(b.nfds, queued);
	/* Those not sent and not read are closed: p[0] was the last. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(chan_send(a.c, MSG_FEED_ROW, SLICE("x"),
		    dup(p[0])), 0);
	close(p[0]);
	done();
	assert_int_equal(write(p[1], "x", 1), -1);
	assert_int_equal(errno, EPIPE);
	close(p[1]);
}

/* Each is malformed; the frame before it was delivered, none after it. */
static void
test_malformed(void **st)
{
	static const struct {
		uint32_t n;
		uint16_t type, flags;
		size_t fds;
	} bad[] = { { CHAN_BODY_MAX + 1, MSG_FEED_ROW, 0, 0 },
		{ UINT32_MAX, MSG_FEED_ROW, 0, 0 },
		{ 0, MSG_FEED_ROW, 2, 0 }, { 0, MSG_FEED_ROW, 0x8000, 0 },
		{ 0, MSG_FEED_ROW, 1, 0 },	/* announces none there */
		{ 0, MSG_FEED_ROW, 0, 1 },	/* brings one unannounced */
		{ 0, MSG_FEED_ROW, 1, 2 }, { 0, MSG_FEED_ROW, 1, 50 } };
	int p[2], fds[64];

	(void)st;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char bytes[64];
		size_t n;

		assert_int_equal(pipe(p), 0);
		for (size_t k = 0; k < 64; k++)
			fds[k] = p[0];
		one();
		n = frame(bytes, 2, MSG_FEED_ROW, 0, "ok");
		raw_send(bytes, n, NULL, 0);
		n = frame(bytes, bad[i].n, bad[i].type, bad[i].flags, NULL);
		raw_send(bytes, n, fds, bad[i].fds);
		rounds(3);
		assert_int_equal(a.closed, 1);
		assert_null(a.c);
		assert_true(slice_starts(buf_slice(&a.bodies), "ok|"));
		n = frame(bytes, 0, MSG_FEED_ROW, 0, NULL);
		assert_int_equal(send(raw, bytes, n, MSG_NOSIGNAL), -1);
		assert_int_equal(a.closed, 1);
		close(p[0]);
		done();
		/* Nothing of what came stays open. */
		assert_int_equal(write(p[1], "x", 1), -1);
		close(p[1]);
	}
}

static void
test_acts(void **st)
{
	char bytes[32];
	size_t n;

	(void)st;
	n = frame(bytes, 1, MSG_FEED_ROW, 0, "1");
	n += frame(bytes + n, 1, MSG_FEED_ROW, 0, "2");
	/* The owner refuses. */
	one();
	a.act = ACT_REFUSE;
	raw_send(bytes, n, NULL, 0);
	rounds(2);
	assert_int_equal(a.got, 1);
	assert_int_equal(a.closed, 1);
	done();
	/* The owner refuses, and keeps the channel for a while. */
	one();
	a.act = ACT_REFUSE;
	a.keep = true;
	raw_send(bytes, n, NULL, 0);
	rounds(2);
	assert_int_equal(a.closed, 1);
	assert_null(chan_begin(a.c, MSG_FEED_ROW));
	assert_int_equal(chan_send(a.c, MSG_FEED_ROW, SLICE("x"), -1), -1);
	assert_int_equal(chan_fd(a.c), -1);
	chan_flush(a.c);
	chan_pause(a.c, true);
	chan_pause(a.c, false);
	rounds(2);
	assert_int_equal(a.got, 1);
	assert_int_equal(a.closed, 1);
	done();
	/* The owner frees it in the callback: no on_close. */
	one();
	a.act = ACT_FREE;
	raw_send(bytes, n, NULL, 0);
	rounds(2);
	assert_int_equal(a.got, 1);
	assert_int_equal(a.closed, 0);
	done();
	/* A flush in the callback finds the peer gone: nothing follows. */
	one();
	a.act = ACT_FLUSH;
	a.keep = true;
	raw_send(bytes, n, NULL, 0);
	assert_int_equal(chan_send(a.c, MSG_FEED_ROW, SLICE("x"), -1), 0);
	close(raw);
	raw = -1;
	loop_soon(l, stop, NULL);
	rounds(2);
	assert_int_equal(a.got, 1);
	assert_int_equal(a.closed, 1);
	peer_done(&a);
	loop_free(l);
	raw = 0;
}

static void
test_pause(void **st)
{
	char bytes[32];
	size_t n;

	(void)st;
	n = frame(bytes, 1, MSG_FEED_ROW, 0, "1");
	n += frame(bytes + n, 1, MSG_FEED_ROW, 0, "2");
	one();
	a.act = ACT_PAUSE;
	raw_send(bytes, n, NULL, 0);
	raw_send(bytes, n, NULL, 0);
	for (unsigned i = 1; i <= 4; i++) {
		rounds(3);
		assert_int_equal(a.got, i);
		/* Still writes while it does not read. */
		assert_int_equal(chan_send(a.c, MSG_FEED_ROW, SLICE("y"),
		    -1), 0);
		rounds(1);
		assert_int_equal(chan_queued(a.c), 0);
		chan_pause(a.c, false);
		chan_pause(a.c, true);
		chan_pause(a.c, false);
	}
	rounds(3);
	assert_int_equal(a.got, 4);
	assert_int_equal(a.closed, 0);
	done();
}

/* The peer goes away while nothing is read: the loop waits, and what it had
 * sent is still delivered before the end. */
static void
test_pause_hangup(void **st)
{
	struct loop_timer *t;
	char bytes[32];
	size_t n;

	(void)st;
	one();
	t = loop_timer_new(l, stop, NULL);
	n = frame(bytes, 1, MSG_FEED_ROW, 0, "1");
	chan_pause(a.c, true);
	raw_send(bytes, n, NULL, 0);
	close(raw);
	raw = -1;
	rounds(3);
	/* A loop that spins takes thousands of turns in 30 ms of CPU. */
	clock_t before = clock();

	for (int i = 0; i < 3; i++) {
		loop_timer_set(t, 20);
		loop_run(l);
	}
	assert_true((double)(clock() - before) / CLOCKS_PER_SEC < 0.03);
	assert_int_equal(a.closed, 0);
	assert_int_equal(a.got, 0);
	chan_pause(a.c, false);
	rounds(4);
	assert_int_equal(a.got, 1);
	assert_int_equal(a.closed, 1);
	loop_timer_del(t);
	rounds(1);
	peer_done(&a);
	loop_free(l);
	raw = 0;
}

static void
on_drain(void *ctx)
{
	struct peer *p = ctx;

	p->drained++;
	assert_int_equal(chan_queued(p->c), 0);
}

static void
test_full_and_drain(void **st)
{
	char body[1000];
	unsigned sent = 0;
	struct buf *out;

	(void)st;
	memset(body, 'b', sizeof(body));
	pair(10000);
	chan_on_drain(a.c, on_drain, &a);
	assert_int_equal(chan_send(a.c, MSG_FEED_ROW, SLICE("x"), -1), 0);
	rounds(2);
	assert_int_equal(a.drained, 0);		/* it was not full */
	b.got = 0;
	while (chan_send(a.c, MSG_FEED_ROW, slice_make(body, sizeof(body)),
	    -1) == 0)
		sent++;
	assert_int_equal(sent, 9);
	/* What did not fit left nothing behind; a smaller one fits. */
	assert_int_equal(chan_queued(a.c), 9 * 1008);
	assert_int_equal(chan_send(a.c, MSG_FEED_ROW, SLICE("tail"), -1), 0);
	out = chan_begin(a.c, MSG_FEED_ROW);
	assert_non_null(out);
	buf_add(out, body, sizeof(body));
	assert_int_equal(chan_end(a.c), -1);
	rounds(3);
	assert_int_equal(b.got, 10);
	assert_true(slice_ends(buf_slice(&b.bodies), "b|tail|"));
	assert_int_equal(a.drained, 1);
	rounds(2);
	assert_int_equal(a.drained, 1);
	done();
}

static void
test_slow_reader(void **st)
{
	char *body = base_calloc(1, 100000);
	unsigned sent = 0;

	(void)st;
	pair(8 << 20);
	chan_pause(b.c, true);
	for (int i = 0; i < 60; i++)
		sent += chan_send(a.c, MSG_FEED_ROW, slice_make(body, 100000),
		    -1) == 0;
	rounds(3);
	assert_true(chan_queued(a.c) > 1 << 20);	/* the socket is full */
	assert_int_equal(b.got, 0);
	chan_pause(b.c, false);
	for (int i = 0; i < 1000 && b.got < sent; i++)
		rounds(1);
	assert_int_equal(b.got, 60);
	free(body);
	done();
}

static void
test_largest(void **st)
{
	char *body = base_calloc(1, CHAN_BODY_MAX + 1);

	(void)st;
	pair(CHAN_BODY_MAX + (1u << 20));
	assert_int_equal(chan_send(a.c, MSG_FEED_ROW, slice_make(body,
	    CHAN_BODY_MAX + 1), -1), -1);
	assert_int_equal(chan_send(a.c, MSG_FEED_ROW, slice_make(body,
	    CHAN_BODY_MAX), -1), 0);
	for (int i = 0; i < 5000 && b.got == 0; i++)
		rounds(1);
	assert_int_equal(b.bodies.len, CHAN_BODY_MAX + 1);
	free(body);
	done();
}

static void
test_blocking(void **st)
{
	struct buf body;
	enum msg_type type;
	int p[2], passed = -1;

	(void)st;
	buf_init(&body, 1 << 20);
	one();
	assert_int_equal(chan_call_send(raw, MSG_FEED_ROW, SLICE("hi")), 0);
	rounds(2);
	assert_true(slice_is(buf_slice(&a.bodies), "hi|"));
	assert_int_equal(pipe(p), 0);
	assert_int_equal(chan_send(a.c, MSG_FEED_HEAD, SLICE("yo"), p[0]), 0);
	assert_int_equal(chan_send(a.c, MSG_FEED_DONE, SLICE(""), -1), 0);
	rounds(2);
	assert_int_equal(chan_call_recv(raw, &type, &body, &passed), 0);
	assert_int_equal(type, MSG_FEED_HEAD);
	assert_true(slice_is(buf_slice(&body), "yo"));
	assert_true(passed >= 0);
	close(passed);
	close(p[1]);
	assert_int_equal(chan_call_recv(raw, &type, &body, &passed), 0);
	assert_int_equal(type, MSG_FEED_DONE);
	assert_int_equal(passed, -1);
	chan_free(a.c);
	a.c = NULL;
	assert_int_equal(chan_call_recv(raw, &type, &body, NULL), -1);
	assert_int_equal(errno, ECONNRESET);
	assert_int_equal(chan_call_send(raw, MSG_FEED_ROW, SLICE("hi")), -1);
	rounds(1);
	buf_free(&body);
	done();
}

static int
ignore_pipe(void **st)
{
	(void)st;
	signal(SIGPIPE, SIG_IGN);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_batch),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_descriptors_many),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_acts),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_pause_hangup),
		cmocka_unit_test(test_full_and_drain),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_largest),
		cmocka_unit_test(test_blocking),
	};

	return cmocka_run_group_tests(tests, ignore_pipe, NULL);
}
