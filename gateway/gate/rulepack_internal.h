/* rulepack_internal - what rulepack.c and rulepack_yaml.c share. */
#ifndef RULEPACK_INTERNAL_H
#define RULEPACK_INTERNAL_H

#include "check.h"
#include "rulepack.h"

struct rulepack_entry {
	struct rulepack_rule pub;
	char *check_name;		/* "" when there is none */
	check_fn *check;
	enum check_grow grow;
	bool mirror;
	uint32_t entropy_milli;		/* thousandths of a bit a byte; 0: none */
	uint32_t max_width;
	char **keywords;
	size_t nkeywords;
};

struct rulepack {
	struct rulepack_entry *entries;
	size_t n;
	struct pm *pm;
};

void rulepack_entry_free(struct rulepack_entry *e);
void rulepack_pack(struct buf *b, const struct rulepack *rp);
bool rulepack_replace_ok(struct slice s);

#endif
