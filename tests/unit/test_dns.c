/* dns: against a small server in the same loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns.h"
#include "dns_conf.h"

/* ---- a server that knows three names ---- */

struct server {
	int fd, port;
	struct loop_fd *w;
	unsigned queries;
	uint8_t last;		/* of the IPv4 address it answers with */
	bool mute;
	loop_fn *on_query;
	void *ctx;
};

static struct loop *loop;
static struct server srv;

static size_t
read_name(const uint8_t *p, size_t n, char *out)
{
	size_t at = 12, o = 0;

	while (at < n && p[at] != 0) {
		if (o != 0)
			out[o++] = '.';
		memcpy(out + o, p + at + 1, p[at]);
		o += p[at];
		at += 1u + p[at];
	}
	out[o] = '\0';
	return at + 5;		/* end of the question */
}

static size_t
put_answer(uint8_t *p, size_t at, unsigned type, unsigned ttl,
    const void *data, uint8_t n)
{
	const uint8_t head[12] = { 0xc0, 12, 0, (uint8_t)type, 0, 1,
		(uint8_t)(ttl >> 24), (uint8_t)(ttl >> 16),
		(uint8_t)(ttl >> 8), (uint8_t)ttl, 0, n };

	memcpy(p + at, head, 12);
	memcpy(p + at + 12, data, n);
	p[7]++;
	return at + 12 + n;
}

static void
serve(void *ctx, unsigned events)
{
	struct server *s = ctx;
	struct sockaddr_in from;
	socklen_t fl = sizeof(from);
	uint8_t p[1024];
	char name[256];
	ssize_t n = recvfrom(s->fd, p, sizeof(p) - 64, MSG_DONTWAIT,
	    (struct sockaddr *)&from, &fl);
	size_t end;

	(void)events;
	if (n < 17)
		return;
	s->queries++;
	if (s->on_query != NULL)
		s->on_query(s->ctx);
	if (s->mute)
		return;
	end = read_name(p, (size_t)n, name);
	unsigned type = p[end - 3];

	p[2] = 0x81;
	p[3] = 0x80;
	p[10] = p[11] = 0;
	uint8_t v4[4] = { 192, 0, 2, s->last };
	uint8_t v6[16] = { 0x20, 1, 0xd, 0xb8, [15] = 7 };

	if (strcmp(name, "both.test") == 0 && type == 28)
		end = put_answer(p, end, 28, 60, v6, 16);
	else if ((strcmp(name, "both.test") == 0 ||
	    strcmp(name, "four.test") == 0) && type == 1)
		end = put_answer(p, end, 1, 60, v4, 4);
	else if (strcmp(name, "four.test") != 0)
		p[3] = strcmp(name, "refused.test") == 0 ? 0x85 : 0x83;
	assert_int_equal(sendto(s->fd, p, end, 0, (struct sockaddr *)&from,
	    fl), (ssize_t)end);
}

static void
server_start(struct server *s)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);

	memset(s, 0, sizeof(*s));
	s->last = 1;
	s->fd = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&a, n), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &n), 0);
	s->port = ntohs(a.sin_port);
	s->w = loop_fd_add(loop, s->fd, LOOP_READ, serve, s);
}

static void
server_stop(struct server *s)
{
	loop_fd_del(s->w);
	close(s->fd);
}

static struct dns *
dns_for(const struct server *s, const char *hosts, const char *options)
{
	struct err err = { 0 };
	char resolv[128];
	struct dns *d;

	snprintf(resolv, sizeof(resolv), "nameserver [127.0.0.1]:%d\n%s",
	    s->port, options);
	d = dns_new(loop, slice_str(resolv), slice_str(hosts), &err);
	assert_non_null(d);
	return d;
}

static int
setup(void **st)
{
	(void)st;
	loop = loop_new();
	server_start(&srv);
	return 0;
}

static int
teardown(void **st)
{
	(void)st;
	server_stop(&srv);
	loop_free(loop);
	return 0;
}

struct got {
	int calls;
	enum dns_status status;
	size_t n;
	char text[3][ADDR_TEXT_MAX];
	int *left;		/* the loop stops when it is 0 */
};

static void
on_answer(void *ctx, const struct dns_answer *a)
{
	struct got *g = ctx;

	g->calls++;
	g->status = a->status;
	g->n = a->n;
	for (size_t i = 0; i < a->n && i < 3; i++)
		addr_format_ip(&a->addrs[i], g->text[i]);
	if (g->left != NULL && --*g->left == 0)
		loop_stop(loop);
}

