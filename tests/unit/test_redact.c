#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec.h"
#include "jsonw.h"
#include "redact.h"

static struct redact *red;

static int
load(void **s)
{
	struct err err = { 0 };
	struct buf b;

	(void)s;
	buf_init(&b, 64u << 20);
	if (redact_compile("rules/redaction", &b, &err) == 0)
		red = redact_load(buf_slice(&b), &err);
	if (red == NULL)
		fprintf(stderr, "%s\n", err.text);
	buf_free(&b);
	return red == NULL;
}

static int
unload(void **s)
{
	(void)s;
	redact_free(red);
	return 0;
}

static enum redact_result
run(const char *in, const struct redact_options *opt, struct buf *out,
    struct redact_report *rep)
{
	struct json_doc d;

	json_init(&d);
	if (json_index(&d, slice_str(in), NULL) != JSON_OK)
		fail_msg("test text is no JSON: %s", in);
	enum redact_result r = redact_json(red, &d, slice_str(in), opt, out,
	    rep);

	json_free(&d);
	return r;
}

static void
becomes(const char *in, const char *want, const struct redact_options *opt)
{
	struct buf out;
	struct redact_report rep;

	buf_init(&out, 1u << 20);
	enum redact_result r = run(in, opt, &out, &rep);

	if (strcmp(in, want) == 0) {
		if (r != REDACT_CLEAN || out.len != 0 || rep.total != 0)
			fail_msg("not clean (%d): %s\n  -> %.*s", r, in,
			    SLICE_FMT(buf_slice(&out)));
	} else if (r != REDACT_CHANGED || !slice_is(buf_slice(&out), want)) {
		fail_msg("%d\n     %s\n  -> %.*s\nnot  %s", r, in,
		    SLICE_FMT(buf_slice(&out)), want);
	}
	buf_free(&out);
}

#define CARD "4111 1111 1111 1111"
#define CARD_R "[redacted:payment-card]"

