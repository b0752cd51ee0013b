/*
 * The recorder and the reader on one loop with the test as every peer: groups
 * and acknowledgements, refusals, resends, a vanished proxy's calls,
 * checkpoints through a keeper, the feed and catching up, and the reader
 * inside its promise.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* Both roles have functions of the same names. */
#include "monitor/feed.c"
#undef KEEP_ROWS
#include "monitor/opencalls.c"
#include "monitor/recorder.c"
#define on_msg reader_on_msg
#define on_close reader_on_close
#include "monitor/reader.c"
#undef on_msg
#undef on_close

#include "ledgertest.h"
#include "verify.h"

struct world;

/* A peer of the recorder or the reader, as the test plays it. */
struct actor {
	struct world *w;
	struct chan *chan;
	enum role role;
	uint64_t n, acked, refused;
	char why[256];
	uint64_t next, head, rows, gaps, done_next;
	bool closed, mute;
	unsigned clock_told, unsound;
	struct uuid id;			/* of the last event */
	struct uuid call;
};

struct world {
	struct role_env rec, read;
	struct conf conf;
	struct loop *loop;
	struct loop_timer *limit, *wait;
	char *dir;
	struct lt_signer signer;
	struct checkpoint_keys keys;
	struct buf body;
	bool (*until)(struct world *w);
	struct actor proxy, keeper, detector, lagger;
	uint64_t want;
};

static int
on_actor(void *ctx, struct chan *c, enum msg_type type, struct slice body,
    int fd)
{
	struct actor *a = ctx;
	struct unpack u;

	(void)c;
	(void)fd;
	unpack_init(&u, body);
	switch (type) {
	case MSG_EVENT_ACK:
		a->acked = unpack_u64(&u);
		break;
	case MSG_CLOCK:
		assert_int_equal(a->role, ROLE_PROXY);
		a->unsound = unpack_u8(&u);
		a->clock_told++;
		break;
	case MSG_EVENT_REFUSED: {
		a->refused = unpack_u64(&u);
		struct slice s = unpack_slice(&u);

		snprintf(a->why, sizeof(a->why), "%.*s", SLICE_FMT(s));
		break;
	}
	case MSG_FEED_ROW: {
		uint64_t seq = unpack_u64(&u);
		uint8_t id[16];

		unpack_bytes(&u, id, 16);
		(void)unpack_slice(&u);
		if (seq == a->next) {
			a->next++;
			a->rows++;
		} else {
			a->gaps++;
		}
		break;
	}
	case MSG_FEED_HEAD:
		a->head = unpack_u64(&u);
		break;
	case MSG_READ_DONE:
		(void)unpack_u64(&u);
		a->done_next = unpack_u64(&u);
		a->head = unpack_u64(&u);
		break;
	case MSG_SIGN: {
		uint64_t q = unpack_u64(&u);
		struct slice text = unpack_slice(&u);
		struct buf note;

		if (a->mute)
			break;
		buf_init(&note, 8192);
		lt_sign_text(&a->w->signer, text, &note);
		struct buf *b = chan_begin(a->chan, MSG_SIGNATURE);

		assert_non_null(b);
		pack_u64(b, q);
		pack_slice(b, buf_slice(&note));
		assert_int_equal(chan_end(a->chan), 0);
		buf_free(&note);
		break;
	}
	default:
		fail_msg("unexpected %s", msg_name(type));
	}
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
join(struct world *w, struct actor *a, enum role role,
    const struct role_def *def, struct role_env *env)
{
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
	    sv), 0);
	memset(a, 0, sizeof(*a));
	a->w = w;
	a->role = role;
	a->next = 1;
	a->chan = chan_new(w->loop, sv[0], 32u << 20, on_actor,
	    on_actor_close, a);
	def->channel(env, role, 0, sv[1]);
	struct buf *b = chan_begin(a->chan, MSG_HELLO);

	pack_u8(b, (uint8_t)role);
	pack_u8(b, 0);
	pack_u16(b, MSG_VERSION);
	assert_int_equal(chan_end(a->chan), 0);
}

static void
leave(struct actor *a)
{
	chan_flush(a->chan);
	chan_free(a->chan);
	a->chan = NULL;
}

static void
send_body(struct actor *a, struct uuid id, struct uuid call,
    struct slice json)
{
	struct buf *b = chan_begin(a->chan, MSG_EVENT);

