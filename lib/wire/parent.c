/* parent - see parent.h. */
#include "parent.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chan.h"
#include "clock.h"
#include "event.h"
#include "list.h"
#include "log.h"
#include "pack.h"

#define INDEX_MAX 64
#define BACKOFF_FIRST_MS 50
#define BACKOFF_MAX_MS 5000
#define COMPILE_TIMEOUT_S 120
#define EX_CONFIG 78

struct child {
	struct parent *p;
	const struct parent_child_def *def;
	unsigned index;
	pid_t pid;
	int pidfd;
	struct loop_fd *watch;
	struct chan *chan;
	struct loop_timer *again;
	bool ready;
	unsigned starts;
	uint64_t started_ms, backoff_ms;
};

struct parent {
	const struct parent_def *def;
	const char *file;
	struct loop *loop;
	struct conf *conf;
	int snap_fd;
	char snap_name[16];
	struct child *children;
	size_t nchildren;
	struct child *equipped;		/* the one being given its gifts */
	struct chan *supervisor;
	bool up[ROLE_COUNT][INDEX_MAX];	/* roles of other daemons */
	struct emit *emit;
	bool said_ready, stopping;
	int sigfd;
	struct loop_fd *sig_watch;
	void *ctx;
};

static const struct {
	enum role from, to;
} links[] = {
#define LINK(f, t) { ROLE_##f, ROLE_##t },
#include "links.def"
#undef LINK
};

const struct conf *
parent_conf(const struct parent *p)
{
	return p->conf;
}

struct loop *
parent_loop(struct parent *p)
{
	return p->loop;
}

void *
parent_ctx(struct parent *p)
{
	return p->ctx;
}

void
parent_set_ctx(struct parent *p, void *ctx)
{
	p->ctx = ctx;
}

/* --- the compiler, once per snapshot ----------------------------------- */

static void
warn_to_log(void *ctx, const char *text)
{
	(void)ctx;
	log_warn("%s", text);
}

static void
warn_elsewhere(void *ctx, const char *text)
{
	(void)ctx;
	(void)text;
}

/* All daemons read the main file; one of them says what is odd about it. */
static int
compile(const struct parent_def *def, const char *file, conf_warn_fn *warn,
    void *ctx, struct err *err)
{
	struct conf *c = conf_load(file, def->self == ROLE_GATEWAY ? warn :
	    warn_elsewhere, ctx, err);
	struct snap_writer w;
	struct buf b;
	int fd = -1;

	if (c == NULL)
		return -1;
	snap_writer_init(&w);
	buf_init(&b, CHAN_BODY_MAX);
	conf_pack(&b, c);
	snap_add(&w, "conf", buf_slice(&b));
	if (def->compile == NULL || def->compile(c, &w, warn, ctx, err) == 0)
		fd = snap_seal(&w, err);
	buf_free(&b);
	snap_writer_free(&w);
	conf_free(c);
	return fd;
}

static int
compiler_main(const struct parent_def *def, const char *file)
{
	struct err err = { 0 };
	struct loop *l = loop_new();
	int fd;

	sandbox_harden_process();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	log_init("compiler", LOG_LV_INFO);
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct sandbox_promise promise = { .role = "compiler",
		.rights = SANDBOX_FILES | SANDBOX_MEMFD, .ndirs = 1,
		.best_effort = true };

	promise.dirs[0] = (struct sandbox_dir){ root, false };
	if (sandbox_enter(&promise, &err) != 0) {
		log_error("%s", err.text);
		return EX_CONFIG;
	}
	struct chan *c = chan_new(l, ROLE_CONTROL_FD, 1u << 20, NULL, NULL,
	    NULL);

	fd = compile(def, file, warn_to_log, NULL, &err);
	if (chan_send(c, fd < 0 ? MSG_SNAPSHOT_ACK : MSG_SNAPSHOT,
	    slice_str(fd < 0 ? err.text : ""), fd) != 0)
		return 1;
	chan_flush(c);
	return fd < 0 ? EX_CONFIG : 0;
}

