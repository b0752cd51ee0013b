/* follow - see follow.h. */
#include "follow.h"

#include <stdlib.h>

#include "log.h"
#include "pack.h"

#define READ_ROWS 1000
#define RETRY_MS 200		/* when the reader had nothing new */
#define OUT_BYTES 65536

enum asking { NOT_ASKING, ASKING_PEEK, ASKING_ROWS };

struct follow {
	struct loop *loop;
	struct emit *emit;
	enum role role;
	unsigned index;
	struct follow_hooks hooks;
	struct chan *reader;
	struct loop_timer *retry;
	bool subscribing;
	uint64_t next, head;
	uint64_t told;			/* the head by this recorder, 0: none */
	uint64_t peek;			/* 0: none is wanted */

	enum asking asking;
	uint64_t q;
	uint64_t asked_next;		/* `next` when the reader was asked */
	bool forgot;			/* a row was, since the reader was asked */
	uint64_t hole_from, hole_to;	/* seen in this answer; 0: none */
	uint64_t hole_before;		/* and in the one before */
};

/* --- asking ------------------------------------------------------------- */

static void
ask(struct follow *f, enum asking what, uint64_t from, uint32_t rows)
{
	struct buf *b = chan_begin(f->reader, MSG_READ_RANGE);

	if (b == NULL)
		return;
	pack_u64(b, ++f->q);
	pack_u64(b, from);
	pack_u32(b, rows);
	chan_end(f->reader);
	f->asking = what;
	f->asked_next = f->next;
	f->forgot = false;
	f->hole_from = f->hole_to = 0;
}

void
follow_go_on(struct follow *f)
{
	if (f->reader == NULL || f->asking != NOT_ASKING)
		return;
	if (f->peek != 0)
		ask(f, ASKING_PEEK, f->peek, 1);
	else if (f->next <= f->head && (f->hooks.room == NULL ||
	    f->hooks.room(f->hooks.ctx)))
		ask(f, ASKING_ROWS, f->next, READ_ROWS);
}

static void
on_retry(void *ctx)
{
	follow_go_on(ctx);
}

static void
subscribe(struct follow *f)
{
	struct chan *c = emit_chan(f->emit);
	struct buf *b = c == NULL ? NULL : chan_begin(c, MSG_FEED_SUBSCRIBE);

	if (b == NULL)
		return;
	pack_u64(b, f->next);
	chan_end(c);
	f->head = f->next - 1;	/* it may be another ledger by now */
	f->told = 0;
}

void
follow_subscribe(struct follow *f)
{
	f->subscribing = true;
	subscribe(f);
}

void
follow_seek(struct follow *f, uint64_t next)
{
	f->next = next;
	f->forgot = true;
}

void
follow_peek(struct follow *f, uint64_t seq)
{
	ASSERT(seq != 0);
	f->peek = seq;
	follow_go_on(f);
}

uint64_t
follow_next(const struct follow *f)
{
	return f->next;
}

uint64_t
follow_head(const struct follow *f)
{
	return f->head;
}

/* --- rows --------------------------------------------------------------- */

static void
note_head(struct follow *f, uint64_t seq, bool from_reader)
{
	if (seq > f->head)
		f->head = seq;
	if (!from_reader && seq > f->told)
		f->told = seq;
}

/* A row beyond `next`: the recorder's only says that there is a gap; the
 * reader's a hole, unless rows were forgotten meanwhile. */
static void
note_hole(struct follow *f, uint64_t seq)
{
	if (f->forgot || f->hole_from != 0)
		return;
	f->hole_from = f->next;
	f->hole_to = seq - 1;
}

static int
take_row(struct follow *f, struct slice body, bool from_reader)
{
	struct unpack u;
	struct uuid id;

	unpack_init(&u, body);
	uint64_t seq = unpack_u64(&u);

	unpack_bytes(&u, id.b, sizeof(id.b));
	struct slice json = unpack_slice(&u);

	if (!unpack_done(&u) || seq == 0)
		return -1;
	if (from_reader && f->asking == NOT_ASKING)
		return -1;
	if (from_reader && f->asking == ASKING_PEEK) {
		f->hooks.peek_row(f->hooks.ctx, seq, id, json);
		return 0;
	}
	note_head(f, seq, from_reader);
	if (f->peek != 0 || seq < f->next)
		return 0;
	if (seq > f->next) {
		if (from_reader)
			note_hole(f, seq);
		return 0;
	}
	if (f->hooks.row(f->hooks.ctx, seq, id, json))
		f->next = seq + 1;
	else
		f->forgot = true;
	return 0;
}

/* Rows that neither of two answers had do not exist. */
static void
skip_hole(struct follow *f)
{
	uint64_t from = f->hole_from, to = f->hole_to;

	if (from == 0 || from != f->next) {
		f->hole_before = 0;
	} else if (f->hole_before != from) {
		f->hole_before = from;
	} else {
		f->hole_before = 0;
		f->next = to + 1;
		f->hooks.hole(f->hooks.ctx, from, to);
	}
}

