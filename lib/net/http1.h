/*
 * http1 - strict reader and writer of HTTP/1.0 and 1.1 (RFC 9110, 9112).
 *
 * Two readers of the same bytes must never disagree about where a message
 * ends or whom it is for.  So the reader takes the grammar at its word,
 * refuses what other parsers are known to read in two ways, and what goes out
 * is written again from the structure: received framing is never forwarded.
 *
 * Nothing here allocates, except the writers through their struct buf.  All
 * slices of a head point into the caller's input (zero copy) or to constants.
 */
#ifndef HTTP1_H
#define HTTP1_H

#include "base.h"
#include "buf.h"

/* ------------------------------------------------------------- results */

enum http1_result {
	HTTP1_ERROR = 0,	/* the message is refused; close */
	HTTP1_MORE,		/* give more bytes */
	HTTP1_DATA,		/* body only: a run of data */
	HTTP1_DONE		/* the head, or the body, is complete */
};

/* E(symbol, status answered to a request, "word", "text") */
#define HTTP1_ERRORS(E)                                                       \
	E(NONE, 0, "none", "")                                                \
	E(BLANK, 400, "blank-lines", "More than one empty line stands before the message.") \
	E(LINE_END, 400, "line-end", "A line must end in CR LF.")             \
	E(CONTROL, 400, "control-character", "A line has a NUL, bare CR or other control character.") \
	E(START, 400, "start-line", "The first line must be: method, one space, target, one space, HTTP/1.1.") \
	E(METHOD, 400, "method", "The method is not a token.")                \
	E(METHOD_UNKNOWN, 501, "method-unknown", "The method must have at most 32 characters, none of them a small letter.") \
	E(VERSION, 505, "version", "The version must be HTTP/1.1 or HTTP/1.0.") \
	E(TARGET, 400, "target", "The request target has a character that must be percent-encoded, or a fragment.") \
	E(TARGET_LONG, 414, "target-long", "The request target is longer than the limit.") \
	E(FORM, 400, "target-form", "This form of the request target does not go with the method.") \
	E(SCHEME, 400, "scheme", "The scheme must be http or https.")         \
	E(AUTHORITY, 400, "authority", "The host or port of the request target is not well-formed.") \
	E(HEAD_LONG, 431, "head-long", "The head is longer than the limit.")  \
	E(FIELDS_MANY, 431, "fields-many", "The head has more fields than the limit.") \
	E(NAME_LONG, 431, "name-long", "A field name is longer than the limit.") \
	E(NAME, 400, "field-name", "A field name has a character that is not allowed in a token, or a space before the colon.") \
	E(FOLD, 400, "folded-field", "A field is continued on the next line.") \
	E(NO_COLON, 400, "no-colon", "A field has no colon.")                 \
	E(DUPLICATE, 400, "duplicate-field", "A field that may stand once stands twice.") \
	E(LOOKALIKE, 400, "lookalike-field", "A field name with an underscore imitates one with a hyphen.") \
	E(HOST_MISSING, 400, "host-missing", "HTTP/1.1 needs a Host field.")  \
	E(HOST, 400, "host", "The Host field is not a well-formed host and port.") \
	E(HOST_MISMATCH, 400, "host-mismatch", "The Host field and the request target name different hosts.") \
	E(LENGTH, 400, "content-length", "Content-Length must be 1 to 18 digits.") \
	E(LENGTH_AND_CHUNKED, 400, "length-and-chunked", "Content-Length and Transfer-Encoding stand in one message.") \
	E(ENCODING, 501, "transfer-encoding", "Transfer-Encoding must be exactly: chunked.") \
	E(ENCODING_OLD, 400, "transfer-encoding-1.0", "HTTP/1.0 has no Transfer-Encoding.") \
	E(BODY, 400, "body-not-allowed", "This message must not have a body.") \
	E(EXPECT, 417, "expect", "Expect must be exactly: 100-continue.")     \
	E(CONNECTION, 400, "connection", "The Connection field is not a short list of tokens.") \
	E(METHOD_OVERRIDE, 400, "method-override", "A field or parameter names another method than the request line.") \
	E(TARGET_OVERRIDE, 400, "target-override", "A field names another target than the request line.") \
	E(NOMINATED, 400, "connection-nominates", "The Connection field names an end-to-end field.") \
	E(STATUS_LINE, 400, "status-line", "The first line must be: HTTP/1.1, one space, three digits from 100 to 599, a space and the reason.") \
	E(CHUNK_SIZE, 400, "chunk-size", "A chunk size must be 1 to 16 hex digits and less than 2^63.") \
	E(CHUNK_EXT, 400, "chunk-extension", "A chunk extension is malformed or too long.") \
	E(CHUNK_END, 400, "chunk-end", "A chunk must be followed by CR LF.")  \
	E(TRAILER, 400, "trailer", "The trailer is malformed, too long or names a field that frames, routes or authenticates.") \
	E(TRUNCATED, 400, "truncated", "The connection ended inside the message.")