static pid_t
spawn(struct parent *p, const char *role, int control)
{
	const char *argv[8] = { p->def->program, "--role", role, "-c", p->file,
		NULL };
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	/* Only async-signal-safe calls from here to exec. */
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (control == ROLE_CONTROL_FD)
		fcntl(control, F_SETFD, 0);
	else if (dup2(control, ROLE_CONTROL_FD) < 0)
		_exit(127);
	int null = open("/dev/null", O_RDONLY);

	if (null > 0) {
		dup2(null, STDIN_FILENO);
		close(null);
	}
	syscall(SYS_close_range, ROLE_CONTROL_FD + 1, ~0u, 0);
	execv("/proc/self/exe", (char *const *)(uintptr_t)argv);
	_exit(127);
}

/* A sealed snapshot from a fresh compiler process, or -1 and err. */
static int
run_compiler(struct parent *p, struct err *err)
{
	struct timeval limit = { COMPILE_TIMEOUT_S, 0 };
	enum msg_type type;
	struct buf body;
	int sv[2], fd = -1;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) != 0) {
		err_set(err, "socketpair: %s", strerror(errno));
		return -1;
	}
	setsockopt(sv[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	pid = spawn(p, "compiler", sv[1]);
	close(sv[1]);
	buf_init(&body, 1u << 16);
	if (pid < 0)
		err_set(err, "fork: %s", strerror(errno));
	else if (chan_call_recv(sv[0], &type, &body, &fd) != 0)
		err_set(err, "the compiler gave no answer: %s",
		    strerror(errno));
	else if (type != MSG_SNAPSHOT)
		err_set(err, "%.*s", SLICE_FMT(buf_slice(&body)));
	else if (fd < 0)
		err_set(err, "the compiler sent no snapshot");
	buf_free(&body);
	close(sv[0]);
	if (pid > 0) {
		if (fd < 0)
			kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	return fd;
}

static int
adopt_snapshot(struct parent *p, int fd, struct err *err)
{
	struct snap *s = snap_open(dup(fd), err);
	struct conf *c = s == NULL ? NULL :
	    conf_unpack(snap_section(s, "conf"));

	if (c == NULL) {
		err_set(err, "the snapshot is malformed");
		snap_close(s);
		return -1;
	}
	snprintf(p->snap_name, sizeof(p->snap_name), "%s", snap_name(s));
	snap_close(s);
	conf_free(p->conf);
	base_close(&p->snap_fd);
	p->conf = c;
	p->snap_fd = fd;
	return 0;
}

/* --- gifts -------------------------------------------------------------- */

static void
give(struct parent *p, enum msg_type type, struct buf *b, int fd)
{
	if (chan_send(p->equipped->chan, type, buf_slice(b),
	    fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0)) != 0)
		log_error("could not equip %s",
		    role_name(p->equipped->def->def->role));
	buf_free(b);
}

static int
make_dir(const struct parent *p, const char *path)
{
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return -1;
	if (geteuid() == 0 && p->conf->user != NULL) {
		struct passwd *pw = getpwnam(p->conf->user);

		if (pw != NULL && chown(path, pw->pw_uid, pw->pw_gid) != 0)
			return -1;
	}
	return 0;
}

void
parent_give_dir(struct parent *p, const char *name, const char *subdir)
{
	char path[4096];
	struct buf b;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", p->conf->state_dir, subdir);
	if (make_dir(p, path) != 0 ||
	    (fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) {
		log_error("%s: %s", path, strerror(errno));
		return;
	}
	buf_init(&b, 256);
	pack_str(&b, name);
	give(p, MSG_STATE_DIR, &b, fd);
	close(fd);
}

void
parent_give_file(struct parent *p, const char *name, int fd)
{
	struct buf b;

	buf_init(&b, 256);
	pack_str(&b, name);
	give(p, MSG_STATE_DIR, &b, fd);
}

void
parent_give_listener(struct parent *p, int kind, const char *name, int fd)
{
	struct buf b;

	buf_init(&b, 256);
	pack_u8(&b, (uint8_t)kind);
	pack_str(&b, name);
	give(p, MSG_LISTENER, &b, fd);
}

void
parent_give_killpage(struct parent *p, bool writable, int fd)
{
	struct buf b;

	buf_init(&b, 16);
	pack_u8(&b, writable);
	give(p, MSG_KILLPAGE, &b, fd);
}

void
parent_give_eventfd(struct parent *p, unsigned index, int fd)
{
	struct buf b;

	buf_init(&b, 16);
	pack_u8(&b, (uint8_t)index);
	give(p, MSG_EVENTFD, &b, fd);
}

/* --- introductions ------------------------------------------------------ */

static struct child *
find_child(struct parent *p, enum role role, unsigned index)
{
	for (size_t i = 0; i < p->nchildren; i++)
		if (p->children[i].def->def->role == role &&
		    p->children[i].index == index)
			return &p->children[i];
	return NULL;
}

static bool
is_mine(const struct parent *p, enum role role)
{
	if (role == p->def->self)
		return true;
	for (size_t i = 0; i < p->def->nchildren; i++)
		if (p->def->children[i].def->role == role)
			return true;
	return false;
}

/* Hands fd (taken) to a role of this daemon as its channel to the peer. */
static void
deliver(struct parent *p, enum role to, unsigned to_index, enum role peer,
    unsigned peer_index, int fd)
{
	struct child *c;
	struct buf b;

	if (to == p->def->self) {
		emit_attach(p->emit, fd);
		return;
	}
	c = find_child(p, to, to_index);
	if (c == NULL || !c->ready) {
		close(fd);	/* it comes up later and is introduced then */
		return;
	}
	buf_init(&b, 16);
	pack_u8(&b, (uint8_t)peer);
	pack_u8(&b, (uint8_t)peer_index);
	if (chan_send(c->chan, MSG_CHANNEL, buf_slice(&b), fd) != 0)
		close(fd);
	buf_free(&b);
}

static void
introduce(struct parent *p, enum role from, unsigned from_index, enum role to,
    unsigned to_index)
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
	    sv) != 0) {
		log_error("socketpair: %s", strerror(errno));
		return;
	}
	deliver(p, from, from_index, to, to_index, sv[0]);
	if (is_mine(p, to)) {
		deliver(p, to, to_index, from, from_index, sv[1]);
		return;
	}
	struct buf b;

	buf_init(&b, 16);
	pack_u8(&b, (uint8_t)from);
	pack_u8(&b, (uint8_t)from_index);
	pack_u8(&b, (uint8_t)to);
	pack_u8(&b, (uint8_t)to_index);
	if (p->supervisor == NULL || chan_send(p->supervisor, MSG_OFFER,
	    buf_slice(&b), sv[1]) != 0)
		close(sv[1]);
	buf_free(&b);
}

