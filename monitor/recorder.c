/*
 * recorder - the role that is the only writer of the ledger.
 *
 * Promise: files of the directory "state", the sockets it was given; no
 * network. It parses events of all roles, trusts none: an event has a form
 * (entry.h), the role of its channel, a size, and an id used once.
 *
 * A round of the loop reads what is there and adds it to the open group; at
 * the end of the round (or when the group is full) the group is committed,
 * then acknowledged, then fed to the consumers. No timer delays a commit;
 * what arrives during a commit waits in the sockets and is the
 * next group. Before it commits it lets whoever is ready on its CPU run once,
 * and takes what they sent into the group.
 *
 * An error of the disk damages the ledger for good: from then on every event
 * is refused, and the gateway's policy `audit-unavailable` decides.
 */
#include "recorder.h"

#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "chan.h"
#include "checkpoint.h"
#include "clock.h"
#include "codec.h"
#include "event.h"
#include "feed.h"
#include "ledger.h"
#include "ledgerdb.h"
#include "log.h"
#include "opencalls.h"
#include "pack.h"

#define CHECKPOINT_ROWS 1000
#define CHECKPOINT_MS 1000
#define SIGN_PATIENCE 10		/* ticks without a signature, then log */
#define ACK_QUEUE_MAX (4u << 20)
#define REBUILD_ROWS 10000		/* looked at for open calls at start */

struct recorder;

struct peer {
	struct list link;
	struct recorder *r;
	enum role role;
	unsigned index;
	struct chan *chan;
	uint64_t last_n;		/* of the last EVENT */
	uint64_t ack_n;			/* committed, not yet acknowledged */
	struct list calls;		/* open calls it decided */
	struct feed_consumer *consumer;
};

struct recorder {
	struct role_env *env;
	char dir[PATH_MAX];
	struct ledger *ledger;
	struct checkpoint_keys keys;	/* n == 0: not known yet */
	struct feed *feed;
	struct opencalls open;
	struct list orphans;		/* open calls from before our start */
	struct list peers;
	struct json_doc doc;
	struct buf body;		/* an event of our own */
	struct {
		struct peer *peer;	/* NULL: gone */
		uint64_t n;
	} group[LEDGER_GROUP_MAX];
	size_t ngroup;
	bool yielded;			/* others ran since the group wanted out */
	struct loop_timer *tick;
	bool ticking, want_sign, signing;
	unsigned unsigned_ticks;
	uint64_t unsigned_rows;		/* since the last signature */
	uint64_t sign_q;
	struct merkle signed_tree;
	struct buf sign_text;
};

static void commit_at_end(void *ctx);
static void commit_group(struct recorder *r);

/* --- answers ------------------------------------------------------------ */

static void peer_gone(struct peer *p);

static void
reap(void *ctx)
{
	peer_gone(ctx);
}

/* A peer that does not read its answers is dropped and sends again. */
static void
drop_later(struct peer *p)
{
	log_error("%s %u does not read its acknowledgements: dropped",
	    role_name(p->role), p->index);
	loop_soon(p->r->env->loop, reap, p);
}

static void
refuse(struct peer *p, uint64_t n, const char *why)
{
	struct buf *b = chan_begin(p->chan, MSG_EVENT_REFUSED);

	if (b != NULL) {
		pack_u64(b, n);
		pack_str(b, why);
	}
	if (b == NULL || chan_end(p->chan) != 0)
		drop_later(p);
}

static void
acknowledge(struct peer *p)
{
	struct buf *b = chan_begin(p->chan, MSG_EVENT_ACK);

	if (b != NULL)
		pack_u64(b, p->ack_n);
	if (b == NULL || chan_end(p->chan) != 0)
		drop_later(p);
	p->ack_n = 0;
}

/* --- the group ---------------------------------------------------------- */

static void
group_failed(struct recorder *r)
{
	char why[600];

	snprintf(why, sizeof(why), "audit-unavailable: %s",
	    ledger_why(r->ledger));
	for (size_t i = 0; i < r->ngroup; i++)
		if (r->group[i].peer != NULL)
			refuse(r->group[i].peer, r->group[i].n, why);
	r->ngroup = 0;
	feed_drop(r->feed);
}

static void
group_add(struct recorder *r, struct peer *p, uint64_t n)
{
	r->group[r->ngroup].peer = p;
	r->group[r->ngroup++].n = n;
	if (r->ngroup == LEDGER_GROUP_MAX)
		commit_group(r);
	else
		loop_at_end(r->env->loop, commit_at_end, r);
}

