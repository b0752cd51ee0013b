/*
 * sandbox - the promise a role makes before it reads its first foreign byte:
 * uid change (when root), no new privileges, no core dumps, Landlock, seccomp.
 *
 * One function drops privilege. What a role may call is a named table of
 * system calls per right below; everything else kills the process
 * (SECCOMP_RET_KILL_PROCESS). Landlock then limits what an allowed open can
 * reach. Sanitizer builds add one named table.
 *
 * Sources: seccomp(2), landlock(7) (file rights of ABI 1..5, TCP bind and
 * connect of ABI 4, scopes of ABI 6; what the kernel lacks is left out only
 * with best_effort).
 */
#ifndef SANDBOX_H
#define SANDBOX_H

#include "base.h"
#include "err.h"

enum {
	SANDBOX_INET = 1,	/* socket(AF_INET, AF_INET6), connect */
	SANDBOX_ACCEPT = 2,	/* accept on sockets that were given */
	SANDBOX_FILES = 4,	/* open below dirs[] only */
	SANDBOX_SPAWN = 8,	/* parents: fork, exec, wait, kill, pidfds */
	SANDBOX_LISTEN = 16,	/* bind, listen, accept */
	SANDBOX_MEMFD = 32	/* the compiler: make and seal a memfd */
};

struct sandbox_dir {
	int fd;			/* an open directory (borrowed) */
	bool write;
};

struct sandbox_promise {
	const char *role;
	unsigned rights;
	struct sandbox_dir dirs[8];
	size_t ndirs;
	const char *user;	/* when root: become this user; NULL: stay */
	bool best_effort;	/* go on without Landlock where there is none */
};

/* When root: become user for good; else nothing. Role processes call it before
 * setup(), so that the files they make are the user's. */
int sandbox_drop_user(const char *user, struct err *err) MUST_USE;
/* Never undone. 0, or -1 and err: the caller exits. */
int sandbox_enter(const struct sandbox_promise *p, struct err *err) MUST_USE;
/* For parents, whose promise their children inherit: Landlock over dirs (read
 * and execute; write where said; none given: no Landlock), and a filter that
 * kills for what no role ever needs (ptrace, mount, bpf, modules, ...). */
int sandbox_enter_parent(const struct sandbox_promise *p, struct err *err)
    MUST_USE;
/* PR_SET_DUMPABLE 0, RLIMIT_CORE 0, RLIMIT_MEMLOCK as far as allowed;
 * called first thing in every main. */
void sandbox_harden_process(void);
/* True in builds with ASan (sandbox tests run on the release build). */
bool sandbox_is_sanitized(void);

#endif
