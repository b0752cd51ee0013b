/* test_sink_file - whole lines, whatever happens to the file or the disk. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "jsonl.h"
#include "sink_file.h"

struct world {
	char dir[64];
	int dirfd;
	struct loop *loop;
	struct loop_timer *deadline;
	struct sink *sink;
	uint64_t delivered, until;
	unsigned ready, lost;
};

static struct world w;

static void
on_delivered(void *ctx, uint64_t seq)
{
	assert_ptr_equal(ctx, &w);
	assert_true(seq > w.delivered);
	w.delivered = seq;
	if (w.delivered >= w.until)
		loop_stop(w.loop);
}

static void
on_ready(void *ctx)
{
	(void)ctx;
	w.ready++;
	loop_stop(w.loop);
}

static void
on_lost(void *ctx)
{
	(void)ctx;
	w.lost++;
}

static void
on_deadline(void *ctx)
{
	(void)ctx;
	fail_msg("no delivery within the time of the test");
}

static const struct sink_hooks hooks = {
	.delivered = on_delivered, .ready = on_ready, .lost = on_lost,
	.ctx = &w
};

static int
setup(void **state)
{
	(void)state;
	memset(&w, 0, sizeof(w));
	strcpy(w.dir, "/tmp/sinkfile.XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	w.dirfd = open(w.dir, O_RDONLY | O_DIRECTORY);
	w.loop = loop_new();
	w.deadline = loop_timer_new(w.loop, on_deadline, NULL);
	return 0;
}

static int
teardown(void **state)
{
	static const char *const names[] = { "f", "f.1", "other" };

	(void)state;
	sink_close(w.sink);
	loop_timer_del(w.deadline);
	loop_free(w.loop);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		unlinkat(w.dirfd, names[i], 0);
	close(w.dirfd);
	return rmdir(w.dir);
}

static void
begin(void)
{
	sink_close(w.sink);
	w.sink = sink_file_new(w.loop, w.dirfd, "f", &hooks);
}

static void
put(const char *name, const char *bytes)
{
	int fd = openat(w.dirfd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(write(fd, bytes, strlen(bytes)), strlen(bytes));
	close(fd);
}

static char *
get(const char *name)
{
	int fd = openat(w.dirfd, name, O_RDONLY);
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	char *p = calloc(1, (size_t)st.st_size + 1);

	assert_int_equal(read(fd, p, (size_t)st.st_size), st.st_size);
	close(fd);
	return p;
}

static void
expect(const char *name, const char *want)
{
	char *p = get(name);

	assert_string_equal(p, want);
	free(p);
}

static void
event(uint64_t seq)
{
	char e[64];

	snprintf(e, sizeof(e), "{\"id\":\"e%llu\"}", (unsigned long long)seq);
	assert_int_equal(sink_write(w.sink, seq, slice_str(e)), SINK_TAKEN);
}

static void
wait_for(uint64_t seq)
{
	w.until = seq;
	loop_timer_set(w.deadline, 10000);
	while (w.delivered < seq)
		loop_run(w.loop);
	loop_timer_stop(w.deadline);
}

static void
test_appends(void **state)
{
	struct stat st;

	(void)state;
	put("f", "{\"seq\":1,\"id\":\"e1\"}\n");
	begin();
	assert_int_equal(sink_state(w.sink), SINK_UP);
	event(2);
	event(3);
	assert_true(w.delivered == 0);
	sink_flush(w.sink);
	wait_for(3);
	event(4);
	assert_true(sink_finish(w.sink));
	assert_true(w.delivered == 4);
	expect("f", "{\"seq\":1,\"id\":\"e1\"}\n{\"seq\":2,\"id\":\"e2\"}\n"
	    "{\"seq\":3,\"id\":\"e3\"}\n{\"seq\":4,\"id\":\"e4\"}\n");
	assert_true(w.sink->stats.delivered == 3 && w.lost == 0);
	begin();
	assert_int_equal(fstatat(w.dirfd, "f", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void
test_repair(void **state)
{
	static const struct { const char *before, *after; } t[] = {
		{ "{\"seq\":1,\"a\":1}\n{\"seq\":2,\"a", "{\"seq\":1,\"a\":1}\n" },
		{ "{\"seq\":1,\"a\":1}\n{\"se", "{\"seq\":1,\"a\":1}\n" },
		{ "{\"seq\":2,\"a\":1}", "" },
		{ "{", "" },
		{ "hello", "hello\n" },
		{ "hello\n", "hello\n" },
		{ "{\"seq\":1,\"a\":1}\nhello", "{\"seq\":1,\"a\":1}\nhello\n" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		put("f", t[i].before);
		begin();
		expect("f", t[i].after);
	}
	/* An unfinished line longer than any block read. */
	char *big = calloc(1, 100001);

	memset(big, 'x', 100000);
	memcpy(big, "{\"seq\":1,\"a\":1}\n{\"seq\":2,", 25);
	put("f", big);
	free(big);
	begin();
	expect("f", "{\"seq\":1,\"a\":1}\n");
}

