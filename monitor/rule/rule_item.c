/*
 * rule_item - search identifiers: maps, lists, keywords, and the modifiers
 * of their fields (Sigma 2.1, appendix modifiers).
 *
 * Values are transformed here (windash, wide, base64) and end as patterns in
 * their cheapest form: "a*" is a prefix, not a wildcard match.
 */
#include <stdio.h>
#include <stdlib.h>

#include "codec.h"
#include "rule_yaml.h"

#define VALUE_MAX 65536		/* one transformed value, bytes */

enum { PLACE_EQ, PLACE_CONTAINS, PLACE_STARTS, PLACE_ENDS };
enum { CODE_NONE, CODE_LE, CODE_BE, CODE_BOM };

struct mods {
	uint8_t place, code, op;	/* op: RULE_OPS when none */
	bool all, cased, neq, windash, base64, offset, regex;
	uint32_t re_options;
};

static const char *const mod_names[] = {
	"contains", "startswith", "endswith", "all", "exists", "cased", "neq",
	"re", "i", "m", "s", "lt", "lte", "gt", "gte", "cidr", "base64",
	"base64offset", "wide", "utf16le", "utf16be", "utf16", "windash",
	"fieldref",
};

static int
err_value(struct rule_build *b, const struct yaml_node *n, const char *what)
{
	yaml_err(b->doc, n, b->err, "%s", what);
	return -1;
}

static int
mod_unknown(struct rule_build *b, const struct yaml_node *key, struct slice m)
{
	const char *near = err_nearest(m, mod_names, ARRAY_LEN(mod_names));

	if (slice_is(m, "expand"))
		return err_value(b, key, "modifier expand: placeholders are "
		    "not filled in here");
	yaml_err(b->doc, key, b->err, "no such modifier: %.*s%s%s%s",
	    SLICE_FMT(m), near == NULL ? "" : " (did you mean ",
	    near == NULL ? "" : near, near == NULL ? "" : "?)");
	return -1;
}

static bool
mod_op(struct slice m, struct mods *o)
{
	static const struct { const char *name; uint8_t op; } ops[] = {
		{ "exists", RULE_OP_EXISTS }, { "lt", RULE_OP_LT },
		{ "lte", RULE_OP_LTE }, { "gt", RULE_OP_GT },
		{ "gte", RULE_OP_GTE }, { "cidr", RULE_OP_CIDR },
		{ "re", RULE_OP_RE }, { "fieldref", RULE_OP_FIELD },
	};

	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		if (slice_is(m, ops[i].name)) {
			o->op = ops[i].op;
			return true;
		}
	}
	return false;
}

static bool
mod_flag(struct slice m, struct mods *o)
{
	const struct { const char *name; bool *flag; } flags[] = {
		{ "all", &o->all }, { "cased", &o->cased }, { "neq", &o->neq },
		{ "windash", &o->windash }, { "base64", &o->base64 },
	};
	static const struct { const char *name; uint8_t v; } places[] = {
		{ "contains", PLACE_CONTAINS }, { "startswith", PLACE_STARTS },
		{ "endswith", PLACE_ENDS },
	}, codes[] = {
		{ "wide", CODE_LE }, { "utf16le", CODE_LE },
		{ "utf16be", CODE_BE }, { "utf16", CODE_BOM },
	};

	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		if (slice_is(m, flags[i].name))
			return *flags[i].flag = true;
	}
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		if (slice_is(m, places[i].name) && o->place == PLACE_EQ) {
			o->place = places[i].v;
			return true;
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		if (slice_is(m, codes[i].name) && o->code == CODE_NONE) {
			o->code = codes[i].v;
			return true;
		}
	}
	if (slice_is(m, "base64offset"))
		return o->base64 = o->offset = true;
	return false;
}

static bool
mod_re(struct slice m, struct mods *o)
{
	if (o->op != RULE_OP_RE || m.n != 1)
		return false;
	if (*m.p == 'i')
		o->re_options |= PCRE2_CASELESS;
	else if (*m.p == 'm')
		o->re_options |= PCRE2_MULTILINE;
	else if (*m.p == 's')
		o->re_options |= PCRE2_DOTALL;
	else
		return false;
	return true;
}

