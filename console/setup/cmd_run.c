/*
 * cmd_run - portreeve run -- CMD: a session for one command. Opens it, gives
 * the command its environment (a token, the proxy, CA files in a private
 * folder), closes it and removes the folder when the command has ended.
 *
 * If this process is killed the session ends by its own time (--for).
 */
#include "console/setup/setup.h"
#include "console/setup/onramp.h"
#include "console/op.h"

#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OPT_USER = CLI_OPT_OWN, OPT_AGENT, OPT_TASK, OPT_DEPARTMENT,
	OPT_TRUST, OPT_FOR, OPT_CA, OPT_ADDRESS, OPT_NO_PROXY };

static const struct option longs[] = {
	CLI_LONG,
	{ "user", required_argument, NULL, OPT_USER },
	{ "agent", required_argument, NULL, OPT_AGENT },
	{ "task", required_argument, NULL, OPT_TASK },
	{ "department", required_argument, NULL, OPT_DEPARTMENT },
	{ "trust", required_argument, NULL, OPT_TRUST },
	{ "for", required_argument, NULL, OPT_FOR },
	{ "ca", required_argument, NULL, OPT_CA },
	{ "address", required_argument, NULL, OPT_ADDRESS },
	{ "no-proxy", required_argument, NULL, OPT_NO_PROXY },
	{ 0 }
};

static const char usage[] =
    "[--user U] [--agent A] [--for 1h] [--task T]\n"
    "           [--department D] [--trust manual|supervised|autonomous]\n"
    "           [--ca FILE] [--address HOST:PORT] [--no-proxy LIST]"
    " -- CMD [ARG...]";

struct options {
	struct cli cli;
	const char *user, *agent, *task, *department, *trust, *ca, *address,
	    *no_proxy;
	int64_t for_ms;
	char **cmd;
};

extern char **environ;

static volatile sig_atomic_t child_pid;

static void
pass_on(int sig)
{
	if (child_pid > 0)
		kill((pid_t)child_pid, sig);
}

/* What a program's name is as an agent's: "/usr/bin/Claude" -> "claude". */
static void
agent_of(const char *cmd, char out[64])
{
	const char *base = strrchr(cmd, '/');
	size_t n = 0;

	for (base = base == NULL ? cmd : base + 1; *base != '\0' && n < 63;
	    base++) {
		char c = *base;

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		out[n++] = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ?
		    c : '-';
	}
	out[n] = '\0';
}

static int
open_session(const struct options *o, const char *user, const char *agent,
    char token[256], char id[64])
{
	struct op op;
	int rc;

	op_begin(&op, "session.open");
	op_put(&op, "user", user);
	op_put(&op, "agent", agent);
	op_put(&op, "task", o->task);
	op_put(&op, "department", o->department);
	op_put(&op, "trust", o->trust);
	jsonw_int(&op.w, "for_ms", o->for_ms);
	if ((rc = op_ask(&op, &o->cli)) == CLI_OK) {
		const char *t = op_str(&op, 0, "token");
		const char *s = op_str(&op, 0, "session");

		snprintf(token, 256, "%s", t == NULL ? "" : t);
		snprintf(id, 64, "%s", s == NULL ? "" : s);
	}
	op_end(&op);
	return rc;
}

static int
close_session(const struct options *o, const char *id)
{
	struct op op;
	int rc;

	op_begin(&op, "session.close");
	op_put(&op, "session", id);
	op_put(&op, "reason", "its command has ended");
	rc = op_ask(&op, &o->cli);
	op_end(&op);
	return rc;
}

static void
set_environment(const struct onramp *ramp, const char *token)
{
	const char *name;
	struct buf value;
	char url[128];
	bool has;

	buf_init(&value, 65536);
	for (unsigned i = 0; (name = onramp_variable(ramp, ONRAMP_GENERIC, i,
	    token, &value, &has)) != NULL; i++)
		if (has)
			setenv(name, buf_data(&value), 1);
	buf_wipe_free(&value);
	setenv(ONRAMP_TOKEN, token, 1);
	if (ramp->mount != NULL) {
		snprintf(url, sizeof(url), "http://%s", ramp->mount);
		setenv("PORTREEVE_MOUNT", url, 1);
	}
}

