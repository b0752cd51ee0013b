/* shape - see shape.h. The tables are the message's tree; a row's key "*" is
 * any element of an array, "{}" any member of an object. */
#include "shape.h"

#include <stdlib.h>

enum when {
	BELOW,		/* not itself: what the row has below */
	KEEP,		/* never rewritten, nothing to inspect */
	READ,		/* never rewritten, but inspected */
	MEDIA		/* kept when the object beside it says it is media */
};

struct row {
	const char *key;
	enum when when;
	const struct row *below;
};

#define END { NULL, BELOW, NULL }

static const struct row task[] = {
	{ "taskId", KEEP, NULL }, { "ttl", KEEP, NULL },
	{ "pollInterval", KEEP, NULL }, END
};

static const struct row tasks[] = { { "*", BELOW, task }, END };

static const struct row meta[] = {
	{ "progressToken", KEEP, NULL }, { "traceparent", KEEP, NULL },
	{ "io.modelcontextprotocol/protocolVersion", KEEP, NULL },
	{ "io.modelcontextprotocol/subscriptionId", KEEP, NULL },
	{ "io.modelcontextprotocol/related-task", BELOW, task }, END
};

static const struct row resource[] = {
	{ "uri", READ, NULL }, { "mimeType", KEEP, NULL },
	{ "blob", MEDIA, NULL }, END
};

static const struct row block[] = {
	{ "type", KEEP, NULL }, { "mimeType", KEEP, NULL },
	{ "data", MEDIA, NULL }, { "uri", READ, NULL },
	{ "resource", BELOW, resource }, END
};

/* A prompt's or sampling's message has one block, or (2025-11-25) a list. */
static const struct row one_or_more[] = {
	{ "*", BELOW, block }, { "type", KEEP, NULL },
	{ "mimeType", KEEP, NULL }, { "data", MEDIA, NULL },
	{ "resource", BELOW, resource }, END
};

static const struct row message[] = {
	{ "role", KEEP, NULL }, { "content", BELOW, one_or_more }, END
};

static const struct row messages[] = { { "*", BELOW, message }, END };

static const struct row contents[] = { { "*", BELOW, resource }, END };

static const struct row listed[] = {
	{ "name", READ, NULL }, { "uri", READ, NULL },
	{ "uriTemplate", READ, NULL }, { "mimeType", KEEP, NULL },
	{ "inputSchema", READ, NULL }, { "outputSchema", READ, NULL }, END
};

static const struct row list[] = { { "*", BELOW, listed }, END };

/* What a server asks of the client inside a result (2026-07-28). */
static const struct row asked_params[] = {
	{ "url", READ, NULL }, { "elicitationId", KEEP, NULL },
	{ "requestedSchema", READ, NULL },
	{ "messages", BELOW, messages }, { "tools", BELOW, list },
	{ "_meta", BELOW, meta }, END
};

static const struct row asked[] = {
	{ "method", KEEP, NULL }, { "params", BELOW, asked_params }, END
};

static const struct row inputs[] = { { "{}", BELOW, asked }, END };

/* What a tool answered, inside the result of tasks/get. */
static const struct row inner[] = {
	{ "content", BELOW, one_or_more }, { "_meta", BELOW, meta }, END
};

/* What the client answered to it, inside the retried call. The content of a
 * form has whatever names the server chose: nothing is kept but media. */
static const struct row media[] = { { "data", MEDIA, NULL }, END };

static const struct row answered[] = {
	{ "*", BELOW, media }, { "data", MEDIA, NULL }, END
};

static const struct row answer[] = { { "content", BELOW, answered }, END };

static const struct row answers[] = { { "{}", BELOW, answer }, END };

static const struct row result[] = {
	{ "content", BELOW, one_or_more }, { "contents", BELOW, contents },
	{ "messages", BELOW, messages }, { "tools", BELOW, list },
	{ "resources", BELOW, list }, { "resourceTemplates", BELOW, list },
	{ "prompts", BELOW, list }, { "nextCursor", KEEP, NULL },
	{ "protocolVersion", KEEP, NULL }, { "taskId", KEEP, NULL },
	{ "role", KEEP, NULL }, { "_meta", BELOW, meta },
	{ "requestState", KEEP, NULL }, { "inputRequests", BELOW, inputs },
	{ "ttlMs", KEEP, NULL }, { "pollIntervalMs", KEEP, NULL },
	{ "result", BELOW, inner }, { "task", BELOW, task },
	{ "tasks", BELOW, tasks }, { "ttl", KEEP, NULL },
	{ "pollInterval", KEEP, NULL }, END
};

