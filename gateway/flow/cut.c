/*
 * cut - what the kill switch, or the end of a session, does to what runs.
 *
 *   cut      marked, taken out of the running ones: not a byte passes from
 *            here on. Cheap, so that a proxy can do it to all of them and
 *            acknowledge the kill before anything else happens.
 *   told     the agent gets the refusal with the operator's reason, or none
 *            where no answer fits any more, and sees its connection end
 *   closed   both connections, and what they hold
 *   recorded the outcome; waits while the recorder has much to do
 *
 * What follows the first waits a little until the broker has said why and has
 * stored the kill: the bytes are stopped, and an operator waits for that.
 * It goes in slices with pauses between them, in which other agents' calls go
 * on and the other roles get a processor; and each stage is done for all before
 * the next one, so that agents learn early and the ledger's turn, which nobody
 * waits for, comes last.
 */
#include "internal.h"

#include <unistd.h>

#include "clock.h"

#define SLICE_NS 1000000
#define PAUSE_MS 1
#define STORE_WAIT_MS 10
/* Outcomes hold up to connector.log_result each: those of a thousand streams
 * wait in the streams, not in the queue, where others' decisions would wait
 * behind them. */
#define UNRECORDED_MAX (256u << 10)

static void slice(void *ctx);

static void
on_timer(void *ctx)
{
	slice(ctx);
}

void
cut_init(struct flow *f)
{
	struct cuts *k = &f->cuts;

	list_init(&k->telling);
	list_init(&k->closing);
	list_init(&k->recording);
	list_init(&k->conns);
	k->timer = loop_timer_new(f->loop, on_timer, f);
}

static void
slice_soon(struct flow *f)
{
	if (f->cuts.queued)
		return;
	f->cuts.queued = true;
	loop_soon(f->loop, slice, f);
}

static void
move(struct exchange *ex, struct list *to)
{
	list_remove(&ex->link);
	list_append(to, &ex->link);
}

/* -- cut -- */

static void
count_killed(struct flow *f)
{
	struct cuts *k = &f->cuts;
	uint64_t epoch = killpage_epoch(f->kill);

	k->n++;
	if (k->waits_for < epoch) {
		k->waits_for = epoch;
		k->wait_until_ms = clock_mono_ms() + STORE_WAIT_MS;
	}
}

static bool
waits_for_broker(const struct cuts *k)
{
	return k->stored < k->waits_for && clock_mono_ms() < k->wait_until_ms;
}

void
exchange_cut(struct exchange *ex, const char *target, enum reason r)
{
	struct flow *f = ex->f;

	if (ex->over || (ex->gate != NULL && gateapi_keeps(ex, target, r)))
		return;
	ex->over = ex->stopped = true;
	ex->reason = r;
	ex->verdict.by = r == REASON_KILLED ? "kill" : "session";
	if (!gateapi_may_run(ex))
		ex->end_status = "cut";
	else if (ex->end_status == NULL)
		ex->end_status = "unknown";
	ex->mode = RESP_END;
	ex->keep_alive = false;
	ex->cut_target = arena_strdup(ex->a, slice_str(target));
	if (r == REASON_KILLED)
		count_killed(f);
	/* Whatever would still call back. */
	if (ex->timer != NULL)
		loop_timer_stop(ex->timer);
	if (ex->keepalive != NULL)
		loop_timer_stop(ex->keepalive);
	if (ex->deadline_q != 0)
		svc_forget(f, ex->deadline_q);
	ex->deadline_q = 0;
	if (ex->step == STEP_RECORD_DECISION)
		emit_forget(f->emit, ex);
	upstream_cancel(ex->ureq);
	ex->ureq = NULL;
	move(ex, &f->cuts.telling);
	slice_soon(f);
}

void
conn_cut(struct conn *c)
{
	struct flow *f = c->f;

	if (c->cut || c->closed)
		return;
	c->cut = true;
	count_killed(f);
	list_remove(&c->link);
	list_append(&f->cuts.conns, &c->link);
	slice_soon(f);
}

void
cut_detach(struct exchange *ex)
{
	if (ex->c == NULL)
		return;
	ex->source = arena_strdup(ex->a, slice_str(ex->c->source));
	if (ex->source == NULL)
		ex->source = (char *)(uintptr_t)"";
	ex->c->ex = NULL;
	ex->c = NULL;
}

/* -- told -- */

/* Nothing of the answer before, or a whole number of events, has been sent:
 * our own words can follow. Leaves only them to be sent. */
static bool
room_for_answer(struct exchange *ex)
{
	struct conn *c = ex->c;

	if (c->partial)
		return false;
	if (!ex->head_out || c->bytes_out == c->ex_began) {
		ex->head_out = ex->hold_stream = ex->chunked_out = false;
	} else if (websocket_is_open(ex)) {
		;				/* a Close follows any frame */
	} else if (ex->con->kind == CONNECTOR_MCP && ex->chunked_out &&
	    ex->msg.kind == MCP_REQUEST && (ex->hold_stream ||
	    ex->sse != NULL)) {
		ex->hold_stream = true;		/* as the last event */
	} else {
		return false;
	}
	buf_reset(&c->out);
	return true;
}

