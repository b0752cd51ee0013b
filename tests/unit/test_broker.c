/*
 * broker: the whole role in this process, between a recorder, two proxies and
 * an operator that the test plays over real sockets, with a real kill page.
 */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sodium/crypto_hash_sha256.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BROKER_TICK_MS 20
#define BROKER_KILL_WAIT_MS 100
#include "gateway/broker.c"
#include "gateway/broker_approval.c"
#include "gateway/broker_hold.c"
#include "gateway/broker_kill.c"
#include "gateway/broker_op.c"
#include "gateway/broker_registry.c"
#include "gateway/broker_session.c"
#include "gateway/broker_tools.c"
#include "gateway/broker_upstream.c"
#include "gateway/broker_floor.c"

#define PROXIES 2
#define WAIT_MS 5000

struct peer_proxy {
	struct chan *chan;
	unsigned index;
	struct loop_fd *wake;
	bool mute;			/* acknowledges no kill */
	unsigned sessions, deleted, tools, connectors, verdicts, cancels;
	bool synced, killed;
	bool why_first;			/* the reason was there at the wake */
	uint64_t stored;		/* epoch of the kill page */
	uint8_t hash[32];
	char session[32], by[256], reason[1100], arguments[4096], id[32];
	unsigned verdict, consumed, consumed_ok, connector_state, tool_class;
	char kill_reason[128], consumed_why[128], tool_mode[16];
};

static struct {
	char dir[64];
	int dirfd;
	struct role_env env;
	struct killpage *page;
	struct buf snap_bytes;
	struct peer_proxy proxies[PROXIES];
	int eventfds[PROXIES];
	int page_fd;
	struct chan *recorder;
	bool deaf;			/* the recorder does not acknowledge */
	struct buf events;		/* one JSON a line */
	struct chan *op;
	struct json_doc doc;
	struct buf reply;
	bool replied;
	struct loop_timer *limit;
} t;

/* -- the peers -- */

static int
on_event_msg(void *ctx, struct chan *c, enum msg_type type,
    struct slice body, int fd)
{
	struct unpack u;
	struct uuid id;
	struct buf *m;

	(void)ctx;
	(void)fd;
	if (type != MSG_EVENT)
		return type == MSG_HELLO ? 0 : -1;
	unpack_init(&u, body);
	uint64_t n = unpack_u64(&u);

	unpack_bytes(&u, id.b, 16);
	unpack_bytes(&u, id.b, 16);
	struct slice json = unpack_slice(&u);
	struct json_doc d;

	assert_true(unpack_done(&u));
	json_init(&d);
	assert_int_equal(json_index(&d, json, NULL), JSON_OK);
	json_free(&d);
	buf_add_slice(&t.events, json);
	buf_add_char(&t.events, '\n');
	if (t.deaf)
		return 0;
	assert_non_null(m = chan_begin(c, MSG_EVENT_ACK));
	pack_u64(m, n);
	return chan_end(c);
}

static void
keep_str(struct unpack *u, char *out, size_t n)
{
	struct slice s = unpack_slice(u);

	snprintf(out, n, "%.*s", SLICE_FMT(s));
}

static void
proxy_verdict(struct peer_proxy *p, struct unpack *u)
{
	struct uuid call;

	unpack_bytes(u, call.b, 16);
	p->verdicts++;
	p->verdict = unpack_u8(u);
	keep_str(u, p->id, sizeof(p->id));
	keep_str(u, p->by, sizeof(p->by));
	keep_str(u, p->reason, sizeof(p->reason));
	keep_str(u, p->arguments, sizeof(p->arguments));
}

static int
on_broker_msg(void *ctx, struct chan *c, enum msg_type type,
    struct slice body, int fd)
{
	struct peer_proxy *p = ctx;
	struct unpack u;
	char skip[4096];

	(void)c;
	assert_int_equal(fd, -1);
	unpack_init(&u, body);
	switch (type) {
	case MSG_HELLO:
		assert_int_equal(unpack_u8(&u), ROLE_BROKER);
		return 0;
	case MSG_SESSION_PUT:
		p->sessions++;
		unpack_bytes(&u, p->hash, 32);
		keep_str(&u, p->session, sizeof(p->session));
		for (int i = 0; i < 5; i++)
			keep_str(&u, skip, sizeof(skip));
		unpack_i64(&u);
		break;
	case MSG_SESSION_DEL:
		p->deleted++;
		unpack_bytes(&u, skip, 32);
		unpack_slice(&u);
		break;
	case MSG_TOOL_PUT:
		p->tools++;
		unpack_slice(&u);
		unpack_slice(&u);
		p->tool_class = unpack_u8(&u);
		unpack_u8(&u);
		keep_str(&u, p->tool_mode, sizeof(p->tool_mode));
		break;
	case MSG_CONNECTOR_PUT:
		p->connectors++;
		unpack_slice(&u);
		p->connector_state = unpack_u8(&u);
		break;
	case MSG_KILL_STATE:
		unpack_slice(&u);
		keep_str(&u, p->kill_reason, sizeof(p->kill_reason));
		unpack_slice(&u);
		unpack_i64(&u);
		p->killed = unpack_u8(&u) != 0;
		break;
	case MSG_KILL_STORED:
		p->stored = unpack_u64(&u);
		break;
	case MSG_SYNC_END:
		p->synced = true;
		break;
	case MSG_HOLD_VERDICT:
		proxy_verdict(p, &u);
		break;
	case MSG_CONSUMED:
		unpack_bytes(&u, skip, 16);
		p->consumed++;
		p->consumed_ok += unpack_u8(&u);
		keep_str(&u, p->consumed_why, sizeof(p->consumed_why));
		break;
	case MSG_CANCEL_CALL:
		p->cancels++;
		unpack_slice(&u);
		unpack_slice(&u);
		break;
	default:
		fail();
	}
	assert_true(unpack_done(&u));
	return 0;
}

