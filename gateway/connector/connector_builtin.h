/*
 * connector_builtin - what a connector of kind builtin says of the context its
 * calls come from, from YAML to the packed form and back, and what it makes of
 * a call's class; the keys are in connector.h.
 *
 * A class is only ever raised. Whoever asks says the context himself, so a
 * word that is not declared, and one that is missing where some are declared,
 * is not judged but refused.
 */
#ifndef CONNECTOR_BUILTIN_H
#define CONNECTOR_BUILTIN_H

#include "connector.h"
#include "yaml.h"

struct unpack;

/* Fills c->builtin, which is zeroed; the tools are read already. A connector
 * of another kind (NULL) has none of these keys, and one of this kind has no
 * upstream. */
int connector_builtin_read(const struct yaml_doc *d,
    const struct yaml_node *root, struct connector *c, struct err *err)
    MUST_USE;
void connector_builtin_pack(struct buf *b, const struct connector_builtin *v);
/* NULL: it is of another kind, or malformed (u->bad). */
struct connector_builtin *connector_builtin_unpack(struct unpack *u);
void connector_builtin_free(struct connector_builtin *v);	/* NULL-safe */

/* NULL: this context may be judged; else the member that may not. n 0: not
 * said. */
const char *connector_context_bad(const struct connector_builtin *v,
    struct slice device_class, struct slice environment);
/* klass, or the strictest class that a rule which fits raises it to. */
enum conf_class connector_raised(const struct connector_builtin *v,
    struct slice tool, struct slice device_class, struct slice environment,
    enum conf_class klass);

#endif
