/*
 * sse - see sse.h.
 *
 * Bytes are appended to raw up to the next line end, each line is read when it
 * is whole.  An event costs one copy, and one more when its data has several
 * lines.
 */
#include "sse.h"

#include <stdio.h>

#define BOM "\xef\xbb\xbf"

const struct sse_limits sse_limits_default = {
	.line = 4u << 20, .event = 8u << 20, .lines = 65536,
};

void
sse_init(struct sse *s, const struct sse_limits *lim)
{
	memset(s, 0, sizeof(*s));
	s->lim = lim == NULL ? &sse_limits_default : lim;
	/* room for the LF of a last line, which is no byte of a line */
	buf_init(&s->raw, s->lim->event + 1);
	buf_init(&s->data, s->lim->event + 1);
}

void
sse_free(struct sse *s)
{
	buf_free(&s->raw);
	buf_free(&s->data);
}

/* One huge event must not cost its memory for the life of the stream. */
#define KEEP_MAX (256u << 10)

static void
empty(struct buf *b)
{
	if (b->cap > KEEP_MAX)
		buf_free(b);
	else
		buf_reset(b);
}

static void
event_clear(struct sse *s)
{
	empty(&s->raw);
	empty(&s->data);
	s->line = 0;
	s->lines = s->data_lines = 0;
	s->name = s->one = s->id = (struct sse_part){ 0, 0 };
	s->has_id = s->has_retry = s->clear = s->drop = false;
}

void
sse_trim(struct sse *s)
{
	if (sse_pending(s) > 0)
		return;
	event_clear(s);
	buf_free(&s->raw);
	buf_free(&s->data);
}

static int
fail(struct sse *s, enum sse_error e)
{
	s->error = e;
	return -1;
}

/* Bytes before the first CR or LF; one pass, whichever comes. */
static size_t
line_span(const char *p, size_t n)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	size_t i = 0;

	for (; n - i >= 8; i += 8) {
		uint64_t w, a, b;

		memcpy(&w, p + i, 8);
		a = w ^ (ones * '\n');
		b = w ^ (ones * '\r');
		if ((((a - ones) & ~a) | ((b - ones) & ~b)) & (ones * 0x80))
			break;
	}
	while (i < n && p[i] != '\n' && p[i] != '\r')
		i++;
	return i;
}

/* ----------------------------------------------------------- one line */

static struct slice
part(const struct sse *s, struct sse_part p)
{
	return slice_make(buf_data(&s->raw) + p.off, p.n);
}

static int
data_line(struct sse *s, struct sse_part v)
{
	if (s->data_lines++ == 0) {
		s->one = v;
		return 0;
	}
	/* never more than raw has, where each line has a name as well */
	if (s->data_lines == 2)
		buf_add_slice(&s->data, part(s, s->one));
	buf_add_char(&s->data, '\n');
	buf_add_slice(&s->data, part(s, v));
	return s->data.full ? fail(s, SSE_E_EVENT) : 0;
}

static int
field(struct sse *s, struct slice name, struct sse_part v)
{
	struct slice value = part(s, v);
	uint64_t ms;

	if (slice_is(name, "data"))
		return data_line(s, v);
	if (slice_is(name, "event")) {
		s->name = v;
	} else if (slice_is(name, "id")) {
		if (slice_chr(value, '\0') < 0) {
			s->id = v;
			s->has_id = true;
		}
	} else if (slice_is(name, "retry")) {
		if (slice_to_u64(value, &ms)) {
			s->retry_ms = ms;
			s->has_retry = true;
		}
	}
	return 0;
}

static enum sse_result
event_out(struct sse *s, struct sse_event *ev_r)
{
	s->clear = true;
	s->events++;
	*ev_r = (struct sse_event){
		.raw = buf_slice(&s->raw), .name = part(s, s->name),
		.data = s->data_lines > 1 ? buf_slice(&s->data) :
		    part(s, s->one),
		.id = part(s, s->id), .retry_ms = s->retry_ms,
		.has_id = s->has_id, .has_retry = s->has_retry,
		.has_data = s->data_lines > 0,
	};
	return SSE_EVENT;
}

static enum sse_result
comment_out(struct sse *s, struct slice line, struct sse_event *ev_r)
{
	s->drop = true;
	s->comments++;
	/* the LF is part of raw, not of line */
	*ev_r = (struct sse_event){
		.raw = slice_make(line.p, line.n + 1),
		.comment = slice_sub(line, 1, SIZE_MAX),
	};
	return SSE_COMMENT;
}

/* The line from s->line on is whole, without its end. */
static enum sse_result
line_end(struct sse *s, struct sse_event *ev_r)
{
	struct slice line, name, rest;
	size_t off = s->line, skip;

	if (buf_add_char(&s->raw, '\n') != 0)
		return fail(s, SSE_E_EVENT), SSE_ERROR;
	line = slice_sub(buf_slice(&s->raw), off, s->raw.len - off - 1);
	if (line.n == 0)
		return off == 0 ? comment_out(s, line, ev_r) :
		    event_out(s, ev_r);
	/* Forwarded as the first line, it would lose the BOM and become a
	 * field that we did not see. */
	if (slice_starts(line, BOM))
		return fail(s, SSE_E_BOM), SSE_ERROR;
	if (line.p[0] == ':')
		return comment_out(s, line, ev_r);
	if (++s->lines > s->lim->lines)
		return fail(s, SSE_E_LINES), SSE_ERROR;
	s->line = s->raw.len;
	rest = line;
	name = slice_cut(&rest, ':');
	skip = rest.n > 0 && rest.p[0] == ' ';
	if (rest.p == NULL)
		rest = slice_sub(line, line.n, 0);
	return field(s, name, (struct sse_part){
		off + (size_t)(rest.p - line.p) + skip, rest.n - skip }) != 0 ?
	    SSE_ERROR : SSE_MORE;
}