static void ask_signature(struct recorder *r);

/* In the next round: the acknowledgements leave first. */
static void
maintain(void *ctx)
{
	struct recorder *r = ctx;

	if (r->ledger != NULL && !ledger_in_group(r->ledger) &&
	    ledger_why(r->ledger) == NULL &&
	    ledger_maintain(r->ledger, false) != 0)
		log_error("from now on every event is refused");
}

static void
after_commit(struct recorder *r)
{
	if (r->unsigned_rows >= CHECKPOINT_ROWS)
		r->want_sign = true;
	if (r->want_sign)
		ask_signature(r);
	if (!r->ticking && (r->unsigned_rows > 0 || r->signing)) {
		r->ticking = true;
		loop_timer_set(r->tick, CHECKPOINT_MS);
	}
	loop_soon(r->env->loop, maintain, r);
}

static void
commit_group(struct recorder *r)
{
	r->yielded = false;
	if (r->ngroup == 0 && (r->ledger == NULL ||
	    !ledger_in_group(r->ledger)))
		return;
	if (ledger_commit(r->ledger) != 0) {
		group_failed(r);
		return;
	}
	for (size_t i = 0; i < r->ngroup; i++)
		if (r->group[i].peer != NULL)
			r->group[i].peer->ack_n = r->group[i].n;
	for (size_t i = 0; i < r->ngroup; i++)
		if (r->group[i].peer != NULL && r->group[i].peer->ack_n != 0)
			acknowledge(r->group[i].peer);
	r->ngroup = 0;
	feed_push(r->feed);
	after_commit(r);
}

/* A round later: what was sent meanwhile has been read. */
static void
commit_soon(void *ctx)
{
	struct recorder *r = ctx;

	loop_at_end(r->env->loop, commit_at_end, r);
}

/* Who is ready to run on this CPU runs first, and what it sends joins the
 * group: on an idle machine this returns at once. */
static void
commit_at_end(void *ctx)
{
	struct recorder *r = ctx;

	if (r->yielded) {
		commit_group(r);
		return;
	}
	r->yielded = true;
	sched_yield();
	loop_soon(r->env->loop, commit_soon, r);
}

/* --- events of our own -------------------------------------------------- */

/* r->body holds one, parsed into the ledger; 0 when it cannot be recorded. */
static uint64_t
record_own(struct recorder *r)
{
	struct entry e;
	struct err err = { 0 };
	uint64_t seq = 0;

	ASSERT(!r->body.full);
	if (entry_parse(&r->doc, buf_slice(&r->body), &e, &err) != 0) {
		log_error("an event of our own: %s", err.text);
		return 0;
	}
	if (ledger_add(r->ledger, &e, buf_slice(&r->body), &seq) !=
	    LEDGER_ADDED)
		return 0;
	feed_stage(r->feed, seq, e.id, buf_slice(&r->body));
	return seq;
}

static void
begin_own(struct recorder *r, struct jsonw *w, enum event_type type)
{
	buf_reset(&r->body);
	event_begin(w, &r->body, uuid_v7(), type, ROLE_RECORDER);
}

/* What an outcome repeats of its decision, so that it can be searched. */
static const char *const repeated[] = { "session", "user", "agent", "task",
	"department", "trust", "source", "transport", "connector", "tool",
	"method", "target", "operation", "environment", "class" };

static bool
repeat_fields(void *ctx, const struct chain_row *row)
{
	struct jsonw *w = ctx;
	struct json_doc doc;

	json_init(&doc);
	if (json_index(&doc, row->body, NULL) == JSON_OK)
		for (size_t i = 0; i < ARRAY_LEN(repeated); i++) {
			uint32_t v = json_member(&doc, 0, repeated[i]);

			if (v != JSON_NONE)
				jsonw_raw(w, repeated[i], json_raw(&doc, v));
		}
	json_free(&doc);
	return false;
}

static void
outcome_unknown(struct recorder *r, struct uuid call, uint64_t decision)
{
	char text[UUID_TEXT_LEN];
	struct err err = { 0 };
	struct jsonw w;

	begin_own(r, &w, EVENT_CALL_OUTCOME);
	uuid_format(call, text);
	jsonw_str(&w, "call", text);
	if (ledger_each(r->ledger, decision, repeat_fields, &w, &err) != 0)
		log_error("row %" PRIu64 ": %s", decision, err.text);
	jsonw_str(&w, "status", "unknown");
	jsonw_str(&w, "detail", "The proxy vanished before it reported how "
	    "the call ended.");
	event_end(&w);
	if (record_own(r) != 0) {
		r->unsigned_rows++;
		group_add(r, NULL, 0);
	}
}

