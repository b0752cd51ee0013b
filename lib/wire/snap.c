/*
 * snap - see snap.h.
 *
 * The digest names a snapshot and finds a half-written one; it is no defence
 * against whoever holds the descriptor before it is sealed.
 */
#include "snap.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium/crypto_hash_sha256.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "codec.h"
#include "pack.h"

#define SNAP_MAGIC "PRSNAP01"
#define SNAP_MAX ((size_t)512 << 20)
#define SNAP_SECTIONS_MAX 256
#define SNAP_NAME_MAX 64
#define SNAP_HEAD (8 + 4 + 4 + crypto_hash_sha256_BYTES)
#define SNAP_SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)

struct snap_part {
	struct slice name, body;
};

struct snap {
	struct slice bytes;
	bool mapped;
	char name[13];
	struct snap_part *parts;
	uint32_t nparts;
};

void
snap_writer_init(struct snap_writer *w)
{
	buf_init(&w->body, SNAP_MAX - SNAP_HEAD);
	w->count = 0;
}

void
snap_writer_free(struct snap_writer *w)
{
	buf_free(&w->body);
	w->count = 0;
}

void
snap_add(struct snap_writer *w, const char *name, struct slice body)
{
	ASSERT(name[0] != '\0' && strlen(name) <= SNAP_NAME_MAX);
	pack_str(&w->body, name);
	pack_slice(&w->body, body);
	w->count++;
}

static int
write_all(int fd, struct slice s)
{
	while (s.n != 0) {
		ssize_t k = write(fd, s.p, s.n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return -1;
		s.p += k;
		s.n -= (size_t)k;
	}
	return 0;
}

static void
head_build(struct buf *head, const struct snap_writer *w)
{
	unsigned char digest[crypto_hash_sha256_BYTES];
	struct slice body = buf_slice(&w->body);

	crypto_hash_sha256(digest, (const unsigned char *)body.p, body.n);
	pack_bytes(head, SNAP_MAGIC, 8);
	pack_u32(head, w->count);
	pack_u32(head, 0);
	pack_bytes(head, digest, sizeof(digest));
}

int
snap_seal(struct snap_writer *w, struct err *err)
{
	struct buf head;
	int fd = -1, rc = -1;

	buf_init(&head, SNAP_HEAD);
	if (w->body.full || w->count > SNAP_SECTIONS_MAX) {
		err_set(err, "snapshot: larger than %zu MiB or %d sections",
		    SNAP_MAX >> 20, SNAP_SECTIONS_MAX);
		goto out;
	}
	head_build(&head, w);
	fd = memfd_create("portreeve-snapshot", MFD_CLOEXEC |
	    MFD_ALLOW_SEALING);
	if (fd < 0 || write_all(fd, buf_slice(&head)) != 0 ||
	    write_all(fd, buf_slice(&w->body)) != 0 ||
	    fcntl(fd, F_ADD_SEALS, SNAP_SEALS) != 0) {
		err_set(err, "snapshot: cannot make the memory file: %s",
		    strerror(errno));
		goto out;
	}
	rc = 0;
out:
	buf_free(&head);
	if (rc != 0)
		base_close(&fd);
	return fd;
}

/* The section itself checks out and bears a name that is not taken. */
static bool
part_ok(const struct snap *s, uint32_t i)
{
	struct slice name = s->parts[i].name;

	if (name.n == 0 || name.n > SNAP_NAME_MAX ||
	    slice_chr(name, '\0') >= 0)
		return false;
	for (uint32_t j = 0; j < i; j++)
		if (slice_eq(s->parts[j].name, name))
			return false;
	return true;
}

static const char *
parse(struct snap *s)
{
	unsigned char want[crypto_hash_sha256_BYTES];
	unsigned char have[crypto_hash_sha256_BYTES];
	char magic[8];
	struct unpack u;
	uint32_t count, zero;

	unpack_init(&u, s->bytes);
	unpack_bytes(&u, magic, sizeof(magic));
	count = unpack_u32(&u);
	zero = unpack_u32(&u);
	unpack_bytes(&u, want, sizeof(want));
	if (u.bad || memcmp(magic, SNAP_MAGIC, sizeof(magic)) != 0)
		return "not a snapshot of this version";
	if (zero != 0 || count > SNAP_SECTIONS_MAX)
		return "malformed head";
	crypto_hash_sha256(have, (const unsigned char *)u.p, u.n);
	if (memcmp(have, want, sizeof(have)) != 0)
		return "the digest does not match";
	hex_encode(have, 6, s->name);
	s->parts = base_calloc(count + 1, sizeof(*s->parts));
	for (uint32_t i = 0; i < count; i++) {
		s->parts[i].name = unpack_slice(&u);
		s->parts[i].body = unpack_slice(&u);
		if (u.bad || !part_ok(s, i))
			return "malformed section";
	}
	s->nparts = count;
	return unpack_done(&u) ? NULL : "bytes behind the last section";
}

static struct snap *
open_bytes(struct slice bytes, bool mapped, struct err *err)
{
	struct snap *s = base_calloc(1, sizeof(*s));
	const char *why;

	s->bytes = bytes;
	s->mapped = mapped;
	why = parse(s);
	if (why == NULL)
		return s;
	err_set(err, "snapshot: %s", why);
	snap_close(s);
	return NULL;
}

struct snap *
snap_parse(struct slice bytes, struct err *err)
{
	return open_bytes(bytes, false, err);
}

struct snap *
snap_open(int fd, struct err *err)
{
	struct snap *s = NULL;
	off_t size;
	int seals = fcntl(fd, F_GET_SEALS);
	void *p;

	/* Unsealed memory could change, or vanish (SIGBUS), under the reader. */
	if (seals < 0 || (seals & SNAP_SEALS) != SNAP_SEALS) {
		err_set(err, "snapshot: the memory file is not sealed");
		goto out;
	}
	/* Not fstat(): libc makes it newfstatat, which a role that may not see
	 * files has promised away by the time of a reload. */
	size = lseek(fd, 0, SEEK_END);
	if (size < (off_t)SNAP_HEAD || (uint64_t)size > SNAP_MAX) {
		err_set(err, "snapshot: of impossible size");
		goto out;
	}
	p = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED) {
		err_set(err, "snapshot: cannot map it: %s", strerror(errno));
		goto out;
	}
	s = open_bytes(slice_make(p, (size_t)size), true, err);
out:
	base_close(&fd);
	return s;
}

void
snap_close(struct snap *s)
{
	if (s == NULL)
		return;
	if (s->mapped)
		munmap((void *)(uintptr_t)s->bytes.p, s->bytes.n);
	free(s->parts);
	free(s);
}

struct slice
snap_section(const struct snap *s, const char *name)
{
	for (uint32_t i = 0; i < s->nparts; i++)
		if (slice_is(s->parts[i].name, name))
			return s->parts[i].body;
	return slice_make(NULL, 0);
}

const char *
snap_name(const struct snap *s)
{
	return s->name;
}
