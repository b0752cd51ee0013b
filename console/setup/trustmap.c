/* trustmap - see trustmap.h. */
#include "console/setup/trustmap.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "chain.h"
#include "clock.h"
#include "console/setup/onramp.h"
#include "json.h"
#include "ledgerdb.h"
#include "map.h"

/* Rows a transaction: a long one would keep the recorder from reusing its
 * WAL. */
#define PAGE 5000
/* Rows stand in the order they were recorded; one may be resent late. */
#define SINCE_SLACK_MS 3600000
/* A session younger than that may not have begun. */
#define SESSION_BEGINS_MS 60000

#define TYPES "'client.refused_ca','client.trusts_ca','call.decision'," \
	"'connection.refused','connection.spliced','auth.failed'," \
	"'session.opened'"

struct session {
	char *user, *agent;		/* NULL: opened before */
	int64_t opened;
	bool traffic;
};

struct load {
	struct trustmap *map;
	struct map rows, sessions;	/* key -> index + 1; id -> session */
	struct json_doc doc;
	int64_t since;
};

/* --- fields of an event ------------------------------------------------------- */

/* "" for none. *owned* */
static char *
field(const struct json_doc *doc, const char *key)
{
	uint32_t v = json_member(doc, 0, key);
	char *s = v == JSON_NONE || json_typeof(doc, v) != JSON_STRING ?
	    NULL : json_strdup(doc, v);

	return s != NULL ? s : base_strdup("");
}

static bool
is(const struct json_doc *doc, const char *key, const char *want)
{
	return json_str_is(doc, json_member(doc, 0, key), want);
}

/* 192.0.2.7:4000, [::1]:4000 or what a shim's socket has. */
static char *
source_of(const struct json_doc *doc)
{
	char *s = field(doc, "source"), *port = strrchr(s, ':');

	if (port != NULL)
		*port = '\0';
	return s;
}

/* --- rows ------------------------------------------------------------------------ */

static struct trustmap_row *
row_for(struct load *l, char *user, char *agent, char *source, char *client,
    char *ja4)
{
	struct trustmap *m = l->map;
	struct buf key;
	size_t at;

	buf_init(&key, 65536);
	buf_addf(&key, "%s\n%s\n%s\n%s\n%s", user, agent, source, client, ja4);
	at = (uintptr_t)map_get(&l->rows, buf_slice(&key));
	if (at == 0 && m->n < TRUSTMAP_ROWS) {
		m->v[m->n] = (struct trustmap_row){ .user = user,
			.agent = agent, .source = source, .client = client,
			.ja4 = ja4, .host = base_strdup("") };
		at = ++m->n;
		map_put(&l->rows, buf_slice(&key), (void *)(uintptr_t)at);
	} else {
		m->full |= at == 0;
		free(user);
		free(agent);
		free(source);
		free(client);
		free(ja4);
	}
	buf_free(&key);
	return at == 0 ? NULL : &m->v[at - 1];
}

static void
note(struct load *l, enum trustmap_state s, int64_t time)
{
	bool tls = s == TRUSTMAP_REFUSES || s == TRUSTMAP_SILENT ||
	    s == TRUSTMAP_TRUSTS;
	struct trustmap_row *r = row_for(l, field(&l->doc, "user"),
	    field(&l->doc, "agent"), source_of(&l->doc), tls ?
	    field(&l->doc, "client") : base_strdup(""), tls ?
	    field(&l->doc, "ja4") : base_strdup(""));

	if (r == NULL)
		return;
	r->seen[s]++;
	if (time < r->last[s])
		return;
	r->last[s] = time;
	if (s != TRUSTMAP_NO_CA) {
		free(r->host);
		r->host = field(&l->doc, "host");
	}
}

/* --- sessions ---------------------------------------------------------------------- */

static struct session *
session_for(struct load *l)
{
	char *id = field(&l->doc, "session");
	struct session *s = map_get(&l->sessions, slice_str(id));

	if (s == NULL && id[0] != '\0') {
		s = base_calloc(1, sizeof(*s));
		map_put(&l->sessions, slice_str(id), s);
	}
	free(id);
	return s;
}

static void
session_opened(struct load *l, int64_t time)
{
	struct session *s = session_for(l);

	if (s == NULL || s->user != NULL)
		return;
	s->user = field(&l->doc, "user");
	s->agent = field(&l->doc, "agent");
	s->opened = time;
}

