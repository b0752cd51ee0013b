/*
 * broker_floor - the mildest class that an operator may give to a tool: the
 * catalogue's floors (connector.h), what a method alone says.
 */
#include "gateway/broker_int.h"

#include "connector.h"

int
broker_mildest_class(const struct snap *snap, const char *connector,
    const char *tool)
{
	struct connector_set *set;
	struct connector *c;
	int mildest = CONF_READ_ONLY;

	if (snap == NULL || snap_section(snap, "connectors").p == NULL ||
	    (set = connector_load(snap)) == NULL)
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