static void
close_calls(struct recorder *r, struct list *owner, uint64_t max)
{
	struct uuid call;
	uint64_t seq;
	unsigned n = 0;

	if (r->ledger == NULL) {	/* stopping: the next start sees them */
		while (owner != &r->orphans && !list_empty(owner)) {
			struct list *node = owner->next;

			list_remove(node);
			list_append(&r->orphans, node);
		}
		return;
	}
	while (opencalls_take(&r->open, owner, max, &call, &seq)) {
		outcome_unknown(r, call, seq);
		n++;
	}
	if (n > 0)
		log_warn("%u calls of a vanished proxy: outcome unknown", n);
}

/* --- checkpoints -------------------------------------------------------- */

static struct peer *
find_peer(struct recorder *r, enum role role, unsigned index)
{
	list_each(it, &r->peers) {
		struct peer *p = list_entry(it, struct peer, link);

		if (p->role == role && p->index == index)
			return p;
	}
	return NULL;
}

/* Only what is committed is ever signed. */
static void
ask_signature(struct recorder *r)
{
	struct peer *keeper = find_peer(r, ROLE_KEEPER, 0);
	uint8_t root[MERKLE_HASH];
	struct buf *b;

	r->want_sign = true;
	if (r->signing || keeper == NULL || ledger_in_group(r->ledger) ||
	    ledger_why(r->ledger) != NULL)
		return;
	r->signed_tree = *ledger_tree(r->ledger);
	merkle_root(&r->signed_tree, root);
	buf_reset(&r->sign_text);
	checkpoint_format(&r->sign_text, slice_str(ledger_origin(r->ledger)),
	    r->signed_tree.size, root);
	if ((b = chan_begin(keeper->chan, MSG_SIGN)) == NULL)
		return;
	pack_u64(b, ++r->sign_q);
	pack_slice(b, buf_slice(&r->sign_text));
	if (chan_end(keeper->chan) != 0)
		return;
	r->signing = true;
	r->want_sign = false;
	r->unsigned_rows = 0;
}

static int
load_keys(struct recorder *r, struct err *err)
{
	char path[PATH_MAX + 16];

	if (r->keys.n > 0)
		return 0;
	snprintf(path, sizeof(path), "%s/" LEDGERDB_KEY_FILE, r->dir);
	if (access(path, F_OK) != 0)
		return 0;	/* the keeper has not made it yet, or keeps it */
	return checkpoint_keys_load(path, &r->keys, err);
}

static int
check_note(struct recorder *r, struct slice note, struct err *err)
{
	struct checkpoint c;

	if (checkpoint_parse(note, &c, err) != 0 || load_keys(r, err) != 0)
		return -1;
	if (!slice_eq(c.text, buf_slice(&r->sign_text))) {
		err_set(err, "another text was signed than was asked for");
		return -1;
	}
	return r->keys.n == 0 ? 0 : checkpoint_verify(&c, &r->keys, err);
}

static int
on_signature(struct recorder *r, struct slice body)
{
	struct unpack u;
	struct err err = { 0 };
	struct jsonw w;
	uint64_t seq;

	unpack_init(&u, body);
	uint64_t q = unpack_u64(&u);
	struct slice note = unpack_slice(&u);

	if (!unpack_done(&u))
		return -1;
	if (!r->signing || q != r->sign_q)
		return 0;
	r->signing = false;
	if (check_note(r, note, &err) != 0) {
		log_error("the keeper's checkpoint is refused: %s", err.text);
		r->want_sign = true;
		return 0;
	}
	r->unsigned_ticks = 0;
	begin_own(r, &w, EVENT_CHECKPOINT);
	jsonw_str(&w, "origin", ledger_origin(r->ledger));
	jsonw_u64(&w, "size", r->signed_tree.size);
	jsonw_slice(&w, "checkpoint", note);
	event_end(&w);
	if ((seq = record_own(r)) == 0 || ledger_add_checkpoint(r->ledger,
	    &r->signed_tree, seq, note) != 0) {
		if (ledger_why(r->ledger) != NULL)
			group_failed(r);
		return 0;
	}
	group_add(r, NULL, 0);
	return 0;
}

