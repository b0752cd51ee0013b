/*
 * base - what every file may use: invariants, slices, small helpers.
 *
 * Two error regimes.  Our own invariant is ASSERT: kept in production, it
 * prints where it stood and aborts.  A peer's bytes never reach an ASSERT;
 * they give an error code.
 */
#ifndef BASE_H
#define BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MUST_USE __attribute__((warn_unused_result))
#define NOINLINE __attribute__((noinline))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define container_of(p, type, member) \
	((type *)(void *)((char *)(p) - offsetof(type, member)))

#define ASSERT(cond)                                                      \
	do {                                                              \
		if (__builtin_expect(!(cond), 0))                         \
			base_assert_failed(#cond, __FILE__, __LINE__,     \
			    __func__);                                    \
	} while (0)

void base_assert_failed(const char *cond, const char *file, int line,
    const char *func) __attribute__((noreturn));

/* Never return NULL: out of memory is an ASSERT (a role dies, its parent
 * starts it again, its peers see a closed channel).  Bounded by callers. */
void *base_calloc(size_t n, size_t size) MUST_USE;
void *base_realloc(void *p, size_t size) MUST_USE;
char *base_strdup(const char *s) MUST_USE;
char *base_strndup(const char *s, size_t n) MUST_USE;

/* Compares in time that depends on n only. */
bool base_equal_ct(const void *a, const void *b, size_t n);

/* A borrowed run of bytes, by value; not NUL-terminated. */
struct slice {
	const char *p;
	size_t n;
};

#define SLICE(lit) ((struct slice){ (lit), sizeof(lit) - 1 })
#define SLICE_FMT(s) (int)(s).n, (s).p

static inline struct slice
slice_make(const void *p, size_t n)
{
	return (struct slice){ (const char *)p, n };
}

static inline struct slice
slice_str(const char *s)
{
	return (struct slice){ s, s == NULL ? 0 : strlen(s) };
}

static inline bool
slice_eq(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool
slice_is(struct slice a, const char *s)
{
	return slice_eq(a, slice_str(s));
}

/* ASCII case is folded; other bytes compare as they are. */
bool slice_eq_nocase(struct slice a, struct slice b);
bool slice_is_nocase(struct slice a, const char *s);
bool slice_starts(struct slice a, const char *prefix);
bool slice_ends(struct slice a, const char *suffix);
/* Offset of the first b in a, or -1. */
ssize_t slice_find(struct slice a, struct slice b);
ssize_t slice_chr(struct slice a, char c);
struct slice slice_trim(struct slice a);
/* The part from off on, at most n bytes; clamps to the slice. */
struct slice slice_sub(struct slice a, size_t off, size_t n);
/* Cuts *rest at the first sep: returns the part before it, *rest keeps what
 * is behind it (empty with p == NULL when there was no sep). */
struct slice slice_cut(struct slice *rest, char sep);
/* Decimal digits only, no sign or space; false on overflow or emptiness. */
bool slice_to_u64(struct slice a, uint64_t *v_r) MUST_USE;
/* The other way: the digits, written at the end of room. */
#define U64_DIGITS 20
struct slice slice_of_u64(uint64_t v, char room[U64_DIGITS]);
char *slice_dup(struct slice a) MUST_USE;

/* Closes *fd when it is open and sets it to -1; keeps errno. */
void base_close(int *fd);

#endif