static const struct {
	const char *in, *want;
} cases[] = {
	/* Untouched bytes: spaces, escapes, numbers, order of keys. */
	{ " {\"b\" : 1e3,\"a\":\"\\u0041\\/" CARD "\\n\", \"c\":[ -0.0 ] } ",
	    " {\"b\" : 1e3,\"a\":\"\\u0041\\/" CARD_R "\\n\", \"c\":[ -0.0 ] } " },
	/* Escapes inside the value. */
	{ "\"x \\u0034111 1111\\u00201111 111\\u0031 y\"", "\"x " CARD_R " y\"" },
	/* Characters of two to four bytes, and a pair of surrogates before. */
	{ "[\"\\u00e9\\u20ac\\ud83d\\ude00 " CARD "\\u20ac\"]",
	    "[\"\\u00e9\\u20ac\\ud83d\\ude00 " CARD_R "\\u20ac\"]" },
	/* A number becomes a string. */
	{ "{\"n\":4111111111111111,\"m\":[4111111111111112]}",
	    "{\"n\":\"" CARD_R "\",\"m\":[4111111111111112]}" },
	/* JSON in a string, a number in it, and three deep. */
	{ "{\"t\":\"{\\\"n\\\":4111111111111111,\\\"s\\\":\\\"" CARD "\\\"}\"}",
	    "{\"t\":\"{\\\"n\\\":\\\"" CARD_R "\\\",\\\"s\\\":\\\"" CARD_R
	    "\\\"}\"}" },
	{ "[\"[\\\"[\\\\\\\"[4111111111111111]\\\\\\\"]\\\"]\"]",
	    "[\"[\\\"[\\\\\\\"[\\\\\\\\\\\\\\\"" CARD_R
	    "\\\\\\\\\\\\\\\"]\\\\\\\"]\\\"]\"]" },
	/* Base64 and percent escapes; base64 of base64. */
	{ "{\"d\":\"see Y2FyZCA0MTExIDExMTEgMTExMSAxMTExIQ== ok\"}",
	    "{\"d\":\"see " CARD_R " ok\"}" },
	{ "[\"https://x.example/?q=4111%201111%2011111111&z=%20\"]",
	    "[\"https://x.example/?q=" CARD_R "&z=%20\"]" },
	{ "[\"WTJGeVpDQTBNVEV4SURFeE1URWdNVEV4TVNBeE1URXhJUT09\"]",
	    "[\"" CARD_R "\"]" },
	/* Hex. */
	{ "[\"63617264203431313120313131312031313131203131313120\"]",
	    "[\"" CARD_R "\"]" },
	/* Keys stay unique. */
	{ "{\"a@example.com\":1,\"b@example.com\":2,\"[redacted:email#1]\":3}",
	    "{\"[redacted:email#10008]\":1,\"[redacted:email#10009]\":2,"
	    "\"[redacted:email#1]\":3}" },
	/* The key is the context of its value. */
	{ "{\"user\":\"x\",\"password\":\"hunter2abc\"}",
	    "{\"user\":\"x\",\"password\":\"[redacted:assigned-password]\"}" },
	{ "{\"ssn\":123456789}", "{\"ssn\":\"[redacted:us-ssn-word]\"}" },
	/* ... and its copies elsewhere go too, short base64 included. */
	{ "{\"password\":\"hunter2abc\",\"log\":\"login hunter2abc ok\","
	    "\"b\":\"aHVudGVyMmFiYw==\"}",
	    "{\"password\":\"[redacted:assigned-password]\",\"log\":\"login "
	    "[redacted:assigned-password] ok\",\"b\":"
	    "\"[redacted:assigned-password]\"}" },
	/* So is the name of a listed variable. */
	{ "{\"env\":[{\"name\":\"DB_PASSWORD\",\"value\":\"hunter2\\u0041bc\"}]}",
	    "{\"env\":[{\"name\":\"DB_PASSWORD\",\"value\":"
	    "\"[redacted:assigned-password]\"}]}" },
	/* Matches never span strings. */
	{ "[\"4111 1111\",\"1111 1111\"]", "[\"4111 1111\",\"1111 1111\"]" },
	{ "{\"a\":[{},[],null,true,false,\"\"],\"\":0}",
	    "{\"a\":[{},[],null,true,false,\"\"],\"\":0}" },
	/* A value redacted before is left alone. */
	{ "{\"password\":\"[redacted:assigned-password]\"}",
	    "{\"password\":\"[redacted:assigned-password]\"}" },
	/* Cursors are not tokens to us. */
	{ "{\"next_page_token\":\"CAUQAA0123456789abcdef\",\"max_tokens\":4096}",
	    "{\"next_page_token\":\"CAUQAA0123456789abcdef\",\"max_tokens\":4096}" },
};

static void
cases_hold(void **s)
{
	(void)s;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		becomes(cases[i].in, cases[i].want, NULL);
}

