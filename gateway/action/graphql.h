/*
 * graphql - what a GraphQL document asks for: the type of the operation that
 * will run and its top-level fields, fragments followed, aliases undone. Must
 * never name an operation less than a server would run: what it cannot read,
 * it refuses. Source: GraphQL, October 2021, 2 (Language) and 6.1.
 *
 * Limits: 64 levels, 32 different top-level fields, 100 definitions, names of
 * 200 bytes. Time is linear in the length of the document.
 */
#ifndef GRAPHQL_H
#define GRAPHQL_H

#include "base.h"

#define GRAPHQL_DEPTH 64
#define GRAPHQL_FIELDS 32
#define GRAPHQL_DEFINITIONS 100
#define GRAPHQL_NAME 200

enum graphql_type { GRAPHQL_NONE, GRAPHQL_QUERY, GRAPHQL_MUTATION,
	GRAPHQL_SUBSCRIPTION, GRAPHQL_TYPES };

extern const char *const graphql_type_names[];

struct graphql {
	enum graphql_type type;
	struct slice name;			/* "" when it has none */
	struct slice fields[GRAPHQL_FIELDS];	/* different, in order */
	size_t n;
};

/* operation: the request's operationName; "" for none. Slices of *g_r lie in
 * document. 0; or -1 and *why_r, a sentence's part. */
int graphql_read(struct slice document, struct slice operation,
    struct graphql *g_r, const char **why_r) MUST_USE;

#endif
