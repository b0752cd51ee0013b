/* broker - see broker.h and broker_int.h. */
#include "gateway/broker_int.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "snap.h"

#define EMIT_MAX (64u << 20)
#define EVENT_MAX (1u << 20)
#define PROXY_OUT_MAX (64u << 20)
#define KEEP_MS ((int64_t)90 * 86400 * 1000)

/* -- events -- */

void
broker_event_begin(struct broker_event *e, enum event_type t)
{
	memset(e, 0, sizeof(*e));
	buf_init(&e->b, EVENT_MAX);
	e->id = uuid_v7();
	event_begin(&e->w, &e->b, e->id, t, ROLE_BROKER);
}

int
broker_event_send(struct broker *b, struct broker_event *e,
    emit_done_fn *done, void *ctx)
{
	int r = -1;

	event_end(&e->w);
	if (!e->b.full)
		r = emit_event(b->emit, e->id, e->call, buf_slice(&e->b),
		    done, ctx);
	if (r != 0 && done == NULL)
		log_error("an event could not be queued for the ledger: %.*s",
		    (int)(e->b.len > 400 ? 400 : e->b.len), buf_data(&e->b));
	buf_free(&e->b);
	return r;
}

/* -- state.db -- */

int
broker_commit(struct broker *b)
{
	loop_at_end_cancel(b->loop, b);
	if (state_commit(b->st) != 0) {
		held_batch_lost(b);
		return -1;
	}
	held_batch_saved(b);
	return 0;
}

static void
on_round_end(void *ctx)
{
	(void)broker_commit(ctx);
}

void
broker_commit_soon(struct broker *b)
{
	loop_at_end(b->loop, on_round_end, b);
}

/* -- names -- */

void
broker_names_add(struct broker_names *n, struct slice name)
{
	if (n->n == n->cap) {
		n->cap = n->cap == 0 ? 64 : n->cap * 2;
		n->v = base_realloc(n->v, n->cap * sizeof(*n->v));
	}
	n->v[n->n++] = slice_dup(name);
}

int
broker_names_add_cb(void *ctx, const char *name)
{
	broker_names_add(ctx, slice_str(name));
	return 0;
}

bool
broker_names_has(const struct broker_names *n, struct slice name)
{
	for (size_t i = 0; i < n->n; i++)
		if (slice_is(name, n->v[i]))
			return true;
	return false;
}

void
broker_names_free(struct broker_names *n)
{
	for (size_t i = 0; i < n->n; i++)
		free(n->v[i]);
	free(n->v);
	memset(n, 0, sizeof(*n));
}

void
broker_connector_names(struct broker *b, struct broker_names *n)
{
	struct slice s = { NULL, 0 };
	struct unpack u;

	memset(n, 0, sizeof(*n));
	if (b->env->snap != NULL)
		s = snap_section(b->env->snap, "connector-names");
	if (s.p == NULL) {
		(void)state_names(b->st, STATE_NAME_CONNECTOR, 10000,
		    broker_names_add_cb, n);
		return;
	}
	n->catalogue = true;
	unpack_init(&u, s);
	for (uint32_t k = unpack_count(&u, 4); k > 0 && !u.bad; k--)
		broker_names_add(n, unpack_slice(&u));
	if (!unpack_done(&u))
		log_error("the snapshot's section connector-names is"
		    " malformed");
}

/* -- proxies -- */

/* The channel ends in the next round (on_proxy_close), never below a caller
 * that walks the held calls. */
static void
proxy_stuck(struct broker_proxy *p)
{
	log_error("proxy %u does not read, its channel is dropped", p->index);
	p->stuck = true;
	shutdown(chan_fd(p->chan), SHUT_RDWR);
}

struct buf *
broker_proxy_begin(struct broker_proxy *p, enum msg_type t)
{
	struct buf *b;

	if (p->chan == NULL || p->stuck || chan_fd(p->chan) < 0)
		return NULL;
	if ((b = chan_begin(p->chan, t)) == NULL)
		proxy_stuck(p);
	return b;
}

