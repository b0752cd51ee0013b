/*
 * http1_write - writes messages from their structure; see http1.h.
 *
 * Each writer knows its length before it begins, so that it writes all or
 * nothing, and checks every byte that could end a line.
 */
#include "http1.h"
#include "http1_impl.h"
#include "jsonw.h"

#include <stdio.h>

/* All parts in one piece, or nothing. */
static int
put(struct buf *out, const struct slice *part, size_t n)
{
	size_t len = 0;
	char *p;

	for (size_t i = 0; i < n; i++)
		len += part[i].n;
	if ((p = buf_reserve(out, len)) == NULL)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (part[i].n != 0)
			memcpy(p, part[i].p, part[i].n);
		p += part[i].n;
	}
	buf_commit(out, len);
	return 0;
}

static bool
is_token(struct slice s)
{
	return s.n != 0 && http1_span(s.p, s.n, C_TOKEN) == s.n;
}

int
http1_write_request(struct buf *out, struct slice method, struct slice path,
    struct slice query)
{
	const struct slice part[] = { method, SLICE(" "), path,
		query.p == NULL ? SLICE("") : SLICE("?"), query,
		SLICE(" HTTP/1.1\r\n") };

	if (!is_token(method) || path.n == 0 ||
	    http1_span(path.p, path.n, C_PATH) != path.n ||
	    http1_span(query.p, query.n, C_QUERY) != query.n)
		return -1;
	return put(out, part, ARRAY_LEN(part));
}

int
http1_write_response(struct buf *out, unsigned status, struct slice reason)
{
	char room[U64_DIGITS];

	if (reason.p == NULL)
		reason = slice_str(http1_status_text(status));
	const struct slice part[] = { SLICE("HTTP/1.1 "),
		slice_of_u64(status, room), SLICE(" "), reason,
		SLICE("\r\n") };

	if (status < 100 || status > 599 ||
	    http1_span_text(reason.p, reason.n) != reason.n)
		return -1;
	return put(out, part, ARRAY_LEN(part));
}

int
http1_write_field(struct buf *out, struct slice name, struct slice value)
{
	value = slice_trim(value);
	const struct slice part[] = { name, SLICE(": "), value,
		SLICE("\r\n") };

	if (!is_token(name) || http1_span_text(value.p, value.n) != value.n)
		return -1;
	return put(out, part, ARRAY_LEN(part));
}

int
http1_write_host(struct buf *out, const struct http1_authority *a)
{
	char room[U64_DIGITS];
	bool v6 = a->kind == HTTP1_HOST_V6;
	bool port = a->port != 0;
	const struct slice part[] = { SLICE("Host: "),
		v6 ? SLICE("[") : SLICE(""), slice_make(a->host, a->host_n),
		v6 ? SLICE("]") : SLICE(""), port ? SLICE(":") : SLICE(""),
		port ? slice_of_u64(a->port, room) : SLICE(""),
		SLICE("\r\n") };

	if (a->kind == HTTP1_HOST_NONE)
		return -1;
	return put(out, part, ARRAY_LEN(part));
}

int
http1_write_framing(struct buf *out, enum http1_framing framing,
    uint64_t length)
{
	char room[U64_DIGITS];
	const struct slice part[] = { SLICE("Content-Length: "),
		slice_of_u64(length, room), SLICE("\r\n") };

	switch (framing) {
	case HTTP1_BODY_LENGTH:
		return put(out, part, ARRAY_LEN(part));
	case HTTP1_BODY_CHUNKED:
		return buf_add_str(out, "Transfer-Encoding: chunked\r\n");
	case HTTP1_BODY_NONE:
	case HTTP1_BODY_CLOSE:
		break;
	}
	return 0;
}

int
http1_write_kept(struct buf *out, const struct http1_head *h)
{
	size_t before = out->len;

	for (unsigned i = 0; i < h->field_n; i++) {
		const struct http1_field *f = &h->fields[i];
		const struct slice part[] = { f->name, SLICE(": "), f->value,
			SLICE("\r\n") };

		/* the reader has checked every byte of it */
		if (http1_field_kept(f) &&
		    put(out, part, ARRAY_LEN(part)) != 0) {
			out->len = before;
			return -1;
		}
	}
	return 0;
}

int
http1_write_end(struct buf *out)
{
	return buf_add(out, "\r\n", 2);
}

int
http1_write_chunk_head(struct buf *out, uint64_t n)
{
	char line[24];

	/* a size of 0 would end the body */
	ASSERT(n > 0 && n <= INT64_MAX);
	int len = snprintf(line, sizeof(line), "%llx\r\n",
	    (unsigned long long)n);

	return buf_add(out, line, (size_t)len);
}

int
http1_write_chunk_tail(struct buf *out)
{
	return buf_add(out, "\r\n", 2);
}

int
http1_write_chunk(struct buf *out, struct slice data)
{
	char line[24];

	if (data.n == 0)
		return 0;
	int n = snprintf(line, sizeof(line), "%zx\r\n", data.n);
	const struct slice part[] = { slice_make(line, (size_t)n), data,
		SLICE("\r\n") };

	return put(out, part, ARRAY_LEN(part));
}

int
http1_write_chunk_end(struct buf *out)
{
	return buf_add(out, "0\r\n\r\n", 5);
}

/* Bounded: a sentence, an id. */
#define ANSWER_BODY_MAX 16384

static void
answer_body(struct buf *body, const struct http1_answer *a)
{
	struct jsonw w;

	jsonw_init(&w, body);
	jsonw_object(&w, NULL);
	jsonw_object(&w, "error");
	jsonw_str(&w, "reason", a->word);
	jsonw_str(&w, "message", a->text);
	if (a->event != NULL)
		jsonw_str(&w, "event", a->event);
	jsonw_object_end(&w);
	jsonw_object_end(&w);
	buf_add_char(body, '\n');
}

int
http1_write_answer(struct buf *out, const struct http1_answer *a)
{
	size_t before = out->len;
	struct buf body;
	int r = -1;

	buf_init(&body, ANSWER_BODY_MAX);
	answer_body(&body, a);
	if (body.full)
		goto out;
	if (http1_write_response(out, a->status, slice_make(NULL, 0)) != 0 ||
	    http1_write_field(out, SLICE("Content-Type"),
	    SLICE("application/json")) != 0 ||
	    http1_write_field(out, SLICE("Cache-Control"),
	    SLICE("no-store")) != 0 ||
	    (a->field != NULL && http1_write_field(out, slice_str(a->field),
	    slice_str(a->value)) != 0) ||
	    (a->close && http1_write_field(out, SLICE("Connection"),
	    SLICE("close")) != 0) ||
	    http1_write_framing(out, HTTP1_BODY_LENGTH, body.len) != 0 ||
	    http1_write_end(out) != 0 ||
	    (!a->head && buf_add_slice(out, buf_slice(&body)) != 0))
		goto out;
	r = 0;
out:
	if (r != 0)
		out->len = before;
	buf_free(&body);
	return r;
}

int
http1_write_error(struct buf *out, unsigned status, const char *word,
    const char *text, const char *event, bool close)
{
	const struct http1_answer a = { .status = status, .word = word,
		.text = text, .event = event, .close = close };

	return http1_write_answer(out, &a);
}
