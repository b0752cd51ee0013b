/* test_follow - rows in order, each once, whoever of recorder and reader is
 * slow, gone, new or wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "follow.h"
#include "log.h"
#include "pack.h"

struct end {
	struct chan *chan;
	bool closed;
};

static struct {
	struct loop *loop;
	struct loop_timer *limit, *look;
	bool (*until)(void);
	struct emit *emit;
	struct follow *follow;
	struct end recorder, reader;
	/* what the ends were told */
	uint64_t subscribed, q, from;
	uint32_t max;
	unsigned subscriptions, asks;
	/* what the hooks were told */
	uint64_t last, peeked, peek_head, shrunk_head, hole_from, hole_to;
	unsigned rows, holes, levels, attached, peek_rows, peeks;
	uint64_t room_to;	/* rows behind it have no room */
} w;

/* --- the role's side ------------------------------------------------------ */

static bool
on_row(void *ctx, uint64_t seq, struct uuid id, struct slice json)
{
	assert_ptr_equal(ctx, &w);
	if (seq > w.room_to)
		return false;
	if (w.holes == 0)
		assert_int_equal(seq, w.last + 1);
	assert_int_equal(id.b[15], seq & 0xff);
	assert_true(slice_is(json, "{}"));
	w.last = seq;
	w.rows++;
	return true;
}

static bool
has_room(void *ctx)
{
	(void)ctx;
	return w.last < w.room_to;
}

static void
on_hole(void *ctx, uint64_t from, uint64_t to)
{
	(void)ctx;
	w.holes++;
	w.hole_from = from;
	w.hole_to = to;
}

static void
on_peek_row(void *ctx, uint64_t seq, struct uuid id, struct slice json)
{
	(void)ctx;
	(void)id;
	(void)json;
	w.peeked = seq;
	w.peek_rows++;
}

static void
on_peek_done(void *ctx, uint64_t head)
{
	(void)ctx;
	w.peek_head = head;
	w.peeks++;
}

static void
on_level(void *ctx)
{
	(void)ctx;
	w.levels++;
}

static void
on_shrunk(void *ctx, uint64_t head)
{
	(void)ctx;
	w.shrunk_head = head;
}

static void
on_attached(void *ctx)
{
	(void)ctx;
	w.attached++;
}

/* --- the other side ------------------------------------------------------- */

static int
on_asked(void *ctx, struct chan *c, enum msg_type type, struct slice body,
    int fd)
{
	struct unpack u;

	(void)ctx;
	(void)c;
	assert_int_equal(fd, -1);
	unpack_init(&u, body);
	switch (type) {
	case MSG_HELLO:
		assert_int_equal(unpack_u8(&u), ROLE_EXPORTER);
		assert_int_equal(unpack_u8(&u), 3);
		assert_int_equal(unpack_u16(&u), MSG_VERSION);
		break;
	case MSG_FEED_SUBSCRIBE:
		w.subscribed = unpack_u64(&u);
		w.subscriptions++;
		break;
	case MSG_READ_RANGE:
		w.q = unpack_u64(&u);
		w.from = unpack_u64(&u);
		w.max = unpack_u32(&u);
		w.asks++;
		break;
	default:
		fail_msg("%s", msg_name(type));
	}
	assert_true(unpack_done(&u));
	return 0;
}

static void
on_closed(void *ctx, struct chan *c)
{
	struct end *e = ctx;

	chan_free(c);
	e->chan = NULL;
	e->closed = true;
}

static void
on_limit(void *ctx)
{
	(void)ctx;
	fail_msg("waited for 5 s in vain");
}

static void
on_look(void *ctx)
{
	(void)ctx;
	if (w.until())
		loop_stop(w.loop);
	else
		loop_timer_set(w.look, 1);
}

static void
run(bool (*until)(void))
{
	w.until = until;
	loop_timer_set(w.limit, 5000);
	loop_timer_set(w.look, 0);
	loop_run(w.loop);
	loop_timer_stop(w.limit);
}

static int
make_end(struct end *e)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
	    fds), 0);
	chan_free(e->chan);
	e->closed = false;
	e->chan = chan_new(w.loop, fds[0], 1 << 20, on_asked, on_closed, e);
	return fds[1];
}

static void
new_recorder(void)
{
	emit_attach(w.emit, make_end(&w.recorder));
}

static void
new_reader(void)
{
	follow_reader(w.follow, make_end(&w.reader));
}

static void
send_row(struct end *e, uint64_t seq)
{
	struct uuid id = { { 0 } };
	struct buf *b = chan_begin(e->chan, MSG_FEED_ROW);

	assert_non_null(b);
	id.b[15] = (uint8_t)seq;
	pack_u64(b, seq);
	pack_bytes(b, id.b, sizeof(id.b));
	pack_str(b, "{}");
	assert_int_equal(chan_end(e->chan), 0);
}

static void
send_rows(struct end *e, uint64_t from, uint64_t to)
{
	for (; from <= to; from++)
		send_row(e, from);
}

static void
send_head(uint64_t head)
{
	struct buf *b = chan_begin(w.recorder.chan, MSG_FEED_HEAD);

	pack_u64(b, head);
	assert_int_equal(chan_end(w.recorder.chan), 0);
}

