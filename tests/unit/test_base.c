/* lib/base: buf, arena, pack, map, codec, clock, rng, err, slices, list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "arena.h"
#include "buf.h"
#include "clock.h"
#include "codec.h"
#include "err.h"
#include "list.h"
#include "map.h"
#include "pack.h"
#include "rng.h"

static void
test_slices(void **st)
{
	struct slice rest = SLICE("a,,b");
	uint64_t v = 7;

	(void)st;
	assert_true(slice_is(slice_cut(&rest, ','), "a"));
	assert_true(slice_is(slice_cut(&rest, ','), ""));
	assert_non_null(rest.p);
	assert_true(slice_is(slice_cut(&rest, ','), "b"));
	assert_null(rest.p);
	rest = SLICE("a,");
	assert_true(slice_is(slice_cut(&rest, ','), "a"));
	assert_non_null(rest.p);
	assert_int_equal(rest.n, 0);
	assert_true(slice_is(slice_trim(SLICE(" \t x y\t ")), "x y"));
	assert_int_equal(slice_trim(SLICE(" \t ")).n, 0);
	assert_true(slice_is(slice_sub(SLICE("hello"), 3, 9), "lo"));
	assert_int_equal(slice_sub(SLICE("hello"), 9, 1).n, 0);
	assert_int_equal(slice_find(SLICE("hello"), SLICE("lo")), 3);
	assert_int_equal(slice_find(SLICE("hello"), SLICE("hello!")), -1);
	assert_int_equal(slice_find(SLICE("x"), slice_make(NULL, 0)), 0);
	assert_int_equal(slice_chr(slice_make(NULL, 0), 'x'), -1);
	assert_true(slice_is_nocase(SLICE("BeArEr"), "bearer"));
	/* Only ASCII is folded: '[' and '{' differ by the same bit. */
	assert_false(slice_is_nocase(SLICE("["), "{"));
	assert_true(slice_starts(SLICE("abc"), "ab"));
	assert_false(slice_starts(SLICE("a"), "ab"));
	assert_true(slice_ends(SLICE("abc"), "bc"));
	assert_true(slice_to_u64(SLICE("18446744073709551615"), &v));
	assert_true(v == UINT64_MAX);
	assert_false(slice_to_u64(SLICE("18446744073709551616"), &v));
	assert_false(slice_to_u64(SLICE("-1"), &v));
	assert_false(slice_to_u64(SLICE(""), &v));
	assert_false(slice_to_u64(SLICE("1 "), &v));
	assert_true(v == UINT64_MAX);
	assert_true(base_equal_ct("abc", "abc", 3));
	assert_false(base_equal_ct("abc", "abd", 3));
	assert_true(base_equal_ct("abc", "abd", 2));
}

/* Against a plain model: every append, consume and reserve of a long run. */
static void
test_buf_model(void **st)
{
	enum { MAX = 3000 };
	static char model[MAX];
	size_t n = 0;
	struct buf b;
	unsigned seed = 12345;

	(void)st;
	buf_init(&b, MAX);
	for (int i = 0; i < 20000; i++) {
		seed = seed * 1103515245 + 12345;
		size_t k = seed >> 16 & 0x3ff;
		char c = (char)(seed >> 8);

		if (seed & 0x4000000) {
			k = k > n ? n : k;
			buf_consume(&b, k);
			memmove(model, model + k, n - k);
			n -= k;
		} else {
			char *p = buf_reserve(&b, k);

			assert_int_equal(p == NULL, k > MAX - n);
			assert_int_equal(b.full, p == NULL);
			b.full = false;
			if (p == NULL)
				continue;
			memset(p, c, k);
			memset(model + n, c, k);
			buf_commit(&b, k);
			n += k;
		}
		assert_int_equal(b.len, n);
		assert_int_equal(buf_room(&b), MAX - n);
		assert_memory_equal(buf_slice(&b).p, model, n);
	}
	buf_free(&b);
	assert_int_equal(b.max, MAX);
	assert_int_equal(buf_slice(&b).n, 0);
}

