/*
 * fuzz_chan - any bytes on a channel between roles, in pieces of any size; the
 * callback unpacks each body by the shape msgs.def gives it. Whatever comes,
 * the loop goes on and the channel ends once.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "chan.h"
#include "log.h"
#include "pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct end {
	struct chan *c;
	unsigned closed;
};

static struct loop *l;
static int null_fd;

/* Reads what the text of a body in msgs.def says: "u64 q, str host, ...". A
 * list is its count and entries until the end. */
static bool
unpack_as(struct slice shape, struct slice body)
{
	struct unpack u;
	char *text;
	uint8_t raw[32];
	bool list = slice_find(shape, SLICE("...")) >= 0;

	unpack_init(&u, body);
	while (shape.p != NULL && !u.bad) {
		struct slice f = slice_trim(slice_cut(&shape, ','));

		if (slice_starts(f, "u8"))
			(void)unpack_u8(&u);
		else if (slice_starts(f, "u16"))
			(void)unpack_u16(&u);
		else if (slice_starts(f, "u32 count"))
			(void)unpack_count(&u, 4);
		else if (slice_starts(f, "u32"))
			(void)unpack_u32(&u);
		else if (slice_starts(f, "u64"))
			(void)unpack_u64(&u);
		else if (slice_starts(f, "i64"))
			(void)unpack_i64(&u);
		else if (slice_starts(f, "id16"))
			unpack_bytes(&u, raw, 16);
		else if (slice_starts(f, "h32"))
			unpack_bytes(&u, raw, 32);
		else if (slice_starts(f, "str")) {
			text = unpack_strdup(&u);
			ASSERT(strlen(text) <= body.n);
			free(text);
		}
	}
	while (list && !u.bad && u.n > 0)
		(void)unpack_slice(&u);
	ASSERT(u.n <= body.n);
	ASSERT(!unpack_done(&u) || u.n == 0);
	return unpack_done(&u);
}

static int
on_msg(void *ctx, struct chan *c, enum msg_type type, struct slice body,
    int fd)
{
	static const struct {
		unsigned type;
		const char *shape;
	} shapes[] = {
#define MSG(sym, num, way, body) { num, body },
#include "msgs.def"
#undef MSG
	};
	struct end *e = ctx;

	ASSERT(e->closed == 0 && c == e->c);
	base_close(&fd);
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
		if (shapes[i].type == type)
			return unpack_as(slice_str(shapes[i].shape), body) ?
			    0 : -1;
	/* What is not known passes here, so that frames behind it are seen. */
	return body.n % 7 == 6 ? -1 : 0;
}

static void
on_close(void *ctx, struct chan *c)
{
	struct end *e = ctx;

	ASSERT(e->closed == 0);
	e->closed++;
	chan_free(c);
	e->c = NULL;
}

static void
stop(void *ctx)
{
	loop_stop(ctx);
}

static void
turn(void)
{
	loop_soon(l, stop, l);
	loop_run(l);
}

/* One piece, now and then with a descriptor. */
static void
give(int fd, const uint8_t *p, size_t n, bool with_fd)
{
	struct iovec iov = { (void *)(uintptr_t)p, n };
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(sizeof(int))];
	} ctl = { 0 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (with_fd) {
		m.msg_control = ctl.space;
		m.msg_controllen = sizeof(ctl.space);
		ctl.h.cmsg_level = SOL_SOCKET;
		ctl.h.cmsg_type = SCM_RIGHTS;
		ctl.h.cmsg_len = CMSG_LEN(sizeof(int));
		/* Any but the socket: it would keep itself alive. */
		memcpy(CMSG_DATA(&ctl.h), &null_fd, sizeof(int));
	}
	if (sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;		/* dropped: the other end is gone */
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct end e = { 0 };
	size_t piece;
	unsigned how;
	int sv[2];

	if (n < 1 || n > 65536)
		return 0;
	if (l == NULL) {
		log_init("fuzz", LOG_LV_ERROR);
		l = loop_new();
		null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		ASSERT(null_fd >= 0);
	}
	/* The first byte: the size of pieces, where descriptors travel. */
	how = data[0];
	piece = (how & 15) == 0 ? n : how & 15;
	if (n > 4096)
		piece = n;
	ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) == 0);
	e.c = chan_new(l, sv[0], 1 << 20, on_msg, on_close, &e);
	for (size_t at = 1; at < n && e.closed == 0; at += piece) {
		size_t k = n - at < piece ? n - at : piece;

		give(sv[1], data + at, k, at == 1 && (how & 16));
		if ((how & 32) && e.c != NULL)
			chan_pause(e.c, at / piece % 2 == 0);
		turn();
	}
	if (e.c != NULL)
		chan_pause(e.c, false);
	turn();
	close(sv[1]);
	turn();
	turn();
	ASSERT(e.closed == 1);
	return 0;
}
