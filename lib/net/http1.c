/*
 * http1 - reads heads; see http1.h.
 *
 * First the end of the head is found, over new bytes only; then the head is
 * read once, line by line, and at last what its fields mean together.
 */
#include "http1.h"
#include "http1_impl.h"

#define METHOD_MAX 32
#define NOMINATIONS_MAX 16

const struct http1_limits http1_limits_default = {
	.head = 65536, .target = 16384, .name = 256,
	.fields = HTTP1_FIELDS_MAX,
};

void
http1_head_init(struct http1_head *h)
{
	memset(h, 0, offsetof(struct http1_head, fields));
}

struct http1_head *
http1_head_trim(struct http1_head *h)
{
	h->trimmed = true;
	return base_realloc(h, offsetof(struct http1_head, fields) +
	    h->field_n * sizeof(h->fields[0]));
}

static int
fail(struct http1_head *h, enum http1_error e, size_t at)
{
	h->error = e;
	h->error_at = at;
	return -1;
}

/* ------------------------------------------------------- the first line */

enum http1_method
http1_method_of(struct slice m)
{
	static const struct {
		struct slice name;
		enum http1_method id;
	} t[] = {
		{ { "GET", 3 }, HTTP1_M_GET }, { { "POST", 4 }, HTTP1_M_POST },
		{ { "PUT", 3 }, HTTP1_M_PUT }, { { "HEAD", 4 }, HTTP1_M_HEAD },
		{ { "PATCH", 5 }, HTTP1_M_PATCH },
		{ { "DELETE", 6 }, HTTP1_M_DELETE },
		{ { "OPTIONS", 7 }, HTTP1_M_OPTIONS },
		{ { "CONNECT", 7 }, HTTP1_M_CONNECT },
		{ { "TRACE", 5 }, HTTP1_M_TRACE },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		if (slice_eq(m, t[i].name))
			return t[i].id;
	return HTTP1_M_OTHER;
}

/* The method at the begin of a line that may not be whole yet. */
static int
method_read(struct http1_head *h, struct slice line, size_t at)
{
	size_t n = http1_span(line.p, line.n, C_TOKEN);

	for (size_t i = 0; i < n && i <= METHOD_MAX; i++)
		if (i == METHOD_MAX ||
		    (line.p[i] >= 'a' && line.p[i] <= 'z'))
			return fail(h, HTTP1_E_METHOD_UNKNOWN, at);
	if (n < line.n && (n == 0 || line.p[n] != ' '))
		return fail(h, HTTP1_E_METHOD, at + n);
	h->method = slice_make(line.p, n);
	h->method_id = http1_method_of(h->method);
	return 0;
}

static int
version_read(struct http1_head *h, struct slice v, size_t at)
{
	if (v.n != 8 || memcmp(v.p, "HTTP/", 5) != 0 || v.p[6] != '.' ||
	    v.p[5] < '0' || v.p[5] > '9' || v.p[7] < '0' || v.p[7] > '9')
		return fail(h, HTTP1_E_START, at);
	if (v.p[5] != '1' || v.p[7] > '1')
		return fail(h, HTTP1_E_VERSION, at);
	h->minor = (unsigned)(v.p[7] - '0');
	return 0;
}

static int
origin_read(struct http1_head *h, size_t at)
{
	struct slice t = h->target;
	size_t n = http1_span(t.p, t.n, C_PATH);

	h->path = slice_sub(t, 0, n);
	if (n == t.n)
		return 0;
	if (t.p[n] != '?')
		return fail(h, HTTP1_E_TARGET, at + n);
	h->query = slice_sub(t, n + 1, SIZE_MAX);
	if (http1_span(h->query.p, h->query.n, C_QUERY) != h->query.n)
		return fail(h, HTTP1_E_TARGET, at + n + 1);
	return 0;
}

static int
absolute_read(struct http1_head *h, size_t at)
{
	struct http1_url u;
	enum http1_error e = http1_url_parse(h->target, &u);

	if (e != HTTP1_E_NONE)
		return fail(h, e, at);
	h->scheme = u.scheme;
	h->authority = u.authority;
	h->has_authority = true;
	h->path = u.path;
	h->query = u.query;
	/* RFC 9112, 3.2.4: the whole server is meant */
	if (h->method_id == HTTP1_M_OPTIONS && u.query.p == NULL &&
	    slice_chr(slice_sub(h->target, 8, SIZE_MAX), '/') < 0)
		h->path = SLICE("*");
	return 0;
}

/* RFC 9112, 3.2: four forms, each for its methods. */
static int
target_read(struct http1_head *h, size_t at)
{
	struct slice t = h->target;
	enum http1_method m = h->method_id;

	if (m == HTTP1_M_CONNECT) {
		h->form = HTTP1_AUTHORITY;
		if (!http1_authority_parse(t, &h->authority) ||
		    h->authority.port == 0)
			return fail(h, HTTP1_E_AUTHORITY, at);
		h->has_authority = true;
		return 0;
	}
	if (t.p[0] == '/') {
		h->form = HTTP1_ORIGIN;
		return origin_read(h, at);
	}
	if (slice_is(t, "*")) {
		h->form = HTTP1_ASTERISK;
		h->path = t;
		return m == HTTP1_M_OPTIONS ? 0 : fail(h, HTTP1_E_FORM, at);
	}
	if (slice_find(t, SLICE("://")) < 0)
		return fail(h, HTTP1_E_FORM, at);
	h->form = HTTP1_ABSOLUTE;
	return absolute_read(h, at);
}

static int
request_line(struct http1_head *h, struct slice line,
    const struct http1_limits *lim, size_t at)
{
	struct slice rest;
	size_t m;
	ssize_t sp;

	if (method_read(h, line, at) != 0)
		return -1;
	m = h->method.n + 1;
	if (m >= line.n)
		return fail(h, HTTP1_E_START, at);
	rest = slice_sub(line, m, SIZE_MAX);
	sp = slice_chr(rest, ' ');
	if (sp > 0 ? (size_t)sp > lim->target : rest.n > lim->target + 9)
		return fail(h, HTTP1_E_TARGET_LONG, at + m);
	if (sp <= 0)
		return fail(h, HTTP1_E_START, at + m);
	h->target = slice_sub(rest, 0, (size_t)sp);
	if (version_read(h, slice_sub(rest, (size_t)sp + 1, SIZE_MAX),
	    at + m + (size_t)sp + 1) != 0)
		return -1;
	return target_read(h, at + m);
}

/* The SP behind the code is missing in some servers' answers without a
 * reason; there is no second way to read that. */
static int
status_line(struct http1_head *h, struct slice line, size_t at)
{
	uint64_t code;

	if (line.n < 12 || line.p[8] != ' ' ||
	    !slice_to_u64(slice_sub(line, 9, 3), &code) ||
	    code < 100 || code > 599 || (line.n > 12 && line.p[12] != ' '))
		return fail(h, HTTP1_E_STATUS_LINE, at);
	if (version_read(h, slice_sub(line, 0, 8), at) != 0) {
		if (h->error == HTTP1_E_START)
			h->error = HTTP1_E_STATUS_LINE;
		return -1;
	}
	h->reason = slice_sub(line, 13, SIZE_MAX);
	if (http1_span_text(h->reason.p, h->reason.n) != h->reason.n)
		return fail(h, HTTP1_E_CONTROL, at + 13);
	h->status = (unsigned)code;
	h->switching = code == 101;
	h->interim = code < 200 && code != 101;
	return 0;
}

/* ---------------------------------------------------------- the end */

/* A first line that can never become good is refused before its end. */
static int
start_early(struct http1_head *h, struct slice in, bool request,
    const struct http1_limits *lim)
{
	struct slice line = slice_sub(in, h->blanks * 2, SIZE_MAX);
	size_t n;

	if (h->lines > 0) {
		if (h->start_seen)
			return 0;
		h->start_seen = true;
		line.n = (size_t)slice_chr(line, '\n') - 1;
		return request ? request_line(h, line, lim, h->blanks * 2) :
		    status_line(h, line, 0);
	}
	if (line.n == 0 || (line.n == 1 && line.p[0] == '\r'))
		return 0;
	if (!request) {
		n = line.n < 7 ? line.n : 7;
		if (memcmp(line.p, "HTTP/1.", n) != 0)
			return fail(h, HTTP1_E_STATUS_LINE, 0);
		return 0;
	}
	if (method_read(h, slice_sub(line, 0, METHOD_MAX + 1), 0) != 0)
		return -1;
	if (line.n > METHOD_MAX + lim->target + 12)
		return fail(h, HTTP1_E_TARGET_LONG, 0);
	return 0;
}

/* Finds the empty line.  1: *end_r is behind it; 0: not there yet; -1. */
static int
end_find(struct http1_head *h, struct slice in, bool request,
    const struct http1_limits *lim, size_t *end_r)
{
	while (h->scanned < in.n) {
		const char *q = memchr(in.p + h->scanned, '\n',
		    in.n - h->scanned);

		if (q == NULL)
			break;
		size_t i = (size_t)(q - in.p);

		h->scanned = i + 1;
		if (i >= lim->head)
			return fail(h, HTTP1_E_HEAD_LONG, i);
		if (i == h->line || in.p[i - 1] != '\r')
			return fail(h, HTTP1_E_LINE_END, i);
		if (i - 1 != h->line) {
			if (h->lines++ > lim->fields ||
			    h->lines > HTTP1_FIELDS_MAX + 1)
				return fail(h, HTTP1_E_FIELDS_MANY, h->line);
		} else if (h->lines > 0) {
			*end_r = i + 1;
			return 1;
		} else if (!request || h->blanks++ > 0) {
			return fail(h, HTTP1_E_BLANK, i);
		}
		h->line = i + 1;
	}
	h->scanned = in.n;
	if (start_early(h, in, request, lim) != 0)
		return -1;
	return in.n >= lim->head ? fail(h, HTTP1_E_HEAD_LONG, in.n) : 0;
}

/* ------------------------------------------------------------- fields */

/* CGI and its heirs read "_" as "-": such a twin could replace the real
 * field behind us. */
static bool
lookalike(struct slice name)
{
	char twin[32];

	if (name.n > sizeof(twin) || slice_chr(name, '_') < 0)
		return false;
	for (size_t i = 0; i < name.n; i++)
		twin[i] = name.p[i] == '_' ? '-' : name.p[i];
	return http1_known_of(slice_make(twin, name.n)) != HTTP1_F_OTHER;
}

static int
field_add(struct http1_head *h, enum http1_known k, struct slice name,
    struct slice value, size_t at)
{
	uint8_t flags = http1_known_flags(k);

	if (k == HTTP1_F_OTHER) {
		if (lookalike(name))
			return fail(h, HTTP1_E_LOOKALIKE, at);
	} else if (h->first[k] == 0) {
		h->first[k] = (uint8_t)(h->field_n + 1);
	} else if (flags & F_SINGLE) {
		return fail(h, HTTP1_E_DUPLICATE, at);
	}
	if (flags & (F_METHOD | F_TARGET))
		h->override = (uint8_t)(h->field_n + 1);
	h->fields[h->field_n++] = (struct http1_field){
		.name = name, .value = value, .known = k,
		.hop = (flags & F_HOP) != 0,
	};
	return 0;
}

/* How many bytes of token stand at p.  Most names are known ones, of which
 * no byte needs a look of its own. */
static size_t
name_span(const char *p, size_t n, enum http1_known *k_r)
{
	const char *q = memchr(p, ':', n < 32 ? n : 32);

	*k_r = q == NULL ? HTTP1_F_OTHER :
	    http1_known_of(slice_make(p, (size_t)(q - p)));
	return *k_r == HTTP1_F_OTHER ? http1_span(p, n, C_TOKEN) :
	    (size_t)(q - p);
}

/* Reads the fields from `at` to the empty line, which is known to stand at
 * end - 2.  Lines are known to end in CR LF, but not what is inside. */
static int
fields_read(struct http1_head *h, struct slice in, size_t at, size_t end,
    const struct http1_limits *lim)
{
	while (at < end - 2) {
		const char *p = in.p + at;
		enum http1_known k;
		size_t n = name_span(p, end - at, &k);
		size_t v = n + 1;

		if (p[0] == ' ' || p[0] == '\t')
			return fail(h, HTTP1_E_FOLD, at);
		if (p[n] != ':' || n == 0)
			return fail(h, p[n] == '\r' && p[n + 1] == '\n' ?
			    HTTP1_E_NO_COLON : HTTP1_E_NAME, at + n);
		if (n > lim->name)
			return fail(h, HTTP1_E_NAME_LONG, at);
		while (p[v] == ' ' || p[v] == '\t')
			v++;
		size_t len = http1_span_text(p + v, end - at - v);
		size_t next = at + v + len + 2;

		if (p[v + len] != '\r' || p[v + len + 1] != '\n')
			return fail(h, HTTP1_E_CONTROL, at + v + len);
		while (len > 0 && (p[v + len - 1] == ' ' ||
		    p[v + len - 1] == '\t'))
			len--;
		if (field_add(h, k, slice_make(p, n), slice_make(p + v, len),
		    at) != 0)
			return -1;
		at = next;
	}
	return 0;
}

/* -------------------------------------------- what the fields mean */

static const struct http1_field *
first(const struct http1_head *h, enum http1_known k)
{
	return h->first[k] == 0 ? NULL : &h->fields[h->first[k] - 1];
}

static size_t
at_of(struct slice in, const struct http1_field *f)
{
	return (size_t)(f->name.p - in.p);
}

/* Families that no peer has a reason to call hop-by-hop. */
static bool
end_to_end(struct slice token)
{
	static const char *const prefix[] = { "accept-", "content-", "if-",
		"mcp-", "sec-", "x-forwarded-" };

	if (http1_known_flags(http1_known_of(token)) & F_KEEP)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(prefix); i++)
		if (slice_is_nocase(slice_sub(token, 0, strlen(prefix[i])),
		    prefix[i]))
			return true;
	return false;
}

