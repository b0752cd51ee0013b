/* connector_via - see connector_via.h. */
#include "connector_via.h"

#include <stdlib.h>

#include "pack.h"

static int
parse(const char *url, const char *credential, struct connector_via *v,
    struct err *err)
{
	struct http1_url u;
	enum http1_error e = http1_url_parse(slice_str(url), &u);
	size_t n = strlen(credential);

	if (e != HTTP1_E_NONE || u.scheme != HTTP1_HTTP ||
	    u.query.p != NULL || !(u.path.n == 0 || slice_is(u.path, "/"))) {
		err_set(err, "upstream_proxy: %s: http://HOST:PORT is wanted%s",
		    url, e != HTTP1_E_NONE ? ", without a user or password" :
		    "");
		return -1;
	}
	if (n > 64 || strspn(credential,
	    "abcdefghijklmnopqrstuvwxyz0123456789-") != n) {
		err_set(err, "upstream_proxy: credential: must be [a-z0-9-]; "
		    "its value, USER:PASSWORD, is stored with: portreeve "
		    "credential set NAME");
		return -1;
	}
	free(v->host);
	free(v->credential);
	v->host = base_strdup(u.authority.host);
	v->port = u.authority.port != 0 ? u.authority.port : 80;
	v->credential = base_strdup(credential);
	return 0;
}

int
connector_via_global(const struct conf *c, struct connector_via *v,
    struct err *err)
{
	free(v->host);
	free(v->credential);
	v->host = base_strdup("");
	v->credential = base_strdup("");
	return c->upstream_proxy == NULL ? 0 : parse(c->upstream_proxy,
	    c->upstream_proxy_credential == NULL ? "" :
	    c->upstream_proxy_credential, v, err);
}

int
connector_via_read(const struct yaml_doc *d, const struct yaml_node *root,
    const struct conf *conf, struct connector_via *v, struct err *err)
{
	static const char *const keys[] = { "url", "credential" };
	const struct yaml_node *n = yaml_get(root, "upstream_proxy");
	char *url = NULL, *credential = NULL;
	struct err why = { 0 };
	int r;

	if (connector_via_global(conf, v, err) != 0)
		return -1;
	if (n == NULL)
		return 0;
	if (n->type == YAML_SCALAR) {
		if (strcmp(n->text, "direct") != 0) {
			yaml_err(d, n, err, "upstream_proxy: must be `direct` "
			    "or { url: http://HOST:PORT, credential: NAME }");
			return -1;
		}
		v->host[0] = v->credential[0] = '\0';
		return 0;
	}
	r = yaml_check_keys(d, n, keys, ARRAY_LEN(keys), err) != 0 ||
	    yaml_get_str(d, n, "url", &url, err) != 0 ||
	    yaml_get_str(d, n, "credential", &credential, err) != 0 ? -1 : 0;
	if (r == 0 && parse(url == NULL ? "" : url, credential == NULL ? "" :
	    credential, v, &why) != 0) {
		yaml_err(d, n, err, "%s", why.text);
		r = -1;
	}
	free(url);
	free(credential);
	return r;
}

void
connector_via_pack(struct buf *b, const struct connector_via *v)
{
	pack_str(b, v->host);
	pack_u16(b, v->port);
	pack_str(b, v->credential);
}

void
connector_via_pack_credential(struct buf *b, const struct connector_via *v,
    uint32_t *n)
{
	if (v->credential[0] == '\0')
		return;
	pack_str(b, v->credential);
	pack_str(b, "basic");
	pack_str(b, "Proxy-Authorization");
	pack_str(b, "");
	pack_u32(b, 1);
	pack_str(b, CONNECTOR_VIA);
	*n += 1;
}
