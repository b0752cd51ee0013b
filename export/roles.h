/* roles - the role of portreeve-export. */
#ifndef EXPORT_ROLES_H
#define EXPORT_ROLES_H

#include "role.h"

extern const struct role_def exporter_role;

#endif
