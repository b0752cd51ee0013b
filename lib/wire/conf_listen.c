/* conf_listen - the section `listen` of the main file: which addresses, and
 * which balancers in front of them are believed. See conf_int.h. */
#include <arpa/inet.h>
#include <stdlib.h>

#include "conf_int.h"

#define FROM_MAX 64

/* "ip" or "ip/bits" with zero host bits. */
static bool
cidr_ok(const char *text)
{
	struct slice rest = slice_str(text), ip = slice_cut(&rest, '/');
	unsigned char bin[16];
	char s[64];
	uint64_t bits, all;

	if (ip.n >= sizeof(s))
		return false;
	memcpy(s, ip.p, ip.n);
	s[ip.n] = '\0';
	all = inet_pton(AF_INET, s, bin) == 1 ? 32 :
	    inet_pton(AF_INET6, s, bin) == 1 ? 128 : 0;
	if (all == 0)
		return false;
	if (rest.p == NULL)
		return true;
	if (!slice_to_u64(rest, &bits) || bits > all)
		return false;
	for (uint64_t i = bits; i < all; i++)
		if (bin[i / 8] & (0x80u >> (i % 8)))
			return false;
	return true;
}

int
conf_read_proxy_protocol(const struct yaml_doc *d, const struct yaml_node *v,
    struct conf_listener *l, struct err *err)
{
	static const char *const keys[] = { "from" };
	const struct yaml_node *m = yaml_get(v, "proxy_protocol"), *list;

	if (m == NULL)
		return 0;
	if (yaml_check_keys(d, m, keys, ARRAY_LEN(keys), err) != 0)
		return -1;
	list = yaml_get(m, "from");
	if (list == NULL || list->type != YAML_SEQ || list->n == 0 ||
	    list->n > FROM_MAX) {
		yaml_err(d, list == NULL ? m : list, err, "`proxy_protocol` "
		    "needs `from`: 1 to %d addresses or networks of the "
		    "balancers that are believed", FROM_MAX);
		return -1;
	}
	l->from = base_calloc(list->n, sizeof(*l->from));
	for (size_t i = 0; i < list->n; i++) {
		const struct yaml_node *n = list->items[i];

		if (n->type != YAML_SCALAR || !cidr_ok(n->text)) {
			yaml_err(d, n, err, "`from` holds addresses and "
			    "networks like 10.1.2.3 and 10.0.0.0/8");
			return -1;
		}
		l->from[l->nfrom++] = base_strdup(n->text);
	}
	return 0;
}

void
conf_listener_clear(struct conf_listener *l)
{
	for (size_t i = 0; i < l->nfrom; i++)
		free(l->from[i]);
	free(l->from);
	free(l->address);
}
