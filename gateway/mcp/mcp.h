/*
 * mcp - the Model Context Protocol as the gate needs it: what a JSON-RPC
 * message asks for, and the answers the gateway makes itself.
 *
 * Sources: JSON-RPC 2.0; MCP 2025-03-26 to 2026-07-28 (basic, server/tools,
 * basic/utilities/progress, cancellation; 2026-07-28 basic/patterns/mrtr) and
 * its tasks extension.
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
	struct slice version;		/* _meta: the revision of a request of
					 * 2026-07-28 or later */
	uint32_t mirrored;		/* node of what Mcp-Name repeats */
	uint32_t responses;		/* node of params.inputResponses */
	const char *error;		/* why invalid */
};

/* The first revision without sessions; every later one is refused. */
#define MCP_MODERN "2026-07-28"

/* A revision ("2026-07-28") from MCP_MODERN on; anything else is older. */
bool mcp_modern(struct slice version);

/* Reads the indexed message at node (usually 0). Invalid is also what readers
 * less strict than this one take for another message: a key that they do not
 * tell from one that counts ("Method"), params that are no object. */
void mcp_read(const struct json_doc *d, uint32_t node, struct mcp_message *m);

/* A method whose params name a resource by a URI. */
bool mcp_names_uri(struct slice method);

/* What a server asks of its client. */
enum mcp_ask { MCP_ASK_OTHER, MCP_ASK_SAMPLING, MCP_ASK_ELICITATION,
	MCP_ASK_ROOTS, MCP_ASK_PING, MCP_ASKS };

enum mcp_ask mcp_ask_of(const struct json_doc *d, uint32_t method);
/* The address that an elicitation wants a person to open; false: it is none of
 * http or https, or cannot be read in one way only. node: its params, or one
 * of data.elicitations of the error -32042. True without a "url" member. */
bool mcp_url_allowed(const struct json_doc *d, uint32_t node) MUST_USE;
#define MCP_CODE_URL_ELICITATION -32042

/* {"jsonrpc":"2.0","id":ID,"result":{"content":[{text}],"isError":true,
 * "_meta":{...}}}: the form that reaches the model. modern: with the
 * resultType that MCP_MODERN wants. */
void mcp_write_denial(struct buf *b, struct slice id, bool modern,
    const char *text, const char *reason, const char *event);
/* A JSON-RPC error; our codes are positive: outside what the specification
 * reserves. */
void mcp_write_error(struct buf *b, struct slice id, int code,
    const char *text, const char *reason, const char *event);
#define MCP_CODE_DENIED 4030
#define MCP_CODE_REFUSED 4000
#define MCP_CODE_UPSTREAM 5020
/* What MCP 2026-07-28 defines; sent with status 400. */
#define MCP_CODE_PARAMS -32602
#define MCP_CODE_HEADERS -32020
#define MCP_CODE_REVISION -32022
/* MCP_CODE_REVISION with the revisions that are spoken in its data. */
void mcp_write_revision(struct buf *b, struct slice id, const char *text,
    struct slice requested);
void mcp_write_progress(struct buf *b, struct slice token, unsigned n,
    const char *message);
void mcp_write_cancelled(struct buf *b, struct slice id, const char *reason);
/* The result with one more text block that says what the approver edited;
 * appended to out. -1: no result with content to add it to. */
int mcp_add_note(struct buf *out, const struct json_doc *d, const char *note)
    MUST_USE;

#endif
