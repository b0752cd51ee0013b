/*
 * svc - the other roles as the path of a call sees them: what the broker
 * pushes (sessions, tools, states, kills), and what is asked (leaf, credential,
 * advice, approval).
 */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

#define ASK_ALL ~0u
#define CHAN_OUT_MAX (64u << 20)

struct leaf_entry {
	struct tls_leaf *leaf;
	int64_t until_ms;
	struct conn **waiting;
	size_t nwaiting;
};

void
svc_init(struct flow *f)
{
	f->asked = ASK_ALL;
	map_init(&f->sessions);
	map_init(&f->tools);
	map_init(&f->states);
	map_init(&f->kills);
	map_init(&f->leaves);
	map_init(&f->held);
	map_init(&f->seen_tools);
	map_init(&f->gates);
	map_init(&f->trusting);
}

/* --- keeper ------------------------------------------------------------------- */

static int
on_leaf_key(struct flow *f, struct slice body)
{
	struct unpack u;
	struct err err = { 0 };
	uint8_t ticket[32];

	unpack_init(&u, body);
	struct slice key = unpack_slice(&u);

	unpack_slice(&u);	/* the public half */
	unpack_bytes(&u, ticket, 32);
	unpack_bytes(&u, f->mac_key, 32);
	struct slice root = unpack_slice(&u);

	if (!unpack_done(&u))
		return -1;
	onramp_set_root(f, root);
	/* A new leaf key: the leaves minted for the old one are void. */
	size_t i = 0;
	void *v;

	while (map_next(&f->leaves, &i, NULL, &v)) {
		struct leaf_entry *e = v;

		tls_leaf_unref(e->leaf);
		e->leaf = NULL;
	}
	tls_key_free(f->leaf_key);
	f->leaf_key = tls_key_new(key, &err);
	if (f->leaf_key == NULL) {
		log_error("leaf key: %s", err.text);
		return -1;
	}
	if (f->server_ctx == NULL)
		f->server_ctx = tls_server_new(ticket);
	else
		tls_server_set_ticket_key(f->server_ctx, ticket);
	explicit_bzero(ticket, sizeof(ticket));
	return 0;
}

static int
on_keeper(void *ctx, struct chan *c, enum msg_type type, struct slice body,
    int fd)
{
	struct flow *f = ctx;

	(void)c;
	base_close(&fd);
	switch (type) {
	case MSG_HELLO:
		return 0;
	case MSG_LEAF_KEY:
		return on_leaf_key(f, body);
	case MSG_LEAF:
	case MSG_CRED:
	case MSG_KEEPER_NO:
		return svc_answered(f, type, body);
	default:
		return -1;
	}
}

struct minting {
	struct flow *f;
	char host[ADDR_HOST_MAX];
};

static void
on_leaf(void *ctx, enum msg_type type, struct unpack *u)
{
	struct minting *m = ctx;
	struct flow *f = m->f;
	struct leaf_entry *e = map_get(&f->leaves, slice_str(m->host));
	struct slice der[4], why = SLICE("the keeper went away or does not "
	    "answer");
	struct err err = { 0 };
	char text[256];
	size_t n = 0;

	ASSERT(e != NULL);
	if (type == MSG_LEAF) {
		n = unpack_count(u, 4);
		for (size_t i = 0; i < n && i < ARRAY_LEN(der); i++)
			der[i] = unpack_slice(u);
		if (unpack_done(u) && n > 0 && n <= ARRAY_LEN(der))
			e->leaf = tls_leaf_new(f->leaf_key, der, n, &err);
		e->until_ms = clock_wall_ms() + 12 * 3600 * 1000;
		why = slice_str(err.text);
	} else if (type == MSG_KEEPER_NO) {
		why = unpack_slice(u);
	}
	snprintf(text, sizeof(text), "%.*s", SLICE_FMT(why));
	struct conn **waiting = e->waiting;
	size_t nwaiting = e->nwaiting;

	e->waiting = NULL;
	e->nwaiting = 0;
	if (e->leaf == NULL) {
		map_del(&f->leaves, slice_str(m->host));
		for (size_t i = 0; i < nwaiting; i++)
			if (waiting[i] != NULL)
				conn_leaf_ready(waiting[i], NULL, text);
		free(e);
	} else {
		for (size_t i = 0; i < nwaiting; i++)
			if (waiting[i] != NULL)
				conn_leaf_ready(waiting[i], e->leaf, NULL);
	}
	free(waiting);
	free(m);
}

