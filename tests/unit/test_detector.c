/*
 * The detector role on one loop, with the test as recorder, reader and proxy:
 * nothing is answered before the memory is whole, a gap is read, findings
 * reach the recorder, a session's context holds a call, bad peers are dropped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <sys/socket.h>

#include "monitor/detector.c"

#define ROWS_MAX 64
#define FLAG_RULE "05b26d36-4c5a-4e99-bcb4-8091982849d9"
#define DENIALS_RULE "fd5de3e2-5e00-4797-8bc2-1822b439d95b"

struct world;

struct actor {
	struct world *w;
	struct chan *chan;
	enum role role;
	bool closed;
};

struct world {
	struct role_env env;
	struct conf conf;
	struct loop *loop;
	struct loop_timer *limit, *tick;
	bool (*until)(struct world *w);
	struct actor recorder, reader, proxy;
	char *rows[ROWS_MAX];
	uint64_t nrows;
	bool hold_reader;		/* the reader does not answer yet */
	uint64_t waiting_q, waiting_from;
	uint32_t waiting_max;
	uint64_t subscribed, reads;
	unsigned findings, answers, acks, told, asked;
	char finding[8192];
	uint64_t last_q;
	uint8_t action;
	char rule[64];
};

/* --- the ledger as the test has it -------------------------------------- */

static unsigned made;

static char *
row_json(const char *type, const char *fields)
{
	char time[CLOCK_RFC3339_LEN], *json;

	clock_format(clock_wall_ms(), time);
	assert_true(asprintf(&json, "{\"id\":\"00000000-0000-7000-8000-%012u\""
	    ",\"time\":\"%s\",\"type\":\"%s\",%s}", ++made, time, type,
	    fields) > 0);
	return json;
}

static void
row_add(struct world *w, const char *type, const char *fields)
{
	assert_true(w->nrows < ROWS_MAX);
	w->rows[w->nrows++] = row_json(type, fields);
}

static void
send_row(struct chan *c, uint64_t seq, const char *json)
{
	struct buf *b = chan_begin(c, MSG_FEED_ROW);
	uint8_t id[16] = { 0 };

	assert_non_null(b);
	pack_u64(b, seq);
	pack_bytes(b, id, sizeof(id));
	pack_str(b, json);
	assert_int_equal(chan_end(c), 0);
}

static void
serve_range(struct world *w)
{
	uint64_t seq = w->waiting_from;
	struct buf *b;

	for (uint32_t i = 0; i < w->waiting_max && seq <= w->nrows; i++, seq++)
		send_row(w->reader.chan, seq, w->rows[seq - 1]);
	b = chan_begin(w->reader.chan, MSG_READ_DONE);
	assert_non_null(b);
	pack_u64(b, w->waiting_q);
	pack_u64(b, seq);
	pack_u64(b, w->nrows);
	assert_int_equal(chan_end(w->reader.chan), 0);
	w->waiting_q = 0;
}

/* --- the peers ---------------------------------------------------------- */

static void
got_event(struct world *w, struct unpack *u)
{
	uint64_t n = unpack_u64(u);
	uint8_t ids[32];
	struct slice json;
	struct buf *b;

	unpack_bytes(u, ids, sizeof(ids));
	json = unpack_slice(u);
	assert_true(json.n < sizeof(w->finding));
	memcpy(w->finding, json.p, json.n);
	w->finding[json.n] = '\0';
	w->findings++;
	b = chan_begin(w->recorder.chan, MSG_EVENT_ACK);
	assert_non_null(b);
	pack_u64(b, n);
	assert_int_equal(chan_end(w->recorder.chan), 0);
}

static int
on_actor(void *ctx, struct chan *c, enum msg_type type, struct slice body,
    int fd)
{
	struct actor *a = ctx;
	struct world *w = a->w;
	struct unpack u;

	(void)c;
	assert_int_equal(fd, -1);
	unpack_init(&u, body);
	switch (type) {
	case MSG_HELLO:
		assert_int_equal(unpack_u8(&u), ROLE_DETECTOR);
		return 0;
	case MSG_ADVICE_CLASSES:
		w->asked = unpack_u8(&u);
		w->told++;
		break;
	case MSG_EVENT:
		got_event(w, &u);
		break;
	case MSG_FEED_SUBSCRIBE:
		w->subscribed = unpack_u64(&u);
		break;
	case MSG_READ_RANGE:
		w->waiting_q = unpack_u64(&u);
		w->waiting_from = unpack_u64(&u);
		w->waiting_max = unpack_u32(&u);
		w->reads++;
		if (!w->hold_reader)
			serve_range(w);
		break;
	case MSG_ADVICE: {
		w->last_q = unpack_u64(&u);
		w->action = unpack_u8(&u);
		struct slice rule = unpack_slice(&u);

		(void)unpack_slice(&u);
		snprintf(w->rule, sizeof(w->rule), "%.*s", SLICE_FMT(rule));
		w->answers++;
		break;
	}
	case MSG_CONTEXT_ACK:
		w->last_q = unpack_u64(&u);
		w->acks++;
		break;
	default:
		fail_msg("unexpected %s", msg_name(type));
	}
	assert_true(unpack_done(&u));
	return 0;
}

