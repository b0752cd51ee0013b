/* gateask - see gateask.h. */
#include "gateask.h"

static bool
plain(struct slice s, size_t max, bool capitals, const char *others)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		    (capitals && c >= 'A' && c <= 'Z') ||
		    (c != '\0' && strchr(others, c) != NULL)))
			return false;
	}
	return s.n > 0 && s.n <= max;
}

bool
gateask_tool_ok(struct slice name)
{
	return plain(name, GATEASK_TOOL_MAX, true, "_.:/-");
}

bool
gateask_word_ok(struct slice word)
{
	return plain(word, GATEASK_WORD_MAX, false, "_.-");
}

/* Every member is one of these. Keys with escapes are none. */
static bool
only(const struct json_doc *d, uint32_t obj, const char *const *names,
    size_t n)
{
	for (uint32_t k = json_first(d, obj); k != JSON_NONE;
	    k = json_next(d, obj, k + 1)) {
		size_t i = 0;

		while (i < n && !slice_is(json_inner(d, k), names[i]))
			i++;
		if (i == n)
			return false;
	}
	return true;
}

static bool
text_of(const struct json_doc *d, uint32_t node, struct slice *s_r)
{
	if (json_typeof(d, node) != JSON_STRING)
		return false;
	*s_r = json_inner(d, node);
	return true;
}

/* A member that may be missing; a backslash is in no word. */
static bool
word_of(const struct json_doc *d, uint32_t obj, const char *key,
    struct slice *s_r)
{
	uint32_t node = json_member(d, obj, key);

	return node == JSON_NONE || (text_of(d, node, s_r) &&
	    gateask_word_ok(*s_r));
}

static const char *
read_context(const struct json_doc *d, uint32_t obj, struct gateask *a)
{
	static const char *const names[] = { "device_class", "environment",
		"target" };

	a->target = JSON_NONE;
	if (obj == JSON_NONE)
		return NULL;
	if (json_typeof(d, obj) != JSON_OBJECT || !only(d, obj, names,
	    ARRAY_LEN(names)))
		return "context is an object of device_class, environment "
		    "and target";
	if (!word_of(d, obj, "device_class", &a->device_class) ||
	    !word_of(d, obj, "environment", &a->environment))
		return "device_class and environment are words of a-z, 0-9, "
		    "'_', '.' and '-', at most 64";
	a->target = json_member(d, obj, "target");
	if (a->target != JSON_NONE && (json_typeof(d, a->target) !=
	    JSON_STRING || json_inner(d, a->target).n > GATEASK_TARGET_MAX))
		return "target is a text of at most 1024 bytes";
	return NULL;
}

int
gateask_read(const struct json_doc *d, struct gateask *a_r,
    const char **why_r)
{
	static const char *const names[] = { "connector", "tool", "arguments",
		"context", "wait" };
	struct gateask a = { .arguments = json_member(d, 0, "arguments") };
	uint32_t wait = json_member(d, 0, "wait");
	int64_t s = 0;

	if (json_typeof(d, 0) != JSON_OBJECT || !only(d, 0, names,
	    ARRAY_LEN(names)))
		*why_r = "the body is an object of connector, tool, "
		    "arguments, context and wait";
	else if (!text_of(d, json_member(d, 0, "connector"), &a.connector) ||
	    !gateask_word_ok(a.connector))
		*why_r = "connector is the name of one";
	else if (!text_of(d, json_member(d, 0, "tool"), &a.tool) ||
	    !gateask_tool_ok(a.tool))
		*why_r = "tool is a name of letters, digits and '_.:/-', at "
		    "most 128";
	else if (json_typeof(d, a.arguments) != JSON_OBJECT)
		*why_r = "arguments is an object";
	else if (wait != JSON_NONE && (!json_int(d, wait, &s) || s < 0 ||
	    s > GATEASK_WAIT_MAX))
		*why_r = "wait is a number of seconds, 0 to 60";
	else if ((*why_r = read_context(d, json_member(d, 0, "context"),
	    &a)) == NULL) {
		a.wait_s = (unsigned)s;
		*a_r = a;
		return 0;
	}
	return -1;
}

int
gateask_read_report(const struct json_doc *d, struct gateask_report *p_r,
    const char **why_r)
{
	static const char *const names[] = { "status", "result" };
	static const char *const words[GATEASK_STATUSES] = { "cancelled",
		"failed", "completed" };
	uint32_t status = json_member(d, 0, "status");

	*why_r = "the body is an object of status and result";
	if (json_typeof(d, 0) != JSON_OBJECT || !only(d, 0, names,
	    ARRAY_LEN(names)))
		return -1;
	for (size_t i = 0; i < GATEASK_STATUSES; i++)
		if (json_typeof(d, status) == JSON_STRING &&
		    slice_is(json_inner(d, status), words[i])) {
			p_r->status = (enum gateask_status)i;
			p_r->result = json_member(d, 0, "result");
			return 0;
		}
	*why_r = "status is completed, failed or cancelled";
	return -1;
}

enum gateask_verb
gateask_path(struct slice path, struct uuid *call_r)
{
	struct slice rest = path, id;

	if (slice_is(path, GATEASK_PATH))
		return GATEASK_ASK;
	if (!slice_starts(path, GATEASK_PATH "/"))
		return GATEASK_NONE;
	rest = slice_sub(rest, sizeof(GATEASK_PATH), SIZE_MAX);
	id = slice_cut(&rest, '/');
	if (!uuid_parse(id, call_r))
		return GATEASK_NONE;
	if (rest.p == NULL)
		return GATEASK_POLL;
	return slice_is(rest, "outcome") ? GATEASK_REPORT : GATEASK_NONE;
}

bool
gateask_wait(struct slice query, unsigned *seconds_r)
{
	uint64_t v = 0;

	if (query.p != NULL && (!slice_starts(query, "wait=") ||
	    !slice_to_u64(slice_sub(query, 5, SIZE_MAX), &v) ||
	    v > GATEASK_WAIT_MAX))
		return false;
	*seconds_r = (unsigned)v;
	return true;
}
