/* conf_rules - see conf_rules.h. */
#include "conf_rules.h"

#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "yaml.h"

#define CONF_RULES_INSTALLED "/usr/share/portreeve/rules"

static bool
has_detection(const char *rules)
{
	char *path = file_resolve(rules, "detection");
	struct stat st;
	bool yes = stat(path, &st) == 0 && S_ISDIR(st.st_mode);

	free(path);
	return yes;
}

/* Beside a program in build/KIND/, the tree's own rules. */
static char *
rules_of_tree(void)
{
	char exe[PATH_MAX], *folder, *rel, *full;
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (n <= 0)
		return NULL;
	exe[n] = '\0';
	folder = file_folder(exe);
	rel = file_resolve(folder, "../../rules");
	full = realpath(rel, NULL);
	free(folder);
	free(rel);
	if (full != NULL && has_detection(full))
		return full;
	free(full);
	return NULL;
}

char *
conf_rules_default(bool look)
{
	const char *env = look ? getenv("PORTREEVE_RULES") : NULL;
	char *found;

	if (env != NULL && env[0] != '\0') {
		found = realpath(env, NULL);
		return found != NULL ? found : base_strdup(env);
	}
	found = look ? rules_of_tree() : NULL;
	return found != NULL ? found : base_strdup(CONF_RULES_INSTALLED);
}

static bool
asks_hours(const struct yaml_node *v)
{
	const struct yaml_node *asked = yaml_get(v, "off_hours");

	if (asked != NULL && asked->type == YAML_SCALAR &&
	    strcmp(asked->text, "true") == 0)
		return true;
	for (size_t i = 0; i < v->n; i++)
		if (asks_hours(v->items[i]))
			return true;
	return false;
}

static bool
file_asks_hours(const char *dir, const char *name)
{
	struct slice s = slice_str(name);
	struct yaml_doc *d;
	bool asks = false;
	char *path;

	if (name[0] == '.' ||
	    (!slice_ends(s, ".yml") && !slice_ends(s, ".yaml")))
		return false;
	path = file_resolve(dir, name);
	d = yaml_load(path, true, NULL);
	for (size_t i = 0; d != NULL && i < d->n; i++)
		asks = asks || asks_hours(d->roots[i]);
	yaml_free(d);
	free(path);
	return asks;
}

bool
conf_rules_ask_hours(const char *rules_dir)
{
	char *path = file_resolve(rules_dir, "detection");
	DIR *dir = opendir(path);
	struct dirent *e;
	bool asks = false;

	while (dir != NULL && !asks && (e = readdir(dir)) != NULL)
		asks = file_asks_hours(path, e->d_name);
	if (dir != NULL)
		closedir(dir);
	free(path);
	return asks;
}
