/* mirror - see mirror.h. */
#include "mirror.h"

#include "codec.h"
#include "utf8.h"

#define VALUE_MAX (256u << 10)	/* longer than any head may be */
#define PREFIX "=?base64?"
#define SUFFIX "?="
#define PARAM "mcp-param-"

static bool
sentinel(struct slice v)
{
	return v.n >= sizeof(PREFIX SUFFIX) - 1 && slice_starts(v, PREFIX) &&
	    slice_ends(v, SUFFIX);
}

static bool
utf8(struct slice s)
{
	for (size_t i = 0, n; i < s.n; i += n)
		if ((n = utf8_len(s.p + i, s.n - i)) == 0)
			return false;
	return true;
}

int
mirror_decode(struct slice value, struct buf *out)
{
	size_t before = out->len;

	if (!sentinel(value)) {
		for (size_t i = 0; i < value.n; i++)
			if ((value.p[i] < 0x20 && value.p[i] != '\t') ||
			    value.p[i] > 0x7e)
				return -1;
		return buf_add_slice(out, value);
	}
	if (b64_decode(out, slice_sub(value, sizeof(PREFIX) - 1, value.n -
	    (sizeof(PREFIX SUFFIX) - 1))) != 0)
		return -1;
	return utf8(slice_sub(buf_slice(out), before, SIZE_MAX)) ? 0 : -1;
}

static bool
plain(struct slice t)
{
	if (sentinel(t) || (t.n > 0 && (t.p[0] == ' ' ||
	    t.p[t.n - 1] == ' ')))
		return false;
	for (size_t i = 0; i < t.n; i++)
		if (t.p[i] < 0x20 || t.p[i] > 0x7e)
			return false;
	return true;
}

int
mirror_encode(struct slice text, struct buf *out)
{
	if (plain(text))
		return buf_add_slice(out, text);
	buf_add_str(out, PREFIX);
	b64_encode(out, text.p, text.n);
	return buf_add_str(out, SUFFIX);
}

/* The argument's text as a header has it; false: no string, integer, boolean. */
static bool
scalar(const struct json_doc *d, uint32_t node, struct buf *out)
{
	switch (json_typeof(d, node)) {
	case JSON_STRING:
		return json_decode(d, node, out) == 0;
	case JSON_NUMBER:
	case JSON_TRUE:
	case JSON_FALSE:
		return buf_add_slice(out, json_raw(d, node)) == 0;
	default:
		return false;
	}
}

/* "42.0" and "42" are one integer: without a fraction of zeros. */
static struct slice
integer(struct slice v)
{
	ssize_t dot = slice_chr(v, '.');
	size_t n = v.n;

	if (dot < 0)
		return v;
	while (n > (size_t)dot + 1 && v.p[n - 1] == '0')
		n--;
	return n == (size_t)dot + 1 ? slice_sub(v, 0, (size_t)dot) : v;
}

static bool
equal(const struct json_doc *d, uint32_t node, struct slice value)
{
	struct buf b;
	bool same;

	buf_init(&b, VALUE_MAX);
	same = scalar(d, node, &b) && (json_typeof(d, node) == JSON_NUMBER ?
	    slice_eq(integer(buf_slice(&b)), integer(value)) :
	    slice_eq(buf_slice(&b), value));
	buf_free(&b);
	return same;
}

/* --- finding the argument that a field repeats ------------------------------ */

struct search {
	const struct json_doc *d;
	struct slice name, value;	/* behind Mcp-Param-; decoded */
	struct slice key[MIRROR_DEPTH_MAX];
	unsigned depth;
	struct mirror_param *found;
	bool any, named;
};

static void
take(struct search *s)
{
	/* Where several are equal, the one of the same name. */
	bool named = slice_eq_nocase(s->key[s->depth - 1], s->name);

	if (s->any && (s->named || !named))
		return;
	s->any = true;
	s->named = named;
	s->found->depth = s->depth;
	memcpy(s->found->key, s->key, sizeof(s->key));
}

/* Recursion is MIRROR_DEPTH_MAX deep. */
static void
look(struct search *s, uint32_t obj)
{
	const struct json_doc *d = s->d;

	if (json_typeof(d, obj) != JSON_OBJECT ||
	    s->depth == MIRROR_DEPTH_MAX)
		return;
	s->depth++;
	for (uint32_t k = json_first(d, obj); k != JSON_NONE;
	    k = json_next(d, obj, k + 1)) {
		s->key[s->depth - 1] = json_inner(d, k);
		if (json_typeof(d, k + 1) == JSON_OBJECT)
			look(s, k + 1);
		else if (equal(d, k + 1, s->value))
			take(s);
	}
	s->depth--;
}

static bool
copy_path(struct mirror_param *p, struct arena *a)
{
	for (unsigned i = 0; i < p->depth; i++) {
		p->key[i] = arena_copy(a, p->key[i]);
		if (p->key[i].p == NULL)
			return false;
	}
	return true;
}

