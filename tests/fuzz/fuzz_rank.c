/*
 * fuzz_rank - lines as a query and the names and descriptions of tools: names
 * on the mount of all connectors fit and split again, and a search answers with
 * tools that are there, each once, the same twice.
 */
#include "rank.h"
#include "toolname.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check_name(struct slice tool)
{
	char name[TOOLNAME_MAX + 1];
	struct slice prefix, rest;

	for (int hashed = 0; hashed < 2; hashed++) {
		bool plain = toolname_make("conn", tool, hashed == 1, name);

		ASSERT(strlen(name) <= TOOLNAME_MAX);
		ASSERT(toolname_split(slice_str(name), &prefix, &rest));
		ASSERT(slice_is(prefix, "conn"));
		ASSERT(!plain || slice_eq(rest, tool));
	}
	(void)toolname_split(tool, &prefix, &rest);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice text = slice_make(data, n), query, line;
	struct rank *r = rank_new();
	uint32_t out[20], again[20];
	unsigned tools = 0;
	size_t found;

	query = slice_cut(&text, '\n');
	while (text.p != NULL && tools < 200) {
		line = slice_cut(&text, '\n');
		struct slice name = slice_cut(&line, '\t');

		check_name(name);
		ASSERT(rank_add(r, name, slice_cut(&line, '\t'), line));
		tools++;
	}
	found = rank_search(r, query, out, 20);
	ASSERT(found <= 20 && found <= tools);
	for (size_t i = 0; i < found; i++) {
		ASSERT(out[i] < tools);
		for (size_t k = 0; k < i; k++)
			ASSERT(out[k] != out[i]);
	}
	ASSERT(rank_search(r, query, again, 20) == found);
	ASSERT(found == 0 || memcmp(out, again, found * sizeof(out[0])) == 0);
	rank_free(r);
	return 0;
}
