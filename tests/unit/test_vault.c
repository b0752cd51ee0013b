/* vault and note: what is sealed comes back, what was changed does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ca.h"
#include "codec.h"
#include "note.h"
#include "vault.h"

static char dir[64];
static int statefd;

static int
setup(void **st)
{
	(void)st;
	strcpy(dir, "/tmp/prvault.XXXXXX");
	assert_non_null(mkdtemp(dir));
	statefd = open(dir, O_RDONLY | O_DIRECTORY);
	return statefd < 0;
}

static int
teardown(void **st)
{
	static const char *const files[] = { "keeper.key", "keeper.sealed",
		"keeper.lock", "ca.pem", "ledger.pub", "keeper.sealed.tmp",
		"keeper.key.tmp" };

	(void)st;
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		unlinkat(statefd, files[i], 0);
	close(statefd);
	return rmdir(dir);
}

static struct vault *
opened(void)
{
	struct err err = { 0 };
	struct vault *v = vault_open(statefd, -1, &err);

	if (v == NULL)
		fail_msg("%s", err.text);
	return v;
}

static void
not_opened(const char *why)
{
	struct err err = { 0 };

	assert_null(vault_open(statefd, -1, &err));
	if (strstr(err.text, why) == NULL)
		fail_msg("wanted \"%s\", got \"%s\"", why, err.text);
}

static struct secret *
text(const char *s)
{
	return secret_new(s, strlen(s));
}

static size_t
slurp(const char *name, char *out, size_t size)
{
	int fd = openat(statefd, name, O_RDONLY);
	ssize_t n = read(fd, out, size);

	assert_true(fd >= 0 && n >= 0);
	close(fd);
	return (size_t)n;
}

static void
spill(const char *name, const char *p, size_t n)
{
	int fd = openat(statefd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(write(fd, p, n), (ssize_t)n);
	close(fd);
}

static void
test_lasts(void **st)
{
	struct vault *v = opened();
	struct err err = { 0 };
	uint8_t digest[32] = { 7 };
	char node[64], seed[32];
	struct secret *root;
	struct stat sb;

	(void)st;
	strcpy(node, vault_node(v));
	memcpy(seed, vault_ledger_seed(v).p, 32);
	assert_int_equal(vault_intermediate_key(v).n, 0);
	assert_int_equal(vault_cred_set(v, SLICE("b-tok"), text("two"), 5,
	    &err), 0);
	assert_int_equal(vault_cred_set(v, SLICE("a.tok"), text("one"), 6,
	    &err), 0);
	assert_int_equal(vault_cred_set(v, SLICE("b-tok"), text("three"), 7,
	    &err), 0);
	assert_int_equal(vault_set_intermediate(v, text("ikey"),
	    SLICE("icert"), digest, &err), 0);
	not_opened("another keeper");
	vault_free(v);
	fstatat(statefd, "keeper.sealed", &sb, 0);
	assert_int_equal(sb.st_mode & 0777, 0600);
	fstatat(statefd, "keeper.key", &sb, 0);
	assert_int_equal(sb.st_mode & 0777, 0600);
	v = opened();
	assert_string_equal(vault_node(v), node);
	assert_memory_equal(vault_ledger_seed(v).p, seed, 32);
	assert_int_equal(vault_mac_key(v).n, 32);
	assert_true(slice_is(vault_intermediate_key(v), "ikey"));
	assert_true(slice_is(vault_intermediate_cert(v), "icert"));
	assert_memory_equal(vault_intermediate_digest(v), digest, 32);
	assert_string_equal(vault_cred_at(v, 0)->name, "a.tok");
	assert_string_equal(vault_cred_at(v, 1)->name, "b-tok");
	assert_null(vault_cred_at(v, 2));
	assert_true(slice_is(secret_bytes(vault_cred(v,
	    SLICE("b-tok"))->value), "three"));
	assert_int_equal(vault_cred(v, SLICE("b-tok"))->set_ms, 7);
	assert_null(vault_cred(v, SLICE("b")));
	assert_null(vault_cred(v, SLICE("b-tok2")));
	root = vault_open_root(v, &err);
	assert_non_null(root);
	assert_true(secret_bytes(root).n > 100);
	secret_free(root);
	assert_int_equal(vault_cred_remove(v, SLICE("a.tok"), &err), 0);
	assert_int_equal(vault_cred_remove(v, SLICE("a.tok"), &err), -1);
	vault_free(v);
	v = opened();
	assert_null(vault_cred(v, SLICE("a.tok")));
	assert_non_null(vault_cred(v, SLICE("b-tok")));
	vault_free(v);
}

static void
test_nothing_readable(void **st)
{
	struct vault *v = opened();
	struct err err = { 0 };
	char all[65536];
	size_t n;

	(void)st;
	assert_int_equal(vault_cred_set(v, SLICE("tok"),
	    text("s3cr3t-value-of-the-token"), 1, &err), 0);
	n = slurp("keeper.sealed", all, sizeof(all));
	assert_null(memmem(all, n, "s3cr3t", 6));
	assert_null(memmem(all, n, "tok", 3));
	assert_null(memmem(all, n, vault_ledger_seed(v).p, 32));
	vault_free(v);
}

static void
test_damage(void **st)
{
	static char sealed[65536], other[65536], key[64];
	struct vault *v = opened();
	struct err err = { 0 };
	size_t n, kn;

	(void)st;
	assert_int_equal(vault_publish(v, SLICE("vkey"), &err), 0);
	vault_free(v);
	n = slurp("keeper.sealed", sealed, sizeof(sealed));
	kn = slurp("keeper.key", key, sizeof(key));
	assert_int_equal(kn, 32);
	memcpy(other, sealed, n);
	static const size_t places[] = { 8, 20, 40, 200 };

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		other[places[i]] ^= 1;
		spill("keeper.sealed", other, n);
		not_opened("does not open");
		other[places[i]] ^= 1;
	}
	spill("keeper.sealed", sealed, n - 1);
	not_opened("does not open");
	spill("keeper.sealed", sealed, 20);
	not_opened("does not open");
	spill("keeper.sealed", "", 0);
	not_opened("not a vault");
	spill("keeper.sealed", sealed, n);
	key[3] ^= 1;
	spill("keeper.key", key, kn);
	not_opened("does not open");
	key[3] ^= 1;
	spill("keeper.key", key, 31);
	not_opened("32 bytes");
	spill("keeper.key", key, kn);
	assert_int_equal(fchmodat(statefd, "keeper.key", 0640, 0), 0);
	not_opened("0600");
	assert_int_equal(fchmodat(statefd, "keeper.key", 0600, 0), 0);
	vault_free(opened());
	/* What is lost is never silently made anew. */
	unlinkat(statefd, "keeper.key", 0);
	not_opened("restore the key");
	assert_int_not_equal(faccessat(statefd, "keeper.key", F_OK, 0), 0);
	spill("keeper.key", key, kn);
	unlinkat(statefd, "keeper.sealed", 0);
	not_opened("restore it");
	assert_int_not_equal(faccessat(statefd, "keeper.sealed", F_OK, 0), 0);
	unlinkat(statefd, "ca.pem", 0);
	vault_free(opened());
}

