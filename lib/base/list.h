/* list - intrusive doubly linked list; a zeroed node is linked nowhere. */
#ifndef LIST_H
#define LIST_H

#include "base.h"

struct list {
	struct list *next, *prev;
};

static inline void
list_init(struct list *h)
{
	h->next = h->prev = h;
}

static inline bool
list_empty(const struct list *h)
{
	return h->next == h || h->next == NULL;
}

static inline void
list_append(struct list *h, struct list *n)
{
	n->prev = h->prev;
	n->next = h;
	h->prev->next = n;
	h->prev = n;
}

static inline void
list_prepend(struct list *h, struct list *n)
{
	list_append(h->next, n);
}

static inline void
list_remove(struct list *n)
{
	if (n->next == NULL)
		return;
	n->prev->next = n->next;
	n->next->prev = n->prev;
	n->next = n->prev = NULL;
}

static inline bool
list_linked(const struct list *n)
{
	return n->next != NULL;
}

#define list_entry(p, type, member) container_of(p, type, member)
#define list_each(it, h) for (struct list *it = (h)->next; it != (h); it = it->next)
#define list_each_safe(it, tmp, h)                                       \
	for (struct list *it = (h)->next, *tmp = it->next; it != (h);    \
	    it = tmp, tmp = it->next)

#endif
