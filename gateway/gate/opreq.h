/*
 * opreq - an operator's request, {"verb": .., field: ..}: checked whole before
 * anything acts on it. Verbs and fields: opverbs.def.
 *
 * A missing, unknown, doubled, overlong or ill-typed field is an error that
 * names it and what would be right. Names and reasons are visible text
 * (visible.h): nobody can hide a character in what a second person will read.
 */
#ifndef OPREQ_H
#define OPREQ_H

#include "base.h"
#include "err.h"

#define OPREQ_NAME_MAX 128
#define OPREQ_LONG_MAX 1024
#define OPREQ_ARGUMENTS_MAX (8u << 20)
#define OPREQ_DURATION_MAX_MS ((int64_t)366 * 86400 * 1000)

enum opreq_field {
#define OPFIELD(sym, word, type) OPREQ_##sym,
#include "opverbs.def"
	OPREQ_FIELDS
};

enum opreq_verb {
#define OPVERB(sym, word, must, may, doc) OPREQ_V_##sym,
#include "opverbs.def"
	OPREQ_VERBS
};

struct opreq {
	enum opreq_verb verb;
	/* NAME, LONG and OBJECT (compact JSON); NULL: not given. *owned* */
	char *text[OPREQ_FIELDS];
	int64_t num[OPREQ_FIELDS];	/* DURATION (ms, > 0), BOOL; 0: not given */
};

/* 0, or -1 and err; r is valid for opreq_free() in both cases. */
int opreq_parse(struct opreq *r, struct slice json, struct err *err) MUST_USE;
void opreq_free(struct opreq *r);
const char *opreq_verb_name(enum opreq_verb v);

/* JSON without the blanks between tokens; every token as it was. NULL and
 * err (line and column) when it is no JSON object. *owned* */
char *opreq_compact_object(struct slice json, struct err *err) MUST_USE;

#endif
