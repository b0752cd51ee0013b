/* lib/sys/loop: order of timers, deletion inside callbacks, queued work. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "loop.h"

#define TIMERS 200

static struct loop *l;
static char trace[256];
static size_t ntrace;

static int
setup(void **st)
{
	(void)st;
	l = loop_new();
	ntrace = 0;
	memset(trace, 0, sizeof(trace));
	return 0;
}

static int
teardown(void **st)
{
	(void)st;
	loop_free(l);
	return 0;
}

static void
mark(char c)
{
	assert_true(ntrace < sizeof(trace) - 1);
	trace[ntrace++] = c;
}

static void
stop(void *ctx)
{
	(void)ctx;
	loop_stop(l);
}

/* Lets every callback that is due run, then returns. */
static void
rounds(uint64_t ms)
{
	struct loop_timer *t = loop_timer_new(l, stop, NULL);

	loop_timer_set(t, ms);
	loop_run(l);
	loop_timer_del(t);
}

struct ordered {
	struct loop_timer *t;
	uint64_t due;
	bool stopped, fired;
};

static struct ordered timers[TIMERS];
static uint64_t last_due;

static void
on_ordered(void *ctx)
{
	struct ordered *o = ctx;

	assert_false(o->stopped);
	assert_false(o->fired);
	assert_true(o->due >= last_due);
	o->fired = true;
	last_due = o->due;
}

/* Set, set again, stop, in any order, within one round: the heap holds. */
static void
set_timers(void *ctx)
{
	unsigned seed = 7;

	(void)ctx;
	for (size_t k = 0; k < 5 * TIMERS; k++) {
		seed = seed * 1103515245 + 12345;
		struct ordered *o = &timers[(seed >> 16) % TIMERS];

		o->stopped = (seed >> 10) % 4 == 0;
		o->due = 1 + (seed >> 8) % 40;
		if (o->stopped)
			loop_timer_stop(o->t);
		else
			loop_timer_set(o->t, o->due);
	}
	loop_stop(l);
}

static void
test_timer_order(void **st)
{
	size_t fired = 0;

	(void)st;
	last_due = 0;
	for (size_t i = 0; i < TIMERS; i++) {
		timers[i] = (struct ordered){ .stopped = true };
		timers[i].t = loop_timer_new(l, on_ordered, &timers[i]);
	}
	loop_soon(l, set_timers, NULL);
	loop_run(l);
	rounds(60);
	for (size_t i = 0; i < TIMERS; i++) {
		assert_int_equal(timers[i].fired, !timers[i].stopped);
		fired += timers[i].fired;
		loop_timer_del(timers[i].t);
	}
	assert_in_range(fired, TIMERS / 2, TIMERS - 1);
	loop_timer_del(NULL);
}

static struct loop_timer *victim;

static void
on_victim(void *ctx)
{
	(void)ctx;
	fail_msg("a deleted timer fired");
}

static void
on_killer(void *ctx)
{
	struct loop_timer **self = ctx;

	mark('k');
	loop_timer_del(victim);
	loop_timer_del(*self);		/* its own, while it runs */
}

static void
test_timer_deleted_by_another(void **st)
{
	struct loop_timer *killer;

	(void)st;
	killer = loop_timer_new(l, on_killer, &killer);
	victim = loop_timer_new(l, on_victim, NULL);
	loop_timer_set(killer, 1);
	loop_timer_set(victim, 2);
	usleep(4000);		/* both are due in the same round */
	rounds(5);
	assert_string_equal(trace, "k");
}

static struct loop_timer *again;
static unsigned again_n;

static void
on_again(void *ctx)
{
	(void)ctx;
	again_n++;
	loop_timer_set(again, 0);
}

static void
test_timer_zero_starves_nobody(void **st)
{
	(void)st;
	again_n = 0;
	again = loop_timer_new(l, on_again, NULL);
	loop_timer_set(again, 0);
	rounds(5);		/* returns at all */
	assert_true(again_n > 1);
	loop_timer_del(again);
}

static void
on_mark(void *ctx)
{
	mark(*(const char *)ctx);
}

static void
test_timer_counts_from_now(void **st)
{
	struct loop_timer *t = loop_timer_new(l, on_mark, (void *)
	    (uintptr_t)"t");
	uint64_t before;

	(void)st;
	usleep(20000);		/* start-up: the loop was made long ago */
	before = clock_mono_ms();
	loop_timer_set(t, 15);
	rounds(30);
	assert_true(clock_mono_ms() - before >= 30);
	loop_timer_set(t, 15);
	rounds(5);
	assert_string_equal(trace, "t");
	loop_timer_del(t);
}

static void
end_a(void *ctx)
{
	mark('a');
	loop_at_end_cancel(l, (char *)ctx + 1);	/* b's, in this very run */
	loop_at_end(l, on_mark, (void *)(uintptr_t)"n");
}