/* The cache is bounded: when it is full everything no one waits for goes. */
static void
trim_leaves(struct flow *f)
{
	size_t i = 0;
	struct slice key;
	void *v;

	if (map_count(&f->leaves) < FLOW_LEAVES_MAX)
		return;
	while (map_next(&f->leaves, &i, &key, &v)) {
		struct leaf_entry *e = v;

		if (e->nwaiting > 0)
			continue;
		map_del(&f->leaves, key);
		tls_leaf_unref(e->leaf);
		free(e);
	}
}

struct tls_leaf *
svc_leaf(struct flow *f, const char *host, struct conn *c)
{
	struct slice key = slice_str(host);
	struct leaf_entry *e = map_get(&f->leaves, key);
	struct minting *m;

	if (e != NULL && e->leaf != NULL && clock_wall_ms() < e->until_ms)
		return e->leaf;
	if (f->keeper == NULL || f->leaf_key == NULL) {
		conn_leaf_ready(c, NULL, "the keeper cannot be reached");
		return NULL;
	}
	if (e == NULL) {
		trim_leaves(f);
		e = base_calloc(1, sizeof(*e));
		map_put(&f->leaves, key, e);
	}
	tls_leaf_unref(e->leaf);
	e->leaf = NULL;
	e->waiting = base_realloc(e->waiting, (e->nwaiting + 1) *
	    sizeof(*e->waiting));
	e->waiting[e->nwaiting++] = c;
	if (e->nwaiting > 1)
		return NULL;
	m = base_calloc(1, sizeof(*m));
	m->f = f;
	snprintf(m->host, sizeof(m->host), "%s", host);
	if (svc_ask(f, f->keeper, MSG_MINT, key, on_leaf, m) == 0) {
		struct unpack u;

		unpack_init(&u, slice_make("", 0));
		on_leaf(m, (enum msg_type)0, &u);
	}
	return NULL;
}

void
svc_leaf_forget(struct flow *f, struct conn *c)
{
	struct leaf_entry *e;

	if (c->state != CONN_MINT)
		return;
	e = map_get(&f->leaves, slice_str(c->authority.host));
	for (size_t i = 0; e != NULL && i < e->nwaiting; i++)
		if (e->waiting[i] == c)
			e->waiting[i] = NULL;
}

/* --- sessions ------------------------------------------------------------------- */

void
session_unref(struct session *s)
{
	if (--s->refs > 0)
		return;
	free(s->who.session);
	free(s->who.user);
	free(s->who.agent);
	free(s->who.task);
	free(s->who.department);
	free(s);
}

struct session *
svc_session(struct flow *f, const uint8_t hash[32])
{
	struct session *s = map_get(&f->sessions, slice_make(hash, 32));

	if (s == NULL || s->revoked || clock_wall_ms() >= s->who.expires_ms)
		return NULL;
	s->refs++;
	return s;
}

static uint64_t
target_hash(struct flow *f, const char *kind, const char *name)
{
	char t[512];

	snprintf(t, sizeof(t), "%s/%s", kind, name);
	return killpage_hash(f->kill, t);
}

