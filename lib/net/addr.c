/* addr - see addr.h. */
#include "addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

static const uint8_t v4_mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff,
	0xff };

static void
set_v4(struct addr *a, const uint8_t ip[4])
{
	memset(a->ip, 0, sizeof(a->ip));
	memcpy(a->ip, ip, 4);
	a->family = 4;
}

static void
set_v6(struct addr *a, const uint8_t ip[16])
{
	if (memcmp(ip, v4_mapped, 12) == 0) {
		set_v4(a, ip + 12);
		return;
	}
	memcpy(a->ip, ip, 16);
	a->family = 6;
}

bool
addr_parse_ip(struct slice s, struct addr *a_r)
{
	char text[INET6_ADDRSTRLEN];
	uint8_t ip[16];

	if (s.n == 0 || s.n >= sizeof(text) || memchr(s.p, '\0', s.n) != NULL)
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	if (slice_chr(s, ':') < 0) {
		if (inet_pton(AF_INET, text, ip) != 1)
			return false;
		a_r->port = 0;
		set_v4(a_r, ip);
		return true;
	}
	if (inet_pton(AF_INET6, text, ip) != 1)
		return false;
	a_r->port = 0;
	set_v6(a_r, ip);
	return true;
}

static bool
bits_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned rest = bits % 8;

	if (memcmp(a, b, bits / 8) != 0)
		return false;
	if (rest == 0)
		return true;
	return ((a[bits / 8] ^ b[bits / 8]) >> (8 - rest)) == 0;
}

static bool
host_bits_zero(const struct addr *a, unsigned bits, unsigned width)
{
	for (unsigned i = bits; i < width; i++)
		if (a->ip[i / 8] & (0x80 >> (i % 8)))
			return false;
	return true;
}

bool
addr_parse_cidr(struct slice s, struct addr_cidr *c_r)
{
	ssize_t at = slice_chr(s, '/');
	struct slice ip = at < 0 ? s : slice_sub(s, 0, (size_t)at);
	struct addr_cidr c;
	uint64_t bits;

	if (!addr_parse_ip(ip, &c.net))
		return false;
	unsigned width = c.net.family == 4 ? 32 : 128;

	bits = width;
	if (at >= 0 && (!slice_to_u64(slice_sub(s, (size_t)at + 1, s.n),
	    &bits) || bits > width))
		return false;
	if (!host_bits_zero(&c.net, (unsigned)bits, width))
		return false;
	c.bits = (uint8_t)bits;
	*c_r = c;
	return true;
}

bool
addr_cidr_has(const struct addr_cidr *c, const struct addr *a)
{
	return c->net.family == a->family &&
	    bits_equal(c->net.ip, a->ip, c->bits);
}

static bool
parse_port(struct slice s, uint16_t *port_r)
{
	uint64_t v;

	if (s.n > 5 || !slice_to_u64(s, &v) || v == 0 || v > 65535)
		return false;
	*port_r = (uint16_t)v;
	return true;
}

/* *rest is what stands behind the host: "" or ":port". */
static bool
split_host(struct slice s, struct slice *host_r, struct slice *rest_r)
{
	ssize_t at;

	if (s.n > 0 && s.p[0] == '[') {
		if ((at = slice_chr(s, ']')) < 0)
			return false;
		*host_r = slice_sub(s, 1, (size_t)at - 1);
		*rest_r = slice_sub(s, (size_t)at + 1, s.n);
		return slice_chr(*host_r, ':') >= 0;
	}
	at = slice_chr(s, ':');
	if (at >= 0 && slice_chr(slice_sub(s, (size_t)at + 1, s.n), ':') >= 0)
		at = -1;	/* two colons without brackets: bare IPv6 */
	*host_r = at < 0 ? s : slice_sub(s, 0, (size_t)at);
	*rest_r = at < 0 ? SLICE("") : slice_sub(s, (size_t)at, s.n);
	return true;
}

bool
addr_split_hostport(struct slice s, uint16_t default_port,
    struct slice *host_r, uint16_t *port_r)
{
	struct slice host, rest;
	uint16_t port = default_port;
	struct addr a;

	if (!split_host(s, &host, &rest) || host.n == 0)
		return false;
	if (slice_chr(host, ':') >= 0 && !addr_parse_ip(host, &a))
		return false;
	if (rest.n == 0 && port == 0)
		return false;
	if (rest.n != 0 && (rest.p[0] != ':' ||
	    !parse_port(slice_sub(rest, 1, rest.n), &port)))
		return false;
	*host_r = host;
	*port_r = port;
	return true;
}

