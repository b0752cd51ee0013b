/*
 * flow - the path of a call: connections from agents, exchanges, the steps.
 *
 * One struct flow a proxy. It owns connections; a connection owns at most one
 * exchange at a time; an exchange never owns a connection. The proxy role
 * attaches channels to the other roles and swaps views on reload.
 */
#ifndef FLOW_H
#define FLOW_H

#include "base.h"
#include "conf.h"
#include "dns.h"
#include "emit.h"
#include "loop.h"
#include "snap.h"

struct flow;

struct flow_setup {
	struct loop *loop;
	unsigned index;
	int killpage_fd, eventfd;	/* borrowed */
};

/* Before the sandbox: DNS, TLS and pattern databases are made ready. */
struct flow *flow_new(const struct flow_setup *s, const struct snap *snap,
    struct err *err) MUST_USE;
/* A new snapshot for exchanges that begin from now on. */
int flow_reload(struct flow *f, const struct snap *snap, struct err *err)
    MUST_USE;
/* address: as the configuration names the listener. */
void flow_listen(struct flow *f, enum conf_listener_kind kind,
    const char *address, int fd);
/* A (new) channel to a role; fd is *taken*. */
void flow_attach(struct flow *f, enum role peer, int fd);
/* Stops accepting, ends every connection. */
void flow_stop(struct flow *f);

#endif