static int
on_session_put(struct flow *f, struct unpack *u)
{
	struct session *s = base_calloc(1, sizeof(*s)), *old;
	uint8_t hash[32];
	char *trust;
	int t;

	unpack_bytes(u, hash, 32);
	s->refs = 1;
	s->who.session = unpack_strdup(u);
	s->who.user = unpack_strdup(u);
	s->who.agent = unpack_strdup(u);
	s->who.task = unpack_strdup(u);
	s->who.department = unpack_strdup(u);
	trust = unpack_strdup(u);
	s->who.expires_ms = unpack_i64(u);
	for (t = 0; t < CONF_TRUSTS; t++)
		if (strcmp(trust, conf_trust_names[t]) == 0)
			break;
	free(trust);
	if (!unpack_done(u) || t == CONF_TRUSTS) {
		session_unref(s);
		return -1;
	}
	s->who.trust = (enum conf_trust)t;
	s->kill_user = target_hash(f, "user", s->who.user);
	s->kill_agent = target_hash(f, "agent", s->who.agent);
	s->kill_session = target_hash(f, "session", s->who.session);
	old = map_put(&f->sessions, slice_make(hash, 32), s);
	if (old != NULL)
		session_unref(old);
	return 0;
}

static int
on_session_del(struct flow *f, struct unpack *u)
{
	uint8_t hash[32];
	struct session *s;

	unpack_bytes(u, hash, 32);
	unpack_slice(u);
	if (!unpack_done(u))
		return -1;
	s = map_del(&f->sessions, slice_make(hash, 32));
	if (s == NULL)
		return 0;
	s->revoked = true;
	/* What runs under it ends too: a stream would outlive its task. */
	list_each_safe(it, tmp, &f->exchanges) {
		struct exchange *ex = list_entry(it, struct exchange, link);

		if (!ex->over && ex->session == s && ex->con != NULL &&
		    ex->step > STEP_CLASSIFY)
			exchange_cut(ex, "the session was closed",
			    REASON_BAD_TOKEN);
	}
	session_unref(s);
	return 0;
}

/* --- tools, states, kills ------------------------------------------------------- */

static struct slice
tool_key(char *space, size_t n, const char *connector, struct slice tool)
{
	size_t c = strlen(connector);

	ASSERT(c + 1 < n);
	memcpy(space, connector, c);
	space[c++] = '/';
	if (tool.n > n - c)
		tool.n = n - c;
	if (tool.n > 0)
		memcpy(space + c, tool.p, tool.n);
	return slice_make(space, c + tool.n);
}

uint64_t
svc_tool_hash(struct flow *f, const char *connector, struct slice tool)
{
	char target[1100] = "tool/";
	struct slice k = tool_key(target + 5, sizeof(target) - 5, connector,
	    tool);

	target[5 + k.n] = '\0';
	return killpage_hash(f->kill, target);
}

const struct tool_state *
svc_tool(struct flow *f, const char *connector, struct slice tool)
{
	char space[1024];

	return map_get(&f->tools, tool_key(space, sizeof(space), connector,
	    tool));
}

static int
on_tool_put(struct flow *f, struct unpack *u)
{
	struct tool_state *t = base_calloc(1, sizeof(*t)), *old;
	char *connector = unpack_strdup(u), space[1024];
	struct slice tool = unpack_slice(u);
	unsigned k = unpack_u8(u);

	t->enabled = unpack_u8(u) != 0;
	struct slice mode = unpack_slice(u);

	t->approval = POLICY_DEFAULT;
	for (int i = 0; i < POLICY_APPROVALS; i++)
		if (slice_is(mode, policy_approval_names[i]))
			t->approval = (enum policy_approval)i;
	if (!unpack_done(u) || k >= CONF_CLASSES) {
		free(t);
		free(connector);
		return -1;
	}
	t->klass = (enum conf_class)k;
	t->classified = t->klass != CONF_UNKNOWN;
	old = map_put(&f->tools, tool_key(space, sizeof(space), connector,
	    tool), t);
	/* A tool that was only seen leaves the list as it is. */
	if (old == NULL ? t->classified : old->klass != t->klass ||
	    old->enabled != t->enabled || old->approval != t->approval)
		(void)lists_drop(f, connector);
	free(old);
	free(connector);
	return 0;
}

