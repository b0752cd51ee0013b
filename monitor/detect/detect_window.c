/* detect_window - see detect_window.h. */
#include "detect_window.h"

#include <stdlib.h>

static void
window_drop(void *ctx, union detect_val v)
{
	struct detect_windows *t = ctx;
	struct detect_window *w = v.p;

	t->entries -= w->cap;
	free(w->e);
	free(w);
}

void
detect_windows_init(struct detect_windows *w)
{
	w->entries = 0;
	detect_lru_init(&w->lru, DETECT_WINDOWS, window_drop, w);
}

void
detect_windows_free(struct detect_windows *w)
{
	detect_lru_free(&w->lru);
}

struct detect_window *
detect_window_get(struct detect_windows *t, uint64_t key, int64_t span_ms)
{
	bool fresh;
	union detect_val *v = detect_lru_put(&t->lru, key, &fresh);
	struct detect_window *w = v->p;

	if (!fresh)
		return w;
	v->p = w = base_calloc(1, sizeof(*w));
	w->owner = t;
	w->span_ms = span_ms;
	w->quiet_until = INT64_MIN;
	/* This one is the newest, so it never evicts itself. */
	while (t->entries > DETECT_WINDOW_ENTRIES && t->lru.n > 1)
		detect_lru_evict(&t->lru);
	return w;
}

static void
remove_at(struct detect_window *w, uint32_t i, uint32_t k)
{
	memmove(w->e + i, w->e + i + k, (w->n - i - k) * sizeof(*w->e));
	w->n -= k;
}

static void
make_room(struct detect_window *w, uint32_t keep)
{
	uint32_t cap = w->cap == 0 ? 4 : w->cap * 2;

	if (w->n < w->cap)
		return;
	if (cap > keep)
		cap = keep;
	w->e = base_realloc(w->e, cap * sizeof(*w->e));
	w->owner->entries += cap - w->cap;
	w->cap = cap;
}

void
detect_window_add(struct detect_window *w, uint32_t keep, bool distinct,
    int64_t time, uint64_t value, struct uuid id)
{
	struct detect_entry e = { time, value, id };
	uint32_t i, old = 0;

	for (i = 0; distinct && i < w->n; i++) {
		if (w->e[i].value != value)
			continue;
		if (w->e[i].time >= time)
			return;
		remove_at(w, i, 1);
		break;
	}
	if (w->n == keep) {
		if (time < w->e[0].time)
			return;
		remove_at(w, 0, 1);
	}
	make_room(w, keep);
	for (i = w->n; i > 0 && w->e[i - 1].time > time; i--)
		w->e[i] = w->e[i - 1];
	w->e[i] = e;
	w->n++;
	/* (newest - span, newest] */
	while (old < w->n && w->e[old].time <= w->e[w->n - 1].time -
	    w->span_ms)
		old++;
	if (old > 0)
		remove_at(w, 0, old);
}
