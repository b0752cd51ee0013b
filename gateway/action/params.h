/*
 * params - the variable parts of a request's URL by name, so that policy,
 * redaction and cards see `id` and `limit` instead of one text.
 *
 * Values are decoded once (RFC 3986, 2.1; in a query + is a space, as HTML
 * forms write it). A % that begins no escape stays; bytes that are no UTF-8
 * become U+FFFD. What is sent upstream is never made from these.
 */
#ifndef PARAMS_H
#define PARAMS_H

#include "base.h"
#include "jsonw.h"

#define PARAMS_MAX 500		/* members of a query */

/* Member "path": an object with each {name} of the template that the path
 * matches (connector_path_match). Names of a template are unique. */
void params_write_path(struct jsonw *w, const char *template,
    struct slice path);

/* Member "query": an object with each name; a name that is there more than
 * once has an array of its values, in their order. -1 and nothing written:
 * more than PARAMS_MAX. Overflow shows as w->b->full. */
int params_write_query(struct jsonw *w, struct slice query) MUST_USE;

/* Has the query, or the form, a parameter of this name, also as PHP reads
 * names (a dot or a space is "_", a "[" ends it)? */
bool params_has(struct slice query, const char *name) MUST_USE;

#endif
