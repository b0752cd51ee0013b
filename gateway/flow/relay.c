/*
 * relay - the way back: reads the upstream's answer, decides how it can be
 * inspected (whole, by SSE event, or not), and delivers it to the agent with
 * framing of our own. Reading is paused while the agent is slow.
 */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "log.h"

static void upstream_failed(struct exchange *ex, const char *why);
static void relay_soon(void *ctx);

/* --- writing to the agent -------------------------------------------------- */

static bool
agent_full(const struct exchange *ex)
{
	return ex->c->out.len > FLOW_OUT_HIGH;
}

static void
write_client(struct exchange *ex, struct slice data)
{
	struct buf *o = &ex->c->out;

	ex->bytes_out += data.n;
	if (data.n == 0 || ex->head_only)
		return;
	if ((ex->chunked_out ? http1_write_chunk(o, data) :
	    buf_add_slice(o, data)) != 0) {
		log_error("an agent's buffer overflowed: cut");
		ex->delivered = false;
		exchange_end(ex, "cut");
		return;
	}
	conn_kick(ex->c);
}

static void
end_client(struct exchange *ex)
{
	ex->delivered = true;
	if (ex->chunked_out && !ex->head_only &&
	    http1_write_chunk_end(&ex->c->out) != 0)
		ex->delivered = false;
	conn_kick(ex->c);
}

/* The response head to the agent, from the upstream's, framed anew. */
static int
write_client_head(struct exchange *ex, enum http1_framing framing,
    uint64_t length)
{
	const struct http1_head *h = ex->resp;
	struct buf *o = &ex->c->out, sealed;
	int r;

	if (framing == HTTP1_BODY_CHUNKED && ex->req->minor == 0) {
		framing = HTTP1_BODY_CLOSE;
		ex->keep_alive = false;
	}
	ex->chunked_out = framing == HTTP1_BODY_CHUNKED;
	r = http1_write_response(o, h->status, slice_make(NULL, 0));
	for (unsigned i = 0; i < h->field_n; i++) {
		const struct http1_field *f = &h->fields[i];

		if (!http1_field_kept(f) || (ex->decoded &&
		    f->known == HTTP1_F_CONTENT_ENCODING))
			continue;
		/* The gateway's own session with this server. */
		if (f->known == HTTP1_F_MCP_SESSION_ID && ex->agg != NULL) {
			if (ex->c->agg != NULL)
				r |= http1_write_field(o, f->name, f->value);
			continue;
		}
		if (f->known == HTTP1_F_MCP_SESSION_ID) {
			buf_init(&sealed, 4096);
			identity_seal(ex, IDENTITY_SESSION, f->value, &sealed);
			r |= http1_write_field(o, f->name,
			    buf_slice(&sealed));
			buf_free(&sealed);
			continue;
		}
		/* The upstream's own challenge is about our credential. */
		if (ex->bearer && f->known == HTTP1_F_WWW_AUTHENTICATE)
			continue;
		r |= http1_write_field(o, f->name, f->value);
	}
	if (ex->agg != NULL)
		r |= aggregate_write_session(ex, o);
	if (!ex->keep_alive)
		r |= http1_write_field(o, SLICE("Connection"), SLICE("close"));
	if (framing != HTTP1_BODY_CLOSE)
		r |= http1_write_framing(o, framing, length);
	r |= http1_write_end(o);
	ex->head_out = true;
	return r;
}

void
relay_send_message(struct exchange *ex, struct slice json)
{
	struct buf *o = &ex->c->out, ev;

	if (ex->hold_stream) {
		buf_init(&ev, json.n + 65536);
		if (sse_write_event(&ev, SLICE("message"),
		    slice_make(NULL, 0), json) == 0)
			write_client(ex, buf_slice(&ev));
		buf_free(&ev);
		if (!ex->over)
			end_client(ex);
		return;
	}
	if (http1_write_response(o, ex->status, slice_make(NULL, 0)) != 0 ||
	    http1_write_field(o, SLICE("Content-Type"),
	    SLICE("application/json")) != 0 ||
	    http1_write_framing(o, HTTP1_BODY_LENGTH, json.n) != 0 ||
	    http1_write_end(o) != 0 || buf_add_slice(o, json) != 0)
		log_error("no room for an answer");
	ex->head_out = true;
	ex->bytes_out += json.n;
	conn_kick(ex->c);
}

