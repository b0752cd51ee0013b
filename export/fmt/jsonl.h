/*
 * jsonl - one event, one line of JSON (https://jsonlines.org).
 *
 *   {"seq":N,  then the stored event from its first member on  }\n
 *
 * The stored bytes stay as they are: what stands behind `{"seq":N,` with a
 * `{` before it is what the ledger's chain covers, so that a line can be
 * checked against a checkpoint. Only raw line breaks between tokens (events
 * have none) would become spaces.
 *
 * A line has no size limit of its own; an event is bounded by its channel.
 * An event that is no JSON object, or that has a member "seq" of its own,
 * comes as {"seq":N,"type":"malformed",...} (fit.h) and is counted.
 */
#ifndef JSONL_H
#define JSONL_H

#include "base.h"
#include "buf.h"
#include "json.h"

struct jsonl {
	struct json_doc doc;	/* scratch */
	struct buf wrapped;	/* scratch */
	uint64_t malformed;
};

void jsonl_init(struct jsonl *j);
void jsonl_free(struct jsonl *j);
/* Appends one line. -1 when out is too small: out is as it was. */
int jsonl_format(struct jsonl *j, struct buf *out, uint64_t seq,
    struct slice event) MUST_USE;
/* The seq of a line this module wrote (with or without its end). */
bool jsonl_seq(struct slice line, uint64_t *seq_r) MUST_USE;

#endif
