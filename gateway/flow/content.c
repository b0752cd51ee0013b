/*
 * content - what is in the bodies: secrets and personal data leave them in
 * both directions, results are looked over for text written for the agent,
 * tool lists are noted. A limit is never a pass.
 */
#include "internal.h"

#include <sodium/crypto_hash_sha256.h>
#include <stdlib.h>

#include "log.h"

static void
add_report(struct findings *to, const struct redact_report *from)
{
	for (uint32_t i = 0; i < from->n; i++) {
		uint32_t k = 0;

		while (k < to->n && to->items[k].id != from->items[i].id)
			k++;
		if (k == REDACT_REPORT_MAX)
			break;
		if (k == to->n) {
			to->items = base_realloc(to->items,
			    ++to->n * sizeof(*to->items));
			to->items[k] = (struct finding){ from->items[i].id, 0 };
		}
		to->items[k].count += from->items[i].count;
	}
}

/* --- content codings ------------------------------------------------------- */

enum reason
content_coding_reason(enum coding_error e)
{
	switch (e) {
	case CODING_E_LARGE:
		return REASON_BODY_TOO_LARGE;
	case CODING_E_BOMB:
		return REASON_BOMB;
	default:
		return REASON_UNPARSEABLE;
	}
}

enum step_result
content_decode_request(struct exchange *ex)
{
	struct coding_limits lim = coding_limits_default;
	struct slice in = buf_slice(&ex->body), data;
	struct coding *c;
	struct buf plain;
	enum coding_error e;

	lim.bytes = (uint64_t)ex->view->conf->limits.body;
	c = coding_new(media_coding_of(http1_field_known(ex->req,
	    HTTP1_F_CONTENT_ENCODING)), &lim);
	buf_init(&plain, ex->body.max);
	while (coding_next(c, &in, &data) == CODING_DATA)
		ASSERT(buf_add_slice(&plain, data) == 0);
	if (coding_end(c)) {
		buf_wipe_free(&ex->body);
		ex->body = plain;
		coding_free(c);
		return STEP_DONE;
	}
	e = coding_error(c);
	buf_wipe_free(&plain);
	coding_free(c);
	return exchange_refuse(ex, content_coding_reason(e), "(%s; at most "
	    "%lld bytes)", coding_error_text(e), (long long)lim.bytes);
}

/* --- requests --------------------------------------------------------------- */

/* What could not be redacted is not recorded either. */
static void
hide_arguments(struct exchange *ex)
{
	ex->arguments = slice_make(NULL, 0);
}

static enum step_result
limit(struct exchange *ex, enum redact_result r)
{
	if (r != REDACT_REFUSED && exchange_exception(ex,
	    REASON_REDACTOR_LIMIT, "limit"))
		return STEP_DONE;
	hide_arguments(ex);
	if (r == REDACT_REFUSED)
		return exchange_refuse(ex, REASON_REDACTOR_LIMIT,
		    "A number in the arguments matches %s and cannot be "
		    "redacted in place.", ex->redact_out.n > 0 ?
		    ex->redact_out.items[0].id : "a rule");
	return exchange_refuse(ex, REASON_REDACTOR_LIMIT, "%s", "");
}

static enum step_result
refuse_url(struct exchange *ex, const char *rule)
{
	return exchange_refuse(ex, REASON_REDACTOR_LIMIT, "The %s holds a "
	    "value that must not leave (%s).", ex->uri_hit ? "URI" : "URL",
	    rule);
}

/* The part of a URL as it may be shown; *r_r says what was found in it. */
static struct slice
clean_url(struct exchange *ex, struct slice part, struct redact_report *rep,
    enum redact_result *r_r)
{
	struct redact_options opt = { .off = ex->con->off_arguments };
	struct slice clean = part;
	struct buf b;

	buf_init(&b, 2 * part.n + 65536);
	*r_r = redact_text(ex->view->redact, part, &opt, &b, rep);
	if (*r_r == REDACT_CHANGED && !b.full)
		clean = arena_copy(ex->a, buf_slice(&b));
	else if (*r_r != REDACT_CLEAN)
		clean = SLICE("/[not shown]");
	buf_free(&b);
	return clean;
}

struct slice
content_clean(struct exchange *ex, struct slice part)
{
	enum redact_result r;

	return ex->url_rule == NULL ? part : clean_url(ex, part, NULL, &r);
}

