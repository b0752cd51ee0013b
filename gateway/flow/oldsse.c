/*
 * oldsse - the HTTP+SSE transport of MCP 2024-11-05: a GET whose stream first
 * names, in an `endpoint` event, where to POST, and then carries the answers
 * to what is posted there.
 *
 * The address is bound to the principal that got it: on a mount it is sealed
 * into one of ours, through the proxy a parameter is added. A posted call is
 * over with its 202 only where no stream of this proxy waits for it; else it
 * is parked until the stream brings its answer, which is its outcome.
 */
#include "internal.h"

#include "codec.h"

#define MARK "portreeve="
#define MOUNTED "~sse/"
#define MAC_HEX 32
#define TARGET_MAX 8192
#define PARKED_MAX 256

/* --- the address ---------------------------------------------------------------- */

static bool
same_host(const struct exchange *ex, const struct http1_url *u)
{
	uint16_t port = u->authority.port != 0 ? u->authority.port :
	    http1_scheme_port(u->scheme);

	if ((u->scheme == HTTP1_HTTPS) != ex->con->tls)
		return false;
	for (size_t i = 0; i < ex->con->nhosts; i++)
		if (strcmp(ex->con->hosts[i].host, u->authority.host) == 0 &&
		    ex->con->hosts[i].port == port)
			return true;
	return false;
}

/* RFC 3986, 5.2, for what servers send; the path and query, or none. */
static struct slice
resolve(struct exchange *ex, struct slice uri)
{
	struct slice none = slice_make(NULL, 0), dir = ex->up_path, path, rest;
	struct http1_url u;

	if (uri.n == 0 || uri.n > TARGET_MAX || slice_starts(uri, "//"))
		return none;
	if (slice_starts(uri, "http:") || slice_starts(uri, "https:")) {
		if (http1_url_parse(uri, &u) != HTTP1_E_NONE ||
		    !same_host(ex, &u))
			return none;
		struct slice parts[] = { u.path, slice_make("?",
		    u.query.p != NULL), u.query };

		uri = arena_join(ex->a, parts, ARRAY_LEN(parts));
	} else if (uri.p[0] != '/') {
		while (uri.p[0] != '?' && dir.n > 0 && dir.p[dir.n - 1] != '/')
			dir.n--;
		struct slice parts[] = { dir, uri };

		uri = arena_join(ex->a, parts, ARRAY_LEN(parts));
	}
	for (size_t i = 0; i < uri.n; i++)
		if (uri.p[i] <= ' ' || uri.p[i] > '~' || uri.p[i] == '#')
			return none;
	rest = uri;
	path = slice_cut(&rest, '?');
	return http1_path_normal(path, NULL) ? arena_copy(ex->a, uri) : none;
}

int
oldsse_endpoint(struct exchange *ex, struct slice uri, struct buf *out)
{
	struct slice target = resolve(ex, slice_trim(uri));
	struct buf b64;

	if (target.n == 0) {
		exchange_refuse(ex, REASON_AMBIGUOUS,
		    "(the endpoint event names another place)");
		return -1;
	}
	ex->endpoint = target;
	list_init(&ex->parked);
	buf_init(&b64, 2 * TARGET_MAX);
	if (ex->mount) {
		b64url_encode(&b64, target.p, target.n);
		buf_addf(out, "/mcp/%s/" MOUNTED, ex->con->name);
		identity_seal(ex, IDENTITY_ENDPOINT, buf_slice(&b64), out);
	} else {
		identity_seal(ex, IDENTITY_ENDPOINT, target, &b64);
		buf_addf(out, "%.*s%c" MARK "%.*s", SLICE_FMT(target),
		    slice_chr(target, '?') < 0 ? '?' : '&', MAC_HEX,
		    buf_data(&b64) + b64.len - MAC_HEX);
	}
	buf_free(&b64);
	ex->agent_endpoint = arena_copy(ex->a, buf_slice(out));
	return out->full || ex->agent_endpoint.p == NULL ? -1 : 0;
}

static enum step_result
foreign(struct exchange *ex)
{
	return exchange_refuse(ex, REASON_SESSION_BINDING,
	    "(the address of an endpoint event)");
}

