/* emit - see emit.h. */
#include "emit.h"

#include <stdlib.h>

#include "clock.h"
#include "list.h"
#include "log.h"
#include "pack.h"

#define GRACE_MS 2000
/* What a frame takes besides the text, so that the whole queue always fits
 * into a new channel: an event not resent would be acknowledged by the next. */
#define OVERHEAD 64
#define WAITERS 1024		/* power of two */

struct pending {
	struct list link;
	struct list waiter;	/* in emit.waiters while it has done */
	uint64_t n, since_ms;
	struct uuid id, call;
	emit_done_fn *done;
	void *ctx;
	size_t len;
	char json[];
};

struct emit {
	struct loop *loop;
	struct chan *chan;
	enum role role;
	unsigned index;
	struct list queue;	/* oldest first; not yet acknowledged */
	/* Those somebody waits for, by the address of who does: owners come and
	 * go while thousands wait. */
	struct list waiters[WAITERS];
	uint64_t next_n;
	struct pending *unsent;	/* first that is not in the channel; or NULL */
	size_t unsent_bytes;
	struct loop_timer *later;
	size_t bytes, max_bytes;
	struct loop_timer *grace;
	struct loop_timer *watch;	/* armed while something is queued */
	uint64_t patience_ms;
	bool watching, hung;
	chan_msg_fn *other_fn;
	loop_fn *attach_fn;
	void *other_ctx;
};

static void on_grace(void *ctx);
static void on_watch(void *ctx);
static void on_later(void *ctx);

struct emit *
emit_new(struct loop *l, enum role role, unsigned index, size_t max_bytes)
{
	struct emit *e = base_calloc(1, sizeof(*e));

	e->loop = l;
	e->role = role;
	e->index = index;
	e->max_bytes = max_bytes;
	e->next_n = 1;
	list_init(&e->queue);
	for (size_t i = 0; i < WAITERS; i++)
		list_init(&e->waiters[i]);
	e->grace = loop_timer_new(l, on_grace, e);
	loop_timer_set(e->grace, GRACE_MS);
	e->watch = loop_timer_new(l, on_watch, e);
	e->patience_ms = EMIT_PATIENCE_MS;
	e->later = loop_timer_new(l, on_later, e);
	return e;
}

void
emit_free(struct emit *e)
{
	if (e == NULL)
		return;
	list_each_safe(it, tmp, &e->queue) {
		list_remove(it);
		free(list_entry(it, struct pending, link));
	}
	chan_free(e->chan);
	loop_timer_del(e->grace);
	loop_timer_del(e->watch);
	loop_timer_del(e->later);
	free(e);
}

static struct list *
waiters_of(struct emit *e, const void *ctx)
{
	uint64_t h = (uint64_t)(uintptr_t)ctx * UINT64_C(0x9e3779b97f4a7c15);

	return &e->waiters[h >> 32 & (WAITERS - 1)];
}

static void
wait_for(struct emit *e, struct pending *p, emit_done_fn *done, void *ctx)
{
	p->done = done;
	p->ctx = ctx;
	if (done != NULL)
		list_append(waiters_of(e, ctx), &p->waiter);
}

/* Nobody waits for it any more; who did is left in p->ctx. */
static emit_done_fn *
wait_no_more(struct pending *p)
{
	emit_done_fn *done = p->done;

	if (done != NULL)
		list_remove(&p->waiter);
	p->done = NULL;
	return done;
}

static void
finish(struct emit *e, struct pending *p, bool ok)
{
	emit_done_fn *done = wait_no_more(p);
	void *ctx = p->ctx;

	list_remove(&p->link);
	e->bytes -= p->len + OVERHEAD;
	free(p);
	if (done != NULL)
		done(ctx, ok);
}

/* Whoever waits is told that it waits in vain. The events stay queued, so
 * that what was decided is still recorded. */
static void
give_up(struct emit *e)
{
	/* A callback may add to the queue's end; only an answer of the
	 * recorder takes from it. */
	list_each(it, &e->queue) {
		struct pending *p = list_entry(it, struct pending, link);
		emit_done_fn *done = wait_no_more(p);

		if (done != NULL)
			done(p->ctx, false);
	}
}

