/*
 * record - what the path of a call tells the ledger and the detector: the
 * events of lib/wire/events.def, built once, in one place.
 */
#include "internal.h"

#include "clock.h"
#include "codec.h"
#include "log.h"

#define EVENT_MAX (16u << 20)

static void
principal(struct jsonw *w, const struct principal *p)
{
	jsonw_str(w, "session", p->session);
	jsonw_str(w, "user", p->user);
	jsonw_str(w, "agent", p->agent);
	if (p->task[0] != '\0')
		jsonw_str(w, "task", p->task);
	if (p->department[0] != '\0')
		jsonw_str(w, "department", p->department);
	jsonw_str(w, "trust", conf_trust_names[p->trust]);
}

static const char *
transport(const struct exchange *ex)
{
	/* The connection may be gone by now. */
	return conf_listener_names[ex->stdio ? CONF_STDIO : ex->mount ?
	    CONF_MOUNT : ex->bearer ? CONF_TRANSPARENT : CONF_EXPLICIT];
}

/* What all events of a call say alike, from "call" on; written once. */
static void
common(struct exchange *ex, struct jsonw *w)
{
	const struct action *a = &ex->action;
	char call[UUID_TEXT_LEN];
	size_t from = w->b->len;

	if (ex->common.n > 0) {
		jsonw_members(w, ex->common);
		return;
	}
	uuid_format(ex->call, call);
	jsonw_str(w, "call", call);
	if (ex->message) {
		uuid_format(ex->in_call, call);
		jsonw_str(w, "in_call", call);
	}
	principal(w, &ex->session->who);
	jsonw_str(w, "source", ex->c != NULL ? ex->c->source : ex->source);
	jsonw_str(w, "transport", transport(ex));
	jsonw_str(w, "connector", a->connector);
	jsonw_slice(w, "method", a->method);
	if (a->tool.n > 0)
		jsonw_slice(w, "tool", a->tool);
	jsonw_str(w, "operation", action_operation_names[a->operation]);
	jsonw_str(w, "target", a->target);
	jsonw_str(w, "class", conf_class_names[a->klass]);
	if (ex->raised_from != NULL)
		jsonw_str(w, "raised_from", ex->raised_from);
	if (ex->device_class != NULL)
		jsonw_str(w, "device_class", ex->device_class);
	if (a->environment[0] != '\0')
		jsonw_str(w, "environment", a->environment);
	if (a->data_class[0] != '\0')
		jsonw_str(w, "data_class", a->data_class);
	if (!w->b->full)
		ex->common = arena_copy(ex->a, slice_sub(buf_slice(w->b),
		    from, SIZE_MAX));
}

void
record_call(struct exchange *ex, struct jsonw *w, struct buf *b,
    struct uuid id, enum event_type type, bool with_arguments)
{
	event_begin(w, b, id, type, ROLE_PROXY);
	common(ex, w);
	if (with_arguments && ex->action.arguments.n > 0)
		jsonw_raw(w, "arguments", ex->action.arguments);
	if (with_arguments && ex->action.responses.n > 0)
		jsonw_raw(w, "input_responses", ex->action.responses);
}

static void
redactions(struct jsonw *w, const struct findings *r)
{
	if (r->n == 0)
		return;
	jsonw_array(w, "redactions");
	for (uint32_t i = 0; i < r->n; i++) {
		jsonw_object(w, NULL);
		jsonw_str(w, "rule", r->items[i].id);
		jsonw_int(w, "count", r->items[i].count);
		jsonw_object_end(w);
	}
	jsonw_array_end(w);
}

static void
approval(struct jsonw *w, const struct exchange *ex)
{
	if (ex->approval_id == NULL)
		return;
	jsonw_object(w, "approval");
	jsonw_str(w, "id", ex->approval_id);
	jsonw_str(w, "by", ex->approval_by);
	jsonw_str(w, "verdict", ex->consumed ? "approve" : "deny");
	if (ex->approval_reason != NULL && ex->approval_reason[0] != '\0')
		jsonw_str(w, "reason", ex->approval_reason);
	jsonw_bool(w, "edited", ex->edited);
	jsonw_object_end(w);
}

static void
verdict(struct jsonw *w, const struct exchange *ex)
{
	const struct policy_verdict *v = &ex->verdict;
	enum conf_effect e = v->effect;

	if (e == CONF_HOLD && ex->consumed)
		e = CONF_ALLOW;
	jsonw_str(w, "verdict", conf_effect_names[e]);
	if (ex->reason != REASON_NONE)
		jsonw_str(w, "reason", reason_word(ex->reason));
	if (ex->detail != NULL && ex->detail[0] != '\0')
		jsonw_str(w, "detail", ex->detail);
	jsonw_str(w, "policy", ex->approval_id != NULL ? "approval" :
	    v->by != NULL ? v->by : ex->reason != REASON_NONE &&
	    reason_is_exception(ex->reason) ? "exception" : "gateway");
	if (v->observed) {
		jsonw_bool(w, "observed", true);
		jsonw_str(w, "would", conf_effect_names[v->would]);
	}
	if (ex->advice_rule != NULL && ex->advice_rule[0] != '\0')
		jsonw_str(w, "rule", ex->advice_rule);
}

