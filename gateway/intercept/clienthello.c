/* clienthello - see clienthello.h. */
#include "clienthello.h"

#define REC_HANDSHAKE 22
#define REC_MAX 16384		/* RFC 8446, 5.1: 2^14 */
#define REC_HEAD 5
#define HS_CLIENT_HELLO 1
#define HS_HEAD 4

enum { EXT_SERVER_NAME = 0, EXT_ALPN = 16, EXT_EARLY_DATA = 42,
	EXT_VERSIONS = 43, EXT_ECH = 0xfe0d };

/* A cursor that never passes its end; after the first short read it is bad
 * and gives zeroes. */
struct rd {
	const uint8_t *p;
	size_t n;
	bool bad;
};

static unsigned
rd_uint(struct rd *r, size_t bytes)
{
	unsigned v = 0;

	if (r->n < bytes) {
		r->bad = true;
		r->n = 0;
		return 0;
	}
	for (size_t i = 0; i < bytes; i++)
		v = v << 8 | r->p[i];
	r->p += bytes;
	r->n -= bytes;
	return v;
}

/* The vector behind a length of so many bytes. */
static struct rd
rd_vec(struct rd *r, size_t len_bytes)
{
	size_t n = rd_uint(r, len_bytes);
	struct rd v = { r->p, n, false };

	if (n > r->n) {
		r->bad = true;
		r->n = 0;
		return (struct rd){ r->p, 0, true };
	}
	r->p += n;
	r->n -= n;
	return v;
}

static const char *
read_sni(struct clienthello *ch, struct rd x)
{
	struct rd list = rd_vec(&x, 2), name;
	unsigned type;

	type = rd_uint(&list, 1);
	name = rd_vec(&list, 2);
	/* RFC 6066: one name of each type; host_name is the only one. */
	if (x.bad || list.bad || x.n != 0 || list.n != 0 || type != 0)
		return "server_name is malformed";
	if (!addr_host_normalise(slice_make(name.p, name.n), ch->sni))
		return "server_name is no host name";
	return NULL;
}

static const char *
read_alpn(struct clienthello *ch, struct rd x)
{
	struct rd list = rd_vec(&x, 2);

	if (x.bad || x.n != 0 || list.n == 0)
		return "ALPN is malformed";
	ch->has_alpn = true;
	while (list.n > 0) {
		struct rd p = rd_vec(&list, 1);
		struct slice s = slice_make(p.p, p.n);

		if (list.bad || p.n == 0)
			return "ALPN is malformed";
		ch->offers_h1 |= slice_is(s, "http/1.1");
		ch->offers_h2 |= slice_is(s, "h2");
	}
	return NULL;
}

/* RFC 8701: 0x0A0A, 0x1A1A, ... */
static bool
is_grease(unsigned v)
{
	return (v & 0x0f0f) == 0x0a0a && v >> 8 == (v & 0xff);
}

static const char *
read_versions(struct clienthello *ch, struct rd x)
{
	struct rd list = rd_vec(&x, 1);

	if (x.bad || x.n != 0 || list.n == 0 || list.n % 2 != 0)
		return "supported_versions is malformed";
	while (list.n > 0) {
		unsigned v = rd_uint(&list, 2);

		if (!is_grease(v) && ch->nversions < CLIENTHELLO_VERSIONS)
			ch->versions[ch->nversions++] = (uint16_t)v;
	}
	return NULL;
}

static const char *
read_extension(struct clienthello *ch, unsigned type, struct rd x)
{
	switch (type) {
	case EXT_SERVER_NAME:
		return read_sni(ch, x);
	case EXT_ALPN:
		return read_alpn(ch, x);
	case EXT_VERSIONS:
		return read_versions(ch, x);
	case EXT_EARLY_DATA:
		ch->has_early_data = true;
		return NULL;
	case EXT_ECH:
		ch->has_ech = true;
		return NULL;
	default:
		return NULL;
	}
}

/* Of the extensions we read, none may come twice (RFC 8446, 4.2). */
static bool
seen_before(unsigned type, unsigned *seen)
{
	static const unsigned ours[] = { EXT_SERVER_NAME, EXT_ALPN,
		EXT_VERSIONS, EXT_EARLY_DATA, EXT_ECH };

	for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
		if (ours[i] != type)
			continue;
		if (*seen & 1u << i)
			return true;
		*seen |= 1u << i;
	}
	return false;
}

