/* params - see params.h. */
#include "params.h"

#include <stdlib.h>

#include "utf8.h"

struct param {
	struct slice name, value;
	bool done;
};

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static size_t
unescape(struct slice s, bool plus, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '%' && s.n - i > 2 && hex(s.p[i + 1]) >= 0 &&
		    hex(s.p[i + 2]) >= 0) {
			c = (char)(hex(s.p[i + 1]) << 4 | hex(s.p[i + 2]));
			i += 2;
		} else if (c == '+' && plus) {
			c = ' ';
		}
		out[n++] = c;
	}
	return n;
}

/* Two names that JSON would write alike must be alike here too, so what is no
 * UTF-8 is replaced before names are compared. Appended to all. */
static struct slice
decode(struct slice s, bool plus, char *tmp, char **all)
{
	size_t n = unescape(s, plus, tmp), i = 0;
	char *from = *all;

	while (i < n) {
		unsigned len = utf8_len(tmp + i, n - i);

		if (len == 0) {
			*all += utf8_encode(0xFFFD, *all);
			i++;
			continue;
		}
		memcpy(*all, tmp + i, len);
		*all += len;
		i += len;
	}
	return slice_make(from, (size_t)(*all - from));
}

void
params_write_path(struct jsonw *w, const char *template, struct slice path)
{
	struct slice t = slice_str(template);
	char *tmp = base_calloc(1, path.n + 1);
	char *all = base_calloc(3, path.n + 1), *end = all;

	jsonw_object(w, "path");
	while (t.p != NULL && path.p != NULL) {
		struct slice a = slice_cut(&t, '/'), b = slice_cut(&path, '/');

		if (a.n > 2 && a.p[0] == '{' && a.p[a.n - 1] == '}')
			jsonw_string_at(w, slice_sub(a, 1, a.n - 2),
			    decode(b, false, tmp, &end));
	}
	jsonw_object_end(w);
	free(tmp);
	free(all);
}

static void
write_param(struct jsonw *w, struct param *v, size_t n, size_t at)
{
	struct slice none = slice_make(NULL, 0);
	bool several = false;

	for (size_t i = at + 1; i < n && !several; i++)
		several = slice_eq(v[i].name, v[at].name);
	if (!several) {
		jsonw_string_at(w, v[at].name, v[at].value);
		return;
	}
	jsonw_open(w, v[at].name, '[');
	for (size_t i = at; i < n; i++) {
		if (!slice_eq(v[i].name, v[at].name))
			continue;
		jsonw_string_at(w, none, v[i].value);
		v[i].done = true;
	}
	jsonw_close(w, ']');
}

int
params_write_query(struct jsonw *w, struct slice query)
{
	struct param *v;
	size_t n = 0, most = 1;
	char *tmp, *all, *end;

	for (size_t i = 0; i < query.n; i++)
		most += query.p[i] == '&';
	if (most > PARAMS_MAX)
		return -1;
	v = base_calloc(most, sizeof(*v));
	tmp = base_calloc(1, query.n + 1);
	end = all = base_calloc(3, query.n + 1);
	while (query.p != NULL) {
		struct slice value = slice_cut(&query, '&');
		struct slice name = slice_cut(&value, '=');

		if (name.n == 0 && value.n == 0)
			continue;
		v[n].name = decode(name, true, tmp, &end);
		v[n++].value = decode(value, true, tmp, &end);
	}
	jsonw_object(w, "query");
	for (size_t i = 0; i < n; i++)
		if (!v[i].done)
			write_param(w, v, n, i);
	jsonw_object_end(w);
	free(v);
	free(tmp);
	free(all);
	return 0;
}

bool
params_has(struct slice query, const char *name)
{
	size_t want = strlen(name);
	char *tmp = base_calloc(1, query.n + 1);
	bool found = false;

	while (query.p != NULL && !found) {
		struct slice value = slice_cut(&query, '&');
		struct slice key = slice_cut(&value, '=');
		size_t n = unescape(key, true, tmp), from = 0;

		while (from < n && tmp[from] == ' ')
			from++;
		for (size_t i = from; i < n; i++) {
			if (tmp[i] == '[' || tmp[i] == '\0')
				n = i;
			else if (tmp[i] == '.' || tmp[i] == ' ')
				tmp[i] = '_';
		}
		found = n - from == want && memcmp(tmp + from, name, want) == 0;
	}
	free(tmp);
	return found;
}
