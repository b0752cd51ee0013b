/* libyaml - the library's <yaml.h>, which ours of the same name hides. */
#ifndef LIBYAML_H
#define LIBYAML_H

#include_next <yaml.h>

#endif
