/* connector_http - which protocols a connector speaks besides HTTP/1.1, as its
 * file says (`http2`, `websocket`). For the compiler. */
#ifndef CONNECTOR_HTTP_H
#define CONNECTOR_HTTP_H

#include "connector.h"
#include "yaml.h"

int connector_http_read(const struct yaml_doc *d,
    const struct yaml_node *root, bool mcp, struct connector_http *h,
    struct err *err) MUST_USE;
void connector_http_pack(struct buf *b, const struct connector_http *h);

#endif
