/* keeper: the role's own functions in one loop with its peers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/un.h>

#include "gateway/keeper.c"

static char dir[64];
static int statefd, listenfd;
static struct role_env env;

static void
nothing(void *ctx)
{
	(void)ctx;
}

/* What was queued outside of a round leaves at the end of the first. */
static void
run(void)
{
	loop_soon(env.loop, nothing, NULL);
	loop_run(env.loop);
}

/* What a peer of the keeper got. */
struct side {
	struct chan *chan;
	int got;
	bool closed;
	enum msg_type type, want;
	char body[70000];
	size_t n;
};

static int
side_msg(void *ctx, struct chan *c, enum msg_type type, struct slice body,
    int fd)
{
	struct side *s = ctx;

	(void)c;
	assert_true(fd < 0);
	s->got++;
	s->type = type;
	assert_true(body.n <= sizeof(s->body));
	memcpy(s->body, body.p, body.n);
	s->n = body.n;
	if (s->want == 0 || s->want == type)
		loop_stop(env.loop);
	return 0;
}

static void
side_close(void *ctx, struct chan *c)
{
	struct side *s = ctx;

	s->closed = true;
	chan_free(c);
	s->chan = NULL;
	loop_stop(env.loop);
}

static struct snap *
snapshot(const char *const *hosts, uint32_t nhosts, const char *template)
{
	static const struct {
		const char *name, *type, *header, *connector;
	} defs[] = {
		{ "git-tok", "bearer", "", "github" },
		{ "crm-tok", "header", "X-Api-Key", "crm" },
		{ "git-tok", "header", "X-Git", "gitlab" },
	};
	struct snap_writer w;
	struct err err = { 0 };
	struct buf b;
	int fd;

	snap_writer_init(&w);
	buf_init(&b, 1 << 20);
	pack_u32(&b, nhosts);
	for (uint32_t i = 0; i < nhosts; i++)
		pack_str(&b, hosts[i]);
	snap_add(&w, "catalog-hosts", buf_slice(&b));
	buf_reset(&b);
	pack_u32(&b, ARRAY_LEN(defs));
	for (size_t i = 0; i < ARRAY_LEN(defs); i++) {
		pack_str(&b, defs[i].name);
		pack_str(&b, defs[i].type);
		pack_str(&b, defs[i].header);
		pack_str(&b, i == 1 ? template : "");
		pack_u32(&b, 1);
		pack_str(&b, defs[i].connector);
	}
	snap_add(&w, "credentials", buf_slice(&b));
	buf_free(&b);
	fd = snap_seal(&w, &err);
	snap_writer_free(&w);
	struct snap *s = snap_open(fd, &err);

	if (s == NULL)
		fail_msg("%s", err.text);
	return s;
}

static const char *const hosts1[] = { "api.github.com", "crm.example" };

static void
boot(void)
{
	struct err err = { 0 };

	if (keeper_role.setup(&env, &err) != 0)
		fail_msg("%s", err.text);
	keeper_role.start(&env);
}

static int
setup(void **st)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	(void)st;
	strcpy(dir, "/tmp/prkeeper.XXXXXX");
	assert_non_null(mkdtemp(dir));
	statefd = open(dir, O_RDONLY | O_DIRECTORY);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/sock", dir);
	listenfd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(listenfd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(listenfd, 8), 0);
	memset(&env, 0, sizeof(env));
	env.role = ROLE_KEEPER;
	env.loop = loop_new();
	env.snap = snapshot(hosts1, 2, "key={};v=1");
	env.dirs[0].name = base_strdup("state");
	env.dirs[0].fd = statefd;
	env.ndirs = 1;
	env.listeners[0].name = base_strdup("keeper");
	env.listeners[0].fd = listenfd;
	env.nlisteners = 1;
	boot();
	return 0;
}

static int
teardown(void **st)
{
	struct dirent *e;
	DIR *d;

	(void)st;
	keeper_role.stop(&env);
	snap_close(env.snap);
	loop_free(env.loop);
	free(env.dirs[0].name);
	free(env.listeners[0].name);
	close(listenfd);
	d = opendir(dir);
	while ((e = readdir(d)) != NULL)
		unlinkat(statefd, e->d_name, 0);
	closedir(d);
	close(statefd);
	return rmdir(dir);
}

static void
side_on(struct side *s, int fd)
{
	memset(s, 0, sizeof(*s));
	s->chan = chan_new(env.loop, fd, 1 << 20, side_msg, side_close, s);
}

