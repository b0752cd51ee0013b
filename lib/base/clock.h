/*
 * clock - the only source of time.
 *
 * Tests inject an offset of the wall clock: clock_set_offset_ms(), which
 * programs call from --clock-offset-ms (test builds and the demo use it to
 * make a call "off-hours").
 */
#ifndef CLOCK_H
#define CLOCK_H

#include "base.h"

uint64_t clock_mono_ns(void);
uint64_t clock_mono_ms(void);
/* Milliseconds since 1970 UTC. */
int64_t clock_wall_ms(void);
void clock_set_offset_ms(int64_t offset);
int64_t clock_offset_ms(void);

#define CLOCK_RFC3339_LEN 25	/* "2026-01-02T03:04:05.678Z" + NUL */
/* RFC 3339, UTC, milliseconds. */
void clock_format(int64_t wall_ms, char out[CLOCK_RFC3339_LEN]);
/* "90s", "15m", "4h", "7d" or a number of seconds; false when neither. */
bool clock_parse_duration(struct slice s, int64_t *ms_r) MUST_USE;

#endif