/* --- what the answer is ---------------------------------------------------------- */

void
relay_keep_result(struct exchange *ex, struct slice s)
{
	size_t max = (size_t)ex->con->log_result;

	ex->result_json = ex->text_json && ex->result.len == 0;
	if (ex->result.len + s.n > max) {
		ex->result_truncated = true;
		s.n = max > ex->result.len ? max - ex->result.len : 0;
	}
	if (s.n > 0 && buf_add_slice(&ex->result, s) != 0)
		ex->result_truncated = true;
}

static void
refuse_response(struct exchange *ex, enum reason r, const char *detail)
{
	upstream_close(ex->u, true);
	ex->u = NULL;
	ex->mode = RESP_END;
	exchange_refuse(ex, r, "%s", detail);
	exchange_answer_refusal(ex);
}

static bool
may_go_uninspected(struct exchange *ex, enum reason r, const char *what)
{
	return ex->con->media_stream || exchange_exception(ex, r, what);
}

static void
begin_stream(struct exchange *ex)
{
	const struct http1_head *h = ex->resp;
	enum http1_framing f = h->framing == HTTP1_BODY_CLOSE ?
	    HTTP1_BODY_CHUNKED : h->framing;

	/* RFC 9110, 8.6: what the content would measure that an answer to HEAD
	 * and a 304 leave out; a 204 must not say it. */
	if (f == HTTP1_BODY_NONE && h->has_length && h->status != 204 &&
	    !ex->decoded)
		f = HTTP1_BODY_LENGTH;
	ex->mode = RESP_STREAM;
	if (write_client_head(ex, f, h->length) != 0)
		refuse_response(ex, REASON_UPSTREAM, "its head does not fit");
	else
		conn_kick(ex->c);	/* the body may be long in coming */
}

/* Identity was asked for; what came encoded is decoded here and goes on as
 * identity. A stream has no size to limit, only a proportion. */
static void
begin_decoding(struct exchange *ex, enum media_coding coding, bool stream)
{
	struct coding_limits lim = coding_limits_default;

	if (!stream)
		lim.bytes = ex->rbody.max;
	ex->decoder = coding_new(coding, &lim);
}

static void
end_decoding(struct exchange *ex)
{
	coding_free(ex->decoder);
	ex->decoder = NULL;
	buf_wipe_free(&ex->encoded);
}

