/*
 * doctor_calls - the part of `portreeve doctor` that sends something: a ping
 * to each connector through its mount, and each runtime of this machine to
 * the host of our own through the proxy.
 */
#include "console/setup/doctor.h"
#include "console/op.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

#define SELF "https://" CONNECTOR_SELF_HOST "/"
#define PROBE_MS 60000
#define TOKEN_MAX 256

extern char **environ;

/* -- sessions of our own -- */

struct session {
	char token[TOKEN_MAX], id[64];
};

static int
session_begin(struct doctor *d, const char *agent, struct session *s)
{
	struct op op;
	int rc;

	op_begin(&op, "session.open");
	op_put(&op, "user", "doctor");
	op_put(&op, "agent", agent);
	op_put(&op, "task", "portreeve doctor");
	jsonw_int(&op.w, "for_ms", 600000);
	if ((rc = op_ask(&op, &d->cli)) == CLI_OK) {
		const char *token = op_str(&op, 0, "token");
		const char *id = op_str(&op, 0, "session");

		snprintf(s->token, sizeof(s->token), "%s",
		    token == NULL ? "" : token);
		snprintf(s->id, sizeof(s->id), "%s", id == NULL ? "" : id);
	}
	op_end(&op);
	return rc;
}

static void
session_end(struct doctor *d, struct session *s)
{
	struct op op;

	op_begin(&op, "session.close");
	op_put(&op, "session", s->id);
	op_put(&op, "reason", "portreeve doctor is done");
	if (op_ask(&op, &d->cli) != CLI_OK)
		cli_error("session %s of doctor stays open for 10 minutes",
		    s->id);
	op_end(&op);
	explicit_bzero(s->token, sizeof(s->token));
}

/* -- connectors -- */

/* A GET that the catalogue calls read-only and that needs no name filled in;
 * NULL: there is none. */
static const char *
harmless(const struct connector *c)
{
	for (size_t i = 0; i < c->noperations; i++) {
		const struct connector_operation *o = &c->operations[i];

		if (strcmp(o->method, "GET") == 0 && o->tool.enabled &&
		    o->tool.klass == CONF_READ_ONLY &&
		    strchr(o->path, '{') == NULL)
			return o->path;
	}
	return NULL;
}

static bool
write_request(const struct connector *c, const char *token, struct buf *b)
{
	static const char ping[] =
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}";
	const char *path;

	if (c->kind == CONNECTOR_MCP) {
		buf_addf(b, "POST /mcp/%s HTTP/1.1\r\nHost: portreeve\r\n"
		    "Authorization: Bearer %s\r\nConnection: close\r\n"
		    "Content-Type: application/json\r\nAccept: application/"
		    "json, text/event-stream\r\nContent-Length: %zu\r\n\r\n"
		    "%s", c->name, token, sizeof(ping) - 1, ping);
		return true;
	}
	if ((path = harmless(c)) == NULL)
		return false;
	/* The mount adds the URL's own path again. */
	struct slice base = slice_str(c->path), rest = slice_str(path);

	while (base.n > 0 && base.p[base.n - 1] == '/')
		base.n--;
	if (slice_eq(slice_sub(rest, 0, base.n), base))
		rest = slice_sub(rest, base.n, SIZE_MAX);
	buf_addf(b, "GET /api/%s%.*s HTTP/1.1\r\nHost: portreeve\r\n"
	    "Authorization: Bearer %s\r\nConnection: close\r\n\r\n", c->name,
	    SLICE_FMT(rest), token);
	return true;
}

/* Our own refusal has a reason, whether it came as HTTP or as JSON-RPC. */
static bool
refusal(struct slice answer, char why[200])
{
	ssize_t at = slice_find(answer, SLICE("\r\n\r\n"));
	struct json_doc doc;
	uint32_t error, v = JSON_NONE;
	bool found = false;

	if (at < 0)
		return false;
	json_init(&doc);
	if (json_index(&doc, slice_sub(answer, (size_t)at + 4, SIZE_MAX),
	    NULL) == JSON_OK && json_typeof(&doc, 0) == JSON_OBJECT &&
	    (error = json_member(&doc, 0, "error")) != JSON_NONE &&
	    json_typeof(&doc, error) == JSON_OBJECT) {
		uint32_t data = json_member(&doc, error, "data");

		found = json_member(&doc, error, "reason") != JSON_NONE ||
		    (data != JSON_NONE && json_typeof(&doc, data) ==
		    JSON_OBJECT && json_member(&doc, data,
		    "portreeve/reason") != JSON_NONE);
		v = json_member(&doc, error, "message");
	}
	if (found) {
		char *text = v == JSON_NONE ? NULL : json_strdup(&doc, v);

		snprintf(why, 200, "%s", text == NULL ? "refused" : text);
		free(text);
	}
	json_free(&doc);
	return found;
}