static struct got
ask(struct dns *d, const char *host)
{
	int left = 1;
	struct got g = { .left = &left };

	if (dns_resolve(d, host, on_answer, &g) != NULL)
		loop_run(loop);
	assert_int_equal(g.calls, 1);
	return g;
}

/* ---- the cases ---- */

static void
test_conf(void **st)
{
	static const char hosts[] = "# c\n127.0.0.1 localhost\n"
	    "10.0.0.1\tdb.corp DB2.corp. # old\n::5 db.corp\n10.0.0.1 db.corp\n"
	    "nonsense x\n10.0.0.2 bad_..name 1.2.3.4 ok.corp\r\n";
	struct dns_conf c;
	struct dns_host *h;

	(void)st;
	dns_conf_read(&c, SLICE("; x\nnameserver 10.9.8.7 # a\n"
	    "search a.b\nnameserver junk\n nameserver ::1\n"
	    "nameserver [::1]:5353\nnameserver [1.2.3.4]:99999\n"
	    "nameserver fe80::1%eth0\noptions timeout:1 rotate attempts:99\n"
	    "nameserver 1.1.1.1"), slice_str(hosts));
	assert_int_equal(c.nservers, 4);
	assert_int_equal(c.servers[2].port, 5353);
	assert_int_equal(c.timeout_ms, 1000);
	assert_int_equal(c.attempts, 5);
	h = map_get(&c.hosts, SLICE("db.corp"));
	assert_int_equal(h->n, 2);
	assert_non_null(map_get(&c.hosts, SLICE("db2.corp")));
	assert_non_null(map_get(&c.hosts, SLICE("ok.corp")));
	assert_null(map_get(&c.hosts, SLICE("x")));
	assert_null(map_get(&c.hosts, SLICE("old")));
	h = map_get(&c.hosts, SLICE("localhost"));
	assert_int_equal(h->n, 1);
	dns_conf_free(&c);
	dns_conf_read(&c, SLICE(""), SLICE(""));
	assert_int_equal(c.nservers, 2);
	h = map_get(&c.hosts, SLICE("localhost"));
	assert_int_equal(h->n, 2);
	dns_conf_free(&c);
}

static void
test_at_once(void **st)
{
	struct dns *d = dns_for(&srv, "10.1.1.1 me.test\n", "");
	struct got g;

	(void)st;
	g = ask(d, "192.0.2.9");
	assert_string_equal(g.text[0], "192.0.2.9");
	g = ask(d, "2001:db8::9");
	assert_string_equal(g.text[0], "2001:db8::9");
	g = ask(d, "localhost");
	assert_string_equal(g.text[0], "127.0.0.1");
	assert_int_equal(g.n, 2);
	g = ask(d, "any.name.localhost");
	assert_string_equal(g.text[0], "127.0.0.1");
	g = ask(d, "me.test");
	assert_string_equal(g.text[0], "10.1.1.1");
	assert_int_equal(srv.queries, 0);
	dns_free(d);
}

static void
test_lookup(void **st)
{
	struct dns *d = dns_for(&srv, "", "");
	struct got g;

	(void)st;
	g = ask(d, "both.test");
	assert_int_equal(g.status, DNS_OK);
	assert_int_equal(g.n, 2);
	assert_true(strcmp(g.text[0], "192.0.2.1") == 0 ||
	    strcmp(g.text[1], "192.0.2.1") == 0);
	assert_true(strcmp(g.text[0], "2001:db8::7") == 0 ||
	    strcmp(g.text[1], "2001:db8::7") == 0);
	assert_int_equal(srv.queries, 2);
	g = ask(d, "both.test");	/* cached */
	assert_int_equal(g.n, 2);
	assert_int_equal(srv.queries, 2);
	g = ask(d, "four.test");
	assert_int_equal(g.status, DNS_OK);
	assert_int_equal(g.n, 1);
	g = ask(d, "nx.test");
	assert_int_equal(g.status, DNS_NO_NAME);
	assert_int_equal(g.n, 0);
	unsigned q = srv.queries;

	g = ask(d, "nx.test");		/* that too */
	assert_int_equal(g.status, DNS_NO_NAME);
	assert_int_equal(srv.queries, q);
	g = ask(d, "refused.test");
	assert_true(g.status == DNS_FAILED);
	q = srv.queries;
	g = ask(d, "refused.test");	/* not that */
	assert_true(srv.queries > q);
	dns_free(d);
}