enum http1_error {
#define E(sym, status, word, text) HTTP1_E_##sym,
	HTTP1_ERRORS(E)
#undef E
	HTTP1_E_COUNT
};

/* A short word for logs and events, a sentence for the peer, the status to
 * answer (of a malformed response an agent sees 502 instead). */
const char *http1_error_word(enum http1_error e);
const char *http1_error_text(enum http1_error e);
unsigned http1_error_status(enum http1_error e);

/* ----------------------------------------------- hosts, targets, paths */

#define HTTP1_HOST_MAX 253

enum http1_host_kind {
	HTTP1_HOST_NONE = 0, HTTP1_HOST_NAME, HTTP1_HOST_V4, HTTP1_HOST_V6
};

/* Owns its text, so it may be copied and outlives the input. */
struct http1_authority {
	enum http1_host_kind kind;
	uint16_t port;			/* 0: none given */
	uint16_t host_n;
	/* Lower case, NUL-terminated; IPv6 canonical (RFC 5952), no brackets. */
	char host[HTTP1_HOST_MAX + 1];
};

/*
 * host [":" port] of RFC 3986, 3.2.2, without userinfo.  A name is letters,
 * digits, hyphens and underscores in labels of 1 to 63, no dot at the end, at
 * most 253 in all; a name whose last label could be taken for a number
 * ("127.1", "0x7f.1") is refused, IPv4 is four decimal octets, IPv6 stands in
 * brackets without a zone; the port is 1 to 65535 without leading zeros.
 */
bool http1_authority_parse(struct slice s, struct http1_authority *a_r)
    MUST_USE;
/* Equal hosts, and equal ports when 0 stands for default_port. */
bool http1_authority_equal(const struct http1_authority *a,
    const struct http1_authority *b, uint16_t default_port);
/* "host", "host:8080", "[::1]:8080"; -1 when out is full. */
int http1_authority_write(struct buf *out, const struct http1_authority *a);

enum http1_scheme { HTTP1_SCHEME_NONE = 0, HTTP1_HTTP, HTTP1_HTTPS };

/* An absolute http or https URL (a target, a Location, an endpoint). */
struct http1_url {
	enum http1_scheme scheme;
	struct http1_authority authority;
	struct slice path;	/* "/" when there was none */
	struct slice query;	/* behind "?"; p == NULL: no "?" at all */
};

/* HTTP1_E_NONE or the reason.  Fragments and userinfo are refused. */
enum http1_error http1_url_parse(struct slice s, struct http1_url *u_r)
    MUST_USE;
uint16_t http1_scheme_port(enum http1_scheme s);	/* 80, 443, 0 */

/*
 * Whether every server reads the path alike: it begins with "/", has no dot
 * segment (encoded, or with parameters: "/..;x"), no "//", no backslash, no
 * encoded slash, backslash or control character, nothing encoded twice that
 * is one of these or needs no encoding, no
 * malformed percent-encoding and no byte that UTF-8 never has.  False: refuse
 * the request; *why_r (may be NULL) then says what was found.  Give it the
 * path only: a query is data.
 */
bool http1_path_normal(struct slice path, const char **why_r) MUST_USE;
/* The normal path with every byte decoded that needs no encoding (RFC 3986,
 * 6.2.2.2: letters, digits, "-._~"), so that one name is written in one way.
 * out has room for path.n bytes; how many were written. */
size_t http1_path_plain(struct slice path, char *out);

/* ---------------------------------------------------------------- heads */

