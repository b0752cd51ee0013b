/*
 * broker_approval - what people see of held calls, and their decisions.
 *
 * A yes: self-approval and a stale digest are refused, then the ledger, then
 * state.db, then the proxy. A no acts at once.
 */
#include "gateway/broker_int.h"

#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "codec.h"
#include "json.h"
#include "reason.h"

static void
write_hold(struct jsonw *w, const struct hold *h)
{
	char id[HOLD_ID_LEN], call[UUID_TEXT_LEN], digest[65];

	hold_id_format(h->id, id);
	uuid_format(h->call, call);
	hex_encode(h->digest, HOLD_DIGEST, digest);
	jsonw_str(w, "id", id);
	jsonw_str(w, "state", hold_state_name(h->state));
	jsonw_str(w, "call", call);
	jsonw_str(w, "session", h->session);
	jsonw_str(w, "user", h->user);
	jsonw_str(w, "agent", h->agent);
	jsonw_str(w, "connector", h->connector);
	jsonw_str(w, "tool", h->tool);
	jsonw_str(w, "digest", digest);
	jsonw_str(w, "by", h->by);
	jsonw_str(w, "reason", h->reason);
	op_time(w, "created", h->created);
	op_time(w, "expires", h->expires);
	op_time(w, "decided", h->decided);
	op_time(w, "consumed", h->consumed);
	op_time(w, "ended", h->ended);
}

/* One member of the card that a list shows. */
static void
copy_member(struct jsonw *w, const struct json_doc *d, const char *key)
{
	uint32_t n = json_member(d, 0, key);

	if (n != JSON_NONE && json_raw(d, n).n <= 4096)
		jsonw_raw(w, key, json_raw(d, n));
}

static int
ls_hold(void *ctx, const struct hold *h)
{
	struct jsonw *w = ctx;
	struct json_doc d;

	json_init(&d);
	jsonw_object(w, NULL);
	write_hold(w, h);
	if (json_index(&d, slice_str(h->card), NULL) == JSON_OK) {
		copy_member(w, &d, "class");
		copy_member(w, &d, "flags");
		copy_member(w, &d, "trust");
	}
	jsonw_object_end(w);
	json_free(&d);
	return 0;
}

void
op_approval_ls(struct broker_op *op)
{
	bool all = op->req.num[OPREQ_ALL] != 0;

	op_ok(op);
	jsonw_array(&op->w, "approvals");
	if (state_hold_each(op->b->st, all ? ~0u : 1u << HOLD_PENDING,
	    all ? 200 : BROKER_HELD_MAX, ls_hold, &op->w) != 0) {
		op_fail(op, "failed", "state.db could not be read");
		return;
	}
	jsonw_array_end(&op->w);
	op_end(op);
}

static int
pending_name(void *ctx, const struct hold *h)
{
	char id[HOLD_ID_LEN];

	hold_id_format(h->id, id);
	broker_names_add(ctx, slice_str(id));
	return 0;
}

/* NULL, and the op ended: there is none such. *owned* */
static struct hold *
op_hold(struct broker_op *op)
{
	const char *text = op_text(op, OPREQ_ID);
	struct broker_names known = { 0 };
	struct hold *h = NULL;
	int64_t id;

	if (hold_id_parse(slice_str(text), &id) &&
	    (h = state_hold_get(op->b->st, id)) != NULL)
		return h;
	(void)state_hold_each(op->b->st, 1u << HOLD_PENDING, 100,
	    pending_name, &known);
	op_fail_unknown(op, "approval", text, &known);
	broker_names_free(&known);
	return NULL;
}

void
op_approval_show(struct broker_op *op)
{
	struct hold *h = op_hold(op);

	if (h == NULL)
		return;
	op_ok(op);
	jsonw_object(&op->w, "approval");
	write_hold(&op->w, h);
	jsonw_raw(&op->w, "card", slice_str(h->card));
	if (h->edited != NULL)
		jsonw_raw(&op->w, "edited", slice_str(h->edited));
	jsonw_object_end(&op->w);
	op_end(op);
	hold_free(h);
}

/* What may be decided, or NULL and the op ended. */
static struct broker_held *
op_decidable(struct broker_op *op, enum hold_event event)
{
	struct broker_held *v;
	enum hold_state to;
	struct hold *h = op_hold(op);
	char id[HOLD_ID_LEN];

	if (h == NULL)
		return NULL;
	hold_id_format(h->id, id);
	v = held_by_id(op->b, h->id);
	if (v == NULL || !hold_next(h->state, event, &to)) {
		op_fail(op, "conflict", "%s is %s%s%s%s%s", id,
		    hold_state_name(h->state),
		    h->by != NULL && h->by[0] != '\0' ? " by " : "",
		    h->by != NULL ? h->by : "",
		    h->reason != NULL && h->reason[0] != '\0' ? ": " : "",
		    h->reason != NULL ? h->reason : "");
		v = NULL;
	} else if (v->deciding) {
		op_fail(op, "conflict", "%s is just being decided", id);
		v = NULL;
	}
	hold_free(h);
	return v;
}

