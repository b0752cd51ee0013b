/*
 * cmd_tool - portreeve tool ls|classify|refresh: tools seen, their risk class,
 * the lists of them that proxies remember;
 * portreeve connector ls|enable|...: an operator's override of its state.
 */
#include "console/commands.h"
#include "console/op.h"

#include <stdlib.h>

enum { OPT_REASON = CLI_OPT_OWN, OPT_UNCLASSIFIED };

static const struct option longs[] = {
	CLI_LONG,
	{ "reason", required_argument, NULL, OPT_REASON },
	{ "unclassified", no_argument, NULL, OPT_UNCLASSIFIED },
	{ 0 }
};

static const char tool_usage[] =
    "ls [--unclassified]\n"
    "       portreeve tool classify CONNECTOR/TOOL CLASS --reason R\n"
    "       CLASS: unknown dangerous moderate read-only\n"
    "       portreeve tool refresh CONNECTOR";
static const char connector_usage[] =
    "ls\n"
    "       portreeve connector enable|observe|disable|ask-all|reset NAME"
    " --reason R\n"
    "       portreeve connector import openapi FILE [--name N] [--host H]"
    " [--write]\n"
    "       reset: as the catalogue says";

struct options {
	struct cli cli;
	const char *reason;
	bool unclassified;
	const char *args[4];
	int nargs;
};

static int
parse(struct options *o, const char *name, const char *usage, int argc,
    char **argv)
{
	int opt;

	memset(o, 0, sizeof(*o));
	cli_init(&o->cli, name);
	while ((opt = cli_next(argc, argv, longs, o->args, &o->nargs, 4)) >=
	    0) {
		if (cli_option(&o->cli, opt))
			continue;
		if (opt == OPT_REASON)
			o->reason = optarg;
		else if (opt == OPT_UNCLASSIFIED)
			o->unclassified = true;
		else
			return cli_usage(&o->cli, usage) + 1;
	}
	return opt == -2 || o->cli.help ? cli_usage(&o->cli, usage) + 1 : 0;
}

static int
tool_ls(struct options *o)
{
	static const char *const heads[] = { "TOOL", "CLASS", "BY", "SEEN",
		"CACHED", "DESCRIPTION", NULL };
	struct op op;
	uint32_t array, n;
	int rc;

	op_begin(&op, "tool.ls");
	if (o->unclassified)
		jsonw_bool(&op.w, "unclassified", true);
	if ((rc = op_ask(&op, &o->cli)) != CLI_OK)
		goto out;
	if (o->cli.json) {
		op_print_json(&op);
		goto out;
	}
	struct cli_table *t = cli_table_new(heads);

	for (n = op_first(&op, "tools", &array); n != JSON_NONE;
	    n = json_next(&op.doc, array, n)) {
		const char *class = op_str(&op, n, "class");
		const char *mode = op_str(&op, n, "mode");
		const char *text = op_str(&op, n, "description");
		const char *cached = op_str(&op, n, "cached");
		struct buf name, about;

		buf_init(&name, 4096);
		buf_addf(&name, "%s/%s", op_str(&op, n, "connector"),
		    op_str(&op, n, "tool"));
		buf_add_char(&name, '\0');
		buf_init(&about, 128);
		buf_add(&about, text == NULL ? "" : text,
		    text == NULL ? 0 : strcspn(text, "\n") > 80 ? 80 :
		    strcspn(text, "\n"));
		buf_add_char(&about, '\0');
		cli_table_row(t, (const char *[]){ buf_data(&name),
		    class == NULL ? "(not classified)" :
		    class, mode != NULL && mode[0] != '\0' ?
		    "every call is held" : op_str(&op, n, "by"),
		    cli_when(op_str(&op, n, "seen")), cached == NULL ? "no" :
		    cli_when(cached), buf_data(&about) });
		buf_free(&name);
		buf_free(&about);
	}
	cli_table_end(t, o->unclassified ? "every tool seen is classified" :
	    "no tool was seen yet; an agent's tools/list shows them");
out:
	op_end(&op);
	return rc;
}

static int
tool_classify(struct options *o)
{
	const char *slash;
	char *connector;
	struct op op;
	int rc;

	if (o->nargs != 3 || (slash = strchr(o->args[1], '/')) == NULL)
		return cli_usage(&o->cli, tool_usage);
	if (o->reason == NULL) {
		cli_error("tool classify: say why: --reason R");
		return CLI_USAGE;
	}
	connector = base_strndup(o->args[1], (size_t)(slash - o->args[1]));
	op_begin(&op, "tool.classify");
	op_put(&op, "connector", connector);
	op_put(&op, "tool", slash + 1);
	op_put(&op, "class", o->args[2]);
	op_put(&op, "reason", o->reason);
	if ((rc = op_ask(&op, &o->cli)) == CLI_OK) {
		const char *was = op_str(&op, 0, "was");

		if (o->cli.json)
			op_print_json(&op);
		else
			printf("classified  %s  is %s (was: %s)\nevent %s"
			    "  undo: portreeve tool classify %s %s"
			    " --reason ...\n", cli_clean(o->args[1]),
			    op_str(&op, 0, "class"),
			    was == NULL ? "not classified" : was,
			    op_str(&op, 0, "event"), cli_clean(o->args[1]),
			    was == NULL ? "unknown" : was);
	}
	op_end(&op);
	free(connector);
	return rc;
}

