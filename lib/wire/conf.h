/*
 * conf - the operator's main file (portreeve.yaml), checked, as one struct
 * that travels in the snapshot's section "conf".
 *
 * Only compilers call conf_load(); every role calls conf_unpack(). An unknown
 * key is an error that names the nearest; an inline secret is an error.
 *
 *   state: /var/lib/portreeve      # ledger, state.db, keys (0700)
 *   keeper_key: ${CREDENTIALS_DIRECTORY}/keeper.key  # or a path; else in state
 *   run: /run/portreeve            # sockets
 *   user: portreeve                # when root: what roles become
 *   sandbox: required              # or best-effort
 *   proxies: 1                     # 0: one a core
 *   listen:
 *     - explicit: 127.0.0.1:3128
 *     - mount: 127.0.0.1:8080
 *       proxy_protocol: { from: [10.0.0.0/8] }   # balancers in front
 *     - transparent: 127.0.0.1:8443        # TPROXY
 *     - stdio: /run/portreeve/stdio  # a folder: where `portreeve stdio` asks
 *   connectors: connectors.d       # relative to this file
 *   rules: /usr/share/portreeve/rules   # detection/, redaction/, injection/
 *   uncatalogued: refuse           # or splice
 *   upstream_proxy: { url: http://proxy:3128, credential: px }
 *   trust: { system: true, files: [ca.pem] }
 *   business_hours: { zone: Europe/Berlin, days: mon-fri,
 *     from: "08:00", to: "18:00" }
 *   matrix:                        # trust level x risk class
 *     supervised: { read-only: allow, moderate: hold, dangerous: hold, unknown: hold }
 *   exceptions: { detector-late: allow }
 *   limits: { body: 1048576, header: 65536, fields: 100, streams: 2000,
 *     idle: 5m, header_time: 10s, body_time: 60s, advice_time: 100ms,
 *     record_time: 5s, connect_time: 10s, upstream_head_time: 5m,
 *     upstream_idle: 5m, stream_idle: 1h, send_time: 60s, clock_step: 1m,
 *     report_time: 10m }
 *   hold: { expires: 1h, keepalive: 15s }
 *   detection: { learning: 7d }
 *   sinks:
 *     - { name: siem, type: syslog, address: siem.example:6514,
 *         ca: siem-ca.pem, server_name: siem.example }
 *     - { name: archive, type: file, path: /var/log/portreeve/events.jsonl }
 */
#ifndef CONF_H
#define CONF_H

#include "base.h"
#include "buf.h"
#include "err.h"
#include "reason.h"

enum conf_trust { CONF_MANUAL, CONF_SUPERVISED, CONF_AUTONOMOUS, CONF_TRUSTS };
enum conf_class { CONF_UNKNOWN, CONF_DANGEROUS, CONF_MODERATE, CONF_READ_ONLY,
	CONF_CLASSES };
/* Zero means deny. */
enum conf_effect { CONF_DENY, CONF_HOLD, CONF_ALLOW, CONF_EFFECTS };
enum conf_listener_kind { CONF_EXPLICIT, CONF_MOUNT, CONF_TRANSPARENT,
	CONF_STDIO,
	CONF_LISTENER_KINDS };
enum conf_sink_type { CONF_SINK_FILE, CONF_SINK_SYSLOG, CONF_SINK_TYPES };

extern const char *const conf_listener_names[CONF_LISTENER_KINDS];
extern const char *const conf_trust_names[CONF_TRUSTS];
extern const char *const conf_class_names[CONF_CLASSES];
extern const char *const conf_effect_names[CONF_EFFECTS];

/* The one variable that a path may begin with: systemd's credentials. */
#define CONF_CREDENTIALS "${CREDENTIALS_DIRECTORY}/"

struct conf_listener {
	enum conf_listener_kind kind;
	char *address;			/* "127.0.0.1:3128", "[::1]:8080"; stdio: the
					 * folder of the proxies' sockets */
	char **from;			/* "ip" or "ip/bits": who sends a
					 * PROXY protocol header, and must */
	size_t nfrom;
};

struct conf_sink {
	enum conf_sink_type type;
	char *name;			/* unique, [a-z0-9-] */
	char *address;			/* syslog: host:port */
	char *ca;			/* syslog: PEM file, resolved path */
	char *ca_pem;			/* its content, read by conf_load */
	char *server_name;		/* expected certificate name */
	char *path;			/* file */
};

struct conf_limits {
	int64_t body, header, fields, streams;
	int64_t idle_ms, header_ms, body_ms, advice_ms;
	int64_t record_ms;		/* wait for a commit */
	int64_t connect_ms;		/* upstream: name, TCP and TLS */
	int64_t upstream_head_ms;	/* request sent, no head yet */
	int64_t upstream_idle_ms;	/* no byte inside a body */
	int64_t stream_idle_ms;		/* no byte of a GET's event stream */
	int64_t send_ms;		/* the agent takes no byte */
	int64_t clock_step_ms;		/* beyond it: clock-unsound */
	int64_t report_ms;		/* a built-in tool's outcome */
};

struct conf_hours {
	bool set;
	char *zone;
	uint8_t days;			/* bit 0 Monday .. bit 6 Sunday */
	int from_min, to_min;		/* minutes of the local day; to_min
					 * below from_min: past midnight */
};

struct conf {
	char *file, *state_dir, *run_dir, *user, *connectors_dir, *rules_dir;
	char *keeper_key;		/* NULL: made in the state folder; may
					 * begin with CONF_CREDENTIALS */
	bool sandbox_best_effort;
	int64_t proxies;
	struct conf_listener *listeners;
	size_t nlisteners;
	bool splice_uncatalogued;
	char *upstream_proxy;		/* URL, NULL: none; checked where the
					 * catalogue is compiled */
	char *upstream_proxy_credential;	/* name, or NULL */
	bool trust_system;
	char **trust_files;
	size_t ntrust_files;
	struct conf_hours hours;
	enum conf_effect matrix[CONF_TRUSTS][CONF_CLASSES];
	enum conf_effect exceptions[REASON_COUNT];	/* CONF_DENY or CONF_ALLOW */
	struct conf_limits limits;
	int64_t hold_expires_ms, hold_keepalive_ms;
	int64_t learning_ms;
	struct conf_sink *sinks;
	size_t nsinks;
};

/* Warnings (never errors) are handed to warn, one text each. */
typedef void conf_warn_fn(void *ctx, const char *text);

struct conf *conf_load(const char *file, conf_warn_fn *warn, void *ctx,
    struct err *err) MUST_USE;
/* The same from the bytes of a file, looking at no other file: `ca_pem` stays
 * NULL, the time zone's existence is not checked. `file` names the place of
 * errors and its folder is what relative paths begin with. */
struct conf *conf_parse(const char *file, struct slice text,
    conf_warn_fn *warn, void *ctx, struct err *err) MUST_USE;
void conf_free(struct conf *c);		/* NULL-safe */
void conf_pack(struct buf *b, const struct conf *c);
/* NULL when the section is malformed. */
struct conf *conf_unpack(struct slice section) MUST_USE;

/* -1 and an error that names `portreeve credential set` when a key anywhere in
 * the file is one that holds a secret (password, token, api_key, ...). */
struct yaml_doc;
int conf_refuse_secrets(const struct yaml_doc *d, struct err *err) MUST_USE;

#endif
