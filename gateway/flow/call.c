/*
 * call - the steps of steps.def up to RESPONSE: who, what, may it, clean,
 * approved, recorded, sent. Each step does one thing and says why when it
 * refuses.
 */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "log.h"

#define HOLD_GRACE_MS 5000

/* --- RECEIVE ------------------------------------------------------------- */

static enum step_result
authenticate(struct exchange *ex)
{
	struct conn *c = ex->c;
	bool proxy = !ex->bearer;
	uint8_t hash[32];

	/* In a tunnel the CONNECT brought the token; it is looked up again for
	 * every call, so that a revoked session ends at once. */
	if (c->tunnel && c->has_token) {
		memcpy(hash, c->token_hash, 32);
	} else if (!identity_token(ex->req, proxy, hash)) {
		return exchange_refuse(ex, REASON_NO_TOKEN, "Mint one with: "
		    "portreeve session open --user U --agent A --for 1h; give "
		    "it in %s.", proxy ? "Proxy-Authorization" :
		    "Authorization");
	}
	ex->session = svc_session(ex->f, hash);
	/* A proxy that has just started does not know the tokens yet. */
	if (ex->session == NULL && !ex->f->synced)
		return exchange_refuse(ex, REASON_BROKER, "%s", "");
	if (ex->session == NULL)
		return exchange_refuse(ex, REASON_BAD_TOKEN, "Mint a new one "
		    "with: portreeve session open --user U --agent A --for "
		    "1h.");
	if (ex->f->clock_unsound &&
	    ex->view->conf->exceptions[REASON_CLOCK] != CONF_ALLOW)
		return exchange_refuse(ex, REASON_CLOCK, "Whether the token is "
		    "still valid cannot be said.");
	if (ex->req->method_id == HTTP1_M_CONNECT) {
		memcpy(c->token_hash, hash, 32);
		c->has_token = true;
	}
	return STEP_DONE;
}

static enum step_result
refuse_uncatalogued(struct exchange *ex, const char *host, unsigned port)
{
	return exchange_refuse(ex, REASON_UNCATALOGUED, "(%s:%u) An admin adds "
	    "it as a file in connectors.d.", host, port);
}

static enum step_result
begin_tunnel(struct exchange *ex)
{
	struct conn *c = ex->c;
	const struct http1_authority *au = &ex->req->authority;

	c->authority = *au;
	ex->con = connector_at(ex->view->connectors, au->host, au->port,
	    slice_make(NULL, 0));
	if (ex->con == NULL && !ex->view->conf->splice_uncatalogued)
		return refuse_uncatalogued(ex, au->host, au->port);
	if (http1_write_response(&c->out, 200,
	    SLICE("Connection established")) != 0 ||
	    http1_write_end(&c->out) != 0)
		return STEP_REFUSE;
	ex->delivered = true;
	if (ex->con == NULL) {
		struct session *s = ex->session;

		ex->session = NULL;
		buf_reset(&c->out);	/* sent when the splice stands */
		c->state = CONN_SPLICE;
		exchange_end(ex, "ok");
		splice_begin(c, s);
		session_unref(s);
		return STEP_WAIT;
	}
	trust_begin(c, http1_field(ex->req, "user-agent"));
	c->state = CONN_SNIFF;
	exchange_end(ex, "ok");
	conn_begin_sniff(c);
	return STEP_WAIT;
}

/* Which connector a request inside a tunnel, in absolute form, or on a mount
 * is for. */
