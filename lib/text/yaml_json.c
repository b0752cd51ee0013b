/* yaml_json - yaml_from_json() of yaml.h. */
#include <stdlib.h>

#include "json.h"
#include "yaml_impl.h"

struct reader {
	struct doc *doc;
	struct json_doc json;
	size_t at;		/* lines are counted up to here */
	int line, col;
	struct err *err;
};

/* Nodes come in the order of the text. */
static void
move_to(struct reader *r, size_t off)
{
	for (; r->at < off; r->at++) {
		r->col++;
		if (r->json.text.p[r->at] == '\n') {
			r->line++;
			r->col = 1;
		}
	}
}

static int
read_scalar(struct reader *r, uint32_t node, struct yaml_node *v)
{
	struct slice text = json_raw(&r->json, node);
	struct buf b;

	v->quoted = json_typeof(&r->json, node) == JSON_STRING;
	buf_init(&b, text.n + 1);
	if (v->quoted) {
		ASSERT(json_decode(&r->json, node, &b) == 0);
		text = buf_slice(&b);
	}
	if (slice_chr(text, '\0') >= 0) {
		err_at(r->err, r->doc->pub.file, v->line, v->col,
		    "a text may not hold a NUL");
		buf_free(&b);
		return -1;
	}
	v->text = arena_strdup(r->doc->arena, text);
	v->len = text.n;
	ASSERT(v->text != NULL);
	buf_free(&b);
	return 0;
}

static void *
list_new(struct reader *r, size_t n)
{
	struct yaml_node **l = arena_alloc(r->doc->arena, (n + 1) *
	    sizeof(struct yaml_node *));

	ASSERT(l != NULL);
	return l;
}

/* As deep as the limit of json_index. */
static struct yaml_node *
read_node(struct reader *r, uint32_t node)
{
	struct json_doc *d = &r->json;
	struct yaml_node *v = arena_alloc(r->doc->arena, sizeof(*v));
	bool map = json_typeof(d, node) == JSON_OBJECT;

	ASSERT(v != NULL);
	move_to(r, d->nodes[node].off);
	v->line = r->line;
	v->col = r->col;
	if (!map && json_typeof(d, node) != JSON_ARRAY) {
		v->type = YAML_SCALAR;
		return read_scalar(r, node, v) == 0 ? v : NULL;
	}
	v->type = map ? YAML_MAP : YAML_SEQ;
	v->items = list_new(r, d->nodes[node].count);
	if (map)
		v->keys = list_new(r, d->nodes[node].count);
	for (uint32_t c = json_first(d, node); c != JSON_NONE;
	    c = json_next(d, node, c)) {
		if (map && (v->keys[v->n] = read_node(r, c)) == NULL)
			return NULL;
		if (map)
			c++;
		if ((v->items[v->n++] = read_node(r, c)) == NULL)
			return NULL;
	}
	return v;
}

struct yaml_doc *
yaml_from_json(const char *file, struct slice text,
    const struct yaml_limits *lim, struct err *err)
{
	struct json_limits jl = { (uint32_t)lim->depth,
		(uint32_t)lim->nodes };
	struct reader r = { .line = 1, .col = 1, .err = err };
	struct yaml_node *root = NULL;

	ASSERT(lim->depth <= YAML_DEPTH_MAX && lim->nodes <= YAML_NODES_MAX);
	if (text.n > lim->bytes) {
		err_at(err, file, 0, 0, "larger than %zu MiB",
		    lim->bytes >> 20);
		return NULL;
	}
	r.doc = yaml_doc_new(file);
	json_init(&r.json);
	if (json_index(&r.json, text, &jl) == JSON_OK) {
		root = read_node(&r, 0);
	} else {
		r.json.text = text;
		move_to(&r, r.json.error_off < text.n ? r.json.error_off :
		    text.n);
		err_at(err, file, r.line, r.col, "%s",
		    json_error_text(r.json.error));
	}
	json_free(&r.json);
	if (root == NULL) {
		yaml_free(&r.doc->pub);
		return NULL;
	}
	r.doc->pub.n = 1;
	r.doc->pub.roots = arena_alloc(r.doc->arena, sizeof(root));
	ASSERT(r.doc->pub.roots != NULL);
	r.doc->pub.roots[0] = root;
	return &r.doc->pub;
}
