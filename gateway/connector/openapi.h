/*
 * openapi - proposes a connector from an OpenAPI 3.0 or 3.1 description: a
 * file for connectors.d that a person finishes. It must never propose a class
 * below the floor of a method, nor a file that serves before it was reviewed:
 * it says approved: false and has placeholders that `check` refuses.
 *
 * Followed: `servers` (the first; its variables by their defaults), `paths`,
 * `$ref` of a path item inside the file, `operationId`. Schemas are not
 * looked at. Source: OpenAPI Specification 3.0.4 and 3.1.1.
 *
 * Limits: 16 MiB, 64 deep, 1,000,000 values, 16 references in a row, 5,000
 * operations.
 */
#ifndef OPENAPI_H
#define OPENAPI_H

#include "base.h"
#include "buf.h"
#include "conf.h"
#include "err.h"

#define OPENAPI_BYTES_MAX ((size_t)16 << 20)
#define OPENAPI_REFS_MAX 16
#define OPENAPI_OPERATIONS_MAX 5000
#define OPENAPI_OUT_MAX ((size_t)16 << 20)	/* what it may write */

struct openapi_options {
	const char *name;	/* of the connector; NULL: from info.title */
	const char *host;	/* host, host:port or scheme://host:port in
				 * place of the server's; NULL: the server's */
};

/* JSON when the text begins with {, else YAML. Appends the file to out and
 * the connector's name to name_r (at most 64 bytes and a NUL). What is left
 * out is said to warn. -1 and err ("file:line:col: ..."). */
int openapi_import(const char *file, struct slice text,
    const struct openapi_options *opt, struct buf *out, char name_r[65],
    conf_warn_fn *warn, void *ctx, struct err *err) MUST_USE;

/* What a method and the words of a name or path propose. */
enum conf_class openapi_class(const char *method, struct slice name,
    struct slice path);

#endif
