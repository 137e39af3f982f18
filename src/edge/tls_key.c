#define OPENSSL_SUPPRESS_DEPRECATED
#include "edge/tls.h"
#include <errno.h>
#include <openssl/ec.h>
#include <string.h>

static EC_KEY_METHOD *method;
static int key_index;
static tls_sign_fn sign_fn;
static void *sign_arg;

static int do_sign(int type, const unsigned char *digest, int len, unsigned char *sig,
    unsigned int *siglen, const BIGNUM *kinv, const BIGNUM *r, EC_KEY *ec)
{
	uint8_t out[80];
	uint64_t key = (uint64_t)(uintptr_t)EC_KEY_get_ex_data(ec, key_index);
	size_t n = len > 0 ? sign_fn(sign_arg, key, digest, (size_t)len, out) : 0;
	if (!n || n > (size_t)ECDSA_size(ec))
		return 0;
	memcpy(sig, out, n);
	*siglen = (unsigned int)n;
	return 1;
}

int tls_key_init(tls_sign_fn fn, void *arg)
{
	sign_fn = fn;
	sign_arg = arg;
	method = EC_KEY_METHOD_new(EC_KEY_OpenSSL());
	key_index = EC_KEY_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	if (!method || key_index < 0)
		return -ENOMEM;
	EC_KEY_METHOD_set_sign(method, do_sign, NULL, NULL);
	return 0;
}

EVP_PKEY *tls_key_new(X509 *leaf, uint64_t key)
{
	EC_KEY *ec = EVP_PKEY_get1_EC_KEY(X509_get0_pubkey(leaf));
	EVP_PKEY *p = ec ? EVP_PKEY_new() : NULL;
	if (!p || !EC_KEY_set_method(ec, method) ||
	    !EC_KEY_set_ex_data(ec, key_index, (void *)(uintptr_t)key) ||
	    !EVP_PKEY_assign_EC_KEY(p, ec)) {
		EC_KEY_free(ec);
		EVP_PKEY_free(p);
		return NULL;
	}
	return p;
}
