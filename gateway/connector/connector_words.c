/* connector_words - see connector_words.h. */
#include "connector_words.h"

#include <stdlib.h>

void
connector_words_pack(struct buf *b, const struct connector_words *w)
{
	pack_u32(b, (uint32_t)w->n);
	for (size_t i = 0; i < w->n; i++)
		pack_str(b, w->v[i]);
}

void
connector_words_unpack(struct unpack *u, struct connector_words *w)
{
	uint32_t n = unpack_count(u, 4);

	w->v = base_calloc(n + 1, sizeof(*w->v));
	for (; w->n < n; w->n++)
		w->v[w->n] = unpack_strdup(u);
}

void
connector_words_free(struct connector_words *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->v[i]);
	free(w->v);
}
