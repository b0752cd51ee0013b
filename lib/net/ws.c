/* ws - see ws.h. */
#include "ws.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "codec.h"
#include "rng.h"
#include "utf8.h"

#define PROTOCOLS_MAX 16

static const struct {
	unsigned code;
	const char *text;
} errors[] = {
#define E(sym, code, text) { code, text },
	WS_ERRORS(E)
#undef E
};

const char *
ws_error_text(enum ws_error e)
{
	return errors[e].text;
}

unsigned
ws_error_code(enum ws_error e)
{
	return errors[e].code;
}

/* --- the reader ------------------------------------------------------------ */

void
ws_reader_init(struct ws_reader *r, bool masked, size_t message)
{
	memset(r, 0, sizeof(*r));
	r->masked = masked;
	buf_init(&r->data, message);
}

void
ws_reader_free(struct ws_reader *r)
{
	buf_wipe_free(&r->data);
	explicit_bzero(r->control, sizeof(r->control));
}

size_t
ws_pending(const struct ws_reader *r)
{
	return r->given ? 0 : r->data.len;
}

static enum ws_event
fail(struct ws_reader *r, enum ws_error e)
{
	r->error = e;
	buf_wipe_free(&r->data);
	return WS_ERROR;
}

static bool
control(unsigned op)
{
	return op >= WS_OP_CLOSE;
}

/* What the first two bytes say. */
static enum ws_error
check_start(const struct ws_reader *r)
{
	unsigned op = r->hd[0] & 15, len = r->hd[1] & 127;
	bool fin = (r->hd[0] & 128) != 0, masked = (r->hd[1] & 128) != 0;

	if ((r->hd[0] & 0x70) != 0 || (op > WS_OP_BINARY &&
	    op < WS_OP_CLOSE) || op > WS_OP_PONG)
		return WS_E_RESERVED;
	if (masked != r->masked)
		return r->masked ? WS_E_UNMASKED : WS_E_MASKED;
	if (control(op))
		return fin && len <= WS_CONTROL ? WS_E_NONE : WS_E_CONTROL;
	if ((op == WS_OP_MORE) != (r->message_op != 0))
		return WS_E_ORDER;
	return r->frames >= WS_FRAMES ? WS_E_FRAMES : WS_E_NONE;
}

static size_t
length_bytes(const struct ws_reader *r)
{
	unsigned len = r->hd[1] & 127;

	return len == 126 ? 2 : len == 127 ? 8 : 0;
}

static enum ws_error
begin_frame(struct ws_reader *r)
{
	size_t n = length_bytes(r);
	uint64_t v = n == 0 ? r->hd[1] & 127 : 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | r->hd[2 + i];
	if ((n == 2 && v < 126) || (n == 8 && (v < 65536 || v >> 63 != 0)))
		return WS_E_LENGTH;
	r->op = r->hd[0] & 15;
	r->fin = (r->hd[0] & 128) != 0;
	r->left = v;
	r->at = 0;
	r->in_payload = true;
	r->hd_n = 0;
	memset(r->mask, 0, sizeof(r->mask));
	if (r->masked)
		memcpy(r->mask, r->hd + 2 + n, 4);
	r->control_n = 0;
	if (control(r->op))
		return WS_E_NONE;
	if (r->message_op == 0)
		r->message_op = r->op;
	r->frames++;
	return v > buf_room(&r->data) ? WS_E_LARGE : WS_E_NONE;
}

/* MORE: the head is not whole. */
static enum ws_event
read_head(struct ws_reader *r, struct slice *in)
{
	enum ws_error e;

	while (in->n > 0) {
		r->hd[r->hd_n++] = (uint8_t)in->p[0];
		*in = slice_sub(*in, 1, SIZE_MAX);
		if (r->hd_n < 2)
			continue;
		e = r->hd_n == 2 ? check_start(r) : WS_E_NONE;
		if (e == WS_E_NONE && r->hd_n == 2 + length_bytes(r) +
		    (r->masked ? 4 : 0)) {
			e = begin_frame(r);
			if (e == WS_E_NONE)
				return WS_TEXT;
		}
		if (e != WS_E_NONE)
			return fail(r, e);
	}
	return WS_MORE;
}

