/* Who may ask the vault for what: one table of (daemon, purpose) -> operations. What is not in it
 * is refused. */
#pragma once
#include "base/daemon.h"
#include "proto/ipc_vault.h"

bool vault_may(enum daemon who, enum vault_type op, const char *purpose);
const char *vault_op_name(enum vault_type op); /* "seal"; "?" for what is none */
