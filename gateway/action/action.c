/* action - see action.h. */
#include "action.h"

#include <sodium/crypto_hash_sha256.h>

const char *const action_operation_names[] = { "protocol", "list", "read",
	"call", "http" };

static void
add(crypto_hash_sha256_state *st, struct slice s)
{
	uint8_t n[8];

	for (int i = 0; i < 8; i++)
		n[i] = (uint8_t)((uint64_t)s.n >> (8 * i));
	crypto_hash_sha256_update(st, n, sizeof(n));
	crypto_hash_sha256_update(st, (const unsigned char *)s.p, s.n);
}

void
action_digest(const struct action *a, uint8_t out[ACTION_DIGEST])
{
	crypto_hash_sha256_state st;

	crypto_hash_sha256_init(&st);
	add(&st, SLICE("portreeve action v1"));
	add(&st, slice_str(a->who->user));
	add(&st, slice_str(a->who->agent));
	add(&st, slice_str(a->who->session));
	add(&st, slice_str(a->connector));
	add(&st, slice_str(a->environment));
	add(&st, a->method);
	add(&st, a->tool);
	add(&st, slice_str(a->target));
	add(&st, a->arguments);
	if (a->responses.n > 0)
		add(&st, a->responses);
	crypto_hash_sha256_final(&st, out);
}
