/* addr: text forms, classes, the guard. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "addr.h"
#include "secret.h"

static struct addr
ip(const char *s)
{
	struct addr a = { 0 };

	assert_true(addr_parse_ip(slice_str(s), &a));
	return a;
}

static void
test_parse(void **st)
{
	static const char *const bad[] = { "", "1.2.3", "1.2.3.4.5",
		"01.2.3.4", "0x7f.0.0.1", "256.1.1.1", "1.2.3.4 ", " 1.2.3.4",
		":::", "1::2::3", "fe80::1%eth0", "[::1]", "::ffff:1.2.3",
		"12345::", "127.1", "2130706433",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999" };
	char text[ADDR_TEXT_MAX];
	struct addr a;

	(void)st;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(addr_parse_ip(slice_str(bad[i]), &a));
	assert_false(addr_parse_ip(slice_make("1.2.3.4\0x", 9), &a));
	a = ip("::ffff:10.1.2.3");
	assert_int_equal(a.family, 4);
	a.port = 443;
	addr_format(&a, text);
	assert_string_equal(text, "10.1.2.3:443");
	a = ip("2001:4860:0:0::8888");
	a.port = 80;
	addr_format(&a, text);
	assert_string_equal(text, "[2001:4860::8888]:80");
}

static void
test_hostport(void **st)
{
	static const struct {
		const char *in;
		uint16_t def;
		const char *host;	/* NULL: refused */
		uint16_t port;
	} t[] = {
		{ "a.example:8443", 0, "a.example", 8443 },
		{ "a.example", 443, "a.example", 443 },
		{ "a.example", 0, NULL, 0 },
		{ "a.example:", 443, NULL, 0 },
		{ "a.example:0", 443, NULL, 0 },
		{ "a.example:65536", 443, NULL, 0 },
		{ "a.example:+80", 443, NULL, 0 },
		{ "a.example:000080", 443, NULL, 0 },
		{ ":443", 443, NULL, 0 },
		{ "[::1]:443", 0, "::1", 443 },
		{ "[::1]", 443, "::1", 443 },
		{ "::1", 443, "::1", 443 },
		{ "[::1]443", 0, NULL, 0 },
		{ "[::1", 443, NULL, 0 },
		{ "[a.example]:443", 0, NULL, 0 },
		{ "a:b:c", 443, NULL, 0 },
		{ "1.2.3.4:5", 0, "1.2.3.4", 5 },
	};
	struct slice host;
	uint16_t port;

	(void)st;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		bool ok = addr_split_hostport(slice_str(t[i].in), t[i].def,
		    &host, &port);

		assert_int_equal(ok, t[i].host != NULL);
		if (!ok)
			continue;
		assert_true(slice_is(host, t[i].host));
		assert_int_equal(port, t[i].port);
	}
}

static void
test_host(void **st)
{
	static const struct {
		const char *in, *out;
	} t[] = {
		{ "API.Example.COM.", "api.example.com" },
		{ "localhost", "localhost" },
		{ "a_b.example", "a_b.example" },
		{ "xn--bcher-kva.example", "xn--bcher-kva.example" },
		{ "1.example", "1.example" },
		{ "::FFFF:1.2.3.4", "1.2.3.4" },
		{ "2001:DB8::0", "2001:db8::" },
		{ "", NULL }, { ".", NULL }, { "a..b", NULL }, { ".a", NULL },
		{ "a.example..", NULL }, { "-a.example", NULL },
		{ "a-.example", NULL }, { "a b.example", NULL },
		{ "a.example\n", NULL }, { "b\xc3\xbc" "cher.example", NULL },
		{ "127.1", NULL }, { "2130706433", NULL },
		{ "0x7f000001", NULL }, { "0x7f.1", NULL }, { "a.0x1", NULL },
		{ "1.2.3.4.", NULL }, { "*.example", NULL },
		{ "fe80::1%lo", NULL },
	};
	char out[ADDR_HOST_MAX], big[300];

	(void)st;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		bool ok = addr_host_normalise(slice_str(t[i].in), out);

		assert_int_equal(ok, t[i].out != NULL);
		if (ok)
			assert_string_equal(out, t[i].out);
	}
	memset(big, 'a', sizeof(big));
	assert_false(addr_host_normalise(slice_make(big, 64), out));
	for (size_t i = 50; i < sizeof(big); i += 50)
		big[i] = '.';
	assert_true(addr_host_normalise(slice_make(big, 253), out));
	assert_false(addr_host_normalise(slice_make(big, 255), out));
}

