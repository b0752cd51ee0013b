/*
 * truststore - a PKCS#12 file of trusted certificates as Java's keytool makes
 * it, from PEM.
 *
 * Java takes a certificate in PKCS#12 for trusted only when its bag bears the
 * attribute trustedKeyUsage (2.16.840.1.113894.746875.1.1).
 * Sources: RFC 7292, 4.2 and 4.2.3; JEP 229.
 */
#ifndef TRUSTSTORE_H
#define TRUSTSTORE_H

#include "base.h"
#include "buf.h"
#include "err.h"

/* There is nothing secret in it; Java wants a password all the same. */
#define TRUSTSTORE_PASSWORD "changeit"

/* Appends the file of all certificates in pem; -1 and err when there is none,
 * one is malformed, or out is full. */
int truststore_make(struct slice pem, struct buf *out, struct err *err)
    MUST_USE;

#endif
