/* connector_compile - the compiler's half of connector.h: YAML to sections. */
#include "connector.h"
#include "connector_builtin.h"
#include "connector_http.h"
#include "connector_lists.h"
#include "connector_stdio.h"
#include "connector_via.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pack.h"
#include "yaml.h"

#define SECTION_MAX (16u << 20)

enum { KIND_MCP, KIND_REST, KIND_STDIO, KIND_BUILTIN };

static const char *const kinds[] = { "mcp", "rest", "stdio", "builtin" };
static const char *const media_names[] = { "deny", "stream" };
static const char *const cred_types[] = { "bearer", "header" };

static const char *const keys[] = { "name", "kind", "url", "hosts", "pin",
	"ca", "owner", "purpose", "vendor", "source", "reviewer", "review_by",
	"data_class", "risk", "environment", "approved", "state", "agents",
	"credential", "upstream_proxy", "media", "log_result", "tools_cache",
	"deferred", "redaction",
	"server_requests", "matrix", "tools", "operations", "graphql",
	"command", "digest", "directory", "read", "allow", "env", "network",
	"http2", "websocket", "context", "raise" };

static bool
name_ok(const char *s)
{
	size_t n = strlen(s);

	if (n == 0 || n > 64)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') ||
		    (s[i] >= '0' && s[i] <= '9') || s[i] == '-'))
			return false;
	return true;
}

static int
add_host(const struct yaml_doc *d, const struct yaml_node *at,
    struct connector *c, struct slice text, uint16_t port, struct err *err)
{
	char host[ADDR_HOST_MAX];
	struct slice h;

	if (!addr_split_hostport(text, port, &h, &port) ||
	    !addr_host_normalise(h, host)) {
		yaml_err(d, at, err, "%.*s is no host or host:port",
		    SLICE_FMT(text));
		return -1;
	}
	c->hosts = base_realloc(c->hosts, (c->nhosts + 1) *
	    sizeof(*c->hosts));
	c->hosts[c->nhosts++] = (struct connector_host){ base_strdup(host),
		port };
	return 0;
}

static int
read_url(const struct yaml_doc *d, const struct yaml_node *root,
    struct connector *c, struct err *err)
{
	const struct yaml_node *n = yaml_get(root, "url");
	struct http1_url u;
	enum http1_error e;

	if (n == NULL || n->type != YAML_SCALAR) {
		yaml_err(d, n == NULL ? root : n, err,
		    "url: is required, e.g. https://api.example.com/mcp");
		return -1;
	}
	e = http1_url_parse(slice_make(n->text, n->len), &u);
	if (e != HTTP1_E_NONE) {
		yaml_err(d, n, err, "url: %s", http1_error_text(e));
		return -1;
	}
	if (u.query.p != NULL) {
		yaml_err(d, n, err, "url: must have no query");
		return -1;
	}
	c->tls = u.scheme == HTTP1_HTTPS;
	free(c->path);
	c->path = slice_dup(u.path);
	c->hosts = base_calloc(1, sizeof(*c->hosts));
	c->hosts[0].host = base_strdup(u.authority.host);
	c->hosts[0].port = u.authority.port != 0 ? u.authority.port :
	    http1_scheme_port(u.scheme);
	c->nhosts = 1;
	return 0;
}

static int
not_our_own(const struct yaml_doc *d, const struct yaml_node *root,
    const struct connector *c, struct err *err)
{
	for (size_t i = 0; i < c->nhosts; i++)
		if (strcmp(c->hosts[i].host, CONNECTOR_SELF_HOST) == 0) {
			yaml_err(d, root, err, "%s is Portreeve's own, for "
			    "the test of trust", CONNECTOR_SELF_HOST);
			return -1;
		}
	return 0;
}

static int
each_scalar(const struct yaml_doc *d, const struct yaml_node *root,
    const char *key, struct err *err, size_t *n_r)
{
	const struct yaml_node *n = yaml_get(root, key);

	*n_r = 0;
	if (n == NULL)
		return 0;
	if (n->type != YAML_SEQ) {
		yaml_err(d, n, err, "%s: must be a list", key);
		return -1;
	}
	for (size_t i = 0; i < n->n; i++) {
		if (n->items[i]->type != YAML_SCALAR) {
			yaml_err(d, n->items[i], err,
			    "%s: must be a list of plain values", key);
			return -1;
		}
	}
	*n_r = n->n;
	return 0;
}