struct options {
	bool close, keep_alive, upgrade;
	unsigned n;
};

static enum http1_error
option_read(struct http1_head *h, struct slice token, struct options *o)
{
	if (++o->n > NOMINATIONS_MAX ||
	    http1_span(token.p, token.n, C_TOKEN) != token.n)
		return HTTP1_E_CONNECTION;
	if (slice_is_nocase(token, "close")) {
		o->close = true;
	} else if (slice_is_nocase(token, "keep-alive")) {
		o->keep_alive = true;
	} else if (slice_is_nocase(token, "upgrade")) {
		o->upgrade = true;
	} else if (end_to_end(token)) {
		return HTTP1_E_NOMINATED;
	} else {
		for (unsigned i = 0; i < h->field_n; i++)
			if (slice_eq_nocase(h->fields[i].name, token))
				h->fields[i].hop = true;
	}
	return HTTP1_E_NONE;
}

static int
connection_read(struct http1_head *h, struct slice in, struct options *o)
{
	if (h->first[HTTP1_F_CONNECTION] == 0)
		return 0;
	for (unsigned i = 0; i < h->field_n; i++) {
		struct slice rest = h->fields[i].value;

		if (h->fields[i].known != HTTP1_F_CONNECTION)
			continue;
		while (rest.p != NULL) {
			struct slice t = slice_trim(slice_cut(&rest, ','));
			enum http1_error e;

			if (t.n == 0)
				continue;
			if ((e = option_read(h, t, o)) != HTTP1_E_NONE)
				return fail(h, e, at_of(in, &h->fields[i]));
		}
	}
	return 0;
}

