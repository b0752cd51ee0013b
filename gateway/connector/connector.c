/* connector - see connector.h: what roles do with the compiled registry. */
#include "connector.h"
#include "connector_builtin.h"
#include "connector_words.h"

#include <stdlib.h>

#define AGGREGATE_LOG 65536

static void
unpack_tool(struct unpack *u, struct connector_tool *t)
{
	unsigned k, a, defer;

	t->name = unpack_strdup(u);
	k = unpack_u8(u);
	a = unpack_u8(u);
	t->enabled = unpack_u8(u) != 0;
	t->classified = unpack_u8(u) != 0;
	defer = unpack_u8(u);
	if (k >= CONF_CLASSES || a >= POLICY_APPROVALS ||
	    defer >= CONNECTOR_DEFERS)
		u->bad = true;
	else {
		t->klass = (enum conf_class)k;
		t->approval = (enum policy_approval)a;
		t->defer = (enum connector_defer)defer;
	}
}

static void
unpack_addr(struct unpack *u, struct addr_cidr *c)
{
	char *s = unpack_strdup(u);

	if (!u->bad && !addr_parse_cidr(slice_str(s), c))
		u->bad = true;
	free(s);
}

static void
unpack_via(struct unpack *u, struct connector_via *v)
{
	v->host = unpack_strdup(u);
	v->port = unpack_u16(u);
	v->credential = unpack_strdup(u);
}

static struct redact_off *
unpack_off(struct unpack *u)
{
	struct redact_off *off;

	if (unpack_u8(u) == 0)
		return NULL;
	off = base_calloc(1, sizeof(*off));
	for (size_t i = 0; i < ARRAY_LEN(off->bits); i++)
		off->bits[i] = unpack_u64(u);
	return off;
}

static struct connector_stdio *
unpack_stdio(struct unpack *u)
{
	struct connector_stdio *s;

	if (unpack_u8(u) == 0)
		return NULL;
	s = base_calloc(1, sizeof(*s));
	s->digest = unpack_strdup(u);
	s->directory = unpack_strdup(u);
	s->network = unpack_u8(u) == 1;
	connector_words_unpack(u, &s->command);
	connector_words_unpack(u, &s->read);
	connector_words_unpack(u, &s->allow);
	connector_words_unpack(u, &s->env);
	return s;
}

static void
free_stdio(struct connector_stdio *s)
{
	if (s == NULL)
		return;
	free(s->digest);
	free(s->directory);
	connector_words_free(&s->command);
	connector_words_free(&s->read);
	connector_words_free(&s->allow);
	connector_words_free(&s->env);
	free(s);
}

static void
unpack_connector(struct unpack *u, struct connector *c)
{
	char **texts[] = { &c->name, &c->path, &c->owner, &c->purpose,
		&c->vendor, &c->source, &c->reviewer, &c->review_by,
		&c->data_class, &c->risk, &c->environment, &c->ca_pem,
		&c->credential, &c->cred_type, &c->cred_header,
		&c->cred_template, &c->graphql };
	unsigned kind, state;
	uint32_t n;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		*texts[i] = unpack_strdup(u);
	kind = unpack_u8(u);
	state = unpack_u8(u);
	if (kind >= CONNECTOR_KINDS || state >= POLICY_STATES) {
		u->bad = true;
		return;
	}
	c->kind = (enum connector_kind)kind;
	c->state = (enum policy_state)state;
	c->tls = unpack_u8(u) != 0;
	c->approved = unpack_u8(u) != 0;
	c->media_stream = unpack_u8(u) != 0;
	c->log_result = unpack_i64(u);
	c->tools_cache_ms = unpack_i64(u);
	c->deferred = unpack_u8(u) != 0;
	unpack_via(u, &c->via);
	c->http.h2_agents = unpack_u8(u) != 0;
	c->http.h2_upstream = unpack_u8(u) != 0;
	c->http.websocket = unpack_u8(u) == 1;
	c->http.ws_binary = unpack_u8(u) == 1;
	c->off_arguments = unpack_off(u);
	c->off_results = unpack_off(u);
	n = unpack_count(u, 6);
	c->hosts = base_calloc(n + 1, sizeof(*c->hosts));
	for (; c->nhosts < n; c->nhosts++) {
		c->hosts[c->nhosts].host = unpack_strdup(u);
		c->hosts[c->nhosts].port = unpack_u16(u);
	}
	n = unpack_count(u, 4);
	c->pins = base_calloc(n + 1, sizeof(*c->pins));
	for (; c->npins < n; c->npins++)
		unpack_addr(u, &c->pins[c->npins]);
	n = unpack_count(u, 4);
	c->agents = base_calloc(n + 1, sizeof(*c->agents));
	for (; c->nagents < n; c->nagents++)
		c->agents[c->nagents] = unpack_strdup(u);
	for (int t = 0; t < CONF_TRUSTS; t++)
		for (int k = 0; k < CONF_CLASSES; k++) {
			unsigned e = unpack_u8(u);

			if (e >= CONF_EFFECTS)
				u->bad = true;
			else
				c->matrix[t][k] = (enum conf_effect)e;
		}
	for (int i = 0; i < CONNECTOR_ASKS; i++)
		c->asks[i] = unpack_u8(u) != 0;
	n = unpack_count(u, 8);
	c->tools = base_calloc(n + 1, sizeof(*c->tools));
	for (; c->ntools < n; c->ntools++)
		unpack_tool(u, &c->tools[c->ntools]);
	n = unpack_count(u, 16);
	c->operations = base_calloc(n + 1, sizeof(*c->operations));
	for (; c->noperations < n; c->noperations++) {
		struct connector_operation *o = &c->operations[c->noperations];

		o->method = unpack_strdup(u);
		o->path = unpack_strdup(u);
		unpack_tool(u, &o->tool);
		o->name = o->tool.name;
	}
	c->stdio = unpack_stdio(u);
	c->builtin = connector_builtin_unpack(u);
	if ((c->nhosts == 0) != (c->stdio != NULL || c->builtin != NULL) ||
	    (c->stdio != NULL && c->kind != CONNECTOR_MCP) ||
	    (c->builtin != NULL) != (c->kind == CONNECTOR_BUILTIN))
		u->bad = true;
}

