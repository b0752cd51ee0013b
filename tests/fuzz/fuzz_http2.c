/*
 * fuzz_http2 - bytes of a peer. The first byte says whether we are the server
 * or the client (bit 0) and in what steps the rest is fed.
 *
 * Invariants: what a stream gives as text is a message that http1 reads or
 * refuses, and never more than one; its Host is what :authority said; a stream
 * holds at most its window and what waits to be sent stays small.
 */
#include <stdlib.h>

#include "http1.h"
#include "http2.h"
#include "list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define STREAMS_MAX 128

struct user {
	struct http2_stream *st;
	struct buf text;
	bool closed;
};

static struct user users[STREAMS_MAX];
static unsigned nusers;

static void
on_request(void *ctx, struct http2_stream *st)
{
	(void)ctx;
	if (nusers == STREAMS_MAX)
		return;
	users[nusers] = (struct user){ .st = st };
	buf_init(&users[nusers].text, 8u << 20);
	http2_accept(st, &users[nusers++]);
}

static void
on_refused(void *ctx, const char *why)
{
	(void)ctx;
	ASSERT(why != NULL);
}

static void
on_output(void *ctx)
{
	(void)ctx;
}

static void
on_stream(void *user, unsigned events)
{
	struct user *u = user;

	u->closed |= (events & HTTP2_CLOSED) != 0;
}

static const struct http2_events events = { on_request, on_refused, on_output,
	on_stream };

static void
read_all(void)
{
	char p[5000];
	ssize_t k;

	for (unsigned i = 0; i < nusers; i++) {
		ASSERT(http2_pending(users[i].st) <= HTTP2_WINDOW + 400000);
		while ((k = http2_read(users[i].st, p, sizeof(p))) > 0)
			if (buf_add(&users[i].text, p, (size_t)k) != 0)
				break;
	}
}

/* One message and nothing behind it, unless http1 refuses it. */
static void
check_text(const struct user *u, bool server)
{
	static struct http1_head h;
	struct slice in = buf_slice(&u->text), data;
	enum http1_result r;
	struct http1_body b;
	size_t used = 0;

	for (;;) {
		http1_head_init(&h);
		r = server ? http1_parse_request(&h, in, NULL, &used) :
		    http1_parse_response(&h, in, NULL, HTTP1_M_GET, &used);
		if (r != HTTP1_DONE)
			return;
		in = slice_sub(in, used, SIZE_MAX);
		if (!h.interim)
			break;
	}
	ASSERT(!server || (h.has_authority &&
	    http1_field_count(&h, "host") == 1));
	ASSERT(http1_field(&h, "connection").p == NULL);
	http1_body_init(&b, h.framing, h.length);
	while ((r = http1_body_next(&b, &in, &data)) == HTTP1_DATA)
		;
	/* nghttp2 sees to the length, but the last DATA may be too long: the
	 * stream is reset then. */
	ASSERT(r == HTTP1_MORE || in.n == 0 || u->closed);
	ASSERT(r != HTTP1_ERROR);
}

static void
answer(unsigned i)
{
	struct slice rest = SLICE("HTTP/1.1 200 OK\r\nX-A: b\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
	ssize_t k;

	while (rest.n > 0 && (k = http2_write(users[i].st, rest.p,
	    rest.n)) > 0)
		rest = slice_sub(rest, (size_t)k, SIZE_MAX);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n == 0)
		return 0;
	bool server = (data[0] & 1) == 0;
	size_t step = data[0] / 2 % 2 == 0 ? SIZE_MAX : data[0] / 4 + 1u;
	struct http2_limits lim = { 8192, 50 };
	struct http2 *h = server ? http2_server(&lim, &events, NULL) :
	    http2_client(&lim, &events, NULL);
	struct slice in = slice_make(data + 1, n - 1);
	struct buf out;
	int r = 0;

	nusers = 0;
	buf_init(&out, 1u << 20);
	if (!server) {
		static const char get[] = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";

		for (int i = 0; i < 2; i++) {
			users[i] = (struct user){ .st = http2_open(h,
			    &users[i]) };
			buf_init(&users[i].text, 8u << 20);
			ASSERT(http2_write(users[i].st, get,
			    sizeof(get) - 1) == sizeof(get) - 1);
			nusers++;
		}
		ASSERT(http2_fill(h, &out) == 0);
	} else {
		ASSERT(http2_recv(h, SLICE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
		    == 0);
	}
	while (in.n > 0 && r == 0) {
		struct slice part = slice_sub(in, 0, step);

		r = http2_recv(h, part);
		in = slice_sub(in, part.n, SIZE_MAX);
		read_all();
		for (unsigned i = 0; server && r == 0 && i < nusers; i += 2)
			answer(i);
		buf_reset(&out);
		if (http2_fill(h, &out) != 0)
			break;
		ASSERT(out.len < 2 * HTTP2_OUT_HIGH);
	}
	for (unsigned i = 0; i < nusers; i++)
		check_text(&users[i], server);
	if (n % 2 == 0)
		http2_free(h);
	for (unsigned i = 0; i < nusers; i++) {
		http2_stream_free(users[i].st);
		buf_free(&users[i].text);
	}
	if (n % 2 != 0)
		http2_free(h);
	buf_free(&out);
	return 0;
}
