/*
 * load - the load generator of the bench: a closed loop of HTTPS requests or
 * event streams, directly or through a forward proxy, on the loopback only.
 *
 *   load -C CA -T 127.0.0.1:PORT [-x PROXY] [-a PROXY_AUTHORIZATION]
 *	[-s NAME] [-p PATH] [-b BODY_FILE] [-c CONNS] [-w WARM] [-d SECONDS]
 *	[-n]		a new connection for each request
 *	[-u COUNT]	each connection another name, h0.NAME .. ; ends when each
 *			was used once (without -r), or goes round (-r)
 *	[-S]		event streams; [-k] until all of them were closed: tells
 *			when each got its last byte, Portreeve's refusal, its end
 *	[-g COUNT]	at most so many streams are on their way at a time; what
 *			is measured begins when all are open, or after WARM
 *	[-t]		tells when each request began and what it took
 *
 * Certificates are verified. Prints "begin" and "end" around what is measured,
 * so that others can measure the same time; when its input has ended, one line
 * of JSON.
 */
#include "common.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_MAX 16384
#define NAME_MAX_LEN 200
#define READ_MAX 65536
#define MARK "\"at "		/* before the stamp of an event */
#define MARK_N 4
#define TAIL_MAX (MARK_N + STAMP_LETTERS)

enum state { IDLE, TCP, ASK_PROXY, PROXY_ANSWER, HANDSHAKE, SEND, RECEIVE,
	GONE, DONE };

struct client {
	enum state state;
	int fd;
	SSL *ssl;
	uint32_t events;
	char name[NAME_MAX_LEN];
	char *req;
	size_t req_n, req_at;
	char head[HEAD_MAX];
	size_t head_n;
	bool have_head, told_open;
	uint64_t left;			/* of the answer's body */
	uint64_t begun_ns, last_ns, own_ns, closed_ns;
	char tail[TAIL_MAX];		/* of a stream, to find stamps in */
	size_t tail_n;
};

struct samples {
	uint64_t *v;
	size_t n, cap;
};

static struct options {
	const char *ca, *target, *proxy, *auth, *name, *path, *body_file;
	int conns, count, ramp;
	double warm, seconds;
	bool new_each, repeat, streams, kill, trace;
} opt = { .name = "bench.localhost", .path = "/rpc", .conns = 1, .warm = 1,
	.seconds = 4 };

static struct sockaddr_in to;
static SSL_CTX *ctx;
static int ep;
static char *body;
static size_t body_n;
static struct samples latency, delay, trace;	/* trace: begun, took */
static bool recording, stopping;
static uint64_t done_n, failed, refused, bytes, opened, closed_n;
static int next_name, next_client;
static char last_error[300];

static void
sample(struct samples *s, uint64_t v)
{
	if (s->n == s->cap) {
		s->cap = s->cap == 0 ? 65536 : s->cap * 2;
		s->v = realloc(s->v, s->cap * sizeof(*s->v));
		if (s->v == NULL)
			die("memory");
	}
	s->v[s->n++] = v;
}

static int
compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static double
quantile_us(struct samples *s, double q)
{
	if (s->n == 0)
		return 0;
	size_t i = (size_t)(q * (double)s->n);

	return (double)s->v[i < s->n ? i : s->n - 1] / 1000;
}

static void
watch(struct client *c, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = c };

	if (c->events == events)
		return;
	epoll_ctl(ep, c->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, c->fd,
	    &e);
	c->events = events;
}

static void
hang_up(struct client *c)
{
	if (c->ssl != NULL && c->state > HANDSHAKE)
		SSL_shutdown(c->ssl);
	SSL_free(c->ssl);
	ERR_clear_error();
	c->ssl = NULL;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->events = 0;
}

static void
fail(struct client *c, const char *what)
{
	if (opt.kill && c->told_open) {
		c->closed_ns = now_ns();
		closed_n++;
	} else if (!stopping) {
		unsigned long e = ERR_peek_last_error();

		failed++;
		snprintf(last_error, sizeof(last_error), "%s: %s", what,
		    e != 0 ? ERR_reason_error_string(e) : strerror(errno));
	}
	hang_up(c);
	c->state = GONE;
}

