/* cmd_proxy - portreeve proxy env|pac|nft: the lines that bring a runtime's
 * calls through the proxy, the file that does it for browsers and their kin,
 * and the firewall's table that does it for whoever asks nobody. */
#include "console/setup/setup.h"
#include "console/setup/nft.h"
#include "console/setup/onramp.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "jsonw.h"
#include "pac.h"

enum { OPT_FOR = CLI_OPT_OWN, OPT_DIR, OPT_CA, OPT_ADDRESS, OPT_NO_PROXY,
	OPT_INTERFACE, OPT_CHECK, OPT_APPLY, OPT_REMOVE, OPT_VERIFY };

static const struct option longs[] = {
	CLI_LONG,
	{ "for", required_argument, NULL, OPT_FOR },
	{ "dir", required_argument, NULL, OPT_DIR },
	{ "ca", required_argument, NULL, OPT_CA },
	{ "address", required_argument, NULL, OPT_ADDRESS },
	{ "no-proxy", required_argument, NULL, OPT_NO_PROXY },
	{ "interface", required_argument, NULL, OPT_INTERFACE },
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "apply", no_argument, NULL, OPT_APPLY },
	{ "remove", no_argument, NULL, OPT_REMOVE },
	{ "verify", no_argument, NULL, OPT_VERIFY },
	{ 0 }
};

static const char usage[] =
    "env --for curl|git|node|python|java|go|generic\n"
    "           [--dir FOLDER] [--ca FILE] [--address HOST:PORT]"
    " [--no-proxy LIST]\n"
    "       portreeve proxy pac [--address HOST:PORT]\n"
    "       portreeve proxy nft --interface NAME"
    " [--check|--apply|--remove|--verify]";

struct options {
	struct cli cli;
	int runtime;
	const char *dir, *ca, *address, *no_proxy, *interface;
	enum nft_what nft;
	const char *args[1];
	int nargs;
};

/* The shell puts the token in; without one it says where to get it. */
#define SHELL_TOKEN "${" ONRAMP_TOKEN ":?mint one with portreeve session open}"

static void
print_export(const char *name, const char *value)
{
	const char *hole = strstr(value, SHELL_TOKEN);

	/* Double quotes for the one variable in it, single ones elsewhere. */
	printf("export %s=", name);
	if (hole != NULL) {
		printf("\"%s\"\n", value);
		return;
	}
	putchar('\'');
	for (const char *p = value; *p != '\0'; p++)
		if (*p == '\'')
			printf("'\\''");
		else
			putchar(*p);
	printf("'\n");
}

static void
print_shell(const struct onramp *o, enum onramp_runtime r)
{
	const char *name, *note = onramp_note(r);
	struct buf value;
	bool has;

	buf_init(&value, 65536);
	for (unsigned i = 0; (name = onramp_variable(o, r, i, SHELL_TOKEN,
	    &value, &has)) != NULL; i++)
		if (has)
			print_export(name, buf_data(&value));
	buf_free(&value);
	if (note[0] != '\0')
		fprintf(stderr, "%s\n", note);
	fprintf(stderr, "For a shell that has " ONRAMP_TOKEN ":  eval \"$("
	    "portreeve proxy env --for %s)\"\n", onramp_name(r));
}

static void
print_json(const struct onramp *o, enum onramp_runtime r)
{
	struct buf b, value;
	const char *name;
	struct jsonw w;
	bool has;

	buf_init(&b, 1u << 20);
	buf_init(&value, 65536);
	jsonw_init(&w, &b);
	jsonw_object(&w, NULL);
	jsonw_str(&w, "runtime", onramp_name(r));
	jsonw_object(&w, "variables");
	for (unsigned i = 0; (name = onramp_variable(o, r, i, "${"
	    ONRAMP_TOKEN "}", &value, &has)) != NULL; i++)
		if (has)
			jsonw_str(&w, name, buf_data(&value));
	jsonw_object_end(&w);
	jsonw_str(&w, "token", "put the task token of `portreeve session open`"
	    " in place of ${" ONRAMP_TOKEN "}");
	jsonw_str(&w, "note", onramp_note(r));
	jsonw_object_end(&w);
	onramp_print(buf_slice(&b));
	buf_free(&b);
	buf_free(&value);
}

