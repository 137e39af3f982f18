/* A packet from any peer of the vault: never read past its end, and what is accepted holds what the
 * parser promises. */
#include "base/str.h"
#include "proto/ipc_vault.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vault_ask a;
	struct bytes tail;
	struct err e;
	if (vault_ask_parse(data, size, &a, &tail, &e) < 0)
		return 0;
	if (tail.len > VAULT_BYTES_MAX || tail.len + sizeof(a) != size ||
	    strnlen(a.purpose, sizeof(a.purpose)) == sizeof(a.purpose) ||
	    strnlen(a.id, sizeof(a.id)) == sizeof(a.id) || strchr(a.id, '\n'))
		abort();
	return 0;
}
