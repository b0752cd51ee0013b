/* connector_lists - see connector_lists.h. */
#include "connector_lists.h"

#define CACHE_MS (10 * 60 * 1000)
#define CACHE_LEAST_MS 1000
#define CACHE_MOST_MS (24 * 3600 * 1000)

static int
read_deferred(const struct yaml_doc *d, const struct yaml_node *n,
    const struct connector *c, bool *v_r, struct err *err)
{
	if (yaml_get_bool(d, n, "deferred", v_r, err) != 0)
		return -1;
	if (yaml_get(n, "deferred") == NULL || (c->kind == CONNECTOR_MCP &&
	    c->stdio == NULL))
		return 0;
	yaml_err(d, yaml_get(n, "deferred"), err, "deferred: is for what /mcp "
	    "offers: a connector of kind mcp");
	return -1;
}

int
connector_lists_tool(const struct yaml_doc *d, const struct yaml_node *n,
    const struct connector *c, struct connector_tool *t, struct err *err)
{
	bool v = false;

	if (read_deferred(d, n, c, &v, err) != 0)
		return -1;
	t->defer = yaml_get(n, "deferred") == NULL ? CONNECTOR_DEFER_DEFAULT :
	    v ? CONNECTOR_DEFER_YES : CONNECTOR_DEFER_NO;
	return 0;
}

int
connector_lists_read(const struct yaml_doc *d, const struct yaml_node *root,
    struct connector *c, struct err *err)
{
	const struct yaml_node *n = yaml_get(root, "tools_cache");

	if (read_deferred(d, root, c, &c->deferred, err) != 0)
		return -1;
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
