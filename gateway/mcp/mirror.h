/*
 * mirror - the header fields in which clients of MCP 2026-07-28 repeat parts
 * of the body: MCP-Protocol-Version, Mcp-Method, Mcp-Name, Mcp-Param-*.
 *
 * The body is what the gate judges, and an upstream, or what stands before it,
 * may act on the headers: they must say the same, and what is changed in the
 * body is changed in them. Which argument an Mcp-Param-* repeats stands in the
 * tool's schema, which is not looked up: it must equal one of the arguments
 * (reached through objects only), and follows that one.
 *
 * Source: MCP 2026-07-28, basic/transports/streamable-http ("Request
 * Metadata"); values that are no plain ASCII are "=?base64?...?=".
 */
#ifndef MIRROR_H
#define MIRROR_H

#include "arena.h"
#include "base.h"
#include "buf.h"
#include "http1.h"
#include "json.h"
#include "mcp.h"

#define MIRROR_PARAMS_MAX 32
#define MIRROR_DEPTH_MAX 8

struct mirror_param {
	struct slice name;			/* the whole field name */
	struct slice key[MIRROR_DEPTH_MAX];	/* from the arguments down, as
						 * written, without quotes */
	unsigned depth;
};

struct mirror {
	struct mirror_param v[MIRROR_PARAMS_MAX];
	unsigned n;
};

enum mirror_result {
	MIRROR_MISMATCH,	/* *why_r says where */
	MIRROR_NO_VERSION,	/* the header says MCP_MODERN, the body does not
				 * say what it is */
	MIRROR_UNKNOWN,		/* a revision that this gateway cannot read */
	MIRROR_LEGACY,		/* and nothing in the headers disagrees */
	MIRROR_MODERN
};

/* Does the request claim, by its header, to be of MCP_MODERN or later? */
bool mirror_claims_modern(const struct http1_head *h);
bool mirror_is_param(struct slice name);

/* m was read from d. Of a request of MCP_MODERN the fields are required, of
 * others checked where they stand. *params_r is NULL without Mcp-Param-*; it
 * and what it points to are in a, and stay when d's text goes. */
enum mirror_result mirror_check(const struct http1_head *h,
    const struct json_doc *d, const struct mcp_message *m, struct arena *a,
    struct mirror **params_r, const char **why_r) MUST_USE;

/* The value of a field as the arguments (a node of d) now have it, encoded.
 * -1: no such argument any more, the field is left out. */
int mirror_value(const struct mirror_param *p, const struct json_doc *d,
    uint32_t arguments, struct buf *out) MUST_USE;

/* Both ways of the encoding; -1: not well-formed, or out is full. */
int mirror_decode(struct slice value, struct buf *out) MUST_USE;
int mirror_encode(struct slice text, struct buf *out) MUST_USE;

#endif