static bool
is_up(struct parent *p, enum role role, unsigned index)
{
	struct child *c;

	if (role == p->def->self)
		return index == 0;
	if (!is_mine(p, role))
		return p->up[role][index];
	c = find_child(p, role, index);
	return c != NULL && c->ready;
}

/* role/index has come up: makes every pair whose `from` is ours. */
static void
introduce_all(struct parent *p, enum role role, unsigned index)
{
	for (size_t i = 0; i < ARRAY_LEN(links); i++) {
		if (!is_mine(p, links[i].from))
			continue;
		for (unsigned k = 0; k < INDEX_MAX; k++) {
			if (links[i].from == role &&
			    is_up(p, links[i].to, k))
				introduce(p, role, index, links[i].to, k);
			if (links[i].to == role && is_up(p, links[i].from, k))
				introduce(p, links[i].from, k, role, index);
		}
	}
}

/* --- children ------------------------------------------------------------ */

static void start_child(struct child *c);

static void
event_restarted(struct parent *p, const struct child *c, int status)
{
	struct uuid id = uuid_v7(), none = { { 0 } };
	char how[64];
	struct jsonw w;
	struct buf b;

	snprintf(how, sizeof(how), WIFSIGNALED(status) ? "signal %d" :
	    "exit %d", WIFSIGNALED(status) ? WTERMSIG(status) :
	    WEXITSTATUS(status));
	buf_init(&b, 4096);
	event_begin(&w, &b, id, EVENT_ROLE_RESTARTED, p->def->self);
	jsonw_str(&w, "process", role_name(c->def->def->role));
	jsonw_int(&w, "process_index", c->index);
	jsonw_str(&w, "ended", how);
	event_end(&w);
	if (emit_event(p->emit, id, none, buf_slice(&b), NULL, NULL) != 0)
		log_error("event queue full: a role's restart goes unrecorded");
	buf_free(&b);
}

