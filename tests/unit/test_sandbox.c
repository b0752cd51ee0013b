/*
 * lib/sys/sandbox: a child per right makes its promise and tries one thing.
 * What is forbidden ends it by SIGSYS, or is refused by Landlock. In builds
 * with sanitizers the filter has more calls and there is no Landlock: what
 * depends on that is tried in the release build only.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox.h"

enum { OK = 10, REFUSED, NO_PROMISE };
#define KILLED (256 + SIGSYS)

static char dir[] = "/tmp/pr-sandbox-XXXXXX";
static int dir_fd, listener, any_port;
static bool landlock;
static pid_t parent;	/* getppid() is no call of a role */

typedef int try_fn(void);

static int
answer(int r)
{
	return r >= 0 ? OK : REFUSED;
}

static int
try_nothing(void)
{
	return OK;
}

static int
try_memory(void)
{
	char *p = malloc(1 << 20);

	if (p == NULL)
		return REFUSED;
	memset(p, 1, 1 << 20);
	free(p);
	return OK;
}

static int
try_open_in(void)
{
	return answer(openat(dir_fd, "file", O_RDONLY | O_CLOEXEC));
}

static int
try_write_in(void)
{
	return answer(openat(dir_fd, "new", O_WRONLY | O_CREAT | O_CLOEXEC,
	    0600));
}

