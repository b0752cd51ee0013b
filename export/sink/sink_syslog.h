/*
 * sink_syslog - events to a syslog server: RFC 5424 messages (fmt/rfc5424),
 * octet-counted over TLS (RFC 5425, RFC 9662).
 *
 *   IDLE -> RESOLVE -> CONNECT -> HANDSHAKE -> PROBE -> STREAM
 *    ^                                                    |
 *    '--- failure, or 15 s without progress; back-off ----'
 *
 * When is an event delivered? Syslog has no acknowledgement.
 *  - The receiver answers TLS key updates (found out in PROBE): delivered is
 *    what the receiving program has read (sink_tls.h). What it then makes of
 *    it (its queues) is its own affair.
 *  - It does not (TLS 1.2, GnuTLS): delivered is what its kernel has
 *    acknowledged (SIOCOUTQ is 0), if the connection still stands
 *    SINK_SYSLOG_SETTLE_MS later. A receiver that dies with unread bytes in
 *    its kernel loses them then; the log says once that this is so.
 * Everything not delivered when a connection ends is sent again on the next
 * one, in order; a message cut by that never had its end, so that octet
 * counting lets the receiver see it.
 *
 * The certificate must be signed by the CA given and be for server_name.
 */
#ifndef SINK_SYSLOG_H
#define SINK_SYSLOG_H

#include "dns.h"
#include "sink.h"

#define SINK_SYSLOG_BATCH (256u << 10)	/* bytes written between two checks */
#define SINK_SYSLOG_WINDOW (8u << 20)	/* bytes written, not yet delivered */
#define SINK_SYSLOG_STALL_MS 15000u
#define SINK_SYSLOG_PROBE_MS 3000u
#define SINK_SYSLOG_SETTLE_MS 1000u
#define SINK_SYSLOG_ASK_MS 100u		/* between two key updates */

struct sink_syslog_conf {
	const char *address;	/* host:port, [v6]:port; port 6514 by default */
	const char *server_name;	/* NULL: the host of address */
	const char *ca_pem;
	const char *hostname;	/* HOSTNAME of the messages */
	size_t max;		/* bytes of a message, 0: RFC5424_MAX */
	uint64_t stall_ms;	/* 0: SINK_SYSLOG_STALL_MS (tests) */
};

/* conf is copied; dns is borrowed until sink_close(). Connects when the loop
 * runs. NULL and err when conf cannot be right. Before the sandbox. */
struct sink *sink_syslog_new(struct loop *l, struct dns *dns,
    const struct sink_syslog_conf *conf, const struct sink_hooks *hooks,
    struct err *err) MUST_USE;
/* True when delivered means read by the program, not by its kernel. */
bool sink_syslog_confirms(const struct sink *s);

#endif