static void
begin_body(struct exchange *ex)
{
	const struct http1_head *h = ex->resp;
	enum media_coding coding;
	struct media m;

	media_parse(http1_field_known(h, HTTP1_F_CONTENT_TYPE), &m);
	ex->resp_media = m.kind;
	coding = media_coding_of(http1_field_known(h,
	    HTTP1_F_CONTENT_ENCODING));
	/* What will not be read goes as it came. */
	ex->decoded = coding_known(coding) && (media_inspectable(&m) ||
	    (m.kind == MEDIA_NONE && !ex->con->media_stream));
	if (h->framing == HTTP1_BODY_NONE || ex->head_only) {
		begin_stream(ex);
		return;
	}
	if (coding == MEDIA_CODING_SEVERAL) {
		refuse_response(ex, REASON_AMBIGUOUS,
		    "(the response has more than one content coding)");
		return;
	}
	if (coding != MEDIA_CODING_IDENTITY && !coding_known(coding)) {
		if (may_go_uninspected(ex, REASON_MEDIA, "encoded response"))
			begin_stream(ex);
		else
			refuse_response(ex, REASON_MEDIA,
			    "(the response is encoded)");
		return;
	}
	if (ex->decoded)
		begin_decoding(ex, coding, m.kind == MEDIA_SSE);
	if (m.kind == MEDIA_SSE && m.utf8) {
		ex->mode = RESP_SSE;
		ex->sse = base_calloc(1, sizeof(*ex->sse));
		sse_init(ex->sse, NULL);
		if (!ex->hold_stream && write_client_head(ex,
		    HTTP1_BODY_CHUNKED, 0) != 0)
			refuse_response(ex, REASON_UPSTREAM, "");
		else
			conn_kick(ex->c);	/* so may the first event */
		return;
	}
	if (!media_inspectable(&m)) {
		bool empty = h->framing == HTTP1_BODY_LENGTH && h->length == 0;

		if (!empty && m.kind == MEDIA_NONE && !ex->con->media_stream)
			ex->mode = RESP_WHOLE;	/* may turn out empty */
		else if (empty || may_go_uninspected(ex, REASON_MEDIA,
		    media_kind_name(m.kind)))
			begin_stream(ex);
		else
			refuse_response(ex, REASON_MEDIA,
			    media_kind_name(m.kind));
		return;
	}
	if (h->framing == HTTP1_BODY_LENGTH && h->length > ex->rbody.max) {
		end_decoding(ex);
		ex->decoded = false;
		if (exchange_exception(ex, REASON_BODY_TOO_LARGE, "response"))
			begin_stream(ex);
		else
			refuse_response(ex, REASON_BODY_TOO_LARGE,
			    "(the response)");
		return;
	}
	ex->mode = RESP_WHOLE;
}

/* A head that speaks to us, not to the agent, or that cannot be had whole. */
static void
on_head(struct exchange *ex)
{
	struct http1_head *h = ex->resp;

	if (h->switching) {
		const char *why = ex->ws == NULL ?
		    "the upstream wants another protocol" : websocket_begin(ex);

		if (why != NULL)
			refuse_response(ex, REASON_AMBIGUOUS, why);
		return;
	}
	ex->status = h->status;
	if (ex->bearer && (h->status == 401 || h->status == 407)) {
		refuse_response(ex, REASON_CREDENTIAL, "(the upstream did not "
		    "accept the connector's credential)");
		return;
	}
	if (ex->agg != NULL && !ex->whole && (h->status == 400 ||
	    h->status == 404) && ex->req->method_id == HTTP1_M_POST) {
		const char *why = aggregate_lost(ex);

		if (why != NULL)
			refuse_response(ex, REASON_UPSTREAM, why);
		return;
	}
	http1_body_init(&ex->resp_body, h->framing, h->length);
	begin_body(ex);
}

/* --- whole bodies -------------------------------------------------------- */

static void
send_whole(struct exchange *ex, struct slice out)
{
	relay_keep_result(ex, out);
	if (ex->hold_stream && ex->resp_media != MEDIA_JSON) {
		refuse_response(ex, REASON_MEDIA, "(no JSON)");
		return;
	}
	if (ex->hold_stream) {
		relay_send_message(ex, out);
		return;
	}
	if (write_client_head(ex, HTTP1_BODY_LENGTH, out.n) != 0) {
		refuse_response(ex, REASON_UPSTREAM, "its head does not fit");
		return;
	}
	write_client(ex, out);
	if (!ex->over)
		end_client(ex);
}

/* A result that changes the session's context is delivered only after the
 * detector has it: until then it waits in held_out. */
static void
deliver_whole(struct exchange *ex)
{
	struct slice text = buf_slice(&ex->rbody), out = text;
	struct buf scratch;
	int r;

	if (ex->sse_post && ex->resp_media == MEDIA_NONE)
		buf_reset(&ex->rbody);	/* what it says is on the stream */
	text = out = buf_slice(&ex->rbody);
	/* Servers say 202 in chunks, of which there are none. */
	if (ex->resp_media == MEDIA_NONE && text.n > 0 &&
	    !exchange_exception(ex, REASON_MEDIA, "no Content-Type")) {
		refuse_response(ex, REASON_MEDIA,
		    "(the response has no Content-Type)");
		return;
	}
	buf_init(&scratch, ex->rbody.max * 2 + 65536);
	ex->text_json = ex->whole;	/* our own words */
	r = ex->whole ? 0 : ex->resp_media == MEDIA_JSON && text.n > 0 ?
	    content_result(ex, text, &scratch, &out) :
	    content_text(ex, text, &scratch, &out);
	if (r != 0)
		refuse_response(ex, ex->reason, ex->detail);
	else if (ex->context_wait && buf_add_slice(&ex->held_out, out) != 0)
		refuse_response(ex, REASON_BODY_TOO_LARGE, "(the response)");
	else if (!ex->context_wait)
		send_whole(ex, out);
	buf_free(&scratch);
}

