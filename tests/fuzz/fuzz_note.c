/* fuzz_note - any text given to be signed: what is signed is a checkpoint. */
#include <stdint.h>

#include "note.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const uint8_t seed[NOTE_SEED] = { 1 };
	struct slice text = slice_make(data, n);
	struct note_signer *s = note_signer_new("fuzz", seed);
	struct err err = { 0 };
	struct buf out;

	buf_init(&out, NOTE_TEXT_MAX + 1024);
	if (note_sign(s, text, &out, &err) == 0) {
		ASSERT(!out.full && out.len > n && n > 0);
		ASSERT(slice_eq(slice_sub(buf_slice(&out), 0, n), text));
		ASSERT(data[n - 1] == '\n');
	} else {
		ASSERT(err.set && out.len == 0);
	}
	buf_free(&out);
	note_signer_free(s);
	return 0;
}
