/* reason - see reason.h. */
#include "reason.h"

static const struct {
	const char *word, *text;
	bool exception;
} reasons[REASON_COUNT] = {
#define REASON(sym, word, exception, text)                                \
	[REASON_##sym] = { word, text, exception },
#include "reasons.def"
#undef REASON
};

const char *
reason_word(enum reason r)
{
	return (unsigned)r < REASON_COUNT ? reasons[r].word : "?";
}

const char *
reason_text(enum reason r)
{
	return (unsigned)r < REASON_COUNT ? reasons[r].text : "";
}

bool
reason_is_exception(enum reason r)
{
	return (unsigned)r < REASON_COUNT && reasons[r].exception;
}

bool
reason_parse(struct slice word, enum reason *r_r)
{
	for (unsigned i = 0; i < REASON_COUNT; i++) {
		if (!slice_is(word, reasons[i].word))
			continue;
		*r_r = (enum reason)i;
		return true;
	}
	return false;
}
