/*
 * aggregate - /mcp, the mount of all MCP connectors that an agent may use, as
 * one server (Streamable HTTP, 2025-03-26 to 2025-11-25).
 *
 * tools/call is made the call of its connector before the gate sees it: the
 * exchange becomes one of that connector, with the tool's own name in its body,
 * and runs the same steps as on /mcp/NAME; only the session with the server is
 * the gateway's (agg_session.c). The rest (initialize, ping, tools/list, the
 * GET stream, notifications) is answered here, also through all steps, as of
 * the connector CONNECTOR_AGGREGATE, which has no upstream.
 */
#include "aggregate_int.h"

#include "toolname.h"

#define STREAM_SIGN_MS 20000
#define CODE_METHOD -32601

/* --- RECEIVE ----------------------------------------------------------------------- */

bool
aggregate_here(const struct exchange *ex)
{
	return ex->mount && (slice_is(ex->req->path, "/mcp") ||
	    slice_is(ex->req->path, "/mcp/"));
}

enum step_result
aggregate_find(struct exchange *ex)
{
	ex->whole = true;
	ex->con = connector_aggregate(ex->view->connectors);
	ex->up_path = slice_str(ex->con->path);
	return STEP_DONE;
}

/* From here on it is an exchange of this connector. */
static void
become(struct exchange *ex, struct connector *con)
{
	size_t n = strlen(con->path);

	while (n > 1 && con->path[n - 1] == '/')
		n--;
	ex->whole = false;
	ex->con = con;
	ex->con_at = (size_t)(con - ex->view->connectors->v);
	ex->up_path = slice_make(con->path, n);
	ex->up_query = slice_make(NULL, 0);
}

static struct connector *
by_prefix(const struct exchange *ex, struct slice prefix)
{
	struct connector_set *set = ex->view->connectors;
	char p[TOOLNAME_PREFIX_MAX + 1];

	for (size_t i = 0; i < set->n; i++) {
		toolname_prefix(set->v[i].name, p);
		if (slice_is(prefix, p) && set->v[i].kind == CONNECTOR_MCP &&
		    set->v[i].stdio == NULL)
			return &set->v[i];
	}
	return NULL;
}

static bool
put_name(struct exchange *ex, const struct json_doc *d, struct slice tool)
{
	struct slice was = json_raw(d, json_path(d, 0, "params", "name",
	    NULL));
	size_t at = (size_t)(was.p - d->text.p);
	struct buf b;

	buf_init(&b, ex->body.max + 4096);
	buf_add(&b, d->text.p, at);
	buf_add_char(&b, '"');
	jsonw_escape(&b, tool);
	buf_add_char(&b, '"');
	buf_add(&b, was.p + was.n, d->text.n - at - was.n);
	if (b.full) {
		buf_wipe_free(&b);
		return false;
	}
	buf_wipe_free(&ex->body);
	ex->body = b;
	return true;
}

static void
route_call(struct exchange *ex, const struct json_doc *d,
    const struct mcp_message *m)
{
	struct slice prefix, rest;
	struct connector *con;
	const char *tool;

	if (!toolname_split(m->tool, &prefix, &rest) ||
	    (con = by_prefix(ex, prefix)) == NULL)
		return;		/* CLASSIFY says no */
	tool = map_get(&ex->agg->names, m->tool);
	if (put_name(ex, d, tool != NULL ? slice_str(tool) : rest))
		become(ex, con);
}

/* The agent gives up a call: its server is told. */
static void
route_cancel(struct exchange *ex, const struct mcp_message *m)
{
	list_each(it, &ex->f->exchanges) {
		struct exchange *of = list_entry(it, struct exchange, link);

		if (of != ex && of->agg == ex->agg && !of->over &&
		    !of->whole && of->c->agg == NULL &&
		    slice_eq(of->msg.id, m->cancel_id) &&
		    of->view == ex->view) {
			become(ex, of->con);
			return;
		}
	}
}

/* 0, or the status of a request that is of no session of this principal. */
static unsigned
find_session(struct exchange *ex)
{
	struct slice s = http1_field_known(ex->req, HTTP1_F_MCP_SESSION_ID);
	struct slice id;

	if (s.p == NULL)
		return 400;
	if (identity_open(ex, IDENTITY_SESSION, s, &id))
		ex->agg = agg_find(ex->f, id);
	return ex->agg == NULL ? 404 : 0;
}

