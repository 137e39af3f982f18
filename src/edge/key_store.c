#include "edge/key_store.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "proto/ipc_vault.h"
#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sodium.h>

enum { CHAIN_MAX = 64 * 1024 };

int key_store_open(struct key_store *s, const struct places *places, struct err *e)
{
	char path[sizeof(places->lib) + 16];
	s->places = *places;
	snprintf(path, sizeof(path), "%s/edge-keys", places->lib);
	int r = dir_make(AT_FDCWD, path, 0700, e);
	if (r < 0)
		return r;
	s->dir = dir_open(AT_FDCWD, path, e);
	return s->dir < 0 ? s->dir : 0;
}

int key_store_want(struct key_store *s, const char *name, struct err *e)
{
	struct key_cert *c = &s->now[s->count];
	if (s->count == KEYS_CERTS_MAX || !str_copy(c->name, sizeof(c->name), name))
		return err_set(e, ERR_TOO_LARGE, "more than %d certificates, or too long a name",
		    KEYS_CERTS_MAX);
	s->before[s->count] = *c;
	s->count++;
	return 0;
}

const struct key_cert *key_store_find(const struct key_store *s, uint64_t key)
{
	for (size_t i = 0; key && i < s->count; i++) {
		if (s->now[i].key == key)
			return &s->now[i];
		if (s->before[i].key == key)
			return &s->before[i];
	}
	return NULL;
}

bool key_store_whole(const struct key_store *s)
{
	for (size_t i = 0; i < s->count; i++)
		if (!s->now[i].key)
			return false;
	return true;
}

int64_t key_store_next(const struct key_store *s)
{
	int64_t next = INT64_MAX;
	for (size_t i = 0; i < s->count; i++)
		next = MIN(next, s->now[i].renew_at);
	return next;
}

/* "*.a.b" -> "_.a.b.key" */
static void file_name(const struct key_cert *c, const char *ending, char dst[KEYS_NAME_MAX + 8])
{
	snprintf(dst, KEYS_NAME_MAX + 8, "%s.%s", c->name, ending);
	if (dst[0] == '*')
		dst[0] = '_';
}

static void cert_done(struct key_cert *c)
{
	EVP_PKEY_CTX_free(c->sign);
	free(c->chain);
	c->sign = NULL;
	c->chain = NULL;
	c->key = 0;
}

/* When two thirds of the leaf's life are over; -1 if it is not for this key. */
static int64_t renewal_time(struct bytes chain, EVP_PKEY *key)
{
	BIO *b = BIO_new_mem_buf(chain.base, (int)chain.len);
	X509 *leaf = b ? PEM_read_bio_X509(b, NULL, NULL, NULL) : NULL;
	struct tm from, to;
	int64_t at = -1;
	if (leaf && X509_check_private_key(leaf, key) == 1 &&
	    ASN1_TIME_to_tm(X509_get0_notBefore(leaf), &from) == 1 &&
	    ASN1_TIME_to_tm(X509_get0_notAfter(leaf), &to) == 1) {
		int64_t begin = timegm(&from), end = timegm(&to);
		at = begin + (end - begin) / 3 * 2;
	}
	X509_free(leaf);
	BIO_free(b);
	return at;
}

/* Made from the public key: the same after a restart, so that handshakes under way find their key.
 */
static uint64_t key_number(EVP_PKEY *key)
{
	unsigned char *der = NULL, hash[crypto_hash_sha256_BYTES];
	uint64_t n = 0;
	int len = i2d_PUBKEY(key, &der);
	if (len > 0) {
		crypto_hash_sha256(hash, der, (unsigned long long)len);
		memcpy(&n, hash, sizeof(n));
	}
	OPENSSL_free(der);
	return n;
}

/* Takes key and chain into use. */
static int adopt(struct key_store *s, size_t i, EVP_PKEY *key, struct bytes chain, struct err *e)
{
	struct key_cert c = { 0 };
	memcpy(c.name, s->now[i].name, sizeof(c.name));
	c.renew_at = renewal_time(chain, key);
	if (c.renew_at < 0)
		return err_set(e, ERR_PROTOCOL, "the certificate of %s is not for its key", c.name);
	c.sign = EVP_PKEY_CTX_new(key, NULL);
	c.chain = malloc(chain.len);
	c.key = key_number(key);
	if (!c.key || !c.sign || !c.chain || EVP_PKEY_sign_init(c.sign) != 1) {
		cert_done(&c);
		return err_set(e, ERR_NO_MEMORY, "no memory for a key");
	}
	memcpy(c.chain, chain.base, chain.len);
	c.chain_len = chain.len;
	cert_done(&s->before[i]);
	s->before[i] = s->now[i];
	s->now[i] = c;
	return 0;
}

