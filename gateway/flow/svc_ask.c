/*
 * svc_ask - questions to other roles: numbered, answered once, or by nobody:
 * the role went away, or took longer than SVC_ANSWER_S. Must never lose a
 * question: its owner waits.
 */
#include "internal.h"

static struct ask *
ask_new(struct asks *s)
{
	uint32_t i = s->first_free;

	if (i == s->n) {
		uint32_t n = s->n == 0 ? 64 : s->n * 2;

		s->v = base_realloc(s->v, n * sizeof(*s->v));
		memset(s->v + s->n, 0, (n - s->n) * sizeof(*s->v));
		for (uint32_t k = s->n; k < n; k++)
			s->v[k].next_free = k + 1;
		s->n = n;
	}
	s->first_free = s->v[i].next_free;
	if (++s->uses == 0)
		s->uses = 1;
	s->v[i].q = (uint64_t)s->uses << 32 | i;
	s->v[i].seconds = 0;
	return &s->v[i];
}

static struct ask *
ask_find(const struct asks *s, uint64_t q)
{
	uint32_t i = (uint32_t)q;

	return q != 0 && i < s->n && s->v[i].q == q ? &s->v[i] : NULL;
}

/* The slot may be used again from here on: what it held is answered. */
static struct ask
ask_take(struct asks *s, struct ask *a)
{
	struct ask was = *a;

	a->q = 0;
	a->next_free = s->first_free;
	s->first_free = (uint32_t)was.q;
	return was;
}

uint64_t
svc_ask(struct flow *f, struct chan *c, enum msg_type type,
    struct slice body, ask_fn *fn, void *ctx)
{
	struct buf *b = chan_begin(c, type);
	struct ask *a;

	if (b == NULL)
		return 0;
	a = ask_new(&f->asks);
	a->chan = c;
	a->fn = fn;
	a->ctx = ctx;
	pack_u64(b, a->q);
	if (type == MSG_ADVISE || type == MSG_CONTEXT || type == MSG_MINT)
		pack_slice(b, body);
	else
		buf_add_slice(b, body);	/* packed by the caller */
	if (chan_end(c) != 0) {
		(void)ask_take(&f->asks, a);
		return 0;
	}
	return a->q;
}

uint64_t
svc_via_credential(struct flow *f, const struct connector_via *v,
    ask_fn *fn, void *ctx)
{
	uint64_t q = 0;
	struct buf b;

	if (f->keeper == NULL)
		return 0;
	buf_init(&b, 1024);
	pack_str(&b, CONNECTOR_VIA);
	pack_str(&b, v->credential);
	q = svc_ask(f, f->keeper, MSG_CRED_GET, buf_slice(&b), fn, ctx);
	buf_free(&b);
	return q;
}

void
svc_forget(struct flow *f, uint64_t q)
{
	struct ask *a = ask_find(&f->asks, q);

	if (a != NULL)
		(void)ask_take(&f->asks, a);
}

int
svc_answered(struct flow *f, enum msg_type type, struct slice body)
{
	struct unpack u;
	struct ask *a, was;

	unpack_init(&u, body);
	uint64_t q = unpack_u64(&u);

	if (u.bad)
		return -1;
	a = ask_find(&f->asks, q);
	if (a == NULL)
		return 0;	/* forgotten meanwhile */
	was = ask_take(&f->asks, a);
	was.fn(was.ctx, type, &u);
	return 0;
}

/* Whoever waits for this is told by a message of type 0. */
static void
no_answer(struct flow *f, struct ask *a)
{
	struct ask was = ask_take(&f->asks, a);
	struct unpack u;

	unpack_init(&u, slice_make("", 0));
	was.fn(was.ctx, (enum msg_type)0, &u);
}

/* A role has gone. New questions go to another channel, so each slot is looked
 * at once. */
void
svc_abandon(struct flow *f, struct chan *c)
{
	for (uint32_t i = 0; i < f->asks.n; i++)
		if (f->asks.v[i].q != 0 && f->asks.v[i].chan == c)
			no_answer(f, &f->asks.v[i]);
}

void
svc_second(struct flow *f)
{
	for (uint32_t i = 0; i < f->asks.n; i++)
		if (f->asks.v[i].q != 0 && ++f->asks.v[i].seconds > SVC_ANSWER_S)
			no_answer(f, &f->asks.v[i]);
}