static int
try_open_out(void)
{
	return answer(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static int
try_inet(void)
{
	return answer(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int
try_unix(void)
{
	return answer(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int
try_netlink(void)
{
	return answer(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0));
}

static int
try_accept(void)
{
	int r = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	return r >= 0 || errno == EAGAIN ? OK : REFUSED;
}

static int
try_listen(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	/* A child before may have bound the same socket. */
	int r = bind(any_port, (struct sockaddr *)&sin, sizeof(sin));

	return r == 0 || errno == EINVAL ? answer(listen(any_port, 1)) :
	    REFUSED;
}

static int
try_fork(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(0);
	return pid > 0 && waitpid(pid, &status, 0) == pid ? OK : REFUSED;
}

static int
try_exec(void)
{
	char *argv[] = { (char *)(uintptr_t)"true", NULL };

	execv("/bin/true", argv);
	return REFUSED;
}

static int
try_kill(void)
{
	return answer(kill(parent, 0));
}

static int
try_memfd(void)
{
	return answer(memfd_create("x", MFD_CLOEXEC));
}

static int
try_ptrace(void)
{
	return answer((int)ptrace(PTRACE_ATTACH, parent, NULL, NULL));
}

static int
try_wx(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? REFUSED : OK;
}

static int
try_make_exec(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE |
	    MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED || mprotect(p, 4096, PROT_READ | PROT_EXEC)
	    != 0 ? REFUSED : OK;
}

static int
try_mount(void)
{
	return answer(unshare(CLONE_NEWNS));
}

static int
try_setuid(void)
{
	return answer(setuid(0));
}

static int
try_no_new_privs(void)
{
	/* Only the sanitized table has prctl: asked of /proc elsewhere. */
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? OK : REFUSED;
}

/* OK, REFUSED or KILLED. */
static int
child(unsigned rights, bool with_dir, bool write, try_fn *fn)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct sandbox_promise p = { .role = "test", .rights = rights,
			.best_effort = true };
		struct err err = { 0 };
		int null = open("/dev/null", O_WRONLY);

		dup2(null, STDERR_FILENO);
		if (with_dir)
			p.dirs[p.ndirs++] = (struct sandbox_dir){ dir_fd,
				write };
		sandbox_harden_process();
		if (sandbox_enter(&p, &err) != 0)
			_exit(NO_PROMISE);
		_exit(fn());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? 256 + WTERMSIG(status) :
	    WEXITSTATUS(status);
}

static void
test_rights(void **st)
{
	static const struct {
		const char *name;
		try_fn *fn;
		unsigned right;		/* with it: OK */
		bool release;		/* only there is it forbidden */
	} cases[] = {
		{ "nothing", try_nothing, 0, false },
		{ "memory", try_memory, 0, false },
		{ "inet", try_inet, SANDBOX_INET, false },
		{ "accept", try_accept, SANDBOX_ACCEPT, false },
		{ "accept to listen", try_accept, SANDBOX_LISTEN, false },
		{ "bind", try_listen, SANDBOX_LISTEN, false },
		{ "open", try_open_in, SANDBOX_FILES, true },
		{ "fork", try_fork, SANDBOX_SPAWN, true },
		{ "kill", try_kill, SANDBOX_SPAWN, false },
		{ "memfd", try_memfd, SANDBOX_MEMFD, false },
	};

	(void)st;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		unsigned right = cases[i].right;
		int r = child(right, true, false, cases[i].fn);

		if (r != OK)
			fail_msg("%s with its right: %d", cases[i].name, r);
		if (right == 0 || (cases[i].release &&
		    sandbox_is_sanitized()))
			continue;
		unsigned others = (63 & ~right);

		/* Listening is accepting. */
		if (cases[i].fn == try_accept)
			others &= ~(unsigned)(SANDBOX_ACCEPT | SANDBOX_LISTEN);
		r = child(others, true, false, cases[i].fn);
		if (r != KILLED)
			fail_msg("%s with all other rights: %d",
			    cases[i].name, r);
	}
}

static void
test_never(void **st)
{
	static const struct {
		const char *name;
		try_fn *fn;
		bool release;
	} cases[] = { { "unix", try_unix, false },
		{ "netlink", try_netlink, false },
		{ "ptrace", try_ptrace, true }, { "wx", try_wx, true },
		{ "mprotect", try_make_exec, true },
		{ "unshare", try_mount, false },
		{ "setuid", try_setuid, false } };

	(void)st;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (cases[i].release && sandbox_is_sanitized())
			continue;
		int r = child(63, true, true, cases[i].fn);

		if (r != KILLED)
			fail_msg("%s with every right: %d", cases[i].name, r);
	}
	if (sandbox_is_sanitized())
		assert_int_equal(child(0, false, false, try_no_new_privs),
		    OK);
}

static void
test_files(void **st)
{
	(void)st;
	if (!landlock || sandbox_is_sanitized())
		skip();
	assert_int_equal(child(SANDBOX_FILES, true, false, try_open_in), OK);
	assert_int_equal(child(SANDBOX_FILES, true, false, try_write_in),
	    REFUSED);
	assert_int_equal(child(SANDBOX_FILES, true, true, try_write_in), OK);
	assert_int_equal(child(SANDBOX_FILES, true, true, try_open_out),
	    REFUSED);
	assert_int_equal(child(SANDBOX_FILES, false, false, try_open_in),
	    REFUSED);
	/* The right to spawn is no right to execute outside of the folders. */
	assert_int_equal(child(SANDBOX_SPAWN, true, true, try_exec),
	    REFUSED);
}

static int
parent_child(try_fn *fn)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct sandbox_promise p = { .role = "parent" };
		struct err err = { 0 };

		if (sandbox_enter_parent(&p, &err) != 0)
			_exit(NO_PROMISE);
		_exit(fn());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? 256 + WTERMSIG(status) :
	    WEXITSTATUS(status);
}

static void
test_parent(void **st)
{
	(void)st;
	assert_int_equal(parent_child(try_fork), OK);
	assert_int_equal(parent_child(try_inet), OK);
	assert_int_equal(parent_child(try_unix), OK);
	assert_int_equal(parent_child(try_listen), OK);
	assert_int_equal(parent_child(try_open_out), OK);
	assert_int_equal(parent_child(try_exec), 0);
	assert_int_equal(parent_child(try_mount), KILLED);
	if (!sandbox_is_sanitized())
		assert_int_equal(parent_child(try_ptrace), KILLED);
}

static void
test_user(void **st)
{
	struct err err = { 0 };

	(void)st;
	assert_int_equal(sandbox_drop_user(NULL, &err), 0);
	assert_int_equal(sandbox_drop_user("", &err), 0);
	if (geteuid() != 0) {
		/* Not root: there is nothing to drop. */
		assert_int_equal(sandbox_drop_user("nobody", &err), 0);
		return;
	}
	assert_int_equal(sandbox_drop_user("no-such-user-here", &err), -1);
	assert_non_null(strstr(err.text, "does not exist"));
	err.set = false;
	assert_int_equal(sandbox_drop_user("root", &err), -1);
	assert_non_null(strstr(err.text, "is root"));
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		err.set = false;
		if (sandbox_drop_user("nobody", &err) != 0)
			_exit(1);
		_exit(geteuid() == 0 || getuid() == 0 || getgid() == 0 ||
		    getgroups(0, NULL) != 0 || setuid(0) == 0 ||
		    prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0 ? 2 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void
test_harden(void **st)
{
	int status;
	pid_t pid = fork();

	(void)st;
	if (pid == 0) {
		struct rlimit rl;

		sandbox_harden_process();
		_exit(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0 ||
		    getrlimit(RLIMIT_CORE, &rl) != 0 || rl.rlim_max != 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int
setup(void **st)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd;

	(void)st;
	parent = getpid();
	if (mkdtemp(dir) == NULL)
		return -1;
	dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd = openat(dir_fd, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	close(fd);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	    0);
	any_port = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (struct sockaddr *)&sin, sizeof(sin)) != 0 ||
	    listen(listener, 1) != 0)
		return -1;
	/* The number of the version call is the same on all machines. */
	landlock = syscall(444, NULL, 0, 1) >= 1;
	return 0;
}

static int
teardown(void **st)
{
	(void)st;
	unlinkat(dir_fd, "file", 0);
	unlinkat(dir_fd, "new", 0);
	rmdir(dir);
	close(dir_fd);
	close(listener);
	close(any_port);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rights),
		cmocka_unit_test(test_never),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_parent),
		cmocka_unit_test(test_user),
		cmocka_unit_test(test_harden),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
