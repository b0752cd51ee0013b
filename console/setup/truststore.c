/* truststore - see truststore.h. */
#include "console/setup/truststore.h"

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>

#define TRUSTED_USAGE "2.16.840.1.113894.746875.1.1"
#define CERTS_MAX 4096

static int
add_cert(STACK_OF(PKCS12_SAFEBAG) **bags, X509 *cert, unsigned n)
{
	ASN1_OBJECT *any = OBJ_nid2obj(NID_anyExtendedKeyUsage);
	PKCS12_SAFEBAG *bag = PKCS12_add_cert(bags, cert);
	char name[32];

	snprintf(name, sizeof(name), "ca-%u", n);
	return bag != NULL && PKCS12_add_friendlyname_utf8(bag, name, -1) == 1
	    && PKCS12_add1_attr_by_txt(bag, TRUSTED_USAGE, V_ASN1_OBJECT,
	    (const unsigned char *)any, -1) == 1 ? 0 : -1;
}

static int
read_certs(BIO *in, STACK_OF(PKCS12_SAFEBAG) **bags, struct err *err)
{
	unsigned n = 0;
	X509 *x;

	while (n < CERTS_MAX &&
	    (x = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL) {
		int bad = add_cert(bags, x, n++);

		X509_free(x);
		if (bad != 0) {
			err_set(err, "trust store: certificate %u", n);
			return -1;
		}
	}
	/* The end of the text is an error to OpenSSL as well. */
	if (n == 0 || ERR_GET_REASON(ERR_peek_last_error()) !=
	    PEM_R_NO_START_LINE) {
		err_set(err, n == 0 ? "trust store: no certificate" :
		    "trust store: a certificate is malformed");
		return -1;
	}
	ERR_clear_error();
	return 0;
}

static int
pack(STACK_OF(PKCS12_SAFEBAG) *bags, struct buf *out)
{
	STACK_OF(PKCS7) *safes = NULL;
	PKCS12 *p12 = NULL;
	unsigned char *der = NULL;
	int n = -1;

	/* -1: not encrypted; what is in it is public. */
	if (PKCS12_add_safe(&safes, bags, -1, 0, NULL) == 1 &&
	    (p12 = PKCS12_add_safes(safes, NID_pkcs7_data)) != NULL &&
	    PKCS12_set_mac(p12, TRUSTSTORE_PASSWORD, -1, NULL, 0, 10000,
	    EVP_sha256()) == 1)
		n = i2d_PKCS12(p12, &der);
	if (n > 0 && buf_add(out, der, (size_t)n) != 0)
		n = -1;
	OPENSSL_free(der);
	PKCS12_free(p12);
	sk_PKCS7_pop_free(safes, PKCS7_free);
	return n > 0 ? 0 : -1;
}

int
truststore_make(struct slice pem, struct buf *out, struct err *err)
{
	STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
	BIO *in = BIO_new_mem_buf(pem.p, (int)pem.n);
	int r = -1;

	ASSERT(in != NULL);
	if (read_certs(in, &bags, err) == 0 && (r = pack(bags, out)) != 0)
		err_set(err, "trust store: it cannot be packed");
	BIO_free(in);
	sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
	return r;
}
