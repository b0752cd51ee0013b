/* lib/net/ws: frames, messages, what is refused, the handshake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ws.h"

#define LIMIT 70000

static struct ws_reader r;
static struct buf b;

static int
begin(void **st)
{
	(void)st;
	ws_reader_init(&r, true, LIMIT);
	buf_init(&b, 1u << 20);
	return 0;
}

static int
end(void **st)
{
	(void)st;
	ws_reader_free(&r);
	buf_free(&b);
	return 0;
}

/* A client's frame, as well or as badly formed as asked. */
static void
frame(unsigned first, const void *p, size_t n)
{
	static const uint8_t mask[] = { 1, 2, 3, 4 };
	const char *s = p;

	buf_add_char(&b, (char)first);
	if (n < 126) {
		buf_add_char(&b, (char)(0x80 | n));
	} else if (n < 65536) {
		buf_add_char(&b, (char)0xfe);
		buf_add_char(&b, (char)(n >> 8));
		buf_add_char(&b, (char)n);
	} else {
		buf_add_char(&b, (char)0xff);
		for (int i = 56; i >= 0; i -= 8)
			buf_add_char(&b, (char)((uint64_t)n >> i));
	}
	buf_add(&b, mask, 4);
	for (size_t i = 0; i < n; i++)
		buf_add_char(&b, (char)(s[i] ^ mask[i & 3]));
}

static enum ws_event
next(struct slice *in, struct slice *data)
{
	return ws_next(&r, in, data);
}

static void
refused(enum ws_error e)
{
	struct slice in = buf_slice(&b), data;
	enum ws_event got;

	while ((got = next(&in, &data)) != WS_ERROR && got != WS_MORE)
		;
	assert_int_equal(got, WS_ERROR);
	assert_int_equal(r.error, e);
	in = buf_slice(&b);
	assert_int_equal(next(&in, &data), WS_ERROR);
	ws_reader_free(&r);
	ws_reader_init(&r, true, LIMIT);
	buf_reset(&b);
}

static void
test_messages(void **st)
{
	static char big[LIMIT];
	struct slice in, data;

	(void)st;
	memset(big, 'x', sizeof(big));
	frame(0x81, "hello", 5);
	frame(0x01, "he", 2);		/* fragments, a ping between them */
	frame(0x89, "p", 1);
	frame(0x00, "", 0);
	frame(0x80, "llo", 3);
	frame(0x82, big, 200);
	frame(0x81, big, LIMIT);
	frame(0x8a, "", 0);
	frame(0x88, "\x03\xe9" "bye", 5);
	in = buf_slice(&b);
	assert_int_equal(next(&in, &data), WS_TEXT);
	assert_true(slice_is(data, "hello"));
	assert_int_equal(next(&in, &data), WS_PING);
	assert_true(slice_is(data, "p"));
	assert_int_equal(ws_pending(&r), 2);
	assert_int_equal(next(&in, &data), WS_TEXT);
	assert_true(slice_is(data, "hello"));
	assert_int_equal(ws_pending(&r), 0);
	assert_int_equal(next(&in, &data), WS_BINARY);
	assert_int_equal(data.n, 200);
	assert_int_equal(next(&in, &data), WS_TEXT);
	assert_int_equal(data.n, LIMIT);
	assert_memory_equal(data.p, big, LIMIT);
	assert_int_equal(next(&in, &data), WS_PONG);
	assert_int_equal(next(&in, &data), WS_CLOSE);
	assert_int_equal(r.code, 1001);
	assert_true(slice_is(data, "bye"));
	assert_int_equal(next(&in, &data), WS_MORE);
}

static void
test_refused(void **st)
{
	static char big[LIMIT + 1];

	(void)st;
	memset(big, 'x', sizeof(big));
	frame(0xc1, "x", 1);
	refused(WS_E_RESERVED);
	frame(0x83, "x", 1);
	refused(WS_E_RESERVED);
	frame(0x8b, "x", 1);
	refused(WS_E_RESERVED);
	buf_add(&b, "\x81\x01x", 3);
	refused(WS_E_UNMASKED);
	buf_add(&b, "\x81\xfe\x00\x7d\1\2\3\4", 8);
	refused(WS_E_LENGTH);
	buf_add(&b, "\x81\xff\0\0\0\0\0\0\xff\xff\1\2\3\4", 14);
	refused(WS_E_LENGTH);
	buf_add(&b, "\x81\xff\x80\0\0\0\0\0\0\1\1\2\3\4", 14);
	refused(WS_E_LENGTH);
	frame(0x09, "x", 1);
	refused(WS_E_CONTROL);
	frame(0x89, big, 126);
	refused(WS_E_CONTROL);
	frame(0x80, "x", 1);
	refused(WS_E_ORDER);
	frame(0x01, "x", 1);
	frame(0x81, "x", 1);
	refused(WS_E_ORDER);
	frame(0x81, "\xc3\x28", 2);
	refused(WS_E_UTF8);
	frame(0x81, big, LIMIT + 1);
	refused(WS_E_LARGE);
	frame(0x01, big, LIMIT);
	frame(0x80, "x", 1);
	refused(WS_E_LARGE);
	frame(0x88, "x", 1);
	refused(WS_E_CLOSE);
	frame(0x88, "\x03\xed", 2);	/* 1005 */
	refused(WS_E_CLOSE);
	frame(0x88, "\x03\xe8\xff", 3);
	refused(WS_E_UTF8);
	frame(0x01, "", 0);
	for (int i = 0; i < WS_FRAMES; i++)
		frame(0x00, "", 0);
	refused(WS_E_FRAMES);
}

