/*
 * err - an error for a person: what, where, and what would be right.
 *
 * Functions that fail on an operator's input take a struct err * last, fill
 * it once (the first error stays) and return -1.
 */
#ifndef ERR_H
#define ERR_H

#include "base.h"

struct err {
	bool set;
	char text[1024];
};

void err_set(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* "file:line:col: text" when line > 0, else "file: text". */
void err_at(struct err *e, const char *file, int line, int col,
    const char *fmt, ...) PRINTF_LIKE(5, 6);
/* Of names (n of them, NULLs skipped) the nearest to s by edit distance,
 * or NULL when none is near enough to be offered. */
const char *err_nearest(struct slice s, const char *const *names, size_t n);

#endif