enum http1_method {
	HTTP1_M_OTHER = 0, HTTP1_M_GET, HTTP1_M_HEAD, HTTP1_M_POST,
	HTTP1_M_PUT, HTTP1_M_PATCH, HTTP1_M_DELETE, HTTP1_M_OPTIONS,
	HTTP1_M_CONNECT, HTTP1_M_TRACE
};

enum http1_method http1_method_of(struct slice method);

enum http1_form {
	HTTP1_FORM_NONE = 0,	/* a response */
	HTTP1_ORIGIN,		/* /path?query */
	HTTP1_ABSOLUTE,		/* http://host/path?query */
	HTTP1_AUTHORITY,	/* host:port, CONNECT only */
	HTTP1_ASTERISK		/* *, OPTIONS only */
};

enum http1_framing {
	HTTP1_BODY_NONE = 0,
	HTTP1_BODY_LENGTH,	/* `length` bytes, may be 0 */
	HTTP1_BODY_CHUNKED,
	HTTP1_BODY_CLOSE	/* responses: until the connection closes */
};

enum http1_upgrade {
	HTTP1_UPGRADE_NONE = 0,
	HTTP1_UPGRADE_WEBSOCKET, /* exactly this, and nominated by Connection */
	HTTP1_UPGRADE_OTHER	/* anything else: strip or refuse */
};

/* Fields the reader knows; 0 for all others. */
enum http1_known {
	HTTP1_F_OTHER = 0,
	HTTP1_F_TE, HTTP1_F_VIA, HTTP1_F_DATE, HTTP1_F_HOST, HTTP1_F_ALLOW,
	HTTP1_F_RANGE, HTTP1_F_ACCEPT, HTTP1_F_COOKIE, HTTP1_F_EXPECT,
	HTTP1_F_ORIGIN, HTTP1_F_X_HOST, HTTP1_F_TRAILER, HTTP1_F_UPGRADE,
	HTTP1_F_LOCATION, HTTP1_F_MCP_NAME, HTTP1_F_FORWARDED,
	HTTP1_F_CONNECTION, HTTP1_F_KEEP_ALIVE, HTTP1_F_MCP_METHOD,
	HTTP1_F_SET_COOKIE, HTTP1_F_CONTENT_TYPE, HTTP1_F_AUTHORIZATION,
	HTTP1_F_CACHE_CONTROL, HTTP1_F_LAST_EVENT_ID, HTTP1_F_CONTENT_RANGE,
	HTTP1_F_X_HTTP_METHOD, HTTP1_F_X_REWRITE_URL, HTTP1_F_CONTENT_LENGTH,
	HTTP1_F_HTTP2_SETTINGS, HTTP1_F_MCP_SESSION_ID, HTTP1_F_X_ORIGINAL_URL,
	HTTP1_F_X_ORIGINAL_URI, HTTP1_F_X_FORWARDED_FOR,
	HTTP1_F_ACCEPT_ENCODING, HTTP1_F_CONTENT_ENCODING,
	HTTP1_F_X_FORWARDED_HOST, HTTP1_F_X_FORWARDED_PORT,
	HTTP1_F_WWW_AUTHENTICATE, HTTP1_F_PROXY_CONNECTION,
	HTTP1_F_TRANSFER_ENCODING, HTTP1_F_X_FORWARDED_PROTO,
	HTTP1_F_X_METHOD_OVERRIDE, HTTP1_F_X_ORIGINAL_METHOD,
	HTTP1_F_PROXY_AUTHENTICATE, HTTP1_F_X_FORWARDED_PREFIX,
	HTTP1_F_X_FORWARDED_SCHEME, HTTP1_F_X_FORWARDED_SERVER,
	HTTP1_F_PROXY_AUTHORIZATION, HTTP1_F_MCP_PROTOCOL_VERSION,
	HTTP1_F_X_HTTP_METHOD_OVERRIDE, HTTP1_F_COUNT
};

/* In any case of letters; also true for names of HTTP/2. */
enum http1_known http1_known_of(struct slice name);
/* Lower case; NULL for HTTP1_F_OTHER. */
const char *http1_known_name(enum http1_known known);

