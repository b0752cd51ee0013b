/*
 * broker_registry - what the proxies are told of tools and connectors, the
 * classes and states that operators give them, and status.
 */
#include "gateway/broker_int.h"

#include <stdlib.h>

#include "clock.h"
#include "codec.h"
#include "conf.h"
#include "connector.h"
#include "log.h"
#include "snap.h"

#define TOOL_DESCRIPTION_MAX 4096
#define CONNECTOR_NO_OVERRIDE 255	/* in CONNECTOR_PUT */

/* -- to the proxies -- */

void
registry_each_proxy(struct broker *b, struct broker_proxy *only,
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
	registry_each_proxy(b, only, put_tool, t);
}

void
registry_send_connector(struct broker *b, struct broker_proxy *only,
    const char *name, int state)
{
	struct state_connector c = { .name = name, .state = state };

	registry_each_proxy(b, only, put_connector, &c);
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

	if (session_sync(p) != 0 ||
	    state_tool_each(st, false, sync_tool, p) != 0 ||
	    state_connector_each(st, sync_connector, p) != 0)
		log_error("proxy %u was told only part of state.db",
		    p->index);
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

struct tool_list {
	const struct broker *b;
	struct jsonw *w;		/* NULL: only count */
	const struct connector_set *set;
	bool unclassified;		/* only these */
	unsigned n;
};

static int
ls_tool(void *ctx, const struct state_tool *t)
{
	struct tool_list *l = ctx;
	struct jsonw *w = l->w;
	int class = broker_filed_class(l->set, t->connector, t->tool);
	bool filed = class >= 0;
	char digest[65];

	if (l->unclassified && filed)
		return 0;
	l->n++;
	if (w == NULL)
		return 0;
	if (!filed)
		class = t->class;
	hex_encode(t->digest, 32, digest);
	jsonw_object(w, NULL);
	jsonw_str(w, "connector", t->connector);
	jsonw_str(w, "tool", t->tool);
	jsonw_str(w, "class", class < 0 || class >= CONF_CLASSES ? NULL :
	    conf_class_names[class]);
	jsonw_str(w, "mode", t->mode);
	jsonw_str(w, "by", filed ? "catalogue" : t->by);
	jsonw_str(w, "reason", filed ? NULL : t->reason);
	op_time(w, "seen", t->seen);
	op_time(w, "changed", t->changed);
	op_time(w, "cached", tools_cached_since(l->b, t->connector));
	jsonw_str(w, "definition_sha256", digest);
	jsonw_str(w, "description", t->description);
	jsonw_object_end(w);
	return 0;
}

void
op_tool_ls(struct broker_op *op)
{
	struct connector_set *set = broker_catalogue(op->b->env->snap);
	struct tool_list l = { .b = op->b, .w = &op->w, .set = set,
		.unclassified = op->req.num[OPREQ_UNCLASSIFIED] != 0 };
	int r;

	op_ok(op);
	jsonw_array(&op->w, "tools");
	r = state_tool_each(op->b->st, l.unclassified, ls_tool, &l);
	connector_set_free(set);
	if (r != 0) {
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

/* A class that a file gives is read-only here: the gate goes by the file. */
static bool
filed_already(struct broker_op *op, const char *connector, const char *tool)
{
	struct connector_set *set = broker_catalogue(op->b->env->snap);
	int class = broker_filed_class(set, connector, tool);

	connector_set_free(set);
	if (class < 0)
		return false;
	op_fail(op, "refused", "%s/%s is %s by the file of %s in connectors.d:"
	    " change it there", connector, tool, conf_class_names[class],
	    connector);
	return true;
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
	if (filed_already(op, connector, tool))
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
	upstream_write(l->op->b, c->name, w);
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
		upstream_write(op->b, names.v[i], &op->w);
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

void
op_status(struct broker_op *op)
{
	struct broker *b = op->b;
	unsigned sessions = 0, kills = 0;
	struct connector_set *set = broker_catalogue(b->env->snap);
	struct tool_list tools = { .set = set, .unclassified = true };

	(void)state_session_each(b->st, true, clock_wall_ms(), count_session,
	    &sessions);
	(void)state_kill_each(b->st, true, KILLPAGE_SLOTS, count_kill, &kills);
	(void)state_tool_each(b->st, true, ls_tool, &tools);
	connector_set_free(set);
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
	jsonw_u64(&op->w, "tools_unclassified", tools.n);
	op_end(op);
}
