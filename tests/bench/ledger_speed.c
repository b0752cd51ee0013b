/*
 * ledger_speed - what it costs to record: ledger_speed DIR writes into a new
 * ledger in DIR, one row a commit and 100 rows a commit, and prints JSON.
 * A row is the decision of an ordinary call with 1 KB of arguments.
 */
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "entry.h"
#include "event.h"
#include "ledger.h"

#define SINGLE_NS 2000000000ull
#define GROUPS_NS 2000000000ull
#define COMMITS_MAX 100000

static struct json_doc doc;
static struct buf row;
static uint64_t took[COMMITS_MAX];

static void
make_row(void)
{
	struct uuid call = uuid_v7();
	char text[UUID_TEXT_LEN];
	struct jsonw w;

	buf_reset(&row);
	event_begin(&w, &row, uuid_v7(), EVENT_CALL_DECISION, ROLE_PROXY);
	uuid_format(call, text);
	jsonw_str(&w, "call", text);
	jsonw_str(&w, "user", "alice");
	jsonw_str(&w, "agent", "coder");
	jsonw_str(&w, "connector", "bench");
	jsonw_str(&w, "tool", "echo");
	jsonw_str(&w, "verdict", "allow");
	jsonw_array(&w, "arguments");
	while (row.len < 1300)
		jsonw_str(&w, NULL, "the report of the quarter was reviewed");
	jsonw_array_end(&w);
	event_end(&w);
}

static void
add(struct ledger *l)
{
	struct err err = { 0 };
	struct entry e;
	uint64_t seq;

	make_row();
	if (entry_parse(&doc, buf_slice(&row), &e, &err) != 0 ||
	    ledger_add(l, &e, buf_slice(&row), &seq) != LEDGER_ADDED) {
		fprintf(stderr, "%s\n", err.set ? err.text : ledger_why(l));
		exit(1);
	}
}

static void
commit(struct ledger *l)
{
	if (ledger_commit(l) == 0 && ledger_maintain(l, false) == 0)
		return;
	fprintf(stderr, "%s\n", ledger_why(l));
	exit(1);
}

static int
compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Rows committed in groups of `rows` for about ns: prints under `name`. */
static void
measure(struct ledger *l, const char *name, unsigned rows, uint64_t ns)
{
	uint64_t start = clock_mono_ns(), now = start;
	size_t n = 0;

	while (now - start < ns && n < COMMITS_MAX) {
		uint64_t before = clock_mono_ns();

		for (unsigned i = 0; i < rows; i++)
			add(l);
		commit(l);
		now = clock_mono_ns();
		took[n++] = now - before;
	}
	qsort(took, n, sizeof(took[0]), compare);
	printf("\"%s\": {\"rows_s\": %.0f, \"p50_us\": %.1f, \"p99_us\": %.1f}",
	    name, (double)(n * rows) * 1e9 / (double)(now - start),
	    (double)took[n / 2] / 1e3, (double)took[n * 99 / 100] / 1e3);
}

int
main(int argc, char **argv)
{
	struct err err = { 0 };
	struct ledger *l;

	if (argc != 2) {
		fprintf(stderr, "usage: ledger_speed DIR\n");
		return 64;
	}
	json_init(&doc);
	buf_init(&row, 65536);
	l = ledger_open(argv[1], NULL, &err);
	if (l == NULL) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	printf("{");
	measure(l, "single", 1, SINGLE_NS);
	printf(", ");
	measure(l, "groups", LEDGER_GROUP_MAX, GROUPS_NS);
	printf("}\n");
	ledger_close(l);
	json_free(&doc);
	buf_free(&row);
	return 0;
}
