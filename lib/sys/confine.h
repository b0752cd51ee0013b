/*
 * confine - what a program of strangers may reach that we start beside an
 * agent: no new privileges, no capabilities, Landlock over named paths, system
 * calls it has no business with refused, no network where told so.
 *
 * Unlike a role's promise (sandbox.h) it holds for a program that we do not
 * know: what is forbidden answers EPERM (clone3: ENOSYS, so that clone is tried,
 * whose flags a filter can see), nothing is killed for asking.
 *
 * Not covered: other hosts when `network` is true, and unix sockets that lie
 * in the file system, which Landlock does not know (landlock(7), ABI 7).
 */
#ifndef CONFINE_H
#define CONFINE_H

#include "base.h"
#include "err.h"

struct confine {
	int exe;			/* readable and executable, borrowed */
	const char *const *read;	/* NULL-terminated: read and execute */
	const char *const *write;	/* NULL-terminated: read and write */
	bool network;			/* false: a network of its own, empty */
};

/* In the child, before exec. The system's programs, libraries and settings can
 * be read besides. -1 and err: it must not be executed. */
int confine_enter(const struct confine *c, struct err *err) MUST_USE;

#endif
