/* fuzz_openapi - any bytes as an OpenAPI description: an error that is set,
 * or a connector's file that is refused for its placeholders alone and
 * compiles once they are filled in. */
#include <stdlib.h>

#include "connector.h"
#include "openapi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
on_warn(void *ctx, const char *text)
{
	(void)ctx;
	ASSERT(text[0] != '\0');
}

static int
compile(struct slice text, struct err *err)
{
	struct conf conf = { 0 };
	struct snap_writer w;
	int r;

	memset(err, 0, sizeof(*err));
	snap_writer_init(&w);
	r = connector_parse(&conf, NULL, "c", text, &w, err);
	snap_writer_free(&w);
	return r;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct openapi_options opt = { NULL, n % 2 == 0 ? "h.example" : NULL };
	struct err err = { 0 };
	struct buf out;
	char name[65], *text;

	if (n > 65536)
		return 0;
	buf_init(&out, OPENAPI_OUT_MAX);
	if (openapi_import("f", slice_make(data, n), &opt, &out, name, on_warn,
	    NULL, &err) != 0) {
		ASSERT(err.set && strncmp(err.text, "f:", 2) == 0);
		buf_free(&out);
		return 0;
	}
	ASSERT(!err.set && name[0] != '\0' && strlen(name) <= 64);
	text = slice_dup(buf_slice(&out));
	ASSERT(strlen(text) == out.len);
	ASSERT(compile(buf_slice(&out), &err) != 0);
	/* Beyond 1 MiB a person splits it. */
	if (out.len < 1 << 20) {
		for (char *p; (p = strstr(text, "FILL-IN")) != NULL;)
			memcpy(p, "someone", 7);
		ASSERT(compile(slice_str(text), &err) == 0);
	}
	free(text);
	buf_free(&out);
	return 0;
}
