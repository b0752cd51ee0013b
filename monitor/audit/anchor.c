/* anchor - see anchor.h. */
#include "anchor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "entry.h"
#include "json.h"

#define LINE_MAX_BYTES (ENTRY_BODY_MAX + 65536)

struct loading {
	const char *file, *origin;
	const struct checkpoint_keys *keys;
	struct anchors a;
	struct json_doc doc;
	struct buf note;
	bool forged;
};

static void
add(struct anchors *a, const struct checkpoint *c, uint64_t line)
{
	if (a->n == a->cap) {
		a->cap = a->cap == 0 ? 256 : a->cap * 2;
		a->v = base_realloc(a->v, a->cap * sizeof(*a->v));
	}
	struct anchor *n = &a->v[a->n++];

	n->size = c->size;
	n->line = line;
	memcpy(n->root, c->root, MERKLE_HASH);
}

static int
take_note(struct loading *l, struct slice note, uint64_t line,
    struct err *err)
{
	struct checkpoint c;
	struct err why = { 0 };

	if (checkpoint_parse(note, &c, &why) == 0 &&
	    checkpoint_verify(&c, l->keys, &why) == 0) {
		if (slice_is(c.origin, l->origin)) {
			add(&l->a, &c, line);
			return 0;
		}
		err_set(&why, "it is of the ledger %.*s, this one is %s",
		    SLICE_FMT(c.origin), l->origin);
	}
	l->forged = true;
	err_at(err, l->file, (int)line, 1, "%s", why.text);
	return -1;
}

static int
take_line(struct loading *l, struct slice line, uint64_t n, struct err *err)
{
	ssize_t at;
	uint32_t v;

	if (slice_find(line, SLICE("ledger.checkpoint")) < 0 ||
	    (at = slice_chr(line, '{')) < 0)
		return 0;
	struct slice json = slice_trim(slice_sub(line, (size_t)at, line.n));

	if (json_index(&l->doc, json, NULL) != JSON_OK) {
		err_at(err, l->file, (int)n, (int)(at + 1 +
		    (ssize_t)l->doc.error_off), "a line that names "
		    "ledger.checkpoint is no JSON: %s",
		    json_error_text(l->doc.error));
		return -1;
	}
	/* An event may quote the words without being one. */
	if (!json_str_is(&l->doc, json_member(&l->doc, 0, "type"),
	    "ledger.checkpoint"))
		return 0;
	v = json_member(&l->doc, 0, "checkpoint");
	buf_reset(&l->note);
	if (json_typeof(&l->doc, v) != JSON_STRING ||
	    json_decode(&l->doc, v, &l->note) != 0) {
		err_at(err, l->file, (int)n, 1, "a ledger.checkpoint event "
		    "without its field checkpoint");
		l->forged = true;
		return -1;
	}
	return take_note(l, buf_slice(&l->note), n, err);
}

static int
read_lines(struct loading *l, FILE *f, struct err *err)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t k;
	int r = 0;

	for (uint64_t n = 1; r == 0 && (k = getline(&line, &cap, f)) >= 0;
	    n++) {
		if ((size_t)k > LINE_MAX_BYTES) {
			err_at(err, l->file, (int)n, 1, "line longer than "
			    "%u bytes", LINE_MAX_BYTES);
			r = -1;
		} else {
			r = take_line(l, slice_make(line, (size_t)k), n, err);
		}
	}
	free(line);
	return r;
}

static int
read_file(struct loading *l, FILE *f, struct err *err)
{
	char head[CHECKPOINT_NOTE_MAX + 1];
	size_t n = fread(head, 1, sizeof(head), f);
	struct slice s = slice_make(head, n);
	struct checkpoint c;

	if (ferror(f)) {
		err_at(err, l->file, 0, 0, "%s", strerror(errno));
		return -1;
	}
	if (checkpoint_parse(s, &c, &(struct err){ 0 }) == 0)
		return take_note(l, s, 1, err);
	if (fseek(f, 0, SEEK_SET) != 0) {
		err_at(err, l->file, 0, 0, "%s", strerror(errno));
		return -1;
	}
	return read_lines(l, f, err);
}

static int
compare(const void *x, const void *y)
{
	const struct anchor *a = x, *b = y;

	if (a->size != b->size)
		return a->size < b->size ? -1 : 1;
	return memcmp(a->root, b->root, MERKLE_HASH);
}

/* A checkpoint is exported more than once; two of one size with different
 * roots both stay: one of them cannot match. */
static void
sort_unique(struct anchors *a)
{
	size_t k = 0;

	qsort(a->v, a->n, sizeof(*a->v), compare);
	for (size_t i = 0; i < a->n; i++)
		if (k == 0 || compare(&a->v[k - 1], &a->v[i]) != 0)
			a->v[k++] = a->v[i];
	a->n = k;
}

int
anchor_load(const char *file, const struct checkpoint_keys *keys,
    const char *origin, struct anchors *a_r, bool *forged_r, struct err *err)
{
	struct loading l = { .file = file, .origin = origin, .keys = keys };
	FILE *f = fopen(file, "re");
	int r = -1;

	*forged_r = false;
	if (f == NULL) {
		err_at(err, file, 0, 0, "%s", strerror(errno));
		return -1;
	}
	json_init(&l.doc);
	buf_init(&l.note, CHECKPOINT_NOTE_MAX);
	r = read_file(&l, f, err);
	fclose(f);
	json_free(&l.doc);
	buf_free(&l.note);
	*forged_r = l.forged;
	if (r == 0 && l.a.n == 0) {
		err_at(err, file, 0, 0, "no checkpoint in it: give a signed "
		    "note, or the JSON lines an exporter wrote");
		r = -1;
	}
	if (r != 0) {
		anchor_free(&l.a);
		return -1;
	}
	sort_unique(&l.a);
	*a_r = l.a;
	return 0;
}

void
anchor_free(struct anchors *a)
{
	free(a->v);
	*a = (struct anchors){ 0 };
}
