/*
 * internal - what the files of gateway/flow share; nobody else includes it.
 */
#ifndef FLOW_INTERNAL_H
#define FLOW_INTERNAL_H

#include "action.h"
#include "arena.h"
#include "chan.h"
#include "clienthello.h"
#include "coding.h"
#include "connector.h"
#include "event.h"
#include "flow.h"
#include "gateask.h"
#include "graphql.h"
#include "http1.h"
#include "inspect.h"
#include "json.h"
#include "killpage.h"
#include "list.h"
#include "map.h"
#include "mcp.h"
#include "mirror.h"
#include "media.h"
#include "pack.h"
#include "params.h"
#include "policy.h"
#include "redact.h"
#include "sse.h"
#include "stream.h"
#include "toolcache.h"
#include "upstream.h"

#define FLOW_IN_MAX (128u << 10)	/* unread bytes of an agent */
#define FLOW_OUT_HIGH (256u << 10)	/* above it the source is paused */
#define FLOW_OUT_LOW (64u << 10)
#define FLOW_OUT_MAX (8u << 20)
#define FLOW_READ 16384
#define FLOW_LEAVES_MAX 10000
#define FLOW_TOKEN_MAX 256

/* ---- what a snapshot gives; shared by the exchanges that began under it -- */

struct view {
	unsigned refs;
	char name[16];
	struct conf *conf;
	struct connector_set *connectors;
	struct tls_ctx **client_ctx;	/* one a connector, NULL: plain */
	struct tls_ctx **ws_ctx;	/* the same for WebSocket: no HTTP/2 */
	uint64_t *kill_hash;		/* of "connector/NAME" */
	struct tls_ctx *default_ctx[2];	/* without, with HTTP/2 */
	struct redact *redact;
	struct inspect *inspect;
	/* The last URL in which the redactor found nothing. */
	struct clean_url {
		const struct connector *con;
		char *target;
	} clean;
};

struct view *view_load(const struct flow *f, const struct snap *s,
    struct err *err);
struct view *view_ref(struct view *v);
void view_unref(struct view *v);

/* ---- tables kept up to date by the broker -------------------------------- */

struct session {
	struct principal who;
	unsigned refs;
	unsigned gates;			/* see gateapi.c */
	bool revoked;
	uint64_t kill_user, kill_agent, kill_session;
};

struct tool_state {
	enum conf_class klass;
	bool enabled, classified;
	enum policy_approval approval;
};

/* ---- memory of finished exchanges, for the next ones ---------------------- */

#define SPARE_MAX 64
#define SPARE_EVENT_MAX 65536	/* bytes kept of the place for an event */

struct spares {
	struct arena *arenas[SPARE_MAX];
	struct http1_head *heads[SPARE_MAX];
	struct json_doc docs[SPARE_MAX];
	unsigned narenas, nheads, ndocs;
	struct buf event;
	char read[FLOW_READ];		/* what an upstream's stream gave */
	unsigned settled, seconds;	/* see spare_second() */
};

struct flow;
struct exchange;

struct arena *spare_arena(struct flow *f);
void spare_arena_back(struct flow *f, struct arena *a);
struct http1_head *spare_head(struct flow *f);	/* begun */
void spare_head_back(struct flow *f, struct http1_head *h);
void spare_doc(struct flow *f, struct json_doc *d);
void spare_doc_back(struct flow *f, struct json_doc *d);
/* An empty buffer for an event of at most max bytes, until the next call. */
struct buf *spare_event(struct flow *f, size_t max);
/* A long stream begins: gives back what it does not need. Once a second, what
 * many of them have left goes back to the system. */
void spare_settle(struct exchange *ex);
void spare_second(struct flow *f);

/* ---- asking another role: answers come by number ------------------------- */

#define SVC_ANSWER_S 10		/* a role that takes longer does not answer */

typedef void ask_fn(void *ctx, enum msg_type type, struct unpack *u);

struct ask {
	uint64_t q;			/* 0: not in use */
	struct chan *chan;
	ask_fn *fn;
	void *ctx;
	uint32_t next_free;
	unsigned seconds;		/* it has waited */
};

/* The low half of a number is the slot, the high half tells its uses apart. */
struct asks {
	struct ask *v;
	uint32_t n, first_free;		/* n: none is free */
	uint32_t uses;
};

/* What a kill or the end of a session stopped and what is not put away yet:
 * see cut.c. An exchange or a connection is in one of these lists instead of
 * flow.exchanges or flow.conns. */
struct cuts {
	struct list telling, closing, recording;	/* exchanges */
	struct list conns;		/* of no exchange: to be aborted */
	struct loop_timer *timer;
	uint32_t n, acked;		/* cut by kills; of them, reported */
	uint64_t waits_for, stored;	/* epochs */
	uint64_t wait_until_ms;
	bool queued;			/* a slice */
};

