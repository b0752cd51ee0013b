/*
 * detector - the role that watches: answers proxies while a call waits
 * (ADVISE), notes what a session was shown (CONTEXT), follows the feed, and
 * raises findings, which are events like any other.
 *
 * It opens no file and no socket. What it knows is rebuilt from the ledger:
 *
 *   LEARN_BEGIN   the reader gives row 1: since when there are events
 *   REPLAY        the newest rows, up to DETECTOR_REPLAY_ROWS, silently;
 *                 questions wait (a proxy that gives up waiting applies
 *                 `detector-late`): half a memory must not answer
 *   LIVE          the recorder pushes; a gap is read from the reader
 *
 * Rows come in order of their seq, each once (lib/wire/follow).
 */
#include <inttypes.h>
#include <stdlib.h>

#include "chan.h"
#include "clock.h"
#include "detect.h"
#include "emit.h"
#include "follow.h"
#include "log.h"
#include "pack.h"
#include "roles.h"

#define DETECTOR_REPLAY_ROWS 200000
#define EMIT_BYTES (8u << 20)
#define OUT_BYTES (4u << 20)
#define QUESTIONS_MAX 256
#define QUESTION_BYTES (8u << 20)	/* of all that wait */
#define REPORT_MS 60000
#define PROXIES_MAX 64

enum phase { LEARN_BEGIN, REPLAY, LIVE };

struct proxy {
	struct detector *d;
	struct chan *chan;
	unsigned index;
};

struct question {
	struct question *next;
	struct proxy *from;
	size_t len;
	char body[];
};

struct detector {
	struct role_env *env;
	struct detect *detect;
	struct emit *emit;
	struct follow *follow;
	struct proxy *proxies[PROXIES_MAX];
	enum phase phase;
	struct loop_timer *report;
	struct question *first, **last;
	size_t nquestions, question_bytes;
	uint64_t lost;			/* findings that could not be queued */
	uint64_t dropped;		/* questions beyond the maximum */
	struct detect_stats reported;
	uint64_t reported_lost, reported_dropped;
};

/* --- findings ----------------------------------------------------------- */

static void
on_finding(void *ctx, const struct detect_finding *f)
{
	struct detector *d = ctx;
	struct uuid id = uuid_v7();
	struct jsonw w;
	struct buf b;

	buf_init(&b, DETECT_FINDING_MAX);
	event_begin(&w, &b, id, EVENT_FINDING, ROLE_DETECTOR);
	detect_finding_write(f, &w);
	event_end(&w);
	if (b.full || emit_event(d->emit, id, f->call, buf_slice(&b), NULL,
	    NULL) != 0)
		d->lost++;
	buf_free(&b);
}

/* --- proxies ------------------------------------------------------------ */

static int
answer(struct proxy *p, struct slice body)
{
	struct detect_advice a;
	struct unpack u;
	struct buf *b;

	unpack_init(&u, body);
	uint64_t q = unpack_u64(&u);
	struct slice json = unpack_slice(&u);

	if (!unpack_done(&u) || detect_advise(p->d->detect, json, &a) != 0)
		return -1;
	b = chan_begin(p->chan, MSG_ADVICE);
	if (b == NULL)
		return -1;	/* it does not read: it is late by itself */
	pack_u64(b, q);
	pack_u8(b, (uint8_t)a.action);
	pack_str(b, a.rule);
	pack_str(b, a.title);
	return chan_end(p->chan);
}

/* The context is taken before it is acknowledged: the result may go on then. */
static int
on_context(struct proxy *p, struct slice body)
{
	struct unpack u;
	struct buf *b;

	unpack_init(&u, body);
	uint64_t q = unpack_u64(&u);
	struct slice json = unpack_slice(&u);

	if (!unpack_done(&u) || detect_context(p->d->detect, json) != 0)
		return -1;
	b = chan_begin(p->chan, MSG_CONTEXT_ACK);
	if (b == NULL)
		return -1;
	pack_u64(b, q);
	return chan_end(p->chan);
}

static void
question_add(struct proxy *p, struct slice body)
{
	struct detector *d = p->d;
	struct question *k;

	if (d->nquestions == QUESTIONS_MAX ||
	    d->question_bytes + body.n > QUESTION_BYTES) {
		d->dropped++;	/* the proxy's clock answers: detector-late */
		return;
	}
	k = base_realloc(NULL, sizeof(*k) + body.n);
	k->next = NULL;
	k->from = p;
	k->len = body.n;
	memcpy(k->body, body.p, body.n);
	*d->last = k;
	d->last = &k->next;
	d->nquestions++;
	d->question_bytes += body.n;
}

static int
on_advise(struct proxy *p, struct slice body)
{
	if (p->d->phase == LIVE)
		return answer(p, body);
	question_add(p, body);
	return 0;
}

static int
on_proxy_msg(void *ctx, struct chan *c, enum msg_type type,
    struct slice body, int fd)
{
	struct proxy *p = ctx;

