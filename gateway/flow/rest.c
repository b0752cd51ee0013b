/*
 * rest - CLASSIFY of a REST call: the operation by method and path, and what
 * it is called with: path, query and body as one JSON object, whose parts the
 * redactor, rules and cards see by name.
 */
#include "internal.h"

/* Frameworks take a POST's parameter `_method` for the method. multipart is
 * not read here. */
static bool
names_method(struct exchange *ex)
{
	static const char name[] = "_method";

	return ex->req->method_id == HTTP1_M_POST && ((ex->up_query.p !=
	    NULL && params_has(ex->up_query, name)) || (ex->gated &&
	    ex->body.len > 0 && (ex->media == MEDIA_JSON ?
	    json_member(&ex->doc, 0, name) != JSON_NONE :
	    ex->media == MEDIA_FORM &&
	    params_has(buf_slice(&ex->body), name))));
}

enum step_result
rest_classify(struct exchange *ex)
{
	struct action *a = &ex->action;
	const struct http1_head *h = ex->req;
	const struct connector_operation *o = connector_operation(ex->con,
	    h->method, ex->up_path);
	enum step_result r = STEP_DONE;
	struct jsonw w;
	struct buf b;

	a->method = h->method;
	a->operation = ACTION_HTTP;
	a->tool = o != NULL ? slice_str(o->name) : slice_str(arena_printf(
	    ex->a, "%.*s %.*s", SLICE_FMT(h->method),
	    SLICE_FMT(content_clean(ex, ex->up_path))));
	buf_init(&b, (size_t)ex->view->conf->limits.body * 7 + 65536);
	jsonw_init(&w, &b);
	jsonw_object(&w, NULL);
	if (o != NULL)
		params_write_path(&w, o->path, ex->up_path);
	else
		jsonw_slice(&w, "path", ex->up_path);
	if (ex->up_query.p != NULL && params_write_query(&w, ex->up_query) !=
	    0) {
		buf_free(&b);
		return exchange_unparseable(ex, "more query parameters than 500");
	}
	if (!ex->gated) {
		jsonw_str(&w, "body_uninspected", media_kind_name(ex->media));
	} else if (ex->body.len > 0 && ex->media == MEDIA_JSON) {
		if (json_index(&ex->doc, buf_slice(&ex->body),
		    &json_limits_inside) != JSON_OK) {
			buf_free(&b);
			return exchange_unparseable(ex,
			    json_error_text(ex->doc.error));
		}
		jsonw_raw(&w, "body", buf_slice(&ex->body));
	} else if (ex->body.len > 0) {
		jsonw_slice(&w, "body", buf_slice(&ex->body));
	}
	jsonw_object_end(&w);
	if (!b.full)
		a->arguments = arena_copy(ex->a, buf_slice(&b));
	else
		r = exchange_refuse(ex, REASON_BODY_TOO_LARGE,
		    "The call's URL and body are too large together.");
	buf_free(&b);
	if (r == STEP_DONE && names_method(ex)) {
		ex->refusal_word = http1_error_word(HTTP1_E_METHOD_OVERRIDE);
		r = exchange_refuse(ex, REASON_AMBIGUOUS, "(%s)",
		    ex->refusal_word);
	}
	if (r == STEP_DONE && gql_is_here(ex) && !arena_failed(ex->a))
		r = gql_classify(ex);
	return r;
}
