/* msg - see msg.h. */
#include "msg.h"

const char *
msg_name(enum msg_type t)
{
	switch (t) {
#define MSG(sym, num, way, body)                                          \
	case MSG_##sym:                                                   \
		return #sym;
#include "msgs.def"
#undef MSG
	}
	return "?";
}

static const char *const role_names[ROLE_COUNT] = {
#define ROLE(sym, name, daemon, doc) name,
#include "roles.def"
#undef ROLE
};

const char *
role_name(enum role r)
{
	return (unsigned)r < ROLE_COUNT ? role_names[r] : "?";
}

bool
role_parse(struct slice name, enum role *r_r)
{
	for (unsigned i = 0; i < ROLE_COUNT; i++) {
		if (!slice_is(name, role_names[i]))
			continue;
		*r_r = (enum role)i;
		return true;
	}
	return false;
}
