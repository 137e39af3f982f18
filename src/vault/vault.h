/* The vault itself: one request in, one answer out. No I/O but its own folder. */
#pragma once
#include "base/buf.h"
#include "proto/ipc_vault.h"
#include "vault/master.h"

struct vault;

struct vault_config {
	const char *instance, *base_domain;
	const char *key_file; /* NULL: passphrase */
	int leaf_days;
};

/* dir is the vault's folder, open; the vault owns it from here on, also when this fails. */
int vault_new(
    int dir, const struct vault_config *config, struct vault **ret, struct err *e) must_check;
void vault_free(struct vault *v);

/* Carries out one request of `who`. The answer's bytes go to out[IPC_BYTES_MAX], their count to
 * *ret_len; text (may be "") to text[240]. */
int vault_do(struct vault *v, enum daemon who, enum vault_type op, const char *purpose,
    const char *id, struct bytes tail, uint8_t *out, size_t *ret_len, char text[240],
    struct err *e) must_check;

const char *vault_state(const struct vault *v);
