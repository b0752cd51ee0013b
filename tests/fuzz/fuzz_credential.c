/* fuzz_credential - any bytes as the snapshot's section: what is accepted can
 * be packed into a header without control characters. */
#include <stdint.h>

#include "credential.h"
#include "pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct credential_set set = { 0 };
	struct err err = { 0 };

	if (credential_read(slice_make(data, n), &set, &err) != 0)
		ASSERT(err.set);
	for (size_t i = 0; !err.set && i < set.n; i++) {
		struct buf b;
		struct unpack u;

		buf_init(&b, n + 64);
		credential_pack_value(&b, &set.v[i], SLICE("value"));
		unpack_init(&u, buf_slice(&b));
		ASSERT(credential_value_ok(unpack_slice(&u)));
		ASSERT(unpack_done(&u));
		ASSERT(credential_defined(&set, slice_str(set.v[i].name)));
		buf_free(&b);
	}
	credential_clear(&set);
	return 0;
}