static void
test_buf_full(void **st)
{
	struct buf b;
	char long_text[301];

	(void)st;
	memset(long_text, 'x', 300);
	long_text[300] = '\0';
	buf_init(&b, 4);
	assert_int_equal(buf_add_str(&b, "abcd"), 0);
	assert_int_equal(buf_add_char(&b, 'e'), -1);
	assert_true(b.full);
	buf_consume(&b, 4);
	/* Sticky: a builder that checks at its end learns of it. */
	assert_int_equal(buf_add(&b, "", 0), -1);
	buf_reset(&b);
	assert_false(b.full);
	assert_int_equal(buf_addf(&b, "%d", 1234), 0);
	assert_int_equal(buf_addf(&b, "%d", 5), -1);
	buf_free(&b);
	/* Exactly the maximum, longer than the small text inside. */
	buf_init(&b, 300);
	assert_int_equal(buf_addf(&b, "%s", long_text), 0);
	assert_true(slice_is(buf_slice(&b), long_text));
	assert_int_equal(buf_addf(&b, "%s", long_text), -1);
	assert_int_equal(b.len, 300);
	buf_wipe_free(&b);
}

static void
test_arena(void **st)
{
	struct arena *a = arena_new(64 << 10);
	char *big;

	(void)st;
	for (size_t n = 0; n < 300; n++) {
		char *p = arena_alloc(a, n);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 16, 0);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xee, n);
	}
	assert_string_equal(arena_printf(a, "%s-%d", "x", 7), "x-7");
	assert_string_equal(arena_strdup(a, SLICE("abc")), "abc");
	assert_string_equal(arena_strdup(a, slice_make(NULL, 0)), "");
	assert_true(slice_is(arena_copy(a, SLICE("q")), "q"));
	assert_false(arena_failed(a));
	assert_null(arena_alloc(a, SIZE_MAX - 8));
	assert_true(arena_failed(a));
	assert_null(arena_alloc(a, 1));
	assert_null(arena_copy(a, SLICE("q")).p);
	arena_reset(a);
	assert_false(arena_failed(a));
	assert_int_equal(arena_used(a), 0);
	big = arena_alloc(a, 32 << 10);
	assert_non_null(big);
	assert_int_equal(big[(32 << 10) - 1], 0);
	for (int i = 0; i < 100 && !arena_failed(a); i++)
		(void)!arena_alloc(a, 4096);
	assert_true(arena_failed(a));
	assert_true(arena_used(a) <= (64 << 10) + 4096);
	arena_free(a);
	arena_free(NULL);
}

static void
pack_all(struct buf *b)
{
	pack_u8(b, 0xfe);
	pack_u16(b, 0x1234);
	pack_u32(b, 0xdeadbeef);
	pack_u64(b, 0x0123456789abcdefULL);
	pack_i64(b, INT64_MIN);
	pack_str(b, "text");
	pack_str(b, NULL);
	pack_slice(b, slice_make("a\0b", 3));
	pack_bytes(b, "raw!", 4);
}

static bool
unpack_all(struct slice s)
{
	struct unpack u;
	char raw[4];

	unpack_init(&u, s);
	bool ok = unpack_u8(&u) == 0xfe;

	ok &= unpack_u16(&u) == 0x1234;
	ok &= unpack_u32(&u) == 0xdeadbeef;
	ok &= unpack_u64(&u) == 0x0123456789abcdefULL;
	ok &= unpack_i64(&u) == INT64_MIN;
	char *text = unpack_strdup(&u);

	ok &= strcmp(text, "text") == 0;
	free(text);
	ok &= unpack_slice(&u).n == 0;
	ok &= slice_eq(unpack_slice(&u), slice_make("a\0b", 3));
	unpack_bytes(&u, raw, 4);
	ok &= memcmp(raw, "raw!", 4) == 0;
	assert_int_equal(unpack_done(&u), s.n == 1 + 2 + 4 + 8 + 8 + 8 + 4 +
	    7 + 4);
	return ok && unpack_done(&u);
}

static void
test_pack(void **st)
{
	struct buf b;
	struct unpack u;

	(void)st;
	buf_init(&b, 1000);
	pack_all(&b);
	assert_int_equal((uint8_t)buf_data(&b)[1], 0x34);
	assert_true(unpack_all(buf_slice(&b)));
	/* Cut anywhere: bad, never beyond the end (ASan sees). */
	for (size_t n = 0; n < b.len; n++) {
		char *cut = malloc(n + 1);

		memcpy(cut, buf_data(&b), n);
		assert_false(unpack_all(slice_make(cut, n)));
		free(cut);
	}
	buf_reset(&b);
	pack_u32(&b, 0xffffffff);
	pack_u32(&b, 1);
	unpack_init(&u, buf_slice(&b));
	assert_int_equal(unpack_slice(&u).n, 0);
	assert_true(u.bad);
	assert_int_equal(unpack_u32(&u), 0);	/* stays bad */
	/* 2 entries of 4 bytes in 4 bytes: no. */
	buf_reset(&b);
	pack_u32(&b, 2);
	pack_u32(&b, 0);
	unpack_init(&u, buf_slice(&b));
	assert_int_equal(unpack_count(&u, 4), 0);
	assert_true(u.bad);
	unpack_init(&u, buf_slice(&b));
	assert_int_equal(unpack_count(&u, 2), 2);
	assert_false(u.bad);
	/* A NUL inside a text. */
	buf_reset(&b);
	pack_slice(&b, slice_make("a\0b", 3));
	unpack_init(&u, buf_slice(&b));
	char *s = unpack_strdup(&u);

	assert_string_equal(s, "");
	assert_false(unpack_done(&u));
	free(s);
	buf_free(&b);
}

