/*
 * conn - connections from agents: accept, CONNECT, look at the first bytes
 * inside a tunnel, TLS with a leaf from the keeper, then one exchange after
 * another. It reads heads and moves bytes; what they mean is the exchange's.
 */
#include "internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "clock.h"
#include "log.h"

#define RECORDS_A_WAKE 16
#define TLS_RECORD_HANDSHAKE 0x16

static void on_conn_event(void *ctx, unsigned events);
static void on_soon(void *ctx);
static void conn_process(struct conn *c);

static void
conn_free(struct conn *c)
{
	struct flow *f = c->f;

	if (c->closed)
		return;
	c->closed = true;
	list_remove(&c->link);
	if (c->inner == NULL)
		f->nconns--;
	if (f->full && c->inner == NULL)
		conn_accept_again(f, true);
	svc_leaf_forget(f, c);
	if (c->trust != NULL)
		trust_end(c);
	dns_cancel(c->dns);
	loop_soon_cancel(f->loop, c);
	loop_at_end_cancel(f->loop, c);
	if (c->watch != NULL)
		loop_fd_del(c->watch);
	loop_timer_del(c->timer);
	if (c->ex != NULL && c->ex->stopped && !f->stopping)
		cut_detach(c->ex);
	else if (c->ex != NULL)
		exchange_free(c->ex);
	if (c->splice != NULL)
		splice_free(c->splice);
	mux_free(c->mux);
	c->mux = NULL;
	buf_wipe_free(&c->in);
	buf_wipe_free(&c->out);
	spare_head_back(f, c->head);
	if (c->inner != NULL)
		c->inner(c->inner_ctx, c, slice_make("", 0), true);
	agg_unref(c->agg);
	loop_defer_free(f->loop, c);
}

void
conn_abort(struct conn *c)
{
	if (c->closed)
		return;
	stream_abort(c->s);
	c->s = NULL;
	conn_free(c);
}

void
conn_sever(struct conn *c, bool orderly)
{
	if (c->closed || c->s == NULL)
		return;
	if (orderly)
		(void)stream_shutdown(c->s);
	else
		stream_sever(c->s);
	loop_fd_del(c->watch);	/* nothing it could say matters any more */
	c->watch = NULL;
}

static void
conn_close(struct conn *c)
{
	if (c->closed)
		return;
	stream_free(c->s);
	c->s = NULL;
	conn_free(c);
}

struct stream *
conn_hand_over(struct conn *c, struct loop_fd **watch_r)
{
	struct stream *s = c->s;

	*watch_r = c->watch;
	c->watch = NULL;
	c->s = NULL;
	conn_free(c);
	return s;
}

static void
on_timeout(void *ctx)
{
	struct conn *c = ctx;

	if (c->state == CONN_HEAD && c->in.len > 0) {
		if (http1_write_error(&c->out, 408, "header-time",
		    "The request head did not arrive in time.", NULL,
		    true) != 0)
			log_error("no room for an error answer");
		conn_finish(c);
		return;
	}
	if (c->state == CONN_MUX) {
		mux_timeout(c);
		return;
	}
	if (c->state == CONN_EXCHANGE && c->ex != NULL)
		exchange_client_gone(c->ex);
	if (!c->closed)
		conn_abort(c);
}

static void
set_watch(struct conn *c)
{
	unsigned ev = 0;

	if (c->closed || c->watch == NULL)
		return;
	if (!c->eof && !c->in_full && !c->cut)
		ev |= LOOP_READ;
	if ((c->out.len > 0 || c->want_write_for_read) && !c->cut)
		ev |= LOOP_WRITE;
	loop_fd_set(c->watch, ev);
}

/* --- writing ------------------------------------------------------------- */

void
conn_keep_leftover(struct conn *c, const struct exchange *ex)
{
	struct leftover *l = &c->left;

	if (ex->ws == NULL || l->n == 0)
		l->epoch = ex->kill_epoch;
	if (ex->ws == NULL)
		l->n = 0;		/* else its tools are in there */
	if (c->out.len == 0 || ex->con == NULL ||
	    (ex->resp == NULL && ex->gate == NULL))
		return;
	l->hash[l->n++] = ex->view->kill_hash[ex->con_at];
	l->hash[l->n++] = ex->session->kill_session;
	l->hash[l->n++] = ex->session->kill_agent;
	l->hash[l->n++] = ex->session->kill_user;
	if (ex->msg.tool.n > 0 || ex->action.tool.n > 0)
		l->hash[l->n++] = svc_tool_hash(c->f, ex->con->name,
		    ex->msg.tool.n > 0 ? ex->msg.tool : ex->action.tool);
	for (size_t i = 0; ex->gql != NULL && i < ex->gql->n; i++)
		l->hash[l->n++] = svc_tool_hash(c->f, ex->con->name,
		    ex->gql->fields[i]);
}

