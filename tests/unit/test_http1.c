/* http1: what two readers could read in two ways is refused, the rest comes
 * back as it was meant, wherever the input is split. */
#include "http1.h"
#include "clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define REQ(name, e, bytes) { name, SLICE(bytes), true, HTTP1_M_OTHER, \
	HTTP1_E_##e }
#define RSP(name, e, to, bytes) { name, SLICE(bytes), false, HTTP1_M_##to, \
	HTTP1_E_##e }
#define H "Host: a.example\r\n"
#define GET(fields) "GET / HTTP/1.1\r\n" fields "\r\n"
#define POST(fields) "POST /p HTTP/1.1\r\n" H fields "\r\n"
#define R200(fields) "HTTP/1.1 200 OK\r\n" fields "\r\n"
#define TARGET(t) "GET " t " HTTP/1.1\r\n" H "\r\n"
#define HOSTV(v) "GET / HTTP/1.1\r\nHost: " v "\r\n\r\n"

static const struct vector {
	const char *name;
	struct slice in;
	bool request;
	enum http1_method to;
	enum http1_error want;
} vectors[] = {
	/* valid requests */
	REQ("plain", NONE, GET(H)),
	REQ("one empty line before", NONE, "\r\n" GET(H)),
	REQ("1.0 without Host", NONE, "GET / HTTP/1.0\r\n\r\n"),
	REQ("absolute", NONE,
	    "GET http://a.example/x?y HTTP/1.1\r\n" H "\r\n"),
	REQ("absolute, default port", NONE,
	    "GET http://A.example:80/ HTTP/1.1\r\n" H "\r\n"),
	REQ("connect", NONE, "CONNECT a.example:443 HTTP/1.1\r\n"
	    "Host: a.example:443\r\n\r\n"),
	REQ("connect, Host without port", NONE,
	    "CONNECT a.example:443 HTTP/1.1\r\n" H "\r\n"),
	REQ("options *", NONE, "OPTIONS * HTTP/1.1\r\n" H "\r\n"),
	REQ("chunked", NONE, POST("Transfer-Encoding: Chunked\r\n")),
	REQ("length 0", NONE, POST("Content-Length: 0\r\n")),
	REQ("18 digits", NONE, POST("Content-Length: 999999999999999999\r\n")),
	REQ("value with tab and obs-text", NONE,
	    GET(H "X: a\tb \xc3\xa9\r\n")),
	REQ("empty value", NONE, GET(H "X:\r\nY: \t \r\n")),
	REQ("space around value", NONE, POST("Content-Length: \t 5 \t\r\n")),
	REQ("own method", NONE, "MKCOL /x HTTP/1.1\r\n" H "\r\n"),
	REQ("nominated custom field", NONE,
	    GET(H "Connection: x-own, close\r\nX-Own: 1\r\n")),
	REQ("query that libraries leave raw", NONE,
	    TARGET("/a?f[x]={1|2}^`\\")),
	REQ("expect", NONE,
	    POST("Content-Length: 1\r\nExpect: 100-Continue\r\n")),
	REQ("IPv6 host", NONE, HOSTV("[2001:DB8::1]:8080")),
	REQ("IPv4 host", NONE, HOSTV("192.0.2.1:1")),
	/* ends of lines, controls, folds */
	REQ("two empty lines before", BLANK, "\r\n\r\n" GET(H)),
	REQ("bare LF before", LINE_END, "\n" GET(H)),
	REQ("LF after request line", LINE_END, "GET / HTTP/1.1\n" H "\r\n"),
	REQ("LF after field", LINE_END,
	    GET("Host: a.example\nX: y\r\n")),
	REQ("LF as last line", LINE_END, "GET / HTTP/1.1\r\n" H "\n"),
	REQ("LF LF", LINE_END, "GET / HTTP/1.1\r\nHost: a.example\n\n"),
	REQ("bare CR in value", CONTROL, GET(H "X: a\rb\r\n")),
	REQ("CR hides a field", CONTROL,
	    GET(H "X: a\rTransfer-Encoding: chunked\r\n")),
	REQ("CR CR LF", CONTROL, GET(H "X: a\r\r\n")),
	REQ("CR in name", NAME, GET(H "X\rY: a\r\n")),
	REQ("CR in target", TARGET, TARGET("/\r")),
	REQ("CR as line", NAME, "GET / HTTP/1.1\r\n" H "\r\r\n\r\n"),
	REQ("NUL in value", CONTROL, GET(H "X: a\0b\r\n")),
	REQ("NUL in name", NAME, GET(H "X\0Y: a\r\n")),
	REQ("NUL in target", TARGET, TARGET("/\0")),
	REQ("ESC in value", CONTROL, GET(H "X: \x1b[31m\r\n")),
	REQ("DEL in value", CONTROL, GET(H "X: \x7f\r\n")),
	REQ("VT before chunked", CONTROL,
	    POST("Transfer-Encoding: \x0b" "chunked\r\n")),
	REQ("FF behind a length", CONTROL, POST("Content-Length: 5\f\r\n")),
	REQ("fold with space", FOLD, GET(H "X: a\r\n b\r\n")),
	REQ("fold with tab", FOLD, GET(H "X: a\r\n\tb\r\n")),
	REQ("fold of the framing", FOLD,
	    POST("Transfer-Encoding:\r\n chunked\r\n")),
	REQ("fold as first field", FOLD, "GET / HTTP/1.1\r\n " H "\r\n"),
	/* the request line */
	REQ("0.9", START, "GET /\r\n\r\n"),
	REQ("only a method", START, "GET\r\n\r\n"),
	REQ("no target", START, "GET  HTTP/1.1\r\n" H "\r\n"),
	REQ("two spaces", START, "GET  / HTTP/1.1\r\n" H "\r\n"),
	REQ("two spaces before version", START,
	    "GET /  HTTP/1.1\r\n" H "\r\n"),
	REQ("space behind version", START, "GET / HTTP/1.1 \r\n" H "\r\n"),
	REQ("tab as space", METHOD, "GET\t/ HTTP/1.1\r\n" H "\r\n"),
	REQ("space before method", METHOD, " GET / HTTP/1.1\r\n" H "\r\n"),
	REQ("method with colon", METHOD, "GE:T / HTTP/1.1\r\n" H "\r\n"),
	REQ("small method", METHOD_UNKNOWN, "get / HTTP/1.1\r\n" H "\r\n"),
	REQ("33 letters of method", METHOD_UNKNOWN,
	    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\n" H "\r\n"),
	REQ("HTTP/2 preface", VERSION, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
	REQ("1.2", VERSION, "GET / HTTP/1.2\r\n" H "\r\n"),
	REQ("0.9 named", VERSION, "GET / HTTP/0.9\r\n" H "\r\n"),
	REQ("1.10", START, "GET / HTTP/1.10\r\n" H "\r\n"),
	REQ("01.1", START, "GET / HTTP/01.1\r\n" H "\r\n"),
	REQ("http/1.1", START, "GET / http/1.1\r\n" H "\r\n"),
	REQ("TLS on a plain port", METHOD,
	    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
	/* targets */
	REQ("fragment", TARGET, TARGET("/a#b")),
	REQ("fragment in query", TARGET, TARGET("/a?b#c")),
	REQ("raw UTF-8", TARGET, TARGET("/\xc3\xa9")),
	REQ("backslash", TARGET, TARGET("/a\\..\\b")),
	REQ("quote in target", TARGET, TARGET("/a\"b")),
	REQ("angle in query", TARGET, TARGET("/a?<b>")),
	REQ("tab in target", TARGET, TARGET("/a\tb")),
	REQ("no slash", FORM, TARGET("a/b")),
	REQ("host as target", FORM, TARGET("a.example:80")),
	REQ("* with GET", FORM, TARGET("*")),
	REQ("** with OPTIONS", FORM, "OPTIONS ** HTTP/1.1\r\n" H "\r\n"),
	REQ("file:", SCHEME, TARGET("file:///etc/passwd")),
	REQ("ftp:", SCHEME, TARGET("ftp://a.example/")),
	REQ("userinfo", AUTHORITY, TARGET("http://a.example@b.example/")),
	REQ("backslash in authority", AUTHORITY,
	    TARGET("http://a.example\\@b.example/")),
	REQ("empty authority", AUTHORITY, TARGET("http:///a")),
	REQ("number as host", AUTHORITY, TARGET("http://127.1/")),
	REQ("connect with path", AUTHORITY,
	    "CONNECT a.example:443/x HTTP/1.1\r\n" H "\r\n"),
	REQ("connect without port", AUTHORITY,
	    "CONNECT a.example HTTP/1.1\r\n" H "\r\n"),
	REQ("connect with empty port", AUTHORITY,
	    "CONNECT a.example: HTTP/1.1\r\n" H "\r\n"),
	REQ("connect with port 0", AUTHORITY,
	    "CONNECT a.example:0 HTTP/1.1\r\n" H "\r\n"),
	REQ("connect with port 65979", AUTHORITY,
	    "CONNECT a.example:65979 HTTP/1.1\r\n" H "\r\n"),
	REQ("connect with a URL", AUTHORITY,
	    "CONNECT http://a.example:443 HTTP/1.1\r\n" H "\r\n"),
	/* Host */
	REQ("no Host", HOST_MISSING, "GET / HTTP/1.1\r\n\r\n"),
	REQ("two Hosts", DUPLICATE, GET(H "Host: b.example\r\n")),
	REQ("the same Host twice", DUPLICATE, GET(H H)),
	REQ("two Hosts in 1.0", DUPLICATE, "GET / HTTP/1.0\r\n" H H "\r\n"),
	REQ("other Host than target", HOST_MISMATCH,
	    TARGET("http://b.example/")),
	REQ("other port than target", HOST_MISMATCH,
	    TARGET("http://a.example:81/")),
	REQ("port of the other scheme", HOST_MISMATCH,
	    "GET http://a.example/ HTTP/1.1\r\nHost: a.example:443\r\n\r\n"),
	REQ("other Host than CONNECT", HOST_MISMATCH,
	    "CONNECT b.example:443 HTTP/1.1\r\n" H "\r\n"),
	REQ("empty Host", HOST, HOSTV("")),
	REQ("Host with path", HOST, HOSTV("a.example/x")),
	REQ("Host with userinfo", HOST, HOSTV("x@a.example")),
	REQ("Host list", HOST, HOSTV("a.example, b.example")),
	REQ("Host with two ports", HOST, HOSTV("a.example:80:81")),
	REQ("Host with port +80", HOST, HOSTV("a.example:+80")),
	REQ("Host with port 080", HOST, HOSTV("a.example:080")),
	REQ("Host ends in a dot", HOST, HOSTV("a.example.")),
	REQ("Host with empty label", HOST, HOSTV("a..example")),
	REQ("Host with percent", HOST, HOSTV("a%2eexample")),
	REQ("Host as one number", HOST, HOSTV("2130706433")),
	REQ("Host as hex", HOST, HOSTV("0x7f.0.0.1")),
	REQ("Host as octal", HOST, HOSTV("0177.0.0.1")),
	REQ("IPv6 without brackets", HOST, HOSTV("::1")),
	REQ("IPv6 with zone", HOST, HOSTV("[fe80::1%25eth0]")),
	REQ("IPv6, text behind", HOST, HOSTV("[::1]x")),
	REQ("space before colon of Host", NAME,
	    "GET / HTTP/1.1\r\nHost : a.example\r\n\r\n"),
	/* names */
	REQ("space before colon", NAME, POST("Content-Length : 5\r\n")),
	REQ("tab before colon", NAME, POST("Transfer-Encoding\t: chunked\r\n")),
	REQ("no colon", NO_COLON, GET(H "Content-Length\r\n")),
	REQ("no name", NAME, GET(H ": x\r\n")),
	REQ("name with slash", NAME, GET(H "a/b: x\r\n")),
	REQ("name in UTF-8", NAME, GET(H "\xc3\xa9: x\r\n")),
	REQ("space in name", NAME, GET(H "Transfer Encoding: chunked\r\n")),
	REQ("Content_Length", LOOKALIKE, POST("Content_Length: 5\r\n")),
	REQ("TRANSFER_ENCODING", LOOKALIKE,
	    POST("TRANSFER_ENCODING: chunked\r\n")),
	REQ("Mcp_Session-Id", LOOKALIKE, POST("Mcp_Session-Id: 5\r\n")),
	/* framing */
	REQ("CL and TE", LENGTH_AND_CHUNKED,
	    POST("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")),
	REQ("TE and CL", LENGTH_AND_CHUNKED,
	    POST("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n")),
	REQ("TE identity and CL", LENGTH_AND_CHUNKED,
	    POST("Transfer-Encoding: identity\r\nContent-Length: 5\r\n")),
	REQ("two CL that differ", DUPLICATE,
	    POST("Content-Length: 5\r\nContent-Length: 6\r\n")),
	REQ("two equal CL", DUPLICATE,
	    POST("Content-Length: 5\r\ncontent-length: 5\r\n")),
	REQ("CL list", LENGTH, POST("Content-Length: 5, 5\r\n")),
	REQ("CL +5", LENGTH, POST("Content-Length: +5\r\n")),
	REQ("CL -1", LENGTH, POST("Content-Length: -1\r\n")),
	REQ("CL 0x5", LENGTH, POST("Content-Length: 0x5\r\n")),
	REQ("CL 5_0", LENGTH, POST("Content-Length: 5_0\r\n")),
	REQ("CL 5.0", LENGTH, POST("Content-Length: 5.0\r\n")),
	REQ("CL 5 5", LENGTH, POST("Content-Length: 5 5\r\n")),
	REQ("CL quoted", LENGTH, POST("Content-Length: \"5\"\r\n")),
	REQ("CL empty", LENGTH, POST("Content-Length:\r\n")),
	REQ("CL 2^64 + 3", LENGTH,
	    POST("Content-Length: 18446744073709551619\r\n")),
	REQ("CL of 19 digits", LENGTH,
	    POST("Content-Length: 0000000000000000005\r\n")),
	REQ("CL in fullwidth", LENGTH,
	    POST("Content-Length: \xef\xbc\x95\r\n")),
	REQ("TE gzip, chunked", ENCODING,
	    POST("Transfer-Encoding: gzip, chunked\r\n")),
	REQ("TE chunked, identity", ENCODING,
	    POST("Transfer-Encoding: chunked, identity\r\n")),
	REQ("TE xchunked", ENCODING, POST("Transfer-Encoding: xchunked\r\n")),
	REQ("TE chunked;q=1", ENCODING,
	    POST("Transfer-Encoding: chunked;q=1\r\n")),
	REQ("TE quoted", ENCODING,
	    POST("Transfer-Encoding: \"chunked\"\r\n")),
	REQ("TE ,chunked", ENCODING,
	    POST("Transfer-Encoding: ,chunked\r\n")),
	REQ("TE identity", ENCODING,
	    POST("Transfer-Encoding: identity\r\n")),
	REQ("TE empty", ENCODING, POST("Transfer-Encoding:\r\n")),
	REQ("TE in Unicode", ENCODING,
	    POST("Transfer-Encoding: chun\xe2\x84\xaa" "ed\r\n")),
	REQ("two TE", DUPLICATE, POST("Transfer-Encoding: chunked\r\n"
	    "Transfer-Encoding: chunked\r\n")),
	REQ("TE then TE identity", DUPLICATE,
	    POST("Transfer-Encoding: chunked\r\n"
	    "Transfer-encoding: identity\r\n")),
	REQ("TE in 1.0", ENCODING_OLD, "POST / HTTP/1.0\r\n"
	    H "Transfer-Encoding: chunked\r\n\r\n"),
	REQ("CONNECT with body", BODY, "CONNECT a.example:443 HTTP/1.1\r\n"
	    H "Content-Length: 1\r\n\r\n"),
	REQ("TRACE with body", BODY, "TRACE / HTTP/1.1\r\n"
	    H "Transfer-Encoding: chunked\r\n\r\n"),
	/* fields that gates and servers read in two ways */
	REQ("two Content-Types", DUPLICATE, POST("Content-Type: text/plain\r\n"
	    "Content-Type: application/json\r\n")),
	REQ("two Content-Encodings", DUPLICATE,
	    POST("Content-Encoding: identity\r\nContent-Encoding: gzip\r\n")),
	REQ("two Authorizations", DUPLICATE,
	    POST("Authorization: Bearer a\r\nAuthorization: Bearer b\r\n")),
	REQ("two Mcp-Session-Ids", DUPLICATE,
	    POST("Mcp-Session-Id: a\r\nmcp-session-id: b\r\n")),
	REQ("Expect other", EXPECT, POST("Expect: 200-ok\r\n")),
	REQ("Expect list", EXPECT, POST("Expect: 100-continue, x\r\n")),
	REQ("Expect obfuscated", EXPECT, POST("Expect: y 100-continue\r\n")),
	REQ("two Expects", DUPLICATE,
	    POST("Expect: 100-continue\r\nExpect: 100-continue\r\n")),
	REQ("Connection: Host", NOMINATED, GET(H "Connection: Host\r\n")),
	REQ("another method", METHOD_OVERRIDE,
	    GET(H "X-HTTP-Method-Override: DELETE\r\n")),
	REQ("another method, twice", METHOD_OVERRIDE,
	    GET(H "x-http-method: GET\r\nX-Method-Override: GET\r\n")),
	REQ("another method, nominated", METHOD_OVERRIDE,
	    GET(H "Connection: X-Original-Method\r\n"
	    "X-Original-Method: PUT\r\n")),
	REQ("another target", TARGET_OVERRIDE,
	    GET(H "X-Original-URL: /a\r\n")),
	REQ("another target, IIS", TARGET_OVERRIDE,
	    GET(H "X-Rewrite-URL: /a\r\n")),
	REQ("another target, with underscores", LOOKALIKE,
	    GET(H "X_Original_URI: /a\r\n")),
	REQ("Connection: Content-Length", NOMINATED,
	    POST("Content-Length: 5\r\nConnection: close, content-LENGTH\r\n")),
	REQ("Connection: Transfer-Encoding", NOMINATED,
	    POST("Transfer-Encoding: chunked\r\n"
	    "Connection: transfer-encoding\r\n")),
	REQ("Connection: Authorization", NOMINATED,
	    GET(H "Connection: keep-alive\r\nConnection: Authorization\r\n")),
	REQ("Connection: Cookie", NOMINATED, GET(H "Connection: Cookie\r\n")),
	REQ("Connection: X-Forwarded-For", NOMINATED,
	    GET(H "Connection: X-Forwarded-For\r\n")),
	REQ("Connection: Mcp-Anything", NOMINATED,
	    GET(H "Connection: Mcp-Anything\r\n")),
	REQ("Connection: Content-Security", NOMINATED,
	    GET(H "Connection: Content-Security\r\n")),
	REQ("Connection no tokens", CONNECTION,
	    GET(H "Connection: close;x\r\n")),
	REQ("Connection with 17 options", CONNECTION,
	    GET(H "Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q\r\n")),
	/* responses */
	RSP("200", NONE, GET, R200("Content-Length: 5\r\n")),
	RSP("no reason", NONE, GET, "HTTP/1.1 200 \r\n\r\n"),
	RSP("no space either", NONE, GET, "HTTP/1.1 200\r\n\r\n"),
	RSP("until close", NONE, GET, R200("")),
	RSP("1.0", NONE, GET, "HTTP/1.0 200 OK\r\n\r\n"),
	RSP("204 with length 0", NONE, GET,
	    "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"),
	RSP("304 with length", NONE, GET,
	    "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
	RSP("HEAD with length", NONE, HEAD, R200("Content-Length: 5\r\n")),
	RSP("two Set-Cookies", NONE, GET,
	    R200("Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n")),
	RSP("empty line before", BLANK, GET, "\r\n" R200("")),
	RSP("LF only", LINE_END, GET, "HTTP/1.1 200 OK\n\n"),
	RSP("HTTP/2", STATUS_LINE, GET, "HTTP/2 200\r\n\r\n"),
	RSP("HTTP/2.0", VERSION, GET, "HTTP/2.0 200 OK\r\n\r\n"),
	RSP("ICY", STATUS_LINE, GET, "ICY 200 OK\r\n\r\n"),
	RSP("two digits", STATUS_LINE, GET, "HTTP/1.1 20 OK\r\n\r\n"),
	RSP("four digits", STATUS_LINE, GET, "HTTP/1.1 2000 OK\r\n\r\n"),
	RSP("099", STATUS_LINE, GET, "HTTP/1.1 099 OK\r\n\r\n"),
	RSP("600", STATUS_LINE, GET, "HTTP/1.1 600 OK\r\n\r\n"),
	RSP("+20", STATUS_LINE, GET, "HTTP/1.1 +20 OK\r\n\r\n"),
	RSP("two spaces", STATUS_LINE, GET, "HTTP/1.1  200 OK\r\n\r\n"),
	RSP("CR in reason", CONTROL, GET, "HTTP/1.1 200 O\rK\r\n\r\n"),
	RSP("CL and TE", LENGTH_AND_CHUNKED, GET,
	    R200("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")),
	RSP("two CL", DUPLICATE, GET,
	    R200("Content-Length: 5\r\nContent-Length: 6\r\n")),
	RSP("TE chunked, identity", ENCODING, GET,
	    R200("Transfer-Encoding: chunked, identity\r\n")),
	RSP("TE in 1.0", ENCODING_OLD, GET,
	    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
	RSP("CL : 5", NAME, GET, R200("Content-Length : 5\r\n")),
	RSP("fold", FOLD, GET, R200("X: a\r\n b\r\n")),
	RSP("204 with body", BODY, GET,
	    "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n"),
	RSP("204 chunked", BODY, GET,
	    "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n"),
	RSP("100 with body", BODY, GET,
	    "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n"),
	RSP("101 chunked", BODY, GET, "HTTP/1.1 101 Switching\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n"),
	RSP("two Locations", DUPLICATE, GET,
	    "HTTP/1.1 302 Found\r\nLocation: /a\r\nLocation: /b\r\n\r\n"),
};

static enum http1_result
parse(struct http1_head *h, const struct vector *v, size_t n, size_t *used_r)
{
	struct slice in = slice_sub(v->in, 0, n);

	return v->request ? http1_parse_request(h, in, NULL, used_r) :
	    http1_parse_response(h, in, NULL, v->to, used_r);
}

static void
test_vectors(void **state)
{
	static struct http1_head h;
	unsigned bad = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		const struct vector *v = &vectors[i];
		size_t used = 0;

		http1_head_init(&h);
		enum http1_result r = parse(&h, v, v->in.n, &used);

		bad += v->want != HTTP1_E_NONE;
		if (h.error != v->want ||
		    (r == HTTP1_DONE) != (v->want == HTTP1_E_NONE) ||
		    (r == HTTP1_DONE && used != v->in.n) ||
		    h.error_at > v->in.n)
			fail_msg("%s: %d %s at %zu, wanted %s", v->name, r,
			    http1_error_word(h.error), h.error_at,
			    http1_error_word(v->want));
	}
	print_message("%zu vectors, %u to refuse\n", ARRAY_LEN(vectors), bad);
	assert_true(bad >= 70);
}

/* Byte after byte, each time at another address: the verdict is the same. */
static void
test_vectors_drip(void **state)
{
	static struct http1_head h;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		const struct vector *v = &vectors[i];
		enum http1_result r = HTTP1_MORE;
		char *copy = NULL;
		size_t used = 0;

		http1_head_init(&h);
		for (size_t n = 0; n <= v->in.n && r == HTTP1_MORE; n++) {
			struct vector part = *v;

			free(copy);
			copy = slice_dup(slice_sub(v->in, 0, n));
			part.in = slice_make(copy, n);
			r = parse(&h, &part, n, &used);
		}
		if ((r == HTTP1_DONE) != (v->want == HTTP1_E_NONE) ||
		    r == HTTP1_MORE)
			fail_msg("%s dripped: %d %s", v->name, r,
			    http1_error_word(h.error));
		if (r == HTTP1_DONE)
			assert_int_equal(used, v->in.n);
		free(copy);
	}
}

static enum http1_result
request(struct http1_head *h, const char *s, size_t *used_r)
{
	http1_head_init(h);
	return http1_parse_request(h, slice_str(s), NULL, used_r);
}

static enum http1_result
response(struct http1_head *h, const char *s, enum http1_method to)
{
	size_t used;

	http1_head_init(h);
	return http1_parse_response(h, slice_str(s), NULL, to, &used);
}

#define assert_slice(s, text) assert_true(slice_is(s, text))

static void
test_request_structure(void **state)
{
	static struct http1_head h;
	size_t used = 0;

	(void)state;
	assert_int_equal(request(&h, "POST /a/b;c?d=e&f HTTP/1.1\r\n"
	    "HOST: Api.Example:8443\r\nContent-Length: 012\r\n"
	    "Connection: Upgrade, X-One,\r\nX-One: 1\r\nTE: trailers\r\n"
	    "Proxy-Authorization: Basic eA==\r\nUpgrade: WebSocket\r\n"
	    "Expect: 100-continue\r\nX-Two:  v w \r\nx-two: z\r\n\r\nBODY",
	    &used), HTTP1_DONE);
	assert_slice(h.method, "POST");
	assert_int_equal(h.method_id, HTTP1_M_POST);
	assert_int_equal(h.form, HTTP1_ORIGIN);
	assert_slice(h.target, "/a/b;c?d=e&f");
	assert_slice(h.path, "/a/b;c");
	assert_slice(h.query, "d=e&f");
	assert_true(h.has_authority);
	assert_string_equal(h.authority.host, "api.example");
	assert_int_equal(h.authority.port, 8443);
	assert_int_equal(h.framing, HTTP1_BODY_LENGTH);
	assert_int_equal(h.length, 12);
	assert_true(h.keep_alive && h.expect_continue && h.minor == 1);
	assert_int_equal(h.upgrade, HTTP1_UPGRADE_WEBSOCKET);
	assert_int_equal(h.field_n, 10);
	assert_slice(http1_field(&h, "X-TWO"), "v w");
	assert_slice(http1_field(&h, "proxy-authorization"), "Basic eA==");
	assert_null(http1_field(&h, "x-three").p);
	assert_null(http1_field(&h, "cookie").p);
	assert_int_equal(http1_field_count(&h, "x-two"), 2);
	for (unsigned i = 0; i < h.field_n; i++) {
		struct slice n = h.fields[i].name;
		bool kept = slice_is_nocase(n, "x-two");

		assert_int_equal(http1_field_kept(&h.fields[i]), kept);
	}
	assert_true(slice_starts(slice_make(h.fields[9].value.p + 1, 8),
	    "\r\n\r\nBODY"));
	assert_int_equal(request(&h, "OPTIONS http://a.example HTTP/1.1\r\n"
	    H "\r\n", &used), HTTP1_DONE);
	assert_slice(h.path, "*");
	assert_int_equal(request(&h, "GET http://a.example?q HTTP/1.0\r\n"
	    "Connection: keep-alive\r\n\r\n", &used), HTTP1_DONE);
	assert_slice(h.path, "/");
	assert_slice(h.query, "q");
	assert_int_equal(h.scheme, HTTP1_HTTP);
	assert_true(h.keep_alive);
	assert_int_equal(h.framing, HTTP1_BODY_NONE);
	assert_int_equal(request(&h, "CONNECT [::0001]:443 HTTP/1.1\r\n"
	    "Host: [0:0::1]:443\r\nConnection: close\r\n\r\n", &used),
	    HTTP1_DONE);
	assert_int_equal(h.form, HTTP1_AUTHORITY);
	assert_string_equal(h.authority.host, "::1");
	assert_int_equal(h.authority.kind, HTTP1_HOST_V6);
	assert_false(h.keep_alive);
	assert_int_equal(h.path.n, 0);
	assert_int_equal(request(&h, "GET / HTTP/1.0\r\n\r\n", &used),
	    HTTP1_DONE);
	assert_false(h.keep_alive || h.has_authority);
	/* an upgrade that Connection does not nominate, or of HTTP/2 */
	assert_int_equal(request(&h, GET(H "Upgrade: websocket\r\n"), &used),
	    HTTP1_DONE);
	assert_int_equal(h.upgrade, HTTP1_UPGRADE_OTHER);
	assert_int_equal(request(&h, GET(H "Upgrade: h2c\r\n"
	    "Connection: upgrade, http2-settings\r\nHTTP2-Settings: AA\r\n"),
	    &used), HTTP1_DONE);
	assert_int_equal(h.upgrade, HTTP1_UPGRADE_OTHER);
	assert_true(h.fields[3].hop);
}

static void
test_response_structure(void **state)
{
	static const struct {
		const char *in;
		enum http1_method to;
		enum http1_framing framing;
		bool keep_alive;
	} t[] = {
		{ R200("Content-Length: 5\r\n"), HTTP1_M_GET,
		    HTTP1_BODY_LENGTH, true },
		{ R200("Content-Length: 5\r\nConnection: close\r\n"),
		    HTTP1_M_GET, HTTP1_BODY_LENGTH, false },
		{ R200("Transfer-Encoding: chunked\r\n"), HTTP1_M_POST,
		    HTTP1_BODY_CHUNKED, true },
		{ R200("Transfer-Encoding: chunked\r\n"), HTTP1_M_HEAD,
		    HTTP1_BODY_NONE, true },
		{ R200(""), HTTP1_M_GET, HTTP1_BODY_CLOSE, false },
		{ R200(""), HTTP1_M_HEAD, HTTP1_BODY_NONE, true },
		{ R200("Content-Length: 9\r\n"), HTTP1_M_CONNECT,
		    HTTP1_BODY_NONE, true },
		{ "HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\n",
		    HTTP1_M_CONNECT, HTTP1_BODY_LENGTH, true },
		{ "HTTP/1.1 304 Not Modified\r\n\r\n", HTTP1_M_GET,
		    HTTP1_BODY_NONE, true },
		{ "HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\n",
		    HTTP1_M_GET, HTTP1_BODY_LENGTH, false },
		{ "HTTP/1.0 200 OK\r\nContent-Length: 9\r\n"
		    "Connection: Keep-Alive\r\n\r\n",
		    HTTP1_M_GET, HTTP1_BODY_LENGTH, true },
	};
	static struct http1_head h;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		assert_int_equal(response(&h, t[i].in, t[i].to), HTTP1_DONE);
		assert_int_equal(h.framing, t[i].framing);
		assert_int_equal(h.keep_alive, t[i].keep_alive);
	}
	assert_int_equal(response(&h, "HTTP/1.1 103 Early Hints\r\n\r\n",
	    HTTP1_M_GET), HTTP1_DONE);
	assert_true(h.interim && !h.switching && h.status == 103);
	assert_slice(h.reason, "Early Hints");
	assert_int_equal(response(&h, "HTTP/1.1 101 Switching Protocols\r\n"
	    "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", HTTP1_M_GET),
	    HTTP1_DONE);
	assert_true(!h.interim && h.switching);
	assert_int_equal(h.upgrade, HTTP1_UPGRADE_WEBSOCKET);
}

/* Repeats `unit` n times between two texts. */
static char *
repeated(const char *head, const char *unit, size_t n, const char *tail)
{
	size_t u = strlen(unit), a = strlen(head);
	char *s = base_calloc(1, a + u * n + strlen(tail) + 1);

	memcpy(s, head, a);
	for (size_t i = 0; i < n; i++)
		memcpy(s + a + i * u, unit, u);
	memcpy(s + a + u * n, tail, strlen(tail));
	return s;
}

static void
test_limits(void **state)
{
	static const struct {
		const char *head, *unit, *tail;
		size_t n;
		enum http1_error want;
	} t[] = {
		{ "GET /", "a", " HTTP/1.1\r\n" H "\r\n", 16383,
		    HTTP1_E_NONE },
		{ "GET /", "a", " HTTP/1.1\r\n" H "\r\n", 16384,
		    HTTP1_E_TARGET_LONG },
		{ "GET /", "a", "", 17000, HTTP1_E_TARGET_LONG },
		{ "GET / HTTP/1.1\r\n" H, "X: y\r\n", "\r\n", 99,
		    HTTP1_E_NONE },
		{ "GET / HTTP/1.1\r\n" H, "X: y\r\n", "\r\n", 100,
		    HTTP1_E_FIELDS_MANY },
		{ "GET / HTTP/1.1\r\n" H, "X: y\r\n", "", 500,
		    HTTP1_E_FIELDS_MANY },
		{ "GET / HTTP/1.1\r\n" H, "x", ": y\r\n\r\n", 256,
		    HTTP1_E_NONE },
		{ "GET / HTTP/1.1\r\n" H, "x", ": y\r\n\r\n", 257,
		    HTTP1_E_NAME_LONG },
		{ "GET / HTTP/1.1\r\n" H "X:", "x", "\r\n\r\n", 65498,
		    HTTP1_E_HEAD_LONG },
		{ "GET / HTTP/1.1\r\n" H "X:", "x", "\r\n\r\n", 65497,
		    HTTP1_E_NONE },
		{ "GET / HTTP/1.1\r\n" H "X:", "x", "", 70000,
		    HTTP1_E_HEAD_LONG },
		{ "", "A", "", 33, HTTP1_E_METHOD_UNKNOWN },
		{ "", "a", "", 1, HTTP1_E_METHOD_UNKNOWN },
		{ "GET / HTTP/3.0\r\n", "", "", 0, HTTP1_E_VERSION },
	};
	static struct http1_head h;
	size_t used;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		char *s = repeated(t[i].head, t[i].unit, t[i].n, t[i].tail);
		enum http1_result r = request(&h, s, &used);

		if (h.error != t[i].want ||
		    (r == HTTP1_DONE) != (t[i].want == HTTP1_E_NONE))
			fail_msg("limit %zu: %s", i,
			    http1_error_word(h.error));
		free(s);
	}
	/* exactly the limit passes, one byte more does not */
	struct http1_limits lim = http1_limits_default;
	const char *s = GET(H);

	lim.head = strlen(s);
	http1_head_init(&h);
	assert_int_equal(http1_parse_request(&h, slice_str(s), &lim, &used),
	    HTTP1_DONE);
	lim.head--;
	http1_head_init(&h);
	assert_int_equal(http1_parse_request(&h, slice_str(s), &lim, &used),
	    HTTP1_ERROR);
	assert_int_equal(h.error, HTTP1_E_HEAD_LONG);
}

/* A head of 60 KiB that comes byte by byte must not cost n^2. */
static void
test_drip_is_linear(void **state)
{
	static struct http1_head h;
	char *s = repeated("GET / HTTP/1.1\r\n" H "X:", "x", 60000,
	    "\r\n\r\n");
	size_t n = strlen(s), used;
	uint64_t t0 = clock_mono_ns();

	(void)state;
	http1_head_init(&h);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(http1_parse_request(&h, slice_make(s, i),
		    NULL, &used), HTTP1_MORE);
	assert_int_equal(http1_parse_request(&h, slice_make(s, n), NULL,
	    &used), HTTP1_DONE);
	print_message("60 KB head in 60,000 pieces: %llu us\n",
	    (unsigned long long)((clock_mono_ns() - t0) / 1000));
	free(s);
}

static void
test_known(void **state)
{
	(void)state;
	for (unsigned k = 1; k < HTTP1_F_COUNT; k++) {
		const char *name = http1_known_name((enum http1_known)k);
		char upper[32];

		assert_non_null(name);
		assert_int_equal(http1_known_of(slice_str(name)), k);
		for (size_t i = 0; i <= strlen(name); i++)
			upper[i] = name[i] >= 'a' && name[i] <= 'z' ?
			    (char)(name[i] - 32) : name[i];
		assert_int_equal(http1_known_of(slice_str(upper)), k);
		upper[1] ^= 1;
		assert_int_equal(http1_known_of(slice_str(upper)), 0);
	}
	assert_int_equal(http1_known_of(SLICE("content\rlength")), 0);
	for (unsigned e = 1; e < HTTP1_E_COUNT; e++) {
		assert_true(http1_error_status((enum http1_error)e) >= 400);
		assert_true(strlen(http1_error_text((enum http1_error)e)) > 9);
		assert_string_not_equal(http1_status_text(
		    http1_error_status((enum http1_error)e)), "Status");
	}
}

static void
test_authority(void **state)
{
	static const struct {
		const char *in, *host;	/* NULL: refused */
		unsigned port;
		enum http1_host_kind kind;
	} t[] = {
		{ "a", "a", 0, HTTP1_HOST_NAME },
		{ "A-b.C_d.e1:65535", "a-b.c_d.e1", 65535, HTTP1_HOST_NAME },
		{ "xn--bcher-kva.example", "xn--bcher-kva.example", 0,
		    HTTP1_HOST_NAME },
		{ "1a.2b", "1a.2b", 0, HTTP1_HOST_NAME },
		{ "10.0.0.255", "10.0.0.255", 0, HTTP1_HOST_V4 },
		{ "[::FFFF:10.0.0.1]:9", "::ffff:10.0.0.1", 9, HTTP1_HOST_V6 },
		{ "[2001:db8:0:0:0:0:0:1]", "2001:db8::1", 0, HTTP1_HOST_V6 },
		{ "", NULL, 0, 0 }, { ":80", NULL, 0, 0 },
		{ "a:", NULL, 0, 0 }, { "a:0", NULL, 0, 0 },
		{ "a:00080", NULL, 0, 0 }, { "a:65536", NULL, 0, 0 },
		{ "a:8o", NULL, 0, 0 }, { "-a", NULL, 0, 0 },
		{ "a-", NULL, 0, 0 }, { ".a", NULL, 0, 0 },
		{ "a.", NULL, 0, 0 }, { "a b", NULL, 0, 0 },
		{ "a\tb", NULL, 0, 0 }, { "256.0.0.1", NULL, 0, 0 },
		{ "1.2.3", NULL, 0, 0 }, { "1.2.3.4.5", NULL, 0, 0 },
		{ "01.2.3.4", NULL, 0, 0 }, { "a.0x1f", NULL, 0, 0 },
		{ "a.1", NULL, 0, 0 }, { "[]", NULL, 0, 0 },
		{ "[::1", NULL, 0, 0 }, { "::1]", NULL, 0, 0 },
		{ "[::1]80", NULL, 0, 0 }, { "[v1.a]", NULL, 0, 0 },
		{ "[1.2.3.4]", NULL, 0, 0 }, { "[::1%1]", NULL, 0, 0 },
		{ "\xc3\xa9.example", NULL, 0, 0 },
	};
	struct http1_authority a, b;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		bool ok = http1_authority_parse(slice_str(t[i].in), &a);

		if (ok != (t[i].host != NULL))
			fail_msg("\"%s\": %d", t[i].in, ok);
		if (!ok)
			continue;
		assert_string_equal(a.host, t[i].host);
		assert_int_equal(a.host_n, strlen(a.host));
		assert_int_equal(a.port, t[i].port);
		assert_int_equal(a.kind, t[i].kind);

		struct buf out;

		buf_init(&out, 1000);
		assert_int_equal(http1_authority_write(&out, &a), 0);
		assert_true(http1_authority_parse(buf_slice(&out), &b));
		assert_true(http1_authority_equal(&a, &b, 1));
		buf_free(&out);
	}
	/* labels of 63, names of 253 */
	char *s = repeated("", "a", 63, ".b");

	assert_true(http1_authority_parse(slice_str(s), &a));
	free(s);
	s = repeated("", "a", 64, ".b");
	assert_false(http1_authority_parse(slice_str(s), &a));
	free(s);
	s = repeated("", "a.", 126, "b");
	assert_true(http1_authority_parse(slice_str(s), &a));
	free(s);
	s = repeated("", "a.", 126, "bc");
	assert_false(http1_authority_parse(slice_str(s), &a));
	free(s);
	assert_true(http1_authority_parse(SLICE("a:443"), &a) &&
	    http1_authority_parse(SLICE("a"), &b));
	assert_true(http1_authority_equal(&a, &b, 443));
	assert_false(http1_authority_equal(&a, &b, 80));
}

