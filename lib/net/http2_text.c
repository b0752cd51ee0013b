/*
 * http2_text - field sections of HTTP/2 become heads of HTTP/1.1, and back.
 *
 * What becomes text is checked byte by byte first: no value may end a line.
 * What it means is then for http1 to say, with all it refuses.
 */
#include <stdio.h>
#include <stdlib.h>

#include "http2_impl.h"

struct http2_block *
http2_block_new(const struct http2 *h, bool trailers)
{
	struct http2_block *b = base_calloc(1, sizeof(*b));
	size_t max = h->lim.header + 4096;

	buf_init(&b->fields, max * 2);
	buf_init(&b->cookie, max);
	buf_init(&b->pseudo, max);
	buf_init(&b->host, max);
	b->trailers = trailers;
	return b;
}

void
http2_block_free(struct http2_block *b)
{
	if (b == NULL)
		return;
	buf_wipe_free(&b->fields);
	buf_wipe_free(&b->cookie);
	buf_wipe_free(&b->pseudo);
	buf_wipe_free(&b->host);
	free(b);
}

static const char *
add_pseudo(struct http2_block *b, struct slice name, struct slice value)
{
	static const char *const names[] = { ":method", ":scheme",
		":authority", ":path", ":status" };

	if (b->trailers)
		return "a pseudo-header field in a trailer section";
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (!slice_is(name, names[i]))
			continue;
		if (b->n[i] != 0)
			return "a pseudo-header field stands twice";
		if (value.n == 0)
			return "a pseudo-header field is empty";
		b->at[i] = b->pseudo.len;
		b->n[i] = value.n;
		return buf_add_slice(&b->pseudo, value) == 0 ? NULL :
		    "the field section is too large";
	}
	return "an unknown pseudo-header field";
}

static bool
lower_token(struct slice s)
{
	if (s.n == 0 || http1_span(s.p, s.n, C_TOKEN) != s.n)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] >= 'A' && s.p[i] <= 'Z')
			return false;
	return true;
}

/* RFC 9113, 8.2.2. */
static bool
of_connection(enum http1_known k, struct slice value)
{
	switch (k) {
	case HTTP1_F_CONNECTION:
	case HTTP1_F_PROXY_CONNECTION:
	case HTTP1_F_KEEP_ALIVE:
	case HTTP1_F_TRANSFER_ENCODING:
	case HTTP1_F_UPGRADE:
	case HTTP1_F_HTTP2_SETTINGS:
		return true;
	case HTTP1_F_TE:
		return !slice_is_nocase(value, "trailers");
	default:
		return false;
	}
}

const char *
http2_block_add(struct http2_block *b, const struct http2_limits *lim,
    struct slice name, struct slice value)
{
	enum http1_known k;
	struct buf *o = &b->fields;
	int r = 0;

	b->bytes += name.n + value.n + 32;
	if (b->bytes > lim->header)
		return "the field section is larger than the limit";
	if (http1_span_text(value.p, value.n) != value.n ||
	    (value.n > 0 && slice_trim(value).n != value.n))
		return "a value has a control character or outer space";
	if (name.n > 0 && name.p[0] == ':')
		return add_pseudo(b, name, value);
	if (!lower_token(name))
		return "a field name is no token in small letters";
	if (name.n > http1_limits_default.name)
		return "a field name is longer than the limit";
	k = http1_known_of(name);
	if (of_connection(k, value))
		return "a field that is for HTTP/1.1's connections";
	if (b->trailers) {
		if (http1_known_flags(k) & F_FRAME)
			return "a trailer that frames, routes or authenticates";
		return ++b->count > HTTP2_TRAILERS ? "too many trailers" :
		    NULL;
	}
	if (k == HTTP1_F_COOKIE) {	/* 8.2.3: one field of HTTP/1.1 */
		if (b->cookie.len > 0)
			r = buf_add_str(&b->cookie, "; ");
		else
			b->count++;
		r |= buf_add_slice(&b->cookie, value);
	} else if (++b->count > lim->fields) {
		return "more fields than the limit";
	} else if (k == HTTP1_F_HOST) {
		if (b->has_host)
			return "Host stands twice";
		b->has_host = true;
		r = buf_add_slice(&b->host, value);
	} else {
		b->has_length |= k == HTTP1_F_CONTENT_LENGTH;
		r = http1_write_field(o, name, value);
	}
	return r == 0 ? NULL : "the field section is too large";
}

static struct slice
pseudo(const struct http2_block *b, enum http2_pseudo i)
{
	return slice_make(b->n[i] == 0 ? "" : buf_data(&b->pseudo) + b->at[i],
	    b->n[i]);
}

/* Who is asked, of :authority and Host, which must not differ. */
static const char *
authority(const struct http2_block *b, struct http1_authority *a)
{
	struct slice au = pseudo(b, P_AUTHORITY);
	struct http1_authority host;

	if (au.n == 0 && !b->has_host)
		return "neither :authority nor Host is given";
	if (!http1_authority_parse(au.n > 0 ? au : buf_slice(&b->host), a))
		return "the authority is not a well-formed host and port";
	if (au.n > 0 && b->has_host && (!http1_authority_parse(
	    buf_slice(&b->host), &host) ||
	    !http1_authority_equal(a, &host, 443)))
		return "Host and :authority name different hosts";
	return NULL;
}