/* --- SSE, event by event --------------------------------------------------- */

/* The ids of an MCP server's events are good for one principal. */
static bool
bound(const struct exchange *ex, const struct sse_event *ev)
{
	return ex->con->kind == CONNECTOR_MCP && ev->has_id && ev->id.n > 0;
}

static int
write_event(struct exchange *ex, const struct sse_event *ev, struct slice data,
    struct buf *out)
{
	struct slice id = ev->has_id ? ev->id : slice_make(NULL, 0);
	struct buf sealed;
	int r = 0;

	buf_init(&sealed, sse_limits_default.line);
	if (bound(ex, ev) && ex->agg != NULL) {
		id = slice_make(NULL, 0);	/* /mcp resumes no stream */
	} else if (bound(ex, ev)) {
		identity_seal(ex, IDENTITY_EVENT, ev->id, &sealed);
		id = buf_slice(&sealed);
	}
	if (ev->has_retry)
		r = sse_write_retry(out, ev->retry_ms);
	if (r == 0)
		r = sse_write_event(out, ev->name.n > 0 ? ev->name :
		    slice_make(NULL, 0), id, data);
	if (sealed.full)
		r = -1;
	buf_free(&sealed);
	return r;
}

/* An event without data: an id from which a client may go on, a pause. */
static void
deliver_bare(struct exchange *ex, const struct sse_event *ev)
{
	struct buf out;

	if (!bound(ex, ev)) {
		write_client(ex, ev->raw);
		return;
	}
	buf_init(&out, sse_limits_default.event + 65536);
	if (write_event(ex, ev, ev->has_data ? SLICE("") : slice_make(NULL,
	    0), &out) != 0)
		refuse_response(ex, REASON_REDACTOR_LIMIT, "(an event's id)");
	else
		write_client(ex, buf_slice(&out));
	buf_free(&out);
}

static void
deliver_event(struct exchange *ex, const struct sse_event *ev)
{
	struct slice text = ev->data, clean = text, bytes = ev->raw;
	struct buf scratch, out, instead;

	if (!ev->has_data || text.n == 0) {
		deliver_bare(ex, ev);
		return;
	}
	buf_init(&scratch, sse_limits_default.event * 2);
	buf_init(&out, sse_limits_default.event * 2 + 65536);
	buf_init(&instead, 65536);
	bool endpoint = ex->con->kind == CONNECTOR_MCP && ex->endpoint.n == 0 &&
	    ex->req->method_id == HTTP1_M_GET && slice_is(ev->name, "endpoint");
	int r = endpoint ? oldsse_endpoint(ex, text, &scratch) :
	    ex->con->kind == CONNECTOR_MCP || text.p[0] == '{' ?
	    content_result(ex, text, &scratch, &clean) :
	    content_text(ex, text, &scratch, &clean);

	if (endpoint && r == 0)
		clean = buf_slice(&scratch);
	else if (r == 0 && ex->endpoint.n > 0 &&
	    oldsse_answer(ex, clean, &instead) != 0)
		clean = buf_slice(&instead);
	if (r == 0 && (clean.p != text.p || bound(ex, ev))) {
		r = write_event(ex, ev, clean, &out);
		bytes = buf_slice(&out);
		if (r != 0)
			exchange_refuse(ex, REASON_REDACTOR_LIMIT, "%s", "");
	}
	if (r < 0) {
		/* Between two events the agent can still be told. */
		ex->hold_stream |= ex->chunked_out && ex->reason == REASON_ASKED;
		refuse_response(ex, ex->reason, ex->detail);
	} else if (r == 0) {
		relay_keep_result(ex, clean);
		if (!ex->context_wait)
			write_client(ex, bytes);
		else if (buf_add_slice(&ex->held_out, bytes) != 0)
			refuse_response(ex, REASON_BODY_TOO_LARGE, "");
	}
	buf_free(&scratch);
	buf_free(&out);
	buf_free(&instead);
}

