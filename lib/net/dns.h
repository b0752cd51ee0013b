/*
 * dns - host names to addresses, without blocking and without files: servers
 * and hosts come as the bytes of resolv.conf and hosts (the compiler reads
 * them); c-ares asks the servers and nothing else.
 *
 * Made before the sandbox. Answers are cached for their TTL, held between 5
 * and 300 s; that there is no such name for 5 s. What an address may be used
 * for is not decided here (addr_guard_allowed).
 * Sources: resolv.conf(5), hosts(5), RFC 1035, RFC 6761 (localhost).
 */
#ifndef DNS_H
#define DNS_H

#include "addr.h"
#include "base.h"
#include "err.h"
#include "loop.h"

#define DNS_ADDRS_MAX 32	/* addresses kept of one name */
#define DNS_TTL_MIN_MS 5000
#define DNS_TTL_MAX_MS 300000
#define DNS_TIMEOUT_MS 5000	/* of one dns_resolve() */

struct dns;
struct dns_query;

enum dns_status {
	DNS_OK,
	DNS_NO_NAME,		/* no such name, or no address of it */
	DNS_TIMEOUT,
	DNS_FAILED		/* servers refuse, or not reachable */
};

struct dns_answer {
	enum dns_status status;
	const struct addr *addrs;	/* port 0; borrowed for the call */
	size_t n;
};

typedef void dns_fn(void *ctx, const struct dns_answer *a);

/* resolv: "nameserver IP" lines (also "[IP]:port"); none: 127.0.0.1 and ::1.
 * "options timeout:N attempts:N" are heeded; search lists are not: catalogue
 * names are complete. Options are those of the first dns_new(). */
struct dns *dns_new(struct loop *l, struct slice resolv, struct slice hosts,
    struct err *err) MUST_USE;
/* Queries under way are not answered any more. Not inside of a dns_fn (nor
 * dns_reload). NULL-safe. */
void dns_free(struct dns *d);
/* New files' bytes (a reload): forgets the cache; what is under way is asked
 * again of the new servers. Opens no file. */
int dns_reload(struct dns *d, struct slice resolv, struct slice hosts,
    struct err *err) MUST_USE;

/* Calls fn once: at once (then NULL is returned) for IP literals, hosts and
 * cached names, later otherwise. host as addr_host_normalise() made it. */
struct dns_query *dns_resolve(struct dns *d, const char *host, dns_fn *fn,
    void *ctx);
/* fn will not be called. NULL-safe; invalid after fn was called. */
void dns_cancel(struct dns_query *q);
const char *dns_status_text(enum dns_status s);

#endif
