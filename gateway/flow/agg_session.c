/*
 * agg_session - sessions of the mount of all connectors, and the sessions that
 * the gateway opens with servers in their name. What it says to a server goes
 * to that connector's mount, through all steps, with the agent's own token.
 */
#include "aggregate_int.h"

#include <stdio.h>
#include <stdlib.h>

#include "codec.h"
#include "log.h"

/* --- sessions -------------------------------------------------------------------- */

static void
up_free(struct agg_up *up)
{
	list_remove(&up->link);
	free(up->connector);
	free(up->session);
	free(up->version);
	free(up);
}

struct agg *
agg_ref(struct agg *a)
{
	a->refs++;
	return a;
}

void
agg_unref(struct agg *a)
{
	size_t i = 0;
	void *v;

	if (a == NULL || --a->refs > 0)
		return;
	list_remove(&a->link);
	while (!list_empty(&a->ups))
		up_free(list_entry(a->ups.next, struct agg_up, link));
	while (map_next(&a->names, &i, NULL, &v))
		free(v);
	map_free(&a->names);
	map_free(&a->found);
	free(a);
}

static void
unlist(struct agg *a)
{
	map_del(&a->f->agg_by_id, slice_str(a->id));
	list_remove(&a->link);
	a->listed = false;
	agg_unref(a);
}

/* Those that nothing runs in; the others go with their last exchange. */
static void
make_room(struct flow *f)
{
	list_each_safe(it, tmp, &f->aggs) {
		if (map_count(&f->agg_by_id) < AGG_SESSIONS)
			return;
		unlist(list_entry(it, struct agg, link));
	}
}

static struct agg *
add(struct flow *f, struct slice id)
{
	struct agg *a = base_calloc(1, sizeof(*a));

	make_room(f);
	a->f = f;
	a->refs = 2;		/* the table's, the caller's */
	a->listed = true;
	memcpy(a->id, id.p, id.n);
	list_init(&a->ups);
	list_init(&a->streams);
	map_init(&a->names);
	map_init(&a->found);
	map_put(&f->agg_by_id, slice_str(a->id), a);
	list_append(&f->aggs, &a->link);
	return a;
}

struct agg *
agg_new(struct flow *f)
{
	uint8_t raw[16];
	char id[33];

	rng_bytes(raw, sizeof(raw));
	hex_encode(raw, sizeof(raw), id);
	return add(f, slice_make(id, 32));
}

struct agg *
agg_find(struct flow *f, struct slice id)
{
	struct agg *a = map_get(&f->agg_by_id, id);

	if (id.n != 32)
		return NULL;
	if (a == NULL)
		return add(f, id);
	if (a->ended)
		return NULL;
	list_remove(&a->link);
	list_append(&f->aggs, &a->link);
	return agg_ref(a);
}

void
aggregate_init(struct flow *f)
{
	list_init(&f->aggs);
	map_init(&f->agg_by_id);
}

void
aggregate_stop(struct flow *f)
{
	while (!list_empty(&f->aggs))
		unlist(list_entry(f->aggs.next, struct agg, link));
	map_free(&f->agg_by_id);
	map_init(&f->agg_by_id);
}

/* --- talking to a server ------------------------------------------------------------ */

struct conn *
agg_send(struct conn *like, struct agg *a, struct slice authorization,
    const char *connector, const char *verb, struct slice body, inner_fn *fn,
    void *ctx)
{
	struct conn *c = NULL;
	struct buf b;

	if (a->f->stopping)
		return NULL;
	buf_init(&b, body.n + 16384);
	buf_addf(&b, "%s /mcp/%s HTTP/1.1\r\nHost: localhost\r\n"
	    "Authorization: %.*s\r\n"
	    "Accept: application/json, text/event-stream\r\n", verb,
	    connector, SLICE_FMT(authorization));
	if (body.n > 0)
		buf_addf(&b, "Content-Type: application/json\r\n"
		    "Content-Length: %zu\r\n", body.n);
	buf_add_str(&b, "\r\n");
	buf_add_slice(&b, body);
	if (!b.full)
		c = conn_inner_raw(like, buf_slice(&b), fn, ctx);
	buf_wipe_free(&b);
	if (c != NULL)
		c->agg = agg_ref(a);
	return c;
}

struct conn *
aggregate_inner(const struct exchange *ex, struct slice body, inner_fn *fn,
    void *ctx)
{
	return agg_send(ex->c, ex->agg, http1_field_known(ex->req,
	    HTTP1_F_AUTHORIZATION), ex->con->name, "POST", body, fn, ctx);
}

struct agg_up *
agg_up_of(struct exchange *ex)
{
	struct agg *a = ex->agg;
	struct agg_up *up;

	list_each(it, &a->ups) {
		up = list_entry(it, struct agg_up, link);
		if (strcmp(up->connector, ex->con->name) == 0)
			return up;
	}
	up = base_calloc(1, sizeof(*up));
	up->agg = a;
	up->connector = base_strdup(ex->con->name);
	list_init(&up->waiting);
	list_append(&a->ups, &up->link);
	return up;
}

