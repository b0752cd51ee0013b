/*
 * audit_show - `audit show CALL`: one call from asking to answer. Who asked,
 * what the model was given, tool, parameters, result, approver, identities,
 * rule hits, verdict and why, timings, and the rows that prove it.
 */
#include <inttypes.h>
#include <sqlite3.h>
#include <stdlib.h>

#include "audit_view.h"
#include "clock.h"
#include "codec.h"
#include "jsonw.h"
#include "ledgerdb.h"

#define CANDIDATES 11
#define FINDING_ROWS 20000	/* behind the call, searched for findings */
#define ROWS_MAX 1000
#define PLACE 14		/* width of the names at the left */

struct event {
	struct chain_row row;
	struct json_doc doc;
	char *body;		/* row.body and row.type point here */
	char *type;
};

struct view {
	const struct audit_args *a;
	struct event *ev;
	size_t n;
	struct uuid call;
	struct buf b;
};

/* --- which call --------------------------------------------------------- */

/* Lower-case hex digits of an id or a part of one, dashes left out. */
static bool
normalise(const char *s, char out[33])
{
	size_t n = 0;

	for (; *s != '\0'; s++) {
		char c = *s >= 'A' && *s <= 'F' ? (char)(*s + 32) : *s;

		if (c == '-')
			continue;
		if (n == 32 || !((c >= '0' && c <= '9') ||
		    (c >= 'a' && c <= 'f')))
			return false;
		out[n++] = c;
	}
	out[n] = '\0';
	return n >= 6;
}

static void
bound(const char *hex, char fill, uint8_t out[16])
{
	char full[33];
	size_t n = strlen(hex);

	memset(full, fill, 32);
	full[32] = '\0';
	memcpy(full, hex, n);
	ASSERT(hex_decode(slice_make(full, 32), out, 16));
}

static int
collect(struct view *v, const char *sql, const char *hex, struct uuid *c,
    size_t *n, struct err *err)
{
	sqlite3_stmt *s = ledgerdb_prepare(v->a->db, sql, err);
	uint8_t lo[16], hi[16];
	char like[64];
	int r;

	if (s == NULL)
		return -1;
	bound(hex, '0', lo);
	bound(hex, 'f', hi);
	snprintf(like, sizeof(like), "%%%s", hex);
	sqlite3_bind_blob(s, 1, lo, 16, SQLITE_TRANSIENT);
	sqlite3_bind_blob(s, 2, hi, 16, SQLITE_TRANSIENT);
	sqlite3_bind_text(s, 3, like, -1, SQLITE_TRANSIENT);
	while ((r = sqlite3_step(s)) == SQLITE_ROW && *n < CANDIDATES) {
		struct uuid u;
		bool seen = false;

		if (sqlite3_column_bytes(s, 0) != 16)
			continue;
		memcpy(u.b, sqlite3_column_blob(s, 0), 16);
		for (size_t i = 0; i < *n; i++)
			seen = seen || uuid_eq(c[i], u);
		if (!seen)
			c[(*n)++] = u;
	}
	if (r != SQLITE_ROW && r != SQLITE_DONE)
		err_set(err, "%s", sqlite3_errmsg(v->a->db));
	sqlite3_finalize(s);
	return err->set ? -1 : 0;
}

static int
ambiguous(const char *given, const struct uuid *c, size_t n)
{
	char text[UUID_TEXT_LEN];

	fprintf(stderr, "portreeve audit: %s fits %s calls: give more of it\n",
	    given, n == CANDIDATES ? "more than ten" : "several");
	for (size_t i = 0; i < n && i < CANDIDATES - 1; i++) {
		uuid_format(c[i], text);
		fprintf(stderr, "  %s\n", text);
	}
	return AUDIT_NOT;
}

/* AUDIT_OK and v->call, or the exit status after it was explained. */
static int
find_call(struct view *v, struct err *err)
{
	static const char *const by[] = {
		"SELECT DISTINCT call FROM rows WHERE call >= ?1 AND call <= "
		    "?2 AND ?3 <> ''",
		"SELECT DISTINCT call FROM rows WHERE call IS NOT NULL AND "
		    "?1 <> ?2 AND lower(hex(call)) LIKE ?3",
		"SELECT DISTINCT call FROM rows WHERE id >= ?1 AND id <= ?2 "
		    "AND call IS NOT NULL AND ?3 <> ''",
	};
	struct uuid c[CANDIDATES];
	size_t n = 0;
	char hex[33];

	if (!normalise(v->a->call, hex)) {
		fprintf(stderr, "portreeve audit show: \"%s\" is no call id: "
		    "give the UUID, or at least 6 hex digits from its "
		    "beginning or end (`portreeve audit tail` shows the end)\n",
		    v->a->call);
		return AUDIT_USAGE;
	}
	for (size_t i = 0; i < ARRAY_LEN(by) && (i < 2 || n == 0); i++)
		if (collect(v, by[i], hex, c, &n, err) != 0)
			return AUDIT_USAGE;
	if (n > 1)
		return ambiguous(v->a->call, c, n);
	if (n == 0) {
		fprintf(stderr, "portreeve audit show: no call %s in this "
		    "ledger: `portreeve audit search --type call.decision` "
		    "lists calls\n", v->a->call);
		return AUDIT_NOT;
	}
	v->call = c[0];
	return AUDIT_OK;
}

