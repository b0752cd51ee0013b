/* fuzz_graphql - any bytes as a document: a reason, or an operation with
 * fields that are names of the document, in order and different. A first line
 * "!NAME" gives operationName. */
#include <stdlib.h>

#include "graphql.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check(struct slice doc, struct slice name)
{
	const char *p = doc.p, *end = doc.p + doc.n;

	ASSERT(name.n > 0 && name.n <= GRAPHQL_NAME && name.p >= p &&
	    name.p + name.n <= end);
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i], l = c | 0x20;

		ASSERT(c == '_' || (l >= 'a' && l <= 'z') || (i > 0 &&
		    c >= '0' && c <= '9'));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice doc = slice_make(data, n), op = slice_make("", 0);
	struct graphql g = { 0 };
	const char *why = NULL;

	if (doc.n > 0 && doc.p[0] == '!')
		op = slice_sub(slice_cut(&doc, '\n'), 1, SIZE_MAX);
	if (doc.p == NULL)
		doc = slice_make("", 0);
	if (graphql_read(doc, op, &g, &why) != 0) {
		ASSERT(why != NULL && g.n == 0);
		return 0;
	}
	ASSERT(g.type > GRAPHQL_NONE && g.type < GRAPHQL_TYPES);
	ASSERT(g.n > 0 && g.n <= GRAPHQL_FIELDS);
	ASSERT(op.n == 0 || slice_eq(op, g.name));
	for (size_t i = 0; i < g.n; i++) {
		check(doc, g.fields[i]);
		ASSERT(i == 0 || !slice_eq(g.fields[i - 1], g.fields[i]));
	}
	return 0;
}
