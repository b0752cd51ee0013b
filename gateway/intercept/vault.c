/* vault - see vault.h. */
#include "vault.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ca.h"
#include "codec.h"
#include "pack.h"
#include "rng.h"

#define KEY_FILE "keeper.key"
#define SEALED_FILE "keeper.sealed"
#define CA_FILE "ca.pem"
#define PUB_FILE "ledger.pub"
#define KEY_LEN 32
#define MAGIC "PRVAULT1"
#define MAGIC_LEN 8
#define NONCE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG crypto_aead_xchacha20poly1305_ietf_ABYTES
#define FILE_MAX (64u << 20)
#define VERSION 1

struct blob {
	char *p;
	size_t n;
};

struct vault {
	int dirfd, lockfd;
	struct secret *file_key, *root_wrap;	/* derived from keeper.key */
	char node[64];
	struct secret *seed, *mac_key, *inter_key;
	struct blob root_sealed, root_cert, inter_cert;
	uint8_t digest[32];
	struct vault_cred **creds;	/* sorted */
	size_t ncreds, cap;
};

static void
blob_set(struct blob *b, struct slice s)
{
	char *p = slice_dup(s);

	free(b->p);
	b->p = p;
	b->n = s.n;
}

static struct slice
blob_slice(const struct blob *b)
{
	return slice_make(b->p == NULL ? "" : b->p, b->n);
}

static void
cred_free(struct vault_cred *c)
{
	if (c == NULL)
		return;
	secret_free(c->value);
	free(c);
}

void
vault_free(struct vault *v)
{
	if (v == NULL)
		return;
	for (size_t i = 0; i < v->ncreds; i++)
		cred_free(v->creds[i]);
	free(v->creds);
	secret_free(v->file_key);
	secret_free(v->root_wrap);
	secret_free(v->seed);
	secret_free(v->mac_key);
	secret_free(v->inter_key);
	free(v->root_sealed.p);
	free(v->root_cert.p);
	free(v->inter_cert.p);
	base_close(&v->lockfd);
	free(v);
}

/* ---- files ---- */

static int
write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t k = write(fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return -1;
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

/* Whole and durable, or not at all. */
static int
file_replace(int dirfd, const char *name, struct slice content, mode_t mode,
    struct err *err)
{
	char tmp[64];
	int fd, r = -1;

	snprintf(tmp, sizeof(tmp), "%s.tmp", name);
	fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC |
	    O_NOFOLLOW, mode);
	if (fd >= 0 && fchmod(fd, mode) == 0 &&
	    write_all(fd, content.p, content.n) == 0 && fsync(fd) == 0 &&
	    renameat(dirfd, tmp, dirfd, name) == 0 && fsync(dirfd) == 0)
		r = 0;
	if (r != 0)
		err_set(err, "%s in the state directory: cannot be written: "
		    "%s", name, strerror(errno));
	base_close(&fd);
	return r;
}

/* 1: read; 0: there is none; -1: err. The content is a secret. */
static int
file_read(int dirfd, const char *name, struct secret **r_r, struct stat *st,
    struct err *err)
{
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	unsigned char *p = NULL;
	size_t got = 0;
	int r = -1;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, st) != 0)
		goto bad;
	errno = S_ISREG(st->st_mode) ? EFBIG : EINVAL;
	if (!S_ISREG(st->st_mode) || st->st_size > (off_t)FILE_MAX)
		goto bad;
	p = base_calloc(1, (size_t)st->st_size + 1);
	while (got < (size_t)st->st_size) {
		ssize_t k = read(fd, p + got, (size_t)st->st_size - got);

		if (k < 0 && errno == EINTR)
			continue;
		if (k == 0)
			errno = EIO;
		if (k <= 0)
			goto bad;
		got += (size_t)k;
	}
	*r_r = secret_new(p, got);
	r = 1;
bad:
	if (r < 0)
		err_set(err, "%s in the state directory: cannot be read: %s",
		    name, strerror(errno));
	if (p != NULL)
		explicit_bzero(p, got);
	free(p);
	base_close(&fd);
	return r;
}

