/*
 * toolname - under which name the mount of all connectors offers a tool.
 *
 *   CONNECTOR__TOOL      when that has at most 64 characters of [A-Za-z0-9_-],
 *                        which is what models' APIs take as a tool's name
 *   CONNECTOR__TOO_HHHHHHHH   else: other characters are "_", what is too long
 *                        is cut, HHHHHHHH begins the SHA-256 of the whole name
 *
 * A connector's name of more than 40 characters is cut likewise, with "-".
 * Names of connectors have no "_": the first "__" ends the prefix.
 */
#ifndef TOOLNAME_H
#define TOOLNAME_H

#include "base.h"

#define TOOLNAME_MAX 64
#define TOOLNAME_PREFIX_MAX 40

/* What stands before "__". */
void toolname_prefix(const char *connector,
    char out[TOOLNAME_PREFIX_MAX + 1]);
/* tool: as the server says it, UTF-8. hashed: the second form in any case, for
 * a name that is taken. True: it is the first form, which can be read back. */
bool toolname_make(const char *connector, struct slice tool, bool hashed,
    char out[TOOLNAME_MAX + 1]);
/* False: there is no prefix, or nothing behind it. */
bool toolname_split(struct slice name, struct slice *prefix_r,
    struct slice *rest_r);

#endif