static int
refuse_placeholder(const struct yaml_doc *d, const struct yaml_node *n,
    const char *key, struct err *err)
{
	if (n == NULL || !slice_starts(slice_make(n->text, n->len),
	    CONNECTOR_PLACEHOLDER))
		return 0;
	yaml_err(d, n, err, "%s: %s is still to be filled in", key,
	    CONNECTOR_PLACEHOLDER);
	return -1;
}

static int
read_lists(const struct yaml_doc *d, const struct yaml_node *root,
    struct connector *c, struct err *err)
{
	const struct yaml_node *list;
	size_t n;

	if (each_scalar(d, root, "hosts", err, &n) != 0)
		return -1;
	list = yaml_get(root, "hosts");
	for (size_t i = 0; i < n; i++)
		if (add_host(d, list->items[i], c,
		    slice_str(list->items[i]->text), c->tls ? 443 : 80,
		    err) != 0)
			return -1;
	if (each_scalar(d, root, "pin", err, &n) != 0)
		return -1;
	list = yaml_get(root, "pin");
	c->pins = base_calloc(n + 1, sizeof(*c->pins));
	for (size_t i = 0; i < n; i++) {
		if (!addr_parse_cidr(slice_str(list->items[i]->text),
		    &c->pins[i])) {
			yaml_err(d, list->items[i], err,
			    "pin: %s is no IP address or CIDR",
			    list->items[i]->text);
			return -1;
		}
		c->npins++;
	}
	if (each_scalar(d, root, "agents", err, &n) != 0)
		return -1;
	list = yaml_get(root, "agents");
	if (n == 0) {
		yaml_err(d, list == NULL ? root : list, err, "agents: must "
		    "name who may use this connector (\"*\" for every agent)");
		return -1;
	}
	c->agents = base_calloc(n, sizeof(*c->agents));
	for (size_t i = 0; i < n; i++)
		if (refuse_placeholder(d, list->items[i], "agents", err) != 0)
			return -1;
	for (size_t i = 0; i < n; i++)
		c->agents[c->nagents++] = base_strdup(list->items[i]->text);
	return 0;
}

/* A PEM file named by the operator, at most 1 MiB. */
static int
read_file(const struct yaml_doc *d, const struct yaml_node *at,
    const char *path, char **text_r, struct err *err)
{
	char full[4096];
	const char *slash = strrchr(d->file, '/');
	struct stat st;
	int fd;

	if (path[0] == '/' || slash == NULL)
		snprintf(full, sizeof(full), "%s", path);
	else
		snprintf(full, sizeof(full), "%.*s/%s",
		    (int)(slash - d->file), d->file, path);
	/* Not blocking: a FIFO named by mistake would hang the compiler. */
	fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
	    st.st_size > 1 << 20) {
		yaml_err(d, at, err, "%s: %s", full, fd < 0 ?
		    strerror(errno) : "no plain file of at most 1 MiB");
		base_close(&fd);
		return -1;
	}
	char *p = base_calloc(1, (size_t)st.st_size + 1);
	ssize_t k = read(fd, p, (size_t)st.st_size);

	close(fd);
	if (k != st.st_size) {
		yaml_err(d, at, err, "%s: could not be read whole", full);
		free(p);
		return -1;
	}
	free(*text_r);
	*text_r = p;
	return 0;
}

static int
read_credential(const struct yaml_doc *d, const struct yaml_node *root,
    struct connector *c, struct err *err)
{
	static const char *const names[] = { "name", "type", "header",
		"template" };
	const struct yaml_node *n = yaml_get(root, "credential");
	int type = 0;

	if (n == NULL)
		return 0;
	if (yaml_check_keys(d, n, names, ARRAY_LEN(names), err) != 0 ||
	    yaml_get_str(d, n, "name", &c->credential, err) != 0 ||
	    yaml_get_enum(d, n, "type", cred_types, ARRAY_LEN(cred_types),
	    &type, err) != 0 ||
	    yaml_get_str(d, n, "header", &c->cred_header, err) != 0 ||
	    yaml_get_str(d, n, "template", &c->cred_template, err) != 0)
		return -1;
	if (!name_ok(c->credential)) {
		yaml_err(d, n, err, "credential.name: must be [a-z0-9-]; its "
		    "value is stored with: portreeve credential set NAME");
		return -1;
	}
	free(c->cred_type);
	c->cred_type = base_strdup(cred_types[type]);
	if (type == 1 && c->cred_header[0] == '\0') {
		yaml_err(d, n, err, "credential.header: is required with "
		    "type: header");
		return -1;
	}
	return 0;
}

