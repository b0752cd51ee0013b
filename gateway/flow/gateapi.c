/*
 * gateapi - an agent's built-in tools, which no proxy sees: its harness asks
 * before it runs one and reports afterwards (gateask.h has the requests).
 *
 * The call itself is an inner request that goes through all steps like any
 * other; FORWARD hands the answer out instead of sending anything, RESPONSE
 * waits for the report. Requests from outside only wait for it:
 *
 *   ASKED --held--> HELD --approved--> ALLOWED --fetched--> RUNNING --report--> over
 *     |               |                   |                   (its outcome)
 *     +---------------+---- refused ------+--> REFUSED --fetched--> over
 *
 * An answer is given once; it is good for one run. What is handed out may run
 * from then on, so from there an end without a report is `unknown`, also under
 * a kill, which can only be told and noted.
 *
 * Calls live in this process: who asks for one is known by session, and finds
 * none that another process has.
 */
#include "gateapi_int.h"

#include "log.h"

#define OPEN_A_SESSION 100	/* calls without an outcome */

/* --- reports ---------------------------------------------------------------- */

static enum step_result
not_now(struct exchange *ex, const char *why)
{
	ex->refusal_status = 409;
	return exchange_refuse(ex, REASON_CALL_STATE, "%s", why);
}

/* Of a call that was not handed out only this can be said. */
static enum step_result
give_up(struct exchange *ex, struct gate *g,
    const struct gateask_report *p)
{
	struct jsonw w;
	struct buf b;

	if (p->status != GATEASK_CANCELLED || p->result != JSON_NONE)
		return not_now(ex, "It was not allowed yet, or its answer was "
		    "not fetched: it can only be cancelled.");
	gateapi_begin_json(&w, &b, g, 4096);
	jsonw_str(&w, "outcome", "cancelled");
	jsonw_object_end(&w);
	if (g->waiter != NULL)
		gateapi_answer_held(g);	/* the next question will say it */
	gateapi_forget(g);
	if (!gateapi_answer(ex, 200, buf_slice(&b)))
		log_error("an answer of the gate API did not fit");
	buf_free(&b);
	return STEP_WAIT;
}

static enum step_result
take_report(struct exchange *ex, struct gate *g)
{
	static const char *const ends[GATEASK_STATUSES] = { "cancelled",
		"error", "ok" };
	struct gateask_report p;
	const char *why;

	if (json_index(&ex->doc, buf_slice(&ex->body),
	    &json_limits_inside) != JSON_OK)
		return exchange_unparseable(ex, json_error_text(
		    ex->doc.error));
	if (gateask_read_report(&ex->doc, &p, &why) != 0)
		return exchange_unparseable(ex, why);
	if (g->state == GATE_REPORTED || g->state == GATE_REFUSED)
		return not_now(ex, g->state == GATE_REFUSED ? "It was "
		    "refused." : "Its outcome is being recorded.");
	if (g->state != GATE_RUNNING)
		return give_up(ex, g, &p);
	g->state = GATE_REPORTED;
	g->waiter = ex;
	ex->gate = g;
	loop_timer_stop(g->timer);
	g->ex->end_status = ends[p.status];
	if (p.result == JSON_NONE)
		gateapi_finish(g, slice_make(NULL, 0));
	else
		gateapi_take_result(g, json_raw(&ex->doc, p.result));
	return STEP_WAIT;
}

/* --- the other requests -------------------------------------------------------------- */

static enum step_result
ask(struct exchange *ex)
{
	struct flow *f = ex->f;
	const struct connector *con;
	const char *why;
	struct gateask q;
	struct gate *g;

	if (json_index(&ex->doc, buf_slice(&ex->body),
	    &json_limits_inside) != JSON_OK)
		return exchange_unparseable(ex, json_error_text(
		    ex->doc.error));
	if (gateask_read(&ex->doc, &q, &why) != 0)
		return exchange_unparseable(ex, why);
	con = connector_named(ex->view->connectors, q.connector);
	if (con == NULL || con->builtin == NULL)
		return exchange_refuse(ex, REASON_UNCATALOGUED,
		    "There is no connector of kind builtin of this name.");
	ex->refusal_status = 429;
	if (ex->session->gates >= OPEN_A_SESSION || f->ngates >=
	    (size_t)ex->view->conf->limits.streams)
		return exchange_refuse(ex, REASON_TOO_MANY, "Report outcomes, "
		    "or cancel what will not be run.");
	ex->refusal_status = 0;
	g = base_calloc(1, sizeof(*g));
	g->c = conn_inner(ex->c, ex, buf_slice(&ex->body), gateapi_inner, g);
	if (g->c == NULL) {
		loop_defer_free(f->loop, g);
		return gateapi_too_large(ex);
	}
	g->f = f;
	g->session = ex->session;
	g->session->refs++;
	g->session->gates++;
	f->ngates++;
	g->wait_s = q.wait_s;
	memcpy(g->connector, q.connector.p, q.connector.n);
	g->waiter = ex;
	ex->gate = g;
	return STEP_WAIT;
}

