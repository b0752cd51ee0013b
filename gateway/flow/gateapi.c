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
#include "internal.h"

#include <stdio.h>

#include "connector_builtin.h"
#include "log.h"

#define OPEN_A_SESSION 100	/* calls without an outcome */

enum gate_state { GATE_ASKED, GATE_HELD, GATE_ALLOWED, GATE_RUNNING,
	GATE_REPORTED, GATE_REFUSED };

struct gate {
	struct flow *f;
	struct conn *c;			/* the inner one; NULL: it has ended */
	struct exchange *ex;		/* the call; NULL: not yet, or over */
	struct exchange *waiter;	/* whom the next answer is for */
	struct session *session;
	struct uuid call;
	enum gate_state state;
	bool known;			/* its agent knows the call's id */
	unsigned wait_s;		/* the waiter's */
	char connector[GATEASK_WORD_MAX + 1];
	unsigned status;		/* REFUSED: what to answer */
	struct buf refusal;
	struct loop_timer *timer;
};

static struct slice
key_of(const struct uuid *call)
{
	return slice_make(call->b, sizeof(call->b));
}

/* Nobody asks for it any more; what may still run of it is cancelled. */
static void
forget(struct gate *g)
{
	struct flow *f = g->f;

	if (map_get(&f->gates, key_of(&g->call)) == g)
		map_del(&f->gates, key_of(&g->call));
	if (g->ex != NULL)
		g->ex->gate = NULL;
	if (g->waiter != NULL)
		g->waiter->gate = NULL;
	if (g->c != NULL)
		conn_inner_drop(g->c);
	f->ngates--;
	g->session->gates--;
	session_unref(g->session);
	loop_timer_del(g->timer);
	buf_wipe_free(&g->refusal);
	loop_defer_free(f->loop, g);
}

/* --- answering a request ----------------------------------------------------- */

/* False: it does not fit, and nothing is written. ex is over otherwise. */
static bool
answer(struct exchange *ex, unsigned status, struct slice json)
{
	struct buf *o = &ex->c->out;

	if (buf_room(o) < json.n + 1024)
		return false;
	if (http1_write_response(o, status, slice_make(NULL, 0)) != 0 ||
	    http1_write_field(o, SLICE("Content-Type"),
	    SLICE("application/json")) != 0 ||
	    http1_write_field(o, SLICE("Cache-Control"),
	    SLICE("no-store")) != 0 || (status == 503 && http1_write_field(o,
	    SLICE("Retry-After"), SLICE("2")) != 0) || (!ex->keep_alive &&
	    http1_write_field(o, SLICE("Connection"), SLICE("close")) != 0) ||
	    http1_write_framing(o, HTTP1_BODY_LENGTH, json.n) != 0 ||
	    http1_write_end(o) != 0 || buf_add_slice(o, json) != 0)
		log_error("an answer of the gate API did not fit");
	ex->status = status;
	ex->head_out = ex->delivered = true;
	ex->gate = NULL;
	exchange_end(ex, "ok");
	return true;
}

static struct exchange *
take_waiter(struct gate *g)
{
	struct exchange *w = g->waiter;

	g->waiter = NULL;
	w->gate = NULL;
	if (w->timer != NULL)
		loop_timer_stop(w->timer);
	return w;
}

static void
begin(struct jsonw *w, struct buf *b, const struct gate *g, size_t max)
{
	char id[UUID_TEXT_LEN];

	buf_init(b, max);
	jsonw_init(w, b);
	jsonw_object(w, NULL);
	uuid_format(g->call, id);
	jsonw_str(w, "call", id);
}

