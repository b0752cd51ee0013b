/*
 * rule_cond - a condition's text as a program for the stack machine.
 *
 * `or` < `and` < `not` < `N of pattern` < parentheses (Sigma 2.1). Two
 * stacks, no recursion. A finished left side of `and` / `or` leaves a jump
 * that skips the right side once the answer is known.
 */
#include "rule_yaml.h"

enum { LOW_PAREN, LOW_OR, LOW_AND, LOW_NOT };

struct parser {
	struct rule_build *b;
	const struct yaml_node *at;
	struct rule_body *body;
	struct slice rest, tok;
	uint8_t stack[RULE_STACK];	/* operators */
	uint32_t jump[RULE_STACK];	/* the jump that waits for its target */
	unsigned depth, values;
};

static int
fail(struct parser *p, const char *what)
{
	struct yaml_node at = *p->at;
	size_t off = p->tok.p == NULL ? p->at->len :
	    (size_t)(p->tok.p - p->at->text);

	/* The column inside a plain one-line scalar; else where it begins. */
	if (memchr(at.text, '\n', at.len) == NULL)
		at.col += (int)off + (at.quoted ? 1 : 0);
	yaml_err(p->b->doc, &at, p->b->err, "condition: %s%s%.*s%s", what,
	    p->tok.n > 0 ? " at \"" : " at its end",
	    SLICE_FMT(p->tok), p->tok.n > 0 ? "\"" : "");
	return -1;
}

static bool
word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '*';
}

static void
next(struct parser *p)
{
	size_t n = 0;

	while (p->rest.n > 0 && strchr(" \t\r\n", *p->rest.p) != NULL &&
	    *p->rest.p != '\0')
		p->rest = slice_sub(p->rest, 1, p->rest.n);
	if (p->rest.n == 0) {
		p->tok = slice_make(NULL, 0);
		return;
	}
	while (n < p->rest.n && word_char(p->rest.p[n]))
		n++;
	if (n == 0)
		n = 1;
	p->tok = slice_sub(p->rest, 0, n);
	p->rest = slice_sub(p->rest, n, p->rest.n);
}

static uint32_t
emit(struct parser *p, enum rule_cond_op op, uint32_t arg)
{
	struct rule_body *body = p->body;
	struct rule_cond *c = RULE_PUSH(body->conds, body->nconds);

	c->op = (uint8_t)op;
	c->arg = arg;
	return body->nconds - 1;
}

static void
reduce(struct parser *p)
{
	uint8_t op = p->stack[--p->depth];

	if (op == LOW_NOT) {
		emit(p, RULE_C_NOT, 0);
		return;
	}
	emit(p, op == LOW_AND ? RULE_C_AND : RULE_C_OR, 0);
	p->body->conds[p->jump[p->depth]].arg = p->body->nconds;
	p->values--;
}

static int
push(struct parser *p, uint8_t op)
{
	while (op != LOW_NOT && op != LOW_PAREN && p->depth > 0 &&
	    p->stack[p->depth - 1] >= op)
		reduce(p);
	if (p->depth == RULE_STACK)
		return fail(p, "nested too deep");
	if (op == LOW_AND || op == LOW_OR)
		p->jump[p->depth] = emit(p, op == LOW_AND ? RULE_C_JNO :
		    RULE_C_JYES, 0);
	p->stack[p->depth++] = op;
	return 0;
}

static bool
selected(struct slice pattern, const char *name)
{
	if (name[0] == '_' && (pattern.n == 0 || pattern.p[0] != '_'))
		return false;
	return rule_glob(pattern, slice_str(name));
}

/* `N of pattern`: its selections joined, each jump to the common end. */
static int
quantifier(struct parser *p, bool all)
{
	struct slice pattern;
	uint32_t first = p->body->nconds, found = 0;

	next(p);
	pattern = slice_is(p->tok, "them") ? SLICE("*") : p->tok;
	if (p->tok.n == 0 || !word_char(*p->tok.p))
		return fail(p, "a selection's name or pattern is missing");
	for (uint32_t i = 0; i < p->body->nsels; i++) {
		if (!selected(pattern, p->body->sels[i].name))
			continue;
		if (found++ > 0)
			emit(p, all ? RULE_C_JNO : RULE_C_JYES, 0);
		emit(p, RULE_C_SEL, i);
		if (found > 1)
			emit(p, all ? RULE_C_AND : RULE_C_OR, 0);
	}
	if (found == 0)
		return fail(p, "no selection is named like this");
	for (uint32_t i = first; i < p->body->nconds; i++) {
		struct rule_cond *c = &p->body->conds[i];

		if (c->op == RULE_C_JNO || c->op == RULE_C_JYES)
			c->arg = p->body->nconds;
	}
	return 0;
}

