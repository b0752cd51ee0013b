/* fuzz_cursor - a damaged cursor file is never taken for a valid one that it
 * is not: what parses must be what a record says. */
#include <stdlib.h>

#include "cursor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct cursor c = { .seq = 77, .generation = 78 };
	enum cursor_found f = cursor_parse(slice_make(data, n), &c);

	if ((f == CURSOR_NONE) != (n == 0))
		abort();
	if (f != CURSOR_VALID && (c.seq != 77 || c.generation != 78))
		abort();
	/* The one record of the two that holds is enough, whatever the other
	 * half is. */
	if (f == CURSOR_VALID && n < 72)
		abort();
	return 0;
}
