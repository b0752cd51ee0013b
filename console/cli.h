/*
 * cli - what the operator's commands share: options, where the daemons are,
 * tables, colour, exit codes.
 *
 * Data goes to standard output, talk to standard error. Colour only on a
 * terminal and without NO_COLOR. Nothing a stranger wrote reaches the
 * terminal unescaped (visible.h).
 */
#ifndef CLI_H
#define CLI_H

#include <getopt.h>
#include <stdio.h>

#include "base.h"
#include "buf.h"
#include "json.h"

enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,		/* failed, refused */
	CLI_USAGE = 2,
	CLI_UNREACHABLE = 4,	/* the daemons are not running */
	CLI_NOT_PERMITTED = 5,
	CLI_NOT_FOUND = 6,
	CLI_CONFLICT = 7,	/* decided before, not what you saw */
	CLI_PARTIAL = 12	/* done, but not everybody acknowledged */
};

/* -- options that every command has -- */
struct cli {
	const char *name;	/* "approval ls", for messages */
	const char *config;	/* -c, --config, PORTREEVE_CONFIG; or NULL */
	const char *run;	/* --run; or NULL */
	const char *as;		/* --as; or NULL */
	bool json;		/* --json */
	bool help;
};

enum { CLI_OPT_RUN = 1000, CLI_OPT_JSON, CLI_OPT_AS, CLI_OPT_OWN };
#define CLI_SHORT "+c:h"
#define CLI_LONG                                                   \
	{ "config", required_argument, NULL, 'c' },                \
	{ "run", required_argument, NULL, CLI_OPT_RUN },           \
	{ "json", no_argument, NULL, CLI_OPT_JSON },               \
	{ "as", required_argument, NULL, CLI_OPT_AS },             \
	{ "help", no_argument, NULL, 'h' }

void cli_init(struct cli *c, const char *name);
/* True when the option (as getopt_long gave it) is one of the above. */
bool cli_option(struct cli *c, int opt);
/* Options may stand anywhere: moves on to the next option after collecting
 * plain words into args (at most max). -1: no more, -2: too many words. */
int cli_next(int argc, char **argv, const struct option *longs,
    const char **args, int *nargs, int max);
int cli_usage(const struct cli *c, const char *usage); /* CLI_USAGE or CLI_OK */
void cli_error(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* A verb word of a command with several; the nearest is offered. -1: none. */
int cli_verb(const char *command, const char *word, const char *const *verbs,
    size_t n);
/* "15m" to ms; -1 and a message when it is none. */
int64_t cli_duration(const char *option, const char *text);

/* -- looks -- */
enum cli_look { CLI_PLAIN, CLI_BOLD, CLI_DIM, CLI_RED, CLI_GREEN, CLI_YELLOW };
const char *cli_on(FILE *f, enum cli_look look);	/* "" without colour */
const char *cli_off(FILE *f);
/* Visible form of a stranger's text; the buffer is reused after 16 calls. */
const char *cli_clean(const char *text);
/* "2026-01-02T03:04:05.678Z" -> "2026-01-02 03:04:05 (4m ago)". Like
 * cli_clean, the result is borrowed for a while. "-" for NULL or "". */
const char *cli_when(const char *rfc3339);
const char *cli_left(const char *rfc3339);	/* "in 4m 10s", "passed" */

struct cli_table;
/* heads: NULL-terminated, borrowed. */
struct cli_table *cli_table_new(const char *const *heads);
/* One cell a head, NULL shows "-"; copied and cleaned. */
void cli_table_row(struct cli_table *t, const char *const *cells);
size_t cli_table_rows(const struct cli_table *t);
/* Prints and frees; `none` is said when there is no row. */
void cli_table_end(struct cli_table *t, const char *none);

/* -- JSON for people -- */
/* Indented; strings decoded and shown with everything hidden made visible.
 * Returns how many hidden characters there were. */
size_t cli_pretty(struct buf *out, const struct json_doc *d, uint32_t node,
    unsigned indent);
/* Lines of b that are not in a with +, the other way round with -. */
void cli_diff(FILE *f, const char *a, const char *b);

#endif
