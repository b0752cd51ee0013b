/*
 * stdio - portreeve stdio NAME -- COMMAND: what an agent starts instead of a
 * local MCP server. This file: the command line, and the agent's side.
 */
#include "console/stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium/crypto_hash_sha256.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec.h"
#include "conf.h"
#include "console/commands.h"
#include "console/op.h"
#include "err.h"
#include "jsonw.h"
#include "log.h"
#include "rng.h"

#define TOKEN_ENV "PORTREEVE_TOKEN"
#define FOLDER_ENV "PORTREEVE_STDIO"
#define TOKEN_MAX 256
#define LINE_MAX_FIRST (1u << 20)	/* until the gateway has said */
#define END_WAIT_MS 5000
#define LISTEN_FIRST_MS 1000

/* --- lines to the agent ----------------------------------------------------- */

void
shim_add_line(struct buf *b, struct slice json)
{
	for (struct slice rest = json; rest.n > 0;) {
		size_t n = 0;

		while (n < rest.n && rest.p[n] != '\n' && rest.p[n] != '\r')
			n++;
		buf_add(b, rest.p, n);
		if (n < rest.n)
			buf_add_char(b, ' ');
		rest = slice_sub(rest, n + 1, SIZE_MAX);
	}
	buf_add_char(b, '\n');
}

static void
write_agent(struct shim *s)
{
	while (s->out.len > 0) {
		ssize_t k = write(1, buf_data(&s->out), s->out.len);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0 && errno != EAGAIN) {
			buf_reset(&s->out);	/* nobody listens */
			s->in_end = true;
		}
		if (k < 0)
			break;
		buf_consume(&s->out, (size_t)k);
	}
	if (s->out_watch != NULL)
		loop_fd_set(s->out_watch, s->out.len > 0 ? LOOP_WRITE : 0);
}

static void
agent_flush(void *ctx)
{
	struct shim *s = ctx;

	write_agent(s);
	if (s->out.len == 0)
		shim_maybe_end(s);
}

static void
on_agent_out(void *ctx, unsigned events)
{
	struct shim *s = ctx;

	if (events & LOOP_ERR) {
		loop_fd_del(s->out_watch);
		s->out_watch = NULL;
		buf_reset(&s->out);
		s->in_end = true;
		shim_maybe_end(s);
		return;
	}
	agent_flush(s);
}

void
shim_to_agent(struct shim *s, struct slice json)
{
	if (s->out_watch == NULL)
		return;
	shim_add_line(&s->out, json);
	if (s->out.full) {
		log_error("the agent does not read its answers");
		s->in_end = true;
		server_stop(s);
		return;
	}
	/* Each message as soon as it is there: clients of the SDKs lose the
	 * last progress when it comes in one piece with the result. */
	write_agent(s);
	loop_at_end(s->loop, agent_flush, s);
}

void
shim_refused(struct shim *s, const char *id, const char *text,
    const char *reason, const char *event)
{
	char full[1200];
	struct buf b;

	snprintf(full, sizeof(full), "%s%s", strncmp(text, "Portreeve:",
	    10) == 0 ? "" : "Portreeve: ", text);
	buf_init(&b, 65536);
	mcp_write_error(&b, slice_str(id), MCP_CODE_REFUSED, full, reason,
	    event);
	if (!b.full)
		shim_to_agent(s, buf_slice(&b));
	buf_free(&b);
}

void
shim_error(struct shim *s, const char *id, const char *text)
{
	shim_refused(s, id, text, "stdio", NULL);
}

/* --- lines of the agent -------------------------------------------------------- */

void
shim_gate_down(struct shim *s, const char *why)
{
	s->gate = GATE_DOWN;
	snprintf(s->gate_error, sizeof(s->gate_error), "portreeve stdio %s: "
	    "%s", s->name, why);
	log_error("%s", s->gate_error);
	shim_go_on(s);
}

