/*
 * main - `portreeve audit`; `portreeve` starts it, and it is of use alone:
 * with a copy of the ledger it verifies it anywhere.
 */
#include <string.h>

#include "console/audit/cmd_audit.h"
#include "console/cli.h"
#include "log.h"
#include "sandbox.h"

int
main(int argc, char **argv)
{
	sandbox_harden_process();
	log_init("portreeve", LOG_LV_INFO);
	if (argc > 1 && strcmp(argv[1], "audit") == 0)
		return cmd_audit(argc - 1, argv + 1);
	cli_error("usage: portreeve-audit audit tail|search|show|verify, or "
	    "portreeve audit ...");
	return 2;
}
