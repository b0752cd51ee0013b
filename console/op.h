/*
 * op - one request to the broker or the keeper, one reply.
 *
 *   struct op o;
 *   op_begin(&o, "kill");                the request's object is open
 *   jsonw_str(&o.w, "target", t);
 *   if ((rc = op_ask(&o, cli)) == CLI_OK) ... op_str(&o, node, "epoch") ...
 *   op_end(&o);
 */
#ifndef OP_H
#define OP_H

#include "base.h"
#include "buf.h"
#include "cli.h"
#include "json.h"
#include "jsonw.h"
#include "msg.h"

#define OP_TEXTS 64

struct op {
	struct buf request, reply;
	struct jsonw w;
	struct json_doc doc;		/* of the reply, node 0 an object */
	char *texts[OP_TEXTS];		/* what op_str() decoded */
	size_t ntexts;
};

void op_begin(struct op *o, const char *verb);
/* A member when the value is not NULL. */
void op_put(struct op *o, const char *key, const char *value);
/* Closes the request, asks the broker. CLI_OK: doc is the reply and ok is
 * true. Else the error was printed and this is the exit code. With --json a
 * refusal is printed as it came. */
int op_ask(struct op *o, const struct cli *cli);
/* The same with another socket and message; body is packed by the caller. */
int op_call(struct op *o, const struct cli *cli, const char *socket_name,
    const char *daemon, enum msg_type type, struct slice body);
void op_end(struct op *o);		/* wipes */

/* Members of node, borrowed until op_end() or the 64th call after. NULL when
 * absent, null or no string. */
const char *op_str(struct op *o, uint32_t node, const char *key);
int64_t op_int(const struct op *o, uint32_t node, const char *key);
bool op_bool(const struct op *o, uint32_t node, const char *key);
/* The array's elements: op_first(&o, "sessions"), json_next(). */
uint32_t op_first(const struct op *o, const char *key, uint32_t *array_r);
/* The reply as it came, for --json. */
void op_print_json(const struct op *o);
/* The directory of the sockets, or NULL and a message. *owned* */
char *op_run_dir(const struct cli *cli);

#endif
