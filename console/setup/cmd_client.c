/* cmd_client - portreeve client config: what an MCP client's own file needs,
 * for a mount or for the proxy. */
#include "console/setup/setup.h"
#include "console/setup/onramp.h"

#include "jsonw.h"

enum { OPT_CLIENT = CLI_OPT_OWN, OPT_PROXY, OPT_DIR, OPT_CA, OPT_ADDRESS };

static const struct option longs[] = {
	CLI_LONG,
	{ "client", required_argument, NULL, OPT_CLIENT },
	{ "proxy", no_argument, NULL, OPT_PROXY },
	{ "dir", required_argument, NULL, OPT_DIR },
	{ "ca", required_argument, NULL, OPT_CA },
	{ "address", required_argument, NULL, OPT_ADDRESS },
	{ 0 }
};

static const char usage[] = "config NAME | config --proxy\n"
    "           [--client claude-code|cursor|vscode|gemini|generic]\n"
    "           [--address HOST:PORT] [--dir FOLDER] [--ca FILE]";

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
	static const char *const verbs[] = { "config" };
	struct options o = { .client = &clients[0] };
	struct onramp ramp;
	int opt, rc;

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
		default:
			return cli_usage(&o.cli, usage);
		}
	}
	if (opt == -2 || o.cli.help || o.nargs != (o.proxy ? 1 : 2))
		return cli_usage(&o.cli, usage);
	if (cli_verb("client", o.args[0], verbs, ARRAY_LEN(verbs)) < 0)
		return CLI_USAGE;
	if ((rc = onramp_open(&ramp, &o.cli)) == CLI_OK)
		rc = o.proxy ? proxy_config(&o, &ramp) :
		    mount_config(&o, &ramp);
	onramp_close(&ramp);
	return rc;
}