static void
test_share_cancel(void **st)
{
	struct dns *d = dns_for(&srv, "", "");
	unsigned before = srv.queries;
	int left = 2;
	struct got a = { .left = &left }, b = { .left = &left },
	    c = { .left = &left };

	(void)st;
	assert_non_null(dns_resolve(d, "four.test", on_answer, &a));
	struct dns_query *q = dns_resolve(d, "four.test", on_answer, &b);

	assert_non_null(q);
	assert_non_null(dns_resolve(d, "four.test", on_answer, &c));
	dns_cancel(q);
	loop_run(loop);
	assert_int_equal(a.calls, 1);
	assert_int_equal(b.calls, 0);
	assert_int_equal(c.calls, 1);
	assert_string_equal(c.text[0], "192.0.2.1");
	assert_int_equal(srv.queries - before, 2);
	dns_cancel(NULL);
	/* Freed with a question under way: nobody is called. */
	assert_non_null(dns_resolve(d, "both.test", on_answer, &b));
	dns_free(d);
	assert_int_equal(b.calls, 0);
}

/* A second question, asked from inside of an answer. */
struct chain {
	struct dns *d;
	struct got g;
	int left;
};

static void
on_first(void *ctx, const struct dns_answer *a)
{
	struct chain *c = ctx;

	assert_int_equal(a->status, DNS_OK);
	assert_null(dns_resolve(c->d, "four.test", on_answer, &c->g));
	assert_int_equal(c->g.calls, 1);
	c->g.left = &c->left;
	assert_non_null(dns_resolve(c->d, "both.test", on_answer, &c->g));
}

static void
test_nested(void **st)
{
	struct chain c = { .d = dns_for(&srv, "", ""), .left = 1 };

	(void)st;
	assert_non_null(dns_resolve(c.d, "four.test", on_first, &c));
	loop_run(loop);
	assert_int_equal(c.g.calls, 2);
	assert_int_equal(c.g.n, 2);
	dns_free(c.d);
}

struct reloading {
	struct dns *d;
	struct server *to;
	bool done;
};

static void
do_reload(void *ctx)
{
	struct reloading *r = ctx;
	struct err err = { 0 };
	char resolv[64];

	if (r->done)
		return;
	r->done = true;
	snprintf(resolv, sizeof(resolv), "nameserver [127.0.0.1]:%d",
	    r->to->port);
	assert_int_equal(dns_reload(r->d, slice_str(resolv), SLICE(""), &err),
	    0);
}

/* The old server is mute; the answer comes from the new one. */
static void
test_reload(void **st)
{
	struct server second;
	struct dns *d = dns_for(&srv, "10.1.1.1 me.test\n", "");
	struct reloading r = { d, &second, false };
	int left = 1;
	struct got g = { .left = &left };

	(void)st;
	server_start(&second);
	second.last = 2;
	srv.mute = true;
	srv.on_query = do_reload;
	srv.ctx = &r;
	assert_non_null(dns_resolve(d, "four.test", on_answer, &g));
	loop_run(loop);
	srv.mute = false;
	srv.on_query = NULL;
	assert_int_equal(g.status, DNS_OK);
	assert_string_equal(g.text[0], "192.0.2.2");
	g = ask(d, "me.test");		/* gone from hosts */
	assert_int_equal(g.status, DNS_NO_NAME);
	dns_free(d);
	server_stop(&second);
}

/* Nobody listens at the server's port any more. */
static void
test_unreachable(void **st)
{
	struct server gone;
	struct dns *d;
	struct got g;

	(void)st;
	server_start(&gone);
	d = dns_for(&gone, "", "options timeout:1 attempts:1\n");
	server_stop(&gone);
	g = ask(d, "four.test");
	assert_true(g.status == DNS_FAILED || g.status == DNS_TIMEOUT);
	dns_free(d);
}

static void
test_no_servers(void **st)
{
	struct err err = { 0 };
	struct dns *d = dns_new(loop, SLICE("search x\n"), SLICE(""), &err);

	(void)st;
	assert_non_null(d);
	dns_free(d);
	dns_free(NULL);
	for (int i = 0; i <= DNS_FAILED; i++)
		assert_true(dns_status_text((enum dns_status)i)[0] != '\0');
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conf),
		cmocka_unit_test_setup_teardown(test_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lookup, setup, teardown),
		cmocka_unit_test_setup_teardown(test_share_cancel, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_nested, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reload, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unreachable, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_no_servers, setup,
		    teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
