/* conf: every key, defaults, errors with places, secrets, the snapshot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf.h"
#include "yaml.h"

static char warned[4096];

static void
on_warn(void *ctx, const char *text)
{
	size_t n = strlen(warned);

	(void)ctx;
	snprintf(warned + n, sizeof(warned) - n, "%s\n", text);
}

static struct conf *
parse(const char *text, struct err *err)
{
	warned[0] = '\0';
	return conf_parse("/etc/portreeve/p.yaml", slice_str(text), on_warn,
	    NULL, err);
}

static struct conf *
good(const char *text)
{
	struct err err = { 0 };
	struct conf *c = parse(text, &err);

	if (c == NULL)
		fail_msg("%s", err.text);
	return c;
}

static void
test_defaults(void **st)
{
	struct conf *c = good("{}");

	(void)st;
	assert_string_equal(warned, "");
	assert_string_equal(c->file, "/etc/portreeve/p.yaml");
	assert_string_equal(c->state_dir, "/var/lib/portreeve");
	assert_string_equal(c->run_dir, "/run/portreeve");
	assert_string_equal(c->user, "portreeve");
	assert_string_equal(c->connectors_dir, "/etc/portreeve/connectors.d");
	assert_string_equal(c->rules_dir, "/usr/share/portreeve/rules");
	assert_false(c->sandbox_best_effort);
	assert_null(c->keeper_key);
	assert_false(c->splice_uncatalogued);
	assert_true(c->trust_system);
	assert_false(c->hours.set);
	assert_int_equal(c->proxies, 1);
	assert_int_equal(c->nlisteners, 2);
	assert_string_equal(c->listeners[0].address, "127.0.0.1:3128");
	assert_int_equal(c->listeners[1].kind, CONF_MOUNT);
	assert_int_equal(c->nsinks, 0);
	assert_int_equal(c->limits.body, 1048576);
	assert_int_equal(c->limits.advice_ms, 100);
	assert_int_equal(c->limits.record_ms, 5000);
	assert_int_equal(c->limits.connect_ms, 10000);
	assert_int_equal(c->limits.upstream_head_ms, 300000);
	assert_int_equal(c->limits.upstream_idle_ms, 300000);
	assert_int_equal(c->limits.stream_idle_ms, 3600000);
	assert_int_equal(c->limits.send_ms, 60000);
	assert_int_equal(c->limits.clock_step_ms, 60000);
	assert_int_equal(c->limits.report_ms, 600000);
	assert_int_equal(c->hold_expires_ms, 3600000);
	assert_int_equal(c->learning_ms, 7 * 86400000LL);
	for (int i = 0; i < REASON_COUNT; i++)
		assert_int_equal(c->exceptions[i], CONF_DENY);
	conf_free(c);
	conf_free(NULL);
}

/* Each cell of the shipped matrix, as it is documented. */
static void
test_matrix(void **st)
{
	static const char want[CONF_TRUSTS][CONF_CLASSES] = {
		[CONF_MANUAL] = { 'h', 'h', 'h', 'h' },
		[CONF_SUPERVISED] = { 'h', 'h', 'h', 'a' },
		[CONF_AUTONOMOUS] = { 'h', 'h', 'a', 'a' },
	};
	struct conf *c = good("{}");

	(void)st;
	for (int t = 0; t < CONF_TRUSTS; t++)
		for (int k = 0; k < CONF_CLASSES; k++)
			assert_int_equal(want[t][k],
			    conf_effect_names[c->matrix[t][k]][0]);
	conf_free(c);
	c = good("matrix: { supervised: { moderate: allow }, autonomous: "
	    "{ dangerous: deny, unknown: allow } }");
	assert_int_equal(c->matrix[CONF_SUPERVISED][CONF_MODERATE],
	    CONF_ALLOW);
	assert_int_equal(c->matrix[CONF_SUPERVISED][CONF_DANGEROUS],
	    CONF_HOLD);
	assert_int_equal(c->matrix[CONF_AUTONOMOUS][CONF_DANGEROUS],
	    CONF_DENY);
	assert_non_null(strstr(warned, "p.yaml:1:84: unknown tools are "
	    "allowed without a person"));
	conf_free(c);
}

