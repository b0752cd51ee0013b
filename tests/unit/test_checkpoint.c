/* Notes and keys: the published example, each refusal, each flipped byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ledgertest.h"

/* The example of the signed note format (golang.org/x/mod/sumdb/note). */
static const char go_key[] =
    "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
static const char go_note[] =
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "\xe2\x80\x94 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

static void
test_published_key(void **state)
{
	struct checkpoint_keys keys = { .n = 1 };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(checkpoint_key_parse(slice_str(go_key), &keys.key[0],
	    &err), 0);
	assert_string_equal(keys.key[0].name, "PeterNeumann");
	/* No checkpoint, so it does not parse as one; its signature holds. */
	struct slice note = slice_str(go_note);
	size_t text = (size_t)slice_find(note, SLICE("\n\n")) + 1;
	struct checkpoint c = { .text = slice_sub(note, 0, text),
		.sigs = slice_sub(note, text + 1, note.n) };

	assert_int_equal(checkpoint_verify(&c, &keys, &err), 0);
	assert_int_equal(checkpoint_parse(note, &c, &err), -1);
}

static void
test_round_trip(void **state)
{
	struct lt_signer s, other;
	struct checkpoint_keys keys, strange;
	struct checkpoint c;
	struct err err = { 0 };
	struct buf text, note;
	uint8_t root[32];

	(void)state;
	lt_signer_make(&s, "portreeve/test");
	lt_signer_make(&other, "portreeve/test");
	lt_keys(&s, &keys);
	lt_keys(&other, &strange);
	memset(root, 7, sizeof(root));
	buf_init(&text, 4096);
	buf_init(&note, 4096);
	checkpoint_format(&text, SLICE("portreeve/ledger/1"), 1234, root);
	lt_sign_text(&s, buf_slice(&text), &note);
	assert_int_equal(checkpoint_parse(buf_slice(&note), &c, &err), 0);
	assert_true(slice_is(c.origin, "portreeve/ledger/1"));
	assert_int_equal(c.size, 1234);
	assert_memory_equal(c.root, root, 32);
	assert_int_equal(checkpoint_verify(&c, &keys, &err), 0);
	assert_int_equal(checkpoint_verify(&c, &strange, &err), -1);

	/* Each byte of the note flipped: never another checkpoint that
	 * verifies. */
	struct buf copy;

	buf_init(&copy, 4096);
	for (size_t i = 0; i < note.len; i++)
		for (int bit = 0; bit < 8; bit++) {
			struct err e2 = { 0 };

			buf_reset(&copy);
			buf_add_slice(&copy, buf_slice(&note));
			copy.data[copy.off + i] ^= (char)(1 << bit);
			if (checkpoint_parse(buf_slice(&copy), &c, &e2) != 0)
				continue;
			assert_int_equal(checkpoint_verify(&c, &keys, &e2), -1);
			assert_true(e2.set);
		}
	/* A cosignature of somebody unknown does not hurt. */
	buf_addf(&note, "\xe2\x80\x94 witness.example AAAAAAAA\n");
	assert_int_equal(checkpoint_parse(buf_slice(&note), &c, &err), 0);
	assert_int_equal(checkpoint_verify(&c, &keys, &err), 0);
	buf_free(&copy);
	buf_free(&text);
	buf_free(&note);
}

#define ROOT "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="
#define SIG "\n\xe2\x80\x94 k AAAA\n"

static void
test_refused(void **state)
{
	static const char *const good = "o\n1\n" ROOT "\n" SIG;
	static const char *const no[] = {
		"", "\n", "\n\n", "o\n", "o\n1\n" ROOT "\n",
		"o\n1\n" ROOT "\n\n",
		"\n1\n" ROOT "\n" SIG,
		"o\n01\n" ROOT "\n" SIG,
		"o\n-1\n" ROOT "\n" SIG,
		"o\n1 \n" ROOT "\n" SIG,
		"o\n99999999999999999999\n" ROOT "\n" SIG,
		"o\n9223372036854775808\n" ROOT "\n" SIG,
		"o\n1\nBwcH\n" SIG,
		"o\n1\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwd=\n" SIG,
		"o\n1\n" ROOT "\n\nx\n" "\n- k AAAA\n",
		"o\n1\n" ROOT "\n\n\xe2\x80\x94 k AAAA",
		"o\r\n1\n" ROOT "\n" SIG,
	};
	struct checkpoint c;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(checkpoint_parse(slice_str(good), &c, &err), 0);
	for (size_t i = 0; i < ARRAY_LEN(no); i++) {
		struct err e = { 0 };

		assert_int_equal(checkpoint_parse(slice_str(no[i]), &c, &e),
		    -1);
		assert_true(e.set);
	}
}

static void
test_keys_file(void **state)
{
	struct checkpoint_keys keys;
	struct err err = { 0 };
	char text[1024];

	(void)state;
	snprintf(text, sizeof(text), "# old\n\n%s\n", go_key);
	assert_int_equal(checkpoint_keys_parse(slice_str(text), "f", &keys,
	    &err), 0);
	assert_int_equal(keys.n, 1);
	assert_int_equal(checkpoint_keys_parse(SLICE("# none\n"), "f", &keys,
	    &err), -1);
	err = (struct err){ 0 };
	/* Another name: the id no longer belongs to it. */
	snprintf(text, sizeof(text), "\nX%s\n", go_key + 1);
	assert_int_equal(checkpoint_keys_parse(slice_str(text), "f", &keys,
	    &err), -1);
	assert_int_equal(strncmp(err.text, "f:2:1: ", 7), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published_key),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_keys_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
