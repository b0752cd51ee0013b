/* portreeve-export - one exporter a sink, and the parent that starts them. */
#include <string.h>

#include "exporter.h"
#include "file.h"
#include "parent.h"

#define SYSTEM_FILE_MAX (1u << 20)

static unsigned
count_sinks(const struct conf *c)
{
	return (unsigned)c->nsinks;
}

static void
equip(struct parent *p, unsigned index)
{
	(void)index;
	parent_give_dir(p, "export", "export");
}

/* For the resolver of syslog sinks, which opens no file. */
static int
compile(const struct conf *c, struct snap_writer *w, conf_warn_fn *warn,
    void *ctx, struct err *err)
{
	static const struct { const char *section, *path; } files[] = {
		{ "resolv.conf", "/etc/resolv.conf" },
		{ "hosts", "/etc/hosts" },
	};

	(void)c;
	(void)err;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		struct err e = { 0 };
		struct buf b;

		buf_init(&b, SYSTEM_FILE_MAX);
		if (file_read(files[i].path, &b, &e) == 0)
			snap_add(w, files[i].section, buf_slice(&b));
		else
			warn(ctx, e.text);
		buf_free(&b);
	}
	return 0;
}

static const struct parent_child_def children[] = {
	{ .def = &exporter_role, .count = count_sinks, .equip = equip },
};

static const struct parent_def def = {
	.self = ROLE_EXPORT,
	.program = "portreeve-export",
	.children = children,
	.nchildren = ARRAY_LEN(children),
	.compile = compile,
};

int
main(int argc, char **argv)
{
	return parent_main(&def, argc, argv);
}
