/*
 * broker_session - sessions and their tokens.
 *
 * A token is 32 random bytes; it is in the reply that mints it and nowhere
 * else: only the SHA-256 of its text is stored and sent to the proxies.
 */
#include "gateway/broker_int.h"

#include <sodium/crypto_hash_sha256.h>
#include <sodium/utils.h>
#include <stdlib.h>

#include "clock.h"
#include "codec.h"
#include "conf.h"

#define SESSION_DEFAULT_MS ((int64_t)3600 * 1000)
#define SESSION_MAX_MS ((int64_t)30 * 86400 * 1000)

static const char id_digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

static void
put_session(struct broker_proxy *p, const void *what)
{
	const struct state_session *s = what;
	struct buf *m = broker_proxy_begin(p, MSG_SESSION_PUT);

	if (m == NULL)
		return;
	pack_bytes(m, s->hash, 32);
	pack_str(m, s->id);
	pack_str(m, s->user);
	pack_str(m, s->agent);
	pack_str(m, s->task);
	pack_str(m, s->department);
	pack_str(m, s->trust);
	pack_i64(m, s->expires);
	broker_proxy_end(p);
}

static void
del_session(struct broker_proxy *p, const void *what)
{
	const struct state_session *s = what;
	struct buf *m = broker_proxy_begin(p, MSG_SESSION_DEL);

	if (m == NULL)
		return;
	pack_bytes(m, s->hash, 32);
	pack_str(m, s->id);
	broker_proxy_end(p);
}

static int
sync_session(void *ctx, const struct state_session *s)
{
	put_session(ctx, s);
	return 0;
}

int
session_sync(struct broker_proxy *p)
{
	return state_session_each(p->b->st, true, clock_wall_ms(),
	    sync_session, p);
}

static void
event_session(struct broker_event *e, const struct state_session *s)
{
	jsonw_str(&e->w, "session", s->id);
	jsonw_str(&e->w, "user", s->user);
	jsonw_str(&e->w, "agent", s->agent);
	jsonw_str(&e->w, "task", s->task);
	jsonw_str(&e->w, "department", s->department);
	jsonw_str(&e->w, "trust", s->trust);
}

static int
session_taken(void *ctx, const struct state_session *s)
{
	(void)ctx;
	(void)s;
	return 0;
}

/* "s-" and 6 digits of 5 bits that nobody confuses; not taken yet. */
static int
new_session_id(struct broker *b, char id[16])
{
	for (int tries = 0; tries < 32; tries++) {
		uint64_t r = rng_u64();

		memcpy(id, "s-", 2);
		for (int i = 0; i < 6; i++, r >>= 5)
			id[2 + i] = id_digits[r & 31];
		id[8] = '\0';
		if (state_session_get(b->st, id, session_taken, NULL) == 1)
			return 0;
	}
	return -1;
}

/* What the op keeps while the event is being recorded. */
static struct state_session
session_of(const struct broker_op *op)
{
	const char *trust = op->req.text[OPREQ_TRUST];
	struct state_session s = {
		.id = op_text(op, OPREQ_SESSION),
		.user = op_text(op, OPREQ_USER),
		.agent = op_text(op, OPREQ_AGENT),
		.task = op_text(op, OPREQ_TASK),
		.department = op_text(op, OPREQ_DEPARTMENT),
		.trust = trust == NULL ? conf_trust_names[CONF_SUPERVISED] :
		    trust,
		.by = op->by,
	};

	return s;
}

/* Recorded: now the token is drawn, stored as a hash, told to the proxies. */
static void
session_opened(struct broker_op *op)
{
	struct broker *b = op->b;
	struct state_session s = session_of(op);
	unsigned char raw[32];
	struct buf token;

	if (!op->committed) {
		op_fail(op, "unavailable", "the ledger does not record:"
		    " no token was minted");
		return;
	}
	buf_init(&token, 64);
	rng_bytes(raw, sizeof(raw));
	buf_add_str(&token, "prt_");
	b64url_encode(&token, raw, sizeof(raw));
	sodium_memzero(raw, sizeof(raw));
	crypto_hash_sha256(s.hash, (const unsigned char *)buf_data(&token),
	    token.len);
	s.opened = clock_wall_ms();
	s.expires = s.opened + op->req.num[OPREQ_FOR_MS];
	if (state_session_insert(b->st, &s) != 0 || broker_commit(b) != 0) {
		buf_wipe_free(&token);
		op_fail(op, "failed", "state.db could not store the session");
		return;
	}
	registry_each_proxy(b, NULL, put_session, &s);
	broker_flush(b);
	op_ok(op);
	jsonw_str(&op->w, "session", s.id);
	jsonw_slice(&op->w, "token", buf_slice(&token));
	jsonw_str(&op->w, "user", s.user);
	jsonw_str(&op->w, "agent", s.agent);
	jsonw_str(&op->w, "trust", s.trust);
	op_time(&op->w, "expires", s.expires);
	buf_wipe_free(&token);
	op_end(op);
}