static enum step_result
take(struct exchange *ex, struct slice target)
{
	struct slice rest;

	ex->endpoint = target = arena_copy(ex->a, target);
	if (target.p == NULL)
		return foreign(ex);
	ex->sse_post = true;
	rest = target;
	ex->up_path = slice_cut(&rest, '?');
	ex->up_query = rest;
	return STEP_DONE;
}

enum step_result
oldsse_open_mount(struct exchange *ex, struct slice rest)
{
	struct slice id;
	struct buf target;
	enum step_result r;

	buf_init(&target, TARGET_MAX);
	if (!identity_open(ex, IDENTITY_ENDPOINT,
	    slice_sub(rest, sizeof(MOUNTED) - 1, SIZE_MAX), &id) ||
	    b64url_decode(&target, id) != 0)
		r = foreign(ex);
	else
		r = take(ex, buf_slice(&target));
	buf_free(&target);
	return r;
}

bool
oldsse_mounted(struct slice rest)
{
	return slice_starts(rest, MOUNTED);
}

/* "sessionId", "session_id": what the servers of this transport put there. */
static bool
names_session(struct slice query)
{
	while (query.p != NULL) {
		struct slice v = slice_cut(&query, '&');
		struct slice name = slice_cut(&v, '=');
		char flat[16];
		size_t n = 0;

		for (size_t i = 0; i < name.n && n < sizeof(flat); i++)
			if (name.p[i] != '_' && name.p[i] != '-')
				flat[n++] = name.p[i];
		if (slice_is_nocase(slice_make(flat, n), "sessionid"))
			return true;
	}
	return false;
}

enum step_result
oldsse_guess(struct exchange *ex)
{
	return ex->req->method_id == HTTP1_M_POST &&
	    names_session(ex->up_query) ? foreign(ex) : STEP_DONE;
}

bool
oldsse_marked(struct slice query)
{
	return slice_find(query, SLICE(MARK)) >= 0;
}

/* Is it the address that ex->con gave this principal? */
static bool
open_query(struct exchange *ex, struct slice q)
{
	size_t at = (size_t)slice_find(q, SLICE(MARK));
	size_t end = at + sizeof(MARK) - 1;
	struct slice id;
	struct buf b;
	bool ok = false;

	buf_init(&b, 2 * TARGET_MAX);
	buf_add_slice(&b, ex->req->path);
	if (at > 1)
		buf_addf(&b, "?%.*s", (int)at - 1, q.p);
	buf_addf(&b, ".%.*s", SLICE_FMT(slice_sub(q, end, SIZE_MAX)));
	if (q.n - end == MAC_HEX && !b.full &&
	    identity_open(ex, IDENTITY_ENDPOINT, buf_slice(&b), &id))
		ok = take(ex, id) == STEP_DONE;
	buf_free(&b);
	return ok;
}

enum step_result
oldsse_find(struct exchange *ex, const char *host, uint16_t port)
{
	const struct connector_set *set = ex->view->connectors;

	for (size_t i = 0; i < set->n; i++) {
		struct connector *con = &set->v[i];
		bool here = false;

		for (size_t k = 0; k < con->nhosts; k++)
			here |= strcmp(con->hosts[k].host, host) == 0 &&
			    con->hosts[k].port == port;
		ex->con = con;
		if (here && con->kind == CONNECTOR_MCP &&
		    open_query(ex, ex->req->query))
			return STEP_DONE;
	}
	ex->con = NULL;
	return foreign(ex);
}

/* --- posted calls and the stream that answers them --------------------------------- */

static bool
together(const struct exchange *a, const struct exchange *b)
{
	const struct principal *p = &a->session->who, *q = &b->session->who;

	return a->con != NULL && b->con != NULL &&
	    strcmp(a->con->name, b->con->name) == 0 &&
	    slice_eq(a->endpoint, b->endpoint) &&
	    strcmp(p->user, q->user) == 0 && strcmp(p->agent, q->agent) == 0;
}

static struct exchange *
stream_of(struct exchange *ex)
{
	list_each(it, &ex->f->exchanges) {
		struct exchange *g = list_entry(it, struct exchange, link);

		if (!g->over && !g->sse_post && g->endpoint.n > 0 &&
		    g->mode == RESP_SSE && together(g, ex))
			return g;
	}
	return NULL;
}