static void
answer(struct exchange *ex)
{
	struct uuid id = ex->decision;

	if (!ex->is_call)
		record_refused(ex->f, ex->c, EVENT_CONNECTION_REFUSED,
		    ex->reason, ex->req->authority.host, ex->detail, &id);
	ex->over = false;
	ex->told = exchange_say_no(ex, id);
	ex->over = true;
}

static void
tell(struct exchange *ex)
{
	const char *target = ex->cut_target == NULL ? "" : ex->cut_target;
	const char *why = map_get(&ex->f->kills, slice_str(target));

	ex->detail = arena_printf(ex->a, "(%s%s%s)", target,
	    why == NULL ? "" : ": ", why == NULL ? "" : why);
	if (ex->detail == NULL)
		ex->detail = (char *)(uintptr_t)"";
	if (ex->is_call && !ex->recorded)
		ex->decision = uuid_v7();
	move(ex, &ex->f->cuts.closing);
	if (ex->c == NULL)
		return;
	if (room_for_answer(ex))
		answer(ex);
	if (ex->told)
		conn_flush(ex->c);
	else
		buf_reset(&ex->c->out);
	if (ex->c != NULL && ex->c->out.len == 0)
		conn_sever(ex->c, ex->told);
}

/* -- closed, recorded -- */

static void
put_away(struct exchange *ex)
{
	struct conn *c = ex->c;

	upstream_close(ex->u, true);
	ex->u = NULL;
	move(ex, &ex->f->cuts.recording);
	if (c == NULL)
		return;
	cut_detach(ex);
	if (ex->told)
		conn_finish(c);
	else
		conn_abort(c);
}

static bool
record(struct exchange *ex)
{
	if (emit_queued(ex->f->emit) > UNRECORDED_MAX)
		return false;
	if (ex->is_call)
		exchange_record_denial(ex);
	exchange_record_end(ex, "cut");
	exchange_free(ex);
	return true;
}

/* -- slices -- */

static struct exchange *
first(const struct list *l)
{
	return list_empty(l) ? NULL : list_entry(l->next, struct exchange,
	    link);
}

/* One piece of work; false: there is none that can be done now. */
static bool
one(struct flow *f)
{
	struct cuts *k = &f->cuts;
	struct exchange *ex = first(&k->telling);

	if (ex != NULL) {
		tell(ex);
		return true;
	}
	if (!list_empty(&k->conns)) {
		conn_abort(list_entry(k->conns.next, struct conn, link));
		return true;
	}
	if ((ex = first(&k->closing)) != NULL) {
		put_away(ex);
		return true;
	}
	return (ex = first(&k->recording)) != NULL && record(ex);
}

static void
slice(void *ctx)
{
	struct flow *f = ctx;
	struct cuts *k = &f->cuts;
	uint64_t began = clock_mono_ns(), spent = 0;
	bool more = !waits_for_broker(k);

	k->queued = false;
	if (!more) {
		loop_timer_set(k->timer, STORE_WAIT_MS);
		return;
	}
	while (more && spent < SLICE_NS) {
		more = one(f);
		spent = clock_mono_ns() - began;
	}
	/* A round's timers count from its beginning. */
	if (more || !list_empty(&k->recording))
		loop_timer_set(k->timer, spent / 1000000 + PAUSE_MS);
}

void
cut_stored(struct flow *f, uint64_t epoch)
{
	f->cuts.stored = epoch;
	slice_soon(f);
}

/* -- the kill switch -- */

static void
cut_killed(struct flow *f)
{
	const char *target;

	list_each_safe(it, tmp, &f->exchanges) {
		struct exchange *ex = list_entry(it, struct exchange, link);

		if (!ex->over && ex->con != NULL && ex->step > STEP_CLASSIFY &&
		    exchange_killed(ex, &target))
			exchange_cut(ex, target, REASON_KILLED);
	}
	list_each_safe(it, tmp, &f->conns) {
		struct conn *c = list_entry(it, struct conn, link);

		if (c->splice != NULL && splice_killed(c->splice))
			conn_cut(c);
		else
			(void)conn_leftover_cut(c);
	}
}

/* Something was killed: stop what runs against it, say so at once, then see to
 * the rest. */
void
cut_on_kill(void *ctx, unsigned events)
{
	struct flow *f = ctx;
	uint64_t n, epoch = killpage_epoch(f->kill);
	struct buf *b;

	(void)events;
	if (read(f->eventfd, &n, sizeof(n)) != sizeof(n))
		return;
	cut_killed(f);
	if (f->broker == NULL || (b = chan_begin(f->broker,
	    MSG_KILL_ACK)) == NULL)
		return;
	pack_u64(b, epoch);
	pack_u32(b, f->cuts.n - f->cuts.acked);
	pack_u64(b, clock_mono_ns());
	if (chan_end(f->broker) != 0)
		return;
	f->cuts.acked = f->cuts.n;
	chan_flush(f->broker);
}
