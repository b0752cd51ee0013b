/* reader - the role that reads the ledger for those who lag behind. */
#ifndef READER_H
#define READER_H

#include "role.h"

extern const struct role_def reader_role;

#endif
