/* loop - see loop.h. */
#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "clock.h"

#define LOOP_EVENTS 256

struct loop_fd {
	struct loop *loop;
	int fd;
	unsigned events;
	loop_fd_fn *fn;
	void *ctx;
	bool dead;
};

struct loop_timer {
	struct loop *loop;
	loop_fn *fn;
	void *ctx;
	uint64_t at_ms;
	size_t heap_at;		/* index in the heap, SIZE_MAX: not armed */
};

struct task {
	loop_fn *fn;
	void *ctx;
};

struct tasks {
	struct task *v;
	size_t n, cap;
};

struct loop {
	int epfd;
	bool stop;
	struct loop_timer **heap;
	size_t nheap, heap_cap;
	struct tasks at_end, soon, running;
	struct tasks *running_of;	/* the queue `running` was taken from */
	bool in_round;
	void **garbage;
	size_t ngarbage, garbage_cap;
	uint64_t now_ms;
};

struct loop *
loop_new(void)
{
	struct loop *l = base_calloc(1, sizeof(*l));

	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	ASSERT(l->epfd >= 0);
	l->now_ms = clock_mono_ms();
	return l;
}

static void
collect(struct loop *l)
{
	for (size_t i = 0; i < l->ngarbage; i++)
		free(l->garbage[i]);
	l->ngarbage = 0;
}

void
loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	collect(l);
	close(l->epfd);
	free(l->garbage);
	free(l->heap);
	free(l->at_end.v);
	free(l->soon.v);
	free(l->running.v);
	free(l);
}

void
loop_defer_free(struct loop *l, void *p)
{
	if (l->ngarbage == l->garbage_cap) {
		l->garbage_cap = l->garbage_cap == 0 ? 64 : l->garbage_cap * 2;
		l->garbage = base_realloc(l->garbage,
		    l->garbage_cap * sizeof(*l->garbage));
	}
	l->garbage[l->ngarbage++] = p;
}

static uint32_t
to_epoll(unsigned events)
{
	return ((events & LOOP_READ) ? (uint32_t)EPOLLIN : 0) |
	    ((events & LOOP_WRITE) ? (uint32_t)EPOLLOUT : 0);
}

struct loop_fd *
loop_fd_add(struct loop *l, int fd, unsigned events, loop_fd_fn *fn,
    void *ctx)
{
	struct loop_fd *f = base_calloc(1, sizeof(*f));
	struct epoll_event ev = { .events = to_epoll(events), .data.ptr = f };

	*f = (struct loop_fd){ l, fd, events, fn, ctx, false };
	ASSERT(epoll_ctl(l->epfd, EPOLL_CTL_ADD, fd, &ev) == 0);
	return f;
}

void
loop_fd_set(struct loop_fd *f, unsigned events)
{
	struct epoll_event ev = { .events = to_epoll(events), .data.ptr = f };

	if (f->events == events)
		return;
	f->events = events;
	ASSERT(epoll_ctl(f->loop->epfd, EPOLL_CTL_MOD, f->fd, &ev) == 0);
}

void
loop_fd_rebind(struct loop_fd *f, unsigned events, loop_fd_fn *fn, void *ctx)
{
	f->fn = fn;
	f->ctx = ctx;
	loop_fd_set(f, events);
}

void
loop_fd_del(struct loop_fd *f)
{
	if (f == NULL)
		return;
	epoll_ctl(f->loop->epfd, EPOLL_CTL_DEL, f->fd, NULL);
	f->dead = true;
	loop_defer_free(f->loop, f);
}

/* Binary heap of armed timers, earliest first. */
static void
heap_set(struct loop *l, size_t i, struct loop_timer *t)
{
	l->heap[i] = t;
	t->heap_at = i;
}

