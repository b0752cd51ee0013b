/*
 * tz - local time from the bytes of a time zone file (TZif version 2 and up,
 * RFC 9636), so that a role without file access can tell the hour where its
 * operators work: the compiler reads the bytes, a snapshot carries them.
 *
 * Behind the last transition the footer's rule counts (a POSIX TZ string,
 * RFC 9636, 3.3). Refused: version 1, leap seconds ("right/" zones), what is
 * cut short or has times that do not grow.
 */
#ifndef TZ_H
#define TZ_H

#include "base.h"
#include "buf.h"
#include "err.h"

#define TZ_BYTES_MAX 65536

struct tz;

/* NULL when the bytes are no such file. They are not kept. */
struct tz *tz_parse(struct slice bytes) MUST_USE;
void tz_free(struct tz *z);	/* NULL-safe */
/* Seconds that local time is ahead of UTC (east positive). */
int tz_offset(const struct tz *z, int64_t unix_s);
/* Weekday, 0 Monday .. 6 Sunday, and minute 0 .. 1439 of the local day. */
void tz_local(const struct tz *z, int64_t unix_s, int *weekday_r,
    int *minute_r);

/* Compilers only: appends the bytes of the zone called name ("Europe/Berlin")
 * to out, checked. The error names the nearest zone there is. */
int tz_load(const char *name, struct buf *out, struct err *err) MUST_USE;
/* The form of a name, whether or not there is such a zone. */
bool tz_name_ok(struct slice name);

#endif
