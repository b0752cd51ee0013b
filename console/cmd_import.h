/* cmd_import - see cmd_import.c; a verb of `portreeve connector`. */
#ifndef CMD_IMPORT_H
#define CMD_IMPORT_H

#include "cli.h"

struct import_options {
	const char *name, *host;	/* NULL: what the description says */
	bool write;
};

/* args: FORMAT FILE. An exit code. */
int cmd_import_run(const struct cli *cli, const char *const *args,
    int nargs, const struct import_options *o);

#endif
