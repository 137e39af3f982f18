/* The vault, asked from the loop that serves every client: a call waits VAULT_BOUND_MS at most, and
 * after one that failed slowly the vault is left alone for VAULT_REST_MS, and what needs it is
 * refused at once. So a vault that hangs costs the others a moment, not one for each call. */
#pragma once
#include "proto/ipc_vault.h"

enum { VAULT_BOUND_MS = 2000, VAULT_SLOW_MS = 400, VAULT_REST_MS = 5000 };

/* As vault_call. A vault that does not answer is ERR_UNAVAILABLE. */
int api_vault(const char *run, enum vault_type type, const char *purpose, const char *id,
    struct bytes tail, struct buf *ret, char text[240], struct err *e) must_check;
