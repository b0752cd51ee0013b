/* mcp - see mcp.h. */
#include "mcp.h"

#include "http1.h"
#include "jsonw.h"

static const struct {
	const char *method;
	enum action_operation op;
	const char *name_key;	/* in params: what it is about */
	const char *mirror_key;	/* in params: what Mcp-Name repeats */
	bool old;		/* no longer there in MCP_MODERN */
} methods[] = {
	{ "tools/call", ACTION_CALL, "name", "name", false },
	{ "resources/read", ACTION_READ, "uri", "uri", false },
	{ "resources/subscribe", ACTION_READ, "uri", NULL, true },
	{ "prompts/get", ACTION_READ, "name", "name", false },
	{ "tools/list", ACTION_LIST, NULL, NULL, false },
	{ "resources/list", ACTION_LIST, NULL, NULL, false },
	{ "resources/templates/list", ACTION_LIST, NULL, NULL, false },
	{ "prompts/list", ACTION_LIST, NULL, NULL, false },
	{ "initialize", ACTION_PROTOCOL, NULL, NULL, false },
	{ "server/discover", ACTION_PROTOCOL, NULL, NULL, false },
	{ "subscriptions/listen", ACTION_PROTOCOL, NULL, NULL, false },
	{ "ping", ACTION_PROTOCOL, NULL, NULL, false },
	{ "logging/setLevel", ACTION_PROTOCOL, NULL, NULL, false },
	{ "completion/complete", ACTION_PROTOCOL, NULL, NULL, false },
	{ "resources/unsubscribe", ACTION_PROTOCOL, NULL, NULL, false },
	{ "tasks/get", ACTION_PROTOCOL, NULL, "taskId", false },
	{ "tasks/result", ACTION_PROTOCOL, NULL, NULL, false },
	{ "tasks/list", ACTION_PROTOCOL, NULL, NULL, false },
	{ "tasks/update", ACTION_PROTOCOL, NULL, "taskId", false },
	{ "tasks/cancel", ACTION_PROTOCOL, NULL, "taskId", false },
};

bool
mcp_modern(struct slice version)
{
	/* Dates compare as text; what has another form is none of ours. */
	return version.n == sizeof(MCP_MODERN) - 1 &&
	    memcmp(version.p, MCP_MODERN, version.n) >= 0;
}

static struct slice
plain_string(const struct json_doc *d, uint32_t node)
{
	/* A name that is written with escapes could be compared as another:
	 * no honest client writes one. */
	if (json_typeof(d, node) != JSON_STRING ||
	    (d->nodes[node].flags & JSON_ESCAPED) != 0)
		return slice_make(NULL, 0);
	return json_inner(d, node);
}

/* A key as loose readers compare it: in small letters (Go's encoding/json, to
 * which the long s and the Kelvin sign are letters too), up to a NUL. */
static bool
loosely(struct slice key, const char *name)
{
	size_t i = 0, n = strlen(name), k = 0;

	for (; i < key.n && key.p[i] != '\0' && k < n; k++) {
		unsigned char c = (unsigned char)key.p[i];
		size_t left = key.n - i;

		if (left >= 2 && memcmp(key.p + i, "\xc5\xbf", 2) == 0) {
			c = 's';
			i += 2;
		} else if (left >= 3 &&
		    memcmp(key.p + i, "\xe2\x84\xaa", 3) == 0) {
			c = 'k';
			i += 3;
		} else {
			i++;
		}
		if (c >= 'A' && c <= 'Z')
			c |= 0x20;
		if (c != (name[k] >= 'A' && name[k] <= 'Z' ?
		    (unsigned char)(name[k] | 0x20) : (unsigned char)name[k]))
			return false;
	}
	return k == n && (i == key.n || key.p[i] == '\0');
}

static bool
key_looks_like(const struct json_doc *d, uint32_t key,
    const char *const *names, size_t n)
{
	struct slice s = json_inner(d, key);
	bool found = false;
	struct buf b;

	buf_init(&b, s.n + 1);
	if ((d->nodes[key].flags & JSON_ESCAPED) != 0) {
		found = json_decode(d, key, &b) != 0;
		s = buf_slice(&b);
	}
	for (size_t i = 0; i < n && !found; i++)
		found = loosely(s, names[i]) && !slice_is(s, names[i]);
	buf_free(&b);
	return found;
}

/* Has the object a key that some reader takes for one of these? */
static bool
has_lookalike(const struct json_doc *d, uint32_t obj,
    const char *const *names, size_t n)
{
	if (json_typeof(d, obj) != JSON_OBJECT)
		return false;
	for (uint32_t k = json_first(d, obj); k != JSON_NONE;
	    k = json_next(d, obj, k + 1))
		if (key_looks_like(d, k, names, n))
			return true;
	return false;
}

static const char lookalike_text[] = "a key looks like another that counts";

static bool
object_or_none(const struct json_doc *d, uint32_t node)
{
	return node == JSON_NONE || json_typeof(d, node) == JSON_OBJECT;
}