static bool
name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
	    c == '_';
}

static bool
label_ok(struct slice l)
{
	if (l.n == 0 || l.n > 63 || l.p[0] == '-' || l.p[l.n - 1] == '-')
		return false;
	for (size_t i = 0; i < l.n; i++)
		if (!name_char(l.p[i]))
			return false;
	return true;
}

/* All digits, or 0x and hex digits: what inet_aton would read as a number. */
static bool
label_numeric(struct slice l)
{
	size_t i = 0;

	if (l.n >= 2 && l.p[0] == '0' && l.p[1] == 'x') {
		for (i = 2; i < l.n; i++)
			if (!((l.p[i] >= '0' && l.p[i] <= '9') ||
			    (l.p[i] >= 'a' && l.p[i] <= 'f')))
				return false;
		return true;
	}
	for (; i < l.n; i++)
		if (l.p[i] < '0' || l.p[i] > '9')
			return false;
	return true;
}

bool
addr_host_normalise(struct slice s, char out[ADDR_HOST_MAX])
{
	char name[ADDR_HOST_MAX], text[ADDR_TEXT_MAX];
	struct slice rest, label = SLICE("");
	struct addr a;

	if (addr_parse_ip(s, &a)) {
		addr_format_ip(&a, text);
		memcpy(out, text, strlen(text) + 1);
		return true;
	}
	if (s.n > 1 && s.p[s.n - 1] == '.')
		s.n--;
	if (s.n == 0 || s.n >= sizeof(name))
		return false;
	for (size_t i = 0; i < s.n; i++)
		name[i] = s.p[i] >= 'A' && s.p[i] <= 'Z' ?
		    (char)(s.p[i] + 32) : s.p[i];
	if (name[s.n - 1] == '.')
		return false;
	rest = slice_make(name, s.n);
	while (rest.p != NULL) {
		label = slice_cut(&rest, '.');
		if (!label_ok(label))
			return false;
	}
	if (label_numeric(label))
		return false;
	memcpy(out, name, s.n);
	out[s.n] = '\0';
	return true;
}

void
addr_format_ip(const struct addr *a, char out[ADDR_TEXT_MAX])
{
	if (inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->ip, out,
	    ADDR_TEXT_MAX) == NULL)
		out[0] = '\0';
}

void
addr_format(const struct addr *a, char out[ADDR_TEXT_MAX])
{
	char ip[ADDR_TEXT_MAX];

	addr_format_ip(a, ip);
	if (a->port == 0)
		snprintf(out, ADDR_TEXT_MAX, "%.46s", ip);
	else
		snprintf(out, ADDR_TEXT_MAX, a->family == 6 ? "[%.46s]:%u" :
		    "%.46s:%u", ip, a->port);
}

socklen_t
addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *ss)
{
	memset(ss, 0, sizeof(*ss));
	if (a->family == 4) {
		struct sockaddr_in *in = (struct sockaddr_in *)(void *)ss;

		in->sin_family = AF_INET;
		in->sin_port = htons(a->port);
		memcpy(&in->sin_addr, a->ip, 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)ss;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(a->port);
	memcpy(&in6->sin6_addr, a->ip, 16);
	return sizeof(*in6);
}

bool
addr_from_sockaddr(const struct sockaddr *sa, struct addr *a_r)
{
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;

		set_v4(a_r, (const uint8_t *)&in->sin_addr);
		a_r->port = ntohs(in->sin_port);
		return true;
	}
	if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;

		set_v6(a_r, (const uint8_t *)&in6->sin6_addr);
		a_r->port = ntohs(in6->sin6_port);
		return true;
	}
	return false;
}

bool
addr_same_ip(const struct addr *a, const struct addr *b)
{
	return a->family == b->family &&
	    memcmp(a->ip, b->ip, a->family == 4 ? 4 : 16) == 0;
}

struct range {
	uint8_t ip[16];
	uint8_t bits;
	enum addr_class class;
};

/* First match wins. 168.63.129.16 is a cloud's own service address inside
 * public space: no agent's connector lives there. */
