/* codec - hex (RFC 4648, 8, lower case) and base64 (RFC 4648, 4 and 5). */
#ifndef CODEC_H
#define CODEC_H

#include "base.h"
#include "buf.h"

void hex_encode(const void *p, size_t n, char *out);	/* 2n + NUL */
/* Exactly n bytes from 2n digits. */
bool hex_decode(struct slice s, void *out, size_t n) MUST_USE;
void b64_encode(struct buf *out, const void *p, size_t n);
void b64url_encode(struct buf *out, const void *p, size_t n); /* unpadded */
/* Strict: standard or URL alphabet (not mixed), padding required for the
 * standard one; -1 on anything else. Appends to out, all or nothing. */
int b64_decode(struct buf *out, struct slice s) MUST_USE;
int b64url_decode(struct buf *out, struct slice s) MUST_USE;

#endif
