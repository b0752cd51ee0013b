/* rng - see rng.h. */
#include "rng.h"

#include <errno.h>
#include <sys/random.h>

#include "clock.h"

#define POOL 512

static unsigned char pool[POOL];
static size_t pool_left;

static void
fill(unsigned char *p, size_t n)
{
	while (n > 0) {
		ssize_t k = getrandom(p, n, 0);

		ASSERT(k >= 0 || errno == EINTR);
		if (k < 0)
			continue;
		p += k;
		n -= (size_t)k;
	}
}

/* Small draws come from a pool refilled by one system call; what was given
 * out is erased from it. */
void
rng_bytes(void *p, size_t n)
{
	if (n > POOL / 4) {
		fill(p, n);
		return;
	}
	if (pool_left < n) {
		fill(pool, POOL);
		pool_left = POOL;
	}
	memcpy(p, pool + POOL - pool_left, n);
	explicit_bzero(pool + POOL - pool_left, n);
	pool_left -= n;
}

uint64_t
rng_u64(void)
{
	uint64_t v;

	rng_bytes(&v, sizeof(v));
	return v;
}

struct uuid
uuid_v7(void)
{
	static int64_t last_ms;
	static unsigned counter;
	int64_t ms = clock_wall_ms();
	struct uuid u;

	rng_bytes(u.b + 6, 10);
	if (ms > last_ms) {
		last_ms = ms;
		counter = (unsigned)(u.b[6] & 0x07) << 8 | u.b[7];
	} else if (++counter > 0xfff) {
		/* The counter is spent: borrow from the next millisecond. */
		last_ms++;
		counter = 0;
	}
	for (int i = 0; i < 6; i++)
		u.b[i] = (uint8_t)((uint64_t)last_ms >> (40 - 8 * i));
	u.b[6] = (uint8_t)(0x70 | counter >> 8);
	u.b[7] = (uint8_t)counter;
	u.b[8] = (uint8_t)((u.b[8] & 0x3f) | 0x80);
	return u;
}

void
uuid_format(struct uuid u, char out[UUID_TEXT_LEN])
{
	static const char digits[] = "0123456789abcdef";
	char *o = out;

	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*o++ = '-';
		*o++ = digits[u.b[i] >> 4];
		*o++ = digits[u.b[i] & 15];
	}
	*o = '\0';
}

static int
digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

bool
uuid_parse(struct slice s, struct uuid *u_r)
{
	struct uuid u;
	size_t at = 0;

	if (s.n != UUID_TEXT_LEN - 1)
		return false;
	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			if (s.p[at++] != '-')
				return false;
		int hi = digit(s.p[at]), lo = digit(s.p[at + 1]);

		if (hi < 0 || lo < 0)
			return false;
		u.b[i] = (uint8_t)(hi << 4 | lo);
		at += 2;
	}
	*u_r = u;
	return true;
}