static const struct {
	const char *text;
	enum addr_class class;
} classes[] = {
	{ "0.0.0.0", ADDR_UNSPECIFIED }, { "0.1.2.3", ADDR_UNSPECIFIED },
	{ "::", ADDR_UNSPECIFIED },
	{ "127.0.0.1", ADDR_LOOPBACK }, { "127.255.0.9", ADDR_LOOPBACK },
	{ "::1", ADDR_LOOPBACK },
	{ "::ffff:127.0.0.1", ADDR_LOOPBACK },
	{ "64:ff9b::7f00:1", ADDR_LOOPBACK },
	{ "2002:7f00:1::", ADDR_LOOPBACK },
	{ "2a00:1450::5efe:127.0.0.1", ADDR_LOOPBACK },
	{ "169.254.169.254", ADDR_LINK_LOCAL },
	{ "64:ff9b::169.254.169.254", ADDR_LINK_LOCAL },
	{ "2002:a9fe:a9fe::1", ADDR_LINK_LOCAL },
	{ "fe80::1", ADDR_LINK_LOCAL }, { "febf::1", ADDR_LINK_LOCAL },
	{ "10.0.0.1", ADDR_PRIVATE }, { "172.16.0.1", ADDR_PRIVATE },
	{ "172.31.255.255", ADDR_PRIVATE }, { "192.168.1.1", ADDR_PRIVATE },
	{ "fd00:ec2::254", ADDR_PRIVATE }, { "fec0::1", ADDR_PRIVATE },
	{ "100.64.0.1", ADDR_CGNAT }, { "100.127.255.255", ADDR_CGNAT },
	{ "224.0.0.1", ADDR_MULTICAST }, { "239.1.1.1", ADDR_MULTICAST },
	{ "255.255.255.255", ADDR_MULTICAST }, { "ff02::1", ADDR_MULTICAST },
	{ "240.0.0.1", ADDR_SPECIAL }, { "192.0.2.1", ADDR_SPECIAL },
	{ "198.19.0.1", ADDR_SPECIAL }, { "203.0.113.9", ADDR_SPECIAL },
	{ "168.63.129.16", ADDR_SPECIAL },
	{ "2001:db8::1", ADDR_SPECIAL }, { "2001::1", ADDR_SPECIAL },
	{ "2001:db8::5efe:8.8.8.8", ADDR_SPECIAL },
	{ "64:ff9b:1::808:808", ADDR_SPECIAL }, { "::8.8.8.8", ADDR_SPECIAL },
	{ "100::1", ADDR_SPECIAL }, { "5f00::1", ADDR_SPECIAL },
	{ "3fff:1000::1", ADDR_GLOBAL }, { "3fff::1", ADDR_SPECIAL },
	{ "8.8.8.8", ADDR_GLOBAL }, { "100.63.255.255", ADDR_GLOBAL },
	{ "100.128.0.1", ADDR_GLOBAL }, { "172.32.0.1", ADDR_GLOBAL },
	{ "172.15.255.255", ADDR_GLOBAL }, { "169.253.1.1", ADDR_GLOBAL },
	{ "2606:4700::1111", ADDR_GLOBAL }, { "2a00:1450:4001::200e", ADDR_GLOBAL },
	{ "64:ff9b::8.8.8.8", ADDR_GLOBAL }, { "2002:808:808::1", ADDR_GLOBAL },
	{ "2001:4860:4860::8888", ADDR_GLOBAL },
};

