/*
 * fuzz_snap - any bytes as a snapshot, and as the section "conf". The digest
 * keeps chance from the sections, so they are also given directly.
 */
#include <sodium/crypto_hash_sha256.h>
#include <stdlib.h>

#include "conf.h"
#include "snap.h"

#define DIGEST_OFF 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
try_conf(struct slice s)
{
	struct conf *c = conf_unpack(s);
	struct buf b;

	if (c == NULL)
		return;
	buf_init(&b, 16 << 20);
	conf_pack(&b, c);
	ASSERT(b.full || slice_eq(buf_slice(&b), s));
	buf_free(&b);
	conf_free(c);
}

static void
try_snap(struct slice bytes)
{
	struct err err = { 0 };
	struct snap *s = snap_parse(bytes, &err);
	struct slice part;

	ASSERT((s == NULL) == err.set);
	if (s == NULL)
		return;
	ASSERT(strlen(snap_name(s)) == 12);
	part = snap_section(s, "conf");
	if (part.p != NULL) {
		ASSERT(part.p >= bytes.p &&
		    part.p + part.n <= bytes.p + bytes.n);
		try_conf(part);
	}
	snap_close(s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const size_t head = DIGEST_OFF + crypto_hash_sha256_BYTES;
	uint8_t *copy;

	try_conf(slice_make(data, n));
	try_snap(slice_make(data, n));
	if (n < head)
		return 0;
	copy = malloc(n);
	memcpy(copy, data, n);
	crypto_hash_sha256(copy + DIGEST_OFF, copy + head, n - head);
	try_snap(slice_make(copy, n));
	free(copy);
	return 0;
}
