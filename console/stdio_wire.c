/* stdio_wire - the shim's connections to the gateway; see stdio.h. */
#include "console/stdio.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "jsonw.h"
#include "log.h"

#define WIRE_IN_MAX (256u << 10)
#define BODY_MAX (32u << 20)
#define IDLE_MS 20000		/* the gateway closes later than this */
#define LISTEN_MS 1000
#define LISTEN_MAX_MS 60000

static void on_wire(void *ctx, unsigned events);
static void wire_read(struct wire *w);

static void
on_soon(void *ctx)
{
	struct wire *w = ctx;

	if (!w->closed)
		wire_read(w);
}

static void
forget_message(struct wire *w)
{
	free(w->id);
	free(w->token);
	w->id = w->token = NULL;
	w->answered = w->streaming = w->have_head = false;
	buf_reset(&w->body);
	if (w->sse != NULL) {
		sse_free(w->sse);
		free(w->sse);
		w->sse = NULL;
	}
}

void
wire_close(struct wire *w)
{
	if (w->closed)
		return;
	w->closed = true;
	list_remove(&w->link);
	loop_soon_cancel(w->s->loop, w);
	loop_at_end_cancel(w->s->loop, w);
	loop_fd_del(w->watch);
	base_close(&w->fd);
	if (w->s->barrier == w)
		w->s->barrier = NULL;
	forget_message(w);
	buf_wipe_free(&w->in);
	buf_wipe_free(&w->out);
	buf_wipe_free(&w->body);
	loop_defer_free(w->s->loop, w);
}

static struct wire *
wire_new(struct shim *s, bool lane)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct wire *w;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", s->socket);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0) {
		base_close(&fd);
		return NULL;
	}
	w = base_calloc(1, sizeof(*w));
	w->s = s;
	w->fd = fd;
	w->lane = lane;
	w->state = WIRE_ANSWER;
	buf_init(&w->in, WIRE_IN_MAX);
	buf_init(&w->out, SHIM_OUT_MAX);
	buf_init(&w->body, BODY_MAX);
	http1_head_init(&w->head);
	list_append(&s->wires, &w->link);
	w->watch = loop_fd_add(s->loop, fd, LOOP_READ, on_wire, w);
	return w;
}

/* --- writing ----------------------------------------------------------------- */

static void
flush(void *ctx)
{
	struct wire *w = ctx;

	while (!w->closed && w->out.len > 0) {
		ssize_t k = send(w->fd, buf_data(&w->out), w->out.len,
		    MSG_NOSIGNAL);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)	/* an error shows when it is read from */
			break;
		buf_consume(&w->out, (size_t)k);
	}
	if (!w->closed)
		loop_fd_set(w->watch, LOOP_READ |
		    (w->out.len > 0 ? LOOP_WRITE : 0));
}

static void
kick(struct wire *w)
{
	loop_at_end(w->s->loop, flush, w);
}

static void
write_request(struct wire *w, const char *method, const char *path,
    struct slice json)
{
	struct shim *s = w->s;
	struct buf *o = &w->out;

	buf_addf(o, "%s %s HTTP/1.1\r\nHost: portreeve\r\n"
	    "Authorization: Bearer %s\r\nPortreeve-Link: %s\r\n"
	    "Accept: application/json, text/event-stream\r\n", method, path,
	    s->token, s->link);
	if (json.n > 0)
		buf_addf(o, "Content-Type: application/json\r\n"
		    "Content-Length: %zu\r\n", json.n);
	buf_add_str(o, "\r\n");
	buf_add_slice(o, json);
	http1_head_init(&w->head);
	w->state = WIRE_ANSWER;
	kick(w);
}

/* --- asking --------------------------------------------------------------------- */

