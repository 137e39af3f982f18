#include "vault/seal.h"
#include <sodium.h>
#include <string.h>

_Static_assert(SEAL_KEY == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key");
_Static_assert(SEAL_NONCE == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce");
_Static_assert(SEAL_TAG == crypto_aead_xchacha20poly1305_ietf_ABYTES, "tag");

struct context {
	uint8_t data[3 + 255 + 255];
	size_t len;
};

/* version, then each string with its length before it: no two (purpose, id) pairs give the same
 * bytes. */
static void context_make(struct context *c, const char *purpose, const char *id)
{
	size_t p = strnlen(purpose, 255), i = strnlen(id, 255);
	c->data[0] = SEAL_VERSION;
	c->data[1] = (uint8_t)p;
	memcpy(c->data + 2, purpose, p);
	c->data[2 + p] = (uint8_t)i;
	memcpy(c->data + 3 + p, id, i);
	c->len = 3 + p + i;
}

void seal_bytes(const uint8_t key[SEAL_KEY], const char *purpose, const char *id,
    struct bytes plain, uint8_t *dst)
{
	struct context c;
	context_make(&c, purpose, id);
	dst[0] = SEAL_VERSION;
	/* 192 random bits: no counter to keep, and no collision within any life of a key. */
	randombytes_buf(dst + 1, SEAL_NONCE);
	crypto_aead_xchacha20poly1305_ietf_encrypt(
	    dst + 1 + SEAL_NONCE, NULL, plain.base, plain.len, c.data, c.len, NULL, dst + 1, key);
}

int unseal_bytes(const uint8_t key[SEAL_KEY], const char *purpose, const char *id,
    struct bytes sealed, uint8_t *dst, size_t *ret_len, struct err *e)
{
	const uint8_t *s = sealed.base;
	if (sealed.len < SEAL_OVERHEAD)
		return err_set(
		    e, ERR_INVALID, "%zu bytes are too few to be sealed ones", sealed.len);
	if (s[0] != SEAL_VERSION)
		return err_set(e, ERR_INVALID, "sealed bytes of version %u; this program knows %d",
		    s[0], SEAL_VERSION);
	struct context c;
	context_make(&c, purpose, id);
	unsigned long long n;
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(dst, &n, NULL, s + 1 + SEAL_NONCE,
		sealed.len - 1 - SEAL_NONCE, c.data, c.len, s + 1, key)) {
		err_set(e, ERR_FORBIDDEN,
		    "the sealed bytes were changed, or were sealed for another purpose or id than "
		    "%s of \"%s\"",
		    purpose, id);
		err_next(e, "restore what was stored, or store it again");
		return -EPERM;
	}
	*ret_len = (size_t)n;
	return 0;
}