static bool
choose_name(struct client *c)
{
	if (opt.count == 0) {
		snprintf(c->name, sizeof(c->name), "%s", opt.name);
		return true;
	}
	if (next_name == opt.count) {
		if (!opt.repeat)
			return false;
		next_name = 0;
	}
	snprintf(c->name, sizeof(c->name), "h%d.%s", next_name++, opt.name);
	return true;
}

static void
make_request(struct client *c)
{
	char head[1024];
	const char *port = strrchr(opt.target, ':');
	int n = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: %s%s\r\n"
	    "Accept: %s\r\n", body_n > 0 ? "POST" : "GET", opt.path, c->name,
	    port, opt.streams ? "text/event-stream" :
	    "application/json, text/event-stream");

	if (body_n > 0)
		n += snprintf(head + n, sizeof(head) - (size_t)n,
		    "Content-Type: application/json\r\nContent-Length: %zu\r\n",
		    body_n);
	n += snprintf(head + n, sizeof(head) - (size_t)n, "\r\n");
	free(c->req);
	c->req_n = (size_t)n + body_n;
	c->req = malloc(c->req_n);
	if (c->req == NULL)
		die("memory");
	memcpy(c->req, head, (size_t)n);
	if (body_n > 0)
		memcpy(c->req + n, body, body_n);
}

static void
begin(struct client *c)
{
	int one = 1;

	c->state = IDLE;
	if (stopping || !choose_name(c)) {
		c->state = DONE;
		closed_n++;
		return;
	}
	make_request(c);
	c->begun_ns = now_ns();
	c->head_n = c->req_at = c->tail_n = 0;
	c->have_head = c->told_open = false;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (c->fd < 0)
		die("socket");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->ssl = SSL_new(ctx);
	SSL_set_fd(c->ssl, c->fd);
	SSL_set_tlsext_host_name(c->ssl, c->name);
	SSL_set1_host(c->ssl, c->name);
	SSL_set_connect_state(c->ssl);
	c->state = TCP;
	if (connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0 &&
	    errno != EINPROGRESS)
		fail(c, "connect");
	else
		watch(c, EPOLLOUT);
}

static void
next_request(struct client *c)
{
	c->head_n = c->req_at = 0;
	c->have_head = false;
	c->begun_ns = now_ns();
	c->state = SEND;
}

static void
finished(struct client *c)
{
	if (recording) {
		sample(&latency, now_ns() - c->begun_ns);
		done_n++;
	}
	if (recording && opt.trace) {
		sample(&trace, c->begun_ns);
		sample(&trace, now_ns() - c->begun_ns);
	}
	if (!opt.new_each) {
		next_request(c);
		return;
	}
	hang_up(c);
	begin(c);
}

/* A stamp may lie across two reads: what could be the first part of one is
 * kept. */
static void
find_stamps(struct client *c, const char *p, size_t n)
{
	static char text[TAIL_MAX + READ_MAX];
	const char *at = text, *mark, *end;

	memcpy(text, c->tail, c->tail_n);
	memcpy(text + c->tail_n, p, n);
	end = text + c->tail_n + n;
	while ((mark = memmem(at, (size_t)(end - at), MARK, MARK_N)) != NULL &&
	    (size_t)(end - mark) >= TAIL_MAX) {
		if (recording) {
			sample(&delay, now_ns() - stamp_read(mark + MARK_N));
			done_n++;
		}
		at = mark + TAIL_MAX;
	}
	if (mark != NULL)
		at = mark;
	else if ((size_t)(end - at) >= MARK_N)
		at = end - (MARK_N - 1);
	c->tail_n = (size_t)(end - at);
	memcpy(c->tail, at, c->tail_n);
}

static void
make_plain(char *s)
{
	for (; *s != '\0'; s++)
		if (*s < ' ' || *s == '"' || *s == '\\')
			*s = ' ';
}

