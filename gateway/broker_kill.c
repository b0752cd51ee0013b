/*
 * broker_kill - the kill switch.
 *
 *   kill:    page -> tell the proxies why, wake them -> state.db -> their
 *            acknowledgements -> reply (with the time from the first to the
 *            last: nothing passes any more)
 *   revive:  ledger -> state.db -> page
 *
 * What the page says and state.db does not (killed in between) stands: at
 * start the names we know are looked up in the page. An end by time never
 * loosens beyond ask-all: a connector or tool is held call by call until a
 * person revives it; everything else stays killed.
 */
#include "gateway/broker_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "policy.h"

#define NAMES_MAX 100000

/* -- page and proxies -- */

static uint64_t
page_set(struct broker *b, const char *target)
{
	return strcmp(target, "all") == 0 ? killpage_set_all(b->page, true) :
	    killpage_set(b->page, target);
}

static uint64_t
page_clear(struct broker *b, const char *target)
{
	return strcmp(target, "all") == 0 ? killpage_set_all(b->page, false) :
	    killpage_clear(b->page, target);
}

static void
wake_proxies(struct broker *b)
{
	uint64_t one = 1;

	for (size_t i = 0; i < ARRAY_LEN(b->env->eventfds); i++)
		if (b->env->eventfds[i] >= 0 &&
		    write(b->env->eventfds[i], &one, sizeof(one)) < 0)
			log_warn("proxy %zu could not be woken", i);
}

static void
send_kill(struct broker_proxy *p, const struct state_kill *k)
{
	struct buf *m = broker_proxy_begin(p, MSG_KILL_STATE);

	if (m == NULL)
		return;
	pack_str(m, k->target);
	pack_str(m, k->reason);
	pack_str(m, k->by);
	pack_i64(m, k->until);
	pack_u8(m, k->active);
	broker_proxy_end(p);
}

/* They may take their time now with what they cut. */
static void
send_stored_all(struct broker *b, uint64_t epoch)
{
	for (size_t i = 0; i < BROKER_PROXIES; i++) {
		struct buf *m = !b->proxies[i].synced ? NULL :
		    broker_proxy_begin(&b->proxies[i], MSG_KILL_STORED);

		if (m == NULL)
			continue;
		pack_u64(m, epoch);
		broker_proxy_end(&b->proxies[i]);
	}
}

static void
send_kill_all(struct broker *b, const struct state_kill *k)
{
	for (size_t i = 0; i < BROKER_PROXIES; i++)
		if (b->proxies[i].synced)
			send_kill(&b->proxies[i], k);
}

static int
sync_one(void *ctx, const struct state_kill *k)
{
	send_kill(ctx, k);
	return 0;
}

void
kill_sync(struct broker_proxy *p)
{
	if (state_kill_each(p->b->st, true, KILLPAGE_SLOTS, sync_one, p) != 0)
		log_error("proxy %u was not told why things are killed (the"
		    " page itself holds)", p->index);
}

/* -- at start -- */

static int
put_on_page(void *ctx, const struct state_kill *k)
{
	(void)page_set(ctx, k->target);
	return 0;
}

static int
ignore_kill(void *ctx, const struct state_kill *k)
{
	(void)ctx;
	(void)k;
	return 0;
}

/* On the page and not in state.db: written down, and in force. */
static int
adopt(struct broker *b, const char *target)
{
	struct state_kill k = { .target = target, .by = "recovered",
		.reason = "found on the kill page when the broker started",
		.at = clock_wall_ms(), .active = true };

	if (strcmp(target, "all") != 0 &&
	    !killpage_hit(b->page, killpage_hash(b->page, target)))
		return 0;
	if (state_kill_get(b->st, target, ignore_kill, NULL) != 1)
		return 0;
	log_warn("%s was killed and not stored yet: it stays killed", target);
	return state_kill_put(b->st, &k);
}

static int
add_tool(void *ctx, const struct state_tool *t)
{
	char name[2 * TARGET_MAX + 8];

	if (strlen(t->connector) + strlen(t->tool) < TARGET_MAX) {
		snprintf(name, sizeof(name), "%s/%s", t->connector, t->tool);
		broker_names_add(ctx, slice_str(name));
	}
	return 0;
}

