/*
 * websocket - what the files of websocket.c share; nobody else includes it.
 */
#ifndef FLOW_WEBSOCKET_H
#define FLOW_WEBSOCKET_H

#include "internal.h"
#include "ws.h"

#define WEBSOCKET_MEMBERS 64	/* messages judged, held or not answered */
/* Room for those of the connection itself: see conn_keep_leftover(). */
#define WEBSOCKET_LEFT GRAPHQL_FIELDS

/* A message of the agent, until it is answered. */
struct member {
	struct list link;
	struct websocket *ws;
	struct conn *c;
	struct inner in;
	bool ready;			/* to be sent */
	bool answered;			/* by the server, not by us */
	uint64_t tool_hash, epoch;	/* for struct leftover; 0: no tool */
};

struct websocket {
	struct exchange *ex;
	struct ws_reader agent, server;
	char key[WS_KEY_LEN];		/* ours, to the server */
	struct slice protocols;		/* what the agent offers, or none */
	bool open;			/* 101 went to the agent */
	bool agent_closed, server_closed;
	bool broken;			/* the agent's buffer overflowed */
	unsigned code;			/* of the first Close */
	uint64_t from_agent, from_server, binary, unasked;	/* messages */
	uint64_t ping_ms[2];
	struct list members;
	unsigned n;
	struct member *gating;		/* none after it is begun */
	enum ws_event stash;		/* what came next; WS_MORE: nothing */
	struct slice stash_data;
	struct member *sending;		/* its bytes are in ex->uout */
	struct member *waits;		/* its answer waits for the detector */
	enum reason deny;		/* a message was refused: the end */
	struct uuid deny_event;
	char *deny_detail;
};

static inline bool
websocket_mcp(const struct websocket *w)
{
	return w->ex->con->kind == CONNECTOR_MCP;
}

/* websocket.c */
/* All that can go on does, in the next round. */
void websocket_kick(struct websocket *w);
bool websocket_agent_full(const struct websocket *w);
/* Nothing more of the server can be looked at. */
bool websocket_down_blocked(const struct websocket *w);
/* A frame to the agent. */
void websocket_say(struct websocket *w, enum ws_op op, struct slice data);
/* Ends it, with a Close that says so: ex may be over afterwards. */
void websocket_refuse(struct websocket *w, enum reason r, const char *why);
void websocket_refuse_frames(struct websocket *w,
    const struct ws_reader *from);
/* Both have said Close, or nobody will any more. */
void websocket_end_well(struct websocket *w);
void websocket_wait_for_close(struct websocket *w);

/* websocket_message.c */
struct member *websocket_member_of(const struct exchange *p);
struct member *websocket_begin_message(struct websocket *w,
    struct slice text);
void websocket_forget(struct websocket *w, struct member *m);
/* The next message that may go gets its place in uout; it has left. */
void websocket_send_next(struct websocket *w);
void websocket_sent(struct websocket *w);
/* The server's answer, as the agent may have it. */
void websocket_finish_answer(struct member *m, struct slice out);

#endif
