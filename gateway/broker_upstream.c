/*
 * broker_upstream - which upstreams the proxies cannot reach, as they say: for
 * `connector ls` only, forgotten with the proxy that said so.
 */
#include "gateway/broker_int.h"

#include <stdlib.h>

#define AWAY_MAX 10000		/* of one proxy */

struct broker_away {
	struct list link;
	char *connector, *host, *detail;
	uint16_t port;
	int64_t since_ms;
};

void
upstream_proxy_init(struct broker_proxy *p)
{
	list_init(&p->away);
	p->naway = 0;
}

static void
drop(struct broker_proxy *p, struct broker_away *a)
{
	list_remove(&a->link);
	p->naway--;
	free(a->connector);
	free(a->host);
	free(a->detail);
	free(a);
}

void
upstream_proxy_gone(struct broker_proxy *p)
{
	while (!list_empty(&p->away))
		drop(p, list_entry(p->away.next, struct broker_away, link));
}

int
upstream_on_state(struct broker_proxy *p, struct slice body)
{
	struct unpack u;

	unpack_init(&u, body);
	struct slice connector = unpack_slice(&u), host = unpack_slice(&u);
	uint16_t port = unpack_u16(&u);
	unsigned away = unpack_u8(&u);
	int64_t since_ms = unpack_i64(&u);
	struct slice detail = unpack_slice(&u);

	if (!unpack_done(&u) || away > 1)
		return -1;
	list_each_safe(it, tmp, &p->away) {
		struct broker_away *a = list_entry(it, struct broker_away,
		    link);

		if (a->port == port && slice_is(connector, a->connector) &&
		    slice_is(host, a->host))
			drop(p, a);
	}
	if (away == 0 || p->naway == AWAY_MAX)
		return 0;
	struct broker_away *a = base_calloc(1, sizeof(*a));

	a->connector = slice_dup(connector);
	a->host = slice_dup(host);
	a->detail = slice_dup(slice_sub(detail, 0, 256));
	a->port = port;
	a->since_ms = since_ms;
	list_append(&p->away, &a->link);
	p->naway++;
	return 0;
}

void
upstream_write(const struct broker *b, const char *connector,
    struct jsonw *w)
{
	jsonw_array(w, "away");
	for (size_t i = 0; i < BROKER_PROXIES; i++)
		list_each(it, &b->proxies[i].away) {
			struct broker_away *a = list_entry(it,
			    struct broker_away, link);

			if (strcmp(a->connector, connector) != 0)
				continue;
			jsonw_object(w, NULL);
			jsonw_int(w, "proxy", b->proxies[i].index);
			jsonw_str(w, "host", a->host);
			jsonw_int(w, "port", a->port);
			op_time(w, "since", a->since_ms);
			jsonw_str(w, "detail", a->detail);
			jsonw_object_end(w);
		}
	jsonw_array_end(w);
}