static struct wire *
idle_ask(struct shim *s)
{
	list_each_safe(it, tmp, &s->wires) {
		struct wire *w = list_entry(it, struct wire, link);

		if (w->lane || w->state != WIRE_IDLE)
			continue;
		if (clock_mono_ms() - w->idle_since_ms < IDLE_MS)
			return w;
		wire_close(w);
	}
	return wire_new(s, false);
}

struct wire *
wire_ask(struct shim *s, enum ask_what what, struct slice json)
{
	struct wire *w = idle_ask(s);
	char path[160];

	if (w == NULL)
		return NULL;
	snprintf(path, sizeof(path), what == ASK_NOTE ? "/stdio/%s/note" :
	    "/mcp/%s", s->name);
	w->what = what;
	write_request(w, what == ASK_LISTEN ? "GET" : "POST", path, json);
	return w;
}

static void
write_server(struct shim *s, struct jsonw *w)
{
	jsonw_object(w, NULL);
	jsonw_array(w, "command");
	for (char **p = s->command; *p != NULL; p++)
		jsonw_str(w, NULL, *p);
	jsonw_array_end(w);
	jsonw_str(w, "digest", s->digest);
}

void
wire_note(struct shim *s, const char *phase, const char *detail)
{
	struct jsonw w;
	struct buf b;

	if (s->gate != GATE_UP)
		return;
	buf_init(&b, 1u << 20);
	jsonw_init(&w, &b);
	write_server(s, &w);
	jsonw_str(&w, "phase", phase);
	jsonw_str(&w, "detail", detail);
	jsonw_object_end(&w);
	if (!b.full)
		(void)wire_ask(s, ASK_NOTE, buf_slice(&b));
	buf_free(&b);
}

size_t
wire_calls(const struct shim *s)
{
	size_t n = 0;

	list_each(it, &s->wires) {
		const struct wire *w = list_entry(it, struct wire, link);

		n += !w->lane && w->state == WIRE_ANSWER &&
		    (w->what == ASK_MESSAGE || w->what == ASK_LISTEN);
	}
	return n;
}

static bool
offer(struct shim *s)
{
	struct wire *w = wire_new(s, true);
	char path[160];
	struct jsonw j;
	struct buf b;

	if (w == NULL)
		return false;
	buf_init(&b, 1u << 20);
	jsonw_init(&j, &b);
	write_server(s, &j);
	jsonw_object_end(&j);
	snprintf(path, sizeof(path), "/stdio/%s", s->name);
	w->what = ASK_LANE;
	write_request(w, "POST", path, buf_slice(&b));
	buf_free(&b);
	return true;
}

static void
offer_lanes(struct shim *s, bool one_more)
{
	size_t want = wire_calls(s), have = 0;
	char why[256];

	if (want == 0)
		want = 1;
	list_each(it, &s->wires)
		have += list_entry(it, struct wire, link)->lane;
	for (; one_more || have < want; have++, one_more = false) {
		if (offer(s))
			continue;
		snprintf(why, sizeof(why), "the gateway cannot be reached "
		    "(%s): nothing passes without it", strerror(errno));
		shim_gate_down(s, why);
		return;
	}
}

void
wire_offer_lanes(struct shim *s)
{
	offer_lanes(s, false);
}

void
wire_show_server(struct shim *s)
{
	s->gate = GATE_ASKING;
	offer_lanes(s, true);
}

void
wire_close_lanes(struct shim *s)
{
	list_each_safe(it, tmp, &s->wires) {
		struct wire *w = list_entry(it, struct wire, link);

		if (w->lane && w->what != ASK_LANE &&
		    w->state == WIRE_ANSWER)
			wire_close(w);
	}
}

/* --- answers to what we asked ------------------------------------------------ */

/* A message for the agent; notes when it is the one that was asked for. */
static void
to_agent(struct wire *w, struct slice json)
{
	struct shim *s = w->s;
	struct mcp_message m;

	if (json_index(&s->doc, json, NULL) != JSON_OK)
		return;
	mcp_read(&s->doc, 0, &m);
	if (m.kind == MCP_INVALID || m.kind == MCP_BATCH)
		return;
	if (m.kind == MCP_RESPONSE) {
		if (w->id == NULL || w->answered ||
		    !(slice_is(m.id, w->id) || slice_is(m.id, "null")))
			return;
		w->answered = true;
	}
	shim_to_agent(s, json);
}

