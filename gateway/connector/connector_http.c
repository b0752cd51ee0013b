/* connector_http - see connector_http.h. */
#include "connector_http.h"

#include "pack.h"

static const char *const switches[] = { "off", "on" };

static int
read_http2(const struct yaml_doc *d, const struct yaml_node *root,
    struct connector_http *h, struct err *err)
{
	static const char *const sides[] = { "agents", "upstream" };
	const struct yaml_node *n = yaml_get(root, "http2");
	int agents = 1, upstream = 1;

	h->h2_agents = h->h2_upstream = true;
	if (n == NULL)
		return 0;
	if (n->type == YAML_SCALAR) {
		if (yaml_get_enum(d, root, "http2", switches, 2, &agents,
		    err) != 0)
			return -1;
		upstream = agents;
	} else if (yaml_check_keys(d, n, sides, ARRAY_LEN(sides), err) != 0 ||
	    yaml_get_enum(d, n, "agents", switches, 2, &agents, err) != 0 ||
	    yaml_get_enum(d, n, "upstream", switches, 2, &upstream, err) != 0) {
		return -1;
	}
	h->h2_agents = agents == 1;
	h->h2_upstream = upstream == 1;
	return 0;
}

static int
read_websocket(const struct yaml_doc *d, const struct yaml_node *root,
    bool mcp, struct connector_http *h, struct err *err)
{
	static const char *const keys[] = { "messages", "binary" };
	static const char *const messages[] = { "refuse", "inspect" };
	static const char *const binary[] = { "refuse", "allow" };
	const struct yaml_node *n = yaml_get(root, "websocket");
	int inspect = 0, allow = 0;

	if (n == NULL)
		return 0;
	if (n->type == YAML_SCALAR) {
		if (yaml_get_enum(d, root, "websocket", messages, 2, &inspect,
		    err) != 0)
			return -1;
	} else if (yaml_check_keys(d, n, keys, ARRAY_LEN(keys), err) != 0 ||
	    yaml_get_enum(d, n, "messages", messages, 2, &inspect, err) != 0 ||
	    yaml_get_enum(d, n, "binary", binary, 2, &allow, err) != 0) {
		return -1;
	}
	/* Many libraries take JSON from binary messages just as well. */
	if (allow == 1 && (mcp || inspect == 0)) {
		yaml_err(d, yaml_get(n, "binary"), err, "binary: %s", mcp ?
		    "MCP messages are text: what is binary is refused" :
		    "needs messages: inspect");
		return -1;
	}
	h->websocket = inspect == 1;
	h->ws_binary = allow == 1;
	return 0;
}

int
connector_http_read(const struct yaml_doc *d, const struct yaml_node *root,
    bool mcp, struct connector_http *h, struct err *err)
{
	if (read_http2(d, root, h, err) != 0)
		return -1;
	return read_websocket(d, root, mcp, h, err);
}

void
connector_http_pack(struct buf *b, const struct connector_http *h)
{
	pack_u8(b, h->h2_agents);
	pack_u8(b, h->h2_upstream);
	pack_u8(b, h->websocket);
	pack_u8(b, h->ws_binary);
}