/* The recorder is away for longer than the grace. */
static void
on_grace(void *ctx)
{
	give_up(ctx);
}

/* How long the oldest has waited; 0 without any. */
static uint64_t
oldest_ms(const struct emit *e)
{
	if (list_empty(&e->queue))
		return 0;
	return clock_mono_ms() - list_entry(e->queue.next, struct pending,
	    link)->since_ms;
}

static void
watch_for(struct emit *e, uint64_t ms)
{
	e->watching = true;
	loop_timer_set(e->watch, ms);
}

/* One look a patience, not one timer an event: what is newer than the oldest
 * waits behind it. */
static void
on_watch(void *ctx)
{
	struct emit *e = ctx;
	uint64_t ms = oldest_ms(e);

	e->watching = false;
	if (list_empty(&e->queue) || e->chan == NULL)
		return;
	if (ms < e->patience_ms) {
		watch_for(e, e->patience_ms - ms);
		return;
	}
	e->hung = true;
	log_error("the recorder has committed nothing for %llu ms: what needs "
	    "a record is refused until it does", (unsigned long long)ms);
	give_up(e);
}

/* Something was acknowledged: is all that is left young enough? */
static void
maybe_back(struct emit *e)
{
	uint64_t ms;

	if (!e->hung || (ms = oldest_ms(e)) >= e->patience_ms)
		return;
	e->hung = false;
	log_info("the recorder commits again");
	if (!list_empty(&e->queue) && !e->watching)
		watch_for(e, e->patience_ms - ms);
}

void
emit_set_patience(struct emit *e, uint64_t ms)
{
	ASSERT(ms > 0);
	e->patience_ms = ms;
	if (e->watching)
		watch_for(e, ms);
}

static int
send_one(struct emit *e, const struct pending *p)
{
	struct buf *b = chan_begin(e->chan, MSG_EVENT);

	if (b == NULL)
		return -1;
	pack_u64(b, p->n);
	pack_bytes(b, p->id.b, 16);
	pack_bytes(b, p->call.b, 16);
	pack_slice(b, slice_make(p->json, p->len));
	return chan_end(e->chan);
}

static bool
sent(const struct emit *e, uint64_t n)
{
	return n < (e->unsent != NULL ? e->unsent->n : e->next_n);
}

/* All that waits goes into the channel, in order. -1: it is full. */
static int
send_unsent(struct emit *e)
{
	struct pending *p = e->unsent;

	while (p != NULL) {
		struct list *next = p->link.next;

		if (send_one(e, p) != 0)
			break;
		p = next == &e->queue ? NULL :
		    list_entry(next, struct pending, link);
	}
	e->unsent = p;
	e->unsent_bytes = 0;
	return p == NULL ? 0 : -1;
}

void
emit_flush(struct emit *e)
{
	if (e->unsent == NULL)
		return;
	loop_timer_stop(e->later);
	if (e->chan == NULL || send_unsent(e) == 0)
		return;
	/* Acknowledgements make room. */
	loop_timer_set(e->later, EMIT_LATER_MS);
}

static void
on_later(void *ctx)
{
	emit_flush(ctx);
}

static int
on_ack(struct emit *e, struct slice body)
{
	struct unpack u;

	unpack_init(&u, body);
	uint64_t n = unpack_u64(&u);

	if (!unpack_done(&u) || !sent(e, n))
		return -1;
	while (!list_empty(&e->queue)) {
		struct pending *p = list_entry(e->queue.next, struct pending,
		    link);

		if (p->n > n)
			break;
		finish(e, p, true);
	}
	maybe_back(e);
	return 0;
}

static int
on_refused(struct emit *e, struct slice body)
{
	struct unpack u;

	unpack_init(&u, body);
	uint64_t n = unpack_u64(&u);
	struct slice why = unpack_slice(&u);

	if (!unpack_done(&u) || !sent(e, n))
		return -1;
	log_error("recorder refused event %llu: %.*s", (unsigned long long)n,
	    SLICE_FMT(why));
	list_each(it, &e->queue) {
		struct pending *p = list_entry(it, struct pending, link);

		if (p->n == n) {
			finish(e, p, false);
			maybe_back(e);
			return 0;
		}
	}
	return 0;
}

