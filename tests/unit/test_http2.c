/* A client and a server of lib/net/http2 talk to each other in memory; a raw
 * peer sends what no client of ours would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http1.h"
#include "http2.h"

#define USERS 128

struct end;

struct user {
	struct http2_stream *st;
	unsigned events;
};

struct end {
	struct http2 *h;
	struct user users[USERS];
	unsigned n, refused, accept;
	char why[128];
	struct buf out;
	int over;
};

static struct end cl, sv;

static void
on_request(void *ctx, struct http2_stream *st)
{
	struct end *e = ctx;

	if (e->n >= e->accept)
		return;
	e->users[e->n].st = st;
	http2_accept(st, &e->users[e->n++]);
}

static void
on_refused(void *ctx, const char *why)
{
	struct end *e = ctx;

	e->refused++;
	snprintf(e->why, sizeof(e->why), "%s", why);
}

static void
on_output(void *ctx)
{
	(void)ctx;
}

static void
on_stream(void *user, unsigned events)
{
	((struct user *)user)->events |= events;
}

static const struct http2_events events = { on_request, on_refused, on_output,
	on_stream };

static void
begin(void)
{
	memset(&cl, 0, sizeof(cl));
	memset(&sv, 0, sizeof(sv));
	sv.accept = USERS;
	cl.h = http2_client(NULL, &events, &cl);
	sv.h = http2_server(NULL, &events, &sv);
	buf_init(&cl.out, 1u << 20);
	buf_init(&sv.out, 1u << 20);
}

static void
end(void)
{
	struct end *both[] = { &cl, &sv };

	for (int i = 0; i < 2; i++) {
		struct end *e = both[i];

		for (unsigned k = 0; k < e->n; k++)
			http2_stream_free(e->users[k].st);
		http2_free(e->h);
		buf_free(&e->out);
	}
}

/* What from has to say reaches to. */
static bool
carry(struct end *from, struct end *to)
{
	assert_int_equal(http2_fill(from->h, &from->out), 0);
	if (from->out.len == 0 || to->over != 0)
		return false;
	to->over = http2_recv(to->h, buf_slice(&from->out));
	buf_reset(&from->out);
	return true;
}

static void
talk(void)
{
	while (carry(&cl, &sv) | carry(&sv, &cl))
		;
}

static struct http2_stream *
ask(const char *text)
{
	struct user *u = &cl.users[cl.n++];
	size_t n = strlen(text);

	u->st = http2_open(cl.h, u);
	while (n > 0) {
		ssize_t k = http2_write(u->st, text, n);

		assert_true(k > 0);
		text += k;
		n -= (size_t)k;
	}
	return u->st;
}

/* All that a stream gives now; *last_r is what it said then. */
static const char *
text_of(struct http2_stream *st, ssize_t *last_r)
{
	static char p[1 << 18];
	size_t n = 0;
	ssize_t k;

	while ((k = http2_read(st, p + n, sizeof(p) - 1 - n)) > 0)
		n += (size_t)k;
	p[n] = '\0';
	if (last_r != NULL)
		*last_r = k;
	return p;
}

static ssize_t
say(struct http2_stream *st, const char *text)
{
	size_t n = strlen(text), at = 0;
	ssize_t k = 1;

	while (at < n && (k = http2_write(st, text + at, n - at)) > 0)
		at += (size_t)k;
	return k > 0 ? (ssize_t)at : k;
}

static void
test_round_trip(void **st)
{
	ssize_t last;

	(void)st;
	begin();
	struct http2_stream *c = ask("POST /a?b=c HTTP/1.1\r\nHost: x.test\r\n"
	    "X-One: 1\r\nConnection: x-two\r\nX-Two: 2\r\n"
	    "Content-Length: 5\r\n\r\nhello");

	talk();
	assert_int_equal(sv.n, 1);
	assert_string_equal(text_of(sv.users[0].st, &last),
	    "POST /a?b=c HTTP/1.1\r\nHost: x.test\r\nx-one: 1\r\n"
	    "content-length: 5\r\n\r\nhello");
	assert_int_equal(last, TLS_WANT_READ);
	assert_true(say(sv.users[0].st, "HTTP/1.1 100 Continue\r\n\r\n"
	    "HTTP/1.1 200 OK\r\nX-Three: 3\r\nTransfer-Encoding: chunked\r\n"
	    "\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n") > 0);
	talk();
	assert_string_equal(text_of(c, &last), "HTTP/1.1 100 Continue\r\n\r\n"
	    "HTTP/1.1 200 OK\r\nx-three: 3\r\n\r\nabcde");
	assert_int_equal(last, TLS_EOF);
	assert_true(sv.users[0].events & HTTP2_CLOSED);
	assert_true(http2_stream_complete(sv.users[0].st));
	assert_int_equal(sv.refused + cl.refused, 0);
	end();
}