static int load(struct key_store *s, size_t i, struct err *e)
{
	char key_name[KEYS_NAME_MAX + 8], pem_name[KEYS_NAME_MAX + 8];
	cleanup_free char *sealed = NULL;
	cleanup_free char *chain = NULL;
	size_t sealed_len, chain_len;
	file_name(&s->now[i], "key", key_name);
	file_name(&s->now[i], "pem", pem_name);
	int r = file_read(s->dir, key_name, VAULT_BYTES_MAX, &sealed, &sealed_len, e);
	if (r >= 0)
		r = file_read(s->dir, pem_name, CHAIN_MAX, &chain, &chain_len, e);
	if (r < 0)
		return r;
	struct buf der;
	buf_init(&der, 4096);
	r = vault_call(s->places.run, VAULT_UNSEAL, "tls-key", s->now[i].name,
	    (struct bytes){ sealed, sealed_len }, &der, NULL, e);
	if (r >= 0) {
		const unsigned char *p = (const unsigned char *)der.data;
		EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &p, (long)der.len);
		r = key ? adopt(s, i, key, (struct bytes){ chain, chain_len }, e)
			: err_set(e, ERR_PROTOCOL, "the kept key of %s is damaged", s->now[i].name);
		EVP_PKEY_free(key);
	}
	if (der.data)
		explicit_bzero(der.data, der.cap);
	buf_done(&der);
	return r;
}

static int keep(
    struct key_store *s, size_t i, EVP_PKEY *key, const struct buf *chain, struct err *e)
{
	char name[KEYS_NAME_MAX + 8];
	unsigned char *der = NULL;
	int len = i2d_PrivateKey(key, &der);
	if (len <= 0)
		return err_set(e, ERR_NO_MEMORY, "no memory for a key");
	struct buf sealed;
	buf_init(&sealed, VAULT_BYTES_MAX);
	int r = vault_call(s->places.run, VAULT_SEAL, "tls-key", s->now[i].name,
	    (struct bytes){ der, (size_t)len }, &sealed, NULL, e);
	OPENSSL_clear_free(der, (size_t)len);
	file_name(&s->now[i], "key", name);
	if (r >= 0)
		r = file_write(s->dir, name, sealed.data, sealed.len, 0600, e);
	file_name(&s->now[i], "pem", name);
	if (r >= 0)
		r = file_write(s->dir, name, chain->data, chain->len, 0600, e);
	buf_done(&sealed);
	return r;
}

static int make(struct key_store *s, size_t i, struct err *e)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	unsigned char *spki = NULL;
	int len = key ? i2d_PUBKEY(key, &spki) : -1;
	struct buf chain;
	buf_init(&chain, CHAIN_MAX);
	int r = len > 0 ? vault_call(s->places.run, VAULT_SIGN_LEAF, "", s->now[i].name,
			      (struct bytes){ spki, (size_t)len }, &chain, NULL, e)
			: err_set(e, ERR_NO_MEMORY, "no memory for a key");
	/* on disk first: a key in use that a restart would not find again is worth nothing */
	if (r >= 0)
		r = keep(s, i, key, &chain, e);
	if (r >= 0)
		r = adopt(s, i, key, buf_bytes(&chain), e);
	if (r >= 0)
		log_info("a new certificate for %s", s->now[i].name);
	OPENSSL_free(spki);
	EVP_PKEY_free(key);
	buf_done(&chain);
	return r;
}

/* Whether what is kept cannot be used and never will be: absent (the first start), damaged, or
 * sealed for another. With the vault away nothing is known. */
static bool is_worthless(int r, const struct err *e)
{
	if (r == -ENOENT)
		return true;
	return e->code != ERR_UNAVAILABLE && e->code != ERR_TIMEOUT && e->code != ERR_SEALED &&
	       e->code != ERR_SYSTEM;
}

int key_store_look(struct key_store *s, bool *ret_changed, struct err *e)
{
	int64_t now = (int64_t)(clock_wall_ms() / 1000);
	for (size_t i = 0; i < s->count; i++) {
		int r = 0;
		if (!s->now[i].key) {
			r = load(s, i, e);
			if (r < 0 && is_worthless(r, e))
				r = make(s, i, e);
			*ret_changed |= r >= 0;
		}
		if (r >= 0 && now >= s->now[i].renew_at) {
			r = make(s, i, e);
			*ret_changed |= r >= 0;
		}
		if (r < 0)
			return r;
	}
	return 0;
}
