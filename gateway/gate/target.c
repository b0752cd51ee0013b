/* target - see target.h. */
#include "target.h"

#include "visible.h"

static const char *const kinds[TARGET_KINDS] = {
	[TARGET_ALL] = "all", [TARGET_CONNECTOR] = "connector",
	[TARGET_TOOL] = "tool", [TARGET_AGENT] = "agent",
	[TARGET_SESSION] = "session", [TARGET_USER] = "user",
};

const char *
target_kind_name(enum target_kind k)
{
	return (unsigned)k < TARGET_KINDS ? kinds[k] : "?";
}

static int
unknown_kind(struct slice kind, struct err *err)
{
	const char *near = err_nearest(kind, kinds, TARGET_KINDS);

	err_set(err, "unknown target \"%.*s\"%s%s%s; targets are"
	    " connector/NAME, tool/CONNECTOR/TOOL, agent/NAME, session/ID,"
	    " user/NAME, all", (int)(kind.n > 60 ? 60 : kind.n), kind.p,
	    near != NULL ? ", did you mean \"" : "",
	    near != NULL ? near : "", near != NULL ? "\"" : "");
	return -1;
}

int
target_parse(struct target *t, struct slice text, struct err *err)
{
	struct slice rest = text, kind;
	struct target v = { .kind = TARGET_KINDS, .name = SLICE(""),
		.tool = SLICE("") };

	if (text.n > TARGET_MAX || !visible_is_clean(text)) {
		err_set(err, "a target is at most %d bytes of visible text",
		    TARGET_MAX);
		return -1;
	}
	if (slice_is(text, "all")) {
		v.kind = TARGET_ALL;
		*t = v;
		return 0;
	}
	kind = slice_cut(&rest, '/');
	for (unsigned i = TARGET_CONNECTOR; i < TARGET_KINDS; i++)
		if (slice_is(kind, kinds[i]))
			v.kind = (enum target_kind)i;
	if (v.kind == TARGET_KINDS)
		return unknown_kind(kind, err);
	v.name = rest;
	if (v.kind == TARGET_TOOL) {
		v.name = slice_cut(&rest, '/');
		v.tool = rest;
	}
	if (v.name.p == NULL || v.name.n == 0 ||
	    (v.kind == TARGET_TOOL && (v.tool.p == NULL || v.tool.n == 0))) {
		err_set(err, "the target \"%s\" needs a name: %s",
		    kinds[v.kind], v.kind == TARGET_TOOL ?
		    "tool/CONNECTOR/TOOL" : "KIND/NAME");
		return -1;
	}
	*t = v;
	return 0;
}

static bool
same(struct slice a, const char *b)
{
	return b != NULL && slice_is(a, b);
}

bool
target_covers(const struct target *t, const struct target_call *c)
{
	switch (t->kind) {
	case TARGET_ALL:
		return true;
	case TARGET_CONNECTOR:
		return same(t->name, c->connector);
	case TARGET_TOOL:
		return same(t->name, c->connector) && same(t->tool, c->tool);
	case TARGET_AGENT:
		return same(t->name, c->agent);
	case TARGET_SESSION:
		return same(t->name, c->session);
	case TARGET_USER:
		return same(t->name, c->user);
	default:
		return false;
	}
}