static void
try_connector(struct doctor *d, const struct connector *c, const char *check,
    const char *token)
{
	struct buf request, answer;
	char why[200];

	buf_init(&request, 65536);
	buf_init(&answer, 1u << 20);
	if (c->builtin != NULL)
		doctor_add(d, DOCTOR_OK, check, "", "built-in tools: nothing"
		    " to call");
	else if (!write_request(c, token, &request))
		doctor_add(d, DOCTOR_WARN, check, "", "not tried: it has no"
		    " read-only GET without a name in its path");
	else if (doctor_fetch(d->ramp.mount, buf_slice(&request),
	    &answer) != 0)
		doctor_add(d, DOCTOR_FAIL, check, "look at the upstream and"
		    " at limits.connect_time", "%s", strerror(errno));
	else if (refusal(buf_slice(&answer), why))
		doctor_add(d, DOCTOR_FAIL, check, "portreeve audit tail says"
		    " more", "%s", why);
	else
		doctor_add(d, DOCTOR_OK, check, "", "its server answered"
		    " through the proxy: %.*s", 12,
		    answer.len > 21 ? buf_data(&answer) + 9 : "");
	buf_wipe_free(&request);
	buf_free(&answer);
}

void
doctor_connectors(struct doctor *d)
{
	for (size_t i = 0; i < d->ramp.catalogue->n; i++) {
		const struct connector *c = &d->ramp.catalogue->v[i];
		struct session s = { 0 };
		char check[80];

		snprintf(check, sizeof(check), "connector %s", c->name);
		if (!c->approved || c->state == POLICY_DISABLED)
			doctor_add(d, DOCTOR_WARN, check, "", "not tried: %s",
			    c->approved ? "disabled" : "not approved");
		else if (d->ramp.mount == NULL)
			doctor_add(d, DOCTOR_WARN, check, "add a `mount:`"
			    " listener on the loopback", "not tried: no mount");
		else if (session_begin(d, strcmp(c->agents[0], "*") == 0 ?
		    "doctor" : c->agents[0], &s) != CLI_OK)
			doctor_add(d, DOCTOR_FAIL, check, "start the daemons",
			    "no session could be opened");
		else
			try_connector(d, c, check, s.token);
		if (s.id[0] != '\0')
			session_end(d, &s);
	}
}

/* -- runtimes -- */

#define JAVA_PROBE \
	"import java.net.*;import java.net.http.*;class Probe{public static" \
	" void main(String[] a)throws Exception{System.out.print(HttpClient" \
	".newBuilder().authenticator(new Authenticator(){protected" \
	" PasswordAuthentication getPasswordAuthentication(){return new" \
	" PasswordAuthentication(\"agent\",System.getenv(\"" ONRAMP_TOKEN \
	"\").toCharArray());}}).build().send(HttpRequest.newBuilder(URI" \
	".create(\"" SELF "\")).build(),HttpResponse.BodyHandlers.ofString())" \
	".body());}}\n"
#define GO_PROBE \
	"package main\nimport(\"fmt\";\"io\";\"net/http\")\nfunc main(){\n" \
	"r,e:=http.Get(\"" SELF "\")\nif e!=nil{fmt.Println(e);return}\n" \
	"b,_:=io.ReadAll(r.Body)\nfmt.Print(string(b))}\n"

/* file: what the program reads, in a file of that name, as its last word. */
static const struct probe {
	enum onramp_runtime runtime;
	const char *argv[5], *want, *file, *text;
} probes[] = {
	{ ONRAMP_CURL, { "curl", "-sS", "-m", "20", SELF }, "trusts its CA",
	    NULL, NULL },
	{ ONRAMP_GIT, { "git", "ls-remote", SELF "git" },
	    "refs/heads/trusted", NULL, NULL },
	{ ONRAMP_NODE, { "node", "-e", "fetch('" SELF "').then(r=>r.text())"
	    ".then(console.log).catch(e=>console.log(String(e.cause||e)))" },
	    "trusts its CA", NULL, NULL },
	{ ONRAMP_PYTHON, { "python3", "-c", "import urllib.request as u;"
	    "print(u.urlopen('" SELF "',timeout=20).read().decode())" },
	    "trusts its CA", NULL, NULL },
	{ ONRAMP_JAVA, { "java" }, "trusts its CA", "Probe.java",
	    JAVA_PROBE },
	{ ONRAMP_GO, { "go", "run" }, "trusts its CA", "probe.go",
	    GO_PROBE },
};

