/* lib/wire/emit: order and resend, acknowledgement, refusal, grace, forget. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "chan.h"
#include "clock.h"
#include "emit.h"
#include "pack.h"

#define MAX 4096

static struct loop *l;
static struct emit *e;
static struct chan *rec;	/* the recorder's end */
static unsigned hellos, attached, others;
static uint64_t seen[64];
static char texts[64][64];
static size_t nseen;
static char answers[64];	/* per context: '?' none, '+' ok, '-' not */

static int
rec_msg(void *ctx, struct chan *c, enum msg_type type, struct slice body,
    int fd)
{
	struct unpack u;
	uint8_t id[32];

	(void)ctx;
	(void)c;
	assert_int_equal(fd, -1);
	unpack_init(&u, body);
	if (type == MSG_HELLO) {
		assert_int_equal(unpack_u8(&u), ROLE_PROXY);
		assert_int_equal(unpack_u8(&u), 3);
		assert_int_equal(unpack_u16(&u), MSG_VERSION);
		assert_true(unpack_done(&u));
		hellos++;
		return 0;
	}
	assert_int_equal(type, MSG_EVENT);
	assert_true(nseen < ARRAY_LEN(seen));
	seen[nseen] = unpack_u64(&u);
	unpack_bytes(&u, id, 32);
	struct slice json = unpack_slice(&u);

	assert_true(unpack_done(&u));
	memcpy(texts[nseen], json.p, json.n < 63 ? json.n : 63);
	texts[nseen][json.n < 63 ? json.n : 63] = '\0';
	nseen++;
	return 0;
}

static void
rec_close(void *ctx, struct chan *c)
{
	(void)ctx;
	chan_free(c);
	if (rec == c)
		rec = NULL;
}

static void
stop(void *ctx)
{
	(void)ctx;
	loop_stop(l);
}

static void
rounds(int n)
{
	while (n-- > 0) {
		loop_soon(l, stop, NULL);
		loop_run(l);
	}
}

static void
attach(void)
{
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	rec = chan_new(l, sv[0], 1 << 20, rec_msg, rec_close, NULL);
	emit_attach(e, sv[1]);
	nseen = 0;
	rounds(2);
}

static void
detach(void)
{
	chan_free(rec);
	rec = NULL;
	rounds(2);
}

static int
setup(void **st)
{
	(void)st;
	l = loop_new();
	e = emit_new(l, ROLE_PROXY, 3, MAX);
	hellos = attached = others = 0;
	nseen = 0;
	memset(answers, '?', sizeof(answers));
	return 0;
}

static int
teardown(void **st)
{
	(void)st;
	chan_free(rec);
	rec = NULL;
	emit_free(e);
	rounds(1);
	loop_free(l);
	return 0;
}

static void
on_done(void *ctx, bool ok)
{
	char *a = ctx;

	assert_int_equal(*a, '?');	/* at most once */
	*a = ok ? '+' : '-';
}

static int
put(const char *text, char *answer)
{
	struct uuid none = { { 0 } };

	return emit_event(e, uuid_v7(), none, slice_str(text),
	    answer == NULL ? NULL : on_done, answer);
}

static void
ack(uint64_t n)
{
	struct buf *b = chan_begin(rec, MSG_EVENT_ACK);

	assert_non_null(b);
	pack_u64(b, n);
	assert_int_equal(chan_end(rec), 0);
	rounds(3);
}

static void
test_ack_in_order(void **st)
{
	(void)st;
	attach();
	assert_int_equal(hellos, 1);
	assert_true(emit_connected(e));
	for (int i = 0; i < 4; i++)
		assert_int_equal(put("{}", &answers[i]), 0);
	rounds(2);
	assert_int_equal(nseen, 4);
	for (size_t i = 1; i < 4; i++)
		assert_true(seen[i] == seen[i - 1] + 1);
	assert_memory_equal(answers, "????", 4);
	ack(seen[1]);
	assert_memory_equal(answers, "++??", 4);
	ack(seen[1]);		/* again: nothing new */
	ack(seen[3]);
	assert_memory_equal(answers, "++++", 4);
	/* For what was never sent: the recorder is not believed. */
	ack(seen[3] + 1);
	assert_false(emit_connected(e));
}