	(void)c;
	if (fd >= 0) {
		base_close(&fd);
		return -1;
	}
	switch (type) {
	case MSG_HELLO:
		return 0;
	case MSG_ADVISE:
		return on_advise(p, body);
	case MSG_CONTEXT:
		return on_context(p, body);
	default:
		return -1;
	}
}

static void
proxy_drop(struct proxy *p)
{
	struct detector *d = p->d;

	d->proxies[p->index] = NULL;
	for (struct question *k = d->first; k != NULL; k = k->next) {
		if (k->from == p)
			k->from = NULL;
	}
	chan_free(p->chan);
	free(p);
}

static void
on_proxy_gone(void *ctx, struct chan *c)
{
	(void)c;
	proxy_drop(ctx);
}

/* Its memory is whole: who still waits is answered. */
static void
answer_waiting(struct detector *d)
{
	struct question *k = d->first, *next;

	d->first = NULL;
	d->last = &d->first;
	d->nquestions = d->question_bytes = 0;
	for (struct question *it = k; it != NULL; it = it->next) {
		struct proxy *p = it->from;

		if (p == NULL || answer(p, slice_make(it->body, it->len)) == 0)
			continue;
		log_warn("proxy %u: malformed question", p->index);
		for (struct question *o = it; o != NULL; o = o->next) {
			if (o->from == p)
				o->from = NULL;
		}
		proxy_drop(p);
	}
	for (; k != NULL; k = next) {
		next = k->next;
		free(k);
	}
}

/* --- rows --------------------------------------------------------------- */

static void
learn_begin(struct detector *d, struct slice json)
{
	struct json_doc doc;
	struct buf text;
	int64_t ms;
	uint32_t t;

	json_init(&doc);
	buf_init(&text, 64);
	if (json_index(&doc, json, NULL) == JSON_OK) {
		t = json_member(&doc, 0, "time");
		if (json_typeof(&doc, t) == JSON_STRING &&
		    json_decode(&doc, t, &text) == 0 &&
		    rule_parse_time(buf_slice(&text), &ms))
			detect_set_learning(d->detect,
			    d->env->conf->learning_ms, ms);
	}
	buf_free(&text);
	json_free(&doc);
}

/* A row that is no event is counted by detect and reported; it stays in the
 * ledger and must not stop what follows. */
static bool
on_row(void *ctx, uint64_t seq, struct uuid id, struct slice json)
{
	struct detector *d = ctx;

	(void)id;
	if (detect_feed(d->detect, json) != 0)
		log_debug("row %" PRIu64 " is no event", seq);
	return true;
}

static void
on_hole(void *ctx, uint64_t from, uint64_t to)
{
	(void)ctx;
	log_error("the ledger lacks rows %" PRIu64 " to %" PRIu64, from, to);
}

static void
on_first_row(void *ctx, uint64_t seq, struct uuid id, struct slice json)
{
	(void)seq;
	(void)id;
	learn_begin(ctx, json);
}

static void
on_first_done(void *ctx, uint64_t head)
{
	struct detector *d = ctx;

	d->phase = REPLAY;
	follow_seek(d->follow, head > DETECTOR_REPLAY_ROWS ?
	    head - DETECTOR_REPLAY_ROWS + 1 : 1);
	detect_replay_begin(d->detect);
}

static void
on_level(void *ctx)
{
	struct detector *d = ctx;

	if (d->phase != REPLAY)
		return;
	d->phase = LIVE;
	detect_replay_end(d->detect, clock_wall_ms());
	log_info("replayed up to row %" PRIu64, follow_next(d->follow) - 1);
	answer_waiting(d);
	follow_subscribe(d->follow);
}

/* Whatever we remember did not happen here. */
static void
on_shrunk(void *ctx, uint64_t head)
{
	struct detector *d = ctx;

	log_error("the ledger ends at %" PRIu64 ", before row %" PRIu64
	    " that was seen: it is another one. Starting again", head,
	    follow_next(d->follow) - 1);
	loop_stop(d->env->loop);
}

/* --- the role ----------------------------------------------------------- */

static void
say_hello(struct detector *d, struct chan *c)
{
	struct buf *b = chan_begin(c, MSG_HELLO);

	ASSERT(b != NULL);
	pack_u8(b, ROLE_DETECTOR);
	pack_u8(b, (uint8_t)d->env->index);
	pack_u16(b, MSG_VERSION);
	chan_end(c);
}

/* A proxy need not wait for an answer that is known. */
static void
say_asked(struct proxy *p)
{
	struct buf *b = chan_begin(p->chan, MSG_ADVICE_CLASSES);

	if (b != NULL)
		pack_u8(b, (uint8_t)detect_asked(p->d->detect));
	if (b != NULL && chan_end(p->chan) == 0)
		return;
	/* It could go on not asking what it now must. */
	log_error("proxy %u does not read: dropped", p->index);
	proxy_drop(p);
}

