/*
 * broker_hold - held calls: proxies bring them, people decide them
 * (broker_approval.c), a proxy uses what was decided, once.
 *
 * In memory is what is not over; state.db holds all of it, hold.c alone says
 * what may follow what. A yes goes to the proxy when its event and its row
 * are durable; a no at once.
 */
#include "gateway/broker_int.h"

#include <stdio.h>
#include <stdlib.h>

#include "action.h"
#include "clock.h"
#include "json.h"
#include "log.h"
#include "reason.h"

#define CARD_MAX (16u << 20)
#define REASON_MAX 1024

static struct slice
call_key(const struct uuid *call)
{
	return slice_make(call->b, sizeof(call->b));
}

struct broker_held *
held_find(struct broker *b, struct uuid call)
{
	return map_get(&b->by_call, call_key(&call));
}

struct broker_held *
held_by_id(struct broker *b, int64_t id)
{
	list_each(it, &b->held) {
		struct broker_held *v = list_entry(it, struct broker_held,
		    link);

		if (v->h->id == id)
			return v;
	}
	return NULL;
}

static bool
waits(const struct broker_held *v)
{
	return !hold_is_final(v->h->state);
}

/* *takes* h. */
static struct broker_held *
held_add(struct broker *b, struct hold *h, int owner)
{
	struct broker_held *v = base_calloc(1, sizeof(*v));

	v->h = h;
	v->owner = owner;
	list_append(&b->held, &v->link);
	map_put(&b->by_call, call_key(&h->call), v);
	b->waiting++;
	return v;
}

/* waits() was true when it was counted; consumed ones were taken off. */
void
held_remove(struct broker *b, struct broker_held *v, bool counted)
{
	list_remove(&v->link);
	map_del(&b->by_call, call_key(&v->h->call));
	if (counted)
		b->waiting--;
	hold_free(v->h);
	free(v);
}

void
held_free_all(struct broker *b)
{
	list_each_safe(it, tmp, &b->held)
		held_remove(b, list_entry(it, struct broker_held, link),
		    false);
	b->waiting = 0;
}

/* -- to the proxy -- */

void
held_send_verdict(struct broker *b, int proxy, const struct uuid *call,
    unsigned verdict, int64_t id, const char *by, const char *reason,
    const char *arguments)
{
	struct buf *m;
	char name[HOLD_ID_LEN] = "";

	if (proxy < 0 || (m = broker_proxy_begin(&b->proxies[proxy],
	    MSG_HOLD_VERDICT)) == NULL)
		return;
	if (id != 0)
		hold_id_format(id, name);
	pack_bytes(m, call->b, 16);
	pack_u8(m, (uint8_t)verdict);
	pack_str(m, name);
	pack_str(m, by);
	pack_str(m, reason);
	pack_str(m, arguments);
	broker_proxy_end(&b->proxies[proxy]);
}

/* What stands in state.db, said (again) to the owner. */
void
held_send_standing(struct broker *b, const struct broker_held *v)
{
	const struct hold *h = v->h;

	if (h->state == HOLD_APPROVED)
		held_send_verdict(b, v->owner, &h->call, VERDICT_APPROVE, h->id,
		    h->by, h->reason, "");
	else if (h->state == HOLD_EDITED)
		held_send_verdict(b, v->owner, &h->call, VERDICT_EDIT, h->id,
		    h->by, h->reason, h->edited);
}

/* -- events -- */

void
held_event(struct broker_event *e, enum event_type t, const struct hold *h,
    const char *verdict)
{
	char call[UUID_TEXT_LEN], id[HOLD_ID_LEN];

	uuid_format(h->call, call);
	hold_id_format(h->id, id);
	broker_event_begin(e, t);
	e->call = h->call;
	jsonw_str(&e->w, "call", call);
	jsonw_str(&e->w, "session", h->session);
	jsonw_str(&e->w, "user", h->user);
	jsonw_str(&e->w, "agent", h->agent);
	jsonw_str(&e->w, "connector", h->connector);
	jsonw_str(&e->w, "tool", h->tool);
	jsonw_object(&e->w, "approval");
	jsonw_str(&e->w, "id", id);
	jsonw_str(&e->w, "verdict", verdict);
}

static void
event_ended(struct broker *b, const struct hold *h, enum reason word)
{
	struct broker_event e;

	held_event(&e, EVENT_APPROVAL_ENDED, h, hold_state_name(h->state));
	jsonw_str(&e.w, "by", h->by);
	jsonw_object_end(&e.w);
	jsonw_str(&e.w, "reason", reason_word(word));
	jsonw_str(&e.w, "detail", h->reason);
	(void)broker_event_send(b, &e, NULL, NULL);
}

