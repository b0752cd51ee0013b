/* rfc5424 - see rfc5424.h. */
#include "rfc5424.h"

#include "fit.h"

#define FACILITY 13		/* log audit */
#define PARAM_MAX 256		/* bytes of a value before escaping */
#define DECODE_MAX 4096		/* longer strings are cut before decoding */
#define PROCID_MAX 128
#define MSGID_MAX 32
#define FIELD "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:"
#define SD_OPEN "[portreeve@" RFC5424_PEN

enum { ALERT = 1, CRITICAL, ERROR, WARNING, NOTICE, INFO };

static const uint8_t by_type[EVENT_COUNT] = {
	[EVENT_CALL_DECISION] = INFO,
	[EVENT_CALL_OUTCOME] = INFO,
	[EVENT_CALL_RESULT] = INFO,
	[EVENT_APPROVAL_REQUESTED] = NOTICE,
	[EVENT_APPROVAL_DECIDED] = NOTICE,
	[EVENT_APPROVAL_ENDED] = NOTICE,
	[EVENT_APPROVAL_CONSUMED] = NOTICE,
	[EVENT_SESSION_OPENED] = INFO,
	[EVENT_SESSION_CLOSED] = INFO,
	[EVENT_AUTH_FAILED] = WARNING,
	[EVENT_CONNECTION_REFUSED] = WARNING,
	[EVENT_CONNECTION_SPLICED] = NOTICE,
	[EVENT_CLIENT_REFUSED_CA] = WARNING,
	[EVENT_CLIENT_TRUSTS_CA] = INFO,
	[EVENT_STDIO_SERVER] = NOTICE,
	[EVENT_CONNECTOR_KILLED] = ALERT,
	[EVENT_CONNECTOR_REVIVED] = NOTICE,
	[EVENT_CONNECTOR_STATE] = NOTICE,
	[EVENT_UPSTREAM_AWAY] = WARNING,
	[EVENT_UPSTREAM_BACK] = NOTICE,
	[EVENT_TOOL_SEEN] = NOTICE,
	[EVENT_TOOL_REFRESHED] = NOTICE,
	[EVENT_TOOL_CLASSIFIED] = NOTICE,
	[EVENT_CREDENTIAL_SET] = NOTICE,
	[EVENT_EXCEPTION] = WARNING,
	[EVENT_FINDING] = WARNING,
	[EVENT_CHECKPOINT] = INFO,
	[EVENT_SYSTEM_STARTED] = NOTICE,
	[EVENT_ROLE_RESTARTED] = WARNING,
	[EVENT_CONFIG_LOADED] = NOTICE,
	[EVENT_CONFIG_REFUSED] = ERROR,
	[EVENT_EXPORT_DOWN] = ERROR,
	[EVENT_EXPORT_UP] = NOTICE,
	[EVENT_EXPORT_CUT] = WARNING,
	[EVENT_EXPORT_GAP] = CRITICAL,
	[EVENT_EXPORT_REWOUND] = ALERT,
};

static const struct { const char *word; int severity; } by_finding[] = {
	{ "critical", CRITICAL }, { "high", ERROR }, { "medium", WARNING },
	{ "low", NOTICE }, { "informational", INFO },
};

int
rfc5424_type_severity(enum event_type t)
{
	return by_type[t];
}

int
rfc5424_severity(struct slice type, struct slice verdict,
    struct slice severity)
{
	enum event_type t;

	if (!event_type_parse(type, &t) || by_type[t] == 0)
		return NOTICE;
	if (t == EVENT_FINDING)
		for (size_t i = 0; i < ARRAY_LEN(by_finding); i++)
			if (slice_is(severity, by_finding[i].word))
				return by_finding[i].severity;
	if (t == EVENT_CALL_DECISION && slice_is(verdict, "deny"))
		return WARNING;
	if (t == EVENT_CALL_DECISION && slice_is(verdict, "hold"))
		return NOTICE;
	return by_type[t];
}

