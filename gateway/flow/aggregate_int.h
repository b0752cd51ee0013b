/*
 * aggregate_int - what the files of the mount of all connectors share.
 *
 *   aggregate.c    requests: routed to a connector, or answered here
 *   agg_session.c  an agent's session and those it has with the servers
 *   agg_list.c     the list of all tools, as asked of the connectors
 *   agg_search.c   deferred tools: tool_search
 */
#ifndef AGGREGATE_INT_H
#define AGGREGATE_INT_H

#include "internal.h"

#define AGG_SESSIONS 2000	/* of one proxy; the least recently used goes */
#define AGG_FOUND 1000		/* deferred tools that were found, of one */
#define AGG_NAMES 10000		/* of one session, that cannot be read back */
/* Asked of the servers: later ones end streams that only a resumption goes on
 * with, which the mount does not have. */
#define AGG_REVISION "2025-06-18"

/* A session with a connector's server, opened when a call needs it. */
struct agg_up {
	struct list link;
	struct agg *agg;
	char *connector, *session, *version;	/* session NULL: it has none */
	char view[16];			/* of another it is another server */
	enum { AGG_CLOSED, AGG_OPENING, AGG_OPEN } state;
	struct list waiting;		/* exchanges, by agg_link */
	struct inner in;
	struct conn *listening;		/* to the server's own stream, or NULL */
	char *authorization;		/* while it is being opened */
	bool greeted;			/* initialize is answered */
	char why[256];
};

/* What an agent's Mcp-Session-Id stands for. The id itself is bound to the
 * principal by an HMAC: one that this proxy does not know (it was restarted,
 * the session was put away) begins with nothing open. */
struct agg {
	struct list link;		/* of flow.aggs */
	struct flow *f;
	unsigned refs;
	bool listed, ended;
	char id[33];
	struct list ups, streams;	/* streams: GET exchanges, by agg_link */
	struct map names;		/* as offered -> char *, as the server says */
	struct map found;		/* deferred tools in the list, as offered */
};

struct agg *agg_new(struct flow *f);
/* Of this id, known or not. *owned* NULL: it has ended. */
struct agg *agg_find(struct flow *f, struct slice id);
void agg_end(struct agg *a);
/* The session with ex->con's server, open or not. */
struct agg_up *agg_up_of(struct exchange *ex);
/* A message of our own to a connector's mount, in the name of ex. NULL: the
 * proxy stops, or it does not fit. */
struct conn *agg_send(struct conn *like, struct agg *a,
    struct slice authorization, const char *connector, const char *verb,
    struct slice body, inner_fn *fn, void *ctx);
/* The agent opened a stream: so are the servers' own, for what they say of
 * their tools (lists_look()); the rest of it goes nowhere. */
void agg_listen(struct exchange *stream);
/* A stream has left: after the last one nobody listens. */
void agg_stream_gone(struct agg *a);
/* notifications/tools/list_changed on the session's streams. */
void agg_tell_changed(struct agg *a);
/* May this session's agent see tools of the view's connector `at`? */
bool agg_offers(struct exchange *ex, size_t at);

struct agg_search;

/* WAIT, then the answer is there: of tools/list, or with s (which is *taken*)
 * of tool_search. */
enum step_result agg_list_begin(struct exchange *ex, struct agg_search *s);
void agg_list_free(struct exchange *ex);

/* Of a call of tool_search; NULL: ex is refused. */
struct agg_search *agg_search_new(struct exchange *ex);
void agg_search_free(struct agg_search *s);	/* NULL-safe */
/* A deferred tool as it is offered: node of d, json renamed. */
void agg_search_add(struct agg_search *s, const struct json_doc *d,
    uint32_t node, const char *name, struct slice json);
/* The answer; what matches is in the session's list from here on. True: that
 * list has changed. */
bool agg_search_answer(struct exchange *ex, struct agg_search *s,
    struct buf *out);
/* tool_search itself, for tools/list. */
struct slice agg_search_tool(void);

#endif