/* -- ends that are no person's decision -- */

/* v is gone afterwards. The database may fail: the row then stays open and
 * the next start ends it; the waiting call is refused now in any case. */
void
held_end_cancelled(struct broker *b, struct broker_held *v, const char *by,
    const char *reason, enum reason word, bool tell)
{
	if (hold_cancel(b->st, v->h, by, reason) != 0)
		log_error("approval A-%lld could not be cancelled in state.db",
		    (long long)v->h->id);
	else
		event_ended(b, v->h, word);
	if (tell) {
		char why[REASON_MAX + 32];

		/* The proxy knows a kill by this word. */
		snprintf(why, sizeof(why), "%s%s", word == REASON_KILLED ?
		    "killed: " : "", reason);
		held_send_verdict(b, v->owner, &v->h->call, VERDICT_DENY,
		    v->h->id, by, why, "");
	}
	held_remove(b, v, true);
	broker_commit_soon(b);
}

static void
end_expired(struct broker *b, struct broker_held *v)
{
	if (hold_expire(b->st, v->h) != 0)
		log_error("approval A-%lld could not expire in state.db",
		    (long long)v->h->id);
	else
		event_ended(b, v->h, REASON_APPROVAL_EXPIRED);
	held_send_verdict(b, v->owner, &v->h->call, VERDICT_DENY, v->h->id, "",
	    "expired: nobody decided in time", "");
	held_remove(b, v, true);
	broker_commit_soon(b);
}

/* Used, and whoever used it is gone: nobody knows whether it was sent. */
static void
end_lost(struct broker *b, struct broker_held *v)
{
	if (hold_lost(b->st, v->h) == 0) {
		free(v->h->reason);
		v->h->reason = base_strdup("the proxy went away between the"
		    " use of the approval and the outcome");
		event_ended(b, v->h, REASON_NONE);
	}
	held_remove(b, v, false);
	broker_commit_soon(b);
}

void
held_proxy_gone(struct broker *b, unsigned index)
{
	list_each_safe(it, tmp, &b->held) {
		struct broker_held *v = list_entry(it, struct broker_held,
		    link);

		if (v->owner != (int)index)
			continue;
		v->owner = -1;
		if (waits(v))
			held_end_cancelled(b, v, "", "orphaned: the proxy went"
			    " away", REASON_NONE, false);
		else
			end_lost(b, v);
	}
}

unsigned
held_cancel_target(struct broker *b, const struct target *t, const char *by,
    const char *reason)
{
	unsigned n = 0;

	list_each_safe(it, tmp, &b->held) {
		struct broker_held *v = list_entry(it, struct broker_held,
		    link);
		struct target_call c = { v->h->connector, v->h->tool,
			v->h->agent, v->h->session, v->h->user };

		if (!waits(v) || !target_covers(t, &c))
			continue;
		held_end_cancelled(b, v, by, reason, t->kind == TARGET_SESSION &&
		    strncmp(reason, "the session", 11) == 0 ?
		    REASON_BAD_TOKEN : REASON_KILLED, true);
		n++;
	}
	return n;
}

void
held_tick(struct broker *b, int64_t now)
{
	bool late = clock_mono_ms() - b->started_ms > BROKER_ORPHAN_MS;

	list_each_safe(it, tmp, &b->held) {
		struct broker_held *v = list_entry(it, struct broker_held,
		    link);

		if (!waits(v))
			continue;
		if (v->h->expires <= now)
			end_expired(b, v);
		else if (v->owner < 0 && late)
			held_end_cancelled(b, v, "", "orphaned: no proxy holds"
			    " this call any more", REASON_NONE, false);
	}
}

void
held_batch_lost(struct broker *b)
{
	list_each_safe(it, tmp, &b->held) {
		struct broker_held *v = list_entry(it, struct broker_held,
		    link);

		if (!v->unsaved)
			continue;
		held_send_verdict(b, v->owner, &v->h->call, VERDICT_DENY, 0, "",
		    reason_word(REASON_BROKER), "");
		held_remove(b, v, true);
	}
}

void
held_batch_saved(struct broker *b)
{
	list_each(it, &b->held)
		list_entry(it, struct broker_held, link)->unsaved = false;
}

/* -- at start -- */

