/*
 * onramp - a small fixed set of pages on the listeners themselves, and the
 * host of our own behind CONNECT that tells a client whether it trusts us.
 *
 * Asked for without a token, so: GET and HEAD only, nothing of the request
 * comes back, and nothing here reaches an upstream, the broker or the ledger.
 * Sources: RFC 9110 (GET, HEAD), CSP Level 3, RFC 2585 (pkix-cert).
 */
#include "onramp_page.h"

#include <sodium/crypto_hash_sha256.h>
#include <stdio.h>

#include "ca.h"
#include "internal.h"
#include "log.h"
#include "pac.h"

#define PREFIX "/portreeve"
#define PAGE_MAX (1u << 20)

struct page {
	const char *path, *type;
	/* Appends the body; -1: there is none. */
	int (*write)(struct conn *c, struct buf *out);
};

void
onramp_set_root(struct flow *f, struct slice der)
{
	buf_free(&f->root);
	buf_init(&f->root, CA_CERT_MAX);
	if (buf_add_slice(&f->root, der) != 0)
		log_error("the CA's certificate is too large to be shown");
}

/* Where a client of this connection reaches the proxy: the address it has
 * just used, or on a mount that of the first proxy listener. */
static bool
proxy_address(struct conn *c, char out[ADDR_TEXT_MAX])
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);
	const struct conf *conf = c->f->view->conf;
	struct addr a;

	if (c->kind == CONF_EXPLICIT) {
		if (getsockname(stream_fd(c->s), (struct sockaddr *)&ss,
		    &n) != 0 || !addr_from_sockaddr((struct sockaddr *)&ss,
		    &a))
			return false;
		addr_format(&a, out);
		return true;
	}
	for (size_t i = 0; i < conf->nlisteners; i++)
		if (conf->listeners[i].kind == CONF_EXPLICIT) {
			snprintf(out, ADDR_TEXT_MAX, "%s",
			    conf->listeners[i].address);
			return true;
		}
	return false;
}

static void
fingerprint(const struct flow *f, char out[96])
{
	uint8_t sum[32];
	size_t n = 0;

	crypto_hash_sha256(sum, (const unsigned char *)buf_data(&f->root),
	    f->root.len);
	for (size_t i = 0; i < sizeof(sum); i++)
		n += (size_t)snprintf(out + n, 96 - n, "%s%02X",
		    i == 0 ? "" : ":", sum[i]);
}

static int
write_index(struct conn *c, struct buf *out)
{
	static const char page[] = ONRAMP_PAGE;
	char address[ADDR_TEXT_MAX] = "(none is configured)", sum[96];
	struct slice host = SLICE("(none)");
	uint16_t port = 0;

	if (c->f->root.len == 0)
		return -1;
	if (!proxy_address(c, address) || !addr_split_hostport(
	    slice_str(address), 0, &host, &port))
		log_debug("no proxy listener for the page to name");
	fingerprint(c->f, sum);
	for (const char *p = page, *at;; p = at + 2) {
		at = strchr(p, '%');
		if (at == NULL)
			return buf_add_str(out, p);
		buf_add(out, p, (size_t)(at - p));
		switch (at[1]) {
		case '1': buf_add_str(out, address); break;
		case '2': buf_add_str(out, sum); break;
		case '3': buf_add_slice(out, host); break;
		default: buf_addf(out, "%u", port); break;
		}
	}
}

static int
write_style(struct conn *c, struct buf *out)
{
	(void)c;
	return buf_add_str(out, ONRAMP_STYLE);
}

static int
write_pem(struct conn *c, struct buf *out)
{
	if (c->f->root.len == 0)
		return -1;
	ca_pem(out, buf_slice(&c->f->root));
	return out->full ? -1 : 0;
}

static int
write_der(struct conn *c, struct buf *out)
{
	return c->f->root.len == 0 ? -1 :
	    buf_add_slice(out, buf_slice(&c->f->root));
}

static int
write_pac(struct conn *c, struct buf *out)
{
	char address[ADDR_TEXT_MAX];

	return proxy_address(c, address) ?
	    pac_write(c->f->view->connectors, address, out) : -1;
}

/* --- the host of our own ------------------------------------------------------ */

static int
write_trust(struct conn *c, struct buf *out)
{
	struct session *s = c->has_token ?
	    svc_session(c->f, c->token_hash) : NULL;

	buf_add_str(out, c->tls ?
	    "This client uses the Portreeve proxy and trusts its CA.\n" :
	    "This client uses the Portreeve proxy. Without TLS this says"
	    " nothing of its CA.\n");
	if (s != NULL)
		buf_addf(out, "Its token is valid: user %s, agent %s.\n",
		    s->who.user, s->who.agent);
	else
		buf_add_str(out, c->has_token ?
		    "Its token is not valid: mint a new one with portreeve"
		    " session open.\n" :
		    "It sent no token: put one into the proxy's URL.\n");
	if (s != NULL)
		session_unref(s);
	return out->full ? -1 : 0;
}

/* What `git ls-remote` reads of a repository without a server's help. */
static int
write_refs(struct conn *c, struct buf *out)
{
	(void)c;
	return buf_add_str(out, "0000000000000000000000000000000000000001"
	    "\trefs/heads/trusted\n");
}

static int
write_git_head(struct conn *c, struct buf *out)
{
	(void)c;
	return buf_add_str(out, "ref: refs/heads/trusted\n");
}