struct slice
content_redact_text(struct exchange *ex, struct slice text)
{
	struct redact_report rep = { 0 };
	enum redact_result r;
	struct slice clean = clean_url(ex, text, &rep, &r);

	add_report(&ex->redact_out, &rep);
	return clean;
}

/* Calls of an agent mostly go to one URL: one that was found clean need not be
 * looked at again under the same rules. */
static bool
known_clean(struct exchange *ex)
{
	const struct clean_url *u = &ex->view->clean;

	return u->target != NULL && u->con == ex->con &&
	    strcmp(u->target, ex->target) == 0;
}

static void
note_clean(struct exchange *ex)
{
	struct clean_url *u = &ex->view->clean;

	free(u->target);
	*u = (struct clean_url){ ex->con, base_strdup(ex->target) };
}

void
content_redact_target(struct exchange *ex)
{
	struct redact_report rep = { 0 };
	struct slice clean;
	enum redact_result r;

	ex->redact_out.n = 0;
	ex->url_rule = NULL;
	/* What the operator's file says is no secret, and is most of it. */
	if (ex->target == NULL || (ex->up_query.p == NULL &&
	    slice_is(ex->up_path, ex->con->path)) || known_clean(ex))
		return;
	clean = clean_url(ex, slice_str(ex->target), &rep, &r);
	add_report(&ex->redact_out, &rep);
	if (r == REDACT_CLEAN) {
		note_clean(ex);
		return;
	}
	ex->url_rule = r == REDACT_CHANGED && ex->redact_out.n > 0 ?
	    ex->redact_out.items[0].id : "redactor-limit";
	ex->target = arena_strdup(ex->a, clean);
}

/* A URI names a resource and is no text that could be given redacted: what is
 * found in it refuses the call, and no event shows it. */
void
content_redact_uri(struct exchange *ex)
{
	uint32_t node = json_path(&ex->doc, 0, "params", "uri", NULL);
	struct redact_report rep = { 0 };
	enum redact_result r;
	struct slice clean;
	struct buf uri;

	ex->uri_hit = false;
	if (node == JSON_NONE)
		node = json_path(&ex->doc, 0, "params", "ref", "uri", NULL);
	if (json_typeof(&ex->doc, node) != JSON_STRING)
		return;
	buf_init(&uri, json_raw(&ex->doc, node).n);
	clean = json_decode(&ex->doc, node, &uri) != 0 ? SLICE("") :
	    clean_url(ex, buf_slice(&uri), &rep, &r);
	if (clean.n > 0 && r == REDACT_CLEAN) {
		buf_wipe_free(&uri);
		return;
	}
	add_report(&ex->redact_out, &rep);
	ex->uri_hit = true;
	ex->url_rule = rep.n > 0 ? rep.items[0].id : "redactor-limit";
	if (ex->action.tool.n > 0)
		ex->action.tool = clean;
	buf_wipe_free(&uri);
}

/* The arguments as they now stand in the rewritten message. */
static enum step_result
take_new_arguments(struct exchange *ex)
{
	struct json_doc d;
	uint32_t node;

	json_init(&d);
	if (json_index(&d, buf_slice(&ex->new_body), NULL) != JSON_OK) {
		json_free(&d);
		hide_arguments(ex);
		return exchange_refuse(ex, REASON_REDACTOR_LIMIT,
		    "The redacted message is not JSON.");
	}
	node = json_member(&d, 0, ex->con->builtin != NULL ? "arguments" :
	    ex->msg.kind != MCP_RESPONSE ? "params" :
	    json_member(&d, 0, "result") != JSON_NONE ? "result" : "error");
	if (ex->responses.n > 0)
		ex->responses = json_raw(&d, json_member(&d, node,
		    "inputResponses"));
	if (ex->action.operation == ACTION_CALL && slice_is(ex->msg.method,
	    "tools/call"))
		node = json_member(&d, node, "arguments");
	if (node != JSON_NONE)
		ex->arguments = json_raw(&d, node);
	json_free(&d);
	ex->action.arguments = ex->arguments;
	ex->action.responses = ex->responses;
	return STEP_DONE;
}