static struct vault *
opened_with(const char *key, size_t n, struct err *err)
{
	int fd = memfd_create("key", MFD_CLOEXEC);

	assert_int_equal(write(fd, key, n), (ssize_t)n);
	*err = (struct err){ 0 };
	struct vault *v = vault_open(statefd, fd, err);

	assert_int_equal(close(fd), 0);		/* it was borrowed */
	return v;
}

/* A key from elsewhere: used from the first start on, never made or copied. */
static void
test_given_key(void **st)
{
	static const char key[] = "0123456789abcdef0123456789abcdeX";
	struct err err = { 0 };
	struct vault *v = opened_with(key, 31, &err);

	(void)st;
	assert_null(v);
	assert_non_null(strstr(err.text, "32 bytes"));
	assert_null(opened_with(key, 33, &err));
	assert_int_not_equal(faccessat(statefd, "keeper.sealed", F_OK, 0), 0);
	assert_non_null(v = opened_with(key, 32, &err));
	assert_int_equal(vault_cred_set(v, SLICE("a"), text("value"), 1,
	    &err), 0);
	vault_free(v);
	assert_int_not_equal(faccessat(statefd, "keeper.key", F_OK, 0), 0);
	assert_non_null(v = opened_with(key, 32, &err));
	assert_non_null(vault_cred(v, SLICE("a")));
	vault_free(v);
	assert_null(opened_with("0123456789abcdef0123456789abcdeY", 32, &err));
	assert_non_null(strstr(err.text, "does not open"));
	not_opened("restore the key");	/* without it none is made */
	spill("keeper.key", key, 32);
	assert_null(opened_with(key, 32, &err));
	assert_non_null(strstr(err.text, "still in the state directory"));
	vault_free(opened());		/* the way back */
}

