/* connector_builtin - see connector_builtin.h. */
#include "connector_builtin.h"

#include <stdlib.h>

#include "connector_words.h"
#include "gateask.h"

#define WORDS_MAX 64
#define RAISES_MAX 256

/* --- YAML -------------------------------------------------------------------- */

static int
read_words(const struct yaml_doc *d, const struct yaml_node *context,
    const char *key, struct connector_words *w, struct err *err)
{
	const struct yaml_node *list = yaml_get(context, key);

	if (list == NULL)
		return 0;
	if (list->type != YAML_SEQ || list->n > WORDS_MAX) {
		yaml_err(d, list, err, "context.%s: must be a list of at most "
		    "%d words", key, WORDS_MAX);
		return -1;
	}
	w->v = base_calloc(list->n + 1, sizeof(*w->v));
	for (size_t i = 0; i < list->n; i++) {
		const struct yaml_node *n = list->items[i];

		if (n->type != YAML_SCALAR || !gateask_word_ok(slice_make(
		    n->text, n->len))) {
			yaml_err(d, n, err, "context.%s: must be words of "
			    "a-z, 0-9, '_', '.' and '-', at most %d bytes",
			    key, GATEASK_WORD_MAX);
			return -1;
		}
		w->v[w->n++] = base_strdup(n->text);
	}
	return 0;
}

static bool
declared(const struct connector_words *w, struct slice word)
{
	for (size_t i = 0; i < w->n; i++)
		if (slice_is(word, w->v[i]))
			return true;
	return false;
}

static int
check_raise(const struct yaml_doc *d, const struct yaml_node *n,
    const struct connector *c, const struct connector_raise *r,
    struct err *err)
{
	const struct connector_builtin *v = c->builtin;

	if (r->to == CONF_UNKNOWN || r->to == CONF_READ_ONLY ||
	    (r->device_class[0] == '\0' && r->environment[0] == '\0'))
		yaml_err(d, n, err, "raise: needs `to: moderate` or `to: "
		    "dangerous`, and device_class or environment");
	else if (r->device_class[0] != '\0' && !declared(&v->device_classes,
	    slice_str(r->device_class)))
		yaml_err(d, n, err, "raise: %s is not in context.device_class",
		    r->device_class);
	else if (r->environment[0] != '\0' && !declared(&v->environments,
	    slice_str(r->environment)))
		yaml_err(d, n, err, "raise: %s is not in context.environment",
		    r->environment);
	else if (r->tool[0] != '\0' && connector_tool(c,
	    slice_str(r->tool)) == NULL)
		yaml_err(d, n, err, "raise: %s is not in tools", r->tool);
	else
		return 0;
	return -1;
}

static int
read_raise(const struct yaml_doc *d, const struct yaml_node *n,
    const struct connector *c, struct connector_raise *r, struct err *err)
{
	static const char *const names[] = { "device_class", "environment",
		"tool", "to" };
	int to = CONF_UNKNOWN;

	r->device_class = base_strdup("");
	r->environment = base_strdup("");
	r->tool = base_strdup("");
	if (yaml_check_keys(d, n, names, ARRAY_LEN(names), err) != 0 ||
	    yaml_get_str(d, n, "device_class", &r->device_class, err) != 0 ||
	    yaml_get_str(d, n, "environment", &r->environment, err) != 0 ||
	    yaml_get_str(d, n, "tool", &r->tool, err) != 0 ||
	    yaml_get_enum(d, n, "to", conf_class_names, CONF_CLASSES, &to,
	    err) != 0)
		return -1;
	r->to = (enum conf_class)to;
	return check_raise(d, n, c, r, err);
}

static int
read_raises(const struct yaml_doc *d, const struct yaml_node *root,
    struct connector *c, struct err *err)
{
	const struct yaml_node *list = yaml_get(root, "raise");
	struct connector_builtin *v = c->builtin;

	if (list == NULL)
		return 0;
	if (list->type != YAML_SEQ || list->n > RAISES_MAX) {
		yaml_err(d, list, err, "raise: must be a list of at most %d",
		    RAISES_MAX);
		return -1;
	}
	v->raises = base_calloc(list->n + 1, sizeof(*v->raises));
	for (size_t i = 0; i < list->n; i++)
		if (read_raise(d, list->items[i], c, &v->raises[v->nraises++],
		    err) != 0)
			return -1;
	return 0;
}

/* A name that no call can have would never be the one that is meant. */
static int
check_tools(const struct yaml_doc *d, const struct yaml_node *root,
    const struct connector *c, struct err *err)
{
	for (size_t i = 0; i < c->ntools; i++)
		if (!gateask_tool_ok(slice_str(c->tools[i].name))) {
			yaml_err(d, yaml_get(root, "tools"), err, "tools: %s: "
			    "a built-in tool's name is letters, digits and "
			    "'_.:/-', at most %d bytes", c->tools[i].name,
			    GATEASK_TOOL_MAX);
			return -1;
		}
	return 0;
}