/* Without a length: chunks, and an end of them. */
static void
test_unknown_length(void **st)
{
	(void)st;
	begin();
	ask("PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "4\r\nabcd\r\n0\r\n\r\n");
	talk();
	assert_string_equal(text_of(sv.users[0].st, NULL),
	    "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "4\r\nabcd\r\n0\r\n\r\n");
	end();
}

/* A writer gets no further than the reader's window, and on when it is read. */
static void
test_windows(void **st)
{
	static char block[4096];
	struct http2_stream *c;
	size_t sent = 0;
	ssize_t k;

	(void)st;
	memset(block, 'x', sizeof(block));
	begin();
	c = ask("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n");
	talk();
	for (int i = 0; i < 1000; i++) {
		k = http2_write(c, block, sizeof(block));
		if (k > 0)
			sent += (size_t)k;
		talk();
	}
	assert_int_equal(k, TLS_WANT_WRITE);
	assert_int_equal(sent, HTTP2_WINDOW);
	cl.users[0].events = 0;
	size_t got = strlen(text_of(sv.users[0].st, NULL));

	talk();
	assert_true(cl.users[0].events & HTTP2_WRITABLE);
	while (sent < 200000) {
		k = http2_write(c, block, 200000 - sent < sizeof(block) ?
		    200000 - sent : sizeof(block));
		if (k > 0)
			sent += (size_t)k;
		talk();
		got += strlen(text_of(sv.users[0].st, NULL));
		talk();
	}
	assert_true(got > 200000);
	assert_int_equal(http2_pending(sv.users[0].st), 0);
	end();
}

/* A head and much of its body come in one write, as a whole result does. */
static void
test_head_with_body(void **st)
{
	static char text[600000];
	size_t n = (size_t)snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n"
	    "Content-Length: 500000\r\n\r\n"), at = 0, got = 0;
	struct http2_stream *c;
	ssize_t last, k;

	(void)st;
	memset(text + n, 'x', 500000);
	begin();
	c = ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	talk();
	for (int i = 0; i < 1000 && at < n + 500000; i++) {
		k = http2_write(sv.users[0].st, text + at, n + 500000 - at);
		assert_true(k > 0 || k == TLS_WANT_WRITE);
		if (k > 0)
			at += (size_t)k;
		talk();
		got += strlen(text_of(c, &last));
		talk();
	}
	assert_int_equal(at, n + 500000);
	assert_int_equal(got, n + 500000);
	assert_int_equal(last, TLS_EOF);
	end();
}

static void
test_reset(void **st)
{
	ssize_t last;

	(void)st;
	begin();
	struct http2_stream *a = ask("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
	struct http2_stream *b = ask("GET /b HTTP/1.1\r\nHost: x\r\n\r\n");

	talk();
	assert_int_equal(sv.n, 2);
	http2_cut(sv.users[0].st);
	talk();
	text_of(a, &last);
	assert_int_equal(last, TLS_TRUNCATED);
	assert_true(say(sv.users[1].st,
	    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi") > 0);
	talk();
	assert_string_equal(text_of(b, &last),
	    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
	assert_int_equal(last, TLS_EOF);
	/* An answer that was begun and is given up is cut, not ended. */
	struct http2_stream *c = ask("GET /c HTTP/1.1\r\nHost: x\r\n\r\n");

	talk();
	say(sv.users[2].st, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi");
	talk();
	http2_stream_free(sv.users[2].st);
	sv.users[2].st = NULL;
	talk();
	text_of(c, &last);
	assert_int_equal(last, TLS_TRUNCATED);
	end();
}

/* An answer before the request is all there is not followed by RST_STREAM at
 * once: the rest may come, up to a bound, and keeps no connection. */
static void
test_answered_early(void **st)
{
	static char more[70000];
	ssize_t last;

	(void)st;
	for (int much = 0; much < 2; much++) {
		size_t n = much ? 60000 : 20000, at = 0;
		char head[100];

		begin();
		snprintf(head, sizeof(head), "POST /a HTTP/1.1\r\nHost: x\r\n"
		    "Content-Length: %zu\r\n\r\n", n);
		struct http2_stream *c = ask(head);

		talk();
		assert_true(say(sv.users[0].st, "HTTP/1.1 401 Unauthorized\r\n"
		    "Content-Length: 2\r\n\r\nno") > 0);
		http2_end(sv.users[0].st);
		talk();
		http2_stream_free(sv.users[0].st);
		sv.users[0].st = NULL;
		assert_int_equal(http2_open_streams(sv.h), 0);
		talk();
		assert_string_equal(text_of(c, &last), "HTTP/1.1 401 Unauthorized\r\n"
		    "content-length: 2\r\n\r\nno");
		memset(more, 'x', n);
		while (at < n) {
			ssize_t k = http2_write(c, more + at, n - at);

			if (k <= 0)
				break;
			at += (size_t)k;
			talk();
		}
		assert_int_equal(at == n, !much);
		talk();
		assert_true(cl.users[0].events & HTTP2_CLOSED);
		assert_int_equal(http2_open_streams(sv.h), 0);
		assert_int_equal(sv.refused + cl.refused, 0);
		end();
	}
}

static void
test_connection_goes(void **st)
{
	ssize_t last;

	(void)st;
	begin();
	struct http2_stream *a = ask("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");

	talk();
	http2_free(cl.h);
	cl.h = NULL;
	assert_true(cl.users[0].events & HTTP2_CLOSED);
	text_of(a, &last);
	assert_int_equal(last, TLS_TRUNCATED);
	assert_int_equal(http2_write(a, "x", 1), TLS_TRUNCATED);
	end();
}

static void
test_refused(void **st)
{
	ssize_t last;

	(void)st;
	begin();
	sv.accept = 1;
	struct http2_stream *a = ask("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
	struct http2_stream *b = ask("GET /b HTTP/1.1\r\nHost: x\r\n\r\n");

	talk();
	text_of(b, &last);
	assert_int_equal(last, TLS_TRUNCATED);
	text_of(a, &last);
	assert_int_equal(last, TLS_WANT_READ);
	assert_int_equal(sv.refused, 1);
	end();
}

static void
test_room(void **st)
{
	(void)st;
	begin();
	for (int i = 0; i < HTTP2_STREAMS; i++) {
		assert_true(http2_has_room(cl.h));
		ask("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
	}
	assert_false(http2_has_room(cl.h));
	talk();
	assert_int_equal(sv.n, HTTP2_STREAMS);
	say(sv.users[0].st, "HTTP/1.1 204 No Content\r\n\r\n");
	talk();
	http2_stream_free(cl.users[0].st);
	cl.users[0].st = NULL;
	assert_true(http2_has_room(cl.h));
	http2_goaway(sv.h);
	talk();
	assert_false(http2_has_room(cl.h));
	assert_false(http2_done(cl.h));		/* streams still run */
	end();
}

/* What was certainly not processed (RFC 9113, 8.7). */
static void
test_unprocessed(void **st)
{
	static const uint8_t away[] = { 0, 0, 8, 7, 0, 0, 0, 0, 0,
		0, 0, 0, 1, 0, 0, 0, 0 };	/* the last one is stream 1 */
	const char *text = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
	struct http2_stream *c[2];

	(void)st;
	begin();
	sv.accept = 0;
	c[0] = ask(text);
	talk();
	assert_true(http2_refused(c[0]));
	end();
	begin();
	c[0] = ask(text);
	c[1] = ask(text);
	talk();
	assert_false(http2_refused(c[0]) || http2_refused(c[1]));
	assert_int_equal(http2_recv(cl.h, slice_make(away, sizeof(away))), 0);
	assert_false(http2_refused(c[0]));
	assert_true(http2_refused(c[1]));
	/* Of what was sent before the connection ended nothing is known. */
	http2_free(cl.h);
	cl.h = NULL;
	assert_false(http2_refused(c[0]));
	assert_true(http2_lost(c[0]));
	assert_false(http2_lost(c[1]));
	end();
	begin();
	talk();
	c[0] = ask(text);		/* it never left */
	http2_free(cl.h);
	cl.h = NULL;
	assert_true(http2_refused(c[0]));
	end();
	begin();
	c[0] = ask(text);
	talk();
	http2_cut(c[0]);		/* our own reset says nothing */
	talk();
	assert_false(http2_refused(c[0]));
	end();
}

/* What is written must be one well-formed message. */
static void
test_bad_text(void **st)
{
	(void)st;
	begin();
	ask("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
	talk();
	assert_int_equal(say(sv.users[0].st, "HTTP/1.1 OK\r\n\r\n"),
	    TLS_ERROR);
	end();
	begin();
	ask("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
	talk();
	assert_int_equal(say(sv.users[0].st,
	    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab"), TLS_ERROR);
	end();
}

/* --- a raw peer --------------------------------------------------------------- */

static int
raw(const void *p, size_t n)
{
	sv.over = http2_recv(sv.h, slice_make(p, n));
	buf_reset(&sv.out);
	return http2_fill(sv.h, &sv.out) != 0 ? -1 : sv.over;
}

#define RAW(lit) raw(lit, sizeof(lit) - 1)

static void
begin_raw(void)
{
	begin();
	assert_int_equal(RAW("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	    "\0\0\0\4\0\0\0\0\0"), 0);
}

/* Does what was sent say GOAWAY with this code? */
static bool
goaway(uint32_t code)
{
	struct slice s = buf_slice(&sv.out);

	while (s.n >= 9) {
		const uint8_t *p = (const uint8_t *)s.p;
		size_t n = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];

		if (p[3] == 7 && s.n >= 17 && p[16] == code)
			return true;
		s = slice_sub(s, 9 + n, SIZE_MAX);
	}
	return false;
}

static void
flood(const void *p, size_t n, unsigned times, unsigned at_least)
{
	unsigned i = 0;

	begin_raw();
	while (i < times && raw(p, n) == 0)
		i++;
	assert_true(i < times);
	assert_true(i >= at_least);
	assert_true(goaway(11));
	assert_string_equal(sv.why, "too many frames that carry nothing");
	end();
}

static void
test_floods(void **st)
{
	(void)st;
	flood("\0\0\10\6\0\0\0\0\0abcdefgh", 17, 3000, HTTP2_NOISE - 10);
	flood("\0\0\0\4\0\0\0\0\0", 9, 3000, 90);
	flood("\0\0\5\2\0\0\0\0\1\0\0\0\3\1", 14, 3000, HTTP2_NOISE - 10);
	flood("\0\0\0\xee\0\0\0\0\0", 9, 3000, HTTP2_NOISE - 10);
	flood("\0\0\4\10\0\0\0\0\0\0\0\0\1", 13, 3000, HTTP2_NOISE - 10);
}

/* GET https://a/, by the static table. */
static size_t
get(char *p, uint32_t id, uint8_t flags)
{
	static const char h[] = "\0\0\6\1\5\0\0\0\0\x82\x87\x84\x41\1a";

	memcpy(p, h, sizeof(h) - 1);
	p[4] = (char)flags;
	p[7] = (char)(id >> 8);
	p[8] = (char)id;
	return sizeof(h) - 1;
}

static void
test_rapid_reset(void **st)
{
	char p[64];
	unsigned i = 0;

	(void)st;
	begin_raw();
	for (; i < 1000; i++) {
		size_t n = get(p, 2 * i + 1, 5);

		memcpy(p + n, "\0\0\4\3\0\0\0\0\0\0\0\0\10", 13);
		p[n + 7] = p[7];
		p[n + 8] = p[8];
		sv.accept = sv.n = 0;
		if (raw(p, n + 13) != 0)
			break;
	}
	assert_in_range(i, HTTP2_RESETS / 2 - 5, HTTP2_RESETS + 20);
	assert_true(goaway(11));
	sv.n = 0;
	end();
}

static void
test_split(void **st)
{
	char p[64];
	size_t n;

	(void)st;
	begin_raw();
	n = get(p, 1, 5);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(sv.n, 0);
		assert_int_equal(raw(p + i, 1), 0);
	}
	assert_string_equal(text_of(sv.users[0].st, NULL),
	    "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_false(http2_in_headers(sv.h));
	n = get(p, 3, 1);
	assert_int_equal(raw(p, n), 0);
	assert_true(http2_in_headers(sv.h));
	end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_unknown_length),
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_head_with_body),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_answered_early),
		cmocka_unit_test(test_connection_goes),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_unprocessed),
		cmocka_unit_test(test_bad_text),
		cmocka_unit_test(test_floods),
		cmocka_unit_test(test_rapid_reset),
		cmocka_unit_test(test_split),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
