/*
 * stdio_server - the server's process: started as the gateway said it may be,
 * its lines told apart from noise, started again when it dies, ended.
 */
#include "console/stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "confine.h"
#include "err.h"
#include "log.h"

#define IN_MAX (16u << 20)
#define ERR_A_SECOND (64u << 10)	/* of its standard error */
#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 5000
#define GOOD_LIFE_MS 10000
#define TERM_AFTER_MS 500
#define KILL_AFTER_MS 2000
#define NOISE_MS 1000
#define NO_EXEC 126

/* --- starting -------------------------------------------------------------------- */

static const char *const env_names[] = { "HOME", "LOGNAME", "PATH", "SHELL",
	"TERM", "USER", "LANG" };

static char **
make_env(const struct terms *t)
{
	size_t n = 0;
	char **env = base_calloc(ARRAY_LEN(env_names) + t->env.n + 1,
	    sizeof(*env));

	for (size_t i = 0; i < ARRAY_LEN(env_names) + t->env.n; i++) {
		const char *name = i < ARRAY_LEN(env_names) ? env_names[i] :
		    t->env.v[i - ARRAY_LEN(env_names)];
		const char *value = getenv(name);
		struct buf b;

		if (value == NULL)
			continue;
		buf_init(&b, 1u << 20);
		if (buf_addf(&b, "%s=%s", name, value) == 0)
			env[n++] = base_strndup(buf_data(&b), b.len);
		buf_free(&b);
	}
	return env;
}

static void
free_env(char **env)
{
	for (char **p = env; *p != NULL; p++)
		free(*p);
	free(env);
}

/* Whose descriptors these are: the server's standard ones. */
struct ends {
	int in, out, err;
};

static void
child_fail(const char *why)
{
	fprintf(stderr, "portreeve: the server is not started: %s\n", why);
	_exit(NO_EXEC);
}

static void
child_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
}

static void
child_main(struct shim *s, const struct ends *e, const char *folder,
    char **env, pid_t parent)
{
	const struct terms *t = &s->terms;
	const char **write = base_calloc(t->allow.n + 2, sizeof(*write));
	struct confine c = { .exe = s->exe, .write = write,
		.read = (const char *const *)t->read.v,
		.network = t->network };
	struct err err = { 0 };

	if (dup2(e->in, 0) < 0 || dup2(e->out, 1) < 0 || dup2(e->err, 2) < 0)
		child_fail(strerror(errno));
	child_signals();
	setsid();
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
		child_fail("its shim has gone");
	write[0] = folder;
	for (size_t i = 0; i < t->allow.n; i++)
		write[i + 1] = t->allow.v[i];
	if (chdir(folder) != 0)
		child_fail(folder);
	if (confine_enter(&c, &err) != 0)
		child_fail(err.text);
	/* What was measured is what runs; an interpreter opens a script
	 * again, by its name. */
	if (s->script)
		execve(s->exe_path, s->command, env);
	else
		syscall(SYS_execveat, s->exe, "", s->command, env,
		    AT_EMPTY_PATH);
	child_fail(strerror(errno));
}

/* Where it runs and may write. NULL and a reason: nowhere. */
static const char *
folder_of(const struct shim *s, char *own, size_t n, const char **why_r)
{
	const char *home = getenv("HOME");
	char real[4096];

	if (s->terms.directory[0] != '\0')
		return s->terms.directory;
	*why_r = "its folder is the home folder, or /: give the connector "
	    "a directory:";
	if (getcwd(own, n) == NULL || strcmp(own, "/") == 0)
		return NULL;
	if (home != NULL && realpath(home, real) != NULL &&
	    strcmp(real, own) == 0)
		return NULL;
	return own;
}

static bool
same_file(const struct shim *s)
{
	const struct stat *a = &s->exe_stat;
	struct stat b;

	return fstat(s->exe, &b) == 0 && a->st_ino == b.st_ino &&
	    a->st_dev == b.st_dev && a->st_size == b.st_size &&
	    a->st_mtim.tv_sec == b.st_mtim.tv_sec &&
	    a->st_mtim.tv_nsec == b.st_mtim.tv_nsec &&
	    a->st_ctim.tv_sec == b.st_ctim.tv_sec &&
	    a->st_ctim.tv_nsec == b.st_ctim.tv_nsec;
}

