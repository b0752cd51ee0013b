/* cli - see cli.h. */
#include "console/cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "err.h"
#include "visible.h"

#define RING 16
#define CELL_MAX 60		/* columns of a cell but the last */
#define DIFF_MAX 2000		/* lines compared one by one */

/* -- options -- */

void
cli_init(struct cli *c, const char *name)
{
	const char *env = getenv("PORTREEVE_CONFIG");

	memset(c, 0, sizeof(*c));
	c->name = name;
	c->config = env != NULL && env[0] != '\0' ? env : NULL;
	optind = 1;
}

bool
cli_option(struct cli *c, int opt)
{
	switch (opt) {
	case 'c':
		c->config = optarg;
		return true;
	case 'h':
		c->help = true;
		return true;
	case CLI_OPT_RUN:
		c->run = optarg;
		return true;
	case CLI_OPT_JSON:
		c->json = true;
		return true;
	case CLI_OPT_AS:
		c->as = optarg;
		return true;
	default:
		return false;
	}
}

int
cli_next(int argc, char **argv, const struct option *longs,
    const char **args, int *nargs, int max)
{
	for (;;) {
		int opt = getopt_long(argc, argv, CLI_SHORT, longs, NULL);

		if (opt != -1)
			return opt;
		if (optind >= argc)
			return -1;
		if (*nargs == max)
			return -2;
		args[(*nargs)++] = argv[optind++];
	}
}

int
cli_usage(const struct cli *c, const char *usage)
{
	FILE *f = c->help ? stdout : stderr;

	fprintf(f, "usage: portreeve %s %s\n", c->name, usage);
	fprintf(f, "also:  -c, --config FILE   the daemons' configuration"
	    " (or PORTREEVE_CONFIG)\n"
	    "       --run DIR           the directory of their sockets\n"
	    "       --as NAME           who speaks, on a shared account\n"
	    "       --json              the answer as JSON\n");
	return c->help ? CLI_OK : CLI_USAGE;
}

void
cli_error(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%sportreeve:%s ", cli_on(stderr, CLI_RED),
	    cli_off(stderr));
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

int
cli_verb(const char *command, const char *word, const char *const *verbs,
    size_t n)
{
	struct buf all;
	const char *near;

	for (size_t i = 0; word != NULL && i < n; i++)
		if (strcmp(word, verbs[i]) == 0)
			return (int)i;
	buf_init(&all, 4096);
	for (size_t i = 0; i < n; i++)
		buf_addf(&all, "%s%s", i == 0 ? "" : ", ", verbs[i]);
	if (word == NULL) {
		cli_error("%s: say which: %.*s", command,
		    SLICE_FMT(buf_slice(&all)));
	} else {
		near = err_nearest(slice_str(word), verbs, n);
		cli_error("%s: no \"%s\"%s%s%s; there is %.*s", command,
		    cli_clean(word), near != NULL ? ", did you mean \"" : "",
		    near != NULL ? near : "", near != NULL ? "\"?" : "",
		    SLICE_FMT(buf_slice(&all)));
	}
	buf_free(&all);
	return -1;
}

int64_t
cli_duration(const char *option, const char *text)
{
	int64_t ms;

	if (clock_parse_duration(slice_str(text), &ms) && ms > 0)
		return ms;
	cli_error("%s \"%s\" is no duration; right would be 90s, 15m, 4h or"
	    " 7d", option, cli_clean(text));
	return -1;
}

/* -- looks -- */

static bool
colour(FILE *f)
{
	const char *no = getenv("NO_COLOR");

	return (no == NULL || no[0] == '\0') && isatty(fileno(f));
}

const char *
cli_on(FILE *f, enum cli_look look)
{
	static const char *const codes[] = {
		[CLI_PLAIN] = "", [CLI_BOLD] = "\033[1m",
		[CLI_DIM] = "\033[2m", [CLI_RED] = "\033[31m",
		[CLI_GREEN] = "\033[32m", [CLI_YELLOW] = "\033[33m",
	};

	return colour(f) ? codes[look] : "";
}

