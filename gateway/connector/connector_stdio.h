/*
 * connector_stdio - what a connector of kind stdio says of its server, from
 * YAML to the packed form; the keys are in connector.h.
 */
#ifndef CONNECTOR_STDIO_H
#define CONNECTOR_STDIO_H

#include "connector.h"
#include "yaml.h"

/* Fills s, which is zeroed; what it holds is the connector's also on failure. */
int connector_stdio_read(const struct yaml_doc *d,
    const struct yaml_node *root, struct connector_stdio *s, struct err *err)
    MUST_USE;
/* Another kind has none of these keys. */
int connector_stdio_none(const struct yaml_doc *d,
    const struct yaml_node *root, struct err *err) MUST_USE;
void connector_stdio_pack(struct buf *b, const struct connector_stdio *s);

#endif
