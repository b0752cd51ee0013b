/*
 * policy - may this action go out: a pure function of the action, what is
 * configured for its connector and tool, the detector's advice and the state
 * of the connector. No clock, no I/O.
 */
#ifndef POLICY_H
#define POLICY_H

#include "action.h"
#include "base.h"
#include "conf.h"
#include "reason.h"

enum policy_approval { POLICY_ASK, POLICY_DEFAULT, POLICY_AUTO,
	POLICY_APPROVALS };
enum policy_state { POLICY_DISABLED, POLICY_OBSERVE, POLICY_ENABLED,
	POLICY_ASK_ALL, POLICY_STATES };
enum policy_advice { POLICY_ADVICE_DENY, POLICY_ADVICE_HOLD,
	POLICY_ADVICE_NONE };

extern const char *const policy_approval_names[POLICY_APPROVALS];
extern const char *const policy_state_names[POLICY_STATES];

struct policy_input {
	const struct action *action;
	const enum conf_effect (*matrix)[CONF_CLASSES];	/* by trust level */
	enum policy_state state;
	bool on_access_list;
	bool tool_enabled;
	enum policy_approval approval;
	enum policy_advice advice;
};

struct policy_verdict {
	enum conf_effect effect;
	enum reason reason;
	const char *by;		/* "matrix", "tool", "connector", "advice" */
	bool observed;		/* recorded, not enforced */
	enum conf_effect would;	/* what it would have been */
};

struct policy_verdict policy_decide(const struct policy_input *in);

#endif