const char *
cli_off(FILE *f)
{
	return colour(f) ? "\033[0m" : "";
}

/* Strings that live until the ring comes round. */
static const char *
keep(char *s)
{
	static char *ring[RING];
	static unsigned at;

	free(ring[at]);
	ring[at] = s;
	at = (at + 1) % RING;
	return s;
}

const char *
cli_clean(const char *text)
{
	struct buf b;
	char *s;

	if (text == NULL)
		return "-";
	buf_init(&b, 16 * strlen(text) + 1);
	visible_add(&b, slice_str(text));
	s = slice_dup(buf_slice(&b));
	buf_free(&b);
	return keep(s);
}

/* False when it is no time as clock_format() writes it. */
static bool
parse_when(const char *text, int64_t *ms_r)
{
	struct tm tm = { 0 };
	const char *rest;
	int ms = 0;

	if (text == NULL ||
	    (rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm)) == NULL ||
	    sscanf(rest, ".%3dZ", &ms) != 1)
		return false;
	*ms_r = (int64_t)timegm(&tm) * 1000 + ms;
	return true;
}

static void
span(struct buf *b, int64_t ms)
{
	int64_t s = ms / 1000;

	if (s < 60)
		buf_addf(b, "%llds", (long long)s);
	else if (s < 3600)
		buf_addf(b, "%lldm %02llds", (long long)s / 60,
		    (long long)s % 60);
	else if (s < 86400)
		buf_addf(b, "%lldh %02lldm", (long long)s / 3600,
		    (long long)s / 60 % 60);
	else
		buf_addf(b, "%lldd %lldh", (long long)s / 86400,
		    (long long)s / 3600 % 24);
}

static const char *
relative(const char *rfc3339, bool absolute)
{
	int64_t at, left;
	struct buf b;

	if (!parse_when(rfc3339, &at))
		return "-";
	left = at - clock_wall_ms();
	buf_init(&b, 128);
	if (absolute)
		buf_addf(&b, "%.10s %.8s UTC (", rfc3339, rfc3339 + 11);
	if (left > 0) {
		buf_add_str(&b, "in ");
		span(&b, left);
	} else {
		span(&b, -left);
		buf_add_str(&b, " ago");
	}
	if (absolute)
		buf_add_char(&b, ')');
	char *s = slice_dup(buf_slice(&b));

	buf_free(&b);
	return keep(s);
}

const char *
cli_when(const char *rfc3339)
{
	return relative(rfc3339, true);
}

const char *
cli_left(const char *rfc3339)
{
	return relative(rfc3339, false);
}

/* -- tables -- */

struct cli_table {
	const char *const *heads;
	size_t cols, rows, cap;
	char **cells;
};

struct cli_table *
cli_table_new(const char *const *heads)
{
	struct cli_table *t = base_calloc(1, sizeof(*t));

	t->heads = heads;
	while (heads[t->cols] != NULL)
		t->cols++;
	return t;
}

size_t
cli_table_rows(const struct cli_table *t)
{
	return t->rows;
}

void
cli_table_row(struct cli_table *t, const char *const *cells)
{
	if (t->rows == t->cap) {
		t->cap = t->cap == 0 ? 32 : t->cap * 2;
		t->cells = base_realloc(t->cells,
		    t->cap * t->cols * sizeof(*t->cells));
	}
	for (size_t i = 0; i < t->cols; i++) {
		const char *c = cells[i];

		t->cells[t->rows * t->cols + i] = base_strdup(
		    c == NULL || c[0] == '\0' ? "-" : cli_clean(c));
	}
	t->rows++;
}

static size_t
width_of(const struct cli_table *t, size_t col)
{
	size_t w = strlen(t->heads[col]);

	for (size_t r = 0; r < t->rows; r++) {
		size_t n = visible_width(slice_str(
		    t->cells[r * t->cols + col]));

		if (n > w)
			w = n;
	}
	return col + 1 < t->cols && w > CELL_MAX ? CELL_MAX : w;
}

