/*
 * pm - many patterns against one text in one pass.
 *
 * Hyperscan (block mode, no start-of-match) says where a match may end;
 * PCRE2 (byte mode, interpreter, limited) finds its start in a window no
 * wider than the pattern's maximum width and confirms it.  Only the compiler
 * role calls pm_compile(); other roles unpack its bytes.
 *
 * Patterns are PCRE2 syntax as far as Hyperscan takes it: no look-around, no
 * back references.  Each must have a bounded width.  Bytes, not characters:
 * no UTF mode.  The first capture group, if a pattern has one, is the
 * "value"; else the whole match is.
 *
 * A struct pm holds scratch memory: one user at a time, no call of pm_scan()
 * from within a hit function.
 */
#ifndef PM_H
#define PM_H

#include "base.h"
#include "buf.h"
#include "err.h"

#define PM_NOCASE 1
#define PM_DOTALL 2
#define PM_MULTILINE 4

#define PM_RULES_MAX 2048
#define PM_WIDTH_MAX 4096	/* bytes; what a pattern may span at most */
#define PM_TEXT_MAX (1u << 30)	/* bytes; longer texts are PM_LIMIT */

struct pm_rule {
	const char *id;		/* borrowed by pm_compile */
	const char *pattern;
	unsigned flags;
	uint32_t max_width;	/* 0: PM_WIDTH_MAX */
	/*
	 * NULL, or a cheaper pattern for Hyperscan to look for instead, where
	 * the pattern itself begins with a wide class: every match must hold
	 * an end of a match of it, at most `back` bytes behind the match's
	 * start (0: anywhere in the match).
	 */
	const char *trigger;
	uint32_t back;
	const char *file;	/* for errors; may be NULL */
	int line;
};

/* A stretch of the text that no match may leave, ascending, not overlapping.
 * A byte '\n' between two of them keeps "^", "$" and "\b" true at the edges. */
struct pm_seg {
	uint32_t off, len;
};

struct pm_hit {
	uint32_t rule;		/* index in the compiled list */
	uint32_t seg;		/* index of the segment, 0 when none given */
	uint32_t start, end;	/* the match: offsets in the text */
	uint32_t vstart, vend;	/* the value */
};

/* PM_STOP is zero: an unset answer ends the scan. */
enum pm_answer { PM_STOP, PM_SKIP, PM_TAKE };

/*
 * Called for each confirmed match, per rule in ascending order of start.
 * PM_TAKE: the rule's next match begins at or behind hit->end (which the
 * function may move forward); PM_SKIP: behind hit->start.
 */
typedef enum pm_answer pm_hit_fn(void *ctx, struct pm_hit *hit);

/* Zero is the closed answer: the text was not looked at to its end. */
enum pm_result { PM_LIMIT, PM_STOPPED, PM_DONE };

struct pm;

/*
 * Checks that the libraries are the ones this code was tested with:
 * Hyperscan 5.4.0 to 5.4.2 on a processor it supports, agreeing with PCRE2
 * on a few known-hard patterns.  0, or -1 and an error that names what failed.
 * Run once a process by pm_compile and pm_unpack.
 */
int pm_selftest(struct err *err) MUST_USE;

/* NULL and err ("file:line: ...") when a pattern cannot be compiled. */
struct pm *pm_compile(const struct pm_rule *rules, size_t n, struct err *err)
    MUST_USE;
void pm_pack(struct buf *b, const struct pm *pm);
struct pm *pm_unpack(struct slice s, struct err *err) MUST_USE;
void pm_free(struct pm *pm);		/* NULL-safe */

size_t pm_count(const struct pm *pm);
const char *pm_id(const struct pm *pm, uint32_t rule);
uint32_t pm_width(const struct pm *pm, uint32_t rule);	/* bytes */
bool pm_has_value(const struct pm *pm, uint32_t rule);	/* a capture group */

/*
 * nsegs 0: the whole text is one segment.  PM_LIMIT when the work passes a
 * bound linear in the text (hostile text, or a pattern that backtracks).
 */
enum pm_result pm_scan(struct pm *pm, struct slice text,
    const struct pm_seg *segs, size_t nsegs, pm_hit_fn *fn, void *ctx)
    MUST_USE;

#endif
