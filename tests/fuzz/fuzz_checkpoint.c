/* Signed notes and verifier keys from anywhere: parsed, formatted again and
 * verified with a key that signed none of them. */
#include <stdlib.h>

#include "checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice s = slice_make(data, n);
	struct checkpoint_keys keys = { .n = 1 };
	struct checkpoint_key k;
	struct checkpoint c;
	struct err err = { 0 };
	static const char vkey[] = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzh"
	    "KqiBfsVkmqq/LDE4izWy10TW";

	if (checkpoint_key_parse(slice_str(vkey), &keys.key[0], &err) != 0)
		abort();
	if (checkpoint_parse(s, &c, &err) == 0) {
		struct buf b;

		/* The three lines come out as they went in. */
		buf_init(&b, n + 128);
		checkpoint_format(&b, c.origin, c.size, c.root);
		if (!slice_eq(buf_slice(&b), slice_sub(c.text, 0, b.len)) ||
		    c.text.n + 1 + c.sigs.n != n)
			abort();
		buf_free(&b);
		if (checkpoint_verify(&c, &keys, &err) == 0)
			abort();
	}
	(void)!checkpoint_key_parse(s, &k, &err);
	(void)!checkpoint_keys_parse(s, "fuzz", &keys, &err);
	return 0;
}