static bool
leftover_killed(struct conn *c)
{
	struct leftover *l = &c->left;
	uint64_t epoch = killpage_epoch(c->f->kill);

	if (l->n == 0 || l->epoch == epoch)
		return false;
	for (unsigned i = 0; i < l->n; i++)
		if (killpage_hit(c->f->kill, l->hash[i]))
			return true;
	l->epoch = epoch;
	return false;
}

bool
conn_leftover_cut(struct conn *c)
{
	if (!leftover_killed(c))
		return false;
	/* A WebSocket goes on while answers leave. */
	if (c->ex != NULL && !c->ex->over)
		exchange_cut(c->ex, "its tool", REASON_KILLED);
	else
		conn_cut(c);
	return true;
}

/* The kill page is read before every write. Between two changes of the page
 * that is one load. */
static bool
may_write(struct conn *c)
{
	const char *target;

	if (c->ex != NULL && c->ex->stopped)
		return c->ex->told;	/* then these are our own words */
	if (c->ex != NULL && !c->ex->over && c->ex->con != NULL &&
	    exchange_killed(c->ex, &target)) {
		exchange_cut(c->ex, target, REASON_KILLED);
		return false;
	}
	if (c->splice != NULL && splice_killed(c->splice))
		conn_cut(c);
	return !c->cut && !conn_leftover_cut(c);
}

/* Whoever made an inner connection takes all at once. */
static void
inner_flush(struct conn *c)
{
	if (c->out.len > 0 && may_write(c)) {
		c->bytes_out += c->out.len;
		c->inner(c->inner_ctx, c, buf_slice(&c->out), false);
		if (c->closed)
			return;
		buf_reset(&c->out);
	}
	if (c->out.len == 0 && c->state == CONN_CLOSING)
		conn_close(c);
	else if (c->out.len == 0 && c->ex != NULL)
		exchange_drained(c->ex);
}

void
conn_flush(void *ctx)
{
	struct conn *c = ctx;
	bool was_high;

	if (c->closed || c->state == CONN_TLS)
		return;
	if (c->inner != NULL) {
		inner_flush(c);
		return;
	}
	was_high = c->out.len > FLOW_OUT_LOW;
	for (;;) {
		if (c->mux != NULL && mux_fill(c) != 0) {
			conn_abort(c);
			return;
		}
		if (c->out.len == 0)
			break;
		if (!may_write(c))
			return;
		ssize_t k = stream_write(c->s, buf_data(&c->out), c->out.len);

		if (k == TLS_WANT_READ || k == TLS_WANT_WRITE)
			break;
		if (k < 0) {
			if (c->ex != NULL)
				exchange_client_gone(c->ex);
			if (!c->closed)
				conn_abort(c);
			return;
		}
		buf_consume(&c->out, (size_t)k);
		c->bytes_out += (uint64_t)k;
	}
	c->partial = c->out.len > 0;
	if (c->out.len == 0 && c->left.n > 0) {
		c->left.n = 0;
		if (c->ex != NULL && c->ex->ws != NULL)
			websocket_drained(c->ex);
		if (c->state == CONN_HEAD && c->in.len > 0)
			loop_soon(c->f->loop, on_soon, c);
	}
	if (c->out.len == 0 && (c->out.cap > FLOW_OUT_LOW ||
	    (c->ex != NULL && c->ex->mode == RESP_SSE)))
		buf_free(&c->out);
	if (c->out.len == 0 && (c->state == CONN_CLOSING ||
	    (c->mux != NULL && mux_done(c)))) {
		stream_shutdown(c->s);
		conn_close(c);
		return;
	}
	if (was_high && c->out.len <= FLOW_OUT_LOW) {
		if (c->ex != NULL)
			exchange_drained(c->ex);
		else if (c->splice != NULL)
			splice_data(c);
		if (c->closed)
			return;
	}
	set_watch(c);
}

