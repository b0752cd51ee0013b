/* sink_syslog - see sink_syslog.h. */
#include "sink_syslog.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <linux/sockios.h>
#include <unistd.h>

#include "addr.h"
#include "clock.h"
#include "log.h"
#include "rfc5424.h"
#include "sink_tls.h"

#define PORT 6514	/* syslog-tls (RFC 5425, 4.1) */
#define LENGTH_MAX 16	/* MSG-LEN SP */
#define POLL_MS 5	/* of SIOCOUTQ, which epoll does not tell */
#define PROBES 2	/* a peer that folds answers passes the first one */

enum phase { IDLE, RESOLVE, CONNECT, HANDSHAKE, PROBE, STREAM };

struct sink_syslog {
	struct sink s;
	struct loop *loop;
	struct loop_timer *timer;
	struct dns *dns;
	struct dns_query *query;
	SSL_CTX *ctx;
	char host[ADDR_HOST_MAX];
	uint16_t port;
	char *label;		/* the address, for the log */
	char *server_name;
	uint64_t stall_ms;
	struct rfc5424 fmt;
	struct buf msg, out;

	/* One connection. */
	enum phase phase;
	int fd;
	struct loop_fd *watch;
	struct sink_tls tls;
	bool confirms;		/* answers key updates */
	bool filled;		/* a batch is full: write it out first */
	bool refused;		/* ready() is owed */
	bool asked;		/* waiting for an answer about `mark` */
	bool settling;		/* the kernel has `mark`, waiting a while */
	uint64_t phase_ms, progress_ms, ask_ms, settle_ms;
	/* delivered <= mark <= written <= taken */
	uint64_t taken, written, mark, delivered;
	uint64_t taken_n, mark_n;	/* events since delivered */
	uint64_t open_bytes, mark_bytes; /* in `out` or not yet delivered */
	int outq;

	struct sink_backoff backoff;
	unsigned attempts;	/* walks through the addresses of a name */
	bool warned;
};

static void step(struct sink_syslog *k);
static void arm(struct sink_syslog *k);

static void
enter(struct sink_syslog *k, enum phase phase)
{
	k->phase = phase;
	k->phase_ms = k->progress_ms = clock_mono_ms();
	k->s.state = phase == STREAM ? SINK_UP : phase == IDLE ? SINK_DOWN :
	    SINK_CONNECTING;
}

static void
disconnect(struct sink_syslog *k, bool notify)
{
	dns_cancel(k->query);
	k->query = NULL;
	sink_tls_close(&k->tls, notify);
	loop_fd_del(k->watch);
	k->watch = NULL;
	base_close(&k->fd);
	buf_reset(&k->out);
	k->filled = k->asked = k->settling = false;
	k->taken_n = k->mark_n = 0;
	k->open_bytes = k->mark_bytes = 0;
	k->outq = 0;
}

static void
fail(struct sink_syslog *k, const char *why)
{
	uint64_t wait = sink_backoff_next(&k->backoff);
	bool lost = k->taken != k->delivered;

	k->s.stats.failures++;
	log_warn("syslog %s: %s; retry in %llu ms, %s", k->label, why,
	    (unsigned long long)wait, lost ?
	    "what was not delivered is sent again" : "nothing is outstanding");
	disconnect(k, false);
	k->taken = k->written = k->mark = k->delivered;
	enter(k, IDLE);
	loop_timer_set(k->timer, wait);
	if (lost)
		k->s.hooks.lost(k->s.hooks.ctx);
}

static void
fail_errno(struct sink_syslog *k, const char *what)
{
	char text[128];

	snprintf(text, sizeof(text), "%s: %s", what, strerror(errno));
	fail(k, text);
}

static void
on_ready(void *ctx)
{
	struct sink_syslog *k = ctx;

	k->refused = false;
	k->s.hooks.ready(k->s.hooks.ctx);
}

static bool
accepts(const struct sink_syslog *k)
{
	if (k->phase != STREAM || k->filled)
		return false;
	if (!k->confirms && k->written != k->delivered && !k->settling)
		return false;	/* SIOCOUTQ must become 0 first */
	return k->open_bytes < SINK_SYSLOG_WINDOW;
}

static void
offer(struct sink_syslog *k)
{
	if (k->refused && accepts(k))
		loop_soon(k->loop, on_ready, k);
}

static void
deliver(struct sink_syslog *k)
{
	k->asked = k->settling = false;
	k->delivered = k->mark;
	k->s.stats.delivered += k->mark_n;
	k->taken_n -= k->mark_n;
	k->open_bytes -= k->mark_bytes;
	k->mark_n = k->mark_bytes = 0;
	k->progress_ms = clock_mono_ms();
	sink_backoff_reset(&k->backoff);
	k->s.hooks.delivered(k->s.hooks.ctx, k->delivered);
}