void
svc_tool_seen(struct flow *f, const char *connector, struct slice tool,
    const uint8_t digest[32], struct slice description)
{
	char space[1200];
	struct slice key = tool_key(space, 1024, connector, tool);
	struct buf *b;

	if (f->broker == NULL || key.n + 32 > sizeof(space))
		return;
	memcpy(space + key.n, digest, 32);
	key.n += 32;
	if (map_get(&f->seen_tools, key) != NULL)
		return;
	if (map_count(&f->seen_tools) > 100000)
		return;
	b = chan_begin(f->broker, MSG_TOOL_SEEN);
	if (b == NULL)
		return;
	pack_str(b, connector);
	pack_slice(b, tool);
	pack_bytes(b, digest, 32);
	pack_slice(b, slice_sub(description, 0, 4096));
	if (chan_end(f->broker) == 0)
		map_put(&f->seen_tools, key, f);
}

enum policy_state
svc_state(struct flow *f, const struct connector *c)
{
	uintptr_t s = (uintptr_t)map_get(&f->states, slice_str(c->name));

	/* An operator's override tightens or loosens what the file says, but
	 * what the file disables stays disabled. */
	if (s == 0 || c->state == POLICY_DISABLED)
		return c->state;
	return (enum policy_state)(s - 1);
}

static int
on_connector_put(struct flow *f, struct unpack *u)
{
	char *name = unpack_strdup(u);
	unsigned s = unpack_u8(u);
	int r = -1;

	(void)lists_drop(f, name);
	if (unpack_done(u) && s < POLICY_STATES) {
		map_put(&f->states, slice_str(name),
		    (void *)(uintptr_t)(s + 1));
		r = 0;
	} else if (unpack_done(u) && s == 255) {
		map_del(&f->states, slice_str(name));	/* as the file says */
		r = 0;
	}
	free(name);
	return r;
}

static int
on_kill_state(struct flow *f, struct unpack *u)
{
	char *target = unpack_strdup(u), *reason = unpack_strdup(u), *old;

	unpack_slice(u);
	unpack_i64(u);
	bool active = unpack_u8(u) != 0;

	if (!unpack_done(u)) {
		free(target);
		free(reason);
		return -1;
	}
	old = active ? map_put(&f->kills, slice_str(target), reason) :
	    map_del(&f->kills, slice_str(target));
	if (!active)
		free(reason);
	free(old);
	free(target);
	lists_drop_all(f);
	return 0;
}

static int
on_kill_stored(struct flow *f, struct unpack *u)
{
	uint64_t epoch = unpack_u64(u);

	if (!unpack_done(u))
		return -1;
	cut_stored(f, epoch);
	return 0;
}

const char *
svc_killed(struct flow *f, const struct view *v, size_t con_at,
    const struct connector *con, const struct session *s, struct slice tool)
{
	static char target[1100];
	char space[1024];

	if (killpage_epoch(f->kill) == 0)
		return NULL;
	if (killpage_all(f->kill))
		return "all";
	if (killpage_hit(f->kill, v->kill_hash[con_at]))
		snprintf(target, sizeof(target), "connector/%s", con->name);
	else if (s != NULL && killpage_hit(f->kill, s->kill_session))
		snprintf(target, sizeof(target), "session/%s", s->who.session);
	else if (s != NULL && killpage_hit(f->kill, s->kill_agent))
		snprintf(target, sizeof(target), "agent/%s", s->who.agent);
	else if (s != NULL && killpage_hit(f->kill, s->kill_user))
		snprintf(target, sizeof(target), "user/%s", s->who.user);
	else {
		if (tool.n == 0)
			return NULL;
		struct slice k = tool_key(space, sizeof(space), con->name,
		    tool);

		snprintf(target, sizeof(target), "tool/%.*s", SLICE_FMT(k));
		if (!killpage_hit(f->kill, killpage_hash(f->kill, target)))
			return NULL;
	}
	return target;
}

/* --- approvals --------------------------------------------------------------------- */