/* What cannot stand together. */
static int
mods_check(struct rule_build *b, const struct yaml_node *key,
    const struct mods *o)
{
	bool text = o->place != PLACE_EQ || o->windash || o->base64 ||
	    o->code != CODE_NONE || o->cased;

	if (o->op != RULE_OPS && text)
		return err_value(b, key, "re, cidr, exists, fieldref and "
		    "comparisons take no text modifier (contains, startswith, "
		    "endswith, cased, windash, base64, wide)");
	if (o->code != CODE_NONE && !o->base64)
		return err_value(b, key, "an event's text is UTF-8: wide, "
		    "utf16le, utf16be and utf16 need base64 or base64offset "
		    "behind them");
	if (o->offset && o->place != PLACE_CONTAINS)
		return err_value(b, key, "base64offset needs contains behind "
		    "it");
	return 0;
}

/* "field|mod|mod": what stands before the first | is given back. */
static int
mods_parse(struct rule_build *b, const struct yaml_node *key, struct slice *name,
    struct mods *o)
{
	struct slice rest = slice_make(key->text, key->len);

	memset(o, 0, sizeof(*o));
	o->op = RULE_OPS;
	*name = slice_cut(&rest, '|');
	while (rest.p != NULL) {
		struct slice m = slice_cut(&rest, '|');

		if (mod_re(m, o) || mod_flag(m, o))
			continue;
		if (o->op != RULE_OPS || !mod_op(m, o))
			return mod_unknown(b, key, m);
	}
	return mods_check(b, key, o);
}

/* Wildcards and escapes of Sigma: \* \? \\ and a plain backslash. */
static void
unescape(struct slice v, struct buf *out)
{
	for (size_t i = 0; i < v.n; i++) {
		char c = v.p[i];

		if (c == '\\' && i + 1 < v.n &&
		    strchr("*?\\", v.p[i + 1]) != NULL && v.p[i + 1] != '\0')
			buf_add_char(out, v.p[++i]);
		else if (c == '*' && out->len > 0 &&
		    buf_data(out)[out->len - 1] == RULE_RUN)
			continue;
		else
			buf_add_char(out, c == '*' ? RULE_RUN :
			    c == '?' ? RULE_ONE : c);
	}
}

static bool
has_wild(struct slice v)
{
	return slice_chr(v, RULE_RUN) >= 0 || slice_chr(v, RULE_ONE) >= 0;
}

static struct rule_pat *
pat_new(struct rule_body *body, uint8_t op, bool cased, struct slice text)
{
	struct rule_pat *p = RULE_PUSH(body->pats, body->npats);

	p->op = op;
	p->cased = cased;
	p->text = slice_dup(text);
	p->len = (uint32_t)text.n;
	if (!cased)
		rule_fold(p->text, p->text, text.n);
	return p;
}

/* The cheapest form of a text with wildcards. */
static void
pat_text(struct rule_body *body, const struct mods *o, struct slice v)
{
	bool lead = o->place == PLACE_CONTAINS || o->place == PLACE_ENDS;
	bool trail = o->place == PLACE_CONTAINS || o->place == PLACE_STARTS;
	struct buf glob;

	if (v.n > 0 && v.p[0] == RULE_RUN) {
		lead = true;
		v = slice_sub(v, 1, v.n);
	}
	if (v.n > 0 && v.p[v.n - 1] == RULE_RUN) {
		trail = true;
		v = slice_sub(v, 0, v.n - 1);
	}
	if (!has_wild(v)) {
		uint8_t op = lead && trail ? RULE_OP_CONTAINS :
		    lead ? RULE_OP_ENDS : trail ? RULE_OP_STARTS : RULE_OP_EQ;

		if (v.n == 0 && op != RULE_OP_EQ)
			op = RULE_OP_PRESENT;
		pat_new(body, op, o->cased, v);
		return;
	}
	buf_init(&glob, VALUE_MAX + 2);
	if (lead)
		buf_add_char(&glob, RULE_RUN);
	buf_add_slice(&glob, v);
	if (trail)
		buf_add_char(&glob, RULE_RUN);
	pat_new(body, RULE_OP_GLOB, o->cased, buf_slice(&glob));
	buf_free(&glob);
}

/* UTF-8 (checked by the YAML reader) to UTF-16. */
static void
to_utf16(struct slice v, uint8_t code, struct buf *out)
{
	bool be = code == CODE_BE;

	if (code == CODE_BOM)
		buf_add(out, "\xff\xfe", 2);
	for (size_t i = 0; i < v.n;) {
		unsigned char c = (unsigned char)v.p[i++];
		int more = c < 0xc0 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
		uint32_t cp = more == 0 ? c : c & (0x3fu >> more);
		uint32_t unit[2];
		int n = 1;

		for (; more > 0 && i < v.n; more--)
			cp = cp << 6 | ((unsigned char)v.p[i++] & 63u);
		unit[0] = cp;
		if (cp > 0xffff) {
			n = 2;
			unit[0] = 0xd800 + ((cp - 0x10000) >> 10);
			unit[1] = 0xdc00 + ((cp - 0x10000) & 1023);
		}
		for (int k = 0; k < n; k++) {
			char lo = (char)unit[k], hi = (char)(unit[k] >> 8);

			buf_add_char(out, be ? hi : lo);
			buf_add_char(out, be ? lo : hi);
		}
	}
}

