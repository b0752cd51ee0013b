/*
 * broker_op - operators: who may connect, one request at a time, the reply.
 *
 * Nothing here is reachable by an agent: the socket is a unix socket of mode
 * 0600 and the peer's uid is checked again.
 */
#include "gateway/broker_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

static op_fn *const verbs[OPREQ_VERBS] = {
	[OPREQ_V_SESSION_OPEN] = op_session_open,
	[OPREQ_V_SESSION_LS] = op_session_ls,
	[OPREQ_V_SESSION_CLOSE] = op_session_close,
	[OPREQ_V_APPROVAL_LS] = op_approval_ls,
	[OPREQ_V_APPROVAL_SHOW] = op_approval_show,
	[OPREQ_V_APPROVAL_APPROVE] = op_approval_approve,
	[OPREQ_V_APPROVAL_DENY] = op_approval_deny,
	[OPREQ_V_APPROVAL_EDIT] = op_approval_edit,
	[OPREQ_V_KILL] = op_kill,
	[OPREQ_V_REVIVE] = op_revive,
	[OPREQ_V_KILLS] = op_kills,
	[OPREQ_V_CONNECTOR_LS] = op_connector_ls,
	[OPREQ_V_CONNECTOR_STATE] = op_connector_state,
	[OPREQ_V_TOOL_LS] = op_tool_ls,
	[OPREQ_V_TOOL_CLASSIFY] = op_tool_classify,
	[OPREQ_V_TOOL_REFRESH] = op_tool_refresh,
	[OPREQ_V_STATUS] = op_status,
};

/* -- replies -- */

const char *
op_text(const struct broker_op *op, enum opreq_field f)
{
	return op->req.text[f] == NULL ? "" : op->req.text[f];
}

void
op_time(struct jsonw *w, const char *key, int64_t wall_ms)
{
	char text[CLOCK_RFC3339_LEN];

	if (wall_ms == 0) {
		jsonw_raw(w, key, SLICE("null"));
		return;
	}
	clock_format(wall_ms, text);
	jsonw_str(w, key, text);
}

void
op_ok(struct broker_op *op)
{
	buf_reset(&op->out);
	jsonw_init(&op->w, &op->out);
	jsonw_object(&op->w, NULL);
	jsonw_bool(&op->w, "ok", true);
	jsonw_int(&op->w, "schema_version", 1);
	if (op->event[0] != '\0')
		jsonw_str(&op->w, "event", op->event);
}

static void
op_free(struct broker_op *op)
{
	opreq_free(&op->req);
	buf_wipe_free(&op->out);
	free(op->peer);
	free(op->by);
	free(op);
}

void
op_end(struct broker_op *op)
{
	struct broker_conn *c = op->conn;

	jsonw_object_end(&op->w);
	if (c != NULL) {
		c->op = NULL;
		if (op->out.full) {
			op->conn = NULL;
			log_error("%s: the reply does not fit",
			    opreq_verb_name(op->req.verb));
			shutdown(chan_fd(c->chan), SHUT_RDWR);
		} else if (chan_send(c->chan, MSG_OP_REPLY,
		    buf_slice(&op->out), -1) != 0) {
			shutdown(chan_fd(c->chan), SHUT_RDWR);
		}
	}
	op_free(op);
}

void
op_fail(struct broker_op *op, const char *code, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_reset(&op->out);
	jsonw_init(&op->w, &op->out);
	jsonw_object(&op->w, NULL);
	jsonw_bool(&op->w, "ok", false);
	jsonw_int(&op->w, "schema_version", 1);
	jsonw_str(&op->w, "code", code);
	jsonw_str(&op->w, "error", text);
	op_end(op);
}

void
op_fail_unknown(struct broker_op *op, const char *what, const char *name,
    const struct broker_names *known)
{
	const char *near = err_nearest(slice_str(name),
	    (const char *const *)known->v, known->n);

	op_fail(op, "not-found", "unknown %s \"%s\"%s%s%s", what, name,
	    near != NULL ? ", did you mean \"" : "",
	    near != NULL ? near : "", near != NULL ? "\"?" : "");
}

/* -- recording -- */

static void
on_recorded(void *ctx, bool ok)
{
	struct broker_op *op = ctx;

	op->committed = ok;
	op->go(op);
}

