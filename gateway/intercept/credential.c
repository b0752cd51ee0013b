/* credential - see credential.h. */
#include "credential.h"

#include <stdlib.h>

#include "codec.h"
#include "pack.h"
#include "vault.h"

void
credential_clear(struct credential_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		struct credential *c = &set->v[i];

		free(c->name);
		free(c->header);
		free(c->template);
		for (size_t j = 0; j < c->nconnectors; j++)
			free(c->connectors[j]);
		free(c->connectors);
	}
	free(set->v);
	memset(set, 0, sizeof(*set));
}

/* RFC 9110, 5.6.2 */
static bool
is_token(const char *s)
{
	static const char ok[] = "!#$%&'*+-.^_`|~0123456789"
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

	return s[0] != '\0' && s[strspn(s, ok)] == '\0';
}

bool
credential_value_ok(struct slice value)
{
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static bool
one_hole(const char *template)
{
	const char *at = strstr(template, "{}");

	return at != NULL && strstr(at + 2, "{}") == NULL;
}

static void
set_default(char **s, const char *v)
{
	if ((*s)[0] != '\0')
		return;
	free(*s);
	*s = base_strdup(v);
}

static int
check(struct credential *c, const char *type, struct err *err)
{
	bool bearer = strcmp(type, "bearer") == 0;

	c->basic = strcmp(type, "basic") == 0;
	set_default(&c->template, bearer ? "Bearer {}" : c->basic ?
	    "Basic {}" : "{}");
	if (bearer)
		set_default(&c->header, "Authorization");
	if (!bearer && !c->basic && strcmp(type, "header") != 0)
		err_set(err, "credential %s: type \"%s\": bearer, header or "
		    "basic is wanted", c->name, type);
	else if (!vault_name_ok(slice_str(c->name)))
		err_set(err, "credential \"%s\": not a name", c->name);
	else if (!is_token(c->header))
		err_set(err, "credential %s: \"%s\" is no header name",
		    c->name, c->header);
	else if (!one_hole(c->template) ||
	    !credential_value_ok(slice_str(c->template)))
		err_set(err, "credential %s: the template must have {} once "
		    "and no control characters", c->name);
	else
		return 0;
	return -1;
}

static int
read_one(struct unpack *u, struct credential *c, struct err *err)
{
	char *type;
	uint32_t n;
	int r = -1;

	c->name = unpack_strdup(u);
	type = unpack_strdup(u);
	c->header = unpack_strdup(u);
	c->template = unpack_strdup(u);
	n = unpack_count(u, 4);
	c->connectors = base_calloc((size_t)n + 1, sizeof(*c->connectors));
	for (uint32_t i = 0; i < n && !u->bad; i++)
		c->connectors[c->nconnectors++] = unpack_strdup(u);
	if (u->bad)
		err_set(err, "snapshot section credentials is malformed");
	else
		r = check(c, type, err);
	free(type);
	return r;
}

int
credential_read(struct slice section, struct credential_set *set_r,
    struct err *err)
{
	struct unpack u;
	uint32_t n;

	unpack_init(&u, section);
	n = unpack_count(&u, 20);
	set_r->v = base_calloc((size_t)n + 1, sizeof(*set_r->v));
	set_r->n = 0;
	for (uint32_t i = 0; i < n; i++)
		if (read_one(&u, &set_r->v[set_r->n++], err) != 0)
			return -1;
	if (unpack_done(&u))
		return 0;
	err_set(err, "snapshot section credentials is malformed");
	return -1;
}

static bool
serves(const struct credential *c, struct slice connector)
{
	for (size_t i = 0; i < c->nconnectors; i++)
		if (slice_is(connector, c->connectors[i]))
			return true;
	return false;
}

const struct credential *
credential_for(const struct credential_set *set, struct slice name,
    struct slice connector)
{
	for (size_t i = 0; i < set->n; i++)
		if (slice_is(name, set->v[i].name) &&
		    serves(&set->v[i], connector))
			return &set->v[i];
	return NULL;
}

bool
credential_defined(const struct credential_set *set, struct slice name)
{
	for (size_t i = 0; i < set->n; i++)
		if (slice_is(name, set->v[i].name))
			return true;
	return false;
}

bool
credential_first(const struct credential_set *set, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (strcmp(set->v[j].name, set->v[i].name) == 0)
			return false;
	return true;
}

void
credential_pack_value(struct buf *out, const struct credential *c,
    struct slice value)
{
	const char *hole = strstr(c->template, "{}");
	size_t before = (size_t)(hole - c->template), after = strlen(hole + 2);
	struct buf coded;

	buf_init(&coded, 2 * value.n + 8);
	if (c->basic) {
		b64_encode(&coded, value.p, value.n);
		value = buf_slice(&coded);
	}
	pack_u32(out, (uint32_t)(before + value.n + after));
	pack_bytes(out, c->template, before);
	pack_bytes(out, value.p, value.n);
	pack_bytes(out, hole + 2, after);
	buf_wipe_free(&coded);
}
