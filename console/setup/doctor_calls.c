/*
 * doctor_calls - each runtime of this machine to the host of our own through
 * the proxy; and the sessions under which doctor sends anything.
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

extern char **environ;

/* -- sessions of our own -- */

int
doctor_session_begin(struct doctor *d, const char *agent,
    struct doctor_session *s)
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

void
doctor_session_end(struct doctor *d, struct doctor_session *s)
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

bool
doctor_find(const char *program, char path[4096])
{
	struct slice rest = slice_str(getenv("PATH"));

	if (strchr(program, '/') != NULL) {
		snprintf(path, 4096, "%s", program);
		return access(path, X_OK) == 0;
	}
	while (rest.n > 0) {
		struct slice dir = slice_cut(&rest, ':');

		snprintf(path, 4096, "%.*s/%s", SLICE_FMT(dir), program);
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
	struct doctor_session s = { 0 };
	char path[4096];

	if (doctor_session_begin(d, "doctor", &s) != CLI_OK) {
		doctor_add(d, DOCTOR_FAIL, "runtimes", "start the daemons",
		    "no session could be opened");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(probes); i++)
		if (doctor_find(probes[i].argv[0], path))
			try_runtime(d, &probes[i], s.token);
	doctor_session_end(d, &s);
}
