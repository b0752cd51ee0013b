/* test_sink - the back-off of retries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "sink.h"

static void
test_backoff(void **state)
{
	uint64_t seen_low = UINT64_MAX, seen_high = 0;

	(void)state;
	for (int round = 0; round < 200; round++) {
		struct sink_backoff b = { 0 };
		uint64_t top = SINK_BACKOFF_MIN_MS;

		for (int i = 0; i < 12; i++) {
			uint64_t w = sink_backoff_next(&b);

			assert_in_range(w, SINK_BACKOFF_MIN_MS, top);
			assert_true(w >= top / 2);
			if (i == 11 && w < seen_low)
				seen_low = w;
			if (i == 11 && w > seen_high)
				seen_high = w;
			top = top * 2 > SINK_BACKOFF_MAX_MS ?
			    SINK_BACKOFF_MAX_MS : top * 2;
		}
		sink_backoff_reset(&b);
		assert_int_equal(sink_backoff_next(&b), SINK_BACKOFF_MIN_MS);
	}
	/* Jitter: they do not all come back at once. */
	assert_true(seen_high - seen_low > SINK_BACKOFF_MAX_MS / 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_backoff) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
