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

/* Where the digits of each byte stand in the text. */
static const uint8_t starts[16] = { 0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26,
	28, 30, 32, 34 };

void
uuid_format(struct uuid u, char out[UUID_TEXT_LEN])
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < 16; i++) {
		out[starts[i]] = digits[u.b[i] >> 4];
		out[starts[i] + 1] = digits[u.b[i] & 15];
	}
	out[8] = out[13] = out[18] = out[23] = '-';
	out[36] = '\0';
}

/* Value + 1 of a digit, 0: it is none. Only lower case is written and read. */
static const uint8_t digit_of[256] = {
	['0'] = 1, ['1'] = 2, ['2'] = 3, ['3'] = 4, ['4'] = 5, ['5'] = 6,
	['6'] = 7, ['7'] = 8, ['8'] = 9, ['9'] = 10, ['a'] = 11, ['b'] = 12,
	['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
};

bool
uuid_parse(struct slice s, struct uuid *u_r)
{
	const unsigned char *p = (const unsigned char *)s.p;
	bool bad = false;
	struct uuid u;

	if (s.n != UUID_TEXT_LEN - 1 || p[8] != '-' || p[13] != '-' ||
	    p[18] != '-' || p[23] != '-')
		return false;
	for (int i = 0; i < 16; i++) {
		unsigned hi = digit_of[p[starts[i]]];
		unsigned lo = digit_of[p[starts[i] + 1]];

		bad |= hi == 0 || lo == 0;
		u.b[i] = (uint8_t)((hi - 1) << 4 | (lo - 1));
	}
	if (bad)
		return false;
	*u_r = u;
	return true;
}
