/*
 * origin - the upstream of the bench: one epoll loop, TLS, HTTP/1.1.
 *
 *   origin CERT KEY PERIOD_MS		prints its port on 127.0.0.1
 *
 * POST (any path): reads the body, answers one small JSON-RPC result; a path
 * with /size/N answers a text of N bytes. A path with /sse: a stream of one
 * event per PERIOD_MS that carries the time it was written.
 */
#include "common.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN_MAX 65536
#define SIZE_MAX_ANSWER 1000000
#define TICK_MS 1

struct peer {
	struct peer *next, **at;	/* streams of one slot */
	SSL *ssl;
	int fd;
	uint32_t events;
	bool ready, stream, writing;
	size_t in_n;
	uint64_t body_left;
	bool in_body, wants_stream;
	long size;			/* of the answer, -1: the small one */
	char *out;
	size_t out_n, out_at, out_cap;
	char in[IN_MAX + 1];
};

static int ep;
static SSL_CTX *ctx;
/* One list for each millisecond of the period: a stream stays in its own, and
 * a tick looks only at those that are due. */
static struct peer **slots;
static uint64_t period_ms, ticked_ms;
static size_t nstreams;
static char text[SIZE_MAX_ANSWER + 1];

static void
watch(struct peer *p, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = p };

	if (p->events == events)
		return;
	epoll_ctl(ep, p->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, p->fd,
	    &e);
	p->events = events;
}

static void
drop(struct peer *p)
{
	if (p->stream) {
		*p->at = p->next;
		if (p->next != NULL)
			p->next->at = p->at;
		nstreams--;
	}
	if (p->ready)
		SSL_shutdown(p->ssl);
	SSL_free(p->ssl);
	ERR_clear_error();
	close(p->fd);
	free(p->out);
	free(p);
}

static void
put(struct peer *p, const char *s, size_t n)
{
	if (p->out_n + n > p->out_cap) {
		p->out_cap = (p->out_n + n) * 2;
		p->out = realloc(p->out, p->out_cap);
		if (p->out == NULL)
			die("memory");
	}
	memcpy(p->out + p->out_n, s, n);
	p->out_n += n;
}

/* -1: the peer is gone. */
static int
flush(struct peer *p)
{
	while (p->out_at < p->out_n) {
		int r = SSL_write(p->ssl, p->out + p->out_at,
		    (int)(p->out_n - p->out_at));

		if (r > 0) {
			p->out_at += (size_t)r;
			continue;
		}
		if (SSL_get_error(p->ssl, r) != SSL_ERROR_WANT_WRITE)
			return -1;
		watch(p, EPOLLIN | EPOLLOUT);
		return 0;
	}
	p->out_n = p->out_at = 0;
	watch(p, EPOLLIN);
	return 0;
}

static void
put_event(struct peer *p)
{
	char stamp[STAMP_LETTERS + 1], event[256], head[16];

	stamp_write(stamp, now_ns());
	int n = snprintf(event, sizeof(event), "event: message\ndata: "
	    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\","
	    "\"params\":{\"progressToken\":\"a\",\"progress\":1,\"message\":"
	    "\"at %s\"}}\n\n", stamp);
	int h = snprintf(head, sizeof(head), "%x\r\n", (unsigned)n);

	put(p, head, (size_t)h);
	put(p, event, (size_t)n);
	put(p, "\r\n", 2);
}

static void
begin_stream(struct peer *p)
{
	static const char head[] = "HTTP/1.1 200 OK\r\n"
	    "Content-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n";

	/* Spread over the period, as independent servers would be. */
	uint64_t due = now_ns() / 1000000 + period_ms / 2 +
	    (uint64_t)rand() % (period_ms / 2);

	put(p, head, sizeof(head) - 1);
	p->stream = true;
	p->at = &slots[due % period_ms];
	p->next = *p->at;
	if (p->next != NULL)
		p->next->at = &p->next;
	*p->at = p;
	nstreams++;
	put_event(p);
}

static void
answer(struct peer *p)
{
	static const char before[] = "{\"jsonrpc\":\"2.0\",\"id\":1,"
	    "\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"";
	static const char after[] = "\"}],\"isError\":false}}";
	size_t n = p->size < 0 ? 2 : (size_t)p->size;
	char head[160];
	int k = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\n"
	    "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
	    sizeof(before) - 1 + n + sizeof(after) - 1);

	put(p, head, (size_t)k);
	put(p, before, sizeof(before) - 1);
	put(p, text, n);
	put(p, after, sizeof(after) - 1);
}

static void
consume(struct peer *p, size_t n)
{
	memmove(p->in, p->in + n, p->in_n - n);
	p->in_n -= n;
}

static int
begin_request(struct peer *p)
{
	char *end, *field, *size;

	p->in[p->in_n] = '\0';
	end = strstr(p->in, "\r\n\r\n");
	if (end == NULL)
		return p->in_n == IN_MAX ? -1 : 0;
	*end = '\0';
	field = strcasestr(p->in, "\r\nContent-Length:");
	p->body_left = field == NULL ? 0 : strtoull(field + 17, NULL, 10);
	size = strstr(p->in, "/size/");
	p->size = size == NULL ? -1 : strtol(size + 6, NULL, 10);
	if (p->size > SIZE_MAX_ANSWER)
		return -1;
	p->wants_stream = strstr(p->in, "/sse") != NULL;
	p->in_body = true;
	consume(p, (size_t)(end + 4 - p->in));
	return 1;
}

