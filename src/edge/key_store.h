/* Keys and their certificates: made here, signed and sealed by the vault, kept in <lib>/edge-keys
 * as <name>.key (sealed) and <name>.pem. */
#pragma once
#include "base/buf.h"
#include "base/daemon.h"
#include "proto/ipc_keys.h"
#include <openssl/evp.h>

struct key_cert {
	char name[KEYS_NAME_MAX];
	uint64_t key; /* its number, made from the public key; 0: nothing here yet */
	EVP_PKEY_CTX *sign;
	char *chain; /* PEM */
	size_t chain_len;
	int64_t renew_at; /* wall clock, seconds: two thirds of its life */
};

/* `count` names that are wanted; of each the current key, and the one before it while workers may
 * still use it. */
struct key_store {
	struct places places;
	int dir;
	size_t count;
	struct key_cert now[KEYS_CERTS_MAX], before[KEYS_CERTS_MAX];
};

int key_store_open(struct key_store *s, const struct places *places, struct err *e) must_check;
int key_store_want(struct key_store *s, const char *name, struct err *e) must_check;
/* Loads or makes what is missing, renews what is due. *ret_changed also when it fails half way. */
int key_store_look(struct key_store *s, bool *ret_changed, struct err *e) must_check;
bool key_store_whole(const struct key_store *s); /* each wanted name has its key */
int64_t key_store_next(
    const struct key_store *s); /* when the next renewal is due, wall clock seconds */
const struct key_cert *key_store_find(
    const struct key_store *s, uint64_t key); /* also one before */