static void
feed_sse(struct exchange *ex, struct slice data)
{
	struct sse_event ev;

	while (!ex->over && ex->sse != NULL) {
		if (ex->context_wait) {
			if (buf_add_slice(&ex->sse_rest, data) != 0)
				refuse_response(ex, REASON_BODY_TOO_LARGE, "");
			return;
		}
		switch (sse_next(ex->sse, &data, &ev)) {
		case SSE_EVENT:
			deliver_event(ex, &ev);
			break;
		case SSE_COMMENT:
			write_client(ex, ev.raw);
			break;
		case SSE_MORE:
			return;
		case SSE_ERROR:
		default:
			refuse_response(ex, REASON_REDACTOR_LIMIT,
			    sse_error_text(ex->sse->error));
			return;
		}
	}
}

/* --- the pump --------------------------------------------------------------------------- */

/* The body has no length and is larger than what is read whole. */
static void
too_large(struct exchange *ex, struct slice data)
{
	/* Of some nobody has said yet that they may go uninspected; a decoded
	 * one has met the decoder's own limit. */
	if (ex->hold_stream || ex->decoded || ex->resp_media == MEDIA_NONE ||
	    !exchange_exception(ex, REASON_BODY_TOO_LARGE, "response")) {
		refuse_response(ex, REASON_BODY_TOO_LARGE, "(the response)");
		return;
	}
	ex->c->out.max += ex->rbody.len;
	begin_stream(ex);
	if (!ex->over)
		write_client(ex, buf_slice(&ex->rbody));
	if (!ex->over)
		write_client(ex, data);
	buf_wipe_free(&ex->rbody);
}

static void
on_body(struct exchange *ex, struct slice data)
{
	switch (ex->mode) {
	case RESP_WHOLE:
		if (buf_add_slice(&ex->rbody, data) != 0)
			too_large(ex, data);
		break;
	case RESP_SSE:
		feed_sse(ex, data);
		break;
	case RESP_STREAM:
		write_client(ex, data);
		break;
	default:
		break;
	}
}

static void
refuse_coding(struct exchange *ex)
{
	enum coding_error e = coding_error(ex->decoder);
	char text[128];

	snprintf(text, sizeof(text), "(the response: %s)",
	    coding_error_text(e));
	refuse_response(ex, content_coding_reason(e), text);
}

/* Delivers the next run of what the decoder has been given. False: it wants
 * more of the body. */
static bool
on_encoded(struct exchange *ex)
{
	struct slice in = buf_slice(&ex->encoded), data;
	size_t before = in.n;
	enum coding_result r = coding_next(ex->decoder, &in, &data);

	buf_consume(&ex->encoded, before - in.n);
	if (r == CODING_DATA)
		on_body(ex, data);
	else if (r == CODING_ERROR)
		refuse_coding(ex);
	return r != CODING_MORE;
}

/* The response is complete: the connection may serve again. */
static void
on_complete(struct exchange *ex)
{
	enum resp_mode mode = ex->mode;

	if (ex->decoder != NULL && !coding_end(ex->decoder)) {
		refuse_coding(ex);
		return;
	}
	end_decoding(ex);
	ex->mode = RESP_END;
	if (mode == RESP_WHOLE)
		deliver_whole(ex);
	else if (!ex->context_wait)
		end_client(ex);
	if (ex->over)
		return;
	if (ex->u != NULL) {
		struct upstream *u = ex->u;

		ex->u = NULL;
		/* A lane of before a reload shows its digest again. */
		if (!(ex->stdio && ex->view != ex->f->view) &&
		    ex->resp->keep_alive && ex->uin.len == 0 &&
		    !ex->u_eof && ex->request_sent &&
		    ex->resp->framing != HTTP1_BODY_CLOSE)
			upstream_put(u);
		else
			upstream_close(u, false);
	}
	if (ex->context_wait)
		return;
	exchange_resume(ex);
}

