/*
 * doctor_connectors - for each connector: would a call come through, and if
 * not, what to do. Sends a ping or a read-only GET through the gate, by the
 * mount or, where there is none, by the proxy; of a local server it looks
 * whether its program is what was pinned.
 */
#include "console/setup/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium/crypto_hash_sha256.h>
#include <stdlib.h>
#include <unistd.h>

#include "codec.h"
#include "reason.h"

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

/* Fields behind Host, and the body. */
static void
write_rest(const struct connector *c, struct buf *b)
{
	static const char ping[] =
	    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}";

	buf_add_str(b, "Connection: close\r\n");
	if (c->kind == CONNECTOR_MCP)
		buf_addf(b, "Content-Type: application/json\r\n"
		    "Accept: application/json, text/event-stream\r\n"
		    "Content-Length: %zu\r\n\r\n%s", sizeof(ping) - 1, ping);
	else
		buf_add_str(b, "\r\n");
}

/* The mount adds the URL's own path again. */
static struct slice
below_mount(const struct connector *c, const char *path)
{
	struct slice base = slice_str(c->path), rest = slice_str(path);

	while (base.n > 0 && base.p[base.n - 1] == '/')
		base.n--;
	if (slice_eq(slice_sub(rest, 0, base.n), base))
		rest = slice_sub(rest, base.n, SIZE_MAX);
	return rest;
}

static int
by_mount(struct doctor *d, const struct connector *c, const char *path,
    const char *token, struct buf *answer, struct err *err)
{
	bool mcp = c->kind == CONNECTOR_MCP;
	struct slice rest = mcp ? slice_make("", 0) : below_mount(c, path);
	struct buf b;
	int r;

	buf_init(&b, 65536);
	buf_addf(&b, "%s /%s/%s%.*s HTTP/1.1\r\nHost: portreeve\r\n"
	    "Authorization: Bearer %s\r\n", mcp ? "POST" : "GET", mcp ?
	    "mcp" : "api", c->name, SLICE_FMT(rest), token);
	write_rest(c, &b);
	if ((r = doctor_fetch(d->ramp.mount, buf_slice(&b), answer)) != 0)
		err_set(err, "%s", strerror(errno));
	buf_wipe_free(&b);
	return r;
}

static int
by_proxy(struct doctor *d, const struct connector *c, const char *path,
    const char *token, struct buf *answer, struct err *err)
{
	struct buf b;
	int r;

	buf_init(&b, 65536);
	write_rest(c, &b);
	r = doctor_fetch_by_proxy(d, c, token, c->kind == CONNECTOR_MCP ?
	    "POST" : "GET", path, buf_slice(&b), answer, err);
	buf_free(&b);
	return r;
}

/* --- what an answer means ------------------------------------------------------ */

/* The word of our own refusal, whether it came as HTTP or as JSON-RPC, and
 * its sentence; false: it is none. */
static bool
refusal(struct slice answer, char word[64], char why[200])
{
	ssize_t at = slice_find(answer, SLICE("\r\n\r\n"));
	char *reason = NULL, *text = NULL;
	uint32_t error, data, v;
	struct json_doc doc;

	if (at < 0)
		return false;
	json_init(&doc);
	if (json_index(&doc, slice_sub(answer, (size_t)at + 4, SIZE_MAX),
	    NULL) == JSON_OK && json_typeof(&doc, 0) == JSON_OBJECT &&
	    (error = json_member(&doc, 0, "error")) != JSON_NONE &&
	    json_typeof(&doc, error) == JSON_OBJECT) {
		v = json_member(&doc, error, "reason");
		data = json_member(&doc, error, "data");
		if (v == JSON_NONE && data != JSON_NONE &&
		    json_typeof(&doc, data) == JSON_OBJECT)
			v = json_member(&doc, data, "portreeve/reason");
		if (v != JSON_NONE && json_typeof(&doc, v) == JSON_STRING)
			reason = json_strdup(&doc, v);
		v = json_member(&doc, error, "message");
		if (v != JSON_NONE && json_typeof(&doc, v) == JSON_STRING)
			text = json_strdup(&doc, v);
	}
	if (reason != NULL) {
		snprintf(word, 64, "%s", reason);
		snprintf(why, 200, "%s", text == NULL ? reason : text);
	}
	json_free(&doc);
	free(text);
	free(reason);
	return word[0] != '\0';
}

