/* gateway/upstream: the pool, the address guard, failures, cancelling. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "upstream.h"

static struct loop *l;
static struct dns *dns;
static struct upstream_pool *pool;
static struct addr_cidr loopback;
static int server;
static uint16_t port;

struct asker {
	struct upstream *u;
	enum reason reason;
	char detail[256];
	unsigned calls;
	struct upstream_request *cancel;	/* in the callback */
};

static int
listen_at(uint16_t *port_r)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sin, n), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &n), 0);
	*port_r = ntohs(sin.sin_port);
	return fd;
}

static void
make_pool(uint64_t connect_ms, uint64_t idle_ms, size_t idle_max)
{
	struct err err = { 0 };

	l = loop_new();
	dns = dns_new(l, SLICE(""), SLICE("127.0.0.1 up.example two.example\n"
	    "127.0.0.2 two.example\n169.254.169.254 meta.example\n"
	    "10.0.0.7 private.example\n"), &err);
	assert_non_null(dns);
	pool = upstream_pool_new(l, dns, connect_ms, idle_ms, idle_max);
	server = listen_at(&port);
	assert_int_equal(listen(server, 16), 0);
	assert_true(addr_parse_cidr(SLICE("127.0.0.0/8"), &loopback));
}

static void
stop(void *ctx)
{
	(void)ctx;
	loop_stop(l);
}

static void
wait_ms(uint64_t ms)
{
	struct loop_timer *t = loop_timer_new(l, stop, NULL);

	loop_timer_set(t, ms);
	loop_run(l);
	loop_timer_del(t);
}

static void
done(void)
{
	upstream_pool_free(pool);
	dns_free(dns);
	wait_ms(0);
	loop_free(l);
	close(server);
}

static void
on_done(void *ctx, struct upstream *u, enum reason reason, const char *detail)
{
	struct asker *a = ctx;

	a->calls++;
	a->u = u;
	a->reason = reason;
	snprintf(a->detail, sizeof(a->detail), "%s", detail);
	/* The asker has not been told yet that its request is over. */
	if (a->cancel != NULL)
		upstream_cancel(a->cancel);
	loop_stop(l);
}

static struct upstream_request *
ask(struct asker *a, const char *host, const char *key, bool pinned)
{
	struct upstream_target t = { .host = host, .port = port,
		.pins = pinned ? &loopback : NULL, .npins = pinned,
		.key = slice_str(key) };

	*a = (struct asker){ 0 };
	return upstream_get(pool, &t, on_done, a);
}

static struct upstream *
get(const char *key)
{
	struct asker a;
	struct loop_timer *t = loop_timer_new(l, stop, NULL);

	loop_timer_set(t, 5000);
	if (ask(&a, "up.example", key, true) != NULL)
		loop_run(l);
	loop_timer_del(t);
	assert_int_equal(a.calls, 1);
	if (a.u == NULL)
		fail_msg("%s", a.detail);
	return a.u;
}

static void
test_reuse_by_key(void **st)
{
	struct upstream *u, *v;

	(void)st;
	make_pool(2000, 60000, 8);
	u = get("c/alice");
	assert_int_equal(u->uses, 0);
	assert_true(slice_starts(slice_str(u->peer), "127.0.0.1:"));
	v = get("c/alice");
	assert_ptr_not_equal(u, v);	/* one exchange at a time */
	upstream_put(u);
	/* Another principal gets a connection of its own. */
	struct upstream *w = get("c/bob");

	assert_ptr_not_equal(w, u);
	assert_int_equal(w->uses, 0);
	assert_ptr_equal(get("c/alice"), u);
	assert_int_equal(u->uses, 1);
	upstream_put(u);
	upstream_put(v);
	upstream_put(w);
	/* All of one key, whatever the order they came back in. */
	struct upstream *x = get("c/alice"), *y = get("c/alice");

	assert_true((x == u && y == v) || (x == v && y == u));
	assert_ptr_equal(get("c/bob"), w);
	upstream_close(x, false);
	upstream_close(y, true);
	upstream_close(w, false);
	upstream_close(NULL, false);
	u = get("c/alice");
	assert_int_equal(u->uses, 0);
	upstream_close(u, false);
	done();
}

static void
test_idle_end(void **st)
{
	struct upstream *u;
	int peer;

	(void)st;
	make_pool(2000, 60000, 2);
	/* The server closes it. */
	u = get("k");
	peer = accept(server, NULL, NULL);
	upstream_put(u);
	close(peer);
	wait_ms(20);
	u = get("k");
	assert_int_equal(u->uses, 0);
	/* The server says something nobody asked for. */
	peer = accept(server, NULL, NULL);
	upstream_put(u);
	assert_int_equal(write(peer, "HTTP/1.1 200", 12), 12);
	wait_ms(20);
	u = get("k");
	assert_int_equal(u->uses, 0);
	close(peer);
	/* More than the pool holds are closed, not kept. */
	struct upstream *v = get("k"), *w = get("k");

	upstream_put(u);
	upstream_put(v);
	upstream_put(w);
	u = get("k");
	v = get("k");
	w = get("k");
	assert_int_equal(u->uses + v->uses + w->uses, 2);
	upstream_close(u, false);
	upstream_close(v, false);
	upstream_put(w);	/* the pool frees it */
	done();
}

