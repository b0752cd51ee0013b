/*
 * reader - the role that reads the ledger for those who lag behind.
 *
 * Promise: reading below the directory "state", the sockets it was given;
 * nothing is writable, so the shared memory of the WAL is mapped read-only.
 *
 * Each READ_RANGE is one short read transaction: a long one would keep the
 * recorder's WAL from being reused. An answer is bounded in rows, bytes and
 * by what the consumer has not read yet; READ_DONE says where to go on.
 */
#include "reader.h"

#include <inttypes.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "chain.h"
#include "chan.h"
#include "ledgerdb.h"
#include "list.h"
#include "log.h"
#include "pack.h"

#define ROWS_MAX 1000
#define BYTES_MAX (2u << 20)		/* of one answer, or one row */
#define QUEUE_MAX (16u << 20)
#define QUEUE_PAUSE (4u << 20)		/* above it no more is asked */
#define RETRY_MS 200			/* after an error */
#define ROOM_MS 5			/* while a consumer's queue drains */

struct reader {
	struct role_env *env;
	char dir[PATH_MAX];
	struct sqlite3 *db;		/* NULL: not there yet */
	sqlite3_stmt *range, *head;
	struct list consumers;
	struct loop_timer *retry;
	unsigned failures;
};

struct consumer {
	struct list link;
	struct reader *r;
	enum role role;
	unsigned index;
	struct chan *chan;
	bool waiting;			/* the request below has no answer */
	uint64_t q, from;
	uint32_t max;
};

static void
close_db(struct reader *r)
{
	sqlite3_finalize(r->range);
	sqlite3_finalize(r->head);
	ledgerdb_close(r->db);
	r->range = r->head = NULL;
	r->db = NULL;
}

static int
open_db(struct reader *r, struct err *err)
{
	bool absent;
	char *origin;

	if (r->db != NULL)
		return 0;
	if ((r->db = ledgerdb_open_read(r->dir, &absent, err)) == NULL)
		return -1;
	/* The recorder may be about to make its tables. */
	if ((origin = ledgerdb_origin(r->db, err)) == NULL)
		goto fail;
	free(origin);
	r->range = ledgerdb_prepare(r->db, "SELECT seq, id, body FROM rows "
	    "WHERE seq >= ? ORDER BY seq LIMIT ?", err);
	r->head = ledgerdb_prepare(r->db, "SELECT max(seq) FROM rows", err);
	if (r->range != NULL && r->head != NULL)
		return 0;
fail:
	close_db(r);
	return -1;
}

/* 1: sent; 0: enough for this answer. */
static int
send_next(struct consumer *c, size_t *bytes)
{
	sqlite3_stmt *s = c->r->range;
	size_t n = (size_t)sqlite3_column_bytes(s, 2);
	struct buf *b;

	if (*bytes > 0 && *bytes + n > BYTES_MAX)
		return 0;
	if ((b = chan_begin(c->chan, MSG_FEED_ROW)) == NULL)
		return 0;
	pack_u64(b, (uint64_t)sqlite3_column_int64(s, 0));
	pack_bytes(b, sqlite3_column_blob(s, 1), 16);
	pack_slice(b, slice_make(sqlite3_column_text(s, 2), n));
	if (chan_end(c->chan) != 0)
		return 0;
	*bytes += n;
	return 1;
}

/* The head is read first and in the same transaction as the rows, so that
 * next == head + 1 means level. -1: SQLite's error. */
static int
send_range(struct consumer *c, uint64_t *next_r, uint64_t *head_r)
{
	struct reader *r = c->r;
	size_t bytes = 0;
	uint64_t next = c->from;
	int step;

	step = sqlite3_step(r->head);
	if (step == SQLITE_ROW)
		*head_r = (uint64_t)sqlite3_column_int64(r->head, 0);
	if (step != SQLITE_ROW)
		return -1;
	sqlite3_bind_int64(r->range, 1, (int64_t)c->from);
	sqlite3_bind_int64(r->range, 2, c->max);
	while ((step = sqlite3_step(r->range)) == SQLITE_ROW) {
		uint64_t seq = (uint64_t)sqlite3_column_int64(r->range, 0);

		if (sqlite3_column_bytes(r->range, 1) != 16)
			return -1;
		if (send_next(c, &bytes) == 0)
			break;
		next = seq + 1;
	}
	*next_r = next;
	return step == SQLITE_ROW || step == SQLITE_DONE ? 0 : -1;
}

