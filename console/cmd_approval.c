/*
 * cmd_approval - portreeve approval ls|show|approve|deny|edit: held calls.
 *
 * The card shows every byte of the arguments, decoded, with whatever cannot
 * be seen written out; nothing is cut.
 */
#include "console/commands.h"
#include "console/op.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "err.h"
#include "opreq.h"

enum { OPT_REASON = CLI_OPT_OWN, OPT_ALL, OPT_DIGEST, OPT_ARGUMENTS,
	OPT_FILE };

static const struct option longs[] = {
	CLI_LONG,
	{ "reason", required_argument, NULL, OPT_REASON },
	{ "all", no_argument, NULL, OPT_ALL },
	{ "digest", required_argument, NULL, OPT_DIGEST },
	{ "arguments", required_argument, NULL, OPT_ARGUMENTS },
	{ "file", required_argument, NULL, OPT_FILE },
	{ 0 }
};

static const char usage[] =
    "ls [--all]\n"
    "       portreeve approval show ID\n"
    "       portreeve approval approve ID [--reason R] [--digest D]\n"
    "       portreeve approval deny ID [--reason R]\n"
    "       portreeve approval edit ID [--arguments JSON | --file F]"
    " [--reason R]\n"
    "       --digest: only if it still is what `show` showed";

struct options {
	struct cli cli;
	const char *reason, *digest, *arguments, *file;
	bool all;
	const char *args[2];
	int nargs;
};

static int
ls(struct options *o)
{
	static const char *const heads[] = { "ID", "STATE", "CLASS", "CALL",
		"AGENT", "USER", "SINCE", "LEFT", NULL };
	uint32_t array, n;
	struct op op;
	int rc;

	op_begin(&op, "approval.ls");
	if (o->all)
		jsonw_bool(&op.w, "all", true);
	if ((rc = op_ask(&op, &o->cli)) != CLI_OK)
		goto out;
	if (o->cli.json) {
		op_print_json(&op);
		goto out;
	}
	struct cli_table *t = cli_table_new(heads);

	for (n = op_first(&op, "approvals", &array); n != JSON_NONE;
	    n = json_next(&op.doc, array, n)) {
		const char *state = op_str(&op, n, "state");
		struct buf call;

		buf_init(&call, 8192);
		buf_addf(&call, "%s/%s", op_str(&op, n, "connector"),
		    op_str(&op, n, "tool"));
		buf_add_char(&call, '\0');
		cli_table_row(t, (const char *[]){ op_str(&op, n, "id"),
		    state, op_str(&op, n, "class"), buf_data(&call),
		    op_str(&op, n, "agent"), op_str(&op, n, "user"),
		    cli_left(op_str(&op, n, "created")),
		    state != NULL && strcmp(state, "pending") == 0 ?
		    cli_left(op_str(&op, n, "expires")) : "-" });
		buf_free(&call);
	}
	cli_table_end(t, "no call is held");
out:
	op_end(&op);
	return rc;
}

/* -- the card -- */

static void
field(const char *name, const char *value)
{
	if (value != NULL && value[0] != '\0')
		printf("  %-12s %s\n", name, cli_clean(value));
}

/* A member of the card in its JSON form, when it is there and not shown
 * already. */
static void
print_json(const struct op *op, uint32_t node, const char *name)
{
	struct buf out;
	size_t hidden;

	buf_init(&out, SIZE_MAX / 2);
	hidden = cli_pretty(&out, &op->doc, node, 1);
	printf("  %s\n  %.*s\n", name, SLICE_FMT(buf_slice(&out)));
	if (hidden > 0)
		printf("  %s%zu invisible, reordering or broken characters"
		    " are shown as \\u{..}%s\n", cli_on(stdout, CLI_RED),
		    hidden, cli_off(stdout));
	buf_free(&out);
}

