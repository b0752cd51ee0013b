/* test_cursor - the cursor survives crashes at any byte. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cursor.h"

static char dir[64];
static int dirfd_;

static int
setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/cursor.XXXXXX");
	assert_non_null(mkdtemp(dir));
	dirfd_ = open(dir, O_RDONLY | O_DIRECTORY);
	return dirfd_ < 0;
}

static int
teardown(void **state)
{
	(void)state;
	unlinkat(dirfd_, "c", 0);
	unlinkat(dirfd_, "link", 0);
	close(dirfd_);
	return rmdir(dir);
}

static struct uuid
id_of(uint64_t seq)
{
	struct uuid u = { { 0 } };

	memcpy(u.b, &seq, sizeof(seq));
	return u;
}

static void
open_ok(struct cursor *c)
{
	struct err err = { 0 };

	if (cursor_open(c, dirfd_, "c", &err) != 0)
		fail_msg("%s", err.text);
}

static void
test_store(void **state)
{
	struct cursor c;

	(void)state;
	open_ok(&c);
	assert_true(c.seq == 0);
	for (uint64_t s = 1; s <= 5; s++) {
		assert_int_equal(cursor_store(&c, s * 10, id_of(s)), 0);
		cursor_close(&c);
		open_ok(&c);
		assert_true(c.seq == s * 10);
		assert_true(uuid_eq(c.id, id_of(s)));
	}
	cursor_close(&c);
}

static void
test_refusals(void **state)
{
	struct err err = { 0 };
	struct cursor c, d;

	(void)state;
	open_ok(&c);
	assert_int_equal(cursor_open(&d, dirfd_, "c", &err), -1);
	assert_non_null(strstr(err.text, "another exporter"));
	cursor_close(&c);
	assert_int_equal(symlinkat("c", dirfd_, "link"), 0);
	memset(&err, 0, sizeof(err));
	assert_int_equal(cursor_open(&d, dirfd_, "link", &err), -1);
	memset(&err, 0, sizeof(err));
	assert_int_equal(cursor_open(&d, dirfd_, ".", &err), -1);
}

/* Whatever the record being written looks like after a power cut (any prefix
 * of the new bytes, the rest old or zero), the other one stands. */
static void
test_torn(void **state)
{
	char before[CURSOR_FILE], after[CURSOR_FILE], mix[CURSOR_FILE];
	struct cursor c;
	int fd;

	(void)state;
	open_ok(&c);
	assert_int_equal(cursor_store(&c, 7, id_of(7)), 0);
	assert_int_equal(cursor_store(&c, 8, id_of(8)), 0);
	fd = openat(dirfd_, "c", O_RDONLY);
	assert_int_equal(pread(fd, before, CURSOR_FILE, 0), CURSOR_FILE);
	assert_int_equal(cursor_store(&c, 9, id_of(9)), 0);
	assert_int_equal(pread(fd, after, CURSOR_FILE, 0), CURSOR_FILE);
	close(fd);
	cursor_close(&c);
	for (size_t n = 0; n <= CURSOR_FILE; n++) {
		struct cursor r = { 0 };

		memcpy(mix, before, CURSOR_FILE);
		memcpy(mix, after, n);
		assert_int_equal(cursor_parse(slice_make(mix, CURSOR_FILE),
		    &r), CURSOR_VALID);
		assert_true(r.seq == 8 || r.seq == 9);
		memset(mix + n, 0, CURSOR_FILE - n);
		memset(&r, 0, sizeof(r));
		if (cursor_parse(slice_make(mix, n), &r) == CURSOR_VALID)
			assert_true(r.seq == 9 || r.seq == 8);
	}
}

static void
test_damaged(void **state)
{
	char file[CURSOR_FILE];
	struct cursor c;
	int fd;

	(void)state;
	assert_int_equal(cursor_parse(slice_make("", 0), &c), CURSOR_NONE);
	memset(file, 0, sizeof(file));
	assert_int_equal(cursor_parse(slice_make(file, sizeof(file)), &c),
	    CURSOR_DAMAGED);
	assert_int_equal(cursor_parse(slice_make("x", 1), &c),
	    CURSOR_DAMAGED);
	open_ok(&c);
	assert_int_equal(cursor_store(&c, 7, id_of(7)), 0);
	cursor_close(&c);
	fd = openat(dirfd_, "c", O_RDWR);
	/* One bit in the seq: the sum does not fit any more. */
	assert_int_equal(pread(fd, file, 1, CURSOR_RECORD + 16), 1);
	file[0] ^= 1;
	assert_int_equal(pwrite(fd, file, 1, CURSOR_RECORD + 16), 1);
	close(fd);
	open_ok(&c);
	assert_true(c.seq == 0);
	/* And it works again from there. */
	assert_int_equal(cursor_store(&c, 3, id_of(3)), 0);
	cursor_close(&c);
	open_ok(&c);
	assert_true(c.seq == 3);
	cursor_close(&c);
}

/* A child stores as fast as it can and tells each stored seq through a pipe;
 * it is killed at a random place. What it told last is never lost. */
static void
run_child(int out)
{
	struct cursor c;
	struct err err = { 0 };

	if (cursor_open(&c, dirfd_, "c", &err) != 0)
		_exit(1);
	for (uint64_t s = c.seq + 1;; s++) {
		if (cursor_store(&c, s, id_of(s)) != 0 ||
		    write(out, &s, sizeof(s)) != sizeof(s))
			_exit(1);
	}
}

static void
test_kill(void **state)
{
	uint64_t told = 0;

	(void)state;
	for (int round = 0; round < 20; round++) {
		struct cursor c;
		uint64_t stop_at = told + 1 + (uint64_t)round % 7, s;
		int p[2];
		pid_t pid;

		assert_int_equal(pipe(p), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			run_child(p[1]);
		close(p[1]);
		while (told < stop_at) {
			assert_int_equal(read(p[0], &s, sizeof(s)), sizeof(s));
			told = s;
		}
		kill(pid, SIGKILL);
		while (read(p[0], &s, sizeof(s)) == sizeof(s))
			told = s;
		close(p[0]);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		open_ok(&c);
		/* At most the one being told when the end came. */
		assert_true(c.seq == told || c.seq == told + 1);
		assert_true(uuid_eq(c.id, id_of(c.seq)));
		told = c.seq;
		cursor_close(&c);
	}
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_store), T(test_refusals), T(test_torn),
		T(test_damaged), T(test_kill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
