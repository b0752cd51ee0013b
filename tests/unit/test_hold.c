/* hold and state: the table, single use, kill -9 at every step, a full disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "hold.h"
#include "log.h"
#include "state.h"

static char dir[64];
static int dirfd_;

static int
make_dir(void **ctx)
{
	(void)ctx;
	snprintf(dir, sizeof(dir), "/tmp/test_hold.XXXXXX");
	assert_non_null(mkdtemp(dir));
	dirfd_ = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dirfd_ >= 0);
	return 0;
}

static int
remove_dir(void **ctx)
{
	static const char *const files[] = { "state.db", "state.db-wal",
		"state.db-shm" };

	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		unlinkat(dirfd_, files[i], 0);
	close(dirfd_);
	return rmdir(dir);
}

static struct state *
open_state(void)
{
	struct err err = { 0 };
	struct state *st = state_open(dirfd_, &err);

	if (st == NULL)
		print_error("%s\n", err.text);
	assert_non_null(st);
	return st;
}

static struct hold *
new_hold(struct state *st, uint8_t fill)
{
	struct hold *h = base_calloc(1, sizeof(*h));

	h->call = uuid_v7();
	memset(h->digest, fill, sizeof(h->digest));
	h->expires = clock_wall_ms() + 3600 * 1000;
	h->session = base_strdup("s-000001");
	h->rpc_id = base_strdup("7");
	h->connector = base_strdup("github");
	h->tool = base_strdup("delete_repo");
	h->user = base_strdup("mara");
	h->agent = base_strdup("ci");
	h->card = base_strdup("{\"arguments\":{\"name\":\"x\"}}");
	assert_int_equal(hold_create(st, h), 0);
	return h;
}

/* -- the table -- */

#define NO HOLD_STATES
/* Written out by hand, not derived from the table it checks. */
static const enum hold_state expected[HOLD_STATES][HOLD_EVENTS] = {
	/*            APPROVE        EDIT         DENY         EXPIRE
	 *            CANCEL         CONSUME      DONE         LOST */
	[HOLD_DENIED] = { NO, NO, NO, NO, NO, NO, NO, NO },
	[HOLD_PENDING] = { HOLD_APPROVED, HOLD_EDITED, HOLD_DENIED,
		HOLD_EXPIRED, HOLD_CANCELLED, NO, NO, NO },
	[HOLD_APPROVED] = { NO, NO, HOLD_DENIED, HOLD_EXPIRED,
		HOLD_CANCELLED, HOLD_CONSUMED, NO, NO },
	[HOLD_EDITED] = { NO, NO, HOLD_DENIED, HOLD_EXPIRED,
		HOLD_CANCELLED, HOLD_CONSUMED, NO, NO },
	[HOLD_EXPIRED] = { NO, NO, NO, NO, NO, NO, NO, NO },
	[HOLD_CANCELLED] = { NO, NO, NO, NO, NO, NO, NO, NO },
	[HOLD_CONSUMED] = { NO, NO, NO, NO, NO, NO, HOLD_DONE,
		HOLD_AMBIGUOUS },
	[HOLD_AMBIGUOUS] = { NO, NO, NO, NO, NO, NO, HOLD_DONE, NO },
	[HOLD_DONE] = { NO, NO, NO, NO, NO, NO, NO, NO },
};

static void
test_table(void **ctx)
{
	enum hold_state to;

	(void)ctx;
	for (int s = 0; s < HOLD_STATES; s++) {
		for (int e = 0; e < HOLD_EVENTS; e++) {
			bool ok = hold_next((enum hold_state)s,
			    (enum hold_event)e, &to);

			assert_int_equal(ok, expected[s][e] != NO);
			if (ok)
				assert_int_equal(to, expected[s][e]);
		}
		assert_false(hold_next((enum hold_state)s, HOLD_EVENTS, &to));
		assert_true(hold_state_parse(slice_str(
		    hold_state_name((enum hold_state)s)), &to));
		assert_int_equal(to, s);
	}
	assert_false(hold_next(HOLD_STATES, HOLD_E_APPROVE, &to));
	assert_int_equal(HOLD_DENIED, 0);
}

static const uint8_t other_digest[HOLD_DIGEST] = { 9 };