static void
hello(struct side *s, enum role role)
{
	struct buf *b = chan_begin(s->chan, MSG_HELLO);

	pack_u8(b, (uint8_t)role);
	pack_u8(b, 0);
	pack_u16(b, MSG_VERSION);
	assert_int_equal(chan_end(s->chan), 0);
}

static void
connect_role(struct side *s, enum role role)
{
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	side_on(s, fd[0]);
	keeper_role.channel(&env, role, 0, fd[1]);
	hello(s, role);
}

static void
connect_operator(struct side *s)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/sock", dir);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	side_on(s, fd);
}

static void
wait_for(struct side *s, enum msg_type want)
{
	s->want = want;
	while (s->type != want && !s->closed)
		run();
	assert_false(s->closed);
}

/* Sends what was packed and waits for that answer. */
static struct unpack
ask(struct side *s, enum msg_type type, struct buf *body, enum msg_type want)
{
	struct unpack u;

	s->type = 0;
	assert_int_equal(chan_send(s->chan, type, buf_slice(body), -1), 0);
	buf_reset(body);
	wait_for(s, want);
	unpack_init(&u, slice_make(s->body, s->n));
	return u;
}

static void
dropped(struct side *s, enum msg_type type, struct slice body)
{
	s->want = MSG_STOP;	/* only the close stops the loop */
	assert_int_equal(chan_send(s->chan, type, body, -1), 0);
	while (!s->closed)
		run();
	assert_true(s->closed);
}

static void
proxy(struct side *s)
{
	connect_role(s, ROLE_PROXY);
	wait_for(s, MSG_LEAF_KEY);
}

static void
test_leaf(void **st)
{
	struct slice chain[2], priv;
	struct err err = { 0 };
	struct tls_key *key;
	struct tls_leaf *leaf;
	static struct side p;
	struct buf b;
	struct unpack u;
	uint8_t secrets[64];
	static const uint8_t zero[64];

	(void)st;
	buf_init(&b, 4096);
	proxy(&p);
	unpack_init(&u, slice_make(p.body, p.n));
	priv = unpack_slice(&u);
	unpack_slice(&u);
	unpack_bytes(&u, secrets, 64);
	/* What agents are to trust is a certificate. */
	assert_int_equal(unpack_slice(&u).p[0], 0x30);
	assert_true(unpack_done(&u));
	assert_memory_not_equal(secrets, zero, 32);
	assert_memory_not_equal(secrets + 32, zero, 32);
	key = tls_key_new(priv, &err);
	assert_non_null(key);
	for (int i = 0; i < 3; i++) {
		pack_u64(&b, 77);
		pack_str(&b, i == 1 ? "API.GitHub.com" : "api.github.com");
		u = ask(&p, MSG_MINT, &b, MSG_LEAF);
		assert_int_equal(unpack_u64(&u), 77);
		assert_int_equal(unpack_u32(&u), 2);
		chain[0] = unpack_slice(&u);
		chain[1] = unpack_slice(&u);
		assert_true(unpack_done(&u));
		leaf = tls_leaf_new(key, chain, 2, &err);
		assert_non_null(leaf);
		tls_leaf_unref(leaf);
	}
	assert_int_equal(map_count(&((struct keeper *)env.ctx)->leaves), 1);
	static const char *const bad[] = { "www.github.com", "10.0.0.1", "",
		"a b" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		pack_u64(&b, 78);
		pack_str(&b, bad[i]);
		u = ask(&p, MSG_MINT, &b, MSG_KEEPER_NO);
		assert_int_equal(unpack_u64(&u), 78);
	}
	tls_key_free(key);
	chan_free(p.chan);
	buf_free(&b);
}

/* The recorder's side: takes events and, when told so, acknowledges them. */
static void
acknowledge(struct side *rec, bool ok)
{
	struct unpack u;
	struct buf *b;

	wait_for(rec, MSG_EVENT);
	rec->type = 0;
	unpack_init(&u, slice_make(rec->body, rec->n));
	b = chan_begin(rec->chan, ok ? MSG_EVENT_ACK : MSG_EVENT_REFUSED);
	pack_u64(b, unpack_u64(&u));
	if (!ok)
		pack_str(b, "no");
	assert_int_equal(chan_end(rec->chan), 0);
}

static void
cred_set(struct side *op, struct side *rec, const char *name,
    const char *value, bool ok)
{
	struct buf b;

	buf_init(&b, 4096);
	pack_str(&b, name);
	pack_str(&b, value);
	op->type = 0;
	op->want = MSG_OP_REPLY;
	assert_int_equal(chan_send(op->chan, MSG_CRED_SET, buf_slice(&b), -1),
	    0);
	if (rec != NULL)
		acknowledge(rec, ok);
	buf_free(&b);
	wait_for(op, MSG_OP_REPLY);
}