/* Whatever else the card says: nothing is left out. */
static void
print_rest(struct op *op, uint32_t card)
{
	static const char *const shown[] = { "arguments", "connector", "tool",
		"session", "user", "agent", "call", "id", "time", "type",
		"role", "digest" };
	const struct json_doc *d = &op->doc;

	for (uint32_t k = json_first(d, card); k != JSON_NONE;) {
		uint32_t v = json_next(d, card, k);
		char *key = json_strdup(d, k), *text = json_strdup(d, v);
		bool skip = key == NULL;

		for (size_t i = 0; !skip && i < ARRAY_LEN(shown); i++)
			skip = strcmp(key, shown[i]) == 0;
		if (!skip && text != NULL) {
			field(cli_clean(key), text);
		} else if (!skip) {
			struct buf out;

			buf_init(&out, SIZE_MAX / 2);
			cli_pretty(&out, d, v, 1);
			printf("  %-12s %.*s\n", cli_clean(key),
			    SLICE_FMT(buf_slice(&out)));
			buf_free(&out);
		}
		free(key);
		free(text);
		k = json_next(d, card, v);
	}
}

static void
print_card(struct op *op)
{
	uint32_t a = json_member(&op->doc, 0, "approval");
	uint32_t card = json_member(&op->doc, a, "card");
	uint32_t args = json_member(&op->doc, card, "arguments");
	uint32_t edited = json_member(&op->doc, a, "edited");
	const char *id = op_str(op, a, "id"), *state = op_str(op, a, "state");
	bool pending = state != NULL && strcmp(state, "pending") == 0;

	printf("%s%s%s  %s  %s/%s\n", cli_on(stdout, CLI_BOLD), id,
	    cli_off(stdout), state, cli_clean(op_str(op, a, "connector")),
	    cli_clean(op_str(op, a, "tool")));
	field("agent", op_str(op, a, "agent"));
	field("for user", op_str(op, a, "user"));
	field("session", op_str(op, a, "session"));
	field("call", op_str(op, a, "call"));
	print_rest(op, card);
	if (args != JSON_NONE)
		print_json(op, args, "arguments    (as they will be sent)");
	else
		printf("  arguments    none\n");
	if (edited != JSON_NONE)
		print_json(op, edited, "edited       (what a person wrote)");
	printf("  %-12s %s\n", "held", cli_when(op_str(op, a, "created")));
	if (pending)
		printf("  %-12s %s, then denied\n", "expires",
		    cli_when(op_str(op, a, "expires")));
	field("by", op_str(op, a, "by"));
	field("reason", op_str(op, a, "reason"));
	field("digest", op_str(op, a, "digest"));
	if (pending)
		printf("\n  portreeve approval approve %s --digest %.16s\n"
		    "  portreeve approval edit %s\n"
		    "  portreeve approval deny %s --reason ...\n", id,
		    op_str(op, a, "digest"), id, id);
}

static int
ask_show(struct options *o, struct op *op)
{
	struct cli quiet = o->cli;

	op_begin(op, "approval.show");
	op_put(op, "id", o->args[1]);
	quiet.as = NULL;
	return op_ask(op, &quiet);
}

static int
show(struct options *o)
{
	struct op op;
	int rc = ask_show(o, &op);

	if (rc == CLI_OK && o->cli.json)
		op_print_json(&op);
	else if (rc == CLI_OK)
		print_card(&op);
	op_end(&op);
	return rc;
}

/* -- decisions -- */

static void
print_decided(struct op *op, const char *what, const char *undo)
{
	uint32_t a = json_member(&op->doc, 0, "approval");
	const char *id = op_str(op, a, "id");

	printf("%s  %s  %s/%s for %s\nevent %s  undo: %s%s\n", what, id,
	    cli_clean(op_str(op, a, "connector")),
	    cli_clean(op_str(op, a, "tool")),
	    cli_clean(op_str(op, a, "agent")), op_str(op, 0, "event"), undo,
	    undo[strlen(undo) - 1] == ' ' ? id : "");
}

static int
decide(struct options *o, const char *verb, const char *what,
    const char *undo)
{
	struct op op;
	int rc;

	op_begin(&op, verb);
	op_put(&op, "id", o->args[1]);
	op_put(&op, "reason", o->reason);
	op_put(&op, "digest", o->digest);
	if ((rc = op_ask(&op, &o->cli)) == CLI_OK) {
		if (o->cli.json)
			op_print_json(&op);
		else
			print_decided(&op, what, undo);
	}
	op_end(&op);
	return rc;
}

/* -- edit -- */