enum step_result
aggregate_take(struct exchange *ex, enum step_result read)
{
	struct mcp_message m = { 0 };
	struct json_doc d;

	if (ex->c->agg != NULL && ex->agg == NULL)
		ex->agg = agg_ref(ex->c->agg);
	if (read != STEP_DONE || !ex->whole)
		return read;
	spare_doc(ex->f, &d);
	if (ex->body.len > 0 && json_index(&d, buf_slice(&ex->body), NULL) ==
	    JSON_OK)
		mcp_read(&d, 0, &m);
	if (m.kind != MCP_BATCH && !mcp_modern(m.version) &&
	    !slice_is(m.method, "initialize"))
		ex->agg_status = find_session(ex);
	if (ex->agg != NULL && m.kind == MCP_REQUEST &&
	    slice_is(m.method, "tools/call"))
		route_call(ex, &d, &m);
	else if (ex->agg != NULL && m.cancel_id.n > 0)
		route_cancel(ex, &m);
	spare_doc_back(ex->f, &d);
	return STEP_DONE;
}

/* --- CLASSIFY ------------------------------------------------------------------------- */

static enum step_result
refuse(struct exchange *ex, enum reason r, unsigned status, int code,
    const char *why)
{
	ex->refusal_status = status;
	ex->refusal_code = code;
	return exchange_refuse(ex, r, "%s", why);
}

enum step_result
aggregate_classify(struct exchange *ex)
{
	static const char *const methods[] = { "initialize", "ping",
		"tools/list" };

	/* A bare 400 is what makes a client take an older revision. */
	if (ex->modern)
		return refuse(ex, REASON_REVISION, 400, MCP_CODE_REFUSED,
		    "(/mcp has sessions: 2025-11-25 and before)");
	if (ex->agg_status != 0)
		return refuse(ex, REASON_SESSION_BINDING, ex->agg_status,
		    MCP_CODE_REFUSED, ex->agg_status == 404 ?
		    "(this session is not, or no longer, there)" :
		    "(no Mcp-Session-Id)");
	if (ex->req->method_id == HTTP1_M_GET && !call_takes_stream(ex))
		return refuse(ex, REASON_AMBIGUOUS, 405, 0,
		    "GET opens an event stream.");
	if (ex->msg.kind != MCP_REQUEST)
		return STEP_DONE;
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (slice_is(ex->msg.method, methods[i]))
			return STEP_DONE;
	if (slice_is(ex->msg.method, "tools/call") &&
	    slice_is(ex->msg.tool, CONNECTOR_SEARCH))
		return STEP_DONE;
	if (slice_is(ex->msg.method, "tools/call"))
		return refuse(ex, REASON_NOT_OFFERED, 200, MCP_CODE_PARAMS,
		    "(no connector has this prefix: tools are named "
		    "CONNECTOR__TOOL, as tools/list says)");
	return refuse(ex, REASON_NOT_OFFERED, 200, CODE_METHOD,
		    "(/mcp offers tools only; the rest is on /mcp/CONNECTOR)");
}

/* --- answers of our own ------------------------------------------------------------------ */

static const char *
revision(const struct exchange *ex)
{
	static const char *const spoken[] = { "2025-11-25", "2025-06-18",
		"2025-03-26" };
	uint32_t v = json_path(&ex->doc, 0, "params", "protocolVersion", NULL);

	for (size_t i = 0; i < ARRAY_LEN(spoken); i++)
		if (json_str_is(&ex->doc, v, spoken[i]))
			return spoken[i];
	return spoken[0];
}

static enum step_result
initialize(struct exchange *ex)
{
	struct jsonw w;
	struct buf b;

	ex->agg = agg_new(ex->f);
	buf_init(&b, 65536);
	jsonw_init(&w, &b);
	jsonw_object(&w, NULL);
	jsonw_str(&w, "jsonrpc", "2.0");
	jsonw_raw(&w, "id", ex->msg.id);
	jsonw_object(&w, "result");
	jsonw_str(&w, "protocolVersion", revision(ex));
	jsonw_raw(&w, "capabilities",
	    SLICE("{\"tools\":{\"listChanged\":true}}"));
	jsonw_object(&w, "serverInfo");
	jsonw_str(&w, "name", "portreeve");
	jsonw_str(&w, "version", PORTREEVE_VERSION);
	jsonw_object_end(&w);
	jsonw_str(&w, "instructions", "The tools of several servers, named "
	    "SERVER__TOOL. Every call is checked by a policy and recorded; a "
	    "person may have to approve it, which takes time.");
	jsonw_object_end(&w);
	jsonw_object_end(&w);
	relay_local(ex, 200, buf_slice(&b));
	buf_free(&b);
	return STEP_DONE;
}