static int
adopt_names(struct broker *b, const char *kind, struct broker_names *n)
{
	char target[TARGET_MAX + 32];
	int r = 0;

	for (size_t i = 0; i < n->n && r == 0; i++) {
		if (strlen(n->v[i]) > TARGET_MAX)
			continue;
		snprintf(target, sizeof(target), "%s/%s", kind, n->v[i]);
		r = adopt(b, target);
	}
	broker_names_free(n);
	return r;
}

/* While `all` stands every look-up hits, so names are looked up without. */
static int
adopt_known(struct broker *b)
{
	static const struct {
		const char *kind;
		enum state_name what;
	} kinds[] = {
		{ "agent", STATE_NAME_AGENT }, { "user", STATE_NAME_USER },
		{ "session", STATE_NAME_SESSION },
	};
	struct broker_names n;
	int r;

	if (killpage_all(b->page))
		return adopt(b, "all");
	broker_connector_names(b, &n);
	r = adopt_names(b, "connector", &n);
	for (size_t i = 0; i < ARRAY_LEN(kinds) && r == 0; i++) {
		(void)state_names(b->st, kinds[i].what, NAMES_MAX,
		    broker_names_add_cb, &n);
		r = adopt_names(b, kinds[i].kind, &n);
	}
	if (r != 0 || state_tool_each(b->st, false, add_tool, &n) != 0)
		return -1;
	return adopt_names(b, "tool", &n);
}

int
kill_recover(struct broker *b, struct err *err)
{
	/* The page before us first: afterwards it also holds our own. */
	if (adopt_known(b) != 0 ||
	    state_kill_each(b->st, true, KILLPAGE_SLOTS + 1, put_on_page,
	    b) != 0 || state_commit(b->st) != 0) {
		(void)killpage_set_all(b->page, true);
		err_set(err, "state.db: kills cannot be read: everything is"
		    " killed until the broker starts");
		return -1;
	}
	return 0;
}

/* -- waiting for the proxies -- */

static void
killop_finish(struct broker_killop *k)
{
	struct broker_op *op = k->op;

	list_remove(&k->link);
	loop_timer_del(k->timer);
	if (k->acked_ns == 0)
		k->acked_ns = clock_mono_ns();
	op_ok(op);
	jsonw_str(&op->w, "target", op_text(op, OPREQ_TARGET));
	jsonw_str(&op->w, "reason", op_text(op, OPREQ_REASON));
	jsonw_str(&op->w, "by", op->by);
	jsonw_u64(&op->w, "epoch", k->epoch);
	jsonw_u64(&op->w, "acked_us", (k->acked_ns - k->began_ns) / 1000);
	jsonw_u64(&op->w, "durable_us", (k->durable_ns - k->began_ns) / 1000);
	jsonw_bool(&op->w, "durable", k->durable);
	jsonw_u64(&op->w, "proxies", k->proxies);
	jsonw_array(&op->w, "silent");
	for (unsigned i = 0; i < BROKER_PROXIES; i++)
		if (k->waiting & (UINT64_C(1) << i))
			jsonw_u64(&op->w, NULL, i);
	jsonw_array_end(&op->w);
	jsonw_u64(&op->w, "cut", k->cut);
	jsonw_u64(&op->w, "cancelled", k->cancelled);
	jsonw_bool(&op->w, "verified", !k->unverified);
	op_time(&op->w, "until", k->until);
	op_end(op);
	loop_defer_free(k->b->loop, k);
}

static void
on_silence(void *ctx)
{
	struct broker_killop *k = ctx;

	log_error("not every proxy acknowledged the kill of %s in time",
	    op_text(k->op, OPREQ_TARGET));
	k->acked_ns = 0;
	killop_finish(k);
}

static void
killop_answered(struct broker *b, unsigned index, uint64_t epoch,
    uint64_t cut, uint64_t at)
{
	uint64_t bit = UINT64_C(1) << index, now = clock_mono_ns();

	list_each_safe(it, tmp, &b->killops) {
		struct broker_killop *k = list_entry(it,
		    struct broker_killop, link);

		if ((k->waiting & bit) == 0 || k->epoch > epoch)
			continue;
		k->waiting &= ~bit;
		k->cut += cut;
		/* By its own word, which we may read late: we wait for the
		 * disk meanwhile. Within what is possible. */
		if (at < k->began_ns || at > now)
			at = now;
		if (at > k->acked_ns)
			k->acked_ns = at;
		if (k->waiting == 0)
			killop_finish(k);
	}
}

