/* cmd_audit - see cmd_audit.h. Options, finding the ledger, and verify. */
#include "cmd_audit.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "anchor.h"
#include "audit_view.h"
#include "clock.h"
#include "codec.h"
#include "conf.h"
#include "event.h"
#include "jsonw.h"
#include "ledgerdb.h"
#include "verify.h"

static const char usage[] =
    "usage: portreeve audit VERB [options]\n"
    "  tail    [-f] [-n N] [--json]             the last rows\n"
    "  search  [--type T] [--connector C] [--tool T] [--user U] [--agent A]\n"
    "          [--verdict V] [--since 1h] [--text STR] [-n N] [--json]\n"
    "  show    CALL [--json]                    one call, from asking to answer\n"
    "  verify  [--against FILE] [--key FILE] [--json]\n"
    "          0 sound and anchored, 1 bad, 3 sound but not anchored\n"
    "which ledger: --state DIR, or -c FILE (default: $PORTREEVE_CONFIG)\n";

struct options {
	struct audit_args args;
	const char *verb, *state, *config, *against, *key;
	char *state_of_config;
	char dir[PATH_MAX], key_path[PATH_MAX];
};

enum { O_STATE = 256, O_JSON, O_TYPE, O_CONNECTOR, O_TOOL, O_USER, O_AGENT,
	O_VERDICT, O_SINCE, O_TEXT, O_AGAINST, O_KEY };

static const struct option longopts[] = {
	{ "state", required_argument, NULL, O_STATE },
	{ "json", no_argument, NULL, O_JSON },
	{ "type", required_argument, NULL, O_TYPE },
	{ "connector", required_argument, NULL, O_CONNECTOR },
	{ "tool", required_argument, NULL, O_TOOL },
	{ "user", required_argument, NULL, O_USER },
	{ "agent", required_argument, NULL, O_AGENT },
	{ "verdict", required_argument, NULL, O_VERDICT },
	{ "since", required_argument, NULL, O_SINCE },
	{ "text", required_argument, NULL, O_TEXT },
	{ "against", required_argument, NULL, O_AGAINST },
	{ "key", required_argument, NULL, O_KEY },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* --- options ------------------------------------------------------------ */

static int
wrong(const char *what, const char *given, const char *nearest)
{
	fprintf(stderr, "portreeve audit: %s: %s", what, given);
	if (nearest != NULL)
		fprintf(stderr, " (did you mean %s?)", nearest);
	fputc('\n', stderr);
	return -1;
}

static int
take_since(struct options *o, const char *s)
{
	int64_t ms;

	if (clock_parse_duration(slice_str(s), &ms)) {
		o->args.since = clock_wall_ms() - ms;
		return 0;
	}
	if (entry_time_parse(slice_str(s), &o->args.since))
		return 0;
	return wrong("--since wants a span like 90s, 15m, 4h, 7d or a time "
	    "like 2026-01-02T03:04:05.678Z", s, NULL);
}

static int
take_type(struct options *o, const char *s)
{
	const char *names[EVENT_COUNT];
	enum event_type t;

	o->args.type = s;
	if (event_type_parse(slice_str(s), &t))
		return 0;
	for (unsigned i = 0; i < EVENT_COUNT; i++)
		names[i] = event_type_name((enum event_type)i);
	return wrong("--type: no such type of event", s,
	    err_nearest(slice_str(s), names, EVENT_COUNT));
}

static int
take_verdict(struct options *o, const char *s)
{
	static const char *const names[] = { "allow", "hold", "deny" };

	o->args.verdict = s;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i], s) == 0)
			return 0;
	return wrong("--verdict is allow, hold or deny", s,
	    err_nearest(slice_str(s), names, ARRAY_LEN(names)));
}

static int
take_count(struct options *o, const char *s)
{
	uint64_t n;

	if (!slice_to_u64(slice_str(s), &n) || n == 0 || n > INT32_MAX)
		return wrong("-n wants a number of rows from 1 on", s, NULL);
	o->args.count = (int64_t)n;
	return 0;
}

