/* dns_conf - the bytes of resolv.conf(5) and hosts(5), read. */
#ifndef DNS_CONF_H
#define DNS_CONF_H

#include "addr.h"
#include "base.h"
#include "map.h"

#define DNS_SERVERS_MAX 8

struct dns_host {
	size_t n;
	struct addr addrs[16];
};

struct dns_conf {
	struct addr servers[DNS_SERVERS_MAX];	/* port 0: 53 */
	size_t nservers;
	int timeout_ms, attempts;
	struct map hosts;	/* name -> struct dns_host */
};

/* Lines that are not understood are passed over, as resolvers do. */
void dns_conf_read(struct dns_conf *c, struct slice resolv,
    struct slice hosts);
void dns_conf_free(struct dns_conf *c);

#endif