/* What the waiter gets when it has waited long enough: ask again. */
static void
answer_held(struct gate *g)
{
	const struct exchange *ex = g->ex;
	char id[UUID_TEXT_LEN], poll[128];
	struct jsonw w;
	struct buf b;

	uuid_format(g->call, id);
	snprintf(poll, sizeof(poll), GATEASK_PATH "/%s?wait=30", id);
	begin(&w, &b, g, 65536);
	jsonw_str(&w, "decision", "hold");
	if (ex != NULL && g->state == GATE_HELD) {
		jsonw_str(&w, "class", conf_class_names[ex->action.klass]);
		jsonw_str(&w, "reason", reason_word(ex->verdict.reason));
		jsonw_str(&w, "held_by", ex->verdict.by);
	}
	jsonw_str(&w, "poll", poll);
	jsonw_object_end(&w);
	g->known = true;
	if (!answer(take_waiter(g), 202, buf_slice(&b)))
		log_error("a held call could not be told");
	buf_free(&b);
}

static void
on_waited(void *ctx)
{
	struct exchange *ex = ctx;

	if (ex->gate != NULL && ex->gate->waiter == ex)
		answer_held(ex->gate);
}

/* Of a call that is asked or held. */
static void
wait_on(struct gate *g)
{
	struct exchange *w = g->waiter;

	if (g->wait_s == 0) {
		answer_held(g);
		return;
	}
	loop_timer_del(w->timer);
	w->timer = loop_timer_new(g->f->loop, on_waited, w);
	loop_timer_set(w->timer, g->wait_s * 1000u);
}

/* Its outcome is recorded now; the inner connection goes with it. */
static void
end_call(struct gate *g, const char *status)
{
	struct exchange *ex = g->ex;
	struct conn *c = g->c;

	g->ex = NULL;
	g->c = NULL;
	ex->gate = NULL;
	conn_inner_drop(c);
	exchange_end(ex, status);
}

/* --- the end of its time --------------------------------------------------------- */

static void
on_time(void *ctx)
{
	struct gate *g = ctx;
	struct exchange *ex = g->ex;

	if (ex != NULL && g->state == GATE_RUNNING) {
		if (ex->reason == REASON_NONE)
			exchange_refuse(ex, REASON_UNREPORTED, "%s", "");
		ex->end_status = "unknown";
	} else if (ex != NULL) {
		exchange_refuse(ex, REASON_CANCELLED,
		    "The answer was never fetched.");
		ex->end_status = "cancelled";
	}
	if (ex != NULL)
		end_call(g, ex->end_status);
	forget(g);
}

static void
time_from_now(struct gate *g)
{
	if (g->timer == NULL)
		g->timer = loop_timer_new(g->f->loop, on_time, g);
	loop_timer_set(g->timer,
	    (uint64_t)g->f->view->conf->limits.report_ms);
}

/* --- the call: steps of the inner exchange ---------------------------------------- */

/* Whatever the inner connection says is said by the hooks below; its end
 * without one is an error of its head, as when it is too large by now. */
static void
on_inner(void *ctx, struct conn *c, struct slice data, bool end)
{
	struct gate *g = ctx;
	struct exchange *w;

	(void)c;
	(void)data;
	if (!end)
		return;
	g->c = NULL;
	if (g->state == GATE_REFUSED)
		return;		/* until it is fetched */
	if (g->waiter != NULL) {
		w = take_waiter(g);
		exchange_refuse(w, REASON_AMBIGUOUS,
		    "The call ended before it was decided.");
		exchange_answer_refusal(w);
	}
	forget(g);
}

void
gateapi_adopt(struct exchange *ex)
{
	struct gate *g = ex->c->inner_ctx;

	if (ex->c->inner != on_inner || ex->gate != NULL)
		return;
	ex->gate = g;
	g->ex = ex;
}

enum step_result
gateapi_find(struct exchange *ex)
{
	ex->con = connector_named(ex->view->connectors,
	    slice_str(ex->gate->connector));
	if (ex->con == NULL || ex->con->builtin == NULL) {
		ex->con = NULL;
		return exchange_refuse(ex, REASON_UNCATALOGUED,
		    "There is no connector of kind builtin of this name.");
	}
	ex->up_path = slice_str(ex->con->path);
	return STEP_DONE;
}

