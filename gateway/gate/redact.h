/*
 * redact - replaces secrets and personal data in a body by splicing the bytes
 * of the string that holds them: all other bytes stay as they were, and JSON
 * stays JSON.
 *
 * Looked at: every decoded string, key and number; JSON in strings (3 deep),
 * percent escapes, base64 and hex (opened twice at most).  A value known only
 * by its context ("password: x") is then looked for everywhere in the text.
 * Where a run of base64 holds a value, the whole run is replaced.
 *
 * A match never spans two strings, except that a rule sees "key: value" of a
 * member.  Overlapping matches are replaced as one, named by the first rule
 * (secrets before personal data, then the order of the pack).
 *
 * A struct redact is used by one thread, one call at a time.
 */
#ifndef REDACT_H
#define REDACT_H

#include "base.h"
#include "buf.h"
#include "err.h"
#include "json.h"
#include "literal.h"
#include "shape.h"

/*
 * Zero is the closed answer: nothing is known about the body.  The caller
 * applies the exception "redactor-limit"; out holds nothing of use.
 */
enum redact_result {
	REDACT_LIMIT,	/* a limit was passed */
	REDACT_REFUSED,	/* a number matched where numbers may not change */
	REDACT_CLEAN,	/* nothing matched; out is as it was */
	REDACT_CHANGED	/* out has the new body appended */
};

struct redact_limits {
	uint32_t bytes;		/* of the body, and of its decoded texts */
	uint32_t leaves;	/* strings, keys and numbers, nested ones too */
	uint32_t hits;		/* values replaced */
};

/* 64 MiB, 1,000,000 leaves, 200,000 hits. */
extern const struct redact_limits redact_limits_default;

#define REDACT_RULES_MAX 512

/* Rules that do not act: a bit a rule, in the order of one compiled section,
 * so it belongs to the same snapshot. */
struct redact_off {
	uint64_t bits[REDACT_RULES_MAX / 64];
};

struct redact_options {
	/* SHAPE_MESSAGE: a JSON-RPC message, whose protocol parts are kept;
	 * SHAPE_FREE: everything below `node` is looked at. */
	enum shape shape;
	uint32_t node;		/* the subtree looked at; 0: the whole text */
	/*
	 * What becomes of a number that matches (a card number as a JSON
	 * number).  false: a JSON string takes its place (results).  true: the
	 * answer is REDACT_REFUSED, since a tool would get a wrong type
	 * (arguments).
	 */
	bool refuse_numbers;
	struct literals *literals;	/* e.g. this call's credentials, or NULL;
					 * reported as "credential" */
	const struct redact_off *off;		/* NULL: all rules act */
	const struct redact_limits *limits;	/* NULL: the defaults */
};

#define REDACT_REPORT_MAX 64

/* What was replaced; after REDACT_REFUSED the rule that matched the number.
 * ids are borrowed from the struct redact. */
struct redact_report {
	uint32_t n;
	struct {
		const char *id;
		uint32_t count;
	} items[REDACT_REPORT_MAX];
	uint32_t total;		/* all, also of rules that found no room above */
};

struct redact;

/* For the compiler role: reads dir/(*).yaml, runs every example, appends the
 * section. -1 and err ("file:line:col: ..."). */
int redact_compile(const char *dir, struct buf *section, struct err *err)
    MUST_USE;
struct redact *redact_load(struct slice section, struct err *err) MUST_USE;
void redact_free(struct redact *r);	/* NULL-safe */
size_t redact_rules(const struct redact *r);

/*
 * Adds the rule of this id, or with "personal" all rules of that kind.  Rules
 * for secrets are added one by one only.  -1 and err, which has no place, for
 * a name that is none (the nearest is offered) and for "secret".
 */
int redact_off_add(const struct redact *r, struct slice name,
    struct redact_off *off, struct err *err) MUST_USE;
/* Appends the ids of the rules for secrets among them, ", " between. */
void redact_off_secrets(const struct redact *r, const struct redact_off *off,
    struct buf *out);

/*
 * doc is the index of text.  opt NULL: all defaults.  On REDACT_CHANGED the
 * whole text, redacted, is appended to out, and it is valid JSON (checked).
 * rep may be NULL.
 */
enum redact_result redact_json(struct redact *r, const struct json_doc *doc,
    struct slice text, const struct redact_options *opt, struct buf *out,
    struct redact_report *rep) MUST_USE;

/* A body that is no JSON; opt's shape and node are not looked at. */
enum redact_result redact_text(struct redact *r, struct slice text,
    const struct redact_options *opt, struct buf *out,
    struct redact_report *rep) MUST_USE;

#endif