int
record_decision(struct exchange *ex, emit_done_fn *done)
{
	struct buf *b = spare_event(ex->f, EVENT_MAX);
	struct jsonw w;
	int r = -1;

	/* Arguments are recorded only as the redactor left them. */
	record_call(ex, &w, b, ex->decision, EVENT_CALL_DECISION,
	    ex->arguments.n > 0 || ex->responses.n > 0);
	verdict(&w, ex);
	redactions(&w, &ex->redact_out);
	approval(&w, ex);
	jsonw_str(&w, "snapshot", ex->view->name);
	event_end(&w);
	if (!b->full)
		r = emit_event(ex->f->emit, ex->decision, ex->call,
		    buf_slice(b), done, ex);
	if (r == 0)
		ex->recorded = true;	/* queued: it will be, in order */
	return r;
}

void
record_outcome(struct exchange *ex, const char *status)
{
	struct buf *b = spare_event(ex->f, EVENT_MAX);
	struct uuid id = uuid_v7();
	struct jsonw w;

	record_call(ex, &w, b, id, EVENT_CALL_OUTCOME, false);
	jsonw_str(&w, "status", status);
	if (ex->reason != REASON_NONE)
		jsonw_str(&w, "reason", reason_word(ex->reason));
	if (ex->detail != NULL && ex->detail[0] != '\0')
		jsonw_str(&w, "detail", ex->detail);
	if (ex->status != 0)
		jsonw_int(&w, "http_status", ex->status);
	if (ex->ws != NULL)
		websocket_record(ex, &w);
	if (ex->resent)
		jsonw_int(&w, "resent", 1);
	if (ex->cached) {
		jsonw_bool(&w, "cached", true);
		jsonw_u64(&w, "cached_ms", ex->cached_ms);
	}
	jsonw_u64(&w, "bytes_in", ex->bytes_in);
	jsonw_u64(&w, "bytes_out", ex->bytes_out);
	jsonw_u64(&w, "duration_us", (clock_mono_ns() - ex->start_ns) / 1000);
	redactions(&w, &ex->redact_back);
	if (ex->nflags > 0) {
		jsonw_array(&w, "flags");
		for (size_t i = 0; i < ex->nflags; i++)
			jsonw_str(&w, NULL, ex->flags[i]);
		jsonw_array_end(&w);
	}
	/* One JSON text goes in as it is; several (a stream), text, or a
	 * part, as a string. */
	if (ex->result.len > 0 && ex->result_json && !ex->result_truncated)
		jsonw_raw(&w, "result", buf_slice(&ex->result));
	else if (ex->result.len > 0)
		jsonw_slice(&w, "result", buf_slice(&ex->result));
	if (ex->result_truncated)
		jsonw_bool(&w, "result_truncated", true);
	event_end(&w);
	if (b->full || emit_later(ex->f->emit, id, ex->call,
	    buf_slice(b)) != 0)
		log_error("event queue full: an outcome is lost; the recorder "
		    "will say unknown");
}

void
record_exception(struct exchange *ex, enum reason r, bool allowed,
    const char *detail)
{
	struct uuid id = uuid_v7();
	char call[UUID_TEXT_LEN];
	struct jsonw w;
	struct buf b;

	buf_init(&b, 65536);
	event_begin(&w, &b, id, EVENT_EXCEPTION, ROLE_PROXY);
	if (ex->is_call) {
		uuid_format(ex->call, call);
		jsonw_str(&w, "call", call);
	}
	if (ex->session != NULL)
		principal(&w, &ex->session->who);
	if (ex->con != NULL)
		jsonw_str(&w, "connector", ex->con->name);
	jsonw_str(&w, "reason", reason_word(r));
	jsonw_str(&w, "verdict", allowed ? "allow" : "deny");
	jsonw_str(&w, "detail", detail);
	event_end(&w);
	if (emit_event(ex->f->emit, id, ex->call, buf_slice(&b), NULL,
	    NULL) != 0)
		log_error("event queue full: exception %s is unrecorded",
		    reason_word(r));
	buf_free(&b);
}

void
record_refused(struct flow *f, const struct conn *c, enum event_type t,
    enum reason r, const char *host, const char *detail, struct uuid *id_r)
{
	struct uuid id = uuid_v7(), none = { { 0 } };
	const struct exchange *ex = c->ex;
	struct jsonw w;
	struct buf b;