/* --- its rows ----------------------------------------------------------- */

static void
keep(struct view *v, const struct chain_row *r)
{
	if (v->n == ROWS_MAX)
		return;
	v->ev = base_realloc(v->ev, (v->n + 1) * sizeof(*v->ev));
	struct event *e = &v->ev[v->n++];

	memset(e, 0, sizeof(*e));
	e->row = *r;
	e->body = slice_dup(r->body);
	e->type = slice_dup(r->type);
	e->row.body = slice_make(e->body, r->body.n);
	e->row.type = slice_make(e->type, r->type.n);
	json_init(&e->doc);
	if (json_index(&e->doc, e->row.body, NULL) != JSON_OK)
		e->doc.n = 0;
}

static int
load(struct view *v, sqlite3_stmt *s, struct err *err)
{
	int r;

	if (s == NULL)
		return -1;
	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		struct chain_row row;

		if (chain_read(s, &row, err) != 0)
			break;
		keep(v, &row);
	}
	if (r != SQLITE_ROW && r != SQLITE_DONE)
		err_set(err, "%s", sqlite3_errmsg(v->a->db));
	sqlite3_finalize(s);
	return err->set ? -1 : 0;
}

static const struct event *
of_type(const struct view *v, const char *type)
{
	for (size_t i = 0; i < v->n; i++)
		if (slice_is(v->ev[i].row.type, type))
			return &v->ev[i];
	return NULL;
}

/* Findings name events; they have no call of their own. */
static int
load_findings(struct view *v, struct err *err)
{
	size_t own = v->n;

	for (size_t i = 0; i < own; i++) {
		sqlite3_stmt *s = ledgerdb_prepare(v->a->db, "SELECT "
		    CHAIN_COLUMNS " FROM rows WHERE seq > ?1 AND seq < ?1 + "
		    "?2 AND type = 'finding' AND call IS NULL AND "
		    "instr(body, ?3) > 0 ORDER BY seq", err);
		char id[UUID_TEXT_LEN];

		uuid_format(v->ev[i].row.id, id);
		if (s != NULL) {
			sqlite3_bind_int64(s, 1, (int64_t)v->ev[i].row.seq);
			sqlite3_bind_int64(s, 2, FINDING_ROWS);
			sqlite3_bind_text(s, 3, id, -1, SQLITE_TRANSIENT);
		}
		size_t before = v->n;

		if (load(v, s, err) != 0)
			return -1;
		/* One finding may name several of the call's events. */
		while (v->n > before) {
			struct event *e = &v->ev[before];
			bool twice = false;

			for (size_t k = own; k < before; k++)
				twice = twice || v->ev[k].row.seq ==
				    e->row.seq;
			if (!twice) {
				before++;
				continue;
			}
			free(e->body);
			free(e->type);
			json_free(&e->doc);
			v->n--;
			memmove(e, e + 1, (v->n - before) * sizeof(*e));
		}
	}
	return 0;
}

static int
load_rows(struct view *v, struct err *err)
{
	sqlite3_stmt *s = ledgerdb_prepare(v->a->db, "SELECT " CHAIN_COLUMNS
	    " FROM rows WHERE call = ? ORDER BY seq", err);

	if (s != NULL)
		sqlite3_bind_blob(s, 1, v->call.b, 16, SQLITE_TRANSIENT);
	if (load(v, s, err) != 0)
		return -1;
	return load_findings(v, err);
}

/* --- for a person ------------------------------------------------------- */

static void
place(const char *name)
{
	printf("  %-*s", PLACE, name);
}

/* key of the first event that has it, after `before`; false: none has. */
static bool
say(struct view *v, const char *before, const char *key, const char *after)
{
	for (size_t i = 0; i < v->n; i++) {
		if (!audit_field(&v->ev[i].doc, 0, key, &v->b))
			continue;
		fputs(before, stdout);
		audit_print(stdout, buf_slice(&v->b));
		fputs(after, stdout);
		return true;
	}
	return false;
}

