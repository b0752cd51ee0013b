/*
 * fuzz_redact - a body is indexed, redacted and inspected; what redaction
 * gives back must index again.  The first byte chooses the options; the real
 * packs are used, so run it in the root of the tree.
 */
#include <stdio.h>
#include <stdlib.h>

#include "inspect.h"
#include "redact.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct redact *red;
static struct inspect *ins;

static void
load(void)
{
	struct err err = { 0 };
	struct buf r, i;

	buf_init(&r, 64u << 20);
	buf_init(&i, 64u << 20);
	if (redact_compile("rules/redaction", &r, &err) == 0 &&
	    inspect_compile("rules/injection", &i, &err) == 0) {
		red = redact_load(buf_slice(&r), &err);
		ins = inspect_load(buf_slice(&i), &err);
	}
	if (red == NULL || ins == NULL) {
		fprintf(stderr, "%s\n", err.text);
		exit(1);
	}
	buf_free(&r);
	buf_free(&i);
}

static void
as_json(struct slice text, const struct redact_options *opt)
{
	struct json_doc d, again;
	struct inspect_report marks;
	struct redact_report rep;
	struct buf out;

	json_init(&d);
	json_init(&again);
	buf_init(&out, 1u << 24);
	if (json_index(&d, text, NULL) == JSON_OK) {
		enum redact_result r = redact_json(red, &d, text, opt, &out,
		    &rep);

		ASSERT((r == REDACT_CHANGED) == (out.len != 0));
		ASSERT((r == REDACT_CHANGED || r == REDACT_REFUSED) ==
		    (rep.total != 0));
		if (r == REDACT_CHANGED)
			ASSERT(json_index(&again, buf_slice(&out), NULL) ==
			    JSON_OK);
		inspect_json(ins, &d, 0, opt->shape, &marks);
	}
	json_free(&d);
	json_free(&again);
	buf_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct redact_options opt = { 0 };
	struct inspect_report marks;
	struct buf out;

	if (red == NULL)
		load();
	if (n < 1)
		return 0;
	struct slice text = slice_make(data + 1, n - 1);
	struct literals *lit = literals_new();

	opt.shape = data[0] & 1 ? SHAPE_MESSAGE : SHAPE_FREE;
	opt.refuse_numbers = (data[0] & 2) != 0;
	if (data[0] & 4 && literals_add(lit, slice_sub(text, n / 2, 12),
	    0) == 0)
		opt.literals = lit;
	as_json(text, &opt);
	buf_init(&out, 1u << 24);
	enum redact_result r = redact_text(red, text, &opt, &out, NULL);

	/* Text may be replaced whole, but never by nothing. */
	ASSERT((r == REDACT_CHANGED) == (out.len != 0));
	buf_free(&out);
	literals_free(lit);
	inspect_text(ins, text, &marks);
	return 0;
}
