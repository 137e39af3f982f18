#include "api/vault.h"
#include "base/clock.h"

static uint64_t rests_until; /* monotonic; one process, one vault */

static int away(struct err *e)
{
	return err_set(e, ERR_UNAVAILABLE, "ward-vault does not answer");
}

int api_vault(const char *run, enum vault_type type, const char *purpose, const char *id,
    struct bytes tail, struct buf *ret, char text[240], struct err *e)
{
	uint64_t begun = clock_mono_ms();
	if (begun < rests_until)
		return away(e);
	int r = vault_call_within(run, VAULT_BOUND_MS, type, purpose, id, tail, ret, text, e);
	uint64_t now = clock_mono_ms();
	if (r < 0 && now - begun >= VAULT_SLOW_MS)
		rests_until = now + VAULT_REST_MS;
	if (r < 0 && (e->code == ERR_SYSTEM || e->code == ERR_PROTOCOL || e->code == ERR_TIMEOUT))
		return away(e);
	return r;
}
