/* call_credential - the step CREDENTIAL: what the keeper adds to a call, for the
 * upstream and for the proxy on the way to it. */
#include "internal.h"

#include "log.h"

/* So that an upstream that echoes it does not show it to the agent. */
static void
note_credential(struct exchange *ex, struct slice value)
{
	struct slice rest = value;
	struct slice scheme = slice_cut(&rest, ' ');

	ex->literals = literals_new();
	if (literals_add(ex->literals, rest.n > 0 && scheme.n < 16 ? rest :
	    value, 0) != 0)
		log_warn("the credential of %s is too short or too long to be "
		    "looked for in results", ex->con->name);
}

static void
no_credential(struct exchange *ex, const char *name, struct slice why)
{
	exchange_refuse(ex, REASON_CREDENTIAL, "%s: %.*s. An admin stores it "
	    "with: portreeve credential set %s", name, SLICE_FMT(why), name);
}

/* The header of a MSG_CRED, or false and why. */
static bool
take_credential(struct exchange *ex, enum msg_type type, struct unpack *u,
    struct slice *name_r, struct slice *value_r, struct slice *why_r)
{
	ex->deadline_q = 0;
	*why_r = SLICE("the keeper went away or does not answer");
	if (type == MSG_KEEPER_NO)
		*why_r = unpack_slice(u);
	if (type != MSG_CRED)
		return false;
	struct slice name = unpack_slice(u), value = unpack_slice(u);

	if (!unpack_done(u))
		return false;
	*name_r = arena_copy(ex->a, name);
	*value_r = arena_copy(ex->a, value);
	return true;
}

static void
on_via_credential(void *ctx, enum msg_type type, struct unpack *u)
{
	struct exchange *ex = ctx;
	struct slice name, why;

	if (take_credential(ex, type, u, &name, &ex->via_value, &why)) {
		exchange_resume(ex);
		return;
	}
	no_credential(ex, ex->con->via.credential, why);
	exchange_answer_refusal(ex);
}

static enum step_result
via_credential(struct exchange *ex)
{
	if (ex->con->via.credential[0] == '\0')
		return STEP_DONE;
	ex->deadline_q = svc_via_credential(ex->f, &ex->con->via,
	    on_via_credential, ex);
	if (ex->deadline_q == 0)
		return exchange_refuse(ex, REASON_CREDENTIAL,
		    "The keeper cannot be reached.");
	return STEP_WAIT;
}

static void
on_credential(void *ctx, enum msg_type type, struct unpack *u)
{
	struct exchange *ex = ctx;
	struct slice why;

	if (!take_credential(ex, type, u, &ex->cred_name, &ex->cred_value,
	    &why)) {
		no_credential(ex, ex->con->credential, why);
		exchange_answer_refusal(ex);
		return;
	}
	note_credential(ex, ex->cred_value);
	switch (via_credential(ex)) {
	case STEP_DONE:
		exchange_resume(ex);
		break;
	case STEP_REFUSE:
		exchange_answer_refusal(ex);
		break;
	case STEP_WAIT:
		break;
	}
}

enum step_result
call_credential(struct exchange *ex)
{
	struct buf b;

	if (ex->message)		/* the handshake had it */
		return STEP_DONE;
	if (ex->con->credential[0] == '\0')
		return via_credential(ex);
	if (ex->f->keeper != NULL) {
		buf_init(&b, 1024);
		pack_str(&b, ex->con->name);
		pack_str(&b, ex->con->credential);
		ex->deadline_q = svc_ask(ex->f, ex->f->keeper, MSG_CRED_GET,
		    buf_slice(&b), on_credential, ex);
		buf_free(&b);
	}
	if (ex->deadline_q == 0)
		return exchange_refuse(ex, REASON_CREDENTIAL,
		    "The keeper cannot be reached.");
	return STEP_WAIT;
}
