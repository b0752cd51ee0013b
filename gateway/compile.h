/* compile - the gateway's sections of a snapshot; runs in the compiler. */
#ifndef GATEWAY_COMPILE_H
#define GATEWAY_COMPILE_H

#include "conf.h"
#include "snap.h"

int compile_gateway(const struct conf *c, struct snap_writer *w,
    conf_warn_fn *warn, void *ctx, struct err *err) MUST_USE;

#endif
