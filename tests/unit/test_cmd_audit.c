/* The verbs of `portreeve audit` as an operator uses them: output and exit
 * status, good and bad ledgers, wrong use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "console/audit/audit_rows.c"
#undef ROWS_MAX
#define collect show_collect
#define complain show_complain
#define keep show_keep
#include "console/audit/audit_show.c"
#include "console/audit/audit_view.c"
#define run audit_run
#define usage audit_usage
#include "console/audit/cmd_audit.c"
#undef run

#include "ledgertest.h"

static char *dir;
static struct lt_signer signer;
static struct buf note;
static struct uuid call;
static char call_text[UUID_TEXT_LEN], decision_id[UUID_TEXT_LEN];
static struct buf out;		/* what the last command wrote, both ways */

#define WHO ",\"session\":\"s-1\",\"user\":\"anna\",\"agent\":\"coder\"," \
	"\"source\":\"127.0.0.1:4711\",\"transport\":\"mount\"," \
	"\"connector\":\"mail\",\"tool\":\"send\",\"class\":\"dangerous\""

static void
add(struct ledger *l, enum event_type type, enum role role, struct uuid c,
    const char *fields)
{
	struct buf b;

	buf_init(&b, 65536);
	struct uuid id = lt_event(&b, type, role, c, fields);

	if (type == EVENT_CALL_DECISION && uuid_eq(c, call))
		uuid_format(id, decision_id);
	(void)lt_add(l, buf_slice(&b));
	buf_free(&b);
}

static int
setup(void **state)
{
	struct err err = { 0 };
	struct buf key;
	char path[512], finding[512];

	(void)state;
	dir = lt_dir();
	call = uuid_v7();
	uuid_format(call, call_text);
	lt_signer_make(&signer, "portreeve/keeper");
	buf_init(&key, 1024);
	lt_vkey(&signer, &key);
	buf_add_char(&key, '\n');
	snprintf(path, sizeof(path), "%s/ledger.pub", dir);
	lt_write_file(path, buf_slice(&key));
	buf_free(&key);
	struct ledger *l = ledger_open(dir, NULL, &err);

	assert_non_null(l);
	add(l, EVENT_APPROVAL_DECIDED, ROLE_BROKER, call,
	    ",\"approval\":{\"id\":\"A-1\",\"by\":\"bob\",\"verdict\":"
	    "\"approve\",\"reason\":\"asked\\u001b[31m by phone\"}");
	add(l, EVENT_CALL_DECISION, ROLE_PROXY, call, WHO ",\"method\":"
	    "\"tools/call\",\"arguments\":{\"to\":\"eve\",\"list\":[1,2,{}],"
	    "\"key\":\"[aws-key]\"},\"verdict\":\"allow\",\"policy\":"
	    "\"approval\",\"redactions\":[{\"rule\":\"aws\",\"count\":1}]");
	add(l, EVENT_CALL_OUTCOME, ROLE_PROXY, call, ",\"status\":\"ok\","
	    "\"http_status\":200,\"duration_us\":1234,\"result\":{\"sent\":"
	    "true},\"user\":\"anna\"");
	snprintf(finding, sizeof(finding), ",\"finding\":{\"rule\":\"R-7\","
	    "\"title\":\"Odd mail\",\"severity\":\"high\",\"events\":"
	    "[\"%s\"]}", decision_id);
	add(l, EVENT_FINDING, ROLE_DETECTOR, (struct uuid){ 0 }, finding);
	for (int i = 0; i < 30; i++)
		add(l, EVENT_CALL_DECISION, ROLE_PROXY, uuid_v7(),
		    ",\"user\":\"carl\",\"connector\":\"git\",\"tool\":"
		    "\"push\",\"verdict\":\"deny\",\"reason\":\"policy\"");
	assert_int_equal(ledger_commit(l), 0);
	buf_init(&note, 4096);
	lt_checkpoint(l, &signer, &note);
	ledger_close(l);
	snprintf(path, sizeof(path), "%s/anchor", dir);
	lt_write_file(path, buf_slice(&note));
	buf_init(&out, 1u << 20);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	lt_dir_remove(dir);
	buf_free(&note);
	buf_free(&out);
	return 0;
}

