/* inspect - see inspect.h. */
#include "inspect.h"

#include <stdlib.h>

#include "leaf.h"
#include "rulepack.h"

static const char *const kinds[] = { "marker" };

static const struct leaf_limits limits = {
	.bytes = 64u << 20,
	.leaves = 1000000,
};

struct inspect {
	struct rulepack *pack;
	struct leaves leaves;
	uint32_t *counts;
	uint32_t *skip;
	size_t skip_cap;
};

int
inspect_compile(const char *dir, struct buf *section, struct err *err)
{
	return rulepack_compile(dir, kinds, ARRAY_LEN(kinds), section, err);
}

struct inspect *
inspect_load(struct slice section, struct err *err)
{
	struct rulepack *pack = rulepack_load(section, err);
	struct inspect *in;

	if (pack == NULL)
		return NULL;
	in = base_calloc(1, sizeof(*in));
	in->pack = pack;
	in->counts = base_calloc(rulepack_count(pack), sizeof(*in->counts));
	leaves_init(&in->leaves);
	return in;
}

void
inspect_free(struct inspect *in)
{
	if (in == NULL)
		return;
	rulepack_free(in->pack);
	leaves_free(&in->leaves);
	free(in->counts);
	free(in->skip);
	free(in);
}

static enum pm_answer
on_hit(void *ctx, struct pm_hit *h)
{
	((struct inspect *)ctx)->counts[h->rule]++;
	return PM_TAKE;
}

static bool
scan(struct inspect *in, bool read, struct inspect_report *rep)
{
	struct leaves *lv = &in->leaves;
	size_t n = rulepack_count(in->pack);

	rep->limit = !read;
	if (read && rulepack_scan(in->pack, leaves_scratch(lv), lv->segs,
	    lv->nsegs, on_hit, in) != PM_DONE)
		rep->limit = true;
	for (uint32_t i = 0; i < n; i++) {
		if (in->counts[i] != 0 && rep->n < INSPECT_FLAGS_MAX)
			rep->flags[rep->n++] = (struct inspect_flag){
			    rulepack_rule(in->pack, i)->id, in->counts[i] };
		in->counts[i] = 0;
	}
	return rep->n != 0 || rep->limit;
}

bool
inspect_json(struct inspect *in, const struct json_doc *doc, uint32_t node,
    enum shape shape, struct inspect_report *rep)
{
	size_t nskip = shape_skips(doc, node, shape, SHAPE_INSPECT, &in->skip,
	    &in->skip_cap);

	memset(rep, 0, sizeof(*rep));
	return scan(in, leaves_json(&in->leaves, doc, node, in->skip, nskip,
	    &limits) == 0, rep);
}

bool
inspect_text(struct inspect *in, struct slice text, struct inspect_report *rep)
{
	memset(rep, 0, sizeof(*rep));
	return scan(in, leaves_text(&in->leaves, text, &limits) == 0, rep);
}
