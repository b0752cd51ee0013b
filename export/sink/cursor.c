/* cursor - see cursor.h. */
#include "cursor.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "pack.h"

#define MAGIC "PRCURS01"
#define SUMMED 40
#define USED (SUMMED + 32)

static bool
parse_record(struct slice r, struct cursor *c)
{
	struct unpack u;
	unsigned char sum[32], want[32];
	char magic[8];

	if (r.n < USED)
		return false;
	unpack_init(&u, slice_sub(r, 0, USED));
	unpack_bytes(&u, magic, sizeof(magic));
	c->generation = unpack_u64(&u);
	c->seq = unpack_u64(&u);
	unpack_bytes(&u, c->id.b, sizeof(c->id.b));
	unpack_bytes(&u, want, sizeof(want));
	SHA256((const unsigned char *)r.p, SUMMED, sum);
	return unpack_done(&u) && memcmp(magic, MAGIC, sizeof(magic)) == 0 &&
	    memcmp(sum, want, sizeof(sum)) == 0;
}

enum cursor_found
cursor_parse(struct slice file, struct cursor *c)
{
	bool found = false;

	for (size_t i = 0; i < 2; i++) {
		struct cursor r;

		if (!parse_record(slice_sub(file, i * CURSOR_RECORD,
		    CURSOR_RECORD), &r))
			continue;
		if (found && r.generation < c->generation)
			continue;
		found = true;
		c->generation = r.generation;
		c->seq = r.seq;
		c->id = r.id;
	}
	return found ? CURSOR_VALID : file.n == 0 ? CURSOR_NONE :
	    CURSOR_DAMAGED;
}

static int
load(struct cursor *c, const char *name, struct err *err)
{
	char file[CURSOR_FILE];
	ssize_t n = pread(c->fd, file, sizeof(file), 0);

	if (n < 0) {
		err_set(err, "%s: %s", name, strerror(errno));
		return -1;
	}
	if (cursor_parse(slice_make(file, (size_t)n), c) == CURSOR_DAMAGED)
		log_error("%s: no valid record in it: everything is exported "
		    "again from the first event on (duplicates carry the same "
		    "id)", name);
	return 0;
}

/* The entry of a new file must outlive a power cut, too. dirfd may be O_PATH,
 * which fsync refuses. */
static int
sync_dir(int dirfd)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (fd < 0)
		return -1;
	r = fsync(fd);
	base_close(&fd);
	return r;
}

int
cursor_open(struct cursor *c, int dirfd, const char *name, struct err *err)
{
	struct stat st;

	memset(c, 0, sizeof(*c));
	c->fd = openat(dirfd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC |
	    O_NONBLOCK, 0600);
	if (c->fd < 0) {
		err_set(err, "%s: %s", name, strerror(errno));
		return -1;
	}
	if (fstat(c->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		err_set(err, "%s: not an ordinary file", name);
		goto fail;
	}
	if (flock(c->fd, LOCK_EX | LOCK_NB) != 0) {
		err_set(err, "%s: another exporter uses it", name);
		goto fail;
	}
	if (load(c, name, err) != 0)
		goto fail;
	if (st.st_size == 0 && sync_dir(dirfd) != 0) {
		err_set(err, "%s: fsync of its directory: %s", name,
		    strerror(errno));
		goto fail;
	}
	return 0;
fail:
	base_close(&c->fd);
	return -1;
}

static void
build_record(struct buf *b, uint64_t generation, uint64_t seq, struct uuid id)
{
	static const char zeroes[CURSOR_RECORD];
	unsigned char sum[32];

	pack_bytes(b, MAGIC, 8);
	pack_u64(b, generation);
	pack_u64(b, seq);
	pack_bytes(b, id.b, sizeof(id.b));
	SHA256((const unsigned char *)buf_data(b), SUMMED, sum);
	pack_bytes(b, sum, sizeof(sum));
	pack_bytes(b, zeroes, CURSOR_RECORD - USED);
}

int
cursor_store(struct cursor *c, uint64_t seq, struct uuid id)
{
	uint64_t generation = c->generation + 1;
	struct buf b;
	ssize_t n;

	buf_init(&b, CURSOR_RECORD);
	build_record(&b, generation, seq, id);
	ASSERT(!b.full && b.len == CURSOR_RECORD);
	n = pwrite(c->fd, buf_data(&b), b.len,
	    (off_t)(generation % 2) * CURSOR_RECORD);
	buf_free(&b);
	if (n != CURSOR_RECORD) {
		if (n >= 0)
			errno = ENOSPC;
		return -1;
	}
	if (fdatasync(c->fd) != 0)
		return -1;
	c->generation = generation;
	c->seq = seq;
	c->id = id;
	return 0;
}

void
cursor_close(struct cursor *c)
{
	base_close(&c->fd);
}