/* A target is a text of the agent's: it is recorded as the redactor leaves
 * it, in all events. */
static const char *
clean_target(struct exchange *ex, uint32_t node)
{
	struct buf b;
	const char *s = NULL;

	buf_init(&b, GATEASK_TARGET_MAX + 1);
	if (json_decode(&ex->doc, node, &b) == 0)
		s = arena_strdup(ex->a, content_redact_text(ex,
		    buf_slice(&b)));
	buf_wipe_free(&b);
	return s;
}

enum step_result
gateapi_classify(struct exchange *ex)
{
	static const uint8_t undefined[32];	/* nobody describes it */
	struct action *a = &ex->action;
	const char *why = NULL;
	struct gateask q;

	a->method = SLICE("builtin");
	a->operation = ACTION_CALL;
	if (json_index(&ex->doc, buf_slice(&ex->body), NULL) != JSON_OK)
		return exchange_unparseable(ex, json_error_text(
		    ex->doc.error));
	if (gateask_read(&ex->doc, &q, &why) != 0)
		return exchange_unparseable(ex, why);
	a->tool = q.tool;
	svc_tool_seen(ex->f, ex->con->name, q.tool, undefined, SLICE(""));
	if (ex->gate != NULL && !ex->reclassify) {
		ex->gate->call = ex->call;
		map_put(&ex->f->gates, key_of(&ex->call), ex->gate);
	}
	why = connector_context_bad(ex->con->builtin, q.device_class,
	    q.environment);
	if (why != NULL)
		return exchange_refuse(ex, REASON_CONTEXT, "(%s) The "
		    "connector's file declares under `context` what a call "
		    "says, and may say.", why);
	ex->msg.arguments = q.arguments;
	a->arguments = json_raw(&ex->doc, q.arguments);
	if (q.device_class.n > 0)
		ex->device_class = arena_strdup(ex->a, q.device_class);
	if (q.environment.n > 0)
		a->environment = arena_strdup(ex->a, q.environment);
	if (q.target != JSON_NONE)
		a->target = clean_target(ex, q.target);
	if (a->environment == NULL || a->target == NULL)
		return exchange_refuse(ex, REASON_BODY_TOO_LARGE, "%s", "");
	return STEP_DONE;
}

void
gateapi_raise(struct exchange *ex)
{
	struct action *a = &ex->action;
	enum conf_class to = connector_raised(ex->con->builtin, a->tool,
	    slice_str(ex->device_class), slice_str(a->environment), a->klass);

	ex->raised_from = to == a->klass ? NULL : conf_class_names[a->klass];
	a->klass = to;
}

void
gateapi_held(struct exchange *ex)
{
	struct gate *g = ex->gate;

	if (g == NULL)
		return;
	g->state = GATE_HELD;
	if (g->waiter != NULL)
		wait_on(g);
}

static void
write_allowed(const struct gate *g, struct buf *b)
{
	const struct exchange *ex = g->ex;
	char id[UUID_TEXT_LEN], outcome[128];
	struct jsonw w;

	begin(&w, b, g, ex->new_body.max + 65536);
	jsonw_str(&w, "decision", "allow");
	jsonw_str(&w, "class", conf_class_names[ex->action.klass]);
	jsonw_slice(&w, "tool", ex->action.tool);
	jsonw_raw(&w, "arguments", ex->arguments);
	jsonw_bool(&w, "redacted", ex->new_body.len > 0);
	jsonw_bool(&w, "edited", ex->edited);
	if (ex->verdict.observed)
		jsonw_bool(&w, "observed", true);
	if (ex->approval_id != NULL)
		jsonw_str(&w, "approval", ex->approval_id);
	uuid_format(ex->decision, id);
	jsonw_str(&w, "event", id);
	uuid_format(g->call, id);
	snprintf(outcome, sizeof(outcome), GATEASK_PATH "/%s/outcome", id);
	jsonw_str(&w, "outcome", outcome);
	jsonw_i64_at(&w, SLICE("report_within"),
	    g->f->view->conf->limits.report_ms / 1000);
	jsonw_object_end(&w);
}