static void
on_wake(void *ctx, unsigned events)
{
	struct peer_proxy *p = ctx;
	struct buf *m;
	uint64_t n;

	(void)events;
	assert_int_equal(read(t.eventfds[p->index], &n, 8), 8);
	if (p->mute || p->chan == NULL)
		return;
	struct pollfd in = { .fd = chan_fd(p->chan), .events = POLLIN };

	p->why_first = p->killed || poll(&in, 1, 0) == 1;
	assert_non_null(m = chan_begin(p->chan, MSG_KILL_ACK));
	pack_u64(m, killpage_epoch(t.page));
	pack_u32(m, 3);
	pack_u64(m, clock_mono_ns());
	assert_int_equal(chan_end(p->chan), 0);
}

static int
on_reply(void *ctx, struct chan *c, enum msg_type type, struct slice body,
    int fd)
{
	(void)ctx;
	(void)c;
	(void)fd;
	assert_int_equal(type, MSG_OP_REPLY);
	buf_reset(&t.reply);
	buf_add_slice(&t.reply, body);
	assert_int_equal(json_index(&t.doc, buf_slice(&t.reply), NULL),
	    JSON_OK);
	t.replied = true;
	return 0;
}

static void
on_gone(void *ctx, struct chan *c)
{
	struct chan **slot = ctx;

	*slot = NULL;
	chan_free(c);
}

/* -- one round after the other until something holds -- */

static bool timed_out;

static void
on_limit(void *ctx)
{
	(void)ctx;
	timed_out = true;
	loop_stop(t.env.loop);
}

static void
stop_loop(void *ctx)
{
	(void)ctx;
	loop_stop(t.env.loop);
}

static void
round_once(void)
{
	loop_soon(t.env.loop, stop_loop, &t);
	loop_run(t.env.loop);
}

#define UNTIL(cond)                                                 \
	do {                                                        \
		timed_out = false;                                  \
		loop_timer_set(t.limit, WAIT_MS);                   \
		while (!(cond) && !timed_out)                       \
			round_once();                               \
		assert_true(cond);                                  \
	} while (0)

/* Everything sent has arrived and was answered. */
static void
settle(void)
{
	for (int i = 0; i < 20; i++)
		round_once();
}

/* -- building it up -- */

static struct broker *
the_broker(void)
{
	return t.env.ctx;
}

static void
proxy_connect(unsigned i)
{
	struct peer_proxy *p = &t.proxies[i];
	struct buf *m;
	int sv[2];

	memset(p, 0, sizeof(*p));
	p->index = i;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	broker_role.channel(&t.env, ROLE_PROXY, i, sv[0]);
	p->chan = chan_new(t.env.loop, sv[1], 1u << 24, on_broker_msg,
	    on_gone, p);
	assert_ptr_equal((void *)p, (void *)&p->chan);	/* on_gone */
	p->wake = loop_fd_add(t.env.loop, t.eventfds[i], LOOP_READ, on_wake,
	    p);
	assert_non_null(m = chan_begin(p->chan, MSG_HELLO));
	pack_u8(m, ROLE_PROXY);
	pack_u8(m, (uint8_t)i);
	pack_u16(m, MSG_VERSION);
	assert_int_equal(chan_end(p->chan), 0);
	UNTIL(p->synced);
}

static void
proxy_leave(unsigned i)
{
	loop_fd_del(t.proxies[i].wake);
	t.proxies[i].wake = NULL;
	chan_free(t.proxies[i].chan);
	t.proxies[i].chan = NULL;
	UNTIL(the_broker()->proxies[i].chan == NULL);
}

static void
recorder_connect(void)
{
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	broker_role.channel(&t.env, ROLE_RECORDER, 0, sv[0]);
	t.recorder = chan_new(t.env.loop, sv[1], 1u << 24, on_event_msg,
	    on_gone, &t.recorder);
}

static void
operator_connect(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/operator.sock", t.dir);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	t.op = chan_new(t.env.loop, fd, 1u << 24, on_reply, on_gone, &t.op);
}

static void
make_listener(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/operator.sock", t.dir);
	unlink(a.sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 8), 0);
	t.env.listeners[0].name = base_strdup("operator");
	t.env.listeners[0].fd = fd;
	t.env.nlisteners = 1;
}

static void
make_snapshot(void)
{
	struct snap_writer w;
	struct err err = { 0 };
	struct buf names;
	int fd;

	snap_writer_init(&w);
	buf_init(&names, 1024);
	pack_u32(&names, 2);
	pack_str(&names, "github");
	pack_str(&names, "gitlab");
	snap_add(&w, "connector-names", buf_slice(&names));
	assert_true((fd = snap_seal(&w, &err)) >= 0);
	assert_non_null(t.env.snap = snap_open(fd, &err));
	snap_writer_free(&w);
	buf_free(&names);
}

static void
broker_up(void)
{
	struct err err = { 0 };

	t.env.loop = loop_new();
	t.limit = loop_timer_new(t.env.loop, on_limit, NULL);
	make_listener();
	if (broker_role.setup(&t.env, &err) != 0) {
		print_error("%s\n", err.text);
		fail();
	}
	broker_role.start(&t.env);
	recorder_connect();
	for (unsigned i = 0; i < PROXIES; i++)
		proxy_connect(i);
	operator_connect();
	settle();
}

/* As a kill -9 would leave it: nothing is tidied in state.db or the page. */
static void
broker_down(void)
{
	chan_free(t.op);
	chan_free(t.recorder);
	t.op = t.recorder = NULL;
	for (unsigned i = 0; i < PROXIES; i++) {
		loop_fd_del(t.proxies[i].wake);
		chan_free(t.proxies[i].chan);
		t.proxies[i].chan = NULL;
	}
	broker_role.stop(&t.env);
	close(t.env.listeners[0].fd);
	free(t.env.listeners[0].name);
	loop_timer_del(t.limit);
	loop_free(t.env.loop);
}

