/*
 * redact_speed - what the gate's look into a body costs: redact_speed RULES
 * compiles the packs of that folder and prints JSON. "index" is reading the
 * JSON, "redact" and "inspect" come on top of it. Best of seven passes.
 */
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "inspect.h"
#include "redact.h"

#define PASSES 7

static struct redact *red;
static struct inspect *ins;

static const char *const words[] = { "the", "report", "of", "quarter", "was",
	"reviewed", "by", "team", "and", "status", "is", "open", "with",
	"priority", "high", "for", "customer", "2026-01-15", "issue", "42",
	"deployment", "finished", "in", "region", "eu-central-1", "see",
	"https://tracker.example.com/browse/PRJ-1042", "12.5", "percent",
	"user_name", "next", "page", "token", "v1.20.3", "key", "results" };

/* A tools/call result with one text block of ordinary words. */
static void
make_body(struct buf *b, size_t n)
{
	uint32_t seed = 12345;

	buf_add_str(b, "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"content\":"
	    "[{\"type\":\"text\",\"text\":\"");
	while (b->len + 40 < n) {
		seed = seed * 1664525 + 1013904223;
		buf_addf(b, "%s ", words[(seed >> 8) % ARRAY_LEN(words)]);
	}
	buf_add_str(b, "\"}],\"isError\":false}}");
}

static void
keep_best(uint64_t *best, uint64_t ns)
{
	if (ns < *best)
		*best = ns;
}

static void
measure(const char *name, size_t size, unsigned rounds)
{
	uint64_t index = UINT64_MAX, redact = UINT64_MAX, inspect = UINT64_MAX;
	struct redact_options opt = { .shape = SHAPE_MESSAGE };
	struct inspect_report rep;
	struct json_doc d;
	struct buf text, out;

	json_init(&d);
	buf_init(&text, size + 1024);
	buf_init(&out, 1u << 28);
	make_body(&text, size);
	for (int pass = 0; pass < PASSES; pass++) {
		uint64_t t = clock_mono_ns();

		for (unsigned i = 0; i < rounds; i++)
			if (json_index(&d, buf_slice(&text), NULL) != JSON_OK)
				exit(1);
		keep_best(&index, clock_mono_ns() - t);
		t = clock_mono_ns();
		for (unsigned i = 0; i < rounds; i++)
			if (redact_json(red, &d, buf_slice(&text), &opt, &out,
			    NULL) != REDACT_CLEAN)
				exit(1);
		keep_best(&redact, clock_mono_ns() - t);
		t = clock_mono_ns();
		for (unsigned i = 0; i < rounds; i++)
			inspect_json(ins, &d, 0, SHAPE_MESSAGE, &rep);
		keep_best(&inspect, clock_mono_ns() - t);
	}
	printf("\"%s\": {\"bytes\": %zu, \"index_us\": %.2f, \"redact_us\": "
	    "%.2f, \"inspect_us\": %.2f, \"redact_mb_s\": %.0f}", name,
	    text.len, (double)index / rounds / 1e3,
	    (double)redact / rounds / 1e3, (double)inspect / rounds / 1e3,
	    (double)text.len * rounds / (double)redact * 1e3);
	json_free(&d);
	buf_free(&text);
	buf_free(&out);
}

static int
load(const char *rules, struct err *err)
{
	char dir[4096];
	struct buf b;
	int r = -1;

	buf_init(&b, 64u << 20);
	snprintf(dir, sizeof(dir), "%s/redaction", rules);
	if (redact_compile(dir, &b, err) != 0 ||
	    (red = redact_load(buf_slice(&b), err)) == NULL)
		goto out;
	buf_reset(&b);
	snprintf(dir, sizeof(dir), "%s/injection", rules);
	if (inspect_compile(dir, &b, err) != 0 ||
	    (ins = inspect_load(buf_slice(&b), err)) == NULL)
		goto out;
	r = 0;
out:
	buf_free(&b);
	return r;
}

int
main(int argc, char **argv)
{
	struct err err = { 0 };

	if (argc != 2) {
		fprintf(stderr, "usage: redact_speed RULES\n");
		return 64;
	}
	if (load(argv[1], &err) != 0) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	printf("{\"rules\": %zu, ", redact_rules(red));
	measure("1k", 1024, 4000);
	printf(", ");
	measure("100k", 100 * 1024, 40);
	printf("}\n");
	redact_free(red);
	inspect_free(ins);
	return 0;
}