static const char *
read_extensions(struct clienthello *ch, struct rd *m)
{
	unsigned seen = 0;
	struct rd list = rd_vec(m, 2);

	if (m->bad || m->n != 0)
		return "extensions do not end where the message ends";
	ch->extensions = slice_make(list.p, list.n);
	while (list.n > 0) {
		unsigned type = rd_uint(&list, 2);
		struct rd x = rd_vec(&list, 2);
		const char *why;

		if (list.bad)
			return "an extension is cut short";
		if (seen_before(type, &seen))
			return "an extension comes twice";
		if ((why = read_extension(ch, type, x)) != NULL)
			return why;
	}
	return NULL;
}

static const char *
read_message(struct clienthello *ch, struct rd m)
{
	struct rd sid, suites, comp;

	ch->legacy_version = (uint16_t)rd_uint(&m, 2);
	for (int i = 0; i < 8; i++)
		(void)rd_uint(&m, 4);	/* random */
	sid = rd_vec(&m, 1);
	suites = rd_vec(&m, 2);
	comp = rd_vec(&m, 1);
	if (m.bad || sid.n > 32 || suites.n < 2 || suites.n % 2 != 0 ||
	    comp.n == 0)
		return "session id, cipher suites or compression malformed";
	if (ch->legacy_version >> 8 != 3)
		return "legacy_version is not 3.x";
	ch->suites = slice_make(suites.p, suites.n);
	return m.n == 0 ? NULL : read_extensions(ch, &m);
}

static enum clienthello_status
is_tls(struct slice in)
{
	const uint8_t *p = (const uint8_t *)in.p;

	if (in.n >= 1 && p[0] != REC_HANDSHAKE)
		return CLIENTHELLO_NOT_TLS;
	if (in.n >= 2 && p[1] != 3)
		return CLIENTHELLO_NOT_TLS;
	return CLIENTHELLO_DONE;
}

static const char *
check_head(const uint8_t *m, size_t have, size_t *want_r)
{
	if (have >= 1 && m[0] != HS_CLIENT_HELLO)
		return "the first message is no ClientHello";
	if (have < HS_HEAD)
		return NULL;
	*want_r = HS_HEAD + ((size_t)m[1] << 16 | (size_t)m[2] << 8 | m[3]);
	if (*want_r > HS_HEAD + CLIENTHELLO_MAX)
		return "longer than 16384 bytes";
	return NULL;
}

/* Takes the handshake message out of its records into scratch. */
static enum clienthello_status
join(struct slice in, uint8_t *scratch, struct rd *m_r, const char **why_r)
{
	struct rd r = { (const uint8_t *)in.p, in.n, false };
	size_t have = 0, want = SIZE_MAX;

	for (unsigned i = 0; i < CLIENTHELLO_RECORDS; i++) {
		if (r.n < REC_HEAD)
			return CLIENTHELLO_MORE;
		unsigned type = rd_uint(&r, 1);
		unsigned major = rd_uint(&r, 2) >> 8;
		size_t len = rd_uint(&r, 2);

		if (type != REC_HANDSHAKE || major != 3 || len == 0 ||
		    len > REC_MAX) {
			*why_r = "a record is malformed";
			return CLIENTHELLO_ERROR;
		}
		size_t k = len < r.n ? len : r.n;

		if (k > HS_HEAD + CLIENTHELLO_MAX - have)
			k = HS_HEAD + CLIENTHELLO_MAX - have;
		memcpy(scratch + have, r.p, k);
		if ((*why_r = check_head(scratch, have + k, &want)) != NULL)
			return CLIENTHELLO_ERROR;
		if (want != SIZE_MAX && have + len > want) {
			*why_r = "more follows in the same record";
			return CLIENTHELLO_ERROR;
		}
		if (r.n < len)
			return CLIENTHELLO_MORE;
		have += len;	/* all of it was copied: have <= want */
		if (have == want) {
			*m_r = (struct rd){ scratch + HS_HEAD, want - HS_HEAD,
				false };
			return CLIENTHELLO_DONE;
		}
		r.p += len;
		r.n -= len;
	}
	*why_r = "cut into too many records";
	return CLIENTHELLO_ERROR;
}

enum clienthello_status
clienthello_read(struct slice in, struct clienthello *ch, const char **why_r)
{
	enum clienthello_status st = is_tls(in);
	struct rd m = { 0 };
	const char *why;

	if (st != CLIENTHELLO_DONE)
		return st;
	if ((st = join(in, ch->scratch, &m, why_r)) != CLIENTHELLO_DONE)
		return st;
	memset(ch, 0, offsetof(struct clienthello, scratch));
	if ((why = read_message(ch, m)) != NULL) {
		*why_r = why;
		return CLIENTHELLO_ERROR;
	}
	if (ch->nversions == 0)
		ch->versions[ch->nversions++] = ch->legacy_version;
	return CLIENTHELLO_DONE;
}
