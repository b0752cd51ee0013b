/* serve - see serve.h. */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chan.h"
#include "clock.h"
#include "log.h"
#include "pack.h"
#include "role.h"

#define INDEX_MAX 64

struct daemon {
	struct supervisor *s;
	const char *program;
	enum role self;
	pid_t pid;
	int pidfd;
	struct loop_fd *watch;
	struct chan *chan;
	struct loop_timer *again;
	uint64_t started_ms, backoff_ms;
	bool ready;
	bool up[ROLE_COUNT][INDEX_MAX];
};

struct supervisor {
	struct loop *loop;
	char dir[PATH_MAX];		/* where our binaries are */
	const char *file;
	char offset[32];
	struct daemon daemons[3];
	struct loop_fd *sig_watch;
	int sigfd;
	bool said_ready, stopping;
	int ready_fd;			/* --ready-fd: one line when up */
	int status;
};

static const struct {
	const char *program;
	enum role self;
} programs[3] = {
	/* The ledger first: nothing is decided without it. */
	{ "portreeve-monitor", ROLE_MONITOR },
	{ "portreeve-export", ROLE_EXPORT },
	{ "portreeve-gateway", ROLE_GATEWAY },
};

static void start_daemon(struct daemon *d);

static void
stop_all(struct supervisor *s)
{
	if (s->stopping)
		return;
	s->stopping = true;
	uint64_t limit = clock_mono_ms() + 5000;

	for (size_t i = ARRAY_LEN(s->daemons); i-- > 0;) {
		struct daemon *d = &s->daemons[i];

		loop_timer_stop(d->again);
		if (d->chan != NULL && chan_send(d->chan, MSG_STOP,
		    slice_make("", 0), -1) == 0)
			chan_flush(d->chan);
		while (d->pid > 0 && waitpid(d->pid, NULL, WNOHANG) == 0) {
			if (clock_mono_ms() > limit)
				kill(d->pid, SIGKILL);
			usleep(2000);
		}
	}
	loop_stop(s->loop);
}

/* Which daemon a role lives in: the one that reported it, or that it is. */
static struct daemon *
home_of(struct supervisor *s, enum role role)
{
	for (size_t i = 0; i < ARRAY_LEN(s->daemons); i++) {
		struct daemon *d = &s->daemons[i];

		if (d->self == role)
			return d;
		for (size_t k = 0; k < INDEX_MAX; k++)
			if (d->up[role][k])
				return d;
	}
	return NULL;
}

static void
send_up(struct daemon *to, enum role role, unsigned index)
{
	struct buf b;

	if (to->chan == NULL)
		return;
	buf_init(&b, 16);
	pack_u8(&b, (uint8_t)role);
	pack_u8(&b, (uint8_t)index);
	pack_u8(&b, 0);
	if (chan_send(to->chan, MSG_UP, buf_slice(&b), -1) != 0)
		log_error("%s: control channel is full", to->program);
	buf_free(&b);
}

static void
say_ready(struct supervisor *s)
{
	if (s->said_ready)
		return;
	for (size_t i = 0; i < ARRAY_LEN(s->daemons); i++)
		if (!s->daemons[i].ready)
			return;
	s->said_ready = true;
	log_info("ready");
	if (s->ready_fd >= 0) {
		if (write(s->ready_fd, "ready\n", 6) != 6)
			log_warn("--ready-fd: %s", strerror(errno));
		base_close(&s->ready_fd);
	}
}

