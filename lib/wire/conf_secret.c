/*
 * conf_secret - finds secrets that were written into an operator's file, by
 * the names of their keys. Must never repeat the value it found.
 */
#include "conf.h"
#include "yaml.h"

/* "X-Api-Key" holds an api_key, "db_password" a password. */
static bool
is_secret_key(const char *key)
{
	static const char *const words[] = { "password", "passwd", "pwd",
		"passphrase", "token", "secret", "api_key", "apikey",
		"access_key", "secret_key", "private_key", "bearer",
		"authorization", "credentials" };
	char flat[64];
	size_t n = 0;

	for (; key[n] != '\0' && n + 1 < sizeof(flat); n++)
		flat[n] = key[n] == '-' || key[n] == '.' || key[n] == ' ' ?
		    '_' : (char)(key[n] | (key[n] >= 'A' && key[n] <= 'Z' ?
		    0x20 : 0));
	flat[n] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		size_t w = strlen(words[i]);

		if (n >= w && memcmp(flat + n - w, words[i], w) == 0 &&
		    (n == w || flat[n - w - 1] == '_'))
			return true;
	}
	return false;
}

/* As deep as yaml's own limit. */
static int
refuse_secrets(const struct yaml_doc *d, const struct yaml_node *v,
    struct err *err)
{
	for (size_t i = 0; i < v->n; i++) {
		if (v->type == YAML_MAP &&
		    v->items[i]->type == YAML_SCALAR &&
		    is_secret_key(v->keys[i]->text)) {
			yaml_err(d, v->keys[i], err, "`%.64s`: a secret does "
			    "not belong in a file; store it with `portreeve "
			    "credential set NAME` and give that NAME here",
			    v->keys[i]->text);
			return -1;
		}
		if (refuse_secrets(d, v->items[i], err) != 0)
			return -1;
	}
	return 0;
}

int
conf_refuse_secrets(const struct yaml_doc *d, struct err *err)
{
	for (size_t i = 0; i < d->n; i++)
		if (refuse_secrets(d, d->roots[i], err) != 0)
			return -1;
	return 0;
}