static void
show_who(struct view *v)
{
	place("Asked by");
	if (!say(v, "", "user", ""))
		fputs("(nobody known)", stdout);
	say(v, ", agent ", "agent", "");
	say(v, ", session ", "session", "");
	say(v, ", task ", "task", "");
	say(v, ", department ", "department", "");
	say(v, ", trust ", "trust", "");
	putchar('\n');
	place("From");
	if (!say(v, "", "source", ""))
		fputs("-", stdout);
	say(v, " by ", "transport", "");
	putchar('\n');
}

static void
show_what(struct view *v)
{
	place("Tool");
	if (!say(v, "", "connector", ""))
		fputs("-", stdout);
	say(v, ".", "tool", "");
	say(v, "  (", "class", ")");
	say(v, "  data ", "data_class", "");
	putchar('\n');
	place("Request");
	if (!say(v, "", "method", " "))
		fputs("- ", stdout);
	say(v, "", "target", "");
	say(v, "  environment ", "environment", "");
	putchar('\n');
}

static void
show_why(struct view *v)
{
	place("Verdict");
	if (!say(v, "", "verdict", ""))
		fputs("(not decided)", stdout);
	say(v, ", by ", "policy", "");
	say(v, ", rule ", "rule", "");
	say(v, ", because ", "reason", "");
	say(v, ": ", "detail", "");
	const struct event *d = of_type(v, "call.decision");

	if (d != NULL && json_typeof(&d->doc, json_member(&d->doc, 0,
	    "observed")) == JSON_TRUE)
		fputs("  (observed only: it was not enforced)", stdout);
	putchar('\n');
	place("Snapshot");
	puts(say(v, "", "snapshot", "") ? "" : "-");
}

/* {id, by, verdict, reason, edited} of a decision, or the broker's events. */
static void
show_approval(struct view *v)
{
	bool any = false;

	for (size_t i = 0; i < v->n; i++) {
		const struct json_doc *doc = &v->ev[i].doc;
		uint32_t ap = json_member(doc, 0, "approval");
		static const struct {
			const char *key, *before;
		} part[] = { { "verdict", "" }, { "by", " by " },
			{ "reason", ", reason: " }, { "edited", ", edited: " },
			{ "id", "  approval " } };

		if (json_typeof(doc, ap) != JSON_OBJECT)
			continue;
		place(any ? "" : "Approver");
		any = true;
		for (size_t k = 0; k < ARRAY_LEN(part); k++) {
			if (!audit_field(doc, ap, part[k].key, &v->b) ||
			    (k == 3 && slice_is(buf_slice(&v->b), "false")))
				continue;
			fputs(part[k].before, stdout);
			audit_print(stdout, buf_slice(&v->b));
		}
		printf("  (row %" PRIu64 ")\n", v->ev[i].row.seq);
	}
	if (!any) {
		place("Approver");
		puts("nobody was asked");
	}
}

static void
show_hits(struct view *v)
{
	bool any = false;

	for (size_t i = 0; i < v->n; i++) {
		const struct json_doc *doc = &v->ev[i].doc;
		uint32_t f = json_member(doc, 0, "finding");
		static const char *const lists[] = { "redactions", "flags" };

		for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
			uint32_t l = json_member(doc, 0, lists[k]);

			if (json_typeof(doc, l) != JSON_ARRAY ||
			    doc->nodes[l].count == 0)
				continue;
			place(any ? "" : "Rule hits");
			any = true;
			printf("%s ", lists[k]);
			audit_print(stdout, json_raw(doc, l));
			printf("  (row %" PRIu64 ")\n", v->ev[i].row.seq);
		}
		if (json_typeof(doc, f) != JSON_OBJECT)
			continue;
		place(any ? "" : "Rule hits");
		any = true;
		fputs("finding ", stdout);
		if (audit_field(doc, f, "rule", &v->b))
			audit_print(stdout, buf_slice(&v->b));
		if (audit_field(doc, f, "severity", &v->b))
			printf(" [%.*s]", SLICE_FMT(buf_slice(&v->b)));
		if (audit_field(doc, f, "title", &v->b)) {
			fputs(": ", stdout);
			audit_print(stdout, buf_slice(&v->b));
		}
		printf("  (row %" PRIu64 ")\n", v->ev[i].row.seq);
	}
	if (!any) {
		place("Rule hits");
		puts("none");
	}
}