static int
selection(struct parser *p)
{
	const char *names[64], *near;
	size_t n = 0;
	char what[160];

	for (uint32_t i = 0; i < p->body->nsels; i++) {
		if (slice_is(p->tok, p->body->sels[i].name)) {
			emit(p, RULE_C_SEL, i);
			return 0;
		}
		if (n < ARRAY_LEN(names))
			names[n++] = p->body->sels[i].name;
	}
	near = err_nearest(p->tok, names, n);
	if (near == NULL)
		return fail(p, "no such selection");
	struct buf b;

	buf_init(&b, sizeof(what) - 1);
	buf_addf(&b, "no such selection (did you mean %.100s?)", near);
	memcpy(what, buf_data(&b), b.len);
	what[b.len] = '\0';
	buf_free(&b);
	return fail(p, what);
}

/* Where a value is expected. */
static int
operand(struct parser *p, bool *value_r)
{
	struct slice rest = p->rest, tok = p->tok;
	bool all = slice_is(tok, "all"), one = slice_is(tok, "1") ||
	    slice_is(tok, "any");

	*value_r = false;
	if (slice_is(tok, "not"))
		return push(p, LOW_NOT);
	if (slice_is(tok, "("))
		return push(p, LOW_PAREN);
	if (tok.n == 0 || !word_char(*tok.p) || slice_is(tok, "and") ||
	    slice_is(tok, "or"))
		return fail(p, "a selection is missing");
	next(p);
	if (slice_is(p->tok, "of")) {
		if (!all && !one) {
			p->tok = tok;
			return fail(p, "only 1, any and all stand before of");
		}
		if (quantifier(p, all) != 0)
			return -1;
	} else {
		p->rest = rest;
		p->tok = tok;
		if (selection(p) != 0)
			return -1;
	}
	p->values++;
	*value_r = true;
	return 0;
}

/* Where an operator is expected. */
static int
operator(struct parser *p, bool *value_r)
{
	*value_r = true;
	if (slice_is(p->tok, ")")) {
		while (p->depth > 0 && p->stack[p->depth - 1] != LOW_PAREN)
			reduce(p);
		if (p->depth == 0)
			return fail(p, "no parenthesis is open");
		p->depth--;
		return 0;
	}
	*value_r = false;
	if (slice_is(p->tok, "and"))
		return push(p, LOW_AND);
	if (slice_is(p->tok, "or"))
		return push(p, LOW_OR);
	if (slice_is(p->tok, "|"))
		return fail(p, "aggregations are written as a correlation "
		    "rule today");
	return fail(p, "and, or or ) must stand here");
}

static int
parse(struct parser *p)
{
	bool value = false;

	for (next(p); p->tok.n > 0 || !value; next(p)) {
		if ((value ? operator(p, &value) : operand(p, &value)) != 0)
			return -1;
		if (p->values > RULE_STACK - 4 ||
		    p->body->nconds > RULE_CONDS_MAX)
			return fail(p, "nested too deep or too long");
	}
	while (p->depth > 0) {
		if (p->stack[p->depth - 1] == LOW_PAREN)
			return fail(p, "a parenthesis is not closed");
		reduce(p);
	}
	return 0;
}

int
rule_build_condition(struct rule_build *b, const struct yaml_node *n,
    struct rule_body *body)
{
	struct parser p = { .b = b, .body = body };
	size_t k = n->type == YAML_SEQ ? n->n : 1;

	if (k == 0) {
		yaml_err(b->doc, n, b->err, "condition is an empty list");
		return -1;
	}
	for (size_t i = 0; i < k; i++) {	/* a list: any of them */
		p.at = n->type == YAML_SEQ ? n->items[i] : n;
		if (p.at->type != YAML_SCALAR) {
			yaml_err(b->doc, p.at, b->err,
			    "condition must be a text");
			return -1;
		}
		p.rest = slice_make(p.at->text, p.at->len);
		p.depth = p.values = 0;
		if (parse(&p) != 0)
			return -1;
		if (i > 0)
			emit(&p, RULE_C_OR, 0);
	}
	return 0;
}