struct http1_field {
	struct slice name;	/* as received */
	struct slice value;	/* without white space around it; p != NULL */
	enum http1_known known;
	bool hop;		/* for this connection only: do not forward */
};

#define HTTP1_FIELDS_MAX 100

struct http1_limits {
	size_t head;		/* bytes of the whole head, 65536 */
	size_t target;		/* bytes of the request target, 16384 */
	size_t name;		/* bytes of a field name, 256 */
	unsigned fields;	/* at most HTTP1_FIELDS_MAX, 100 */
};

extern const struct http1_limits http1_limits_default;

/*
 * About 5 KiB: keep one per connection.  http1_head_init() before each
 * message; between two calls that answer MORE it must not be touched.
 */
struct http1_head {
	enum http1_error error;		/* set with HTTP1_ERROR */
	size_t error_at;		/* offset in the input, near it */

	unsigned minor;			/* HTTP/1.minor: 0 or 1 */
	bool keep_alive;		/* the peer would go on after this */
	enum http1_framing framing;
	bool has_length;		/* Content-Length was given ... */
	uint64_t length;		/* ... also to HEAD, without a body */

	/* request */
	struct slice method;
	enum http1_method method_id;
	enum http1_form form;
	enum http1_scheme scheme;	/* absolute form only */
	struct slice target;		/* as received */
	struct slice path;		/* empty in authority form */
	struct slice query;		/* p == NULL: no "?" */
	bool has_authority;		/* false: HTTP/1.0 without Host */
	struct http1_authority authority; /* of the target, else of Host */
	bool expect_continue;
	enum http1_upgrade upgrade;
	struct slice upgrade_value;	/* first Upgrade field */

	/* response */
	unsigned status;		/* 100..599 */
	struct slice reason;		/* may be empty */
	bool interim;			/* 1xx but 101: another head follows */
	bool switching;			/* 101: what follows is not HTTP */

	/* the reader's own */
	size_t scanned, line;	/* bytes seen; start of the current line */
	unsigned lines, blanks;
	bool start_seen;	/* the first line was looked at early */
	uint8_t override;	/* 1 + index of a field that would replace
				 * method or target */
	bool trimmed;		/* no room for another message */
	uint8_t first[HTTP1_F_COUNT]; /* 1 + index of the first such field */

	unsigned field_n;
	struct http1_field fields[HTTP1_FIELDS_MAX];	/* last: see trim */
};

void http1_head_init(struct http1_head *h);
/* Gives back the room of fields that are not there, for a message that will
 * live long. h comes from malloc, was read whole, and may move; it is good for
 * no other message. */
struct http1_head *http1_head_trim(struct http1_head *h) MUST_USE;

/*
 * Reads one head from the beginning of `in`, which is all that was received
 * of this message so far.  MORE: call again with the same bytes and more (at
 * any address); the bytes already seen are not scanned again.  DONE: the
 * head was *used_r bytes.  lim NULL: the defaults.  One empty line before a
 * request is skipped (RFC 9112, 2.2), more are refused.
 */
enum http1_result http1_parse_request(struct http1_head *h, struct slice in,
    const struct http1_limits *lim, size_t *used_r) MUST_USE;
/* to: the method of the request that this answers; it decides, with the
 * status, whether there is a body (RFC 9112, 6.3). */
enum http1_result http1_parse_response(struct http1_head *h, struct slice in,
    const struct http1_limits *lim, enum http1_method to, size_t *used_r)
    MUST_USE;

/* The n bytes that h was read from at `from` now stand at `to`. */
void http1_head_moved(struct http1_head *h, const char *from, size_t n,
    const char *to);

/* The first field of that name (any case), p == NULL when there is none. */
struct slice http1_field(const struct http1_head *h, const char *name);
struct slice http1_field_known(const struct http1_head *h,
    enum http1_known known);
unsigned http1_field_count(const struct http1_head *h, const char *name);

/* --------------------------------------------------------------- bodies */

#define HTTP1_EXT_MAX 256	/* bytes of one chunk's extension */
#define HTTP1_EXT_TOTAL 65536	/* of all extensions of a body */
#define HTTP1_TRAILER_MAX 8192	/* bytes of the trailer section */
#define HTTP1_TRAILER_FIELDS 32

