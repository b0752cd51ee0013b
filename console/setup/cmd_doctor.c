/* cmd_doctor - portreeve doctor: is everything as it must be, and what to do
 * where it is not. Changes nothing. */
#include "console/setup/setup.h"
#include "console/setup/doctor.h"
#include "console/op.h"

#include <errno.h>
#include <linux/landlock.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/un.h>
#include <unistd.h>

#include "ca.h"
#include "file.h"

enum { OPT_NO_CALLS = CLI_OPT_OWN };

static const struct option longs[] = {
	CLI_LONG,
	{ "no-calls", no_argument, NULL, OPT_NO_CALLS },
	{ 0 }
};

static const char usage[] = "[--no-calls]";

void
doctor_add(struct doctor *d, enum doctor_state s, const char *check,
    const char *advice, const char *fmt, ...)
{
	struct doctor_row *r;
	va_list ap;

	if (d->n == DOCTOR_ROWS) {
		r = &d->rows[DOCTOR_ROWS - 1];
		snprintf(r->detail, sizeof(r->detail),
		    "and more: there was no room for them");
		r->state = DOCTOR_FAIL;
		return;
	}
	r = &d->rows[d->n++];
	r->state = s;
	snprintf(r->check, sizeof(r->check), "%s", check);
	snprintf(r->advice, sizeof(r->advice), "%s", advice);
	va_start(ap, fmt);
	vsnprintf(r->detail, sizeof(r->detail), fmt, ap);
	va_end(ap);
}

/* -- the installation -- */

static void
look_at_daemons(struct doctor *d)
{
	int64_t ready = 0, expected;
	uint32_t array, n;
	struct op op;
	bool ledger;

	op_begin(&op, "status");
	if (op_ask(&op, &d->cli) != CLI_OK) {
		doctor_add(d, DOCTOR_FAIL, "daemons", "start them: portreeve"
		    " serve -c FILE", "they do not answer");
		op_end(&op);
		return;
	}
	expected = op_int(&op, 0, "proxies_expected");
	ledger = op_bool(&op, 0, "ledger");
	for (n = op_first(&op, "proxies", &array); n != JSON_NONE;
	    n = json_next(&op.doc, array, n))
		ready += op_bool(&op, n, "ready");
	doctor_add(d, ready >= expected ? DOCTOR_OK : DOCTOR_FAIL, "proxies",
	    ready >= expected ? "" : "look at the log of portreeve serve",
	    "%lld of %lld ready", (long long)ready, (long long)expected);
	doctor_add(d, ledger ? DOCTOR_OK : DOCTOR_FAIL, "ledger", ledger ? ""
	    : "look at the log of the recorder: disk full, or tampered with?",
	    "%s", ledger ? "recording" : "not recording");
	op_end(&op);
}

static void
look_at_socket(struct doctor *d, const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct stat st;
	int fd, e;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/%s",
	    d->ramp.conf->run_dir, name);
	if (stat(a.sun_path, &st) != 0) {
		doctor_add(d, DOCTOR_FAIL, name, "start the daemons, or check"
		    " `run:`", "%s: %s", a.sun_path, strerror(errno));
		return;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	e = fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0 ?
	    errno : 0;
	base_close(&fd);
	if ((st.st_mode & 077) != 0)
		doctor_add(d, DOCTOR_FAIL, name, "restart the daemons, which"
		    " make it anew", "%s: mode %04o, others may open it",
		    a.sun_path, st.st_mode & 07777u);
	else if (e != 0)
		doctor_add(d, DOCTOR_FAIL, name, e == EACCES ?
		    "run this as root or as the daemons' user" :
		    "start the daemons", "%s: %s", a.sun_path, strerror(e));
	else
		doctor_add(d, DOCTOR_OK, name, "", "%s", a.sun_path);
}

static int
ca_days(struct slice pem)
{
	BIO *in = BIO_new_mem_buf(pem.p, (int)pem.n);
	X509 *x = PEM_read_bio_X509(in, NULL, NULL, NULL);
	unsigned char *der = NULL;
	int n = x == NULL ? -1 : i2d_X509(x, &der), days = -1;

	if (n > 0)
		days = ca_days_left(slice_make(der, (size_t)n));
	OPENSSL_free(der);
	X509_free(x);
	BIO_free(in);
	return days;
}

