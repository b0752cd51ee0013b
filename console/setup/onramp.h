/*
 * onramp - what a client needs to reach its tools through Portreeve: where
 * the proxy and the mounts are, which variables its runtime reads, and the
 * files those variables name (CA, bundle with the system's roots, a trust
 * store for Java).
 *
 * The task token never stands in what is printed: PORTREEVE_TOKEN does, and
 * the shell or the person puts it in.
 */
#ifndef ONRAMP_H
#define ONRAMP_H

#include "console/cli.h"
#include "conf.h"
#include "connector.h"

#define ONRAMP_TOKEN "PORTREEVE_TOKEN"

enum onramp_runtime {
#define RUNTIME(sym, program, note) ONRAMP_##sym,
#include "console/setup/runtimes.def"
#undef RUNTIME
	ONRAMP_RUNTIMES
};

enum onramp_value { VALUE_PROXY, VALUE_NO_PROXY, VALUE_BUNDLE, VALUE_CA,
	VALUE_ONE, VALUE_JAVA };

struct onramp {
	struct conf *conf;
	struct connector_set *catalogue;
	char *proxy, *mount;	/* host:port as a client writes it; or NULL */
	char *no_proxy;		/* loopback, unless a connector is there */
	char *ca, *bundle, *store;	/* paths; NULL before onramp_files() */
};

/* Loads configuration and catalogue. An exit code; o is to be closed in any
 * case. */
int onramp_open(struct onramp *o, const struct cli *cli);
void onramp_close(struct onramp *o);
/* Another proxy address or list than the configuration's. */
void onramp_set_proxy(struct onramp *o, const char *address);
void onramp_set_no_proxy(struct onramp *o, const char *list);
/* Writes the files into dir, which is made with mode 0700 when it is not
 * there. ca: the CA's PEM file, NULL: the one in the state folder. An exit
 * code. */
int onramp_files(struct onramp *o, const char *dir, const char *ca);
void onramp_files_remove(const struct onramp *o);

const char *onramp_name(enum onramp_runtime r);
const char *onramp_note(enum onramp_runtime r);
/* -1 and a message that offers the nearest. */
int onramp_named(const char *name);

/* Variable i of a runtime: appends its value, with `token` in the proxy's
 * URL; false: it has no such variable (i still counts). NULL: no more. */
const char *onramp_variable(const struct onramp *o, enum onramp_runtime r,
    unsigned i, const char *token, struct buf *value_r, bool *has_r);

/* Prints compact JSON indented. */
void onramp_print(struct slice json);

#endif