/* {"error":{"message":...}} of the gateway; borrowed until the next. */
static const char *
http_error(struct wire *w)
{
	static char text[1024];
	struct json_doc *d = &w->s->doc;
	char *said = json_index(d, buf_slice(&w->body), NULL) == JSON_OK ?
	    json_strdup(d, json_path(d, 0, "error", "message", NULL)) : NULL;

	snprintf(text, sizeof(text), "%s", said != NULL ? said :
	    "the gateway refused it");
	free(said);
	return text;
}

static void
read_words(const struct json_doc *d, const char *key, struct words *w)
{
	uint32_t a = json_member(d, 0, key);

	for (size_t i = 0; i < w->n; i++)
		free(w->v[i]);
	free(w->v);
	w->n = 0;
	w->v = base_calloc(json_typeof(d, a) == JSON_ARRAY ?
	    d->nodes[a].count + 1 : 1, sizeof(char *));
	for (uint32_t at = json_first(d, a); at != JSON_NONE;
	    at = json_next(d, a, at)) {
		char *text = json_strdup(d, at);

		if (text != NULL)
			w->v[w->n++] = text;
	}
}

static bool
read_terms(struct wire *w)
{
	struct json_doc *d = &w->s->doc;
	struct terms *t = &w->s->terms;
	int64_t body = 0;

	if (json_index(d, buf_slice(&w->body), NULL) != JSON_OK)
		return false;
	free(t->directory);
	t->directory = json_strdup(d, json_member(d, 0, "directory"));
	read_words(d, "read", &t->read);
	read_words(d, "allow", &t->allow);
	read_words(d, "env", &t->env);
	t->network = json_typeof(d, json_member(d, 0, "network")) == JSON_TRUE;
	if (t->directory == NULL || !json_int(d, json_member(d, 0, "body"),
	    &body) || body <= 0)
		return false;
	t->body = (size_t)body;
	t->known = true;
	return true;
}

/* Shown, and taken: the gateway may ask on it from now on. */
static void
lane_accepted(struct wire *w)
{
	struct shim *s = w->s;

	if (w->head.status != 200 || !read_terms(w)) {
		const char *why = http_error(w);

		wire_close(w);
		shim_gate_down(s, why);
		return;
	}
	forget_message(w);
	http1_head_init(&w->head);
	w->what = ASK_MESSAGE;
	w->state = WIRE_IDLE;
	s->gate = GATE_UP;
	server_start(s);
	shim_go_on(s);
}

static void
listen_later(struct shim *s)
{
	s->listening = false;
	loop_timer_set(s->listen_again, s->listen_ms);
	s->listen_ms = s->listen_ms * 2 > LISTEN_MAX_MS ? LISTEN_MAX_MS :
	    s->listen_ms * 2;
}

/* With the gateway's own word and event, where it has said them. */
static void
refused(struct wire *w, const char *why)
{
	struct json_doc *d = &w->s->doc;
	char *reason = NULL, *event = NULL;

	if (w->body.len > 0 && json_index(d, buf_slice(&w->body), NULL) ==
	    JSON_OK) {
		reason = json_strdup(d, json_path(d, 0, "error", "reason",
		    NULL));
		event = json_strdup(d, json_path(d, 0, "error", "event",
		    NULL));
	}
	shim_refused(w->s, w->id, why, reason != NULL ? reason : "stdio",
	    event);
	free(reason);
	free(event);
}