static int
read_head(struct client *c, const char *p, size_t n, size_t *used_r)
{
	size_t before = c->head_n;
	char *end, *field;

	if (n > HEAD_MAX - 1 - c->head_n)
		n = HEAD_MAX - 1 - c->head_n;
	memcpy(c->head + c->head_n, p, n);
	c->head_n += n;
	c->head[c->head_n] = '\0';
	end = strstr(c->head, "\r\n\r\n");
	if (end == NULL) {
		*used_r = n;
		return n == 0 ? -1 : 0;
	}
	*used_r = (size_t)(end + 4 - c->head) - before;
	*end = '\0';
	c->have_head = true;
	if (strncmp(c->head + 9, "200", 3) != 0) {
		refused++;
		snprintf(last_error, sizeof(last_error), "%.100s", c->head);
		make_plain(last_error);
	}
	field = strcasestr(c->head, "\r\nContent-Length:");
	if (field == NULL && !opt.streams)
		return -1;
	c->left = field == NULL ? UINT64_MAX : strtoull(field + 17, NULL, 10);
	if (opt.streams && !c->told_open) {
		c->told_open = true;
		opened++;
	}
	return 0;
}

/* A denial comes as an ordinary answer: only the origin's own counts. */
static void
check_end(const char *p, size_t n)
{
	static const char end[] = "\"isError\":false}}";
	size_t k = sizeof(end) - 1;

	if (n >= k && memcmp(p + n - k, end, k) == 0)
		return;
	refused++;
	snprintf(last_error, sizeof(last_error), "answer: %.*s",
	    n > 140 ? 140 : (int)n, p);
	make_plain(last_error);
}

/* 1: the answer is complete. */
static int
take(struct client *c, const char *p, size_t n)
{
	static const char own[] = "Portreeve: ";
	size_t used;

	/* A refusal comes in a TLS record of its own. */
	if (memmem(p, n, own, sizeof(own) - 1) != NULL)
		c->own_ns = now_ns();
	else
		c->last_ns = now_ns();
	if (!c->have_head) {
		if (read_head(c, p, n, &used) != 0)
			return -1;
		if (!c->have_head)
			return 0;
		p += used;
		n -= used;
	}
	if (recording)
		bytes += n;
	if (opt.streams) {
		find_stamps(c, p, n);
		return 0;
	}
	if (n > c->left)
		return -1;
	c->left -= n;
	if (c->left == 0)
		check_end(p, n);
	return c->left == 0;
}

static int
ask_proxy(struct client *c)
{
	char text[1024];
	const char *port = strrchr(opt.target, ':');
	int n = snprintf(text, sizeof(text), "CONNECT %s%s HTTP/1.1\r\n"
	    "Host: %s%s\r\n%s%s%s\r\n", c->name, port, c->name, port,
	    opt.auth != NULL ? "Proxy-Authorization: " : "",
	    opt.auth != NULL ? opt.auth : "", opt.auth != NULL ? "\r\n" : "");

	return send(c->fd, text, (size_t)n, MSG_NOSIGNAL) == n ? 0 : -1;
}

static int
proxy_answer(struct client *c)
{
	ssize_t k = recv(c->fd, c->head + c->head_n, HEAD_MAX - 1 - c->head_n,
	    0);

	if (k <= 0)
		return k < 0 && errno == EAGAIN ? 0 : -1;
	c->head_n += (size_t)k;
	c->head[c->head_n] = '\0';
	if (strstr(c->head, "\r\n\r\n") == NULL)
		return 0;
	if (strncmp(c->head + 9, "200", 3) != 0) {
		errno = EACCES;
		return -1;
	}
	c->head_n = 0;
	return 1;
}

/* 0: waits; 1: go on. Sets what is waited for. */
static int
wants(struct client *c, int r, const char *doing)
{
	switch (SSL_get_error(c->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		watch(c, EPOLLIN);
		return 0;
	case SSL_ERROR_WANT_WRITE:
		watch(c, EPOLLOUT);
		return 0;
	default:
		fail(c, doing);
		return 0;
	}
}

static int
connected(struct client *c)
{
	int e = 0;
	socklen_t n = sizeof(e);

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &n);
	if (e != 0) {
		errno = e;
		fail(c, "connect");
		return 0;
	}
	c->state = opt.proxy != NULL ? ASK_PROXY : HANDSHAKE;
	return 1;
}

