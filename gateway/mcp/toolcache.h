/*
 * toolcache - the answers of tools/list, remembered by connector and principal.
 *
 * A list is its pages in the order in which they were fetched: the first page
 * (no cursor) begins a list anew, a later one is kept only behind the page
 * whose nextCursor it was asked with. So what is served is one list, never two
 * of different ages; all its pages are as old as its first one.
 *
 * Bounded in lists, pages and bytes: the list that was used least recently
 * goes. What is kept is what the server said, not yet redacted: whoever serves
 * it filters it like an answer.
 */
#ifndef TOOLCACHE_H
#define TOOLCACHE_H

#include "base.h"

#define TOOLCACHE_KEY 32
#define TOOLCACHE_PAGES 64	/* of one list */

struct toolcache;

struct toolcache_limits {
	size_t lists, bytes, list_bytes;
};

/* 1,000 lists, 32 MiB, 4 MiB a list. */
extern const struct toolcache_limits toolcache_limits_default;

/* lim NULL: the defaults; else it must outlive the cache. */
struct toolcache *toolcache_new(const struct toolcache_limits *lim) MUST_USE;
void toolcache_free(struct toolcache *c);	/* NULL-safe */

/* The result object of a page, raw JSON. cursor: raw JSON, empty for the first
 * page. p NULL: not there, or too old. Good until the next call that changes
 * the cache. *age_r: ms since the first page. */
struct slice toolcache_get(struct toolcache *c,
    const uint8_t key[TOOLCACHE_KEY], struct slice cursor, uint64_t now_ms,
    uint64_t *age_r);
/* next: raw JSON of nextCursor, empty: it was the last page. age_ms: how long
 * the list may be served from now on (of a first page). False: not kept. */
bool toolcache_put(struct toolcache *c, const char *connector,
    const uint8_t key[TOOLCACHE_KEY], struct slice cursor, struct slice next,
    struct slice result, uint64_t now_ms, uint64_t age_ms);

struct toolcache_sum {
	unsigned lists;
	uint64_t bytes;
	uint64_t oldest_ms;	/* when its first page came; 0: none */
};

/* What is there of a connector. */
struct toolcache_sum toolcache_sum(const struct toolcache *c,
    const char *connector);
/* Forgets a connector's lists (NULL: all); what there was. */
struct toolcache_sum toolcache_drop(struct toolcache *c,
    const char *connector);
/* Forgets one list that is too old and copies its connector's name (at most
 * 64 bytes and a NUL). False: none is. */
bool toolcache_expire(struct toolcache *c, uint64_t now_ms, char name_r[65]);
/* Every connector of which there is a list, each once or more. */
void toolcache_each(const struct toolcache *c,
    void (*fn)(void *ctx, const char *connector), void *ctx);

#endif
