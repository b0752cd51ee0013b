/* connector_via - the proxy on the way to an upstream (`upstream_proxy`), as
 * the main file and a connector's file name it. For the compiler. */
#ifndef CONNECTOR_VIA_H
#define CONNECTOR_VIA_H

#include "connector.h"
#include "yaml.h"

/* Of the main file; fills v, which has no host when there is none. */
int connector_via_global(const struct conf *c, struct connector_via *v,
    struct err *err) MUST_USE;
/* Of a connector: its own, or `direct`, or what the main file says. */
int connector_via_read(const struct yaml_doc *d,
    const struct yaml_node *root, const struct conf *conf,
    struct connector_via *v, struct err *err) MUST_USE;
void connector_via_pack(struct buf *b, const struct connector_via *v);
/* Its row in the section "credentials", counted in *n; none without one. */
void connector_via_pack_credential(struct buf *b,
    const struct connector_via *v, uint32_t *n);

#endif
