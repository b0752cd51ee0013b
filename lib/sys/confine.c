/* confine - see confine.h. */
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "landlock.h"

#define READ (LL_FS_READ_FILE | LL_FS_READ_DIR)
#define OF_FILES (LL_FS_EXECUTE | LL_FS_WRITE_FILE | LL_FS_READ_FILE | \
	LL_FS_TRUNCATE | LL_FS_IOCTL_DEV)

/* --- network ---------------------------------------------------------------- */

static int
write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n = (ssize_t)strlen(text);
	int r = fd >= 0 && write(fd, text, (size_t)n) == n ? 0 : -1;

	base_close(&fd);
	return r;
}

/* Without root a network of one's own needs a user namespace, in which the
 * user stays who he is. */
static int
leave_network(struct err *err)
{
	char uid[64], gid[64];

	snprintf(uid, sizeof(uid), "%u %u 1", geteuid(), geteuid());
	snprintf(gid, sizeof(gid), "%u %u 1", getegid(), getegid());
	if (unshare(CLONE_NEWNET) == 0)
		return 0;
	/* Or its own files below /proc would be root's. */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0 ||
	    write_file("/proc/self/setgroups", "deny") != 0 ||
	    write_file("/proc/self/uid_map", uid) != 0 ||
	    write_file("/proc/self/gid_map", gid) != 0) {
		err_set(err, "network: off: no network namespace can be made "
		    "here (%s); allow user namespaces, or say network: host",
		    strerror(errno));
		return -1;
	}
	return 0;
}

/* --- files -------------------------------------------------------------------- */

static int
add_fd(int rules, int fd, uint64_t allowed)
{
	struct ll_path_beneath pb = { .fd = fd, .allowed = allowed };
	struct stat st;

	if (fstat(fd, &st) != 0)
		return -1;
	if (!S_ISDIR(st.st_mode))
		pb.allowed &= OF_FILES;
	return (int)syscall(SYS_landlock_add_rule, rules,
	    LL_RULE_PATH_BENEATH, &pb, 0);
}

static int
add_path(int rules, const char *path, uint64_t allowed)
{
	int fd = open(path, O_PATH | O_CLOEXEC), r;

	if (fd < 0)
		return -1;
	r = add_fd(rules, fd, allowed);
	base_close(&fd);
	return r;
}

static int
add_paths(int rules, const char *const *paths, uint64_t allowed,
    struct err *err)
{
	for (; *paths != NULL; paths++)
		if (add_path(rules, *paths, allowed) != 0) {
			err_set(err, "%s: %s", *paths, strerror(errno));
			return -1;
		}
	return 0;
}

/* What is missing of these is missing. */
static void
add_system(int rules)
{
	static const char *const programs[] = { "/usr", "/lib", "/lib64",
		"/bin", "/sbin" };
	static const char *const readable[] = { "/etc", "/proc",
		"/sys/devices/system", "/sys/fs/cgroup", "/run/systemd/resolve",
		"/dev/urandom", "/dev/random" };
	static const char *const devices[] = { "/dev/null", "/dev/zero",
		"/dev/full" };

	for (size_t i = 0; i < ARRAY_LEN(programs); i++)
		(void)add_path(rules, programs[i], READ | LL_FS_EXECUTE);
	for (size_t i = 0; i < ARRAY_LEN(readable); i++)
		(void)add_path(rules, readable[i], READ);
	for (size_t i = 0; i < ARRAY_LEN(devices); i++)
		(void)add_path(rules, devices[i], READ | LL_FS_WRITE_FILE);
}

static int
enter_landlock(const struct confine *c, struct err *err)
{
	struct ll_ruleset rs = { 0 };
	int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0,
	    LL_CREATE_RULESET_VERSION);
	int fd, r = -1;

	if (abi < 1) {
		err_set(err, "this kernel has no Landlock: a stdio server "
		    "cannot be confined");
		return -1;
	}
	rs.fs = ll_fs_of(abi);
	rs.scoped = abi >= 6 ? LL_SCOPE_ABSTRACT_UNIX | LL_SCOPE_SIGNAL : 0;
	fd = (int)syscall(SYS_landlock_create_ruleset, &rs, ll_size_of(abi),
	    0);
	if (fd < 0) {
		err_set(err, "landlock_create_ruleset: %s", strerror(errno));
		return -1;
	}
	add_system(fd);
	if (add_fd(fd, c->exe, LL_FS_READ_FILE | LL_FS_EXECUTE) != 0)
		err_set(err, "landlock_add_rule: %s", strerror(errno));
	else if (add_paths(fd, c->read, READ | LL_FS_EXECUTE, err) == 0 &&
	    add_paths(fd, c->write, rs.fs & ~(LL_FS_EXECUTE |
	    LL_FS_IOCTL_DEV), err) == 0)
		r = (int)syscall(SYS_landlock_restrict_self, fd, 0);
	if (r != 0 && err->text[0] == '\0')
		err_set(err, "landlock_restrict_self: %s", strerror(errno));
	close(fd);
	return r;
}

/* --- system calls ---------------------------------------------------------------- */

static const int refused[] = {
#define NEVER(call) SCMP_SYS(call),
#include "calls_never.def"
#undef NEVER
};

static int
enter_seccomp(struct err *err)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
	uint32_t eperm = SCMP_ACT_ERRNO(EPERM);
	int r = f == NULL ? -ENOMEM : 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(refused); i++)
		r = seccomp_rule_add(f, eperm, refused[i], 0);
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS),
		    SCMP_SYS(clone3), 0);
	if (r == 0)
		r = seccomp_rule_add(f, eperm, SCMP_SYS(clone), 1, SCMP_A0(
		    SCMP_CMP_MASKED_EQ, CLONE_NEWUSER, CLONE_NEWUSER));
	/* Typing into the terminal of whoever started us. */
	if (r == 0)
		r = seccomp_rule_add(f, eperm, SCMP_SYS(ioctl), 1, SCMP_A1(
		    SCMP_CMP_MASKED_EQ, 0xffffffffu, TIOCSTI));
	/* Networks that belong to no network namespace. */
	if (r == 0)
		r = seccomp_rule_add(f, eperm, SCMP_SYS(socket), 1,
		    SCMP_A0(SCMP_CMP_EQ, AF_VSOCK));
	if (r == 0)
		r = seccomp_load(f);
	if (r != 0)
		err_set(err, "seccomp: %s", strerror(-r));
	seccomp_release(f);
	return r == 0 ? 0 : -1;
}

/* --- privileges --------------------------------------------------------------------- */

/* Root stays root by number only. */
static int
drop_capabilities(struct err *err)
{
	struct __user_cap_header_struct h = {
		.version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { { 0 } };

	(void)prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED,
	    0, 0, 0);
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &h, none) != 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
		err_set(err, "no_new_privs: %s", strerror(errno));
		return -1;
	}
	return 0;
}

int
confine_enter(const struct confine *c, struct err *err)
{
	struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	if ((!c->network && leave_network(err) != 0) ||
	    drop_capabilities(err) != 0 || enter_landlock(c, err) != 0)
		return -1;
	return enter_seccomp(err);
}