static const char full[] =
    "state: state\n"
    "run: /tmp/run\n"
    "user: gate\n"
    "sandbox: best-effort\n"
    "proxies: 0\n"
    "listen:\n"
    "  - explicit: 127.0.0.1:0\n"
    "  - mount: \"[::1]:8080\"\n"
    "  - explicit: 10.0.0.1:3128\n"
    "  - stdio: run/stdio\n"
    "connectors: c.d\n"
    "rules: ../rules\n"
    "uncatalogued: splice\nkeeper_key: keys/k\n"
    "trust: { system: false, files: [ca.pem, /etc/ssl/x.pem] }\n"
    "business_hours: { zone: Europe/Berlin, days: \"mon-wed, fri\", from: "
    "\"08:00\", to: \"18:30\" }\n"
    "matrix: { manual: { read-only: allow } }\n"
    "exceptions: { detector-late: allow, clock-unsound: deny }\n"
    "limits: { body: 2097152, header: 32768, fields: 50, streams: 10, "
    "idle: 1m, header_time: 5s, body_time: 30s, advice_time: 50ms,\n"
    "  record_time: 2s, connect_time: 3s, upstream_head_time: 4s, "
    "upstream_idle: 6s,\n"
    "  stream_idle: 7s, send_time: 8s, clock_step: 9s, report_time: 11s }\n"
    "hold: { expires: 2h, keepalive: 10s }\n"
    "detection: { learning: 1d }\n"
    "sinks:\n"
    "  - { name: siem, type: syslog, address: siem.example:6514, ca: s.pem }\n"
    "  - { name: siem-2, type: syslog, address: \"[::1]:6514\", ca: s.pem, "
    "server_name: other.example }\n"
    "  - { name: archive, type: file, path: /var/log/e.jsonl }\n";

static void
check_full(const struct conf *c)
{
	assert_string_equal(c->state_dir, "/etc/portreeve/state");
	assert_string_equal(c->run_dir, "/tmp/run");
	assert_string_equal(c->keeper_key, "/etc/portreeve/keys/k");
	assert_string_equal(c->user, "gate");
	assert_true(c->sandbox_best_effort);
	assert_true(c->proxies >= 1);
	assert_int_equal(c->nlisteners, 4);
	assert_int_equal(c->listeners[3].kind, CONF_STDIO);
	assert_string_equal(c->listeners[3].address,
	    "/etc/portreeve/run/stdio");
	assert_int_equal(c->listeners[1].kind, CONF_MOUNT);
	assert_string_equal(c->listeners[1].address, "[::1]:8080");
	assert_string_equal(c->connectors_dir, "/etc/portreeve/c.d");
	assert_string_equal(c->rules_dir, "/etc/portreeve/../rules");
	assert_true(c->splice_uncatalogued);
	assert_false(c->trust_system);
	assert_int_equal(c->ntrust_files, 2);
	assert_string_equal(c->trust_files[0], "/etc/portreeve/ca.pem");
	assert_string_equal(c->trust_files[1], "/etc/ssl/x.pem");
	assert_true(c->hours.set);
	assert_string_equal(c->hours.zone, "Europe/Berlin");
	assert_int_equal(c->hours.days, 0x17);
	assert_int_equal(c->hours.from_min, 480);
	assert_int_equal(c->hours.to_min, 1110);
	assert_int_equal(c->matrix[CONF_MANUAL][CONF_READ_ONLY], CONF_ALLOW);
	assert_int_equal(c->matrix[CONF_MANUAL][CONF_MODERATE], CONF_HOLD);
	assert_int_equal(c->exceptions[REASON_DETECTOR_LATE], CONF_ALLOW);
	assert_int_equal(c->exceptions[REASON_CLOCK], CONF_DENY);
	assert_int_equal(c->limits.body, 2097152);
	assert_int_equal(c->limits.header, 32768);
	assert_int_equal(c->limits.fields, 50);
	assert_int_equal(c->limits.streams, 10);
	assert_int_equal(c->limits.idle_ms, 60000);
	assert_int_equal(c->limits.header_ms, 5000);
	assert_int_equal(c->limits.body_ms, 30000);
	assert_int_equal(c->limits.advice_ms, 50);
	assert_int_equal(c->limits.record_ms, 2000);
	assert_int_equal(c->limits.connect_ms, 3000);
	assert_int_equal(c->limits.upstream_head_ms, 4000);
	assert_int_equal(c->limits.upstream_idle_ms, 6000);
	assert_int_equal(c->limits.stream_idle_ms, 7000);
	assert_int_equal(c->limits.send_ms, 8000);
	assert_int_equal(c->limits.clock_step_ms, 9000);
	assert_int_equal(c->limits.report_ms, 11000);
	assert_int_equal(c->hold_expires_ms, 7200000);
	assert_int_equal(c->hold_keepalive_ms, 10000);
	assert_int_equal(c->learning_ms, 86400000);
	assert_int_equal(c->nsinks, 3);
	assert_int_equal(c->sinks[0].type, CONF_SINK_SYSLOG);
	assert_string_equal(c->sinks[0].server_name, "siem.example");
	assert_string_equal(c->sinks[0].ca, "/etc/portreeve/s.pem");
	assert_null(c->sinks[0].path);
	assert_null(c->sinks[0].ca_pem);
	assert_string_equal(c->sinks[1].server_name, "other.example");
	assert_int_equal(c->sinks[2].type, CONF_SINK_FILE);
	assert_string_equal(c->sinks[2].path, "/var/log/e.jsonl");
	assert_null(c->sinks[2].address);
}

