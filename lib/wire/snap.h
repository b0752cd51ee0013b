/*
 * snap - a snapshot: named sections in one sealed memfd, made by a compiler,
 * mapped read-only by roles.
 *
 * Layout: magic "PRSNAP01", u32 count, u32 zero, h32 SHA-256 of all behind
 * it, then per section: str name, str body. Each section's body is packed by
 * the module whose name it bears.
 */
#ifndef SNAP_H
#define SNAP_H

#include "base.h"
#include "buf.h"
#include "err.h"

struct snap_writer {
	struct buf body;
	uint32_t count;
};

void snap_writer_init(struct snap_writer *w);
void snap_writer_free(struct snap_writer *w);
void snap_add(struct snap_writer *w, const char *name, struct slice body);
/* A sealed memfd (write, grow, shrink, seal), or -1 and err. */
int snap_seal(struct snap_writer *w, struct err *err) MUST_USE;

struct snap;	/* a mapped, checked snapshot */

/* Checks seals, magic, digest and every length. *takes* fd. */
struct snap *snap_open(int fd, struct err *err) MUST_USE;
/* For tests and fuzzing: the same checks on bytes in memory (borrowed). */
struct snap *snap_parse(struct slice bytes, struct err *err) MUST_USE;
void snap_close(struct snap *s);	/* NULL-safe */
/* Borrowed until snap_close(); p == NULL when there is no such section. */
struct slice snap_section(const struct snap *s, const char *name);
/* First 12 hex digits of the digest. */
const char *snap_name(const struct snap *s);

#endif
