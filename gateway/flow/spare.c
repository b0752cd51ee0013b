/*
 * spare - memory of finished exchanges, kept for the next ones: an exchange
 * would otherwise allocate and free the same large blocks as the one before.
 * A sanitizer's build keeps none, so that it sees every use after the end.
 */
#include "internal.h"

#include <malloc.h>
#include <stdlib.h>

#include "sandbox.h"

#define ARENA_MAX (4u << 20)
#define SETTLED_MANY 256	/* streams that leave enough to look for it */
#define TRIM_S 10		/* seconds between looks: each walks the heap */
#define DOC_NODES_MAX 4096		/* a larger index is not kept */

static bool
may_keep(unsigned n)
{
	return n < SPARE_MAX && !sandbox_is_sanitized();
}

struct arena *
spare_arena(struct flow *f)
{
	struct spares *s = &f->spares;

	return s->narenas > 0 ? s->arenas[--s->narenas] :
	    arena_new(ARENA_MAX);
}

void
spare_arena_back(struct flow *f, struct arena *a)
{
	struct spares *s = &f->spares;

	if (!may_keep(s->narenas)) {
		arena_free(a);
		return;
	}
	arena_reset(a);
	s->arenas[s->narenas++] = a;
}

struct http1_head *
spare_head(struct flow *f)
{
	struct spares *s = &f->spares;
	struct http1_head *h = s->nheads > 0 ? s->heads[--s->nheads] :
	    base_realloc(NULL, sizeof(*h));

	http1_head_init(h);
	return h;
}

void
spare_head_back(struct flow *f, struct http1_head *h)
{
	struct spares *s = &f->spares;

	if (h == NULL)
		return;
	if (!h->trimmed && may_keep(s->nheads))
		s->heads[s->nheads++] = h;
	else
		free(h);
}

void
spare_doc(struct flow *f, struct json_doc *d)
{
	struct spares *s = &f->spares;

	if (s->ndocs > 0)
		*d = s->docs[--s->ndocs];
	else
		json_init(d);
}

void
spare_doc_back(struct flow *f, struct json_doc *d)
{
	struct spares *s = &f->spares;

	if (may_keep(s->ndocs) && d->nodes != NULL && d->cap <= DOC_NODES_MAX)
		s->docs[s->ndocs++] = *d;
	else
		json_free(d);
	json_init(d);
}

struct buf *
spare_event(struct flow *f, size_t max)
{
	struct buf *b = &f->spares.event;

	if (b->cap > SPARE_EVENT_MAX || sandbox_is_sanitized())
		buf_free(b);
	buf_reset(b);
	b->max = max;
	return b;
}

/* An event stream may stay open for hours: what it does not need goes. */
void
spare_settle(struct exchange *ex)
{
	if (ex->c->in.len == 0)
		buf_wipe_free(&ex->c->in);
	spare_doc_back(ex->f, &ex->doc);	/* the request has gone */
	ex->req = http1_head_trim(ex->req);
	ex->resp = http1_head_trim(ex->resp);
	if (ex->c->s != NULL)		/* an inner one has none */
		stream_trim(ex->c->s);
	ex->f->spares.settled++;
}

void
spare_second(struct flow *f)
{
	struct spares *s = &f->spares;

	if (s->seconds < TRIM_S)
		s->seconds++;
	if (s->seconds < TRIM_S || s->settled < SETTLED_MANY)
		return;
	s->seconds = s->settled = 0;
	malloc_trim(0);
}
