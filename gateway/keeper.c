/*
 * keeper - holds the interception authority, the vault of credentials and the
 * key that signs the ledger's checkpoints, and answers only on its sockets.
 *
 * Promise: its own state directory, accept on the operators' socket; no
 * network. It must never send the root or intermediate key, a credential to a
 * connector not named in the catalogue, or two signatures that contradict.
 *
 * Who may ask what is one table: proxies MINT and CRED_GET, the recorder
 * SIGN, operators (same uid or root, on the unix socket) CRED_SET, CRED_LS
 * and CRED_RM. A change of a credential is recorded first, then done.
 *
 * The key of all leaves and the ticket key are drawn at each start and never
 * stored: a proxy gets them after its HELLO and forgets the former ones.
 */
#include "keeper.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "addr.h"
#include "ca.h"
#include "chan.h"
#include "clock.h"
#include "credential.h"
#include "emit.h"
#include "event.h"
#include "jsonw.h"
#include "list.h"
#include "log.h"
#include "map.h"
#include "note.h"
#include "pack.h"
#include "rng.h"
#include "secret.h"
#include "tls.h"
#include "vault.h"

#define OUT_MAX (4u << 20)
#define LEAVES_MAX 10000
#define LEAF_FRESH_MS (12 * 3600000LL)	/* kept while this much is left */
#define EMIT_MAX (1u << 20)
#define OPS_MAX 32
#define OP_TEXT_MAX (1u << 20)
#define RENEW_CHECK_MS 3600000u

struct leaf {
	struct list lru;
	int64_t expires_ms;
	size_t der_n, host_n;
	char *der;
	char host[];
};

/* What a snapshot says: replaced whole. */
struct catalog {
	struct ca_names *names;
	struct credential_set creds;
};

struct peer {
	struct list link;
	struct keeper *k;
	struct chan *chan;
	enum role role;		/* CLI: an operator */
	unsigned index;
	unsigned uid;		/* of an operator */
	bool hello;
};

/* A change that waits for its record to be committed. */
struct change {
	struct keeper *k;
	struct list link;
	struct peer *op;	/* NULL: went away; the change goes on */
	char *name;
	struct secret *value;	/* NULL: remove */
};

struct keeper {
	struct role_env *env;
	struct vault *vault;
	struct note_signer *signer;
	struct ca_leaf_key *leaf_key;
	struct secret *ticket_key;
	struct catalog cat;
	struct ca *ca;
	struct map leaves;
	struct list lru;	/* least recently used first */
	struct emit *emit;
	struct list peers, changes;
	size_t nops;
	int listen_fd;
	struct loop_fd *listen_watch;
	struct loop_timer *renew;
};

/* ---- the snapshot ---- */

static void
catalog_free(struct catalog *c)
{
	credential_clear(&c->creds);
	ca_names_free(c->names);
	memset(c, 0, sizeof(*c));
}

static struct ca_names *
read_hosts(struct slice section, struct err *err)
{
	struct ca_names *names = NULL;
	struct slice *v;
	struct unpack u;

	unpack_init(&u, section);
	uint32_t n = section.p == NULL ? 0 : unpack_count(&u, 4);

	v = base_calloc((size_t)n + 1, sizeof(*v));
	for (uint32_t i = 0; i < n; i++)
		v[i] = unpack_slice(&u);
	if (section.p != NULL && !unpack_done(&u))
		err_set(err, "snapshot section catalog-hosts is malformed");
	else
		names = ca_names_new(v, n, err);
	free(v);
	return names;
}

static int
read_catalog(const struct snap *s, struct catalog *c, struct err *err)
{
	struct slice creds = snap_section(s, "credentials");

	c->names = read_hosts(snap_section(s, "catalog-hosts"), err);
	if (c->names == NULL)
		return -1;
	return creds.p == NULL ? 0 : credential_read(creds, &c->creds, err);
}

