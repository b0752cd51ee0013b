/* hold - see hold.h. */
#include "hold.h"

#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "state.h"

static const char *const state_words[HOLD_STATES] = {
	[HOLD_DENIED] = "denied",	[HOLD_PENDING] = "pending",
	[HOLD_APPROVED] = "approved",	[HOLD_EDITED] = "edited",
	[HOLD_EXPIRED] = "expired",	[HOLD_CANCELLED] = "cancelled",
	[HOLD_CONSUMED] = "consumed",	[HOLD_AMBIGUOUS] = "ambiguous",
	[HOLD_DONE] = "done",
};

/* What is not in the table is not allowed; +1, so that zero is "no". */
#define TO(s) (1 + HOLD_##s)
static const uint8_t table[HOLD_STATES][HOLD_EVENTS] = {
	[HOLD_PENDING] = {
		[HOLD_E_APPROVE] = TO(APPROVED),	/* hold_approve */
		[HOLD_E_EDIT] = TO(EDITED),		/* hold_edit */
		[HOLD_E_DENY] = TO(DENIED),		/* hold_deny */
		[HOLD_E_EXPIRE] = TO(EXPIRED),		/* hold_expire */
		[HOLD_E_CANCEL] = TO(CANCELLED),	/* hold_cancel */
	},
	[HOLD_APPROVED] = {
		[HOLD_E_DENY] = TO(DENIED),
		[HOLD_E_EXPIRE] = TO(EXPIRED),
		[HOLD_E_CANCEL] = TO(CANCELLED),
		[HOLD_E_CONSUME] = TO(CONSUMED),	/* hold_consume */
	},
	[HOLD_EDITED] = {
		[HOLD_E_DENY] = TO(DENIED),
		[HOLD_E_EXPIRE] = TO(EXPIRED),
		[HOLD_E_CANCEL] = TO(CANCELLED),
		[HOLD_E_CONSUME] = TO(CONSUMED),
	},
	[HOLD_CONSUMED] = {
		[HOLD_E_DONE] = TO(DONE),		/* hold_done */
		[HOLD_E_LOST] = TO(AMBIGUOUS),		/* hold_lost, _recover */
	},
	[HOLD_AMBIGUOUS] = {
		[HOLD_E_DONE] = TO(DONE),
	},
};

bool
hold_next(enum hold_state from, enum hold_event event,
    enum hold_state *to_r)
{
	if ((unsigned)from >= HOLD_STATES || (unsigned)event >= HOLD_EVENTS ||
	    table[from][event] == 0)
		return false;
	*to_r = (enum hold_state)(table[from][event] - 1);
	return true;
}

const char *
hold_state_name(enum hold_state s)
{
	return (unsigned)s < HOLD_STATES ? state_words[s] : "?";
}

bool
hold_state_parse(struct slice name, enum hold_state *s_r)
{
	for (unsigned i = 0; i < HOLD_STATES; i++) {
		if (slice_is(name, state_words[i])) {
			*s_r = (enum hold_state)i;
			return true;
		}
	}
	return false;
}

bool
hold_is_final(enum hold_state s)
{
	return s != HOLD_PENDING && s != HOLD_APPROVED && s != HOLD_EDITED;
}

void
hold_id_format(int64_t id, char out[HOLD_ID_LEN])
{
	snprintf(out, HOLD_ID_LEN, "A-%lld", (long long)id);
}

bool
hold_id_parse(struct slice s, int64_t *id_r)
{
	uint64_t v;

	if (slice_starts(s, "A-") || slice_starts(s, "a-"))
		s = slice_sub(s, 2, s.n);
	if (s.n > 18 || !slice_to_u64(s, &v) || v == 0)
		return false;
	*id_r = (int64_t)v;
	return true;
}

void
hold_free(struct hold *h)
{
	if (h == NULL)
		return;
	free(h->session);
	free(h->rpc_id);
	free(h->connector);
	free(h->tool);
	free(h->user);
	free(h->agent);
	free(h->card);
	free(h->by);
	free(h->reason);
	free(h->edited);
	free(h);
}

/* -- one transition -- */

static void
put_text(char **field, const char *text)
{
	char *copy = text == NULL ? NULL : base_strdup(text);

	free(*field);
	*field = copy;
}

/* h takes everything of what is stored: someone else was faster. */
static void
refresh(struct state *st, struct hold *h)
{
	struct hold *now = state_hold_get(st, h->id);

	if (now == NULL)
		return;
	struct hold old = *h;

	*h = *now;
	*now = old;
	hold_free(now);
}