static int
up(void **ctx)
{
	(void)ctx;
	memset(&t, 0, sizeof(t));
	buf_init(&t.events, 1u << 24);
	buf_init(&t.reply, 1u << 24);
	json_init(&t.doc);
	snprintf(t.dir, sizeof(t.dir), "/tmp/test_broker.XXXXXX");
	assert_non_null(mkdtemp(t.dir));
	t.dirfd = open(t.dir, O_RDONLY | O_DIRECTORY);
	t.env.role = ROLE_BROKER;
	t.env.proxies = PROXIES;
	t.env.dirs[0].name = (char *)"state";
	t.env.dirs[0].fd = t.dirfd;
	t.env.ndirs = 1;
	t.page_fd = killpage_create();
	t.env.killpage_fd = t.page_fd;
	assert_non_null(t.page = killpage_map(t.page_fd, false));
	for (size_t i = 0; i < ARRAY_LEN(t.env.eventfds); i++)
		t.env.eventfds[i] = -1;
	for (unsigned i = 0; i < PROXIES; i++)
		t.env.eventfds[i] = t.eventfds[i] = eventfd(0, EFD_NONBLOCK);
	make_snapshot();
	broker_up();
	return 0;
}

static int
down(void **ctx)
{
	static const char *const files[] = { "state.db", "state.db-wal",
		"operator.sock" };

	(void)ctx;
	broker_down();
	snap_close(t.env.snap);
	killpage_unmap(t.page);
	close(t.page_fd);
	for (unsigned i = 0; i < PROXIES; i++)
		close(t.eventfds[i]);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		unlinkat(t.dirfd, files[i], 0);
	close(t.dirfd);
	buf_free(&t.events);
	buf_free(&t.reply);
	json_free(&t.doc);
	clock_set_offset_ms(0);
	return rmdir(t.dir);
}

/* -- asking -- */

static void
ask(const char *json)
{
	t.replied = false;
	assert_int_equal(chan_send(t.op, MSG_OP_REQUEST, slice_str(json), -1),
	    0);
	UNTIL(t.replied);
}

/* Borrowed for a while. */
static const char *
text_of(uint32_t node, const char *key)
{
	static char *kept[8];
	static unsigned at;
	char *s = json_strdup(&t.doc, json_member(&t.doc, node, key));

	at = (at + 1) % 8;
	free(kept[at]);
	kept[at] = s == NULL ? base_strdup("") : s;
	return kept[at];
}

static int64_t
num_of(const char *key)
{
	int64_t v = -1;

	(void)!json_int(&t.doc, json_member(&t.doc, 0, key), &v);
	return v;
}

static void
good(const char *json)
{
	ask(json);
	if (json_typeof(&t.doc, json_member(&t.doc, 0, "ok")) != JSON_TRUE)
		print_error("%s\n%.*s\n", json,
		    SLICE_FMT(buf_slice(&t.reply)));
	assert_int_equal(json_typeof(&t.doc, json_member(&t.doc, 0, "ok")),
	    JSON_TRUE);
}

static void
bad(const char *json, const char *code, const char *says)
{
	ask(json);
	assert_string_equal(text_of(0, "code"), code);
	if (strstr(text_of(0, "error"), says) == NULL)
		print_error("%s: not: %s\n", text_of(0, "error"), says);
	assert_non_null(strstr(text_of(0, "error"), says));
}

static unsigned
events_with(const char *text)
{
	struct slice s = buf_slice(&t.events), w = slice_str(text);
	unsigned n = 0;
	ssize_t at;

	while ((at = slice_find(s, w)) >= 0) {
		n++;
		s = slice_sub(s, (size_t)at + 1, s.n);
	}
	return n;
}

static void
open_session(char id[32])
{
	good("{\"verb\":\"session.open\",\"user\":\"mara\",\"agent\":\"ci\"}");
	snprintf(id, 32, "%s", text_of(0, "session"));
}

#define CARD_ARGS "{\"name\":\"prod\"}"

static void
digest_of(const char *session, const char *arguments,
    uint8_t out[HOLD_DIGEST])
{
	struct principal who = { .user = (char *)"mara",
		.agent = (char *)"ci", .session = (char *)session };
	struct action a = { .who = &who, .connector = "github",
		.environment = "prod", .method = SLICE("tools/call"),
		.tool = SLICE("delete_repo"), .target = "https://x/mcp",
		.arguments = slice_str(arguments) };

	action_digest(&a, out);
}

static void
send_hold_raw(unsigned proxy, struct uuid call, const char *session,
    const uint8_t digest[HOLD_DIGEST], int64_t expires, const char *rpc_id)
{
	struct buf *m = chan_begin(t.proxies[proxy].chan, MSG_HOLD);

	assert_non_null(m);
	pack_bytes(m, call.b, 16);
	pack_bytes(m, digest, HOLD_DIGEST);
	pack_i64(m, expires);
	pack_str(m, "{\"connector\":\"github\",\"environment\":\"prod\","
	    "\"method\":\"tools/call\",\"tool\":\"delete_repo\","
	    "\"target\":\"https://x/mcp\",\"class\":\"dangerous\","
	    "\"arguments\":" CARD_ARGS "}");
	pack_str(m, session);
	pack_str(m, rpc_id);
	assert_int_equal(chan_end(t.proxies[proxy].chan), 0);
}

static struct uuid
hold_for(unsigned proxy, const char *session, int64_t for_ms)
{
	uint8_t digest[HOLD_DIGEST];
	struct uuid call = uuid_v7();
	size_t before = the_broker()->waiting;

	digest_of(session, CARD_ARGS, digest);
	send_hold_raw(proxy, call, session, digest,
	    clock_wall_ms() + for_ms, "7");
	UNTIL(the_broker()->waiting > before);
	settle();
	return call;
}

static void
consume(unsigned proxy, struct uuid call, const char *session,
    const char *arguments)
{
	struct peer_proxy *p = &t.proxies[proxy];
	uint8_t digest[HOLD_DIGEST];
	unsigned before = p->consumed;
	struct buf *m = chan_begin(p->chan, MSG_CONSUME);

	digest_of(session, arguments, digest);
	assert_non_null(m);
	pack_bytes(m, call.b, 16);
	pack_bytes(m, digest, HOLD_DIGEST);
	assert_int_equal(chan_end(p->chan), 0);
	UNTIL(p->consumed == before + 1);
}

static void
done(unsigned proxy, struct uuid call)
{
	assert_int_equal(chan_send(t.proxies[proxy].chan, MSG_HOLD_DONE,
	    slice_make(call.b, 16), -1), 0);
	settle();
}