static int
on_read_done(struct follow *f, struct slice body)
{
	enum asking was = f->asking;
	bool still;
	struct unpack u;

	unpack_init(&u, body);
	uint64_t q = unpack_u64(&u);

	unpack_u64(&u);			/* where it stopped: `next` knows */
	uint64_t head = unpack_u64(&u);

	if (!unpack_done(&u) || was == NOT_ASKING || q != f->q)
		return -1;
	f->asking = NOT_ASKING;
	if (was == ASKING_PEEK) {
		f->peek = 0;
		f->head = head > f->told ? head : f->told;
		f->hooks.peek_done(f->hooks.ctx, head);
	} else {
		if (head > f->head)
			f->head = head;
		skip_hole(f);
	}
	if (f->next > f->head && f->peek == 0 && f->hooks.level != NULL)
		f->hooks.level(f->hooks.ctx);
	/* One that has nothing for us yet is not asked in a circle. */
	still = was == ASKING_ROWS && f->next == f->asked_next && !f->forgot;
	if (still && f->next <= f->head)
		loop_timer_set(f->retry, RETRY_MS);
	else
		follow_go_on(f);
	return 0;
}

/* --- the reader --------------------------------------------------------- */

static int
on_reader_msg(void *ctx, struct chan *c, enum msg_type type,
    struct slice body, int fd)
{
	struct follow *f = ctx;

	(void)c;
	if (fd >= 0) {
		base_close(&fd);
		return -1;
	}
	switch (type) {
	case MSG_HELLO:
		return 0;
	case MSG_FEED_ROW:
		return take_row(f, body, true);
	case MSG_READ_DONE:
		return on_read_done(f, body);
	default:
		return -1;
	}
}

static void
drop_reader(struct follow *f)
{
	chan_free(f->reader);
	f->reader = NULL;
	f->asking = NOT_ASKING;
}

static void
on_reader_gone(void *ctx, struct chan *c)
{
	(void)c;
	log_warn("the reader is gone: what is missing waits for the next one");
	drop_reader(ctx);
}

static void
say_hello(struct follow *f)
{
	struct buf *b = chan_begin(f->reader, MSG_HELLO);

	ASSERT(b != NULL);
	pack_u8(b, (uint8_t)f->role);
	pack_u8(b, (uint8_t)f->index);
	pack_u16(b, MSG_VERSION);
	chan_end(f->reader);
}

void
follow_reader(struct follow *f, int fd)
{
	drop_reader(f);
	f->reader = chan_new(f->loop, fd, OUT_BYTES, on_reader_msg,
	    on_reader_gone, f);
	say_hello(f);
	follow_go_on(f);
}

/* --- the recorder ------------------------------------------------------- */

static int
on_head(struct follow *f, struct slice body)
{
	struct unpack u;

	unpack_init(&u, body);
	uint64_t head = unpack_u64(&u);

	if (!unpack_done(&u))
		return -1;
	if (head + 1 < f->next && f->hooks.shrunk != NULL) {
		f->hooks.shrunk(f->hooks.ctx, head);
		return 0;
	}
	note_head(f, head, false);
	follow_go_on(f);
	return 0;
}

static int
on_recorder_msg(void *ctx, struct chan *c, enum msg_type type,
    struct slice body, int fd)
{
	struct follow *f = ctx;

	(void)c;
	if (fd >= 0) {
		base_close(&fd);
		return -1;
	}
	if (type == MSG_FEED_HEAD)
		return on_head(f, body);
	if (type != MSG_FEED_ROW || take_row(f, body, false) != 0)
		return -1;
	follow_go_on(f);
	return 0;
}

static void
on_recorder(void *ctx)
{
	struct follow *f = ctx;

	if (f->subscribing)
		subscribe(f);
	if (f->hooks.attached != NULL)
		f->hooks.attached(f->hooks.ctx);
}

/* --- life --------------------------------------------------------------- */

struct follow *
follow_new(struct loop *l, struct emit *e, enum role role, unsigned index,
    const struct follow_hooks *hooks)
{
	struct follow *f = base_calloc(1, sizeof(*f));

	f->loop = l;
	f->emit = e;
	f->role = role;
	f->index = index;
	f->hooks = *hooks;
	f->next = 1;
	f->retry = loop_timer_new(l, on_retry, f);
	emit_on_other(e, on_recorder_msg, on_recorder, f);
	return f;
}

void
follow_free(struct follow *f)
{
	if (f == NULL)
		return;
	drop_reader(f);
	emit_on_other(f->emit, NULL, NULL, NULL);
	loop_timer_del(f->retry);
	free(f);
}
