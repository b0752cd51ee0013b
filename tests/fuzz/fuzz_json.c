/*
 * fuzz_json - any bytes: nodes stay inside the text and nest; what is
 * accepted is accepted again when written by jsonw as a string.
 */
#include <stdlib.h>

#include "json.h"
#include "jsonw.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check_node(const struct json_doc *d, uint32_t i)
{
	const struct json_node *x = &d->nodes[i];
	uint32_t children = 0, keys = 0;

	ASSERT(x->len > 0 && (size_t)x->off + x->len <= d->text.n);
	ASSERT(x->end > i && x->end <= d->n);
	ASSERT(x->type >= JSON_NULL && x->type <= JSON_OBJECT);
	ASSERT(i == 0 || x->off > d->nodes[i - 1].off);
	if (x->type < JSON_ARRAY)
		ASSERT(x->end == i + 1 && x->count == 0);
	for (uint32_t c = json_first(d, i); c != JSON_NONE;
	    c = json_next(d, i, c)) {
		ASSERT(c > i && d->nodes[c].end <= x->end);
		ASSERT(d->nodes[c].off > x->off &&
		    d->nodes[c].off + d->nodes[c].len < x->off + x->len);
		keys += (d->nodes[c].flags & JSON_KEY) != 0;
		children++;
	}
	ASSERT(x->type < JSON_ARRAY ||
	    children == x->count * (x->type == JSON_OBJECT ? 2 : 1));
	ASSERT(keys == (x->type == JSON_OBJECT ? x->count : 0));
}

/* Unescaping and escaping again gives the same text. */
static void
check_string(const struct json_doc *d, uint32_t i)
{
	struct json_doc again;
	struct buf plain, quoted;
	struct jsonw w;

	if (json_typeof(d, i) != JSON_STRING)
		return;
	buf_init(&plain, d->text.n + 1);
	buf_init(&quoted, d->text.n * 6 + 16);
	json_init(&again);
	ASSERT(json_decode(d, i, &plain) == 0);
	jsonw_init(&w, &quoted);
	jsonw_slice(&w, NULL, buf_slice(&plain));
	ASSERT(json_index(&again, buf_slice(&quoted), NULL) == JSON_OK);
	buf_reset(&quoted);
	ASSERT(json_typeof(&again, 0) == JSON_STRING);
	buf_free(&plain);
	buf_free(&quoted);
	json_free(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct json_limits lim = { .depth = 64, .nodes = 4096 };
	struct slice text = slice_make(data, n);
	struct json_doc d;
	struct buf b;
	struct jsonw w;

	json_init(&d);
	if (json_index(&d, text, &lim) == JSON_OK) {
		for (uint32_t i = 0; i < d.n; i++) {
			check_node(&d, i);
			if (i < 64)
				check_string(&d, i);
		}
	} else {
		ASSERT(d.n == 0 && d.error_off <= n);
	}
	/* Any bytes at all, written as a string, make valid JSON. */
	buf_init(&b, n * 6 + 16);
	jsonw_init(&w, &b);
	jsonw_slice(&w, NULL, text);
	ASSERT(!b.full);
	ASSERT(json_index(&d, buf_slice(&b), NULL) == JSON_OK);
	buf_free(&b);
	json_free(&d);
	return 0;
}
