/* exporter - see exporter.h. */
#include "exporter.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "chan.h"
#include "clock.h"
#include "cursor.h"
#include "dns.h"
#include "emit.h"
#include "event.h"
#include "file.h"
#include "follow.h"
#include "log.h"
#include "pack.h"
#include "sink_file.h"
#include "sink_syslog.h"

#define ROW_HEAD 28		/* u64 seq, id16, u32 length */
#define HANDED_ENTRY 24		/* u64 seq, id16 */
#define HANDED_MAX (64u << 20)
#define CATCH_UP_BELOW (EXPORTER_WINDOW / 4)
#define TICK_MS 10000
#define DOWN_AFTER_MS 30000
#define CUT_EVERY_MS 60000
#define FILE_MAX (1u << 20)	/* resolv.conf, hosts */
#define EMIT_MAX (1u << 20)

struct exporter {
	struct role_env *env;
	struct conf_sink conf;		/* copies: the snapshot may change */
	struct sink *sink;
	struct cursor cursor;
	struct dns *dns;
	int dirfd;			/* of a file sink */
	struct emit *emit;		/* and with it the recorder's channel */
	struct follow *follow;
	struct loop_timer *tick;

	struct buf window;		/* rows as ROW_HEAD and JSON */
	struct buf handed;		/* what the sink has, HANDED_ENTRY each */
	uint64_t delivered;
	bool cursor_other;		/* its row is another one in the ledger */

	bool store_failing;
	bool down_told;
	uint64_t progress_ms;		/* of delivery, or nothing to do */
	uint64_t cut_told, cut_ms;
};

/* --- events of its own ---------------------------------------------------- */

static void
tell(struct exporter *x, enum event_type type, const char *k1, uint64_t v1,
    const char *k2, uint64_t v2)
{
	struct uuid id = uuid_v7(), none = { { 0 } };
	struct jsonw w;
	struct buf b;

	buf_init(&b, 4096);
	event_begin(&w, &b, id, type, ROLE_EXPORTER);
	jsonw_str(&w, "sink", x->conf.name);
	jsonw_u64(&w, k1, v1);
	if (k2 != NULL)
		jsonw_u64(&w, k2, v2);
	event_end(&w);
	if (b.full || emit_event(x->emit, id, none, buf_slice(&b), NULL,
	    NULL) != 0)
		log_error("%s could not be recorded", event_type_name(type));
	buf_free(&b);
}

static uint64_t
waiting(const struct exporter *x)
{
	uint64_t head = follow_head(x->follow);

	return head > x->delivered ? head - x->delivered : 0;
}

static void
on_tick(void *ctx)
{
	struct exporter *x = ctx;
	uint64_t now = clock_mono_ms();
	uint64_t cut = x->sink->stats.truncated + x->sink->stats.malformed;

	loop_timer_set(x->tick, TICK_MS);
	if (waiting(x) == 0)
		x->progress_ms = now;
	if (!x->down_told && now - x->progress_ms >= DOWN_AFTER_MS) {
		x->down_told = true;
		tell(x, EVENT_EXPORT_DOWN, "waiting", waiting(x), NULL, 0);
	}
	if (cut != x->cut_told && now - x->cut_ms >= CUT_EVERY_MS) {
		tell(x, EVENT_EXPORT_CUT, "count", cut - x->cut_told, NULL, 0);
		x->cut_told = cut;
		x->cut_ms = now;
	}
}

/* --- from the window to the sink ------------------------------------------ */

static bool
peek(struct exporter *x, uint64_t *seq_r, struct uuid *id_r,
    struct slice *json_r)
{
	struct unpack u;

	if (x->window.len == 0)
		return false;
	unpack_init(&u, buf_slice(&x->window));
	*seq_r = unpack_u64(&u);
	unpack_bytes(&u, id_r->b, sizeof(id_r->b));
	*json_r = unpack_slice(&u);
	ASSERT(!u.bad);
	return true;
}