static void
on_soon(void *ctx)
{
	struct conn *c = ctx;

	if (c->closed)
		return;
	if (c->gone && mux_stream_complete(c)) {
		c->eof = true;
		if (c->state != CONN_EXCHANGE)
			conn_close(c);
		return;
	}
	on_conn_event(c, LOOP_READ | (c->gone ? LOOP_ERR : 0) |
	    (c->h2_stream != NULL ? LOOP_WRITE : 0));
}

void
conn_stream_event(struct conn *v, bool closed)
{
	v->gone |= closed;
	if (!v->closed)
		loop_soon(v->f->loop, on_soon, v);
}

void
conn_kick(struct conn *c)
{
	if (c->closed)
		return;
	if (c->out.len > 0)
		loop_at_end(c->f->loop, conn_flush, c);
	if (c->in_full && c->in.len < FLOW_IN_MAX / 2) {
		c->in_full = false;
		loop_soon(c->f->loop, on_soon, c);
	}
}

void
conn_finish(struct conn *c)
{
	if (c->closed)
		return;
	c->state = CONN_CLOSING;
	buf_reset(&c->in);
	c->in_full = true;	/* nothing more is read */
	loop_at_end(c->f->loop, conn_flush, c);
	loop_timer_set(c->timer, 5000);
}

void
conn_next(struct conn *c, bool keep)
{
	c->ex = NULL;
	if (c->closed)
		return;
	if (c->inner != NULL || !keep || c->f->stopping || c->eof) {
		conn_finish(c);
		return;
	}
	c->state = CONN_HEAD;
	loop_timer_set(c->timer, (uint64_t)c->f->view->conf->limits.idle_ms);
	conn_kick(c);
	if (c->in.len > 0 || c->in_full)
		loop_soon(c->f->loop, on_soon, c);
	else if (c->in.cap > FLOW_READ)
		buf_free(&c->in);
}

/* --- reading --------------------------------------------------------------- */

static void
conn_read(struct conn *c)
{
	for (int i = 0; i < RECORDS_A_WAKE; i++) {
		size_t room = buf_room(&c->in);
		size_t want = room < FLOW_READ ? room : FLOW_READ;
		char *p = want == 0 ? NULL : buf_reserve(&c->in, want);
		ssize_t k;

		if (p == NULL) {
			c->in_full = true;
			return;
		}
		k = stream_read(c->s, p, want);
		c->want_write_for_read = k == TLS_WANT_WRITE;
		if (k == TLS_WANT_READ || k == TLS_WANT_WRITE)
			return;
		if (k < 0) {
			c->eof = true;
			return;
		}
		buf_commit(&c->in, (size_t)k);
		c->bytes_in += (uint64_t)k;
		if ((size_t)k < want && stream_pending(c->s) == 0 &&
		    c->state != CONN_SPLICE)
			return;
	}
	/* The rest in the next round: others wait too. */
	loop_soon(c->f->loop, on_soon, c);
}

static void
handshake(struct conn *c)
{
	int k = stream_handshake(c->s);

	if (k == TLS_WANT_READ || k == TLS_WANT_WRITE) {
		loop_fd_set(c->watch, k == TLS_WANT_READ ? LOOP_READ :
		    LOOP_WRITE);
		return;
	}
	if (k != 1) {
		if (!trust_failed(c, k))
			record_refused(c->f, c, EVENT_CONNECTION_REFUSED,
			    REASON_AMBIGUOUS, c->authority.host,
			    stream_error(c->s), NULL);
		conn_abort(c);
		return;
	}
	c->tls = true;
	trust_shaken(c);
	c->state = CONN_HEAD;
	if (tls_conn_h2(stream_tls(c->s)))
		mux_begin(c);
	else
		loop_timer_set(c->timer, (uint64_t)c->f->view->conf->limits.header_ms);
	conn_read(c);
	conn_process(c);
	if (!c->closed && c->state != CONN_TLS)
		set_watch(c);
}

void
conn_leaf_ready(struct conn *c, struct tls_leaf *leaf, const char *why)
{
	int fd;

	if (c->closed || c->state != CONN_MINT)
		return;
	if (leaf == NULL) {
		record_refused(c->f, c, EVENT_CONNECTION_REFUSED,
		    REASON_UPSTREAM_TLS, c->authority.host, why, NULL);
		conn_abort(c);
		return;
	}
	/* The stream so far was plain; TLS begins with the bytes in hand. */
	fd = stream_release(c->s);
	c->s = stream_tls_server(c->f->server_ctx, fd, buf_slice(&c->in),
	    leaf);
	if (!connector_h2_at(c->f->view->connectors, c->authority.host,
	    c->authority.port))
		tls_conn_refuse_h2(stream_tls(c->s));
	buf_reset(&c->in);
	c->in_full = false;
	c->state = CONN_TLS;
	handshake(c);
}