static void
test_full(void **st)
{
	struct conf *c = good(full);

	(void)st;
	check_full(c);
	assert_non_null(strstr(warned,
	    "p.yaml:9:15: 10.0.0.1:3128 is reachable from other hosts"));
	conf_free(c);
}

/* Only the daemon that is started by systemd knows where they are. */
static void
test_keeper_key_of_systemd(void **st)
{
	struct conf *c = good("keeper_key: ${CREDENTIALS_DIRECTORY}/k\n");

	(void)st;
	assert_string_equal(c->keeper_key, "${CREDENTIALS_DIRECTORY}/k");
	conf_free(c);
}

/* What has no open answer is not silently taken for one. */
static void
test_exceptions_without_effect(void **st)
{
	(void)st;
	conf_free(good("exceptions: { credential-unavailable: allow }\n"));
	assert_non_null(strstr(warned, "p.yaml:1:39: `credential-unavailable: "
	    "allow` has no effect"));
	conf_free(good("exceptions: { detector-late: allow, "
	    "approvals-unavailable: deny }\n"));
	assert_string_equal(warned, "");
}

static void
test_pack(void **st)
{
	struct conf *c = good(full), *back;
	struct buf b, again;

	(void)st;
	buf_init(&b, 1 << 20);
	buf_init(&again, 1 << 20);
	conf_pack(&b, c);
	back = conf_unpack(buf_slice(&b));
	assert_non_null(back);
	check_full(back);
	assert_string_equal(back->file, c->file);
	conf_pack(&again, back);
	assert_true(slice_eq(buf_slice(&b), buf_slice(&again)));
	conf_free(back);
	for (size_t i = 0; i < b.len; i++)
		assert_null(conf_unpack(slice_sub(buf_slice(&b), 0, i)));
	buf_add_char(&b, 0);
	assert_null(conf_unpack(buf_slice(&b)));
	/* No flipped bit may lead astray: it is refused or packs again. */
	for (size_t i = 0; i < again.len; i++) {
		again.data[again.off + i] ^= 0x80;
		conf_free(conf_unpack(buf_slice(&again)));
		again.data[again.off + i] ^= 0x80;
	}
	conf_free(c);
	buf_free(&b);
	buf_free(&again);
}