/* What cannot be written does not happen. */
static void
test_write_fails(void **st)
{
	struct vault *v = opened();
	struct err err = { 0 };
	uint8_t digest[32] = { 9 };

	(void)st;
	assert_int_equal(vault_cred_set(v, SLICE("a"), text("one"), 1, &err),
	    0);
	/* A directory stands where the temporary file would be. */
	assert_int_equal(mkdirat(statefd, "keeper.sealed.tmp", 0700), 0);
	assert_int_equal(vault_cred_set(v, SLICE("a"), text("two"), 2, &err),
	    -1);
	assert_true(err.set);
	assert_int_equal(vault_cred_set(v, SLICE("b"), text("two"), 2, &err),
	    -1);
	assert_int_equal(vault_cred_remove(v, SLICE("a"), &err), -1);
	assert_int_equal(vault_set_intermediate(v, text("k"), SLICE("c"),
	    digest, &err), -1);
	assert_true(slice_is(secret_bytes(vault_cred(v, SLICE("a"))->value),
	    "one"));
	assert_null(vault_cred(v, SLICE("b")));
	assert_int_equal(vault_intermediate_key(v).n, 0);
	assert_int_equal(vault_intermediate_digest(v)[0], 0);
	unlinkat(statefd, "keeper.sealed.tmp", AT_REMOVEDIR);
	assert_int_equal(vault_cred_set(v, SLICE("b"), text("two"), 2, &err),
	    0);
	vault_free(v);
}

static void
test_names_limits(void **st)
{
	static const char *const bad[] = { "", "A", "-a", ".a", "_a", "a b",
		"a/b", "a\n", "\xc3\xa4" };
	struct vault *v = opened();
	struct err err = { 0 };
	char big[VAULT_VALUE_MAX + 1];

	(void)st;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_false(vault_name_ok(slice_str(bad[i])));
		assert_int_equal(vault_cred_set(v, slice_str(bad[i]),
		    text("x"), 1, &err), -1);
	}
	memset(big, 'a', sizeof(big));
	assert_true(vault_name_ok(slice_make(big, 64)));
	assert_false(vault_name_ok(slice_make(big, 65)));
	assert_int_equal(vault_cred_set(v, SLICE("a"), secret_new(big,
	    sizeof(big)), 1, &err), -1);
	assert_int_equal(vault_cred_set(v, SLICE("a"), text(""), 1, &err),
	    -1);
	assert_int_equal(vault_cred_set(v, SLICE("a"), secret_new(big,
	    sizeof(big) - 1), 1, &err), 0);
	vault_free(v);
	v = opened();
	assert_int_equal(secret_bytes(vault_cred(v, SLICE("a"))->value).n,
	    VAULT_VALUE_MAX);
	vault_free(v);
}

static void
test_publish(void **st)
{
	struct vault *v = opened();
	struct err err = { 0 };
	char a[8192];
	struct stat s1, s2;
	size_t n;

	(void)st;
	assert_int_equal(vault_publish(v, SLICE("name+00+key"), &err), 0);
	n = slurp("ledger.pub", a, sizeof(a));
	assert_true(slice_is(slice_make(a, n), "name+00+key\n"));
	n = slurp("ca.pem", a, sizeof(a));
	assert_true(slice_starts(slice_make(a, n), "-----BEGIN CERT"));
	fstatat(statefd, "ca.pem", &s1, 0);
	assert_int_equal(vault_publish(v, SLICE("name+00+key"), &err), 0);
	fstatat(statefd, "ca.pem", &s2, 0);
	assert_int_equal(s1.st_ino, s2.st_ino);	/* not written again */
	assert_int_equal(s1.st_mode & 0777, 0644);
	spill("ca.pem", "forged", 6);
	assert_int_equal(vault_publish(v, SLICE("name+00+key"), &err), 0);
	n = slurp("ca.pem", a, sizeof(a));
	assert_true(slice_starts(slice_make(a, n), "-----BEGIN CERT"));
	vault_free(v);
}