static void on_exit_event(void *ctx, unsigned events);
static void on_out(void *ctx, unsigned events);
static void on_err(void *ctx, unsigned events);
static void on_in(void *ctx, unsigned events);

static void
watch_server(struct shim *s)
{
	struct server *v = &s->server;

	v->pidfd = (int)syscall(SYS_pidfd_open, v->pid, 0);
	ASSERT(v->pidfd >= 0);
	v->exit_watch = loop_fd_add(s->loop, v->pidfd, LOOP_READ,
	    on_exit_event, s);
	v->in_watch = loop_fd_add(s->loop, v->in_fd, 0, on_in, s);
	v->out_watch = loop_fd_add(s->loop, v->out_fd, LOOP_READ, on_out, s);
	v->err_watch = loop_fd_add(s->loop, v->err_fd, LOOP_READ, on_err, s);
}

static int
spawn(struct shim *s, const char *folder)
{
	struct server *v = &s->server;
	int in[2], out[2], er[2];
	char **env;
	pid_t self = getpid();

	if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0 ||
	    pipe2(er, O_CLOEXEC) != 0) {
		log_error("pipe: %s", strerror(errno));
		return -1;
	}
	env = make_env(&s->terms);
	v->pid = fork();
	if (v->pid == 0) {
		struct ends e = { in[0], out[1], er[1] };

		child_main(s, &e, folder, env, self);
	}
	free_env(env);
	close(in[0]);
	close(out[1]);
	close(er[1]);
	v->in_fd = in[1];
	v->out_fd = out[0];
	v->err_fd = er[0];
	if (v->pid < 0) {
		log_error("fork: %s", strerror(errno));
		v->pid = 0;
		base_close(&v->in_fd);
		base_close(&v->out_fd);
		base_close(&v->err_fd);
		return -1;
	}
	fcntl(v->in_fd, F_SETFL, O_NONBLOCK);
	fcntl(v->out_fd, F_SETFL, O_NONBLOCK);
	fcntl(v->err_fd, F_SETFL, O_NONBLOCK);
	watch_server(s);
	return 0;
}

static void
add_in(struct server *v, struct buf *b, struct slice json)
{
	shim_add_line(b, json);
	if (b == &v->in && v->in_watch != NULL)
		loop_fd_set(v->in_watch, LOOP_WRITE);
}

void
server_start(struct shim *s)
{
	struct server *v = &s->server;
	char own[4096], pid[64];
	const char *why = "the executable has changed since it was measured: "
	    "start portreeve stdio again", *folder = NULL;

	if (v->pid != 0 || s->ending)
		return;
	if (!same_file(s) || (folder = folder_of(s, own, sizeof(own),
	    &why)) == NULL) {
		log_error("the server is not started: %s", why);
		shim_gate_down(s, why);
		return;
	}
	v->began_ms = clock_mono_ms();
	lines_free(&v->lines);
	lines_init(&v->lines, s->terms.body * 4);
	if (spawn(s, folder) != 0) {
		loop_timer_set(v->again, BACKOFF_MAX_MS);
		return;
	}
	loop_timer_set(v->quiet, NOISE_MS);
	snprintf(pid, sizeof(pid), "pid %d, start %u", v->pid, ++v->starts);
	wire_note(s, "started", pid);
	/* A server that is started again knows nothing of its client. */
	v->replaying = v->hello != NULL && v->starts > 1;
	if (v->replaying)
		add_in(v, &v->in, slice_str(v->hello));
}

static void
on_again(void *ctx)
{
	server_start(ctx);
}

/* --- its end ------------------------------------------------------------------------ */

static void
close_server(struct server *v)
{
	loop_fd_del(v->exit_watch);
	loop_fd_del(v->in_watch);
	loop_fd_del(v->out_watch);
	loop_fd_del(v->err_watch);
	v->exit_watch = v->in_watch = v->out_watch = v->err_watch = NULL;
	base_close(&v->pidfd);
	base_close(&v->in_fd);
	base_close(&v->out_fd);
	base_close(&v->err_fd);
	buf_reset(&v->in);
	buf_reset(&v->held);
}

