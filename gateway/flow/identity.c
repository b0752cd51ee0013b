/*
 * identity - who asks: the task token as clients can carry it, and the
 * binding of Mcp-Session-Id to the principal. Proxies hold hashes of tokens.
 */
#include "internal.h"

#include <sodium/crypto_auth_hmacsha256.h>
#include <sodium/crypto_hash_sha256.h>

#include "codec.h"

#define TOKEN_PREFIX "prt_"
#define MAC_BYTES 16

static bool
hash_token(struct slice token, uint8_t hash_r[32])
{
	if (token.n > FLOW_TOKEN_MAX || !slice_starts(token, TOKEN_PREFIX))
		return false;
	crypto_hash_sha256(hash_r, (const unsigned char *)token.p, token.n);
	return true;
}

/* Basic (RFC 7617): the token is the password, as proxy URLs carry it
 * (http://agent:TOKEN@proxy), or the user name when there is none. */
static bool
from_basic(struct slice v, uint8_t hash_r[32])
{
	struct buf b;
	bool ok = false;

	buf_init(&b, 1024);
	if (b64_decode(&b, slice_trim(v)) == 0) {
		struct slice pass = buf_slice(&b);
		struct slice user = slice_cut(&pass, ':');

		ok = hash_token(pass.n > 0 ? pass : user, hash_r);
	}
	buf_wipe_free(&b);
	return ok;
}

bool
identity_token(const struct http1_head *h, bool proxy, uint8_t hash_r[32])
{
	struct slice v = http1_field_known(h, proxy ?
	    HTTP1_F_PROXY_AUTHORIZATION : HTTP1_F_AUTHORIZATION);
	struct slice scheme;

	if (v.p == NULL)
		return false;
	scheme = slice_cut(&v, ' ');
	if (slice_is_nocase(scheme, "basic"))
		return from_basic(v, hash_r);
	if (slice_is_nocase(scheme, "bearer"))
		return hash_token(slice_trim(v), hash_r);
	return false;
}

/* Part of the MAC: what was sealed as one thing is no other. */
static const char *const names[] = { [IDENTITY_SESSION] = "session",
	[IDENTITY_EVENT] = "event", [IDENTITY_ENDPOINT] = "endpoint" };

static void
mac_of(const struct exchange *ex, enum identity_what what, struct slice id,
    uint8_t mac[32])
{
	crypto_auth_hmacsha256_state st;
	const struct principal *p = &ex->session->who;
	const char *parts[] = { names[what], p->user, p->agent, ex->con->name };

	crypto_auth_hmacsha256_init(&st, ex->f->mac_key, 32);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		crypto_auth_hmacsha256_update(&st,
		    (const unsigned char *)parts[i], strlen(parts[i]) + 1);
	crypto_auth_hmacsha256_update(&st, (const unsigned char *)id.p, id.n);
	crypto_auth_hmacsha256_final(&st, mac);
}

void
identity_seal(const struct exchange *ex, enum identity_what what,
    struct slice id, struct buf *out)
{
	uint8_t mac[32];
	char hex[2 * MAC_BYTES + 1];

	mac_of(ex, what, id, mac);
	hex_encode(mac, MAC_BYTES, hex);
	buf_add_slice(out, id);
	buf_add_char(out, '.');
	buf_add_str(out, hex);
}

bool
identity_open(const struct exchange *ex, enum identity_what what,
    struct slice sealed, struct slice *id_r)
{
	uint8_t mac[32], given[MAC_BYTES];
	struct slice id;

	if (sealed.n < 2 * MAC_BYTES + 2 ||
	    sealed.p[sealed.n - 2 * MAC_BYTES - 1] != '.')
		return false;
	id = slice_sub(sealed, 0, sealed.n - 2 * MAC_BYTES - 1);
	if (!hex_decode(slice_sub(sealed, id.n + 1, SIZE_MAX), given,
	    MAC_BYTES))
		return false;
	mac_of(ex, what, id, mac);
	if (!base_equal_ct(mac, given, MAC_BYTES))
		return false;
	*id_r = id;
	return true;
}
