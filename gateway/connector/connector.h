/*
 * connector - the registry of what agents may reach, the YAML files of connectors.d:
 * one file a connector.
 *
 *   name: github                  # [a-z0-9-], unique
 *   kind: mcp                     # or rest, stdio, builtin
 *   url: https://api.example.com/mcp
 *   hosts: [api.example.com]      # more hosts of the same service
 *   pin: [10.1.2.3]               # addresses or CIDRs the guard lets through
 *   ca: private-ca.pem            # trusted for this upstream besides `trust`
 *   owner: team-dev  purpose: ...  vendor: ...  source: ...  reviewer: ...
 *   review_by: 2027-01-01
 *   data_class: internal  risk: medium  environment: prod
 *   approved: true                # what is not approved never serves
 *   state: enabled                # observe | disabled
 *   agents: [coder, triage]       # who may use it; "*" all; empty is refused
 *   credential: { name: gh, type: bearer }   # or type: header, header: X-Api-Key, template: "{}"
 *   upstream_proxy: { url: http://proxy:3128, credential: px }  # or direct
 *   http2: off                    # or { agents: off, upstream: off }
 *   websocket: inspect            # or refuse; or { messages: inspect, binary: allow }
 *   media: stream                 # bodies that cannot be inspected; or deny
 *   log_result: 65536             # bytes of a result kept in the ledger
 *   tools_cache: 10m              # mcp: how long its tool lists are remembered; or off
 *   redaction:                    # rules that do not act here, by direction
 *     arguments: { off: [email, phone] }
 *     results: { off: [personal] }     # all of this kind
 *   server_requests:              # mcp: what the server may ask of the agent
 *     { sampling: deny, elicitation: allow, roots: deny }
 *   matrix: { supervised: { moderate: allow } }
 *   deferred: true                # mcp: on /mcp its tools are found by tool_search
 *   tools: { echo: { class: read-only, approval: auto, enabled: true,
 *       deferred: false } }
 *   graphql: /v1/graphql          # rest: operations there are named by document
 *   operations:                   # rest
 *     - { name: get_item, method: GET, path: "/v1/items/{id}", class: read-only }
 *
 * kind: stdio is an MCP server that `portreeve stdio NAME -- CMD` starts beside
 * its agent; instead of a URL it has
 *
 *   command: [node, /srv/notes/index.js]     # this command line, no other
 *   digest: sha256:HEX            # of the executable
 *   directory: /srv/notes/data    # where it runs, may read and write; none: where
 *                                 # the agent started it
 *   read: [/srv/notes]            # more that it may read
 *   allow: [/srv/shared]          # more that it may read and write
 *   env: [NOTES_LANG]             # more of the environment that it gets
 *   network: host                 # or off, the default
 *
 * kind: builtin is what an agent's own harness can do (shell, files, browser);
 * it has no URL, the harness asks for each call (gateask.h):
 *
 *   context:                      # what a call must say of itself, if any
 *     device_class: [managed, unmanaged]
 *     environment: [test, production]
 *   raise:                        # the class of calls that all of it fits
 *     - { device_class: unmanaged, to: dangerous }
 *     - { environment: production, tool: shell, to: dangerous }
 *
 * Floors: a mutating method is at least moderate, a GraphQL mutation (tool
 * "mutation.FIELD") too; DELETE is dangerous.
 */
#ifndef CONNECTOR_H
#define CONNECTOR_H

#include "addr.h"
#include "base.h"
#include "conf.h"
#include "http1.h"
#include "policy.h"
#include "redact.h"
#include "snap.h"

enum connector_ask { CONNECTOR_SAMPLING, CONNECTOR_ELICITATION,
	CONNECTOR_ROOTS, CONNECTOR_ASKS };

/* A name of our own: who asks for it through a proxy gets the page that tells
 * whether its CA is trusted. No connector may have it. */
#define CONNECTOR_SELF_HOST "trust.portreeve.internal"

/* The mount of all MCP connectors, as a connector without an upstream: every
 * agent may use it, what it answers itself is read-only. No file may have its
 * name. */
#define CONNECTOR_AGGREGATE "aggregate"
#define CONNECTOR_SEARCH "tool_search"	/* its only tool */

enum connector_kind { CONNECTOR_MCP, CONNECTOR_REST, CONNECTOR_BUILTIN,
	CONNECTOR_KINDS };

/* What an importer leaves to a person: owner, purpose and agents that begin
 * with it are refused. */
#define CONNECTOR_PLACEHOLDER "FILL-IN"

/* Is a tool left out of /mcp's list until it is searched for? */
enum connector_defer { CONNECTOR_DEFER_DEFAULT, CONNECTOR_DEFER_NO,
	CONNECTOR_DEFER_YES, CONNECTOR_DEFERS };

struct connector_tool {
	char *name;
	enum connector_defer defer;	/* default: as the connector */
	enum conf_class klass;
	enum policy_approval approval;
	bool enabled, classified;
};