static void
fatal(struct parent *p)
{
	if (p->supervisor != NULL)
		chan_flush(p->supervisor);
	exit(EX_CONFIG);
}

static void
on_child_exit(void *ctx, unsigned events)
{
	struct child *c = ctx;
	struct parent *p = c->p;
	int status = 0;

	(void)events;
	if (waitpid(c->pid, &status, WNOHANG) != c->pid)
		return;
	loop_fd_del(c->watch);
	c->watch = NULL;
	base_close(&c->pidfd);
	chan_free(c->chan);
	c->chan = NULL;
	c->pid = 0;
	if (p->stopping)
		return;
	log_warn("%s %u ended: %s %d", role_name(c->def->def->role), c->index,
	    WIFSIGNALED(status) ? "signal" : "exit",
	    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	if (!c->ready && !p->said_ready)
		fatal(p);	/* it said why */
	if (c->ready)
		event_restarted(p, c, status);
	c->ready = false;
	if (clock_mono_ms() - c->started_ms > 10000)
		c->backoff_ms = 0;
	loop_timer_set(c->again, c->backoff_ms);
	c->backoff_ms = c->backoff_ms == 0 ? BACKOFF_FIRST_MS :
	    c->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS :
	    c->backoff_ms * 2;
}

static void event_config(struct parent *p, enum event_type type,
    const char *detail);

static void
check_all_ready(struct parent *p)
{
	if (p->said_ready)
		return;
	for (size_t i = 0; i < p->nchildren; i++)
		if (!p->children[i].ready)
			return;
	p->said_ready = true;
	event_config(p, EVENT_SYSTEM_STARTED, NULL);
	if (p->supervisor != NULL && chan_send(p->supervisor, MSG_READY,
	    slice_make("", 0), -1) != 0)
		log_error("control channel is full");
}

static void
on_child_ready(struct child *c)
{
	struct parent *p = c->p;
	enum role role = c->def->def->role;
	struct buf b;

	c->ready = true;
	introduce_all(p, role, c->index);
	if (p->supervisor != NULL) {
		buf_init(&b, 16);
		pack_u8(&b, (uint8_t)role);
		pack_u8(&b, (uint8_t)c->index);
		pack_u8(&b, (uint8_t)(c->starts & 0xff));
		if (chan_send(p->supervisor, MSG_UP, buf_slice(&b), -1) != 0)
			log_error("control channel is full");
		buf_free(&b);
	}
	check_all_ready(p);
}

static int
on_child_msg(void *ctx, struct chan *ch, enum msg_type type,
    struct slice body, int fd)
{
	struct child *c = ctx;
	struct unpack u;

	(void)ch;
	unpack_init(&u, body);
	if (fd < 0 && type == MSG_READY && body.n == 0 && !c->ready) {
		on_child_ready(c);
		return 0;
	}
	if (fd < 0 && type == MSG_SNAPSHOT_ACK) {
		struct slice name = unpack_slice(&u), why = unpack_slice(&u);

		if (!unpack_done(&u))
			return -1;
		if (why.n > 0)
			log_error("%s refused the snapshot, keeps %.*s: %.*s",
			    role_name(c->def->def->role), SLICE_FMT(name),
			    SLICE_FMT(why));
		return 0;
	}
	base_close(&fd);
	return -1;
}

/* A role that breaks the control protocol is killed, not argued with. */
static void
on_child_close(void *ctx, struct chan *ch)
{
	struct child *c = ctx;

	chan_free(ch);
	c->chan = NULL;
	if (c->pid > 0)
		kill(c->pid, SIGKILL);
}

static void
start_child(struct child *c)
{
	struct parent *p = c->p;
	int sv[2];
	struct buf b;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) != 0 ||
	    (c->pid = spawn(p, role_name(c->def->def->role), sv[1])) < 0) {
		log_error("start %s: %s", role_name(c->def->def->role),
		    strerror(errno));
		fatal(p);
	}
	close(sv[1]);
	c->starts++;
	c->started_ms = clock_mono_ms();
	c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
	ASSERT(c->pidfd >= 0);
	c->watch = loop_fd_add(p->loop, c->pidfd, LOOP_READ, on_child_exit, c);
	c->chan = chan_new(p->loop, sv[0], 1u << 20, on_child_msg,
	    on_child_close, c);
	p->equipped = c;
	buf_init(&b, 64);
	give(p, MSG_SNAPSHOT, &b, p->snap_fd);
	if (c->def->equip != NULL)
		c->def->equip(p, c->index);
	buf_init(&b, 64);
	pack_u8(&b, (uint8_t)c->index);
	pack_u8(&b, (uint8_t)p->conf->proxies);
	pack_i64(&b, clock_offset_ms());
	give(p, MSG_GO, &b, -1);
	p->equipped = NULL;
}

