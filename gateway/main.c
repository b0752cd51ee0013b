/*
 * main - portreeve-gateway: the parent binds the listening sockets, makes the
 * kill page, and gives each role what it may hold and nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compile.h"
#include "killpage.h"
#include "parent.h"
#include "roles.h"

struct gateway {
	int killpage, killpage_read;
	int *listeners;
	int stdio[64];		/* one a proxy, where stdio is listened on */
	int eventfds[64];
	int operator_fd, keeper_fd;
	int key_fd;		/* of keeper_key, -1: in the state folder */
};

static unsigned
proxies(const struct conf *c)
{
	return (unsigned)c->proxies;
}

/* Opened here, as root where there is one, so that the daemons' account need
 * not be able to; what is in it only the keeper reads. */
static int
open_key(const char *key, int *fd_r, struct err *err)
{
	size_t prefix = strlen(CONF_CREDENTIALS);
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	struct stat st = { 0 };
	char path[4096];
	int fd;

	if (strncmp(key, CONF_CREDENTIALS, prefix) != 0) {
		snprintf(path, sizeof(path), "%s", key);
	} else if (dir == NULL) {
		err_set(err, "keeper_key: CREDENTIALS_DIRECTORY is not set: "
		    "the service needs LoadCredential=%s:...", key + prefix);
		return -1;
	} else {
		snprintf(path, sizeof(path), "%s/%s", dir, key + prefix);
	}
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
	    (st.st_mode & 07) != 0) {
		err_set(err, "keeper_key: %s: %s", path, fd < 0 ?
		    strerror(errno) : (st.st_mode & 07) != 0 ?
		    "others may read it" : "no plain file");
		base_close(&fd);
		return -1;
	}
	*fd_r = fd;
	return 0;
}

/* One a proxy: all connections of a `portreeve stdio` must meet in one. */
static int
listen_stdio(struct gateway *g, const struct conf *c, const char *folder,
    struct err *err)
{
	for (unsigned i = 0; i < proxies(c); i++)
		if ((g->stdio[i] = parent_listen_stdio(folder, i, err)) < 0)
			return -1;
	return 0;
}

static int
prepare(struct parent *p, struct err *err)
{
	const struct conf *c = parent_conf(p);
	struct gateway *g = base_calloc(1, sizeof(*g));
	char path[64];

	parent_set_ctx(p, g);
	g->key_fd = -1;
	if (c->keeper_key != NULL && open_key(c->keeper_key, &g->key_fd,
	    err) != 0)
		return -1;
	g->killpage = killpage_create();
	if (g->killpage < 0) {
		err_set(err, "kill page: %s", strerror(errno));
		return -1;
	}
	/* Another open file description of the same memory, read-only. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", g->killpage);
	g->killpage_read = open(path, O_RDONLY | O_CLOEXEC);
	if (g->killpage_read < 0) {
		err_set(err, "kill page: %s", strerror(errno));
		return -1;
	}
	for (unsigned i = 0; i < proxies(c); i++)
		g->eventfds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	g->listeners = base_calloc(c->nlisteners + 1, sizeof(int));
	for (size_t i = 0; i < c->nlisteners; i++) {
		if (c->listeners[i].kind == CONF_STDIO) {
			if (listen_stdio(g, c, c->listeners[i].address,
			    err) != 0)
				return -1;
			continue;
		}
		g->listeners[i] = parent_listen_tcp(c->listeners[i].address,
		    c->listeners[i].kind == CONF_TRANSPARENT, err);
		if (g->listeners[i] < 0)
			return -1;
	}
	g->operator_fd = parent_listen_unix(c, "operator.sock", err);
	g->keeper_fd = parent_listen_unix(c, "keeper.sock", err);
	return g->operator_fd < 0 || g->keeper_fd < 0 ? -1 : 0;
}

static void
equip_keeper(struct parent *p, unsigned index)
{
	struct gateway *g = parent_ctx(p);

	(void)index;
	parent_give_dir(p, "state", "keeper");
	if (g->key_fd >= 0)
		parent_give_file(p, "keeper-key", g->key_fd);
	parent_give_listener(p, 0, "keeper", g->keeper_fd);
}

static void
equip_broker(struct parent *p, unsigned index)
{
	struct gateway *g = parent_ctx(p);

	(void)index;
	parent_give_dir(p, "state", "broker");
	parent_give_killpage(p, true, g->killpage);
	for (unsigned i = 0; i < proxies(parent_conf(p)); i++)
		parent_give_eventfd(p, i, g->eventfds[i]);
	parent_give_listener(p, 0, "operator", g->operator_fd);
}

static void
equip_proxy(struct parent *p, unsigned index)
{
	struct gateway *g = parent_ctx(p);
	const struct conf *c = parent_conf(p);

	parent_give_killpage(p, false, g->killpage_read);
	parent_give_eventfd(p, 0, g->eventfds[index]);
	for (size_t i = 0; i < c->nlisteners; i++)
		parent_give_listener(p, (int)c->listeners[i].kind,
		    c->listeners[i].address, c->listeners[i].kind ==
		    CONF_STDIO ? g->stdio[index] : g->listeners[i]);
}

int
main(int argc, char **argv)
{
	static const struct parent_child_def children[] = {
		{ &keeper_role, NULL, equip_keeper },
		{ &broker_role, NULL, equip_broker },
		{ &proxy_role, proxies, equip_proxy },
	};
	static const struct parent_def def = {
		.self = ROLE_GATEWAY,
		.program = "portreeve-gateway",
		.children = children,
		.nchildren = ARRAY_LEN(children),
		.compile = compile_gateway,
		.prepare = prepare,
	};

	return parent_main(&def, argc, argv);
}