/* A header field, at most max; "-" when empty. Of PRINTUSASCII (%d33-126) only
 * what a host name, a role or a type has: a quote or bracket here would lead
 * a careless parser astray. */
static void
add_field(struct buf *out, struct slice s, size_t max)
{
	if (s.n == 0)
		buf_add_char(out, '-');
	for (size_t i = 0; i < s.n && i < max; i++)
		buf_add_char(out, memchr(FIELD, s.p[i], sizeof(FIELD) - 1) ?
		    s.p[i] : '_');
}

void
rfc5424_init(struct rfc5424 *f, const char *host, size_t max)
{
	struct buf b;

	memset(f, 0, sizeof(*f));
	f->max = max == 0 ? RFC5424_MAX : max;
	ASSERT(f->max >= RFC5424_MIN);
	json_init(&f->doc);
	buf_init(&f->value, DECODE_MAX);
	buf_init(&b, sizeof(f->host));
	add_field(&b, slice_str(host), sizeof(f->host) - 1);
	memcpy(f->host, buf_data(&b), b.len);
	buf_free(&b);
}

void
rfc5424_free(struct rfc5424 *f)
{
	json_free(&f->doc);
	buf_free(&f->value);
}

/* The text of a string or number member, borrowed until the next call;
 * empty when there is none. Of a long string only the still escaped head. */
static struct slice
text_of(struct rfc5424 *f, uint32_t node)
{
	const struct json_doc *d = &f->doc;
	struct slice inner;

	switch (json_typeof(d, node)) {
	case JSON_NUMBER:
	case JSON_TRUE:
	case JSON_FALSE:
		return json_raw(d, node);
	case JSON_STRING:
		break;
	default:
		return slice_make("", 0);
	}
	inner = json_inner(d, node);
	if (!(d->nodes[node].flags & JSON_ESCAPED))
		return inner;
	if (inner.n > DECODE_MAX)
		return slice_sub(inner, 0, DECODE_MAX);
	buf_reset(&f->value);
	if (json_decode(d, node, &f->value) != 0)
		return inner;
	return buf_slice(&f->value);
}

static struct slice
member(struct rfc5424 *f, const char *key)
{
	return text_of(f, json_member(&f->doc, 0, key));
}

/* Cuts at a character's start. */
static struct slice
cut_utf8(struct slice s, size_t max)
{
	if (s.n <= max)
		return s;
	while (max > 0 && ((unsigned char)s.p[max] & 0xc0) == 0x80)
		max--;
	return slice_make(s.p, max);
}

static void
add_param(struct buf *out, const char *name, struct slice value)
{
	struct slice v = cut_utf8(value, PARAM_MAX);

	if (value.n == 0)
		return;
	buf_addf(out, " %s=\"", name);
	for (size_t i = 0; i < v.n; i++) {
		unsigned char c = (unsigned char)v.p[i];

		if (c < 0x20 || c == 0x7f) {
			/* The backslash is text: it is escaped itself. */
			buf_addf(out, "\\\\u%04x", c);
			continue;
		}
		if (c == '"' || c == '\\' || c == ']')
			buf_add_char(out, '\\');
		buf_add_char(out, (char)c);
	}
	buf_add_str(out, v.n < value.n ? "...\"" : "\"");
}

