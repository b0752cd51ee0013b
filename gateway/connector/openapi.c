/* openapi - see openapi.h. */
#include "openapi.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "connector.h"
#include "http1.h"
#include "map.h"
#include "yaml.h"

#define NAME_MAX_LEN 100

struct operation {
	char *name, *path;
	const char *method;
	enum conf_class klass;
	const struct yaml_node *at;
	bool deprecated;
};

struct import {
	struct yaml_doc *d;
	const struct yaml_node *root;
	const struct openapi_options *opt;
	struct err *err;
	conf_warn_fn *warn;
	void *ctx;
	struct buf url, base;
	struct operation *ops;
	size_t nops, cap;
};

static const struct {
	const char *key, *method;
} methods[] = {
	{ "get", "GET" }, { "head", "HEAD" }, { "options", "OPTIONS" },
	{ "post", "POST" }, { "put", "PUT" }, { "patch", "PATCH" },
	{ "delete", "DELETE" }
};

static void PRINTF_LIKE(3, 4)
skipped(struct import *m, const struct yaml_node *at, const char *fmt, ...)
{
	char text[512], line[700];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(line, sizeof(line), "%s:%d:%d: left out: %s", m->d->file,
	    at->line, at->col, text);
	m->warn(m->ctx, line);
}

static const char *
text_of(const struct yaml_node *map, const char *key)
{
	const struct yaml_node *v = yaml_get(map, key);

	return v != NULL && v->type == YAML_SCALAR && v->len > 0 ? v->text :
	    NULL;
}

/* --- references -------------------------------------------------------------- */

/* RFC 6901: ~1 is a slash, ~0 a tilde; in a URI fragment % escapes too, which
 * are refused rather than guessed. */
static const struct yaml_node *
child(const struct yaml_node *n, struct slice token)
{
	char key[512];
	size_t k = 0;

	for (size_t i = 0; i < token.n; i++) {
		char c = token.p[i];

		if (c == '~' && ++i < token.n)
			c = token.p[i] == '1' ? '/' : '~';
		if (k + 1 == sizeof(key))
			return NULL;
		key[k++] = c;
	}
	key[k] = '\0';
	return yaml_get(n, key);
}

/* What a map with a $ref stands for; itself without one. NULL and err. */
static const struct yaml_node *
follow(struct import *m, const struct yaml_node *n)
{
	const struct yaml_node *at = n;

	for (int hops = 0; yaml_get(n, "$ref") != NULL; hops++) {
		const struct yaml_node *ref = yaml_get(n, "$ref");
		struct slice rest = slice_make(ref->text, ref->len);

		if (hops == OPENAPI_REFS_MAX) {
			yaml_err(m->d, at, m->err, "more than %d references "
			    "in a row", OPENAPI_REFS_MAX);
			return NULL;
		}
		if (ref->type != YAML_SCALAR || !slice_starts(rest, "#/")) {
			yaml_err(m->d, ref, m->err, "$ref: only references "
			    "inside this file (#/...) are followed; bundle "
			    "the description first");
			return NULL;
		}
		n = m->root;
		rest = slice_sub(rest, 2, SIZE_MAX);
		while (rest.p != NULL && n != NULL)
			n = child(n, slice_cut(&rest, '/'));
		if (n == NULL || n->type != YAML_MAP) {
			yaml_err(m->d, ref, m->err, "$ref: %.200s is not in "
			    "this file", ref->text);
			return NULL;
		}
	}
	return n;
}

/* --- where ------------------------------------------------------------------- */

/* {var} of a server's URL stands for its default. */
static int
expand_server(struct import *m, const struct yaml_node *server,
    const struct yaml_node *url, struct buf *out)
{
	const struct yaml_node *vars = yaml_get(server, "variables");
	struct slice s = slice_make(url->text, url->len);
	ssize_t open;

	while ((open = slice_chr(s, '{')) >= 0) {
		struct slice rest = slice_sub(s, (size_t)open + 1, SIZE_MAX);
		struct slice name = slice_cut(&rest, '}');
		const char *v = text_of(child(vars, name), "default");

		if (rest.p == NULL || v == NULL) {
			yaml_err(m->d, url, m->err, "servers: the variable "
			    "{%.*s} has no default; give --host",
			    (int)(name.n < 64 ? name.n : 64), name.p);
			return -1;
		}
		buf_add(out, s.p, (size_t)open);
		buf_add_str(out, v);
		s = rest;
	}
	buf_add_slice(out, s);
	return 0;
}