static int
read_matrix(const struct yaml_doc *d, const struct yaml_node *root,
    struct connector *c, struct err *err)
{
	const struct yaml_node *m = yaml_get(root, "matrix");

	if (m == NULL)
		return 0;
	if (yaml_check_keys(d, m, conf_trust_names, CONF_TRUSTS, err) != 0)
		return -1;
	for (int t = 0; t < CONF_TRUSTS; t++) {
		const struct yaml_node *row = yaml_get(m, conf_trust_names[t]);

		if (row == NULL)
			continue;
		if (yaml_check_keys(d, row, conf_class_names, CONF_CLASSES,
		    err) != 0)
			return -1;
		for (int k = 0; k < CONF_CLASSES; k++) {
			int e = (int)c->matrix[t][k];

			if (yaml_get_enum(d, row, conf_class_names[k],
			    conf_effect_names, CONF_EFFECTS, &e, err) != 0)
				return -1;
			c->matrix[t][k] = (enum conf_effect)e;
		}
	}
	return 0;
}

/* A model and a file system belong to who runs the agent: only what asks a
 * person is let through unless the operator says otherwise. */
static int
read_asks(const struct yaml_doc *d, const struct yaml_node *root,
    struct connector *c, struct err *err)
{
	static const char *const names[CONNECTOR_ASKS] = { "sampling",
		"elicitation", "roots" };
	static const char *const answers[] = { "deny", "allow" };
	const struct yaml_node *m = yaml_get(root, "server_requests");

	c->asks[CONNECTOR_ELICITATION] = true;
	if (m == NULL)
		return 0;
	if (yaml_check_keys(d, m, names, CONNECTOR_ASKS, err) != 0)
		return -1;
	for (int i = 0; i < CONNECTOR_ASKS; i++) {
		int v = c->asks[i];

		if (yaml_get_enum(d, m, names[i], answers, 2, &v, err) != 0)
			return -1;
		c->asks[i] = v == 1;
	}
	return 0;
}

static int
read_off(const struct yaml_doc *d, const struct yaml_node *redaction,
    const char *direction, const struct redact *rules,
    struct redact_off **off_r, struct err *err)
{
	static const char *const names[] = { "off" };
	const struct yaml_node *m = yaml_get(redaction, direction), *list;
	size_t n;

	if (m == NULL)
		return 0;
	if (yaml_check_keys(d, m, names, ARRAY_LEN(names), err) != 0 ||
	    each_scalar(d, m, "off", err, &n) != 0)
		return -1;
	list = yaml_get(m, "off");
	if (n > 0)
		*off_r = base_calloc(1, sizeof(**off_r));
	for (size_t i = 0; i < n; i++) {
		const struct yaml_node *at = list->items[i];
		struct err why = { 0 };

		if (rules == NULL)
			err_set(&why, "there are no redaction rules");
		else if (redact_off_add(rules, slice_make(at->text, at->len),
		    *off_r, &why) == 0)
			continue;
		yaml_err(d, at, err, "redaction.%s.off: %s", direction,
		    why.text);
		return -1;
	}
	return 0;
}

static int
read_redaction(const struct yaml_doc *d, const struct yaml_node *root,
    const struct redact *rules, struct connector *c, struct err *err)
{
	static const char *const names[] = { "arguments", "results" };
	const struct yaml_node *m = yaml_get(root, "redaction");

	if (m == NULL)
		return 0;
	if (yaml_check_keys(d, m, names, ARRAY_LEN(names), err) != 0 ||
	    read_off(d, m, "arguments", rules, &c->off_arguments, err) != 0)
		return -1;
	return read_off(d, m, "results", rules, &c->off_results, err);
}

static int
read_tool(const struct yaml_doc *d, const struct yaml_node *n,
    struct connector_tool *t, struct err *err)
{
	int klass = CONF_UNKNOWN, approval = POLICY_DEFAULT;

	t->enabled = true;
	t->classified = yaml_get(n, "class") != NULL;
	if (yaml_get_enum(d, n, "class", conf_class_names, CONF_CLASSES,
	    &klass, err) != 0 ||
	    yaml_get_enum(d, n, "approval", policy_approval_names,
	    POLICY_APPROVALS, &approval, err) != 0 ||
	    yaml_get_bool(d, n, "enabled", &t->enabled, err) != 0)
		return -1;
	t->klass = (enum conf_class)klass;
	t->approval = (enum policy_approval)approval;
	return 0;
}

