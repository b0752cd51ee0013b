/* sandbox - see sandbox.h. */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/seccomp.h>
#include <pwd.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "landlock.h"
#include "log.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* Behind a promise the leak checker cannot stop its own process (ptrace): it
 * asks here whether to try. */
static bool entered;
int __lsan_is_turned_off(void);

int
__lsan_is_turned_off(void)
{
	return entered;
}

bool
sandbox_is_sanitized(void)
{
	return SANITIZED;
}

void
sandbox_harden_process(void)
{
	struct rlimit none = { 0, 0 }, rl;

	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	setrlimit(RLIMIT_CORE, &none);
	if (getrlimit(RLIMIT_MEMLOCK, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_MEMLOCK, &rl);
	}
}

int
sandbox_drop_user(const char *user, struct err *err)
{
	struct passwd *pw;

	if (geteuid() != 0 || user == NULL || user[0] == '\0')
		return 0;
	pw = getpwnam(user);
	if (pw == NULL) {
		err_set(err, "user %s does not exist: create it (adduser "
		    "--system --group %s) or set user: in the config", user,
		    user);
		return -1;
	}
	if (pw->pw_uid == 0) {
		err_set(err, "user: %s is root: name an ordinary user", user);
		return -1;
	}
	if (setgroups(0, NULL) != 0 ||
	    setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) != 0 ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) != 0) {
		err_set(err, "become user %s: %s", user, strerror(errno));
		return -1;
	}
	if (setuid(0) == 0) {
		err_set(err, "become user %s: could become root again", user);
		return -1;
	}
	/* setresuid made the process dumpable again. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return 0;
}

static int
landlock_enter(const struct sandbox_promise *p, struct err *err)
{
	struct ll_ruleset rs = { 0 };
	int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0,
	    LL_CREATE_RULESET_VERSION);
	int fd, r = -1;

	if (abi < 1) {
		if (p->best_effort) {
			log_warn("no Landlock on this kernel: going on "
			    "without (sandbox: best-effort)");
			return 0;
		}
		err_set(err, "this kernel has no Landlock: boot one that has "
		    "(lsm=landlock,...), or set sandbox: best-effort");
		return -1;
	}
	rs.fs = ll_fs_of(abi);
	if (abi >= 4) {
		if (!(p->rights & SANDBOX_LISTEN))
			rs.net |= LL_NET_BIND_TCP;
		if (!(p->rights & SANDBOX_INET))
			rs.net |= LL_NET_CONNECT_TCP;
	}
	if (abi >= 6)
		rs.scoped = LL_SCOPE_ABSTRACT_UNIX |
		    ((p->rights & SANDBOX_SPAWN) ? 0 : LL_SCOPE_SIGNAL);
	fd = (int)syscall(SYS_landlock_create_ruleset, &rs, ll_size_of(abi),
	    0);
	if (fd < 0) {
		err_set(err, "landlock_create_ruleset: %s", strerror(errno));
		return -1;
	}
	for (size_t i = 0; i < p->ndirs; i++) {
		struct ll_path_beneath pb = { .fd = p->dirs[i].fd };

		pb.allowed = LL_FS_READ_FILE | LL_FS_READ_DIR;
		if (p->dirs[i].write)
			pb.allowed = (rs.fs & ~(LL_FS_EXECUTE |
			    LL_FS_IOCTL_DEV));
		if (p->rights & SANDBOX_SPAWN)
			pb.allowed |= LL_FS_EXECUTE;
		if (syscall(SYS_landlock_add_rule, fd, LL_RULE_PATH_BENEATH,
		    &pb, 0) != 0) {
			err_set(err, "landlock_add_rule: %s", strerror(errno));
			goto out;
		}
	}
	if (syscall(SYS_landlock_restrict_self, fd, 0) != 0) {
		err_set(err, "landlock_restrict_self: %s", strerror(errno));
		goto out;
	}
	r = 0;
out:
	close(fd);
	return r;
}

static const int calls_base[] = {
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev),
	SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(recvfrom),
	SCMP_SYS(sendto), SCMP_SYS(close), SCMP_SYS(shutdown),
	SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl),
	SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(clock_gettime),
	SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(getrandom), SCMP_SYS(futex),
	SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(brk),
	SCMP_SYS(mlock), SCMP_SYS(munlock), SCMP_SYS(exit),
	SCMP_SYS(exit_group), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask), SCMP_SYS(sigaltstack), SCMP_SYS(getpid),
	SCMP_SYS(gettid), SCMP_SYS(restart_syscall), SCMP_SYS(fstat),
	SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(getsockname),
	SCMP_SYS(getpeername), SCMP_SYS(lseek), SCMP_SYS(fcntl),
	SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
	SCMP_SYS(getegid), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity),
	SCMP_SYS(sysinfo), SCMP_SYS(uname), SCMP_SYS(nanosleep),
	SCMP_SYS(clock_nanosleep),
};

static const int calls_files[] = {
	SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(pread64),
	SCMP_SYS(pwrite64), SCMP_SYS(fsync), SCMP_SYS(fdatasync),
	SCMP_SYS(ftruncate), SCMP_SYS(fallocate), SCMP_SYS(unlink),
	SCMP_SYS(unlinkat), SCMP_SYS(rename), SCMP_SYS(renameat),
	SCMP_SYS(renameat2), SCMP_SYS(stat), SCMP_SYS(lstat),
	SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(access),
	SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(getdents64),
	SCMP_SYS(flock), SCMP_SYS(readlink), SCMP_SYS(readlinkat),
	SCMP_SYS(getcwd), SCMP_SYS(fchmod), SCMP_SYS(fchown),
	SCMP_SYS(fstatfs), SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(dup),
	SCMP_SYS(sync_file_range), SCMP_SYS(fadvise64),
};

static const int calls_spawn[] = {
	SCMP_SYS(clone), SCMP_SYS(clone3), SCMP_SYS(vfork), SCMP_SYS(fork),
	SCMP_SYS(execve), SCMP_SYS(wait4), SCMP_SYS(waitid), SCMP_SYS(kill),
	SCMP_SYS(pidfd_open), SCMP_SYS(pidfd_send_signal), SCMP_SYS(dup2),
	SCMP_SYS(dup3), SCMP_SYS(setpgid), SCMP_SYS(pipe2), SCMP_SYS(prlimit64),
};

/* What the sanitizers' run time asks for, on top. */
static const int calls_sanitizer[] = {
	SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(newfstatat),
	SCMP_SYS(readlink), SCMP_SYS(getdents64), SCMP_SYS(personality),
	SCMP_SYS(clone), SCMP_SYS(wait4), SCMP_SYS(ptrace), SCMP_SYS(dup),
	SCMP_SYS(prctl), SCMP_SYS(process_vm_readv), SCMP_SYS(statx),
	SCMP_SYS(getrusage), SCMP_SYS(stat), SCMP_SYS(pipe), SCMP_SYS(tgkill),
	SCMP_SYS(access), SCMP_SYS(mprotect), SCMP_SYS(mmap), SCMP_SYS(pipe2),
};

