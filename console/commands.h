/* commands - the functions of commands.def: main()'s argc and argv from the
 * command's word on; the exit code: cli.h; of audit console/audit/cmd_audit.h;
 * of serve and check 64 for wrong use and a daemon's own otherwise. */
#ifndef COMMANDS_H
#define COMMANDS_H

#define CMD(name, function, usage, doc) int function(int argc, char **argv);
#include "console/commands.def"
#undef CMD

#endif
