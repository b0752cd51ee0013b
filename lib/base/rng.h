/* rng - the only source of randomness (getrandom), and UUIDv7 (RFC 9562). */
#ifndef RNG_H
#define RNG_H

#include "base.h"

void rng_bytes(void *p, size_t n);
uint64_t rng_u64(void);

struct uuid {
	uint8_t b[16];
};

#define UUID_TEXT_LEN 37	/* with NUL */

/* Version 7: 48 bits of wall milliseconds, 12 bits of counter that grows
 * within one millisecond (RFC 9562, 6.2 method 1), 62 random bits. */
struct uuid uuid_v7(void);
void uuid_format(struct uuid u, char out[UUID_TEXT_LEN]);
bool uuid_parse(struct slice s, struct uuid *u_r) MUST_USE;

static inline bool
uuid_eq(struct uuid a, struct uuid b)
{
	return memcmp(a.b, b.b, 16) == 0;
}

#endif
