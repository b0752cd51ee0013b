/* msg - the numbers and names of messages and roles (msgs.def, roles.def). */
#ifndef MSG_H
#define MSG_H

#include "base.h"

#define MSG_VERSION 1

enum msg_type {
#define MSG(sym, num, way, body) MSG_##sym = num,
#include "msgs.def"
#undef MSG
};

enum role {
#define ROLE(sym, name, daemon, doc) ROLE_##sym,
#include "roles.def"
#undef ROLE
	ROLE_COUNT
};

const char *msg_name(enum msg_type t);		/* "?" when unknown */
const char *role_name(enum role r);
bool role_parse(struct slice name, enum role *r_r) MUST_USE;

#endif
