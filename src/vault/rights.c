#include "vault/rights.h"
#include "base/str.h"

#define OP(t) (1u << (t))
enum {
	SEAL = OP(VAULT_SEAL),
	UNSEAL = OP(VAULT_UNSEAL),
	DERIVE = OP(VAULT_DERIVE),
	SIGN = OP(VAULT_SIGN_LEAF),
	CA = OP(VAULT_CA),
	TOKEN = OP(VAULT_TOKEN_CHECK),
	STATUS = OP(VAULT_STATUS),
	UNLOCK = OP(VAULT_UNLOCK),
};

/* purpose NULL: for operations that have none. */
static const struct right {
	enum daemon who;
	const char *purpose;
	unsigned ops;
} rights[] = {
	/* root starts and unlocks the vault, and hands each daemon its store password */
	{ DAEMON_WARDD, NULL, CA | STATUS | UNLOCK },
	{ DAEMON_WARDD, "store-password", DERIVE },
	/* the gate: checks tokens; seals what users send and shows them their own configuration
	   again */
	{ DAEMON_API, NULL, CA | TOKEN | STATUS },
	{ DAEMON_API, "app-env", SEAL | UNSEAL },
	/* the agent gives a machine its environment */
	{ DAEMON_AGENT, NULL, CA | STATUS },
	{ DAEMON_AGENT, "app-env", UNSEAL },
	/* the edge keeps its last good table; only its key process has private keys and
	   certificates */
	{ DAEMON_EDGE, NULL, CA | STATUS },
	{ DAEMON_EDGE, "route-table", SEAL | UNSEAL },
	{ DAEMON_EDGE_KEYS, NULL, CA | SIGN | STATUS },
	{ DAEMON_EDGE_KEYS, "tls-key", SEAL | UNSEAL },
	{ DAEMON_TELEMETRY, NULL, STATUS },
	{ DAEMON_TELEMETRY, "log-key", DERIVE },
};

static bool has_purpose(enum vault_type op)
{
	return op == VAULT_SEAL || op == VAULT_UNSEAL || op == VAULT_DERIVE;
}

bool vault_may(enum daemon who, enum vault_type op, const char *purpose)
{
	for (size_t i = 0; i < countof(rights); i++)
		if (rights[i].who == who && (rights[i].ops & OP(op)) &&
		    (has_purpose(op) ? rights[i].purpose && streq(rights[i].purpose, purpose)
				     : !rights[i].purpose))
			return true;
	return false;
}

const char *vault_op_name(enum vault_type op)
{
	static const char *const names[] = {
		[VAULT_SEAL] = "seal",
		[VAULT_UNSEAL] = "unseal",
		[VAULT_DERIVE] = "derive",
		[VAULT_SIGN_LEAF] = "sign-leaf",
		[VAULT_CA] = "ca",
		[VAULT_TOKEN_CHECK] = "token-check",
		[VAULT_STATUS] = "status",
		[VAULT_UNLOCK] = "unlock",
	};
	return op < countof(names) && names[op] ? names[op] : "?";
}