static void
state_is(const char *id, const char *state)
{
	char json[128];

	snprintf(json, sizeof(json),
	    "{\"verb\":\"approval.show\",\"id\":\"%s\"}", id);
	good(json);
	assert_string_equal(text_of(json_member(&t.doc, 0, "approval"),
	    "state"), state);
}

/* -- sessions -- */

static bool
file_has(const char *name, struct slice what)
{
	char *data = base_calloc(1, 1u << 22);
	int fd = openat(t.dirfd, name, O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, data, 1u << 22);
	bool found = n > 0 &&
	    slice_find(slice_make(data, (size_t)n), what) >= 0;

	if (fd >= 0)
		close(fd);
	free(data);
	return found;
}

static void
test_session(void **ctx)
{
	uint8_t hash[32];
	char json[128];

	(void)ctx;
	good("{\"verb\":\"session.open\",\"user\":\"mara\",\"agent\":\"ci\","
	    "\"task\":\"T-1\",\"trust\":\"manual\"}");
	const char *token = text_of(0, "token"), *id = text_of(0, "session");

	assert_int_equal(strlen(token), 4 + 43);
	assert_int_equal(strncmp(token, "prt_", 4), 0);
	/* Every proxy has it before the operator has the answer. */
	settle();
	crypto_hash_sha256(hash, (const unsigned char *)token, strlen(token));
	for (int i = 0; i < PROXIES; i++) {
		assert_int_equal(t.proxies[i].sessions, 1);
		assert_memory_equal(t.proxies[i].hash, hash, 32);
		assert_string_equal(t.proxies[i].session, id);
	}
	/* Only the hash is stored or recorded. */
	for (int i = 0; i < 2; i++) {
		const char *file = i == 0 ? "state.db" : "state.db-wal";

		assert_false(file_has(file, slice_str(token)));
		assert_false(file_has(file, slice_str(token + 4)));
	}
	assert_true(file_has("state.db-wal", slice_make(hash, 32)));
	assert_int_equal(events_with(token + 4), 0);
	assert_int_equal(events_with("session.opened"), 1);
	snprintf(json, sizeof(json),
	    "{\"verb\":\"session.close\",\"session\":\"%s\"}", id);
	good(json);
	settle();
	assert_int_equal(t.proxies[1].deleted, 1);
	bad(json, "conflict", "closed already");
	assert_int_equal(events_with("session.closed"), 1);
	bad("{\"verb\":\"session.open\",\"user\":\"a\",\"agent\":\"b\","
	    "\"trust\":\"supervized\"}", "not-found", "\"supervised\"");
}

static void
test_session_expires(void **ctx)
{
	char id[32];

	(void)ctx;
	open_session(id);
	hold_for(0, id, 8 * 3600 * 1000);
	clock_set_offset_ms(2 * 3600 * 1000);
	UNTIL(t.proxies[0].deleted == 1);
	UNTIL(t.proxies[0].verdicts == 1);
	assert_int_equal(t.proxies[0].verdict, VERDICT_DENY);
	assert_int_equal(events_with("\"detail\":\"expired\""), 1);
}

/* No recorder: nothing is loosened, everything can be tightened. */
static void
test_no_recorder(void **ctx)
{
	char id[32], json[128];

	(void)ctx;
	open_session(id);
	hold_for(0, id, 60000);
	chan_free(t.recorder);
	t.recorder = NULL;
	UNTIL(!emit_connected(the_broker()->emit));
	bad("{\"verb\":\"session.open\",\"user\":\"a\",\"agent\":\"b\"}",
	    "unavailable", "ledger");
	bad("{\"verb\":\"approval.approve\",\"id\":\"A-1\"}", "unavailable",
	    "still pending");
	good("{\"verb\":\"kill\",\"target\":\"connector/gitlab\","
	    "\"reason\":\"x\"}");
	bad("{\"verb\":\"revive\",\"target\":\"connector/gitlab\","
	    "\"reason\":\"x\"}", "unavailable", "stays killed");
	good("{\"verb\":\"approval.deny\",\"id\":\"A-1\"}");
	snprintf(json, sizeof(json),
	    "{\"verb\":\"session.close\",\"session\":\"%s\"}", id);
	good(json);
	/* What was done is recorded later. */
	recorder_connect();
	UNTIL(events_with("connector.killed") == 1);
	UNTIL(events_with("approval.decided") == 1);
}

/* -- approvals -- */

static void
test_approve(void **ctx)
{
	struct peer_proxy *p = &t.proxies[0];
	struct uuid call;
	char id[32];

	(void)ctx;
	open_session(id);
	call = hold_for(0, id, 60000);
	assert_int_equal(events_with("approval.requested"), 1);
	good("{\"verb\":\"approval.ls\"}");
	uint32_t list = json_member(&t.doc, 0, "approvals");

	assert_string_equal(text_of(json_first(&t.doc, list), "id"), "A-1");
	assert_string_equal(text_of(json_first(&t.doc, list), "class"),
	    "dangerous");
	consume(0, call, id, CARD_ARGS);	/* not before it is approved */
	assert_int_equal(p->consumed_ok, 0);
	good("{\"verb\":\"approval.approve\",\"id\":\"A-1\","
	    "\"reason\":\"fine\",\"as\":\"ann\"}");
	UNTIL(p->verdicts == 1);
	assert_int_equal(p->verdict, VERDICT_APPROVE);
	assert_string_equal(p->id, "A-1");
	assert_int_equal(strncmp(p->by, "ann via ", 8), 0);
	assert_int_equal(events_with("approval.decided"), 1);
	bad("{\"verb\":\"approval.approve\",\"id\":\"A-1\"}", "conflict",
	    "A-1 is approved by ann");
	consume(0, call, id, "{\"name\":\"other\"}");
	assert_int_equal(p->consumed_ok, 0);
	consume(1, call, id, CARD_ARGS);	/* not the proxy that holds it */
	assert_int_equal(t.proxies[1].consumed_ok, 0);
	consume(0, call, id, CARD_ARGS);
	assert_int_equal(p->consumed_ok, 1);
	consume(0, call, id, CARD_ARGS);
	assert_int_equal(p->consumed_ok, 1);
	assert_int_equal(events_with("approval.consumed"), 1);
	state_is("A-1", "consumed");
	done(0, call);
	state_is("A-1", "done");
	assert_int_equal(the_broker()->waiting, 0);
	assert_int_equal(map_count(&the_broker()->by_call), 0);
}