static enum step_result
poll_call(struct exchange *ex, struct gate *g)
{
	if (g->state == GATE_REFUSED) {
		if (!gateapi_answer(ex, g->status, buf_slice(&g->refusal)))
			return gateapi_too_large(ex);
		gateapi_forget(g);
		return STEP_WAIT;
	}
	if (g->state >= GATE_RUNNING) {
		if (g->ex == NULL || g->ex->reason == REASON_NONE)
			return not_now(ex, "Its answer was fetched: report "
			    "its outcome.");
		return exchange_refuse(ex, g->ex->reason, "%s",
		    g->ex->detail);
	}
	if (g->waiter != NULL)
		gateapi_answer_held(g);		/* one waits at a time */
	g->waiter = ex;
	ex->gate = g;
	if (g->state == GATE_ALLOWED) {
		if (!gateapi_hand_out(g)) {
			gateapi_too_large(g->ex);
			exchange_answer_refusal(g->ex);
		}
		return STEP_WAIT;
	}
	if (!gateask_wait(ex->req->query, &g->wait_s))
		g->wait_s = 0;		/* it was read when it came */
	gateapi_wait_on(g);
	return STEP_WAIT;
}

bool
gateapi_asks(const struct exchange *ex)
{
	return ex->c->kind == CONF_MOUNT && ex->c->inner == NULL &&
	    (slice_is(ex->req->path, GATEASK_PATH) ||
	    slice_starts(ex->req->path, GATEASK_PATH "/"));
}

static enum step_result
refuse_form(struct exchange *ex, unsigned status, const char *why)
{
	ex->refusal_status = status;
	return exchange_refuse(ex, REASON_AMBIGUOUS, "%s", why);
}

enum step_result
gateapi_receive(struct exchange *ex)
{
	const struct http1_head *h = ex->req;
	struct media m;
	unsigned wait_s;

	ex->gated = true;
	ex->gate_verb = gateask_path(h->path, &ex->gate_call);
	if (ex->gate_verb == GATEASK_NONE)
		return refuse_form(ex, 404, "There are /v1/gate, "
		    "/v1/gate/CALL and /v1/gate/CALL/outcome.");
	if (h->method_id != (ex->gate_verb == GATEASK_POLL ? HTTP1_M_GET :
	    HTTP1_M_POST))
		return refuse_form(ex, 405, "/v1/gate and /v1/gate/CALL/"
		    "outcome take POST, /v1/gate/CALL takes GET.");
	if (ex->gate_verb == GATEASK_POLL) {
		if (!gateask_wait(h->query, &wait_s))
			return refuse_form(ex, 400, "The query is wait=0 to "
			    "wait=60, or none.");
		if (h->framing == HTTP1_BODY_CHUNKED || (h->framing ==
		    HTTP1_BODY_LENGTH && h->length > 0))
			return refuse_form(ex, 400, "A GET has no body.");
		return STEP_DONE;
	}
	if (h->query.p != NULL)
		return refuse_form(ex, 400, "There is no query here.");
	media_parse(http1_field_known(h, HTTP1_F_CONTENT_TYPE), &m);
	if (m.kind != MEDIA_JSON || media_coding_of(http1_field_known(h,
	    HTTP1_F_CONTENT_ENCODING)) != MEDIA_CODING_IDENTITY)
		return exchange_refuse(ex, REASON_MEDIA,
		    "A request is application/json without a coding.");
	if (h->framing == HTTP1_BODY_LENGTH && h->length >
	    (uint64_t)ex->view->conf->limits.body)
		return exchange_refuse(ex, REASON_BODY_TOO_LARGE,
		    "At most %lld bytes.",
		    (long long)ex->view->conf->limits.body);
	return STEP_DONE;
}

enum step_result
gateapi_take(struct exchange *ex, enum step_result read)
{
	struct gate *g;

	if (read != STEP_DONE || ex->gate_verb == GATEASK_NONE)
		return read;
	if (ex->gate_verb == GATEASK_ASK)
		return ask(ex);
	g = map_get(&ex->f->gates, gateapi_key(&ex->gate_call));
	/* Another's call is no more there than none. */
	if (g == NULL || strcmp(g->session->who.session,
	    ex->session->who.session) != 0) {
		ex->refusal_status = 404;
		return exchange_refuse(ex, REASON_NO_CALL, "%s", "");
	}
	return ex->gate_verb == GATEASK_POLL ? poll_call(ex, g) :
	    take_report(ex, g);
}