static int
load_one(void *ctx, const struct hold *h)
{
	struct broker *b = ctx;
	struct hold *copy = state_hold_get(b->st, h->id);

	if (copy != NULL)
		held_add(b, copy, -1);
	return 0;
}

int
held_load(struct broker *b, struct err *err)
{
	unsigned open = 1u << HOLD_PENDING | 1u << HOLD_APPROVED |
	    1u << HOLD_EDITED;
	int n = hold_recover(b->st);

	if (n < 0 || state_hold_each(b->st, open, UINT32_MAX >> 1, load_one,
	    b) != 0) {
		err_set(err, "state.db: approvals cannot be read");
		return -1;
	}
	if (n > 0)
		log_warn("%d approvals were used and their outcome is not"
		    " known: marked ambiguous", n);
	return 0;
}

/* -- HOLD -- */

struct card {
	struct json_doc d;
	char *connector, *environment, *method, *tool, *target;
	struct slice arguments;
};

static void
card_free(struct card *c)
{
	json_free(&c->d);
	free(c->connector);
	free(c->environment);
	free(c->method);
	free(c->tool);
	free(c->target);
}

/* "" when absent or null. */
static char *
card_text(const struct card *c, const char *key)
{
	char *s = json_strdup(&c->d, json_member(&c->d, 0, key));

	return s == NULL ? base_strdup("") : s;
}

static int
card_parse(struct card *c, struct slice json)
{
	uint32_t arguments;

	memset(c, 0, sizeof(*c));
	json_init(&c->d);
	if (json_index(&c->d, json, NULL) != JSON_OK ||
	    json_typeof(&c->d, 0) != JSON_OBJECT)
		return -1;
	c->connector = card_text(c, "connector");
	c->environment = card_text(c, "environment");
	c->method = card_text(c, "method");
	c->tool = card_text(c, "tool");
	c->target = card_text(c, "target");
	arguments = json_member(&c->d, 0, "arguments");
	c->arguments = arguments == JSON_NONE ? SLICE("") :
	    json_raw(&c->d, arguments);
	return c->connector[0] == '\0' ? -1 : 0;
}

/* The digest that a call with these arguments has; what the card shows and
 * what the digest covers are then the same. The principal is ours. */
static void
card_digest(const struct card *c, const struct hold *h,
    struct slice arguments, uint8_t out[HOLD_DIGEST])
{
	struct principal who = { .session = h->session, .user = h->user,
		.agent = h->agent };
	struct action a = { .who = &who, .connector = c->connector,
		.environment = c->environment, .method = slice_str(c->method),
		.tool = slice_str(c->tool), .target = c->target,
		.arguments = arguments };

	_Static_assert(HOLD_DIGEST == ACTION_DIGEST, "the same digest");
	action_digest(&a, out);
}

static int
principal_keep(void *ctx, const struct state_session *s)
{
	struct hold *h = ctx;

	h->user = base_strdup(s->user);
	h->agent = base_strdup(s->agent);
	return 0;
}

static void
event_requested(struct broker *b, const struct hold *h,
    const struct card *card)
{
	uint32_t flags = json_member(&card->d, 0, "flags");
	uint32_t class = json_member(&card->d, 0, "class");
	struct broker_event e;

	held_event(&e, EVENT_APPROVAL_REQUESTED, h, "pending");
	op_time(&e.w, "expires", h->expires);
	jsonw_object_end(&e.w);
	if (class != JSON_NONE)
		jsonw_raw(&e.w, "class", json_raw(&card->d, class));
	if (flags != JSON_NONE)
		jsonw_raw(&e.w, "flags", json_raw(&card->d, flags));
	(void)broker_event_send(b, &e, NULL, NULL);
}

static bool
over_budget(struct broker *b, struct slice session)
{
	unsigned n = 0;

	if (b->waiting >= BROKER_HELD_MAX)
		return true;
	list_each(it, &b->held) {
		struct broker_held *v = list_entry(it, struct broker_held,
		    link);

		n += waits(v) && slice_is(session, v->h->session);
	}
	return n >= BROKER_HELD_SESSION_MAX;
}

struct hold_msg {
	struct uuid call;
	uint8_t digest[HOLD_DIGEST];
	int64_t expires;
	struct slice card_json, session, rpc_id;
	struct card card;
};