/* ---- the authority ---- */

static void
leaf_drop(struct keeper *k, struct leaf *l)
{
	map_del(&k->leaves, slice_make(l->host, l->host_n));
	list_remove(&l->lru);
	free(l->der);
	free(l);
}

static void
leaves_flush(struct keeper *k)
{
	while (!list_empty(&k->lru))
		leaf_drop(k, list_entry(k->lru.next, struct leaf, lru));
}

/* A new intermediate for other names or because the old one runs out. */
static int
issue_if_needed(struct keeper *k, const struct ca_names *names,
    struct err *err)
{
	struct secret *root, *key = NULL;
	uint8_t digest[32];
	struct buf cert;
	int r;

	ca_names_digest(names, digest);
	if (vault_intermediate_key(k->vault).n > 0 &&
	    memcmp(digest, vault_intermediate_digest(k->vault), 32) == 0 &&
	    ca_days_left(vault_intermediate_cert(k->vault)) >= CA_RENEW_DAYS)
		return 0;
	if ((root = vault_open_root(k->vault, err)) == NULL)
		return -1;
	buf_init(&cert, CA_CERT_MAX);
	r = ca_intermediate_new(secret_bytes(root),
	    vault_root_cert(k->vault), names, &key, &cert, err);
	secret_free(root);
	if (r == 0)
		r = vault_set_intermediate(k->vault, key, buf_slice(&cert),
		    digest, err);
	if (r == 0)
		log_info("issued an intermediate for %zu hosts",
		    ca_names_count(names));
	buf_free(&cert);
	return r;
}

/* Takes cat over on success. */
static int
put_in_force(struct keeper *k, struct catalog *cat, struct err *err)
{
	struct ca *ca;

	if (issue_if_needed(k, cat->names, err) != 0)
		return -1;
	ca = ca_open(vault_intermediate_key(k->vault),
	    vault_intermediate_cert(k->vault), cat->names, k->leaf_key, err);
	if (ca == NULL)
		return -1;
	if (k->ca == NULL || !slice_eq(ca_intermediate(ca),
	    ca_intermediate(k->ca)))
		leaves_flush(k);
	ca_free(k->ca);
	catalog_free(&k->cat);
	k->ca = ca;
	k->cat = *cat;
	memset(cat, 0, sizeof(*cat));
	return 0;
}

static int
load_catalog(struct keeper *k, struct err *err)
{
	struct catalog cat = { 0 };
	int r = read_catalog(k->env->snap, &cat, err);

	if (r == 0)
		r = put_in_force(k, &cat, err);
	catalog_free(&cat);
	return r;
}

static void
on_renew(void *ctx)
{
	struct keeper *k = ctx;
	struct err err = { 0 };

	if (load_catalog(k, &err) != 0)
		log_error("%s", err.text);
	loop_timer_set(k->renew, RENEW_CHECK_MS);
}

static struct leaf *
leaf_get(struct keeper *k, const char *host, struct err *err)
{
	int64_t now = clock_wall_ms() - clock_offset_ms();
	struct leaf *l = map_get(&k->leaves, slice_str(host));
	size_t n = strlen(host);
	struct buf der;

	if (l != NULL && l->expires_ms - now >= LEAF_FRESH_MS) {
		list_remove(&l->lru);
		list_append(&k->lru, &l->lru);
		return l;
	}
	if (l != NULL)
		leaf_drop(k, l);
	l = base_calloc(1, sizeof(*l) + n + 1);
	memcpy(l->host, host, n);
	l->host_n = n;
	buf_init(&der, CA_CERT_MAX);
	if (ca_mint(k->ca, slice_str(host), &der, &l->expires_ms, err) != 0) {
		free(l);
		buf_free(&der);
		return NULL;
	}
	l->der = slice_dup(buf_slice(&der));
	l->der_n = der.len;
	buf_free(&der);
	if (map_count(&k->leaves) >= LEAVES_MAX)
		leaf_drop(k, list_entry(k->lru.next, struct leaf, lru));
	map_put(&k->leaves, slice_make(l->host, n), l);
	list_append(&k->lru, &l->lru);
	return l;
}