static bool
file_exists(int dirfd, const char *name)
{
	struct stat st;

	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- the key ---- */

static struct secret *
derive(const struct secret *kek, uint64_t id)
{
	unsigned char k[KEY_LEN];
	struct secret *s;

	crypto_kdf_derive_from_key(k, sizeof(k), id, "prvault_",
	    (const unsigned char *)secret_bytes(kek).p);
	s = secret_new(k, sizeof(k));
	explicit_bzero(k, sizeof(k));
	return s;
}

static int
make_key(struct vault *v, struct secret **kek_r, struct err *err)
{
	struct secret *kek = secret_random(KEY_LEN);

	if (file_replace(v->dirfd, KEY_FILE, secret_bytes(kek), 0600, err) !=
	    0) {
		secret_free(kek);
		return -1;
	}
	*kek_r = kek;
	return 0;
}

/* The key that the operator keeps elsewhere: never made, never copied. */
static int
read_given(const struct vault *v, int keyfd, struct secret **kek_r,
    struct err *err)
{
	unsigned char k[KEY_LEN + 1];
	ssize_t n;

	if (file_exists(v->dirfd, KEY_FILE)) {
		err_set(err, KEY_FILE " is still in the state directory "
		    "although keeper_key names another place: move it there");
		return -1;
	}
	do
		n = pread(keyfd, k, sizeof(k), 0);
	while (n < 0 && errno == EINTR);
	if (n == KEY_LEN)
		*kek_r = secret_new(k, KEY_LEN);
	else
		err_set(err, "keeper_key: %s", n < 0 ? strerror(errno) :
		    "it must hold 32 bytes");
	explicit_bzero(k, sizeof(k));
	return n == KEY_LEN ? 0 : -1;
}

static void
use_key(struct vault *v, struct secret *kek)
{
	v->file_key = derive(kek, 1);
	v->root_wrap = derive(kek, 2);
	secret_free(kek);
}

/* A start that is not the first must never make a key: it would hide that
 * the old one is lost. */
static int
load_key(struct vault *v, bool first, struct err *err)
{
	struct secret *kek = NULL;
	struct stat st;
	int r = file_read(v->dirfd, KEY_FILE, &kek, &st, err);

	if (r < 0)
		return -1;
	if (r == 0 && !first) {
		err_set(err, KEY_FILE " is missing from the state directory "
		    "but " SEALED_FILE " is there: restore the key from a "
		    "backup; without it the vault cannot be opened");
		return -1;
	}
	if (r == 0 && make_key(v, &kek, err) != 0)
		return -1;
	if (r == 1 && ((st.st_mode & 077) != 0 ||
	    secret_bytes(kek).n != KEY_LEN)) {
		err_set(err, KEY_FILE ": %s", (st.st_mode & 077) != 0 ?
		    "others may read it: its mode must be 0600" :
		    "it must hold 32 bytes");
		secret_free(kek);
		return -1;
	}
	use_key(v, kek);
	return 0;
}

/* nonce + ciphertext to out. */
static void
seal(struct buf *out, const struct secret *key, struct slice plain,
    const char *ad)
{
	unsigned char nonce[NONCE];
	unsigned long long n;
	char *p;

	randombytes_buf(nonce, sizeof(nonce));
	buf_add(out, nonce, sizeof(nonce));
	p = buf_reserve(out, plain.n + TAG);
	ASSERT(p != NULL);
	crypto_aead_xchacha20poly1305_ietf_encrypt((unsigned char *)p, &n,
	    (const unsigned char *)plain.p, plain.n,
	    (const unsigned char *)ad, strlen(ad), NULL, nonce,
	    (const unsigned char *)secret_bytes(key).p);
	buf_commit(out, (size_t)n);
}

static struct secret *
unseal(const struct secret *key, struct slice sealed, const char *ad)
{
	struct secret *s = NULL;
	unsigned long long n;
	unsigned char *p;

	if (sealed.n < NONCE + TAG)
		return NULL;
	p = base_calloc(1, sealed.n);
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(p, &n, NULL,
	    (const unsigned char *)sealed.p + NONCE, sealed.n - NONCE,
	    (const unsigned char *)ad, strlen(ad),
	    (const unsigned char *)sealed.p,
	    (const unsigned char *)secret_bytes(key).p) == 0)
		s = secret_new(p, (size_t)n);
	explicit_bzero(p, sealed.n);
	free(p);
	return s;
}

/* ---- content ---- */

static size_t
content_size(const struct vault *v)
{
	size_t n = 1024 + secret_bytes(v->inter_key).n + v->root_sealed.n +
	    v->root_cert.n + v->inter_cert.n;

	for (size_t i = 0; i < v->ncreds; i++)
		n += 32 + VAULT_NAME_MAX + secret_bytes(v->creds[i]->value).n;
	return n;
}

