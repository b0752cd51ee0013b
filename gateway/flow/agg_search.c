/*
 * agg_search - deferred tools on the mount of all connectors: tool_search ranks
 * them by what they are said to do (gateway/mcp/rank.h) and puts what matches
 * into the session's list. That a tool is not in the list is no denial: whoever
 * knows its name may call it, and the gate decides as of any other.
 */
#include "aggregate_int.h"

#include <stdlib.h>

#include "rank.h"

#define MATCHES 5
#define MATCHES_MOST 20
#define ABOUT_MAX 400		/* of a description in the text */

struct hit {
	char *name, *json, *about;
};

struct agg_search {
	struct rank *rank;
	struct buf query;
	int64_t limit;
	struct hit *v;
	unsigned n;
};

struct agg_search *
agg_search_new(struct exchange *ex)
{
	struct agg_search *s = base_calloc(1, sizeof(*s));
	struct json_doc d;
	uint32_t limit;

	/* As the redactor left them. */
	spare_doc(ex->f, &d);
	buf_init(&s->query, RANK_QUERY);
	s->limit = MATCHES;
	bool ok = json_index(&d, ex->arguments, NULL) == JSON_OK &&
	    json_decode(&d, json_member(&d, 0, "query"), &s->query) == 0 &&
	    s->query.len > 0;

	limit = ok ? json_member(&d, 0, "limit") : JSON_NONE;
	if (limit != JSON_NONE)
		ok = json_int(&d, limit, &s->limit) && s->limit >= 1 &&
		    s->limit <= MATCHES_MOST;
	spare_doc_back(ex->f, &d);
	s->rank = rank_new();
	if (ok)
		return s;
	agg_search_free(s);
	ex->refusal_status = 200;
	ex->refusal_code = MCP_CODE_PARAMS;
	exchange_refuse(ex, REASON_UNPARSEABLE, "(query is a text of 1 to %d "
	    "bytes, limit 1 to %d)", RANK_QUERY, MATCHES_MOST);
	return NULL;
}

void
agg_search_free(struct agg_search *s)
{
	if (s == NULL)
		return;
	for (unsigned i = 0; i < s->n; i++) {
		free(s->v[i].name);
		free(s->v[i].json);
		free(s->v[i].about);
	}
	free(s->v);
	rank_free(s->rank);
	buf_wipe_free(&s->query);
	free(s);
}

void
agg_search_add(struct agg_search *s, const struct json_doc *d, uint32_t node,
    const char *name, struct slice json)
{
	uint32_t params = json_path(d, node, "inputSchema", "properties", NULL);
	struct buf about, names;

	buf_init(&about, 65536);
	buf_init(&names, 65536);
	/* Too long to be decoded is as good as none. */
	if (json_decode(d, json_member(d, node, "title"), &names) == 0)
		buf_add_char(&names, ' ');
	if (json_decode(d, json_member(d, node, "description"), &about) != 0)
		buf_reset(&about);
	if (json_typeof(d, params) == JSON_OBJECT)
		for (uint32_t k = json_first(d, params); k != JSON_NONE;
		    k = json_next(d, params, k + 1)) {
			buf_add_slice(&names, json_inner(d, k));
			buf_add_char(&names, ' ');
		}
	if (rank_add(s->rank, slice_str(name), buf_slice(&names),
	    buf_slice(&about))) {
		s->v = base_realloc(s->v, (s->n + 1) * sizeof(*s->v));
		s->v[s->n++] = (struct hit){ base_strdup(name),
			slice_dup(json), slice_dup(slice_sub(buf_slice(&about),
			0, ABOUT_MAX)) };
	}
	buf_free(&about);
	buf_free(&names);
}

/* False: it was in the list already, or no more fit. */
static bool
join(struct agg *a, const char *name)
{
	return map_get(&a->found, slice_str(name)) == NULL &&
	    map_count(&a->found) < AGG_FOUND &&
	    map_put(&a->found, slice_str(name), a) == NULL;
}

static void
write_text(const struct agg_search *s, const uint32_t *which, size_t n,
    struct jsonw *w)
{
	struct buf b;

	buf_init(&b, 65536);
	if (n == 0)
		buf_add_str(&b, "No deferred tool matches. Try other words.");
	else
		buf_addf(&b, "%zu tools match and are in the list now:\n", n);
	for (size_t i = 0; i < n; i++)
		buf_addf(&b, "- %s: %s\n", s->v[which[i]].name,
		    s->v[which[i]].about);
	jsonw_object(w, NULL);
	jsonw_str(w, "type", "text");
	jsonw_slice(w, "text", buf_slice(&b));
	jsonw_object_end(w);
	buf_free(&b);
}

bool
agg_search_answer(struct exchange *ex, struct agg_search *s, struct buf *out)
{
	uint32_t which[MATCHES_MOST];
	size_t n = rank_search(s->rank, buf_slice(&s->query), which,
	    (size_t)s->limit);
	bool changed = false;
	struct jsonw w;

	jsonw_init(&w, out);
	jsonw_object(&w, NULL);
	jsonw_str(&w, "jsonrpc", "2.0");
	jsonw_raw(&w, "id", ex->msg.id);
	jsonw_object(&w, "result");
	jsonw_array(&w, "content");
	write_text(s, which, n, &w);
	jsonw_array_end(&w);
	jsonw_object(&w, "structuredContent");
	jsonw_array(&w, "tools");
	for (size_t i = 0; i < n; i++) {
		jsonw_raw(&w, NULL, slice_str(s->v[which[i]].json));
		changed |= join(ex->agg, s->v[which[i]].name);
	}
	jsonw_array_end(&w);
	jsonw_object_end(&w);
	jsonw_object_end(&w);
	jsonw_object_end(&w);
	return changed;
}

struct slice
agg_search_tool(void)
{
	return SLICE("{\"name\":\"" CONNECTOR_SEARCH "\",\"title\":\"Search "
	    "for more tools\",\"description\":\"More tools exist than are "
	    "listed. Finds them by what they do; what matches joins the list "
	    "and can be called.\",\"inputSchema\":{\"type\":\"object\","
	    "\"properties\":{\"query\":{\"type\":\"string\",\"description\":"
	    "\"what the tool should do, in a few words\"},\"limit\":{\"type\":"
	    "\"integer\",\"minimum\":1,\"maximum\":20,\"default\":5}},"
	    "\"required\":[\"query\"]},\"annotations\":{\"readOnlyHint\":"
	    "true}}");
}
