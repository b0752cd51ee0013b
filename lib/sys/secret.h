/*
 * secret - bytes that must not leak: locked, guarded, excluded from core
 * dumps (sodium_malloc), wiped when freed; no printer exists for them.
 */
#ifndef SECRET_H
#define SECRET_H

#include "base.h"

struct secret;

struct secret *secret_new(const void *p, size_t n) MUST_USE;	/* copies */
struct secret *secret_random(size_t n) MUST_USE;
void secret_free(struct secret *s);		/* wipes; NULL-safe */
/* Borrowed until secret_free; do not copy without need. */
struct slice secret_bytes(const struct secret *s);

#endif
