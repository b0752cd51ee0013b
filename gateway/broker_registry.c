/*
 * broker_registry - sessions and their tokens, tools and their classes,
 * overrides of a connector's state.
 *
 * A token is 32 random bytes; it is in the reply that mints it and nowhere
 * else: only the SHA-256 of its text is stored and sent to the proxies.
 */
#include "gateway/broker_int.h"

#include <sodium/crypto_hash_sha256.h>
#include <sodium/utils.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "codec.h"
#include "conf.h"
#include "log.h"
#include "snap.h"

#define SESSION_DEFAULT_MS ((int64_t)3600 * 1000)
#define SESSION_MAX_MS ((int64_t)30 * 86400 * 1000)
#define TOOL_DESCRIPTION_MAX 4096
#define CONNECTOR_NO_OVERRIDE 255	/* in CONNECTOR_PUT */

static const char id_digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

/* -- to the proxies -- */

static void
each_proxy(struct broker *b, struct broker_proxy *only,
    void (*fn)(struct broker_proxy *p, const void *what), const void *what)
{
	if (only != NULL) {
		fn(only, what);
		return;
	}
	for (size_t i = 0; i < BROKER_PROXIES; i++)
		if (b->proxies[i].synced)
			fn(&b->proxies[i], what);
}

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

static void
put_tool(struct broker_proxy *p, const void *what)
{
	const struct state_tool *t = what;
	struct buf *m = broker_proxy_begin(p, MSG_TOOL_PUT);

	if (m == NULL)
		return;
	pack_str(m, t->connector);
	pack_str(m, t->tool);
	pack_u8(m, (uint8_t)(t->class < 0 ? CONF_UNKNOWN : t->class));
	pack_u8(m, 1);
	pack_str(m, t->mode);
	broker_proxy_end(p);
}

static void
put_connector(struct broker_proxy *p, const void *what)
{
	const struct state_connector *c = what;
	struct buf *m = broker_proxy_begin(p, MSG_CONNECTOR_PUT);

	if (m == NULL)
		return;
	pack_str(m, c->name);
	pack_u8(m, c->state == STATE_CATALOGUE ? CONNECTOR_NO_OVERRIDE :
	    (uint8_t)c->state);
	broker_proxy_end(p);
}

void
registry_send_tool(struct broker *b, struct broker_proxy *only,
    const struct state_tool *t)
{
	each_proxy(b, only, put_tool, t);
}

void
registry_send_connector(struct broker *b, struct broker_proxy *only,
    const char *name, int state)
{
	struct state_connector c = { .name = name, .state = state };

	each_proxy(b, only, put_connector, &c);
}

static int
sync_session(void *ctx, const struct state_session *s)
{
	put_session(ctx, s);
	return 0;
}

static int
sync_tool(void *ctx, const struct state_tool *t)
{
	put_tool(ctx, t);
	return 0;
}

static int
sync_connector(void *ctx, const struct state_connector *c)
{
	put_connector(ctx, c);
	return 0;
}

void
registry_sync(struct broker_proxy *p)
{
	struct state *st = p->b->st;

	if (state_session_each(st, true, clock_wall_ms(), sync_session,
	    p) != 0 || state_tool_each(st, false, sync_tool, p) != 0 ||
	    state_connector_each(st, sync_connector, p) != 0)
		log_error("proxy %u was told only part of state.db",
		    p->index);
}

/* -- sessions -- */

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
	each_proxy(b, NULL, put_session, &s);
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

	each_proxy(c->b, NULL, del_session, s);
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
registry_tick(struct broker *b, int64_t now)
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

/* -- tools -- */

struct tool_known {
	bool found;
	struct state_tool t;
	char *mode;
};

static int
tool_keep(void *ctx, const struct state_tool *t)
{
	struct tool_known *k = ctx;

	k->found = true;
	k->t = *t;
	k->mode = base_strdup(t->mode);
	k->t.mode = k->mode;
	k->t.description = k->t.reason = k->t.by = NULL;
	return 0;
}

