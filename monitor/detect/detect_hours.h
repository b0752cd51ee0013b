/*
 * detect_hours - is a moment inside the declared business hours?
 *
 * Local time of the declared zone, daylight saving included. A window that
 * ends before it begins (22:00 to 06:00) passes midnight and belongs to the
 * day on which it began. Begin is inside, end is outside.
 */
#ifndef DETECT_HOURS_H
#define DETECT_HOURS_H

#include "base.h"
#include "conf.h"
#include "err.h"
#include "tz.h"

struct detect_hours {
	bool set;
	struct tz *tz;
	uint8_t days;
	int from_min, to_min;
};

/* -1 and err when the zone's bytes are none; h is then unchanged. */
int detect_hours_set(struct detect_hours *h, const struct conf_hours *c,
    struct slice tz, struct err *err) MUST_USE;
void detect_hours_free(struct detect_hours *h);
/* False also when no hours are declared: nothing is off them then. */
bool detect_hours_off(const struct detect_hours *h, int64_t wall_ms);

#endif