/* Hands the answer out, once. False: it does not fit. */
static bool
hand_out(struct gate *g)
{
	struct exchange *ex = g->ex, *w = g->waiter;
	struct conn *c = w->c;
	const char *target;
	struct buf b;
	bool done;

	if (exchange_killed(ex, &target)) {
		exchange_cut(ex, target, REASON_KILLED);
		return true;	/* the waiter is told by that */
	}
	write_allowed(g, &b);
	done = !b.full && buf_room(&c->out) > b.len + 1024;
	if (done) {
		g->state = GATE_RUNNING;
		ex->request_head_sent = true;
		time_from_now(g);
		done = answer(take_waiter(g), 200, buf_slice(&b));
		/* A kill still stops it until the bytes have left. */
		conn_keep_leftover(c, ex);
	}
	buf_wipe_free(&b);
	return done;
}

static enum step_result
too_large(struct exchange *ex)
{
	return exchange_refuse(ex, REASON_BODY_TOO_LARGE,
	    "The answer does not fit.");
}

enum step_result
gateapi_forward(struct exchange *ex)
{
	struct gate *g = ex->gate;

	if (g == NULL)
		return STEP_WAIT;	/* it is being dropped */
	g->state = GATE_ALLOWED;
	time_from_now(g);
	ex->req = http1_head_trim(ex->req);	/* it may be open for long */
	if (g->waiter != NULL && !hand_out(g))
		return too_large(ex);
	return STEP_DONE;
}

bool
gateapi_say_no(struct exchange *ex, unsigned status, const char *event,
    const char *text)
{
	struct gate *g = ex->gate;
	struct jsonw w;
	struct buf b;

	if (g->ex != ex)
		return false;	/* a request that waits: in plain HTTP */
	begin(&w, &b, g, 65536);
	if (g->state != GATE_REPORTED)
		jsonw_str(&w, "decision", "deny");
	else
		jsonw_str(&w, "outcome", ex->end_status);
	jsonw_str(&w, "reason", reason_word(ex->reason));
	jsonw_str(&w, "message", text);
	jsonw_str(&w, "event", event);
	jsonw_object_end(&w);
	ex->gate = NULL;
	g->ex = NULL;
	g->state = GATE_REFUSED;
	if (g->waiter != NULL) {
		if (!answer(take_waiter(g), status, buf_slice(&b)))
			log_error("a refusal of the gate API did not fit");
		forget(g);
		buf_free(&b);
		return true;
	}
	g->status = status;
	g->refusal = b;
	time_from_now(g);
	return true;
}

bool
gateapi_keeps(struct exchange *ex, const char *target, enum reason r)
{
	struct gate *g = ex->gate;
	const char *why = map_get(&ex->f->kills, slice_str(target));

	if (g->ex != ex || (g->state != GATE_RUNNING &&
	    g->state != GATE_REPORTED) || r != REASON_KILLED)
		return false;
	if (ex->reason == REASON_NONE)
		exchange_refuse(ex, r, "(%s%s%s)", target,
		    why == NULL ? "" : ": ", why == NULL ? "" : why);
	return true;
}

bool
gateapi_may_run(const struct exchange *ex)
{
	return ex->gate != NULL && ex->gate->ex == ex &&
	    ex->gate->state >= GATE_RUNNING;
}

/* --- the report ------------------------------------------------------------------ */

