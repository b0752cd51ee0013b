/*
 * broker_tools - the tool lists that proxies remember: since when, for
 * `tool ls`, and `tool refresh`, which has all of them forget a connector's.
 * What a proxy told is forgotten with it.
 */
#include "gateway/broker_int.h"

#include <stdlib.h>

#include "clock.h"
#include "log.h"

#define CACHED_MAX 10000	/* connectors, of one proxy */
#define REFRESH_WAIT_MS 2000

struct broker_cached {
	struct list link;
	char *connector;
	int64_t since_ms;
};

struct broker_refresh {
	struct list link;
	struct broker_op *op;
	uint64_t q, until_ms;
	bool waits[BROKER_PROXIES];
	unsigned waiting, asked, answered;
	uint64_t lists, bytes;
};

/* -- what is remembered -- */

void
tools_proxy_init(struct broker_proxy *p)
{
	list_init(&p->cached);
	p->ncached = 0;
}

static void
cached_drop(struct broker_proxy *p, struct broker_cached *c)
{
	list_remove(&c->link);
	p->ncached--;
	free(c->connector);
	free(c);
}

int
tools_on_cached(struct broker_proxy *p, struct slice body)
{
	struct broker_cached *c;
	struct unpack u;

	unpack_init(&u, body);
	struct slice connector = unpack_slice(&u);
	uint32_t lists = unpack_u32(&u);
	int64_t since_ms = unpack_i64(&u);

	if (!unpack_done(&u))
		return -1;
	list_each_safe(it, tmp, &p->cached) {
		c = list_entry(it, struct broker_cached, link);
		if (slice_is(connector, c->connector))
			cached_drop(p, c);
	}
	if (lists == 0 || p->ncached == CACHED_MAX)
		return 0;
	c = base_calloc(1, sizeof(*c));
	c->connector = slice_dup(connector);
	c->since_ms = since_ms;
	list_append(&p->cached, &c->link);
	p->ncached++;
	return 0;
}

int64_t
tools_cached_since(const struct broker *b, const char *connector)
{
	int64_t since = 0;

	for (size_t i = 0; b != NULL && i < BROKER_PROXIES; i++)
		list_each(it, &b->proxies[i].cached) {
			const struct broker_cached *c = list_entry(it,
			    struct broker_cached, link);

			if (strcmp(c->connector, connector) == 0 &&
			    (since == 0 || c->since_ms < since))
				since = c->since_ms;
		}
	return since;
}

/* -- forgetting it -- */

static void
refresh_finish(struct broker_refresh *r)
{
	struct broker_op *op = r->op;
	struct broker_event e;

	broker_event_begin(&e, EVENT_TOOL_REFRESHED);
	jsonw_str(&e.w, "connector", op_text(op, OPREQ_CONNECTOR));
	jsonw_str(&e.w, "by", op->by);
	jsonw_u64(&e.w, "lists", r->lists);
	jsonw_u64(&e.w, "bytes", r->bytes);
	jsonw_u64(&e.w, "proxies", r->answered);
	op_note(op, &e);
	op_ok(op);
	jsonw_str(&op->w, "connector", op_text(op, OPREQ_CONNECTOR));
	jsonw_u64(&op->w, "lists", r->lists);
	jsonw_u64(&op->w, "bytes", r->bytes);
	jsonw_u64(&op->w, "answered", r->answered);
	jsonw_u64(&op->w, "proxies", r->asked);
	op_end(op);
	list_remove(&r->link);
	free(r);
}

static void
no_more_of(struct broker_refresh *r, unsigned index)
{
	if (!r->waits[index])
		return;
	r->waits[index] = false;
	if (--r->waiting == 0)
		refresh_finish(r);
}

int
tools_on_refreshed(struct broker_proxy *p, struct slice body)
{
	struct unpack u;

	unpack_init(&u, body);
	uint64_t q = unpack_u64(&u);
	uint32_t lists = unpack_u32(&u);
	uint64_t bytes = unpack_u64(&u);

	if (!unpack_done(&u))
		return -1;
	list_each(it, &p->b->refreshes) {
		struct broker_refresh *r = list_entry(it,
		    struct broker_refresh, link);

		if (r->q != q || !r->waits[p->index])
			continue;
		r->lists += lists;
		r->bytes += bytes;
		r->answered++;
		no_more_of(r, p->index);
		break;
	}
	return 0;
}

void
tools_proxy_gone(struct broker_proxy *p)
{
	while (!list_empty(&p->cached))
		cached_drop(p, list_entry(p->cached.next, struct broker_cached,
		    link));
	list_each_safe(it, tmp, &p->b->refreshes)
		no_more_of(list_entry(it, struct broker_refresh, link),
		    p->index);
}

void
tools_tick(struct broker *b)
{
	list_each_safe(it, tmp, &b->refreshes) {
		struct broker_refresh *r = list_entry(it,
		    struct broker_refresh, link);

		if (clock_mono_ms() >= r->until_ms)
			refresh_finish(r);
	}
}

/* Their ops are the connections'. */
void
tools_free_all(struct broker *b)
{
	while (!list_empty(&b->refreshes)) {
		struct broker_refresh *r = list_entry(b->refreshes.next,
		    struct broker_refresh, link);

		list_remove(&r->link);
		free(r);
	}
}

static void
refresh_ask(struct broker_proxy *p, const void *what)
{
	struct broker_refresh *r = (struct broker_refresh *)(uintptr_t)what;
	struct buf *m = broker_proxy_begin(p, MSG_TOOLS_REFRESH);

	if (m == NULL)
		return;
	pack_u64(m, r->q);
	pack_str(m, op_text(r->op, OPREQ_CONNECTOR));
	r->waits[p->index] = true;
	r->waiting++;
	r->asked++;
	broker_proxy_end(p);
}

void
op_tool_refresh(struct broker_op *op)
{
	const char *name = op_text(op, OPREQ_CONNECTOR);
	struct broker *b = op->b;
	struct broker_names known = { 0 };
	struct broker_refresh *r;

	broker_connector_names(b, &known);
	if (known.catalogue && !broker_names_has(&known, slice_str(name))) {
		op_fail_unknown(op, "connector", name, &known);
		broker_names_free(&known);
		return;
	}
	broker_names_free(&known);
	r = base_calloc(1, sizeof(*r));
	r->op = op;
	r->q = ++b->last_refresh;
	r->until_ms = clock_mono_ms() + REFRESH_WAIT_MS;
	list_append(&b->refreshes, &r->link);
	registry_each_proxy(b, NULL, refresh_ask, r);
	broker_flush(b);
	if (r->waiting == 0)
		refresh_finish(r);
}
