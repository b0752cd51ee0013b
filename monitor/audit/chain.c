/* chain - see chain.h. */
#include "chain.h"

#include <endian.h>
#include <inttypes.h>
#include <sqlite3.h>

void
chain_genesis(struct slice origin, uint8_t out[MERKLE_HASH])
{
	struct slice parts[2] = { SLICE("portreeve ledger origin 1\n"),
		origin };

	merkle_sha256(parts, 2, out);
}

void
chain_hash(const struct chain_row *r, uint8_t out[MERKLE_HASH])
{
	static const char domain[] = "\0portreeve ledger row 1\n";
	char head[sizeof(domain) - 1 + 8 + 16 + 16 + MERKLE_HASH + 8];
	uint64_t seq = htobe64(r->seq), n = htobe64((uint64_t)r->body.n);
	char *p = head;

	/* The domain's first byte is the leaf prefix of RFC 6962. */
	p = mempcpy(p, domain, sizeof(domain) - 1);
	p = mempcpy(p, &seq, 8);
	p = mempcpy(p, r->id.b, 16);
	p = mempcpy(p, r->call.b, 16);
	p = mempcpy(p, r->prev, MERKLE_HASH);
	p = mempcpy(p, &n, 8);
	struct slice parts[2] = { slice_make(head, (size_t)(p - head)),
		r->body };

	merkle_sha256(parts, 2, out);
}

static bool
read_blob(sqlite3_stmt *s, int col, void *out, int n)
{
	if (sqlite3_column_type(s, col) != SQLITE_BLOB ||
	    sqlite3_column_bytes(s, col) != n)
		return false;
	memcpy(out, sqlite3_column_blob(s, col), (size_t)n);
	return true;
}

static bool
read_text(sqlite3_stmt *s, int col, struct slice *out)
{
	if (sqlite3_column_type(s, col) != SQLITE_TEXT)
		return false;
	const void *p = sqlite3_column_text(s, col);

	*out = slice_make(p, (size_t)sqlite3_column_bytes(s, col));
	return p != NULL;
}

int
chain_read(sqlite3_stmt *s, struct chain_row *r_r, struct err *err)
{
	struct chain_row r = { 0 };
	const char *bad = NULL;

	r.seq = (uint64_t)sqlite3_column_int64(s, 0);
	if (!read_blob(s, 1, r.id.b, 16))
		bad = "id";
	else if (sqlite3_column_type(s, 2) != SQLITE_NULL &&
	    (!read_blob(s, 2, r.call.b, 16) || entry_uuid_is_zero(r.call)))
		bad = "call";
	else if (sqlite3_column_type(s, 3) != SQLITE_INTEGER)
		bad = "time";
	else if (!read_text(s, 4, &r.type))
		bad = "type";
	else if (!read_blob(s, 5, r.prev, MERKLE_HASH))
		bad = "prev";
	else if (!read_blob(s, 6, r.hash, MERKLE_HASH))
		bad = "hash";
	else if (!read_text(s, 7, &r.body))
		bad = "body";
	if (bad != NULL) {
		err_set(err, "column %s has not the form the recorder writes",
		    bad);
		return -1;
	}
	r.time = sqlite3_column_int64(s, 3);
	*r_r = r;
	return 0;
}

int
chain_check_columns(const struct chain_row *r, struct json_doc *doc,
    struct err *err)
{
	struct err why = { 0 };
	const char *bad = NULL;
	struct entry e;

	if (entry_parse(doc, r->body, &e, &why) != 0) {
		err_set(err, "its body is no event: %s", why.text);
		return -1;
	}
	if (!uuid_eq(e.id, r->id))
		bad = "id";
	else if (e.time != r->time)
		bad = "time";
	else if (!slice_eq(e.type, r->type))
		bad = "type";
	else if (!entry_uuid_is_zero(e.call) && !uuid_eq(e.call, r->call))
		bad = "call";
	if (bad == NULL)
		return 0;
	err_set(err, "column %s disagrees with the body", bad);
	return -1;
}