static void
on_actor_close(void *ctx, struct chan *c)
{
	struct actor *a = ctx;

	(void)c;
	chan_free(a->chan);
	a->chan = NULL;
	a->closed = true;
}

static void
join(struct world *w, struct actor *a, enum role role)
{
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
	    sv), 0);
	chan_free(a->chan);
	a->w = w;
	a->role = role;
	a->closed = false;
	a->chan = chan_new(w->loop, sv[0], 1 << 20, on_actor, on_actor_close,
	    a);
	detector_role.channel(&w->env, role, 0, sv[1]);
}

/* --- the world ---------------------------------------------------------- */

static void
on_tick(void *ctx)
{
	struct world *w = ctx;

	if (w->until(w))
		loop_stop(w->loop);
	else
		loop_timer_set(w->tick, 1);
}

static void
on_limit(void *ctx)
{
	(void)ctx;
	fail_msg("waited for 5 s in vain");
}

static void
run(struct world *w, bool (*until)(struct world *w))
{
	w->until = until;
	loop_timer_set(w->limit, 5000);
	loop_timer_set(w->tick, 1);
	loop_run(w->loop);
	loop_timer_stop(w->limit);
	loop_timer_stop(w->tick);
}

static struct snap *
snapshot(bool rules)
{
	struct snap_writer sw;
	struct err err = { 0 };
	struct snap *s;
	struct buf b;

	snap_writer_init(&sw);
	buf_init(&b, 1 << 20);
	if (rules) {
		if (rule_compile_dir("rules/detection", &b, NULL, NULL,
		    &err) != 0)
			fail_msg("%s", err.text);
		snap_add(&sw, "rules", buf_slice(&b));
	}
	s = snap_open(snap_seal(&sw, &err), &err);
	if (s == NULL)
		fail_msg("%s", err.text);
	snap_writer_free(&sw);
	buf_free(&b);
	return s;
}

static struct world *
world_new(void)
{
	struct world *w = base_calloc(1, sizeof(*w));
	struct sandbox_promise p = { 0 };
	struct err err = { 0 };

	w->loop = loop_new();
	w->limit = loop_timer_new(w->loop, on_limit, w);
	w->tick = loop_timer_new(w->loop, on_tick, w);
	w->conf.learning_ms = 7LL * 86400 * 1000;
	w->env.loop = w->loop;
	w->env.conf = &w->conf;
	w->env.snap = snapshot(true);
	if (detector_role.setup(&w->env, &err) != 0)
		fail_msg("%s", err.text);
	detector_role.promise(&w->env, &p);
	assert_int_equal(p.rights, 0);
	assert_int_equal(p.ndirs, 0);
	detector_role.start(&w->env);
	return w;
}

static void
world_free(struct world *w)
{
	struct detector *d = w->env.ctx;

	detector_role.stop(&w->env);
	for (unsigned i = 0; i < PROXIES_MAX; i++) {
		if (d->proxies[i] != NULL)
			proxy_drop(d->proxies[i]);
	}
	answer_waiting(d);
	follow_free(d->follow);
	emit_free(d->emit);
	detect_free(d->detect);
	loop_timer_del(d->report);
	free(d);
	chan_free(w->recorder.chan);
	chan_free(w->reader.chan);
	chan_free(w->proxy.chan);
	loop_timer_del(w->limit);
	loop_timer_del(w->tick);
	loop_free(w->loop);
	snap_close(w->env.snap);
	for (uint64_t i = 0; i < w->nrows; i++)
		free(w->rows[i]);
	free(w);
}

static void
ask(struct world *w, enum msg_type type, uint64_t q, const char *evtype,
    const char *fields)
{
	struct buf *b = chan_begin(w->proxy.chan, type);
	char *json = row_json(evtype, fields);

	assert_non_null(b);
	pack_u64(b, q);
	pack_str(b, json);
	assert_int_equal(chan_end(w->proxy.chan), 0);
	free(json);
}

static bool subscribed(struct world *w) { return w->subscribed != 0; }
static bool asked(struct world *w) { return w->waiting_q != 0; }
static bool answered(struct world *w) { return w->answers > 0; }
static bool acked(struct world *w) { return w->acks > 0; }
static bool found(struct world *w) { return w->findings > 0; }
static bool told_again(struct world *w) { return w->asked != 0; }
static bool proxy_closed(struct world *w) { return w->proxy.closed; }
static bool caught_up(struct world *w)
{
	struct detector *d = w->env.ctx;

	return follow_next(d->follow) == w->nrows + 1;
}

