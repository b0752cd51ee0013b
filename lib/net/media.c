/* media - see media.h. */
#include "media.h"
#include "http1.h"
#include "http1_impl.h"

static struct slice
token_take(struct slice *s)
{
	size_t n = http1_span(s->p, s->n, C_TOKEN);
	struct slice t = slice_sub(*s, 0, n);

	*s = slice_sub(*s, n, SIZE_MAX);
	return t;
}

static bool
char_take(struct slice *s, char c)
{
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = slice_sub(*s, 1, SIZE_MAX);
	return true;
}

/* A quoted string, its inside as it stands. */
static bool
quoted_take(struct slice *s, struct slice *v_r, bool *escaped_r)
{
	size_t i = 1;
	bool escaped = false;

	while (i < s->n && s->p[i] != '"') {
		if (s->p[i] == '\\') {
			escaped = true;
			i++;
		}
		if (i >= s->n || !http1_is(s->p[i], C_TEXT))
			return false;
		i++;
	}
	if (i >= s->n)
		return false;
	*v_r = slice_sub(*s, 1, i - 1);
	*escaped_r = escaped;
	*s = slice_sub(*s, i + 1, SIZE_MAX);
	return true;
}

struct param {
	struct slice name, value;
	bool escaped;
};

/* [OWS ";" OWS name "=" value].  1: *p_r is one; 0: no more; -1. */
static int
param_take(struct slice *s, struct param *p_r)
{
	for (;;) {
		*s = slice_trim(*s);
		if (s->n == 0)
			return 0;
		if (!char_take(s, ';'))
			return -1;
		*s = slice_trim(*s);
		if (s->n != 0 && s->p[0] != ';')
			break;
	}
	p_r->escaped = false;
	p_r->name = token_take(s);
	if (p_r->name.n == 0 || !char_take(s, '='))
		return -1;
	if (s->n > 0 && s->p[0] == '"')
		return quoted_take(s, &p_r->value, &p_r->escaped) ? 1 : -1;
	p_r->value = token_take(s);
	return p_r->value.n != 0 ? 1 : -1;
}

static bool
type_take(struct slice *s, struct slice *type_r, struct slice *subtype_r)
{
	*type_r = token_take(s);
	if (type_r->n == 0 || !char_take(s, '/'))
		return false;
	*subtype_r = token_take(s);
	return subtype_r->n != 0;
}

static bool
suffix_is(struct slice s, const char *suffix)
{
	size_t n = strlen(suffix);

	return s.n > n && slice_is_nocase(slice_sub(s, s.n - n, n), suffix);
}

static bool
is_one_of(struct slice s, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (slice_is_nocase(s, names[i]))
			return true;
	return false;
}

static enum media_kind
kind_of(struct slice type, struct slice sub)
{
	static const char *const lines[] = { "x-ndjson", "ndjson", "jsonl",
		"x-jsonl", "jsonlines", "x-jsonlines", "json-seq",
		"x-json-stream" };
	static const char *const text[] = { "xml", "xhtml+xml", "javascript",
		"ecmascript", "x-javascript", "yaml", "x-yaml", "toml",
		"graphql", "sql", "x-sh", "csv" };

	if (slice_is_nocase(type, "multipart"))
		return MEDIA_MULTIPART;
	if (slice_is_nocase(type, "text") &&
	    slice_is_nocase(sub, "event-stream"))
		return MEDIA_SSE;
	if (slice_is_nocase(sub, "json") || suffix_is(sub, "+json"))
		return MEDIA_JSON;
	if (is_one_of(sub, lines, ARRAY_LEN(lines)) ||
	    suffix_is(sub, "+json-seq"))
		return MEDIA_NDJSON;
	if (slice_is_nocase(type, "text") || suffix_is(sub, "+xml") ||
	    suffix_is(sub, "+yaml"))
		return MEDIA_TEXT;
	if (!slice_is_nocase(type, "application"))
		return MEDIA_BINARY;
	if (slice_is_nocase(sub, "x-www-form-urlencoded"))
		return MEDIA_FORM;
	return is_one_of(sub, text, ARRAY_LEN(text)) ? MEDIA_TEXT :
	    MEDIA_BINARY;
}

/* A parameter that decides how the body is read, so stands once. */
static bool
param_keep(const struct param *p, struct slice *v)
{
	if (v->p != NULL || p->escaped || p->value.n == 0)
		return false;
	*v = p->value;
	return true;
}