/* *owned*; NULL and a message. */
static char *
read_file(const char *path)
{
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
	struct buf b;
	char *s = NULL, *p;
	size_t k;

	buf_init(&b, OPREQ_ARGUMENTS_MAX);
	while (f != NULL && (p = buf_reserve(&b, 4096)) != NULL &&
	    (k = fread(p, 1, 4096, f)) > 0)
		buf_commit(&b, k);
	if (f == NULL || ferror(f))
		cli_error("%s: %s", path, strerror(errno));
	else if (!feof(f))
		cli_error("%s: larger than %u bytes", path,
		    OPREQ_ARGUMENTS_MAX);
	else
		s = slice_dup(buf_slice(&b));
	if (f != NULL && f != stdin)
		fclose(f);
	buf_free(&b);
	return s;
}

static int
run_editor(const char *path)
{
	const char *editor = getenv("VISUAL");
	int status;
	pid_t pid;

	if (editor == NULL || editor[0] == '\0')
		editor = getenv("EDITOR");
	if (editor == NULL || editor[0] == '\0')
		editor = "vi";
	if ((pid = fork()) == 0) {
		/* $EDITOR may be a command with options. */
		execl("/bin/sh", "sh", "-c", "exec $1 \"$2\"", "sh", editor,
		    path, (char *)NULL);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	cli_error("the editor \"%s\" failed; set EDITOR", editor);
	return -1;
}

/* What the person made of `text` in the editor. *owned* */
static char *
edit_text(const char *text)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	char path[4096], *out = NULL;
	size_t n = strlen(text);
	int fd;

	snprintf(path, sizeof(path), "%s/portreeve-XXXXXX.json",
	    dir != NULL && dir[0] == '/' ? dir : "/tmp");
	if ((fd = mkstemps(path, 5)) < 0 ||
	    write(fd, text, n) != (ssize_t)n || write(fd, "\n", 1) != 1)
		cli_error("%s: %s", path, strerror(errno));
	else if (run_editor(path) == 0)
		out = read_file(path);
	if (fd >= 0) {
		unlink(path);
		base_close(&fd);
	}
	return out;
}

static char *
pretty_text(const struct json_doc *d, uint32_t node)
{
	struct buf out;
	char *s;

	buf_init(&out, SIZE_MAX / 2);
	cli_pretty(&out, d, node, 0);
	s = slice_dup(buf_slice(&out));
	buf_free(&out);
	return s;
}

/* For the editor: the received tokens, laid out; escapes stay escapes. */
static char *
editable_text(struct slice raw)
{
	bool in_string = false;
	unsigned depth = 0;
	struct buf b;
	char *s;

	buf_init(&b, SIZE_MAX / 2);
	for (size_t i = 0; i < raw.n; i++) {
		char c = raw.p[i];
		bool ends = c == '}' || c == ']', opens = c == '{' || c == '[';

		if (in_string && c == '\\') {
			buf_add(&b, raw.p + i++, 2);
			continue;
		}
		if (c == '"')
			in_string = !in_string;
		if (in_string || c == '"') {
			buf_add_char(&b, c);
			continue;
		}
		if (strchr(" \t\r\n", c) != NULL)
			continue;
		if (ends)
			depth--;
		if (ends)
			buf_addf(&b, "\n%*s", (int)depth * 2, "");
		buf_add_char(&b, c);
		if (c == ':')
			buf_add_char(&b, ' ');
		if (opens)
			depth++;
		if (opens || c == ',')
			buf_addf(&b, "\n%*s", (int)depth * 2, "");
	}
	s = slice_dup(buf_slice(&b));
	buf_free(&b);
	return s;
}

static bool
confirmed(const char *question)
{
	char line[16];

	if (!isatty(STDIN_FILENO))
		return true;
	fprintf(stderr, "%s [y/N] ", question);
	return fgets(line, sizeof(line), stdin) != NULL &&
	    (line[0] == 'y' || line[0] == 'Y');
}

