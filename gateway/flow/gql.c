/*
 * gql - GraphQL over HTTP on a REST connector with `graphql:`: which operation
 * a request runs, by its document. What two servers could read in two ways is
 * refused; an id of a document that is stored elsewhere is an unknown tool.
 *
 * Source: GraphQL over HTTP (working draft), 5 and 6; Apollo's automatic
 * persisted queries for extensions.persistedQuery.
 */
#include "internal.h"

#include <sodium/crypto_hash_sha256.h>

#include "codec.h"

#define ID_MAX 128

/* What a request says; slices in the arena. */
struct asked {
	struct slice document, operation, id;
	bool has_document;
};

/* Of a request that a server could find a document by. */
static const char *const id_members[] = { "id", "documentId", "doc_id",
	"queryId", "query_id", "hash" };
static const char *const own_members[] = { "query", "operationName",
	"extensions", "variables", "id", "documentId", "doc_id", "queryId",
	"query_id", "hash" };

static enum step_result
refuse(struct exchange *ex, enum reason r, unsigned status, const char *why)
{
	ex->refusal_status = status;
	return exchange_refuse(ex, r, "(GraphQL: %s)", why);
}

static enum step_result
broken(struct exchange *ex, const char *why)
{
	return refuse(ex, REASON_UNPARSEABLE, 400, why);
}

/* Some servers take "Query" for "query" too, and the last of them. */
static bool
keys_plain(const struct json_doc *d, uint32_t obj)
{
	for (uint32_t k = json_first(d, obj); k != JSON_NONE;
	    k = json_next(d, obj, k + 1)) {
		struct slice key = json_inner(d, k);

		if ((d->nodes[k].flags & JSON_ESCAPED) != 0)
			return false;
		for (size_t i = 0; i < ARRAY_LEN(own_members); i++)
			if (slice_is_nocase(key, own_members[i]) &&
			    !slice_is(key, own_members[i]))
				return false;
	}
	return true;
}

/* A member's text; absent and null are the same. -1: something else. */
static int
get_text(struct exchange *ex, const struct json_doc *d, uint32_t node,
    struct slice *s_r, bool *there_r)
{
	struct buf b;
	int r = 0;

	*there_r = false;
	if (node == JSON_NONE || json_typeof(d, node) == JSON_NULL)
		return 0;
	if (json_typeof(d, node) != JSON_STRING)
		return -1;
	buf_init(&b, json_raw(d, node).n + 1);
	r = json_decode(d, node, &b);
	if (r == 0)
		*s_r = arena_copy(ex->a, buf_slice(&b));
	*there_r = r == 0;
	buf_free(&b);
	return r;
}

static enum step_result
read_extensions(struct exchange *ex, const struct json_doc *d, uint32_t node,
    struct asked *q)
{
	uint32_t p = json_member(d, node, "persistedQuery");
	bool there;

	if (p == JSON_NONE)
		return STEP_DONE;
	if (get_text(ex, d, json_member(d, p, "sha256Hash"), &q->id, &there) !=
	    0 || !there)
		return broken(ex, "a persisted query has no sha256Hash");
	return STEP_DONE;
}

/* On a GET it is JSON inside a parameter. */
static enum step_result
read_extensions_text(struct exchange *ex, const struct json_doc *d,
    uint32_t node, struct asked *q)
{
	struct slice text;
	struct json_doc inner;
	enum step_result r;
	bool there;

	if (get_text(ex, d, node, &text, &there) != 0)
		return broken(ex, "extensions is there twice");
	if (!there)
		return STEP_DONE;
	json_init(&inner);
	r = json_index(&inner, text, NULL) != JSON_OK ? broken(ex,
	    "extensions is no JSON") : read_extensions(ex, &inner, 0, q);
	json_free(&inner);
	return r;
}