static void
on_exit_event(void *ctx, unsigned events)
{
	struct shim *s = ctx;
	struct server *v = &s->server;
	siginfo_t si = { 0 };
	char how[64];

	(void)events;
	if (waitid(P_PID, (id_t)v->pid, &si, WEXITED | WNOHANG) != 0 ||
	    si.si_pid == 0)
		return;
	on_out(s, LOOP_READ);	/* its last words */
	on_err(s, LOOP_READ);
	kill(-v->pid, SIGKILL);	/* what it left of its own */
	v->pid = 0;
	close_server(v);
	if (s->ending) {
		shim_over(s);
		return;
	}
	snprintf(how, sizeof(how), "%s %d", si.si_code == CLD_EXITED ?
	    "exit status" : "signal", si.si_status);
	log_warn("the server ended: %s", how);
	wire_note(s, "ended", how);
	wire_close_lanes(s);
	v->backoff_ms = clock_mono_ms() - v->began_ms > GOOD_LIFE_MS ? 0 :
	    v->backoff_ms == 0 ? BACKOFF_MIN_MS : v->backoff_ms * 2;
	if (v->backoff_ms > BACKOFF_MAX_MS)
		v->backoff_ms = BACKOFF_MAX_MS;
	loop_timer_set(v->again, v->backoff_ms);
}

static void
on_stop(void *ctx)
{
	struct shim *s = ctx;
	struct server *v = &s->server;

	if (v->pid == 0)
		return;
	kill(-v->pid, v->stops == 0 ? SIGTERM : SIGKILL);
	kill(v->pid, v->stops++ == 0 ? SIGTERM : SIGKILL);
	loop_timer_set(v->stop, KILL_AFTER_MS);
}

void
server_stop(struct shim *s)
{
	struct server *v = &s->server;

	loop_timer_stop(v->again);
	if (v->pid == 0) {
		shim_over(s);
		return;
	}
	loop_fd_del(v->in_watch);
	v->in_watch = NULL;
	base_close(&v->in_fd);
	loop_timer_set(v->stop, TERM_AFTER_MS);
}

/* --- to it ----------------------------------------------------------------------------- */

static void
on_in(void *ctx, unsigned events)
{
	struct shim *s = ctx;
	struct server *v = &s->server;

	if ((events & LOOP_ERR) && v->in_watch != NULL) {
		loop_fd_del(v->in_watch);	/* it reads no more */
		v->in_watch = NULL;
		return;
	}
	while (v->in.len > 0) {
		ssize_t k = write(v->in_fd, buf_data(&v->in), v->in.len);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			break;
		buf_consume(&v->in, (size_t)k);
	}
	loop_fd_set(v->in_watch, v->in.len > 0 ? LOOP_WRITE : 0);
}

static void
remember(struct server *v, struct slice json, const struct mcp_message *m)
{
	if (slice_is(m->method, "initialize")) {
		free(v->hello);
		free(v->hello_id);
		v->hello = slice_dup(json);
		v->hello_id = slice_dup(m->id);
	} else if (slice_is(m->method, "notifications/initialized")) {
		free(v->ready);
		v->ready = slice_dup(json);
	}
}

int
server_send(struct shim *s, struct slice json, const struct mcp_message *m)
{
	struct server *v = &s->server;

	if (v->pid == 0 || v->in_watch == NULL)
		return -1;
	if (v->in.len + v->held.len + json.n + 1 > IN_MAX) {
		log_error("the server does not read what it is sent");
		return -1;
	}
	remember(v, json, m);
	add_in(v, v->replaying ? &v->held : &v->in, json);
	return 0;
}

/* --- from it ------------------------------------------------------------------------------ */

static void
on_quiet(void *ctx)
{
	struct shim *s = ctx;
	struct server *v = &s->server;
	char text[128];

	v->err_left = ERR_A_SECOND;
	if (v->err_dropped > 0)
		fprintf(stderr, "portreeve: %zu bytes of the server's "
		    "standard error are left out\n", v->err_dropped);
	v->err_dropped = 0;
	if (v->noise > 0) {
		snprintf(text, sizeof(text), "%zu bytes on standard output "
		    "that are no message for anybody were dropped", v->noise);
		log_warn("the server: %s", text);
		wire_note(s, "noise", text);
	}
	v->noise = 0;
	if (v->pid != 0)
		loop_timer_set(v->quiet, NOISE_MS);
}

