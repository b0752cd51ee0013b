/* opencalls - see opencalls.h. */
#include "opencalls.h"

#include <stdlib.h>

#include "log.h"

struct open_call {
	struct list link;
	struct uuid id;
	uint64_t seq;		/* of the decision's row */
};

void
opencalls_init(struct opencalls *o)
{
	memset(o, 0, sizeof(*o));
	map_init(&o->by_id);
}

static struct slice
key(const struct uuid *id)
{
	return slice_make(id->b, sizeof(id->b));
}

static void
drop(struct opencalls *o, struct open_call *c)
{
	map_del(&o->by_id, key(&c->id));
	list_remove(&c->link);
	free(c);
}

void
opencalls_free(struct opencalls *o)
{
	size_t i = 0;
	struct slice k;
	void *v;

	while (map_next(&o->by_id, &i, &k, &v)) {
		struct open_call *c = v;

		list_remove(&c->link);
		free(c);
	}
	map_free(&o->by_id);
}

/* Something went, or goes, upstream because of this decision. */
static bool
goes_ahead(const struct json_doc *doc)
{
	return json_str_is(doc, json_member(doc, 0, "verdict"), "allow") ||
	    json_typeof(doc, json_member(doc, 0, "observed")) == JSON_TRUE;
}

void
opencalls_note(struct opencalls *o, struct slice type,
    const struct json_doc *doc, struct uuid call, uint64_t seq,
    struct list *owner)
{
	struct open_call *c;

	if (slice_is(type, "call.outcome")) {
		c = map_get(&o->by_id, key(&call));
		if (c != NULL)
			drop(o, c);
		return;
	}
	if (!slice_is(type, "call.decision") || !goes_ahead(doc) ||
	    map_get(&o->by_id, key(&call)) != NULL)
		return;
	if (map_count(&o->by_id) >= OPENCALLS_MAX) {
		if (o->lost++ == 0)
			log_error("more than %d open calls: further ones get "
			    "no outcome \"unknown\" when their proxy vanishes",
			    OPENCALLS_MAX);
		return;
	}
	c = base_calloc(1, sizeof(*c));
	c->id = call;
	c->seq = seq;
	list_append(owner, &c->link);
	map_put(&o->by_id, key(&call), c);
}

bool
opencalls_take(struct opencalls *o, struct list *owner, uint64_t max,
    struct uuid *call_r, uint64_t *seq_r)
{
	if (list_empty(owner))
		return false;
	struct open_call *c = list_entry(owner->next, struct open_call, link);

	if (c->seq > max)	/* decided in order, so all others are too */
		return false;
	*call_r = c->id;
	*seq_r = c->seq;
	drop(o, c);
	return true;
}