static void
unmask(struct ws_reader *r, char *p, size_t n)
{
	for (size_t i = 0; r->masked && i < n; i++)
		p[i] = (char)((uint8_t)p[i] ^ r->mask[(r->at + i) & 3]);
	r->at += n;
}

static void
read_payload(struct ws_reader *r, struct slice *in)
{
	size_t n = r->left < in->n ? (size_t)r->left : in->n;
	char *p;

	if (n == 0)
		return;
	if (control(r->op)) {
		p = (char *)r->control + r->control_n;
		memcpy(p, in->p, n);
		unmask(r, p, n);
		r->control_n += (unsigned)n;
	} else {
		p = buf_reserve(&r->data, n);
		ASSERT(p != NULL);	/* begin_frame() saw to it */
		memcpy(p, in->p, n);
		unmask(r, p, n);
		buf_commit(&r->data, n);
	}
	r->left -= n;
	*in = slice_sub(*in, n, SIZE_MAX);
}

static bool
utf8_ok(struct slice s)
{
	for (size_t i = 0; i < s.n;) {
		unsigned k = utf8_len(s.p + i, s.n - i);

		if (k == 0)
			return false;
		i += k;
	}
	return true;
}

/* RFC 6455, 7.4; 1012 to 1014 are registered since. */
static bool
code_ok(unsigned c)
{
	return (c >= 1000 && c <= 1003) || (c >= 1007 && c <= 1014) ||
	    (c >= 3000 && c <= 4999);
}

static enum ws_event
end_close(struct ws_reader *r, struct slice *data_r)
{
	struct slice s = slice_make(r->control, r->control_n);

	r->code = 1005;
	if (s.n == 1)
		return fail(r, WS_E_CLOSE);
	if (s.n >= 2) {
		r->code = (unsigned)r->control[0] << 8 | r->control[1];
		s = slice_sub(s, 2, SIZE_MAX);
		if (!code_ok(r->code))
			return fail(r, WS_E_CLOSE);
	}
	if (!utf8_ok(s))
		return fail(r, WS_E_UTF8);
	*data_r = s;
	return WS_CLOSE;
}

/* A frame is whole. MORE: its message is not. */
static enum ws_event
end_frame(struct ws_reader *r, struct slice *data_r)
{
	bool text = r->message_op == WS_OP_TEXT;

	r->in_payload = false;
	if (r->op == WS_OP_CLOSE)
		return end_close(r, data_r);
	if (control(r->op)) {
		*data_r = slice_make(r->control, r->control_n);
		return r->op == WS_OP_PING ? WS_PING : WS_PONG;
	}
	if (!r->fin)
		return WS_MORE;
	if (text && !utf8_ok(buf_slice(&r->data)))
		return fail(r, WS_E_UTF8);
	*data_r = buf_slice(&r->data);
	r->given = true;
	r->message_op = 0;
	r->frames = 0;
	return text ? WS_TEXT : WS_BINARY;
}

enum ws_event
ws_next(struct ws_reader *r, struct slice *in, struct slice *data_r)
{
	enum ws_event e;

	if (r->error != WS_E_NONE)
		return WS_ERROR;
	if (r->given) {		/* the message before has been used */
		buf_wipe_free(&r->data);
		r->given = false;
	}
	for (;;) {
		if (!r->in_payload && (e = read_head(r, in)) != WS_TEXT)
			return e;
		read_payload(r, in);
		if (r->left > 0)
			return WS_MORE;
		e = end_frame(r, data_r);
		if (e != WS_MORE)
			return e;
	}
}

/* --- the writer -------------------------------------------------------------- */