/* ------------------------------------------------------------ stream */

/* Takes the BOM off the very begin; what only looked like one is text. */
static int
bom_skip(struct sse *s, struct slice *in)
{
	while (s->bom < 3 && in->n > 0 && in->p[0] == BOM[s->bom]) {
		s->bom++;
		*in = slice_sub(*in, 1, SIZE_MAX);
	}
	if (s->bom == 3 || in->n == 0)
		return 0;
	size_t n = s->bom;

	s->bom = 3;
	return buf_add(&s->raw, BOM, n) != 0 ? fail(s, SSE_E_LINE) : 0;
}

/* Appends up to the line end; 1 when it was found and taken. */
static int
line_take(struct sse *s, struct slice *in)
{
	size_t n = line_span(in->p, in->n);

	if (s->raw.len - s->line + n > s->lim->line)
		return fail(s, SSE_E_LINE);
	if (s->raw.len + n > s->lim->event)
		return fail(s, SSE_E_EVENT);
	if (buf_add(&s->raw, in->p, n) != 0)
		return fail(s, SSE_E_EVENT);
	if (n == in->n) {
		*in = slice_sub(*in, n, 0);
		return 0;
	}
	s->after_cr = in->p[n] == '\r';
	*in = slice_sub(*in, n + 1, SIZE_MAX);
	return 1;
}

enum sse_result
sse_next(struct sse *s, struct slice *in, struct sse_event *ev_r)
{
	enum sse_result r = SSE_MORE;

	if (s->error != SSE_OK)
		return SSE_ERROR;
	if (s->clear)
		event_clear(s);
	if (s->drop) {
		s->raw.len = s->line;
		s->drop = false;
	}
	if (s->bom < 3 && bom_skip(s, in) != 0)
		return SSE_ERROR;
	while (r == SSE_MORE && in->n > 0) {
		int whole;

		if (s->after_cr) {
			s->after_cr = false;
			if (in->p[0] == '\n') {
				*in = slice_sub(*in, 1, SIZE_MAX);
				continue;
			}
		}
		if ((whole = line_take(s, in)) < 0)
			return SSE_ERROR;
		if (whole)
			r = line_end(s, ev_r);
	}
	return r;
}

size_t
sse_pending(const struct sse *s)
{
	return s->clear ? 0 : s->drop ? s->line : s->raw.len;
}

const char *
sse_error_text(enum sse_error e)
{
	switch (e) {
	case SSE_OK:
		return "";
	case SSE_E_LINE:
		return "A line of the event stream is longer than the limit.";
	case SSE_E_EVENT:
		return "An event of the stream is larger than the limit.";
	case SSE_E_LINES:
		return "An event of the stream has more lines than the limit.";
	case SSE_E_BOM:
		return "A line of the event stream begins with a byte order mark.";
	}
	return "unknown";
}

/* ------------------------------------------------------------ writers */

static bool
one_line(struct slice s)
{
	return line_span(s.p, s.n) == s.n && slice_chr(s, '\0') < 0;
}

/* "prefix" before each line of text. */
static void
lines_write(struct buf *out, const char *prefix, struct slice text)
{
	for (;;) {
		size_t n = line_span(text.p, text.n);

		buf_add_str(out, prefix);
		buf_add(out, text.p, n);
		buf_add_char(out, '\n');
		if (n == text.n)
			return;
		n += text.p[n] == '\r' && n + 1 < text.n &&
		    text.p[n + 1] == '\n' ? 2 : 1;
		text = slice_sub(text, n, SIZE_MAX);
	}
}

/* All or nothing: takes back what was written when out became full. */
static int
written(struct buf *out, size_t before)
{
	if (!out->full)
		return 0;
	out->len = before;
	return -1;
}

int
sse_write_event(struct buf *out, struct slice name, struct slice id,
    struct slice data)
{
	size_t before = out->len;

	if (!one_line(name) || !one_line(id))
		return -1;
	if (name.p != NULL)
		lines_write(out, "event: ", name);
	if (id.p != NULL)
		lines_write(out, "id: ", id);
	if (data.p != NULL)
		lines_write(out, "data: ", data);
	buf_add_char(out, '\n');
	return written(out, before);
}

int
sse_write_comment(struct buf *out, struct slice text)
{
	size_t before = out->len;

	lines_write(out, ": ", text);
	return written(out, before);
}

int
sse_write_retry(struct buf *out, uint64_t ms)
{
	size_t before = out->len;

	buf_addf(out, "retry: %llu\n\n", (unsigned long long)ms);
	return written(out, before);
}