static int
read_tools(const struct yaml_doc *d, const struct yaml_node *root,
    struct connector *c, struct err *err)
{
	static const char *const names[] = { "class", "approval", "enabled",
		"deferred" };
	const struct yaml_node *m = yaml_get(root, "tools");

	if (m == NULL)
		return 0;
	if (m->type != YAML_MAP) {
		yaml_err(d, m, err, "tools: must be a map of tool names");
		return -1;
	}
	c->tools = base_calloc(m->n + 1, sizeof(*c->tools));
	for (size_t i = 0; i < m->n; i++) {
		struct connector_tool *t = &c->tools[c->ntools++];

		t->name = base_strdup(m->keys[i]->text);
		if (yaml_check_keys(d, m->items[i], names, ARRAY_LEN(names),
		    err) != 0 || read_tool(d, m->items[i], t, err) != 0 ||
		    connector_lists_tool(d, m->items[i], c, t, err) != 0)
			return -1;
	}
	return 0;
}

static bool
method_ok(const char *s)
{
	size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-");

	return n > 0 && n < 32 && s[n] == '\0';
}

/* Names become those of arguments, so each is there once. */
static bool
variable_ok(const char *path, struct slice name)
{
	struct slice rest = slice_str(path);
	unsigned n = 0;

	for (size_t i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] <= ' ' || name.p[i] == '"' ||
		    name.p[i] == '\\')
			return false;
	while (rest.p != NULL) {
		struct slice seg = slice_cut(&rest, '/');

		n += seg.n == name.n + 2 && seg.p[0] == '{' &&
		    slice_eq(slice_sub(seg, 1, name.n), name);
	}
	return n == 1;
}

/* A brace is only where a whole segment is {name}: "/a{b}" would be taken as
 * it is written and match nothing. */
static bool
template_ok(const char *path)
{
	struct slice rest = slice_str(path);

	if (path[0] != '/' || strpbrk(path, "?#") != NULL)
		return false;
	while (rest.p != NULL) {
		struct slice seg = slice_cut(&rest, '/');

		if (seg.n > 2 && seg.p[0] == '{' &&
		    seg.p[seg.n - 1] == '}') {
			seg = slice_sub(seg, 1, seg.n - 2);
			if (!variable_ok(path, seg))
				return false;
		}
		if (slice_chr(seg, '{') >= 0 || slice_chr(seg, '}') >= 0)
			return false;
	}
	return true;
}

enum conf_class
connector_floor(const char *method)
{
	if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0 ||
	    strcmp(method, "OPTIONS") == 0)
		return CONF_READ_ONLY;
	return strcmp(method, "DELETE") == 0 ? CONF_DANGEROUS : CONF_MODERATE;
}

/* Its class is found by its name: two of one name would share the first's. */
static int
check_operation(const struct yaml_doc *d, const struct yaml_node *n,
    const struct connector *c, const struct connector_operation *o,
    struct err *err)
{
	if (o->name == NULL || o->name[0] == '\0' || o->method == NULL ||
	    o->path == NULL || o->path[0] != '/') {
		yaml_err(d, n, err, "an operation needs name, method and a "
		    "path that begins with /");
		return -1;
	}
	if (!method_ok(o->method)) {
		yaml_err(d, yaml_get(n, "method"), err, "method: %s is none: "
		    "methods are written in capitals, e.g. GET", o->method);
		return -1;
	}
	if (!template_ok(o->path)) {
		yaml_err(d, yaml_get(n, "path"), err, "path: %s: a template "
		    "is segments, whole ones may be {name}, each name "
		    "once; it has no query",
		    o->path);
		return -1;
	}
	for (const struct connector_operation *e = c->operations; e != o; e++)
		if (strcmp(e->name, o->name) == 0) {
			yaml_err(d, n, err, "operation %s is defined twice",
			    o->name);
			return -1;
		}
	return 0;
}

static int
read_operations(const struct yaml_doc *d, const struct yaml_node *root,
    struct connector *c, struct err *err)
{
	static const char *const names[] = { "name", "method", "path", "class",
		"approval", "enabled" };
	const struct yaml_node *list = yaml_get(root, "operations");

