/*
 * fuzz_mcp - any bytes as a JSON-RPC message: indexed, read, answered. What
 * the writers make of it is JSON, with the id as it came.
 */
#include <stdlib.h>

#include "json.h"
#include "mcp.h"
#include "mirror.h"

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

/* Fields made of what the message says agree with it, and follow it. */
static void
mirror(const struct mcp_message *m)
{
	struct arena *a = arena_new(1 << 20);
	struct http1_head h;
	struct mirror *params;
	struct buf b, v;
	const char *why;
	size_t used;

	buf_init(&b, 1 << 20);
	buf_init(&v, 1 << 20);
	buf_addf(&b, "POST / HTTP/1.1\r\nHost: a\r\nMcp-Method: %.*s\r\n"
	    "MCP-Protocol-Version: %.*s\r\n", SLICE_FMT(m->method),
	    SLICE_FMT(m->version));
	if (m->mirrored != JSON_NONE && json_decode(&d, m->mirrored, &v) == 0) {
		buf_add_str(&b, "Mcp-Name: ");
		ASSERT(mirror_encode(buf_slice(&v), &b) == 0);
		buf_add_str(&b, "\r\n");
	}
	for (uint32_t k = json_first(&d, m->arguments); k != JSON_NONE;
	    k = json_next(&d, m->arguments, k + 1)) {
		buf_reset(&v);
		if (json_typeof(&d, m->arguments) != JSON_OBJECT ||
		    json_decode(&d, k + 1, &v) != 0)
			break;
		buf_addf(&b, "Mcp-Param-%u: ", k);
		ASSERT(mirror_encode(buf_slice(&v), &b) == 0);
		buf_add_str(&b, "\r\n");
	}
	buf_add_str(&b, "\r\n");
	http1_head_init(&h);
	if (!b.full && http1_parse_request(&h, buf_slice(&b), NULL, &used) ==
	    HTTP1_DONE) {
		enum mirror_result r = mirror_check(&h, &d, m, a, &params,
		    &why);

		ASSERT((r == MIRROR_MISMATCH) == (why != NULL));
		ASSERT(r != MIRROR_MODERN || slice_is(m->version, MCP_MODERN));
		for (unsigned i = 0; params != NULL && i < params->n; i++) {
			buf_reset(&v);
			ASSERT(mirror_value(&params->v[i], &d, m->arguments,
			    &v) == 0);
		}
	}
	buf_free(&b);
	buf_free(&v);
	arena_free(a);
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
		if (m.kind == MCP_REQUEST)
			mirror(&m);
		(void)mcp_ask_of(&d, i);
		ASSERT(mcp_url_allowed(&d, i) || json_typeof(&d, i) ==
		    JSON_OBJECT);
	}
	buf_init(&b, n + 100);
	if (mcp_add_note(&b, &d, "edited \"by\" a person\n") == 0)
		check(&b, slice_make(NULL, 0));
	buf_free(&b);
	return 0;
}