/* One event on the stored row; HOLD_NO when it is not allowed. */
static int
apply(struct state *st, struct hold *h, enum hold_event e)
{
	uint8_t digest[HOLD_DIGEST];

	memcpy(digest, h->digest, sizeof(digest));
	switch (e) {
	case HOLD_E_APPROVE:
		return hold_approve(st, h, "ann", "fine");
	case HOLD_E_EDIT:
		return hold_edit(st, h, "ann", "smaller", "{\"a\":1}",
		    other_digest);
	case HOLD_E_DENY:
		return hold_deny(st, h, "ann", "no");
	case HOLD_E_EXPIRE:
		return hold_expire(st, h);
	case HOLD_E_CANCEL:
		return hold_cancel(st, h, "", "gone");
	case HOLD_E_CONSUME:
		return hold_consume(st, h, digest) == HOLD_USE_OK ? 0 :
		    HOLD_NO;
	case HOLD_E_DONE:
		return hold_done(st, h);
	case HOLD_E_LOST:
		return hold_lost(st, h);
	default:
		return -1;
	}
}

/* A hold brought into a state by allowed steps. */
static struct hold *
hold_in(struct state *st, enum hold_state s)
{
	static const enum hold_event ways[HOLD_STATES][4] = {
		[HOLD_DENIED] = { HOLD_E_DENY, HOLD_EVENTS },
		[HOLD_PENDING] = { HOLD_EVENTS },
		[HOLD_APPROVED] = { HOLD_E_APPROVE, HOLD_EVENTS },
		[HOLD_EDITED] = { HOLD_E_EDIT, HOLD_EVENTS },
		[HOLD_EXPIRED] = { HOLD_E_EXPIRE, HOLD_EVENTS },
		[HOLD_CANCELLED] = { HOLD_E_CANCEL, HOLD_EVENTS },
		[HOLD_CONSUMED] = { HOLD_E_APPROVE, HOLD_E_CONSUME,
			HOLD_EVENTS },
		[HOLD_AMBIGUOUS] = { HOLD_E_EDIT, HOLD_E_CONSUME,
			HOLD_E_LOST, HOLD_EVENTS },
		[HOLD_DONE] = { HOLD_E_APPROVE, HOLD_E_CONSUME, HOLD_E_DONE,
			HOLD_EVENTS },
	};
	struct hold *h = new_hold(st, 1);

	for (int i = 0; i < 4 && ways[s][i] != HOLD_EVENTS; i++)
		assert_int_equal(apply(st, h, ways[s][i]), 0);
	assert_int_equal(h->state, s);
	return h;
}

/* Every function in every state: stored, or refused and nothing stored. */
static void
test_every_function(void **ctx)
{
	struct state *st = open_state();

	(void)ctx;
	for (int s = 0; s < HOLD_STATES; s++) {
		for (int e = 0; e < HOLD_EVENTS; e++) {
			struct hold *h = hold_in(st, (enum hold_state)s);
			bool ok = expected[s][e] != NO;

			assert_int_equal(apply(st, h, (enum hold_event)e),
			    ok ? 0 : HOLD_NO);
			struct hold *row = state_hold_get(st, h->id);

			assert_non_null(row);
			assert_int_equal(row->state, ok ? expected[s][e] :
			    (enum hold_state)s);
			assert_int_equal(row->state, h->state);
			assert_memory_equal(row->digest, h->digest,
			    HOLD_DIGEST);
			assert_int_equal(row->decided, h->decided);
			hold_free(row);
			hold_free(h);
		}
	}
	state_close(st);
}

/* -- single use -- */

static void
test_consume_once(void **ctx)
{
	struct state *st = open_state();
	struct hold *h = new_hold(st, 5), *copy;
	uint8_t digest[HOLD_DIGEST];

	(void)ctx;
	memset(digest, 5, sizeof(digest));
	assert_int_equal(hold_consume(st, h, digest), HOLD_USE_NO);
	assert_int_equal(hold_approve(st, h, "ann", ""), 0);
	copy = state_hold_get(st, h->id);
	assert_non_null(copy);
	digest[31] ^= 1;
	assert_int_equal(hold_consume(st, h, digest), HOLD_USE_DIGEST);
	digest[31] ^= 1;
	assert_int_equal(hold_consume(st, h, digest), HOLD_USE_OK);
	assert_false(state_is_dirty(st));	/* durable before the answer */
	assert_int_equal(hold_consume(st, h, digest), HOLD_USE_NO);
	/* Who still believes that it is approved is told by the row. */
	assert_int_equal(copy->state, HOLD_APPROVED);
	assert_int_equal(hold_consume(st, copy, digest), HOLD_USE_NO);
	assert_int_equal(copy->state, HOLD_CONSUMED);
	hold_free(copy);
	hold_free(h);
	state_close(st);
}

