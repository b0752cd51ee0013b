/* feed - see feed.h. */
#include "feed.h"

#include <stdlib.h>

#include "clock.h"
#include "list.h"
#include "pack.h"

#define KEEP_ROWS 1024			/* a power of two */
#define KEEP_BYTES (4u << 20)
#define STAGE_MAX 512

struct row {
	uint64_t seq;
	struct uuid id;
	size_t len;
	char body[];
};

struct feed {
	struct loop_timer *hold;	/* armed while committed rows wait */
	uint64_t sent_ms;		/* when rows were sent last */
	size_t waiting;			/* bytes that wait */
	struct list consumers;
	struct row *kept[KEEP_ROWS];	/* by seq modulo */
	uint64_t first, next;		/* seqs kept: first <= s < next */
	uint64_t unsent;		/* of them, the first that waits */
	size_t bytes;
	struct row *staged[STAGE_MAX];
	size_t nstaged;
	uint64_t head;
};

struct feed_consumer {
	struct list link;
	struct feed *feed;
	struct chan *chan;
	bool subscribed, behind;
	uint64_t next;			/* to be sent, unless behind */
	uint64_t done;
};

static void on_hold(void *ctx);

struct feed *
feed_new(struct loop *l)
{
	struct feed *f = base_calloc(1, sizeof(*f));

	list_init(&f->consumers);
	f->hold = loop_timer_new(l, on_hold, f);
	return f;
}

static void
forget_first(struct feed *f)
{
	struct row **slot = &f->kept[f->first % KEEP_ROWS];

	f->bytes -= (*slot)->len;
	free(*slot);
	*slot = NULL;
	f->first++;
}

void
feed_drop(struct feed *f)
{
	for (size_t i = 0; i < f->nstaged; i++)
		free(f->staged[i]);
	f->nstaged = 0;
}

void
feed_free(struct feed *f)
{
	if (f == NULL)
		return;
	ASSERT(list_empty(&f->consumers));
	feed_drop(f);
	while (f->first < f->next)
		forget_first(f);
	loop_timer_del(f->hold);
	free(f);
}

void
feed_stage(struct feed *f, uint64_t seq, struct uuid id, struct slice body)
{
	struct row *r = base_realloc(NULL, sizeof(*r) + body.n);

	ASSERT(f->nstaged < STAGE_MAX);
	r->seq = seq;
	r->id = id;
	r->len = body.n;
	memcpy(r->body, body.p, body.n);
	f->staged[f->nstaged++] = r;
}

static int
send_row(struct feed_consumer *c, const struct row *r)
{
	struct buf *b = chan_begin(c->chan, MSG_FEED_ROW);

	if (b == NULL)
		return -1;
	pack_u64(b, r->seq);
	pack_bytes(b, r->id.b, 16);
	pack_slice(b, slice_make(r->body, r->len));
	return chan_end(c->chan);
}

static int
send_head(struct feed_consumer *c)
{
	struct buf *b = chan_begin(c->chan, MSG_FEED_HEAD);

	if (b == NULL)
		return -1;
	pack_u64(b, c->feed->head);
	return chan_end(c->chan);
}

/* The head instead of rows: what is missing then comes from the reader. */
static void
fall_behind(struct feed_consumer *c)
{
	c->behind = send_head(c) != 0;
	c->next = c->feed->head + 1;
}

static void
on_drain(void *ctx)
{
	struct feed_consumer *c = ctx;

	if (c->behind)
		fall_behind(c);
}

/* All kept rows it has not had. */
static void
send_rows(struct feed_consumer *c)
{
	struct feed *f = c->feed;

	while (c->next < f->next && !c->behind) {
		c->behind = send_row(c, f->kept[c->next % KEEP_ROWS]) != 0;
		c->next++;
	}
}

void
feed_flush(struct feed *f)
{
	list_each(it, &f->consumers) {
		struct feed_consumer *c = list_entry(it, struct feed_consumer,
		    link);

		if (c->subscribed)
			send_rows(c);
	}
	f->waiting = 0;
	f->unsent = f->next;
	f->sent_ms = clock_mono_ms();
	loop_timer_stop(f->hold);
}

static void
on_hold(void *ctx)
{
	feed_flush(ctx);
}

static bool
is_full(const struct feed *f, size_t more)
{
	return f->next - f->first == KEEP_ROWS ||
	    (f->first < f->next && f->bytes + more > KEEP_BYTES);
}

/* Nothing is forgotten that is not sent. */
static void
keep(struct feed *f, struct row *r)
{
	if (r->seq != f->next) {	/* the first of all */
		ASSERT(f->waiting == 0);
		while (f->first < f->next)
			forget_first(f);
		f->first = f->next = f->unsent = r->seq;
	}
	while (is_full(f, r->len)) {
		if (f->first == f->unsent)
			feed_flush(f);
		forget_first(f);
	}
	f->kept[r->seq % KEEP_ROWS] = r;
	f->bytes += r->len;
	f->next = r->seq + 1;
	f->head = r->seq;
	f->waiting += r->len + 1;	/* a row of no bytes waits, too */
}

void
feed_push(struct feed *f)
{
	uint64_t quiet_ms = clock_mono_ms() - f->sent_ms;

	for (size_t i = 0; i < f->nstaged; i++)
		keep(f, f->staged[i]);
	f->nstaged = 0;
	if (f->waiting == 0)
		return;
	if (quiet_ms >= FEED_HOLD_MS || f->waiting >= FEED_HOLD_BYTES)
		feed_flush(f);
	else
		loop_timer_set(f->hold, FEED_HOLD_MS - quiet_ms);
}

struct feed_consumer *
feed_consumer_new(struct feed *f, struct chan *chan)
{
	struct feed_consumer *c = base_calloc(1, sizeof(*c));

	c->feed = f;
	c->chan = chan;
	list_append(&f->consumers, &c->link);
	chan_on_drain(chan, on_drain, c);
	return c;
}

void
feed_consumer_free(struct feed_consumer *c)
{
	if (c == NULL)
		return;
	list_remove(&c->link);
	free(c);
}

void
feed_subscribe(struct feed_consumer *c, uint64_t next, uint64_t head)
{
	struct feed *f = c->feed;

	f->head = head;
	c->subscribed = true;
	c->behind = false;
	c->next = next;
	if (next == head + 1)
		return;
	if (next > head || next < f->first || f->first == f->next)
		fall_behind(c);
	else
		send_rows(c);
}

void
feed_done(struct feed_consumer *c, uint64_t seq)
{
	if (seq > c->done)
		c->done = seq;
}

uint64_t
feed_done_seq(const struct feed_consumer *c)
{
	return c->done;
}