int
kill_on_ack(struct broker_proxy *p, struct slice body)
{
	struct unpack u;

	unpack_init(&u, body);
	uint64_t epoch = unpack_u64(&u);
	uint32_t cut = unpack_u32(&u);
	uint64_t at = unpack_u64(&u);

	if (!unpack_done(&u) || epoch > killpage_epoch(p->b->page))
		return -1;
	if (epoch > p->acked)
		p->acked = epoch;
	killop_answered(p->b, p->index, epoch, cut, at);
	return 0;
}

/* Its connections are gone with it. */
void
kill_proxy_gone(struct broker *b, unsigned index)
{
	killop_answered(b, index, UINT64_MAX, 0, clock_mono_ns());
}

void
kill_free_all(struct broker *b)
{
	list_each_safe(it, tmp, &b->killops)
		killop_finish(list_entry(it, struct broker_killop, link));
}

/* -- kill -- */

/* False, and the op ended, when the name is nothing we know. */
static bool
target_known(struct broker_op *op, const struct target *t, bool *sure_r)
{
	struct broker *b = op->b;
	struct broker_names n = { 0 };
	struct slice name = t->name;
	char tool[TARGET_MAX + 8];

	*sure_r = true;
	switch (t->kind) {
	case TARGET_CONNECTOR:
		broker_connector_names(b, &n);
		*sure_r = n.catalogue;
		break;
	case TARGET_TOOL:
		(void)state_tool_each(b->st, false, add_tool, &n);
		snprintf(tool, sizeof(tool), "%.*s/%.*s", SLICE_FMT(t->name),
		    SLICE_FMT(t->tool));
		name = slice_str(tool);
		break;
	case TARGET_AGENT:
		(void)state_names(b->st, STATE_NAME_AGENT, NAMES_MAX,
		    broker_names_add_cb, &n);
		break;
	case TARGET_SESSION:
		(void)state_names(b->st, STATE_NAME_SESSION, NAMES_MAX,
		    broker_names_add_cb, &n);
		break;
	case TARGET_USER:
		(void)state_names(b->st, STATE_NAME_USER, NAMES_MAX,
		    broker_names_add_cb, &n);
		break;
	default:
		return true;
	}
	bool known = broker_names_has(&n, name);

	if (known)
		*sure_r = true;
	else if (*sure_r) {
		char text[TARGET_MAX + 8];

		snprintf(text, sizeof(text), "%.*s", SLICE_FMT(name));
		op_fail_unknown(op, target_kind_name(t->kind), text, &n);
	}
	broker_names_free(&n);
	return known || !*sure_r;
}

static void
kill_event(struct broker_event *e, enum event_type type,
    const struct target *t, const char *target, const char *by,
    const char *reason, int64_t until)
{
	broker_event_begin(e, type);
	jsonw_str(&e->w, "target", target);
	if (t->kind == TARGET_CONNECTOR || t->kind == TARGET_TOOL)
		jsonw_slice(&e->w, "connector", t->name);
	if (t->kind == TARGET_TOOL)
		jsonw_slice(&e->w, "tool", t->tool);
	if (t->kind == TARGET_AGENT)
		jsonw_slice(&e->w, "agent", t->name);
	if (t->kind == TARGET_SESSION)
		jsonw_slice(&e->w, "session", t->name);
	if (t->kind == TARGET_USER)
		jsonw_slice(&e->w, "user", t->name);
	jsonw_str(&e->w, "by", by);
	jsonw_str(&e->w, "detail", reason);
	op_time(&e->w, "until", until);
}