static enum step_result
find_connector(struct exchange *ex)
{
	const struct http1_head *h = ex->req;
	struct conn *c = ex->c;
	const struct http1_authority *au = &h->authority;
	uint16_t port;

	if (ex->stdio)
		return stdio_find(ex);
	if (ex->gate != NULL)
		return gateapi_find(ex);
	if (aggregate_here(ex))
		return aggregate_find(ex);
	if (ex->mount) {
		struct slice rest = ex->path;
		bool api = slice_starts(rest, "/api/");

		if (!api && !slice_starts(rest, "/mcp/"))
			return exchange_refuse(ex, REASON_UNCATALOGUED,
			    "Mounts are /mcp, /mcp/CONNECTOR and "
			    "/api/CONNECTOR.");
		rest = slice_sub(rest, 5, SIZE_MAX);
		struct slice name = slice_cut(&rest, '/');

		ex->con = connector_named(ex->view->connectors, name);
		if (ex->con == NULL || ex->con->kind != (api ?
		    CONNECTOR_REST : CONNECTOR_MCP)) {
			ex->con = NULL;
			return exchange_refuse(ex, REASON_UNCATALOGUED,
			    "There is no %s connector of this name.",
			    api ? "REST" : "MCP");
		}
		if (ex->con->stdio != NULL)
			return stdio_elsewhere(ex);
		if (!api && oldsse_mounted(rest))
			return oldsse_open_mount(ex, rest);
		const char *base = ex->con->path;
		size_t bn = strlen(base);

		while (bn > 0 && base[bn - 1] == '/')
			bn--;
		if (rest.p == NULL)
			ex->up_path = slice_make(bn == 0 ? "/" : base,
			    bn == 0 ? 1 : bn);
		else
			ex->up_path = slice_str(arena_printf(ex->a,
			    "%.*s/%.*s", (int)bn, base, SLICE_FMT(rest)));
		return STEP_DONE;
	}
	if (c->tunnel) {
		/* One tunnel, one host: the name that was allowed is the name
		 * that is asked. */
		if (h->has_authority && !http1_authority_equal(au,
		    &c->authority, c->tls ? 443 : 80)) {
			ex->refusal_status = 421;
			return exchange_refuse(ex, REASON_AMBIGUOUS,
			    "The Host field names another host than CONNECT.");
		}
		port = c->authority.port;
		au = &c->authority;
	} else {
		if (h->form != HTTP1_ABSOLUTE)
			return exchange_refuse(ex, REASON_AMBIGUOUS, "This is a "
			    "proxy: use CONNECT, or an absolute http:// URL.");
		if (h->scheme != HTTP1_HTTP)
			return exchange_refuse(ex, REASON_AMBIGUOUS,
			    "https needs CONNECT.");
		port = au->port != 0 ? au->port : 80;
	}
	ex->up_path = ex->path;
	if (oldsse_marked(h->query)) {
		if (oldsse_find(ex, au->host, port) != STEP_DONE)
			return STEP_REFUSE;
	} else {
		ex->con = connector_at(ex->view->connectors, au->host, port,
		    ex->path);
	}
	if (ex->con == NULL)
		return refuse_uncatalogued(ex, au->host, port);
	if (ex->con->tls != c->tls) {
		ex->con = NULL;
		return exchange_refuse(ex, REASON_AMBIGUOUS, c->tls ?
		    "This connector is plain http." :
		    "This connector is https; plaintext is refused.");
	}
	return STEP_DONE;
}

/* What the gate must read whole, and what may stream. */
static enum step_result
choose_body(struct exchange *ex)
{
	const struct http1_head *h = ex->req;
	struct media m;
	enum media_coding coding;
	bool none = h->framing == HTTP1_BODY_NONE ||
	    (h->framing == HTTP1_BODY_LENGTH && h->length == 0);

	media_parse(http1_field_known(h, HTTP1_F_CONTENT_TYPE), &m);
	ex->media = m.kind;
	ex->gated = true;
	if (none)
		return STEP_DONE;
	coding = media_coding_of(http1_field_known(h,
	    HTTP1_F_CONTENT_ENCODING));
	if (coding == MEDIA_CODING_SEVERAL)
		return exchange_refuse(ex, REASON_AMBIGUOUS,
		    "Content-Encoding names more than one coding.");
	ex->body_coded = coding_known(coding);
	if ((coding != MEDIA_CODING_IDENTITY && !ex->body_coded) ||
	    !media_inspectable(&m) || m.kind == MEDIA_SSE) {
		if (ex->con->kind == CONNECTOR_MCP)
			return exchange_refuse(ex, REASON_MEDIA, "MCP messages "
			    "are application/json; of codings gzip and "
			    "deflate are read.");
		if (!ex->con->media_stream && !exchange_exception(ex,
		    REASON_MEDIA, media_kind_name(m.kind)))
			return exchange_refuse(ex, REASON_MEDIA, "(%s) The "
			    "connector's media policy denies it.",
			    media_kind_name(m.kind));
		ex->gated = false;
		return STEP_DONE;
	}
	if (h->framing == HTTP1_BODY_LENGTH && h->length >
	    (uint64_t)ex->view->conf->limits.body) {
		if (ex->con->kind == CONNECTOR_MCP ||
		    !exchange_exception(ex, REASON_BODY_TOO_LARGE,
		    "request"))
			return exchange_refuse(ex, REASON_BODY_TOO_LARGE,
			    "At most %lld bytes.",
			    (long long)ex->view->conf->limits.body);
		ex->gated = false;
	}
	return STEP_DONE;
}

