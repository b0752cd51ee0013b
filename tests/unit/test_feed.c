/* feed: rows wait to go out together, and none that waits is forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/socket.h>
#include <unistd.h>

#include "monitor/feed.c"

static int
not_expected(void *ctx, struct chan *c, enum msg_type type, struct slice body,
    int fd)
{
	(void)ctx;
	(void)c;
	(void)body;
	(void)fd;
	fail_msg("message %d", (int)type);
	return -1;
}

static void
closed(void *ctx, struct chan *c)
{
	(void)c;
	fail_msg("%s", (const char *)ctx);
}

static void
stop_loop(void *ctx)
{
	loop_stop(ctx);
}

static void
push_row(struct feed *f, size_t n)
{
	static const char body[FEED_HOLD_BYTES];

	feed_stage(f, f->head + 1, (struct uuid){ { 0 } },
	    slice_make(body, n));
	feed_push(f);
}

/* A row after a quiet time goes at once; the next waits for others, a timer,
 * a flush, or until they are many bytes; also when the ring is full. */
static void
test_feed_holds(void **state)
{
	struct loop *l = loop_new();
	struct feed *f = feed_new(l);
	struct feed_consumer *k;
	struct chan *c;
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
	    fds), 0);
	c = chan_new(l, fds[0], FEED_QUEUE_MAX, not_expected, closed,
	    (void *)(uintptr_t)"closed");
	k = feed_consumer_new(f, c);
	feed_subscribe(k, 1, 0);
	push_row(f, 10);
	assert_int_equal(k->next, 2);
	assert_true(chan_queued(c) > 10);
	/* Only a machine that slept between two rows sends one at once. */
	for (int i = 0; i < 1000 && f->waiting == 0; i++)
		push_row(f, 10);
	assert_true(f->waiting > 0);
	assert_int_equal(k->next, f->head);
	feed_flush(f);
	assert_int_equal(k->next, f->head + 1);
	assert_int_equal(f->waiting, 0);
	push_row(f, FEED_HOLD_BYTES);
	assert_int_equal(k->next, f->head + 1);
	for (int i = 0; i < 1000 && f->waiting == 0; i++)
		push_row(f, 10);
	while (f->waiting > 0) {	/* its timer is set */
		loop_soon(l, stop_loop, l);
		loop_run(l);
	}
	assert_int_equal(k->next, f->head + 1);
	/* A full ring forgets what was sent; what waits goes on waiting. */
	for (int i = 0; i < 2 * KEEP_ROWS; i++)
		push_row(f, 10);
	assert_int_equal(f->next - f->first, KEEP_ROWS);
	feed_flush(f);
	unsigned waited = 0;

	for (int i = 0; i < KEEP_ROWS / 2; i++) {
		push_row(f, 10);
		waited += f->waiting > 0;
	}
	assert_true(waited > KEEP_ROWS / 8);
	/* Nothing that waits is forgotten. */
	feed_flush(f);
	for (int i = 0; i < 3 * KEEP_ROWS; i++) {
		push_row(f, 10);
		assert_true(f->first <= k->next);
	}
	feed_consumer_free(k);
	chan_free(c);
	feed_free(f);
	close(fds[1]);
	loop_free(l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_feed_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