static int
tool_refresh(struct options *o)
{
	struct op op;
	int rc;

	if (o->nargs != 2)
		return cli_usage(&o->cli, tool_usage);
	op_begin(&op, "tool.refresh");
	op_put(&op, "connector", o->args[1]);
	if ((rc = op_ask(&op, &o->cli)) == CLI_OK && o->cli.json)
		op_print_json(&op);
	else if (rc == CLI_OK)
		printf("forgotten  %lld tool lists (%lld bytes) of %s in %lld "
		    "of %lld proxies; the next tools/list asks the server\n"
		    "event %s\n", (long long)op_int(&op, 0, "lists"),
		    (long long)op_int(&op, 0, "bytes"), cli_clean(o->args[1]),
		    (long long)op_int(&op, 0, "answered"),
		    (long long)op_int(&op, 0, "proxies"),
		    op_str(&op, 0, "event"));
	op_end(&op);
	return rc;
}

int
cmd_tool(int argc, char **argv)
{
	static const char *const verbs[] = { "ls", "classify", "refresh" };
	struct options o;
	int rc = parse(&o, "tool", tool_usage, argc, argv);

	if (rc != 0)
		return rc - 1;
	switch (cli_verb("tool", o.args[0], verbs, ARRAY_LEN(verbs))) {
	case 0:
		return tool_ls(&o);
	case 1:
		return tool_classify(&o);
	case 2:
		return tool_refresh(&o);
	default:
		return CLI_USAGE;
	}
}

/* "away since ... (host: why)" of the first proxy that says so, or NULL. */
static char *
away_text(struct op *op, uint32_t connector)
{
	uint32_t a = json_first(&op->doc, json_member(&op->doc, connector,
	    "away"));
	struct buf b;
	char *text;

	if (a == JSON_NONE)
		return NULL;
	buf_init(&b, 1024);
	buf_addf(&b, "away since %s (%s)", cli_when(op_str(op, a, "since")),
	    op_str(op, a, "detail"));
	text = slice_dup(buf_slice(&b));
	buf_free(&b);
	return text;
}

static int
connector_ls(struct options *o)
{
	static const char *const heads[] = { "CONNECTOR", "OVERRIDE", "SINCE",
		"BY", "REASON", "UPSTREAM", NULL };
	struct op op;
	uint32_t array, n;
	int rc;

	op_begin(&op, "connector.ls");
	if ((rc = op_ask(&op, &o->cli)) != CLI_OK)
		goto out;
	if (o->cli.json) {
		op_print_json(&op);
		goto out;
	}
	struct cli_table *t = cli_table_new(heads);

	for (n = op_first(&op, "connectors", &array); n != JSON_NONE;
	    n = json_next(&op.doc, array, n)) {
		const char *state = op_str(&op, n, "override");
		char *away = away_text(&op, n);

		cli_table_row(t, (const char *[]){
		    op_str(&op, n, "connector"), state == NULL ?
		    "(not classified)" : state,
		    cli_when(op_str(&op, n, "since")),
		    op_str(&op, n, "by"), op_str(&op, n, "reason"), away });
		free(away);
	}
	cli_table_end(t, "no connectors");
out:
	op_end(&op);
	return rc;
}

static int
connector_set(struct options *o, const char *state)
{
	static const struct {
		const char *state, *verb;
	} words[] = {
		{ "enabled", "enable" }, { "observe", "observe" },
		{ "disabled", "disable" }, { "ask-all", "ask-all" },
		{ "catalogue", "reset" },
	};
	struct op op;
	int rc;

	if (o->nargs != 2)
		return cli_usage(&o->cli, connector_usage);
	if (o->reason == NULL) {
		cli_error("connector: say why: --reason R");
		return CLI_USAGE;
	}
	op_begin(&op, "connector.state");
	op_put(&op, "name", o->args[1]);
	op_put(&op, "state", state);
	op_put(&op, "reason", o->reason);
	if ((rc = op_ask(&op, &o->cli)) == CLI_OK && o->cli.json) {
		op_print_json(&op);
	} else if (rc == CLI_OK) {
		const char *was = op_str(&op, 0, "was"), *undo = "reset";

		for (size_t i = 0; was != NULL && i < ARRAY_LEN(words); i++)
			if (strcmp(was, words[i].state) == 0)
				undo = words[i].verb;
		printf("set  connector %s  is %s (was: %s)\nevent %s  undo:"
		    " portreeve connector %s %s --reason ...\n",
		    cli_clean(o->args[1]), op_str(&op, 0, "state"), was,
		    op_str(&op, 0, "event"), undo, cli_clean(o->args[1]));
	}
	op_end(&op);
	return rc;
}

int
cmd_connector(int argc, char **argv)
{
	static const char *const verbs[] = { "ls", "enable", "observe",
		"disable", "ask-all", "reset", "import" };
	static const char *const states[] = { NULL, "enabled", "observe",
		"disabled", "ask-all", "catalogue" };
	struct options o;
	int verb, rc;

	if (argc > 1 && strcmp(argv[1], "import") == 0)
		return cmd_setup(argc, argv);
	if ((rc = parse(&o, "connector", connector_usage, argc, argv)) != 0)
		return rc - 1;
	verb = cli_verb("connector", o.args[0], verbs, ARRAY_LEN(verbs));
	if (verb < 0)
		return CLI_USAGE;
	return verb == 0 ? connector_ls(&o) : connector_set(&o, states[verb]);
}
