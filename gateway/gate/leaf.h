/*
 * leaf - a body as the texts a person or a model would read in it: every
 * decoded key, string and number, with JSON inside strings, percent escapes,
 * base64 and hex opened, all laid side by side in one scratch so that one
 * scan sees them; and the way back from there to the bytes of the body.
 *
 * In the scratch a member "password": "x" stands as "password: x", so that
 * a rule for text serves JSON too; so does {"name": n, "value": x}.  Each segment ends with '\n'.
 *
 * Leaf 0 is the body itself.  A leaf's parent has a smaller index.
 */
#ifndef LEAF_H
#define LEAF_H

#include "arena.h"
#include "base.h"
#include "json.h"
#include "pm.h"

#define LEAF_JSON_DEPTH 3	/* JSON in a string in a string in a string */
#define LEAF_RUN_MIN 20		/* characters of base64 or hex worth a try */

enum leaf_kind {
	LEAF_BODY,	/* leaf 0 */
	LEAF_PLAIN,	/* text of a body that is no JSON: as it stands */
	LEAF_STRING,	/* between the quotes, perhaps escaped */
	LEAF_KEY,	/* the same, an object's key */
	LEAF_NUMBER,
	LEAF_PERCENT,	/* a word with %XX in it */
	LEAF_RUN	/* printable text out of a run of base64 or hex */
};

struct leaf {
	const char *bytes;	/* what `poff` of children counts in; NULL: the
				 * scratch at `off` */
	uint32_t parent;
	uint32_t poff, plen;	/* its bytes in the parent's */
	uint32_t off, len;	/* its decoded text in the scratch; len 0 when
				 * it was opened as JSON */
	uint8_t kind;
	bool escaped;		/* decoded and encoded text differ */
};

struct leaf_limits {
	uint32_t bytes;		/* of the body, and of the scratch */
	uint32_t leaves;
};

struct leaves {
	struct leaf *v;
	uint32_t n, cap;
	struct pm_seg *segs;
	uint32_t nsegs, segs_cap;
	char *scratch;
	uint32_t len, scratch_cap;
	struct arena *arena;	/* texts of opened strings */
	struct json_doc docs[LEAF_JSON_DEPTH];
	struct leaf_limits lim;
	uint32_t work;		/* scratch bytes that decoding may still add */
	bool limit;		/* sticky until the next read */
};

void leaves_init(struct leaves *lv);
void leaves_free(struct leaves *lv);

/*
 * Read a body; what was read before is forgotten.  The texts are borrowed
 * until the next call.  skip: ascending node indexes whose subtrees are left
 * out.  -1 when a limit was passed: nothing may be concluded then.
 */
int leaves_json(struct leaves *lv, const struct json_doc *doc, uint32_t node,
    const uint32_t *skip, size_t nskip, const struct leaf_limits *lim)
    MUST_USE;
int leaves_text(struct leaves *lv, struct slice text,
    const struct leaf_limits *lim) MUST_USE;

static inline struct slice
leaves_scratch(const struct leaves *lv)
{
	return slice_make(lv->scratch == NULL ? "" : lv->scratch, lv->len);
}

/* The first leaf that ends behind scratch offset `off`; lv->n: none. */
uint32_t leaves_at(const struct leaves *lv, uint32_t off);

/* The base64 (or hex) run around [*off, *end) of the scratch, in its leaf. */
void leaves_run_around(const struct leaves *lv, uint32_t leaf, uint32_t *off,
    uint32_t *end);

/*
 * From a leaf's text to its parent's bytes, forwards only: spans of one leaf
 * ascending, each span once.  A span that ends inside a character or an
 * escape takes it whole.
 */
struct leaf_cursor {
	const struct leaves *lv;
	uint32_t leaf;
	uint32_t raw, dec;	/* both at the start of the same character */
};

void leaf_cursor_init(struct leaf_cursor *c, const struct leaves *lv,
    uint32_t leaf);
void leaf_cursor_map(struct leaf_cursor *c, uint32_t *off, uint32_t *len);

#endif