static void
test_resend(void **st)
{
	(void)st;
	/* Before there is a recorder: only what need not be waited for. */
	assert_int_equal(put("{\"n\":0}", NULL), 0);
	assert_int_equal(put("{}", &answers[0]), -1);
	attach();
	assert_int_equal(nseen, 1);
	assert_int_equal(put("{\"n\":1}", &answers[1]), 0);
	assert_int_equal(put("{\"n\":2}", &answers[2]), 0);
	rounds(2);
	ack(seen[0]);
	detach();
	assert_false(emit_connected(e));
	assert_null(emit_chan(e));
	assert_int_equal(put("{\"n\":3}", NULL), 0);
	attach();
	assert_int_equal(hellos, 2);
	assert_int_equal(nseen, 3);
	assert_string_equal(texts[0], "{\"n\":1}");
	assert_string_equal(texts[1], "{\"n\":2}");
	assert_string_equal(texts[2], "{\"n\":3}");
	assert_memory_equal(answers, "????", 4);
	ack(seen[2]);
	assert_memory_equal(answers, "?++?", 4);
	/* Attached over a living one: the old one is left, all is resent. */
	assert_int_equal(put("{\"n\":4}", &answers[4]), 0);
	attach();
	assert_int_equal(nseen, 1);
	ack(seen[0]);
	assert_int_equal(answers[4], '+');
}

static int
put_later(const char *text)
{
	struct uuid none = { { 0 } };

	return emit_later(e, uuid_v7(), none, slice_str(text));
}

static void
test_later(void **st)
{
	(void)st;
	attach();
	/* What nobody waits for leaves with the next that somebody does. */
	assert_int_equal(put_later("{\"n\":0}"), 0);
	assert_int_equal(put_later("{\"n\":1}"), 0);
	rounds(1);
	assert_int_equal(nseen, 0);
	assert_int_equal(put("{\"n\":2}", &answers[2]), 0);
	rounds(2);
	assert_int_equal(nseen, 3);
	assert_string_equal(texts[0], "{\"n\":0}");
	assert_string_equal(texts[1], "{\"n\":1}");
	assert_string_equal(texts[2], "{\"n\":2}");
	ack(seen[2]);
	assert_int_equal(answers[2], '+');
	/* Alone it leaves after its time, and is kept until acknowledged. */
	uint64_t began = clock_mono_ms();

	assert_int_equal(put_later("{\"n\":3}"), 0);
	while (nseen < 4) {
		assert_true(clock_mono_ms() - began < 5000);
		rounds(1);
	}
	assert_true(clock_mono_ms() - began >= EMIT_LATER_MS);
	assert_string_equal(texts[3], "{\"n\":3}");
	detach();
	assert_int_equal(put_later("{\"n\":4}"), 0);
	attach();
	assert_int_equal(nseen, 2);
	assert_string_equal(texts[0], "{\"n\":3}");
	assert_string_equal(texts[1], "{\"n\":4}");
	ack(seen[1]);
	/* Told to, it leaves at once. */
	assert_int_equal(put_later("{\"n\":5}"), 0);
	emit_flush(e);
	rounds(2);
	assert_int_equal(nseen, 3);
	ack(seen[2]);
	/* An acknowledgement of what has not left is a lie. */
	assert_int_equal(put_later("{\"n\":6}"), 0);
	ack(seen[2] + 1);
	assert_false(emit_connected(e));
}

static void
test_refused(void **st)
{
	struct buf *b;

	(void)st;
	attach();
	for (int i = 0; i < 3; i++)
		assert_int_equal(put("{}", &answers[i]), 0);
	rounds(2);
	b = chan_begin(rec, MSG_EVENT_REFUSED);
	pack_u64(b, seen[1]);
	pack_str(b, "not JSON");
	assert_int_equal(chan_end(rec), 0);
	rounds(3);
	assert_memory_equal(answers, "?-?", 3);
	ack(seen[2]);
	assert_memory_equal(answers, "+-+", 3);
}