/* NULL: it may be held; else why not. */
static const char *
hold_refusal(struct broker *b, const struct hold *h,
    const struct hold_msg *m)
{
	uint8_t digest[HOLD_DIGEST];

	if (h->user == NULL)
		return "the session is not known";
	card_digest(&m->card, h, m->card.arguments, digest);
	if (!base_equal_ct(digest, m->digest, HOLD_DIGEST))
		return "the card is not what the digest covers";
	if (over_budget(b, m->session))
		return "too many calls are held already";
	return NULL;
}

static void
hold_new(struct broker_proxy *p, const struct hold_msg *m)
{
	struct hold *h = base_calloc(1, sizeof(*h));
	struct broker *b = p->b;
	const char *no;

	h->session = slice_dup(m->session);
	(void)state_session_get(b->st, h->session, principal_keep, h);
	if ((no = hold_refusal(b, h, m)) == NULL) {
		h->call = m->call;
		memcpy(h->digest, m->digest, HOLD_DIGEST);
		h->expires = m->expires;
		h->rpc_id = slice_dup(m->rpc_id);
		h->connector = base_strdup(m->card.connector);
		h->tool = base_strdup(m->card.tool[0] != '\0' ?
		    m->card.tool : m->card.method);
		h->card = slice_dup(m->card_json);
		/* Fails too when this call was held before and is over. */
		if (hold_create(b->st, h) != 0)
			no = reason_word(REASON_BROKER);
	}
	if (no != NULL) {
		log_warn("a call of %s was not held: %s", h->session, no);
		held_send_verdict(b, (int)p->index, &m->call, VERDICT_DENY, 0, "",
		    no, "");
		hold_free(h);
		return;
	}
	struct broker_held *v = held_add(b, h, (int)p->index);

	v->unsaved = true;
	event_requested(b, h, &m->card);
	broker_commit_soon(b);
}

/* Held already: a proxy comes back after this broker was restarted. */
static void
hold_attach(struct broker_proxy *p, struct broker_held *v,
    const struct hold_msg *m)
{
	struct broker *b = p->b;
	/* That of an edited call is of what the person wrote. */
	bool same = v->h->state == HOLD_EDITED ||
	    memcmp(m->digest, v->h->digest, HOLD_DIGEST) == 0;

	if (v->owner >= 0 || !waits(v)) {
		log_error("proxy %u holds call A-%lld a second time",
		    p->index, (long long)v->h->id);
		held_send_verdict(b, (int)p->index, &m->call, VERDICT_DENY, 0, "",
		    "held or used already", "");
		return;
	}
	v->owner = (int)p->index;
	if (!same)
		held_end_cancelled(b, v, "", "the call changed while it was held",
		    REASON_NONE, true);
	else
		held_send_standing(b, v);
}

int
held_on_hold(struct broker_proxy *p, struct slice body)
{
	struct hold_msg m = { .expires = 0 };
	struct broker_held *v;
	struct unpack u;
	int r = -1;

	unpack_init(&u, body);
	unpack_bytes(&u, m.call.b, 16);
	unpack_bytes(&u, m.digest, HOLD_DIGEST);
	m.expires = unpack_i64(&u);
	m.card_json = unpack_slice(&u);
	m.session = unpack_slice(&u);
	m.rpc_id = unpack_slice(&u);
	if (!unpack_done(&u) || m.session.n > OPREQ_NAME_MAX ||
	    m.rpc_id.n > REASON_MAX || m.card_json.n > CARD_MAX ||
	    memchr(m.session.p, 0, m.session.n) != NULL ||
	    memchr(m.rpc_id.p, 0, m.rpc_id.n) != NULL)
		return -1;
	if (card_parse(&m.card, m.card_json) == 0) {
		if ((v = held_find(p->b, m.call)) == NULL)
			hold_new(p, &m);
		else
			hold_attach(p, v, &m);
		r = 0;
	}
	card_free(&m.card);
	return r;
}

/* -- the other messages of a proxy -- */

/* Text for a person from a proxy: bounded. */
static char *
bounded(struct slice s)
{
	return slice_dup(slice_sub(s, 0, REASON_MAX));
}

static struct broker_held *
owned(struct broker_proxy *p, struct uuid call)
{
	struct broker_held *v = held_find(p->b, call);

	return v != NULL && v->owner == (int)p->index ? v : NULL;
}

int
held_on_cancel(struct broker_proxy *p, struct slice body)
{
	struct broker_held *v;
	struct uuid call;
	struct unpack u;

	unpack_init(&u, body);
	unpack_bytes(&u, call.b, 16);
	struct slice why = unpack_slice(&u);

	if (!unpack_done(&u))
		return -1;
	if ((v = owned(p, call)) != NULL && waits(v)) {
		char *reason = bounded(why);

		held_end_cancelled(p->b, v, "", reason, REASON_NONE, false);
		free(reason);
	}
	return 0;
}

