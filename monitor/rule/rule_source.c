/*
 * rule_source - which events a rule's log source means.
 *
 * The product is always portreeve; the category is a family of event types
 * below, or one type by its own name ("approval.ended").
 */
#include <stdio.h>

#include "rule_yaml.h"

#define BIT(sym) (1ULL << EVENT_##sym)

static const struct {
	const char *name;
	uint64_t types;
} categories[] = {
	{ "call", BIT(CALL_DECISION) },
	{ "outcome", BIT(CALL_OUTCOME) },
	{ "result", BIT(CALL_RESULT) },
	{ "approval", BIT(APPROVAL_REQUESTED) | BIT(APPROVAL_DECIDED) |
	    BIT(APPROVAL_ENDED) | BIT(APPROVAL_CONSUMED) },
	{ "session", BIT(SESSION_OPENED) | BIT(SESSION_CLOSED) },
	{ "auth", BIT(AUTH_FAILED) },
	{ "connection", BIT(CONNECTION_REFUSED) | BIT(CONNECTION_SPLICED) },
	{ "client", BIT(CLIENT_REFUSED_CA) | BIT(CLIENT_TRUSTS_CA) },
	{ "kill", BIT(CONNECTOR_KILLED) | BIT(CONNECTOR_REVIVED) },
	{ "connector", BIT(CONNECTOR_KILLED) | BIT(CONNECTOR_REVIVED) |
	    BIT(CONNECTOR_STATE) | BIT(UPSTREAM_AWAY) | BIT(UPSTREAM_BACK) },
	{ "export", BIT(EXPORT_DOWN) | BIT(EXPORT_UP) | BIT(EXPORT_CUT) |
	    BIT(EXPORT_GAP) | BIT(EXPORT_REWOUND) },
	{ "tool", BIT(TOOL_SEEN) | BIT(TOOL_CLASSIFIED) },
	{ "credential", BIT(CREDENTIAL_SET) },
	{ "exception", BIT(EXCEPTION) },
	{ "finding", BIT(FINDING) },
	{ "system", BIT(SYSTEM_STARTED) | BIT(ROLE_RESTARTED) |
	    BIT(CONFIG_LOADED) | BIT(CONFIG_REFUSED) },
};

static int
unknown(struct rule_build *b, const struct yaml_node *n)
{
	const char *names[ARRAY_LEN(categories) + EVENT_COUNT], *near;
	size_t k = 0;

	for (size_t i = 0; i < ARRAY_LEN(categories); i++)
		names[k++] = categories[i].name;
	for (int t = 0; t < EVENT_COUNT; t++)
		names[k++] = event_type_name((enum event_type)t);
	near = err_nearest(slice_make(n->text, n->len), names, k);
	yaml_err(b->doc, n, b->err, "no such category: %s%s%s%s", n->text,
	    near == NULL ? " (call, outcome, approval, auth, ...)" :
	    " (did you mean ", near == NULL ? "" : near,
	    near == NULL ? "" : "?)");
	return -1;
}

int
rule_build_source(struct rule_build *b, const struct yaml_node *n,
    uint64_t *types_r)
{
	static const char *const keys[] = { "product", "category",
	    "definition" };
	struct yaml_node *product, *cat;
	enum event_type t;

	if (b->flags & RULE_FOREIGN) {
		*types_r = (1ULL << EVENT_COUNT) - 1;
		return 0;
	}
	if (n->type != YAML_MAP) {
		yaml_err(b->doc, n, b->err, "logsource must be a map");
		return -1;
	}
	if (yaml_check_keys(b->doc, n, keys, ARRAY_LEN(keys), b->err) != 0)
		return -1;
	product = yaml_get(n, "product");
	if (product == NULL || product->type != YAML_SCALAR ||
	    strcmp(product->text, "portreeve") != 0) {
		yaml_err(b->doc, product == NULL ? n : product, b->err,
		    "logsource.product must be portreeve: no other events "
		    "pass here");
		return -1;
	}
	cat = yaml_get(n, "category");
	if (cat == NULL || cat->type != YAML_SCALAR) {
		yaml_err(b->doc, cat == NULL ? n : cat, b->err,
		    "logsource.category must be a name (call, outcome, auth, "
		    "...)");
		return -1;
	}
	for (size_t i = 0; i < ARRAY_LEN(categories); i++) {
		if (strcmp(cat->text, categories[i].name) == 0) {
			*types_r = categories[i].types;
			return 0;
		}
	}
	if (!event_type_parse(slice_make(cat->text, cat->len), &t))
		return unknown(b, cat);
	*types_r = 1ULL << t;
	return 0;
}
