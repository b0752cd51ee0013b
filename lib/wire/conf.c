/*
 * conf - see conf.h: the names, and the struct's way through a snapshot (its
 * reading from YAML is conf_load.c). Must never believe a section: a number that
 * becomes an enum or an index is checked.
 */
#include "conf_int.h"

#include <stdlib.h>

#include "pack.h"

#define CONF_VERSION 2

const char *const conf_trust_names[CONF_TRUSTS] = {
	"manual", "supervised", "autonomous"
};
const char *const conf_class_names[CONF_CLASSES] = {
	"unknown", "dangerous", "moderate", "read-only"
};
const char *const conf_listener_names[CONF_LISTENER_KINDS] = {
	"explicit", "mount", "transparent", "stdio"
};
const char *const conf_effect_names[CONF_EFFECTS] = {
	"deny", "hold", "allow"
};

static void
sink_free(struct conf_sink *s)
{
	free(s->name);
	free(s->address);
	free(s->ca);
	free(s->ca_pem);
	free(s->server_name);
	free(s->path);
}

void
conf_free(struct conf *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->nlisteners; i++)
		conf_listener_clear(&c->listeners[i]);
	for (size_t i = 0; i < c->ntrust_files; i++)
		free(c->trust_files[i]);
	for (size_t i = 0; i < c->nsinks; i++)
		sink_free(&c->sinks[i]);
	free(c->listeners);
	free(c->trust_files);
	free(c->sinks);
	free(c->hours.zone);
	free(c->file);
	free(c->state_dir);
	free(c->keeper_key);
	free(c->run_dir);
	free(c->user);
	free(c->connectors_dir);
	free(c->rules_dir);
	free(c->upstream_proxy);
	free(c->upstream_proxy_credential);
	free(c);
}

/* pack */

static void
pack_effects(struct buf *b, const enum conf_effect *v, size_t n)
{
	pack_u32(b, (uint32_t)n);
	for (size_t i = 0; i < n; i++)
		pack_u8(b, (uint8_t)v[i]);
}

static void
pack_limits(struct buf *b, const struct conf *c)
{
	const struct conf_limits *l = &c->limits;
	const int64_t v[] = { l->body, l->header, l->fields, l->streams,
		l->idle_ms, l->header_ms, l->body_ms, l->advice_ms,
		l->record_ms, l->connect_ms, l->upstream_head_ms,
		l->upstream_idle_ms, l->stream_idle_ms, l->send_ms,
		l->clock_step_ms, l->report_ms, c->hold_expires_ms,
		c->hold_keepalive_ms, c->learning_ms, c->proxies };

	for (size_t i = 0; i < ARRAY_LEN(v); i++)
		pack_i64(b, v[i]);
}

static void
pack_hours(struct buf *b, const struct conf_hours *h)
{
	pack_u8(b, h->set);
	pack_str(b, h->zone);
	pack_u8(b, h->days);
	pack_u16(b, (uint16_t)h->from_min);
	pack_u16(b, (uint16_t)h->to_min);
}

static void
pack_sink(struct buf *b, const struct conf_sink *s)
{
	pack_u8(b, (uint8_t)s->type);
	pack_str(b, s->name);
	pack_str(b, s->address);
	pack_str(b, s->ca);
	pack_str(b, s->ca_pem);
	pack_str(b, s->server_name);
	pack_str(b, s->path);
}

void
conf_pack(struct buf *b, const struct conf *c)
{
	pack_u16(b, CONF_VERSION);
	pack_str(b, c->file);
	pack_str(b, c->state_dir);
	pack_str(b, c->keeper_key);
	pack_str(b, c->run_dir);
	pack_str(b, c->user);
	pack_str(b, c->connectors_dir);
	pack_str(b, c->rules_dir);
	pack_str(b, c->upstream_proxy);
	pack_str(b, c->upstream_proxy_credential);
	pack_u8(b, c->sandbox_best_effort);
	pack_u8(b, c->splice_uncatalogued);
	pack_u8(b, c->trust_system);
	pack_limits(b, c);
	pack_hours(b, &c->hours);
	pack_effects(b, &c->matrix[0][0], CONF_TRUSTS * CONF_CLASSES);
	pack_effects(b, c->exceptions, REASON_COUNT);
	pack_u32(b, (uint32_t)c->nlisteners);
	for (size_t i = 0; i < c->nlisteners; i++) {
		pack_u8(b, (uint8_t)c->listeners[i].kind);
		pack_str(b, c->listeners[i].address);
		pack_u32(b, (uint32_t)c->listeners[i].nfrom);
		for (size_t k = 0; k < c->listeners[i].nfrom; k++)
			pack_str(b, c->listeners[i].from[k]);
	}
	pack_u32(b, (uint32_t)c->ntrust_files);
	for (size_t i = 0; i < c->ntrust_files; i++)
		pack_str(b, c->trust_files[i]);
	pack_u32(b, (uint32_t)c->nsinks);
	for (size_t i = 0; i < c->nsinks; i++)
		pack_sink(b, &c->sinks[i]);
}