/* The end of a round: what waits goes to the sink as one batch. */
static void
on_round_end(void *ctx)
{
	struct exporter *x = ctx;
	struct slice json;
	struct uuid id;
	uint64_t seq;

	while (peek(x, &seq, &id, &json) &&
	    buf_room(&x->handed) >= HANDED_ENTRY) {
		if (sink_write(x->sink, seq, json) == SINK_FULL)
			break;
		pack_u64(&x->handed, seq);
		pack_bytes(&x->handed, id.b, sizeof(id.b));
		buf_consume(&x->window, ROW_HEAD + json.n);
	}
	sink_flush(x->sink);
	follow_go_on(x->follow);
}

static void
schedule(struct exporter *x)
{
	loop_at_end(x->env->loop, on_round_end, x);
}

static void
tell_recorder(struct exporter *x)
{
	struct chan *c = emit_chan(x->emit);
	struct buf *b;

	/* Only for status and retention: a later one makes up for it. */
	if (c == NULL || (b = chan_begin(c, MSG_FEED_DONE)) == NULL)
		return;
	pack_u64(b, x->cursor.seq);
	chan_end(c);
}

static void
store(struct exporter *x, uint64_t seq, struct uuid id)
{
	if (cursor_store(&x->cursor, seq, id) == 0) {
		x->store_failing = false;
		tell_recorder(x);
		return;
	}
	if (!x->store_failing)
		log_error("cursor: %s; going on, a restart sends again from "
		    "seq %llu", strerror(errno),
		    (unsigned long long)x->cursor.seq);
	x->store_failing = true;
}

static void
on_delivered(void *ctx, uint64_t seq)
{
	struct exporter *x = ctx;
	struct uuid id = { { 0 } };
	uint64_t s = 0;

	while (x->handed.len > 0) {
		struct unpack u;

		unpack_init(&u, slice_sub(buf_slice(&x->handed), 0,
		    HANDED_ENTRY));
		s = unpack_u64(&u);
		if (s > seq)
			break;
		unpack_bytes(&u, id.b, sizeof(id.b));
		buf_consume(&x->handed, HANDED_ENTRY);
		x->delivered = s;
	}
	ASSERT(x->delivered == seq);
	x->progress_ms = clock_mono_ms();
	store(x, seq, id);
	if (x->down_told)
		tell(x, EVENT_EXPORT_UP, "waiting", waiting(x), NULL, 0);
	x->down_told = false;
	schedule(x);
}

static void
on_ready(void *ctx)
{
	schedule(ctx);
}

/* Everything behind the last delivered row is read and written again. */
static void
on_lost(void *ctx)
{
	struct exporter *x = ctx;

	buf_reset(&x->window);
	buf_reset(&x->handed);
	follow_seek(x->follow, x->delivered + 1);
	schedule(x);
}

/* --- into the window ------------------------------------------------------- */

static bool
on_row(void *ctx, uint64_t seq, struct uuid id, struct slice json)
{
	struct exporter *x = ctx;

	if (x->window.len >= EXPORTER_WINDOW)
		return false;
	pack_u64(&x->window, seq);
	pack_bytes(&x->window, id.b, sizeof(id.b));
	pack_slice(&x->window, json);
	ASSERT(!x->window.full);
	schedule(x);
	return true;
}

static bool
has_room(void *ctx)
{
	struct exporter *x = ctx;

	return x->window.len < CATCH_UP_BELOW;
}

static void
on_hole(void *ctx, uint64_t from, uint64_t to)
{
	struct exporter *x = ctx;

	log_error("the ledger lacks seq %llu to %llu: they cannot be exported",
	    (unsigned long long)from, (unsigned long long)to);
	tell(x, EVENT_EXPORT_GAP, "from", from, "to", to);
}

/* --- is it still the same ledger? ------------------------------------------- */

/* The row the cursor stands on is another one, or is not there any more. */
static void
rewind_all(struct exporter *x, uint64_t head)
{
	struct uuid none = { { 0 } };
	bool outstanding = x->handed.len > 0;

	log_error("the ledger is not the one that was exported up to seq %llu "
	    "(its head is %llu): it was restored or rolled back. All of it is "
	    "exported again", (unsigned long long)x->cursor.seq,
	    (unsigned long long)head);
	if (outstanding) {
		/* What the sink holds has numbers of the other ledger: start
		 * again, the cursor is found wrong once more then. */
		loop_stop(x->env->loop);
		return;
	}
	tell(x, EVENT_EXPORT_REWOUND, "exported", x->cursor.seq, "head", head);
	buf_reset(&x->window);
	store(x, 0, none);
	x->delivered = 0;
	follow_seek(x->follow, 1);
}

