/* call_forward - the step FORWARD: a head written anew and the body as it was
 * decided, to a connection of this principal. */
#include "internal.h"

#include <stdio.h>

static int
write_head(struct exchange *ex, struct slice session_id, struct slice event_id,
    struct slice version)
{
	struct buf *o = &ex->uout;
	const struct http1_head *h = ex->req;
	struct slice body = ex->new_body.len > 0 ? buf_slice(&ex->new_body) :
	    buf_slice(&ex->body);
	struct http1_authority au = { 0 };
	int r = 0;

	/* Room for most heads at once, instead of growing into it. */
	if (buf_reserve(o, body.n + 2048) == NULL)
		return -1;
	if (ex->c->tunnel)
		au = ex->c->authority;
	else
		snprintf(au.host, sizeof(au.host), "%s", ex->stdio ?
		    ex->con->name : ex->con->hosts[0].host);
	au.host_n = (uint16_t)strlen(au.host);
	au.kind = strchr(au.host, ':') != NULL ? HTTP1_HOST_V6 :
	    HTTP1_HOST_NAME;
	if (!ex->c->tunnel && !ex->stdio)
		au.port = ex->con->hosts[0].port;
	if (au.port == (ex->con->tls ? 443 : 80))
		au.port = 0;
	r |= http1_write_request(o, h->method, ex->up_path, ex->up_query);
	r |= http1_write_host(o, &au);
	for (unsigned i = 0; i < h->field_n; i++) {
		const struct http1_field *f = &h->fields[i];

		if (!http1_field_kept(f) || f->known == HTTP1_F_ACCEPT_ENCODING
		    || f->known == HTTP1_F_RANGE ||
		    f->known == HTTP1_F_MCP_SESSION_ID ||
		    f->known == HTTP1_F_LAST_EVENT_ID ||
		    http1_field_of_proxy(f))
			continue;
		if (ex->mirror != NULL && mirror_is_param(f->name))
			continue;
		if (ex->ws != NULL && websocket_field(f->name))
			continue;
		if (version.p != NULL &&
		    f->known == HTTP1_F_MCP_PROTOCOL_VERSION)
			continue;
		/* Our own token, where it comes in Authorization; a credential
		 * of ours replaces what the agent brought. */
		if (f->known == HTTP1_F_AUTHORIZATION && ex->bearer)
			continue;
		if (ex->cred_name.n > 0 && slice_eq_nocase(f->name,
		    ex->cred_name))
			continue;
		if (f->known == HTTP1_F_CONTENT_ENCODING && ex->gated &&
		    ex->body_coded)
			continue;
		r |= http1_write_field(o, f->name, f->value);
	}
	r |= http1_write_field(o, SLICE("Accept-Encoding"), SLICE("identity"));
	if (ex->mirror != NULL)
		r |= revision_write_params(ex, o);
	if (session_id.p != NULL)
		r |= http1_write_field(o, SLICE("Mcp-Session-Id"), session_id);
	if (event_id.p != NULL)
		r |= http1_write_field(o, SLICE("Last-Event-ID"), event_id);
	if (version.p != NULL)
		r |= http1_write_field(o, SLICE("MCP-Protocol-Version"),
		    version);
	if (ex->cred_name.n > 0)
		r |= http1_write_field(o, ex->cred_name, ex->cred_value);
	if (ex->ws != NULL)
		r |= websocket_write_request(ex, o);
	if (ex->gated && h->framing != HTTP1_BODY_NONE)
		r |= http1_write_framing(o, HTTP1_BODY_LENGTH, body.n);
	else
		r |= http1_write_framing(o, h->framing, h->length);
	r |= http1_write_end(o);
	if (ex->gated)
		r |= buf_add_slice(o, body);
	else if (ex->body.len > 0)	/* read before it was too large */
		r |= http1_write_chunk(o, body);
	return r;
}

static void
on_upstream(void *ctx, struct upstream *u, enum reason reason,
    const char *detail)
{
	struct exchange *ex = ctx;

	ex->ureq = NULL;
	if (u != NULL)
		away_connected(ex);
	else if (reason == REASON_UPSTREAM)
		away_failed(ex, detail);
	if (u == NULL) {
		exchange_refuse(ex, reason, "%s", detail);
		exchange_answer_refusal(ex);
		return;
	}
	ex->u = u;
	if (!ex->running)
		exchange_resume(ex);
}

static enum step_result
forward(struct exchange *ex)
{
	const struct principal *p = &ex->session->who;
	struct slice session_id, event_id, version = { 0 };
	enum step_result r;
	struct upstream_target t = {
		.host = ex->c->tunnel ? ex->c->authority.host :
		    ex->con->hosts[0].host,
		.port = ex->c->tunnel ? ex->c->authority.port :
		    ex->con->hosts[0].port,
		.tls = (ex->ws != NULL ? ex->view->ws_ctx :
		    ex->view->client_ctx)[ex->con_at],
		.pins = ex->con->pins, .npins = ex->con->npins,
		.fresh = ex->resent };
	struct via_target via = { .host = ex->con->via.host,
		.port = ex->con->via.port, .authorization = ex->via_value };
	char port[U64_DIGITS];

	if (via.host[0] != '\0')
		t.via = &via;
	if (ex->message)
		return websocket_forward(ex);
	if (ex->request_head_sent)
		return STEP_DONE;
	if (!revision_open_ids(ex, &session_id, &event_id))
		return exchange_refuse(ex, REASON_SESSION_BINDING, "%s", "");
	if (ex->action.operation == ACTION_LIST && lists_serve(ex))
		return STEP_DONE;
	if (ex->agg != NULL && (r = aggregate_open(ex, &session_id,
	    &version)) != STEP_DONE)
		return r;
	if (write_head(ex, session_id, event_id, version) != 0)
		return exchange_refuse(ex, REASON_BODY_TOO_LARGE,
		    "The request does not fit.");
	ex->request_head_sent = true;
	if (ex->stdio)
		return stdio_forward(ex);
	struct slice bar = SLICE("|"), parts[] = { slice_str(ex->con->name),
		bar, slice_str(t.host), SLICE(":"), slice_of_u64(t.port, port), bar,
		slice_str(p->user), bar, slice_str(p->agent), bar,
		slice_str(ex->view->name),
		ex->ws != NULL ? SLICE("|ws") : SLICE("") };

	t.key = arena_join(ex->a, parts, ARRAY_LEN(parts));
	if (t.key.p == NULL)
		return exchange_refuse(ex, REASON_BODY_TOO_LARGE, "%s", "");
	/* A pooled connection is there at once: the callback resumes later, a
	 * step never resumes itself. */
	ex->ureq = upstream_get(ex->f->pool, &t, on_upstream, ex);
	return ex->u != NULL ? STEP_DONE : STEP_WAIT;
}

enum step_result
call_forward(struct exchange *ex)
{
	return ex->whole ? aggregate_answer(ex) : ex->con->builtin != NULL ?
	    gateapi_forward(ex) : forward(ex);
}