static void
proxy_new(struct detector *d, unsigned index, int fd)
{
	struct proxy *p;

	if (d->proxies[index] != NULL)
		proxy_drop(d->proxies[index]);	/* it was restarted */
	p = base_calloc(1, sizeof(*p));
	p->d = d;
	p->index = index;
	p->chan = chan_new(d->env->loop, fd, OUT_BYTES, on_proxy_msg,
	    on_proxy_gone, p);
	d->proxies[index] = p;
	say_hello(d, p->chan);
	say_asked(p);
}

static void
detector_channel(struct role_env *env, enum role peer, unsigned index, int fd)
{
	struct detector *d = env->ctx;

	if (peer == ROLE_RECORDER) {
		emit_attach(d->emit, fd);
	} else if (peer == ROLE_READER) {
		follow_reader(d->follow, fd);
	} else if (peer == ROLE_PROXY && index < PROXIES_MAX) {
		proxy_new(d, index, fd);
	} else {
		log_error("a channel from %s %u: not expected here",
		    role_name(peer), index);
		base_close(&fd);
	}
}

/* New rules, hours and learning time from the snapshot in force. */
static int
take_snapshot(struct detector *d, int64_t now_ms, struct err *err)
{
	struct slice rules = snap_section(d->env->snap, "rules");
	struct rule_set *set = rules.p == NULL ? NULL : rule_load(rules);

	if (set == NULL) {
		err_set(err, "the snapshot's rules section is %s",
		    rules.p == NULL ? "missing" : "malformed");
		return -1;
	}
	if (detect_set_hours(d->detect, &d->env->conf->hours,
	    snap_section(d->env->snap, "tz"), err) != 0) {
		rule_set_free(set);
		return -1;
	}
	detect_load(d->detect, set, now_ms);
	detect_set_learning(d->detect, d->env->conf->learning_ms, 0);
	log_info("%zu detection rules", set->n);
	for (size_t i = 0; i < PROXIES_MAX; i++)
		if (d->proxies[i] != NULL)
			say_asked(d->proxies[i]);
	return 0;
}

static int
detector_reload(struct role_env *env, struct err *err)
{
	return take_snapshot(env->ctx, clock_wall_ms(), err);
}

static void
report(struct detector *d)
{
	struct detect_stats s = detect_get_stats(d->detect);
	const struct { const char *what; uint64_t now, before; } c[] = {
		{ "events that are none", s.refused, d->reported.refused },
		{ "matches undecided at a limit, taken as matched",
		    s.undecided, d->reported.undecided },
		{ "groups, keys or sessions forgotten for want of room",
		    s.evicted, d->reported.evicted },
		{ "findings of a replay not raised", s.pending_lost,
		    d->reported.pending_lost },
		{ "findings lost: the way to the recorder is full", d->lost,
		    d->reported_lost },
		{ "questions dropped during the replay", d->dropped,
		    d->reported_dropped },
	};

	for (size_t i = 0; i < ARRAY_LEN(c); i++) {
		if (c[i].now != c[i].before)
			log_warn("%" PRIu64 " %s", c[i].now - c[i].before,
			    c[i].what);
	}
	d->reported = s;
	d->reported_lost = d->lost;
	d->reported_dropped = d->dropped;
}

static void
on_report(void *ctx)
{
	struct detector *d = ctx;

	report(d);
	loop_timer_set(d->report, REPORT_MS);
}

static int
detector_setup(struct role_env *env, struct err *err)
{
	struct detector *d = base_calloc(1, sizeof(*d));
	struct follow_hooks rows = { .row = on_row, .hole = on_hole,
		.peek_row = on_first_row, .peek_done = on_first_done,
		.level = on_level, .shrunk = on_shrunk, .ctx = d };

	env->ctx = d;
	d->env = env;
	d->last = &d->first;
	d->detect = detect_new(on_finding, d);
	d->emit = emit_new(env->loop, ROLE_DETECTOR, env->index, EMIT_BYTES);
	d->follow = follow_new(env->loop, d->emit, ROLE_DETECTOR, env->index,
	    &rows);
	follow_peek(d->follow, 1);
	d->report = loop_timer_new(env->loop, on_report, d);
	return take_snapshot(d, 0, err);
}

/* No files, no network, no children: its channels are all it has. */
static void
detector_promise(struct role_env *env, struct sandbox_promise *p)
{
	(void)env;
	p->rights = 0;
}

static void
detector_start(struct role_env *env)
{
	struct detector *d = env->ctx;

	loop_timer_set(d->report, REPORT_MS);
}

static void
detector_stop(struct role_env *env)
{
	struct detector *d = env->ctx;
	struct detect_stats s = detect_get_stats(d->detect);

	report(d);
	log_info("%" PRIu64 " events, %" PRIu64 " questions, %" PRIu64
	    " findings (%" PRIu64 " more of groups already told of)", s.events,
	    s.advised, s.findings, s.suppressed);
}

const struct role_def detector_role = {
	.role = ROLE_DETECTOR,
	.setup = detector_setup,
	.promise = detector_promise,
	.start = detector_start,
	.channel = detector_channel,
	.reload = detector_reload,
	.stop = detector_stop,
};
