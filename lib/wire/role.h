/*
 * role - how every role process starts, in one shape.
 *
 * The parent executes the program again as `PROGRAM --role NAME` with the
 * control socket as descriptor 3 and hands over everything the role will ever
 * hold: directories, snapshot, kill page, listeners, then GO. The role then
 *   1. setup():   opens what it needs (files, databases, keys)
 *   2. promise(): fills the sandbox promise; role_main enters it
 *   3. start():   first foreign byte may be read from here on; READY is sent
 * Channels to peers arrive any time after start, also again when a peer was
 * restarted (the new one replaces the old one of the same role and index).
 * When the control socket closes the role exits: a dead parent ends its
 * children.
 */
#ifndef ROLE_H
#define ROLE_H

#include "base.h"
#include "conf.h"
#include "err.h"
#include "loop.h"
#include "msg.h"
#include "sandbox.h"
#include "snap.h"

#define ROLE_CONTROL_FD 3
#define ROLE_MAX_LISTENERS 16
#define ROLE_MAX_DIRS 8

struct role_env {
	enum role role;
	unsigned index;			/* among its kind */
	unsigned proxies;		/* how many proxies there are */
	struct loop *loop;
	struct snap *snap;		/* in force; replaced on reload */
	struct conf *conf;		/* unpacked from it */
	int killpage_fd;		/* -1: not given */
	int eventfds[64];		/* proxy: [0] is its own; broker: one a proxy */
	struct { int kind; char *name; int fd; } listeners[ROLE_MAX_LISTENERS];
	size_t nlisteners;
	struct { char *name; int fd; } dirs[ROLE_MAX_DIRS];	/* "state", ... */
	size_t ndirs;
	void *ctx;			/* the role's own state, set by setup */
};

struct role_def {
	enum role role;
	int (*setup)(struct role_env *env, struct err *err);
	void (*promise)(struct role_env *env, struct sandbox_promise *p);
	void (*start)(struct role_env *env);
	/* fd is *taken*; usually given to chan_new(). */
	void (*channel)(struct role_env *env, enum role peer, unsigned index,
	    int fd);
	/* A new snapshot (env->snap, env->conf are already the new ones; old is
	 * freed afterwards). -1 and err: refused, the old stays. May be NULL. */
	int (*reload)(struct role_env *env, struct err *err);
	void (*stop)(struct role_env *env);	/* may be NULL */
};

/* argv as main got it; never returns without exiting the loop. */
int role_main(const struct role_def *def);
/* The directory given under this name, or -1. */
int role_dir(const struct role_env *env, const char *name);

#endif
