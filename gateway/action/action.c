/* action - see action.h. */
#include "action.h"

#include <sodium/crypto_hash_sha256.h>

#include "buf.h"
#include "json.h"

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

/* The arguments member by member without requestState, which differs from one
 * round to the next (MCP 2026-07-28, basic/patterns/mrtr). */
static struct slice
without_state(struct slice arguments, struct buf *out)
{
	struct slice sep = SLICE("{");
	struct json_doc d;
	bool object;

	json_init(&d);
	object = json_index(&d, arguments, NULL) == JSON_OK &&
	    json_typeof(&d, 0) == JSON_OBJECT;
	for (uint32_t k = object ? json_first(&d, 0) : JSON_NONE, v;
	    k != JSON_NONE; k = json_next(&d, 0, v)) {
		v = json_next(&d, 0, k);
		if (json_str_is(&d, k, "requestState"))
			continue;
		buf_add_slice(out, sep);
		buf_add_slice(out, json_raw(&d, k));
		buf_add_char(out, ':');
		buf_add_slice(out, json_raw(&d, v));
		sep = SLICE(",");
	}
	json_free(&d);
	ASSERT(!out->full);	/* it is no longer than what it was made of */
	return object ? buf_slice(out) : arguments;
}

/* No HTTP method has a slash. Beside tools/call's arguments it stands outside
 * of them. */
static bool
has_state(const struct action *a)
{
	return slice_chr(a->method, '/') >= 0 &&
	    !slice_is(a->method, "tools/call");
}

void
action_digest(const struct action *a, uint8_t out[ACTION_DIGEST])
{
	crypto_hash_sha256_state st;
	struct buf b;

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
	buf_init(&b, a->arguments.n + 1);
	add(&st, has_state(a) ? without_state(a->arguments, &b) :
	    a->arguments);
	buf_wipe_free(&b);
	if (a->responses.n > 0)
		add(&st, a->responses);
	crypto_hash_sha256_final(&st, out);
}