/* The files stay for as long as the shell uses them. */
static int
default_dir(char *dir, size_t n)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

	if (cache != NULL && cache[0] == '/') {
		snprintf(dir, n, "%s/portreeve", cache);
	} else if (home != NULL && home[0] == '/') {
		snprintf(dir, n, "%s/.cache", home);
		(void)mkdir(dir, 0700);	/* that it is not there is told later */
		snprintf(dir, n, "%s/.cache/portreeve", home);
	} else {
		cli_error("HOME is not set: name the folder of the CA files"
		    " with --dir FOLDER");
		return CLI_USAGE;
	}
	return CLI_OK;
}

static int
env(struct options *o, struct onramp *ramp)
{
	char dir[4096];
	int rc;

	if (o->no_proxy != NULL)
		onramp_set_no_proxy(ramp, o->no_proxy);
	if (o->dir != NULL)
		snprintf(dir, sizeof(dir), "%s", o->dir);
	else if ((rc = default_dir(dir, sizeof(dir))) != CLI_OK)
		return rc;
	if ((rc = onramp_files(ramp, dir, o->ca)) != CLI_OK)
		return rc;
	if (o->cli.json)
		print_json(ramp, (enum onramp_runtime)o->runtime);
	else
		print_shell(ramp, (enum onramp_runtime)o->runtime);
	return CLI_OK;
}

static int
pac(const struct onramp *ramp)
{
	struct buf b;
	int rc = CLI_OK;

	buf_init(&b, 1u << 20);
	if (pac_write(ramp->catalogue, ramp->proxy, &b) != 0) {
		cli_error("the file would be larger than 1 MiB");
		rc = CLI_FAILED;
	} else {
		printf("%.*s", SLICE_FMT(buf_slice(&b)));
	}
	buf_free(&b);
	return rc;
}

static int
dispatch(struct options *o, struct onramp *ramp, int verb)
{
	if (verb == 2)
		return nft_do(ramp, o->interface, o->nft);
	if (o->address != NULL)
		onramp_set_proxy(ramp, o->address);
	if (ramp->proxy == NULL) {
		cli_error("the configuration has no `explicit:` listener");
		return CLI_FAILED;
	}
	return verb == 0 ? env(o, ramp) : pac(ramp);
}

int
cmd_proxy(int argc, char **argv)
{
	static const char *const verbs[] = { "env", "pac", "nft" };
	struct options o = { .runtime = -1 };
	struct onramp ramp;
	int opt, rc, verb;

	cli_init(&o.cli, "proxy");
	while ((opt = cli_next(argc, argv, longs, o.args, &o.nargs, 1)) >= 0) {
		if (cli_option(&o.cli, opt))
			continue;
		switch (opt) {
		case OPT_FOR:
			if ((o.runtime = onramp_named(optarg)) < 0)
				return CLI_USAGE;
			break;
		case OPT_DIR: o.dir = optarg; break;
		case OPT_CA: o.ca = optarg; break;
		case OPT_ADDRESS: o.address = optarg; break;
		case OPT_NO_PROXY: o.no_proxy = optarg; break;
		case OPT_INTERFACE: o.interface = optarg; break;
		case OPT_CHECK: o.nft = NFT_CHECK; break;
		case OPT_APPLY: o.nft = NFT_APPLY; break;
		case OPT_REMOVE: o.nft = NFT_REMOVE; break;
		case OPT_VERIFY: o.nft = NFT_VERIFY; break;
		default:
			return cli_usage(&o.cli, usage);
		}
	}
	if (opt == -2 || o.cli.help)
		return cli_usage(&o.cli, usage);
	verb = cli_verb("proxy", o.args[0], verbs, ARRAY_LEN(verbs));
	if (verb < 0)
		return CLI_USAGE;
	if ((verb == 0 && o.runtime < 0) ||
	    (verb == 2 && o.interface == NULL))
		return cli_usage(&o.cli, usage);
	if ((rc = onramp_open(&ramp, &o.cli)) == CLI_OK)
		rc = dispatch(&o, &ramp, verb);
	onramp_close(&ramp);
	return rc;
}