static void
test_errors(void **st)
{
	static const struct {
		const char *text, *place, *says;
	} t[] = {
		{ "[]", "1:1", "expected a map" },
		{ "conectors: x", "1:1", "did you mean `connectors`?" },
		{ "state: [x]", "1:8", "`state` must be a text" },
		{ "state:", "1:7", "no value" },
		{ "user: root", "1:7", "other than root" },
		{ "sandbox: requird", "1:10", "did you mean `required`?" },
		{ "proxies: 65", "1:10", "from 0 to 64" },
		{ "listen: []", "1:9", "no listener" },
		{ "listen: x", "1:9", "must be a list" },
		{ "listen: [{explicit: localhost:1}]", "1:21",
		    "like 127.0.0.1:3128" },
		{ "listen: [{explicit: 127.0.0.1}]", "1:21", "and port" },
		{ "listen: [{explicit: '127.0.0.1:65536'}]", "1:21", "port" },
		{ "listen: [{explicit: '::1:80'}]", "1:21", "port" },
		{ "listen: [{explict: '127.0.0.1:1'}]", "1:11",
		    "did you mean `explicit`?" },
		{ "listen: [{}]", "1:10", "one of" },
		{ "listen: [{stdio: a}, {stdio: b}]", "1:30", "twice" },
		{ "listen: [{stdio: a, proxy_protocol: { from: [10.0.0.1] }}]",
		    "1:10", "one of" },
		{ "listen: [{stdio: ''}]", "1:18", "must be a path" },
		{ "listen: [{stdio: [a]}]", "1:18", "" },
		{ "listen: [{mount: '127.0.0.1:1'}, {explicit: "
		    "'127.0.0.1:1'}]", "1:45", "twice" },
		{ "uncatalogued: open", "1:15", "known: refuse, splice" },
		{ "trust: { sytem: true }", "1:10", "did you mean `system`" },
		{ "trust: { system: yes }", "1:18", "true or false" },
		{ "trust: { files: [[]] }", "1:18", "paths" },
		{ "business_hours: { from: \"08:00\", to: \"09:00\" }",
		    "1:17", "needs `zone`" },
		{ "business_hours: { zone: UTC, to: \"09:00\" }", "1:17",
		    "needs `from`" },
		{ "business_hours: { zone: ../x, from: \"08:00\", to: "
		    "\"09:00\" }", "1:25", "`../x` is no name" },
		{ "business_hours: { zone: UTC, from: \"8:00\", to: "
		    "\"09:00\" }", "1:36", "time of day" },
		{ "business_hours: { zone: UTC, from: \"08:60\", to: "
		    "\"09:00\" }", "1:36", "time of day" },
		{ "business_hours: { zone: UTC, from: \"08:00\", to: "
		    "\"24:01\" }", "1:49", "time of day" },
		{ "business_hours: { zone: UTC, from: \"08:00\", to: "
		    "\"08:00\" }", "1:49", "another time" },
		{ "business_hours: { zone: UTC, days: mo, from: \"08:00\", "
		    "to: \"09:00\" }", "1:36", "mon-fri" },
		{ "matrix: { supervisd: {} }", "1:11", "`supervised`" },
		{ "matrix: { manual: { readonly: hold } }", "1:21",
		    "did you mean `read-only`?" },
		{ "matrix: { manual: { unknown: alow } }", "1:30",
		    "did you mean `allow`?" },
		{ "exceptions: { policy: allow }", "1:15", "unknown key" },
		{ "exceptions: { detecter-late: allow }", "1:15",
		    "did you mean `detector-late`?" },
		{ "exceptions: { detector-late: hold }", "1:30",
		    "known: deny, allow" },
		{ "limits: { body: 1 }", "1:17", "from 1024" },
		{ "limits: { record_time: 1ms }", "1:24", "from 100ms" },
		{ "keeper_key: ${CREDENTIALS_DIRECTORY}/", "1:13", "name" },
		{ "keeper_key: ${CREDENTIALS_DIRECTORY}/../k", "1:13",
		    "name" },
		{ "limits: { idle: 5 minutes }", "1:17", "duration" },
		{ "limits: { idle: 1ms }", "1:17", "from 1000ms" },
		{ "hold: { expires: 31d }", "1:18", "must be from" },
		{ "detection: { learn: 1d }", "1:14", "unknown key" },
		{ "sinks: [{name: a}]", "1:9", "needs `type`" },
		{ "sinks: [{type: file, path: x}]", "1:9", "needs `name`" },
		{ "sinks: [{name: a, type: file}]", "1:9", "needs `path`" },
		{ "sinks: [{name: A, type: file, path: x}]", "1:16", "a-z" },
		{ "sinks: [{name: a, type: file, path: x, ca: y}]", "1:40",
		    "unknown key `ca`" },
		{ "sinks: [{name: a, type: syslg}]", "1:25", "`syslog`" },
		{ "sinks: [{name: a, type: syslog, ca: x}]", "1:9",
		    "needs `address`" },
		{ "sinks: [{name: a, type: syslog, address: 'h:1'}]", "1:9",
		    "needs `ca`" },
		{ "sinks: [{name: a, type: syslog, address: 'h:0', ca: x}]",
		    "1:42", "host:port" },
		{ "sinks: [{name: a, type: file, path: x}, {name: a, type: "
		    "file, path: x}]", "1:48", "two sinks" },
		{ "sinks: [x]", "1:9", "" },
		{ "password: x", "1:1", "portreeve credential set NAME" },
		{ "sinks: [{name: a, API-Key: x}]", "1:19",
		    "portreeve credential set NAME" },
		{ "trust: { x: { y: { Db_Token: x } } }", "1:20",
		    "portreeve credential set NAME" },
	};

	(void)st;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct err err = { 0 };
		char place[64];

		snprintf(place, sizeof(place), "/etc/portreeve/p.yaml:%s: ",
		    t[i].place);
		assert_null(parse(t[i].text, &err));
		if (!slice_starts(slice_str(err.text), place) ||
		    strstr(err.text, t[i].says) == NULL)
			fail_msg("%s gives: %s", t[i].text, err.text);
	}
}