static int
finish(struct http2_stream *st, const struct http2_block *b)
{
	struct buf *o = &st->text;
	int r = buf_add_slice(o, buf_slice(&b->fields));

	if (b->cookie.len > 0)
		r |= http1_write_field(o, SLICE("cookie"),
		    buf_slice(&b->cookie));
	if (st->chunked)
		r |= http1_write_framing(o, HTTP1_BODY_CHUNKED, 0);
	return r | http1_write_end(o);
}

const char *
http2_block_request(struct http2_stream *st, bool end)
{
	const struct http2_block *b = st->block;
	struct slice method = pseudo(b, P_METHOD), path = pseudo(b, P_PATH);
	struct http1_authority a;
	const char *why;

	if (method.n == 0 || path.n == 0 || b->n[P_SCHEME] == 0)
		return "a pseudo-header field is missing";
	if (b->n[P_STATUS] != 0)
		return "a request with a status";
	if (!slice_is(pseudo(b, P_SCHEME), "https"))
		return "the scheme is not https";
	st->method = http1_method_of(method);
	if (st->method == HTTP1_M_CONNECT)
		return "CONNECT inside a connection";
	if (path.p[0] != '/' && !(slice_is(path, "*") &&
	    st->method == HTTP1_M_OPTIONS))
		return "the path does not begin with a slash";
	if ((why = authority(b, &a)) != NULL)
		return why;
	/* One run of bytes: the question mark stands in it. */
	struct slice query = path;

	path = slice_cut(&query, '?');
	st->chunked = !end && !b->has_length;
	if (http1_write_request(&st->text, method, path, query) != 0)
		return "the method or the path is not well-formed";
	if (http1_write_host(&st->text, &a) != 0 || finish(st, b) != 0)
		return "the field section is too large";
	return NULL;
}

const char *
http2_block_response(struct http2_stream *st)
{
	const struct http2_block *b = st->block;
	struct slice status = pseudo(b, P_STATUS);
	uint64_t n;

	if (status.n != 3 || !slice_to_u64(status, &n) || n < 100 || n > 599 ||
	    n == 101)
		return "the status is not three digits";
	for (int i = P_METHOD; i <= P_PATH; i++)
		if (b->n[i] != 0)
			return "a response with a request's pseudo-header";
	st->final = n >= 200;
	st->answered = true;
	if (http1_write_response(&st->text, (unsigned)n,
	    slice_make(NULL, 0)) != 0 || finish(st, b) != 0)
		return "the field section is too large";
	return NULL;
}

/* --- ours -------------------------------------------------------------------- */

void
http2_fields_init(struct http2_fields *f)
{
	f->n = 0;
	buf_init(&f->names, 1u << 20);
}

void
http2_fields_free(struct http2_fields *f)
{
	buf_wipe_free(&f->names);
}

static void
put(struct http2_fields *f, struct slice name, struct slice value)
{
	ASSERT(f->n < ARRAY_LEN(f->v));
	f->v[f->n++] = (nghttp2_nv){
		.name = (uint8_t *)(uintptr_t)name.p, .namelen = name.n,
		.value = (uint8_t *)(uintptr_t)value.p, .valuelen = value.n };
}

/* A copy that does not move: names holds all of them at once. */
static struct slice
keep(struct http2_fields *f, struct slice s, bool lower)
{
	size_t at = f->names.len;

	ASSERT(f->names.cap - f->names.len >= s.n);
	ASSERT(buf_add_slice(&f->names, s) == 0);
	char *p = f->names.data + f->names.off + at;

	for (size_t i = 0; lower && i < s.n; i++)
		if (p[i] >= 'A' && p[i] <= 'Z')
			p[i] |= 0x20;
	return slice_make(p, s.n);
}

static void
reserve(struct http2_fields *f, const struct http1_head *h)
{
	size_t n = h->path.n + h->query.n + HTTP1_HOST_MAX + 64;

	for (unsigned i = 0; i < h->field_n; i++)
		n += h->fields[i].name.n;
	ASSERT(buf_reserve(&f->names, n) != NULL);
}

static void
put_fields(struct http2_fields *f, const struct http1_head *h)
{
	char text[24];

	for (unsigned i = 0; i < h->field_n; i++)
		if (http1_field_kept(&h->fields[i]))
			put(f, keep(f, h->fields[i].name, true),
			    h->fields[i].value);
	if (h->has_length)
		put(f, SLICE("content-length"), keep(f, slice_make(text,
		    (size_t)snprintf(text, sizeof(text), "%llu",
		    (unsigned long long)h->length)), false));
}

void
http2_fields_request(struct http2_fields *f, const struct http1_head *h)
{
	struct buf au;
	struct slice path = h->path;

	reserve(f, h);
	buf_init(&au, 512);
	ASSERT(http1_authority_write(&au, &h->authority) == 0);
	if (h->query.p != NULL) {
		path = keep(f, path, false);
		(void)keep(f, SLICE("?"), false);
		path.n += 1 + keep(f, h->query, false).n;
	}
	put(f, SLICE(":method"), h->method);
	put(f, SLICE(":scheme"), SLICE("https"));
	put(f, SLICE(":authority"), keep(f, buf_slice(&au), false));
	put(f, SLICE(":path"), path);
	put_fields(f, h);
	buf_free(&au);
}

void
http2_fields_response(struct http2_fields *f, const struct http1_head *h)
{
	char text[8];

	reserve(f, h);
	snprintf(text, sizeof(text), "%u", h->status);
	put(f, SLICE(":status"), keep(f, slice_make(text, 3), false));
	put_fields(f, h);
}
