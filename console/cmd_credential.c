/*
 * cmd_credential - portreeve credential set|ls|rm: secrets of connectors, kept
 * by the keeper. A value is read from standard input (without echo on a
 * terminal); it is never an argument, is never printed, and nothing gives it
 * back.
 */
#include "console/commands.h"
#include "console/op.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "chan.h"
#include "pack.h"
#include "secret.h"

#define VALUE_MAX 65536
#define NAME_MAX_LEN 128

static const struct option longs[] = { CLI_LONG, { 0 } };

static const char usage[] =
    "set NAME        (the value comes from standard input)\n"
    "       portreeve credential ls\n"
    "       portreeve credential rm NAME";

static int
keeper(struct op *op, const struct cli *cli, enum msg_type type,
    struct slice body)
{
	return op_call(op, cli, "keeper.sock", "gateway (keeper)", type,
	    body);
}

/* One line from a terminal, everything from a pipe; one newline at the end is
 * not part of it. Length, or -1 and a message. */
static ssize_t
read_value(char *buf, size_t max)
{
	bool tty = isatty(STDIN_FILENO);
	struct termios old, quiet;
	size_t n = 0;
	ssize_t k = 0;

	if (tty && tcgetattr(STDIN_FILENO, &old) == 0) {
		quiet = old;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		/* An interrupt would leave the terminal mute. */
		signal(SIGINT, SIG_IGN);
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
		fprintf(stderr, "value (not shown), then Enter: ");
	}
	while (n < max && (k = read(STDIN_FILENO, buf + n, max - n)) != 0) {
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			break;
		n += (size_t)k;
		if (tty && buf[n - 1] == '\n')
			break;
	}
	if (tty) {
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
		signal(SIGINT, SIG_DFL);
		fputc('\n', stderr);
	}
	if (k < 0) {
		cli_error("standard input: %s", strerror(errno));
		return -1;
	}
	if (n > 0 && buf[n - 1] == '\n')
		n--;
	if (n > 0 && buf[n - 1] == '\r')
		n--;
	if (n == 0 || n > VALUE_MAX) {
		cli_error("the value must have 1 to %d bytes", VALUE_MAX);
		return -1;
	}
	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)buf[i] < 0x20 && buf[i] != '\t') {
			cli_error("the value has a control character (byte"
			    " %zu); a header cannot carry it", i + 1);
			return -1;
		}
	}
	return (ssize_t)n;
}

static int
set(const struct cli *cli, const char *name)
{
	char *value = base_calloc(1, VALUE_MAX + 2);
	ssize_t n = read_value(value, VALUE_MAX + 2);
	int rc = CLI_USAGE;
	struct buf body;
	struct op op;

	op_begin(&op, "");
	buf_init(&body, VALUE_MAX + 1024);
	if (n >= 0) {
		pack_str(&body, name);
		pack_slice(&body, slice_make(value, (size_t)n));
		rc = keeper(&op, cli, MSG_CRED_SET, buf_slice(&body));
	}
	explicit_bzero(value, VALUE_MAX + 2);
	free(value);
	buf_wipe_free(&body);
	if (rc == CLI_OK && cli->json)
		op_print_json(&op);
	else if (rc == CLI_OK)
		printf("stored  credential %s  (sealed; it cannot be read"
		    " back)\nundo: portreeve credential rm %s\n",
		    cli_clean(name), cli_clean(name));
	op_end(&op);
	return rc;
}

static int
ls(const struct cli *cli)
{
	static const char *const heads[] = { "CREDENTIAL", "STORED",
		"CONNECTORS", NULL };
	uint32_t array, users, n, u;
	struct op op;
	struct buf b;
	int rc;

	op_begin(&op, "");
	rc = keeper(&op, cli, MSG_CRED_LS, slice_make("", 0));
	if (rc == CLI_OK && cli->json) {
		op_print_json(&op);
	} else if (rc == CLI_OK) {
		struct cli_table *t = cli_table_new(heads);

		for (n = op_first(&op, "credentials", &array);
		    n != JSON_NONE; n = json_next(&op.doc, array, n)) {
			buf_init(&b, 1u << 20);
			users = json_member(&op.doc, n, "connectors");
			for (u = json_first(&op.doc, users); u != JSON_NONE;
			    u = json_next(&op.doc, users, u)) {
				buf_add_str(&b, b.len > 0 ? " " : "");
				buf_add_slice(&b, json_inner(&op.doc, u));
			}
			buf_add_char(&b, '\0');
			cli_table_row(t, (const char *[]){
			    op_str(&op, n, "name"), op_bool(&op, n, "set") ?
			    cli_when(op_str(&op, n, "updated")) : "missing",
			    b.len > 1 ? buf_data(&b) : NULL });
			buf_free(&b);
		}
		cli_table_end(t, "no credentials; store one: portreeve"
		    " credential set NAME < file");
	}
	op_end(&op);
	return rc;
}

static int
rm(const struct cli *cli, const char *name)
{
	struct buf body;
	struct op op;
	int rc;

	op_begin(&op, "");
	buf_init(&body, 1024);
	pack_str(&body, name);
	rc = keeper(&op, cli, MSG_CRED_RM, buf_slice(&body));
	buf_free(&body);
	if (rc == CLI_OK && cli->json)
		op_print_json(&op);
	else if (rc == CLI_OK)
		printf("removed  credential %s  calls that need it are refused"
		    " (credential-unavailable)\nundo: portreeve credential set"
		    " %s\n", cli_clean(name), cli_clean(name));
	op_end(&op);
	return rc;
}

int
cmd_credential(int argc, char **argv)
{
	static const char *const verbs[] = { "set", "ls", "rm" };
	const char *args[2] = { NULL, NULL };
	struct cli cli;
	int opt, verb, nargs = 0;

	cli_init(&cli, "credential");
	while ((opt = cli_next(argc, argv, longs, args, &nargs, 2)) >= 0)
		if (!cli_option(&cli, opt))
			return cli_usage(&cli, usage);
	if (opt == -2) {
		cli_error("credential: a value is never an argument (others"
		    " could read it); give it on standard input");
		return CLI_USAGE;
	}
	if (cli.help)
		return cli_usage(&cli, usage);
	if ((verb = cli_verb("credential", args[0], verbs,
	    ARRAY_LEN(verbs))) < 0)
		return CLI_USAGE;
	if (verb == 1)
		return ls(&cli);
	if (args[1] == NULL || strlen(args[1]) > NAME_MAX_LEN)
		return cli_usage(&cli, usage);
	return verb == 0 ? set(&cli, args[1]) : rm(&cli, args[1]);
}
