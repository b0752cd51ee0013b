/*
 * agg_list - tools/list of the mount of all connectors: each connector that the
 * agent may use is asked (or its remembered list is taken) by a call of its
 * own, page by page; the tools are joined under their new names. Who is away,
 * refuses or takes too long is left out and named; the others are there.
 * tool_search asks in the same way and looks through the deferred ones.
 */
#include "aggregate_int.h"

#include <stdlib.h>

#include "log.h"
#include "toolname.h"

#define LIST_WAIT_MS 10000
#define LIST_PAGES 64
#define LIST_BYTES (4u << 20)	/* of one connector */

struct member {
	struct agg_list *l;
	size_t at;			/* the connector, in the view */
	struct conn *c;			/* NULL: nothing is being asked */
	struct inner in;
	struct buf out;			/* tools, commas between */
	char *cursor, *why;		/* of the next page; why it is left out */
	unsigned pages;
	bool answered;			/* this page */
};

struct agg_list {
	struct exchange *ex;
	struct loop_timer *timer;
	struct agg_search *search;	/* NULL: tools/list */
	struct map taken;		/* names that are given */
	bool defers;			/* there are tools to be searched for */
	size_t bytes;			/* of all tools that are kept */
	unsigned n, left;
	struct member v[];
};

/* --- a connector's tools -------------------------------------------------------------- */

static bool
hidden(const struct exchange *ex, const struct connector *con,
    struct slice tool)
{
	const struct connector_tool *ct = connector_tool(con, tool);
	const struct tool_state *st = svc_tool(ex->f, con->name, tool);

	return (ct != NULL && !ct->enabled) || (st != NULL && !st->enabled) ||
	    killpage_hit(ex->f->kill, svc_tool_hash(ex->f, con->name, tool));
}

/* The names that cannot be read back are remembered for the calls. */
static bool
name_tool(struct agg_list *l, const char *connector, struct slice tool,
    char name[TOOLNAME_MAX + 1])
{
	struct map *names = &l->ex->agg->names;
	bool plain = toolname_make(connector, tool, false, name);

	if (map_get(&l->taken, slice_str(name)) != NULL)
		plain = toolname_make(connector, tool, true, name);
	if (map_get(&l->taken, slice_str(name)) != NULL)
		return false;
	if (plain)
		free(map_del(names, slice_str(name)));
	else if (map_count(names) >= AGG_NAMES)
		return false;
	else
		free(map_put(names, slice_str(name), slice_dup(tool)));
	map_put(&l->taken, slice_str(name), l);
	return true;
}

static void
put_tool(struct member *m, const struct json_doc *d, uint32_t node,
    const char *offered, bool deferred)
{
	struct slice raw = json_raw(d, node);
	struct slice was = json_raw(d, json_member(d, node, "name"));
	size_t at = (size_t)(was.p - raw.p);
	struct buf b;

	if (m->l->search == NULL ? deferred && map_get(&m->l->ex->agg->found,
	    slice_str(offered)) == NULL : !deferred)
		return;
	m->l->bytes += raw.n + TOOLNAME_MAX;
	if (m->l->bytes > m->l->ex->rbody.max / 2) {
		if (m->why == NULL)
			m->why = base_strdup("all lists together are too long");
		return;
	}
	buf_init(&b, raw.n + TOOLNAME_MAX + 2);
	buf_add(&b, raw.p, at);
	buf_addf(&b, "\"%s\"", offered);
	buf_add(&b, was.p + was.n, raw.n - was.n - at);
	if (m->l->search != NULL) {
		agg_search_add(m->l->search, d, node, offered, buf_slice(&b));
	} else {
		if (m->out.len > 0)
			buf_add_char(&m->out, ',');
		buf_add_slice(&m->out, buf_slice(&b));
	}
	buf_free(&b);
}

