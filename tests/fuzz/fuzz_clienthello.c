/* fuzz_clienthello - any bytes; what was read must hold its own promises,
 * and no prefix of a complete hello may be an error. */
#include <stdint.h>
#include <stdlib.h>

#include "clienthello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct clienthello ch;
	const char *why = NULL;
	char ja4[CLIENTHELLO_JA4_MAX];
	char again[ADDR_HOST_MAX];
	enum clienthello_status st = clienthello_read(slice_make(data, n),
	    &ch, &why);

	if (st == CLIENTHELLO_ERROR)
		ASSERT(why != NULL);
	if (st != CLIENTHELLO_DONE) {
		ASSERT(st != CLIENTHELLO_MORE || n < CLIENTHELLO_INPUT_MAX);
		return 0;
	}
	ASSERT(ch.nversions >= 1 && ch.nversions <= CLIENTHELLO_VERSIONS);
	if (ch.sni[0] != '\0')
		ASSERT(addr_host_normalise(slice_str(ch.sni), again) &&
		    slice_is(slice_str(again), ch.sni));
	clienthello_ja4(&ch, ja4);
	ASSERT(strlen(ja4) == 36 && ja4[10] == '_' && ja4[23] == '_');
	for (size_t cut = 0; cut < n && cut < 64; cut++) {
		st = clienthello_read(slice_make(data, cut), &ch, &why);
		ASSERT(st == CLIENTHELLO_MORE || st == CLIENTHELLO_DONE);
	}
	return 0;
}
