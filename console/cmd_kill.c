/* cmd_kill - portreeve kill, revive, kills: the kill switch. */
#include "console/commands.h"
#include "console/op.h"

enum { OPT_REASON = CLI_OPT_OWN, OPT_FOR, OPT_FORCE, OPT_ALL };

static const struct option longs[] = {
	CLI_LONG,
	{ "reason", required_argument, NULL, OPT_REASON },
	{ "for", required_argument, NULL, OPT_FOR },
	{ "force", no_argument, NULL, OPT_FORCE },
	{ "all", no_argument, NULL, OPT_ALL },
	{ 0 }
};

#define TARGETS "\n       TARGET: connector/NAME  tool/CONNECTOR/TOOL" \
	"  agent/NAME  session/ID  user/NAME  all"
static const char kill_usage[] = "TARGET --reason R [--for 4h] [--force]"
    TARGETS "\n       --force: also a name nobody has seen yet";
static const char revive_usage[] = "TARGET --reason R" TARGETS;
static const char kills_usage[] = "[--all]";

struct options {
	struct cli cli;
	const char *reason, *target;
	int64_t for_ms;
	bool force, all;
};

/* 0, or an exit code + 1. */
static int
parse(struct options *o, const char *name, const char *usage, int argc,
    char **argv)
{
	int opt, nargs = 0;

	memset(o, 0, sizeof(*o));
	cli_init(&o->cli, name);
	while ((opt = cli_next(argc, argv, longs, &o->target, &nargs, 1)) >=
	    0) {
		if (cli_option(&o->cli, opt))
			continue;
		switch (opt) {
		case OPT_REASON: o->reason = optarg; break;
		case OPT_FORCE: o->force = true; break;
		case OPT_ALL: o->all = true; break;
		case OPT_FOR:
			if ((o->for_ms = cli_duration("--for", optarg)) < 0)
				return CLI_USAGE + 1;
			break;
		default:
			return cli_usage(&o->cli, usage) + 1;
		}
	}
	if (opt == -2 || o->cli.help)
		return cli_usage(&o->cli, usage) + 1;
	return 0;
}

static bool
need_target(struct options *o, const char *usage)
{
	if (o->target != NULL && o->reason != NULL)
		return true;
	if (o->target != NULL)
		cli_error("%s: say why: --reason R", o->cli.name);
	else
		cli_usage(&o->cli, usage);
	return false;
}

static void
print_milliseconds(const char *what, int64_t us)
{
	printf("  %-15s %lld.%lld ms", what, (long long)us / 1000,
	    (long long)us % 1000 / 100);
}

/* True when every proxy answered. */
static bool
print_killed(struct op *op)
{
	const char *target = op_str(op, 0, "target");
	const char *until = op_str(op, 0, "until");
	uint32_t array, n = op_first(op, "silent", &array);
	bool acked = n == JSON_NONE;

	printf("%sKILLED%s  %s  %s%s\n", cli_on(stdout, CLI_RED),
	    cli_off(stdout), cli_clean(target),
	    until == NULL ? "until revived" : "until ",
	    until == NULL ? "" : cli_when(until));
	print_milliseconds("took effect", op_int(op, 0, "acked_us"));
	printf("   (%lld of %lld proxies acknowledged, %lld streams cut, %lld"
	    " approvals cancelled)\n",
	    (long long)(op_int(op, 0, "proxies") -
	    (n == JSON_NONE ? 0 : (int64_t)op->doc.nodes[array].count)),
	    (long long)op_int(op, 0, "proxies"),
	    (long long)op_int(op, 0, "cut"),
	    (long long)op_int(op, 0, "cancelled"));
	print_milliseconds("stored", op_int(op, 0, "durable_us"));
	putchar('\n');
	for (; n != JSON_NONE; n = json_next(&op->doc, array, n))
		cli_error("proxy %.*s did not acknowledge within 2 s; the"
		    " kill page holds, but look at it",
		    SLICE_FMT(json_raw(&op->doc, n)));
	if (!op_bool(op, 0, "durable"))
		cli_error("state.db could not store it: in force now, but a"
		    " restart of all daemons would forget it");
	if (!op_bool(op, 0, "verified"))
		fprintf(stderr, "note: nobody has seen this name yet; it is"
		    " killed all the same\n");
	if (until != NULL)
		printf("  then            connectors and tools: every call is"
		    " held; others stay killed until revived\n");
	printf("  event %s\n  undo: portreeve revive %s --reason ...\n",
	    op_str(op, 0, "event"), cli_clean(target));
	return acked && op_bool(op, 0, "durable");
}

