/* detect_state - the detector's state; private to monitor/detect. */
#ifndef DETECT_STATE_H
#define DETECT_STATE_H

#include "detect.h"
#include "detect_hours.h"
#include "detect_session.h"
#include "detect_window.h"
#include "map.h"

#define DETECT_FED_WAYS 8

struct detect {
	struct rule_set *set;
	struct rule_event *ev;
	struct detect_windows windows;
	struct detect_lru first_seen;	/* rule and key -> last time */
	struct detect_lru handled;	/* inline rule and event -> it held */
	struct detect_lru quiet;	/* rule and group -> silent until */
	struct detect_lru sessions;
	struct detect_hours hours;
	int64_t learning_ms, since_ms;
	int64_t *learn_from;		/* a rule; 0: since_ms */
	uint64_t (*fed)[DETECT_FED_WAYS];	/* ids of rows, hashed */
	uint64_t nth;			/* of the event at hand */
	uint64_t *counted;		/* a correlation: the last nth it took */
	bool replaying;
	struct detect_finding **pending;
	size_t npending;
	struct detect_stats stats;
	struct buf key;			/* scratch */
	detect_finding_fn *fn;
	void *ctx;
};

/* What one event did to one rule. */
struct detect_hit {
	const struct rule *rule;
	const struct detect_window *window;	/* correlations */
	const struct detect_label *label;	/* after_flag */
	uint64_t key;
	int64_t span_ms;
};

uint64_t detect_hash(const struct rule *r, char what, const void *p, size_t n);
/* The key of the event's group under this rule. */
uint64_t detect_group_key(struct detect *d, const struct rule *r);
/* Builds the finding and raises it, or holds it back during a replay. */
void detect_raise(struct detect *d, const struct detect_hit *h);
/* A finding row: whoever raised it, it is known now. */
void detect_known(struct detect *d, const struct json_doc *doc, int64_t time);
void detect_finding_free(struct detect_finding *f);

#endif
