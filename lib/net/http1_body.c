/*
 * http1_body - takes message bodies out of their framing; see http1.h.
 *
 *   SIZE -> EXT? -> SIZE_LF -> CHUNK -> CHUNK_CR -> CHUNK_LF -> SIZE
 *                      | (size 0)
 *                      v
 *   TRAILER -> NAME -> VALUE -> VALUE_LF -> TRAILER -> LAST_LF -> DONE
 *
 * A machine of bytes, so that it does not matter where the input is split.
 */
#include "http1.h"
#include "http1_impl.h"

enum {
	S_FIRST = 0,	/* first hex digit of a size */
	S_SIZE, S_EXT, S_SIZE_LF, S_CHUNK, S_CHUNK_CR, S_CHUNK_LF,
	S_TRAILER,	/* begin of a trailer line */
	S_NAME, S_VALUE, S_VALUE_LF, S_LAST_LF, S_LENGTH, S_CLOSE, S_DONE
};

void
http1_body_init(struct http1_body *b, enum http1_framing framing,
    uint64_t length)
{
	memset(b, 0, sizeof(*b));
	b->framing = framing;
	switch (framing) {
	case HTTP1_BODY_LENGTH:
		b->left = length;
		b->state = length == 0 ? S_DONE : S_LENGTH;
		break;
	case HTTP1_BODY_CHUNKED:
		b->state = S_FIRST;
		break;
	case HTTP1_BODY_CLOSE:
		b->state = S_CLOSE;
		break;
	case HTTP1_BODY_NONE:
		b->state = S_DONE;
		break;
	}
}

static int
fail(struct http1_body *b, enum http1_error e)
{
	b->error = e;
	return -1;
}

/* The line of a size is over. */
static int
size_end(struct http1_body *b, char c)
{
	if (c != '\n')
		return fail(b, HTTP1_E_CHUNK_SIZE);
	b->state = b->left == 0 ? S_TRAILER : S_CHUNK;
	b->n = 0;
	return 0;
}

static int
size_byte(struct http1_body *b, char c)
{
	int d = http1_hex(c);

	if (d >= 0) {
		if (++b->n > 16 || b->left > (uint64_t)INT64_MAX >> 4)
			return fail(b, HTTP1_E_CHUNK_SIZE);
		b->left = b->left << 4 | (unsigned)d;
		b->state = S_SIZE;
		return 0;
	}
	if (b->state == S_FIRST || (c != '\r' && c != ';') ||
	    b->left > INT64_MAX - b->total)
		return fail(b, HTTP1_E_CHUNK_SIZE);
	b->state = c == ';' ? S_EXT : S_SIZE_LF;
	b->n = 0;
	return 0;
}

static int
ext_byte(struct http1_body *b, char c)
{
	if (c == '\r' && b->n > 0) {
		b->state = S_SIZE_LF;
		return 0;
	}
	if (!http1_is(c, C_TEXT) || ++b->n > HTTP1_EXT_MAX ||
	    ++b->ext_total > HTTP1_EXT_TOTAL)
		return fail(b, HTTP1_E_CHUNK_EXT);
	return 0;
}

/* Dropped, but one that tries to frame, route or authenticate is an attack
 * on whoever merges trailers into the head (RFC 9110, 6.5.1). */
static int
trailer_name_end(struct http1_body *b)
{
	struct slice name = slice_make(b->name, b->name_n);

	if (b->name_n == 0 || ++b->trailers > HTTP1_TRAILER_FIELDS)
		return fail(b, HTTP1_E_TRAILER);
	for (size_t i = 0; i < name.n; i++)
		if (b->name[i] == '_')
			b->name[i] = '-';
	/* longer names are none that we know */
	if (name.n < sizeof(b->name) &&
	    (http1_known_flags(http1_known_of(name)) & F_FRAME))
		return fail(b, HTTP1_E_TRAILER);
	b->name_n = 0;
	b->state = S_VALUE;
	return 0;
}

static int
trailer_byte(struct http1_body *b, char c)
{
	if (++b->n > HTTP1_TRAILER_MAX)
		return fail(b, HTTP1_E_TRAILER);
	if (b->state == S_VALUE) {
		if (c == '\r')
			b->state = S_VALUE_LF;
		else if (!http1_is(c, C_TEXT))
			return fail(b, HTTP1_E_TRAILER);
		return 0;
	}
	if (b->state == S_TRAILER && c == '\r') {
		b->state = S_LAST_LF;
		return 0;
	}
	b->state = S_NAME;
	if (c == ':')
		return trailer_name_end(b);
	if (!http1_is(c, C_TOKEN))
		return fail(b, HTTP1_E_TRAILER);
	if (b->name_n < sizeof(b->name))
		b->name[b->name_n++] = c;
	return 0;
}

/* Everything but runs of data. */
static int
byte(struct http1_body *b, char c)
{
	switch (b->state) {
	case S_FIRST:
	case S_SIZE:
		return size_byte(b, c);
	case S_EXT:
		return ext_byte(b, c);
	case S_SIZE_LF:
		return size_end(b, c);
	case S_CHUNK_CR:
		b->state = S_CHUNK_LF;
		return c == '\r' ? 0 : fail(b, HTTP1_E_CHUNK_END);
	case S_CHUNK_LF:
		b->state = S_FIRST;
		b->n = 0;
		return c == '\n' ? 0 : fail(b, HTTP1_E_CHUNK_END);
	case S_TRAILER:
	case S_NAME:
	case S_VALUE:
		return trailer_byte(b, c);
	case S_VALUE_LF:
		b->state = S_TRAILER;
		return c == '\n' ? 0 : fail(b, HTTP1_E_TRAILER);
	case S_LAST_LF:
		b->state = S_DONE;
		return c == '\n' ? 0 : fail(b, HTTP1_E_TRAILER);
	}
	ASSERT(!"a state of data");
}

static enum http1_result
data(struct http1_body *b, struct slice *in, struct slice *data_r)
{
	bool counted = b->state != S_CLOSE;
	size_t n = in->n;

	if (counted && b->left < n)
		n = (size_t)b->left;
	if (counted && (b->left -= n) == 0)
		b->state = b->state == S_CHUNK ? S_CHUNK_CR : S_DONE;
	b->total += n;
	*data_r = slice_sub(*in, 0, n);
	*in = slice_sub(*in, n, SIZE_MAX);
	return HTTP1_DATA;
}

enum http1_result
http1_body_next(struct http1_body *b, struct slice *in, struct slice *data_r)
{
	if (b->error != HTTP1_E_NONE)
		return HTTP1_ERROR;
	while (b->state != S_DONE) {
		if (in->n == 0)
			return HTTP1_MORE;
		if (b->state == S_CHUNK || b->state == S_LENGTH ||
		    b->state == S_CLOSE)
			return data(b, in, data_r);
		if (byte(b, in->p[0]) != 0)
			return HTTP1_ERROR;
		*in = slice_sub(*in, 1, SIZE_MAX);
	}
	return HTTP1_DONE;
}

enum http1_result
http1_body_eof(struct http1_body *b, bool clean)
{
	if (b->error != HTTP1_E_NONE)
		return HTTP1_ERROR;
	if (b->state == S_CLOSE && clean)
		b->state = S_DONE;
	if (b->state != S_DONE)
		b->error = HTTP1_E_TRUNCATED;
	return b->state == S_DONE ? HTTP1_DONE : HTTP1_ERROR;
}

bool
http1_body_done(const struct http1_body *b)
{
	return b->error == HTTP1_E_NONE && b->state == S_DONE;
}
