/* rule_yaml - building rules from YAML; private to monitor/rule. */
#ifndef RULE_YAML_H
#define RULE_YAML_H

#include "rule_ir.h"
#include "yaml.h"

/* What a document is built into; errors go to err with their place. */
struct rule_build {
	const struct yaml_doc *doc;
	struct rule_set *set;
	struct map names;	/* ids and names -> rule, over all files */
	unsigned flags;
	rule_warn_fn *warn;
	void *ctx;
	struct err *err;
};

int rule_yaml_add(struct rule_build *b);
int rule_yaml_resolve(struct rule_build *b, size_t first);
int rule_build_detection(struct rule_build *b, const struct yaml_node *n,
    struct rule_body *body);
int rule_build_condition(struct rule_build *b, const struct yaml_node *n,
    struct rule_body *body);
int rule_build_tests(struct rule_build *b, const struct yaml_node *n,
    const struct rule *r);
int rule_build_source(struct rule_build *b, const struct yaml_node *n,
    uint64_t *types_r);

#endif
