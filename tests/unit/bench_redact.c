/*
 * bench_redact - what redaction and inspection cost on bodies of 1 KB and
 * more: `make build/release/unit/bench_redact && build/release/unit/bench_redact`.
 * Not a test: it prints.
 */
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "inspect.h"
#include "redact.h"

static struct redact *red;
static struct inspect *ins;

static const char *const words[] = { "the", "report", "of", "quarter", "was",
	"reviewed", "by", "team", "and", "status", "is", "open", "with",
	"priority", "high", "for", "customer", "2026-01-15", "issue", "42",
	"deployment", "finished", "in", "region", "eu-central-1", "see",
	"https://tracker.example.com/browse/PRJ-1042", "12.5", "percent",
	"user_name", "next", "page", "token", "v1.20.3", "key", "results" };

static uint32_t seed = 12345;

static uint32_t
next(void)
{
	seed = seed * 1664525 + 1013904223;
	return seed >> 8;
}

static void
prose(struct buf *b, size_t n)
{
	size_t end = b->len + n;

	while (b->len < end)
		buf_addf(b, "%s ", words[next() % ARRAY_LEN(words)]);
}

/* A tools/call result: text block, or JSON inside the text. */
static void
body(struct buf *b, size_t n, bool nested)
{
	buf_add_str(b, "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"content\":"
	    "[{\"type\":\"text\",\"text\":\"");
	if (nested) {
		buf_add_str(b, "{\\\"items\\\":[");
		for (unsigned i = 0; b->len + 200 < n; i++) {
			buf_addf(b, "%s{\\\"id\\\":%u,\\\"name\\\":\\\"",
			    i ? "," : "", next() % 100000);
			prose(b, 40);
			buf_addf(b, "\\\",\\\"sha\\\":\\\"%08x%08x%08x\\\","
			    "\\\"done\\\":true}", next(), next(), next());
		}
		buf_add_str(b, "]}");
	} else {
		prose(b, n > 120 ? n - 120 : 1);
	}
	buf_add_str(b, "\"}],\"isError\":false}}");
}

struct sums {
	uint64_t index, redact, inspect;
};

static void
run(const char *name, struct slice text, unsigned rounds)
{
	struct json_doc d;
	struct sums best = { UINT64_MAX, UINT64_MAX, UINT64_MAX };
	enum redact_result res = REDACT_LIMIT;
	struct redact_options opt = { .shape = SHAPE_MESSAGE };
	struct inspect_report rep;
	struct buf out;

	json_init(&d);
	buf_init(&out, 1u << 28);
	for (int pass = 0; pass < 7; pass++) {
		uint64_t t0 = clock_mono_ns(), t1, t2, t3;

		for (unsigned i = 0; i < rounds; i++)
			if (json_index(&d, text, NULL) != JSON_OK)
				abort();
		t1 = clock_mono_ns();
		for (unsigned i = 0; i < rounds; i++) {
			buf_reset(&out);
			res = redact_json(red, &d, text, &opt, &out, NULL);
		}
		t2 = clock_mono_ns();
		for (unsigned i = 0; i < rounds; i++)
			inspect_json(ins, &d, 0, SHAPE_MESSAGE, &rep);
		t3 = clock_mono_ns();
		if (t1 - t0 < best.index)
			best.index = t1 - t0;
		if (t2 - t1 < best.redact)
			best.redact = t2 - t1;
		if (t3 - t2 < best.inspect)
			best.inspect = t3 - t2;
	}
	printf("%-22s %8zu bytes  index %8.2f us  redact %8.2f us (%4.0f MB/s)"
	    "  inspect %8.2f us  %s\n", name, text.n,
	    (double)best.index / rounds / 1e3,
	    (double)best.redact / rounds / 1e3,
	    (double)text.n * rounds / (double)best.redact * 1e3,
	    (double)best.inspect / rounds / 1e3,
	    res == REDACT_CLEAN ? "clean" : res == REDACT_CHANGED ? "changed" :
	    "limit");
	json_free(&d);
	buf_free(&out);
}

static void
load(void)
{
	struct err err = { 0 };
	struct buf b;
	uint64_t t0 = clock_mono_ns();

	buf_init(&b, 64u << 20);
	if (redact_compile("rules/redaction", &b, &err) != 0)
		goto bad;
	printf("compile %.0f ms, ", (double)(clock_mono_ns() - t0) / 1e6);
	t0 = clock_mono_ns();
	red = redact_load(buf_slice(&b), &err);
	if (red == NULL)
		goto bad;
	printf("load %.1f ms, %zu rules on, %zu bytes\n",
	    (double)(clock_mono_ns() - t0) / 1e6, redact_rules(red), b.len);
	buf_reset(&b);
	if (inspect_compile("rules/injection", &b, &err) != 0)
		goto bad;
	ins = inspect_load(buf_slice(&b), &err);
	if (ins == NULL)
		goto bad;
	buf_free(&b);
	return;
bad:
	fprintf(stderr, "%s\n", err.text);
	exit(1);
}

int
main(void)
{
	static const size_t sizes[] = { 256, 1024, 16384, 1048576 };
	struct buf b;

	load();
	buf_init(&b, 4u << 20);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		for (int nested = 0; nested < 2; nested++) {
			unsigned rounds = (unsigned)(4000000 / sizes[i]) + 1;

			buf_reset(&b);
			body(&b, sizes[i], nested);
			run(nested ? "JSON in text" : "text", buf_slice(&b),
			    rounds > 4000 ? 4000 : rounds);
		}
	buf_reset(&b);
	buf_add_str(&b, "{\"result\":{\"content\":[{\"type\":\"text\","
	    "\"text\":\"mail jane.doe@example.com, card 4111 1111 1111 1111\""
	    "}]}}");
	run("two values", buf_slice(&b), 4000);
	buf_reset(&b);
	buf_add_str(&b, "[\"\"");
	for (unsigned i = 0; b.len < 1000000; i++)
		buf_addf(&b, ",\"user%u@mail%u.example.com\"", i, next() % 99);
	buf_add_str(&b, "]");
	run("1 MB of addresses", buf_slice(&b), 1);
	buf_reset(&b);
	buf_add_str(&b, "[\"");
	for (unsigned i = 0; b.len < 1000000; i++)
		buf_addf(&b, "%u ", next() % 10000);
	buf_add_str(&b, "\"]");
	run("1 MB of numbers", buf_slice(&b), 1);
	buf_free(&b);
	redact_free(red);
	inspect_free(ins);
	return 0;
}