/* RFC 9112, 6.3, without any of its leniencies. */
static int
framing_read(struct http1_head *h, struct slice in)
{
	const struct http1_field *cl = first(h, HTTP1_F_CONTENT_LENGTH);
	const struct http1_field *te = first(h, HTTP1_F_TRANSFER_ENCODING);

	if (te != NULL) {
		if (cl != NULL)
			return fail(h, HTTP1_E_LENGTH_AND_CHUNKED,
			    at_of(in, te));
		if (h->minor == 0)
			return fail(h, HTTP1_E_ENCODING_OLD, at_of(in, te));
		if (!slice_is_nocase(te->value, "chunked"))
			return fail(h, HTTP1_E_ENCODING, at_of(in, te));
		h->framing = HTTP1_BODY_CHUNKED;
	} else if (cl != NULL) {
		if (cl->value.n > 18 || !slice_to_u64(cl->value, &h->length))
			return fail(h, HTTP1_E_LENGTH, at_of(in, cl));
		h->has_length = true;
		h->framing = HTTP1_BODY_LENGTH;
	}
	return 0;
}

static int
host_read(struct http1_head *h, struct slice in, size_t end)
{
	const struct http1_field *f = first(h, HTTP1_F_HOST);
	struct http1_authority a;
	uint16_t port = h->form == HTTP1_AUTHORITY ? h->authority.port :
	    http1_scheme_port(h->scheme);

	if (f == NULL)
		return h->minor == 0 ? 0 : fail(h, HTTP1_E_HOST_MISSING, end);
	if (!h->has_authority) {
		if (!http1_authority_parse(f->value, &h->authority))
			return fail(h, HTTP1_E_HOST, at_of(in, f));
		h->has_authority = true;
		return 0;
	}
	if (!http1_authority_parse(f->value, &a))
		return fail(h, HTTP1_E_HOST, at_of(in, f));
	if (!http1_authority_equal(&h->authority, &a, port))
		return fail(h, HTTP1_E_HOST_MISMATCH, at_of(in, f));
	return 0;
}

