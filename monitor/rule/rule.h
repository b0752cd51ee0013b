/*
 * rule - Sigma rules (specification 2.1) over Portreeve's own events.
 *
 * A compiler turns a folder of YAML files into one packed section; the
 * detector loads that section and asks, for each event, which rules match.
 * State over several events (windows, first-seen tables, session context,
 * business hours) belongs to monitor/detect: here a rule only says what it
 * wants, and rule_match() looks at one event.
 *
 * Sigma leaves open, and we decided:
 *  - strings compare without regard to ASCII case unless `cased`;
 *  - numbers, true and false compare with strings by their JSON text;
 *  - a dotted field is a literal key and a path, both are looked at; arrays
 *    match when any member does;
 *  - a keyword is contained in any string value of the event;
 *  - a regular expression searches (`^`, `$` anchor), is case-sensitive, and
 *    runs under a match limit; "could not decide" is a third truth value and
 *    a rule that ends in it counts as matched: a peer cannot talk a rule away.
 *
 * What is ours stands under the key `portreeve` of a rule:
 *   portreeve:
 *     advice: none | hold | deny   # answered inside the call
 *     stage: shadow | alert | block
 *         shadow: findings are informational, no advice; alert: no advice
 *     off_hours: true              # only outside conf's business_hours
 *     after_flag: { within: 10m, flags: [injection.*] }
 *         an earlier result of the same session carried such a flag
 *     first_seen: { key: [agent, connector], learning: true }
 *     suppress: { for: 10m, by: [user, agent] }   # of a rule without windows
 *
 * Not supported, and an error that says so: placeholders (expand), time
 * modifiers, pipe aggregations, filters, correlations other than event_count
 * and value_count, and their aliases.
 */
#ifndef RULE_H
#define RULE_H

#include "arena.h"
#include "base.h"
#include "buf.h"
#include "err.h"
#include "event.h"
#include "json.h"

#define RULE_MAX 10000		/* rules in a set */
#define RULE_VALUES_MAX 20000	/* values in one rule */
#define RULE_KEY_FIELDS 8	/* fields of a group-by, key or by */
#define RULE_COUNT_MAX 10000	/* threshold of an event_count */
#define RULE_DISTINCT_MAX 1000	/* threshold of a value_count */
#define RULE_SPAN_MAX_MS (30LL * 86400 * 1000)

/* Zero means deny; the numbers are those of the ADVICE message. */
enum rule_advice { RULE_DENY, RULE_HOLD, RULE_NONE };
enum rule_stage { RULE_SHADOW, RULE_ALERT, RULE_BLOCK };
enum rule_level { RULE_INFORMATIONAL, RULE_LOW, RULE_MEDIUM, RULE_HIGH,
	RULE_CRITICAL };
enum rule_kind { RULE_MATCH, RULE_EVENT_COUNT, RULE_VALUE_COUNT };

extern const char *const rule_advice_names[3];
extern const char *const rule_stage_names[3];
extern const char *const rule_level_names[5];

struct rule_key {		/* fields whose values make a group */
	char *names[RULE_KEY_FIELDS];
	uint32_t fields[RULE_KEY_FIELDS];	/* of the set, after linking */
	size_t n;
};

struct rule {
	char *id, *name, *title, *file;	/* name may be NULL */
	int line;
	enum rule_kind kind;
	enum rule_level level;
	enum rule_advice advice;	/* NONE unless stage is block */
	enum rule_stage stage;
	char **tags;
	size_t ntags;
	uint64_t types;			/* bit per event_type */
	bool quiet;			/* only feeds correlations */
	bool is_inline;			/* evaluated inside the call */
	bool off_hours;
	int64_t after_flag_ms;		/* 0: not asked */
	char **flags;			/* patterns; none: any flag */
	size_t nflags;
	struct rule_key first_seen;	/* n == 0: not asked */
	bool learning;
	int64_t suppress_ms;
	struct rule_key group;		/* group-by, or suppress.by */
	/* correlations */
	char **refs;			/* ids or names of rules */
	size_t nrefs;
	int64_t span_ms;
	uint32_t at_least;		/* fires at this count */
	uint32_t exactly;		/* eq: 1 when only at that count */
	struct rule_key value;		/* value_count: its field */
	/* after linking: correlations that count this rule's matches */
	uint32_t *feeds;
	size_t nfeeds;
	uint64_t identity;		/* same in this process: same rule */
	struct rule_body *body;		/* detection, private */
};