	if (list == NULL)
		return 0;
	if (list->type != YAML_SEQ) {
		yaml_err(d, list, err, "operations: must be a list");
		return -1;
	}
	c->operations = base_calloc(list->n + 1, sizeof(*c->operations));
	for (size_t i = 0; i < list->n; i++) {
		const struct yaml_node *n = list->items[i];
		struct connector_operation *o =
		    &c->operations[c->noperations++];

		if (yaml_check_keys(d, n, names, ARRAY_LEN(names), err) != 0 ||
		    yaml_get_str(d, n, "name", &o->tool.name, err) != 0 ||
		    yaml_get_str(d, n, "method", &o->method, err) != 0 ||
		    yaml_get_str(d, n, "path", &o->path, err) != 0 ||
		    read_tool(d, n, &o->tool, err) != 0)
			return -1;
		o->name = o->tool.name;
		if (check_operation(d, n, c, o, err) != 0)
			return -1;
		enum conf_class floor = connector_floor(o->method);

		if (o->tool.classified && o->tool.klass > floor) {
			yaml_err(d, n, err, "operation %s: %s is at least %s, "
			    "%s is refused", o->name, o->method,
			    conf_class_names[floor],
			    conf_class_names[o->tool.klass]);
			return -1;
		}
	}
	return 0;
}

/* Mutations keep their floor, however a file names them. */
static int
read_graphql(const struct yaml_doc *d, const struct yaml_node *root,
    struct connector *c, struct err *err)
{
	const struct yaml_node *n = yaml_get(root, "graphql");

	if (n == NULL)
		return 0;
	if (yaml_get_str(d, root, "graphql", &c->graphql, err) != 0)
		return -1;
	if (c->kind != CONNECTOR_REST || !http1_path_normal(slice_str(
	    c->graphql), NULL)) {
		yaml_err(d, n, err, "graphql: is a path that begins with /, of "
		    "a connector of kind rest");
		return -1;
	}
	for (size_t i = 0; i < c->ntools; i++)
		if (slice_starts(slice_str(c->tools[i].name), "mutation.") &&
		    c->tools[i].klass > CONF_MODERATE) {
			yaml_err(d, yaml_get(yaml_get(root, "tools"),
			    c->tools[i].name), err, "%s: a mutation is at "
			    "least moderate, %s is refused", c->tools[i].name,
			    conf_class_names[c->tools[i].klass]);
			return -1;
		}
	return 0;
}

static int
read_texts(const struct yaml_doc *d, const struct yaml_node *root,
    struct connector *c, struct err *err)
{
	static const char *const states[] = { "disabled", "observe",
		"enabled" };
	struct {
		const char *key;
		char **v;
	} texts[] = { { "name", &c->name }, { "owner", &c->owner },
		{ "purpose", &c->purpose }, { "vendor", &c->vendor },
		{ "source", &c->source }, { "reviewer", &c->reviewer },
		{ "review_by", &c->review_by },
		{ "data_class", &c->data_class }, { "risk", &c->risk },
		{ "environment", &c->environment } };
	int kind = CONNECTOR_MCP, state = POLICY_ENABLED, media = 0;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (*texts[i].v == NULL)
			*texts[i].v = base_strdup("");
		if (yaml_get_str(d, root, texts[i].key, texts[i].v, err) !=
		    0 || refuse_placeholder(d, yaml_get(root, texts[i].key),
		    texts[i].key, err) != 0)
			return -1;
	}
	if (!name_ok(c->name)) {
		yaml_err(d, root, err, "name: is required: [a-z0-9-], at most "
		    "64 characters");
		return -1;
	}
	if (strcmp(c->name, CONNECTOR_AGGREGATE) == 0) {
		yaml_err(d, yaml_get(root, "name"), err, "name: " CONNECTOR_AGGREGATE
		    " is the name of /mcp, the mount of all connectors");
		return -1;
	}
	c->approved = true;
	c->log_result = 65536;
	if (yaml_get_enum(d, root, "kind", kinds, ARRAY_LEN(kinds),
	    &kind, err) != 0 ||
	    yaml_get_enum(d, root, "state", states, 3, &state, err) != 0 ||
	    yaml_get_enum(d, root, "media", media_names, 2, &media, err) != 0 ||
	    yaml_get_bool(d, root, "approved", &c->approved, err) != 0 ||
	    yaml_get_int(d, root, "log_result", 0, 1 << 20, &c->log_result,
	    err) != 0)
		return -1;
	c->kind = kind == KIND_REST ? CONNECTOR_REST : kind == KIND_BUILTIN ?
	    CONNECTOR_BUILTIN : CONNECTOR_MCP;
	if (kind == KIND_STDIO)
		c->stdio = base_calloc(1, sizeof(*c->stdio));
	if (kind == KIND_BUILTIN)
		c->builtin = base_calloc(1, sizeof(*c->builtin));
	c->state = (enum policy_state)state;
	c->media_stream = media == 1;
	return 0;
}

