/*
 * fuzz_http1 - first byte: what to read; the rest: the bytes.
 *
 * Invariants: how the input is split changes nothing; a head that was taken
 * and written again parses to the same structure; a body written again in
 * chunks gives the same data.
 */
#include "http1.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct http1_head a, b, drip;

static bool
same_fields(void)
{
	unsigned j = 0;

	for (unsigned i = 0; i < a.field_n; i++) {
		const struct http1_field *f = &a.fields[i];

		if (!http1_field_kept(f))
			continue;
		while (j < b.field_n && !http1_field_kept(&b.fields[j]))
			j++;
		if (j == b.field_n || !slice_eq(f->name, b.fields[j].name) ||
		    !slice_eq(f->value, b.fields[j].value))
			return false;
		j++;
	}
	while (j < b.field_n && !http1_field_kept(&b.fields[j]))
		j++;
	return j == b.field_n;
}

static void
same_framing(void)
{
	ASSERT(a.framing == b.framing);
	ASSERT(a.framing != HTTP1_BODY_LENGTH || a.length == b.length);
	ASSERT(same_fields());
}

/* Reads the head in three pieces at moving addresses. */
static void
check_split(struct slice in, bool request, enum http1_method to,
    enum http1_result want, size_t used)
{
	size_t cut[] = { in.n / 3, in.n - in.n / 4, in.n }, u = 0;
	enum http1_result r = HTTP1_MORE;

	http1_head_init(&drip);
	for (size_t i = 0; i < 3 && r == HTTP1_MORE; i++) {
		char *copy = slice_dup(slice_sub(in, 0, cut[i]));
		struct slice part = slice_make(copy, cut[i]);

		r = request ? http1_parse_request(&drip, part, NULL, &u) :
		    http1_parse_response(&drip, part, NULL, to, &u);
		free(copy);
	}
	ASSERT(r == want && (r != HTTP1_DONE || u == used));
}

static void
fuzz_request(struct slice in)
{
	enum http1_result r;
	struct buf out;
	size_t used = 0;

	http1_head_init(&a);
	r = http1_parse_request(&a, in, NULL, &used);
	check_split(in, true, HTTP1_M_OTHER, r, used);
	if (r != HTTP1_DONE)
		return;
	ASSERT(used <= in.n && a.error == HTTP1_E_NONE);
	buf_init(&out, 1u << 20);
	struct slice path = a.path;

	if (a.form == HTTP1_AUTHORITY)
		path = a.target;
	if (http1_path_normal(path, NULL))
		ASSERT(path.p[0] == '/' && slice_find(path, SLICE("//")) < 0 &&
		    slice_find(path, SLICE("/../")) < 0);
	ASSERT(http1_write_request(&out, a.method, path, a.query) == 0);
	ASSERT(!a.has_authority || http1_write_host(&out, &a.authority) == 0);
	ASSERT(a.has_authority ||
	    http1_write_field(&out, SLICE("Host"), SLICE("x")) == 0);
	ASSERT(http1_write_kept(&out, &a) == 0);
	ASSERT(http1_write_framing(&out, a.framing, a.length) == 0);
	ASSERT(http1_write_end(&out) == 0);
	http1_head_init(&b);
	ASSERT(http1_parse_request(&b, buf_slice(&out), NULL, &used) ==
	    HTTP1_DONE || b.error == HTTP1_E_FIELDS_MANY ||
	    b.error == HTTP1_E_HEAD_LONG);
	if (b.error == HTTP1_E_NONE) {
		ASSERT(used == out.len);
		ASSERT(slice_eq(a.method, b.method));
		ASSERT(slice_eq(a.path, b.path));
		ASSERT(slice_eq(a.query, b.query));
		ASSERT((a.query.p == NULL) == (b.query.p == NULL));
		ASSERT(!a.has_authority || http1_authority_equal(
		    &a.authority, &b.authority, 0));
		same_framing();
	}
	buf_free(&out);
}

static void
fuzz_response(struct slice in, enum http1_method to)
{
	enum http1_result r;
	struct buf out;
	size_t used = 0;

	http1_head_init(&a);
	r = http1_parse_response(&a, in, NULL, to, &used);
	check_split(in, false, to, r, used);
	if (r != HTTP1_DONE)
		return;
	buf_init(&out, 1u << 20);
	ASSERT(http1_write_response(&out, a.status, a.reason) == 0);
	ASSERT(http1_write_kept(&out, &a) == 0);
	ASSERT(http1_write_framing(&out, a.framing, a.length) == 0);
	ASSERT(http1_write_end(&out) == 0);
	http1_head_init(&b);
	ASSERT(http1_parse_response(&b, buf_slice(&out), NULL, to, &used) ==
	    HTTP1_DONE || b.error == HTTP1_E_FIELDS_MANY ||
	    b.error == HTTP1_E_HEAD_LONG);
	if (b.error == HTTP1_E_NONE) {
		ASSERT(used == out.len && a.status == b.status);
		ASSERT(slice_eq(a.reason, b.reason));
		same_framing();
	}
	buf_free(&out);
}

