/*
 * common - what the bench's load generator and origin share. Neither uses the
 * project's own TLS or HTTP: what is measured does not measure itself.
 */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STAMP_LETTERS 16

static inline uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* A time in letters only: digits could look like a card number to what is
 * measured, and would be redacted. */
static inline void
stamp_write(char out[STAMP_LETTERS + 1], uint64_t ns)
{
	for (int i = STAMP_LETTERS - 1; i >= 0; i--, ns >>= 4)
		out[i] = (char)('a' + (ns & 15));
	out[STAMP_LETTERS] = '\0';
}

static inline uint64_t
stamp_read(const char *p)
{
	uint64_t ns = 0;

	for (int i = 0; i < STAMP_LETTERS; i++)
		ns = ns << 4 | (uint64_t)((p[i] - 'a') & 15);
	return ns;
}

static inline void
die(const char *what)
{
	perror(what);
	exit(1);
}

/* "127.0.0.1:PORT"; only the loopback is ever put under load. */
static inline void
parse_address(const char *text, struct sockaddr_in *a)
{
	char host[64];
	const char *colon = strrchr(text, ':');

	memset(a, 0, sizeof(*a));
	a->sin_family = AF_INET;
	if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
		goto bad;
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	a->sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	if (inet_pton(AF_INET, host, &a->sin_addr) == 1 &&
	    ntohl(a->sin_addr.s_addr) >> 24 == 127)
		return;
bad:
	fprintf(stderr, "%s: 127.x.x.x:PORT is wanted\n", text);
	exit(64);
}

#endif