static void
test_consume_edited(void **ctx)
{
	struct state *st = open_state();
	struct hold *h = new_hold(st, 5);
	uint8_t before[HOLD_DIGEST];

	(void)ctx;
	memcpy(before, h->digest, sizeof(before));
	assert_int_equal(hold_edit(st, h, "ann", "", "{\"a\":1}",
	    other_digest), 0);
	/* The original never runs. */
	assert_int_equal(hold_consume(st, h, before), HOLD_USE_DIGEST);
	assert_int_equal(hold_consume(st, h, other_digest), HOLD_USE_OK);
	hold_free(h);
	state_close(st);
}

static void
test_consume_expired(void **ctx)
{
	struct state *st = open_state();
	struct hold *h = new_hold(st, 5);

	(void)ctx;
	assert_int_equal(hold_approve(st, h, "ann", ""), 0);
	h->expires = clock_wall_ms() - 1;
	assert_int_equal(hold_consume(st, h, h->digest), HOLD_USE_EXPIRED);
	assert_int_equal(hold_expire(st, h), 0);
	hold_free(h);
	state_close(st);
}

static void
test_same_call_twice(void **ctx)
{
	struct state *st = open_state();
	struct hold *h = new_hold(st, 1);
	struct hold twice = *h;

	(void)ctx;
	assert_int_equal(state_commit(st), 0);
	assert_int_equal(hold_create(st, &twice), -1);
	hold_free(h);
	state_close(st);
}

static void
test_ids(void **ctx)
{
	char text[HOLD_ID_LEN];
	int64_t id;

	(void)ctx;
	hold_id_format(1042, text);
	assert_string_equal(text, "A-1042");
	assert_true(hold_id_parse(SLICE("A-1042"), &id));
	assert_int_equal(id, 1042);
	assert_true(hold_id_parse(SLICE("a-7"), &id));
	assert_true(hold_id_parse(SLICE("7"), &id));
	assert_false(hold_id_parse(SLICE("A-"), &id));
	assert_false(hold_id_parse(SLICE("A-0"), &id));
	assert_false(hold_id_parse(SLICE("A--1"), &id));
	assert_false(hold_id_parse(SLICE("B-1"), &id));
	assert_false(hold_id_parse(SLICE("99999999999999999999"), &id));
}

/* -- kill -9 -- */

static const char *const points[] = { "created", "stored", "approved",
	"approval stored", "consumed", "done", "done stored" };

static void
die_at(unsigned at, unsigned point)
{
	if (at == point)
		kill(getpid(), SIGKILL);
}

/* The life of one approval; dies at a point; says 'U' when it may be used. */
static void
child_life(int out, unsigned at)
{
	struct state *st = open_state();
	struct hold *h = new_hold(st, 3);

	die_at(at, 0);
	if (state_commit(st) != 0)
		_exit(2);
	die_at(at, 1);
	if (hold_approve(st, h, "ann", "") != 0)
		_exit(2);
	die_at(at, 2);
	if (state_commit(st) != 0)
		_exit(2);
	die_at(at, 3);
	if (hold_consume(st, h, h->digest) != HOLD_USE_OK ||
	    write(out, "U", 1) != 1)
		_exit(2);
	die_at(at, 4);
	if (hold_done(st, h) != 0)
		_exit(2);
	die_at(at, 5);
	if (state_commit(st) != 0)
		_exit(2);
	die_at(at, 6);
	_exit(3);
}

static void
check_after_crash(unsigned at, bool used)
{
	struct state *st = open_state();
	struct hold *h = state_hold_get(st, 1);
	enum hold_state want = at == 0 ? HOLD_STATES :
	    at < 3 ? HOLD_PENDING : at == 3 ? HOLD_APPROVED :
	    at < 6 ? HOLD_CONSUMED : HOLD_DONE;

	if (want == HOLD_STATES) {
		assert_null(h);
	} else {
		assert_non_null(h);
		assert_int_equal(h->state, want);
		if (used)
			assert_int_not_equal(hold_consume(st, h, h->digest),
			    HOLD_USE_OK);
	}
	assert_int_equal(hold_recover(st), want == HOLD_CONSUMED ? 1 : 0);
	assert_int_equal(state_commit(st), 0);
	hold_free(h);
	h = state_hold_get(st, 1);
	if (want == HOLD_CONSUMED) {
		assert_int_equal(h->state, HOLD_AMBIGUOUS);
		assert_int_equal(hold_consume(st, h, h->digest),
		    HOLD_USE_NO);
	}
	hold_free(h);
	state_close(st);
}