static void
on_peek_row(void *ctx, uint64_t seq, struct uuid id, struct slice json)
{
	struct exporter *x = ctx;

	(void)json;
	x->cursor_other = seq == x->cursor.seq && !uuid_eq(id, x->cursor.id);
}

static void
on_peek_done(void *ctx, uint64_t head)
{
	struct exporter *x = ctx;

	if (x->cursor_other || head < x->cursor.seq)
		rewind_all(x, head);
	x->cursor_other = false;
}

/* A new recorder may have another ledger: look at the cursor's row first. */
static void
on_recorder(void *ctx)
{
	struct exporter *x = ctx;

	if (x->cursor.seq != 0)
		follow_peek(x->follow, x->cursor.seq);
	tell_recorder(x);
	schedule(x);
}

static void
exporter_channel(struct role_env *env, enum role peer, unsigned index, int fd)
{
	struct exporter *x = env->ctx;

	(void)index;
	if (peer == ROLE_RECORDER) {
		emit_attach(x->emit, fd);
	} else if (peer == ROLE_READER) {
		follow_reader(x->follow, fd);
	} else {
		log_error("a channel from %s: not expected here",
		    role_name(peer));
		base_close(&fd);
	}
}

/* --- life --------------------------------------------------------------------- */

static int
read_system_file(struct role_env *env, const char *name, const char *path,
    struct buf *out)
{
	struct slice s = snap_section(env->snap, name);
	struct err err = { 0 };

	if (s.p != NULL)
		return buf_add_slice(out, s);
	/* Neither is needed on every machine. */
	if (file_read(path, out, &err) != 0)
		log_info("%s", err.text);
	return 0;
}

static int
setup_syslog(struct exporter *x, const struct sink_hooks *hooks,
    struct err *err)
{
	const struct conf_sink *c = &x->conf;
	char hostname[256] = "";
	struct sink_syslog_conf sc = { .address = c->address,
		.server_name = c->server_name, .ca_pem = c->ca_pem,
		.hostname = hostname };
	struct buf resolv, hosts;

	gethostname(hostname, sizeof(hostname) - 1);
	buf_init(&resolv, FILE_MAX);
	buf_init(&hosts, FILE_MAX);
	read_system_file(x->env, "resolv", "/etc/resolv.conf", &resolv);
	read_system_file(x->env, "hosts", "/etc/hosts", &hosts);
	x->dns = dns_new(x->env->loop, buf_slice(&resolv), buf_slice(&hosts),
	    err);
	buf_free(&resolv);
	buf_free(&hosts);
	if (x->dns == NULL)
		return -1;
	x->sink = sink_syslog_new(x->env->loop, x->dns, &sc, hooks, err);
	return x->sink == NULL ? -1 : 0;
}

static int
setup_file(struct exporter *x, const struct sink_hooks *hooks,
    struct err *err)
{
	const struct conf_sink *c = &x->conf;
	char *folder = file_folder(c->path);
	const char *slash = strrchr(c->path, '/');
	const char *name = slash == NULL ? c->path : slash + 1;

	x->dirfd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (x->dirfd < 0)
		err_set(err, "sink %s: folder %s: %s", c->name, folder,
		    strerror(errno));
	else if (name[0] == '\0')
		err_set(err, "sink %s: path %s names no file", c->name,
		    c->path);
	else
		x->sink = sink_file_new(x->env->loop, x->dirfd, name, hooks);
	free(folder);
	return x->sink == NULL ? -1 : 0;
}

static char *
copy(const char *s)
{
	return s == NULL ? NULL : base_strdup(s);
}

static void
copy_conf(struct conf_sink *to, const struct conf_sink *from)
{
	to->type = from->type;
	to->name = copy(from->name);
	to->address = copy(from->address);
	to->ca_pem = copy(from->ca_pem);
	to->server_name = copy(from->server_name);
	to->path = copy(from->path);
}