static void
content_pack(const struct vault *v, struct buf *b)
{
	pack_u32(b, VERSION);
	pack_str(b, v->node);
	pack_bytes(b, secret_bytes(v->seed).p, KEY_LEN);
	pack_bytes(b, secret_bytes(v->mac_key).p, KEY_LEN);
	pack_slice(b, blob_slice(&v->root_sealed));
	pack_slice(b, blob_slice(&v->root_cert));
	pack_slice(b, secret_bytes(v->inter_key));
	pack_slice(b, blob_slice(&v->inter_cert));
	pack_bytes(b, v->digest, sizeof(v->digest));
	pack_u32(b, (uint32_t)v->ncreds);
	for (size_t i = 0; i < v->ncreds; i++) {
		pack_str(b, v->creds[i]->name);
		pack_i64(b, v->creds[i]->set_ms);
		pack_slice(b, secret_bytes(v->creds[i]->value));
	}
}

static int
save(const struct vault *v, struct err *err)
{
	size_t size = content_size(v);
	struct buf plain, out;
	int r = -1;

	/* Reserved at once: growing would leave copies behind. */
	buf_init(&plain, size);
	ASSERT(buf_reserve(&plain, size) != NULL);
	content_pack(v, &plain);
	ASSERT(!plain.full);
	buf_init(&out, size + MAGIC_LEN + NONCE + TAG);
	buf_add_str(&out, MAGIC);
	seal(&out, v->file_key, buf_slice(&plain), MAGIC);
	buf_wipe_free(&plain);
	if (out.len > FILE_MAX)
		err_set(err, "the vault is full");
	else
		r = file_replace(v->dirfd, SEALED_FILE, buf_slice(&out), 0600,
		    err);
	buf_free(&out);
	return r;
}

static struct secret *
unpack_secret(struct unpack *u, size_t n)
{
	struct slice s = slice_make(u->p, n);

	if (u->bad || u->n < n) {
		u->bad = true;
		return secret_new("", 0);
	}
	u->p += n;
	u->n -= n;
	return secret_new(s.p, s.n);
}

static void
cred_insert(struct vault *v, size_t at, struct vault_cred *c)
{
	if (v->ncreds == v->cap) {
		v->cap = v->cap == 0 ? 16 : v->cap * 2;
		v->creds = base_realloc(v->creds, v->cap * sizeof(*v->creds));
	}
	memmove(v->creds + at + 1, v->creds + at,
	    (v->ncreds - at) * sizeof(*v->creds));
	v->creds[at] = c;
	v->ncreds++;
}

static struct vault_cred *
cred_new(struct slice name, struct secret *value, int64_t ms)
{
	struct vault_cred *c = base_calloc(1, sizeof(*c));

	memcpy(c->name, name.p, name.n);
	c->value = value;
	c->set_ms = ms;
	return c;
}

static bool
content_unpack(struct vault *v, struct slice plain)
{
	struct unpack u;

	unpack_init(&u, plain);
	if (unpack_u32(&u) != VERSION)
		return false;
	struct slice node = unpack_slice(&u);

	v->seed = unpack_secret(&u, KEY_LEN);
	v->mac_key = unpack_secret(&u, KEY_LEN);
	blob_set(&v->root_sealed, unpack_slice(&u));
	blob_set(&v->root_cert, unpack_slice(&u));
	struct slice ik = unpack_slice(&u);

	v->inter_key = secret_new(ik.p, ik.n);
	blob_set(&v->inter_cert, unpack_slice(&u));
	unpack_bytes(&u, v->digest, sizeof(v->digest));
	uint32_t n = unpack_count(&u, 16);

	for (uint32_t i = 0; i < n && i < VAULT_CREDS_MAX && !u.bad; i++) {
		struct slice name = unpack_slice(&u);
		int64_t ms = unpack_i64(&u);
		struct slice value = unpack_slice(&u);

		if (!vault_name_ok(name))
			return false;
		cred_insert(v, v->ncreds, cred_new(name, secret_new(value.p,
		    value.n), ms));
	}
	if (!unpack_done(&u) || node.n == 0 || node.n >= sizeof(v->node))
		return false;
	memcpy(v->node, node.p, node.n);
	return true;
}

/* ---- opening ---- */

