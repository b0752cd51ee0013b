/* The writer: groups, resends, restarts, tampering before a start, kill -9 at
 * any moment, a disk that fails, and its speed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "clock.h"
#include "ledgertest.h"
#include "sandbox.h"
#include "verify.h"

static struct ledger *
must_open(const char *dir, const struct checkpoint_keys *keys)
{
	struct err err = { 0 };
	struct ledger *l = ledger_open(dir, keys, &err);

	if (l == NULL)
		fail_msg("%s", err.text);
	return l;
}

static void
must_refuse(const char *dir, const struct checkpoint_keys *keys,
    const char *word)
{
	struct err err = { 0 };
	struct ledger *l = ledger_open(dir, keys, &err);

	assert_null(l);
	if (strstr(err.text, word) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", err.text, word);
	assert_non_null(strstr(err.text, "audit verify"));
}

static void
must_verify(const char *dir, const struct checkpoint_keys *keys,
    uint64_t rows)
{
	struct err err = { 0 };
	struct sqlite3 *db = ledgerdb_open_read(dir, NULL, &err);
	struct verify_options o = { .keys = keys };
	struct verify_report rep;

	if (db == NULL)
		fail_msg("%s", err.text);
	assert_int_equal(verify_run(db, &o, &rep, &err), 0);
	if (rep.verdict == VERIFY_BAD)
		fail_msg("row %llu: %s", (unsigned long long)rep.bad_first,
		    rep.why.text);
	assert_int_equal(rep.rows, rows);
	ledgerdb_close(db);
}

static void
test_resend(void **state)
{
	char *dir = lt_dir();
	struct ledger *l = must_open(dir, NULL);
	struct json_doc doc;
	struct err err = { 0 };
	struct entry e;
	struct buf b;
	uint64_t seq = 0;

	(void)state;
	json_init(&doc);
	buf_init(&b, 65536);
	(void)lt_event(&b, EVENT_FINDING, ROLE_DETECTOR, (struct uuid){ 0 },
	    ",\"x\":1");
	assert_int_equal(entry_parse(&doc, buf_slice(&b), &e, &err), 0);
	assert_int_equal(ledger_add(l, &e, buf_slice(&b), &seq), LEDGER_ADDED);
	assert_int_equal(seq, 1);
	/* In the same group, and after the commit. */
	assert_int_equal(ledger_add(l, &e, buf_slice(&b), &seq),
	    LEDGER_DUPLICATE);
	assert_int_equal(ledger_group(l), 1);
	assert_int_equal(ledger_commit(l), 0);
	assert_int_equal(ledger_add(l, &e, buf_slice(&b), &seq),
	    LEDGER_DUPLICATE);
	assert_int_equal(seq, 1);
	b.data[b.off + b.len - 2] = '2';
	assert_int_equal(ledger_add(l, &e, buf_slice(&b), &seq),
	    LEDGER_CONFLICT);
	assert_int_equal(ledger_commit(l), 0);
	assert_int_equal(ledger_head(l), 1);
	lt_rows(l, 3);
	ledger_close(l);
	must_verify(dir, NULL, 4);
	json_free(&doc);
	buf_free(&b);
	lt_dir_remove(dir);
}

static void
test_one_writer(void **state)
{
	char *dir = lt_dir();
	struct ledger *l = must_open(dir, NULL);
	struct err err = { 0 };

	(void)state;
	assert_null(ledger_open(dir, NULL, &err));
	assert_non_null(strstr(err.text, "another recorder"));
	ledger_close(l);
	l = must_open(dir, NULL);
	ledger_close(l);
	lt_dir_remove(dir);
}

