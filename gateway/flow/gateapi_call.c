/*
 * gateapi_call - a built-in tool's call: the steps of its inner exchange, what
 * is answered to whom waits for it, and its end. See gateapi.c for the whole.
 */
#include "gateapi_int.h"

#include <stdio.h>

#include "connector_builtin.h"
#include "log.h"

struct slice
gateapi_key(const struct uuid *call)
{
	return slice_make(call->b, sizeof(call->b));
}

/* Nobody asks for it any more; what may still run of it is cancelled. */
void
gateapi_forget(struct gate *g)
{
	struct flow *f = g->f;

	if (map_get(&f->gates, gateapi_key(&g->call)) == g)
		map_del(&f->gates, gateapi_key(&g->call));
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
bool
gateapi_answer(struct exchange *ex, unsigned status, struct slice json)
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

void
gateapi_begin_json(struct jsonw *w, struct buf *b, const struct gate *g,
    size_t max)
{
	char id[UUID_TEXT_LEN];

	buf_init(b, max);
	jsonw_init(w, b);
	jsonw_object(w, NULL);
	uuid_format(g->call, id);
	jsonw_str(w, "call", id);
}

/* What the waiter gets when it has waited long enough: ask again. */
void
gateapi_answer_held(struct gate *g)
{
	const struct exchange *ex = g->ex;
	char id[UUID_TEXT_LEN], poll[128];
	struct jsonw w;
	struct buf b;

	uuid_format(g->call, id);
	snprintf(poll, sizeof(poll), GATEASK_PATH "/%s?wait=30", id);
	gateapi_begin_json(&w, &b, g, 65536);
	jsonw_str(&w, "decision", "hold");
	if (ex != NULL && g->state == GATE_HELD) {
		jsonw_str(&w, "class", conf_class_names[ex->action.klass]);
		jsonw_str(&w, "reason", reason_word(ex->verdict.reason));
		jsonw_str(&w, "held_by", ex->verdict.by);
	}
	jsonw_str(&w, "poll", poll);
	jsonw_object_end(&w);
	g->known = true;
	if (!gateapi_answer(take_waiter(g), 202, buf_slice(&b)))
		log_error("a held call could not be told");
	buf_free(&b);
}

static void
on_waited(void *ctx)
{
	struct exchange *ex = ctx;

	if (ex->gate != NULL && ex->gate->waiter == ex)
		gateapi_answer_held(ex->gate);
}

/* Of a call that is asked or held. */
void
gateapi_wait_on(struct gate *g)
{
	struct exchange *w = g->waiter;

	if (g->wait_s == 0) {
		gateapi_answer_held(g);
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
	gateapi_forget(g);
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
void
gateapi_inner(void *ctx, struct conn *c, struct slice data, bool end)
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
	gateapi_forget(g);
}

void
gateapi_adopt(struct exchange *ex)
{
	struct gate *g = ex->c->inner_ctx;

	if (ex->c->inner != gateapi_inner || ex->gate != NULL)
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
	if (json_index(&ex->doc, buf_slice(&ex->body),
	    &json_limits_inside) != JSON_OK)
		return exchange_unparseable(ex, json_error_text(
		    ex->doc.error));
	if (gateask_read(&ex->doc, &q, &why) != 0)
		return exchange_unparseable(ex, why);
	a->tool = q.tool;
	svc_tool_seen(ex->f, ex->con->name, q.tool, undefined, SLICE(""));
	if (ex->gate != NULL && !ex->reclassify) {
		ex->gate->call = ex->call;
		map_put(&ex->f->gates, gateapi_key(&ex->call), ex->gate);
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
		gateapi_wait_on(g);
}

static void
write_allowed(const struct gate *g, struct buf *b)
{
	const struct exchange *ex = g->ex;
	char id[UUID_TEXT_LEN], outcome[128];
	struct jsonw w;

	gateapi_begin_json(&w, b, g, ex->new_body.max + 65536);
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
bool
gateapi_hand_out(struct gate *g)
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
		done = gateapi_answer(take_waiter(g), 200, buf_slice(&b));
		/* A kill still stops it until the bytes have left. */
		conn_keep_leftover(c, ex);
	}
	buf_wipe_free(&b);
	return done;
}

enum step_result
gateapi_too_large(struct exchange *ex)
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
	if (g->waiter != NULL && !gateapi_hand_out(g))
		return gateapi_too_large(ex);
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
	gateapi_begin_json(&w, &b, g, 65536);
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
		if (!gateapi_answer(take_waiter(g), status, buf_slice(&b)))
			log_error("a refusal of the gate API did not fit");
		gateapi_forget(g);
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
void
gateapi_finish(struct gate *g, struct slice result)
{
	struct exchange *ex = g->ex, *w = g->waiter;
	struct jsonw j;
	struct buf b;

	gateapi_begin_json(&j, &b, g, result.n + 65536);
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
	gateapi_forget(g);
	if (w != NULL && !gateapi_answer(w, 200, buf_slice(&b))) {
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
		gateapi_finish(ex->gate, buf_slice(&ex->held_out));
}

/* What the agent's model may see of a result is looked over as any other. */
void
gateapi_take_result(struct gate *g, struct slice result)
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
		gateapi_finish(g, out);
	buf_wipe_free(&scratch);
}

/* --- a request, or the call, goes away --------------------------------------------- */

void
gateapi_end(struct exchange *ex)
{
	struct gate *g = ex->gate;

	if (g == NULL)
		return;
	ex->gate = NULL;
	if (g->ex == ex) {
		g->ex = NULL;
		return;		/* gateapi_inner() follows */
	}
	if (g->waiter == ex)
		g->waiter = NULL;
	/* Nobody can ever ask for a call whose id was not told. */
	if (!g->known && g->state < GATE_RUNNING)
		gateapi_forget(g);
}