static int
audit(const char *first, ...)
{
	char *argv[24] = { (char *)(uintptr_t)"audit",
		(char *)(uintptr_t)"--state", dir };
	FILE *tmp = tmpfile();
	int argc = 3, keep1 = dup(1), keep2 = dup(2), r;
	va_list ap;

	va_start(ap, first);
	for (const char *s = first; s != NULL; s = va_arg(ap, const char *))
		argv[argc++] = (char *)(uintptr_t)s;
	va_end(ap);
	fflush(stdout);
	fflush(stderr);
	dup2(fileno(tmp), 1);
	dup2(fileno(tmp), 2);
	r = cmd_audit(argc, argv);
	fflush(stdout);
	dup2(keep1, 1);
	dup2(keep2, 2);
	close(keep1);
	close(keep2);
	rewind(tmp);
	buf_reset(&out);
	char *p = buf_reserve(&out, 600000);

	buf_commit(&out, fread(p, 1, 600000, tmp));
	buf_add_char(&out, '\0');
	fclose(tmp);
	return r;
}

static void
says(const char *what)
{
	if (strstr(buf_data(&out), what) == NULL)
		fail_msg("\"%s\" is not in:\n%s", what, buf_data(&out));
}

static void
says_not(const char *what)
{
	if (strstr(buf_data(&out), what) != NULL)
		fail_msg("\"%s\" is in:\n%s", what, buf_data(&out));
}

static unsigned
lines(void)
{
	unsigned n = 0;

	for (const char *p = buf_data(&out); *p != '\0'; p++)
		n += *p == '\n';
	return n;
}

static void
test_tail_and_search(void **state)
{
	(void)state;
	assert_int_equal(audit("tail", NULL), 0);
	assert_int_equal(lines(), 20);
	says("ledger.checkpoint");
	assert_int_equal(audit("tail", "-n", "100", NULL), 0);
	assert_int_equal(lines(), 35);
	says("anna/coder  mail.send");
	says("Odd mail");
	assert_int_equal(audit("search", "--user", "anna", NULL), 0);
	assert_int_equal(lines(), 2);
	assert_int_equal(audit("search", "--verdict", "deny", "-n", "3",
	    "--json", NULL), 0);
	assert_int_equal(lines(), 3);
	says("{\"id\":\"");
	assert_int_equal(audit("search", "--type", "call.outcome", NULL), 0);
	assert_int_equal(lines(), 1);
	assert_int_equal(audit("search", "--text", "AWS-KEY", NULL), 0);
	assert_int_equal(lines(), 1);
	assert_int_equal(audit("search", "--since", "1h", "--connector",
	    "git", "--tool", "push", "--user", "carl", NULL), 0);
	assert_int_equal(lines(), 30);
	assert_int_equal(audit("search", "--since", "2099-01-01T00:00:00.000Z",
	    NULL), 1);
	says("nothing matches");
	assert_int_equal(audit("search", "--agent", "nobody", NULL), 1);
}

static void
test_show(void **state)
{
	(void)state;
	assert_int_equal(audit("show", call_text, NULL), 0);
	says("anna, agent coder, session s-1");
	says("127.0.0.1:4711 by mount");
	says("mail.send  (dangerous)");
	says("allow, by approval");
	says("approve by bob, reason: asked\\u{1b}[31m by phone");
	says("approval A-1");
	says_not("\x1b");
	says("redactions [{\"rule\":\"aws\",\"count\":1}]");
	says("finding R-7 [high]: Odd mail");
	says("\"key\": \"[aws-key]\"");
	says("        2,\n        {}\n      ],");
	says("\"sent\": true");
	says("ok, HTTP 200");
	says("1234 us in all");
	says("call.outcome");
	/* Its end is enough, dashes do not matter; or one of its events. */
	assert_int_equal(audit("show", call_text + 28, NULL), 0);
	says(call_text);
	assert_int_equal(audit("show", call_text + 20, NULL), 0);
	says(call_text);
	assert_int_equal(audit("show", decision_id, NULL), 0);
	says(call_text);
	assert_int_equal(audit("show", call_text, "--json", NULL), 0);
	assert_int_equal(lines(), 1);
	says("\"seq\":4,\"prev\":\"");
	/* The beginning is the time: that of many. */
	char begin[8];

	memcpy(begin, call_text, 6);
	begin[6] = '\0';
	assert_int_equal(audit("show", begin, NULL), 1);
	says("more than ten calls");
	assert_int_equal(audit("show", "ffffffffffff", NULL), 1);
	says("no call ffffffffffff");
	assert_int_equal(audit("show", "xyz", NULL), 2);
	says("no call id");
}