static void
test_path(void **state)
{
	static const char *const good[] = { "/", "/a", "/a/", "/a.b/..c/d..",
		"/...", "/a%20b", "/%41", "/a%2Db", "/%C3%A9", "/a%25b",
		"/a;v=1/b", "/~x/@y:z", "/%e2%82%ac" };
	static const char *const bad[] = { "", "a", "*", "//", "//a", "/a//b",
		"/a//", "/.", "/..", "/../a", "/a/./b", "/a/..", "/a/../",
		"/%2e", "/%2E%2e/a", "/.%2e", "/a/%2e./b", "/..;/a",
		"/..;x=1", "/%2e%2e;a", "/..%3b/a", "/a%2fb", "/a%2Fb", "/a%5cb", "/a%5C",
		"/a\\b", "/%00", "/a%0d%0a", "/%7f", "/%", "/%2", "/%zz",
		"/a%2g", "/%252e%252e/", "/%252f", "/%255c", "/%2500",
		"/a%2541", "/a%252d", "/%257E",
		"/%c0%ae", "/%f8", "/a b", "/\xc3\xa9", "/a\tb" };
	const char *why;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		if (!http1_path_normal(slice_str(good[i]), &why))
			fail_msg("%s: %s", good[i], why);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		why = NULL;
		if (http1_path_normal(slice_str(bad[i]), &why))
			fail_msg("%s passed", bad[i]);
		assert_non_null(why);
		assert_false(http1_path_normal(slice_str(bad[i]), NULL));
	}
}