/* The command's exit code, as a shell would tell it. */
static int
run(char **cmd)
{
	struct sigaction sa = { .sa_handler = pass_on };
	static const int passed[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	sigset_t all, old;
	int status = 0, e;
	pid_t pid;

	/* Not between the child's start and its number being known. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	posix_spawnattr_t attr;

	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &old);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	e = posix_spawnp(&pid, cmd[0], NULL, &attr, cmd, environ);
	posix_spawnattr_destroy(&attr);
	if (e == 0) {
		child_pid = pid;
		for (size_t i = 0; i < ARRAY_LEN(passed); i++)
			sigaction(passed[i], &sa, NULL);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (e != 0) {
		cli_error("%s: %s", cmd[0], strerror(e));
		return e == ENOENT ? 127 : 126;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	child_pid = 0;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) :
	    WEXITSTATUS(status);
}

static int
in_session(const struct options *o, struct onramp *ramp, const char *dir)
{
	struct passwd *pw = o->user == NULL ? getpwuid(geteuid()) : NULL;
	const char *user = pw != NULL ? pw->pw_name : o->user;
	char agent[64], token[256], id[64];
	int rc, end;

	if (user == NULL) {
		cli_error("this account has no name: give --user");
		return CLI_USAGE;
	}
	agent_of(o->cmd[0], agent);
	if ((rc = onramp_files(ramp, dir, o->ca)) != CLI_OK ||
	    (rc = open_session(o, user, o->agent != NULL ? o->agent : agent,
	    token, id)) != CLI_OK)
		return rc;
	fprintf(stderr, "portreeve: session %s, user %s, agent %s\n", id,
	    cli_clean(user), cli_clean(o->agent != NULL ? o->agent : agent));
	set_environment(ramp, token);
	explicit_bzero(token, sizeof(token));
	rc = run(o->cmd);
	end = close_session(o, id);
	/* A session that stays open is worth an error of its own. */
	return rc == 0 ? end : rc;
}

static int
start(const struct options *o, struct onramp *ramp)
{
	const char *tmp = getenv("XDG_RUNTIME_DIR");
	char dir[4096];
	int rc;

	if (o->address != NULL)
		onramp_set_proxy(ramp, o->address);
	if (o->no_proxy != NULL)
		onramp_set_no_proxy(ramp, o->no_proxy);
	if (ramp->proxy == NULL) {
		cli_error("the configuration has no `explicit:` listener");
		return CLI_FAILED;
	}
	if (tmp == NULL || tmp[0] != '/' || access(tmp, W_OK) != 0)
		tmp = getenv("TMPDIR");
	if (tmp == NULL || tmp[0] != '/')
		tmp = "/tmp";
	snprintf(dir, sizeof(dir), "%s/portreeve-run.XXXXXX", tmp);
	if (mkdtemp(dir) == NULL) {
		cli_error("%s: %s", dir, strerror(errno));
		return CLI_FAILED;
	}
	rc = in_session(o, ramp, dir);
	onramp_files_remove(ramp);
	if (rmdir(dir) != 0)
		cli_error("%s: %s", dir, strerror(errno));
	return rc;
}

static int
read_options(int argc, char **argv, struct options *o)
{
	int opt;

	cli_init(&o->cli, "run");
	optind = 1;
	while ((opt = getopt_long(argc, argv, CLI_SHORT, longs, NULL)) != -1) {
		if (cli_option(&o->cli, opt))
			continue;
		switch (opt) {
		case OPT_USER: o->user = optarg; break;
		case OPT_AGENT: o->agent = optarg; break;
		case OPT_TASK: o->task = optarg; break;
		case OPT_DEPARTMENT: o->department = optarg; break;
		case OPT_TRUST: o->trust = optarg; break;
		case OPT_CA: o->ca = optarg; break;
		case OPT_ADDRESS: o->address = optarg; break;
		case OPT_NO_PROXY: o->no_proxy = optarg; break;
		case OPT_FOR:
			if ((o->for_ms = cli_duration("--for", optarg)) < 0)
				return CLI_USAGE;
			break;
		default:
			return cli_usage(&o->cli, usage);
		}
	}
	o->cmd = argv + optind;
	return o->cli.help || o->cmd[0] == NULL ? cli_usage(&o->cli, usage) :
	    -1;
}

int
cmd_run(int argc, char **argv)
{
	struct options o = { .for_ms = 3600000 };
	struct onramp ramp;
	int rc = read_options(argc, argv, &o);

	if (rc >= 0)
		return rc;
	if ((rc = onramp_open(&ramp, &o.cli)) == CLI_OK)
		rc = start(&o, &ramp);
	onramp_close(&ramp);
	return rc;
}
