/*
 * yaml - a YAML 1.2 subset as a tree with places: what config, connectors
 * and rules are read from (libyaml's event API under it).
 *
 * Refused: anchors, aliases, tags, duplicate keys, more than one document
 * (unless multi), more than the limits allow. Scalars are text; the
 * reader's schema types them.
 */
#ifndef YAML_H_
#define YAML_H_

#include "base.h"
#include "err.h"

enum yaml_type { YAML_SCALAR = 1, YAML_SEQ, YAML_MAP };

struct yaml_node {
	enum yaml_type type;
	int line, col;			/* from 1 */
	bool quoted;			/* scalar in quotes or a block */
	char *text;			/* scalar, NUL-terminated */
	size_t len;
	struct yaml_node **items;	/* sequence items, or a map's values */
	struct yaml_node **keys;	/* a map's keys (scalars) */
	size_t n;
};

struct yaml_doc {
	char *file;
	struct yaml_node **roots;	/* one, or more when multi */
	size_t n;
};

/* NULL and err on failure ("file:line:col: ..."). An empty text is an error. */
struct yaml_doc *yaml_parse(const char *file, struct slice text, bool multi,
    struct err *err) MUST_USE;
struct yaml_limits {
	size_t bytes, depth, nodes;	/* at most 16 MiB, 64, 1,000,000 */
};

/* 1 MiB, 32, 200,000. */
extern const struct yaml_limits yaml_limits_default;

struct yaml_doc *yaml_parse_within(const char *file, struct slice text,
    bool multi, const struct yaml_limits *lim, struct err *err) MUST_USE;
/* The same tree of a JSON text (json.h's, strict). Strings are quoted
 * scalars, null, true, false and numbers plain ones as written. */
struct yaml_doc *yaml_from_json(const char *file, struct slice text,
    const struct yaml_limits *lim, struct err *err) MUST_USE;
/* Reads the file whole (limit 1 MiB) and parses it. */
struct yaml_doc *yaml_load(const char *file, bool multi, struct err *err)
    MUST_USE;
/* NULL-safe. libyaml exports a yaml_free of its own and would call ours. */
void yaml_free(struct yaml_doc *d) __asm__("portreeve_yaml_free");

/* The value, or NULL. */
struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);

/*
 * Typed access with errors that name the place. A missing key leaves *v_r as
 * it was and returns 0; a wrong type sets err and returns -1.
 */
int yaml_get_str(const struct yaml_doc *d, const struct yaml_node *map,
    const char *key, char **v_r, struct err *err) MUST_USE; /* replaces, frees former */
int yaml_get_bool(const struct yaml_doc *d, const struct yaml_node *map,
    const char *key, bool *v_r, struct err *err) MUST_USE;	/* true|false */
int yaml_get_int(const struct yaml_doc *d, const struct yaml_node *map,
    const char *key, int64_t min, int64_t max, int64_t *v_r, struct err *err)
    MUST_USE;
int yaml_get_duration(const struct yaml_doc *d, const struct yaml_node *map,
    const char *key, int64_t *ms_r, struct err *err) MUST_USE;
/* Index of the scalar among names; the error offers the nearest. */
int yaml_get_enum(const struct yaml_doc *d, const struct yaml_node *map,
    const char *key, const char *const *names, size_t n, int *v_r,
    struct err *err) MUST_USE;
/* -1 and an error naming the nearest when the map has a key not in names. */
int yaml_check_keys(const struct yaml_doc *d, const struct yaml_node *map,
    const char *const *names, size_t n, struct err *err) MUST_USE;
/* An error at this node. */
void yaml_err(const struct yaml_doc *d, const struct yaml_node *at,
    struct err *err, const char *fmt, ...) PRINTF_LIKE(4, 5);

#endif
