/*
 * proxyproto - the PROXY protocol header, versions 1 and 2: what a load
 * balancer in front says of who really connected.
 *
 * Reads the first bytes of a connection without consuming them. Whether the
 * peer may be believed is the caller's question. Strict: one spelling of each
 * field, TCP over IPv4 or IPv6 only, TLVs must fill their space.
 * Source: "The PROXY protocol, Versions 1 & 2" (HAProxy), sections 2.1, 2.2.
 */
#ifndef PROXYPROTO_H
#define PROXYPROTO_H

#include "addr.h"
#include "base.h"

#define PROXYPROTO_V1_MAX 107	/* with CR LF */
#define PROXYPROTO_V2_MAX 1024	/* behind the fixed 16 bytes; ours */

enum proxyproto_status {
	PROXYPROTO_MORE,	/* so far right, but not all of it */
	PROXYPROTO_DONE,
	PROXYPROTO_NONE,	/* no such header begins here */
	PROXYPROTO_ERROR	/* one begins, but is malformed; see why */
};

struct proxyproto {
	bool local;		/* the balancer's own (a health check), or it
				 * does not know: no source */
	struct addr source;	/* with its port */
};

/* p_r and *used_r are set on DONE only, *why_r on ERROR only. */
enum proxyproto_status proxyproto_read(struct slice in,
    struct proxyproto *p_r, size_t *used_r, const char **why_r) MUST_USE;

#endif
