/* conf_int - what the files of conf share; nobody else includes it. */
#ifndef CONF_INT_H
#define CONF_INT_H

#include "conf.h"
#include "yaml.h"

/* The member `proxy_protocol` of a listener, if it is there. */
int conf_read_proxy_protocol(const struct yaml_doc *d,
    const struct yaml_node *v, struct conf_listener *l, struct err *err)
    MUST_USE;
void conf_listener_clear(struct conf_listener *l);

#endif