	buf_init(&b, 65536);
	event_begin(&w, &b, id, t, ROLE_PROXY);
	if (ex != NULL && ex->session != NULL)
		principal(&w, &ex->session->who);
	jsonw_str(&w, "source", c->source);
	jsonw_str(&w, "transport", conf_listener_names[c->kind]);
	if (ex != NULL && ex->con != NULL)
		jsonw_str(&w, "connector", ex->con->name);
	if (host != NULL && host[0] != '\0')
		jsonw_str(&w, "host", host);
	jsonw_str(&w, "reason", reason_word(r));
	if (detail != NULL)
		jsonw_str(&w, "detail", detail);
	event_end(&w);
	if (emit_event(f->emit, id, none, buf_slice(&b), NULL, NULL) != 0)
		log_error("event queue full: a refusal is unrecorded");
	buf_free(&b);
	if (id_r != NULL)
		*id_r = id;
}

void
record_stdio(const struct exchange *ex, const char *phase,
    struct slice detail)
{
	struct uuid id = uuid_v7(), none = { { 0 } };
	struct jsonw w;
	struct buf b;

	buf_init(&b, 65536);
	event_begin(&w, &b, id, EVENT_STDIO_SERVER, ROLE_PROXY);
	principal(&w, &ex->session->who);
	jsonw_str(&w, "source", ex->c->source);
	jsonw_str(&w, "transport", "stdio");
	jsonw_str(&w, "connector", ex->con->name);
	jsonw_str(&w, "phase", phase);
	jsonw_slice(&w, "detail", detail);
	event_end(&w);
	if (emit_event(ex->f->emit, id, none, buf_slice(&b), NULL, NULL) != 0)
		log_error("event queue full: what a stdio server did is "
		    "unrecorded");
	buf_free(&b);
}

int
record_spliced(struct flow *f, const struct conn *c, struct uuid id,
    const char *phase, const struct principal *who, uint64_t up,
    uint64_t down, emit_done_fn *done, void *ctx)
{
	struct uuid none = { { 0 } };
	struct jsonw w;
	struct buf b;
	int r;

	buf_init(&b, 65536);
	event_begin(&w, &b, id, EVENT_CONNECTION_SPLICED, ROLE_PROXY);
	principal(&w, who);
	jsonw_str(&w, "source", c->source);
	jsonw_str(&w, "host", c->authority.host);
	jsonw_int(&w, "port", c->authority.port);
	jsonw_str(&w, "phase", phase);
	jsonw_u64(&w, "bytes_in", up);
	jsonw_u64(&w, "bytes_out", down);
	event_end(&w);
	r = emit_event(f->emit, id, none, buf_slice(&b), done, ctx);
	if (r != 0)
		log_error("a spliced connection could not be recorded");
	buf_free(&b);
	return r;
}

/* All a person needs to decide: nothing is hidden, credentials by name. */
void
record_card(struct exchange *ex, struct jsonw *w, struct buf *b)
{
	const struct connector *con = ex->con;
	char hex[2 * ACTION_DIGEST + 1];

	jsonw_init(w, b);
	jsonw_object(w, NULL);
	principal(w, &ex->session->who);
	jsonw_str(w, "source", ex->c->source);
	jsonw_str(w, "transport", transport(ex));
	jsonw_str(w, "connector", con->name);
	jsonw_str(w, "owner", con->owner);
	jsonw_str(w, "environment", ex->action.environment);
	jsonw_str(w, "data_class", con->data_class);
	jsonw_str(w, "risk", con->risk);
	jsonw_slice(w, "method", ex->action.method);
	jsonw_slice(w, "tool", ex->action.tool);
	jsonw_str(w, "target", ex->action.target);
	jsonw_str(w, "class", conf_class_names[ex->action.klass]);
	if (ex->raised_from != NULL)
		jsonw_str(w, "raised_from", ex->raised_from);
	if (ex->device_class != NULL)
		jsonw_str(w, "device_class", ex->device_class);
	jsonw_str(w, "held_by", ex->verdict.by);
	jsonw_str(w, "reason", reason_word(ex->verdict.reason));
	if (ex->advice_rule != NULL && ex->advice_rule[0] != '\0') {
		jsonw_str(w, "rule", ex->advice_rule);
		jsonw_str(w, "rule_title", ex->advice_title);
	}
	if (con->credential[0] != '\0')
		jsonw_str(w, "credential", con->credential);
	redactions(w, &ex->redact_out);
	hex_encode(ex->digest, ACTION_DIGEST, hex);
	jsonw_str(w, "digest", hex);
	if (ex->arguments.n > 0)
		jsonw_raw(w, "arguments", ex->arguments);
	if (ex->responses.n > 0)
		jsonw_raw(w, "input_responses", ex->responses);
	jsonw_slice(w, "body", ex->new_body.len > 0 ?
	    buf_slice(&ex->new_body) : buf_slice(&ex->body));
	jsonw_object_end(w);
}
