/* gateway/flow/identity: tokens as clients carry them, sealed session ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include <sodium/crypto_hash_sha256.h>

#include "codec.h"
#include "internal.h"

#define TOKEN "prt_0123456789abcdef"

static bool
token_of(const char *fields, bool proxy, uint8_t hash[32])
{
	struct http1_head *h = base_calloc(1, sizeof(*h));
	struct buf b;
	size_t used;
	bool ok;

	buf_init(&b, 65536);
	buf_addf(&b, "GET / HTTP/1.1\r\nHost: h.example\r\n%s\r\n", fields);
	http1_head_init(h);
	assert_int_equal(http1_parse_request(h, buf_slice(&b), NULL, &used),
	    HTTP1_DONE);
	ok = identity_token(h, proxy, hash);
	buf_free(&b);
	free(h);
	return ok;
}

/* "Name: Basic base64(text)" */
static bool
basic(const char *text, uint8_t hash[32])
{
	struct buf b;
	bool ok;

	buf_init(&b, 4096);
	buf_add_str(&b, "Proxy-Authorization: Basic ");
	b64_encode(&b, text, strlen(text));
	buf_add(&b, "\r\n", 3);
	ok = token_of(buf_data(&b), true, hash);
	buf_free(&b);
	return ok;
}

static void
test_token(void **st)
{
	static const char *const good[] = {
		"Proxy-Authorization: Bearer " TOKEN "\r\n",
		"proxy-authorization: bEARER  " TOKEN " \r\n" };
	static const char *const bad[] = { "",
		"Proxy-Authorization: Bearer\r\n",
		"Proxy-Authorization: Bearer \r\n",
		"Proxy-Authorization: Bearer xyz_0123\r\n",
		"Proxy-Authorization: Bearer PRT_0123456789abcdef\r\n",
		"Proxy-Authorization: Digest " TOKEN "\r\n",
		"Proxy-Authorization: " TOKEN "\r\n",
		"Proxy-Authorization: Basic " TOKEN "\r\n",
		"Proxy-Authorization: Basic !!!!\r\n",
		"Proxy-Authorization: Bearer\t" TOKEN "\r\n",
		"Authorization: Bearer " TOKEN "\r\n" };
	uint8_t want[32], got[32];
	char long_token[400];

	(void)st;
	crypto_hash_sha256(want, (const unsigned char *)TOKEN,
	    strlen(TOKEN));
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		memset(got, 0, sizeof(got));
		assert_true(token_of(good[i], true, got));
		assert_memory_equal(got, want, 32);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (token_of(bad[i], true, got))
			fail_msg("%zu: taken", i);
	/* On a mount the other field counts, and only it. */
	memset(got, 0, sizeof(got));
	assert_true(token_of("Authorization: Bearer " TOKEN "\r\n", false,
	    got));
	assert_memory_equal(got, want, 32);
	assert_false(token_of(good[0], false, got));
	/* Basic: the password, or the user name when there is none. */
	static const char *const pairs[] = { "agent:" TOKEN, ":" TOKEN,
		TOKEN, TOKEN ":" };

	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		memset(got, 0, sizeof(got));
		assert_true(basic(pairs[i], got));
		assert_memory_equal(got, want, 32);
	}
	assert_false(basic("agent:secret", got));
	assert_false(basic(TOKEN ":other", got));
	assert_false(basic("", got));
	memset(long_token, 'a', sizeof(long_token) - 1);
	memcpy(long_token, "prt_", 4);
	long_token[sizeof(long_token) - 1] = '\0';
	assert_false(basic(long_token, got));
	long_token[FLOW_TOKEN_MAX] = '\0';
	assert_true(basic(long_token, got));
}

static void
test_session(void **st)
{
	struct flow f = { .mac_key = { 1, 2, 3 } };
	struct session alice = { .who = { .user = (char[]){ "alice" },
		.agent = (char[]){ "coder" } } };
	struct session other = { .who = { .user = (char[]){ "alice" },
		.agent = (char[]){ "coder2" } } };
	struct session shifted = { .who = { .user = (char[]){ "alicec" },
		.agent = (char[]){ "oder" } } };
	struct connector c = { .name = (char[]){ "con" } }, c2 = {
		.name = (char[]){ "con2" } };
	struct exchange *ex = base_calloc(1, sizeof(*ex));
	struct slice id;
	struct buf b;

	(void)st;
	ex->f = &f;
	ex->session = &alice;
	ex->con = &c;
	buf_init(&b, 4096);
	identity_seal(ex, IDENTITY_SESSION, SLICE("up.stream-7"), &b);
	assert_true(slice_starts(buf_slice(&b), "up.stream-7."));
	assert_int_equal(b.len, strlen("up.stream-7.") + 32);
	assert_true(identity_open(ex, IDENTITY_SESSION, buf_slice(&b), &id));
	assert_true(slice_is(id, "up.stream-7"));
	/* Every byte of it counts, and every length. */
	char *bytes = slice_dup(buf_slice(&b));

	for (size_t i = 0; i < b.len; i++) {
		bytes[i] ^= 1;
		assert_false(identity_open(ex, IDENTITY_SESSION, slice_make(bytes,
		    b.len), &id));
		bytes[i] ^= 1;
		assert_false(identity_open(ex, IDENTITY_SESSION, slice_make(bytes, i),
		    &id));
		assert_false(identity_open(ex, IDENTITY_SESSION, slice_make(bytes + i +
		    1, b.len - i - 1), &id));
	}
	free(bytes);
	assert_true(identity_open(ex, IDENTITY_SESSION, buf_slice(&b), &id));
	/* Nobody else may use it, nor at another connector or key. */
	ex->session = &other;
	assert_false(identity_open(ex, IDENTITY_SESSION, buf_slice(&b), &id));
	ex->session = &shifted;
	assert_false(identity_open(ex, IDENTITY_SESSION, buf_slice(&b), &id));
	ex->session = &alice;
	ex->con = &c2;
	assert_false(identity_open(ex, IDENTITY_SESSION, buf_slice(&b), &id));
	ex->con = &c;
	f.mac_key[31] ^= 1;
	assert_false(identity_open(ex, IDENTITY_SESSION, buf_slice(&b), &id));
	f.mac_key[31] ^= 1;
	/* An event's id is no session's. */
	buf_reset(&b);
	identity_seal(ex, IDENTITY_EVENT, SLICE("up.stream-7"), &b);
	assert_true(identity_open(ex, IDENTITY_EVENT, buf_slice(&b), &id));
	assert_true(slice_is(id, "up.stream-7"));
	assert_false(identity_open(ex, IDENTITY_SESSION, buf_slice(&b), &id));
	ex->session = &other;
	assert_false(identity_open(ex, IDENTITY_EVENT, buf_slice(&b), &id));
	ex->session = &alice;
	/* Not empty: the upstream would see a session id of nothing. */
	buf_reset(&b);
	identity_seal(ex, IDENTITY_SESSION, slice_make("", 0), &b);
	assert_false(identity_open(ex, IDENTITY_SESSION, buf_slice(&b), &id));
	buf_free(&b);
	free(ex);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_token),
		cmocka_unit_test(test_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
