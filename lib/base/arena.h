/*
 * arena - memory of one exchange: many small allocations, freed at once.
 *
 * Overflow of max is sticky: arena_alloc returns NULL from then on and
 * arena_failed() tells, so a step checks once at its end.
 */
#ifndef ARENA_H
#define ARENA_H

#include "base.h"

struct arena;

/* *takes* nothing; max in bytes, all chunks together. */
struct arena *arena_new(size_t max) MUST_USE;
void arena_free(struct arena *a);	/* NULL-safe */
/* Forgets all allocations, keeps the first chunk for the next exchange. */
void arena_reset(struct arena *a);
/* Zeroed, aligned to 16; NULL after overflow. */
void *arena_alloc(struct arena *a, size_t n) MUST_USE;
/* A NUL-terminated copy; `copy` keeps a slice. NULL / empty after overflow. */
char *arena_strdup(struct arena *a, struct slice s) MUST_USE;
struct slice arena_copy(struct arena *a, struct slice s) MUST_USE;
/* The n parts one after the other, NUL-terminated; an empty slice after
 * overflow. */
struct slice arena_join(struct arena *a, const struct slice *parts, size_t n)
    MUST_USE;
char *arena_printf(struct arena *a, const char *fmt, ...)
    PRINTF_LIKE(2, 3) MUST_USE;
bool arena_failed(const struct arena *a);
size_t arena_used(const struct arena *a);

#endif
