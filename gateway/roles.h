/* roles - the roles of portreeve-gateway. */
#ifndef GATEWAY_ROLES_H
#define GATEWAY_ROLES_H

#include "role.h"

extern const struct role_def proxy_role;
extern const struct role_def keeper_role;
extern const struct role_def broker_role;

#endif