static void
event_tool_seen(struct broker *b, const struct state_tool *t, bool changed,
    bool unclassed)
{
	struct broker_event e;
	char digest[65];

	hex_encode(t->digest, 32, digest);
	broker_event_begin(&e, EVENT_TOOL_SEEN);
	jsonw_str(&e.w, "connector", t->connector);
	jsonw_str(&e.w, "tool", t->tool);
	jsonw_str(&e.w, "class", conf_class_names[CONF_UNKNOWN]);
	jsonw_str(&e.w, "definition_sha256", digest);
	jsonw_str(&e.w, "description", t->description);
	jsonw_bool(&e.w, "changed", changed);
	if (unclassed)
		jsonw_str(&e.w, "detail", "the definition changed: the"
		    " operator's class no longer applies");
	(void)broker_event_send(b, &e, NULL, NULL);
}

/* A definition that changed is another tool under an old name: the class an
 * operator gave to the former one does not cover it. */
static int
tool_seen(struct broker *b, const char *connector, const char *tool,
    const uint8_t digest[32], const char *description)
{
	struct tool_known k = { 0 };
	int r = state_tool_get(b->st, connector, tool, tool_keep, &k);
	bool unclassed = k.found && k.t.class >= 0;

	if (r < 0 || (k.found && memcmp(k.t.digest, digest, 32) == 0)) {
		free(k.mode);
		return r < 0 ? -1 : 0;
	}
	struct state_tool t = { .connector = connector, .tool = tool,
		.description = description, .class = -1,
		.seen = k.found ? k.t.seen : clock_wall_ms(),
		.changed = k.found ? clock_wall_ms() : 0,
		.mode = k.found ? k.mode : "" };

	memcpy(t.digest, digest, 32);
	r = state_tool_put(b->st, &t);
	if (r == 0) {
		event_tool_seen(b, &t, k.found, unclassed);
		registry_send_tool(b, NULL, &t);
		broker_commit_soon(b);
	}
	free(k.mode);
	return r;
}

int
registry_tool_seen(struct broker *b, struct slice body)
{
	uint8_t digest[32];
	struct unpack u;
	char *text = NULL;

	unpack_init(&u, body);
	char *connector = unpack_strdup(&u), *tool = unpack_strdup(&u);
	int r = -1;

	unpack_bytes(&u, digest, sizeof(digest));
	struct slice description = unpack_slice(&u);

	if (!unpack_done(&u) || connector == NULL || tool == NULL)
		goto out;
	r = 0;
	if (strlen(connector) > OPREQ_NAME_MAX || strlen(tool) > OPREQ_LONG_MAX)
		goto out;	/* an upstream's nonsense is not the proxy's */
	text = base_strndup(description.p == NULL ? "" : description.p,
	    description.n < TOOL_DESCRIPTION_MAX ? description.n :
	    TOOL_DESCRIPTION_MAX);
	if (tool_seen(b, connector, tool, digest, text) != 0)
		log_error("a tool of %s could not be stored", connector);
out:
	free(connector);
	free(tool);
	free(text);
	return r;
}

static int
ls_tool(void *ctx, const struct state_tool *t)
{
	struct jsonw *w = ctx;
	char digest[65];

	hex_encode(t->digest, 32, digest);
	jsonw_object(w, NULL);
	jsonw_str(w, "connector", t->connector);
	jsonw_str(w, "tool", t->tool);
	jsonw_str(w, "class", t->class < 0 || t->class >= CONF_CLASSES ? NULL :
	    conf_class_names[t->class]);
	jsonw_str(w, "mode", t->mode);
	jsonw_str(w, "by", t->by);
	jsonw_str(w, "reason", t->reason);
	op_time(w, "seen", t->seen);
	op_time(w, "changed", t->changed);
	jsonw_str(w, "definition_sha256", digest);
	jsonw_str(w, "description", t->description);
	jsonw_object_end(w);
	return 0;
}

void
op_tool_ls(struct broker_op *op)
{
	op_ok(op);
	jsonw_array(&op->w, "tools");
	if (state_tool_each(op->b->st, op->req.num[OPREQ_UNCLASSIFIED] != 0,
	    ls_tool, &op->w) != 0) {
		op_fail(op, "failed", "state.db could not be read");
		return;
	}
	jsonw_array_end(&op->w);
	op_end(op);
}