static void
add_tool(struct member *m, const struct json_doc *d, uint32_t node)
{
	struct exchange *ex = m->l->ex;
	const struct connector *con = &ex->view->connectors->v[m->at];
	uint32_t name = json_member(d, node, "name");
	char offered[TOOLNAME_MAX + 1];
	struct buf tool;

	buf_init(&tool, 4096);
	/* What must be written with escapes cannot be called: see mcp.h. */
	if (json_decode(d, name, &tool) == 0 && tool.len > 0) {
		struct slice t = buf_slice(&tool);
		bool ok = memchr(t.p, 0, t.n) == NULL;

		for (size_t i = 0; i < t.n; i++)
			ok &= (unsigned char)t.p[i] >= ' ' &&
			    t.p[i] != '"' && t.p[i] != '\\';
		if (ok && !hidden(ex, con, t) && name_tool(m->l, con->name, t,
		    offered))
			put_tool(m, d, node, offered, connector_defers(con, t));
	}
	buf_free(&tool);
}

static void
on_message(void *ctx, struct slice json)
{
	struct member *m = ctx;
	struct json_doc d;
	uint32_t tools, next;

	spare_doc(m->l->ex->f, &d);
	if (m->answered || json.n == 0 || json_index(&d, json, NULL) !=
	    JSON_OK)
		goto out;
	tools = json_path(&d, 0, "result", "tools", NULL);
	next = json_path(&d, 0, "result", "nextCursor", NULL);
	if (json_typeof(&d, tools) == JSON_ARRAY) {
		m->answered = true;
		for (uint32_t t = json_first(&d, tools); t != JSON_NONE;
		    t = json_next(&d, tools, t))
			add_tool(m, &d, t);
		if (json_typeof(&d, next) == JSON_STRING)
			m->cursor = slice_dup(json_raw(&d, next));
	} else if (json_member(&d, 0, "error") != JSON_NONE) {
		free(m->why);
		m->why = json_strdup(&d, json_path(&d, 0, "error", "message",
		    NULL));
	}
out:
	spare_doc_back(m->l->ex->f, &d);
}

/* --- asking --------------------------------------------------------------------------------- */

static void on_inner(void *ctx, struct conn *c, struct slice data, bool end);

static bool
ask(struct member *m, const char *cursor)
{
	struct exchange *ex = m->l->ex;
	struct buf b;

	buf_init(&b, 1u << 20);
	buf_addf(&b, "{\"jsonrpc\":\"2.0\",\"id\":\"portreeve-list-%u\","
	    "\"method\":\"tools/list\"", m->pages);
	if (cursor != NULL)
		buf_addf(&b, ",\"params\":{\"cursor\":%s}", cursor);
	buf_add_char(&b, '}');
	m->answered = false;
	inner_init(&m->in, ex->f, ex->rbody.max * 2, on_message, m);
	m->c = b.full ? NULL : agg_send(ex->c, ex->agg, http1_field_known(
	    ex->req, HTTP1_F_AUTHORIZATION), ex->view->connectors->
	    v[m->at].name, "POST", buf_slice(&b), on_inner, m);
	buf_free(&b);
	if (m->c == NULL)
		inner_free(&m->in);
	return m->c != NULL;
}

static void
write_answer(struct agg_list *l, struct buf *b)
{
	const struct exchange *ex = l->ex;
	bool some = l->defers;
	struct jsonw w;

	buf_addf(b, "{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"result\":{\"tools\":[",
	    SLICE_FMT(ex->msg.id));
	if (l->defers)
		buf_add_slice(b, agg_search_tool());
	for (unsigned i = 0; i < l->n; i++) {
		struct member *m = &l->v[i];

		if (m->out.len == 0 || m->why != NULL)
			continue;
		if (some)
			buf_add_char(b, ',');
		buf_add_slice(b, buf_slice(&m->out));
		some = true;
	}
	buf_add_str(b, "],\"_meta\":{\"portreeve/left-out\":");
	jsonw_init(&w, b);
	jsonw_array(&w, NULL);
	for (unsigned i = 0; i < l->n; i++) {
		if (l->v[i].why == NULL)
			continue;
		jsonw_object(&w, NULL);
		jsonw_str(&w, "connector",
		    ex->view->connectors->v[l->v[i].at].name);
		jsonw_str(&w, "why", l->v[i].why);
		jsonw_object_end(&w);
	}
	jsonw_array_end(&w);
	buf_add_str(b, "}}}");
}

