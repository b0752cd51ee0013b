/*
 * stdio - MCP servers that run beside their agent, started by `portreeve
 * stdio` (the shim). What such a pair says to one another goes through here as
 * MCP's own Streamable HTTP, on a unix socket of this proxy:
 *
 *   POST, GET /mcp/NAME      a call, as on a mount: the same steps
 *   POST /stdio/NAME         {command, digest}: shows what the shim runs; answered
 *                            by what it may run it with, the connection becomes a
 *                            lane: from then on we ask on it, the shim's server
 *                            answers
 *   POST /stdio/NAME/note    {phase, detail}: what happened to the server
 *
 * The shim decides nothing. Lanes are an upstream's connections, which come
 * from the other side: pooled by session, connector and link, a number of the
 * shim's own, so that no other principal is ever given one.
 */
#include "internal.h"

#include "log.h"

#define LANE_PREFIX "stdio|"
#define LINK_FIELD "Portreeve-Link"
#define LINK_MAX 64
#define LANE_WAIT_MS 5000

enum step_result
stdio_find(struct exchange *ex)
{
	struct slice rest = ex->path, name;
	bool lane = slice_starts(rest, "/stdio/");

	if (!lane && !slice_starts(rest, "/mcp/"))
		return exchange_refuse(ex, REASON_UNCATALOGUED,
		    "This socket is for portreeve stdio.");
	rest = slice_sub(rest, lane ? 7 : 5, SIZE_MAX);
	name = slice_cut(&rest, '/');
	ex->con = connector_named(ex->view->connectors, name);
	if (ex->con == NULL || ex->con->stdio == NULL) {
		ex->con = NULL;
		return exchange_refuse(ex, REASON_UNCATALOGUED,
		    "There is no connector %.*s of kind stdio.",
		    SLICE_FMT(name));
	}
	ex->up_path = slice_str(ex->con->path);
	if (!lane)
		return STEP_DONE;
	ex->stdio_ask = rest.p != NULL ? STDIO_NOTE : STDIO_LANE;
	if (ex->req->method_id != HTTP1_M_POST || (rest.p != NULL &&
	    !slice_is(rest, "note"))) {
		ex->refusal_status = 404;
		return exchange_refuse(ex, REASON_AMBIGUOUS, "%s", "");
	}
	return STEP_DONE;
}

enum step_result
stdio_elsewhere(struct exchange *ex)
{
	const char *name = ex->con->name;

	ex->con = NULL;
	return exchange_refuse(ex, REASON_UNCATALOGUED,
	    "This one is begun with: portreeve stdio %s.", name);
}

/* NULL: the request names no link, or no good one. */
static char *
lane_key(struct exchange *ex)
{
	struct slice link = http1_field(ex->req, LINK_FIELD);

	if (link.n == 0 || link.n > LINK_MAX || slice_chr(link, '|') >= 0)
		return NULL;
	return arena_printf(ex->a, LANE_PREFIX "%s|%s|%.*s", ex->con->name,
	    ex->session->who.session, SLICE_FMT(link));
}

/* --- lanes ------------------------------------------------------------------ */

static bool
same_command(const struct json_doc *d, uint32_t array,
    const struct connector_words *want)
{
	uint32_t at = json_first(d, array);
	size_t i = 0;

	if (json_typeof(d, array) != JSON_ARRAY)
		return false;
	for (; at != JSON_NONE && i < want->n; i++) {
		if (!json_str_is(d, at, want->v[i]))
			return false;
		at = json_next(d, array, at);
	}
	return at == JSON_NONE && i == want->n;
}

static enum step_result
check_server(struct exchange *ex)
{
	const struct connector_stdio *s = ex->con->stdio;
	const struct json_doc *d = &ex->doc;

	if (!ex->con->approved || !connector_allows_agent(ex->con,
	    ex->session->who.agent))
		return exchange_refuse(ex, REASON_NOT_YOURS, "%s", "");
	if (!same_command(d, json_member(d, 0, "command"), &s->command))
		return exchange_refuse(ex, REASON_STDIO_PIN, "(the command "
		    "line) portreeve stdio --pin prints what to review and "
		    "add.");
	if (!json_str_is(d, json_member(d, 0, "digest"), s->digest)) {
		struct slice got = json_inner(d, json_member(d, 0, "digest"));

		return exchange_refuse(ex, REASON_STDIO_PIN, "(the "
		    "executable: %.*s) portreeve stdio --pin prints what to "
		    "review and add.", (int)(got.n > 80 ? 80 : got.n), got.p);
	}
	return STEP_DONE;
}

static void
words(struct jsonw *w, const char *key, const struct connector_words *v)
{
	jsonw_array(w, key);
	for (size_t i = 0; i < v->n; i++)
		jsonw_str(w, NULL, v->v[i]);
	jsonw_array_end(w);
}

/* What the server is run with. */
static void
write_terms(const struct exchange *ex, struct buf *b)
{
	const struct connector_stdio *s = ex->con->stdio;
	struct jsonw w;

	jsonw_init(&w, b);
	jsonw_object(&w, NULL);
	jsonw_str(&w, "directory", s->directory);
	words(&w, "read", &s->read);
	words(&w, "allow", &s->allow);
	words(&w, "env", &s->env);
	jsonw_bool(&w, "network", s->network);
	jsonw_int(&w, "body", ex->view->conf->limits.body);
	jsonw_object_end(&w);
}

