/* tz - see tz.h. Must never read past the bytes or loop on a strange time. */
#include "tz.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>

#include "file.h"

#define TZ_FOLDER "/usr/share/zoneinfo"
#define TZ_TIMES_MAX 4096
#define TZ_NAMES_MAX 1024
#define DAY 86400
/* Offsets of RFC 9636, 3.2: within -25:59:59 .. +26:59:59. */
#define OFFSET_MIN (-93599)
#define OFFSET_MAX 97199
/* Some 30 million years: beyond it the clock stands still. */
#define TIME_MAX ((int64_t)1000000000000000)

enum rule_kind { RULE_JULIAN, RULE_DAY, RULE_MONTH };

/* When in a year the clocks change (POSIX, 8.3). */
struct rule {
	enum rule_kind kind;
	int day;	/* JULIAN 1..365, DAY 0..365, MONTH weekday 0 Sunday */
	int month, week;
	int32_t second;	/* of that day, in the time before the change */
};

struct footer {
	bool set, has_dst;
	int32_t std, dst;
	struct rule start, end;	/* of summer time */
};

struct tz {
	size_t n;
	int64_t *times;
	int32_t *offsets;	/* from times[i] on */
	int32_t first;		/* before times[0] */
	struct footer footer;
};

/* the footer's text; each reader takes what it read off the front */

static bool
take(struct slice *s, char c)
{
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = slice_sub(*s, 1, s->n);
	return true;
}