static void
make_aggregate(struct connector *c)
{
	char **texts[] = { &c->owner, &c->purpose, &c->vendor, &c->source,
		&c->reviewer, &c->review_by, &c->data_class, &c->risk,
		&c->environment, &c->ca_pem, &c->credential, &c->cred_type,
		&c->cred_header, &c->cred_template, &c->graphql, &c->via.host,
		&c->via.credential };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		*texts[i] = base_strdup("");
	c->name = base_strdup(CONNECTOR_AGGREGATE);
	c->path = base_strdup("/mcp");
	c->kind = CONNECTOR_MCP;
	c->approved = true;
	c->state = POLICY_ENABLED;
	c->log_result = AGGREGATE_LOG;
	c->agents = base_calloc(1, sizeof(*c->agents));
	c->agents[c->nagents++] = base_strdup("*");
	for (int t = 0; t < CONF_TRUSTS; t++)
		c->matrix[t][CONF_READ_ONLY] = CONF_ALLOW;
	c->tools = base_calloc(1, sizeof(*c->tools));
	c->tools[c->ntools++] = (struct connector_tool){
		.name = base_strdup(CONNECTOR_SEARCH),
		.klass = CONF_READ_ONLY, .approval = POLICY_DEFAULT,
		.enabled = true, .classified = true };
}

struct connector *
connector_aggregate(const struct connector_set *s)
{
	ASSERT(s->aggregate);
	return &s->v[s->n];
}

struct connector_set *
connector_load(const struct snap *s)
{
	struct connector_set *set = base_calloc(1, sizeof(*set));
	struct unpack u;
	uint32_t n;

	unpack_init(&u, snap_section(s, "connectors"));
	unpack_via(&u, &set->via);
	n = unpack_count(&u, 64);
	set->v = base_calloc(n + 1, sizeof(*set->v));
	for (; set->n < n && !u.bad; set->n++)
		unpack_connector(&u, &set->v[set->n]);
	if (!unpack_done(&u)) {
		connector_set_free(set);
		return NULL;
	}
	make_aggregate(&set->v[set->n]);
	set->aggregate = true;
	return set;
}

static void
connector_clear(struct connector *c)
{
	char *texts[] = { c->name, c->path, c->owner, c->purpose, c->vendor,
		c->source, c->reviewer, c->review_by, c->data_class, c->risk,
		c->environment, c->ca_pem, c->credential, c->cred_type,
		c->cred_header, c->cred_template, c->graphql, c->via.host,
		c->via.credential };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		free(texts[i]);
	for (size_t i = 0; i < c->nhosts; i++)
		free(c->hosts[i].host);
	for (size_t i = 0; i < c->nagents; i++)
		free(c->agents[i]);
	for (size_t i = 0; i < c->ntools; i++)
		free(c->tools[i].name);
	for (size_t i = 0; i < c->noperations; i++) {
		free(c->operations[i].tool.name);	/* .name is the same */
		free(c->operations[i].method);
		free(c->operations[i].path);
	}
	free_stdio(c->stdio);
	connector_builtin_free(c->builtin);
	free(c->off_arguments);
	free(c->off_results);
	free(c->hosts);
	free(c->pins);
	free(c->agents);
	free(c->tools);
	free(c->operations);
}

void
connector_set_free(struct connector_set *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->n + s->aggregate; i++)
		connector_clear(&s->v[i]);
	free(s->v);
	free(s->via.host);
	free(s->via.credential);
	free(s);
}

struct connector *
connector_named(const struct connector_set *s, struct slice name)
{
	for (size_t i = 0; i < s->n; i++)
		if (slice_is(name, s->v[i].name))
			return &s->v[i];
	return NULL;
}

