/* Leases of the Machines API: whoever holds a machine's nonce alone may change it. The rules are
 * pure; the record is locks/<machine>: {"v","nonce","owner","description","expires_at" (unix s),
 * "version"}. */
#pragma once
#include "base/json.h"

enum lease_verdict {
	LEASE_FREE,    /* nobody holds it, and the asker claims nothing */
	LEASE_MINE,    /* the asker's nonce holds it */
	LEASE_HELD,    /* someone else does, or the asker shows no nonce */
	LEASE_UNKNOWN, /* the asker shows a nonce that holds nothing (ended, or never given) */
};

enum { LEASE_TTL_DEFAULT = 3600, LEASE_NONCE_LEN = 12 };

/* Is it in force still? record: NULL if there is none. */
bool lease_is_live(const json_t *record, int64_t now_s);

/* record: NULL if there is none; nonce: the header fly-machine-lease-nonce, NULL if absent. */
enum lease_verdict lease_judge(const json_t *record, const char *nonce, int64_t now_s);

/* A new record; nonce NULL: a fresh one is made. NULL on no memory. */
json_t *lease_make(const char *nonce, const char *owner, const char *description,
    const char *version, int64_t expires_at);

/* The data object that clients are shown. */
json_t *lease_show(const json_t *record);
