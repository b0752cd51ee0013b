/*
 * connector_lists - the compiler's part of connector.h for an MCP connector's
 * tool lists: how long they are remembered.
 */
#ifndef CONNECTOR_LISTS_H
#define CONNECTOR_LISTS_H

#include "connector.h"
#include "yaml.h"

/* `tools_cache`; c->kind is known. 0, or -1 and why. */
int connector_lists_read(const struct yaml_doc *d,
    const struct yaml_node *root, struct connector *c, struct err *err)
    MUST_USE;

#endif
