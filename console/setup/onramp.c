/* onramp - see onramp.h. */
#include "console/setup/onramp.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "addr.h"
#include "console/setup/truststore.h"
#include "file.h"
#include "redact.h"

#define DEFAULT_CONFIG "/etc/portreeve/portreeve.yaml"
#define SYSTEM_CAS "/etc/ssl/certs/ca-certificates.crt"
#define PEM_MAX (8u << 20)
#define LOOPBACK "localhost,127.0.0.1,::1"

static const struct {
	const char *name, *note;
} runtimes[] = {
#define RUNTIME(sym, program, note) { program, note },
#include "console/setup/runtimes.def"
#undef RUNTIME
};

#define ON(sym) (1u << ONRAMP_##sym)
static const struct {
	const char *name;
	enum onramp_value value;
	unsigned runtimes;
} variables[] = {
#define VARIABLE(name, value, runtimes) { name, value, runtimes },
#include "console/setup/runtimes.def"
#undef VARIABLE
};
#undef ON

/* -- configuration and catalogue -- */

static void
warn_nothing(void *ctx, const char *text)
{
	(void)ctx;
	(void)text;	/* `portreeve check` is the place for warnings */
}

static struct connector_set *
load_catalogue(const struct conf *c, struct err *err)
{
	struct connector_set *set = NULL;
	struct redact *rules = NULL;
	struct snap *snap = NULL;
	struct snap_writer w;
	struct buf pack;
	char dir[4096];
	int fd;

	snprintf(dir, sizeof(dir), "%s/redaction", c->rules_dir);
	snap_writer_init(&w);
	buf_init(&pack, 32u << 20);
	if (redact_compile(dir, &pack, err) == 0 &&
	    (rules = redact_load(buf_slice(&pack), err)) != NULL &&
	    connector_compile(c, rules, &w, warn_nothing, NULL, err) == 0 &&
	    (fd = snap_seal(&w, err)) >= 0 &&
	    (snap = snap_open(fd, err)) != NULL)
		set = connector_load(snap);
	snap_close(snap);
	snap_writer_free(&w);
	redact_free(rules);
	buf_free(&pack);
	return set;
}

/* A listener on every address is reached on the loopback. */
static char *
reach(const char *listener)
{
	char out[ADDR_TEXT_MAX];
	struct slice host;
	struct addr a;
	uint16_t port;

	if (!addr_split_hostport(slice_str(listener), 0, &host, &port) ||
	    !addr_parse_ip(host, &a))
		return base_strdup(listener);
	if (addr_classify(&a) == ADDR_UNSPECIFIED && !addr_parse_ip(
	    a.family == 4 ? SLICE("127.0.0.1") : SLICE("::1"), &a))
		return base_strdup(listener);
	a.port = port;
	addr_format(&a, out);
	return base_strdup(out);
}

/* Names below localhost too: "localhost" in NO_PROXY means them as well. */
static bool
is_loopback(const char *host)
{
	struct addr a;

	return slice_is(slice_str(host), "localhost") ||
	    slice_ends(slice_str(host), ".localhost") ||
	    (addr_parse_ip(slice_str(host), &a) &&
	    addr_classify(&a) == ADDR_LOOPBACK);
}

/* What is on the loopback needs no proxy, unless the catalogue has it. */
static const char *
default_no_proxy(const struct connector_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		for (size_t k = 0; k < set->v[i].nhosts; k++)
			if (is_loopback(set->v[i].hosts[k].host))
				return "";
	return LOOPBACK;
}

int
onramp_open(struct onramp *o, const struct cli *cli)
{
	const char *file = cli->config != NULL ? cli->config : DEFAULT_CONFIG;
	struct err err = { 0 };

	memset(o, 0, sizeof(*o));
	o->conf = conf_load(file, warn_nothing, NULL, &err);
	if (o->conf != NULL)
		o->catalogue = load_catalogue(o->conf, &err);
	if (o->catalogue == NULL) {
		cli_error("%s", err.text);
		return CLI_FAILED;
	}
	for (size_t i = o->conf->nlisteners; i-- > 0;) {
		const struct conf_listener *l = &o->conf->listeners[i];
		char **at = l->kind == CONF_MOUNT ? &o->mount :
		    l->kind == CONF_EXPLICIT ? &o->proxy : NULL;

		if (at == NULL)
			continue;
		free(*at);
		*at = reach(l->address);
	}
	o->no_proxy = base_strdup(default_no_proxy(o->catalogue));
	return CLI_OK;
}