static bool
digits(struct slice s, size_t at, size_t n)
{
	if (s.n < at + n)
		return false;
	for (size_t i = at; i < at + n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return true;
}

/* TIMESTAMP of RFC 5424, 6.2.3: RFC 3339 with upper-case T and Z and at most
 * six digits of a second's fraction. */
static bool
is_timestamp(struct slice s)
{
	size_t i = 19, frac = 0;

	if (!digits(s, 0, 4) || !digits(s, 5, 2) || !digits(s, 8, 2) ||
	    !digits(s, 11, 2) || !digits(s, 14, 2) || !digits(s, 17, 2))
		return false;
	if (s.p[4] != '-' || s.p[7] != '-' || s.p[10] != 'T' ||
	    s.p[13] != ':' || s.p[16] != ':')
		return false;
	if (s.n > i && s.p[i] == '.') {
		while (digits(s, i + 1 + frac, 1))
			frac++;
		if (frac == 0 || frac > 6)
			return false;
		i += 1 + frac;
	}
	if (s.n == i + 1 && s.p[i] == 'Z')
		return true;
	return s.n == i + 6 && (s.p[i] == '+' || s.p[i] == '-') &&
	    digits(s, i + 1, 2) && s.p[i + 3] == ':' && digits(s, i + 4, 2);
}

static int
severity_of(struct rfc5424 *f)
{
	char type[64], verdict[16], severity[16];
	struct { const char *key; char *to; size_t size; struct slice s; } v[] = {
		{ "type", type, sizeof(type), { 0 } },
		{ "verdict", verdict, sizeof(verdict), { 0 } },
		{ "severity", severity, sizeof(severity), { 0 } },
	};

	/* Copies, since text_of() reuses its buffer. */
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		struct slice s = slice_sub(member(f, v[i].key), 0, v[i].size);

		memcpy(v[i].to, s.p, s.n);
		v[i].s = slice_make(v[i].to, s.n);
	}
	return rfc5424_severity(v[0].s, v[1].s, v[2].s);
}

/* The rule that decided, or the rule of a finding. */
static struct slice
rule_of(struct rfc5424 *f)
{
	struct slice s = member(f, "rule");

	if (s.n != 0)
		return s;
	return text_of(f, json_path(&f->doc, 0, "finding", "rule", NULL));
}

static void
add_params(struct rfc5424 *f, struct buf *out)
{
	static const char *const names[] = { "user", "agent", "connector",
		"tool", "verdict" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		add_param(out, names[i], member(f, names[i]));
	add_param(out, "rule", rule_of(f));
	add_param(out, "reason", member(f, "reason"));
	add_param(out, "call", member(f, "call"));
}

static void
add_header(struct rfc5424 *f, struct buf *out)
{
	struct slice time;

	buf_addf(out, "<%d>1 ", FACILITY * 8 + severity_of(f));
	/* severity_of() may have reused the text. */
	time = member(f, "time");
	buf_add_slice(out, is_timestamp(time) ? time : SLICE("-"));
	buf_addf(out, " %s portreeve ", f->host);
	add_field(out, member(f, "role"), PROCID_MAX);
	buf_add_char(out, ' ');
	add_field(out, member(f, "type"), MSGID_MAX);
	buf_add_char(out, ' ');
}

static void
format_malformed(struct rfc5424 *f, struct buf *out, uint64_t seq,
    struct slice event, const char *wrong)
{
	buf_addf(out, "<%d>1 - %s portreeve - malformed " SD_OPEN
	    " seq=\"%llu\" malformed=\"1\"] ", FACILITY * 8 + WARNING, f->host,
	    (unsigned long long)seq);
	fit_malformed(out, event, wrong, f->max - 512);
	f->malformed++;
}

int
rfc5424_format(struct rfc5424 *f, struct buf *out, uint64_t seq,
    struct slice event)
{
	enum json_error e = json_index(&f->doc, event, NULL);
	size_t before = out->len, room;

	if (buf_room(out) < f->max)
		return -1;
	if (e != JSON_OK || json_typeof(&f->doc, 0) != JSON_OBJECT) {
		format_malformed(f, out, seq, event, e != JSON_OK ?
		    json_error_text(e) : "not an object");
		return 0;
	}
	add_header(f, out);
	buf_add_str(out, SD_OPEN);
	add_param(out, "id", member(f, "id"));
	buf_addf(out, " seq=\"%llu\"", (unsigned long long)seq);
	add_params(f, out);
	/* Room for the rest of the element: ` truncated="1"] `. */
	room = f->max - (out->len - before) - 16;
	if (event.n > room) {
		add_param(out, "truncated", SLICE("1"));
		f->truncated++;
	}
	buf_add_str(out, "] ");
	fit_event(out, &f->doc, room);
	ASSERT(!out->full && out->len - before <= f->max);
	return 0;
}