/* What the gate reads in params must be read alike by everybody. */
static const char *
params_fault(const struct json_doc *d, uint32_t params, uint32_t meta)
{
	static const char *const names[] = { "name", "uri", "arguments",
		"_meta", "inputResponses", "taskId", "requestId" };

	if (!object_or_none(d, params))
		return "params must be an object";
	if (!object_or_none(d, meta))
		return "_meta must be an object";
	return has_lookalike(d, params, names, ARRAY_LEN(names)) ?
	    lookalike_text : NULL;
}

static void
read_params(const struct json_doc *d, uint32_t node, struct mcp_message *m)
{
	uint32_t params = json_member(d, node, "params"), name, meta, version;

	m->responses = json_member(d, params, "inputResponses");
	meta = json_member(d, params, "_meta");
	version = json_member(d, meta,
	    "io.modelcontextprotocol/protocolVersion");
	m->version = plain_string(d, version);
	m->error = params_fault(d, params, meta);
	if (m->error == NULL && version != JSON_NONE && m->version.n == 0)
		m->error = "the revision in _meta must be a plain, "
		    "non-empty string";
	if (m->error != NULL) {
		m->kind = MCP_INVALID;
		return;
	}
	m->arguments = params;
	m->operation = ACTION_CALL;	/* what is not known is gated as a call */
	if (m->kind == MCP_NOTIFICATION)
		m->operation = ACTION_PROTOCOL;
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		if (!slice_is(m->method, methods[i].method) ||
		    (methods[i].old && mcp_modern(m->version)))
			continue;
		m->operation = methods[i].op;
		if (methods[i].mirror_key != NULL)
			m->mirrored = json_member(d, params,
			    methods[i].mirror_key);
		if (methods[i].name_key == NULL)
			break;
		name = json_member(d, params, methods[i].name_key);
		m->tool = plain_string(d, name);
		if (m->tool.n == 0) {
			m->kind = MCP_INVALID;
			m->error = "params.name or params.uri must be a "
			    "plain, non-empty string";
		}
		if (methods[i].op == ACTION_CALL)
			m->arguments = json_member(d, params, "arguments");
		break;
	}
	if (m->arguments != JSON_NONE && m->operation == ACTION_CALL &&
	    json_typeof(d, m->arguments) != JSON_OBJECT) {
		m->kind = MCP_INVALID;
		m->error = "arguments must be an object";
	}
	if (slice_is(m->method, "notifications/cancelled"))
		m->cancel_id = json_raw(d, json_member(d, params,
		    "requestId"));
	uint32_t token = json_member(d, meta, "progressToken");

	if (json_typeof(d, token) == JSON_STRING ||
	    json_typeof(d, token) == JSON_NUMBER)
		m->progress_token = json_raw(d, token);
}

void
mcp_read(const struct json_doc *d, uint32_t node, struct mcp_message *m)
{
	static const char *const names[] = { "jsonrpc", "id", "method",
		"params", "result", "error" };
	uint32_t id, method;

	memset(m, 0, sizeof(*m));
	m->arguments = m->mirrored = m->responses = JSON_NONE;
	if (json_typeof(d, node) == JSON_ARRAY) {
		m->kind = MCP_BATCH;
		return;
	}
	if (!json_str_is(d, json_member(d, node, "jsonrpc"), "2.0")) {
		m->error = "not a JSON-RPC 2.0 message";
		return;
	}
	if (has_lookalike(d, node, names, ARRAY_LEN(names))) {
		m->error = lookalike_text;
		return;
	}
	id = json_member(d, node, "id");
	method = json_member(d, node, "method");
	if (id != JSON_NONE) {
		enum json_type t = json_typeof(d, id);

		if (t != JSON_STRING && t != JSON_NUMBER &&
		    !(t == JSON_NULL && method == JSON_NONE)) {
			m->error = "id must be a string or a number";
			return;
		}
		m->id = json_raw(d, id);
	}
	if (method == JSON_NONE) {
		if (json_member(d, node, "result") == JSON_NONE &&
		    json_member(d, node, "error") == JSON_NONE)
			m->error = "neither method, result nor error";
		else
			m->kind = MCP_RESPONSE;
		return;
	}
	if (json_member(d, node, "result") != JSON_NONE ||
	    json_member(d, node, "error") != JSON_NONE) {
		m->error = "a message with a method has no result or error";
		return;
	}
	m->method = plain_string(d, method);
	if (m->method.n == 0) {
		m->error = "method must be a plain, non-empty string";
		return;
	}
	m->kind = id == JSON_NONE ? MCP_NOTIFICATION : MCP_REQUEST;
	read_params(d, node, m);
}

bool
mcp_names_uri(struct slice method)
{
	return slice_starts(method, "resources/") ||
	    slice_is(method, "completion/complete");
}

enum mcp_ask
mcp_ask_of(const struct json_doc *d, uint32_t method)
{
	static const char *const names[MCP_ASKS] = {
		[MCP_ASK_SAMPLING] = "sampling/createMessage",
		[MCP_ASK_ELICITATION] = "elicitation/create",
		[MCP_ASK_ROOTS] = "roots/list", [MCP_ASK_PING] = "ping" };

	for (int i = 0; i < MCP_ASKS; i++)
		if (names[i] != NULL && json_str_is(d, method, names[i]))
			return (enum mcp_ask)i;
	return MCP_ASK_OTHER;
}

