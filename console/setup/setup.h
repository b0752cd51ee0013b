/*
 * setup - the commands of portreeve-setup: those that read the catalogue, or
 * speak TLS. They are a program of their own so that `portreeve kill` starts
 * without the libraries they need. main()'s argc and argv from the command's
 * word on; the exit code: cli.h.
 */
#ifndef SETUP_H
#define SETUP_H

#include "console/cli.h"

int cmd_client(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_import(int argc, char **argv);	/* connector import */
int cmd_proxy(int argc, char **argv);
int cmd_run(int argc, char **argv);

#endif