static void
heap_up(struct loop *l, size_t i)
{
	struct loop_timer *t = l->heap[i];

	while (i > 0 && l->heap[(i - 1) / 2]->at_ms > t->at_ms) {
		heap_set(l, i, l->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_set(l, i, t);
}

static void
heap_down(struct loop *l, size_t i)
{
	struct loop_timer *t = l->heap[i];

	for (;;) {
		size_t c = 2 * i + 1;

		if (c >= l->nheap)
			break;
		if (c + 1 < l->nheap &&
		    l->heap[c + 1]->at_ms < l->heap[c]->at_ms)
			c++;
		if (l->heap[c]->at_ms >= t->at_ms)
			break;
		heap_set(l, i, l->heap[c]);
		i = c;
	}
	heap_set(l, i, t);
}

struct loop_timer *
loop_timer_new(struct loop *l, loop_fn *fn, void *ctx)
{
	struct loop_timer *t = base_calloc(1, sizeof(*t));

	*t = (struct loop_timer){ l, fn, ctx, 0, SIZE_MAX };
	return t;
}

void
loop_timer_stop(struct loop_timer *t)
{
	struct loop *l = t->loop;
	size_t i = t->heap_at;

	if (i == SIZE_MAX)
		return;
	t->heap_at = SIZE_MAX;
	struct loop_timer *last = l->heap[--l->nheap];

	if (last == t)
		return;
	heap_set(l, i, last);
	heap_up(l, i);
	heap_down(l, last->heap_at);
}

void
loop_timer_set(struct loop_timer *t, uint64_t after_ms)
{
	struct loop *l = t->loop;

	/* Outside a round (start-up) the round's time is an old one. */
	t->at_ms = (l->in_round ? l->now_ms : clock_mono_ms()) + after_ms;
	if (t->heap_at != SIZE_MAX) {
		heap_up(l, t->heap_at);
		heap_down(l, t->heap_at);
		return;
	}
	if (l->nheap == l->heap_cap) {
		l->heap_cap = l->heap_cap == 0 ? 64 : l->heap_cap * 2;
		l->heap = base_realloc(l->heap,
		    l->heap_cap * sizeof(*l->heap));
	}
	heap_set(l, l->nheap++, t);
	heap_up(l, t->heap_at);
}

void
loop_timer_del(struct loop_timer *t)
{
	if (t == NULL)
		return;
	loop_timer_stop(t);
	t->fn = NULL;
	loop_defer_free(t->loop, t);
}

static void
tasks_add(struct tasks *q, loop_fn *fn, void *ctx)
{
	for (size_t i = q->n; i-- > 0 && q->n - i <= 4;)
		if (q->v[i].fn == fn && q->v[i].ctx == ctx)
			return;
	if (q->n == q->cap) {
		q->cap = q->cap == 0 ? 64 : q->cap * 2;
		q->v = base_realloc(q->v, q->cap * sizeof(*q->v));
	}
	q->v[q->n++] = (struct task){ fn, ctx };
}

static void
tasks_cancel(struct tasks *q, void *ctx)
{
	for (size_t i = 0; i < q->n; i++)
		if (q->v[i].ctx == ctx)
			q->v[i].fn = NULL;
}

void
loop_at_end(struct loop *l, loop_fn *fn, void *ctx)
{
	tasks_add(&l->at_end, fn, ctx);
}

void
loop_at_end_cancel(struct loop *l, void *ctx)
{
	tasks_cancel(&l->at_end, ctx);
	if (l->running_of == &l->at_end)
		tasks_cancel(&l->running, ctx);
}

void
loop_soon(struct loop *l, loop_fn *fn, void *ctx)
{
	tasks_add(&l->soon, fn, ctx);
}

void
loop_soon_cancel(struct loop *l, void *ctx)
{
	tasks_cancel(&l->soon, ctx);
	if (l->running_of == &l->soon)
		tasks_cancel(&l->running, ctx);
}

static void
tasks_run(struct loop *l, struct tasks *q)
{
	struct tasks now = *q;

	*q = l->running;	/* an emptied array to fill meanwhile */
	q->n = 0;
	l->running = now;
	l->running_of = q;
	for (size_t i = 0; i < l->running.n; i++)
		if (l->running.v[i].fn != NULL)
			l->running.v[i].fn(l->running.v[i].ctx);
	l->running.n = 0;
	l->running_of = NULL;
}

static void
run_timers(struct loop *l)
{
	/* A timer set to 0 in its own callback waits for the next round. */
	for (size_t n = l->nheap; n > 0 && l->nheap > 0 &&
	    l->heap[0]->at_ms <= l->now_ms; n--) {
		struct loop_timer *t = l->heap[0];

		loop_timer_stop(t);
		t->fn(t->ctx);
	}
}

static int
wait_ms(const struct loop *l)
{
	/* at_end can be filled before the first round. */
	if (l->soon.n > 0 || l->at_end.n > 0)
		return 0;
	if (l->nheap == 0)
		return -1;
	uint64_t at = l->heap[0]->at_ms, now = clock_mono_ms();

	if (at <= now)
		return 0;
	return at - now > 60000 ? 60000 : (int)(at - now);
}

static unsigned
from_epoll(uint32_t e)
{
	unsigned ev = 0;

	if (e & EPOLLIN)
		ev |= LOOP_READ;
	if (e & EPOLLOUT)
		ev |= LOOP_WRITE;
	if (e & (EPOLLERR | EPOLLHUP))
		ev |= LOOP_ERR;
	return ev;
}

void
loop_run(struct loop *l)
{
	struct epoll_event ev[LOOP_EVENTS];

	l->stop = false;
	while (!l->stop) {
		int n = epoll_wait(l->epfd, ev, LOOP_EVENTS, wait_ms(l));

		ASSERT(n >= 0 || errno == EINTR);
		l->now_ms = clock_mono_ms();
		l->in_round = true;
		tasks_run(l, &l->soon);
		for (int i = 0; i < n; i++) {
			struct loop_fd *f = ev[i].data.ptr;

			if (!f->dead && f->fn != NULL)
				f->fn(f->ctx, from_epoll(ev[i].events));
		}
		run_timers(l);
		while (l->at_end.n > 0)
			tasks_run(l, &l->at_end);
		collect(l);
		l->in_round = false;
	}
}

void
loop_stop(struct loop *l)
{
	l->stop = true;
}
