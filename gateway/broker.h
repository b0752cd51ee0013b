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
 * A verdict of 0 whose reason starts with "killed" or "expired" is that; other
 * reasons are for the agent to read. HOLD is checked: the card's fields and
 * our principal must give the digest that it names. HOLD_DONE follows every
 * CONSUMED that was ok, when the outcome is recorded; a proxy that goes away
 * without it leaves the approval `ambiguous`.
 *
 * After a restart of the broker a proxy may send HOLD again for a call it
 * still holds: it attaches to the stored approval and gets its verdict. What
 * nobody comes for within 10 s is cancelled.
 */
#ifndef BROKER_H
#define BROKER_H

#include "base.h"

struct role_def;

extern const struct role_def broker_role;

#endif
