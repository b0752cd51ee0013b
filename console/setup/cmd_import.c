/*
 * cmd_import - portreeve connector import FORMAT FILE: proposes a connector's
 * file from a description. Prints it, or with --write adds it to the folder of
 * connectors; never over a file that is there.
 */
#include "console/setup/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf.h"
#include "file.h"
#include "openapi.h"

enum { OPT_NAME = CLI_OPT_OWN, OPT_HOST, OPT_WRITE };

static const struct option longs[] = {
	CLI_LONG,
	{ "name", required_argument, NULL, OPT_NAME },
	{ "host", required_argument, NULL, OPT_HOST },
	{ "write", no_argument, NULL, OPT_WRITE },
	{ 0 }
};

static const char usage[] = "import openapi FILE [--name N] [--host H] "
    "[--write]";

static void
on_warn(void *ctx, const char *text)
{
	(void)ctx;
	fprintf(stderr, "%s\n", cli_clean(text));
}

static void
quiet(void *ctx, const char *text)
{
	(void)ctx;
	(void)text;
}

static char *
connectors_dir(const struct cli *cli)
{
	struct err err = { 0 };
	struct conf *c;
	char *dir;

	if (cli->config == NULL) {
		cli_error("--write: say which configuration: -c FILE");
		return NULL;
	}
	if ((c = conf_load(cli->config, quiet, NULL, &err)) == NULL) {
		cli_error("%s", err.text);
		return NULL;
	}
	dir = base_strdup(c->connectors_dir);
	conf_free(c);
	return dir;
}

static int
write_new(const char *path, struct slice text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	bool mine = fd >= 0;
	int why;

	while (fd >= 0 && text.n > 0) {
		ssize_t k = write(fd, text.p, text.n);

		if (k < 0 && errno != EINTR)
			break;
		text = slice_sub(text, k < 0 ? 0 : (size_t)k, SIZE_MAX);
	}
	if (fd >= 0 && text.n == 0 && close(fd) == 0)
		return CLI_OK;
	why = errno;
	cli_error("%s: %s", path, why == EEXIST ? "is there already; move "
	    "it away or give another --name" : strerror(why));
	if (mine)
		unlink(path);
	return why == EEXIST ? CLI_CONFLICT : CLI_FAILED;
}

static int
write_file(const struct cli *cli, const char *name, struct slice text)
{
	char *dir = connectors_dir(cli), file[80], *path;
	int rc;

	if (dir == NULL)
		return CLI_USAGE;
	snprintf(file, sizeof(file), "%s.yaml", name);
	path = file_resolve(dir, file);
	rc = write_new(path, text);
	if (rc == CLI_OK)
		printf("wrote %s\nnext: fill in owner, purpose and agents "
		    "(`portreeve check` refuses the file until then), review "
		    "the classes, set approved: true\n", path);
	free(path);
	free(dir);
	return rc;
}

static int
import(const struct cli *cli, const char *file,
    const struct openapi_options *opt, bool write)
{
	struct err err = { 0 };
	struct buf in, out;
	char name[65];
	int rc = CLI_FAILED;

	buf_init(&in, OPENAPI_BYTES_MAX);
	buf_init(&out, OPENAPI_OUT_MAX);
	if (file_read(file, &in, &err) != 0 || openapi_import(file,
	    buf_slice(&in), opt, &out, name, on_warn, NULL, &err) != 0) {
		cli_error("%s", err.text);
	} else if (write) {
		rc = write_file(cli, name, buf_slice(&out));
	} else {
		fwrite(buf_data(&out), 1, out.len, stdout);
		rc = fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
	}
	buf_free(&in);
	buf_free(&out);
	return rc;
}

/* argv: connector import FORMAT FILE */
int
cmd_import(int argc, char **argv)
{
	static const char *const formats[] = { "openapi" };
	struct openapi_options from = { NULL, NULL };
	const char *args[3];
	struct cli cli;
	bool write = false;
	int nargs = 0, opt;

	cli_init(&cli, "connector import");
	while ((opt = cli_next(argc, argv, longs, args, &nargs, 3)) >= 0) {
		if (cli_option(&cli, opt))
			continue;
		if (opt == OPT_NAME)
			from.name = optarg;
		else if (opt == OPT_HOST)
			from.host = optarg;
		else if (opt == OPT_WRITE)
			write = true;
		else
			return cli_usage(&cli, usage);
	}
	if (opt == -2 || cli.help || nargs != 3)
		return cli_usage(&cli, usage);
	if (cli_verb("connector import", args[1], formats,
	    ARRAY_LEN(formats)) < 0)
		return CLI_USAGE;
	return import(&cli, args[2], &from, write);
}