static void
on_body_time(void *ctx)
{
	struct exchange *ex = ctx;

	ex->refusal_status = 408;
	exchange_refuse(ex, REASON_AMBIGUOUS,
	    "The request body did not arrive in time.");
	exchange_answer_refusal(ex);
}

/* A chunked body turns out to be larger than what is read whole: where the
 * exception allows those whose head says so, it allows this one. What was read
 * goes first. */
static bool
stream_the_rest(struct exchange *ex, struct slice data)
{
	/* No connector: a request to the gate API. */
	if (ex->con == NULL || ex->con->kind != CONNECTOR_REST ||
	    !exchange_exception(ex, REASON_BODY_TOO_LARGE, "request"))
		return false;
	ex->gated = false;
	ex->req->expect_continue = false;	/* it has come */
	ex->body.max += data.n;
	ex->body.full = false;
	return buf_add_slice(&ex->body, data) == 0;
}

static enum step_result
read_body(struct exchange *ex)
{
	struct slice in, data;

	for (;;) {
		in = buf_slice(&ex->c->in);
		size_t before = in.n;
		enum http1_result r = http1_body_next(&ex->req_body, &in,
		    &data);

		if (r == HTTP1_DATA && buf_add_slice(&ex->body, data) != 0 &&
		    !stream_the_rest(ex, data)) {
			ex->keep_alive = false;
			return exchange_refuse(ex, REASON_BODY_TOO_LARGE,
			    "At most %lld bytes.",
			    (long long)ex->view->conf->limits.body);
		}
		buf_consume(&ex->c->in, before - in.n);
		if (r == HTTP1_DATA && ex->gated)
			continue;
		if (r == HTTP1_ERROR) {
			ex->refusal_word = http1_error_word(ex->req_body.error);
			ex->keep_alive = false;
			return exchange_refuse(ex, REASON_AMBIGUOUS, "%s",
			    http1_error_text(ex->req_body.error));
		}
		break;
	}
	ex->bytes_in = ex->body.len;
	if (http1_body_done(&ex->req_body) || !ex->gated) {
		ex->waiting_body = false;
		if (ex->timer != NULL)
			loop_timer_stop(ex->timer);
		return ex->body_coded && ex->gated ? content_decode_request(ex) : STEP_DONE;
	}
	if (!ex->waiting_body) {
		ex->waiting_body = true;
		if (ex->timer == NULL)
			ex->timer = loop_timer_new(ex->f->loop, on_body_time,
			    ex);
		loop_timer_set(ex->timer,
		    (uint64_t)ex->view->conf->limits.body_ms);
		if (ex->req->expect_continue) {
			if (http1_write_response(&ex->c->out, 100,
			    slice_make(NULL, 0)) != 0 ||
			    http1_write_end(&ex->c->out) != 0)
				log_error("no room for 100 Continue");
		}
	}
	conn_kick(ex->c);
	return STEP_WAIT;
}

/* What needs no encoding is not encoded: one name, one operation. */
static bool
take_path(struct exchange *ex)
{
	struct slice path = ex->req->path;
	char *plain;

	ex->path = path;
	if (slice_chr(path, '%') < 0)
		return true;
	plain = arena_alloc(ex->a, path.n);
	if (plain != NULL)
		ex->path = slice_make(plain, http1_path_plain(path, plain));
	return plain != NULL;
}