static int
expect_read(struct http1_head *h, struct slice in)
{
	const struct http1_field *f = first(h, HTTP1_F_EXPECT);

	if (f == NULL)
		return 0;
	if (!slice_is_nocase(f->value, "100-continue"))
		return fail(h, HTTP1_E_EXPECT, at_of(in, f));
	/* RFC 9110, 10.1.1: HTTP/1.0 cannot expect, nor a message that
	 * has nothing to continue with */
	h->expect_continue = h->minor == 1 &&
	    (h->framing == HTTP1_BODY_CHUNKED || h->length > 0);
	return 0;
}

static void
upgrade_read(struct http1_head *h, const struct options *o)
{
	const struct http1_field *f = first(h, HTTP1_F_UPGRADE);

	if (f == NULL)
		return;
	h->upgrade_value = f->value;
	h->upgrade = o->upgrade && h->minor == 1 &&
	    http1_field_count(h, "upgrade") == 1 &&
	    slice_is_nocase(f->value, "websocket") ?
	    HTTP1_UPGRADE_WEBSOCKET : HTTP1_UPGRADE_OTHER;
}

static int
request_mean(struct http1_head *h, struct slice in, size_t end,
    const struct options *o)
{
	bool body = h->framing == HTTP1_BODY_CHUNKED || h->length > 0;
	const struct http1_field *f;

	if (h->override != 0) {
		f = &h->fields[h->override - 1];
		return fail(h, http1_known_flags(f->known) & F_METHOD ?
		    HTTP1_E_METHOD_OVERRIDE : HTTP1_E_TARGET_OVERRIDE,
		    at_of(in, f));
	}
	if (body && (h->method_id == HTTP1_M_CONNECT ||
	    h->method_id == HTTP1_M_TRACE))
		return fail(h, HTTP1_E_BODY, end);
	if (host_read(h, in, end) != 0 || expect_read(h, in) != 0)
		return -1;
	upgrade_read(h, o);
	return 0;
}

