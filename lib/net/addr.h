/*
 * addr - IP addresses and ports: reading them, naming what kind they are, and
 * the guard that decides where the proxy may connect to.
 *
 * The guard refuses whatever is not global unicast, whichever way it was
 * written: IPv4 inside IPv6 (mapped, 6to4, NAT64, ISATAP) is taken out and
 * looked at again. Only an address the catalogue pins is let through.
 * Sources: IANA special-purpose address registries (RFC 6890), RFC 4291,
 * RFC 3056 (6to4), RFC 6052 (NAT64), RFC 5214 (ISATAP), RFC 4380 (Teredo).
 */
#ifndef ADDR_H
#define ADDR_H

#include <sys/socket.h>

#include "base.h"

struct addr {
	uint8_t family;		/* 4 or 6; 0: none */
	uint8_t ip[16];		/* network order; IPv4 in the first four */
	uint16_t port;		/* host order; 0: none */
};

struct addr_cidr {
	struct addr net;	/* host bits zero */
	uint8_t bits;
};

enum addr_class {
	ADDR_UNSPECIFIED,	/* 0/8, :: */
	ADDR_LOOPBACK,
	ADDR_LINK_LOCAL,	/* 169.254/16 (cloud metadata), fe80::/10 */
	ADDR_PRIVATE,		/* RFC 1918, fc00::/7, fec0::/10 */
	ADDR_CGNAT,		/* 100.64/10 */
	ADDR_MULTICAST,		/* and broadcast */
	ADDR_SPECIAL,		/* documentation, benchmarks, reserved, ... */
	ADDR_GLOBAL,
	ADDR_CLASSES
};

/* Strict text forms (RFC 3986 dotted quad without leading zeroes, RFC 4291);
 * no brackets, no zone. IPv4-mapped IPv6 becomes IPv4. Port is set to 0. */
bool addr_parse_ip(struct slice s, struct addr *a_r) MUST_USE;
/* "ip/bits" or "ip" (all bits); host bits must be zero. */
bool addr_parse_cidr(struct slice s, struct addr_cidr *c_r) MUST_USE;
bool addr_cidr_has(const struct addr_cidr *c, const struct addr *a);

/* "host:port", "[v6]:port", "host", "[v6]", "v6". The host is borrowed from s,
 * without brackets; without a port default_port is given (0: a port is
 * required). The host is not checked here. */
bool addr_split_hostport(struct slice s, uint16_t default_port,
    struct slice *host_r, uint16_t *port_r) MUST_USE;

#define ADDR_HOST_MAX 254	/* with NUL */
/* A host as it is compared everywhere: an IP literal in canonical form, or a
 * name in lower case without the final dot. False for what is no host name
 * (RFC 1123 letters, digits, hyphens; underscores are let pass) and for a
 * name that ends in a number: some reader would take "0x7f.1" for an IP. */
bool addr_host_normalise(struct slice s, char out[ADDR_HOST_MAX]) MUST_USE;

#define ADDR_TEXT_MAX 56	/* "[v6]:port" with NUL */
void addr_format_ip(const struct addr *a, char out[ADDR_TEXT_MAX]);
/* With the port, when there is one. */
void addr_format(const struct addr *a, char out[ADDR_TEXT_MAX]);

socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *ss);
bool addr_from_sockaddr(const struct sockaddr *sa, struct addr *a_r) MUST_USE;
bool addr_same_ip(const struct addr *a, const struct addr *b);

enum addr_class addr_classify(const struct addr *a);
const char *addr_class_name(enum addr_class c);
/* May the proxy connect there? Unspecified and multicast: never. */
bool addr_guard_allowed(const struct addr *a, const struct addr_cidr *pins,
    size_t npins);

#endif
