/*
 * dns - see dns.h.
 *
 * One entry a name is both the cache and the lookup under way: whoever asks
 * meanwhile waits at the same entry. c-ares may call back inside of our call
 * to it; an entry is `busy` while its waiters are told, so nothing frees it.
 */
#include "dns.h"

#include <ares.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "dns_conf.h"
#include "list.h"
#include "log.h"

#define ENTRIES_MAX 4096

struct watch {
	struct list link;
	struct dns *d;
	struct loop_fd *w;
	int fd;
};

struct entry {
	struct list lru, waiting, again;
	struct dns *d;
	bool in_flight, restart;
	unsigned busy;
	uint64_t expires_ms;
	enum dns_status status;
	size_t n;
	struct addr addrs[DNS_ADDRS_MAX];
	char name[];
};

struct dns_query {
	struct list link, by_age;
	uint64_t deadline_ms;
	dns_fn *fn;
	void *ctx;
};

struct dns {
	struct loop *loop;
	struct loop_timer *timer;
	ares_channel ares;
	struct dns_conf conf;
	struct map entries;
	struct list lru;	/* least recently asked first */
	struct list ages;	/* queries, oldest first */
	struct list again;	/* to be asked of the new servers */
	struct list watches;
	bool closing;
};

/* ---- c-ares and the loop ---- */

static void
rearm(struct dns *d)
{
	struct timeval tv;
	uint64_t now = clock_mono_ms(), after = UINT64_MAX;

	if (d->closing)
		return;
	if (ares_timeout(d->ares, NULL, &tv) != NULL)
		after = (uint64_t)tv.tv_sec * 1000 +
		    ((uint64_t)tv.tv_usec + 999) / 1000;
	if (!list_empty(&d->ages)) {
		uint64_t at = list_entry(d->ages.next, struct dns_query,
		    by_age)->deadline_ms;
		uint64_t left = at > now ? at - now : 0;

		after = left < after ? left : after;
	}
	if (after == UINT64_MAX)
		loop_timer_stop(d->timer);
	else
		loop_timer_set(d->timer, after);
}

static void
on_fd(void *ctx, unsigned events)
{
	struct watch *w = ctx;
	struct dns *d = w->d;
	bool r = (events & (LOOP_READ | LOOP_ERR)) != 0;
	bool wr = (events & (LOOP_WRITE | LOOP_ERR)) != 0;

	ares_process_fd(d->ares, r ? w->fd : ARES_SOCKET_BAD,
	    wr ? w->fd : ARES_SOCKET_BAD);
	rearm(d);
}

static void
on_socket(void *ctx, ares_socket_t fd, int readable, int writable)
{
	struct dns *d = ctx;
	unsigned events = (readable ? LOOP_READ : 0u) |
	    (writable ? LOOP_WRITE : 0u);
	struct watch *w = NULL;

	list_each(it, &d->watches)
		if (list_entry(it, struct watch, link)->fd == fd)
			w = list_entry(it, struct watch, link);
	if (w != NULL && events != 0) {
		loop_fd_set(w->w, events);
	} else if (w != NULL) {
		loop_fd_del(w->w);
		list_remove(&w->link);
		loop_defer_free(d->loop, w);
	} else if (events != 0) {
		w = base_calloc(1, sizeof(*w));
		w->d = d;
		w->fd = fd;
		w->w = loop_fd_add(d->loop, fd, events, on_fd, w);
		list_append(&d->watches, &w->link);
	}
}

static void
query_end(struct dns_query *q, const struct dns_answer *a)
{
	dns_fn *fn = q->fn;
	void *ctx = q->ctx;

	list_remove(&q->link);
	list_remove(&q->by_age);
	free(q);
	fn(ctx, a);
}