static void
read_head(struct exchange *ex)
{
	size_t used;

	if (ex->resp == NULL)
		ex->resp = spare_head(ex->f);
	switch (http1_parse_response(ex->resp, buf_slice(&ex->uin), NULL,
	    ex->req->method_id, &used)) {
	case HTTP1_MORE:
		if (ex->u_eof)
			upstream_failed(ex, "it closed before it answered");
		return;
	case HTTP1_DONE:
		break;
	default:
		refuse_response(ex, REASON_AMBIGUOUS,
		    http1_error_text(ex->resp->error));
		return;
	}
	if (ex->resp->interim) {
		buf_consume(&ex->uin, used);
		http1_head_init(ex->resp);
		return;
	}
	/* The head's slices point into uin: read what they say first. */
	on_head(ex);
	if (!ex->over && ex->mode != RESP_END) {
		if (ex->mode == RESP_WHOLE) {
			/* Its fields are needed when the body is there. */
			struct slice copy = arena_copy(ex->a, slice_make(
			    buf_data(&ex->uin), used));

			if (copy.p == NULL) {
				refuse_response(ex, REASON_UPSTREAM,
				    "its head is too large");
				return;
			}
			http1_head_moved(ex->resp, buf_data(&ex->uin), used,
			    copy.p);
		}
		buf_consume(&ex->uin, used);
		if (ex->mode == RESP_SSE)
			spare_settle(ex);
	}
}

void
relay_pump(struct exchange *ex)
{
	struct slice in, data;

	while (!ex->over && ex->mode == RESP_HEAD && ex->uin.len > 0) {
		size_t before = ex->uin.len;

		read_head(ex);
		if (ex->over || ex->uin.len == before)
			break;
	}
	if (!ex->over && ex->mode == RESP_WS) {
		websocket_pump(ex);
		return;
	}
	while (!ex->over && ex->mode != RESP_HEAD && ex->mode != RESP_END) {
		if (ex->context_wait || (agent_full(ex) &&
		    ex->mode != RESP_WHOLE)) {
			ex->u_paused = true;
			return;
		}
		if (ex->decoder != NULL && on_encoded(ex))
			continue;
		in = buf_slice(&ex->uin);
		size_t before = in.n;
		enum http1_result r = http1_body_next(&ex->resp_body, &in,
		    &data);

		if (r == HTTP1_DATA && ex->decoder == NULL)
			on_body(ex, data);
		else if (r == HTTP1_DATA)
			ASSERT(buf_add_slice(&ex->encoded, data) == 0);
		if (ex->over)
			return;
		buf_consume(&ex->uin, before - in.n);
		if (r == HTTP1_DONE) {
			on_complete(ex);
			return;
		}
		if (r == HTTP1_ERROR) {
			upstream_failed(ex,
			    http1_error_text(ex->resp_body.error));
			return;
		}
		if (r == HTTP1_MORE)
			break;
	}
	if (ex->over || !ex->u_eof || ex->mode == RESP_END)
		return;
	if (ex->mode == RESP_HEAD)
		upstream_failed(ex, "it closed before it answered");
	else if (http1_body_eof(&ex->resp_body, ex->u_eof &&
	    !ex->u_truncated) == HTTP1_DONE)
		on_complete(ex);
	else
		upstream_failed(ex, "it closed inside the response");
}

static void
upstream_failed(struct exchange *ex, const char *why)
{
	if (resend_try(ex))
		return;
	ex->end_status = "error";
	refuse_response(ex, REASON_UPSTREAM, why);
}

