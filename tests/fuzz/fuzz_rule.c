/*
 * fuzz_rule - a rule file as YAML: compiled, packed, loaded again, asked about
 * one event; the same bytes as a packed section. What compiles must load.
 */
#include <stdlib.h>

#include "detect.h"
#include "rule.h"

static const char event[] = "{\"id\":\"01900000-0000-7000-8000-000000000001\","
    "\"time\":\"2026-01-07T10:00:00.000Z\",\"type\":\"call.decision\","
    "\"role\":\"proxy\",\"session\":\"s\",\"user\":\"ada\",\"agent\":\"bot\","
    "\"source\":\"[2001:db8::1]:99\",\"connector\":\"crm\",\"class\":"
    "\"dangerous\",\"verdict\":\"deny\",\"arguments\":{\"path\":[\"/etc/"
    "passwd\",{\"a.b\":\"x\\u00e4\\ud83d\\ude00\"}],\"n\":-1.5e3,\"t\":true,"
    "\"z\":null},\"flags\":[\"injection.override\"]}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
on_finding(void *ctx, const struct detect_finding *f)
{
	struct jsonw w;
	struct buf b;

	(void)ctx;
	buf_init(&b, DETECT_FINDING_MAX);
	jsonw_init(&w, &b);
	jsonw_object(&w, NULL);
	detect_finding_write(f, &w);
	jsonw_object_end(&w);
	ASSERT(!b.full);
	buf_free(&b);
}

static void
evaluate(struct rule_set *set)
{
	struct detect *d = detect_new(on_finding, NULL);
	struct slice json = slice_str(event);
	struct detect_advice a;

	detect_load(d, set, 0);
	ASSERT(detect_context(d, json) == 0);
	ASSERT(detect_advise(d, json, &a) == 0);
	ASSERT(detect_feed(d, json) == 0);
	detect_free(d);
}

static void
compile(struct slice text, unsigned flags)
{
	struct err err = { 0 };
	struct rule_set *set = rule_build_text("fuzz.yml", text, flags, NULL,
	    NULL, &err), *again;
	struct buf b;

	ASSERT((set == NULL) == err.set);
	if (set == NULL)
		return;
	buf_init(&b, 64u << 20);
	rule_pack(&b, set);
	again = rule_load(buf_slice(&b));
	ASSERT(again != NULL);
	evaluate(again);
	rule_set_free(set);
	buf_free(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice text = slice_make(data, n);
	struct rule_set *set;

	if (n > 65536)
		return 0;
	compile(text, 0);
	compile(text, RULE_FOREIGN);
	set = rule_load(text);
	if (set != NULL)
		evaluate(set);
	return 0;
}