/* What the protocol needs stays, whatever it looks like. */
static void
protocol_stays(void **s)
{
	struct redact_options opt = { .shape = SHAPE_MESSAGE };

	(void)s;
	becomes("{\"jsonrpc\":\"2.0\",\"id\":\"" CARD "\",\"method\":\"a@example.com\","
	    "\"params\":{\"name\":\"b@example.com\",\"cursor\":\"" CARD "\","
	    "\"_meta\":{\"progressToken\":4111111111111111}}}",
	    "{\"jsonrpc\":\"2.0\",\"id\":\"" CARD "\",\"method\":\"a@example.com\","
	    "\"params\":{\"name\":\"b@example.com\",\"cursor\":\"" CARD "\","
	    "\"_meta\":{\"progressToken\":4111111111111111}}}", &opt);
	becomes("{\"id\":4111111111111111,\"result\":{\"nextCursor\":\"" CARD
	    "\",\"tools\":[{\"name\":\"a@example.com\",\"description\":\""
	    "a@example.com\",\"inputSchema\":{\"default\":\"a@example.com\"}}],"
	    "\"resources\":[{\"uri\":\"mailto:a@example.com\"}]}}",
	    "{\"id\":4111111111111111,\"result\":{\"nextCursor\":\"" CARD
	    "\",\"tools\":[{\"name\":\"a@example.com\",\"description\":\""
	    "[redacted:email]\",\"inputSchema\":{\"default\":\"a@example.com\"}}],"
	    "\"resources\":[{\"uri\":\"mailto:a@example.com\"}]}}", &opt);
	/* 2026-07-28: state is the server's own, questions and answers are
	 * not; a task's result is one. */
	becomes("{\"result\":{\"resultType\":\"input_required\",\"requestState\":"
	    "\"" CARD "\",\"inputRequests\":{\"q\":{\"method\":"
	    "\"elicitation/create\",\"params\":{\"message\":\"a@example.com\","
	    "\"url\":\"https://a/?m=a@example.com\"}}},\"result\":{\"content\":["
	    "{\"type\":\"text\",\"text\":\"" CARD "\"}]}}}",
	    "{\"result\":{\"resultType\":\"input_required\",\"requestState\":"
	    "\"" CARD "\",\"inputRequests\":{\"q\":{\"method\":"
	    "\"elicitation/create\",\"params\":{\"message\":\"[redacted:email]\","
	    "\"url\":\"https://a/?m=a@example.com\"}}},\"result\":{\"content\":["
	    "{\"type\":\"text\",\"text\":\"[redacted:payment-card]\"}]}}}", &opt);
	becomes("{\"params\":{\"requestState\":\"" CARD "\",\"inputResponses\":"
	    "{\"q\":{\"action\":\"accept\",\"content\":{\"type\":"
	    "\"a@example.com\",\"taskId\":\"" CARD "\"}}}}}",
	    "{\"params\":{\"requestState\":\"" CARD "\",\"inputResponses\":"
	    "{\"q\":{\"action\":\"accept\",\"content\":{\"type\":"
	    "\"[redacted:email]\",\"taskId\":\"[redacted:payment-card]\"}}}}}", &opt);
	/* Media is kept, text that is not media is not; every copy goes. */
	becomes("{\"result\":{\"content\":[{\"type\":\"image\",\"data\":"
	    "\"Y2FyZCA0MTExIDExMTEgMTExMSAxMTExIQ==\",\"mimeType\":\"image/png\"},"
	    "{\"type\":\"text\",\"text\":\"" CARD "\"},{\"type\":\"resource\","
	    "\"resource\":{\"uri\":\"x:a@example.com\",\"mimeType\":\"text/plain\","
	    "\"text\":\"" CARD "\",\"blob\":\"Y2FyZCA0MTExIDExMTEgMTExMSAxMTExIQ==\""
	    "}}],\"structuredContent\":{\"pan\":\"" CARD "\"},\"_meta\":{\"x\":\""
	    CARD "\"}}}",
	    "{\"result\":{\"content\":[{\"type\":\"image\",\"data\":"
	    "\"Y2FyZCA0MTExIDExMTEgMTExMSAxMTExIQ==\",\"mimeType\":\"image/png\"},"
	    "{\"type\":\"text\",\"text\":\"" CARD_R "\"},{\"type\":\"resource\","
	    "\"resource\":{\"uri\":\"x:a@example.com\",\"mimeType\":\"text/plain\","
	    "\"text\":\"" CARD_R "\",\"blob\":\"" CARD_R "\""
	    "}}],\"structuredContent\":{\"pan\":\"" CARD_R "\"},\"_meta\":{\"x\":\""
	    CARD_R "\"}}}", &opt);
}

static void
only_the_subtree(void **s)
{
	const char *in = "{\"a\":\"" CARD "\",\"b\":{\"c\":\"" CARD "\"}}";
	struct json_doc d;
	struct redact_options opt = { 0 };
	struct buf out;

	(void)s;
	json_init(&d);
	buf_init(&out, 4096);
	assert_int_equal(json_index(&d, slice_str(in), NULL), JSON_OK);
	opt.node = json_member(&d, 0, "b");
	assert_int_equal(redact_json(red, &d, slice_str(in), &opt, &out, NULL),
	    REDACT_CHANGED);
	assert_true(slice_is(buf_slice(&out), "{\"a\":\"" CARD
	    "\",\"b\":{\"c\":\"" CARD_R "\"}}"));
	buf_free(&out);
	json_free(&d);
}