/* A verdict leaves when its event is committed, not before. */
static void
test_recorded_first(void **ctx)
{
	struct peer_proxy *p = &t.proxies[0];
	struct uuid call;
	struct buf *m;
	char id[32];

	(void)ctx;
	open_session(id);
	call = hold_for(0, id, 60000);
	settle();
	t.deaf = true;
	t.replied = false;
	assert_int_equal(chan_send(t.op, MSG_OP_REQUEST, SLICE("{\"verb\":"
	    "\"approval.approve\",\"id\":\"A-1\"}"), -1), 0);
	UNTIL(events_with("approval.decided") == 1);
	settle();
	assert_int_equal(p->verdicts, 0);
	assert_false(t.replied);
	consume(0, call, id, CARD_ARGS);
	assert_int_equal(p->consumed_ok, 0);
	t.deaf = false;
	assert_non_null(m = chan_begin(t.recorder, MSG_EVENT_ACK));
	pack_u64(m, 3);		/* opened, requested, decided */
	assert_int_equal(chan_end(t.recorder), 0);
	UNTIL(t.replied);
	UNTIL(p->verdicts == 1);
	assert_int_equal(p->verdict, VERDICT_APPROVE);
}

static void
test_edit(void **ctx)
{
	struct peer_proxy *p = &t.proxies[0];
	struct uuid call;
	char id[32];

	(void)ctx;
	open_session(id);
	call = hold_for(0, id, 60000);
	bad("{\"verb\":\"approval.edit\",\"id\":\"A-1\",\"arguments\":3}",
	    "usage", "JSON object");
	good("{\"verb\":\"approval.edit\",\"id\":\"A-1\",\"arguments\":"
	    "{ \"name\" : \"test\" }}");
	UNTIL(p->verdicts == 1);
	assert_int_equal(p->verdict, VERDICT_EDIT);
	assert_string_equal(p->arguments, "{\"name\":\"test\"}");
	assert_int_equal(events_with("\"arguments\":{\"name\":\"test\"}"),
	    1);
	consume(0, call, id, CARD_ARGS);	/* the original never runs */
	assert_int_equal(p->consumed_ok, 0);
	consume(0, call, id, "{\"name\":\"test\"}");
	assert_int_equal(p->consumed_ok, 1);
}

static void
test_deny(void **ctx)
{
	struct peer_proxy *p = &t.proxies[1];
	struct uuid call;
	char id[32];

	(void)ctx;
	open_session(id);
	call = hold_for(1, id, 60000);
	good("{\"verb\":\"approval.deny\",\"id\":\"1\",\"reason\":\"no\"}");
	UNTIL(p->verdicts == 1);
	assert_int_equal(p->verdict, VERDICT_DENY);
	assert_string_equal(p->reason, "no");
	consume(1, call, id, CARD_ARGS);
	assert_int_equal(p->consumed_ok, 0);
	bad("{\"verb\":\"approval.approve\",\"id\":\"A-1\"}", "conflict",
	    "denied");
	/* A yes that was not used yet can be taken back. */
	call = hold_for(1, id, 60000);
	good("{\"verb\":\"approval.approve\",\"id\":\"A-2\"}");
	good("{\"verb\":\"approval.deny\",\"id\":\"A-2\"}");
	consume(1, call, id, CARD_ARGS);
	assert_int_equal(p->consumed_ok, 0);
	assert_int_equal(the_broker()->waiting, 0);
	bad("{\"verb\":\"approval.deny\",\"id\":\"A-9\"}", "not-found",
	    "unknown approval");
}

static void
test_self_approval(void **ctx)
{
	char json[256], id[32];

	(void)ctx;
	open_session(id);
	hold_for(0, id, 60000);
	bad("{\"verb\":\"approval.approve\",\"id\":\"A-1\",\"as\":\"mara\"}",
	    "refused", "asked for by mara");
	bad("{\"verb\":\"approval.edit\",\"id\":\"A-1\",\"as\":\"mara\","
	    "\"arguments\":{}}", "refused", "asked for by mara");
	good("{\"verb\":\"approval.deny\",\"id\":\"A-1\",\"as\":\"mara\"}");
	/* The account behind it counts too. */
	snprintf(json, sizeof(json), "{\"verb\":\"session.open\",\"user\":"
	    "\"%s\",\"agent\":\"ci\"}", the_broker()->own_name);
	good(json);
}

static void
test_stale_digest(void **ctx)
{
	char id[32];

	(void)ctx;
	open_session(id);
	hold_for(0, id, 60000);
	bad("{\"verb\":\"approval.approve\",\"id\":\"A-1\","
	    "\"digest\":\"0000000000000000\"}", "conflict", "not what you");
}

/* The card a person sees is what the digest covers, or it is not held. */
static void
test_card_mismatch(void **ctx)
{
	struct peer_proxy *p = &t.proxies[0];
	uint8_t digest[HOLD_DIGEST];
	char id[32];

	(void)ctx;
	open_session(id);
	digest_of(id, "{\"name\":\"something else\"}", digest);
	send_hold_raw(0, uuid_v7(), id, digest, clock_wall_ms() + 60000, "1");
	UNTIL(p->verdicts == 1);
	assert_int_equal(p->verdict, VERDICT_DENY);
	assert_non_null(strstr(p->reason, "card"));
	digest_of("s-nobody", CARD_ARGS, digest);
	send_hold_raw(0, uuid_v7(), "s-nobody", digest,
	    clock_wall_ms() + 60000, "1");
	UNTIL(p->verdicts == 2);
	assert_non_null(strstr(p->reason, "session"));
	assert_int_equal(the_broker()->waiting, 0);
}