void
onramp_close(struct onramp *o)
{
	connector_set_free(o->catalogue);
	conf_free(o->conf);
	free(o->proxy);
	free(o->mount);
	free(o->no_proxy);
	free(o->ca);
	free(o->bundle);
	free(o->store);
}

void
onramp_set_proxy(struct onramp *o, const char *address)
{
	free(o->proxy);
	o->proxy = base_strdup(address);
}

void
onramp_set_no_proxy(struct onramp *o, const char *list)
{
	free(o->no_proxy);
	o->no_proxy = base_strdup(list);
}

/* -- files -- */

static int
write_file(const char *path, struct slice bytes)
{
	char tmp[4200];
	FILE *f;
	bool good;

	snprintf(tmp, sizeof(tmp), "%s.new", path);
	unlink(tmp);
	f = fopen(tmp, "wxe");
	good = f != NULL && fwrite(bytes.p, 1, bytes.n, f) == bytes.n;
	if (f != NULL)
		good = fclose(f) == 0 && good;
	if (good && chmod(tmp, 0644) == 0 && rename(tmp, path) == 0)
		return CLI_OK;
	cli_error("%s: %s", path, strerror(errno));
	return CLI_FAILED;
}

static int
read_ca(const struct onramp *o, const char *ca, struct buf *pem)
{
	struct err err = { 0 };
	char path[4096];

	snprintf(path, sizeof(path), "%s/keeper/ca.pem", o->conf->state_dir);
	if (file_read(ca != NULL ? ca : path, pem, &err) == 0)
		return CLI_OK;
	cli_error("%s\nThe gateway makes it when it first starts. Who may not"
	    " read the state folder takes it from http://%s/portreeve/ca.pem"
	    " and names it with --ca FILE", err.text,
	    o->proxy != NULL ? o->proxy : "PROXY");
	return CLI_FAILED;
}

static int
make_dir(const char *dir)
{
	if (strpbrk(dir, " \t\n'\"\\") != NULL) {
		cli_error("--dir %s: Java's options cannot name a path with"
		    " spaces, quotes or backslashes", dir);
		return CLI_USAGE;
	}
	if (mkdir(dir, 0700) == 0 || errno == EEXIST)
		return CLI_OK;
	cli_error("%s: %s", dir, strerror(errno));
	return CLI_FAILED;
}

static char *
path_in(const char *dir, const char *name)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return base_strdup(path);
}

int
onramp_files(struct onramp *o, const char *dir, const char *ca)
{
	struct buf own, all, store;
	struct err err = { 0 };
	int rc;

	buf_init(&own, PEM_MAX);
	buf_init(&all, 2 * PEM_MAX);
	buf_init(&store, 2 * PEM_MAX);
	if ((rc = read_ca(o, ca, &own)) != CLI_OK ||
	    (rc = make_dir(dir)) != CLI_OK)
		goto out;
	/* A machine without roots of its own trusts ours alone. */
	if (file_read(SYSTEM_CAS, &all, &err) != 0)
		buf_reset(&all);
	buf_add_char(&all, '\n');
	buf_add_slice(&all, buf_slice(&own));
	err = (struct err){ 0 };
	if (truststore_make(buf_slice(&all), &store, &err) != 0) {
		cli_error("%s", err.text);
		rc = CLI_FAILED;
		goto out;
	}
	o->ca = path_in(dir, "ca.pem");
	o->bundle = path_in(dir, "ca-bundle.pem");
	o->store = path_in(dir, "truststore.p12");
	if ((rc = write_file(o->ca, buf_slice(&own))) == CLI_OK &&
	    (rc = write_file(o->bundle, buf_slice(&all))) == CLI_OK)
		rc = write_file(o->store, buf_slice(&store));
out:
	buf_free(&own);
	buf_free(&all);
	buf_free(&store);
	return rc;
}

