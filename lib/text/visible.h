/*
 * visible - text from strangers, made safe to look at: characters that cannot
 * be seen, that reorder their neighbours or that drive a terminal are written
 * as \u{202E}.
 *
 * Sources: UAX #9 (bidirectional controls), UTS #39 and Unicode 15
 * Default_Ignorable_Code_Point, ECMA-48 (C0, C1).
 */
#ifndef VISIBLE_H
#define VISIBLE_H

#include "base.h"
#include "buf.h"

/* Controls, bidirectional controls, default ignorables, blanks other than
 * the space, private use, noncharacters. */
bool visible_is_hidden(uint32_t cp);
/* The code point at s (n > 0), its length in *len_r; UINT32_MAX and 1 when
 * the byte is no UTF-8. */
uint32_t visible_next(const char *s, size_t n, size_t *len_r);
/* Appends s; hidden ones as \u{..}, bad bytes as \x{..}, a backslash as it
 * is. Returns how many were hidden or bad. */
size_t visible_add(struct buf *b, struct slice s);
/* Valid UTF-8 with nothing hidden. */
bool visible_is_clean(struct slice s);
/* Columns a terminal needs (wide East Asian and emoji count 2). */
size_t visible_width(struct slice s);

#endif