void
op_session_open(struct broker_op *op)
{
	const char *trust = op->req.text[OPREQ_TRUST];
	struct broker_names known = { 0 };
	struct broker_event e;
	bool found = trust == NULL;
	char id[16];

	for (int i = 0; i < CONF_TRUSTS; i++) {
		broker_names_add(&known, slice_str(conf_trust_names[i]));
		found |= trust != NULL &&
		    strcmp(trust, conf_trust_names[i]) == 0;
	}
	if (!found) {
		op_fail_unknown(op, "trust level", trust, &known);
		broker_names_free(&known);
		return;
	}
	broker_names_free(&known);
	if (op->req.num[OPREQ_FOR_MS] == 0)
		op->req.num[OPREQ_FOR_MS] = SESSION_DEFAULT_MS;
	if (op->req.num[OPREQ_FOR_MS] > SESSION_MAX_MS) {
		op_fail(op, "usage", "a session lasts at most 30 days");
		return;
	}
	if (new_session_id(op->b, id) != 0) {
		op_fail(op, "failed", "no free session id could be found");
		return;
	}
	op->req.text[OPREQ_SESSION] = base_strdup(id);
	struct state_session s = session_of(op);

	broker_event_begin(&e, EVENT_SESSION_OPENED);
	event_session(&e, &s);
	jsonw_str(&e.w, "by", op->by);
	jsonw_int(&e.w, "for_ms", op->req.num[OPREQ_FOR_MS]);
	op_record(op, &e, session_opened);
}

struct ls {
	struct broker_op *op;
	int64_t now;
};

static int
ls_session(void *ctx, const struct state_session *s)
{
	struct ls *ls = ctx;
	struct jsonw *w = &ls->op->w;

	jsonw_object(w, NULL);
	jsonw_str(w, "session", s->id);
	jsonw_str(w, "user", s->user);
	jsonw_str(w, "agent", s->agent);
	jsonw_str(w, "task", s->task);
	jsonw_str(w, "department", s->department);
	jsonw_str(w, "trust", s->trust);
	jsonw_str(w, "by", s->by);
	jsonw_str(w, "state", s->revoked != 0 ? "closed" :
	    s->expires <= ls->now ? "expired" : "open");
	op_time(w, "opened", s->opened);
	op_time(w, "expires", s->expires);
	op_time(w, "closed", s->revoked);
	jsonw_object_end(w);
	return 0;
}

void
op_session_ls(struct broker_op *op)
{
	struct ls ls = { op, clock_wall_ms() };

	op_ok(op);
	jsonw_array(&op->w, "sessions");
	if (state_session_each(op->b->st, op->req.num[OPREQ_ALL] == 0, ls.now,
	    ls_session, &ls) != 0) {
		op_fail(op, "failed", "state.db could not be read");
		return;
	}
	jsonw_array_end(&op->w);
	op_end(op);
}

struct closing {
	struct broker *b;
	const char *by, *why;
	char event[UUID_TEXT_LEN];
	unsigned cancelled;
};

/* Proxies first: revoking is tightening. Writes nothing. */
static int
close_one(void *ctx, const struct state_session *s)
{
	struct closing *c = ctx;
	struct broker_event e;

	registry_each_proxy(c->b, NULL, del_session, s);
	broker_event_begin(&e, EVENT_SESSION_CLOSED);
	event_session(&e, s);
	jsonw_str(&e.w, "by", c->by);
	jsonw_str(&e.w, "detail", c->why);
	uuid_format(e.id, c->event);
	(void)broker_event_send(c->b, &e, NULL, NULL);
	return 0;
}

static unsigned
cancel_of_session(struct broker *b, const char *id, const char *by,
    const char *why)
{
	struct target t = { TARGET_SESSION, slice_str(id), SLICE("") };

	return held_cancel_target(b, &t, by, why);
}

static int
session_state(void *ctx, const struct state_session *s)
{
	int64_t *revoked_r = ctx;

	*revoked_r = s->revoked;
	return 0;
}

void
op_session_close(struct broker_op *op)
{
	const char *id = op_text(op, OPREQ_SESSION);
	const char *reason = op->req.text[OPREQ_REASON];
	struct closing c = { .b = op->b, .by = op->by,
		.why = reason == NULL ? "closed by an operator" : reason };
	struct broker_names known = { 0 };
	int64_t revoked = 0;
	int r = state_session_get(op->b->st, id, session_state, &revoked);

	if (r == 1) {
		(void)state_names(op->b->st, STATE_NAME_SESSION, 10000,
		    broker_names_add_cb, &known);
		op_fail_unknown(op, "session", id, &known);
		broker_names_free(&known);
		return;
	}
	if (r != 0 || revoked != 0) {
		op_fail(op, r != 0 ? "failed" : "conflict", r != 0 ?
		    "state.db could not be read" :
		    "the session %s is closed already", id);
		return;
	}
	r = state_session_revoke(op->b->st, id, clock_wall_ms());
	if (state_session_get(op->b->st, id, close_one, &c) < 0)
		r = -1;
	broker_flush(op->b);
	c.cancelled = cancel_of_session(op->b, id, op->by,
	    "the session was closed");
	if (broker_commit(op->b) != 0 || r < 0) {
		op_fail(op, "failed", "%s is closed in the running proxies,"
		    " but state.db could not store it", id);
		return;
	}
	memcpy(op->event, c.event, sizeof(op->event));
	op_ok(op);
	jsonw_str(&op->w, "session", id);
	jsonw_int(&op->w, "cancelled", c.cancelled);
	op_end(op);
}

static int
keep_id(void *ctx, const struct state_session *s)
{
	broker_names_add(ctx, slice_str(s->id));
	return 0;
}

/* Sessions that ran out since the last tick. */
void
session_tick(struct broker *b, int64_t now)
{
	struct broker_names ended = { 0 };
	struct closing c = { .b = b, .by = "", .why = "expired" };

	(void)state_session_expired(b->st, now, keep_id, &ended);
	for (size_t i = 0; i < ended.n; i++) {
		if (state_session_revoke(b->st, ended.v[i], now) != 0)
			continue;	/* proxies know when it ends */
		(void)state_session_get(b->st, ended.v[i], close_one, &c);
		(void)cancel_of_session(b, ended.v[i], "",
		    "the session expired");
		broker_commit_soon(b);
	}
	broker_names_free(&ended);
}
