/* media: what a body claims to be, and what a client takes. */
#include "media.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void
test_types(void **state)
{
	static const struct {
		const char *in;
		enum media_kind kind;
		bool inspectable;
	} t[] = {
		{ "", MEDIA_NONE, false },
		{ "  ", MEDIA_NONE, false },
		{ "application/json", MEDIA_JSON, true },
		{ "Application/JSON;charset=UTF-8", MEDIA_JSON, true },
		{ "application/json ; charset=\"utf-8\" ; a=\"b\\\"c\"",
		    MEDIA_JSON, true },
		{ "application/json;", MEDIA_JSON, true },
		{ "application/json; charset=utf-16", MEDIA_JSON, false },
		{ "application/json; charset=utf-7", MEDIA_JSON, false },
		{ "application/vnd.api+json", MEDIA_JSON, true },
		{ "text/json", MEDIA_JSON, true },
		{ "application/+json", MEDIA_BINARY, false },
		{ "application/x-json", MEDIA_BINARY, false },
		{ "application/jsonp", MEDIA_BINARY, false },
		{ "application/x-ndjson", MEDIA_NDJSON, true },
		{ "text/event-stream; charset=utf-8", MEDIA_SSE, true },
		{ "application/event-stream", MEDIA_BINARY, false },
		{ "text/plain", MEDIA_TEXT, true },
		{ "text/html; charset=iso-8859-1", MEDIA_TEXT, false },
		{ "application/xml", MEDIA_TEXT, true },
		{ "image/svg+xml", MEDIA_TEXT, true },
		{ "application/x-www-form-urlencoded", MEDIA_FORM, true },
		{ "multipart/form-data; boundary=x", MEDIA_MULTIPART, false },
		{ "multipart/form-data", MEDIA_INVALID, false },
		{ "multipart/form-data; boundary=a; Boundary=b",
		    MEDIA_INVALID, false },
		{ "application/octet-stream", MEDIA_BINARY, false },
		{ "image/png", MEDIA_BINARY, false },
		{ "application", MEDIA_INVALID, false },
		{ "application/", MEDIA_INVALID, false },
		{ "/json", MEDIA_INVALID, false },
		{ "application /json", MEDIA_INVALID, false },
		{ "application/json, text/plain", MEDIA_INVALID, false },
		{ "application/json text/plain", MEDIA_INVALID, false },
		{ "application/json; charset", MEDIA_INVALID, false },
		{ "application/json; charset=", MEDIA_INVALID, false },
		{ "application/json; charset =utf-8", MEDIA_INVALID, false },
		{ "application/json; charset=utf-8; charset=utf-7",
		    MEDIA_INVALID, false },
		{ "application/json; charset=\"utf-8", MEDIA_INVALID, false },
		{ "application/json; charset=\"utf\\-8\"", MEDIA_INVALID,
		    false },
		{ "application/json; charset=\"\"", MEDIA_INVALID, false },
		{ "application/json; a=\"\\", MEDIA_INVALID, false },
		{ "application/json; charset='utf-8'", MEDIA_JSON, false },
	};
	struct media m;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		bool ok = media_parse(slice_str(t[i].in), &m);

		if (m.kind != t[i].kind ||
		    ok != (t[i].kind != MEDIA_INVALID) ||
		    media_inspectable(&m) != t[i].inspectable)
			fail_msg("\"%s\": %s", t[i].in,
			    media_kind_name(m.kind));
	}
	assert_true(media_parse(SLICE("multipart/x; boundary=\"a b\""), &m));
	assert_true(slice_is(m.boundary, "a b"));
	assert_true(slice_is(m.subtype, "x"));
	/* zeroed is the safe answer */
	assert_false(media_inspectable(&(struct media){ 0 }));
}

static void
test_codings(void **state)
{
	static const struct {
		const char *in;
		enum media_coding want;
	} t[] = {
		{ "", MEDIA_CODING_IDENTITY },
		{ "Identity ", MEDIA_CODING_IDENTITY },
		{ "gzip", MEDIA_CODING_GZIP },
		{ "X-GZIP", MEDIA_CODING_GZIP },
		{ "deflate", MEDIA_CODING_DEFLATE },
		{ "br", MEDIA_CODING_BR },
		{ "zstd", MEDIA_CODING_ZSTD },
		{ "gzip, br", MEDIA_CODING_SEVERAL },
		{ "identity, gzip", MEDIA_CODING_SEVERAL },
		{ "gzip,gzip", MEDIA_CODING_SEVERAL },
		{ ",gzip", MEDIA_CODING_SEVERAL },
		{ "x-deflate", MEDIA_CODING_UNKNOWN },
		{ "utf-8", MEDIA_CODING_UNKNOWN },
		{ "aes128gcm", MEDIA_CODING_UNKNOWN },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(media_coding_of(slice_str(t[i].in)),
		    t[i].want);
}

static void
test_accept(void **state)
{
	static const struct {
		const char *in;
		bool accepts, named;
	} t[] = {
		{ NULL, true, false },
		{ "", false, false },
		{ "*/*", true, false },
		{ "text/*", true, false },
		{ "text/event-stream", true, true },
		{ "application/json, TEXT/Event-Stream", true, true },
		{ "application/json,text/event-stream;q=0.001", true, true },
		{ "text/event-stream;q=0, */*", false, false },
		{ "*/*, text/event-stream;q=0.000", false, false },
		{ "text/*;q=0, */*;q=1", false, false },
		{ "application/json", false, false },
		{ "text/event-streams", false, false },
		{ "text/event-stream;q=2", false, false },
		{ "text/event-stream;q=x", false, false },
		{ "text/event-stream;q=1.001", false, false },
		{ "text/event-stream;q=0.0001", false, false },
		{ "x/y;a=\"text/event-stream, */*\"", false, false },
		{ "x/y;a=\"\\\", */*\", text/event-stream", true, true },
		{ "*/event-stream", false, false },
		{ ",, text/event-stream ; v=1 ,", true, true },
		{ "text/html, image/gif, *; q=.2, */*; q=.2", false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct slice in = slice_str(t[i].in);

		if (media_accepts(in, "text/event-stream") != t[i].accepts ||
		    media_accepts_named(in, "text/event-stream") !=
		    t[i].named)
			fail_msg("\"%s\"", t[i].in);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types), cmocka_unit_test(test_codings),
		cmocka_unit_test(test_accept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