bool
oldsse_park(struct exchange *ex)
{
	struct exchange *g;
	struct conn *c = ex->c;

	if (!ex->sse_post || ex->late || ex->msg.kind != MCP_REQUEST ||
	    ex->status / 100 != 2 || !ex->delivered)
		return false;
	g = stream_of(ex);
	if (g == NULL || g->nparked == PARKED_MAX)
		return false;
	ex->over = true;
	if (ex->timer != NULL)
		loop_timer_stop(ex->timer);
	conn_keep_leftover(c, ex);
	cut_detach(ex);
	buf_reset(&ex->result);
	list_remove(&ex->link);
	list_append(&g->parked, &ex->link);
	g->nparked++;
	conn_kick(c);
	conn_next(c, ex->keep_alive);
	return true;
}

static void
keep(struct exchange *ex, struct slice json)
{
	size_t max = (size_t)ex->con->log_result;

	ex->result_truncated = json.n > max;
	ex->result_json = !ex->result_truncated;
	buf_reset(&ex->result);
	if (buf_add_slice(&ex->result, slice_sub(json, 0, max)) != 0)
		ex->result_truncated = true;
}

static void
unpark(struct exchange *g, struct exchange *p, const char *status)
{
	g->nparked--;
	exchange_record_end(p, status);
	exchange_free(p);
}

/* A call whose tool was killed meanwhile gets the refusal instead. */
static int
answer_parked(struct exchange *g, struct exchange *p, struct slice json,
    struct buf *instead)
{
	const char *target;

	if (!exchange_killed(p, &target)) {
		keep(p, json);
		unpark(g, p, "ok");
		return 0;
	}
	p->reason = REASON_KILLED;
	mcp_write_denial(instead, p->msg.id, false, reason_text(
	    REASON_KILLED), reason_word(REASON_KILLED), NULL);
	unpark(g, p, "cut");
	return 1;
}

int
oldsse_answer(struct exchange *g, struct slice json, struct buf *instead)
{
	struct json_doc d;
	struct slice id = slice_make(NULL, 0);

	spare_doc(g->f, &d);
	if (json_index(&d, json, NULL) == JSON_OK &&
	    json_member(&d, 0, "method") == JSON_NONE &&
	    json_member(&d, 0, "id") != JSON_NONE)
		id = json_raw(&d, json_member(&d, 0, "id"));
	spare_doc_back(g->f, &d);
	if (id.n == 0)
		return 0;
	list_each(it, &g->parked) {
		struct exchange *p = list_entry(it, struct exchange, link);

		if (slice_eq(p->msg.id, id))
			return answer_parked(g, p, json, instead);
	}
	/* Before its 202. */
	list_each(it2, &g->f->exchanges) {
		struct exchange *p = list_entry(it2, struct exchange, link);

		if (!p->over && p->sse_post && slice_eq(p->msg.id, id) &&
		    together(p, g)) {
			p->late = true;
			keep(p, json);
			break;
		}
	}
	return 0;
}

bool
oldsse_deny(struct exchange *ex, struct slice json)
{
	struct exchange *g = ex->sse_post ? stream_of(ex) : NULL;
	struct buf *o = &ex->c->out, ev;
	bool ok;

	if (g == NULL)
		return false;
	buf_init(&ev, json.n + 65536);
	ok = sse_write_event(&ev, SLICE("message"), slice_make(NULL, 0),
	    json) == 0 && (g->chunked_out ? http1_write_chunk(&g->c->out,
	    buf_slice(&ev)) : buf_add_slice(&g->c->out,
	    buf_slice(&ev))) == 0;
	buf_free(&ev);
	if (!ok || http1_write_response(o, 202, slice_make(NULL, 0)) != 0 ||
	    http1_write_framing(o, HTTP1_BODY_LENGTH, 0) != 0 ||
	    http1_write_end(o) != 0)
		return false;
	ex->head_out = true;
	ex->status = 202;
	conn_kick(g->c);
	conn_kick(ex->c);
	return true;
}

void
oldsse_end(struct exchange *g)
{
	while (!g->sse_post && !list_empty(&g->parked))
		unpark(g, list_entry(g->parked.next, struct exchange, link),
		    g->stopped ? "cut" : "unknown");
}
