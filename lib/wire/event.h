/*
 * event - the types of events.def and the head that every event has.
 *
 * An emitter mints the id, writes the head with event_begin(), adds fields
 * through the jsonw, closes with event_end(); the bytes are then final: the
 * recorder stores them as they are and the chain covers them.
 */
#ifndef EVENT_H
#define EVENT_H

#include "base.h"
#include "buf.h"
#include "jsonw.h"
#include "msg.h"
#include "rng.h"

enum event_type {
#define EVENT(sym, type, doc) EVENT_##sym,
#include "events.def"
#undef EVENT
	EVENT_COUNT
};

const char *event_type_name(enum event_type t);
bool event_type_parse(struct slice name, enum event_type *t_r) MUST_USE;

/* Writes {"id":..,"time":..,"type":..,"role":.. into b and leaves the object
 * open in w. */
void event_begin(struct jsonw *w, struct buf *b, struct uuid id,
    enum event_type type, enum role role);
void event_end(struct jsonw *w);

#endif