static void
test_path_plain(void **state)
{
	static const char *const cases[][2] = { { "/a", "/a" },
		{ "/%41%7a%30", "/Az0" }, { "/%2D%5f%7E", "/-_~" },
		{ "/a%20b", "/a%20b" }, { "/%C3%A9", "/%C3%A9" },
		{ "/a%25b", "/a%25b" }, { "/%3B", "/%3B" } };
	char out[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t n = http1_path_plain(slice_str(cases[i][0]), out);

		assert_true(slice_is(slice_make(out, n), cases[i][1]));
	}
}

/* ------------------------------------------------------------- bodies */

struct outcome {
	enum http1_result r;
	enum http1_error error;
	size_t data_n, taken;
	uint32_t trailers;
	char data[64];
};

/* Feeds `in` cut at the given places. */
static struct outcome
body_run(enum http1_framing f, uint64_t len, struct slice in, size_t cut1,
    size_t cut2)
{
	size_t cut[] = { 0, cut1, cut2, in.n };
	struct outcome o = { .r = HTTP1_MORE };
	struct http1_body b;

	http1_body_init(&b, f, len);
	for (size_t i = 0; i < 3 && o.r == HTTP1_MORE; i++) {
		struct slice part = slice_sub(in, cut[i], cut[i + 1] - cut[i]);
		struct slice d;

		while ((o.r = http1_body_next(&b, &part, &d)) == HTTP1_DATA) {
			assert_true(d.n > 0 && o.data_n + d.n <= 64);
			memcpy(o.data + o.data_n, d.p, d.n);
			o.data_n += d.n;
		}
		o.taken = cut[i + 1] - part.n;
	}
	if (o.r != HTTP1_ERROR)
		assert_int_equal(b.total, o.data_n);
	o.error = b.error;
	o.trailers = b.trailers;
	return o;
}

