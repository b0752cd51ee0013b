/* tz: known changes of the clocks, the footer's rule, malformed files; every
 * answer also compared with the C library's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <time.h>

#include "tz.h"

static struct tz *
load(const char *name)
{
	struct err err = { 0 };
	struct buf b;
	struct tz *z;

	buf_init(&b, TZ_BYTES_MAX);
	if (tz_load(name, &b, &err) != 0)
		fail_msg("%s", err.text);
	z = tz_parse(buf_slice(&b));
	assert_non_null(z);
	buf_free(&b);
	return z;
}

static const struct {
	const char *zone;
	int64_t t;
	int before, from;	/* offsets at t - 1 and at t */
} changes[] = {
	/* 2024-03-31 01:00 and 2024-10-27 01:00 UTC */
	{ "Europe/Berlin", 1711846800, 3600, 7200 },
	{ "Europe/Berlin", 1729990800, 7200, 3600 },
	/* by the footer: 2040-03-25 and 2040-10-28 01:00 UTC */
	{ "Europe/Berlin", 2216250000, 3600, 7200 },
	{ "Europe/Berlin", 2234998800, 7200, 3600 },
	/* 2024-03-10 07:00 and 2024-11-03 06:00 UTC */
	{ "America/New_York", 1710054000, -18000, -14400 },
	{ "America/New_York", 1730613600, -14400, -18000 },
	/* 2040-03-11 07:00 and 2040-11-04 06:00 UTC */
	{ "America/New_York", 2215062000, -18000, -14400 },
	{ "America/New_York", 2235621600, -14400, -18000 },
	/* the south: 2024-04-06 and 2024-10-05 16:00 UTC */
	{ "Australia/Sydney", 1712419200, 39600, 36000 },
	{ "Australia/Sydney", 1728144000, 36000, 39600 },
	{ "Asia/Kolkata", 1711846800, 19800, 19800 },
	{ "Asia/Kolkata", 4102444800, 19800, 19800 },
	{ "UTC", 0, 0, 0 },
	{ "UTC", 4102444800, 0, 0 },
};

static void
test_changes(void **st)
{
	(void)st;
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		struct tz *z = load(changes[i].zone);

		if (tz_offset(z, changes[i].t - 1) != changes[i].before ||
		    tz_offset(z, changes[i].t) != changes[i].from)
			fail_msg("%s at %lld: %d, %d", changes[i].zone,
			    (long long)changes[i].t,
			    tz_offset(z, changes[i].t - 1),
			    tz_offset(z, changes[i].t));
		tz_free(z);
	}
	tz_free(NULL);
}

static void
test_local(void **st)
{
	struct tz *z = load("Europe/Berlin");
	int day = -1, minute = -1;

	(void)st;
	tz_local(z, 1711846799, &day, &minute);	/* Sunday 01:59:59 */
	assert_int_equal(day, 6);
	assert_int_equal(minute, 119);
	tz_local(z, 1711846800, &day, &minute);	/* 03:00:00 */
	assert_int_equal(minute, 180);
	tz_local(z, 1711922400, &day, &minute);	/* Monday 00:00 */
	assert_int_equal(day, 0);
	assert_int_equal(minute, 0);
	tz_local(z, -1, &day, &minute);	/* Thursday 1970-01-01 00:59:59 */
	assert_int_equal(day, 3);
	assert_int_equal(minute, 59);
	tz_local(z, INT64_MAX, &day, &minute);
	tz_local(z, INT64_MIN, &day, &minute);
	assert_in_range(minute, 0, 1439);
	tz_free(z);
}

/* Every 50 hours from 1950 to 2100 the same offset as localtime_r(). */
static void
test_against_libc(void **st)
{
	static const char *const zones[] = { "Europe/Berlin",
		"America/New_York", "Asia/Kolkata", "Australia/Lord_Howe",
		"America/Sao_Paulo", "Africa/Casablanca", "Asia/Gaza",
		"Europe/Dublin", "America/Nuuk", "Pacific/Apia", "UTC" };

	(void)st;
	for (size_t i = 0; i < ARRAY_LEN(zones); i++) {
		struct tz *z = load(zones[i]);
		struct tm tm;
		int day, minute;

		setenv("TZ", zones[i], 1);
		tzset();
		for (int64_t t = -631152000; t < 4102444800; t += 180007) {
			time_t tt = (time_t)t;

			localtime_r(&tt, &tm);
			tz_local(z, t, &day, &minute);
			if (tz_offset(z, t) != tm.tm_gmtoff ||
			    day != (tm.tm_wday + 6) % 7 ||
			    minute != tm.tm_hour * 60 + tm.tm_min)
				fail_msg("%s at %lld: %d, not %ld", zones[i],
				    (long long)t, tz_offset(z, t),
				    tm.tm_gmtoff);
		}
		tz_free(z);
	}
	unsetenv("TZ");
}

/* made files: no transitions, one type, a footer */

static void
put32(struct buf *b, uint32_t v)
{
	char p[4] = { (char)(v >> 24), (char)(v >> 16), (char)(v >> 8),
		(char)v };

	buf_add(b, p, 4);
}