static void
numbers_may_be_refused(void **s)
{
	struct redact_options opt = { .refuse_numbers = true };
	struct redact_report rep;
	struct buf out;

	(void)s;
	buf_init(&out, 4096);
	assert_int_equal(run("{\"n\":4111111111111111}", &opt, &out, &rep),
	    REDACT_REFUSED);
	assert_int_equal(out.len, 0);
	assert_string_equal(rep.items[0].id, "payment-card");
	assert_int_equal(run("{\"n\":\"4111111111111111\"}", &opt, &out, &rep),
	    REDACT_CHANGED);
	buf_free(&out);
}

static void
report_counts_rules(void **s)
{
	struct redact_report rep;
	struct buf out;

	(void)s;
	buf_init(&out, 4096);
	assert_int_equal(run("[\"" CARD " a@example.com\",\"b@example.com\"]",
	    NULL, &out, &rep), REDACT_CHANGED);
	assert_int_equal(rep.total, 3);
	assert_int_equal(rep.n, 2);
	assert_string_equal(rep.items[0].id, "payment-card");
	assert_string_equal(rep.items[1].id, "email");
	assert_int_equal(rep.items[1].count, 2);
	buf_free(&out);
}

/* A credential that an upstream echoes. */
static void
literals_go_too(void **s)
{
	static const char secret[] = "Zq8-not-a-known-shape";
	struct literals *lit = literals_new();
	struct redact_options opt = { .literals = lit };
	struct redact_report rep;
	struct buf in, out;

	(void)s;
	assert_int_equal(literals_add(lit, slice_str(secret), 7), 0);
	assert_int_equal(literals_add(lit, slice_str("abc"), 7), -1);
	for (unsigned lead = 0; lead < 3; lead++) {
		char plain[64];

		buf_init(&in, 4096);
		buf_init(&out, 4096);
		snprintf(plain, sizeof(plain), "%.*s%s\x01", (int)lead,
		    "\x02\x03", secret);
		buf_addf(&in, "[\"a %s b\",\"", secret);
		b64_encode(&in, plain, strlen(plain));
		buf_add_str(&in, "\"]");
		buf_add_char(&in, '\0');
		assert_int_equal(run(buf_data(&in), &opt, &out, &rep),
		    REDACT_CHANGED);
		if (!slice_is(buf_slice(&out), "[\"a [redacted:credential] "
		    "b\",\"[redacted:credential]\"]"))
			fail_msg("%u: %.*s", lead, SLICE_FMT(buf_slice(&out)));
		assert_string_equal(rep.items[0].id, "credential");
		buf_free(&in);
		buf_free(&out);
	}
	literals_reset(lit);
	assert_true(literals_empty(lit));
	becomes("[\"a Zq8-not-a-known-shape b\"]",
	    "[\"a Zq8-not-a-known-shape b\"]", &opt);
	literals_free(lit);
}

#define MAIL "jane.doe@example.org"
#define MAIL_R "[redacted:email]"

static void
off_does_not_act(void **s)
{
	struct redact_off mail = { 0 }, personal = { 0 }, secret = { 0 };
	struct redact_options opt = { .off = &mail, .refuse_numbers = true };
	struct redact_report rep;
	struct err err = { 0 };
	struct buf out;

	(void)s;
	assert_int_equal(redact_off_add(red, SLICE("email"), &mail, &err), 0);
	becomes("[\"to " MAIL "\"]", "[\"to " MAIL "\"]", &opt);
	becomes("{\"" MAIL "\":\"" CARD "\"}", "{\"" MAIL "\":\"" CARD_R
	    "\"}", &opt);
	/* What covers the same bytes still acts, and all of its copies. */
	becomes("{\"password\":\"" MAIL "\",\"to\":\"" MAIL "\"}",
	    "{\"password\":\"[redacted:assigned-password]\",\"to\":"
	    "\"[redacted:assigned-password]\"}", &opt);
	opt.off = NULL;
	becomes("[\"to " MAIL "\"]", "[\"to " MAIL_R "\"]", &opt);
	/* A kind: every personal rule, no rule for secrets. */
	assert_int_equal(redact_off_add(red, SLICE("personal"), &personal,
	    &err), 0);
	opt.off = &personal;
	becomes("[\"" MAIL " " CARD "\",4111111111111111]",
	    "[\"" MAIL " " CARD "\",4111111111111111]", &opt);
	becomes("{\"password\":\"hunter2abc\"}",
	    "{\"password\":\"[redacted:assigned-password]\"}", &opt);
	buf_init(&out, 4096);
	redact_off_secrets(red, &personal, &out);
	assert_int_equal(out.len, 0);
	/* A rule for secrets, by its name; its copies are no longer known. */
	assert_int_equal(redact_off_add(red, SLICE("assigned-password"),
	    &secret, &err), 0);
	assert_int_equal(redact_off_add(red, SLICE("github-token"), &secret,
	    &err), 0);
	opt.off = &secret;
	becomes("{\"password\":\"hunter2abc\",\"log\":\"hunter2abc\"}",
	    "{\"password\":\"hunter2abc\",\"log\":\"hunter2abc\"}", &opt);
	redact_off_secrets(red, &secret, &out);
	assert_true(slice_is(buf_slice(&out),
	    "github-token, assigned-password"));
	buf_reset(&out);
	assert_int_equal(redact_text(red, SLICE(MAIL), &(struct redact_options)
	    { .off = &mail }, &out, &rep), REDACT_CLEAN);
	assert_int_equal(rep.total, 0);
	buf_free(&out);
}