static int
on_daemon(void *ctx, struct chan *c, enum msg_type type, struct slice body,
    int fd)
{
	struct daemon *d = ctx;
	struct supervisor *s = d->s;
	struct unpack u;

	(void)c;
	unpack_init(&u, body);
	if (type == MSG_READY && fd < 0) {
		d->ready = true;
		say_ready(s);
		return 0;
	}
	if (type == MSG_UP && fd < 0) {
		unsigned role = unpack_u8(&u), index = unpack_u8(&u);

		unpack_u8(&u);
		if (!unpack_done(&u) || role >= ROLE_COUNT ||
		    index >= INDEX_MAX)
			return -1;
		d->up[role][index] = true;
		for (size_t i = 0; i < ARRAY_LEN(s->daemons); i++)
			if (&s->daemons[i] != d)
				send_up(&s->daemons[i], (enum role)role,
				    index);
		return 0;
	}
	if (type == MSG_OFFER && fd >= 0 && body.n == 4) {
		struct daemon *to = (unsigned char)body.p[2] >= ROLE_COUNT ?
		    NULL : home_of(s, (enum role)(unsigned char)body.p[2]);

		if (to == NULL || to->chan == NULL ||
		    chan_send(to->chan, MSG_OFFER, body, fd) != 0)
			close(fd);
		return 0;
	}
	base_close(&fd);
	return -1;
}

static void
on_daemon_close(void *ctx, struct chan *c)
{
	struct daemon *d = ctx;

	chan_free(c);
	d->chan = NULL;
	if (d->pid > 0)
		kill(d->pid, SIGKILL);
}

static void
on_exit_of(void *ctx, unsigned events)
{
	struct daemon *d = ctx;
	struct supervisor *s = d->s;
	int status = 0;

	(void)events;
	if (waitpid(d->pid, &status, WNOHANG) != d->pid)
		return;
	loop_fd_del(d->watch);
	d->watch = NULL;
	base_close(&d->pidfd);
	chan_free(d->chan);
	d->chan = NULL;
	d->pid = 0;
	memset(d->up, 0, sizeof(d->up));
	if (s->stopping)
		return;
	if (!d->ready && !s->said_ready) {
		log_error("%s did not start: see its message above",
		    d->program);
		s->status = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
		stop_all(s);
		return;
	}
	log_warn("%s ended (%s %d): starting it again", d->program,
	    WIFSIGNALED(status) ? "signal" : "exit", WIFSIGNALED(status) ?
	    WTERMSIG(status) : WEXITSTATUS(status));
	d->ready = false;
	if (clock_mono_ms() - d->started_ms > 10000)
		d->backoff_ms = 0;
	loop_timer_set(d->again, d->backoff_ms);
	d->backoff_ms = d->backoff_ms == 0 ? 50 : d->backoff_ms >= 2500 ?
	    5000 : d->backoff_ms * 2;
}

static void
exec_daemon(struct daemon *d, int control)
{
	struct supervisor *s = d->s;
	char path[PATH_MAX + 32];
	const char *argv[] = { d->program, "-c", s->file, "--supervised",
		"--clock-offset-ms", s->offset, NULL };
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	snprintf(path, sizeof(path), "%s/%s", s->dir, d->program);
	if (control == ROLE_CONTROL_FD)
		fcntl(control, F_SETFD, 0);
	else if (dup2(control, ROLE_CONTROL_FD) < 0)
		_exit(127);
	syscall(SYS_close_range, ROLE_CONTROL_FD + 1, ~0u, 0);
	execv(path, (char *const *)(uintptr_t)argv);
	fprintf(stderr, "%s: %s\n", path, strerror(errno));
	_exit(127);
}

static void
start_daemon(struct daemon *d)
{
	struct supervisor *s = d->s;
	int sv[2];

	ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) == 0);
	d->pid = fork();
	ASSERT(d->pid >= 0);
	if (d->pid == 0)
		exec_daemon(d, sv[1]);
	close(sv[1]);
	d->started_ms = clock_mono_ms();
	d->pidfd = (int)syscall(SYS_pidfd_open, d->pid, 0);
	ASSERT(d->pidfd >= 0);
	d->watch = loop_fd_add(s->loop, d->pidfd, LOOP_READ, on_exit_of, d);
	d->chan = chan_new(s->loop, sv[0], 1u << 20, on_daemon,
	    on_daemon_close, d);
	for (size_t i = 0; i < ARRAY_LEN(s->daemons); i++) {
		struct daemon *o = &s->daemons[i];

		if (o == d)
			continue;
		for (unsigned r = 0; r < ROLE_COUNT; r++)
			for (unsigned k = 0; k < INDEX_MAX; k++)
				if (o->up[r][k])
					send_up(d, (enum role)r, k);
	}
}