static enum step_result
read_ids(struct exchange *ex, const struct json_doc *d, uint32_t obj,
    struct asked *q)
{
	for (size_t i = 0; i < ARRAY_LEN(id_members); i++) {
		bool there;

		if (get_text(ex, d, json_member(d, obj, id_members[i]),
		    &q->id, &there) != 0)
			return broken(ex, "an id is no text");
		if (there && q->has_document)
			return refuse(ex, REASON_AMBIGUOUS, 400, "both a "
			    "document and the id of one");
		if (there)
			return STEP_DONE;
	}
	return STEP_DONE;
}

/* The hash of a document that is there must be its own. */
static bool
hash_matches(const struct asked *q)
{
	uint8_t hash[32];
	char hex[65];

	crypto_hash_sha256(hash, (const unsigned char *)q->document.p,
	    q->document.n);
	hex_encode(hash, sizeof(hash), hex);
	return slice_is_nocase(q->id, hex);
}

static bool
id_plain(struct slice id)
{
	for (size_t i = 0; i < id.n; i++) {
		char c = id.p[i], l = c | 0x20;

		if (!((l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') ||
		    c == '-' || c == '_' || c == '.' || c == ':'))
			return false;
	}
	return id.n > 0 && id.n <= ID_MAX;
}

/* obj: a POST's body, or a GET's parameters, whose values are texts. */
static enum step_result
read_request(struct exchange *ex, const struct json_doc *d, uint32_t obj,
    bool get, struct asked *q)
{
	uint32_t ext = json_member(d, obj, "extensions");
	enum step_result r;
	bool there;

	memset(q, 0, sizeof(*q));
	q->operation = slice_make("", 0);
	if (json_typeof(d, obj) == JSON_ARRAY)
		return refuse(ex, REASON_BATCH, 0, "send each operation by "
		    "itself");
	if (json_typeof(d, obj) != JSON_OBJECT)
		return broken(ex, "a request is a JSON object");
	if (!keys_plain(d, obj))
		return refuse(ex, REASON_AMBIGUOUS, 400, "a member's name is "
		    "written in a way that servers read differently");
	if (get_text(ex, d, json_member(d, obj, "query"), &q->document,
	    &q->has_document) != 0 ||
	    get_text(ex, d, json_member(d, obj, "operationName"),
	    &q->operation, &there) != 0)
		return broken(ex, "query and operationName are texts, once");
	r = get ? read_extensions_text(ex, d, ext, q) : ext == JSON_NONE ?
	    STEP_DONE : read_extensions(ex, d, ext, q);
	if (r != STEP_DONE)
		return r;
	if (q->has_document && q->id.n > 0 && !hash_matches(q))
		return refuse(ex, REASON_AMBIGUOUS, 400, "sha256Hash is not "
		    "that of the document");
	if (q->id.n == 0 && (r = read_ids(ex, d, obj, q)) != STEP_DONE)
		return r;
	if (!q->has_document && !id_plain(q->id))
		return broken(ex, "there is no document and no id of one");
	return STEP_DONE;
}

/* "mutation.a" */
static struct slice
field_name(struct exchange *ex, const struct graphql *g, size_t i)
{
	struct slice parts[] = { slice_str(graphql_type_names[g->type]),
		SLICE("."), g->fields[i] };

	return arena_join(ex->a, parts, ARRAY_LEN(parts));
}

static struct slice
tool_name(struct exchange *ex, const struct graphql *g)
{
	struct slice parts[2 * GRAPHQL_FIELDS + 2] = {
		slice_str(graphql_type_names[g->type]) };
	size_t n = 1;

	for (size_t i = 0; i < g->n; i++) {
		parts[n++] = i == 0 ? SLICE(".") : SLICE(",");
		parts[n++] = g->fields[i];
	}
	return arena_join(ex->a, parts, n);
}

static enum step_result
take_document(struct exchange *ex, const struct asked *q, bool get)
{
	struct graphql g = { 0 };
	const char *why = NULL;

	if (graphql_read(q->document, q->operation, &g, &why) != 0)
		return broken(ex, why);
	if (g.type == GRAPHQL_MUTATION && get)
		return refuse(ex, REASON_AMBIGUOUS, 405, "a mutation needs "
		    "POST");
	ex->gql = arena_alloc(ex->a, sizeof(*ex->gql));
	if (ex->gql == NULL)
		return STEP_DONE;	/* the caller looks at the arena */
	*ex->gql = g;
	ex->action.tool = tool_name(ex, &g);
	for (size_t i = 0; i < g.n; i++) {
		ex->gql->fields[i] = field_name(ex, &g, i);
		if (g.type == GRAPHQL_SUBSCRIPTION && !gql_is_listed(ex,
		    ex->gql->fields[i]))
			return refuse(ex, REASON_POLICY, 0, "subscriptions "
			    "need a class in the connector's file, under "
			    "tools: subscription.FIELD");
	}
	return STEP_DONE;
}

bool
gql_is_listed(const struct exchange *ex, struct slice field)
{
	const struct connector_tool *t = connector_tool(ex->con, field);

	return t != NULL && t->classified;
}

bool
gql_is_here(const struct exchange *ex)
{
	return ex->con->kind == CONNECTOR_REST && ex->con->graphql[0] != '\0'
	    && slice_is(ex->up_path, ex->con->graphql);
}

enum step_result
gql_classify(struct exchange *ex)
{
	bool get = ex->req->method_id == HTTP1_M_GET ||
	    ex->req->method_id == HTTP1_M_HEAD;
	struct json_doc d;
	struct asked q;
	enum step_result r;
	uint32_t url;

	if (!get && ex->req->method_id != HTTP1_M_POST)
		return refuse(ex, REASON_AMBIGUOUS, 405, "GET or POST");
	if (get ? ex->body.len > 0 : !ex->gated || ex->media != MEDIA_JSON)
		return refuse(ex, REASON_MEDIA, 0, get ? "a GET has no body" :
		    "a request is application/json");
	json_init(&d);
	if (json_index(&d, ex->action.arguments, NULL) != JSON_OK) {
		json_free(&d);
		return broken(ex, "the arguments");
	}
	url = json_member(&d, 0, "query");
	for (size_t i = 0; !get && i < ARRAY_LEN(own_members); i++)
		if (json_member(&d, url, own_members[i]) != JSON_NONE) {
			json_free(&d);
			return refuse(ex, REASON_AMBIGUOUS, 400, "a POST has "
			    "its request in the body only");
		}
	r = read_request(ex, &d, get ? url : json_member(&d, 0, "body"), get,
	    &q);
	if (r == STEP_DONE && q.has_document) {
		r = take_document(ex, &q, get);
	} else if (r == STEP_DONE) {
		struct slice parts[] = { SLICE("persisted."), q.id };

		ex->action.tool = arena_join(ex->a, parts, 2);
	}
	json_free(&d);
	return r;
}

bool
gql_unchanged(struct exchange *ex)
{
	struct json_doc d;
	struct asked q;
	struct graphql g = { 0 };
	const char *why;
	bool same = false;

	if (ex->gql == NULL || ex->new_body.len == 0)
		return true;
	json_init(&d);
	if (json_index(&d, buf_slice(&ex->new_body), NULL) == JSON_OK &&
	    read_request(ex, &d, 0, false, &q) == STEP_DONE &&
	    q.has_document &&
	    graphql_read(q.document, q.operation, &g, &why) == 0)
		same = slice_eq(tool_name(ex, &g), ex->action.tool);
	json_free(&d);
	return same;
}

void
gql_resolve(struct exchange *ex, resolve_fn *named, struct tool_state *t)
{
	const struct graphql *g = ex->gql;
	enum conf_class floor = g->type == GRAPHQL_MUTATION ? CONF_MODERATE :
	    CONF_READ_ONLY;

	*t = (struct tool_state){ floor, true, true, POLICY_AUTO };
	for (size_t i = 0; i < g->n; i++) {
		struct tool_state one;

		named(ex, g->fields[i], &one);
		if (!one.classified)
			one.klass = floor;
		if (one.klass < t->klass)
			t->klass = one.klass;
		if (one.approval < t->approval)
			t->approval = one.approval;
		t->enabled = t->enabled && one.enabled;
	}
}
