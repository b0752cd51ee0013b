/* fit - see fit.h. */
#include "fit.h"

#include <stdio.h>

#include "jsonw.h"

#define REPLACE_MAX 16	/* members replaced before the rest is dropped */
#define MARKER_MAX 48	/* {"truncated":true,"bytes":18446744073709551615} */
#define TAIL_MAX 96	/* ,"truncated":true,"original_bytes":N,"members.. */
#define KEPT_MAX 256	/* bytes of a member that identifies the event */

/* What tells a reader which event this was (events.def). */
static const char *const kept[] = { "id", "time", "type", "role", "call",
	"session", "user", "agent", "connector", "tool", "method", "class",
	"verdict", "reason", "rule", "severity", "status", "snapshot" };

struct cut {
	uint32_t node[REPLACE_MAX];	/* values to replace */
	size_t n;
};

/* Bytes from p on, in steps of eight, that hold no control character. */
static size_t
clean_run(const char *p, size_t n)
{
	const uint64_t ones = 0x0101010101010101u;
	size_t i = 0;
	uint64_t v;

	for (; n - i >= 8; i += 8) {
		memcpy(&v, p + i, 8);
		if (((v - ones * 0x20) & ~v & ones << 7) != 0)
			break;
	}
	return i;
}

void
fit_one_line(struct buf *out, struct slice json)
{
	char *p = buf_reserve(out, json.n);

	if (p == NULL)
		return;
	if (json.n > 0)
		memcpy(p, json.p, json.n);
	buf_commit(out, json.n);
	for (size_t i = 0; i < json.n; i++) {
		i += clean_run(p + i, json.n - i);
		if (i < json.n && (unsigned char)p[i] < 0x20)
			p[i] = ' ';
	}
}

static bool
is_cut(const struct cut *c, uint32_t value)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->node[i] == value)
			return true;
	return false;
}

static bool
is_bulky(const struct json_doc *d, uint32_t key)
{
	return json_str_is(d, key, "arguments") ||
	    json_str_is(d, key, "result");
}

/* The largest value not yet cut that a marker would shorten; arguments and
 * result before all others. */
static uint32_t
pick(const struct json_doc *d, const struct cut *c)
{
	uint32_t best = JSON_NONE, v;
	size_t best_n = 0;
	bool best_bulky = false;

	for (uint32_t k = json_first(d, 0); k != JSON_NONE;
	    k = json_next(d, 0, v)) {
		v = json_next(d, 0, k);
		size_t n = json_raw(d, v).n;
		bool bulky = is_bulky(d, k);

		if (n <= MARKER_MAX || is_cut(c, v) || bulky < best_bulky)
			continue;
		if (bulky > best_bulky || n > best_n) {
			best = v;
			best_n = n;
			best_bulky = bulky;
		}
	}
	return best;
}

static bool
is_kept(const struct json_doc *d, uint32_t key, uint32_t value)
{
	if (json_raw(d, value).n > KEPT_MAX)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		if (json_str_is(d, key, kept[i]))
			return true;
	return false;
}

static void
add_member(struct buf *out, const struct json_doc *d, uint32_t k, uint32_t v,
    bool cut, bool first)
{
	if (!first)
		buf_add_char(out, ',');
	fit_one_line(out, json_raw(d, k));
	buf_add_char(out, ':');
	if (cut)
		buf_addf(out, "{\"truncated\":true,\"bytes\":%zu}",
		    json_raw(d, v).n);
	else
		fit_one_line(out, json_raw(d, v));
}

static void
write_cut(struct buf *out, const struct json_doc *d, const struct cut *c,
    bool kept_only)
{
	size_t dropped = 0;
	bool first = true;
	uint32_t v;

	buf_add_char(out, '{');
	for (uint32_t k = json_first(d, 0); k != JSON_NONE;
	    k = json_next(d, 0, v)) {
		v = json_next(d, 0, k);
		if (kept_only && !is_kept(d, k, v)) {
			dropped++;
			continue;
		}
		add_member(out, d, k, v, is_cut(c, v), first);
		first = false;
	}
	buf_addf(out, "%s\"truncated\":true,\"original_bytes\":%zu",
	    first ? "" : ",", d->text.n);
	if (kept_only)
		buf_addf(out, ",\"members_dropped\":%zu", dropped);
	buf_add_char(out, '}');
}

bool
fit_event(struct buf *out, const struct json_doc *d, size_t max)
{
	struct cut c = { .n = 0 };
	size_t size = d->text.n;
	uint32_t v;

	ASSERT(max >= FIT_MIN && json_typeof(d, 0) == JSON_OBJECT);
	if (size <= max) {
		fit_one_line(out, d->text);
		return false;
	}
	size += TAIL_MAX;
	while (size > max && c.n < REPLACE_MAX &&
	    (v = pick(d, &c)) != JSON_NONE) {
		c.node[c.n++] = v;
		size -= json_raw(d, v).n - MARKER_MAX;
	}
	if (size > max)
		c.n = 0;
	write_cut(out, d, &c, size > max);
	return true;
}

void
fit_malformed(struct buf *out, struct slice bytes, const char *reason,
    size_t max)
{
	/* One byte becomes at most six (\u00XX). */
	size_t room = (max - 256) / 6;
	struct jsonw w;

	ASSERT(max >= FIT_MIN && strlen(reason) < 128);
	jsonw_init(&w, out);
	jsonw_object(&w, NULL);
	jsonw_str(&w, "type", "malformed");
	jsonw_str(&w, "malformed", reason);
	jsonw_u64(&w, "original_bytes", bytes.n);
	jsonw_slice(&w, "raw", slice_sub(bytes, 0, room));
	jsonw_object_end(&w);
}
