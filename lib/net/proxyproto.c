/* proxyproto - see proxyproto.h. */
#include "proxyproto.h"

static const char v1_start[] = "PROXY ";
static const unsigned char v2_start[12] = { 0x0d, 0x0a, 0x0d, 0x0a, 0x00,
	0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a };

static enum proxyproto_status
bad(const char **why_r, const char *why)
{
	*why_r = why;
	return PROXYPROTO_ERROR;
}

/* "0" to "65535", without leading zeroes. */
static bool
port_ok(struct slice s, uint16_t *port_r)
{
	uint64_t v;

	if (s.n == 0 || s.n > 5 || (s.n > 1 && s.p[0] == '0') ||
	    !slice_to_u64(s, &v) || v > 65535)
		return false;
	*port_r = (uint16_t)v;
	return true;
}

static enum proxyproto_status
read_v1_line(struct slice line, struct proxyproto *p, const char **why_r)
{
	struct slice family = slice_cut(&line, ' ');
	struct slice src = slice_cut(&line, ' '), dst = slice_cut(&line, ' ');
	struct slice sport = slice_cut(&line, ' '), dport = line;
	unsigned want = slice_is(family, "TCP4") ? 4 :
	    slice_is(family, "TCP6") ? 6 : 0;
	struct addr to;
	uint16_t port;

	/* What follows UNKNOWN is to be passed over (2.1). */
	if (slice_is(family, "UNKNOWN")) {
		p->local = true;
		return PROXYPROTO_DONE;
	}
	if (want == 0)
		return bad(why_r, "neither TCP4, TCP6 nor UNKNOWN");
	if (!addr_parse_ip(src, &p->source) || !addr_parse_ip(dst, &to) ||
	    (slice_chr(src, ':') >= 0) != (want == 6) ||
	    (slice_chr(dst, ':') >= 0) != (want == 6))
		return bad(why_r, "an address is none of its family");
	if (!port_ok(sport, &p->source.port) || !port_ok(dport, &port))
		return bad(why_r, "a port is none");
	return PROXYPROTO_DONE;
}

static enum proxyproto_status
read_v1(struct slice in, struct proxyproto *p_r, size_t *used_r,
    const char **why_r)
{
	struct slice line = slice_sub(in, 0, PROXYPROTO_V1_MAX);
	ssize_t end = slice_find(line, SLICE("\r\n"));
	struct proxyproto p = { .local = false };
	enum proxyproto_status st;

	if (end < 0)
		return in.n < PROXYPROTO_V1_MAX ? PROXYPROTO_MORE :
		    bad(why_r, "the line has no end");
	st = read_v1_line(slice_sub(line, sizeof(v1_start) - 1,
	    (size_t)end - (sizeof(v1_start) - 1)), &p, why_r);
	if (st == PROXYPROTO_DONE) {
		*p_r = p;
		*used_r = (size_t)end + 2;
	}
	return st;
}

/* type, u16 length, value; they must fill what is left (2.2). */
static bool
tlvs_ok(struct slice s)
{
	while (s.n > 0) {
		size_t n;

		if (s.n < 3)
			return false;
		n = (size_t)(unsigned char)s.p[1] << 8 |
		    (unsigned char)s.p[2];
		if (s.n - 3 < n)
			return false;
		s = slice_sub(s, 3 + n, SIZE_MAX);
	}
	return true;
}

static enum proxyproto_status
read_v2_body(unsigned family, struct slice body, struct proxyproto *p,
    const char **why_r)
{
	const unsigned char *b = (const unsigned char *)body.p;
	size_t ip = family == 0x11 ? 4 : 16, n = 2 * ip + 4;

	if (family != 0x11 && family != 0x21)
		return bad(why_r, "neither TCP over IPv4 nor over IPv6");
	if (body.n < n)
		return bad(why_r, "the addresses are cut");
	if (!tlvs_ok(slice_sub(body, n, SIZE_MAX)))
		return bad(why_r, "the TLVs do not fill their space");
	p->source.family = ip == 4 ? 4 : 6;
	memcpy(p->source.ip, b, ip);
	p->source.port = (uint16_t)(b[2 * ip] << 8 | b[2 * ip + 1]);
	return PROXYPROTO_DONE;
}

static enum proxyproto_status
read_v2(struct slice in, struct proxyproto *p_r, size_t *used_r,
    const char **why_r)
{
	const unsigned char *b = (const unsigned char *)in.p;
	struct proxyproto p = { .local = false };
	enum proxyproto_status st = PROXYPROTO_DONE;
	size_t n;

	if (in.n < 16)
		return PROXYPROTO_MORE;
	n = (size_t)b[14] << 8 | b[15];
	if (b[12] != 0x20 && b[12] != 0x21)
		return bad(why_r, "another version, or no known command");
	if (n > PROXYPROTO_V2_MAX)
		return bad(why_r, "longer than 1024 bytes");
	if (in.n < 16 + n)
		return PROXYPROTO_MORE;
	/* LOCAL: whatever follows is to be passed over (2.2). */
	p.local = b[12] == 0x20;
	if (!p.local)
		st = read_v2_body(b[13], slice_sub(in, 16, n), &p, why_r);
	if (st == PROXYPROTO_DONE) {
		*p_r = p;
		*used_r = 16 + n;
	}
	return st;
}

enum proxyproto_status
proxyproto_read(struct slice in, struct proxyproto *p_r, size_t *used_r,
    const char **why_r)
{
	struct slice v1 = SLICE("PROXY ");
	struct slice v2 = slice_make(v2_start, sizeof(v2_start));
	size_t k1 = in.n < v1.n ? in.n : v1.n, k2 = in.n < v2.n ? in.n : v2.n;

	if (slice_eq(slice_sub(in, 0, k1), slice_sub(v1, 0, k1)))
		return k1 < v1.n ? PROXYPROTO_MORE :
		    read_v1(in, p_r, used_r, why_r);
	if (slice_eq(slice_sub(in, 0, k2), slice_sub(v2, 0, k2)))
		return k2 < v2.n ? PROXYPROTO_MORE :
		    read_v2(in, p_r, used_r, why_r);
	return PROXYPROTO_NONE;
}
