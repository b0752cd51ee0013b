/* test_rfc5424 - messages against lines built from the RFC's grammar. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "event.h"
#include "fit.h"
#include "rfc5424.h"

#define ID "01890a5d-ac96-774b-bcce-b302099a8057"
#define HEAD(type) "{\"id\":\"" ID "\",\"time\":\"2026-01-02T03:04:05.678Z\"," \
	"\"type\":\"" type "\",\"role\":\"proxy\""

static struct rfc5424 f;
static struct buf out;

static int
setup(void **state)
{
	(void)state;
	rfc5424_init(&f, "gw1.example", 0);
	buf_init(&out, 4u << 20);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	rfc5424_free(&f);
	buf_free(&out);
	return 0;
}

static const char *
format(uint64_t seq, struct slice event)
{
	buf_reset(&out);
	assert_int_equal(rfc5424_format(&f, &out, seq, event), 0);
	buf_add_char(&out, '\0');
	out.len--;
	return buf_data(&out);
}

static void
test_golden(void **state)
{
	static const char event[] = HEAD("call.decision")
	    ",\"call\":\"01890a5d-ac96-774b-bcce-b302099a8058\","
	    "\"user\":\"ada\",\"agent\":\"ops\",\"connector\":\"github\","
	    "\"tool\":\"create_issue\",\"verdict\":\"deny\","
	    "\"reason\":\"detection\",\"rule\":\"r-17\"}";

	(void)state;
	assert_string_equal(format(42, slice_str(event)),
	    "<108>1 2026-01-02T03:04:05.678Z gw1.example portreeve proxy "
	    "call.decision [portreeve@32473 id=\"" ID "\" seq=\"42\" "
	    "user=\"ada\" agent=\"ops\" connector=\"github\" "
	    "tool=\"create_issue\" verdict=\"deny\" rule=\"r-17\" "
	    "reason=\"detection\" "
	    "call=\"01890a5d-ac96-774b-bcce-b302099a8058\"] "
	    HEAD("call.decision")
	    ",\"call\":\"01890a5d-ac96-774b-bcce-b302099a8058\","
	    "\"user\":\"ada\",\"agent\":\"ops\",\"connector\":\"github\","
	    "\"tool\":\"create_issue\",\"verdict\":\"deny\","
	    "\"reason\":\"detection\",\"rule\":\"r-17\"}");
}

static void
test_finding(void **state)
{
	static const char event[] = HEAD("finding") ",\"severity\":\"high\","
	    "\"finding\":{\"rule\":\"mass-export\",\"title\":\"x\"}}";
	static const char want[] = "<107>1 2026-01-02T03:04:05.678Z "
	    "gw1.example portreeve proxy finding [portreeve@32473 id=\"" ID
	    "\" seq=\"1\" rule=\"mass-export\"] {";

	(void)state;
	assert_memory_equal(format(1, slice_str(event)), want,
	    sizeof(want) - 1);
}

/* RFC 5424, 6.3.3: '"', '\' and ']' are escaped, nothing else is. */
static void
test_escaping(void **state)
{
	static const char event[] = HEAD("auth.failed")
	    ",\"user\":\"a\\\"b\\\\c]d=e f\\u00fc\","
	    "\"agent\":\"x\\ny\\u001b[31m\\u007f\\u0000\"}";

	(void)state;
	const char *m = format(7, slice_str(event));

	assert_non_null(strstr(m,
	    " user=\"a\\\"b\\\\c\\]d=e f\xc3\xbc\" "));
	assert_non_null(strstr(m,
	    " agent=\"x\\\\u000ay\\\\u001b[31m\\\\u007f\\\\u0000\"] {"));
	for (size_t i = 0; i < out.len; i++)
		assert_true((unsigned char)m[i] >= 0x20);
}

static void
test_long_value(void **state)
{
	struct buf e;

	(void)state;
	buf_init(&e, 65536);
	buf_add_str(&e, HEAD("tool.seen") ",\"tool\":\"a");
	for (int i = 0; i < 300; i++)
		buf_add_str(&e, "\xc3\xbc");
	buf_add_str(&e, "\",\"user\":\"");
	for (int i = 0; i < 5000; i++)
		buf_add_str(&e, "\\n");
	buf_add_str(&e, "\"}");
	const char *m = format(7, buf_slice(&e));
	const char *p = strstr(m, " tool=\"a");

	/* 1 + 127 * 2 bytes: never half a character. */
	assert_non_null(p);
	assert_memory_equal(p + 8 + 254, "...\" ", 4);
	assert_memory_equal(p + 8 + 252, "\xc3\xbc...\"", 6);
	p = strstr(m, " user=\"\\\\n\\\\n");
	assert_non_null(p);
	assert_memory_equal(strchr(p + 7, '"') - 3, "...", 3);
	buf_free(&e);
}