static const struct {
	enum reason reason;
	const char *advice;
} cures[] = {
	{ REASON_UPSTREAM, "is its server running at that address? Look at"
	    " `url:` and the firewall between" },
	{ REASON_UPSTREAM_AWAY, "is its server running at that address? Look"
	    " at `url:` and the firewall between" },
	{ REASON_UPSTREAM_TLS, "give the authority of its certificate: `ca:`"
	    " in the connector's file, or `trust.files`" },
	{ REASON_UPSTREAM_PROXY, "look at `upstream_proxy` and its"
	    " credential" },
	{ REASON_UPSTREAM_TIME, "its server is too slow, or asleep" },
	{ REASON_ADDRESS, "if that address is meant, `pin:` it in the"
	    " connector's file" },
	{ REASON_CREDENTIAL, "portreeve credential set NAME, with the name"
	    " that the connector's file gives" },
	{ REASON_KILLED, "portreeve kills says why; portreeve revive undoes"
	    " it" },
	{ REASON_DISABLED, "portreeve connector ls; connector enable turns it"
	    " on" },
	{ REASON_NOT_YOURS, "look at `agents:` in the connector's file" },
	{ REASON_AUDIT_UNAVAILABLE, "look at the log of the recorder: is the"
	    " disk full?" },
	{ REASON_CLOCK, "let the clock be set by chrony or"
	    " systemd-timesyncd" },
};

static const char *
cure(const char *word)
{
	for (size_t i = 0; i < ARRAY_LEN(cures); i++)
		if (strcmp(reason_word(cures[i].reason), word) == 0)
			return cures[i].advice;
	return "portreeve audit tail says more";
}

static void
judge(struct doctor *d, const struct connector *c, const char *check,
    const char *road, struct slice answer)
{
	char word[64] = "", why[200];
	uint64_t status = 0;

	if (!slice_starts(answer, "HTTP/1.1 ") ||
	    !slice_to_u64(slice_sub(answer, 9, 3), &status))
		doctor_add(d, DOCTOR_FAIL, check, "portreeve audit tail says"
		    " more", "no answer by the %s", road);
	else if (refusal(answer, word, why))
		doctor_add(d, DOCTOR_FAIL, check, cure(word), "%s (by the %s)",
		    why, road);
	else if (status == 401 || status == 403)
		doctor_add(d, DOCTOR_WARN, check, c->credential[0] == '\0' ?
		    "its file names no `credential:`" : "is its credential"
		    " still valid? portreeve credential set", "its server"
		    " answered %u by the %s", (unsigned)status, road);
	else if (status >= 500)
		doctor_add(d, DOCTOR_WARN, check, "look at the server's own"
		    " log", "its server answered %u by the %s",
		    (unsigned)status, road);
	else
		doctor_add(d, DOCTOR_OK, check, "", "its server answered %u"
		    " through the proxy, by the %s", (unsigned)status, road);
}

static void
try_connector(struct doctor *d, const struct connector *c, const char *check,
    const char *token)
{
	bool mount = d->ramp.mount != NULL;
	const char *path = c->kind == CONNECTOR_MCP ? c->path : harmless(c);
	const char *road = mount ? "mount" : "proxy";
	struct err err = { 0 };
	struct buf answer;

	if (path == NULL) {
		doctor_add(d, DOCTOR_WARN, check, "", "not tried: it has no"
		    " read-only GET without a name in its path");
		return;
	}
	buf_init(&answer, 1u << 20);
	if ((mount ? by_mount(d, c, path, token, &answer, &err) :
	    by_proxy(d, c, path, token, &answer, &err)) != 0)
		doctor_add(d, DOCTOR_FAIL, check, "look at the listener, the"
		    " upstream and limits.connect_time", "%s (by the %s)",
		    err.text, road);
	else
		judge(d, c, check, road, buf_slice(&answer));
	buf_free(&answer);
}