static int
on_keeper_no(struct recorder *r, struct slice body)
{
	struct unpack u;

	unpack_init(&u, body);
	uint64_t q = unpack_u64(&u);
	struct slice why = unpack_slice(&u);

	if (!unpack_done(&u))
		return -1;
	if (!r->signing || q != r->sign_q)
		return 0;
	log_error("the keeper signs no checkpoint: %.*s", SLICE_FMT(why));
	r->signing = false;
	r->want_sign = true;
	return 0;
}

static void
on_tick(void *ctx)
{
	struct recorder *r = ctx;

	r->ticking = false;
	if (r->ledger == NULL)
		return;
	if (r->unsigned_rows > 0 || r->want_sign)
		ask_signature(r);
	if ((r->signing || r->want_sign) &&
	    ++r->unsigned_ticks == SIGN_PATIENCE)
		log_warn("no signed checkpoint for %d s: is the keeper up? "
		    "The ledger goes on; what is not yet signed could be "
		    "rewritten unseen", SIGN_PATIENCE);
	if (!ledger_in_group(r->ledger) && ledger_why(r->ledger) == NULL &&
	    ledger_maintain(r->ledger, true) != 0)
		log_error("from now on every event is refused");
	if (r->want_sign || r->signing || r->unsigned_rows > 0) {
		r->ticking = true;
		loop_timer_set(r->tick, CHECKPOINT_MS);
	}
}

/* --- events of others --------------------------------------------------- */

/* NULL, or why this event is not for the ledger. */
static const char *
check_event(const struct peer *p, struct uuid id, struct uuid call,
    struct entry *e)
{
	enum event_type type;

	if (!uuid_eq(e->id, id))
		return "the event's id is not the message's";
	if (!entry_uuid_is_zero(e->call) && !uuid_eq(e->call, call))
		return "the event's call is not the message's";
	if (!slice_is(e->role, role_name(p->role)))
		return "the event's role is not the sender's";
	if (!event_type_parse(e->type, &type))
		return "no such type of event";
	if (type == EVENT_CALL_RESULT || type == EVENT_CHECKPOINT)
		return "this type of event is not recorded for others";
	e->call = call;
	return NULL;
}

/* News that tell whether calls from before our start can still end: a proxy
 * of before is gone when its daemon or it itself has started anew since. */
static void
watch_restarts(struct recorder *r, const struct peer *p, struct slice type,
    uint64_t seq)
{
	if (p->role != ROLE_GATEWAY || list_empty(&r->orphans))
		return;
	if (slice_is(type, "system.started") ||
	    (slice_is(type, "system.role_restarted") && r->env->proxies <= 1 &&
	    json_str_is(&r->doc, json_member(&r->doc, 0, "process"),
	    role_name(ROLE_PROXY))))
		close_calls(r, &r->orphans, seq);
}

static void
record(struct peer *p, uint64_t n, const struct entry *e, struct slice json)
{
	struct recorder *r = p->r;
	uint64_t seq = 0;
	char why[600];

	switch (ledger_add(r->ledger, e, json, &seq)) {
	case LEDGER_ADDED:
		feed_stage(r->feed, seq, e->id, json);
		opencalls_note(&r->open, e->type, &r->doc, e->call, seq,
		    &p->calls);
		r->unsigned_rows++;
		group_add(r, p, n);
		watch_restarts(r, p, e->type, seq);
		return;
	case LEDGER_DUPLICATE:
		group_add(r, p, n);
		return;
	case LEDGER_CONFLICT:
		refuse(p, n, "an event of this id is recorded with other "
		    "content");
		loop_at_end(r->env->loop, commit_at_end, r);
		return;
	case LEDGER_DAMAGED:
		break;
	}
	group_failed(r);
	snprintf(why, sizeof(why), "audit-unavailable: %s",
	    ledger_why(r->ledger));
	refuse(p, n, why);
}

static int
on_event(struct peer *p, struct slice body)
{
	struct recorder *r = p->r;
	struct err err = { 0 };
	struct uuid id, call;
	struct unpack u;
	struct entry e;
	const char *why;

	unpack_init(&u, body);
	uint64_t n = unpack_u64(&u);

	unpack_bytes(&u, id.b, 16);
	unpack_bytes(&u, call.b, 16);
	struct slice json = unpack_slice(&u);

	if (!unpack_done(&u) || n <= p->last_n)
		return -1;
	p->last_n = n;
	why = entry_parse(&r->doc, json, &e, &err) != 0 ? err.text :
	    check_event(p, id, call, &e);
	if (why != NULL) {
		log_error("event of %s %u refused: %s", role_name(p->role),
		    p->index, why);
		refuse(p, n, why);
		return 0;
	}
	record(p, n, &e, json);
	return 0;
}

