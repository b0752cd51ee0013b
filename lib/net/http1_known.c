/* http1_known - character classes, fields with a meaning, words of errors. */
#include "http1.h"
#include "http1_impl.h"

#define T C_TOKEN
#define P (C_PATH | C_QUERY)
#define Q C_QUERY
#define X C_TEXT
#define H C_HOST

/*
 * A path takes RFC 3986's pchar and "/", and what URL libraries are known to
 * leave as it is ("|", "[", "]"); a query also takes "?", and  \ ^ ` { }  for
 * the same reason: no parser ends a target at them.
 */
const uint8_t http1_class[256] = {
	['\t'] = X, [' '] = X, ['"'] = X, ['<'] = X, ['>'] = X,
	['a' ... 'z'] = T | P | X | H, ['A' ... 'Z'] = T | P | X | H,
	['0' ... '9'] = T | P | X | H, ['-'] = T | P | X | H,
	['_'] = T | P | X | H,
	['!'] = T | P | X, ['$'] = T | P | X, ['%'] = T | P | X,
	['&'] = T | P | X, ['\''] = T | P | X, ['*'] = T | P | X,
	['+'] = T | P | X, ['.'] = T | P | X, ['~'] = T | P | X,
	['|'] = T | P | X,
	['('] = P | X, [')'] = P | X, [','] = P | X, [';'] = P | X,
	['='] = P | X, [':'] = P | X, ['@'] = P | X, ['/'] = P | X,
	['['] = P | X, [']'] = P | X,
	['#'] = T | X, ['^'] = T | Q | X, ['`'] = T | Q | X,
	['?'] = Q | X, ['\\'] = Q | X, ['{'] = Q | X, ['}'] = Q | X,
	[0x80 ... 0xff] = X,
};

#undef T
#undef P
#undef Q
#undef X
#undef H

size_t
http1_span_text(const char *p, size_t n)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	size_t i = 0;

	for (;;) {
		for (; n - i >= 8; i += 8) {
			uint64_t w, d;

			memcpy(&w, p + i, 8);
			d = w ^ (ones * 0x7f);
			/* a byte below 0x20, or one that is DEL */
			if ((((w - ones * 0x20) & ~w) | ((d - ones) & ~d)) &
			    (ones * 0x80))
				break;
		}
		size_t end = n - i >= 8 ? i + 8 : n;

		while (i < end && http1_is(p[i], C_TEXT))
			i++;
		if (i < end || i == n)
			return i;
	}
}