/* The path of the first server, and its URL with --host in place of its
 * authority. */
static int
join_host(struct import *m, const struct yaml_node *at, struct slice server)
{
	const char *host = m->opt->host;
	struct slice path = server;
	ssize_t scheme = slice_find(server, SLICE("://"));
	bool plain = slice_starts(server, "http://");

	if (scheme >= 0) {
		path = slice_sub(server, (size_t)scheme + 3, SIZE_MAX);
		ssize_t slash = slice_chr(path, '/');

		path = slash < 0 ? SLICE("/") : slice_sub(path,
		    (size_t)slash, SIZE_MAX);
	} else if (path.n == 0 || path.p[0] != '/') {
		path = SLICE("/");
	}
	if (host == NULL && scheme < 0) {
		yaml_err(m->d, at, m->err, "servers: names no host; give "
		    "--host");
		return -1;
	}
	if (host == NULL)
		return buf_add_slice(&m->url, server);
	if (strstr(host, "://") == NULL)
		buf_add_str(&m->url, plain ? "http://" : "https://");
	buf_add_str(&m->url, host);
	return buf_add_slice(&m->url, path);
}

static int
read_server(struct import *m)
{
	const struct yaml_node *list = yaml_get(m->root, "servers");
	const struct yaml_node *server = list != NULL &&
	    list->type == YAML_SEQ && list->n > 0 ? list->items[0] : NULL;
	const struct yaml_node *url = yaml_get(server, "url");
	const struct yaml_node *at = url != NULL ? url : m->root;
	struct http1_url u;
	struct buf text;
	enum http1_error e;
	int r = -1;

	buf_init(&text, 4096);
	if (url != NULL && url->type == YAML_SCALAR &&
	    expand_server(m, server, url, &text) != 0)
		goto out;
	if (join_host(m, at, buf_slice(&text)) != 0)
		goto out;
	e = http1_url_parse(buf_slice(&m->url), &u);
	if (text.full || m->url.full || e != HTTP1_E_NONE ||
	    u.query.p != NULL) {
		yaml_err(m->d, at, m->err, "servers: %.*s: %s",
		    m->url.len < 200 ? (int)m->url.len : 200,
		    buf_data(&m->url), e != HTTP1_E_NONE ? http1_error_text(e)
		    : "no URL to call");
		goto out;
	}
	while (u.path.n > 0 && u.path.p[u.path.n - 1] == '/')
		u.path.n--;
	r = buf_add_slice(&m->base, u.path);
	if (list != NULL && list->n > 1)
		skipped(m, list->items[1], "other servers than the first");
out:
	buf_free(&text);
	return r;
}

/* --- operations ---------------------------------------------------------------- */

/* A template as connector.h has it, of characters that a path may hold. */
static const char *
path_fault(struct slice path)
{
	struct slice rest = path;

	for (size_t i = 0; i < path.n; i++)
		if (!(path.p[i] > ' ' && path.p[i] < 0x7f) ||
		    strchr("?#\"\\<>^`|", path.p[i]) != NULL)
			return "its path has a query or characters that a "
			    "path has only encoded";
	while (rest.p != NULL) {
		struct slice seg = slice_cut(&rest, '/'), more = rest;

		if (seg.n > 2 && seg.p[0] == '{' &&
		    seg.p[seg.n - 1] == '}') {
			struct slice whole = seg;

			seg = slice_sub(seg, 1, seg.n - 2);
			while (more.p != NULL)
				if (slice_eq(slice_cut(&more, '/'), whole))
					return "its path has a variable "
					    "twice";
		}
		if (slice_chr(seg, '{') >= 0 || slice_chr(seg, '}') >= 0)
			return "a variable of its path is no whole segment";
	}
	return NULL;
}

