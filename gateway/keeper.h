/* keeper - the role that holds what must not leak (see keeper.c). */
#ifndef KEEPER_H
#define KEEPER_H

#include "role.h"

extern const struct role_def keeper_role;

#endif
