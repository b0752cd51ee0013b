/* conf_rules - where the rules lie, and what they ask of the main file. */
#ifndef CONF_RULES_H
#define CONF_RULES_H

#include "base.h"

/* malloc'd: $PORTREEVE_RULES; else the tree's own rules/ beside a program in
 * build/KIND/; else the installed ones. look false: the last, always. */
char *conf_rules_default(bool look) MUST_USE;
/* True when a file of rules_dir/detection says `off_hours: true`. Errors in
 * rules are told by their own compiler, not here. */
bool conf_rules_ask_hours(const char *rules_dir);

#endif