static char *
plain_name(struct slice s)
{
	char *out = base_calloc(1, NAME_MAX_LEN + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.n && n < NAME_MAX_LEN; i++) {
		char c = s.p[i], l = c | 0x20;
		bool ok = (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') ||
		    c == '.' || c == '-';

		if (ok)
			out[n++] = c;
		else if (n > 0 && out[n - 1] != '_')
			out[n++] = '_';
	}
	while (n > 0 && out[n - 1] == '_')
		out[--n] = '\0';
	return out;
}

static char *
operation_name(const struct yaml_node *op, const char *key,
    const char *path)
{
	const char *id = text_of(op, "operationId");
	struct buf b;
	char *name;

	if (id != NULL) {
		name = plain_name(slice_str(id));
		if (name[0] != '\0')
			return name;
		free(name);
	}
	buf_init(&b, 4096);
	buf_addf(&b, "%s_%.2000s", key, path);
	name = plain_name(buf_slice(&b));
	buf_free(&b);
	return name;
}

static int
add_operation(struct import *m, const struct yaml_node *key,
    const struct yaml_node *op, size_t method)
{
	struct operation *o;
	struct buf path;

	if (m->nops == OPENAPI_OPERATIONS_MAX) {
		yaml_err(m->d, op, m->err, "more than %d operations",
		    OPENAPI_OPERATIONS_MAX);
		return -1;
	}
	if (m->nops == m->cap) {
		m->cap = m->cap == 0 ? 64 : m->cap * 2;
		m->ops = base_realloc(m->ops, m->cap * sizeof(*m->ops));
	}
	buf_init(&path, m->base.len + key->len + 1);
	buf_add_slice(&path, buf_slice(&m->base));
	buf_add(&path, key->text, key->len);
	o = &m->ops[m->nops++];
	*o = (struct operation){ .at = op, .path = slice_dup(buf_slice(
	    &path)), .method = methods[method].method };
	o->name = operation_name(op, methods[method].key, key->text);
	o->klass = openapi_class(o->method, slice_str(o->name),
	    slice_make(key->text, key->len));
	o->deprecated = text_of(op, "deprecated") != NULL &&
	    strcmp(text_of(op, "deprecated"), "true") == 0;
	buf_free(&path);
	return 0;
}

static int
read_path(struct import *m, const struct yaml_node *key,
    const struct yaml_node *item)
{
	const char *fault;

	if (strncmp(key->text, "x-", 2) == 0)
		return 0;
	if (key->text[0] != '/' || item->type != YAML_MAP) {
		yaml_err(m->d, key, m->err, "paths: a path begins with / and "
		    "has a map of methods");
		return -1;
	}
	if ((item = follow(m, item)) == NULL)
		return -1;
	if ((fault = path_fault(slice_make(key->text, key->len))) != NULL) {
		skipped(m, key, "%.200s: %s; its calls are unknown", key->text,
		    fault);
		return 0;
	}
	if (yaml_get(item, "servers") != NULL) {
		skipped(m, key, "%.200s: has servers of its own", key->text);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		const struct yaml_node *op = yaml_get(item, methods[i].key);

		if (op == NULL)
			continue;
		if (op->type != YAML_MAP) {
			yaml_err(m->d, op, m->err, "%s: an operation is a "
			    "map", methods[i].key);
			return -1;
		}
		if (yaml_get(op, "servers") != NULL)
			skipped(m, op, "%s %.200s: has servers of its own",
			    methods[i].method, key->text);
		else if (add_operation(m, key, op, i) != 0)
			return -1;
	}
	if (yaml_get(item, "trace") != NULL)
		skipped(m, key, "TRACE %.200s: is always refused", key->text);
	return 0;
}

/* Of two that match the same path the one that says more comes first, as the
 * connector takes the first that matches. */
static int
compare(const void *va, const void *vb)
{
	const struct operation *a = va, *b = vb;
	struct slice x = slice_str(a->path), y = slice_str(b->path);

	while (x.p != NULL && y.p != NULL) {
		struct slice s = slice_cut(&x, '/'), t = slice_cut(&y, '/');
		bool sv = s.n > 0 && s.p[0] == '{', tv = t.n > 0 &&
		    t.p[0] == '{';
		size_t n = s.n < t.n ? s.n : t.n;
		int c;

		if (sv != tv)
			return sv ? 1 : -1;
		if (sv)
			continue;
		if ((c = n == 0 ? 0 : memcmp(s.p, t.p, n)) != 0)
			return c;
		if (s.n != t.n)
			return s.n < t.n ? -1 : 1;
	}
	if ((x.p == NULL) != (y.p == NULL))
		return x.p == NULL ? -1 : 1;
	return strcmp(a->method, b->method);
}

static void
drop_twins(struct import *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->nops; i++) {
		struct operation *o = &m->ops[i];

		if (n == 0 || compare(&m->ops[n - 1], o) != 0) {
			m->ops[n++] = *o;
			continue;
		}
		skipped(m, o->at, "%s %.200s: the same calls as %.200s",
		    o->method, o->path, m->ops[n - 1].path);
		/* What serves them has the stricter class of the two. */
		if (o->klass < m->ops[n - 1].klass)
			m->ops[n - 1].klass = o->klass;
		free(o->name);
		free(o->path);
	}
	m->nops = n;
}