struct tool_names {
	const char *connector;
	struct broker_names names;
};

static int
tool_name(void *ctx, const struct state_tool *t)
{
	struct tool_names *n = ctx;

	if (strcmp(t->connector, n->connector) == 0)
		broker_names_add(&n->names, slice_str(t->tool));
	return 0;
}

static int
class_of(const char *word)
{
	for (int i = 0; i < CONF_CLASSES; i++)
		if (strcmp(word, conf_class_names[i]) == 0)
			return i;
	return -1;
}

struct classify {
	int was;
	struct state_tool t;
	char *mode, *description;
};

static int
classify_keep(void *ctx, const struct state_tool *t)
{
	struct classify *c = ctx;

	c->t = *t;
	c->was = t->class;
	c->mode = base_strdup(t->mode);
	c->description = base_strdup(t->description);
	return 0;
}

/* Stores the class; the event is committed, or this is a tightening. */
static void
classify_store(struct broker_op *op)
{
	struct classify c = { 0 };
	int class = class_of(op_text(op, OPREQ_CLASS));

	if (!op->committed) {
		op_fail(op, "unavailable", "the ledger does not record:"
		    " the class was not changed");
		return;
	}
	if (state_tool_get(op->b->st, op_text(op, OPREQ_CONNECTOR),
	    op_text(op, OPREQ_TOOL), classify_keep, &c) != 0) {
		op_fail(op, "failed", "state.db could not be read");
		return;
	}
	c.t.connector = op_text(op, OPREQ_CONNECTOR);
	c.t.tool = op_text(op, OPREQ_TOOL);
	c.t.mode = c.mode;
	c.t.description = c.description;
	c.t.class = class;
	c.t.reason = op_text(op, OPREQ_REASON);
	c.t.by = op->by;
	if (state_tool_put(op->b->st, &c.t) != 0 ||
	    broker_commit(op->b) != 0) {
		op_fail(op, "failed", "state.db could not store the class");
	} else {
		registry_send_tool(op->b, NULL, &c.t);
		broker_flush(op->b);
		op_ok(op);
		jsonw_str(&op->w, "connector", c.t.connector);
		jsonw_str(&op->w, "tool", c.t.tool);
		jsonw_str(&op->w, "class", conf_class_names[class]);
		jsonw_str(&op->w, "was", c.was < 0 || c.was >= CONF_CLASSES ?
		    NULL : conf_class_names[c.was]);
		op_end(op);
	}
	free(c.mode);
	free(c.description);
}

static int
tool_exists(void *ctx, const struct state_tool *t)
{
	(void)ctx;
	(void)t;
	return 0;
}

/* False, and the op ended, when the tool or its connector is not known. */
static bool
tool_known(struct broker_op *op, const char *connector, const char *tool)
{
	struct tool_names n = { .connector = connector };
	int r = state_tool_get(op->b->st, connector, tool, tool_exists, NULL);

	if (r == 0)
		return true;
	if (r < 0) {
		op_fail(op, "failed", "state.db could not be read");
		return false;
	}
	(void)state_tool_each(op->b->st, false, tool_name, &n);
	if (n.names.n > 0) {
		op_fail_unknown(op, "tool", tool, &n.names);
	} else {
		broker_connector_names(op->b, &n.names);
		if (broker_names_has(&n.names, slice_str(connector)))
			op_fail(op, "not-found", "no tool of \"%s\" was seen"
			    " yet; tools are known once an agent listed them",
			    connector);
		else
			op_fail_unknown(op, "connector", connector, &n.names);
	}
	broker_names_free(&n.names);
	return false;
}