static void
on_sign(void *ctx)
{
	struct exchange *ex = ctx;

	if (http1_write_chunk(&ex->c->out, SLICE(":\n\n")) == 0)
		conn_kick(ex->c);
	loop_timer_set(ex->timer, STREAM_SIGN_MS);
}

static enum step_result
open_stream(struct exchange *ex)
{
	if (!call_begin_stream(ex))
		return exchange_refuse(ex, REASON_BODY_TOO_LARGE, "%s", "");
	ex->request_head_sent = true;
	ex->status = 200;
	ex->resp_media = MEDIA_SSE;
	list_append(&ex->agg->streams, &ex->agg_link);
	agg_listen(ex);
	loop_timer_del(ex->timer);
	ex->timer = loop_timer_new(ex->f->loop, on_sign, ex);
	loop_timer_set(ex->timer, STREAM_SIGN_MS);
	conn_kick(ex->c);
	return STEP_WAIT;
}

static enum step_result
end_session(struct exchange *ex)
{
	list_each(it, &ex->agg->ups) {
		struct agg_up *up = list_entry(it, struct agg_up, link);

		if (up->state == AGG_OPEN && up->session != NULL &&
		    strcmp(up->view, ex->view->name) == 0)
			(void)agg_send(ex->c, ex->agg, http1_field_known(
			    ex->req, HTTP1_F_AUTHORIZATION), up->connector,
			    "DELETE", slice_make(NULL, 0), conn_to_nobody,
			    NULL);
	}
	agg_end(ex->agg);
	relay_local(ex, 200, slice_make(NULL, 0));
	return STEP_DONE;
}

static enum step_result
answer_ping(struct exchange *ex)
{
	char *json = arena_printf(ex->a, "{\"jsonrpc\":\"2.0\",\"id\":%.*s,"
	    "\"result\":{}}", SLICE_FMT(ex->msg.id));

	if (json == NULL)
		return exchange_refuse(ex, REASON_BODY_TOO_LARGE, "%s", "");
	relay_local(ex, 200, slice_str(json));
	return STEP_DONE;
}

enum step_result
aggregate_answer(struct exchange *ex)
{
	struct agg_search *s;

	if (ex->req->method_id == HTTP1_M_GET)
		return open_stream(ex);
	if (ex->req->method_id == HTTP1_M_DELETE)
		return end_session(ex);
	if (ex->msg.kind != MCP_REQUEST) {
		relay_local(ex, 202, slice_make(NULL, 0));
		return STEP_DONE;
	}
	if (slice_is(ex->msg.method, "initialize"))
		return initialize(ex);
	if (slice_is(ex->msg.method, "ping"))
		return answer_ping(ex);
	if (slice_is(ex->msg.method, "tools/list"))
		return agg_list_begin(ex, NULL);
	s = agg_search_new(ex);
	return s == NULL ? STEP_REFUSE : agg_list_begin(ex, s);
}

int
aggregate_write_session(struct exchange *ex, struct buf *out)
{
	struct buf sealed;
	int r;

	if (!ex->whole || !slice_is(ex->msg.method, "initialize"))
		return 0;
	buf_init(&sealed, 4096);
	identity_seal(ex, IDENTITY_SESSION, slice_str(ex->agg->id), &sealed);
	r = http1_write_field(out, SLICE("Mcp-Session-Id"),
	    buf_slice(&sealed));
	buf_free(&sealed);
	return r;
}

void
aggregate_leave(struct exchange *ex)
{
	list_remove(&ex->agg_link);
	agg_list_free(ex);
	if (ex->agg != NULL && ex->whole)
		agg_stream_gone(ex->agg);
	agg_unref(ex->agg);
	ex->agg = NULL;
}
