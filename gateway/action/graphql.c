/* graphql - see graphql.h. */
#include "graphql.h"

const char *const graphql_type_names[] = { "", "query", "mutation",
	"subscription" };

enum kind { END, PUNCT, NAME, VALUE, SPREAD, BAD };

struct token {
	enum kind kind;
	char c;			/* of PUNCT */
	struct slice text;
};

struct lexer {
	struct slice s;
	size_t at;
	struct token t;		/* the current one */
};

struct definition {
	enum graphql_type type;	/* GRAPHQL_NONE: a fragment */
	struct slice name;
	size_t set;		/* where its selection set's { is */
	bool used;
};

struct reader {
	struct slice doc;
	struct definition defs[GRAPHQL_DEFINITIONS];
	size_t n;
	struct graphql *g;
	const char *why;
};

/* --- tokens ----------------------------------------------------------------- */

static bool
name_start(char c)
{
	return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
name_part(char c)
{
	return name_start(c) || (c >= '0' && c <= '9');
}

static bool
rest_is(const struct lexer *l, const char *what)
{
	return slice_starts(slice_sub(l->s, l->at, SIZE_MAX), what);
}

static void
skip_ignored(struct lexer *l)
{
	while (l->at < l->s.n) {
		char c = l->s.p[l->at];

		if (c == '#') {
			while (l->at < l->s.n && l->s.p[l->at] != '\n' &&
			    l->s.p[l->at] != '\r')
				l->at++;
		} else if (c == ' ' || c == '\t' || c == '\n' || c == '\r' ||
		    c == ',') {
			l->at++;
		} else if (rest_is(l, "\xEF\xBB\xBF")) {
			l->at += 3;
		} else {
			return;
		}
	}
}

static enum kind
read_block_string(struct lexer *l)
{
	for (l->at += 3; l->at < l->s.n; l->at++) {
		if (rest_is(l, "\\\"\"\"")) {
			l->at += 3;
		} else if (rest_is(l, "\"\"\"")) {
			l->at += 3;
			return VALUE;
		}
	}
	return BAD;
}

static enum kind
read_string(struct lexer *l)
{
	if (rest_is(l, "\"\"\""))
		return read_block_string(l);
	for (l->at++; l->at < l->s.n; l->at++) {
		char c = l->s.p[l->at];

		if (c == '"') {
			l->at++;
			return VALUE;
		}
		if (c == '\n' || c == '\r')
			return BAD;
		if (c == '\\')
			l->at++;	/* a line's end is no escape either */
		if (l->at < l->s.n && (l->s.p[l->at] == '\n' ||
		    l->s.p[l->at] == '\r'))
			return BAD;
	}
	return BAD;
}

/* A number ends where no name and no dot follows (2.9.1, 2.9.2). */
static enum kind
read_number(struct lexer *l)
{
	l->at++;
	while (l->at < l->s.n && (name_part(l->s.p[l->at]) ||
	    l->s.p[l->at] == '.' || l->s.p[l->at] == '+' ||
	    l->s.p[l->at] == '-')) {
		char c = l->s.p[l->at];

		if (name_start(c) && (c | 0x20) != 'e')
			return BAD;
		if (rest_is(l, "..."))
			return BAD;
		l->at++;
	}
	return VALUE;
}

static enum kind
next(struct lexer *l)
{
	struct token *t = &l->t;
	size_t from;
	char c;

	skip_ignored(l);
	from = l->at;
	t->c = '\0';
	t->text = slice_sub(l->s, from, 0);
	if (from == l->s.n)
		return t->kind = END;
	c = l->s.p[from];
	if (name_start(c)) {
		while (l->at < l->s.n && name_part(l->s.p[l->at]))
			l->at++;
		t->kind = l->at - from <= GRAPHQL_NAME ? NAME : BAD;
	} else if (c == '"') {
		t->kind = read_string(l);
	} else if (c == '-' || (c >= '0' && c <= '9')) {
		t->kind = read_number(l);
	} else if (rest_is(l, "...")) {
		l->at += 3;
		t->kind = SPREAD;
	} else if (c != '\0' && strchr("!$&():=@[]{|}", c) != NULL) {
		l->at++;
		t->kind = PUNCT;
		t->c = c;
	} else {
		t->kind = BAD;
	}
	t->text = slice_sub(l->s, from, l->at - from);
	return t->kind;
}

/* --- grammar ------------------------------------------------------------------ */

static int
fail(struct reader *r, const char *why)
{
	if (r->why == NULL)
		r->why = why;
	return -1;
}

static bool
is_punct(const struct lexer *l, char c)
{
	return l->t.kind == PUNCT && l->t.c == c;
}

static bool
is_name(const struct lexer *l, const char *name)
{
	return l->t.kind == NAME && slice_is(l->t.text, name);
}

/* From an opening bracket to the token behind its partner. */
static int
skip_group(struct reader *r, struct lexer *l)
{
	char closes[GRAPHQL_DEPTH];
	size_t depth = 0;

	do {
		if (l->t.kind == END || l->t.kind == BAD)
			return fail(r, "the document is broken or cut off");
		if (is_punct(l, '(') || is_punct(l, '[') ||
		    is_punct(l, '{')) {
			if (depth == GRAPHQL_DEPTH)
				return fail(r, "the document is nested too "
				    "deep");
			closes[depth++] = l->t.c == '(' ? ')' :
			    l->t.c == '[' ? ']' : '}';
		} else if (is_punct(l, ')') || is_punct(l, ']') ||
		    is_punct(l, '}')) {
			if (depth == 0 || closes[--depth] != l->t.c)
				return fail(r, "brackets do not match");
		}
		next(l);
	} while (depth > 0);
	return 0;
}

static int
skip_directives(struct reader *r, struct lexer *l)
{
	while (is_punct(l, '@')) {
		if (next(l) != NAME)
			return fail(r, "a directive has no name");
		next(l);
		if (is_punct(l, '(') && skip_group(r, l) != 0)
			return -1;
	}
	return 0;
}

static struct definition *
find(struct reader *r, bool fragment, struct slice name)
{
	for (size_t i = 0; i < r->n; i++)
		if ((r->defs[i].type == GRAPHQL_NONE) == fragment &&
		    slice_eq(r->defs[i].name, name))
			return &r->defs[i];
	return NULL;
}

/* The current token begins a definition. */
static int
read_definition(struct reader *r, struct lexer *l)
{
	struct definition d = { .type = GRAPHQL_QUERY,
		.name = slice_sub(l->s, 0, 0) };
	bool fragment = is_name(l, "fragment");

	if (!is_punct(l, '{')) {
		d.type = fragment ? GRAPHQL_NONE : is_name(l, "query") ?
		    GRAPHQL_QUERY : is_name(l, "mutation") ?
		    GRAPHQL_MUTATION : is_name(l, "subscription") ?
		    GRAPHQL_SUBSCRIPTION : GRAPHQL_TYPES;
		if (d.type == GRAPHQL_TYPES)
			return fail(r, "it holds something else than "
			    "operations and fragments");
		if (next(l) == NAME) {
			d.name = l->t.text;
			next(l);
		}
		if (fragment && (d.name.n == 0 || slice_is(d.name, "on") ||
		    !is_name(l, "on") || next(l) != NAME))
			return fail(r, "a fragment has no name or type");
		if (fragment)
			next(l);
		else if (is_punct(l, '(') && skip_group(r, l) != 0)
			return -1;
		if (skip_directives(r, l) != 0)
			return -1;
		if (!is_punct(l, '{'))
			return fail(r, "an operation has no selection set");
	}
	if (r->n == GRAPHQL_DEFINITIONS)
		return fail(r, "it has more than 100 definitions");
	if (find(r, fragment, d.name) != NULL)
		return fail(r, "two definitions have the same name, or none");
	d.set = (size_t)(l->t.text.p - r->doc.p);
	r->defs[r->n++] = d;
	return skip_group(r, l);
}

/* --- top-level fields ------------------------------------------------------------ */

static int
add_field(struct reader *r, struct slice name)
{
	struct graphql *g = r->g;
	size_t i = 0, k;

	for (; i < g->n; i++) {
		size_t n = g->fields[i].n < name.n ? g->fields[i].n : name.n;
		int c = memcmp(g->fields[i].p, name.p, n);

		if (c == 0 && g->fields[i].n == name.n)
			return 0;
		if (c > 0 || (c == 0 && g->fields[i].n > name.n))
			break;
	}
	if (g->n == GRAPHQL_FIELDS)
		return fail(r, "it has more than 32 top-level fields");
	for (k = g->n++; k > i; k--)
		g->fields[k] = g->fields[k - 1];
	g->fields[i] = name;
	return 0;
}

static int collect(struct reader *r, struct lexer *l, unsigned depth);

static int
collect_fragment(struct reader *r, struct slice name, unsigned depth)
{
	struct definition *d = find(r, true, name);
	struct lexer l = { .s = r->doc };

	if (d == NULL)
		return fail(r, "a fragment is not defined");
	if (d->used)
		return 0;	/* its fields are there already */
	d->used = true;
	l.at = d->set;
	next(&l);
	return collect(r, &l, depth + 1);
}

static int
collect_spread(struct reader *r, struct lexer *l, unsigned depth)
{
	if (next(l) == NAME && !is_name(l, "on")) {
		struct slice name = l->t.text;

		next(l);
		return skip_directives(r, l) != 0 ? -1 :
		    collect_fragment(r, name, depth);
	}
	if (is_name(l, "on")) {
		if (next(l) != NAME)
			return fail(r, "a fragment has no type");
		next(l);
	}
	if (skip_directives(r, l) != 0)
		return -1;
	if (!is_punct(l, '{'))
		return fail(r, "a fragment has no selection set");
	return collect(r, l, depth + 1);
}

static int
collect_field(struct reader *r, struct lexer *l)
{
	struct slice name = l->t.text;

	next(l);
	if (is_punct(l, ':')) {
		if (next(l) != NAME)
			return fail(r, "an alias has no field");
		name = l->t.text;
		next(l);
	}
	if (is_punct(l, '(') && skip_group(r, l) != 0)
		return -1;
	if (skip_directives(r, l) != 0)
		return -1;
	if (is_punct(l, '{') && skip_group(r, l) != 0)
		return -1;
	return add_field(r, name);
}

/* From the { of a selection set whose fields are the operation's own. The
 * recursion is bounded by depth. */
static int
collect(struct reader *r, struct lexer *l, unsigned depth)
{
	if (depth > GRAPHQL_DEPTH)
		return fail(r, "the document is nested too deep");
	next(l);
	if (is_punct(l, '}'))
		return fail(r, "a selection set is empty");
	while (!is_punct(l, '}')) {
		if (l->t.kind == SPREAD) {
			if (collect_spread(r, l, depth) != 0)
				return -1;
		} else if (l->t.kind == NAME) {
			if (collect_field(r, l) != 0)
				return -1;
		} else {
			return fail(r, "a selection set is broken");
		}
	}
	next(l);
	return 0;
}

/* The operation that runs (6.1). */
static struct definition *
choose(struct reader *r, struct slice operation)
{
	struct definition *d = NULL;

	for (size_t i = 0; i < r->n; i++) {
		if (r->defs[i].type == GRAPHQL_NONE)
			continue;
		if (operation.n > 0) {
			if (slice_eq(r->defs[i].name, operation))
				return &r->defs[i];
			continue;
		}
		if (d != NULL) {
			fail(r, "it has several operations and operationName "
			    "says not which");
			return NULL;
		}
		d = &r->defs[i];
	}
	if (d == NULL)
		fail(r, operation.n > 0 ? "it has no operation of the name "
		    "that operationName gives" : "it has no operation");
	return d;
}

int
graphql_read(struct slice document, struct slice operation,
    struct graphql *g_r, const char **why_r)
{
	struct graphql g = { 0 };
	struct reader r = { .doc = document, .g = &g };
	struct lexer l = { .s = document };
	struct definition *d = NULL;

	next(&l);
	while (r.why == NULL && l.t.kind != END)
		(void)read_definition(&r, &l);
	if (r.why == NULL)
		d = choose(&r, operation);
	if (d != NULL) {
		g.type = d->type;
		g.name = d->name;
		l.at = d->set;
		next(&l);
		if (collect(&r, &l, 0) == 0) {
			*g_r = g;
			return 0;
		}
	}
	*why_r = r.why;
	return -1;
}
