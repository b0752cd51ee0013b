/*
 * action - what the gate sees of a call: who wants which verb of which
 * connector with which arguments. It knows no HTTP.
 */
#ifndef ACTION_H
#define ACTION_H

#include "arena.h"
#include "base.h"
#include "conf.h"
#include "rng.h"

#define ACTION_DIGEST 32

/* Owned by whoever keeps the session table; borrowed by calls. */
struct principal {
	char *session, *user, *agent, *task, *department;
	enum conf_trust trust;
	int64_t expires_ms;	/* wall clock */
};

enum action_operation {
	ACTION_PROTOCOL,	/* lifecycle of the protocol: no effect */
	ACTION_LIST, ACTION_READ, ACTION_CALL, ACTION_HTTP
};

extern const char *const action_operation_names[];

struct action {
	const struct principal *who;
	const char *connector, *environment, *data_class;
	enum action_operation operation;
	struct slice method;	/* "tools/call", "GET" */
	struct slice tool;	/* tool, prompt, resource or REST operation */
	const char *target;	/* URL as the agent sees it */
	struct slice arguments;	/* JSON bytes; empty: none */
	struct slice responses;	/* JSON: inputResponses beside them, or empty */
	enum conf_class klass;
};

/*
 * The digest an approval is bound to (ARCHITECTURE law 4): SHA-256 over the
 * length-prefixed principal (user, agent, session), connector, environment,
 * method, tool, target and argument bytes after redaction, and the bytes of
 * inputResponses where a call has some. An MCP requestState stays outside: of
 * methods whose arguments are all of params, that member is left out.
 */
void action_digest(const struct action *a, uint8_t out[ACTION_DIGEST]);

#endif
