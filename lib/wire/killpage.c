/*
 * killpage - see killpage.h.
 *
 * Invariants, which hold at every instant, also when the writer is killed
 * between two stores:
 *  1. `state` counts at least the used slots, so that 0 means nothing is
 *     killed. It grows before a slot is taken and shrinks after one is freed;
 *     mapping it writable counts anew.
 *  2. No chain of probes loses a used slot: a freed one becomes SLOT_GONE, and
 *     SLOT_FREE only when a free one follows it.
 *  3. Overflow is never undone in this page: the target that did not fit is
 *     not known, so only a page made anew may say otherwise.
 */
#include "killpage.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium/crypto_shorthash.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rng.h"

#define SLOT_FREE 0
#define SLOT_GONE 1
#define STATE_ALL ((uint64_t)1 << 63)
#define STATE_OVERFLOW ((uint64_t)1 << 62)
#define STATE_COUNT (STATE_OVERFLOW - 1)

struct killpage {
	unsigned char key[crypto_shorthash_KEYBYTES];
	_Atomic uint64_t epoch;
	_Atomic uint64_t state;	/* STATE_ALL, STATE_OVERFLOW, count of slots */
	_Atomic uint64_t slots[KILLPAGE_SLOTS];
};

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "shared memory has no locks");

int
killpage_create(void)
{
	unsigned char key[crypto_shorthash_KEYBYTES];
	int fd = memfd_create("portreeve-kill", MFD_CLOEXEC |
	    MFD_ALLOW_SEALING);

	if (fd < 0)
		return -1;
	rng_bytes(key, sizeof(key));
	if (ftruncate(fd, sizeof(struct killpage)) != 0 ||
	    pwrite(fd, key, sizeof(key), 0) != (ssize_t)sizeof(key) ||
	    fcntl(fd, F_ADD_SEALS,
	    F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
		base_close(&fd);
	return fd;
}

static void
count_anew(struct killpage *k)
{
	uint64_t n = 0, state = atomic_load(&k->state);

	for (size_t i = 0; i < KILLPAGE_SLOTS; i++)
		n += atomic_load(&k->slots[i]) > SLOT_GONE;
	atomic_store(&k->state, (state & ~STATE_COUNT) | n);
}

struct killpage *
killpage_map(int fd, bool writable)
{
	const int need = F_SEAL_GROW | F_SEAL_SHRINK;
	int seals = fcntl(fd, F_GET_SEALS);
	void *p;

	if (seals < 0 || (seals & need) != need ||
	    lseek(fd, 0, SEEK_END) != (off_t)sizeof(struct killpage)) {
		errno = EINVAL;
		return NULL;
	}
	p = mmap(NULL, sizeof(struct killpage),
	    writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return NULL;
	if (writable)
		count_anew(p);
	return p;
}

void
killpage_unmap(struct killpage *k)
{
	if (k != NULL)
		munmap(k, sizeof(*k));
}

uint64_t
killpage_epoch(const struct killpage *k)
{
	return atomic_load_explicit(&k->epoch, memory_order_acquire);
}

bool
killpage_all(const struct killpage *k)
{
	return (atomic_load_explicit(&k->state, memory_order_acquire) &
	    (STATE_ALL | STATE_OVERFLOW)) != 0;
}

uint64_t
killpage_hash(const struct killpage *k, const char *target)
{
	uint64_t h;

	crypto_shorthash((unsigned char *)&h, (const unsigned char *)target,
	    strlen(target), k->key);
	return h <= SLOT_GONE ? h + 2 : h;
}

/* The slot that holds hash, or -1; *room_r: where it would go, or -1. */
static int
find(const struct killpage *k, uint64_t hash, int *room_r)
{
	size_t at = hash % KILLPAGE_SLOTS;

	*room_r = -1;
	for (size_t i = 0; i < KILLPAGE_SLOTS; i++) {
		uint64_t v = atomic_load_explicit(&k->slots[at],
		    memory_order_acquire);

		if (v == hash)
			return (int)at;
		if (v <= SLOT_GONE && *room_r < 0)
			*room_r = (int)at;
		if (v == SLOT_FREE)
			return -1;
		at = at + 1 == KILLPAGE_SLOTS ? 0 : at + 1;
	}
	return -1;
}

bool
killpage_hit(const struct killpage *k, uint64_t hash)
{
	uint64_t state = atomic_load_explicit(&k->state,
	    memory_order_acquire);
	int room;

	if (state == 0)
		return false;
	if ((state & (STATE_ALL | STATE_OVERFLOW)) != 0)
		return true;
	return find(k, hash, &room) >= 0;
}

static uint64_t
bump(struct killpage *k)
{
	return atomic_fetch_add(&k->epoch, 1) + 1;
}

uint64_t
killpage_set(struct killpage *k, const char *target)
{
	uint64_t hash = killpage_hash(k, target);
	int room;

	if (find(k, hash, &room) >= 0)
		return bump(k);
	if (room < 0) {
		atomic_fetch_or(&k->state, STATE_OVERFLOW);
		return bump(k);
	}
	atomic_fetch_add(&k->state, 1);
	atomic_store(&k->slots[room], hash);
	return bump(k);
}

static void
slot_release(struct killpage *k, size_t at)
{
	size_t next = at + 1 == KILLPAGE_SLOTS ? 0 : at + 1;

	atomic_store(&k->slots[at], SLOT_GONE);
	if (atomic_load(&k->slots[next]) != SLOT_FREE)
		return;
	for (size_t i = 0; i < KILLPAGE_SLOTS; i++) {
		if (atomic_load(&k->slots[at]) != SLOT_GONE)
			return;
		atomic_store(&k->slots[at], SLOT_FREE);
		at = at == 0 ? KILLPAGE_SLOTS - 1 : at - 1;
	}
}

uint64_t
killpage_clear(struct killpage *k, const char *target)
{
	int room, at = find(k, killpage_hash(k, target), &room);

	if (at >= 0) {
		slot_release(k, (size_t)at);
		if ((atomic_load(&k->state) & STATE_COUNT) != 0)
			atomic_fetch_sub(&k->state, 1);
	}
	return bump(k);
}

uint64_t
killpage_set_all(struct killpage *k, bool all)
{
	if (all)
		atomic_fetch_or(&k->state, STATE_ALL);
	else
		atomic_fetch_and(&k->state, ~STATE_ALL);
	return bump(k);
}
