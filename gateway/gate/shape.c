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
	size_t n;		/* its length */
	enum when when;
	const struct row *below;
};

#define ROW(key, when, below) { key, sizeof(key) - 1, when, below }
#define END { NULL, 0, BELOW, NULL }

static const struct row task[] = {
	ROW("taskId", KEEP, NULL), ROW("ttl", KEEP, NULL),
	ROW("pollInterval", KEEP, NULL), END
};

static const struct row tasks[] = { ROW("*", BELOW, task), END };

static const struct row meta[] = {
	ROW("progressToken", KEEP, NULL), ROW("traceparent", KEEP, NULL),
	ROW("io.modelcontextprotocol/protocolVersion", KEEP, NULL),
	ROW("io.modelcontextprotocol/subscriptionId", KEEP, NULL),
	ROW("io.modelcontextprotocol/related-task", BELOW, task), END
};

static const struct row resource[] = {
	ROW("uri", READ, NULL), ROW("mimeType", KEEP, NULL),
	ROW("blob", MEDIA, NULL), END
};

static const struct row block[] = {
	ROW("type", KEEP, NULL), ROW("mimeType", KEEP, NULL),
	ROW("data", MEDIA, NULL), ROW("uri", READ, NULL),
	ROW("resource", BELOW, resource), END
};

/* A prompt's or sampling's message has one block, or (2025-11-25) a list. */
static const struct row one_or_more[] = {
	ROW("*", BELOW, block), ROW("type", KEEP, NULL),
	ROW("mimeType", KEEP, NULL), ROW("data", MEDIA, NULL),
	ROW("resource", BELOW, resource), END
};

static const struct row message[] = {
	ROW("role", KEEP, NULL), ROW("content", BELOW, one_or_more), END
};

static const struct row messages[] = { ROW("*", BELOW, message), END };

static const struct row contents[] = { ROW("*", BELOW, resource), END };

static const struct row listed[] = {
	ROW("name", READ, NULL), ROW("uri", READ, NULL),
	ROW("uriTemplate", READ, NULL), ROW("mimeType", KEEP, NULL),
	ROW("inputSchema", READ, NULL), ROW("outputSchema", READ, NULL), END
};

static const struct row list[] = { ROW("*", BELOW, listed), END };

/* What a server asks of the client inside a result (2026-07-28). */
static const struct row asked_params[] = {
	ROW("url", READ, NULL), ROW("elicitationId", KEEP, NULL),
	ROW("requestedSchema", READ, NULL),
	ROW("messages", BELOW, messages), ROW("tools", BELOW, list),
	ROW("_meta", BELOW, meta), END
};

static const struct row asked[] = {
	ROW("method", KEEP, NULL), ROW("params", BELOW, asked_params), END
};

static const struct row inputs[] = { ROW("{}", BELOW, asked), END };

/* What a tool answered, inside the result of tasks/get. */
static const struct row inner[] = {
	ROW("content", BELOW, one_or_more), ROW("_meta", BELOW, meta), END
};

/* What the client answered to it, inside the retried call. The content of a
 * form has whatever names the server chose: nothing is kept but media. */
static const struct row media[] = { ROW("data", MEDIA, NULL), END };

static const struct row answered[] = {
	ROW("*", BELOW, media), ROW("data", MEDIA, NULL), END
};

static const struct row answer[] = { ROW("content", BELOW, answered), END };

static const struct row answers[] = { ROW("{}", BELOW, answer), END };

static const struct row result[] = {
	ROW("content", BELOW, one_or_more), ROW("contents", BELOW, contents),
	ROW("messages", BELOW, messages), ROW("tools", BELOW, list),
	ROW("resources", BELOW, list), ROW("resourceTemplates", BELOW, list),
	ROW("prompts", BELOW, list), ROW("nextCursor", KEEP, NULL),
	ROW("protocolVersion", KEEP, NULL), ROW("taskId", KEEP, NULL),
	ROW("role", KEEP, NULL), ROW("_meta", BELOW, meta),
	ROW("requestState", KEEP, NULL), ROW("inputRequests", BELOW, inputs),
	ROW("ttlMs", KEEP, NULL), ROW("pollIntervalMs", KEEP, NULL),
	ROW("result", BELOW, inner), ROW("task", BELOW, task),
	ROW("tasks", BELOW, tasks), ROW("ttl", KEEP, NULL),
	ROW("pollInterval", KEEP, NULL), END
};

static const struct row ref[] = {
	ROW("type", KEEP, NULL), ROW("uri", READ, NULL),
	ROW("name", READ, NULL), END
};

static const struct row params[] = {
	ROW("name", READ, NULL), ROW("uri", READ, NULL),
	ROW("cursor", KEEP, NULL), ROW("requestId", KEEP, NULL),
	ROW("progressToken", KEEP, NULL), ROW("protocolVersion", KEEP, NULL),
	ROW("requestedSchema", READ, NULL), ROW("taskId", KEEP, NULL),
	ROW("elicitationId", KEEP, NULL), ROW("_meta", BELOW, meta),
	ROW("ref", BELOW, ref), ROW("messages", BELOW, messages),
	ROW("url", READ, NULL), ROW("requestState", KEEP, NULL),
	ROW("inputResponses", BELOW, answers), END
};

static const struct row error[] = { ROW("code", KEEP, NULL), END };

static const struct row root[] = {
	ROW("jsonrpc", KEEP, NULL), ROW("id", KEEP, NULL),
	ROW("method", KEEP, NULL), ROW("params", BELOW, params),
	ROW("result", BELOW, result), ROW("error", BELOW, error), END
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

/* The row of a key, NULL when there is none. */
static const struct row *
row_of(const struct json_doc *d, uint32_t key, const struct row *rows)
{
	struct slice k = json_inner(d, key);
	bool plain = (d->nodes[key].flags & JSON_ESCAPED) == 0;

	if (rows->n == 2 && memcmp(rows->key, "{}", 2) == 0)
		return rows;
	for (; rows->key != NULL; rows++)
		if (plain ? k.n == rows->n &&
		    memcmp(k.p, rows->key, k.n) == 0 :
		    json_str_is(d, key, rows->key))
			return rows;
	return NULL;
}

/* Recursion follows the tables, which are six deep. */
static void
rows_apply(struct skips *s, uint32_t node, const struct row *rows)
{
	const struct json_doc *d = s->d;
	enum json_type type = json_typeof(d, node);
	const struct row *r;

	uint32_t end = type == 0 ? 0 : d->nodes[node].end;

	if (type == JSON_ARRAY && rows->n == 1 && rows->key[0] == '*')
		for (uint32_t i = node + 1; i < end; i = d->nodes[i].end)
			row_apply(s, node, i, rows);
	if (type != JSON_OBJECT)
		return;
	for (uint32_t i = node + 1; i < end; i = d->nodes[i + 1].end)
		if ((r = row_of(d, i, rows)) != NULL)
			row_apply(s, node, i + 1, r);
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