#define HTML "text/html; charset=utf-8"
#define TEXT "text/plain; charset=utf-8"

static const struct page pages[] = {
	{ PREFIX, HTML, write_index },
	{ PREFIX "/", HTML, write_index },
	{ PREFIX "/style.css", "text/css; charset=utf-8", write_style },
	{ PREFIX "/ca.pem", "application/x-pem-file", write_pem },
	{ PREFIX "/ca.crt", "application/pkix-cert", write_der },
	{ PREFIX "/proxy.pac", "application/x-ns-proxy-autoconfig",
	    write_pac },
}, own_pages[] = {
	{ "/", TEXT, write_trust },
	{ "/git/info/refs", TEXT, write_refs },
	{ "/git/HEAD", TEXT, write_git_head },
};

/* --- answering ------------------------------------------------------------------ */

static const struct page *
find(const struct page *v, size_t n, struct slice path)
{
	for (size_t i = 0; i < n; i++)
		if (slice_is(path, v[i].path))
			return &v[i];
	return NULL;
}

static int
write_fields(struct buf *o, const struct page *p, size_t length, bool close)
{
	static const char *const fields[][2] = {
		{ "Content-Security-Policy", "default-src 'none'; style-src"
		    " 'self'; base-uri 'none'; form-action 'none';"
		    " frame-ancestors 'none'" },
		{ "X-Content-Type-Options", "nosniff" },
		{ "Referrer-Policy", "no-referrer" },
		{ "Cache-Control", "no-store" },
	};
	int r = http1_write_response(o, 200, slice_make(NULL, 0)) |
	    http1_write_field(o, SLICE("Content-Type"), slice_str(p->type));

	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		r |= http1_write_field(o, slice_str(fields[i][0]),
		    slice_str(fields[i][1]));
	if (close)
		r |= http1_write_field(o, SLICE("Connection"), SLICE("close"));
	r |= http1_write_framing(o, HTTP1_BODY_LENGTH, length);
	return r | http1_write_end(o);
}

/* A body that comes with such a request is not read: the connection ends. */
static void
answer(struct conn *c, const struct http1_head *h, const struct page *p,
    size_t used)
{
	bool get = h->method_id == HTTP1_M_GET, head = h->method_id ==
	    HTTP1_M_HEAD, keep = h->keep_alive && (h->framing ==
	    HTTP1_BODY_NONE || (h->framing == HTTP1_BODY_LENGTH &&
	    h->length == 0));
	struct buf body;
	int r;

	buf_consume(&c->in, used);
	buf_init(&body, PAGE_MAX);
	if (p == NULL || !(get || head)) {
		r = http1_write_error(&c->out, p == NULL ? 404 : 405,
		    "no-such-page", p == NULL ?
		    "There is no such page; see /portreeve/." :
		    "Pages are there for GET and HEAD.", NULL, true);
		keep = false;
	} else if (p->write(c, &body) != 0) {
		r = http1_write_error(&c->out, 503, "not-yet",
		    "This is not there: the keeper has not told the CA yet, or"
		    " no proxy listener is configured.", NULL, true);
		keep = false;
	} else {
		r = write_fields(&c->out, p, body.len, !keep);
		if (get)
			r |= buf_add_slice(&c->out, buf_slice(&body));
	}
	buf_free(&body);
	if (r != 0)
		log_error("no room for a page");
	conn_next(c, keep && r == 0);
	conn_kick(c);
}

static void
open_tunnel(struct conn *c, const struct http1_head *h, size_t used)
{
	c->self = true;
	c->authority = h->authority;
	c->has_token = identity_token(h, true, c->token_hash);
	trust_begin(c, http1_field(h, "user-agent"));
	buf_consume(&c->in, used);
	if (http1_write_response(&c->out, 200,
	    SLICE("Connection established")) != 0 ||
	    http1_write_end(&c->out) != 0) {
		conn_finish(c);
		return;
	}
	conn_begin_sniff(c);
}

static bool
own_host(const struct http1_head *h)
{
	return h->has_authority && strcmp(h->authority.host,
	    CONNECTOR_SELF_HOST) == 0;
}

bool
onramp_take(struct conn *c, size_t used)
{
	struct http1_head *h = c->head;
	const struct page *p = NULL;
	bool tunnel = false;

	if (c->self) {
		p = find(own_pages, ARRAY_LEN(own_pages), h->path);
	} else if (c->tunnel) {
		return false;
	} else if (h->form == HTTP1_AUTHORITY) {
		if (c->kind != CONF_EXPLICIT || !own_host(h) ||
		    h->authority.port != 443)
			return false;
		tunnel = true;
	} else if (h->form == HTTP1_ABSOLUTE && c->kind == CONF_EXPLICIT &&
	    h->scheme == HTTP1_HTTP && own_host(h)) {
		p = slice_is(h->path, "/") ? &pages[1] :
		    find(pages, ARRAY_LEN(pages), h->path);
	} else if (h->form == HTTP1_ORIGIN && (slice_is(h->path, PREFIX) ||
	    slice_starts(h->path, PREFIX "/"))) {
		p = find(pages, ARRAY_LEN(pages), h->path);
	} else {
		return false;
	}
	c->head = NULL;
	loop_timer_set(c->timer, (uint64_t)c->f->view->conf->limits.idle_ms);
	if (tunnel)
		open_tunnel(c, h, used);
	else
		answer(c, h, p, used);
	spare_head_back(c->f, h);
	return true;
}