/* A test of a rule, as its file states it; run by monitor/detect. */
struct rule_test {
	char *name, *rule;		/* id of the rule it tests */
	char *file;
	int line, col;
	char *zone;			/* business hours; NULL: none */
	uint8_t days;
	int from_min, to_min;
	int64_t learning_ms;
	int64_t start_ms;
	struct rule_test_event { int64_t at_ms; char *json; } *events;
	size_t nevents;
	int findings;			/* expected of this rule */
	int advice;			/* of the last call; -1: not stated */
};

struct rule_set {
	struct rule **rules;
	size_t n;
	struct rule_test *tests;	/* only when built from YAML */
	size_t ntests;
	/* made by linking */
	uint32_t *by_type[EVENT_COUNT];	/* rules of kind MATCH */
	size_t nby_type[EVENT_COUNT];
	struct rule_fields *fields;
};

typedef void rule_warn_fn(void *ctx, const char *text);

/*
 * All *.yml and *.yaml below dir, by name, as one set; an error names
 * file:line:col and refuses the whole. warn may be NULL.
 */
struct rule_set *rule_build_dir(const char *dir, rule_warn_fn *warn, void *ctx,
    struct err *err) MUST_USE;
/* One text. RULE_FOREIGN takes any log source and any custom key (tests). */
#define RULE_FOREIGN 1
struct rule_set *rule_build_text(const char *file, struct slice text,
    unsigned flags, rule_warn_fn *warn, void *ctx, struct err *err) MUST_USE;
void rule_pack(struct buf *section, const struct rule_set *set);

/* The compiler's call: build, pack, load again as a check. */
int rule_compile_dir(const char *dir, struct buf *section, rule_warn_fn *warn,
    void *ctx, struct err *err) MUST_USE;
/* NULL when the section is malformed. */
struct rule_set *rule_load(struct slice section) MUST_USE;
void rule_set_free(struct rule_set *set);	/* NULL-safe */
/* True when a rule asks for business hours (to warn where there are none). */
bool rule_uses_hours(const struct rule_set *set);
const struct rule *rule_by_id(const struct rule_set *set, struct slice id);

/*
 * One event, indexed once for all rules. The memory is kept from event to
 * event; json is borrowed until the next rule_event_set().
 */
struct rule_event;

struct rule_event *rule_event_new(void) MUST_USE;
void rule_event_free(struct rule_event *ev);	/* NULL-safe */
/* -1: no JSON object, or no known type, id or time. */
int rule_event_set(struct rule_event *ev, const struct rule_set *set,
    struct slice json) MUST_USE;
enum event_type rule_event_type(const struct rule_event *ev);
struct uuid rule_event_id(const struct rule_event *ev);
int64_t rule_event_time(const struct rule_event *ev);	/* wall ms */
const struct json_doc *rule_event_doc(const struct rule_event *ev);

/* Does the detection match? Only for rules of kind MATCH. */
bool rule_match(struct rule_event *ev, const struct rule *r);
/*
 * Could the detection match an event of this type in which the top-level
 * member `field` has this text, whatever else the event says? Uses ev: the
 * event that was set is gone.
 */
bool rule_could_match(struct rule_event *ev, const struct rule_set *set,
    const struct rule *r, enum event_type type, const char *field,
    const char *text);
/*
 * The group key: each field's first value, length-led, appended to out. A
 * field that is missing counts as an empty value. all_r (may be NULL) tells
 * whether every field had one.
 */
void rule_event_key(struct rule_event *ev, const struct rule_key *key,
    struct buf *out, bool *all_r);
/* First value of a field as text; p == NULL when there is none. */
struct slice rule_event_text(struct rule_event *ev, uint32_t field);
/* Likewise as it counts in a group: `source` without its port. */
struct slice rule_event_group_text(struct rule_event *ev, uint32_t field);
/* How often a limit (regular expression, memory) left a value undecided. */
uint64_t rule_undecided(const struct rule_event *ev);

/* RFC 3339 with Z or an offset, to wall ms; false when it is none. */
bool rule_parse_time(struct slice s, int64_t *ms_r) MUST_USE;
/* `*` stands for any run of bytes. */
bool rule_glob(struct slice pattern, struct slice text);

#endif