static int
send_request(struct client *c)
{
	while (c->req_at < c->req_n) {
		int r = SSL_write(c->ssl, c->req + c->req_at,
		    (int)(c->req_n - c->req_at));

		if (r <= 0)
			return wants(c, r, "send");
		c->req_at += (size_t)r;
	}
	c->state = RECEIVE;
	return 1;
}

static int
receive(struct client *c)
{
	static char buf[READ_MAX];
	int r = SSL_read(c->ssl, buf, sizeof(buf));

	if (r <= 0) {
		errno = EPIPE;
		return wants(c, r, "receive");
	}
	switch (take(c, buf, (size_t)r)) {
	case 0:
		return 1;
	case 1:
		finished(c);
		return c->state == SEND;
	default:
		errno = EPROTO;
		fail(c, "answer");
		return 0;
	}
}

static void
drive(struct client *c)
{
	int r = 1;

	while (r == 1) {
		switch (c->state) {
		case TCP:
			r = connected(c);
			break;
		case ASK_PROXY:
			if (ask_proxy(c) != 0) {
				fail(c, "CONNECT");
				return;
			}
			c->state = PROXY_ANSWER;
			watch(c, EPOLLIN);
			return;
		case PROXY_ANSWER:
			r = proxy_answer(c);
			if (r < 0) {
				fail(c, "CONNECT");
				return;
			}
			if (r == 1)
				c->state = HANDSHAKE;
			break;
		case HANDSHAKE:
			r = SSL_do_handshake(c->ssl);
			if (r != 1)
				r = wants(c, r, "TLS");
			else
				c->state = SEND;
			break;
		case SEND:
			r = send_request(c);
			break;
		case RECEIVE:
			r = receive(c);
			break;
		default:
			return;
		}
	}
}

/* Streams that are open, or will not be. */
static int
settled(void)
{
	return (int)(opened + failed);
}

static void
rounds(struct client *clients, uint64_t until_ns, bool opening)
{
	struct epoll_event ev[256];

	while (now_ns() < until_ns) {
		while (next_client < opt.conns && (opt.ramp == 0 ||
		    next_client - settled() < opt.ramp))
			begin(&clients[next_client++]);
		if (opening && opt.ramp > 0 && settled() >= opt.conns)
			return;
		uint64_t left = (until_ns - now_ns()) / 1000000;
		int n = epoll_wait(ep, ev, 256, left > 20 ? 20 : (int)left + 1);

		for (int i = 0; i < n; i++)
			drive(ev[i].data.ptr);
		if (closed_n == (uint64_t)opt.conns)
			return;
		for (int i = 0; i < next_client && !opt.streams; i++)
			if (clients[i].state == GONE)
				begin(&clients[i]);
	}
}

static void
say(const char *what)
{
	printf("%s\n", what);
	fflush(stdout);
}

static uint64_t
seconds_from_now(double s)
{
	return now_ns() + (uint64_t)(s * 1e9);
}

static void
print_times(const char *key, const uint64_t *first, size_t step, size_t n)
{
	printf(",\"%s\":[", key);
	for (size_t i = 0; i < n; i++)
		printf("%s%llu", i > 0 ? "," : "", (unsigned long long)
		    *(const uint64_t *)((const char *)first + i * step));
	printf("]");
}

