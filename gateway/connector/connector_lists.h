/*
 * connector_lists - the compiler's part of connector.h for an MCP connector's
 * tool lists: how long they are remembered, which tools are deferred.
 */
#ifndef CONNECTOR_LISTS_H
#define CONNECTOR_LISTS_H

#include "connector.h"
#include "yaml.h"

/* `tools_cache`, `deferred`; c->kind is known. 0, or -1 and why. */
int connector_lists_read(const struct yaml_doc *d,
    const struct yaml_node *root, struct connector *c, struct err *err)
    MUST_USE;
/* `deferred` of one tool. */
int connector_lists_tool(const struct yaml_doc *d, const struct yaml_node *n,
    const struct connector *c, struct connector_tool *t, struct err *err)
    MUST_USE;

#endif
