/*
 * check - what a pattern cannot say: checksums, dates and shapes that decide
 * whether a candidate is what it looks like.  The biggest reducer of false
 * positives there is.
 */
#ifndef CHECK_H
#define CHECK_H

#include "base.h"

/*
 * v is the candidate value.  Returns how many of its leading bytes are the
 * thing (a pattern may have taken too much: a card number with a date behind
 * it), 0 when it is not the thing.
 */
typedef size_t check_fn(struct slice v);

/* "luhn", "iban", ...; NULL when there is none of that name. */
check_fn *check_find(const char *name);
/* All names, for "nearest name" in errors. */
const char *const *check_names(size_t *n_r);

/* How far a value that the pattern found goes on behind it. */
enum check_grow {
	CHECK_GROW_NONE,
	CHECK_GROW_TOKEN,	/* [A-Za-z0-9_-] */
	CHECK_GROW_BASE64,	/* [A-Za-z0-9_+/=.-] */
	CHECK_GROW_WORD,	/* up to white space, quote, backslash, < > */
	CHECK_GROW_PEM,		/* up to the END line, or while base64 goes on */
	CHECK_GROWS
};

extern const char *const check_grow_names[CHECK_GROWS];

/* The end of the value that ends at `end` in text, at most max bytes on. */
size_t check_grow(enum check_grow how, struct slice text, size_t end,
    size_t max);

/* Shannon entropy of the bytes, bits a byte. */
double check_entropy(struct slice v);

#endif