struct flow {
	struct loop *loop;
	unsigned index;
	struct view *view;
	struct killpage *kill;
	int eventfd;
	struct cuts cuts;
	struct emit *emit;
	struct chan *keeper, *broker, *detector;
	unsigned asked;			/* classes that ask the detector */
	bool synced;			/* the broker told all it knows */
	bool clock_unsound;		/* so the recorder says */
	struct loop_timer *second;	/* see deadline.c */
	struct asks asks;
	struct spares spares;
	struct tls_ctx *server_ctx;
	struct tls_key *leaf_key;
	uint8_t mac_key[32];
	struct buf root;		/* DER of what agents are to trust */
	struct dns *dns;
	struct upstream_pool *pool;
	struct map sessions;		/* token hash -> struct session */
	struct map tools;		/* connector NUL tool -> tool_state */
	struct map states;		/* connector -> (void *)(state + 1) */
	struct map kills;		/* target -> reason text */
	struct map leaves;		/* host -> struct leaf_entry */
	struct map away;		/* see away.c */
	struct map held;		/* call, 16 bytes -> exchange in HOLD */
	struct map seen_tools;		/* connector NUL tool NUL digest */
	struct map gates;		/* call -> struct gate */
	size_t ngates;			/* those without a call yet too */
	struct map trusting;		/* see trust.c */
	struct toolcache *toolcache;	/* see lists.c */
	struct list aggs;		/* sessions of /mcp, see agg_session.c */
	struct map agg_by_id;
	uint64_t list_drops;		/* how often something left it */
	struct list conns, exchanges;
	struct list listeners;
	size_t nconns;
	bool stopping, full;
};

struct listener {
	struct list link;
	struct flow *f;
	enum conf_listener_kind kind;
	int fd;
	struct loop_fd *watch;
	struct addr_cidr *from;		/* balancers that are believed */
	size_t nfrom;
};

/* ---- a connection from an agent ------------------------------------------ */

enum conn_state { CONN_BALANCER, CONN_TARGET, CONN_RESOLVE, CONN_HEAD,
	CONN_SNIFF, CONN_MINT, CONN_TLS, CONN_EXCHANGE, CONN_SPLICE, CONN_MUX,
	CONN_CLOSING };

/* Of whom the bytes in a connection's buffer are, once their exchange is
 * over: connector, session, agent, user, tool. */
struct leftover {
	uint64_t hash[5 + GRAPHQL_FIELDS], epoch;
	unsigned n;			/* 0: nobody's, or all has left */
};

struct conn;

/* What an inner connection's exchange answers: bytes of HTTP; c is gone after
 * end. */
typedef void inner_fn(void *ctx, struct conn *c, struct slice data, bool end);

struct conn {
	struct list link;
	struct flow *f;
	inner_fn *inner;		/* NULL: a connection from an agent */
	void *inner_ctx;
	enum conf_listener_kind kind;
	enum conn_state state;
	struct stream *s;
	struct loop_fd *watch;
	struct loop_timer *timer;
	struct buf in, out;
	char source[ADDR_TEXT_MAX];
	bool tunnel, tls, has_token, in_full, want_write_for_read, eof, closed;
	struct http1_head *head;		/* of the request being read */
	struct http1_authority authority;	/* of the CONNECT */
	uint8_t token_hash[32];
	struct addr destination;	/* transparent: whom it was for */
	struct dns_query *dns;		/* in CONN_RESOLVE */
	struct exchange *ex;
	struct splice *splice;
	uint64_t bytes_in, bytes_out;
	uint64_t out_seen, all_seen;	/* see deadline.c */
	unsigned stuck_s, quiet_s;
	uint64_t ex_began;		/* bytes_out when ex began */
	bool partial;			/* the last write left something */
	bool cut;			/* in flow.cuts.conns */
	bool trusted;			/* a balancer: who it names is who it is */
	bool self;			/* a tunnel to CONNECTOR_SELF_HOST */
	struct trust *trust;		/* until it is seen whether it trusts */
	struct leftover left;
	struct mux *mux;		/* CONN_MUX: see mux.c */
	struct http2_stream *h2_stream;	/* this is one; then no watch */
	bool gone;			/* ... and it is closed */
	bool message;			/* inner: a message on a WebSocket */
	struct agg *agg;		/* inner: of this session of /mcp */
};

void conn_accept(struct listener *l);
/* A POST that the gateway makes in the name of an agent's exchange, with that
 * one's way in, head and another body; it goes through all steps.
 * NULL: it does not fit. fn may be called from the next round on. */
struct conn *conn_inner(struct conn *c, const struct exchange *like,
    struct slice body, inner_fn *fn, void *ctx);
/* The same with another Content-Type than JSON's. */
struct conn *conn_inner_of(struct conn *c, const struct exchange *like,
    const char *type, struct slice body, inner_fn *fn, void *ctx);
/* An inner_fn that listens to nothing. */
void conn_to_nobody(void *ctx, struct conn *c, struct slice data, bool end);
/* Nobody waits for its answer any more: its agent has gone. */
void conn_inner_drop(struct conn *c);
/* The same with a whole message (head and body) on a connection like c. */
struct conn *conn_inner_raw(struct conn *c, struct slice message,
    inner_fn *fn, void *ctx);

/* ---- what an inner connection answers: inner.c ------------------------------- */

/* One JSON-RPC message, or, empty, a sign of life. */
typedef void inner_message_fn(void *ctx, struct slice json);

