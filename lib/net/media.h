/*
 * media - what a body claims to be: Content-Type, Content-Encoding, Accept
 * (RFC 9110, 8.3, 8.4, 12.5.1).  Classifies only; coding.h decodes.
 */
#ifndef MEDIA_H
#define MEDIA_H

#include "base.h"

enum media_kind {
	MEDIA_INVALID = 0,	/* malformed, or read in two ways */
	MEDIA_NONE,		/* no Content-Type, or an empty one */
	MEDIA_JSON,		/* application/json, text/json, anything +json */
	MEDIA_SSE,		/* text/event-stream */
	MEDIA_NDJSON,		/* x-ndjson, jsonl, json-seq: lines of JSON */
	MEDIA_TEXT,		/* text/..., XML, JavaScript, YAML */
	MEDIA_FORM,		/* application/x-www-form-urlencoded */
	MEDIA_MULTIPART,	/* multipart/... */
	MEDIA_BINARY		/* all others */
};

struct media {
	enum media_kind kind;
	struct slice type, subtype;	/* as received, without parameters */
	struct slice charset;		/* unquoted; p == NULL: none */
	struct slice boundary;		/* unquoted; p == NULL: none */
	bool utf8;			/* charset absent, utf-8 or us-ascii */
};

/* False (and kind MEDIA_INVALID) when malformed: no type "/" subtype, a
 * parameter twice, an unclosed quote, an escape in a charset or boundary,
 * multipart without a boundary. */
bool media_parse(struct slice content_type, struct media *m_r);
/* The gate can read it: JSON, lines of JSON, SSE, text and forms, in UTF-8. */
bool media_inspectable(const struct media *m);
const char *media_kind_name(enum media_kind k);

enum media_coding {
	MEDIA_CODING_UNKNOWN = 0,	/* or malformed */
	MEDIA_CODING_SEVERAL,		/* a list: no reader agrees on it */
	MEDIA_CODING_IDENTITY,		/* absent, empty or "identity" */
	MEDIA_CODING_GZIP, MEDIA_CODING_DEFLATE, MEDIA_CODING_BR,
	MEDIA_CODING_ZSTD
};

/* Of one Content-Encoding field; http1 refuses a second one, other sources
 * must look at each.  Any but IDENTITY means that the body is encoded. */
enum media_coding media_coding_of(struct slice content_encoding);

/* Would a response of this type ("text/event-stream", lower case) do?  The
 * most specific range decides, q=0 refuses, a malformed range counts for
 * nothing.  No Accept at all (p == NULL) accepts everything, an empty one
 * nothing. */
bool media_accepts(struct slice accept, const char *type);
/* The same, but only a range that names the type itself counts. */
bool media_accepts_named(struct slice accept, const char *type);

#endif
