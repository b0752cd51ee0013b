#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "inspect.h"
#include "redact.h"

static void
compiles(int (*fn)(const char *, struct buf *, struct err *), const char *dir)
{
	struct err err = { 0 };
	struct buf b;

	buf_init(&b, 64u << 20);
	if (fn(dir, &b, &err) != 0)
		fail_msg("%s", err.text);
	printf("%s: section of %zu bytes\n", dir, b.len);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(redaction_examples),
		cmocka_unit_test(injection_examples),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