static int
take_option(struct options *o, int c)
{
	switch (c) {
	case 'c':	o->config = optarg; return 0;
	case 'f':	o->args.follow = true; return 0;
	case 'n':	return take_count(o, optarg);
	case O_STATE:	o->state = optarg; return 0;
	case O_JSON:	o->args.json = true; return 0;
	case O_TYPE:	return take_type(o, optarg);
	case O_CONNECTOR: o->args.connector = optarg; return 0;
	case O_TOOL:	o->args.tool = optarg; return 0;
	case O_USER:	o->args.user = optarg; return 0;
	case O_AGENT:	o->args.agent = optarg; return 0;
	case O_VERDICT:	return take_verdict(o, optarg);
	case O_SINCE:	return take_since(o, optarg);
	case O_TEXT:	o->args.text = optarg; return 0;
	case O_AGAINST:	o->against = optarg; return 0;
	case O_KEY:	o->key = optarg; return 0;
	default:
		fputs(usage, stderr);
		return -1;
	}
}

/* --- where the ledger is ------------------------------------------------ */

static bool
find_file(const char *state, const char *name, char out[PATH_MAX],
    bool dir_only)
{
	static const char *const below[] = { "", "/ledger", "/monitor",
		"/recorder", "/keeper", "/gateway", "/..",
		"/../keeper" };
	char path[PATH_MAX];

	for (size_t i = 0; i < ARRAY_LEN(below); i++) {
		int n = snprintf(path, sizeof(path), "%s%s/%s", state,
		    below[i], name);

		if (n < 0 || n >= PATH_MAX || access(path, F_OK) != 0)
			continue;
		if (dir_only)
			path[(size_t)n - strlen(name) - 1] = '\0';
		memcpy(out, path, PATH_MAX);
		return true;
	}
	return false;
}

static int
find_state(struct options *o)
{
	struct err err = { 0 };
	struct conf *c;

	if (o->state != NULL)
		return 0;
	if (o->config == NULL)
		o->config = getenv("PORTREEVE_CONFIG");
	if (o->config == NULL) {
		fputs("portreeve audit: which ledger? Give --state DIR or -c "
		    "FILE, or set PORTREEVE_CONFIG\n", stderr);
		return -1;
	}
	c = conf_load(o->config, NULL, NULL, &err);
	if (c == NULL) {
		fprintf(stderr, "%s\n", err.text);
		return -1;
	}
	o->state_of_config = base_strdup(c->state_dir);
	o->state = o->state_of_config;
	conf_free(c);
	return 0;
}

static int
open_ledger(struct options *o)
{
	struct err err = { 0 };

	if (find_state(o) != 0)
		return -1;
	if (access(o->state, X_OK) != 0) {
		fprintf(stderr, "portreeve audit: %s: %s: name the state "
		    "directory of the daemon, as a user who may read it\n",
		    o->state, strerror(errno));
		return -1;
	}
	if (!find_file(o->state, LEDGERDB_FILE, o->dir, true)) {
		fprintf(stderr, "portreeve audit: no " LEDGERDB_FILE " below "
		    "%s: name the state directory of the daemon (state: in "
		    "its config), or a copy of it, with --state\n", o->state);
		return -1;
	}
	o->args.dir = o->dir;
	o->args.db = ledgerdb_open_read(o->dir, NULL, &err);
	if (o->args.db != NULL)
		return 0;
	fprintf(stderr, "portreeve audit: %s\n", err.text);
	return -1;
}

/* --- verify ------------------------------------------------------------- */

static void
on_progress(void *ctx, uint64_t done, uint64_t total)
{
	uint64_t *shown = ctx;
	uint64_t now = clock_mono_ms();

	if (now - *shown < 200)
		return;
	*shown = now;
	fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " rows (%u %%)", done,
	    total, total == 0 ? 0 : (unsigned)(done * 100 / total));
}

