/* fuzz_tz - any bytes as a time zone: what is accepted answers every time
 * within a day and with whole local days. */
#include "tz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const int64_t times[] = { INT64_MIN, -4000000000, -1, 0, 1,
		951782400, 1711846800, 4102444800, 253402300800, INT64_MAX };
	struct tz *z = tz_parse(slice_make(data, n));

	if (z == NULL)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		int offset = tz_offset(z, times[i]), day = -1, minute = -1;

		ASSERT(offset > -28 * 3600 && offset < 28 * 3600);
		tz_local(z, times[i], &day, &minute);
		ASSERT(day >= 0 && day < 7 && minute >= 0 && minute < 1440);
	}
	tz_free(z);
	return 0;
}
