/* role - see role.h. */
#include "role.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "chan.h"
#include "clock.h"
#include "log.h"
#include "pack.h"
#include "probe.h"

struct runtime {
	const struct role_def *def;
	struct role_env env;
	struct chan *control;
};

int
role_dir(const struct role_env *env, const char *name)
{
	for (size_t i = 0; i < env->ndirs; i++)
		if (strcmp(env->dirs[i].name, name) == 0)
			return env->dirs[i].fd;
	return -1;
}

static int
take_snapshot(struct role_env *env, int fd, struct err *err)
{
	struct snap *s = snap_open(fd, err);
	struct conf *c;

	if (s == NULL)
		return -1;
	c = conf_unpack(snap_section(s, "conf"));
	if (c == NULL) {
		err_set(err, "the snapshot's conf section is malformed");
		snap_close(s);
		return -1;
	}
	env->snap = s;
	env->conf = c;
	return 0;
}

/* What comes before GO. -1: not one of them, or malformed. */
static int
take_gift(struct role_env *env, enum msg_type type, struct slice body, int fd,
    struct err *err)
{
	struct unpack u;

	unpack_init(&u, body);
	switch (type) {
	case MSG_SNAPSHOT:
		return fd < 0 ? -1 : take_snapshot(env, fd, err);
	case MSG_STATE_DIR:
		if (fd < 0 || env->ndirs == ROLE_MAX_DIRS)
			return -1;
		env->dirs[env->ndirs].name = unpack_strdup(&u);
		env->dirs[env->ndirs++].fd = fd;
		return unpack_done(&u) ? 0 : -1;
	case MSG_LISTENER:
		if (fd < 0 || env->nlisteners == ROLE_MAX_LISTENERS)
			return -1;
		env->listeners[env->nlisteners].kind = unpack_u8(&u);
		env->listeners[env->nlisteners].name = unpack_strdup(&u);
		env->listeners[env->nlisteners++].fd = fd;
		return unpack_done(&u) ? 0 : -1;
	case MSG_KILLPAGE:
		unpack_u8(&u);
		env->killpage_fd = fd;
		return fd >= 0 && unpack_done(&u) ? 0 : -1;
	case MSG_EVENTFD: {
		unsigned i = unpack_u8(&u);

		if (fd < 0 || i >= ARRAY_LEN(env->eventfds))
			return -1;
		env->eventfds[i] = fd;
		return unpack_done(&u) ? 0 : -1;
	}
	default:
		return -1;
	}
}

static int
receive_gifts(struct role_env *env, struct err *err)
{
	struct buf body;
	enum msg_type type;
	int fd, r = -1;

	buf_init(&body, CHAN_BODY_MAX);
	for (;;) {
		if (chan_call_recv(ROLE_CONTROL_FD, &type, &body, &fd) != 0) {
			err_set(err, "control channel: %s", strerror(errno));
			goto out;
		}
		if (type == MSG_GO)
			break;
		if (take_gift(env, type, buf_slice(&body), fd, err) != 0) {
			err_set(err, "malformed %s from the parent",
			    msg_name(type));
			goto out;
		}
	}
	struct unpack u;

	unpack_init(&u, buf_slice(&body));
	env->index = unpack_u8(&u);
	env->proxies = unpack_u8(&u);
	clock_set_offset_ms(unpack_i64(&u));
	if (!unpack_done(&u) || env->snap == NULL) {
		err_set(err, "malformed GO from the parent");
		goto out;
	}
	r = 0;
out:
	buf_free(&body);
	return r;
}

static void
ack_snapshot(struct runtime *rt, const char *error)
{
	struct buf *b = chan_begin(rt->control, MSG_SNAPSHOT_ACK);

	if (b == NULL)
		return;
	pack_str(b, snap_name(rt->env.snap));
	pack_str(b, error);
	chan_end(rt->control);
}

static int
on_snapshot(struct runtime *rt, int fd)
{
	struct role_env *env = &rt->env;
	struct snap *old_snap = env->snap;
	struct conf *old_conf = env->conf;
	struct err err = { 0 };

	if (take_snapshot(env, fd, &err) != 0) {
		ack_snapshot(rt, err.text);
		return 0;
	}
	if (rt->def->reload != NULL && rt->def->reload(env, &err) != 0) {
		struct snap *bad = env->snap;
		struct conf *bad_conf = env->conf;

		env->snap = old_snap;
		env->conf = old_conf;
		snap_close(bad);
		conf_free(bad_conf);
		ack_snapshot(rt, err.text);
		return 0;
	}
	snap_close(old_snap);
	conf_free(old_conf);
	ack_snapshot(rt, "");
	return 0;
}

static int
on_control(void *ctx, struct chan *c, enum msg_type type, struct slice body,
    int fd)
{
	struct runtime *rt = ctx;
	struct unpack u;

	(void)c;
	unpack_init(&u, body);
	switch (type) {
	case MSG_CHANNEL: {
		unsigned peer = unpack_u8(&u), index = unpack_u8(&u);

		if (fd < 0 || !unpack_done(&u) || peer >= ROLE_COUNT ||
		    rt->def->channel == NULL)
			break;
		rt->def->channel(&rt->env, (enum role)peer, index, fd);
		return 0;
	}
	case MSG_SNAPSHOT:
		if (fd < 0)
			break;
		return on_snapshot(rt, fd);
	case MSG_STOP:
		if (rt->def->stop != NULL)
			rt->def->stop(&rt->env);
		loop_stop(rt->env.loop);
		return 0;
	default:
		break;
	}
	base_close(&fd);
	return -1;
}

static void
on_parent_gone(void *ctx, struct chan *c)
{
	struct runtime *rt = ctx;

	(void)c;
	if (rt->def->stop != NULL)
		rt->def->stop(&rt->env);
	loop_stop(rt->env.loop);
}

int
role_main(const struct role_def *def)
{
	struct runtime *rt = base_calloc(1, sizeof(*rt));
	struct role_env *env = &rt->env;
	struct sandbox_promise promise = { 0 };
	struct err err = { 0 };

	sandbox_harden_process();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN);	/* the supervisor says STOP */
	signal(SIGTERM, SIG_DFL);
	log_init(role_name(def->role), LOG_LV_INFO);
	prctl(PR_SET_NAME, role_name(def->role));
	rt->def = def;
	env->role = def->role;
	env->killpage_fd = -1;
	for (size_t i = 0; i < ARRAY_LEN(env->eventfds); i++)
		env->eventfds[i] = -1;
	tzset();	/* libc would open the zone's file later */
	env->loop = loop_new();
	if (receive_gifts(env, &err) != 0 ||
	    sandbox_drop_user(env->conf->user, &err) != 0)
		goto fail;
	prctl(PR_SET_PDEATHSIG, SIGKILL);	/* cleared by the uid change */
	if (def->setup != NULL && def->setup(env, &err) != 0)
		goto fail;
	promise.role = role_name(def->role);
	promise.best_effort = env->conf->sandbox_best_effort;
	if (def->promise != NULL)
		def->promise(env, &promise);
	if (sandbox_enter(&promise, &err) != 0)
		goto fail;
	probe_run(promise.role);
	rt->control = chan_new(env->loop, ROLE_CONTROL_FD, 1u << 20,
	    on_control, on_parent_gone, rt);
	if (def->start != NULL)
		def->start(env);
	if (chan_send(rt->control, MSG_READY, slice_make("", 0), -1) != 0)
		return 1;
	loop_run(env->loop);
	return 0;
fail:
	log_error("%s", err.text);
	return 78;	/* EX_CONFIG */
}