static void
on_again(void *ctx)
{
	start_child(ctx);
}

static void
make_children(struct parent *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->def->nchildren; i++) {
		const struct parent_child_def *d = &p->def->children[i];

		n += d->count == NULL ? 1 : d->count(p->conf);
	}
	p->children = base_calloc(n == 0 ? 1 : n, sizeof(*p->children));
	for (size_t i = 0; i < p->def->nchildren; i++) {
		const struct parent_child_def *d = &p->def->children[i];
		unsigned k = d->count == NULL ? 1 : d->count(p->conf);

		for (unsigned j = 0; j < k && j < INDEX_MAX; j++) {
			struct child *c = &p->children[p->nchildren++];

			c->p = p;
			c->def = d;
			c->index = j;
			c->pidfd = -1;
			c->again = loop_timer_new(p->loop, on_again, c);
		}
	}
	for (size_t i = 0; i < p->nchildren; i++)
		start_child(&p->children[i]);
}

/* --- the supervisor's channel and signals -------------------------------- */

static void
stop_all(struct parent *p)
{
	p->stopping = true;
	/* Those nearest to the agents first, so that nothing new begins. */
	for (size_t i = p->nchildren; i-- > 0;) {
		struct child *c = &p->children[i];

		loop_timer_stop(c->again);
		if (c->chan != NULL) {
			if (chan_send(c->chan, MSG_STOP, slice_make("", 0),
			    -1) == 0)
				chan_flush(c->chan);
		}
	}
	uint64_t limit = clock_mono_ms() + 3000;

	for (size_t i = 0; i < p->nchildren; i++) {
		struct child *c = &p->children[i];

		while (c->pid > 0 && waitpid(c->pid, NULL, WNOHANG) == 0) {
			if (clock_mono_ms() > limit)
				kill(c->pid, SIGKILL);
			usleep(2000);
		}
	}
	loop_stop(p->loop);
}

static void
event_config(struct parent *p, enum event_type type, const char *detail)
{
	struct uuid id = uuid_v7(), none = { { 0 } };
	struct jsonw w;
	struct buf b;

	buf_init(&b, 8192);
	event_begin(&w, &b, id, type, p->def->self);
	jsonw_str(&w, "snapshot", p->snap_name);
	jsonw_str(&w, "file", p->file);
	if (detail != NULL)
		jsonw_str(&w, "detail", detail);
	event_end(&w);
	if (emit_event(p->emit, id, none, buf_slice(&b), NULL, NULL) != 0)
		log_error("event queue full: a config event is lost");
	buf_free(&b);
}

