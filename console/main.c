/*
 * main - the operator's command: finds the verb in commands.def and runs it.
 */
#include <stdio.h>
#include <string.h>

#include "err.h"
#include "log.h"
#include "sandbox.h"

#define CMD(name, fn, usage, doc) int fn(int argc, char **argv);
#include "commands.def"
#undef CMD

static const struct {
	const char *name, *usage, *doc;
	int (*fn)(int argc, char **argv);
} commands[] = {
#define CMD(name, fn, usage, doc) { name, usage, doc, fn },
#include "commands.def"
#undef CMD
};

static int
help(void)
{
	printf("Portreeve " PORTREEVE_VERSION
	    ": the gate between AI agents and what they call.\n\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		printf("  portreeve %-11s %s\n      %s\n", commands[i].name,
		    commands[i].usage, commands[i].doc);
	printf("\n-c FILE, or PORTREEVE_CONFIG, names the configuration.\n");
	return 0;
}

static int
unknown(const char *name)
{
	const char *names[ARRAY_LEN(commands)], *near;

	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		names[i] = commands[i].name;
	near = err_nearest(slice_str(name), names, ARRAY_LEN(names));
	fprintf(stderr, "portreeve: there is no command %s", name);
	if (near != NULL)
		fprintf(stderr, "; did you mean %s?", near);
	fprintf(stderr, "\nportreeve help lists all.\n");
	return 64;
}

int
main(int argc, char **argv)
{
	sandbox_harden_process();
	log_init("portreeve", LOG_LV_INFO);
	if (argc < 2 || strcmp(argv[1], "help") == 0 ||
	    strcmp(argv[1], "--help") == 0)
		return help();
	if (strcmp(argv[1], "--version") == 0) {
		printf("portreeve " PORTREEVE_VERSION "\n");
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].fn(argc - 1, argv + 1);
	return unknown(argv[1]);
}