/* Extensions and trailers are checked, counted and dropped. */
struct http1_body {
	enum http1_framing framing;
	enum http1_error error;
	uint64_t left;		/* of the body (LENGTH) or of this chunk */
	uint64_t total;		/* data yielded so far */
	uint32_t trailers;	/* trailer fields dropped */
	uint32_t ext_total;	/* bytes of extensions dropped */
	uint32_t n;		/* bytes of the size, extension or trailer */
	uint8_t state;
	uint8_t name_n;
	char name[32];		/* of the trailer field being read */
};

void http1_body_init(struct http1_body *b, enum http1_framing framing,
    uint64_t length);
/*
 * Takes bytes off *in.  DATA: *data_r is the next run of body, a part of what
 * was *in, never empty; call again.  MORE: all of *in was taken.  DONE: what is
 * left of *in belongs to the next message; stays DONE.  CLOSE never answers
 * DONE: see http1_body_eof().
 */
enum http1_result http1_body_next(struct http1_body *b, struct slice *in,
    struct slice *data_r) MUST_USE;
/* The peer ended the connection.  DONE when the body was complete, or when it
 * lasts until the close and the close was clean (FIN, over TLS close_notify);
 * else ERROR with HTTP1_E_TRUNCATED. */
enum http1_result http1_body_eof(struct http1_body *b, bool clean) MUST_USE;
bool http1_body_done(const struct http1_body *b);

/* -------------------------------------------------------------- writers */

/* All return 0, or -1 with nothing written: out is full, or an argument could
 * break the framing (CR, LF, NUL, other controls, no token, a space in the
 * target). */

/* "METHOD path[?query] HTTP/1.1"; query.p NULL: no "?".  For CONNECT path is
 * host:port. */
int http1_write_request(struct buf *out, struct slice method,
    struct slice path, struct slice query) MUST_USE;
/* reason.p NULL: the registered one. */
int http1_write_response(struct buf *out, unsigned status,
    struct slice reason) MUST_USE;
int http1_write_field(struct buf *out, struct slice name, struct slice value)
    MUST_USE;
int http1_write_host(struct buf *out, const struct http1_authority *a)
    MUST_USE;
/* Content-Length, Transfer-Encoding: chunked, or nothing. */
int http1_write_framing(struct buf *out, enum http1_framing framing,
    uint64_t length) MUST_USE;
/* All fields that may be forwarded as they are: not hop-by-hop, and not Host,
 * Content-Length or Expect, which the forwarder writes itself. */
int http1_write_kept(struct buf *out, const struct http1_head *h) MUST_USE;
bool http1_field_kept(const struct http1_field *f);
/* Says, as a proxy before us would, whom and how the agent asked (Forwarded,
 * X-Forwarded-*, X-Host): servers take it for more than Host. */
bool http1_field_of_proxy(const struct http1_field *f);
/* The empty line behind the head. */
int http1_write_end(struct buf *out) MUST_USE;

/* A chunk is head, n bytes, tail; n > 0.  The last one is the end, which is
 * written only when the sender's body ended well: a truncated body must stay
 * truncated for the receiver. */
int http1_write_chunk_head(struct buf *out, uint64_t n) MUST_USE;
int http1_write_chunk_tail(struct buf *out) MUST_USE;
int http1_write_chunk(struct buf *out, struct slice data) MUST_USE;
int http1_write_chunk_end(struct buf *out) MUST_USE;

/* A complete response with a small JSON body:
 * {"error":{"reason":word,"message":text,"event":event}} */
struct http1_answer {
	unsigned status;
	const char *word;	/* of reasons.def or of HTTP1_ERRORS */
	const char *text;	/* may hold any bytes; escaped here */
	const char *event;	/* event id; NULL: left out */
	const char *field;	/* one more field ("Retry-After"), or NULL */
	const char *value;
	bool close;		/* adds Connection: close */
	bool head;		/* answers HEAD: no body bytes */
};

int http1_write_answer(struct buf *out, const struct http1_answer *a)
    MUST_USE;
int http1_write_error(struct buf *out, unsigned status, const char *word,
    const char *text, const char *event, bool close) MUST_USE;
/* "Not Found"; "Status" for a number nobody registered. */
const char *http1_status_text(unsigned status);

#endif