static struct slice
call_key(const struct exchange *ex)
{
	return slice_make(ex->call.b, sizeof(ex->call.b));
}

void
svc_hold_begin(struct exchange *ex)
{
	if (!ex->in_held)
		map_put(&ex->f->held, call_key(ex), ex);
	ex->in_held = true;
}

void
svc_hold_end(struct exchange *ex)
{
	if (ex->in_held)
		map_del(&ex->f->held, call_key(ex));
	ex->in_held = false;
}

static struct exchange *
by_call(struct flow *f, const uint8_t call[16])
{
	struct exchange *ex = map_get(&f->held, slice_make(call, 16));

	return ex != NULL && !ex->over ? ex : NULL;
}

static void
on_consume_late(void *ctx)
{
	struct exchange *ex = ctx;

	ex->released = true;
	exchange_refuse(ex, REASON_BROKER, "The broker does not answer.");
	exchange_answer_refusal(ex);
}

static void
ask_consume(struct flow *f, struct exchange *ex)
{
	struct buf *b = chan_begin(f->broker, MSG_CONSUME);

	if (b == NULL) {
		exchange_refuse(ex, REASON_BROKER, "%s", "");
		exchange_answer_refusal(ex);
		return;
	}
	pack_bytes(b, ex->call.b, 16);
	pack_bytes(b, ex->digest, 32);
	chan_end(f->broker);
	loop_timer_del(ex->timer);
	ex->timer = loop_timer_new(f->loop, on_consume_late, ex);
	loop_timer_set(ex->timer, SVC_ANSWER_S * 1000);
}

/* The approver's arguments replace the agent's; the call then runs through
 * the gate again from CLASSIFY, marked as approved. */
static bool
apply_edit(struct exchange *ex, struct slice arguments)
{
	struct json_doc d;
	struct buf b;
	bool ok = false;

	json_init(&d);
	buf_init(&b, ex->body.max);
	if (ex->con->kind != CONNECTOR_REST && ex->msg.arguments != JSON_NONE &&
	    json_index(&d, arguments, NULL) == JSON_OK &&
	    json_typeof(&d, 0) == JSON_OBJECT) {
		struct slice old = json_raw(&ex->doc, ex->msg.arguments);
		size_t at = (size_t)(old.p - ex->doc.text.p);

		buf_add(&b, ex->doc.text.p, at);
		buf_add_slice(&b, arguments);
		buf_add(&b, ex->doc.text.p + at + old.n,
		    ex->doc.text.n - at - old.n);
		ok = !b.full;
	}
	json_free(&d);
	if (!ok) {
		buf_free(&b);
		return false;
	}
	buf_free(&ex->body);
	ex->body = b;
	buf_reset(&ex->new_body);
	return true;
}

static void
finish_hold(struct exchange *ex)
{
	if (ex->keepalive != NULL)
		loop_timer_stop(ex->keepalive);
	if (ex->timer != NULL)
		loop_timer_stop(ex->timer);
}

