/* The way through another proxy: what is asked, which answers open it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "via.h"

static const struct via_target px = { .host = "px.test", .port = 3128,
	.authorization = { "Basic Z2F0ZTpw", 14 } };

/* The answer comes byte by byte; what was asked is left in asked. */
static enum via_result
run(struct slice answer, char asked[512], char error[512])
{
	struct via *v = via_new(&px, "2001:db8::1", 443);
	enum via_result r;
	int fd[2];
	ssize_t k;

	assert_non_null(v);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
	    fd), 0);
	r = via_step(v, fd[0]);
	assert_int_equal(r, VIA_READ);
	k = read(fd[1], asked, 511);
	assert_true(k > 0);
	asked[k] = '\0';
	for (size_t i = 0; i < answer.n && r == VIA_READ; i++) {
		assert_int_equal(write(fd[1], answer.p + i, 1), 1);
		r = via_step(v, fd[0]);
	}
	close(fd[1]);
	if (r == VIA_READ)
		r = via_step(v, fd[0]);
	snprintf(error, 512, "%s", via_error(v));
	via_free(v);
	close(fd[0]);
	return r;
}

static void
test_opens(void **state)
{
	char asked[512], error[512];

	(void)state;
	assert_int_equal(run(SLICE("HTTP/1.1 200 Fine\r\n\r\n"), asked,
	    error), VIA_DONE);
	assert_string_equal(asked, "CONNECT [2001:db8::1]:443 HTTP/1.1\r\n"
	    "Host: [2001:db8::1]:443\r\nProxy-Authorization: Basic "
	    "Z2F0ZTpw\r\n\r\n");
	assert_int_equal(run(SLICE("HTTP/1.1 100 Continue\r\n\r\n"
	    "HTTP/1.0 204 No Content\r\nX: y\r\n\r\n"), asked, error),
	    VIA_DONE);
}

static void
test_refuses(void **state)
{
	static const struct {
		struct slice answer;
		const char *error;
	} cases[] = {
		{ SLICE("HTTP/1.1 407 No\r\n\r\n"), "the upstream proxy "
		    "px.test:3128 refused: 407 Proxy Authentication Required "
		    "(upstream_proxy.credential)" },
		{ SLICE("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"),
		    "the upstream proxy px.test:3128 refused: 302 Found" },
		{ SLICE("SSH-2.0-x\r\n\r\n"), "the upstream proxy "
		    "px.test:3128 answered what is no HTTP" },
		{ SLICE("HTTP/1.1 200 Fi"), "the upstream proxy px.test:3128 "
		    "closed the connection" },
	};
	char asked[512], error[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(run(cases[i].answer, asked, error),
		    VIA_FAILED);
		assert_string_equal(error, cases[i].error);
	}
}

/* Bytes of the tunnel before anybody was asked would be taken for the
 * upstream's. */
static void
test_early(void **state)
{
	static const char early[] = "HTTP/1.1 200 Fine\r\n\r\nx";
	struct via *v = via_new(&px, "a.test", 443);
	int fd[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
	    fd), 0);
	assert_int_equal(write(fd[1], early, sizeof(early) - 1),
	    sizeof(early) - 1);
	assert_int_equal(via_step(v, fd[0]), VIA_FAILED);
	assert_non_null(strstr(via_error(v), "before anybody was asked"));
	via_free(v);
	close(fd[0]);
	close(fd[1]);
}

/* A head without an end is given up. */
static void
test_endless(void **state)
{
	struct via *v = via_new(&px, "a.test", 443);
	enum via_result r = VIA_READ;
	char line[1000];
	int fd[2];

	(void)state;
	memset(line, 'a', sizeof(line));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
	    fd), 0);
	assert_int_equal(write(fd[1], "HTTP/1.1 200 a\r\nX: ", 19), 19);
	for (int i = 0; i < 100 && r == VIA_READ; i++) {
		assert_int_equal(write(fd[1], line, sizeof(line)),
		    sizeof(line));
		r = via_step(v, fd[0]);
	}
	assert_int_equal(r, VIA_FAILED);
	via_free(v);
	close(fd[0]);
	close(fd[1]);
}

static void
test_injection(void **state)
{
	struct via_target bad = px;

	(void)state;
	bad.authorization = SLICE("Basic x\r\nX: y");
	assert_null(via_new(&bad, "a.test", 443));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_opens),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_early),
		cmocka_unit_test(test_endless),
		cmocka_unit_test(test_injection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