/* Did the redactor change a part of the arguments that stands in the URL? */
static bool
url_changed(const struct json_doc *was, struct slice now)
{
	static const char *const parts[] = { "path", "query" };
	struct json_doc d;
	bool changed = false;

	json_init(&d);
	if (json_index(&d, now, NULL) != JSON_OK)
		changed = true;
	for (size_t i = 0; i < ARRAY_LEN(parts) && !changed; i++) {
		uint32_t a = json_member(was, 0, parts[i]);
		uint32_t b = json_member(&d, 0, parts[i]);

		if (a != JSON_NONE)
			changed = b == JSON_NONE || !slice_eq(
			    json_raw(was, a), json_raw(&d, b));
	}
	json_free(&d);
	return changed;
}

/* The recorded arguments, made of path, query and body. */
static enum step_result
redact_rest_arguments(struct exchange *ex, const struct redact_options *opt)
{
	struct redact_report rep = { 0 };
	struct json_doc d;
	struct buf b;
	enum redact_result r;
	bool url = false;

	json_init(&d);
	buf_init(&b, ex->new_body.max);
	if (json_index(&d, ex->action.arguments, NULL) != JSON_OK) {
		json_free(&d);
		hide_arguments(ex);
		return exchange_refuse(ex, REASON_UNPARSEABLE, "%s", "");
	}
	r = redact_json(ex->view->redact, &d, ex->action.arguments, opt, &b,
	    &rep);
	add_report(&ex->redact_out, &rep);
	if (r == REDACT_CHANGED) {
		url = url_changed(&d, buf_slice(&b));
		ex->arguments = arena_copy(ex->a, buf_slice(&b));
		ex->action.arguments = ex->arguments;
	}
	json_free(&d);
	buf_free(&b);
	/* What the text shows and the names do not, no event may show. */
	if (!url && ex->url_rule != NULL)
		hide_arguments(ex);
	if (url || ex->url_rule != NULL)
		return refuse_url(ex, ex->url_rule != NULL ? ex->url_rule :
		    rep.n > 0 ? rep.items[0].id : "?");
	return r == REDACT_LIMIT || r == REDACT_REFUSED ? limit(ex, r) :
	    STEP_DONE;
}

/* The body that is sent is redacted by itself. */
static enum step_result
redact_rest(struct exchange *ex)
{
	struct redact_options opt = { .shape = SHAPE_FREE,
		.refuse_numbers = true, .off = ex->con->off_arguments };
	struct redact_report rep = { 0 };
	struct slice before = ex->action.arguments;
	enum redact_result r;

	if (redact_rest_arguments(ex, &opt) != STEP_DONE)
		return STEP_REFUSE;
	if (ex->action.arguments.p == before.p)
		return STEP_DONE;
	r = ex->body.len == 0 || !ex->gated ? REDACT_CLEAN :
	    ex->media == MEDIA_JSON ? redact_json(ex->view->redact, &ex->doc,
	    buf_slice(&ex->body), &opt, &ex->new_body, &rep) :
	    redact_text(ex->view->redact, buf_slice(&ex->body), &opt,
	    &ex->new_body, &rep);
	if (r == REDACT_LIMIT || r == REDACT_REFUSED)
		return limit(ex, r);
	if (r == REDACT_CLEAN)
		return exchange_refuse(ex, REASON_REDACTOR_LIMIT, "%s",
		    "What is to be redacted is not in the body.");
	if (!gql_unchanged(ex))
		return exchange_refuse(ex, REASON_REDACTOR_LIMIT, "%s",
		    "Redacted, the GraphQL document would be another.");
	return STEP_DONE;
}

/* Of a built-in tool's call the arguments; its other members are words, and a
 * target that is clean already. */
static enum step_result
redact_builtin(struct exchange *ex)
{
	struct redact_options opt = { .shape = SHAPE_FREE,
		.node = ex->msg.arguments, .refuse_numbers = true,
		.off = ex->con->off_arguments };
	struct redact_report rep = { 0 };
	enum redact_result r = redact_json(ex->view->redact, &ex->doc,
	    buf_slice(&ex->body), &opt, &ex->new_body, &rep);

	add_report(&ex->redact_out, &rep);
	return r == REDACT_CLEAN ? STEP_DONE : r == REDACT_CHANGED ?
	    take_new_arguments(ex) : limit(ex, r);
}