static void
off_names_are_checked(void **s)
{
	static const char *const names[][2] = { { "emial", "mean email" },
		{ "personel", "mean personal" }, { "", "no redaction rule" },
		{ "credential", "no redaction rule" },
		{ "secret", "one by one" } };

	(void)s;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct redact_off off = { 0 }, none = { 0 };
		struct err err = { 0 };

		assert_int_equal(redact_off_add(red, slice_str(names[i][0]),
		    &off, &err), -1);
		assert_non_null(strstr(err.text, names[i][1]));
		assert_memory_equal(&off, &none, sizeof(off));
	}
}

static void
limits_close(void **s)
{
	struct redact_limits few = { .bytes = 4096, .leaves = 4, .hits = 1000 };
	struct redact_limits small = { .bytes = 16, .leaves = 100, .hits = 10 };
	struct redact_limits hits = { .bytes = 4096, .leaves = 100, .hits = 1 };
	struct redact_options opt = { .limits = &few };
	struct buf out, tiny;

	(void)s;
	buf_init(&out, 4096);
	assert_int_equal(run("[1,2,3]", &opt, &out, NULL), REDACT_CLEAN);
	assert_int_equal(run("[1,2,3,4,5]", &opt, &out, NULL), REDACT_LIMIT);
	assert_int_equal(run("[\"[1,2,3,4]\"]", &opt, &out, NULL),
	    REDACT_LIMIT);
	opt.limits = &small;
	assert_int_equal(run("[\"0123456789abcdef\"]", &opt, &out, NULL),
	    REDACT_LIMIT);
	opt.limits = &hits;
	assert_int_equal(run("[\"" CARD "\",\"" CARD "\"]", &opt, &out, NULL),
	    REDACT_LIMIT);
	buf_init(&tiny, 8);
	assert_int_equal(run("[\"" CARD "\"]", NULL, &tiny, NULL),
	    REDACT_LIMIT);
	assert_int_equal(tiny.len, 0);
	assert_int_equal(out.len, 0);
	buf_free(&tiny);
	buf_free(&out);
}

static void
text_becomes(const char *in, const char *want)
{
	struct buf out;

	buf_init(&out, 1u << 20);
	enum redact_result r = redact_text(red, slice_str(in), NULL, &out,
	    NULL);

	assert_int_equal(r, strcmp(in, want) == 0 ? REDACT_CLEAN :
	    REDACT_CHANGED);
	if (r == REDACT_CHANGED && !slice_is(buf_slice(&out), want))
		fail_msg("-> %.*s", SLICE_FMT(buf_slice(&out)));
	buf_free(&out);
}

