/* cmd_session - portreeve session open|ls|close: task tokens of agents. */
#include "console/commands.h"
#include "console/op.h"

enum { OPT_USER = CLI_OPT_OWN, OPT_AGENT, OPT_TASK, OPT_DEPARTMENT,
	OPT_TRUST, OPT_FOR, OPT_ALL, OPT_REASON };

static const struct option longs[] = {
	CLI_LONG,
	{ "user", required_argument, NULL, OPT_USER },
	{ "agent", required_argument, NULL, OPT_AGENT },
	{ "task", required_argument, NULL, OPT_TASK },
	{ "department", required_argument, NULL, OPT_DEPARTMENT },
	{ "trust", required_argument, NULL, OPT_TRUST },
	{ "for", required_argument, NULL, OPT_FOR },
	{ "all", no_argument, NULL, OPT_ALL },
	{ "reason", required_argument, NULL, OPT_REASON },
	{ 0 }
};

static const char usage[] =
    "open --user U --agent A [--task T] [--department D]\n"
    "           [--trust manual|supervised|autonomous] [--for 1h]\n"
    "       portreeve session ls [--all]\n"
    "       portreeve session close ID [--reason R]";

struct options {
	struct cli cli;
	const char *user, *agent, *task, *department, *trust, *reason;
	int64_t for_ms;
	bool all;
	const char *args[2];
	int nargs;
};

static int
open_session(struct options *o)
{
	struct op op;
	int rc;

	if (o->user == NULL || o->agent == NULL || o->nargs != 1)
		return cli_usage(&o->cli, usage);
	op_begin(&op, "session.open");
	op_put(&op, "user", o->user);
	op_put(&op, "agent", o->agent);
	op_put(&op, "task", o->task);
	op_put(&op, "department", o->department);
	op_put(&op, "trust", o->trust);
	if (o->for_ms > 0)
		jsonw_int(&op.w, "for_ms", o->for_ms);
	if ((rc = op_ask(&op, &o->cli)) != CLI_OK)
		goto out;
	if (o->cli.json) {
		op_print_json(&op);
		goto out;
	}
	const char *id = op_str(&op, 0, "session");

	/* The token alone on standard output: TOKEN=$(portreeve session ...) */
	fprintf(stderr, "opened  %s  user %s, agent %s, %s, until %s\n"
	    "This token is shown once. Give it to the agent as a proxy"
	    " password (http://agent:TOKEN@proxy)\nor as Authorization:"
	    " Bearer TOKEN on a mount.\n", id, cli_clean(o->user),
	    cli_clean(o->agent), op_str(&op, 0, "trust"),
	    cli_when(op_str(&op, 0, "expires")));
	printf("%s\n", op_str(&op, 0, "token"));
	fprintf(stderr, "event %s  undo: portreeve session close %s\n",
	    op_str(&op, 0, "event"), id);
out:
	op_end(&op);
	return rc;
}

static int
ls(struct options *o)
{
	static const char *const heads[] = { "SESSION", "STATE", "USER",
		"AGENT", "TASK", "DEPARTMENT", "TRUST", "EXPIRES", NULL };
	struct op op;
	uint32_t array, n;
	int rc;

	op_begin(&op, "session.ls");
	if (o->all)
		jsonw_bool(&op.w, "all", true);
	if ((rc = op_ask(&op, &o->cli)) != CLI_OK)
		goto out;
	if (o->cli.json) {
		op_print_json(&op);
		goto out;
	}
	struct cli_table *t = cli_table_new(heads);

	for (n = op_first(&op, "sessions", &array); n != JSON_NONE;
	    n = json_next(&op.doc, array, n))
		cli_table_row(t, (const char *[]){ op_str(&op, n, "session"),
		    op_str(&op, n, "state"), op_str(&op, n, "user"),
		    op_str(&op, n, "agent"), op_str(&op, n, "task"),
		    op_str(&op, n, "department"), op_str(&op, n, "trust"),
		    cli_when(op_str(&op, n, "expires")) });
	cli_table_end(t, "no sessions; open one: portreeve session open"
	    " --user U --agent A");
out:
	op_end(&op);
	return rc;
}

static int
close_session(struct options *o)
{
	struct op op;
	int rc;

	if (o->nargs != 2)
		return cli_usage(&o->cli, usage);
	op_begin(&op, "session.close");
	op_put(&op, "session", o->args[1]);
	op_put(&op, "reason", o->reason);
	if ((rc = op_ask(&op, &o->cli)) == CLI_OK) {
		if (o->cli.json)
			op_print_json(&op);
		else
			printf("closed  %s  its token is refused from now on,"
			    " %lld held calls cancelled\nevent %s  undo: none;"
			    " open a new session\n",
			    op_str(&op, 0, "session"),
			    (long long)op_int(&op, 0, "cancelled"),
			    op_str(&op, 0, "event"));
	}
	op_end(&op);
	return rc;
}

int
cmd_session(int argc, char **argv)
{
	static const char *const verbs[] = { "open", "ls", "close" };
	struct options o = { .for_ms = 0 };
	int opt;

	cli_init(&o.cli, "session");
	while ((opt = cli_next(argc, argv, longs, o.args, &o.nargs, 2)) >= 0) {
		if (cli_option(&o.cli, opt))
			continue;
		switch (opt) {
		case OPT_USER: o.user = optarg; break;
		case OPT_AGENT: o.agent = optarg; break;
		case OPT_TASK: o.task = optarg; break;
		case OPT_DEPARTMENT: o.department = optarg; break;
		case OPT_TRUST: o.trust = optarg; break;
		case OPT_REASON: o.reason = optarg; break;
		case OPT_ALL: o.all = true; break;
		case OPT_FOR:
			if ((o.for_ms = cli_duration("--for", optarg)) < 0)
				return CLI_USAGE;
			break;
		default:
			return cli_usage(&o.cli, usage);
		}
	}
	if (opt == -2 || o.cli.help)
		return cli_usage(&o.cli, usage);
	switch (cli_verb("session", o.args[0], verbs, ARRAY_LEN(verbs))) {
	case 0:
		return open_session(&o);
	case 1:
		return ls(&o);
	case 2:
		return close_session(&o);
	default:
		return CLI_USAGE;
	}
}