/* Rows of sessions that made no call; frees the sessions. */
static void
end_sessions(struct load *l)
{
	int64_t young = clock_wall_ms() - SESSION_BEGINS_MS;
	struct slice key;
	size_t i = 0;
	void *v;

	while (map_next(&l->sessions, &i, &key, &v)) {
		struct session *s = v;
		struct trustmap_row *r = NULL;

		if (s->user != NULL && !s->traffic && s->opened < young)
			r = row_for(l, base_strdup(s->user),
			    base_strdup(s->agent), base_strdup(""),
			    base_strdup(""), base_strdup(""));
		if (r != NULL) {
			r->seen[TRUSTMAP_NO_TRAFFIC]++;
			if (s->opened > r->last[TRUSTMAP_NO_TRAFFIC])
				r->last[TRUSTMAP_NO_TRAFFIC] = s->opened;
		}
		free(s->user);
		free(s->agent);
		free(s);
	}
	map_free(&l->sessions);
}

/* --- events -------------------------------------------------------------------------- */

static bool
needs_no_ca(const struct json_doc *doc)
{
	char *target;
	bool plain;

	if (is(doc, "transport", "mount") || is(doc, "transport", "stdio"))
		return true;
	target = field(doc, "target");
	plain = slice_starts(slice_str(target), "http://");
	free(target);
	return plain;
}

static void
on_row(struct load *l, const struct chain_row *r)
{
	struct session *s;

	if (r->time < l->since ||
	    json_index(&l->doc, r->body, NULL) != JSON_OK)
		return;
	if (slice_is(r->type, "session.opened")) {
		session_opened(l, r->time);
		return;
	}
	if ((s = session_for(l)) != NULL)
		s->traffic = true;
	if (slice_is(r->type, "client.trusts_ca"))
		note(l, TRUSTMAP_TRUSTS, r->time);
	else if (slice_is(r->type, "client.refused_ca"))
		note(l, is(&l->doc, "how", "alert") ? TRUSTMAP_REFUSES :
		    TRUSTMAP_SILENT, r->time);
	else if (slice_is(r->type, "auth.failed") &&
	    is(&l->doc, "reason", "no-token"))
		note(l, TRUSTMAP_NO_TOKEN, r->time);
	else if (slice_is(r->type, "connection.refused") &&
	    is(&l->doc, "transport", "transparent"))
		note(l, TRUSTMAP_AROUND, r->time);
	else if (slice_is(r->type, "call.decision") && needs_no_ca(&l->doc))
		note(l, TRUSTMAP_NO_CA, r->time);
}

/* Rows (from, to]. -1 and err. */
static int
read_page(struct load *l, sqlite3_stmt *s, int64_t from, int64_t to,
    struct err *err)
{
	int r;

	sqlite3_bind_int64(s, 1, from);
	sqlite3_bind_int64(s, 2, to);
	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		struct chain_row row;

		if (chain_read(s, &row, err) != 0)
			break;
		on_row(l, &row);
	}
	if (r != SQLITE_DONE && !err->set)
		err_set(err, "%s", sqlite3_errmsg(sqlite3_db_handle(s)));
	sqlite3_reset(s);
	return err->set ? -1 : 0;
}

/* Newest first, until rows are too old. */
static int
read_ledger(struct load *l, sqlite3 *db, struct err *err)
{
	sqlite3_stmt *page = ledgerdb_prepare(db, "SELECT " CHAIN_COLUMNS
	    " FROM rows WHERE seq > ? AND seq <= ? AND type IN (" TYPES ")",
	    err);
	sqlite3_stmt *age = page == NULL ? NULL : ledgerdb_prepare(db,
	    "SELECT time FROM rows WHERE seq = ?", err);
	int64_t to = 0;
	int r = age == NULL ? -1 :
	    ledgerdb_int(db, "SELECT max(seq) FROM rows", &to, err);

	while (r == 0 && to > 0) {
		int64_t from = to > PAGE ? to - PAGE : 0;

		r = read_page(l, page, from, to, err);
		sqlite3_bind_int64(age, 1, from);
		to = sqlite3_step(age) == SQLITE_ROW &&
		    sqlite3_column_int64(age, 0) < l->since - SINCE_SLACK_MS ?
		    0 : from;
		sqlite3_reset(age);
	}
	sqlite3_finalize(page);
	sqlite3_finalize(age);
	return r;
}

