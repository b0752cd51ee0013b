/* http2_stream - a stream of HTTP/2 as a struct stream; see http2.h. */
#include "http2.h"
#include "stream.h"

static ssize_t
op_read(void *ctx, void *p, size_t n)
{
	return http2_read(ctx, p, n);
}

static ssize_t
op_write(void *ctx, const void *p, size_t n)
{
	return http2_write(ctx, p, n);
}

static void
op_shutdown(void *ctx)
{
	http2_end(ctx);
}

static void
op_sever(void *ctx)
{
	http2_cut(ctx);
}

static size_t
op_pending(const void *ctx)
{
	return http2_pending(ctx);
}

static void
op_end(void *ctx)
{
	http2_stream_free(ctx);
}

static void
op_abort(void *ctx)
{
	http2_cut(ctx);
	http2_stream_free(ctx);
}

static const struct stream_ops ops = { op_read, op_write, op_shutdown,
	op_sever, op_pending, op_end, op_abort };

struct stream *
http2_as_stream(struct http2_stream *st, int under)
{
	return stream_virtual(&ops, st, under);
}
