/* fuzz_yaml - any bytes: an error that is set, or a tree whose places grow. */
#include "yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Bounded by yaml's own limit of depth. */
static void
check(const struct yaml_node *v, unsigned depth)
{
	ASSERT(depth <= 33 && v->line > 0 && v->col > 0);
	if (v->type == YAML_SCALAR) {
		ASSERT(v->n == 0 && strlen(v->text) == v->len);
		return;
	}
	ASSERT(v->type == YAML_SEQ || v->type == YAML_MAP);
	for (size_t i = 0; i < v->n; i++) {
		check(v->items[i], depth + 1);
		if (v->type != YAML_MAP)
			continue;
		ASSERT(v->keys[i]->type == YAML_SCALAR);
		ASSERT(yaml_get(v, v->keys[i]->text) == v->items[i]);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	for (int multi = 0; multi < 2; multi++) {
		struct err err = { 0 };
		struct yaml_doc *d = yaml_parse("fuzz", slice_make(data, n),
		    multi, &err);

		ASSERT((d == NULL) == err.set);
		if (d == NULL)
			continue;
		ASSERT(d->n > 0 && (multi || d->n == 1));
		for (size_t i = 0; i < d->n; i++)
			check(d->roots[i], 0);
		yaml_free(d);
	}
	return 0;
}