/* Base64 as it stands inside a longer text, for each of three shifts; the
 * characters that also depend on the neighbours are cut away. */
static void
pat_base64(struct rule_body *body, const struct mods *o, struct slice raw)
{
	static const size_t skip[] = { 0, 2, 3 }, cut[] = { 0, 3, 2 };
	struct mods plain = { .place = o->place, .cased = true };

	for (size_t shift = 0; shift < (o->offset ? 3 : 1); shift++) {
		struct buf in, out;
		struct slice t;

		buf_init(&in, VALUE_MAX + 4);
		buf_init(&out, 2 * VALUE_MAX);
		buf_add(&in, "   ", shift);
		buf_add_slice(&in, raw);
		b64_encode(&out, buf_data(&in), in.len);
		t = buf_slice(&out);
		if (o->offset)
			t = slice_sub(t, skip[shift],
			    t.n - skip[shift] - cut[in.len % 3]);
		pat_text(body, &plain, t);
		buf_free(&in);
		buf_free(&out);
	}
}

/* Each dash that begins a parameter, in all its forms. */
static void
pat_windash(struct rule_body *body, const struct mods *o, struct slice v)
{
	static const char *const dashes[] = { "-", "/", "\xe2\x80\x93",
	    "\xe2\x80\x94", "\xe2\x80\x95" };

	for (size_t d = 0; d < ARRAY_LEN(dashes); d++) {
		bool start = true, any = false;
		struct buf out;

		buf_init(&out, 3 * VALUE_MAX);
		for (size_t i = 0; i < v.n; i++) {
			char c = v.p[i];

			if (start && (c == '-' || c == '/')) {
				buf_add_str(&out, dashes[d]);
				any = true;
			} else {
				buf_add_char(&out, c);
			}
			start = c == ' ' || c == RULE_RUN;
		}
		if (any || d == 0)
			pat_text(body, o, buf_slice(&out));
		buf_free(&out);
	}
}

static int
value_text(struct rule_build *b, const struct yaml_node *n,
    const struct mods *o, struct rule_body *body)
{
	struct buf v, wide;
	int r = 0;

	buf_init(&v, VALUE_MAX);
	buf_init(&wide, 2 * VALUE_MAX + 2);
	unescape(slice_make(n->text, n->len), &v);
	if (v.full) {
		r = err_value(b, n, "value longer than 65,536 bytes");
	} else if (o->base64 && has_wild(buf_slice(&v))) {
		r = err_value(b, n, "a base64 value takes no wildcards "
		    "(escape them with a backslash)");
	} else if (o->offset && v.len < 4) {
		r = err_value(b, n, "base64offset needs at least 4 bytes");
	} else if (o->base64) {
		if (o->code != CODE_NONE)
			to_utf16(buf_slice(&v), o->code, &wide);
		pat_base64(body, o, o->code != CODE_NONE ? buf_slice(&wide) :
		    buf_slice(&v));
	} else if (o->windash) {
		pat_windash(body, o, buf_slice(&v));
	} else {
		pat_text(body, o, buf_slice(&v));
	}
	buf_free(&v);
	buf_free(&wide);
	return r;
}

static int
value_regex(struct rule_build *b, const struct yaml_node *n,
    const struct mods *o, struct rule_body *body)
{
	struct rule_pat *p = pat_new(body, RULE_OP_RE, true,
	    slice_make(n->text, n->len));
	char why[200] = "";
	size_t at = 0;
	pcre2_code *re;

	p->re_options = o->re_options;
	re = rule_regex(p, why, sizeof(why), &at);
	if (re == NULL) {
		yaml_err(b->doc, n, b->err, "regular expression, character "
		    "%zu: %s", at + 1, why);
		return -1;
	}
	pcre2_code_free(re);
	return 0;
}

