/*
 * inspect - marks texts that look written for an agent rather than for its
 * user: override phrases, hidden instructions, invisible characters, terminal
 * escapes, image links that carry data out.
 *
 * A flag is evidence for policy, detection and the approval card, never a
 * verdict: nothing here denies a call or changes a byte.  Looked at like
 * redaction looks (leaf.h), and schemas, names and URIs too.
 */
#ifndef INSPECT_H
#define INSPECT_H

#include "base.h"
#include "buf.h"
#include "err.h"
#include "json.h"
#include "shape.h"

#define INSPECT_FLAGS_MAX 32

struct inspect_flag {
	const char *id;		/* "injection.override"; borrowed from inspect */
	uint32_t count;
};

struct inspect_report {
	uint32_t n;
	struct inspect_flag flags[INSPECT_FLAGS_MAX];
	/* The text was not looked at to its end (hostile size or work): itself
	 * to be reported (no silent loss). */
	bool limit;
};

struct inspect;

int inspect_compile(const char *dir, struct buf *section, struct err *err)
    MUST_USE;
struct inspect *inspect_load(struct slice section, struct err *err) MUST_USE;
void inspect_free(struct inspect *in);		/* NULL-safe */

/* Both fill *rep afresh and return rep->n != 0 || rep->limit. */
bool inspect_json(struct inspect *in, const struct json_doc *doc,
    uint32_t node, enum shape shape, struct inspect_report *rep);
bool inspect_text(struct inspect *in, struct slice text,
    struct inspect_report *rep);

#endif