static void
test_classes(void **st)
{
	bool seen[ADDR_CLASSES] = { 0 };

	(void)st;
	for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
		struct addr a = ip(classes[i].text);

		if (addr_classify(&a) != classes[i].class)
			fail_msg("%s is %s", classes[i].text,
			    addr_class_name(addr_classify(&a)));
		assert_int_equal(addr_guard_allowed(&a, NULL, 0),
		    classes[i].class == ADDR_GLOBAL);
		seen[classes[i].class] = true;
	}
	for (size_t i = 0; i < ADDR_CLASSES; i++)
		assert_true(seen[i]);
	struct addr none = { 0 };

	assert_false(addr_guard_allowed(&none, NULL, 0));
}

static void
test_pins(void **st)
{
	struct addr_cidr p[3], c;
	struct addr a;

	(void)st;
	assert_true(addr_parse_cidr(SLICE("10.1.2.3"), &p[0]));
	assert_true(addr_parse_cidr(SLICE("127.0.0.0/8"), &p[1]));
	assert_true(addr_parse_cidr(SLICE("fd00:1::/32"), &p[2]));
	a = ip("10.1.2.3");
	assert_true(addr_guard_allowed(&a, p, 3));
	a = ip("10.1.2.4");
	assert_false(addr_guard_allowed(&a, p, 3));
	a = ip("127.9.9.9");
	assert_true(addr_guard_allowed(&a, p, 3));
	a = ip("fd00:1::5");
	assert_true(addr_guard_allowed(&a, p, 3));
	a = ip("fd00:2::5");
	assert_false(addr_guard_allowed(&a, p, 3));
	/* A pin names an address as it is, not the ways around it. */
	a = ip("2002:a01:203::");
	assert_false(addr_guard_allowed(&a, p, 3));
	/* Never, whatever is pinned. */
	assert_true(addr_parse_cidr(SLICE("0.0.0.0/0"), &p[0]));
	a = ip("0.0.0.0");
	assert_false(addr_guard_allowed(&a, p, 1));
	a = ip("224.0.0.1");
	assert_false(addr_guard_allowed(&a, p, 1));
	assert_false(addr_parse_cidr(SLICE("10.1.2.3/8"), &c));
	assert_false(addr_parse_cidr(SLICE("10.0.0.0/33"), &c));
	assert_false(addr_parse_cidr(SLICE("10.0.0.0/"), &c));
	assert_false(addr_parse_cidr(SLICE("::/129"), &c));
}

static void
test_sockaddr(void **st)
{
	struct sockaddr_storage ss;
	struct addr a = ip("2001:db8::7"), b = { 0 };

	(void)st;
	a.port = 1234;
	assert_int_not_equal(addr_to_sockaddr(&a, &ss), 0);
	assert_true(addr_from_sockaddr((struct sockaddr *)&ss, &b));
	assert_true(addr_same_ip(&a, &b));
	assert_int_equal(b.port, 1234);
	ss.ss_family = 77;
	assert_false(addr_from_sockaddr((struct sockaddr *)&ss, &b));
}

static void
test_secret(void **st)
{
	struct secret *s = secret_new("hunter2", 7), *r = secret_random(32);
	static const char zero[32];

	(void)st;
	assert_true(slice_is(secret_bytes(s), "hunter2"));
	assert_int_equal(secret_bytes(r).n, 32);
	assert_memory_not_equal(secret_bytes(r).p, zero, 32);
	secret_free(s);
	secret_free(r);
	secret_free(NULL);
	s = secret_new("", 0);
	assert_int_equal(secret_bytes(s).n, 0);
	secret_free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse), cmocka_unit_test(test_hostport),
		cmocka_unit_test(test_host), cmocka_unit_test(test_classes),
		cmocka_unit_test(test_pins), cmocka_unit_test(test_sockaddr),
		cmocka_unit_test(test_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
