/*
 * transparent - connections that a firewall has turned to us (TPROXY): the
 * address they were for is the socket's own, the SNI says which host, and the
 * two must belong together as the address guard would have it. Nothing is
 * spliced, and what is not TLS to a catalogued host is refused.
 *
 * The token comes as on a mount, in Authorization: nobody told the client
 * that there is a proxy.
 * Sources: Documentation/networking/tproxy.rst of Linux; RFC 6066, 3.
 */
#include "internal.h"

#include <stdio.h>

#include "clienthello.h"

bool
transparent_accept(struct conn *c)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);

	c->state = CONN_TARGET;
	return getsockname(stream_fd(c->s), (struct sockaddr *)&ss, &n) == 0 &&
	    addr_from_sockaddr((struct sockaddr *)&ss, &c->destination);
}

static void
refuse(struct conn *c, enum reason r, const char *host, const char *why)
{
	char to[ADDR_TEXT_MAX], detail[256];

	addr_format(&c->destination, to);
	snprintf(detail, sizeof(detail), "to %s: %s", to, why);
	record_refused(c->f, c, EVENT_CONNECTION_REFUSED, r, host, detail,
	    NULL);
	conn_abort(c);
}

static void
mint(struct conn *c)
{
	struct tls_leaf *leaf;

	c->tunnel = true;
	c->state = CONN_MINT;
	leaf = svc_leaf(c->f, c->authority.host, c);
	if (leaf != NULL)
		conn_leaf_ready(c, leaf, NULL);
}

static void
on_resolved(void *ctx, const struct dns_answer *answer)
{
	struct conn *c = ctx;

	c->dns = NULL;
	for (size_t i = 0; i < answer->n; i++)
		if (addr_same_ip(&answer->addrs[i], &c->destination)) {
			mint(c);
			return;
		}
	refuse(c, REASON_ADDRESS, c->authority.host, answer->n > 0 ?
	    "the host has other addresses" : dns_status_text(answer->status));
}

/* What the connector pins is its own, whatever the DNS says; else the address
 * must pass the guard and be one of the host's. */
static void
check_address(struct conn *c, const struct connector *con)
{
	struct dns_query *q;

	for (size_t i = 0; i < con->npins; i++)
		if (addr_cidr_has(&con->pins[i], &c->destination)) {
			mint(c);
			return;
		}
	if (!addr_guard_allowed(&c->destination, con->pins, con->npins)) {
		refuse(c, REASON_ADDRESS, c->authority.host,
		    "the connector must pin this address");
		return;
	}
	c->state = CONN_RESOLVE;
	q = dns_resolve(c->f->dns, c->authority.host, on_resolved, c);
	if (!c->closed && c->state == CONN_RESOLVE)
		c->dns = q;
}

void
transparent_read(struct conn *c)
{
	static struct clienthello ch;	/* large; used up before returning */
	const struct connector *con;
	const char *why = "no TLS";

	if (c->in.len == 0)
		return;
	switch (clienthello_read(buf_slice(&c->in), &ch, &why)) {
	case CLIENTHELLO_MORE:
		return;
	case CLIENTHELLO_DONE:
		break;
	default:
		refuse(c, REASON_AMBIGUOUS, "", why);
		return;
	}
	if (ch.sni[0] == '\0') {
		refuse(c, REASON_AMBIGUOUS, "", "no SNI names the host");
		return;
	}
	con = connector_at(c->f->view->connectors, ch.sni,
	    c->destination.port, slice_make(NULL, 0));
	if (con == NULL || !con->tls) {
		refuse(c, REASON_UNCATALOGUED, ch.sni, con == NULL ?
		    "not in the catalogue at this port" :
		    "this connector is plain http");
		return;
	}
	c->authority = (struct http1_authority){ .kind = HTTP1_HOST_NAME,
		.port = c->destination.port,
		.host_n = (uint16_t)strlen(ch.sni) };
	snprintf(c->authority.host, sizeof(c->authority.host), "%s", ch.sni);
	trust_begin(c, slice_make("", 0));
	trust_hello(c, &ch);
	check_address(c, con);
}
