/*
 * fuzz_opreq - operators' requests: either an error that says something, or a
 * request whose texts are visible and whose arguments are JSON that stays as
 * it is when compacted again; then the target in it.
 */
#include <stdint.h>
#include <stdlib.h>

#include "json.h"
#include "opreq.h"
#include "target.h"
#include "visible.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check_arguments(const char *args)
{
	struct err err = { 0 };
	char *again = opreq_compact_object(slice_str(args), &err);

	ASSERT(again != NULL && strcmp(again, args) == 0);
	free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice in = slice_make(data, n);
	struct err err = { 0 };
	struct target t;
	struct opreq r;

	if (opreq_parse(&r, in, &err) != 0)
		ASSERT(err.set && err.text[0] != '\0');
	else if (r.text[OPREQ_TARGET] != NULL &&
	    target_parse(&t, slice_str(r.text[OPREQ_TARGET]), &err) == 0)
		ASSERT(t.kind == TARGET_ALL || t.name.n > 0);
	for (size_t i = 0; i < OPREQ_FIELDS; i++)
		if (r.text[i] != NULL && i != OPREQ_ARGUMENTS)
			ASSERT(visible_is_clean(slice_str(r.text[i])));
	if (r.text[OPREQ_ARGUMENTS] != NULL)
		check_arguments(r.text[OPREQ_ARGUMENTS]);
	opreq_free(&r);
	return 0;
}