static enum http1_result
body_read(struct slice in, size_t step, struct buf *out, size_t *taken_r)
{
	enum http1_result r = HTTP1_MORE;
	struct http1_body body;
	size_t at = 0;

	http1_body_init(&body, HTTP1_BODY_CHUNKED, 0);
	while (at < in.n && r == HTTP1_MORE) {
		struct slice part = slice_sub(in, at, step), d;
		size_t given = part.n;

		while ((r = http1_body_next(&body, &part, &d)) == HTTP1_DATA) {
			ASSERT(d.n > 0);
			buf_add_slice(out, d);
		}
		at += given - part.n;
	}
	ASSERT(body.total == out->len);
	*taken_r = at;
	return r;
}

static void
fuzz_body(struct slice in, size_t step)
{
	struct buf one, two, wire;
	size_t t1, t2;

	buf_init(&one, in.n + 1);
	buf_init(&two, in.n + 1);
	buf_init(&wire, in.n * 8 + 64);
	enum http1_result r = body_read(in, SIZE_MAX, &one, &t1);

	ASSERT(r == body_read(in, step, &two, &t2));
	ASSERT(slice_eq(buf_slice(&one), buf_slice(&two)) && t1 == t2);
	if (r == HTTP1_DONE) {
		struct slice rest = buf_slice(&one);

		for (; rest.n > 0; rest = slice_sub(rest, step, SIZE_MAX))
			ASSERT(http1_write_chunk(&wire,
			    slice_sub(rest, 0, step)) == 0);
		ASSERT(http1_write_chunk_end(&wire) == 0);
		buf_reset(&two);
		ASSERT(body_read(buf_slice(&wire), 7, &two, &t2) ==
		    HTTP1_DONE && t2 == wire.len);
		ASSERT(slice_eq(buf_slice(&one), buf_slice(&two)));
	}
	buf_free(&one);
	buf_free(&two);
	buf_free(&wire);
}

/* A path of any bytes, a host and a URL, without a head around them. */
static void
fuzz_uri(struct slice in)
{
	struct http1_authority x, y;
	struct http1_url u;
	struct buf out;

	if (http1_path_normal(in, NULL)) {
		ASSERT(in.p[0] == '/' && slice_find(in, SLICE("//")) < 0 &&
		    slice_find(in, SLICE("/../")) < 0 &&
		    slice_find(in, SLICE("/./")) < 0 &&
		    slice_chr(in, '\\') < 0 && slice_chr(in, '\0') < 0 &&
		    !slice_ends(in, "/..") && !slice_ends(in, "/."));
		/* Decoded where nothing needs encoding it stays normal, and
		 * as it is. */
		char *p = malloc(in.n), *q = malloc(in.n);
		struct slice s = slice_make(p, http1_path_plain(in, p));

		ASSERT(http1_path_normal(s, NULL));
		ASSERT(slice_eq(s, slice_make(q, http1_path_plain(s, q))));
		free(p);
		free(q);
	}
	buf_init(&out, 1024);
	if (http1_authority_parse(in, &x)) {
		ASSERT(x.host_n == strlen(x.host));
		ASSERT(http1_authority_write(&out, &x) == 0);
		ASSERT(http1_authority_parse(buf_slice(&out), &y));
		ASSERT(http1_authority_equal(&x, &y, 0));
	}
	if (http1_url_parse(in, &u) == HTTP1_E_NONE)
		ASSERT(u.path.n > 0 && u.path.p[0] == '/' &&
		    u.authority.kind != HTTP1_HOST_NONE);
	buf_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n == 0)
		return 0;
	struct slice in = slice_make(data + 1, n - 1);

	switch (data[0]) {
	case 'Q':
		fuzz_request(in);
		break;
	case 'R':
		fuzz_response(in, HTTP1_M_GET);
		break;
	case 'H':
		fuzz_response(in, HTTP1_M_HEAD);
		break;
	case 'U':
		fuzz_uri(in);
		break;
	default:
		fuzz_body(in, (size_t)data[0] % 16 + 1);
	}
	return 0;
}