static int
answer_now(struct consumer *c, struct err *err)
{
	struct reader *r = c->r;
	uint64_t next = 0, head = 0;
	int ret;

	if (open_db(r, err) != 0)
		return -1;
	if (ledgerdb_exec(r->db, "BEGIN", err) != 0)
		return -1;
	if ((ret = send_range(c, &next, &head)) != 0)
		err_set(err, "row %" PRIu64 " or behind it: %s", c->from,
		    sqlite3_errmsg(r->db));
	sqlite3_reset(r->head);
	sqlite3_reset(r->range);
	if (ledgerdb_exec(r->db, "COMMIT", err) != 0 || ret != 0)
		return -1;
	struct buf *b = chan_begin(c->chan, MSG_READ_DONE);

	if (b != NULL) {
		pack_u64(b, c->q);
		pack_u64(b, next);
		pack_u64(b, head);
	}
	if (b == NULL || chan_end(c->chan) != 0) {
		/* Rows are sent, the end is not: ask again when there is
		 * room; the consumer knows rows by their seq. */
		c->from = next;
		return 0;
	}
	c->waiting = false;
	return 0;
}

static void
answer(struct consumer *c)
{
	struct reader *r = c->r;
	struct err err = { 0 };
	uint64_t again_ms = ROOM_MS;

	if (c->waiting && chan_queued(c->chan) <= QUEUE_PAUSE) {
		if (answer_now(c, &err) == 0) {
			r->failures = 0;
		} else {
			/* The first time is a recorder that is still making
			 * the file. */
			if (r->failures++ % 50 == 1)
				log_warn("the ledger cannot be read, tried "
				    "again: %s", err.text);
			close_db(r);
			again_ms = RETRY_MS;
		}
	}
	bool pause = c->waiting || chan_queued(c->chan) > QUEUE_PAUSE;

	chan_pause(c->chan, pause);
	if (pause)
		loop_timer_set(r->retry, again_ms);
}

static void
on_retry(void *ctx)
{
	struct reader *r = ctx;

	list_each_safe(it, tmp, &r->consumers)
		answer(list_entry(it, struct consumer, link));
}

static int
on_msg(void *ctx, struct chan *ch, enum msg_type type, struct slice body,
    int fd)
{
	struct consumer *c = ctx;
	struct unpack u;

	(void)ch;
	unpack_init(&u, body);
	if (fd >= 0) {
		base_close(&fd);
		return -1;
	}
	if (type == MSG_HELLO) {
		unsigned role = unpack_u8(&u), index = unpack_u8(&u);
		unsigned version = unpack_u16(&u);

		return unpack_done(&u) && role == c->role &&
		    index == c->index && version == MSG_VERSION ? 0 : -1;
	}
	if (type != MSG_READ_RANGE || c->waiting)
		return -1;
	c->q = unpack_u64(&u);
	c->from = unpack_u64(&u);
	c->max = unpack_u32(&u);
	if (!unpack_done(&u) || c->from > INT64_MAX)
		return -1;
	if (c->max == 0 || c->max > ROWS_MAX)
		c->max = ROWS_MAX;
	c->waiting = true;
	answer(c);
	return 0;
}

static void
consumer_gone(struct consumer *c)
{
	list_remove(&c->link);
	chan_free(c->chan);
	free(c);
}

static void
on_close(void *ctx, struct chan *ch)
{
	(void)ch;
	consumer_gone(ctx);
}

static void
reader_channel(struct role_env *env, enum role peer, unsigned index, int fd)
{
	struct reader *r = env->ctx;
	struct consumer *c;

	if (peer != ROLE_DETECTOR && peer != ROLE_EXPORTER) {
		log_error("a channel from %s: not expected here",
		    role_name(peer));
		base_close(&fd);
		return;
	}
	list_each_safe(it, tmp, &r->consumers) {
		c = list_entry(it, struct consumer, link);
		if (c->role == peer && c->index == index)
			consumer_gone(c);	/* it was restarted */
	}
	c = base_calloc(1, sizeof(*c));
	c->r = r;
	c->role = peer;
	c->index = index;
	list_append(&r->consumers, &c->link);
	c->chan = chan_new(env->loop, fd, QUEUE_MAX, on_msg, on_close, c);
}

static int
reader_setup(struct role_env *env, struct err *err)
{
	struct reader *r = base_calloc(1, sizeof(*r));
	char link[64];
	ssize_t n;
	int fd = role_dir(env, "state");

	env->ctx = r;
	r->env = env;
	list_init(&r->consumers);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = fd < 0 ? -1 : readlink(link, r->dir, sizeof(r->dir) - 1);
	if (n <= 0) {
		err_set(err, "reader: was given no directory \"state\"");
		return -1;
	}
	r->dir[n] = '\0';
	return 0;
}

static void
reader_promise(struct role_env *env, struct sandbox_promise *p)
{
	p->rights = SANDBOX_FILES;
	p->dirs[p->ndirs++] = (struct sandbox_dir){ role_dir(env, "state"),
		false };
}

static void
reader_start(struct role_env *env)
{
	struct reader *r = env->ctx;

	r->retry = loop_timer_new(env->loop, on_retry, r);
}

const struct role_def reader_role = {
	.role = ROLE_READER,
	.setup = reader_setup,
	.promise = reader_promise,
	.start = reader_start,
	.channel = reader_channel,
};
