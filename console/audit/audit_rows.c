/*
 * audit_rows - `audit tail` and `audit search`.
 *
 * Reads in short transactions of a page each: a long one would keep the
 * recorder from reusing its WAL.
 */
#include <inttypes.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <time.h>

#include "audit_view.h"
#include "ledgerdb.h"

#define PAGE 1000
#define FOLLOW_MS 200
/* Rows stand in the order they were recorded; one may be resent late. */
#define SINCE_SLACK_MS 3600000

static void
print_one(const struct audit_args *a, const struct chain_row *r,
    struct json_doc *doc)
{
	if (!a->json) {
		audit_print_row(stdout, r, doc);
		return;
	}
	fwrite(r->body.p, 1, r->body.n, stdout);
	fputc('\n', stdout);
}

static int
complain(const struct audit_args *a, const struct err *err)
{
	fprintf(stderr, "portreeve audit: %s/" LEDGERDB_FILE ": %s\n", a->dir,
	    err->text);
	return AUDIT_USAGE;
}

/* Prints rows from *next on, at most PAGE; -1 on error, else how many. */
static int
print_page(const struct audit_args *a, sqlite3_stmt *s, uint64_t *next,
    struct json_doc *doc, struct err *err)
{
	int n = 0, r;

	sqlite3_bind_int64(s, 1, (int64_t)*next);
	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		struct chain_row row;

		if (chain_read(s, &row, err) != 0)
			break;
		print_one(a, &row, doc);
		*next = row.seq + 1;
		n++;
	}
	if (r != SQLITE_DONE)
		err_set(err, "%s", sqlite3_errmsg(a->db));
	sqlite3_reset(s);
	return err->set ? -1 : n;
}

int
audit_tail(const struct audit_args *a)
{
	struct timespec pause = { 0, FOLLOW_MS * 1000000L };
	int64_t count = a->count > 0 ? a->count : 20, head = 0;
	struct json_doc doc;
	struct err err = { 0 };
	sqlite3_stmt *s;
	uint64_t next;
	int n = 0;

	if (ledgerdb_int(a->db, "SELECT max(seq) FROM rows", &head, &err) != 0)
		return complain(a, &err);
	s = ledgerdb_prepare(a->db, "SELECT " CHAIN_COLUMNS " FROM rows WHERE "
	    "seq >= ? ORDER BY seq LIMIT 1000", &err);
	if (s == NULL)
		return complain(a, &err);
	json_init(&doc);
	next = head > count ? (uint64_t)(head - count + 1) : 1;
	while (n >= 0 && !ferror(stdout)) {
		n = print_page(a, s, &next, &doc, &err);
		if (n == PAGE)
			continue;
		fflush(stdout);
		if (!a->follow)
			break;
		nanosleep(&pause, NULL);
	}
	json_free(&doc);
	sqlite3_finalize(s);
	return n < 0 ? complain(a, &err) : AUDIT_OK;
}

static bool
field_is(const struct json_doc *doc, const char *key, const char *want)
{
	return want == NULL ||
	    json_str_is(doc, json_member(doc, 0, key), want);
}

static bool
has_text(struct slice body, struct slice text)
{
	for (size_t i = 0; i + text.n <= body.n; i++)
		if (slice_eq_nocase(slice_sub(body, i, text.n), text))
			return true;
	return false;
}

static bool
matches(const struct audit_args *a, const struct chain_row *r,
    struct json_doc *doc)
{
	if (a->type != NULL && !slice_is(r->type, a->type))
		return false;
	if (a->since != INT64_MIN && r->time < a->since)
		return false;
	if (a->text != NULL && !has_text(r->body, slice_str(a->text)))
		return false;
	if (a->connector == NULL && a->tool == NULL && a->user == NULL &&
	    a->agent == NULL && a->verdict == NULL)
		return true;
	return json_index(doc, r->body, NULL) == JSON_OK &&
	    field_is(doc, "connector", a->connector) &&
	    field_is(doc, "tool", a->tool) &&
	    field_is(doc, "user", a->user) &&
	    field_is(doc, "agent", a->agent) &&
	    field_is(doc, "verdict", a->verdict);
}

struct found {
	uint64_t *seq;
	size_t n, cap;
};

static void
found_add(struct found *f, uint64_t seq)
{
	if (f->n == f->cap) {
		f->cap = f->cap == 0 ? 256 : f->cap * 2;
		f->seq = base_realloc(f->seq, f->cap * sizeof(*f->seq));
	}
	f->seq[f->n++] = seq;
}

/* Newest first, until there are enough or they are too old. One page;
 * *before is the seq to go on below, 0 at the end. */
static int
find_page(const struct audit_args *a, sqlite3_stmt *s, uint64_t *before,
    struct found *f, struct json_doc *doc, struct err *err)
{
	bool more = false;
	int n = 0, r;

	sqlite3_bind_int64(s, 1, (int64_t)*before);
	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		struct chain_row row;

		if (chain_read(s, &row, err) != 0) {
			err_set(err, "row %lld", sqlite3_column_int64(s, 0));
			break;
		}
		*before = row.seq;
		more = ++n == PAGE;
		if (a->since != INT64_MIN &&
		    row.time < a->since - SINCE_SLACK_MS) {
			more = false;
			break;
		}
		if (matches(a, &row, doc))
			found_add(f, row.seq);
		if (a->count > 0 && f->n == (size_t)a->count) {
			more = false;
			break;
		}
	}
	if (r != SQLITE_DONE && r != SQLITE_ROW)
		err_set(err, "%s", sqlite3_errmsg(a->db));
	sqlite3_reset(s);
	if (!more)
		*before = 0;
	return err->set ? -1 : 0;
}

static int
print_found(const struct audit_args *a, const struct found *f,
    struct json_doc *doc, struct err *err)
{
	sqlite3_stmt *s = ledgerdb_prepare(a->db, "SELECT " CHAIN_COLUMNS
	    " FROM rows WHERE seq = ?", err);

	if (s == NULL)
		return -1;
	for (size_t i = f->n; i-- > 0 && !err->set && !ferror(stdout);) {
		struct chain_row row;

		sqlite3_bind_int64(s, 1, (int64_t)f->seq[i]);
		if (sqlite3_step(s) != SQLITE_ROW)
			err_set(err, "row %" PRIu64 ": %s", f->seq[i],
			    sqlite3_errmsg(a->db));
		else if (chain_read(s, &row, err) == 0)
			print_one(a, &row, doc);
		sqlite3_reset(s);
	}
	sqlite3_finalize(s);
	return err->set ? -1 : 0;
}

int
audit_search(const struct audit_args *a)
{
	struct found f = { 0 };
	struct json_doc doc;
	struct err err = { 0 };
	uint64_t before = INT64_MAX;
	sqlite3_stmt *s = ledgerdb_prepare(a->db, "SELECT " CHAIN_COLUMNS
	    " FROM rows WHERE seq < ? ORDER BY seq DESC LIMIT 1000", &err);

	if (s == NULL)
		return complain(a, &err);
	json_init(&doc);
	while (before > 0)
		if (find_page(a, s, &before, &f, &doc, &err) != 0)
			break;
	sqlite3_finalize(s);
	if (!err.set)
		(void)!print_found(a, &f, &doc, &err);
	size_t n = f.n;

	json_free(&doc);
	free(f.seq);
	if (err.set)
		return complain(a, &err);
	if (n == 0)
		fprintf(stderr, "nothing matches\n");
	return n == 0 ? AUDIT_NOT : AUDIT_OK;
}
