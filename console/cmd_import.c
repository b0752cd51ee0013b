/*
 * cmd_import - portreeve connector import FORMAT FILE: proposes a connector's
 * file from a description. Prints it, or with --write adds it to the folder of
 * connectors; never over a file that is there.
 */
#include "console/cmd_import.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf.h"
#include "file.h"
#include "openapi.h"

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

int
cmd_import_run(const struct cli *cli, const char *const *args, int nargs,
    const struct import_options *o)
{
	static const char *const formats[] = { "openapi" };
	struct openapi_options opt = { o->name, o->host };
	struct err err = { 0 };
	struct buf in, out;
	char name[65];
	int rc = CLI_FAILED;

	if (cli_verb("connector import", nargs > 0 ? args[0] : NULL, formats,
	    ARRAY_LEN(formats)) < 0 || nargs != 2)
		return CLI_USAGE;
	buf_init(&in, OPENAPI_BYTES_MAX);
	buf_init(&out, OPENAPI_OUT_MAX);
	if (file_read(args[1], &in, &err) != 0 || openapi_import(args[1],
	    buf_slice(&in), &opt, &out, name, on_warn, NULL, &err) != 0) {
		cli_error("%s", err.text);
	} else if (o->write) {
		rc = write_file(cli, name, buf_slice(&out));
	} else {
		fwrite(buf_data(&out), 1, out.len, stdout);
		rc = fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
	}
	buf_free(&in);
	buf_free(&out);
	return rc;
}
