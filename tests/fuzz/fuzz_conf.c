/* fuzz_conf - any bytes as the main file: an error that is set, or a conf
 * that comes back the same from a snapshot. */
#include "conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
on_warn(void *ctx, const char *text)
{
	(void)ctx;
	ASSERT(text[0] != '\0');
}

static void
round_trip(const struct conf *c)
{
	struct buf a, b;
	struct conf *back;

	buf_init(&a, 16 << 20);
	buf_init(&b, 16 << 20);
	conf_pack(&a, c);
	back = conf_unpack(buf_slice(&a));
	ASSERT(back != NULL);
	conf_pack(&b, back);
	ASSERT(slice_eq(buf_slice(&a), buf_slice(&b)));
	conf_free(back);
	buf_free(&a);
	buf_free(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct err err = { 0 };
	struct conf *c = conf_parse("/fuzz/p.yaml", slice_make(data, n),
	    on_warn, NULL, &err);

	ASSERT((c == NULL) == err.set);
	if (c == NULL)
		return 0;
	ASSERT(c->nlisteners > 0 && c->state_dir != NULL);
	round_trip(c);
	conf_free(c);
	return 0;
}