static void
reload(struct parent *p)
{
	struct err err = { 0 };
	int fd = run_compiler(p, &err);

	if (fd < 0 || adopt_snapshot(p, fd, &err) != 0) {
		log_error("reload refused, %s stays in force: %s",
		    p->snap_name, err.text);
		event_config(p, EVENT_CONFIG_REFUSED, err.text);
		return;
	}
	for (size_t i = 0; i < p->nchildren; i++) {
		struct child *c = &p->children[i];

		if (c->chan != NULL && c->ready && chan_send(c->chan,
		    MSG_SNAPSHOT, slice_make("", 0),
		    fcntl(p->snap_fd, F_DUPFD_CLOEXEC, 0)) != 0)
			log_error("could not hand on the snapshot");
	}
	log_info("snapshot %s in force", p->snap_name);
	event_config(p, EVENT_CONFIG_LOADED, NULL);
}

static int
on_supervisor(void *ctx, struct chan *ch, enum msg_type type,
    struct slice body, int fd)
{
	struct parent *p = ctx;
	struct unpack u;

	(void)ch;
	unpack_init(&u, body);
	if (type == MSG_UP && fd < 0) {
		unsigned role = unpack_u8(&u), index = unpack_u8(&u);

		unpack_u8(&u);
		if (!unpack_done(&u) || role >= ROLE_COUNT ||
		    index >= INDEX_MAX)
			return -1;
		p->up[role][index] = true;
		introduce_all(p, (enum role)role, index);
		return 0;
	}
	if (type == MSG_OFFER && fd >= 0) {
		unsigned from = unpack_u8(&u), fi = unpack_u8(&u);
		unsigned to = unpack_u8(&u), ti = unpack_u8(&u);

		if (unpack_done(&u) && from < ROLE_COUNT && to < ROLE_COUNT) {
			deliver(p, (enum role)to, ti, (enum role)from, fi, fd);
			return 0;
		}
	}
	if (type == MSG_STOP && fd < 0) {
		stop_all(p);
		return 0;
	}
	if (type == MSG_RELOAD && fd < 0) {
		reload(p);
		return 0;
	}
	base_close(&fd);
	return -1;
}

static void
on_supervisor_gone(void *ctx, struct chan *ch)
{
	(void)ch;
	log_error("the supervisor is gone: stopping");
	stop_all(ctx);
}

static void
on_signal(void *ctx, unsigned events)
{
	struct parent *p = ctx;
	struct signalfd_siginfo si;

	(void)events;
	if (read(p->sigfd, &si, sizeof(si)) != sizeof(si))
		return;
	if (si.ssi_signo == SIGHUP)
		reload(p);
	else
		stop_all(p);
}

static void
watch_signals(struct parent *p, bool supervised)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (supervised) {
		/* The terminal's Ctrl-C reaches us too; the supervisor
		 * decides. */
		sigdelset(&set, SIGINT);
	}
	p->sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	ASSERT(p->sigfd >= 0);
	p->sig_watch = loop_fd_add(p->loop, p->sigfd, LOOP_READ, on_signal, p);
}

static int
prepare_dirs(struct parent *p, struct err *err)
{
	const char *dirs[] = { p->conf->state_dir, p->conf->run_dir };

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		if (make_dir(p, dirs[i]) != 0) {
			err_set(err, "%s: %s", dirs[i], strerror(errno));
			return -1;
		}
	}
	return 0;
}

/* The parent reads and executes anywhere, and writes only where its roles
 * must: state, run, and the folders of file sinks. */
