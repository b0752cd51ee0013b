/* cmd_client - portreeve client config: what an MCP client's own file needs,
 * for a mount or for the proxy; client trust: which clients accept the CA. */
#include "console/setup/setup.h"
#include "console/setup/onramp.h"
#include "console/setup/trustmap.h"

#include "clock.h"
#include "jsonw.h"

enum { OPT_CLIENT = CLI_OPT_OWN, OPT_PROXY, OPT_DIR, OPT_CA, OPT_ADDRESS,
	OPT_SINCE };

static const struct option longs[] = {
	CLI_LONG,
	{ "client", required_argument, NULL, OPT_CLIENT },
	{ "proxy", no_argument, NULL, OPT_PROXY },
	{ "dir", required_argument, NULL, OPT_DIR },
	{ "ca", required_argument, NULL, OPT_CA },
	{ "address", required_argument, NULL, OPT_ADDRESS },
	{ "since", required_argument, NULL, OPT_SINCE },
	{ 0 }
};

static const char usage[] = "config NAME | config --proxy\n"
    "           [--client claude-code|cursor|vscode|gemini|generic]\n"
    "           [--address HOST:PORT] [--dir FOLDER] [--ca FILE]\n"
    "       trust [--since 24h]";

/* servers: the member of a mount's entry; url: its address; token: how the
 * client's file names a secret that is elsewhere. */
static const struct client {
	const char *name, *file, *proxy_file, *servers, *url, *token;
	bool type, asks;
} clients[] = {
	{ "generic", "the client's MCP settings", "an `env` block",
	    "mcpServers", "url", "prt_...", true, false },
	{ "claude-code", ".mcp.json", "~/.claude/settings.json", "mcpServers",
	    "url", "${" ONRAMP_TOKEN "}", true, false },
	{ "cursor", ".cursor/mcp.json", "an stdio server's `env`",
	    "mcpServers", "url", "${env:" ONRAMP_TOKEN "}", false, false },
	{ "vscode", ".vscode/mcp.json", "an stdio server's `env`", "servers",
	    "url", "${input:portreeve-token}", true, true },
	{ "gemini", "~/.gemini/settings.json", "an stdio server's `env`",
	    "mcpServers", "httpUrl", "$" ONRAMP_TOKEN, false, false },
};

struct options {
	struct cli cli;
	const struct client *client;
	const char *dir, *ca, *address;
	bool proxy;
	int64_t since_ms;		/* 0: not given */
	const char *args[2];
	int nargs;
};

static void
write_mount(struct jsonw *w, const struct client *c, const char *name,
    const char *url)
{
	char bearer[128];

	snprintf(bearer, sizeof(bearer), "Bearer %s", c->token);
	jsonw_object(w, NULL);
	if (c->asks) {
		jsonw_array(w, "inputs");
		jsonw_object(w, NULL);
		jsonw_str(w, "type", "promptString");
		jsonw_str(w, "id", "portreeve-token");
		jsonw_str(w, "description", "Portreeve task token (portreeve"
		    " session open)");
		jsonw_bool(w, "password", true);
		jsonw_object_end(w);
		jsonw_array_end(w);
	}
	jsonw_object(w, c->servers);
	jsonw_object(w, name);
	if (c->type)
		jsonw_str(w, "type", "http");
	jsonw_str(w, c->url, url);
	jsonw_object(w, "headers");
	jsonw_str(w, "Authorization", bearer);
	for (int i = 0; i < 4; i++)
		jsonw_object_end(w);
}

static void
write_proxy(struct jsonw *w, const struct onramp *o)
{
	const char *name;
	struct buf value;
	bool has;

	buf_init(&value, 65536);
	jsonw_object(w, NULL);
	jsonw_object(w, "env");
	for (unsigned i = 0; (name = onramp_variable(o, ONRAMP_GENERIC, i,
	    "prt_...", &value, &has)) != NULL; i++)
		if (has)
			jsonw_str(w, name, buf_data(&value));
	jsonw_object_end(w);
	jsonw_object_end(w);
	buf_free(&value);
}

