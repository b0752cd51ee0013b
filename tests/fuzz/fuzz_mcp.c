/*
 * fuzz_mcp - any bytes as a JSON-RPC message: indexed, read, answered. What
 * the writers make of it is JSON, with the id as it came.
 */
#include <stdlib.h>

#include "json.h"
#include "mcp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct json_doc d, back;

/* The answer is JSON and bears this id. */
static void
check(const struct buf *b, struct slice id)
{
	ASSERT(!b->full);
	ASSERT(json_index(&back, buf_slice(b), NULL) == JSON_OK);
	if (id.n != 0)
		ASSERT(slice_eq(json_raw(&back, json_member(&back, 0, "id")),
		    id));
}

static void
answer(const struct mcp_message *m)
{
	char *text = base_strndup(m->tool.p, m->tool.n);
	struct buf b;

	buf_init(&b, 64 << 20);
	/* What came from outside stands in texts too. */
	mcp_write_denial(&b, m->id, m->id.n % 2 == 0, text, "policy", text);
	check(&b, m->id);
	buf_reset(&b);
	mcp_write_revision(&b, m->id, text, m->version);
	check(&b, m->id);
	buf_reset(&b);
	mcp_write_error(&b, m->id, MCP_CODE_REFUSED, text, "x", NULL);
	check(&b, m->id);
	if (m->progress_token.n != 0) {
		buf_reset(&b);
		mcp_write_progress(&b, m->progress_token, 1, text);
		check(&b, slice_make(NULL, 0));
		ASSERT(slice_eq(json_raw(&back, json_path(&back, 0, "params",
		    "progressToken", NULL)), m->progress_token));
	}
	if (m->id.n != 0) {
		buf_reset(&b);
		mcp_write_cancelled(&b, m->id, text);
		check(&b, slice_make(NULL, 0));
	}
	buf_free(&b);
	free(text);
}

static void
check_shape(const struct mcp_message *m)
{
	ASSERT((m->kind == MCP_INVALID) == (m->error != NULL));
	ASSERT(m->kind != MCP_REQUEST || (m->id.n > 0 && m->method.n > 0));
	ASSERT(m->kind != MCP_NOTIFICATION || m->id.n == 0);
	if (m->kind == MCP_REQUEST && (m->operation == ACTION_READ ||
	    slice_is(m->method, "tools/call")))
		ASSERT(m->tool.n > 0 && slice_chr(m->tool, '\\') < 0);
	if (m->kind != MCP_INVALID && m->operation == ACTION_CALL)
		ASSERT(m->arguments == JSON_NONE ||
		    json_typeof(&d, m->arguments) == JSON_OBJECT);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct json_limits lim = { 64, 10000 };
	struct mcp_message m;
	struct buf b;

	if (json_index(&d, slice_make(data, n), &lim) != JSON_OK)
		return 0;
	for (uint32_t i = 0; i < d.n && i < 8; i++) {
		mcp_read(&d, i, &m);
		check_shape(&m);
		answer(&m);
	}
	buf_init(&b, n + 100);
	if (mcp_add_note(&b, &d, "edited \"by\" a person\n") == 0)
		check(&b, slice_make(NULL, 0));
	buf_free(&b);
	return 0;
}
