/* yaml_impl - what the two readers that make a yaml_doc share. */
#ifndef YAML_IMPL_H
#define YAML_IMPL_H

#include "arena.h"
#include "yaml.h"

#define YAML_DEPTH_MAX 64
#define YAML_NODES_MAX 1000000

struct doc {
	struct yaml_doc pub;
	struct arena *arena;		/* of all nodes; 256 MiB at most */
};

struct doc *yaml_doc_new(const char *file);

#endif