struct inner {
	struct flow *f;
	inner_message_fn *fn;
	void *ctx;
	struct http1_head *head;
	struct http1_body body;
	struct buf in, text, session;	/* session: Mcp-Session-Id */
	struct sse sse;
	bool head_done, events;
	unsigned status;		/* 0: no answer */
};

/* max: bytes of a JSON answer. */
void inner_init(struct inner *r, struct flow *f, size_t max,
    inner_message_fn *fn, void *ctx);
void inner_free(struct inner *r);
void inner_take(struct inner *r, struct slice data);
/* The connection is at its end: a JSON answer is whole. */
void inner_end(struct inner *r);
/* At limits.streams connections a proxy stops accepting until one ends. */
void conn_accept_again(struct flow *f, bool again);
/* Something was put into c->out, or room was made in c->in. */
void conn_kick(struct conn *c);
/* After what is in c->out has left: close. */
void conn_finish(struct conn *c);
void conn_abort(struct conn *c);
/* The peer sees the end now, TLS's own too when orderly; nothing more is heard
 * of it, and the connection itself is still to be closed. */
void conn_sever(struct conn *c, bool orderly);
/* Writes what is in c->out, as far as the kill page lets it. c may be gone. */
void conn_flush(void *c);
/* The exchange is over and what came from upstream is still in c->out. */
void conn_keep_leftover(struct conn *c, const struct exchange *ex);
/* Cuts it when a kill stands against those. */
bool conn_leftover_cut(struct conn *c);
/* The connection becomes something else's: its stream and watch are *given*,
 * the connection and its exchange are no more. */
struct stream *conn_hand_over(struct conn *c, struct loop_fd **watch_r);
/* The exchange is over: read the next request, or close. */
void conn_next(struct conn *c, bool keep);
void conn_begin_sniff(struct conn *c);
/* A stream of c brings a request; its stream is still to be set. NULL: there
 * are too many. */
struct conn *conn_new_stream(struct conn *c, struct http2_stream *st);
/* Its stream can be read, written, or is closed: acts in the next round. */
void conn_stream_event(struct conn *v, bool closed);
void conn_leaf_ready(struct conn *c, struct tls_leaf *leaf, const char *why);

/* ---- does a client trust our CA: trust.c ------------------------------------ */

/* A tunnel begins. agent: the User-Agent that asked for it. */
void trust_begin(struct conn *c, struct slice agent);
void trust_hello(struct conn *c, const struct clienthello *ch);
/* The handshake ended with a result that is not 1. True: it is recorded as
 * the client's doing. */
bool trust_failed(struct conn *c, int result);
/* It succeeded. */
void trust_shaken(struct conn *c);
/* Bytes came through it: the client has accepted our certificate. */
void trust_used(struct conn *c);
/* The connection ends, or its tunnel has no TLS. */
void trust_end(struct conn *c);

/* ---- HTTP/2 from an agent: mux.c -------------------------------------------- */

void mux_begin(struct conn *c);
void mux_free(struct mux *m);		/* NULL-safe */
/* Bytes are in c->in: all are taken. */
void mux_data(struct conn *c);
/* Puts frames into c->out. -1: the connection cannot go on. */
int mux_fill(struct conn *c);
/* Idle for too long, or a head did not come in time. */
void mux_timeout(struct conn *c);
/* After GOAWAY: nothing is left to be said. */
bool mux_done(const struct conn *c);
/* Both messages of this stream are over. */
bool mux_stream_complete(const struct conn *v);

/* What was redacted, by rule. A report has room for many rules; an exchange,
 * of which thousands may be open, for those that found something. */
struct findings {
	struct finding {
		const char *id;		/* borrowed from the view */
		uint32_t count;
	} *items;
	uint32_t n;
};

/* ---- one HTTP message pair ------------------------------------------------ */

enum step_result { STEP_REFUSE, STEP_WAIT, STEP_DONE };

enum step {
#define STEP(sym, fn, doc) STEP_##sym,
#include "steps.def"
#undef STEP
	STEP_COUNT
};

enum resp_mode { RESP_HEAD, RESP_WHOLE, RESP_SSE, RESP_STREAM, RESP_WS,
	RESP_END };

/* What a shim asks on its socket: a call, as on a mount; to become a lane to
 * its server; to note what its server does. */
enum stdio_ask { STDIO_CALL, STDIO_LANE, STDIO_NOTE };

struct exchange {
	struct list link;
	struct flow *f;
	struct conn *c;
	struct view *view;
	struct arena *a;
	enum step step;
	bool running, over, waiting_body;
	bool stopped, told;		/* cut; and the agent knows */

	/* the request */
	struct http1_head *req;
	struct http1_body req_body;
	bool mount, bearer;		/* bearer: the token is in Authorization */
	bool keep_alive, head_only;
	bool stdio;			/* of a shim: see stdio.c */
	enum stdio_ask stdio_ask;
	char *lane_key;			/* waits for a lane of this key */
	struct slice path;	/* of the request, see http1_path_plain() */
	struct slice up_path, up_query;
	struct connector *con;
	size_t con_at;			/* its index in the view */
	struct session *session;
	bool gated;			/* the body is read whole */
	enum media_kind media;
	bool body_coded;		/* the body came encoded, went decoded */
	struct buf body;
	struct json_doc doc;

