/*
 * rank - which tools fit a few words: full text (BM25 over name, parameters and
 * description), a small table of synonyms, and the likeness of spellings
 * (vectors of three letters). Local, deterministic, without a model: the same
 * texts and query give the same order.
 *
 * Words are runs of letters and digits, folded in ASCII, cut where a small
 * letter meets a capital, without a plural's end; bytes of UTF-8 are letters.
 */
#ifndef RANK_H
#define RANK_H

#include "base.h"

#define RANK_DOCS 2000
#define RANK_WORDS 128		/* of one text; the rest is not looked at */
#define RANK_QUERY 1024		/* bytes */

struct rank;

struct rank *rank_new(void) MUST_USE;
void rank_free(struct rank *r);		/* NULL-safe */
/* The texts are read, not kept. Tools are numbered from 0 in the order in which
 * they are added; false: there are RANK_DOCS. */
bool rank_add(struct rank *r, struct slice name, struct slice params,
    struct slice description);
/* The best, best first, at most max; how many. What has no word in common and
 * is spelled otherwise is none of them. */
size_t rank_search(const struct rank *r, struct slice query, uint32_t *out,
    size_t max);

#endif
