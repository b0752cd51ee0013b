/*
 * detect - rules with a memory: what the detector role decides, without its
 * channels, so that tests and the check of the rules run the same code.
 *
 * An event counts once a rule, by its id, whether it was seen inside the call
 * (detect_advise) or in the feed (detect_feed), in any order. All state is
 * bounded and can be rebuilt from the feed: detect_replay_begin(), the rows,
 * detect_replay_end(). Time is the events' own; nothing here reads a clock.
 *
 * A finding is raised once for a group within the timespan of a correlation,
 * or within `suppress.for`; advice is given as long as the rule holds.
 */
#ifndef DETECT_H
#define DETECT_H

#include "base.h"
#include "conf.h"
#include "err.h"
#include "jsonw.h"
#include "rng.h"
#include "rule.h"

#define DETECT_EVENTS_MAX 50	/* ids listed in one finding */
#define DETECT_TEXT_MAX 1024	/* bytes of a name or group value in one */
#define DETECT_FINDING_MAX (256u << 10)	/* bytes of one as JSON */
#define DETECT_PENDING_MAX 1000	/* findings held back during a replay */
#define DETECT_FIRST_SEEN 200000	/* keys of all first-seen rules */
#define DETECT_HANDLED 131072	/* (inline rule, event) pairs remembered */
#define DETECT_FED 4096	/* ids of rows remembered, about */
#define DETECT_RETRO_MS (3600 * 1000)
	/* a replay raises what nobody was told, when it is at most that old */

enum { DETECT_USER, DETECT_AGENT, DETECT_CONNECTOR, DETECT_TOOL,
	DETECT_SESSION, DETECT_CALL, DETECT_COPIED };

/* Owns its strings; borrowed by callbacks. */
struct detect_finding {
	char *rule, *title;
	enum rule_level level;
	enum rule_stage stage;
	enum rule_advice advice;
	char **tags;
	size_t ntags;
	char *copied[DETECT_COPIED];	/* of the triggering event; or NULL */
	struct { char *name, *value; } group[RULE_KEY_FIELDS];
	size_t ngroup;
	struct uuid events[DETECT_EVENTS_MAX];	/* the last one triggered */
	size_t nevents;
	uint64_t count;
	struct uuid call;	/* zero: none */
	int64_t time;		/* of the triggering event */
	uint64_t key;		/* rule and group, or rule and event */
	int64_t span_ms;
};

/* The fields of a `finding` event behind its head (events.def). */
void detect_finding_write(const struct detect_finding *f, struct jsonw *w);

typedef void detect_finding_fn(void *ctx, const struct detect_finding *f);

struct detect_advice {
	enum rule_advice action;
	const char *rule, *title;	/* "" when none; valid until the next
					 * call or load */
};

struct detect_stats {
	uint64_t events, advised, findings, suppressed, undecided, refused;
	uint64_t evicted;	/* windows, first-seen keys, sessions */
	uint64_t pending_lost;	/* findings of a replay beyond its maximum */
};

struct detect;

struct detect *detect_new(detect_finding_fn *fn, void *ctx) MUST_USE;
void detect_free(struct detect *d);	/* NULL-safe */
/* *takes* set. Windows and tables of rules that did not change stay. New
 * first-seen rules learn from now_ms on (0: from the ledger's begin). */
void detect_load(struct detect *d, struct rule_set *set, int64_t now_ms);
/* Business hours (c == NULL or not set: none, off-hours rules never fire) and
 * the zone's bytes (TZif). -1 and err: the former stay. */
int detect_set_hours(struct detect *d, const struct conf_hours *c,
    struct slice tz, struct err *err) MUST_USE;
/* How long first-seen rules learn silently, and since when there are events
 * (0: not known yet, then the first event says). */
void detect_set_learning(struct detect *d, int64_t learning_ms,
    int64_t since_ms);

/* Of which classes a call must ask, a bit per conf_class: of calls of the
 * others no rule can have advice, whatever they look like. */
unsigned detect_asked(struct detect *d);
/* A call asks. -1: malformed. */
int detect_advise(struct detect *d, struct slice json,
    struct detect_advice *a_r) MUST_USE;
/* A result's context. -1: malformed. */
int detect_context(struct detect *d, struct slice json) MUST_USE;
/* A committed event; one among the last DETECT_FED is passed over. -1:
 * malformed (counted, state unchanged). */
int detect_feed(struct detect *d, struct slice json) MUST_USE;

/* Between these, findings are held back; at the end those are raised that no
 * row of the replay already was and that are at most DETECT_RETRO_MS old. */
void detect_replay_begin(struct detect *d);
void detect_replay_end(struct detect *d, int64_t now_ms);

struct detect_stats detect_get_stats(const struct detect *d);

/* Runs the tests of the rules (block `tests`); the error names the test's
 * place. Zones are read from the system's database. */
int detect_run_tests(const struct rule_set *built, size_t *ran_r,
    struct err *err) MUST_USE;
/* For the compiler: rule_compile_dir(), the tests of all rules, and a warning
 * when a rule asks for business hours that nobody declared. */
int detect_compile_dir(const char *dir, bool have_hours, struct buf *section,
    rule_warn_fn *warn, void *ctx, struct err *err) MUST_USE;

#endif