static int
exporter_setup(struct role_env *env, struct err *err)
{
	struct exporter *x = base_calloc(1, sizeof(*x));
	struct sink_hooks hooks = { .delivered = on_delivered,
		.ready = on_ready, .lost = on_lost, .ctx = x };
	struct follow_hooks rows = { .row = on_row, .room = has_room,
		.hole = on_hole, .peek_row = on_peek_row,
		.peek_done = on_peek_done, .attached = on_recorder, .ctx = x };
	char name[300];

	env->ctx = x;
	x->env = env;
	x->dirfd = -1;
	if (env->index >= env->conf->nsinks) {
		err_set(err, "exporter %u: the config has %zu sinks",
		    env->index, env->conf->nsinks);
		return -1;
	}
	copy_conf(&x->conf, &env->conf->sinks[env->index]);
	if (role_dir(env, "export") < 0) {
		err_set(err, "no directory \"export\" was given");
		return -1;
	}
	snprintf(name, sizeof(name), "exporter-%s.cursor", x->conf.name);
	if (cursor_open(&x->cursor, role_dir(env, "export"), name, err) != 0)
		return -1;
	x->delivered = x->cursor.seq;
	x->progress_ms = clock_mono_ms();
	/* A row is added whole; the memory is made once, moved never. */
	buf_init(&x->window, 2 * EXPORTER_WINDOW + CHAN_BODY_MAX);
	if (buf_reserve(&x->window, 2 * EXPORTER_WINDOW) == NULL)
		ASSERT(!"room of the window");
	buf_init(&x->handed, HANDED_MAX);
	x->emit = emit_new(env->loop, ROLE_EXPORTER, env->index, EMIT_MAX);
	x->follow = follow_new(env->loop, x->emit, ROLE_EXPORTER, env->index,
	    &rows);
	follow_seek(x->follow, x->delivered + 1);
	follow_subscribe(x->follow);
	x->tick = loop_timer_new(env->loop, on_tick, x);
	log_info("sink %s: from seq %llu on", x->conf.name,
	    (unsigned long long)follow_next(x->follow));
	return x->conf.type == CONF_SINK_SYSLOG ?
	    setup_syslog(x, &hooks, err) : setup_file(x, &hooks, err);
}

static void
exporter_promise(struct role_env *env, struct sandbox_promise *p)
{
	struct exporter *x = env->ctx;

	p->rights = SANDBOX_FILES;
	p->dirs[p->ndirs++] = (struct sandbox_dir){ role_dir(env, "export"),
		true };
	if (x->dirfd >= 0)
		p->dirs[p->ndirs++] = (struct sandbox_dir){ x->dirfd, true };
	else
		p->rights |= SANDBOX_INET;
}

static void
exporter_start(struct role_env *env)
{
	struct exporter *x = env->ctx;

	loop_timer_set(x->tick, TICK_MS);
}

static bool
same(const char *a, const char *b)
{
	return strcmp(a == NULL ? "" : a, b == NULL ? "" : b) == 0;
}

static bool
same_sink(const struct conf_sink *a, const struct conf_sink *b)
{
	return a->type == b->type && same(a->name, b->name) &&
	    same(a->address, b->address) && same(a->ca_pem, b->ca_pem) &&
	    same(a->server_name, b->server_name) && same(a->path, b->path);
}

static void
on_changed(void *ctx)
{
	struct exporter *x = ctx;

	sink_finish(x->sink);
	loop_stop(x->env->loop);
}

/* A changed sink needs another sandbox: the role ends, and its parent starts
 * it again with the new snapshot. An unchanged file is opened again. */
static int
exporter_reload(struct role_env *env, struct err *err)
{
	struct exporter *x = env->ctx;

	(void)err;
	if (env->index < env->conf->nsinks &&
	    same_sink(&env->conf->sinks[env->index], &x->conf)) {
		if (x->dirfd >= 0)
			sink_reopen(x->sink);
		return 0;
	}
	log_info("its sink is another one now: starting again");
	loop_soon(env->loop, on_changed, x);
	return 0;
}

static void
exporter_stop(struct role_env *env)
{
	struct exporter *x = env->ctx;

	if (!sink_finish(x->sink))
		log_info("stopped with events undelivered: they follow at the "
		    "next start");
}

const struct role_def exporter_role = {
	.role = ROLE_EXPORTER,
	.setup = exporter_setup,
	.promise = exporter_promise,
	.start = exporter_start,
	.channel = exporter_channel,
	.reload = exporter_reload,
	.stop = exporter_stop,
};