static void
show_when(struct view *v)
{
	const struct event *d = of_type(v, "call.decision");
	const struct event *o = of_type(v, "call.outcome");
	char when[CLOCK_RFC3339_LEN];

	place("Decided");
	if (d != NULL) {
		clock_format(d->row.time, when);
		puts(when);
	} else {
		puts("-");
	}
	place("Ended");
	if (o == NULL) {
		puts("no outcome is recorded (yet)");
		return;
	}
	clock_format(o->row.time, when);
	fputs(when, stdout);
	if (d != NULL)
		printf(", %.3f s after the decision",
		    (double)(o->row.time - d->row.time) / 1000);
	say(v, ", ", "duration_us", " us in all");
	putchar('\n');
	place("Outcome");
	if (!say(v, "", "status", ""))
		fputs("-", stdout);
	say(v, ", HTTP ", "http_status", "");
	say(v, ", ", "bytes_out", " bytes out");
	say(v, ", ", "bytes_in", " bytes in");
	putchar('\n');
}

static void
show_json(struct view *v, const char *title, const char *key,
    const char *none)
{
	printf("\n  %s\n", title);
	for (size_t i = 0; i < v->n; i++) {
		const struct json_doc *doc = &v->ev[i].doc;
		uint32_t n = json_member(doc, 0, key);

		if (n == JSON_NONE)
			continue;
		audit_print_json(stdout, json_raw(doc, n), 4);
		if (json_typeof(doc, json_member(doc, 0,
		    "result_truncated")) == JSON_TRUE && *key == 'r')
			puts("    (cut at the connector's logging depth)");
		return;
	}
	printf("    %s\n", none);
}

static void
show_rows(struct view *v)
{
	puts("\n  Rows (first 16 digits of the hash; `portreeve audit verify` "
	    "proves them)");
	for (size_t i = 0; i < v->n; i++) {
		char when[CLOCK_RFC3339_LEN], hex[2 * MERKLE_HASH + 1];
		char id[UUID_TEXT_LEN];
		const struct chain_row *r = &v->ev[i].row;

		clock_format(r->time, when);
		hex_encode(r->hash, MERKLE_HASH, hex);
		uuid_format(r->id, id);
		printf("  %9" PRIu64 "  %s  %.16s  %s  ", r->seq, when, hex,
		    id);
		audit_print(stdout, r->type);
		putchar('\n');
	}
}

static void
show_text(struct view *v)
{
	char text[UUID_TEXT_LEN];

	uuid_format(v->call, text);
	printf("Call %s\n", text);
	show_who(v);
	show_what(v);
	show_why(v);
	show_approval(v);
	show_hits(v);
	show_when(v);
	show_json(v, "Parameters (after redaction: what was sent)",
	    "arguments", "none recorded");
	show_json(v, "Result (after redaction: what the model was given)",
	    "result", "none recorded");
	show_rows(v);
}

static void
show_as_json(struct view *v)
{
	char text[2 * MERKLE_HASH + 1];
	struct jsonw w;
	struct buf b;

	buf_init(&b, SIZE_MAX / 2);
	jsonw_init(&w, &b);
	jsonw_object(&w, NULL);
	uuid_format(v->call, text);
	jsonw_str(&w, "call", text);
	jsonw_array(&w, "rows");
	for (size_t i = 0; i < v->n; i++) {
		const struct chain_row *r = &v->ev[i].row;

		jsonw_object(&w, NULL);
		jsonw_u64(&w, "seq", r->seq);
		hex_encode(r->prev, MERKLE_HASH, text);
		jsonw_str(&w, "prev", text);
		hex_encode(r->hash, MERKLE_HASH, text);
		jsonw_str(&w, "hash", text);
		if (v->ev[i].doc.n > 0)
			jsonw_raw(&w, "event", r->body);
		else
			jsonw_slice(&w, "damaged", r->body);
		jsonw_object_end(&w);
	}
	jsonw_array_end(&w);
	jsonw_object_end(&w);
	fwrite(buf_data(&b), 1, b.len, stdout);
	putchar('\n');
	buf_free(&b);
}

int
audit_show(const struct audit_args *a)
{
	struct view v = { .a = a };
	struct err err = { 0 };
	int r;

	buf_init(&v.b, ENTRY_BODY_MAX);
	r = find_call(&v, &err);
	if (r == AUDIT_OK && load_rows(&v, &err) != 0)
		r = AUDIT_USAGE;
	if (err.set)
		fprintf(stderr, "portreeve audit: %s/" LEDGERDB_FILE ": %s\n",
		    a->dir, err.text);
	else if (r == AUDIT_OK && a->json)
		show_as_json(&v);
	else if (r == AUDIT_OK)
		show_text(&v);
	for (size_t i = 0; i < v.n; i++) {
		json_free(&v.ev[i].doc);
		free(v.ev[i].body);
		free(v.ev[i].type);
	}
	free(v.ev);
	buf_free(&v.b);
	return r;
}
