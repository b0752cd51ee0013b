/*
 * balancer - listeners behind a load balancer: the PROXY protocol header says
 * who connected. Only the peers that the configuration names are believed,
 * and they must send one; anybody else must not.
 */
#include <stdlib.h>

#include "internal.h"
#include "log.h"
#include "proxyproto.h"

void
balancer_init(struct listener *l, const char *address)
{
	const struct conf *c = l->f->view->conf;

	for (size_t i = 0; i < c->nlisteners; i++) {
		const struct conf_listener *cl = &c->listeners[i];

		if (cl->kind != l->kind || strcmp(cl->address, address) != 0 ||
		    l->from != NULL || cl->nfrom == 0)
			continue;
		l->from = base_calloc(cl->nfrom, sizeof(*l->from));
		for (size_t k = 0; k < cl->nfrom; k++)
			if (addr_parse_cidr(slice_str(cl->from[k]),
			    &l->from[l->nfrom]))
				l->nfrom++;
			else
				log_error("%s is believed by nobody: it is no "
				    "network", cl->from[k]);
	}
}

void
balancer_accept(const struct listener *l, struct conn *c,
    const struct addr *peer)
{
	if (l->from == NULL)
		return;
	c->state = CONN_BALANCER;
	for (size_t i = 0; i < l->nfrom; i++)
		if (addr_cidr_has(&l->from[i], peer))
			c->trusted = true;
}

static bool
refuse(struct conn *c, const char *why)
{
	record_refused(c->f, c, EVENT_CONNECTION_REFUSED, REASON_AMBIGUOUS,
	    "", why, NULL);
	conn_abort(c);
	return false;
}

bool
balancer_read(struct conn *c)
{
	struct proxyproto p;
	const char *why = "";
	size_t used;

	if (c->in.len == 0)
		return false;
	switch (proxyproto_read(buf_slice(&c->in), &p, &used, &why)) {
	case PROXYPROTO_MORE:
		return false;
	case PROXYPROTO_NONE:
		if (c->trusted)
			return refuse(c, "this peer must begin with a PROXY "
			    "protocol header");
		c->state = CONN_HEAD;
		return true;
	case PROXYPROTO_DONE:
		if (!c->trusted)
			return refuse(c, "a PROXY protocol header of a peer "
			    "that proxy_protocol.from does not name");
		if (!p.local)
			addr_format(&p.source, c->source);
		buf_consume(&c->in, used);
		c->state = CONN_HEAD;
		return true;
	default:
		return refuse(c, why);
	}
}