static void
test_header_fields(void **state)
{
	struct rfc5424 g;
	struct buf e;
	char host[400];
	static const char want[] = "<109>1 - ";

	(void)state;
	memset(host, 'h', sizeof(host));
	host[3] = ' ';
	host[399] = '\0';
	rfc5424_init(&g, host, 0);
	assert_int_equal(strlen(g.host), 255);
	assert_memory_equal(g.host, "hhh_h", 5);
	rfc5424_free(&g);
	rfc5424_init(&g, NULL, 0);
	assert_string_equal(g.host, "-");
	rfc5424_free(&g);

	buf_init(&e, 65536);
	buf_add_str(&e, "{\"time\":\"now\",\"type\":\"a b\\u00fc");
	for (int i = 0; i < 40; i++)
		buf_add_char(&e, 't');
	buf_add_str(&e, "\",\"role\":\"\"}");
	const char *m = format(3, buf_slice(&e));

	assert_memory_equal(m, want, sizeof(want) - 1);
	assert_memory_equal(m + 9, "gw1.example portreeve - "
	    "a_b__ttttttttttttttttttttttttttt [", 24 + 32 + 2);
	assert_null(strstr(m, " id="));
	buf_free(&e);
}

static void
test_timestamps(void **state)
{
	static const struct { const char *time; bool ok; } t[] = {
		{ "2026-01-02T03:04:05Z", true },
		{ "2026-01-02T03:04:05.1Z", true },
		{ "2026-01-02T03:04:05.123456+02:00", true },
		{ "2026-01-02T03:04:05-11:30", true },
		{ "2026-01-02T03:04:05.1234567Z", false },
		{ "2026-01-02T03:04:05.Z", false },
		{ "2026-01-02t03:04:05Z", false },
		{ "2026-01-02T03:04:05z", false },
		{ "2026-01-02T03:04:05", false },
		{ "2026-01-02T03:04:05Z ", false },
		{ "2026-01-02T03:04:05+0200", false },
		{ "2026-1-2T03:04:05Z", false },
		{ "", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		char e[200], want[100];

		snprintf(e, sizeof(e), "{\"time\":\"%s\"}", t[i].time);
		snprintf(want, sizeof(want), "<109>1 %s gw1", t[i].ok ?
		    t[i].time : "-");
		assert_memory_equal(format(1, slice_str(e)), want,
		    strlen(want));
	}
}

static void
test_severities(void **state)
{
	struct slice none = slice_make("", 0);

	(void)state;
	for (int i = 0; i < EVENT_COUNT; i++) {
		struct slice type = slice_str(event_type_name(i));
		int s = rfc5424_severity(type, none, none);

		/* An event type without a mapping would be an emergency. */
		assert_in_range(s, 1, 6);
		assert_int_not_equal(rfc5424_type_severity(i), 0);
	}
	struct slice d = SLICE("call.decision"), fi = SLICE("finding");

	assert_int_equal(rfc5424_severity(d, SLICE("allow"), none), 6);
	assert_int_equal(rfc5424_severity(d, SLICE("hold"), none), 5);
	assert_int_equal(rfc5424_severity(d, SLICE("deny"), none), 4);
	assert_int_equal(rfc5424_severity(fi, none, SLICE("critical")), 2);
	assert_int_equal(rfc5424_severity(fi, none, SLICE("informational")), 6);
	assert_int_equal(rfc5424_severity(fi, none, SLICE("?")), 4);
	assert_int_equal(rfc5424_severity(SLICE("?"), none, none), 5);
}

static struct slice
message_json(void)
{
	struct slice m = buf_slice(&out);
	ssize_t at = slice_find(m, SLICE("] {"));

	assert_true(at > 0);
	return slice_sub(m, (size_t)at + 2, m.n);
}

static void
test_truncation(void **state)
{
	struct json_doc d = { 0 };
	struct buf e;

	(void)state;
	buf_init(&e, 4u << 20);
	buf_add_str(&e, HEAD("call.decision") ",\"verdict\":\"allow\","
	    "\"detail\":\"");
	for (int i = 0; i < 3000; i++)
		buf_add_char(&e, 'd');
	buf_add_str(&e, "\",\"arguments\":{\"text\":\"");
	for (int i = 0; i < 100000; i++)
		buf_add_char(&e, 'x');
	buf_add_str(&e, "\"},\"user\":\"ada\"}");
	format(9, buf_slice(&e));
	assert_true(out.len <= RFC5424_MAX);
	assert_int_equal(f.truncated, 1);
	assert_true(slice_find(buf_slice(&out),
	    SLICE(" truncated=\"1\"] {")) > 0);
	assert_int_equal(json_index(&d, message_json(), NULL), JSON_OK);
	assert_true(slice_is(json_raw(&d, json_path(&d, 0, "arguments",
	    "bytes", NULL)), "100011"));
	assert_int_equal(json_typeof(&d, json_member(&d, 0, "truncated")),
	    JSON_TRUE);
	int64_t n = 0;

	assert_true(json_int(&d, json_member(&d, 0, "original_bytes"), &n));
	assert_int_equal(n, e.len);
	/* What was small enough stays. */
	assert_true(json_str_is(&d, json_member(&d, 0, "user"), "ada"));
	assert_int_equal(json_raw(&d, json_member(&d, 0, "detail")).n, 3002);
	json_free(&d);
	buf_free(&e);
}

/* Too many small members: only what identifies the event stays. */
static void
test_truncation_many(void **state)
{
	struct json_doc d = { 0 };
	struct buf e;
	int64_t n = 0;

	(void)state;
	buf_init(&e, 4u << 20);
	buf_add_str(&e, HEAD("call.outcome"));
	for (int i = 0; i < 20000; i++)
		buf_addf(&e, ",\"k%d\":\"%050d\"", i, i);
	buf_add_str(&e, "}");
	format(9, buf_slice(&e));
	assert_true(out.len <= RFC5424_MAX);
	assert_int_equal(json_index(&d, message_json(), NULL), JSON_OK);
	assert_true(json_str_is(&d, json_member(&d, 0, "id"), ID));
	assert_true(json_int(&d, json_member(&d, 0, "members_dropped"), &n));
	assert_int_equal(n, 20000);
	json_free(&d);
	buf_free(&e);
}

/* At the limit to the byte: whole below it, cut above it. */
static void
test_limit(void **state)
{
	struct buf e;
	bool cut = false;

	(void)state;
	buf_init(&e, 4u << 20);
	for (int pad = 65000; pad < 65536; pad++) {
		uint64_t before = f.truncated;

		buf_reset(&e);
		buf_add_str(&e, HEAD("call.outcome") ",\"result\":\"");
		for (int i = 0; i < pad; i++)
			buf_add_char(&e, 'x');
		buf_add_str(&e, "\"}");
		format(9, buf_slice(&e));
		assert_true(out.len <= RFC5424_MAX);
		assert_true(f.truncated > before || !cut);
		if (f.truncated > before && !cut) {
			cut = true;
			assert_true(pad > 65000);
		}
	}
	assert_true(cut);
	buf_free(&e);
}

static void
test_worst_headers(void **state)
{
	static const char *const keys[] = { "id", "role", "type", "user",
		"agent", "connector", "tool", "verdict", "rule", "reason",
		"call" };
	struct rfc5424 g;
	struct buf e;

	(void)state;
	rfc5424_init(&g, "h", RFC5424_MIN);
	buf_init(&e, 1u << 20);
	buf_add_str(&e, "{\"x\":0");
	for (size_t k = 0; k < ARRAY_LEN(keys); k++) {
		buf_addf(&e, ",\"%s\":\"", keys[k]);
		for (int i = 0; i < 600; i++)
			buf_add_str(&e, "\\u0001");
		buf_add_str(&e, "\"");
	}
	buf_add_str(&e, "}");
	buf_reset(&out);
	assert_int_equal(rfc5424_format(&g, &out, UINT64_MAX, buf_slice(&e)),
	    0);
	assert_true(out.len <= RFC5424_MIN);
	rfc5424_free(&g);
	buf_free(&e);
}

static void
test_malformed(void **state)
{
	static const char *const bad[] = { "", "[]", "nonsense\n\x1b[2J",
		"{\"a\":1", "\xff\xfe", "{\"a\":1,\"a\":2}", "null" };
	struct json_doc d = { 0 };
	char *big = calloc(1, 300000);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const char *m = format(5, slice_str(bad[i]));

		assert_memory_equal(m, "<108>1 - gw1.example portreeve - "
		    "malformed [portreeve@32473 seq=\"5\" malformed=\"1\"] {",
		    20);
		assert_int_equal(json_index(&d, message_json(), NULL),
		    JSON_OK);
		assert_int_equal(f.malformed, i + 1);
		for (size_t k = 0; k < out.len; k++)
			assert_true((unsigned char)m[k] >= 0x20);
	}
	format(6, slice_make(big, 300000));
	assert_true(out.len <= RFC5424_MAX);
	assert_int_equal(json_index(&d, message_json(), NULL), JSON_OK);
	free(big);
	json_free(&d);
}

static void
test_no_room(void **state)
{
	struct buf small;

	(void)state;
	buf_init(&small, RFC5424_MAX - 1);
	assert_int_equal(rfc5424_format(&f, &small, 1, SLICE("{}")), -1);
	assert_int_equal(small.len, 0);
	buf_free(&small);
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_golden), T(test_finding), T(test_escaping),
		T(test_long_value), T(test_header_fields), T(test_timestamps),
		T(test_severities), T(test_truncation),
		T(test_truncation_many), T(test_limit), T(test_worst_headers),
		T(test_malformed), T(test_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
