/* clock - see clock.h. */
#include "clock.h"

#include <time.h>

static int64_t offset_ms;

uint64_t
clock_mono_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t
clock_mono_ms(void)
{
	return clock_mono_ns() / 1000000u;
}

int64_t
clock_wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000 + offset_ms;
}

void
clock_set_offset_ms(int64_t offset)
{
	offset_ms = offset;
}

int64_t
clock_offset_ms(void)
{
	return offset_ms;
}

int64_t
clock_boot_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t
clock_watch_look(struct clock_watch *w, int64_t wall_ms, int64_t boot_ms)
{
	int64_t ahead = wall_ms - boot_ms, off;

	off = w->anchored ? ahead - w->ahead_ms :
	    wall_ms < w->floor_ms ? wall_ms - w->floor_ms : 0;
	if (off > w->limit_ms || off < -w->limit_ms)
		return off;
	w->anchored = true;
	w->ahead_ms = ahead;	/* it may drift, it may not step */
	return 0;
}

static void
put(char *out, int64_t two_digits)
{
	out[0] = (char)('0' + two_digits / 10 % 10);
	out[1] = (char)('0' + two_digits % 10);
}

/* Not gmtime_r(): it opens the local zone's file, which a role may not.
 * Days to a civil date: era of 400 years, year from March. */
static void
format_utc(time_t s, char out[20])
{
	int64_t days = s / 86400, in_day = s % 86400;

	if (in_day < 0) {
		in_day += 86400;
		days--;
	}
	days += 719468;		/* 0000-03-01 */
	int64_t era = (days >= 0 ? days : days - 146096) / 146097;
	int64_t doe = days - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;
	int64_t month = mp < 10 ? mp + 3 : mp - 9;
	int64_t year = yoe + era * 400 + (month <= 2);

	put(out, year / 100 % 100);
	put(out + 2, year % 100);
	put(out + 5, month);
	put(out + 8, doy - (153 * mp + 2) / 5 + 1);
	put(out + 11, in_day / 3600);
	put(out + 14, in_day / 60 % 60);
	put(out + 17, in_day % 60);
	out[4] = out[7] = '-';
	out[10] = 'T';
	out[13] = out[16] = ':';
	out[19] = '\0';
}

void
clock_format(int64_t wall_ms, char out[CLOCK_RFC3339_LEN])
{
	static time_t last_s = -1;
	static char last[20];
	time_t s = (time_t)(wall_ms / 1000);
	int ms = (int)(wall_ms % 1000);

	if (ms < 0) {
		ms += 1000;
		s--;
	}
	if (s != last_s || last[0] == '\0') {
		format_utc(s, last);
		last_s = s;
	}
	memcpy(out, last, 19);
	out[19] = '.';
	out[20] = (char)('0' + ms / 100);
	out[21] = (char)('0' + ms / 10 % 10);
	out[22] = (char)('0' + ms % 10);
	out[23] = 'Z';
	out[24] = '\0';
}

bool
clock_parse_duration(struct slice s, int64_t *ms_r)
{
	int64_t unit = 1000;
	uint64_t v;

	if (s.n == 0)
		return false;
	if (slice_ends(s, "ms")) {
		unit = 1;
		s.n -= 2;
	} else {
		switch (s.p[s.n - 1]) {
		case 's': unit = 1000; s.n--; break;
		case 'm': unit = 60 * 1000; s.n--; break;
		case 'h': unit = 3600 * 1000; s.n--; break;
		case 'd': unit = 24 * 3600 * 1000; s.n--; break;
		default: break;
		}
	}
	if (!slice_to_u64(s, &v) || v > INT64_MAX / 86400000)
		return false;
	*ms_r = (int64_t)v * unit;
	return true;
}