static void
answer_consume(struct broker_proxy *p, struct uuid call, bool ok,
    const char *reason)
{
	struct buf *m = broker_proxy_begin(p, MSG_CONSUMED);

	if (m == NULL)
		return;
	pack_bytes(m, call.b, 16);
	pack_u8(m, ok);
	pack_str(m, reason);
	broker_proxy_end(p);
}

int
held_on_consume(struct broker_proxy *p, struct slice body)
{
	static const char *const words[] = {
		[HOLD_USE_NO] = "this call is not approved",
		[HOLD_USE_DIGEST] = "what would be sent is not what was"
		    " approved",
		[HOLD_USE_EXPIRED] = "the approval expired",
		[HOLD_USE_FAILED] = "the use could not be stored",
		[HOLD_USE_OK] = "",
	};
	uint8_t digest[HOLD_DIGEST];
	enum hold_use use = HOLD_USE_NO;
	struct broker_event e;
	struct broker_held *v;
	struct uuid call;
	struct unpack u;

	unpack_init(&u, body);
	unpack_bytes(&u, call.b, 16);
	unpack_bytes(&u, digest, sizeof(digest));
	if (!unpack_done(&u))
		return -1;
	if ((v = owned(p, call)) != NULL)
		use = hold_consume(p->b->st, v->h, digest);
	if (use == HOLD_USE_OK) {
		p->b->waiting--;
		held_batch_saved(p->b);
		held_event(&e, EVENT_APPROVAL_CONSUMED, v->h, "consumed");
		jsonw_str(&e.w, "by", v->h->by);
		jsonw_bool(&e.w, "edited", v->h->edited != NULL);
		jsonw_object_end(&e.w);
		(void)broker_event_send(p->b, &e, NULL, NULL);
	}
	answer_consume(p, call, use == HOLD_USE_OK, words[use]);
	if (use == HOLD_USE_FAILED)
		held_batch_lost(p->b);
	return 0;
}

int
held_on_done(struct broker_proxy *p, struct slice body)
{
	struct broker_held *v;
	struct uuid call;
	struct unpack u;

	unpack_init(&u, body);
	unpack_bytes(&u, call.b, 16);
	if (!unpack_done(&u))
		return -1;
	if ((v = owned(p, call)) != NULL && v->h->state == HOLD_CONSUMED) {
		if (hold_done(p->b->st, v->h) != 0)
			log_error("the end of A-%lld could not be stored",
			    (long long)v->h->id);
		held_remove(p->b, v, false);
		broker_commit_soon(p->b);
	}
	return 0;
}

/* An agent cancels by (session, JSON-RPC id), perhaps through another proxy
 * than the one that holds the call. */
int
held_on_cancel_call(struct broker_proxy *p, struct slice body)
{
	struct broker *b = p->b;
	struct unpack u;

	unpack_init(&u, body);
	struct slice session = unpack_slice(&u), rpc_id = unpack_slice(&u);

	if (!unpack_done(&u) || rpc_id.n == 0)
		return -1;
	list_each_safe(it, tmp, &b->held) {
		struct broker_held *v = list_entry(it, struct broker_held,
		    link);

		if (waits(v) && slice_is(session, v->h->session) &&
		    slice_is(rpc_id, v->h->rpc_id))
			held_end_cancelled(b, v, "", "cancelled by the agent",
			    REASON_NONE, true);
	}
	for (size_t i = 0; i < BROKER_PROXIES; i++) {
		struct broker_proxy *o = &b->proxies[i];
		struct buf *m;

		if (o == p || !o->synced ||
		    (m = broker_proxy_begin(o, MSG_CANCEL_CALL)) == NULL)
			continue;
		pack_slice(m, session);
		pack_slice(m, rpc_id);
		broker_proxy_end(o);
	}
	return 0;
}

/* An edit is bound to the digest that the call has with these arguments. */
int
held_edit(struct broker *b, struct hold *h, const char *by,
    const char *reason, const char *arguments)
{
	uint8_t digest[HOLD_DIGEST];
	struct card card;
	int r = -1;

	if (card_parse(&card, slice_str(h->card)) == 0) {
		card_digest(&card, h, slice_str(arguments), digest);
		r = hold_edit(b->st, h, by, reason, arguments, digest);
	}
	card_free(&card);
	return r;
}
