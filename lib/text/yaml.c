/*
 * yaml - see yaml.h.
 *
 * libyaml scans only as far as the next event needs (a key that may still
 * turn up lies within 1,024 characters), so refusing at depth 32 also bounds
 * its cost of nesting, which is quadratic. Directives, whose cost is quadratic
 * in their number, are refused before it sees the text.
 */
#include "yaml.h"

#include <libyaml.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "arena.h"
#include "clock.h"
#include "file.h"
#include "map.h"
#include "yaml_impl.h"

#define PAIRWISE_MAX 16

const struct yaml_limits yaml_limits_default = { (size_t)1 << 20, 32,
	200000 };

struct level {
	struct yaml_node *node;
	size_t base;	/* its children on the stack begin here */
};

struct builder {
	struct doc *doc;
	struct err *err;
	bool multi;
	struct slice text;
	const struct yaml_limits *lim;
	yaml_parser_t parser;
	struct level levels[YAML_DEPTH_MAX];
	size_t depth;
	struct yaml_node **stack;	/* children of all open containers */
	size_t n, cap, nodes;
	struct yaml_node **roots;
	size_t nroots, roots_cap;
};

static int
refuse(struct builder *b, yaml_mark_t at, const char *why)
{
	err_at(b->err, b->doc->pub.file, (int)at.line + 1, (int)at.column + 1,
	    "%s", why);
	return -1;
}

static void
push(struct yaml_node ***list, size_t *n, size_t *cap, struct yaml_node *v)
{
	if (*n == *cap) {
		*cap = *cap == 0 ? 64 : *cap * 2;
		*list = base_realloc(*list, *cap * sizeof(**list));
	}
	(*list)[(*n)++] = v;
}

static bool
wants_key(const struct builder *b)
{
	const struct level *l;

	if (b->depth == 0)
		return false;
	l = &b->levels[b->depth - 1];
	return l->node->type == YAML_MAP && (b->n - l->base) % 2 == 0;
}

static int
attach(struct builder *b, struct yaml_node *node, yaml_mark_t at)
{
	if (wants_key(b)) {
		if (node->type != YAML_SCALAR)
			return refuse(b, at, "a key must be plain text");
		if (!node->quoted && slice_is(slice_make(node->text,
		    node->len), "<<"))
			return refuse(b, at, "merge keys (<<) are not "
			    "accepted; write the keys out");
	}
	if (b->depth == 0)
		push(&b->roots, &b->nroots, &b->roots_cap, node);
	else
		push(&b->stack, &b->n, &b->cap, node);
	return 0;
}

static struct yaml_node *
node_new(struct builder *b, enum yaml_type type, yaml_mark_t at)
{
	struct yaml_node *n;

	if (++b->nodes > b->lim->nodes) {
		err_at(b->err, b->doc->pub.file, (int)at.line + 1,
		    (int)at.column + 1, "more than %zu values",
		    b->lim->nodes);
		return NULL;
	}
	n = arena_alloc(b->doc->arena, sizeof(*n));
	ASSERT(n != NULL);
	n->type = type;
	n->line = (int)at.line + 1;
	n->col = (int)at.column + 1;
	return n;
}

static int
on_scalar(struct builder *b, const yaml_event_t *e)
{
	struct slice text = slice_make(e->data.scalar.value,
	    e->data.scalar.length);
	struct yaml_node *n;

	if (e->data.scalar.anchor != NULL)
		return refuse(b, e->start_mark, "anchors are not accepted");
	if (e->data.scalar.tag != NULL)
		return refuse(b, e->start_mark, "tags are not accepted");
	if (slice_chr(text, '\0') >= 0)
		return refuse(b, e->start_mark, "a text may not hold a NUL");
	if ((n = node_new(b, YAML_SCALAR, e->start_mark)) == NULL)
		return -1;
	n->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	n->text = arena_strdup(b->doc->arena, text);
	ASSERT(n->text != NULL);
	n->len = text.n;
	return attach(b, n, e->start_mark);
}

static int
on_open(struct builder *b, const yaml_event_t *e, enum yaml_type type,
    const void *anchor, const void *tag)
{
	struct yaml_node *n;

	if (anchor != NULL)
		return refuse(b, e->start_mark, "anchors are not accepted");
	if (tag != NULL)
		return refuse(b, e->start_mark, "tags are not accepted");
	if (b->depth == b->lim->depth) {
		err_at(b->err, b->doc->pub.file, (int)e->start_mark.line + 1,
		    (int)e->start_mark.column + 1, "nested deeper than %zu",
		    b->lim->depth);
		return -1;
	}
	if ((n = node_new(b, type, e->start_mark)) == NULL ||
	    attach(b, n, e->start_mark) != 0)
		return -1;
	b->levels[b->depth++] = (struct level){ n, b->n };
	return 0;
}