enum step_result
call_receive(struct exchange *ex)
{
	enum step_result r;
	const char *why = NULL;

	if (ex->waiting_body)
		return gateapi_take(ex, aggregate_take(ex, stdio_take(ex,
		    read_body(ex))));
	if (ex->c->inner != NULL)
		gateapi_adopt(ex);
	ex->message = ex->c->message;
	ex->stdio = ex->c->kind == CONF_STDIO;
	ex->mount = ex->stdio || ex->c->kind == CONF_MOUNT;
	ex->bearer = ex->c->kind != CONF_EXPLICIT;
	if (ex->mount && ex->req->method_id == HTTP1_M_CONNECT)
		return exchange_refuse(ex, REASON_AMBIGUOUS,
		    "This is a mount, not a proxy.");
	if ((r = authenticate(ex)) != STEP_DONE)
		return r;
	if (ex->req->method_id == HTTP1_M_CONNECT) {
		if (ex->c->tunnel)
			return exchange_refuse(ex, REASON_AMBIGUOUS,
			    "CONNECT inside CONNECT.");
		return begin_tunnel(ex);
	}
	if (ex->req->method_id == HTTP1_M_TRACE ||
	    ex->req->form == HTTP1_ASTERISK)
		return exchange_refuse(ex, REASON_AMBIGUOUS,
		    "TRACE and OPTIONS * are refused.");
	if (!http1_path_normal(ex->req->path, &why))
		return exchange_refuse(ex, REASON_AMBIGUOUS,
		    "The path can be read in two ways (%s).", why);
	if (!take_path(ex))
		return exchange_refuse(ex, REASON_BODY_TOO_LARGE, "%s", "");
	if (gateapi_asks(ex))
		return gateapi_receive(ex) != STEP_DONE ? STEP_REFUSE :
		    gateapi_take(ex, read_body(ex));
	if ((r = find_connector(ex)) != STEP_DONE)
		return r;
	ex->con_at = (size_t)(ex->con - ex->view->connectors->v);
	if ((ex->req->upgrade == HTTP1_UPGRADE_WEBSOCKET &&
	    websocket_receive(ex) != STEP_DONE) ||
	    (ex->message && websocket_message_receive(ex) != STEP_DONE))
		return STEP_REFUSE;
	if (!ex->sse_post)
		ex->up_query = ex->req->query;
	if (!ex->mount && !ex->sse_post && !ex->message &&
	    ex->con->kind == CONNECTOR_MCP &&
	    (r = oldsse_guess(ex)) != STEP_DONE)
		return r;
	if ((r = choose_body(ex)) != STEP_DONE)
		return r;
	return ex->gated ? aggregate_take(ex, stdio_take(ex,
	    read_body(ex))) : STEP_DONE;
}

/* --- CLASSIFY ------------------------------------------------------------ */

static const char *
agent_url(struct exchange *ex)
{
	const struct connector *con = ex->con;
	const struct connector_host *h = &con->hosts[0];
	bool std = h->port == (con->tls ? 443 : 80);
	const char *host = ex->c->tunnel ? ex->c->authority.host : h->host;
	bool v6 = strchr(host, ':') != NULL;

	char room[U64_DIGITS];
	struct slice port = slice_of_u64(ex->c->tunnel ?
	    ex->c->authority.port : h->port, room);
	struct slice parts[] = { con->tls ? SLICE("https://") :
	    SLICE("http://"), slice_make("[", v6), slice_str(host),
	    slice_make("]", v6), slice_make(":", !std),
	    std ? slice_make("", 0) : port, ex->up_path,
	    slice_make("?", ex->up_query.p != NULL), ex->up_query };

	return arena_join(ex->a, parts, ARRAY_LEN(parts)).p;
}

static void
resolve_named(struct exchange *ex, struct slice name, struct tool_state *t)
{
	const struct connector_tool *ct = connector_tool(ex->con, name);
	const struct tool_state *st = svc_tool(ex->f, ex->con->name, name);

	*t = (struct tool_state){ CONF_UNKNOWN, true, false, POLICY_DEFAULT };
	if (ct != NULL)
		*t = (struct tool_state){ ct->klass, ct->enabled,
			ct->classified, ct->approval };
	/* What an operator said at run time fills in what the file leaves
	 * open; a name defined in files is read-only elsewhere. */
	if (st != NULL && (ct == NULL || !ct->classified)) {
		t->klass = st->klass;
		t->classified = st->classified;
		t->enabled = t->enabled && st->enabled;
		if (ct == NULL)
			t->approval = st->approval;
	}
}

