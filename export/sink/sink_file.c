/* sink_file - see sink_file.h. */
#include "sink_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "jsonl.h"
#include "log.h"

#define EVENT_MAX (33u << 20)	/* a channel carries less (CHAN_BODY_MAX) */
#define TAIL_MAX (64 << 20)	/* how far back an unfinished line is sought */
#define LINE_HEAD "{\"seq\":"

struct sink_file {
	struct sink s;
	struct loop *loop;
	struct loop_timer *timer;	/* the next fdatasync, or a retry */
	int dirfd, fd;
	char *name;
	dev_t dev;
	ino_t ino;
	off_t size, uncached;	/* behind our last byte; not cached below */
	struct jsonl fmt;
	struct buf out;
	bool torn;	/* the file ends within a line that `out` goes on with */
	bool failing;	/* the timer is armed for a retry */
	bool refused;	/* ready() is owed */
	bool reopen;
	/* synced <= written <= taken: in the buffer, in the file, on disk */
	uint64_t taken, written, synced;
	uint64_t taken_n;	/* events since synced */
	uint64_t last_sync_ms;
	struct sink_backoff backoff;
};

static void fail(struct sink_file *f, const char *what, const char *why);

/* Offset behind the last newline; -1: none within TAIL_MAX, or errno. */
static off_t
last_line(int fd, off_t size)
{
	char block[4096];
	off_t end = size, floor = size > TAIL_MAX ? size - TAIL_MAX : 0;

	while (end > floor) {
		off_t at = end - (off_t)sizeof(block);

		if (at < 0)
			at = 0;
		ssize_t n = pread(fd, block, (size_t)(end - at), at);

		if (n != (ssize_t)(end - at))
			return -1;
		const char *nl = memrchr(block, '\n', (size_t)n);

		if (nl != NULL)
			return at + (nl - block) + 1;
		end = at;
	}
	return floor == 0 ? 0 : -1;
}

/* True when the line that begins at `at` was begun by us. */
static bool
is_ours(int fd, off_t at)
{
	char head[sizeof(LINE_HEAD) - 1];
	ssize_t n = pread(fd, head, sizeof(head), at);

	return n > 0 && memcmp(head, LINE_HEAD, (size_t)n) == 0;
}

/* Makes the file end with a whole line. 0, or -1 and errno. */
static int
repair(struct sink_file *f, int fd, off_t size)
{
	off_t at;

	if (size == 0)
		return 0;
	at = last_line(fd, size);
	if (at == size)
		return 0;
	if (at < 0 || !is_ours(fd, at)) {
		log_warn("%s: ends within a line that is not ours: ended it",
		    f->name);
		return write(fd, "\n", 1) == 1 ? 0 : -1;
	}
	if (ftruncate(fd, at) != 0)
		return -1;
	log_warn("%s: cut off the unfinished last line, %lld bytes; its event "
	    "is written again", f->name, (long long)(size - at));
	return 0;
}

static int
open_checked(struct sink_file *f, int fd, const char **what_r)
{
	struct stat st;

	*what_r = "open";
	if (fstat(fd, &st) != 0)
		return -1;
	if (!S_ISREG(st.st_mode)) {
		*what_r = "not an ordinary file, name one";
		errno = EINVAL;
		return -1;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		*what_r = "another process has it locked";
		return -1;
	}
	*what_r = "repair of the last line";
	if (repair(f, fd, st.st_size) != 0)
		return -1;
	*what_r = "fsync of its directory";
	if (st.st_size == 0 && fsync(f->dirfd) != 0)
		return -1;
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	return 0;
}

static bool
open_file(struct sink_file *f)
{
	const char *what = "open";
	int fd = openat(f->dirfd, f->name, O_RDWR | O_APPEND | O_CREAT |
	    O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0640);

	if (fd < 0 && errno == ELOOP)
		what = "a symbolic link, name the file itself";
	if (fd < 0 || open_checked(f, fd, &what) != 0) {
		fail(f, what, strerror(errno));
		base_close(&fd);
		return false;
	}
	f->fd = fd;
	f->size = f->uncached = lseek(fd, 0, SEEK_END);
	f->reopen = false;
	f->s.stats.connects++;
	return true;
}

static void
on_ready(void *ctx)
{
	struct sink_file *f = ctx;

	if (f->out.len < SINK_FILE_BATCH && f->refused) {
		f->refused = false;
		f->s.hooks.ready(f->s.hooks.ctx);
	}
}

/* Everything since the last fdatasync has to be written again. */
static void
restart(struct sink_file *f)
{
	bool lost = f->taken != f->synced;

	base_close(&f->fd);
	buf_reset(&f->out);
	f->torn = false;
	f->taken = f->written = f->synced;
	f->taken_n = 0;
	if (lost)
		f->s.hooks.lost(f->s.hooks.ctx);
}

static void
fail(struct sink_file *f, const char *what, const char *why)
{
	uint64_t wait = sink_backoff_next(&f->backoff);

	f->s.stats.failures++;
	f->s.state = SINK_DOWN;
	f->failing = true;
	log_warn("%s: %s: %s; retry in %llu ms, events wait", f->name, what,
	    why, (unsigned long long)wait);
	loop_timer_set(f->timer, wait);
}