/* First start: all keys, at once, and only here. */
static int
create(struct vault *v, struct err *err)
{
	struct secret *root = NULL;
	struct buf cert, sealed;

	snprintf(v->node, sizeof(v->node), "portreeve-%08x",
	    (unsigned)rng_u64());
	v->seed = secret_random(KEY_LEN);
	v->mac_key = secret_random(KEY_LEN);
	v->inter_key = secret_new("", 0);
	buf_init(&cert, CA_CERT_MAX);
	buf_init(&sealed, CA_CERT_MAX);
	ca_root_new(v->node, &root, &cert);
	seal(&sealed, v->root_wrap, secret_bytes(root), "root");
	secret_free(root);
	blob_set(&v->root_sealed, buf_slice(&sealed));
	blob_set(&v->root_cert, buf_slice(&cert));
	buf_free(&cert);
	buf_free(&sealed);
	return save(v, err);
}

static int
open_sealed(struct vault *v, const struct secret *file, struct err *err)
{
	struct slice s = secret_bytes(file);
	struct secret *plain;
	bool ok;

	if (!slice_starts(s, MAGIC)) {
		err_set(err, SEALED_FILE ": not a vault of this version");
		return -1;
	}
	plain = unseal(v->file_key, slice_sub(s, MAGIC_LEN, s.n), MAGIC);
	if (plain == NULL) {
		err_set(err, SEALED_FILE " does not open with " KEY_FILE
		    ": one of them was changed or comes from another "
		    "backup; restore both together");
		return -1;
	}
	ok = content_unpack(v, secret_bytes(plain));
	secret_free(plain);
	if (!ok)
		err_set(err, SEALED_FILE ": its content is malformed");
	return ok ? 0 : -1;
}

static int
lock(struct vault *v, struct err *err)
{
	v->lockfd = openat(v->dirfd, "keeper.lock", O_RDWR | O_CREAT |
	    O_CLOEXEC | O_NOFOLLOW, 0600);
	if (v->lockfd >= 0 && flock(v->lockfd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	err_set(err, "state directory: %s", v->lockfd >= 0 && errno ==
	    EWOULDBLOCK ? "another keeper uses it" : strerror(errno));
	return -1;
}

struct vault *
vault_open(int dirfd, int keyfd, struct err *err)
{
	struct secret *kek = NULL;
	struct vault *v = base_calloc(1, sizeof(*v));
	struct secret *file = NULL;
	struct stat st;
	int r = -1, there;

	ASSERT(sodium_init() >= 0);
	v->dirfd = dirfd;
	v->lockfd = -1;
	if (lock(v, err) != 0 ||
	    (there = file_read(dirfd, SEALED_FILE, &file, &st, err)) < 0)
		goto out;
	if (there == 0 && file_exists(dirfd, CA_FILE)) {
		err_set(err, SEALED_FILE " is missing from the state "
		    "directory but " CA_FILE " is there: restore it from a "
		    "backup, or remove " CA_FILE " and " PUB_FILE " to begin "
		    "anew with another authority");
		goto out;
	}
	if (keyfd >= 0) {
		if (read_given(v, keyfd, &kek, err) != 0)
			goto out;
		use_key(v, kek);
	} else if (load_key(v, there == 0, err) != 0) {
		goto out;
	}
	r = there == 0 ? create(v, err) : open_sealed(v, file, err);
out:
	secret_free(file);
	if (r == 0)
		return v;
	vault_free(v);
	return NULL;
}

static int
publish_one(struct vault *v, const char *name, struct slice want,
    struct err *err)
{
	struct secret *now = NULL;
	struct stat st;
	int r = file_read(v->dirfd, name, &now, &st, err);
	bool same = r == 1 && slice_eq(secret_bytes(now), want);

	secret_free(now);
	if (r < 0)
		return -1;
	return same ? 0 : file_replace(v->dirfd, name, want, 0644, err);
}

int
vault_publish(struct vault *v, struct slice vkey, struct err *err)
{
	struct buf b;
	int r;

	buf_init(&b, 2 * CA_CERT_MAX);
	buf_add_slice(&b, vkey);
	buf_add_char(&b, '\n');
	r = publish_one(v, PUB_FILE, buf_slice(&b), err);
	buf_reset(&b);
	ca_pem(&b, blob_slice(&v->root_cert));
	if (r == 0)
		r = publish_one(v, CA_FILE, buf_slice(&b), err);
	buf_free(&b);
	return r;
}

/* ---- what is in it ---- */

const char *
vault_node(const struct vault *v)
{
	return v->node;
}

struct slice
vault_ledger_seed(const struct vault *v)
{
	return secret_bytes(v->seed);
}

struct slice
vault_mac_key(const struct vault *v)
{
	return secret_bytes(v->mac_key);
}

struct slice
vault_root_cert(const struct vault *v)
{
	return blob_slice(&v->root_cert);
}

struct slice
vault_intermediate_key(const struct vault *v)
{
	return secret_bytes(v->inter_key);
}

struct slice
vault_intermediate_cert(const struct vault *v)
{
	return blob_slice(&v->inter_cert);
}

const uint8_t *
vault_intermediate_digest(const struct vault *v)
{
	return v->digest;
}

struct secret *
vault_open_root(const struct vault *v, struct err *err)
{
	struct secret *s = unseal(v->root_wrap, blob_slice(&v->root_sealed),
	    "root");

	if (s == NULL)
		err_set(err, SEALED_FILE ": the root key does not open");
	return s;
}

int
vault_set_intermediate(struct vault *v, struct secret *key,
    struct slice cert, const uint8_t digest[32], struct err *err)
{
	struct secret *old_key = v->inter_key;
	struct blob old_cert = v->inter_cert;
	uint8_t old_digest[32];
	int r;

	memcpy(old_digest, v->digest, 32);
	v->inter_key = key;
	v->inter_cert = (struct blob){ 0 };
	blob_set(&v->inter_cert, cert);
	memcpy(v->digest, digest, 32);
	r = save(v, err);
	if (r != 0) {
		struct blob new_cert = v->inter_cert;

		v->inter_key = old_key;
		v->inter_cert = old_cert;
		memcpy(v->digest, old_digest, 32);
		old_key = key;
		old_cert = new_cert;
	}
	secret_free(old_key);
	free(old_cert.p);
	return r;
}

bool
vault_name_ok(struct slice name)
{
	if (name.n == 0 || name.n > VAULT_NAME_MAX || name.p[0] == '.' ||
	    name.p[0] == '-' || name.p[0] == '_')
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		    c == '.' || c == '-' || c == '_'))
			return false;
	}
	return true;
}