static void
listen_to_server(struct shim *s)
{
	if (!s->initialized || s->listening || s->gate != GATE_UP ||
	    s->ending)
		return;
	s->listening = wire_ask(s, ASK_LISTEN, slice_make("", 0)) != NULL;
	if (s->listening)
		wire_offer_lanes(s);
}

static void
on_listen_again(void *ctx)
{
	listen_to_server(ctx);
}

static void
agent_line(struct shim *s, struct slice line)
{
	struct mcp_message m = { .kind = MCP_INVALID };
	bool answered;
	struct wire *w;
	char *id;

	if (json_index(&s->doc, line, NULL) == JSON_OK)
		mcp_read(&s->doc, 0, &m);
	/* What is no message is refused by the gateway, in our words. */
	answered = m.kind == MCP_REQUEST || m.kind == MCP_INVALID ||
	    m.kind == MCP_BATCH;
	id = m.id.n > 0 ? slice_dup(m.id) : base_strdup("null");
	if (s->gate != GATE_UP) {
		if (answered)
			shim_error(s, id, s->gate_error);
		free(id);
		return;
	}
	w = wire_ask(s, ASK_MESSAGE, line);
	if (w == NULL) {
		if (answered)
			shim_error(s, id, "the gateway cannot be reached: "
			    "nothing passes without it");
		free(id);
		s->gate = GATE_DOWN;
		return;
	}
	if (answered) {
		w->id = id;
	} else {
		free(id);
		s->barrier = w;
	}
	if (slice_is(m.method, "notifications/initialized"))
		s->initialized = true;
	wire_offer_lanes(s);
}

/* Lines wait while the gateway is asked whether the server may run, and behind
 * a message that has no answer: what follows it may depend on it. */
static bool
must_wait(struct shim *s)
{
	if (s->barrier != NULL || s->gate == GATE_ASKING)
		return true;
	if (s->gate == GATE_UP || s->refused)
		return false;
	if (s->asked)
		return false;	/* these lines get the refusal */
	s->asked = true;
	wire_show_server(s);
	return s->gate == GATE_ASKING;
}

void
shim_go_on(struct shim *s)
{
	struct slice in, line;
	enum lines_result r = LINES_LINE;

	if (s->ending || s->going_on)
		return;
	s->going_on = true;
	if (s->gate == GATE_UP && s->terms.known) {
		s->lines.max = s->terms.body;
		s->lines.part.max = s->terms.body + 1;
	}
	while (s->in.len > 0 && r != LINES_MORE && !must_wait(s)) {
		in = buf_slice(&s->in);
		size_t before = in.n;

		r = lines_next(&s->lines, &in, &line);
		if (r == LINES_LINE)
			agent_line(s, line);
		if (r == LINES_LONG) {
			shim_error(s, "null", "a message is longer than the "
			    "gate may read");
			wire_note(s, "noise", "a message of the agent was "
			    "too long and went nowhere");
		}
		buf_consume(&s->in, before - in.n);
	}
	s->going_on = false;
	if (s->gate != GATE_ASKING)
		s->asked = false;	/* what comes later asks again */
	if (s->barrier == NULL)
		listen_to_server(s);
	if (s->in_watch != NULL)
		loop_fd_set(s->in_watch, buf_room(&s->in) > 0 ? LOOP_READ :
		    0);
	shim_maybe_end(s);
}

