/* The one gate: who asks, and may they? Every call passes here before any handler sees it. */
#pragma once
#include "base/clock.h"
#include "base/err.h"
#include <sodium.h>
#include <stdbool.h>

/* What an operation needs. One token can do everything until tokens carry rights of their own; the
 * table of routes names the right of each operation already, and this is where it is weighed. */
enum right {
	RIGHT_READ,     /* apps, machines, their state */
	RIGHT_CHANGE,   /* make, change, remove them */
	RIGHT_ENTER,    /* run commands inside machines, read their logs */
	RIGHT_PLATFORM, /* hosts, daemons */
	RIGHT_PUBLIC,   /* what everyone who can reach the API may know */
};

enum { GATE_WHO_MAX = 96, GATE_CACHE = 64, GATE_TTL_MS = 5000 };

struct gate {
	char run[80];
	struct gate_entry {
		unsigned char hash[crypto_hash_sha256_BYTES];
		uint64_t until_ms; /* monotonic; 0: free */
		char who[GATE_WHO_MAX];
	} cache[GATE_CACHE];
};

int gate_init(struct gate *g, const char *run, struct err *e) must_check;

/* authorization: the header's value, NULL if absent. Asks the vault unless the same token passed
 * within GATE_TTL_MS. ERR_UNAUTHENTICATED's sentence is the Machines API's own. */
int gate_check(struct gate *g, const char *authorization, enum right right, uint64_t now_ms,
    char who[GATE_WHO_MAX], struct err *e) must_check;

/* The token in "Bearer TOKEN" or "FlyV1 TOKEN[,TOKEN...]"; an empty one when it is neither. */
void gate_token(const char *authorization, const char **ret, size_t *ret_len);
