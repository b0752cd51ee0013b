/*
 * proxy - the role in the path of every call. It reads hostile bytes, so it
 * holds no lasting secret and opens, executes and forks nothing.
 */
#include "roles.h"

#include <sys/resource.h>

#include "flow.h"
#include "log.h"

#define OWN_DESCRIPTORS 100	/* listeners, channels, DNS */

/* A call has two sockets. The limit that a shell gives is for programs that
 * wait with select(), which none here does. */
static void
raise_descriptors(const struct conf *c)
{
	unsigned long long need = 2 * (unsigned long long)c->limits.streams +
	    OWN_DESCRIPTORS;
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) != 0)
		return;
	rl.rlim_cur = rl.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &rl) != 0 || rl.rlim_max < need)
		log_warn("%llu open files are too few for limits.streams: %llu "
		    "(ulimit -Hn, or LimitNOFILE)",
		    (unsigned long long)rl.rlim_max, need);
}

static int
setup(struct role_env *env, struct err *err)
{
	struct flow_setup s = { .loop = env->loop, .index = env->index,
		.killpage_fd = env->killpage_fd, .eventfd = env->eventfds[0] };

	raise_descriptors(env->conf);
	env->ctx = flow_new(&s, env->snap, err);
	return env->ctx == NULL ? -1 : 0;
}

static void
promise(struct role_env *env, struct sandbox_promise *p)
{
	(void)env;
	p->rights = SANDBOX_INET | SANDBOX_ACCEPT;
}

static void
start(struct role_env *env)
{
	for (size_t i = 0; i < env->nlisteners; i++)
		flow_listen(env->ctx, (enum conf_listener_kind)
		    env->listeners[i].kind, env->listeners[i].name,
		    env->listeners[i].fd);
}

static void
channel(struct role_env *env, enum role peer, unsigned index, int fd)
{
	(void)index;
	flow_attach(env->ctx, peer, fd);
}

static int
reload(struct role_env *env, struct err *err)
{
	return flow_reload(env->ctx, env->snap, err);
}

static void
stop(struct role_env *env)
{
	flow_stop(env->ctx);
}

const struct role_def proxy_role = {
	.role = ROLE_PROXY,
	.setup = setup,
	.promise = promise,
	.start = start,
	.channel = channel,
	.reload = reload,
	.stop = stop,
};