/* ---- answers ---- */

static int
say_no(struct chan *c, uint64_t q, const char *why)
{
	struct buf *b = chan_begin(c, MSG_KEEPER_NO);

	if (b == NULL)
		return -1;
	pack_u64(b, q);
	pack_str(b, why);
	return chan_end(c);
}

static int
on_mint(struct peer *p, struct unpack *u)
{
	uint64_t q = unpack_u64(u);
	struct slice host = unpack_slice(u);
	char name[ADDR_HOST_MAX];
	struct err err = { 0 };
	struct leaf *l;
	struct buf *b;

	if (!unpack_done(u))
		return -1;
	if (!addr_host_normalise(host, name))
		return say_no(p->chan, q, "not a host name");
	if ((l = leaf_get(p->k, name, &err)) == NULL)
		return say_no(p->chan, q, err.text);
	if ((b = chan_begin(p->chan, MSG_LEAF)) == NULL)
		return -1;
	pack_u64(b, q);
	pack_u32(b, 2);
	pack_slice(b, slice_make(l->der, l->der_n));
	pack_slice(b, ca_intermediate(p->k->ca));
	return chan_end(p->chan);
}

static int
send_cred(struct chan *c, uint64_t q, const struct credential *d,
    struct slice value)
{
	struct buf *b = chan_begin(c, MSG_CRED);

	if (b == NULL)
		return -1;
	pack_u64(b, q);
	pack_str(b, d->header);
	credential_pack_value(b, d, value);
	return chan_end(c);
}

static int
on_cred_get(struct peer *p, struct unpack *u)
{
	uint64_t q = unpack_u64(u);
	struct slice connector = unpack_slice(u), name = unpack_slice(u);
	const struct vault_cred *c;
	const struct credential *d;
	char why[256];

	if (!unpack_done(u))
		return -1;
	d = credential_for(&p->k->cat.creds, name, connector);
	if (d == NULL) {
		return say_no(p->chan, q, credential_defined(&p->k->cat.creds, name) ?
		    "this connector may not use this credential" :
		    "the catalogue has no credential of this name");
	}
	if ((c = vault_cred(p->k->vault, name)) == NULL) {
		snprintf(why, sizeof(why), "credential %s has no value: "
		    "portreeve credential set %s", d->name, d->name);
		return say_no(p->chan, q, why);
	}
	return send_cred(p->chan, q, d, secret_bytes(c->value));
}

static int
sign(struct keeper *k, struct chan *c, struct slice body)
{
	struct err err = { 0 };
	struct unpack u;
	struct buf note, *b;
	int r = -1;

	unpack_init(&u, body);
	uint64_t q = unpack_u64(&u);
	struct slice text = unpack_slice(&u);

	if (!unpack_done(&u))
		return -1;
	buf_init(&note, NOTE_TEXT_MAX + 1024);
	if (note_sign(k->signer, text, &note, &err) != 0) {
		log_error("checkpoint not signed: %s", err.text);
		r = say_no(c, q, err.text);
	} else if ((b = chan_begin(c, MSG_SIGNATURE)) != NULL) {
		pack_u64(b, q);
		pack_slice(b, buf_slice(&note));
		r = chan_end(c);
	}
	buf_free(&note);
	return r;
}

static int
send_hello(struct chan *c, unsigned index)
{
	struct buf *b = chan_begin(c, MSG_HELLO);

	if (b == NULL)
		return -1;
	pack_u8(b, ROLE_KEEPER);
	pack_u8(b, (uint8_t)index);
	pack_u16(b, MSG_VERSION);
	return chan_end(c);
}