static void
make(struct buf *b, const char *footer)
{
	for (int v = 0; v < 2; v++) {
		buf_add_str(b, "TZif3");
		for (int i = 0; i < 15; i++)
			buf_add_char(b, 0);
		for (int i = 0; i < 6; i++)
			put32(b, i == 4 ? (uint32_t)v : i == 5 ? 4u * v : 0);
	}
	put32(b, 600);
	buf_add(b, "\0\0ABC\0", 6);
	buf_add_char(b, '\n');
	buf_add_str(b, footer);
	buf_add_char(b, '\n');
}

static void
test_footers(void **st)
{
	static const struct {
		const char *text;
		int64_t t;
		int want;	/* INT_MIN: refused */
	} f[] = {
		{ "", 0, 600 },
		{ "CET-1", 0, 3600 },
		{ "<+0330>-3:30", 0, 12600 },
		{ "<-03>3<-02>,M3.5.0/-2,M10.5.0/-1", 0, -10800 },
		/* 2024-07-01 */
		{ "<-03>3<-02>,M3.5.0/-2,M10.5.0/-1", 1719792000, -7200 },
		/* summer time all year */
		{ "XXX3EDT4,0/0,J365/23", 1719792000, -14400 },
		{ "EST5EDT,0/0,J365/25", 0, -14400 },
		{ "EST5EDT,0/0,J365/25", 1704085200, -14400 },
		{ "EST5EDT,0/0,J365/25", 1704085199, -14400 },
		{ "IST-1GMT0,M10.5.0,M3.5.0/1", 1719792000, 3600 },
		{ "IST-1GMT0,M10.5.0,M3.5.0/1", 1704067200, 0 },
		/* J60 is March 1 in a leap year too; 59 is February 29 */
		{ "AAA0BBB,J60/0,J300", 1709251199, 0 },
		{ "AAA0BBB,J60/0,J300", 1709251200, 3600 },
		{ "AAA0BBB,59/0,J300", 1709164800, 3600 },
		{ "CE-1", 0, INT32_MIN },
		{ "CET", 0, INT32_MIN },
		{ "CET-25", 0, INT32_MIN },
		{ "CET-1CEST", 0, INT32_MIN },
		{ "CET-1CEST,M3.5.0", 0, INT32_MIN },
		{ "CET-1CEST,M13.5.0,M10.5.0", 0, INT32_MIN },
		{ "CET-1CEST,M3.6.0,M10.5.0", 0, INT32_MIN },
		{ "CET-1CEST,M3.5.0,M10.5.0x", 0, INT32_MIN },
		{ "CET-1CEST,M3.5.0/168,M10.5.0", 0, INT32_MIN },
		{ "CET-1CEST,J0,J1", 0, INT32_MIN },
		{ "<>-1", 0, INT32_MIN },
		{ "<CET-1", 0, INT32_MIN },
	};
	struct buf b;

	(void)st;
	buf_init(&b, 4096);
	for (size_t i = 0; i < ARRAY_LEN(f); i++) {
		struct tz *z;

		buf_reset(&b);
		make(&b, f[i].text);
		z = tz_parse(buf_slice(&b));
		if ((z == NULL ? INT32_MIN : tz_offset(z, f[i].t)) !=
		    f[i].want)
			fail_msg("%s at %lld: %d", f[i].text,
			    (long long)f[i].t,
			    z == NULL ? INT32_MIN : tz_offset(z, f[i].t));
		tz_free(z);
	}
	buf_free(&b);
}

static void
test_malformed(void **st)
{
	struct err err = { 0 };
	struct buf b;

	(void)st;
	buf_init(&b, TZ_BYTES_MAX);
	assert_int_equal(tz_load("Europe/Berlin", &b, &err), 0);
	for (size_t n = 0; n + 1 < b.len; n++) {
		char *cut = malloc(n + 1);

		memcpy(cut, buf_data(&b), n);
		/* A cut inside the footer may leave a shorter one whole. */
		struct tz *z = tz_parse(slice_make(cut, n));

		if (n + 40 < b.len)
			assert_null(z);
		tz_free(z);
		free(cut);
	}
	buf_reset(&b);
	assert_int_equal(tz_load("Europe/Berlim", &b, &err), -1);
	assert_string_equal(err.text, "unknown time zone `Europe/Berlim`; "
	    "did you mean `Europe/Berlin`?");
	assert_int_equal(tz_load("../../../etc/passwd", &b, NULL), -1);
	assert_int_equal(tz_load("/etc/localtime", &b, NULL), -1);
	assert_int_equal(tz_load("zone.tab", &b, NULL), -1);
	assert_int_equal(tz_load("Europe", &b, NULL), -1);
	assert_int_equal(tz_load("", &b, NULL), -1);
	assert_int_equal(b.len, 0);
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_local),
		cmocka_unit_test(test_against_libc),
		cmocka_unit_test(test_footers),
		cmocka_unit_test(test_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
