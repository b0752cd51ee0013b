/*
 * ledgertest - what tests of the ledger share: a scratch directory, a signing
 * key, events, and a ledger filled with rows and signed checkpoints.
 */
#ifndef LEDGERTEST_H
#define LEDGERTEST_H

#include <dirent.h>
#include <fcntl.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint.h"
#include "codec.h"
#include "entry.h"
#include "event.h"
#include "ledger.h"
#include "ledgerdb.h"

struct lt_signer {
	char name[64];
	unsigned char pub[32], sec[64];
	uint8_t id[4];
};

static inline void
lt_signer_make(struct lt_signer *s, const char *name)
{
	unsigned char raw[33];
	uint8_t sum[32];

	snprintf(s->name, sizeof(s->name), "%s", name);
	ASSERT(sodium_init() >= 0);
	crypto_sign_keypair(s->pub, s->sec);
	raw[0] = 1;
	memcpy(raw + 1, s->pub, 32);
	struct slice parts[3] = { slice_str(name), SLICE("\n"),
		slice_make(raw, sizeof(raw)) };

	merkle_sha256(parts, 3, sum);
	memcpy(s->id, sum, 4);
}

static inline void
lt_vkey(const struct lt_signer *s, struct buf *out)
{
	unsigned char raw[33];
	char hex[9];

	raw[0] = 1;
	memcpy(raw + 1, s->pub, 32);
	hex_encode(s->id, 4, hex);
	buf_addf(out, "%s+%s+", s->name, hex);
	b64_encode(out, raw, sizeof(raw));
}

static inline void
lt_sign_text(const struct lt_signer *s, struct slice text, struct buf *note)
{
	unsigned char sig[68];

	memcpy(sig, s->id, 4);
	crypto_sign_detached(sig + 4, NULL, (const unsigned char *)text.p,
	    text.n, s->sec);
	buf_add_slice(note, text);
	buf_addf(note, "\n\xe2\x80\x94 %s ", s->name);
	b64_encode(note, sig, sizeof(sig));
	buf_add_char(note, '\n');
}

static inline void
lt_keys(const struct lt_signer *s, struct checkpoint_keys *k)
{
	struct buf b;
	struct err err = { 0 };

	buf_init(&b, 1024);
	lt_vkey(s, &b);
	buf_add_char(&b, '\n');
	ASSERT(checkpoint_keys_parse(buf_slice(&b), "test", k, &err) == 0);
	buf_free(&b);
}

static inline char *
lt_dir(void)
{
	char *d = base_strdup("/tmp/portreeve-ledger-XXXXXX");

	ASSERT(mkdtemp(d) != NULL);
	return d;
}

static inline void
lt_dir_remove(char *d)
{
	DIR *dir = opendir(d);
	struct dirent *e;

	while (dir != NULL && (e = readdir(dir)) != NULL)
		if (e->d_name[0] != '.')
			unlinkat(dirfd(dir), e->d_name, 0);
	if (dir != NULL)
		closedir(dir);
	rmdir(d);
	free(d);
}

static inline void
lt_write_file(const char *path, struct slice s)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ASSERT(fd >= 0 && write(fd, s.p, s.n) == (ssize_t)s.n);
	close(fd);
}

static inline struct buf
lt_read_file(const char *path)
{
	struct buf b;
	struct stat st;
	int fd = open(path, O_RDONLY);

	ASSERT(fd >= 0 && fstat(fd, &st) == 0);
	buf_init(&b, (size_t)st.st_size + 1);
	char *p = buf_reserve(&b, (size_t)st.st_size + 1);

	ASSERT(read(fd, p, (size_t)st.st_size) == st.st_size);
	buf_commit(&b, (size_t)st.st_size);
	close(fd);
	return b;
}

/* An event; fields is more JSON, from a comma on, or "". */
static inline struct uuid
lt_event(struct buf *b, enum event_type type, enum role role,
    struct uuid call, const char *fields)
{
	struct uuid id = uuid_v7();
	char text[UUID_TEXT_LEN];
	struct jsonw w;

	buf_reset(b);
	event_begin(&w, b, id, type, role);
	if (!entry_uuid_is_zero(call)) {
		uuid_format(call, text);
		jsonw_str(&w, "call", text);
	}
	buf_add_str(b, fields);
	event_end(&w);
	ASSERT(!b->full);
	return id;
}

static inline uint64_t
lt_add(struct ledger *l, struct slice body)
{
	struct json_doc doc;
	struct entry e;
	struct err err = { 0 };
	uint64_t seq = 0;

	json_init(&doc);
	if (entry_parse(&doc, body, &e, &err) != 0) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	ASSERT(ledger_add(l, &e, body, &seq) == LEDGER_ADDED);
	json_free(&doc);
	return seq;
}

/* Signs the head and records it; the note is appended to note (may be NULL). */
static inline void
lt_checkpoint(struct ledger *l, const struct lt_signer *s, struct buf *out)
{
	struct merkle m = *ledger_tree(l);
	uint8_t root[32];
	struct buf text, note, body;
	struct jsonw w;

	buf_init(&text, 4096);
	buf_init(&note, 4096);
	buf_init(&body, 16384);
	merkle_root(&m, root);
	checkpoint_format(&text, slice_str(ledger_origin(l)), m.size, root);
	lt_sign_text(s, buf_slice(&text), &note);
	event_begin(&w, &body, uuid_v7(), EVENT_CHECKPOINT, ROLE_RECORDER);
	jsonw_slice(&w, "checkpoint", buf_slice(&note));
	event_end(&w);
	uint64_t seq = lt_add(l, buf_slice(&body));

	ASSERT(ledger_add_checkpoint(l, &m, seq, buf_slice(&note)) == 0);
	ASSERT(ledger_commit(l) == 0);
	if (out != NULL)
		buf_add_slice(out, buf_slice(&note));
	buf_free(&text);
	buf_free(&note);
	buf_free(&body);
}

static inline void
lt_rows(struct ledger *l, unsigned n)
{
	struct buf b;

	buf_init(&b, 65536);
	for (unsigned i = 0; i < n; i++) {
		char f[64];

		snprintf(f, sizeof(f), ",\"n\":%u", i);
		(void)lt_event(&b, i % 2 ? EVENT_CALL_OUTCOME :
		    EVENT_CALL_DECISION, ROLE_PROXY, uuid_v7(), f);
		(void)lt_add(l, buf_slice(&b));
	}
	ASSERT(ledger_commit(l) == 0);
	buf_free(&b);
}

/* A writable connection that may do what an attacker would. */
static inline sqlite3 *
lt_attack(const char *dir)
{
	char path[512];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/ledger.db", dir);
	ASSERT(sqlite3_open(path, &db) == SQLITE_OK);
	return db;
}

static inline void
lt_sql(sqlite3 *db, const char *fmt, ...)
{
	va_list ap;
	char *sql, *msg = NULL;

	va_start(ap, fmt);
	sql = sqlite3_vmprintf(fmt, ap);
	va_end(ap);
	if (sqlite3_exec(db, sql, NULL, NULL, &msg) != SQLITE_OK) {
		fprintf(stderr, "%s: %s\n", sql, msg);
		abort();
	}
	sqlite3_free(sql);
}

#endif