static int
send_leaf_key(struct peer *p)
{
	struct keeper *k = p->k;
	struct buf *b = chan_begin(p->chan, MSG_LEAF_KEY);

	if (b == NULL)
		return -1;
	pack_slice(b, ca_leaf_key_private(k->leaf_key));
	pack_slice(b, ca_leaf_key_public(k->leaf_key));
	pack_bytes(b, secret_bytes(k->ticket_key).p, 32);
	pack_bytes(b, vault_mac_key(k->vault).p, 32);
	pack_slice(b, vault_root_cert(k->vault));
	return chan_end(p->chan);
}

static int
on_hello(struct peer *p, struct unpack *u)
{
	unsigned role = unpack_u8(u), index = unpack_u8(u);
	unsigned version = unpack_u16(u);

	if (!unpack_done(u) || p->hello || role != p->role ||
	    index != p->index || version != MSG_VERSION)
		return -1;
	p->hello = true;
	return p->role == ROLE_PROXY ? send_leaf_key(p) : 0;
}

/* ---- operators ---- */

static int
reply(struct peer *p, struct buf *json)
{
	if (json->full)
		return -1;
	return chan_send(p->chan, MSG_OP_REPLY, buf_slice(json), -1);
}

static int
reply_error(struct peer *p, const char *text)
{
	struct jsonw w;
	struct buf b;
	int r;

	buf_init(&b, 8192);
	jsonw_init(&w, &b);
	jsonw_object(&w, NULL);
	jsonw_bool(&w, "ok", false);
	jsonw_str(&w, "error", text);
	jsonw_object_end(&w);
	r = reply(p, &b);
	buf_free(&b);
	return r;
}

static int
reply_done(struct peer *p, const char *name, bool removed)
{
	bool defined = credential_defined(&p->k->cat.creds, slice_str(name));
	struct jsonw w;
	struct buf b;
	int r;

	buf_init(&b, 8192);
	jsonw_init(&w, &b);
	jsonw_object(&w, NULL);
	jsonw_bool(&w, "ok", true);
	jsonw_str(&w, "name", name);
	jsonw_bool(&w, "set", !removed);
	jsonw_bool(&w, "defined", defined);
	if (!removed && !defined)
		jsonw_str(&w, "note", "no connector names this credential");
	jsonw_object_end(&w);
	r = reply(p, &b);
	buf_free(&b);
	return r;
}

static void
change_free(struct change *c)
{
	list_remove(&c->link);
	secret_free(c->value);
	free(c->name);
	free(c);
}

/* The record is committed: now it may be done. */
static void
on_recorded(void *ctx, bool ok)
{
	struct change *c = ctx;
	struct keeper *k = c->k;
	struct slice name = slice_str(c->name);
	struct err err = { 0 };
	bool removes = c->value == NULL;

	if (!ok) {
		err_set(&err, "the change could not be recorded "
		    "(audit-unavailable); nothing was changed");
	} else if (removes) {
		if (vault_cred_remove(k->vault, name, &err) != 0)
			log_error("credential %s: %s", c->name, err.text);
	} else {
		struct secret *value = c->value;

		c->value = NULL;
		if (vault_cred_set(k->vault, name, value, clock_wall_ms(),
		    &err) != 0)
			log_error("credential %s: %s", c->name, err.text);
	}
	if (c->op != NULL && (err.set ? reply_error(c->op, err.text) :
	    reply_done(c->op, c->name, removes)) != 0)
		log_warn("an operator's answer could not be sent");
	change_free(c);
}