static int
write_answer(struct buf *o, struct slice json)
{
	int r = http1_write_response(o, 200, slice_make(NULL, 0));

	if (json.n > 0)
		r |= http1_write_field(o, SLICE("Content-Type"),
		    SLICE("application/json"));
	r |= http1_write_framing(o, HTTP1_BODY_LENGTH, json.n);
	r |= http1_write_end(o);
	return r | buf_add_slice(o, json);
}

/* Whoever waits for a lane gets the one that came. */
static void
wake(struct flow *f, const char *key)
{
	list_each(it, &f->exchanges) {
		struct exchange *ex = list_entry(it, struct exchange, link);

		if (ex->over || ex->lane_key == NULL ||
		    strcmp(ex->lane_key, key) != 0)
			continue;
		ex->lane_key = NULL;
		loop_timer_stop(ex->timer);
		ex->u = upstream_take(f->pool, slice_str(key));
		if (ex->u != NULL)
			exchange_resume(ex);
		return;
	}
}

static enum step_result
become_lane(struct exchange *ex)
{
	struct flow *f = ex->f;
	struct loop_fd *watch;
	struct stream *s;
	char *key = lane_key(ex), *own;
	struct buf b, json;
	ssize_t k = -1;

	if (key == NULL || ex->c->in.len > 0 || ex->c->out.len > 0 ||
	    ex->c->h2_stream != NULL)
		return exchange_refuse(ex, REASON_AMBIGUOUS,
		    "A lane begins with this request and a " LINK_FIELD ".");
	buf_init(&json, 1u << 20);
	buf_init(&b, (1u << 20) + 4096);
	write_terms(ex, &json);
	/* The socket has room: nothing was ever written to it. */
	if (!json.full && write_answer(&b, buf_slice(&json)) == 0)
		k = stream_write(ex->c->s, buf_data(&b), b.len);
	bool sent = k >= 0 && (size_t)k == b.len;

	buf_free(&b);
	buf_free(&json);
	ex->over = true;
	if (!sent) {
		conn_abort(ex->c);
		return STEP_WAIT;
	}
	own = base_strdup(key);
	s = conn_hand_over(ex->c, &watch);	/* and ex with it */
	upstream_adopt(f->pool, slice_str(own), s, watch);
	wake(f, own);
	loop_defer_free(f->loop, own);
	return STEP_WAIT;
}

static enum step_result
take_note(struct exchange *ex)
{
	static const char *const phases[] = { "started", "ended", "noise" };
	const struct json_doc *d = &ex->doc;
	struct slice detail = json_inner(d, json_member(d, 0, "detail"));

	for (size_t i = 0; i < ARRAY_LEN(phases); i++) {
		if (!json_str_is(d, json_member(d, 0, "phase"), phases[i]))
			continue;
		record_stdio(ex, phases[i], slice_sub(detail, 0, 512));
		if (write_answer(&ex->c->out, slice_make("", 0)) != 0)
			return STEP_REFUSE;
		ex->delivered = true;
		exchange_end(ex, "ok");
		return STEP_WAIT;
	}
	ex->refusal_status = 400;
	return exchange_refuse(ex, REASON_UNPARSEABLE, "(phase)");
}

enum step_result
stdio_take(struct exchange *ex, enum step_result read)
{
	enum step_result r;

	if (read != STEP_DONE || ex->stdio_ask == STDIO_CALL)
		return read;
	if (json_index(&ex->doc, buf_slice(&ex->body),
	    &json_limits_inside) != JSON_OK) {
		ex->refusal_status = 400;
		return exchange_refuse(ex, REASON_UNPARSEABLE, "(%s)",
		    json_error_text(ex->doc.error));
	}
	if ((r = check_server(ex)) != STEP_DONE)
		return r;
	return ex->stdio_ask == STDIO_NOTE ? take_note(ex) :
	    become_lane(ex);
}

/* --- FORWARD ------------------------------------------------------------------ */

static void
on_no_lane(void *ctx)
{
	struct exchange *ex = ctx;

	ex->lane_key = NULL;
	exchange_refuse(ex, REASON_UPSTREAM, "portreeve stdio offers no "
	    "connection to its server.");
	exchange_answer_refusal(ex);
}

enum step_result
stdio_forward(struct exchange *ex)
{
	char *key = lane_key(ex);

	if (key == NULL)
		return exchange_refuse(ex, REASON_AMBIGUOUS,
		    "There is no " LINK_FIELD ".");
	ex->u = upstream_take(ex->f->pool, slice_str(key));
	if (ex->u != NULL)
		return STEP_DONE;
	ex->lane_key = key;
	loop_timer_del(ex->timer);
	ex->timer = loop_timer_new(ex->f->loop, on_no_lane, ex);
	loop_timer_set(ex->timer, LANE_WAIT_MS);
	return STEP_WAIT;
}

void
stdio_reloaded(struct flow *f)
{
	upstream_drop(f->pool, LANE_PREFIX);
}