static void
resolve_tool(struct exchange *ex, struct tool_state *t)
{
	if (ex->gql != NULL)
		gql_resolve(ex, resolve_named, t);
	else
		resolve_named(ex, ex->action.tool, t);
}

static enum step_result
classify_mcp(struct exchange *ex)
{
	struct action *a = &ex->action;
	const struct http1_head *h = ex->req;

	a->method = h->method;
	if (h->method_id == HTTP1_M_GET || h->method_id == HTTP1_M_DELETE) {
		a->operation = ACTION_PROTOCOL;
		a->klass = CONF_READ_ONLY;
		/* Nobody has read it, and an upstream might. */
		if (ex->body.len > 0)
			return exchange_refuse(ex, REASON_AMBIGUOUS,
			    "GET and DELETE of MCP have no body.");
		return STEP_DONE;
	}
	if (h->method_id != HTTP1_M_POST) {
		ex->refusal_status = 405;
		return exchange_refuse(ex, REASON_AMBIGUOUS,
		    "MCP uses POST, GET and DELETE.");
	}
	if (ex->media != MEDIA_JSON)
		return exchange_refuse(ex, REASON_MEDIA,
		    "MCP messages are application/json.");
	if (json_index(&ex->doc, buf_slice(&ex->body),
	    &json_limits_inside) != JSON_OK)
		return exchange_unparseable(ex, json_error_text(ex->doc.error));
	mcp_read(&ex->doc, 0, &ex->msg);
	if (ex->msg.kind == MCP_BATCH && ex->message)
		return exchange_refuse(ex, REASON_BATCH,
		    "A WebSocket has none.");
	if (ex->msg.kind == MCP_BATCH)
		return batch_begin(ex);
	if (ex->msg.kind == MCP_INVALID)
		return exchange_unparseable(ex, ex->msg.error);
	a->method = ex->msg.kind == MCP_RESPONSE ? SLICE("response") :
	    ex->msg.method;
	a->operation = ex->msg.kind == MCP_RESPONSE ? ACTION_PROTOCOL :
	    ex->msg.operation;
	a->tool = ex->msg.tool;
	if (mcp_names_uri(ex->msg.method))
		content_redact_uri(ex);
	if (!ex->reclassify && !ex->message && revision_check(ex) != STEP_DONE)
		return STEP_REFUSE;
	if (ex->msg.cancel_id.n > 0)
		svc_cancel(ex);
	if (ex->msg.kind == MCP_RESPONSE)	/* to what the server asked */
		a->arguments = json_raw(&ex->doc, json_member(&ex->doc, 0,
		    json_member(&ex->doc, 0, "result") != JSON_NONE ?
		    "result" : "error"));
	if (ex->msg.arguments != JSON_NONE)
		a->arguments = json_raw(&ex->doc, ex->msg.arguments);
	if (ex->msg.responses != JSON_NONE && a->operation == ACTION_CALL)
		a->responses = json_raw(&ex->doc, ex->msg.responses);
	return STEP_DONE;
}

