/*
 * broker - the role that owns approvals, sessions, the registry's memory and
 * the kill switch (state.db), answers operators and tells the proxies.
 *
 * It needs: directory "state" (state.db), the kill page writable, an eventfd
 * per proxy, the listener "operator" (unix; peers are root or this uid), a
 * channel to the recorder, one per proxy.
 *
 * With a proxy: both say HELLO; the broker then sends every open SESSION_PUT,
 * TOOL_PUT, CONNECTOR_PUT, KILL_STATE, and SYNC_END. The token hash is the
 * SHA-256 of the token's text as the agent sends it ("prt_...").
 * TOOL_PUT class 0: no operator gave one, the catalogue's stands; approval
 * mode "ask": every call of the tool is held (a kill of it ran out), "": no
 * override.
 *
 * After a channel was replaced (either side restarted) a proxy sends HOLD
 * again for every call it still holds; the same call id attaches to the
 * stored approval, whose verdict is sent again when there is one.
 */
#ifndef BROKER_H
#define BROKER_H

#include "base.h"

struct role_def;

extern const struct role_def broker_role;

#endif
