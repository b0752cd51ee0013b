/*
 * gateask - what an agent's harness asks of the gate before it runs a built-in
 * tool, and what it reports afterwards: the requests under /v1/gate, read
 * strictly. It knows no HTTP beyond a path and a query.
 *
 *   POST /v1/gate               {"connector", "tool", "arguments": {...},
 *                                "context"?: {"device_class"?, "environment"?,
 *                                "target"?}, "wait"?: seconds}
 *   GET  /v1/gate/CALL?wait=30
 *   POST /v1/gate/CALL/outcome  {"status": completed | failed | cancelled,
 *                                "result"?: any JSON}
 *
 * A member that is not named here is refused (duplicate ones are by json_index),
 * so that a harness that misspells one learns it instead of being judged
 * without it. Source: our own.
 */
#ifndef GATEASK_H
#define GATEASK_H

#include "base.h"
#include "json.h"
#include "rng.h"

#define GATEASK_PATH "/v1/gate"
#define GATEASK_TOOL_MAX 128	/* bytes */
#define GATEASK_WORD_MAX 64
#define GATEASK_TARGET_MAX 1024	/* as it stands in the JSON text */
#define GATEASK_WAIT_MAX 60	/* seconds */

enum gateask_verb { GATEASK_NONE, GATEASK_ASK, GATEASK_POLL, GATEASK_REPORT };

/* Slices are borrowed from the text, nodes belong to its index. */
struct gateask {
	struct slice connector, tool;
	uint32_t arguments;			/* an object */
	struct slice device_class, environment;	/* n 0: not said */
	uint32_t target;			/* a text, or JSON_NONE */
	unsigned wait_s;
};

/* Zero means that nothing was run. */
enum gateask_status { GATEASK_CANCELLED, GATEASK_FAILED, GATEASK_COMPLETED,
	GATEASK_STATUSES };

struct gateask_report {
	enum gateask_status status;
	uint32_t result;			/* JSON_NONE: none */
};

/* 0, or -1 and *why_r, a sentence's part that repeats nothing of the text. */
int gateask_read(const struct json_doc *d, struct gateask *a_r,
    const char **why_r) MUST_USE;
int gateask_read_report(const struct json_doc *d, struct gateask_report *p_r,
    const char **why_r) MUST_USE;
/* GATEASK_NONE: another path. *call_r is set for POLL and REPORT. */
enum gateask_verb gateask_path(struct slice path, struct uuid *call_r);
/* "wait=30", and nothing else; p NULL: no query, no wait. */
bool gateask_wait(struct slice query, unsigned *seconds_r) MUST_USE;
/* A to Z, a to z, 0 to 9 and "_.:/-", 1 to GATEASK_TOOL_MAX of them. */
bool gateask_tool_ok(struct slice name);
/* a to z, 0 to 9 and "_.-", 1 to GATEASK_WORD_MAX of them. */
bool gateask_word_ok(struct slice word);

#endif