#define CH(name, r, e, data, left, in) { name, SLICE(in), HTTP1_##r, \
	HTTP1_E_##e, data, left }

static const struct chunked {
	const char *name;
	struct slice in;
	enum http1_result r;
	enum http1_error error;
	const char *data;
	size_t left;	/* of the input, behind the body */
} chunked[] = {
	CH("one", DONE, NONE, "hello", 0, "5\r\nhello\r\n0\r\n\r\n"),
	CH("two", DONE, NONE, "hello world", 0,
	    "5\r\nhello\r\n06\r\n world\r\n000\r\n\r\n"),
	CH("hex", DONE, NONE, "0123456789", 0, "A\r\n0123456789\r\n0\r\n\r\n"),
	CH("empty", DONE, NONE, "", 0, "0\r\n\r\n"),
	CH("next message", DONE, NONE, "a", 14,
	    "1\r\na\r\n0\r\n\r\nGET / HTTP/1.1"),
	CH("extension", DONE, NONE, "a", 0,
	    "1;x=\"y z\";q\r\na\r\n0;last\r\n\r\n"),
	CH("trailers", DONE, NONE, "a", 0,
	    "1\r\na\r\n0\r\nX-Sum: 1\r\nEtag:\r\n\r\n"),
	CH("CRs in data", DONE, NONE, "\r\n0\r\n", 0,
	    "5\r\n\r\n0\r\n\r\n0\r\n\r\n"),
	CH("cut in data", MORE, NONE, "hel", 0, "5\r\nhel"),
	CH("cut before the end", MORE, NONE, "a", 0, "1\r\na\r\n0\r\n"),
	CH("16 digits", DONE, NONE, "a", 0,
	    "0000000000000001\r\na\r\n0\r\n\r\n"),
	CH("17 digits", ERROR, CHUNK_SIZE, "", 0,
	    "00000000000000001\r\na\r\n0\r\n\r\n"),
	CH("2^63", ERROR, CHUNK_SIZE, "", 0, "8000000000000000\r\na"),
	CH("2^64 - 1", ERROR, CHUNK_SIZE, "", 0, "ffffffffffffffff\r\na"),
	CH("sum over 2^63", ERROR, CHUNK_SIZE, "a", 0,
	    "1\r\na\r\n7fffffffffffffff\r\nb"),
	CH("no size", ERROR, CHUNK_SIZE, "", 0, "\r\nhello\r\n0\r\n\r\n"),
	CH("only an extension", ERROR, CHUNK_SIZE, "", 0, ";x\r\n\r\n"),
	CH("0x5", ERROR, CHUNK_SIZE, "", 0, "0x5\r\nhello\r\n0\r\n\r\n"),
	CH("+5", ERROR, CHUNK_SIZE, "", 0, "+5\r\nhello\r\n0\r\n\r\n"),
	CH("-5", ERROR, CHUNK_SIZE, "", 0, "-5\r\nhello\r\n0\r\n\r\n"),
	CH("5_0", ERROR, CHUNK_SIZE, "", 0, "5_0\r\nhello\r\n0\r\n\r\n"),
	CH("space before", ERROR, CHUNK_SIZE, "", 0, " 5\r\nhello\r\n"),
	CH("space behind", ERROR, CHUNK_SIZE, "", 0, "5 \r\nhello\r\n"),
	CH("tab behind", ERROR, CHUNK_SIZE, "", 0, "5\t\r\nhello\r\n"),
	CH("5g", ERROR, CHUNK_SIZE, "", 0, "5g\r\nhello\r\n"),
	CH("LF behind size", ERROR, CHUNK_SIZE, "", 0,
	    "5\nhello\r\n0\r\n\r\n"),
	CH("CR behind size", ERROR, CHUNK_SIZE, "", 0, "5\rhello\r\n"),
	CH("LF in extension", ERROR, CHUNK_EXT, "", 0,
	    "5;x\nhello\r\n0\r\n\r\n"),
	CH("CR in extension", ERROR, CHUNK_SIZE, "", 0,
	    "5;x\ry\r\nhello\r\n0\r\n\r\n"),
	CH("NUL in extension", ERROR, CHUNK_EXT, "", 0, "5;\0\r\nhello\r\n"),
	CH("empty extension", ERROR, CHUNK_EXT, "", 0, "5;\r\nhello\r\n"),
	CH("no CRLF behind data", ERROR, CHUNK_END, "hello", 0,
	    "5\r\nhello0\r\n\r\n"),
	CH("LF behind data", ERROR, CHUNK_END, "hello", 0,
	    "5\r\nhello\n0\r\n\r\n"),
	CH("too much data", ERROR, CHUNK_END, "hel", 0,
	    "3\r\nhello\r\n0\r\n\r\n"),
	CH("CR and no LF behind data", ERROR, CHUNK_END, "a", 0,
	    "1\r\na\rX0\r\n\r\n"),
	CH("LF at the end", ERROR, TRAILER, "", 0, "0\r\n\n"),
	CH("text behind the end", ERROR, TRAILER, "", 0,
	    "0\r\nGET / HTTP/1.1\r\n\r\n"),
	CH("CR behind the end", ERROR, TRAILER, "", 0, "0\r\n\rX"),
	CH("trailer with length", ERROR, TRAILER, "", 0,
	    "0\r\nContent-Length: 5\r\n\r\n"),
	CH("trailer with encoding", ERROR, TRAILER, "", 0,
	    "0\r\ntransfer-encoding: chunked\r\n\r\n"),
	CH("trailer with host", ERROR, TRAILER, "", 0,
	    "0\r\nHost: b.example\r\n\r\n"),
	CH("trailer with credentials", ERROR, TRAILER, "", 0,
	    "0\r\nAuthorization: x\r\n\r\n"),
	CH("trailer with a twin", ERROR, TRAILER, "", 0,
	    "0\r\nContent_Length: 5\r\n\r\n"),
	CH("trailer folded", ERROR, TRAILER, "", 0, "0\r\nX: a\r\n b\r\n\r\n"),
	CH("trailer without name", ERROR, TRAILER, "", 0, "0\r\n: a\r\n\r\n"),
	CH("trailer, space before colon", ERROR, TRAILER, "", 0,
	    "0\r\nX : a\r\n\r\n"),
	CH("trailer with NUL", ERROR, TRAILER, "", 0, "0\r\nX: \0\r\n\r\n"),
	CH("trailer with LF", ERROR, TRAILER, "", 0, "0\r\nX: a\nY: b\r\n\r\n"),
};