static int
key_twice(struct builder *b, const struct yaml_node *again)
{
	yaml_err(&b->doc->pub, again, b->err, "key `%.64s` is there twice",
	    again->text);
	return -1;
}

static int
check_unique(struct builder *b, const struct yaml_node *m)
{
	struct map seen;
	int rc = 0;

	if (m->n <= PAIRWISE_MAX) {
		for (size_t i = 1; i < m->n; i++)
			for (size_t j = 0; j < i; j++)
				if (strcmp(m->keys[i]->text,
				    m->keys[j]->text) == 0)
					return key_twice(b, m->keys[i]);
		return 0;
	}
	map_init(&seen);
	for (size_t i = 0; i < m->n && rc == 0; i++)
		if (map_put(&seen, slice_make(m->keys[i]->text,
		    m->keys[i]->len), m->keys[i]) != NULL)
			rc = key_twice(b, m->keys[i]);
	map_free(&seen);
	return rc;
}

static struct yaml_node **
list_new(struct builder *b, size_t n)
{
	struct yaml_node **l;

	if (n == 0)
		return NULL;
	l = arena_alloc(b->doc->arena, n * sizeof(struct yaml_node *));
	ASSERT(l != NULL);
	return l;
}

static int
on_close(struct builder *b)
{
	struct level *l = &b->levels[--b->depth];
	struct yaml_node *n = l->node, **from;
	size_t got = b->n - l->base;
	bool is_map = n->type == YAML_MAP;

	n->n = is_map ? got / 2 : got;
	n->items = list_new(b, n->n);
	n->keys = is_map ? list_new(b, n->n) : NULL;
	from = got == 0 ? NULL : b->stack + l->base;
	for (size_t i = 0; i < n->n; i++) {
		if (is_map)
			n->keys[i] = from[2 * i];
		n->items[i] = is_map ? from[2 * i + 1] : from[i];
	}
	b->n = l->base;
	return is_map ? check_unique(b, n) : 0;
}

/* An empty document of several says nothing; alone it is an error. */
static int
on_document_end(struct builder *b, yaml_mark_t at)
{
	struct yaml_node *root = b->roots[b->nroots - 1];

	if (root->type != YAML_SCALAR || root->len != 0 || root->quoted)
		return 0;
	b->nroots--;
	return b->multi ? 0 : refuse(b, at, "the document is empty");
}

static int
on_event(struct builder *b, const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (b->nroots != 0 && !b->multi)
			return refuse(b, e->start_mark,
			    "only one document is accepted here");
		return 0;
	case YAML_DOCUMENT_END_EVENT:
		return on_document_end(b, e->start_mark);
	case YAML_ALIAS_EVENT:
		return refuse(b, e->start_mark, "aliases are not accepted; "
		    "a text that begins with * needs quotes");
	case YAML_SCALAR_EVENT:
		return on_scalar(b, e);
	case YAML_SEQUENCE_START_EVENT:
		return on_open(b, e, YAML_SEQ, e->data.sequence_start.anchor,
		    e->data.sequence_start.tag);
	case YAML_MAPPING_START_EVENT:
		return on_open(b, e, YAML_MAP, e->data.mapping_start.anchor,
		    e->data.mapping_start.tag);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return on_close(b);
	default:
		return 0;
	}
}

/* A reader's error only has an offset of bytes. */
static yaml_mark_t
mark_of(struct slice text, size_t off)
{
	yaml_mark_t m = { .index = off };

	for (size_t i = 0; i < off && i < text.n; i++) {
		m.column++;
		if (text.p[i] != '\n')
			continue;
		m.line++;
		m.column = 0;
	}
	return m;
}

static int
parser_failed(struct builder *b)
{
	const yaml_parser_t *p = &b->parser;
	const char *what = p->problem == NULL ? "not YAML" : p->problem;

	if (p->error == YAML_READER_ERROR)
		refuse(b, mark_of(b->text, p->problem_offset), what);
	else if (p->context != NULL)
		err_at(b->err, b->doc->pub.file,
		    (int)p->problem_mark.line + 1,
		    (int)p->problem_mark.column + 1, "%s (%s from line %d)",
		    what, p->context, (int)p->context_mark.line + 1);
	else
		refuse(b, p->problem_mark, what);
	return -1;
}

static int
run(struct builder *b)
{
	yaml_event_t e;
	bool end = false;
	int rc = 0;

	while (rc == 0 && !end) {
		if (!yaml_parser_parse(&b->parser, &e))
			return parser_failed(b);
		end = e.type == YAML_STREAM_END_EVENT;
		rc = on_event(b, &e);
		yaml_event_delete(&e);
	}
	return rc;
}

/* What must not reach libyaml at all. */
static int
check_before(const char *file, struct slice text, size_t most,
    struct err *err)
{
	int line = 1;