static void
send_done(uint64_t q, uint64_t head)
{
	struct buf *b = chan_begin(w.reader.chan, MSG_READ_DONE);

	pack_u64(b, q);
	pack_u64(b, 0);
	pack_u64(b, head);
	assert_int_equal(chan_end(w.reader.chan), 0);
}

static uint64_t wanted;

static bool took(void) { return follow_next(w.follow) == wanted + 1; }
static bool asked(void) { return w.asks == wanted; }
static bool
asked_for_room(void)
{
	follow_go_on(w.follow);
	return asked();
}
static bool subscribed(void) { return w.subscriptions == wanted; }
static bool peeked(void) { return w.peeks == wanted; }
static bool level(void) { return w.levels == wanted; }
static bool holed(void) { return w.holes == wanted; }
static bool shrunk(void) { return w.shrunk_head == wanted; }
static bool head_is(void) { return follow_head(w.follow) == wanted; }
static bool reader_closed(void) { return w.reader.closed; }
static bool recorder_closed(void) { return w.recorder.closed; }

static void
until(bool (*what)(void), uint64_t n)
{
	wanted = n;
	run(what);
}

static int
setup(void **state)
{
	static const struct follow_hooks hooks = { on_row, has_room, on_hole,
		on_peek_row, on_peek_done, on_level, on_shrunk, on_attached,
		&w };

	(void)state;
	memset(&w, 0, sizeof(w));
	w.loop = loop_new();
	w.limit = loop_timer_new(w.loop, on_limit, NULL);
	w.look = loop_timer_new(w.loop, on_look, NULL);
	w.room_to = UINT64_MAX;
	w.emit = emit_new(w.loop, ROLE_EXPORTER, 3, 65536);
	w.follow = follow_new(w.loop, w.emit, ROLE_EXPORTER, 3, &hooks);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	follow_free(w.follow);
	emit_free(w.emit);
	chan_free(w.recorder.chan);
	chan_free(w.reader.chan);
	loop_timer_del(w.limit);
	loop_timer_del(w.look);
	loop_free(w.loop);
	return 0;
}

/* Subscribed from row 1, with a reader, five rows taken. */
static void
begin_live(void)
{
	follow_subscribe(w.follow);
	new_recorder();
	new_reader();
	until(subscribed, 1);
	assert_int_equal(w.subscribed, 1);
	assert_int_equal(w.attached, 1);
	send_rows(&w.recorder, 1, 5);
	until(took, 5);
	assert_int_equal(w.asks, 0);
}

/* --- tests ---------------------------------------------------------------- */

static void
test_gap(void **state)
{
	(void)state;
	begin_live();
	send_row(&w.recorder, 9);	/* 6 to 8 were skipped */
	until(asked, 1);
	assert_int_equal(w.from, 6);
	assert_int_equal(w.max, 1000);
	assert_int_equal(w.rows, 5);
	/* Meanwhile the recorder goes on; its rows are behind the gap. */
	send_row(&w.recorder, 10);
	until(head_is, 10);
	send_rows(&w.reader, 6, 9);
	send_done(w.q, 9);
	until(asked, 2);
	assert_int_equal(w.from, 10);
	send_row(&w.reader, 10);
	send_done(w.q, 10);
	until(level, 1);
	assert_int_equal(w.rows, 10);
	/* The same again, from both: nothing. */
	send_rows(&w.recorder, 4, 10);
	send_row(&w.recorder, 11);
	until(took, 11);
	assert_int_equal(w.rows, 11);
	assert_int_equal(w.asks, 2);
	assert_int_equal(w.holes, 0);
}

/* The reader sees the ledger later than the recorder tells of it. */
static void
test_reader_lags(void **state)
{
	(void)state;
	begin_live();
	send_head(8);
	until(asked, 1);
	send_done(w.q, 5);
	until(asked, 2);		/* after a while, not in a circle */
	assert_int_equal(w.from, 6);
	send_rows(&w.reader, 6, 7);
	send_done(w.q, 7);
	until(asked, 3);
	assert_int_equal(w.from, 8);
	assert_int_equal(w.levels, 0);
	send_row(&w.reader, 8);
	send_done(w.q, 8);
	until(level, 1);
	assert_int_equal(w.rows, 8);
}

static void
test_new_reader(void **state)
{
	(void)state;
	begin_live();
	send_head(9);
	until(asked, 1);
	send_rows(&w.reader, 6, 7);
	until(took, 7);
	new_reader();			/* in the middle of its answer */
	until(asked, 2);
	assert_int_equal(w.from, 8);
	send_rows(&w.reader, 8, 9);
	send_done(w.q, 9);
	until(level, 1);
	assert_int_equal(w.rows, 9);
}

/* A restarted recorder is asked from the next row on and may send again. */
static void
test_new_recorder(void **state)
{
	(void)state;
	begin_live();
	new_recorder();
	until(subscribed, 2);
	assert_int_equal(w.subscribed, 6);
	assert_int_equal(w.attached, 2);
	send_rows(&w.recorder, 3, 7);
	until(took, 7);
	assert_int_equal(w.rows, 7);
	assert_int_equal(w.asks, 0);
	/* One with another, shorter ledger. */
	new_recorder();
	until(subscribed, 3);
	send_head(2);
	until(shrunk, 2);
	assert_int_equal(w.rows, 7);
}