/* The CA's PEM is left in pem for look_at_listener(). */
static void
look_at_ca(struct doctor *d, struct buf *pem)
{
	struct err err = { 0 };
	char path[4200];
	int days;

	snprintf(path, sizeof(path), "%s/keeper/ca.pem",
	    d->ramp.conf->state_dir);
	if (file_read(path, pem, &err) != 0) {
		doctor_add(d, DOCTOR_FAIL, "CA", "start the gateway once, or"
		    " run this as root", "%s", err.text);
		return;
	}
	days = ca_days(buf_slice(pem));
	doctor_add(d, days < 0 ? DOCTOR_FAIL : days < 90 ? DOCTOR_WARN :
	    DOCTOR_OK, "CA", days >= 90 ? "" : "a new one must be made and"
	    " given to every client", "%s: %d days left", path, days);
}

static void
look_at_clock(struct doctor *d)
{
	struct timex t = { 0 };
	int r = adjtimex(&t);

	if (r < 0)
		doctor_add(d, DOCTOR_WARN, "clock", "run this outside of a"
		    " container that forbids it", "adjtimex: %s",
		    strerror(errno));
	else if (r == TIME_ERROR || (t.status & STA_UNSYNC))
		doctor_add(d, DOCTOR_WARN, "clock", "install chrony or enable"
		    " systemd-timesyncd: tokens and approvals expire by it",
		    "not synchronised");
	else
		doctor_add(d, DOCTOR_OK, "clock", "", "synchronised");
}

static void
look_at_kernel(struct doctor *d)
{
	bool relaxed = d->ramp.conf->sandbox_best_effort;
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0,
	    LANDLOCK_CREATE_RULESET_VERSION);
	FILE *f = fopen("/proc/sys/kernel/seccomp/actions_avail", "re");
	char line[512] = "";

	if (f != NULL && fgets(line, sizeof(line), f) == NULL)
		line[0] = '\0';
	if (f != NULL)
		fclose(f);
	if (abi >= 1)
		doctor_add(d, DOCTOR_OK, "Landlock", "", "ABI %ld", abi);
	else
		doctor_add(d, relaxed ? DOCTOR_WARN : DOCTOR_FAIL, "Landlock",
		    "boot with lsm=landlock,... (kernel 5.13 or newer), or set"
		    " `sandbox: best-effort`", "%s", strerror(errno));
	if (strstr(line, "kill_process") != NULL)
		doctor_add(d, DOCTOR_OK, "seccomp", "", "kill_process");
	else
		doctor_add(d, DOCTOR_FAIL, "seccomp", "use a kernel with"
		    " CONFIG_SECCOMP_FILTER", "kill_process is not there");
}

/* A listener is ours when it shows our CA. */
static void
look_at_listener(struct doctor *d, const struct conf_listener *l,
    struct slice ca)
{
	static const char request[] = "GET /portreeve/ca.pem HTTP/1.1\r\n"
	    "Host: portreeve\r\nConnection: close\r\n\r\n";
	const char *at = l->kind == CONF_MOUNT ? d->ramp.mount :
	    d->ramp.proxy;
	char check[80];
	struct buf answer;

	if (strstr(l->address, "0.0.0.0") == NULL &&
	    strstr(l->address, "[::]") == NULL)
		at = l->address;
	snprintf(check, sizeof(check), "%s %s", l->kind == CONF_MOUNT ?
	    "mount" : "explicit", l->address);
	buf_init(&answer, 1u << 20);
	if (doctor_fetch(at, slice_str(request), &answer) != 0)
		doctor_add(d, DOCTOR_FAIL, check, "start the daemons; is a"
		    " firewall between?", "%s", strerror(errno));
	else if (ca.n == 0 || slice_find(buf_slice(&answer), ca) < 0)
		doctor_add(d, DOCTOR_FAIL, check, "does another program, or"
		    " another Portreeve, listen there?",
		    "it does not show this gateway's CA");
	else
		doctor_add(d, DOCTOR_OK, check, "", "reachable");
	buf_free(&answer);
}

/* -- the whole -- */