/* ---- note ---- */

#define R1 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
#define R2 "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n"

static int
sign(struct note_signer *s, const char *t, struct buf *out)
{
	struct err err = { 0 };
	int r;

	buf_reset(out);
	r = note_sign(s, slice_str(t), out, &err);
	assert_int_equal(err.set, r != 0);
	assert_true(r == 0 || out->len == 0);
	return r;
}

static void
test_note(void **st)
{
	static const uint8_t seed[32] = { 1, 2, 3 };
	static const char body[] = "log/a\n10\n" R1;
	struct note_signer *s = note_signer_new("portreeve-x", seed);
	struct slice rest, line;
	struct buf out, key, raw;

	(void)st;
	buf_init(&out, 8192);
	buf_init(&key, 1024);
	buf_init(&raw, 1024);
	assert_int_equal(sign(s, body, &out), 0);
	/* Checked with the published key only. */
	note_vkey(s, &key);
	rest = buf_slice(&key);
	assert_true(slice_is(slice_cut(&rest, '+'), "portreeve-x"));
	struct slice hex = slice_cut(&rest, '+');
	uint8_t id[4], pub[33];

	assert_true(hex_decode(hex, id, 4));
	assert_int_equal(b64_decode(&raw, rest), 0);
	assert_int_equal(raw.len, 33);
	memcpy(pub, buf_data(&raw), 33);
	assert_int_equal(pub[0], 1);
	assert_true(slice_starts(buf_slice(&out), body));
	line = slice_sub(buf_slice(&out), sizeof(body) - 1, SIZE_MAX);
	assert_true(slice_starts(line, "\n\xe2\x80\x94 portreeve-x "));
	buf_reset(&raw);
	assert_int_equal(b64_decode(&raw, slice_sub(line, 17,
	    line.n - 18)), 0);
	assert_int_equal(raw.len, 68);
	assert_memory_equal(buf_data(&raw), id, 4);
	assert_int_equal(crypto_sign_verify_detached((const unsigned char *)
	    buf_data(&raw) + 4, (const unsigned char *)body, sizeof(body) - 1,
	    pub + 1), 0);
	buf_free(&out);
	buf_free(&key);
	buf_free(&raw);
	note_signer_free(s);
	note_signer_free(NULL);
}

static void
test_one_history(void **st)
{
	static const uint8_t seed[32] = { 1 };
	struct note_signer *s = note_signer_new("x", seed);
	struct buf out;

	(void)st;
	buf_init(&out, 8192);
	assert_int_equal(sign(s, "log/a\n10\n" R1, &out), 0);
	assert_int_equal(sign(s, "log/a\n10\n" R1, &out), 0);
	assert_int_equal(sign(s, "log/a\n10\n" R2, &out), -1);
	assert_int_equal(sign(s, "log/a\n9\n" R1, &out), -1);
	assert_int_equal(sign(s, "log/a\n11\n" R2, &out), 0);
	assert_int_equal(sign(s, "log/a\n10\n" R1, &out), -1);
	assert_int_equal(sign(s, "log/b\n0\n" R1, &out), 0);
	buf_free(&out);
	note_signer_free(s);
}

static void
test_note_malformed(void **st)
{
	static const char *const bad[] = { "", "a", "a\n", "a\n1\n",
		"a\n1\n" "AAAA\n", "a\n01\n" R1, "a\n-1\n" R1,
		"a\n1 \n" R1, "\n1\n" R1, "a\n1\n" R1 "\n",
		"a\n1\n" R1 "x", "a\r\n1\n" R1, "a\x01\n1\n" R1,
		"a\n99999999999999999999\n" R1,
		"a\n1\n__________________________________________8=\n" };
	static const uint8_t seed[32] = { 1 };
	struct note_signer *s = note_signer_new("x", seed);
	struct buf out;

	(void)st;
	buf_init(&out, 8192);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(sign(s, bad[i], &out), -1);
	assert_int_equal(sign(s, "a\n1\n" R1 "more\n", &out), 0);
	buf_free(&out);
	note_signer_free(s);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_lasts), T(test_nothing_readable), T(test_damage),
		T(test_given_key), T(test_write_fails), T(test_names_limits), T(test_publish),
		cmocka_unit_test(test_note),
		cmocka_unit_test(test_one_history),
		cmocka_unit_test(test_note_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
