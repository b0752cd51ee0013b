/*
 * revision - which revision of MCP a request is of, and what 2026-07-28 wants
 * of its header fields: they and the body agree when it comes in (mirror.h),
 * and still do when redaction or a person changed the arguments.
 */
#include "internal.h"

static enum step_result
refuse(struct exchange *ex, enum reason r, int code, const char *why)
{
	ex->refusal_code = code;
	ex->refusal_status = 400;
	return exchange_refuse(ex, r, "(%s)", why);
}

enum step_result
revision_check(struct exchange *ex)
{
	const char *why = NULL;

	switch (mirror_check(ex->req, &ex->doc, &ex->msg, ex->a, &ex->mirror,
	    &why)) {
	case MIRROR_MODERN:
		ex->modern = true;
		return STEP_DONE;
	case MIRROR_LEGACY:
		return STEP_DONE;
	case MIRROR_NO_VERSION:
		return refuse(ex, REASON_HEADERS, MCP_CODE_PARAMS,
		    "_meta has no io.modelcontextprotocol/protocolVersion");
	case MIRROR_UNKNOWN:
		return refuse(ex, REASON_REVISION, MCP_CODE_REVISION,
		    "of the revisions without sessions " MCP_MODERN);
	case MIRROR_MISMATCH:
	default:
		return refuse(ex, REASON_HEADERS, MCP_CODE_HEADERS,
		    why == NULL ? "?" : why);
	}
}

int
revision_write_params(struct exchange *ex, struct buf *out)
{
	struct slice body = ex->new_body.len > 0 ? buf_slice(&ex->new_body) :
	    buf_slice(&ex->body);
	struct json_doc d;
	struct buf v;
	int r;

	spare_doc(ex->f, &d);
	buf_init(&v, 1u << 20);
	r = json_index(&d, body, NULL) == JSON_OK ? 0 : -1;
	for (unsigned i = 0; i < ex->mirror->n && r == 0; i++) {
		buf_reset(&v);
		if (mirror_value(&ex->mirror->v[i], &d, json_path(&d, 0,
		    "params", "arguments", NULL), &v) == 0)
			r = http1_write_field(out, ex->mirror->v[i].name,
			    buf_slice(&v));
	}
	buf_free(&v);
	spare_doc_back(ex->f, &d);
	return r;
}

bool
revision_modern_refusal(const struct exchange *ex, unsigned status)
{
	return (ex->modern || mirror_claims_modern(ex->req)) &&
	    ex->req->method_id == HTTP1_M_POST && status >= 400 &&
	    status < 500 && status != 401 && status != 403 && status != 407;
}

/* Without sessions neither means anything: they are left out. */
bool
revision_open_ids(struct exchange *ex, struct slice *session_r,
    struct slice *event_r)
{
	struct slice s = http1_field_known(ex->req, HTTP1_F_MCP_SESSION_ID);
	struct slice e = http1_field_known(ex->req, HTTP1_F_LAST_EVENT_ID);

	*session_r = *event_r = slice_make(NULL, 0);
	if (ex->modern || ex->agg != NULL)	/* the session is /mcp's */
		return true;
	if (s.p != NULL && !identity_open(ex, IDENTITY_SESSION, s, session_r))
		return false;
	*event_r = e;
	return ex->con->kind != CONNECTOR_MCP || e.n == 0 ||
	    identity_open(ex, IDENTITY_EVENT, e, event_r);
}