static int
record_then_do(struct peer *p, struct slice name, struct secret *value)
{
	struct keeper *k = p->k;
	struct change *c = base_calloc(1, sizeof(*c));
	struct uuid id = uuid_v7(), none = { 0 };
	char by[32];
	struct jsonw w;
	struct buf b;
	int r;

	*c = (struct change){ .k = k, .op = p, .name = slice_dup(name),
		.value = value };
	list_append(&k->changes, &c->link);
	snprintf(by, sizeof(by), "uid:%u", p->uid);
	buf_init(&b, 8192);
	event_begin(&w, &b, id, EVENT_CREDENTIAL_SET, ROLE_KEEPER);
	jsonw_str(&w, "name", c->name);
	jsonw_str(&w, "action", value == NULL ? "removed" :
	    vault_cred(k->vault, name) != NULL ? "replaced" : "set");
	jsonw_str(&w, "by", by);
	event_end(&w);
	r = emit_event(k->emit, id, none, buf_slice(&b), on_recorded, c);
	buf_free(&b);
	if (r == 0)
		return 0;
	change_free(c);
	return reply_error(p, "the change cannot be recorded now "
	    "(audit-unavailable); nothing was changed");
}

static int
on_cred_set(struct peer *p, struct unpack *u)
{
	struct slice name = unpack_slice(u), value = unpack_slice(u);

	if (!unpack_done(u))
		return -1;
	if (!vault_name_ok(name))
		return reply_error(p, "a credential's name has 1 to 64 of "
		    "a-z 0-9 . _ - and starts with a letter or digit");
	if (value.n == 0 || value.n > VAULT_VALUE_MAX)
		return reply_error(p, "a value has 1 to 65536 bytes");
	if (!credential_value_ok(value))
		return reply_error(p, "the value has control characters (a "
		    "line end?): it could not stand in a header");
	return record_then_do(p, name, secret_new(value.p, value.n));
}

static int
on_cred_rm(struct peer *p, struct unpack *u)
{
	struct slice name = unpack_slice(u);

	if (!unpack_done(u))
		return -1;
	if (vault_cred(p->k->vault, name) == NULL)
		return reply_error(p, "there is no credential of this name");
	return record_then_do(p, name, NULL);
}

/* All definitions of the name in one entry. */
static void
list_one(const struct keeper *k, struct jsonw *w, struct slice name,
    const struct vault_cred *c)
{
	const struct credential_set *set = &k->cat.creds;
	char when[CLOCK_RFC3339_LEN];

	jsonw_object(w, NULL);
	jsonw_slice(w, "name", name);
	jsonw_bool(w, "set", c != NULL);
	if (c != NULL) {
		clock_format(c->set_ms, when);
		jsonw_str(w, "updated", when);
	}
	jsonw_bool(w, "defined", credential_defined(set, name));
	jsonw_array(w, "connectors");
	for (size_t i = 0; i < set->n; i++)
		for (size_t j = 0; slice_is(name, set->v[i].name) &&
		    j < set->v[i].nconnectors; j++)
			jsonw_str(w, NULL, set->v[i].connectors[j]);
	jsonw_array_end(w);
	jsonw_object_end(w);
}

static int
on_cred_ls(struct peer *p, struct unpack *u)
{
	struct keeper *k = p->k;
	const struct vault_cred *c;
	struct jsonw w;
	struct buf b;
	int r;

	if (!unpack_done(u))
		return -1;
	buf_init(&b, OP_TEXT_MAX);
	jsonw_init(&w, &b);
	jsonw_object(&w, NULL);
	jsonw_bool(&w, "ok", true);
	jsonw_array(&w, "credentials");
	for (size_t i = 0; (c = vault_cred_at(k->vault, i)) != NULL; i++)
		list_one(k, &w, slice_str(c->name), c);
	for (size_t i = 0; i < k->cat.creds.n; i++) {
		struct slice name = slice_str(k->cat.creds.v[i].name);

		if (vault_cred(k->vault, name) == NULL &&
		    credential_first(&k->cat.creds, i))
			list_one(k, &w, name, NULL);
	}
	jsonw_array_end(&w);
	jsonw_object_end(&w);
	r = b.full ? reply_error(p, "too many credentials to list") :
	    reply(p, &b);
	buf_free(&b);
	return r;
}

