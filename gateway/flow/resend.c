/*
 * resend - a call that the upstream has not processed goes out once more, on a
 * connection of its own, under the decision that stands in the ledger. Only
 * where that is certain, or where twice is as good as once:
 *
 *   - REFUSED_STREAM, a stream above GOAWAY's last one, or a request that never
 *     left (RFC 9113, 8.7): any call;
 *   - a connection that had served before and ended without a byte of an
 *     answer (RFC 9112, 9.3.1; it was about to be closed): what only reads.
 *
 * Never what may have been a write, and never twice.
 */
#include "internal.h"

static bool
only_reads(const struct exchange *ex)
{
	enum http1_method m = ex->req->method_id;

	if (ex->action.klass != CONF_READ_ONLY)
		return false;
	if (m == HTTP1_M_GET || m == HTTP1_M_HEAD || m == HTTP1_M_OPTIONS)
		return true;
	if (ex->con->kind != CONNECTOR_MCP || m != HTTP1_M_POST)
		return false;
	return ex->action.operation == ACTION_LIST ||
	    ex->action.operation == ACTION_READ ||
	    ex->action.operation == ACTION_CALL ||
	    slice_is(ex->msg.method, "ping");
}

static bool
may(const struct exchange *ex)
{
	/* A streamed body is not here any more; a shim's lane knows best. */
	if (ex->resent || ex->answered || ex->u == NULL || !ex->gated ||
	    ex->stdio || ex->mode != RESP_HEAD)
		return false;
	return upstream_refused(ex->u) || (upstream_lost(ex->u) &&
	    only_reads(ex));
}

static void
again(void *ctx)
{
	struct exchange *ex = ctx;

	if (ex->over)
		return;
	buf_wipe_free(&ex->uout);
	buf_wipe_free(&ex->uin);
	if (ex->resp != NULL)
		http1_head_init(ex->resp);
	ex->u_eof = ex->u_truncated = ex->u_paused = ex->u_write_failed =
	    false;
	ex->status = ex->head_s = 0;
	ex->step = STEP_CREDENTIAL;
	exchange_run(ex);
}

void
resend_soon(struct exchange *ex)
{
	upstream_close(ex->u, true);
	ex->u = NULL;
	ex->mode = RESP_END;
	ex->request_sent = ex->request_head_sent = false;
	/* The credential was wiped once it had left: it is asked for anew. */
	if (ex->cred_value.n > 0)
		explicit_bzero((char *)(uintptr_t)ex->cred_value.p,
		    ex->cred_value.n);
	literals_free(ex->literals);
	ex->literals = NULL;
	ex->cred_name = ex->cred_value = ex->via_value = slice_make(NULL, 0);
	loop_soon(ex->f->loop, again, ex);
}

bool
resend_try(struct exchange *ex)
{
	if (!may(ex))
		return false;
	ex->resent = true;
	resend_soon(ex);
	return true;
}
