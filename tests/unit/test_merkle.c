/* The tree against the published vectors of RFC 6962 implementations and
 * against the definition itself (section 2.1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "codec.h"
#include "merkle.h"

/* Leaves and roots that the Certificate Transparency reference code tests
 * with: the root after each of the eight leaves. */
static const struct {
	const char *leaf, *root;
} vectors[] = {
	{ "", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d" },
	{ "00", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125" },
	{ "10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77" },
	{ "2021", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7" },
	{ "3031", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4" },
	{ "40414243", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef" },
	{ "5051525354555657", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c" },
	{ "606162636465666768696a6b6c6d6e6f", "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328" },
};

static void
assert_root(const struct merkle *m, const char *hex)
{
	uint8_t root[MERKLE_HASH];
	char text[2 * MERKLE_HASH + 1];

	merkle_root(m, root);
	hex_encode(root, MERKLE_HASH, text);
	assert_string_equal(text, hex);
}

static void
test_vectors(void **state)
{
	struct merkle m = { 0 };

	(void)state;
	assert_root(&m, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495"
	    "991b7852b855");
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		uint8_t data[16], leaf[MERKLE_HASH];
		size_t n = strlen(vectors[i].leaf) / 2;

		assert_true(hex_decode(slice_str(vectors[i].leaf), data, n));
		merkle_leaf(slice_make(data, n), leaf);
		merkle_add(&m, leaf);
		assert_root(&m, vectors[i].root);
	}
}

/* MTH by the recursive definition: split at the largest power of two. */
static void
naive(uint8_t (*leaf)[MERKLE_HASH], size_t n, uint8_t *out)
{
	uint8_t l[MERKLE_HASH], r[MERKLE_HASH];
	size_t k = 1;

	if (n == 1) {
		memcpy(out, leaf[0], MERKLE_HASH);
		return;
	}
	while (k * 2 < n)
		k *= 2;
	naive(leaf, k, l);
	naive(leaf + k, n - k, r);
	struct slice parts[3] = { SLICE("\1"), slice_make(l, MERKLE_HASH),
		slice_make(r, MERKLE_HASH) };

	merkle_sha256(parts, 3, out);
}

static void
test_definition(void **state)
{
	static uint8_t leaf[200][MERKLE_HASH];
	struct merkle m = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(leaf); i++) {
		uint8_t want[MERKLE_HASH], got[MERKLE_HASH];
		struct merkle back;

		merkle_leaf(slice_make(&i, sizeof(i)), leaf[i]);
		merkle_add(&m, leaf[i]);
		naive(leaf, i + 1, want);
		merkle_root(&m, got);
		assert_memory_equal(want, got, MERKLE_HASH);
		/* The stack alone brings the tree back. */
		assert_true(merkle_restore(&back, i + 1, merkle_stack(&m)));
		merkle_root(&back, got);
		assert_memory_equal(want, got, MERKLE_HASH);
	}
	assert_false(merkle_restore(&m, 3, SLICE("short")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_definition),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