/* ---- peers ---- */

typedef int peer_fn(struct peer *p, struct unpack *u);

static const struct {
	enum role role;
	enum msg_type type;
	bool before_hello;
	peer_fn *fn;
} table[] = {
	{ ROLE_PROXY, MSG_HELLO, true, on_hello },
	{ ROLE_PROXY, MSG_MINT, false, on_mint },
	{ ROLE_PROXY, MSG_CRED_GET, false, on_cred_get },
	{ ROLE_CLI, MSG_CRED_SET, true, on_cred_set },
	{ ROLE_CLI, MSG_CRED_LS, true, on_cred_ls },
	{ ROLE_CLI, MSG_CRED_RM, true, on_cred_rm },
};

static int
on_msg(void *ctx, struct chan *c, enum msg_type type, struct slice body,
    int fd)
{
	struct peer *p = ctx;
	struct unpack u;
	int r = -1;

	(void)c;
	unpack_init(&u, body);
	for (size_t i = 0; i < ARRAY_LEN(table) && fd < 0; i++) {
		if (table[i].role != p->role || table[i].type != type ||
		    (!p->hello && !table[i].before_hello))
			continue;
		r = table[i].fn(p, &u);
		break;
	}
	/* The body lies in the channel's buffer, which lives on. */
	if (type == MSG_CRED_SET)
		explicit_bzero((char *)(uintptr_t)body.p, body.n);
	base_close(&fd);
	return r;
}

static void
peer_free(struct peer *p)
{
	struct keeper *k = p->k;

	list_each(it, &k->changes)
		if (list_entry(it, struct change, link)->op == p)
			list_entry(it, struct change, link)->op = NULL;
	if (p->role == ROLE_CLI)
		k->nops--;
	list_remove(&p->link);
	chan_free(p->chan);
	loop_defer_free(k->env->loop, p);
}

static void
on_close(void *ctx, struct chan *c)
{
	(void)c;
	peer_free(ctx);
}

static struct peer *
peer_new(struct keeper *k, enum role role, unsigned index, int fd)
{
	struct peer *p = base_calloc(1, sizeof(*p));

	p->k = k;
	p->role = role;
	p->index = index;
	p->chan = chan_new(k->env->loop, fd, OUT_MAX, on_msg, on_close, p);
	list_append(&k->peers, &p->link);
	if (role == ROLE_CLI)
		k->nops++;
	return p;
}

static int
on_recorder_msg(void *ctx, struct chan *c, enum msg_type type,
    struct slice body, int fd)
{
	if (fd >= 0) {
		base_close(&fd);
		return -1;
	}
	return type == MSG_SIGN ? sign(ctx, c, body) : -1;
}

static void
on_accept(void *ctx, unsigned events)
{
	struct keeper *k = ctx;
	struct ucred cred;
	socklen_t n = sizeof(cred);
	int fd = accept4(k->listen_fd, NULL, NULL, SOCK_NONBLOCK |
	    SOCK_CLOEXEC);

	(void)events;
	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) != 0 ||
	    (cred.uid != geteuid() && cred.uid != 0)) {
		log_warn("an operator's connection of uid %d was refused",
		    (int)cred.uid);
		close(fd);
		return;
	}
	if (k->nops >= OPS_MAX) {
		log_warn("more than %d operators' connections: one was "
		    "refused", OPS_MAX);
		close(fd);
		return;
	}
	peer_new(k, ROLE_CLI, 0, fd)->uid = (unsigned)cred.uid;
}

/* ---- the role ---- */

static int
open_keys(struct keeper *k, int dirfd, int keyfd, struct err *err)
{
	struct buf vkey;
	int r;

	if ((k->vault = vault_open(dirfd, keyfd, err)) == NULL)
		return -1;
	k->signer = note_signer_new(vault_node(k->vault),
	    (const uint8_t *)vault_ledger_seed(k->vault).p);
	k->leaf_key = ca_leaf_key_new();
	k->ticket_key = secret_random(32);
	buf_init(&vkey, 1024);
	note_vkey(k->signer, &vkey);
	r = vault_publish(k->vault, buf_slice(&vkey), err);
	buf_free(&vkey);
	return r;
}

