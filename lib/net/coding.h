/*
 * coding - takes a content coding off a body: gzip (RFC 1952) and deflate in
 * its zlib wrapper (RFC 1950), as RFC 9110, 8.4.1 defines them, by zlib.
 *
 * Incremental: nothing depends on where the input is split.  Refused: a stream
 * that is cut off, anything behind its end (so also a second gzip member,
 * which some readers join and others drop), raw deflate without its wrapper, a
 * preset dictionary.  An encoded body of no bytes at all is an empty body.
 *
 * About 57 KiB while a struct coding lives; all of it, which held parts of the
 * body, is overwritten when freed.  Identity needs no struct coding.
 */
#ifndef CODING_H
#define CODING_H

#include "base.h"
#include "media.h"

enum coding_result {
	CODING_ERROR = 0,	/* the body is refused; stays */
	CODING_MORE,		/* all input was taken */
	CODING_DATA
};

enum coding_error {
	CODING_OK = 0,
	CODING_E_BROKEN,	/* not this coding, or a bad checksum */
	CODING_E_CUT,		/* it ended inside the stream */
	CODING_E_TRAILING,	/* bytes behind the stream */
	CODING_E_LARGE,		/* more than limits.bytes, in or out */
	CODING_E_BOMB		/* out beyond limits.ratio times in */
};

struct coding_limits {
	uint64_t bytes;		/* of the input, and of the output */
	uint64_t floor;		/* output up to here has no ratio; 256 KiB */
	unsigned ratio;		/* output may be so many times input; 200 */
};

/* Without a limit of bytes, for streams: the ratio holds. */
extern const struct coding_limits coding_limits_default;

struct coding;

/* Can it be taken off here? */
static inline bool
coding_known(enum media_coding c)
{
	return c == MEDIA_CODING_GZIP || c == MEDIA_CODING_DEFLATE;
}

/* c must be known; lim is copied. */
struct coding *coding_new(enum media_coding c, const struct coding_limits *lim)
    MUST_USE;
void coding_free(struct coding *c);	/* NULL-safe */

/* Takes bytes off *in.  DATA: *data_r is the next run of the body, never
 * empty, at most 16 KiB, valid until the next call; call again. */
enum coding_result coding_next(struct coding *c, struct slice *in,
    struct slice *data_r) MUST_USE;
/* The input has ended: was that the end of the stream? */
bool coding_end(struct coding *c) MUST_USE;
enum coding_error coding_error(const struct coding *c);
const char *coding_error_text(enum coding_error e);

#endif
