/*
 * doctor - what `portreeve doctor` looks at: each check adds rows, a row says
 * what was found and what to do. cmd_doctor.c looks at the installation,
 * doctor_roads.c at roads that nothing is sent on, doctor_connectors.c and
 * doctor_calls.c at what goes through.
 *
 * Its own calls go through the gate under sessions of the user "doctor", and
 * are in the ledger like everybody's.
 */
#ifndef DOCTOR_H
#define DOCTOR_H

#include "console/setup/onramp.h"

enum doctor_state { DOCTOR_FAIL, DOCTOR_WARN, DOCTOR_OK, DOCTOR_STATES };

struct doctor_row {
	enum doctor_state state;
	char check[80], detail[256], advice[256];
};

#define DOCTOR_ROWS 512

struct doctor {
	struct cli cli;
	struct onramp ramp;
	char dir[4096];		/* private, for the CA files; "": none */
	struct doctor_row rows[DOCTOR_ROWS];
	size_t n;
};

/* advice: "" when there is nothing to do. More than DOCTOR_ROWS rows are
 * counted in the last one. */
void doctor_add(struct doctor *d, enum doctor_state s, const char *check,
    const char *advice, const char *fmt, ...) PRINTF_LIKE(5, 6);

/* One request over TCP, its whole answer; -1 and errno. Ends after 10 s. */
int doctor_fetch(const char *hostport, struct slice request,
    struct buf *answer) MUST_USE;

/* The same to a connector's host by the proxy: TLS that trusts our CA alone,
 * or absolute-form. The request's lines up to Host are written here. Where the
 * proxy refuses the tunnel, that is the answer. */
int doctor_fetch_by_proxy(const struct doctor *d, const struct connector *c,
    const char *token, const char *method, const char *path,
    struct slice rest, struct buf *answer, struct err *err) MUST_USE;

/* A session of the user "doctor", for ten minutes at most. */
struct doctor_session {
	char token[256], id[64];
};
int doctor_session_begin(struct doctor *d, const char *agent,
    struct doctor_session *s);
void doctor_session_end(struct doctor *d, struct doctor_session *s);

/* A program as the shell would find it. */
bool doctor_find(const char *program, char path[4096]);

void doctor_connectors(struct doctor *d);
void doctor_roads(struct doctor *d);
void doctor_runtimes(struct doctor *d);

#endif