static int
response_mean(struct http1_head *h, enum http1_method to, size_t end,
    const struct options *o)
{
	bool body = h->framing == HTTP1_BODY_CHUNKED || h->length > 0;

	upgrade_read(h, o);
	if (h->status < 200 || h->status == 204) {
		if (body)
			return fail(h, HTTP1_E_BODY, end);
		h->framing = HTTP1_BODY_NONE;
	} else if (to == HTTP1_M_HEAD || h->status == 304 ||
	    (to == HTTP1_M_CONNECT && h->status < 300)) {
		h->framing = HTTP1_BODY_NONE;
	} else if (h->framing == HTTP1_BODY_NONE) {
		h->framing = HTTP1_BODY_CLOSE;
		h->keep_alive = false;
	}
	return 0;
}

/* --------------------------------------------------------- entrances */

static int
head_read(struct http1_head *h, struct slice in, size_t end, bool request,
    const struct http1_limits *lim, enum http1_method to)
{
	struct options o = { 0 };
	size_t at = h->blanks * 2;
	struct slice line = slice_sub(in, at, end - at);

	/* what an early look may have left */
	h->query = slice_make(NULL, 0);
	h->has_authority = false;
	line.n = (size_t)slice_chr(line, '\n') - 1;
	if ((request ? request_line(h, line, lim, at) :
	    status_line(h, line, at)) != 0 ||
	    fields_read(h, in, at + line.n + 2, end, lim) != 0 ||
	    connection_read(h, in, &o) != 0 || framing_read(h, in) != 0)
		return -1;
	h->keep_alive = !o.close && (h->minor == 1 || o.keep_alive);
	return request ? request_mean(h, in, end, &o) :
	    response_mean(h, to, end, &o);
}

