/*
 * fuzz_gateask - any bytes as a request of a harness, as its report, and as a
 * path and a query: an error that says something, or values that lie in the
 * text and within their limits.
 */
#include <stdlib.h>

#include "gateask.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check_inside(struct slice part, struct slice text)
{
	ASSERT(part.n == 0 || (part.p >= text.p && part.p + part.n <=
	    text.p + text.n));
}

static void
try_ask(const struct json_doc *d, struct slice in)
{
	const char *why = NULL;
	struct gateask a;

	if (gateask_read(d, &a, &why) != 0) {
		ASSERT(why != NULL && why[0] != '\0');
		return;
	}
	ASSERT(gateask_word_ok(a.connector) && gateask_tool_ok(a.tool));
	ASSERT(json_typeof(d, a.arguments) == JSON_OBJECT);
	ASSERT(a.device_class.n <= GATEASK_WORD_MAX);
	ASSERT(a.environment.n <= GATEASK_WORD_MAX);
	ASSERT(a.target == JSON_NONE ||
	    json_inner(d, a.target).n <= GATEASK_TARGET_MAX);
	ASSERT(a.wait_s <= GATEASK_WAIT_MAX);
	check_inside(a.connector, in);
	check_inside(a.tool, in);
	check_inside(a.device_class, in);
	check_inside(a.environment, in);
}

static void
try_report(const struct json_doc *d)
{
	const char *why = NULL;
	struct gateask_report p;

	if (gateask_read_report(d, &p, &why) != 0)
		ASSERT(why != NULL && why[0] != '\0');
	else
		ASSERT(p.status < GATEASK_STATUSES && (p.result == JSON_NONE ||
		    p.result < d->n));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice in = slice_make(data, n);
	struct json_doc d;
	struct uuid call;
	unsigned wait_s;

	if (gateask_path(in, &call) == GATEASK_ASK)
		ASSERT(slice_is(in, GATEASK_PATH));
	if (gateask_wait(in, &wait_s))
		ASSERT(wait_s <= GATEASK_WAIT_MAX);
	json_init(&d);
	if (json_index(&d, in, NULL) == JSON_OK) {
		try_ask(&d, in);
		try_report(&d);
	}
	json_free(&d);
	return 0;
}