int
ws_write(struct buf *out, enum ws_op op, struct slice data, bool mask)
{
	uint8_t hd[14] = { (uint8_t)(0x80 | op), mask ? 0x80 : 0 }, key[4];
	size_t n = 2;
	char *p;

	if (data.n < 126) {
		hd[1] |= (uint8_t)data.n;
	} else {
		size_t bytes = data.n < 65536 ? 2 : 8;

		hd[1] |= bytes == 2 ? 126 : 127;
		for (size_t i = 0; i < bytes; i++)
			hd[n++] = (uint8_t)((uint64_t)data.n >>
			    8 * (bytes - 1 - i));
	}
	if (mask) {
		rng_bytes(key, sizeof(key));
		memcpy(hd + n, key, sizeof(key));
		n += sizeof(key);
	}
	p = buf_reserve(out, n + data.n);
	if (p == NULL)
		return -1;
	memcpy(p, hd, n);
	if (data.n > 0)
		memcpy(p + n, data.p, data.n);
	for (size_t i = 0; mask && i < data.n; i++)
		p[n + i] = (char)((uint8_t)p[n + i] ^ key[i & 3]);
	buf_commit(out, n + data.n);
	return 0;
}

int
ws_write_close(struct buf *out, unsigned code, const char *reason, bool mask)
{
	char p[WS_CONTROL] = { (char)(code >> 8), (char)code };
	size_t n = strlen(reason);

	if (code == 1005)
		return ws_write(out, WS_OP_CLOSE, SLICE(""), mask);
	if (n > sizeof(p) - 2)
		for (n = sizeof(p) - 2; n > 0 && utf8_cont(
		    (unsigned char)reason[n]); n--)
			;
	memcpy(p + 2, reason, n);
	return ws_write(out, WS_OP_CLOSE, slice_make(p, n + 2), mask);
}

/* --- the handshake -------------------------------------------------------------- */

static void
encode(const void *p, size_t n, char *out, size_t len)
{
	struct buf b;

	buf_init(&b, 64);
	b64_encode(&b, p, n);
	ASSERT(b.len == len - 1);
	memcpy(out, buf_data(&b), b.len);
	out[b.len] = '\0';
	buf_free(&b);
}

void
ws_key_new(char key[WS_KEY_LEN])
{
	uint8_t random[16];

	rng_bytes(random, sizeof(random));
	encode(random, sizeof(random), key, WS_KEY_LEN);
}

bool
ws_key_ok(struct slice key)
{
	struct buf b;
	bool ok;

	buf_init(&b, 64);
	ok = key.n == WS_KEY_LEN - 1 && b64_decode(&b, key) == 0 &&
	    b.len == 16;
	buf_free(&b);
	return ok;
}

void
ws_accept(struct slice key, char accept[WS_ACCEPT_LEN])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	unsigned char sha[EVP_MAX_MD_SIZE];
	char text[WS_KEY_LEN - 1 + sizeof(guid) - 1];
	unsigned n = 0;

	ASSERT(key.n == WS_KEY_LEN - 1);
	memcpy(text, key.p, key.n);
	memcpy(text + key.n, guid, sizeof(guid) - 1);
	ASSERT(EVP_Digest(text, sizeof(text), sha, &n, EVP_sha1(), NULL) == 1);
	encode(sha, n, accept, WS_ACCEPT_LEN);
}

static bool
token_ok(struct slice t)
{
	for (size_t i = 0; i < t.n; i++)
		if (t.p[i] <= ' ' || t.p[i] > '~' ||
		    strchr("()<>@,;:\\\"/[]?={}", t.p[i]) != NULL)
			return false;
	return t.n > 0 && t.n <= 128;
}

bool
ws_protocols_ok(struct slice list)
{
	struct slice rest = list;
	unsigned n = 0;

	while (rest.p != NULL) {
		struct slice one = slice_trim(slice_cut(&rest, ','));

		if (!token_ok(one) || ++n > PROTOCOLS_MAX ||
		    ws_protocols_have(rest, one))
			return false;
	}
	return n > 0;
}

bool
ws_protocols_have(struct slice list, struct slice one)
{
	while (list.p != NULL)
		if (slice_eq(slice_trim(slice_cut(&list, ',')), one))
			return true;
	return false;
}