static void
test_map(void **st)
{
	enum { N = 2000 };
	static char values[N], seen[N];
	struct map m;
	struct slice key;
	size_t i = 0;
	void *v;

	(void)st;
	map_init(&m);
	assert_null(map_get(&m, SLICE("x")));
	assert_null(map_del(&m, SLICE("x")));
	for (int round = 0; round < 5; round++) {
		for (int k = 0; k < N; k++) {
			key = slice_make(&k, sizeof(k));
			assert_null(map_put(&m, key, &values[k]));
		}
		assert_int_equal(map_count(&m), N);
		for (int k = 0; k < N; k++) {
			key = slice_make(&k, sizeof(k));
			assert_ptr_equal(map_get(&m, key), &values[k]);
			assert_ptr_equal(map_put(&m, key, &seen[k]),
			    &values[k]);
		}
		/* The current key may be deleted on the way. */
		i = 0;
		while (map_next(&m, &i, &key, &v)) {
			int k;

			memcpy(&k, key.p, sizeof(k));
			assert_ptr_equal(v, &seen[k]);
			seen[k]++;
			assert_ptr_equal(map_del(&m, key), v);
		}
		assert_int_equal(map_count(&m), 0);
		for (int k = 0; k < N; k++)
			assert_int_equal(seen[k], round + 1);
	}
	assert_true(m.cap <= 8192);	/* deleted keys do not add up */
	/* The empty key is one like others. */
	assert_null(map_put(&m, slice_make(NULL, 0), &m));
	assert_ptr_equal(map_get(&m, SLICE("")), &m);
	assert_ptr_equal(map_del(&m, slice_make(NULL, 0)), &m);
	assert_null(map_get(&m, SLICE("")));
	map_free(&m);
	assert_null(map_get(&m, SLICE("x")));
}

static void
test_codec(void **st)
{
	/* RFC 4648, 10. */
	static const char *const vectors[][2] = { { "", "" },
		{ "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" } };
	static const char *const bad[] = { "=", "==", "====", "Zg=", "Zg",
		"Z===", "Zh==", "Zm9=", "Zg==Zg==", "Zm 8", "Zm8-", "Z=g=",
		"Zm9v\n", "Zm9v====" };
	struct buf b;
	uint8_t out[3] = { 9, 9, 9 };
	char hex[7];

	(void)st;
	buf_init(&b, 100);
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		buf_reset(&b);
		b64_encode(&b, vectors[i][0], strlen(vectors[i][0]));
		assert_true(slice_is(buf_slice(&b), vectors[i][1]));
		buf_reset(&b);
		assert_int_equal(b64_decode(&b, slice_str(vectors[i][1])), 0);
		assert_true(slice_is(buf_slice(&b), vectors[i][0]));
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		buf_reset(&b);
		buf_add_str(&b, "kept");
		assert_int_equal(b64_decode(&b, slice_str(bad[i])), -1);
		assert_true(slice_is(buf_slice(&b), "kept"));
	}
	buf_reset(&b);
	assert_int_equal(b64_decode(&b, slice_make("Zm\0v", 4)), -1);
	b64url_encode(&b, "\xfb\xff\xbf\x01", 4);
	assert_true(slice_is(buf_slice(&b), "-_-_AQ"));
	struct slice url = SLICE("-_-_AQ");

	buf_reset(&b);
	assert_int_equal(b64url_decode(&b, url), 0);
	assert_memory_equal(buf_data(&b), "\xfb\xff\xbf\x01", 4);
	assert_int_equal(b64url_decode(&b, SLICE("+/+/")), -1);
	assert_int_equal(b64url_decode(&b, SLICE("AQ==")), -1);
	assert_int_equal(b64url_decode(&b, SLICE("A")), -1);
	/* No room: nothing. */
	buf_free(&b);
	buf_init(&b, 5);
	assert_int_equal(b64_decode(&b, SLICE("Zm9vYmFy")), -1);
	assert_int_equal(b.len, 0);
	buf_free(&b);
	hex_encode("\x00\xaf\xff", 3, hex);
	assert_string_equal(hex, "00afff");
	assert_true(hex_decode(SLICE("00AfFf"), out, 3));
	assert_memory_equal(out, "\x00\xaf\xff", 3);
	assert_false(hex_decode(SLICE("00aff"), out, 3));
	assert_false(hex_decode(SLICE("00affg"), out, 3));
}

