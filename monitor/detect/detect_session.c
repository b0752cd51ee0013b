/* detect_session - see detect_session.h. */
#include "detect_session.h"

#include <stdlib.h>

#include "map.h"

struct session {
	unsigned n;
	struct detect_label l[DETECT_LABELS];	/* as they came */
};

static void
session_drop(void *ctx, union detect_val v)
{
	struct session *s = v.p;

	(void)ctx;
	for (unsigned i = 0; i < s->n; i++)
		free(s->l[i].flags);
	free(s);
}

void
detect_sessions_init(struct detect_lru *t)
{
	detect_lru_init(t, DETECT_SESSIONS, session_drop, NULL);
}

/* Hash of a string member; 0 when there is none or it is empty. */
static uint64_t
member_hash(const struct json_doc *doc, const char *key)
{
	uint32_t n = json_member(doc, 0, key);
	struct slice s = json_typeof(doc, n) == JSON_STRING ?
	    json_inner(doc, n) : slice_make("", 0);

	return s.n == 0 ? 0 : map_hash(s.p, s.n);
}

/* The strings of `flags`, one a line, as many as fit. */
static void
collect_flags(const struct json_doc *doc, uint32_t flags, struct buf *out)
{
	struct buf one;

	buf_init(&one, DETECT_FLAGS_MAX);
	for (uint32_t f = json_first(doc, flags); f != JSON_NONE;
	    f = json_next(doc, flags, f)) {
		buf_reset(&one);
		if (json_typeof(doc, f) != JSON_STRING ||
		    json_decode(doc, f, &one) != 0 || one.len == 0 ||
		    memchr(buf_data(&one), '\0', one.len) != NULL ||
		    one.len + 1 > buf_room(out))
			continue;
		buf_add_slice(out, buf_slice(&one));
		buf_add_char(out, '\n');
	}
	buf_free(&one);
}

/* True when every line of b is one of a. */
static bool
flags_within(const char *a, const char *b)
{
	struct slice rest = slice_str(b);

	while (rest.n > 0) {
		struct slice all = slice_str(a), f = slice_cut(&rest, '\n');
		bool found = false;

		while (all.n > 0 && !found)
			found = slice_eq(slice_cut(&all, '\n'), f);
		if (!found)
			return false;
	}
	return true;
}

/* *takes* l.flags. What is known of the call (a context message comes before
 * its recorded outcome) stays as it is. */
static bool
label_add(struct session *s, struct detect_label l)
{
	for (unsigned i = 0; i < s->n; i++) {
		if (s->l[i].call == l.call && l.call != 0 &&
		    flags_within(s->l[i].flags, l.flags)) {
			free(l.flags);
			return false;
		}
	}
	if (s->n == DETECT_LABELS) {
		free(s->l[0].flags);
		memmove(s->l, s->l + 1, (DETECT_LABELS - 1) * sizeof(l));
		s->n--;
	}
	s->l[s->n++] = l;
	return true;
}

bool
detect_session_note(struct detect_lru *t, const struct json_doc *doc,
    struct uuid event, int64_t time)
{
	uint32_t flags = json_member(doc, 0, "flags");
	union detect_val *v;
	uint64_t key;
	struct buf b;
	bool fresh, noted;

	if (json_typeof(doc, flags) != JSON_ARRAY ||
	    (key = member_hash(doc, "session")) == 0)
		return false;
	buf_init(&b, DETECT_FLAGS_MAX);
	collect_flags(doc, flags, &b);
	if (b.len == 0) {
		buf_free(&b);
		return false;
	}
	v = detect_lru_put(t, key, &fresh);
	if (fresh)
		v->p = base_calloc(1, sizeof(struct session));
	noted = label_add(v->p, (struct detect_label){ time, event,
	    member_hash(doc, "call"), slice_dup(buf_slice(&b)) });
	buf_free(&b);
	return noted;
}

static bool
flags_fit(const char *flags, char *const *patterns, size_t n)
{
	struct slice rest = slice_str(flags);

	if (n == 0)
		return true;
	while (rest.n > 0) {
		struct slice f = slice_cut(&rest, '\n');

		for (size_t i = 0; i < n; i++) {
			if (rule_glob(slice_str(patterns[i]), f))
				return true;
		}
	}
	return false;
}

const struct detect_label *
detect_session_flagged(struct detect_lru *t, const struct json_doc *doc,
    int64_t time, int64_t within_ms, char *const *patterns, size_t n)
{
	uint64_t key = member_hash(doc, "session");
	uint64_t call = member_hash(doc, "call");
	union detect_val *v = key == 0 ? NULL : detect_lru_get(t, key);
	const struct session *s = v == NULL ? NULL : v->p;

	for (unsigned i = s == NULL ? 0 : s->n; i > 0; i--) {
		const struct detect_label *l = &s->l[i - 1];

		if (l->time <= time && l->time >= time - within_ms &&
		    (call == 0 || l->call != call) &&
		    flags_fit(l->flags, patterns, n))
			return l;
	}
	return NULL;
}