void
onramp_files_remove(const struct onramp *o)
{
	const char *const paths[] = { o->ca, o->bundle, o->store };

	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		if (paths[i] != NULL && unlink(paths[i]) != 0 &&
		    errno != ENOENT)
			cli_error("%s: %s", paths[i], strerror(errno));
}

/* -- variables -- */

const char *
onramp_name(enum onramp_runtime r)
{
	return runtimes[r].name;
}

const char *
onramp_note(enum onramp_runtime r)
{
	return runtimes[r].note;
}

int
onramp_named(const char *name)
{
	const char *names[ONRAMP_RUNTIMES];

	for (size_t i = 0; i < ONRAMP_RUNTIMES; i++)
		names[i] = runtimes[i].name;
	return cli_verb("proxy env --for", name, names, ONRAMP_RUNTIMES);
}

/* Java's separator is |, and it wants brackets around an IPv6 address. */
static void
java_options(const struct onramp *o, struct buf *b)
{
	struct slice host = { 0 }, rest = slice_str(o->no_proxy), one;
	uint16_t port = 0;

	if (!addr_split_hostport(slice_str(o->proxy), 0, &host, &port))
		host = slice_str(o->proxy);
	buf_addf(b, "-Dhttp.proxyHost=%.*s -Dhttp.proxyPort=%u "
	    "-Dhttps.proxyHost=%.*s -Dhttps.proxyPort=%u "
	    "-Djdk.http.auth.tunneling.disabledSchemes= "
	    "-Dhttp.nonProxyHosts=", SLICE_FMT(host), port, SLICE_FMT(host),
	    port);
	for (bool first = true; rest.n > 0; first = false) {
		bool v6;

		one = slice_cut(&rest, ',');
		v6 = slice_chr(one, ':') >= 0;
		buf_addf(b, "%s%s%.*s%s", first ? "" : "|", v6 ? "[" : "",
		    SLICE_FMT(one), v6 ? "]" : "");
	}
	buf_addf(b, " -Djavax.net.ssl.trustStore=%s "
	    "-Djavax.net.ssl.trustStoreType=PKCS12 "
	    "-Djavax.net.ssl.trustStorePassword=" TRUSTSTORE_PASSWORD,
	    o->store);
}

const char *
onramp_variable(const struct onramp *o, enum onramp_runtime r, unsigned i,
    const char *token, struct buf *value_r, bool *has_r)
{
	if (i >= ARRAY_LEN(variables))
		return NULL;
	*has_r = (variables[i].runtimes & (1u << r)) != 0;
	if (!*has_r)
		return variables[i].name;
	buf_reset(value_r);
	switch (variables[i].value) {
	case VALUE_PROXY:
		buf_addf(value_r, "http://agent:%s@%s", token, o->proxy);
		break;
	case VALUE_NO_PROXY:
		buf_add_str(value_r, o->no_proxy);
		break;
	case VALUE_BUNDLE:
		buf_add_str(value_r, o->bundle);
		break;
	case VALUE_CA:
		buf_add_str(value_r, o->ca);
		break;
	case VALUE_ONE:
		buf_add_char(value_r, '1');
		break;
	case VALUE_JAVA:
		java_options(o, value_r);
		break;
	}
	buf_add_char(value_r, '\0');
	return variables[i].name;
}

/* -- JSON for files of other programs -- */

void
onramp_print(struct slice json)
{
	bool quoted = false;
	unsigned depth = 0;

	for (size_t i = 0; i < json.n; i++) {
		char c = json.p[i], next = i + 1 < json.n ? json.p[i + 1] : 0;

		if (c == '"')
			quoted = !quoted;
		if (quoted && c == '\\') {	/* an escape, whole */
			putchar(c);
			putchar(next);
			i++;
			continue;
		}
		if (!quoted && (c == '}' || c == ']'))
			printf("\n%*s", (int)(2 * --depth), "");
		putchar(c);
		if (quoted)
			continue;
		if (c == '{' || c == '[')
			printf("\n%*s", (int)(2 * ++depth), "");
		else if (c == ',')
			printf("\n%*s", (int)(2 * depth), "");
		else if (c == ':')
			putchar(' ');
	}
	putchar('\n');
}
