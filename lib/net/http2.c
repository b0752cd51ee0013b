/*
 * http2 - see http2.h: the session, its streams, and what floods cost.
 *
 * A stream belongs to its user until http2_stream_free(), and to the session
 * while nghttp2 knows it; it is freed when neither is left.
 */
#include "http2.h"

#include <stdlib.h>

#include "clock.h"
#include "http2_impl.h"

#define DRAIN_MAX 32768	/* of a request that is answered already */
#define OTEXT_MAX (256u << 10)	/* a head of ours */
#define OTEXT_STEP 16384	/* of what may be a head and a body behind it */
#define FRAME 16384u

/* --- small helpers ------------------------------------------------------------- */

static void
tell(struct http2_stream *st, unsigned events)
{
	if (st->user != NULL && st->h != NULL)
		st->h->ev->stream(st->user, events);
}

static void
output(struct http2 *h)
{
	if (!h->broken)
		h->ev->output(h->ctx);
}

static bool
spend(struct bucket *b, unsigned burst, unsigned a_second)
{
	uint64_t now = clock_mono_ms();
	uint64_t more = (now - b->at_ms) * a_second / 1000;

	if (more > 0) {
		b->left = more > burst - b->left ? burst :
		    b->left + (unsigned)more;
		b->at_ms = now;
	}
	if (b->left == 0)
		return false;
	b->left--;
	return true;
}

