/* pac - see pac.h. */
#include "pac.h"

#include "jsonw.h"

/* JSON strings are ECMAScript's as well. */
static void
add_string(struct buf *out, const char *s)
{
	buf_add_char(out, '"');
	jsonw_escape(out, slice_str(s));
	buf_add_char(out, '"');
}

int
pac_write(const struct connector_set *set, const char *proxy,
    struct buf *out)
{
	buf_add_str(out, "// Portreeve: hosts of the catalogue go through the"
	    " proxy.\nvar proxy = \"PROXY \" + ");
	add_string(out, proxy);
	buf_add_str(out, ";\nvar hosts = {\n");
	for (size_t i = 0; i < set->n; i++)
		for (size_t k = 0; k < set->v[i].nhosts; k++) {
			buf_add_str(out, "\t");
			add_string(out, set->v[i].hosts[k].host);
			buf_add_str(out, ": 1,\n");
		}
	buf_add_str(out, "\t\"" CONNECTOR_SELF_HOST "\": 1\n};\n\n"
	    "function FindProxyForURL(url, host) {\n"
	    "\thost = host.toLowerCase();\n"
	    "\tif (host.charAt(host.length - 1) === \".\")\n"
	    "\t\thost = host.substring(0, host.length - 1);\n"
	    "\tif (host.charAt(0) === \"[\")\n"
	    "\t\thost = host.substring(1, host.length - 1);\n"
	    "\treturn Object.prototype.hasOwnProperty.call(hosts, host) ?"
	    " proxy : \"DIRECT\";\n}\n");
	return out->full ? -1 : 0;
}