static int
has_none(const struct yaml_doc *d, const struct yaml_node *root,
    const char *const *names, size_t n, const char *why, struct err *err)
{
	for (size_t i = 0; i < n; i++)
		if (yaml_get(root, names[i]) != NULL) {
			yaml_err(d, yaml_get(root, names[i]), err, "%s: %s",
			    names[i], why);
			return -1;
		}
	return 0;
}

int
connector_builtin_read(const struct yaml_doc *d, const struct yaml_node *root,
    struct connector *c, struct err *err)
{
	static const char *const others[] = { "url", "hosts", "pin", "ca",
		"credential", "upstream_proxy", "media", "operations",
		"graphql", "server_requests", "tools_cache", "deferred",
		"http2", "websocket" };
	static const char *const own[] = { "context", "raise" };
	static const char *const words[] = { "device_class", "environment" };
	const struct yaml_node *context = yaml_get(root, "context");

	if (c->builtin == NULL)
		return has_none(d, root, own, ARRAY_LEN(own),
		    "is for connectors of kind builtin", err);
	if (has_none(d, root, others, ARRAY_LEN(others),
	    "a connector of kind builtin has none", err) != 0)
		return -1;
	/* Nothing goes out, not through a proxy either. */
	c->via.host[0] = c->via.credential[0] = '\0';
	if (context != NULL && (yaml_check_keys(d, context, words,
	    ARRAY_LEN(words), err) != 0 ||
	    read_words(d, context, "device_class",
	    &c->builtin->device_classes, err) != 0 ||
	    read_words(d, context, "environment",
	    &c->builtin->environments, err) != 0))
		return -1;
	if (check_tools(d, root, c, err) != 0)
		return -1;
	return read_raises(d, root, c, err);
}

/* --- the packed form --------------------------------------------------------- */

void
connector_builtin_pack(struct buf *b, const struct connector_builtin *v)
{
	pack_u8(b, v != NULL);
	if (v == NULL)
		return;
	connector_words_pack(b, &v->device_classes);
	connector_words_pack(b, &v->environments);
	pack_u32(b, (uint32_t)v->nraises);
	for (size_t i = 0; i < v->nraises; i++) {
		pack_str(b, v->raises[i].device_class);
		pack_str(b, v->raises[i].environment);
		pack_str(b, v->raises[i].tool);
		pack_u8(b, (uint8_t)v->raises[i].to);
	}
}

struct connector_builtin *
connector_builtin_unpack(struct unpack *u)
{
	struct connector_builtin *v;
	uint32_t n;

	if (unpack_u8(u) == 0)
		return NULL;
	v = base_calloc(1, sizeof(*v));
	connector_words_unpack(u, &v->device_classes);
	connector_words_unpack(u, &v->environments);
	n = unpack_count(u, 13);
	v->raises = base_calloc(n + 1, sizeof(*v->raises));
	for (; v->nraises < n; v->nraises++) {
		struct connector_raise *r = &v->raises[v->nraises];
		unsigned to;

		r->device_class = unpack_strdup(u);
		r->environment = unpack_strdup(u);
		r->tool = unpack_strdup(u);
		to = unpack_u8(u);
		if (to >= CONF_CLASSES)
			u->bad = true;
		else
			r->to = (enum conf_class)to;
	}
	return v;
}

void
connector_builtin_free(struct connector_builtin *v)
{
	if (v == NULL)
		return;
	connector_words_free(&v->device_classes);
	connector_words_free(&v->environments);
	for (size_t i = 0; i < v->nraises; i++) {
		free(v->raises[i].device_class);
		free(v->raises[i].environment);
		free(v->raises[i].tool);
	}
	free(v->raises);
	free(v);
}

/* --- judging ------------------------------------------------------------------- */

/* Said where words are declared, and only then. */
static bool
word_bad(const struct connector_words *w, struct slice word)
{
	return w->n == 0 ? word.n > 0 : !declared(w, word);
}

const char *
connector_context_bad(const struct connector_builtin *v,
    struct slice device_class, struct slice environment)
{
	if (word_bad(&v->device_classes, device_class))
		return "device_class";
	return word_bad(&v->environments, environment) ? "environment" : NULL;
}

static bool
fits(const char *want, struct slice got)
{
	return want[0] == '\0' || slice_is(got, want);
}

enum conf_class
connector_raised(const struct connector_builtin *v, struct slice tool,
    struct slice device_class, struct slice environment,
    enum conf_class klass)
{
	for (size_t i = 0; i < v->nraises; i++) {
		const struct connector_raise *r = &v->raises[i];

		/* enum conf_class is from strict to mild */
		if (r->to < klass && fits(r->tool, tool) &&
		    fits(r->device_class, device_class) &&
		    fits(r->environment, environment))
			klass = r->to;
	}
	return klass;
}
