/* probe - see probe.h. */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base.h"
#include "log.h"

static int
try_open(const char *arg)
{
	return open(arg, O_RDONLY | O_CLOEXEC);
}

static int
try_create(const char *arg)
{
	return open(arg, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static int
try_exec(const char *arg)
{
	char *argv[] = { (char *)(uintptr_t)arg, NULL };

	return execv(arg, argv);
}

static int
try_fork(const char *arg)
{
	pid_t pid = fork();

	(void)arg;
	if (pid == 0)
		_exit(0);
	return pid;
}

static int
try_inet(const char *arg)
{
	(void)arg;
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int
try_unix(const char *arg)
{
	(void)arg;
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int
try_ptrace(const char *arg)
{
	(void)arg;
	return (int)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static int
try_wx(const char *arg)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)arg;
	return p == MAP_FAILED ? -1 : 1;
}

void
probe_run(const char *role)
{
	static const struct {
		const char *name;
		int (*fn)(const char *);
	} ops[] = { { "open", try_open }, { "create", try_create },
		{ "exec", try_exec }, { "fork", try_fork },
		{ "inet", try_inet }, { "unix", try_unix },
		{ "ptrace", try_ptrace }, { "wx", try_wx } };
	const char *env = getenv("PORTREEVE_PROBE");
	struct slice rest = slice_str(env);

	if (env == NULL || !slice_is(slice_cut(&rest, ':'), role))
		return;
	struct slice op = slice_cut(&rest, ':');
	char *arg = slice_dup(rest);

	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		if (!slice_is(op, ops[i].name))
			continue;
		log_info("probe %s %s: trying", ops[i].name, arg);
		errno = 0;
		int r = ops[i].fn(arg);

		log_info("probe %s %s: result %s errno %d", ops[i].name, arg,
		    r < 0 ? "refused" : "ALLOWED", errno);
	}
	free(arg);
}