static bool
path_below(struct slice path, const char *base)
{
	size_t n = strlen(base);

	while (n > 0 && base[n - 1] == '/')
		n--;
	return path.n >= n && memcmp(path.p, base, n) == 0 &&
	    (path.n == n || path.p[n] == '/');
}

struct connector *
connector_at(const struct connector_set *s, const char *host, uint16_t port,
    struct slice path)
{
	struct connector *best = NULL;

	for (size_t i = 0; i < s->n; i++) {
		struct connector *c = &s->v[i];

		for (size_t k = 0; k < c->nhosts; k++) {
			if (c->hosts[k].port != port ||
			    strcmp(c->hosts[k].host, host) != 0)
				continue;
			if (path.p != NULL && !path_below(path, c->path))
				continue;
			if (best == NULL ||
			    strlen(c->path) > strlen(best->path))
				best = c;
			break;
		}
	}
	return best;
}

bool
connector_h2_at(const struct connector_set *s, const char *host, uint16_t port)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct connector *c = &s->v[i];

		for (size_t k = 0; k < c->nhosts && !c->http.h2_agents; k++)
			if (c->hosts[k].port == port &&
			    strcmp(c->hosts[k].host, host) == 0)
				return false;
	}
	return true;
}

bool
connector_allows_agent(const struct connector *c, const char *agent)
{
	for (size_t i = 0; i < c->nagents; i++)
		if (strcmp(c->agents[i], "*") == 0 ||
		    strcmp(c->agents[i], agent) == 0)
			return true;
	return false;
}

const struct connector_tool *
connector_tool(const struct connector *c, struct slice name)
{
	/* First what stands under a method's floor. */
	for (size_t i = 0; i < c->noperations; i++)
		if (slice_is(name, c->operations[i].name))
			return &c->operations[i].tool;
	for (size_t i = 0; i < c->ntools; i++)
		if (slice_is(name, c->tools[i].name))
			return &c->tools[i];
	return NULL;
}

bool
connector_defers(const struct connector *c, struct slice name)
{
	const struct connector_tool *t = connector_tool(c, name);

	return t == NULL || t->defer == CONNECTOR_DEFER_DEFAULT ?
	    c->deferred : t->defer == CONNECTOR_DEFER_YES;
}

bool
connector_defers_any(const struct connector *c)
{
	bool any = c->deferred;

	for (size_t i = 0; i < c->ntools; i++)
		any |= c->tools[i].defer == CONNECTOR_DEFER_YES;
	return any;
}

bool
connector_path_match(const char *template, struct slice path)
{
	struct slice t = slice_str(template);

	while (t.p != NULL && path.p != NULL) {
		struct slice a = slice_cut(&t, '/'), b = slice_cut(&path, '/');
		bool any = a.n > 2 && a.p[0] == '{' && a.p[a.n - 1] == '}';

		if (any ? b.n == 0 : !slice_eq(a, b))
			return false;
	}
	return t.p == NULL && path.p == NULL;
}

static bool
is_variable(struct slice seg)
{
	return seg.n > 2 && seg.p[0] == '{' && seg.p[seg.n - 1] == '}';
}

/* Would a server that takes letters for alike, cuts off what follows a ";", or
 * a slash at the end, find the template in the path? */
static bool
looks_like(const char *template, struct slice path)
{
	struct slice t = slice_str(template);

	if (path.n > 1 && path.p[path.n - 1] == '/')
		path.n--;
	while (t.p != NULL && path.p != NULL) {
		struct slice a = slice_cut(&t, '/'), b = slice_cut(&path, '/');

		if (is_variable(a) ? b.n == 0 : !slice_eq_nocase(a,
		    slice_cut(&b, ';')))
			return false;
	}
	return t.p == NULL && path.p == NULL;
}

/* Of two templates that match, the one with a name where the other has a
 * variable, from the left: so servers choose too. */
static bool
more_exact(const char *a, const char *b)
{
	struct slice s = slice_str(a), t = slice_str(b);

	while (s.p != NULL && t.p != NULL) {
		bool v = is_variable(slice_cut(&s, '/'));

		if (v != is_variable(slice_cut(&t, '/')))
			return !v;
	}
	return false;
}

const struct connector_operation *
connector_operation(const struct connector *c, struct slice method,
    struct slice path)
{
	const struct connector_operation *best = NULL;

	for (size_t i = 0; i < c->noperations; i++) {
		const struct connector_operation *o = &c->operations[i];

		if (!slice_is(method, o->method))
			continue;
		if (connector_path_match(o->path, path)) {
			if (best == NULL || more_exact(o->path, best->path))
				best = o;
		} else if (looks_like(o->path, path)) {
			return NULL;	/* this one or another: unknown */
		}
	}
	if (best != NULL)
		return best;
	/* HEAD is a GET without the content (RFC 9110, 9.3.2). */
	return slice_is(method, "HEAD") ? connector_operation(c,
	    SLICE("GET"), path) : NULL;
}