static void
test_restart(void **state)
{
	char *dir = lt_dir();
	struct lt_signer s, other;
	struct checkpoint_keys keys, wrong;
	struct ledger *l;
	uint8_t root[32], again[32], head[32];

	(void)state;
	lt_signer_make(&s, "k");
	lt_signer_make(&other, "k");
	lt_keys(&s, &keys);
	lt_keys(&other, &wrong);
	l = must_open(dir, &keys);
	lt_rows(l, 13);
	lt_checkpoint(l, &s, NULL);
	lt_rows(l, 5);
	merkle_root(ledger_tree(l), root);
	memcpy(head, ledger_head_hash(l), 32);
	ledger_close(l);

	l = must_open(dir, &keys);
	assert_int_equal(ledger_head(l), 19);
	assert_int_equal(ledger_checkpoint_size(l), 13);
	merkle_root(ledger_tree(l), again);
	assert_memory_equal(root, again, 32);
	assert_memory_equal(head, ledger_head_hash(l), 32);
	ledger_close(l);
	must_refuse(dir, &wrong, "checkpoint of 13 rows");

	sqlite3 *db = lt_attack(dir);

	lt_sql(db, "UPDATE rows SET body = replace(body, 'proxy', 'proxi') "
	    "WHERE seq = 16");
	must_refuse(dir, &keys, "row 16: its content");
	lt_sql(db, "UPDATE rows SET body = replace(body, 'proxi', 'proxy') "
	    "WHERE seq = 16");
	lt_sql(db, "UPDATE rows SET time = time + 1 WHERE seq = 17");
	must_refuse(dir, &keys, "row 17: column time");
	lt_sql(db, "UPDATE rows SET time = time - 1 WHERE seq = 17");
	l = must_open(dir, &keys);
	ledger_close(l);
	lt_sql(db, "DELETE FROM rows WHERE seq = 15");
	must_refuse(dir, &keys, "row 15: it is missing");
	lt_sql(db, "DELETE FROM rows WHERE seq > 10");
	must_refuse(dir, &keys, "ends before it");
	lt_sql(db, "DELETE FROM checkpoints");
	lt_sql(db, "CREATE TRIGGER t AFTER INSERT ON rows BEGIN DELETE FROM "
	    "rows WHERE seq = 1; END");
	struct err err = { 0 };

	assert_null(ledger_open(dir, &keys, &err));
	assert_non_null(strstr(err.text, "schema was changed: t"));
	sqlite3_close(db);
	lt_dir_remove(dir);
}

/* A file size limit is a disk that is full: everything is refused from then
 * on, what was committed stays. */
static void
test_disk_full(void **state)
{
	char *dir = lt_dir();
	struct ledger *l = must_open(dir, NULL);
	struct rlimit old, low = { 300000, RLIM_INFINITY };
	unsigned n = 0;
	struct json_doc doc;
	struct err err = { 0 };
	struct entry e;
	struct buf b;
	uint64_t seq, sure = 0;

	(void)state;
	json_init(&doc);
	buf_init(&b, 65536);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	low.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
	for (; n < 2000; n++) {
		(void)lt_event(&b, EVENT_FINDING, ROLE_DETECTOR,
		    (struct uuid){ 0 }, ",\"pad\":\"0123456789012345678901234"
		    "5678901234567890123456789012345678901234567890\"");
		assert_int_equal(entry_parse(&doc, buf_slice(&b), &e, &err), 0);
		if (ledger_add(l, &e, buf_slice(&b), &seq) != LEDGER_ADDED ||
		    ledger_commit(l) != 0)
			break;
		sure = seq;
	}
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_true(n > 3 && n < 2000);
	assert_non_null(ledger_why(l));
	/* There is room again, but a write that failed is not tried again. */
	assert_int_equal(ledger_add(l, &e, buf_slice(&b), &seq),
	    LEDGER_DAMAGED);
	assert_int_equal(ledger_commit(l), -1);
	assert_int_equal(ledger_maintain(l, true), -1);
	ledger_close(l);
	must_verify(dir, NULL, sure);
	l = must_open(dir, NULL);
	assert_int_equal(ledger_head(l), sure);
	ledger_close(l);
	json_free(&doc);
	buf_free(&b);
	lt_dir_remove(dir);
}

/* The child appends groups of random size and says on the pipe what is
 * committed, until it is killed in the middle of something. */
