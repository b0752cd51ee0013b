/* parent_listen - the sockets a parent opens for its roles; see parent.h. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"
#include "parent.h"

static int
set_transparent(int fd, int family, struct err *err)
{
	bool v6 = family == AF_INET6;
	int one = 1;

	if (setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ?
	    IPV6_TRANSPARENT : IP_TRANSPARENT, &one, sizeof(one)) == 0)
		return 0;
	err_set(err, "listen: transparent: %s (CAP_NET_ADMIN is needed: start "
	    "as root, or give the service AmbientCapabilities)",
	    strerror(errno));
	return -1;
}

int
parent_listen_tcp(const char *address, bool transparent, struct err *err)
{
	struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICHOST |
		AI_NUMERICSERV, .ai_socktype = SOCK_STREAM }, *ai = NULL;
	char host[256];
	const char *colon = strrchr(address, ':');
	int fd = -1, one = 1, r;

	if (colon == NULL || (size_t)(colon - address) >= sizeof(host)) {
		err_set(err, "listen %s: not ADDRESS:PORT", address);
		return -1;
	}
	snprintf(host, sizeof(host), "%.*s", (int)(colon - address), address);
	char *h = host;

	if (h[0] == '[' && h[strlen(h) - 1] == ']') {
		h[strlen(h) - 1] = '\0';
		h++;
	}
	if ((r = getaddrinfo(h[0] == '\0' ? NULL : h, colon + 1, &hints,
	    &ai)) != 0) {
		err_set(err, "listen %s: %s (a numeric address and port are "
		    "needed)", address, gai_strerror(r));
		return -1;
	}
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    0);
	if (fd >= 0 && transparent && set_transparent(fd, ai->ai_family,
	    err) != 0) {
		base_close(&fd);
		freeaddrinfo(ai);
		return -1;
	}
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one,
	    sizeof(one)) != 0 || bind(fd, ai->ai_addr, ai->ai_addrlen) != 0 ||
	    listen(fd, 4096) != 0) {
		err_set(err, "listen %s: %s", address, strerror(errno));
		base_close(&fd);
	}
	freeaddrinfo(ai);
	return fd;
}

static int
listen_at(struct sockaddr_un *sa, mode_t mode, struct err *err)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    0);

	unlink(sa->sun_path);
	mode_t old = umask(0777 & ~mode);

	if (fd < 0 || bind(fd, (struct sockaddr *)sa, sizeof(*sa)) != 0 ||
	    listen(fd, 64) != 0) {
		err_set(err, "%s: %s", sa->sun_path, strerror(errno));
		base_close(&fd);
	}
	umask(old);
	return fd;
}

int
parent_listen_stdio(const char *folder, unsigned index, struct err *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	if ((size_t)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/%u.sock",
	    folder, index) >= sizeof(sa.sun_path)) {
		err_set(err, "stdio: %s is too long for a socket's path",
		    folder);
		return -1;
	}
	if ((mkdir(folder, 0755) != 0 && errno != EEXIST) ||
	    chmod(folder, 0755) != 0) {
		err_set(err, "stdio: %s: %s", folder, strerror(errno));
		return -1;
	}
	return listen_at(&sa, 0666, err);
}

int
parent_listen_unix(const struct conf *c, const char *name, struct err *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd;

	if ((size_t)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/%s",
	    c->run_dir, name) >= sizeof(sa.sun_path)) {
		err_set(err, "run: %s is too long for a socket's path",
		    c->run_dir);
		return -1;
	}
	fd = listen_at(&sa, 0600, err);
	if (fd >= 0 && geteuid() == 0 && c->user != NULL) {
		struct passwd *pw = getpwnam(c->user);

		if (pw != NULL && chown(sa.sun_path, pw->pw_uid,
		    pw->pw_gid) != 0)
			log_warn("chown %s: %s", sa.sun_path, strerror(errno));
	}
	return fd;
}