bool
media_parse(struct slice s, struct media *m_r)
{
	struct media m = { .utf8 = true };
	struct param p;
	int r;

	*m_r = (struct media){ .kind = MEDIA_INVALID };
	s = slice_trim(s);
	if (s.n == 0) {
		m_r->kind = MEDIA_NONE;
		m_r->utf8 = true;
		return true;
	}
	if (!type_take(&s, &m.type, &m.subtype))
		return false;
	while ((r = param_take(&s, &p)) > 0)
		if ((slice_is_nocase(p.name, "charset") &&
		    !param_keep(&p, &m.charset)) ||
		    (slice_is_nocase(p.name, "boundary") &&
		    !param_keep(&p, &m.boundary)))
			return false;
	if (r < 0)
		return false;
	m.kind = kind_of(m.type, m.subtype);
	if (m.kind == MEDIA_MULTIPART && m.boundary.p == NULL)
		return false;
	if (m.charset.p != NULL)
		m.utf8 = slice_is_nocase(m.charset, "utf-8") ||
		    slice_is_nocase(m.charset, "utf8") ||
		    slice_is_nocase(m.charset, "us-ascii");
	*m_r = m;
	return true;
}

bool
media_inspectable(const struct media *m)
{
	switch (m->kind) {
	case MEDIA_JSON:
	case MEDIA_SSE:
	case MEDIA_NDJSON:
	case MEDIA_TEXT:
	case MEDIA_FORM:
		return m->utf8;
	case MEDIA_INVALID:
	case MEDIA_NONE:
	case MEDIA_MULTIPART:
	case MEDIA_BINARY:
		break;
	}
	return false;
}

const char *
media_kind_name(enum media_kind k)
{
	static const char *const names[] = { "invalid", "none", "json", "sse",
		"ndjson", "text", "form", "multipart", "binary" };

	return (unsigned)k < ARRAY_LEN(names) ? names[k] : "invalid";
}

enum media_coding
media_coding_of(struct slice s)
{
	static const struct {
		const char *name;
		enum media_coding coding;
	} t[] = {
		{ "identity", MEDIA_CODING_IDENTITY },
		{ "gzip", MEDIA_CODING_GZIP }, { "x-gzip", MEDIA_CODING_GZIP },
		{ "deflate", MEDIA_CODING_DEFLATE },
		{ "br", MEDIA_CODING_BR }, { "zstd", MEDIA_CODING_ZSTD },
	};

	s = slice_trim(s);
	if (s.n == 0)
		return MEDIA_CODING_IDENTITY;
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		if (slice_is_nocase(s, t[i].name))
			return t[i].coding;
	return slice_chr(s, ',') >= 0 ? MEDIA_CODING_SEVERAL :
	    MEDIA_CODING_UNKNOWN;
}

/* ------------------------------------------------------------- Accept */

/* Cuts off the next element at a comma outside quotes. */
static struct slice
element_take(struct slice *rest)
{
	struct slice e = *rest;
	bool quoted = false;

	for (size_t i = 0; i < rest->n; i++) {
		char c = rest->p[i];

		if (quoted && c == '\\')
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (c == ',' && !quoted) {
			e.n = i;
			*rest = slice_sub(*rest, i + 1, SIZE_MAX);
			return slice_trim(e);
		}
	}
	*rest = slice_make(NULL, 0);
	return slice_trim(e);
}

/* RFC 9110, 12.4.2: 0 to 1, at most three decimals.  -1: malformed. */
static int
quality(struct slice s)
{
	int q = 0, scale = 1000;

	if (s.n == 0 || s.n > 5 || (s.p[0] != '0' && s.p[0] != '1') ||
	    (s.n > 1 && s.p[1] != '.'))
		return -1;
	for (size_t i = 0; i < s.n; i++) {
		if (i == 1)
			continue;
		if (s.p[i] < '0' || s.p[i] > '9')
			return -1;
		q += (s.p[i] - '0') * scale;
		scale /= 10;
	}
	return q > 1000 ? -1 : q;
}

/* How well the range fits: 0 not, 1 by all, 2 by its type, 3 by name. */
static int
range_fit(struct slice range, struct slice type, struct slice sub, int *q_r)
{
	struct slice rt, rs;
	struct param p;
	int r, q = 1000;

	if (!type_take(&range, &rt, &rs))
		return 0;
	while ((r = param_take(&range, &p)) > 0)
		if (slice_is_nocase(p.name, "q") && (q = quality(p.value)) < 0)
			return 0;
	if (r < 0)
		return 0;
	*q_r = q;
	if (slice_is(rt, "*"))
		return slice_is(rs, "*") ? 1 : 0;
	if (!slice_eq_nocase(rt, type))
		return 0;
	if (slice_is(rs, "*"))
		return 2;
	return slice_eq_nocase(rs, sub) ? 3 : 0;
}

static bool
accepts(struct slice accept, const char *type, int least)
{
	struct slice sub = slice_str(type);
	struct slice main_type = slice_cut(&sub, '/');
	int best = 0, best_q = 0;

	while (accept.p != NULL) {
		struct slice range = element_take(&accept);
		int q = 0, fit = range_fit(range, main_type, sub, &q);

		if (fit > best || (fit == best && q > best_q)) {
			best = fit;
			best_q = q;
		}
	}
	return best >= least && best_q > 0;
}

bool
media_accepts(struct slice accept, const char *type)
{
	return accept.p == NULL || accepts(accept, type, 1);
}

bool
media_accepts_named(struct slice accept, const char *type)
{
	return accepts(accept, type, 3);
}