static int
value_special(struct rule_build *b, const struct yaml_node *n,
    const struct mods *o, struct rule_body *body)
{
	struct slice text = slice_make(n->text, n->len);
	struct rule_pat *p;
	double num = 0;

	switch (o->op) {
	case RULE_OP_RE:
		return value_regex(b, n, o, body);
	case RULE_OP_EXISTS:
		if (!slice_is(text, "true") && !slice_is(text, "false"))
			return err_value(b, n, "exists is true or false");
		num = slice_is(text, "true");
		break;
	case RULE_OP_CIDR:
		break;
	case RULE_OP_FIELD:
		if (n->len == 0)
			return err_value(b, n, "fieldref needs a field");
		break;
	default:
		if (!rule_parse_number(text, &num))
			return err_value(b, n, "lt, lte, gt and gte need a "
			    "number");
	}
	p = pat_new(body, o->op, true, text);
	p->num = num;
	if (o->op == RULE_OP_CIDR && !rule_parse_cidr(p->text, p->addr,
	    &p->bits))
		return err_value(b, n, "no network: write 192.0.2.0/24 or "
		    "2001:db8::/32");
	return 0;
}

static bool
is_null(const struct yaml_node *n)
{
	struct slice t = slice_make(n->text, n->len);

	return !n->quoted && (t.n == 0 || slice_is(t, "null") ||
	    slice_is(t, "~") || slice_is(t, "Null") || slice_is(t, "NULL"));
}

static int
value_one(struct rule_build *b, const struct yaml_node *n,
    const struct mods *o, struct rule_body *body, bool listed)
{
	double num;

	if (n->type != YAML_SCALAR)
		return err_value(b, n, "a value must be a text, number, "
		    "true, false or null");
	if (body->npats >= RULE_VALUES_MAX)
		return err_value(b, n, "more than 20,000 values in one rule");
	if (memchr(n->text, '\0', n->len) != NULL)
		return err_value(b, n, "a NUL character in a value");
	if (o->op != RULE_OPS)
		return value_special(b, n, o, body);
	if (is_null(n)) {
		if (listed || o->place != PLACE_EQ)
			return err_value(b, n, "null stands alone, without "
			    "text modifiers");
		pat_new(body, RULE_OP_NULL, true, SLICE(""));
		return 0;
	}
	if (!n->quoted && o->place == PLACE_EQ && !o->base64 &&
	    rule_parse_number(slice_make(n->text, n->len), &num)) {
		pat_new(body, RULE_OP_NUMBER, true,
		    slice_make(n->text, n->len))->num = num;
		return 0;
	}
	return value_text(b, n, o, body);
}

static int
item_values(struct rule_build *b, const struct yaml_node *n,
    const struct mods *o, struct rule_body *body)
{
	if (n->type != YAML_SEQ)
		return value_one(b, n, o, body, false);
	if (n->n == 0)
		return err_value(b, n, "an empty list matches nothing");
	for (size_t i = 0; i < n->n; i++) {
		if (value_one(b, n->items[i], o, body, n->n > 1) != 0)
			return -1;
	}
	return 0;
}

/* key NULL: keywords without modifiers. */
static int
item_build(struct rule_build *b, const struct yaml_node *key,
    const struct yaml_node *val, struct rule_body *body)
{
	struct rule_item *it = RULE_PUSH(body->items, body->nitems);
	struct slice name = slice_make("", 0);
	struct mods o = { .op = RULE_OPS };
	uint32_t k = body->nitems - 1;

	if (key != NULL && mods_parse(b, key, &name, &o) != 0)
		return -1;
	if (name.n == 0) {
		if (o.op != RULE_OPS && o.op != RULE_OP_RE)
			return err_value(b, key, "this modifier needs a "
			    "field");
		if (o.place != PLACE_EQ && o.place != PLACE_CONTAINS)
			return err_value(b, key, "keywords are contained: "
			    "startswith and endswith need a field");
		o.place = PLACE_CONTAINS;
	} else {
		if (name.n > 255 || memchr(name.p, '\0', name.n) != NULL)
			return err_value(b, key, "field name too long");
		it->name = slice_dup(name);
	}
	if (o.op == RULE_OP_RE || o.op == RULE_OP_EXISTS)
		o.place = PLACE_EQ;
	it->all = o.all;
	it->neq = o.neq;
	it->pat = body->npats;
	if (o.all && val->type != YAML_SEQ)
		return err_value(b, val, "all needs a list of values");
	if (o.all && (o.windash || o.offset)) {
		/* Forms of one value are alternatives: an item a value. */
		it->all = false;
		for (size_t i = 0; i < val->n; i++) {
			if (i > 0) {
				it = RULE_PUSH(body->items, body->nitems);
				it->name = name.n == 0 ? NULL : slice_dup(name);
				it->neq = o.neq;
				it->pat = body->npats;
				k = body->nitems - 1;
			}
			if (value_one(b, val->items[i], &o, body, true) != 0)
				return -1;
			body->items[k].npats = body->npats -
			    body->items[k].pat;
		}
		return val->n == 0 ? err_value(b, val, "an empty list matches "
		    "nothing") : 0;
	}
	if (item_values(b, val, &o, body) != 0)
		return -1;
	body->items[k].npats = body->npats - body->items[k].pat;
	return 0;
}

