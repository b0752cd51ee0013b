/*
 * clienthello - what a client says before TLS begins: which host it wants.
 *
 * Reads the first bytes of a connection without consuming them; the caller
 * hands the same bytes to TLS afterwards (the preface of tls_server_conn).
 * Sources: RFC 8446, 4.1.2, 5.1; RFC 6066, 3 (server_name); RFC 7301.
 */
#ifndef CLIENTHELLO_H
#define CLIENTHELLO_H

#include "addr.h"
#include "base.h"

#define CLIENTHELLO_MAX 16384	/* bytes of the handshake message */
#define CLIENTHELLO_RECORDS 32	/* records it may be cut into */
/* More bytes than this are never needed for an answer other than MORE. */
#define CLIENTHELLO_INPUT_MAX (4 + CLIENTHELLO_MAX + \
	5 * CLIENTHELLO_RECORDS)
#define CLIENTHELLO_VERSIONS 16

enum clienthello_status {
	CLIENTHELLO_MORE,	/* so far right, but not all of it */
	CLIENTHELLO_DONE,
	CLIENTHELLO_NOT_TLS,	/* the first bytes are no TLS record */
	CLIENTHELLO_ERROR	/* a TLS record, but malformed; see why */
};

struct clienthello {
	char sni[ADDR_HOST_MAX];	/* normalised; "": none */
	bool offers_h1, offers_h2;	/* by ALPN */
	bool has_alpn, has_ech, has_early_data;
	uint16_t legacy_version;
	uint16_t versions[CLIENTHELLO_VERSIONS];	/* GREASE left out */
	size_t nversions;
	struct slice suites, extensions;	/* as sent, in scratch; whole */
	uint8_t scratch[4 + CLIENTHELLO_MAX];	/* the message joined */
};

/* ch is filled on DONE only; *why_r is set on ERROR only. */
enum clienthello_status clienthello_read(struct slice in,
    struct clienthello *ch, const char **why_r);

/* Which TLS library with which settings sent it: JA4's fingerprint, such as
 * t13d1516h2_8daaf6152771_e5627efa2ab1. A claim of the client like all of
 * its hello; good for telling clients apart, not for trusting one.
 * Source: FoxIO, JA4 (TLS client), technical details. */
#define CLIENTHELLO_JA4_MAX 40
void clienthello_ja4(const struct clienthello *ch,
    char out[CLIENTHELLO_JA4_MAX]);

#endif