void
broker_proxy_end(struct broker_proxy *p)
{
	if (chan_end(p->chan) != 0)
		proxy_stuck(p);
}

void
broker_proxy_drop(struct broker_proxy *p)
{
	struct chan *c = p->chan;

	if (c == NULL)
		return;
	p->chan = NULL;
	p->synced = p->stuck = false;
	chan_free(c);
	held_proxy_gone(p->b, p->index);
	kill_proxy_gone(p->b, p->index);
	upstream_proxy_gone(p);
	tools_proxy_gone(p);
}

void
broker_flush(struct broker *b)
{
	for (size_t i = 0; i < BROKER_PROXIES; i++)
		if (b->proxies[i].chan != NULL)
			chan_flush(b->proxies[i].chan);
}

static int
on_hello(struct broker_proxy *p, struct slice body)
{
	struct unpack u;

	unpack_init(&u, body);
	unsigned role = unpack_u8(&u), index = unpack_u8(&u);
	unsigned version = unpack_u16(&u);

	if (!unpack_done(&u) || role != ROLE_PROXY || index != p->index ||
	    version != MSG_VERSION || p->synced)
		return -1;
	p->synced = true;
	registry_sync(p);
	kill_sync(p);
	if (broker_proxy_begin(p, MSG_SYNC_END) != NULL)
		broker_proxy_end(p);
	return 0;
}

static int
on_proxy_msg(void *ctx, struct chan *c, enum msg_type type,
    struct slice body, int fd)
{
	struct broker_proxy *p = ctx;

	(void)c;
	if (fd >= 0) {
		base_close(&fd);
		return -1;
	}
	if (type == MSG_HELLO)
		return on_hello(p, body);
	if (!p->synced)
		return -1;
	switch (type) {
	case MSG_TOOL_SEEN:
		return registry_tool_seen(p->b, body);
	case MSG_UPSTREAM_STATE:
		return upstream_on_state(p, body);
	case MSG_TOOLS_CACHED:
		return tools_on_cached(p, body);
	case MSG_TOOLS_REFRESHED:
		return tools_on_refreshed(p, body);
	case MSG_HOLD:
		return held_on_hold(p, body);
	case MSG_HOLD_CANCEL:
		return held_on_cancel(p, body);
	case MSG_CONSUME:
		return held_on_consume(p, body);
	case MSG_HOLD_DONE:
		return held_on_done(p, body);
	case MSG_CANCEL_CALL:
		return held_on_cancel_call(p, body);
	case MSG_KILL_ACK:
		return kill_on_ack(p, body);
	default:
		return -1;
	}
}

static void
on_proxy_close(void *ctx, struct chan *c)
{
	struct broker_proxy *p = ctx;

	if (p->chan == c)
		broker_proxy_drop(p);
}

static void
proxy_attach(struct broker *b, unsigned index, int fd)
{
	struct broker_proxy *p = &b->proxies[index];
	struct buf *out;

	broker_proxy_drop(p);
	p->acked = 0;
	p->chan = chan_new(b->loop, fd, PROXY_OUT_MAX, on_proxy_msg,
	    on_proxy_close, p);
	if ((out = broker_proxy_begin(p, MSG_HELLO)) == NULL)
		return;
	pack_u8(out, ROLE_BROKER);
	pack_u8(out, (uint8_t)b->env->index);
	pack_u16(out, MSG_VERSION);
	broker_proxy_end(p);
}

/* -- the role -- */

static void
on_tick(void *ctx)
{
	struct broker *b = ctx;
	int64_t now = clock_wall_ms();

	held_tick(b, now);
	session_tick(b, now);
	kill_tick(b, now);
	tools_tick(b);
	loop_timer_set(b->tick, BROKER_TICK_MS);
}

/* Names are looked up before the sandbox: afterwards nothing can be. */
static char *
own_name(void)
{
	struct passwd *pw = getpwuid(getuid());
	char number[32];

	if (pw != NULL)
		return base_strdup(pw->pw_name);
	snprintf(number, sizeof(number), "uid:%u", (unsigned)getuid());
	return base_strdup(number);
}