static int
read_connector(const struct conf *conf, const struct redact *rules,
    const struct yaml_doc *d, struct connector *c, struct err *err)
{
	const struct yaml_node *root = d->roots[0];
	char **optional[] = { &c->ca_pem, &c->credential, &c->cred_type,
		&c->cred_header, &c->cred_template, &c->graphql };

	for (size_t i = 0; i < ARRAY_LEN(optional); i++)
		*optional[i] = base_strdup("");
	c->path = base_strdup("/");
	memcpy(c->matrix, conf->matrix, sizeof(c->matrix));
	if (conf_refuse_secrets(d, err) != 0 ||
	    yaml_check_keys(d, root, keys, ARRAY_LEN(keys), err) != 0 ||
	    read_texts(d, root, c, err) != 0 ||
	    (c->stdio != NULL ? connector_stdio_read(d, root, c->stdio, err) :
	    connector_stdio_none(d, root, err)) != 0 || (c->stdio == NULL &&
	    c->builtin == NULL && read_url(d, root, c, err) != 0) ||
	    read_lists(d, root, c, err) != 0 ||
	    not_our_own(d, root, c, err) != 0 ||
	    read_credential(d, root, c, err) != 0 ||
	    connector_via_read(d, root, conf, &c->via, err) != 0 ||
	    connector_http_read(d, root, c->kind == CONNECTOR_MCP,
	    &c->http, err) != 0 ||
	    read_redaction(d, root, rules, c, err) != 0 ||
	    read_asks(d, root, c, err) != 0 ||
	    connector_lists_read(d, root, c, err) != 0 ||
	    read_matrix(d, root, c, err) != 0 ||
	    read_tools(d, root, c, err) != 0 ||
	    read_operations(d, root, c, err) != 0 ||
	    connector_builtin_read(d, root, c, err) != 0)
		return -1;
	return read_graphql(d, root, c, err);
}

static int
read_ca(const struct yaml_doc *d, struct connector *c, struct err *err)
{
	const struct yaml_node *ca = yaml_get(d->roots[0], "ca");

	if (ca == NULL)
		return 0;
	if (ca->type != YAML_SCALAR) {
		yaml_err(d, ca, err, "ca: must be the name of a PEM file");
		return -1;
	}
	return read_file(d, ca, ca->text, &c->ca_pem, err);
}

static void
pack_tool(struct buf *b, const struct connector_tool *t)
{
	pack_str(b, t->name);
	pack_u8(b, (uint8_t)t->klass);
	pack_u8(b, (uint8_t)t->approval);
	pack_u8(b, t->enabled);
	pack_u8(b, t->classified);
	pack_u8(b, (uint8_t)t->defer);
}

static void
pack_cidr(struct buf *b, const struct addr_cidr *c)
{
	char ip[ADDR_TEXT_MAX], text[ADDR_TEXT_MAX + 8];

	addr_format_ip(&c->net, ip);
	snprintf(text, sizeof(text), "%s/%u", ip, c->bits);
	pack_str(b, text);
}

static void
pack_off(struct buf *b, const struct redact_off *off)
{
	pack_u8(b, off != NULL);
	for (size_t i = 0; off != NULL && i < ARRAY_LEN(off->bits); i++)
		pack_u64(b, off->bits[i]);
}