/* --- what it comes to ------------------------------------------------------------ */

static void
judge(struct trustmap_row *r)
{
	int64_t trusted = r->last[TRUSTMAP_TRUSTS];

	r->state = TRUSTMAP_NO_CA;
	for (unsigned s = TRUSTMAP_STATES; s-- > 0;) {
		bool over = (s == TRUSTMAP_REFUSES || s == TRUSTMAP_SILENT) &&
		    r->last[s] <= trusted;

		if (r->seen[s] > 0 && !over)
			r->state = (enum trustmap_state)s;
	}
}

static int
compare(const void *a, const void *b)
{
	const struct trustmap_row *x = a, *y = b;

	if (x->state != y->state)
		return x->state < y->state ? -1 : 1;
	return (x->last[x->state] < y->last[y->state]) -
	    (x->last[x->state] > y->last[y->state]);
}

struct trustmap *
trustmap_load(const char *state_dir, int64_t since, struct err *err)
{
	struct load l = { .since = since };
	char dir[4200];
	sqlite3 *db;
	int r;

	snprintf(dir, sizeof(dir), "%s/ledger", state_dir);
	if ((db = ledgerdb_open_read(dir, NULL, err)) == NULL)
		return NULL;
	l.map = base_calloc(1, sizeof(*l.map));
	l.map->v = base_calloc(TRUSTMAP_ROWS, sizeof(*l.map->v));
	map_init(&l.rows);
	map_init(&l.sessions);
	json_init(&l.doc);
	r = read_ledger(&l, db, err);
	end_sessions(&l);
	json_free(&l.doc);
	map_free(&l.rows);
	ledgerdb_close(db);
	if (r != 0) {
		trustmap_free(l.map);
		return NULL;
	}
	for (size_t i = 0; i < l.map->n; i++)
		judge(&l.map->v[i]);
	qsort(l.map->v, l.map->n, sizeof(*l.map->v), compare);
	return l.map;
}

void
trustmap_free(struct trustmap *m)
{
	if (m == NULL)
		return;
	for (size_t i = 0; i < m->n; i++) {
		struct trustmap_row *r = &m->v[i];

		free(r->user);
		free(r->agent);
		free(r->source);
		free(r->client);
		free(r->ja4);
		free(r->host);
	}
	free(m->v);
	free(m);
}

const char *
trustmap_word(enum trustmap_state s)
{
	static const char *const words[] = { "refuses", "silent", "around",
		"no-token", "no-traffic", "trusts", "no-ca-needed" };

	return words[s];
}

/* The runtime that a User-Agent names; NULL: not known. */
static const char *
runtime(const char *client)
{
	static const struct {
		const char *begin;
		enum onramp_runtime runtime;
	} known[] = {
		{ "curl/", ONRAMP_CURL }, { "git/", ONRAMP_GIT },
		{ "node", ONRAMP_NODE }, { "undici", ONRAMP_NODE },
		{ "Python", ONRAMP_PYTHON }, { "python", ONRAMP_PYTHON },
		{ "Java", ONRAMP_JAVA }, { "Go-http-client/", ONRAMP_GO },
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (slice_starts(slice_str(client), known[i].begin))
			return onramp_name(known[i].runtime);
	return NULL;
}

const char *
trustmap_advice(const struct trustmap_row *r)
{
	static char text[256];
	const char *name = runtime(r->client);

	switch (r->state) {
	case TRUSTMAP_REFUSES:
	case TRUSTMAP_SILENT:
		snprintf(text, sizeof(text), "%sgive it the CA: portreeve"
		    " proxy env --for %s, or portreeve run -- CMD; or let it"
		    " use a mount", r->state == TRUSTMAP_SILENT ?
		    "if it verifies after the handshake (Node does), " : "",
		    name != NULL ? name : "RUNTIME");
		return text;
	case TRUSTMAP_AROUND:
		return "what it wants is in no connector's file: add one, or"
		    " ask what it does there";
	case TRUSTMAP_NO_TOKEN:
		return "mint a token: portreeve session open, or portreeve"
		    " run -- CMD";
	case TRUSTMAP_NO_TRAFFIC:
		return "its program goes around the proxy, or made no call:"
		    " portreeve doctor tries each runtime";
	default:
		return "";
	}
}