static int
calm_down(struct http2 *h, const char *why)
{
	h->ev->refused(h->ctx, why);
	(void)nghttp2_session_terminate_session(h->s,
	    NGHTTP2_ENHANCE_YOUR_CALM);
	h->broken = true;
	return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int
noise(struct http2 *h)
{
	return spend(&h->noise, HTTP2_NOISE, HTTP2_NOISE_S) ? 0 :
	    calm_down(h, "too many frames that carry nothing");
}

static int
count_reset(struct http2 *h)
{
	return spend(&h->resets, HTTP2_RESETS, HTTP2_RESETS_S) ? 0 :
	    calm_down(h, "too many streams were reset");
}

static void
release(struct http2_stream *st)
{
	http2_block_free(st->block);
	buf_wipe_free(&st->text);
	buf_wipe_free(&st->body);
	buf_wipe_free(&st->otext);
	buf_wipe_free(&st->out);
	free(st);
}

static struct http2_stream *
stream_new(struct http2 *h, int32_t id)
{
	struct http2_stream *st = base_calloc(1, sizeof(*st));

	st->h = h;
	st->id = id;
	buf_init(&st->text, (h->lim.header + 4096) * 4);
	buf_init(&st->body, HTTP2_WINDOW);
	buf_init(&st->otext, OTEXT_MAX);
	buf_init(&st->out, HTTP2_WRITE_MAX);
	list_append(&h->streams, &st->link);
	h->nstreams++;
	return st;
}

static void
unlink_stream(struct http2_stream *st)
{
	list_remove(&st->link);
	st->h->nstreams--;
	st->h->ndraining -= st->draining;
	st->h = NULL;
}

/* --- what nghttp2 tells ------------------------------------------------------------ */

static struct http2_stream *
stream_of(nghttp2_session *s, int32_t id)
{
	return nghttp2_session_get_stream_user_data(s, id);
}

static int
refuse(struct http2 *h, struct http2_stream *st, const char *why,
    uint32_t code)
{
	h->ev->refused(h->ctx, why);
	st->refused = true;
	(void)nghttp2_submit_rst_stream(h->s, NGHTTP2_FLAG_NONE, st->id, code);
	return 0;
}

static int
count_frame(struct http2 *h, uint8_t type)
{
	switch (type) {
	case NGHTTP2_HEADERS:
	case NGHTTP2_DATA:
		return 0;
	case NGHTTP2_WINDOW_UPDATE:
		if (h->credit > 0) {
			h->credit--;
			return 0;
		}
		return noise(h);
	default:
		return noise(h);
	}
}

/* nghttp2 does not tell of every frame: reads the frames' heads (RFC 9113,
 * 4.1) along with it. */
static int
count_frames(struct http2 *h, struct slice in)
{
	while (in.n > 0) {
		size_t k = h->skip < in.n ? h->skip : in.n;

		if (k == 0) {
			k = sizeof(h->hd) - h->hd_n;
			if (k > in.n)
				k = in.n;
			memcpy(h->hd + h->hd_n, in.p, k);
			h->hd_n += (unsigned)k;
		} else {
			h->skip -= k;
		}
		in = slice_sub(in, k, SIZE_MAX);
		if (h->hd_n < sizeof(h->hd))
			continue;
		h->hd_n = 0;
		h->skip = (size_t)h->hd[0] << 16 | (size_t)h->hd[1] << 8 |
		    h->hd[2];
		if (count_frame(h, h->hd[3]) != 0)
			return -1;
	}
	return 0;
}

static int
on_begin_headers(nghttp2_session *s, const nghttp2_frame *f, void *ctx)
{
	struct http2 *h = ctx;
	struct http2_stream *st = stream_of(s, f->hd.stream_id);

	if (f->hd.type != NGHTTP2_HEADERS)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if (h->server && f->headers.cat == NGHTTP2_HCAT_REQUEST) {
		st = stream_new(h, f->hd.stream_id);
		st->detached = true;	/* until it is accepted */
		(void)nghttp2_session_set_stream_user_data(s, st->id, st);
	}
	if (st == NULL)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	http2_block_free(st->block);
	st->block = http2_block_new(h, st->final);
	h->in_headers = true;
	return 0;
}

static int
on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name,
    size_t nn, const uint8_t *value, size_t vn, uint8_t flags, void *ctx)
{
	struct http2 *h = ctx;
	struct http2_stream *st = stream_of(s, f->hd.stream_id);
	const char *why;

	(void)flags;
	if (st == NULL || st->block == NULL)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	why = http2_block_add(st->block, &h->lim, slice_make(name, nn),
	    slice_make(value, vn));
	if (why == NULL)
		return 0;
	st->block->bad = true;
	(void)refuse(h, st, why, NGHTTP2_PROTOCOL_ERROR);
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* nghttp2 would drop such a field and go on. */
static int
on_invalid_header(nghttp2_session *s, const nghttp2_frame *f,
    const uint8_t *name, size_t nn, const uint8_t *value, size_t vn,
    uint8_t flags, void *ctx)
{
	struct http2_stream *st = stream_of(s, f->hd.stream_id);

	(void)name, (void)nn, (void)value, (void)vn, (void)flags;
	if (st != NULL)
		(void)refuse(ctx, st, "a field name or value is not "
		    "well-formed", NGHTTP2_PROTOCOL_ERROR);
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static void
input_ended(struct http2_stream *st)
{
	st->in_end = true;
	tell(st, HTTP2_READABLE);
}

static int
on_headers(struct http2 *h, struct http2_stream *st, bool end)
{
	bool trailers = st->block->trailers;
	const char *why = NULL;

	if (st->block->bad)
		return 0;
	if (!trailers)
		why = h->server ? http2_block_request(st, end) :
		    http2_block_response(st);
	http2_block_free(st->block);
	st->block = NULL;
	if (why != NULL)
		return refuse(h, st, why, NGHTTP2_PROTOCOL_ERROR);
	if (h->server && !trailers) {
		st->final = true;
		st->in_end = end;
		h->ev->request(h->ctx, st);
		if (st->user == NULL)
			return refuse(h, st, "too many streams",
			    NGHTTP2_REFUSED_STREAM);
	}
	if (end)
		input_ended(st);
	else
		tell(st, HTTP2_READABLE);
	return 0;
}

static int
on_frame(nghttp2_session *s, const nghttp2_frame *f, void *ctx)
{
	struct http2 *h = ctx;
	struct http2_stream *st = stream_of(s, f->hd.stream_id);
	bool end = (f->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;

	switch (f->hd.type) {
	case NGHTTP2_HEADERS:
		h->in_headers = false;
		return st == NULL || st->block == NULL ? 0 :
		    on_headers(h, st, end);
	case NGHTTP2_DATA:
		if (f->hd.length <= f->data.padlen && !end)
			return noise(h);
		if (end && st != NULL)
			input_ended(st);
		return 0;
	case NGHTTP2_RST_STREAM:
		return count_reset(h);
	case NGHTTP2_GOAWAY:
		h->goaway = true;
		return 0;
	default:
		return 0;
	}
}

static int
on_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *p,
    size_t n, void *ctx)
{
	struct http2_stream *st = stream_of(s, id);

	(void)flags;
	(void)ctx;
	if (st != NULL && st->user == NULL && st->draining) {
		/* The stream's own window is not opened again. */
		(void)nghttp2_session_consume_connection(s, n);
		st->drained += n;
		if (st->drained > DRAIN_MAX)
			(void)nghttp2_submit_rst_stream(s, NGHTTP2_FLAG_NONE,
			    id, NGHTTP2_NO_ERROR);
		return 0;
	}
	/* A window of data at most: more is the peer's fault. */
	if (st == NULL || st->user == NULL || buf_add(&st->body, p, n) != 0) {
		(void)nghttp2_session_consume(s, id, n);
		if (st != NULL && st->user != NULL)
			(void)nghttp2_submit_rst_stream(s, NGHTTP2_FLAG_NONE,
			    id, NGHTTP2_FLOW_CONTROL_ERROR);
		return 0;
	}
	tell(st, HTTP2_READABLE);
	return 0;
}

/* A request that was reset before its HEADERS left: nghttp2 made no stream. */
static struct http2_stream *
unsent(const struct http2 *h, int32_t id)
{
	list_each(it, &h->streams) {
		struct http2_stream *st = list_entry(it, struct http2_stream,
		    link);

		if (st->id == id && !st->closed)
			return st;
	}
	return NULL;
}

static int
on_close(nghttp2_session *s, int32_t id, uint32_t code, void *ctx)
{
	struct http2 *h = ctx;
	struct http2_stream *st = stream_of(s, id);

	h->in_headers = false;
	if (st == NULL)
		st = unsent(h, id);
	if (st == NULL)
		return 0;
	(void)nghttp2_session_set_stream_user_data(s, id, NULL);
	st->closed = true;
	st->code = code;
	http2_block_free(st->block);
	st->block = NULL;
	tell(st, HTTP2_CLOSED);
	if (st->detached) {
		unlink_stream(st);
		release(st);
	}
	return 0;
}

/* Our own frames. An answer to a request that is not all here ends it, too,
 * but not by RST_STREAM at once, as RFC 9113, 8.1 allows: clients that are
 * still sending then lose the answer (curl 7.88). */
static int
on_sent(nghttp2_session *s, const nghttp2_frame *f, void *ctx)
{
	struct http2 *h = ctx;
	struct http2_stream *st = stream_of(s, f->hd.stream_id);

	if (f->hd.type == NGHTTP2_DATA)
		h->credit = h->credit > 10000 ? h->credit : h->credit + 2;
	/* What a peer makes us reset counts like what it resets itself
	 * (CVE-2025-8671). */
	if (f->hd.type == NGHTTP2_RST_STREAM && (st == NULL || !st->ours) &&
	    f->rst_stream.error_code != NGHTTP2_NO_ERROR) {
		(void)count_reset(h);	/* GOAWAY is still to be sent */
		if (st != NULL && !st->refused)
			h->ev->refused(h->ctx, "the content is not as long "
			    "as it says, or frames are out of order");
	}
	if (f->hd.type == NGHTTP2_HEADERS && st != NULL)
		st->head_sent = true;
	if ((f->hd.type != NGHTTP2_DATA && f->hd.type != NGHTTP2_HEADERS) ||
	    (f->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0 || st == NULL)
		return 0;
	st->end_sent = true;
	if (h->server && !st->in_end && !st->draining) {
		st->draining = true;
		h->ndraining++;
	}
	return 0;
}

static int
on_bad_frame(nghttp2_session *s, const nghttp2_frame *f, int code, void *ctx)
{
	struct http2 *h = ctx;
	struct http2_stream *st = stream_of(s, f->hd.stream_id);

	if (st != NULL)
		st->refused = true;
	h->in_headers = false;
	h->ev->refused(h->ctx, h->extended ? "extended CONNECT (RFC 8441) is "
	    "refused: WebSocket is spoken over HTTP/1.1 only" :
	    nghttp2_strerror(code));
	h->extended = false;
	return 0;
}

/* nghttp2 names the field that it refuses only here. */
static int
on_error_text(nghttp2_session *s, int code, const char *msg, size_t n,
    void *ctx)
{
	struct http2 *h = ctx;

	(void)s, (void)code;
	if (slice_find(slice_make(msg, n), SLICE("name: [:protocol]")) >= 0)
		h->extended = true;
	return 0;
}

static ssize_t
give_data(nghttp2_session *s, int32_t id, uint8_t *p, size_t n,
    uint32_t *flags, nghttp2_data_source *src, void *ctx)
{
	struct http2_stream *st = src->ptr;
	size_t k = st->out.len < n ? st->out.len : n;

	(void)s, (void)id, (void)ctx;
	if (k > 0) {
		memcpy(p, buf_data(&st->out), k);
		buf_consume(&st->out, k);
	}
	if (st->out.len == 0 && st->state == OUT_DONE)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	else if (k == 0) {
		st->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	if (st->out.len == 0)
		buf_wipe_free(&st->out);
	return (ssize_t)k;
}

/* --- the session -------------------------------------------------------------------- */

static nghttp2_session_callbacks *
callbacks(void)
{
	nghttp2_session_callbacks *cb;

	ASSERT(nghttp2_session_callbacks_new(&cb) == 0);
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb,
	    on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback(cb,
	    on_invalid_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_sent);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb,
	    on_bad_frame);
	nghttp2_session_callbacks_set_error_callback2(cb, on_error_text);
	return cb;
}

static struct http2 *
session_new(bool server, const struct http2_limits *lim,
    const struct http2_events *ev, void *ctx)
{
	static const struct http2_limits usual = { 65536, HTTP1_FIELDS_MAX };
	struct http2 *h = base_calloc(1, sizeof(*h));
	nghttp2_session_callbacks *cb = callbacks();
	nghttp2_option *o;

	h->server = server;
	h->lim = lim == NULL ? usual : *lim;
	h->ev = ev;
	h->ctx = ctx;
	h->resets = (struct bucket){ HTTP2_RESETS, clock_mono_ms() };
	h->noise = (struct bucket){ HTTP2_NOISE, clock_mono_ms() };
	h->skip = server ? NGHTTP2_CLIENT_MAGIC_LEN : 0;
	list_init(&h->streams);
	ASSERT(nghttp2_option_new(&o) == 0);
	nghttp2_option_set_no_auto_window_update(o, 1);
	nghttp2_option_set_no_closed_streams(o, 1);
	nghttp2_option_set_max_outbound_ack(o, HTTP2_STREAMS);
	nghttp2_option_set_max_reserved_remote_streams(o, 0);
	ASSERT((server ? nghttp2_session_server_new2(&h->s, cb, h, o) :
	    nghttp2_session_client_new2(&h->s, cb, h, o)) == 0);
	nghttp2_option_del(o);
	nghttp2_session_callbacks_del(cb);

	const nghttp2_settings_entry set[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
		    server ? HTTP2_STREAMS : 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP2_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
		    (uint32_t)h->lim.header },
		{ NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1 },
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
	};

	/* ENABLE_PUSH is a client's word. */
	ASSERT(nghttp2_submit_settings(h->s, NGHTTP2_FLAG_NONE, set,
	    ARRAY_LEN(set) - server) == 0);
	ASSERT(nghttp2_session_set_local_window_size(h->s, NGHTTP2_FLAG_NONE,
	    0, HTTP2_WINDOW_ALL) == 0);
	return h;
}

struct http2 *
http2_server(const struct http2_limits *lim, const struct http2_events *ev,
    void *ctx)
{
	return session_new(true, lim, ev, ctx);
}

struct http2 *
http2_client(const struct http2_limits *lim, const struct http2_events *ev,
    void *ctx)
{
	return session_new(false, lim, ev, ctx);
}

void
http2_free(struct http2 *h)
{
	if (h == NULL)
		return;
	nghttp2_session_del(h->s);
	list_each_safe(it, tmp, &h->streams) {
		struct http2_stream *st = list_entry(it, struct http2_stream,
		    link);

		if (!st->closed)
			st->code = h->server || st->head_sent ?
			    NGHTTP2_INTERNAL_ERROR : NGHTTP2_REFUSED_STREAM;
		st->lost = !st->closed;
		st->closed = true;
		tell(st, HTTP2_CLOSED);
		unlink_stream(st);
		if (st->detached)
			release(st);
	}
	free(h);
}

/* -- both ways -- */

static size_t
room(const struct http2_stream *st)
{
	const struct http2 *h = st->h;
	int64_t w, all;

	if (h->congested)
		return 0;
	w = nghttp2_session_get_stream_remote_window_size(h->s, st->id);
	if (w < 0 && st->submitted)	/* its HEADERS wait to be sent */
		w = nghttp2_session_get_remote_settings(h->s,
		    NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE);
	all = nghttp2_session_get_remote_window_size(h->s);
	if (all < w)
		w = all;
	if (w > HTTP2_WRITE_MAX)
		w = HTTP2_WRITE_MAX;
	return w <= (int64_t)st->out.len ? 0 : (size_t)w - st->out.len;
}

static void
wake_writers(struct http2 *h)
{
	list_each_safe(it, tmp, &h->streams) {
		struct http2_stream *st = list_entry(it, struct http2_stream,
		    link);

		if (!st->want_write || st->closed || room(st) == 0)
			continue;
		st->want_write = false;
		tell(st, HTTP2_WRITABLE);
	}
}

int
http2_recv(struct http2 *h, struct slice in)
{
	ssize_t k;

	if (h->broken)
		return -1;
	if (count_frames(h, in) != 0) {
		h->ev->output(h->ctx);
		return -1;
	}
	k = nghttp2_session_mem_recv(h->s, (const uint8_t *)in.p, in.n);
	if (k != (ssize_t)in.n) {
		if (k == NGHTTP2_ERR_BAD_CLIENT_MAGIC)
			h->ev->refused(h->ctx, "no HTTP/2 preface");
		(void)nghttp2_session_terminate_session(h->s,
		    NGHTTP2_PROTOCOL_ERROR);
		h->broken = true;
	}
	h->ev->output(h->ctx);
	if (h->broken)
		return -1;
	wake_writers(h);
	return 0;
}

int
http2_fill(struct http2 *h, struct buf *out)
{
	const uint8_t *p;
	ssize_t k = 0;

	while (out->len < HTTP2_OUT_HIGH &&
	    (k = nghttp2_session_mem_send(h->s, &p)) > 0)
		if (buf_add(out, p, (size_t)k) != 0)
			k = -1;
	h->congested = out->len >= HTTP2_OUT_HIGH;
	if (k < 0) {
		h->broken = true;
		return -1;
	}
	if (!h->broken && !h->congested)
		wake_writers(h);
	return 0;
}

bool
http2_done(const struct http2 *h)
{
	return !nghttp2_session_want_read(h->s) &&
	    !nghttp2_session_want_write(h->s);
}

void
http2_goaway(struct http2 *h)
{
	(void)nghttp2_submit_goaway(h->s, NGHTTP2_FLAG_NONE,
	    nghttp2_session_get_last_proc_stream_id(h->s), NGHTTP2_NO_ERROR,
	    NULL, 0);
	h->goaway = true;
	output(h);
}

unsigned
http2_open_streams(const struct http2 *h)
{
	return h->nstreams - h->ndraining;
}

bool
http2_in_headers(const struct http2 *h)
{
	return h->in_headers;
}

/* --- streams -------------------------------------------------------------------------- */

bool
http2_has_room(const struct http2 *h)
{
	uint32_t theirs = nghttp2_session_get_remote_settings(h->s,
	    NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);

	return !h->broken && !h->goaway && h->nstreams < HTTP2_STREAMS &&
	    h->nstreams < theirs &&
	    nghttp2_session_check_request_allowed(h->s);
}

struct http2_stream *
http2_open(struct http2 *h, void *user)
{
	struct http2_stream *st = stream_new(h, 0);

	st->user = user;
	return st;
}

void
http2_accept(struct http2_stream *st, void *user)
{
	st->user = user;
	st->detached = false;
}

/* One run of the peer's body, as the text that it is to the user. */
static void
body_text(struct http2_stream *st)
{
	struct slice data = slice_sub(buf_slice(&st->body), 0, FRAME);
	int r = 0;

	if (data.n == 0)
		return;
	r = st->chunked ? http1_write_chunk(&st->text, data) :
	    buf_add_slice(&st->text, data);
	ASSERT(r == 0);		/* it was empty, and is larger than a frame */
	buf_consume(&st->body, data.n);
	if (st->h != NULL) {
		(void)nghttp2_session_consume(st->h->s, st->id, data.n);
		output(st->h);
	}
}

static bool
failed(const struct http2_stream *st)
{
	return st->closed && (st->code != NGHTTP2_NO_ERROR || !st->in_end);
}

ssize_t
http2_read(struct http2_stream *st, void *p, size_t n)
{
	if (failed(st))
		return TLS_TRUNCATED;
	if (st->text.len == 0)
		body_text(st);
	if (st->text.len == 0 && st->in_end && st->chunked && !st->end_told) {
		st->end_told = true;
		ASSERT(http1_write_chunk_end(&st->text) == 0);
	}
	size_t k = st->text.len < n ? st->text.len : n;

	if (k > 0) {
		memcpy(p, buf_data(&st->text), k);
		buf_consume(&st->text, k);
		if (st->text.len == 0 && st->body.len == 0) {
			buf_wipe_free(&st->text);
			buf_wipe_free(&st->body);
		}
		return (ssize_t)k;
	}
	if (st->closed || (st->in_end && st->state != OUT_HEAD &&
	    st->h != NULL && !st->h->server))
		return TLS_EOF;
	return TLS_WANT_READ;
}

size_t
http2_pending(const struct http2_stream *st)
{
	/* An end that was not told yet is one more thing to read. */
	bool end = st->in_end && (st->h == NULL || !st->h->server ||
	    (st->chunked && !st->end_told));

	return st->text.len + st->body.len + end;
}

static int
submit(struct http2_stream *st, const struct http1_head *head)
{
	static struct http2_fields f;	/* large; used up before returning */
	bool end = st->state == OUT_DONE;
	nghttp2_data_provider dp = { .source.ptr = st,
		.read_callback = give_data };
	struct http2 *h = st->h;
	int32_t r;

	http2_fields_init(&f);
	if (!h->server)
		http2_fields_request(&f, head);
	else
		http2_fields_response(&f, head);
	if (!h->server) {
		r = nghttp2_submit_request(h->s, NULL, f.v, f.n,
		    end ? NULL : &dp, st);
		if (r > 0)
			st->id = r;
	} else if (head->interim) {
		r = nghttp2_submit_headers(h->s, NGHTTP2_FLAG_NONE, st->id,
		    NULL, f.v, f.n, NULL);
	} else {
		r = nghttp2_submit_response(h->s, st->id, f.v, f.n,
		    end ? NULL : &dp);
	}
	http2_fields_free(&f);
	st->submitted = true;
	return r < 0 ? -1 : 0;
}

static ssize_t
write_head(struct http2_stream *st, const void *p, size_t n)
{
	static struct http1_head head;	/* large; used up before returning */
	static const struct http1_limits lim = { .head = OTEXT_MAX,
		.target = OTEXT_MAX, .name = 1024,
		.fields = HTTP1_FIELDS_MAX };
	size_t before = st->otext.len, used;
	enum http1_result r;

	if (n > OTEXT_STEP)
		n = OTEXT_STEP;
	if (buf_add(&st->otext, p, n) != 0)
		return TLS_ERROR;
	http1_head_init(&head);
	r = st->h->server ? http1_parse_response(&head, buf_slice(&st->otext),
	    &lim, st->method, &used) : http1_parse_request(&head,
	    buf_slice(&st->otext), &lim, &used);
	if (r == HTTP1_MORE)
		return (ssize_t)n;
	if (r != HTTP1_DONE || used <= before)
		return TLS_ERROR;
	if (!st->h->server)
		st->method = head.method_id;
	if (!head.interim) {
		http1_body_init(&st->obody, head.framing, head.length);
		st->state = http1_body_done(&st->obody) ? OUT_DONE : OUT_BODY;
	}
	if (submit(st, &head) != 0)
		return TLS_ERROR;
	buf_wipe_free(&st->otext);
	return (ssize_t)(used - before);
}

/* Takes framing and data of *in, at most max bytes of data. False: no more can
 * be taken now. */
static enum http1_result
take(struct http2_stream *st, struct slice *in)
{
	struct http1_body before = st->obody;
	struct slice rest = *in, data;
	size_t max = room(st);
	enum http1_result r = http1_body_next(&st->obody, &rest, &data);

	if (r == HTTP1_DATA && data.n > max) {
		st->obody = before;
		if (max == 0)
			return HTTP1_MORE;
		rest = slice_sub(*in, 0, (size_t)(data.p - in->p) + max);
		size_t whole = rest.n;

		r = http1_body_next(&st->obody, &rest, &data);
		ASSERT(r == HTTP1_DATA && rest.n == 0);
		rest = slice_sub(*in, whole, SIZE_MAX);
	}
	if (r == HTTP1_DATA)
		ASSERT(buf_add_slice(&st->out, data) == 0);
	*in = rest;
	return r;
}

static ssize_t
write_body(struct http2_stream *st, const void *p, size_t n)
{
	struct slice in = slice_make(p, n);
	enum http1_result r;

	while ((r = take(st, &in)) == HTTP1_DATA)
		;
	if (r == HTTP1_ERROR)
		return TLS_ERROR;
	if (r == HTTP1_DONE)
		st->state = OUT_DONE;
	if (st->deferred && (st->out.len > 0 || st->state == OUT_DONE)) {
		st->deferred = false;
		(void)nghttp2_session_resume_data(st->h->s, st->id);
	}
	if (in.n < n)
		return (ssize_t)(n - in.n);
	st->want_write = true;
	return TLS_WANT_WRITE;
}

ssize_t
http2_write(struct http2_stream *st, const void *p, size_t n)
{
	ssize_t k;

	if (st->closed || st->h == NULL)
		return TLS_TRUNCATED;
	if (st->state == OUT_DONE || n == 0)
		return TLS_ERROR;
	k = st->state == OUT_HEAD ? write_head(st, p, n) :
	    write_body(st, p, n);
	output(st->h);
	return k;
}

static void
reset(struct http2_stream *st, uint32_t code)
{
	if (st->closed || st->h == NULL || st->ours)
		return;
	st->ours = true;
	buf_wipe_free(&st->out);
	if (st->id > 0)
		(void)nghttp2_submit_rst_stream(st->h->s, NGHTTP2_FLAG_NONE,
		    st->id, code);
	output(st->h);
}

void
http2_end(struct http2_stream *st)
{
	if (st->closed || st->h == NULL || st->state == OUT_DONE)
		return;
	if (st->state == OUT_BODY && http1_body_eof(&st->obody, true) ==
	    HTTP1_DONE) {
		st->state = OUT_DONE;
		if (st->deferred)
			(void)nghttp2_session_resume_data(st->h->s, st->id);
		st->deferred = false;
		output(st->h);
	} else {
		reset(st, NGHTTP2_INTERNAL_ERROR);
	}
}

void
http2_cut(struct http2_stream *st)
{
	reset(st, st->h != NULL && st->h->server ? NGHTTP2_INTERNAL_ERROR :
	    NGHTTP2_CANCEL);
}

void
http2_whole(struct http2_stream *st)
{
	st->whole = true;
}

bool
http2_refused(const struct http2_stream *st)
{
	/* nghttp2 closes with this code what GOAWAY leaves out, too. */
	return st->closed && !st->ours && !st->answered &&
	    st->code == NGHTTP2_REFUSED_STREAM;
}

bool
http2_lost(const struct http2_stream *st)
{
	return st->h == NULL && st->lost && !st->answered;
}

bool
http2_stream_complete(const struct http2_stream *st)
{
	return st->state == OUT_DONE && st->in_end;
}

void
http2_stream_free(struct http2_stream *st)
{
	struct http2 *h;

	if (st == NULL)
		return;
	h = st->h;
	if (h != NULL && st->body.len > 0)
		(void)nghttp2_session_consume(h->s, st->id, st->body.len);
	buf_wipe_free(&st->body);
	buf_wipe_free(&st->text);
	if (h != NULL && !st->closed &&
	    (st->state != OUT_DONE || (!h->server && !st->in_end && !st->whole)))
		http2_cut(st);
	st->user = NULL;
	st->detached = true;
	if (h != NULL && (st->closed || st->id == 0))
		unlink_stream(st);
	if (st->h == NULL)
		release(st);
	else
		output(h);
}