/* Where it is or would be; *found_r tells which. */
static size_t
cred_place(const struct vault *v, struct slice name, bool *found_r)
{
	size_t lo = 0, hi = v->ncreds;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		const char *s = v->creds[mid]->name;
		size_t n = strlen(s) < name.n ? strlen(s) : name.n;
		int c = memcmp(s, name.p, n);

		if (c == 0)
			c = (strlen(s) > name.n) - (strlen(s) < name.n);
		if (c == 0) {
			*found_r = true;
			return mid;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*found_r = false;
	return lo;
}

const struct vault_cred *
vault_cred_at(const struct vault *v, size_t i)
{
	return i < v->ncreds ? v->creds[i] : NULL;
}

const struct vault_cred *
vault_cred(const struct vault *v, struct slice name)
{
	bool found;
	size_t at = cred_place(v, name, &found);

	return found ? v->creds[at] : NULL;
}

static void
cred_take_out(struct vault *v, size_t at)
{
	memmove(v->creds + at, v->creds + at + 1,
	    (--v->ncreds - at) * sizeof(*v->creds));
}

int
vault_cred_set(struct vault *v, struct slice name, struct secret *value,
    int64_t now_ms, struct err *err)
{
	struct vault_cred *old = NULL, *c;
	bool found;
	size_t at = cred_place(v, name, &found), n = secret_bytes(value).n;

	if (!vault_name_ok(name) || n == 0 || n > VAULT_VALUE_MAX ||
	    (!found && v->ncreds == VAULT_CREDS_MAX)) {
		err_set(err, !vault_name_ok(name) ? "a credential's name has "
		    "1 to 64 of a-z 0-9 . _ - and starts with a letter or "
		    "digit" : n == 0 ? "the value is empty" :
		    n > VAULT_VALUE_MAX ? "the value has more than 65536 "
		    "bytes" : "there are 4096 credentials already");
		secret_free(value);
		return -1;
	}
	c = cred_new(name, value, now_ms);
	if (found) {
		old = v->creds[at];
		v->creds[at] = c;
	} else {
		cred_insert(v, at, c);
	}
	if (save(v, err) == 0) {
		cred_free(old);
		return 0;
	}
	if (found)
		v->creds[at] = old;
	else
		cred_take_out(v, at);
	cred_free(c);
	return -1;
}

int
vault_cred_remove(struct vault *v, struct slice name, struct err *err)
{
	struct vault_cred *c;
	bool found;
	size_t at = cred_place(v, name, &found);

	if (!found) {
		err_set(err, "there is no credential of this name");
		return -1;
	}
	c = v->creds[at];
	cred_take_out(v, at);
	if (save(v, err) != 0) {
		cred_insert(v, at, c);
		return -1;
	}
	cred_free(c);
	return 0;
}
