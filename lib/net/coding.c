/* coding - see coding.h. */
#include "coding.h"

#include <stdlib.h>
#include <zlib.h>

#define OUT_SIZE 16384
#define WINDOW_BITS 15
#define GZIP_ONLY 16		/* added to the window bits: zlib.h */

struct coding {
	z_stream z;
	struct coding_limits lim;
	enum coding_error error;
	bool done;		/* the stream's end was read */
	uint64_t in, out;	/* bytes so far */
	unsigned char buf[OUT_SIZE];
};

const struct coding_limits coding_limits_default = {
	.bytes = UINT64_MAX,
	.floor = 256u << 10,
	.ratio = 200,
};

/* zlib tells the allocator no size when it frees; wiping needs it. */
struct block {
	max_align_t size;	/* its first bytes: a size_t */
	char data[];
};

static void *
block_alloc(void *ctx, unsigned n, unsigned size)
{
	size_t total = (size_t)n * size;
	struct block *b = base_calloc(1, sizeof(*b) + total);

	(void)ctx;
	memcpy(&b->size, &total, sizeof(total));
	return b->data;
}

static void
block_free(void *ctx, void *p)
{
	struct block *b = (struct block *)((char *)p -
	    offsetof(struct block, data));
	size_t total;

	(void)ctx;
	memcpy(&total, &b->size, sizeof(total));
	explicit_bzero(b->data, total);
	free(b);
}

struct coding *
coding_new(enum media_coding kind, const struct coding_limits *lim)
{
	struct coding *c = base_calloc(1, sizeof(*c));

	ASSERT(coding_known(kind) && lim->ratio > 0);
	c->lim = *lim;
	c->z.zalloc = block_alloc;
	c->z.zfree = block_free;
	/* Fails only for want of memory, which ends the process before. */
	ASSERT(inflateInit2(&c->z, kind == MEDIA_CODING_GZIP ?
	    WINDOW_BITS + GZIP_ONLY : WINDOW_BITS) == Z_OK);
	return c;
}

void
coding_free(struct coding *c)
{
	if (c == NULL)
		return;
	inflateEnd(&c->z);
	explicit_bzero(c->buf, sizeof(c->buf));
	free(c);
}

static enum coding_result
fail(struct coding *c, enum coding_error e)
{
	c->error = e;
	return CODING_ERROR;
}

static enum coding_error
limit_passed(const struct coding *c)
{
	if (c->in > c->lim.bytes || c->out > c->lim.bytes)
		return CODING_E_LARGE;
	if (c->out > c->lim.floor && c->out / c->lim.ratio > c->in)
		return CODING_E_BOMB;
	return CODING_OK;
}

/* One step of zlib: takes input, fills the buffer as far as it goes. */
static int
step(struct coding *c, struct slice *in, size_t *made_r)
{
	unsigned given = in->n < UINT32_MAX / 2 ? (unsigned)in->n :
	    UINT32_MAX / 2;
	int r;

	c->z.next_in = (unsigned char *)(uintptr_t)in->p;
	c->z.avail_in = given;
	c->z.next_out = c->buf;
	c->z.avail_out = sizeof(c->buf);
	r = inflate(&c->z, Z_SYNC_FLUSH);
	*made_r = sizeof(c->buf) - c->z.avail_out;
	c->in += given - c->z.avail_in;
	c->out += *made_r;
	*in = slice_sub(*in, given - c->z.avail_in, SIZE_MAX);
	return r;
}

enum coding_result
coding_next(struct coding *c, struct slice *in, struct slice *data_r)
{
	enum coding_error e;
	size_t made;
	int r;

	if (c->error != CODING_OK)
		return CODING_ERROR;
	if (c->done)
		return in->n == 0 ? CODING_MORE : fail(c, CODING_E_TRAILING);
	do {
		r = step(c, in, &made);
		c->done = r == Z_STREAM_END;
		/* Z_BUF_ERROR: nothing to do until more input comes. */
		if (r != Z_OK && r != Z_STREAM_END &&
		    (r != Z_BUF_ERROR || in->n > 0))
			return fail(c, CODING_E_BROKEN);
		if ((e = limit_passed(c)) != CODING_OK)
			return fail(c, e);
	} while (made == 0 && in->n > 0 && !c->done);
	if (made > 0) {
		*data_r = slice_make(c->buf, made);
		return CODING_DATA;
	}
	return c->done && in->n > 0 ? fail(c, CODING_E_TRAILING) : CODING_MORE;
}

bool
coding_end(struct coding *c)
{
	if (c->error == CODING_OK && !c->done && c->in > 0)
		c->error = CODING_E_CUT;
	return c->error == CODING_OK;
}

enum coding_error
coding_error(const struct coding *c)
{
	return c->error;
}

const char *
coding_error_text(enum coding_error e)
{
	switch (e) {
	case CODING_E_BROKEN:
		return "it is not what Content-Encoding says, or damaged";
	case CODING_E_CUT:
		return "the encoded body is cut off";
	case CODING_E_TRAILING:
		return "bytes stand behind the end of the encoded body";
	case CODING_E_LARGE:
		return "it is too large, as sent or decoded";
	case CODING_E_BOMB:
		return "it grows too much when it is decoded";
	case CODING_OK:
		break;
	}
	return "no error";
}