static void
pack_connector(struct buf *b, const struct connector *c)
{
	const char *texts[] = { c->name, c->path, c->owner, c->purpose,
		c->vendor, c->source, c->reviewer, c->review_by, c->data_class,
		c->risk, c->environment, c->ca_pem, c->credential,
		c->cred_type, c->cred_header, c->cred_template, c->graphql };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		pack_str(b, texts[i]);
	pack_u8(b, (uint8_t)c->kind);
	pack_u8(b, (uint8_t)c->state);
	pack_u8(b, c->tls);
	pack_u8(b, c->approved);
	pack_u8(b, c->media_stream);
	pack_i64(b, c->log_result);
	pack_i64(b, c->tools_cache_ms);
	pack_u8(b, c->deferred);
	connector_via_pack(b, &c->via);
	connector_http_pack(b, &c->http);
	pack_off(b, c->off_arguments);
	pack_off(b, c->off_results);
	pack_u32(b, (uint32_t)c->nhosts);
	for (size_t i = 0; i < c->nhosts; i++) {
		pack_str(b, c->hosts[i].host);
		pack_u16(b, c->hosts[i].port);
	}
	pack_u32(b, (uint32_t)c->npins);
	for (size_t i = 0; i < c->npins; i++)
		pack_cidr(b, &c->pins[i]);
	pack_u32(b, (uint32_t)c->nagents);
	for (size_t i = 0; i < c->nagents; i++)
		pack_str(b, c->agents[i]);
	for (int t = 0; t < CONF_TRUSTS; t++)
		for (int k = 0; k < CONF_CLASSES; k++)
			pack_u8(b, (uint8_t)c->matrix[t][k]);
	for (int i = 0; i < CONNECTOR_ASKS; i++)
		pack_u8(b, c->asks[i]);
	pack_u32(b, (uint32_t)c->ntools);
	for (size_t i = 0; i < c->ntools; i++)
		pack_tool(b, &c->tools[i]);
	pack_u32(b, (uint32_t)c->noperations);
	for (size_t i = 0; i < c->noperations; i++) {
		pack_str(b, c->operations[i].method);
		pack_str(b, c->operations[i].path);
		pack_tool(b, &c->operations[i].tool);
	}
	connector_stdio_pack(b, c->stdio);
	connector_builtin_pack(b, c->builtin);
}

/* A credential is one value, sent in one way: what a second connector says of
 * it must be what the first said. places: one a connector, NULL without a
 * credential. */
static int
check_credential(const struct yaml_doc *d, const struct connector_set *set,
    char **places, struct err *err)
{
	const struct connector *c = &set->v[set->n - 1];
	const struct yaml_node *n = yaml_get(d->roots[0], "credential");
	char place[4200];

	if (n == NULL)
		return 0;
	snprintf(place, sizeof(place), "%s:%d:%d", d->file, n->line, n->col);
	places[set->n - 1] = base_strdup(place);
	for (size_t i = 0; i + 1 < set->n; i++) {
		const struct connector *o = &set->v[i];

		if (strcmp(o->credential, c->credential) != 0 ||
		    (strcmp(o->cred_type, c->cred_type) == 0 &&
		    slice_eq_nocase(slice_str(o->cred_header),
		    slice_str(c->cred_header)) &&
		    strcmp(o->cred_template, c->cred_template) == 0))
			continue;
		yaml_err(d, n, err, "credential %s has another type, header "
		    "or template at %s: use one, or two names",
		    c->credential, places[i]);
		return -1;
	}
	return 0;
}

static int
load_dir(const struct conf *conf, const struct redact *rules,
    struct connector_set *set, struct err *err)
{
	struct dirent **names = NULL;
	char **places;
	int n = scandir(conf->connectors_dir, &names, NULL, alphasort), r = -1;

	if (n < 0) {
		err_set(err, "%s: %s (connectors: names the folder of "
		    "connector files)", conf->connectors_dir, strerror(errno));
		return -1;
	}
	set->v = base_calloc((size_t)n + 1, sizeof(*set->v));
	places = base_calloc((size_t)n + 1, sizeof(*places));
	for (int i = 0; i < n; i++) {
		char path[4096];
		struct slice name = slice_str(names[i]->d_name);
		struct yaml_doc *d;
		int bad;

		if (name.p[0] == '.' || (!slice_ends(name, ".yaml") &&
		    !slice_ends(name, ".yml")))
			continue;
		snprintf(path, sizeof(path), "%s/%s", conf->connectors_dir,
		    names[i]->d_name);
		d = yaml_load(path, false, err);
		if (d == NULL)
			goto out;
		bad = read_connector(conf, rules, d, &set->v[set->n++], err);
		if (bad == 0)
			bad = read_ca(d, &set->v[set->n - 1], err);
		if (bad == 0 && connector_named(set, slice_str(
		    set->v[set->n - 1].name)) != &set->v[set->n - 1]) {
			yaml_err(d, d->roots[0], err, "connector %s is "
			    "defined twice", set->v[set->n - 1].name);
			bad = -1;
		}
		if (bad == 0)
			bad = check_credential(d, set, places, err);
		yaml_free(d);
		if (bad != 0)
			goto out;
	}
	r = 0;
out:
	for (int i = 0; i < n; i++) {
		free(names[i]);
		free(places[i]);
	}
	free(names);
	free(places);
	return r;
}

static int
add_sections(const struct connector_set *set, struct snap_writer *w,
    struct err *err)
{
	int r = 0;
	struct buf all, names, hosts, creds, rows;
	uint32_t nhosts = 0, ncreds = 0;