/* All that was written so far; nothing waits in `out`. */
static void
set_mark(struct sink_syslog *k)
{
	k->mark = k->written;
	k->mark_n = k->taken_n;
	k->mark_bytes = k->open_bytes;
}

static void
on_event(void *ctx, unsigned events)
{
	struct sink_syslog *k = ctx;

	if (k->phase == CONNECT && (events & (LOOP_WRITE | LOOP_ERR))) {
		int e = 0;
		socklen_t n = sizeof(e);

		if (getsockopt(k->fd, SOL_SOCKET, SO_ERROR, &e, &n) != 0 ||
		    e != 0) {
			errno = e;
			fail_errno(k, "connect");
			return;
		}
		enter(k, HANDSHAKE);
	}
	step(k);
}

static void
connect_to(struct sink_syslog *k, struct addr a)
{
	struct sockaddr_storage ss;
	struct err err = { 0 };
	int on = 1;

	a.port = k->port;
	socklen_t n = addr_to_sockaddr(&a, &ss);

	k->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK |
	    SOCK_CLOEXEC, 0);
	if (k->fd < 0) {
		fail_errno(k, "socket");
		return;
	}
	/* A request must not wait for the acknowledgement of the batch. */
	setsockopt(k->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(k->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	if (sink_tls_open(&k->tls, k->ctx, k->fd, k->server_name, &err) != 0) {
		fail(k, err.text);
		return;
	}
	enter(k, CONNECT);
	k->s.stats.connects++;
	if (connect(k->fd, (struct sockaddr *)&ss, n) != 0 &&
	    errno != EINPROGRESS) {
		fail_errno(k, "connect");
		return;
	}
	k->watch = loop_fd_add(k->loop, k->fd, LOOP_WRITE, on_event, k);
	arm(k);
}

static void
on_resolved(void *ctx, const struct dns_answer *a)
{
	struct sink_syslog *k = ctx;

	k->query = NULL;
	if (a->status != DNS_OK || a->n == 0)
		fail(k, dns_status_text(a->status));
	else
		connect_to(k, a->addrs[k->attempts++ % a->n]);
}

static void
start(struct sink_syslog *k)
{
	struct dns_query *q;

	enter(k, RESOLVE);
	q = dns_resolve(k->dns, k->host, on_resolved, k);
	/* NULL: it was answered already. */
	if (q != NULL)
		k->query = q;
}

static void
enter_stream(struct sink_syslog *k, bool confirms)
{
	k->confirms = confirms;
	enter(k, STREAM);
	log_info("syslog %s: connected, %s, %s", k->label,
	    sink_tls_version(&k->tls), confirms ?
	    "the receiver confirms what it has read" :
	    "only the receiver's kernel confirms");
	if (!confirms && !k->warned)
		log_warn("syslog %s: the receiver does not answer TLS key "
		    "updates: what it has received but not read when it dies "
		    "is lost (give it TLS 1.3 with OpenSSL)", k->label);
	k->warned |= !confirms;
}

/* Both return false when the connection was given up. */
static bool
ask(struct sink_syslog *k)
{
	struct err err = { 0 };

	k->asked = true;
	k->ask_ms = clock_mono_ms();
	if (sink_tls_ask(&k->tls, &err) == SINK_TLS_ERROR) {
		fail(k, err.text);
		return false;
	}
	return true;
}

static bool
drain(struct sink_syslog *k)
{
	struct err err = { 0 };

	if (sink_tls_drain(&k->tls, &err) == SINK_TLS_ERROR) {
		fail(k, err.text);
		return false;
	}
	return true;
}

static bool
step_handshake(struct sink_syslog *k)
{
	struct err err = { 0 };

	switch (sink_tls_handshake(&k->tls, &err)) {
	case SINK_TLS_AGAIN:
		return true;
	case SINK_TLS_ERROR:
		fail(k, err.text);
		return false;
	case SINK_TLS_OK:
		break;
	}
	if (!sink_tls_can_ask(&k->tls)) {
		enter_stream(k, false);
		return true;
	}
	enter(k, PROBE);
	return ask(k);
}

static bool
finish_asking(struct sink_syslog *k)
{
	struct err err = { 0 };

	if (k->tls.to_ask > 0 &&
	    sink_tls_ask_more(&k->tls, &err) == SINK_TLS_ERROR) {
		fail(k, err.text);
		return false;
	}
	return true;
}

static bool
step_probe(struct sink_syslog *k)
{
	if (sink_tls_answered(&k->tls)) {
		k->asked = false;
		if (k->tls.asks < PROBES)
			return ask(k);
		enter_stream(k, true);
	} else if (clock_mono_ms() - k->phase_ms >= SINK_SYSLOG_PROBE_MS) {
		k->asked = false;
		enter_stream(k, false);
	}
	return true;
}

static bool
write_out(struct sink_syslog *k)
{
	struct err err = { 0 };
	enum sink_tls_result r;
	size_t n = 0;

	if (k->out.len == 0 || k->tls.to_ask > 0)
		return true;
	r = sink_tls_write(&k->tls, buf_slice(&k->out), &n, &err);
	if (n > 0) {
		k->progress_ms = clock_mono_ms();
		k->s.stats.bytes += n;
		buf_consume(&k->out, n);
	}
	if (r == SINK_TLS_ERROR) {
		fail(k, err.text);
		return false;
	}
	if (k->out.len == 0) {
		k->written = k->taken;
		k->filled = false;
	}
	return true;
}

/* The receiver's program says how far it has read. */
static bool
confirm_by_answer(struct sink_syslog *k)
{
	uint64_t now = clock_mono_ms();

	if (k->asked && sink_tls_answered(&k->tls))
		deliver(k);
	if (k->asked || k->out.len > 0 || k->written == k->delivered)
		return true;
	if (now - k->ask_ms < SINK_SYSLOG_ASK_MS &&
	    k->open_bytes < SINK_SYSLOG_WINDOW / 2)
		return true;
	set_mark(k);
	return ask(k);
}

/* Its kernel does. */
static bool
confirm_by_kernel(struct sink_syslog *k)
{
	uint64_t now = clock_mono_ms();
	int outq = 0;

	if (k->settling && now - k->settle_ms >= SINK_SYSLOG_SETTLE_MS)
		deliver(k);
	if (k->settling || k->out.len > 0 || k->written == k->delivered)
		return true;
	if (ioctl(k->fd, SIOCOUTQ, &outq) != 0) {
		fail_errno(k, "SIOCOUTQ");
		return false;
	}
	if (outq != k->outq)
		k->progress_ms = now;
	k->outq = outq;
	if (outq == 0) {
		set_mark(k);
		k->settling = true;
		k->settle_ms = now;
	}
	return true;
}

static bool
step_stream(struct sink_syslog *k)
{
	if (!write_out(k))
		return false;
	if (k->confirms ? !confirm_by_answer(k) : !confirm_by_kernel(k))
		return false;
	offer(k);
	return true;
}

/* One look at everything; each part returns false when it called fail(). */
static void
step(struct sink_syslog *k)
{
	if (k->phase == HANDSHAKE && !step_handshake(k))
		return;
	if (k->phase >= PROBE && (!drain(k) || !finish_asking(k)))
		return;
	if (k->phase == PROBE && !step_probe(k))
		return;
	if (k->phase == STREAM && !step_stream(k))
		return;
	arm(k);
}

static bool
outstanding(const struct sink_syslog *k)
{
	return k->phase != IDLE && (k->phase != STREAM || k->out.len > 0 ||
	    k->written != k->delivered);
}

static void
sooner(uint64_t *at, uint64_t t)
{
	if (t < *at)
		*at = t;
}

/* Watches and the timer, from the state. */
static void
arm(struct sink_syslog *k)
{
	uint64_t now = clock_mono_ms(), at = UINT64_MAX;
	bool open = k->written != k->delivered && k->out.len == 0;

	if (k->watch != NULL)
		loop_fd_set(k->watch, k->phase == CONNECT ? LOOP_WRITE :
		    LOOP_READ |
		    (sink_tls_wants_write(&k->tls) ? LOOP_WRITE : 0));
	if (outstanding(k))
		sooner(&at, k->progress_ms + k->stall_ms);
	if (k->phase == PROBE)
		sooner(&at, k->phase_ms + SINK_SYSLOG_PROBE_MS);
	if (k->phase == STREAM && open && k->confirms && !k->asked)
		sooner(&at, k->ask_ms + SINK_SYSLOG_ASK_MS);
	if (k->phase == STREAM && open && !k->confirms)
		sooner(&at, k->settling ?
		    k->settle_ms + SINK_SYSLOG_SETTLE_MS : now + POLL_MS);
	if (at == UINT64_MAX)
		loop_timer_stop(k->timer);
	else
		loop_timer_set(k->timer, at > now ? at - now : 0);
}

static void
on_timer(void *ctx)
{
	struct sink_syslog *k = ctx;

	if (k->phase == IDLE) {
		start(k);
		if (k->phase == RESOLVE)
			arm(k);
		return;
	}
	if (outstanding(k) &&
	    clock_mono_ms() - k->progress_ms >= k->stall_ms) {
		fail(k, "no progress for too long");
		return;
	}
	step(k);
}

static enum sink_answer
syslog_write(struct sink *s, uint64_t seq, struct slice event)
{
	struct sink_syslog *k = container_of(s, struct sink_syslog, s);

	if (!accepts(k)) {
		k->refused = true;
		return SINK_FULL;
	}
	/* After a time of nothing to do the clock of progress starts anew. */
	if (!outstanding(k))
		k->progress_ms = clock_mono_ms();
	buf_reset(&k->msg);
	if (rfc5424_format(&k->fmt, &k->msg, seq, event) != 0)
		ASSERT(!"a message is larger than its maximum");
	/* SYSLOG-FRAME = MSG-LEN SP SYSLOG-MSG (RFC 5425, 4.3) */
	buf_addf(&k->out, "%zu ", k->msg.len);
	buf_add_slice(&k->out, buf_slice(&k->msg));
	ASSERT(!k->out.full);
	k->open_bytes += k->msg.len;
	k->filled = k->out.len >= SINK_SYSLOG_BATCH;
	k->taken = seq;
	k->taken_n++;
	s->stats.taken++;
	s->stats.truncated = k->fmt.truncated;
	s->stats.malformed = k->fmt.malformed;
	return SINK_TAKEN;
}

static void
syslog_flush(struct sink *s)
{
	struct sink_syslog *k = container_of(s, struct sink_syslog, s);

	if (k->phase == STREAM)
		step(k);
}

static bool
syslog_finish(struct sink *s)
{
	struct sink_syslog *k = container_of(s, struct sink_syslog, s);
	bool done;

	syslog_flush(s);
	done = k->taken == k->delivered;
	/* Without a half-written message the receiver gets a clean end. */
	if (k->phase == STREAM && k->out.len == 0 && k->tls.to_ask == 0)
		disconnect(k, true);
	else
		disconnect(k, false);
	enter(k, IDLE);
	loop_timer_stop(k->timer);
	return done;
}

static void
syslog_reopen(struct sink *s)
{
	struct sink_syslog *k = container_of(s, struct sink_syslog, s);

	if (k->phase != IDLE)
		fail(k, "a new connection was asked for");
}

static void
syslog_close(struct sink *s)
{
	struct sink_syslog *k = container_of(s, struct sink_syslog, s);

	disconnect(k, false);
	loop_soon_cancel(k->loop, k);
	loop_timer_del(k->timer);
	SSL_CTX_free(k->ctx);
	rfc5424_free(&k->fmt);
	buf_free(&k->msg);
	buf_free(&k->out);
	free(k->label);
	free(k->server_name);
	free(k);
}

static const struct sink_ops syslog_ops = {
	.write = syslog_write, .flush = syslog_flush, .finish = syslog_finish,
	.reopen = syslog_reopen, .close = syslog_close,
};

static int
read_address(struct sink_syslog *k, const struct sink_syslog_conf *conf,
    struct err *err)
{
	struct slice host;

	if (!addr_split_hostport(slice_str(conf->address), PORT, &host,
	    &k->port) || !addr_host_normalise(host, k->host)) {
		err_set(err, "address \"%s\": give host:port, for example "
		    "siem.example:6514", conf->address);
		return -1;
	}
	k->server_name = base_strdup(conf->server_name != NULL &&
	    conf->server_name[0] != '\0' ? conf->server_name : k->host);
	return 0;
}

struct sink *
sink_syslog_new(struct loop *l, struct dns *dns,
    const struct sink_syslog_conf *conf, const struct sink_hooks *hooks,
    struct err *err)
{
	struct sink_syslog *k = base_calloc(1, sizeof(*k));

	k->s.ops = &syslog_ops;
	k->s.hooks = *hooks;
	k->loop = l;
	k->dns = dns;
	k->fd = -1;
	k->label = base_strdup(conf->address);
	k->stall_ms = conf->stall_ms != 0 ? conf->stall_ms :
	    SINK_SYSLOG_STALL_MS;
	rfc5424_init(&k->fmt, conf->hostname, conf->max);
	buf_init(&k->msg, k->fmt.max);
	buf_init(&k->out, SINK_SYSLOG_BATCH + k->fmt.max + LENGTH_MAX);
	k->timer = loop_timer_new(l, on_timer, k);
	k->ctx = sink_tls_ctx_new(conf->ca_pem, err);
	if (k->ctx == NULL || read_address(k, conf, err) != 0) {
		syslog_close(&k->s);
		return NULL;
	}
	loop_timer_set(k->timer, 0);
	return &k->s;
}

bool
sink_syslog_confirms(const struct sink *s)
{
	return container_of(s, const struct sink_syslog, s)->confirms;
}
