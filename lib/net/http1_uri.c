/* http1_uri - hosts, ports, URLs and paths, each in one reading only. */
#include "http1.h"
#include "http1_impl.h"

#include <arpa/inet.h>
#include <stdio.h>

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* 1..65535, no leading zero. */
static bool
port_parse(struct slice s, uint16_t *port_r)
{
	uint64_t v;

	if (s.n == 0 || s.n > 5 || s.p[0] == '0' || !slice_to_u64(s, &v) ||
	    v > 65535)
		return false;
	*port_r = (uint16_t)v;
	return true;
}

/* The WHATWG URL test: would somebody read this last label as a number? */
static bool
label_is_number(struct slice l)
{
	size_t i = 0;

	if (l.n >= 2 && l.p[0] == '0' && lower(l.p[1]) == 'x') {
		for (i = 2; i < l.n && http1_hex(l.p[i]) >= 0; i++)
			;
		return i == l.n;
	}
	while (i < l.n && is_digit(l.p[i]))
		i++;
	return i == l.n;
}

static bool
host_name(struct slice s, struct http1_authority *a)
{
	struct slice label = { NULL, 0 };
	size_t start = 0;

	if (s.n == 0 || s.n > HTTP1_HOST_MAX)
		return false;
	for (size_t i = 0; i <= s.n; i++) {
		if (i < s.n && s.p[i] != '.') {
			if (!http1_is(s.p[i], C_HOST))
				return false;
			a->host[i] = lower(s.p[i]);
			continue;
		}
		label = slice_make(s.p + start, i - start);
		if (label.n == 0 || label.n > 63 || label.p[0] == '-' ||
		    label.p[label.n - 1] == '-')
			return false;
		a->host[i] = i < s.n ? '.' : '\0';
		start = i + 1;
	}
	a->host_n = (uint16_t)s.n;
	a->kind = HTTP1_HOST_NAME;
	if (label_is_number(label)) {
		unsigned char v4[4];

		/* glibc's reads four decimal octets, no leading zeros */
		if (inet_pton(AF_INET, a->host, v4) != 1)
			return false;
		a->kind = HTTP1_HOST_V4;
	}
	return true;
}

static bool
host_v6(struct slice s, struct http1_authority *a)
{
	char text[INET6_ADDRSTRLEN];
	unsigned char v6[16];

	if (s.n == 0 || s.n >= sizeof(text) || memchr(s.p, 0, s.n) != NULL)
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	if (inet_pton(AF_INET6, text, v6) != 1 ||
	    inet_ntop(AF_INET6, v6, a->host, sizeof(text)) == NULL)
		return false;
	a->host_n = (uint16_t)strlen(a->host);
	a->kind = HTTP1_HOST_V6;
	return true;
}

/* Fills *a even when it answers false. */
static bool
authority_read(struct slice s, struct http1_authority *a)
{
	struct slice host, port;
	ssize_t at;
	bool bracket = s.n > 0 && s.p[0] == '[';

	a->kind = HTTP1_HOST_NONE;
	a->port = 0;
	at = slice_chr(s, bracket ? ']' : ':');
	if (bracket) {
		if (at < 0)
			return false;
		host = slice_sub(s, 1, (size_t)at - 1);
		port = slice_sub(s, (size_t)at + 1, SIZE_MAX);
	} else {
		host = at < 0 ? s : slice_sub(s, 0, (size_t)at);
		port = slice_sub(s, host.n, SIZE_MAX);
	}
	if (port.n != 0 && (port.p[0] != ':' ||
	    !port_parse(slice_sub(port, 1, SIZE_MAX), &a->port)))
		return false;
	return bracket ? host_v6(host, a) : host_name(host, a);
}

bool
http1_authority_parse(struct slice s, struct http1_authority *a_r)
{
	struct http1_authority a;

	if (!authority_read(s, &a))
		return false;
	a_r->kind = a.kind;
	a_r->port = a.port;
	a_r->host_n = a.host_n;
	memcpy(a_r->host, a.host, (size_t)a.host_n + 1);
	return true;
}

bool
http1_authority_equal(const struct http1_authority *a,
    const struct http1_authority *b, uint16_t default_port)
{
	uint16_t pa = a->port == 0 ? default_port : a->port;
	uint16_t pb = b->port == 0 ? default_port : b->port;

	return a->kind == b->kind && a->host_n == b->host_n && pa == pb &&
	    memcmp(a->host, b->host, a->host_n) == 0;
}

int
http1_authority_write(struct buf *out, const struct http1_authority *a)
{
	char text[HTTP1_HOST_MAX + 16];
	bool v6 = a->kind == HTTP1_HOST_V6;
	int n;

	ASSERT(a->kind != HTTP1_HOST_NONE);
	n = snprintf(text, sizeof(text), "%s%s%s", v6 ? "[" : "", a->host,
	    v6 ? "]" : "");
	if (a->port != 0)
		n += snprintf(text + n, sizeof(text) - (size_t)n, ":%u",
		    a->port);
	return buf_add(out, text, (size_t)n);
}

