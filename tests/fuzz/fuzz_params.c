/* fuzz_params - any bytes as a query, and as a path: what is written is JSON
 * with each name once, for the query never more names than it has. */
#include <stdlib.h>

#include "json.h"
#include "params.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice in = slice_make(data, n);
	struct json_doc d;
	struct jsonw w;
	struct buf b;

	if (n > 1 << 16)
		return 0;
	json_init(&d);
	buf_init(&b, 16 * n + 4096);
	jsonw_init(&w, &b);
	jsonw_object(&w, NULL);
	params_write_path(&w, "/a/{b}/{c}", in);
	if (params_write_query(&w, in) != 0)
		jsonw_str(&w, "query", "too many");
	jsonw_object_end(&w);
	ASSERT(!b.full);
	ASSERT(json_index(&d, buf_slice(&b), NULL) == JSON_OK);
	ASSERT(json_member(&d, 0, "query") != JSON_NONE);
	ASSERT(!params_has(in, "_method") || n >= 7);
	json_free(&d);
	buf_free(&b);
	return 0;
}
