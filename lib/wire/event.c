/* event - see event.h. */
#include "event.h"

#include "clock.h"

static const char *const type_names[EVENT_COUNT] = {
#define EVENT(sym, type, doc) [EVENT_##sym] = type,
#include "events.def"
#undef EVENT
};

const char *
event_type_name(enum event_type t)
{
	return (unsigned)t < EVENT_COUNT ? type_names[t] : "?";
}

bool
event_type_parse(struct slice name, enum event_type *t_r)
{
	for (unsigned i = 0; i < EVENT_COUNT; i++) {
		if (!slice_is(name, type_names[i]))
			continue;
		*t_r = (enum event_type)i;
		return true;
	}
	return false;
}

#define EVENT_ROOM 3584	/* with what is there a block of 4096 */

void
event_begin(struct jsonw *w, struct buf *b, struct uuid id,
    enum event_type type, enum role role)
{
	char text[UUID_TEXT_LEN], when[CLOCK_RFC3339_LEN];

	/* Room for most events at once, instead of growing into it. */
	if (buf_room(b) > EVENT_ROOM && buf_reserve(b, EVENT_ROOM) == NULL)
		ASSERT(!"there is room");
	uuid_format(id, text);
	clock_format(clock_wall_ms(), when);
	jsonw_init(w, b);
	jsonw_object(w, NULL);
	jsonw_str(w, "id", text);
	jsonw_str(w, "time", when);
	jsonw_str(w, "type", event_type_name(type));
	jsonw_str(w, "role", role_name(role));
}

void
event_end(struct jsonw *w)
{
	jsonw_object_end(w);
	ASSERT(w->depth == 0);
}