/* By length, then as in enum http1_known. */
static const struct known {
	const char *name;
	uint8_t n, flags;
} known[HTTP1_F_COUNT] = {
#define K(sym, lit, flags) [HTTP1_F_##sym] = { lit, sizeof(lit) - 1, flags }
	K(TE, "te", F_HOP),
	K(VIA, "via", F_KEEP),
	K(DATE, "date", F_KEEP),
	K(HOST, "host", F_SINGLE | F_KEEP | F_FRAME | F_OWN),
	K(ALLOW, "allow", F_KEEP),
	K(RANGE, "range", F_SINGLE | F_KEEP | F_FRAME),
	K(ACCEPT, "accept", F_KEEP),
	K(COOKIE, "cookie", F_KEEP | F_FRAME),
	K(EXPECT, "expect", F_SINGLE | F_KEEP | F_FRAME | F_OWN),
	K(ORIGIN, "origin", F_SINGLE | F_KEEP | F_FRAME),
	K(X_HOST, "x-host", F_KEEP | F_FRAME | F_PROXY),
	K(TRAILER, "trailer", F_HOP | F_FRAME),
	K(UPGRADE, "upgrade", F_HOP | F_FRAME),
	K(LOCATION, "location", F_SINGLE | F_KEEP | F_FRAME),
	K(MCP_NAME, "mcp-name", F_SINGLE | F_KEEP | F_FRAME),
	K(FORWARDED, "forwarded", F_KEEP | F_FRAME | F_PROXY),
	K(CONNECTION, "connection", F_HOP | F_KEEP | F_FRAME),
	K(KEEP_ALIVE, "keep-alive", F_HOP),
	K(MCP_METHOD, "mcp-method", F_SINGLE | F_KEEP | F_FRAME),
	K(SET_COOKIE, "set-cookie", F_KEEP | F_FRAME),
	K(CONTENT_TYPE, "content-type", F_SINGLE | F_KEEP | F_FRAME),
	K(AUTHORIZATION, "authorization", F_SINGLE | F_KEEP | F_FRAME),
	K(CACHE_CONTROL, "cache-control", F_KEEP | F_FRAME),
	K(LAST_EVENT_ID, "last-event-id", F_SINGLE | F_KEEP | F_FRAME),
	K(CONTENT_RANGE, "content-range", F_SINGLE | F_KEEP | F_FRAME),
	K(X_HTTP_METHOD, "x-http-method", F_FRAME | F_METHOD),
	K(X_REWRITE_URL, "x-rewrite-url", F_FRAME | F_TARGET),
	K(CONTENT_LENGTH, "content-length",
	    F_SINGLE | F_KEEP | F_FRAME | F_OWN),
	K(HTTP2_SETTINGS, "http2-settings", F_HOP),
	K(MCP_SESSION_ID, "mcp-session-id", F_SINGLE | F_KEEP | F_FRAME),
	K(X_ORIGINAL_URL, "x-original-url", F_FRAME | F_TARGET),
	K(X_ORIGINAL_URI, "x-original-uri", F_FRAME | F_TARGET),
	K(X_FORWARDED_FOR, "x-forwarded-for", F_KEEP | F_FRAME | F_PROXY),
	K(ACCEPT_ENCODING, "accept-encoding", F_KEEP),
	/* a list by its grammar, but two fields are "identity" to whoever
	 * looks at the first only */
	K(CONTENT_ENCODING, "content-encoding",
	    F_SINGLE | F_KEEP | F_FRAME),
	K(X_FORWARDED_HOST, "x-forwarded-host", F_KEEP | F_FRAME | F_PROXY),
	K(X_FORWARDED_PORT, "x-forwarded-port", F_KEEP | F_FRAME | F_PROXY),
	K(WWW_AUTHENTICATE, "www-authenticate", F_KEEP | F_FRAME),
	K(PROXY_CONNECTION, "proxy-connection", F_HOP),
	K(TRANSFER_ENCODING, "transfer-encoding",
	    F_HOP | F_SINGLE | F_KEEP | F_FRAME),
	K(X_FORWARDED_PROTO, "x-forwarded-proto", F_KEEP | F_FRAME | F_PROXY),
	K(X_METHOD_OVERRIDE, "x-method-override", F_FRAME | F_METHOD),
	K(X_ORIGINAL_METHOD, "x-original-method", F_FRAME | F_METHOD),
	K(PROXY_AUTHENTICATE, "proxy-authenticate", F_HOP | F_FRAME),
	K(X_FORWARDED_PREFIX, "x-forwarded-prefix", F_KEEP | F_FRAME | F_PROXY),
	K(X_FORWARDED_SCHEME, "x-forwarded-scheme", F_KEEP | F_FRAME | F_PROXY),
	K(X_FORWARDED_SERVER, "x-forwarded-server", F_KEEP | F_FRAME | F_PROXY),
	K(PROXY_AUTHORIZATION, "proxy-authorization",
	    F_HOP | F_SINGLE | F_FRAME),
	K(MCP_PROTOCOL_VERSION, "mcp-protocol-version",
	    F_SINGLE | F_KEEP | F_FRAME),
	K(X_HTTP_METHOD_OVERRIDE, "x-http-method-override", F_FRAME | F_METHOD),
#undef K
};

/* The first known field of each length. */
static const uint8_t first_of_len[] = {
	[2] = HTTP1_F_TE, [3] = HTTP1_F_VIA, [4] = HTTP1_F_DATE,
	[5] = HTTP1_F_ALLOW, [6] = HTTP1_F_ACCEPT, [7] = HTTP1_F_TRAILER,
	[8] = HTTP1_F_LOCATION, [9] = HTTP1_F_FORWARDED,
	[10] = HTTP1_F_CONNECTION, [12] = HTTP1_F_CONTENT_TYPE,
	[13] = HTTP1_F_AUTHORIZATION, [14] = HTTP1_F_CONTENT_LENGTH,
	[15] = HTTP1_F_X_FORWARDED_FOR, [16] = HTTP1_F_CONTENT_ENCODING,
	[17] = HTTP1_F_TRANSFER_ENCODING, [18] = HTTP1_F_PROXY_AUTHENTICATE,
	[19] = HTTP1_F_PROXY_AUTHORIZATION,
	[20] = HTTP1_F_MCP_PROTOCOL_VERSION,
	[22] = HTTP1_F_X_HTTP_METHOD_OVERRIDE,
};

/* Capital ASCII letters of eight bytes made small. */
static inline uint64_t
fold8(const char *p)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t w, low, upper;

	memcpy(&w, p, 8);
	low = w & (ones * 0x7f);
	/* the high bit: from "A" on, but not behind "Z", and ASCII */
	upper = (low + ones * (0x80 - 'A')) ^ (low + ones * (0x7f - 'Z'));
	upper &= ~w & (ones * 0x80);
	return w | upper >> 2;
}

