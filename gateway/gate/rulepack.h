/*
 * rulepack - a folder of rules in YAML, each with its own examples, and the
 * scan that applies them: pattern (lib/text/pm), then keywords near by, check
 * and entropy.  What redact and inspect have in common.
 *
 *   rules:
 *     - id: payment-card             # [a-z0-9-.], unique in the folder
 *       title: Payment card number
 *       kind: personal               # one of the kinds the caller allows
 *       pattern: '\b4[0-9]{15}\b'    # PCRE2 without look-around; bounded;
 *                                    # group 1, if there is one, is the value
 *       nocase: false                # also dotall; "^$" are per line
 *       trigger: '@[a-z]'            # optional, a cheaper pattern that every
 *       back: 66                     # match holds, ending at most this many
 *                                    # bytes behind the match's start
 *       keywords: [card, pan]        # optional: one within 64 bytes before
 *                                    # or 32 behind
 *       check: card                  # optional, see check.h
 *       grow: token                  # optional, see check.h
 *       entropy: 3                   # optional, bits a byte; only beside a
 *                                    # check, keywords or a value group
 *       max_width: 512               # bytes of match and growth
 *       replace: '[redacted:payment-card]'   # the default
 *       mirror: true                 # a value known by its context alone is
 *                                    # looked for everywhere in the text
 *       enabled: true
 *       examples:
 *         positive: [..., ..., ...]  # three or more, each must match
 *         negative: [..., ..., ...]  # three or more, none may match
 *
 * Files are read in the order of their names; where two rules overlap, the
 * earlier one gives the name.  A rule whose examples fail is an error.
 */
#ifndef RULEPACK_H
#define RULEPACK_H

#include "base.h"
#include "buf.h"
#include "err.h"
#include "pm.h"

#define RULEPACK_RULES_MAX 512
#define RULEPACK_EXAMPLES_MIN 3
#define RULEPACK_GROW_MAX 16384	/* bytes; the ceiling of max_width */

struct rulepack_rule {
	char *id, *title, *replace;
	uint32_t kind;			/* index of the caller's kinds */
};

struct rulepack;

/* Appends the section to out. -1 and err ("file:line:col: ..."). */
int rulepack_compile(const char *dir, const char *const *kinds, size_t nkinds,
    struct buf *out, struct err *err) MUST_USE;
struct rulepack *rulepack_load(struct slice section, struct err *err)
    MUST_USE;
void rulepack_free(struct rulepack *rp);	/* NULL-safe */
size_t rulepack_count(const struct rulepack *rp);
const struct rulepack_rule *rulepack_rule(const struct rulepack *rp,
    uint32_t rule);
/* Its context (a value group, keywords) made it a value: copies without that
 * context are to be looked for. */
bool rulepack_mirrored(const struct rulepack *rp, uint32_t rule);

/* As pm_scan(); the hits have passed all tests, vstart and vend are final. */
enum pm_result rulepack_scan(struct rulepack *rp, struct slice text,
    const struct pm_seg *segs, size_t nsegs, pm_hit_fn *fn, void *ctx)
    MUST_USE;

#endif