static void
on_agent_in(void *ctx, unsigned events)
{
	struct shim *s = ctx;
	size_t room = buf_room(&s->in);
	char *p = room == 0 ? NULL : buf_reserve(&s->in, room);
	ssize_t k = p == NULL ? -1 : read(0, p, room);

	(void)events;
	if (p == NULL || (k < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	if (k <= 0) {
		loop_fd_del(s->in_watch);
		s->in_watch = NULL;
		s->in_end = true;
	} else {
		buf_commit(&s->in, (size_t)k);
	}
	shim_go_on(s);
}

/* --- the end --------------------------------------------------------------------- */

static void
end_now(void *ctx)
{
	struct shim *s = ctx;

	if (s->ending)
		return;
	s->ending = true;
	server_stop(s);
}

void
shim_maybe_end(struct shim *s)
{
	if (!s->in_end || s->ending)
		return;
	if (s->out_watch == NULL || (s->in.len == 0 &&
	    wire_calls(s) == (s->listening ? 1 : 0) && s->out.len == 0))
		end_now(s);
	else
		loop_timer_set(s->end, END_WAIT_MS);
}

void
shim_over(struct shim *s)
{
	agent_flush(s);
	loop_stop(s->loop);
}

static void
on_signal(void *ctx, unsigned events)
{
	(void)events;
	end_now(ctx);
}

/* --- the command line -------------------------------------------------------------- */

enum { OPT_PIN = CLI_OPT_OWN, OPT_SOCKET, OPT_TOKEN_FILE, OPT_TOKEN_FD };

static const struct option longs[] = {
	CLI_LONG,
	{ "pin", no_argument, NULL, OPT_PIN },
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "token-file", required_argument, NULL, OPT_TOKEN_FILE },
	{ "token-fd", required_argument, NULL, OPT_TOKEN_FD },
	{ 0 }
};

static const char usage[] =
    "[--socket DIR] [--token-file FILE|--token-fd N] NAME -- COMMAND ...\n"
    "       portreeve stdio --pin NAME -- COMMAND ...\n"
    "The token is in " TOKEN_ENV " where no option says otherwise; the "
    "folder of the\ngateway's sockets in " FOLDER_ENV ", or in the "
    "configuration.";

struct options {
	struct cli cli;
	const char *socket, *token_file, *name;
	int token_fd;
	bool pin;
	char **command;
};

static int
read_options(int argc, char **argv, struct options *o)
{
	int opt, n = 0, dashes = 1;
	const char *args[1];
	uint64_t fd;

	while (dashes < argc && strcmp(argv[dashes], "--") != 0)
		dashes++;
	cli_init(&o->cli, "stdio");
	o->token_fd = -1;
	optind = 1;
	while ((opt = cli_next(dashes, argv, longs, args, &n, 1)) >= 0) {
		switch (opt) {
		case OPT_PIN:
			o->pin = true;
			break;
		case OPT_SOCKET:
			o->socket = optarg;
			break;
		case OPT_TOKEN_FILE:
			o->token_file = optarg;
			break;
		case OPT_TOKEN_FD:
			if (!slice_to_u64(slice_str(optarg), &fd) ||
			    fd > 65535)
				return -1;
			o->token_fd = (int)fd;
			break;
		default:
			if (!cli_option(&o->cli, opt))
				return -1;
		}
	}
	if (opt == -2 || n != 1 || o->cli.help || dashes + 1 >= argc)
		return -1;
	o->name = args[0];
	o->command = argv + dashes + 1;
	for (const char *p = o->name; *p != '\0'; p++)
		if (!((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') ||
		    *p == '-') || p - o->name >= 64)
			return -1;
	return 0;
}

/* As execvp(3) finds it. */
static char *
find_executable(const char *word)
{
	const char *path = getenv("PATH");
	struct slice rest = slice_str(path == NULL ? "/usr/bin:/bin" : path);
	char full[4096];

	if (strchr(word, '/') != NULL)
		return realpath(word, NULL);
	while (rest.p != NULL) {
		struct slice dir = slice_cut(&rest, ':');

		snprintf(full, sizeof(full), "%.*s/%s", SLICE_FMT(dir), word);
		if (dir.n > 0 && access(full, X_OK) == 0)
			return realpath(full, NULL);
	}
	return NULL;
}

static int
measure(struct shim *s)
{
	static unsigned char chunk[1 << 16];
	crypto_hash_sha256_state st;
	unsigned char sum[32];
	bool first = true;
	ssize_t k;

	s->exe_path = find_executable(s->command[0]);
	s->exe = s->exe_path == NULL ? -1 : open(s->exe_path, O_RDONLY |
	    O_CLOEXEC);
	if (s->exe < 0 || fstat(s->exe, &s->exe_stat) != 0 ||
	    !S_ISREG(s->exe_stat.st_mode)) {
		cli_error("%s: no such program", s->command[0]);
		return -1;
	}
	crypto_hash_sha256_init(&st);
	while ((k = read(s->exe, chunk, sizeof(chunk))) > 0) {
		if (first)
			s->script = k > 1 && memcmp(chunk, "#!", 2) == 0;
		first = false;
		crypto_hash_sha256_update(&st, chunk, (size_t)k);
	}
	if (k < 0) {
		cli_error("%s: %s", s->exe_path, strerror(errno));
		return -1;
	}
	crypto_hash_sha256_final(&st, sum);
	memcpy(s->digest, "sha256:", 7);
	hex_encode(sum, 32, s->digest + 7);
	return 0;
}

static int
print_pin(const struct shim *s)
{
	struct jsonw w;
	struct buf b;

	buf_init(&b, 1u << 20);
	jsonw_init(&w, &b);
	jsonw_array(&w, NULL);
	for (char **p = s->command; *p != NULL; p++)
		jsonw_str(&w, NULL, *p);
	jsonw_array_end(&w);
	printf("name: %s\nkind: stdio\ncommand: %.*s\ndigest: %s   # %s\n",
	    s->name, SLICE_FMT(buf_slice(&b)), s->digest, s->exe_path);
	buf_free(&b);
	if (s->script)
		fprintf(stderr, "portreeve: %s is a script: its interpreter "
		    "and what it loads are not pinned by this\n",
		    s->exe_path);
	return CLI_OK;
}

/* Out of the environment, where ps and the server would see it. */
static char *
token_of(const struct options *o)
{
	char text[TOKEN_MAX + 2] = "", *env = getenv(TOKEN_ENV), *token;
	int fd = o->token_fd;
	ssize_t k = 0;

	if (o->token_file != NULL)
		fd = open(o->token_file, O_RDONLY | O_CLOEXEC);
	if (o->token_file != NULL || fd >= 0)
		k = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	else if (env != NULL)
		k = snprintf(text, sizeof(text), "%s", env);
	if (env != NULL) {
		explicit_bzero(env, strlen(env));
		unsetenv(TOKEN_ENV);
	}
	base_close(&fd);
	if (k <= 0 || k > TOKEN_MAX)
		return NULL;
	text[strcspn(text, "\r\n")] = '\0';
	token = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrst"
	    "uvwxyz0123456789_-") == strlen(text) && text[0] != '\0' ?
	    base_strdup(text) : NULL;
	explicit_bzero(text, sizeof(text));
	return token;
}

static void
warn_nothing(void *ctx, const char *text)
{
	(void)ctx;
	(void)text;
}

static char *
folder_of_conf(const struct cli *cli)
{
	const char *file = cli->config != NULL ? cli->config :
	    "/etc/portreeve/portreeve.yaml";
	struct err err = { 0 };
	struct conf *c = conf_load(file, warn_nothing, NULL, &err);
	char *folder = NULL;

	for (size_t i = 0; c != NULL && i < c->nlisteners; i++)
		if (c->listeners[i].kind == CONF_STDIO)
			folder = base_strdup(c->listeners[i].address);
	conf_free(c);
	return folder;
}

/* One of the proxies' sockets, the same one for all connections. */
static int
choose_socket(struct shim *s, const struct options *o)
{
	const char *env = getenv(FOLDER_ENV);
	char *folder = o->socket != NULL ? base_strdup(o->socket) :
	    env != NULL ? base_strdup(env) : folder_of_conf(&o->cli);
	unsigned n = 0;
	int r = 0;

	if (folder == NULL) {
		cli_error("where is the gateway? Give --socket DIR or " FOLDER_ENV
		    ": the folder at `listen: - stdio:`");
		return -1;
	}
	for (; n < 64; n++) {
		char path[4200];

		snprintf(path, sizeof(path), "%s/%u.sock", folder, n);
		if (access(path, F_OK) != 0)
			break;
	}
	if ((size_t)snprintf(s->socket, sizeof(s->socket), "%s/%u.sock",
	    folder, n == 0 ? 0 : (unsigned)(rng_u64() % n)) >=
	    sizeof(s->socket)) {
		cli_error("%s: longer than a unix socket's folder may be",
		    folder);
		r = -1;
	}
	free(folder);
	return r;
}

static int
watch_ends(struct shim *s)
{
	struct stat st;
	sigset_t set;
	int fd;

	for (int i = 0; i < 2; i++)
		if (fstat(i, &st) != 0 || S_ISREG(st.st_mode) ||
		    S_ISDIR(st.st_mode) || (S_ISCHR(st.st_mode) &&
		    !isatty(i))) {
			cli_error("standard input and output must be pipes, "
			    "sockets or a terminal");
			return -1;
		}
	fcntl(1, F_SETFL, fcntl(1, F_GETFL) | O_NONBLOCK);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	ASSERT(fd >= 0);
	s->signal_watch = loop_fd_add(s->loop, fd, LOOP_READ, on_signal, s);
	s->in_watch = loop_fd_add(s->loop, 0, LOOP_READ, on_agent_in, s);
	s->out_watch = loop_fd_add(s->loop, 1, 0, on_agent_out, s);
	return 0;
}

static void
shim_init(struct shim *s)
{
	uint8_t link[16];

	rng_bytes(link, sizeof(link));
	hex_encode(link, sizeof(link), s->link);
	s->loop = loop_new();
	list_init(&s->wires);
	buf_init(&s->in, 65536);
	buf_init(&s->out, SHIM_OUT_MAX);
	buf_init(&s->early, SHIM_EARLY_MAX);
	lines_init(&s->lines, LINE_MAX_FIRST);
	json_init(&s->doc);
	s->listen_ms = LISTEN_FIRST_MS;
	s->listen_again = loop_timer_new(s->loop, on_listen_again, s);
	s->end = loop_timer_new(s->loop, end_now, s);
	server_init(s);
}

static void
shim_free(struct shim *s)
{
	while (!list_empty(&s->wires))
		wire_close(list_entry(s->wires.next, struct wire, link));
	server_free(s);
	loop_fd_del(s->in_watch);
	loop_fd_del(s->out_watch);
	loop_fd_del(s->signal_watch);
	loop_timer_del(s->listen_again);
	loop_timer_del(s->end);
	lines_free(&s->lines);
	buf_wipe_free(&s->in);
	buf_wipe_free(&s->out);
	buf_wipe_free(&s->early);
	json_free(&s->doc);
	if (s->token != NULL)
		explicit_bzero(s->token, strlen(s->token));
	free(s->token);
	free(s->exe_path);
	base_close(&s->exe);
	loop_free(s->loop);
}

static int
run(struct shim *s)
{
	shim_init(s);
	if (watch_ends(s) != 0) {
		shim_free(s);
		return CLI_USAGE;
	}
	if (s->token == NULL) {
		s->refused = true;
		shim_gate_down(s, "no task token. Mint one with: portreeve "
		    "session open --user U --agent A --for 1h; give it in "
		    TOKEN_ENV);
	} else {
		s->asked = true;
		wire_show_server(s);
	}
	loop_run(s->loop);
	shim_free(s);
	return CLI_OK;
}

int
cmd_stdio(int argc, char **argv)
{
	static struct shim s;
	struct options o = { 0 };

	s.exe = -1;
	if (read_options(argc, argv, &o) != 0)
		return cli_usage(&o.cli, usage);
	s.name = o.name;
	s.command = o.command;
	if (measure(&s) != 0)
		return CLI_NOT_FOUND;
	if (o.pin)
		return print_pin(&s);
	s.token = token_of(&o);
	if (choose_socket(&s, &o) != 0)
		return CLI_USAGE;
	return run(&s);
}
