/* file - reads an operator's file whole; only compilers and the CLI may. */
#ifndef FILE_H
#define FILE_H

#include "base.h"
#include "buf.h"
#include "err.h"

/* Appends the regular file's bytes to out; -1 and err when it cannot be read,
 * is no regular file, or does not fit out's maximum. */
int file_read(const char *path, struct buf *out, struct err *err) MUST_USE;
/* malloc'd: path itself when absolute, else inside dir. */
char *file_resolve(const char *dir, const char *path) MUST_USE;
/* malloc'd folder part of path: "." when it has none. */
char *file_folder(const char *path) MUST_USE;

#endif