/* Inside CONNECT: TLS or plaintext HTTP, told by the first byte. */
static void
sniff(struct conn *c)
{
	static struct clienthello ch;	/* large; used up before returning */
	const char *why = "no TLS";
	struct tls_leaf *leaf;

	if (c->in.len == 0)
		return;
	if ((unsigned char)buf_data(&c->in)[0] != TLS_RECORD_HANDSHAKE) {
		trust_end(c);
		c->state = CONN_HEAD;
		conn_process(c);
		return;
	}
	enum clienthello_status r = clienthello_read(buf_slice(&c->in), &ch,
	    &why);

	if (r == CLIENTHELLO_MORE)
		return;
	if (r != CLIENTHELLO_DONE || (ch.sni[0] != '\0' &&
	    strcmp(ch.sni, c->authority.host) != 0)) {
		record_refused(c->f, c, EVENT_CONNECTION_REFUSED,
		    REASON_AMBIGUOUS, c->authority.host,
		    r != CLIENTHELLO_DONE ? why :
		    "the SNI names another host than CONNECT did", NULL);
		conn_abort(c);
		return;
	}
	trust_hello(c, &ch);
	c->state = CONN_MINT;
	leaf = svc_leaf(c->f, c->authority.host, c);
	if (leaf != NULL)
		conn_leaf_ready(c, leaf, NULL);
}

void
conn_begin_sniff(struct conn *c)
{
	c->tunnel = true;
	c->state = CONN_SNIFF;
	loop_timer_set(c->timer, (uint64_t)c->f->view->conf->limits.header_ms);
	conn_kick(c);
	if (c->in.len > 0)
		sniff(c);
}

static void
begin_exchange(struct conn *c, size_t used)
{
	c->state = CONN_EXCHANGE;
	loop_timer_stop(c->timer);
	c->ex_began = c->bytes_out;
	c->ex = exchange_new(c, used);
	exchange_run(c->ex);
}

static void
read_head(struct conn *c)
{
	struct http1_limits lim = http1_limits_default;
	const struct conf_limits *cl = &c->f->view->conf->limits;
	enum http1_result r;
	size_t used;

	/* What is left of the answer before goes first: it is another's. */
	if (c->in.len == 0 || c->left.n > 0)
		return;
	lim.head = (size_t)cl->header;
	lim.fields = (unsigned)cl->fields;
	if (c->head == NULL) {
		c->head = spare_head(c->f);
		loop_timer_set(c->timer, (uint64_t)cl->header_ms);
	}
	r = http1_parse_request(c->head, buf_slice(&c->in), &lim, &used);
	if (r == HTTP1_MORE)
		return;
	if (r == HTTP1_DONE) {
		if (!onramp_take(c, used))
			begin_exchange(c, used);
		return;
	}
	enum http1_error error = c->head->error;

	spare_head_back(c->f, c->head);
	c->head = NULL;
	struct uuid id;
	char event[UUID_TEXT_LEN];

	record_refused(c->f, c, EVENT_CONNECTION_REFUSED, REASON_AMBIGUOUS,
	    c->authority.host, http1_error_word(error), &id);
	uuid_format(id, event);
	if (http1_write_error(&c->out, http1_error_status(error),
	    http1_error_word(error), http1_error_text(error), event,
	    true) != 0)
		log_error("no room for an error answer");
	conn_finish(c);
}

static void
conn_process(struct conn *c)
{
	if (c->closed)
		return;
	if (c->trust != NULL && c->tls && c->in.len > 0)
		trust_used(c);
	switch (c->state) {
	case CONN_BALANCER:
		if (balancer_read(c))
			read_head(c);
		break;
	case CONN_TARGET:
		transparent_read(c);
		break;
	case CONN_HEAD:
		read_head(c);
		break;
	case CONN_SNIFF:
		sniff(c);
		break;
	case CONN_EXCHANGE:
		if (c->ex != NULL && c->in.len > 0)
			exchange_client_data(c->ex);
		break;
	case CONN_SPLICE:
		splice_data(c);
		break;
	case CONN_MUX:
		mux_data(c);
		break;
	default:
		break;
	}
	if (c->closed || !c->eof)
		return;
	/* The agent has gone, or ended its direction. */
	if (c->state == CONN_EXCHANGE && c->ex != NULL)
		exchange_client_gone(c->ex);
	else if (c->state != CONN_SPLICE && c->state != CONN_CLOSING)
		conn_close(c);
}