/* --- channels ----------------------------------------------------------- */

static int
on_hello(const struct peer *p, struct slice body)
{
	struct unpack u;

	unpack_init(&u, body);
	unsigned role = unpack_u8(&u), index = unpack_u8(&u);
	unsigned version = unpack_u16(&u);

	return unpack_done(&u) && role == p->role && index == p->index &&
	    version == MSG_VERSION ? 0 : -1;
}

static int
on_feed(struct peer *p, enum msg_type type, struct slice body)
{
	struct unpack u;

	unpack_init(&u, body);
	uint64_t seq = unpack_u64(&u);

	if (!unpack_done(&u) || p->consumer == NULL)
		return -1;
	if (type == MSG_FEED_DONE) {
		feed_done(p->consumer, seq);
		return 0;
	}
	/* Rows of the open group are not committed: they are pushed when
	 * they are, so the head is the one before them. */
	commit_group(p->r);
	feed_subscribe(p->consumer, seq, ledger_head(p->r->ledger));
	return 0;
}

static int
on_msg(void *ctx, struct chan *c, enum msg_type type, struct slice body,
    int fd)
{
	struct peer *p = ctx;

	(void)c;
	if (fd >= 0) {
		base_close(&fd);
		return -1;
	}
	if (p->r->ledger == NULL)	/* stopping: it sends again */
		return 0;
	switch (type) {
	case MSG_HELLO:
		return on_hello(p, body);
	case MSG_EVENT:
		return on_event(p, body);
	case MSG_FEED_SUBSCRIBE:
	case MSG_FEED_DONE:
		return on_feed(p, type, body);
	case MSG_SIGNATURE:
		return p->role == ROLE_KEEPER ? on_signature(p->r, body) : -1;
	case MSG_KEEPER_NO:
		return p->role == ROLE_KEEPER ? on_keeper_no(p->r, body) : -1;
	default:
		return -1;
	}
}

static void
peer_gone(struct peer *p)
{
	struct recorder *r = p->r;

	loop_soon_cancel(r->env->loop, p);
	for (size_t i = 0; i < r->ngroup; i++)
		if (r->group[i].peer == p)
			r->group[i].peer = NULL;
	list_remove(&p->link);
	feed_consumer_free(p->consumer);
	chan_free(p->chan);
	if (p->role == ROLE_KEEPER && r->signing) {
		r->signing = false;
		r->want_sign = true;
	}
	close_calls(r, &p->calls, UINT64_MAX);
	free(p);
}

static void
on_close(void *ctx, struct chan *c)
{
	(void)c;
	peer_gone(ctx);
}

static bool
may_connect(enum role role)
{
	switch (role) {
	case ROLE_PROXY:
	case ROLE_BROKER:
	case ROLE_KEEPER:
	case ROLE_DETECTOR:
	case ROLE_EXPORTER:
	case ROLE_GATEWAY:
	case ROLE_MONITOR:
	case ROLE_EXPORT:
		return true;
	default:
		return false;
	}
}

static void
recorder_channel(struct role_env *env, enum role peer, unsigned index, int fd)
{
	struct recorder *r = env->ctx;
	bool consumes = peer == ROLE_DETECTOR || peer == ROLE_EXPORTER;
	struct peer *p;

	if (!may_connect(peer)) {
		log_error("a channel from %s: not expected here",
		    role_name(peer));
		base_close(&fd);
		return;
	}
	if ((p = find_peer(r, peer, index)) != NULL)
		peer_gone(p);	/* it was restarted */
	p = base_calloc(1, sizeof(*p));
	p->r = r;
	p->role = peer;
	p->index = index;
	list_init(&p->calls);
	list_append(&r->peers, &p->link);
	p->chan = chan_new(env->loop, fd, consumes ? FEED_QUEUE_MAX :
	    ACK_QUEUE_MAX, on_msg, on_close, p);
	if (consumes)
		p->consumer = feed_consumer_new(r->feed, p->chan);
	if (peer == ROLE_KEEPER && (r->want_sign || r->unsigned_rows > 0))
		ask_signature(r);
}