static inline bool
same(const char *a, const char *lower, size_t n)
{
	uint64_t w;
	size_t i = 0;

	for (; n - i >= 8; i += 8) {
		memcpy(&w, lower + i, 8);
		if (fold8(a + i) != w)
			return false;
	}
	for (; i < n; i++) {
		unsigned char c = (unsigned char)a[i];

		c |= (unsigned char)((unsigned)(c - 'A') < 26) << 5;
		if (c != (unsigned char)lower[i])
			return false;
	}
	return true;
}

enum http1_known
http1_known_of(struct slice name)
{
	if (name.n >= ARRAY_LEN(first_of_len) || first_of_len[name.n] == 0)
		return HTTP1_F_OTHER;
	for (unsigned k = first_of_len[name.n];
	    k < HTTP1_F_COUNT && known[k].n == name.n; k++)
		/* a cheap no first: letters are alike but for one bit */
		if (((name.p[0] ^ known[k].name[0]) & ~0x20) == 0 &&
		    same(name.p, known[k].name, name.n))
			return (enum http1_known)k;
	return HTTP1_F_OTHER;
}

const char *
http1_known_name(enum http1_known k)
{
	return (unsigned)k < HTTP1_F_COUNT ? known[k].name : NULL;
}

uint8_t
http1_known_flags(enum http1_known k)
{
	return (unsigned)k < HTTP1_F_COUNT ? known[k].flags : 0;
}

bool
http1_field_kept(const struct http1_field *f)
{
	return !f->hop && (http1_known_flags(f->known) & F_OWN) == 0;
}

bool
http1_field_of_proxy(const struct http1_field *f)
{
	return (http1_known_flags(f->known) & F_PROXY) != 0;
}

static const struct {
	unsigned status;
	const char *word, *text;
} errors[HTTP1_E_COUNT] = {
#define E(sym, status, word, text) [HTTP1_E_##sym] = { status, word, text },
	HTTP1_ERRORS(E)
#undef E
};

const char *
http1_error_word(enum http1_error e)
{
	return (unsigned)e < HTTP1_E_COUNT ? errors[e].word : "unknown";
}

const char *
http1_error_text(enum http1_error e)
{
	return (unsigned)e < HTTP1_E_COUNT ? errors[e].text : "";
}

unsigned
http1_error_status(enum http1_error e)
{
	return (unsigned)e < HTTP1_E_COUNT ? errors[e].status : 400;
}

/* RFC 9110, 15, and the registry's 428, 429, 431, 451, 511. */
const char *
http1_status_text(unsigned status)
{
	static const struct {
		unsigned short status;
		const char *text;
	} t[] = {
		{ 100, "Continue" }, { 101, "Switching Protocols" },
		{ 103, "Early Hints" }, { 200, "OK" }, { 201, "Created" },
		{ 202, "Accepted" }, { 203, "Non-Authoritative Information" },
		{ 204, "No Content" }, { 205, "Reset Content" },
		{ 206, "Partial Content" }, { 207, "Multi-Status" },
		{ 300, "Multiple Choices" }, { 301, "Moved Permanently" },
		{ 302, "Found" }, { 303, "See Other" },
		{ 304, "Not Modified" }, { 307, "Temporary Redirect" },
		{ 308, "Permanent Redirect" }, { 400, "Bad Request" },
		{ 401, "Unauthorized" }, { 402, "Payment Required" },
		{ 403, "Forbidden" }, { 404, "Not Found" },
		{ 405, "Method Not Allowed" }, { 406, "Not Acceptable" },
		{ 407, "Proxy Authentication Required" },
		{ 408, "Request Timeout" }, { 409, "Conflict" },
		{ 410, "Gone" }, { 411, "Length Required" },
		{ 412, "Precondition Failed" }, { 413, "Content Too Large" },
		{ 414, "URI Too Long" }, { 415, "Unsupported Media Type" },
		{ 416, "Range Not Satisfiable" },
		{ 417, "Expectation Failed" },
		{ 421, "Misdirected Request" },
		{ 422, "Unprocessable Content" }, { 423, "Locked" },
		{ 425, "Too Early" }, { 426, "Upgrade Required" },
		{ 428, "Precondition Required" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 451, "Unavailable For Legal Reasons" },
		{ 500, "Internal Server Error" }, { 501, "Not Implemented" },
		{ 502, "Bad Gateway" }, { 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
		{ 505, "HTTP Version Not Supported" },
		{ 511, "Network Authentication Required" },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		if (t[i].status == status)
			return t[i].text;
	return "Status";
}
