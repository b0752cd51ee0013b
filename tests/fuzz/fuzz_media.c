/*
 * fuzz_media - a Content-Type, Content-Encoding or Accept of any bytes.
 *
 * Invariants: what is kept lies inside the input; what cannot be parsed is
 * not inspectable; naming a type is a way of accepting it.
 */
#include "media.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool
inside(struct slice part, struct slice all)
{
	return part.p == NULL ||
	    (part.p >= all.p && part.p + part.n <= all.p + all.n);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice in = slice_make(data, n);
	struct media m;

	bool ok = media_parse(in, &m);

	ASSERT(ok == (m.kind != MEDIA_INVALID));
	ASSERT(ok || !media_inspectable(&m));
	ASSERT(inside(m.type, in) && inside(m.subtype, in) &&
	    inside(m.charset, in) && inside(m.boundary, in));
	ASSERT(m.charset.p == NULL || m.charset.n > 0);
	ASSERT(m.kind != MEDIA_MULTIPART || m.boundary.n > 0);
	if (media_accepts_named(in, "text/event-stream"))
		ASSERT(media_accepts(in, "text/event-stream"));
	if (media_coding_of(in) == MEDIA_CODING_IDENTITY)
		ASSERT(slice_trim(in).n == 0 ||
		    slice_is_nocase(slice_trim(in), "identity"));
	return 0;
}