#define DENY "\"user\":\"ada\",\"agent\":\"bot\",\"verdict\":\"deny\""

static struct world *
live(void)
{
	struct world *w = world_new();

	join(w, &w->recorder, ROLE_RECORDER);
	join(w, &w->reader, ROLE_READER);
	join(w, &w->proxy, ROLE_PROXY);
	run(w, subscribed);
	return w;
}

/* --- tests -------------------------------------------------------------- */

/* Four denials of before, one of now: the window was rebuilt. The question of
 * a proxy waits until then. */
static void
test_replay_then_live(void **state)
{
	struct world *w = world_new();

	(void)state;
	row_add(w, "config.loaded", "\"snapshot\":\"000000000000\"");
	for (int i = 0; i < 4; i++)
		row_add(w, "call.decision", DENY);
	w->hold_reader = true;
	join(w, &w->recorder, ROLE_RECORDER);
	join(w, &w->proxy, ROLE_PROXY);
	join(w, &w->reader, ROLE_READER);
	ask(w, MSG_ADVISE, 77, "call.decision", DENY);
	run(w, asked);
	assert_int_equal(w->waiting_from, 1);
	assert_int_equal(w->waiting_max, 1);
	serve_range(w);
	run(w, asked);
	assert_int_equal(w->answers, 0);
	assert_int_equal(w->subscribed, 0);
	w->hold_reader = false;
	serve_range(w);
	run(w, answered);
	assert_int_equal(w->last_q, 77);
	assert_int_equal(w->action, RULE_NONE);
	run(w, subscribed);
	assert_int_equal(w->subscribed, 6);
	assert_int_equal(w->findings, 0);
	row_add(w, "call.decision", DENY);
	send_row(w->recorder.chan, 6, w->rows[5]);
	run(w, found);
	assert_non_null(strstr(w->finding, "\"type\":\"finding\",\"role\":"
	    "\"detector\",\"user\":\"ada\",\"agent\":\"bot\",\"severity\":"
	    "\"medium\",\"finding\":{\"rule\":\"" DENIALS_RULE "\""));
	assert_non_null(strstr(w->finding, "\"count\":5"));
	world_free(w);
}

static void
test_gap(void **state)
{
	struct world *w = live();

	(void)state;
	assert_int_equal(w->subscribed, 1);
	for (int i = 0; i < 5; i++)
		row_add(w, "call.decision", DENY);
	/* The recorder shows the last row only. */
	send_row(w->recorder.chan, 5, w->rows[4]);
	run(w, caught_up);
	run(w, found);
	/* Known rows again change nothing. */
	for (int i = 0; i < 5; i++)
		send_row(w->recorder.chan, (uint64_t)i + 1, w->rows[i]);
	row_add(w, "connector.killed", "\"connector\":\"crm\"");
	w->findings = 0;
	send_row(w->recorder.chan, 6, w->rows[5]);
	run(w, found);
	assert_int_equal(w->findings, 1);
	assert_non_null(strstr(w->finding, "\"connector\":\"crm\""));
	world_free(w);
}

/* The head alone tells of rows; a reader that dies is waited for. */
static void
test_head_and_new_reader(void **state)
{
	struct world *w = live();
	struct buf *b;

	(void)state;
	row_add(w, "connector.killed", "\"connector\":\"crm\"");
	w->hold_reader = true;
	b = chan_begin(w->recorder.chan, MSG_FEED_HEAD);
	pack_u64(b, 1);
	chan_end(w->recorder.chan);
	run(w, asked);
	chan_free(w->reader.chan);
	w->reader.chan = NULL;
	w->hold_reader = false;
	join(w, &w->reader, ROLE_READER);
	run(w, found);
	assert_true(caught_up(w));
	world_free(w);
}

#define CALL(n) "\"session\":\"s1\",\"agent\":\"bot\",\"call\":\"00000000-" \
	"0000-7000-9000-00000000000" n "\""

static void
test_context_holds(void **state)
{
	struct world *w = live();

	(void)state;
	ask(w, MSG_ADVISE, 1, "call.decision", CALL("1")
	    ",\"class\":\"dangerous\"");
	run(w, answered);
	assert_int_equal(w->action, RULE_NONE);
	assert_string_equal(w->rule, "");
	ask(w, MSG_CONTEXT, 2, "call.result", CALL("1")
	    ",\"flags\":[\"injection.override\"]");
	run(w, acked);
	assert_int_equal(w->last_q, 2);
	w->answers = 0;
	ask(w, MSG_ADVISE, 3, "call.decision", CALL("2")
	    ",\"class\":\"dangerous\"");
	run(w, answered);
	assert_int_equal(w->last_q, 3);
	assert_int_equal(w->action, RULE_HOLD);
	assert_string_equal(w->rule, FLAG_RULE);
	run(w, found);
	assert_non_null(strstr(w->finding, "\"advice\":\"hold\""));
	assert_non_null(strstr(w->finding, "000000000002\",\"severity\""));
	world_free(w);
}