/* A log that only grows shall not push the ledger out of the page cache, nor
 * take new memory all the time. */
static void
uncache(struct sink_file *f)
{
	off_t to = f->size - SINK_FILE_CACHED;

	if (to - f->uncached < SINK_FILE_CACHED / 8)
		return;
	posix_fadvise(f->fd, f->uncached, to - f->uncached,
	    POSIX_FADV_DONTNEED);
	f->uncached = to;
}

static bool
sync_file(struct sink_file *f)
{
	if (f->written == f->synced)
		return true;
	if (fdatasync(f->fd) != 0) {
		fail(f, "fdatasync", strerror(errno));
		restart(f);
		return false;
	}
	f->last_sync_ms = clock_mono_ms();
	uncache(f);
	f->synced = f->written;
	if (f->taken == f->written) {
		f->s.stats.delivered += f->taken_n;
		f->taken_n = 0;
	}
	f->s.hooks.delivered(f->s.hooks.ctx, f->synced);
	return true;
}

/* True when another file (or none) has our name by now. */
static bool
rotated(struct sink_file *f)
{
	struct stat st;

	if (f->reopen)
		return true;
	if (fstatat(f->dirfd, f->name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT;
	return st.st_dev != f->dev || st.st_ino != f->ino;
}

/* A file to append to, at the beginning of a line. */
static bool
have_file(struct sink_file *f)
{
	if (f->fd >= 0 && !f->torn && rotated(f)) {
		if (!sync_file(f))
			return false;
		log_info("%s: rotated, going on in the new file", f->name);
		base_close(&f->fd);
	}
	return f->fd >= 0 || open_file(f);
}

static bool
write_out(struct sink_file *f)
{
	while (f->out.len > 0) {
		ssize_t n = write(f->fd, buf_data(&f->out), f->out.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			fail(f, "write", n < 0 ? strerror(errno) : "no progress");
			return false;
		}
		f->torn = buf_data(&f->out)[n - 1] != '\n';
		buf_consume(&f->out, (size_t)n);
		f->size += n;
		f->s.stats.bytes += (size_t)n;
	}
	f->written = f->taken;
	return true;
}

static void
sync_when_due(struct sink_file *f)
{
	uint64_t now = clock_mono_ms(), due;

	due = f->last_sync_ms + SINK_FILE_SYNC_MS;
	if (f->written == f->synced)
		return;
	if (now >= due)
		sync_file(f);
	else
		loop_timer_set(f->timer, due - now);
}

static bool
flush_now(struct sink_file *f)
{
	if (f->failing)
		return false;
	if (!have_file(f) || !write_out(f))
		return false;
	if (f->out.cap > 4 * SINK_FILE_BATCH)
		buf_free(&f->out);
	f->s.state = SINK_UP;
	sink_backoff_reset(&f->backoff);
	if (f->refused)
		loop_soon(f->loop, on_ready, f);
	return true;
}

static void
file_flush(struct sink *s)
{
	struct sink_file *f = container_of(s, struct sink_file, s);

	if (flush_now(f))
		sync_when_due(f);
}

static bool
file_finish(struct sink *s)
{
	struct sink_file *f = container_of(s, struct sink_file, s);

	if (flush_now(f))
		sync_file(f);
	return f->synced == f->taken;
}

static void
on_timer(void *ctx)
{
	struct sink_file *f = ctx;

	f->failing = false;
	file_flush(&f->s);
}

static enum sink_answer
file_write(struct sink *s, uint64_t seq, struct slice event)
{
	struct sink_file *f = container_of(s, struct sink_file, s);

	if (f->out.len >= SINK_FILE_BATCH ||
	    jsonl_format(&f->fmt, &f->out, seq, event) != 0) {
		f->refused = true;
		return SINK_FULL;
	}
	f->taken = seq;
	f->taken_n++;
	s->stats.taken++;
	s->stats.malformed = f->fmt.malformed;
	return SINK_TAKEN;
}

static void
file_reopen(struct sink *s)
{
	struct sink_file *f = container_of(s, struct sink_file, s);

	f->reopen = true;
	file_flush(s);
}

static void
file_close(struct sink *s)
{
	struct sink_file *f = container_of(s, struct sink_file, s);

	loop_timer_del(f->timer);
	loop_soon_cancel(f->loop, f);
	base_close(&f->fd);
	buf_free(&f->out);
	jsonl_free(&f->fmt);
	free(f->name);
	free(f);
}

static const struct sink_ops file_ops = {
	.write = file_write, .flush = file_flush, .finish = file_finish,
	.reopen = file_reopen, .close = file_close,
};

struct sink *
sink_file_new(struct loop *l, int dirfd, const char *name,
    const struct sink_hooks *hooks)
{
	struct sink_file *f = base_calloc(1, sizeof(*f));

	f->s.ops = &file_ops;
	f->s.hooks = *hooks;
	f->loop = l;
	f->timer = loop_timer_new(l, on_timer, f);
	f->dirfd = dirfd;
	f->fd = -1;
	f->name = base_strdup(name);
	jsonl_init(&f->fmt);
	buf_init(&f->out, SINK_FILE_BATCH + EVENT_MAX);
	if (open_file(f))
		f->s.state = SINK_UP;
	return &f->s;
}
