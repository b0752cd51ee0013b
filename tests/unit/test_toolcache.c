/* toolcache: pages of one list, ages, bounds, what is forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "toolcache.h"

static const uint8_t ka[TOOLCACHE_KEY] = { 1 }, kb[TOOLCACHE_KEY] = { 2 };

static bool
put(struct toolcache *c, const uint8_t *key, const char *cursor,
    const char *next, const char *result, uint64_t now)
{
	return toolcache_put(c, key == ka ? "a" : "b", key, slice_str(cursor),
	    slice_str(next), slice_str(result), now, 1000);
}

static bool
is(struct toolcache *c, const uint8_t *key, const char *cursor,
    const char *want, uint64_t now)
{
	uint64_t age;
	struct slice s = toolcache_get(c, key, slice_str(cursor), now, &age);

	return want == NULL ? s.p == NULL : s.p != NULL && slice_is(s, want);
}

static void
pages(void **state)
{
	struct toolcache *c = toolcache_new(NULL);

	(void)state;
	assert_false(put(c, ka, "\"1\"", "", "two", 0));	/* of no list */
	assert_true(put(c, ka, "", "\"1\"", "one", 0));
	assert_false(put(c, ka, "\"9\"", "", "nine", 1));
	assert_true(put(c, ka, "\"1\"", "", "two", 5));
	assert_false(put(c, ka, "\"2\"", "", "three", 6));	/* it ended */
	assert_true(is(c, ka, "", "one", 10));
	assert_true(is(c, ka, "\"1\"", "two", 10));
	assert_true(is(c, kb, "", NULL, 10));
	/* A new first page: the old second one is of another list. */
	assert_true(put(c, ka, "", "\"1\"", "uno", 20));
	assert_true(is(c, ka, "\"1\"", NULL, 20));
	toolcache_free(c);
}

static void
ages(void **state)
{
	struct toolcache *c = toolcache_new(NULL);
	struct toolcache_sum s;
	char name[65];
	uint64_t age;

	(void)state;
	assert_true(put(c, ka, "", "\"1\"", "one", 100));
	assert_true(put(c, ka, "\"1\"", "", "two", 900));
	/* Every page is as old as the first. */
	assert_int_equal(toolcache_get(c, ka, SLICE("\"1\""), 1000, &age).n, 3);
	assert_int_equal(age, 900);
	s = toolcache_sum(c, "a");
	assert_int_equal(s.lists, 1);
	assert_int_equal(s.oldest_ms, 100);
	assert_true(is(c, ka, "\"1\"", "two", 1099));
	assert_false(toolcache_expire(c, 1099, name));
	assert_true(toolcache_expire(c, 1100, name));
	assert_string_equal(name, "a");
	assert_int_equal(toolcache_sum(c, "a").lists, 0);
	assert_true(put(c, ka, "", "", "one", 100));
	assert_true(is(c, ka, "", NULL, 1100));
	assert_false(toolcache_put(c, "a", ka, SLICE(""), SLICE(""),
	    SLICE("x"), 0, 0));
	toolcache_free(c);
}

static void
bounds(void **state)
{
	static const struct toolcache_limits lim = { .lists = 2,
		.bytes = 1200, .list_bytes = 800 };
	struct toolcache *c = toolcache_new(&lim);
	uint8_t kc[TOOLCACHE_KEY] = { 3 };
	char big[700];

	(void)state;
	assert_true(put(c, ka, "", "", "one", 0));
	assert_true(put(c, kb, "", "", "two", 0));
	assert_true(is(c, ka, "", "one", 1));		/* used last */
	assert_true(put(c, kc, "", "", "three", 2));
	assert_true(is(c, kb, "", NULL, 3));
	assert_true(is(c, ka, "", "one", 3));
	memset(big, 'x', sizeof(big));
	assert_false(toolcache_put(c, "a", ka, SLICE(""), SLICE(""),
	    slice_make(big, 700), 4, 1000));		/* of one list */
	assert_true(toolcache_put(c, "a", ka, SLICE(""), SLICE(""),
	    slice_make(big, 400), 4, 1000));
	assert_true(toolcache_put(c, "b", kb, SLICE(""), SLICE(""),
	    slice_make(big, 500), 4, 1000));		/* others made room */
	assert_true(is(c, kc, "", NULL, 5));
	assert_true(is(c, ka, "", NULL, 5));
	toolcache_free(c);
}

static void
count(void *ctx, const char *connector)
{
	unsigned *n = ctx;

	*n += connector[0] == 'a' ? 1 : 100;
}

static void
dropped(void **state)
{
	struct toolcache *c = toolcache_new(NULL);
	unsigned n = 0;

	(void)state;
	put(c, ka, "", "", "one", 0);
	put(c, kb, "", "", "two", 0);
	toolcache_each(c, count, &n);
	assert_int_equal(n, 101);
	assert_int_equal(toolcache_drop(c, "a").lists, 1);
	assert_true(is(c, ka, "", NULL, 1));
	assert_true(is(c, kb, "", "two", 1));
	assert_true(toolcache_drop(c, NULL).bytes > 0);
	assert_int_equal(toolcache_sum(c, "b").bytes, 0);
	toolcache_free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages), cmocka_unit_test(ages),
		cmocka_unit_test(bounds), cmocka_unit_test(dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
