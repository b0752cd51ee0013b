/*
 * verify - see verify.h.
 *
 * Which of two neighbours is bad when row k does not name row k-1's hash? If
 * k's own hash is right for the prev it names, the recorder wrote k behind
 * another row: k-1 was replaced, unless a signed checkpoint vouches for k-1.
 * If k's hash is right for the prev it should name, only its column was
 * touched.
 */
#include "verify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "chain.h"
#include "ledgerdb.h"

#define PROGRESS_ROWS 4096

struct run {
	struct sqlite3 *db;
	const struct verify_options *o;
	struct verify_report *rep;
	char *origin;
	struct merkle tree;
	uint8_t prev[MERKLE_HASH];
	struct json_doc doc;
	struct buf note;
	sqlite3_stmt *rows, *points, *peek;
	bool more_points;		/* points stands on one not yet met */
	uint64_t awaited;		/* row that must carry awaited_note */
	struct buf awaited_note;
	uint64_t sound;			/* rows vouched for by a signature */
	size_t next_anchor;
};

static int
bad(struct run *v, uint64_t first, uint64_t last, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

static int
bad(struct run *v, uint64_t first, uint64_t last, const char *fmt, ...)
{
	char text[900];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	v->rep->bad_first = first;
	v->rep->bad_last = last;
	err_set(&v->rep->why, "%s", text);
	return -1;
}

static int
bad_sql(struct run *v, uint64_t row)
{
	return bad(v, row, row, "the database file is damaged here: %s",
	    sqlite3_errmsg(v->db));
}

/* Does row seq name h as its predecessor's hash? */
static bool
next_names(struct run *v, uint64_t seq, const uint8_t h[MERKLE_HASH])
{
	bool yes;

	sqlite3_bind_int64(v->peek, 1, (int64_t)seq);
	yes = sqlite3_step(v->peek) == SQLITE_ROW &&
	    sqlite3_column_bytes(v->peek, 0) == MERKLE_HASH &&
	    memcmp(sqlite3_column_blob(v->peek, 0), h, MERKLE_HASH) == 0;
	sqlite3_reset(v->peek);
	return yes;
}

static int
check_link(struct run *v, const struct chain_row *r)
{
	struct chain_row fixed = *r;
	uint8_t own[MERKLE_HASH], should[MERKLE_HASH];
	uint64_t k = r->seq;

	if (memcmp(r->prev, v->prev, MERKLE_HASH) == 0) {
		chain_hash(r, own);
		if (memcmp(own, r->hash, MERKLE_HASH) == 0)
			return 0;
		if (next_names(v, k + 1, own))
			return bad(v, k, k, "its stored hash was changed (the "
			    "content still has the hash the next row names)");
		return bad(v, k, k, "its content does not have its hash: it "
		    "was changed, inserted or moved after it was recorded");
	}
	chain_hash(r, own);
	memcpy(fixed.prev, v->prev, MERKLE_HASH);
	chain_hash(&fixed, should);
	if (memcmp(should, r->hash, MERKLE_HASH) == 0)
		return bad(v, k, k, "its link to the row before was changed");
	if (memcmp(own, r->hash, MERKLE_HASH) == 0 && k > 1 &&
	    v->sound < k - 1)
		return bad(v, k - 1, k, "row %" PRIu64 " was recorded behind "
		    "another row than the one that is there: row %" PRIu64
		    " was replaced", k, k - 1);
	return bad(v, k, k, "it does not follow the row before: it was "
	    "changed, inserted or moved, or is of another history");
}

static int
check_row(struct run *v, uint64_t expect)
{
	struct chain_row r;
	struct err why = { 0 };

	uint64_t seq = (uint64_t)sqlite3_column_int64(v->rows, 0);

	if (seq != expect) {
		if ((int64_t)seq < (int64_t)expect)
			return bad(v, seq, seq, "a row of a number the "
			    "recorder never gives");
		return bad(v, expect, seq - 1, seq - 1 == expect ?
		    "it is missing" : "rows are missing");
	}
	if (chain_read(v->rows, &r, &why) != 0)
		return bad(v, expect, expect, "%s", why.text);
	if (check_link(v, &r) != 0)
		return -1;
	if (chain_check_columns(&r, &v->doc, &why) != 0)
		return bad(v, expect, expect, "%s", why.text);
	memcpy(v->prev, r.hash, MERKLE_HASH);
	merkle_add(&v->tree, r.hash);
	v->rep->rows = expect;
	if (!slice_is(r.type, "ledger.checkpoint")) {
		if (v->awaited == expect)
			return bad(v, expect, expect, "the table of "
			    "checkpoints names it as one, but it is another "
			    "event");
		return 0;
	}
	buf_reset(&v->note);
	if (json_decode(&v->doc, json_member(&v->doc, 0, "checkpoint"),
	    &v->note) != 0 || v->awaited != expect ||
	    !slice_eq(buf_slice(&v->note), buf_slice(&v->awaited_note)))
		return bad(v, expect, expect, "it carries a checkpoint that "
		    "the table of checkpoints does not have");
	v->awaited = 0;
	return 0;
}

static int
check_root(struct run *v, const uint8_t root[MERKLE_HASH], const char *what)
{
	uint8_t now[MERKLE_HASH];
	uint64_t first = v->sound + 1, last = v->tree.size;

	merkle_root(&v->tree, now);
	if (memcmp(now, root, MERKLE_HASH) == 0)
		return 0;
	return bad(v, first > last ? last : first, last, "%s of %" PRIu64
	    " rows was signed over other rows than these: the first bad row "
	    "is among %" PRIu64 " to %" PRIu64, what, last,
	    first > last ? last : first, last);
}

static int
step_points(struct run *v)
{
	int r = sqlite3_step(v->points);

	v->more_points = r == SQLITE_ROW;
	if (r == SQLITE_ROW || r == SQLITE_DONE)
		return 0;
	return bad(v, v->rep->rows, v->rep->rows, "the table of checkpoints "
	    "is damaged: %s", sqlite3_errmsg(v->db));
}

/* points stands on the checkpoint of as many rows as the tree has. */
static int
check_point(struct run *v)
{
	sqlite3_stmt *s = v->points;
	uint64_t n = v->tree.size, seq = (uint64_t)sqlite3_column_int64(s, 1);
	struct slice root = slice_make(sqlite3_column_blob(s, 2),
	    (size_t)sqlite3_column_bytes(s, 2));
	struct slice stack = slice_make(sqlite3_column_blob(s, 3),
	    (size_t)sqlite3_column_bytes(s, 3));
	struct slice note = slice_make(sqlite3_column_text(s, 4),
	    (size_t)sqlite3_column_bytes(s, 4));
	struct checkpoint c;
	struct err why = { 0 };

	if (checkpoint_parse(note, &c, &why) != 0 ||
	    checkpoint_verify(&c, v->o->keys, &why) != 0)
		return bad(v, v->sound + 1, n, "the checkpoint of %" PRIu64
		    " rows is not genuine: %s", n, why.text);
	if (c.size != n || !slice_is(c.origin, v->origin) ||
	    !slice_eq(root, slice_make(c.root, MERKLE_HASH)))
		return bad(v, v->sound + 1, n, "the checkpoint stored for "
		    "%" PRIu64 " rows is of something else", n);
	if (check_root(v, c.root, "the checkpoint") != 0)
		return -1;
	if (!slice_eq(stack, merkle_stack(&v->tree)))
		return bad(v, n, n, "the tree stored with the checkpoint of %"
		    PRIu64 " rows was changed", n);
	if (seq <= n || v->awaited != 0)
		return bad(v, n, n, "the checkpoint of %" PRIu64 " rows names "
		    "a row that cannot carry it", n);
	v->awaited = seq;
	buf_reset(&v->awaited_note);
	buf_add_slice(&v->awaited_note, note);
	v->sound = n;
	v->rep->signed_size = n;
	v->rep->checkpoints++;
	return step_points(v);
}

static int
check_heads(struct run *v)
{
	const struct anchors *a = v->o->anchors;
	uint64_t n = v->tree.size;
	uint64_t sound = v->sound;

	/* An anchor first: it names the narrower range when both fail. */
	while (a != NULL && v->next_anchor < a->n &&
	    a->v[v->next_anchor].size == n) {
		char what[64];

		snprintf(what, sizeof(what), "the anchor in line %" PRIu64,
		    a->v[v->next_anchor].line);
		/* What this ledger's own checkpoints vouch for is not sound
		 * when it is forked: only anchors narrow the range. */
		v->sound = v->rep->anchored_size;
		if (check_root(v, a->v[v->next_anchor].root, what) != 0)
			return -1;
		v->sound = sound > n ? sound : n;
		v->rep->anchored_size = n;
		v->rep->anchors++;
		v->next_anchor++;
	}
	while (v->more_points &&
	    (uint64_t)sqlite3_column_int64(v->points, 0) == n)
		if (check_point(v) != 0)
			return -1;
	return 0;
}

static int
check_end(struct run *v)
{
	const struct anchors *a = v->o->anchors;
	uint64_t n = v->rep->rows;

	if (v->more_points)
		return bad(v, n + 1, (uint64_t)sqlite3_column_int64(v->points,
		    0), "the ledger ends before it, but a checkpoint covers "
		    "%lld rows: it was truncated",
		    sqlite3_column_int64(v->points, 0));
	if (v->awaited != 0)
		return bad(v, n + 1, v->awaited, "the ledger ends before it, "
		    "but row %" PRIu64 " carries a checkpoint: it was "
		    "truncated", v->awaited);
	if (a != NULL && v->next_anchor < a->n) {
		uint64_t most = a->v[a->n - 1].size;

		return bad(v, n + 1, most, "the ledger ends before it, but "
		    "the anchor in line %" PRIu64 " covers %" PRIu64 " rows: "
		    "it was truncated or rolled back",
		    a->v[a->n - 1].line, most);
	}
	return 0;
}

static int
check_rows(struct run *v)
{
	int64_t total = 0;
	int r;

	(void)!ledgerdb_int(v->db, "SELECT max(seq) FROM rows", &total,
	    &(struct err){ 0 });
	chain_genesis(slice_str(v->origin), v->prev);
	if (step_points(v) != 0 || check_heads(v) != 0)
		return -1;
	for (uint64_t k = 1; (r = sqlite3_step(v->rows)) == SQLITE_ROW; k++) {
		if (check_row(v, k) != 0 || check_heads(v) != 0)
			return -1;
		if (v->o->progress != NULL && k % PROGRESS_ROWS == 0)
			v->o->progress(v->o->ctx, k, (uint64_t)total);
	}
	if (r != SQLITE_DONE)
		return bad_sql(v, v->rep->rows + 1);
	return check_end(v);
}

/* Rows are read in the table's own order: a forged index has no say. */
static int
prepare(struct run *v, struct err *err)
{
	v->rows = ledgerdb_prepare(v->db, "SELECT " CHAIN_COLUMNS " FROM rows "
	    "NOT INDEXED ORDER BY seq", err);
	v->points = ledgerdb_prepare(v->db, "SELECT size, seq, root, stack, "
	    "note FROM checkpoints ORDER BY size", err);
	v->peek = ledgerdb_prepare(v->db, "SELECT prev FROM rows WHERE "
	    "seq = ?", err);
	return v->rows == NULL || v->points == NULL || v->peek == NULL ? -1 : 0;
}

static void
verdict(struct run *v)
{
	struct verify_report *rep = v->rep;

	memcpy(rep->head, v->prev, MERKLE_HASH);
	merkle_root(&v->tree, rep->root);
	rep->verdict = rep->anchors > 0 ? VERIFY_GOOD : VERIFY_UNANCHORED;
}

int
verify_run(struct sqlite3 *db, const struct verify_options *o,
    struct verify_report *rep, struct err *err)
{
	struct run v = { .db = db, .o = o, .rep = rep };
	int64_t npoints = 0;
	int r = -1;

	*rep = (struct verify_report){ 0 };
	json_init(&v.doc);
	buf_init(&v.note, CHECKPOINT_NOTE_MAX);
	buf_init(&v.awaited_note, CHECKPOINT_NOTE_MAX);
	if (ledgerdb_exec(db, "BEGIN", err) != 0)
		goto out;
	r = 0;
	if (ledgerdb_check_schema(db, &rep->why) != 0 ||
	    (v.origin = ledgerdb_origin(db, &rep->why)) == NULL ||
	    prepare(&v, &rep->why) != 0 ||
	    ledgerdb_int(db, "SELECT count(*) FROM checkpoints", &npoints,
	    &rep->why) != 0)
		goto out;
	if (npoints > 0 && o->keys == NULL) {
		err_set(err, "the ledger has signed checkpoints but no key to "
		    "check them was given");
		r = -1;
		goto out;
	}
	if (check_rows(&v) == 0)
		verdict(&v);
out:
	sqlite3_finalize(v.rows);
	sqlite3_finalize(v.points);
	sqlite3_finalize(v.peek);
	if (sqlite3_get_autocommit(db) == 0)
		(void)!ledgerdb_exec(db, "ROLLBACK", &(struct err){ 0 });
	json_free(&v.doc);
	buf_free(&v.note);
	buf_free(&v.awaited_note);
	free(v.origin);
	return r;
}