enum step_result
call_classify(struct exchange *ex)
{
	struct action *a = &ex->action;
	struct tool_state t;
	enum step_result r;
	const char *target;

	if (!ex->reclassify)
		ex->call = uuid_v7();	/* an edit keeps the call's id */
	ex->decision = uuid_v7();
	ex->common = slice_make(NULL, 0);
	memset(a, 0, sizeof(*a));
	ex->gql = NULL;
	a->who = &ex->session->who;
	a->connector = ex->con->name;
	a->environment = ex->con->environment;
	a->data_class = ex->con->data_class;
	ex->target = ex->con->nhosts == 0 ? arena_printf(ex->a, "%s:%s",
	    ex->stdio ? "stdio" : ex->whole ? "mount" : "builtin",
	    ex->con->name) : (char *)(uintptr_t)agent_url(ex);
	content_redact_target(ex);
	a->target = ex->target == NULL ? "" : ex->target;
	r = ex->con->kind == CONNECTOR_MCP ? classify_mcp(ex) :
	    ex->message ? websocket_classify(ex) :
	    ex->con->kind == CONNECTOR_REST ? rest_classify(ex) :
	    gateapi_classify(ex);
	if (r == STEP_DONE && ex->whole)
		r = aggregate_classify(ex);
	/* Clients try revisions out: that is no denied call. */
	ex->is_call = ex->reason != REASON_REVISION && ex->batch == NULL;
	if (r != STEP_DONE)
		return r;
	if (arena_failed(ex->a))
		return exchange_refuse(ex, REASON_BODY_TOO_LARGE,
		    "The call needs more memory than one may have.");
	if (a->operation == ACTION_PROTOCOL || a->operation == ACTION_LIST)
		a->klass = CONF_READ_ONLY;
	else {
		resolve_tool(ex, &t);
		a->klass = t.klass;
		if (a->operation == ACTION_READ && !t.classified)
			a->klass = CONF_READ_ONLY;
		if (ex->con->builtin != NULL)
			gateapi_raise(ex);
	}
	if (exchange_killed(ex, &target)) {
		const char *why = map_get(&ex->f->kills, slice_str(target));

		ex->verdict.by = "kill";
		return exchange_refuse(ex, REASON_KILLED, "(%s%s%s)", target,
		    why == NULL ? "" : ": ", why == NULL ? "" : why);
	}
	return STEP_DONE;
}

/* --- ADVISE ----------------------------------------------------------------- */

static void
on_advice(void *ctx, enum msg_type type, struct unpack *u)
{
	struct exchange *ex = ctx;

	ex->deadline_q = 0;
	loop_timer_stop(ex->timer);
	if (type == MSG_ADVICE) {
		unsigned action = unpack_u8(u);
		struct slice rule = unpack_slice(u), title = unpack_slice(u);

		if (unpack_done(u) && action <= POLICY_ADVICE_NONE) {
			ex->advice = (enum policy_advice)action;
			ex->advice_rule = arena_strdup(ex->a, rule);
			ex->advice_title = arena_strdup(ex->a, title);
			exchange_resume(ex);
			return;
		}
	}
	if (exchange_exception(ex, REASON_DETECTOR_LATE,
	    "the detector went away")) {
		exchange_resume(ex);
		return;
	}
	exchange_refuse(ex, REASON_DETECTOR_LATE, "%s", "");
	exchange_answer_refusal(ex);
}

static void
on_advice_late(void *ctx)
{
	struct exchange *ex = ctx;

	svc_forget(ex->f, ex->deadline_q);
	ex->deadline_q = 0;
	if (exchange_exception(ex, REASON_DETECTOR_LATE, "time")) {
		exchange_resume(ex);
		return;
	}
	exchange_refuse(ex, REASON_DETECTOR_LATE, "%s", "");
	exchange_answer_refusal(ex);
}

enum step_result
call_advise(struct exchange *ex)
{
	struct jsonw w;

	ex->advice = POLICY_ADVICE_NONE;
	/* The protocol's lifecycle has nothing to be advised on; of some
	 * classes of calls the detector has said that no rule has advice. */
	if (ex->action.operation == ACTION_PROTOCOL ||
	    (ex->f->asked >> ex->action.klass & 1) == 0)
		return STEP_DONE;
	if (ex->f->detector != NULL) {
		struct buf *b = spare_event(ex->f, 16u << 20);

		record_call(ex, &w, b, ex->decision, EVENT_CALL_DECISION,
		    ex->action.arguments.n <= 65536);
		event_end(&w);
		ex->deadline_q = svc_ask(ex->f, ex->f->detector, MSG_ADVISE,
		    buf_slice(b), on_advice, ex);
	}
	if (ex->deadline_q == 0) {
		if (exchange_exception(ex, REASON_DETECTOR_LATE,
		    "no detector"))
			return STEP_DONE;
		return exchange_refuse(ex, REASON_DETECTOR_LATE, "%s", "");
	}
	loop_timer_del(ex->timer);
	ex->timer = loop_timer_new(ex->f->loop, on_advice_late, ex);
	loop_timer_set(ex->timer, (uint64_t)ex->view->conf->limits.advice_ms);
	return STEP_WAIT;
}

/* --- POLICY ------------------------------------------------------------------ */