static int
on_msg(void *ctx, struct chan *c, enum msg_type type, struct slice body,
    int fd)
{
	struct emit *e = ctx;

	if (type == MSG_EVENT_ACK && fd < 0)
		return on_ack(e, body);
	if (type == MSG_EVENT_REFUSED && fd < 0)
		return on_refused(e, body);
	if (type == MSG_HELLO && fd < 0)
		return 0;
	if (e->other_fn != NULL)
		return e->other_fn(e->other_ctx, c, type, body, fd);
	base_close(&fd);
	return -1;
}

static void
on_close(void *ctx, struct chan *c)
{
	struct emit *e = ctx;

	(void)c;
	chan_free(e->chan);
	e->chan = NULL;
	e->hung = false;
	loop_timer_set(e->grace, GRACE_MS);
}

void
emit_attach(struct emit *e, int fd)
{
	struct buf *b;

	chan_free(e->chan);
	loop_timer_stop(e->grace);
	e->chan = chan_new(e->loop, fd, e->max_bytes * 2 + (1u << 20), on_msg,
	    on_close, e);
	b = chan_begin(e->chan, MSG_HELLO);
	ASSERT(b != NULL);
	pack_u8(b, (uint8_t)e->role);
	pack_u8(b, (uint8_t)e->index);
	pack_u16(b, MSG_VERSION);
	chan_end(e->chan);
	e->hung = false;
	list_each(it, &e->queue)	/* this one has it only now */
		list_entry(it, struct pending, link)->since_ms =
		    clock_mono_ms();
	if (!list_empty(&e->queue))
		watch_for(e, e->patience_ms);
	e->unsent = list_empty(&e->queue) ? NULL :
	    list_entry(e->queue.next, struct pending, link);
	emit_flush(e);
	if (e->attach_fn != NULL)
		e->attach_fn(e->other_ctx);
}

static struct pending *
enqueue(struct emit *e, struct uuid id, struct uuid call, struct slice json)
{
	struct pending *p;

	if (json.n + OVERHEAD > e->max_bytes - e->bytes)
		return NULL;
	p = base_realloc(NULL, sizeof(*p) + json.n);
	memset(p, 0, sizeof(*p));
	p->n = e->next_n++;
	p->since_ms = clock_mono_ms();
	p->id = id;
	p->call = call;
	p->len = json.n;
	memcpy(p->json, json.p, json.n);
	list_append(&e->queue, &p->link);
	e->bytes += json.n + OVERHEAD;
	if (e->unsent == NULL)
		e->unsent = p;
	e->unsent_bytes += json.n;
	if (!e->watching && !e->hung && e->chan != NULL)
		watch_for(e, e->patience_ms);
	return p;
}

int
emit_event(struct emit *e, struct uuid id, struct uuid call,
    struct slice json, emit_done_fn *done, void *ctx)
{
	struct pending *p;

	if ((done != NULL && (e->chan == NULL || e->hung)) ||
	    (p = enqueue(e, id, call, json)) == NULL)
		return -1;
	wait_for(e, p, done, ctx);
	emit_flush(e);
	return 0;
}

int
emit_later(struct emit *e, struct uuid id, struct uuid call,
    struct slice json)
{
	struct pending *p = enqueue(e, id, call, json);

	if (p == NULL)
		return -1;
	if (e->unsent_bytes >= EMIT_LATER_BYTES)
		emit_flush(e);
	else if (e->unsent == p)
		loop_timer_set(e->later, EMIT_LATER_MS);
	return 0;
}

void
emit_forget(struct emit *e, void *ctx)
{
	struct list *all = waiters_of(e, ctx);

	list_each_safe(it, tmp, all) {
		struct pending *p = list_entry(it, struct pending, waiter);

		if (p->ctx == ctx)
			wait_no_more(p);
	}
}

void
emit_on_other(struct emit *e, chan_msg_fn *fn, loop_fn *on_attach, void *ctx)
{
	e->other_fn = fn;
	e->attach_fn = on_attach;
	e->other_ctx = ctx;
}

struct chan *
emit_chan(struct emit *e)
{
	return e->chan;
}

bool
emit_connected(const struct emit *e)
{
	return e->chan != NULL;
}

size_t
emit_queued(const struct emit *e)
{
	return e->bytes;
}
