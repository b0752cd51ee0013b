/* recorder - the role that is the only writer of the ledger. */
#ifndef RECORDER_H
#define RECORDER_H

#include "role.h"

extern const struct role_def recorder_role;

#endif
