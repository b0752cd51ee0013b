/* http1_impl - what the files of http1 and http2 share; for nobody else. */
#ifndef HTTP1_IMPL_H
#define HTTP1_IMPL_H

#include "base.h"
#include "http1.h"

#define C_TOKEN 1	/* tchar, RFC 9110, 5.6.2 */
#define C_PATH 2	/* may stand in the path of a target */
#define C_QUERY 4	/* may stand in its query */
#define C_TEXT 8	/* may stand in a value: HTAB, SP, VCHAR, obs-text */
#define C_HOST 16	/* small or capital letter, digit, "-", "_" */

extern const uint8_t http1_class[256];

static inline bool
http1_is(char c, uint8_t class)
{
	return (http1_class[(unsigned char)c] & class) != 0;
}

/* How many bytes from p on, at most n, are of the class. */
static inline size_t
http1_span(const char *p, size_t n, uint8_t class)
{
	size_t i = 0;

	while (i < n && http1_is(p[i], class))
		i++;
	return i;
}

/* The same for C_TEXT, eight bytes at a time. */
size_t http1_span_text(const char *p, size_t n);

static inline int
http1_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Flags of a known field. */
#define F_HOP 1		/* hop-by-hop, never forwarded */
#define F_SINGLE 2	/* twice in a head is an error */
#define F_KEEP 4	/* Connection must not nominate it */
#define F_FRAME 8	/* must not stand in a trailer */
#define F_OWN 16	/* the forwarder writes it itself */
#define F_METHOD 32	/* of a request: servers take it for the method */
#define F_TARGET 64	/* of a request: servers take it for the target */
#define F_PROXY 128	/* says what a proxy before us was asked */

uint8_t http1_known_flags(enum http1_known known);

#endif
