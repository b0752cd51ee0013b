/* lines - see lines.h. */
#include "lines.h"

void
lines_init(struct lines *l, size_t max)
{
	memset(l, 0, sizeof(*l));
	l->max = max;
	buf_init(&l->part, max + 1);	/* a CR may be its last byte */
}

void
lines_free(struct lines *l)
{
	buf_wipe_free(&l->part);
}

/* The line up to its LF is `tail` behind what was kept. */
static bool
take(struct lines *l, struct slice tail, struct slice *line_r)
{
	struct slice s = tail;

	if (l->part.len > 0) {
		if (buf_add_slice(&l->part, tail) != 0)
			return false;
		s = buf_slice(&l->part);
		l->clear = true;
	}
	if (s.n > 0 && s.p[s.n - 1] == '\r')
		s.n--;
	*line_r = s;
	return s.n <= l->max;
}

enum lines_result
lines_next(struct lines *l, struct slice *in, struct slice *line_r)
{
	struct slice line = { NULL, 0 };

	if (l->clear) {
		buf_reset(&l->part);
		l->clear = false;
	}
	while (in->n > 0) {
		ssize_t lf = slice_chr(*in, '\n');
		struct slice tail = slice_sub(*in, 0, lf < 0 ? in->n :
		    (size_t)lf);

		*in = slice_sub(*in, tail.n + (lf >= 0), SIZE_MAX);
		if (lf < 0) {
			if (l->skip || buf_add_slice(&l->part, tail) == 0)
				return LINES_MORE;
			buf_reset(&l->part);
			l->skip = true;
			return LINES_LONG;
		}
		if (l->skip) {
			l->skip = false;
			continue;
		}
		if (!take(l, tail, &line)) {
			buf_reset(&l->part);
			l->clear = false;
			return LINES_LONG;
		}
		if (line.n > 0) {
			*line_r = line;
			return LINES_LINE;
		}
		buf_reset(&l->part);
		l->clear = false;
	}
	return LINES_MORE;
}
