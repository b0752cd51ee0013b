/* lines: the same lines wherever the stream is cut. */
#include "lines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* "[a][b]!" : two lines and one that was too long. */
static void
cut(const char *text, size_t max, size_t step, const char *want)
{
	struct slice all = slice_str(text);
	struct lines l;
	struct buf log;

	lines_init(&l, max);
	buf_init(&log, 65536);
	while (all.n > 0) {
		struct slice in = slice_sub(all, 0, step), line;
		enum lines_result r;

		all = slice_sub(all, in.n, SIZE_MAX);
		while ((r = lines_next(&l, &in, &line)) != LINES_MORE)
			buf_addf(&log, r == LINES_LONG ? "!" : "[%.*s]",
			    SLICE_FMT(line));
		assert_int_equal(in.n, 0);
	}
	if (!slice_is(buf_slice(&log), want))
		print_error("%.*s\n", SLICE_FMT(buf_slice(&log)));
	assert_true(slice_is(buf_slice(&log), want));
	buf_free(&log);
	lines_free(&l);
}

static void
test_lines(void **st)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "", "" },
		{ "a", "" },
		{ "a\n", "[a]" },
		{ "a\r\nb\n", "[a][b]" },
		{ "\n\n\r\na\n\n", "[a]" },
		{ "a\rb\n", "[a\rb]" },
		{ "12345678\n", "[12345678]" },
		{ "12345678\r\n", "[12345678]" },
		{ "123456789\n", "!" },
		{ "12345678\r\r\nb\n", "![b]" },
		{ "1234567890123456\na\n", "![a]" },
		{ "1234567890123456\n1234567890123456\n\nab\n", "!![ab]" },
		{ "1234567890123456", "!" },
	};

	(void)st;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t step = 1; step < 20; step++)
			if (i != ARRAY_LEN(cases) - 1 || step < 16)
				cut(cases[i].text, 8, step, cases[i].want);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
