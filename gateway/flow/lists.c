/*
 * lists - answers of tools/list that are remembered (gateway/mcp/toolcache.h):
 * served instead of FORWARD, after the same decision, filtered and recorded
 * like an answer of the server.
 *
 * Whatever could make the server answer differently is part of the key: the
 * principal, the address, the revision and every field that would be sent but
 * those in not_telling[]. Forgotten when the server says that its tools
 * changed, with a reload, a kill, an operator's word about the connector or its
 * tools. Not for 2026-07-28, whose lists say themselves how long they are
 * good, nor for servers on stdio, which are beside their agent.
 */
#include "internal.h"

#include <sodium/crypto_hash_sha256.h>
#include <stdlib.h>

#include "clock.h"

struct listing {
	uint8_t key[TOOLCACHE_KEY];
	struct slice cursor;		/* raw JSON */
	uint64_t drops;			/* of the flow, when it was asked */
};

/* --- telling the broker, for `tool ls` --------------------------------------------- */

static void
tell(void *ctx, const char *connector)
{
	struct flow *f = ctx;
	struct toolcache_sum s = toolcache_sum(f->toolcache, connector);
	struct buf *b = f->broker == NULL ? NULL :
	    chan_begin(f->broker, MSG_TOOLS_CACHED);

	if (b == NULL)
		return;
	pack_str(b, connector);
	pack_u32(b, s.lists);
	pack_i64(b, s.lists == 0 ? 0 : clock_wall_ms() -
	    (int64_t)(clock_mono_ms() - s.oldest_ms));
	chan_end(f->broker);
}

void
lists_tell(struct flow *f)
{
	toolcache_each(f->toolcache, tell, f);
}

/* --- forgetting ------------------------------------------------------------------------ */

struct toolcache_sum
lists_drop(struct flow *f, const char *connector)
{
	struct toolcache_sum s;

	f->list_drops++;
	aggregate_changed(f);
	s = toolcache_drop(f->toolcache, connector);
	if (s.lists > 0)
		tell(f, connector);
	return s;
}

void
lists_drop_all(struct flow *f)
{
	char name[65];

	f->list_drops++;
	aggregate_changed(f);
	while (toolcache_expire(f->toolcache, UINT64_MAX, name))
		tell(f, name);
}

void
lists_second(struct flow *f)
{
	char name[65];

	while (toolcache_expire(f->toolcache, clock_mono_ms(), name))
		tell(f, name);
}

int
lists_on_refresh(struct flow *f, struct unpack *u)
{
	uint64_t q = unpack_u64(u);
	char *connector = unpack_strdup(u);
	struct toolcache_sum s = { 0 };
	struct buf *b;

	if (unpack_done(u))
		s = lists_drop(f, connector);
	free(connector);
	if (!unpack_done(u))
		return -1;
	if ((b = chan_begin(f->broker, MSG_TOOLS_REFRESHED)) == NULL)
		return 0;
	pack_u64(b, q);
	pack_u32(b, s.lists);
	pack_u64(b, s.bytes);
	chan_end(f->broker);
	return 0;
}

void
lists_look(struct exchange *ex, const struct json_doc *d)
{
	if (ex->con->kind == CONNECTOR_MCP && json_str_is(d, json_member(d, 0,
	    "method"), "notifications/tools/list_changed"))
		(void)lists_drop(ex->f, ex->con->name);
}

/* --- asking ------------------------------------------------------------------------------ */

/* Only what pages: another member could ask for anything. */
static bool
plain_params(const struct exchange *ex, struct slice *cursor_r)
{
	const struct json_doc *d = &ex->doc;
	uint32_t params = json_member(d, 0, "params");

	*cursor_r = slice_make(NULL, 0);
	if (params == JSON_NONE)
		return true;
	if (json_typeof(d, params) != JSON_OBJECT)
		return false;
	for (uint32_t k = json_first(d, params); k != JSON_NONE;
	    k = json_next(d, params, k + 1)) {
		if (json_str_is(d, k, "cursor") &&
		    json_typeof(d, k + 1) == JSON_STRING)
			*cursor_r = json_raw(d, k + 1);
		else if (!json_str_is(d, k, "_meta"))
			return false;
	}
	return true;
}