/* Each vector, whole and cut at every two places, gives the same. */
static void
test_chunked_splits(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(chunked); i++) {
		const struct chunked *c = &chunked[i];

		for (size_t x = 0; x <= c->in.n; x++) {
			for (size_t y = x; y <= c->in.n; y++) {
				struct outcome o = body_run(HTTP1_BODY_CHUNKED,
				    0, c->in, x, y);

				if (o.r != c->r || o.error != c->error ||
				    !slice_is(slice_make(o.data, o.data_n),
				    c->data) || (o.r == HTTP1_DONE &&
				    c->in.n - o.taken < c->left))
					fail_msg("%s at %zu, %zu: %d %s",
					    c->name, x, y, o.r,
					    http1_error_word(o.error));
			}
		}
		struct outcome o = body_run(HTTP1_BODY_CHUNKED, 0, c->in,
		    c->in.n, c->in.n);

		if (o.r == HTTP1_DONE)
			assert_int_equal(c->in.n - o.taken, c->left);
	}
}

static void
test_body_ends(void **state)
{
	struct slice in = SLICE("hello"), d;
	struct http1_body b;

	(void)state;
	struct outcome o = body_run(HTTP1_BODY_LENGTH, 3, in, 1, 2);

	assert_int_equal(o.r, HTTP1_DONE);
	assert_int_equal(o.data_n, 3);
	o = body_run(HTTP1_BODY_LENGTH, 5, in, 5, 5);
	assert_true(o.r == HTTP1_DONE && o.taken == 5);
	o = body_run(HTTP1_BODY_LENGTH, 6, in, 2, 4);
	assert_true(o.r == HTTP1_MORE && o.data_n == 5);
	o = body_run(HTTP1_BODY_NONE, 0, in, 5, 5);
	assert_true(o.r == HTTP1_DONE && o.taken == 0);
	o = body_run(HTTP1_BODY_CLOSE, 0, in, 2, 3);
	assert_true(o.r == HTTP1_MORE && o.data_n == 5);

	http1_body_init(&b, HTTP1_BODY_CLOSE, 0);
	assert_int_equal(http1_body_next(&b, &in, &d), HTTP1_DATA);
	assert_false(http1_body_done(&b));
	assert_int_equal(http1_body_eof(&b, true), HTTP1_DONE);
	assert_true(http1_body_done(&b));
	http1_body_init(&b, HTTP1_BODY_CLOSE, 0);
	assert_int_equal(http1_body_eof(&b, false), HTTP1_ERROR);
	assert_int_equal(b.error, HTTP1_E_TRUNCATED);
	in = SLICE("1\r\na\r\n0\r\n");
	http1_body_init(&b, HTTP1_BODY_CHUNKED, 0);
	assert_int_equal(http1_body_next(&b, &in, &d), HTTP1_DATA);
	assert_int_equal(http1_body_next(&b, &in, &d), HTTP1_MORE);
	assert_int_equal(http1_body_eof(&b, true), HTTP1_ERROR);
	assert_int_equal(http1_body_next(&b, &in, &d), HTTP1_ERROR);
	http1_body_init(&b, HTTP1_BODY_LENGTH, 1);
	assert_int_equal(http1_body_eof(&b, true), HTTP1_ERROR);
	http1_body_init(&b, HTTP1_BODY_LENGTH, 0);
	assert_int_equal(http1_body_eof(&b, false), HTTP1_DONE);
}