static void
reply_has(struct side *s, const char *text)
{
	if (memmem(s->body, s->n, text, strlen(text)) == NULL)
		fail_msg("no %s in %.*s", text, (int)s->n, s->body);
}

static const char *
cred_get(struct side *p, const char *connector, const char *name,
    enum msg_type want)
{
	static char text[512];
	struct unpack u;
	struct buf b;

	buf_init(&b, 4096);
	pack_u64(&b, 5);
	pack_str(&b, connector);
	pack_str(&b, name);
	u = ask(p, MSG_CRED_GET, &b, want);
	buf_free(&b);
	assert_int_equal(unpack_u64(&u), 5);
	struct slice x = unpack_slice(&u), y = SLICE("");

	if (want == MSG_CRED)
		y = unpack_slice(&u);
	assert_true(unpack_done(&u));
	snprintf(text, sizeof(text), "%.*s: %.*s", SLICE_FMT(x),
	    SLICE_FMT(y));
	return text;
}

static void
test_credentials(void **st)
{
	static struct side p, op, rec;
	struct buf b;

	(void)st;
	buf_init(&b, 64);
	proxy(&p);
	connect_role(&rec, ROLE_RECORDER);
	connect_operator(&op);
	assert_non_null(strstr(cred_get(&p, "github", "git-tok",
	    MSG_KEEPER_NO), "no value"));
	cred_set(&op, &rec, "git-tok", "abc123", true);
	reply_has(&op, "\"ok\":true");
	reply_has(&op, "\"defined\":true");
	reply_has(&rec, "\"type\":\"credential.set\"");
	reply_has(&rec, "\"action\":\"set\"");
	assert_null(memmem(rec.body, rec.n, "abc123", 6));
	assert_string_equal(cred_get(&p, "github", "git-tok", MSG_CRED),
	    "Authorization: Bearer abc123");
	assert_string_equal(cred_get(&p, "gitlab", "git-tok", MSG_CRED),
	    "X-Git: abc123");
	assert_non_null(strstr(cred_get(&p, "crm", "git-tok",
	    MSG_KEEPER_NO), "may not use"));
	assert_non_null(strstr(cred_get(&p, "github", "other",
	    MSG_KEEPER_NO), "no credential"));
	cred_set(&op, &rec, "crm-tok", "k1", true);
	assert_string_equal(cred_get(&p, "crm", "crm-tok", MSG_CRED),
	    "X-Api-Key: key=k1;v=1");
	/* Refused by the recorder: nothing changes. */
	cred_set(&op, &rec, "crm-tok", "k2", false);
	reply_has(&op, "\"ok\":false");
	assert_string_equal(cred_get(&p, "crm", "crm-tok", MSG_CRED),
	    "X-Api-Key: key=k1;v=1");
	cred_set(&op, &rec, "lonely", "x", true);
	reply_has(&op, "\"defined\":false");
	/* No header could carry it. */
	cred_set(&op, NULL, "crm-tok", "a\r\nX: y", true);
	reply_has(&op, "control characters");
	cred_set(&op, NULL, "Bad Name", "v", true);
	reply_has(&op, "\"ok\":false");
	ask(&op, MSG_CRED_LS, &b, MSG_OP_REPLY);
	reply_has(&op, "\"name\":\"lonely\",\"set\":true");
	reply_has(&op, "\"connectors\":[\"github\",\"gitlab\"]");
	assert_null(memmem(op.body, op.n, "abc123", 6));
	pack_str(&b, "git-tok");
	op.type = 0;
	assert_int_equal(chan_send(op.chan, MSG_CRED_RM, buf_slice(&b), -1),
	    0);
	acknowledge(&rec, true);
	wait_for(&op, MSG_OP_REPLY);
	reply_has(&op, "\"set\":false");
	assert_non_null(strstr(cred_get(&p, "github", "git-tok",
	    MSG_KEEPER_NO), "no value"));
	buf_reset(&b);
	pack_str(&b, "git-tok");
	ask(&op, MSG_CRED_RM, &b, MSG_OP_REPLY);
	reply_has(&op, "\"ok\":false");
	chan_free(p.chan);
	chan_free(op.chan);
	chan_free(rec.chan);
	buf_free(&b);
}

/* Without a recorder nothing is changed; an operator who leaves while the
 * record is on its way does not undo it. */
