/*
 * compile - the gateway's sections: the catalogue, the packs, and what roles
 * need of the machine's files (trust store, resolv.conf, hosts), because they
 * open none themselves.
 */
#include "compile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "connector.h"
#include "inspect.h"
#include "redact.h"

#define SYSTEM_CAS "/etc/ssl/certs/ca-certificates.crt"
#define FILE_MAX (8u << 20)

static int
add_file(struct buf *b, const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		err_set(err, "%s: %s", path, strerror(errno));
		return -1;
	}
	for (;;) {
		char *p = buf_reserve(b, 16384);
		ssize_t k = p == NULL ? -1 : read(fd, p, 16384);

		if (k < 0) {
			err_set(err, "%s: %s", path, p == NULL ?
			    "larger than 8 MiB" : strerror(errno));
			close(fd);
			return -1;
		}
		if (k == 0)
			break;
		buf_commit(b, (size_t)k);
	}
	close(fd);
	return buf_add_char(b, '\n');
}

static int
add_trust(const struct conf *c, struct snap_writer *w, struct err *err)
{
	struct buf b;
	int r = 0;

	buf_init(&b, FILE_MAX);
	if (c->trust_system)
		r = add_file(&b, SYSTEM_CAS, err);
	for (size_t i = 0; r == 0 && i < c->ntrust_files; i++)
		r = add_file(&b, c->trust_files[i], err);
	if (r == 0)
		snap_add(w, "trust", buf_slice(&b));
	buf_free(&b);
	return r;
}

/* Absent is as good as empty: resolv.conf(5), hosts(5). */
static void
add_optional(struct snap_writer *w, const char *name, const char *path)
{
	struct err ignored = { 0 };
	struct buf b;

	buf_init(&b, FILE_MAX);
	if (add_file(&b, path, &ignored) != 0)
		buf_reset(&b);
	snap_add(w, name, buf_slice(&b));
	buf_free(&b);
}

/* b_r: the section, too; buf_free() it in any case. */
static int
add_pack(const struct conf *c, struct snap_writer *w, const char *name,
    int (*fn)(const char *, struct buf *, struct err *), struct buf *b_r,
    struct err *err)
{
	char dir[4096];
	int r;

	snprintf(dir, sizeof(dir), "%s/%s", c->rules_dir, name);
	buf_init(b_r, 32u << 20);
	r = fn(dir, b_r, err);
	if (r == 0)
		snap_add(w, name, buf_slice(b_r));
	return r;
}

/* Connectors name rules, so the rules come first. */
static int
add_catalogue(const struct conf *c, struct snap_writer *w,
    conf_warn_fn *warn, void *ctx, struct err *err)
{
	struct redact *rules = NULL;
	struct buf b;
	int r = -1;

	if (add_pack(c, w, "redaction", redact_compile, &b, err) == 0 &&
	    (rules = redact_load(buf_slice(&b), err)) != NULL)
		r = connector_compile(c, rules, w, warn, ctx, err);
	redact_free(rules);
	buf_free(&b);
	return r;
}

static int
add_injection(const struct conf *c, struct snap_writer *w, struct err *err)
{
	struct buf b;
	int r = add_pack(c, w, "injection", inspect_compile, &b, err);

	buf_free(&b);
	return r;
}

int
compile_gateway(const struct conf *c, struct snap_writer *w,
    conf_warn_fn *warn, void *ctx, struct err *err)
{
	if (add_catalogue(c, w, warn, ctx, err) != 0 ||
	    add_trust(c, w, err) != 0 || add_injection(c, w, err) != 0)
		return -1;
	add_optional(w, "resolv", "/etc/resolv.conf");
	add_optional(w, "hosts", "/etc/hosts");
	return 0;
}
