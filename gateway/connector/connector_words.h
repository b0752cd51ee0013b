/* connector_words - lists of texts in a snapshot: struct connector_words. */
#ifndef CONNECTOR_WORDS_H
#define CONNECTOR_WORDS_H

#include "connector.h"
#include "pack.h"

void connector_words_pack(struct buf *b, const struct connector_words *w);
/* w is empty; its list ends with NULL. u->bad when it is malformed. */
void connector_words_unpack(struct unpack *u, struct connector_words *w);
void connector_words_free(struct connector_words *w);

#endif