enum step_result
content_redact_request(struct exchange *ex)
{
	struct redact_options opt = { .shape = SHAPE_MESSAGE,
		.refuse_numbers = true, .off = ex->con->off_arguments };
	struct redact_report rep = { 0 };
	enum redact_result r;

	buf_reset(&ex->new_body);
	if (ex->con->builtin != NULL)
		return redact_builtin(ex);
	if (ex->con->kind != CONNECTOR_REST && ex->url_rule != NULL) {
		hide_arguments(ex);
		return refuse_url(ex, ex->url_rule);
	}
	ex->redact_out.n = 0;
	if (ex->con->kind == CONNECTOR_REST)
		return redact_rest(ex);
	if (ex->body.len == 0)
		return STEP_DONE;
	r = redact_json(ex->view->redact, &ex->doc, buf_slice(&ex->body),
	    &opt, &ex->new_body, &rep);
	add_report(&ex->redact_out, &rep);
	if (r == REDACT_CLEAN)
		return STEP_DONE;
	if (r == REDACT_CHANGED)
		return take_new_arguments(ex);
	return limit(ex, r);
}

/* --- results --------------------------------------------------------------- */

static void
on_context(void *ctx, enum msg_type type, struct unpack *u)
{
	struct exchange *ex = ctx;

	(void)u;
	ex->deadline_q = 0;
	if (type != MSG_CONTEXT_ACK && !exchange_exception(ex,
	    REASON_DETECTOR_LATE, "context of a result")) {
		buf_reset(&ex->held_out);
		exchange_refuse(ex, REASON_DETECTOR_LATE, "%s", "");
		ex->context_wait = false;
		exchange_answer_refusal(ex);
		return;
	}
	if (ex->asked == NULL)
		relay_context_acked(ex);
}

static int
refuse_result(struct exchange *ex, enum reason r, const char *why)
{
	exchange_refuse(ex, r, "%s", why);
	return -1;
}

/* Flags of a result go to the detector before the agent can act on it. -1: it
 * cannot be told, and the answer to that is to refuse. */
static int
tell_context(struct exchange *ex, const struct inspect_report *rep)
{
	struct jsonw w;
	struct buf b;

	for (uint32_t i = 0; i < rep->n; i++) {
		size_t k = 0;

		while (k < ex->nflags && ex->flags[k] != rep->flags[i].id)
			k++;
		if (k == ex->nflags && k < ARRAY_LEN(ex->flags))
			ex->flags[ex->nflags++] = rep->flags[i].id;
	}
	buf_init(&b, 1u << 20);
	record_call(ex, &w, &b, uuid_v7(), EVENT_CALL_RESULT, false);
	jsonw_array(&w, "flags");
	for (uint32_t i = 0; i < rep->n; i++)
		jsonw_str(&w, NULL, rep->flags[i].id);
	if (rep->limit)
		jsonw_str(&w, NULL, "inspect.limit");
	jsonw_array_end(&w);
	event_end(&w);
	if (ex->f->detector != NULL)
		ex->deadline_q = svc_ask(ex->f, ex->f->detector, MSG_CONTEXT,
		    buf_slice(&b), on_context, ex);
	buf_free(&b);
	ex->context_wait = ex->deadline_q != 0;
	if (ex->context_wait || exchange_exception(ex, REASON_DETECTOR_LATE,
	    "context of a result"))
		return 0;
	return refuse_result(ex, REASON_DETECTOR_LATE, "(the response)");
}

static void
note_tools(struct exchange *ex, const struct json_doc *d)
{
	uint32_t tools = json_path(d, 0, "result", "tools", NULL);

	/* A stream of its own may carry the answer to any request. */
	if (json_typeof(d, tools) != JSON_ARRAY ||
	    (!slice_is(ex->msg.method, "tools/list") &&
	    ex->req->method_id != HTTP1_M_GET))
		return;
	for (uint32_t t = json_first(d, tools); t != JSON_NONE;
	    t = json_next(d, tools, t)) {
		struct slice raw = json_raw(d, t);
		uint32_t name = json_member(d, t, "name");
		uint8_t digest[32];

		if (json_typeof(d, name) != JSON_STRING)
			continue;
		crypto_hash_sha256(digest, (const unsigned char *)raw.p,
		    raw.n);
		svc_tool_seen(ex->f, ex->con->name, json_inner(d, name),
		    digest, json_inner(d, json_member(d, t, "description")));
	}
}