static void
test_idle_sweep(void **st)
{
	struct upstream *u;

	(void)st;
	make_pool(2000, 100, 8);
	u = get("k");
	upstream_put(u);
	wait_ms(1200);		/* the sweep comes once a second */
	u = get("k");
	assert_int_equal(u->uses, 0);
	upstream_close(u, false);
	done();
}

static void
test_guard(void **st)
{
	static const char *const hosts[] = { "up.example", "meta.example",
		"private.example", "127.0.0.1", "::1", "localhost",
		"two.example", "0.0.0.0" };
	struct asker a;

	(void)st;
	make_pool(2000, 60000, 8);
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		if (ask(&a, hosts[i], "k", false) != NULL)
			loop_run(l);
		assert_int_equal(a.calls, 1);
		assert_null(a.u);
		if (a.reason != REASON_ADDRESS)
			fail_msg("%s: %s", hosts[i], a.detail);
		assert_non_null(strstr(a.detail, "must pin it"));
	}
	/* A pin lets through what it names, nothing else. */
	if (ask(&a, "meta.example", "k", true) != NULL)
		loop_run(l);
	assert_int_equal(a.reason, REASON_ADDRESS);
	assert_non_null(strstr(a.detail, "169.254.169.254"));
	done();
}

static void
test_refused(void **st)
{
	struct asker a;
	uint16_t open_port;
	int fd;

	(void)st;
	make_pool(2000, 60000, 8);
	open_port = port;
	fd = listen_at(&port);		/* bound, nobody listens */
	if (ask(&a, "up.example", "k", true) != NULL)
		loop_run(l);
	assert_int_equal(a.calls, 1);
	assert_null(a.u);
	assert_int_equal(a.reason, REASON_UPSTREAM);
	assert_non_null(strstr(a.detail, "up.example"));
	assert_non_null(strstr(a.detail, "refused"));
	/* Every address of a name is tried. */
	if (ask(&a, "two.example", "k", true) != NULL)
		loop_run(l);
	assert_int_equal(a.calls, 1);
	assert_null(a.u);
	close(fd);
	port = open_port;
	upstream_close(get("k"), false);
	done();
}

static void
test_cancel(void **st)
{
	struct upstream_request *r;
	struct asker a;

	(void)st;
	make_pool(2000, 60000, 8);
	r = ask(&a, "up.example", "k", true);
	assert_non_null(r);
	upstream_cancel(r);
	upstream_cancel(NULL);
	wait_ms(30);
	assert_int_equal(a.calls, 0);
	/* Inside of the callback: nothing happens twice. */
	r = ask(&a, "up.example", "k", true);
	assert_non_null(r);
	a.cancel = r;
	loop_run(l);
	assert_int_equal(a.calls, 1);
	assert_non_null(a.u);
	upstream_close(a.u, false);
	done();
}

/* A connection of the other side: found by its key alone, dropped by the
 * beginning of it, gone when its other end is. */
static void
test_adopted(void **st)
{
	struct upstream *u;
	int pair[2];

	(void)st;
	make_pool(2000, 60000, 8);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
		struct stream *s = stream_plain(pair[0], slice_make("", 0));

		upstream_adopt(pool, i == 2 ? SLICE("other") : SLICE("lane|a"), s,
		    loop_fd_add(l, pair[0], LOOP_READ, NULL, NULL));
		if (i == 1)
			close(pair[1]);
	}
	assert_null(upstream_take(pool, SLICE("lane|b")));
	wait_ms(30);			/* the second one has ended */
	u = upstream_take(pool, SLICE("lane|a"));
	assert_non_null(u);
	assert_null(upstream_take(pool, SLICE("lane|a")));
	assert_int_equal(stream_write(u->s, "x", 1), 1);
	upstream_put(u);
	upstream_drop(pool, "lane|");
	assert_null(upstream_take(pool, SLICE("lane|a")));
	u = upstream_take(pool, SLICE("other"));
	assert_non_null(u);
	upstream_close(u, false);
	done();
}

static void
test_timeout(void **st)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fds[32], full;
	struct asker a;

	(void)st;
	make_pool(100, 60000, 8);
	close(server);
	server = listen_at(&port);
	assert_int_equal(listen(server, 0), 0);
	sin.sin_port = htons(port);
	/* A full backlog: the kernel answers nobody. */
	for (full = 0; full < 32; full++) {
		fds[full] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)!connect(fds[full], (struct sockaddr *)&sin,
		    sizeof(sin));
	}
	assert_non_null(ask(&a, "up.example", "k", true));
	loop_run(l);
	assert_int_equal(a.calls, 1);
	assert_null(a.u);
	assert_int_equal(a.reason, REASON_UPSTREAM);
	assert_non_null(strstr(a.detail, "within 100 ms"));
	while (full-- > 0)
		close(fds[full]);
	done();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reuse_by_key),
		cmocka_unit_test(test_idle_end),
		cmocka_unit_test(test_idle_sweep),
		cmocka_unit_test(test_guard),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_adopted),
		cmocka_unit_test(test_timeout),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
