/* yaml: the tree and its places, what is refused, typed access, cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "clock.h"
#include "file.h"
#include "yaml.h"

static struct yaml_doc *
good(const char *text, bool multi)
{
	struct err err = { 0 };
	struct yaml_doc *d = yaml_parse("t.yaml", slice_str(text), multi,
	    &err);

	if (d == NULL)
		fail_msg("%s", err.text);
	return d;
}

static void
test_tree(void **st)
{
	struct yaml_doc *d = good(
	    "# comment\n"
	    "a: 1\n"
	    "list:\n"
	    "  - x\n"
	    "  - {k: \"q\", e: }\n"
	    "text: |\n"
	    "  two\n"
	    "  lines\n"
	    "yes: no\n", false);
	struct yaml_node *r = d->roots[0], *l, *v;

	(void)st;
	assert_int_equal(d->n, 1);
	assert_int_equal(r->type, YAML_MAP);
	assert_int_equal(r->n, 4);
	assert_string_equal(r->keys[0]->text, "a");
	v = yaml_get(r, "a");
	assert_string_equal(v->text, "1");
	assert_int_equal(v->line, 2);
	assert_int_equal(v->col, 4);
	assert_false(v->quoted);
	l = yaml_get(r, "list");
	assert_int_equal(l->type, YAML_SEQ);
	assert_int_equal(l->n, 2);
	assert_string_equal(l->items[0]->text, "x");
	v = yaml_get(l->items[1], "k");
	assert_true(v->quoted);
	assert_string_equal(v->text, "q");
	assert_int_equal(v->line, 5);
	assert_int_equal(yaml_get(l->items[1], "e")->len, 0);
	v = yaml_get(r, "text");
	assert_string_equal(v->text, "two\nlines\n");
	assert_true(v->quoted);
	assert_string_equal(yaml_get(r, "yes")->text, "no");
	assert_null(yaml_get(r, "none"));
	assert_null(yaml_get(l, "k"));
	assert_null(yaml_get(NULL, "k"));
	yaml_free(d);
	yaml_free(NULL);
}

static void
test_documents(void **st)
{
	struct yaml_doc *d = good("---\na: 1\n---\nb: 2\n---\n", true);

	(void)st;
	assert_int_equal(d->n, 2);
	assert_string_equal(yaml_get(d->roots[1], "b")->text, "2");
	yaml_free(d);
}

static void
test_refused(void **st)
{
	static const struct {
		const char *text, *place, *says;
	} t[] = {
		{ "", "t.yaml: ", "empty" },
		{ "# only\n", "t.yaml: ", "empty" },
		{ "---\n", "t.yaml:2:1: ", "empty" },
		{ "a: 1\n---\nb: 2\n", "t.yaml:2:1: ", "one document" },
		{ "a: &x 1\n", "t.yaml:1:4: ", "anchors" },
		{ "a: &x [1]\n", "t.yaml:1:4: ", "anchors" },
		{ "a: &x {b: 1}\n", "t.yaml:1:4: ", "anchors" },
		{ "a: *x\n", "t.yaml:1:4: ", "aliases" },
		{ "a: !!str 1\n", "t.yaml:1:4: ", "tags" },
		{ "a: ! 1\n", "t.yaml:1:4: ", "tags" },
		{ "a: !x [1]\n", "t.yaml:1:4: ", "tags" },
		{ "a: !x {b: 1}\n", "t.yaml:1:4: ", "tags" },
		{ "%YAML 1.1\n---\na: 1\n", "t.yaml:1:1: ", "directives" },
		{ "a: 1\nb: 2\na: 3\n", "t.yaml:3:1: ", "`a` is there twice" },
		{ "{a: 1, \"a\": 2}\n", "t.yaml:1:8: ", "twice" },
		{ "<<: {a: 1}\n", "t.yaml:1:1: ", "merge" },
		{ "? [a]\n: 1\n", "t.yaml:1:3: ", "key" },
		{ "a: \"\\0\"\n", "t.yaml:1:4: ", "NUL" },
		{ "a: [1, 2\n", "t.yaml:2:1: ", "from line 1" },
		{ "a: b: c\n", "t.yaml:1:5: ", "" },
		{ "a:\n\t- 1\n", "t.yaml:2:1: ", "" },
		{ "a: \xC3\n", "t.yaml:1:5: ", "UTF-8" },
		{ "a: 1\nb: \x01\n", "t.yaml:2:4: ", "control" },
	};

	(void)st;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct err err = { 0 };

		assert_null(yaml_parse("t.yaml", slice_str(t[i].text), false,
		    &err));
		if (!slice_starts(slice_str(err.text), t[i].place) ||
		    strstr(err.text, t[i].says) == NULL)
			fail_msg("%s gives: %s", t[i].text, err.text);
	}
}

static void
test_many_keys(void **st)
{
	struct buf b;
	struct err err = { 0 };

	(void)st;
	buf_init(&b, 1 << 20);
	for (int i = 0; i < 40; i++)
		buf_addf(&b, "k%d: v\n", i);
	struct yaml_doc *d = yaml_parse("t.yaml", buf_slice(&b), false, &err);

	assert_non_null(d);
	yaml_free(d);
	buf_add_str(&b, "k7: v\n");
	assert_null(yaml_parse("t.yaml", buf_slice(&b), false, &err));
	assert_string_equal(err.text, "t.yaml:41:1: key `k7` is there twice");
	buf_free(&b);
}

static void
test_typed(void **st)
{
	static const char *const names[] = { "refuse", "splice" };
	struct yaml_doc *d = good("b: true\nq: \"true\"\ni: -5\nf: 1.5\n"
	    "d: 15m\ne: splice\nw: splise\ns: text\nn:\nl: [1]\nh: 0x10\n"
	    "z: \"\"\nbig: 99999999999999999999\n", false);
	struct yaml_node *r = d->roots[0];
	struct err err = { 0 };
	bool v = false;
	int64_t i = 77;
	int e = 9;
	char *s = base_strdup("before");

	(void)st;
	assert_int_equal(yaml_get_bool(d, r, "none", &v, &err), 0);
	assert_int_equal(yaml_get_bool(d, r, "b", &v, &err), 0);
	assert_true(v);
	assert_int_equal(yaml_get_bool(d, r, "q", &v, &err), -1);
	assert_string_equal(err.text,
	    "t.yaml:2:4: `q` must be true or false, not `true` in quotes");
	err.set = false;
	assert_int_equal(yaml_get_int(d, r, "i", -5, 5, &i, &err), 0);
	assert_int_equal(i, -5);
	assert_int_equal(yaml_get_int(d, r, "i", 0, 5, &i, &err), -1);
	assert_string_equal(err.text, "t.yaml:3:4: `i` must be a whole "
	    "number from 0 to 5, not `-5`");
	assert_int_equal(yaml_get_int(d, r, "f", 0, 5, &i, NULL), -1);
	assert_int_equal(yaml_get_int(d, r, "h", 0, 50, &i, NULL), -1);
	assert_int_equal(yaml_get_int(d, r, "l", 0, 50, &i, NULL), -1);
	assert_int_equal(yaml_get_int(d, r, "big", 0, INT64_MAX, &i, NULL),
	    -1);
	assert_int_equal(i, -5);
	assert_int_equal(yaml_get_duration(d, r, "d", &i, NULL), 0);
	assert_int_equal(i, 900000);
	assert_int_equal(yaml_get_duration(d, r, "s", &i, NULL), -1);
	assert_int_equal(yaml_get_enum(d, r, "e", names, 2, &e, NULL), 0);
	assert_int_equal(e, 1);
	err.set = false;
	assert_int_equal(yaml_get_enum(d, r, "w", names, 2, &e, &err), -1);
	assert_string_equal(err.text,
	    "t.yaml:7:4: unknown `w` `splise`; did you mean `splice`?");
	assert_int_equal(yaml_get_enum(d, r, "l", names, 2, &e, NULL), -1);
	assert_int_equal(e, 1);
	assert_int_equal(yaml_get_str(d, r, "none", &s, NULL), 0);
	assert_string_equal(s, "before");
	assert_int_equal(yaml_get_str(d, r, "s", &s, NULL), 0);
	assert_string_equal(s, "text");
	assert_int_equal(yaml_get_str(d, r, "n", &s, NULL), -1);
	assert_int_equal(yaml_get_str(d, r, "l", &s, NULL), -1);
	assert_string_equal(s, "text");
	assert_int_equal(yaml_get_str(d, r, "z", &s, NULL), 0);
	assert_string_equal(s, "");
	free(s);
	yaml_free(d);
}

static void
test_keys(void **st)
{
	static const char *const names[] = { "connectors", NULL, "rules" };
	struct yaml_doc *d = good("rules: a\nconectors: b\n", false);
	struct err err = { 0 };

	(void)st;
	assert_int_equal(yaml_check_keys(d, d->roots[0], names, 3, &err), -1);
	assert_string_equal(err.text, "t.yaml:2:1: unknown key `conectors`; "
	    "did you mean `connectors`?");
	yaml_free(d);
	d = good("wholly: a\n", false);
	err.set = false;
	assert_int_equal(yaml_check_keys(d, d->roots[0], names, 3, &err), -1);
	assert_string_equal(err.text, "t.yaml:1:1: unknown key `wholly`; "
	    "known: connectors, rules");
	err.set = false;
	assert_int_equal(yaml_check_keys(d, d->roots[0]->items[0], names, 3,
	    &err), -1);
	yaml_free(d);
}

/* Texts of the full size that are meant to cost much are answered at once. */
static void
test_cost(void **st)
{
	static const char *const units[] = {
		"[", "{a: ", "[\n", "- ", "? ", "[\"]\",", "{\"a\":{\"]\":",
		"%TAG !a! x\n", "[a,", "\"", "a: |\n ", "!", "&a ", "- - [",
	};
	struct buf b;

	(void)st;
	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		uint64_t t0 = clock_mono_ms(), ms;

		buf_reset(&b);
		while (b.len + strlen(units[i]) <= b.max)
			buf_add_str(&b, units[i]);
		struct yaml_doc *d = yaml_parse("t.yaml", buf_slice(&b), true,
		    NULL);

		ms = clock_mono_ms() - t0;
		yaml_free(d);
		if (ms > 1000)
			fail_msg("`%s` repeated: %ld ms", units[i], (long)ms);
	}
	buf_reset(&b);
	b.max++;
	while (b.len < b.max)
		buf_add_str(&b, "#");
	assert_null(yaml_parse("t.yaml", buf_slice(&b), false, NULL));
	buf_free(&b);
}