void
op_tool_classify(struct broker_op *op)
{
	const char *connector = op_text(op, OPREQ_CONNECTOR);
	const char *tool = op_text(op, OPREQ_TOOL);
	const char *word = op_text(op, OPREQ_CLASS);
	struct broker_names known = { 0 };
	struct broker_event e;
	int class = class_of(word);

	if (class < 0) {
		for (int i = 0; i < CONF_CLASSES; i++)
			broker_names_add(&known,
			    slice_str(conf_class_names[i]));
		op_fail_unknown(op, "class", word, &known);
		broker_names_free(&known);
		return;
	}
	if (!tool_known(op, connector, tool))
		return;
	int mildest = broker_mildest_class(op->b->env->snap, connector, tool);

	if (class > mildest) {	/* enum conf_class is from strict to mild */
		op_fail(op, "refused", "%s/%s cannot be %s: its method makes"
		    " it at least %s", connector, tool, word,
		    conf_class_names[mildest]);
		return;
	}
	broker_event_begin(&e, EVENT_TOOL_CLASSIFIED);
	jsonw_str(&e.w, "connector", connector);
	jsonw_str(&e.w, "tool", tool);
	jsonw_str(&e.w, "class", word);
	jsonw_str(&e.w, "by", op->by);
	jsonw_str(&e.w, "detail", op_text(op, OPREQ_REASON));
	op_record(op, &e, classify_store);
}

/* -- connectors -- */

static int
connector_state(void *ctx, const struct state_connector *c)
{
	int *state_r = ctx;

	*state_r = c->state;
	return 0;
}

static int
state_of(const char *word)
{
	for (int i = 0; i < STATE_CONNECTOR_STATES; i++)
		if (strcmp(word, state_connector_names[i]) == 0)
			return i;
	return -1;
}

static void
connector_store(struct broker_op *op)
{
	const char *name = op_text(op, OPREQ_NAME);
	int was = STATE_CATALOGUE;
	struct state_connector c = { .name = name,
		.state = state_of(op_text(op, OPREQ_STATE)),
		.reason = op_text(op, OPREQ_REASON), .by = op->by,
		.at = clock_wall_ms() };
	bool tightens = c.state == STATE_DISABLED;

	if (!op->committed && !tightens) {
		op_fail(op, "unavailable", "the ledger does not record:"
		    " the state was not changed");
		return;
	}
	(void)state_connector_get(op->b->st, name, connector_state, &was);
	if (tightens) {
		registry_send_connector(op->b, NULL, name, c.state);
		broker_flush(op->b);
	}
	if (state_connector_put(op->b->st, &c) != 0 ||
	    broker_commit(op->b) != 0) {
		op_fail(op, "failed", "state.db could not store the state%s",
		    tightens ? "; the running proxies have it" : "");
		return;
	}
	if (!tightens) {
		registry_send_connector(op->b, NULL, name, c.state);
		broker_flush(op->b);
	}
	op_ok(op);
	jsonw_str(&op->w, "connector", name);
	jsonw_str(&op->w, "state", state_connector_names[c.state]);
	jsonw_str(&op->w, "was", state_connector_names[was]);
	op_end(op);
}

void
op_connector_state(struct broker_op *op)
{
	const char *name = op_text(op, OPREQ_NAME);
	const char *word = op_text(op, OPREQ_STATE);
	struct broker_names known = { 0 };
	struct broker_event e;

	if (state_of(word) < 0) {
		for (int i = 0; i < STATE_CONNECTOR_STATES; i++)
			broker_names_add(&known,
			    slice_str(state_connector_names[i]));
		op_fail_unknown(op, "state", word, &known);
		broker_names_free(&known);
		return;
	}
	broker_connector_names(op->b, &known);
	if (known.catalogue && !broker_names_has(&known, slice_str(name))) {
		op_fail_unknown(op, "connector", name, &known);
		broker_names_free(&known);
		return;
	}
	broker_names_free(&known);
	broker_event_begin(&e, EVENT_CONNECTOR_STATE);
	jsonw_str(&e.w, "connector", name);
	jsonw_str(&e.w, "state", word);
	jsonw_str(&e.w, "by", op->by);
	jsonw_str(&e.w, "detail", op_text(op, OPREQ_REASON));
	if (state_of(word) == STATE_DISABLED) {
		op_note(op, &e);
		connector_store(op);
	} else {
		op_record(op, &e, connector_store);
	}
}