struct connector_operation {
	char *name, *method, *path;	/* template: "/v1/items/{id}" */
	struct connector_tool tool;
};

/* A list of texts, packed: each with its length before it. */
struct connector_words {
	char **v;
	size_t n;
};

/* What a stdio server is started as, and with. */
struct connector_stdio {
	char *digest, *directory;	/* "sha256:..."; "": none */
	struct connector_words command, read, allow, env;
	bool network;
};

/* To what a context raises a class; "": whatever it is. */
struct connector_raise {
	char *device_class, *environment, *tool;
	enum conf_class to;
};

/* The context of a harness's calls: the words that there are. */
struct connector_builtin {
	struct connector_words device_classes, environments;
	struct connector_raise *raises;
	size_t nraises;
};

struct connector_host {
	char *host;			/* normalised */
	uint16_t port;
};

/* Whom a credential of such a proxy is given to, in the section
 * "credentials"; no connector can have this name. */
#define CONNECTOR_VIA "(upstream proxy)"

struct connector_via {
	char *host;			/* normalised; "": straight */
	uint16_t port;
	char *credential;		/* name, "" when none */
};

/* What is spoken besides HTTP/1.1; h2 is offered by ALPN. */
struct connector_http {
	bool h2_agents, h2_upstream;
	bool websocket, ws_binary;	/* false: refused */
};

struct connector {
	char *name, *path, *owner, *purpose, *vendor, *source, *reviewer,
	    *review_by, *data_class, *risk, *environment, *ca_pem, *graphql;
	enum connector_kind kind;
	bool tls, approved, media_stream;
	bool deferred;			/* its tools are, on /mcp */
	enum policy_state state;
	struct connector_stdio *stdio;	/* else NULL; then kind is MCP */
	struct connector_builtin *builtin;	/* NULL: of another kind */
	struct connector_host *hosts;	/* [0] is the URL's own; none: stdio
					 * or builtin */
	size_t nhosts;
	struct addr_cidr *pins;
	size_t npins;
	char **agents;
	size_t nagents;
	char *credential;		/* name, "" when none */
	char *cred_type, *cred_header, *cred_template;
	struct connector_via via;
	struct connector_http http;
	int64_t log_result;
	int64_t tools_cache_ms;		/* 0: off */
	/* NULL: every rule acts on what goes out, on what comes back. */
	struct redact_off *off_arguments, *off_results;
	enum conf_effect matrix[CONF_TRUSTS][CONF_CLASSES];
	bool asks[CONNECTOR_ASKS];	/* the server may ask it */
	struct connector_tool *tools;
	size_t ntools;
	struct connector_operation *operations;
	size_t noperations;
};

struct connector_set {
	struct connector *v;
	size_t n;
	struct connector_via via;	/* of spliced connections */
	bool aggregate;			/* v[n] is CONNECTOR_AGGREGATE */
};

/* The compiler: reads conf->connectors_dir, adds the sections "connectors",
 * "connector-names", "catalog-hosts" and "credentials". rules: those of the
 * same snapshot; NULL: there are none to switch off. */
int connector_compile(const struct conf *c, const struct redact *rules,
    struct snap_writer *w, conf_warn_fn *warn, void *ctx, struct err *err)
    MUST_USE;

/* The same of one file's text, looking at no other file: `ca:` is not read.
 * `file` names the place of errors. */
int connector_parse(const struct conf *c, const struct redact *rules,
    const char *file, struct slice text, struct snap_writer *w,
    struct err *err) MUST_USE;

struct connector_set *connector_load(const struct snap *s) MUST_USE;
void connector_set_free(struct connector_set *s);

/* Of a loaded set; in none of its searches. */
struct connector *connector_aggregate(const struct connector_set *s);
struct connector *connector_named(const struct connector_set *s,
    struct slice name);
/* The connector of an upstream host; where several share it, the one whose URL
 * path is the longest prefix of `path` (path.p NULL: any). */
struct connector *connector_at(const struct connector_set *s,
    const char *host, uint16_t port, struct slice path);
/* May an agent's TLS to this host choose HTTP/2? It is agreed on before there
 * is a path, so every connector of the host has a say. */
bool connector_h2_at(const struct connector_set *s, const char *host,
    uint16_t port);
bool connector_allows_agent(const struct connector *c, const char *agent);
/* The configured tool, or the operation of this name, or NULL. */
const struct connector_tool *connector_tool(const struct connector *c,
    struct slice name);
/* Is the tool deferred; is any? */
bool connector_defers(const struct connector *c, struct slice name);
bool connector_defers_any(const struct connector *c);
/* The REST operation of a request, or NULL: unknown. */
const struct connector_operation *connector_operation(
    const struct connector *c, struct slice method, struct slice path);
/* The class that an operation of this method cannot go below. */
enum conf_class connector_floor(const char *method);
/* Does a path match a template? {name} stands for one non-empty segment. */
bool connector_path_match(const char *template, struct slice path);

#endif