static void
test_at_end(void **st)
{
	static char ctx[2] = "xb";

	(void)st;
	loop_soon(l, on_mark, (void *)(uintptr_t)"s");
	loop_at_end(l, end_a, ctx);
	loop_at_end(l, end_a, ctx);		/* once */
	loop_at_end(l, on_mark, ctx + 1);
	loop_at_end(l, on_mark, (void *)(uintptr_t)"e");
	rounds(1);
	assert_string_equal(trace, "saen");
}

static void
soon_cancels(void *ctx)
{
	mark('c');
	/* Of the other queue: what is to run soon stays. */
	loop_at_end_cancel(l, ctx);
}

static void
soon_again(void *ctx)
{
	static int n;

	(void)ctx;
	mark('0' + (char)n);
	if (++n < 3)
		loop_soon(l, soon_again, NULL);
	else
		loop_stop(l);
}

static void
test_soon(void **st)
{
	static char ctx[] = "y";

	(void)st;
	loop_soon(l, soon_cancels, ctx);
	loop_soon(l, on_mark, ctx);
	loop_at_end(l, on_mark, ctx);
	rounds(1);
	assert_string_equal(trace, "cy");
	loop_soon(l, on_mark, ctx);
	loop_soon_cancel(l, ctx);
	loop_soon(l, soon_again, NULL);
	loop_run(l);		/* ends without any descriptor or timer */
	assert_string_equal(trace, "cy012");
}

struct end {
	int fd, peer;
	struct loop_fd *f;
	struct end *other;
	unsigned events, calls;
};

static void
on_first(void *ctx, unsigned events)
{
	struct end *e = ctx;

	e->calls++;
	e->events = events;
	/* Whichever is told first deletes both; the other is not told. */
	loop_fd_del(e->f);
	loop_fd_del(e->other->f);
	e->f = e->other->f = NULL;
}

static void
make_end(struct end *e, loop_fd_fn *fn, unsigned events)
{
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	*e = (struct end){ .fd = sv[0], .peer = sv[1] };
	e->f = loop_fd_add(l, e->fd, events, fn, e);
}

static void
test_fd_deleted_in_round(void **st)
{
	struct end a, b;

	(void)st;
	make_end(&a, on_first, LOOP_READ);
	make_end(&b, on_first, LOOP_READ);
	a.other = &b;
	b.other = &a;
	assert_int_equal(write(a.peer, "x", 1), 1);
	assert_int_equal(write(b.peer, "x", 1), 1);
	rounds(3);
	assert_int_equal(a.calls + b.calls, 1);
	assert_int_equal(a.events | b.events, LOOP_READ);
	close(a.fd), close(a.peer), close(b.fd), close(b.peer);
	loop_fd_del(NULL);
}

static void
on_old(void *ctx, unsigned events)
{
	(void)ctx;
	(void)events;
	fail_msg("the former owner was told");
}

static void
on_new(void *ctx, unsigned events)
{
	struct end *e = ctx;

	e->calls++;
	e->events |= events;
	loop_fd_set(e->f, 0);
}

static void
test_fd_rebind(void **st)
{
	struct end a;

	(void)st;
	make_end(&a, on_old, LOOP_READ);
	assert_int_equal(write(a.peer, "x", 1), 1);
	loop_fd_rebind(a.f, 0, NULL, NULL);
	rounds(2);
	loop_fd_rebind(a.f, LOOP_READ | LOOP_WRITE, on_new, &a);
	rounds(2);
	assert_int_equal(a.calls, 1);	/* then events 0 */
	assert_int_equal(a.events, LOOP_READ | LOOP_WRITE);
	/* With events 0 an error still wakes. */
	a.calls = 0;
	close(a.peer);
	loop_fd_set(a.f, LOOP_READ);
	loop_fd_set(a.f, 0);
	a.events = 0;
	rounds(2);
	assert_true(a.calls > 0);
	assert_true(a.events & LOOP_ERR);
	loop_fd_del(a.f);
	close(a.fd);
}

static void
on_defer(void *ctx)
{
	char *p = ctx;

	loop_defer_free(l, p);
	mark(p[0]);		/* still there */
}

static void
test_defer_free(void **st)
{
	(void)st;
	for (char c = 'a'; c < 'e'; c++) {
		char *p = base_strdup("a");

		p[0] = c;
		loop_at_end(l, on_defer, p);
	}
	rounds(1);
	assert_string_equal(trace, "abcd");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
		T(test_timer_order),
		T(test_timer_deleted_by_another),
		T(test_timer_zero_starves_nobody),
		T(test_timer_counts_from_now),
		T(test_at_end),
		T(test_soon),
		T(test_fd_deleted_in_round),
		T(test_fd_rebind),
		T(test_defer_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