/* Long cells are not cut: their row runs over, the next column follows. */
static void
put_cell(const char *s, size_t width, bool last)
{
	size_t w = visible_width(slice_str(s));

	fputs(s, stdout);
	for (; !last && w < width + 2; w++)
		putchar(' ');
	if (!last && w > width + 2)
		fputs("  ", stdout);
}

void
cli_table_end(struct cli_table *t, const char *none)
{
	size_t *w = base_calloc(t->cols, sizeof(*w));

	for (size_t i = 0; i < t->cols; i++)
		w[i] = width_of(t, i);
	if (t->rows == 0) {
		printf("%s\n", none);
	} else {
		fputs(cli_on(stdout, CLI_DIM), stdout);
		for (size_t i = 0; i < t->cols; i++)
			put_cell(t->heads[i], w[i], i + 1 == t->cols);
		printf("%s\n", cli_off(stdout));
	}
	for (size_t r = 0; r < t->rows; r++) {
		for (size_t i = 0; i < t->cols; i++)
			put_cell(t->cells[r * t->cols + i], w[i],
			    i + 1 == t->cols);
		putchar('\n');
	}
	for (size_t i = 0; i < t->rows * t->cols; i++)
		free(t->cells[i]);
	free(t->cells);
	free(w);
	free(t);
}

/* -- JSON for people -- */

static void
newline(struct buf *out, unsigned indent)
{
	buf_add_char(out, '\n');
	for (unsigned i = 0; i < indent; i++)
		buf_add_str(out, "  ");
}

/* What the upstream will read: decoded, so that \u0044ROP shows as DROP; what
 * cannot be seen is written out; quotes and backslashes stay escaped. */
static size_t
pretty_string(struct buf *out, const struct json_doc *d, uint32_t node)
{
	struct buf text;
	size_t hidden = 0, start = 0;
	struct slice s;

	buf_init(&text, json_raw(d, node).n + 1);
	if (json_decode(d, node, &text) != 0) {
		buf_free(&text);
		buf_add_slice(out, json_raw(d, node));
		return 0;
	}
	s = buf_slice(&text);
	buf_add_char(out, '"');
	for (size_t i = 0; i <= s.n; i++) {
		if (i < s.n && s.p[i] != '"' && s.p[i] != '\\' &&
		    s.p[i] != '\n' && s.p[i] != '\t')
			continue;
		hidden += visible_add(out, slice_sub(s, start, i - start));
		if (i < s.n) {
			buf_add_char(out, '\\');
			buf_add_char(out, s.p[i] == '\n' ? 'n' :
			    s.p[i] == '\t' ? 't' : s.p[i]);
		}
		start = i + 1;
	}
	buf_add_char(out, '"');
	buf_free(&text);
	return hidden;
}

struct level {
	uint32_t node, at;
};

/* Iterative: depth is the sender's choice. */
size_t
cli_pretty(struct buf *out, const struct json_doc *d, uint32_t node,
    unsigned indent)
{
	struct level *stack = NULL;
	size_t depth = 0, cap = 0, hidden = 0;

	for (;;) {
		enum json_type t = json_typeof(d, node);
		bool opens = (t == JSON_OBJECT || t == JSON_ARRAY) &&
		    json_first(d, node) != JSON_NONE;

		if (opens) {
			if (depth == cap) {
				cap = cap == 0 ? 32 : cap * 2;
				stack = base_realloc(stack,
				    cap * sizeof(*stack));
			}
			stack[depth++] = (struct level){ node,
				json_first(d, node) };
			buf_add_char(out, t == JSON_OBJECT ? '{' : '[');
			newline(out, indent + (unsigned)depth);
		} else if (t == JSON_STRING) {
			hidden += pretty_string(out, d, node);
		} else if (t == JSON_OBJECT || t == JSON_ARRAY) {
			buf_add_str(out, t == JSON_OBJECT ? "{}" : "[]");
		} else {
			buf_add_slice(out, json_raw(d, node));
		}
		/* Close what is complete, then step to the next value. */
		while (!opens && depth > 0) {
			struct level *l = &stack[depth - 1];

			l->at = json_next(d, l->node, l->at);
			if (l->at != JSON_NONE) {
				buf_add_char(out, ',');
				newline(out, indent + (unsigned)depth);
				break;
			}
			depth--;
			newline(out, indent + (unsigned)depth);
			buf_add_char(out, json_typeof(d, l->node) ==
			    JSON_OBJECT ? '}' : ']');
		}
		if (depth == 0)
			break;
		struct level *l = &stack[depth - 1];

		if (json_typeof(d, l->node) == JSON_OBJECT) {
			hidden += pretty_string(out, d, l->at);
			buf_add_str(out, ": ");
			l->at = json_next(d, l->node, l->at);
		}
		node = l->at;
	}
	free(stack);
	return hidden;
}