static void
report(const struct client *clients, double seconds)
{
	qsort(latency.v, latency.n, sizeof(uint64_t), compare);
	qsort(delay.v, delay.n, sizeof(uint64_t), compare);
	printf("{\"seconds\":%.4f,\"done\":%llu,\"rate\":%.2f,\"bytes\":%llu,"
	    "\"failed\":%llu,\"refused\":%llu,\"opened\":%llu,\"p50_us\":%.1f,"
	    "\"p99_us\":%.1f,\"delay_n\":%zu,\"delay_p50_us\":%.1f,"
	    "\"delay_p99_us\":%.1f,\"error\":\"%s\"", seconds,
	    (unsigned long long)done_n, (double)done_n / seconds,
	    (unsigned long long)bytes, (unsigned long long)failed,
	    (unsigned long long)refused, (unsigned long long)opened,
	    quantile_us(&latency, 0.5), quantile_us(&latency, 0.99), delay.n,
	    quantile_us(&delay, 0.5), quantile_us(&delay, 0.99), last_error);
	if (opt.kill) {
		size_t n = (size_t)opt.conns, step = sizeof(*clients);

		print_times("last_ns", &clients->last_ns, step, n);
		print_times("own_ns", &clients->own_ns, step, n);
		print_times("closed_ns", &clients->closed_ns, step, n);
	}
	if (opt.trace)
		print_times("trace_ns", trace.v, sizeof(*trace.v), trace.n);
	printf("}\n");
}

static void
read_body(void)
{
	FILE *f = fopen(opt.body_file, "rb");

	body = malloc(1u << 22);
	if (f == NULL || body == NULL)
		die(opt.body_file);
	body_n = fread(body, 1, 1u << 22, f);
	fclose(f);
}

static void
make_ctx(void)
{
	static const unsigned char alpn[] = "\x08http/1.1";

	ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
	    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_alpn_protos(ctx, alpn, 9);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	if (SSL_CTX_load_verify_locations(ctx, opt.ca, NULL) != 1) {
		fprintf(stderr, "%s: no certificates\n", opt.ca);
		exit(64);
	}
}

static void
read_options(int argc, char **argv)
{
	int o;

	while ((o = getopt(argc, argv, "C:T:x:a:s:p:b:c:w:d:nu:rSktg:")) != -1) {
		switch (o) {
		case 'C': opt.ca = optarg; break;
		case 'T': opt.target = optarg; break;
		case 'x': opt.proxy = optarg; break;
		case 'a': opt.auth = optarg; break;
		case 's': opt.name = optarg; break;
		case 'p': opt.path = optarg; break;
		case 'b': opt.body_file = optarg; break;
		case 'c': opt.conns = (int)strtol(optarg, NULL, 10); break;
		case 'w': opt.warm = strtod(optarg, NULL); break;
		case 'd': opt.seconds = strtod(optarg, NULL); break;
		case 'n': opt.new_each = true; break;
		case 'u': opt.count = (int)strtol(optarg, NULL, 10); break;
		case 'r': opt.repeat = true; break;
		case 'S': opt.streams = true; break;
		case 'k': opt.kill = true; break;
		case 'g': opt.ramp = (int)strtol(optarg, NULL, 10); break;
		case 't': opt.trace = true; break;
		default: exit(64);
		}
	}
	if (opt.ca == NULL || opt.target == NULL || opt.conns <= 0) {
		fprintf(stderr, "load: -C and -T are wanted\n");
		exit(64);
	}
	parse_address(opt.proxy != NULL ? opt.proxy : opt.target, &to);
}

int
main(int argc, char **argv)
{
	struct client *clients;
	uint64_t start;
	double seconds;

	signal(SIGPIPE, SIG_IGN);
	read_options(argc, argv);
	if (opt.body_file != NULL)
		read_body();
	make_ctx();
	ep = epoll_create1(0);
	clients = calloc((size_t)opt.conns, sizeof(*clients));
	if (clients == NULL)
		die("memory");
	/* Each name once: all of it counts. */
	bool once = opt.count > 0 && !opt.repeat;

	recording = once;
	if (once)
		say("begin");
	start = now_ns();
	for (int i = 0; i < opt.conns; i++)
		clients[i].fd = -1;
	if (!once) {
		rounds(clients, seconds_from_now(opt.warm), true);
		recording = true;
		say("begin");
		start = now_ns();
	}
	rounds(clients, seconds_from_now(opt.seconds), false);
	recording = false;
	seconds = (double)(now_ns() - start) / 1e9;
	say("end");
	/* What is open stays open until it was looked at. */
	while (getchar() != EOF)
		;
	stopping = true;
	report(clients, seconds);
	for (int i = 0; i < opt.conns; i++)
		hang_up(&clients[i]);
	return 0;
}