static int
setup(struct role_env *env, struct err *err)
{
	struct broker *b = base_calloc(1, sizeof(*b));
	int dir = role_dir(env, "state");

	env->ctx = b;
	b->env = env;
	b->loop = env->loop;
	b->listener_fd = -1;
	b->started = clock_wall_ms();
	b->started_ms = clock_mono_ms();
	list_init(&b->held);
	list_init(&b->conns);
	list_init(&b->killops);
	list_init(&b->refreshes);
	map_init(&b->by_call);
	for (unsigned i = 0; i < BROKER_PROXIES; i++) {
		b->proxies[i].b = b;
		b->proxies[i].index = i;
		upstream_proxy_init(&b->proxies[i]);
		tools_proxy_init(&b->proxies[i]);
	}
	b->own_name = own_name();
	if (dir < 0 || env->killpage_fd < 0) {
		err_set(err, "the broker was given no %s",
		    dir < 0 ? "state directory" : "kill page");
		return -1;
	}
	if ((b->page = killpage_map(env->killpage_fd, true)) == NULL) {
		err_set(err, "the kill page cannot be mapped for writing");
		return -1;
	}
	if ((b->st = state_open(dir, err)) == NULL)
		return -1;
	b->emit = emit_new(b->loop, ROLE_BROKER, env->index, EMIT_MAX);
	/* Kills first: whatever else is wrong, they stand. */
	if (kill_recover(b, err) != 0 || held_load(b, err) != 0)
		return -1;
	if (state_prune(b->st, b->started - KEEP_MS) != 0 ||
	    state_commit(b->st) != 0) {
		err_set(err, "state.db cannot be written");
		return -1;
	}
	return 0;
}

static void
promise(struct role_env *env, struct sandbox_promise *p)
{
	p->rights = SANDBOX_ACCEPT | SANDBOX_FILES;
	p->dirs[0].fd = role_dir(env, "state");
	p->dirs[0].write = true;
	p->ndirs = 1;
}

static void
start(struct role_env *env)
{
	struct broker *b = env->ctx;
	struct err err = { 0 };

	b->tick = loop_timer_new(b->loop, on_tick, b);
	loop_timer_set(b->tick, BROKER_TICK_MS);
	if (op_listen(b, &err) != 0)
		log_error("%s", err.text);
}

static void
channel(struct role_env *env, enum role peer, unsigned index, int fd)
{
	struct broker *b = env->ctx;

	if (peer == ROLE_RECORDER) {
		emit_attach(b->emit, fd);
	} else if (peer == ROLE_PROXY && index < BROKER_PROXIES) {
		proxy_attach(b, index, fd);
	} else {
		log_error("no channel with %s %u", role_name(peer), index);
		base_close(&fd);
	}
}

static void
stop(struct role_env *env)
{
	struct broker *b = env->ctx;

	kill_free_all(b);
	tools_free_all(b);
	op_stop(b);
	for (unsigned i = 0; i < BROKER_PROXIES; i++) {
		chan_free(b->proxies[i].chan);
		b->proxies[i].chan = NULL;
		upstream_proxy_gone(&b->proxies[i]);
		tools_proxy_gone(&b->proxies[i]);
	}
	loop_at_end_cancel(b->loop, b);
	if (state_commit(b->st) != 0)
		log_error("state.db: the last changes were not stored");
	held_free_all(b);
	map_free(&b->by_call);
	emit_free(b->emit);
	loop_timer_del(b->tick);
	state_close(b->st);
	killpage_unmap(b->page);
	free(b->expiring_target);
	free(b->own_name);
	free(b);
	env->ctx = NULL;
}

const struct role_def broker_role = {
	.role = ROLE_BROKER,
	.setup = setup,
	.promise = promise,
	.start = start,
	.channel = channel,
	.stop = stop,
};