/* 1: something was read off; 0: more is needed; -1: no request. */
static int
step(struct peer *p)
{
	size_t n;

	if (p->stream || (!p->in_body && p->in_n == 0))
		return 0;
	if (!p->in_body)
		return begin_request(p);
	n = p->in_n < p->body_left ? p->in_n : (size_t)p->body_left;
	consume(p, n);
	p->body_left -= n;
	if (p->body_left > 0)
		return 0;
	p->in_body = false;
	if (p->wants_stream)
		begin_stream(p);
	else
		answer(p);
	return 1;
}

static int
read_some(struct peer *p)
{
	int r;

	for (;;) {
		r = SSL_read(p->ssl, p->in + p->in_n,
		    (int)(IN_MAX - p->in_n));
		if (r <= 0)
			return SSL_get_error(p->ssl, r) ==
			    SSL_ERROR_WANT_READ ? 0 : -1;
		p->in_n += (size_t)r;
		while ((r = step(p)) == 1)
			;
		if (r < 0)
			return -1;
	}
}

static void
on_peer(struct peer *p, uint32_t events)
{
	(void)events;
	if (!p->ready) {
		int r = SSL_do_handshake(p->ssl);

		if (r != 1) {
			r = SSL_get_error(p->ssl, r);
			if (r != SSL_ERROR_WANT_READ &&
			    r != SSL_ERROR_WANT_WRITE)
				drop(p);
			return;
		}
		p->ready = true;
	}
	if (read_some(p) != 0 || (p->out_n > 0 && flush(p) != 0))
		drop(p);
}

static void
on_listener(int l)
{
	int one = 1, fd;

	while ((fd = accept4(l, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		struct peer *p = calloc(1, sizeof(*p));

		if (p == NULL)
			die("memory");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		p->fd = fd;
		p->ssl = SSL_new(ctx);
		SSL_set_fd(p->ssl, fd);
		SSL_set_accept_state(p->ssl);
		watch(p, EPOLLIN);
	}
}

static void
run_slot(struct peer *p)
{
	for (struct peer *next; p != NULL; p = next) {
		next = p->next;
		if (p->out_n > 0)
			continue;
		put_event(p);
		if (flush(p) != 0)
			drop(p);
	}
}

static void
run_streams(void)
{
	uint64_t now_ms = now_ns() / 1000000;

	/* After a pause of more than a period each is due once. */
	if (now_ms - ticked_ms > period_ms)
		ticked_ms = now_ms - period_ms;
	while (ticked_ms < now_ms)
		run_slot(slots[++ticked_ms % period_ms]);
}

static int
listen_somewhere(void)
{
	struct sockaddr_in a;
	socklen_t n = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	parse_address("127.0.0.1:0", &a);
	if (l < 0 || bind(l, (struct sockaddr *)&a, sizeof(a)) != 0 ||
	    listen(l, 4096) != 0 ||
	    getsockname(l, (struct sockaddr *)&a, &n) != 0)
		die("listen");
	printf("%u\n", ntohs(a.sin_port));
	fflush(stdout);
	return l;
}

int
main(int argc, char **argv)
{
	static const char words[] = "the report of the quarter was reviewed "
	    "by the team and its status is open with priority high ";
	struct epoll_event ev[256], e = { .events = EPOLLIN };
	int l;

	if (argc != 4) {
		fprintf(stderr, "usage: origin CERT KEY PERIOD_MS\n");
		return 64;
	}
	signal(SIGPIPE, SIG_IGN);
	period_ms = strtoull(argv[3], NULL, 10);
	if (period_ms < 2 || period_ms > 100000) {
		fprintf(stderr, "origin: PERIOD_MS is 2 to 100000\n");
		return 64;
	}
	slots = calloc(period_ms, sizeof(struct peer *));
	if (slots == NULL)
		die("memory");
	for (size_t i = 0; i < SIZE_MAX_ANSWER; i++)
		text[i] = words[i % (sizeof(words) - 1)];
	ctx = SSL_CTX_new(TLS_server_method());
	if (SSL_CTX_use_certificate_chain_file(ctx, argv[1]) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, argv[2], SSL_FILETYPE_PEM) != 1)
		die("certificate");
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
	    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	ep = epoll_create1(0);
	l = listen_somewhere();
	epoll_ctl(ep, EPOLL_CTL_ADD, l, &e);
	for (;;) {
		int n = epoll_wait(ep, ev, 256, nstreams > 0 ? TICK_MS : -1);

		for (int i = 0; i < n; i++) {
			if (ev[i].data.ptr == NULL)
				on_listener(l);
			else
				on_peer(ev[i].data.ptr, ev[i].events);
		}
		run_streams();
	}
}