/* A yes needs another person than the one who asked. */
static bool
self_approval(struct broker_op *op, const struct hold *h)
{
	const char *as = op->req.text[OPREQ_AS];

	if (strcmp(op->peer, h->user) != 0 &&
	    (as == NULL || strcmp(as, h->user) != 0))
		return false;
	op_fail(op, "refused", "A-%lld was asked for by %s: nobody approves"
	    " the own agent's call; another person must", (long long)h->id,
	    h->user);
	return true;
}

static bool
digest_stale(struct broker_op *op, const struct hold *h)
{
	const char *seen = op->req.text[OPREQ_DIGEST];
	char now[65];

	hex_encode(h->digest, HOLD_DIGEST, now);
	if (seen == NULL || (strlen(seen) >= 8 &&
	    slice_starts(slice_str(now), seen)))
		return false;
	op_fail(op, "conflict", "A-%lld is not what you saw: its digest is"
	    " %.16s..., yours %.16s; look at it again", (long long)h->id, now,
	    seen);
	return true;
}

static void
decided_event(struct broker_op *op, struct broker_event *e,
    const struct hold *h, const char *verdict)
{
	held_event(e, EVENT_APPROVAL_DECIDED, h, verdict);
	jsonw_str(&e->w, "by", op->by);
	jsonw_str(&e->w, "reason", op_text(op, OPREQ_REASON));
	jsonw_bool(&e->w, "edited", op->req.text[OPREQ_ARGUMENTS] != NULL);
	jsonw_object_end(&e->w);
	if (op->req.text[OPREQ_ARGUMENTS] != NULL)
		jsonw_raw(&e->w, "arguments",
		    slice_str(op->req.text[OPREQ_ARGUMENTS]));
}

static void
reply_decided(struct broker_op *op, const struct hold *h)
{
	op_ok(op);
	jsonw_object(&op->w, "approval");
	write_hold(&op->w, h);
	jsonw_object_end(&op->w);
	op_end(op);
}

/* The yes is in the ledger: now it is stored, then it is said. */
static void
yes_recorded(struct broker_op *op)
{
	struct broker *b = op->b;
	struct broker_held *v = held_find(b, op->call);
	const char *args = op->req.text[OPREQ_ARGUMENTS];
	int r;

	if (v == NULL) {
		op_fail(op, "conflict", "%s ended while the decision was"
		    " being recorded", op_text(op, OPREQ_ID));
		return;
	}
	v->deciding = false;
	if (!op->committed) {
		op_fail(op, "unavailable", "the ledger does not record: %s"
		    " is still pending", op_text(op, OPREQ_ID));
		return;
	}
	if (args != NULL)
		r = held_edit(b, v->h, op->by, op_text(op, OPREQ_REASON), args);
	else
		r = hold_approve(b->st, v->h, op->by,
		    op_text(op, OPREQ_REASON));
	if (r == HOLD_NO) {
		op_fail(op, "conflict", "%s is %s", op_text(op, OPREQ_ID),
		    hold_state_name(v->h->state));
		return;
	}
	if (r != 0 || broker_commit(b) != 0) {
		/* Memory says yes, the disk does not: no. */
		if ((v = held_find(b, op->call)) != NULL)
			held_end_cancelled(b, v, op->by, "state.db failed",
			    REASON_BROKER, true);
		op_fail(op, "failed", "state.db could not store the decision:"
		    " the call is refused");
		return;
	}
	held_send_standing(b, v);
	reply_decided(op, v->h);
}

static void
say_yes(struct broker_op *op, enum hold_event event, const char *verdict)
{
	struct broker_held *v = op_decidable(op, event);
	struct broker_event e;

	if (v == NULL || self_approval(op, v->h) || digest_stale(op, v->h))
		return;
	if (v->h->expires <= clock_wall_ms()) {
		op_fail(op, "conflict", "%s has expired",
		    op_text(op, OPREQ_ID));
		return;
	}
	op->call = v->h->call;
	v->deciding = true;
	decided_event(op, &e, v->h, verdict);
	op_record(op, &e, yes_recorded);
}

void
op_approval_approve(struct broker_op *op)
{
	say_yes(op, HOLD_E_APPROVE, "approved");
}

void
op_approval_edit(struct broker_op *op)
{
	say_yes(op, HOLD_E_EDIT, "edited");
}

/* A no acts at once; it also takes back a yes that was not used yet. */
void
op_approval_deny(struct broker_op *op)
{
	struct broker *b = op->b;
	struct broker_held *v = op_decidable(op, HOLD_E_DENY);
	struct broker_event e;
	bool stored;

	if (v == NULL)
		return;		/* the op has ended */
	stored = hold_deny(b->st, v->h, op->by,
	    op_text(op, OPREQ_REASON)) == 0;
	held_send_verdict(b, v->owner, &v->h->call, VERDICT_DENY, v->h->id, op->by,
	    op_text(op, OPREQ_REASON), "");
	decided_event(op, &e, v->h, "denied");
	op_note(op, &e);
	v->unsaved = false;	/* it has its verdict */
	stored = broker_commit(b) == 0 && stored;
	if (stored)
		reply_decided(op, v->h);
	else
		op_fail(op, "failed", "the call is refused, but state.db"
		    " could not store it");
	held_remove(b, v, true);
}