/* The new arguments, compact. *owned*; NULL and a message. */
static char *
new_arguments(struct options *o, struct slice old)
{
	struct err err = { 0 };
	char *text = NULL, *start, *out;

	if (o->arguments != NULL) {
		text = base_strdup(o->arguments);
	} else if (o->file != NULL) {
		text = read_file(o->file);
	} else if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)) {
		start = editable_text(old);
		text = edit_text(start);
		free(start);
	} else {
		cli_error("approval edit: give --arguments JSON or --file F"
		    " (an editor needs a terminal)");
	}
	if (text == NULL)
		return NULL;
	if ((out = opreq_compact_object(slice_str(text), &err)) == NULL)
		cli_error("%s: %s", o->file != NULL ? o->file : "the new"
		    " arguments", err.text);
	free(text);
	return out;
}

/* Shows the change; false when there is none or the person says no. */
static bool
accept_change(struct options *o, struct op *shown, uint32_t old,
    const char *args)
{
	struct json_doc d;
	char *a, *b;
	bool yes = false;

	json_init(&d);
	if (json_index(&d, slice_str(args), NULL) == JSON_OK) {
		a = old == JSON_NONE ? base_strdup("{}") :
		    pretty_text(&shown->doc, old);
		b = pretty_text(&d, 0);
		if (strcmp(a, b) == 0) {
			cli_error("nothing was changed: approve it instead:"
			    " portreeve approval approve %s", o->args[1]);
		} else {
			if (!o->cli.json)
				cli_diff(stdout, a, b);
			yes = o->arguments != NULL || o->file != NULL ||
			    confirmed("Let this go out instead?");
		}
		free(a);
		free(b);
	}
	json_free(&d);
	return yes;
}

static int
edit(struct options *o)
{
	struct op shown, op;
	char *args = NULL;
	int rc = ask_show(o, &shown);
	uint32_t a, old;

	if (rc != CLI_OK)
		goto out;
	a = json_member(&shown.doc, 0, "approval");
	old = json_path(&shown.doc, a, "card", "arguments", NULL);
	rc = CLI_USAGE;
	args = new_arguments(o, old == JSON_NONE ? SLICE("{}") :
	    json_raw(&shown.doc, old));
	if (args == NULL || !accept_change(o, &shown, old, args))
		goto out;
	op_begin(&op, "approval.edit");
	op_put(&op, "id", o->args[1]);
	op_put(&op, "reason", o->reason);
	/* What was shown is what is edited. */
	op_put(&op, "digest", o->digest != NULL ? o->digest :
	    op_str(&shown, a, "digest"));
	jsonw_raw(&op.w, "arguments", slice_str(args));
	if ((rc = op_ask(&op, &o->cli)) == CLI_OK) {
		if (o->cli.json)
			op_print_json(&op);
		else
			print_decided(&op, "edited  (it runs through the gate"
			    " again)", "portreeve approval deny ");
	}
	op_end(&op);
out:
	free(args);
	op_end(&shown);
	return rc;
}

int
cmd_approval(int argc, char **argv)
{
	static const char *const verbs[] = { "ls", "show", "approve", "deny",
		"edit" };
	struct options o = { .all = false };
	int opt, verb;

	cli_init(&o.cli, "approval");
	while ((opt = cli_next(argc, argv, longs, o.args, &o.nargs, 2)) >= 0) {
		if (cli_option(&o.cli, opt))
			continue;
		switch (opt) {
		case OPT_REASON: o.reason = optarg; break;
		case OPT_ALL: o.all = true; break;
		case OPT_DIGEST: o.digest = optarg; break;
		case OPT_ARGUMENTS: o.arguments = optarg; break;
		case OPT_FILE: o.file = optarg; break;
		default:
			return cli_usage(&o.cli, usage);
		}
	}
	if (opt == -2 || o.cli.help)
		return cli_usage(&o.cli, usage);
	verb = cli_verb("approval", o.args[0], verbs, ARRAY_LEN(verbs));
	if (verb < 0)
		return CLI_USAGE;
	if (verb > 0 && o.nargs != 2)
		return cli_usage(&o.cli, usage);
	switch (verb) {
	case 0:
		return ls(&o);
	case 1:
		return show(&o);
	case 2:
		return decide(&o, "approval.approve", "approved",
		    "portreeve approval deny ");
	case 3:
		o.digest = NULL;
		return decide(&o, "approval.deny", "denied",
		    "none; the agent may ask again");
	default:
		return edit(&o);
	}
}