/* --- life --------------------------------------------------------------- */

static bool
rebuild_call(void *ctx, const struct chain_row *row)
{
	struct recorder *r = ctx;

	if (slice_starts(row->type, "call.") &&
	    json_index(&r->doc, row->body, NULL) == JSON_OK)
		opencalls_note(&r->open, row->type, &r->doc, row->call,
		    row->seq, &r->orphans);
	return true;
}

static int
event_started(struct recorder *r, struct err *err)
{
	uint64_t head = ledger_head(r->ledger);
	char hex[2 * MERKLE_HASH + 1];
	struct jsonw w;

	hex_encode(ledger_head_hash(r->ledger), MERKLE_HASH, hex);
	begin_own(r, &w, EVENT_SYSTEM_STARTED);
	jsonw_str(&w, "daemon", "portreeve-monitor");
	jsonw_str(&w, "version", PORTREEVE_VERSION);
	jsonw_str(&w, "origin", ledger_origin(r->ledger));
	jsonw_u64(&w, "head_seq", head);
	jsonw_str(&w, "head_hash", hex);
	jsonw_u64(&w, "checkpoint_size", ledger_checkpoint_size(r->ledger));
	event_end(&w);
	if (record_own(r) == 0 || ledger_commit(r->ledger) != 0) {
		err_set(err, "%s/" LEDGERDB_FILE ": %s: make room or repair "
		    "the disk", r->dir, ledger_why(r->ledger));
		return -1;
	}
	feed_push(r->feed);
	r->unsigned_rows++;
	return 0;
}

static int
find_dir(struct role_env *env, struct recorder *r, struct err *err)
{
	char link[64];
	ssize_t n;
	int fd = role_dir(env, "state");

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = fd < 0 ? -1 : readlink(link, r->dir, sizeof(r->dir) - 1);
	if (n <= 0) {
		err_set(err, "recorder: was given no directory \"state\"");
		return -1;
	}
	r->dir[n] = '\0';
	return 0;
}

static int
recorder_setup(struct role_env *env, struct err *err)
{
	struct recorder *r = base_calloc(1, sizeof(*r));

	env->ctx = r;
	r->env = env;
	list_init(&r->peers);
	list_init(&r->orphans);
	opencalls_init(&r->open);
	json_init(&r->doc);
	buf_init(&r->body, ENTRY_BODY_MAX);
	buf_init(&r->sign_text, CHECKPOINT_NOTE_MAX);
	r->feed = feed_new(env->loop);
	if (find_dir(env, r, err) != 0 || load_keys(r, err) != 0)
		return -1;
	r->ledger = ledger_open(r->dir, r->keys.n > 0 ? &r->keys : NULL, err);
	if (r->ledger == NULL)
		return -1;
	uint64_t head = ledger_head(r->ledger);

	if (ledger_each(r->ledger, head > REBUILD_ROWS ? head - REBUILD_ROWS :
	    1, rebuild_call, r, err) != 0)
		return -1;
	if (event_started(r, err) != 0)
		return -1;
	log_info("ledger %s: %" PRIu64 " rows, %zu open calls",
	    ledger_origin(r->ledger), head, map_count(&r->open.by_id));
	return 0;
}

static void
recorder_promise(struct role_env *env, struct sandbox_promise *p)
{
	p->rights = SANDBOX_FILES;
	p->dirs[p->ndirs++] = (struct sandbox_dir){ role_dir(env, "state"),
		true };
}

static void
recorder_start(struct role_env *env)
{
	struct recorder *r = env->ctx;

	r->tick = loop_timer_new(env->loop, on_tick, r);
	r->ticking = true;
	loop_timer_set(r->tick, CHECKPOINT_MS);
}

static void
recorder_stop(struct role_env *env)
{
	struct recorder *r = env->ctx;

	commit_group(r);
	feed_flush(r->feed);
	list_each_safe(it, tmp, &r->peers) {
		struct peer *p = list_entry(it, struct peer, link);

		chan_flush(p->chan);
	}
	commit_group(r);	/* outcomes of peers that were gone */
	feed_flush(r->feed);
	ledger_close(r->ledger);
	r->ledger = NULL;
}

const struct role_def recorder_role = {
	.role = ROLE_RECORDER,
	.setup = recorder_setup,
	.promise = recorder_promise,
	.start = recorder_start,
	.channel = recorder_channel,
	.stop = recorder_stop,
};
