/* killpage: kill, revive, chains of probes, overflow, two mappings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "killpage.h"

struct pair {
	int fd;
	struct killpage *w, *r;
};

static struct pair
pair_make(void)
{
	struct pair p = { .fd = killpage_create() };

	assert_true(p.fd >= 0);
	p.w = killpage_map(p.fd, true);
	p.r = killpage_map(p.fd, false);
	assert_non_null(p.w);
	assert_non_null(p.r);
	return p;
}

static void
pair_free(struct pair p)
{
	killpage_unmap(p.w);
	killpage_unmap(p.r);
	close(p.fd);
}

static bool
hit(struct pair p, const char *target)
{
	return killpage_hit(p.r, killpage_hash(p.r, target));
}

static void
test_kill_revive(void **st)
{
	struct pair p = pair_make();

	(void)st;
	assert_false(hit(p, "connector/a"));
	assert_int_equal(killpage_epoch(p.r), 0);
	assert_int_equal(killpage_set(p.w, "connector/a"), 1);
	assert_int_equal(killpage_epoch(p.r), 1);
	assert_true(hit(p, "connector/a"));
	assert_false(hit(p, "connector/b"));
	assert_false(killpage_all(p.r));
	assert_int_equal(killpage_set(p.w, "connector/a"), 2);
	assert_int_equal(killpage_clear(p.w, "connector/a"), 3);
	assert_false(hit(p, "connector/a"));
	assert_int_equal(killpage_clear(p.w, "connector/a"), 4);
	killpage_set(p.w, "connector/b");
	assert_true(hit(p, "connector/b"));
	pair_free(p);
}

static void
test_all(void **st)
{
	struct pair p = pair_make();

	(void)st;
	killpage_set(p.w, "connector/a");
	killpage_set_all(p.w, true);
	assert_true(killpage_all(p.r));
	assert_true(hit(p, "connector/b"));
	killpage_set_all(p.w, false);
	assert_false(killpage_all(p.r));
	assert_false(hit(p, "connector/b"));
	assert_true(hit(p, "connector/a"));
	pair_free(p);
}

static void
name_of(char out[32], unsigned i)
{
	snprintf(out, 32, "connector/%u", i);
}

/* Fills the table, takes every second out, looks for each of the rest. */
static void
test_chains(void **st)
{
	struct pair p = pair_make();
	char name[32];

	(void)st;
	for (unsigned i = 0; i < KILLPAGE_SLOTS; i++) {
		name_of(name, i);
		killpage_set(p.w, name);
	}
	assert_false(killpage_all(p.r));
	for (unsigned i = 0; i < KILLPAGE_SLOTS; i += 2) {
		name_of(name, i);
		killpage_clear(p.w, name);
	}
	for (unsigned i = 0; i < KILLPAGE_SLOTS; i++) {
		name_of(name, i);
		assert_int_equal(hit(p, name), i % 2);
	}
	for (unsigned i = 1; i < KILLPAGE_SLOTS; i += 2) {
		name_of(name, i);
		killpage_clear(p.w, name);
		assert_false(hit(p, name));
	}
	name_of(name, 7);
	killpage_set(p.w, name);
	assert_true(hit(p, name));
	pair_free(p);
}

static void
test_overflow_fails_closed(void **st)
{
	struct pair p = pair_make();
	char name[32];

	(void)st;
	for (unsigned i = 0; i <= KILLPAGE_SLOTS; i++) {
		name_of(name, i);
		assert_false(killpage_all(p.r));
		killpage_set(p.w, name);
	}
	assert_true(killpage_all(p.r));
	assert_true(hit(p, "connector/other"));
	killpage_clear(p.w, name);
	killpage_set_all(p.w, false);
	assert_true(hit(p, name));
	pair_free(p);
}

/* A writer that comes back keeps what was killed. */
static void
test_remap(void **st)
{
	struct pair p = pair_make();

	(void)st;
	killpage_set(p.w, "connector/a");
	killpage_unmap(p.w);
	p.w = killpage_map(p.fd, true);
	assert_true(hit(p, "connector/a"));
	killpage_clear(p.w, "connector/a");
	assert_false(hit(p, "connector/a"));
	pair_free(p);
}

static void
test_refused_files(void **st)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	(void)st;
	assert_null(killpage_map(fd, false));
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	assert_null(killpage_map(fd, false));
	close(fd);
	fd = killpage_create();
	assert_int_equal(ftruncate(fd, 0), -1);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kill_revive),
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_chains),
		cmocka_unit_test(test_overflow_fails_closed),
		cmocka_unit_test(test_remap),
		cmocka_unit_test(test_refused_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