static void
test_body_limits(void **state)
{
	static const struct {
		const char *head, *unit, *tail;
		size_t n;
		enum http1_error want;
	} t[] = {
		{ "1;", "x", "\r\na\r\n0\r\n\r\n", 256, HTTP1_E_NONE },
		{ "1;", "x", "\r\na\r\n0\r\n\r\n", 257, HTTP1_E_CHUNK_EXT },
		{ "0\r\n", "x: y\r\n", "\r\n", 32, HTTP1_E_NONE },
		{ "0\r\n", "x: y\r\n", "\r\n", 33, HTTP1_E_TRAILER },
		{ "0\r\nx:", "y", "\r\n\r\n", 8100, HTTP1_E_NONE },
		{ "0\r\nx:", "y", "\r\n\r\n", 8200, HTTP1_E_TRAILER },
		{ "0\r\n", "y", ":\r\n\r\n", 8200, HTTP1_E_TRAILER },
		{ "", "1;xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\na\r\n",
		    "0\r\n\r\n", 10000, HTTP1_E_CHUNK_EXT },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		char *s = repeated(t[i].head, t[i].unit, t[i].n, t[i].tail);
		struct slice in = slice_str(s), d;
		struct http1_body b;
		enum http1_result r;

		http1_body_init(&b, HTTP1_BODY_CHUNKED, 0);
		while ((r = http1_body_next(&b, &in, &d)) == HTTP1_DATA)
			;
		if (b.error != t[i].want)
			fail_msg("%zu: %s", i, http1_error_word(b.error));
		assert_int_equal(r == HTTP1_DONE, t[i].want == HTTP1_E_NONE);
		free(s);
	}
}

