/* The one form in which Ward keeps secrets at rest: XChaCha20-Poly1305 under a key of its own for
 * each (purpose, id), with both bound into the tag.
 *
 *   | version 1 byte = 1 | nonce 24 | ciphertext n | tag 16 |
 */
#pragma once
#include "base/err.h"
#include "base/util.h"

enum {
	SEAL_VERSION = 1,
	SEAL_KEY = 32,
	SEAL_NONCE = 24,
	SEAL_TAG = 16,
	SEAL_OVERHEAD = 1 + SEAL_NONCE + SEAL_TAG
};

/* dst has room for plain.len + SEAL_OVERHEAD bytes. dst and plain must not overlap. */
void seal_bytes(const uint8_t key[SEAL_KEY], const char *purpose, const char *id,
    struct bytes plain, uint8_t *dst);

/* dst has room for sealed.len bytes. Any change to the bytes, the purpose or the id is
 * ERR_FORBIDDEN. */
int unseal_bytes(const uint8_t key[SEAL_KEY], const char *purpose, const char *id,
    struct bytes sealed, uint8_t *dst, size_t *ret_len, struct err *e) must_check;