static void
test_bad_proxy(void **state)
{
	static const struct { enum msg_type type; const char *body; } t[] = {
		{ MSG_ADVISE, "{\"type\":\"call.decision\"" },
		{ MSG_CONTEXT, "[]" },
		{ MSG_FEED_HEAD, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct world *w = live();
		struct buf *b = chan_begin(w->proxy.chan, t[i].type);

		pack_u64(b, 1);
		pack_str(b, t[i].body);
		chan_end(w->proxy.chan);
		run(w, proxy_closed);
		assert_int_equal(w->answers + w->acks, 0);
		world_free(w);
	}
}

/* A proxy that goes while its question waits is not answered, nor is one
 * whose question turns out to be none. */
static void
test_waiting_proxy_gone(void **state)
{
	struct world *w = world_new();
	struct buf *b;

	(void)state;
	row_add(w, "config.loaded", "\"snapshot\":\"000000000000\"");
	w->hold_reader = true;
	join(w, &w->recorder, ROLE_RECORDER);
	join(w, &w->reader, ROLE_READER);
	join(w, &w->proxy, ROLE_PROXY);
	ask(w, MSG_ADVISE, 1, "call.decision", DENY);
	run(w, asked);
	join(w, &w->proxy, ROLE_PROXY);		/* a restarted one */
	b = chan_begin(w->proxy.chan, MSG_ADVISE);
	pack_u64(b, 2);
	pack_str(b, "no event");
	chan_end(w->proxy.chan);
	ask(w, MSG_ADVISE, 3, "call.decision", DENY);
	serve_range(w);
	run(w, asked);
	w->hold_reader = false;
	serve_range(w);
	run(w, proxy_closed);
	assert_int_equal(w->answers, 0);
	world_free(w);
}

static void
test_other_ledger(void **state)
{
	struct world *w = live();
	struct buf *b;

	(void)state;
	row_add(w, "connector.killed", "\"connector\":\"crm\"");
	send_row(w->recorder.chan, 1, w->rows[0]);
	run(w, found);
	b = chan_begin(w->recorder.chan, MSG_FEED_HEAD);
	pack_u64(b, 0);
	chan_end(w->recorder.chan);
	loop_timer_set(w->limit, 5000);
	loop_run(w->loop);		/* the role ends itself */
	world_free(w);
}

static void
test_reload(void **state)
{
	struct world *w = live();
	struct snap *good = w->env.snap;
	struct err err = { 0 };

	(void)state;
	for (int i = 0; i < 4; i++) {
		row_add(w, "call.decision", DENY);
		send_row(w->recorder.chan, w->nrows, w->rows[w->nrows - 1]);
	}
	run(w, caught_up);
	w->env.snap = snapshot(false);
	assert_int_equal(detector_role.reload(&w->env, &err), -1);
	assert_string_equal(err.text, "the snapshot's rules section is "
	    "missing");
	snap_close(w->env.snap);
	w->env.snap = good;
	err.set = false;
	w->conf.hours.set = true;	/* and no zone in the snapshot */
	assert_int_equal(detector_role.reload(&w->env, &err), -1);
	w->conf.hours.set = false;
	/* The proxy was told of which classes to ask when it came, and is told
	 * again: not of read-only ones, as the shipped rules are. */
	unsigned told = w->told;

	assert_true(told > 0);
	assert_int_equal(w->asked, 1u << CONF_UNKNOWN | 1u << CONF_DANGEROUS |
	    1u << CONF_MODERATE);
	w->asked = 0;
	assert_int_equal(detector_role.reload(&w->env, &err), 0);
	run(w, told_again);
	assert_int_equal(w->told, told + 1);
	assert_int_not_equal(w->asked, 0);
	row_add(w, "call.decision", DENY);	/* the window is still there */
	send_row(w->recorder.chan, w->nrows, w->rows[w->nrows - 1]);
	run(w, found);
	world_free(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replay_then_live),
		cmocka_unit_test(test_gap),
		cmocka_unit_test(test_head_and_new_reader),
		cmocka_unit_test(test_context_holds),
		cmocka_unit_test(test_bad_proxy),
		cmocka_unit_test(test_waiting_proxy_gone),
		cmocka_unit_test(test_other_ledger),
		cmocka_unit_test(test_reload),
	};

	log_init("test_detector", LOG_LV_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
