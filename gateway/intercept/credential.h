/*
 * credential - how the catalogue uses credentials: which connector may have
 * which, and the header it becomes. The values are in the vault.
 *
 * Snapshot section "credentials": u32 count of {str name, str type
 * (bearer | header | basic), str header, str template, u32 n, str connector...}. The
 * same name may come several times, for other connectors.
 */
#ifndef CREDENTIAL_H
#define CREDENTIAL_H

#include "base.h"
#include "buf.h"
#include "err.h"

struct credential {
	char *name, *header;
	char *template;		/* has {} once, where the value goes */
	bool basic;		/* the value is user:password, sent in Base64 */
	char **connectors;
	size_t nconnectors;
};

struct credential_set {
	struct credential *v;
	size_t n;
};

/* 0, or -1 and err; *set_r is to be cleared in any case. */
int credential_read(struct slice section, struct credential_set *set_r,
    struct err *err) MUST_USE;
void credential_clear(struct credential_set *set);
/* What this connector may use under this name, or NULL. */
const struct credential *credential_for(const struct credential_set *set,
    struct slice name, struct slice connector);
bool credential_defined(const struct credential_set *set,
    struct slice name);
/* Is it the first of its name? (to list each name once) */
bool credential_first(const struct credential_set *set, size_t i);
/* May it stand in a header: no control characters but tab. */
bool credential_value_ok(struct slice value);
/* Packs the header's value as a str. */
void credential_pack_value(struct buf *out, const struct credential *c,
    struct slice value);

#endif
