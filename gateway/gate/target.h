/*
 * target - what a kill is aimed at:
 *   connector/NAME  tool/CONNECTOR/TOOL  agent/NAME  session/ID  user/NAME  all
 * The text itself is what the kill page hashes.
 */
#ifndef TARGET_H
#define TARGET_H

#include "base.h"
#include "err.h"

#define TARGET_MAX 400		/* bytes of the text */

enum target_kind {
	TARGET_ALL, TARGET_CONNECTOR, TARGET_TOOL, TARGET_AGENT,
	TARGET_SESSION, TARGET_USER, TARGET_KINDS
};

struct target {
	enum target_kind kind;
	struct slice name;	/* borrowed; the connector of a tool; "" of all */
	struct slice tool;	/* TARGET_TOOL only */
};

/* 0, or -1 and err, which offers the nearest kind. Borrows text. */
int target_parse(struct target *t, struct slice text, struct err *err)
    MUST_USE;
const char *target_kind_name(enum target_kind k);

struct target_call {
	const char *connector, *tool, *agent, *session, *user;
};

/* True when a kill of t concerns this call. */
bool target_covers(const struct target *t, const struct target_call *c);

#endif
