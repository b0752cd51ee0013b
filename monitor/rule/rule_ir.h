/*
 * rule_ir - a detection as the evaluator runs it; private to monitor/rule.
 *
 * selection = OR of groups; group = AND of items; item = a field, a list of
 * patterns (OR, or AND with `all`). The condition is a program over the
 * selections for a small stack machine.
 */
#ifndef RULE_IR_H
#define RULE_IR_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "map.h"
#include "rule.h"

#define RULE_STACK 64		/* depth of a condition */
#define RULE_CONDS_MAX 20000	/* steps of one */
#define RULE_ANY_FIELD UINT32_MAX	/* keywords */
#define RULE_NO_MEMO UINT32_MAX
/* Inside a pattern text: no byte of valid UTF-8. */
#define RULE_ONE ((char)0xfe)	/* ? */
#define RULE_RUN ((char)0xff)	/* * */

enum rule_truth { RULE_NO, RULE_YES, RULE_MAYBE };

enum rule_op {			/* in the order of cost */
	RULE_OP_EXISTS, RULE_OP_NULL, RULE_OP_NUMBER, RULE_OP_EQ,
	RULE_OP_STARTS, RULE_OP_ENDS, RULE_OP_PRESENT, RULE_OP_LT, RULE_OP_LTE,
	RULE_OP_GT, RULE_OP_GTE, RULE_OP_FIELD, RULE_OP_CIDR,
	RULE_OP_CONTAINS, RULE_OP_GLOB, RULE_OP_RE, RULE_OPS
};

struct rule_pat {		/* one cache line; what decides most, first */
	uint8_t op;
	bool cased;
	uint8_t ngrams;		/* CONTAINS, GLOB: how many of gram; linked */
	uint8_t bits;		/* CIDR */
	uint32_t len;
	char *text;		/* folded unless cased; with RULE_ONE/RUN */
	uint32_t gram[2];	/* hashes of two 4-grams; linked */
	double num;		/* NUMBER, LT..GTE; EXISTS: 1 or 0 */
	pcre2_code *re;		/* linked */
	uint32_t re_options;
	uint32_t field;		/* FIELD; linked */
	uint8_t addr[16];	/* CIDR: v4 as v4-mapped v6 */
};

struct rule_item {
	char *name;		/* field; NULL: keyword */
	uint32_t field;		/* after linking */
	bool all, neq;
	uint32_t pat, npats;
	uint32_t memo;		/* after linking: equal items share an answer an
				 * event; RULE_NO_MEMO: it has no equal */
};

struct rule_group {
	uint32_t item, nitems;
};

struct rule_sel {
	char *name;		/* only while building */
	uint32_t group, ngroups;
};

enum rule_cond_op {
	RULE_C_SEL,		/* push selection arg */
	RULE_C_NOT,
	RULE_C_AND, RULE_C_OR,	/* pop two, push one */
	RULE_C_JNO,		/* top is NO: skip to arg, keep it */
	RULE_C_JYES,		/* top is YES: likewise */
	RULE_C_OPS
};

struct rule_cond {
	uint8_t op;
	uint32_t arg;
};

struct rule_body {
	struct rule_pat *pats;
	struct rule_item *items;
	struct rule_group *groups;
	struct rule_sel *sels;
	struct rule_cond *conds;
	uint32_t npats, nitems, ngroups, nsels, nconds;
};

struct rule_field {
	char *name;
	uint32_t head;		/* of its first segment */
	uint32_t flat;		/* of the whole dotted name, or NONE */
	uint32_t rest;		/* offset in name behind the first dot, or 0 */
};

struct rule_fields {
	struct rule_field *f;
	uint32_t n;
	struct map heads;	/* key -> 1 + number, while linking */
	uint32_t nheads;
	struct map names;	/* field name -> 1 + number, while linking */
	struct rule_head {	/* heads again, as the evaluator looks them up */
		char *key;
		uint32_t len, number;
	} *table;
	uint32_t mask;		/* of the table: a power of two less one */
	struct map items;	/* packed item -> struct rule_item, likewise */
	uint32_t nmemos;
};

/* Only our rules' names are in the table, so nobody can make it slow. */
static inline uint32_t
rule_head_hash(struct slice s)
{
	uint64_t a = 0;

	if (s.n >= 8)
		memcpy(&a, s.p, 8);
	else
		for (size_t i = 0; i < s.n; i++)
			a = a << 8 | (unsigned char)s.p[i];
	a = (a ^ s.n * 0x9e3779b97f4a7c15ULL ^ (s.n == 0 ? 0 :
	    (uint64_t)(unsigned char)s.p[s.n - 1] << 56)) *
	    0xff51afd7ed558ccdULL;
	return (uint32_t)(a >> 32);
}

/* Grows an array by one zeroed element and gives that element. */
#define RULE_PUSH(arr, n)                                                  \
	(rule_grow((void **)&(arr), (n), sizeof(*(arr))), &(arr)[(n)++])

void rule_grow(void **arr, size_t n, size_t size);
void rule_fold(char *dst, const char *src, size_t n);
uint32_t rule_gram(const char *p);
bool rule_wild(struct slice pattern, struct slice text);
/* "1.2.3.4", "1.2.3.4:80", "2001:db8::1", "[2001:db8::1]:80" */
bool rule_parse_addr(struct slice s, uint8_t addr_r[16]) MUST_USE;
bool rule_parse_cidr(const char *s, uint8_t addr_r[16], uint8_t *bits_r)
    MUST_USE;
bool rule_parse_number(struct slice s, double *v_r) MUST_USE;
pcre2_code *rule_regex(const struct rule_pat *p, char *why, size_t whysize,
    size_t *at_r);

void rule_free(struct rule *r);
/* Interns fields, compiles expressions, resolves correlations, fills
 * by_type. -1 and err (which may be NULL): the set is refused. */
int rule_link(struct rule_set *set, struct err *err);

#endif