static void
check_date(int64_t s)
{
	char got[CLOCK_RFC3339_LEN], want[64];
	time_t t = (time_t)s;
	struct tm tm;

	assert_non_null(gmtime_r(&t, &tm));
	strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S.000Z", &tm);
	clock_format(s * 1000, got);
	assert_string_equal(got, want);
}

static void
test_clock_format(void **st)
{
	static const struct {
		int64_t ms;
		const char *text;
	} known[] = {
		{ 0, "1970-01-01T00:00:00.000Z" },
		{ -1, "1969-12-31T23:59:59.999Z" },
		{ -86400000, "1969-12-31T00:00:00.000Z" },
		{ 951782399999, "2000-02-28T23:59:59.999Z" },
		{ 951782400000, "2000-02-29T00:00:00.000Z" },
		{ 951868800000, "2000-03-01T00:00:00.000Z" },
		{ 1709210096789, "2024-02-29T12:34:56.789Z" },
		{ 1735689599999, "2024-12-31T23:59:59.999Z" },
		{ 1735689600000, "2025-01-01T00:00:00.000Z" },
		{ 2147483648000, "2038-01-19T03:14:08.000Z" },
		{ 4107542399000, "2100-02-28T23:59:59.000Z" },
		{ 4107542400000, "2100-03-01T00:00:00.000Z" },
		{ 253402300799999, "9999-12-31T23:59:59.999Z" },
	};
	char text[CLOCK_RFC3339_LEN];

	(void)st;
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		clock_format(known[i].ms, text);
		assert_string_equal(text, known[i].text);
	}
	/* Every day of 1900-2300, at changing times, against the C library. */
	for (int64_t d = -25567; d < 120530; d++)
		check_date(d * 86400 + (d * 7919 % 86400 + 86400) % 86400);
}

static void
test_clock_watch(void **st)
{
	struct clock_watch w = { .limit_ms = 1000, .floor_ms = 50000 };

	(void)st;
	/* Before a time that has passed: not believed, however long it runs
	 * like that; a little before it is. */
	assert_int_equal(clock_watch_look(&w, 40000, 100), -10000);
	assert_int_equal(clock_watch_look(&w, 41000, 1100), -9000);
	assert_int_equal(clock_watch_look(&w, 49000, 1200), 0);
	/* Once believed it drifts, and in sum by any amount. */
	for (int i = 1; i <= 20; i++)
		assert_int_equal(clock_watch_look(&w, 49000 + i * 1500,
		    1200 + i * 1000), 0);
	/* A step, either way, until it is where it should be. */
	assert_int_equal(clock_watch_look(&w, 79000 + 3600000, 21200),
	    3600000);
	assert_int_equal(clock_watch_look(&w, 80000 + 3600000, 22200),
	    3600000);
	assert_int_equal(clock_watch_look(&w, 81000, 23200), 0);
	assert_int_equal(clock_watch_look(&w, 80000, 23201), -1001);
	assert_int_equal(clock_watch_look(&w, 20000, 24200), -62000);
	assert_int_equal(clock_watch_look(&w, 82500, 24300), 0);
	assert_true(clock_boot_ms() >= (int64_t)clock_mono_ms() - 1000);
}

static void
test_clock(void **st)
{
	static const struct {
		const char *text;
		int64_t ms;
	} good[] = { { "90s", 90000 }, { "15m", 900000 }, { "4h", 14400000 },
		{ "7d", 604800000 }, { "5", 5000 }, { "100ms", 100 },
		{ "0", 0 } };
	static const char *const bad[] = { "", "s", "ms", "1.5h", "-1s", "1 h",
		"1w", "h4", "18446744073709551615d", "106751991168d" };
	int64_t ms = 1, wall = clock_wall_ms();

	(void)st;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_true(clock_parse_duration(slice_str(good[i].text),
		    &ms));
		assert_int_equal(ms, good[i].ms);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(clock_parse_duration(slice_str(bad[i]), &ms));
	clock_set_offset_ms(-3600000);
	assert_int_equal(clock_offset_ms(), -3600000);
	assert_in_range(clock_wall_ms() + 3600000, wall, wall + 60000);
	clock_set_offset_ms(0);
	assert_true(clock_mono_ms() <= clock_mono_ns() / 1000000);
}