static int
promise(const struct parent *p, struct err *err)
{
	struct sandbox_promise sp = { .role = p->def->program,
		.best_effort = p->conf->sandbox_best_effort };
	const char *paths[8] = { "/", p->conf->state_dir, p->conf->run_dir };
	char folder[4][4096];
	size_t n = 3;

	for (size_t i = 0; i < p->conf->nsinks && n < ARRAY_LEN(paths) - 1;
	    i++) {
		const char *path = p->conf->sinks[i].path, *slash;

		if (p->conf->sinks[i].type != CONF_SINK_FILE ||
		    (slash = strrchr(path, '/')) == NULL || n - 3 >= 4)
			continue;
		snprintf(folder[n - 3], sizeof(folder[0]), "%.*s",
		    (int)(slash - path), path);
		paths[n] = folder[n - 3];
		n++;
	}
	for (size_t i = 0; i < n; i++) {
		int fd = open(paths[i], O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (fd >= 0)
			sp.dirs[sp.ndirs++] = (struct sandbox_dir){ fd,
				i > 0 };
	}
	int r = sandbox_enter_parent(&sp, err);

	for (size_t i = 0; i < sp.ndirs; i++)
		close(sp.dirs[i].fd);
	return r;
}

static int
run(const struct parent_def *def, const char *file, bool supervised)
{
	struct parent *p = base_calloc(1, sizeof(*p));
	struct err err = { 0 };
	int fd;

	sandbox_harden_process();
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_NAME, role_name(def->self));
	if (supervised)
		prctl(PR_SET_PDEATHSIG, SIGTERM);
	log_init(role_name(def->self), LOG_LV_INFO);
	p->def = def;
	p->file = file;
	p->snap_fd = -1;
	p->loop = loop_new();
	p->emit = emit_new(p->loop, def->self, 0, 1u << 20);
	if (supervised)
		fcntl(ROLE_CONTROL_FD, F_SETFD, FD_CLOEXEC);
	if ((fd = run_compiler(p, &err)) < 0 ||
	    adopt_snapshot(p, fd, &err) != 0 || prepare_dirs(p, &err) != 0 ||
	    (def->prepare != NULL && def->prepare(p, &err) != 0) ||
	    promise(p, &err) != 0) {
		log_error("%s", err.text);
		return EX_CONFIG;
	}
	watch_signals(p, supervised);
	if (supervised)
		p->supervisor = chan_new(p->loop, ROLE_CONTROL_FD, 1u << 20,
		    on_supervisor, on_supervisor_gone, p);
	make_children(p);
	event_config(p, EVENT_CONFIG_LOADED, NULL);
	loop_run(p->loop);
	return 0;
}

static void
warn_to_stdout(void *ctx, const char *text)
{
	(void)ctx;
	printf("warning: %s\n", text);
}

static int
check(const struct parent_def *def, const char *file)
{
	struct err err = { 0 };
	int fd = compile(def, file, warn_to_stdout, NULL, &err);

	if (fd < 0) {
		printf("%s\n", err.text);
		return 1;
	}
	close(fd);
	return 0;
}

static int
run_role(const struct parent_def *def, const char *name, const char *file)
{
	if (strcmp(name, "compiler") == 0)
		return compiler_main(def, file);
	for (size_t i = 0; i < def->nchildren; i++)
		if (strcmp(role_name(def->children[i].def->role), name) == 0)
			return role_main(def->children[i].def);
	fprintf(stderr, "%s has no role %s\n", def->program, name);
	return 64;
}

int
parent_main(const struct parent_def *def, int argc, char **argv)
{
	static const struct option longopts[] = {
		{ "role", required_argument, NULL, 'r' },
		{ "check", required_argument, NULL, 'k' },
		{ "config", required_argument, NULL, 'c' },
		{ "supervised", no_argument, NULL, 's' },
		{ "clock-offset-ms", required_argument, NULL, 'o' },
		{ NULL, 0, NULL, 0 }
	};
	const char *file = NULL, *role = NULL, *check_file = NULL;
	bool supervised = false;
	int o;

	while ((o = getopt_long(argc, argv, "c:", longopts, NULL)) != -1) {
		switch (o) {
		case 'c': file = optarg; break;
		case 'r': role = optarg; break;
		case 'k': check_file = optarg; break;
		case 's': supervised = true; break;
		case 'o':
			clock_set_offset_ms(strtoll(optarg, NULL, 10));
			break;
		default: return 64;
		}
	}
	if (check_file != NULL)
		return check(def, check_file);
	if (file == NULL) {
		fprintf(stderr, "usage: %s -c FILE | --check FILE\n"
		    "Usually started by: portreeve serve -c FILE\n",
		    def->program);
		return 64;
	}
	if (role != NULL)
		return run_role(def, role, file);
	return run(def, file, supervised);
}
