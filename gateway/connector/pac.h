/*
 * pac - a proxy auto-configuration file of the catalogue: what agents may
 * reach goes through the proxy, all else as it would.
 *
 * Only names of hosts are in it, which every agent may ask for anyway.
 * Source: the Navigator Proxy Auto-Config File Format (1996), as browsers and
 * their kin read it: FindProxyForURL() of plain ECMAScript.
 */
#ifndef PAC_H
#define PAC_H

#include "base.h"
#include "buf.h"
#include "connector.h"

/* Appends the file. proxy: "host:port". -1: out is full. */
int pac_write(const struct connector_set *set, const char *proxy,
    struct buf *out) MUST_USE;

#endif