enum step_result
call_policy(struct exchange *ex)
{
	struct tool_state t;
	struct policy_input in = {
		.action = &ex->action,
		.matrix = (const enum conf_effect (*)[CONF_CLASSES])
		    ex->con->matrix,
		.state = svc_state(ex->f, ex->con),
		.on_access_list = connector_allows_agent(ex->con,
		    ex->session->who.agent),
		.advice = ex->advice };

	resolve_tool(ex, &t);
	in.tool_enabled = t.enabled;
	in.approval = t.approval;
	if (!ex->con->approved)
		in.state = POLICY_DISABLED;
	ex->verdict = policy_decide(&in);
	if (ex->verdict.effect == CONF_DENY)
		return exchange_refuse(ex, ex->verdict.reason,
		    ex->verdict.reason == REASON_ADVICE ?
		    "(%s) %s" : "(%s, class %s)",
		    ex->verdict.reason == REASON_ADVICE ? ex->advice_rule :
		    conf_trust_names[ex->session->who.trust],
		    ex->verdict.reason == REASON_ADVICE ? ex->advice_title :
		    conf_class_names[ex->action.klass]);
	return away_check(ex);	/* nobody is asked about what cannot run */
}

enum step_result
call_redact_out(struct exchange *ex)
{
	ex->arguments = ex->action.arguments;
	ex->responses = ex->action.responses;
	return content_redact_request(ex);
}

/* --- HOLD --------------------------------------------------------------------- */

static void
send_keepalive(struct exchange *ex)
{
	struct buf b, json;
	int r;

	buf_init(&b, 8192);
	buf_init(&json, 8192);
	if (ex->msg.progress_token.n > 0) {
		mcp_write_progress(&json, ex->msg.progress_token,
		    ++ex->progress, "waiting for a person's approval");
		r = sse_write_event(&b, SLICE("message"), slice_make(NULL, 0),
		    buf_slice(&json));
	} else {
		r = sse_write_comment(&b, SLICE("waiting for approval"));
	}
	if (r == 0)
		r = http1_write_chunk(&ex->c->out, buf_slice(&b));
	if (r != 0)
		log_warn("a keep-alive did not fit");
	buf_free(&b);
	buf_free(&json);
	conn_kick(ex->c);
}

static void
on_keepalive(void *ctx)
{
	struct exchange *ex = ctx;

	if (ex->hold_stream)
		send_keepalive(ex);
	loop_timer_set(ex->keepalive,
	    (uint64_t)ex->view->conf->hold_keepalive_ms);
}

bool
call_takes_stream(const struct exchange *ex)
{
	return ex->req->minor == 1 && media_accepts_named(http1_field_known(
	    ex->req, HTTP1_F_ACCEPT), "text/event-stream");
}

bool
call_begin_stream(struct exchange *ex)
{
	struct buf *o = &ex->c->out;
	size_t before = o->len;

	if (!call_takes_stream(ex))
		return false;
	if (http1_write_response(o, 200, slice_make(NULL, 0)) != 0 ||
	    http1_write_field(o, SLICE("Content-Type"),
	    SLICE("text/event-stream")) != 0 ||
	    http1_write_field(o, SLICE("Cache-Control"),
	    SLICE("no-cache")) != 0 ||
	    http1_write_framing(o, HTTP1_BODY_CHUNKED, 0) != 0 ||
	    http1_write_end(o) != 0) {
		o->len = before;
		return false;
	}
	ex->head_out = ex->chunked_out = true;
	conn_kick(ex->c);
	return true;
}

/* An answer that can wait: the headers now, so that no client gives up on
 * them; comments or progress while a person thinks. */
static void
begin_hold_stream(struct exchange *ex)
{
	if (ex->con->kind == CONNECTOR_MCP && ex->msg.kind == MCP_REQUEST &&
	    call_begin_stream(ex)) {
		ex->hold_stream = true;
		ex->resp_media = MEDIA_SSE;
		ex->status = 200;
	}
	ex->keepalive = loop_timer_new(ex->f->loop, on_keepalive, ex);
	loop_timer_set(ex->keepalive, ex->msg.progress_token.n > 0 ? 200 :
	    (uint64_t)ex->view->conf->hold_keepalive_ms);
}

