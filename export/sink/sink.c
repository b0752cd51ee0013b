/* sink - see sink.h. */
#include "sink.h"

#include "rng.h"

uint64_t
sink_backoff_next(struct sink_backoff *b)
{
	uint64_t top = SINK_BACKOFF_MIN_MS;

	for (unsigned i = 0; i < b->tries && top < SINK_BACKOFF_MAX_MS; i++)
		top *= 2;
	if (top > SINK_BACKOFF_MAX_MS)
		top = SINK_BACKOFF_MAX_MS;
	if (b->tries < 16)
		b->tries++;
	/* Half of the interval is jitter, never below the minimum. */
	uint64_t low = top / 2 < SINK_BACKOFF_MIN_MS ? SINK_BACKOFF_MIN_MS :
	    top / 2;

	return low + rng_u64() % (top - low + 1);
}