uint16_t
http1_scheme_port(enum http1_scheme s)
{
	return s == HTTP1_HTTP ? 80 : s == HTTP1_HTTPS ? 443 : 0;
}

enum http1_error
http1_url_parse(struct slice s, struct http1_url *u_r)
{
	enum http1_scheme scheme;
	struct slice path, query = { NULL, 0 };
	size_t i, n;

	if (slice_is_nocase(slice_sub(s, 0, 7), "http://"))
		scheme = HTTP1_HTTP, i = 7;
	else if (slice_is_nocase(slice_sub(s, 0, 8), "https://"))
		scheme = HTTP1_HTTPS, i = 8;
	else
		return HTTP1_E_SCHEME;
	s = slice_sub(s, i, SIZE_MAX);
	for (n = 0; n < s.n && s.p[n] != '/' && s.p[n] != '?'; n++)
		;
	path = slice_sub(s, n, SIZE_MAX);
	i = http1_span(path.p, path.n, C_PATH);
	if (i < path.n) {
		if (path.p[i] != '?')
			return HTTP1_E_TARGET;
		query = slice_sub(path, i + 1, SIZE_MAX);
		if (http1_span(query.p, query.n, C_QUERY) != query.n)
			return HTTP1_E_TARGET;
		path.n = i;
	}
	if (!http1_authority_parse(slice_sub(s, 0, n), &u_r->authority))
		return HTTP1_E_AUTHORITY;
	u_r->scheme = scheme;
	u_r->path = path.n == 0 ? SLICE("/") : path;
	u_r->query = query;
	return HTTP1_E_NONE;
}

/* The byte that "%xx" at s[i] stands for, or -1. */
static int
percent(struct slice s, size_t i)
{
	if (i + 2 >= s.n || s.p[i] != '%')
		return -1;
	int hi = http1_hex(s.p[i + 1]), lo = http1_hex(s.p[i + 2]);

	return hi < 0 || lo < 0 ? -1 : hi << 4 | lo;
}

/* Why nobody should have to guess what this encoded byte means, or NULL. */
static const char *
encoded_fault(int c)
{
	if (c == '/' || c == '\\')
		return "an encoded slash or backslash";
	if (c < 0x20 || c == 0x7f)
		return "an encoded control character";
	if (c == 0xc0 || c == 0xc1 || c >= 0xf5)
		return "an encoded byte that UTF-8 does not have";
	return NULL;
}

/* Is the segment, up to its parameters, only dots, encoded or not? */
static bool
dot_segment(struct slice seg)
{
	size_t dots = 0, i = 0;

	while (i < seg.n && seg.p[i] != ';' && percent(seg, i) != ';') {
		if (seg.p[i] == '.')
			i++;
		else if (percent(seg, i) == '.')
			i += 3;
		else
			return false;
		dots++;
	}
	return dots == 1 || dots == 2;
}

static bool
unreserved(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
	    c == '~';
}

size_t
http1_path_plain(struct slice path, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < path.n; i++) {
		int c = percent(path, i);

		if (c >= 0 && unreserved(c)) {
			out[n++] = (char)c;
			i += 2;
		} else {
			out[n++] = path.p[i];
		}
	}
	return n;
}

static const char *
segment_fault(struct slice seg)
{
	for (size_t i = 0; i < seg.n; i++) {
		const char *why = NULL;
		int c = (unsigned char)seg.p[i];

		if (c == '\\')
			return "a backslash";
		if (c <= 0x20 || c >= 0x7f)
			return "a byte that must be percent-encoded";
		if (c != '%')
			continue;
		if ((c = percent(seg, i)) < 0)
			return "a malformed percent-encoding";
		if ((why = encoded_fault(c)) != NULL)
			return why;
		/* "%25" and two hex digits: decoded twice, one byte more */
		if (c == '%' && i + 4 < seg.n) {
			int hi = http1_hex(seg.p[i + 3]);
			int lo = http1_hex(seg.p[i + 4]);

			if (hi >= 0 && lo >= 0 && (unreserved(hi << 4 | lo) ||
			    encoded_fault(hi << 4 | lo) != NULL))
				return "a byte encoded twice";
		}
		i += 2;
	}
	return dot_segment(seg) ? "a dot segment" : NULL;
}

bool
http1_path_normal(struct slice path, const char **why_r)
{
	const char *why = NULL;
	struct slice rest = path;

	if (path.n == 0 || path.p[0] != '/')
		why = "no slash at its begin";
	rest = slice_sub(path, 1, SIZE_MAX);
	while (why == NULL && rest.p != NULL && rest.n != 0) {
		struct slice seg = slice_cut(&rest, '/');

		if (seg.n == 0)
			why = "an empty segment";
		else
			why = segment_fault(seg);
	}
	if (why != NULL && why_r != NULL)
		*why_r = why;
	return why == NULL;
}
