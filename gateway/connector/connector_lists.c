/* connector_lists - see connector_lists.h. */
#include "connector_lists.h"

#define CACHE_MS (10 * 60 * 1000)
#define CACHE_LEAST_MS 1000
#define CACHE_MOST_MS (24 * 3600 * 1000)

int
connector_lists_read(const struct yaml_doc *d, const struct yaml_node *root,
    struct connector *c, struct err *err)
{
	const struct yaml_node *n = yaml_get(root, "tools_cache");

	c->tools_cache_ms = c->kind == CONNECTOR_MCP ? CACHE_MS : 0;
	if (n == NULL)
		return 0;
	if (n->type == YAML_SCALAR && slice_is(slice_make(n->text, n->len),
	    "off")) {
		c->tools_cache_ms = 0;
		return 0;
	}
	if (yaml_get_duration(d, root, "tools_cache", &c->tools_cache_ms,
	    err) != 0)
		return -1;
	if (c->kind == CONNECTOR_MCP && c->tools_cache_ms >= CACHE_LEAST_MS &&
	    c->tools_cache_ms <= CACHE_MOST_MS)
		return 0;
	yaml_err(d, n, err, "tools_cache: of a connector of kind mcp: off, or "
	    "1s to 24h");
	return -1;
}