static void
test_expire(void **ctx)
{
	struct peer_proxy *p = &t.proxies[0];
	struct uuid call;
	char id[32];

	(void)ctx;
	open_session(id);
	call = hold_for(0, id, 20);
	UNTIL(p->verdicts == 1);
	assert_int_equal(p->verdict, VERDICT_DENY);
	assert_int_equal(strncmp(p->reason, "expired", 7), 0);
	assert_int_equal(events_with("approval-expired"), 1);
	consume(0, call, id, CARD_ARGS);
	assert_int_equal(p->consumed_ok, 0);
	state_is("A-1", "expired");
}

static void
test_cancel(void **ctx)
{
	struct peer_proxy *p = &t.proxies[0];
	struct uuid call;
	struct buf *m;
	char id[32];

	(void)ctx;
	open_session(id);
	call = hold_for(0, id, 60000);
	assert_non_null(m = chan_begin(p->chan, MSG_HOLD_CANCEL));
	pack_bytes(m, call.b, 16);
	pack_str(m, "the agent hung up");
	assert_int_equal(chan_end(p->chan), 0);
	UNTIL(the_broker()->waiting == 0);
	state_is("A-1", "cancelled");
	/* By (session, JSON-RPC id), from the other proxy. */
	hold_for(0, id, 60000);
	assert_non_null(m = chan_begin(t.proxies[1].chan, MSG_CANCEL_CALL));
	pack_str(m, id);
	pack_str(m, "7");
	assert_int_equal(chan_end(t.proxies[1].chan), 0);
	UNTIL(p->verdicts == 1);
	assert_int_equal(p->verdict, VERDICT_DENY);
	assert_int_equal(p->cancels, 1);
	assert_int_equal(t.proxies[1].cancels, 0);
	assert_int_equal(the_broker()->waiting, 0);
}

static void
test_proxy_vanishes(void **ctx)
{
	struct uuid used;
	char id[32];

	(void)ctx;
	open_session(id);
	hold_for(0, id, 60000);
	used = hold_for(0, id, 60000);
	hold_for(1, id, 60000);
	good("{\"verb\":\"approval.approve\",\"id\":\"A-2\"}");
	consume(0, used, id, CARD_ARGS);
	proxy_leave(0);
	settle();
	state_is("A-1", "cancelled");
	state_is("A-2", "ambiguous");
	state_is("A-3", "pending");
	assert_int_equal(events_with("approval.ended"), 2);
	proxy_connect(0);
	assert_int_equal(t.proxies[0].sessions, 1);	/* told again */
	consume(0, used, id, CARD_ARGS);
	assert_int_equal(t.proxies[0].consumed_ok, 0);
}

static void
test_budget(void **ctx)
{
	struct peer_proxy *p = &t.proxies[0];
	uint8_t digest[HOLD_DIGEST];
	char id[32];

	(void)ctx;
	open_session(id);
	digest_of(id, CARD_ARGS, digest);
	for (int i = 0; i < BROKER_HELD_SESSION_MAX + 5; i++)
		send_hold_raw(0, uuid_v7(), id, digest,
		    clock_wall_ms() + 60000, "1");
	UNTIL(p->verdicts == 5);
	assert_int_equal(the_broker()->waiting, BROKER_HELD_SESSION_MAX);
	assert_non_null(strstr(p->reason, "too many"));
}

static void
test_malformed(void **ctx)
{
	(void)ctx;
	assert_int_equal(chan_send(t.proxies[0].chan, MSG_CONSUME,
	    SLICE("short"), -1), 0);
	UNTIL(t.proxies[0].chan == NULL);	/* dropped */
	assert_int_equal(chan_send(t.proxies[1].chan, MSG_MINT,
	    SLICE(""), -1), 0);
	UNTIL(t.proxies[1].chan == NULL);
	bad("{\"verb\":\"kil\"}", "usage", "did you mean \"kill\"");
	assert_int_equal(chan_send(t.op, MSG_HOLD, SLICE(""), -1), 0);
	UNTIL(t.op == NULL);
}

/* -- kills -- */

static bool
on_page(const char *target)
{
	return killpage_hit(t.page, killpage_hash(t.page, target));
}

static void
test_kill(void **ctx)
{
	char id[32];

	(void)ctx;
	open_session(id);
	hold_for(0, id, 60000);
	good("{\"verb\":\"kill\",\"target\":\"connector/github\","
	    "\"reason\":\"PAT in paste\"}");
	assert_true(on_page("connector/github"));
	assert_false(on_page("connector/gitlab"));
	assert_int_equal(num_of("proxies"), PROXIES);
	assert_int_equal(num_of("cut"), 3 * PROXIES);
	assert_int_equal(num_of("cancelled"), 1);
	assert_true(num_of("acked_us") > 0);
	assert_int_equal(json_first(&t.doc, json_member(&t.doc, 0,
	    "silent")), JSON_NONE);
	settle();
	assert_true(t.proxies[0].killed && t.proxies[1].killed);
	for (int i = 0; i < PROXIES; i++) {
		assert_true(t.proxies[i].why_first);
		assert_string_equal(t.proxies[i].kill_reason, "PAT in paste");
		assert_int_equal(t.proxies[i].stored, num_of("epoch"));
	}
	assert_true(num_of("acked_us") < 2000000);
	assert_int_equal(strncmp(t.proxies[0].reason, "killed", 6), 0);
	assert_int_equal(events_with("connector.killed"), 1);
	good("{\"verb\":\"kills\"}");
	assert_string_equal(text_of(json_first(&t.doc, json_member(&t.doc, 0,
	    "kills")), "target"), "connector/github");
	bad("{\"verb\":\"revive\",\"target\":\"connector/githb\","
	    "\"reason\":\"ok\"}", "not-found", "connector/github");
	assert_true(on_page("connector/github"));
	good("{\"verb\":\"revive\",\"target\":\"connector/github\","
	    "\"reason\":\"rotated\"}");
	assert_false(on_page("connector/github"));
	settle();
	assert_false(t.proxies[0].killed);
	assert_int_equal(events_with("connector.revived"), 1);
}

