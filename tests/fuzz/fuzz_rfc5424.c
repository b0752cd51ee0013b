/* fuzz_rfc5424 - whatever an event is, the message keeps to its grammar and
 * limit, and its line to one line of JSON. */
#include <stdlib.h>

#include "jsonl.h"
#include "rfc5424.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check_message(struct slice m, struct json_doc *d)
{
	bool quoted = false;
	size_t i = 0;

	/* Header and structured data: no control characters; the element ends
	 * at the first ']' that is not escaped within a value. */
	for (; i < m.n; i++) {
		unsigned char c = (unsigned char)m.p[i];

		if (c < 0x20 || c == 0x7f)
			abort();
		if (quoted && c == '\\')
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && c == ']')
			break;
	}
	if (i + 2 >= m.n || m.n > RFC5424_MIN)
		abort();
	if (json_index(d, slice_sub(m, i + 2, m.n), NULL) != JSON_OK)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct rfc5424 f;
	static struct jsonl j;
	static struct json_doc d;
	static struct buf out;
	uint64_t seq;

	if (out.max == 0) {
		rfc5424_init(&f, "host", RFC5424_MIN);
		jsonl_init(&j);
		json_init(&d);
		buf_init(&out, 8u << 20);
	}
	if (n > 1u << 20)
		return 0;
	buf_reset(&out);
	if (rfc5424_format(&f, &out, 7, slice_make(data, n)) != 0)
		abort();
	check_message(buf_slice(&out), &d);
	buf_reset(&out);
	if (jsonl_format(&j, &out, 7, slice_make(data, n)) != 0)
		abort();
	if (slice_chr(buf_slice(&out), '\n') != (ssize_t)out.len - 1 ||
	    !jsonl_seq(buf_slice(&out), &seq) || seq != 7 ||
	    json_index(&d, buf_slice(&out), NULL) != JSON_OK)
		abort();
	return 0;
}