/* Ends the call; result: as it was redacted, n 0: none. */
static void
finish(struct gate *g, struct slice result)
{
	struct exchange *ex = g->ex, *w = g->waiter;
	struct jsonw j;
	struct buf b;

	begin(&j, &b, g, result.n + 65536);
	jsonw_str(&j, "outcome", ex->end_status);
	if (ex->reason != REASON_NONE)
		jsonw_str(&j, "reason", reason_word(ex->reason));
	else if (result.n > 0)
		jsonw_raw(&j, "result", result);
	jsonw_object_end(&j);
	if (result.n > 0)
		relay_keep_result(ex, result);
	ex->bytes_out = result.n;
	if (w != NULL)
		(void)take_waiter(g);
	end_call(g, ex->end_status);
	forget(g);
	if (w != NULL && !answer(w, 200, buf_slice(&b))) {
		exchange_refuse(w, REASON_BODY_TOO_LARGE,
		    "The outcome is recorded; its result does not fit.");
		exchange_answer_refusal(w);
	}
	buf_wipe_free(&b);
}

void
gateapi_acked(struct exchange *ex)
{
	if (ex->gate != NULL)
		finish(ex->gate, buf_slice(&ex->held_out));
}

/* What the agent's model may see of a result is looked over as any other. */
static void
take_result(struct gate *g, struct slice result)
{
	struct exchange *ex = g->ex;
	struct slice out = result;
	struct buf scratch;
	int r;

	buf_init(&scratch, ex->rbody.max * 2 + 65536);
	r = content_result(ex, result, &scratch, &out);
	if (r == 0 && ex->context_wait && buf_add_slice(&ex->held_out,
	    out) != 0) {
		exchange_refuse(ex, REASON_BODY_TOO_LARGE, "(the result)");
		r = -1;
	}
	if (r != 0)
		exchange_answer_refusal(ex);	/* and so the outcome */
	else if (!ex->context_wait)
		finish(g, out);
	buf_wipe_free(&scratch);
}

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
	begin(&w, &b, g, 4096);
	jsonw_str(&w, "outcome", "cancelled");
	jsonw_object_end(&w);
	if (g->waiter != NULL)
		answer_held(g);		/* the next question will say it */
	forget(g);
	if (!answer(ex, 200, buf_slice(&b)))
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

	if (json_index(&ex->doc, buf_slice(&ex->body), NULL) != JSON_OK)
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
		finish(g, slice_make(NULL, 0));
	else
		take_result(g, json_raw(&ex->doc, p.result));
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

	if (json_index(&ex->doc, buf_slice(&ex->body), NULL) != JSON_OK)
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
	g->c = conn_inner(ex->c, ex, buf_slice(&ex->body), on_inner, g);
	if (g->c == NULL) {
		loop_defer_free(f->loop, g);
		return too_large(ex);
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
		if (!answer(ex, g->status, buf_slice(&g->refusal)))
			return too_large(ex);
		forget(g);
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
		answer_held(g);		/* one waits at a time */
	g->waiter = ex;
	ex->gate = g;
	if (g->state == GATE_ALLOWED) {
		if (!hand_out(g)) {
			too_large(g->ex);
			exchange_answer_refusal(g->ex);
		}
		return STEP_WAIT;
	}
	if (!gateask_wait(ex->req->query, &g->wait_s))
		g->wait_s = 0;		/* it was read when it came */
	wait_on(g);
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
	g = map_get(&ex->f->gates, key_of(&ex->gate_call));
	/* Another's call is no more there than none. */
	if (g == NULL || strcmp(g->session->who.session,
	    ex->session->who.session) != 0) {
		ex->refusal_status = 404;
		return exchange_refuse(ex, REASON_NO_CALL, "%s", "");
	}
	return ex->gate_verb == GATEASK_POLL ? poll_call(ex, g) :
	    take_report(ex, g);
}

void
gateapi_end(struct exchange *ex)
{
	struct gate *g = ex->gate;

	if (g == NULL)
		return;
	ex->gate = NULL;
	if (g->ex == ex) {
		g->ex = NULL;
		return;		/* on_inner() follows */
	}
	if (g->waiter == ex)
		g->waiter = NULL;
	/* Nobody can ever ask for a call whose id was not told. */
	if (!g->known && g->state < GATE_RUNNING)
		forget(g);
}
