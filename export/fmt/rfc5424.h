/*
 * rfc5424 - one event as one syslog message (RFC 5424).
 *
 *   <PRI>1 TIMESTAMP HOSTNAME portreeve PROCID MSGID [SD-ELEMENT] MSG
 *
 *   PRI        facility 13 (log audit) * 8 + severity, see rfc5424_severity
 *   TIMESTAMP  the event's time; "-" when it has no RFC 3339 time
 *   PROCID     the event's role        MSGID   the event's type
 *   SD         portreeve@32473: id seq user agent connector tool verdict
 *              rule reason call, those that the event has; truncated or
 *              malformed ="1" when that happened
 *   MSG        the event, the stored bytes as they are; UTF-8 without a BOM
 *
 * 32473 is the enterprise number for documentation (RFC 5612): set your own
 * when you build (RFC5424_PEN).
 *
 * Parameter values escape `"`, `\` and `]` (RFC 5424, 6.3.3). A control
 * character is written as \u00XX, so that no value can break a line or drive
 * a terminal; a value above 256 bytes is cut and ends in "...". The whole
 * value is in MSG.
 *
 * Limit: the whole message takes at most `max` bytes (64 KiB unless told
 * otherwise). A larger event is cut as fit.h says and counted. Receivers must
 * be told to take such messages (rsyslog: maxMessageSize="64k"), RFC 5425
 * only asks for 8 KiB.
 */
#ifndef RFC5424_H
#define RFC5424_H

#include "base.h"
#include "buf.h"
#include "event.h"
#include "json.h"

#define RFC5424_MAX 65536
#define RFC5424_MIN 32768	/* headers of the worst kind and FIT_MIN */
#ifndef RFC5424_PEN
#define RFC5424_PEN "32473"
#endif

struct rfc5424 {
	char host[256];		/* 255 characters at most */
	size_t max;
	struct json_doc doc;	/* scratch */
	struct buf value;	/* scratch */
	uint64_t truncated, malformed;
};

/* host is made fit (RFC 5424, 6.2.4: printable ASCII, 255); NULL or "": "-".
 * max 0: RFC5424_MAX; at least RFC5424_MIN. */
void rfc5424_init(struct rfc5424 *f, const char *host, size_t max);
void rfc5424_free(struct rfc5424 *f);
/* Appends one message (without framing) to out. -1 when out has no room for
 * f->max bytes: nothing is appended. */
int rfc5424_format(struct rfc5424 *f, struct buf *out, uint64_t seq,
    struct slice event) MUST_USE;

/* Severity 1..6 by the event's type; of a finding by its severity; a denied
 * decision is a warning, a held one a notice. Empty slices: not given. */
int rfc5424_severity(struct slice type, struct slice verdict,
    struct slice severity);
/* Of the type alone, 0 when this table forgot one (a test asks). */
int rfc5424_type_severity(enum event_type t);

#endif