	/* the call */
	struct uuid call, decision;
	bool is_call;			/* decision and outcome are recorded */
	struct mcp_message msg;
	struct action action;
	char *target;			/* as the redactor left it */
	struct graphql *gql;		/* its fields: "query.NAME"; or NULL */
	const char *url_rule;		/* what it found in the URL or URI, or NULL */
	bool uri_hit;			/* in the URI, of MCP */
	struct policy_verdict verdict;
	enum policy_advice advice;
	char *advice_rule, *advice_title;
	struct findings redact_out, redact_back;
	struct buf new_body;		/* rewritten request body */
	struct slice common;		/* what its events have in common */
	struct slice arguments;		/* JSON as recorded and as sent */
	struct slice responses;		/* so is inputResponses beside them */
	bool modern;			/* of MCP 2026-07-28 */
	struct mirror *mirror;		/* its Mcp-Param-* fields, or NULL */
	struct slice endpoint;		/* path and query; see oldsse.c */
	struct slice agent_endpoint;	/* the same as the agent got it */
	bool sse_post, late;		/* posted there; answered already */
	struct list parked;		/* of a stream: posted, not answered */
	unsigned nparked;
	struct batch *batch;		/* several messages: no call itself */
	struct websocket *ws;		/* it asks for a WebSocket, or is one */
	bool message;			/* it is a message on one */
	struct uuid in_call;		/* ... whose call this is */
	struct gate *gate;		/* the call, or a request that waits
					 * for it; NULL: see gateapi.c */
	enum gateask_verb gate_verb;	/* of a request to the gate API */
	struct uuid gate_call;		/* that it names */
	const char *device_class;	/* of a built-in tool's call, or NULL */
	const char *raised_from;	/* its tool's own class, or NULL */
	struct agg *agg;		/* of a session of /mcp; see aggregate.c */
	struct list agg_link;
	struct agg_list *agg_list;
	bool whole;			/* of /mcp itself, con is no upstream's */
	bool agg_retried;
	unsigned agg_status;		/* why it is of no session */
	struct listing *listing;	/* its answer is to be remembered */
	bool local, cached;		/* answered here; by what was kept */
	uint64_t cached_ms;		/* how old that is */
	const char *flags[16];
	size_t nflags;
	uint64_t start_ns;

	/* hold */
	char *approval_id, *approval_by, *approval_reason;
	bool edited, held, consumed, hold_stream, released, reclassify;
	bool in_held;			/* of the flow */
	uint8_t digest[ACTION_DIGEST];
	struct loop_timer *keepalive;
	int64_t hold_expires_ms;
	unsigned progress;

	/* upstream */
	struct slice cred_name, cred_value;	/* wiped after use */
	struct slice via_value;		/* Proxy-Authorization */
	struct literals *literals;	/* a credential an upstream may echo */
	struct upstream_request *ureq;
	struct upstream *u;
	struct buf uout, uin;
	bool request_sent, request_head_sent, u_eof, u_truncated, u_paused;
	bool u_write_failed;
	bool answered, resent;		/* a byte came; see resend.c */
	uint64_t moved, moved_seen;	/* bytes, both ways; see deadline.c */
	unsigned quiet_s, head_s;
	uint64_t deadline_q;		/* asks in flight, 0: none */
	struct loop_timer *timer;

	/* the response */
	enum resp_mode mode;
	struct http1_head *resp;
	struct http1_body resp_body;
	unsigned status;
	enum media_kind resp_media;
	struct coding *decoder;		/* of an encoded body that is gated */
	struct buf encoded;		/* what it was given and did not take */
	bool decoded;			/* the agent gets it as identity */
	bool chunked_out, head_out, context_wait, delivered;
	struct asked *asked;		/* not committed yet, oldest first */
	struct buf rbody;
	struct sse *sse;
	struct buf held_out, sse_rest;	/* wait for the detector's ack */
	struct buf result;		/* what was delivered, for the ledger */
	bool result_truncated;
	bool text_json, result_json;	/* the last text, all: one JSON text */
	uint64_t bytes_in, bytes_out;

	/* why it was refused, if it was */
	enum reason reason;
	char *detail;
	const char *refusal_word;	/* http1 error word when ambiguous */
	unsigned refusal_status, retry_s;	/* 0: the reason's own */
	int refusal_code;		/* of the MCP error; 0: our own */
	const char *end_status;		/* of the outcome */
	bool recorded, outcome_done;

	/* the kill switch */
	uint64_t kill_epoch;		/* nothing stood against it then */
	char *cut_target, *source;	/* source: once the agent is gone */
};

/* Takes c->head and the bytes it was read from (used) off c->in. */
struct exchange *exchange_new(struct conn *c, size_t used);
void exchange_free(struct exchange *ex);
void exchange_run(struct exchange *ex);
/* Resumes at the step after the one that waited. */
void exchange_resume(struct exchange *ex);
/* More bytes of the agent, or its end. */
void exchange_client_data(struct exchange *ex);
void exchange_client_gone(struct exchange *ex);
/* The agent's buffer has drained below the low mark. */
void exchange_drained(struct exchange *ex);
/* Is it killed? After CLASSIFY this is one load while the page stays as it
 * is. */