static void
report_json(const struct verify_report *rep)
{
	static const char *const names[] = { [VERIFY_BAD] = "bad",
		[VERIFY_UNANCHORED] = "unanchored", [VERIFY_GOOD] = "good" };
	char hex[2 * MERKLE_HASH + 1];
	struct jsonw w;
	struct buf b;

	buf_init(&b, 8192);
	jsonw_init(&w, &b);
	jsonw_object(&w, NULL);
	jsonw_str(&w, "verdict", names[rep->verdict]);
	jsonw_u64(&w, "rows", rep->rows);
	jsonw_u64(&w, "checkpoints", rep->checkpoints);
	jsonw_u64(&w, "signed_size", rep->signed_size);
	jsonw_u64(&w, "anchors", rep->anchors);
	jsonw_u64(&w, "anchored_size", rep->anchored_size);
	if (rep->verdict == VERIFY_BAD) {
		jsonw_u64(&w, "bad_first", rep->bad_first);
		jsonw_u64(&w, "bad_last", rep->bad_last);
		jsonw_str(&w, "why", rep->why.text);
	} else {
		hex_encode(rep->head, MERKLE_HASH, hex);
		jsonw_str(&w, "head", hex);
		hex_encode(rep->root, MERKLE_HASH, hex);
		jsonw_str(&w, "root", hex);
	}
	jsonw_object_end(&w);
	printf("%.*s\n", SLICE_FMT(buf_slice(&b)));
	buf_free(&b);
}

static void
report_bad(const struct options *o, const struct verify_report *rep)
{
	if (rep->bad_first == rep->bad_last && rep->bad_first != 0)
		printf("BAD: row %" PRId64 ": ", (int64_t)rep->bad_first);
	else if (rep->bad_first != 0)
		printf("BAD: rows %" PRIu64 " to %" PRIu64 ": ",
		    rep->bad_first, rep->bad_last);
	else
		printf("BAD: ");
	audit_print(stdout, slice_str(rep->why.text));
	printf("\n     %" PRIu64 " rows before it were read and fit together, "
	    "%" PRIu64 " of them signed.\n     Keep %s/" LEDGERDB_FILE
	    "* as evidence, and compare with what the exporters hold.\n",
	    rep->rows, rep->signed_size, o->dir);
}

static void
report_text(const struct options *o, const struct verify_report *rep)
{
	char hex[2 * MERKLE_HASH + 1];

	if (rep->verdict == VERIFY_BAD) {
		report_bad(o, rep);
		return;
	}
	hex_encode(rep->head, MERKLE_HASH, hex);
	printf("rows      %" PRIu64 ", chain intact, head %s\n", rep->rows,
	    hex);
	printf("signed    %" PRIu64 " checkpoints, up to row %" PRIu64 "\n",
	    rep->checkpoints, rep->signed_size);
	if (rep->verdict == VERIFY_GOOD)
		printf("anchored  up to row %" PRIu64 ", by %" PRIu64
		    " checkpoints in %s\n", rep->anchored_size, rep->anchors,
		    o->against);
	else
		puts("not anchored: truncation, rollback and fork cannot be "
		    "seen from here.\n          Hold it against checkpoints an "
		    "exporter carried away: --against FILE");
}

static int
load_keys(struct options *o, struct checkpoint_keys *keys, bool *have_r)
{
	struct err err = { 0 };
	const char *file = o->key;

	*have_r = false;
	if (file == NULL && (find_file(o->dir, LEDGERDB_KEY_FILE, o->key_path,
	    false) || find_file(o->state, LEDGERDB_KEY_FILE, o->key_path,
	    false)))
		file = o->key_path;
	if (file == NULL)
		return 0;
	if (checkpoint_keys_load(file, keys, &err) != 0) {
		fprintf(stderr, "portreeve audit: %s\n", err.text);
		return -1;
	}
	*have_r = true;
	return 0;
}

/* What was found wrong with the anchors themselves is a verdict too: nothing
 * that claims to be a checkpoint of ours may fail to be one. */
static int
load_anchors(struct options *o, const struct checkpoint_keys *keys,
    struct anchors *a)
{
	struct err err = { 0 };
	bool forged = false;
	char *origin = ledgerdb_origin(o->args.db, &err);
	int r = AUDIT_OK;

