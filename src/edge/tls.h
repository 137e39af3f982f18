/* The one key type a worker can use: an EC key without its private half, whose signatures are asked
 * for elsewhere. Apart from tls.c because EC_KEY_METHOD is of OpenSSL's older interface, which is
 * deprecated but the only one that needs no provider of our own. */
#pragma once
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdint.h>

/* Asked inside OpenSSL for a signature over a digest; the length written to sig, or 0. */
typedef size_t (*tls_sign_fn)(
    void *arg, uint64_t key, const uint8_t *digest, size_t len, uint8_t sig[80]);
int tls_key_init(tls_sign_fn fn, void *arg);     /* once; negative without memory */
EVP_PKEY *tls_key_new(X509 *leaf, uint64_t key); /* NULL: not an EC key, or no memory */