static unsigned
item_cost(const struct rule_body *body, const struct rule_item *it)
{
	unsigned cost = 0;

	for (uint32_t i = 0; i < it->npats; i++)
		cost += 1u << body->pats[it->pat + i].op;
	return it->name == NULL ? UINT32_MAX : cost;
}

/* Cheap items first: an AND ends at its first NO. Few items: by insertion. */
static void
group_sort(struct rule_body *body, const struct rule_group *g)
{
	for (uint32_t i = g->item + 1; i < g->item + g->nitems; i++) {
		struct rule_item it = body->items[i];
		unsigned cost = item_cost(body, &it);
		uint32_t j = i;

		for (; j > g->item &&
		    item_cost(body, &body->items[j - 1]) > cost; j--)
			body->items[j] = body->items[j - 1];
		body->items[j] = it;
	}
}

static int
group_build(struct rule_build *b, const struct yaml_node *n,
    struct rule_body *body)
{
	uint32_t g = body->ngroups;

	RULE_PUSH(body->groups, body->ngroups)->item = body->nitems;
	if (n->type == YAML_SCALAR) {
		if (item_build(b, NULL, n, body) != 0)
			return -1;
	} else if (n->n == 0 || n->n > 1000) {
		return err_value(b, n, "a selection has 1 to 1,000 fields");
	}
	for (size_t i = 0; n->type == YAML_MAP && i < n->n; i++) {
		if (item_build(b, n->keys[i], n->items[i], body) != 0)
			return -1;
	}
	body->groups[g].nitems = body->nitems - body->groups[g].item;
	group_sort(body, &body->groups[g]);
	return 0;
}

static int
sel_build(struct rule_build *b, const struct yaml_node *key,
    const struct yaml_node *n, struct rule_body *body)
{
	uint32_t s = body->nsels;
	bool words = n->type == YAML_SEQ && n->n > 0;

	RULE_PUSH(body->sels, body->nsels)->name =
	    slice_dup(slice_make(key->text, key->len));
	body->sels[s].group = body->ngroups;
	for (size_t i = 0; n->type == YAML_SEQ && i < n->n; i++)
		words = words && n->items[i]->type == YAML_SCALAR;
	if (words) {		/* keywords: one item with many values */
		struct rule_group *g = RULE_PUSH(body->groups, body->ngroups);

		g->item = body->nitems;
		g->nitems = 1;
		if (item_build(b, NULL, n, body) != 0)
			return -1;
	} else if (n->type != YAML_SEQ) {
		if (group_build(b, n, body) != 0)
			return -1;
	} else {
		if (n->n == 0)
			return err_value(b, n, "an empty selection matches "
			    "nothing");
		for (size_t i = 0; i < n->n; i++) {
			if (n->items[i]->type == YAML_SEQ)
				return err_value(b, n->items[i],
				    "a list inside a list");
			if (group_build(b, n->items[i], body) != 0)
				return -1;
		}
	}
	body->sels[s].ngroups = body->ngroups - body->sels[s].group;
	return 0;
}

static bool
name_ok(const struct yaml_node *key)
{
	for (size_t i = 0; i < key->len; i++) {
		char c = key->text[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    (c >= '0' && c <= '9') || c == '_' || c == '-'))
			return false;
	}
	return key->len > 0;
}

int
rule_build_detection(struct rule_build *b, const struct yaml_node *n,
    struct rule_body *body)
{
	struct yaml_node *cond;

	if (n->type != YAML_MAP)
		return err_value(b, n, "detection must be a map");
	cond = yaml_get(n, "condition");
	if (cond == NULL)
		return err_value(b, n, "detection.condition is missing");
	if (n->n > 1000)
		return err_value(b, n, "more than 1,000 selections");
	for (size_t i = 0; i < n->n; i++) {
		if (n->items[i] == cond)
			continue;
		if (strcmp(n->keys[i]->text, "timeframe") == 0)
			return err_value(b, n->keys[i], "timeframe is gone "
			    "from Sigma: write a correlation with a timespan");
		if (!name_ok(n->keys[i]))
			return err_value(b, n->keys[i], "a selection's name "
			    "has letters, digits, _ and - only");
		if (sel_build(b, n->keys[i], n->items[i], body) != 0)
			return -1;
	}
	if (body->nsels == 0)
		return err_value(b, n, "detection has no selection");
	return rule_build_condition(b, cond, body);
}