/* The broker expires a held call; should it never come back, this does. */
static void
on_hold_over(void *ctx)
{
	struct exchange *ex = ctx;

	ex->released = true;
	exchange_refuse(ex, REASON_APPROVAL_EXPIRED, "%s", "");
	exchange_answer_refusal(ex);
}

int
call_send_hold(struct exchange *ex)
{
	struct jsonw w;
	struct buf card, *b;
	int r = -1;

	if (ex->f->broker == NULL)
		return -1;
	buf_init(&card, 16u << 20);
	record_card(ex, &w, &card);
	b = chan_begin(ex->f->broker, MSG_HOLD);
	if (b != NULL) {
		pack_bytes(b, ex->call.b, 16);
		pack_bytes(b, ex->digest, 32);
		pack_i64(b, ex->hold_expires_ms);
		pack_slice(b, buf_slice(&card));
		pack_str(b, ex->session->who.session);
		pack_slice(b, ex->msg.id);
		r = chan_end(ex->f->broker);
	}
	buf_free(&card);
	return r;
}

enum step_result
call_hold(struct exchange *ex)
{
	int64_t ms = ex->view->conf->hold_expires_ms;
	bool consume = ex->edited && !ex->consumed && ex->f->broker != NULL;

	if (!consume && (ex->verdict.effect != CONF_HOLD || ex->consumed))
		return STEP_DONE;
	action_digest(&ex->action, ex->digest);
	svc_hold_begin(ex);
	if (consume) {
		svc_consume(ex);	/* what the approver wrote was judged */
		return STEP_WAIT;
	}
	ex->hold_expires_ms = clock_wall_ms() + ms;
	if (call_send_hold(ex) != 0)
		return exchange_refuse(ex, REASON_BROKER, "%s", "");
	ex->held = true;
	loop_timer_del(ex->timer);
	ex->timer = loop_timer_new(ex->f->loop, on_hold_over, ex);
	loop_timer_set(ex->timer, (uint64_t)ms + HOLD_GRACE_MS);
	if (ex->con->builtin != NULL)
		gateapi_held(ex);
	else if (!ex->hold_stream && ex->keepalive == NULL)
		begin_hold_stream(ex);
	if (ex->message)
		websocket_held(ex);
	return STEP_WAIT;	/* the broker's verdict resumes it */
}

/* --- RECORD_DECISION ------------------------------------------------------------ */

static void
on_recorded(void *ctx, bool ok)
{
	struct exchange *ex = ctx;
	const char *target;

	if (!ok) {
		if (exchange_exception(ex, REASON_AUDIT_UNAVAILABLE,
		    "the recorder did not commit")) {
			exchange_resume(ex);
			return;
		}
		/* Its row may still come; the outcome says denied. */
		exchange_refuse(ex, REASON_AUDIT_UNAVAILABLE, "%s", "");
		exchange_answer_refusal(ex);
		return;
	}
	if (exchange_killed(ex, &target)) {
		exchange_cut(ex, target, REASON_KILLED);
		return;
	}
	exchange_resume(ex);
}

enum step_result
call_record_decision(struct exchange *ex)
{
	if (record_decision(ex, on_recorded) != 0) {
		if (exchange_exception(ex, REASON_AUDIT_UNAVAILABLE,
		    "no recorder")) {
			if (record_decision(ex, NULL) != 0)
				log_error("an allowed call is unrecorded");
			ex->recorded = true;
			return STEP_DONE;
		}
		return exchange_refuse(ex, REASON_AUDIT_UNAVAILABLE, "%s", "");
	}
	return STEP_WAIT;
}

/* --- RESPONSE, RECORD_OUTCOME ---------------------------------------------- */

enum step_result
call_response(struct exchange *ex)
{
	if (ex->message)
		return websocket_respond(ex);
	if (ex->con->builtin == NULL)	/* else its report is awaited */
		relay_start(ex);
	return STEP_WAIT;
}

enum step_result
call_record_outcome(struct exchange *ex)
{
	if (oldsse_park(ex))
		return STEP_WAIT;
	exchange_end(ex, ex->end_status != NULL ? ex->end_status : "ok");
	return STEP_WAIT;
}