/* ------------------------------------------------------------ writers */

static void
test_round_trip(void **state)
{
	static struct http1_head a, b;
	struct buf out;
	size_t used = 0;

	(void)state;
	buf_init(&out, 4096);
	assert_int_equal(request(&a, "PUT /x?y HTTP/1.1\r\nhost: [::1]:81\r\n"
	    "Connection: x-hop\r\nX-Hop: 1\r\nAccept: a/b\r\nX-Empty:\r\n"
	    "Content-Length: 0007\r\n\r\n", &used), HTTP1_DONE);
	assert_int_equal(http1_write_request(&out, a.method, a.path, a.query) |
	    http1_write_host(&out, &a.authority) | http1_write_kept(&out, &a) |
	    http1_write_framing(&out, a.framing, a.length) |
	    http1_write_end(&out), 0);
	assert_slice(buf_slice(&out), "PUT /x?y HTTP/1.1\r\n"
	    "Host: [::1]:81\r\nAccept: a/b\r\nX-Empty: \r\n"
	    "Content-Length: 7\r\n\r\n");
	http1_head_init(&b);
	assert_int_equal(http1_parse_request(&b, buf_slice(&out), NULL,
	    &used), HTTP1_DONE);
	assert_true(slice_eq(a.path, b.path) && slice_eq(a.query, b.query));
	assert_true(http1_authority_equal(&a.authority, &b.authority, 80));
	buf_reset(&out);
	assert_int_equal(http1_write_response(&out, 404, slice_make(NULL, 0)) |
	    http1_write_field(&out, SLICE("Retry-After"), SLICE(" 5 ")) |
	    http1_write_framing(&out, HTTP1_BODY_CHUNKED, 0) |
	    http1_write_end(&out) | http1_write_chunk(&out, SLICE("hello")) |
	    http1_write_chunk(&out, SLICE("")) |
	    http1_write_chunk_head(&out, 10) |
	    buf_add_str(&out, "0123456789") | http1_write_chunk_tail(&out) |
	    http1_write_chunk_end(&out), 0);
	assert_slice(buf_slice(&out), "HTTP/1.1 404 Not Found\r\n"
	    "Retry-After: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "5\r\nhello\r\na\r\n0123456789\r\n0\r\n\r\n");
	buf_free(&out);
}

static void
test_writers_refuse(void **state)
{
	static const struct slice bad[] = { SLICE("a\rb"), SLICE("a\nb"),
		SLICE("a\r\nX: y"), SLICE("a\0b"), SLICE("\x7f"),
		SLICE("abcdefghijklm\x01") };
	struct slice none = { NULL, 0 };
	struct buf out;

	(void)state;
	buf_init(&out, 30);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(http1_write_field(&out, SLICE("a"), bad[i]),
		    -1);
		assert_int_equal(http1_write_field(&out, bad[i], SLICE("a")),
		    -1);
		assert_int_equal(http1_write_request(&out, bad[i], SLICE("/"),
		    none), -1);
		assert_int_equal(http1_write_request(&out, SLICE("GET"),
		    bad[i], none), -1);
		assert_int_equal(http1_write_request(&out, SLICE("GET"),
		    SLICE("/"), bad[i]), -1);
		assert_int_equal(http1_write_response(&out, 200, bad[i]), -1);
	}
	assert_int_equal(http1_write_request(&out, SLICE("GET"), SLICE("/ a"),
	    none), -1);
	assert_int_equal(http1_write_request(&out, SLICE("GET"), SLICE("/a?b"),
	    none), -1);
	assert_int_equal(http1_write_field(&out, SLICE("a b"), SLICE("c")), -1);
	assert_int_equal(http1_write_field(&out, SLICE(""), SLICE("c")), -1);
	assert_int_equal(http1_write_response(&out, 99, none), -1);
	assert_int_equal(out.len, 0);
	assert_false(out.full);
	/* all or nothing */
	assert_int_equal(http1_write_field(&out, SLICE("abcdefghijklm"),
	    SLICE("abcdefghijklmn")), -1);
	assert_int_equal(out.len, 0);
	assert_int_equal(http1_write_error(&out, 403, "policy", "No.", NULL,
	    true), -1);
	assert_int_equal(out.len, 0);
	buf_free(&out);
}

