/* gateway/action/graphql: what runs of a document, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "buf.h"
#include "graphql.h"

static struct buf out;

/* "type name: a,b" */
static const char *
read_named(const char *doc, const char *operation)
{
	struct graphql g = { 0 };
	const char *why = NULL;

	if (graphql_read(slice_str(doc), slice_str(operation), &g, &why) != 0)
		return why;
	assert_null(why);
	buf_reset(&out);
	buf_addf(&out, "%s %.*s:", graphql_type_names[g.type],
	    SLICE_FMT(g.name));
	for (size_t i = 0; i < g.n; i++)
		buf_addf(&out, "%s%.*s", i == 0 ? " " : ",",
		    SLICE_FMT(g.fields[i]));
	buf_add_char(&out, '\0');
	return buf_data(&out);
}

#define IS(doc, want) assert_string_equal(read_named(doc, ""), want)
#define WHY(doc, part) \
	assert_non_null(strstr(read_named(doc, ""), part))

static void
test_operations(void **st)
{
	(void)st;
	IS("{ user }", "query : user");
	IS("query Q($a: [Int!]! = [1, 2] @d(x: \"}\")) @dir(a: {b: 1}) { b a "
	    "}", "query Q: a,b");
	IS("mutation M { safe: deleteAll(id: \"}\") { id } }",
	    "mutation M: deleteAll");
	IS("subscription { events(n: -1.5e+3, s: \"\"\"a } \\\"\"\" { \"\"\") "
	    "{ x } }", "subscription : events");
	IS("\xEF\xBB\xBF# { x }\n{ a, # b }\r c a }", "query : a,c");
	IS("{ a(x: {y: [\"\\\"}\"]}) @skip(if: $v) { b { c } } d: e }",
	    "query : a,e");
}

static void
test_fragments(void **st)
{
	(void)st;
	IS("mutation { ...F } fragment F on Mutation { x: wipe ... on Mutation"
	    " { pay } ... @include(if: true) { go } ...G } "
	    "fragment G on Mutation { ...F last }",
	    "mutation : go,last,pay,wipe");
	IS("fragment query on Q { a } query fragment { ...query }",
	    "query fragment: a");
	WHY("{ ...F }", "not defined");
	WHY("fragment F on Q { a }", "no operation");
	WHY("fragment on on Q { a } { ...on }", "no name");
	WHY("fragment F on Q { a } fragment F on Q { b } { ...F }", "same");
}

static void
test_which(void **st)
{
	const char *two = "query A { a } mutation B { b }";

	(void)st;
	WHY(two, "several operations");
	assert_string_equal(read_named(two, "B"), "mutation B: b");
	assert_string_equal(read_named(two, "A"), "query A: a");
	WHY("query A { a } query A { b }", "same name");
	WHY("{ a } { b }", "same name");
	assert_non_null(strstr(read_named(two, "C"), "operationName"));
	assert_non_null(strstr(read_named("{ a }", "C"), "operationName"));
}

static void
test_refused(void **st)
{
	(void)st;
	WHY("", "no operation");
	WHY("{ a", "broken or cut off");
	WHY("{ a } }", "something else");
	WHY("{ }", "empty");
	WHY("{ a ( }", "do not match");
	WHY("{ a(x: \"y) }", "broken or cut off");
	WHY("{ a(x: \"y\n\") }", "broken or cut off");
	WHY("{ a(x: \"\\\n\") }", "broken or cut off");
	WHY("{ a(x: 1z) }", "broken or cut off");
	WHY("{ a: }", "alias");
	WHY("{ 1 }", "selection set is broken");
	WHY("{ a % }", "broken or cut off");
	WHY("type T { a: Int }", "something else");
	WHY("mutation M", "selection set");
	WHY("query Q @ { a }", "directive");
}

static void
test_limits(void **st)
{
	struct buf b;

	(void)st;
	buf_init(&b, 1 << 20);
	buf_add_str(&b, "{");
	for (int i = 0; i < GRAPHQL_FIELDS; i++)
		buf_addf(&b, " f%d", i);
	buf_add_str(&b, " }");
	buf_add_char(&b, '\0');
	assert_non_null(strstr(read_named(buf_data(&b), ""), "f31"));
	b.len -= 2;
	buf_add_str(&b, " more }");
	buf_add_char(&b, '\0');
	WHY(buf_data(&b), "more than 32");
	buf_reset(&b);
	for (int i = 0; i < GRAPHQL_DEPTH + 2; i++)
		buf_add_str(&b, "{ ... ");
	buf_add_char(&b, '\0');
	WHY(buf_data(&b), "nested too deep");
	buf_reset(&b);
	for (int i = 0; i <= GRAPHQL_DEFINITIONS; i++)
		buf_addf(&b, "query q%d { a } ", i);
	buf_add_char(&b, '\0');
	WHY(buf_data(&b), "100 definitions");
	buf_reset(&b);
	buf_add_str(&b, "{ ");
	for (int i = 0; i <= GRAPHQL_NAME; i++)
		buf_add_char(&b, 'x');
	buf_add_str(&b, " }");
	buf_add_char(&b, '\0');
	WHY(buf_data(&b), "broken");
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_operations),
		cmocka_unit_test(test_fragments),
		cmocka_unit_test(test_which),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_limits),
	};
	int r;

	buf_init(&out, 1 << 16);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	buf_free(&out);
	return r;
}