static void
test_kill_at_each_step(void **ctx)
{
	for (unsigned at = 0; at < ARRAY_LEN(points); at++) {
		char said = 0;
		int p[2], status;
		pid_t pid;

		assert_int_equal(pipe(p), 0);
		if ((pid = fork()) == 0)
			child_life(p[1], at);
		close(p[1]);
		assert_true(read(p[0], &said, 1) >= 0);
		close(p[0]);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSIGNALED(status))
			print_error("not killed when %s\n", points[at]);
		assert_true(WIFSIGNALED(status) &&
		    WTERMSIG(status) == SIGKILL);
		assert_int_equal(said == 'U', at >= 4);
		check_after_crash(at, said == 'U');
		remove_dir(ctx);
		make_dir(ctx);
	}
}

/* Killed from outside while it uses one approval after the other: what it
 * said it used can never be used again. */
static void
test_kill_at_any_time(void **ctx)
{
	enum { N = 200 };
	struct state *st = open_state();
	int p[2], status, said = 0;
	char byte;
	pid_t pid;

	(void)ctx;
	for (int i = 0; i < N; i++) {
		struct hold *h = new_hold(st, 3);

		assert_int_equal(hold_approve(st, h, "ann", ""), 0);
		hold_free(h);
	}
	assert_int_equal(state_commit(st), 0);
	state_close(st);
	assert_int_equal(pipe(p), 0);
	if ((pid = fork()) == 0) {
		st = open_state();
		for (int64_t id = 1; id <= N; id++) {
			struct hold *h = state_hold_get(st, id);

			if (hold_consume(st, h, h->digest) != HOLD_USE_OK ||
			    write(p[1], "U", 1) != 1)
				_exit(2);
			hold_free(h);
		}
		for (;;)
			pause();
	}
	close(p[1]);
	while (said < N / 4 && read(p[0], &byte, 1) == 1)
		said++;
	kill(pid, SIGKILL);
	while (read(p[0], &byte, 1) == 1)
		said++;
	close(p[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(said >= N / 4);
	st = open_state();
	for (int64_t id = 1; id <= N; id++) {
		struct hold *h = state_hold_get(st, id);
		enum hold_use use = hold_consume(st, h, h->digest);

		if (id <= said)
			assert_int_equal(use, HOLD_USE_NO);
		else if (id > said + 1)	/* one may be used and unsaid */
			assert_int_equal(use, HOLD_USE_OK);
		hold_free(h);
	}
	state_close(st);
}

/* The disk is full: the use is not allowed, and the approval still stands. */
static void
test_full_disk(void **ctx)
{
	struct state *st = open_state();
	struct hold *h = new_hold(st, 3);
	int status;
	pid_t pid;

	(void)ctx;
	assert_int_equal(hold_approve(st, h, "ann", ""), 0);
	assert_int_equal(state_commit(st), 0);
	hold_free(h);
	state_close(st);
	if ((pid = fork()) == 0) {
		struct rlimit none = { 0, 0 };

		st = open_state();
		h = state_hold_get(st, 1);
		signal(SIGXFSZ, SIG_IGN);
		setrlimit(RLIMIT_FSIZE, &none);
		_exit(hold_consume(st, h, h->digest) == HOLD_USE_FAILED &&
		    h->state == HOLD_APPROVED ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	st = open_state();
	h = state_hold_get(st, 1);
	assert_int_equal(h->state, HOLD_APPROVED);
	assert_int_equal(hold_consume(st, h, h->digest), HOLD_USE_OK);
	hold_free(h);
	state_close(st);
}

/* -- the file -- */

static void
test_one_writer(void **ctx)
{
	struct state *st = open_state();
	struct err err = { 0 };
	struct hold *h = new_hold(st, 1);

	(void)ctx;
	assert_int_equal(state_commit(st), 0);
	assert_null(state_open(dirfd_, &err));
	assert_non_null(strstr(err.text, "another broker"));
	hold_free(h);
	state_close(st);
}

static void
test_damaged_file(void **ctx)
{
	struct err err = { 0 };
	int fd = openat(dirfd_, "state.db", O_WRONLY | O_CREAT, 0600);

	(void)ctx;
	assert_int_equal(write(fd, "this is not a database, not at all", 34),
	    34);
	close(fd);
	assert_null(state_open(dirfd_, &err));
	assert_true(err.set);
}

static int
keep_session(void *ctx, const struct state_session *s)
{
	*(int *)ctx += s->revoked == 0;
	return 0;
}

static void
test_sessions(void **ctx)
{
	struct state *st = open_state();
	struct state_session s = { .hash = { 1 }, .id = "s-aaaaaa",
		.user = "mara", .agent = "ci", .task = "", .department = "",
		.trust = "supervised", .by = "root", .opened = 1000,
		.expires = 5000 };
	int n = 0;

	(void)ctx;
	assert_int_equal(state_session_insert(st, &s), 0);
	s.hash[0] = 2;
	assert_int_equal(state_session_insert(st, &s), 1);	/* id taken */
	s.id = "s-bbbbbb";
	assert_int_equal(state_session_insert(st, &s), 0);
	assert_int_equal(state_session_each(st, true, 4999, keep_session,
	    &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(state_session_revoke(st, "s-aaaaaa", 3000), 0);
	assert_int_equal(state_session_revoke(st, "s-aaaaaa", 3000), 1);
	n = 0;
	assert_int_equal(state_session_each(st, true, 4999, keep_session,
	    &n), 0);
	assert_int_equal(n, 1);
	n = 0;
	assert_int_equal(state_session_expired(st, 5000, keep_session, &n),
	    0);
	assert_int_equal(n, 1);
	assert_int_equal(state_session_get(st, "s-none", keep_session, &n),
	    1);
	assert_int_equal(state_prune(st, 6000), 0);
	assert_int_equal(state_session_get(st, "s-bbbbbb", keep_session, &n),
	    1);
	state_close(st);
}

static int
keep_active(void *ctx, const struct state_kill *k)
{
	*(int64_t *)ctx = k->active ? k->until : -1;
	return 0;
}

static void
test_kills(void **ctx)
{
	struct state *st = open_state();
	struct state_kill k = { .target = "connector/x", .reason = "leak",
		.by = "ann", .at = 1, .until = 10, .active = true };
	int64_t until = 0;

	(void)ctx;
	assert_int_equal(state_kill_put(st, &k), 0);
	k.until = 20;
	assert_int_equal(state_kill_put(st, &k), 0);	/* replaces it */
	assert_int_equal(state_kill_get(st, "connector/x", keep_active,
	    &until), 0);
	assert_int_equal(until, 20);
	assert_int_equal(state_kill_end(st, "connector/x", "bob", "ok", 5),
	    0);
	assert_int_equal(state_kill_end(st, "connector/x", "bob", "ok", 5),
	    1);
	assert_int_equal(state_kill_get(st, "connector/x", keep_active,
	    &until), 1);
	state_rollback(st);
	assert_int_equal(state_kill_get(st, "connector/x", keep_active,
	    &until), 1);
	state_close(st);
}

static int
keep_tool(void *ctx, const struct state_tool *t)
{
	*(int *)ctx = t->class;
	return 0;
}

static void
test_tools(void **ctx)
{
	struct state *st = open_state();
	struct state_tool t = { .connector = "c", .tool = "t",
		.description = "d", .seen = 1, .class = -1, .mode = "" };
	int class = 7;

	(void)ctx;
	assert_int_equal(state_tool_put(st, &t), 0);
	assert_int_equal(state_tool_get(st, "c", "t", keep_tool, &class), 0);
	assert_int_equal(class, -1);
	t.class = 0;	/* unknown by an operator is not "nobody said" */
	assert_int_equal(state_tool_put(st, &t), 0);
	assert_int_equal(state_tool_get(st, "c", "t", keep_tool, &class), 0);
	assert_int_equal(class, 0);
	class = 7;
	assert_int_equal(state_tool_each(st, true, keep_tool, &class), 0);
	assert_int_equal(class, 7);
	state_close(st);
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, make_dir, remove_dir)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table), cmocka_unit_test(test_ids),
		T(test_every_function), T(test_consume_once),
		T(test_consume_edited), T(test_consume_expired),
		T(test_same_call_twice), T(test_kill_at_each_step),
		T(test_kill_at_any_time), T(test_full_disk),
		T(test_one_writer), T(test_damaged_file), T(test_sessions),
		T(test_kills), T(test_tools),
	};

	log_init("test", LOG_LV_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
