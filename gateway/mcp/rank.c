/* rank - see rank.h. */
#include "rank.h"

#include <math.h>
#include <stdlib.h>

#define K1 1.2
#define B 0.75
#define W_NAME 3.0F
#define W_PARAMS 1.5F
#define W_TEXT 1.0F
#define W_SYNONYM 0.5F
#define DIMENSIONS 256
#define SHARE_SPELLING 0.3
#define LEAST_SPELLING 0.3
#define WORD_MAX 64
#define QUERY_WORDS 32

/* A line is a group: each word stands for the others, at half its weight. */
static const char *const synonyms[][10] = {
	{ "search", "find", "lookup", "query", "locate", "discover" },
	{ "delete", "remove", "erase", "drop", "destroy", "wipe" },
	{ "create", "add", "new", "make", "insert", "append", "write" },
	{ "update", "edit", "change", "modify", "set", "patch" },
	{ "get", "read", "fetch", "retrieve", "show", "view", "list" },
	{ "send", "post", "publish", "notify", "deliver" },
	{ "mail", "email", "message", "letter" },
	{ "file", "document", "doc", "attachment" },
	{ "folder", "directory", "dir", "path" },
	{ "issue", "ticket", "bug", "task" },
	{ "repository", "repo", "project" },
	{ "picture", "image", "photo", "screenshot" },
	{ "sum", "add", "total", "plus", "addition" },
	{ "time", "date", "clock", "calendar", "schedule" },
	{ "run", "execute", "start", "launch", "invoke" },
	{ "stop", "cancel", "abort", "end", "terminate" },
	{ "copy", "duplicate", "clone" },
	{ "user", "person", "account", "member", "customer" },
	{ "pay", "payment", "charge", "invoice", "bill", "money" },
	{ "weather", "forecast", "temperature" },
	{ "environment", "env", "variable", "setting", "config" },
};

struct word {
	uint64_t hash;
	float weight;
};

struct tool {
	struct word *words;
	uint32_t n;
	float length;
	float *spelling;	/* of length 1 */
};

struct rank {
	struct tool *tools;
	uint32_t n, cap;
	double lengths;
};

/* --- words ------------------------------------------------------------------------- */

static uint64_t
fnv(const char *p, size_t n)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)p[i]) * 0x100000001b3u;
	return h;
}

static bool
upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool
letter(char c)
{
	return upper(c) || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	    ((unsigned char)c & 0x80) != 0;
}

/* "queries" and "query", "files" and "file" are one word. */
static size_t
stem(char *w, size_t n)
{
	if (n > 4 && memcmp(w + n - 3, "ies", 3) == 0) {
		w[n - 3] = 'y';
		return n - 2;
	}
	if (n > 3 && w[n - 1] == 's' && w[n - 2] != 's')
		return n - 1;
	return n;
}

/* The next word of *text, folded; 0: there is none. */
static size_t
next_word(struct slice *text, char w[WORD_MAX])
{
	size_t i = 0, n = 0;

	while (i < text->n && !letter(text->p[i]))
		i++;
	for (; i < text->n && letter(text->p[i]); i++) {
		char c = text->p[i];

		if (n > 0 && upper(c) && !upper(text->p[i - 1]))
			break;
		if (n < WORD_MAX)
			w[n++] = upper(c) ? (char)(c + ('a' - 'A')) : c;
	}
	*text = slice_sub(*text, i, SIZE_MAX);
	return n == 0 ? 0 : stem(w, n);
}

/* Adds weight to a word that is there, or the word. */
static void
put(struct word *words, uint32_t *n, uint32_t max, uint64_t hash, float weight)
{
	for (uint32_t i = 0; i < *n; i++)
		if (words[i].hash == hash) {
			words[i].weight += weight;
			return;
		}
	if (*n < max)
		words[(*n)++] = (struct word){ hash, weight };
}

/* --- spelling ------------------------------------------------------------------------ */

static void
spell(float v[DIMENSIONS], struct slice text)
{
	char w[WORD_MAX + 2];
	size_t n;

	while ((n = next_word(&text, w + 1)) > 0) {
		w[0] = w[n + 1 <= WORD_MAX ? n + 1 : WORD_MAX + 1] = ' ';
		for (size_t i = 0; i + 3 <= n + 2; i++)
			v[fnv(w + i, 3) % DIMENSIONS] += 1;
	}
}

static void
unit(float v[DIMENSIONS])
{
	double sum = 0;

	for (int i = 0; i < DIMENSIONS; i++)
		sum += (double)v[i] * (double)v[i];
	for (int i = 0; i < DIMENSIONS && sum > 0; i++)
		v[i] = (float)((double)v[i] / sqrt(sum));
}

/* --- tools ---------------------------------------------------------------------------- */

struct rank *
rank_new(void)
{
	return base_calloc(1, sizeof(struct rank));
}

void
rank_free(struct rank *r)
{
	if (r == NULL)
		return;
	for (uint32_t i = 0; i < r->n; i++) {
		free(r->tools[i].words);
		free(r->tools[i].spelling);
	}
	free(r->tools);
	free(r);
}