	for (size_t i = 0; i < set->n; i++)
		nhosts += (uint32_t)set->v[i].nhosts;
	buf_init(&all, SECTION_MAX);
	buf_init(&names, SECTION_MAX);
	buf_init(&hosts, SECTION_MAX);
	buf_init(&creds, SECTION_MAX);
	buf_init(&rows, SECTION_MAX);
	connector_via_pack(&all, &set->via);
	pack_u32(&all, (uint32_t)set->n);
	pack_u32(&names, (uint32_t)set->n);
	pack_u32(&hosts, nhosts + 1);
	pack_str(&hosts, CONNECTOR_SELF_HOST);
	connector_via_pack_credential(&rows, &set->via, &ncreds);
	for (size_t i = 0; i < set->n; i++) {
		const struct connector *c = &set->v[i];

		pack_connector(&all, c);
		pack_str(&names, c->name);
		for (size_t k = 0; k < c->nhosts; k++)
			pack_str(&hosts, c->hosts[k].host);
		connector_via_pack_credential(&rows, &c->via, &ncreds);
		if (c->credential[0] == '\0')
			continue;
		pack_str(&rows, c->credential);
		pack_str(&rows, c->cred_type);
		pack_str(&rows, c->cred_header);
		pack_str(&rows, c->cred_template);
		pack_u32(&rows, 1);
		pack_str(&rows, c->name);
		ncreds++;
	}
	pack_u32(&creds, ncreds);
	buf_add_slice(&creds, buf_slice(&rows));
	/* Cut off, a section would be another registry. */
	if (all.full || names.full || hosts.full || rows.full ||
	    creds.full) {
		err_set(err, "connectors: more than %u MiB when compiled: "
		    "split them among instances", SECTION_MAX >> 20);
		r = -1;
		goto out;
	}
	snap_add(w, "connectors", buf_slice(&all));
	snap_add(w, "connector-names", buf_slice(&names));
	snap_add(w, "catalog-hosts", buf_slice(&hosts));
	snap_add(w, "credentials", buf_slice(&creds));
out:
	buf_free(&all);
	buf_free(&names);
	buf_free(&hosts);
	buf_free(&creds);
	buf_free(&rows);
	return r;
}

int
connector_parse(const struct conf *c, const struct redact *rules,
    const char *file, struct slice text, struct snap_writer *w,
    struct err *err)
{
	struct connector_set *set = base_calloc(1, sizeof(*set));
	struct yaml_doc *d = yaml_parse(file, text, false, err);
	int r = -1;

	set->v = base_calloc(1, sizeof(*set->v));
	set->n = 1;
	if (d != NULL && connector_via_global(c, &set->via, err) == 0)
		r = read_connector(c, rules, d, &set->v[0], err);
	if (r == 0)
		r = add_sections(set, w, err);
	yaml_free(d);
	connector_set_free(set);
	return r;
}

static void
warn_secrets(const struct connector *c, const char *direction,
    const struct redact *rules, const struct redact_off *off,
    conf_warn_fn *warn, void *ctx)
{
	char text[512];
	struct buf b;

	if (off == NULL)
		return;
	buf_init(&b, 65536);
	redact_off_secrets(rules, off, &b);
	snprintf(text, sizeof(text), "connector %s: secrets may pass in its "
	    "%s, these rules are off: %.*s", c->name, direction,
	    SLICE_FMT(buf_slice(&b)));
	if (b.len > 0)
		warn(ctx, text);
	buf_free(&b);
}

int
connector_compile(const struct conf *c, const struct redact *rules,
    struct snap_writer *w, conf_warn_fn *warn, void *ctx, struct err *err)
{
	struct connector_set *set = base_calloc(1, sizeof(*set));
	int r = connector_via_global(c, &set->via, err);
	char text[256];

	if (r == 0)
		r = load_dir(c, rules, set, err);

	if (r == 0) {
		if (set->n == 0)
			warn(ctx, "no connectors: every host is refused");
		for (size_t i = 0; i < set->n; i++) {
			const struct connector *v = &set->v[i];

			warn_secrets(v, "arguments", rules, v->off_arguments,
			    warn, ctx);
			warn_secrets(v, "results", rules, v->off_results,
			    warn, ctx);
			if (v->approved)
				continue;
			snprintf(text, sizeof(text), "connector %s is not "
			    "approved and will not serve", v->name);
			warn(ctx, text);
		}
		r = add_sections(set, w, err);
	}
	connector_set_free(set);
	return r;
}