/* A name that is there already gets a number. */
static void
make_unique(struct import *m)
{
	struct map seen;

	map_init(&seen);
	for (size_t i = 0; i < m->nops; i++) {
		struct operation *o = &m->ops[i];
		char name[NAME_MAX_LEN + 16];

		snprintf(name, sizeof(name), "%s", o->name);
		for (unsigned n = 2; map_get(&seen, slice_str(name)) != NULL;
		    n++)
			snprintf(name, sizeof(name), "%s_%u", o->name, n);
		free(o->name);
		o->name = base_strdup(name);
		map_put(&seen, slice_str(name), o);
	}
	map_free(&seen);
}

/* --- the file ------------------------------------------------------------------ */

/* As YAML's double-quoted text; what is not printable ASCII becomes "?". */
static void
quote(struct buf *out, struct slice s)
{
	buf_add_char(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			buf_add_char(out, '\\');
		buf_add_char(out, s.p[i] >= ' ' && s.p[i] < 0x7f ? s.p[i] :
		    '?');
	}
	buf_add_char(out, '"');
}

/* For a comment: as much of it as fits a line. */
static void
quote_short(struct buf *out, const char *s)
{
	quote(out, slice_sub(slice_str(s), 0, 60));
}

static void
write_credential(struct import *m, const char *name, struct buf *out)
{
	const struct yaml_node *all = yaml_get(yaml_get(m->root,
	    "components"), "securitySchemes");

	for (size_t i = 0; all != NULL && all->type == YAML_MAP && i < all->n;
	    i++) {
		const struct yaml_node *s = all->items[i];
		const char *type = text_of(s, "type"), *in = text_of(s, "in");
		const char *scheme = text_of(s, "scheme");

		if (type == NULL)
			continue;
		if (strcmp(type, "http") == 0 && scheme != NULL &&
		    slice_is_nocase(slice_str(scheme), "bearer")) {
			buf_addf(out, "# credential: { name: %s, type: bearer "
			    "}\n", name);
		} else if (strcmp(type, "apiKey") == 0 && in != NULL &&
		    strcmp(in, "header") == 0 && text_of(s, "name") != NULL) {
			buf_addf(out, "# credential: { name: %s, type: header,"
			    " header: ", name);
			quote(out, slice_sub(slice_str(text_of(s, "name")), 0,
			    200));
			buf_add_str(out, " }\n");
		}
	}
}

static void
write_file(struct import *m, const char *name, struct buf *out)
{
	const struct yaml_node *info = yaml_get(m->root, "info");
	const char *title = text_of(info, "title");
	const char *slash = strrchr(m->d->file, '/');

	buf_add_str(out, "# Proposed from ");
	quote_short(out, slash == NULL ? m->d->file : slash + 1);
	buf_add_str(out, ": ");
	quote_short(out, title == NULL ? "(no title)" : title);
	buf_add_str(out, "\n# Before it serves: fill in owner, purpose and "
	    "agents, look at every class (it is\n# at least what the method "
	    "asks), then set approved: true.\n");
	buf_addf(out, "name: %s\nkind: rest\nurl: ", name);
	quote(out, buf_slice(&m->url));
	buf_addf(out, "\nowner: %s\npurpose: %s\napproved: false\n"
	    "agents: [%s]\n", CONNECTOR_PLACEHOLDER, CONNECTOR_PLACEHOLDER,
	    CONNECTOR_PLACEHOLDER);
	write_credential(m, name, out);
	buf_add_str(out, "operations:\n");
	for (size_t i = 0; i < m->nops; i++) {
		const struct operation *o = &m->ops[i];

		buf_add_str(out, "  - { name: ");
		quote(out, slice_str(o->name));
		buf_addf(out, ", method: %s, path: \"%s\", class: %s }%s\n",
		    o->method, o->path, conf_class_names[o->klass],
		    o->deprecated ? "  # deprecated" : "");
	}
}