static void
on_timer(void *ctx)
{
	static const struct dns_answer late = { DNS_TIMEOUT, NULL, 0 };
	struct dns *d = ctx;
	uint64_t now = clock_mono_ms();

	ares_process_fd(d->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	while (!list_empty(&d->ages)) {
		struct dns_query *q = list_entry(d->ages.next,
		    struct dns_query, by_age);

		if (q->deadline_ms > now)
			break;
		query_end(q, &late);
	}
	rearm(d);
}

/* ---- entries ---- */

static void
entry_free(struct dns *d, struct entry *e)
{
	map_del(&d->entries, slice_str(e->name));
	list_remove(&e->lru);
	list_remove(&e->again);
	free(e);
}

static void
evict_one(struct dns *d)
{
	list_each(it, &d->lru) {
		struct entry *e = list_entry(it, struct entry, lru);

		if (!e->in_flight && e->busy == 0) {
			entry_free(d, e);
			return;
		}
	}
}

static struct entry *
entry_for(struct dns *d, const char *name)
{
	struct entry *e = map_get(&d->entries, slice_str(name));

	if (e == NULL) {
		size_t n = strlen(name) + 1;

		if (map_count(&d->entries) >= ENTRIES_MAX)
			evict_one(d);
		e = base_calloc(1, sizeof(*e) + n);
		e->d = d;
		memcpy(e->name, name, n);
		list_init(&e->waiting);
		map_put(&d->entries, slice_str(name), e);
	}
	list_remove(&e->lru);
	list_append(&d->lru, &e->lru);
	return e;
}

static struct dns_answer
entry_answer(const struct entry *e)
{
	return (struct dns_answer){ e->status, e->addrs, e->n };
}

static void
tell_waiters(struct entry *e)
{
	struct dns_answer a = entry_answer(e);

	e->busy++;
	while (!list_empty(&e->waiting))
		query_end(list_entry(e->waiting.next, struct dns_query, link),
		    &a);
	e->busy--;
}

/* Seconds of the answer's shortest TTL. */
static int64_t
take_addrs(struct entry *e, const struct ares_addrinfo *ai)
{
	int64_t ttl = INT32_MAX;

	for (struct ares_addrinfo_cname *c = ai->cnames; c != NULL;
	    c = c->next)
		ttl = c->ttl < ttl ? c->ttl : ttl;
	for (struct ares_addrinfo_node *n = ai->nodes; n != NULL;
	    n = n->ai_next) {
		struct addr a = { 0 };

		if (e->n == DNS_ADDRS_MAX ||
		    !addr_from_sockaddr(n->ai_addr, &a))
			continue;
		a.port = 0;
		e->addrs[e->n++] = a;
		ttl = n->ai_ttl < ttl ? n->ai_ttl : ttl;
	}
	return ttl;
}

static enum dns_status
status_of(int ares)
{
	switch (ares) {
	case ARES_SUCCESS:
		return DNS_OK;
	case ARES_ENODATA:
	case ARES_ENOTFOUND:
	case ARES_ENONAME:
		return DNS_NO_NAME;
	case ARES_ETIMEOUT:
		return DNS_TIMEOUT;
	default:
		return DNS_FAILED;
	}
}

static void
on_ares(void *ctx, int status, int timeouts, struct ares_addrinfo *ai)
{
	struct entry *e = ctx;
	int64_t ms = 0;

	(void)timeouts;
	if (e->d->closing) {
		ares_freeaddrinfo(ai);
		return;
	}
	if (e->restart && status == ARES_ECANCELLED) {
		list_append(&e->d->again, &e->again);
		return;
	}
	e->in_flight = false;
	e->n = 0;
	e->status = status_of(status);
	if (e->status == DNS_OK)
		ms = take_addrs(e, ai) * 1000;
	ares_freeaddrinfo(ai);
	if (e->status == DNS_OK && e->n == 0)
		e->status = DNS_NO_NAME;
	/* A failure of the servers is nobody's answer: not kept. */
	if (e->status == DNS_OK || e->status == DNS_NO_NAME) {
		ms = ms > DNS_TTL_MAX_MS ? DNS_TTL_MAX_MS : ms;
		ms = ms < DNS_TTL_MIN_MS ? DNS_TTL_MIN_MS : ms;
		e->expires_ms = clock_mono_ms() + (uint64_t)ms;
	}
	tell_waiters(e);
}

static void
ask(struct entry *e)
{
	static const struct ares_addrinfo_hints hints = {
		.ai_flags = ARES_AI_NOSORT, .ai_family = AF_UNSPEC };

	e->in_flight = true;
	e->restart = false;
	e->expires_ms = 0;
	ares_getaddrinfo(e->d->ares, e->name, NULL, &hints, on_ares, e);
}

/* ---- the interface ---- */

static int
set_servers(struct dns *d, struct err *err)
{
	char csv[DNS_SERVERS_MAX * (ADDR_TEXT_MAX + 1)];
	size_t n = 0;
	int r;

	for (size_t i = 0; i < d->conf.nservers; i++) {
		struct addr a = d->conf.servers[i];
		char text[ADDR_TEXT_MAX];

		a.port = a.port == 0 ? 53 : a.port;
		addr_format(&a, text);
		n += (size_t)snprintf(csv + n, sizeof(csv) - n, "%s%s",
		    i == 0 ? "" : ",", text);
	}
	if ((r = ares_set_servers_ports_csv(d->ares, csv)) == ARES_SUCCESS)
		return 0;
	err_set(err, "DNS servers %s: %s", csv, ares_strerror(r));
	return -1;
}

struct dns *
dns_new(struct loop *l, struct slice resolv, struct slice hosts,
    struct err *err)
{
	struct dns *d = base_calloc(1, sizeof(*d));
	/* Its own files are kept away from c-ares. */
	struct ares_options o = { .flags = ARES_FLAG_NOSEARCH |
	    ARES_FLAG_NOALIASES, .lookups = (char *)(uintptr_t)"b",
		.sock_state_cb = on_socket, .sock_state_cb_data = d,
		.resolvconf_path = (char *)(uintptr_t)"/dev/null" };
	int r;

	d->loop = l;
	map_init(&d->entries);
	list_init(&d->lru);
	list_init(&d->ages);
	list_init(&d->again);
	list_init(&d->watches);
	dns_conf_read(&d->conf, resolv, hosts);
	o.timeout = d->conf.timeout_ms;
	o.tries = d->conf.attempts;
	ASSERT(ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS);
	r = ares_init_options(&d->ares, &o, ARES_OPT_FLAGS |
	    ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_DOMAINS |
	    ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB | ARES_OPT_RESOLVCONF);
	if (r != ARES_SUCCESS) {
		err_set(err, "DNS: %s", ares_strerror(r));
		d->ares = NULL;
	}
	d->timer = loop_timer_new(l, on_timer, d);
	if (d->ares == NULL || set_servers(d, err) != 0) {
		dns_free(d);
		return NULL;
	}
	return d;
}

void
dns_free(struct dns *d)
{
	if (d == NULL)
		return;
	d->closing = true;
	if (d->ares != NULL)
		ares_destroy(d->ares);
	list_each_safe(it, tmp, &d->ages)
		free(list_entry(it, struct dns_query, by_age));
	list_each_safe(it, tmp, &d->lru)
		entry_free(d, list_entry(it, struct entry, lru));
	loop_timer_del(d->timer);
	map_free(&d->entries);
	dns_conf_free(&d->conf);
	ares_library_cleanup();
	free(d);
}

int
dns_reload(struct dns *d, struct slice resolv, struct slice hosts,
    struct err *err)
{
	int r;

	list_each_safe(it, tmp, &d->lru) {
		struct entry *e = list_entry(it, struct entry, lru);

		e->expires_ms = 0;
		e->restart = e->in_flight;
	}
	ares_cancel(d->ares);
	dns_conf_free(&d->conf);
	dns_conf_read(&d->conf, resolv, hosts);
	r = set_servers(d, err);
	while (!list_empty(&d->again)) {
		struct entry *e = list_entry(d->again.next, struct entry,
		    again);

		list_remove(&e->again);
		ask(e);
	}
	rearm(d);
	return r;
}

/* RFC 6761, 6.3: localhost and every name below it is the loopback, never a
 * question to a server. */
static struct dns_host *
known_host(const struct dns *d, const char *host)
{
	static const char below[] = ".localhost";
	size_t n = strlen(host), k = sizeof(below) - 1;

	if (n > k && memcmp(host + n - k, below, k) == 0)
		host += n - k + 1;
	return map_get(&d->conf.hosts, slice_str(host));
}

static bool
answer_at_once(struct dns *d, const char *host, dns_fn *fn, void *ctx)
{
	struct dns_answer ans = { DNS_OK, NULL, 1 };
	struct dns_host *h;
	struct addr a;

	if (addr_parse_ip(slice_str(host), &a)) {
		ans.addrs = &a;
		fn(ctx, &ans);
		return true;
	}
	if ((h = known_host(d, host)) == NULL)
		return false;
	struct dns_host copy = *h;	/* fn may reload */

	ans.addrs = copy.addrs;
	ans.n = copy.n;
	fn(ctx, &ans);
	return true;
}

struct dns_query *
dns_resolve(struct dns *d, const char *host, dns_fn *fn, void *ctx)
{
	struct dns_query *q;
	struct entry *e;
	bool asked = false;

	if (answer_at_once(d, host, fn, ctx))
		return NULL;
	e = entry_for(d, host);
	if (!e->in_flight && e->expires_ms <= clock_mono_ms()) {
		ask(e);
		asked = true;
	}
	if (!e->in_flight) {	/* cached, or c-ares answered already */
		struct dns_answer a = entry_answer(e);

		e->busy++;
		fn(ctx, &a);
		e->busy--;
		if (asked)
			rearm(d);
		return NULL;
	}
	q = base_calloc(1, sizeof(*q));
	*q = (struct dns_query){ .fn = fn, .ctx = ctx,
		.deadline_ms = clock_mono_ms() + DNS_TIMEOUT_MS };
	list_append(&e->waiting, &q->link);
	list_append(&d->ages, &q->by_age);
	rearm(d);
	return q;
}

void
dns_cancel(struct dns_query *q)
{
	if (q == NULL)
		return;
	list_remove(&q->link);
	list_remove(&q->by_age);
	free(q);
}

const char *
dns_status_text(enum dns_status s)
{
	switch (s) {
	case DNS_OK:
		return "found";
	case DNS_NO_NAME:
		return "there is no such host";
	case DNS_TIMEOUT:
		return "the DNS servers did not answer in time";
	case DNS_FAILED:
		break;
	}
	return "the DNS servers could not be asked or refused";
}