static void
test_uuid(void **st)
{
	enum { N = 20000 };
	struct uuid last = uuid_v7(), u;
	char text[UUID_TEXT_LEN];
	int64_t now = clock_wall_ms();
	uint64_t ms = 0;

	(void)st;
	for (int i = 0; i < 6; i++)
		ms = ms << 8 | last.b[i];
	assert_in_range(ms, now - 5000, now + 5000);
	/* More than 4096 in a millisecond, and a clock that goes back. */
	for (int i = 0; i < N; i++) {
		if (i == N / 2)
			clock_set_offset_ms(-60000);
		u = uuid_v7();
		assert_true(memcmp(u.b, last.b, 8) > 0);
		assert_int_equal(u.b[6] >> 4, 7);
		assert_int_equal(u.b[8] >> 6, 2);
		last = u;
	}
	clock_set_offset_ms(0);
	uuid_format(u, text);
	assert_true(uuid_parse(slice_str(text), &last));
	assert_true(uuid_eq(u, last));
	for (size_t i = 0; i < UUID_TEXT_LEN - 1; i++) {
		char c = text[i];

		text[i] = c == '-' ? '0' : '-';
		assert_false(uuid_parse(slice_str(text), &u));
		text[i] = c;
	}
	assert_false(uuid_parse(slice_make(text, 35), &u));
	assert_true(uuid_eq(u, last));
}

/* Bytes that were given out are not given again, whatever the sizes drawn. */
static void
test_rng(void **st)
{
	uint8_t got[64][16] = { { 0 } }, filler[512];
	unsigned ones = 0;

	(void)st;
	for (size_t i = 0; i < 64; i++) {
		rng_bytes(filler, i * 7);
		rng_bytes(got[i], 16);
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(got[i], got[j], 16);
		for (size_t k = 0; k < 16; k++)
			ones += (unsigned)__builtin_popcount(got[i][k]);
	}
	/* 8192 bits: 4096 expected, 45 the deviation; 12 of them allowed. */
	assert_in_range(ones, 4096 - 540, 4096 + 540);
	assert_true(rng_u64() != rng_u64());
}

static void
test_err(void **st)
{
	static const char *const names[] = { "connectors", NULL, "listen",
		"rules", "run", "a" };
	struct err e = { 0 };
	char path[2000];

	(void)st;
	assert_string_equal(err_nearest(SLICE("conectors"), names, 6),
	    "connectors");
	assert_string_equal(err_nearest(SLICE("lisetn"), names, 6), "listen");
	assert_null(err_nearest(SLICE("rnu"), names, 5));
	assert_string_equal(err_nearest(SLICE("rule"), names, 6), "rules");
	assert_null(err_nearest(SLICE("zebra"), names, 6));
	assert_null(err_nearest(SLICE("b"), names, 6));	/* shares nothing */
	assert_null(err_nearest(SLICE(""), names, 6));
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_null(err_nearest(slice_str(path), names, 6));
	err_at(&e, "f.yaml", 3, 4, "no %s", "such");
	assert_string_equal(e.text, "f.yaml:3:4: no such");
	err_set(&e, "later");		/* the first error stays */
	assert_string_equal(e.text, "f.yaml:3:4: no such");
	e.set = false;
	err_at(&e, "f.yaml", 0, 0, "whole");
	assert_string_equal(e.text, "f.yaml: whole");
	e.set = false;
	err_at(&e, path, 1, 1, "cut");
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	err_set(NULL, "nobody");
}

static void
test_list(void **st)
{
	struct list h, n[3] = { { 0 } };
	int i = 0;

	(void)st;
	list_init(&h);
	assert_true(list_empty(&h));
	list_remove(&n[0]);		/* not linked: nothing */
	list_append(&h, &n[1]);
	list_append(&h, &n[2]);
	list_prepend(&h, &n[0]);
	list_each(it, &h)
		assert_ptr_equal(it, &n[i++]);
	assert_int_equal(i, 3);
	list_each_safe(it, tmp, &h)
		list_remove(it);
	assert_true(list_empty(&h));
	assert_false(list_linked(&n[1]));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slices),
		cmocka_unit_test(test_buf_model),
		cmocka_unit_test(test_buf_full),
		cmocka_unit_test(test_arena),
		cmocka_unit_test(test_pack),
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_codec),
		cmocka_unit_test(test_clock_format),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_clock_watch),
		cmocka_unit_test(test_uuid),
		cmocka_unit_test(test_rng),
		cmocka_unit_test(test_err),
		cmocka_unit_test(test_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