static void
kill_now(struct broker_op *op, const struct target *t, bool verified)
{
	struct broker *b = op->b;
	const char *target = op_text(op, OPREQ_TARGET);
	struct broker_killop *k = base_calloc(1, sizeof(*k));
	int64_t now = clock_wall_ms(), for_ms = op->req.num[OPREQ_FOR_MS];
	struct state_kill row = { .target = target, .by = op->by,
		.reason = op_text(op, OPREQ_REASON), .at = now,
		.until = for_ms == 0 ? 0 : now + for_ms, .active = true };
	struct broker_event e;

	k->b = b;
	k->op = op;
	k->unverified = !verified;
	k->until = row.until;
	k->began_ns = clock_mono_ns();
	k->epoch = page_set(b, target);
	/* The reason is there when they wake: it is an agent's last word. */
	send_kill_all(b, &row);
	broker_flush(b);
	wake_proxies(b);
	k->durable = state_kill_put(b->st, &row) == 0 &&
	    broker_commit(b) == 0;
	k->durable_ns = clock_mono_ns();
	k->cancelled = held_cancel_target(b, t, op->by, row.reason);
	broker_flush(b);
	kill_event(&e, EVENT_CONNECTOR_KILLED, t, target, op->by, row.reason,
	    row.until);
	op_note(op, &e);
	send_stored_all(b, k->epoch);
	for (unsigned i = 0; i < BROKER_PROXIES; i++) {
		if (!b->proxies[i].synced)
			continue;
		k->proxies++;
		if (b->proxies[i].acked < k->epoch)
			k->waiting |= UINT64_C(1) << i;
	}
	list_append(&b->killops, &k->link);
	k->timer = loop_timer_new(b->loop, on_silence, k);
	loop_timer_set(k->timer, BROKER_KILL_WAIT_MS);
	if (k->waiting == 0)
		killop_finish(k);
}

void
op_kill(struct broker_op *op)
{
	const char *text = op_text(op, OPREQ_TARGET);
	struct err err = { 0 };
	struct target t;
	bool verified = false;

	if (target_parse(&t, slice_str(text), &err) != 0) {
		op_fail(op, "usage", "%s", err.text);
		return;
	}
	if (op->req.num[OPREQ_FORCE] == 0 && !target_known(op, &t, &verified))
		return;
	kill_now(op, &t, verified);
}

/* -- revive -- */

struct ask_all {
	const char *connector, *tool;
	bool found;
	struct state_tool t;
	char *text[4];
};

static int
tool_copy(void *ctx, const struct state_tool *t)
{
	struct ask_all *a = ctx;

	a->found = true;
	a->t = *t;
	a->t.connector = a->connector;
	a->t.tool = a->tool;
	a->text[0] = base_strdup(t->description);
	a->text[1] = base_strdup(t->mode);
	a->text[2] = t->reason == NULL ? NULL : base_strdup(t->reason);
	a->text[3] = t->by == NULL ? NULL : base_strdup(t->by);
	a->t.description = a->text[0];
	a->t.mode = a->text[1];
	a->t.reason = a->text[2];
	a->t.by = a->text[3];
	return 0;
}

/* on: every call of it is held from now on; off: as the catalogue says.
 * 1: nothing changed. Stores, does not commit; *send tells the proxies. */
static int
tool_ask_all(struct broker *b, const char *connector, const char *tool,
    bool on, bool send)
{
	struct ask_all a = { .connector = connector, .tool = tool };
	const char *mode = on ? policy_approval_names[POLICY_ASK] : "";
	int r = state_tool_get(b->st, connector, tool, tool_copy, &a);

	if (r == 0 && send) {
		a.t.mode = mode;
		registry_send_tool(b, NULL, &a.t);
	} else if (r == 0 && strcmp(a.t.mode, mode) == 0) {
		r = 1;
	} else if (r == 0) {
		a.t.mode = mode;
		r = state_tool_put(b->st, &a.t);
	}
	for (size_t i = 0; i < ARRAY_LEN(a.text); i++)
		free(a.text[i]);
	return r;
}

static int
connector_keep(void *ctx, const struct state_connector *c)
{
	int *state_r = ctx;

	*state_r = c->state;
	return 0;
}

static int
connector_ask_all(struct broker *b, const char *name, bool on,
    const char *by, const char *reason, bool send)
{
	struct state_connector c = { .name = name, .by = by,
		.reason = reason, .at = clock_wall_ms(),
		.state = on ? STATE_ASK_ALL : STATE_CATALOGUE };
	int was = STATE_CATALOGUE;

	if (send) {
		registry_send_connector(b, NULL, name, c.state);
		return 0;
	}
	if (state_connector_get(b->st, name, connector_keep, &was) < 0)
		return -1;
	/* Off undoes only what an expiry did; on never loosens `disabled`. */
	if (on ? was == STATE_DISABLED || was == STATE_ASK_ALL :
	    was != STATE_ASK_ALL)
		return 1;
	return state_connector_put(b->st, &c);
}