/* --- all ------------------------------------------------------------------------- */

static int
check_version(struct import *m)
{
	const char *v = text_of(m->root, "openapi");

	if (m->root->type != YAML_MAP || v == NULL) {
		yaml_err(m->d, yaml_get(m->root, "swagger"), m->err,
		    "no OpenAPI 3 description: openapi: 3.0.x or 3.1.x is "
		    "missing%s", yaml_get(m->root, "swagger") != NULL ?
		    "; convert Swagger 2.0 first" : "");
		return -1;
	}
	if (strncmp(v, "3.0", 3) == 0 || strncmp(v, "3.1", 3) == 0)
		return 0;
	yaml_err(m->d, yaml_get(m->root, "openapi"), m->err, "openapi: %.32s "
	    "is not read; 3.0 and 3.1 are", v);
	return -1;
}

static int
choose_name(struct import *m, char name_r[65])
{
	const char *given = m->opt->name;
	const char *s = given != NULL ? given : text_of(yaml_get(m->root,
	    "info"), "title");
	size_t n = 0;

	for (size_t i = 0; s != NULL && s[i] != '\0' && n < 64; i++) {
		char c = s[i] >= 'A' && s[i] <= 'Z' ? s[i] | 0x20 : s[i];

		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
			name_r[n++] = c;
		else if (n > 0 && name_r[n - 1] != '-')
			name_r[n++] = '-';
	}
	while (n > 0 && name_r[n - 1] == '-')
		n--;
	name_r[n] = '\0';
	if (n > 0 && (given == NULL || strcmp(given, name_r) == 0))
		return 0;
	yaml_err(m->d, yaml_get(m->root, "info"), m->err, given == NULL ?
	    "info.title makes no name; give --name" :
	    "--name must be [a-z0-9-], at most 64 characters");
	return -1;
}

static int
read_all(struct import *m)
{
	const struct yaml_node *paths = yaml_get(m->root, "paths");

	if (read_server(m) != 0)
		return -1;
	for (size_t i = 0; paths != NULL && paths->type == YAML_MAP &&
	    i < paths->n; i++)
		if (read_path(m, paths->keys[i], paths->items[i]) != 0)
			return -1;
	if (m->nops == 0) {
		yaml_err(m->d, paths == NULL ? m->root : paths, m->err,
		    "paths: no operation that can be imported");
		return -1;
	}
	qsort(m->ops, m->nops, sizeof(*m->ops), compare);
	drop_twins(m);
	make_unique(m);
	return 0;
}

int
openapi_import(const char *file, struct slice text,
    const struct openapi_options *opt, struct buf *out, char name_r[65],
    conf_warn_fn *warn, void *ctx, struct err *err)
{
	static const struct yaml_limits lim = { OPENAPI_BYTES_MAX, 64,
		1000000 };
	struct import m = { .opt = opt, .warn = warn, .ctx = ctx,
		.err = err };
	struct slice begin = slice_trim(text);
	int r = -1;

	m.d = begin.n > 0 && begin.p[0] == '{' ? yaml_from_json(file, text,
	    &lim, err) : yaml_parse_within(file, text, false, &lim, err);
	if (m.d == NULL)
		return -1;
	m.root = m.d->roots[0];
	buf_init(&m.url, 4096);
	buf_init(&m.base, 4096);
	if (check_version(&m) == 0 && choose_name(&m, name_r) == 0 &&
	    read_all(&m) == 0) {
		write_file(&m, name_r, out);
		r = out->full ? -1 : 0;
		if (out->full)
			err_at(err, file, 0, 0, "the result is too large");
	}
	for (size_t i = 0; i < m.nops; i++) {
		free(m.ops[i].name);
		free(m.ops[i].path);
	}
	free(m.ops);
	buf_free(&m.url);
	buf_free(&m.base);
	yaml_free(m.d);
	return r;
}