	assert_non_null(b);
	pack_u64(b, ++a->n);
	pack_bytes(b, id.b, 16);
	pack_bytes(b, call.b, 16);
	pack_slice(b, json);
	assert_int_equal(chan_end(a->chan), 0);
}

static void
send_event(struct actor *a, enum event_type type, struct uuid call,
    const char *fields)
{
	a->id = lt_event(&a->w->body, type, a->role, call, fields);
	a->call = call;
	send_body(a, a->id, call, buf_slice(&a->w->body));
}

static void
too_late(void *ctx)
{
	(void)ctx;
	fail_msg("waited 10 s in vain");
}

static void
look(void *ctx)
{
	struct world *w = ctx;

	if (w->until(w))
		loop_stop(w->loop);
	else
		loop_timer_set(w->wait, 1);
}

/* Runs the loop until the condition holds; the limit is only for failures. */
static void
run_until(struct world *w, bool (*until)(struct world *w))
{
	w->until = until;
	loop_timer_set(w->limit, 10000);
	loop_timer_set(w->wait, 0);
	loop_run(w->loop);
	loop_timer_stop(w->limit);
}

static void
world_begin(struct world *w, const char *dir)
{
	struct err err = { 0 };

	memset(w, 0, sizeof(*w));
	w->dir = dir != NULL ? base_strdup(dir) : lt_dir();
	w->loop = loop_new();
	w->limit = loop_timer_new(w->loop, too_late, w);
	w->wait = loop_timer_new(w->loop, look, w);
	buf_init(&w->body, 8u << 20);
	lt_signer_make(&w->signer, "portreeve/keeper");
	lt_keys(&w->signer, &w->keys);
	w->rec.loop = w->read.loop = w->loop;
	w->conf.limits.clock_step_ms = 60000;
	w->rec.conf = &w->conf;
	w->rec.proxies = 1;
	w->rec.ndirs = w->read.ndirs = 1;
	w->rec.dirs[0].name = w->read.dirs[0].name = (char *)(uintptr_t)"state";
	w->rec.dirs[0].fd = open(w->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	w->read.dirs[0].fd = w->rec.dirs[0].fd;
	if (recorder_role.setup(&w->rec, &err) != 0 ||
	    reader_role.setup(&w->read, &err) != 0)
		fail_msg("%s", err.text);
	recorder_role.start(&w->rec);
	reader_role.start(&w->read);
}

static void
actor_end(struct actor *a)
{
	chan_free(a->chan);
	a->chan = NULL;
}

/* As a process that ends: what it held is gone, the files stay. */
static void
world_end(struct world *w, bool keep)
{
	struct recorder *r = w->rec.ctx;
	struct reader *rd = w->read.ctx;

	actor_end(&w->proxy);
	actor_end(&w->keeper);
	actor_end(&w->detector);
	actor_end(&w->lagger);
	recorder_role.stop(&w->rec);
	list_each_safe(it, tmp, &r->peers)
		peer_gone(list_entry(it, struct peer, link));
	list_each_safe(it2, tmp2, &rd->consumers)
		consumer_gone(list_entry(it2, struct consumer, link));
	feed_free(r->feed);
	opencalls_free(&r->open);
	json_free(&r->doc);
	buf_free(&r->body);
	buf_free(&r->sign_text);
	loop_timer_del(r->tick);
	loop_timer_del(r->clock_timer);
	close_db(rd);
	loop_timer_del(rd->retry);
	free(r);
	free(rd);
	loop_timer_del(w->limit);
	loop_timer_del(w->wait);
	loop_free(w->loop);
	close(w->rec.dirs[0].fd);
	buf_free(&w->body);
	if (keep)
		free(w->dir);
	else
		lt_dir_remove(w->dir);
}

static struct ledger *
ledger_of(struct world *w)
{
	return ((struct recorder *)w->rec.ctx)->ledger;
}

static void
must_verify(struct world *w, uint64_t rows, uint64_t checkpoints)
{
	struct err err = { 0 };
	struct sqlite3 *db = ledgerdb_open_read(w->dir, NULL, &err);
	struct verify_options o = { .keys = &w->keys };
	struct verify_report rep;

	assert_non_null(db);
	assert_int_equal(verify_run(db, &o, &rep, &err), 0);
	if (rep.verdict == VERIFY_BAD)
		fail_msg("row %llu: %s", (unsigned long long)rep.bad_first,
		    rep.why.text);
	assert_int_equal(rep.rows, rows);
	assert_int_equal(rep.checkpoints, checkpoints);
	ledgerdb_close(db);
}

static bool
all_acked(struct world *w)
{
	return w->proxy.acked == w->proxy.n;
}

static void
test_groups(void **state)
{
	struct world w;

	(void)state;
	world_begin(&w, NULL);
	join(&w, &w.proxy, ROLE_PROXY, &recorder_role, &w.rec);
	send_event(&w.proxy, EVENT_CALL_DECISION, uuid_v7(), "");
	run_until(&w, all_acked);
	assert_int_equal(ledger_head(ledger_of(&w)), 2);
	for (int i = 0; i < 777; i++)
		send_event(&w.proxy, EVENT_CALL_DECISION, uuid_v7(), "");
	run_until(&w, all_acked);
	assert_int_equal(ledger_head(ledger_of(&w)), 779);
	/* The same once more on a new channel: acknowledged, not stored. */
	struct uuid id = w.proxy.id, call = w.proxy.call;

	leave(&w.proxy);
	join(&w, &w.proxy, ROLE_PROXY, &recorder_role, &w.rec);
	send_body(&w.proxy, id, call, buf_slice(&w.body));
	run_until(&w, all_acked);
	assert_int_equal(ledger_head(ledger_of(&w)), 779);
	must_verify(&w, 779, 0);
	world_end(&w, false);
}

static bool
was_refused(struct world *w)
{
	return w->proxy.refused == w->proxy.n;
}

static bool
was_closed(struct world *w)
{
	return w->proxy.closed;
}

static void
expect_refused(struct world *w, const char *word)
{
	run_until(w, was_refused);
	if (strstr(w->proxy.why, word) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", w->proxy.why, word);
}

static void
test_refusals(void **state)
{
	struct world w;
	struct actor *p = &w.proxy;
	struct uuid none = { { 0 } }, id;

	(void)state;
	world_begin(&w, NULL);
	join(&w, p, ROLE_PROXY, &recorder_role, &w.rec);
	send_body(p, uuid_v7(), none, SLICE("{\"id\":"));
	expect_refused(&w, "no JSON");
	id = lt_event(&w.body, EVENT_FINDING, ROLE_PROXY, none, "");
	send_body(p, uuid_v7(), none, buf_slice(&w.body));
	expect_refused(&w, "id is not the message's");
	id = lt_event(&w.body, EVENT_FINDING, ROLE_PROXY, uuid_v7(), "");
	send_body(p, id, uuid_v7(), buf_slice(&w.body));
	expect_refused(&w, "call is not the message's");
	/* A proxy cannot speak for the broker. */
	id = lt_event(&w.body, EVENT_APPROVAL_DECIDED, ROLE_BROKER, none, "");
	send_body(p, id, none, buf_slice(&w.body));
	expect_refused(&w, "role");
	send_event(p, EVENT_CHECKPOINT, none, ",\"checkpoint\":\"x\"");
	expect_refused(&w, "not recorded for others");
	send_event(p, EVENT_CALL_RESULT, none, "");
	expect_refused(&w, "not recorded for others");
	/* 4 MiB and a bit. */
	char *big = base_calloc(1, ENTRY_BODY_MAX + 16);

	memset(big, ' ', ENTRY_BODY_MAX + 15);
	memcpy(big, ",\"x\":1", 6);
	send_event(p, EVENT_FINDING, none, big);
	expect_refused(&w, "bytes");
	free(big);
	/* An id used again for something else. */
	send_event(p, EVENT_FINDING, none, ",\"x\":1");
	run_until(&w, all_acked);
	w.body.data[w.body.off + w.body.len - 2] = '2';
	send_body(p, p->id, none, buf_slice(&w.body));
	expect_refused(&w, "other content");
	/* The recorder goes on. */
	send_event(p, EVENT_FINDING, none, "");
	run_until(&w, all_acked);
	must_verify(&w, 3, 0);
	/* What the protocol does not allow ends the channel. */
	struct buf *b = chan_begin(p->chan, MSG_FEED_SUBSCRIBE);

	pack_u64(b, 1);
	assert_int_equal(chan_end(p->chan), 0);
	run_until(&w, was_closed);
	join(&w, p, ROLE_PROXY, &recorder_role, &w.rec);
	b = chan_begin(p->chan, MSG_EVENT);
	pack_u64(b, 1);
	assert_int_equal(chan_end(p->chan), 0);
	run_until(&w, was_closed);
	join(&w, p, ROLE_PROXY, &recorder_role, &w.rec);
	b = chan_begin(p->chan, MSG_SIGNATURE);
	pack_u64(b, 1);
	pack_str(b, "");
	assert_int_equal(chan_end(p->chan), 0);
	run_until(&w, was_closed);
	world_end(&w, false);
}

static bool
head_is(struct world *w)
{
	return ledger_head(ledger_of(w)) == w->want &&
	    !ledger_in_group(ledger_of(w));
}

static int
count(struct world *w, const char *where)
{
	struct err err = { 0 };
	struct sqlite3 *db = ledgerdb_open_read(w->dir, NULL, &err);
	char sql[512];
	int64_t n;

	assert_non_null(db);
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM rows WHERE %s",
	    where);
	assert_int_equal(ledgerdb_int(db, sql, &n, &err), 0);
	ledgerdb_close(db);
	return (int)n;
}

#define WHO ",\"user\":\"anna\",\"connector\":\"mail\""
#define UNKNOWN "type = 'call.outcome' AND body ->> 'status' = 'unknown'"

static void
test_vanished_proxy(void **state)
{
	struct world w;
	struct actor *p = &w.proxy;
	struct uuid ended = uuid_v7(), open = uuid_v7();

	(void)state;
	world_begin(&w, NULL);
	join(&w, p, ROLE_PROXY, &recorder_role, &w.rec);
	send_event(p, EVENT_CALL_DECISION, ended, WHO ",\"verdict\":\"allow\"");
	send_event(p, EVENT_CALL_DECISION, open, WHO ",\"verdict\":\"allow\"");
	send_event(p, EVENT_CALL_DECISION, uuid_v7(), WHO
	    ",\"verdict\":\"deny\",\"observed\":true");
	send_event(p, EVENT_CALL_DECISION, uuid_v7(), WHO
	    ",\"verdict\":\"deny\"");
	send_event(p, EVENT_CALL_OUTCOME, ended, ",\"status\":\"ok\"");
	run_until(&w, all_acked);
	leave(p);
	w.want = 8;	/* start, 5, and two that are unknown */
	run_until(&w, head_is);
	assert_int_equal(count(&w, UNKNOWN), 2);
	assert_int_equal(count(&w, UNKNOWN " AND body ->> 'user' = 'anna' AND "
	    "body ->> 'role' = 'recorder' AND body ->> 'connector' = 'mail'"),
	    2);
	must_verify(&w, 8, 0);

	/* The recorder dies with calls open; the gateway starts anew too. */
	join(&w, p, ROLE_PROXY, &recorder_role, &w.rec);
	send_event(p, EVENT_CALL_DECISION, uuid_v7(), WHO
	    ",\"verdict\":\"allow\"");
	run_until(&w, all_acked);
	struct recorder *r = w.rec.ctx;

	ledger_close(r->ledger);	/* nothing more is written */
	r->ledger = NULL;
	char *dir = base_strdup(w.dir);

	world_end(&w, true);
	world_begin(&w, dir);
	free(dir);
	join(&w, &w.keeper, ROLE_GATEWAY, &recorder_role, &w.rec);
	send_event(&w.keeper, EVENT_SYSTEM_STARTED, (struct uuid){ 0 }, "");
	w.want = 12;	/* decision, our start, gateway's, unknown */
	run_until(&w, head_is);
	assert_int_equal(count(&w, UNKNOWN), 3);
	must_verify(&w, 12, 0);
	world_end(&w, false);
}

static bool
one_checkpoint(struct world *w)
{
	return ledger_checkpoint_size(ledger_of(w)) >= w->want &&
	    !ledger_in_group(ledger_of(w));
}

static void
test_checkpoints(void **state)
{
	struct world w;

	(void)state;
	world_begin(&w, NULL);
	join(&w, &w.proxy, ROLE_PROXY, &recorder_role, &w.rec);
	/* 1,000 rows ask at once; the keeper comes late. */
	for (int i = 0; i < 1500; i++)
		send_event(&w.proxy, EVENT_CALL_DECISION, uuid_v7(), "");
	run_until(&w, all_acked);
	assert_int_equal(ledger_checkpoint_size(ledger_of(&w)), 0);
	join(&w, &w.keeper, ROLE_KEEPER, &recorder_role, &w.rec);
	w.want = 1501;
	run_until(&w, one_checkpoint);
	must_verify(&w, 1502, 1);
	/* A keeper that dies while it is asked. */
	w.keeper.mute = true;
	for (int i = 0; i < 1100; i++)
		send_event(&w.proxy, EVENT_CALL_DECISION, uuid_v7(), "");
	run_until(&w, all_acked);
	leave(&w.keeper);
	join(&w, &w.keeper, ROLE_KEEPER, &recorder_role, &w.rec);
	w.want = 2602;
	run_until(&w, one_checkpoint);
	must_verify(&w, 2603, 2);
	world_end(&w, false);
}

static void
subscribe(struct actor *a, uint64_t next)
{
	struct buf *b = chan_begin(a->chan, MSG_FEED_SUBSCRIBE);

	pack_u64(b, next);
	assert_int_equal(chan_end(a->chan), 0);
}

static bool
level(struct world *w)
{
	return all_acked(w) &&
	    w->detector.next == ledger_head(ledger_of(w)) + 1;
}

static bool
lagger_behind(struct world *w)
{
	struct recorder *r = w->rec.ctx;
	struct peer *p = find_peer(r, ROLE_EXPORTER, 0);

	return all_acked(w) && p->consumer->behind;
}

static bool
lagger_told(struct world *w)
{
	return w->lagger.head != 0;
}

static void
read_range(struct actor *a, uint64_t from, uint32_t max)
{
	struct buf *b = chan_begin(a->chan, MSG_READ_RANGE);

	pack_u64(b, 7);
	pack_u64(b, from);
	pack_u32(b, max);
	assert_int_equal(chan_end(a->chan), 0);
}

static bool
read_done(struct world *w)
{
	return w->lagger.done_next != 0;
}

static void
test_feed(void **state)
{
	struct world w;

	(void)state;
	world_begin(&w, NULL);
	join(&w, &w.proxy, ROLE_PROXY, &recorder_role, &w.rec);
	join(&w, &w.detector, ROLE_DETECTOR, &recorder_role, &w.rec);
	for (int i = 0; i < 50; i++)
		send_event(&w.proxy, EVENT_CALL_DECISION, uuid_v7(), "");
	run_until(&w, all_acked);
	/* From a row that is still kept, then live, without a gap. */
	subscribe(&w.detector, 1);
	for (int i = 0; i < 300; i++)
		send_event(&w.proxy, EVENT_CALL_DECISION, uuid_v7(), "");
	run_until(&w, level);
	assert_int_equal(w.detector.gaps, 0);
	assert_int_equal(w.detector.rows, 351);

	/* One that does not read: skipped, then told the head. */
	join(&w, &w.lagger, ROLE_EXPORTER, &recorder_role, &w.rec);
	subscribe(&w.lagger, 352);
	w.lagger.next = 352;
	chan_pause(w.lagger.chan, true);
	char *big = base_calloc(1, 600000);

	memset(big, 'x', 599990);
	memcpy(big, ",\"x\":\"", 6);
	big[599990] = '"';
	for (int i = 0; i < 40; i++)
		send_event(&w.proxy, EVENT_CALL_DECISION, uuid_v7(), big);
	free(big);
	run_until(&w, lagger_behind);
	run_until(&w, level);	/* nobody else waits for it */
	chan_pause(w.lagger.chan, false);
	run_until(&w, lagger_told);
	assert_true(w.lagger.next < 392);
	assert_int_equal(w.lagger.gaps, 0);
	assert_int_equal(w.lagger.head, 391);

	/* It reads what it missed from the reader, in bounded answers. */
	uint64_t next = w.lagger.next;

	leave(&w.lagger);
	join(&w, &w.lagger, ROLE_EXPORTER, &reader_role, &w.read);
	w.lagger.next = next;
	while (next < 392) {
		w.lagger.done_next = 0;
		read_range(&w.lagger, next, 0);
		run_until(&w, read_done);
		assert_true(w.lagger.done_next > next);
		assert_true(w.lagger.done_next <= next + 4);
		next = w.lagger.done_next;
		assert_int_equal(w.lagger.next, next);
	}
	assert_int_equal(w.lagger.head, 391);
	assert_int_equal(w.lagger.gaps, 0);
	/* Small rows: as many as asked for. */
	w.lagger.done_next = 0;
	w.lagger.next = 10;
	read_range(&w.lagger, 10, 100);
	run_until(&w, read_done);
	assert_int_equal(w.lagger.next, 110);
	assert_int_equal(w.lagger.done_next, 110);
	world_end(&w, false);
}

/* Is the recorder able to go on when the disk is not? */
static void
test_damaged(void **state)
{
	struct world w;

	(void)state;
	world_begin(&w, NULL);
	join(&w, &w.proxy, ROLE_PROXY, &recorder_role, &w.rec);
	send_event(&w.proxy, EVENT_FINDING, (struct uuid){ 0 }, "");
	run_until(&w, all_acked);
	/* Somebody else has put row 3 there. */
	sqlite3 *db = lt_attack(w.dir);

	lt_sql(db, "INSERT INTO rows SELECT 3, randomblob(16), call, time, "
	    "type, prev, hash, body FROM rows WHERE seq = 2");
	sqlite3_close(db);
	for (int i = 0; i < 3; i++) {
		send_event(&w.proxy, EVENT_FINDING, (struct uuid){ 0 }, "");
		expect_refused(&w, "audit-unavailable");
	}
	assert_int_equal(w.proxy.acked, 1);
	world_end(&w, false);
}

static void
in_promise(const char *dir, int fd)
{
	struct sandbox_promise p = { .role = "reader" };
	struct err err = { 0 };
	struct role_env env = { .ndirs = 1 };
	struct sqlite3 *db;
	int64_t n = 0;
	char path[512];

	env.dirs[0].name = (char *)(uintptr_t)"state";
	env.dirs[0].fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	reader_role.promise(&env, &p);
	if (sandbox_enter(&p, &err) != 0) {
		fprintf(stderr, "%s\n", err.text);
		_exit(3);
	}
	/* Opened only now, as when the reader was first. */
	db = ledgerdb_open_read(dir, NULL, &err);
	if (db == NULL || ledgerdb_int(db, "SELECT max(seq) FROM rows", &n,
	    &err) != 0) {
		fprintf(stderr, "%s\n", err.text);
		_exit(4);
	}
	snprintf(path, sizeof(path), "%s/ledger.db", dir);
	if (open(path, O_RDWR | O_CLOEXEC) >= 0)
		_exit(5);
	snprintf(path, sizeof(path), "%s/new", dir);
	if (open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0)
		_exit(6);
	if (write(fd, "1", 1) != 1 || read(fd, path, 1) != 1)
		_exit(7);
	/* The writer went on meanwhile; each look sees the newest. */
	int64_t later = 0;

	if (ledgerdb_int(db, "SELECT max(seq) FROM rows", &later, &err) != 0)
		_exit(8);
	_exit(later == n + 5000 ? 0 : 9);
}

static void
test_promise(void **state)
{
	struct err err = { 0 };
	int sv[2], status;
	char c;

	(void)state;
	if (sandbox_is_sanitized())
		skip();
	char *dir = lt_dir();
	struct ledger *l = ledger_open(dir, NULL, &err);

	assert_non_null(l);
	lt_rows(l, 100);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	pid_t pid = fork();

	if (pid == 0)
		in_promise(dir, sv[1]);
	close(sv[1]);
	if (read(sv[0], &c, 1) == 1) {
		for (int i = 0; i < 50; i++) {
			lt_rows(l, 100);
			assert_int_equal(ledger_maintain(l, true), 0);
		}
		assert_int_equal(write(sv[0], "2", 1), 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	close(sv[0]);
	ledger_close(l);
	lt_dir_remove(dir);
}

/* The writer inside its promise: it may do all it needs, and no more. */
static void
writes_in_promise(struct ledger *l, const char *dir, char op)
{
	struct sandbox_promise p = { .role = "recorder" };
	struct err err = { 0 };
	struct role_env env = { .ndirs = 1 };
	struct lt_signer s;
	char path[512];

	lt_signer_make(&s, "k");
	env.dirs[0].name = (char *)(uintptr_t)"state";
	env.dirs[0].fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	recorder_role.promise(&env, &p);
	if (sandbox_enter(&p, &err) != 0) {
		fprintf(stderr, "%s\n", err.text);
		_exit(3);
	}
	if (op == 's')
		(void)!socket(AF_INET, SOCK_STREAM, 0);
	if (op == 'f')
		(void)!fork();
	for (int i = 0; i < 30; i++) {
		lt_rows(l, 100);
		lt_checkpoint(l, &s, NULL);
		if (ledger_maintain(l, i % 2) != 0)
			_exit(4);
	}
	snprintf(path, sizeof(path), "%s/" LEDGERDB_KEY_FILE, dir);
	if (access(path, F_OK) == 0 || open("/etc/passwd", O_RDONLY) >= 0)
		_exit(5);
	ledger_close(l);
	_exit(0);
}

static int
in_recorder_promise(char op)
{
	char *dir = lt_dir();
	struct err err = { 0 };
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct ledger *l = ledger_open(dir, NULL, &err);

		if (l == NULL)
			_exit(2);
		writes_in_promise(l, dir, op);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	lt_dir_remove(dir);
	return status;
}

static bool
clock_told(struct world *w)
{
	return w->proxy.clock_told >= w->want &&
	    !ledger_in_group(ledger_of(w));
}

#define CLOCK_ROW "type = 'exception' AND body ->> 'reason' = 'clock-unsound'"

static void
expect_clock(struct world *w, unsigned told, bool unsound)
{
	w->want = told;
	run_until(w, clock_told);
	assert_int_equal(w->proxy.clock_told, told);
	assert_int_equal(w->proxy.unsound, unsound);
}

static void
test_clock_steps(void **state)
{
	struct uuid none = { { 0 } };
	struct world w;
	char *dir;

	(void)state;
	world_begin(&w, NULL);
	join(&w, &w.proxy, ROLE_PROXY, &recorder_role, &w.rec);
	expect_clock(&w, 1, false);
	assert_int_equal(count(&w, CLOCK_ROW), 0);
	clock_set_offset_ms(-7200000);
	expect_clock(&w, 2, true);
	assert_int_equal(count(&w, CLOCK_ROW " AND body ->> 'verdict' = 'deny'"
	    " AND body ->> 'detail' LIKE '% behind %'"), 1);
	/* Whoever comes now is told; the ledger goes on. */
	leave(&w.proxy);
	join(&w, &w.proxy, ROLE_PROXY, &recorder_role, &w.rec);
	expect_clock(&w, 1, true);
	send_event(&w.proxy, EVENT_FINDING, none, "");
	run_until(&w, all_acked);
	clock_set_offset_ms(0);
	expect_clock(&w, 2, false);
	w.conf.exceptions[REASON_CLOCK] = CONF_ALLOW;
	clock_set_offset_ms(7200000);
	expect_clock(&w, 3, true);
	assert_int_equal(count(&w, CLOCK_ROW " AND body ->> 'verdict' = "
	    "'allow' AND body ->> 'detail' LIKE '% ahead %'"), 1);
	send_event(&w.proxy, EVENT_FINDING, none, "");
	run_until(&w, all_acked);
	/* At start: the last row is two hours ahead of the clock. */
	dir = base_strdup(w.dir);
	world_end(&w, true);
	clock_set_offset_ms(0);
	world_begin(&w, dir);
	join(&w, &w.proxy, ROLE_PROXY, &recorder_role, &w.rec);
	expect_clock(&w, 1, true);
	assert_int_equal(count(&w, CLOCK_ROW), 4);
	/* And right again once the clock is behind no longer. */
	clock_set_offset_ms(7200000);
	expect_clock(&w, 2, false);
	clock_set_offset_ms(0);
	world_end(&w, false);
	free(dir);
}

static void
test_writer_promise(void **state)
{
	(void)state;
	if (sandbox_is_sanitized())
		skip();
	assert_int_equal(in_recorder_promise('w'), 0);
	for (const char *op = "sf"; *op != '\0'; op++) {
		int status = in_recorder_promise(*op);

		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGSYS);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_vanished_proxy),
		cmocka_unit_test(test_checkpoints),
		cmocka_unit_test(test_feed),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_clock_steps),
		cmocka_unit_test(test_promise),
		cmocka_unit_test(test_writer_promise),
	};

	log_init("test", LOG_LV_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