static void
test_no_room(void **state)
{
	(void)state;
	begin_live();
	w.room_to = 7;
	send_rows(&w.recorder, 6, 9);
	until(head_is, 9);
	assert_int_equal(follow_next(w.follow), 8);
	follow_go_on(w.follow);		/* still none: nobody is asked */
	w.room_to = 8;
	follow_go_on(w.follow);
	until(asked, 1);
	assert_int_equal(w.from, 8);
	/* 9 has no room now, so 10 is no sign of a hole. */
	send_rows(&w.reader, 8, 10);
	send_done(w.q, 10);
	until(head_is, 10);
	until(took, 8);
	w.room_to = 20;
	until(asked_for_room, 2);
	assert_int_equal(w.from, 9);
	send_rows(&w.reader, 9, 10);
	send_done(w.q, 10);
	until(took, 10);
	assert_int_equal(w.holes, 0);
}

/* What a sink lost is taken again, also when an answer is under way. */
static void
test_seek_back(void **state)
{
	(void)state;
	begin_live();
	send_head(8);
	until(asked, 1);
	send_row(&w.reader, 6);
	until(took, 6);
	follow_seek(w.follow, 3);
	w.last = 2;
	send_rows(&w.reader, 7, 8);
	send_done(w.q, 8);
	until(asked, 2);
	assert_int_equal(w.from, 3);
	send_rows(&w.reader, 3, 8);
	send_done(w.q, 8);
	until(level, 1);
	assert_int_equal(w.last, 8);
	assert_int_equal(w.holes, 0);
}

static void
test_hole(void **state)
{
	(void)state;
	begin_live();
	send_head(9);
	until(asked, 1);
	send_rows(&w.reader, 8, 9);
	send_done(w.q, 9);
	until(asked, 2);
	assert_int_equal(w.holes, 0);	/* one answer proves nothing */
	assert_int_equal(w.from, 6);
	send_rows(&w.reader, 8, 9);
	send_done(w.q, 9);
	until(holed, 1);
	assert_int_equal(w.hole_from, 6);
	assert_int_equal(w.hole_to, 7);
	until(asked, 3);
	assert_int_equal(w.from, 8);
	send_rows(&w.reader, 8, 9);
	send_done(w.q, 9);
	until(level, 1);
	assert_int_equal(w.rows, 7);
	assert_int_equal(w.holes, 1);
}

static void
test_peek(void **state)
{
	(void)state;
	follow_seek(w.follow, 6);
	w.last = 5;
	follow_subscribe(w.follow);
	follow_peek(w.follow, 5);
	new_recorder();
	until(subscribed, 1);
	assert_int_equal(w.subscribed, 6);
	new_reader();
	until(asked, 1);
	assert_int_equal(w.from, 5);
	assert_int_equal(w.max, 1);
	send_rows(&w.recorder, 6, 7);	/* not before the answer */
	until(head_is, 7);
	assert_int_equal(w.rows, 0);
	new_reader();			/* it is asked again */
	until(asked, 2);
	assert_int_equal(w.from, 5);
	send_row(&w.reader, 5);
	send_done(w.q, 6);		/* it does not see row 7 yet */
	until(peeked, 1);
	assert_int_equal(w.peek_rows, 1);
	assert_int_equal(w.peeked, 5);
	assert_int_equal(w.peek_head, 6);
	assert_int_equal(follow_head(w.follow), 7);
	until(asked, 3);
	assert_int_equal(w.from, 6);
	send_rows(&w.reader, 6, 7);
	send_done(w.q, 7);
	until(level, 1);
	assert_int_equal(w.rows, 2);
}

/* Whoever breaks the rules is dropped, and nothing is taken from him. */
static void
test_wrong_peers(void **state)
{
	struct buf *b;

	(void)state;
	begin_live();
	send_head(9);
	until(asked, 1);
	send_done(w.q + 1, 9);		/* an answer to nothing */
	run(reader_closed);
	new_reader();
	until(asked, 2);
	send_rows(&w.reader, 6, 9);
	send_done(w.q, 9);
	until(level, 1);
	send_row(&w.reader, 10);	/* unasked */
	run(reader_closed);
	b = chan_begin(w.recorder.chan, MSG_FEED_ROW);
	pack_u64(b, 10);		/* and no more */
	assert_int_equal(chan_end(w.recorder.chan), 0);
	run(recorder_closed);
	new_recorder();
	until(subscribed, 2);
	send_row(&w.recorder, 0);
	run(recorder_closed);
	assert_int_equal(w.rows, 9);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_gap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reader_lags, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_new_reader, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_new_recorder, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_no_room, setup, teardown),
		cmocka_unit_test_setup_teardown(test_seek_back, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_hole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_peek, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_peers, setup,
		    teardown),
	};

	log_init("test_follow", LOG_LV_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