static const struct range v4_ranges[] = {
	{ { 0 }, 8, ADDR_UNSPECIFIED },
	{ { 10 }, 8, ADDR_PRIVATE },
	{ { 100, 64 }, 10, ADDR_CGNAT },
	{ { 127 }, 8, ADDR_LOOPBACK },
	{ { 168, 63, 129, 16 }, 32, ADDR_SPECIAL },
	{ { 169, 254 }, 16, ADDR_LINK_LOCAL },
	{ { 172, 16 }, 12, ADDR_PRIVATE },
	{ { 192, 0, 0 }, 24, ADDR_SPECIAL },
	{ { 192, 0, 2 }, 24, ADDR_SPECIAL },
	{ { 192, 88, 99 }, 24, ADDR_SPECIAL },
	{ { 192, 168 }, 16, ADDR_PRIVATE },
	{ { 198, 18 }, 15, ADDR_SPECIAL },
	{ { 198, 51, 100 }, 24, ADDR_SPECIAL },
	{ { 203, 0, 113 }, 24, ADDR_SPECIAL },
	{ { 224 }, 4, ADDR_MULTICAST },
	{ { 255, 255, 255, 255 }, 32, ADDR_MULTICAST },
	{ { 240 }, 4, ADDR_SPECIAL },
};

/* Of 2000::/3 what is listed is not global; nothing outside of it is. */
static const struct range v6_ranges[] = {
	{ { 0 }, 128, ADDR_UNSPECIFIED },
	{ { [15] = 1 }, 128, ADDR_LOOPBACK },
	{ { 0xfc }, 7, ADDR_PRIVATE },
	{ { 0xfe, 0x80 }, 10, ADDR_LINK_LOCAL },
	{ { 0xfe, 0xc0 }, 10, ADDR_PRIVATE },
	{ { 0xff }, 8, ADDR_MULTICAST },
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32, ADDR_SPECIAL },
	{ { 0x20, 0x01, 0 }, 23, ADDR_SPECIAL },	/* Teredo, ORCHID */
	{ { 0x3f, 0xff, 0 }, 20, ADDR_SPECIAL },
	{ { 0x20 }, 3, ADDR_GLOBAL },
	{ { 0 }, 0, ADDR_SPECIAL },
};

static enum addr_class
lookup(const struct range *r, size_t n, const uint8_t *ip,
    enum addr_class otherwise)
{
	for (size_t i = 0; i < n; i++)
		if (bits_equal(r[i].ip, ip, r[i].bits))
			return r[i].class;
	return otherwise;
}

static enum addr_class
classify_v4(const uint8_t *ip)
{
	return lookup(v4_ranges, ARRAY_LEN(v4_ranges), ip, ADDR_GLOBAL);
}

/* Prefixes under which a router takes an IPv4 address out: mapped, NAT64,
 * 6to4. The IPv4 address alone says where the packet ends. */
static const uint8_t *
translated_v4(const uint8_t *ip)
{
	static const uint8_t nat64[12] = { 0, 0x64, 0xff, 0x9b };

	if (memcmp(ip, v4_mapped, 12) == 0 || memcmp(ip, nat64, 12) == 0)
		return ip + 12;
	if (ip[0] == 0x20 && ip[1] == 0x02)
		return ip + 2;
	return NULL;
}

static bool
is_isatap(const uint8_t *ip)
{
	static const uint8_t id[3] = { 0, 0x5e, 0xfe };

	return (ip[8] & 0xfd) == 0 && memcmp(ip + 9, id, 3) == 0;
}

enum addr_class
addr_classify(const struct addr *a)
{
	const uint8_t *v4;
	enum addr_class c;

	if (a->family == 4)
		return classify_v4(a->ip);
	if (a->family != 6)
		return ADDR_UNSPECIFIED;
	if ((v4 = translated_v4(a->ip)) != NULL)
		return classify_v4(v4);
	c = lookup(v6_ranges, ARRAY_LEN(v6_ranges), a->ip, ADDR_SPECIAL);
	if (c == ADDR_GLOBAL && is_isatap(a->ip))
		return classify_v4(a->ip + 12);
	return c;
}

const char *
addr_class_name(enum addr_class c)
{
	static const char *const names[ADDR_CLASSES] = { "unspecified",
		"loopback", "link-local", "private", "carrier-grade NAT",
		"multicast", "special-purpose", "global" };

	return (unsigned)c < ADDR_CLASSES ? names[c] : "?";
}

bool
addr_guard_allowed(const struct addr *a, const struct addr_cidr *pins,
    size_t npins)
{
	enum addr_class c = addr_classify(a);

	if (c == ADDR_GLOBAL)
		return true;
	if (c == ADDR_UNSPECIFIED || c == ADDR_MULTICAST)
		return false;
	for (size_t i = 0; i < npins; i++)
		if (addr_cidr_has(&pins[i], a))
			return true;
	return false;
}