static void
test_answer(void **state)
{
	static struct http1_head h;
	struct http1_answer a = { .status = 429, .word = "rate",
		.text = "a \"b\"\r\n", .event = "01890000",
		.field = "Retry-After", .value = "7" };
	struct buf out;
	size_t used = 0;

	(void)state;
	buf_init(&out, 4096);
	assert_int_equal(http1_write_answer(&out, &a), 0);
	http1_head_init(&h);
	assert_int_equal(http1_parse_response(&h, buf_slice(&out), NULL,
	    HTTP1_M_GET, &used), HTTP1_DONE);
	assert_int_equal(h.status, 429);
	assert_true(h.keep_alive);
	assert_slice(http1_field(&h, "retry-after"), "7");
	assert_slice(http1_field(&h, "content-type"), "application/json");
	assert_int_equal(used + h.length, out.len);
	assert_slice(slice_sub(buf_slice(&out), used, SIZE_MAX),
	    "{\"error\":{\"reason\":\"rate\",\"message\":\"a \\\"b\\\"\\r\\n\","
	    "\"event\":\"01890000\"}}\n");
	buf_reset(&out);
	a.head = a.close = true;
	assert_int_equal(http1_write_answer(&out, &a), 0);
	http1_head_init(&h);
	assert_int_equal(http1_parse_response(&h, buf_slice(&out), NULL,
	    HTTP1_M_HEAD, &used), HTTP1_DONE);
	assert_false(h.keep_alive);
	assert_int_equal(used, out.len);
	assert_true(h.has_length && h.length > 0);
	/* a value from outside cannot add a line */
	a.value = "7\r\nX: y";
	assert_int_equal(http1_write_answer(&out, &a), -1);
	assert_int_equal(used, out.len);
	buf_free(&out);
}

/* Not a test: what a head of about 500 bytes costs. */
static void
test_speed(void **state)
{
	static const char in[] = "POST /mcp/tickets?session=42 HTTP/1.1\r\n"
	    "Host: gateway.example.com:8443\r\n"
	    "User-Agent: agent-sdk/1.32.2 (linux; x64) node/22.3.0\r\n"
	    "Accept: application/json, text/event-stream\r\n"
	    "Accept-Encoding: gzip, deflate, br\r\n"
	    "Accept-Language: *\r\n"
	    "Authorization: Bearer 0123456789abcdef0123456789abcdef01234567\r\n"
	    "Content-Type: application/json\r\n"
	    "Content-Length: 213\r\n"
	    "Connection: keep-alive\r\n"
	    "Mcp-Protocol-Version: 2025-11-25\r\n"
	    "Mcp-Session-Id: 01890a5d-ac96-774b-bcce-b302099a8057\r\n"
	    "Sec-Fetch-Mode: cors\r\n"
	    "X-Request-Id: 5e0c1f2a\r\n\r\n";
	static struct http1_head h;
	const unsigned rounds = 50000;
	uint64_t t0 = clock_mono_ns();
	size_t used = 0;

	(void)state;
	for (unsigned i = 0; i < rounds; i++) {
		http1_head_init(&h);
		if (http1_parse_request(&h, slice_make(in, sizeof(in) - 1),
		    NULL, &used) != HTTP1_DONE)
			fail_msg("%s", http1_error_word(h.error));
	}
	assert_int_equal(used, sizeof(in) - 1);
	assert_int_equal(h.field_n, 13);
	print_message("%zu byte head, 13 fields: %llu ns\n", sizeof(in) - 1,
	    (unsigned long long)((clock_mono_ns() - t0) / rounds));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_vectors_drip),
		cmocka_unit_test(test_request_structure),
		cmocka_unit_test(test_response_structure),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_drip_is_linear),
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_authority),
		cmocka_unit_test(test_path),
		cmocka_unit_test(test_path_plain),
		cmocka_unit_test(test_chunked_splits),
		cmocka_unit_test(test_body_ends),
		cmocka_unit_test(test_body_limits),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_writers_refuse),
		cmocka_unit_test(test_answer),
		cmocka_unit_test(test_speed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