static void
noise(struct server *v, size_t n)
{
	v->noise += n;
}

/* The answer to the initialize that was sent again is the shim's own. */
static bool
replayed(struct shim *s, const struct mcp_message *m)
{
	struct server *v = &s->server;

	if (!v->replaying)
		return false;
	if (m->kind != MCP_RESPONSE || !slice_is(m->id, v->hello_id))
		return true;
	v->replaying = false;
	if (v->ready != NULL)
		add_in(v, &v->in, slice_str(v->ready));
	if (v->held.len > 0 && buf_add_slice(&v->in,
	    buf_slice(&v->held)) == 0)
		loop_fd_set(v->in_watch, LOOP_WRITE);
	buf_reset(&v->held);
	return true;
}

static void
server_line(struct shim *s, struct slice line)
{
	struct mcp_message m;

	if (json_index(&s->doc, line, NULL) != JSON_OK) {
		noise(&s->server, line.n);
		return;
	}
	mcp_read(&s->doc, 0, &m);
	if (m.kind == MCP_INVALID || m.kind == MCP_BATCH)
		noise(&s->server, line.n);
	else if (!replayed(s, &m) &&
	    !wire_from_server(s, line, &m) && m.kind != MCP_RESPONSE)
		noise(&s->server, line.n);
}

static void
on_out(void *ctx, unsigned events)
{
	struct shim *s = ctx;
	struct server *v = &s->server;
	static char chunk[65536];

	(void)events;
	for (int i = 0; i < 64 && v->out_fd >= 0; i++) {
		ssize_t k = read(v->out_fd, chunk, sizeof(chunk));
		struct slice in = { chunk, k > 0 ? (size_t)k : 0 }, line;
		enum lines_result r;

		if (k < 0 && errno == EINTR)
			continue;
		if (k == 0) {
			loop_fd_del(v->out_watch);	/* its end tells */
			v->out_watch = NULL;
		}
		if (k <= 0)
			return;
		while ((r = lines_next(&v->lines, &in, &line)) != LINES_MORE)
			if (r == LINES_LINE) {
				server_line(s, line);
			} else {
				/* Whose answer it was cannot be said. */
				noise(v, v->lines.max);
				wire_close_lanes(s);
			}
	}
}

static void
on_err(void *ctx, unsigned events)
{
	struct shim *s = ctx;
	struct server *v = &s->server;
	char chunk[4096];

	(void)events;
	for (int i = 0; i < 64 && v->err_fd >= 0; i++) {
		ssize_t k = read(v->err_fd, chunk, sizeof(chunk));
		size_t n = k > 0 ? (size_t)k : 0;

		if (k < 0 && errno == EINTR)
			continue;
		if (k == 0) {
			loop_fd_del(v->err_watch);
			v->err_watch = NULL;
		}
		if (k <= 0)
			return;
		if (n > v->err_left) {
			v->err_dropped += n - v->err_left;
			n = v->err_left;
		}
		v->err_left -= n;
		(void)fwrite(chunk, 1, n, stderr);
	}
}

void
server_init(struct shim *s)
{
	struct server *v = &s->server;

	v->pidfd = v->in_fd = v->out_fd = v->err_fd = -1;
	v->err_left = ERR_A_SECOND;
	buf_init(&v->in, IN_MAX * 2);
	buf_init(&v->held, IN_MAX);
	lines_init(&v->lines, 0);
	v->again = loop_timer_new(s->loop, on_again, s);
	v->stop = loop_timer_new(s->loop, on_stop, s);
	v->quiet = loop_timer_new(s->loop, on_quiet, s);
}

void
server_free(struct shim *s)
{
	struct server *v = &s->server;

	close_server(v);
	buf_free(&v->in);
	buf_free(&v->held);
	lines_free(&v->lines);
	loop_timer_del(v->again);
	loop_timer_del(v->stop);
	loop_timer_del(v->quiet);
	free(v->hello);
	free(v->hello_id);
	free(v->ready);
}
