/* jsonl - see jsonl.h. */
#include "jsonl.h"

#include "fit.h"

#define WRAPPED_MAX 65536
#define HEAD_MAX 32	/* {"seq":18446744073709551615, and the newline */

void
jsonl_init(struct jsonl *j)
{
	memset(j, 0, sizeof(*j));
	json_init(&j->doc);
	buf_init(&j->wrapped, WRAPPED_MAX);
}

void
jsonl_free(struct jsonl *j)
{
	json_free(&j->doc);
	buf_free(&j->wrapped);
}

/* NULL when the event can go out as it is. */
static const char *
wrong_with(struct jsonl *j, struct slice event)
{
	enum json_error e = json_index(&j->doc, event, NULL);

	if (e != JSON_OK)
		return json_error_text(e);
	if (json_typeof(&j->doc, 0) != JSON_OBJECT)
		return "not an object";
	if (json_first(&j->doc, 0) == JSON_NONE)
		return "an empty object";
	if (json_member(&j->doc, 0, "seq") != JSON_NONE)
		return "has a seq of its own";
	return NULL;
}

int
jsonl_format(struct jsonl *j, struct buf *out, uint64_t seq,
    struct slice event)
{
	const char *wrong = wrong_with(j, event);
	char room[U64_DIGITS];

	if (wrong != NULL) {
		buf_reset(&j->wrapped);
		fit_malformed(&j->wrapped, event, wrong, WRAPPED_MAX);
		ASSERT(!j->wrapped.full);
		event = buf_slice(&j->wrapped);
	} else {
		event = json_raw(&j->doc, 0);
	}
	if (buf_room(out) < event.n + HEAD_MAX)
		return -1;
	buf_add_str(out, "{\"seq\":");
	buf_add_slice(out, slice_of_u64(seq, room));
	buf_add_char(out, ',');
	fit_one_line(out, slice_sub(event, 1, event.n - 1));
	buf_add_char(out, '\n');
	ASSERT(!out->full);
	j->malformed += wrong != NULL;
	return 0;
}

bool
jsonl_seq(struct slice line, uint64_t *seq_r)
{
	struct slice rest;

	if (!slice_starts(line, "{\"seq\":"))
		return false;
	rest = slice_sub(line, 7, line.n);
	if (slice_chr(rest, ',') < 0)
		return false;
	return slice_to_u64(slice_cut(&rest, ','), seq_r);
}