/* The agent sent this one and gets no other answer. */
static void
ask_failed(struct wire *w, const char *why)
{
	struct shim *s = w->s;

	if (w->what == ASK_LISTEN)
		listen_later(s);
	if (w->id != NULL && !w->answered)
		refused(w, why);
	else if (w->what == ASK_MESSAGE && w->id == NULL)
		log_warn("a message was refused: %s", why);
	w->answered = true;
}

static void
ask_done(struct wire *w)
{
	struct shim *s = w->s;
	bool good = w->head.status / 100 == 2, barrier = s->barrier == w;

	if (w->what == ASK_NOTE && !good)
		log_warn("the gateway did not take a note: %s",
		    http_error(w));
	if (w->what == ASK_MESSAGE && w->sse == NULL && w->id != NULL &&
	    w->body.len > 0)
		to_agent(w, buf_slice(&w->body));
	if (w->what != ASK_NOTE && (!good || w->what == ASK_LISTEN ||
	    (w->id != NULL && !w->answered)))
		ask_failed(w, good ? "the answer ended before it was whole" :
		    http_error(w));
	if (barrier)
		s->barrier = NULL;
	if (!w->head.keep_alive || w->in.len > 0) {
		wire_close(w);
	} else {
		forget_message(w);
		w->state = WIRE_IDLE;
		w->idle_since_ms = clock_mono_ms();
	}
	if (barrier)
		shim_go_on(s);
	shim_maybe_end(s);
}

static void
ask_events(struct wire *w, struct slice data)
{
	struct sse_event ev;
	enum sse_result r;

	while ((r = sse_next(w->sse, &data, &ev)) == SSE_EVENT ||
	    r == SSE_COMMENT)
		if (r == SSE_EVENT && ev.has_data && ev.data.n > 0)
			to_agent(w, ev.data);
	if (r == SSE_ERROR)
		shutdown(w->fd, SHUT_RDWR);
}

static void
ask_body(struct wire *w, struct slice data)
{
	if (w->sse != NULL)
		ask_events(w, data);
	else if (buf_add_slice(&w->body, data) != 0)
		shutdown(w->fd, SHUT_RDWR);
}

static bool
ask_head(struct wire *w)
{
	size_t used;
	enum http1_result r = http1_parse_response(&w->head,
	    buf_slice(&w->in), NULL, w->what == ASK_LISTEN ? HTTP1_M_GET :
	    HTTP1_M_POST, &used);
	struct slice type;

	if (r == HTTP1_ERROR)
		shutdown(w->fd, SHUT_RDWR);
	if (r != HTTP1_DONE)
		return false;
	type = http1_field_known(&w->head, HTTP1_F_CONTENT_TYPE);
	if (slice_starts(type, "text/event-stream")) {
		w->sse = base_calloc(1, sizeof(*w->sse));
		sse_init(w->sse, NULL);
		if (w->what == ASK_LISTEN)
			w->s->listen_ms = LISTEN_MS;
	}
	http1_body_init(&w->framing, w->head.framing, w->head.length);
	w->have_head = true;
	buf_consume(&w->in, used);
	return true;
}

/* --- the gateway's requests, for the server ---------------------------------- */

static void
answer_lane(struct wire *w, unsigned status, struct slice json)
{
	struct buf *o = &w->out;

	buf_addf(o, "HTTP/1.1 %u %s\r\n", status, http1_status_text(status));
	if (json.n > 0)
		buf_add_str(o, "Content-Type: application/json\r\n");
	buf_addf(o, "Content-Length: %zu\r\n\r\n", json.n);
	buf_add_slice(o, json);
	forget_message(w);
	http1_head_init(&w->head);
	w->state = WIRE_IDLE;
	kick(w);
	/* Where the next request stands already. */
	loop_soon(w->s->loop, on_soon, w);
}

static void
begin_stream(struct wire *w)
{
	if (w->streaming)
		return;
	buf_add_str(&w->out, "HTTP/1.1 200 OK\r\n"
	    "Content-Type: text/event-stream\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n");
	w->streaming = true;
	kick(w);
}