/* -- diff -- */

struct lines {
	struct slice *v;
	size_t n;
};

static struct lines
lines_of(const char *text)
{
	struct slice rest = slice_str(text);
	struct lines l = { NULL, 0 };
	size_t cap = 0;

	while (rest.p != NULL) {
		if (l.n == cap) {
			cap = cap == 0 ? 64 : cap * 2;
			l.v = base_realloc(l.v, cap * sizeof(*l.v));
		}
		l.v[l.n++] = slice_cut(&rest, '\n');
	}
	return l;
}

static void
put_line(FILE *f, char sign, struct slice s)
{
	enum cli_look look = sign == '+' ? CLI_GREEN :
	    sign == '-' ? CLI_RED : CLI_PLAIN;

	fprintf(f, "%s%c %.*s%s\n", cli_on(f, look), sign, SLICE_FMT(s),
	    look == CLI_PLAIN ? "" : cli_off(f));
}

/* Longest common subsequence of what differs; beyond DIFF_MAX lines all of a
 * is shown as gone and all of b as new. */
static void
diff_middle(FILE *f, const struct slice *a, size_t na, const struct slice *b,
    size_t nb)
{
	size_t i = 0, j = 0, w = nb + 1;
	uint16_t *lcs;

	if (na > DIFF_MAX || nb > DIFF_MAX) {
		for (i = 0; i < na; i++)
			put_line(f, '-', a[i]);
		for (j = 0; j < nb; j++)
			put_line(f, '+', b[j]);
		return;
	}
	lcs = base_calloc((na + 1) * w, sizeof(*lcs));
	for (size_t x = na; x-- > 0;)
		for (size_t y = nb; y-- > 0;) {
			uint16_t down = lcs[(x + 1) * w + y];
			uint16_t right = lcs[x * w + y + 1];

			lcs[x * w + y] = slice_eq(a[x], b[y]) ?
			    (uint16_t)(lcs[(x + 1) * w + y + 1] + 1) :
			    down > right ? down : right;
		}
	while (i < na || j < nb) {
		if (i < na && j < nb && slice_eq(a[i], b[j])) {
			put_line(f, ' ', a[i]);
			i++;
			j++;
		} else if (i < na && (j == nb ||
		    lcs[(i + 1) * w + j] >= lcs[i * w + j + 1])) {
			put_line(f, '-', a[i++]);
		} else {
			put_line(f, '+', b[j++]);
		}
	}
	free(lcs);
}

void
cli_diff(FILE *f, const char *a, const char *b)
{
	struct lines x = lines_of(a), y = lines_of(b);
	size_t head = 0, tail = 0;

	while (head < x.n && head < y.n && slice_eq(x.v[head], y.v[head]))
		head++;
	while (tail < x.n - head && tail < y.n - head &&
	    slice_eq(x.v[x.n - 1 - tail], y.v[y.n - 1 - tail]))
		tail++;
	for (size_t i = head > 3 ? head - 3 : 0; i < head; i++)
		put_line(f, ' ', x.v[i]);
	diff_middle(f, x.v + head, x.n - head - tail, y.v + head,
	    y.n - head - tail);
	for (size_t i = 0; i < tail && i < 3; i++)
		put_line(f, ' ', x.v[x.n - tail + i]);
	free(x.v);
	free(y.v);
}