static int
on_verdict(struct flow *f, struct unpack *u)
{
	uint8_t call[16];
	struct exchange *ex;

	unpack_bytes(u, call, 16);
	unsigned v = unpack_u8(u);
	struct slice id = unpack_slice(u), by = unpack_slice(u),
	    reason = unpack_slice(u), arguments = unpack_slice(u);

	if (!unpack_done(u) || v > 2)
		return -1;
	ex = by_call(f, call);
	if (ex == NULL || !ex->held || ex->step != STEP_HOLD)
		return 0;
	ex->approval_id = arena_strdup(ex->a, id);
	ex->approval_by = arena_strdup(ex->a, by);
	ex->approval_reason = arena_strdup(ex->a, reason);
	if (v == 0) {
		bool expired = slice_starts(reason, "expired");
		bool killed = slice_starts(reason, "killed");
		bool cancelled = slice_is(reason, "cancelled by the agent");

		ex->released = true;
		finish_hold(ex);
		if (killed)
			ex->verdict.by = "kill";
		if (cancelled)
			ex->end_status = "cancelled";
		exchange_refuse(ex, killed ? REASON_KILLED : expired ?
		    REASON_APPROVAL_EXPIRED : cancelled ? REASON_CANCELLED :
		    REASON_APPROVAL_DENIED, "%.*s", SLICE_FMT(reason));
		exchange_answer_refusal(ex);
		return 0;
	}
	if (v == 2) {
		char *text = arena_strdup(ex->a, arguments);

		if (text == NULL || !apply_edit(ex, slice_make(text,
		    arguments.n))) {
			exchange_refuse(ex, REASON_UNPARSEABLE,
			    "(the edited arguments do not fit this call)");
			exchange_answer_refusal(ex);
			return 0;
		}
		ex->edited = true;
		/* A new call through the whole gate again: parsed, classed,
		 * advised, judged, redacted; then consumed. */
		ex->step = STEP_CLASSIFY;
		ex->reclassify = true;
		exchange_run(ex);
		return 0;
	}
	ask_consume(f, ex);
	return 0;
}

void
svc_consume(struct exchange *ex)
{
	ask_consume(ex->f, ex);
}

static int
on_consumed(struct flow *f, struct unpack *u)
{
	uint8_t call[16];
	struct exchange *ex;

	unpack_bytes(u, call, 16);
	bool ok = unpack_u8(u) != 0;
	struct slice why = unpack_slice(u);

	if (!unpack_done(u))
		return -1;
	ex = by_call(f, call);
	if (ex == NULL || ex->step != STEP_HOLD)
		return 0;
	ex->released = true;
	finish_hold(ex);
	if (!ok) {
		exchange_refuse(ex, REASON_APPROVAL_DENIED, "%.*s",
		    SLICE_FMT(why));
		exchange_answer_refusal(ex);
		return 0;
	}
	ex->consumed = true;
	exchange_resume(ex);
	return 0;
}

/* notifications/cancelled named a held call; it may have come in through any
 * proxy. The approval is void already, the agent's wait ends here. */
static int
on_cancel(struct flow *f, struct unpack *u)
{
	struct slice session = unpack_slice(u), id = unpack_slice(u);

	if (!unpack_done(u))
		return -1;
	list_each(it, &f->exchanges) {
		struct exchange *ex = list_entry(it, struct exchange, link);

		if (ex->over || ex->step != STEP_HOLD || ex->released ||
		    !slice_is(session, ex->session->who.session) ||
		    !slice_eq(id, ex->msg.id))
			continue;
		ex->released = true;
		finish_hold(ex);
		exchange_refuse(ex, REASON_CANCELLED, "%s", "");
		ex->end_status = "cancelled";
		exchange_answer_refusal(ex);
		break;
	}
	return 0;
}

void
svc_cancel(struct exchange *ex)
{
	struct buf *b;

	if (ex->f->broker == NULL || (b = chan_begin(ex->f->broker,
	    MSG_CANCEL_CALL)) == NULL)
		return;
	pack_str(b, ex->session->who.session);
	pack_slice(b, ex->msg.cancel_id);
	chan_end(ex->f->broker);
}

static void hold_again(struct flow *f);

static int
on_broker(void *ctx, struct chan *c, enum msg_type type, struct slice body,
    int fd)
{
	struct flow *f = ctx;
	struct unpack u;

	(void)c;
	base_close(&fd);
	unpack_init(&u, body);
	switch (type) {
	case MSG_HELLO:
		return 0;
	case MSG_SESSION_PUT:
		return on_session_put(f, &u);
	case MSG_SESSION_DEL:
		return on_session_del(f, &u);
	case MSG_TOOL_PUT:
		return on_tool_put(f, &u);
	case MSG_CONNECTOR_PUT:
		return on_connector_put(f, &u);
	case MSG_KILL_STATE:
		return on_kill_state(f, &u);
	case MSG_KILL_STORED:
		return on_kill_stored(f, &u);
	case MSG_HOLD_VERDICT:
		return on_verdict(f, &u);
	case MSG_CONSUMED:
		return on_consumed(f, &u);
	case MSG_SYNC_END:
		f->synced = true;
		hold_again(f);
		away_tell(f);
		lists_tell(f);
		return unpack_done(&u) ? 0 : -1;
	case MSG_CANCEL_CALL:
		return on_cancel(f, &u);
	case MSG_TOOLS_REFRESH:
		return lists_on_refresh(f, &u);
	default:
		return -1;
	}
}