static void
appender(const char *dir, const struct lt_signer *s, int fd)
{
	struct ledger *l = ledger_open(dir, NULL, &(struct err){ 0 });

	if (l == NULL)
		_exit(1);
	for (;;) {
		lt_rows(l, 1 + (unsigned)(rng_u64() % 40));
		if (rng_u64() % 4 == 0)
			lt_checkpoint(l, s, NULL);
		uint64_t seq = ledger_head(l);

		if (write(fd, &seq, sizeof(seq)) != sizeof(seq))
			_exit(1);
		if (rng_u64() % 8 == 0 && ledger_maintain(l, true) != 0)
			_exit(1);
	}
}

static void
test_kill(void **state)
{
	char *dir = lt_dir();
	struct lt_signer s;
	struct checkpoint_keys keys;
	uint64_t acked = 0;

	(void)state;
	lt_signer_make(&s, "k");
	lt_keys(&s, &keys);
	for (int round = 0; round < 12; round++) {
		int p[2];
		uint64_t seq, want = acked + 1 + rng_u64() % 150;

		assert_int_equal(pipe(p), 0);
		pid_t pid = fork();

		if (pid == 0)
			appender(dir, &s, p[1]);
		close(p[1]);
		while (acked < want &&
		    read(p[0], &seq, sizeof(seq)) == sizeof(seq))
			acked = seq;
		/* Somewhere inside the next groups. */
		usleep((useconds_t)(rng_u64() % 3000));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		while (read(p[0], &seq, sizeof(seq)) == sizeof(seq))
			acked = seq;
		close(p[0]);
		assert_true(acked >= want);

		struct ledger *l = must_open(dir, &keys);
		uint64_t head = ledger_head(l);

		assert_true(head >= acked);
		acked = head;
		ledger_close(l);
		must_verify(dir, &keys, head);
	}
	lt_dir_remove(dir);
}

static double
speed(unsigned batch, double *commits_r)
{
	char *dir = lt_dir();
	struct ledger *l = must_open(dir, NULL);
	struct json_doc doc;
	struct entry e;
	struct err err = { 0 };
	struct buf b;
	char *pad = base_calloc(1, 801);
	uint64_t rows = 0, commits = 0, seq;
	uint64_t start = clock_mono_ns(), end = start + 80000000;

	json_init(&doc);
	buf_init(&b, 65536);
	memset(pad, 'x', 800);
	char *fields = base_calloc(1, 900);

	snprintf(fields, 900, ",\"arguments\":\"%s\"", pad);
	while (clock_mono_ns() < end) {
		for (unsigned i = 0; i < batch; i++) {
			(void)lt_event(&b, EVENT_CALL_DECISION, ROLE_PROXY,
			    uuid_v7(), fields);
			assert_int_equal(entry_parse(&doc, buf_slice(&b), &e,
			    &err), 0);
			assert_int_equal(ledger_add(l, &e, buf_slice(&b),
			    &seq), LEDGER_ADDED);
		}
		assert_int_equal(ledger_commit(l), 0);
		assert_int_equal(ledger_maintain(l, false), 0);
		rows += batch;
		commits++;
	}
	double secs = (double)(clock_mono_ns() - start) / 1e9;

	ledger_close(l);
	json_free(&doc);
	buf_free(&b);
	free(pad);
	free(fields);
	lt_dir_remove(dir);
	*commits_r = (double)commits / secs;
	return (double)rows / secs;
}

static void
test_speed(void **state)
{
	static const unsigned batch[] = { 1, 10, 100 };
	double rows[3], commits[3];

	(void)state;
	for (int i = 0; i < 3; i++) {
		rows[i] = speed(batch[i], &commits[i]);
		print_message("group of %3u: %7.0f commits/s, %8.0f rows/s of "
		    "about 1 KB\n", batch[i], commits[i], rows[i]);
	}
	/* Grouping is what makes durability cheap. */
	assert_true(rows[2] > rows[0]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resend),
		cmocka_unit_test(test_one_writer),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_disk_full),
		cmocka_unit_test(test_kill),
		cmocka_unit_test(test_speed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