static void
test_full(void **st)
{
	char text[1000];
	int taken = 0;
	size_t at;

	(void)st;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	while (put(text, NULL) == 0)
		taken++;
	assert_int_equal(taken, MAX / (999 + 64));
	attach();
	assert_int_equal(nseen, taken);
	at = nseen;
	assert_int_equal(put(text, &answers[0]), -1);
	ack(seen[0]);
	assert_int_equal(put(text, &answers[0]), 0);
	rounds(2);
	assert_int_equal(nseen, at + 1);
	assert_int_equal(answers[0], '?');
	/* Many small ones: what is queued fits into a new channel whole. */
	ack(seen[nseen - 1]);
	for (taken = 0; put("", NULL) == 0; taken++)
		assert_true(taken < 1000);
	assert_int_equal(taken, MAX / 64);
}

static void
wait_ms(uint64_t ms)
{
	struct loop_timer *t = loop_timer_new(l, stop, NULL);

	loop_timer_set(t, ms);
	loop_run(l);
	loop_timer_del(t);
}

/* On the way out of its callback one owner forgets another. */
static void
done_forgets(void *ctx, bool ok)
{
	on_done(ctx, ok);
	emit_forget(e, &answers[2]);
	assert_int_equal(put("{\"late\":1}", NULL), 0);
}

static void
test_grace_and_forget(void **st)
{
	struct uuid none = { { 0 } };
	uint64_t before;

	(void)st;
	attach();
	assert_int_equal(put("{\"n\":0}", &answers[0]), 0);
	assert_int_equal(emit_event(e, uuid_v7(), none, SLICE("{\"n\":1}"),
	    done_forgets, &answers[1]), 0);
	assert_int_equal(put("{\"n\":2}", &answers[2]), 0);
	assert_int_equal(put("{\"n\":3}", &answers[3]), 0);
	emit_forget(e, &answers[0]);
	before = clock_mono_ms();
	detach();
	wait_ms(100);
	assert_memory_equal(answers, "????", 4);	/* within the grace */
	while (answers[3] == '?' && clock_mono_ms() - before < 10000)
		wait_ms(20);
	assert_true(clock_mono_ms() - before >= 1900);
	assert_memory_equal(answers, "?-?-", 4);
	/* They are recorded all the same, and nobody is told twice. */
	attach();
	assert_int_equal(nseen, 5);
	assert_string_equal(texts[4], "{\"late\":1}");
	ack(seen[4]);
	assert_memory_equal(answers, "?-?-", 4);
}

/* Thousands of owners wait and go away: each costs what one costs. */
static void
test_forget_many(void **st)
{
	enum { N = 60000 };
	struct emit *many = emit_new(l, ROLE_PROXY, 3, 64 << 20);
	struct uuid none = { { 0 } };
	static char who[N];
	struct timespec from, to;
	int sv[2];

	(void)st;
	memset(who, '?', N);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	emit_attach(many, sv[1]);
	for (int i = 0; i < N; i++)
		assert_int_equal(emit_event(many, uuid_v7(), none,
		    SLICE("{}"), on_done, &who[i]), 0);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	for (int i = 0; i < N; i++)
		if (i % 3 != 0)
			emit_forget(many, &who[i]);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	/* Milliseconds; one look at all for each took 4 s. */
	assert_true((to.tv_sec - from.tv_sec) * 1000 +
	    (to.tv_nsec - from.tv_nsec) / 1000000 < 1000);
	/* No recorder for longer than the grace: who was not forgotten hears. */
	close(sv[0]);
	for (int i = 0; who[0] == '?' && i < 200; i++)
		wait_ms(50);
	for (int i = 0; i < N; i++)
		assert_int_equal(who[i], i % 3 != 0 ? '?' : '-');
	emit_free(many);
}

static void
until_answer(const char *a)
{
	uint64_t before = clock_mono_ms();

	while (*a == '?' && clock_mono_ms() - before < 10000)
		wait_ms(5);
}

