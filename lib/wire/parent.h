/*
 * parent - what the three daemons' parents have in common: run the compiler,
 * start each role with what it may hold, introduce roles to one another
 * (links.def), start them again when they die, stop them all.
 *
 * A parent parses nobody's bytes: the compiler's answer is a sealed memfd it
 * hands on unread (only conf, packed by our own compiler, is unpacked to know
 * what to start).
 */
#ifndef PARENT_H
#define PARENT_H

#include "base.h"
#include "conf.h"
#include "emit.h"
#include "err.h"
#include "role.h"
#include "snap.h"

struct parent;

struct parent_child_def {
	const struct role_def *def;
	/* How many of it; NULL: one. */
	unsigned (*count)(const struct conf *c);
	/* Hands over directories, listeners, pages; NULL: nothing. */
	void (*equip)(struct parent *p, unsigned index);
};

struct parent_def {
	enum role self;
	const char *program;		/* for messages and --help */
	const struct parent_child_def *children;
	size_t nchildren;
	/* Adds this daemon's sections (conf is added already). Runs in the
	 * compiler process. */
	int (*compile)(const struct conf *c, struct snap_writer *w,
	    conf_warn_fn *warn, void *ctx, struct err *err);
	/* Before the first role is started: bind, make pages. */
	int (*prepare)(struct parent *p, struct err *err);
};

/* main() of a daemon:  PROGRAM -c FILE [--supervised]
 * [--clock-offset-ms N] | --check FILE | --role NAME -c FILE. --supervised: the
 * supervisor's channel is descriptor 3. */
int parent_main(const struct parent_def *def, int argc, char **argv);

/* For prepare and equip. */
const struct conf *parent_conf(const struct parent *p);
struct loop *parent_loop(struct parent *p);
void *parent_ctx(struct parent *p);
void parent_set_ctx(struct parent *p, void *ctx);
/* Gives the role being equipped a directory below the state directory
 * (made 0700 when missing, owned by conf->user when root). */
void parent_give_dir(struct parent *p, const char *name, const char *subdir);
/* fd stays the parent's. */
/* An open file, under a name as a directory's; fd is borrowed. */
void parent_give_file(struct parent *p, const char *name, int fd);
void parent_give_listener(struct parent *p, int kind, const char *name,
    int fd);
void parent_give_killpage(struct parent *p, bool writable, int fd);
void parent_give_eventfd(struct parent *p, unsigned index, int fd);

/* A listening TCP ("host:port") or unix (path, mode 0600) socket. */
/* transparent: for TPROXY, which needs CAP_NET_ADMIN. */
int parent_listen_tcp(const char *address, bool transparent, struct err *err)
    MUST_USE;
int parent_listen_unix(const struct conf *c, const char *name,
    struct err *err) MUST_USE;
/* FOLDER/INDEX.sock, which everybody may connect to: a task token says who
 * asks. The folder is made, 0755. */
int parent_listen_stdio(const char *folder, unsigned index, struct err *err)
    MUST_USE;

#endif