struct connectors {
	struct broker_op *op;
	struct broker_names *names;
};

static int
ls_connector(void *ctx, const struct state_connector *c)
{
	struct connectors *l = ctx;
	struct jsonw *w = &l->op->w;

	jsonw_object(w, NULL);
	jsonw_str(w, "connector", c->name);
	jsonw_bool(w, "catalogued", broker_names_has(l->names,
	    slice_str(c->name)));
	jsonw_str(w, "override", c->state == STATE_CATALOGUE ? NULL :
	    state_connector_names[c->state]);
	jsonw_str(w, "by", c->by);
	jsonw_str(w, "reason", c->reason);
	op_time(w, "since", c->at);
	jsonw_object_end(w);
	return 0;
}

void
op_connector_ls(struct broker_op *op)
{
	struct broker_names names;
	struct connectors l = { op, &names };
	int state;

	broker_connector_names(op->b, &names);
	op_ok(op);
	jsonw_array(&op->w, "connectors");
	for (size_t i = 0; i < names.n; i++) {
		state = -1;
		(void)state_connector_get(op->b->st, names.v[i],
		    connector_state, &state);
		if (state >= 0)
			continue;	/* told below */
		jsonw_object(&op->w, NULL);
		jsonw_str(&op->w, "connector", names.v[i]);
		jsonw_bool(&op->w, "catalogued", names.catalogue);
		jsonw_str(&op->w, "override", NULL);
		jsonw_object_end(&op->w);
	}
	(void)state_connector_each(op->b->st, ls_connector, &l);
	jsonw_array_end(&op->w);
	broker_names_free(&names);
	op_end(op);
}

/* -- status -- */

static int
count_session(void *ctx, const struct state_session *s)
{
	unsigned *n = ctx;

	(void)s;
	(*n)++;
	return 0;
}

static int
count_kill(void *ctx, const struct state_kill *k)
{
	unsigned *n = ctx;

	(void)k;
	(*n)++;
	return 0;
}

static int
count_tool(void *ctx, const struct state_tool *t)
{
	unsigned *n = ctx;

	(void)t;
	(*n)++;
	return 0;
}

void
op_status(struct broker_op *op)
{
	struct broker *b = op->b;
	unsigned sessions = 0, kills = 0, tools = 0;

	(void)state_session_each(b->st, true, clock_wall_ms(), count_session,
	    &sessions);
	(void)state_kill_each(b->st, true, KILLPAGE_SLOTS, count_kill, &kills);
	(void)state_tool_each(b->st, true, count_tool, &tools);
	op_ok(op);
	jsonw_str(&op->w, "version", PORTREEVE_VERSION);
	jsonw_str(&op->w, "snapshot", b->env->snap == NULL ? NULL :
	    snap_name(b->env->snap));
	op_time(&op->w, "started", b->started);
	jsonw_u64(&op->w, "uptime_ms", clock_mono_ms() - b->started_ms);
	jsonw_bool(&op->w, "ledger", emit_connected(b->emit));
	jsonw_u64(&op->w, "kill_epoch", killpage_epoch(b->page));
	jsonw_u64(&op->w, "proxies_expected", b->env->proxies);
	jsonw_array(&op->w, "proxies");
	for (unsigned i = 0; i < BROKER_PROXIES; i++) {
		if (b->proxies[i].chan == NULL)
			continue;
		jsonw_object(&op->w, NULL);
		jsonw_u64(&op->w, "index", i);
		jsonw_bool(&op->w, "ready", b->proxies[i].synced);
		jsonw_u64(&op->w, "kill_epoch_acked", b->proxies[i].acked);
		jsonw_u64(&op->w, "queued_bytes",
		    chan_queued(b->proxies[i].chan));
		jsonw_object_end(&op->w);
	}
	jsonw_array_end(&op->w);
	jsonw_u64(&op->w, "held", b->waiting);
	jsonw_u64(&op->w, "sessions", sessions);
	jsonw_u64(&op->w, "kills", kills);
	jsonw_u64(&op->w, "tools_unclassified", tools);
	op_end(op);
}