static void
test_kill_names(void **ctx)
{
	char id[32], json[256];

	(void)ctx;
	open_session(id);
	bad("{\"verb\":\"kill\",\"target\":\"connector/githb\","
	    "\"reason\":\"x\"}", "not-found", "did you mean \"github\"");
	bad("{\"verb\":\"kill\",\"target\":\"agent/cj\",\"reason\":\"x\"}",
	    "not-found", "\"ci\"");
	bad("{\"verb\":\"kill\",\"target\":\"user/marra\",\"reason\":\"x\"}",
	    "not-found", "\"mara\"");
	bad("{\"verb\":\"kill\",\"target\":\"agnet/ci\",\"reason\":\"x\"}",
	    "usage", "\"agent\"");
	bad("{\"verb\":\"kill\",\"target\":\"agent/ci\"}", "usage",
	    "\"reason\"");
	assert_int_equal(killpage_epoch(t.page), 0);
	good("{\"verb\":\"kill\",\"target\":\"agent/unseen\","
	    "\"reason\":\"x\",\"force\":true}");
	assert_true(on_page("agent/unseen"));
	snprintf(json, sizeof(json), "{\"verb\":\"kill\",\"target\":"
	    "\"session/%s\",\"reason\":\"x\"}", id);
	good(json);
	good("{\"verb\":\"kill\",\"target\":\"all\",\"reason\":\"x\"}");
	assert_true(killpage_all(t.page));
	good("{\"verb\":\"revive\",\"target\":\"all\",\"reason\":\"x\"}");
	assert_false(killpage_all(t.page));
	snprintf(json, sizeof(json), "session/%s", id);
	assert_true(on_page(json));	/* the single one stands */
}

static void
test_kill_silent_proxy(void **ctx)
{
	(void)ctx;
	t.proxies[1].mute = true;
	good("{\"verb\":\"kill\",\"target\":\"all\",\"reason\":\"x\"}");
	uint32_t silent = json_member(&t.doc, 0, "silent");

	assert_int_equal(t.doc.nodes[silent].count, 1);
	assert_true(slice_is(json_raw(&t.doc, json_first(&t.doc, silent)),
	    "1"));
	assert_true(killpage_all(t.page));
	assert_true(num_of("acked_us") >= (BROKER_KILL_WAIT_MS - 2) * 1000);
}

/* In force although the answer could not be read by anybody. */
static void
test_kill_operator_leaves(void **ctx)
{
	(void)ctx;
	t.proxies[0].mute = true;
	assert_int_equal(chan_send(t.op, MSG_OP_REQUEST, SLICE("{\"verb\":"
	    "\"kill\",\"target\":\"connector/github\",\"reason\":\"x\"}"),
	    -1), 0);
	UNTIL(on_page("connector/github"));
	chan_free(t.op);
	t.op = NULL;
	UNTIL(list_empty(&the_broker()->conns));
	proxy_leave(0);		/* what we waited for goes away */
	UNTIL(list_empty(&the_broker()->killops));
	operator_connect();
	good("{\"verb\":\"kills\"}");
	assert_int_not_equal(json_first(&t.doc, json_member(&t.doc, 0,
	    "kills")), JSON_NONE);
}

/* state.db and page: a restart takes the union. */
static void
test_kill_survives(void **ctx)
{
	struct killpage *w;
	char id[32];

	(void)ctx;
	open_session(id);
	good("{\"verb\":\"kill\",\"target\":\"connector/github\","
	    "\"reason\":\"stored\"}");
	broker_down();
	/* Between page and state.db a kill -9 may fall: only the page has
	 * it. The parent's page lives on. */
	assert_non_null(w = killpage_map(t.page_fd, true));
	killpage_set(w, "connector/gitlab");
	killpage_unmap(w);
	broker_up();
	good("{\"verb\":\"kills\"}");
	assert_int_equal(t.doc.nodes[json_member(&t.doc, 0, "kills")].count,
	    2);
	broker_down();
	/* All daemons restarted: a new page, filled from state.db. */
	killpage_unmap(t.page);
	close(t.page_fd);
	t.page_fd = t.env.killpage_fd = killpage_create();
	assert_non_null(t.page = killpage_map(t.page_fd, false));
	assert_false(on_page("connector/github"));
	broker_up();
	assert_true(on_page("connector/github"));
	assert_true(on_page("connector/gitlab"));
	assert_true(t.proxies[0].killed);
	assert_int_equal(t.proxies[0].sessions, 1);
}

static void
test_kill_time_is_up(void **ctx)
{
	(void)ctx;
	good("{\"verb\":\"kill\",\"target\":\"connector/github\","
	    "\"reason\":\"x\",\"for_ms\":3600000}");
	good("{\"verb\":\"kill\",\"target\":\"agent/x\",\"force\":true,"
	    "\"reason\":\"x\",\"for_ms\":3600000}");
	clock_set_offset_ms(2 * 3600 * 1000);
	UNTIL(t.proxies[0].connectors == 1);
	assert_int_equal(t.proxies[0].connector_state, STATE_ASK_ALL);
	UNTIL(!on_page("connector/github"));
	settle();
	assert_true(on_page("agent/x"));	/* cannot be held: stays */
	broker_down();
	broker_up();
	assert_int_equal(t.proxies[0].connector_state, STATE_ASK_ALL);
	good("{\"verb\":\"revive\",\"target\":\"connector/github\","
	    "\"reason\":\"looked at\"}");
	settle();
	assert_int_equal(t.proxies[0].connector_state,
	    CONNECTOR_NO_OVERRIDE);
}

/* -- registry -- */

static void
tool_seen_msg(unsigned proxy, const char *tool, uint8_t digest)
{
	uint8_t h[32];
	struct buf *m = chan_begin(t.proxies[proxy].chan, MSG_TOOL_SEEN);

	memset(h, digest, sizeof(h));
	assert_non_null(m);
	pack_str(m, "github");
	pack_str(m, tool);
	pack_bytes(m, h, 32);
	pack_str(m, "Deletes \"it\"");
	assert_int_equal(chan_end(t.proxies[proxy].chan), 0);
}