/* --- the servers' own streams -------------------------------------------------------- */

static void
on_heard(void *ctx, struct conn *c, struct slice data, bool end)
{
	struct agg_up *up = ctx;

	(void)c;
	(void)data;
	if (end)
		up->listening = NULL;
}

static void
listen_to(struct agg_up *up, struct exchange *stream)
{
	if (up->listening == NULL && up->state == AGG_OPEN && !stream->over)
		up->listening = agg_send(stream->c, up->agg,
		    http1_field_known(stream->req, HTTP1_F_AUTHORIZATION),
		    up->connector, "GET", slice_make(NULL, 0), on_heard, up);
}

void
agg_listen(struct exchange *stream)
{
	list_each(it, &stream->agg->ups)
		listen_to(list_entry(it, struct agg_up, link), stream);
}

static void
stop_listening(struct agg_up *up)
{
	if (up->listening != NULL)
		conn_inner_drop(up->listening);
	up->listening = NULL;
}

void
agg_stream_gone(struct agg *a)
{
	if (!list_empty(&a->streams))
		return;
	list_each(it, &a->ups)
		stop_listening(list_entry(it, struct agg_up, link));
}

/* --- opening ------------------------------------------------------------------------- */

static void
forget(struct agg_up *up)
{
	stop_listening(up);
	free(up->session);
	free(up->version);
	up->session = up->version = NULL;
	up->greeted = false;
	up->state = AGG_CLOSED;
	up->why[0] = '\0';
}

static void
opened(struct agg_up *up, bool ok)
{
	struct agg *a = agg_ref(up->agg);

	if (up->authorization != NULL)
		explicit_bzero(up->authorization, strlen(up->authorization));
	free(up->authorization);
	up->authorization = NULL;
	up->state = ok ? AGG_OPEN : AGG_CLOSED;
	if (ok && !list_empty(&a->streams))
		listen_to(up, list_entry(a->streams.next, struct exchange,
		    agg_link));
	while (!list_empty(&up->waiting)) {
		struct exchange *ex = list_entry(up->waiting.next,
		    struct exchange, agg_link);

		list_remove(&ex->agg_link);
		if (ex->over)
			continue;
		if (ok) {
			exchange_run(ex);
			continue;
		}
		exchange_refuse(ex, REASON_UPSTREAM, "(a session with it "
		    "could not be opened: %s)", up->why[0] == '\0' ?
		    "it did not answer" : up->why);
		exchange_answer_refusal(ex);
	}
	agg_unref(a);
}

static bool
spoken(const char *version)
{
	static const char *const ours[] = { "2025-03-26", AGG_REVISION,
		"2025-11-25" };

	for (size_t i = 0; version != NULL && i < ARRAY_LEN(ours); i++)
		if (strcmp(version, ours[i]) == 0)
			return true;
	return false;
}

static void
on_message(void *ctx, struct slice json)
{
	struct agg_up *up = ctx;
	struct json_doc d;
	char *error;

	spare_doc(up->agg->f, &d);
	if (!up->greeted && json_index(&d, json, NULL) == JSON_OK) {
		uint32_t v = json_path(&d, 0, "result", "protocolVersion",
		    NULL);

		error = json_strdup(&d, json_path(&d, 0, "error", "message",
		    NULL));
		if (v != JSON_NONE) {
			free(up->version);
			up->version = json_strdup(&d, v);
		}
		snprintf(up->why, sizeof(up->why), "%s", error != NULL ? error :
		    v != JSON_NONE && !spoken(up->version) ?
		    "it speaks another revision" : "");
		free(error);
	}
	spare_doc_back(up->agg->f, &d);
}

static void on_open(void *ctx, struct conn *c, struct slice data, bool end);

static bool
say(struct agg_up *up, struct conn *like, struct slice body)
{
	inner_init(&up->in, up->agg->f, 1u << 20, on_message, up);
	if (agg_send(like, up->agg, slice_str(up->authorization),
	    up->connector, "POST", body, on_open, up) != NULL)
		return true;
	inner_free(&up->in);
	return false;
}

static void
on_open(void *ctx, struct conn *c, struct slice data, bool end)
{
	struct agg_up *up = ctx;
	bool ok;

	inner_take(&up->in, data);
	if (!end)
		return;
	inner_end(&up->in);
	ok = up->in.status / 100 == 2;
	if (ok && !up->greeted && spoken(up->version)) {
		if (up->in.session.len > 0)
			up->session = slice_dup(buf_slice(&up->in.session));
		inner_free(&up->in);
		up->greeted = true;
		if (say(up, c, SLICE("{\"jsonrpc\":\"2.0\",\"method\":"
		    "\"notifications/initialized\"}")))
			return;
		ok = false;
	} else {
		ok &= up->greeted;
		inner_free(&up->in);
	}
	opened(up, ok);
}