int
cmd_kill(int argc, char **argv)
{
	struct options o;
	struct op op;
	int rc = parse(&o, "kill", kill_usage, argc, argv);

	if (rc != 0)
		return rc - 1;
	if (!need_target(&o, kill_usage))
		return CLI_USAGE;
	op_begin(&op, "kill");
	op_put(&op, "target", o.target);
	op_put(&op, "reason", o.reason);
	if (o.for_ms > 0)
		jsonw_int(&op.w, "for_ms", o.for_ms);
	if (o.force)
		jsonw_bool(&op.w, "force", true);
	if ((rc = op_ask(&op, &o.cli)) == CLI_OK) {
		uint32_t array;

		if (o.cli.json) {
			op_print_json(&op);
			if (op_first(&op, "silent", &array) != JSON_NONE ||
			    !op_bool(&op, 0, "durable"))
				rc = CLI_PARTIAL;
		} else if (!print_killed(&op)) {
			rc = CLI_PARTIAL;
		}
	}
	op_end(&op);
	return rc;
}

int
cmd_revive(int argc, char **argv)
{
	struct options o;
	struct op op;
	int rc = parse(&o, "revive", revive_usage, argc, argv);

	if (rc != 0)
		return rc - 1;
	if (!need_target(&o, revive_usage))
		return CLI_USAGE;
	op_begin(&op, "revive");
	op_put(&op, "target", o.target);
	op_put(&op, "reason", o.reason);
	if ((rc = op_ask(&op, &o.cli)) == CLI_OK) {
		if (o.cli.json) {
			op_print_json(&op);
		} else {
			printf("%sREVIVED%s  %s%s\n", cli_on(stdout,
			    CLI_GREEN), cli_off(stdout), cli_clean(o.target),
			    op_bool(&op, 0, "was_ask_all") ?
			    "  (its calls are no longer all held)" : "");
			if (op_bool(&op, 0, "all_still_killed"))
				fprintf(stderr, "note: everything is still"
				    " killed: portreeve kills\n");
			printf("  event %s\n  undo: portreeve kill %s"
			    " --reason ...\n", op_str(&op, 0, "event"),
			    cli_clean(o.target));
		}
	}
	op_end(&op);
	return rc;
}

int
cmd_kills(int argc, char **argv)
{
	static const char *const heads[] = { "TARGET", "STATE", "SINCE",
		"UNTIL", "BY", "REASON", NULL };
	uint32_t array, n;
	struct options o;
	struct op op;
	int rc = parse(&o, "kills", kills_usage, argc, argv);

	if (rc != 0)
		return rc - 1;
	op_begin(&op, "kills");
	if (o.all)
		jsonw_bool(&op.w, "all", true);
	if ((rc = op_ask(&op, &o.cli)) != CLI_OK)
		goto out;
	if (o.cli.json) {
		op_print_json(&op);
		goto out;
	}
	struct cli_table *t = cli_table_new(heads);

	for (n = op_first(&op, "kills", &array); n != JSON_NONE;
	    n = json_next(&op.doc, array, n))
		cli_table_row(t, (const char *[]){ op_str(&op, n, "target"),
		    op_str(&op, n, "state"), cli_when(op_str(&op, n, "at")),
		    op_str(&op, n, "until") == NULL ? "until revived" :
		    cli_when(op_str(&op, n, "until")),
		    op_str(&op, n, "by"), op_str(&op, n, "reason") });
	cli_table_end(t, "nothing is killed");
out:
	op_end(&op);
	return rc;
}
