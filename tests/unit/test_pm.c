#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "pm.h"

struct got {
	struct pm_hit hits[64];
	size_t n;
	enum pm_answer answer;
};

static enum pm_answer
take(void *ctx, struct pm_hit *h)
{
	struct got *g = ctx;

	assert_true(g->n < ARRAY_LEN(g->hits));
	g->hits[g->n++] = *h;
	return g->answer;
}

static struct pm *
compiled(const struct pm_rule *rules, size_t n)
{
	struct err err = { 0 };
	struct pm *pm = pm_compile(rules, n, &err);

	if (pm == NULL)
		fail_msg("%s", err.text);
	return pm;
}

static struct got
scan(struct pm *pm, const char *text, enum pm_answer answer)
{
	struct got g = { .answer = answer };
	enum pm_result r = pm_scan(pm, slice_str(text), NULL, 0, take, &g);

	assert_int_equal(r, answer == PM_STOP && g.n > 0 ? PM_STOPPED :
	    PM_DONE);
	return g;
}

static void
selftest_passes(void **s)
{
	struct err err = { 0 };

	(void)s;
	if (pm_selftest(&err) != 0)
		fail_msg("%s", err.text);
}

static const struct pm_rule rules[] = {
	{ .id = "digits", .pattern = "\\b[0-9]{3,5}\\b" },
	{ .id = "key", .pattern = "key=\"?([a-z]{3,9})", .flags = PM_NOCASE },
	{ .id = "line", .pattern = "^x.{1,4}$", .flags = PM_MULTILINE },
};

static void
start_end_and_value(void **s)
{
	struct pm *pm = compiled(rules, ARRAY_LEN(rules));
	struct got g = scan(pm, "a 1234 KEY=\"secret\" 12 123456 99999",
	    PM_TAKE);

	(void)s;
	assert_int_equal(g.n, 3);
	assert_int_equal(g.hits[0].start, 2);
	assert_int_equal(g.hits[0].end, 6);
	assert_int_equal(g.hits[1].rule, 1);
	assert_int_equal(g.hits[1].start, 7);
	assert_int_equal(g.hits[1].vstart, 12);
	assert_int_equal(g.hits[1].vend, 18);
	assert_int_equal(g.hits[2].start, 30);
	assert_true(pm_has_value(pm, 1) && !pm_has_value(pm, 0));
	assert_int_equal(pm_width(pm, 0), 5);
	g = scan(pm, "1234 5678", PM_STOP);
	assert_int_equal(g.n, 1);
	pm_free(pm);
}

/* A refused match lets a later start of the same rule be tried. */
static void
skip_tries_next_start(void **s)
{
	struct pm_rule r = { .id = "r", .pattern = "[ab]{2,3}c" };
	struct pm *pm = compiled(&r, 1);
	struct got g = scan(pm, "xabac", PM_SKIP);

	(void)s;
	assert_int_equal(g.n, 2);
	assert_int_equal(g.hits[0].start, 1);
	assert_int_equal(g.hits[1].start, 2);
	pm_free(pm);
}

static void
segments_are_walls(void **s)
{
	struct pm *pm = compiled(rules, ARRAY_LEN(rules));
	const char text[] = "key=\nabcd\nxyz\n12\n345";
	const struct pm_seg segs[] = { { 0, 4 }, { 5, 4 }, { 10, 3 },
		{ 14, 2 }, { 17, 3 } };
	struct got g = { .answer = PM_TAKE };

	(void)s;
	assert_int_equal(pm_scan(pm, slice_str(text), segs, 5, take, &g),
	    PM_DONE);
	assert_int_equal(g.n, 2);
	assert_int_equal(g.hits[0].rule, 2);
	assert_int_equal(g.hits[0].seg, 2);
	assert_int_equal(g.hits[1].rule, 0);
	assert_int_equal(g.hits[1].seg, 4);
	pm_free(pm);
}

static void
pack_and_back(void **s)
{
	struct pm *pm = compiled(rules, ARRAY_LEN(rules)), *pm2;
	struct err err = { 0 };
	struct buf b;

	(void)s;
	buf_init(&b, 1 << 24);
	pm_pack(&b, pm);
	assert_false(b.full);
	pm2 = pm_unpack(buf_slice(&b), &err);
	assert_non_null(pm2);
	assert_string_equal(pm_id(pm2, 1), "key");
	assert_int_equal(scan(pm2, "1234 key=abc", PM_TAKE).n, 2);
	pm_free(pm2);
	for (size_t cut = 0; cut < b.len; cut += 1 + b.len / 97) {
		struct err e = { 0 };

		assert_null(pm_unpack(slice_sub(buf_slice(&b), 0, cut), &e));
		assert_true(e.set);
	}
	b.data[b.len - 100] ^= 1;	/* inside the database */
	assert_null(pm_unpack(buf_slice(&b), &err));
	buf_free(&b);
	pm_free(pm);
}

