/*
 * gateapi_int - what gateapi.c (requests of a harness) and gateapi_call.c (its
 * calls) share; nobody else includes it.
 */
#ifndef GATEAPI_INT_H
#define GATEAPI_INT_H

#include "internal.h"

enum gate_state { GATE_ASKED, GATE_HELD, GATE_ALLOWED, GATE_RUNNING,
	GATE_REPORTED, GATE_REFUSED };

struct gate {
	struct flow *f;
	struct conn *c;			/* the inner one; NULL: it has ended */
	struct exchange *ex;		/* the call; NULL: not yet, or over */
	struct exchange *waiter;	/* whom the next answer is for */
	struct session *session;
	struct uuid call;
	enum gate_state state;
	bool known;			/* its agent knows the call's id */
	unsigned wait_s;		/* the waiter's */
	char connector[GATEASK_WORD_MAX + 1];
	unsigned status;		/* REFUSED: what to answer */
	struct buf refusal;
	struct loop_timer *timer;
};

struct slice gateapi_key(const struct uuid *call);
/* What the inner connection says; ctx is the struct gate. */
inner_fn gateapi_inner;
/* Nobody asks for it any more; what may still run of it is cancelled. */
void gateapi_forget(struct gate *g);

/* False: it does not fit, and nothing is written. ex is over otherwise. */
bool gateapi_answer(struct exchange *ex, unsigned status, struct slice json);
/* An object that begins with the call's id; b is to be freed. */
void gateapi_begin_json(struct jsonw *w, struct buf *b, const struct gate *g,
    size_t max);
/* The waiter of a call that is asked or held gets a "hold", now or later. */
void gateapi_answer_held(struct gate *g);
void gateapi_wait_on(struct gate *g);
/* Hands the answer out to the waiter, once. False: it does not fit. */
bool gateapi_hand_out(struct gate *g);
enum step_result gateapi_too_large(struct exchange *ex);

/* The report: end_status of the call is set. Both end it, the second once its
 * result is redacted and the detector has its flags. */
void gateapi_finish(struct gate *g, struct slice result);
void gateapi_take_result(struct gate *g, struct slice result);

#endif
