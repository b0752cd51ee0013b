/*
 * trustmap - which client accepts the gateway's CA, which refuses it, and
 * which goes around the gateway; read from the ledger's file, like `audit`.
 *
 * What tells: client.* events (gateway/flow/trust.c), calls that need no CA,
 * what reached a transparent listener and is in no catalogue, requests without
 * a token, and sessions in which nothing ever came.
 */
#ifndef TRUSTMAP_H
#define TRUSTMAP_H

#include "base.h"
#include "err.h"

/* Worst first. */
enum trustmap_state {
	TRUSTMAP_REFUSES,	/* by a TLS alert, after it last trusted */
	TRUSTMAP_SILENT,	/* ended TLS without a word, likewise */
	TRUSTMAP_AROUND,	/* wanted a host that no connector has */
	TRUSTMAP_NO_TOKEN,
	TRUSTMAP_NO_TRAFFIC,	/* a session without a call */
	TRUSTMAP_TRUSTS,
	TRUSTMAP_NO_CA,		/* came by a mount, stdio or plain http */
	TRUSTMAP_STATES
};

struct trustmap_row {
	enum trustmap_state state;
	char *user, *agent, *source;	/* source without its port; or "" */
	char *client, *ja4, *host;	/* or "" */
	uint64_t seen[TRUSTMAP_STATES];
	int64_t last[TRUSTMAP_STATES];	/* wall ms; 0: never */
};

#define TRUSTMAP_ROWS 5000

struct trustmap {
	struct trustmap_row *v;		/* by state, then the latest first */
	size_t n;
	bool full;			/* there were more */
};

/* Of what happened from `since` (wall ms) on. NULL and err. */
struct trustmap *trustmap_load(const char *state_dir, int64_t since,
    struct err *err) MUST_USE;
void trustmap_free(struct trustmap *m);		/* NULL-safe */

const char *trustmap_word(enum trustmap_state s);
/* What to do about it; "" when there is nothing to do. Borrowed until the
 * next call. */
const char *trustmap_advice(const struct trustmap_row *r);

#endif