static void
plain_text(void **s)
{
	(void)s;
	text_becomes("nothing here", "nothing here");
	text_becomes("", "");
	text_becomes("a " CARD "\nb@example.com\n",
	    "a " CARD_R "\n[redacted:email]\n");
	text_becomes("{\"n\":4111111111111111}", "{\"n\":\"" CARD_R "\"}");
	text_becomes("user=a%40example.com&x=1", "user=[redacted:email]&x=1");
	text_becomes("\xff\xfe " CARD " \xc3", "\xff\xfe " CARD_R " \xc3");
	text_becomes("k:\n-----BEGIN EC PRIV" "ATE KEY-----\nMIIEXAMPLE/+\nAA==\n"
	    "-----END EC PRIV" "ATE KEY-----\nrest",
	    "k:\n[redacted:private-key]\nrest");
}

/* Property: whatever is planted, in whatever form, is replaced exactly ------ */

static uint32_t seed;

static uint32_t
rnd(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

/* The text given and the text that must come out. */
struct both {
	struct buf in, want;
};

static void
both_init(struct both *b)
{
	buf_init(&b->in, 1u << 22);
	buf_init(&b->want, 1u << 22);
}

static void
both_free(struct both *b)
{
	buf_free(&b->in);
	buf_free(&b->want);
}

static void
both_add(struct both *b, const char *s)
{
	buf_add_str(&b->in, s);
	buf_add_str(&b->want, s);
}

struct planted {
	char secret[64];
	const char *out;
};

static unsigned key_number, planted;

static void
plant(struct planted *p)
{
	static const char alnum[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklm"
	    "nopqrstuvwxyz0123456789";
	size_t n;

	planted++;
	switch (rnd(3)) {
	case 0:
		n = (size_t)snprintf(p->secret, sizeof(p->secret), "gh" "p_");
		for (int i = 0; i < 36; i++)
			p->secret[n++] = alnum[rnd(62)];
		p->secret[n] = '\0';
		p->out = "[redacted:github-token]";
		break;
	case 1:
		snprintf(p->secret, sizeof(p->secret), CARD);
		p->out = CARD_R;
		break;
	default:
		snprintf(p->secret, sizeof(p->secret), "u%u@mail%u.example",
		    rnd(1000), rnd(100));
		p->out = "[redacted:email]";
	}
}

/* How the inside of a string is spelled; no character of a replacement is
 * spelled otherwise, so `want` may go through it too. */
static void
spell(struct buf *out, struct slice s, unsigned mode)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '"' || c == '\\')
			buf_addf(out, "\\%c", c);
		else if (c == '\n')
			buf_add_str(out, "\\n");
		else if (mode == 1 && strchr("PQXYZ_579@", c) != NULL)
			buf_addf(out, "\\u%04x", (unsigned char)c);
		else if (mode == 2 && c == '/')
			buf_add_str(out, "\\/");
		else
			buf_add_char(out, c);
	}
}

static void
filler(struct both *b)
{
	static const char *const words[] = { "plain", "a\"quote", "back\\slash",
		"tab\n", "\xc3\xa9t\xc3\xa9", "\xf0\x9f\x98\x80", "sla/sh", "7",
		"100%", "{curly}", "[x", "key: value", "=" };

	for (uint32_t n = rnd(5); n > 0; n--) {
		both_add(b, words[rnd(ARRAY_LEN(words))]);
		both_add(b, " ");
	}
}

static void
percent(struct buf *out, const char *s)
{
	for (; *s != '\0'; s++)
		if (*s == ' ' || rnd(3) == 0)
			buf_addf(out, "%%%02X", (unsigned char)*s);
		else
			buf_add_char(out, *s);
}

/* Text with a planted secret in one of its encodings. */
static void
planted_text(struct both *b)
{
	struct planted p;
	struct buf inner;

	plant(&p);
	filler(b);
	both_add(b, "( ");
	switch (rnd(4)) {
	case 0:
		buf_init(&inner, 4096);
		buf_addf(&inner, "%.*s %s %.*s", (int)rnd(4), "abc", p.secret,
		    (int)rnd(4), "xyz");
		if (rnd(2))
			b64_encode(&b->in, buf_data(&inner), inner.len);
		else
			b64url_encode(&b->in, buf_data(&inner), inner.len);
		buf_free(&inner);
		break;
	case 1:
		percent(&b->in, p.secret);
		break;
	default:
		buf_add_str(&b->in, p.secret);
	}
	buf_add_str(&b->want, p.out);
	both_add(b, " )");
	filler(b);
}