/* Connector or tool: ask-all on or off. 1: nothing to do. */
static int
target_ask_all(struct broker *b, const struct target *t, bool on,
    const char *by, const char *reason, bool send)
{
	char *name = slice_dup(t->name), *tool = slice_dup(t->tool);
	int r = 1;

	if (t->kind == TARGET_CONNECTOR)
		r = connector_ask_all(b, name, on, by, reason, send);
	else if (t->kind == TARGET_TOOL)
		r = tool_ask_all(b, name, tool, on, send);
	free(name);
	free(tool);
	return r;
}

static int
kill_name(void *ctx, const struct state_kill *k)
{
	broker_names_add(ctx, slice_str(k->target));
	return 0;
}

/* 0 when the page and everybody knows; the row was ended and committed. */
static void
lift(struct broker *b, const char *target, const char *by,
    const char *reason)
{
	struct state_kill k = { .target = target, .by = by, .reason = reason };

	(void)page_clear(b, target);
	/* Behind `all`, single names could not be looked up: now they can. */
	if (strcmp(target, "all") == 0 && (adopt_known(b) != 0 ||
	    broker_commit(b) != 0))
		log_error("kills found on the page could not be stored");
	wake_proxies(b);
	send_kill_all(b, &k);
}

static void
revive_recorded(struct broker_op *op)
{
	struct broker *b = op->b;
	const char *target = op_text(op, OPREQ_TARGET);
	const char *reason = op_text(op, OPREQ_REASON);
	struct err err = { 0 };
	struct target t;
	int ended, calmed;

	if (!op->committed) {
		op_fail(op, "unavailable", "the ledger does not record:"
		    " %s stays killed", target);
		return;
	}
	ASSERT(target_parse(&t, slice_str(target), &err) == 0);
	ended = state_kill_end(b->st, target, op->by, reason,
	    clock_wall_ms());
	calmed = target_ask_all(b, &t, false, op->by, reason, false);
	if (ended < 0 || calmed < 0 || broker_commit(b) != 0) {
		state_rollback(b->st);
		held_batch_lost(b);
		op_fail(op, "failed", "state.db could not store it: %s stays"
		    " killed", target);
		return;
	}
	if (calmed == 0)
		(void)target_ask_all(b, &t, false, op->by, reason, true);
	lift(b, target, op->by, reason);
	broker_flush(b);
	op_ok(op);
	jsonw_str(&op->w, "target", target);
	jsonw_u64(&op->w, "epoch", killpage_epoch(b->page));
	jsonw_bool(&op->w, "was_killed", ended == 0);
	jsonw_bool(&op->w, "was_ask_all", calmed == 0);
	jsonw_bool(&op->w, "all_still_killed", killpage_all(b->page));
	op_end(op);
}

struct ask_state {
	bool on;
};

static int
tool_mode(void *ctx, const struct state_tool *t)
{
	struct ask_state *a = ctx;

	a->on = t->mode[0] != '\0';
	return 0;
}

static bool
is_ask_all(struct broker *b, const struct target *t)
{
	char *name = slice_dup(t->name), *tool = slice_dup(t->tool);
	struct ask_state a = { false };
	int state = STATE_CATALOGUE;

	if (t->kind == TARGET_CONNECTOR)
		(void)state_connector_get(b->st, name, connector_keep,
		    &state);
	else if (t->kind == TARGET_TOOL)
		(void)state_tool_get(b->st, name, tool, tool_mode, &a);
	free(name);
	free(tool);
	return a.on || state == STATE_ASK_ALL;
}

void
op_revive(struct broker_op *op)
{
	const char *target = op_text(op, OPREQ_TARGET);
	struct broker_names known = { 0 };
	struct broker_event e;
	struct err err = { 0 };
	struct target t;

	if (target_parse(&t, slice_str(target), &err) != 0) {
		op_fail(op, "usage", "%s", err.text);
		return;
	}
	if (state_kill_get(op->b->st, target, ignore_kill, NULL) == 1 &&
	    !is_ask_all(op->b, &t)) {
		(void)state_kill_each(op->b->st, true, KILLPAGE_SLOTS,
		    kill_name, &known);
		op_fail_unknown(op, "kill of", target, &known);
		broker_names_free(&known);
		return;
	}
	kill_event(&e, EVENT_CONNECTOR_REVIVED, &t, target, op->by,
	    op_text(op, OPREQ_REASON), 0);
	op_record(op, &e, revive_recorded);
}