static void
on_conn_event(void *ctx, unsigned events)
{
	struct conn *c = ctx;

	if (c->closed)
		return;
	if (c->cut) {
		set_watch(c);
		return;
	}
	if (c->state == CONN_TLS) {
		handshake(c);
		if (!c->closed && c->state != CONN_TLS)
			set_watch(c);
		return;
	}
	if ((events & LOOP_WRITE) && c->out.len > 0)
		conn_flush(c);
	if (c->closed)
		return;
	if (c->state == CONN_CLOSING) {
		if (events & LOOP_ERR)
			conn_close(c);
		return;
	}
	if ((events & (LOOP_READ | LOOP_ERR)) || c->want_write_for_read) {
		if (!c->in_full && !c->eof)
			conn_read(c);
		else if (events & LOOP_ERR)
			c->eof = true;
		conn_process(c);
	}
	if (!c->closed && c->state != CONN_TLS)
		set_watch(c);
}

/* --- inner connections ------------------------------------------------------------ */

static void
on_inner(void *ctx)
{
	struct conn *c = ctx;

	if (!c->closed && c->state == CONN_HEAD)
		conn_process(c);
	if (!c->closed && c->state == CONN_HEAD)
		conn_abort(c);		/* its head was whole */
}

static int
write_inner(struct buf *b, const struct exchange *like, const char *type,
    struct slice body)
{
	const struct http1_head *h = like->req;
	bool posted = h->method_id == HTTP1_M_POST;
	struct slice to = h->target, where = like->agent_endpoint;
	int r;

	if (where.n > 0)	/* behind the scheme and host, if they stand */
		to.n = (size_t)(h->path.p - h->target.p);
	r = buf_addf(b, "POST %.*s%.*s HTTP/1.1\r\n", SLICE_FMT(to),
	    SLICE_FMT(where));

	for (unsigned i = 0; i < h->field_n; i++) {
		const struct http1_field *f = &h->fields[i];

		if ((f->hop && f->known != HTTP1_F_PROXY_AUTHORIZATION) ||
		    f->known == HTTP1_F_CONTENT_LENGTH ||
		    f->known == HTTP1_F_CONTENT_TYPE ||
		    f->known == HTTP1_F_CONTENT_ENCODING ||
		    f->known == HTTP1_F_EXPECT ||
		    (f->known == HTTP1_F_ACCEPT && !posted) ||
		    f->known == HTTP1_F_LAST_EVENT_ID ||
		    (like->ws != NULL && websocket_field(f->name)))
			continue;
		r |= buf_addf(b, "%.*s: %.*s\r\n", SLICE_FMT(f->name),
		    SLICE_FMT(f->value));
	}
	r |= buf_addf(b, "%sContent-Type: %s\r\n"
	    "Content-Length: %zu\r\n\r\n", posted ? "" :
	    "Accept: application/json, text/event-stream\r\n", type, body.n);
	return r | buf_add_slice(b, body);
}

/* What is known of who is at the other end, and of where it wanted to go. */
static void
inherit(struct conn *c, const struct conn *from)
{
	memcpy(c->source, from->source, sizeof(c->source));
	memcpy(c->token_hash, from->token_hash, sizeof(c->token_hash));
	c->tunnel = from->tunnel;
	c->tls = from->tls;
	c->has_token = from->has_token;
	c->self = from->self;
	c->authority = from->authority;
}

struct conn *
conn_inner_raw(struct conn *outer, struct slice message, inner_fn *fn,
    void *ctx)
{
	struct flow *f = outer->f;
	struct conn *c = base_calloc(1, sizeof(*c));

	c->f = f;
	c->kind = outer->kind;
	c->state = CONN_HEAD;
	inherit(c, outer);
	buf_init(&c->in, message.n);
	buf_init(&c->out, FLOW_OUT_MAX);
	ASSERT(buf_add_slice(&c->in, message) == 0);
	c->inner = fn;
	c->inner_ctx = ctx;
	list_append(&f->conns, &c->link);
	c->timer = loop_timer_new(f->loop, on_timeout, c);
	loop_soon(f->loop, on_inner, c);
	return c;
}