static enum step_result
agg_open(struct exchange *ex)
{
	struct agg_up *up = agg_up_of(ex);
	bool own = ex->c->agg != NULL && (slice_is(ex->msg.method,
	    "initialize") || slice_is(ex->msg.method,
	    "notifications/initialized"));

	if (own)
		return STEP_DONE;
	if (up->state == AGG_OPEN && strcmp(up->view, ex->view->name) == 0)
		return STEP_DONE;
	if (up->state != AGG_OPENING) {
		forget(up);
		snprintf(up->view, sizeof(up->view), "%s", ex->view->name);
		up->state = AGG_OPENING;
		up->authorization = slice_dup(http1_field_known(ex->req,
		    HTTP1_F_AUTHORIZATION));
		if (!say(up, ex->c, SLICE("{\"jsonrpc\":\"2.0\",\"id\":"
		    "\"portreeve\",\"method\":\"initialize\",\"params\":{"
		    "\"protocolVersion\":\"" AGG_REVISION "\","
		    "\"capabilities\":{},\"clientInfo\":{\"name\":"
		    "\"portreeve\",\"version\":\"" PORTREEVE_VERSION
		    "\"}}}"))) {
			opened(up, false);
			return exchange_refuse(ex, REASON_UPSTREAM, "%s", "");
		}
	}
	list_append(&up->waiting, &ex->agg_link);
	return STEP_WAIT;
}

enum step_result
aggregate_open(struct exchange *ex, struct slice *session_r,
    struct slice *version_r)
{
	enum step_result r = agg_open(ex);
	const struct agg_up *up = agg_up_of(ex);

	if (r == STEP_DONE && up->session != NULL)
		*session_r = slice_str(up->session);
	if (r == STEP_DONE && up->version != NULL)
		*version_r = slice_str(up->version);
	return r;
}

/* --- sessions that a server has lost --------------------------------------------------- */

/* 404 says that the server has no such session (any more) and ran nothing, as
 * the specification has it; some say 400, which could mean anything. Neither
 * is about the agent's own session, and it must not be taken for that. */
const char *
aggregate_lost(struct exchange *ex)
{
	struct agg_up *up = agg_up_of(ex);
	bool nothing_ran = ex->resp->status == 404 ||
	    ex->action.operation != ACTION_CALL;

	/* What opens a session is not sent again; a call that finds another
	 * call opening one waits for it. */
	bool opens = up->state != AGG_OPEN &&
	    ex->action.operation == ACTION_PROTOCOL;

	if (up->state == AGG_OPEN)
		forget(up);
	if (nothing_ran && !opens && !ex->agg_retried) {
		ex->agg_retried = true;
		resend_soon(ex);
		return NULL;
	}
	return ex->resp->status == 404 ?
	    "(it has lost the session that this call was made in)" :
	    "(it does not take this request; the next one is made in another "
	    "session)";
}

/* --- ending, telling ------------------------------------------------------------------ */

void
agg_end(struct agg *a)
{
	a->ended = true;
	while (!list_empty(&a->streams)) {
		struct exchange *g = list_entry(a->streams.next,
		    struct exchange, agg_link);

		list_remove(&g->agg_link);
		if (g->over)
			continue;
		g->delivered = http1_write_chunk_end(&g->c->out) == 0;
		exchange_end(g, "ok");
	}
}

void
agg_tell_changed(struct agg *a)
{
	list_each(it, &a->streams) {
		struct exchange *g = list_entry(it, struct exchange, agg_link);
		struct buf ev;

		if (g->over)
			continue;
		buf_init(&ev, 4096);
		if (sse_write_event(&ev, SLICE("message"), slice_make(NULL,
		    0), SLICE("{\"jsonrpc\":\"2.0\",\"method\":"
		    "\"notifications/tools/list_changed\"}")) != 0 ||
		    http1_write_chunk(&g->c->out, buf_slice(&ev)) != 0)
			log_warn("an agent was not told of new tools");
		g->bytes_out += ev.len;
		buf_free(&ev);
		conn_kick(g->c);
	}
}

static void
tell_all(void *ctx)
{
	struct flow *f = ctx;

	list_each(it, &f->aggs)
		agg_tell_changed(list_entry(it, struct agg, link));
}

void
aggregate_changed(struct flow *f)
{
	if (!f->stopping && !list_empty(&f->aggs))
		loop_soon(f->loop, tell_all, f);
}

bool
agg_offers(struct exchange *ex, size_t at)
{
	struct flow *f = ex->f;
	const struct connector *con = &ex->view->connectors->v[at];

	return con->kind == CONNECTOR_MCP && con->stdio == NULL &&
	    con->approved && svc_state(f, con) != POLICY_DISABLED &&
	    connector_allows_agent(con, ex->session->who.agent) &&
	    !killpage_hit(f->kill, ex->view->kill_hash[at]);
}