/* --- the upstream's connection -------------------------------------------------------------- */

static void
upstream_read(struct exchange *ex)
{
	for (int i = 0; i < 8; i++) {
		char *p = ex->f->spares.read;
		size_t room = buf_room(&ex->uin);
		size_t want = room < FLOW_READ ? room : FLOW_READ;
		ssize_t k;

		if (want == 0)
			return;
		k = stream_read(ex->u->s, p, want);
		if (k == TLS_WANT_READ || k == TLS_WANT_WRITE)
			return;
		if (k < 0) {
			ex->u_eof = true;
			ex->u_truncated = k != TLS_EOF;
			return;
		}
		ASSERT(buf_add(&ex->uin, p, (size_t)k) == 0);
		explicit_bzero(p, (size_t)k);
		ex->moved += (size_t)k;
		ex->answered = true;
		if ((size_t)k < want && stream_pending(ex->u->s) == 0)
			return;
	}
	loop_soon(ex->f->loop, relay_soon, ex);
}

static void
relay_soon(void *ctx)
{
	struct exchange *ex = ctx;

	if (!ex->over && ex->u != NULL)
		relay_upstream_event(ex, LOOP_READ);
}

static void
set_watch(struct exchange *ex)
{
	unsigned ev = 0;

	if (ex->over || ex->u == NULL)
		return;
	if (!ex->u_paused && !ex->u_eof)
		ev |= LOOP_READ;
	if (ex->uout.len > 0)
		ev |= LOOP_WRITE;
	upstream_watch(ex->u, ev, relay_upstream_event, ex);
}

/* Body of a request that streams: from the agent to the upstream. */
static void
fill_request(struct exchange *ex)
{
	struct slice in, data;

	while (!ex->gated && !http1_body_done(&ex->req_body) &&
	    ex->uout.len < FLOW_OUT_HIGH) {
		in = buf_slice(&ex->c->in);
		size_t before = in.n;
		enum http1_result r = http1_body_next(&ex->req_body, &in,
		    &data);

		if (r == HTTP1_DATA) {
			ex->bytes_in += data.n;
			if ((ex->req->framing == HTTP1_BODY_CHUNKED ?
			    http1_write_chunk(&ex->uout, data) :
			    buf_add_slice(&ex->uout, data)) != 0)
				r = HTTP1_ERROR;
		}
		buf_consume(&ex->c->in, before - in.n);
		if (r == HTTP1_DONE && ex->req->framing == HTTP1_BODY_CHUNKED
		    && http1_write_chunk_end(&ex->uout) != 0)
			r = HTTP1_ERROR;
		if (r == HTTP1_ERROR) {
			refuse_response(ex, REASON_AMBIGUOUS,
			    http1_error_text(ex->req_body.error));
			return;
		}
		if (r != HTTP1_DATA)
			break;
	}
	conn_kick(ex->c);
}

void
relay_send_request_body(struct exchange *ex)
{
	const char *target;

	if (ex->u == NULL || ex->over)
		return;
	fill_request(ex);
	if (ex->over)
		return;
	while (ex->uout.len > 0) {
		if (exchange_killed(ex, &target)) {
			exchange_cut(ex, target, REASON_KILLED);
			return;
		}
		if (ex->ws != NULL && !websocket_may_send(ex))
			return;
		ssize_t k = stream_write(ex->u->s, buf_data(&ex->uout),
		    ex->uout.len);

		if (k == TLS_WANT_READ || k == TLS_WANT_WRITE)
			break;
		if (k < 0) {
			/* It may still have answered why. */
			ex->uout.len = 0;
			ex->u_write_failed = true;
			break;
		}
		buf_consume(&ex->uout, (size_t)k);
		ex->moved += (size_t)k;
		if (ex->uout.len == 0)
			fill_request(ex);
		if (ex->over)
			return;
	}
	if (ex->uout.len == 0 && http1_body_done(&ex->req_body)) {
		if (!ex->request_sent && ex->cred_value.n > 0)
			explicit_bzero((char *)(uintptr_t)ex->cred_value.p,
			    ex->cred_value.n);
		ex->request_sent = !ex->u_write_failed;
		buf_wipe_free(&ex->uout);
	}
	set_watch(ex);
}

