/*
 * lib/sys/confine: children that are confined and try one thing each. In builds
 * with sanitizers too: the child does little after it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confine.h"

enum { OK = 10, REFUSED, NO_CONFINE };

static char top[] = "/tmp/pr-confine-XXXXXX";
static char own[64], more[64], other[64];
static int server, port, exe;

typedef int try_fn(void);

static int
answer(bool ok)
{
	return ok ? OK : errno == EACCES || errno == EPERM ||
	    errno == ENETUNREACH ? REFUSED : 0;
}

static int
open_at(const char *folder, const char *name, int flags)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return answer(open(path, flags, 0600) >= 0);
}

static int
own_write(void)
{
	return open_at(own, "new", O_WRONLY | O_CREAT);
}

static int
more_read(void)
{
	return open_at(more, "file", O_RDONLY);
}

static int
more_write(void)
{
	return open_at(more, "file", O_WRONLY);
}

static int
other_read(void)
{
	return open_at(other, "file", O_RDONLY);
}

static int
system_read(void)
{
	return answer(open("/etc/hosts", O_RDONLY) >= 0);
}

static int
system_write(void)
{
	return answer(open("/etc/portreeve-test", O_WRONLY | O_CREAT,
	    0600) >= 0);
}

static int
null_write(void)
{
	return answer(open("/dev/null", O_WRONLY) >= 0);
}

static int
execute(void)
{
	char *argv[] = { (char *)(uintptr_t)"true", NULL }, *env[] = { NULL };

	if (fork() == 0) {
		syscall(SYS_execveat, exe, "", argv, env, AT_EMPTY_PATH);
		_exit(1);
	}
	int status = 0;

	wait(&status);
	return status == 0 ? OK : REFUSED;
}

static int
reach(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return answer(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
}

static int
reach_metadata(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_port = htons(80) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	inet_pton(AF_INET, "169.254.169.254", &a.sin_addr);
	return answer(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
}

static int
trace(void)
{
	return answer(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
}

static int
namespace(void)
{
	return answer(unshare(CLONE_NEWUSER) == 0);
}

static int
become_other(void)
{
	if (geteuid() != 0)
		return REFUSED;
	return answer(setuid(65534) == 0);
}

static int
privileges(void)
{
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? OK : REFUSED;
}

static int
child(try_fn *fn, bool network)
{
	const char *read[] = { more, NULL }, *write[] = { own, NULL };
	struct confine c = { .exe = exe, .read = read, .write = write,
		.network = network };
	struct err err = { 0 };
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (confine_enter(&c, &err) != 0) {
			fprintf(stderr, "%s\n", err.text);
			_exit(NO_CONFINE);
		}
		_exit(fn());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
test_tries(void **st)
{
	static const struct {
		try_fn *fn;
		bool network;
		int want;
	} cases[] = {
		{ own_write, false, OK }, { more_read, false, OK },
		{ more_write, false, REFUSED }, { other_read, false, REFUSED },
		{ system_read, false, OK }, { system_write, false, REFUSED },
		{ null_write, false, OK }, { execute, false, OK },
		{ reach, false, REFUSED }, { reach, true, OK },
		{ reach_metadata, false, REFUSED },
		{ trace, true, REFUSED }, { namespace, true, REFUSED },
		{ become_other, true, REFUSED }, { privileges, true, OK },
	};

	(void)st;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int got = child(cases[i].fn, cases[i].network);

		if (got != cases[i].want)
			fail_msg("case %zu: %d", i, got);
	}
}

/* A folder that is to be granted and is not there: nothing is started. */
static void
test_missing(void **st)
{
	char kept = own[0];

	(void)st;
	own[0] = '!';
	assert_int_equal(child(privileges, true), NO_CONFINE);
	own[0] = kept;
}

static int
make(char *path, size_t n, const char *name)
{
	char file[128];
	int fd;

	snprintf(path, n, "%s/%s", top, name);
	snprintf(file, sizeof(file), "%s/file", path);
	if (mkdir(path, 0700) != 0 ||
	    (fd = open(file, O_WRONLY | O_CREAT, 0600)) < 0)
		return -1;
	close(fd);
	return 0;
}

static int
setup(void **st)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);

	(void)st;
	server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	exe = open("/bin/true", O_RDONLY | O_CLOEXEC);
	if (exe < 0 || mkdtemp(top) == NULL || make(own, sizeof(own), "own") ||
	    make(more, sizeof(more), "more") ||
	    make(other, sizeof(other), "other") ||
	    bind(server, (struct sockaddr *)&a, sizeof(a)) != 0 ||
	    listen(server, 8) != 0 ||
	    getsockname(server, (struct sockaddr *)&a, &n) != 0)
		return -1;
	port = ntohs(a.sin_port);
	return 0;
}

static int
teardown(void **st)
{
	char *folders[] = { own, more, other };
	char file[128];

	(void)st;
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		snprintf(file, sizeof(file), "%s/file", folders[i]);
		unlink(file);
		snprintf(file, sizeof(file), "%s/new", folders[i]);
		unlink(file);
		rmdir(folders[i]);
	}
	rmdir(top);
	close(server);
	close(exe);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tries),
		cmocka_unit_test(test_missing),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