static int
ls_kill(void *ctx, const struct state_kill *k)
{
	struct broker_op *op = ctx;
	struct jsonw *w = &op->w;
	int64_t now = clock_wall_ms();

	jsonw_object(w, NULL);
	jsonw_str(w, "target", k->target);
	jsonw_str(w, "state", !k->active ? "ended" :
	    k->until != 0 && k->until <= now ? "killed, time is up: revive it" :
	    "killed");
	jsonw_bool(w, "active", k->active);
	jsonw_str(w, "reason", k->reason);
	jsonw_str(w, "by", k->by);
	op_time(w, "at", k->at);
	op_time(w, "until", k->until);
	op_time(w, "ended", k->ended);
	jsonw_str(w, "ended_by", k->ended_by);
	jsonw_str(w, "ended_reason", k->ended_reason);
	jsonw_object_end(w);
	return 0;
}

void
op_kills(struct broker_op *op)
{
	bool all = op->req.num[OPREQ_ALL] != 0;

	op_ok(op);
	jsonw_u64(&op->w, "epoch", killpage_epoch(op->b->page));
	jsonw_array(&op->w, "kills");
	if (state_kill_each(op->b->st, !all, all ? 500 : KILLPAGE_SLOTS,
	    ls_kill, op) != 0) {
		op_fail(op, "failed", "state.db could not be read");
		return;
	}
	jsonw_array_end(&op->w);
	op_end(op);
}

/* -- when its time is up -- */

struct due {
	int64_t now;
	char *target;
};

static int
find_due(void *ctx, const struct state_kill *k)
{
	struct due *d = ctx;
	struct err err = { 0 };
	struct target t;

	if (k->until == 0 || k->until > d->now ||
	    target_parse(&t, slice_str(k->target), &err) != 0 ||
	    (t.kind != TARGET_CONNECTOR && t.kind != TARGET_TOOL))
		return 0;
	d->target = base_strdup(k->target);
	return -1;	/* one is enough: the next tick takes the next */
}

static const char by_time[] = "(time)";
static const char time_is_up[] = "its time is up: every call is held until a"
    " person revives it";

/* Recorded: state.db (ask-all), the proxies' ask-all, then the page. */
static void
expiry_recorded(void *ctx, bool ok)
{
	struct broker *b = ctx;
	char *target = b->expiring_target;
	struct err err = { 0 };
	struct target t;
	int asked;

	b->expiring = false;
	b->expiring_target = NULL;
	if (ok && target_parse(&t, slice_str(target), &err) == 0) {
		asked = target_ask_all(b, &t, true, by_time, time_is_up,
		    false);
		/* A tool nobody has seen cannot be held: it stays killed. */
		if (asked < 0 || (asked == 1 && !is_ask_all(b, &t) &&
		    t.kind == TARGET_TOOL) ||
		    state_kill_end(b->st, target, by_time, time_is_up,
		    clock_wall_ms()) != 0) {
			state_rollback(b->st);
			held_batch_lost(b);
			log_error("%s stays killed", target);
		} else if (broker_commit(b) == 0) {
			if (asked == 0)
				(void)target_ask_all(b, &t, true, by_time,
				    time_is_up, true);
			lift(b, target, by_time, time_is_up);
		}
	}
	free(target);
}

void
kill_tick(struct broker *b, int64_t now)
{
	struct due d = { .now = now };
	struct broker_event e;
	struct err err = { 0 };
	struct target t;

	if (b->expiring || !emit_connected(b->emit))
		return;
	(void)state_kill_each(b->st, true, KILLPAGE_SLOTS, find_due, &d);
	if (d.target == NULL)
		return;
	ASSERT(target_parse(&t, slice_str(d.target), &err) == 0);
	kill_event(&e, EVENT_CONNECTOR_REVIVED, &t, d.target, by_time,
	    time_is_up, 0);
	b->expiring = true;
	b->expiring_target = d.target;
	if (broker_event_send(b, &e, expiry_recorded, b) != 0)
		expiry_recorded(b, false);
}
