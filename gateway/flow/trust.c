/*
 * trust - which clients accept our CA and which do not, as events from which
 * `portreeve client trust` makes its map.
 *
 * A client that refuses says so in a TLS alert, or says nothing: it ends the
 * connection in the handshake, or (Node, which verifies afterwards) right
 * after it. Silence is recorded as what it is, since a client may also have
 * thought better of it. Nothing here decides anything.
 *
 * Source: RFC 8446, 6.2.
 */
#include "internal.h"

#include <sodium/crypto_hash_sha256.h>
#include <stdlib.h>

#include "clock.h"
#include "log.h"

#define AGENT_MAX 80
#define SILENT_MS 2000		/* later, an unused connection is just idle */
#define AGAIN_MS 3600000	/* that a client trusts is told once in that */
#define CLIENTS_MAX 10000	/* then all are told anew */

struct trust {
	char agent[AGENT_MAX + 1], ja4[CLIENTHELLO_JA4_MAX];
	uint64_t shaken_ms;	/* mono; 0: not yet */
};

void
trust_begin(struct conn *c, struct slice agent)
{
	size_t n = agent.n < AGENT_MAX ? agent.n : AGENT_MAX;

	trust_end(c);
	c->trust = base_calloc(1, sizeof(*c->trust));
	for (size_t i = 0; i < n; i++)
		c->trust->agent[i] = agent.p[i] >= ' ' && agent.p[i] < 0x7f ?
		    agent.p[i] : '?';
}

void
trust_hello(struct conn *c, const struct clienthello *ch)
{
	clienthello_ja4(ch, c->trust->ja4);
}

/* A person may have put anything into the name of a client. */
static void
put_agent(struct jsonw *w, const struct conn *c)
{
	struct slice agent = slice_str(c->trust->agent);
	struct buf clean;

	buf_init(&clean, 65536);
	switch (redact_text(c->f->view->redact, agent, NULL, &clean, NULL)) {
	case REDACT_CLEAN:
		break;
	case REDACT_CHANGED:
		agent = buf_slice(&clean);
		break;
	default:
		agent = SLICE("(not shown)");
		break;
	}
	if (agent.n > 0)
		jsonw_slice(w, "client", agent);
	buf_wipe_free(&clean);
}

static void
put_session(struct jsonw *w, struct conn *c)
{
	struct session *s = c->has_token ?
	    svc_session(c->f, c->token_hash) : NULL;

	if (s == NULL)
		return;
	jsonw_str(w, "session", s->who.session);
	jsonw_str(w, "user", s->who.user);
	jsonw_str(w, "agent", s->who.agent);
	session_unref(s);
}

/* how, detail: of a refusal, or NULL. */
static void
record(struct conn *c, enum event_type type, const char *how,
    const char *detail)
{
	struct uuid id = uuid_v7(), none = { { 0 } };
	struct jsonw w;
	struct buf b;

	buf_init(&b, 65536);
	event_begin(&w, &b, id, type, ROLE_PROXY);
	put_session(&w, c);
	jsonw_str(&w, "source", c->source);
	jsonw_str(&w, "transport", conf_listener_names[c->kind]);
	jsonw_str(&w, "host", c->authority.host);
	put_agent(&w, c);
	jsonw_str(&w, "ja4", c->trust->ja4);
	if (how != NULL)
		jsonw_str(&w, "how", how);
	if (detail != NULL)
		jsonw_str(&w, "detail", detail);
	event_end(&w);
	if (emit_event(c->f->emit, id, none, buf_slice(&b), NULL, NULL) != 0)
		log_error("event queue full: whether a client trusts the CA "
		    "is unrecorded");
	buf_free(&b);
}

bool
trust_failed(struct conn *c, int result)
{
	if (result != TLS_BAD_CERT && result != TLS_TRUNCATED)
		return false;
	record(c, EVENT_CLIENT_REFUSED_CA, result == TLS_BAD_CERT ? "alert" :
	    "silent", stream_error(c->s));
	free(c->trust);
	c->trust = NULL;
	return true;
}

void
trust_shaken(struct conn *c)
{
	c->trust->shaken_ms = clock_mono_ms();
}

/* Who it is, as far as one can tell: token, address, program, TLS library. */
static struct slice
identity(const struct conn *c, uint8_t sum[32])
{
	static const unsigned char zero[32];
	struct slice rest = slice_str(c->source);
	crypto_hash_sha256_state st;

	while (rest.n > 0 && rest.p[rest.n - 1] != ':')
		rest.n--;	/* the port is another each time */
	crypto_hash_sha256_init(&st);
	crypto_hash_sha256_update(&st, c->has_token ? c->token_hash : zero,
	    32);
	crypto_hash_sha256_update(&st, (const unsigned char *)rest.p, rest.n);
	crypto_hash_sha256_update(&st, (const unsigned char *)c->trust->agent,
	    sizeof(c->trust->agent));
	crypto_hash_sha256_update(&st, (const unsigned char *)c->trust->ja4,
	    sizeof(c->trust->ja4));
	crypto_hash_sha256_final(&st, sum);
	return slice_make(sum, 32);
}

/* True when it was not told within the hour. The map's value is the time. */
static bool
is_news(struct flow *f, struct slice who)
{
	uint64_t now = clock_mono_ms() + 1;
	uint64_t told = (uintptr_t)map_get(&f->trusting, who);

	if (told != 0 && now - told < AGAIN_MS)
		return false;
	if (map_count(&f->trusting) >= CLIENTS_MAX) {
		map_free(&f->trusting);
		map_init(&f->trusting);
	}
	map_put(&f->trusting, who, (void *)(uintptr_t)now);
	return true;
}

void
trust_used(struct conn *c)
{
	uint8_t sum[32];

	if (is_news(c->f, identity(c, sum)))
		record(c, EVENT_CLIENT_TRUSTS_CA, NULL, NULL);
	free(c->trust);
	c->trust = NULL;
}

void
trust_end(struct conn *c)
{
	struct trust *t = c->trust;

	if (t == NULL)
		return;
	if (t->shaken_ms != 0 && c->eof && !c->f->stopping &&
	    clock_mono_ms() - t->shaken_ms < SILENT_MS)
		record(c, EVENT_CLIENT_REFUSED_CA, "silent", "the connection"
		    " ended right after the handshake, unused");
	free(t);
	c->trust = NULL;
}