static void
test_record_first(void **st)
{
	struct keeper *k = env.ctx;
	static struct side op, rec;
	struct buf b;

	(void)st;
	connect_operator(&op);
	cred_set(&op, NULL, "git-tok", "abc", true);
	reply_has(&op, "audit-unavailable");
	assert_null(vault_cred(k->vault, SLICE("git-tok")));
	connect_role(&rec, ROLE_RECORDER);
	buf_init(&b, 256);
	pack_str(&b, "git-tok");
	pack_str(&b, "abc");
	assert_int_equal(chan_send(op.chan, MSG_CRED_SET, buf_slice(&b), -1),
	    0);
	wait_for(&rec, MSG_EVENT);
	assert_null(vault_cred(k->vault, SLICE("git-tok")));
	chan_free(op.chan);
	struct unpack u;

	unpack_init(&u, slice_make(rec.body, rec.n));
	buf_reset(&b);
	pack_u64(&b, unpack_u64(&u));
	assert_int_equal(chan_send(rec.chan, MSG_EVENT_ACK, buf_slice(&b),
	    -1), 0);
	buf_reset(&b);
	/* A signature asked for after it comes when it was dealt with. */
	pack_u64(&b, 1);
	pack_str(&b, "o\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n");
	ask(&rec, MSG_SIGN, &b, MSG_SIGNATURE);
	assert_non_null(vault_cred(k->vault, SLICE("git-tok")));
	assert_true(list_empty(&k->changes));
	chan_free(rec.chan);
	buf_free(&b);
}

static void
test_sign(void **st)
{
	static struct side rec;
	struct unpack u;
	struct buf b;

	(void)st;
	buf_init(&b, 4096);
	connect_role(&rec, ROLE_RECORDER);
	pack_u64(&b, 9);
	pack_str(&b, "o\n7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n");
	u = ask(&rec, MSG_SIGN, &b, MSG_SIGNATURE);
	assert_int_equal(unpack_u64(&u), 9);
	struct slice note = unpack_slice(&u);

	assert_true(unpack_done(&u));
	assert_true(slice_starts(note, "o\n7\n"));
	pack_u64(&b, 10);
	pack_str(&b, "o\n6\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n");
	u = ask(&rec, MSG_SIGN, &b, MSG_KEEPER_NO);
	assert_int_equal(unpack_u64(&u), 10);
	chan_free(rec.chan);
	buf_free(&b);
}