static int
allow(scmp_filter_ctx f, const int *calls, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (calls[i] >= 0 &&
		    seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0) != 0)
			return -1;
	return 0;
}

static int
allow_memory(scmp_filter_ctx f)
{
	struct scmp_arg_cmp no_exec = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);

	if (SANITIZED)
		return 0;
	return seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
	    no_exec) != 0 ||
	    seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
	    no_exec) != 0 ? -1 : 0;
}

static int
allow_ioctls(scmp_filter_ctx f)
{
	static const unsigned long ok[] = { 0x541b /* FIONREAD */,
		0x5411 /* TIOCOUTQ = SIOCOUTQ */, 0x5421 /* FIONBIO */,
		0x5401 /* TCGETS, by isatty */ };

	for (size_t i = 0; i < ARRAY_LEN(ok); i++)
		if (seccomp_rule_add(f, i == 3 ? SCMP_ACT_ERRNO(ENOTTY) :
		    SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
		    SCMP_A1(SCMP_CMP_EQ, ok[i])) != 0)
			return -1;
	return 0;
}

static int
allow_network(scmp_filter_ctx f, unsigned rights)
{
	int r = 0;

	if (rights & SANDBOX_INET) {
		r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
		    SCMP_A0(SCMP_CMP_EQ, AF_INET));
		r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
		    SCMP_A0(SCMP_CMP_EQ, AF_INET6));
		r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(connect), 0);
	}
	if (rights & SANDBOX_LISTEN) {
		r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(bind), 0);
		r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(listen), 0);
	}
	if (rights & (SANDBOX_ACCEPT | SANDBOX_LISTEN)) {
		r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(accept4), 0);
		r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(accept), 0);
	}
	return r == 0 ? 0 : -1;
}

