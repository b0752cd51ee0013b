/* The tables of lib/wire: messages, roles, reasons, event types. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "clock.h"
#include "event.h"
#include "msg.h"
#include "reason.h"

static void
test_msgs(void **st)
{
	static const unsigned numbers[] = {
#define MSG(sym, num, way, body) num,
#include "msgs.def"
#undef MSG
	};

	(void)st;
	assert_string_equal(msg_name(MSG_HELLO), "HELLO");
	assert_string_equal(msg_name((enum msg_type)65535), "?");
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		assert_string_not_equal(
		    msg_name((enum msg_type)numbers[i]), "?");
		for (size_t j = 0; j < i; j++)
			assert_true(numbers[j] < numbers[i]);
	}
}

static void
test_roles(void **st)
{
	enum role r;

	(void)st;
	for (unsigned i = 0; i < ROLE_COUNT; i++) {
		assert_true(role_parse(slice_str(role_name(i)), &r));
		assert_int_equal(r, i);
	}
	r = ROLE_CLI;
	assert_false(role_parse(SLICE("prox"), &r));
	assert_int_equal(r, ROLE_CLI);
	assert_string_equal(role_name(ROLE_COUNT), "?");
}

static void
test_reasons(void **st)
{
	enum reason r;
	unsigned exceptions = 0;

	(void)st;
	for (unsigned i = 0; i < REASON_COUNT; i++) {
		assert_true(reason_parse(slice_str(reason_word(i)), &r));
		assert_int_equal(r, i);
		assert_true(i == 0 || reason_text(i)[0] != '\0');
		exceptions += reason_is_exception(i);
	}
	assert_true(exceptions > 5 && exceptions < REASON_COUNT);
	assert_true(reason_is_exception(REASON_UNPARSEABLE));
	assert_false(reason_is_exception(REASON_POLICY));
	assert_false(reason_parse(SLICE("unparseabl"), &r));
}

static void
test_events(void **st)
{
	enum event_type t;
	struct buf b;
	struct jsonw w;
	struct uuid id;
	static const char want[] =
	    "{\"id\":\"01890a5d-ac96-774b-bcce-b302099a8057\",\"time\":\"";

	(void)st;
	for (unsigned i = 0; i < EVENT_COUNT; i++) {
		assert_true(event_type_parse(slice_str(event_type_name(i)),
		    &t));
		assert_int_equal(t, i);
	}
	assert_false(event_type_parse(SLICE("call"), &t));
	assert_true(uuid_parse(SLICE("01890a5d-ac96-774b-bcce-b302099a8057"),
	    &id));
	buf_init(&b, 4096);
	event_begin(&w, &b, id, EVENT_CALL_DECISION, ROLE_PROXY);
	jsonw_str(&w, "tool", "t");
	event_end(&w);
	assert_memory_equal(buf_data(&b), want, sizeof(want) - 1);
	assert_true(slice_ends(buf_slice(&b), "Z\",\"type\":\"call.decision\","
	    "\"role\":\"proxy\",\"tool\":\"t\"}"));
	assert_int_equal(b.len, sizeof(want) - 1 + CLOCK_RFC3339_LEN - 1 +
	    strlen("\",\"type\":\"call.decision\",\"role\":\"proxy\","
	    "\"tool\":\"t\"}"));
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_msgs),
		cmocka_unit_test(test_roles),
		cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