static void
test_load(void **st)
{
	char path[] = "/tmp/test_yaml_XXXXXX";
	int fd = mkstemp(path);
	struct err err = { 0 };
	struct yaml_doc *d;
	char *s;

	(void)st;
	assert_int_equal(write(fd, "a: b\n", 5), 5);
	close(fd);
	d = yaml_load(path, false, &err);
	assert_non_null(d);
	assert_string_equal(d->file, path);
	yaml_free(d);
	unlink(path);
	assert_null(yaml_load(path, false, &err));
	assert_non_null(strstr(err.text, "No such file"));
	err.set = false;
	assert_null(yaml_load("/", false, &err));
	assert_non_null(strstr(err.text, "regular"));
	s = file_folder("/a/b/c.yaml");
	assert_string_equal(s, "/a/b");
	free(s);
	s = file_folder("c.yaml");
	assert_string_equal(s, ".");
	free(s);
	s = file_folder("/c.yaml");
	assert_string_equal(s, "/");
	free(s);
	s = file_resolve("/", "c");
	assert_string_equal(s, "/c");
	free(s);
	s = file_resolve("/a", "b/c");
	assert_string_equal(s, "/a/b/c");
	free(s);
	s = file_resolve("/a", "/b");
	assert_string_equal(s, "/b");
	free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tree),
		cmocka_unit_test(test_documents),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_many_keys),
		cmocka_unit_test(test_typed),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_cost),
		cmocka_unit_test(test_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