static int
seccomp_enter(const struct sandbox_promise *p, struct err *err)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = -1;

	if (f == NULL) {
		err_set(err, "seccomp_init failed");
		return -1;
	}
	/* abort() must reach its signal: an ASSERT shows as SIGABRT. */
	if (seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
	    SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid())) != 0 ||
	    allow(f, calls_base, ARRAY_LEN(calls_base)) != 0 ||
	    allow_memory(f) != 0 || allow_ioctls(f) != 0 ||
	    allow_network(f, p->rights) != 0)
		goto out;
	if ((p->rights & SANDBOX_FILES) &&
	    allow(f, calls_files, ARRAY_LEN(calls_files)) != 0)
		goto out;
	if ((p->rights & SANDBOX_MEMFD) && seccomp_rule_add(f, SCMP_ACT_ALLOW,
	    SCMP_SYS(memfd_create), 0) != 0)
		goto out;
	if ((p->rights & SANDBOX_SPAWN) &&
	    allow(f, calls_spawn, ARRAY_LEN(calls_spawn)) != 0)
		goto out;
	if (SANITIZED &&
	    allow(f, calls_sanitizer, ARRAY_LEN(calls_sanitizer)) != 0)
		goto out;
	r = seccomp_load(f);
out:
	if (r != 0)
		err_set(err, "seccomp: %s", strerror(r < -1 ? -r : EINVAL));
	seccomp_release(f);
	return r == 0 ? 0 : -1;
}

int
sandbox_enter(const struct sandbox_promise *p, struct err *err)
{
	if (sandbox_drop_user(p->user, err) != 0)
		return -1;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
		err_set(err, "no_new_privs: %s", strerror(errno));
		return -1;
	}
	if (!SANITIZED && landlock_enter(p, err) != 0)
		return -1;
	entered = true;
	return seccomp_enter(p, err);
}

/* What a parent and all its children never need. A filter is inherited, so a
 * list of what is allowed would have to hold for every role below. */
static const int calls_never[] = {
#define NEVER(call) SCMP_SYS(call),
#include "calls_never.def"
#undef NEVER
	SCMP_SYS(quotactl), SCMP_SYS(personality), SCMP_SYS(mknod), SCMP_SYS(mknodat),
};

static int
forbid_never(struct err *err)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
	int r = f == NULL ? -1 : 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(calls_never); i++) {
		if (calls_never[i] < 0 || (SANITIZED &&
		    (calls_never[i] == SCMP_SYS(ptrace) ||
		    calls_never[i] == SCMP_SYS(personality) ||
		    calls_never[i] == SCMP_SYS(process_vm_readv))))
			continue;
		r = seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, calls_never[i],
		    0);
	}
	if (r == 0)
		r = seccomp_load(f);
	if (r != 0)
		err_set(err, "seccomp: %s", strerror(-r));
	seccomp_release(f);
	return r == 0 ? 0 : -1;
}

int
sandbox_enter_parent(const struct sandbox_promise *p, struct err *err)
{
	struct sandbox_promise all = *p;

	all.rights = SANDBOX_INET | SANDBOX_LISTEN | SANDBOX_SPAWN;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
		err_set(err, "no_new_privs: %s", strerror(errno));
		return -1;
	}
	if (!SANITIZED && p->ndirs > 0 && landlock_enter(&all, err) != 0)
		return -1;
	entered = true;
	return forbid_never(err);
}
