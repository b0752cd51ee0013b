/*
 * main - the other half of the operator's command; `portreeve` starts it.
 */
#include "console/setup/setup.h"

#include <string.h>

#include "log.h"
#include "sandbox.h"

static const struct {
	const char *name;
	int (*fn)(int argc, char **argv);
} commands[] = {
	{ "client", cmd_client },
	{ "connector", cmd_import },
	{ "doctor", cmd_doctor },
	{ "proxy", cmd_proxy },
	{ "run", cmd_run },
};

int
main(int argc, char **argv)
{
	sandbox_harden_process();
	log_init("portreeve", LOG_LV_INFO);
	for (size_t i = 0; argc > 1 && i < ARRAY_LEN(commands); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].fn(argc - 1, argv + 1);
	cli_error("portreeve-setup is started by portreeve: see portreeve "
	    "help");
	return CLI_USAGE;
}
