/*
 * literal - a few exact texts looked for in one pass: credentials the gateway
 * sent upstream (which an upstream may echo), and copies of values that a
 * rule found by their context.  Each is looked for as it is and as the inside
 * of base64 (three alignments, both alphabets).
 *
 * The set is wiped when reset or freed.
 */
#ifndef LITERAL_H
#define LITERAL_H

#include "base.h"

#define LITERAL_MIN 4		/* bytes; shorter ones would match anywhere */
#define LITERAL_MAX 16384

struct literals;

struct literals *literals_new(void) MUST_USE;
void literals_free(struct literals *l);		/* NULL-safe; wipes */
void literals_reset(struct literals *l);	/* wipes */
/* Copies. tag is handed back by the scan. -1: too short, too long, or more
 * than 4,096 of them; a text that is in already is no error. */
int literals_add(struct literals *l, struct slice text, uint32_t tag) MUST_USE;
bool literals_empty(const struct literals *l);	/* NULL-safe */

struct literal_hit {
	uint32_t start, end;	/* offsets in the text */
	uint32_t tag;
	bool encoded;		/* inside of base64: take the whole run */
};

/* false ends the scan. */
typedef bool literal_fn(void *ctx, const struct literal_hit *hit);

/* Hits of different literals may overlap. -1: stopped, or too much work
 * (linear bound): nothing may be concluded. */
int literals_scan(struct literals *l, struct slice text, literal_fn *fn,
    void *ctx) MUST_USE;

#endif
