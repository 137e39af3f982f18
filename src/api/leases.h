/* Leases of machines: the operations, and the check before every change. */
#pragma once
#include "api/api.h"

void leases_show(struct call *c);
void leases_create(struct call *c);
void leases_release(struct call *c);

/* Takes the machine's lease for ttl_s for a machine just made or updated; *ret_nonce is the fresh
 * one. */
int lease_take(struct call *c, const char *machine, const char *version, int64_t ttl_s,
    char ret_nonce[32], struct err *e) must_check;
