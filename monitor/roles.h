/* roles - the roles of portreeve-monitor. */
#ifndef MONITOR_ROLES_H
#define MONITOR_ROLES_H

#include "role.h"

extern const struct role_def recorder_role;
extern const struct role_def reader_role;
extern const struct role_def detector_role;

#endif