void
op_record(struct broker_op *op, struct broker_event *e,
    void (*go)(struct broker_op *op))
{
	uuid_format(e->id, op->event);
	op->go = go;
	if (broker_event_send(op->b, e, on_recorded, op) != 0)
		on_recorded(op, false);
}

void
op_note(struct broker_op *op, struct broker_event *e)
{
	uuid_format(e->id, op->event);
	(void)broker_event_send(op->b, e, NULL, NULL);
}

/* -- connections -- */

static char *
speaker(const struct broker_op *op)
{
	const char *as = op->req.text[OPREQ_AS];
	struct buf b;
	char *s;

	if (as == NULL || strcmp(as, op->peer) == 0)
		return base_strdup(op->peer);
	buf_init(&b, 1024);
	buf_addf(&b, "%s via %s", as, op->peer);
	s = slice_dup(buf_slice(&b));
	buf_free(&b);
	return s;
}

static void
on_request(struct broker_conn *c, struct slice body)
{
	struct broker_op *op = base_calloc(1, sizeof(*op));
	struct err err = { 0 };

	op->b = c->b;
	op->conn = c;
	c->op = op;
	op->peer = base_strdup(c->peer);
	buf_init(&op->out, CHAN_BODY_MAX - 1024);
	if (opreq_parse(&op->req, body, &err) != 0) {
		op_fail(op, "usage", "%s", err.text);
		return;
	}
	op->by = speaker(op);
	verbs[op->req.verb](op);
}

static int
on_op_msg(void *ctx, struct chan *chan, enum msg_type type,
    struct slice body, int fd)
{
	struct broker_conn *c = ctx;

	(void)chan;
	base_close(&fd);
	if (type != MSG_OP_REQUEST || c->op != NULL)
		return -1;	/* one at a time */
	on_request(c, body);
	return 0;
}

static void
conn_free(struct broker_conn *c)
{
	list_remove(&c->link);
	c->b->nconns--;
	if (c->op != NULL)
		c->op->conn = NULL;
	chan_free(c->chan);
	free(c->peer);
	loop_defer_free(c->b->loop, c);
}

static void
on_op_close(void *ctx, struct chan *chan)
{
	(void)chan;
	conn_free(ctx);
}

/* The OS user behind fd, NULL when it may not command here. */
static const char *
peer_name(struct broker *b, int fd)
{
	struct ucred cred;
	socklen_t n = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) != 0)
		return NULL;
	if (cred.uid == getuid())
		return b->own_name;
	if (cred.uid == 0)
		return "root";
	log_warn("operator socket: uid %u is not allowed",
	    (unsigned)cred.uid);
	return NULL;
}

static void
on_accept(void *ctx, unsigned events)
{
	struct broker *b = ctx;
	const char *name;
	int fd;

	(void)events;
	while ((fd = accept4(b->listener_fd, NULL, NULL,
	    SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		if (b->nconns >= BROKER_OPERATORS ||
		    (name = peer_name(b, fd)) == NULL) {
			base_close(&fd);
			continue;
		}
		struct broker_conn *c = base_calloc(1, sizeof(*c));

		c->b = b;
		c->peer = base_strdup(name);
		c->chan = chan_new(b->loop, fd, CHAN_BODY_MAX + 4096,
		    on_op_msg, on_op_close, c);
		list_append(&b->conns, &c->link);
		b->nconns++;
	}
}

int
op_listen(struct broker *b, struct err *err)
{
	for (size_t i = 0; i < b->env->nlisteners; i++) {
		if (strcmp(b->env->listeners[i].name, "operator") != 0)
			continue;
		b->listener_fd = b->env->listeners[i].fd;
		if (fcntl(b->listener_fd, F_SETFL, O_NONBLOCK) != 0)
			break;
		b->listener = loop_fd_add(b->loop, b->listener_fd, LOOP_READ,
		    on_accept, b);
		return 0;
	}
	err_set(err, "the broker was given no listener \"operator\":"
	    " it cannot be commanded");
	return -1;
}

void
op_stop(struct broker *b)
{
	loop_fd_del(b->listener);
	b->listener = NULL;
	list_each_safe(it, tmp, &b->conns) {
		struct broker_conn *c = list_entry(it, struct broker_conn,
		    link);
		struct broker_op *op = c->op;

		conn_free(c);
		if (op != NULL) {	/* it waits for a record */
			emit_forget(b->emit, op);
			op_free(op);
		}
	}
}