static void
test_verify(void **state)
{
	char anchor[512];
	sqlite3 *db;

	(void)state;
	snprintf(anchor, sizeof(anchor), "%s/anchor", dir);
	assert_int_equal(audit("verify", NULL), 3);
	says("not anchored");
	says("35, chain intact");
	assert_int_equal(audit("verify", "--against", anchor, NULL), 0);
	says("anchored  up to row 34");
	assert_int_equal(audit("verify", "--against", anchor, "--json", NULL),
	    0);
	says("\"verdict\":\"good\"");
	db = lt_attack(dir);
	lt_sql(db, "UPDATE rows SET body = replace(body, 'bob', 'eve') WHERE "
	    "seq = 1");
	assert_int_equal(audit("verify", NULL), 1);
	says("BAD: row 1: its content");
	assert_int_equal(audit("verify", "--json", NULL), 1);
	says("\"bad_first\":1");
	lt_sql(db, "UPDATE rows SET body = replace(body, 'eve', 'bob') WHERE "
	    "seq = 1");
	sqlite3_close(db);
	assert_int_equal(audit("verify", "--against", anchor, NULL), 0);
	/* Another key is not a missing proof: it is a bad one. */
	struct lt_signer other;
	struct buf key;
	char path[512];

	lt_signer_make(&other, "portreeve/keeper");
	buf_init(&key, 1024);
	lt_vkey(&other, &key);
	snprintf(path, sizeof(path), "%s/other.pub", dir);
	lt_write_file(path, buf_slice(&key));
	buf_free(&key);
	assert_int_equal(audit("verify", "--key", path, NULL), 1);
	says("not genuine");
	assert_int_equal(audit("verify", "--against", anchor, "--key", path,
	    NULL), 1);
	says("BAD");
	assert_int_equal(audit("verify", "--against", path, NULL), 2);
	says("no checkpoint in it");
}

static void
test_wrong_use(void **state)
{
	char *none[] = { (char *)(uintptr_t)"audit" };

	(void)state;
	assert_int_equal(audit("verfy", NULL), 2);
	says("did you mean verify?");
	assert_int_equal(audit("search", "--type", "call.descision", NULL), 2);
	says("did you mean call.decision?");
	assert_int_equal(audit("search", "--verdict", "alow", NULL), 2);
	says("did you mean allow?");
	assert_int_equal(audit("search", "--since", "yesterday", NULL), 2);
	assert_int_equal(audit("tail", "-n", "0", NULL), 2);
	assert_int_equal(audit("show", NULL), 2);
	assert_int_equal(audit("verify", "--state", "/nowhere", NULL), 2);
	says("/nowhere: No such file");
	assert_int_equal(audit("verify", "--state", "/usr", NULL), 2);
	says("no ledger.db below /usr");
	assert_int_equal(audit("verify", "--key", "/nowhere", NULL), 2);
	unsetenv("PORTREEVE_CONFIG");
	assert_int_equal(audit("--help", NULL), 0);
	says("usage:");
	fflush(stderr);
	int keep2 = dup(2), null = open("/dev/null", O_WRONLY);

	dup2(null, 2);
	assert_int_equal(cmd_audit(1, none), 2);
	dup2(keep2, 2);
	close(keep2);
	close(null);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tail_and_search),
		cmocka_unit_test(test_show),
		cmocka_unit_test(test_verify),
		cmocka_unit_test(test_wrong_use),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
