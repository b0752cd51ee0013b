/*
 * probe - tries one forbidden thing on purpose, for the sandbox tests: a role
 * started with PORTREEVE_PROBE=ROLE:OP[:ARG] does it right after its promise.
 * It can only harm the process that was told to.
 */
#ifndef PROBE_H
#define PROBE_H

/* Reads the environment; logs "probe OP: result" when the process lives on. */
void probe_run(const char *role);

#endif
