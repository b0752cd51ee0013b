/* snap: seals, digest, lengths; what was altered is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "snap.h"

static int
sample(void)
{
	struct snap_writer w;
	struct err err = { 0 };
	int fd;

	snap_writer_init(&w);
	snap_add(&w, "conf", SLICE("first"));
	snap_add(&w, "empty", SLICE(""));
	snap_add(&w, "rules", SLICE("third"));
	fd = snap_seal(&w, &err);
	assert_true(fd >= 0);
	snap_writer_free(&w);
	return fd;
}

static struct slice
sample_bytes(char *room, size_t max)
{
	int fd = sample();
	ssize_t n = pread(fd, room, max, 0);

	assert_true(n > 0 && (size_t)n < max);
	close(fd);
	return slice_make(room, (size_t)n);
}

static void
test_round_trip(void **st)
{
	struct err err = { 0 };
	int fd = sample();
	struct snap *s;

	(void)st;
	assert_int_equal(write(fd, "x", 1), -1);
	s = snap_open(fd, &err);
	assert_non_null(s);
	assert_true(slice_is(snap_section(s, "conf"), "first"));
	assert_true(slice_is(snap_section(s, "rules"), "third"));
	assert_non_null(snap_section(s, "empty").p);
	assert_int_equal(snap_section(s, "empty").n, 0);
	assert_null(snap_section(s, "con").p);
	assert_int_equal(strlen(snap_name(s)), 12);
	snap_close(s);
	snap_close(NULL);
}

static void
test_unsealed(void **st)
{
	struct err err = { 0 };
	char room[512];
	struct slice b = sample_bytes(room, sizeof(room));
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	(void)st;
	assert_int_equal(write(fd, b.p, b.n), b.n);
	assert_null(snap_open(fd, &err));
	assert_non_null(strstr(err.text, "sealed"));
}

static void
test_every_flip_and_cut(void **st)
{
	char room[512];
	struct slice b = sample_bytes(room, sizeof(room));
	struct snap *s;

	(void)st;
	s = snap_parse(b, NULL);
	assert_non_null(s);
	snap_close(s);
	for (size_t i = 0; i < b.n; i++) {
		room[i] ^= 1;
		assert_null(snap_parse(b, NULL));
		room[i] ^= 1;
		char *cut = malloc(i + 1);

		memcpy(cut, b.p, i);
		assert_null(snap_parse(slice_make(cut, i), NULL));
		free(cut);
	}
}

static void
test_duplicate_section(void **st)
{
	struct snap_writer w;
	struct err err = { 0 };
	int fd;

	(void)st;
	snap_writer_init(&w);
	snap_add(&w, "conf", SLICE("1"));
	snap_add(&w, "conf", SLICE("2"));
	fd = snap_seal(&w, &err);
	assert_true(fd >= 0);
	assert_null(snap_open(fd, &err));
	snap_writer_free(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_unsealed),
		cmocka_unit_test(test_every_flip_and_cut),
		cmocka_unit_test(test_duplicate_section),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