static void
write_event(struct wire *w, struct slice json)
{
	struct buf ev;

	begin_stream(w);
	buf_init(&ev, json.n + 65536);
	if (sse_write_event(&ev, SLICE("message"), slice_make(NULL, 0),
	    json) != 0 || http1_write_chunk(&w->out, buf_slice(&ev)) != 0)
		shutdown(w->fd, SHUT_RDWR);
	buf_free(&ev);
	kick(w);
}

/* What the server said before anybody listened. */
static void
send_early(struct wire *w)
{
	struct slice rest = buf_slice(&w->s->early);

	while (rest.n > 0)
		write_event(w, slice_cut(&rest, '\n'));
	buf_reset(&w->s->early);
}

static void
lane_request(struct wire *w)
{
	struct shim *s = w->s;
	struct slice json = buf_slice(&w->body);
	struct mcp_message m;

	if (w->head.method_id == HTTP1_M_GET) {
		w->state = WIRE_LISTEN;
		begin_stream(w);
		send_early(w);
		return;
	}
	if (w->head.method_id != HTTP1_M_POST ||
	    json_index(&s->doc, json, NULL) != JSON_OK) {
		answer_lane(w, 405, slice_make("", 0));
		return;
	}
	mcp_read(&s->doc, 0, &m);
	if (m.kind == MCP_REQUEST) {
		w->id = slice_dup(m.id);
		w->token = m.progress_token.n == 0 ? NULL :
		    slice_dup(m.progress_token);
	}
	if (server_send(s, json, &m) != 0) {
		wire_close(w);
		return;
	}
	w->state = WIRE_ANSWER;
	if (m.kind != MCP_REQUEST)
		answer_lane(w, 202, slice_make("", 0));
}

static bool
lane_head(struct wire *w)
{
	size_t used;
	enum http1_result r = http1_parse_request(&w->head,
	    buf_slice(&w->in), NULL, &used);

	if (r == HTTP1_ERROR)
		shutdown(w->fd, SHUT_RDWR);
	if (r != HTTP1_DONE)
		return false;
	http1_body_init(&w->framing, w->head.framing, w->head.length);
	w->have_head = true;
	buf_consume(&w->in, used);
	return true;
}

static struct wire *
lane_where(const struct shim *s, enum wire_state state, const char *id,
    struct slice token)
{
	list_each(it, &s->wires) {
		struct wire *w = list_entry(it, struct wire, link);

		if (!w->lane || w->what == ASK_LANE || w->state != state)
			continue;
		if (id != NULL && (w->id == NULL || strcmp(w->id, id) != 0))
			continue;
		if (token.n > 0 && (w->token == NULL ||
		    !slice_is(token, w->token)))
			continue;
		return w;
	}
	return NULL;
}

static bool
answer_from_server(struct shim *s, struct slice json,
    const struct mcp_message *m)
{
	char *id = slice_dup(m->id);
	struct wire *w = lane_where(s, WIRE_ANSWER, id, slice_make("", 0));

	free(id);
	if (w == NULL)
		return false;	/* its call was given up, or cut */
	if (!w->streaming) {
		answer_lane(w, 200, json);
		return true;
	}
	write_event(w, json);
	if (http1_write_chunk_end(&w->out) != 0)
		shutdown(w->fd, SHUT_RDWR);
	forget_message(w);
	http1_head_init(&w->head);
	w->state = WIRE_IDLE;
	return true;
}

