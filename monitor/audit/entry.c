/* entry - see entry.h. */
#include "entry.h"

#include "clock.h"

static bool
digits(const char *p, size_t n, int *v_r)
{
	int v = 0;

	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		v = v * 10 + (p[i] - '0');
	}
	*v_r = v;
	return true;
}

/* Days since 1970-01-01 of a date of the proleptic Gregorian calendar; the
 * year is counted from March, so that the leap day comes last. */
static int64_t
days_of(int y, int m, int d)
{
	int64_t yy = m <= 2 ? y - 1 : y;
	int64_t day_of_year = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;

	return yy * 365 + yy / 4 - yy / 100 + yy / 400 + day_of_year - 719468;
}

bool
entry_time_parse(struct slice s, int64_t *ms_r)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ";
	static const uint8_t month_days[] = { 31, 28, 31, 30, 31, 30, 31, 31,
		30, 31, 30, 31 };
	int y, mo, d, h, mi, sec, ms;

	if (s.n != sizeof(form) - 1)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (form[i] != 'd' && s.p[i] != form[i])
			return false;
	if (!digits(s.p, 4, &y) || !digits(s.p + 5, 2, &mo) ||
	    !digits(s.p + 8, 2, &d) || !digits(s.p + 11, 2, &h) ||
	    !digits(s.p + 14, 2, &mi) || !digits(s.p + 17, 2, &sec) ||
	    !digits(s.p + 20, 3, &ms))
		return false;
	if (mo < 1 || mo > 12 || d < 1 || h > 23 || mi > 59 || sec > 59)
		return false;
	bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;

	if (d > month_days[mo - 1] + (mo == 2 && leap))
		return false;
	*ms_r = ((days_of(y, mo, d) * 24 + h) * 60 + mi) * 60000 +
	    sec * 1000 + ms;
	return true;
}

/* A string without escapes, or empty. */
static struct slice
plain(const struct json_doc *doc, const char *key)
{
	uint32_t v = json_member(doc, 0, key);

	if (json_typeof(doc, v) != JSON_STRING ||
	    (doc->nodes[v].flags & JSON_ESCAPED))
		return SLICE("");
	return json_inner(doc, v);
}

static bool
word_ok(struct slice s)
{
	if (s.n == 0 || s.n > ENTRY_TYPE_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || s.p[i] == '.' ||
		    s.p[i] == '_' || s.p[i] == '-' ||
		    (s.p[i] >= '0' && s.p[i] <= '9')))
			return false;
	return true;
}

/* The canonical spelling only: one id, one text. */
static bool
uuid_exact(struct slice s, struct uuid *u_r)
{
	char text[UUID_TEXT_LEN];
	struct uuid u;

	if (!uuid_parse(s, &u))
		return false;
	uuid_format(u, text);
	if (!slice_is(s, text))
		return false;
	*u_r = u;
	return true;
}

static int
parse_head(struct json_doc *doc, struct entry *e, struct err *err)
{
	uint32_t first = json_first(doc, 0);

	if (first == JSON_NONE || !json_str_is(doc, first, "id") ||
	    !uuid_exact(plain(doc, "id"), &e->id)) {
		err_set(err, "an event begins with \"id\", a UUID in lower "
		    "case");
		return -1;
	}
	if (!entry_time_parse(plain(doc, "time"), &e->time)) {
		err_set(err, "\"time\" must look like "
		    "2026-01-02T03:04:05.678Z");
		return -1;
	}
	e->type = plain(doc, "type");
	e->role = plain(doc, "role");
	if (!word_ok(e->type) || !word_ok(e->role)) {
		err_set(err, "\"%s\" is missing or no plain word",
		    word_ok(e->type) ? "role" : "type");
		return -1;
	}
	if (json_member(doc, 0, "call") != JSON_NONE &&
	    !uuid_exact(plain(doc, "call"), &e->call)) {
		err_set(err, "\"call\" must be a UUID in lower case");
		return -1;
	}
	return 0;
}

int
entry_parse(struct json_doc *doc, struct slice body, struct entry *e_r,
    struct err *err)
{
	struct entry e = { 0 };
	enum json_error je;

	if (body.n > ENTRY_BODY_MAX) {
		err_set(err, "the event has %zu bytes, at most %u are kept",
		    body.n, ENTRY_BODY_MAX);
		return -1;
	}
	if ((je = json_index(doc, body, NULL)) != JSON_OK) {
		err_set(err, "no JSON at byte %zu: %s", doc->error_off,
		    json_error_text(je));
		return -1;
	}
	if (json_typeof(doc, 0) != JSON_OBJECT) {
		err_set(err, "an event is a JSON object");
		return -1;
	}
	if (parse_head(doc, &e, err) != 0)
		return -1;
	*e_r = e;
	return 0;
}
