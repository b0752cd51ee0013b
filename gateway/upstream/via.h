/*
 * via - the way through another proxy: CONNECT over a connected descriptor,
 * until the tunnel stands.
 *
 * The other proxy resolves the name, so the address guard sees names only;
 * an IP literal is guarded before it is asked for. Its answer is read
 * strictly, at most VIA_HEAD_MAX bytes; bytes behind the head are refused,
 * since whoever we call does not speak first.
 * Source: RFC 9110, 9.3.6 (CONNECT), 11.7 (Proxy-Authorization).
 */
#ifndef VIA_H
#define VIA_H

#include "addr.h"
#include "base.h"

#define VIA_HEAD_MAX 16384

struct via_target {
	const char *host;		/* of the proxy, normalised */
	uint16_t port;
	struct slice authorization;	/* Proxy-Authorization; n == 0: none */
};

struct via;

enum via_result { VIA_READ, VIA_WRITE, VIA_DONE, VIA_FAILED };

/* host, port: what is asked for. NULL: they do not fit a request. */
struct via *via_new(const struct via_target *t, const char *host,
    uint16_t port) MUST_USE;
void via_free(struct via *v);		/* NULL-safe; wipes */
/* Call when fd is ready for what the last answer named; the first time when
 * it is connected. */
enum via_result via_step(struct via *v, int fd);
/* After VIA_FAILED: one sentence. */
const char *via_error(const struct via *v);

#endif
