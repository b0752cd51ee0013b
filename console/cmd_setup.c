/*
 * cmd_setup - goes on as portreeve-setup, which stands beside this program.
 */
#include "console/commands.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "console/cli.h"

int
cmd_setup(int argc, char **argv)
{
	static const char program[] = "portreeve-setup";
	char path[PATH_MAX + sizeof(program)];
	char **args = base_calloc((size_t)argc + 2, sizeof(*args));
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
	char *slash;

	ASSERT(n > 0);
	path[n] = '\0';
	slash = strrchr(path, '/');
	ASSERT(slash != NULL);
	memcpy(slash + 1, program, sizeof(program));
	args[0] = (char *)(uintptr_t)program;
	memcpy(args + 1, argv, (size_t)argc * sizeof(*args));
	execv(path, args);
	cli_error("%s: %s: the installation is not complete", path,
	    strerror(errno));
	free(args);
	return CLI_FAILED;
}