static void
test_writer(void **st)
{
	static char big[66000];
	static const size_t sizes[] = { 0, 1, 125, 126, 65535, 65536 };
	struct slice in, data;

	(void)st;
	memset(big, 'y', sizeof(big));
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		buf_reset(&b);
		assert_int_equal(ws_write(&b, WS_OP_TEXT, slice_make(big,
		    sizes[i]), true), 0);
		if (sizes[i] > 20)	/* it is masked */
			assert_true(slice_find(buf_slice(&b),
			    SLICE("yyyyyyyyyyyyyyyyyyyy")) < 0);
		in = buf_slice(&b);
		assert_int_equal(next(&in, &data), WS_TEXT);
		assert_int_equal(data.n, sizes[i]);
		assert_memory_equal(data.p, big, sizes[i]);
	}
	/* A server's frames are not for a reader that expects a client. */
	buf_reset(&b);
	assert_int_equal(ws_write(&b, WS_OP_TEXT, SLICE("x"), false), 0);
	refused(WS_E_UNMASKED);
	ws_reader_free(&r);
	ws_reader_init(&r, false, LIMIT);
	assert_int_equal(ws_write(&b, WS_OP_TEXT, SLICE("x"), true), 0);
	in = buf_slice(&b);
	assert_int_equal(next(&in, &data), WS_ERROR);
	assert_int_equal(r.error, WS_E_MASKED);
}

static void
test_close(void **st)
{
	char reason[200];
	struct slice in, data;
	struct buf small;

	(void)st;
	memset(reason, 'r', sizeof(reason));
	memcpy(reason + 122, "\xc3\xa9", 2);	/* over the end */
	reason[199] = '\0';
	assert_int_equal(ws_write_close(&b, 1008, reason, true), 0);
	in = buf_slice(&b);
	assert_int_equal(next(&in, &data), WS_CLOSE);
	assert_int_equal(r.code, 1008);
	assert_int_equal(data.n, 122);
	buf_reset(&b);
	assert_int_equal(ws_write_close(&b, 1005, "x", true), 0);
	in = buf_slice(&b);
	assert_int_equal(next(&in, &data), WS_CLOSE);
	assert_int_equal(r.code, 1005);
	buf_init(&small, 4);
	assert_int_equal(ws_write(&small, WS_OP_TEXT, SLICE("xxx"), false),
	    -1);
	assert_int_equal(small.len, 0);
	buf_free(&small);
}

static void
test_handshake(void **st)
{
	char key[WS_KEY_LEN], accept[WS_ACCEPT_LEN];

	(void)st;
	ws_accept(SLICE("dGhlIHNhbXBsZSBub25jZQ=="), accept);	/* RFC 6455, 1.3 */
	assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
	ws_key_new(key);
	assert_true(ws_key_ok(slice_str(key)));
	assert_false(ws_key_ok(SLICE("dGhlIHNhbXBsZSBub25jZQ=")));
	assert_false(ws_key_ok(SLICE("dGhlIHNhbXBsZSBub25jZSEh")));
	assert_false(ws_key_ok(SLICE("dGhlIHNhbXBsZSBub25j*Q==")));
	assert_true(ws_protocols_ok(SLICE("mcp")));
	assert_true(ws_protocols_ok(SLICE("mcp, v1.chat")));
	assert_false(ws_protocols_ok(SLICE("")));
	assert_false(ws_protocols_ok(SLICE("mcp,")));
	assert_false(ws_protocols_ok(SLICE("mcp, mcp")));
	assert_false(ws_protocols_ok(SLICE("a b")));
	assert_false(ws_protocols_ok(SLICE(
	    "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17")));
	assert_true(ws_protocols_have(SLICE("a, mcp"), SLICE("mcp")));
	assert_false(ws_protocols_have(SLICE("a, mcp2"), SLICE("mcp")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_messages, begin, end),
		cmocka_unit_test_setup_teardown(test_refused, begin, end),
		cmocka_unit_test_setup_teardown(test_writer, begin, end),
		cmocka_unit_test_setup_teardown(test_close, begin, end),
		cmocka_unit_test(test_handshake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