bool
wire_from_server(struct shim *s, struct slice json,
    const struct mcp_message *m)
{
	struct slice none = { "", 0 }, token = none;
	struct wire *w = NULL;

	if (m->kind == MCP_RESPONSE)
		return answer_from_server(s, json, m);
	if (slice_is(m->method, "notifications/progress"))
		token = json_raw(&s->doc, json_path(&s->doc, 0, "params",
		    "progressToken", NULL));
	if (token.n > 0)
		w = lane_where(s, WIRE_ANSWER, NULL, token);
	if (w == NULL && token.n == 0)
		w = lane_where(s, WIRE_LISTEN, NULL, none);
	if (w == NULL && token.n == 0)
		w = lane_where(s, WIRE_ANSWER, NULL, none);
	if (w == NULL && token.n == 0 &&
	    buf_room(&s->early) > json.n + 1) {
		shim_add_line(&s->early, json);
		return true;
	}
	if (w == NULL || w->out.len > SHIM_OUT_MAX / 2)
		return false;
	write_event(w, json);
	return true;
}

/* --- reading --------------------------------------------------------------------- */

/* The whole message of the other side is there. */
static void
wire_message(struct wire *w)
{
	w->have_head = false;
	if (w->what == ASK_LANE)
		lane_accepted(w);
	else if (w->lane)
		lane_request(w);
	else
		ask_done(w);
}

static bool
wire_step(struct wire *w)
{
	struct slice in, data;
	enum http1_result r;
	size_t before;

	/* A lane whose answer is not there yet is not asked again. */
	if (w->lane && w->what != ASK_LANE && w->state != WIRE_IDLE)
		return false;
	if (!w->have_head && (w->in.len == 0 || !(w->lane &&
	    w->what != ASK_LANE ? lane_head(w) : ask_head(w))))
		return false;
	in = buf_slice(&w->in);
	before = in.n;
	r = http1_body_next(&w->framing, &in, &data);
	if (r == HTTP1_DATA)
		ask_body(w, data);
	if (w->closed)
		return false;
	buf_consume(&w->in, before - in.n);
	if (r == HTTP1_ERROR)
		shutdown(w->fd, SHUT_RDWR);
	if (r == HTTP1_DONE)
		wire_message(w);
	return !w->closed && (r == HTTP1_DATA || r == HTTP1_DONE);
}

/* The server's call was given up on the other side: it may stop, too. */
static void
cancel_server(struct wire *w)
{
	struct mcp_message none = { .kind = MCP_NOTIFICATION };
	struct buf b;

	buf_init(&b, 65536);
	mcp_write_cancelled(&b, slice_str(w->id),
	    "the gateway stopped this call");
	if (!b.full)
		(void)server_send(w->s, buf_slice(&b), &none);
	buf_free(&b);
}

static void
wire_ended(struct wire *w)
{
	struct shim *s = w->s;
	bool lane = w->lane, first = w->what == ASK_LANE,
	    barrier = s->barrier == w;

	if (lane && !first && w->state == WIRE_ANSWER && w->id != NULL)
		cancel_server(w);
	if (!lane && w->state == WIRE_ANSWER)
		ask_failed(w, "the gateway ended the connection");
	wire_close(w);
	if (lane && first)
		shim_gate_down(s, "the gateway ended the connection");
	else if (lane && wire_calls(s) > 0 && s->gate == GATE_UP)
		wire_offer_lanes(s);
	if (barrier)
		shim_go_on(s);
	shim_maybe_end(s);
}

static void
wire_read(struct wire *w)
{
	bool end = false;

	while (!w->closed) {
		char *p = buf_reserve(&w->in, 16384);
		ssize_t k = p == NULL ? -1 : recv(w->fd, p, 16384, 0);

		if (p != NULL && k < 0 && errno == EINTR)
			continue;
		end = k == 0 || (p != NULL && k < 0 && errno != EAGAIN);
		if (k > 0)
			buf_commit(&w->in, (size_t)k);
		while (wire_step(w))
			;
		if (k <= 0)
			break;
	}
	if (end && !w->closed)
		wire_ended(w);
}

static void
on_wire(void *ctx, unsigned events)
{
	struct wire *w = ctx;

	if (events & LOOP_WRITE)
		flush(w);
	if (!w->closed && (events & (LOOP_READ | LOOP_ERR)))
		wire_read(w);
}
