/* main - portreeve-export: parent of one exporter a sink. */
#include "parent.h"
#include "roles.h"

static unsigned
sinks(const struct conf *c)
{
	return (unsigned)c->nsinks;
}

static void
equip(struct parent *p, unsigned index)
{
	(void)index;
	parent_give_dir(p, "export", "export");
}

int
main(int argc, char **argv)
{
	static const struct parent_child_def children[] = {
		{ &exporter_role, sinks, equip },
	};
	static const struct parent_def def = {
		.self = ROLE_EXPORT,
		.program = "portreeve-export",
		.children = children,
		.nchildren = ARRAY_LEN(children),
	};

	return parent_main(&def, argc, argv);
}