/* The changed copy is stored, or nothing is: h is only touched on success. */
static int
step(struct state *st, struct hold *h, enum hold_event event,
    struct hold *changed)
{
	enum hold_state from = h->state, to;

	if (!hold_next(from, event, &to))
		return HOLD_NO;
	changed->state = to;
	int r = state_hold_update(st, changed, from);

	if (r == 1) {
		refresh(st, h);
		return HOLD_NO;
	}
	return r;
}

int
hold_create(struct state *st, struct hold *h)
{
	h->state = HOLD_PENDING;
	h->created = clock_wall_ms();
	return state_hold_insert(st, h);
}

/* A step that also names who and why. */
static int
decide(struct state *st, struct hold *h, enum hold_event event,
    const char *by, const char *reason, bool ends)
{
	struct hold changed = *h;
	int64_t now = clock_wall_ms();
	int r;

	changed.by = (char *)by;
	changed.reason = (char *)reason;
	if (ends)
		changed.ended = now;
	else
		changed.decided = now;
	if ((r = step(st, h, event, &changed)) != 0)
		return r;
	h->state = changed.state;
	h->decided = changed.decided;
	h->ended = changed.ended;
	put_text(&h->by, by);
	put_text(&h->reason, reason);
	return 0;
}

int
hold_approve(struct state *st, struct hold *h, const char *by,
    const char *reason)
{
	return decide(st, h, HOLD_E_APPROVE, by, reason, false);
}

int
hold_edit(struct state *st, struct hold *h, const char *by,
    const char *reason, const char *arguments,
    const uint8_t digest[HOLD_DIGEST])
{
	struct hold changed = *h;
	int r;

	changed.by = (char *)by;
	changed.reason = (char *)reason;
	changed.edited = (char *)arguments;
	memcpy(changed.digest, digest, HOLD_DIGEST);
	changed.decided = clock_wall_ms();
	if ((r = step(st, h, HOLD_E_EDIT, &changed)) != 0)
		return r;
	h->state = changed.state;
	h->decided = changed.decided;
	memcpy(h->digest, digest, HOLD_DIGEST);
	put_text(&h->by, by);
	put_text(&h->reason, reason);
	put_text(&h->edited, arguments);
	return 0;
}

int
hold_deny(struct state *st, struct hold *h, const char *by,
    const char *reason)
{
	return decide(st, h, HOLD_E_DENY, by, reason, false);
}

int
hold_expire(struct state *st, struct hold *h)
{
	return decide(st, h, HOLD_E_EXPIRE, h->by,
	    h->state == HOLD_PENDING ? "nobody decided in time" :
	    "decided, but not used in time", true);
}

int
hold_cancel(struct state *st, struct hold *h, const char *by,
    const char *reason)
{
	return decide(st, h, HOLD_E_CANCEL, by, reason, true);
}

enum hold_use
hold_consume(struct state *st, struct hold *h,
    const uint8_t digest[HOLD_DIGEST])
{
	struct hold changed = *h;
	enum hold_state to;

	if (!hold_next(h->state, HOLD_E_CONSUME, &to))
		return HOLD_USE_NO;
	if (!base_equal_ct(digest, h->digest, HOLD_DIGEST))
		return HOLD_USE_DIGEST;
	changed.consumed = clock_wall_ms();
	if (h->expires <= changed.consumed)
		return HOLD_USE_EXPIRED;
	int r = step(st, h, HOLD_E_CONSUME, &changed);

	if (r == HOLD_NO)
		return HOLD_USE_NO;
	/* Not committed: rolled back, so it is still approved on disk, and
	 * the answer is no. */
	if (r != 0 || state_commit(st) != 0)
		return HOLD_USE_FAILED;
	h->state = changed.state;
	h->consumed = changed.consumed;
	return HOLD_USE_OK;
}

static int
finish(struct state *st, struct hold *h, enum hold_event event)
{
	struct hold changed = *h;
	int r;

	changed.ended = clock_wall_ms();
	if ((r = step(st, h, event, &changed)) != 0)
		return r;
	h->state = changed.state;
	h->ended = changed.ended;
	return 0;
}

int
hold_done(struct state *st, struct hold *h)
{
	return finish(st, h, HOLD_E_DONE);
}

int
hold_lost(struct state *st, struct hold *h)
{
	return finish(st, h, HOLD_E_LOST);
}

int
hold_recover(struct state *st)
{
	enum hold_state to;

	ASSERT(hold_next(HOLD_CONSUMED, HOLD_E_LOST, &to));
	return state_hold_move_all(st, HOLD_CONSUMED, to, clock_wall_ms());
}