static int
print_table(const struct doctor *d)
{
	static const char *const names[] = { "FAIL", "warn", "ok" };
	static const char *const heads[] = { "STATE", "CHECK", "FOUND",
		NULL };
	struct cli_table *t = cli_table_new(heads);
	size_t count[DOCTOR_STATES] = { 0 };

	for (size_t i = 0; i < d->n; i++) {
		cli_table_row(t, (const char *[]){ names[d->rows[i].state],
		    d->rows[i].check, d->rows[i].detail });
		count[d->rows[i].state]++;
	}
	cli_table_end(t, "nothing was looked at");
	for (size_t i = 0; i < d->n; i++)
		if (d->rows[i].advice[0] != '\0')
			printf("%s%s%s: %s\n", cli_on(stdout,
			    d->rows[i].state == DOCTOR_FAIL ? CLI_RED :
			    CLI_YELLOW), cli_clean(d->rows[i].check),
			    cli_off(stdout), d->rows[i].advice);
	printf("%zu ok, %zu warnings, %zu failed\n", count[DOCTOR_OK],
	    count[DOCTOR_WARN], count[DOCTOR_FAIL]);
	return count[DOCTOR_FAIL] == 0 ? CLI_OK : CLI_FAILED;
}

static int
print_json(const struct doctor *d)
{
	static const char *const names[] = { "fail", "warn", "ok" };
	bool good = true;
	struct jsonw w;
	struct buf b;

	buf_init(&b, 4u << 20);
	jsonw_init(&w, &b);
	jsonw_object(&w, NULL);
	jsonw_array(&w, "checks");
	for (size_t i = 0; i < d->n; i++) {
		jsonw_object(&w, NULL);
		jsonw_str(&w, "check", d->rows[i].check);
		jsonw_str(&w, "state", names[d->rows[i].state]);
		jsonw_str(&w, "found", d->rows[i].detail);
		jsonw_str(&w, "advice", d->rows[i].advice);
		jsonw_object_end(&w);
		good = good && d->rows[i].state != DOCTOR_FAIL;
	}
	jsonw_array_end(&w);
	jsonw_bool(&w, "ok", good);
	jsonw_object_end(&w);
	onramp_print(buf_slice(&b));
	buf_free(&b);
	return good ? CLI_OK : CLI_FAILED;
}

static void
look_at_calls(struct doctor *d)
{
	const char *tmp = getenv("TMPDIR");

	if (tmp == NULL || tmp[0] != '/')
		tmp = "/tmp";
	doctor_connectors(d);
	snprintf(d->dir, sizeof(d->dir), "%s/portreeve-doctor.XXXXXX", tmp);
	if (d->ramp.proxy == NULL) {
		doctor_add(d, DOCTOR_WARN, "runtimes", "", "there is no"
		    " `explicit:` listener for them to use");
	} else if (mkdtemp(d->dir) == NULL ||
	    onramp_files(&d->ramp, d->dir, NULL) != CLI_OK) {
		doctor_add(d, DOCTOR_FAIL, "runtimes", "", "no place for the"
		    " CA files in %s", tmp);
	} else {
		doctor_runtimes(d);
		onramp_files_remove(&d->ramp);
		if (rmdir(d->dir) != 0)
			cli_error("%s: %s", d->dir, strerror(errno));
	}
}

static void
look(struct doctor *d, bool calls)
{
	const struct conf *c = d->ramp.conf;
	struct buf pem;

	doctor_add(d, DOCTOR_OK, "configuration", "", "%s, %zu connectors",
	    c->file, d->ramp.catalogue->n);
	look_at_kernel(d);
	look_at_clock(d);
	look_at_socket(d, "operator.sock");
	look_at_socket(d, "keeper.sock");
	look_at_daemons(d);
	buf_init(&pem, 1u << 20);
	look_at_ca(d, &pem);
	for (size_t i = 0; i < c->nlisteners; i++)
		if (c->listeners[i].kind == CONF_EXPLICIT ||
		    c->listeners[i].kind == CONF_MOUNT)
			look_at_listener(d, &c->listeners[i],
			    buf_slice(&pem));
	buf_free(&pem);
	doctor_roads(d);
	if (calls)
		look_at_calls(d);
}

int
cmd_doctor(int argc, char **argv)
{
	struct doctor *d = base_calloc(1, sizeof(*d));
	const char *args[1];
	bool calls = true;
	int opt, rc, nargs = 0;

	cli_init(&d->cli, "doctor");
	while ((opt = cli_next(argc, argv, longs, args, &nargs, 0)) >= 0) {
		if (cli_option(&d->cli, opt))
			continue;
		if (opt != OPT_NO_CALLS)
			return cli_usage(&d->cli, usage);
		calls = false;
	}
	if (opt == -2 || d->cli.help)
		return cli_usage(&d->cli, usage);
	rc = onramp_open(&d->ramp, &d->cli);
	if (rc == CLI_OK) {
		look(d, calls);
		rc = d->cli.json ? print_json(d) : print_table(d);
	}
	onramp_close(&d->ramp);
	free(d);
	return rc;
}