static enum http1_result
head_parse(struct http1_head *h, struct slice in, bool request,
    const struct http1_limits *lim, enum http1_method to, size_t *used_r)
{
	size_t end = 0;
	int r;

	if (lim == NULL)
		lim = &http1_limits_default;
	ASSERT(h->error != HTTP1_E_NONE || h->scanned <= in.n);
	if (h->error != HTTP1_E_NONE)
		return HTTP1_ERROR;
	if ((r = end_find(h, in, request, lim, &end)) <= 0)
		return r == 0 ? HTTP1_MORE : HTTP1_ERROR;
	if (head_read(h, in, end, request, lim, to) != 0)
		return HTTP1_ERROR;
	*used_r = end;
	return HTTP1_DONE;
}

enum http1_result
http1_parse_request(struct http1_head *h, struct slice in,
    const struct http1_limits *lim, size_t *used_r)
{
	return head_parse(h, in, true, lim, HTTP1_M_OTHER, used_r);
}

enum http1_result
http1_parse_response(struct http1_head *h, struct slice in,
    const struct http1_limits *lim, enum http1_method to, size_t *used_r)
{
	return head_parse(h, in, false, lim, to, used_r);
}

static void
moved(struct slice *s, const char *from, size_t n, const char *to)
{
	uintptr_t off = (uintptr_t)s->p - (uintptr_t)from;

	if (s->p != NULL && off <= n)
		s->p = to + off;
}

void
http1_head_moved(struct http1_head *h, const char *from, size_t n,
    const char *to)
{
	moved(&h->method, from, n, to);
	moved(&h->target, from, n, to);
	moved(&h->path, from, n, to);
	moved(&h->query, from, n, to);
	moved(&h->upgrade_value, from, n, to);
	moved(&h->reason, from, n, to);
	for (unsigned i = 0; i < h->field_n; i++) {
		moved(&h->fields[i].name, from, n, to);
		moved(&h->fields[i].value, from, n, to);
	}
}

struct slice
http1_field_known(const struct http1_head *h, enum http1_known known)
{
	const struct http1_field *f = known == HTTP1_F_OTHER ? NULL :
	    first(h, known);

	return f == NULL ? slice_make(NULL, 0) : f->value;
}

struct slice
http1_field(const struct http1_head *h, const char *name)
{
	struct slice s = slice_str(name);
	enum http1_known k = http1_known_of(s);

	if (k != HTTP1_F_OTHER)
		return http1_field_known(h, k);
	for (unsigned i = 0; i < h->field_n; i++)
		if (slice_eq_nocase(h->fields[i].name, s))
			return h->fields[i].value;
	return slice_make(NULL, 0);
}

unsigned
http1_field_count(const struct http1_head *h, const char *name)
{
	struct slice s = slice_str(name);
	unsigned n = 0;

	for (unsigned i = 0; i < h->field_n; i++)
		n += slice_eq_nocase(h->fields[i].name, s);
	return n;
}
