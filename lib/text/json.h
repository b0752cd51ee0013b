/*
 * json - strict, zero-copy index of a JSON text (RFC 8259) on the wire.
 *
 * What was checked is what is forwarded: nodes are offsets into the received
 * bytes, nothing is copied or re-serialised.  Refused: invalid UTF-8, a BOM,
 * lone surrogates, duplicate keys (compared after unescaping), raw control
 * characters, trailing data, more than the limits allow.  Iterative: depth
 * costs no stack.
 *
 * A node 0 is the root.  Children of an object alternate key, value.
 */
#ifndef JSON_H
#define JSON_H

#include "base.h"
#include "buf.h"

enum json_type {
	JSON_NULL = 1, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING,
	JSON_ARRAY, JSON_OBJECT
};

enum json_error {
	JSON_OK = 0, JSON_E_SYNTAX, JSON_E_UTF8, JSON_E_ESCAPE,
	JSON_E_DUPLICATE_KEY, JSON_E_DEPTH, JSON_E_NODES, JSON_E_TRAILING,
	JSON_E_EMPTY, JSON_E_SIZE
};

#define JSON_NONE UINT32_MAX
#define JSON_KEY 1	/* flag: this string is an object's key */
#define JSON_ESCAPED 2	/* flag: this string has a backslash */

struct json_node {
	uint32_t off, len;	/* span in the text; strings with quotes */
	uint32_t end;		/* index of the first node behind the subtree */
	uint32_t count;		/* children: elements, or members of an object */
	uint8_t type, flags;
};

struct json_doc {
	struct slice text;	/* borrowed */
	struct json_node *nodes;
	uint32_t n, cap;
	enum json_error error;
	size_t error_off;
	/* Kept between texts for the search of duplicate keys. */
	struct json_seen *seen;
	size_t seen_cap;
	char *scratch;
	size_t scratch_cap;
};

#define JSON_DEPTH 128
#define JSON_NODES 1000000

struct json_limits {
	uint32_t depth;		/* default JSON_DEPTH */
	uint32_t nodes;		/* default JSON_NODES */
};

extern const struct json_limits json_limits_default;
/* Of a text that will stand inside others, as a body does in events, cards and
 * questions: those can then be read with the defaults. */
#define JSON_DEPTH_AROUND 8
extern const struct json_limits json_limits_inside;

/* Zeroed is valid.  The node memory is kept between texts. */
void json_init(struct json_doc *d);
void json_free(struct json_doc *d);
/* JSON_OK or the reason; error_off says where. lim NULL: the defaults. */
enum json_error json_index(struct json_doc *d, struct slice text,
    const struct json_limits *lim) MUST_USE;
const char *json_error_text(enum json_error e);

static inline enum json_type
json_typeof(const struct json_doc *d, uint32_t node)
{
	return node >= d->n ? (enum json_type)0 :
	    (enum json_type)d->nodes[node].type;
}

/* First child (an object's first key) or JSON_NONE; the next sibling. */
uint32_t json_first(const struct json_doc *d, uint32_t container);
uint32_t json_next(const struct json_doc *d, uint32_t container,
    uint32_t child);
/* The value of a member, JSON_NONE when there is none or no object. */
uint32_t json_member(const struct json_doc *d, uint32_t obj, const char *key);
/* Path of keys ("params", "name", NULL). */
uint32_t json_path(const struct json_doc *d, uint32_t node, ...)
    __attribute__((sentinel));

/* The bytes of the node as received. */
struct slice json_raw(const struct json_doc *d, uint32_t node);
/* The text between the quotes, still escaped. */
struct slice json_inner(const struct json_doc *d, uint32_t node);
/* Unescaped text appended to out; -1 when it does not fit or no string. */
int json_decode(const struct json_doc *d, uint32_t node, struct buf *out)
    MUST_USE;
bool json_str_is(const struct json_doc *d, uint32_t node, const char *s);
/* Unescaped malloc'd copy; NULL when no string or it holds a NUL. */
char *json_strdup(const struct json_doc *d, uint32_t node) MUST_USE;
bool json_int(const struct json_doc *d, uint32_t node, int64_t *v_r) MUST_USE;

#endif