static const struct row ref[] = {
	{ "type", KEEP, NULL }, { "uri", READ, NULL },
	{ "name", READ, NULL }, END
};

static const struct row params[] = {
	{ "name", READ, NULL }, { "uri", READ, NULL },
	{ "cursor", KEEP, NULL }, { "requestId", KEEP, NULL },
	{ "progressToken", KEEP, NULL }, { "protocolVersion", KEEP, NULL },
	{ "requestedSchema", READ, NULL }, { "taskId", KEEP, NULL },
	{ "elicitationId", KEEP, NULL }, { "_meta", BELOW, meta },
	{ "ref", BELOW, ref }, { "messages", BELOW, messages },
	{ "url", READ, NULL }, { "requestState", KEEP, NULL },
	{ "inputResponses", BELOW, answers }, END
};

static const struct row error[] = { { "code", KEEP, NULL }, END };

static const struct row root[] = {
	{ "jsonrpc", KEEP, NULL }, { "id", KEEP, NULL },
	{ "method", KEEP, NULL }, { "params", BELOW, params },
	{ "result", BELOW, result }, { "error", BELOW, error }, END
};

struct skips {
	const struct json_doc *d;
	enum shape_use use;
	uint32_t *v;
	size_t n, cap;
};

static void
add(struct skips *s, uint32_t node)
{
	if (s->n == s->cap) {
		s->cap = s->cap == 0 ? 64 : s->cap * 2;
		s->v = base_realloc(s->v, s->cap * sizeof(*s->v));
	}
	s->v[s->n++] = node;
}

static bool
inner_starts(const struct json_doc *d, uint32_t node, const char *const *words)
{
	struct slice in = node == JSON_NONE ? slice_make(NULL, 0) :
	    json_inner(d, node);

	for (; *words != NULL; words++)
		if (slice_starts(in, *words))
			return true;
	return false;
}

/* Image, audio and the like: by the block's type or the MIME type. */
static bool
is_media(const struct json_doc *d, uint32_t obj)
{
	static const char *const blocks_of[] = { "image", "audio", NULL };
	static const char *const types[] = { "image/", "audio/", "video/",
		"font/", "application/pdf", "application/zip",
		"application/gzip", NULL };

	return inner_starts(d, json_member(d, obj, "type"), blocks_of) ||
	    inner_starts(d, json_member(d, obj, "mimeType"), types);
}

static bool
kept(const struct skips *s, const struct row *r, uint32_t obj)
{
	switch (r->when) {
	case KEEP:
		return true;
	case READ:
		return s->use == SHAPE_REDACT;
	case MEDIA:
		return is_media(s->d, obj);
	case BELOW:
		break;
	}
	return false;
}

static void rows_apply(struct skips *s, uint32_t node, const struct row *rows);

static void
row_apply(struct skips *s, uint32_t obj, uint32_t value, const struct row *r)
{
	if (kept(s, r, obj))
		add(s, value);
	else if (r->below != NULL)
		rows_apply(s, value, r->below);
}

/* Recursion follows the tables, which are six deep. */
static void
rows_apply(struct skips *s, uint32_t node, const struct row *rows)
{
	const struct json_doc *d = s->d;
	enum json_type type = json_typeof(d, node);

	if (type == JSON_ARRAY && strcmp(rows->key, "*") == 0)
		for (uint32_t i = json_first(d, node); i != JSON_NONE;
		    i = json_next(d, node, i))
			row_apply(s, node, i, rows);
	if (type != JSON_OBJECT)
		return;
	for (uint32_t i = json_first(d, node); i != JSON_NONE;
	    i = json_next(d, node, i + 1))
		for (const struct row *r = rows; r->key != NULL; r++)
			if (strcmp(r->key, "{}") == 0 ||
			    json_str_is(d, i, r->key)) {
				row_apply(s, node, i + 1, r);
				break;
			}
}

size_t
shape_skips(const struct json_doc *d, uint32_t node, enum shape shape,
    enum shape_use use, uint32_t **list_r, size_t *cap)
{
	struct skips s = { .d = d, .use = use, .v = *list_r, .cap = *cap };

	if (shape == SHAPE_MESSAGE)
		rows_apply(&s, node, root);
	*list_r = s.v;
	*cap = s.cap;
	return s.n;
}
