/* dns_conf - see dns_conf.h. */
#include "dns_conf.h"

#include <stdlib.h>

static struct slice
next_word(struct slice *line)
{
	size_t i = 0;
	struct slice w;

	while (i < line->n && (line->p[i] == ' ' || line->p[i] == '\t' ||
	    line->p[i] == '\r'))
		i++;
	*line = slice_sub(*line, i, line->n);
	for (i = 0; i < line->n && line->p[i] != ' ' && line->p[i] != '\t' &&
	    line->p[i] != '\r'; i++)
		;
	w = slice_sub(*line, 0, i);
	*line = slice_sub(*line, i, line->n);
	return w;
}

/* The next line without its comment. */
static struct slice
next_line(struct slice *text, const char *comment)
{
	struct slice line = slice_cut(text, '\n');

	for (size_t i = 0; i < line.n; i++)
		if (strchr(comment, line.p[i]) != NULL && line.p[i] != '\0')
			return slice_sub(line, 0, i);
	return line;
}

/* "IP", or "[IP]:port". */
static void
add_server(struct dns_conf *c, struct slice w)
{
	struct addr a = { 0 };
	uint16_t port = 0;

	if (w.n > 0 && w.p[0] == '[') {
		ssize_t end = slice_chr(w, ']');
		struct slice rest;
		uint64_t v;

		if (end < 0)
			return;
		rest = slice_sub(w, (size_t)end + 1, w.n);
		if (!slice_starts(rest, ":") || !slice_to_u64(slice_sub(rest,
		    1, rest.n), &v) || v == 0 || v > 65535)
			return;
		port = (uint16_t)v;
		w = slice_sub(w, 1, (size_t)end - 1);
	}
	if (c->nservers == DNS_SERVERS_MAX || !addr_parse_ip(w, &a))
		return;
	a.port = port;
	c->servers[c->nservers++] = a;
}

static int
option_value(struct slice w, const char *name, int max, int now)
{
	uint64_t v;

	if (!slice_starts(w, name) || !slice_to_u64(slice_sub(w,
	    strlen(name), w.n), &v) || v == 0)
		return now;
	return v > (uint64_t)max ? max : (int)v;
}

static void
read_resolv(struct dns_conf *c, struct slice text)
{
	int timeout = 2;

	c->attempts = 2;
	while (text.p != NULL) {
		struct slice line = next_line(&text, "#;");
		struct slice key = next_word(&line), w;

		if (slice_is(key, "nameserver")) {
			add_server(c, next_word(&line));
		} else if (slice_is(key, "options")) {
			while ((w = next_word(&line)).n > 0) {
				timeout = option_value(w, "timeout:", 30,
				    timeout);
				c->attempts = option_value(w, "attempts:", 5,
				    c->attempts);
			}
		}
	}
	c->timeout_ms = timeout * 1000;
	if (c->nservers == 0) {
		add_server(c, SLICE("127.0.0.1"));
		add_server(c, SLICE("::1"));
	}
}

static void
add_host(struct dns_conf *c, struct slice name, const struct addr *a)
{
	char text[ADDR_HOST_MAX];
	struct dns_host *h;
	struct addr lit;

	if (!addr_host_normalise(name, text) ||
	    addr_parse_ip(slice_str(text), &lit))
		return;
	h = map_get(&c->hosts, slice_str(text));
	if (h == NULL) {
		h = base_calloc(1, sizeof(*h));
		map_put(&c->hosts, slice_str(text), h);
	}
	for (size_t i = 0; i < h->n; i++)
		if (addr_same_ip(&h->addrs[i], a))
			return;
	if (h->n < ARRAY_LEN(h->addrs))
		h->addrs[h->n++] = *a;
}

static void
read_hosts(struct dns_conf *c, struct slice text)
{
	struct addr a = { 0 };
	struct slice w;

	while (text.p != NULL) {
		struct slice line = next_line(&text, "#");

		if (!addr_parse_ip(next_word(&line), &a))
			continue;
		while ((w = next_word(&line)).n > 0)
			add_host(c, w, &a);
	}
}

/* RFC 6761, 6.3: localhost is the loopback, never a question to a server. */
static void
add_localhost(struct dns_conf *c)
{
	struct addr a = { 0 };

	if (map_get(&c->hosts, SLICE("localhost")) != NULL)
		return;
	if (addr_parse_ip(SLICE("127.0.0.1"), &a))
		add_host(c, SLICE("localhost"), &a);
	if (addr_parse_ip(SLICE("::1"), &a))
		add_host(c, SLICE("localhost"), &a);
}

void
dns_conf_read(struct dns_conf *c, struct slice resolv, struct slice hosts)
{
	memset(c, 0, sizeof(*c));
	map_init(&c->hosts);
	read_resolv(c, resolv);
	read_hosts(c, hosts);
	add_localhost(c);
}

void
dns_conf_free(struct dns_conf *c)
{
	struct slice key;
	size_t i = 0;
	void *v;

	while (map_next(&c->hosts, &i, &key, &v))
		free(v);
	map_free(&c->hosts);
}