/* A restarted broker knows its approvals from state.db; the calls that wait
 * for them are told to it again. */
static void
hold_again(struct flow *f)
{
	list_each(it, &f->exchanges) {
		struct exchange *ex = list_entry(it, struct exchange, link);

		if (ex->over || ex->step != STEP_HOLD || !ex->held ||
		    ex->released)
			continue;
		if (call_send_hold(ex) != 0)
			log_error("a held call could not be told again");
	}
}

/* --- detector --------------------------------------------------------------------------- */

static int
on_detector(void *ctx, struct chan *c, enum msg_type type, struct slice body,
    int fd)
{
	struct flow *f = ctx;
	struct unpack u;

	(void)c;
	base_close(&fd);
	switch (type) {
	case MSG_HELLO:
		return 0;
	case MSG_ADVICE:
	case MSG_CONTEXT_ACK:
		return svc_answered(f, type, body);
	case MSG_ADVICE_CLASSES:
		unpack_init(&u, body);
		f->asked = unpack_u8(&u);
		if (unpack_done(&u))
			return 0;
		f->asked = ASK_ALL;
		return -1;
	default:
		return -1;
	}
}

/* --- recorder, besides what emit does -------------------------------------- */

static int
on_recorder(void *ctx, struct chan *c, enum msg_type type, struct slice body,
    int fd)
{
	struct flow *f = ctx;
	struct unpack u;

	(void)c;
	base_close(&fd);
	unpack_init(&u, body);
	unsigned unsound = unpack_u8(&u);

	if (type != MSG_CLOCK || !unpack_done(&u) || unsound > 1)
		return -1;
	f->clock_unsound = unsound == 1;
	return 0;
}

void
svc_listen_recorder(struct flow *f)
{
	emit_on_other(f->emit, on_recorder, NULL, f);
}

static void
on_peer_gone(void *ctx, struct chan *c)
{
	struct flow *f = ctx;

	if (c == f->keeper)
		f->keeper = NULL;
	else if (c == f->detector) {
		f->detector = NULL;
		f->asked = ASK_ALL;
	} else if (c == f->broker) {
		f->broker = NULL;
		f->synced = false;
	}
	svc_abandon(f, c);
	chan_free(c);
}

static void
hello(struct flow *f, struct chan *c)
{
	struct buf *b = chan_begin(c, MSG_HELLO);

	ASSERT(b != NULL);
	pack_u8(b, ROLE_PROXY);
	pack_u8(b, (uint8_t)f->index);
	pack_u16(b, MSG_VERSION);
	chan_end(c);
}

void
flow_attach(struct flow *f, enum role peer, int fd)
{
	static chan_msg_fn *const fns[ROLE_COUNT] = {
		[ROLE_KEEPER] = on_keeper, [ROLE_BROKER] = on_broker,
		[ROLE_DETECTOR] = on_detector };
	struct chan **slot = peer == ROLE_KEEPER ? &f->keeper :
	    peer == ROLE_BROKER ? &f->broker : &f->detector;

	if (peer == ROLE_RECORDER) {
		emit_attach(f->emit, fd);
		return;
	}
	if (fns[peer] == NULL) {
		close(fd);
		return;
	}
	if (*slot != NULL)
		on_peer_gone(f, *slot);
	*slot = chan_new(f->loop, fd, CHAN_OUT_MAX, fns[peer], on_peer_gone,
	    f);
	hello(f, *slot);
}