bool
mcp_url_allowed(const struct json_doc *d, uint32_t node)
{
	uint32_t url = json_member(d, node, "url");
	struct http1_url u;
	struct slice text;
	struct buf b;
	bool ok;

	if (url == JSON_NONE)
		return !json_str_is(d, json_member(d, node, "mode"), "url");
	buf_init(&b, 65536);
	ok = json_decode(d, url, &b) == 0;
	text = buf_slice(&b);
	ok = ok && http1_url_parse(slice_cut(&text, '#'), &u) == HTTP1_E_NONE;
	buf_free(&b);
	return ok;
}

static void
begin(struct jsonw *w, struct buf *b, struct slice id)
{
	jsonw_init(w, b);
	jsonw_object(w, NULL);
	jsonw_str(w, "jsonrpc", "2.0");
	jsonw_raw(w, "id", id.n == 0 ? SLICE("null") : id);
}

static void
meta(struct jsonw *w, const char *key, const char *reason, const char *event)
{
	jsonw_object(w, key);
	jsonw_str(w, "portreeve/reason", reason);
	if (event != NULL)
		jsonw_str(w, "portreeve/event", event);
	jsonw_object_end(w);
}

void
mcp_write_denial(struct buf *b, struct slice id, bool modern,
    const char *text, const char *reason, const char *event)
{
	struct jsonw w;

	begin(&w, b, id);
	jsonw_object(&w, "result");
	if (modern)
		jsonw_str(&w, "resultType", "complete");
	jsonw_array(&w, "content");
	jsonw_object(&w, NULL);
	jsonw_str(&w, "type", "text");
	jsonw_str(&w, "text", text);
	jsonw_object_end(&w);
	jsonw_array_end(&w);
	jsonw_bool(&w, "isError", true);
	meta(&w, "_meta", reason, event);
	jsonw_object_end(&w);
	jsonw_object_end(&w);
}

void
mcp_write_error(struct buf *b, struct slice id, int code, const char *text,
    const char *reason, const char *event)
{
	struct jsonw w;

	begin(&w, b, id);
	jsonw_object(&w, "error");
	jsonw_int(&w, "code", code);
	jsonw_str(&w, "message", text);
	meta(&w, "data", reason, event);
	jsonw_object_end(&w);
	jsonw_object_end(&w);
}

void
mcp_write_revision(struct buf *b, struct slice id, const char *text,
    struct slice requested)
{
	struct jsonw w;

	begin(&w, b, id);
	jsonw_object(&w, "error");
	jsonw_int(&w, "code", MCP_CODE_REVISION);
	jsonw_str(&w, "message", text);
	jsonw_object(&w, "data");
	jsonw_array(&w, "supported");
	jsonw_str(&w, NULL, MCP_MODERN);
	jsonw_array_end(&w);
	jsonw_slice(&w, "requested", requested);
	jsonw_object_end(&w);
	jsonw_object_end(&w);
	jsonw_object_end(&w);
}

void
mcp_write_progress(struct buf *b, struct slice token, unsigned n,
    const char *message)
{
	struct jsonw w;

	jsonw_init(&w, b);
	jsonw_object(&w, NULL);
	jsonw_str(&w, "jsonrpc", "2.0");
	jsonw_str(&w, "method", "notifications/progress");
	jsonw_object(&w, "params");
	jsonw_raw(&w, "progressToken", token);
	jsonw_u64(&w, "progress", n);
	jsonw_str(&w, "message", message);
	jsonw_object_end(&w);
	jsonw_object_end(&w);
}

void
mcp_write_cancelled(struct buf *b, struct slice id, const char *reason)
{
	struct jsonw w;

	jsonw_init(&w, b);
	jsonw_object(&w, NULL);
	jsonw_str(&w, "jsonrpc", "2.0");
	jsonw_str(&w, "method", "notifications/cancelled");
	jsonw_object(&w, "params");
	jsonw_raw(&w, "requestId", id);
	jsonw_str(&w, "reason", reason);
	jsonw_object_end(&w);
	jsonw_object_end(&w);
}

int
mcp_add_note(struct buf *out, const struct json_doc *d, const char *note)
{
	uint32_t result = json_member(d, 0, "result");
	uint32_t content = json_member(d, result, "content");

	if (json_typeof(d, content) != JSON_ARRAY)
		return -1;
	struct json_node *n = &d->nodes[content];
	size_t close = n->off + n->len - 1;	/* the bracket */

	buf_add(out, d->text.p, close);
	buf_add_str(out, n->count == 0 ? "{\"type\":\"text\",\"text\":\"" :
	    ",{\"type\":\"text\",\"text\":\"");
	jsonw_escape(out, slice_str(note));
	buf_add_str(out, "\"}");
	return buf_add(out, d->text.p + close, d->text.n - close);
}
