/*
 * conf_load - the operator's main file from YAML into struct conf, strictly
 * (conf.h). Only compilers and the CLI come here. Must never take an unknown
 * word for anything, nor a secret at all.
 *
 * A section of the file is a row of `sections` and one function.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/stat.h>

#include "conf_int.h"
#include "conf_rules.h"
#include "file.h"
#include "tz.h"
#include "yaml.h"

#define CONF_LISTENERS_MAX 16
#define CONF_SINKS_MAX 32
#define CONF_TRUST_FILES_MAX 64
#define CONF_PEM_MAX ((size_t)1 << 20)
#define SECOND 1000LL
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

struct reader {
	const struct yaml_doc *d;
	const struct yaml_node *root;
	struct conf *c;
	const char *folder;	/* what relative paths begin with */
	bool look;		/* at other files too */
	conf_warn_fn *warn;
	void *ctx;
	struct err *err;
};

static void warnf(struct reader *r, const struct yaml_node *at,
    const char *fmt, ...) PRINTF_LIKE(3, 4);

static void
warnf(struct reader *r, const struct yaml_node *at, const char *fmt, ...)
{
	char text[512];
	struct err e = { 0 };
	va_list ap;

	if (r->warn == NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	yaml_err(r->d, at, &e, "%s", text);
	r->warn(r->ctx, e.text);
}

/* defaults */

static struct conf *
defaults(void)
{
	struct conf *c = base_calloc(1, sizeof(*c));
	enum conf_effect *m;

	c->state_dir = base_strdup("/var/lib/portreeve");
	c->run_dir = base_strdup("/run/portreeve");
	c->user = base_strdup("portreeve");
	c->proxies = 1;
	c->trust_system = true;
	m = c->matrix[CONF_MANUAL];
	for (int i = 0; i < CONF_CLASSES; i++)
		m[i] = CONF_HOLD;
	m = c->matrix[CONF_SUPERVISED];
	m[CONF_UNKNOWN] = m[CONF_DANGEROUS] = m[CONF_MODERATE] = CONF_HOLD;
	m[CONF_READ_ONLY] = CONF_ALLOW;
	m = c->matrix[CONF_AUTONOMOUS];
	m[CONF_UNKNOWN] = m[CONF_DANGEROUS] = CONF_HOLD;
	m[CONF_MODERATE] = m[CONF_READ_ONLY] = CONF_ALLOW;
	c->limits = (struct conf_limits){ .body = 1 << 20, .header = 65536,
		.fields = 100, .streams = 2000, .idle_ms = 5 * MINUTE,
		.header_ms = 10 * SECOND, .body_ms = MINUTE,
		.advice_ms = 100, .record_ms = 5 * SECOND,
		.connect_ms = 10 * SECOND, .upstream_head_ms = 5 * MINUTE,
		.upstream_idle_ms = 5 * MINUTE, .stream_idle_ms = HOUR,
		.send_ms = MINUTE, .clock_step_ms = MINUTE,
		.report_ms = 10 * MINUTE };
	c->hold_expires_ms = HOUR;
	c->hold_keepalive_ms = 15 * SECOND;
	c->learning_ms = 7 * DAY;
	return c;
}

static void
listener_add(struct conf *c, enum conf_listener_kind kind, char *address)
{
	c->listeners = base_realloc(c->listeners,
	    (c->nlisteners + 1) * sizeof(*c->listeners));
	c->listeners[c->nlisteners++] = (struct conf_listener){
		.kind = kind, .address = address };
}

static void
listen_default(struct conf *c)
{
	listener_add(c, CONF_EXPLICIT, base_strdup("127.0.0.1:3128"));
	listener_add(c, CONF_MOUNT, base_strdup("127.0.0.1:8080"));
}

/* small readers */

static int
get_path(struct reader *r, const struct yaml_node *map, const char *key,
    char **v_r)
{
	char *given = NULL;

	if (yaml_get_str(r->d, map, key, &given, r->err) != 0)
		return -1;
	if (given == NULL)
		return 0;
	if (given[0] == '\0') {
		yaml_err(r->d, yaml_get(map, key), r->err,
		    "`%s` must be a path", key);
		free(given);
		return -1;
	}
	free(*v_r);
	*v_r = file_resolve(r->folder, given);
	free(given);
	return 0;
}

static int
get_duration(struct reader *r, const struct yaml_node *map, const char *key,
    int64_t min, int64_t max, int64_t *ms_r)
{
	const struct yaml_node *v = yaml_get(map, key);
	int64_t ms = 0;

	if (v == NULL)
		return 0;
	if (yaml_get_duration(r->d, map, key, &ms, r->err) != 0)
		return -1;
	if (ms >= min && ms <= max) {
		*ms_r = ms;
		return 0;
	}
	yaml_err(r->d, v, r->err, "`%s` must be from %lldms to %lldms, not "
	    "`%s`", key, (long long)min, (long long)max, v->text);
	return -1;
}

static int
want_list(struct reader *r, const struct yaml_node *v, const char *key,
    size_t max)
{
	if (v->type == YAML_SEQ && v->n <= max)
		return 0;
	yaml_err(r->d, v, r->err, "`%s` must be a list of at most %zu", key,
	    max);
	return -1;
}

static int
missing(struct reader *r, const struct yaml_node *at, const char *what,
    const char *key)
{
	yaml_err(r->d, at, r->err, "%s needs `%s`", what, key);
	return -1;
}

/* "host:port" or "[v6]:port"; the host without brackets. */
static bool
split_address(struct slice s, struct slice *host_r, uint64_t *port_r)
{
	const char *colon = s.n == 0 ? NULL : memrchr(s.p, ':', s.n);
	struct slice host;

	if (colon == NULL)
		return false;
	host = slice_make(s.p, (size_t)(colon - s.p));
	s = slice_sub(s, host.n + 1, s.n);
	if (s.n > 5 || !slice_to_u64(s, port_r) || *port_r > 65535)
		return false;
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = slice_make(host.p + 1, host.n - 2);
	else if (slice_chr(host, ':') >= 0)
		return false;
	*host_r = host;
	return host.n != 0 && host.n <= 255;
}

/* AF_INET, AF_INET6, or 0 when it is no address. */
static int
ip_family(struct slice host, bool *loopback_r)
{
	unsigned char bin[16];
	char text[64];

	if (host.n >= sizeof(text))
		return 0;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	if (inet_pton(AF_INET, text, bin) == 1) {
		*loopback_r = bin[0] == 127;
		return AF_INET;
	}
	if (inet_pton(AF_INET6, text, bin) == 1) {
		*loopback_r = strcmp(text, "::1") == 0;
		return AF_INET6;
	}
	return 0;
}

/* sections */

static int
read_state(struct reader *r, const struct yaml_node *v)
{
	(void)v;
	return get_path(r, r->root, "state", &r->c->state_dir);
}

static int
read_keeper_key(struct reader *r, const struct yaml_node *v)
{
	char **k = &r->c->keeper_key;

	if (yaml_get_str(r->d, r->root, "keeper_key", k, r->err) != 0)
		return -1;
	if (slice_starts(slice_str(*k), CONF_CREDENTIALS)) {
		const char *name = *k + strlen(CONF_CREDENTIALS);

		if (name[0] != '\0' && strchr(name, '/') == NULL)
			return 0;
		yaml_err(r->d, v, r->err, "`keeper_key` must end with the "
		    "credential's name");
		return -1;
	}
	return get_path(r, r->root, "keeper_key", k);
}

static int
read_run(struct reader *r, const struct yaml_node *v)
{
	(void)v;
	return get_path(r, r->root, "run", &r->c->run_dir);
}

static int
read_user(struct reader *r, const struct yaml_node *v)
{
	if (yaml_get_str(r->d, r->root, "user", &r->c->user, r->err) != 0)
		return -1;
	if (r->c->user[0] != '\0' && strcmp(r->c->user, "root") != 0)
		return 0;
	yaml_err(r->d, v, r->err, "`user` must be an account other than root");
	return -1;
}

static int
read_sandbox(struct reader *r, const struct yaml_node *v)
{
	static const char *const names[] = { "required", "best-effort" };
	int i = 0;

	(void)v;
	if (yaml_get_enum(r->d, r->root, "sandbox", names, ARRAY_LEN(names),
	    &i, r->err) != 0)
		return -1;
	r->c->sandbox_best_effort = i == 1;
	return 0;
}

static int
read_proxies(struct reader *r, const struct yaml_node *v)
{
	(void)v;
	if (yaml_get_int(r->d, r->root, "proxies", 0, 64, &r->c->proxies,
	    r->err) != 0)
		return -1;
	if (r->c->proxies == 0) {	/* one a core */
		long n = sysconf(_SC_NPROCESSORS_ONLN);

		r->c->proxies = n < 1 ? 1 : n > 64 ? 64 : n;
	}
	return 0;
}

/* A unix socket a proxy in this folder: 108 bytes hold no longer path. */
#define STDIO_FOLDER_MAX 90

static int
read_stdio_listener(struct reader *r, const struct yaml_node *v)
{
	char *path = NULL;

	if (get_path(r, v, "stdio", &path) != 0)
		return -1;
	for (size_t i = 0; i < r->c->nlisteners; i++)
		if (r->c->listeners[i].kind == CONF_STDIO) {
			yaml_err(r->d, v->items[0], r->err,
			    "`stdio` is listened on twice");
			free(path);
			return -1;
		}
	if (strlen(path) > STDIO_FOLDER_MAX) {
		yaml_err(r->d, v->items[0], r->err, "`stdio` is longer than a "
		    "unix socket's folder may be (%d bytes)", STDIO_FOLDER_MAX);
		free(path);
		return -1;
	}
	listener_add(r->c, CONF_STDIO, path);
	return 0;
}

static int
read_listener(struct reader *r, const struct yaml_node *v)
{
	const char *keys[CONF_LISTENER_KINDS + 1];
	bool balanced = yaml_get(v, "proxy_protocol") != NULL;
	bool loopback = false;
	struct slice host;
	char *text = NULL;
	uint64_t port;
	int kind = 0;

	for (int i = 0; i < CONF_LISTENER_KINDS; i++) {
		keys[i] = conf_listener_names[i];
		if (yaml_get(v, keys[i]) != NULL)
			kind = i;
	}
	keys[CONF_LISTENER_KINDS] = "proxy_protocol";
	if (yaml_check_keys(r->d, v, keys, ARRAY_LEN(keys), r->err) != 0)
		return -1;
	const struct yaml_node *at = yaml_get(v, keys[kind]);

	if (v->n != (balanced ? 2 : 1) || at == NULL || (balanced &&
	    kind != CONF_EXPLICIT && kind != CONF_MOUNT)) {
		yaml_err(r->d, v, r->err, "a listener is one of `explicit`, "
		    "`mount` and `transparent` with its address, or `stdio` "
		    "with a folder; the first two may have `proxy_protocol`");
		return -1;
	}
	if (kind == CONF_STDIO)
		return read_stdio_listener(r, v);
	if (yaml_get_str(r->d, v, keys[kind], &text, r->err) != 0)
		return -1;
	if (!split_address(slice_str(text), &host, &port) ||
	    ip_family(host, &loopback) == 0) {
		yaml_err(r->d, at, r->err, "`%s` must be an address "
		    "and port like 127.0.0.1:3128 or [::1]:3128, not `%s`",
		    keys[kind], text);
		free(text);
		return -1;
	}
	for (size_t i = 0; i < r->c->nlisteners && port != 0; i++)
		if (strcmp(r->c->listeners[i].address, text) == 0) {
			yaml_err(r->d, at, r->err,
			    "`%s` is listened on twice", text);
			free(text);
			return -1;
		}
	if (!loopback && kind != CONF_TRANSPARENT)
		warnf(r, at, "%s is reachable from other hosts, and "
		    "task tokens cross that network in the clear", text);
	listener_add(r->c, (enum conf_listener_kind)kind, text);
	return conf_read_proxy_protocol(r->d, v,
	    &r->c->listeners[r->c->nlisteners - 1], r->err);
}

static int
read_listen(struct reader *r, const struct yaml_node *v)
{
	if (want_list(r, v, "listen", CONF_LISTENERS_MAX) != 0)
		return -1;
	if (v->n == 0) {
		yaml_err(r->d, v, r->err, "`listen` names no listener; leave "
		    "it out for 127.0.0.1:3128 and 127.0.0.1:8080");
		return -1;
	}
	for (size_t i = 0; i < v->n; i++)
		if (read_listener(r, v->items[i]) != 0)
			return -1;
	return 0;
}

static int
read_connectors(struct reader *r, const struct yaml_node *v)
{
	(void)v;
	return get_path(r, r->root, "connectors", &r->c->connectors_dir);
}

static int
read_rules(struct reader *r, const struct yaml_node *v)
{
	(void)v;
	return get_path(r, r->root, "rules", &r->c->rules_dir);
}

static int
read_uncatalogued(struct reader *r, const struct yaml_node *v)
{
	static const char *const names[] = { "refuse", "splice" };
	int i = 0;

	(void)v;
	if (yaml_get_enum(r->d, r->root, "uncatalogued", names,
	    ARRAY_LEN(names), &i, r->err) != 0)
		return -1;
	r->c->splice_uncatalogued = i == 1;
	return 0;
}

static int
read_upstream_proxy(struct reader *r, const struct yaml_node *v)
{
	static const char *const keys[] = { "url", "credential" };
	struct conf *c = r->c;

	if (yaml_check_keys(r->d, v, keys, ARRAY_LEN(keys), r->err) != 0 ||
	    yaml_get_str(r->d, v, "url", &c->upstream_proxy, r->err) != 0 ||
	    yaml_get_str(r->d, v, "credential", &c->upstream_proxy_credential,
	    r->err) != 0)
		return -1;
	return c->upstream_proxy != NULL ? 0 :
	    missing(r, v, "`upstream_proxy`", "url");
}

static int
check_file(struct reader *r, const struct yaml_node *at, const char *path)
{
	struct stat st;

	if (!r->look || (stat(path, &st) == 0 && S_ISREG(st.st_mode)))
		return 0;
	yaml_err(r->d, at, r->err, "there is no file `%s`", path);
	return -1;
}

static int
read_trust(struct reader *r, const struct yaml_node *v)
{
	static const char *const keys[] = { "system", "files" };
	const struct yaml_node *l = yaml_get(v, "files");
	struct conf *c = r->c;

	if (yaml_check_keys(r->d, v, keys, ARRAY_LEN(keys), r->err) != 0 ||
	    yaml_get_bool(r->d, v, "system", &c->trust_system, r->err) != 0)
		return -1;
	if (l != NULL && want_list(r, l, "files", CONF_TRUST_FILES_MAX) != 0)
		return -1;
	c->trust_files = base_calloc(l == NULL ? 1 : l->n + 1,
	    sizeof(char *));
	for (size_t i = 0; l != NULL && i < l->n; i++) {
		const struct yaml_node *f = l->items[i];

		if (f->type != YAML_SCALAR || f->len == 0) {
			yaml_err(r->d, f, r->err,
			    "`files` holds paths of PEM files");
			return -1;
		}
		c->trust_files[c->ntrust_files++] = file_resolve(r->folder,
		    f->text);
		if (check_file(r, f, c->trust_files[i]) != 0)
			return -1;
	}
	if (!c->trust_system && c->ntrust_files == 0)
		warnf(r, v, "`trust` trusts nobody: no upstream with TLS "
		    "without a `ca` of its own will be accepted");
	return 0;
}

/* business hours */

static int
day_number(struct slice s)
{
	static const char *const days[] = { "mon", "tue", "wed", "thu", "fri",
		"sat", "sun" };

	for (int i = 0; i < 7; i++)
		if (slice_is(s, days[i]))
			return i;
	return -1;
}

/* "mon-fri", "mon,wed,sat-sun": bit 0 is Monday; false when neither. */
static bool
days_parse(struct slice s, uint8_t *days_r)
{
	uint8_t days = 0;

	while (s.p != NULL) {
		struct slice part = slice_trim(slice_cut(&s, ','));
		struct slice to = part, from = slice_cut(&to, '-');
		int a = day_number(from), b = to.p == NULL ? a :
		    day_number(to);

		if (a < 0 || b < 0)
			return false;
		for (int i = a;; i = (i + 1) % 7) {
			days |= (uint8_t)(1u << i);
			if (i == b)
				break;
		}
	}
	*days_r = days;
	return days != 0;
}

/* "HH:MM", to 24:00; minutes of the day, -1 when it is none. */
static int
minute_parse(struct slice s)
{
	uint64_t h, m;

	if (s.n != 5 || s.p[2] != ':' ||
	    !slice_to_u64(slice_sub(s, 0, 2), &h) ||
	    !slice_to_u64(slice_sub(s, 3, 2), &m) || m > 59 ||
	    h * 60 + m > 1440)
		return -1;
	return (int)(h * 60 + m);
}

static int
get_minute(struct reader *r, const struct yaml_node *map, const char *key,
    int *v_r)
{
	const struct yaml_node *v = yaml_get(map, key);

	if (v == NULL)
		return missing(r, map, "`business_hours`", key);
	*v_r = v->type != YAML_SCALAR ? -1 :
	    minute_parse(slice_make(v->text, v->len));
	if (*v_r >= 0)
		return 0;
	yaml_err(r->d, v, r->err, "`%s` must be a time of day like \"08:00\"",
	    key);
	return -1;
}

/* The name alone, or also that the system has such a zone. */
static int
check_zone(struct reader *r, const struct yaml_node *at, const char *zone)
{
	struct err e = { 0 };
	struct buf b;
	bool ok = true;

	buf_init(&b, TZ_BYTES_MAX);
	if (!tz_name_ok(slice_str(zone))) {
		yaml_err(r->d, at, r->err, "`%.64s` is no name of a time "
		    "zone; they are like Europe/Berlin", zone);
		ok = false;
	} else if (r->look && tz_load(zone, &b, &e) != 0) {
		yaml_err(r->d, at, r->err, "%s", e.text);
		ok = false;
	}
	buf_free(&b);
	return ok ? 0 : -1;
}

static int
get_zone(struct reader *r, const struct yaml_node *map, char **zone_r)
{
	const struct yaml_node *v = yaml_get(map, "zone");

	if (v == NULL)
		return missing(r, map, "`business_hours`", "zone");
	if (yaml_get_str(r->d, map, "zone", zone_r, r->err) != 0)
		return -1;
	return check_zone(r, v, *zone_r);
}

static int
read_hours(struct reader *r, const struct yaml_node *v)
{
	static const char *const keys[] = { "zone", "days", "from", "to" };
	struct conf_hours *h = &r->c->hours;
	const struct yaml_node *days = yaml_get(v, "days");

	if (yaml_check_keys(r->d, v, keys, ARRAY_LEN(keys), r->err) != 0 ||
	    get_zone(r, v, &h->zone) != 0 ||
	    get_minute(r, v, "from", &h->from_min) != 0 ||
	    get_minute(r, v, "to", &h->to_min) != 0)
		return -1;
	h->days = 0x1F;
	if (days != NULL && (days->type != YAML_SCALAR ||
	    !days_parse(slice_make(days->text, days->len), &h->days))) {
		yaml_err(r->d, days, r->err, "`days` must be like mon-fri or "
		    "mon,wed,sat");
		return -1;
	}
	if (h->from_min == h->to_min) {
		yaml_err(r->d, yaml_get(v, "to"), r->err,
		    "`to` must be another time than `from`");
		return -1;
	}
	h->set = true;
	return 0;
}

/* policy */

static int
read_matrix_row(struct reader *r, const struct yaml_node *v,
    enum conf_effect *row)
{
	if (yaml_check_keys(r->d, v, conf_class_names, CONF_CLASSES,
	    r->err) != 0)
		return -1;
	for (int i = 0; i < CONF_CLASSES; i++) {
		int e = (int)row[i];

		if (yaml_get_enum(r->d, v, conf_class_names[i],
		    conf_effect_names, CONF_EFFECTS, &e, r->err) != 0)
			return -1;
		row[i] = (enum conf_effect)e;
		if (row[i] == CONF_ALLOW &&
		    (i == CONF_UNKNOWN || i == CONF_DANGEROUS))
			warnf(r, yaml_get(v, conf_class_names[i]),
			    "%s tools are allowed without a person",
			    conf_class_names[i]);
	}
	return 0;
}

static int
read_matrix(struct reader *r, const struct yaml_node *v)
{
	if (yaml_check_keys(r->d, v, conf_trust_names, CONF_TRUSTS,
	    r->err) != 0)
		return -1;
	for (int i = 0; i < CONF_TRUSTS; i++) {
		const struct yaml_node *row = yaml_get(v,
		    conf_trust_names[i]);

		if (row != NULL && read_matrix_row(r, row,
		    r->c->matrix[i]) != 0)
			return -1;
	}
	return 0;
}

static int
read_exceptions(struct reader *r, const struct yaml_node *v)
{
	static const char *const effects[] = { [CONF_DENY] = "deny",
		[CONF_ALLOW] = "allow" };
	const char *names[REASON_COUNT] = { NULL };

	for (int i = 0; i < REASON_COUNT; i++)
		if (reason_is_exception((enum reason)i))
			names[i] = reason_word((enum reason)i);
	if (yaml_check_keys(r->d, v, names, REASON_COUNT, r->err) != 0)
		return -1;
	for (int i = 0; i < REASON_COUNT; i++) {
		int e = CONF_DENY;

		if (names[i] == NULL)
			continue;
		if (yaml_get_enum(r->d, v, names[i], effects,
		    ARRAY_LEN(effects), &e, r->err) != 0)
			return -1;
		r->c->exceptions[i] = (enum conf_effect)e;
		if (e == CONF_ALLOW && (i == REASON_CREDENTIAL ||
		    i == REASON_BROKER))
			warnf(r, yaml_get(v, names[i]), "`%s: allow` has no "
			    "effect: there is nothing to go on with", names[i]);
	}
	return 0;
}

static int
read_limits(struct reader *r, const struct yaml_node *v)
{
	static const char *const keys[] = { "body", "header", "fields",
		"streams", "idle", "header_time", "body_time", "advice_time",
		"record_time", "connect_time", "upstream_head_time",
		"upstream_idle", "stream_idle", "send_time", "clock_step",
		"report_time" };
	struct conf_limits *l = &r->c->limits;
	const struct {
		const char *key;
		int64_t min, max, *ms;
	} times[] = {
		{ "idle", SECOND, DAY, &l->idle_ms },
		{ "header_time", 100, 10 * MINUTE, &l->header_ms },
		{ "body_time", 100, HOUR, &l->body_ms },
		{ "advice_time", 1, 10 * SECOND, &l->advice_ms },
		{ "record_time", 100, 10 * MINUTE, &l->record_ms },
		{ "connect_time", 100, 10 * MINUTE, &l->connect_ms },
		{ "upstream_head_time", SECOND, DAY, &l->upstream_head_ms },
		{ "upstream_idle", SECOND, DAY, &l->upstream_idle_ms },
		{ "stream_idle", SECOND, 30 * DAY, &l->stream_idle_ms },
		{ "send_time", SECOND, HOUR, &l->send_ms },
		{ "clock_step", SECOND, DAY, &l->clock_step_ms },
		{ "report_time", SECOND, DAY, &l->report_ms },
	};

	if (yaml_check_keys(r->d, v, keys, ARRAY_LEN(keys), r->err) != 0 ||
	    yaml_get_int(r->d, v, "body", 1024, 16 << 20, &l->body,
	    r->err) != 0 ||
	    yaml_get_int(r->d, v, "header", 1024, 1 << 20, &l->header,
	    r->err) != 0 ||
	    yaml_get_int(r->d, v, "fields", 10, 1000, &l->fields,
	    r->err) != 0 ||
	    yaml_get_int(r->d, v, "streams", 1, 100000, &l->streams,
	    r->err) != 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(times); i++)
		if (get_duration(r, v, times[i].key, times[i].min,
		    times[i].max, times[i].ms) != 0)
			return -1;
	return 0;
}

static int
read_hold(struct reader *r, const struct yaml_node *v)
{
	static const char *const keys[] = { "expires", "keepalive" };

	return yaml_check_keys(r->d, v, keys, ARRAY_LEN(keys), r->err) != 0 ||
	    get_duration(r, v, "expires", SECOND, 30 * DAY,
	    &r->c->hold_expires_ms) != 0 ||
	    get_duration(r, v, "keepalive", SECOND, 5 * MINUTE,
	    &r->c->hold_keepalive_ms) != 0 ? -1 : 0;
}

static int
read_detection(struct reader *r, const struct yaml_node *v)
{
	static const char *const keys[] = { "learning" };

	return yaml_check_keys(r->d, v, keys, ARRAY_LEN(keys), r->err) != 0 ||
	    get_duration(r, v, "learning", 0, 90 * DAY,
	    &r->c->learning_ms) != 0 ? -1 : 0;
}

/* sinks */

static bool
sink_name_ok(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n <= 32 &&
	    strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static int
sink_name(struct reader *r, const struct yaml_node *v, struct conf_sink *s)
{
	const struct yaml_node *at = yaml_get(v, "name");

	if (at == NULL)
		return missing(r, v, "a sink", "name");
	if (yaml_get_str(r->d, v, "name", &s->name, r->err) != 0)
		return -1;
	if (!sink_name_ok(s->name)) {
		yaml_err(r->d, at, r->err, "`name` must be 1 to 32 of a-z, "
		    "0-9 and -");
		return -1;
	}
	for (const struct conf_sink *o = r->c->sinks; o < s; o++)
		if (strcmp(o->name, s->name) == 0) {
			yaml_err(r->d, at, r->err,
			    "two sinks have the name `%s`", s->name);
			return -1;
		}
	return 0;
}

static int
sink_pem(struct reader *r, const struct yaml_node *at, struct conf_sink *s)
{
	struct err e = { 0 };
	struct buf b;
	int rc = -1;

	buf_init(&b, CONF_PEM_MAX);
	if (file_read(s->ca, &b, &e) != 0)
		yaml_err(r->d, at, r->err, "%s", e.text);
	else if (slice_find(buf_slice(&b), SLICE("-----BEGIN CERT")) < 0 ||
	    slice_chr(buf_slice(&b), '\0') >= 0)
		yaml_err(r->d, at, r->err, "no PEM certificate in `%s`",
		    s->ca);
	else
		rc = 0;
	if (rc == 0)
		s->ca_pem = slice_dup(buf_slice(&b));
	buf_free(&b);
	return rc;
}

static int
sink_syslog(struct reader *r, const struct yaml_node *v, struct conf_sink *s)
{
	static const char *const keys[] = { "name", "type", "address", "ca",
		"server_name" };
	struct slice host;
	uint64_t port = 0;

	if (yaml_check_keys(r->d, v, keys, ARRAY_LEN(keys), r->err) != 0 ||
	    yaml_get_str(r->d, v, "address", &s->address, r->err) != 0 ||
	    yaml_get_str(r->d, v, "server_name", &s->server_name,
	    r->err) != 0 || get_path(r, v, "ca", &s->ca) != 0)
		return -1;
	if (s->address == NULL)
		return missing(r, v, "a syslog sink", "address");
	if (s->ca == NULL)
		return missing(r, v, "a syslog sink (always over TLS)", "ca");
	if (!split_address(slice_str(s->address), &host, &port) ||
	    port == 0) {
		yaml_err(r->d, yaml_get(v, "address"), r->err, "`address` must"
		    " be host:port like siem.example:6514");
		return -1;
	}
	if (s->server_name == NULL)
		s->server_name = slice_dup(host);
	return r->look ? sink_pem(r, yaml_get(v, "ca"), s) : 0;
}

static int
sink_file(struct reader *r, const struct yaml_node *v, struct conf_sink *s)
{
	static const char *const keys[] = { "name", "type", "path" };

	if (yaml_check_keys(r->d, v, keys, ARRAY_LEN(keys), r->err) != 0 ||
	    get_path(r, v, "path", &s->path) != 0)
		return -1;
	if (s->path == NULL)
		return missing(r, v, "a file sink", "path");
	return 0;
}

static int
read_sink(struct reader *r, const struct yaml_node *v, struct conf_sink *s)
{
	static const char *const types[CONF_SINK_TYPES] = { "file",
		"syslog" };
	int type = 0;

	if (v->type == YAML_MAP && yaml_get(v, "type") == NULL)
		return missing(r, v, "a sink", "type");
	if (yaml_get_enum(r->d, v, "type", types, CONF_SINK_TYPES, &type,
	    r->err) != 0)
		return -1;
	s->type = (enum conf_sink_type)type;
	if (s->type == CONF_SINK_SYSLOG ? sink_syslog(r, v, s) != 0 :
	    sink_file(r, v, s) != 0)
		return -1;
	return sink_name(r, v, s);
}

static int
read_sinks(struct reader *r, const struct yaml_node *v)
{
	struct conf *c = r->c;

	if (want_list(r, v, "sinks", CONF_SINKS_MAX) != 0)
		return -1;
	c->sinks = base_calloc(v->n + 1, sizeof(*c->sinks));
	for (size_t i = 0; i < v->n; i++) {
		c->nsinks++;	/* conf_free() frees a half-read one too */
		if (read_sink(r, v->items[i], &c->sinks[i]) != 0)
			return -1;
	}
	return 0;
}

/* In this order; a key that is no row is an error. */
static const struct {
	const char *key;
	int (*read)(struct reader *r, const struct yaml_node *v);
} sections[] = {
	{ "state", read_state },
	{ "keeper_key", read_keeper_key },
	{ "run", read_run },
	{ "user", read_user },
	{ "sandbox", read_sandbox },
	{ "proxies", read_proxies },
	{ "listen", read_listen },
	{ "connectors", read_connectors },
	{ "rules", read_rules },
	{ "uncatalogued", read_uncatalogued },
	{ "upstream_proxy", read_upstream_proxy },
	{ "trust", read_trust },
	{ "business_hours", read_hours },
	{ "matrix", read_matrix },
	{ "exceptions", read_exceptions },
	{ "limits", read_limits },
	{ "hold", read_hold },
	{ "detection", read_detection },
	{ "sinks", read_sinks },
};

static int
read_root(struct reader *r)
{
	const char *keys[ARRAY_LEN(sections)];

	for (size_t i = 0; i < ARRAY_LEN(sections); i++)
		keys[i] = sections[i].key;
	if (yaml_check_keys(r->d, r->root, keys, ARRAY_LEN(keys),
	    r->err) != 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
		const struct yaml_node *v = yaml_get(r->root, keys[i]);

		if (v != NULL && sections[i].read(r, v) != 0)
			return -1;
	}
	return 0;
}

/* the whole */

static int
read_all(struct reader *r)
{
	struct conf *c = r->c;

	if (conf_refuse_secrets(r->d, r->err) != 0 || read_root(r) != 0)
		return -1;
	if (c->nlisteners == 0)
		listen_default(c);
	if (c->connectors_dir == NULL)
		c->connectors_dir = file_resolve(r->folder, "connectors.d");
	if (c->rules_dir == NULL)
		c->rules_dir = conf_rules_default(r->look);
	if (r->look && !c->hours.set && conf_rules_ask_hours(c->rules_dir))
		warnf(r, NULL, "off-hours rules have no business hours and "
		    "time zone: set business_hours");
	return 0;
}

static struct conf *
finish(struct reader *r, struct yaml_doc *d)
{
	if (d == NULL)
		return NULL;
	r->d = d;
	r->root = d->roots[0];
	r->c = defaults();
	if (read_all(r) != 0) {
		conf_free(r->c);
		r->c = NULL;
	}
	yaml_free(d);
	return r->c;
}

struct conf *
conf_parse(const char *file, struct slice text, conf_warn_fn *warn,
    void *ctx, struct err *err)
{
	char *folder = file_folder(file);
	struct reader r = { .folder = folder, .warn = warn, .ctx = ctx,
		.err = err };
	struct conf *c = finish(&r, yaml_parse(file, text, false, err));

	if (c != NULL)
		c->file = base_strdup(file);
	free(folder);
	return c;
}

struct conf *
conf_load(const char *file, conf_warn_fn *warn, void *ctx, struct err *err)
{
	char *given = file_folder(file), *folder = realpath(given, NULL);
	const char *slash = strrchr(file, '/');
	struct reader r = { .folder = folder, .look = true, .warn = warn,
		.ctx = ctx, .err = err };
	struct conf *c = NULL;

	if (folder == NULL)
		err_at(err, file, 0, 0, "%s", strerror(errno));
	else
		c = finish(&r, yaml_load(file, false, err));
	if (c != NULL)
		c->file = file_resolve(folder, slash == NULL ? file :
		    slash + 1);
	free(given);
	free(folder);
	return c;
}
