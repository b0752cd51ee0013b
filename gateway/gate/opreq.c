/* opreq - see opreq.h. */
#include "opreq.h"

#include <stdlib.h>

#include "json.h"
#include "visible.h"

enum type { NAME, LONG, OBJECT, DURATION, BOOL };

static const struct {
	const char *word;
	enum type type;
} fields[OPREQ_FIELDS] = {
#define OPFIELD(sym, word, type) { word, type },
#include "opverbs.def"
};

static const struct {
	const char *word;
	uint32_t must, may;
} verbs[OPREQ_VERBS] = {
#define OPVERB(sym, word, must, may, doc) { word, must, may },
#include "opverbs.def"
};

_Static_assert(OPREQ_FIELDS <= 32, "fields are bits of a u32");

const char *
opreq_verb_name(enum opreq_verb v)
{
	return (unsigned)v < OPREQ_VERBS ? verbs[v].word : "?";
}

void
opreq_free(struct opreq *r)
{
	for (size_t i = 0; i < OPREQ_FIELDS; i++) {
		free(r->text[i]);
		r->text[i] = NULL;
	}
}

static void
place_of(struct slice text, size_t off, int *line_r, int *col_r)
{
	*line_r = *col_r = 1;
	for (size_t i = 0; i < off && i < text.n; i++) {
		(*col_r)++;
		if (text.p[i] == '\n') {
			(*line_r)++;
			*col_r = 1;
		}
	}
}

/* A copy of the tree's text without blanks between tokens. */
static char *
compact(struct slice raw)
{
	char *out = base_calloc(1, raw.n + 1);
	bool in_string = false;
	size_t n = 0;

	for (size_t i = 0; i < raw.n; i++) {
		char c = raw.p[i];

		if (in_string && c == '\\') {	/* valid JSON: one follows */
			out[n++] = c;
			out[n++] = raw.p[++i];
			continue;
		}
		if (c == '"')
			in_string = !in_string;
		if (in_string || (c != ' ' && c != '\t' && c != '\n' &&
		    c != '\r'))
			out[n++] = c;
	}
	return out;
}

char *
opreq_compact_object(struct slice json, struct err *err)
{
	struct json_doc d;
	char *out = NULL;
	int line, col;

	json_init(&d);
	if (json.n > OPREQ_ARGUMENTS_MAX) {
		err_set(err, "larger than %u bytes", OPREQ_ARGUMENTS_MAX);
	} else if (json_index(&d, json, NULL) != JSON_OK) {
		place_of(json, d.error_off, &line, &col);
		err_set(err, "line %d, column %d: %s", line, col,
		    json_error_text(d.error));
	} else if (json_typeof(&d, 0) != JSON_OBJECT) {
		err_set(err, "must be a JSON object, like {\"key\": 1}");
	} else {
		out = compact(json_raw(&d, 0));
	}
	json_free(&d);
	return out;
}

/* Offers the nearest of what may stand there. */
static int
unknown(const char *what, struct slice word, const char *const *names,
    size_t n, struct err *err)
{
	const char *near = err_nearest(word, names, n);

	err_set(err, "unknown %s \"%.*s\"%s%s%s", what,
	    (int)(word.n > 60 ? 60 : word.n), word.p,
	    near != NULL ? ", did you mean \"" : "",
	    near != NULL ? near : "", near != NULL ? "\"?" : "");
	return -1;
}

static int
parse_verb(struct opreq *r, const struct json_doc *d, struct err *err)
{
	const char *names[OPREQ_VERBS];
	uint32_t v = json_member(d, 0, "verb");

	if (json_typeof(d, v) != JSON_STRING) {
		err_set(err, "the request has no \"verb\"");
		return -1;
	}
	for (unsigned i = 0; i < OPREQ_VERBS; i++) {
		names[i] = verbs[i].word;
		if (json_str_is(d, v, verbs[i].word)) {
			r->verb = (enum opreq_verb)i;
			return 0;
		}
	}
	return unknown("verb", json_inner(d, v), names, OPREQ_VERBS, err);
}

static int
parse_text(struct opreq *r, unsigned f, const struct json_doc *d,
    uint32_t node, size_t max, struct err *err)
{
	char *s = json_strdup(d, node);
	size_t n;

	if (s == NULL) {
		err_set(err, "\"%s\" must be a string", fields[f].word);
		return -1;
	}
	n = strlen(s);
	if (n > max || (n == 0 && max == OPREQ_NAME_MAX)) {
		err_set(err, "\"%s\" must have 1 to %zu bytes",
		    fields[f].word, max);
	} else if (!visible_is_clean(slice_str(s))) {
		err_set(err, "\"%s\" has control or invisible characters",
		    fields[f].word);
	} else {
		r->text[f] = s;
		return 0;
	}
	free(s);
	return -1;
}

