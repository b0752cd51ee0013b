/* audit_view - what the verbs of `portreeve audit` share. */
#ifndef AUDIT_VIEW_H
#define AUDIT_VIEW_H

#include <stdio.h>

#include "base.h"
#include "chain.h"
#include "json.h"

enum { AUDIT_OK = 0, AUDIT_NOT = 1, AUDIT_USAGE = 2, AUDIT_UNANCHORED = 3 };

struct audit_args {
	const char *dir;		/* that holds ledger.db */
	struct sqlite3 *db;
	bool follow, json;
	int64_t count;			/* -n; 0: not given */
	/* search */
	const char *type, *connector, *tool, *user, *agent, *verdict, *text;
	int64_t since;			/* wall ms; INT64_MIN: not given */
	/* show */
	const char *call;
};

int audit_tail(const struct audit_args *a);
int audit_search(const struct audit_args *a);
int audit_show(const struct audit_args *a);

/* Text for a terminal: control and direction-changing characters are shown
 * as \u{..}, so that nothing recorded can act on the screen. */
void audit_print(FILE *f, struct slice s);
/* A compact JSON text, indented by `indent` spaces and two a level. */
void audit_print_json(FILE *f, struct slice json, int indent);
/* One row as one line. doc is scratch. */
void audit_print_row(FILE *f, const struct chain_row *r,
    struct json_doc *doc);
/* A member as text: strings decoded, others as they stand; false when there
 * is none, it is null or "". Appends to out, which is reset first. */
bool audit_field(const struct json_doc *doc, uint32_t obj, const char *key,
    struct buf *out);

#endif