static void
hash_part(crypto_hash_sha256_state *st, struct slice s)
{
	uint64_t n = s.n;

	crypto_hash_sha256_update(st, (const uint8_t *)&n, sizeof(n));
	crypto_hash_sha256_update(st, (const uint8_t *)s.p, s.n);
}

static bool
telling(const struct exchange *ex, const struct http1_field *f)
{
	static const enum http1_known not_telling[] = {
		HTTP1_F_MCP_SESSION_ID, HTTP1_F_LAST_EVENT_ID, HTTP1_F_HOST,
		HTTP1_F_CONTENT_LENGTH, HTTP1_F_CONTENT_ENCODING,
		HTTP1_F_ACCEPT_ENCODING, HTTP1_F_DATE };

	if (!http1_field_kept(f) || (f->known == HTTP1_F_AUTHORIZATION &&
	    ex->bearer))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(not_telling); i++)
		if (f->known == not_telling[i])
			return false;
	return true;
}

static void
key_of(const struct exchange *ex, uint8_t key[TOOLCACHE_KEY])
{
	const struct principal *p = &ex->session->who;
	struct slice parts[] = { slice_str(ex->con->name), slice_str(p->user),
		slice_str(p->agent), slice_str(ex->c->tunnel ?
		ex->c->authority.host : ""), ex->up_path, ex->up_query };
	crypto_hash_sha256_state st;

	crypto_hash_sha256_init(&st);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		hash_part(&st, parts[i]);
	for (unsigned i = 0; i < ex->req->field_n; i++)
		if (telling(ex, &ex->req->fields[i])) {
			hash_part(&st, ex->req->fields[i].name);
			hash_part(&st, ex->req->fields[i].value);
		}
	crypto_hash_sha256_final(&st, key);
}

static void
answer(struct exchange *ex, struct slice result)
{
	struct slice parts[] = { SLICE("{\"jsonrpc\":\"2.0\",\"id\":"),
		ex->msg.id, SLICE(",\"result\":"), result, SLICE("}") };
	struct buf b;

	buf_init(&b, result.n + ex->msg.id.n + 256);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		buf_add_slice(&b, parts[i]);
	relay_local(ex, 200, buf_slice(&b));
	buf_wipe_free(&b);
}

bool
lists_serve(struct exchange *ex)
{
	struct flow *f = ex->f;
	struct slice cursor, result;
	struct listing *l;

	if (ex->con->tools_cache_ms == 0 || ex->modern || ex->stdio ||
	    ex->sse_post || ex->view != f->view ||
	    ex->msg.kind != MCP_REQUEST ||
	    !slice_is(ex->msg.method, "tools/list") ||
	    !plain_params(ex, &cursor) ||
	    (l = arena_alloc(ex->a, sizeof(*l))) == NULL)
		return false;
	key_of(ex, l->key);
	l->cursor = cursor;
	l->drops = f->list_drops;
	result = toolcache_get(f->toolcache, l->key, cursor, clock_mono_ms(),
	    &ex->cached_ms);
	if (result.p == NULL) {
		ex->listing = l;
		return false;
	}
	ex->cached = true;
	answer(ex, result);
	return true;
}

void
lists_note(struct exchange *ex, const struct json_doc *d)
{
	const struct listing *l = ex->listing;
	uint32_t result = json_member(d, 0, "result");
	uint32_t next = json_member(d, result, "nextCursor");

	if (json_typeof(d, json_member(d, result, "tools")) != JSON_ARRAY ||
	    !slice_eq(json_raw(d, json_member(d, 0, "id")), ex->msg.id))
		return;
	ex->listing = NULL;
	/* What was asked before something was forgotten is forgotten too. */
	if (l->drops != ex->f->list_drops || ex->view != ex->f->view)
		return;
	if (toolcache_put(ex->f->toolcache, ex->con->name, l->key, l->cursor,
	    json_typeof(d, next) == JSON_STRING ? json_raw(d, next) :
	    slice_make(NULL, 0), json_raw(d, result), clock_mono_ms(),
	    (uint64_t)ex->con->tools_cache_ms))
		tell(ex->f, ex->con->name);
}
