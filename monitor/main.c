/*
 * main - portreeve-monitor: parent of the ledger's one writer, its reader, and
 * the detector.
 */
#include <stdio.h>

#include "detect.h"
#include "parent.h"
#include "roles.h"
#include "tz.h"

static void
equip_ledger(struct parent *p, unsigned index)
{
	(void)index;
	parent_give_dir(p, "state", "ledger");
}

static int
add_zone(const struct conf *c, struct snap_writer *w, struct err *err)
{
	struct buf b;
	int r;

	if (!c->hours.set)
		return 0;
	buf_init(&b, TZ_BYTES_MAX);
	r = tz_load(c->hours.zone, &b, err);
	if (r == 0)
		snap_add(w, "tz", buf_slice(&b));
	buf_free(&b);
	return r;
}

static int
compile(const struct conf *c, struct snap_writer *w, conf_warn_fn *warn,
    void *ctx, struct err *err)
{
	char dir[4096];
	struct buf b;
	int r;

	snprintf(dir, sizeof(dir), "%s/detection", c->rules_dir);
	buf_init(&b, 32u << 20);
	r = detect_compile_dir(dir, c->hours.set, &b, warn, ctx, err);
	if (r == 0)
		snap_add(w, "rules", buf_slice(&b));
	buf_free(&b);
	return r != 0 ? r : add_zone(c, w, err);
}

int
main(int argc, char **argv)
{
	static const struct parent_child_def children[] = {
		{ &recorder_role, NULL, equip_ledger },
		{ &reader_role, NULL, equip_ledger },
		{ &detector_role, NULL, NULL },
	};
	static const struct parent_def def = {
		.self = ROLE_MONITOR,
		.program = "portreeve-monitor",
		.children = children,
		.nchildren = ARRAY_LEN(children),
		.compile = compile,
	};

	return parent_main(&def, argc, argv);
}