/* Each peer may ask its own questions only. */
static void
test_not_allowed(void **st)
{
	static struct side s;
	struct buf b;
	int fd[2];

	(void)st;
	buf_init(&b, 256);
	pack_u64(&b, 1);
	pack_str(&b, "api.github.com");
	static const enum msg_type not_proxy[] = { MSG_SIGN, MSG_CRED_SET,
		MSG_CRED_LS, MSG_CRED_RM, MSG_LEAF, MSG_HELLO, MSG_EVENT };

	for (size_t i = 0; i < ARRAY_LEN(not_proxy); i++) {
		proxy(&s);
		dropped(&s, not_proxy[i], buf_slice(&b));
	}
	static const enum msg_type not_op[] = { MSG_SIGN, MSG_MINT,
		MSG_CRED_GET, MSG_HELLO, MSG_OP_REQUEST };

	for (size_t i = 0; i < ARRAY_LEN(not_op); i++) {
		connect_operator(&s);
		dropped(&s, not_op[i], buf_slice(&b));
	}
	/* Malformed bodies. */
	proxy(&s);
	dropped(&s, MSG_MINT, SLICE("short"));
	proxy(&s);
	buf_add_char(&b, 'x');
	dropped(&s, MSG_MINT, buf_slice(&b));
	/* Before the HELLO nothing is answered. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	side_on(&s, fd[0]);
	keeper_role.channel(&env, ROLE_PROXY, 0, fd[1]);
	dropped(&s, MSG_MINT, slice_make(buf_data(&b), b.len - 1));
	/* A HELLO as somebody else. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	side_on(&s, fd[0]);
	keeper_role.channel(&env, ROLE_PROXY, 0, fd[1]);
	hello(&s, ROLE_RECORDER);
	s.want = MSG_STOP;
	while (!s.closed)
		run();
	assert_int_equal(((struct keeper *)env.ctx)->nops, 0);
	buf_free(&b);
}

static void
swap_snapshot(struct snap *s, bool ok)
{
	struct snap *old = env.snap;
	struct err err = { 0 };

	env.snap = s;
	assert_int_equal(keeper_role.reload(&env, &err), ok ? 0 : -1);
	assert_int_equal(err.set, !ok);
	if (!ok) {
		snap_close(s);
		env.snap = old;
		return;
	}
	snap_close(old);
}

static void
test_reload(void **st)
{
	static const char *const more[] = { "api.github.com", "new.example" };
	static const char *const bad[] = { "not a host" };
	struct keeper *k = env.ctx;
	static struct side p;
	struct unpack u;
	struct buf b;
	char first[4096];
	size_t n;

	(void)st;
	buf_init(&b, 256);
	proxy(&p);
	pack_u64(&b, 1);
	pack_str(&b, "new.example");
	ask(&p, MSG_MINT, &b, MSG_KEEPER_NO);
	pack_u64(&b, 1);
	pack_str(&b, "api.github.com");
	ask(&p, MSG_MINT, &b, MSG_LEAF);
	n = ca_intermediate(k->ca).n;
	memcpy(first, ca_intermediate(k->ca).p, n);
	swap_snapshot(snapshot(bad, 1, "{}"), false);
	swap_snapshot(snapshot(hosts1, 2, "no hole"), false);
	swap_snapshot(snapshot(hosts1, 2, "{}{}"), false);
	swap_snapshot(snapshot(hosts1, 2, "{}\n"), false);
	assert_true(slice_eq(ca_intermediate(k->ca), slice_make(first, n)));
	assert_int_equal(map_count(&k->leaves), 1);
	/* The same hosts: the same intermediate. */
	swap_snapshot(snapshot(hosts1, 2, "{}"), true);
	assert_true(slice_eq(ca_intermediate(k->ca), slice_make(first, n)));
	assert_int_equal(map_count(&k->leaves), 1);
	swap_snapshot(snapshot(more, 2, "{}"), true);
	assert_false(slice_eq(ca_intermediate(k->ca), slice_make(first, n)));
	assert_int_equal(map_count(&k->leaves), 0);
	pack_u64(&b, 2);
	pack_str(&b, "new.example");
	u = ask(&p, MSG_MINT, &b, MSG_LEAF);
	assert_int_equal(unpack_u64(&u), 2);
	pack_u64(&b, 3);
	pack_str(&b, "crm.example");
	ask(&p, MSG_MINT, &b, MSG_KEEPER_NO);
	chan_free(p.chan);
	buf_free(&b);
}

/* Started again: the same authority and ledger key, other leaf keys. */
static void
test_restart(void **st)
{
	struct keeper *k = env.ctx;
	char vkey[256], inter[4096], leaf[256];
	struct buf b;
	size_t n, ln;

	(void)st;
	buf_init(&b, 256);
	note_vkey(k->signer, &b);
	snprintf(vkey, sizeof(vkey), "%.*s", (int)b.len, buf_data(&b));
	n = ca_intermediate(k->ca).n;
	memcpy(inter, ca_intermediate(k->ca).p, n);
	ln = ca_leaf_key_private(k->leaf_key).n;
	memcpy(leaf, ca_leaf_key_private(k->leaf_key).p, ln);
	keeper_role.stop(&env);
	boot();
	k = env.ctx;
	buf_reset(&b);
	note_vkey(k->signer, &b);
	assert_true(slice_is(buf_slice(&b), vkey));
	assert_true(slice_eq(ca_intermediate(k->ca), slice_make(inter, n)));
	assert_false(slice_eq(ca_leaf_key_private(k->leaf_key),
	    slice_make(leaf, ln)));
	buf_free(&b);
}

static void
test_leaf_cache_bound(void **st)
{
	static const char *const wild[] = { "*.example" };
	struct keeper *k = env.ctx;
	struct err err = { 0 };
	char host[64];

	(void)st;
	swap_snapshot(snapshot(wild, 1, "{}"), true);
	for (int i = 0; i < LEAVES_MAX + 5; i++) {
		snprintf(host, sizeof(host), "h%d.example", i);
		assert_non_null(leaf_get(k, host, &err));
		if (i == 100)	/* used again: it stays */
			assert_non_null(leaf_get(k, "h0.example", &err));
	}
	assert_int_equal(map_count(&k->leaves), LEAVES_MAX);
	assert_non_null(map_get(&k->leaves, SLICE("h0.example")));
	assert_null(map_get(&k->leaves, SLICE("h1.example")));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_leaf), T(test_credentials), T(test_record_first),
		T(test_sign), T(test_not_allowed), T(test_reload),
		T(test_restart), T(test_leaf_cache_bound),
	};

	/* What is refused is refused loudly. */
	log_init("test_keeper", LOG_LV_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