static void
test_rotation(void **state)
{
	(void)state;
	begin();
	event(1);
	sink_flush(w.sink);
	assert_int_equal(renameat(w.dirfd, "f", w.dirfd, "f.1"), 0);
	event(2);
	sink_flush(w.sink);
	wait_for(2);
	expect("f.1", "{\"seq\":1,\"id\":\"e1\"}\n");
	expect("f", "{\"seq\":2,\"id\":\"e2\"}\n");
	assert_int_equal(unlinkat(w.dirfd, "f", 0), 0);
	sink_reopen(w.sink);
	expect("f", "");
	event(3);
	assert_true(sink_finish(w.sink));
	expect("f", "{\"seq\":3,\"id\":\"e3\"}\n");
}

/* The disk is full in the middle of a line (RLIMIT_FSIZE cuts the write at
 * its limit, then EFBIG): the rest follows when there is room. */
static void
test_full_disk(void **state)
{
	struct rlimit old, small = { 70, RLIM_INFINITY };

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small.rlim_max = old.rlim_max;
	begin();
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	for (uint64_t s = 1; s <= 10; s++)
		event(s);
	sink_flush(w.sink);
	assert_int_equal(sink_state(w.sink), SINK_DOWN);
	assert_true(w.delivered == 0 && w.sink->stats.failures == 1);
	char *p = get("f");

	assert_int_equal(strlen(p), 70);
	free(p);
	/* Rotated away meanwhile: the line is ended in its own file. */
	assert_int_equal(renameat(w.dirfd, "f", w.dirfd, "f.1"), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	event(11);
	wait_for(11);
	assert_int_equal(sink_state(w.sink), SINK_UP);
	event(12);
	assert_true(sink_finish(w.sink));
	p = get("f.1");
	assert_int_equal(strlen(p), 9 * 20 + 2 * 22);
	for (char *l = p, *nl; *l != '\0'; l = nl + 1) {
		nl = strchr(l, '\n');
		assert_non_null(nl);
		assert_memory_equal(l, "{\"seq\":", 7);
		assert_int_equal(nl[-1], '}');
	}
	free(p);
	expect("f", "{\"seq\":12,\"id\":\"e12\"}\n");
	assert_int_equal(w.lost, 0);
}

static void
test_bounded(void **state)
{
	static char big[100000];
	struct rlimit old, small = { 1, RLIM_INFINITY };
	uint64_t s = 0;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	memset(big, 'x', sizeof(big));
	memcpy(big, "{\"a\":\"", 6);
	memcpy(big + sizeof(big) - 2, "\"}", 2);
	getrlimit(RLIMIT_FSIZE, &old);
	small.rlim_max = old.rlim_max;
	begin();
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	while (sink_write(w.sink, s + 1, slice_make(big, sizeof(big))) ==
	    SINK_TAKEN) {
		s++;
		sink_flush(w.sink);
		assert_true(s < 100);
	}
	assert_true(s >= 10 && w.ready == 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	loop_timer_set(w.deadline, 10000);
	while (w.ready == 0)
		loop_run(w.loop);
	wait_for(s);
}

static void
test_refuses(void **state)
{
	struct sink *second;

	(void)state;
	put("other", "precious");
	assert_int_equal(symlinkat("other", w.dirfd, "f"), 0);
	begin();
	assert_int_equal(sink_state(w.sink), SINK_DOWN);
	assert_int_equal(unlinkat(w.dirfd, "f", 0), 0);
	assert_int_equal(mkfifoat(w.dirfd, "f", 0600), 0);
	begin();
	assert_int_equal(sink_state(w.sink), SINK_DOWN);
	/* It comes back by itself once the name is free. */
	assert_int_equal(unlinkat(w.dirfd, "f", 0), 0);
	event(1);
	wait_for(1);
	second = sink_file_new(w.loop, w.dirfd, "f", &hooks);
	assert_int_equal(sink_state(second), SINK_DOWN);
	sink_close(second);
	expect("other", "precious");
}

/* kill -9 while it writes: every line but the last is whole, the next start
 * repairs that one, and what was delivered is there. */
static void
run_child(int out)
{
	w.sink = sink_file_new(w.loop, w.dirfd, "f", &hooks);
	for (uint64_t s = w.delivered + 1;; s++) {
		event(s);
		if (s % 3 == 0 && sink_finish(w.sink) &&
		    write(out, &s, sizeof(s)) != sizeof(s))
			_exit(1);
	}
}

static uint64_t
check_lines(void)
{
	char *p = get("f");
	uint64_t last = 0, seq;

	for (char *l = p, *nl; *l != '\0'; l = nl + 1) {
		nl = strchr(l, '\n');
		assert_non_null(nl);
		assert_true(jsonl_seq(slice_make(l, (size_t)(nl - l)), &seq));
		assert_true(seq <= last + 1);	/* no gap; again is allowed */
		if (seq > last)
			last = seq;
		assert_int_equal(nl[-1], '}');
	}
	free(p);
	return last;
}

static void
test_kill(void **state)
{
	uint64_t told = 0, s;

	(void)state;
	for (int round = 0; round < 10; round++) {
		uint64_t stop_at = told + 30;
		int p[2];
		pid_t pid;

		assert_int_equal(pipe(p), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			run_child(p[1]);
		close(p[1]);
		while (told < stop_at &&
		    read(p[0], &s, sizeof(s)) == sizeof(s))
			told = s;
		assert_true(told >= stop_at);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		close(p[0]);
		begin();
		assert_true(check_lines() >= told);
		sink_close(w.sink);
		w.sink = NULL;
		w.delivered = told;
	}
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_appends), T(test_repair), T(test_rotation),
		T(test_full_disk), T(test_bounded), T(test_refuses),
		T(test_kill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