static int
explain(const struct options *o)
{
	const char *token = o->proxy ? "prt_..." : o->client->token;

	fprintf(stderr, "For %s. In place of %s it needs a task token: ",
	    o->proxy ? o->client->proxy_file : o->client->file, token);
	if (o->client->asks && !o->proxy)
		fprintf(stderr, "the client asks for it.");
	else if (token[0] == '$')
		fprintf(stderr, "the client takes it from the variable "
		    ONRAMP_TOKEN " of its environment.");
	else
		fprintf(stderr, "write it there.");
	fprintf(stderr, "\nMint one: portreeve session open --user U --agent A"
	    " --for 8h\n");
	return CLI_OK;
}

static int
mount_config(const struct options *o, const struct onramp *ramp)
{
	const struct connector *c = connector_named(ramp->catalogue,
	    slice_str(o->args[1]));
	char url[512];
	struct jsonw w;
	struct buf b;

	if (c == NULL) {
		cli_error("there is no connector %s; portreeve connector ls"
		    " lists all", o->args[1]);
		return CLI_NOT_FOUND;
	}
	if (c->kind != CONNECTOR_MCP) {
		cli_error(c->kind == CONNECTOR_BUILTIN ? "%s has no mount: its"
		    " harness asks at /v1/gate, with Authorization: Bearer"
		    " TOKEN" : "%s is no MCP server but a REST API; its mount"
		    " is /api/%s, with Authorization: Bearer TOKEN", c->name,
		    c->name);
		return CLI_FAILED;
	}
	if (ramp->mount == NULL && o->address == NULL) {
		cli_error("the configuration has no `mount:` listener; add one"
		    " or use --proxy");
		return CLI_FAILED;
	}
	snprintf(url, sizeof(url), "http://%s/mcp/%s", o->address != NULL ?
	    o->address : ramp->mount, c->name);
	buf_init(&b, 65536);
	jsonw_init(&w, &b);
	write_mount(&w, o->client, c->name, url);
	onramp_print(buf_slice(&b));
	buf_free(&b);
	return explain(o);
}

static int
proxy_config(const struct options *o, struct onramp *ramp)
{
	struct jsonw w;
	struct buf b;
	int rc;

	if (o->address != NULL)
		onramp_set_proxy(ramp, o->address);
	if (o->dir == NULL) {
		cli_error("--proxy needs --dir FOLDER: where the CA files lie"
		    " that the client reads for as long as it is used");
		return CLI_USAGE;
	}
	if (ramp->proxy == NULL) {
		cli_error("the configuration has no `explicit:` listener");
		return CLI_FAILED;
	}
	if ((rc = onramp_files(ramp, o->dir, o->ca)) != CLI_OK)
		return rc;
	buf_init(&b, 1u << 20);
	jsonw_init(&w, &b);
	write_proxy(&w, ramp);
	onramp_print(buf_slice(&b));
	buf_free(&b);
	return explain(o);
}

/* -- trust -- */

#define TRUST_SINCE_MS (24 * 3600000LL)

static void
trust_json(const struct trustmap *m)
{
	char when[CLOCK_RFC3339_LEN];
	struct jsonw w;
	struct buf b;

	buf_init(&b, 16u << 20);
	jsonw_init(&w, &b);
	jsonw_object(&w, NULL);
	jsonw_array(&w, "clients");
	for (size_t i = 0; i < m->n; i++) {
		const struct trustmap_row *r = &m->v[i];

		clock_format(r->last[r->state], when);
		jsonw_object(&w, NULL);
		jsonw_str(&w, "state", trustmap_word(r->state));
		jsonw_str(&w, "user", r->user);
		jsonw_str(&w, "agent", r->agent);
		jsonw_str(&w, "source", r->source);
		jsonw_str(&w, "client", r->client);
		jsonw_str(&w, "ja4", r->ja4);
		jsonw_str(&w, "host", r->host);
		jsonw_str(&w, "last", when);
		jsonw_object(&w, "seen");
		for (unsigned s = 0; s < TRUSTMAP_STATES; s++)
			if (r->seen[s] > 0)
				jsonw_u64(&w, trustmap_word(
				    (enum trustmap_state)s), r->seen[s]);
		jsonw_object_end(&w);
		jsonw_str(&w, "advice", trustmap_advice(r));
		jsonw_object_end(&w);
	}
	jsonw_array_end(&w);
	jsonw_bool(&w, "more", m->full);
	jsonw_object_end(&w);
	onramp_print(buf_slice(&b));
	buf_free(&b);
}