static void
add_words(struct tool *t, struct slice text, float weight)
{
	char w[WORD_MAX];
	size_t n;

	for (unsigned k = 0; k < RANK_WORDS &&
	    (n = next_word(&text, w)) > 0; k++) {
		put(t->words, &t->n, RANK_WORDS, fnv(w, n), weight);
		t->length += weight;
	}
}

bool
rank_add(struct rank *r, struct slice name, struct slice params,
    struct slice description)
{
	struct tool *t;

	if (r->n == RANK_DOCS)
		return false;
	if (r->n == r->cap) {
		r->cap = r->cap == 0 ? 64 : r->cap * 2;
		r->tools = base_realloc(r->tools, r->cap * sizeof(*r->tools));
	}
	t = &r->tools[r->n++];
	*t = (struct tool){
		.words = base_calloc(RANK_WORDS, sizeof(*t->words)),
		.spelling = base_calloc(DIMENSIONS, sizeof(*t->spelling)) };
	add_words(t, name, W_NAME);
	add_words(t, params, W_PARAMS);
	add_words(t, description, W_TEXT);
	t->words = base_realloc(t->words, (t->n + 1) * sizeof(*t->words));
	r->lengths += (double)t->length;
	spell(t->spelling, name);
	spell(t->spelling, slice_sub(description, 0, 1024));
	unit(t->spelling);
	return true;
}

/* --- searching ---------------------------------------------------------------------------- */

static void
add_synonyms(struct word *q, uint32_t *n, uint64_t hash)
{
	for (size_t g = 0; g < ARRAY_LEN(synonyms); g++) {
		bool in = false;

		for (size_t i = 0; i < ARRAY_LEN(synonyms[g]) &&
		    synonyms[g][i] != NULL; i++)
			in |= fnv(synonyms[g][i], strlen(synonyms[g][i])) ==
			    hash;
		for (size_t i = 0; in && i < ARRAY_LEN(synonyms[g]) &&
		    synonyms[g][i] != NULL; i++) {
			uint64_t h = fnv(synonyms[g][i],
			    strlen(synonyms[g][i]));

			if (h != hash)
				put(q, n, QUERY_WORDS, h, W_SYNONYM);
		}
	}
}

static double
weight_in(const struct tool *t, uint64_t hash)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (t->words[i].hash == hash)
			return (double)t->words[i].weight;
	return 0;
}

/* Adds what one word of the query says of each tool. */
static void
score_word(const struct rank *r, const struct word *q, double *score)
{
	double mean = r->lengths / r->n, df = 0, idf;

	for (uint32_t i = 0; i < r->n; i++)
		df += weight_in(&r->tools[i], q->hash) > 0;
	idf = log(1 + (r->n - df + 0.5) / (df + 0.5));
	for (uint32_t i = 0; i < r->n; i++) {
		const struct tool *t = &r->tools[i];
		double tf = weight_in(t, q->hash);

		score[i] += (double)q->weight * idf * tf * (K1 + 1) /
		    (tf + K1 * (1 - B + B * (double)t->length /
		    (mean > 0 ? mean : 1)));
	}
}

static double
likeness(const struct tool *t, const float v[DIMENSIONS])
{
	double sum = 0;

	for (int i = 0; i < DIMENSIONS; i++)
		sum += (double)t->spelling[i] * (double)v[i];
	return sum;
}

/* Puts i into out by score; equal ones stay in their order. */
static void
place(uint32_t i, const double *score, uint32_t *out, size_t *n, size_t max)
{
	size_t at = *n;

	while (at > 0 && score[out[at - 1]] < score[i])
		at--;
	if (at == max)
		return;
	if (*n < max)
		(*n)++;
	memmove(out + at + 1, out + at, (*n - at - 1) * sizeof(*out));
	out[at] = i;
}

size_t
rank_search(const struct rank *r, struct slice query, uint32_t *out,
    size_t max)
{
	struct word q[QUERY_WORDS];
	uint32_t nq = 0, own;
	float v[DIMENSIONS] = { 0 };
	double *score, best = 0;
	char w[WORD_MAX];
	struct slice rest;
	size_t n, found = 0;

	if (r->n == 0 || max == 0)
		return 0;
	rest = query = slice_sub(query, 0, RANK_QUERY);
	while (nq < QUERY_WORDS && (n = next_word(&rest, w)) > 0)
		put(q, &nq, QUERY_WORDS, fnv(w, n), 1);
	own = nq;
	for (uint32_t i = 0; i < own; i++)
		add_synonyms(q, &nq, q[i].hash);
	score = base_calloc(r->n, sizeof(*score));
	for (uint32_t i = 0; i < nq; i++)
		score_word(r, &q[i], score);
	for (uint32_t i = 0; i < r->n; i++)
		best = score[i] > best ? score[i] : best;
	spell(v, query);
	unit(v);
	for (uint32_t i = 0; i < r->n; i++) {
		double like = likeness(&r->tools[i], v);

		if (score[i] <= 0 && like < LEAST_SPELLING)
			continue;
		score[i] = (best > 0 ? score[i] / best : 0) *
		    (1 - SHARE_SPELLING) + like * SHARE_SPELLING;
		place(i, score, out, &found, max);
	}
	free(score);
	return found;
}