	if (text.n > most) {
		err_at(err, file, 0, 0, "larger than %zu MiB", most >> 20);
		return -1;
	}
	while (text.n != 0) {
		struct slice l = slice_cut(&text, '\n');

		if (l.n != 0 && l.p[0] == '%') {
			err_at(err, file, line, 1,
			    "directives (%%) are not accepted");
			return -1;
		}
		line++;
	}
	return 0;
}

static int
build(struct builder *b)
{
	struct doc *d = b->doc;
	struct slice text = b->text;

	if (check_before(d->pub.file, text, b->lim->bytes, b->err) != 0)
		return -1;
	yaml_parser_set_encoding(&b->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&b->parser,
	    (const unsigned char *)(text.p == NULL ? "" : text.p), text.n);
	if (run(b) != 0)
		return -1;
	if (b->nroots == 0) {
		err_at(b->err, d->pub.file, 0, 0, "the file is empty");
		return -1;
	}
	d->pub.n = b->nroots;
	d->pub.roots = list_new(b, b->nroots);
	memcpy(d->pub.roots, b->roots, b->nroots * sizeof(*b->roots));
	return 0;
}

struct doc *
yaml_doc_new(const char *file)
{
	struct doc *d = base_calloc(1, sizeof(*d));

	d->arena = arena_new((size_t)256 << 20);
	d->pub.file = base_strdup(file);
	return d;
}

struct yaml_doc *
yaml_parse(const char *file, struct slice text, bool multi, struct err *err)
{
	return yaml_parse_within(file, text, multi, &yaml_limits_default,
	    err);
}

struct yaml_doc *
yaml_parse_within(const char *file, struct slice text, bool multi,
    const struct yaml_limits *lim, struct err *err)
{
	struct builder b = { .err = err, .multi = multi, .text = text,
		.lim = lim };
	int rc;

	ASSERT(lim->depth <= YAML_DEPTH_MAX && lim->nodes <= YAML_NODES_MAX);
	b.doc = yaml_doc_new(file);
	ASSERT(yaml_parser_initialize(&b.parser) == 1);
	rc = build(&b);
	yaml_parser_delete(&b.parser);
	free(b.stack);
	free(b.roots);
	if (rc == 0)
		return &b.doc->pub;
	yaml_free(&b.doc->pub);
	return NULL;
}

struct yaml_doc *
yaml_load(const char *file, bool multi, struct err *err)
{
	struct yaml_doc *d = NULL;
	struct buf b;

	buf_init(&b, yaml_limits_default.bytes);
	if (file_read(file, &b, err) == 0)
		d = yaml_parse(file, buf_slice(&b), multi, err);
	buf_free(&b);
	return d;
}

void
yaml_free(struct yaml_doc *pub)
{
	struct doc *d;

	if (pub == NULL)
		return;
	d = container_of(pub, struct doc, pub);
	arena_free(d->arena);
	free(d->pub.file);
	free(d);
}

/* access */

struct yaml_node *
yaml_get(const struct yaml_node *map, const char *key)
{
	if (map == NULL || map->type != YAML_MAP)
		return NULL;
	for (size_t i = 0; i < map->n; i++)
		if (strcmp(map->keys[i]->text, key) == 0)
			return map->items[i];
	return NULL;
}

void
yaml_err(const struct yaml_doc *d, const struct yaml_node *at,
    struct err *err, const char *fmt, ...)
{
	char text[900];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	err_at(err, d->file, at == NULL ? 0 : at->line,
	    at == NULL ? 0 : at->col, "%s", text);
}

static bool
is_plain(const struct yaml_node *v)
{
	return v->type == YAML_SCALAR && !v->quoted;
}

/* What stands there, for an error. */
static const char *
shown(const struct yaml_node *v)
{
	switch (v->type) {
	case YAML_SCALAR:
		return v->text;
	case YAML_SEQ:
		return "a list";
	case YAML_MAP:
		return "a map";
	}
	return "?";
}

int
yaml_get_str(const struct yaml_doc *d, const struct yaml_node *map,
    const char *key, char **v_r, struct err *err)
{
	const struct yaml_node *v = yaml_get(map, key);

	if (v == NULL)
		return 0;
	if (v->type != YAML_SCALAR) {
		yaml_err(d, v, err, "`%s` must be a text, not %s", key,
		    shown(v));
		return -1;
	}
	if (v->len == 0 && !v->quoted) {
		yaml_err(d, v, err, "`%s` has no value", key);
		return -1;
	}
	free(*v_r);
	*v_r = base_strndup(v->text, v->len);
	return 0;
}