/* Is this the answer to the request, of which an edit must be told? */
static int
add_edit_note(struct exchange *ex, struct slice *text, struct buf *out)
{
	struct json_doc d;
	char *note;
	int r = 0;

	json_init(&d);
	note = arena_printf(ex->a, "Portreeve: %s changed the arguments before "
	    "this call ran (approval %s). It ran with: %.*s", ex->approval_by,
	    ex->approval_id, SLICE_FMT(ex->arguments));
	if (note != NULL && json_index(&d, *text, NULL) == JSON_OK &&
	    slice_eq(json_raw(&d, json_member(&d, 0, "id")), ex->msg.id) &&
	    mcp_add_note(out, &d, note) == 0)
		*text = buf_slice(out);
	json_free(&d);
	return r;
}

int
content_result(struct exchange *ex, struct slice text, struct buf *scratch,
    struct slice *out_r)
{
	struct redact_options opt = { .shape = ex->con->kind ==
	    CONNECTOR_MCP ? SHAPE_MESSAGE : SHAPE_FREE,
	    .off = ex->con->off_results };
	struct redact_report rep = { 0 };
	struct inspect_report flags = { 0 };
	struct json_doc d;
	struct buf noted;
	enum redact_result r;
	int ret = 0;

	spare_doc(ex->f, &d);
	ex->text_json = json_index(&d, text, &json_limits_inside) == JSON_OK;
	if (!ex->text_json) {
		const char *why = json_error_text(d.error);

		spare_doc_back(ex->f, &d);
		if (exchange_exception(ex, REASON_UNPARSEABLE, why)) {
			*out_r = text;
			return 0;
		}
		return refuse_result(ex, REASON_UNPARSEABLE,
		    "(the response)");
	}
	if (ex->con->kind == CONNECTOR_MCP)
		note_tools(ex, &d);
	opt.literals = ex->literals;
	r = redact_json(ex->view->redact, &d, text, &opt, scratch, &rep);
	add_report(&ex->redact_back, &rep);
	*out_r = r == REDACT_CHANGED ? buf_slice(scratch) : text;
	if (r == REDACT_LIMIT || r == REDACT_REFUSED) {
		if (!exchange_exception(ex, REASON_REDACTOR_LIMIT, "result"))
			ret = refuse_result(ex, REASON_REDACTOR_LIMIT,
			    "(the response)");
	}
	if (ret == 0 && ex->edited && ex->con->kind == CONNECTOR_MCP) {
		buf_init(&noted, out_r->n + (1u << 20));
		add_edit_note(ex, out_r, &noted);
		if (noted.len > 0) {
			buf_reset(scratch);
			if (buf_add_slice(scratch, buf_slice(&noted)) == 0)
				*out_r = buf_slice(scratch);
		}
		buf_free(&noted);
	}
	if (ret == 0 && inspect_json(ex->view->inspect, &d, 0, opt.shape,
	    &flags))
		ret = tell_context(ex, &flags);
	if (ret == 0 && ex->con->kind == CONNECTOR_MCP)
		ret = asked_look(ex, &d, *out_r);
	if (ret == 0 && ex->listing != NULL)
		lists_note(ex, &d);
	if (ret == 0 && ex->mode == RESP_SSE)
		lists_look(ex, &d);
	spare_doc_back(ex->f, &d);
	return ret;
}

int
content_text(struct exchange *ex, struct slice text, struct buf *scratch,
    struct slice *out_r)
{
	struct redact_report rep = { 0 };
	struct inspect_report flags = { 0 };
	struct redact_options opt = { .literals = ex->literals,
		.off = ex->con->off_results };
	enum redact_result r = text.n == 0 ? REDACT_CLEAN :
	    redact_text(ex->view->redact, text, &opt, scratch, &rep);

	ex->text_json = false;
	add_report(&ex->redact_back, &rep);
	*out_r = r == REDACT_CHANGED ? buf_slice(scratch) : text;
	if ((r == REDACT_LIMIT || r == REDACT_REFUSED) && !exchange_exception(
	    ex, REASON_REDACTOR_LIMIT, "result"))
		return refuse_result(ex, REASON_REDACTOR_LIMIT,
		    "(the response)");
	if (text.n > 0 && inspect_text(ex->view->inspect, text, &flags))
		return tell_context(ex, &flags);
	return 0;
}