/* "tokens" of a tool's name or a map below such a key hold no secret. */
static void
test_no_false_secrets(void **st)
{
	static const char text[] = "tools:\n  get_token: { class: moderate }\n"
	    "tokens: 5\nsecretary: x\ncredential: gh\n";
	struct err err = { 0 };
	struct yaml_doc *d = yaml_parse("c.yaml", slice_str(text), false,
	    &err);

	(void)st;
	assert_non_null(d);
	assert_int_equal(conf_refuse_secrets(d, &err), 0);
	yaml_free(d);
}

/* with files */

static char dir[] = "/tmp/test_conf_XXXXXX";

static void
put(const char *name, const char *text)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static struct conf *
load(const char *text, struct err *err)
{
	char path[PATH_MAX];

	put("p.yaml", text);
	snprintf(path, sizeof(path), "%s/p.yaml", dir);
	warned[0] = '\0';
	err->set = false;
	return conf_load(path, on_warn, NULL, err);
}

static void
drop(const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	remove(path);
}

static void
dir_make(const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(mkdir(path, 0700), 0);
}

static void
test_load(void **st)
{
	struct err err = { 0 };
	struct conf *c;
	char want[PATH_MAX];

	(void)st;
	assert_non_null(mkdtemp(dir));
	dir_make("rules");
	dir_make("rules/detection");
	put("ca.pem", "-----BEGIN CERTIFICATE-----\nx\n");
	put("rules/detection/a.yml", "title: x\nportreeve:\n  off_hours: "
	    "true\n");
	c = load("rules: rules\nsinks: [{name: s, type: syslog, address: "
	    "'h:1', ca: ca.pem}]\n", &err);
	if (c == NULL)
		fail_msg("%s", err.text);
	assert_string_equal(c->sinks[0].ca_pem,
	    "-----BEGIN CERTIFICATE-----\nx\n");
	assert_non_null(strstr(warned, "off-hours rules have no business "
	    "hours and time zone: set business_hours"));
	snprintf(want, sizeof(want), "%s/p.yaml", dir);
	assert_string_equal(c->file, want);
	snprintf(want, sizeof(want), "%s/connectors.d", dir);
	assert_string_equal(c->connectors_dir, want);
	conf_free(c);
	c = load("rules: rules\nbusiness_hours: {zone: Europe/Berlin, from: "
	    "'08:00', to: '18:00'}\n", &err);
	assert_non_null(c);
	assert_string_equal(warned, "");
	conf_free(c);
	c = load("business_hours: {zone: UTC, from: '22:00', to: '06:00'}\n",
	    &err);
	assert_non_null(c);
	assert_int_equal(c->hours.from_min, 1320);
	assert_int_equal(c->hours.to_min, 360);
	assert_int_equal(c->hours.days, 0x1F);
	conf_free(c);
	assert_null(load("business_hours: {zone: Europe/Berlim, from: "
	    "'08:00', to: '18:00'}\n", &err));
	assert_non_null(strstr(err.text, "p.yaml:1:24: unknown time "
	    "zone `Europe/Berlim`; did you mean `Europe/Berlin`?"));
	assert_null(load("sinks: [{name: s, type: syslog, address: 'h:1', "
	    "ca: p.yaml}]\n", &err));
	assert_non_null(strstr(err.text, "no PEM"));
	assert_null(load("trust: {files: [none.pem]}\n", &err));
	assert_non_null(strstr(err.text, "p.yaml:1:17: there is no file"));
	setenv("PORTREEVE_RULES", dir, 1);
	c = load("{}\n", &err);
	assert_non_null(c);
	assert_string_equal(c->rules_dir, dir);
	conf_free(c);
	unsetenv("PORTREEVE_RULES");
	drop("rules/detection/a.yml");
	drop("rules/detection");
	drop("rules");
	drop("ca.pem");
	drop("p.yaml");
	drop("");
	err.set = false;
	assert_null(conf_load("/nowhere/p.yaml", NULL, NULL, &err));
	assert_true(err.set);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_matrix),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_exceptions_without_effect),
		cmocka_unit_test(test_keeper_key_of_systemd),
		cmocka_unit_test(test_pack),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_no_false_secrets),
		cmocka_unit_test(test_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
