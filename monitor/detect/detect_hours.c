/* detect_hours - see detect_hours.h. */
#include "detect_hours.h"

int
detect_hours_set(struct detect_hours *h, const struct conf_hours *c,
    struct slice tz, struct err *err)
{
	struct tz *t = NULL;

	if (c != NULL && c->set) {
		t = tz_parse(tz);
		if (t == NULL) {
			err_set(err, "business_hours: the bytes of zone %s "
			    "are no time zone", c->zone == NULL ? "?" :
			    c->zone);
			return -1;
		}
	}
	detect_hours_free(h);
	if (t == NULL)
		return 0;
	h->set = true;
	h->tz = t;
	h->days = c->days;
	h->from_min = c->from_min;
	h->to_min = c->to_min;
	return 0;
}

void
detect_hours_free(struct detect_hours *h)
{
	tz_free(h->tz);
	memset(h, 0, sizeof(*h));
}

static int64_t
floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

bool
detect_hours_off(const struct detect_hours *h, int64_t wall_ms)
{
	int64_t utc = floor_div(wall_ms, 1000), local, day;
	int min;
	bool in;

	if (!h->set)
		return false;
	local = utc + tz_offset(h->tz, utc);
	day = floor_div(local, 86400);
	min = (int)((local - day * 86400) / 60);
	if (h->from_min <= h->to_min) {
		in = min >= h->from_min && min < h->to_min;
	} else {
		in = min >= h->from_min || min < h->to_min;
		if (min < h->to_min)
			day--;		/* began yesterday */
	}
	/* 1970-01-01 was a Thursday: day 3 counted from Monday. */
	return !in || (h->days >> ((day + 3) % 7 + 7) % 7 & 1) == 0;
}
