/*
 * stdio - the shim between an agent and a local MCP server: lines of the one
 * go to the gateway and come back as requests to the other, and the same the
 * other way round (see gateway/flow/stdio.c for what is said on the socket). It
 * decides nothing: a line that the gateway did not send goes nowhere.
 *
 *   agent --stdin--> ask ----> gateway ----> lane --stdin--> server
 *   agent <-stdout-- ask <---- gateway <---- lane <-stdout-- server
 *
 * An ask is a connection on which we are the client, a lane one on which the
 * gateway is. One answer is under way on each.
 */
#ifndef STDIO_H
#define STDIO_H

#include <sys/stat.h>

#include "base.h"
#include "buf.h"
#include "http1.h"
#include "json.h"
#include "lines.h"
#include "list.h"
#include "loop.h"
#include "mcp.h"
#include "sse.h"

#define SHIM_OUT_MAX (64u << 20)	/* bytes that a reader does not take */
#define SHIM_EARLY_MAX (256u << 10)

enum shim_gate {
	GATE_DOWN,	/* gate_error says why; the next line asks again */
	GATE_ASKING,	/* the server was shown, lines wait */
	GATE_UP
};

enum ask_what { ASK_MESSAGE, ASK_LISTEN, ASK_NOTE, ASK_LANE };

enum wire_state {
	WIRE_IDLE,	/* ask: may be used; lane: the gateway's turn */
	WIRE_ANSWER,	/* ask: answer awaited; lane: the server's awaited */
	WIRE_LISTEN	/* lane: messages of the server's own go here */
};

struct wire {
	struct list link;
	struct shim *s;
	int fd;
	struct loop_fd *watch;
	struct buf in, out, body;
	struct http1_head head;
	struct http1_body framing;
	struct sse *sse;
	bool lane, have_head, streaming, closed;
	enum wire_state state;
	enum ask_what what;
	char *id;		/* raw JSON of the message under way, or NULL */
	char *token;		/* its progressToken, or NULL */
	bool answered;
	uint64_t idle_since_ms;
};

struct words {
	char **v;		/* NULL-terminated */
	size_t n;
};

/* What the gateway says the server is run with. */
struct terms {
	char *directory;
	struct words read, allow, env;
	bool network, known;
	size_t body;
};

struct server {
	pid_t pid;		/* 0: not running */
	int pidfd, in_fd, out_fd, err_fd;
	struct loop_fd *exit_watch, *in_watch, *out_watch, *err_watch;
	struct buf in, held;	/* held: until it was initialised again */
	struct lines lines;
	struct loop_timer *again, *stop, *quiet;
	uint64_t began_ms, backoff_ms;
	size_t err_left, err_dropped;
	unsigned starts, stops;
	char *hello, *hello_id, *ready;	/* initialize, initialized as sent */
	bool replaying;
	size_t noise;
};

struct shim {
	struct loop *loop;
	const char *name;
	char **command;
	char digest[7 + 64 + 1];
	int exe;
	struct stat exe_stat;
	char *exe_path;
	bool script;
	char *token;
	char socket[108], link[33];
	enum shim_gate gate;
	bool asked, refused;	/* since the last line; for good */
	char gate_error[1024];
	struct terms terms;
	struct list wires;
	struct wire *barrier;	/* what follows it waits for its answer */
	struct loop_timer *listen_again;
	uint64_t listen_ms;
	bool initialized, listening;
	/* the agent */
	struct buf in, out;
	struct lines lines;
	struct loop_fd *in_watch, *out_watch, *signal_watch;
	bool in_end, ending, going_on;
	struct loop_timer *end;
	struct buf early;	/* the server's own messages, till one listens */
	struct json_doc doc;	/* of what is looked at just now */
	struct server server;
};

/* -- stdio.c: the agent -- */
void shim_to_agent(struct shim *s, struct slice json);
/* A JSON-RPC error of our own. id: raw JSON. */
void shim_error(struct shim *s, const char *id, const char *text);
/* The same with a word of reasons.def and the event's id, or NULL. */
void shim_refused(struct shim *s, const char *id, const char *text,
    const char *reason, const char *event);
/* Goes on with the agent's lines, if nothing is in their way. */
void shim_go_on(struct shim *s);
void shim_gate_down(struct shim *s, const char *why);
/* No call is under way any more, when the agent has ended. */
void shim_maybe_end(struct shim *s);
/* The exit code's reason is said, the loop ends. */
void shim_over(struct shim *s);

/* -- stdio_wire.c: the gateway -- */
/* json is a whole message. NULL: the gateway could not be reached. */
struct wire *wire_ask(struct shim *s, enum ask_what what, struct slice json);
void wire_note(struct shim *s, const char *phase, const char *detail);
/* Offers as many lanes as there are calls under way. */
void wire_offer_lanes(struct shim *s);
/* Asks the gateway (again) whether the server may run. */
void wire_show_server(struct shim *s);
void wire_close(struct wire *w);
size_t wire_calls(const struct shim *s);
/* The gateway is told that what the server had under way has ended. */
void wire_close_lanes(struct shim *s);
/* A message of the server. False: nobody waits for it. */
bool wire_from_server(struct shim *s, struct slice json,
    const struct mcp_message *m);

/* -- stdio_server.c -- */
void server_init(struct shim *s);
void server_free(struct shim *s);
void server_start(struct shim *s);
/* A message that passed the gate. -1: it is not running. */
int server_send(struct shim *s, struct slice json,
    const struct mcp_message *m);
/* Ends it: its input's end, SIGTERM, SIGKILL; then shim_over(). */
void server_stop(struct shim *s);

/* Line ends, which JSON allows between its tokens, would end the message. */
void shim_add_line(struct buf *b, struct slice json);

#endif
