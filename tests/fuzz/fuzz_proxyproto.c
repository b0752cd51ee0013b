/* fuzz_proxyproto - any bytes; what was read must hold its own promises, and
 * no prefix of a complete header may be an error or something else. */
#include <stdint.h>
#include <stdlib.h>

#include "proxyproto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct proxyproto p = { .local = false }, again;
	const char *why = NULL;
	size_t used = 0;
	enum proxyproto_status st = proxyproto_read(slice_make(data, n), &p,
	    &used, &why);

	ASSERT((st == PROXYPROTO_ERROR) == (why != NULL));
	if (st == PROXYPROTO_MORE)
		ASSERT(n < 16 + PROXYPROTO_V2_MAX);
	if (st != PROXYPROTO_DONE)
		return 0;
	ASSERT(used > 0 && used <= n);
	ASSERT(p.local || p.source.family == 4 || p.source.family == 6);
	for (size_t cut = 0; cut < used; cut++)
		ASSERT(proxyproto_read(slice_make(data, cut), &again, &used,
		    &why) == PROXYPROTO_MORE);
	return 0;
}
