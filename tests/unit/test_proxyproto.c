/* PROXY protocol headers: what is read, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proxyproto.h"

#define V2 "\r\n\r\n\0\r\nQUIT\n"

static enum proxyproto_status
read_all(struct slice s, char out[ADDR_TEXT_MAX], size_t *used)
{
	struct proxyproto p = { .local = false };
	const char *why = NULL;
	enum proxyproto_status st = proxyproto_read(s, &p, used, &why);

	out[0] = '\0';
	if (st == PROXYPROTO_DONE && !p.local)
		addr_format(&p.source, out);
	assert_true((st == PROXYPROTO_ERROR) == (why != NULL));
	return st;
}

static void
test_good(void **state)
{
	static const struct {
		struct slice in;
		const char *source;
		size_t rest;
	} cases[] = {
		{ SLICE("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\nGET"),
		    "192.0.2.1:56324", 3 },
		{ SLICE("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n"),
		    "[2001:db8::1]:1", 0 },
		{ SLICE("PROXY UNKNOWN\r\nx"), "", 1 },
		{ SLICE("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), "", 0 },
		{ SLICE(V2 "\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x02\xdc"
		    "\x04\x01\xbb" "GE"), "192.0.2.1:56324", 2 },
		{ SLICE(V2 "\x21\x11\0\x10\xc0\0\x02\x01\xc6\x33\x64\x02\xdc"
		    "\x04\x01\xbb" "\x04\0\x01z"), "192.0.2.1:56324", 0 },
		{ SLICE(V2 "\x20\0\0\0"), "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char out[ADDR_TEXT_MAX];
		size_t used = 0, cut;

		assert_int_equal(read_all(cases[i].in, out, &used),
		    PROXYPROTO_DONE);
		assert_string_equal(out, cases[i].source);
		assert_int_equal(cases[i].in.n - used, cases[i].rest);
		cut = cases[i].in.n - cases[i].rest;
		while (cut-- > 0)
			assert_int_equal(read_all(slice_sub(cases[i].in, 0,
			    cut), out, &used), PROXYPROTO_MORE);
	}
}

static void
test_bad(void **state)
{
	static const struct slice cases[] = {
		SLICE("PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n"),
		SLICE("PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n"),
		SLICE("PROXY TCP4 192.0.2.01 198.51.100.2 1 2\r\n"),
		SLICE("PROXY TCP4 ::1 ::2 1 2\r\n"),
		SLICE("PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n"),
		SLICE("PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n"),
		SLICE("PROXY TCP4 192.0.2.1 198.51.100.2 1 65536\r\n"),
		SLICE("PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n"),
		SLICE("PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n"),
		SLICE("PROXY TCP4 192.0.2.1 198.51.100.2 1 2 "
		    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		    "xxxxxxxxxxxxxxxxxxxxxxxxx\r\n"),
		SLICE(V2 "\x11\x11\0\0"), SLICE(V2 "\x22\x11\0\0"),
		SLICE(V2 "\x21\x12\0\0"), SLICE(V2 "\x21\x11\0\x03" "abc"),
		SLICE(V2 "\x21\x11\x04\x01"),
		SLICE(V2 "\x21\x11\0\x0f\xc0\0\x02\x01\xc6\x33\x64\x02\xdc"
		    "\x04\x01\xbb" "\x04\0\x01"),
	};
	char out[ADDR_TEXT_MAX];
	size_t used;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(read_all(cases[i], out, &used),
		    PROXYPROTO_ERROR);
	assert_int_equal(read_all(SLICE("GET / HTTP/1.1"), out, &used),
	    PROXYPROTO_NONE);
	assert_int_equal(read_all(SLICE("\x16\x03\x01"), out, &used),
	    PROXYPROTO_NONE);
	assert_int_equal(read_all(SLICE("proxy "), out, &used),
	    PROXYPROTO_NONE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