	if (origin == NULL) {
		printf("BAD: %s\n", err.text);
		return AUDIT_NOT;
	}
	if (anchor_load(o->against, keys, origin, a, &forged, &err) != 0) {
		fprintf(forged ? stdout : stderr, "%s%s\n", forged ? "BAD: " :
		    "portreeve audit: ", err.text);
		r = forged ? AUDIT_NOT : AUDIT_USAGE;
	}
	free(origin);
	return r;
}

static int
run_verify(struct options *o)
{
	static const int status[] = { [VERIFY_BAD] = AUDIT_NOT,
		[VERIFY_UNANCHORED] = AUDIT_UNANCHORED,
		[VERIFY_GOOD] = AUDIT_OK };
	struct checkpoint_keys keys = { 0 };
	struct anchors anchors = { 0 };
	struct verify_options vo = { 0 };
	struct verify_report rep;
	struct err err = { 0 };
	uint64_t shown = clock_mono_ms();
	bool have_key;
	int r;

	if (load_keys(o, &keys, &have_key) != 0)
		return AUDIT_USAGE;
	if (!have_key && o->against != NULL) {
		fputs("portreeve audit: no " LEDGERDB_KEY_FILE " found: give "
		    "the verifier key with --key FILE\n", stderr);
		return AUDIT_USAGE;
	}
	if (o->against != NULL && (r = load_anchors(o, &keys, &anchors)) !=
	    AUDIT_OK)
		return r;
	vo.keys = have_key ? &keys : NULL;
	vo.anchors = o->against != NULL ? &anchors : NULL;
	vo.progress = isatty(STDERR_FILENO) ? on_progress : NULL;
	vo.ctx = &shown;
	r = verify_run(o->args.db, &vo, &rep, &err);
	if (vo.progress != NULL)
		fputs("\r\033[K", stderr);
	anchor_free(&anchors);
	if (r != 0) {
		fprintf(stderr, "portreeve audit: %s: give --key FILE (the "
		    "keeper writes it as " LEDGERDB_KEY_FILE ")\n", err.text);
		return AUDIT_USAGE;
	}
	if (o->args.json)
		report_json(&rep);
	else
		report_text(o, &rep);
	return status[rep.verdict];
}

/* --- dispatch ----------------------------------------------------------- */

static int
run_tail(struct options *o)
{
	return audit_tail(&o->args);
}

static int
run_search(struct options *o)
{
	return audit_search(&o->args);
}

static int
run_show(struct options *o)
{
	return audit_show(&o->args);
}

static const struct {
	const char *name;
	int operands;
	int (*run)(struct options *o);
} verbs[] = {
	{ "tail", 0, run_tail },
	{ "search", 0, run_search },
	{ "show", 1, run_show },
	{ "verify", 0, run_verify },
};

static int
run(struct options *o, int operands, char **operand)
{
	const char *names[ARRAY_LEN(verbs)];

	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		names[i] = verbs[i].name;
		if (strcmp(o->verb, verbs[i].name) != 0)
			continue;
		if (operands != verbs[i].operands) {
			fputs(usage, stderr);
			return AUDIT_USAGE;
		}
		o->args.call = operands > 0 ? operand[0] : NULL;
		if (open_ledger(o) != 0)
			return AUDIT_USAGE;
		return verbs[i].run(o);
	}
	wrong("no such verb", o->verb, err_nearest(slice_str(o->verb), names,
	    ARRAY_LEN(verbs)));
	fputs(usage, stderr);
	return AUDIT_USAGE;
}

int
cmd_audit(int argc, char **argv)
{
	struct options o = { .args.since = INT64_MIN };
	int c, r;

	optind = 0;	/* begin anew, whoever used it before */
	while ((c = getopt_long(argc, argv, "c:fn:h", longopts, NULL)) != -1) {
		if (c == 'h') {
			fputs(usage, stdout);
			return AUDIT_OK;
		}
		if (take_option(&o, c) != 0)
			return AUDIT_USAGE;
	}
	if (optind >= argc) {
		fputs(usage, stderr);
		return AUDIT_USAGE;
	}
	o.verb = argv[optind];
	r = run(&o, argc - optind - 1, argv + optind + 1);
	ledgerdb_close(o.args.db);
	free(o.state_of_config);
	return r;
}
