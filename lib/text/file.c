/* file - see file.h. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static int
read_all(int fd, const char *path, struct buf *out, struct err *err)
{
	for (;;) {
		size_t want = buf_room(out) < 65536 ? buf_room(out) : 65536;
		char *p = buf_reserve(out, want + (want == 0));
		ssize_t n;

		if (p == NULL) {
			char more;

			n = read(fd, &more, 1);
		} else {
			n = read(fd, p, want);
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			break;
		if (n < 0 || p == NULL) {
			err_at(err, path, 0, 0, "%s", n < 0 ?
			    strerror(errno) : "larger than allowed");
			return -1;
		}
		buf_commit(out, (size_t)n);
	}
	out->full = false;
	return 0;
}

int
file_read(const char *path, struct buf *out, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	int rc = -1;

	if (fd < 0 || fstat(fd, &st) != 0) {
		err_at(err, path, 0, 0, "%s", strerror(errno));
		goto out;
	}
	if (!S_ISREG(st.st_mode)) {
		err_at(err, path, 0, 0, "not a regular file");
		goto out;
	}
	if ((uint64_t)st.st_size > buf_room(out)) {
		err_at(err, path, 0, 0, "larger than the %zu bytes allowed",
		    buf_room(out));
		goto out;
	}
	rc = read_all(fd, path, out, err);
out:
	base_close(&fd);
	return rc;
}

char *
file_resolve(const char *dir, const char *path)
{
	size_t d = strlen(dir), n = strlen(path);
	char *full;

	if (path[0] == '/' || d == 0)
		return base_strdup(path);
	full = base_calloc(d + n + 2, 1);
	memcpy(full, dir, d);
	full[d] = '/';
	memcpy(full + d + (dir[d - 1] != '/'), path, n);
	return full;
}

char *
file_folder(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		return base_strdup(".");
	return base_strndup(path, slash == path ? 1 :
	    (size_t)(slash - path));
}
