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

/* Since the machine started, suspended or not: no step of the wall clock
 * moves it. */
int64_t clock_boot_ms(void);

/*
 * Can the wall clock be believed? It must not be more than limit_ms before
 * floor_ms (the latest time known to have passed) at first, and afterwards
 * move as the boot clock does: between two looks it may gain or lose limit_ms.
 * All other fields are zero at the start.
 */
struct clock_watch {
	int64_t limit_ms, floor_ms;
	int64_t ahead_ms;	/* of the boot clock, when last believed */
	bool anchored;
};

/* 0: yes. Else no, and so many ms it is ahead (or, negative, behind) of where
 * it should be; it is believed again when it is back there. */
int64_t clock_watch_look(struct clock_watch *w, int64_t wall_ms,
    int64_t boot_ms) MUST_USE;

#define CLOCK_RFC3339_LEN 25	/* "2026-01-02T03:04:05.678Z" + NUL */
/* RFC 3339, UTC, milliseconds. */
void clock_format(int64_t wall_ms, char out[CLOCK_RFC3339_LEN]);
/* "90s", "15m", "4h", "7d" or a number of seconds; false when neither. */
bool clock_parse_duration(struct slice s, int64_t *ms_r) MUST_USE;

#endif
