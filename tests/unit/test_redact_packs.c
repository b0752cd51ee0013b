#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "inspect.h"
#include "redact.h"

/* Compiling runs every example of the pack. */
static void
compiles(int (*fn)(const char *, struct buf *, struct err *), const char *dir)
{
	struct err err = { 0 };
	struct buf b;

	buf_init(&b, 64u << 20);
	if (fn(dir, &b, &err) != 0)
		fail_msg("%s", err.text);
	assert_true(b.len > 1000);
	buf_free(&b);
}

static void
redaction_examples(void **s)
{
	(void)s;
	compiles(redact_compile, "rules/redaction");
}

static void
injection_examples(void **s)
{
	(void)s;
	compiles(inspect_compile, "rules/injection");
}

#define HEAD "rules:\n  - id: one\n    title: One\n    kind: secret\n"
#define EXAMPLES "    examples:\n      positive: [abc1, abc2, abc3]\n" \
	"      negative: [a, b, c]\n"
#define GOOD HEAD "    pattern: 'abc[0-9]'\n" EXAMPLES

static const struct {
	const char *yaml, *says;
} packs[] = {
	{ GOOD, NULL },
	{ GOOD "    enabled: false\n", "no rule is enabled" },
	{ HEAD "    pattern: 'abc[0-9'\n" EXAMPLES, "x.yaml:5" },
	{ HEAD "    pattern: 'abc(?=1)'\n" EXAMPLES, "x.yaml:5" },
	{ HEAD "    pattern: 'abc[0-9]+'\n" EXAMPLES, "bound its repeats" },
	{ HEAD "    pattern: 'abc[12]'\n" EXAMPLES,
	    "x.yaml:7:30: rule one does not match this positive" },
	{ HEAD "    pattern: 'abc[0-9]|b'\n" EXAMPLES,
	    "x.yaml:8:21: rule one matches this negative" },
	{ HEAD "    pattern: 'abc[12]'\n    enabled: false\n" EXAMPLES,
	    "does not match this positive" },
	{ HEAD "    pattern: 'abc[0-9]'\n", "no examples" },
	{ HEAD "    pattern: 'abc[0-9]'\n    examples:\n      positive: [abc1]\n"
	    "      negative: [a, b, c]\n", "at least 3 positive" },
	{ GOOD "    check: lun\n", "did you mean luhn" },
	{ GOOD "    colour: red\n", "colour" },
	{ GOOD "    entropy: 3\n", "never stands alone" },
	{ GOOD "    entropy: many\n", "bits a byte" },
	{ GOOD "    replace: 'a\"b'\n", "printable" },
	{ GOOD "    replace: 'abc1'\n", "put in place" },
	{ GOOD "    kind: public\n", "kind" },
	{ GOOD "  - id: one\n    title: Two\n    kind: secret\n"
	    "    pattern: 'abc[0-9]'\n" EXAMPLES, "is taken by" },
	{ GOOD "  - id: personal\n    title: Two\n    kind: secret\n"
	    "    pattern: 'abc[0-9]'\n" EXAMPLES, "is the name of a kind" },
	{ "rules: 1\n", "list of rules" },
	{ "- a\n", "list of rules" },
};

static void
errors_name_the_place(void **s)
{
	char dir[] = "/tmp/packXXXXXX", path[64];

	(void)s;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/x.yaml", dir);
	for (size_t i = 0; i < ARRAY_LEN(packs); i++) {
		FILE *f = fopen(path, "w");
		struct err err = { 0 };
		struct buf b;

		assert_non_null(f);
		fputs(packs[i].yaml, f);
		fclose(f);
		buf_init(&b, 1u << 20);
		int r = redact_compile(dir, &b, &err);

		if ((r == 0) != (packs[i].says == NULL) || (r != 0 &&
		    (strstr(err.text, packs[i].says) == NULL ||
		    strstr(err.text, dir) == NULL)))
			fail_msg("%s\n-> %s", packs[i].yaml, err.text);
		assert_true(r == 0 || b.len == 0);
		buf_free(&b);
	}
	unlink(path);
	struct err err = { 0 };
	struct buf b;

	buf_init(&b, 1u << 20);
	assert_int_equal(redact_compile(dir, &b, &err), -1);
	assert_non_null(strstr(err.text, "no *.yaml"));
	rmdir(dir);
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(redaction_examples),
		cmocka_unit_test(injection_examples),
		cmocka_unit_test(errors_name_the_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
