/*
 * proxy - the role in the path of every call. It reads hostile bytes, so it
 * holds no lasting secret and opens, executes and forks nothing.
 */
#include "roles.h"

#include "flow.h"

static int
setup(struct role_env *env, struct err *err)
{
	struct flow_setup s = { .loop = env->loop, .index = env->index,
		.killpage_fd = env->killpage_fd, .eventfd = env->eventfds[0] };

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