static void
trust_table(const struct trustmap *m)
{
	static const char *const heads[] = { "STATE", "USER", "AGENT", "FROM",
		"CLIENT", "TIMES", "LAST", NULL };
	struct cli_table *t = cli_table_new(heads);

	for (size_t i = 0; i < m->n; i++) {
		const struct trustmap_row *r = &m->v[i];
		char when[CLOCK_RFC3339_LEN], times[24];

		clock_format(r->last[r->state], when);
		snprintf(times, sizeof(times), "%llu",
		    (unsigned long long)r->seen[r->state]);
		cli_table_row(t, (const char *[]){ trustmap_word(r->state),
		    r->user[0] ? r->user : NULL, r->agent[0] ? r->agent : NULL,
		    r->source[0] ? r->source : NULL, r->client[0] ? r->client :
		    r->ja4[0] ? r->ja4 : NULL, times, cli_when(when) });
	}
	cli_table_end(t, "no client was seen");
	for (size_t i = 0; i < m->n; i++) {
		const struct trustmap_row *r = &m->v[i];
		const char *advice = trustmap_advice(r);

		if (advice[0] != '\0')
			printf("%s%s%s %s %s: %s\n", cli_on(stdout,
			    CLI_YELLOW), trustmap_word(r->state),
			    cli_off(stdout), cli_clean(r->agent[0] ?
			    r->agent : r->source), cli_clean(r->client),
			    advice);
	}
	if (m->full)
		fprintf(stderr, "There are more: only %d are shown, give a"
		    " shorter --since.\n", TRUSTMAP_ROWS);
}

static int
trust(const struct options *o, const struct onramp *ramp)
{
	struct err err = { 0 };
	struct trustmap *m = trustmap_load(ramp->conf->state_dir,
	    clock_wall_ms() - (o->since_ms > 0 ? o->since_ms :
	    TRUST_SINCE_MS), &err);

	if (m == NULL) {
		cli_error("%s", err.text);
		return CLI_FAILED;
	}
	if (o->cli.json)
		trust_json(m);
	else
		trust_table(m);
	trustmap_free(m);
	return CLI_OK;
}

static int
set_client(struct options *o, const char *name)
{
	const char *names[ARRAY_LEN(clients)];
	int i;

	for (size_t k = 0; k < ARRAY_LEN(clients); k++)
		names[k] = clients[k].name;
	i = cli_verb("client config --client", name, names,
	    ARRAY_LEN(names));
	if (i >= 0)
		o->client = &clients[i];
	return i;
}

int
cmd_client(int argc, char **argv)
{
	static const char *const verbs[] = { "config", "trust" };
	struct options o = { .client = &clients[0] };
	struct onramp ramp;
	int opt, rc, verb, want;

	cli_init(&o.cli, "client");
	while ((opt = cli_next(argc, argv, longs, o.args, &o.nargs, 2)) >= 0) {
		if (cli_option(&o.cli, opt))
			continue;
		switch (opt) {
		case OPT_CLIENT:
			if (set_client(&o, optarg) < 0)
				return CLI_USAGE;
			break;
		case OPT_PROXY: o.proxy = true; break;
		case OPT_DIR: o.dir = optarg; break;
		case OPT_CA: o.ca = optarg; break;
		case OPT_ADDRESS: o.address = optarg; break;
		case OPT_SINCE:
			if ((o.since_ms = cli_duration("--since",
			    optarg)) < 0)
				return CLI_USAGE;
			break;
		default:
			return cli_usage(&o.cli, usage);
		}
	}
	if (opt == -2 || o.cli.help || o.nargs == 0)
		return cli_usage(&o.cli, usage);
	if ((verb = cli_verb("client", o.args[0], verbs,
	    ARRAY_LEN(verbs))) < 0)
		return CLI_USAGE;
	want = o.proxy || verb == 1 ? 1 : 2;
	if (o.nargs != want)
		return cli_usage(&o.cli, usage);
	if ((rc = onramp_open(&ramp, &o.cli)) == CLI_OK)
		rc = verb == 1 ? trust(&o, &ramp) : o.proxy ?
		    proxy_config(&o, &ramp) : mount_config(&o, &ramp);
	onramp_close(&ramp);
	return rc;
}
