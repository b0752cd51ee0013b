/* http2_impl - what the files of http2 share; for nobody else. */
#ifndef HTTP2_IMPL_H
#define HTTP2_IMPL_H

#include <nghttp2/nghttp2.h>

#include "http1.h"
#include "http1_impl.h"
#include "http2.h"
#include "list.h"

/* A field section while it is read. */
struct http2_block {
	struct buf fields;	/* as lines of HTTP/1.1 */
	struct buf cookie;
	struct buf pseudo;	/* bytes of the slices' offsets below */
	size_t at[5], n[5];	/* enum pseudo; n 0: not given */
	struct buf host;
	bool has_host, has_length, trailers, bad;
	unsigned count;
	size_t bytes;
};

enum http2_pseudo { P_METHOD, P_SCHEME, P_AUTHORITY, P_PATH, P_STATUS };

enum http2_out { OUT_HEAD, OUT_BODY, OUT_DONE };

struct http2_stream {
	struct list link;
	struct http2 *h;		/* NULL: the connection has gone */
	void *user;			/* NULL: nobody's any more */
	int32_t id;			/* 0: not sent yet */
	struct http2_block *block;
	enum http1_method method;	/* of the request */

	/* the peer's message */
	struct buf text, body;		/* text goes first */
	bool answered, final, chunked, in_end, end_told, whole;

	/* ours */
	struct buf otext, out;
	struct http1_body obody;
	enum http2_out state;
	bool deferred, want_write, submitted, head_sent, end_sent;
	bool draining;			/* answered; the rest is thrown away, */
	size_t drained;			/* so much of it was */
	bool ours;			/* we reset it */
	bool refused;			/* ... and said why */

	bool closed, detached;
	bool lost;			/* the connection ended before it */
	uint32_t code;			/* with which it was closed */
};

struct bucket {
	unsigned left;
	uint64_t at_ms;
};

struct http2 {
	nghttp2_session *s;
	const struct http2_events *ev;
	void *ctx;
	bool server, congested, broken, goaway, in_headers;
	bool extended;			/* :protocol was seen */
	struct http2_limits lim;
	struct list streams;
	unsigned nstreams, ndraining;
	unsigned credit;		/* WINDOW_UPDATEs that answer DATA */
	struct bucket resets, noise;
	uint8_t hd[9];			/* of the frame being read */
	unsigned hd_n;
	size_t skip;			/* of its payload, or the preface */
};

/* The peer's field section becomes text (http2_text.c). */
struct http2_block *http2_block_new(const struct http2 *h, bool trailers);
void http2_block_free(struct http2_block *b);
/* NULL, or why the field is refused. */
const char *http2_block_add(struct http2_block *b,
    const struct http2_limits *lim, struct slice name, struct slice value);
/* Writes st->text. NULL, or why the message is refused. */
const char *http2_block_request(struct http2_stream *st, bool end);
const char *http2_block_response(struct http2_stream *st);

/* Our head, read from its text, as nghttp2 takes it. */
struct http2_fields {
	nghttp2_nv v[HTTP1_FIELDS_MAX + 8];
	size_t n;
	struct buf names;		/* lower case; slices point into it */
};

void http2_fields_init(struct http2_fields *f);
void http2_fields_free(struct http2_fields *f);
void http2_fields_request(struct http2_fields *f, const struct http1_head *h);
void http2_fields_response(struct http2_fields *f,
    const struct http1_head *h);

#endif
