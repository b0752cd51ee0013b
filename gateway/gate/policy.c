/* policy - see policy.h. */
#include "policy.h"

const char *const policy_approval_names[] = { "ask", "default", "auto" };
const char *const policy_state_names[] = { "disabled", "observe", "enabled",
	"ask-all" };

static struct policy_verdict
verdict(enum conf_effect e, enum reason r, const char *by)
{
	return (struct policy_verdict){ e, r, by, false, e };
}

static struct policy_verdict
by_matrix(const struct policy_input *in)
{
	const struct action *a = in->action;
	enum conf_effect e;

	/* The protocol's own lifecycle has no effect to hold or deny. */
	if (a->operation == ACTION_PROTOCOL || a->operation == ACTION_LIST)
		return verdict(CONF_ALLOW, REASON_NONE, "protocol");
	e = in->matrix[a->who->trust][a->klass];
	/* To ask for everything tightens: it lifts no denial either. */
	if (e == CONF_DENY)
		return verdict(e, REASON_POLICY, "matrix");
	if (in->state == POLICY_ASK_ALL)
		return verdict(CONF_HOLD, REASON_POLICY, "connector");
	if (in->approval == POLICY_ASK)
		return verdict(CONF_HOLD, REASON_POLICY, "tool");
	/* `auto` spares a person the question, it lifts no denial, and never
	 * what cannot be undone or is not known. */
	if (in->approval == POLICY_AUTO && e == CONF_HOLD &&
	    (a->klass == CONF_READ_ONLY || a->klass == CONF_MODERATE))
		return verdict(CONF_ALLOW, REASON_NONE, "tool");
	return verdict(e, e == CONF_ALLOW ? REASON_NONE : REASON_POLICY,
	    "matrix");
}

struct policy_verdict
policy_decide(const struct policy_input *in)
{
	struct policy_verdict v;

	/* Explicit denials act in every state. */
	if (in->state == POLICY_DISABLED)
		return verdict(CONF_DENY, REASON_DISABLED, "connector");
	if (!in->on_access_list)
		return verdict(CONF_DENY, REASON_NOT_YOURS, "connector");
	if (!in->tool_enabled)
		return verdict(CONF_DENY, REASON_DISABLED, "tool");
	v = by_matrix(in);
	if (in->advice == POLICY_ADVICE_DENY)
		v = verdict(CONF_DENY, REASON_ADVICE, "advice");
	else if (in->advice == POLICY_ADVICE_HOLD && v.effect == CONF_ALLOW)
		v = verdict(CONF_HOLD, REASON_ADVICE, "advice");
	if (in->state == POLICY_OBSERVE && v.effect != CONF_ALLOW) {
		v.observed = true;
		v.effect = CONF_ALLOW;
	}
	return v;
}
