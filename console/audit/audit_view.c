/* audit_view - see audit_view.h. */
#include "audit_view.h"

#include <inttypes.h>

#include "clock.h"
#include "codec.h"

/* Length of a character that must not reach a terminal, 0 when it may;
 * *code_r is what it is. s is UTF-8 that was checked when it was recorded. */
static size_t
unsafe_at(struct slice s, size_t i, unsigned *code_r)
{
	unsigned char a = (unsigned char)s.p[i];
	unsigned char b = i + 1 < s.n ? (unsigned char)s.p[i + 1] : 0;
	unsigned char c = i + 2 < s.n ? (unsigned char)s.p[i + 2] : 0;
	unsigned code;

	if (a < ' ' || a == 0x7f) {
		*code_r = a;
		return 1;
	}
	if (a == 0xc2 && b >= 0x80 && b <= 0x9f) {	/* C1 */
		*code_r = b;
		return 2;
	}
	if (a != 0xe2)
		return 0;
	code = (a & 0xfu) << 12 | (b & 0x3fu) << 6 | (c & 0x3fu);
	*code_r = code;
	return (code >= 0x200b && code <= 0x200f) ||
	    (code >= 0x2028 && code <= 0x202e) ||
	    (code >= 0x2060 && code <= 0x206f) ? 3 : 0;
}

void
audit_print(FILE *f, struct slice s)
{
	size_t from = 0, k;
	unsigned code;

	for (size_t i = 0; i < s.n; i++) {
		if ((k = unsafe_at(s, i, &code)) == 0)
			continue;
		fwrite(s.p + from, 1, i - from, f);
		fprintf(f, "\\u{%x}", code);
		i += k - 1;
		from = i + 1;
	}
	fwrite(s.p + from, 1, s.n - from, f);
}

static void
new_line(FILE *f, int indent, unsigned depth)
{
	fprintf(f, "\n%*s", indent + 2 * (int)depth, "");
}

void
audit_print_json(FILE *f, struct slice json, int indent)
{
	unsigned depth = 0;

	fprintf(f, "%*s", indent, "");
	for (size_t i = 0; i < json.n; i++) {
		char c = json.p[i];

		if (c == '"') {
			size_t end = i + 1;

			while (end < json.n && json.p[end] != '"')
				end += json.p[end] == '\\' ? 2 : 1;
			audit_print(f, slice_sub(json, i, end + 1 - i));
			i = end;
			continue;
		}
		if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
			continue;
		if ((c == '{' || c == '[') && i + 1 < json.n &&
		    (json.p[i + 1] == '}' || json.p[i + 1] == ']')) {
			fprintf(f, "%c%c", c, json.p[i + 1]);
			i++;
			continue;
		}
		if (c == '}' || c == ']')
			new_line(f, indent, --depth);
		fputc(c, f);
		if (c == '{' || c == '[')
			new_line(f, indent, ++depth);
		else if (c == ',')
			new_line(f, indent, depth);
		else if (c == ':')
			fputc(' ', f);
	}
	fputc('\n', f);
}

bool
audit_field(const struct json_doc *doc, uint32_t obj, const char *key,
    struct buf *out)
{
	uint32_t v = json_member(doc, obj, key);

	buf_reset(out);
	if (v == JSON_NONE || json_typeof(doc, v) == JSON_NULL)
		return false;
	if (json_typeof(doc, v) == JSON_STRING)
		return json_decode(doc, v, out) == 0 && out->len > 0;
	return buf_add_slice(out, json_raw(doc, v)) == 0;
}

/* The first of the keys that is there, in `width` columns or more. */
static void
print_first(FILE *f, const struct json_doc *doc, const char *const *keys,
    int width, struct buf *b)
{
	for (; *keys != NULL; keys++) {
		if (!audit_field(doc, 0, *keys, b))
			continue;
		audit_print(f, buf_slice(b));
		fprintf(f, "%*s", (int)b->len < width ? width - (int)b->len :
		    0, "");
		return;
	}
	fprintf(f, "%-*s", width, "-");
}

static void
print_pair(FILE *f, const struct json_doc *doc, const char *first,
    const char *second, const char *sep, struct buf *b)
{
	bool any = audit_field(doc, 0, first, b);

	if (any)
		audit_print(f, buf_slice(b));
	if (audit_field(doc, 0, second, b)) {
		if (any)
			fputs(sep, f);
		audit_print(f, buf_slice(b));
		any = true;
	}
	fputs(any ? "  " : "", f);
}

/* What a finding or another event without a verdict has to say. */
static void
print_rest(FILE *f, const struct json_doc *doc, struct buf *b)
{
	static const char *const keys[] = { "reason", "detail", "title",
		"exception", "process", "ended", "size", "daemon", NULL };
	uint32_t finding = json_member(doc, 0, "finding");

	if (json_typeof(doc, finding) == JSON_OBJECT &&
	    audit_field(doc, finding, "title", b)) {
		audit_print(f, buf_slice(b));
		fputs("  ", f);
	}
	for (const char *const *k = keys; *k != NULL; k++) {
		if (!audit_field(doc, 0, *k, b) ||
		    slice_is(buf_slice(b), "none"))
			continue;
		fprintf(f, "%s: ", *k);
		audit_print(f, buf_slice(b));
		fputs("  ", f);
	}
}

void
audit_print_row(FILE *f, const struct chain_row *r, struct json_doc *doc)
{
	static const char *const what[] = { "verdict", "status", "severity",
		NULL };
	char when[CLOCK_RFC3339_LEN], hex[33];
	struct buf b;

	buf_init(&b, ENTRY_BODY_MAX);
	clock_format(r->time, when);
	when[10] = ' ';
	fprintf(f, "%7" PRIu64 "  %.23s  ", r->seq, when);
	audit_print(f, r->type);
	fprintf(f, "%*s", r->type.n < 18 ? 18 - (int)r->type.n + 2 : 2, "");
	if (json_index(doc, r->body, NULL) != JSON_OK) {
		fputs("(its body is no JSON: run `portreeve audit verify`)\n",
		    f);
		buf_free(&b);
		return;
	}
	print_first(f, doc, what, 9, &b);
	fputc(' ', f);
	print_pair(f, doc, "user", "agent", "/", &b);
	print_pair(f, doc, "connector", "tool", ".", &b);
	print_rest(f, doc, &b);
	if (!entry_uuid_is_zero(r->call)) {
		hex_encode(r->call.b, 16, hex);
		fprintf(f, "call %s", hex + 20);
	}
	fputc('\n', f);
	buf_free(&b);
}