bool exchange_killed(struct exchange *ex, const char **target_r);
/* Sets why and answers STEP_REFUSE. */
enum step_result exchange_refuse(struct exchange *ex, enum reason r,
    const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The same for a request that cannot be read: 400. */
enum step_result exchange_unparseable(struct exchange *ex, const char *why);
/* The configured answer of a cannot-decide: true when the call may go on;
 * emits the exception event. */
bool exchange_exception(struct exchange *ex, enum reason r,
    const char *detail);
/* For cut.c: the parts of an exchange's end. */
void exchange_record_denial(struct exchange *ex);
/* Queues the refusal that names the event; false: too late for an answer. */
bool exchange_say_no(struct exchange *ex, struct uuid event);
void exchange_record_end(struct exchange *ex, const char *status);
/* Tells the agent, in its own protocol, and ends the exchange. */
void exchange_answer_refusal(struct exchange *ex);
void exchange_end(struct exchange *ex, const char *status);

#define STEP(sym, fn, doc) enum step_result fn(struct exchange *ex);
#include "steps.def"
#undef STEP

/* CLASSIFY of a REST connector's call. */
enum step_result rest_classify(struct exchange *ex);
/* Sends (again, to a restarted broker) what is held. 0 or -1. */
int call_send_hold(struct exchange *ex);
/* By Accept and the version of HTTP. */
bool call_takes_stream(const struct exchange *ex);
/* The head of an event stream to the agent, when it takes one; false: it does
 * not, and nothing was written. */
bool call_begin_stream(struct exchange *ex);

/* ---- MCP's revisions: revision.c ----------------------------------------------- */

/* Which one is this request of, and do its header fields say the same? */
enum step_result revision_check(struct exchange *ex);
/* The fields that repeat arguments, as the arguments that are sent have them. */
int revision_write_params(struct exchange *ex, struct buf *out);
/* Mcp-Session-Id and Last-Event-ID as the upstream knows them; p NULL: none.
 * False: another principal's. */
bool revision_open_ids(struct exchange *ex, struct slice *session_r,
    struct slice *event_r);
/* A refusal that a client of 2026-07-28 must not take for an older server's
 * although its request could not be read. */
bool revision_modern_refusal(const struct exchange *ex, unsigned status);

/* ---- batches of 2025-03-26: batch.c ---------------------------------------------- */

/* Takes ex->doc apart; answers when all of it is answered. */
enum step_result batch_begin(struct exchange *ex);
/* Its messages are cancelled where they are. Nothing without a batch. */
void batch_free(struct exchange *ex);

/* ---- built-in tools: gateapi.c --------------------------------------------------- */

/* A request to the gate API itself: what must be right of its head. */
bool gateapi_asks(const struct exchange *ex);
enum step_result gateapi_receive(struct exchange *ex);
/* read: how far the body is; answers once it is there. */
enum step_result gateapi_take(struct exchange *ex, enum step_result read);
/* An inner request begins: it may be a call of a built-in tool. */
void gateapi_adopt(struct exchange *ex);
/* Of such a call, which has ex->gate until nobody waits for it any more. */
enum step_result gateapi_find(struct exchange *ex);
enum step_result gateapi_classify(struct exchange *ex);
void gateapi_raise(struct exchange *ex);
void gateapi_held(struct exchange *ex);
enum step_result gateapi_forward(struct exchange *ex);
/* False: it is a request that waits, and answered as any other. */
bool gateapi_say_no(struct exchange *ex, unsigned status, const char *event,
    const char *text);
/* The detector has the context of its result. */
void gateapi_acked(struct exchange *ex);
/* It runs where nobody can cut it, so a kill is noted and its report awaited. */
bool gateapi_keeps(struct exchange *ex, const char *target, enum reason r);
/* Was it handed out? Then it may have run. */
bool gateapi_may_run(const struct exchange *ex);
/* The exchange goes away. */
void gateapi_end(struct exchange *ex);

/* ---- HTTP+SSE of 2024-11-05: oldsse.c --------------------------------------------- */

/* A stream's `endpoint` event: the address as the agent gets it. -1: refused. */
int oldsse_endpoint(struct exchange *ex, struct slice uri, struct buf *out);
/* A request to such an address: sets up_path and up_query, or refuses. */
bool oldsse_mounted(struct slice rest);
enum step_result oldsse_open_mount(struct exchange *ex, struct slice rest);
bool oldsse_marked(struct slice query);
/* Of a marked request through the proxy: also sets con. */
enum step_result oldsse_find(struct exchange *ex, const char *host,
    uint16_t port);
/* Refuses a POST that names such a server's session without having got it. */
enum step_result oldsse_guess(struct exchange *ex);
/* The POST is answered, the call is not: true when a stream will. */
bool oldsse_park(struct exchange *ex);
/* A message on the stream, as it will be sent. 1: send what is in instead. */
int oldsse_answer(struct exchange *g, struct slice json, struct buf *instead);
/* Says no on the stream. False: there is none. */
bool oldsse_deny(struct exchange *ex, struct slice json);
/* The stream goes away. */
void oldsse_end(struct exchange *g);

/* ---- WebSocket: websocket.c -------------------------------------------------------- */

bool websocket_field(struct slice name);	/* Sec-WebSocket-... */
/* RECEIVE of a request to upgrade; con is known. */
enum step_result websocket_receive(struct exchange *ex);
/* The handshake's fields to the upstream. 0 or -1. */
int websocket_write_request(struct exchange *ex, struct buf *out);
/* The upstream's 101. NULL: it is a WebSocket now; else why not. */
const char *websocket_begin(struct exchange *ex);
bool websocket_is_open(const struct exchange *ex);
/* Says no by a Close. */
bool websocket_say_no(struct exchange *ex, const char *event);
void websocket_free(struct exchange *ex);	/* nothing without one */
/* Bytes of the upstream, of the agent; the agent took what it was given. */
void websocket_pump(struct exchange *ex);
void websocket_agent_data(struct exchange *ex);
void websocket_drained(struct exchange *ex);
/* Before bytes go to the upstream: is the message they are of still good? */
bool websocket_may_send(struct exchange *ex);
/* The detector has seen what waits in held_out, of either kind. */
void websocket_context_acked(struct exchange *ex);
/* To the server, in the agent's stead. 0 or -1. */
int websocket_tell_server(struct exchange *ex, struct slice json) MUST_USE;
/* What its outcome tells of it. */
void websocket_record(const struct exchange *ex, struct jsonw *w);
/* The steps of a message: RECEIVE (after con is known), CLASSIFY (not of MCP),
 * HOLD (it waits for a person), FORWARD, RESPONSE. */
enum step_result websocket_message_receive(struct exchange *p);
enum step_result websocket_classify(struct exchange *p);
void websocket_held(struct exchange *p);
enum step_result websocket_forward(struct exchange *p);
enum step_result websocket_respond(struct exchange *p);
bool websocket_message_say_no(struct exchange *p, const char *text,
    struct uuid event);

/* ---- what servers ask of the agent: asked.c -------------------------------------- */

struct asked;

/* A message of the server: d of what came, text as it will be sent. Records
 * what it asks; ex->context_wait while that is not committed. 0: it may go on;
 * 1: not this message, and the server is told; -1: refused. */
int asked_look(struct exchange *ex, const struct json_doc *d,
    struct slice text);
/* The exchange goes away: what waits was not delivered. */
void asked_end(struct exchange *ex);

/* ---- cutting: the kill switch, and sessions that end ------------------------- */

void cut_init(struct flow *f);
/* From here on not a byte of it passes; the rest (what the agent is told, the
 * closing, the outcome) follows in slices. ex is over, and still there. */
void exchange_cut(struct exchange *ex, const char *target, enum reason r);
/* The same for a connection that carries no exchange. */
void conn_cut(struct conn *c);
/* The connection goes away before its exchange was put away. */
void cut_detach(struct exchange *ex);
/* The broker has stored the kills up to this epoch. */
void cut_stored(struct flow *f, uint64_t epoch);
/* The eventfd. */
void cut_on_kill(void *ctx, unsigned events);

/* ---- call_response's parts ------------------------------------------------- */

void relay_start(struct exchange *ex);
void relay_pump(struct exchange *ex);
void relay_upstream_event(void *ctx, unsigned events);
void relay_send_request_body(struct exchange *ex);
void relay_context_acked(struct exchange *ex);
/* The upstream was not read for a while. */
void relay_go_on(struct exchange *ex);
/* A result, or a part of one, as it was delivered: for the ledger. */
void relay_keep_result(struct exchange *ex, struct slice s);
/* A complete JSON-RPC message to the agent, as JSON or as an SSE event. */
void relay_send_message(struct exchange *ex, struct slice json);

/* ---- once more: resend.c -------------------------------------------------------- */

/* The upstream ended before it answered. True: the call will be sent again. */
bool resend_try(struct exchange *ex);
/* Sends it again, from CREDENTIAL on, in the next round. */
void resend_soon(struct exchange *ex);
/* FORWARD, when the answer is there already: it goes the way of an upstream's
 * application/json answer of this status; an empty one has no body. */
void relay_local(struct exchange *ex, unsigned status, struct slice json);

/* ---- /mcp, the mount of all connectors: aggregate.c, agg_*.c -------------------- */

struct agg;

void aggregate_init(struct flow *f);
void aggregate_stop(struct flow *f);
struct agg *agg_ref(struct agg *a);
void agg_unref(struct agg *a);		/* NULL-safe */
/* RECEIVE: is it for /mcp? Its connector; and once the body is there, the one
 * that a call is for. */
bool aggregate_here(const struct exchange *ex);
enum step_result aggregate_find(struct exchange *ex);
enum step_result aggregate_take(struct exchange *ex, enum step_result read);
/* CLASSIFY, of what /mcp answers itself. */
enum step_result aggregate_classify(struct exchange *ex);
/* FORWARD: of what /mcp answers itself; of a routed call, the session with its
 * server, and what names it. */
enum step_result aggregate_answer(struct exchange *ex);
enum step_result aggregate_open(struct exchange *ex, struct slice *session_r,
    struct slice *version_r);
/* A routed request got 400 or 404. NULL: it is sent once more; else why it is
 * refused. */
const char *aggregate_lost(struct exchange *ex);
/* Mcp-Session-Id as whoever asked gets it. */
int aggregate_write_session(struct exchange *ex, struct buf *out);
/* A message to ex's server in the same session. */
struct conn *aggregate_inner(const struct exchange *ex, struct slice body,
    inner_fn *fn, void *ctx);
/* Agents are told that the tools changed, in the next round. */
void aggregate_changed(struct flow *f);
/* The exchange goes away. */
void aggregate_leave(struct exchange *ex);

/* ---- remembered tool lists: lists.c ------------------------------------------ */

/* FORWARD of an MCP list: true when it is answered from memory. */
bool lists_serve(struct exchange *ex);
/* An answer that passed, of an exchange with a listing; d: as it came. */
void lists_note(struct exchange *ex, const struct json_doc *d);
/* A message on a stream: does the server say that its tools changed? */
void lists_look(struct exchange *ex, const struct json_doc *d);
/* Forgets what is there of a connector, and what is being asked. */
struct toolcache_sum lists_drop(struct flow *f, const char *connector);
void lists_drop_all(struct flow *f);
void lists_second(struct flow *f);
/* MSG_TOOLS_REFRESH. -1: malformed. */
int lists_on_refresh(struct flow *f, struct unpack *u);
/* To a broker that is new: what is remembered. */
void lists_tell(struct flow *f);

/* ---- content: redaction and inspection -------------------------------------- */

/* Takes the content coding off a body that was read whole. */
enum step_result content_decode_request(struct exchange *ex);
/* Why a coded body cannot be read, and the sentence's detail. */
enum reason content_coding_reason(enum coding_error e);
/* Redacts ex->target, which every event of the call repeats; what is found
 * is in ex->url_rule, and REDACT_OUT refuses: a URL cannot be changed. */
void content_redact_target(struct exchange *ex);
/* Of an MCP message: the resource's URI, like the target. */
void content_redact_uri(struct exchange *ex);
/* A part of the URL as it may be shown. */
struct slice content_clean(struct exchange *ex, struct slice part);
/* A text beside the arguments, as it may be shown: itself, or in the arena. */
struct slice content_redact_text(struct exchange *ex, struct slice text);
/* Redacts the request: fills new_body when something changed. */
enum step_result content_redact_request(struct exchange *ex);
/* One JSON text of the response. *out_r is text itself or lies in scratch.
 * -1: the redactor's limit or not parseable, and the answer is to refuse; 1:
 * this message is not for the agent. */
int content_result(struct exchange *ex, struct slice text,
    struct buf *scratch, struct slice *out_r);
int content_text(struct exchange *ex, struct slice text, struct buf *scratch,
    struct slice *out_r);

/* ---- GraphQL: gql.c ---------------------------------------------------------- */

typedef void resolve_fn(struct exchange *ex, struct slice name,
    struct tool_state *t);

bool gql_is_here(const struct exchange *ex);	/* the path, of this connector */
/* The tool by the document; the arguments are there. */
enum step_result gql_classify(struct exchange *ex);
/* Has its file a class for a field? */
bool gql_is_listed(const struct exchange *ex, struct slice field);
/* The strictest of what is known of each field, never below the type's floor.
 * named: what is known of one. */
void gql_resolve(struct exchange *ex, resolve_fn *named,
    struct tool_state *t);
/* Runs new_body what was judged? Redaction must not make it another. */
bool gql_unchanged(struct exchange *ex);

/* ---- events ------------------------------------------------------------------ */

void record_call(struct exchange *ex, struct jsonw *w, struct buf *b,
    struct uuid id, enum event_type type, bool with_arguments);
int record_decision(struct exchange *ex, emit_done_fn *done);
void record_outcome(struct exchange *ex, const char *status);
void record_stdio(const struct exchange *ex, const char *phase,
    struct slice detail);
void record_exception(struct exchange *ex, enum reason r, bool allowed,
    const char *detail);
void record_refused(struct flow *f, const struct conn *c, enum event_type t,
    enum reason r, const char *host, const char *detail, struct uuid *id_r);
int record_spliced(struct flow *f, const struct conn *c, struct uuid id,
    const char *phase, const struct principal *who, uint64_t up,
    uint64_t down, emit_done_fn *done, void *ctx);
void record_card(struct exchange *ex, struct jsonw *w, struct buf *b);

/* ---- services: the other roles ------------------------------------------------ */

void svc_init(struct flow *f);
void svc_listen_recorder(struct flow *f);	/* once f->emit is there */
uint64_t svc_ask(struct flow *f, struct chan *c, enum msg_type type,
    struct slice body, ask_fn *fn, void *ctx);
void svc_forget(struct flow *f, uint64_t q);
/* An answer that begins with its question's number. -1: malformed. */
int svc_answered(struct flow *f, enum msg_type type, struct slice body);
/* The role behind c has gone: its questions are answered by type 0. */
void svc_abandon(struct flow *f, struct chan *c);
/* A second has passed: who was asked too long ago does not answer. */
void svc_second(struct flow *f);
struct session *svc_session(struct flow *f, const uint8_t hash[32]);
void session_unref(struct session *s);
enum policy_state svc_state(struct flow *f, const struct connector *c);
const struct tool_state *svc_tool(struct flow *f, const char *connector,
    struct slice tool);
/* On the kill page, of "tool/CONNECTOR/TOOL". */
uint64_t svc_tool_hash(struct flow *f, const char *connector,
    struct slice tool);
void svc_tool_seen(struct flow *f, const char *connector, struct slice tool,
    const uint8_t digest[32], struct slice description);
/* The agent cancelled a request: a held one is cancelled wherever it waits. */
void svc_cancel(struct exchange *ex);
/* The broker will name the call: until the exchange is freed. */
void svc_hold_begin(struct exchange *ex);
void svc_hold_end(struct exchange *ex);
/* Asks the broker to use up the approval of ex; resumes the step HOLD. */
void svc_consume(struct exchange *ex);
/* NULL: asked for; conn_leaf_ready() follows. */
struct tls_leaf *svc_leaf(struct flow *f, const char *host, struct conn *c);
void svc_leaf_forget(struct flow *f, struct conn *c);
/* Does a kill stand against this? Name of the target, or NULL. */
const char *svc_killed(struct flow *f, const struct view *v, size_t con_at,
    const struct connector *con, const struct session *s,
    struct slice tool);

/* ---- upstreams that went away: away.c ------------------------------------------- */

/* FORWARD could not connect (REASON_UPSTREAM), or could. */
void away_failed(struct exchange *ex, const char *detail);
void away_connected(struct exchange *ex);
/* Refuses what is for an upstream that is away. */
enum step_result away_check(struct exchange *ex);
/* To a broker that is new: all that are away. */
void away_tell(struct flow *f);
void away_stop(struct flow *f);

/* ---- deadlines: deadline.c ----------------------------------------------------- */

void deadline_start(struct flow *f);

/* ---- splicing ------------------------------------------------------------------ */

void splice_begin(struct conn *c, const struct session *s);
void splice_data(struct conn *c);
void splice_free(struct splice *s);
/* Does a kill of the people behind it, or of all, stand against it? */
bool splice_killed(const struct splice *s);

/* ---- stdio servers ------------------------------------------------------------ */

/* The connector of a request on the shims' socket, and what is asked. */
enum step_result stdio_find(struct exchange *ex);
/* A mount was asked for one. */
enum step_result stdio_elsewhere(struct exchange *ex);
/* read: how far the body is. Answers a lane's or a note's request once it is
 * there; else it is read's turn. */
enum step_result stdio_take(struct exchange *ex, enum step_result read);
/* FORWARD to a shim's server. */
enum step_result stdio_forward(struct exchange *ex);
/* After a reload: each shim shows its command and digest again. */
void stdio_reloaded(struct flow *f);

/* ---- balancers in front: the PROXY protocol --------------------------------------- */

/* Who is believed on this listener, by the configuration of the start. */
void balancer_init(struct listener *l, const char *address);
/* A new connection of this listener: must it begin with a header, or not? */
void balancer_accept(const struct listener *l, struct conn *c,
    const struct addr *peer);
/* State CONN_BALANCER with bytes in c->in: true when the state is CONN_HEAD;
 * else it waits for more, or c is gone. */
bool balancer_read(struct conn *c);

/* ---- the proxy on the way to an upstream: via.c in gateway/upstream ----------------- */

/* Asks the keeper for the credential of such a proxy: the question's number,
 * 0: it cannot be asked. The answer is MSG_CRED, as for a connector's. */
uint64_t svc_via_credential(struct flow *f, const struct connector_via *v,
    ask_fn *fn, void *ctx);

/* ---- transparent connections ------------------------------------------------------- */

/* A new one; false: whom it was for cannot be known. */
bool transparent_accept(struct conn *c);
/* State CONN_TARGET with bytes in c->in. c may be gone. */
void transparent_read(struct conn *c);

/* ---- on-ramps: what a client may read without a token ---------------------------- */

void onramp_set_root(struct flow *f, struct slice der);
/* Is the request whose head was read for us? Then it is answered, its head
 * (used bytes) is taken, and the connection goes on by itself. */
bool onramp_take(struct conn *c, size_t used);

/* ---- identity -------------------------------------------------------------------- */

/* The task token in Proxy-Authorization (Basic, Bearer) or, on a mount, in
 * Authorization. False: none or malformed. */
bool identity_token(const struct http1_head *h, bool proxy,
    uint8_t hash_r[32]);
/* Bound to the principal and the connector: what the agent sees, and back. */
enum identity_what {
	IDENTITY_SESSION,	/* Mcp-Session-Id */
	IDENTITY_EVENT,		/* ids of an MCP server's events, Last-Event-ID */
	IDENTITY_ENDPOINT	/* the address that an endpoint event names */
};
void identity_seal(const struct exchange *ex, enum identity_what what,
    struct slice id, struct buf *out);
bool identity_open(const struct exchange *ex, enum identity_what what,
    struct slice sealed, struct slice *id_r);

#endif