static int
keeper_setup(struct role_env *env, struct err *err)
{
	struct keeper *k = base_calloc(1, sizeof(*k));
	int dirfd = role_dir(env, "state");

	env->ctx = k;
	k->env = env;
	k->listen_fd = -1;
	map_init(&k->leaves);
	list_init(&k->lru);
	list_init(&k->peers);
	list_init(&k->changes);
	if (dirfd < 0) {
		err_set(err, "no directory \"state\" was given");
		return -1;
	}
	tls_init();
	if (open_keys(k, dirfd, role_dir(env, "keeper-key"), err) != 0 || load_catalog(k, err) != 0)
		return -1;
	for (size_t i = 0; i < env->nlisteners; i++)
		if (strcmp(env->listeners[i].name, "keeper") == 0)
			k->listen_fd = env->listeners[i].fd;
	return 0;
}

static void
keeper_promise(struct role_env *env, struct sandbox_promise *p)
{
	p->rights = SANDBOX_ACCEPT | SANDBOX_FILES;
	p->dirs[p->ndirs++] = (struct sandbox_dir){ role_dir(env, "state"),
		true };
}

static void
keeper_start(struct role_env *env)
{
	struct keeper *k = env->ctx;

	k->emit = emit_new(env->loop, ROLE_KEEPER, env->index, EMIT_MAX);
	emit_on_other(k->emit, on_recorder_msg, NULL, k);
	if (k->listen_fd >= 0)
		k->listen_watch = loop_fd_add(env->loop, k->listen_fd,
		    LOOP_READ, on_accept, k);
	k->renew = loop_timer_new(env->loop, on_renew, k);
	loop_timer_set(k->renew, RENEW_CHECK_MS);
}

static void
keeper_channel(struct role_env *env, enum role peer, unsigned index, int fd)
{
	struct keeper *k = env->ctx;

	if (peer == ROLE_RECORDER) {
		emit_attach(k->emit, fd);
		return;
	}
	if (peer != ROLE_PROXY) {
		log_error("a channel of %s is not wanted here",
		    role_name(peer));
		base_close(&fd);
		return;
	}
	list_each_safe(it, tmp, &k->peers) {
		struct peer *p = list_entry(it, struct peer, link);

		if (p->role == peer && p->index == index)
			peer_free(p);
	}
	struct peer *p = peer_new(k, peer, index, fd);

	if (send_hello(p->chan, env->index) != 0)
		peer_free(p);
}

static int
keeper_reload(struct role_env *env, struct err *err)
{
	return load_catalog(env->ctx, err);
}

static void
keeper_stop(struct role_env *env)
{
	struct keeper *k = env->ctx;

	loop_fd_del(k->listen_watch);
	loop_timer_del(k->renew);
	list_each_safe(it, tmp, &k->peers)
		peer_free(list_entry(it, struct peer, link));
	emit_free(k->emit);
	list_each_safe(it, tmp, &k->changes)
		change_free(list_entry(it, struct change, link));
	leaves_flush(k);
	map_free(&k->leaves);
	ca_free(k->ca);
	catalog_free(&k->cat);
	ca_leaf_key_free(k->leaf_key);
	secret_free(k->ticket_key);
	note_signer_free(k->signer);
	vault_free(k->vault);
	free(k);
	env->ctx = NULL;
}

const struct role_def keeper_role = {
	.role = ROLE_KEEPER,
	.setup = keeper_setup,
	.promise = keeper_promise,
	.start = keeper_start,
	.channel = keeper_channel,
	.reload = keeper_reload,
	.stop = keeper_stop,
};