static void
errors_name_the_place(void **s)
{
	static const struct {
		const char *pattern, *says;
	} bad[] = {
		{ "a(?=b)c", "x.yaml:7" },
		{ "abc+", "bound its repeats" },
		{ "(a", "x.yaml:7" },
		{ "a?", "empty" },
		{ "a{1,300}b{1,9000}", "at most" },
	};

	(void)s;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct pm_rule r[2] = { { .id = "ok", .pattern = "ok" },
			{ .id = "x", .pattern = bad[i].pattern,
			.file = "x.yaml", .line = 7 } };
		struct err err = { 0 };

		assert_null(pm_compile(r, 2, &err));
		assert_non_null(strstr(err.text, "x.yaml:7"));
		if (strstr(err.text, bad[i].says) == NULL)
			fail_msg("%s", err.text);
	}
}

/* Every text of a small alphabet: what the scan finds is what PCRE2 would
 * find alone, leftmost and not overlapping. */
static void
agrees_with_leftmost_search(void **s)
{
	struct pm_rule r = { .id = "r", .pattern = "\\b(?:ab{1,2}a?|ba)\\b" };
	struct pm *pm = compiled(&r, 1);

	(void)s;
	for (unsigned v = 0; v < 6561; v++) {
		char text[9] = "";
		unsigned x = v;

		for (int i = 0; i < 8; i++, x /= 3)
			text[i] = "ab "[x % 3];
		struct got g = scan(pm, text, PM_TAKE);
		size_t words = 0, k = 0;

		for (size_t i = 0; i < 8; i = k + 1) {
			for (k = i; k < 8 && text[k] != ' '; k++)
				;
			struct slice w = slice_make(text + i, k - i);

			if (!slice_is(w, "ab") && !slice_is(w, "abb") &&
			    !slice_is(w, "aba") && !slice_is(w, "abba") &&
			    !slice_is(w, "ba"))
				continue;
			assert_true(words < g.n);
			assert_int_equal(g.hits[words].start, i);
			assert_int_equal(g.hits[words].end, k);
			words++;
		}
		assert_int_equal(words, g.n);
	}
	pm_free(pm);
}

static void
hostile_text_is_limited(void **s)
{
	struct pm_rule r = { .id = "r",
		.pattern = "(?:a{1,20}){1,60}[^b]{0,900}c" };
	struct pm *pm = compiled(&r, 1);
	size_t n = 1 << 17;
	char *text = malloc(n);
	struct got g = { .answer = PM_SKIP };

	(void)s;
	for (size_t i = 0; i < n; i++)
		text[i] = i % 7 == 6 ? 'b' : i % 3 == 0 ? 'c' : 'a';
	g.answer = PM_TAKE;
	/* Ends, one way or the other; never hangs. */
	enum pm_result res = pm_scan(pm, slice_make(text, 60), NULL, 0, take,
	    &g);

	assert_true(res == PM_DONE || res == PM_LIMIT);
	free(text);
	pm_free(pm);
}

static enum pm_answer
refuse(void *ctx, struct pm_hit *h)
{
	(void)h;
	++*(uint64_t *)ctx;
	return PM_SKIP;
}

static void
refused_hits_are_limited(void **s)
{
	struct pm_rule r = { .id = "r", .pattern = "a{1,400}" };
	struct pm *pm = compiled(&r, 1);
	size_t n = 1 << 20;
	char *text = malloc(n);
	uint64_t calls = 0;

	(void)s;
	memset(text, 'a', n);
	assert_int_equal(pm_scan(pm, slice_make(text, n), NULL, 0, refuse,
	    &calls), PM_LIMIT);
	assert_true(calls > 1000 && calls < n);
	free(text);
	pm_free(pm);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(selftest_passes),
		cmocka_unit_test(start_end_and_value),
		cmocka_unit_test(skip_tries_next_start),
		cmocka_unit_test(segments_are_walls),
		cmocka_unit_test(pack_and_back),
		cmocka_unit_test(errors_name_the_place),
		cmocka_unit_test(agrees_with_leftmost_search),
		cmocka_unit_test(hostile_text_is_limited),
		cmocka_unit_test(refused_hits_are_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