void
relay_upstream_event(void *ctx, unsigned events)
{
	struct exchange *ex = ctx;
	const char *target;

	if (!ex->over && exchange_killed(ex, &target))
		exchange_cut(ex, target, REASON_KILLED);
	if (ex->stopped && ex->u != NULL)	/* until it is closed */
		upstream_watch(ex->u, 0, NULL, NULL);
	if (ex->over || ex->u == NULL)
		return;
	if ((events & LOOP_WRITE) && ex->uout.len > 0) {
		relay_send_request_body(ex);
		if (ex->over || ex->u == NULL)
			return;
	}
	if (!ex->u_paused)
		upstream_read(ex);
	relay_pump(ex);
	if (!ex->over && ex->mode == RESP_SSE && ex->uin.len == 0) {
		buf_wipe_free(&ex->uin);	/* the next event may be far */
		if (ex->sse != NULL)
			sse_trim(ex->sse);
		if (ex->encoded.len == 0)
			buf_wipe_free(&ex->encoded);
		stream_trim(ex->u->s);
	}
	set_watch(ex);
}

static void
local_soon(void *ctx)
{
	struct exchange *ex = ctx;

	if (!ex->over)
		relay_pump(ex);
}

void
relay_local(struct exchange *ex, unsigned status, struct slice json)
{
	buf_wipe_free(&ex->uin);
	buf_init(&ex->uin, json.n + 256);
	buf_addf(&ex->uin, "HTTP/1.1 %u \r\n%sContent-Length: %zu\r\n\r\n",
	    status, json.n == 0 ? "" : "Content-Type: application/json\r\n",
	    json.n);
	buf_add_slice(&ex->uin, json);
	ex->local = ex->request_sent = ex->request_head_sent = true;
}

void
relay_start(struct exchange *ex)
{
	ex->mode = RESP_HEAD;
	if (ex->local) {	/* a step never resumes itself */
		loop_soon(ex->f->loop, local_soon, ex);
		return;
	}
	if (!ex->gated && ex->req->expect_continue &&
	    http1_write_response(&ex->c->out, 100, slice_make(NULL, 0)) == 0 &&
	    http1_write_end(&ex->c->out) == 0)
		conn_kick(ex->c);
	relay_send_request_body(ex);
}

void
exchange_drained(struct exchange *ex)
{
	if (ex->over)
		return;
	if (ex->ws != NULL)
		websocket_drained(ex);
	if (ex->u_paused)
		relay_go_on(ex);
}

void
relay_go_on(struct exchange *ex)
{
	ex->u_paused = false;
	loop_soon(ex->f->loop, relay_soon, ex);
}

void
relay_context_acked(struct exchange *ex)
{
	struct buf rest;

	ex->context_wait = false;
	if (ex->over)
		return;
	if (ex->message || ex->mode == RESP_WS) {
		websocket_context_acked(ex);
		return;
	}
	if (ex->con->builtin != NULL) {
		gateapi_acked(ex);
		return;
	}
	if (ex->sse == NULL) {
		send_whole(ex, buf_slice(&ex->held_out));
	} else {
		write_client(ex, buf_slice(&ex->held_out));
		buf_reset(&ex->held_out);
		rest = ex->sse_rest;
		buf_init(&ex->sse_rest, rest.max);
		if (!ex->over && rest.len > 0)
			feed_sse(ex, buf_slice(&rest));
		buf_wipe_free(&rest);
		if (!ex->over && ex->mode == RESP_END && !ex->context_wait)
			end_client(ex);
	}
	if (ex->over || ex->context_wait)
		return;
	if (ex->mode == RESP_END) {
		exchange_resume(ex);
		return;
	}
	ex->u_paused = false;
	loop_soon(ex->f->loop, relay_soon, ex);
}