static bool
take_number(struct slice *s, int min, int max, int *v_r)
{
	int v = 0;
	size_t n = 0;

	while (n < s->n && n < 4 && s->p[n] >= '0' && s->p[n] <= '9')
		v = v * 10 + (s->p[n++] - '0');
	if (n == 0 || v < min || v > max)
		return false;
	*s = slice_sub(*s, n, s->n);
	*v_r = v;
	return true;
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* "CET" or "<+0330>". */
static bool
take_name(struct slice *s)
{
	size_t n = 0;

	if (take(s, '<')) {
		ssize_t end = slice_chr(*s, '>');

		if (end < 1)
			return false;
		*s = slice_sub(*s, (size_t)end + 1, s->n);
		return true;
	}
	while (n < s->n && is_letter(s->p[n]))
		n++;
	*s = slice_sub(*s, n, s->n);
	return n >= 3;
}

/* [+-]hh[:mm[:ss]] in seconds. */
static bool
take_time(struct slice *s, int max_hours, int32_t *v_r)
{
	int h, m = 0, sec = 0;
	bool minus = take(s, '-');

	if (!minus)
		take(s, '+');
	if (!take_number(s, 0, max_hours, &h))
		return false;
	if (take(s, ':')) {
		if (!take_number(s, 0, 59, &m))
			return false;
		if (take(s, ':') && !take_number(s, 0, 59, &sec))
			return false;
	}
	*v_r = h * 3600 + m * 60 + sec;
	if (minus)
		*v_r = -*v_r;
	return true;
}

static bool
take_rule(struct slice *s, struct rule *r)
{
	bool ok;

	r->second = 2 * 3600;
	if (take(s, 'J')) {
		r->kind = RULE_JULIAN;
		ok = take_number(s, 1, 365, &r->day);
	} else if (take(s, 'M')) {
		r->kind = RULE_MONTH;
		ok = take_number(s, 1, 12, &r->month) && take(s, '.') &&
		    take_number(s, 1, 5, &r->week) && take(s, '.') &&
		    take_number(s, 0, 6, &r->day);
	} else {
		r->kind = RULE_DAY;
		ok = take_number(s, 0, 365, &r->day);
	}
	return ok && (!take(s, '/') || take_time(s, 167, &r->second));
}

static bool
footer_parse(struct slice s, struct footer *f)
{
	if (s.n == 0)
		return true;
	if (!take_name(&s) || !take_time(&s, 24, &f->std))
		return false;
	f->std = -f->std;	/* POSIX counts westwards */
	f->set = true;
	if (s.n == 0)
		return true;
	f->has_dst = true;
	f->dst = f->std + 3600;
	if (!take_name(&s))
		return false;
	if (s.n != 0 && s.p[0] != ',') {
		if (!take_time(&s, 24, &f->dst))
			return false;
		f->dst = -f->dst;
	}
	return take(&s, ',') && take_rule(&s, &f->start) && take(&s, ',') &&
	    take_rule(&s, &f->end) && s.n == 0;
}

/* the calendar (proleptic Gregorian) */

static bool
is_leap(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int64_t
div_floor(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* Days from 1970-01-01 to the first of January. */
static int64_t
year_begin(int64_t year)
{
	int64_t y = year - 1;

	return y * 365 + div_floor(y, 4) - div_floor(y, 100) +
	    div_floor(y, 400) - 719162;
}

static int64_t
year_of(int64_t day)
{
	int64_t year = 1970 + div_floor(day * 400, 146097);

	while (year_begin(year) > day)
		year--;
	while (year_begin(year + 1) <= day)
		year++;
	return year;
}

/* 0 Sunday; 1970-01-01 was a Thursday. */
static int
weekday(int64_t day)
{
	return (int)(((day + 4) % 7 + 7) % 7);
}

static int64_t
rule_month_day(const struct rule *r, int64_t year)
{
	static const int lengths[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30,
		31, 30, 31 };
	int64_t first = year_begin(year);
	int length, in_month;

	for (int m = 1; m < r->month; m++)
		first += lengths[m - 1] + (m == 2 && is_leap(year));
	length = lengths[r->month - 1] + (r->month == 2 && is_leap(year));
	in_month = (r->day - weekday(first) + 7) % 7 + (r->week - 1) * 7;
	if (in_month >= length)
		in_month -= 7;	/* week 5: the last one */
	return first + in_month;
}

/* The moment of the change, as seconds since 1970 of the time before it. */
static int64_t
rule_moment(const struct rule *r, int64_t year)
{
	int64_t day = year_begin(year);

	switch (r->kind) {
	case RULE_JULIAN:	/* February 29 is never counted */
		day += r->day - 1 + (r->day >= 60 && is_leap(year));
		break;
	case RULE_DAY:
		day += r->day;
		break;
	case RULE_MONTH:
		day = rule_month_day(r, year);
		break;
	}
	return day * DAY + r->second;
}

/* The latest change up to t decides; at the same moment summer time wins
 * (RFC 9636, 3.3.1: that is how it lasts all year). */
static int32_t
footer_offset(const struct footer *f, int64_t t)
{
	int64_t year, best = INT64_MIN;
	int32_t offset = f->std;

	if (!f->has_dst)
		return f->std;
	year = year_of(div_floor(t + f->std, DAY));
	for (int64_t y = year - 1; y <= year + 1; y++) {
		int64_t end = rule_moment(&f->end, y) - f->dst;
		int64_t start = rule_moment(&f->start, y) - f->std;

		if (end <= t && end > best) {
			best = end;
			offset = f->std;
		}
		if (start <= t && start >= best) {
			best = start;
			offset = f->dst;
		}
	}
	return offset;
}

/* the file */

struct head {
	uint32_t isut, isstd, leap, time, type, chars;
};

static uint32_t
be32(const char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

static int64_t
be64(const char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return (int64_t)be64toh(v);
}

/* A header off the front; its counts are within the limits. */
static bool
take_head(struct slice *s, struct head *h)
{
	const char *p = s->p;

	if (s->n < 44 || memcmp(p, "TZif", 4) != 0 || p[4] < '2')
		return false;
	*h = (struct head){ be32(p + 20), be32(p + 24), be32(p + 28),
		be32(p + 32), be32(p + 36), be32(p + 40) };
	*s = slice_sub(*s, 44, s->n);
	return h->isut <= 256 && h->isstd <= 256 && h->leap <= 1024 &&
	    h->time <= TZ_TIMES_MAX && h->type <= 256 && h->chars <= 4096;
}

static size_t
block_size(const struct head *h, size_t time_size)
{
	return h->time * (time_size + 1) + h->type * 6 + h->chars +
	    h->leap * (time_size + 4) + h->isstd + h->isut;
}

static bool
types_ok(const char *types, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		int32_t off = (int32_t)be32(types + 6 * i);

		if (off < OFFSET_MIN || off > OFFSET_MAX)
			return false;
	}
	return n != 0;
}

static bool
block_read(struct tz *z, const struct head *h, const char *p)
{
	const char *index = p + (size_t)h->time * 8;
	const char *types = index + h->time;

	if (h->leap != 0 || !types_ok(types, h->type))
		return false;
	z->first = (int32_t)be32(types);
	z->n = h->time;
	z->times = base_calloc(z->n + 1, sizeof(*z->times));
	z->offsets = base_calloc(z->n + 1, sizeof(*z->offsets));
	for (size_t i = 0; i < z->n; i++) {
		unsigned type = (unsigned char)index[i];

		z->times[i] = be64(p + i * 8);
		if (type >= h->type ||
		    (i != 0 && z->times[i] <= z->times[i - 1]))
			return false;
		z->offsets[i] = (int32_t)be32(types + 6 * type);
	}
	return true;
}

static bool
read_file(struct tz *z, struct slice s)
{
	struct head h;
	size_t size;

	/* The block of version 1 is there for old readers only. */
	if (s.n > TZ_BYTES_MAX || !take_head(&s, &h))
		return false;
	s = slice_sub(s, block_size(&h, 4), s.n);
	if (!take_head(&s, &h))
		return false;
	size = block_size(&h, 8);
	if (s.n < size + 2 || !block_read(z, &h, s.p))
		return false;
	s = slice_sub(s, size, s.n);
	if (s.p[0] != '\n' || s.p[s.n - 1] != '\n')
		return false;
	return footer_parse(slice_sub(s, 1, s.n - 2), &z->footer);
}

struct tz *
tz_parse(struct slice bytes)
{
	struct tz *z = base_calloc(1, sizeof(*z));

	if (read_file(z, bytes))
		return z;
	tz_free(z);
	return NULL;
}

void
tz_free(struct tz *z)
{
	if (z == NULL)
		return;
	free(z->times);
	free(z->offsets);
	free(z);
}

int
tz_offset(const struct tz *z, int64_t t)
{
	size_t lo = 0, hi = z->n;

	t = t > TIME_MAX ? TIME_MAX : t < -TIME_MAX ? -TIME_MAX : t;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (z->times[mid] <= t)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == z->n && z->footer.set)
		return footer_offset(&z->footer, t);
	return lo == 0 ? z->first : z->offsets[lo - 1];
}

void
tz_local(const struct tz *z, int64_t t, int *weekday_r, int *minute_r)
{
	int64_t local, day;

	t = t > TIME_MAX ? TIME_MAX : t < -TIME_MAX ? -TIME_MAX : t;
	local = t + tz_offset(z, t);
	day = div_floor(local, DAY);
	*weekday_r = (weekday(day) + 6) % 7;
	*minute_r = (int)((local - day * DAY) / 60);
}

/* files of the system */

bool
tz_name_ok(struct slice s)
{
	if (s.n == 0 || s.n > 64 || s.p[0] == '/' ||
	    slice_find(s, SLICE("..")) >= 0)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!is_letter(s.p[i]) && (s.p[i] < '0' || s.p[i] > '9') &&
		    memchr("_+-/", s.p[i], 4) == NULL)
			return false;
	return true;
}

/* The third column of the system's list of zones; malloc'd or NULL. */
static char *
nearest(const char *name)
{
	const char *names[TZ_NAMES_MAX], *near;
	size_t n = 0;
	struct slice rest;
	struct buf b;
	char *found;

	buf_init(&b, 1 << 20);
	if (file_read(TZ_FOLDER "/zone.tab", &b, NULL) != 0)
		b.len = 0;
	rest = buf_slice(&b);
	while (rest.n != 0 && n < TZ_NAMES_MAX) {
		struct slice line = slice_cut(&rest, '\n'), col;

		if (line.n == 0 || line.p[0] == '#')
			continue;
		slice_cut(&line, '\t');
		slice_cut(&line, '\t');
		col = slice_cut(&line, '\t');
		if (col.n != 0)
			names[n++] = slice_dup(col);
	}
	near = err_nearest(slice_str(name), names, n);
	found = near == NULL ? NULL : base_strdup(near);
	for (size_t i = 0; i < n; i++)
		free((char *)(uintptr_t)names[i]);
	buf_free(&b);
	return found;
}

int
tz_load(const char *name, struct buf *out, struct err *err)
{
	struct buf b;
	struct tz *z = NULL;
	char *path, *near;
	int rc = -1;

	buf_init(&b, TZ_BYTES_MAX);
	if (tz_name_ok(slice_str(name))) {
		path = file_resolve(TZ_FOLDER, name);
		if (file_read(path, &b, NULL) == 0)
			z = tz_parse(buf_slice(&b));
		free(path);
	}
	if (z != NULL) {
		rc = buf_add_slice(out, buf_slice(&b));
		if (rc != 0)
			err_set(err, "time zone %s is too large", name);
	} else {
		near = nearest(name);
		err_set(err, near != NULL ? "unknown time zone `%s`; did you "
		    "mean `%s`?" : "unknown time zone `%s`; names are like %s "
		    "(see " TZ_FOLDER ")", name,
		    near != NULL ? near : "Europe/Berlin");
		free(near);
	}
	tz_free(z);
	buf_free(&b);
	return rc;
}