static bool
in_path(const char *program)
{
	struct slice rest = slice_str(getenv("PATH"));

	while (rest.n > 0) {
		struct slice dir = slice_cut(&rest, ':');
		char path[4096];

		snprintf(path, sizeof(path), "%.*s/%s", SLICE_FMT(dir),
		    program);
		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

static void
set_environment(const struct onramp *o, enum onramp_runtime r,
    const char *token)
{
	const char *name;
	struct buf value;
	bool has;

	buf_init(&value, 65536);
	for (unsigned i = 0; (name = onramp_variable(o, r, i, token, &value,
	    &has)) != NULL; i++)
		if (has)
			setenv(name, buf_data(&value), 1);
		else
			unsetenv(name);
	buf_wipe_free(&value);
	setenv(ONRAMP_TOKEN, token, 1);
}

/* Its output, both kinds; killed after PROBE_MS. */
static void
run_probe(const char *const *argv, struct buf *out)
{
	posix_spawn_file_actions_t fa;
	int fds[2], status;
	uint64_t end = clock_mono_ms() + PROBE_MS;
	pid_t pid = -1;

	if (pipe2(fds, O_CLOEXEC) != 0)
		return;
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&fa, fds[1], 1);
	posix_spawn_file_actions_adddup2(&fa, fds[1], 2);
	if (posix_spawnp(&pid, argv[0], &fa, NULL,
	    (char *const *)(uintptr_t)argv, environ) != 0)
		pid = -1;
	posix_spawn_file_actions_destroy(&fa);
	close(fds[1]);
	while (pid > 0) {
		struct pollfd p = { .fd = fds[0], .events = POLLIN };
		uint64_t now = clock_mono_ms();
		char *at = buf_reserve(out, 1024);
		ssize_t k;

		if (at == NULL || now >= end ||
		    poll(&p, 1, (int)(end - now)) <= 0 ||
		    (k = read(fds[0], at, 1024)) <= 0)
			break;
		buf_commit(out, (size_t)k);
	}
	close(fds[0]);
	if (pid > 0) {
		if (clock_mono_ms() >= end)
			kill(pid, SIGKILL);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	}
}

/* The last line is where most programs say what was wrong. */
static void
last_line(struct slice out, char line[160])
{
	struct slice s = slice_trim(out), l;

	do
		l = slice_cut(&s, '\n');
	while (s.p != NULL);
	snprintf(line, 160, "%.*s", SLICE_FMT(l));
}

static void
judge(struct doctor *d, const struct probe *p, struct slice out)
{
	const char *name = onramp_name(p->runtime);
	char check[80], line[160], advice[256];

	snprintf(check, sizeof(check), "runtime %s", name);
	if (slice_find(out, slice_str(p->want)) >= 0) {
		doctor_add(d, DOCTOR_OK, check, "", "uses the proxy and trusts"
		    " its CA with what `proxy env --for %s` prints", name);
		return;
	}
	last_line(out, line);
	snprintf(advice, sizeof(advice), "%s", onramp_note(p->runtime)[0] !=
	    '\0' ? onramp_note(p->runtime) : "try the lines of the proxy's"
	    " own page /portreeve/ by hand");
	doctor_add(d, DOCTOR_WARN, check, advice, "%s %s",
	    slice_find(out, SLICE("ENOTFOUND")) >= 0 ||
	    slice_find(out, SLICE("resolve")) >= 0 ||
	    slice_find(out, SLICE("EAI_AGAIN")) >= 0 ?
	    "goes around the proxy:" : "did not get through:",
	    line[0] != '\0' ? line : "no answer");
}

static void
try_runtime(struct doctor *d, const struct probe *p, const char *token)
{
	const char *argv[ARRAY_LEN(p->argv) + 2] = { NULL };
	char path[4200] = "";
	struct buf out;
	size_t n = 0;

	for (; n < ARRAY_LEN(p->argv) && p->argv[n] != NULL; n++)
		argv[n] = p->argv[n];
	if (p->file != NULL) {
		FILE *f;

		snprintf(path, sizeof(path), "%s/%s", d->dir, p->file);
		if ((f = fopen(path, "wxe")) == NULL)
			return;
		fputs(p->text, f);
		fclose(f);
		argv[n] = path;
	}
	set_environment(&d->ramp, p->runtime, token);
	buf_init(&out, 65536);
	run_probe(argv, &out);
	judge(d, p, buf_slice(&out));
	buf_free(&out);
	if (path[0] != '\0')
		unlink(path);
}

void
doctor_runtimes(struct doctor *d)
{
	struct session s = { 0 };

	if (session_begin(d, "doctor", &s) != CLI_OK) {
		doctor_add(d, DOCTOR_FAIL, "runtimes", "start the daemons",
		    "no session could be opened");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(probes); i++)
		if (in_path(probes[i].argv[0]))
			try_runtime(d, &probes[i], s.token);
	session_end(d, &s);
}
