/*
 * shape - what in a JSON-RPC message of MCP is part of the protocol and is
 * never rewritten: ids, methods, cursors, tokens, URIs, names, schemas, media
 * bytes.  Source: MCP 2024-11-05 to 2026-07-28, schema.ts; the tasks
 * extension.
 */
#ifndef SHAPE_H
#define SHAPE_H

#include "base.h"
#include "json.h"

enum shape {
	SHAPE_FREE,	/* nothing is kept: arguments, REST bodies */
	SHAPE_MESSAGE,	/* a whole JSON-RPC message of MCP */
	SHAPES
};

enum shape_use { SHAPE_REDACT, SHAPE_INSPECT };

/*
 * Node indexes of the subtrees of the message at node that are left out,
 * ascending, into *list (malloc'd, *cap entries, grown as needed; free it at
 * the end).  Returns how many.  Inspection leaves out fewer: it reads
 * schemas, names and URIs.
 */
size_t shape_skips(const struct json_doc *d, uint32_t node, enum shape shape,
    enum shape_use use, uint32_t **list, size_t *cap);

#endif