static const char *
check_param(const struct http1_field *f, const struct json_doc *d,
    const struct mcp_message *m, struct arena *a, struct mirror *mi)
{
	struct search s = { .d = d };
	const char *why = NULL;
	struct buf b;

	if (mi->n == MIRROR_PARAMS_MAX)
		return "there are too many Mcp-Param-* fields";
	for (unsigned i = 0; i < mi->n; i++)
		if (slice_eq_nocase(mi->v[i].name, f->name))
			return "an Mcp-Param-* field stands twice";
	buf_init(&b, VALUE_MAX);
	s.found = &mi->v[mi->n];
	s.found->name = f->name;
	s.name = slice_sub(f->name, sizeof(PARAM) - 1, SIZE_MAX);
	if (mirror_decode(f->value, &b) != 0) {
		why = "the value of an Mcp-Param-* field is malformed";
	} else {
		s.value = buf_slice(&b);
		look(&s, m->arguments);
		if (!s.any)
			why = "an Mcp-Param-* field says what no argument says";
		else if (!copy_path(s.found, a))
			why = "the Mcp-Param-* fields are too large";
		else
			mi->n++;
	}
	buf_free(&b);
	return why;
}

static const char *
check_params(const struct http1_head *h, const struct json_doc *d,
    const struct mcp_message *m, struct arena *a, struct mirror **mi_r)
{
	const char *why = NULL;

	for (unsigned i = 0; i < h->field_n && why == NULL; i++) {
		if (!mirror_is_param(h->fields[i].name))
			continue;
		if (!slice_is(m->method, "tools/call"))
			return "only tools/call has Mcp-Param-* fields";
		if (*mi_r == NULL)
			*mi_r = arena_alloc(a, sizeof(**mi_r));
		if (*mi_r == NULL)
			return "the Mcp-Param-* fields are too large";
		why = check_param(&h->fields[i], d, m, a, *mi_r);
	}
	return why;
}

/* --- the others ------------------------------------------------------------- */

bool
mirror_is_param(struct slice name)
{
	return name.n >= sizeof(PARAM) - 1 && slice_is_nocase(slice_sub(name,
	    0, sizeof(PARAM) - 1), PARAM);
}

bool
mirror_claims_modern(const struct http1_head *h)
{
	return mcp_modern(http1_field_known(h, HTTP1_F_MCP_PROTOCOL_VERSION));
}

static const char *
check_named(const struct http1_head *h, const struct json_doc *d,
    const struct mcp_message *m, bool required)
{
	struct slice method = http1_field_known(h, HTTP1_F_MCP_METHOD);
	struct slice name = http1_field_known(h, HTTP1_F_MCP_NAME);
	const char *why = NULL;
	struct buf b;

	if (method.p == NULL ? required : !slice_eq(method, m->method))
		return "Mcp-Method is not the body's method";
	if (name.p == NULL)
		return required && m->mirrored != JSON_NONE ?
		    "Mcp-Name is missing" : NULL;
	buf_init(&b, VALUE_MAX);
	if (mirror_decode(name, &b) != 0 || m->mirrored == JSON_NONE ||
	    json_typeof(d, m->mirrored) != JSON_STRING ||
	    !equal(d, m->mirrored, buf_slice(&b)))
		why = "Mcp-Name is not what the body names";
	buf_free(&b);
	return why;
}

enum mirror_result
mirror_check(const struct http1_head *h, const struct json_doc *d,
    const struct mcp_message *m, struct arena *a, struct mirror **params_r,
    const char **why_r)
{
	struct slice said = http1_field_known(h, HTTP1_F_MCP_PROTOCOL_VERSION);
	bool modern = m->version.n > 0;

	*params_r = NULL;
	*why_r = NULL;
	if (modern && !slice_eq(said, m->version)) {
		*why_r = "MCP-Protocol-Version is not the body's";
		return MIRROR_MISMATCH;
	}
	if (m->kind == MCP_RESPONSE && mcp_modern(said)) {
		*why_r = "a client of this revision sends no responses";
		return MIRROR_MISMATCH;
	}
	if (!modern && mcp_modern(said) && m->kind == MCP_REQUEST)
		return MIRROR_NO_VERSION;
	if (modern ? !slice_is(said, MCP_MODERN) : mcp_modern(said) &&
	    !slice_is(said, MCP_MODERN))
		return MIRROR_UNKNOWN;
	*why_r = check_named(h, d, m, modern && m->kind == MCP_REQUEST);
	if (*why_r == NULL)
		*why_r = check_params(h, d, m, a, params_r);
	if (*why_r != NULL)
		return MIRROR_MISMATCH;
	return modern ? MIRROR_MODERN : MIRROR_LEGACY;
}

int
mirror_value(const struct mirror_param *p, const struct json_doc *d,
    uint32_t arguments, struct buf *out)
{
	uint32_t node = arguments;
	struct buf b;
	int r = -1;

	for (unsigned i = 0; i < p->depth && node != JSON_NONE; i++) {
		uint32_t k = json_first(d, node), found = JSON_NONE;

		if (json_typeof(d, node) != JSON_OBJECT)
			return -1;
		for (; k != JSON_NONE; k = json_next(d, node, k + 1))
			if (slice_eq(json_inner(d, k), p->key[i]))
				found = k + 1;
		node = found;
	}
	if (node == JSON_NONE)
		return -1;
	buf_init(&b, VALUE_MAX);
	if (scalar(d, node, &b))
		r = mirror_encode(buf_slice(&b), out);
	buf_free(&b);
	return r;
}