/* --- local servers -------------------------------------------------------------- */

/* "sha256:..." of a file; -1 and errno. */
static int
digest_of(const char *path, char out[72])
{
	static unsigned char chunk[1 << 16];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	crypto_hash_sha256_state st;
	unsigned char sum[32];
	ssize_t k = -1;

	crypto_hash_sha256_init(&st);
	while (fd >= 0 && (k = read(fd, chunk, sizeof(chunk))) > 0)
		crypto_hash_sha256_update(&st, chunk, (size_t)k);
	base_close(&fd);
	crypto_hash_sha256_final(&st, sum);
	memcpy(out, "sha256:", 7);
	hex_encode(sum, 32, out + 7);
	return k == 0 ? 0 : -1;
}

/* Its agent starts it, perhaps under another account and PATH: only what an
 * absolute path names is surely what the agent gets too. */
static void
look_at_server(struct doctor *d, const struct connector *c,
    const char *check)
{
	const char *program = c->stdio->command.v[0];
	char path[4096], digest[72];

	if (!doctor_find(program, path))
		doctor_add(d, DOCTOR_WARN, check, "install it where its agent"
		    " runs", "%s is not here, or not executable", program);
	else if (digest_of(path, digest) != 0)
		doctor_add(d, DOCTOR_WARN, check, "run this as root", "%s: %s",
		    path, strerror(errno));
	else if (strcmp(digest, c->stdio->digest) != 0)
		doctor_add(d, program[0] == '/' ? DOCTOR_FAIL : DOCTOR_WARN,
		    check, "its agent would be refused; if this one is meant,"
		    " pin it: portreeve stdio --pin NAME -- COMMAND",
		    "%s is not the program that was pinned", path);
	else
		doctor_add(d, DOCTOR_OK, check, "", "%s is what was pinned",
		    path);
}

/* --- all -------------------------------------------------------------------------- */

static void
look_at(struct doctor *d, const struct connector *c)
{
	struct doctor_session s = { 0 };
	char check[80];

	snprintf(check, sizeof(check), "connector %s", c->name);
	if (!c->approved || c->state == POLICY_DISABLED)
		doctor_add(d, DOCTOR_WARN, check, c->approved ? "portreeve"
		    " connector enable turns it on" : "set `approved: true`"
		    " when it was reviewed", "not tried: %s", c->approved ?
		    "disabled" : "not approved");
	else if (c->stdio != NULL)
		look_at_server(d, c, check);
	else if (c->builtin != NULL)
		doctor_add(d, d->ramp.mount != NULL ? DOCTOR_OK : DOCTOR_WARN,
		    check, d->ramp.mount != NULL ? "" : "add a `mount:`"
		    " listener: a harness asks for them there",
		    "built-in tools: there is nothing to call");
	else if (d->ramp.mount == NULL && d->ramp.proxy == NULL)
		doctor_add(d, DOCTOR_WARN, check, "add an `explicit:` or a"
		    " `mount:` listener", "not tried: there is neither a"
		    " proxy nor a mount");
	else if (doctor_session_begin(d, strcmp(c->agents[0], "*") == 0 ?
	    "doctor" : c->agents[0], &s) != CLI_OK)
		doctor_add(d, DOCTOR_FAIL, check, "start the daemons",
		    "no session could be opened");
	else
		try_connector(d, c, check, s.token);
	if (s.id[0] != '\0')
		doctor_session_end(d, &s);
}

void
doctor_connectors(struct doctor *d)
{
	for (size_t i = 0; i < d->ramp.catalogue->n; i++)
		look_at(d, &d->ramp.catalogue->v[i]);
}
