/*
 * cmd_program - commands that go on as another program, which stands beside
 * this one: so that `portreeve kill` starts without the libraries they need.
 */
#include "console/commands.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "console/cli.h"

static int
go_on(const char *program, int argc, char **argv)
{
	char path[2 * PATH_MAX];
	char **args = base_calloc((size_t)argc + 2, sizeof(*args));
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
	char *slash;

	ASSERT(n > 0);
	path[n] = '\0';
	slash = strrchr(path, '/');
	ASSERT(slash != NULL);
	memcpy(slash + 1, program, strlen(program) + 1);
	args[0] = (char *)(uintptr_t)program;
	memcpy(args + 1, argv, (size_t)argc * sizeof(*args));
	execv(path, args);
	cli_error("%s: %s: the installation is not complete", path,
	    strerror(errno));
	free(args);
	return CLI_FAILED;
}

int
cmd_setup(int argc, char **argv)
{
	return go_on("portreeve-setup", argc, argv);
}

int
cmd_audit(int argc, char **argv)
{
	return go_on("portreeve-audit", argc, argv);
}