static void
on_again(void *ctx)
{
	start_daemon(ctx);
}

static void
on_signal(void *ctx, unsigned events)
{
	struct supervisor *s = ctx;
	struct signalfd_siginfo si;

	(void)events;
	if (read(s->sigfd, &si, sizeof(si)) != sizeof(si))
		return;
	if (si.ssi_signo != SIGHUP) {
		log_info("stopping");
		stop_all(s);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(s->daemons); i++)
		if (s->daemons[i].chan != NULL && chan_send(
		    s->daemons[i].chan, MSG_RELOAD, slice_make("", 0), -1) != 0)
			log_error("reload: control channel is full");
}

static void
find_programs(struct supervisor *s)
{
	ssize_t n = readlink("/proc/self/exe", s->dir, sizeof(s->dir) - 1);
	char *slash;

	ASSERT(n > 0);
	s->dir[n] = '\0';
	slash = strrchr(s->dir, '/');
	ASSERT(slash != NULL);
	*slash = '\0';
}

static int
serve(const char *file, int64_t offset_ms, int ready_fd)
{
	struct supervisor *s = base_calloc(1, sizeof(*s));
	struct sandbox_promise promise = { .role = "supervisor" };
	struct err err = { 0 };
	sigset_t set;

	sandbox_harden_process();
	if (sandbox_enter_parent(&promise, &err) != 0) {
		fprintf(stderr, "portreeve serve: %s\n", err.text);
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	log_init("supervisor", LOG_LV_INFO);
	clock_set_offset_ms(offset_ms);
	s->file = file;
	s->ready_fd = ready_fd;
	snprintf(s->offset, sizeof(s->offset), "%lld", (long long)offset_ms);
	find_programs(s);
	s->loop = loop_new();
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s->sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	ASSERT(s->sigfd >= 0);
	s->sig_watch = loop_fd_add(s->loop, s->sigfd, LOOP_READ, on_signal, s);
	for (size_t i = 0; i < ARRAY_LEN(s->daemons); i++) {
		struct daemon *d = &s->daemons[i];

		d->s = s;
		d->program = programs[i].program;
		d->self = programs[i].self;
		d->pidfd = -1;
		d->again = loop_timer_new(s->loop, on_again, d);
		start_daemon(d);
	}
	loop_run(s->loop);
	return s->status;
}

int
cmd_serve(int argc, char **argv)
{
	static const struct option longopts[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "clock-offset-ms", required_argument, NULL, 'o' },
		{ "ready-fd", required_argument, NULL, 'r' },
		{ NULL, 0, NULL, 0 }
	};
	const char *file = getenv("PORTREEVE_CONFIG");
	int64_t offset = 0;
	int o, ready_fd = -1;

	while ((o = getopt_long(argc, argv, "c:", longopts, NULL)) != -1) {
		switch (o) {
		case 'c': file = optarg; break;
		case 'o': offset = strtoll(optarg, NULL, 10); break;
		case 'r': ready_fd = (int)strtol(optarg, NULL, 10); break;
		default: return 64;
		}
	}
	if (file == NULL) {
		fprintf(stderr, "portreeve serve: name the config: -c FILE\n");
		return 64;
	}
	return serve(file, offset, ready_fd);
}

int
cmd_check(int argc, char **argv)
{
	struct supervisor s;
	bool bad = false;

	if (argc != 2) {
		fprintf(stderr, "usage: portreeve check FILE\n");
		return 64;
	}
	find_programs(&s);
	for (size_t i = ARRAY_LEN(programs); i-- > 0;) {
		char path[PATH_MAX + 32];
		int status = 0;
		pid_t pid;

		snprintf(path, sizeof(path), "%s/%s", s.dir,
		    programs[i].program);
		fflush(stdout);
		pid = fork();
		if (pid == 0) {
			execl(path, programs[i].program, "--check", argv[1],
			    (char *)NULL);
			fprintf(stderr, "%s: %s\n", path, strerror(errno));
			_exit(127);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
			bad = true;
			break;	/* the next would say the same again */
		}
	}
	printf(bad ? "%s: refused\n" : "%s: ok\n", argv[1]);
	return bad;
}