static void value(struct both *b, unsigned depth, unsigned nested);

static void
string(struct both *b, struct both *text)
{
	unsigned mode = rnd(3);

	both_add(b, "\"");
	spell(&b->in, buf_slice(&text->in), mode);
	spell(&b->want, buf_slice(&text->want), mode);
	both_add(b, "\"");
}

static void
object(struct both *b, unsigned depth, unsigned nested)
{
	uint32_t n = rnd(4);

	both_add(b, "{ ");
	for (uint32_t i = 0; i < n; i++) {
		struct both k;
		char name[16];

		both_init(&k);
		snprintf(name, sizeof(name), "%sk%u", i ? " " : "", i);
		both_add(&k, name);
		if (rnd(8) == 0) {
			struct planted p;

			plant(&p);
			both_add(&k, " ");
			buf_add_str(&k.in, p.secret);
			buf_addf(&k.want, "%.*s#%u]", (int)strlen(p.out) - 1,
			    p.out, ++key_number);
		}
		both_add(b, i ? "," : "");
		string(b, &k);
		both_add(b, " : ");
		both_free(&k);
		value(b, depth, nested);
	}
	both_add(b, "}");
}

static void
nested_json(struct both *b, unsigned depth, unsigned nested)
{
	struct both t;

	both_init(&t);
	both_add(&t, "[");
	value(&t, depth, nested + 1);
	both_add(&t, "]");
	string(b, &t);
	both_free(&t);
}

static void
value(struct both *b, unsigned depth, unsigned nested)
{
	static const char *const scalars[] = { "null", "true", "-1.50e+7",
		"12345678", "\"\"", "\"\\u0000 x\"" };
	struct both t;

	switch (depth == 0 ? rnd(4) : rnd(8)) {
	case 0:
		both_add(b, scalars[rnd(ARRAY_LEN(scalars))]);
		return;
	case 1:
		buf_add_str(&b->in, "4111111111111111");
		buf_add_str(&b->want, "\"" CARD_R "\"");
		planted++;
		return;
	case 2:
	case 3:
		both_init(&t);
		planted_text(&t);
		string(b, &t);
		both_free(&t);
		return;
	case 4:
	case 5:
		object(b, depth - 1, nested);
		return;
	case 6:
		both_add(b, "[ ");
		value(b, depth - 1, nested);
		both_add(b, ",");
		value(b, depth - 1, nested);
		both_add(b, "]");
		return;
	default:
		if (nested < 3)
			nested_json(b, depth - 1, nested);
		else
			both_add(b, "false");
	}
}

static void
planted_secrets_are_replaced_exactly(void **s)
{
	unsigned total = 0;

	(void)s;
	for (uint32_t i = 0; i < 1500; i++) {
		struct both b;

		seed = i * 2654435761u;
		key_number = planted = 0;
		both_init(&b);
		value(&b, 4, 0);
		buf_add_char(&b.in, '\0');
		buf_add_char(&b.want, '\0');
		becomes(buf_data(&b.in), buf_data(&b.want), NULL);
		total += planted;
		both_free(&b);
	}
	assert_true(total > 2000);
}

static void
bad_sections_are_refused(void **s)
{
	struct err err = { 0 };
	struct buf b;

	(void)s;
	buf_init(&b, 64u << 20);
	assert_int_equal(redact_compile("rules/redaction", &b, &err), 0);
	for (size_t cut = 0; cut < b.len; cut += 1 + b.len / 41) {
		struct err e = { 0 };

		assert_null(redact_load(slice_sub(buf_slice(&b), 0, cut), &e));
		assert_true(e.set);
	}
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cases_hold),
		cmocka_unit_test(protocol_stays),
		cmocka_unit_test(only_the_subtree),
		cmocka_unit_test(numbers_may_be_refused),
		cmocka_unit_test(report_counts_rules),
		cmocka_unit_test(literals_go_too),
		cmocka_unit_test(off_does_not_act),
		cmocka_unit_test(off_names_are_checked),
		cmocka_unit_test(limits_close),
		cmocka_unit_test(plain_text),
		cmocka_unit_test(planted_secrets_are_replaced_exactly),
		cmocka_unit_test(bad_sections_are_refused),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