struct conn *
conn_inner_of(struct conn *outer, const struct exchange *like,
    const char *type, struct slice body, inner_fn *fn, void *ctx)
{
	struct conn *c = NULL;
	struct buf b;

	buf_init(&b, body.n + (256u << 10));
	if (write_inner(&b, like, type, body) == 0)
		c = conn_inner_raw(outer, buf_slice(&b), fn, ctx);
	buf_wipe_free(&b);
	return c;
}

struct conn *
conn_inner(struct conn *outer, const struct exchange *like, struct slice body,
    inner_fn *fn, void *ctx)
{
	if (like->agg != NULL)
		return aggregate_inner(like, body, fn, ctx);
	return conn_inner_of(outer, like, "application/json", body, fn, ctx);
}

void
conn_to_nobody(void *ctx, struct conn *c, struct slice data, bool end)
{
	(void)ctx;
	(void)c;
	(void)data;
	(void)end;
}

static void
on_drop(void *ctx)
{
	struct conn *c = ctx;

	if (c->closed)
		return;
	if (c->ex != NULL && !c->ex->over)
		exchange_client_gone(c->ex);
	if (!c->closed)
		conn_abort(c);
}

/* Not at once: somebody may be walking through the list of connections. */
void
conn_inner_drop(struct conn *c)
{
	if (c->closed)
		return;
	c->inner = conn_to_nobody;
	c->inner_ctx = NULL;
	loop_soon_cancel(c->f->loop, c);
	loop_soon(c->f->loop, on_drop, c);
}

static struct conn *
conn_new(struct flow *f, enum conf_listener_kind kind)
{
	struct conn *c = base_calloc(1, sizeof(*c));

	c->f = f;
	c->kind = kind;
	c->state = CONN_HEAD;
	buf_init(&c->in, FLOW_IN_MAX);
	buf_init(&c->out, FLOW_OUT_MAX);
	list_append(&f->conns, &c->link);
	f->nconns++;
	c->timer = loop_timer_new(f->loop, on_timeout, c);
	loop_timer_set(c->timer, (uint64_t)f->view->conf->limits.header_ms);
	return c;
}

struct conn *
conn_new_stream(struct conn *c, struct http2_stream *st)
{
	struct conn *v;

	if (c->f->nconns >= (size_t)c->f->view->conf->limits.streams ||
	    c->f->stopping || c->state != CONN_MUX)
		return NULL;
	v = conn_new(c->f, c->kind);
	inherit(v, c);
	v->h2_stream = st;
	return v;
}

void
conn_accept_again(struct flow *f, bool again)
{
	f->full = !again;
	list_each(it, &f->listeners)
		loop_fd_set(list_entry(it, struct listener, link)->watch,
		    again ? LOOP_READ : 0);
}

/* Who connected to a unix socket, as far as the kernel knows. */
static void
local_source(int fd, char text[ADDR_TEXT_MAX])
{
	struct ucred u;
	socklen_t n = sizeof(u);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &u, &n) == 0)
		snprintf(text, ADDR_TEXT_MAX, "uid %u pid %d", u.uid, u.pid);
}

void
conn_accept(struct listener *l)
{
	struct flow *f = l->f;

	for (int i = 0; i < 64; i++) {
		if (f->nconns >= (size_t)f->view->conf->limits.streams) {
			log_warn("%zu connections: no more are accepted until "
			    "one ends (limits.streams)", f->nconns);
			conn_accept_again(f, false);
			return;
		}
		struct sockaddr_storage ss;
		socklen_t n = sizeof(ss);
		struct addr a;
		int one = 1;
		int fd = accept4(l->fd, (struct sockaddr *)&ss, &n,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE)
				log_warn("no descriptor left to accept with");
			return;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		struct conn *c = conn_new(f, l->kind);

		c->s = stream_plain(fd, slice_make("", 0));
		if (l->kind == CONF_STDIO) {
			local_source(fd, c->source);
		} else if (addr_from_sockaddr((struct sockaddr *)&ss, &a)) {
			addr_format(&a, c->source);
			balancer_accept(l, c, &a);
		}
		c->watch = loop_fd_add(f->loop, fd, LOOP_READ, on_conn_event,
		    c);
		if (c->kind == CONF_TRANSPARENT && !transparent_accept(c))
			conn_abort(c);
	}
}
