/* op - see op.h. */
#include "console/op.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "chan.h"
#include "conf.h"
#include "err.h"

#define DEFAULT_CONFIG "/etc/portreeve/portreeve.yaml"
#define DEFAULT_RUN "/run/portreeve"
#define REPLY_MS 15000		/* longer than any verb waits */

void
op_begin(struct op *o, const char *verb)
{
	memset(o, 0, sizeof(*o));
	buf_init(&o->request, CHAN_BODY_MAX);
	buf_init(&o->reply, CHAN_BODY_MAX + 1);
	json_init(&o->doc);
	jsonw_init(&o->w, &o->request);
	jsonw_object(&o->w, NULL);
	jsonw_str(&o->w, "verb", verb);
}

void
op_put(struct op *o, const char *key, const char *value)
{
	if (value != NULL)
		jsonw_str(&o->w, key, value);
}

void
op_end(struct op *o)
{
	for (size_t i = 0; i < OP_TEXTS; i++)
		free(o->texts[i]);
	buf_wipe_free(&o->request);
	buf_wipe_free(&o->reply);
	json_free(&o->doc);
}

/* -- where -- */

static void
warn_nothing(void *ctx, const char *text)
{
	(void)ctx;
	(void)text;	/* `portreeve check` is the place for warnings */
}

char *
op_run_dir(const struct cli *cli)
{
	const char *file = cli->config;
	struct err err = { 0 };
	struct conf *c;
	char *dir;

	if (cli->run != NULL)
		return base_strdup(cli->run);
	if (file == NULL && access(DEFAULT_CONFIG, F_OK) != 0)
		return base_strdup(DEFAULT_RUN);
	if (file == NULL)
		file = DEFAULT_CONFIG;
	if ((c = conf_load(file, warn_nothing, NULL, &err)) == NULL) {
		cli_error("%s", err.text);
		return NULL;
	}
	dir = base_strdup(c->run_dir);
	conf_free(c);
	return dir;
}

static int
dial(const struct cli *cli, const char *name, const char *daemon, int *rc_r)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct timeval limit = { REPLY_MS / 1000, 0 };
	char *dir = op_run_dir(cli);
	int fd, n;

	*rc_r = CLI_USAGE;
	if (dir == NULL)
		return -1;
	n = snprintf(a.sun_path, sizeof(a.sun_path), "%s/%s", dir, name);
	free(dir);
	if (n < 0 || (size_t)n >= sizeof(a.sun_path)) {
		cli_error("the path of %s is longer than a unix socket's"
		    " %zu bytes; set a shorter `run:`", name,
		    sizeof(a.sun_path) - 1);
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0) {
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit,
		    sizeof(limit));
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit,
		    sizeof(limit));
		return fd;
	}
	n = errno;
	base_close(&fd);
	*rc_r = n == EACCES ? CLI_NOT_PERMITTED : CLI_UNREACHABLE;
	if (n == EACCES)
		cli_error("%s: you may not open it; run this as root or as"
		    " the daemons' user", a.sun_path);
	else
		cli_error("%s: %s\nThe %s is not running there. Start it with:"
		    " portreeve serve -c FILE   (or tell where: -c FILE,"
		    " --run DIR)", a.sun_path, strerror(n), daemon);
	return -1;
}

/* -- ask -- */

static int
exit_of(const char *code)
{
	static const struct {
		const char *code;
		int rc;
	} codes[] = {
		{ "usage", CLI_USAGE }, { "not-found", CLI_NOT_FOUND },
		{ "conflict", CLI_CONFLICT }, { "refused", CLI_NOT_PERMITTED },
		{ "unavailable", CLI_FAILED }, { "failed", CLI_FAILED },
	};

	for (size_t i = 0; code != NULL && i < ARRAY_LEN(codes); i++)
		if (strcmp(code, codes[i].code) == 0)
			return codes[i].rc;
	return CLI_FAILED;
}

static int
take_reply(struct op *o, const struct cli *cli, enum msg_type type)
{
	const char *error;

	if (type != MSG_OP_REPLY || json_index(&o->doc, buf_slice(&o->reply),
	    NULL) != JSON_OK || json_typeof(&o->doc, 0) != JSON_OBJECT) {
		cli_error("the daemon's answer cannot be read; is it of"
		    " another version?");
		return CLI_FAILED;
	}
	if (op_bool(o, 0, "ok"))
		return CLI_OK;
	error = op_str(o, 0, "error");
	if (cli->json)
		op_print_json(o);
	cli_error("%s", error == NULL ? "refused without a reason" :
	    cli_clean(error));
	return exit_of(op_str(o, 0, "code"));
}

int
op_call(struct op *o, const struct cli *cli, const char *socket_name,
    const char *daemon, enum msg_type type, struct slice body)
{
	enum msg_type answer;
	int rc, fd = dial(cli, socket_name, daemon, &rc);

	if (fd < 0)
		return rc;
	if (chan_call_send(fd, type, body) != 0 ||
	    chan_call_recv(fd, &answer, &o->reply, NULL) != 0) {
		cli_error("the %s closed the connection: %s", daemon,
		    errno == EAGAIN ? "no answer in time" :
		    errno == ECONNRESET || errno == EPIPE ?
		    "it refused this user or is just starting" :
		    strerror(errno));
		rc = CLI_UNREACHABLE;
	} else {
		rc = take_reply(o, cli, answer);
	}
	base_close(&fd);
	return rc;
}

int
op_ask(struct op *o, const struct cli *cli)
{
	op_put(o, "as", cli->as);
	jsonw_object_end(&o->w);
	if (o->request.full) {
		cli_error("the request is larger than %u MiB",
		    CHAN_BODY_MAX >> 20);
		return CLI_USAGE;
	}
	return op_call(o, cli, "operator.sock", "gateway (broker)",
	    MSG_OP_REQUEST, buf_slice(&o->request));
}

/* -- the reply -- */

const char *
op_str(struct op *o, uint32_t node, const char *key)
{
	uint32_t v = json_member(&o->doc, node, key);
	char *s;

	if (v == JSON_NONE || json_typeof(&o->doc, v) != JSON_STRING ||
	    (s = json_strdup(&o->doc, v)) == NULL)
		return NULL;
	free(o->texts[o->ntexts]);
	o->texts[o->ntexts] = s;
	o->ntexts = (o->ntexts + 1) % OP_TEXTS;
	return s;
}

int64_t
op_int(const struct op *o, uint32_t node, const char *key)
{
	int64_t v = 0;

	if (!json_int(&o->doc, json_member(&o->doc, node, key), &v))
		return 0;
	return v;
}

bool
op_bool(const struct op *o, uint32_t node, const char *key)
{
	return json_typeof(&o->doc, json_member(&o->doc, node, key)) ==
	    JSON_TRUE;
}

uint32_t
op_first(const struct op *o, const char *key, uint32_t *array_r)
{
	*array_r = json_member(&o->doc, 0, key);
	return *array_r == JSON_NONE ? JSON_NONE :
	    json_first(&o->doc, *array_r);
}

void
op_print_json(const struct op *o)
{
	printf("%.*s\n", SLICE_FMT(buf_slice(&o->reply)));
}