static void
finish(void *ctx)
{
	struct exchange *ex = ctx;
	struct agg_list *l = ex->agg_list;
	struct buf b;

	if (ex->over || l == NULL)
		return;
	buf_init(&b, ex->rbody.max);
	if (l->search == NULL)
		write_answer(l, &b);
	else if (agg_search_answer(ex, l->search, &b))
		agg_tell_changed(ex->agg);
	agg_list_free(ex);
	if (b.full) {
		exchange_refuse(ex, REASON_BODY_TOO_LARGE, "(all tools)");
		exchange_answer_refusal(ex);
	} else {
		relay_local(ex, 200, buf_slice(&b));
		exchange_resume(ex);
	}
	buf_free(&b);
}

static void
member_done(struct member *m)
{
	if (m->out.full && m->why == NULL)
		m->why = base_strdup("its list is too long");
	if (--m->l->left == 0)
		loop_soon(m->l->ex->f->loop, finish, m->l->ex);
}

static void
on_inner(void *ctx, struct conn *c, struct slice data, bool end)
{
	struct member *m = ctx;
	bool gone = m->l->ex->over;	/* and about to be put away */
	char *cursor;

	(void)c;
	inner_take(&m->in, data);
	if (!end)
		return;
	m->c = NULL;
	inner_end(&m->in);
	inner_free(&m->in);
	cursor = m->cursor;
	m->cursor = NULL;
	if (!m->answered) {
		if (m->why == NULL)
			m->why = base_strdup("it did not answer");
	} else if (cursor != NULL && (gone || ++m->pages == LIST_PAGES ||
	    !ask(m, cursor))) {
		m->why = base_strdup("its list has too many pages");
	}
	free(cursor);
	if (m->c == NULL)
		member_done(m);
}

static void
on_time(void *ctx)
{
	struct agg_list *l = ctx;

	for (unsigned i = 0; i < l->n; i++) {
		struct member *m = &l->v[i];

		if (m->c == NULL)
			continue;
		conn_inner_drop(m->c);
		inner_free(&m->in);
		m->c = NULL;
		free(m->why);
		m->why = base_strdup("it did not answer in time");
	}
	finish(l->ex);
}

enum step_result
agg_list_begin(struct exchange *ex, struct agg_search *s)
{
	size_t max = ex->view->connectors->n;
	struct agg_list *l = base_calloc(1, sizeof(*l) + max *
	    sizeof(l->v[0]));

	ex->agg_list = l;
	l->ex = ex;
	l->search = s;
	map_init(&l->taken);
	for (size_t i = 0; i < max; i++)
		if (agg_offers(ex, i)) {
			l->v[l->n].l = l;
			l->v[l->n].at = i;
			buf_init(&l->v[l->n].out, LIST_BYTES);
			l->defers |= connector_defers_any(
			    &ex->view->connectors->v[i]);
			l->n++;
		}
	l->left = l->n + 1;
	l->timer = loop_timer_new(ex->f->loop, on_time, l);
	loop_timer_set(l->timer, LIST_WAIT_MS);
	for (unsigned i = 0; i < l->n; i++)
		if (!ask(&l->v[i], NULL)) {
			l->v[i].why = base_strdup("it cannot be asked");
			l->left--;
		}
	if (--l->left == 0)
		loop_soon(ex->f->loop, finish, ex);
	return STEP_WAIT;
}

void
agg_list_free(struct exchange *ex)
{
	struct agg_list *l = ex->agg_list;

	if (l == NULL)
		return;
	ex->agg_list = NULL;
	loop_timer_del(l->timer);
	for (unsigned i = 0; i < l->n; i++) {
		struct member *m = &l->v[i];

		if (m->c != NULL) {
			conn_inner_drop(m->c);
			inner_free(&m->in);
		}
		buf_free(&m->out);
		free(m->cursor);
		free(m->why);
	}
	map_free(&l->taken);
	agg_search_free(l->search);
	loop_defer_free(ex->f->loop, l);
}
