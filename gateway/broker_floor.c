/*
 * broker_floor - what the catalogue (connectors.d) says about a tool: the
 * mildest class that an operator may give to it, and the class that a file
 * has given to it already.
 */
#include "gateway/broker_int.h"

#include "connector.h"

struct connector_set *
broker_catalogue(const struct snap *snap)
{
	if (snap == NULL || snap_section(snap, "connectors").p == NULL)
		return NULL;
	return connector_load(snap);
}

int
broker_filed_class(const struct connector_set *set, const char *connector,
    const char *tool)
{
	const struct connector *c = set == NULL ? NULL :
	    connector_named(set, slice_str(connector));
	const struct connector_tool *t = c == NULL ? NULL :
	    connector_tool(c, slice_str(tool));

	return t != NULL && t->classified ? (int)t->klass : -1;
}

int
broker_mildest_class(const struct snap *snap, const char *connector,
    const char *tool)
{
	struct connector_set *set = broker_catalogue(snap);
	struct connector *c;
	int mildest = CONF_READ_ONLY;

	if (set == NULL)
		return mildest;
	if ((c = connector_named(set, slice_str(connector))) != NULL) {
		for (size_t i = 0; i < c->noperations; i++) {
			const char *m = c->operations[i].method;

			if (strcmp(c->operations[i].name, tool) != 0)
				continue;
			if (strcmp(m, "DELETE") == 0)
				mildest = CONF_DANGEROUS;
			else if (strcmp(m, "GET") != 0 &&
			    strcmp(m, "HEAD") != 0 &&
			    strcmp(m, "OPTIONS") != 0)
				mildest = CONF_MODERATE;
		}
	}
	connector_set_free(set);
	return mildest;
}