static void
test_tool_registry(void **ctx)
{
	(void)ctx;
	tool_seen_msg(0, "delete_repo", 1);
	tool_seen_msg(1, "delete_repo", 1);
	tool_seen_msg(0, "list", 2);
	UNTIL(t.proxies[1].tools == 2);
	settle();
	assert_int_equal(events_with("tool.seen"), 2);
	bad("{\"verb\":\"tool.classify\",\"connector\":\"github\","
	    "\"tool\":\"delete_rep\",\"class\":\"dangerous\","
	    "\"reason\":\"x\"}", "not-found", "delete_repo");
	bad("{\"verb\":\"tool.classify\",\"connector\":\"github\","
	    "\"tool\":\"list\",\"class\":\"readonly\",\"reason\":\"x\"}",
	    "not-found", "read-only");
	good("{\"verb\":\"tool.classify\",\"connector\":\"github\","
	    "\"tool\":\"list\",\"class\":\"read-only\",\"reason\":\"x\"}");
	settle();
	assert_int_equal(t.proxies[1].tool_class, CONF_READ_ONLY);
	good("{\"verb\":\"tool.ls\",\"unclassified\":true}");
	assert_int_equal(t.doc.nodes[json_member(&t.doc, 0, "tools")].count,
	    1);
	/* Another definition under the old name: nobody classified that. */
	tool_seen_msg(0, "list", 3);
	UNTIL(events_with("\"changed\":true") == 1);
	settle();
	assert_int_equal(t.proxies[0].tool_class, CONF_UNKNOWN);
	good("{\"verb\":\"tool.ls\",\"unclassified\":true}");
	assert_int_equal(t.doc.nodes[json_member(&t.doc, 0, "tools")].count,
	    2);
}

static void
test_connector_state(void **ctx)
{
	(void)ctx;
	bad("{\"verb\":\"connector.state\",\"name\":\"githob\","
	    "\"state\":\"disabled\",\"reason\":\"x\"}", "not-found",
	    "\"github\"");
	bad("{\"verb\":\"connector.state\",\"name\":\"github\","
	    "\"state\":\"observ\",\"reason\":\"x\"}", "not-found",
	    "\"observe\"");
	good("{\"verb\":\"connector.state\",\"name\":\"github\","
	    "\"state\":\"observe\",\"reason\":\"x\"}");
	settle();
	assert_int_equal(t.proxies[1].connector_state, STATE_OBSERVE);
	good("{\"verb\":\"connector.state\",\"name\":\"github\","
	    "\"state\":\"catalogue\",\"reason\":\"x\"}");
	assert_string_equal(text_of(0, "was"), "observe");
	good("{\"verb\":\"connector.ls\"}");
	assert_int_equal(t.doc.nodes[json_member(&t.doc, 0,
	    "connectors")].count, 2);
	good("{\"verb\":\"status\"}");
	assert_int_equal(num_of("proxies_expected"), PROXIES);
	assert_int_equal(events_with("connector.state"), 2);
}

static void
upstream_msg(unsigned proxy, const char *host, uint8_t away)
{
	struct buf *m = chan_begin(t.proxies[proxy].chan, MSG_UPSTREAM_STATE);

	assert_non_null(m);
	pack_str(m, "github");
	pack_str(m, host);
	pack_u16(m, 443);
	pack_u8(m, away);
	pack_i64(m, 1700000000000);
	pack_str(m, "refused");
	assert_int_equal(chan_end(t.proxies[proxy].chan), 0);
}

/* How many entries `connector ls` shows of the first connector. */
static unsigned
away_shown(void)
{
	good("{\"verb\":\"connector.ls\"}");
	uint32_t list = json_member(&t.doc, 0, "connectors");

	return t.doc.nodes[json_member(&t.doc, json_first(&t.doc, list),
	    "away")].count;
}

/* Each proxy says for itself, the newest word counts, and what one said goes
 * with it. */
static void
test_upstream_state(void **ctx)
{
	(void)ctx;
	assert_int_equal(away_shown(), 0);
	upstream_msg(0, "a.example", 1);
	upstream_msg(0, "a.example", 1);
	upstream_msg(0, "b.example", 1);
	upstream_msg(1, "a.example", 1);
	UNTIL(away_shown() == 3);
	upstream_msg(0, "b.example", 0);
	UNTIL(away_shown() == 2);
	proxy_leave(1);
	UNTIL(away_shown() == 1);
	upstream_msg(0, "a.example", 2);	/* no such state: dropped */
	UNTIL(away_shown() == 0);
}

/* Held calls survive the broker; the proxy that still holds them gets the
 * verdict; what nobody comes for is cancelled. */
static void
test_restart_with_held(void **ctx)
{
	uint8_t digest[HOLD_DIGEST];
	struct uuid call;
	char id[32];

	(void)ctx;
	open_session(id);
	call = hold_for(0, id, 60000);
	hold_for(0, id, 60000);
	broker_down();
	broker_up();
	state_is("A-1", "pending");
	good("{\"verb\":\"approval.approve\",\"id\":\"A-1\"}");
	assert_int_equal(t.proxies[0].verdicts, 0);
	digest_of(id, CARD_ARGS, digest);
	send_hold_raw(0, call, id, digest, clock_wall_ms() + 60000, "7");
	UNTIL(t.proxies[0].verdicts == 1);
	assert_int_equal(t.proxies[0].verdict, VERDICT_APPROVE);
	consume(0, call, id, CARD_ARGS);
	assert_int_equal(t.proxies[0].consumed_ok, 1);
	the_broker()->started_ms -= BROKER_ORPHAN_MS + 1;
	UNTIL(the_broker()->waiting == 0);
	state_is("A-2", "cancelled");
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, up, down)
	const struct CMUnitTest tests[] = {
		T(test_session), T(test_session_expires), T(test_no_recorder),
		T(test_approve), T(test_recorded_first), T(test_edit),
		T(test_deny), T(test_self_approval), T(test_stale_digest),
		T(test_card_mismatch), T(test_expire), T(test_cancel),
		T(test_proxy_vanishes), T(test_budget), T(test_malformed),
		T(test_kill), T(test_kill_names), T(test_kill_silent_proxy),
		T(test_kill_operator_leaves), T(test_kill_survives),
		T(test_kill_time_is_up), T(test_tool_registry),
		T(test_connector_state), T(test_upstream_state),
		T(test_restart_with_held),
	};

	log_init("test", LOG_LV_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
