/* err - see err.h. */
#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void
err_set(struct err *e, const char *fmt, ...)
{
	va_list ap;

	if (e == NULL || e->set)
		return;
	e->set = true;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
}

void
err_at(struct err *e, const char *file, int line, int col,
    const char *fmt, ...)
{
	va_list ap;
	int n;

	if (e == NULL || e->set)
		return;
	e->set = true;
	if (line > 0)
		n = snprintf(e->text, sizeof(e->text), "%s:%d:%d: ", file,
		    line, col);
	else
		n = snprintf(e->text, sizeof(e->text), "%s: ", file);
	if (n < 0 || (size_t)n >= sizeof(e->text))
		return;
	va_start(ap, fmt);
	vsnprintf(e->text + n, sizeof(e->text) - (size_t)n, fmt, ap);
	va_end(ap);
}

#define NEAREST_MAX 64

/* Levenshtein distance; both at most NEAREST_MAX long. */
static unsigned
distance(struct slice a, struct slice b)
{
	unsigned row[NEAREST_MAX + 1];

	for (size_t j = 0; j <= b.n; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= a.n; i++) {
		unsigned diag = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b.n; j++) {
			unsigned sub = diag + (a.p[i - 1] != b.p[j - 1]);
			unsigned ins = row[j - 1] + 1, del = row[j] + 1;

			diag = row[j];
			row[j] = sub < ins ? sub : ins;
			if (del < row[j])
				row[j] = del;
		}
	}
	return row[b.n];
}

const char *
err_nearest(struct slice s, const char *const *names, size_t n)
{
	const char *best = NULL;
	unsigned best_d = 0;

	if (s.n == 0 || s.n > NEAREST_MAX)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		if (names[i] == NULL || strlen(names[i]) > NEAREST_MAX)
			continue;
		unsigned d = distance(s, slice_str(names[i]));
		unsigned limit = (unsigned)(s.n < 4 ? 1 : s.n < 8 ? 2 : 3);

		/* Nothing in common is no typing error. */
		if (d >= (s.n > strlen(names[i]) ? s.n : strlen(names[i])))
			continue;

		if (d <= limit && (best == NULL || d < best_d)) {
			best = names[i];
			best_d = d;
		}
	}
	return best;
}