/* A recorder that is there and says nothing. */
static void
test_hung(void **st)
{
	uint64_t before;

	(void)st;
	emit_set_patience(e, 200);
	attach();
	before = clock_mono_ms();
	assert_int_equal(put("{\"n\":0}", &answers[0]), 0);
	wait_ms(50);
	assert_int_equal(put("{\"n\":1}", &answers[1]), 0);
	assert_memory_equal(answers, "??", 2);
	until_answer(&answers[0]);
	assert_true(clock_mono_ms() - before >= 200);
	assert_memory_equal(answers, "--", 2);	/* both: 1 waits behind 0 */
	/* Known to hang: the next is refused at once, the rest is queued. */
	assert_int_equal(put("{}", &answers[2]), -1);
	assert_int_equal(put("{\"n\":2}", NULL), 0);
	assert_int_equal(answers[2], '?');
	rounds(2);
	assert_int_equal(nseen, 3);
	/* It acknowledges, but what is left is old as well: not yet. */
	wait_ms(250);
	ack(seen[0]);
	assert_int_equal(put("{}", &answers[2]), -1);
	assert_int_equal(put("{\"n\":3}", NULL), 0);
	rounds(2);
	ack(seen[2]);
	assert_memory_equal(answers, "--", 2);	/* nobody is told twice */
	assert_int_equal(put("{\"n\":4}", &answers[2]), 0);
	rounds(2);
	ack(seen[4]);
	assert_int_equal(answers[2], '+');
	/* And it may hang again. */
	wait_ms(250);
	assert_int_equal(put("{\"n\":5}", &answers[3]), 0);
	until_answer(&answers[3]);
	assert_int_equal(answers[3], '-');
}

/* A new recorder has as much time as any; what is slow but answers is not
 * taken for hung. */
static void
test_not_hung(void **st)
{
	(void)st;
	emit_set_patience(e, 300);
	assert_int_equal(put("{\"n\":0}", NULL), 0);
	wait_ms(400);
	attach();
	assert_int_equal(put("{\"n\":1}", &answers[1]), 0);
	wait_ms(100);
	assert_int_equal(put("{\"n\":2}", &answers[2]), 0);
	ack(2);
	assert_memory_equal(answers + 1, "+?", 2);
	for (int i = 0; i < 5; i++) {
		wait_ms(150);
		assert_int_equal(put("{}", NULL), 0);
		ack(3 + (uint64_t)i);
	}
	assert_memory_equal(answers + 1, "++", 2);
	assert_int_equal(put("{}", &answers[3]), 0);
}

static int
other_msg(void *ctx, struct chan *c, enum msg_type type, struct slice body,
    int fd)
{
	(void)ctx;
	assert_ptr_equal(c, emit_chan(e));
	assert_int_equal(type, MSG_SIGN);
	assert_int_equal(fd, -1);
	others++;
	return body.n == 0 ? -1 : 0;
}

static void
on_attach(void *ctx)
{
	(void)ctx;
	attached++;
	assert_true(emit_connected(e));
}

static void
test_other(void **st)
{
	(void)st;
	emit_on_other(e, other_msg, on_attach, NULL);
	attach();
	assert_int_equal(attached, 1);
	assert_int_equal(chan_send(rec, MSG_SIGN, SLICE("x"), -1), 0);
	rounds(2);
	assert_int_equal(others, 1);
	assert_int_equal(chan_send(rec, MSG_SIGN, SLICE(""), -1), 0);
	rounds(3);
	assert_false(emit_connected(e));	/* it refused the message */
	attach();
	assert_int_equal(attached, 2);
	/* Malformed acknowledgements end the channel. */
	assert_int_equal(chan_send(rec, MSG_EVENT_ACK, SLICE("short"), -1), 0);
	rounds(3);
	assert_false(emit_connected(e));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
		T(test_ack_in_order),
		T(test_resend),
		T(test_later),
		T(test_refused),
		T(test_full),
		T(test_grace_and_forget), T(test_forget_many),
		T(test_hung),
		T(test_not_hung),
		T(test_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