int
yaml_get_bool(const struct yaml_doc *d, const struct yaml_node *map,
    const char *key, bool *v_r, struct err *err)
{
	const struct yaml_node *v = yaml_get(map, key);

	if (v == NULL)
		return 0;
	if (is_plain(v) && strcmp(v->text, "true") == 0) {
		*v_r = true;
		return 0;
	}
	if (is_plain(v) && strcmp(v->text, "false") == 0) {
		*v_r = false;
		return 0;
	}
	yaml_err(d, v, err, "`%s` must be true or false, not `%.64s`%s", key,
	    shown(v), v->quoted ? " in quotes" : "");
	return -1;
}

static bool
to_int(const struct yaml_node *v, int64_t *v_r)
{
	struct slice s = slice_make(v->text, v->len);
	bool minus;
	uint64_t u;

	if (!is_plain(v))
		return false;
	minus = slice_starts(s, "-");
	if (!slice_to_u64(slice_sub(s, minus, s.n), &u) ||
	    u > (uint64_t)INT64_MAX)
		return false;
	*v_r = minus ? -(int64_t)u : (int64_t)u;
	return true;
}

int
yaml_get_int(const struct yaml_doc *d, const struct yaml_node *map,
    const char *key, int64_t min, int64_t max, int64_t *v_r, struct err *err)
{
	const struct yaml_node *v = yaml_get(map, key);
	int64_t i;

	if (v == NULL)
		return 0;
	if (to_int(v, &i) && i >= min && i <= max) {
		*v_r = i;
		return 0;
	}
	yaml_err(d, v, err, "`%s` must be a whole number from %lld to %lld, "
	    "not `%.64s`%s", key, (long long)min, (long long)max, shown(v),
	    v->quoted ? " in quotes" : "");
	return -1;
}

int
yaml_get_duration(const struct yaml_doc *d, const struct yaml_node *map,
    const char *key, int64_t *ms_r, struct err *err)
{
	const struct yaml_node *v = yaml_get(map, key);
	int64_t ms;

	if (v == NULL)
		return 0;
	if (v->type == YAML_SCALAR &&
	    clock_parse_duration(slice_make(v->text, v->len), &ms)) {
		*ms_r = ms;
		return 0;
	}
	yaml_err(d, v, err, "`%s` must be a duration like 100ms, 90s, 15m, "
	    "4h or 7d, not `%.64s`", key, shown(v));
	return -1;
}

/* "a, b, c" of the names, cut when there are very many. */
static void
names_join(char *out, size_t max, const char *const *names, size_t n)
{
	size_t at = 0;

	out[0] = '\0';
	for (size_t i = 0; i < n && at < max; i++) {
		int k;

		if (names[i] == NULL)
			continue;
		k = snprintf(out + at, max - at, "%s%s", at == 0 ? "" : ", ",
		    names[i]);
		at += k < 0 ? 0 : (size_t)k;
	}
}

static void
err_unknown(const struct yaml_doc *d, const struct yaml_node *at,
    struct err *err, const char *what, const char *const *names, size_t n)
{
	const char *near = err_nearest(slice_make(at->text, at->len), names,
	    n);
	char all[512];

	if (near != NULL) {
		yaml_err(d, at, err, "unknown %s `%.64s`; did you mean `%s`?",
		    what, at->text, near);
		return;
	}
	names_join(all, sizeof(all), names, n);
	yaml_err(d, at, err, "unknown %s `%.64s`; known: %s", what, at->text,
	    all);
}

int
yaml_get_enum(const struct yaml_doc *d, const struct yaml_node *map,
    const char *key, const char *const *names, size_t n, int *v_r,
    struct err *err)
{
	const struct yaml_node *v = yaml_get(map, key);
	char what[128];

	if (v == NULL)
		return 0;
	if (v->type != YAML_SCALAR) {
		yaml_err(d, v, err, "`%s` must be a word, not %s", key,
		    shown(v));
		return -1;
	}
	for (size_t i = 0; i < n; i++) {
		if (names[i] == NULL || strcmp(v->text, names[i]) != 0)
			continue;
		*v_r = (int)i;
		return 0;
	}
	snprintf(what, sizeof(what), "`%s`", key);
	err_unknown(d, v, err, what, names, n);
	return -1;
}

int
yaml_check_keys(const struct yaml_doc *d, const struct yaml_node *map,
    const char *const *names, size_t n, struct err *err)
{
	if (map->type != YAML_MAP) {
		yaml_err(d, map, err, "expected a map of keys and values, "
		    "not `%.64s`", shown(map));
		return -1;
	}
	for (size_t i = 0; i < map->n; i++) {
		size_t j = 0;

		while (j < n && (names[j] == NULL ||
		    strcmp(map->keys[i]->text, names[j]) != 0))
			j++;
		if (j < n)
			continue;
		err_unknown(d, map->keys[i], err, "key", names, n);
		return -1;
	}
	return 0;
}
