/* reason - the words of reasons.def. */
#ifndef REASON_H
#define REASON_H

#include "base.h"

enum reason {
#define REASON(sym, word, exception, text) REASON_##sym,
#include "reasons.def"
#undef REASON
	REASON_COUNT
};

const char *reason_word(enum reason r);
const char *reason_text(enum reason r);
bool reason_is_exception(enum reason r);
bool reason_parse(struct slice word, enum reason *r_r) MUST_USE;

#endif
