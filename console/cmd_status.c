/* cmd_status - portreeve status: is everything there, in one screen. */
#include "console/commands.h"
#include "console/op.h"

#include "conf.h"

static const struct option longs[] = { CLI_LONG, { 0 } };

static int
print_status(struct op *op)
{
	uint32_t array, n;
	int64_t expected = op_int(op, 0, "proxies_expected"), ready = 0;
	bool ledger = op_bool(op, 0, "ledger");

	for (n = op_first(op, "proxies", &array); n != JSON_NONE;
	    n = json_next(&op->doc, array, n))
		ready += op_bool(op, n, "ready");
	bool good = ledger && ready >= expected;

	printf("%s%s%s  portreeve %s, snapshot %s, started %s\n",
	    cli_on(stdout, good ? CLI_GREEN : CLI_RED),
	    good ? "UP" : "DEGRADED", cli_off(stdout),
	    op_str(op, 0, "version"), cli_clean(op_str(op, 0, "snapshot")),
	    cli_when(op_str(op, 0, "started")));
	printf("  proxies       %lld of %lld ready\n", (long long)ready,
	    (long long)expected);
	printf("  ledger        %s\n", ledger ? "recording" :
	    "NOT RECORDING: calls follow audit-unavailable");
	printf("  held calls    %lld%s\n", (long long)op_int(op, 0, "held"),
	    op_int(op, 0, "held") > 0 ? "   portreeve approval ls" : "");
	printf("  sessions      %lld\n",
	    (long long)op_int(op, 0, "sessions"));
	printf("  kills         %lld%s\n", (long long)op_int(op, 0, "kills"),
	    op_int(op, 0, "kills") > 0 ? "   portreeve kills" : "");
	printf("  unclassified  %lld%s\n",
	    (long long)op_int(op, 0, "tools_unclassified"),
	    op_int(op, 0, "tools_unclassified") > 0 ?
	    "   portreeve tool ls --unclassified" : "");
	return good ? CLI_OK : CLI_FAILED;
}

int
cmd_status(int argc, char **argv)
{
	const char *args[1];
	struct cli cli;
	struct op op;
	int opt, rc, nargs = 0;

	cli_init(&cli, "status");
	while ((opt = cli_next(argc, argv, longs, args, &nargs, 0)) >= 0)
		if (!cli_option(&cli, opt))
			return cli_usage(&cli, "");
	if (opt == -2 || cli.help)
		return cli_usage(&cli, "");
	op_begin(&op, "status");
	if ((rc = op_ask(&op, &cli)) == CLI_OK) {
		if (cli.json)
			op_print_json(&op);
		else
			rc = print_status(&op);
	}
	op_end(&op);
	return rc;
}