static int
parse_field(struct opreq *r, unsigned f, const struct json_doc *d,
    uint32_t node, struct err *err)
{
	enum json_type t = json_typeof(d, node);
	int64_t v;

	switch (fields[f].type) {
	case NAME:
		return parse_text(r, f, d, node, OPREQ_NAME_MAX, err);
	case LONG:
		return parse_text(r, f, d, node, OPREQ_LONG_MAX, err);
	case OBJECT:
		if (t != JSON_OBJECT ||
		    json_raw(d, node).n > OPREQ_ARGUMENTS_MAX) {
			err_set(err, "\"%s\" must be a JSON object of at most"
			    " %u bytes", fields[f].word, OPREQ_ARGUMENTS_MAX);
			return -1;
		}
		r->text[f] = compact(json_raw(d, node));
		return 0;
	case DURATION:
		if (!json_int(d, node, &v) || v < 1 ||
		    v > OPREQ_DURATION_MAX_MS) {
			err_set(err, "\"%s\" must be milliseconds from 1 to"
			    " %lld (366 days)", fields[f].word,
			    (long long)OPREQ_DURATION_MAX_MS);
			return -1;
		}
		r->num[f] = v;
		return 0;
	case BOOL:
		if (t != JSON_TRUE && t != JSON_FALSE) {
			err_set(err, "\"%s\" must be true or false",
			    fields[f].word);
			return -1;
		}
		r->num[f] = t == JSON_TRUE;
		return 0;
	}
	return -1;
}

/* One member of the request; *seen collects the fields' bits. */
static int
parse_member(struct opreq *r, const struct json_doc *d, uint32_t key,
    uint32_t value, uint32_t *seen, struct err *err)
{
	const char *names[OPREQ_FIELDS];
	uint32_t allowed = verbs[r->verb].must | verbs[r->verb].may;
	size_t n = 0;

	for (unsigned f = 0; f < OPREQ_FIELDS; f++) {
		if ((allowed & (1u << f)) == 0)
			continue;
		if (json_str_is(d, key, fields[f].word)) {
			*seen |= 1u << f;
			return parse_field(r, f, d, value, err);
		}
		names[n++] = fields[f].word;
	}
	return unknown("field", json_inner(d, key), names, n, err);
}

static int
parse_object(struct opreq *r, const struct json_doc *d, struct err *err)
{
	uint32_t seen = 0, missing;

	if (json_typeof(d, 0) != JSON_OBJECT) {
		err_set(err, "the request must be a JSON object");
		return -1;
	}
	if (parse_verb(r, d, err) != 0)
		return -1;
	for (uint32_t k = json_first(d, 0); k != JSON_NONE;) {
		uint32_t v = json_next(d, 0, k);

		if (!json_str_is(d, k, "verb") &&
		    parse_member(r, d, k, v, &seen, err) != 0)
			return -1;
		k = json_next(d, 0, v);
	}
	missing = verbs[r->verb].must & ~seen;
	/* A reason that says nothing is none. */
	if ((verbs[r->verb].must & (1u << OPREQ_REASON)) != 0 &&
	    r->text[OPREQ_REASON] != NULL &&
	    slice_trim(slice_str(r->text[OPREQ_REASON])).n == 0)
		missing |= 1u << OPREQ_REASON;
	for (unsigned f = 0; f < OPREQ_FIELDS; f++) {
		if (missing & (1u << f)) {
			err_set(err, "%s needs \"%s\"", verbs[r->verb].word,
			    fields[f].word);
			return -1;
		}
	}
	return 0;
}

int
opreq_parse(struct opreq *r, struct slice json, struct err *err)
{
	static const struct json_limits limits = { 128, 1000000 };
	struct json_doc d;
	int rc = -1;

	memset(r, 0, sizeof(*r));
	json_init(&d);
	if (json_index(&d, json, &limits) != JSON_OK)
		err_set(err, "the request is no JSON: %s at byte %zu",
		    json_error_text(d.error), d.error_off);
	else
		rc = parse_object(r, &d, err);
	json_free(&d);
	return rc;
}