/* unpack */

/* A value below limit, or the reader is bad. */
static unsigned
unpack_below(struct unpack *u, unsigned limit)
{
	unsigned v = unpack_u8(u);

	if (v < limit)
		return v;
	u->bad = true;
	return 0;
}

/* NULL was packed as "". */
static char *
unpack_optional(struct unpack *u)
{
	char *s = unpack_strdup(u);

	if (s[0] != '\0')
		return s;
	free(s);
	return NULL;
}

static void
unpack_effects(struct unpack *u, enum conf_effect *v, size_t n)
{
	if (unpack_u32(u) != n)
		u->bad = true;
	for (size_t i = 0; i < n; i++)
		v[i] = (enum conf_effect)unpack_below(u, CONF_EFFECTS);
}

static void
unpack_limits(struct unpack *u, struct conf *c)
{
	struct conf_limits *l = &c->limits;
	int64_t *const v[] = { &l->body, &l->header, &l->fields, &l->streams,
		&l->idle_ms, &l->header_ms, &l->body_ms, &l->advice_ms,
		&l->record_ms, &l->connect_ms, &l->upstream_head_ms,
		&l->upstream_idle_ms, &l->stream_idle_ms, &l->send_ms,
		&l->clock_step_ms, &l->report_ms, &c->hold_expires_ms,
		&c->hold_keepalive_ms, &c->learning_ms, &c->proxies };

	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		*v[i] = unpack_i64(u);
		if (*v[i] < 0)
			u->bad = true;
	}
}

static void
unpack_hours(struct unpack *u, struct conf_hours *h)
{
	h->set = unpack_below(u, 2);
	h->zone = unpack_optional(u);
	h->days = (uint8_t)unpack_below(u, 128);
	h->from_min = unpack_u16(u);
	h->to_min = unpack_u16(u);
	if (h->from_min > 1440 || h->to_min > 1440 ||
	    (h->set && h->zone == NULL))
		u->bad = true;
}

static void
unpack_sink(struct unpack *u, struct conf_sink *s)
{
	s->type = (enum conf_sink_type)unpack_below(u, CONF_SINK_TYPES);
	s->name = unpack_strdup(u);
	s->address = unpack_optional(u);
	s->ca = unpack_optional(u);
	s->ca_pem = unpack_optional(u);
	s->server_name = unpack_optional(u);
	s->path = unpack_optional(u);
}

static void
unpack_lists(struct unpack *u, struct conf *c)
{
	c->nlisteners = unpack_count(u, 9);
	c->listeners = base_calloc(c->nlisteners + 1, sizeof(*c->listeners));
	for (size_t i = 0; i < c->nlisteners; i++) {
		struct conf_listener *l = &c->listeners[i];

		l->kind = (enum conf_listener_kind)
		    unpack_below(u, CONF_LISTENER_KINDS);
		l->address = unpack_strdup(u);
		l->nfrom = unpack_count(u, 4);
		l->from = base_calloc(l->nfrom + 1, sizeof(*l->from));
		for (size_t k = 0; k < l->nfrom; k++)
			l->from[k] = unpack_strdup(u);
	}
	c->ntrust_files = unpack_count(u, 4);
	c->trust_files = base_calloc(c->ntrust_files + 1, sizeof(char *));
	for (size_t i = 0; i < c->ntrust_files; i++)
		c->trust_files[i] = unpack_strdup(u);
	c->nsinks = unpack_count(u, 25);
	c->sinks = base_calloc(c->nsinks + 1, sizeof(*c->sinks));
	for (size_t i = 0; i < c->nsinks; i++)
		unpack_sink(u, &c->sinks[i]);
}

struct conf *
conf_unpack(struct slice section)
{
	struct conf *c = base_calloc(1, sizeof(*c));
	struct unpack u;

	unpack_init(&u, section);
	if (unpack_u16(&u) != CONF_VERSION)
		u.bad = true;
	c->file = unpack_strdup(&u);
	c->state_dir = unpack_strdup(&u);
	c->keeper_key = unpack_optional(&u);
	c->run_dir = unpack_strdup(&u);
	c->user = unpack_strdup(&u);
	c->connectors_dir = unpack_strdup(&u);
	c->rules_dir = unpack_strdup(&u);
	c->upstream_proxy = unpack_optional(&u);
	c->upstream_proxy_credential = unpack_optional(&u);
	c->sandbox_best_effort = unpack_below(&u, 2);
	c->splice_uncatalogued = unpack_below(&u, 2);
	c->trust_system = unpack_below(&u, 2);
	unpack_limits(&u, c);
	unpack_hours(&u, &c->hours);
	unpack_effects(&u, &c->matrix[0][0], CONF_TRUSTS * CONF_CLASSES);
	unpack_effects(&u, c->exceptions, REASON_COUNT);
	for (size_t i = 0; i < REASON_COUNT; i++)
		if (c->exceptions[i] == CONF_HOLD)
			u.bad = true;
	unpack_lists(&u, c);
	if (unpack_done(&u))
		return c;
	conf_free(c);
	return NULL;
}
