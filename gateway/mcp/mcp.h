/*
 * mcp - the Model Context Protocol as the gate needs it: what a JSON-RPC
 * message asks for, and the answers the gateway makes itself.
 *
 * Sources: JSON-RPC 2.0; MCP 2025-06-18 and 2025-11-25 (basic, server/tools,
 * basic/utilities/progress, cancellation).
 */
#ifndef MCP_H
#define MCP_H

#include "action.h"
#include "base.h"
#include "buf.h"
#include "json.h"

enum mcp_kind { MCP_INVALID, MCP_REQUEST, MCP_NOTIFICATION, MCP_RESPONSE,
	MCP_BATCH };

struct mcp_message {
	enum mcp_kind kind;
	struct slice id;		/* raw JSON, empty: none */
	struct slice method;		/* unescaped only (escaped: invalid) */
	enum action_operation operation;
	struct slice tool;		/* raw inner text of name or uri */
	uint32_t arguments;		/* node of params.arguments, or of params */
	struct slice progress_token;	/* raw JSON, empty: none */
	struct slice cancel_id;		/* notifications/cancelled: requestId */
	const char *error;		/* why invalid */
};

/* Reads the indexed message at node (usually 0). */
void mcp_read(const struct json_doc *d, uint32_t node, struct mcp_message *m);

/* {"jsonrpc":"2.0","id":ID,"result":{"content":[{text}],"isError":true,
 * "_meta":{...}}}: the form that reaches the model. */
void mcp_write_denial(struct buf *b, struct slice id, const char *text,
    const char *reason, const char *event);
/* A JSON-RPC error; our codes are positive: outside what the specification
 * reserves. */
void mcp_write_error(struct buf *b, struct slice id, int code,
    const char *text, const char *reason, const char *event);
#define MCP_CODE_DENIED 4030
#define MCP_CODE_REFUSED 4000
#define MCP_CODE_UPSTREAM 5020
void mcp_write_progress(struct buf *b, struct slice token, unsigned n,
    const char *message);
void mcp_write_cancelled(struct buf *b, struct slice id, const char *reason);
/* The result with one more text block that says what the approver edited;
 * appended to out. -1: no result with content to add it to. */
int mcp_add_note(struct buf *out, const struct json_doc *d, const char *note)
    MUST_USE;

#endif
