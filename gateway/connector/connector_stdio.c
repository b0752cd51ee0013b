/* connector_stdio - see connector_stdio.h. */
#include "connector_stdio.h"

#include "connector_words.h"

#define WORDS_MAX 256

static int
read_words(const struct yaml_doc *d, const struct yaml_node *root,
    const char *key, bool paths, struct connector_words *w, struct err *err)
{
	const struct yaml_node *list = yaml_get(root, key);

	w->v = base_calloc(WORDS_MAX + 1, sizeof(*w->v));
	if (list != NULL && (list->type != YAML_SEQ || list->n > WORDS_MAX)) {
		yaml_err(d, list, err, "%s: must be a list of at most %d",
		    key, WORDS_MAX);
		return -1;
	}
	for (size_t i = 0; list != NULL && i < list->n; i++) {
		if (list->items[i]->type != YAML_SCALAR) {
			yaml_err(d, list->items[i], err,
			    "%s: must be a list of plain values", key);
			return -1;
		}
		if (paths && list->items[i]->text[0] != '/') {
			yaml_err(d, list->items[i], err,
			    "%s: must be absolute paths", key);
			return -1;
		}
		w->v[w->n++] = base_strdup(list->items[i]->text);
	}
	return 0;
}

static bool
digest_ok(const char *s)
{
	return strncmp(s, "sha256:", 7) == 0 && strlen(s) == 7 + 64 &&
	    strspn(s + 7, "0123456789abcdef") == 64;
}

/* Never a name that would change what the executable itself does, or that a
 * cloud's tools take credentials from. */
static int
check_env(const struct yaml_doc *d, const struct yaml_node *root,
    const struct connector_words *env, struct err *err)
{
	for (size_t i = 0; i < env->n; i++) {
		struct slice name = slice_str(env->v[i]);

		if (name.n == 0 || slice_chr(name, '=') >= 0 ||
		    slice_starts(name, "LD_") || slice_starts(name, "AWS_") ||
		    slice_starts(name, "PORTREEVE_")) {
			yaml_err(d, yaml_get(root, "env")->items[i], err,
			    "env: %s is not passed on", env->v[i]);
			return -1;
		}
	}
	return 0;
}

int
connector_stdio_read(const struct yaml_doc *d, const struct yaml_node *root,
    struct connector_stdio *s, struct err *err)
{
	static const char *const networks[] = { "off", "host" };
	static const char *const others[] = { "url", "hosts", "pin", "ca",
		"credential", "upstream_proxy", "media", "operations", "graphql",
		"http2", "websocket" };
	int network = 0;

	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (yaml_get(root, others[i]) != NULL) {
			yaml_err(d, yaml_get(root, others[i]), err,
			    "%s: a connector of kind stdio has none",
			    others[i]);
			return -1;
		}
	s->digest = base_strdup("");
	s->directory = base_strdup("");
	if (yaml_get_str(d, root, "digest", &s->digest, err) != 0 ||
	    yaml_get_str(d, root, "directory", &s->directory, err) != 0 ||
	    yaml_get_enum(d, root, "network", networks, 2, &network,
	    err) != 0 ||
	    read_words(d, root, "command", false, &s->command, err) != 0 ||
	    read_words(d, root, "read", true, &s->read, err) != 0 ||
	    read_words(d, root, "allow", true, &s->allow, err) != 0 ||
	    read_words(d, root, "env", false, &s->env, err) != 0)
		return -1;
	s->network = network == 1;
	if (s->command.n == 0 || !digest_ok(s->digest)) {
		yaml_err(d, root, err, "a connector of kind stdio needs "
		    "command: and digest: sha256:..., as printed by: "
		    "portreeve stdio --pin NAME -- COMMAND");
		return -1;
	}
	if (s->directory[0] != '\0' && s->directory[0] != '/') {
		yaml_err(d, yaml_get(root, "directory"), err,
		    "directory: must be an absolute path");
		return -1;
	}
	return check_env(d, root, &s->env, err);
}

int
connector_stdio_none(const struct yaml_doc *d, const struct yaml_node *root,
    struct err *err)
{
	static const char *const own[] = { "command", "digest", "directory",
		"read", "allow", "env", "network" };

	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		if (yaml_get(root, own[i]) != NULL) {
			yaml_err(d, yaml_get(root, own[i]), err,
			    "%s: is for connectors of kind stdio", own[i]);
			return -1;
		}
	return 0;
}

void
connector_stdio_pack(struct buf *b, const struct connector_stdio *s)
{
	pack_u8(b, s != NULL);
	if (s == NULL)
		return;
	pack_str(b, s->digest);
	pack_str(b, s->directory);
	pack_u8(b, s->network);
	connector_words_pack(b, &s->command);
	connector_words_pack(b, &s->read);
	connector_words_pack(b, &s->allow);
	connector_words_pack(b, &s->env);
}
